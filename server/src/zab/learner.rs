//! Follower and observer: the other end of [`super::leader`] (`Learner`, `Follower`, `Observer`).
//!
//! ```text
//!  Connecting ─► WaitLeaderInfo ─► SaveAccepted ─► WaitOp ─┬─ DIFF ──────────────► Syncing
//!                                                          ├─ TRUNC ─► Truncating ──► │
//!                                                          └─ SNAP ─► Receiving ─► Installing
//!  Syncing ─ NEWLEADER ─► WaitDurable ─► SaveCurrent ─ ACK ─► WaitUpToDate ─► Serving
//! ```
//!
//! Order of what must be on disk (`EPOCH-BEFORE-ACK`, `EPOCH-AFTER-HISTORY`, `ACK-AFTER-FSYNC`):
//! `acceptedEpoch`, then ACKEPOCH; the truncation or snapshot, then every transaction before
//! NEWLEADER, then `currentEpoch`, then ACK(NEWLEADER); each later transaction, then its ACK.
//!
//! Java logs proposals that are in flight only after UPTODATE. We log every proposal when it comes:
//! the stream is in history order, so a log that ends anywhere in it is a prefix of the leader's.
//! Their acks wait for UPTODATE, as Java leaders expect (ZOOKEEPER-4685).

mod serve;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jute::proto::op;

use super::core::{Core, Leave};
use super::history::follows;
use super::leader::reconfigured;
use super::liveness::Patience;
use super::observer_master::ObserverMaster;
use super::{
    Action, ForwardedRequest, LearnerStatus, Link, Membership, Mutation, Packet, Serving, ZabPhase,
};
use crate::base::{Epoch, Mono, Proposal, SessionId, Sid, Zxid};

/// Attempts to reach the leader (Java: 5, each the full pause after the last).
const CONNECT_ATTEMPTS_MAX: u32 = 12;

/// First pause between them; doubles up to [`super::Options::connect_pause_max_ms`].
const CONNECT_PAUSE_MIN_MS: u64 = 10;

/// Packets kept while the disk truncates or installs; more than that and we start over.
const BACKLOG_MAX: usize = 200_000;

/// Told by who is not to be counted; leaders give it a number of their own.
const NO_SID: Sid = Sid(-1);

/// Java's exit code for a first sync packet that cannot be carried out.
const EXIT_UNEXPECTED_PACKET: i32 = 13;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting { attempts: u32, retry_at: Option<Mono>, give_up: Mono },
    WaitLeaderInfo,
    SaveAccepted,
    WaitOp,
    Truncating,
    Receiving(Zxid),
    Installing(Zxid),
    Syncing,
    WaitDurable,
    SaveCurrent,
    WaitUpToDate,
    Serving,
}

/// One attempt to follow one leader.
#[derive(Debug)]
pub(super) struct Learner {
    phase: Phase,
    leader: Sid,
    observer: bool,
    /// We vote in this membership, but our disk was emptied: what it promised is forgotten, and no
    /// quorum may be made with us. So we come as an observer, and again when our history is whole.
    emptied: bool,
    /// We vote, and promised to follow no epoch as low as this leader's: it leads with a quorum of
    /// others, and goes on to do so. We observe without a sid, so that nobody counts us. Java's
    /// servers stay out until the next election.
    bystander: bool,
    link: Option<Link>,
    /// Whom we dial: the leader, or for an observer a follower that serves observers.
    target: Sid,
    /// The observers that we serve.
    observers: Option<Box<ObserverMaster>>,
    epoch: Epoch,
    patience: Patience,
    /// Committed up to here, as far as the leader told; applied at UPTODATE.
    committed: Zxid,
    /// Up to here nothing is acked one by one: committed before NEWLEADER, or acked already.
    acked: Zxid,
    /// A received snapshot ends here; older packets of a Java leader are in it.
    snapshot: Zxid,
    /// Where the sync began, for a mutation.
    started_at: Zxid,
    /// What the leader's first packet of the sync was.
    sync_mode: Option<&'static str>,
    /// We hid our log end to get a snapshot.
    wants_snapshot: bool,
    /// Membership of NEWLEADER, to be activated at UPTODATE.
    membership: Option<Arc<Membership>>,
    /// Packets that came while the disk was busy.
    backlog: VecDeque<Packet>,
    touched: BTreeMap<SessionId, i32>,
}

