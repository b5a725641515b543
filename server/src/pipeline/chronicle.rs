//! What an ensemble member tells about its role: log lines that operators' alerts match, metrics of
//! elections, synchronisation and broadcast, and the sight of learners behind `observers`, `mntr`
//! and `zabstate`.
//!
//! Sees every event on its way into the zab core and every action on its way out, and decides
//! nothing. Runs on the replica thread; what others look at is in [`Sight`], behind a lock taken
//! when a role or a learner changes, never per transaction.
//!
//! Follows the messages of `QuorumPeer`, `FastLeaderElection`, `Leader`, `LearnerHandler`,
//! `Follower` and `Observer`. Start reading at [`Chronicle::turn`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tracing::{info, warn};

use crate::base::{Mono, Now, Proposal, Wall, Zxid};
use crate::metrics::{Metrics, Run};
use crate::zab::{Action, Event, Link, Packet, Peer, PeerState, Serving, ZabPhase};

/// Sampled proposals that wait for acks, at most.
const SAMPLES_MAX: usize = 64;

/// Why a leader stops that saw a supporter change its mind (`Leader.QuorumPeer` of ZOOKEEPER-3769).
const DISLOYAL: &str = "a supporter looks again";

/// What a member counts about its role. Shared with whoever asks.
#[derive(Debug, Default)]
pub struct Sight {
    /// How long the last election took, ms, plus one; 0 before the first.
    election: AtomicU64,
    learners: Mutex<BTreeMap<Link, Arc<LearnerSight>>>,
    /// Sizes of proposals, bytes: last, smallest, largest; -1 before the first.
    last_proposal: AtomicI64,
    min_proposal: AtomicI64,
    max_proposal: AtomicI64,
}

/// A learner as its leader sees it.
#[derive(Debug, Default)]
pub struct LearnerSight {
    sid: i64,
    observer: bool,
    /// It introduced itself, ms since 1970.
    pub established: Wall,
    /// Packets from it.
    pub received: AtomicU64,
    /// Packets to it.
    pub sent: AtomicU64,
    /// Requests among those from it.
    pub requests: AtomicU64,
    /// The zxid it acknowledged last.
    pub last_zxid: AtomicI64,
}

impl Sight {
    /// How long the last election took, ms.
    pub fn election_ms(&self) -> Option<u64> {
        self.election.load(Relaxed).checked_sub(1)
    }

    /// A learner's counters, while it is connected.
    pub fn learner(&self, link: Link) -> Option<Arc<LearnerSight>> {
        self.learners.lock().get(&link).cloned()
    }

    /// Last, smallest and largest proposal, bytes; -1 before the first.
    pub fn proposal_sizes(&self) -> (i64, i64, i64) {
        let all = [&self.last_proposal, &self.min_proposal, &self.max_proposal];
        let [last, min, max] = all.map(|size| size.load(Relaxed));
        (last, min, max)
    }

    /// Forgets proposal sizes (`srst`).
    pub fn reset_proposal_sizes(&self) {
        for size in [&self.last_proposal, &self.min_proposal, &self.max_proposal] {
            size.store(-1, Relaxed);
        }
    }

    /// Forgets the counters of observers (`observer_connection_stat_reset`).
    pub fn reset_observers(&self) {
        for learner in self.learners.lock().values() {
            if learner.observer {
                for counter in [&learner.received, &learner.sent, &learner.requests] {
                    counter.store(0, Relaxed);
                }
            }
        }
    }
}

