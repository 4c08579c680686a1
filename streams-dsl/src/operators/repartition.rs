//! Repartitioning: a stream goes through an internal topic, so that records of one key meet in one task.
//!
//! Kafka Streams' three nodes: a filter that drops null keys silently, a sink, and the source of the next sub-topology.

use std::rc::Rc;
use std::sync::Arc;

use streams_core::edge::{Edge, Process};
use streams_core::error::ProcessResult;
use streams_core::serde::Serde;
use streams_core::topology::{SinkOptions, SourceOptions, TopicName};
use streams_core::{Record, TaskContext};

use crate::names::{is_generated, prefix};
use crate::stream::KStream;

/// What a repartition topic is called and how its records are written.
pub(crate) struct Through<K, V> {
    /// The topic is `<name>-repartition`.
    pub(crate) name: String,
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) partitions: Option<u32>,
    /// Null keys are kept, for a left join that wants them.
    pub(crate) keep_null_keys: bool,
}

impl<K: Clone + 'static, V: Clone + 'static> Through<K, V> {
    /// The stream on the other side of the topic.
    pub(crate) fn apply(self, stream: &KStream<K, V>) -> KStream<K, V> {
        let Self {
            name,
            key_serde,
            value_serde,
            partitions,
            keep_null_keys,
        } = self;
        let topic = format!("{name}-repartition");
        let mut plan = stream.plan.borrow_mut();
        let generated = is_generated(&name);
        let mut node_name = |prefix: &str, role: &str| {
            let numbered = plan.names.processor(prefix);
            if generated {
                numbered
            } else {
                format!("{topic}-{role}")
            }
        };
        let sink = node_name(prefix::STREAM_SINK, "sink");
        let filter = node_name(prefix::STREAM_FILTER, "filter");
        let source = node_name(prefix::STREAM_SOURCE, "source");
        let (keys, values) = (Arc::clone(&key_serde), Arc::clone(&value_serde));
        let node = plan.add(source, &[stream.node], move |builder, source, parents| {
            let parents: Vec<_> = parents
                .iter()
                .map(|parent| builder.node::<K, V>(*parent))
                .collect();
            let internal = TopicName::internal(topic.as_str());
            builder.add_repartition_topic(&topic, partitions);
            let key_serde = Arc::clone(&keys);
            let kept = builder.add_operator(filter, &parents, &[], move |_, next| {
                let key_serde = Arc::clone(&key_serde);
                Ok(Box::new(DropNullKeys {
                    key_serde,
                    keep_null_keys,
                    next,
                }) as Edge<K, V>)
            });
            let options = SinkOptions::new(Arc::clone(&keys), Arc::clone(&values));
            builder.add_sink(sink, internal.clone(), &[kept], options);
            builder
                .add_source(source, [internal], SourceOptions::new(keys, values))
                .id()
        });
        drop(plan);
        KStream::new(
            Rc::clone(&stream.plan),
            node,
            vec![node],
            Some(key_serde),
            Some(value_serde),
            false,
        )
    }
}

struct DropNullKeys<K, V> {
    key_serde: Arc<dyn Serde<K>>,
    keep_null_keys: bool,
    next: Edge<K, V>,
}

impl<K, V> Process<K, V> for DropNullKeys<K, V> {
    fn process(&mut self, record: Record<K, V>, task: &mut TaskContext<'_>) -> ProcessResult {
        if !self.keep_null_keys && self.key_serde.is_null(&record.key) {
            return Ok(());
        }
        self.next.process(record, task)
    }
}
