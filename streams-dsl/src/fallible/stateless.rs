//! Operators of streams without state whose functions may fail.

use streams_core::processor::BoxError;
use streams_core::serde::DefaultSerde;
use streams_core::{Record, TaskContext};

use super::tried;
use crate::options::{Grouped, Produced};
use crate::{BranchedKStream, Data, KGroupedStream, KStream, Terminal};

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record: then
/// nothing after the operator sees it.
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
        self.filtered(move |key, value| tried(keep(key, value)), true)
    }

    /// As [`filter_not`](Self::filter_not), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_filter_not(|_, text| text.parse::<i64>().map(|n| n > 9)).to("small");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("small").read_values(), ["7"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_not<E: Into<BoxError> + 'static>(
        &self,
        drop: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.filtered(move |key, value| tried(drop(key, value)), false)
    }

    /// As [`map`](Self::map), with a function that may fail.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_map(|key, text| Ok::<_, ParseIntError>((text.parse::<i64>()?, key))).to("by-number");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, String>("by-number").read_key_values(), [(7, "a".into())]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map<KO: Data, VO: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(K, V) -> Result<(KO, VO), E> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        self.mapped(move |key, value| tried(map(key, value)))
    }

    /// As [`map_values`](Self::map_values), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("texts").try_map_values(|text| text.parse::<i64>()).to("numbers");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue).dead_letter_topic("no-numbers");
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("numbers").read_key_values(), [("a".into(), 7)]);
    /// assert_eq!(driver.output::<String, String>("no-numbers").read_value().unwrap(), "seven");
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map_values<VO: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(V) -> Result<VO, E> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.mapped_values(move |_, value| tried(map(value)))
    }

    /// As [`map_values_with_key`](Self::map_values_with_key), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_map_values_with_key(|key, text| text.parse::<i64>().map(|n| format!("{key}{n}"))).to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["a7", "a70"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map_values_with_key<VO: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(&K, V) -> Result<VO, E> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.mapped_values(move |key, value| tried(map(key, value)))
    }

    /// As [`flat_map`](Self::flat_map), with a function that may fail: before the first of the records it makes.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_flat_map(|key, text| Ok::<_, ParseIntError>(vec![(text.parse::<i64>()?, key); 2])).to("twice");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<i64, String>("twice").read_key_values(), [(7, "a".into()), (7, "a".into())]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map<KO: Data, VO: Data, I: IntoIterator<Item = (KO, VO)>, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(K, V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        self.flat_mapped(move |key, value| tried(map(key, value)))
    }

    /// As [`flat_map_values`](Self::flat_map_values), with a function that may fail: before the first of the values it makes.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// fn numbers(line: String) -> Result<Vec<i64>, std::num::ParseIntError> {
    ///     line.split(' ').map(str::parse).collect()
    /// }
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("lines").try_flat_map_values(numbers).to("numbers");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for line in ["1 2", "3 and 4"] {
    ///     driver.input("lines").pipe("a".to_string(), line.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("numbers").read_values(), [1, 2]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map_values<VO: Data, I: IntoIterator<Item = VO>, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.flat_mapped_values(move |_, value| tried(map(value)))
    }

    /// As [`flat_map_values_with_key`](Self::flat_map_values_with_key), with a function that may fail: before the first of the
    /// values it makes.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_flat_map_values_with_key(|key, text| text.parse::<i64>().map(|n| [key.clone(), n.to_string()])).to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["a", "7", "a", "70"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_flat_map_values_with_key<VO: Data, I: IntoIterator<Item = VO>, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(&K, V) -> Result<I, E> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.flat_mapped_values(move |key, value| tried(map(key, value)))
    }

    /// As [`select_key`](Self::select_key), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_select_key(|_, text| text.parse::<i64>()).to("by-number");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// let keys: Vec<i64> = driver.output::<i64, String>("by-number").read_key_values().into_iter().map(|(n, _)| n).collect();
    /// assert_eq!(keys, [7, 70]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_select_key<KO: Data, E: Into<BoxError> + 'static>(
        &self,
        select: impl Fn(&K, &V) -> Result<KO, E> + Send + Sync + 'static,
    ) -> KStream<KO, V> {
        self.selected(move |key, value| tried(select(key, value)))
    }

    /// As [`peek`](Self::peek), with a function that may fail: what it failed on goes no further.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_peek(|_, text| text.parse::<i64>().map(|n| println!("{n}"))).to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["7", "70"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_peek<E: Into<BoxError> + 'static>(
        &self,
        look: impl Fn(&K, &V) -> Result<(), E> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.peeked(move |key, value| tried(look(key, value)))
    }

    /// As [`for_each`](Self::for_each), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// let (sent, sums) = std::sync::mpsc::channel();
    /// texts.try_for_each(move |_, text| {
    ///     sent.send(text.parse::<i64>()?)?;
    ///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    /// });
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(sums.try_iter().sum::<i64>(), 77);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn try_for_each<E: Into<BoxError> + 'static>(
        &self,
        action: impl Fn(K, V) -> Result<(), E> + Send + Sync + 'static,
    ) -> Terminal {
        self.each(move |key, value| tried(action(key, value)))
    }

    /// As [`group_by`](Self::group_by), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_group_by(|_, text| text.parse::<i64>().map(|n| n % 2)).count(Materialized::named("counts"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// let counts = driver.key_value_store::<i64, i64>("counts")?;
    /// assert_eq!((counts.get(&0).unwrap().unwrap().value, counts.get(&1).unwrap().unwrap().value), (1, 1));
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_group_by<KO: Data + DefaultSerde, E: Into<BoxError> + 'static>(
        &self,
        select: impl Fn(&K, &V) -> Result<KO, E> + Send + Sync + 'static,
    ) -> KGroupedStream<KO, V>
    where
        V: DefaultSerde,
    {
        self.try_group_by_with(select, Grouped::default())
    }

    /// As [`group_by_with`](Self::group_by_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// let odd = texts.try_group_by_with(|_, text| text.parse::<i64>().map(|n| n % 2), Grouped::named("odd"));
    /// odd.count(Materialized::named("counts"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.written("app-odd-repartition").len(), 2);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_group_by_with<KO: Data, E: Into<BoxError> + 'static>(
        &self,
        select: impl Fn(&K, &V) -> Result<KO, E> + Send + Sync + 'static,
        grouped: Grouped<KO, V>,
    ) -> KGroupedStream<KO, V> {
        self.grouped_by(move |key, value| tried(select(key, value)), grouped)
    }

    /// As [`to_dynamic`](Self::to_dynamic), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts");
    /// texts.try_to_dynamic(|record, _| record.value.parse::<i64>().map(|n| format!("topic-{n}")), Produced::default());
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("topic-70").read_values(), ["70"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn try_to_dynamic<E: Into<BoxError> + 'static>(
        &self,
        extractor: impl Fn(&Record<K, V>, &TaskContext<'_>) -> Result<String, E> + Send + Sync + 'static,
        produced: Produced<K, V>,
    ) -> Terminal {
        self.to_chosen(move |record, task| tried(extractor(record, task)), produced)
    }
}

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record.
impl<K: Data, V: Data> BranchedKStream<K, V> {
    /// As [`branch`](Self::branch), with a function that may fail. What it failed on goes to no branch.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, String>("texts").split();
    /// split.try_branch(|_, text| text.parse::<i64>().map(|n| n > 9)).to("large");
    /// split.default_branch().to("small");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "70", "seven"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("large").read_values(), ["70"]);
    /// assert_eq!(driver.output::<String, String>("small").read_values(), ["7"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_branch<E: Into<BoxError> + 'static>(
        &mut self,
        takes: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> KStream<K, V> {
        self.branched(move |key, value| tried(takes(key, value)))
    }
}
