//! Aggregations whose functions may fail.

use std::sync::Arc;

use streams_core::processor::BoxError;

use crate::names::prefix;
use crate::operators::aggregate::{Steps, TryAggregator, TryReducer};
use crate::operators::session_aggregate::{TrySessionAggregator, TrySessionReducer};
use crate::operators::table_group::{TryRefold, TryRereduce};
use crate::options::Materialized;
use crate::{
    Data, KGroupedStream, KGroupedTable, KTable, SessionWindowedKStream, TimeWindowedKStream, Windowed,
};

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record; the row
/// of its key is then as it was.
impl<K: Data, V: Data> KGroupedStream<K, V> {
    /// As [`reduce`](Self::reduce), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let amounts = builder.stream::<String, i64>("amounts").group_by_key();
    /// amounts.try_reduce(|sum, n| sum.checked_add(n).ok_or("too much"), Materialized::named("sums"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for n in [3, i64::MAX, 4] {
    ///     driver.input("amounts").pipe("ada".to_string(), n)?;
    /// }
    /// let sums = driver.key_value_store::<String, i64>("sums")?;
    /// assert_eq!(sums.get(&"ada".into()).unwrap().unwrap().value, 7);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_reduce<E: Into<BoxError> + 'static>(
        &self,
        reduce: impl Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        let materialized = materialized.carried_by(&self.serdes.value);
        let step = Steps::Fallible(Arc::new(TryReducer(reduce)));
        self.stepped(prefix::REDUCE, step, materialized)
    }

    /// As [`aggregate`](Self::aggregate), with functions that may fail.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.stream::<String, String>("texts").group_by_key();
    /// let add = |_: &String, text: String, sum: i64| Ok::<_, ParseIntError>(sum + text.parse::<i64>()?);
    /// texts.try_aggregate(|| Ok(0), add, Materialized::named("sums")).to_stream().to("sums");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue).dead_letter_topic("no-numbers");
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven", "1"] {
    ///     driver.input("texts").pipe("ada".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("sums").read_values(), [7, 8]);
    /// assert_eq!(driver.output::<String, String>("no-numbers").read_values(), ["seven"]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_aggregate<A: Data, E: Into<BoxError> + 'static>(
        &self,
        initial: impl Fn() -> Result<A, E> + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let step = Steps::Fallible(Arc::new(TryAggregator { initial, add }));
        self.stepped(prefix::AGGREGATE, step, materialized)
    }
}

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record: then
/// nothing more is done about it, and those of its windows that were updated before stay updated, as in Kafka.
impl<K: Data, V: Data> TimeWindowedKStream<K, V> {
    /// As [`reduce`](Self::reduce), with a function that may fail.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let amounts = builder.stream::<String, i64>("amounts").group_by_key().windowed_by(minutes);
    /// amounts.try_reduce(|sum, n| sum.checked_add(n).ok_or("too much"), Materialized::named("sums"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for n in [3, i64::MAX, 4] {
    ///     driver.input("amounts").pipe_at("ada".to_string(), n, 5)?;
    /// }
    /// let sums = driver.window_store::<String, i64>("sums")?;
    /// assert_eq!(sums.fetch(&"ada".into(), 0).unwrap().unwrap().value, 7);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_reduce<E: Into<BoxError> + 'static>(
        &self,
        reduce: impl Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let materialized = materialized.carried_by(&self.grouped.serdes.value);
        let step = Steps::Fallible(Arc::new(TryReducer(reduce)));
        self.stepped(prefix::REDUCE, step, materialized)
    }

    /// As [`aggregate`](Self::aggregate), with functions that may fail.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let minutes = TimeWindows::of_size_with_no_grace(Duration::from_secs(60));
    /// let texts = builder.stream::<String, String>("texts").group_by_key().windowed_by(minutes);
    /// let add = |_: &String, text: String, sum: i64| Ok::<_, ParseIntError>(sum + text.parse::<i64>()?);
    /// texts.try_aggregate(|| Ok(0), add, Materialized::named("sums"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["7", "seven", "1"] {
    ///     driver.input("texts").pipe_at("ada".to_string(), text.to_string(), 5)?;
    /// }
    /// let sums = driver.window_store::<String, i64>("sums")?;
    /// assert_eq!(sums.fetch(&"ada".into(), 0).unwrap().unwrap().value, 8);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_aggregate<A: Data, E: Into<BoxError> + 'static>(
        &self,
        initial: impl Fn() -> Result<A, E> + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let step = Steps::Fallible(Arc::new(TryAggregator { initial, add }));
        self.stepped(prefix::AGGREGATE, step, materialized)
    }
}

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record; the
/// sessions of its key are then as they were.
impl<K: Data, V: Data> SessionWindowedKStream<K, V> {
    /// As [`reduce`](Self::reduce), with a function that may fail.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sessions = SessionWindows::of_inactivity_gap_with_no_grace(Duration::from_millis(10));
    /// let amounts = builder.stream::<String, i64>("amounts").group_by_key().windowed_by(sessions);
    /// amounts.try_reduce(|sum, n| sum.checked_add(n).ok_or("too much"), Materialized::named("sums"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (n, at_ms) in [(3, 5), (i64::MAX, 7), (4, 12)] {
    ///     driver.input("amounts").pipe_at("ada".to_string(), n, at_ms)?;
    /// }
    /// let sums = driver.session_store::<String, i64>("sums")?;
    /// assert_eq!(sums.fetch_session(&"ada".into(), 5, 12).unwrap().unwrap().value, 7);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_reduce<E: Into<BoxError> + 'static>(
        &self,
        reduce: impl Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<Windowed<K>, V> {
        let materialized = materialized.carried_by(&self.grouped.serdes.value);
        self.stepped(prefix::REDUCE, Arc::new(TrySessionReducer(reduce)), materialized)
    }

