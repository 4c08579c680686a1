//! The transaction coordinator: producer ids, epochs and two-phase commit, as a pure state machine (KIP-98, KIP-360, KIP-890).
//!
//! ```text
//!  Event (request, append acknowledged, markers written, tick) + time --> handle --> Action (append, write markers, reply)
//! ```
//!
//! It does no IO and knows no clock: whoever drives it performs the actions in order and reports back. What must stay true:
//!
//! - A state becomes visible only when its record is in the log. Until then the id has a *pending* state and every other
//!   request for it is answered CONCURRENT_TRANSACTIONS.
//! - Markers are asked for only after the record that decides the outcome (PrepareCommit, PrepareAbort) is in the log, so a
//!   crash at any point ends in the decided outcome or, if nothing was decided, in an abort by timeout.
//! - An epoch that was fenced never commits: every write step compares producer id and epoch first.

mod config;
mod end;
mod init;
mod messages;
mod record;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use kafka_protocol::ResponseError;

pub use config::TransactionConfig;
pub use messages::{
    AppendId, Markers, Token, TransactionAction, TransactionEvent, TransactionReply, TransactionRequest,
};
pub use record::{decode_key, decode_value, encode_key, encode_value};
pub use state::{
    LAST_PRODUCER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, TopicPartitions, TransactionMetadata,
    TransactionState,
};

use crate::coordinator_records::{MAX_ID_BYTES, RecordError, coordinator_partition};
use crate::producer_ids::{ProducerIdBlocks, ProducerIds};

/// One transactional id.
#[derive(Debug)]
struct Entry {
    current: TransactionMetadata,
    /// The state that is being appended.
    pending: Option<TransactionMetadata>,
    /// Partitions whose markers are not written yet, while the state is a prepared one.
    unmarked: TopicPartitions,
    /// Whether an action to write markers is out and unanswered.
    marking: bool,
    /// Request to answer when the transaction is complete.
    waiting: Option<(Token, TransactionReply)>,
    /// The epoch was bumped to fence and that is not in the log yet: another attempt must not bump it again.
    has_unlogged_fence: bool,
}

/// What an append was for.
#[derive(Debug)]
struct Append {
    transactional_id: String,
    /// Reply when the append is acknowledged; None for steps nobody asked for.
    reply: Option<(Token, TransactionReply)>,
    /// Whether the entry goes away instead of taking its pending state.
    expires: bool,
}

/// The state machine. See the top of this file.
#[derive(Debug)]
pub struct TransactionCoordinator {
    config: TransactionConfig,
    entries: HashMap<String, Entry>,
    producer_ids: ProducerIds,
    appends: HashMap<AppendId, Append>,
    next_append: AppendId,
    next_abort_check_ms: i64,
    next_expire_check_ms: i64,
    actions: Vec<TransactionAction>,
}

/// A row of ListTransactions or DescribeTransactions: an id and its visible state.
pub type DescribedTransaction<'a> = (&'a str, &'a TransactionMetadata);

impl TransactionCoordinator {
    /// A coordinator that knows no ids yet. Call [`load`](Self::load) for every record of the log, then
    /// [`finish_loading`](Self::finish_loading), before the first event.
    pub fn new(config: TransactionConfig, blocks: Box<dyn ProducerIdBlocks>) -> Self {
        Self {
            config,
            entries: HashMap::new(),
            producer_ids: ProducerIds::new(blocks),
            appends: HashMap::new(),
            next_append: 0,
            next_abort_check_ms: 0,
            next_expire_check_ms: 0,
            actions: Vec::new(),
        }
    }

