//! JoinGroup, and how a generation comes about: who is waited for, for how long, and who leads.
//!
//! ```text
//!  Empty --first member--> PreparingRebalance --all joined, or time is up--> CompletingRebalance --leader's sync--> Stable
//!                             ^        ^---------- member joins, leaves or expires -------------------------------/
//! ```

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupResponse};

use super::state::{ClassicGroup, ClassicState, InitialDelay, JoinDeadline, Member};
use crate::coordinator_records::MAX_ID_BYTES;
use crate::group::{Append, Client, GroupCoordinator, GroupKind, GroupReply, Outbox, text};
use crate::transaction::Token;

/// First version in which a new member must come back with the id it was given (KIP-394).
const MEMBER_ID_REQUIRED_VERSION: i16 = 4;
/// First version in which a leader can be told to keep the assignment (KIP-814).
const SKIP_ASSIGNMENT_VERSION: i16 = 9;
/// So many members may be given an id before they join, even where a group may have fewer.
const MIN_PENDING_MEMBERS: usize = 1_000;

/// A JoinGroup request, checked and taken apart.
struct Join<'a> {
    token: Token,
    client: &'a Client,
    version: i16,
    instance: Option<&'a str>,
    protocol_type: &'a str,
    protocols: Vec<(String, Bytes)>,
    rebalance_timeout_ms: i32,
    session_timeout_ms: i32,
}

impl GroupCoordinator {
    pub(in crate::group) fn join(
        &mut self,
        token: Token,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        now_ms: i64,
    ) {
        if let Err((error, member_id)) = self.try_join(token, client, version, request, now_ms) {
            self.outbox.reply(token, refused(error, &member_id));
        }
    }

    /// Refuses with the error and the member id of the response.
    fn try_join(
        &mut self,
        token: Token,
        client: &Client,
        version: i16,
        request: &JoinGroupRequest,
        now_ms: i64,
    ) -> Result<(), (ResponseError, String)> {
        let member_id = request.member_id.as_str();
        let refuse = |error| (error, member_id.to_owned());
        let config = &self.outbox.config;
        let (max_size, session_range) = (
            config.max_size,
            config.min_session_timeout_ms..=config.max_session_timeout_ms,
        );
        let join =
            Join::of(token, client, version, request).ok_or_else(|| refuse(ResponseError::InvalidRequest))?;
        if request.group_id.is_empty() {
            return Err(refuse(ResponseError::InvalidGroupId));
        }
        if !session_range.contains(&join.session_timeout_ms) {
            return Err(refuse(ResponseError::InvalidSessionTimeout));
        }
        if !self.groups.contains_key(request.group_id.as_str()) && !member_id.is_empty() {
            return Err(refuse(ResponseError::UnknownMemberId));
        }
        if self.is_live_consumer(&request.group_id) {
            return self.join_consumer(token, client, version, request, now_ms);
        }
        let new_id = self.ids.next_id();
        self.make_classic(&request.group_id, now_ms).map_err(refuse)?;
        let group = match self
            .groups
            .get_mut(request.group_id.as_str())
            .map(|group| &mut group.kind)
        {
            Some(GroupKind::Classic(group)) => group,
            _ => return Err(refuse(ResponseError::InconsistentGroupProtocol)),
        };
        if !group.accepts(member_id, max_size) {
            group.pending_members.remove(member_id);
            group.remove_member(member_id, &mut self.outbox, now_ms);
            return Err((ResponseError::GroupMaxSizeReached, String::new()));
        }
        let known = group.members.contains_key(member_id);
        if !group.supports(join.protocol_type, &join.protocols, known.then_some(member_id)) {
            return Err(refuse(ResponseError::InconsistentGroupProtocol));
        }
        if !member_id.is_empty() {
            return group
                .rejoin(member_id, join, &mut self.outbox, now_ms)
                .map_err(refuse);
        }
        match join.instance {
            Some(instance) => {
                let new_id = format!("{instance}-{new_id}");
                match group.static_members.get(instance).cloned() {
                    Some(old_id) => {
                        group.replace_static_member(&old_id, &new_id, join, &mut self.outbox, now_ms);
                    }
                    None => group.add_member(new_id, join, &mut self.outbox, now_ms),
                }
                Ok(())
            }
            None if version >= MEMBER_ID_REQUIRED_VERSION => {
                let new_id = format!("{}-{new_id}", client.id);
                let lapses_ms = now_ms.saturating_add(i64::from(join.session_timeout_ms));
                group.pending_members.insert(new_id.clone(), lapses_ms);
                Err((ResponseError::MemberIdRequired, new_id))
            }
            None => {
                group.add_member(format!("{}-{new_id}", client.id), join, &mut self.outbox, now_ms);
                Ok(())
            }
        }
    }
}

