//! Joins of streams whose functions may fail: of each the form that is given the key and the options.

use streams_core::processor::BoxError;

use super::tried;
use crate::join_windows::JoinWindows;
use crate::options::{Joined, StreamJoined};
use crate::stream_join::JoinKind;
use crate::{Data, GlobalKTable, KStream, KTable};

/// Joins with functions that may fail. What they return as an error goes to the
/// [processing handler](streams_core::handlers::ErrorHandlers::processing), which stops the application or drops the record.
impl<K: Data, V: Data> KStream<K, V> {
    /// As [`join_with_key`](Self::join_with_key), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let sold = builder.stream::<String, i64>("sold");
    /// let paid = |_: &String, n: i64, price: &i64| price.checked_mul(n).ok_or("too much");
    /// sold.try_join_with_key(&prices, paid, Joined::default()).to("paid");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// for n in [2, i64::MAX] {
    ///     driver.input("sold").pipe("tea".to_string(), n)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("paid").read_values(), [6]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_join_with_key<T: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, &T) -> Result<R, E> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: V, row: Option<&T>| Some(tried(joiner(key, value, row?)));
        self.join_table(table, joiner, joined, false)
    }

    /// As [`left_join_with_key`](Self::left_join_with_key), with a function that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.table::<String, i64>("prices", Materialized::default());
    /// let sold = builder.stream::<String, i64>("sold");
    /// let joiner = |_: &String, n: i64, price: Option<&i64>| price.map_or(Ok(0), |price| price.checked_mul(n).ok_or("too much"));
    /// sold.try_left_join_with_key(&prices, joiner, Joined::default()).to("paid");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// for n in [2, i64::MAX] {
    ///     driver.input("sold").pipe("tea".to_string(), n)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("paid").read_values(), [6]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_left_join_with_key<T: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, Option<&T>) -> Result<R, E> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: V, row: Option<&T>| Some(tried(joiner(key, value, row)));
        self.join_table(table, joiner, joined, true)
    }

    /// As [`join_stream_with_key`](Self::join_stream_with_key), with a function that may fail. It is not joined with the matches that are
    /// left, and is there for what comes later.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (left, right) = (builder.stream::<String, i64>("left"), builder.stream::<String, i64>("right"));
    /// let near = JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// let sum = |_: &String, a: &i64, b: &i64| a.checked_add(*b).ok_or("too much");
    /// left.try_join_stream_with_key(&right, sum, near, StreamJoined::default()).to("sums");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("left").pipe_at("a".to_string(), 1_i64, 5)?;
    /// for n in [i64::MAX, 2] {
    ///     driver.input("right").pipe_at("a".to_string(), n, 7)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("sums").read_values(), [3]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_join_stream_with_key<W: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, &W) -> Result<R, E> + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner =
            move |key: &K, left: Option<&V>, right: Option<&W>| Some(tried(joiner(key, left?, right?)));
        self.joined_stream(other, JoinKind::Inner, joiner, windows, joined)
    }

    /// As [`left_join_stream_with_key`](Self::left_join_stream_with_key), with a function that may fail. One that
    /// waited in vain and fails then is dropped, and not the record that ended its wait, as which it is reported.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (left, right) = (builder.stream::<String, i64>("left"), builder.stream::<String, i64>("right"));
    /// let near = JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// let sum = |_: &String, a: &i64, b: Option<&i64>| a.checked_add(*b.unwrap_or(&0)).ok_or("too much");
    /// left.try_left_join_stream_with_key(&right, sum, near, StreamJoined::default()).to("sums");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("left").pipe_at("a".to_string(), 1_i64, 5)?;
    /// for n in [i64::MAX, 2] {
    ///     driver.input("right").pipe_at("a".to_string(), n, 7)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("sums").read_values(), [3]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_left_join_stream_with_key<W: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, Option<&W>) -> Result<R, E> + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner =
            move |key: &K, left: Option<&V>, right: Option<&W>| Some(tried(joiner(key, left?, right)));
        self.joined_stream(other, JoinKind::Left, joiner, windows, joined)
    }

    /// As [`outer_join_stream_with_key`](Self::outer_join_stream_with_key), with a function that may fail. One that
    /// waited in vain and fails then is dropped, and not the record that ended its wait, as which it is reported.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (left, right) = (builder.stream::<String, i64>("left"), builder.stream::<String, i64>("right"));
    /// let near = JoinWindows::of_time_difference_with_no_grace(Duration::from_millis(10));
    /// let sum = |_: &String, a: Option<&i64>, b: Option<&i64>| a.unwrap_or(&0).checked_add(*b.unwrap_or(&0)).ok_or("too much");
    /// left.try_outer_join_stream_with_key(&right, sum, near, StreamJoined::default()).to("sums");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("left").pipe_at("a".to_string(), 1_i64, 5)?;
    /// for n in [i64::MAX, 2] {
    ///     driver.input("right").pipe_at("a".to_string(), n, 7)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("sums").read_values(), [3]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_outer_join_stream_with_key<W: Data, R: Data, E: Into<BoxError> + 'static>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, Option<&V>, Option<&W>) -> Result<R, E> + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner =
            move |key: &K, left: Option<&V>, right: Option<&W>| Some(tried(joiner(key, left, right)));
        self.joined_stream(other, JoinKind::Outer, joiner, windows, joined)
    }

    /// As [`join_global_with_key`](Self::join_global_with_key), with functions that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.global_table::<i64, String>("names", Materialized::default());
    /// let orders = builder.stream::<String, String>("orders");
    /// let named = orders.try_join_global_with_key(
    ///     &names,
    ///     |_, customer| customer.parse::<i64>(),
    ///     |order, id, _, name| Ok(format!("{order} for {name} ({id})")),
    ///     Joined::default(),
    /// );
    /// named.to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for customer in ["7", "seven"] {
    ///     driver.input("orders").pipe("tea".to_string(), customer.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["tea for Ada (7)"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_join_global_with_key<
        GK: Data,
        GV: Data,
        S: Into<Option<GK>>,
        R: Data,
        E: Into<BoxError> + 'static,
    >(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> Result<S, E> + Send + Sync + 'static,
        joiner: impl Fn(&K, &GK, V, &GV) -> Result<R, E> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join = move |key: &K, chosen: Option<&GK>, value: V, row: Option<GV>| {
            Some(tried(joiner(key, chosen?, value, &row?)))
        };
        let select = move |key: &K, value: &V| tried(select(key, value)).map(Into::into);
        self.joined_globally(table, select, join, joined, false)
    }

    /// As [`left_join_global_with_key`](Self::left_join_global_with_key), with functions that may fail.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.global_table::<i64, String>("names", Materialized::default());
    /// let orders = builder.stream::<String, String>("orders");
    /// let named = orders.try_left_join_global_with_key(
    ///     &names,
    ///     |_, customer| customer.parse::<i64>(),
    ///     |order, _, _, name| Ok(format!("{order} for {}", name.map_or("?", String::as_str))),
    ///     Joined::default(),
    /// );
    /// named.to("out");
    /// let handlers = ErrorHandlers::default().processing(LogAndContinue);
    /// let driver = TopologyTestDriver::with_options(&builder.build()?, TestDriverOptions::default().errors(handlers))?;
    /// driver.input("names").pipe(7_i64, "Ada".to_string())?;
    /// for customer in ["7", "seven"] {
    ///     driver.input("orders").pipe("tea".to_string(), customer.to_string())?;
    /// }
    /// assert_eq!(driver.output::<String, String>("out").read_values(), ["tea for Ada"]);
    /// assert_eq!(driver.dropped(DropReason::Processing), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn try_left_join_global_with_key<
        GK: Data,
        GV: Data,
        S: Into<Option<GK>>,
        R: Data,
        E: Into<BoxError> + 'static,
    >(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> Result<S, E> + Send + Sync + 'static,
        joiner: impl Fn(&K, Option<&GK>, V, Option<&GV>) -> Result<R, E> + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join = move |key: &K, chosen: Option<&GK>, value: V, row: Option<GV>| {
            Some(tried(joiner(key, chosen, value, row.as_ref())))
        };
        let select = move |key: &K, value: &V| tried(select(key, value)).map(Into::into);
        self.joined_globally(table, select, join, joined, true)
    }
}
