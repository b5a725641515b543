//! The AdminServer (`JettyAdminServer`): commands over HTTP, and the Prometheus endpoint
//! (`PrometheusMetricsProvider`).
//!
//! Owns: HTTP, the command table, JSON texts, authentication of the guarded commands. Must not
//! know: how the server works; it sees a [`ServerView`] once there is one, and a [`Guard`] for
//! what needs more than looking. Shares words' options, trace mask and metrics with
//! `net::fourlw`.
//!
//! Start at [`AdminServer::start`]; the commands are in `commands.rs`.

mod commands;
mod guarded;
mod http;
mod json;
mod operate;
mod process;

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;

use self::commands::{COMMANDS, Context};
use self::guarded::RateLimit;
use self::http::{Content, HttpServer, HttpTls, Request, Response};
pub use self::json::quoted;
use crate::auth::{Tls, TlsOptions};
use crate::base::{Mono, SessionId, Zxid};
use crate::metrics::{Gauges, Metrics};
use crate::net::fourlw::{Words, gauges};
use crate::net::view::{Mode, ServerView};

/// Whether somebody may run a guarded command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allowed {
    /// All permissions on `/`.
    Yes,
    /// The scheme is unknown or did not accept the data.
    NotAuthenticated,
    /// Known, but not allowed.
    NotAuthorized,
}

/// What the guarded commands need from the server.
pub trait Guard: Send + Sync {
    /// Whether `scheme` with `data` from `ip` has all permissions on `/`.
    fn may_do_all(&self, scheme: &str, data: &[u8], ip: IpAddr) -> Allowed;
    /// Writes a snapshot now; its last zxid and its file.
    fn take_snapshot(&self) -> Result<(Zxid, PathBuf), String>;
    /// Replaces the database by the uncompressed snapshot in `input`; its last zxid. Nothing changes
    /// unless the whole stream is one.
    fn restore(&self, input: &mut dyn Read) -> Result<Zxid, String> {
        let _ = input;
        Err("there is no server to restore".to_owned())
    }
    /// Ends a session.
    fn close_session(&self, session: SessionId) -> Result<(), String> {
        let _ = session;
        Err("there is no server".to_owned())
    }
    /// Closes a client's connection; false if there is none from there.
    fn close_connection(&self, remote: SocketAddr) -> bool {
        let _ = remote;
        false
    }
    /// Closes the link of a learner, which will come back; false on a standalone server.
    fn close_learner(&self, sid: i64, link: u64) -> bool {
        let _ = (sid, link);
        false
    }
    /// Another `maxClientCnxns`; false if there is no server yet.
    fn set_max_client_connections(&self, max: usize) -> bool {
        let _ = max;
        false
    }
}

/// Nobody may do anything.
#[derive(Debug, Default)]
pub struct Closed;

impl Guard for Closed {
    fn may_do_all(&self, _scheme: &str, _data: &[u8], _ip: IpAddr) -> Allowed {
        Allowed::NotAuthenticated
    }

    fn take_snapshot(&self) -> Result<(Zxid, PathBuf), String> {
        Err("snapshots on demand are not available".to_owned())
    }
}

/// Settings of the AdminServer.
pub struct Options {
    /// Where to listen (`admin.serverAddress`, `admin.serverPort`).
    pub address: SocketAddr,
    /// `admin.idleTimeout`.
    pub idle_timeout: Duration,
    /// `admin.commandURL`, `/commands` for example.
    pub command_url: String,
    /// `admin.rateLimiterIntervalInMS`.
    pub rate_limit: Duration,
    /// `admin.snapshot.enabled`.
    pub snapshot_enabled: bool,
    /// `admin.restore.enabled`.
    pub restore_enabled: bool,
    /// `serializeLastProcessedZxid.enabled`.
    pub last_zxid_in_snapshots: bool,
    /// `IPAuthenticationProvider.usexforwardedfor`.
    pub use_x_forwarded_for: bool,
    /// Text of the configuration file at start.
    pub initial_configuration: Option<String>,
    /// Names and values, sorted, secrets masked.
    pub system_properties: Vec<(String, String)>,
    /// HTTPS (`admin.forceHttps`, `admin.portUnification`) with the stores of `ssl.quorum.*`.
    pub tls: Option<TlsOptions>,
    /// HTTP is served beside HTTPS.
    pub plain_too: bool,
}

/// What commands know besides the view.
struct Facts {
    words: Arc<Words>,
    snapshot_enabled: bool,
    restore_enabled: bool,
    last_zxid_in_snapshots: bool,
    use_x_forwarded_for: bool,
    snapshot_rate: RateLimit,
    restore_rate: RateLimit,
    initial_configuration: Option<String>,
    system_properties: Vec<(String, String)>,
}

type SharedView = Arc<RwLock<Option<Arc<dyn ServerView>>>>;

/// The server commands speak of and to, once there is one.
type SharedServer = Arc<RwLock<Option<(Arc<dyn ServerView>, Arc<dyn Guard>)>>>;

/// A running AdminServer.
pub struct AdminServer {
    server: HttpServer,
    shared: SharedServer,
}

