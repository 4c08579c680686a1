//! InitProducerId for a transactional id: who may take over an id, and with which epoch.
//!
//! The rules are those of KIP-98 and KIP-360. What must stay true: two producers never hold the same producer id and epoch,
//! and a retry of a request whose answer was lost gets the answer that was lost.

use kafka_protocol::ResponseError;

use super::state::{NO_PRODUCER_EPOCH, TransactionMetadata, TransactionState};
use super::{Entry, Token, TransactionCoordinator, TransactionReply};

impl TransactionCoordinator {
    pub(super) fn init_producer_id(
        &mut self,
        token: Token,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<(i64, i16)>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if !Self::is_valid_id(transactional_id) {
            return Err(ResponseError::InvalidRequest);
        }
        if timeout_ms <= 0 || timeout_ms > self.config.max_timeout_ms {
            return Err(ResponseError::InvalidTransactionTimeout);
        }
        if !self.entries.contains_key(transactional_id) {
            if self.entries.len() >= self.config.max_transactional_ids {
                return Err(ResponseError::PolicyViolation);
            }
            let created = TransactionMetadata::new(self.producer_ids.next()?, timeout_ms, now_ms);
            self.entries
                .insert(transactional_id.to_owned(), Entry::new(created));
        }
        let entry = &self.entries[transactional_id];
        let current = &entry.current;
        if entry.pending.is_some() {
            return Err(ResponseError::ConcurrentTransactions);
        }
        if expected.is_some_and(|expected| !may_hold(current, expected)) {
            return Err(ResponseError::ProducerFenced);
        }
        match current.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                Err(ResponseError::ConcurrentTransactions)
            }
            TransactionState::Ongoing => {
                // The epoch of the fence is never given to anybody. The client asks again and gets the one after it.
                let retry = TransactionReply::InitProducerId(Err(ResponseError::ConcurrentTransactions));
                self.fence_and_abort(transactional_id, Some((token, retry)), now_ms);
                Ok(())
            }
            TransactionState::Empty | TransactionState::CompleteCommit | TransactionState::CompleteAbort => {
                let expected_epoch = expected.map(|(_, epoch)| epoch);
                let next = if current.is_epoch_exhausted()
                    && expected_epoch.is_none_or(|epoch| epoch == current.producer_epoch)
                {
                    let producer_id = self.producer_ids.next()?;
                    self.entries[transactional_id].current.rotated(
                        producer_id,
                        expected.is_some(),
                        timeout_ms,
                        now_ms,
                    )
                } else {
                    bumped(current, expected_epoch, timeout_ms, now_ms)?
                };
                let reply = TransactionReply::InitProducerId(Ok((next.producer_id, next.producer_epoch)));
                self.append(transactional_id, next, Some((token, reply)));
                Ok(())
            }
        }
    }
}

/// Whether a producer that says it has this id and epoch can be the one the coordinator knows: nobody had an epoch yet, the
/// producer id is the current one (its epoch is compared later), or it is the one before a rotation that the producer may
/// not have heard of.
fn may_hold(current: &TransactionMetadata, (producer_id, epoch): (i64, i16)) -> bool {
    current.producer_epoch == NO_PRODUCER_EPOCH
        || producer_id == current.producer_id
        || (producer_id == current.previous_producer_id && epoch >= super::LAST_PRODUCER_EPOCH)
}

/// The next state with the same producer id: one epoch up, or the same epoch for a retry whose answer was lost.
fn bumped(
    current: &TransactionMetadata,
    expected_epoch: Option<i16>,
    timeout_ms: i32,
    now_ms: i64,
) -> Result<TransactionMetadata, ResponseError> {
    let next_epoch = current.producer_epoch.saturating_add(1);
    let (epoch, last_epoch) = match expected_epoch {
        // A producer that starts fresh, or an id that was created for this very request.
        None => (next_epoch, NO_PRODUCER_EPOCH),
        Some(_) if current.producer_epoch == NO_PRODUCER_EPOCH => (0, NO_PRODUCER_EPOCH),
        Some(expected) if expected == current.producer_epoch => (next_epoch, current.producer_epoch),
        Some(expected) if expected == current.last_producer_epoch => {
            (current.producer_epoch, current.last_producer_epoch)
        }
        Some(_) => return Err(ResponseError::ProducerFenced),
    };
    Ok(current.initialized(epoch, last_epoch, timeout_ms, now_ms))
}
