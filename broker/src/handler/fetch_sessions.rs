//! Fetch sessions (KIP-227): what a client fetches is remembered, so that it only says what changed and is only told what it
//! does not know yet. A client of a thousand silent partitions then sends and gets a few bytes.
//!
//! ```text
//!  epoch 0    everything is asked and answered; a session begins, if there is room for one
//!  epoch n    asked: partitions that are new, changed, forgotten; answered: those with news. Then it is epoch n+1
//!  epoch -1   everything is asked and answered; the session ends, if there is one
//! ```
//!
//! An incremental Fetch is turned into the full one that it stands for ([`FetchSessions::open`]), which is served as any other,
//! and what the client knows is taken out of the answer ([`FetchSessions::complete`]). Sessions belong to no connection.

mod partitions;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{FetchRequest, TopicName};
use uuid::Uuid;

use super::fetch::TOPIC_ID_VERSION;
use super::fetch_answer::FetchAnswer;
use crate::ids::{Ids, SharedIds};
use partitions::Partitions;

/// Of a request without a session.
const NO_SESSION: i32 = 0;
/// Asks for a session.
const INITIAL_EPOCH: i32 = 0;
/// Ends a session, or asks for none.
const FINAL_EPOCH: i32 = -1;

/// Kafka's MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS: a session that was used within so long, and one that is not older,
/// is not given up for another.
const EVICTION_MS: i64 = 120_000;
/// Most partitions in all sessions together, about 200 MB of memory.
const MAX_PARTITIONS: usize = 1_000_000;

/// The sessions that there are.
#[derive(Debug)]
pub(super) struct FetchSessions {
    /// `max.incremental.fetch.session.cache.slots`.
    slots: usize,
    ids: SharedIds,
    sessions: RwLock<HashMap<i32, Arc<Session>>>,
}

#[derive(Debug)]
struct Session {
    id: i32,
    uses_topic_ids: bool,
    created_ms: i64,
    used_ms: AtomicI64,
    /// Number of partitions.
    size: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// That the next request must have.
    epoch: i32,
    partitions: Partitions,
}

/// What one Fetch has to do with sessions, from when it is read until it is answered.
#[derive(Debug)]
pub(crate) enum FetchContext {
    /// Nothing.
    Sessionless,
    /// One may begin with it.
    New {
        partitions: Box<Partitions>,
        uses_topic_ids: bool,
    },
    /// It is part of one, which expects this epoch next.
    Incremental { session: IncrementalSession, epoch: i32 },
}

/// A session that is in use, whether it is still kept or not.
#[derive(Debug)]
pub(crate) struct IncrementalSession(Arc<Session>);

/// The names of topics that are known by id.
pub(super) type NameOf<'a> = &'a dyn Fn(Uuid) -> Option<TopicName>;

impl FetchSessions {
    pub(super) fn new(slots: usize, ids: SharedIds) -> Self {
        Self {
            slots,
            ids,
            sessions: RwLock::default(),
        }
    }

    /// Makes the full request of an incremental one.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR, which tell the client to begin
    /// again with a full request.
    pub(super) fn open(
        &self,
        version: i16,
        request: &mut FetchRequest,
        name_of: NameOf<'_>,
        now_ms: i64,
    ) -> Result<FetchContext, ResponseError> {
        let uses_topic_ids = version >= TOPIC_ID_VERSION;
        if request.session_epoch != INITIAL_EPOCH && request.session_epoch != FINAL_EPOCH {
            return self.go_on(uses_topic_ids, request, name_of, now_ms);
        }
        if request.session_id != NO_SESSION {
            self.write().remove(&request.session_id);
        }
        if request.session_epoch == FINAL_EPOCH {
            return Ok(FetchContext::Sessionless);
        }
        let size = request.topics.iter().map(|topic| topic.partitions.len()).sum();
        if !self.has_room(size, now_ms) || !Partitions::are_cacheable(request) {
            return Ok(FetchContext::Sessionless);
        }
        let mut partitions = Box::new(Partitions::default());
        partitions.update(request, name_of);
        Ok(FetchContext::New {
            partitions,
            uses_topic_ids,
        })
    }

