//! `KTable::suppress`: updates held back, so that fewer or only final ones are sent.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use streams_core::edge::Edge;
use streams_core::serde::{DefaultSerde, Serde};
use streams_core::topology::Wiring;

use crate::lower::{Lower, operator_of};
use crate::names::prefix;
use crate::operators::suppress::Suppress;
use crate::options::{BufferConfig, StrictBufferConfig};
use crate::plan::{Plan, PlanId, PlanNode, TableState};
use crate::windows::{Windowed, millis};
use crate::{Change, Data, KTable, stores, view};

/// Until when updates are held back (Kafka's `Suppressed`).
///
/// ```
/// use std::time::Duration;
/// use streams_dsl::prelude::*;
///
/// let builder = StreamsBuilder::new();
/// let table = builder.table::<String, i64>("in", Materialized::default());
/// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(1_000));
/// table.suppress(until).to_stream().to("out");
/// let driver = TopologyTestDriver::new(&builder.build()?)?;
/// for (n, at_ms) in [(1_i64, 1_000), (2, 2_000), (3, 6_000)] {
///     driver.input("in").pipe_at("a".to_string(), n, at_ms)?;
/// }
/// // Of all updates since the first one that is held back, only the last.
/// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 3)]);
/// # Ok::<(), streams_dsl::error::StreamsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Suppressed<K> {
    /// `None`: the grace of the windows.
    wait_ms: Option<i64>,
    buffer: BufferConfig,
    /// The time an update is held back from, of its key and timestamp.
    time_ms: fn(&K, i64) -> i64,
    drop_deletions: bool,
    name: Option<String>,
}

impl<K> Suppressed<K> {
    /// Until stream time has advanced by `wait` since the first update of a key that is held back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::unbounded());
    /// table.suppress(until).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for (key, n, at_ms) in [("a", 1_i64, 1_000), ("a", 2, 2_000), ("b", 3, 6_000)] {
    ///     driver.input("in").pipe_at(key.to_string(), n, at_ms)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn until_time_limit(wait: Duration, buffer: impl Into<BufferConfig>) -> Self {
        Self {
            wait_ms: Some(millis(wait)),
            buffer: buffer.into(),
            time_ms: |_, timestamp_ms| timestamp_ms,
            drop_deletions: false,
            name: None,
        }
    }

    /// Sets the name of the processor, and what the names of its store and changelog begin with. Default: generated names.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let table = builder.table::<String, i64>("in", Materialized::default());
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::unbounded()).with_name("held");
    /// table.suppress(until).to_stream().to("out");
    /// let topology = builder.build()?;
    /// assert!(topology.describe().contains("Processor: held (stores: [held-store])"));
    /// let driver = TopologyTestDriver::new(&topology)?;
    /// driver.input("in").pipe_at("a".to_string(), 7_i64, 1_000)?;
    /// assert_eq!(driver.written("app-held-store-changelog").len(), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

impl<K> Suppressed<Windowed<K>> {
    /// Until a window closes: one result per key and window. Deletions are dropped, since nothing was sent before.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(seconds);
    /// let counts = clicks.count(Materialized::default());
    /// counts.suppress(Suppressed::until_window_closes(BufferConfig::unbounded())).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 200, 1_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.output::<Windowed<String>, i64>("counts").read_records();
    /// assert_eq!((counts.len(), counts[0].value), (1, 2));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn until_window_closes(buffer: StrictBufferConfig) -> Self {
        Self {
            wait_ms: None,
            buffer: buffer.into(),
            time_ms: |key, _| key.window.end_ms,
            drop_deletions: true,
            name: None,
        }
    }
}