impl GroupCoordinator {
    /// Makes the group if it is not there. One of another kind that nobody is in becomes a classic one.
    fn make_classic(&mut self, group_id: &str, now_ms: i64) -> Result<(), ResponseError> {
        let group = self.group_or_new(group_id, now_ms)?;
        if group.as_classic().is_none() && group.is_empty() {
            let tombstones = group.kind_tombstones();
            group.kind = GroupKind::Classic(ClassicGroup::new(group_id, now_ms));
            self.outbox.append(group_id, tombstones, None, Append::Unwatched);
        }
        Ok(())
    }
}

impl<'a> Join<'a> {
    /// None if a text is too long to be written to the log.
    fn of(token: Token, client: &'a Client, version: i16, request: &'a JoinGroupRequest) -> Option<Self> {
        // A generated member id is the client id or the instance id and a UUID.
        const ROOM_FOR_UUID: usize = 40;
        let instance = request.group_instance_id.as_deref();
        let protocols: Vec<(String, Bytes)> = request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.clone()))
            .collect();
        let texts = [
            request.group_id.len(),
            client.id.len(),
            client.host.len(),
            instance.map_or(0, str::len),
        ];
        let longest = texts
            .into_iter()
            .chain(protocols.iter().map(|(name, _)| name.len()))
            .max()
            .unwrap_or(0);
        let fits = longest
            .max(request.protocol_type.len())
            .max(request.member_id.len().saturating_sub(ROOM_FOR_UUID))
            + ROOM_FOR_UUID
            <= MAX_ID_BYTES;
        fits.then_some(Self {
            token,
            client,
            version,
            instance,
            protocol_type: &request.protocol_type,
            protocols,
            // Version 0 has no rebalance timeout: the session timeout serves.
            rebalance_timeout_ms: if version == 0 {
                request.session_timeout_ms
            } else {
                request.rebalance_timeout_ms
            },
            session_timeout_ms: request.session_timeout_ms,
        })
    }
}

impl ClassicGroup {
    /// A member that has an id joins: for the first time with an id it was given, or again.
    fn rejoin(
        &mut self,
        member_id: &str,
        join: Join<'_>,
        outbox: &mut Outbox,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if self.pending_members.remove(member_id).is_some() {
            self.add_member(member_id.to_owned(), join, outbox, now_ms);
            return Ok(());
        }
        self.check_member(member_id, join.instance)?;
        let leads = self.is_leader(member_id);
        let member = self.members.get_mut(member_id).expect("it was just checked");
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        let unchanged = member.protocols == join.protocols;
        match self.state {
            ClassicState::CompletingRebalance if unchanged => {
                self.answer_join(member_id, join.token, outbox, now_ms);
            }
            ClassicState::Stable if unchanged && !leads => {
                self.answer_join(member_id, join.token, outbox, now_ms);
            }
            _ => {
                member.protocols = join.protocols;
                if let Some(replaced) = member.join.replace(join.token) {
                    outbox.reply(replaced, refused(ResponseError::RebalanceInProgress, member_id));
                }
                self.protocol_type = Some(join.protocol_type.to_owned());
                self.prepare_rebalance(outbox, now_ms);
            }
        }
        Ok(())
    }

