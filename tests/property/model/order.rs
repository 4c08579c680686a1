//! In which order records are taken.
//!
//! A record that is piped in is taken at once. What is written to topics that the topology reads itself waits until the
//! record is processed to its end; then it is taken, before anything else is piped in: from the topic whose next record has
//! the smallest timestamp. So the order depends on what is written, and that on the order. It is found by trying: from the
//! writes of one order follows the next, until it is the same. The first records of an order are right if what they wrote
//! was right, so each time one more is, at least.

use std::collections::{BTreeMap, VecDeque};

use super::graph::Graph;
use super::run::Run;
use super::{EVENTS_MAX, Event, RowKey};
use crate::algebra::Input;
use crate::functions::Text;

/// A record that is taken, or written to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    pub(crate) topic: String,
    /// The how manieth of its topic.
    number: usize,
    pub(crate) key: RowKey,
    pub(crate) new: Text,
    pub(crate) old: Text,
    pub(crate) time_ms: i64,
    /// The input whose consequence it is.
    pub(crate) input: usize,
}

/// The records of all topics in the order in which they are taken, and what became of them.
pub(crate) fn all_steps<'a>(graph: &'a Graph, input: &[Input]) -> Option<(Vec<Step>, Run<'a>)> {
    let mut steps = in_order(input, &BTreeMap::new());
    loop {
        let run = Run::of(graph, &steps)?;
        let next = in_order(input, &writes(&steps, &run));
        if next == steps {
            return Some((steps, run));
        }
        if next.len() > EVENTS_MAX {
            return None;
        }
        steps = next;
    }
}

/// What each record led to be written, by its topic and number.
type Writes = BTreeMap<(String, usize), Vec<(String, Event)>>;

fn writes(steps: &[Step], run: &Run<'_>) -> Writes {
    let mut all = run.writes();
    all.sort_by(|(_, one), (_, other)| one.at.cmp(&other.at));
    let mut writes = Writes::new();
    for (topic, event) in all {
        let step = &steps[event.at.0[0]];
        let of = writes.entry((step.topic.clone(), step.number)).or_default();
        of.push((topic, event));
    }
    writes
}

fn in_order(input: &[Input], writes: &Writes) -> Vec<Step> {
    let mut taken = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut number = |topic: &str| {
        let count = counts.entry(topic.to_owned()).or_default();
        *count += 1;
        *count
    };
    for (input, record) in input.iter().enumerate() {
        let mut waiting = Waiting::default();
        waiting.add(Step {
            topic: record.topic.clone(),
            number: number(&record.topic),
            key: RowKey {
                key: record.key.clone(),
                span: None,
            },
            new: record.value.clone(),
            old: None,
            time_ms: record.at_ms,
            input,
        });
        while let Some(step) = waiting.take() {
            let written = writes.get(&(step.topic.clone(), step.number));
            taken.push(step);
            for (topic, event) in written.into_iter().flatten() {
                let Event {
                    key,
                    new,
                    old,
                    time_ms,
                    ..
                } = event.clone();
                let number = number(topic);
                waiting.add(Step {
                    topic: topic.clone(),
                    number,
                    key,
                    new,
                    old,
                    time_ms,
                    input,
                });
            }
        }
    }
    taken
}

/// Records that wait, by topic. Which of several topics with equal timestamps is next, Java's `PriorityQueue` decides: a heap
/// of the topics that have records.
#[derive(Default)]
struct Waiting {
    topics: BTreeMap<String, VecDeque<Step>>,
    heap: Vec<String>,
}

impl Waiting {
    fn add(&mut self, step: Step) {
        let topic = step.topic.clone();
        let records = self.topics.entry(topic.clone()).or_default();
        records.push_back(step);
        if records.len() == 1 {
            self.offer(topic);
        }
    }

    fn take(&mut self) -> Option<Step> {
        let topic = self.heap.first()?.clone();
        self.remove_first();
        let records = self.topics.get_mut(&topic)?;
        let step = records.pop_front();
        if !records.is_empty() {
            self.offer(topic);
        }
        step
    }

    fn time_ms(&self, at: usize) -> i64 {
        self.topics[&self.heap[at]]
            .front()
            .map_or(i64::MAX, |step| step.time_ms)
    }

    fn offer(&mut self, topic: String) {
        self.heap.push(topic);
        let mut at = self.heap.len() - 1;
        while at > 0 && self.time_ms(at) < self.time_ms((at - 1) / 2) {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn remove_first(&mut self) {
        self.heap.swap_remove(0);
        let mut at = 0;
        while 2 * at + 1 < self.heap.len() {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let right_is_less = right < self.heap.len() && self.time_ms(right) < self.time_ms(left);
            let child = if right_is_less { right } else { left };
            if self.time_ms(at) <= self.time_ms(child) {
                break;
            }
            self.heap.swap(at, child);
            at = child;
        }
    }
}
