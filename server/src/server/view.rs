//! The sight of a running server, for the four-letter words and the HTTP commands.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::base::{Mono, SessionId, Sid, Zxid};
use crate::ensemble::{Ensemble, join};
use crate::metrics::{GaugeSet, Metrics};
use crate::net::clock;
use crate::net::view::{
    ConnectionSessionView, ConnectionView, ExtraGauges, LeaderView, LearnerView, MemberView, Mode,
    PeerView, ServerView, SessionsView, StatsView, TreeView, WatchesView,
};
use crate::outbox::{Admission, Counters, Registry, Role};
use crate::pipeline::{Pipeline, Sight};
use crate::storage::DataDirs;
use crate::tree::DataTree;
use crate::tree::cell::TreeReader;
use crate::watch::WatchTable;
use crate::zab::{self, PeerState};

/// Buckets of connections without and with a session (`NIOServerCnxnFactory`).
const CONNECTION_BUCKET_MS: i64 = 10_000;

pub(super) struct View {
    pub tree: TreeReader,
    pub watches: Arc<WatchTable>,
    pub registry: Arc<Registry>,
    pub admission: Arc<Admission>,
    pub role: Arc<Role>,
    pub pipeline: Arc<Pipeline>,
    pub dirs: Arc<DataDirs>,
    pub metrics: Arc<Metrics>,
    pub counters: Vec<Arc<Counters>>,
    pub auth_failed: Arc<AtomicU64>,
    /// Probability with which a handshake is dropped, as the bits of a double.
    pub drop_chance: Arc<AtomicU64>,
    /// They move with the membership.
    pub addresses: Arc<Mutex<Vec<SocketAddr>>>,
    pub secure_addresses: Vec<SocketAddr>,
    pub begun: Instant,
    /// Of a member of an ensemble.
    pub ensemble: Option<Arc<Ensemble>>,
}

impl ServerView for View {
    fn serving(&self) -> bool {
        self.role.is_serving()
    }

    fn mode(&self) -> Mode {
        self.pipeline.inspect(|replica, _| match replica.peer() {
            None => Mode::Standalone,
            Some(_) if self.role.is_serving() && self.role.is_read_only() => Mode::ReadOnly,
            Some(peer) => match peer.state() {
                PeerState::Leading => Mode::Leader,
                PeerState::Observing => Mode::Observer,
                PeerState::Following | PeerState::Looking => Mode::Follower,
            },
        })
    }

    fn stats(&self) -> StatsView {
        self.metrics.settle();
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let sum = |field: fn(&Counters) -> &AtomicU64| -> u64 {
            self.counters.iter().map(|counters| read(field(counters))).sum()
        };
        let answered = sum(|c| &c.answered);
        let latency_total = sum(|c| &c.latency_total_ms);
        let least = self.counters.iter().map(|c| read(&c.latency_min_ms)).min();
        let most = self.counters.iter().map(|c| read(&c.latency_max_ms)).max();
        let sizes = |pick: fn(&Counters) -> i64| {
            self.counters.iter().map(move |c| pick(c)).filter(|size| *size >= 0)
        };
        let last = sizes(|c| c.response_last.load(Ordering::Relaxed)).next_back();
        let smallest = sizes(|c| c.response_min.load(Ordering::Relaxed)).min();
        let largest = sizes(|c| c.response_max.load(Ordering::Relaxed)).max();
        StatsView {
            packets_received: sum(|c| &c.received),
            packets_sent: sum(|c| &c.sent),
            latency_min_ms: least.filter(|ms| *ms != u64::MAX).unwrap_or(0),
            latency_avg_ms: if answered == 0 {
                0.0
            } else {
                latency_total as f64 / answered as f64
            },
            latency_max_ms: most.unwrap_or(0),
            outstanding: self.admission.requests() as u64,
            connections: self.registry.connections().len() as u64,
            fsync_threshold_exceeded: self.pipeline.slow_syncs(),
            auth_failed: read(&self.auth_failed),
            response_size: (last.unwrap_or(-1), smallest.unwrap_or(-1), largest.unwrap_or(-1)),
            uptime: self.begun.elapsed(),
        }
    }

