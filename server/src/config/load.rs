//! From files and flags to a [`Config`] (`QuorumPeerConfig`, `ServerConfig`).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Kind, Level, Notice, Place};
use super::flags::JvmFlags;
use super::members::{Membership, Role, is_group_or_weight, port_in_range};
use super::names::{DEAD, ELSEWHERE, JVM_ONLY, KERBEROS, KEYS_ONLY, listed};
use super::properties::{JavaProperties, java_trim, masked};
use super::table::{PropertyTable, Reader, Source, is_secret, parse_i32, parse_i64, shown};
use super::*;

/// Keys of `zoo.cfg` with a meaning of their own; all others become `zookeeper.<key>`.
const TYPED: &[&str] = &[
    "dataDir",
    "dataLogDir",
    "clientPort",
    "localSessionsEnabled",
    "localSessionsUpgradingEnabled",
    "clientPortAddress",
    "secureClientPort",
    "secureClientPortAddress",
    "observerMasterPort",
    "clientPortListenBacklog",
    "tickTime",
    "maxClientCnxns",
    "minSessionTimeout",
    "maxSessionTimeout",
    "initLimit",
    "syncLimit",
    "connectToLearnerMasterLimit",
    "electionAlg",
    "quorumListenOnAllIPs",
    "peerType",
    "syncEnabled",
    "dynamicConfigFile",
    "autopurge.snapRetainCount",
    "autopurge.purgeInterval",
    "standaloneEnabled",
    "reconfigEnabled",
    "sslQuorum",
    "portUnification",
    "sslQuorumReloadCertFiles",
    "quorum.auth.enableSasl",
    "quorum.auth.serverRequireSasl",
    "quorum.auth.learnerRequireSasl",
    "quorum.auth.learner.saslLoginContext",
    "quorum.auth.server.saslLoginContext",
    "quorum.auth.kerberos.servicePrincipal",
    "quorum.cnxn.threads.size",
    "jvm.pause.monitor",
    "jvm.pause.warn-threshold.ms",
    "jvm.pause.info-threshold.ms",
    "jvm.pause.sleep.time.ms",
    "multiAddress.enabled",
    "multiAddress.reachabilityCheckTimeoutMs",
    "multiAddress.reachabilityCheckEnabled",
    "oraclePath",
];

/// Typed keys that size Java's threads and queues.
const TYPED_NO_EFFECT: &[&str] = &[
    "quorum.cnxn.threads.size",
    "metricsProvider.numWorkerThreads",
    "metricsProvider.maxQueueSize",
    "metricsProvider.workerShutdownTimeoutMs",
];

const METRICS: &str = "metricsProvider.";

/// The entries of one file, trimmed, with their places.
struct Keys {
    file: Option<PathBuf>,
    entries: Vec<(String, String, usize)>,
}

impl Keys {
    fn read(path: &Path) -> Result<(Self, String), ConfigError> {
        let wrong =
            |text: String| ConfigError { file: Some(path.into()), ..ConfigError::config(text) };
        let bytes = fs::read(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => wrong(format!("{} file is missing", path.display())),
            _ => wrong(error.to_string()),
        })?;
        let properties = JavaProperties::parse(&bytes).map_err(|e| wrong(e.to_string()))?;
        let trimmed = properties.entries().iter().map(|entry| {
            (java_trim(&entry.key).to_owned(), java_trim(&entry.value).to_owned(), entry.line)
        });
        let keys = Self { file: Some(path.into()), entries: trimmed.collect() };
        Ok((keys, masked(&bytes, is_secret)))
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|(k, ..)| k == key).map(|(_, value, _)| value.as_str())
    }

    fn place(&self, key: &str) -> Option<Place> {
        let (key, value, line) = self.entries.iter().rev().find(|(k, ..)| k == key)?;
        Some(Place {
            file: self.file.clone(),
            line: Some(*line),
            key: key.clone(),
            value: shown(key, value),
        })
    }

    fn text(&self, key: &str, default: &str) -> String {
        self.get(key).unwrap_or(default).to_owned()
    }

    fn number<T>(
        &self,
        key: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.get(key) else { return Ok(None) };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(ConfigError::config(format!("For input string: \"{text}\""))
                .at(self.place(key))
                .allowed(allowed)),
        }
    }

    fn int(&self, key: &str) -> Result<Option<i32>, ConfigError> {
        self.number(key, "a whole number, -2147483648 to 2147483647", parse_i32)
    }

    fn long(&self, key: &str) -> Result<Option<i64>, ConfigError> {
        self.number(key, "a whole number", parse_i64)
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ConfigError> {
        match self.get(key) {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(ConfigError::config(format!(
                "Invalid option {text} for {key}. Choose 'true' or 'false.'"
            ))
            .at(self.place(key))
            .allowed("true, false")),
        }
    }

    fn port(&self, key: &str) -> Result<Option<u16>, ConfigError> {
        let Some(port) = self.int(key)? else { return Ok(None) };
        port_in_range(port).map(Some).map_err(|error| error.at(self.place(key)))
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.entries.iter().map(|(key, value, _)| (key.as_str(), value.as_str()))
    }
}

