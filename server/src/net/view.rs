//! What operators may see of a running server: the source of the four-letter words and of the
//! HTTP commands.
//!
//! [`ServerView`] is a trait so that formatting can be tested with a literal server. Every method
//! is a snapshot; none blocks for longer than a guard of the tree or of the replica core, or a turn of
//! the I/O threads, which hand in what they counted.

use std::net::SocketAddr;
use std::time::Duration;

use crate::base::{Mono, SessionId, Zxid};
use crate::metrics::GaugeSet;

/// The role a server reports (`Mode:` line, `server_state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One server, no ensemble.
    Standalone,
    /// Elected leader.
    Leader,
    /// Voting learner.
    Follower,
    /// Learner without vote.
    Observer,
    /// Cut off from the quorum, serving reads (`ReadOnlyZooKeeperServer`).
    ReadOnly,
}

impl Mode {
    /// The word of the `Mode:` line.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Standalone => "standalone",
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::ReadOnly => "read-only",
        }
    }
}

/// Counters of the whole server (`ServerStats`).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StatsView {
    /// Frames received from clients; a four-letter word counts as one.
    pub packets_received: u64,
    /// Frames sent to clients.
    pub packets_sent: u64,
    /// Shortest time from a request's arrival to its reply, ms.
    pub latency_min_ms: u64,
    /// Mean of the same.
    pub latency_avg_ms: f64,
    /// Longest of the same, ms.
    pub latency_max_ms: u64,
    /// Requests accepted and not yet answered.
    pub outstanding: u64,
    /// Open connections on all client ports, those without a session included.
    pub connections: u64,
    /// Log syncs that took longer than `fsync.warningthresholdms`.
    pub fsync_threshold_exceeded: u64,
    /// Failed authentications.
    pub auth_failed: u64,
    /// Size of the last, smallest and largest reply in bytes, -1 before the first
    /// (`BufferStats` of client responses).
    pub response_size: (i64, i64, i64),
    /// Since the server started serving.
    pub uptime: Duration,
}

/// One connection (`cons`, `stat`, JMX `Connections`).
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionView {
    /// The client's address.
    pub remote: SocketAddr,
    /// NIO interest set: 1 read, 4 write, 5 both; 0 for the asking connection.
    pub interest_ops: u8,
    /// Requests accepted and not yet answered.
    pub outstanding: u64,
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub sent: u64,
    /// Came in over the secure port.
    pub secure: bool,
    /// Accepted, ms since 1970.
    pub established_ms: i64,
    /// What is known only once there is a session.
    pub session: Option<ConnectionSessionView>,
}

/// The session part of a [`ConnectionView`].
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionSessionView {
    /// The session.
    pub id: SessionId,
    /// Negotiated timeout, ms.
    pub timeout_ms: i32,
    /// Connection established, ms since 1970.
    pub established_ms: i64,
    /// Op code of the last answered request, `None` before the first. The handshake counts as
    /// `createSession`.
    pub last_op: Option<i32>,
    /// Xid of the last answered request; printed unless negative.
    pub last_cxid: i64,
    /// Zxid in the last reply.
    pub last_zxid: Zxid,
    /// When the last reply was queued, monotonic ms.
    pub last_response: Mono,
    /// Latency of the last request, ms.
    pub last_latency_ms: u64,
    /// Smallest latency, ms.
    pub min_latency_ms: u64,
    /// Mean latency, ms (integer division).
    pub avg_latency_ms: u64,
    /// Largest latency, ms.
    pub max_latency_ms: u64,
}

/// Expiry buckets as `dump` prints them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionsView {
    /// Bucket time (ms since 1970) and the sessions that expire then, in order of time.
    pub buckets: Vec<(i64, Vec<SessionId>)>,
    /// Every session of this server with its timeout in ms.
    pub sessions: Vec<(SessionId, i32)>,
    /// Sessions with their ephemeral znodes.
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
    /// Buckets of connections: bucket time (ms since 1970), address and session (0 without).
    pub connections: Vec<(i64, Vec<(SocketAddr, SessionId)>)>,
}

/// Watches as `wchs`, `wchc`, `wchp` print them; the data table only, as in Java.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WatchesView {
    /// Session and the paths its connection watches.
    pub by_session: Vec<(SessionId, Vec<String>)>,
    /// Number of (connection, path) pairs.
    pub total: u64,
    /// Number of distinct paths.
    pub paths: u64,
}

/// Sizes that `mntr` and `srvr` show about the tree.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TreeView {
    /// Last applied transaction.
    pub last_zxid: Zxid,
    /// Number of znodes.
    pub node_count: u64,
    /// Number of ephemeral znodes.
    pub ephemerals_count: u64,
    /// Sum of path and data lengths (`approximateDataSize`).
    pub data_size: u64,
    /// Entries in the watch tables.
    pub watch_count: u64,
    /// Digests recorded every 128 zxids, newest last: zxid and digest (`hash`).
    pub digests: Vec<(Zxid, i64)>,
}

