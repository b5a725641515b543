//! What goes into a [`super::Peer`] and what comes out of it.

use std::sync::Arc;

use super::{ForwardedRequest, Membership, Mutations, Notification, Packet};
use crate::base::{Epoch, Proposal, SessionId, Sid, Zxid};

/// One connection between a learner and a leader, on either side. The driver numbers them and
/// never uses a number twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link(pub u64);

/// Settings of a peer. Times in ms.
#[derive(Debug, Clone)]
pub struct Options {
    /// Our own sid.
    pub sid: Sid,
    /// `tickTime`.
    pub tick_ms: u64,
    /// `initLimit`, in ticks.
    pub init_limit: u64,
    /// `syncLimit`, in ticks.
    pub sync_limit: u64,
    /// `connectToLearnerMasterLimit`, in ticks; 0 means `init_limit`.
    pub connect_limit: u64,
    /// `zookeeper.fastleader.minNotificationInterval`.
    pub notification_min_ms: u64,
    /// `zookeeper.fastleader.maxNotificationInterval`.
    pub notification_max_ms: u64,
    /// How long a quorum of equal votes must stand before it is believed (Java: 200). Only a
    /// heuristic: safety comes from discovery. Skipped when every voter voted the same.
    pub finalize_wait_ms: u64,
    /// `zookeeper.leader.maxTimeToWaitForEpoch`; none is off.
    pub wait_for_epoch_max_ms: Option<u64>,
    /// `zookeeper.commitLogCount`: committed transactions kept for DIFF. The configuration sees to
    /// the floor of 500.
    pub window: usize,
    /// `zookeeper.forceSnapshotSync`.
    pub force_snapshot: bool,
    /// `zookeeper.leader.maxConcurrentSnapSyncs`: an observer that would be one more is refused;
    /// participants never are.
    pub snap_syncs_max: usize,
    /// `zookeeper.leader.maxConcurrentDiffSyncs`, likewise for DIFF and TRUNC.
    pub diff_syncs_max: usize,
    /// `zookeeper.leaderConnectDelayDuringRetryMs`: longest pause between attempts to reach the
    /// leader; the first ones are shorter.
    pub connect_pause_max_ms: u64,
    /// `zookeeper.observer.election.DelayMs`: an observer that lost its leader waits for a time drawn
    /// below this before it looks for another, so that not all come at once.
    pub observer_delay_ms: u64,
    /// `observer.reconnectDelayMs`: the same on top of that; 0 for none.
    pub observer_reconnect_ms: u64,
    /// For drawing that time.
    pub seed: u64,
    /// `reconfigEnabled`: memberships learned from others are adopted.
    pub reconfig_enabled: bool,
    /// `observerMasterPort` is set: followers serve observers, and observers look for followers.
    pub observer_master: bool,
    /// Historical bugs put back in by tests; empty in production.
    pub mutations: Mutations,
}

impl Options {
    /// Java's defaults with the ticks of the sample `zoo.cfg`.
    pub fn new(sid: Sid) -> Self {
        Options {
            sid,
            tick_ms: 2000,
            init_limit: 10,
            sync_limit: 5,
            connect_limit: 0,
            notification_min_ms: 200,
            notification_max_ms: 60_000,
            finalize_wait_ms: 200,
            wait_for_epoch_max_ms: None,
            window: 500,
            force_snapshot: false,
            snap_syncs_max: 10,
            diff_syncs_max: 100,
            connect_pause_max_ms: 100,
            observer_delay_ms: 200,
            observer_reconnect_ms: 0,
            seed: 1,
            reconfig_enabled: false,
            observer_master: false,
            mutations: Mutations::NONE,
        }
    }
}

/// What the disk held when the process started.
#[derive(Debug, Clone)]
pub struct Restored {
    /// End of the log (or of the snapshot, if nothing follows it). Everything up to it is in the
    /// tree. -1 counts as 0.
    pub last: Zxid,
    /// The disk was empty without anybody vouching for it, and no leader's whole history has been on
    /// it since: it must not be trusted with a vote.
    pub untrusted: bool,
    /// Transactions up to `last` without a gap, oldest first; may be empty.
    pub recent: Vec<Arc<Proposal>>,
    /// `acceptedEpoch`.
    pub accepted: Epoch,
    /// `currentEpoch`.
    pub current: Epoch,
    /// Committed membership.
    pub committed: Arc<Membership>,
    /// The proposed one (`.dynamic.next`), if newer.
    pub last_seen: Option<Arc<Membership>>,
}

