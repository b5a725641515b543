//! The composition root: opens, restores, starts and stops everything in order, and gives each
//! part its `Options`. A library call, so that tests run servers in-process on port 0.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use thiserror::Error;
use tracing::{info, warn};

use self::port::ClientPort;
use crate::acl::{self, Schemes};
use crate::admin::Guard;
use crate::apply::{self, Applier};
use crate::audit::AuditLog;
use crate::auth::{ClientAuth, SaslError, SaslLogin, Tls, TlsError};
use crate::base::{Epoch, Proposal};
use crate::ensemble::{self, Ensemble, Security, SecurityError};
use crate::metrics::Metrics;
use crate::net::fourlw::Responder;
use crate::net::view::ServerView;
use crate::net::{self, Net, clock};
use crate::outbox::{Admission, Counters, Registry, Role, WakeList};
use crate::pipeline::{self, MemberParts, Outcome, Pipeline, PipelineBox};
use crate::prep;
use crate::replica::{self, Replica};
use crate::storage::{self, DataDirs, Disk, StorageError, TxnLogWriter};
use crate::tree::TreeOptions;
use crate::tree::cell::cell;
use crate::watch::{self, WatchTable};
use crate::zab;

mod guard;
pub mod pause;
mod port;
mod settings;
mod view;

pub use pipeline::Exit;

/// Everything a standalone server needs.
pub struct Options {
    /// Client side.
    pub net: net::Options,
    /// Roles, sessions, timers.
    pub replica: replica::Options,
    /// Loops.
    pub pipeline: pipeline::Options,
    /// Files.
    pub storage: storage::Options,
    /// The tree.
    pub tree: TreeOptions,
    /// Writes.
    pub prep: prep::Options,
    /// Schemes and checks.
    pub acl: acl::Options,
    /// Watches.
    pub watch: watch::Options,
    /// `dataDir`.
    pub data_dir: PathBuf,
    /// `dataLogDir`; `None` for the same as `dataDir`.
    pub data_log_dir: Option<PathBuf>,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Answers four-letter words.
    pub fourlw: Arc<dyn Responder>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// Who changed what.
    pub audit: Option<Arc<AuditLog>>,
    /// Looks out for times in which the process did not run.
    pub pause_monitor: Option<pause::Options>,
    /// For random drops of handshakes.
    pub seed: u64,
    /// Set on a member of an ensemble.
    pub member: Option<ensemble::MemberOptions>,
}

