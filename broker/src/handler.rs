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
mod context;
mod coordinators;
mod describe_topics;
mod dispatch;
mod error;
mod fetch;
mod fetch_answer;
mod fetch_sessions;
mod groups;
mod guard;
mod heartbeats;
mod internal_topics;
mod metadata;
mod offsets;
mod offsets_by_id;
mod parked;
mod produce;
mod producers;
mod quotas;
mod refusal;
mod replicas;
mod sasl;
mod settings;
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
pub use context::{Outcome, Principal, RequestContext};
pub use error::BrokerError;
pub(crate) use fetch_answer::FetchAnswer;
pub use parked::Parked;
pub(crate) use produce::AppendContext;
pub(crate) use refusal::Refusal;
pub use settings::{BrokerConfig, QuotaWindow};

use crate::cluster::Cluster;
use crate::coordinator_records::{OFFSETS_TOPIC, TRANSACTION_STATE_TOPIC};
use crate::group::GroupCoordinator;
use crate::ids::{Ids, SharedIds};
use crate::producer_ids::FileProducerIdBlocks;
use crate::quota::Quotas;
use crate::topic::{TopicError, Topics};
use crate::transaction::TransactionCoordinator;
use fetch_sessions::FetchSessions;
use parked::Groups;

/// `log.initial.task.delay.ms`: retention is first enforced no later than this after the start.
const INITIAL_RETENTION_DELAY_MS: i64 = 30_000;

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

    /// Compacts what is due, see [`Topics::compact`]: to be called every [`BrokerConfig::cleaner_interval_ms`] of
    /// [`live_config`](Self::live_config), from a thread that may be busy for long.
    ///
    /// # Errors
    /// The logs that could not be compacted. The broker goes on.
    pub fn compact(&self, now_ms: i64, cancelled: &AtomicBool) -> Vec<TopicError> {
        if self.closed.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.topics
            .compact(&self.live_config().cleaner, now_ms, cancelled)
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
