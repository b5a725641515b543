//! `rookeeper server`: from the command line to a running server and back (`QuorumPeerMain`,
//! `ZooKeeperServerMain`).

use std::collections::hash_map::RandomState;
use std::env;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::logging::{self, MyId};
use super::notify::{StatusLine, notify};
use super::signals::{Asked, Signals};
use super::{advice, environment, exit};
use crate::admin::{AdminServer, MetricsServer};
use crate::audit::{AuditLog, Event, Outcome};
use crate::base::version;
use crate::config::{Config, ConfigError, JvmFlags, Kind, Level, MetricsBackend};
use crate::metrics::Metrics;
use crate::net::fourlw::{self, Words};
use crate::server::{Handle, Options, Server, StartError};

const USAGE: &str = "Usage: ZooKeeperServerMain configfile | port datadir [ticktime] [maxcnxns]";

/// Runs a server until it ends; returns the exit code.
pub(super) fn run(words: &[String]) -> i32 {
    let (flags, arguments) = command_line(words);
    let threshold = flags.properties.iter().rev().find(|(n, _)| n == "zookeeper.console.threshold");
    let my_id = logging::start(threshold.map(|(_, value)| value.as_str()));
    let code = match start(&flags, &arguments, &my_id) {
        Ok(code) => code,
        Err(end) => {
            tracing::error!("{}, exiting abnormally: {}", end.what, end.why);
            eprintln!("{}", end.stderr);
            end.code
        }
    };
    match code {
        // Asked to end by a signal.
        exit::FINISHED | 128.. => tracing::info!("Exiting JVM with code {code}"),
        _ => tracing::error!("Exiting JVM with code {code}"),
    }
    code
}

/// JVM options, from the environment and among the arguments, and what is left.
fn command_line(words: &[String]) -> (JvmFlags, Vec<String>) {
    let mut flags = JvmFlags::default();
    for variable in ["SERVER_JVMFLAGS", "JVMFLAGS"] {
        flags.add_words(&env::var(variable).unwrap_or_default());
    }
    let (options, arguments): (Vec<_>, Vec<_>) =
        words.iter().cloned().partition(|word| JvmFlags::is_flag(word));
    options.iter().for_each(|option| flags.add(option));
    flags.ignored.sort();
    flags.ignored.dedup();
    (flags, arguments)
}

/// Why no server runs, in the three places that are told.
struct End {
    what: &'static str,
    why: String,
    stderr: String,
    code: i32,
}

impl End {
    fn new(what: &'static str, why: impl ToString, code: i32) -> Self {
        let stderr = format!("{what}, exiting abnormally");
        Self { what, why: why.to_string(), stderr, code }
    }
}

impl From<ConfigError> for End {
    fn from(error: ConfigError) -> Self {
        let code = error.exit_code();
        match error.kind {
            Kind::Config => End::new("Invalid config", error, code),
            Kind::Unexpected => End::new("Unexpected exception", error, code),
            Kind::AdminServer => End::new("Unable to start AdminServer", error, code),
            Kind::Arguments => {
                End { stderr: USAGE.to_owned(), ..End::new("Invalid arguments", error, code) }
            }
        }
    }
}

impl From<StartError> for End {
    fn from(error: StartError) -> Self {
        match error.exit_code() {
            exit::DATADIR => End::new("Unable to access datadir", error, exit::DATADIR),
            code => End::new("Unexpected exception", error, code),
        }
    }
}

