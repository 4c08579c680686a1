//! Random topologies and inputs, from a seed.

use crate::algebra::{Case, Id, Input, JoinKind, Op, Until, Windows, Within, shapes};
use crate::functions::{How, KeyFn, Predicate, ValueFn};

const STREAM_TOPICS: usize = 3;
const TABLE_TOPICS: usize = 2;
const OPERATORS_MAX: usize = 9;
const RECORDS_MAX: usize = 28;

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    fn between(&mut self, first: i64, last: i64) -> i64 {
        first + self.below(usize::try_from(last - first + 1).unwrap_or(1)) as i64
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

pub(crate) fn case(seed: u64) -> Case {
    let mut random = Random::new(seed);
    let mut case = Case {
        ops: topology(&mut random),
        input: Vec::new(),
    };
    case.input = input(&mut random, &case.topics());
    case
}

fn topology(random: &mut Random) -> Vec<Op> {
    let some_windows = [windows(random), windows(random)];
    let mut ops = vec![Op::Stream { topic: 0 }];
    let count = 2 + random.below(OPERATORS_MAX - 1);
    while ops.len() < count {
        ops.push(any_op(random, &ops, some_windows));
        if shapes(&ops).is_none() {
            ops.pop();
        }
    }
    ops
}

/// Often one that does not fit: then the next is tried.
fn any_op(random: &mut Random, ops: &[Op], some_windows: [Windows; 2]) -> Op {
    let (from, other) = (near_end(random, ops), random.below(ops.len()));
    let (stored, not, left) = (random.percent(30), random.percent(50), random.percent(50));
    let takes = random.pick(&[Predicate::HasA, Predicate::IsLong, Predicate::KeyIsK1]);
    let value = random.pick(&[ValueFn::Exclaim, ValueFn::Reverse, ValueFn::NullIfA]);
    let key = random.pick(&[
        KeyFn::Value,
        KeyFn::FirstChar,
        KeyFn::Prefix,
        KeyFn::Constant,
        KeyFn::NullIfB,
    ]);
    let how = random.pick(&[How::Count, How::Reduce, How::Aggregate, How::Delete]);
    let kind = random.pick(&[JoinKind::Inner, JoinKind::Left, JoinKind::Outer]);
    match random.below(32) {
        0 => Op::Stream {
            topic: random.below(STREAM_TOPICS),
        },
        1 | 2 => Op::Table {
            topic: random.below(TABLE_TOPICS),
            stored,
        },
        3 => Op::Filter { from, takes, not },
        4 => Op::MapValues { from, value },
        5 => Op::Map { from, key, value },
        6 => Op::SelectKey { from, key },
        7 => Op::FlatMapValues { from },
        8 => Op::FlatMap { from },
        9 => Op::Merge { from, other },
        10 => Op::Split { from },
        11 | 12 => Op::Branch {
            split: from,
            takes: random.percent(75).then_some(takes),
        },
        13 => Op::Repartition { from },
        14 | 15 => Op::ToTable { from, stored },
        16 => Op::ToStream { from },
        17 | 18 => Op::Aggregate {
            from,
            by: random.percent(40).then_some(key),
            how,
            windows: None,
        },
        19..=21 => windowed(random, from, how, some_windows, key),
        22 | 23 => Op::JoinTable {
            from,
            table: other,
            left,
        },
        24 | 25 => Op::JoinStream {
            from,
            other,
            kind,
            within: within(random),
        },
        26 => Op::FilterRows {
            from,
            takes,
            not,
            stored,
        },
        27 => Op::MapRows { from, value, stored },
        28 => Op::GroupRows { from, by: key, how },
        29 | 30 => Op::JoinRows {
            from,
            other,
            kind,
            stored,
        },
        _ => Op::Suppress {
            from,
            until: until(random),
        },
    }
}

/// What was made last is used most, so that topologies are deep.
fn near_end(random: &mut Random, ops: &[Op]) -> Id {
    let last = ops.len() - 1;
    match random.percent(50) {
        true => last - random.below(last + 1).min(random.below(3)),
        false => random.below(ops.len()),
    }
}

fn windows(random: &mut Random) -> Windows {
    let grace_ms = if random.percent(40) {
        0
    } else {
        random.between(1, 15)
    };
    let size_ms = random.between(2, 30);
    match random.below(5) {
        0 => Windows::Time {
            size_ms,
            advance_ms: size_ms,
            grace_ms,
        },
        1 => Windows::Time {
            size_ms,
            advance_ms: random.between(size_ms / 3 + 1, size_ms),
            grace_ms,
        },
        2 | 3 => Windows::Session {
            gap_ms: random.between(1, 15),
            grace_ms,
        },
        _ => Windows::Sliding {
            difference_ms: random.between(1, 20),
            grace_ms,
        },
    }
}

fn windowed(random: &mut Random, from: Id, how: How, windows: [Windows; 2], key: KeyFn) -> Op {
    let windows = random.pick(&windows);
    let how = match (windows, how) {
        // A sliding window whose row is deleted is forgotten with all its records: no definition says what comes after.
        (Windows::Sliding { .. }, How::Delete) => How::Aggregate,
        _ => how,
    };
    Op::Aggregate {
        from,
        by: random.percent(30).then_some(key),
        how,
        windows: Some(windows),
    }
}

fn within(random: &mut Random) -> Within {
    let zero_or = |random: &mut Random, most| {
        if random.percent(25) {
            0
        } else {
            random.between(1, most)
        }
    };
    Within {
        before_ms: zero_or(random, 15),
        after_ms: zero_or(random, 15),
        grace_ms: zero_or(random, 10),
    }
}

fn until(random: &mut Random) -> Until {
    match random.percent(60) {
        true => Until::WindowCloses,
        false => Until::TimeLimit {
            wait_ms: random.between(0, 20),
            rows_max: random.percent(40).then(|| 1 + random.below(3)),
        },
    }
}

/// Records for the topics that the topology reads. Time moves on, but many are earlier than those before them, some by far.
fn input(random: &mut Random, topics: &[String]) -> Vec<Input> {
    let count = 3 + random.below(RECORDS_MAX - 2);
    let pace_ms = random.pick(&[1, 4, 12]);
    let mut now_ms = if random.percent(50) {
        0
    } else {
        random.between(0, 100)
    };
    let mut record = || {
        now_ms += random.between(0, pace_ms);
        let late_ms = match random.below(10) {
            0..=5 => 0,
            6..=8 => random.between(1, 12),
            _ => random.between(1, 50),
        };
        let key = random.pick(&["k1", "k2", "k3"]).to_owned();
        let value = random
            .pick(&["a", "b", "c", "ab", "ba", "b c", "a b a", "cab"])
            .to_owned();
        Input {
            topic: topics[random.below(topics.len())].clone(),
            key: (!random.percent(8)).then_some(key),
            value: (!random.percent(12)).then_some(value),
            at_ms: (now_ms - late_ms).max(0),
        }
    };
    (0..count).map(|_| record()).collect()
}
