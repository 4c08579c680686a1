//! OffsetCommit, TxnOffsetCommit and OffsetFetch.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::{Broker, RequestContext, text};
use crate::coordinator_records::{OFFSETS_TOPIC, coordinator_partition};
use crate::group::{Group, GroupEvent, GroupReply, GroupRequest};
use crate::transaction::{TransactionReply, TransactionRequest};

/// First version of OffsetFetch for several groups.
const GROUPS_VERSION: i16 = 8;
/// First version of OffsetFetch with an error beside the topics.
const TOP_LEVEL_ERROR_VERSION: i16 = 2;
/// First version of TxnOffsetCommit that adds the offsets' partition to the transaction by itself.
const IMPLICIT_ADD_VERSION: i16 = 5;
/// First version of TxnOffsetCommit that knows COORDINATOR_LOAD_IN_PROGRESS and the like.
const PRODUCER_FENCED_VERSION: i16 = 2;

/// One topic of an OffsetFetch: its partitions with what was committed.
type FetchedTopic = (StrBytes, Vec<FetchedOffset>);

struct FetchedOffset {
    partition: i32,
    offset: i64,
    leader_epoch: i32,
    metadata: StrBytes,
    error_code: i16,
}

impl Broker {
    pub(super) fn offset_commit(
        &self,
        context: &RequestContext,
        mut request: OffsetCommitRequest,
        now_ms: i64,
    ) -> OffsetCommitResponse {
        // Offsets of topics that are not there are refused here: the coordinator knows no topics.
        let missing: Vec<OffsetCommitResponseTopic> = request
            .topics
            .iter_mut()
            .filter_map(|topic| {
                let missing =
                    self.take_missing(&topic.name, &mut topic.partitions, |one| one.partition_index);
                let missing = missing.into_iter().map(|partition| {
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(partition)
                        .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                });
                let missing: Vec<_> = missing.collect();
                let answered = OffsetCommitResponseTopic::default().with_name(topic.name.clone());
                (!missing.is_empty()).then(|| answered.with_partitions(missing))
            })
            .collect();
        request.topics.retain(|topic| !topic.partitions.is_empty());
        if request.topics.is_empty() {
            // As in Kafka: nothing to commit makes no group.
            return OffsetCommitResponse::default().with_topics(missing);
        }
        let refused = refuse_commit(&request, ResponseError::CoordinatorNotAvailable);
        let mut response = match self.commit(context, GroupRequest::CommitOffsets(request), now_ms) {
            Ok(GroupReply::CommitOffsets(response)) => response,
            _ => refused,
        };
        for topic in missing {
            match response
                .topics
                .iter_mut()
                .find(|answered| answered.name == topic.name)
            {
                Some(answered) => answered.partitions.extend(topic.partitions),
                None => response.topics.push(topic),
            }
        }
        response
    }

    /// Takes those partitions out of a list that the topic does not have, and answers them.
    fn take_missing<T>(&self, topic: &str, partitions: &mut Vec<T>, index: impl Fn(&T) -> i32) -> Vec<i32> {
        let found = self.topics.topic(topic).ok();
        let count = found.map_or(0, |topic| topic.partitions().len() as i32);
        let missing = partitions.extract_if(.., |partition| !(0..count).contains(&index(partition)));
        missing.map(|partition| index(&partition)).collect()
    }

