//! Settings of the client side, all in final units. Defaults are Java's.

use std::net::SocketAddr;

use crate::auth::{SaslOptions, TlsOptions};

/// Settings of [`crate::net`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen for clients. Port 0 takes a free one.
    pub addresses: Vec<SocketAddr>,
    /// Where to listen for clients that speak TLS. Port 0 takes a free one.
    pub secure_addresses: Vec<SocketAddr>,
    /// TLS, if it is spoken at all.
    pub tls: Option<TlsOptions>,
    /// Plain listeners take TLS too (`client.portUnification`).
    pub unified: bool,
    /// The scheme that a client's certificate is an identity of (`ssl.authProvider`).
    pub certificate_scheme: String,
    /// Logins of clients, if they can log in.
    pub sasl: Option<SaslOptions>,
    /// SASL users that may do everything (`superUser`, `superUser.*`).
    pub sasl_super_users: Vec<String>,
    /// TLS handshakes at once (`netty.server.outstandingHandshake.limit`), 0 for no limit.
    pub tls_handshakes_max: usize,
    /// Close TLS connections at once while not serving
    /// (`netty.server.earlyDropSecureConnectionHandshakes`).
    pub early_drop: bool,
    /// Pending connections the kernel keeps (`clientPortListenBacklog`); -1 is the platform's.
    pub backlog: i32,
    /// Let the kernel probe silent peers (`clientTcpKeepAlive`).
    pub keep_alive: bool,
    /// Connections per source address (`maxClientCnxns`), 0 for no limit.
    pub connections_per_address_max: usize,
    /// Connections in all (`maxCnxns`), 0 for no limit.
    pub connections_max: usize,
    /// Threads that serve connections; 0 takes one per two cores.
    pub io_threads: usize,
    /// Largest frame, bytes (`jute.maxbuffer`).
    pub frame_max: usize,
    /// Largest string or buffer inside a frame, bytes (`jute.maxbuffer` plus `extrasize`).
    pub field_max: usize,
    /// Shortest session timeout, ms.
    pub session_timeout_min_ms: i32,
    /// Longest session timeout, ms.
    pub session_timeout_max_ms: i32,
    /// Requests in flight above which connections with a request in flight are not read
    /// (`globalOutstandingLimit`).
    pub outstanding_max: usize,
    /// Frames longer than this are large (`largeRequestThreshold`), `None` for no such limit.
    pub large_request_threshold: Option<usize>,
    /// Bytes of large requests in flight (`largeRequestMaxBytes`).
    pub large_request_bytes_max: usize,
    /// Delay or drop of requests before the pipeline.
    pub request_throttle: RequestThrottle,
    /// Token bucket for handshakes.
    pub connection_throttle: ConnectionThrottle,
    /// A connection without session is closed after this long, ms
    /// (`zookeeper.nio.sessionlessCnxnTimeout`).
    pub sessionless_timeout_ms: u64,
    /// Count the paths asked for most (`pathStats.enabled`).
    pub path_stats: Option<super::PathStatsOptions>,
    /// Writes whose permissions are missing here are answered here, before they are proposed
    /// (`enableEagerACLCheck`, members only).
    pub eager_acl_check: bool,
    /// Writes remember what they asked, for the audit log.
    pub audit: bool,
    /// The scheme `ensemble` has names to compare with (`zookeeper.ensembleAuthName`).
    pub ensemble_auth_named: bool,
    /// A failed SASL exchange does not close the connection (`allowSaslFailedClients`).
    pub allow_sasl_failed_clients: bool,
    /// Bytes of unsent replies above which a connection is not read.
    pub outbox_high_bytes: usize,
    /// Bytes of unsent replies and events above which a connection is closed.
    pub outbox_max_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            secure_addresses: Vec::new(),
            tls: None,
            unified: false,
            certificate_scheme: "x509".to_owned(),
            sasl: None,
            sasl_super_users: Vec::new(),
            tls_handshakes_max: 0,
            early_drop: false,
            backlog: -1,
            keep_alive: false,
            connections_per_address_max: 60,
            connections_max: 0,
            io_threads: 0,
            frame_max: jute::codec::DEFAULT_MAX_BUFFER,
            field_max: jute::codec::DEFAULT_MAX_FIELD,
            session_timeout_min_ms: 4000,
            session_timeout_max_ms: 40_000,
            outstanding_max: 1000,
            large_request_threshold: None,
            large_request_bytes_max: 100 * 1024 * 1024,
            request_throttle: RequestThrottle::default(),
            connection_throttle: ConnectionThrottle::default(),
            sessionless_timeout_ms: 10_000,
            path_stats: None,
            eager_acl_check: false,
            audit: false,
            ensemble_auth_named: false,
            allow_sasl_failed_clients: false,
            outbox_high_bytes: 4 * 1024 * 1024,
            outbox_max_bytes: 64 * 1024 * 1024,
        }
    }
}

