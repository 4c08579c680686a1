//! Joins of two streams: the part of `KStream` that joins with a `KStream`.

mod names;
mod parts;

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::DefaultSerde;

use self::names::JoinNames;
use self::parts::{StreamJoin, add_stores, check_windows, partitioned, windowed};
use crate::join_windows::JoinWindows;
use crate::operators::Tried;
use crate::operators::stream_join::Join;
use crate::options::StreamJoined;
use crate::repartition::Serdes;
use crate::{Data, KStream};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Outer,
}

/// Joins with a stream of the same key. Each record of either stream is joined with those of the other that are near enough
/// in time; a pair's result has the later timestamp of the two and the headers of the record that came last.
///
/// Null values, and null keys, are dropped and counted. Streams are repartitioned if their key may have changed; both must have
/// the same number of partitions. Records that come out of order are joined with what is still kept: as long as windows and
/// grace by the store's stream time.
impl<K: Data, V: Data> KStream<K, V> {
    /// Pairs of records, one of each stream, that are near enough in time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// views.join_stream(&clicks, |view, click| format!("{view}, then {click}"), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "sell".to_string(), 90_000)?;
    /// let out = driver.output::<String, String>("out").read_key_values();
    /// assert_eq!(out, [("ada".into(), "home, then buy".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_stream<W: Data + DefaultSerde, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.join_stream_with(other, joiner, windows, StreamJoined::default())
    }

    /// As [`join_stream`](Self::join_stream), with serdes and names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::named("clicked").with_store_name("clicked");
    /// views.join_stream_with(&clicks, |view, click| format!("{view}, {click}"), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.written("app-clicked-this-join-store-changelog").len(), 1);
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().value, "home, buy");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn join_stream_with<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, &W) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(left?, right?)));
        self.joined_stream(other, JoinKind::Inner, joiner, windows, joined)
    }

    /// Pairs of records that are near enough in time, and records of this stream that found none, once their window has
    /// closed: with their own timestamp. A null key finds none.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let orders = builder.stream::<String, i64>("orders");
    /// let payments = builder.stream::<String, i64>("payments");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// orders.left_join_stream(&payments, |due, paid| due - paid.unwrap_or(&0), within).to("open");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("orders").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert!(driver.output::<String, i64>("open").is_empty());
    /// driver.advance_wall_clock(Duration::from_secs(1))?;
    /// driver.input("payments").pipe_at("b".to_string(), 1_i64, 20_000)?;
    /// assert_eq!(driver.output::<String, i64>("open").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_stream<W: Data + DefaultSerde, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.left_join_stream_with(other, joiner, windows, StreamJoined::default())
    }

    /// As [`left_join_stream`](Self::left_join_stream), with serdes and names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::named("clicked").with_store_name("clicked");
    /// views.left_join_stream_with(&clicks, |_, click| click.is_some(), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("views").pipe_at("ada".to_string(), "home".to_string(), 1_000)?;
    /// assert_eq!(driver.written("app-clicked-left-shared-join-store-changelog").len(), 1);
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 9_000)?;
    /// assert_eq!(driver.output::<String, bool>("out").read_key_values(), [("ada".into(), true)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn left_join_stream_with<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(&V, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(left?, right)));
        self.joined_stream(other, JoinKind::Left, joiner, windows, joined)
    }

    /// Pairs of records that are near enough in time, and records of either stream that found none, once their window has
    /// closed. The joiner is never called with neither.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let left = builder.stream::<String, i64>("left");
    /// let right = builder.stream::<String, i64>("right");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// left.outer_join_stream(&right, |a, b| a.or(b).copied().unwrap_or(0), within).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("right").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// driver.advance_wall_clock(Duration::from_secs(1))?;
    /// driver.input("left").pipe_at("b".to_string(), 1_i64, 20_000)?;
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer_join_stream<W: Data + DefaultSerde, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&V>, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
    ) -> KStream<K, R>
    where
        K: DefaultSerde,
        V: DefaultSerde,
    {
        self.outer_join_stream_with(other, joiner, windows, StreamJoined::default())
    }

    /// As [`outer_join_stream`](Self::outer_join_stream), with serdes and names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let views = builder.stream::<String, String>("views");
    /// let clicks = builder.stream::<String, String>("clicks");
    /// let within = JoinWindows::of_time_difference_with_no_grace(Duration::from_secs(10));
    /// let joined = StreamJoined::named("either").with_store_name("either");
    /// views.outer_join_stream_with(&clicks, |view, click| view.or(click).cloned(), within, joined).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("clicks").pipe_at("ada".to_string(), "buy".to_string(), 1_000)?;
    /// assert_eq!(driver.written("app-either-outer-shared-join-store-changelog").len(), 1);
    /// driver.input("views").pipe_at("bob".to_string(), "home".to_string(), 20_000)?;
    /// assert_eq!(driver.output::<String, String>("out").read_key_values(), [("ada".into(), "buy".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn outer_join_stream_with<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        joiner: impl Fn(Option<&V>, Option<&W>) -> R + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(Ok(joiner(left, right)));
        self.joined_stream(other, JoinKind::Outer, joiner, windows, joined)
    }

    pub(crate) fn joined_stream<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        kind: JoinKind,
        join: impl Fn(&K, Option<&V>, Option<&W>) -> Option<Tried<R>> + Send + Sync + 'static,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
        let join: Join<K, V, W, R> =
            Arc::new(move |key: &K, left: Option<&V>, right: Option<&W>| join(key, left, right).transpose());
        let other_node = if self.same_builder(&other.plan, "join") {
            other.node
        } else {
            self.node
        };
        let key = joined.key_serde.clone().resolve(self.key_serde.as_ref());
        let left = Serdes {
            key: Arc::clone(&key),
            value: joined.value_serde.clone().resolve(self.value_serde.as_ref()),
        };
        let right = Serdes {
            key: Arc::clone(&key),
            value: joined
                .other_value_serde
                .clone()
                .resolve(other.value_serde.as_ref()),
        };
        let mut plan = self.plan.borrow_mut();
        check_windows(&mut plan, self.node, windows);
        let name = joined.name.as_deref();
        let this = partitioned(&mut plan, self.node, name, "-left", &left);
        let that = partitioned(&mut plan, other_node, name, "-right", &right);
        plan.copartition(this, that);
        let mut names = JoinNames::new(&mut plan, kind, name, joined.store_name.as_deref());
        names.stores_given(&mut plan, &joined.this, &joined.other);
        add_stores(&mut plan, &names, &joined, windows, (&left, &right));
        let this = windowed(&mut plan, (&names.this_windowed, this), &names.this_store, &left);
        let that = windowed(
            &mut plan,
            (&names.other_windowed, that),
            &names.other_store,
            &right,
        );
        let join = StreamJoin {
            kind,
            join,
            windows,
            left,
            right,
            names,
        };
        let node = join.add(&mut plan, this, that);
        KStream::new(Rc::clone(&self.plan), node, Some(key), None)
    }
}
