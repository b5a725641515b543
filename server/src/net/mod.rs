//! Client connections: listeners, handshake, framing, admission, four-letter words.
//!
//! ```text
//!  listener ──► station (I/O thread) ──► conn ──► handshake ─► request ──► Upstream (pipeline)
//!                    ▲                     ▲                      │
//!                    └── bell ── outbox ◄──┴── replies of reads ──┘
//! ```
//!
//! A few I/O threads, each with its own epoll loop; a connection stays on the thread that got it.
//! Reads are answered on that thread and leave with one system call per burst; writes are handed to
//! the pipeline once per turn of the loop.
//!
//! Owns: sockets, parsers, limits on connections and frames. Must not know: how writes become
//! durable, roles beyond [`crate::outbox::Role`], settings files.
//!
//! Start reading at [`Net`], then `station`, `conn`, `request`.

pub mod clock;
mod conn;
mod count;
pub mod fourlw;
mod handshake;
mod ledger;
mod limits;
mod options;
mod path_stats;
mod request;
mod secure;
mod station;
pub mod view;
mod words;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::Sender;
use mio::net::{TcpListener, TcpStream};
use parking_lot::Mutex;
use socket2::{Domain, SockRef, Socket, Type};
use tracing::{debug, info};

use self::count::Count;
use self::fourlw::Responder;
use self::limits::{HandshakeThrottle, Limits};
use self::path_stats::PathStats;
use self::secure::Handshakes;
use self::station::{Inbox, Mail, Station};
use self::view::ServerView;
use self::words::WordDesk;
use crate::acl::Schemes;
use crate::auth::{SaslLogin, Tls};
use crate::base::{Mono, SessionId};
use crate::metrics::{Metrics, Teller};
use crate::outbox::{Admission, Bell, Counters, Origin, Place, Registry, Role};
use crate::replica::Request;
use crate::tree::cell::TreeReader;
use crate::watch::WatchTable;

pub use options::{ConnectionThrottle, Options, RequestThrottle};
pub use path_stats::PathStatsOptions;

/// Java's default for `clientPortListenBacklog`.
const BACKLOG: i32 = 50;

/// Stack of an I/O thread: parsers do not recurse.
const STACK_BYTES: usize = 512 * 1024;

/// Where requests of the pipeline go.
pub trait Upstream: Send + Sync {
    /// Takes a batch, in the order of arrival; `requests` is left empty with its capacity.
    fn submit(&self, requests: &mut Vec<Request<Origin>>);
    /// Applies what became durable, see [`Bell::ring_durable`].
    fn apply_durable(&self);
    /// A connection ended; the session was last heard of at `at`.
    fn heard(&self, session: SessionId, at: Mono, timeout_ms: i32);
}

/// What connections share with the rest of the server.
pub struct Parts {
    /// The tree, to read.
    pub tree: TreeReader,
    /// The watch tables.
    pub watches: Arc<WatchTable>,
    /// Authentication and permissions.
    pub schemes: Arc<Schemes>,
    /// All connections.
    pub registry: Arc<Registry>,
    /// What is in flight.
    pub admission: Arc<Admission>,
    /// Serving or not.
    pub role: Arc<Role>,
    /// The pipeline.
    pub upstream: Arc<dyn Upstream>,
    /// Answers four-letter words.
    pub responder: Arc<dyn Responder>,
    /// What they are about.
    pub view: Arc<dyn ServerView>,
    /// Logins of clients, if they can log in.
    pub sasl: Option<Arc<SaslLogin>>,
    /// TLS, if it is spoken.
    pub tls: Option<Arc<Tls>>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// For random drops of handshakes.
    pub seed: u64,
}

