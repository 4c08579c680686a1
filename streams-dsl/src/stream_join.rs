//! Joins of two streams: the part of `KStream` that joins with a `KStream`.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::{Wiring, same};

use crate::join_serde::{Either, EithersSerde, Side, UnmatchedSerde};
use crate::join_windows::{JoinWindows, StreamJoined};
use crate::lower::{Lower, operator, operator_of};
use crate::names::prefix;
use crate::operators::self_join::SelfJoin;
use crate::operators::stream_join::{Alone, Join, StreamJoinSide, StreamJoinWindow, Waiting};
use crate::plan::{Kind, Plan, PlanId, PlanNode};
use crate::repartition::{self, Serdes};
use crate::stores;
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
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(joiner(left?, right?));
        self.joined_stream(other, JoinKind::Inner, Arc::new(joiner), windows, joined)
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
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(joiner(left?, right));
        self.joined_stream(other, JoinKind::Left, Arc::new(joiner), windows, joined)
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
        let joiner = move |_: &K, left: Option<&V>, right: Option<&W>| Some(joiner(left, right));
        self.joined_stream(other, JoinKind::Outer, Arc::new(joiner), windows, joined)
    }

    pub(crate) fn joined_stream<W: Data, R: Data>(
        &self,
        other: &KStream<K, W>,
        kind: JoinKind,
        join: Join<K, V, W, R>,
        windows: JoinWindows,
        joined: StreamJoined<K, V, W>,
    ) -> KStream<K, R> {
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
        let names = JoinNames::new(&mut plan, kind, name, joined.store_name.as_deref());
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

fn check_windows(plan: &mut Plan, stream: PlanId, windows: JoinWindows) {
    if windows.is_empty() {
        plan.problems.push(format!(
            "join after {}: no record can be at most {} ms earlier and at most {} ms later",
            plan.node(stream).name,
            windows.before_ms(),
            windows.after_ms()
        ));
    }
}

/// A join whose streams are partitioned alike and kept in their stores.
struct StreamJoin<K, V, W, R> {
    kind: JoinKind,
    join: Join<K, V, W, R>,
    windows: JoinWindows,
    left: Serdes<K, V>,
    right: Serdes<K, W>,
    names: JoinNames,
}

impl<K: Data, V: Data, W: Data, R: Data> StreamJoin<K, V, W, R> {
    /// Adds the two sides after what keeps their records, and what brings them together.
    fn add(self, plan: &mut Plan, this: PlanId, that: PlanId) -> PlanId {
        let Self {
            kind,
            join,
            windows,
            left,
            right,
            names,
        } = self;
        let self_join = lower_self_join(Arc::clone(&join), windows, &left, &names.this_store);
        let (straight, alone) = (Arc::clone(&join), Arc::clone(&join));
        let reversed: Join<K, W, V, R> = Arc::new(move |key, right, left| join(key, left, right));
        let alone: Alone<K, V, W, R> = Arc::new(move |key, unmatched| match unmatched {
            Either::Left(left) => alone(key, Some(left), None),
            Either::Right(right) => alone(key, None, Some(right)),
        });
        let this_side = JoinSide {
            side: Side::Left,
            windows,
            is_outer: kind != JoinKind::Inner,
            serdes: left,
            other_store: names.other_store.clone(),
            waiting_store: names.waiting_store.clone(),
            either: Either::Left,
            alone: Arc::clone(&alone),
        };
        let that_side = JoinSide {
            side: Side::Right,
            windows,
            is_outer: kind == JoinKind::Outer,
            serdes: right,
            other_store: names.this_store,
            waiting_store: names.waiting_store,
            either: Either::Right,
            alone,
        };
        let this = this_side.add(plan, (&names.join_this, this), straight);
        let that = that_side.add(plan, (&names.join_other, that), reversed);
        let merge = operator::<K, R, K, R>(|_, next| Ok(next));
        let mut node = PlanNode::new(names.merge, vec![this, that], merge);
        // KIP-962: outer joins take null keys.
        node.takes_null_keys = kind != JoinKind::Inner;
        node.kind = Kind::StreamJoin {
            self_join: Some(self_join),
        };
        plan.add(node)
    }
}

/// How a stream is joined with itself, if it is.
fn lower_self_join<K: Data, V: Data, W: Data, R: Data>(
    join: Join<K, V, W, R>,
    windows: JoinWindows,
    serdes: &Serdes<K, V>,
    store: &str,
) -> Lower {
    let (serdes, store) = (serdes.clone(), store.to_owned());
    operator_of(move |node| {
        let node = node.name.clone();
        move |wiring: &mut Wiring<'_>, next: Edge<K, R>| {
            Ok(Box::new(SelfJoin {
                node: node.clone(),
                join: Arc::clone(&join),
                as_right: same::<V, W>,
                windows,
                key_serde: Arc::clone(&serdes.key),
                value_serde: Arc::clone(&serdes.value),
                store: wiring.window_store(&store)?,
                stream_time_ms: -1,
                next,
            }) as Edge<K, V>)
        }
    })
}

