//! The whole broker as a function: a decoded request and the time in, a response out. No sockets, no clock, no threads.
//!
//! ```text
//!  Request --handle--> partition logs (each behind its own lock)          --> Response
//!              |------> group and transaction coordinators (state machines) --> Response, or Parked until others join
//!  tick ---------------> timeouts, expiry, retention
//! ```
//!
//! The TCP server and the embedded client call the same [`Broker::handle`]. Locks are taken in one order, and only this one:
//! **transactions, groups, one partition**. Produce and fetch of different partitions share no lock. The coordinators'
//! appends and markers are written while their lock is held, so that an answered EndTxn has all of its markers in the logs
//! and no late record can slip in between (KIP-890).

mod access;
mod acls;
#[cfg(test)]
mod admin_tests;
mod alter_configs;
mod api;
mod api_versions;
mod cluster;
mod configs;
mod coordinators;
mod describe_topics;
mod fetch;
mod fetch_answer;
mod fetch_sessions;
mod groups;
mod guard;
mod internal_topics;
mod metadata;
mod offsets;
mod offsets_by_id;
mod parked;
mod produce;
mod producers;
mod quotas;
mod replicas;
mod sasl;
#[cfg(test)]
mod tests;
mod topics;
mod transactions;
mod users;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use kafka_protocol::ResponseError;
use kafka_protocol::protocol::StrBytes;

pub use api::{APIS, Api, Request, RequestError, Response, ResponseEncodeError, served_api};
pub use api_versions::unsupported_api_versions;
pub(crate) use fetch_answer::FetchAnswer;
pub use parked::Parked;
pub(crate) use produce::AppendContext;

use crate::cluster::Cluster;
use crate::config::{BrokerConfigError, NetworkConfig, Properties, SecurityConfig};
use crate::coordinator_records::{
    EMBEDDED_COORDINATOR_PARTITIONS, OFFSETS_TOPIC, RecordError, SERVER_COORDINATOR_PARTITIONS,
    TRANSACTION_STATE_TOPIC,
};
use crate::group::{Client, GroupConfig, GroupCoordinator};
use crate::ids::{Ids, SharedIds};
use crate::log::{AppendError, CleanerConfig, LogConfig, ReadError};
use crate::producer_ids::FileProducerIdBlocks;
use crate::quota::Quotas;
use crate::topic::{TopicError, Topics};
use crate::transaction::{TransactionConfig, TransactionCoordinator};
use fetch_sessions::FetchSessions;
use parked::Groups;

/// `log.initial.task.delay.ms`: retention is first enforced no later than this after the start.
const INITIAL_RETENTION_DELAY_MS: i64 = 30_000;

/// Settings of a broker, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct BrokerConfig {
    /// `node.id`. 0.
    pub node_id: i32,
    /// Host of `advertised.listeners`. `localhost`.
    pub host: String,
    /// Port of `advertised.listeners`. 9092.
    pub port: i32,
    /// Defaults of topic configs.
    pub log: LogConfig,
    /// `auto.create.topics.enable`: whether asking for a topic's metadata creates it. True for a server, false embedded.
    pub auto_create_topics: bool,
    /// `num.partitions` of topics that do not say. 1.
    pub default_partitions: i32,
    /// `fetch.max.bytes`: most bytes of one Fetch response, but for a single larger batch. 55 MiB.
    pub max_fetch_bytes: usize,
    /// `max.incremental.fetch.session.cache.slots`: most fetch sessions that are kept. 1000.
    pub fetch_session_slots: usize,
    /// `delete.topic.enable`. True.
    pub delete_topics: bool,
    /// `broker.rack`. None.
    pub rack: Option<String>,
    /// `max.request.partition.size.limit`: most partitions of one DescribeTopicPartitions response. 2000.
    pub max_described_partitions: usize,
    /// How often idle producers and due syncs are looked after, in milliseconds. 5 s.
    pub maintenance_interval_ms: i64,
    /// `log.retention.check.interval.ms`: how often retention is enforced; the first time after 30 s at the latest. 5 minutes.
    pub retention_check_interval_ms: i64,
    /// How often it is looked for logs to compact, in milliseconds; 0 is never. 1 s in a server, 15 s embedded.
    pub cleaner_interval_ms: i64,
    /// Settings of compaction.
    pub cleaner: CleanerConfig,
    /// The transaction coordinator's.
    pub transaction: TransactionConfig,
    /// The group coordinator's.
    pub group: GroupConfig,
    /// Over how long client quotas are measured.
    pub quota_window: QuotaWindow,
    /// Over how long changes of topics are limited: `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    pub mutation_quota_window: QuotaWindow,
    /// The server's around the broker.
    pub network: NetworkConfig,
    /// Authentication and authorization.
    pub security: SecurityConfig,
    /// What was set to come to these settings, as text: what DescribeConfigs tells.
    pub properties: Properties,
}

