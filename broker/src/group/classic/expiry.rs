//! What time does to a classic group: sessions and join phases end.

use super::state::ClassicGroup;
use crate::group::Outbox;

impl ClassicGroup {
    pub(in crate::group) fn tick(&mut self, outbox: &mut Outbox, now_ms: i64) {
        self.pending_members.retain(|_, lapses_ms| *lapses_ms > now_ms);
        let silent: Vec<String> = self
            .members
            .values()
            // A parked request is a sign of life, but for a first JoinGroup, whose client may be gone for long.
            .filter(|member| {
                member.deadline_ms <= now_ms
                    && (member.is_new || (member.join.is_none() && member.sync.is_none()))
            })
            .map(|member| member.member_id.clone())
            .collect();
        for member_id in silent {
            tracing::info!(
                group = self.group_id,
                member_id,
                "a member was not heard of in time and is dropped"
            );
            self.remove_member(&member_id, outbox, now_ms);
        }
        if self
            .sync_deadline_ms
            .is_some_and(|deadline_ms| deadline_ms <= now_ms)
        {
            self.sync_deadline_ms = None;
            let late: Vec<String> = self
                .members
                .values()
                .filter(|member| member.owes_sync)
                .map(|member| member.member_id.clone())
                .collect();
            for member_id in late {
                self.remove_member(&member_id, outbox, now_ms);
            }
        }
        self.maybe_complete_join(outbox, now_ms);
    }
}