/// The chronicle of one member.
pub(super) struct Chronicle {
    metrics: Arc<Metrics>,
    sight: Arc<Sight>,
    my_id: i64,
    /// `zookeeper.leader.ackLoggingFrequency`, 0 for none.
    ack_every: u64,
    state: PeerState,
    looking_since: Mono,
    unavailable_since: Option<Mono>,
    sync_since: Option<Mono>,
    /// Why the role is about to end.
    why: &'static str,
    /// Last zxids of learners, as they said in ACKEPOCH.
    peer_last: BTreeMap<Link, Zxid>,
    /// Learners being synchronised: by snapshot or not.
    syncing: BTreeMap<Link, bool>,
    /// Sampled proposals: zxid and the proposer's stamp.
    samples: VecDeque<(Zxid, i64)>,
    last: Zxid,
    last_stamp: i64,
    serving: bool,
    shown: (PeerState, ZabPhase, &'static str),
}

impl Chronicle {
    pub fn new(metrics: Arc<Metrics>, sight: Arc<Sight>, peer: &Peer, ack_every: u64) -> Self {
        let my_id = peer.sid().0;
        sight.reset_proposal_sizes();
        let mut chronicle = Self {
            metrics,
            sight,
            my_id,
            ack_every,
            state: PeerState::Looking,
            looking_since: Mono(0),
            unavailable_since: None,
            sync_since: None,
            why: "",
            peer_last: BTreeMap::new(),
            syncing: BTreeMap::new(),
            samples: VecDeque::new(),
            last: peer.last_logged(),
            last_stamp: i64::MAX,
            serving: false,
            shown: (PeerState::Looking, ZabPhase::Election, ""),
        };
        chronicle.looks(crate::net::clock::mono());
        chronicle
    }

    fn is_leading(&self) -> bool {
        self.state == PeerState::Leading
    }

    /// An event on its way in.
    pub fn event(&mut self, now: Now, event: &Event) {
        match event {
            Event::Packets(link, packets) => self.packets(now, *link, packets),
            Event::Notification { from, notification: n } => {
                let vote = &n.vote;
                info!(
                    "Notification: my state:{}; n.sid:{}, n.state:{}, n.leader:{}, n.round:0x{:x}, \
                     n.peerEpoch:0x{:x}, n.zxid:0x{:x}, message format version:0x{:x}",
                    name(self.state).to_ascii_uppercase(),
                    from.0,
                    name(n.state).to_ascii_uppercase(),
                    vote.leader.0,
                    vote.round,
                    vote.epoch.0,
                    vote.zxid.0,
                    n.version
                );
            }
            Event::Connected { .. } => self.sync_since = Some(now.mono),
            Event::LinkDown(link) => self.learner_gone(*link),
            _ => {}
        }
    }

    fn packets(&mut self, now: Now, link: Link, packets: &[Packet]) {
        if self.is_leading() {
            return packets.iter().for_each(|packet| self.learner_says(now, link, packet));
        }
        let (mut proposals, mut commits) = (0, 0);
        let mut ages = Run::default();
        for packet in packets {
            match packet {
                Packet::Proposal(proposal) if self.serving => {
                    proposals += 1;
                    if let Ok(age) = u64::try_from(now.wall.0 - proposal.header.time) {
                        ages.add(age, &self.metrics.proposal_latency);
                    }
                }
                Packet::Commit(_)
                | Packet::CommitAndActivate { .. }
                | Packet::Inform(_)
                | Packet::InformAndActivate { .. } => commits += 1,
                Packet::Diff(zxid) => info!("Getting a diff from the leader 0x{:x}", zxid.0),
                Packet::Snap(zxid) => info!("Getting a snapshot from leader 0x{:x}", zxid.0),
                Packet::Trunc(zxid) => {
                    warn!("Truncating log to get in sync with the leader 0x{:x}", zxid.0);
                }
                _ => {}
            }
        }
        if self.serving {
            ages.enter(&self.metrics.proposal_latency);
            self.metrics.learner_proposal_received_count.add(proposals);
            self.metrics.learner_commit_received_count.add(commits);
        }
    }

