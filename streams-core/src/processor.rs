//! The Processor API: what a user implements to do anything the DSL has no operator for.
//!
//! A processor that exists is initialised: it takes its stores and schedules from [`ProcessorInit`] when it is made, so
//! there is no state in which it must not be used.

mod context;
mod fixed_key;
mod init;
mod live;
mod schedule;
#[cfg(test)]
mod tests;

pub(crate) use context::Place;
pub use context::ProcessorContext;
pub(crate) use fixed_key::{FixedKey, process_fixed_key};
pub use fixed_key::{FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
pub use init::ProcessorInit;
pub(crate) use live::{Punctuate, live_processor};
pub use schedule::{PunctuationType, Schedule, Scheduler};

use crate::record::Record;

/// What user code may fail with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Processes records one at a time (Kafka's `Processor`). See [`TopologyBuilder`](crate::topology::TopologyBuilder) for an
/// example.
pub trait Processor<KI, VI, KO, VO>: 'static {
    /// Processes one record; what it [forwards](ProcessorContext::forward) is processed before that call returns.
    ///
    /// # Errors
    /// Any error stops the thread before it commits; the record is processed again after a restart.
    fn process(
        &mut self,
        record: Record<KI, VI>,
        context: &mut ProcessorContext<'_, '_, KO, VO>,
    ) -> Result<(), BoxError>;

    /// Called when a [schedule](Scheduler::schedule) is due, between records. Stream time: as of the records processed;
    /// wall-clock time: the clock's. Missed intervals are one call.
    ///
    /// # Errors
    /// As for [`process`](Self::process).
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, KO, VO>,
    ) -> Result<(), BoxError> {
        let _ = (schedule, timestamp_ms, context);
        Ok(())
    }
}
