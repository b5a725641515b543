//! Settings that come from `zookeeper.*` properties (and so from untyped keys of `zoo.cfg`).
//!
//! Every field names its property without the `zookeeper.` prefix; a few properties can only be
//! given with `-D` and have no prefix. Defaults and odd values follow Java; what Java silently
//! replaces by a default is warned about.

use std::path::PathBuf;

use super::error::{ConfigError, Kind};
use super::java_trim;
use super::table::{Reader, parse_i32, parse_i64};
use super::tls::Secret;
use crate::acl::DigestAlgorithm;

/// Snapshot file compression (`SnapStream.StreamMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// None; Java calls it CHECKED.
    #[default]
    None,
    /// `gz`
    Gzip,
    /// `snappy`
    Snappy,
}

/// Files: logs, snapshots, what a start may create.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageSettings {
    /// `snapCount`, at least 2: transactions between snapshots.
    pub snap_count: i32,
    /// `snapSizeLimitInKb`; 0 and below: no limit.
    pub snap_size_limit_kb: i64,
    /// `preAllocSize`, KiB; 0 and below: no padding of logs.
    pub pre_alloc_size_kb: i64,
    /// `txnLogSizeLimitInKb`; 0 and below: no limit.
    pub txn_log_size_limit_kb: i64,
    /// `commitLogCount`, at least 500: proposals kept for DIFF syncs.
    pub commit_log_count: i32,
    /// `snapshotSizeFactor`: log bytes for a DIFF from disk, as a share of the snapshot's size;
    /// negative turns it off.
    pub snapshot_size_factor: f64,
    /// `forceSync`: sync before acknowledging; off only for the exact text `no`.
    pub force_sync: bool,
    /// `fsync.warningthresholdms`.
    pub fsync_warning_ms: i64,
    /// `flushDelay`, ms; 0: none.
    pub flush_delay_ms: i64,
    /// `maxWriteQueuePollTime`, ms; default a third of `flushDelay`.
    pub max_write_queue_poll_ms: i64,
    /// `maxBatchSize`; 0 and below: no limit.
    pub max_batch_size: i32,
    /// `datadir.autocreate`.
    pub datadir_autocreate: bool,
    /// `db.autocreate`.
    pub db_autocreate: bool,
    /// `snapshot.trust.empty`.
    pub trust_empty: bool,
    /// `snapshot.compression.method`.
    pub compression: Compression,
    /// `serializeLastProcessedZxid.enabled`.
    pub serialize_last_processed_zxid: bool,
    /// `digest.enabled`.
    pub digest_enabled: bool,
    /// `closeSessionTxn.enabled`.
    pub close_session_txn: bool,
}

impl StorageSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Self {
        let mut snap_count = p.int("snapCount", 100_000);
        if snap_count < 2 {
            p.warn(format!(
                "SnapCount should be 2 or more. Now, snapCount is reset to 2 (was {snap_count})"
            ));
            snap_count = 2;
        }
        let snap_size_limit_kb = p.long("snapSizeLimitInKb", 4_194_304);
        let flush_delay_ms = p.long("flushDelay", 0);
        let pre_alloc_size_kb = number_or(p, "zookeeper.preAllocSize", 65_536);
        let mut commit_log_count =
            number_or(p, "zookeeper.commitLogCount", 500).clamp(-1, i32::MAX.into()) as i32;
        if commit_log_count < 500 {
            p.warn(format!(
                "The configured commitLogCount {commit_log_count} is less than the \
                recommended 500, going to use the recommended one"
            ));
            commit_log_count = 500;
        }
        let mut snapshot_size_factor = p.double("snapshotSizeFactor", 0.33);
        if snapshot_size_factor > 1.0 {
            p.warn(format!(
                "The configured snapshotSizeFactor {snapshot_size_factor} is \
                invalid, going to use 0.33"
            ));
            snapshot_size_factor = 0.33;
        }
        let compression = match p.text_or("snapshot.compression.method", "").to_lowercase().as_str()
        {
            "" | "checked" => Compression::None,
            "gz" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            other => {
                p.warn(format!(
                    "snapshot.compression.method={other}: not one of gz, snappy or \
                    nothing; snapshots are not compressed"
                ));
                Compression::None
            }
        };
        Self {
            snap_count,
            snap_size_limit_kb,
            pre_alloc_size_kb,
            txn_log_size_limit_kb: p.long("txnLogSizeLimitInKb", -1),
            commit_log_count,
            snapshot_size_factor,
            force_sync: p.text_or("forceSync", "yes") != "no",
            fsync_warning_ms: prefixed_or_bare(p, "fsync.warningthresholdms", 1000),
            flush_delay_ms,
            max_write_queue_poll_ms: p.long("maxWriteQueuePollTime", flush_delay_ms / 3),
            max_batch_size: p.int("maxBatchSize", 1000),
            datadir_autocreate: p.flag("datadir.autocreate", true),
            db_autocreate: p.flag("db.autocreate", true),
            trust_empty: p.flag("snapshot.trust.empty", false),
            compression,
            serialize_last_processed_zxid: p.flag("serializeLastProcessedZxid.enabled", true),
            digest_enabled: p.flag("digest.enabled", true),
            close_session_txn: p.flag("closeSessionTxn.enabled", true),
        }
    }
}

