//! A repartition in the plan: a filter, a sink to an internal topic, and a source that reads it.

use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::Serde;
use streams_core::topology::{
    NodeId, OperatorSupplier, Partitioner, SinkOptions, SinkSupplier, SourceOptions, SourceSupplier,
    TopicName,
};

use crate::Data;
use crate::lower::{Lower, Lowered, Lowering};
use crate::names::RepartitionNames;
use crate::operators::repartition::DropNullKeys;
use crate::plan::{KeyEffect, Kind, Plan, PlanId, PlanNode};

/// The serdes that records are written and read with on the way.
pub(crate) struct Serdes<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        Self {
            key: Arc::clone(&self.key),
            value: Arc::clone(&self.value),
        }
    }
}

/// The repartition of this name after `parent`: made, or found if it is there already. Takes its numbers in any case.
pub(crate) fn shared<K: Data, V: Data>(
    plan: &mut Plan,
    parent: PlanId,
    prefix: &str,
    serdes: Serdes<K, V>,
) -> PlanId {
    let names = plan.names.repartition(prefix);
    match plan.repartition_below(parent, &names.topic) {
        Some(id) => id,
        None => {
            let id = add(plan, parent, names, serdes, Partitioning::default());
            if let Kind::Repartition { is_optimizable, .. } = &mut plan.node_mut(id).kind {
                *is_optimizable = true;
            }
            id
        }
    }
}

/// How the topic of a repartition is partitioned.
pub(crate) struct Partitioning<K, V> {
    /// How many partitions it has: as many as the input, if `None`.
    pub(crate) partitions: Option<u32>,
    /// Chooses among them: Kafka's default, if `None`.
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K, V> Default for Partitioning<K, V> {
    fn default() -> Self {
        Self {
            partitions: None,
            partitioner: None,
        }
    }
}

/// A repartition of its own.
pub(crate) fn add<K: Data, V: Data>(
    plan: &mut Plan,
    parent: PlanId,
    names: RepartitionNames,
    serdes: Serdes<K, V>,
    partitioning: Partitioning<K, V>,
) -> PlanId {
    let mut node = PlanNode::new(names.source.clone(), vec![parent], lower(serdes, partitioning));
    node.kind = Kind::Repartition {
        names,
        is_optimizable: false,
    };
    node.key = KeyEffect::Settles;
    plan.add(node)
}

/// The repartition of a grouped table: changes never have null keys, so that nothing filters them. Shared if it has a name
/// of its own. Takes two numbers in any case.
pub(crate) fn of_changes<K: Data, V: Data>(
    plan: &mut Plan,
    parent: PlanId,
    prefix: &str,
    is_named: bool,
    serdes: Serdes<K, V>,
) -> PlanId {
    let names = plan.names.table_repartition(prefix);
    if is_named && let Some(id) = plan.repartition_below(parent, &names.topic) {
        return id;
    }
    let topic = Topic::new(serdes, Partitioning::default());
    let lower = Lower::nodes(move |lowering| {
        let names = names_of(lowering);
        let parents = lowering.parents.clone();
        topic.add(lowering, names, &parents)
    });
    let mut node = PlanNode::new(names.source.clone(), vec![parent], lower);
    node.kind = Kind::Repartition {
        names,
        is_optimizable: false,
    };
    node.key = KeyEffect::Settles;
    plan.add(node)
}

fn names_of(lowering: &Lowering<'_>) -> RepartitionNames {
    let Kind::Repartition { names, .. } = &lowering.node.kind else {
        unreachable!("made as a repartition, and kinds do not change");
    };
    names.clone()
}

fn lower<K: Data, V: Data>(serdes: Serdes<K, V>, partitioning: Partitioning<K, V>) -> Lower {
    let key_serde = Arc::clone(&serdes.key);
    let drop_null_keys = OperatorSupplier::new(move |_, next: Edge<K, V>| {
        let key_serde = Arc::clone(&key_serde);
        Ok(Box::new(DropNullKeys { key_serde, next }) as Edge<K, V>)
    });
    let keep_null_keys = OperatorSupplier::new(|_, next: Edge<K, V>| Ok(next));
    filtered(drop_null_keys, keep_null_keys, Topic::new(serdes, partitioning))
}

fn filtered(drop_null_keys: OperatorSupplier, keep_null_keys: OperatorSupplier, topic: Topic) -> Lower {
    Lower::nodes(move |lowering| {
        let names = names_of(lowering);
        let filter = if lowering.keep_null_keys {
            keep_null_keys
        } else {
            drop_null_keys
        };
        let builder = &mut *lowering.builder;
        let filtered = builder.add_operator_of(&names.filter, filter, &lowering.parents, &[]);
        topic.add(lowering, names, &[filtered])
    })
}

/// The topic, a sink that writes to it, and a source that reads it.
struct Topic {
    partitions: Option<u32>,
    sink: SinkSupplier,
    source: SourceSupplier,
}

impl Topic {
    fn new<K: Data, V: Data>(Serdes { key, value }: Serdes<K, V>, partitioning: Partitioning<K, V>) -> Self {
        let mut written = SinkOptions::new(Arc::clone(&key), Arc::clone(&value));
        written.partitioner = partitioning.partitioner;
        Self {
            partitions: partitioning.partitions,
            sink: SinkSupplier::new(written),
            source: SourceSupplier::new(SourceOptions::new(key, value)),
        }
    }

    fn add(self, lowering: &mut Lowering<'_>, names: RepartitionNames, parents: &[NodeId]) -> Lowered {
        let builder = &mut *lowering.builder;
        builder.add_repartition_topic(&names.topic, self.partitions);
        let topic = TopicName::internal(names.topic);
        builder.add_sink_of(&names.sink, Some(topic.clone()), self.sink, parents);
        let source = builder.add_source_of(&lowering.node.name, vec![topic], self.source);
        Lowered::source(source, source)
    }
}
