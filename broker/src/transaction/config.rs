//! Settings of the transaction coordinator.

/// Settings of the transaction coordinator, with Kafka's names and defaults.
#[derive(Debug, Clone)]
pub struct TransactionConfig {
    /// `transaction.state.log.num.partitions`. Must not change while the topic holds records.
    pub partition_count: i32,
    /// `transaction.max.timeout.ms`: longest timeout a producer may ask for. 15 minutes.
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`: an idle id is forgotten after this. 7 days.
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`: how often timeouts are looked for. 10 s.
    pub abort_interval_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`: how often expired ids are looked for. 1 hour.
    pub expire_interval_ms: i64,
    /// Most transactional ids kept. A further one is refused with POLICY_VIOLATION. 1,000,000.
    pub max_transactional_ids: usize,
}

impl TransactionConfig {
    /// Kafka's defaults, with this many partitions of `__transaction_state`.
    pub fn new(partition_count: i32) -> Self {
        Self {
            partition_count,
            max_timeout_ms: 15 * 60 * 1000,
            id_expiration_ms: 7 * 24 * 60 * 60 * 1000,
            abort_interval_ms: 10_000,
            expire_interval_ms: 60 * 60 * 1000,
            max_transactional_ids: 1_000_000,
        }
    }
}