    fn tree(&self) -> TreeView {
        // A leader has seen the beginning of its epoch, though no transaction stands there.
        let begun =
            self.pipeline.inspect(|replica, _| replica.peer().and_then(|p| p.epoch_start()));
        let tree = self.tree.read();
        TreeView {
            last_zxid: begun.map_or(tree.last_zxid(), |begun| tree.last_zxid().max(begun)),
            // Java's table holds the root under two names.
            node_count: tree.node_count() as u64 + 1,
            ephemerals_count: tree.ephemeral_count() as u64,
            data_size: tree.approximate_data_size(),
            watch_count: self.watches.watch_count() as u64,
            digests: tree.digest_log().map(|entry| (entry.zxid, entry.digest)).collect(),
        }
    }

    fn connections(&self) -> Vec<ConnectionView> {
        let connections = self.registry.connections();
        let view = connections.iter().map(|outbox| {
            let state = outbox.lock();
            let stats = &state.stats;
            ConnectionView {
                remote: outbox.remote,
                interest_ops: match (state.is_open(), state.taken_bytes > 0) {
                    (true, false) => 1,
                    (true, true) => 5,
                    (false, _) => 0,
                },
                outstanding: state.parked.len() as u64,
                received: stats.received,
                sent: stats.sent,
                secure: outbox.secure,
                established_ms: outbox.accepted.0,
                session: state.attached.map(|attached| ConnectionSessionView {
                    id: attached.session,
                    timeout_ms: attached.timeout_ms,
                    established_ms: outbox.accepted.0,
                    last_op: stats.last_op,
                    last_cxid: stats.last_cxid,
                    last_zxid: stats.shown_zxid(),
                    last_response: stats.last_response,
                    last_latency_ms: stats.last_latency_ms,
                    min_latency_ms: stats.min_latency_ms(),
                    avg_latency_ms: stats.avg_latency_ms(),
                    max_latency_ms: stats.max_latency_ms,
                }),
            }
        });
        view.collect()
    }

    fn sessions(&self) -> SessionsView {
        let (buckets, sessions) = self.pipeline.inspect(|replica, now| {
            let sessions = replica.sessions();
            let wall = |at: crate::base::Mono| now.wall.0 + at.0 as i64 - now.mono.0 as i64;
            let buckets: Vec<_> =
                sessions.expiry_buckets().into_iter().map(|(at, ids)| (wall(at), ids)).collect();
            let timeout = |id| (id, sessions.timeout_ms(id).unwrap_or_default());
            (buckets, sessions.global_ids().map(timeout).collect::<Vec<_>>())
        });
        let is_learner = matches!(self.mode(), Mode::Follower | Mode::Observer);
        let tree = self.tree.read();
        // A learner tracks only its clients; the global sessions are in the database.
        let sessions = if is_learner { tree.sessions().iter().collect() } else { sessions };
        let ephemerals = tree
            .ephemeral_sessions()
            .map(|session| (session, tree.ephemerals_of(session).collect()))
            .collect();
        drop(tree);
        SessionsView { buckets, sessions, ephemerals, connections: self.connection_buckets() }
    }

    fn watches(&self) -> WatchesView {
        let summary = self.watches.summary();
        let by_watcher = self.watches.by_watcher();
        let connections = self.registry.connections();
        let sessions: HashMap<_, SessionId> = connections
            .iter()
            .filter_map(|outbox| Some((outbox.watcher, outbox.lock().attached?.session)))
            .collect();
        let by_session = by_watcher
            .into_iter()
            .filter_map(|(watcher, paths)| Some((*sessions.get(&watcher)?, paths)))
            .collect();
        WatchesView { by_session, total: summary.watches as u64, paths: summary.paths as u64 }
    }

    fn dir_sizes(&self) -> (u64, u64) {
        self.dirs.sizes().unwrap_or_default()
    }

    fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (self.addresses.lock().clone(), self.secure_addresses.clone())
    }

    fn gauges(&self) -> ExtraGauges {
        let local_sessions = self.pipeline.inspect(|replica, _| replica.local_sessions());
        let tree = self.tree.read();
        ExtraGauges {
            local_sessions: local_sessions as u64,
            global_sessions: tree.sessions().len() as u64,
            quotas: quota_gauges(&tree),
            connection_drop_probability: f64::from_bits(self.drop_chance.load(Ordering::Relaxed)),
            watch_bytes: self.watches.memory_bytes() as u64,
            resident_bytes: resident_bytes(),
            ..ExtraGauges::default()
        }
    }

    fn last_snapshot(&self) -> Option<(Zxid, i64)> {
        let newest = self.dirs.snapshots().ok()?.into_iter().next_back()?;
        Some((newest.zxid, newest.modified_ms / 1000))
    }

    fn proposal_sizes(&self) -> Option<(i64, i64, i64)> {
        let sight = self.pipeline.sight()?;
        (self.mode() == Mode::Leader).then(|| sight.proposal_sizes())
    }

    fn reset_proposal_sizes(&self) {
        if let Some(sight) = self.pipeline.sight() {
            sight.reset_proposal_sizes();
        }
    }

    fn reset_observer_stats(&self) {
        if let Some(sight) = self.pipeline.sight() {
            sight.reset_observers();
        }
    }

    fn peer(&self) -> Option<PeerView> {
        let ensemble = self.ensemble.as_ref()?;
        let sight = self.pipeline.sight()?;
        let (view, learners) = self.pipeline.inspect(|replica, now| {
            let peer = replica.peer()?;
            Some(peer_view(peer, now.mono))
        })?;
        Some(PeerView {
            learners: learners.iter().map(|l| learner_view(l, ensemble, sight)).collect(),
            election_ms: sight.election_ms(),
            ..view
        })
    }

    fn reset_stats(&self) {
        self.counters.iter().for_each(|counters| counters.reset());
    }

    fn reset_connection_stats(&self) {
        for outbox in self.registry.connections().iter() {
            outbox.lock().stats.reset();
        }
    }
}

/// What the core of a member knows, and its learners.
fn peer_view(peer: &zab::Peer, now: Mono) -> (PeerView, Vec<zab::LearnerStatus>) {
    let membership = peer.membership();
    let me = membership.member(peer.sid());
    let ports = |pick: fn(&zab::PeerAddress) -> u16| {
        me.map_or_else(Vec::new, |me| me.addresses.iter().map(pick).collect())
    };
    let state = match peer.state() {
        PeerState::Looking => "looking",
        PeerState::Following => "following",
        PeerState::Leading => "leading",
        PeerState::Observing => "observing",
    };
    let mut text = state.to_owned();
    if peer.phase() != zab::ZabPhase::Election {
        text = format!("{text} - {}", peer.phase().name());
    }
    if let Some(mode) = peer.sync_mode() {
        text = format!("{text} - {mode}");
    }
    let learners = peer.learners();
    let count = |wanted: fn(&zab::LearnerStatus) -> bool| {
        learners.iter().filter(|learner| wanted(learner)).count() as u64
    };
    let leader = peer.leading().map(|(pending_syncs, since)| LeaderView {
        learners: learners.len() as u64,
        synced_followers: count(|l| l.synced && !l.observer),
        synced_non_voting_followers: count(|l| l.synced && !l.observer && !l.votes),
        pending_syncs: pending_syncs as u64,
        uptime: Duration::from_millis(now.since(since)),
    });
    let leader_member = peer.leader().and_then(|sid| membership.member(sid));
    let leader_ip = leader_member.map(|member| {
        let hosts: Vec<&str> = member.addresses.iter().map(|a| a.host.as_str()).collect();
        hosts.join("|")
    });
    let observing = peer.state() == PeerState::Observing;
    let view = PeerView {
        state: text,
        my_id: peer.sid().0,
        election_ms: None,
        observer_master_id: observing.then(|| peer.learner_master().map_or(-1, |sid| sid.0)),
        quorum_size: membership.voters().len() as u64,
        election_ports: ports(|address| address.election_port),
        quorum_ports: ports(|address| address.quorum_port),
        observer: me.is_some_and(|me| !me.participant),
        membership: membership.render(),
        leader_id: peer.leader().map(|sid| sid.0),
        leader_ip,
        synced_observers: (leader.is_some() || peer.is_observer_master())
            .then(|| count(|l| l.synced && l.observer)),
        leader,
        zab_state: peer.phase().name(),
        voting: membership.is_voter(peer.sid()),
        members: membership.members().iter().map(|(sid, m)| member_view(*sid, m)).collect(),
        learners: Vec::new(),
    };
    (view, learners)
}