/// `InetAddress.getByName`: IPv4 first.
pub(super) fn resolve(host: &str, port: u16) -> Result<SocketAddr, ConfigError> {
    let unknown = || ConfigError::config(format!("{host}: Name or service not known"));
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if bare.is_empty() {
        return Ok((IpAddr::from([127, 0, 0, 1]), port).into());
    }
    let found: Vec<_> = (bare, port).to_socket_addrs().map_err(|_| unknown())?.collect();
    let ipv4 = found.iter().find(|address| address.is_ipv4());
    ipv4.or(found.first()).copied().ok_or_else(unknown)
}

/// A port and an address key as one listener.
fn listener(
    keys: &Keys,
    port_key: &str,
    address_key: &str,
) -> Result<Option<SocketAddr>, ConfigError> {
    match (keys.port(port_key)?, keys.get(address_key)) {
        (None, None) => Ok(None),
        (None, Some(_)) => {
            Err(ConfigError::config(format!("{address_key} is set but {port_key} is not set"))
                .at(keys.place(address_key)))
        }
        (Some(port), None) => Ok(Some((Ipv4Addr::UNSPECIFIED, port).into())),
        (Some(port), Some(host)) => {
            let resolved = resolve(host, port).map_err(|error| {
                error.at(keys.place(address_key)).allowed("an address of this host or its name")
            });
            resolved.map(Some)
        }
    }
}

impl Config {
    /// Reads `zoo.cfg`, the dynamic file it names, and `myid`.
    ///
    /// Errors name file, line, key and value; their texts contain Java's.
    pub fn load(file: &Path, flags: &JvmFlags) -> Result<Self, ConfigError> {
        let mut notices = vec![Notice {
            level: Level::Info,
            text: format!("Reading configuration from: {}", file.display()),
        }];
        let (keys, text) = Keys::read(file)?;
        Self::build(&keys, Some(text), flags, &mut notices)
            .map(|config| Self { notices, ..config })
            .map_err(|error| match (&error.place, &error.file) {
                (None, None) => ConfigError { file: Some(file.into()), ..error },
                _ => error,
            })
    }

    /// The positional form: `port dataDir [tickTime] [maxcnxns]`.
    pub fn from_arguments(arguments: &[String], flags: &JvmFlags) -> Result<Self, ConfigError> {
        if !(2..=4).contains(&arguments.len()) {
            return Err(ConfigError::new(
                Kind::Arguments,
                format!("Invalid number of arguments:[{}]", arguments.join(", ")),
            ));
        }
        let names = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
        let mut entries: Vec<_> = names
            .iter()
            .zip(arguments)
            .map(|(name, value)| ((*name).to_owned(), value.clone(), 0))
            .collect();
        if arguments.len() < 4 {
            entries.push(("maxClientCnxns".to_owned(), "0".to_owned(), 0));
        }
        let keys = Keys { file: None, entries };
        let mut notices = Vec::new();
        Self::build(&keys, None, flags, &mut notices)
            .map(|config| Self { notices, ..config })
            .map_err(|error| ConfigError { kind: Kind::Arguments, ..error })
    }