/// The names of all that a join is made of.
struct JoinNames {
    this_windowed: String,
    other_windowed: String,
    join_this: String,
    join_other: String,
    merge: String,
    this_store: String,
    other_store: String,
    waiting_store: Option<String>,
}

impl JoinNames {
    fn new(plan: &mut Plan, kind: JoinKind, name: Option<&str>, store_name: Option<&str>) -> Self {
        let (this_suffix, this_prefix) = match kind {
            JoinKind::Outer => ("-outer-this-join", prefix::OUTER_THIS),
            _ => ("-this-join", prefix::JOIN_THIS),
        };
        let (other_suffix, other_prefix) = match kind {
            JoinKind::Inner => ("-other-join", prefix::JOIN_OTHER),
            _ => ("-outer-other-join", prefix::OUTER_OTHER),
        };
        let given = |base: Option<&str>, suffix: &str| base.map(|base| format!("{base}{suffix}"));
        let names = &mut plan.names;
        let this_windowed = names.processor_or(given(name, "-this-windowed").as_deref(), prefix::WINDOWED);
        let other_windowed = names.processor_or(given(name, "-other-windowed").as_deref(), prefix::WINDOWED);
        let (this, other) = (names.processor(this_prefix), names.processor(other_prefix));
        let merge = names.processor_or(given(name, "-merge").as_deref(), prefix::MERGE);
        let waiting = match (kind, store_name) {
            (JoinKind::Inner, _) => None,
            (JoinKind::Left, Some(store)) => Some(format!("{store}-left-shared-join-store")),
            (JoinKind::Outer, Some(store)) => Some(format!("{store}-outer-shared-join-store")),
            (_, None) => Some(format!(
                "{}{}-store",
                prefix::OUTER_SHARED,
                &this[this_prefix.len()..]
            )),
        };
        let store = |suffix: &str, generated: &str| {
            let base = given(store_name, suffix);
            format!("{}-store", base.as_deref().unwrap_or(generated))
        };
        Self {
            this_store: store(this_suffix, &this),
            other_store: store(other_suffix, &other),
            waiting_store: waiting,
            join_this: given(name, this_suffix).unwrap_or(this),
            join_other: given(name, other_suffix).unwrap_or(other),
            this_windowed,
            other_windowed,
            merge,
        }
    }
}

/// The stream, repartitioned if its key may have changed.
fn partitioned<K: Data, V: Data>(
    plan: &mut Plan,
    stream: PlanId,
    name: Option<&str>,
    suffix: &str,
    serdes: &Serdes<K, V>,
) -> PlanId {
    if !plan.repartition_required(stream) {
        return stream;
    }
    let prefix = name.map_or_else(
        || plan.node(stream).name.clone(),
        |name| format!("{name}{suffix}"),
    );
    repartition::shared(plan, stream, &prefix, serdes.clone())
}