/// What a serving server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serving {
    /// Established leader.
    Leader,
    /// Synced participant.
    Follower,
    /// Synced observer.
    Observer,
}

/// Phase of the protocol (`QuorumPeer.ZabState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ZabPhase {
    /// No leader.
    Election,
    /// A new epoch is agreed on.
    Discovery,
    /// Histories are made equal.
    Synchronization,
    /// Transactions flow.
    Broadcast,
}

impl ZabPhase {
    /// Java's name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ZabPhase::Election => "election",
            ZabPhase::Discovery => "discovery",
            ZabPhase::Synchronization => "synchronization",
            ZabPhase::Broadcast => "broadcast",
        }
    }
}

/// A learner as its leader sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerStatus {
    /// Its link.
    pub link: Link,
    /// Its sid; negative for one that sent none.
    pub sid: Sid,
    /// It asked to observe.
    pub observer: bool,
    /// It votes in the committed membership.
    pub votes: bool,
    /// It acked NEWLEADER.
    pub synced: bool,
}

/// How a learner is brought up to date; see [`Action::Syncing`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncKind {
    /// DIFF from memory.
    Diff,
    /// DIFF that begins in the log on disk.
    LogDiff,
    /// TRUNC, then DIFF from memory.
    Trunc,
    /// TRUNC, then DIFF that begins in the log on disk.
    LogTrunc,
    /// A snapshot.
    Snap,
}

/// Who asked for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyncOrigin {
    /// A learner's client; the answer is a SYNC packet.
    Learner(Link),
    /// Our own client; the answer is [`Action::SyncDone`] with this number.
    Local(u64),
}

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Event {
    /// [`super::Peer::next_timeout`] has come. Feeding it early is harmless.
    Timeout,
    /// A message of the election port.
    Notification {
        /// Sender, as its connection is known.
        from: Sid,
        /// The message.
        notification: Notification,
    },
    /// A learner connected to our quorum port.
    LinkUp(Link),
    /// [`Action::Connect`] succeeded.
    Connected {
        /// The leader we wanted.
        sid: Sid,
        /// The new link.
        link: Link,
    },
    /// [`Action::Connect`] failed.
    ConnectFailed(Sid),
    /// A link is gone, whoever closed it. Nothing follows from it.
    LinkDown(Link),
    /// Packets of a link that came together, in order. What their acks commit is found once.
    Packets(Link, Vec<Packet>),
    /// Everything appended up to this zxid is on disk.
    Durable(Zxid),
    /// The log could not be written or synced.
    LogFailed,
    /// The oldest unanswered [`Action::SaveEpochs`] is on disk.
    EpochsSaved,
    /// [`Action::Truncate`] is done: the zxid at which log and tree end now, which is the greatest
    /// not above the one asked for. None if the disk does not reach back that far; nothing changed.
    Truncated(Option<Zxid>),
    /// The stream behind a SNAP packet was received and checked; it is not on disk yet.
    SnapshotReceived(Link),
    /// [`Action::InstallSnapshot`] is done.
    SnapshotInstalled,
    /// Answer to [`Action::FindInLog`]: the greatest logged zxid not above the peer's and the one
    /// that follows it, if the log reaches back that far and is worth sending. The log from there
    /// on must stay until the link is gone.
    LogFloor {
        /// The learner's link.
        link: Link,
        /// What was found.
        floor: Option<(Zxid, Zxid)>,
    },
    /// Leader: a transaction prepared by us, with [`super::Peer::next_zxid`].
    Propose(Arc<Proposal>),
    /// Learner: a request of our client for the leader. Ignored unless serving.
    Forward(ForwardedRequest),
    /// Leader: a sync, behind everything proposed so far.
    Sync(SyncOrigin),
    /// Learner: a client of this session is alive.
    Touch(SessionId, i32),
    /// Learner: ask the leader about a session.
    Revalidate(SessionId, i32),
    /// Leader: answer to [`Action::Revalidate`].
    Revalidated {
        /// The learner.
        link: Link,
        /// The session.
        session: SessionId,
        /// It lives.
        valid: bool,
    },
    /// The oracle file says whether this server may go on alone.
    Oracle(bool),
}