/// `Long.parseLong` of a property, with a warning and the default when it is none.
fn number_or(p: &mut Reader<'_>, name: &str, default: i64) -> i64 {
    let Some(text) = p.table().get(name) else { return default };
    parse_i64(text).unwrap_or_else(|| {
        let place = p.place_text(name);
        p.warn(format!("{place}: not a whole number; using {default}"));
        default
    })
}

/// A property known with and without the prefix; with it wins.
fn prefixed_or_bare(p: &mut Reader<'_>, key: &str, default: i64) -> i64 {
    let bare = p.long_named(key, default);
    p.long(key, bare)
}

/// The request throttle (`RequestThrottler`).
#[derive(Debug, Clone, PartialEq)]
pub struct RequestThrottleSettings {
    /// `request_throttle_max_requests`; 0: off.
    pub max_requests: i32,
    /// `request_throttle_stall_time`, ms.
    pub stall_time_ms: i32,
    /// `request_throttle_drop_stale`.
    pub drop_stale: bool,
    /// `request_stale_connection_check`.
    pub stale_connection_check: bool,
    /// `request_stale_latency_check`.
    pub stale_latency_check: bool,
    /// `request_throttler.shutdownTimeout`, ms.
    pub shutdown_timeout_ms: i32,
    /// `throttled_op_wait_time`, ms; 0 and below: off.
    pub op_wait_time_ms: i32,
}

/// The session-creation throttle (`BlueThrottle`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionThrottleSettings {
    /// `connection_throttle_tokens`; 0: off.
    pub tokens: i32,
    /// `connection_throttle_fill_time`, ms, at least 1.
    pub fill_time_ms: i32,
    /// `connection_throttle_fill_count`.
    pub fill_count: i32,
    /// `connection_throttle_freeze_time`, ms; -1: no random drops.
    pub freeze_time_ms: i32,
    /// `connection_throttle_drop_increase`.
    pub drop_increase: f64,
    /// `connection_throttle_drop_decrease`.
    pub drop_decrease: f64,
    /// `connection_throttle_decrease_ratio`.
    pub decrease_ratio: f64,
    /// `connection_throttle_weight_enabled`.
    pub weight_enabled: bool,
    /// `connection_throttle_global_session_weight`, not below the local one.
    pub global_weight: i32,
    /// `connection_throttle_local_session_weight`.
    pub local_weight: i32,
    /// `connection_throttle_renew_session_weight`, not below the local one.
    pub renew_weight: i32,
}

/// Limits and throttles of requests, connections and znodes.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSettings {
    /// `globalOutstandingLimit`.
    pub global_outstanding: i32,
    /// `jute.maxbuffer` (`-D` only), bytes.
    pub jute_max_buffer: i32,
    /// `jute.maxbuffer.extrasize`, bytes, at least 1024.
    pub jute_extra_size: i32,
    /// `maxCnxns`; 0: unlimited.
    pub max_cnxns: i32,
    /// `largeRequestMaxBytes`.
    pub large_request_max_bytes: i32,
    /// `largeRequestThreshold`, bytes; -1: no request is large.
    pub large_request_threshold: i32,
    /// `request_throttle*`.
    pub request_throttle: RequestThrottleSettings,
    /// `connection_throttle_*`.
    pub connection_throttle: ConnectionThrottleSettings,
    /// `enforceQuota`.
    pub enforce_quota: bool,
    /// `znode.container.checkIntervalMs` (`-D` only).
    pub container_check_interval_ms: i32,
    /// `znode.container.maxPerMinute` (`-D` only), at least 1.
    pub container_max_per_minute: i32,
    /// `znode.container.maxNeverUsedIntervalMs` (`-D` only); 0: never.
    pub container_max_never_used_ms: i64,
    /// `extendedTypesEnabled`: TTL znodes.
    pub extended_types: bool,
    /// `emulate353TTLNodes`.
    pub emulate_353_ttl: bool,
    /// `watchManagerName` is `WatchManagerOptimized`, which refuses persistent watches.
    pub standard_watches_only: bool,
}

