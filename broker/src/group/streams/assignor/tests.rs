//! Tables of members and topologies against what they are assigned.

use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn parts(counts: &[(i32, bool)]) -> BTreeMap<String, ConfiguredSubtopology> {
    let parts = counts.iter().enumerate().map(|(id, (task_count, stateful))| {
        let part = ConfiguredSubtopology {
            task_count: *task_count,
            stateful: *stateful,
        };
        (id.to_string(), part)
    });
    parts.collect()
}

/// `a@p!0_0,0_1+0_2`: member a of process p had two active tasks and a standby.
fn check(counts: &[(i32, bool)], standby_replicas: usize, members: &str, expected: &Expect) {
    let parsed: Vec<(&str, &str, Tasks)> = members
        .split(' ')
        .map(|member| {
            let (member, previous) = member.split_once('!').unwrap_or((member, ""));
            let (id, process) = member.split_once('@').unwrap();
            let (active, standby) = previous.split_once('+').unwrap_or((previous, ""));
            let map = |text: &str| {
                let mut map = TaskMap::new();
                for task in text.split(',').filter(|task| !task.is_empty()) {
                    let (of, partition) = task.split_once('_').unwrap();
                    map.entry(of.to_owned())
                        .or_default()
                        .insert(partition.parse().unwrap());
                }
                map
            };
            let previous = Tasks {
                active: map(active),
                standby: map(standby),
                ..Tasks::default()
            };
            (id, process, previous)
        })
        .collect();
    let specs: Vec<AssignorMember<'_>> = parsed
        .iter()
        .map(|(member_id, process_id, previous)| AssignorMember {
            member_id,
            process_id,
            previous,
        })
        .collect();
    let mut shown = String::new();
    for (id, tasks) in assign(&specs, &parts(counts), standby_replicas) {
        let list = |map: &TaskMap| {
            let tasks = map
                .iter()
                .flat_map(|(of, tasks)| tasks.iter().map(move |task| format!("{of}_{task}")));
            tasks.collect::<Vec<_>>().join(" ")
        };
        writeln!(shown, "{id}: {} + {}", list(&tasks.active), list(&tasks.standby)).unwrap();
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_first_assignment_is_even() {
    check(
        &[(3, false), (3, true)],
        0,
        "a@p b@p c@q",
        &expect![[r#"
        a: 0_0 1_0 + 
        b: 0_2 1_2 + 
        c: 0_1 1_1 + 
    "#]],
    );
}

#[test]
fn tasks_stay_where_they_were_and_go_to_who_has_a_standby() {
    check(
        &[(4, true)],
        1,
        "a@p!0_0,0_1,0_2,0_3 b@q",
        &expect![[r#"
        a: 0_0 0_1 + 0_2 0_3
        b: 0_2 0_3 + 0_0 0_1
    "#]],
    );
    check(
        &[(4, true)],
        1,
        "b@q!0_2,0_3+0_0,0_1 c@r",
        &expect![[r#"
        b: 0_2 0_3 + 0_0 0_1
        c: 0_0 0_1 + 0_2 0_3
    "#]],
    );
}

#[test]
fn a_process_has_one_copy_of_a_task() {
    check(
        &[(2, true)],
        2,
        "a@p b@p c@q",
        &expect![[r#"
        a: 0_0 + 
        b:  + 0_1
        c: 0_1 + 0_0
    "#]],
    );
}

proptest! {
    #[test]
    fn every_task_is_active_once_and_no_process_has_it_twice(
        counts in prop::collection::vec((1i32..6, any::<bool>()), 1..4),
        processes in prop::collection::vec(0usize..4, 1..7),
        replicas in 0usize..3,
        had in prop::collection::vec((0usize..7, 0usize..4, 0i32..7, any::<bool>()), 0..20),
    ) {
        let ids: Vec<(String, String)> =
            processes.iter().enumerate().map(|(index, process)| (format!("m{index}"), format!("p{process}"))).collect();
        let mut previous = vec![Tasks::default(); ids.len()];
        for (member, of, task, active) in had {
            let tasks = &mut previous[member % ids.len()];
            let map = if active { &mut tasks.active } else { &mut tasks.standby };
            map.entry(of.to_string()).or_default().insert(task);
        }
        let specs: Vec<AssignorMember<'_>> = ids.iter().zip(&previous).map(|((member_id, process_id), previous)| {
            AssignorMember { member_id, process_id, previous }
        }).collect();
        let parts = parts(&counts);
        let assigned = assign(&specs, &parts, replicas);
        let mut active = BTreeMap::new();
        let mut copies = BTreeMap::new();
        for spec in &specs {
            let tasks = &assigned[spec.member_id];
            for (task, is_active) in tasks_of(&tasks.active).map(|task| (task, true)).chain(tasks_of(&tasks.standby).map(|task| (task, false))) {
                prop_assert!((0..parts[task.0].task_count).contains(&task.1));
                *active.entry(task).or_insert(0) += usize::from(is_active);
                *copies.entry((task, spec.process_id)).or_insert(0) += 1;
            }
        }
        prop_assert_eq!(active.len(), parts.values().map(|part| part.task_count as usize).sum::<usize>());
        prop_assert!(active.values().all(|count| *count == 1));
        prop_assert!(copies.values().all(|count| *count == 1));
        let process_count = processes.iter().collect::<BTreeSet<_>>().len();
        for (id, part) in parts.iter().filter(|(_, part)| part.stateful) {
            for task in 0..part.task_count {
                let count = copies.keys().filter(|((of, partition), _)| of == id && *partition == task).count();
                prop_assert_eq!(count, (replicas + 1).min(process_count), "as many copies as there are processes for");
            }
        }
    }
}
