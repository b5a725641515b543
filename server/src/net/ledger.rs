//! What an I/O thread counts for the metrics between two entries.

use crate::metrics::{Metrics, Namespaces, Spread};

/// Counts of one thread. Plain numbers: shared counters are touched once per entry.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Reads answered on this thread, all within a millisecond of their arrival.
    pub reads: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes of replies.
    pub response_bytes: u64,
    /// Sizes of reads, per top-level znode.
    pub read_namespaces: Namespaces,
    /// How long requests waited before they were looked at, ms.
    pub throttle_queue: Spread,
    /// Tokens missing in the handshake throttle's bucket, at each handshake.
    pub token_deficit: Spread,
    /// Requests looked at though their client was gone.
    pub stale: u64,
    /// Requests of clients that were gone, not looked at.
    pub stale_dropped: u64,
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
        // Whatever is counted comes with bytes, with a reply, or with a connection.
        let few = [self.reads, self.received_bytes, self.response_bytes, self.rejected];
        let rest = [self.connection_requests, self.dropped, self.sessionless_expired];
        few.iter().chain(&rest).all(|count| *count == 0)
            && [self.throttled_ops, self.throttle_waits, self.large_rejected, self.stale_dropped]
                .iter()
                .all(|count| *count == 0)
    }

    /// Adds everything to the metrics and starts anew.
    pub fn enter(&mut self, metrics: &Metrics) {
        self.read_namespaces.enter(&metrics.read_per_namespace);
        let names = std::mem::take(&mut self.read_namespaces);
        let counts = std::mem::replace(self, Self { read_namespaces: names, ..Self::default() });
        metrics.readlatency.add_many(0, counts.reads);
        metrics.request_throttle_queue_time_ms.absorb(&counts.throttle_queue);
        metrics.connection_token_deficit.absorb(&counts.token_deficit);
        for (counter, count) in [
            (&metrics.bytes_received_count, counts.received_bytes),
            (&metrics.response_bytes, counts.response_bytes),
            (&metrics.connection_request_count, counts.connection_requests),
            (&metrics.connection_rejected, counts.rejected),
            (&metrics.connection_drop_count, counts.dropped),
            (&metrics.sessionless_connections_expired, counts.sessionless_expired),
            (&metrics.stale_requests, counts.stale),
            (&metrics.stale_requests_dropped, counts.stale_dropped),
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