impl LimitSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Result<Self, ConfigError> {
        check_class(
            p,
            "watchManagerName",
            &["WatchManager", "WatchManagerOptimized"].map(|c| format!("{SERVER}watch.{c}")),
            |class| format!("Couldn't instantiate {class}"),
            Kind::Unexpected,
        )?;
        let jute_max_buffer = p.int_named("jute.maxbuffer", 0xf_ffff);
        let mut max_cnxns = p.int("maxCnxns", 0);
        if max_cnxns < 0 {
            p.warn(format!(
                "maxCnxns should be greater than or equal to 0, using default value \
                0 (was {max_cnxns})"
            ));
            max_cnxns = 0;
        }
        let mut large_request_max_bytes = p.int("largeRequestMaxBytes", 100 * 1024 * 1024);
        if large_request_max_bytes <= 0 {
            p.warn(format!(
                "largeRequestMaxBytes={large_request_max_bytes}: must be above 0; using 104857600"
            ));
            large_request_max_bytes = 100 * 1024 * 1024;
        }
        let mut large_request_threshold = p.int("largeRequestThreshold", -1);
        if large_request_threshold == 0 || large_request_threshold < -1 {
            p.warn(format!(
                "Invalid largeRequestThreshold {large_request_threshold}, setting to -1"
            ));
            large_request_threshold = -1;
        }
        let mut container_max_per_minute = p.int_named("znode.container.maxPerMinute", 10_000);
        if container_max_per_minute < 1 {
            p.warn(format!(
                "znode.container.maxPerMinute={container_max_per_minute}: must be \
                above 0; using 10000"
            ));
            container_max_per_minute = 10_000;
        }
        Ok(Self {
            global_outstanding: p.int("globalOutstandingLimit", 1000),
            jute_max_buffer,
            jute_extra_size: p.int("jute.maxbuffer.extrasize", jute_max_buffer).max(1024),
            max_cnxns,
            large_request_max_bytes,
            large_request_threshold,
            request_throttle: RequestThrottleSettings {
                max_requests: p.int("request_throttle_max_requests", 0),
                stall_time_ms: p.int("request_throttle_stall_time", 100),
                drop_stale: p.flag("request_throttle_drop_stale", true),
                stale_connection_check: p.flag("request_stale_connection_check", true),
                stale_latency_check: p.flag("request_stale_latency_check", false),
                shutdown_timeout_ms: p.int("request_throttler.shutdownTimeout", 10_000),
                op_wait_time_ms: p.int("throttled_op_wait_time", 0),
            },
            connection_throttle: connection_throttle(p),
            enforce_quota: p.flag("enforceQuota", false),
            container_check_interval_ms: p.int_named("znode.container.checkIntervalMs", 60_000),
            container_max_per_minute,
            container_max_never_used_ms: p.long_named("znode.container.maxNeverUsedIntervalMs", 0),
            extended_types: p.flag("extendedTypesEnabled", false),
            emulate_353_ttl: p.flag("emulate353TTLNodes", false),
            standard_watches_only: p.text_or("watchManagerName", "").ends_with("Optimized"),
        })
    }
}

fn connection_throttle(p: &mut Reader<'_>) -> ConnectionThrottleSettings {
    let mut fill_time_ms = p.int("connection_throttle_fill_time", 1);
    if fill_time_ms < 1 {
        p.warn(format!("connection_throttle_fill_time={fill_time_ms}: must be above 0; using 1"));
        fill_time_ms = 1;
    }
    let positive = |value: i32, default| if value <= 0 { default } else { value };
    let local_weight = positive(p.int("connection_throttle_local_session_weight", 1), 1);
    ConnectionThrottleSettings {
        tokens: p.int("connection_throttle_tokens", 0),
        fill_time_ms,
        fill_count: p.int("connection_throttle_fill_count", 1),
        freeze_time_ms: p.int("connection_throttle_freeze_time", -1),
        drop_increase: p.double("connection_throttle_drop_increase", 0.02),
        drop_decrease: p.double("connection_throttle_drop_decrease", 0.002),
        decrease_ratio: p.double("connection_throttle_decrease_ratio", 0.0),
        weight_enabled: p.flag("connection_throttle_weight_enabled", false),
        global_weight: positive(p.int("connection_throttle_global_session_weight", 3), 3)
            .max(local_weight),
        local_weight,
        renew_weight: positive(p.int("connection_throttle_renew_session_weight", 2), 2)
            .max(local_weight),
    }
}

