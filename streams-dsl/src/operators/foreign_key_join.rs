//! A table joined with another by a key that is part of its value.
//!
//! ```text
//!   left row --> SubscriptionSend == topic by foreign key ==> SubscriptionReceive --> SubscriptionJoin --.
//!                                                              (keeps who asked)      (looks right up)    |
//!   right row ------------------------------------------------------------------> ForeignTableJoin ------+
//!                                                                                  (who asked for it)     |
//!   result <-- ResponseJoin <============================ topic by primary key ===========================
//!              (is the left row still that one?)
//! ```
//!
//! An answer carries the hash of the left value it was asked for with, so that one which comes too late is dropped.

use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::{ProcessCause, ProcessResult};
use streams_core::metrics::DropReason;
use streams_core::serde::{Serde, SerdeError};
use streams_core::store::{Direction, KeyValueStore, StoreResult};
use streams_core::{Headers, Record, TaskContext};

use super::table_join::Join;
use super::{self as operators, Tried, place};
use crate::change::Change;
use crate::foreign_key_serde::{
    CombinedKey, CombinedKeySerde, Instruction, Response, Subscription, ValueHash, hash,
};
use crate::view::TableView;

/// Takes the foreign key out of a key and a value.
pub(crate) type Extract<K, V, F> = Arc<dyn Fn(&K, &V) -> Tried<Option<F>> + Send + Sync>;

/// A serde, and the topic that it is given.
pub(crate) struct HashedBy<V> {
    pub(crate) serde: Arc<dyn Serde<V>>,
    pub(crate) topic: String,
}

impl<V> HashedBy<V> {
    fn bytes(&self, value: &V) -> StoreResult<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = self.serde.serialize(&self.topic, value, &mut bytes);
        written.map_err(|error| failed(&self.topic, error))?;
        Ok(bytes)
    }

    fn hash(&self, value: &V) -> StoreResult<ValueHash> {
        Ok(hash(&self.bytes(value)?))
    }
}

fn failed(topic: &str, error: SerdeError) -> ProcessCause {
    ProcessCause::Serde {
        action: "write",
        part: "value",
        topic: topic.to_owned(),
        error,
    }
}

/// Asks for the row of the foreign key of each left row, and takes back what was asked before.
pub(crate) struct SubscriptionSend<K, V, F> {
    pub(crate) node: String,
    pub(crate) extract: Extract<K, V, F>,
    pub(crate) is_left: bool,
    /// Rows of a versioned table that are not the latest are not joined.
    pub(crate) uses_versions: bool,
    pub(crate) value: HashedBy<V>,
    pub(crate) foreign_key: HashedBy<F>,
    pub(crate) next: Edge<Option<F>, Subscription<K>>,
}

impl<K: Clone, V, F> Process<K, Change<V>> for SubscriptionSend<K, V, F> {
    fn process(&mut self, record: Record<K, Change<V>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.uses_versions && !record.value.is_latest {
            task.count_dropped(DropReason::OutOfOrder);
            return Ok(());
        }
        let Record {
            key,
            value: Change { new, old, .. },
            timestamp_ms,
            headers,
        } = record;
        let extracted = self
            .extracted(&key, old.as_ref())
            .and_then(|old_key| Ok((old_key, self.extracted(&key, new.as_ref())?)));
        let (old_key, new_key) = match extracted {
            Ok(extracted) => extracted,
            Err(error) => return task.processing_failed(error, &self.node),
        };
        let hash = new.as_ref().map(|new| self.value.hash(new)).transpose();
        let hash = hash.map_err(|cause| place(cause, &self.node, task))?;
        let changed = self.changed(new_key.as_ref(), old_key.as_ref());
        let changed = changed.map_err(|cause| place(cause, &self.node, task))?;
        let mut send = |foreign_key: Option<F>, instruction: Instruction, task: &mut TaskContext<'_>| {
            let subscription = Subscription {
                hash,
                instruction,
                primary_key: key.clone(),
                primary_partition: Some(task.task_id().partition),
            };
            let asked = Record {
                key: foreign_key,
                value: subscription,
                timestamp_ms,
                headers: headers.clone(),
            };
            self.next.process(asked, task)
        };
        if self.is_left {
            if old.is_none() && new.is_none() {
                return Ok(());
            }
            if old_key.is_some() && changed {
                send(old_key, Instruction::DeleteKeyNoPropagate, task)?;
            }
            return send(new_key, Instruction::PropagateNullIfNoFkValAvailable, task);
        }
        match (&new, old_key, new_key) {
            (None, Some(old_key), _) => send(Some(old_key), Instruction::DeleteKeyAndPropagate, task),
            (None, None, _) => Ok(()),
            (Some(_), old_key, None) => {
                task.count_dropped(DropReason::NullKey);
                match old_key {
                    Some(old_key) => send(Some(old_key), Instruction::DeleteKeyAndPropagate, task),
                    None => Ok(()),
                }
            }
            (Some(_), Some(old_key), Some(new_key)) if changed => {
                send(Some(old_key), Instruction::DeleteKeyNoPropagate, task)?;
                send(Some(new_key), Instruction::PropagateNullIfNoFkValAvailable, task)
            }
            (Some(_), _, Some(new_key)) => {
                send(Some(new_key), Instruction::PropagateOnlyIfFkValAvailable, task)
            }
        }
    }
}

