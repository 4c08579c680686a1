//! Operators of tables whose functions may fail.

use streams_core::processor::BoxError;
use streams_core::serde::DefaultSerde;

use super::tried;
use crate::options::{Grouped, Materialized, TableJoined};
use crate::table_join::JoinKind;
use crate::{Data, KGroupedTable, KTable};

/// Functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the update: the
/// row is then as it was, for all that comes after, until the key's next update.
///
/// A table that is not in a store computes again what it is asked for. Whoever looks up a row on which that fails, such as a
/// join, fails on its own record. Where old values are needed, as by `group_by` and by joins that are not inner ones, the old
/// value of the update after the one that failed fails too, and is dropped with it; what is taken away by the one after that was
/// never there. A store prevents both: give the table one by the form `_with` a [`Materialized`] that has a name. Only the old values
/// of joins are joined anew even so. All this is as in Kafka.
impl<K: Data, V: Data> KTable<K, V> {
    /// As [`filter`](Self::filter), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_filter(|_, text| text.parse::<i64>().map(|n| n > 9)).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, Option<String>>("out").read_values(), [Some("70".to_string()), None]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter<E: Into<BoxError> + 'static>(
        &self,
        keep: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| tried(keep(key, value)), None)
    }

    /// As [`filter_with`](Self::filter_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_filter_with(|_, text| text.parse::<i64>().map(|n| n > 9), Materialized::named("chosen"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// let row = driver.key_value_store::<String, String>("chosen")?.get(&"a".into()).unwrap();
    /// assert!(row.is_none());
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_with<E: Into<BoxError> + 'static>(
        &self,
        keep: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| tried(keep(key, value)), Some(materialized))
    }

    /// As [`filter_not`](Self::filter_not), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_filter_not(|_, text| text.parse::<i64>().map(|n| n > 9)).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, Option<String>>("out").read_values(), [None, Some("7".to_string())]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_not<E: Into<BoxError> + 'static>(
        &self,
        drop: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
    ) -> KTable<K, V> {
        self.filtered(move |key, value| Ok(!tried(drop(key, value))?), None)
    }

    /// As [`filter_not_with`](Self::filter_not_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_filter_not_with(|_, text| text.parse::<i64>().map(|n| n > 9), Materialized::named("chosen"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// let row = driver.key_value_store::<String, String>("chosen")?.get(&"a".into()).unwrap();
    /// assert_eq!(row.unwrap().value, "7");
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_not_with<E: Into<BoxError> + 'static>(
        &self,
        drop: impl Fn(&K, &V) -> Result<bool, E> + Send + Sync + 'static,
        materialized: Materialized<V>,
    ) -> KTable<K, V> {
        self.filtered(
            move |key, value| Ok(!tried(drop(key, value))?),
            Some(materialized),
        )
    }

    /// As [`map_values`](Self::map_values), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_map_values(|text| text.parse::<i64>()).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, Option<i64>>("out").read_values(), [Some(70), Some(7)]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map_values<W: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(V) -> Result<W, E> + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.mapped(move |_, value| tried(map(value)).map(Some), None)
    }

    /// As [`map_values_with_key`](Self::map_values_with_key), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_map_values_with_key(|key, text| text.parse::<i64>().map(|n| format!("{key}{n}"))).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["a70", "a7"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map_values_with_key<W: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(&K, V) -> Result<W, E> + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| tried(map(key, value)).map(Some), None)
    }

    /// As [`map_values_with`](Self::map_values_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_map_values_with(|text| text.parse::<i64>(), Materialized::named("numbers"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// let row = driver.key_value_store::<String, i64>("numbers")?.get(&"a".into()).unwrap();
    /// assert_eq!(row.unwrap().value, 7);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_map_values_with<W: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(V) -> Result<W, E> + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W> {
        self.mapped(move |_, value| tried(map(value)).map(Some), Some(materialized))
    }

    /// As [`filter_map_values`](Self::filter_map_values), with a function that may fail: `Ok(None)` deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// texts.try_filter_map_values(|_, text| text.parse::<i64>().map(|n| (n > 9).then_some(n))).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, Option<i64>>("out").read_values(), [Some(70), None]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_map_values<W: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(&K, V) -> Result<Option<W>, E> + Send + Sync + 'static,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| tried(map(key, value)), None)
    }

    /// As [`filter_map_values_with`](Self::filter_map_values_with), with a function that may fail: `Ok(None)` deletes the row.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// let numbers = Materialized::named("numbers");
    /// texts.try_filter_map_values_with(|_, text| text.parse::<i64>().map(|n| (n > 9).then_some(n)), numbers);
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for text in ["70", "seven", "7"] {
    ///     driver.input("texts").pipe("a".to_string(), text.to_string())?;
    /// }
    /// assert!(driver.key_value_store::<String, i64>("numbers")?.get(&"a".into()).unwrap().is_none());
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_filter_map_values_with<W: Data, E: Into<BoxError> + 'static>(
        &self,
        map: impl Fn(&K, V) -> Result<Option<W>, E> + Send + Sync + 'static,
        materialized: Materialized<W>,
    ) -> KTable<K, W> {
        self.mapped(move |key, value| tried(map(key, value)), Some(materialized))
    }

    /// As [`group_by`](Self::group_by), with a function that may fail. The group that missed a change differs from its table from
    /// then on.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// let numbers = texts.try_group_by(|_, text| text.parse::<i64>().map(|n| ("all".to_string(), n)));
    /// numbers.reduce(|a, b| a + b, |a, b| a - b, Materialized::named("sums")).to_stream().to("sums");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (key, text) in [("a", "70"), ("b", "seven"), ("c", "7")] {
    ///     driver.input("texts").pipe(key.to_string(), text.to_string())?;
    /// }
    /// let sums = driver.output::<String, i64>("sums").read_key_values();
    /// assert_eq!(sums, [("all".into(), 70), ("all".into(), 77)]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_group_by<KO: Data + DefaultSerde, VO: Data + DefaultSerde, E: Into<BoxError> + 'static>(
        &self,
        select: impl Fn(&K, &V) -> Result<(KO, VO), E> + Send + Sync + 'static,
    ) -> KGroupedTable<KO, VO> {
        self.try_group_by_with(select, Grouped::default())
    }

    /// As [`group_by_with`](Self::group_by_with), with a function that may fail. The group that missed a change differs from its
    /// table from then on.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let texts = builder.table::<String, String>("texts", Materialized::default());
    /// let numbers = texts.try_group_by_with(|_, text| text.parse::<i64>().map(|n| ("all".to_string(), n)), Grouped::named("numbers"));
    /// numbers.count(Materialized::named("counts"));
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// for (key, text) in [("a", "70"), ("b", "seven"), ("c", "7")] {
    ///     driver.input("texts").pipe(key.to_string(), text.to_string())?;
    /// }
    /// assert_eq!(driver.written("app-numbers-repartition").len(), 2);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_group_by_with<KO: Data, VO: Data, E: Into<BoxError> + 'static>(
        &self,
        select: impl Fn(&K, &V) -> Result<(KO, VO), E> + Send + Sync + 'static,
        grouped: Grouped<KO, VO>,
    ) -> KGroupedTable<KO, VO> {
        self.grouped_by(move |key, value| tried(select(key, value)), grouped)
    }

    /// As [`join_with`](Self::join_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let counts = builder.table::<String, i64>("counts", Materialized::default());
    /// let worth = prices.try_join_with(
    ///     &counts,
    ///     |price, n| price.checked_mul(*n).ok_or("too much"),
    ///     Materialized::named("worth"),
    /// );
    /// worth.to_stream().to("worth");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("prices").pipe("tea".to_string(), i64::MAX)?;
    /// driver.input("counts").pipe("tea".to_string(), 2_i64)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// assert_eq!(driver.output::<String, Option<i64>>("worth").read_values(), [Some(6)]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_join_with<T: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, &T) -> Result<R, E> + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(tried(joiner(left?, right?)));
        self.joined(other, JoinKind::Inner, joiner, Some(materialized))
    }

    /// As [`left_join_with`](Self::left_join_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let counts = builder.table::<String, i64>("counts", Materialized::default());
    /// let worth = prices.try_left_join_with(
    ///     &counts,
    ///     |price, n| price.checked_mul(*n.unwrap_or(&0)).ok_or("too much"),
    ///     Materialized::named("worth"),
    /// );
    /// worth.to_stream().to("worth");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("prices").pipe("tea".to_string(), i64::MAX)?;
    /// driver.input("counts").pipe("tea".to_string(), 2_i64)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// assert_eq!(driver.output::<String, Option<i64>>("worth").read_values(), [Some(0), Some(6)]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_left_join_with<T: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(&V, Option<&T>) -> Result<R, E> + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(tried(joiner(left?, right)));
        self.joined(other, JoinKind::Left, joiner, Some(materialized))
    }

    /// As [`outer_join_with`](Self::outer_join_with), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let counts = builder.table::<String, i64>("counts", Materialized::default());
    /// let worth = prices.try_outer_join_with(
    ///     &counts,
    ///     |price, n| price.unwrap_or(&0).checked_mul(*n.unwrap_or(&0)).ok_or("too much"),
    ///     Materialized::named("worth"),
    /// );
    /// worth.to_stream().to("worth");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("prices").pipe("tea".to_string(), i64::MAX)?;
    /// driver.input("counts").pipe("tea".to_string(), 2_i64)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// assert_eq!(driver.output::<String, Option<i64>>("worth").read_values(), [Some(0), Some(6)]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_outer_join_with<T: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KTable<K, T>,
        joiner: impl Fn(Option<&V>, Option<&T>) -> Result<R, E> + Send + Sync + 'static,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&T>| Some(tried(joiner(left, right)));
        self.joined(other, JoinKind::Outer, joiner, Some(materialized))
    }

    /// As [`join_foreign_key_with`](Self::join_foreign_key_with), with functions that may fail. Where no foreign key could be
    /// computed, the joined row stays as it was, whatever becomes of the other table; and the row's next update is dropped too, as it
    /// needs the old foreign key.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.parse::<i64>().map(Some);
    /// let (by, rows) = (TableJoined::default(), Materialized::default());
    /// orders.try_join_foreign_key_with(&names, customer, |_, name| Ok(name.clone()), by, rows).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for (id, order) in [(1_i64, "7"), (2, "seven")] {
    ///     driver.input("orders").pipe(id, order.to_string())?;
    /// }
    /// let out = driver.output::<i64, Option<String>>("out").read_key_values();
    /// assert_eq!(out, [(1, Some("Ada".into()))]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_join_foreign_key_with<F: Data, W: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Result<Option<F>, E> + Send + Sync + 'static,
        joiner: impl Fn(&V, &W) -> Result<R, E> + Send + Sync + 'static,
        joined: TableJoined<K, V, F, W>,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(tried(joiner(left?, right?)));
        let foreign_key = move |key: &K, value: &V| tried(foreign_key(key, value));
        self.joined_by_key(other, foreign_key, joiner, false, joined, materialized)
    }

    /// As [`left_join_foreign_key_with`](Self::left_join_foreign_key_with), with functions that may fail. Where no foreign key could be
    /// computed, the joined row stays as it was, whatever becomes of the other table; and the row's next update is dropped too, as it
    /// needs the old foreign key.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.table::<i64, String>("orders", Materialized::default());
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let customer = |_: &i64, order: &String| order.parse::<i64>().map(Some);
    /// let (by, rows) = (TableJoined::default(), Materialized::default());
    /// orders.try_left_join_foreign_key_with(&names, customer, |_, name| Ok(name.cloned().unwrap_or_default()), by, rows).to_stream().to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for (id, order) in [(1_i64, "7"), (2, "seven")] {
    ///     driver.input("orders").pipe(id, order.to_string())?;
    /// }
    /// let out = driver.output::<i64, Option<String>>("out").read_key_values();
    /// assert_eq!(out, [(1, Some("Ada".into()))]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_left_join_foreign_key_with<F: Data, W: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KTable<F, W>,
        foreign_key: impl Fn(&K, &V) -> Result<Option<F>, E> + Send + Sync + 'static,
        joiner: impl Fn(&V, Option<&W>) -> Result<R, E> + Send + Sync + 'static,
        joined: TableJoined<K, V, F, W>,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let joiner = move |left: Option<&V>, right: Option<&W>| Some(tried(joiner(left?, right)));
        let foreign_key = move |key: &K, value: &V| tried(foreign_key(key, value));
        self.joined_by_key(other, foreign_key, joiner, true, joined, materialized)
    }
}
