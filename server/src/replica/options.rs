//! Settings of the replica core.

/// Settings of [`crate::replica`]. Defaults are Java's.
#[derive(Debug, Clone)]
pub struct Options {
    /// Length of an expiry bucket, ms (`tickTime`).
    pub tick_ms: u64,
    /// Server id in new session ids; standalone 1, as in Java (`SessionTrackerImpl`).
    pub session_server_id: i64,
    /// How often to look for containers and TTL znodes to remove, ms
    /// (`znode.container.checkIntervalMs`).
    pub container_check_interval_ms: u64,
    /// Removals per minute (`znode.container.maxPerMinute`).
    pub container_removals_per_minute: u64,
    /// Age at which a container that never had a child is removed, ms, 0 for never
    /// (`znode.container.maxNeverUsedIntervalMs`).
    pub container_never_used_max_ms: i64,
    /// `localSessionsEnabled`: new sessions of a member are its own business.
    pub local_sessions: bool,
    /// `localSessionsUpgradingEnabled`: they become global when they need to.
    pub local_sessions_upgrade: bool,
    /// `standaloneEnabled`: a reconfiguration must leave two voters.
    pub standalone_enabled: bool,
    /// `readonlymode.enabled`: a member without a leader serves reads.
    pub read_only_mode: bool,
    /// Largest string or buffer in a request that a learner forwards, bytes.
    pub field_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tick_ms: 3000,
            session_server_id: 1,
            container_check_interval_ms: 60_000,
            container_removals_per_minute: 10_000,
            container_never_used_max_ms: 0,
            local_sessions: false,
            local_sessions_upgrade: false,
            standalone_enabled: true,
            read_only_mode: false,
            field_max: jute::codec::DEFAULT_MAX_FIELD,
        }
    }
}