    pub(super) fn txn_offset_commit(
        &self,
        context: &RequestContext,
        mut request: TxnOffsetCommitRequest,
        now_ms: i64,
    ) -> TxnOffsetCommitResponse {
        let missing: Vec<TxnOffsetCommitResponseTopic> = request
            .topics
            .iter_mut()
            .filter_map(|topic| {
                let missing =
                    self.take_missing(&topic.name, &mut topic.partitions, |one| one.partition_index);
                let missing = missing.into_iter().map(|partition| {
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition)
                        .with_error_code(ResponseError::UnknownTopicOrPartition.code())
                });
                let missing: Vec<_> = missing.collect();
                let answered = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
                (!missing.is_empty()).then(|| answered.with_partitions(missing))
            })
            .collect();
        request.topics.retain(|topic| !topic.partitions.is_empty());
        if request.topics.is_empty() {
            return TxnOffsetCommitResponse::default().with_topics(missing);
        }
        let mut response = self.commit_in_transaction(context, request, now_ms);
        for topic in missing {
            let answered = response
                .topics
                .iter_mut()
                .find(|answered| answered.name == topic.name);
            match answered {
                Some(answered) => answered.partitions.extend(topic.partitions),
                None => response.topics.push(topic),
            }
        }
        response
    }

    /// Commits offsets of topics that are there.
    fn commit_in_transaction(
        &self,
        context: &RequestContext,
        request: TxnOffsetCommitRequest,
        now_ms: i64,
    ) -> TxnOffsetCommitResponse {
        let refused =
            |error: ResponseError, request: &TxnOffsetCommitRequest| refuse_txn_commit(request, error);
        // The transaction coordinator stays locked until the offsets are in, so that it cannot end the transaction between.
        let mut coordinator = match self.lock_transactions() {
            Ok(coordinator) => coordinator,
            Err(error) => return refused(error, &request),
        };
        let id = request.transactional_id.as_str();
        let (producer_id, producer_epoch) = (request.producer_id.0, request.producer_epoch);
        let verified = if context.version >= IMPLICIT_ADD_VERSION {
            let add = TransactionRequest::AddPartitions {
                transactional_id: id.to_owned(),
                producer_id,
                producer_epoch,
                partitions: self.offsets_partition(&request.group_id),
                client_version: 2,
            };
            self.run_transaction(&mut coordinator, add, now_ms)
                .and_then(|reply| match reply {
                    TransactionReply::AddPartitions(result) => result,
                    _ => Err(ResponseError::UnknownServerError),
                })
        } else {
            let partition = coordinator_partition(&request.group_id, self.config.group.partition_count);
            coordinator.verify_partition(id, producer_id, producer_epoch, OFFSETS_TOPIC, partition)
        };
        if let Err(error) = verified {
            let error = match error {
                ResponseError::ProducerFenced if context.version < PRODUCER_FENCED_VERSION => {
                    ResponseError::InvalidProducerEpoch
                }
                ResponseError::TransactionAbortable if context.version < IMPLICIT_ADD_VERSION => {
                    ResponseError::InvalidTxnState
                }
                other => other,
            };
            return refused(error, &request);
        }
        let unavailable = refused(ResponseError::CoordinatorNotAvailable, &request);
        match self.commit(context, GroupRequest::CommitTransactionalOffsets(request), now_ms) {
            Ok(GroupReply::CommitTransactionalOffsets(response)) => response,
            _ => unavailable,
        }
    }

    fn commit(
        &self,
        context: &RequestContext,
        request: GroupRequest,
        now_ms: i64,
    ) -> Result<GroupReply, ResponseError> {
        let mut groups = self.lock_groups()?;
        let token = self.next_token();
        let (client, version) = (context.client.clone(), context.version);
        let event = GroupEvent::Request {
            token,
            client,
            version,
            request: Box::new(request),
        };
        self.run_group(&mut groups, event, Some(token), now_ms)
            .ok_or(ResponseError::CoordinatorNotAvailable)
    }

    pub(super) fn offset_fetch(&self, version: i16, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        if version < GROUPS_VERSION {
            let wanted = request.topics.as_ref().map(|topics| {
                topics
                    .iter()
                    .map(|topic| (topic.name.clone(), topic.partition_indexes.as_slice()))
                    .collect::<Vec<_>>()
            });
            let fetched =
                self.fetch_offsets(&request.group_id, None, wanted.as_deref(), request.require_stable);
            return match fetched {
                Err(error) => refused_fetch(version, request.topics.as_deref(), error.code()),
                Ok(topics) => {
                    OffsetFetchResponse::default().with_topics(topics.into_iter().map(single_group).collect())
                }
            };
        }
        let groups = request.groups.iter().map(|group| {
            let wanted = group.topics.as_ref().map(|topics| {
                topics
                    .iter()
                    .map(|topic| (topic.name.clone(), topic.partition_indexes.as_slice()))
                    .collect::<Vec<_>>()
            });
            let answered = OffsetFetchResponseGroup::default().with_group_id(group.group_id.clone());
            let member = (group.member_id.as_deref(), group.member_epoch);
            match self.fetch_offsets(
                &group.group_id,
                Some(member),
                wanted.as_deref(),
                request.require_stable,
            ) {
                Err(error) => answered.with_error_code(error.code()),
                Ok(topics) => answered.with_topics(topics.into_iter().map(one_of_groups).collect()),
            }
        });
        OffsetFetchResponse::default().with_groups(groups.collect())
    }

    /// None asks for everything that was committed. A group that is not there has committed nothing: that is no error.
    fn fetch_offsets(
        &self,
        group_id: &str,
        member: Option<(Option<&str>, i32)>,
        wanted: Option<&[(TopicName, &[i32])]>,
        require_stable: bool,
    ) -> Result<Vec<FetchedTopic>, ResponseError> {
        let groups = self.lock_groups()?;
        let group = groups.coordinator.group(group_id);
        if let (Some(group), Some((member_id, member_epoch))) = (group, member) {
            group.check_fetcher(member_id, member_epoch)?;
        }
        let Some(wanted) = wanted else {
            let Some(group) = group else { return Ok(Vec::new()) };
            let topics = group.all_committed().map(|(topic, partitions)| {
                let fetched =
                    partitions.map(|(partition, _)| fetch(Some(group), topic, partition, require_stable));
                (text(topic), fetched.collect())
            });
            return Ok(topics.collect());
        };
        let topics = wanted.iter().map(|(topic, partitions)| {
            let fetched = partitions
                .iter()
                .map(|partition| fetch(group, topic, *partition, require_stable));
            (topic.0.clone(), fetched.collect())
        });
        Ok(topics.collect())
    }
}

