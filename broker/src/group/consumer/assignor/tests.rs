//! Tables of members and topics against what they are assigned.

use std::collections::BTreeSet;
use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn topic(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// `a:1,2 b:1!1-0,1-1`: member a reads topics 1 and 2, member b reads topic 1 and had two partitions. Every topic has
/// `count` partitions.
fn assigned(assignor: Assignor, count: i32, members: &str) -> String {
    let parsed: Vec<(&str, BTreeSet<Uuid>, Assignment)> = members
        .split(' ')
        .map(|member| {
            let (member, previous) = member.split_once('!').unwrap_or((member, ""));
            let (id, topics) = member.split_once(':').unwrap();
            let mut had = Assignment::new();
            for partition in previous.split(',').filter(|part| !part.is_empty()) {
                let (of, index) = partition.split_once('-').unwrap();
                had.entry(topic(of.parse().unwrap()))
                    .or_default()
                    .insert(index.parse().unwrap());
            }
            let topics = topics.split(',').filter(|part| !part.is_empty());
            (id, topics.map(|part| topic(part.parse().unwrap())).collect(), had)
        })
        .collect();
    let specs: Vec<AssignorMember<'_>> = parsed
        .iter()
        .map(|(id, topics, previous)| AssignorMember {
            member_id: id,
            instance_id: id.starts_with('#').then_some(id),
            topics: topics.clone(),
            previous,
        })
        .collect();
    let mut shown = String::new();
    for (id, assignment) in assignor.assign(&specs, &|_| count) {
        write!(shown, "{id}:").unwrap();
        for (topic, partitions) in assignment {
            let partitions: Vec<String> = partitions.iter().map(i32::to_string).collect();
            write!(shown, " {}-{}", topic.as_u128(), partitions.join("/")).unwrap();
        }
        shown.push('\n');
    }
    shown
}

fn check(assignor: Assignor, count: i32, members: &str, expected: &Expect) {
    expected.assert_eq(&assigned(assignor, count, members));
}

#[test]
fn uniform_is_even_and_gives_neighbours() {
    check(
        Assignor::Uniform,
        4,
        "a:1,2 b:1,2 c:1,2",
        &expect![[r#"
        a: 1-0/1/2
        b: 1-3 2-0/1
        c: 2-2/3
    "#]],
    );
}

#[test]
fn uniform_keeps_what_was_and_takes_no_more_than_it_must() {
    check(
        Assignor::Uniform,
        6,
        "a:1!1-0,1-1,1-2 b:1!1-3,1-4,1-5 c:1",
        &expect![[r#"
        a: 1-0/1
        b: 1-3/4
        c: 1-2/5
    "#]],
    );
    check(
        Assignor::Uniform,
        5,
        "a:1!1-4 b:1!1-0,1-1,1-2",
        &expect![[r#"
        a: 1-3/4
        b: 1-0/1/2
    "#]],
    );
}

#[test]
fn uniform_evens_out_members_that_read_different_topics() {
    check(
        Assignor::Uniform,
        4,
        "a:1 b:1,2 c:2",
        &expect![[r#"
            a: 1-0/2
            b: 1-1/3 2-2
            c: 2-0/1/3
        "#]],
    );
    check(
        Assignor::Uniform,
        4,
        "a:1,2!1-0,1-1,1-2,1-3,2-0,2-1,2-2,2-3 b:2",
        &expect![[r#"
        a: 1-0/1/2/3
        b: 2-0/1/2/3
    "#]],
    );
    check(
        Assignor::Uniform,
        2,
        "a: b:1",
        &expect![[r#"
        a:
        b: 1-0/1
    "#]],
    );
}

#[test]
fn range_gives_runs_that_are_alike_for_topics_of_one_size() {
    check(
        Assignor::Range,
        4,
        "b:1,2 a:1,2 #z:1,2",
        &expect![[r##"
        #z: 1-0/1 2-0/1
        a: 1-2 2-2
        b: 1-3 2-3
    "##]],
    );
    check(
        Assignor::Range,
        3,
        "a:1 b:1,2",
        &expect![[r#"
        a: 1-0/1
        b: 1-2 2-0/1/2
    "#]],
    );
}

proptest! {
    #[test]
    fn every_partition_goes_to_one_reader_and_alike_members_differ_by_one(
        reads in prop::collection::vec(prop::collection::btree_set(0u128..4, 0..4), 1..8),
        had in prop::collection::vec((0u128..5, 0i32..7, 0usize..8), 0..30),
        count in 0i32..6,
        range in any::<bool>(),
    ) {
        let ids: Vec<String> = (0..reads.len()).map(|index| format!("m{index}")).collect();
        let mut previous = vec![Assignment::new(); reads.len()];
        for (of, partition, member) in had {
            previous[member % reads.len()].entry(topic(of)).or_default().insert(partition);
        }
        let specs: Vec<AssignorMember<'_>> = ids.iter().zip(&reads).zip(&previous).map(|((id, reads), previous)| {
            AssignorMember { member_id: id, instance_id: None, topics: reads.iter().map(|number| topic(*number)).collect(), previous }
        }).collect();
        let assignor = if range { Assignor::Range } else { Assignor::Uniform };
        let assigned = assignor.assign(&specs, &|_| count);
        let mut given = BTreeSet::new();
        for spec in &specs {
            for (topic, partitions) in &assigned[spec.member_id] {
                prop_assert!(spec.topics.contains(topic));
                for partition in partitions {
                    prop_assert!((0..count).contains(partition));
                    prop_assert!(given.insert((*topic, *partition)), "given twice");
                }
            }
        }
        let read: BTreeSet<Uuid> = specs.iter().flat_map(|spec| spec.topics.iter().copied()).collect();
        prop_assert_eq!(given.len(), read.len() * count as usize);
        if !range && reads.iter().all(|topics| *topics == reads[0]) {
            let sizes = assigned.values().map(|assignment| assignment.values().map(BTreeSet::len).sum::<usize>());
            let (least, most) = (sizes.clone().min().unwrap(), sizes.max().unwrap());
            prop_assert!(most - least <= 1);
        }
    }
}
