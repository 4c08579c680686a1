//! What can be said of an operator beside what it computes: serdes, names, stores. Required things are arguments of the
//! operators; these are the rest, each with a default.

use std::sync::Arc;

use streams_core::serde::{DefaultSerde, Serde};
use streams_core::store::StoreKind;
use streams_core::topology::{Partitioner, TimestampExtractor};

/// How a source reads its topic.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// // Event time is the value itself.
/// let consumed = Consumed::<String, i64>::new().timestamp_extractor(|record: &Record<String, i64>, _| record.value);
/// let events = builder.stream_with("events", consumed);
/// ```
#[derive(Clone)]
pub struct Consumed<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) timestamp_extractor: Option<Arc<dyn TimestampExtractor<K, V>>>,
    pub(crate) name: Option<String>,
}

impl<K: DefaultSerde, V: DefaultSerde> Consumed<K, V> {
    /// With the types' default serdes.
    #[must_use]
    pub fn new() -> Self {
        Self::with(K::default_serde(), V::default_serde())
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Consumed<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> Consumed<K, V> {
    /// With these serdes.
    pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            timestamp_extractor: None,
            name: None,
        }
    }

    /// Takes event time from the record. Default: the record's timestamp. A negative answer drops the record.
    #[must_use]
    pub fn timestamp_extractor(mut self, extractor: impl TimestampExtractor<K, V> + 'static) -> Self {
        self.timestamp_extractor = Some(Arc::new(extractor));
        self
    }

    /// Names the source.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// How a sink writes to its topic.
#[derive(Clone)]
pub struct Produced<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
    pub(crate) name: Option<String>,
}

impl<K, V> Produced<K, V> {
    /// With these serdes.
    pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            partitioner: None,
            name: None,
        }
    }

    /// Chooses the partition from key, value and number of partitions. Default: Kafka's, by the key's bytes.
    #[must_use]
    pub fn partitioner(mut self, partitioner: impl Fn(&K, &V, u32) -> i32 + Send + Sync + 'static) -> Self {
        self.partitioner = Some(Arc::new(partitioner));
        self
    }

    /// Names the sink.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// How records are grouped: the serdes of key and value, for the repartition topic and the store.
#[derive(Clone)]
pub struct Grouped<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) name: Option<String>,
}

impl<K, V> Grouped<K, V> {
    /// With these serdes.
    pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
        }
    }
}

impl<K: DefaultSerde, V: DefaultSerde> Grouped<K, V> {
    /// With the types' default serdes; the name is that of the key selector and of the repartition topic
    /// (`<application>-<name>-repartition`).
    pub fn named(name: impl Into<String>) -> Self {
        let name = Some(name.into());
        Self {
            name,
            ..Self::with(K::default_serde(), V::default_serde())
        }
    }
}

/// How a stream is joined with a table: the stream's serdes, for its repartition topic.
#[derive(Clone)]
pub struct Joined<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) name: Option<String>,
}

impl<K, V> Joined<K, V> {
    /// With these serdes.
    pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
        }
    }

    /// Names the join, and the repartition topic if the stream needs one (`<application>-<name>-repartition`).
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// How a stream is repartitioned.
#[derive(Clone)]
pub struct Repartitioned<K, V> {
    pub(crate) key_serde: Arc<dyn Serde<K>>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) name: Option<String>,
    pub(crate) partitions: Option<u32>,
}

impl<K: DefaultSerde, V: DefaultSerde> Default for Repartitioned<K, V> {
    fn default() -> Self {
        Self::with(K::default_serde(), V::default_serde())
    }
}

impl<K, V> Repartitioned<K, V> {
    /// With these serdes.
    pub fn with(key_serde: Arc<dyn Serde<K>>, value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            key_serde,
            value_serde,
            name: None,
            partitions: None,
        }
    }

    /// Names the topic: `<application>-<name>-repartition`.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Number of partitions. Default: as many as the input has.
    #[must_use]
    pub fn number_of_partitions(mut self, partitions: u32) -> Self {
        self.partitions = Some(partitions);
        self
    }
}

/// How a table is kept: name and kind of its store, and the serde of its values.
///
/// ```
/// use streams_dsl::prelude::*;
///
/// let counts = Materialized::<i64>::named("counts").kind(StoreKind::InMemory);
/// ```
#[derive(Clone)]
pub struct Materialized<V> {
    pub(crate) name: Option<String>,
    pub(crate) value_serde: Arc<dyn Serde<V>>,
    pub(crate) kind: StoreKind,
    pub(crate) logged: bool,
    pub(crate) retention_ms: Option<i64>,
}

impl<V: DefaultSerde> Materialized<V> {
    /// A store of this name; its changelog is `<application>-<name>-changelog`. Choose it once: the name is how a later
    /// version of the application finds its state.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: Some(name.into()),
            ..Self::default()
        }
    }
}

impl<V: DefaultSerde> Default for Materialized<V> {
    /// A store whose name is generated, and changes when operators before it are added or removed.
    fn default() -> Self {
        Self::with(V::default_serde())
    }
}

impl<V> Materialized<V> {
    /// With this serde and a generated name.
    pub fn with(value_serde: Arc<dyn Serde<V>>) -> Self {
        Self {
            name: None,
            value_serde,
            kind: StoreKind::Persistent,
            logged: true,
            retention_ms: None,
        }
    }

    /// Sets the store's name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// On disk or in memory. Default: on disk.
    #[must_use]
    pub fn kind(mut self, kind: StoreKind) -> Self {
        self.kind = kind;
        self
    }

    /// Keeps no changelog: state is lost with its disk. Default: with one.
    #[must_use]
    pub fn logging_disabled(mut self) -> Self {
        self.logged = false;
        self
    }

    /// How long windows are kept, at least size plus grace, which is the default. Without effect on tables without windows.
    #[must_use]
    pub fn retention(mut self, retention: std::time::Duration) -> Self {
        self.retention_ms = Some(crate::windows::millis(retention));
        self
    }
}

macro_rules! opaque_debug {
    ($($name:ident<$($parameter:ident),+>),+) => {$(
        impl<$($parameter),+> std::fmt::Debug for $name<$($parameter),+> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("name", &self.name).finish_non_exhaustive()
            }
        }
    )+};
}

opaque_debug!(Consumed<K, V>, Produced<K, V>, Grouped<K, V>, Joined<K, V>, Repartitioned<K, V>, Materialized<V>);