    fn go_on(
        &self,
        uses_topic_ids: bool,
        request: &mut FetchRequest,
        name_of: NameOf<'_>,
        now_ms: i64,
    ) -> Result<FetchContext, ResponseError> {
        let found = self.read().get(&request.session_id).cloned();
        let session = found.ok_or(ResponseError::FetchSessionIdNotFound)?;
        let mut state = session.lock();
        if state.epoch != request.session_epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        let is_cacheable = Partitions::are_cacheable(request);
        if is_cacheable {
            state.partitions.update(request, name_of);
        }
        let size = state.partitions.len();
        let has_grown = session.size.swap(size, Ordering::Relaxed) < size;
        if !is_cacheable || (has_grown && self.partitions() > MAX_PARTITIONS) {
            self.write().remove(&session.id);
            return Err(ResponseError::FetchSessionIdNotFound);
        }
        if size == 0 {
            self.write().remove(&session.id);
            return Ok(FetchContext::Sessionless);
        }
        session.used_ms.store(now_ms, Ordering::Relaxed);
        state.epoch = next_epoch(state.epoch);
        request.topics = state.partitions.in_order(name_of);
        request.forgotten_topics_data.clear();
        let epoch = state.epoch;
        drop(state);
        Ok(FetchContext::Incremental {
            session: IncrementalSession(session),
            epoch,
        })
    }

    /// Takes out of an answer what its client knows already, and puts in the session.
    pub(super) fn complete(&self, context: FetchContext, answer: &mut FetchAnswer, now_ms: i64) {
        match context {
            FetchContext::Sessionless => {}
            FetchContext::New {
                mut partitions,
                uses_topic_ids,
            } => {
                partitions.remember(answer);
                answer.session_id = self.admit(*partitions, uses_topic_ids, now_ms);
            }
            FetchContext::Incremental { session, epoch } => {
                let session = session.0;
                answer.session_id = session.id;
                let mut state = session.lock();
                if state.epoch == epoch {
                    state.partitions.keep_news(answer);
                } else {
                    // The client did not wait for this answer.
                    answer.error_code = ResponseError::InvalidFetchSessionEpoch.code();
                    answer.topics.clear();
                }
            }
        }
    }

    /// Keeps a new session, if there is room. Answers its id.
    fn admit(&self, partitions: Partitions, uses_topic_ids: bool, now_ms: i64) -> i32 {
        let mut sessions = self.write();
        let size = partitions.len();
        let Some(room) = room_for(&sessions, self.slots, size, now_ms) else {
            return NO_SESSION;
        };
        if let Room::InsteadOf(evicted) = room {
            sessions.remove(&evicted);
        }
        let mut ids = self.ids.clone();
        let mut id = NO_SESSION;
        while id == NO_SESSION || sessions.contains_key(&id) {
            id = ids.next_id().as_u128() as i32 & i32::MAX;
        }
        let state = State {
            epoch: next_epoch(INITIAL_EPOCH),
            partitions,
        };
        let session = Session {
            id,
            uses_topic_ids,
            created_ms: now_ms,
            used_ms: AtomicI64::new(now_ms),
            size: AtomicUsize::new(size),
            state: Mutex::new(state),
        };
        sessions.insert(id, Arc::new(session));
        id
    }

    fn has_room(&self, size: usize, now_ms: i64) -> bool {
        room_for(&self.read(), self.slots, size, now_ms).is_some()
    }

    /// Of all sessions together.
    fn partitions(&self) -> usize {
        partitions_of(&self.read())
    }

    // The map is changed in single steps: whatever its holder did, it is whole.
    fn read(&self) -> RwLockReadGuard<'_, HashMap<i32, Arc<Session>>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<i32, Arc<Session>>> {
        self.sessions.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a new session goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    Free,
    InsteadOf(i32),
}

/// Kafka's rule: the session that was used longest ago goes first, if that is long enough ago; then the one with the fewest
/// partitions, if it had its time and has fewer than the new one.
fn room_for(sessions: &HashMap<i32, Arc<Session>>, slots: usize, size: usize, now_ms: i64) -> Option<Room> {
    if partitions_of(sessions) + size > MAX_PARTITIONS {
        return None;
    }
    if sessions.len() < slots {
        return Some(Room::Free);
    }
    let oldest = sessions
        .values()
        .min_by_key(|session| (session.used_ms(), session.id))?;
    if now_ms - oldest.used_ms() > EVICTION_MS {
        return Some(Room::InsteadOf(oldest.id));
    }
    let had_its_time = |session: &&Arc<Session>| session.used_ms() - session.created_ms > EVICTION_MS;
    let smallest = sessions
        .values()
        .filter(had_its_time)
        .min_by_key(|session| (session.size(), session.id))?;
    (smallest.size() < size).then_some(Room::InsteadOf(smallest.id))
}

fn partitions_of(sessions: &HashMap<i32, Arc<Session>>) -> usize {
    sessions.values().map(|session| session.size()).sum()
}

impl Session {
    fn used_ms(&self) -> i64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic leaves is a session whose client is told too much or has to begin again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After the last one comes 1: 0 begins a session.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}