impl Learner {
    pub(super) fn new(now: Mono, leader: Sid, core: &mut Core, out: &mut Vec<Action>) -> Self {
        let limit = match core.options.connect_limit {
            0 => core.init_ms(),
            ticks => ticks * core.options.tick_ms,
        };
        let bystander = core.outrun.take() == Some(leader);
        let mut learner = Learner {
            phase: Phase::Connecting { attempts: 1, retry_at: None, give_up: now.plus_ms(limit) },
            leader,
            observer: core.is_observer() || core.untrusted || bystander,
            bystander,
            emptied: core.untrusted && !core.is_observer(),
            link: None,
            target: leader,
            observers: None,
            epoch: Epoch(0),
            patience: Patience::new(now, core.init_ms()),
            committed: core.history.applied(),
            acked: Zxid(i64::MIN),
            snapshot: Zxid(i64::MIN),
            started_at: core.history.last(),
            sync_mode: None,
            wants_snapshot: false,
            membership: None,
            backlog: VecDeque::new(),
            touched: BTreeMap::new(),
        };
        learner.dial(core, out);
        learner
    }

    fn dial(&mut self, core: &mut Core, out: &mut Vec<Action>) {
        if self.observer
            && !self.emptied
            && !self.bystander
            && core.options.observer_master
            && let Some(master) = core.next_master()
        {
            self.target = master;
            out.push(Action::ConnectMaster(master));
        } else {
            out.push(Action::Connect(self.leader));
        }
    }

    #[cfg(test)]
    pub(super) fn jump(&mut self, zxid: Zxid) {
        (self.committed, self.acked) = (zxid, zxid);
    }

    /// Who serves us, once it is connected.
    pub(super) fn master(&self) -> Option<Sid> {
        self.link.map(|_| self.target)
    }

    pub(super) fn is_observer_master(&self) -> bool {
        self.observers.is_some()
    }

    pub(super) fn observers(&self) -> Vec<LearnerStatus> {
        self.observers.as_ref().map_or_else(Vec::new, |observers| observers.status())
    }

    pub(super) fn leader(&self) -> Sid {
        self.leader
    }

    pub(super) fn zab_phase(&self) -> ZabPhase {
        match self.phase {
            Phase::Connecting { .. }
            | Phase::WaitLeaderInfo
            | Phase::SaveAccepted
            | Phase::WaitOp => ZabPhase::Discovery,
            Phase::Serving => ZabPhase::Broadcast,
            _ => ZabPhase::Synchronization,
        }
    }