    fn learner_says(&mut self, now: Now, link: Link, packet: &Packet) {
        if let Packet::LearnerInfo { observer, sid, .. } = packet {
            let learner = LearnerSight {
                sid: sid.map_or(-1, |sid| sid.0),
                observer: *observer,
                established: now.wall,
                received: AtomicU64::new(1),
                sent: AtomicU64::new(0),
                requests: AtomicU64::new(0),
                last_zxid: AtomicI64::new(-1),
            };
            info!("Follower sid: {} : info : {}", learner.sid, packet.name());
            self.sight.learners.lock().insert(link, Arc::new(learner));
            return;
        }
        let learner = self.sight.learners.lock().get(&link).cloned();
        if let Some(learner) = &learner {
            learner.received.fetch_add(1, Relaxed);
        }
        match packet {
            Packet::AckEpoch { last, .. } => _ = self.peer_last.insert(link, *last),
            Packet::Ack(zxid) if zxid.counter() == 0 => {
                if let Some(learner) = learner {
                    learner.last_zxid.store(zxid.0, Relaxed);
                }
                self.synced(link);
            }
            Packet::Ack(zxid) => {
                let Some(learner) = learner else { return };
                learner.last_zxid.store(zxid.0, Relaxed);
                if !self.is_sampled(zxid.0) {
                    return;
                }
                let sample = self.samples.iter().find(|(at, _)| at == zxid);
                if let Some((_, stamp)) = sample {
                    let summary = self.metrics.ack_latency.summary(&learner.sid.to_string());
                    add_age(&summary, now, *stamp);
                }
            }
            Packet::Request(_) => {
                if let Some(learner) = learner {
                    learner.requests.fetch_add(1, Relaxed);
                }
            }
            Packet::Revalidate { .. } => self.metrics.revalidate_count.add(1),
            _ => {}
        }
    }

    /// NEWLEADER is acknowledged: this learner's sync is over.
    fn synced(&mut self, link: Link) {
        let Some(by_snapshot) = self.syncing.remove(&link) else { return };
        self.inflight(by_snapshot);
    }

    fn inflight(&self, by_snapshot: bool) {
        let count = self.syncing.values().filter(|snap| **snap == by_snapshot).count() as i64;
        match by_snapshot {
            true => self.metrics.inflight_snap_count.add(count),
            false => self.metrics.inflight_diff_count.add(count),
        }
    }

    fn learner_gone(&mut self, link: Link) {
        self.peer_last.remove(&link);
        self.syncing.remove(&link);
        if let Some(learner) = self.sight.learners.lock().remove(&link) {
            warn!("******* GOODBYE sid: {} ********", learner.sid);
        }
    }

    /// A transaction goes to the log.
    fn appended(&mut self, proposal: &Proposal) {
        self.last = proposal.zxid();
        self.last_stamp = proposal.header.time;
        if !self.is_leading() {
            return;
        }
        self.metrics.proposal_count.add(1);
        let size = proposal.payload.len() as i64;
        let sight = &self.sight;
        sight.last_proposal.store(size, Relaxed);
        sight.max_proposal.fetch_max(size, Relaxed);
        let min = sight.min_proposal.load(Relaxed);
        if min < 0 || size < min {
            sight.min_proposal.store(size, Relaxed);
        }
        if self.is_sampled(proposal.header.zxid) {
            if self.samples.len() >= SAMPLES_MAX {
                self.samples.pop_front();
            }
            self.samples.push_back((proposal.zxid(), proposal.header.time));
        }
    }

    /// True for each of `ack_every` transactions.
    fn is_sampled(&self, zxid: i64) -> bool {
        self.ack_every > 0 && (zxid as u64).is_multiple_of(self.ack_every)
    }

    /// Transactions are committed.
    fn committed(&self, count: u64) {
        if count > 0 && self.is_leading() {
            self.metrics.commit_count.add(count as i64);
        }
    }

    /// Everything appended up to here is on our own disk: our ack.
    pub fn durable(&self, now: Now, zxid: Zxid) {
        for (at, stamp) in &self.samples {
            if *at == zxid {
                let summary = self.metrics.ack_latency.summary(&self.my_id.to_string());
                add_age(&summary, now, *stamp);
            }
        }
    }