/// `RequestThrottler`.
#[derive(Debug, Clone)]
pub struct RequestThrottle {
    /// Requests in the pipeline above which others wait (`request_throttle_max_requests`), 0 off.
    pub requests_max: usize,
    /// How long they wait before looking again, ms (`request_throttle_stall_time`).
    pub stall_time_ms: u64,
    /// Drop requests of closed connections while throttling (`request_throttle_drop_stale`).
    pub drop_stale: bool,
    /// A closed connection makes its requests stale (`request_stale_connection_check`).
    pub stale_connection_check: bool,
    /// Waiting longer than the session timeout makes a request stale
    /// (`request_stale_latency_check`).
    pub stale_latency_check: bool,
    /// A request that waited longer is answered THROTTLEDOP (`throttled_op_wait_time`), ms, 0 off.
    pub op_wait_time_ms: u64,
}

impl RequestThrottle {
    /// Requests of clients that are gone are not executed while the throttle holds them back.
    pub fn drops_orphans(&self) -> bool {
        self.requests_max > 0 && self.drop_stale && self.stale_connection_check
    }
}

impl Default for RequestThrottle {
    fn default() -> Self {
        Self {
            requests_max: 0,
            stall_time_ms: 100,
            drop_stale: true,
            stale_connection_check: true,
            stale_latency_check: false,
            op_wait_time_ms: 0,
        }
    }
}

/// `BlueThrottle`: the `zookeeper.connection_throttle_*` properties as the user wrote them (the
/// global weight is multiplied in by `net`).
#[derive(Debug, Clone)]
pub struct ConnectionThrottle {
    /// Size of the bucket, 0 off.
    pub tokens: i64,
    /// Ms per refill.
    pub fill_time_ms: u64,
    /// Tokens per refill.
    pub fill_count: i64,
    /// Ms between changes of the drop probability; negative turns random drops off.
    pub freeze_time_ms: i64,
    /// Added to the drop probability when the bucket is empty.
    pub drop_increase: f64,
    /// Taken from the drop probability otherwise.
    pub drop_decrease: f64,
    /// Deficit over tokens at or below which the probability falls.
    pub decrease_ratio: f64,
    /// Handshakes cost their weight.
    pub weight_enabled: bool,
    /// Tokens for a new global session.
    pub global_session_weight: i64,
    /// Tokens for a renewed session.
    pub renew_session_weight: i64,
    /// Tokens for a new local session.
    pub local_session_weight: i64,
}

impl Default for ConnectionThrottle {
    fn default() -> Self {
        Self {
            tokens: 0,
            fill_time_ms: 1,
            fill_count: 1,
            freeze_time_ms: -1,
            drop_increase: 0.02,
            drop_decrease: 0.002,
            decrease_ratio: 0.0,
            weight_enabled: false,
            global_session_weight: 3,
            renew_session_weight: 2,
            local_session_weight: 1,
        }
    }
}