    /// Whether there is room for a member, as Kafka counts: while a group forms, those that wait; then, those that are in it.
    fn accepts(&self, member_id: &str, max_size: usize) -> bool {
        let known = self.members.get(member_id);
        let pending = &self.pending_members;
        if pending.len() >= max_size.max(MIN_PENDING_MEMBERS)
            && known.is_none()
            && !pending.contains_key(member_id)
        {
            return false;
        }
        match self.state {
            ClassicState::Empty | ClassicState::Dead => true,
            ClassicState::PreparingRebalance => {
                known.is_some_and(|member| member.join.is_some())
                    || self
                        .members
                        .values()
                        .filter(|member| member.join.is_some())
                        .count()
                        < max_size
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                known.is_some() || self.members.len() < max_size
            }
        }
    }

    /// That a member is part of the group, and is the one that holds its static id.
    pub(in crate::group) fn check_member(
        &self,
        member_id: &str,
        instance: Option<&str>,
    ) -> Result<(), ResponseError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(holder) if holder != member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(ResponseError::UnknownMemberId)
        }
    }

    fn add_member(&mut self, member_id: String, join: Join<'_>, outbox: &mut Outbox, now_ms: i64) {
        if let Some(instance) = join.instance {
            self.static_members.insert(instance.to_owned(), member_id.clone());
        }
        self.protocol_type = Some(join.protocol_type.to_owned());
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        let deadline_ms = now_ms.saturating_add(outbox.config.new_member_join_timeout_ms);
        let member = Member::joining(member_id.clone(), join, deadline_ms);
        self.members.insert(member_id, member);
        if let Some(initial) = self.join.as_mut().and_then(|join| join.initial.as_mut()) {
            initial.member_added = true;
        }
        self.prepare_rebalance(outbox, now_ms);
    }

    /// A static member came back under a new member id. While the group is stable that is no reason to rebalance.
    fn replace_static_member(
        &mut self,
        old_id: &str,
        new_id: &str,
        join: Join<'_>,
        outbox: &mut Outbox,
        now_ms: i64,
    ) {
        let mut old = self.members.remove(old_id).expect("static members are members");
        for token in [old.join.take()].into_iter().flatten() {
            outbox.reply(token, refused(ResponseError::FencedInstanceId, old_id));
        }
        for token in [old.sync.take()].into_iter().flatten() {
            outbox.reply(token, sync_refused(ResponseError::FencedInstanceId));
        }
        let led = self.is_leader(old_id);
        if led {
            self.leader = Some(new_id.to_owned());
        }
        let instance = join.instance.expect("only static members are replaced");
        self.static_members.insert(instance.to_owned(), new_id.to_owned());
        let (token, version) = (join.token, join.version);
        let old_protocol = self.protocol.clone();
        let mut member = Member::joining(new_id.to_owned(), join, now_ms);
        member.assignment = old.assignment;
        member.owes_sync = old.owes_sync;
        member.heard(now_ms);
        self.members.insert(new_id.to_owned(), member);
        // What the member reads may have changed: as in Kafka that waits for the next rebalance.
        if self.state != ClassicState::Stable || self.select_protocol() != old_protocol {
            self.prepare_rebalance(outbox, now_ms);
            return;
        }
        let member = self.members.get_mut(new_id).expect("it was just added");
        member.join = None;
        member.is_new = false;
        let mut response = self.join_response(new_id);
        if led && version >= SKIP_ASSIGNMENT_VERSION {
            response.skip_assignment = true;
        } else if led {
            // An older client would compute an assignment if it thought it led: name the member it was.
            response.leader = text(old_id);
            response.members.clear();
        }
        // The new member id must survive a restart. If it is not logged the client asks again, and is given another.
        let (key, value) = self.record(None);
        let purpose = Append::StaticMember { token, response };
        outbox.append(&self.group_id, vec![(key, Some(value))], None, purpose);
    }

    /// Asks every member to join again, unless that is so already, and completes if all have.
    pub(in crate::group) fn prepare_rebalance(&mut self, outbox: &mut Outbox, now_ms: i64) {
        if self.state == ClassicState::CompletingRebalance {
            self.refuse_syncs(ResponseError::RebalanceInProgress, outbox);
        }
        self.sync_deadline_ms = None;
        if self.state != ClassicState::PreparingRebalance {
            let timeout_ms = self.rebalance_timeout_ms();
            let delay_ms = outbox.config.initial_rebalance_delay_ms;
            self.join = Some(if self.state == ClassicState::Empty {
                let remaining_ms = (timeout_ms - delay_ms).max(0);
                let initial = Some(InitialDelay {
                    delay_ms,
                    remaining_ms,
                    member_added: false,
                });
                JoinDeadline {
                    at_ms: now_ms.saturating_add(delay_ms),
                    initial,
                }
            } else {
                JoinDeadline {
                    at_ms: now_ms.saturating_add(timeout_ms),
                    initial: None,
                }
            });
            self.enter(ClassicState::PreparingRebalance, now_ms);
        }
        self.maybe_complete_join(outbox, now_ms);
    }

    /// Completes the join phase if nobody is waited for, or if its time is up.
    pub(in crate::group) fn maybe_complete_join(&mut self, outbox: &mut Outbox, now_ms: i64) {
        if self.state != ClassicState::PreparingRebalance {
            return;
        }
        let Some(join) = &mut self.join else { return };
        let expired = now_ms >= join.at_ms;
        if let Some(initial) = &mut join.initial {
            if !expired {
                return;
            }
            if initial.member_added && initial.remaining_ms > 0 {
                let delay_ms = initial.delay_ms.min(initial.remaining_ms);
                initial.remaining_ms -= delay_ms;
                initial.member_added = false;
                join.at_ms = now_ms.saturating_add(delay_ms);
                return;
            }
        }
        let all_joined =
            self.pending_members.is_empty() && self.members.values().all(|member| member.join.is_some());
        if all_joined || expired {
            self.complete_join(outbox, now_ms);
        }
    }

    fn complete_join(&mut self, outbox: &mut Outbox, now_ms: i64) {
        // Those that did not come back are out, but for static ones, which are given their session timeout.
        let (stay, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|(_, member)| member.join.is_some() || member.group_instance_id.is_some());
        self.members = stay.into_iter().collect();
        if gone.iter().any(|(member_id, _)| self.is_leader(member_id)) {
            self.leader = None;
        }
        if self.members.is_empty() {
            self.become_empty(outbox, now_ms);
            return;
        }
        let leader_joined = self
            .leader
            .as_ref()
            .and_then(|leader| self.members.get(leader))
            .is_some_and(|member| member.join.is_some());
        if !leader_joined {
            let Some(next) = self.members.values().find(|member| member.join.is_some()) else {
                // Nobody came back, but static members may still.
                let at_ms = now_ms.saturating_add(self.rebalance_timeout_ms().max(1));
                self.join = Some(JoinDeadline { at_ms, initial: None });
                return;
            };
            self.leader = Some(next.member_id.clone());
        }
        self.start_generation(outbox, now_ms);
    }

    fn start_generation(&mut self, outbox: &mut Outbox, now_ms: i64) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = self.select_protocol();
        self.join = None;
        self.enter(ClassicState::CompletingRebalance, now_ms);
        self.sync_deadline_ms = Some(now_ms.saturating_add(self.rebalance_timeout_ms()));
        let member_ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in member_ids {
            let member = self
                .members
                .get_mut(&member_id)
                .expect("no member is removed here");
            // A static member that did not rejoin has its session to come back in.
            member.owes_sync = member.join.is_some();
            if let Some(token) = member.join.take() {
                self.answer_join(&member_id, token, outbox, now_ms);
            }
        }
    }

    /// The last member is gone: an empty generation goes to the log, so that a restart does not wait for it.
    pub(in crate::group) fn become_empty(&mut self, outbox: &mut Outbox, now_ms: i64) {
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        self.protocol = None;
        self.leader = None;
        self.join = None;
        self.sync_deadline_ms = None;
        self.enter(ClassicState::Empty, now_ms);
        let (key, value) = self.record(None);
        outbox.append(&self.group_id, vec![(key, Some(value))], None, Append::Unwatched);
    }

    fn answer_join(&mut self, member_id: &str, token: Token, outbox: &mut Outbox, now_ms: i64) {
        let member = self
            .members
            .get_mut(member_id)
            .expect("only members are answered");
        member.is_new = false;
        member.heard(now_ms);
        let response = self.join_response(member_id);
        outbox.reply(token, GroupReply::Join(response));
    }

    fn join_response(&self, member_id: &str) -> JoinGroupResponse {
        let members = if self.is_leader(member_id) {
            self.members
                .values()
                .map(|member| self.described_to_leader(member))
                .collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(self.protocol_type.as_deref().map(text))
            .with_protocol_name(Some(text(self.protocol())))
            .with_leader(text(self.leader.as_deref().unwrap_or_default()))
            .with_member_id(text(member_id))
            .with_members(members)
    }

    fn described_to_leader(&self, member: &Member) -> JoinGroupResponseMember {
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(member.group_instance_id.as_deref().map(text))
            .with_metadata(member.metadata(self.protocol()))
    }

    /// Answers every parked SyncGroup with an error and forgets the assignment that was waited for.
    pub(in crate::group) fn refuse_syncs(&mut self, error: ResponseError, outbox: &mut Outbox) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.sync.take() {
                outbox.reply(token, sync_refused(error));
            }
        }
    }

    /// Takes a member out and rebalances if it was part of a generation.
    pub(in crate::group) fn remove_member(&mut self, member_id: &str, outbox: &mut Outbox, now_ms: i64) {
        let Some(mut member) = self.members.remove(member_id) else {
            return;
        };
        if let Some(token) = member.join.take() {
            outbox.reply(token, refused(ResponseError::UnknownMemberId, ""));
        }
        if let Some(token) = member.sync.take() {
            outbox.reply(token, sync_refused(ResponseError::UnknownMemberId));
        }
        if let Some(instance) = &member.group_instance_id
            && self
                .static_members
                .get(instance)
                .is_some_and(|holder| holder == member_id)
        {
            self.static_members.remove(instance);
        }
        if self.is_leader(member_id) {
            self.leader = None;
        }
        match self.state {
            ClassicState::Stable | ClassicState::CompletingRebalance => {
                self.prepare_rebalance(outbox, now_ms);
            }
            _ => self.maybe_complete_join(outbox, now_ms),
        }
    }
}

impl Member {
    fn joining(member_id: String, join: Join<'_>, deadline_ms: i64) -> Self {
        Self {
            member_id,
            group_instance_id: join.instance.map(str::to_owned),
            client_id: join.client.id.clone(),
            client_host: join.client.host.clone(),
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            join: Some(join.token),
            sync: None,
            owes_sync: false,
            deadline_ms,
            is_new: true,
        }
    }
}

pub(in crate::group) fn sync_refused(error: ResponseError) -> GroupReply {
    GroupReply::Sync(SyncGroupResponse::default().with_error_code(error.code()))
}

pub(in crate::group) fn refused(error: ResponseError, member_id: &str) -> GroupReply {
    let response = JoinGroupResponse::default()
        .with_error_code(error.code())
        .with_generation_id(-1)
        .with_member_id(text(member_id));
    GroupReply::Join(response)
}
