//! Processors that leave keys as they are: what they implement, get, and can do.

use super::{BoxError, Processor, ProcessorContext, Schedule};
use crate::context::TaskContext;
use crate::record::{Headers, Record};

/// Processes records one at a time and leaves their keys as they are (Kafka's `FixedKeyProcessor`): nothing behind it needs
/// another partitioning.
///
/// ```
/// use streams_core::processor::{BoxError, FixedKeyProcessor, FixedKeyProcessorContext, FixedKeyRecord};
///
/// /// Passes on how many characters a text has.
/// struct Measure;
///
/// impl<K: Clone + 'static> FixedKeyProcessor<K, String, usize> for Measure {
///     fn process(
///         &mut self,
///         record: FixedKeyRecord<K, String>,
///         context: &mut FixedKeyProcessorContext<'_, '_, '_, K, usize>,
///     ) -> Result<(), BoxError> {
///         let length = record.value().chars().count();
///         context.forward(record.with_value(length))
///     }
/// }
/// ```
pub trait FixedKeyProcessor<K, VI, VO>: 'static {
    /// Processes one record; what it [forwards](FixedKeyProcessorContext::forward) is processed before that call returns.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn process(
        &mut self,
        record: FixedKeyRecord<K, VI>,
        context: &mut FixedKeyProcessorContext<'_, '_, '_, K, VO>,
    ) -> Result<(), BoxError>;

    /// Called when a schedule is due, as [`Processor::punctuate`]. There is no record here, so nothing can be forwarded.
    ///
    /// # Errors
    /// As for [`Processor::process`].
    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        task: &mut TaskContext<'_>,
    ) -> Result<(), BoxError> {
        let _ = (schedule, timestamp_ms, task);
        Ok(())
    }
}

/// A record whose key stays (Kafka's `FixedKeyRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedKeyRecord<K, V>(Record<K, V>);

impl<K, V> FixedKeyRecord<K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.0.key
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.0.value
    }

    /// Event time, milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        self.0.timestamp_ms
    }

    /// The headers.
    pub fn headers(&self) -> &Headers {
        &self.0.headers
    }

    /// The same record with another value.
    pub fn with_value<W>(self, value: W) -> FixedKeyRecord<K, W> {
        FixedKeyRecord(self.0.with_value(value))
    }

    /// The same record with its value mapped by `f`, unless that fails.
    ///
    /// # Errors
    /// What `f` returns.
    pub fn try_map_value<W, E>(self, f: impl FnOnce(V) -> Result<W, E>) -> Result<FixedKeyRecord<K, W>, E> {
        let Record {
            key,
            value,
            timestamp_ms,
            headers,
        } = self.0;
        Ok(FixedKeyRecord(Record {
            key,
            value: f(value)?,
            timestamp_ms,
            headers,
        }))
    }

    /// The same record with another event time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn with_timestamp_ms(mut self, timestamp_ms: i64) -> Self {
        self.0.timestamp_ms = timestamp_ms;
        self
    }

    /// The same record with other headers.
    #[must_use]
    pub fn with_headers(mut self, headers: Headers) -> Self {
        self.0.headers = headers;
        self
    }
}

/// What a [`FixedKeyProcessor`] can do while it works (Kafka's `FixedKeyProcessorContext`).
#[derive(Debug)]
pub struct FixedKeyProcessorContext<'a, 'b, 'c, K, VO>(&'a mut ProcessorContext<'b, 'c, K, VO>);

impl<'c, K, VO> FixedKeyProcessorContext<'_, '_, 'c, K, VO> {
    /// Passes a record on, and returns when all downstream work on it is done.
    ///
    /// # Errors
    /// If something downstream failed. Return it: the thread stops.
    pub fn forward(&mut self, record: FixedKeyRecord<K, VO>) -> Result<(), BoxError> {
        self.0.forward(record.0)
    }

    /// Passes a record on to one of the processors and sinks that come next, by its name: see
    /// [`ProcessorContext::forward_to`].
    ///
    /// # Errors
    /// If nothing of that name comes next, or something downstream failed. Return it: the thread stops.
    pub fn forward_to(&mut self, child: &str, record: FixedKeyRecord<K, VO>) -> Result<(), BoxError> {
        self.0.forward_to(child, record.0)
    }

    /// Time, task, position of the record, and requests to the task.
    pub fn task(&mut self) -> &mut TaskContext<'c> {
        self.0.task()
    }
}

/// Hands a record to a processor that leaves its key as it is.
pub(crate) fn process_fixed_key<K, VI, VO>(
    processor: &mut impl FixedKeyProcessor<K, VI, VO>,
    record: Record<K, VI>,
    context: &mut ProcessorContext<'_, '_, K, VO>,
) -> Result<(), BoxError> {
    processor.process(FixedKeyRecord(record), &mut FixedKeyProcessorContext(context))
}

/// A fixed-key processor as one of any key.
pub(crate) struct FixedKey<P>(pub(crate) P);

impl<K: 'static, VI: 'static, VO: 'static, P: FixedKeyProcessor<K, VI, VO>> Processor<K, VI, K, VO>
    for FixedKey<P>
{
    fn process(
        &mut self,
        record: Record<K, VI>,
        context: &mut ProcessorContext<'_, '_, K, VO>,
    ) -> Result<(), BoxError> {
        process_fixed_key(&mut self.0, record, context)
    }

    fn punctuate(
        &mut self,
        schedule: Schedule,
        timestamp_ms: i64,
        context: &mut ProcessorContext<'_, '_, K, VO>,
    ) -> Result<(), BoxError> {
        self.0.punctuate(schedule, timestamp_ms, context.task())
    }
}