    pub(super) fn sync_mode(&self) -> Option<&'static str> {
        self.sync_mode.filter(|_| self.zab_phase() == ZabPhase::Synchronization)
    }

    pub(super) fn is_observer(&self) -> bool {
        self.observer
    }

    pub(super) fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    pub(super) fn next_timeout(&self) -> Mono {
        match self.phase {
            Phase::Connecting { retry_at, give_up, .. } => retry_at.unwrap_or(give_up).min(give_up),
            _ => match &self.observers {
                Some(observers) => self.patience.deadline().min(observers.next_timeout()),
                None => self.patience.deadline(),
            },
        }
    }

    /// Closes what is open; the caller leaves the role.
    pub(super) fn close(&mut self, why: &'static str, out: &mut Vec<Action>) {
        if let Some(mut observers) = self.observers.take() {
            observers.close(why, out);
        }
        if let Some(link) = self.link.take() {
            out.push(Action::CloseLink(link, why));
        }
    }

    // Events.

    pub(super) fn connected(
        &mut self,
        now: Mono,
        sid: Sid,
        link: Link,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        if sid != self.target || !matches!(self.phase, Phase::Connecting { .. }) {
            out.push(Action::CloseLink(link, "no longer wanted"));
            return;
        }
        self.link = Some(link);
        self.phase = Phase::WaitLeaderInfo;
        self.patience = Patience::new(now, core.init_ms());
        let hello = Packet::LearnerInfo {
            observer: self.observer,
            accepted: core.accepted,
            sid: Some(if self.bystander { NO_SID } else { core.me() }),
            protocol: jute::quorum::PROTOCOL_VERSION,
            config_version: core.quorums.committed().version(),
        };
        out.push(Action::Send(link, hello));
    }

    pub(super) fn connect_failed(&mut self, now: Mono, sid: Sid, core: &Core) -> Result<(), Leave> {
        let Phase::Connecting { attempts, retry_at, .. } = &mut self.phase else { return Ok(()) };
        if sid != self.target {
            return Ok(());
        }
        if *attempts >= CONNECT_ATTEMPTS_MAX {
            return Err(Leave("the leader cannot be reached"));
        }
        let max = core.options.connect_pause_max_ms;
        // Short pauses first: the leader opens its port a moment after the election. Doubling ends
        // where Java's five attempts are spent, too.
        let pause = (CONNECT_PAUSE_MIN_MS << (*attempts - 1).min(20)).min(max);
        *retry_at = Some(now.plus_ms(pause));
        Ok(())
    }

    pub(super) fn timeout(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if let Phase::Connecting { attempts, retry_at, give_up } = &mut self.phase {
            if *give_up <= now {
                return Err(Leave("the leader cannot be reached in time"));
            }
            if retry_at.is_some_and(|at| at <= now) {
                *retry_at = None;
                *attempts += 1;
                self.dial(core, out);
            }
            return Ok(());
        }
        if let Some(observers) = &mut self.observers {
            observers.timeout(now, core, out);
        }
        if self.patience.is_over(now) {
            return Err(Leave("nothing heard from the leader"));
        }
        Ok(())
    }

    pub(super) fn link_down(&mut self, link: Link, core: &mut Core) -> Result<(), Leave> {
        if self.link != Some(link) {
            if let Some(observers) = &mut self.observers {
                observers.link_down(link);
            }
            return Ok(());
        }
        self.link = None;
        if let Phase::Receiving(zxid) = self.phase
            && core.options.mutations.has(Mutation::KeepHalfSnapshot)
        {
            core.history.reset(zxid);
        }
        Err(Leave("the leader closed the connection"))
    }

    pub(super) fn packet(
        &mut self,
        now: Mono,
        link: Link,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if self.link != Some(link) {
            if let (Some(observers), Some(leader)) = (&mut self.observers, self.link) {
                observers.packet(now, link, packet, core, (leader, &mut self.touched), out);
            }
            return Ok(());
        }
        self.patience.heard(now);
        if self.is_disk_busy() {
            self.backlog.push_back(packet);
            if self.backlog.len() > BACKLOG_MAX {
                return Err(Leave("too much to sync at once"));
            }
            return Ok(());
        }
        self.step(packet, core, out)
    }

    /// Somebody connected to us.
    pub(super) fn link_up(&mut self, now: Mono, link: Link, core: &Core, out: &mut Vec<Action>) {
        match &mut self.observers {
            Some(observers) => observers.link_up(now, link, core, out),
            None => out.push(Action::CloseLink(link, "not leading")),
        }
    }

    pub(super) fn log_floor(
        &mut self,
        link: Link,
        floor: Option<(Zxid, Zxid)>,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        if let Some(observers) = &mut self.observers {
            observers.log_floor(link, floor, core, out);
        }
    }

    pub(super) fn durable(&mut self, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        if core.options.mutations.has(Mutation::AckEarly) && self.phase != Phase::Serving {
            self.acked = self.acked.max(self.committed);
            self.ack_durable(core, out);
        }
        match self.phase {
            Phase::WaitDurable => self.save_current(core, out),
            Phase::Serving => self.ack_durable(core, out),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn epochs_saved(&mut self, now: Mono, core: &mut Core, out: &mut Vec<Action>) {
        match self.phase {
            Phase::SaveAccepted if core.accepted == self.epoch => {
                let current = Some(core.current);
                self.ack_epoch(current, core, out);
            }
            Phase::SaveCurrent if core.current == self.epoch => self.ack_new_leader(now, core, out),
            _ => {}
        }
    }

    pub(super) fn truncated(
        &mut self,
        end: Option<Zxid>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if self.phase != Phase::Truncating {
            return Ok(());
        }
        if end.is_none() {
            core.snapshot_wanted_in = Some(self.epoch);
            return Err(Leave("the disk does not reach back to where the leader wants us"));
        }
        self.begin_sync(core);
        self.replay_backlog(core, out)
    }

    pub(super) fn snapshot_received(&mut self, link: Link, core: &mut Core, out: &mut Vec<Action>) {
        if let Phase::Receiving(zxid) = self.phase
            && self.link == Some(link)
        {
            self.phase = Phase::Installing(zxid);
            core.installing = Some(zxid);
            out.push(Action::InstallSnapshot { link, zxid });
        }
    }

    /// Log and tree were replaced; the peer has reset the window already.
    pub(super) fn snapshot_installed(
        &mut self,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if let Phase::Installing(zxid) = self.phase {
            self.snapshot = zxid;
            self.begin_sync(core);
            return self.replay_backlog(core, out);
        }
        Ok(())
    }

    pub(super) fn forward(
        &mut self,
        request: ForwardedRequest,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        if let (Phase::Serving, Some(link)) = (self.phase, self.link) {
            if let (Some(observers), op::SYNC) = (&mut self.observers, request.op)
                && !core.options.mutations.has(Mutation::MixedSyncs)
            {
                observers.syncs();
            }
            out.push(Action::Send(link, Packet::Request(request)));
        }
    }

    pub(super) fn touch(&mut self, session: SessionId, timeout_ms: i32) {
        if self.phase == Phase::Serving {
            self.touched.insert(session, timeout_ms);
        }
    }

    pub(super) fn revalidate(
        &mut self,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Vec<Action>,
    ) {
        if let (Phase::Serving, Some(link)) = (self.phase, self.link) {
            if let Some(observers) = &mut self.observers {
                observers.asks_about(session);
            }
            out.push(Action::Send(link, Packet::Revalidate { session, timeout_ms }));
        }
    }

    // The phases.

    fn is_disk_busy(&self) -> bool {
        matches!(self.phase, Phase::Truncating | Phase::Receiving(_) | Phase::Installing(_))
    }

    fn step(
        &mut self,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match self.phase {
            Phase::WaitLeaderInfo => self.leader_info(packet, core, out),
            Phase::WaitOp => self.op(packet, core, out),
            Phase::Syncing | Phase::WaitDurable | Phase::SaveCurrent | Phase::WaitUpToDate => {
                self.sync_packet(packet, core, out)
            }
            Phase::Serving => self.serve(packet, core, out),
            Phase::SaveAccepted => Err(Leave("the leader sent something before our ACKEPOCH")),
            Phase::Connecting { .. }
            | Phase::Truncating
            | Phase::Receiving(_)
            | Phase::Installing(_) => Ok(()),
        }
    }

    fn replay_backlog(&mut self, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        while !self.is_disk_busy() {
            let Some(packet) = self.backlog.pop_front() else { break };
            self.step(packet, core, out)?;
        }
        Ok(())
    }

    fn send(&self, packet: Packet, out: &mut Vec<Action>) {
        if let Some(link) = self.link {
            out.push(Action::Send(link, packet));
        }
    }

    // Discovery.

    fn leader_info(
        &mut self,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let Packet::LeaderInfo { epoch } = packet else {
            return Err(Leave("expected LEADERINFO"));
        };
        if epoch < core.accepted {
            // Observers' promises count for nothing.
            if epoch < core.current || !(self.bystander || core.is_observer()) {
                core.outrun = Some(self.leader);
                return Err(Leave("a leader from the past: its epoch is below our acceptedEpoch"));
            }
            self.epoch = epoch;
            self.ack_epoch(None, core, out);
            return Ok(());
        }
        if self.bystander {
            return Err(Leave("the leader's epoch is new: it may count with us"));
        }
        self.epoch = epoch;
        if epoch == core.accepted {
            // Counted once is enough.
            self.ack_epoch(None, core, out);
            return Ok(());
        }
        if core.options.mutations.has(Mutation::AckEpochBeforeSave) {
            self.ack_epoch(Some(core.current), core, out);
        } else {
            self.phase = Phase::SaveAccepted;
        }
        core.save_epochs(epoch, core.current, out);
        Ok(())
    }

    fn ack_epoch(&mut self, current: Option<Epoch>, core: &Core, out: &mut Vec<Action>) {
        self.phase = Phase::WaitOp;
        self.wants_snapshot = core.snapshot_wanted_in == Some(self.epoch) && current.is_none();
        let last =
            if self.wants_snapshot { Zxid::ZERO } else { core.history.last().max(Zxid::ZERO) };
        self.send(Packet::AckEpoch { last, current }, out);
    }

    // Synchronisation.

    fn op(&mut self, packet: Packet, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        self.sync_mode = match packet {
            Packet::Diff(_) => Some("diff"),
            Packet::Trunc(_) => Some("trunc"),
            _ => Some("snap"),
        };
        match packet {
            Packet::Diff(_) if !self.wants_snapshot => self.begin_sync(core),
            Packet::Trunc(zxid) if !self.wants_snapshot => {
                self.phase = Phase::Truncating;
                core.truncating = true;
                out.push(Action::Truncate(zxid));
            }
            Packet::Snap(zxid) => self.phase = Phase::Receiving(zxid),
            Packet::Diff(_) | Packet::Trunc(_) => {
                let why = "the leader sends no snapshot and the disk does not reach back";
                out.push(Action::Stop(EXIT_UNEXPECTED_PACKET, why));
                return Err(Leave(why));
            }
            _ => return Err(Leave("expected DIFF, TRUNC or SNAP")),
        }
        Ok(())
    }

    fn begin_sync(&mut self, core: &Core) {
        self.phase = Phase::Syncing;
        self.committed = core.history.last();
        self.started_at = self.committed;
    }

    fn sync_packet(
        &mut self,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match packet {
            Packet::Proposal(proposal) => {
                self.log(proposal, core, out)?;
            }
            Packet::Commit(_) | Packet::CommitAndActivate { .. }
                if self.phase != Phase::Syncing
                    && core.options.mutations.has(Mutation::CommitBeforeUptodateFails) =>
            {
                return Err(Leave("COMMIT between NEWLEADER and UPTODATE"));
            }
            Packet::Commit(zxid) => {
                self.committed_in_sync(zxid, core)?;
            }
            Packet::Inform(proposal) => {
                let zxid = proposal.zxid();
                self.log(proposal, core, out)?;
                self.committed_in_sync(zxid, core)?;
            }
            // The leader's configuration may have changed since it wrote NEWLEADER: a new one counts
            // at once (`Learner.syncWithLeader`; forgotten for good in ZOOKEEPER-2172).
            Packet::CommitAndActivate { zxid, designated } => {
                if let Some(proposal) = self.committed_in_sync(zxid, core)? {
                    self.reconfigure(Some(&proposal), designated, core, out)?;
                }
            }
            Packet::InformAndActivate { designated, proposal } => {
                self.log(proposal.clone(), core, out)?;
                if self.committed_in_sync(proposal.zxid(), core)?.is_some() {
                    self.reconfigure(Some(&proposal), designated, core, out)?;
                }
            }
            Packet::NewLeader { epoch, config } if self.phase == Phase::Syncing => {
                if epoch != self.epoch {
                    return Err(Leave("NEWLEADER of another epoch"));
                }
                self.new_leader(config, core, out);
            }
            Packet::UpToDate if self.phase == Phase::WaitUpToDate => {
                return self.up_to_date(core, out);
            }
            Packet::NewLeader { .. } | Packet::UpToDate => {
                return Err(Leave("NEWLEADER or UPTODATE out of turn"));
            }
            // Java's learners skip whatever else comes here, PING above all.
            _ => {}
        }
        Ok(())
    }

    /// Appends a proposal, unless it is in our history already.
    fn log(
        &mut self,
        proposal: Arc<Proposal>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let zxid = proposal.zxid();
        let last = core.history.last();
        if zxid <= last && (zxid <= self.snapshot || core.history.contains(zxid)) {
            return Ok(());
        }
        if !follows(last, zxid) {
            return Err(Leave("a proposal does not follow the one before it"));
        }
        if proposal.header.kind == jute::proto::op::RECONFIG
            && let Some(membership) = reconfigured(&proposal)
        {
            core.see_membership(membership, out);
        }
        core.history.append(proposal.clone());
        out.push(Action::Append(proposal));
        Ok(())
    }

    /// Counts the next proposal as committed; `None` if it was before.
    fn committed_in_sync(
        &mut self,
        zxid: Zxid,
        core: &Core,
    ) -> Result<Option<Arc<Proposal>>, Leave> {
        if zxid <= self.committed {
            return Ok(None);
        }
        match core.history.after(self.committed).next() {
            Some(next) if next.zxid() == zxid => {
                self.committed = zxid;
                Ok(Some(next.clone()))
            }
            _ => Err(Leave("COMMIT of a zxid that is not the next one")),
        }
    }

    fn new_leader(&mut self, config: Option<Arc<str>>, core: &mut Core, out: &mut Vec<Action>) {
        // Unreadable text is passed over, as in Java. An older membership takes back a proposal.
        if let Some(membership) =
            config.and_then(|text| Membership::parse(&text).ok()).map(Arc::new)
        {
            if core.quorums.newest().version() != membership.version() {
                core.see_membership(membership.clone(), out);
            }
            self.membership = Some(membership);
        }
        self.acked = self.committed;
        self.phase = Phase::WaitDurable;
        let mutations = core.options.mutations;
        if mutations.has(Mutation::AckBeforeHistory) {
            self.send(Packet::Ack(Zxid::new(self.epoch, 0)), out);
        }
        let durable = core.history.durable() == core.history.last();
        if durable || mutations.has(Mutation::EpochBeforeHistory) {
            self.phase = Phase::SaveCurrent;
            core.save_synced(self.epoch, out);
        }
    }

    /// Everything before NEWLEADER is on disk: now the epoch may be (`EPOCH-AFTER-HISTORY`).
    fn save_current(&mut self, core: &mut Core, out: &mut Vec<Action>) {
        if core.history.durable() == core.history.last() {
            self.phase = Phase::SaveCurrent;
            core.save_synced(self.epoch, out);
        }
    }

    fn ack_new_leader(&mut self, now: Mono, core: &mut Core, out: &mut Vec<Action>) {
        self.phase = Phase::WaitUpToDate;
        // The leader may be silent until it has a quorum (its own limit is `initLimit`).
        self.patience.heard(now);
        self.patience.set_limit(core.init_ms().max(core.sync_ms()));
        if !core.options.mutations.has(Mutation::AckBeforeHistory) {
            self.send(Packet::Ack(Zxid::new(self.epoch, 0)), out);
        }
    }

    fn up_to_date(&mut self, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        if self.emptied {
            core.history.apply_to(self.committed, out);
            return Err(Leave("the emptied disk is whole again: from now on as a voter"));
        }
        core.history.apply_to(self.committed, out);
        if core.options.mutations.has(Mutation::HoleInWindow) {
            #[cfg(any(test, feature = "sim"))]
            core.history.forget(self.started_at, self.committed);
        }
        if let Some(membership) = self.membership.take() {
            self.activate(membership, core, out)?;
        }
        self.phase = Phase::Serving;
        self.patience.set_limit(core.sync_ms());
        if !core.options.mutations.has(Mutation::StalePeerEpoch) {
            core.vote.epoch = self.epoch;
        }
        core.snapshot_wanted_in = None;
        self.send(Packet::Ack(Zxid::new(self.epoch, 0)), out);
        let role = if self.observer { Serving::Observer } else { Serving::Follower };
        out.push(Action::Open(role, self.epoch));
        if !self.observer && core.options.observer_master {
            self.observers = Some(Box::new(ObserverMaster::new(self.patience.last(), core, out)));
        }
        self.ack_durable(core, out);
        Ok(())
    }

    /// A new membership counts. Leaves the leader if it is another one or our role is another.
    fn activate(
        &mut self,
        membership: Arc<Membership>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<bool, Leave> {
        let changed = core.activate(membership, out);
        if changed && core.is_observer() != self.observer {
            return Err(Leave("our role changed in the new membership"));
        }
        Ok(changed)
    }
}