impl<K, V, F> SubscriptionSend<K, V, F> {
    fn extracted(&self, key: &K, value: Option<&V>) -> Tried<Option<F>> {
        value.map_or(Ok(None), |value| (self.extract)(key, value))
    }

    /// Whether two foreign keys are not the same, by their bytes.
    fn changed(&self, new: Option<&F>, old: Option<&F>) -> StoreResult<bool> {
        let bytes = |key: Option<&F>| key.map(|key| self.foreign_key.bytes(key)).transpose();
        Ok(bytes(new)? != bytes(old)?)
    }
}

type Subscriptions<K, F> = KeyValueStore<CombinedKey<F, K>, Subscription<K>>;

/// Keeps who asked for which foreign key.
pub(crate) struct SubscriptionReceive<K, F> {
    pub(crate) node: String,
    pub(crate) store: Subscriptions<K, F>,
    pub(crate) next: Edge<Option<F>, Subscription<K>>,
}

impl<K: Clone, F: Clone> Process<Option<F>, Subscription<K>> for SubscriptionReceive<K, F> {
    fn process(
        &mut self,
        record: Record<Option<F>, Subscription<K>>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let subscription = &record.value;
        let Some(foreign_key) = &record.key else {
            if subscription.instruction == Instruction::PropagateNullIfNoFkValAvailable {
                return self.next.process(record, task);
            }
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        };
        let key = CombinedKey {
            foreign_key: foreign_key.clone(),
            primary_key: subscription.primary_key.clone(),
        };
        let deletes = matches!(
            subscription.instruction,
            Instruction::DeleteKeyAndPropagate | Instruction::DeleteKeyNoPropagate
        );
        let kept = (!deletes).then(|| subscription.clone());
        let put = self.store.put(&key, kept, record.timestamp_ms);
        put.map_err(|cause| place(cause, &self.node, task))?;
        self.next.process(record, task)
    }
}

/// Answers who asked with the row that is there.
pub(crate) struct SubscriptionJoin<K, F, W> {
    pub(crate) node: String,
    pub(crate) right: Box<dyn TableView<F, W>>,
    pub(crate) next: Edge<K, Response<W>>,
}

impl<K, F, W: Clone> Process<Option<F>, Subscription<K>> for SubscriptionJoin<K, F, W> {
    fn process(
        &mut self,
        record: Record<Option<F>, Subscription<K>>,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        let Record {
            key,
            value: subscription,
            timestamp_ms,
            headers,
        } = record;
        let mut row = None;
        if let Some(foreign_key) = &key {
            let mut look =
                |found: Option<(&W, i64)>| row = found.map(|(value, at_ms)| (value.clone(), at_ms));
            let read = self.right.read(foreign_key, &mut look);
            if let Err(cause) = read {
                return operators::failed(cause, &self.node, task);
            }
        }
        let timestamp_ms = row
            .as_ref()
            .map_or(timestamp_ms, |(_, at_ms)| timestamp_ms.max(*at_ms));
        let value = match (subscription.instruction, row) {
            (Instruction::DeleteKeyNoPropagate, _) | (Instruction::PropagateOnlyIfFkValAvailable, None) => {
                return Ok(());
            }
            (Instruction::DeleteKeyAndPropagate, _) => None,
            (_, row) => row.map(|(value, _)| value),
        };
        let Subscription {
            hash,
            primary_key,
            primary_partition,
            ..
        } = subscription;
        let answer = Record {
            key: primary_key,
            value: Response {
                hash,
                value,
                primary_partition,
            },
            timestamp_ms,
            headers,
        };
        self.next.process(answer, task)
    }
}

