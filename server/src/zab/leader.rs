//! The leader: discovery, synchronisation of each learner, broadcast.
//!
//! ```text
//!  phase              a learner's stage                       what moves it
//!  CollectEpoch       Greeting ─ LEARNERINFO ─► WaitEpoch     a quorum supports the epoch
//!  SaveAccepted                                               acceptedEpoch on disk
//!  CollectAcks        WaitEpoch ─ LEADERINFO ─► WaitAck       a quorum sent ACKEPOCH
//!  Syncing            WaitAck ─ sync, NEWLEADER ─► Syncing    a quorum acked NEWLEADER,
//!                     Syncing ─ ACK ─► Acked                  our currentEpoch on disk
//!  Established        Acked ─ UPTODATE ─► Serving
//! ```
//!
//! A learner that comes late walks through the same stages without waiting. From the moment its
//! history is captured it gets every proposal and commit (ZOOKEEPER-962): both happen in one call.

mod commit;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::asked::Asked;
use super::broadcast::Broadcast;
use super::core::{Core, Leave};
use super::discovery::{Discovery, EPOCH_MAX};
use super::liveness::{AckLimit, Patience};
use super::sync::LogAnswer;
use super::{
    Action, LearnerStatus, Link, Membership, Mutation, Packet, Serving, SyncKind, SyncOrigin,
    ZabPhase,
};
use crate::base::{Epoch, Mono, Proposal, Sid, Zxid};

/// Learners connected at once, whatever they are; more are refused.
const LEARNERS_MAX: usize = 1000;

/// Op code of a reconfiguration transaction.
const RECONFIG: i32 = jute::proto::op::RECONFIG;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    CollectEpoch,
    SaveAccepted,
    CollectAcks,
    Syncing { current_saved: bool },
    Established,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Connected, nothing heard.
    Greeting,
    /// Known; waits until the epoch is fixed.
    WaitEpoch,
    /// LEADERINFO sent.
    WaitAck,
    /// Its history is known; waits for a quorum of acks of the epoch.
    WaitQuorum(Zxid),
    /// The disk is asked how far its log agrees with ours.
    AskingLog(Zxid),
    /// Sync and NEWLEADER sent; gets proposals from now on.
    Syncing,
    /// NEWLEADER acked, its acks count; waits for us to be established.
    Acked,
    /// UPTODATE sent.
    Serving,
}

#[derive(Debug)]
pub(super) struct Learner {
    pub(super) stage: Stage,
    pub(super) sid: Sid,
    pub(super) observer: bool,
    pub(super) patience: Patience,
    limit: AckLimit,
    asked: Asked,
    /// How it is being brought up to date, until it acked NEWLEADER.
    pub(super) syncing: Option<SyncKind>,
    /// On its disk up to here.
    acked: Zxid,
}

impl Learner {
    pub(super) fn is_forwarded(&self, core: &Core) -> bool {
        match self.stage {
            Stage::Syncing => !core.options.mutations.has(Mutation::ForwardLate),
            Stage::Acked | Stage::Serving => true,
            _ => false,
        }
    }

    fn has_acked(&self) -> bool {
        matches!(self.stage, Stage::Acked | Stage::Serving)
    }
}

/// One leadership, from the end of the election.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) phase: Phase,
    started: Mono,
    /// End of the present wait, before the epoch is established.
    give_up: Mono,
    pub(super) discovery: Discovery,
    pub(super) epoch: Epoch,
    /// End of our log when we were elected: the history of this epoch.
    pub(super) initial: Zxid,
    pub(super) learners: BTreeMap<Link, Learner>,
    pub(super) broadcast: Broadcast,
    next_ping: Mono,
    /// Every second ping ends a tick.
    half: bool,
    anonymous: i64,
    /// Acks came that [`Leader::count_acks`] has not looked at.
    acks_came: bool,
}

