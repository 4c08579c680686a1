//! Stores of the user's own making, with methods of their own: logged and restored as all stores are.
//!
//! ```text
//!   processor -> Custom<S>.write -> S, and what it says of its changes -> changelog, at the commit
//!   changelog -> S.restore        before its task runs
//!   task      -> S.flush          after a commit, with the changelog offset that goes with it
//! ```
//!
//! To the rest of the runtime it is a byte store that can only be restored.

use std::fmt::Debug;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use state_store::{Direction, Error, KeyValueIter, WriteBatch};

use super::StoreResult;
use super::task::{RestoredRow, StoreBase, TaskStore};
use crate::error::ProcessCause;
use crate::log::{Producer, RecordView};
use crate::processor::BoxError;
use crate::record::Headers;

/// A store of one's own (Kafka's `StateStore`, with its `StateRestoreCallback`): whatever keeps state and can be rebuilt from
/// records of bytes, such as a sketch, a ranking, or an index on disk.
///
/// Processors get to it by a [`Custom`] handle, and say there what is to be logged. What is logged is committed with the records
/// that it came from. A task that does not come to its commit is dropped with its store, and a new one is opened and restored: so a
/// store must keep nothing outside of itself but by [`flush`](Self::flush). It is closed by being dropped.
///
/// ```
/// use std::collections::{BTreeSet, HashMap};
/// use streams_core::Record;
/// use streams_core::processor::{BoxError, Processor, ProcessorContext};
/// use streams_core::store::{ChangelogRecord, Custom, CustomStore, CustomStoreBuilder};
/// use streams_core::testing::TopologyTestDriver;
/// use streams_core::topology::{SinkOptions, SourceOptions, TopicName, TopologyBuilder};
///
/// /// Scores of players, and who is in front.
/// #[derive(Default)]
/// struct Ranking {
///     scores: HashMap<String, i64>,
///     order: BTreeSet<(i64, String)>,
/// }
///
/// impl Ranking {
///     fn set(&mut self, player: &str, score: i64) {
///         if let Some(before) = self.scores.insert(player.to_string(), score) {
///             self.order.remove(&(before, player.to_string()));
///         }
///         self.order.insert((score, player.to_string()));
///     }
///
///     fn best(&self) -> Option<&str> {
///         self.order.last().map(|(_, player)| player.as_str())
///     }
/// }
///
/// impl CustomStore for Ranking {
///     fn restore(&mut self, records: &[ChangelogRecord<'_>]) -> Result<(), BoxError> {
///         for record in records {
///             let score = record.value.ok_or("a score is never deleted")?.try_into()?;
///             self.set(std::str::from_utf8(record.key)?, i64::from_be_bytes(score));
///         }
///         Ok(())
///     }
///
///     fn clear(&mut self) -> Result<(), BoxError> {
///         *self = Self::default();
///         Ok(())
///     }
/// }
///
/// /// Says who is in front after each score.
/// struct Leader(Custom<Ranking>);
///
/// impl Processor<String, i64, String, String> for Leader {
///     fn process(
///         &mut self,
///         score: Record<String, i64>,
///         context: &mut ProcessorContext<'_, '_, String, String>,
///     ) -> Result<(), BoxError> {
///         let leader = self.0.write(|ranking, changes| {
///             ranking.set(&score.key, score.value);
///             changes.log(score.key.as_bytes(), Some(&score.value.to_be_bytes()), score.timestamp_ms);
///             ranking.best().unwrap_or_default().to_string()
///         });
///         context.forward(score.with_value(leader))
///     }
/// }
///
/// let mut builder = TopologyBuilder::new();
/// let scores = builder.add_source::<String, i64>("in", [TopicName::external("scores")], SourceOptions::default());
/// let ranking = CustomStoreBuilder::new("ranking", |_| Ok(Ranking::default()));
/// let leader = builder.add_processor("lead", &[scores], ranking, |init| Ok(Leader(init.custom_store("ranking")?)));
/// builder.add_sink("out", TopicName::external("leaders"), &[leader], SinkOptions::default());
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// driver.input("scores").pipe_key_values([("ada", 3_i64), ("bob", 2), ("bob", 5)].map(|(key, n)| (key.to_string(), n)))?;
/// assert_eq!(driver.output::<String, String>("leaders").read_values(), ["ada", "ada", "bob"]);
/// assert_eq!(driver.written("app-ranking-changelog").len(), 3);
/// # Ok::<(), streams_core::error::StreamsError>(())
/// ```
pub trait CustomStore: Send + 'static {
    /// Applies records of the changelog, in their order: those that were logged since
    /// [`changelog_offset`](Self::changelog_offset), and if it is compacted of each key perhaps only the last. Never called once a
    /// processor has written.
    ///
    /// # Errors
    /// Any error stops the application.
    fn restore(&mut self, records: &[ChangelogRecord<'_>]) -> Result<(), BoxError>;

    /// Forgets everything, the changelog offset too: the store does not fit its changelog, and is restored whole.
    ///
    /// # Errors
    /// Any error stops the application.
    fn clear(&mut self) -> Result<(), BoxError>;

    /// The offset that [`flush`](Self::flush) was given last, in this life or an earlier one: restoring begins there. Default: none,
    /// and all of the changelog is restored at every start.
    ///
    /// # Errors
    /// Any error stops the application.
    fn changelog_offset(&self) -> Result<Option<i64>, BoxError> {
        Ok(None)
    }

    /// For stores on disk: keeps all there is, and with it, as a whole or not at all, this changelog offset. All that was written
    /// is committed then. Called every [`store_flush_interval_ms`](crate::runtime::StreamsConfig::store_flush_interval_ms) if there
    /// is anything new, and at the end. The offset is `None` if the store has no changelog, or nothing in it yet. Default: does
    /// nothing.
    ///
    /// # Errors
    /// Any error stops the application.
    fn flush(&mut self, changelog_offset: Option<i64>) -> Result<(), BoxError> {
        let _ = changelog_offset;
        Ok(())
    }
}

/// A record of the changelog of a [`CustomStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangelogRecord<'a> {
    /// The key, as it was logged.
    pub key: &'a [u8],
    /// The value, as it was logged; none if it was deleted.
    pub value: Option<&'a [u8]>,
    /// Event time, in milliseconds.
    pub timestamp_ms: i64,
}