/// Gauges that come from elsewhere than the other views.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExtraGauges {
    /// Global sessions.
    pub global_sessions: u64,
    /// Local sessions.
    pub local_sessions: u64,
    /// Probability with which the connection throttle refuses a handshake.
    pub connection_drop_probability: f64,
    /// TLS handshakes running.
    pub outstanding_tls_handshakes: u64,
    /// Connections without a verified client certificate, from other hosts.
    pub non_mtls_remote: u64,
    /// The same, from this host.
    pub non_mtls_local: u64,
    /// `quota_count_limit_per_namespace` and its three siblings.
    pub quotas: Vec<GaugeSet>,
    /// Memory of the watch tables, bytes, estimated.
    pub watch_bytes: u64,
    /// Resident memory of the process, bytes.
    pub resident_bytes: u64,
}

/// What an ensemble member shows besides.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PeerView {
    /// State and phase: `leading - broadcast`, `following - synchronization - diff`.
    pub state: String,
    /// Our own id.
    pub my_id: i64,
    /// How long the last election took, ms.
    pub election_ms: Option<u64>,
    /// On an observer, the id of its learner master.
    pub observer_master_id: Option<i64>,
    /// Voting members.
    pub quorum_size: u64,
    /// Own election ports.
    pub election_ports: Vec<u16>,
    /// Own quorum ports.
    pub quorum_ports: Vec<u16>,
    /// Whether this server observes.
    pub observer: bool,
    /// Text of `/zookeeper/config`: member lines and `version=<hex>`, no newline at the end.
    pub membership: String,
    /// The leader's id, if there is one.
    pub leader_id: Option<i64>,
    /// The leader's address, if there is one.
    pub leader_ip: Option<String>,
    /// Observers in sync, on a leader and on an observer master.
    pub synced_observers: Option<u64>,
    /// On a leader.
    pub leader: Option<LeaderView>,
    /// The phase alone: `election`, `discovery`, `synchronization`, `broadcast`.
    pub zab_state: &'static str,
    /// Whether this server votes in the committed membership.
    pub voting: bool,
    /// Every member of the committed membership, in order of id.
    pub members: Vec<MemberView>,
    /// Connected learners, on a leader and on an observer master.
    pub learners: Vec<LearnerView>,
}

/// A member as the committed membership describes it (`QuorumServer`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberView {
    /// N of `server.N`.
    pub sid: i64,
    /// `host:port` of each quorum port.
    pub server_addresses: Vec<String>,
    /// `host:port` of each election port.
    pub election_addresses: Vec<String>,
    /// `host:port` for clients, if the member line names it.
    pub client_address: Option<String>,
    /// Does not vote.
    pub observer: bool,
}

/// A connected learner (`LearnerHandler`, `ObserverMaster`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnerView {
    /// Its id; negative for one that sent none.
    pub sid: i64,
    /// Where it comes from, while it is connected.
    pub remote: Option<SocketAddr>,
    /// It observes.
    pub observer: bool,
    /// It votes in the committed membership.
    pub voting: bool,
    /// It is in sync.
    pub synced: bool,
    /// Its link, for whoever wants to close it.
    pub link: u64,
    /// It introduced itself, ms since 1970.
    pub established_ms: i64,
    /// Packets waiting for it.
    pub queued: u64,
    /// Their bytes.
    pub queued_bytes: u64,
    /// Packets from it.
    pub received: u64,
    /// Packets to it.
    pub sent: u64,
    /// Requests among those from it.
    pub requests: u64,
    /// The zxid it acknowledged last, -1 before the first.
    pub last_zxid: i64,
}

/// What a leader shows besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeaderView {
    /// Connected learners.
    pub learners: u64,
    /// Followers in sync.
    pub synced_followers: u64,
    /// Followers in sync that do not vote.
    pub synced_non_voting_followers: u64,
    /// `sync` requests waiting.
    pub pending_syncs: u64,
    /// Time as the leader.
    pub uptime: Duration,
}

/// The sight of a running server. Implemented by `server::View`; literal in tests.
pub trait ServerView: Send + Sync {
    /// False while the server has no role (election) or is shutting down.
    fn serving(&self) -> bool;
    /// The role.
    fn mode(&self) -> Mode;
    /// Counters.
    fn stats(&self) -> StatsView;
    /// The tree in numbers.
    fn tree(&self) -> TreeView;
    /// Connections, in no order.
    fn connections(&self) -> Vec<ConnectionView>;
    /// Sessions and expiry buckets.
    fn sessions(&self) -> SessionsView;
    /// Watches.
    fn watches(&self) -> WatchesView;
    /// Apparent size of all files in the snapshot and the log directory, bytes.
    fn dir_sizes(&self) -> (u64, u64);
    /// Addresses the client listeners are bound to (real ports), and the secure ones.
    fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>);
    /// Last, smallest and largest proposal in bytes, -1 before the first; `None` unless leading.
    fn proposal_sizes(&self) -> Option<(i64, i64, i64)>;
    /// Gauges that come from elsewhere.
    fn gauges(&self) -> ExtraGauges {
        ExtraGauges::default()
    }
    /// The newest snapshot: its zxid and its time in seconds since 1970.
    fn last_snapshot(&self) -> Option<(Zxid, i64)> {
        None
    }
    /// The ensemble, `None` on a standalone server.
    fn peer(&self) -> Option<PeerView> {
        None
    }
    /// `srst`: counters and latencies of the view; the metrics are reset by the words.
    fn reset_stats(&self);
    /// The same for the sizes of proposals, which the HTTP command leaves alone.
    fn reset_proposal_sizes(&self) {}
    /// `observer_connection_stat_reset`.
    fn reset_observer_stats(&self) {}
    /// `crst`.
    fn reset_connection_stats(&self);
}
