//! A group member that never fetches: it joins, follows rebalances, and commits.
//!
//! librdkafka asks for an answer to each rebalance. A revocation is answered only at the next poll, so that the thread can
//! commit first; until then the group waits.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use streams_core::assignment::TaskId;
use streams_core::error::LogError;
use streams_core::log::{LogResult, OffsetAndMetadata, TopicPartition};
use streams_core::membership::{GroupMetadata, Membership, MembershipConfig, MembershipEvent};

use crate::Members;
use crate::error::log_error;
use crate::producer::offset_list;

/// The client of a member.
pub(crate) type GroupConsumer = BaseConsumer<Rebalances>;

/// Rebalances that were announced and not answered.
#[derive(Debug, Default)]
pub(crate) struct Rebalances {
    announced: Mutex<VecDeque<Rebalance>>,
    /// The member leaves: nobody will answer any more, so revocations are granted at once.
    leaving: AtomicBool,
}

#[derive(Debug)]
enum Rebalance {
    Assign(Vec<TopicPartition>),
    Revoke,
}

impl ClientContext for Rebalances {}

impl ConsumerContext for Rebalances {
    fn rebalance(&self, client: &BaseConsumer<Self>, error: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.leaving.load(Ordering::SeqCst) {
            if let Err(error) = client.unassign() {
                tracing::warn!(%error, "cannot give partitions up while leaving the group");
            }
            return;
        }
        let rebalance = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let partitions = list.elements();
                Rebalance::Assign(
                    partitions
                        .iter()
                        .map(|p| TopicPartition::new(p.topic(), p.partition()))
                        .collect(),
                )
            }
            _ => Rebalance::Revoke,
        };
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(rebalance);
    }
}

pub(crate) struct KafkaMembership {
    client_config: ClientConfig,
    config: MembershipConfig,
    client: Option<Arc<GroupConsumer>>,
    members: Members,
    member_id: String,
    /// Assignments so far; stands for the generation, which librdkafka keeps to itself.
    generation: i32,
    assigned: bool,
    revoked: bool,
}

impl KafkaMembership {
    pub(crate) fn new(
        mut client: ClientConfig,
        config: MembershipConfig,
        members: Members,
    ) -> LogResult<Self> {
        client
            .set("group.id", &config.group_id)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "range")
            .set("isolation.level", "read_committed")
            .set("session.timeout.ms", config.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", config.heartbeat_interval_ms.to_string())
            .set(
                "max.poll.interval.ms",
                config
                    .rebalance_timeout_ms
                    .max(config.session_timeout_ms)
                    .to_string(),
            );
        Ok(Self {
            client_config: client,
            config,
            client: None,
            members,
            member_id: String::new(),
            generation: -1,
            assigned: false,
            revoked: false,
        })
    }

    fn client(&mut self) -> LogResult<Arc<GroupConsumer>> {
        if let Some(client) = &self.client {
            return Ok(Arc::clone(client));
        }
        let group = &self.config.group_id;
        let context = |error| log_error(format!("joining group {group}"), error);
        let client: GroupConsumer = self
            .client_config
            .create_with_context(Rebalances::default())
            .map_err(context)?;
        let topics: Vec<&str> = self.config.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics).map_err(context)?;
        let client = Arc::new(client);
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.retain(|_, member| member.strong_count() > 0);
        self.member_id = (0_u64..)
            .map(|n| format!("{}-{n}", self.config.client_id))
            .find(|id| !members.contains_key(id))
            .unwrap_or_default();
        members.insert(self.member_id.clone(), Arc::downgrade(&client));
        self.client = Some(Arc::clone(&client));
        Ok(client)
    }

    fn take_over(
        &mut self,
        client: &GroupConsumer,
        partitions: &[TopicPartition],
    ) -> LogResult<MembershipEvent> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            // From the end: nothing is to be fetched until the pause that follows.
            list.add_partition_offset(&partition.topic, partition.partition, Offset::End)
                .map_err(|error| log_error(format!("taking {partition}"), error))?;
        }
        client
            .assign(&list)
            .map_err(|error| log_error("taking partitions", error))?;
        client
            .pause(&list)
            .map_err(|error| log_error("pausing partitions", error))?;
        self.generation += 1;
        self.assigned = true;
        Ok(MembershipEvent::Assigned(
            self.config.assignor.tasks_of(partitions)?,
        ))
    }

    fn answer(&mut self, client: &GroupConsumer, rebalance: Rebalance) -> LogResult<MembershipEvent> {
        match rebalance {
            Rebalance::Assign(partitions) => self.take_over(client, &partitions),
            Rebalance::Revoke if client.assignment_lost() => {
                self.assigned = false;
                client
                    .unassign()
                    .map_err(|error| log_error("giving partitions up", error))?;
                Ok(MembershipEvent::Lost)
            }
            Rebalance::Revoke => {
                self.revoked = true;
                Ok(MembershipEvent::RevokeThenRejoin)
            }
        }
    }
}

impl Membership for KafkaMembership {
    fn poll(&mut self, _owned: &[TaskId], timeout: Duration) -> LogResult<MembershipEvent> {
        if self.config.topics.is_empty() {
            // librdkafka has no group without topics. There may be some later, and then a new member.
            return Ok(match std::mem::replace(&mut self.assigned, true) {
                false => MembershipEvent::Assigned(Vec::new()),
                true => MembershipEvent::Unchanged,
            });
        }
        let client = self.client()?;
        if std::mem::take(&mut self.revoked) {
            self.assigned = false;
            client
                .unassign()
                .map_err(|error| log_error("giving partitions up", error))?;
        }
        let timeout = if self.assigned { Duration::ZERO } else { timeout };
        if let Some(Err(error)) = client.poll(timeout) {
            tracing::debug!(%error, group = self.config.group_id, "member event");
        }
        if let Some((code, reason)) = client.client().fatal_error() {
            return Err(LogError::Fenced {
                reason: format!("group {}: {code}: {reason}", self.config.group_id),
            });
        }
        let announced = client
            .context()
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        announced.map_or(Ok(MembershipEvent::Unchanged), |rebalance| {
            self.answer(&client, rebalance)
        })
    }

    fn group_metadata(&self) -> GroupMetadata {
        GroupMetadata {
            group_id: self.config.group_id.clone(),
            generation_id: self.generation,
            member_id: self.member_id.clone(),
            group_instance_id: None,
        }
    }

    fn commit(&mut self, offsets: &[(TopicPartition, OffsetAndMetadata)]) -> LogResult<()> {
        let client = self.client()?;
        let context = format!("committing offsets of group {}", self.config.group_id);
        client
            .commit(&offset_list(offsets)?, CommitMode::Sync)
            .map_err(|error| log_error(context, error))
    }

    fn leave(&mut self) -> LogResult<()> {
        if let Some(client) = self.client.take() {
            // From here on revocations are granted at once; one that was announced before is granted now.
            client.context().leaving.store(true, Ordering::SeqCst);
            if self.revoked {
                client
                    .unassign()
                    .map_err(|error| log_error("giving partitions up", error))?;
            }
            // Dropping the client, at the end of this block, leaves the group and waits until that is done.
            self.members
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&self.member_id);
        }
        (self.assigned, self.revoked) = (false, false);
        Ok(())
    }
}

impl Drop for KafkaMembership {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            tracing::warn!(%error, "cannot leave the group; the session expires by itself");
        }
    }
}

impl std::fmt::Debug for KafkaMembership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaMembership")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