/// Which four-letter words answer (`FourLetterCommands`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whitelist {
    /// `*`
    All,
    /// These names; `srvr` always among them. Unknown names are kept, as in Java.
    Names(Vec<String>),
}

/// Client connections.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientIoSettings {
    /// `4lw.commands.whitelist`, completed by `srvr` and, with `readonlymode.enabled`, `isro`.
    pub whitelist: Whitelist,
    /// `clientTcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// `nio.sessionlessCnxnTimeout`, ms.
    pub sessionless_timeout_ms: i32,
    /// `nio.numWorkerThreads`, if given: may size the I/O runtime.
    pub worker_threads: Option<i32>,
    /// `netty.server.outstandingHandshake.limit`; 0 and below: none.
    pub handshake_limit: i32,
    /// `netty.server.earlyDropSecureConnectionHandshakes`.
    pub early_drop_handshakes: bool,
    /// `client.portUnification`.
    pub port_unification: bool,
    /// `client.certReload`.
    pub cert_reload: bool,
    /// `readonlymode.enabled` (`-D` only).
    pub read_only_mode: bool,
}

impl ClientIoSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let read_only_mode =
            p.table().get("readonlymode.enabled").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        check_class(
            p,
            "serverCnxnFactory",
            &["NIOServerCnxnFactory", "NettyServerCnxnFactory"].map(|c| format!("{SERVER}{c}")),
            |class| format!("Couldn't instantiate {class}"),
            Kind::Unexpected,
        )?;
        if p.int("nio.numSelectorThreads", 1) < 1 {
            let place = p.table().place("zookeeper.nio.numSelectorThreads");
            return Err(ConfigError::new(
                Kind::Unexpected,
                "numSelectorThreads must be at least 1",
            )
            .at(place)
            .allowed("1 and above"));
        }
        let worker_threads = match p.int("nio.numWorkerThreads", -1) {
            -1 => None,
            given => Some(given),
        };
        Ok(Self {
            whitelist: whitelist(p, read_only_mode),
            tcp_keep_alive: p.flag("clientTcpKeepAlive", false),
            sessionless_timeout_ms: p.int("nio.sessionlessCnxnTimeout", 10_000),
            worker_threads,
            handshake_limit: p.int("netty.server.outstandingHandshake.limit", -1),
            early_drop_handshakes: p
                .flag("netty.server.earlyDropSecureConnectionHandshakes", false),
            port_unification: p.flag("client.portUnification", false),
            cert_reload: p.flag("client.certReload", false),
            read_only_mode,
        })
    }
}

const SERVER: &str = "org.apache.zookeeper.server.";

/// A property that names a Java class: only the known ones can be loaded.
fn check_class(
    p: &Reader<'_>,
    key: &str,
    known: &[String],
    text: impl Fn(&str) -> String,
    kind: Kind,
) -> Result<(), ConfigError> {
    match p.text(key) {
        Some(class) if !known.contains(&class) => Err(ConfigError::new(kind, text(&class))
            .at(p.table().place(&format!("zookeeper.{key}")))
            .allowed(known.join(", "))),
        _ => Ok(()),
    }
}

fn whitelist(p: &Reader<'_>, read_only_mode: bool) -> Whitelist {
    let mut names = Vec::new();
    for name in p.text_or("4lw.commands.whitelist", "").split(',') {
        match java_trim(name) {
            "*" => return Whitelist::All,
            "" => {}
            name => names.push(name.to_owned()),
        }
    }
    names.push("srvr".to_owned());
    if read_only_mode {
        names.push("isro".to_owned());
    }
    names.sort();
    names.dedup();
    Whitelist::Names(names)
}