impl Options {
    /// Java's defaults on a data directory, listening on `addresses`.
    pub fn new(data_dir: PathBuf, addresses: Vec<SocketAddr>) -> Self {
        Self {
            net: net::Options { addresses, ..net::Options::default() },
            replica: replica::Options::default(),
            pipeline: pipeline::Options::default(),
            storage: storage::Options::default(),
            tree: TreeOptions::default(),
            prep: prep::Options::default(),
            acl: acl::Options {
                digest: Some(acl::DigestProvider::default()),
                ..acl::Options::default()
            },
            watch: watch::Options::default(),
            data_dir,
            data_log_dir: None,
            disk: Arc::new(storage::RealDisk),
            fourlw: Arc::new(net::fourlw::NoWords),
            metrics: Arc::new(Metrics::new(false)),
            audit: None,
            pause_monitor: None,
            seed: 0,
            member: None,
        }
    }
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error(transparent)]
    Listen(#[from] net::ListenError),
    /// The data directories cannot be used or are damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// TLS cannot be spoken as configured.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Logins of clients cannot be judged as configured.
    #[error(transparent)]
    Sasl(#[from] SaslError),
    /// The ports between servers cannot be protected as configured.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// An enforced scheme has no provider.
    #[error("authentication scheme {0} is enforced, but no provider for it is configured")]
    Scheme(String),
    /// The election port could not be opened in as many attempts as allowed.
    #[error("cannot open the election port: {0}")]
    ElectionPort(#[source] io::Error),
    /// The system refused threads or descriptors.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

impl StartError {
    /// The process exit code (Java's `ExitCode`).
    pub fn exit_code(&self) -> i32 {
        match self {
            StartError::Storage(error) => error.exit_code(),
            StartError::Scheme(_) => 2,
            // UNABLE_TO_BIND_QUORUM_PORT
            StartError::ElectionPort(_) => 14,
            StartError::Listen(_)
            | StartError::Tls(_)
            | StartError::Sasl(_)
            | StartError::Security(_)
            | StartError::System(_) => 1,
        }
    }
}

/// A standalone server.
pub struct Server;

/// A running server. Dropping it does not stop it.
pub struct Handle {
    view: Arc<dyn ServerView>,
    guard: Arc<guard::Guarded>,
    role: Arc<Role>,
    net: Arc<Mutex<Option<net::Running>>>,
    pipeline: Arc<Pipeline>,
    ensemble: Option<Arc<Ensemble>>,
    outcome: Arc<Outcome>,
    _pauses: Option<pause::Monitor>,
    /// The data directories stay locked as long as the server may write.
    _dirs: Arc<DataDirs>,
}

impl Server {
    /// Restores the data directory, starts every thread and listens. Returns when clients are
    /// served.
    pub fn start(options: Options) -> Result<Handle, StartError> {
        let begun = Instant::now();
        let pauses = options.pause_monitor;
        let pauses =
            pauses.map(|o| pause::Monitor::start(o, options.metrics.clone())).transpose()?;
        let Options { storage: files, metrics, .. } = options;
        let schemes = Arc::new(Schemes::new(options.acl).map_err(StartError::Scheme)?);
        let log_dir = options.data_log_dir.as_deref();
        let dirs = DataDirs::open(options.disk, &options.data_dir, log_dir, &files)?;
        let dirs = Arc::new(dirs);
        let (frame_max, field_max) = (options.net.frame_max, options.net.field_max);
        let outbox_max_bytes = options.net.outbox_max_bytes.max(2 * frame_max);
        let tls = client_tls(&options.net)?;
        let sasl = match &options.net.sasl {
            Some(sasl) => SaslLogin::open(sasl)?.map(Arc::new),
            None => None,
        };
        let net = Net::bind(options.net)?;

        let tree_options = options.tree.clone();
        let guard_tree = options.tree.clone();
        let alone = options.member.is_none();
        let restored = restore(&dirs, &files, options.tree, &metrics, alone)?;
        let storage::Restored { tree, last, emptied, replayed, recent, .. } = restored.state;
        // As Java, so that the next start need not replay; but in the background. A member's tree
        // may hold what the ensemble takes back.
        let snapshot_now = alone && (replayed > 0 || restored.orphans > 0);
        let mailbox = PipelineBox::default();
        let local_sessions = options.replica.local_sessions;
        let (replica, joined) = match options.member {
            None => {
                let now = clock::now();
                let replica =
                    Replica::solo(options.replica, options.prep, schemes.clone(), &tree, now);
                (replica, None)
            }
            Some(member) => {
                let (peer, joined) = join(member, &dirs, (last, emptied), recent, &mailbox)?;
                let now = clock::now();
                let replica =
                    Replica::member(options.replica, options.prep, schemes.clone(), now, peer);
                (replica, Some(joined))
            }
        };
        let log = TxnLogWriter::new(dirs.clone(), &files, last);
        let (writer, reader) = cell(tree);

        let watches = Arc::new(WatchTable::new(options.watch));
        let registry = Arc::new(Registry::default());
        let admission = Arc::new(Admission::default());
        let role = Arc::new(Role::default());
        let outcome = Arc::new(Outcome::default());
        let mut ensemble = None;
        let apply_counters = Arc::new(Counters::default());
        let applier = Applier::new(
            writer,
            apply::Parts {
                watches: watches.clone(),
                schemes: schemes.clone(),
                registry: registry.clone(),
                admission: admission.clone(),
                role: role.clone(),
                wakes: WakeList::new(net.bells()),
                counters: apply_counters.clone(),
                metrics: metrics.clone(),
                audit: options.audit.clone(),
                field_max,
                outbox_max_bytes,
            },
        );
        let running: Arc<Mutex<Option<net::Running>>> = Arc::default();
        let addresses = Arc::new(Mutex::new(net.addresses().to_vec()));
        let secure_addresses = net.secure_addresses().to_vec();
        let client_port = ClientPort::new(running.clone(), addresses.clone());
        let member = joined.map(|joined| {
            let (running, client_port) = (running.clone(), client_port.clone());
            let drop_clients = move || {
                if let Some(net) = &*running.lock() {
                    net.drop_clients();
                }
            };
            let serve_clients_at = move |host: &str, port| client_port.move_to(host, port);
            let parts = MemberParts {
                serve_clients_at: Box::new(serve_clients_at),
                ensemble: joined.ensemble.clone(),
                storage: files.clone(),
                tree: tree_options,
                role: role.clone(),
                drop_clients: Box::new(drop_clients),
                log_factor: joined.log_factor,
                leader_serves: joined.leader_serves,
                local_sessions,
                observer_logs: joined.observer_logs,
                files: joined.files,
            };
            ensemble = Some(joined.ensemble);
            (parts, joined.first)
        });
        let pipeline = Arc::new(Pipeline::start(pipeline::Parts {
            options: options.pipeline,
            replica,
            applier,
            log,
            durable: last,
            dirs: dirs.clone(),
            snapshot: files.snapshot,
            registry: registry.clone(),
            metrics: metrics.clone(),
            outcome: outcome.clone(),
            snapshot_now,
            mailbox,
            member,
        })?);
        let mut counters = net.counters();
        counters.push(apply_counters);
        let view = Arc::new(view::View {
            tree: reader.clone(),
            watches: watches.clone(),
            registry: registry.clone(),
            admission: admission.clone(),
            role: role.clone(),
            pipeline: pipeline.clone(),
            dirs: dirs.clone(),
            metrics: metrics.clone(),
            counters,
            auth_failed: net.auth_failures(),
            drop_chance: net.drop_chance(),
            ensemble: ensemble.clone(),
            addresses,
            secure_addresses,
            begun,
        });
        let guard = Arc::new(guard::Guarded {
            tree: reader.clone(),
            schemes: schemes.clone(),
            pipeline: pipeline.clone(),
            tree_options: guard_tree,
            field_max: files.field_max,
            registry: registry.clone(),
            net: running.clone(),
            ensemble: ensemble.clone(),
        });
        if alone {
            role.open(false, false);
        }
        let net = net.serve(net::Parts {
            tree: reader,
            watches,
            schemes,
            registry,
            admission,
            role: role.clone(),
            upstream: pipeline.upstream(),
            responder: options.fourlw,
            view: view.clone(),
            metrics,
            seed: options.seed,
            sasl,
            tls,
        })?;
        info!(ms = begun.elapsed().as_millis(), "server started");
        *running.lock() = Some(net);
        client_port.go_on();
        Ok(Handle {
            view,
            guard,
            role,
            net: running,
            pipeline,
            ensemble,
            outcome,
            _pauses: pauses,
            _dirs: dirs,
        })
    }
}

/// TLS for clients. Mistakes end the start: Java's server would refuse each client instead.
fn client_tls(options: &net::Options) -> Result<Option<Arc<Tls>>, TlsError> {
    let Some(settings) = options.tls.clone() else { return Ok(None) };
    let trusts = settings.trust_store.is_some();
    if !trusts && settings.client_auth != ClientAuth::None {
        warn!("{}.trustStore.location not specified: no certificate is trusted", settings.prefix);
    }
    let tls = Tls::open(settings)?;
    if options.secure_addresses.is_empty() {
        if let Err(error) = tls.server_config() {
            warn!(%error, "client.portUnification without TLS");
        }
    } else {
        tls.server_config()?;
    }
    Ok(Some(Arc::new(tls)))
}

/// A zab core with its sockets.
struct Joined {
    ensemble: Arc<Ensemble>,
    first: Vec<zab::Action>,
    log_factor: f64,
    observer_logs: bool,
    leader_serves: bool,
    files: Option<Arc<dyn ensemble::MembershipFiles>>,
}

/// Reads the epochs, opens the election port, starts to look for a leader.
fn join(
    member: ensemble::MemberOptions,
    dirs: &Arc<DataDirs>,
    (last, emptied): (storage::Durable, bool),
    recent: VecDeque<Arc<Proposal>>,
    mailbox: &PipelineBox,
) -> Result<(zab::Peer, Joined), StartError> {
    let last = last.zxid();
    if emptied && !dirs.is_emptied()? {
        warn!(
            "the data directory is empty, and nothing says that this is right: no vote before a sync"
        );
        dirs.mark_emptied()?;
    }
    let history = last.epoch().max(Epoch(0));
    // Both files are made if they are missing; the core checks and repairs what they say.
    let current = match dirs.current_epoch()? {
        Some(epoch) => epoch,
        None => {
            dirs.write_current_epoch(history)?;
            history
        }
    };
    let accepted = match dirs.accepted_epoch()? {
        Some(epoch) => epoch,
        None => {
            dirs.write_accepted_epoch(history)?;
            history
        }
    };
    let restored = zab::Restored {
        last,
        untrusted: emptied,
        recent: recent.into(),
        accepted,
        current,
        committed: member.committed.clone(),
        last_seen: member.last_seen,
    };
    let mut first = Vec::new();
    let peer = zab::Peer::new(clock::now().mono, member.zab, restored, &mut first)
        .map_err(|why| StartError::Storage(StorageError::Epoch(why)))?;
    let mailbox = mailbox.clone();
    let sink = Arc::new(move |event| mailbox.post(event));
    let security = Security::open(&member.ensemble.security)?;
    let ensemble = Ensemble::start(member.ensemble, security, member.committed, dirs.clone(), sink)
        .map_err(StartError::ElectionPort)?;
    let joined = Joined {
        ensemble: Arc::new(ensemble),
        first,
        log_factor: member.log_factor,
        observer_logs: member.observer_logs,
        leader_serves: member.leader_serves,
        files: member.files,
    };
    Ok((peer, joined))
}

struct RestoredState {
    state: storage::Restored,
    orphans: usize,
}

/// Restores the newest state and drops the ephemerals nobody owns any more.
fn restore(
    dirs: &Arc<DataDirs>,
    files: &storage::Options,
    options: TreeOptions,
    metrics: &Metrics,
    alone: bool,
) -> Result<RestoredState, StorageError> {
    let begun = Instant::now();
    let mut state = storage::restore(dirs, files, options)?;
    for refused in &state.refused {
        warn!(%refused, "a snapshot cannot be used");
    }
    if state.torn_bytes > 0 {
        warn!(bytes = state.torn_bytes, "ignored an unfinished write at the end of the log");
    }
    metrics.digest_mismatches_count.add(state.digest_mismatches as i64);
    // A member's leader decides about them.
    let orphans = if alone { storage::drop_orphans(&mut state.tree) } else { 0 };
    let ms = begun.elapsed().as_millis() as i64;
    metrics.dbinittime.add(ms);
    metrics.startup_snap_load_time.add(state.snapshot_time.as_millis() as i64);
    if state.replayed > 0 {
        metrics.startup_txns_loaded.add(state.replayed as i64);
        metrics.startup_txns_load_time.add(state.replay_time.as_millis() as i64);
    }
    info!(
        zxid = %state.tree.last_zxid(),
        znodes = state.tree.node_count(),
        sessions = state.tree.sessions().len(),
        replayed = state.replayed,
        orphans,
        ms,
        "database restored"
    );
    Ok(RestoredState { state, orphans })
}

impl Handle {
    /// Where clients can connect (real ports).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.view.addresses().0
    }

    /// Where clients can connect with TLS only (real ports).
    pub fn secure_addresses(&self) -> Vec<SocketAddr> {
        self.view.addresses().1
    }

    /// The sight operators have.
    pub fn view(&self) -> Arc<dyn ServerView> {
        self.view.clone()
    }

    /// What the guarded commands of the AdminServer need.
    pub fn guard(&self) -> Arc<dyn Guard> {
        self.guard.clone()
    }

    /// Stops accepting, drains the log, syncs, closes. Blocks until done; calling it again is
    /// harmless.
    pub fn stop(&self) -> Exit {
        let Some(net) = self.net.lock().take() else { return self.outcome.wait() };
        self.role.close();
        net.quiesce();
        if let Some(ensemble) = &self.ensemble {
            ensemble.stop();
        }
        self.pipeline.stop();
        net.stop();
        self.outcome.set(Exit::Finished);
        self.outcome.wait()
    }

    /// Blocks until the server ends by itself (a storage failure) or by [`Handle::stop`].
    pub fn wait(&self) -> Exit {
        self.outcome.wait()
    }
}