    fn build(
        keys: &Keys,
        initial_text: Option<String>,
        flags: &JvmFlags,
        notices: &mut Vec<Notice>,
    ) -> Result<Self, ConfigError> {
        let properties = merge(keys, flags);
        notices.extend(flags.notices());
        let (tick_time, min_session_timeout, max_session_timeout) = session_times(keys)?;
        let data_dir = directory(keys, "dataDir", notices)
            .ok_or_else(|| ConfigError::config("dataDir is not set"))?;
        let data_log_dir =
            directory(keys, "dataLogDir", notices).unwrap_or_else(|| data_dir.clone());
        let client = listener(keys, "clientPort", "clientPortAddress")?;
        let secure = listener(keys, "secureClientPort", "secureClientPortAddress")?;
        let unified_tls = properties
            .get("zookeeper.client.portUnification")
            .is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let client_tls_used = secure.is_some() || unified_tls;
        let properties = ssl_provider(properties, client_tls_used)?;
        let mut ensemble = ensemble(keys, &properties)?;
        let snap_retain_count = snap_retain_count(keys, notices)?;
        let metrics_provider = metrics_provider(keys)?;
        let pause_monitor = PauseMonitorConfig {
            enabled: keys.flag("jvm.pause.monitor")?.unwrap_or(false),
            warn_ms: keys.long("jvm.pause.warn-threshold.ms")?.unwrap_or(10_000),
            info_ms: keys.long("jvm.pause.info-threshold.ms")?.unwrap_or(1000),
            sleep_ms: keys.long("jvm.pause.sleep.time.ms")?.unwrap_or(500),
        };
        let _ = keys.int("quorum.cnxn.threads.size")?;

        read_members(keys, &properties, &mut ensemble, notices)?;
        let my_id = my_id(&data_dir)?;
        let client_address = own_client_address(&mut ensemble, my_id, client)?;
        own_role(keys, &mut ensemble, my_id, notices)?;

        let admin_tls = ["zookeeper.admin.portUnification", "zookeeper.admin.forceHttps"]
            .iter()
            .any(|name| properties.get(name).is_some_and(|v| v.eq_ignore_ascii_case("true")));
        let mut reader = Reader::new(&properties, notices);
        let p = &mut reader;
        let quorum_tls_used = ensemble.ssl_quorum || ensemble.port_unification || admin_tls;
        let storage = StorageSettings::read(p);
        let limits = LimitSettings::read(p)?;
        let client_io = ClientIoSettings::read(p)?;
        let auth = AuthSettings::read(p)?;
        let election = ElectionSettings::read(p)?;
        let admin = AdminSettings::read(p);
        let client_tls = TlsSettings::read(p, "ssl.", false, client_tls_used)?;
        if client_tls_used {
            client_tls.check_client_names(p, auth.fips_mode)?;
        }
        let quorum_tls = TlsSettings::read(p, "ssl.quorum.", true, quorum_tls_used)?;
        if ensemble.ssl_quorum && auth.fips_mode && quorum_tls.hostname_verification {
            p.info(
                "fips-mode=true, the default: any trusted certificate is accepted from a peer, \
                 whatever names it has"
                    .to_owned(),
            );
        }
        if ensemble.sasl.learner_require && auth.fips_mode {
            return Err(ConfigError::new(
                Kind::Unexpected,
                "servers cannot log in with DIGEST-MD5 while fips-mode is true, which is the \
                 default",
            )
            .at(keys.place("quorum.auth.learnerRequireSasl"))
            .allowed("fips-mode=false on every server, or false"));
        }
        let monitoring = MonitoringSettings::read(p)?;
        let logging = LoggingSettings::read(p);
        let config = Self {
            file: keys.file.clone(),
            initial_text,
            tick_time,
            data_dir,
            data_log_dir,
            client_address,
            secure_client_address: secure,
            client_port_listen_backlog: keys.int("clientPortListenBacklog")?.unwrap_or(-1),
            max_client_cnxns: keys.int("maxClientCnxns")?.unwrap_or(60),
            min_session_timeout,
            max_session_timeout,
            local_sessions_enabled: keys.flag("localSessionsEnabled")?.unwrap_or(false),
            local_sessions_upgrading_enabled: keys
                .flag("localSessionsUpgradingEnabled")?
                .unwrap_or(false),
            snap_retain_count,
            purge_interval_hours: keys.int("autopurge.purgeInterval")?.unwrap_or(0),
            my_id,
            ensemble,
            metrics_provider,
            pause_monitor,
            storage,
            limits,
            client_io,
            auth,
            election,
            admin,
            client_tls,
            quorum_tls,
            monitoring,
            logging,
            properties,
            notices: Vec::new(),
        };
        config.check_ensemble()?;
        notices.extend(without_effect(keys, &config.properties));
        Ok(config)
    }