/// A provider named by `authProvider.N`, mapped from its Java class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthProvider {
    /// `SASLAuthenticationProvider`: scheme `sasl`.
    Sasl,
    /// `X509AuthenticationProvider`: scheme `x509`.
    X509,
    /// `EnsembleAuthenticationProvider`: scheme `ensemble`.
    Ensemble,
    /// `DigestAuthenticationProvider`: scheme `digest`, there anyway.
    Digest,
    /// `IPAuthenticationProvider`: scheme `ip`, there anyway.
    Ip,
}

impl AuthProvider {
    /// The provider of a Java class name.
    pub fn of_class(class: &str) -> Option<Self> {
        Some(match class.strip_prefix("org.apache.zookeeper.server.auth.")? {
            "SASLAuthenticationProvider" => AuthProvider::Sasl,
            "X509AuthenticationProvider" => AuthProvider::X509,
            "EnsembleAuthenticationProvider" => AuthProvider::Ensemble,
            "DigestAuthenticationProvider" => AuthProvider::Digest,
            "IPAuthenticationProvider" => AuthProvider::Ip,
            _ => return None,
        })
    }

    /// The scheme it answers for.
    pub fn scheme(self) -> &'static str {
        match self {
            AuthProvider::Sasl => "sasl",
            AuthProvider::X509 => "x509",
            AuthProvider::Ensemble => "ensemble",
            AuthProvider::Digest => "digest",
            AuthProvider::Ip => "ip",
        }
    }
}

/// Authentication and authorisation of clients.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthSettings {
    /// `authProvider.*`: extra providers by their suffix.
    pub providers: Vec<(String, AuthProvider)>,
    /// `skipACL`: no ACL checks; only for the exact text `yes`.
    pub skip_acl: bool,
    /// `enableEagerACLCheck`.
    pub eager_acl_check: bool,
    /// `DigestAuthenticationProvider.enabled`.
    pub digest_enabled: bool,
    /// `DigestAuthenticationProvider.digestAlg`, a JCA name.
    pub digest_algorithm: String,
    /// `DigestAuthenticationProvider.superDigest`, `user:base64`.
    pub super_digest: Option<Secret>,
    /// `IPAuthenticationProvider.usexforwardedfor`.
    pub use_x_forwarded_for: bool,
    /// `X509AuthenticationProvider.superUser`: exact DN.
    pub x509_super_user: Option<String>,
    /// `ssl.authProvider`: the scheme of clients' certificates.
    pub certificate_scheme: String,
    /// `superUser`, `superUser.*`: SASL ids that become super.
    pub super_users: Vec<String>,
    /// `SASLAuthenticationProvider.superPassword`.
    pub sasl_super_password: Option<Secret>,
    /// `letAnySaslUserDoX`.
    pub let_any_sasl_user_do_x: Option<String>,
    /// `ensembleAuthName`, split at commas, trimmed; `None` accepts every name.
    pub ensemble_auth_names: Option<Vec<String>>,
    /// `sessionRequireClientSASLAuth`.
    pub session_require_sasl: bool,
    /// Schemes of which a session needs one: `enforce.auth.schemes` if `enforce.auth.enabled`,
    /// `sasl` if `sessionRequireClientSASLAuth`; empty: none.
    pub required_schemes: Vec<String>,
    /// `allowSaslFailedClients`.
    pub allow_sasl_failed_clients: bool,
    /// `sasl.serverconfig`.
    pub sasl_section: String,
    /// Whether `sasl.serverconfig` was given.
    pub sasl_section_given: bool,
    /// `java.security.auth.login.config` (`-D` only).
    pub jaas_file: Option<PathBuf>,
    /// `fips-mode`.
    pub fips_mode: bool,
}