/// Tells all who asked for a foreign key of its row's updates.
pub(crate) struct ForeignTableJoin<K, F, W> {
    pub(crate) node: String,
    pub(crate) store: Subscriptions<K, F>,
    pub(crate) keys: CombinedKeySerde<F, K>,
    pub(crate) foreign_key_serde: Arc<dyn Serde<F>>,
    /// Of the store.
    pub(crate) changelog: String,
    pub(crate) uses_versions: bool,
    pub(crate) next: Edge<K, Response<W>>,
}

impl<K: Clone, F: Clone, W: Clone> Process<F, Change<W>> for ForeignTableJoin<K, F, W> {
    fn process(&mut self, record: Record<F, Change<W>>, task: &mut TaskContext<'_>) -> ProcessResult {
        if self.foreign_key_serde.is_null(&record.key) {
            task.count_dropped(DropReason::NullKey);
            return Ok(());
        }
        if self.uses_versions && !record.value.is_latest {
            task.count_dropped(DropReason::OutOfOrder);
            return Ok(());
        }
        let subscriptions = self.subscriptions(&record.key);
        let subscriptions = subscriptions.map_err(|cause| place(cause, &self.node, task))?;
        for subscription in subscriptions {
            let Subscription {
                hash,
                primary_key,
                primary_partition,
                ..
            } = subscription;
            let answer = Record {
                key: primary_key,
                value: Response {
                    hash,
                    value: record.value.new.clone(),
                    primary_partition,
                },
                timestamp_ms: record.timestamp_ms,
                headers: record.headers.clone(),
            };
            self.next.process(answer, task)?;
        }
        Ok(())
    }
}

impl<K: Clone, F: Clone, W> ForeignTableJoin<K, F, W> {
    fn subscriptions(&self, foreign_key: &F) -> StoreResult<Vec<Subscription<K>>> {
        let prefix = self
            .keys
            .prefix(&self.changelog, foreign_key)
            .map_err(|error| failed(&self.changelog, error))?;
        let rows = self.store.prefix_scan(&prefix, Direction::Forward)?;
        let mut subscriptions = Vec::new();
        for row in rows {
            subscriptions.push(row?.1.value);
        }
        Ok(subscriptions)
    }
}

/// Joins an answer with the left row, if that is still the one that asked.
pub(crate) struct ResponseJoin<K, V, W, R> {
    pub(crate) node: String,
    pub(crate) left: Box<dyn TableView<K, V>>,
    pub(crate) value: HashedBy<V>,
    /// Of the left row and what was found.
    pub(crate) join: Join<V, W, R>,
    pub(crate) next: Edge<K, Option<R>>,
}

impl<K, V, W, R> Process<K, Response<W>> for ResponseJoin<K, V, W, R> {
    fn process(&mut self, record: Record<K, Response<W>>, task: &mut TaskContext<'_>) -> ProcessResult {
        let Record {
            key,
            value: response,
            timestamp_ms,
            headers,
        } = record;
        let mut result = Ok(None);
        let read = self.left.read(&key, &mut |row| {
            let value = row.map(|(value, _)| value);
            result = value
                .map(|value| self.value.hash(value))
                .transpose()
                .and_then(|current| {
                    if current != response.hash {
                        return Ok(None);
                    }
                    let joined = (self.join)(value, response.value.as_ref());
                    joined.map(Some).map_err(ProcessCause::User)
                });
        });
        match read.and(result) {
            Ok(Some(value)) => self.send(key, value, timestamp_ms, headers, task),
            Ok(None) => {
                task.count_dropped(DropReason::StaleResponse);
                Ok(())
            }
            Err(cause) => operators::failed(cause, &self.node, task),
        }
    }
}

impl<K, V, W, R> ResponseJoin<K, V, W, R> {
    fn send(
        &mut self,
        key: K,
        value: Option<R>,
        timestamp_ms: i64,
        headers: Headers,
        task: &mut TaskContext<'_>,
    ) -> ProcessResult {
        self.next.process(
            Record {
                key,
                value,
                timestamp_ms,
                headers,
            },
            task,
        )
    }
}
