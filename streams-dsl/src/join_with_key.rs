//! Joins of streams whose joiner sees the key (KIP-149, KIP-1340; Kafka's `ValueJoinerWithKey`).
//!
//! Otherwise they are as those without. Joins of tables have no such form, as in Kafka.

use crate::join_windows::JoinWindows;
use crate::options::{Joined, StreamJoined};
use crate::stream_join::JoinKind;
use crate::{Data, GlobalKTable, KStream, KTable};

/// Joins whose joiner sees the key.
impl<K: Data, V: Data> KStream<K, V> {
    /// As [`join_with`](Self::join_with), with a joiner that gets the key, too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// let joined = Joined::default();
    /// visits.join_with_key(&names, |id, page, name| format!("{name} ({id}) saw {page}"), joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("names").pipe(1_i64, "Ada".to_string())?;
    /// driver.input("visits").pipe(1_i64, "home".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_record().unwrap().value, "Ada (1) saw home");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_with_key<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, &T) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: V, row: Option<&T>| Some(Ok(joiner(key, value, row?)));
        self.join_table(table, joiner, joined, false)
    }

    /// As [`left_join_with`](Self::left_join_with), with a joiner that gets the key, too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let names = builder.table::<i64, String>("names", Materialized::default());
    /// let visits = builder.stream::<i64, String>("visits");
    /// let known = |id: &i64, page, name: Option<&String>| {
    ///     format!("{} saw {page}", name.cloned().unwrap_or_else(|| format!("guest {id}")))
    /// };
    /// visits.left_join_with_key(&names, known, Joined::default()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("visits").pipe(7_i64, "home".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_record().unwrap().value, "guest 7 saw home");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_with_key<T: Data, R: Data>(
        &self,
        table: &KTable<K, T>,
        joiner: impl Fn(&K, V, Option<&T>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, value: V, row: Option<&T>| Some(Ok(joiner(key, value, row)));
        self.join_table(table, joiner, joined, true)
    }

    /// As [`join_stream_with`](Self::join_stream_with), with a joiner that gets the key, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let path = |user: &String, view: &String, click: &String| format!("{user}: {view}, {click}");
    /// views.join_stream_with_key(&clicks, path, within, StreamJoined::default()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "ada: home, buy");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_stream_with_key<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, &W) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(key, left?, right?)));
        self.joined_stream(other, JoinKind::Inner, joiner, windows, joined)
    }

    /// As [`left_join_stream_with`](Self::left_join_stream_with), with a joiner that gets the key, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders");
    /// let payments = builder.stream::<String, i64>("payments");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let open = |id: &String, due: &i64, paid: Option<&i64>| format!("{id} owes {}", due - paid.unwrap_or(&0));
    /// orders.left_join_stream_with_key(&payments, open, within, StreamJoined::default()).to("open");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// driver.input("payments").pipe_at("b".to_string(), 1_i64, 20_000)?;
    /// assert_eq!(driver.output::<String, String>("open").read_record().unwrap().value, "a owes 7");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_stream_with_key<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, &V, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(key, left?, right)));
        self.joined_stream(other, JoinKind::Left, joiner, windows, joined)
    }

    /// As [`outer_join_stream_with`](Self::outer_join_stream_with), with a joiner that gets the key, too.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (left, right) = (builder.stream::<String, i64>("left"), builder.stream::<String, i64>("right"));
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let either = |key: &String, a: Option<&i64>, b: Option<&i64>| format!("{key}: {a:?}, {b:?}");
    /// left.outer_join_stream_with_key(&right, either, within, StreamJoined::default()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("right").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// driver.input("left").pipe_at("b".to_string(), 1_i64, 20_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "a: None, Some(7)");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer_join_stream_with_key<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&K, Option<&V>, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |key: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(key, left, right)));
        self.joined_stream(other, JoinKind::Outer, joiner, windows, joined)
    }

    /// As [`join_global_with`](Self::join_global_with), with a joiner that gets the record's key and the row's, too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// let priced = |id: &i64, item: &String, _: String, price: &i64| format!("{id}: {item} for {price}");
    /// orders.join_global_with_key(&prices, |_, item| item.to_lowercase(), priced, Joined::default()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("prices").pipe("tea".to_string(), 3_i64)?;
    /// driver.input("orders").pipe(1_i64, "TEA".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_record().unwrap().value, "1: tea for 3");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_global_with_key<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&K, &GK, V, &GV) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join = move |key: &K, chosen: Option<&GK>, value: V, row: Option<GV>| {
            Some(Ok(joiner(key, chosen?, value, &row?)))
        };
        let select = move |key: &K, value: &V| Ok(select(key, value).into());
        self.joined_globally(table, select, join, joined, false)
    }

    /// As [`left_join_global_with`](Self::left_join_global_with), with a joiner that gets the record's key and the row's, too.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let prices = builder.global_table::<String, i64>("prices", Materialized::default());
    /// let orders = builder.stream::<i64, String>("orders");
    /// let priced = |id: &i64, item: Option<&String>, _: String, price: Option<&i64>| format!("{id}: {item:?} for {price:?}");
    /// orders.left_join_global_with_key(&prices, |_, item| item.clone(), priced, Joined::default()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe(1_i64, "milk".to_string())?;
    /// assert_eq!(driver.output::<i64, String>("out").read_record().unwrap().value, "1: Some(\"milk\") for None");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_global_with_key<GK: Data, GV: Data, S: Into<Option<GK>>, R: Data>(
        &self,
        table: &GlobalKTable<GK, GV>,
        select: impl Fn(&K, &V) -> S + Send + Sync + 'static,
        joiner: impl Fn(&K, Option<&GK>, V, Option<&GV>) -> R + Send + Sync + 'static,
        joined: Joined<K, V>,
    ) -> KStream<K, R> {
        let join = move |key: &K, chosen: Option<&GK>, value: V, row: Option<GV>| {
            Some(Ok(joiner(key, chosen, value, row.as_ref())))
        };
        let select = move |key: &K, value: &V| Ok(select(key, value).into());
        self.joined_globally(table, select, join, joined, true)
    }
}