    /// An action on its way out.
    pub fn action(&mut self, now: Now, action: &Action) {
        match action {
            Action::Send(link, packet) => self.sent(now, *link, packet),
            Action::SendSnapshot { link, zxid } => {
                self.sync_begins(*link, true);
                let peer = self.peer_last.get(link).copied().unwrap_or(Zxid(-1));
                info!(
                    "Sending snapshot last zxid of peer is 0x{:x}, zxid of leader is 0x{:x}",
                    peer.0, zxid.0
                );
                self.metrics.snap_count.add(1);
            }
            Action::CloseLink(link, why) => {
                if !self.sight.learners.lock().contains_key(link) {
                    self.why = why;
                }
                self.learner_gone(*link);
            }
            Action::Close(why) => self.why = why,
            Action::Open(serving, epoch) => self.opened(now.mono, *serving, epoch.0),
            _ => {}
        }
    }

    fn sync_begins(&mut self, link: Link, by_snapshot: bool) {
        let sid = self.sight.learners.lock().get(&link).map_or(-1, |learner| learner.sid);
        let peer = self.peer_last.get(&link).copied().unwrap_or(Zxid(-1));
        info!(
            "Synchronizing with Learner sid: {sid} lastProcessedZxid=0x{:x} peerLastZxid=0x{:x}",
            self.last.0, peer.0
        );
        self.syncing.insert(link, by_snapshot);
        self.inflight(by_snapshot);
    }

    fn sent(&mut self, now: Now, link: Link, packet: &Packet) {
        if !self.is_leading() {
            // One ack stands for all before it: measured is the last, Java measures each.
            if let Packet::Ack(zxid) = packet
                && *zxid == self.last
            {
                add_age(&self.metrics.proposal_ack_creation_latency, now, self.last_stamp);
            }
            return;
        }
        let learner = self.sight.learners.lock().get(&link).cloned();
        let sid = learner.as_ref().map_or(-1, |learner| learner.sid);
        if let Some(learner) = learner {
            learner.sent.fetch_add(1, Relaxed);
        }
        match packet {
            Packet::Diff(zxid) => {
                self.sync_begins(link, false);
                info!("Sending DIFF zxid=0x{:x} for peer sid: {sid}", zxid.0);
                self.metrics.diff_count.add(1);
            }
            Packet::Trunc(zxid) => {
                self.sync_begins(link, false);
                info!("Sending TRUNC zxid=0x{:x} for peer sid: {sid}", zxid.0);
                self.metrics.diff_count.add(1);
            }
            _ => {}
        }
    }

    /// `QuorumPeer.getDetailedPeerState`, whenever it changes.
    fn phase(&mut self, peer: &Peer) {
        let shown = (peer.state(), peer.phase(), peer.sync_mode().unwrap_or_default());
        if shown == self.shown {
            return;
        }
        self.shown = shown;
        let (state, phase, sync) = shown;
        if state == PeerState::Looking {
            return;
        }
        let mut text = name(state).to_owned();
        for part in [phase.name(), sync] {
            if !part.is_empty() {
                text.push_str(" - ");
                text.push_str(part);
            }
        }
        info!("Peer state changed: {text}");
    }

