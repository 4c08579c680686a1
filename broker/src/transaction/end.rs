//! The end of a transaction: EndTxn, fencing, timeouts, and the markers that make an outcome visible.
//!
//! It is apart because it is the part where a mistake loses or duplicates data. What must stay true: an outcome once in the
//! log is final, a repeated request gets the first outcome's answer or an error and never the opposite outcome, and a
//! transaction is complete only when no partition still waits for its marker.

use kafka_protocol::ResponseError;

use super::state::{
    LAST_PRODUCER_EPOCH, NO_PRODUCER_ID, TopicPartitions, TransactionMetadata, TransactionState,
};
use super::{Markers, Token, TransactionAction, TransactionCoordinator, TransactionReply};

/// Epoch of this coordinator in its markers. One process leads every partition for ever, so it never moves.
const COORDINATOR_EPOCH: i32 = 0;

/// First transaction protocol in which every end of a transaction bumps the epoch (KIP-890, part 2).
const EPOCH_BUMP_VERSION: i16 = 2;

/// What an EndTxn request leads to.
enum Step {
    /// Decide the outcome.
    Prepare,
    /// It was decided like this before: repeat the answer.
    Repeat,
}

impl TransactionCoordinator {
    pub(super) fn end_transaction(
        &mut self,
        token: Token,
        transactional_id: &str,
        (producer_id, producer_epoch): (i64, i16),
        commit: bool,
        client_version: i16,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if transactional_id.is_empty() {
            return Err(ResponseError::InvalidRequest);
        }
        let entry = self
            .entries
            .get(transactional_id)
            .ok_or(ResponseError::InvalidProducerIdMapping)?;
        let current = &entry.current;
        let retry = is_retry(current, producer_id, producer_epoch, client_version);
        if producer_id != current.producer_id && !retry {
            return Err(ResponseError::InvalidProducerIdMapping);
        }
        if producer_epoch != current.producer_epoch && !retry {
            return Err(ResponseError::ProducerFenced);
        }
        if entry.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        match step(current.state, commit, client_version, retry)? {
            Step::Repeat => {
                let identity = current.next_identity();
                self.reply(token, TransactionReply::EndTxn(Ok(identity)));
            }
            Step::Prepare => {
                let exhausted = client_version >= EPOCH_BUMP_VERSION && current.is_epoch_exhausted();
                let next_producer_id = if exhausted {
                    self.producer_ids.next()?
                } else {
                    NO_PRODUCER_ID
                };
                let current = &self.entries[transactional_id].current;
                let next = current.prepared(commit, client_version, next_producer_id, now_ms);
                let reply = TransactionReply::EndTxn(Ok(next.next_identity()));
                self.append(transactional_id, next, Some((token, reply)));
            }
        }
        Ok(())
    }

    /// Aborts the open transaction under an epoch that nobody has, so that its producer can do nothing more.
    pub(super) fn fence_and_abort(
        &mut self,
        transactional_id: &str,
        reply: Option<(Token, TransactionReply)>,
        now_ms: i64,
    ) {
        let entry = self
            .entries
            .get_mut(transactional_id)
            .expect("only known ids are fenced");
        if !std::mem::replace(&mut entry.has_unlogged_fence, true) {
            // The fence holds from now on, even if the append fails: PrepareEpochFence of Kafka, which is never logged.
            entry.current = entry.current.fenced();
        }
        // The fence itself is the bump, so the abort must not bump again whatever the client speaks.
        let next = entry.current.prepared(false, 0, NO_PRODUCER_ID, now_ms);
        self.append(transactional_id, next, reply);
    }

