//! A join by a foreign key in the plan: which nodes it has, and how they hang together.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::serde::Serde;

use super::names::JoinNames;
use crate::lower::{Lower, table_operator_of};
use crate::names::prefix;
use crate::operators::foreign_key_join::Extract;
use crate::operators::table_join::Join;
use crate::options::{KeyPartitioner, Materialized};
use crate::plan::{KeyEffect, Kind, Plan, PlanId, PlanNode, SharedPlan};
use crate::repartition::Serdes;
use crate::stores::{self, StoreSettings};
use crate::table::not_null;
use crate::view::{self, OpenView};
use crate::{Data, KTable, builder};

/// What a join is made of. Where its nodes come to life is in `nodes.rs`.
pub(super) struct Parts<K, V, F, W> {
    pub(super) is_left: bool,
    pub(super) extract: Extract<K, V, F>,
    pub(super) left: Serdes<K, V>,
    pub(super) right: Serdes<F, W>,
    pub(super) left_view: OpenView<K, V>,
    pub(super) right_view: OpenView<F, W>,
    pub(super) left_partitioner: Option<KeyPartitioner<K>>,
    pub(super) right_partitioner: Option<KeyPartitioner<F>>,
    pub(super) names: JoinNames,
}

impl<K: Data, V: Data, F: Data, W: Data> Parts<K, V, F, W> {
    /// Everything up to the topic of responses.
    pub(super) fn add(&self, plan: &mut Plan, left: PlanId, right: PlanId) -> PlanId {
        let names = &self.names;
        let send = plan.add(PlanNode::new(names.send.clone(), vec![left], self.send()));
        let registration = exchange(plan, &names.registration_source, vec![send], self.registration());
        plan.copartition(registration, right);

        let keys = self.combined_keys();
        let serdes = Serdes {
            key: Arc::new(keys) as Arc<dyn Serde<_>>,
            value: self.subscriptions(),
        };
        let stored = stores::rows(&names.store, &serdes, StoreSettings::default());
        plan.stores.push(stored);
        let mut receive = PlanNode::new(names.receive.clone(), vec![registration], self.receive());
        receive.stores.push(names.store.clone());
        let receive = plan.add(receive);
        let mut join_foreign = PlanNode::new(names.join_foreign.clone(), vec![receive], self.join_foreign());
        join_foreign.joined = Some(right);
        join_foreign.stores = plan.look_up(right);
        let join_foreign = plan.add(join_foreign);
        let mut foreign_join = PlanNode::new(names.foreign_join.clone(), vec![right], self.foreign_join());
        foreign_join.stores.push(names.store.clone());
        let foreign_join = plan.add(foreign_join);
        let responses = exchange(
            plan,
            &names.response_source,
            vec![join_foreign, foreign_join],
            self.responses(),
        );
        plan.copartition(responses, left);
        responses
    }

    pub(super) fn add_resolver<R: Data>(
        &self,
        plan: &mut Plan,
        responses: PlanId,
        left: PlanId,
        join: Join<V, W, R>,
    ) -> PlanId {
        let mut node = PlanNode::new(self.names.resolver.clone(), vec![responses], self.resolve(join));
        node.joined = Some(left);
        node.stores = plan.look_up(left);
        plan.add(node)
    }

    pub(super) fn add_result<R: Data>(
        &self,
        plan: &mut Plan,
        shared: &SharedPlan,
        resolver: PlanId,
        materialized: Materialized<R>,
    ) -> KTable<K, R> {
        let named = materialized.name.is_some();
        let store = plan
            .names
            .store_or(materialized.name.as_deref(), prefix::FK_OUTPUT);
        let rows = Serdes {
            key: Arc::clone(&self.left.key),
            value: materialized.value_serde.clone().resolve(None),
        };
        let is_there = not_null(Some(&materialized), None);
        let place = (self.names.result.as_str(), store.as_str());
        let (is_versioned, cache) = stores::add_table(plan, materialized, place, &rows);
        let (keys, store_name) = (Arc::clone(&rows.key), store.clone());
        let lower = table_operator_of(cache, move |node| {
            let value = Arc::new(move |value: Option<R>| value.filter(&is_there));
            builder::table_source(node, keys, (store_name, is_versioned), value)
        });
        let mut node = PlanNode::new(self.names.result.clone(), vec![resolver], lower);
        node.keeps_table(&store, named, is_versioned);
        let node = plan.add(node);
        KTable::new(
            Rc::clone(shared),
            node,
            rows.key,
            Some(rows.value),
            view::of_table(&store, is_versioned),
        )
    }
}

/// A topic between two sub-topologies.
fn exchange(plan: &mut Plan, name: &str, parents: Vec<PlanId>, lower: Lower) -> PlanId {
    let mut node = PlanNode::new(name.to_owned(), parents, lower);
    node.kind = Kind::Exchange;
    node.key = KeyEffect::Settles;
    plan.add(node)
}