fn member_view(sid: Sid, member: &zab::Member) -> MemberView {
    let all = |pick: fn(&zab::PeerAddress) -> u16| {
        member.addresses.iter().map(|a| join(&a.host, pick(a))).collect()
    };
    MemberView {
        sid: sid.0,
        server_addresses: all(|address| address.quorum_port),
        election_addresses: all(|address| address.election_port),
        client_address: member.client.as_ref().map(|(host, port)| join(host, *port)),
        observer: !member.participant,
    }
}

fn learner_view(learner: &zab::LearnerStatus, ensemble: &Ensemble, sight: &Sight) -> LearnerView {
    let (remote, queued, queued_bytes) = ensemble.sight(learner.link).unwrap_or((None, 0, 0));
    let counts = sight.learner(learner.link).unwrap_or_default();
    let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
    LearnerView {
        sid: learner.sid.0,
        remote,
        observer: learner.observer,
        voting: learner.votes,
        synced: learner.synced,
        link: learner.link.0,
        established_ms: counts.established.0,
        queued: queued as u64,
        queued_bytes: queued_bytes as u64,
        received: read(&counts.received),
        sent: read(&counts.sent),
        requests: read(&counts.requests),
        last_zxid: counts.last_zxid.load(Ordering::Relaxed),
    }
}

/// Resident memory, 0 where the system does not say.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Limits and usage, added up per top-level znode (`QuotaMetricsUtils`). The hard limit counts if
/// there is one.
fn quota_gauges(tree: &DataTree) -> Vec<GaugeSet> {
    let mut sums: BTreeMap<String, [i64; 4]> = BTreeMap::new();
    for quota in tree.quota_prefixes().filter_map(|prefix| tree.quota_of(prefix)) {
        let Some(top) = quota.prefix.split('/').nth(1).filter(|top| !top.is_empty()) else {
            continue;
        };
        let limit = |hard: i64, soft| if hard > -1 { hard } else { soft };
        let values = [
            limit(quota.count_hard_limit, quota.count_limit),
            limit(quota.byte_hard_limit, quota.byte_limit),
            quota.count,
            quota.bytes,
        ];
        let sum = sums.entry(top.to_owned()).or_default();
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(value));
    }
    let names = [
        "quota_count_limit_per_namespace",
        "quota_bytes_limit_per_namespace",
        "quota_count_usage_per_namespace",
        "quota_bytes_usage_per_namespace",
    ];
    let sets = names.into_iter().enumerate().map(|(index, name)| GaugeSet {
        name,
        values: sums.iter().map(|(top, values)| (top.clone(), values[index])).collect(),
    });
    sets.collect()
}

impl View {
    /// Expiry buckets of the connections, as Java's NIO transport keeps them.
    fn connection_buckets(&self) -> Vec<(i64, Vec<(SocketAddr, SessionId)>)> {
        let now = clock::now();
        let mut buckets = BTreeMap::<i64, Vec<_>>::new();
        for outbox in self.registry.connections().iter() {
            let state = outbox.lock();
            let (heard, session, timeout_ms) = match state.attached {
                Some(attached) => {
                    (state.last_heard.0 as i64, attached.session, i64::from(attached.timeout_ms))
                }
                None => (now.mono.0 as i64, SessionId(0), CONNECTION_BUCKET_MS),
            };
            let due = ((heard + timeout_ms) / CONNECTION_BUCKET_MS + 1) * CONNECTION_BUCKET_MS;
            let wall = now.wall.0 + due - now.mono.0 as i64;
            buckets.entry(wall).or_default().push((outbox.remote, session));
        }
        buckets.into_iter().collect()
    }
}