    pub(super) fn abort_timed_out(&mut self, now_ms: i64) {
        let mut timed_out: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.pending.is_none() && entry.current.is_timed_out(now_ms))
            .map(|(id, _)| id.clone())
            .collect();
        timed_out.sort_unstable();
        for id in timed_out {
            let timeout_ms = self.entries[&id].current.timeout_ms;
            tracing::warn!(
                transactional_id = id,
                timeout_ms,
                "a transaction was open for too long and is aborted"
            );
            self.fence_and_abort(&id, None, now_ms);
        }
    }

    /// Asks for the missing markers of every decided transaction: after a restart, and again when a write failed.
    pub(super) fn resend_markers(&mut self) {
        let mut unfinished: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                entry.pending.is_none() && !entry.marking && entry.current.state.is_prepared()
            })
            .map(|(id, _)| id.clone())
            .collect();
        unfinished.sort_unstable();
        for id in unfinished {
            self.write_markers(&id);
        }
    }

    pub(super) fn write_markers(&mut self, transactional_id: &str) {
        let entry = self
            .entries
            .get_mut(transactional_id)
            .expect("markers are written for known ids");
        entry.marking = true;
        self.actions.push(TransactionAction::WriteMarkers(Markers {
            transactional_id: transactional_id.to_owned(),
            producer_id: entry.current.producer_id,
            producer_epoch: entry.current.producer_epoch,
            commit: entry.current.state == TransactionState::PrepareCommit,
            coordinator_epoch: COORDINATOR_EPOCH,
            partitions: entry.unmarked.clone(),
        }));
    }

    pub(super) fn markers_written(&mut self, transactional_id: &str, failed: TopicPartitions, now_ms: i64) {
        let Some(entry) = self.entries.get_mut(transactional_id) else {
            return;
        };
        if !std::mem::take(&mut entry.marking) || !entry.current.state.is_prepared() {
            return;
        }
        let waiting = entry.waiting.take();
        if failed.is_empty() {
            entry.unmarked.clear();
            let next = entry.current.completed(now_ms);
            self.append(transactional_id, next, None);
        } else {
            tracing::warn!(
                transactional_id,
                ?failed,
                "markers could not be written and will be tried again"
            );
            entry.unmarked = failed;
        }
        // The outcome is in the log, so the answer is the same whether or not every marker is written yet.
        if let Some((token, reply)) = waiting {
            self.reply(token, reply);
        }
    }
}

/// Whether the request repeats an EndTxn that was decided: with transactions v2 the epoch has moved on since, or, when the
/// epochs were used up, the producer id.
fn is_retry(
    current: &TransactionMetadata,
    producer_id: i64,
    producer_epoch: i16,
    client_version: i16,
) -> bool {
    if client_version < EPOCH_BUMP_VERSION || current.client_version < EPOCH_BUMP_VERSION {
        return false;
    }
    let epoch_bumped = producer_id == current.producer_id
        && i32::from(current.producer_epoch) == i32::from(producer_epoch) + 1;
    let rotated = producer_id == current.previous_producer_id
        && producer_epoch == LAST_PRODUCER_EPOCH
        && current.producer_epoch == 0;
    epoch_bumped || rotated
}

fn step(
    state: TransactionState,
    commit: bool,
    client_version: i16,
    retry: bool,
) -> Result<Step, ResponseError> {
    let bumps_epoch = client_version >= EPOCH_BUMP_VERSION;
    match state {
        TransactionState::Ongoing if retry => Err(ResponseError::ProducerFenced),
        TransactionState::Ongoing => Ok(Step::Prepare),
        TransactionState::PrepareCommit if commit => Err(ResponseError::ConcurrentTransactions),
        TransactionState::PrepareAbort if !commit => Err(ResponseError::ConcurrentTransactions),
        TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
            Err(ResponseError::InvalidTxnState)
        }
        TransactionState::CompleteCommit if commit && (retry || !bumps_epoch) => Ok(Step::Repeat),
        TransactionState::CompleteAbort if !commit && (retry || !bumps_epoch) => Ok(Step::Repeat),
        // Transactions v2 may abort a transaction to which nothing was added: the client cannot know whether it was.
        TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort
            if bumps_epoch && !commit && !retry =>
        {
            Ok(Step::Prepare)
        }
        TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
            Err(ResponseError::InvalidTxnState)
        }
    }
}