/// `quota.window.num` samples of `quota.window.size.seconds`: over how long rates are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaWindow {
    /// Number of samples. 11.
    pub samples: usize,
    /// Length of each, in milliseconds. 1 s.
    pub sample_ms: i64,
}

impl Default for QuotaWindow {
    fn default() -> Self {
        Self {
            samples: 11,
            sample_ms: 1000,
        }
    }
}

impl BrokerConfig {
    /// Kafka's defaults.
    pub fn server() -> Self {
        Self::with_coordinator_partitions(SERVER_COORDINATOR_PARTITIONS)
    }

    /// For a broker inside of an application: few files, topics only on demand, groups that do not wait for more members than
    /// there are, and no retention unless a topic sets `retention.ms`. Retention goes by the records' timestamps, which in an
    /// application are event times: with Kafka's 7 days, input from last month would be deleted before it is read.
    pub fn embedded() -> Self {
        Self::with_coordinator_partitions(SERVER_COORDINATOR_PARTITIONS).with_own_defaults(&[
            ("auto.create.topics.enable", "false".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            ("log.cleaner.backoff.ms", "15000".to_owned()),
            ("log.retention.ms", "-1".to_owned()),
            (
                "offsets.topic.num.partitions",
                EMBEDDED_COORDINATOR_PARTITIONS.to_string(),
            ),
            (
                "transaction.state.log.num.partitions",
                EMBEDDED_COORDINATOR_PARTITIONS.to_string(),
            ),
        ])
    }

    fn with_coordinator_partitions(count: i32) -> Self {
        Self {
            node_id: 0,
            host: "localhost".to_owned(),
            port: 9092,
            log: LogConfig::default(),
            auto_create_topics: true,
            default_partitions: 1,
            max_fetch_bytes: 55 * 1024 * 1024,
            fetch_session_slots: 1000,
            delete_topics: true,
            rack: None,
            max_described_partitions: 2000,
            maintenance_interval_ms: 5_000,
            retention_check_interval_ms: 5 * 60 * 1000,
            cleaner_interval_ms: 1_000,
            cleaner: CleanerConfig::default(),
            transaction: TransactionConfig::new(count),
            group: GroupConfig::new(count),
            quota_window: QuotaWindow::default(),
            mutation_quota_window: QuotaWindow::default(),
            network: NetworkConfig::default(),
            security: SecurityConfig::default(),
            properties: Properties::default(),
        }
    }
}

/// Why a broker could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The data directory or a log in it.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A log could not be read while the coordinators' state was loaded.
    #[error("cannot load {topic}-{partition}: {source}")]
    Load {
        /// The internal topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
        /// Why.
        source: ReadError,
    },
    /// A record of an internal topic does not make sense.
    #[error(
        "cannot load {topic}-{partition}: the record at offset {offset} is not readable: {source}. If a newer broker wrote it, \
         start that one again; otherwise restore the partition from a backup"
    )]
    Record {
        /// The internal topic.
        topic: &'static str,
        /// Its partition.
        partition: i32,
        /// Offset of the record.
        offset: i64,
        /// What is wrong with it.
        source: RecordError,
    },
    /// The reservation of producer ids.
    #[error("cannot reserve producer ids: {0}")]
    ProducerIds(std::io::Error),
    /// The thread that compacts.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    /// A dynamic setting that this program does not know.
    #[error("cannot use what is set in cluster.json: {0}")]
    Config(#[from] BrokerConfigError),
    /// A thread panicked while it held a coordinator.
    #[error("a thread panicked while it held the {0} coordinator; restart the process")]
    Poisoned(&'static str),
}

/// What is known of a request beside its body.
#[derive(Debug, Clone)]
pub struct RequestContext {
    /// Version of the request: some rules and fields depend on it.
    pub version: i16,
    /// Who asks.
    pub client: Client,
    /// As whom it authenticated.
    pub principal: Principal,
    /// Name of the listener it came through; None in process.
    pub listener: Option<Arc<str>>,
}

impl RequestContext {
    /// A request of somebody who did not authenticate.
    pub fn new(version: i16, client: Client) -> Self {
        Self {
            version,
            client,
            principal: Principal::anonymous(),
            listener: None,
        }
    }
}

/// As whom a client authenticated: `User:alice`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// Who did not authenticate: `User:ANONYMOUS`.
    pub fn anonymous() -> Self {
        Self::user("ANONYMOUS")
    }

    /// The user of this name.
    pub fn user(name: &str) -> Self {
        Self(format!("User:{name}").into())
    }

    /// `User:name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// The answer.
    Ready(Response),
    /// The answer comes later: a member waits for the rest of its group.
    Parked(Parked),
}