impl Leader {
    pub(super) fn new(now: Mono, core: &mut Core, out: &mut Vec<Action>) -> Result<Self, Leave> {
        if core.accepted >= EPOCH_MAX {
            return Err(Leave("no epoch is left"));
        }
        let ours = (core.current, core.history.last());
        let discovery = Discovery::new(core.me(), core.accepted, ours, core.options.mutations);
        out.push(Action::Listen(true));
        let mut leader = Leader {
            phase: Phase::CollectEpoch,
            started: now,
            give_up: now.plus_ms(core.init_ms()),
            discovery,
            epoch: Epoch(0),
            initial: core.history.last(),
            learners: BTreeMap::new(),
            broadcast: Broadcast::new(Zxid::ZERO),
            next_ping: now.plus_ms(core.options.tick_ms / 2),
            half: false,
            anonymous: 0,
            acks_came: false,
        };
        leader.try_epoch(now, core, out)?;
        Ok(leader)
    }

    pub(super) fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    pub(super) fn zab_phase(&self) -> ZabPhase {
        match self.phase {
            Phase::CollectEpoch | Phase::SaveAccepted | Phase::CollectAcks => ZabPhase::Discovery,
            Phase::Syncing { .. } => ZabPhase::Synchronization,
            Phase::Established => ZabPhase::Broadcast,
        }
    }

    pub(super) fn status(&self, core: &Core) -> Vec<LearnerStatus> {
        let known = self.learners.iter().filter(|(_, l)| l.stage != Stage::Greeting);
        known
            .map(|(link, l)| LearnerStatus {
                link: *link,
                sid: l.sid,
                observer: l.observer,
                votes: core.quorums.committed().is_voter(l.sid),
                synced: l.has_acked(),
            })
            .collect()
    }

    /// `Leader.isQuorumSynced`.
    pub(super) fn is_quorum_synced(&self, membership: &Membership, core: &Core) -> bool {
        let synced = self.learners.values().filter(|l| l.has_acked()).map(|l| l.sid);
        membership.is_quorum(&synced.chain([core.me()]).collect())
    }

    pub(super) fn pending_syncs(&self) -> usize {
        self.broadcast.pending_syncs()
    }

    pub(super) fn started(&self) -> Mono {
        self.started
    }

    #[cfg(test)]
    pub(super) fn jump(&mut self, zxid: Zxid) {
        self.broadcast = Broadcast::new(zxid);
    }