/// An error of a whole OffsetFetch for one group; the oldest version has no place for it but the partitions.
pub(super) fn refused_fetch(
    version: i16,
    topics: Option<&[OffsetFetchRequestTopic]>,
    error_code: i16,
) -> OffsetFetchResponse {
    if version >= TOP_LEVEL_ERROR_VERSION {
        return OffsetFetchResponse::default().with_error_code(error_code);
    }
    let topics = topics.unwrap_or_default().iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(*index)
                .with_committed_offset(-1)
                .with_metadata(Some(StrBytes::default()))
                .with_error_code(error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetFetchResponse::default().with_topics(topics.collect())
}

fn fetch(group: Option<&Group>, topic: &str, partition: i32, require_stable: bool) -> FetchedOffset {
    let mut fetched = FetchedOffset {
        partition,
        offset: -1,
        leader_epoch: -1,
        metadata: StrBytes::default(),
        error_code: 0,
    };
    let Some(group) = group else { return fetched };
    if require_stable && group.is_unstable(topic, partition) {
        fetched.error_code = ResponseError::UnstableOffsetCommit.code();
    } else if let Some(committed) = group.committed(topic, partition) {
        fetched.offset = committed.offset;
        fetched.leader_epoch = committed.leader_epoch;
        fetched.metadata = text(&committed.metadata);
    }
    fetched
}

fn single_group((name, partitions): FetchedTopic) -> OffsetFetchResponseTopic {
    let partition = |fetched: FetchedOffset| {
        OffsetFetchResponsePartition::default()
            .with_partition_index(fetched.partition)
            .with_committed_offset(fetched.offset)
            .with_committed_leader_epoch(fetched.leader_epoch)
            .with_metadata(Some(fetched.metadata))
            .with_error_code(fetched.error_code)
    };
    OffsetFetchResponseTopic::default()
        .with_name(TopicName(name))
        .with_partitions(partitions.into_iter().map(partition).collect())
}

fn one_of_groups((name, partitions): FetchedTopic) -> OffsetFetchResponseTopics {
    let partition = |fetched: FetchedOffset| {
        OffsetFetchResponsePartitions::default()
            .with_partition_index(fetched.partition)
            .with_committed_offset(fetched.offset)
            .with_committed_leader_epoch(fetched.leader_epoch)
            .with_metadata(Some(fetched.metadata))
            .with_error_code(fetched.error_code)
    };
    OffsetFetchResponseTopics::default()
        .with_name(TopicName(name))
        .with_partitions(partitions.into_iter().map(partition).collect())
}

fn refuse_commit(request: &OffsetCommitRequest, error: ResponseError) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            OffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        OffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    OffsetCommitResponse::default().with_topics(topics.collect())
}

fn refuse_txn_commit(request: &TxnOffsetCommitRequest, error: ResponseError) -> TxnOffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            TxnOffsetCommitResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
        });
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    TxnOffsetCommitResponse::default().with_topics(topics.collect())
}