impl AuthSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let digest_enabled = p.flag("DigestAuthenticationProvider.enabled", true);
        let digest_algorithm = p.text_or("DigestAuthenticationProvider.digestAlg", "SHA1");
        if digest_enabled && DigestAlgorithm::from_java_name(&digest_algorithm).is_none() {
            return Err(ConfigError::new(
                Kind::Unexpected,
                format!("don't support this ACL digest algorithm: {digest_algorithm}"),
            )
            .at(p.table().place("zookeeper.DigestAuthenticationProvider.digestAlg"))
            .allowed("SHA1, SHA-256, SHA-512, SHA3-256 and their sisters, MD5"));
        }
        let mut providers = Vec::new();
        for (name, class) in p.table().with_prefix("zookeeper.authProvider.") {
            let suffix = name.trim_start_matches("zookeeper.authProvider.").to_owned();
            match AuthProvider::of_class(class) {
                Some(provider) => providers.push((suffix, provider)),
                None => p.warn(format!(
                    "Problems loading {class}: only the built-in providers exist here ({name})"
                )),
            }
        }
        let super_users = p.table().with_prefix("zookeeper.superUser");
        let super_users = super_users
            .into_iter()
            .filter(|(name, _)| {
                *name == "zookeeper.superUser" || name.starts_with("zookeeper.superUser.")
            })
            .map(|(_, user)| user.to_owned())
            .collect();
        let session_require_sasl = p.flag("sessionRequireClientSASLAuth", false);
        let required_schemes =
            required_schemes(p, session_require_sasl, digest_enabled, &providers)?;
        let section = p.text("sasl.serverconfig");
        Ok(Self {
            providers,
            skip_acl: p.text_or("skipACL", "no") == "yes",
            eager_acl_check: p.flag("enableEagerACLCheck", false),
            digest_enabled,
            digest_algorithm,
            super_digest: p.text("DigestAuthenticationProvider.superDigest").map(Secret::new),
            use_x_forwarded_for: p.flag("IPAuthenticationProvider.usexforwardedfor", false),
            x509_super_user: p.text("X509AuthenticationProvider.superUser"),
            certificate_scheme: p.text_or("ssl.authProvider", "x509"),
            super_users,
            sasl_super_password: p
                .text("SASLAuthenticationProvider.superPassword")
                .map(Secret::new),
            let_any_sasl_user_do_x: p.text("letAnySaslUserDoX"),
            ensemble_auth_names: p.text("ensembleAuthName").map(|names| list(&names)),
            session_require_sasl,
            required_schemes,
            allow_sasl_failed_clients: p.flag("allowSaslFailedClients", false),
            sasl_section_given: section.is_some(),
            sasl_section: section.unwrap_or_else(|| "Server".to_owned()),
            jaas_file: p.table().get("java.security.auth.login.config").map(PathBuf::from),
            fips_mode: p.flag("fips-mode", true),
        })
    }
}

/// Comma list, blanks trimmed, empty members dropped.
pub(super) fn list(text: &str) -> Vec<String> {
    text.split(',').map(java_trim).filter(|s| !s.is_empty()).map(str::to_owned).collect()
}

/// `AuthenticationHelper`: what is enforced, and whether it can be had.
fn required_schemes(
    p: &Reader<'_>,
    sasl: bool,
    digest_enabled: bool,
    providers: &[(String, AuthProvider)],
) -> Result<Vec<String>, ConfigError> {
    let enforced = p.flag("enforce.auth.enabled", false);
    let schemes = p.text("enforce.auth.schemes");
    if sasl {
        // Whether SASL is there is only known once the JAAS file is read.
        return Ok(vec!["sasl".to_owned()]);
    }
    if !enforced {
        return Ok(Vec::new());
    }
    let mut available = vec!["ip"];
    available.extend(digest_enabled.then_some("digest"));
    available.extend(providers.iter().map(|(_, provider)| provider.scheme()));
    let Some(schemes) = schemes else {
        return Err(ConfigError::new(
            Kind::Arguments,
            "zookeeper.enforce.auth.enabled is true zookeeper.enforce.auth.schemes must be  \
                configured.",
        )
        .at(p.table().place("zookeeper.enforce.auth.enabled"))
        .allowed(available.join(", ")));
    };
    let wanted: Vec<String> = schemes.split(',').map(|s| java_trim(s).to_owned()).collect();
    match wanted.iter().find(|scheme| !available.contains(&scheme.as_str())) {
        None => Ok(wanted),
        Some(scheme) => Err(ConfigError::new(
            Kind::Arguments,
            format!("Authentication scheme {scheme} is not available."),
        )
        .at(p.table().place("zookeeper.enforce.auth.schemes"))
        .allowed(available.join(", "))),
    }
}