/// What to do next. Actions are executed in order; none has a condition of its own: whatever had to
/// be durable was durable when the action came out.
///
/// Links and the log are queues: what is sent on one link arrives in that order, behind streams
/// opened on it earlier ([`Action::StreamLog`], [`Action::SendSnapshot`]).
#[derive(Debug, Clone)]
pub enum Action {
    /// Send a vote; may be lost, and replaces an older one not sent yet.
    Notify {
        /// Receiver, never ourselves.
        to: Sid,
        /// The message.
        notification: Notification,
    },
    /// Append to the log and sync soon; answered by [`Event::Durable`].
    Append(Arc<Proposal>),
    /// Write both epoch files (those that changed); answered by [`Event::EpochsSaved`].
    SaveEpochs {
        /// `acceptedEpoch`.
        accepted: Epoch,
        /// `currentEpoch`.
        current: Epoch,
        /// The disk now holds a leader's whole history: if it was emptied before
        /// ([`Restored::untrusted`]), it may be believed from now on, also after a restart.
        synced: bool,
    },
    /// Remember a proposed membership (`.dynamic.next`).
    SaveLastSeen(Arc<Membership>),
    /// A membership is committed (`.dynamic.<version>`, static file, `/zookeeper/config`).
    Activate(Arc<Membership>),
    /// Remove everything behind this zxid from log, snapshots and tree, durably; answered by
    /// [`Event::Truncated`].
    Truncate(Zxid),
    /// Make the snapshot received on this link durable, put older logs and every other snapshot out
    /// of reach of a restart and of DIFF, and replace the tree; answered by
    /// [`Event::SnapshotInstalled`].
    InstallSnapshot {
        /// Where it came from.
        link: Link,
        /// The zxid of the SNAP packet.
        zxid: Zxid,
    },
    /// Dial this server's quorum port; answered by [`Event::Connected`] or
    /// [`Event::ConnectFailed`].
    Connect(Sid),
    /// Dial this server's port for observers; answered like [`Action::Connect`].
    ConnectMaster(Sid),
    /// Start to accept learners on the quorum port, or stop.
    Listen(bool),
    /// Start to accept observers on the port for them, or stop.
    ListenObservers(bool),
    /// Send a packet.
    Send(Link, Packet),
    /// Close a link, after what was sent on it; no answer is needed.
    CloseLink(Link, &'static str),
    /// A learner is about to be brought up to date: for logs and metrics, nothing to do.
    Syncing {
        /// The learner's link.
        link: Link,
        /// Its sid.
        sid: Sid,
        /// How.
        kind: SyncKind,
        /// Its last zxid.
        peer: Zxid,
        /// The zxid of the first packet.
        zxid: Zxid,
    },
    /// Look for a learner's zxid in the log on disk; answered by [`Event::LogFloor`].
    FindInLog {
        /// The learner's link.
        link: Link,
        /// Its last zxid.
        peer: Zxid,
    },
    /// Send `after < zxid <= upto` from the log as PROPOSAL and COMMIT pairs.
    StreamLog {
        /// The learner's link.
        link: Link,
        /// Exclusive start.
        after: Zxid,
        /// Inclusive end.
        upto: Zxid,
    },
    /// Send SNAP and the state of the tree behind every [`Action::Apply`] so far.
    SendSnapshot {
        /// The learner's link.
        link: Link,
        /// Its zxid.
        zxid: Zxid,
    },
    /// The transaction is committed: apply it.
    Apply(Arc<Proposal>),
    /// Serve clients. Leader: its next transaction is `epoch<<32 | 1`.
    Open(Serving, Epoch),
    /// Stop serving: close all clients, forget what was asked and not applied.
    Close(&'static str),
    /// Leader: a learner's client asks for a write or a sync.
    Request(Link, ForwardedRequest),
    /// Leader: sessions alive at a learner.
    Touched(Link, Vec<(SessionId, i32)>),
    /// Leader: does this session live? Answered by [`Event::Revalidated`].
    Revalidate {
        /// The learner, which owns the session from now on if it lives.
        link: Link,
        /// The session.
        session: SessionId,
        /// Timeout in ms.
        timeout_ms: i32,
    },
    /// Learner: the leader's answer about a session.
    Revalidated(SessionId, bool),
    /// A learner is gone; its sessions have no owner.
    LearnerGone(Link),
    /// Leader: the sync with this number is complete, behind every `Apply` so far.
    SyncDone(u64),
    /// Learner: the oldest forwarded sync is complete, behind every `Apply` so far.
    SyncAnswered,
    /// End the process with this exit code.
    Stop(i32, &'static str),
}
