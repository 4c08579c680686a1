//! What the nodes of a join by a foreign key are made live with.

use std::sync::Arc;

use streams_core::edge::Edge;
use streams_core::serde::{NullableSerde, Serde};
use streams_core::topology::{
    ProducerRecord, SinkOptions, SinkSupplier, SourceOptions, SourceSupplier, TopicName, Wiring,
};

use super::parts::Parts;
use crate::foreign_key_serde::{
    CombinedKeySerde, KeyTopics, Response, ResponseSerde, Subscription, SubscriptionSerde,
};
use crate::lower::{Lower, Lowered, operator_of};
use crate::operators::foreign_key_join::{
    ForeignTableJoin, HashedBy, ResponseJoin, SubscriptionJoin, SubscriptionReceive, SubscriptionSend,
};
use crate::operators::table_join::Join;
use crate::{Change, Data};

impl<K: Data, V: Data, F: Data, W: Data> Parts<K, V, F, W> {
    pub(super) fn combined_keys(&self) -> CombinedKeySerde<F, K> {
        CombinedKeySerde {
            foreign_key: Arc::clone(&self.right.key),
            primary_key: Arc::clone(&self.left.key),
            topics: self.names.key_topics(),
        }
    }

    pub(super) fn subscriptions(&self) -> Arc<dyn Serde<Subscription<K>>> {
        Arc::new(SubscriptionSerde {
            primary_key: Arc::clone(&self.left.key),
            topics: self.names.key_topics(),
        })
    }