    /// `QuorumPeerConfig.checkValidity`.
    fn check_ensemble(&self) -> Result<(), ConfigError> {
        let ensemble = &self.ensemble;
        if self.limits.extended_types && self.my_id.is_some_and(|id| id > 254) {
            return Err(ConfigError::new(
                Kind::Unexpected,
                "server id too large for extended node types",
            )
            .at(self.properties.place("zookeeper.extendedTypesEnabled"))
            .allowed("with extendedTypesEnabled a myid up to 254"));
        }
        if !self.is_distributed() {
            return Ok(());
        }
        let Some(my_id) = self.my_id else {
            return Err(ConfigError::config("myid file is missing").allowed(format!(
                "a file {} with this server's number",
                self.data_dir.join("myid").display()
            )));
        };
        if ensemble.init_limit == 0 {
            return Err(ConfigError::config("initLimit is not set").allowed("a number of ticks"));
        }
        if ensemble.sync_limit == 0 {
            return Err(ConfigError::config("syncLimit is not set").allowed("a number of ticks"));
        }
        if !ensemble.membership.members.contains_key(&my_id) {
            return Err(ConfigError::new(
                Kind::Unexpected,
                format!("My id {my_id} not in the peer list"),
            )
            .allowed("a server.N line for the number in myid"));
        }
        Ok(())
    }
}

/// Every system property: flags first, keys of the file over them.
fn merge(keys: &Keys, flags: &JvmFlags) -> PropertyTable {
    let mut table = PropertyTable::default();
    for (name, value) in &flags.properties {
        table.set(name, value, Source::CommandLine);
    }
    for (key, value) in keys.pairs() {
        if TYPED.contains(&key) || key.starts_with(METRICS) {
            continue;
        }
        let place = keys.place(key).expect("an entry of this file");
        let name = format!("zookeeper.{key}");
        table.set(&name, value, Source::File(place));
        if key.starts_with("server.") || is_group_or_weight(key) {
            table.get(&name);
        }
    }
    table
}

fn session_times(keys: &Keys) -> Result<(i32, i32, i32), ConfigError> {
    let tick_time = keys.int("tickTime")?.unwrap_or(3000);
    if tick_time == 0 {
        return Err(ConfigError::config("tickTime is not set")
            .at(keys.place("tickTime"))
            .allowed("1 and above, milliseconds"));
    }
    let ticks = |key, factor: i32| {
        Ok::<_, ConfigError>(match keys.int(key)? {
            None | Some(-1) => tick_time.saturating_mul(factor),
            Some(ms) => ms,
        })
    };
    let (min, max) = (ticks("minSessionTimeout", 2)?, ticks("maxSessionTimeout", 20)?);
    if min > max {
        let blamed = ["minSessionTimeout", "maxSessionTimeout", "tickTime"];
        let text = "minSessionTimeout must not be larger than maxSessionTimeout";
        return Err(ConfigError::config(text)
            .at(blamed.iter().find_map(|key| keys.place(key)))
            .allowed(format!("minSessionTimeout ({min}) up to maxSessionTimeout ({max})")));
    }
    if tick_time < 0 {
        return Err(ConfigError::config("tickTime must be above 0")
            .at(keys.place("tickTime"))
            .allowed("1 and above, milliseconds"));
    }
    Ok((tick_time, min, max))
}

fn directory(keys: &Keys, key: &str, notices: &mut Vec<Notice>) -> Option<PathBuf> {
    let path = PathBuf::from(keys.get(key)?);
    if !path.is_absolute() {
        let text =
            format!("{} is relative. Prepend ./ to indicate that you're sure!", path.display());
        if !path.starts_with(".") {
            notices.push(Notice { level: Level::Warn, text });
        }
    }
    Some(path)
}