/// The broker. See the top of this file.
#[derive(Debug)]
pub struct Broker {
    /// As it was started.
    config: BrokerConfig,
    /// With what administrators changed since.
    live: RwLock<Arc<BrokerConfig>>,
    topics: Topics,
    cluster: Cluster,
    ids: SharedIds,
    quotas: Mutex<Quotas>,
    fetch_sessions: FetchSessions,
    transactions: Mutex<TransactionCoordinator>,
    groups: Mutex<Groups>,
    next_token: AtomicU64,
    next_maintenance_ms: AtomicI64,
    next_retention_check_ms: AtomicI64,
    closed: AtomicBool,
}

impl Broker {
    /// Opens a data directory and loads the coordinators from their topics. Transactions that were decided are completed
    /// before this returns; members of this process's former life are dropped from their groups.
    ///
    /// # Errors
    /// The directory is in use, damaged, or cannot be read. Nothing is changed then but what recovery of a log does.
    pub fn open(
        data_dir: &Path,
        mut config: BrokerConfig,
        ids: impl Ids + 'static,
        now_ms: i64,
    ) -> Result<Self, BrokerError> {
        let ids = SharedIds::new(ids);
        let topics = Topics::open_with_ids(data_dir, config.log.clone(), now_ms, ids.source())?;
        let cluster = Cluster::open(data_dir)?;
        // Where records already lie decides, whatever the configuration says now.
        if let Ok(topic) = topics.topic(OFFSETS_TOPIC) {
            config.group.partition_count = topic.partitions().len() as i32;
        }
        if let Ok(topic) = topics.topic(TRANSACTION_STATE_TOPIC) {
            config.transaction.partition_count = topic.partitions().len() as i32;
        }
        let blocks = FileProducerIdBlocks::open(data_dir).map_err(BrokerError::ProducerIds)?;
        let maintenance_interval_ms = config.maintenance_interval_ms;
        let first_retention_check_ms = config.retention_check_interval_ms.min(INITIAL_RETENTION_DELAY_MS);
        let quotas = Mutex::new(Quotas::new(config.quota_window, config.mutation_quota_window));
        let live = alter_configs::live_config(&config, &cluster.current())?;
        topics.set_defaults(live.log.clone())?;
        let broker = Self {
            transactions: Mutex::new(TransactionCoordinator::new(
                config.transaction.clone(),
                Box::new(blocks),
            )),
            groups: Mutex::new(Groups::new(GroupCoordinator::new(
                config.group.clone(),
                Box::new(ids.clone()),
            ))),
            fetch_sessions: FetchSessions::new(config.fetch_session_slots, ids.clone()),
            config,
            live: RwLock::new(Arc::new(live)),
            topics,
            cluster,
            ids,
            quotas,
            next_token: AtomicU64::new(0),
            next_maintenance_ms: AtomicI64::new(now_ms.saturating_add(maintenance_interval_ms)),
            next_retention_check_ms: AtomicI64::new(now_ms.saturating_add(first_retention_check_ms)),
            closed: AtomicBool::new(false),
        };
        broker.load_coordinators(now_ms)?;
        Ok(broker)
    }