    pub(super) fn send(&self) -> Lower {
        let (extract, is_left) = (Arc::clone(&self.extract), self.is_left);
        let (value_serde, foreign_key_serde) = (Arc::clone(&self.left.value), Arc::clone(&self.right.key));
        let topic = self.names.registration_topic.clone();
        operator_of(move |node| {
            let (node, uses_versions) = (node.name.clone(), node.uses_versions);
            move |wiring: &mut Wiring<'_>, next: Edge<Option<F>, Subscription<K>>| {
                Ok(Box::new(SubscriptionSend {
                    node: node.clone(),
                    extract: Arc::clone(&extract),
                    is_left,
                    uses_versions,
                    value: hashed_by(wiring, &value_serde, &topic, "vh"),
                    foreign_key: hashed_by(wiring, &foreign_key_serde, &topic, "fk"),
                    next,
                }) as Edge<K, Change<V>>)
            }
        })
    }

    pub(super) fn registration(&self) -> Lower {
        let keys: Arc<dyn Serde<Option<F>>> = Arc::new(NullableSerde::new(Arc::clone(&self.right.key)));
        let values = self.subscriptions();
        let mut written = SinkOptions::new(Arc::clone(&keys), Arc::clone(&values));
        if let Some(partitioner) = self.right_partitioner.clone() {
            // Nothing is asked for without a foreign key: any partition will answer.
            written = written.partitioner(move |record: &ProducerRecord<'_, Option<F>, Subscription<K>>| {
                match record.key {
                    Some(key) => partitioner(key, record.partitions),
                    None => anywhere(record.value.primary_partition.unwrap_or(0), record.partitions),
                }
            });
        }
        let (topic, sink) = (
            self.names.registration_topic.clone(),
            self.names.registration_sink.clone(),
        );
        write_and_read(topic, sink, written, SourceOptions::new(keys, values))
    }

    pub(super) fn responses(&self) -> Lower {
        let keys = Arc::clone(&self.left.key);
        let values: Arc<dyn Serde<Response<W>>> = Arc::new(ResponseSerde(Arc::clone(&self.right.value)));
        let by_key = self.left_partitioner.clone();
        let written = SinkOptions::new(Arc::clone(&keys), Arc::clone(&values)).partitioner(
            move |record: &ProducerRecord<'_, K, Response<W>>| match &by_key {
                Some(partitioner) => Some(partitioner(record.key, record.partitions)),
                None => record.value.primary_partition,
            },
        );
        let (topic, sink) = (
            self.names.response_topic.clone(),
            self.names.response_sink.clone(),
        );
        write_and_read(topic, sink, written, SourceOptions::new(keys, values))
    }

    pub(super) fn receive(&self) -> Lower {
        let store = self.names.store.clone();
        operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<Option<F>, Subscription<K>>| {
                Ok(Box::new(SubscriptionReceive {
                    node: node.clone(),
                    store: wiring.key_value_store(&store)?,
                    next,
                }) as Edge<Option<F>, Subscription<K>>)
            }
        })
    }

    pub(super) fn join_foreign(&self) -> Lower {
        let view = Arc::clone(&self.right_view);
        operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, Response<W>>| {
                Ok(Box::new(SubscriptionJoin {
                    node: node.clone(),
                    right: view(wiring)?,
                    next,
                }) as Edge<Option<F>, Subscription<K>>)
            }
        })
    }

    pub(super) fn resolve<R: Data>(&self, join: Join<V, W, R>) -> Lower {
        let (view, value_serde) = (Arc::clone(&self.left_view), Arc::clone(&self.left.value));
        let topic = self.names.registration_topic.clone();
        operator_of(move |node| {
            let node = node.name.clone();
            move |wiring: &mut Wiring<'_>, next: Edge<K, Option<R>>| {
                Ok(Box::new(ResponseJoin {
                    node: node.clone(),
                    left: view(wiring)?,
                    value: hashed_by(wiring, &value_serde, &topic, "vh"),
                    join: Arc::clone(&join),
                    next,
                }) as Edge<K, Response<W>>)
            }
        })
    }

    pub(super) fn foreign_join(&self) -> Lower {
        let names = &self.names;
        let (store, registration) = (names.store.clone(), names.registration_topic.clone());
        let (foreign_key, primary_key) = (Arc::clone(&self.right.key), Arc::clone(&self.left.key));
        operator_of(move |node| {
            let (node, uses_versions) = (node.name.clone(), node.uses_versions);
            move |wiring: &mut Wiring<'_>, next: Edge<K, Response<W>>| {
                Ok(Box::new(ForeignTableJoin {
                    node: node.clone(),
                    store: wiring.key_value_store(&store)?,
                    keys: CombinedKeySerde {
                        foreign_key: Arc::clone(&foreign_key),
                        primary_key: Arc::clone(&primary_key),
                        topics: KeyTopics::new(&registration, &store),
                    },
                    foreign_key_serde: Arc::clone(&foreign_key),
                    changelog: format!("{}-{store}-changelog", wiring.application_id()),
                    uses_versions,
                    next,
                }) as Edge<F, Change<W>>)
            }
        })
    }
}

/// Spreads what has no key, by a number that it has.
fn anywhere(number: i32, partitions: u32) -> i32 {
    number.rem_euclid(i32::try_from(partitions.max(1)).unwrap_or(i32::MAX))
}

fn hashed_by<T>(wiring: &Wiring<'_>, serde: &Arc<dyn Serde<T>>, topic: &str, suffix: &str) -> HashedBy<T> {
    HashedBy {
        serde: Arc::clone(serde),
        topic: format!("{}-{topic}-{suffix}", wiring.application_id()),
    }
}

fn write_and_read<A: Data, B: Data>(
    topic: String,
    sink: String,
    written: SinkOptions<A, B>,
    read: SourceOptions<A, B>,
) -> Lower {
    topic_between(topic, sink, SinkSupplier::new(written), SourceSupplier::new(read))
}

fn topic_between(topic: String, sink_name: String, sink: SinkSupplier, source: SourceSupplier) -> Lower {
    Lower::nodes(move |lowering| {
        let builder = &mut *lowering.builder;
        builder.add_repartition_topic(&topic, None);
        let topic = TopicName::internal(topic);
        builder.add_sink_of(&sink_name, Some(topic.clone()), sink, &lowering.parents);
        let source = builder.add_source_of(&lowering.node.name, vec![topic], source);
        Lowered::source(source, source)
    })
}
