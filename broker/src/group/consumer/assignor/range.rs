//! The range assignor: of every topic each member gets a run of partitions, in the order of member ids. Static members come
//! first, by their static ids, so that a restart changes nothing.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::AssignorMember;
use crate::group::consumer::member::Assignment;

/// How far a topic has been dealt out.
struct Deal {
    next: i32,
    quota: i32,
    /// Members that get one more than the quota.
    extra: i32,
}

pub(super) fn assign<'a>(
    members: &[AssignorMember<'a>],
    partition_count: &dyn Fn(Uuid) -> i32,
) -> BTreeMap<&'a str, Assignment> {
    let mut readers: BTreeMap<Uuid, i32> = BTreeMap::new();
    for topic in members.iter().flat_map(|member| &member.topics) {
        *readers.entry(*topic).or_default() += 1;
    }
    let mut deals: BTreeMap<Uuid, Deal> = readers
        .into_iter()
        .map(|(topic, readers)| {
            let count = partition_count(topic);
            let deal = Deal {
                next: 0,
                quota: count / readers,
                extra: count % readers,
            };
            (topic, deal)
        })
        .collect();
    let mut order: Vec<&AssignorMember<'a>> = members.iter().collect();
    order.sort_unstable_by_key(|member| (member.instance_id.is_none(), member.instance_id, member.member_id));
    let mut assignments = BTreeMap::new();
    for member in order {
        let mut assignment = Assignment::new();
        for topic in &member.topics {
            let deal = deals.get_mut(topic).expect("every topic that is read has a deal");
            let start = deal.next;
            deal.next += deal.quota + i32::from(deal.extra > 0);
            deal.extra -= 1;
            if start < deal.next {
                assignment.insert(*topic, (start..deal.next).collect());
            }
        }
        assignments.insert(member.member_id, assignment);
    }
    assignments
}