    /// Serves one request. Never waits: a Fetch without records is answered at once (wait for [`progress`](Self::progress)
    /// and ask again), and a member that must wait for others gets [`Outcome::Parked`].
    pub fn handle(&self, context: &RequestContext, request: Request, now_ms: i64) -> Outcome {
        if self.enforces_acls(context) {
            self.handle_guarded(context, request, now_ms)
        } else {
            self.serve(context, request, now_ms)
        }
    }

    /// Serves a request whose sender may do all that it asks for.
    fn serve(&self, context: &RequestContext, request: Request, now_ms: i64) -> Outcome {
        let version = context.version;
        Outcome::Ready(match request {
            Request::ApiVersions(request) => Response::ApiVersions(self.api_versions(version, &request)),
            Request::Produce(request) => Response::Produce(self.produce(version, request, now_ms)),
            Request::Fetch(request) => Response::Fetch(self.fetch(context, request, now_ms).read()),
            Request::ListOffsets(request) => Response::ListOffsets(self.list_offsets(version, &request)),
            Request::Metadata(request) => Response::Metadata(self.metadata(context, &request, now_ms)),
            Request::CreateTopics(request) => {
                Response::CreateTopics(self.create_topics(context, &request, now_ms))
            }
            Request::DeleteTopics(request) => {
                Response::DeleteTopics(self.delete_topics(context, &request, now_ms))
            }
            Request::CreatePartitions(request) => {
                Response::CreatePartitions(self.create_partitions(context, &request, now_ms))
            }
            Request::DescribeConfigs(request) => Response::DescribeConfigs(self.describe_configs(&request)),
            Request::AlterConfigs(request) => Response::AlterConfigs(self.alter_configs(&request, now_ms)),
            Request::IncrementalAlterConfigs(request) => {
                Response::IncrementalAlterConfigs(self.incremental_alter_configs(&request, now_ms))
            }
            Request::ListConfigResources(request) => {
                Response::ListConfigResources(self.list_config_resources(version, &request))
            }
            Request::DeleteRecords(request) => Response::DeleteRecords(self.delete_records(&request)),
            Request::InitProducerId(request) => {
                Response::InitProducerId(self.init_producer_id(version, &request, now_ms))
            }
            Request::AddPartitionsToTxn(request) => {
                Response::AddPartitionsToTxn(self.add_partitions_to_txn(version, &request, now_ms))
            }
            Request::AddOffsetsToTxn(request) => {
                Response::AddOffsetsToTxn(self.add_offsets_to_txn(version, &request, now_ms))
            }
            Request::TxnOffsetCommit(request) => {
                Response::TxnOffsetCommit(self.txn_offset_commit(context, request, now_ms))
            }
            Request::EndTxn(request) => Response::EndTxn(self.end_txn(version, &request, now_ms)),
            Request::FindCoordinator(request) => {
                Response::FindCoordinator(self.find_coordinator(context, &request))
            }
            Request::OffsetCommit(request) => {
                Response::OffsetCommit(self.offset_commit(context, request, now_ms))
            }
            Request::OffsetCommitById(request) => {
                Response::OffsetCommitById(self.offset_commit_by_id(context, request, now_ms))
            }
            Request::OffsetFetchById(request) => {
                Response::OffsetFetchById(self.offset_fetch_by_id(context, request, now_ms))
            }
            Request::OffsetFetch(request) => Response::OffsetFetch(self.offset_fetch(version, &request)),
            Request::ListGroups(request) => Response::ListGroups(self.list_groups(&request)),
            Request::DescribeGroups(request) => {
                let mut response = self.describe_groups(version, &request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::DescribeGroups(response)
            }
            Request::DeleteGroups(request) => {
                Response::DeleteGroups(self.delete_groups(context, request, now_ms))
            }
            Request::OffsetDelete(request) => {
                Response::OffsetDelete(self.offset_delete(context, request, now_ms))
            }
            Request::StreamsGroupDescribe(request) => {
                let mut response = self.describe_streams_groups(&request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::StreamsGroupDescribe(response)
            }
            Request::ConsumerGroupDescribe(request) => {
                let mut response = self.describe_consumer_groups(&request);
                if request.include_authorized_operations {
                    for group in &mut response.groups {
                        group.authorized_operations = self.group_operations(context, &group.group_id);
                    }
                }
                Response::ConsumerGroupDescribe(response)
            }
            Request::ListTransactions(request) => {
                Response::ListTransactions(self.list_transactions(&request, now_ms))
            }
            Request::DescribeTransactions(request) => {
                Response::DescribeTransactions(self.describe_transactions(&request))
            }
            Request::OffsetForLeaderEpoch(request) => {
                Response::OffsetForLeaderEpoch(self.offset_for_leader_epoch(context, &request))
            }
            Request::DescribeProducers(request) => {
                Response::DescribeProducers(self.describe_producers(context, &request))
            }
            Request::WriteTxnMarkers(request) => {
                Response::WriteTxnMarkers(self.write_txn_markers(context, &request, now_ms))
            }
            Request::DescribeCluster(request) => {
                Response::DescribeCluster(self.describe_cluster(context, &request))
            }
            Request::DescribeQuorum(request) => {
                Response::DescribeQuorum(self.describe_quorum(context, &request, now_ms))
            }
            Request::UpdateFeatures(request) => {
                Response::UpdateFeatures(self.update_features(context, &request))
            }
            Request::DescribeTopicPartitions(request) => {
                Response::DescribeTopicPartitions(self.describe_topic_partitions(context, &request))
            }
            Request::DescribeLogDirs(request) => {
                Response::DescribeLogDirs(self.describe_log_dirs(context, &request))
            }
            Request::AlterReplicaLogDirs(request) => {
                Response::AlterReplicaLogDirs(self.alter_replica_log_dirs(context, &request))
            }
            Request::ElectLeaders(request) => Response::ElectLeaders(self.elect_leaders(context, &request)),
            Request::AlterPartitionReassignments(request) => {
                Response::AlterPartitionReassignments(self.alter_partition_reassignments(context, &request))
            }
            Request::ListPartitionReassignments(_) => {
                Response::ListPartitionReassignments(self.list_partition_reassignments(context))
            }
            Request::DescribeAcls(request) => Response::DescribeAcls(self.describe_acls(context, &request)),
            Request::CreateAcls(request) => Response::CreateAcls(self.create_acls(context, &request)),
            Request::DeleteAcls(request) => Response::DeleteAcls(self.delete_acls(context, &request)),
            Request::DescribeClientQuotas(request) => {
                Response::DescribeClientQuotas(self.describe_client_quotas(context, &request))
            }
            Request::AlterClientQuotas(request) => {
                Response::AlterClientQuotas(self.alter_client_quotas(context, &request))
            }
            Request::DescribeUserScramCredentials(request) => {
                Response::DescribeUserScramCredentials(self.describe_scram_users(context, &request))
            }
            Request::AlterUserScramCredentials(request) => {
                Response::AlterUserScramCredentials(self.alter_scram_users(context, &request))
            }
            Request::SaslHandshake(_) => Response::SaslHandshake(sasl::handshake_out_of_place()),
            Request::SaslAuthenticate(_) => Response::SaslAuthenticate(sasl::authenticate_out_of_place()),
            Request::JoinGroup(_)
            | Request::SyncGroup(_)
            | Request::Heartbeat(_)
            | Request::LeaveGroup(_)
            | Request::ConsumerGroupHeartbeat(_)
            | Request::StreamsGroupHeartbeat(_) => {
                return self.group_membership(context, request, now_ms);
            }
        })
    }

    /// Drives all that depends on time: transaction and session timeouts, expiry, retention. To be called about every
    /// 100 ms; more often does no harm.
    ///
    /// # Errors
    /// What maintenance could not do, place and reason in each. The broker goes on.
    pub fn tick(&self, now_ms: i64) -> Vec<TopicError> {
        if self.closed.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.tick_coordinators(now_ms);
        if now_ms < self.next_maintenance_ms.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let next_ms = now_ms.saturating_add(self.config.maintenance_interval_ms);
        self.next_maintenance_ms.store(next_ms, Ordering::Relaxed);
        let enforce_retention = now_ms >= self.next_retention_check_ms.load(Ordering::Relaxed);
        if enforce_retention {
            let next_ms = now_ms.saturating_add(self.config.retention_check_interval_ms);
            self.next_retention_check_ms.store(next_ms, Ordering::Relaxed);
        }
        self.topics.maintain(now_ms, enforce_retention)
    }

    /// Compacts what is due, see [`Topics::compact`]: to be called every [`BrokerConfig::cleaner_interval_ms`], from a thread
    /// that may be busy for long.
    ///
    /// # Errors
    /// The logs that could not be compacted. The broker goes on.
    pub fn compact(&self, now_ms: i64, cancelled: &AtomicBool) -> Vec<TopicError> {
        if self.closed.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.topics.compact(&self.config.cleaner, now_ms, cancelled)
    }

    /// Counts up whenever any partition has more to read, see [`Topics::wait_for_progress`].
    pub fn progress(&self) -> u64 {
        self.topics.progress()
    }

    /// The topics and their logs.
    pub fn topics(&self) -> &Topics {
        &self.topics
    }

    /// The settings, with the numbers of coordinator partitions that are really there.
    pub fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// The settings with what administrators changed since the start.
    pub fn live_config(&self) -> Arc<BrokerConfig> {
        // Replaced in one step: a panic elsewhere leaves nothing half done.
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What administrators decided that is no topic.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Flushes and closes every log, so that the next start needs no recovery. Requests are refused from then on, parked ones
    /// are answered with COORDINATOR_NOT_AVAILABLE. A second call does nothing.
    ///
    /// # Errors
    /// A log that could not be closed; the next start then recovers as after a crash.
    pub fn close(&self) -> Result<(), BrokerError> {
        if self.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        // In the order of the locks, so that no step of a coordinator is cut in two.
        let transactions = self.lock_transactions();
        if let Ok(mut groups) = self.lock_groups() {
            groups.refuse_parked();
            self.topics.close()?;
        }
        drop(transactions);
        Ok(())
    }

    fn lock_transactions(&self) -> Result<MutexGuard<'_, TransactionCoordinator>, ResponseError> {
        self.transactions.lock().map_err(|_| poisoned("transaction"))
    }

    fn lock_groups(&self) -> Result<MutexGuard<'_, Groups>, ResponseError> {
        self.groups.lock().map_err(|_| poisoned("group"))
    }

    fn next_token(&self) -> u64 {
        self.next_token.fetch_add(1, Ordering::Relaxed)
    }
}

/// A thread panicked inside of a coordinator: its state may be half of a step, so nobody may use it.
fn poisoned(coordinator: &'static str) -> ResponseError {
    let error = BrokerError::Poisoned(coordinator);
    tracing::error!(%error);
    ResponseError::CoordinatorNotAvailable
}

fn text(value: &str) -> StrBytes {
    StrBytes::from_string(value.to_owned())
}

/// An error of a partition as a client gets it: Kafka's code, and the whole story in words.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: i16,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(error: ResponseError, message: impl Into<String>) -> Self {
        Self {
            code: error.code(),
            message: message.into(),
        }
    }
}

impl Refusal {
    /// Whether there is no such topic or partition.
    fn is_of_unknown_topic(&self) -> bool {
        let codes = [
            ResponseError::UnknownTopicOrPartition,
            ResponseError::UnknownTopicId,
        ];
        codes.iter().any(|error| error.code() == self.code)
    }
}

impl From<BrokerConfigError> for Refusal {
    fn from(error: BrokerConfigError) -> Self {
        Self::new(ResponseError::InvalidConfig, error.to_string())
    }
}

impl From<TopicError> for Refusal {
    fn from(error: TopicError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self {
            code: error.error_code(),
            message: error.to_string(),
        }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Self {
            code: error.code(),
            message: error.to_string(),
        }
    }
}