/// What the I/O threads share.
struct Shared {
    options: Options,
    tree: TreeReader,
    watches: Arc<WatchTable>,
    schemes: Arc<Schemes>,
    registry: Arc<Registry>,
    admission: Arc<Admission>,
    role: Arc<Role>,
    upstream: Arc<dyn Upstream>,
    responder: Arc<dyn Responder>,
    words: WordDesk,
    limits: Limits,
    handshakes: Mutex<HandshakeThrottle>,
    sasl: Option<Arc<SaslLogin>>,
    tls: Option<Arc<Tls>>,
    tls_handshakes: Handshakes,
    auth_failed: Arc<AtomicU64>,
    /// Probability with which the throttle drops a handshake, as the bits of a double.
    drop_chance: Arc<AtomicU64>,
    path_stats: Option<Arc<PathStats>>,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn note_auth_failure(&self) {
        self.auth_failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// A four-letter word that came in.
struct Word {
    word: [u8; 4],
    rest: Vec<u8>,
    place: crate::outbox::Place,
}

/// A bound listener.
struct Listener {
    socket: TcpListener,
    /// For TLS only.
    secure: bool,
}

/// Bound listeners and I/O threads that do not run yet.
pub struct Net {
    options: Options,
    addresses: Vec<SocketAddr>,
    secure_addresses: Vec<SocketAddr>,
    listeners: Vec<Listener>,
    stations: Vec<Station>,
    auth_failed: Arc<AtomicU64>,
    drop_chance: Arc<AtomicU64>,
}

/// Running I/O threads.
pub struct Running {
    shared: Arc<Shared>,
    inboxes: Vec<Arc<Inbox>>,
    /// Asked by the metrics for as long as it lives.
    _count: Arc<Count>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    reporter: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

/// Why listening failed: the address and the reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

impl Net {
    /// Binds every address. Nothing is accepted before [`Net::serve`].
    pub fn bind(options: Options) -> Result<Self, ListenError> {
        let mut listeners = Vec::new();
        let (mut addresses, mut secure_addresses) = (Vec::new(), Vec::new());
        let plain = options.addresses.iter().map(|address| (*address, false));
        let tls = options.secure_addresses.iter().map(|address| (*address, true));
        for (address, secure) in plain.chain(tls) {
            let failed = |source| ListenError { address, source };
            info!("binding to port {}", fourlw::java_address(address));
            let socket = listen(address, options.backlog).map_err(failed)?;
            let bound = socket.local_addr().map_err(failed)?;
            if secure { &mut secure_addresses } else { &mut addresses }.push(bound);
            listeners.push(Listener { socket, secure });
        }
        // Half the cores: the more connections a thread has, the more of them a turn serves, and
        // the replica and log threads want to run too.
        let cores = || std::thread::available_parallelism().map_or(2, usize::from);
        let threads = if options.io_threads > 0 { options.io_threads } else { cores().div_ceil(2) };
        let stations = (0..threads.min(usize::from(u16::MAX)) as u16)
            .map(Station::new)
            .collect::<io::Result<Vec<_>>>()
            .map_err(|source| ListenError {
                address: options.addresses.first().copied().unwrap_or(([0, 0, 0, 0], 0).into()),
                source,
            })?;
        let (auth_failed, drop_chance) = Default::default();
        Ok(Self {
            options,
            addresses,
            secure_addresses,
            listeners,
            stations,
            auth_failed,
            drop_chance,
        })
    }

    /// The bound addresses with their real ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The same for the listeners of TLS only.
    pub fn secure_addresses(&self) -> &[SocketAddr] {
        &self.secure_addresses
    }

    /// The door bells of the I/O threads, in their order.
    pub fn bells(&self) -> Vec<Arc<dyn Bell>> {
        self.stations.iter().map(|station| station.inbox() as Arc<dyn Bell>).collect()
    }

    /// The counters of the I/O threads.
    pub fn counters(&self) -> Vec<Arc<Counters>> {
        self.stations.iter().map(Station::counters).collect()
    }

    /// Failed authentications so far.
    pub fn auth_failures(&self) -> Arc<AtomicU64> {
        self.auth_failed.clone()
    }

    /// The probability with which handshakes are dropped, as the bits of a double.
    pub fn drop_chance(&self) -> Arc<AtomicU64> {
        self.drop_chance.clone()
    }

    /// Starts the I/O threads.
    pub fn serve(self, parts: Parts) -> io::Result<Running> {
        let Self {
            options,
            addresses,
            secure_addresses,
            listeners,
            mut stations,
            auth_failed,
            drop_chance,
        } = self;
        let inboxes: Vec<_> = stations.iter().map(Station::inbox).collect();
        let count = Arc::new(Count(inboxes.clone()));
        parts.metrics.add_teller(Arc::downgrade(&(count.clone() as Arc<dyn Teller>)));
        if let Some(first) = stations.first_mut() {
            first.listen(listeners, inboxes.clone())?;
        }
        let throttle =
            HandshakeThrottle::new(options.connection_throttle.clone(), clock::mono(), parts.seed);
        let words = WordDesk::new(parts.responder.clone(), parts.view, inboxes.clone());
        let limits = Limits::new(&options);
        let path_stats = options.path_stats.clone();
        let path_stats = path_stats.map(|o| Arc::new(PathStats::new(o, clock::mono())));
        let reporter = path_stats.as_ref().map(PathStats::start).transpose()?;
        let shared = Arc::new(Shared {
            options,
            tree: parts.tree,
            watches: parts.watches,
            schemes: parts.schemes,
            registry: parts.registry,
            admission: parts.admission,
            role: parts.role,
            upstream: parts.upstream,
            responder: parts.responder,
            words,
            limits,
            handshakes: Mutex::new(throttle),
            sasl: parts.sasl,
            tls: parts.tls,
            tls_handshakes: Handshakes::default(),
            auth_failed,
            drop_chance,
            path_stats,
            metrics: parts.metrics,
        });
        let mut threads = Vec::new();
        for (index, station) in stations.into_iter().enumerate() {
            let shared = shared.clone();
            let builder = Builder::new().name(format!("io-{index}")).stack_size(STACK_BYTES);
            threads.push(builder.spawn(move || {
                let _guard = AbortOnPanic;
                station.run(&shared);
            })?);
        }
        for address in addresses {
            info!("bound to port {}", fourlw::java_address(address));
        }
        for address in secure_addresses {
            info!("bound to port {} for TLS", fourlw::java_address(address));
        }
        let (threads, reporter) = (Mutex::new(threads), Mutex::new(reporter));
        Ok(Running { shared, inboxes, _count: count, threads, reporter })
    }
}

impl Running {
    /// Stops accepting connections.
    pub fn quiesce(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.post(Mail::Quiesce));
    }

    /// Closes the client ports and opens others; connections stay (`ServerCnxnFactory.reconfigure`).
    /// Returns where they are. After a failure there is none.
    pub fn rebind(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, ListenError> {
        let (send, receive) = crossbeam_channel::bounded(1);
        if let Some(first) = self.inboxes.first() {
            first.post(Mail::Rebind(addresses, send));
        }
        // The thread is gone: the server is stopping.
        receive.recv().unwrap_or_else(|_| Ok(Vec::new()))
    }

    /// Closes every connection without ending anything: the server left its role.
    pub fn drop_clients(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.post(Mail::DropClients));
    }

    /// Another `maxClientCnxns`, 0 for no limit, for connections to come.
    pub fn set_connections_per_address(&self, max: usize) {
        self.shared.limits.set_per_address(max);
    }

    /// Lets a connection look at what others did to it.
    pub fn touch(&self, place: Place) {
        if let Some(inbox) = self.inboxes.get(usize::from(place.station)) {
            inbox.ring(&mut vec![place]);
        }
    }

    /// Writes what can be written, closes every connection, ends the threads.
    pub fn stop(&self) {
        if let Some((stop, thread)) = self.reporter.lock().take() {
            drop(stop);
            let _ = thread.join();
        }
        self.inboxes.iter().for_each(|inbox| inbox.post(Mail::Stop));
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                debug!("an I/O thread had panicked");
            }
        }
    }
}

/// A bug outside the handling of one connection leaves many hanging: better no server than that.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // One listener for both families, as Java's.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(if backlog > 0 { backlog } else { BACKLOG })?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Closes with a reset: the peer is told at once, and no state lingers here.
fn abort(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO)) {
        debug!(%error, "cannot set linger");
    }
}