    /// Replays one record of `__transaction_state`, in the order of the log.
    ///
    /// # Errors
    /// The record cannot be read; nothing changes.
    pub fn load(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RecordError> {
        let transactional_id = decode_key(key)?;
        match value {
            None => {
                self.entries.remove(&transactional_id);
            }
            Some(value) => {
                let metadata = decode_value(value)?;
                self.entries.insert(transactional_id, Entry::new(metadata));
            }
        }
        Ok(())
    }

    /// Ends the replay: asks for the markers of every transaction that was decided but not completed. Open transactions keep
    /// the time they began and are aborted by their timeout.
    pub fn finish_loading(&mut self) -> Vec<TransactionAction> {
        self.resend_markers();
        std::mem::take(&mut self.actions)
    }

    /// Takes one step.
    pub fn handle(&mut self, event: TransactionEvent, now_ms: i64) -> Vec<TransactionAction> {
        match event {
            TransactionEvent::Request { token, request } => self.request(token, request, now_ms),
            TransactionEvent::Appended { append, result } => self.appended(append, result),
            TransactionEvent::MarkersWritten {
                transactional_id,
                failed,
            } => {
                self.markers_written(&transactional_id, failed, now_ms);
            }
            TransactionEvent::Tick => self.tick(now_ms),
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether the producer's open transaction includes the partition: what a partition must know before it accepts the
    /// first batch of a transaction (KIP-890), so that no transaction is left hanging by a late write.
    ///
    /// # Errors
    /// INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS, or TRANSACTION_ABORTABLE if it does not.
    pub fn verify_partition(
        &self,
        transactional_id: &str,
        producer_id: i64,
        producer_epoch: i16,
        topic: &str,
        partition: i32,
    ) -> Result<(), ResponseError> {
        let current = self.state_of(transactional_id, (producer_id, producer_epoch))?;
        let numbers = current.partitions.get(topic);
        if numbers.is_some_and(|numbers| numbers.contains(&partition)) {
            Ok(())
        } else {
            Err(ResponseError::TransactionAbortable)
        }
    }

    /// The state of an id, if it is this producer's and no step of it is under way.
    fn state_of(
        &self,
        transactional_id: &str,
        (producer_id, producer_epoch): (i64, i16),
    ) -> Result<&TransactionMetadata, ResponseError> {
        let entry = self
            .entries
            .get(transactional_id)
            .ok_or(ResponseError::InvalidProducerIdMapping)?;
        let current = &entry.current;
        if current.producer_id != producer_id {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if current.producer_epoch != producer_epoch {
            return Err(ResponseError::ProducerFenced);
        }
        if entry.pending.is_some() || current.state.is_prepared() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        Ok(current)
    }

    /// The visible state of an id.
    pub fn describe(&self, transactional_id: &str) -> Option<&TransactionMetadata> {
        self.entries.get(transactional_id).map(|entry| &entry.current)
    }

    /// Every id with its visible state, sorted by id.
    pub fn list(&self) -> Vec<DescribedTransaction<'_>> {
        let sorted: BTreeMap<_, _> = self
            .entries
            .iter()
            .map(|(id, entry)| (id.as_str(), &entry.current))
            .collect();
        sorted.into_iter().collect()
    }

    fn request(&mut self, token: Token, request: TransactionRequest, now_ms: i64) {
        match request {
            TransactionRequest::InitProducerId {
                transactional_id: None,
                ..
            } => {
                let result = self.producer_ids.next().map(|producer_id| (producer_id, 0));
                self.reply(token, TransactionReply::InitProducerId(result));
            }
            TransactionRequest::InitProducerId {
                transactional_id: Some(id),
                timeout_ms,
                expected,
            } => {
                if let Err(error) = self.init_producer_id(token, &id, timeout_ms, expected, now_ms) {
                    self.reply(token, TransactionReply::InitProducerId(Err(error)));
                }
            }
            TransactionRequest::AddPartitions {
                transactional_id,
                producer_id,
                producer_epoch,
                partitions,
                client_version,
            } => {
                let identity = (producer_id, producer_epoch);
                let added = self.add_partitions(
                    token,
                    &transactional_id,
                    identity,
                    partitions,
                    client_version,
                    now_ms,
                );
                if let Err(error) = added {
                    self.reply(token, TransactionReply::AddPartitions(Err(error)));
                }
            }
            TransactionRequest::EndTxn {
                transactional_id,
                producer_id,
                producer_epoch,
                commit,
                client_version,
            } => {
                let identity = (producer_id, producer_epoch);
                let ended =
                    self.end_transaction(token, &transactional_id, identity, commit, client_version, now_ms);
                if let Err(error) = ended {
                    self.reply(token, TransactionReply::EndTxn(Err(error)));
                }
            }
        }
    }

    fn add_partitions(
        &mut self,
        token: Token,
        transactional_id: &str,
        identity: (i64, i16),
        partitions: TopicPartitions,
        client_version: i16,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let current = self.state_of(transactional_id, identity)?;
        let done = TransactionReply::AddPartitions(Ok(()));
        if current.state == TransactionState::Ongoing && current.contains(&partitions) {
            self.reply(token, done);
            return Ok(());
        }
        let next = current.with_partitions(partitions, client_version, now_ms);
        self.append(transactional_id, next, Some((token, done)));
        Ok(())
    }

    /// Appends `next` as the pending state of an existing id.
    fn append(
        &mut self,
        transactional_id: &str,
        next: TransactionMetadata,
        reply: Option<(Token, TransactionReply)>,
    ) {
        let value = encode_value(&next);
        let entry = self
            .entries
            .get_mut(transactional_id)
            .expect("steps are taken on ids that exist");
        assert!(
            entry.pending.is_none(),
            "one step at a time for {transactional_id}"
        );
        entry.pending = Some(next);
        self.push_append(transactional_id, Some(value), reply);
    }

    fn push_append(
        &mut self,
        transactional_id: &str,
        value: Option<Bytes>,
        reply: Option<(Token, TransactionReply)>,
    ) {
        let append = self.next_append;
        self.next_append += 1;
        let expires = value.is_none();
        self.appends.insert(
            append,
            Append {
                transactional_id: transactional_id.to_owned(),
                reply,
                expires,
            },
        );
        self.actions.push(TransactionAction::Append {
            append,
            partition: coordinator_partition(transactional_id, self.config.partition_count),
            key: encode_key(transactional_id),
            value,
        });
    }

    fn appended(&mut self, append: AppendId, result: Result<(), ResponseError>) {
        let Some(Append {
            transactional_id,
            reply,
            expires,
        }) = self.appends.remove(&append)
        else {
            return;
        };
        let Some(entry) = self.entries.get_mut(&transactional_id) else {
            return;
        };
        let pending = entry.pending.take();
        if let Err(error) = result {
            // An id whose first record failed is not in the log: forget it, so that ids cannot pile up.
            if entry.current.producer_epoch == NO_PRODUCER_EPOCH {
                self.entries.remove(&transactional_id);
            }
            if let Some((token, reply)) = reply {
                self.reply(token, reply.into_error(error));
            }
            return;
        }
        if expires {
            self.entries.remove(&transactional_id);
            return;
        }
        entry.current = pending.expect("an append that does not expire its id has a pending state");
        entry.has_unlogged_fence = false;
        if entry.current.state.is_prepared() {
            entry.unmarked = entry.current.partitions.clone();
            entry.waiting = reply;
            self.write_markers(&transactional_id);
        } else if let Some((token, reply)) = reply {
            self.reply(token, reply);
        }
    }

    fn tick(&mut self, now_ms: i64) {
        if now_ms >= self.next_abort_check_ms {
            self.next_abort_check_ms = now_ms.saturating_add(self.config.abort_interval_ms);
            self.abort_timed_out(now_ms);
            self.resend_markers();
        }
        if now_ms >= self.next_expire_check_ms {
            self.next_expire_check_ms = now_ms.saturating_add(self.config.expire_interval_ms);
            self.expire_ids(now_ms);
        }
    }

    fn expire_ids(&mut self, now_ms: i64) {
        let mut expired: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.pending.is_none() && entry.current.state.is_idle())
            .filter(|(_, entry)| {
                now_ms.saturating_sub(entry.current.last_update_ms) >= self.config.id_expiration_ms
            })
            .map(|(id, _)| id.clone())
            .collect();
        expired.sort_unstable();
        for id in expired {
            let entry = self.entries.get_mut(&id).expect("it was just found");
            // A pending state that nobody sees: it keeps requests away until the tombstone is in the log.
            entry.pending = Some(entry.current.clone());
            self.push_append(&id, None, None);
        }
    }

    fn reply(&mut self, token: Token, reply: TransactionReply) {
        self.actions.push(TransactionAction::Reply { token, reply });
    }

    fn is_valid_id(transactional_id: &str) -> bool {
        !transactional_id.is_empty() && transactional_id.len() <= MAX_ID_BYTES
    }
}

impl Entry {
    fn new(current: TransactionMetadata) -> Self {
        let unmarked = if current.state.is_prepared() {
            current.partitions.clone()
        } else {
            TopicPartitions::new()
        };
        Self {
            current,
            pending: None,
            unmarked,
            marking: false,
            waiting: None,
            has_unlogged_fence: false,
        }
    }
}
