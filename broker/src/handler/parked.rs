//! Requests whose answer comes later, and the group coordinator together with them.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};

use super::Response;
use super::access::Asker;
use crate::cluster::ClusterState;
use crate::group::{GroupCoordinator, GroupReply, Viewer};
use crate::transaction::Token;

/// A response that is still to come. A thread can [`wait`](Self::wait) for it, and a task can await it.
#[derive(Debug)]
pub struct Parked {
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    state: Mutex<SlotState>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct SlotState {
    response: Option<Response>,
    waker: Option<Waker>,
}

impl Parked {
    /// The response, if it comes within `timeout`. It is handed out once.
    pub fn wait(&self, timeout: Duration) -> Option<Response> {
        let state = self.slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .slot
            .filled
            .wait_timeout_while(state, timeout, |state| state.response.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.response.take()
    }
}

impl Future for Parked {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let mut state = self.slot.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.response.take() {
            Some(response) => Poll::Ready(response),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Slot {
    fn fill(&self, response: Response) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.response = Some(response);
        self.filled.notify_all();
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }
}

/// The group coordinator, and who waits for its replies. Bounded by the members there can be: each parks one request.
#[derive(Debug)]
pub(super) struct Groups {
    pub(super) coordinator: GroupCoordinator,
    /// What the coordinator has been told of topics.
    pub(super) told: Option<ToldTopics>,
    /// Whose request the coordinator serves, where rules hold.
    pub(super) asker: Option<Arc<Asker>>,
    /// Internal topics that this request would have made if its sender were allowed to.
    pub(super) not_created: Vec<String>,
    parked: HashMap<Token, (ParkedApi, i16, Arc<Slot>)>,
}

/// Which picture of the topics the coordinator has.
#[derive(Debug)]
pub(super) struct ToldTopics {
    /// The count of changes of topics by then.
    pub(super) changes: u64,
    /// The rules by then: they say who sees which topics.
    pub(super) cluster: Arc<ClusterState>,
    /// Version of the picture.
    pub(super) version: u64,
}

/// What a parked request must be answered with when the broker closes.
#[derive(Debug, Clone, Copy)]
pub(super) enum ParkedApi {
    Join,
    Sync,
}

impl Groups {
    pub(super) fn new(coordinator: GroupCoordinator) -> Self {
        Self {
            coordinator,
            told: None,
            asker: None,
            not_created: Vec::new(),
            parked: HashMap::new(),
        }
    }

    /// Takes down for whom the coordinator works from here on.
    pub(super) fn serve_for(&mut self, asker: Option<Arc<Asker>>) {
        let viewer = asker.clone().map(|asker| asker as Arc<dyn Viewer>);
        self.coordinator.look_as(viewer);
        self.asker = asker;
        self.not_created.clear();
    }

    pub(super) fn park(&mut self, token: Token, api: ParkedApi, version: i16) -> Parked {
        let slot = Arc::new(Slot::default());
        self.parked.insert(token, (api, version, slot.clone()));
        Parked { slot }
    }

    /// Answers a request that was parked before.
    pub(super) fn answer(&mut self, token: Token, reply: GroupReply) {
        if let Some((_, version, slot)) = self.parked.remove(&token) {
            slot.fill(into_response(reply, version));
        }
    }

    pub(super) fn refuse_parked(&mut self) {
        let error_code = ResponseError::CoordinatorNotAvailable.code();
        for (_, (api, _, slot)) in self.parked.drain() {
            slot.fill(match api {
                ParkedApi::Join => {
                    Response::JoinGroup(JoinGroupResponse::default().with_error_code(error_code))
                }
                ParkedApi::Sync => {
                    Response::SyncGroup(SyncGroupResponse::default().with_error_code(error_code))
                }
            });
        }
    }
}

/// First version of JoinGroup in which the protocol of a refused member is null.
const NULL_PROTOCOL_VERSION: i16 = 7;

pub(super) fn into_response(reply: GroupReply, version: i16) -> Response {
    match reply {
        GroupReply::Join(mut response) => {
            if response.error_code != 0 && version >= NULL_PROTOCOL_VERSION {
                response.protocol_name = None;
            }
            Response::JoinGroup(response)
        }
        GroupReply::Sync(response) => Response::SyncGroup(response),
        GroupReply::Heartbeat(response) => Response::Heartbeat(response),
        GroupReply::Leave(response) => Response::LeaveGroup(response),
        GroupReply::CommitOffsets(response) => Response::OffsetCommit(response),
        GroupReply::CommitTransactionalOffsets(response) => Response::TxnOffsetCommit(response),
        GroupReply::ConsumerHeartbeat(response) => Response::ConsumerGroupHeartbeat(response),
        GroupReply::StreamsHeartbeat(response) => Response::StreamsGroupHeartbeat(response),
        GroupReply::DeleteOffsets(response) => Response::OffsetDelete(response),
        GroupReply::Delete(result) => {
            let mut response = kafka_protocol::messages::DeleteGroupsResponse::default();
            let code = result.err().map_or(0, |error| error.code());
            response.results.push(
                kafka_protocol::messages::delete_groups_response::DeletableGroupResult::default()
                    .with_error_code(code),
            );
            Response::DeleteGroups(response)
        }
    }
}