fn snap_retain_count(keys: &Keys, notices: &mut Vec<Notice>) -> Result<i32, ConfigError> {
    let count = keys.int("autopurge.snapRetainCount")?.unwrap_or(3);
    if count < 3 {
        let text = format!("Invalid autopurge.snapRetainCount: {count}. Defaulting to 3");
        notices.push(Notice { level: Level::Warn, text });
    }
    Ok(count.max(3))
}

/// With a TLS port, the provider that checks certificates must be there (`configureSSLAuth`).
fn ssl_provider(mut table: PropertyTable, secure: bool) -> Result<PropertyTable, ConfigError> {
    let scheme = table.get("zookeeper.ssl.authProvider").unwrap_or("x509").to_owned();
    let name = format!("zookeeper.authProvider.{scheme}");
    if secure && table.get(&name).is_none() {
        if scheme != "x509" {
            return Err(ConfigError::config(format!(
                "No auth provider configured for the SSL authentication scheme '{scheme}'."
            ))
            .at(table.place("zookeeper.ssl.authProvider"))
            .allowed(format!("x509, or a scheme with a key authProvider.{scheme}")));
        }
        let class = "org.apache.zookeeper.server.auth.X509AuthenticationProvider";
        table.set(name, class, Source::Server);
    }
    Ok(table)
}

fn ensemble(keys: &Keys, properties: &PropertyTable) -> Result<EnsembleConfig, ConfigError> {
    if keys.int("electionAlg")?.unwrap_or(3) != 3 {
        let text = "Invalid electionAlg value. Only 3 is supported.";
        return Err(ConfigError::config(text).at(keys.place("electionAlg")).allowed("3"));
    }
    let dashed = |name: &str| properties.get(name);
    let truth = |text: &str| text.eq_ignore_ascii_case("true");
    let multi_address = dashed("zookeeper.multiAddress.enabled").is_some_and(truth);
    let multi_check = dashed("zookeeper.multiAddress.reachabilityCheckEnabled").is_none_or(truth);
    let timeout = match dashed("zookeeper.multiAddress.reachabilityCheckTimeoutMs") {
        None => 1000,
        Some(text) => parse_i32(text).ok_or_else(|| {
            ConfigError::config(format!("For input string: \"{text}\""))
                .at(properties.place("zookeeper.multiAddress.reachabilityCheckTimeoutMs"))
                .allowed("a whole number of milliseconds")
        })?,
    };
    let sync_enabled = keys.flag("syncEnabled")?.unwrap_or(true);
    let observer_master_port = match keys.int("observerMasterPort")? {
        Some(port) if port > 0 => keys.port("observerMasterPort")?,
        _ => None,
    };
    let flag = |key| Ok::<_, ConfigError>(keys.flag(key)?.unwrap_or(false));
    let ensemble = EnsembleConfig {
        membership: Membership::default(),
        last_seen: None,
        dynamic_file: keys.get("dynamicConfigFile").map(PathBuf::from),
        role: Role::Participant,
        init_limit: keys.int("initLimit")?.unwrap_or(0),
        sync_limit: keys.int("syncLimit")?.unwrap_or(0),
        connect_to_learner_master_limit: keys.int("connectToLearnerMasterLimit")?.unwrap_or(0),
        listen_on_all_ips: flag("quorumListenOnAllIPs")?,
        sync_enabled: dashed("zookeeper.observer.syncEnabled").map_or(sync_enabled, truth),
        standalone_enabled: keys.flag("standaloneEnabled")?.unwrap_or(true),
        reconfig_enabled: flag("reconfigEnabled")?,
        observer_master_port,
        oracle_path: keys.get("oraclePath").map(PathBuf::from),
        multi_address_enabled: keys.flag("multiAddress.enabled")?.unwrap_or(multi_address),
        multi_address_timeout_ms: keys
            .int("multiAddress.reachabilityCheckTimeoutMs")?
            .unwrap_or(timeout),
        multi_address_check: keys
            .flag("multiAddress.reachabilityCheckEnabled")?
            .unwrap_or(multi_check),
        ssl_quorum: flag("sslQuorum")?,
        port_unification: flag("portUnification")?,
        ssl_quorum_reload: flag("sslQuorumReloadCertFiles")?,
        sasl: QuorumSaslConfig {
            enabled: flag("quorum.auth.enableSasl")?,
            server_require: flag("quorum.auth.serverRequireSasl")?,
            learner_require: flag("quorum.auth.learnerRequireSasl")?,
            learner_context: keys.text("quorum.auth.learner.saslLoginContext", "QuorumLearner"),
            server_context: keys.text("quorum.auth.server.saslLoginContext", "QuorumServer"),
        },
    };
    let sasl = &ensemble.sasl;
    let needs = |missing: &str, wanted: &str| {
        let text =
            format!("quorum.auth.{missing} is disabled, so cannot enable quorum.auth.{wanted}");
        Err(ConfigError::config(text)
            .at(keys.place(&format!("quorum.auth.{wanted}")))
            .allowed(format!("false, or quorum.auth.{missing}=true")))
    };
    match (sasl.enabled, sasl.server_require, sasl.learner_require) {
        (false, true, _) => needs("enableSasl", "serverRequireSasl"),
        (false, _, true) => needs("enableSasl", "learnerRequireSasl"),
        (_, true, false) => needs("learnerRequireSasl", "serverRequireSasl"),
        _ => Ok(ensemble),
    }
}

