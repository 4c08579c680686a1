//! The part of [`KStream`] that looks at one record at a time.

use std::rc::Rc;
use std::sync::Arc;

use super::KStream;
use crate::lower::operator;
use crate::names::prefix;
use crate::operators::Tried;
use crate::operators::filter::{Filter, RequireKey};
use crate::operators::flat_map::{FlatMap, FlatMapValues};
use crate::operators::map::{Map, MapValues, SelectKey};
use crate::operators::peek::{ForEach, Peek};
use crate::plan::{KeyEffect, Kind, PlanId, PlanNode};
use crate::{BranchedKStream, Data, Terminal};

/// Operators without state.
impl<K: Data, V: Data> KStream<K, V> {
    /// The records for which `keep` holds.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter(|_, n| n % 2 == 0).to("even");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// let input = driver.input::<String, i64>("in");
    /// input.pipe("a".into(), 1)?;
    /// input.pipe("b".into(), 2)?;
    /// assert_eq!(driver.output::<String, i64>("even").read_key_values(), [("b".into(), 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter(&self, keep: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filtered(move |key, value| Ok(keep(key, value)), true)
    }

    /// The records for which `drop` does not hold.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").filter_not(|_, n| *n < 0).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), -1_i64)?;
    /// assert!(driver.output::<String, i64>("out").is_empty());
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn filter_not(&self, drop: impl Fn(&K, &V) -> bool + Send + Sync + 'static) -> KStream<K, V> {
        self.filtered(move |key, value| Ok(drop(key, value)), false)
    }

    pub(crate) fn filtered(
        &self,
        keep: impl Fn(&K, &V) -> Tried<bool> + Send + Sync + 'static,
        wanted: bool,
    ) -> KStream<K, V> {
        let keep = Arc::new(keep);
        let lower = operator::<K, V, K, V>(move |wiring, next| {
            Ok(Box::new(Filter {
                node: wiring.node_name().to_owned(),
                keep: Arc::clone(&keep),
                wanted,
                next,
            }))
        });
        self.with_node(self.then(prefix::FILTER, KeyEffect::Keeps, lower))
    }

    /// A new key and value for each record. What needs equal keys together repartitions afterwards, even if the key did not
    /// change: prefer [`map_values`](Self::map_values).
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").map(|name, n| (n, name)).to("swapped");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<i64, String>("swapped").read_key_values(), [(7, "a".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map<KO: Data, VO: Data>(
        &self,
        map: impl Fn(K, V) -> (KO, VO) + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        self.mapped(move |key, value| Ok(map(key, value)))
    }

    pub(crate) fn mapped<KO: Data, VO: Data>(
        &self,
        map: impl Fn(K, V) -> Tried<(KO, VO)> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, KO, VO>(move |wiring, next| {
            Ok(Box::new(Map {
                node: wiring.node_name().to_owned(),
                map: Arc::clone(&map),
                next,
            }))
        });
        let node = self.then(prefix::MAP, KeyEffect::Changes, lower);
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// A new value for each record.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, String>("in").map_values(|text| text.len() as i64).to("lengths");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), "four".to_string())?;
    /// assert_eq!(driver.output::<String, i64>("lengths").read_key_values(), [("a".into(), 4)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values<VO: Data>(&self, map: impl Fn(V) -> VO + Send + Sync + 'static) -> KStream<K, VO> {
        self.mapped_values(move |_, value| Ok(map(value)))
    }

    /// A new value for each record, made of key and value.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.map_values_with_key(|name, n| format!("{name} has {n}")).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, String>("out").read_value().unwrap(), "a has 7");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn map_values_with_key<VO: Data>(
        &self,
        map: impl Fn(&K, V) -> VO + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.mapped_values(move |key, value| Ok(map(key, value)))
    }

    pub(crate) fn mapped_values<VO: Data>(
        &self,
        map: impl Fn(&K, V) -> Tried<VO> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, K, VO>(move |wiring, next| {
            Ok(Box::new(MapValues {
                node: wiring.node_name().to_owned(),
                map: Arc::clone(&map),
                next,
            }))
        });
        let node = self.then(prefix::MAP_VALUES, KeyEffect::Keeps, lower);
        self.plan.borrow_mut().node_mut(node).changes_values = true;
        self.with_values(node)
    }

    /// Any number of records for each, keys included. As for [`map`](Self::map), a repartition may follow.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.flat_map(|name, n| (0..n).map(move |i| (i, name.clone()))).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 2_i64)?;
    /// let out = driver.output::<i64, String>("out").read_key_values();
    /// assert_eq!(out, [(0, "a".into()), (1, "a".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map<KO: Data, VO: Data, I: IntoIterator<Item = (KO, VO)>>(
        &self,
        map: impl Fn(K, V) -> I + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        self.flat_mapped(move |key, value| Ok(map(key, value)))
    }

    pub(crate) fn flat_mapped<KO: Data, VO: Data, I: IntoIterator<Item = (KO, VO)>>(
        &self,
        map: impl Fn(K, V) -> Tried<I> + Send + Sync + 'static,
    ) -> KStream<KO, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, KO, VO>(move |wiring, next| {
            Ok(Box::new(FlatMap {
                node: wiring.node_name().to_owned(),
                map: Arc::clone(&map),
                next,
            }))
        });
        let node = self.then(prefix::FLAT_MAP, KeyEffect::Changes, lower);
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// Any number of values for each record, under its key.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let lines = builder.stream::<Option<String>, String>("lines");
    /// lines.flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()).to("words");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("lines").pipe(None::<String>, "to be".to_string())?;
    /// let words = driver.output::<Option<String>, String>("words").read_key_values();
    /// assert_eq!(words, [(None, "to".into()), (None, "be".into())]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values<VO: Data, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(V) -> I + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.flat_mapped_values(move |_, value| Ok(map(value)))
    }

    /// Any number of values for each record, made of key and value.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<i64, i64>("in").flat_map_values_with_key(|key, n| [*key, n]).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(1_i64, 2_i64)?;
    /// assert_eq!(driver.output::<i64, i64>("out").read_key_values(), [(1, 1), (1, 2)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn flat_map_values_with_key<VO: Data, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(&K, V) -> I + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        self.flat_mapped_values(move |key, value| Ok(map(key, value)))
    }

    pub(crate) fn flat_mapped_values<VO: Data, I: IntoIterator<Item = VO>>(
        &self,
        map: impl Fn(&K, V) -> Tried<I> + Send + Sync + 'static,
    ) -> KStream<K, VO> {
        let map = Arc::new(map);
        let lower = operator::<K, V, K, VO>(move |wiring, next| {
            Ok(Box::new(FlatMapValues {
                node: wiring.node_name().to_owned(),
                map: Arc::clone(&map),
                next,
            }))
        });
        let node = self.then(prefix::FLAT_MAP_VALUES, KeyEffect::Keeps, lower);
        self.plan.borrow_mut().node_mut(node).changes_values = true;
        self.with_values(node)
    }

    /// A new key for each record. A repartition follows where equal keys are needed together.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<Option<String>, String>("words").select_key(|_, word| word.clone()).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("words").pipe(None::<String>, "be".to_string())?;
    /// assert_eq!(driver.output::<String, String>("out").read_record().unwrap().key, "be");
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn select_key<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> KO + Send + Sync + 'static,
    ) -> KStream<KO, V> {
        self.selected(move |key, value| Ok(select(key, value)))
    }

    pub(crate) fn selected<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> Tried<KO> + Send + Sync + 'static,
    ) -> KStream<KO, V> {
        let node = self.select(select);
        KStream::new(Rc::clone(&self.plan), node, None, self.value_serde.clone())
    }

    pub(super) fn select<KO: Data>(
        &self,
        select: impl Fn(&K, &V) -> Tried<KO> + Send + Sync + 'static,
    ) -> PlanId {
        let select = Arc::new(select);
        let lower = operator::<K, V, KO, V>(move |wiring, next| {
            Ok(Box::new(SelectKey {
                node: wiring.node_name().to_owned(),
                select: Arc::clone(&select),
                next,
            }))
        });
        self.then(prefix::KEY_SELECT, KeyEffect::Changes, lower)
    }

    /// Shows each record to `look` and passes it on. After a failure records are shown again, exactly-once or not.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use streams_dsl::prelude::*;
    ///
    /// static SEEN: AtomicUsize = AtomicUsize::new(0);
    /// let builder = StreamsBuilder::new();
    /// let input = builder.stream::<String, i64>("in");
    /// input.peek(|_, _| { SEEN.fetch_add(1, Ordering::Relaxed); }).to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(SEEN.load(Ordering::Relaxed), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn peek(&self, look: impl Fn(&K, &V) + Send + Sync + 'static) -> KStream<K, V> {
        self.peeked(move |key, value| {
            look(key, value);
            Ok(())
        })
    }

    pub(crate) fn peeked(&self, look: impl Fn(&K, &V) -> Tried<()> + Send + Sync + 'static) -> KStream<K, V> {
        let look = Arc::new(look);
        let lower = operator::<K, V, K, V>(move |wiring, next| {
            Ok(Box::new(Peek {
                node: wiring.node_name().to_owned(),
                look: Arc::clone(&look),
                next,
            }))
        });
        self.with_node(self.then(prefix::PEEK, KeyEffect::Keeps, lower))
    }

    /// Gives each record to `action`, and ends there. After a failure records come again, exactly-once or not.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use streams_dsl::prelude::*;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let builder = StreamsBuilder::new();
    /// builder.stream::<String, i64>("in").for_each(move |_, n| sender.send(n).unwrap());
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert_eq!(receiver.try_recv(), Ok(7));
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    pub fn for_each(&self, action: impl Fn(K, V) + Send + Sync + 'static) -> Terminal {
        self.each(move |key, value| {
            action(key, value);
            Ok(())
        })
    }

    pub(crate) fn each(&self, action: impl Fn(K, V) -> Tried<()> + Send + Sync + 'static) -> Terminal {
        let action = Arc::new(action);
        // Nothing can come after it: the output's types are of no account.
        let lower = operator::<K, V, (), ()>(move |wiring, _| {
            Ok(Box::new(ForEach {
                node: wiring.node_name().to_owned(),
                action: Arc::clone(&action),
            }))
        });
        self.terminal(self.then(prefix::FOR_EACH, KeyEffect::Keeps, lower))
    }

    /// The records of both streams, in no particular order between the two.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let (a, b) = (builder.stream::<String, i64>("a"), builder.stream::<String, i64>("b"));
    /// a.merge(&b).to("both");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("b").pipe("k".to_string(), 7_i64)?;
    /// assert_eq!(driver.output::<String, i64>("both").read_key_values(), [("k".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn merge(&self, other: &KStream<K, V>) -> KStream<K, V> {
        let mut parents = vec![self.node];
        if self.same_builder(&other.plan, "merge") {
            parents.push(other.node);
        }
        let pass = operator::<K, V, K, V>(|_, next| Ok(next));
        let node = self.add(prefix::MERGE, |name, _| {
            let mut node = PlanNode::new(name, parents, pass);
            node.kind = Kind::Merge;
            node
        });
        KStream::new(Rc::clone(&self.plan), node, None, None)
    }

    /// Splits the stream: each record goes to the first branch that takes it.
    ///
    /// ```
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let mut split = builder.stream::<String, i64>("in").split();
    /// split.branch(|_, n| *n < 0).to("negative");
    /// split.branch(|_, n| *n > 9).to("large");
    /// split.default_branch().to("small");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe("a".to_string(), 7_i64)?;
    /// assert!(driver.output::<String, i64>("large").is_empty());
    /// assert_eq!(driver.output::<String, i64>("small").read_key_values(), [("a".into(), 7)]);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn split(&self) -> BranchedKStream<K, V> {
        BranchedKStream::new(self)
    }
}

impl<K: Data, V: Data> KStream<Option<K>, V> {
    /// The records that have a key, as a stream whose keys cannot be null. The others are dropped and counted.
    ///
    /// ```
    /// use streams_dsl::metrics::DropReason;
    /// use streams_dsl::prelude::*;
    ///
    /// let builder = StreamsBuilder::new();
    /// let keyed: KStream<String, i64> = builder.stream::<Option<String>, i64>("in").require_key();
    /// keyed.to("out");
    /// let driver = TopologyTestDriver::new(&builder.build()?)?;
    /// driver.input("in").pipe(None::<String>, 7_i64)?;
    /// assert!(driver.output::<String, i64>("out").is_empty());
    /// assert_eq!(driver.dropped(DropReason::NullKey), 1);
    /// # Ok::<(), streams_dsl::error::StreamsError>(())
    /// ```
    #[must_use]
    pub fn require_key(&self) -> KStream<K, V> {
        let lower = operator::<Option<K>, V, K, V>(|_, next| Ok(Box::new(RequireKey { next })));
        let node = self.then(prefix::FILTER, KeyEffect::Keeps, lower);
        KStream::new(Rc::clone(&self.plan), node, None, self.value_serde.clone())
    }
}