    /// As [`aggregate`](Self::aggregate), with functions that may fail.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let sessions = SessionWindows::of_inactivity_gap_and_grace(Duration::from_millis(10), Duration::from_secs(1));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(sessions);
    /// let pages = clicks.try_aggregate(
    ///     || Ok(String::new()),
    ///     |_, page, pages| Ok(format!("{pages}/{page}")),
    ///     |_, a, b| if a.len() + b.len() > 20 { Err("a bot") } else { Ok(a + &b) },
    ///     Materialized::named("pages"),
    /// );
    /// pages.to_stream().to("pages");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (page, at_ms) in [("home", 5), ("advertisement-number-seven", 25), ("between", 15)] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), page.to_string(), at_ms)?;
    /// }
    /// // The record that would have made one session of two was dropped.
    /// let pages = driver.session_store::<String, String>("pages")?;
    /// assert_eq!(pages.fetch_session(&"ada".into(), 5, 5).unwrap().unwrap().value, "/home");
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_aggregate<A: Data, E: Into<BoxError> + 'static>(
        &self,
        initial: impl Fn() -> Result<A, E> + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
        merge: impl Fn(&K, A, A) -> Result<A, E> + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<Windowed<K>, A> {
        let step = Arc::new(TrySessionAggregator { initial, add, merge });
        self.stepped(prefix::AGGREGATE, step, materialized)
    }
}

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the change; the
/// group's row is then as it was. A group that missed a change differs from its table from then on.
impl<K: Data, V: Data> KGroupedTable<K, V> {
    /// As [`reduce`](Self::reduce), with functions that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("stock", Materialized::default());
    /// let total = stock.group_by(|_, n| ("all".to_string(), *n)).try_reduce(
    ///     |sum, n| sum.checked_add(n).ok_or("too much"),
    ///     |sum, n| sum.checked_sub(n).ok_or("too little"),
    ///     Materialized::named("total"),
    /// );
    /// total.to_stream().to("total");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (item, n) in [("tea", 3), ("rice", i64::MAX), ("salt", 1)] {
    ///     driver.input("stock").pipe(item.to_string(), n)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("total").read_values(), [3, 4]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_reduce<E: Into<BoxError> + 'static>(
        &self,
        add: impl Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
        subtract: impl Fn(V, V) -> Result<V, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        let materialized = materialized.carried_by(&self.serdes.value);
        let step = Arc::new(TryRereduce {
            add,
            remove: subtract,
        });
        self.stepped(prefix::TABLE_REDUCE, step, materialized)
    }

    /// As [`aggregate`](Self::aggregate), with functions that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, String>("prices", Materialized::default());
    /// let parsed = |price: String| price.parse::<f64>();
    /// let total = prices.group_by(|_, price| ("all".to_string(), price.clone())).try_aggregate(
    ///     || Ok(0.0),
    ///     move |_, price, sum| Ok::<_, std::num::ParseFloatError>(sum + parsed(price)?),
    ///     move |_, price, sum| Ok(sum - parsed(price)?),
    ///     Materialized::named("total"),
    /// );
    /// total.to_stream().to("total");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (item, price) in [("tea", "2.5"), ("salt", "cheap"), ("rice", "1.5")] {
    ///     driver.input("prices").pipe(item.to_string(), price.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, f64>("total").read_values(), [2.5, 4.0]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_aggregate<A: Data, E: Into<BoxError> + 'static>(
        &self,
        initial: impl Fn() -> Result<A, E> + Send + Sync + 'static,
        add: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
        subtract: impl Fn(&K, V, A) -> Result<A, E> + Send + Sync + 'static,
        materialized: Materialized<A>,
    ) -> KTable<K, A> {
        let step = Arc::new(TryRefold {
            initial,
            add,
            remove: subtract,
        });
        self.stepped(prefix::TABLE_AGGREGATE, step, materialized)
    }
}