fn add_stores<K: Data, V: Data, W: Data>(
    plan: &mut Plan,
    names: &JoinNames,
    joined: &StreamJoined<K, V, W>,
    windows: JoinWindows,
    (left, right): (&Serdes<K, V>, &Serdes<K, W>),
) {
    let settings = || joined.settings.clone();
    let retention_ms = windows.retention_ms();
    let this = stores::records(&names.this_store, retention_ms, left, settings());
    let other = stores::records(&names.other_store, retention_ms, right, settings());
    plan.stores.extend([this, other]);
    if let Some(waiting) = &names.waiting_store {
        let serdes = Serdes {
            key: Arc::new(UnmatchedSerde(Arc::clone(&left.key))) as Arc<dyn Serde<_>>,
            value: Arc::new(EithersSerde {
                left: Arc::clone(&left.value),
                right: Arc::clone(&right.value),
            }) as Arc<dyn Serde<_>>,
        };
        plan.stores.push(stores::rows(waiting, &serdes, settings()));
    }
}

/// The node that keeps one side's records.
fn windowed<K: Data, V: Data>(
    plan: &mut Plan,
    (name, parent): (&str, PlanId),
    store: &str,
    serdes: &Serdes<K, V>,
) -> PlanId {
    let (serdes, store_name) = (serdes.clone(), store.to_owned());
    let lower = operator_of(move |node| {
        let node = node.name.clone();
        move |wiring: &mut Wiring<'_>, next: Edge<K, V>| {
            Ok(Box::new(StreamJoinWindow {
                node: node.clone(),
                key_serde: Arc::clone(&serdes.key),
                value_serde: Arc::clone(&serdes.value),
                store: wiring.window_store(&store_name)?,
                next,
            }) as Edge<K, V>)
        }
    });
    let mut node = PlanNode::new(name.to_owned(), vec![parent], lower);
    node.stores.push(store.to_owned());
    plan.add(node)
}

/// One side of a join: `T` is its value, `A` the left one and `B` the right one.
struct JoinSide<K, T, A, B, R> {
    side: Side,
    windows: JoinWindows,
    is_outer: bool,
    serdes: Serdes<K, T>,
    other_store: String,
    waiting_store: Option<String>,
    either: fn(T) -> Either<A, B>,
    alone: Alone<K, A, B, R>,
}

impl<K: Data, T: Data, A: Data, B: Data, R: Data> JoinSide<K, T, A, B, R> {
    /// Adds the node that looks for records of the other side, whose values are `O`.
    fn add<O: Data>(self, plan: &mut Plan, (name, parent): (&str, PlanId), join: Join<K, T, O, R>) -> PlanId {
        let mut stores = vec![self.other_store.clone()];
        stores.extend(self.waiting_store.clone());
        let lower = operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, R>| self.live(&node, wiring, Arc::clone(&join), next)
        });
        let mut node = PlanNode::new(name.to_owned(), vec![parent], lower);
        node.stores = stores;
        plan.add(node)
    }

    fn live<O: Data>(
        &self,
        node: &str,
        wiring: &mut Wiring<'_>,
        join: Join<K, T, O, R>,
        next: Edge<K, R>,
    ) -> Result<Edge<K, T>> {
        let waiting = match &self.waiting_store {
            None => None,
            Some(store) => Some(Waiting {
                side: self.side,
                windows: self.windows,
                store: wiring.key_value_store(store)?,
                clock: wiring.shared(store)?,
                either: self.either,
                alone: Arc::clone(&self.alone),
            }),
        };
        let (before_ms, after_ms) = match self.side {
            Side::Left => (self.windows.before_ms(), self.windows.after_ms()),
            Side::Right => (self.windows.after_ms(), self.windows.before_ms()),
        };
        Ok(Box::new(StreamJoinSide {
            node: node.to_owned(),
            join,
            before_ms,
            after_ms,
            key_serde: Arc::clone(&self.serdes.key),
            value_serde: Arc::clone(&self.serdes.value),
            other: wiring.window_store::<K, O>(&self.other_store)?,
            is_outer: self.is_outer,
            waiting,
            next,
        }))
    }
}