/// What was changed in a [`CustomStore`], as it will be restored.
#[derive(Debug, Default)]
pub struct Changes {
    records: Vec<LoggedChange>,
    bytes: usize,
}

#[derive(Debug)]
struct LoggedChange {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

impl Changes {
    /// What a record takes in memory beside its key and value.
    const RECORD_BYTES: usize = size_of::<LoggedChange>() + 32;

    /// Logs a record with the next commit, after all that were logged before: key, value or none for a deletion, event time. The
    /// changelog is compacted by key, unless its config says otherwise.
    pub fn log(&mut self, key: &[u8], value: Option<&[u8]>, timestamp_ms: i64) {
        self.bytes += Self::RECORD_BYTES + key.len() + value.map_or(0, <[u8]>::len);
        self.records.push(LoggedChange {
            key: key.to_vec(),
            value: value.map(<[u8]>::to_vec),
            timestamp_ms,
        });
    }
}

/// A processor's handle of a [`CustomStore`]; see there for an example. Cheap to clone: clones reach the same store.
///
/// Do not use a handle of a store inside of what [`read`](Self::read) or [`write`](Self::write) of the same store is given: it
/// would wait for itself.
pub struct Custom<S>(Arc<Mutex<Opened<S>>>);

impl<S> Clone for Custom<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Custom<S> {
    /// Looks something up.
    pub fn read<R>(&self, read: impl FnOnce(&S) -> R) -> R {
        read(&self.opened().store)
    }

    /// Changes something, and [logs](Changes::log) what is to be restored.
    pub fn write<R>(&self, write: impl FnOnce(&mut S, &mut Changes) -> R) -> R {
        let opened = &mut *self.opened();
        opened.is_flushed = false;
        write(&mut opened.store, &mut opened.changes)
    }

    fn opened(&self) -> MutexGuard<'_, Opened<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Debug for Custom<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Custom").finish_non_exhaustive()
    }
}

/// A store in one task.
struct Opened<S> {
    store: S,
    changes: Changes,
    /// Up to where the store has its changelog, as far as it is known.
    changelog_offset: Option<i64>,
    is_flushed: bool,
}

/// A store as what is restored.
pub(super) struct CustomBytes<S> {
    name: String,
    custom: Custom<S>,
}

impl<S> CustomBytes<S> {
    pub(super) fn new(name: &str, store: S) -> Self {
        Self {
            name: name.to_owned(),
            custom: Custom(Arc::new(Mutex::new(Opened {
                store,
                changes: Changes::default(),
                changelog_offset: None,
                is_flushed: true,
            }))),
        }
    }

    pub(super) fn handle(&self) -> Custom<S> {
        self.custom.clone()
    }

    fn failed(&self, operation: &str, error: BoxError) -> Error {
        failed_to_open(&self.name, operation, error)
    }
}

