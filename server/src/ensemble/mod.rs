//! Sockets between servers: the election mesh (port 3888) and the links between learners and leader
//! (port 2888). Drivers around [`crate::zab`]: they carry, they do not decide.
//!
//! ```text
//!  zab::Peer ── Notify ──► mesh ◄──► other servers' election ports
//!      ▲  └──── Send, StreamLog, SendSnapshot ──► links ◄──► quorum port
//!      └──────── Notification, Packets, LinkDown ───┘
//! ```
//!
//! Plain threads that block on their own socket, two per connection: an ensemble has few.
//! Everything a peer sends is bounded (frames, packets, queues); a peer that stops reading is cut.
//!
//! Must not know: roles, epochs, sessions.

mod door;
mod inbox;
mod links;
mod mesh;
mod oracle;
mod security;
mod tracker;
mod wire;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::Builder;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};

use self::links::Links;
use self::mesh::Mesh;
use self::oracle::Oracle;
pub use self::security::{Security, SecurityError, SecurityOptions};
use crate::base::{Sid, Zxid};
use crate::storage::DataDirs;
use crate::tree::cell::TreeReader;
use crate::tree::cut::Cut;
use crate::tree::{DataTree, TreeOptions};
use crate::zab::{self, Event, Link, Membership, Notification, Packet, PeerAddress};

/// Stack of the threads here.
const STACK_BYTES: usize = 512 * 1024;

/// Where events go: the mailbox of whoever runs the core.
pub type Sink = Arc<dyn Fn(Event) + Send + Sync>;

/// Where memberships are kept for the next start. Failures are logged; the server goes on.
pub trait MembershipFiles: Send + Sync {
    /// Keeps a proposed membership (`zoo.cfg.dynamic.next`).
    fn keep_proposed(&self, membership: &Membership) -> io::Result<()>;

    /// Makes a committed membership the one of the next start (`zoo.cfg.dynamic.<version>`).
    fn keep_committed(&self, membership: &Membership) -> io::Result<()>;
}

/// Finds the addresses of `host:port`. Asked for every dial: a name may mean another machine by then
/// (`QuorumServer.recreateSocketAddresses`).
#[derive(Clone)]
pub struct Resolver(pub Arc<Lookup>);

/// See [`Resolver`].
pub type Lookup = dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync;

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self(Arc::new(|target| Ok(target.to_socket_addrs()?.collect())))
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// Settings of the sockets between servers. Times in ms.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own sid.
    pub sid: Sid,
    /// `quorumListenOnAllIPs`.
    pub listen_on_all_ips: bool,
    /// `zookeeper.cnxTimeout`: dialling an election port.
    pub connect_timeout_ms: u64,
    /// How long a peer may take for its initial message: `syncLimit` ticks, or
    /// `zookeeper.quorumCnxnTimeoutMs`.
    pub handshake_timeout_ms: u64,
    /// `observerMasterPort`, on every voter.
    pub observer_master_port: Option<u16>,
    /// How long dialling a leader may take: `initLimit` ticks.
    pub learner_connect_timeout_ms: u64,
    /// `zookeeper.tcpKeepAlive`.
    pub keep_alive: bool,
    /// `multiAddress.enabled`: initial messages name all addresses.
    pub multi_address: bool,
    /// `zookeeper.electionPortBindRetry`: attempts to bind the election port, a second apart; 0 for
    /// ever.
    pub bind_attempts: u32,
    /// `leader.nodelay`: TCP_NODELAY on connections that learners made.
    pub leader_nodelay: bool,
    /// `follower.nodelay`: TCP_NODELAY on the connection to the leader.
    pub follower_nodelay: bool,
    /// `messageTracker.Enabled`: how many packets of each direction of a link are remembered
    /// (`messageTracker.BufferSize`).
    pub tracked: Option<usize>,
    /// How names of servers become addresses.
    pub resolver: Resolver,
    /// `oraclePath`.
    pub oracle_path: Option<PathBuf>,
    /// Largest string or buffer in a packet, bytes: `jute.maxbuffer` plus extra.
    pub field_max: usize,
    /// Bytes that may wait for one learner before its link is cut.
    pub queue_bytes_max: usize,
    /// For trees received by SNAP.
    pub tree: TreeOptions,
    /// TLS and SASL.
    pub security: SecurityOptions,
}

/// What a member of an ensemble needs besides.
pub struct MemberOptions {
    /// The zab core.
    pub zab: zab::Options,
    /// Sockets between servers.
    pub ensemble: Options,
    /// The committed membership.
    pub committed: Arc<Membership>,
    /// A proposed one, if newer.
    pub last_seen: Option<Arc<Membership>>,
    /// `snapshotSizeFactor`.
    pub log_factor: f64,
    /// `syncEnabled`: as observer, write a log.
    pub observer_logs: bool,
    /// `leaderServes`: clients may connect to the leader.
    pub leader_serves: bool,
    /// Where memberships are kept; `None` if nowhere.
    pub files: Option<Arc<dyn MembershipFiles>>,
}

/// The sockets of one server.
pub struct Ensemble {
    mesh: Mesh,
    links: Links,
    book: Arc<AddressBook>,
    sid: Sid,
    oracle: Option<Oracle>,
}

/// Where servers are.
struct AddressBook(Mutex<Pages>);

