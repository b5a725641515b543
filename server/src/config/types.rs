//! The configuration as one typed value: core keys. Everything that comes from properties is in
//! `settings.rs`, TLS in `tls.rs`, the member list in `members.rs`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{
    AdminSettings, AuthSettings, ClientIoSettings, ElectionSettings, LimitSettings,
    LoggingSettings, Membership, MonitoringSettings, Notice, PropertyTable, Role, StorageSettings,
    TlsSettings,
};

/// Everything a server is told before it starts. Immutable afterwards.
///
/// Milliseconds, bytes and ticks are as the user wrote them unless a field says otherwise.
#[derive(Debug)]
pub struct Config {
    /// The configuration file; `None` when started as `port dataDir [tickTime] [maxcnxns]`.
    pub file: Option<PathBuf>,
    /// Text of that file at start, secrets masked (`/commands/initial_configuration`).
    pub initial_text: Option<String>,

    /// `tickTime`, ms, default 3000. Never 0.
    pub tick_time: i32,
    /// `dataDir`: snapshots, `myid`, epoch files; files live in `version-2` below it.
    pub data_dir: PathBuf,
    /// `dataLogDir`: transaction logs in `version-2` below it; default `dataDir`.
    pub data_log_dir: PathBuf,
    /// `clientPort` and `clientPortAddress`, or the client address of our own `server.N` line.
    /// `None`: no plain listener.
    pub client_address: Option<SocketAddr>,
    /// `secureClientPort` and `secureClientPortAddress`. `None`: no TLS listener.
    pub secure_client_address: Option<SocketAddr>,
    /// `clientPortListenBacklog`; -1 is the platform's default.
    pub client_port_listen_backlog: i32,
    /// `maxClientCnxns` per source address; 0 and below mean unlimited. Default 60, and 0 when
    /// started with positional arguments.
    pub max_client_cnxns: i32,
    /// `minSessionTimeout`, ms, default 2 ticks.
    pub min_session_timeout: i32,
    /// `maxSessionTimeout`, ms, default 20 ticks.
    pub max_session_timeout: i32,
    /// `localSessionsEnabled`.
    pub local_sessions_enabled: bool,
    /// `localSessionsUpgradingEnabled`.
    pub local_sessions_upgrading_enabled: bool,
    /// `autopurge.snapRetainCount`, at least 3.
    pub snap_retain_count: i32,
    /// `autopurge.purgeInterval`, hours; 0 and below: never.
    pub purge_interval_hours: i32,

    /// Content of `myid`; `None` without that file.
    pub my_id: Option<i64>,
    /// Members and how they run together; empty membership on a standalone server.
    pub ensemble: EnsembleConfig,
    /// `metricsProvider.*`.
    pub metrics_provider: MetricsProviderConfig,
    /// `jvm.pause.*`: the drift monitor.
    pub pause_monitor: PauseMonitorConfig,

    /// Files, log and snapshots.
    pub storage: StorageSettings,
    /// Limits, throttles, types of znodes.
    pub limits: LimitSettings,
    /// Client connections and words.
    pub client_io: ClientIoSettings,
    /// Who may do what.
    pub auth: AuthSettings,
    /// Election and replication timings.
    pub election: ElectionSettings,
    /// AdminServer.
    pub admin: AdminSettings,
    /// TLS of the client port (`ssl.*`).
    pub client_tls: TlsSettings,
    /// TLS of the quorum ports and of the AdminServer (`ssl.quorum.*`).
    pub quorum_tls: TlsSettings,
    /// Audit log, path statistics.
    pub monitoring: MonitoringSettings,
    /// Console threshold and log file.
    pub logging: LoggingSettings,

    /// Every system property after merging, with who set it.
    pub properties: PropertyTable,
    /// What to tell the operator, in order of discovery.
    pub notices: Vec<Notice>,
}

