//! A join of streams in the plan: which nodes and stores it has, how they hang together, and what they are made live with.

use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::error::Result;
use streams_core::serde::Serde;
use streams_core::store::StoreKind;
use streams_core::topology::{Wiring, same};

use super::JoinKind;
use super::names::JoinNames;
use crate::Data;
use crate::join_serde::{Either, EithersSerde, Side, UnmatchedSerde};
use crate::join_windows::JoinWindows;
use crate::lower::{Lower, operator, operator_of};
use crate::operators::self_join::SelfJoin;
use crate::operators::stream_join::{Alone, Join, StreamJoinSide, StreamJoinWindow, Waiting};
use crate::options::StreamJoined;
use crate::plan::{Kind, Plan, PlanId, PlanNode};
use crate::repartition::{self, Serdes};
use crate::stores;

pub(super) fn check_windows(plan: &mut Plan, stream: PlanId, windows: JoinWindows) {
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
pub(super) struct StreamJoin<K, V, W, R> {
    pub(super) kind: JoinKind,
    pub(super) join: Join<K, V, W, R>,
    pub(super) windows: JoinWindows,
    pub(super) left: Serdes<K, V>,
    pub(super) right: Serdes<K, W>,
    pub(super) names: JoinNames,
}

impl<K: Data, V: Data, W: Data, R: Data> StreamJoin<K, V, W, R> {
    /// Adds the two sides after what keeps their records, and what brings them together.
    pub(super) fn add(self, plan: &mut Plan, this: PlanId, that: PlanId) -> PlanId {
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

/// The stream, repartitioned if its key may have changed.
pub(super) fn partitioned<K: Data, V: Data>(
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

pub(super) fn add_stores<K: Data, V: Data, W: Data>(
    plan: &mut Plan,
    names: &JoinNames,
    joined: &StreamJoined<K, V, W>,
    windows: JoinWindows,
    (left, right): (&Serdes<K, V>, &Serdes<K, W>),
) {
    let settings = |kind: Option<&StoreKind>| {
        let mut settings = joined.settings.clone();
        settings.kind = kind.or(joined.settings.kind.as_ref()).cloned();
        settings
    };
    let retention_ms = windows.retention_ms();
    let this = stores::records(
        &names.this_store,
        retention_ms,
        left,
        settings(joined.this.kind.as_ref()),
    );
    let other = stores::records(
        &names.other_store,
        retention_ms,
        right,
        settings(joined.other.kind.as_ref()),
    );
    plan.stores.extend([this, other]);
    if let Some(waiting) = &names.waiting_store {
        let serdes = Serdes {
            key: Arc::new(UnmatchedSerde(Arc::clone(&left.key))) as Arc<dyn Serde<_>>,
            value: Arc::new(EithersSerde {
                left: Arc::clone(&left.value),
                right: Arc::clone(&right.value),
            }) as Arc<dyn Serde<_>>,
        };
        let kind = joined.settings.kind.as_ref().or(joined.this.kind.as_ref());
        plan.stores.push(stores::rows(waiting, &serdes, settings(kind)));
    }
}

/// The node that keeps one side's records.
pub(super) fn windowed<K: Data, V: Data>(
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