struct Pages {
    committed: Arc<Membership>,
    /// May name servers that are to join.
    proposed: Option<Arc<Membership>>,
    /// Ours, which stay when the membership forgets us.
    own: Vec<PeerAddress>,
}

impl AddressBook {
    fn new(committed: &Arc<Membership>, me: Sid) -> Self {
        let own = committed.member(me).map_or_else(Vec::new, |m| m.addresses.clone());
        AddressBook(Mutex::new(Pages { committed: committed.clone(), proposed: None, own }))
    }

    fn of(&self, sid: Sid) -> Vec<PeerAddress> {
        let pages = self.0.lock();
        let known = pages.committed.member(sid);
        let known = known.or_else(|| pages.proposed.as_ref()?.member(sid));
        known.map_or_else(Vec::new, |member| member.addresses.clone())
    }

    fn own(&self) -> Vec<PeerAddress> {
        self.0.lock().own.clone()
    }

    fn commit(&self, membership: &Arc<Membership>, me: Sid) {
        let mut pages = self.0.lock();
        pages.committed = membership.clone();
        if let Some(member) = membership.member(me) {
            pages.own = member.addresses.clone();
        }
    }

    fn propose(&self, membership: Arc<Membership>) {
        self.0.lock().proposed = Some(membership);
    }
}

impl Ensemble {
    /// Binds the election port and starts to accept votes.
    pub fn start(
        options: Options,
        security: Security,
        membership: Arc<Membership>,
        dirs: Arc<DataDirs>,
        sink: Sink,
    ) -> io::Result<Self> {
        let security = Arc::new(security);
        let sid = options.sid;
        let book = Arc::new(AddressBook::new(&membership, sid));
        let path = options.oracle_path.clone();
        let oracle = path.map(|path| Oracle::start(path, sink.clone())).transpose()?;
        let mesh = Mesh::start(options.clone(), security.clone(), book.clone(), sink.clone())?;
        let links = Links::new(options, security, book.clone(), dirs, sink);
        Ok(Ensemble { mesh, links, book, sid, oracle })
    }

    /// Sends a vote; only the newest counts.
    pub fn notify(&self, to: Sid, notification: &Notification) {
        self.mesh.send(to, notification);
    }

    /// Opens or closes the quorum port.
    pub fn listen(&self, on: bool) {
        self.links.listen(on);
    }

    /// Opens or closes the port for observers.
    pub fn listen_for_observers(&self, on: bool) {
        self.links.listen_for_observers(on);
    }

    /// Dials a follower's port for observers.
    pub fn connect_master(&self, sid: Sid) {
        self.links.connect(sid, true);
    }

    /// Dials a leader's quorum port.
    pub fn connect(&self, sid: Sid) {
        self.links.connect(sid, false);
    }

    /// Sends packets on a link, in order. Never waits for the peer.
    pub fn send(&self, link: Link, packets: impl IntoIterator<Item = Packet>) {
        self.links.send(link, packets);
    }

    /// Queues a range of the log on disk.
    pub fn stream_log(&self, link: Link, after: Zxid, upto: Zxid) {
        self.links.stream_log(link, after, upto);
    }

    /// Queues a snapshot.
    pub fn send_snapshot(&self, link: Link, zxid: Zxid, cut: Cut, reader: TreeReader) {
        self.links.send_snapshot(link, zxid, cut, reader);
    }

    /// Closes a link behind what is queued on it.
    pub fn close(&self, link: Link, why: &'static str) {
        self.links.close(link, why);
    }

    /// The other side's address, and packets and bytes that wait for it.
    pub fn sight(&self, link: Link) -> Option<(Option<SocketAddr>, usize, usize)> {
        self.links.sight(link)
    }

    /// The tree a link received, see [`Event::SnapshotReceived`].
    pub fn take_received(&self, link: Link) -> Option<DataTree> {
        self.links.take_received(link)
    }

    /// Uses these addresses from now on.
    pub fn set_membership(&self, membership: Arc<Membership>) {
        self.book.commit(&membership, self.sid);
        self.mesh.relisten();
    }

    /// Where a membership wants us to serve clients, if it says so.
    pub fn own_client_address(&self, membership: &Membership) -> Option<(String, u16)> {
        membership.member(self.sid)?.client.clone()
    }

    /// Also knows those of a membership that is only proposed.
    pub fn set_proposed(&self, membership: Arc<Membership>) {
        self.book.propose(membership);
    }

    /// Closes everything.
    pub fn stop(&self) {
        if let Some(oracle) = &self.oracle {
            oracle.stop();
        }
        self.mesh.stop();
        self.links.stop();
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Builder::new().name(name.to_owned()).stack_size(STACK_BYTES).spawn(body).map(drop)
}

/// `host:port`, an IPv6 literal in brackets.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Binds one of our own addresses, or its port on all of them.
fn listen(options: &Options, host: &str, port: u16) -> io::Result<TcpListener> {
    let address = if options.listen_on_all_ips {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
    } else {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no address of {host}"));
        (host, port).to_socket_addrs()?.next().ok_or_else(missing)?
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket
        .bind(&address.into())
        .map_err(|e| io::Error::new(e.kind(), format!("cannot bind {address}: {e}")))?;
    socket.listen(128)?;
    Ok(socket.into())
}