impl Config {
    /// Whether this server is a member of an ensemble (`QuorumPeerConfig.isDistributed`): more
    /// than one voter, or one voter with `standaloneEnabled=false`.
    pub fn is_distributed(&self) -> bool {
        let voters = self.ensemble.membership.voters().count();
        voters > 1 || (!self.ensemble.standalone_enabled && voters > 0)
    }

    /// The value of a system property, by its full name (`zookeeper.snapCount`). Asking marks it
    /// as known.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name)
    }
}

/// Typed keys of ensembles.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleConfig {
    /// `server.N`, `group.N`, `weight.N`, from `zoo.cfg` or the dynamic file.
    pub membership: Membership,
    /// `<zoo.cfg>.dynamic.next`: a configuration proposed and not yet known to be committed.
    pub last_seen: Option<Membership>,
    /// `dynamicConfigFile`.
    pub dynamic_file: Option<PathBuf>,
    /// Our role: by the member list, whatever `peerType` says.
    pub role: Role,
    /// `initLimit`, ticks.
    pub init_limit: i32,
    /// `syncLimit`, ticks.
    pub sync_limit: i32,
    /// `connectToLearnerMasterLimit`, ticks; 0: `initLimit` is used.
    pub connect_to_learner_master_limit: i32,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_ips: bool,
    /// `syncEnabled`: an observer writes log and snapshots.
    pub sync_enabled: bool,
    /// `standaloneEnabled`.
    pub standalone_enabled: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
    /// `observerMasterPort`.
    pub observer_master_port: Option<u16>,
    /// `oraclePath`.
    pub oracle_path: Option<PathBuf>,
    /// `multiAddress.enabled`.
    pub multi_address_enabled: bool,
    /// `multiAddress.reachabilityCheckTimeoutMs`.
    pub multi_address_timeout_ms: i32,
    /// `multiAddress.reachabilityCheckEnabled`.
    pub multi_address_check: bool,
    /// `sslQuorum`.
    pub ssl_quorum: bool,
    /// `portUnification`.
    pub port_unification: bool,
    /// `sslQuorumReloadCertFiles`.
    pub ssl_quorum_reload: bool,
    /// `quorum.auth.*`.
    pub sasl: QuorumSaslConfig,
}

/// `quorum.auth.*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumSaslConfig {
    /// `quorum.auth.enableSasl`.
    pub enabled: bool,
    /// `quorum.auth.serverRequireSasl`.
    pub server_require: bool,
    /// `quorum.auth.learnerRequireSasl`.
    pub learner_require: bool,
    /// `quorum.auth.learner.saslLoginContext`, default `QuorumLearner`.
    pub learner_context: String,
    /// `quorum.auth.server.saslLoginContext`, default `QuorumServer`.
    pub server_context: String,
}

/// Which backend shows metrics (`metricsProvider.className`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsBackend {
    /// `DefaultMetricsProvider`: `mntr` and `/commands/monitor` only.
    Default,
    /// `PrometheusMetricsProvider`: also the HTTP endpoint.
    Prometheus,
    /// `NullMetricsProvider`: nothing is counted.
    Null,
}

/// `metricsProvider.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsProviderConfig {
    /// The class, as one of the three known ones.
    pub backend: MetricsBackend,
    /// `metricsProvider.httpHost`, default 0.0.0.0.
    pub http_host: String,
    /// `metricsProvider.httpPort`, default 7000; 0 takes a free one.
    pub http_port: u16,
    /// `metricsProvider.exportJvmInfo`: shows the `process_*` families.
    pub export_process_info: bool,
    /// Other `metricsProvider.*` keys, without the prefix.
    pub others: Vec<(String, String)>,
}

/// `jvm.pause.monitor` and its thresholds: a thread that notices when it is not scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PauseMonitorConfig {
    /// `jvm.pause.monitor`.
    pub enabled: bool,
    /// `jvm.pause.warn-threshold.ms`.
    pub warn_ms: i64,
    /// `jvm.pause.info-threshold.ms`.
    pub info_ms: i64,
    /// `jvm.pause.sleep.time.ms`.
    pub sleep_ms: i64,
}
