//! What an application can be told of while it runs: its state, and the restoring of its stores.

use std::fmt::{self, Debug};
use std::sync::Arc;

use super::State;
use crate::log::TopicPartition;

/// Hears how stores are restored (Kafka Streams' `StateRestoreListener`), global ones included. Nothing is done by default.
///
/// The calls come from the thread that restores, which goes on when they return: they should be short. Of each store of a task with a
/// changelog there is one start, and one end or suspension, even if nothing is missing.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use streams_core::log::TopicPartition;
/// use streams_core::runtime::{RestoreListener, StreamsConfig};
///
/// #[derive(Default)]
/// struct Restored(AtomicU64);
/// impl RestoreListener for Restored {
///     fn on_restore_end(&self, _: &TopicPartition, _: &str, restored: u64) {
///         self.0.fetch_add(restored, Ordering::Relaxed);
///     }
/// }
///
/// let config = StreamsConfig::new("word-count").restore_listener(Restored::default());
/// ```
pub trait RestoreListener: Send + Sync {
    /// A store is about to be restored from its changelog, from the first offset that is missing to before `end_offset`.
    fn on_restore_start(&self, changelog: &TopicPartition, store: &str, start_offset: i64, end_offset: i64) {
        let _ = (changelog, store, start_offset, end_offset);
    }

    /// Some records were restored, the last of them at this offset.
    fn on_batch_restored(&self, changelog: &TopicPartition, store: &str, last_offset: i64, restored: u64) {
        let _ = (changelog, store, last_offset, restored);
    }

    /// A store is complete, after this many records.
    fn on_restore_end(&self, changelog: &TopicPartition, store: &str, restored: u64) {
        let _ = (changelog, store, restored);
    }

    /// Its task went elsewhere before a store was complete.
    fn on_restore_suspended(&self, changelog: &TopicPartition, store: &str, restored: u64) {
        let _ = (changelog, store, restored);
    }
}

/// Hears how the state of an application changes (Kafka Streams' `KafkaStreams.StateListener`). Implemented for functions of the new
/// state and the old one.
///
/// The calls come in the order of the changes, from whichever thread made them, which goes on when they return. They must not close
/// the application: tell another thread to.
///
/// ```
/// use streams_core::runtime::{State, StreamsConfig};
///
/// let config = StreamsConfig::new("word-count").state_listener(|new: State, old: State| println!("{old:?} -> {new:?}"));
/// ```
pub trait StateListener: Send + Sync {
    /// The state is another.
    fn on_change(&self, new: State, old: State);
}

impl<F: Fn(State, State) + Send + Sync> StateListener for F {
    fn on_change(&self, new: State, old: State) {
        self(new, old);
    }
}

struct Silent;

impl RestoreListener for Silent {}

impl StateListener for Silent {
    fn on_change(&self, _: State, _: State) {}
}

/// The listeners of an application.
#[derive(Clone)]
pub(crate) struct Listeners {
    pub(crate) restore: Arc<dyn RestoreListener>,
    pub(crate) state: Arc<dyn StateListener>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            restore: Arc::new(Silent),
            state: Arc::new(Silent),
        }
    }
}

impl Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners").finish_non_exhaustive()
    }
}