/// Election and replication.
#[derive(Debug, Clone, PartialEq)]
pub struct ElectionSettings {
    /// `leaderServes`: off only for the exact text `no`.
    pub leader_serves: bool,
    /// `cnxTimeout`, ms.
    pub cnx_timeout_ms: i32,
    /// `quorumCnxnTimeoutMs`; -1: `tickTime` × `syncLimit`.
    pub quorum_cnxn_timeout_ms: i32,
    /// `tcpKeepAlive`.
    pub tcp_keep_alive: bool,
    /// `electionPortBindRetry`; 0: for ever.
    pub port_bind_retry: i32,
    /// `fastleader.minNotificationInterval`, ms.
    pub min_notification_ms: i32,
    /// `fastleader.maxNotificationInterval`, ms.
    pub max_notification_ms: i32,
    /// `leader.maxTimeToWaitForEpoch`, ms; below 0: off.
    pub max_wait_for_epoch_ms: i32,
    /// `leader.ackLoggingFrequency`; 0 and below: off.
    pub ack_logging_frequency: i32,
    /// `leader.maxConcurrentSnapSyncs`.
    pub max_snap_syncs: i32,
    /// `leader.maxConcurrentDiffSyncs`.
    pub max_diff_syncs: i32,
    /// `forceSnapshotSync`.
    pub force_snapshot_sync: bool,
    /// `leaderConnectDelayDuringRetryMs`.
    pub connect_delay_ms: i32,
    /// `leader.nodelay` (`-D` only).
    pub leader_nodelay: bool,
    /// `follower.nodelay` (`-D` only).
    pub follower_nodelay: bool,
    /// `observer.reconnectDelayMs`.
    pub observer_reconnect_delay_ms: i64,
    /// `observer.election.DelayMs`.
    pub observer_election_delay_ms: i64,
    /// `messageTracker.BufferSize`.
    pub tracker_buffer_size: i32,
    /// `messageTracker.Enabled`.
    pub tracker_enabled: bool,
    /// `testingonly.initialZxid` (`-D` only): low half of the first zxid.
    pub testing_initial_zxid: Option<i64>,
}

impl ElectionSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let mut port_bind_retry = p.int("electionPortBindRetry", 3);
        if port_bind_retry < 0 {
            p.info(format!(
                "'zookeeper.electionPortBindRetry' contains invalid value: \
                {port_bind_retry}(must be >= 0). Use default value of 3 instead."
            ));
            port_bind_retry = 3;
        }
        let cnx_timeout_ms = match p.text("cnxTimeout") {
            None => 5000,
            Some(text) => parse_i32(&text).ok_or_else(|| {
                ConfigError::new(Kind::Unexpected, format!("For input string: \"{text}\""))
                    .at(p.table().place("zookeeper.cnxTimeout"))
                    .allowed("a whole number of milliseconds")
            })?,
        };
        let exact = |name: &str| p.table().get(name).is_none_or(|value| value == "true");
        let (leader_nodelay, follower_nodelay) =
            (exact("leader.nodelay"), exact("follower.nodelay"));
        let testing_initial_zxid =
            p.table().get("zookeeper.testingonly.initialZxid").and_then(parse_i64);
        Ok(Self {
            leader_serves: p.text_or("leaderServes", "yes") != "no",
            cnx_timeout_ms,
            quorum_cnxn_timeout_ms: p.int("quorumCnxnTimeoutMs", -1),
            tcp_keep_alive: p.flag("tcpKeepAlive", false),
            port_bind_retry,
            min_notification_ms: p.int("fastleader.minNotificationInterval", 200),
            max_notification_ms: p.int("fastleader.maxNotificationInterval", 60_000),
            max_wait_for_epoch_ms: p.int("leader.maxTimeToWaitForEpoch", -1),
            ack_logging_frequency: p.int("leader.ackLoggingFrequency", 1000),
            max_snap_syncs: p.int("leader.maxConcurrentSnapSyncs", 10),
            max_diff_syncs: p.int("leader.maxConcurrentDiffSyncs", 100),
            force_snapshot_sync: p.flag("forceSnapshotSync", false),
            connect_delay_ms: p.int("leaderConnectDelayDuringRetryMs", 100),
            leader_nodelay,
            follower_nodelay,
            observer_reconnect_delay_ms: p.long("observer.reconnectDelayMs", 0),
            observer_election_delay_ms: p.long("observer.election.DelayMs", 200),
            tracker_buffer_size: p.int("messageTracker.BufferSize", 10),
            tracker_enabled: p.flag("messageTracker.Enabled", false),
            testing_initial_zxid,
        })
    }
}