/// What a store of the user's says when it is opened and restored.
pub(super) fn failed_to_open(store: &str, operation: &str, error: BoxError) -> Error {
    Error::InvalidSpec {
        store: store.to_owned(),
        reason: format!("it failed to {operation}: {error}"),
    }
}

impl<S> Debug for CustomBytes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomBytes").field("name", &self.name).finish()
    }
}

impl<S: CustomStore> state_store::KeyValueStore for CustomBytes<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn persistent(&self) -> bool {
        false
    }

    fn get(&self, _: &[u8]) -> state_store::Result<Option<Bytes>> {
        Ok(None)
    }

    fn write(&self, batch: &WriteBatch) -> state_store::Result<()> {
        let records: Vec<ChangelogRecord<'_>> = batch.iter().filter_map(record_of).collect();
        let opened = &mut *self.custom.opened();
        let restored = opened.store.restore(&records);
        restored.map_err(|error| self.failed("restore its changelog", error))?;
        if batch.changelog_offset().is_some() {
            opened.changelog_offset = batch.changelog_offset();
            opened.is_flushed = false;
        }
        Ok(())
    }

    fn range(&self, _: Bound<&[u8]>, _: Bound<&[u8]>, _: Direction) -> state_store::Result<KeyValueIter> {
        Ok(Box::new(std::iter::empty()))
    }

    fn approximate_len(&self) -> state_store::Result<u64> {
        Ok(0)
    }

    fn changelog_offset(&self) -> state_store::Result<Option<i64>> {
        let offset = self.custom.opened().store.changelog_offset();
        offset.map_err(|error| self.failed("say its changelog offset", error))
    }

    fn flush(&self) -> state_store::Result<()> {
        Ok(())
    }

    fn clear(&self) -> state_store::Result<()> {
        let mut opened = self.custom.opened();
        opened.changelog_offset = None;
        opened.store.clear().map_err(|error| self.failed("clear", error))
    }

    fn expire_before(&self, _: i64) -> state_store::Result<usize> {
        Ok(0)
    }
}

/// The record of a changelog on its way to a store: whether there is a value, the time, and the value.
fn restored_row(
    key: &[u8],
    value: Option<&[u8]>,
    timestamp_ms: i64,
    row_key: &mut Vec<u8>,
    row: &mut Vec<u8>,
) -> bool {
    row_key.extend_from_slice(key);
    row.push(u8::from(value.is_some()));
    row.extend_from_slice(&timestamp_ms.to_be_bytes());
    row.extend_from_slice(value.unwrap_or_default());
    true
}

fn record_of<'a>((key, row): (&'a [u8], Option<&'a [u8]>)) -> Option<ChangelogRecord<'a>> {
    let (&has_value, rest) = row?.split_first()?;
    let (time, value) = rest.split_first_chunk()?;
    Some(ChangelogRecord {
        key,
        value: (has_value == 1).then_some(value),
        timestamp_ms: i64::from_be_bytes(*time),
    })
}

/// A store as its task has it.
pub(super) struct LiveCustom<S> {
    pub(super) base: StoreBase,
    pub(super) custom: Custom<S>,
    pub(super) limit_bytes: usize,
}

impl<S> Debug for LiveCustom<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveCustom")
            .field("name", &self.base.name)
            .finish_non_exhaustive()
    }
}

impl<S: CustomStore> TaskStore for LiveCustom<S> {
    fn base(&self) -> &StoreBase {
        &self.base
    }

    fn restored(&self) -> RestoredRow {
        restored_row
    }

    fn write_changelog(&self, producer: &mut dyn Producer) -> StoreResult<usize> {
        let changes = std::mem::take(&mut self.custom.opened().changes);
        let headers = Headers::default();
        for change in &changes.records {
            let Some(changelog) = self.changelog() else { break };
            let record = RecordView {
                key: Some(&change.key),
                value: change.value.as_deref(),
                timestamp_ms: change.timestamp_ms,
                headers: &headers,
            };
            producer.send(changelog.handle, changelog.partition, record)?;
        }
        Ok(changes.records.len())
    }

    fn set_changelog_offset(&self, offset: i64) {
        self.custom.opened().changelog_offset = Some(offset);
    }

    fn flush(&self) -> StoreResult<()> {
        let opened = &mut *self.custom.opened();
        if !opened.is_flushed {
            let flushed = opened.store.flush(opened.changelog_offset);
            let failed = |error| format!("store {} failed to flush: {error}", self.base.name);
            flushed.map_err(|error| ProcessCause::User(failed(error).into()))?;
            opened.is_flushed = true;
        }
        Ok(())
    }

    fn over_limit(&self) -> bool {
        self.custom.opened().changes.bytes > self.limit_bytes / 2
    }
}