fn metrics_provider(keys: &Keys) -> Result<MetricsProviderConfig, ConfigError> {
    const PACKAGE: &str = "org.apache.zookeeper.metrics.";
    let class = keys.text("metricsProvider.className", "");
    let backend = match class.strip_prefix(PACKAGE).unwrap_or(&class) {
        "" | "impl.DefaultMetricsProvider" => MetricsBackend::Default,
        "prometheus.PrometheusMetricsProvider" => MetricsBackend::Prometheus,
        "impl.NullMetricsProvider" => MetricsBackend::Null,
        _ => {
            let known = ["impl.DefaultMetricsProvider", "prometheus.PrometheusMetricsProvider"];
            let known = known.map(|name| format!("{PACKAGE}{name}")).join(", ");
            return Err(ConfigError::config("metrics provider class was not found")
                .at(keys.place("metricsProvider.className"))
                .allowed(known));
        }
    };
    let own = ["className", "httpHost", "httpPort", "exportJvmInfo"];
    let others = keys.pairs().filter_map(|(key, value)| {
        let name = key.strip_prefix(METRICS)?;
        (!own.contains(&name)).then(|| (name.to_owned(), value.to_owned()))
    });
    Ok(MetricsProviderConfig {
        backend,
        http_host: keys.text("metricsProvider.httpHost", "0.0.0.0"),
        http_port: keys.port("metricsProvider.httpPort")?.unwrap_or(7000),
        export_process_info: keys
            .get("metricsProvider.exportJvmInfo")
            .is_none_or(|value| value.eq_ignore_ascii_case("true")),
        others: others.collect(),
    })
}

/// Members from the static or the dynamic file, and what is wrong with them as a whole.
fn read_members(
    keys: &Keys,
    properties: &PropertyTable,
    ensemble: &mut EnsembleConfig,
    notices: &mut Vec<Notice>,
) -> Result<(), ConfigError> {
    let multi = properties
        .get("zookeeper.multiAddress.enabled")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let oracle = ensemble.oracle_path.is_some();
    let parse = |keys: &Keys| {
        Membership::parse(keys.pairs(), multi, oracle)
            .map_err(|(key, error)| error.at(keys.place(key)))
    };
    match ensemble.dynamic_file.clone() {
        None => {
            // A `version` in the static file would be the membership's, as in Java.
            ensemble.membership = parse(keys)?;
        }
        Some(path) => {
            if let Some((key, _)) =
                keys.pairs().find(|(key, _)| key.starts_with("server.") || is_group_or_weight(key))
            {
                let text = format!("parameter: {key} must be in a separate dynamic config file");
                return Err(ConfigError::config(text)
                    .at(keys.place(key))
                    .allowed("member keys in one place: here, or in dynamicConfigFile"));
            }
            let (dynamic, _) = Keys::read(&path)?;
            check_dynamic(&dynamic)?;
            ensemble.membership = parse(&dynamic)?;
            ensemble.membership.version = version_of_name(&path).unwrap_or(0);
            if let Some(file) = &keys.file {
                ensemble.last_seen = last_seen(file, &parse, notices);
            }
        }
    }
    check_members(ensemble, notices)
}