impl<K: Data, V: Data> KTable<K, V> {
    /// The same table, with updates held back as `suppressed` says: of those of one key only the last is sent.
    ///
    /// Time is stream time, so nothing is sent without input. Updates are sent with their own timestamps and headers, oldest
    /// first. Whoever looks the table up sees what was sent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let seconds = TimeWindows::of_size_with_no_grace(Duration::from_secs(1));
    /// let clicks = builder.stream::<String, String>("clicks").group_by_key().windowed_by(seconds);
    /// let counts = clicks.count(Materialized::named("per-second"));
    /// counts.suppress(Suppressed::until_window_closes(BufferConfig::unbounded())).to_stream().to("counts");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for at_ms in [100, 200, 1_000] {
    ///     driver.input("clicks").pipe_at("ada".to_string(), "home".to_string(), at_ms)?;
    /// }
    /// let counts = driver.output::<Windowed<String>, i64>("counts").read_records();
    /// let counts: Vec<(i64, i64)> = counts.iter().map(|r| (r.key.window.start_ms, r.value)).collect();
    /// assert_eq!(counts, [(0, 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn suppress(&self, suppressed: Suppressed<K>) -> KTable<K, V>
    where
        V: DefaultSerde,
    {
        let value_serde = self.value_serde.clone().unwrap_or_else(V::default_serde);
        self.suppress_with(suppressed, value_serde)
    }

    /// As [`suppress`](Self::suppress), with this serde for the values that are held back.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use streams_dsl::prelude::*;
    ///
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Stock { n: i64 }
    ///
    /// let builder = StreamsBuilder::new();
    /// let stock = builder.table::<String, i64>("in", Materialized::default()).map_values(|n| Stock { n });
    /// let until = Suppressed::until_time_limit(Duration::from_secs(5), BufferConfig::max_records(1));
    /// stock.suppress_with(until, Arc::new(JsonSerde)).map_values(|stock| stock.n).to_stream().to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// for key in ["a", "b"] {
    ///     driver.input("in").pipe_at(key.to_string(), 7_i64, 1_000)?;
    /// }
    /// assert_eq!(driver.output::<String, i64>("out").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn suppress_with(&self, suppressed: Suppressed<K>, value_serde: Arc<dyn Serde<V>>) -> KTable<K, V> {
        let mut plan = self.plan.borrow_mut();
        let (name, store) = suppressed.names(&mut plan);
        let wait_ms = suppressed.checked_wait_ms(&mut plan, self.node, &name);
        plan.enable_old_values(self.node, true);
        let settings = suppressed.buffer.settings.clone();
        let (key, value) = (Arc::clone(&self.key_serde), Arc::clone(&value_serde));
        plan.stores.push(stores::buffer(&store, key, value, settings));
        let lower = lower_suppress::<K, V>(suppressed, store.clone(), wait_ms);
        let mut node = PlanNode::new(name, vec![self.node], lower);
        node.stores.push(store.clone());
        node.table = TableState::Buffered(store.clone());
        node.is_versioned = Some(false);
        let node = plan.add(node);
        let view = view::suppressed(&store, Arc::clone(&self.view));
        KTable::new(
            Rc::clone(&self.plan),
            node,
            Arc::clone(&self.key_serde),
            Some(value_serde),
            view,
        )
    }
}

impl<K> Suppressed<K> {
    /// Of the processor and its store.
    fn names(&self, plan: &mut Plan) -> (String, String) {
        match &self.name {
            Some(name) => (name.clone(), format!("{name}-store")),
            None => {
                let name = plan.names.processor(prefix::SUPPRESS);
                (name, plan.names.store(prefix::SUPPRESS))
            }
        }
    }

    /// How long updates of a table wait: as said, or until its windows close, if it has any.
    fn checked_wait_ms(&self, plan: &mut Plan, table: PlanId, processor: &str) -> i64 {
        let wait_ms = self.wait_ms.or_else(|| plan.window_grace_ms(table));
        wait_ms.unwrap_or_else(|| {
            let problem =
                format!("{processor} holds back until windows close, but the table before it has no windows");
            plan.problems.push(problem);
            0
        })
    }
}

fn lower_suppress<K: Data, V: Data>(suppressed: Suppressed<K>, store: String, wait_ms: i64) -> Lower {
    let Suppressed {
        buffer,
        time_ms,
        drop_deletions,
        ..
    } = suppressed;
    operator_of(move |node| {
        let node = node.name.clone();
        move |wiring: &mut Wiring<'_>, next: Edge<K, Change<V>>| {
            Ok(Box::new(Suppress {
                node: node.clone(),
                store: store.clone(),
                buffer: wiring.time_ordered_buffer(&store)?,
                wait_ms,
                max_records: buffer.max_records,
                max_bytes: buffer.max_bytes,
                when_full: buffer.when_full,
                time_ms,
                drop_deletions,
                stream_time_ms: -1,
                next,
            }) as Edge<K, Change<V>>)
        }
    })
}
