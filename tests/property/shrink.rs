//! The smallest case that still fails: operators and records are left out and made simpler for as long as it does.

use crate::algebra::{Case, Id, Op, Until, Windows, Within, shapes};
use crate::functions::{How, ValueFn};

/// Tries one change after the other, from the start again after each that leaves a failure, until none does.
pub(crate) fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    while let Some(smaller) = candidates(&case)
        .into_iter()
        .find(|smaller| !smaller.ops.is_empty() && shapes(&smaller.ops).is_some() && fails(smaller))
    {
        case = smaller;
    }
    case
}

fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for length in [case.input.len() / 2, case.input.len() / 4, 1] {
        for start in (0..case.input.len()).step_by(length.max(1)) {
            let mut input = case.input.clone();
            input.drain(start..(start + length.max(1)).min(input.len()));
            all.push(Case {
                input,
                ops: case.ops.clone(),
            });
        }
    }
    for id in (0..case.ops.len()).rev() {
        all.extend(without(case, id));
        for op in simpler(case.ops[id]) {
            let mut ops = case.ops.clone();
            ops[id] = op;
            all.push(Case {
                ops,
                input: case.input.clone(),
            });
        }
    }
    for (number, record) in case.input.iter().enumerate() {
        let mut change = |key: Option<&str>, value: Option<&str>, at_ms: i64| {
            let mut input = case.input.clone();
            input[number].key = key.map(str::to_owned);
            input[number].value = value.map(str::to_owned);
            input[number].at_ms = at_ms;
            if input != case.input {
                all.push(Case {
                    input,
                    ops: case.ops.clone(),
                });
            }
        };
        let (key, value, at_ms) = (record.key.as_deref(), record.value.as_deref(), record.at_ms);
        if key != Some("k1") {
            change(Some("k1"), value, at_ms);
        }
        if value != Some("a") && value != Some("b") {
            change(key, Some("a"), at_ms);
            change(key, Some("b"), at_ms);
        }
        for at_ms in [0, at_ms / 2, at_ms - 1] {
            if at_ms >= 0 && at_ms < record.at_ms {
                change(key, value, at_ms);
            }
        }
    }
    all
}

/// Without an operator: with what it works on in its place, or without all that is made of it.
fn without(case: &Case, id: Id) -> Vec<Case> {
    let mut op = case.ops[id];
    let instead = op.parents().into_iter().map(|parent| Some(*parent)).chain([None]);
    instead.map(|instead| removed(case, id, instead)).collect()
}

fn removed(case: &Case, id: Id, instead: Option<Id>) -> Case {
    let mut places: Vec<Option<Id>> = Vec::new();
    let mut ops = Vec::new();
    for (at, op) in case.ops.iter().enumerate() {
        let mut op = *op;
        let mut is_kept = at != id;
        for parent in op.parents() {
            match places[*parent] {
                Some(place) => *parent = place,
                None => is_kept = false,
            }
        }
        places.push(is_kept.then_some(ops.len()));
        if is_kept {
            ops.push(op);
        } else if at == id {
            places[at] = instead.and_then(|instead| places[instead]);
        }
    }
    let mut case = Case {
        ops,
        input: case.input.clone(),
    };
    let topics = case.topics();
    case.input.retain(|record| topics.contains(&record.topic));
    case
}

