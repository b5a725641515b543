//! Settings of the loops.

/// Settings of [`crate::pipeline`]. Defaults are Java's.
#[derive(Debug, Clone)]
pub struct Options {
    /// Transactions that may share one sync of the log (`zookeeper.maxBatchSize`).
    pub log_batch_max: usize,
    /// Wait this long between syncs so that more transactions share one (`zookeeper.flushDelay`),
    /// ms, 0 for not at all.
    pub flush_delay_ms: u64,
    /// Sync anyway when nothing came for this long (`zookeeper.maxWriteQueuePollTime`), ms.
    pub flush_poll_ms: u64,
    /// Snapshots kept by a purge (`autopurge.snapRetainCount`, at least 3).
    pub purge_retain_count: usize,
    /// Ms between purges (`autopurge.purgeInterval` in hours), 0 for never.
    pub purge_interval_ms: u64,
    /// One proposal of this many is followed from ack to ack
    /// (`zookeeper.leader.ackLoggingFrequency`), 0 for none.
    pub ack_logging_frequency: u64,
    /// Largest string or buffer a purge believes when it checks snapshots, bytes.
    pub purge_field_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log_batch_max: 1000,
            flush_delay_ms: 0,
            flush_poll_ms: 0,
            purge_retain_count: 3,
            purge_interval_ms: 0,
            ack_logging_frequency: 1000,
            purge_field_max: jute::codec::DEFAULT_MAX_FIELD,
        }
    }
}