fn check_dynamic(dynamic: &Keys) -> Result<(), ConfigError> {
    if dynamic.get("version").is_some() {
        let text = "dynamic file shouldn't have version inside";
        return Err(ConfigError::config(text)
            .at(dynamic.place("version"))
            .allowed("the version as hexadecimal end of the file's name"));
    }
    let foreign =
        dynamic.pairs().find(|(key, _)| !key.starts_with("server.") && !is_group_or_weight(key));
    match foreign {
        None => Ok(()),
        Some((key, _)) => Err(ConfigError::config(format!("Unrecognised parameter: {key}"))
            .at(dynamic.place(key))
            .allowed("server.N, group.N, weight.N")),
    }
}

/// The hexadecimal number behind the last dot of a dynamic file's name.
fn version_of_name(path: &Path) -> Option<i64> {
    let name = path.to_str()?;
    i64::from_str_radix(name.rsplit_once('.')?.1, 16).ok()
}

/// `<zoo.cfg>.dynamic.next`; a broken one is only warned about.
fn last_seen(
    file: &Path,
    parse: &impl Fn(&Keys) -> Result<Membership, ConfigError>,
    notices: &mut Vec<Notice>,
) -> Option<Membership> {
    let mut name = file.as_os_str().to_owned();
    name.push(".dynamic.next");
    let path = PathBuf::from(name);
    if !path.exists() {
        return None;
    }
    match Keys::read(&path).and_then(|(keys, _)| parse(&keys)) {
        Ok(membership) => Some(membership),
        Err(error) => {
            let text = format!("NextQuorumVerifier is initiated to null: {error}");
            notices.push(Notice { level: Level::Warn, text });
            None
        }
    }
}