fn start(flags: &JvmFlags, arguments: &[String], my_id: &MyId) -> Result<i32, End> {
    let config = match arguments {
        [file] => Config::load(Path::new(file), flags)?,
        _ => Config::from_arguments(arguments, flags)?,
    };
    config.back_up()?;
    if let Some(id) = config.my_id {
        let _ = my_id.set(id.to_string());
    }
    for notice in &config.notices {
        let level = match notice.level {
            Level::Info => tracing::Level::INFO,
            Level::Warn => tracing::Level::WARN,
            Level::Error => tracing::Level::ERROR,
        };
        logging::log(level, &notice.text);
    }
    for (key, value) in environment::list() {
        tracing::info!("Server environment:{key}={value}");
    }
    for line in advice::collect(&[&config.data_dir, &config.data_log_dir]) {
        tracing::warn!("{line}");
    }
    if !config.is_distributed() {
        let text = "Either no config or no quorum defined in config, running in standalone mode";
        tracing::warn!("{text}");
    }
    let signals = Signals::block()
        .map_err(|error| End::new("Unexpected exception", error, exit::UNEXPECTED))?;
    let metrics = Arc::new(match config.metrics_provider.backend {
        MetricsBackend::Default => Metrics::new(false),
        MetricsBackend::Prometheus => Metrics::new(true),
        MetricsBackend::Null => Metrics::hidden(),
    });
    let words = words(&config, &metrics);
    tracing::info!("Starting server");
    let admin = match start_admin(&config, &words) {
        // A member of an ensemble does without, as Java's does.
        Err(end) if config.is_distributed() => {
            tracing::warn!("Problem starting AdminServer: {}", end.why);
            None
        }
        started => started?,
    };
    let endpoint = start_endpoint(&config, &metrics)?;
    let audit = start_audit(&config)?;
    let tell = |operation, outcome| {
        if let Some(audit) = &audit {
            audit.record(Event::of_server(operation, audit.server_user(), outcome));
        }
    };
    let options =
        Options { audit: audit.clone(), ..Options::of(&config, metrics, words.clone(), random) };
    let started = Server::start(options);
    let ended = |audit: &Option<Arc<AuditLog>>| {
        if let Some(audit) = audit {
            audit.stop();
        }
    };
    let handle = match started {
        Ok(handle) => Arc::new(handle),
        Err(error) => {
            tell("serverStart", Outcome::Failure);
            ended(&audit);
            return Err(error.into());
        }
    };
    tell("serverStart", Outcome::Success);
    if let Some(admin) = &admin {
        admin.set_server(handle.view(), handle.guard());
    }
    if let Some(endpoint) = &endpoint {
        endpoint.set_view(handle.view());
    }
    let status = StatusLine::start(handle.view());
    notify("READY=1");
    let code = wait(&handle, &signals, &words, status);
    tell("serverStop", Outcome::Invoked);
    ended(&audit);
    Ok(code)
}

fn start_audit(config: &Config) -> Result<Option<Arc<AuditLog>>, End> {
    let Some(options) = config.audit_options(environment::user()) else { return Ok(None) };
    let file = options.file.clone().unwrap_or_default();
    AuditLog::start(options).map(|log| Some(Arc::new(log))).map_err(|error| {
        let why = format!("cannot open {} (auditlog.file): {error}", file.display());
        End::new("Unexpected exception", why, exit::UNEXPECTED)
    })
}

fn start_admin(config: &Config, words: &Arc<Words>) -> Result<Option<AdminServer>, End> {
    let Some(options) = config.admin_options()? else { return Ok(None) };
    let address = options.address;
    AdminServer::start(options, words.clone()).map(Some).map_err(|error| {
        let why =
            format!("cannot listen on {address} (admin.serverAddress, admin.serverPort): {error}");
        End::new("Unable to start AdminServer", why, exit::ADMIN_SERVER)
    })
}

fn start_endpoint(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<MetricsServer>, End> {
    let Some(address) = config.metrics_address()? else { return Ok(None) };
    let process = config.metrics_provider.export_process_info;
    MetricsServer::start(address, metrics.clone(), process).map(Some).map_err(|error| {
        let why = format!("cannot listen on {address} (metricsProvider.httpPort): {error}");
        End::new("Unexpected exception", why, exit::UNEXPECTED)
    })
}

fn words(config: &Config, metrics: &Arc<Metrics>) -> Arc<Words> {
    Arc::new(Words::new(fourlw::Options {
        whitelist: config.word_whitelist(),
        version: version::full(),
        conf: config.conf_options(),
        environment: Box::new(environment::list),
        metrics: metrics.clone(),
    }))
}

/// Every `RandomState` is keyed anew by the system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Until the server ends by itself or is told to.
fn wait(handle: &Arc<Handle>, signals: &Signals, words: &Arc<Words>, status: StatusLine) -> i32 {
    let asked = Arc::new(std::sync::OnceLock::new());
    let listener = {
        let (handle, signals, words, asked) =
            (handle.clone(), *signals, words.clone(), asked.clone());
        move || {
            let mut status = Some(status);
            loop {
                match signals.wait() {
                    Ok(Asked::Stop(code)) => {
                        if let Some(status) = status.take() {
                            status.end();
                        }
                        notify("STOPPING=1");
                        notify("STATUS=Closing connections and the log");
                        let _ = asked.set(code);
                        handle.stop();
                        return;
                    }
                    Ok(Asked::Report) => report(&handle, &words),
                    Ok(Asked::Nothing) | Err(nix::errno::Errno::EINTR) => {}
                    Err(error) => {
                        tracing::error!("cannot wait for signals: {error}");
                        return;
                    }
                }
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("signals".to_owned()).spawn(listener) {
        tracing::error!("cannot start the thread that waits for signals: {error}");
    }
    let ended = handle.wait().code();
    asked.get().copied().unwrap_or(ended)
}

/// SIGQUIT: what the words tell, on stdout.
fn report(handle: &Handle, words: &Words) {
    let now = jiff::Timestamp::now().as_millisecond();
    println!("Full report {}\n{}", fourlw::java_date(now), words.report(&*handle.view()));
}