/// The HTTP command server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// `admin.enableServer`: off only for the exact text `false`.
    pub enabled: bool,
    /// `admin.serverAddress`.
    pub address: String,
    /// `admin.serverPort`.
    pub port: i32,
    /// `admin.idleTimeout`, ms.
    pub idle_timeout_ms: i32,
    /// `admin.commandURL`.
    pub command_url: String,
    /// `admin.portUnification`.
    pub port_unification: bool,
    /// `admin.forceHttps`.
    pub force_https: bool,
    /// `admin.needClientAuth`.
    pub need_client_auth: bool,
    /// `admin.rateLimiterIntervalInMS`, between two snapshots and between two restores.
    pub rate_limit_ms: i32,
    /// `admin.snapshot.enabled`.
    pub snapshot_enabled: bool,
    /// `admin.restore.enabled`.
    pub restore_enabled: bool,
}

impl AdminSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Self {
        Self {
            enabled: p.text_or("admin.enableServer", "true") != "false",
            address: p.text_or("admin.serverAddress", "0.0.0.0"),
            port: p.int("admin.serverPort", 8080),
            idle_timeout_ms: p.int("admin.idleTimeout", 30_000),
            command_url: p.text_or("admin.commandURL", "/commands"),
            port_unification: p.flag("admin.portUnification", false),
            force_https: p.flag("admin.forceHttps", false),
            need_client_auth: p.flag("admin.needClientAuth", false),
            rate_limit_ms: p.int("admin.rateLimiterIntervalInMS", 300_000),
            snapshot_enabled: p.flag("admin.snapshot.enabled", true),
            restore_enabled: p.flag("admin.restore.enabled", true),
        }
    }
}

/// Audit log and path statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitoringSettings {
    /// `audit.enable`.
    pub audit_enabled: bool,
    /// `pathStats.*`, if `pathStats.enabled`.
    pub path_stats: Option<PathStatsSettings>,
}

/// `pathStats.*`.
#[derive(Debug, Clone, PartialEq)]
pub struct PathStatsSettings {
    /// `pathStats.slotCapacity`.
    pub slot_capacity: i32,
    /// `pathStats.slotDuration`, s.
    pub slot_duration_s: i32,
    /// `pathStats.maxDepth`.
    pub max_depth: i32,
    /// `pathStats.sampleRate`.
    pub sample_rate: f64,
    /// `pathStats.initialDelay`, minutes.
    pub initial_delay_min: i32,
    /// `pathStats.delay`, minutes.
    pub delay_min: i32,
    /// `pathStats.topPathMax`.
    pub top_path_max: i32,
}

impl MonitoringSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Result<Self, ConfigError> {
        let audit_enabled = p.flag("audit.enable", false);
        let class = check_class(
            p,
            "audit.impl.class",
            &["org.apache.zookeeper.audit.Slf4jAuditLogger".to_owned()],
            |class| format!("audit log class {class} cannot be loaded"),
            Kind::Unexpected,
        );
        if audit_enabled {
            class?;
        }
        let stats = PathStatsSettings {
            slot_capacity: p.int("pathStats.slotCapacity", 60),
            slot_duration_s: p.int("pathStats.slotDuration", 15),
            max_depth: p.int("pathStats.maxDepth", 6),
            sample_rate: p.double("pathStats.sampleRate", 0.1),
            initial_delay_min: p.int("pathStats.initialDelay", 5),
            delay_min: p.int("pathStats.delay", 5),
            top_path_max: p.int("pathStats.topPathMax", 20),
        };
        let path_stats = p.flag("pathStats.enabled", false).then_some(stats);
        Ok(Self { audit_enabled, path_stats })
    }
}

/// What `conf/logback.xml` reads from properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggingSettings {
    /// `zookeeper.console.threshold`: OFF, ERROR, WARN, INFO, DEBUG, TRACE or ALL.
    pub console_threshold: String,
    /// `zookeeper.log.dir`.
    pub dir: String,
    /// `zookeeper.log.file`.
    pub file: String,
    /// `zookeeper.log.threshold`.
    pub file_threshold: String,
    /// `zookeeper.auditlog.file`.
    pub audit_file: String,
}

impl LoggingSettings {
    pub(super) fn read(p: &mut Reader<'_>) -> Self {
        Self {
            console_threshold: p.text_or("console.threshold", "INFO"),
            dir: p.text_or("log.dir", "."),
            file: p.text_or("log.file", "zookeeper.log"),
            file_threshold: p.text_or("log.threshold", "INFO"),
            audit_file: p.text_or("auditlog.file", "zookeeper_audit.log"),
        }
    }
}
