//! What an I/O thread counts for the metrics between two entries.

use crate::metrics::Metrics;

/// Counts of one thread. Plain numbers: shared counters are touched once per entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Reads answered on this thread, all within a millisecond of their arrival.
    pub reads: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes of replies.
    pub response_bytes: u64,
    /// Handshakes.
    pub connection_requests: u64,
    /// Connections refused.
    pub rejected: u64,
    /// Connections lost.
    pub dropped: u64,
    /// Connections closed for want of a session.
    pub sessionless_expired: u64,
    /// Requests answered THROTTLEDOP.
    pub throttled_ops: u64,
    /// Times the request throttle held a connection back.
    pub throttle_waits: u64,
    /// Frames above the large-request budget.
    pub large_rejected: u64,
}

impl Ledger {
    /// True if there is nothing to enter.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds everything to the metrics and starts anew.
    pub fn enter(&mut self, metrics: &Metrics) {
        let counts = std::mem::take(self);
        metrics.readlatency.add_many(0, counts.reads);
        for (counter, count) in [
            (&metrics.bytes_received_count, counts.received_bytes),
            (&metrics.response_bytes, counts.response_bytes),
            (&metrics.connection_request_count, counts.connection_requests),
            (&metrics.connection_rejected, counts.rejected),
            (&metrics.connection_drop_count, counts.dropped),
            (&metrics.sessionless_connections_expired, counts.sessionless_expired),
            (&metrics.throttled_ops, counts.throttled_ops),
            (&metrics.request_throttle_wait_count, counts.throttle_waits),
            (&metrics.large_requests_rejected, counts.large_rejected),
        ] {
            if count > 0 {
                counter.add(count as i64);
            }
        }
    }
}