    pub(super) fn epoch_start(&self) -> Option<Zxid> {
        self.is_established().then(|| Zxid::new(self.epoch, 0))
    }

    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        if self.is_established() { self.broadcast.next_zxid() } else { None }
    }

    pub(super) fn next_timeout(&self) -> Mono {
        if self.is_established() { self.next_ping } else { self.next_ping.min(self.give_up) }
    }

    /// Still without a quorum for its epoch after so long (`maxTimeToWaitForEpoch`).
    pub(super) fn waits_for_epoch(&self, now: Mono, limit_ms: u64) -> bool {
        self.phase == Phase::CollectEpoch && now.since(self.started) > limit_ms
    }

    /// Closes what is open; the caller leaves the role.
    pub(super) fn close(&mut self, why: &'static str, out: &mut Vec<Action>) {
        for link in std::mem::take(&mut self.learners).into_keys() {
            out.push(Action::CloseLink(link, why));
            out.push(Action::LearnerGone(link));
        }
        out.push(Action::Listen(false));
    }

    // Events.

    pub(super) fn link_up(&mut self, now: Mono, link: Link, core: &Core, out: &mut Vec<Action>) {
        if self.learners.len() >= LEARNERS_MAX {
            out.push(Action::CloseLink(link, "too many learners"));
            return;
        }
        let learner = Learner {
            stage: Stage::Greeting,
            sid: Sid(0),
            observer: false,
            patience: Patience::new(now, core.init_ms()),
            limit: AckLimit::default(),
            asked: Asked::default(),
            syncing: None,
            acked: Zxid(i64::MIN),
        };
        self.learners.insert(link, learner);
    }

    pub(super) fn link_down(&mut self, link: Link, out: &mut Vec<Action>) {
        if let Some(learner) = self.learners.remove(&link) {
            out.push(Action::LearnerGone(link));
            // Two links may claim one sid; the other one may be the real server.
            let claimed = self.learners.values().any(|other| other.sid == learner.sid);
            if self.phase == Phase::CollectEpoch && !claimed {
                self.discovery.forget(learner.sid);
            }
        }
    }

    /// A packet. Whatever a learner does wrong costs it its link, never us the leadership. Acks of
    /// transactions are noted; [`Leader::count_acks`] counts them.
    pub(super) fn packet(
        &mut self,
        now: Mono,
        link: Link,
        packet: Packet,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(()) };
        learner.patience.heard(now);
        let refused = match packet {
            Packet::LearnerInfo { observer, accepted, sid, protocol, config_version } => {
                if protocol < jute::quorum::PROTOCOL_VERSION {
                    Some("the learner is older than 3.4")
                } else {
                    let info = (observer, accepted, sid, config_version);
                    self.greeted(now, link, info, core, out)?
                }
            }
            Packet::AckEpoch { last, current } => {
                self.acked_epoch(now, link, last, current, core, out)?
            }
            Packet::Ack(zxid) => self.acked(now, link, zxid, core, out)?,
            Packet::Ping { touched, .. } => {
                if learner.has_acked() {
                    out.push(Action::Touched(link, touched.unwrap_or_default()));
                }
                None
            }
            Packet::Revalidate { session, timeout_ms } if learner.has_acked() => {
                out.push(Action::Revalidate { link, session, timeout_ms });
                None
            }
            Packet::Request(request) if learner.has_acked() => {
                let (proposed, committed) = (self.broadcast.proposed(), self.broadcast.committed());
                if !learner.asked.more(request.weight(), proposed, committed) {
                    Some("the learner asks more than can be answered")
                } else {
                    if self.is_established() {
                        out.push(Action::Request(link, request));
                    }
                    None
                }
            }
            _ => Some("a packet a learner must not send now"),
        };
        if let Some(why) = refused {
            self.refuse(link, why, out);
        }
        Ok(())
    }

    pub(super) fn durable(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        self.try_establish(now, core, out)?;
        self.try_commit(core, out)
    }

    pub(super) fn epochs_saved(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match self.phase {
            Phase::SaveAccepted if core.accepted == self.epoch => {
                self.phase = Phase::CollectAcks;
                self.give_up = now.plus_ms(core.init_ms());
                let (current, last) = self.discovery.ours();
                // We are never ahead of ourselves.
                let _ = self.discovery.ack((core.me(), true), current, last, &core.quorums);
                for (link, learner) in &mut self.learners {
                    if learner.stage == Stage::WaitEpoch {
                        learner.stage = Stage::WaitAck;
                        out.push(Action::Send(*link, Packet::LeaderInfo { epoch: self.epoch }));
                    }
                }
                self.try_sync(now, core, out)
            }
            Phase::Syncing { .. } if core.current == self.epoch => {
                self.phase = Phase::Syncing { current_saved: true };
                self.try_establish(now, core, out)
            }
            _ => Ok(()),
        }
    }

    /// The oracle spoke, or a voter left and its word counts now.
    pub(super) fn oracle_spoke(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match self.phase {
            Phase::CollectEpoch => self.try_epoch(now, core, out),
            Phase::SaveAccepted => Ok(()),
            Phase::CollectAcks => self.try_sync(now, core, out),
            Phase::Syncing { .. } => self.try_establish(now, core, out),
            Phase::Established => self.try_commit(core, out),
        }
    }

    pub(super) fn log_floor(
        &mut self,
        now: Mono,
        link: Link,
        floor: Option<(Zxid, Zxid)>,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        let Some(learner) = self.learners.get(&link) else { return };
        if let Stage::AskingLog(peer) = learner.stage {
            let answer = match floor {
                Some((floor, next)) => LogAnswer::Floor(floor, next),
                None => LogAnswer::Useless,
            };
            self.start_sync(now, link, peer, answer, core, out);
        }
    }

    pub(super) fn propose(
        &mut self,
        now: Mono,
        proposal: Arc<Proposal>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if !self.is_established() {
            return Ok(());
        }
        if proposal.header.kind == RECONFIG
            && let Some(membership) = reconfigured(&proposal)
        {
            core.see_membership(membership, out);
        }
        self.broadcast.propose(proposal.clone(), core.quorums.clone());
        core.history.append(proposal.clone());
        out.push(Action::Append(proposal.clone()));
        for (link, learner) in &mut self.learners {
            if learner.is_forwarded(core) && !learner.observer {
                if learner.has_acked() {
                    learner.limit.sent(proposal.zxid(), now);
                }
                out.push(Action::Send(*link, Packet::Proposal(proposal.clone())));
            }
        }
        self.try_commit(core, out)
    }

    pub(super) fn sync(&mut self, origin: SyncOrigin, out: &mut Vec<Action>) {
        if self.broadcast.sync(origin) {
            answer_sync(origin, out);
        }
    }

    pub(super) fn revalidated(
        &self,
        link: Link,
        session: crate::base::SessionId,
        valid: bool,
        out: &mut Vec<Action>,
    ) {
        if self.learners.contains_key(&link) {
            out.push(Action::Send(link, Packet::Revalidated { session, valid }));
        }
    }

    pub(super) fn timeout(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if !self.is_established() && self.give_up <= now {
            return Err(Leave(match self.phase {
                Phase::CollectEpoch | Phase::SaveAccepted => "no quorum for a new epoch in time",
                Phase::CollectAcks => "no quorum accepted the epoch in time",
                _ => "no quorum synced in time",
            }));
        }
        if self.next_ping > now {
            return Ok(());
        }
        self.next_ping = now.plus_ms(core.options.tick_ms / 2);
        let sync_ms = core.sync_ms();
        let overdue: Vec<(Link, &'static str)> = self
            .learners
            .iter()
            .filter_map(|(link, learner)| {
                if learner.patience.is_over(now) {
                    Some((*link, "nothing heard from the learner"))
                } else if learner.limit.is_over(now, sync_ms) {
                    Some((*link, "the learner does not ack proposals"))
                } else {
                    None
                }
            })
            .collect();
        for (link, why) in overdue {
            self.refuse(link, why, out);
        }
        if self.is_established() {
            self.half = !self.half;
            if !self.half && !self.has_followers(core) {
                return Err(Leave("a quorum no longer follows"));
            }
            // The other one of two may have left: the oracle counts now.
            self.try_commit(core, out)?;
        }
        let zxid = self.broadcast.proposed();
        for (link, learner) in &self.learners {
            if learner.is_forwarded(core) {
                out.push(Action::Send(*link, Packet::Ping { zxid, touched: None }));
            }
        }
        Ok(())
    }

    // Discovery.

    fn greeted(
        &mut self,
        now: Mono,
        link: Link,
        (observer, accepted, sid, config_version): (bool, Epoch, Option<Sid>, i64),
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<Option<&'static str>, Leave> {
        let sid = sid.filter(|sid| sid.0 >= 0).unwrap_or_else(|| {
            self.anonymous -= 1;
            Sid(self.anonymous)
        });
        if sid == core.me() {
            return Ok(Some("the learner has our own sid"));
        }
        if accepted.0 < -1 || accepted >= EPOCH_MAX {
            return Ok(Some("the learner's epoch is beyond all epochs"));
        }
        if config_version > core.quorums.committed().version() {
            return Ok(Some("the learner's membership is newer than ours"));
        }
        match self.learners.get_mut(&link) {
            Some(learner) if learner.stage == Stage::Greeting => {
                learner.sid = sid;
                learner.observer = observer;
                learner.stage = Stage::WaitEpoch;
            }
            _ => return Ok(Some("a learner must introduce itself once")),
        }
        if self.phase == Phase::CollectEpoch {
            let oracle = self.oracle(core);
            self.discovery.learner((sid, !observer), accepted, &core.quorums, oracle);
            self.try_epoch(now, core, out)?;
        } else if self.phase != Phase::SaveAccepted {
            if let Some(learner) = self.learners.get_mut(&link) {
                learner.stage = Stage::WaitAck;
            }
            out.push(Action::Send(link, Packet::LeaderInfo { epoch: self.epoch }));
        }
        Ok(None)
    }

    fn try_epoch(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let oracle = self.oracle(core);
        let Some(epoch) = self.discovery.epoch(&core.quorums, oracle) else { return Ok(()) };
        if epoch >= EPOCH_MAX {
            return Err(Leave("no epoch is left"));
        }
        self.epoch = epoch;
        self.phase = Phase::SaveAccepted;
        self.give_up = now.plus_ms(core.init_ms());
        core.save_epochs(epoch, core.current, out);
        Ok(())
    }

    fn acked_epoch(
        &mut self,
        now: Mono,
        link: Link,
        last: Zxid,
        current: Option<Epoch>,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<Option<&'static str>, Leave> {
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(None) };
        if learner.stage != Stage::WaitAck {
            return Ok(Some("ACKEPOCH out of turn"));
        }
        learner.stage = Stage::WaitQuorum(last.max(Zxid::ZERO));
        let sid = (learner.sid, !learner.observer);
        if self.phase == Phase::CollectAcks {
            if let Some(current) = current
                && let Err(why) = self.discovery.ack(sid, current, last, &core.quorums)
            {
                return Ok(Some(why));
            }
            self.try_sync(now, core, out)?;
        } else {
            let peer = last.max(Zxid::ZERO);
            self.start_sync(now, link, peer, LogAnswer::Unknown, core, out);
        }
        Ok(None)
    }

    /// Goes on to synchronisation once a quorum accepted the epoch.
    fn try_sync(&mut self, now: Mono, core: &mut Core, out: &mut Vec<Action>) -> Result<(), Leave> {
        if self.phase != Phase::CollectAcks
            || !self.discovery.accepted(&core.quorums, self.oracle(core))
        {
            return Ok(());
        }
        self.phase = Phase::Syncing { current_saved: false };
        self.give_up = now.plus_ms(core.init_ms());
        let start = Zxid::new(self.epoch, 0);
        self.broadcast = Broadcast::new(start);
        // The first established membership gets a version, so that a joiner's partial list can be
        // told from it (ZOOKEEPER-1783).
        let committed = core.quorums.committed().clone();
        if core.options.reconfig_enabled
            && committed.version() == 0
            && core.quorums.pending().is_none()
        {
            core.see_membership(Arc::new(committed.with_version(start.0)), out);
        }
        core.save_epochs(core.accepted, self.epoch, out);
        let waiting: Vec<(Link, Zxid)> = self
            .learners
            .iter()
            .filter_map(|(link, l)| match l.stage {
                Stage::WaitQuorum(peer) => Some((*link, peer)),
                _ => None,
            })
            .collect();
        for (link, peer) in waiting {
            self.start_sync(now, link, peer, LogAnswer::Unknown, core, out);
        }
        Ok(())
    }

    /// A server that came back gives up its old link. Only when it is in sync: whoever just claims
    /// its sid must not disturb it. Two synced servers with one sid take turns.
    fn give_up_older(&mut self, link: Link, sid: Sid, out: &mut Vec<Action>) {
        let older: Vec<Link> = self
            .learners
            .iter()
            .filter(|(other, l)| **other < link && l.sid == sid && l.stage != Stage::Greeting)
            .map(|(other, _)| *other)
            .collect();
        for other in older {
            self.refuse(other, "the same sid connected again", out);
        }
    }

    // Synchronisation.

    /// End of what learners may treat as committed.
    fn end(&self) -> Zxid {
        self.initial.max(self.broadcast.committed())
    }

    fn acked(
        &mut self,
        now: Mono,
        link: Link,
        zxid: Zxid,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<Option<&'static str>, Leave> {
        let established = self.is_established();
        let Some(learner) = self.learners.get_mut(&link) else { return Ok(None) };
        if zxid.counter() != 0 {
            // Some releases ack proposals of the sync before NEWLEADER (ZOOKEEPER-4685): noted, and
            // counted once NEWLEADER is acked.
            let early = core.options.mutations.has(Mutation::EarlyAckIsFatal)
                && learner.stage == Stage::Syncing;
            if !learner.is_forwarded(core) || early {
                return Ok(Some("ACK before synchronisation"));
            }
            if zxid > core.history.last() {
                return Ok(Some("ACK of a zxid we do not have"));
            }
            learner.acked = learner.acked.max(zxid);
            learner.limit.acked(zxid);
            self.acks_came = true;
            return Ok(None);
        }
        if zxid != Zxid::new(self.epoch, 0) {
            return Ok(Some("ACK of another epoch"));
        }
        match learner.stage {
            Stage::Syncing => {
                learner.stage = Stage::Acked;
                learner.syncing = None;
                learner.patience.set_limit(core.sync_ms());
                if established {
                    learner.stage = Stage::Serving;
                    out.push(Action::Send(link, Packet::UpToDate));
                }
                let sid = learner.sid;
                self.give_up_older(link, sid, out);
                if established {
                    self.try_commit(core, out)?;
                } else {
                    self.try_establish(now, core, out)?;
                }
                Ok(None)
            }
            // The second one answers UPTODATE.
            Stage::Serving => Ok(None),
            _ => Ok(Some("ACK of NEWLEADER out of turn")),
        }
    }

    /// Takes over once a quorum holds our history and our epoch (`SERVE-AFTER-UPTODATE`).
    fn try_establish(
        &mut self,
        now: Mono,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if self.phase != (Phase::Syncing { current_saved: true })
            || core.history.durable() < self.initial
            || !core.quorums.all(&self.voters_synced(core), self.oracle(core))
        {
            return Ok(());
        }
        self.phase = Phase::Established;
        self.next_ping = now.plus_ms(core.options.tick_ms / 2);
        core.history.apply_to(self.initial, out);
        if let Some(pending) = core.quorums.pending().cloned() {
            let votes = pending.is_voter(core.me());
            core.activate(pending, out);
            if !votes {
                return Err(Leave("we do not vote in the membership that was pending"));
            }
        }
        core.vote.epoch = self.epoch;
        out.push(Action::Open(Serving::Leader, self.epoch));
        for (link, learner) in &mut self.learners {
            if learner.stage == Stage::Acked {
                learner.stage = Stage::Serving;
                out.push(Action::Send(*link, Packet::UpToDate));
            }
        }
        Ok(())
    }

    // Learners.

    /// The oracle's word, which counts only while no other voter follows
    /// (`QuorumOracleMaj.updateNeedOracle`).
    fn oracle(&self, core: &Core) -> bool {
        core.oracle == Some(true)
            && !self.learners.values().any(|l| l.is_forwarded(core) && core.quorums.is_voter(l.sid))
    }

    fn voters_synced(&self, core: &Core) -> std::collections::BTreeSet<Sid> {
        let acked = self.learners.values().filter(|l| l.has_acked()).map(|l| l.sid);
        acked.chain([core.me()]).filter(|sid| core.quorums.is_voter(*sid)).collect()
    }

    /// True if a quorum is still with us, synced or on the way.
    fn has_followers(&self, core: &Core) -> bool {
        let alive = self
            .learners
            .values()
            .filter(|l| !matches!(l.stage, Stage::Greeting | Stage::WaitEpoch))
            .map(|l| l.sid)
            .chain([core.me()])
            .filter(|sid| core.quorums.is_voter(*sid))
            .collect();
        core.quorums.all(&alive, self.oracle(core))
    }

    pub(super) fn refuse(&mut self, link: Link, why: &'static str, out: &mut Vec<Action>) {
        out.push(Action::CloseLink(link, why));
        self.link_down(link, out);
    }

    /// Asserts what must hold after every event.
    pub(super) fn check(&self, core: &Core) {
        if self.is_established() {
            assert!(self.end() <= core.history.last().max(Zxid::new(self.epoch, 0)));
            assert!(core.current == self.epoch && core.accepted == self.epoch, "ONE-LEADER");
            let outstanding = self.broadcast.outstanding().len();
            assert!(outstanding <= core.history.len(), "outstanding proposals are in the window");
        }
    }
}

fn answer_sync(origin: SyncOrigin, out: &mut Vec<Action>) {
    out.push(match origin {
        SyncOrigin::Learner(link) => Action::Send(link, Packet::Sync),
        SyncOrigin::Local(number) => Action::SyncDone(number),
    });
}

/// The membership a reconfiguration transaction carries.
pub(super) fn reconfigured(proposal: &Proposal) -> Option<Arc<Membership>> {
    let jute::txn::Txn::SetData(txn) = &proposal.txn else { return None };
    let text = std::str::from_utf8(txn.data.as_deref()?).ok()?;
    Membership::parse(text).ok().map(Arc::new)
}
