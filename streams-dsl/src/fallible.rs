//! Operators of streams whose functions may fail.

mod aggregates;

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use streams_core::Record;
use streams_core::processor::{BoxError, Processor, ProcessorContext, ProcessorInit};
use streams_core::topology::OperatorSupplier;

use crate::lower::Lower;
use crate::names::prefix;
use crate::plan::KeyEffect;
use crate::{Data, KStream};

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record. See also
/// [`try_map_values`](Self::try_map_values).
impl<K: Data, V: Data> KStream<K, V> {
    /// As [`filter`](Self::filter), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_filter(|_, text| text.parse::<i64>().map(|n| n > 9)).to("large");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("large").read_key_values(), [("a".into(), "70".into())]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter<E: Into<BoxError> + 'static>(
        &self,
        keep: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        let each = move |record: Record<K, V>, context: &mut ProcessorContext<'_, '_, K, V>| {
            if keep(&record.key, &record.value).map_err(Into::into)? {
                context.forward(record)?;
            }
            Ok(())
        };
        self.with_node(self.then(prefix::FILTER, KeyEffect::Keeps, lower(each)))
    }

    /// As [`map`](Self::map), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_map(|key, text| Ok::<_, std::num::ParseIntError>((text.parse::<i64>()?, key))).to("by-number");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, String>("by-number").read_key_values(), [(7, "a".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map<KO: Data, VO: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(K, V) -> Result<(KO, VO), E> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let each = move |record: Record<K, V>, context: &mut ProcessorContext<'_, '_, KO, VO>| {
            let (key, value) = map(record.key, record.value).map_err(Into::into)?;
            context.forward(Record {
                key,
                value,
                timestamp_ms: record.timestamp_ms,
                headers: record.headers,
            })
        };
        let node = self.then(prefix::MAP, KeyEffect::Changes, lower(each));
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// As [`flat_map_values`](Self::flat_map_values), with a function that may fail: then nothing of the record is passed on.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let numbers = |line: String| line.split(' ').map(str::parse::<i64>).collect::<Result<Vec<_>, _>>();
    /// builder.stream::<String, String>("lines").try_flat_map_values(numbers).to("numbers");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for line in ["7 8", "9 ten"] {
    ///     driver.input("lines").pipe("a".to_string(), line.to_string())?;
    /// }
    /// let numbers = driver.output::<String, i64>("numbers").read_key_values();
    /// assert_eq!(numbers, [("a".into(), 7), ("a".into(), 8)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map_values<VO: Data, I: IntoIterator<Item = VO>, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let each = move |record: Record<K, V>, context: &mut ProcessorContext<'_, '_, K, VO>| {
            for value in map(record.value).map_err(Into::into)? {
                context.forward(Record {
                    key: record.key.clone(),
                    value,
                    timestamp_ms: record.timestamp_ms,
                    headers: record.headers.clone(),
                })?;
            }
            Ok(())
        };
        let node = self.then(prefix::FLAT_MAP_VALUES, KeyEffect::Keeps, lower(each));
        self.plan.borrow_mut().node_mut(node).changes_values = true;
        self.with_values(node)
    }
}

/// A processor without state.
struct Each<F, R>(Arc<F>, PhantomData<fn() -> R>);

impl<KI, VI, KO, VO, F> Processor<KI, VI, KO, VO> for Each<F, (KI, VI, KO, VO)>
where
    KI: 'static,
    VI: 'static,
    KO: 'static,
    VO: 'static,
    F: Fn(Record<KI, VI>, &mut ProcessorContext<'_, '_, KO, VO>) -> Result<(), BoxError> + 'static,
{
    fn process(
        &mut self,
        record: Record<KI, VI>,
        context: &mut ProcessorContext<'_, '_, KO, VO>,
    ) -> Result<(), BoxError> {
        (self.0)(record, context)
    }
}

fn lower<KI: Data, VI: Data, KO: Data, VO: Data>(
    each: impl Fn(Record<KI, VI>, &mut ProcessorContext<'_, '_, KO, VO>) -> Result<(), BoxError>
    + Send
    + Sync
    + 'static,
) -> Lower {
    let each = Arc::new(each);
    let supplier = move |_: &mut ProcessorInit<'_, '_>| Ok(Each(Arc::clone(&each), PhantomData));
    Lower::Operator(OperatorSupplier::processor::<KI, VI, KO, VO, _>(supplier))
}