fn check_members(ensemble: &EnsembleConfig, notices: &mut Vec<Notice>) -> Result<(), ConfigError> {
    let voters = ensemble.membership.voters().count();
    let observers = ensemble.membership.observers().count();
    let mut say = |level, text: &str| notices.push(Notice { level, text: text.to_owned() });
    match voters {
        0 if !ensemble.standalone_enabled => Err(ConfigError::config(
            "standaloneEnabled = false then number of participants should be >0",
        )),
        0 if observers > 0 => {
            Err(ConfigError::config("Observers w/o participants is an invalid configuration"))
        }
        0 => Ok(()),
        1 if ensemble.standalone_enabled => {
            say(Level::Error, "Invalid configuration, only one server specified (ignoring)");
            match observers {
                0 => Ok(()),
                _ => Err(ConfigError::config("Observers w/o quorum is an invalid configuration")),
            }
        }
        1 | 2 => {
            say(Level::Warn, "No server failure will be tolerated. You need at least 3 servers.");
            Ok(())
        }
        even if even % 2 == 0 => {
            say(Level::Warn, "Non-optimal configuration, consider an odd number of servers.");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The number in `myid`: first line, nothing trimmed.
fn my_id(data_dir: &Path) -> Result<Option<i64>, ConfigError> {
    let path = data_dir.join("myid");
    if !path.is_file() {
        return Ok(None);
    }
    let wrong =
        |text: String| ConfigError { file: Some(path.clone()), ..ConfigError::config(text) };
    let bytes = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.split(['\n', '\r']).next().filter(|_| !text.is_empty()).unwrap_or("null");
    parse_i64(line)
        .map(Some)
        .ok_or_else(|| wrong(format!("serverid {line} is not a number")).allowed("a whole number"))
}

/// Where we serve clients: by our member line if it says so (`setupClientPort`).
fn own_client_address(
    ensemble: &mut EnsembleConfig,
    my_id: Option<i64>,
    fixed: Option<SocketAddr>,
) -> Result<Option<SocketAddr>, ConfigError> {
    let own = my_id.and_then(|id| ensemble.membership.members.get_mut(&id));
    let (Some(id), Some(member)) = (my_id, own) else { return Ok(fixed) };
    let Some(client) = &member.client else {
        member.client = fixed
            .map(|address| ClientAddress { host: address.ip().to_string(), port: address.port() });
        member.client_from_static = fixed.is_some();
        return Ok(fixed);
    };
    let named = resolve(&client.host, client.port)
        .map_err(|error| error.allowed(format!("a client address of this host in server.{id}")))?;
    let fits = fixed.is_none_or(|fixed| {
        if fixed.ip().is_unspecified() { fixed.port() == named.port() } else { fixed == named }
    });
    if !fits {
        let fixed = fixed.map_or_else(String::new, |address| address.to_string());
        return Err(ConfigError::config(format!(
            "client address for this server (id = {id}) in static config file is {fixed} is \
             different from client address found in dynamic file: {named}"
        ))
        .allowed(format!("the same address in clientPort and server.{id}, or one of them only")));
    }
    Ok(Some(named))
}

/// Our role by the member list; `peerType` is only a hint.
fn own_role(
    keys: &Keys,
    ensemble: &mut EnsembleConfig,
    my_id: Option<i64>,
    notices: &mut Vec<Notice>,
) -> Result<(), ConfigError> {
    let hint = match keys.get("peerType") {
        None => Role::Participant,
        Some(text) => Role::parse(text).map_err(|error| error.at(keys.place("peerType")))?,
    };
    let member = my_id.and_then(|id| ensemble.membership.members.get(&id));
    ensemble.role = member.map_or(Role::Participant, |member| member.role);
    if ensemble.role != hint {
        let text = format!(
            "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to \
                servers list.",
            ensemble.role.java_name(),
            hint.java_name()
        );
        notices.push(Notice { level: Level::Warn, text });
    }
    Ok(())
}

/// One warning for each name that nothing here listens to.
fn without_effect(keys: &Keys, table: &PropertyTable) -> Vec<Notice> {
    let mut notices = Vec::new();
    let mut warn = |text: String| notices.push(Notice { level: Level::Warn, text });
    for (key, ..) in &keys.entries {
        if let (true, Some(place)) = (TYPED_NO_EFFECT.contains(&key.as_str()), keys.place(key)) {
            warn(format!("{place}: accepted, no effect here: it tunes the Java server"));
        }
    }
    if let Some(place) = keys.place("quorum.auth.kerberos.servicePrincipal") {
        warn(format!("{place}: accepted, no effect here: there is no Kerberos"));
    }
    if table.source("zookeeper.nio.numSelectorThreads").is_some() {
        let place = table.place("zookeeper.nio.numSelectorThreads").expect("it has a source");
        warn(format!("{place}: accepted, no effect here: it tunes the Java server"));
    }
    for (name, source) in table.unasked() {
        let Some(place) = table.place(name) else { continue };
        let key = name.strip_prefix("zookeeper.").unwrap_or(name);
        let for_clients = name == "zookeeper.client.secure" && *source == Source::CommandLine;
        if for_clients || listed(ELSEWHERE, name) {
            continue;
        }
        if listed(KERBEROS, name) {
            warn(format!(
                "{place}: accepted, no effect here: there is no Kerberos, and names are taken as \
                 they are"
            ));
        } else if listed(JVM_ONLY, name) {
            warn(format!("{place}: accepted, no effect here: it tunes the Java server"));
        } else if let Some((_, right)) = DEAD.iter().find(|(dead, _)| *dead == key) {
            if name.starts_with("zookeeper.") {
                warn(format!("{place}: no effect, as in the Java server; what works is {right}"));
            }
        } else if let Some(right) = key.strip_prefix("zookeeper.") {
            warn(format!("{place}: no effect: keys are written without prefix, {right}"));
        } else if *source == Source::CommandLine && listed(KEYS_ONLY, name) {
            warn(format!(
                "{place}: no effect: only the key {key} of the configuration file is read"
            ));
        } else if name.starts_with("zookeeper.") {
            warn(format!("{place}: unknown, no effect"));
        }
    }
    notices
}