    fn opened(&mut self, now: Mono, serving: Serving, epoch: i64) {
        self.serving = true;
        if serving == Serving::Leader {
            let learners = self.sight.learners.lock();
            let mut sids: Vec<i64> = learners.values().map(|learner| learner.sid).collect();
            drop(learners);
            sids.push(self.my_id);
            sids.sort_unstable();
            let sids: Vec<String> = sids.iter().map(i64::to_string).collect();
            info!(
                "Have quorum of supporters, sids: [{}]; starting up and setting last processed \
                 zxid: 0x{:x}",
                sids.join(","),
                epoch << 32
            );
        }
        let since = self.sync_since.take().map(|since| now.since(since) as i64);
        match (serving, since) {
            (Serving::Follower, Some(ms)) => self.metrics.follower_sync_time.add(ms),
            (Serving::Observer, Some(ms)) => self.metrics.observer_sync_time.add(ms),
            _ => {}
        }
        if let Some(since) = self.unavailable_since.take() {
            let ms = now.since(since) as i64;
            self.metrics.unavailable_time.add(ms);
            if serving == Serving::Leader {
                self.metrics.leader_unavailable_time.add(ms);
            }
        }
    }

    /// After each turn of the core: what it ordered, and whether the role changed.
    pub fn turn<T>(&mut self, now: Now, peer: &Peer, actions: &[crate::replica::Action<T>]) {
        // A role that ended is told with its reason, a new one before its first deeds.
        let ended = peer.state() == PeerState::Looking;
        if !ended {
            self.role(now.mono, peer);
        }
        let mut commits = 0;
        for action in actions {
            match action {
                crate::replica::Action::Append(proposal) => self.appended(proposal),
                crate::replica::Action::Apply(commit) => {
                    commits += u64::from(matches!(commit, crate::replica::Commit::Txn { .. }));
                }
                crate::replica::Action::Zab(action) => self.action(now, action),
                crate::replica::Action::ReadOnly(_) => {}
            }
        }
        self.committed(commits);
        if ended {
            self.role(now.mono, peer);
        }
        self.phase(peer);
    }

    fn role(&mut self, now: Mono, peer: &Peer) {
        let state = peer.state();
        if state == self.state {
            return;
        }
        let before = std::mem::replace(&mut self.state, state);
        if before != PeerState::Looking {
            self.ended(before);
        }
        let took = now.since(self.looking_since);
        match state {
            PeerState::Looking => return self.looks(now),
            PeerState::Leading => {
                info!("LEADING");
                self.sight.reset_proposal_sizes();
                info!("LEADING - LEADER ELECTION TOOK - {took} MS");
            }
            PeerState::Following => {
                info!("FOLLOWING");
                info!("FOLLOWING - LEADER ELECTION TOOK - {took} MS");
            }
            PeerState::Observing => info!("OBSERVING"),
        }
        if state != PeerState::Observing {
            self.metrics.election_time.add(took as i64);
        }
        self.sight.election.store(took + 1, Relaxed);
    }

    fn ended(&mut self, state: PeerState) {
        self.serving = false;
        let why = std::mem::take(&mut self.why);
        match state {
            PeerState::Leading => {
                info!("Shutdown called. For the reason {why}");
                if why == DISLOYAL {
                    self.metrics.quit_leading_due_to_disloyal_voter.add(1);
                }
            }
            PeerState::Following => warn!("Exception when following the leader: {why}"),
            PeerState::Observing => warn!("Exception when observing the leader: {why}"),
            PeerState::Looking => {}
        }
        self.sight.learners.lock().clear();
        self.peer_last.clear();
        self.syncing.clear();
        self.samples.clear();
        self.sync_since = None;
    }

    fn looks(&mut self, now: Mono) {
        info!("LOOKING");
        self.metrics.looking_count.add(1);
        self.looking_since = now;
        self.unavailable_since.get_or_insert(now);
        info!("New election. My id = {}, proposed zxid=0x{:x}", self.my_id, self.last.0);
    }
}

fn name(state: PeerState) -> &'static str {
    match state {
        PeerState::Looking => "looking",
        PeerState::Leading => "leading",
        PeerState::Following => "following",
        PeerState::Observing => "observing",
    }
}

/// From the proposer's stamp until now; nothing if its clock is ahead of ours.
fn add_age(summary: &crate::metrics::Summary, now: Now, stamp: i64) {
    let age = now.wall.0 - stamp;
    if age >= 0 {
        summary.add(age);
    }
}