impl AdminServer {
    /// Binds and serves; commands that need a serving server say so until [`Self::set_server`].
    pub fn start(options: Options, words: Arc<Words>) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address)?;
        let shared = SharedServer::default();
        let facts = Facts {
            words,
            snapshot_enabled: options.snapshot_enabled,
            restore_enabled: options.restore_enabled,
            last_zxid_in_snapshots: options.last_zxid_in_snapshots,
            use_x_forwarded_for: options.use_x_forwarded_for,
            snapshot_rate: RateLimit::new(options.rate_limit),
            restore_rate: RateLimit::new(options.rate_limit),
            initial_configuration: options.initial_configuration,
            system_properties: options.system_properties,
        };
        let (seen, url) = (shared.clone(), options.command_url);
        let handler = Arc::new(move |request: Request| {
            let server = seen.read().clone();
            let (view, guard) = server.unzip();
            respond(
                &url,
                &Context {
                    facts: &facts,
                    view: view.as_deref(),
                    guard: guard.as_deref().unwrap_or(&Closed),
                    request: &request,
                },
            )
        });
        let tls = match options.tls {
            None => None,
            Some(tls) => {
                let tls = Tls::open(tls).map_err(io::Error::other)?;
                tls.server_config().map_err(io::Error::other)?;
                Some(HttpTls { tls: Arc::new(tls), unified: options.plain_too })
            }
        };
        let server = HttpServer::start("admin", listener, options.idle_timeout, tls, handler)?;
        tracing::info!("Started AdminServer on address {}", server.address());
        Ok(Self { server, shared })
    }

    /// The server commands speak of and to from now on.
    pub fn set_server(&self, view: Arc<dyn ServerView>, guard: Arc<dyn Guard>) {
        *self.shared.write() = Some((view, guard));
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// What the methods of Jetty's servlets allow.
fn method_answer(request: &Request) -> Option<Response> {
    match request.method.as_str() {
        "GET" | "HEAD" | "POST" => None,
        "OPTIONS" => {
            let mut response = Response::new(200);
            response.headers.push(("allow", "GET, HEAD, POST, TRACE, OPTIONS".to_owned()));
            Some(response)
        }
        "TRACE" => Some(Response::new(403)),
        _ => Some(Response::new(405)),
    }
}

/// For probes: 200 while clients are served, 503 otherwise. A server that serves read-only clients
/// only is not ready.
fn ready(context: &Context<'_>) -> Response {
    match context.view.filter(|view| view.serving()).map(|view| view.mode()) {
        None => Response::text(503, "text/plain", "not serving\n"),
        Some(Mode::ReadOnly) => Response::text(503, "text/plain", "read-only\n"),
        Some(mode) => Response::text(200, "text/plain", format!("{}\n", mode.name())),
    }
}

fn respond(url: &str, context: &Context<'_>) -> Response {
    let request = context.request;
    match request.path.as_str() {
        "/live" => return Response::text(200, "text/plain", "live\n"),
        "/ready" => return ready(context),
        _ => {}
    }
    let below = request.path.strip_prefix(url);
    let Some(name) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
        return Response::error(404, "Not Found");
    };
    if let Some(response) = method_answer(request) {
        return response;
    }
    match name.strip_prefix('/').unwrap_or_default() {
        "" => {
            let lines = COMMANDS.iter().map(|command| {
                let name = command.names[0];
                format!("<a href=\"{url}/{name}\">{name}</a>\n<br/>\n")
            });
            let mut response = Response::new(200);
            response.body = Content::Bytes(lines.collect::<String>().into_bytes());
            response
        }
        name => commands::run(name, context),
    }
}

/// A running Prometheus endpoint.
pub struct MetricsServer {
    server: HttpServer,
    view: SharedView,
}

impl MetricsServer {
    /// Binds and serves `/metrics`. With `process`, adds the `process_*` families.
    pub fn start(address: SocketAddr, metrics: Arc<Metrics>, process: bool) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let view = SharedView::default();
        let (shared, begun) = (view.clone(), Instant::now());
        let handler = Arc::new(move |request: Request| {
            if request.path != "/metrics" {
                return Response::error(404, "Not Found");
            }
            match request.method.as_str() {
                "TRACE" => return Response::new(403),
                "GET" | "HEAD" | "POST" => {}
                _ => return Response::new(405),
            }
            metrics.rotate(Mono(begun.elapsed().as_millis() as u64 + 1));
            let view = shared.read().clone();
            let gauges = match view.as_deref() {
                Some(view) if view.serving() => gauges(view),
                _ => Gauges::default(),
            };
            let names = request.query.iter().filter(|(name, _)| name == "name[]");
            let names: Vec<String> = names.map(|(_, value)| value.clone()).collect();
            let mut text = metrics.prometheus(&gauges, &names);
            if process && names.is_empty() {
                text.push_str(&process::families());
            }
            Response::text(200, "text/plain; version=0.0.4; charset=utf-8", text)
        });
        let idle = Duration::from_secs(30);
        let server = HttpServer::start("metrics", listener, idle, None, handler)?;
        tracing::info!("Started metrics endpoint on address {}", server.address());
        Ok(Self { server, view })
    }

    /// The server whose gauges are shown from now on.
    pub fn set_view(&self, view: Arc<dyn ServerView>) {
        *self.view.write() = Some(view);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

#[cfg(test)]
mod tests;