/// The operator with fewer or smaller settings.
fn simpler(op: Op) -> Vec<Op> {
    let mut all = Vec::new();
    match op {
        Op::Table { topic, stored: true } => all.push(Op::Table { topic, stored: false }),
        Op::ToTable { from, stored: true } => all.push(Op::ToTable { from, stored: false }),
        Op::FilterRows {
            from,
            takes,
            not,
            stored: true,
        } => {
            all.push(Op::FilterRows {
                from,
                takes,
                not,
                stored: false,
            });
        }
        Op::MapRows {
            from,
            value,
            stored: true,
        } => all.push(Op::MapRows {
            from,
            value,
            stored: false,
        }),
        Op::JoinRows {
            from,
            other,
            kind,
            stored: true,
        } => {
            all.push(Op::JoinRows {
                from,
                other,
                kind,
                stored: false,
            });
        }
        Op::MapValues { from, value } if value != ValueFn::Exclaim => {
            all.push(Op::MapValues {
                from,
                value: ValueFn::Exclaim,
            });
        }
        Op::Aggregate {
            from,
            by,
            how,
            windows,
        } => {
            if how != How::Count {
                all.push(Op::Aggregate {
                    from,
                    by,
                    how: How::Count,
                    windows,
                });
            }
            if by.is_some() {
                all.push(Op::Aggregate {
                    from,
                    by: None,
                    how,
                    windows,
                });
            }
            let windows = windows.into_iter().flat_map(smaller_windows);
            all.extend(windows.map(|windows| Op::Aggregate {
                from,
                by,
                how,
                windows: Some(windows),
            }));
        }
        Op::GroupRows { from, by, how } if how != How::Count => {
            all.push(Op::GroupRows {
                from,
                by,
                how: How::Count,
            });
        }
        Op::JoinStream {
            from,
            other,
            kind,
            within,
        } => {
            let smaller = smaller_within(within).into_iter();
            all.extend(smaller.map(|within| Op::JoinStream {
                from,
                other,
                kind,
                within,
            }));
        }
        Op::Suppress {
            from,
            until: Until::TimeLimit { wait_ms, rows_max },
        } => {
            let until = |wait_ms, rows_max| Until::TimeLimit { wait_ms, rows_max };
            if rows_max.is_some() {
                all.push(Op::Suppress {
                    from,
                    until: until(wait_ms, None),
                });
            }
            all.extend(smaller_ms(wait_ms).map(|wait_ms| Op::Suppress {
                from,
                until: until(wait_ms, rows_max),
            }));
        }
        _ => {}
    }
    all
}

fn smaller_ms(ms: i64) -> impl Iterator<Item = i64> {
    [0, ms / 2, ms - 1]
        .into_iter()
        .filter(move |smaller| *smaller >= 0 && *smaller < ms)
}

fn smaller_windows(windows: Windows) -> Vec<Windows> {
    match windows {
        Windows::Time {
            size_ms,
            advance_ms,
            grace_ms,
        } => {
            let of_size = |size_ms| Windows::Time {
                size_ms,
                advance_ms: size_ms,
                grace_ms,
            };
            let with_grace = |grace_ms| Windows::Time {
                size_ms,
                advance_ms,
                grace_ms,
            };
            let of_sizes = smaller_ms(size_ms).filter(|size_ms| *size_ms > 0).map(of_size);
            of_sizes.chain(smaller_ms(grace_ms).map(with_grace)).collect()
        }
        Windows::Session { gap_ms, grace_ms } => {
            let of_gap = |gap_ms| Windows::Session { gap_ms, grace_ms };
            let with_grace = |grace_ms| Windows::Session { gap_ms, grace_ms };
            let of_gaps = smaller_ms(gap_ms).filter(|gap_ms| *gap_ms > 0).map(of_gap);
            of_gaps.chain(smaller_ms(grace_ms).map(with_grace)).collect()
        }
        Windows::Sliding {
            difference_ms,
            grace_ms,
        } => {
            let of_size = |difference_ms| Windows::Sliding {
                difference_ms,
                grace_ms,
            };
            let with_grace = |grace_ms| Windows::Sliding {
                difference_ms,
                grace_ms,
            };
            let of_sizes = smaller_ms(difference_ms).filter(|ms| *ms > 0).map(of_size);
            of_sizes.chain(smaller_ms(grace_ms).map(with_grace)).collect()
        }
    }
}

fn smaller_within(within: Within) -> Vec<Within> {
    let before = smaller_ms(within.before_ms).map(|before_ms| Within { before_ms, ..within });
    let after = smaller_ms(within.after_ms).map(|after_ms| Within { after_ms, ..within });
    let grace = smaller_ms(within.grace_ms).map(|grace_ms| Within { grace_ms, ..within });
    before.chain(after).chain(grace).collect()
}
