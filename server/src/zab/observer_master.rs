//! A follower that serves observers in its leader's place (`ObserverMaster`): it synchronises them
//! from its own history, relays what is committed, and carries their requests to the leader.
//!
//! ```text
//!  observer:  Greeting ─ OBSERVERINFO, LEADERINFO ─► WaitAck ─ ACKEPOCH ─► (sync) ─► Syncing
//!             Syncing ─ ACK of NEWLEADER, UPTODATE ─► Serving
//! ```
//!
//! Nothing here is voted on: an observer holds what is committed. The leader knows the sessions of
//! our observers as ours, and answers in the order we asked in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jute::proto::op;

use super::asked::{Load, OBSERVER_MAX, OBSERVERS_MAX};
use super::core::Core;
use super::discovery::EPOCH_MAX;
use super::liveness::Patience;
use super::sync::{LogAnswer, Ours, Plan, plan};
use super::{Action, LearnerStatus, Link, Mutation, Packet};
use crate::base::{Mono, SessionId, Sid, Zxid};

/// Observers connected at once; more are refused.
const CONNECTED_MAX: usize = 1000;

/// Sessions of observers that the leader is told of at once; Java's leaders read about a megabyte.
const TOUCHED_MAX: usize = 1_000_000;

/// Bytes that a question about a session, or a sync, is counted as.
const QUESTION_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Greeting,
    WaitAck,
    AskingLog(Zxid),
    Syncing,
    Serving,
}

#[derive(Debug)]
struct Observer {
    stage: Stage,
    sid: Sid,
    patience: Patience,
    /// It has everything up to here, or gets it by the sync.
    has: Zxid,
    /// What it waits for.
    asked: Load,
}

/// The observers of one follower, as long as it follows.
#[derive(Debug)]
pub(super) struct ObserverMaster {
    observers: BTreeMap<Link, Observer>,
    /// Relayed up to here.
    relayed: Zxid,
    next_ping: Mono,
    /// Sessions the leader is asked about, in order: by an observer, or by our own client.
    revalidations: VecDeque<(SessionId, Option<Link>)>,
    /// Syncs on their way, in order.
    syncs: VecDeque<Option<Link>>,
    /// Writes of observers on their way, by session, in order: the observer and their bytes.
    writes: BTreeMap<SessionId, VecDeque<(Link, usize)>>,
    /// What observers wait for, also those that are gone: the answers still come.
    asked: Load,
}

impl ObserverMaster {
    pub(super) fn new(now: Mono, core: &Core, out: &mut Vec<Action>) -> Self {
        out.push(Action::ListenObservers(true));
        ObserverMaster {
            observers: BTreeMap::new(),
            relayed: core.history.applied(),
            next_ping: now.plus_ms(core.options.tick_ms / 2),
            revalidations: VecDeque::new(),
            syncs: VecDeque::new(),
            writes: BTreeMap::new(),
            asked: Load::default(),
        }
    }

    pub(super) fn close(&mut self, why: &'static str, out: &mut Vec<Action>) {
        for link in std::mem::take(&mut self.observers).into_keys() {
            out.push(Action::CloseLink(link, why));
        }
        out.push(Action::ListenObservers(false));
    }

    pub(super) fn next_timeout(&self) -> Mono {
        self.next_ping
    }

    pub(super) fn status(&self) -> Vec<LearnerStatus> {
        let known = self.observers.iter().filter(|(_, o)| o.stage != Stage::Greeting);
        known
            .map(|(link, o)| LearnerStatus {
                link: *link,
                sid: o.sid,
                observer: true,
                votes: false,
                synced: o.stage == Stage::Serving,
            })
            .collect()
    }

    // Events.

    pub(super) fn link_up(&mut self, now: Mono, link: Link, core: &Core, out: &mut Vec<Action>) {
        if self.observers.len() >= CONNECTED_MAX {
            out.push(Action::CloseLink(link, "too many observers"));
            return;
        }
        let patience = Patience::new(now, core.init_ms());
        let (has, asked) = (Zxid(i64::MIN), Load::default());
        let observer = Observer { stage: Stage::Greeting, sid: Sid(-1), patience, has, asked };
        self.observers.insert(link, observer);
    }

    pub(super) fn link_down(&mut self, link: Link) {
        self.observers.remove(&link);
    }

    /// A packet of an observer. `upstream`: our own link, and what the leader hears of living sessions.
    pub(super) fn packet(
        &mut self,
        now: Mono,
        link: Link,
        packet: Packet,
        core: &Core,
        upstream: (Link, &mut BTreeMap<SessionId, i32>),
        out: &mut Vec<Action>,
    ) {
        let (leader, touched) = upstream;
        let Some(observer) = self.observers.get_mut(&link) else { return };
        observer.patience.heard(now);
        let serving = observer.stage == Stage::Serving;
        let start = Zxid::new(core.current, 0);
        match packet {
            Packet::LearnerInfo { observer: true, accepted, sid, protocol, config_version }
                if observer.stage == Stage::Greeting
                    && protocol >= jute::quorum::PROTOCOL_VERSION
                    && accepted < EPOCH_MAX
                    && config_version <= core.quorums.committed().version() =>
            {
                observer.sid = sid.unwrap_or(Sid(-1));
                observer.stage = Stage::WaitAck;
                out.push(Action::Send(link, Packet::LeaderInfo { epoch: core.current }));
            }
            // What it holds of this epoch is committed, and we come to it soon: no TRUNC for that.
            // Older transactions that we do not have were never committed.
            Packet::AckEpoch { last, .. }
                if last.epoch() == core.current && last > core.history.applied().max(start) =>
            {
                self.drop_observer(link, "the observer is ahead of us", out);
            }
            Packet::AckEpoch { last, .. } if observer.stage == Stage::WaitAck => {
                self.start_sync(link, last.max(Zxid::ZERO), LogAnswer::Unknown, core, out);
            }
            Packet::Ack(zxid) if zxid.counter() == 0 && observer.stage == Stage::Syncing => {
                observer.stage = Stage::Serving;
                observer.patience.set_limit(core.sync_ms());
                out.push(Action::Send(link, Packet::UpToDate));
            }
            Packet::Ack(_) if matches!(observer.stage, Stage::Syncing | Stage::Serving) => {}
            Packet::Ping { touched: sessions, .. }
                if matches!(observer.stage, Stage::Syncing | Stage::Serving) =>
            {
                let sessions = sessions.unwrap_or_default();
                if touched.len() + sessions.len() > TOUCHED_MAX {
                    self.drop_observer(
                        link,
                        "the observer has more sessions than can be told",
                        out,
                    );
                } else {
                    touched.extend(sessions);
                }
            }
            Packet::Revalidate { session, .. } if serving => {
                if self.may_ask(link, QUESTION_BYTES, out) {
                    self.revalidations.push_back((session, Some(link)));
                    out.push(Action::Send(leader, packet));
                }
            }
            Packet::Request(ref request) if serving => {
                let sync = request.op == op::SYNC;
                let bytes = if sync { QUESTION_BYTES } else { request.weight() };
                if self.may_ask(link, bytes, out) {
                    if sync {
                        self.syncs.push_back(Some(link));
                    } else {
                        self.writes.entry(request.session).or_default().push_back((link, bytes));
                    }
                    out.push(Action::Send(leader, packet));
                }
            }
            _ => {
                self.drop_observer(link, "a packet an observer must not send now", out);
            }
        }
    }

    pub(super) fn log_floor(
        &mut self,
        link: Link,
        floor: Option<(Zxid, Zxid)>,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        let Some(observer) = self.observers.get(&link) else { return };
        if let Stage::AskingLog(peer) = observer.stage {
            let answer = match floor {
                Some((floor, next)) => LogAnswer::Floor(floor, next),
                None => LogAnswer::Useless,
            };
            self.start_sync(link, peer, answer, core, out);
        }
    }

    pub(super) fn timeout(&mut self, now: Mono, core: &Core, out: &mut Vec<Action>) {
        if self.next_ping > now {
            return;
        }
        self.next_ping = now.plus_ms(core.options.tick_ms / 2);
        self.observers.retain(|link, observer| {
            if observer.patience.is_over(now) {
                out.push(Action::CloseLink(*link, "nothing heard from the observer"));
                return false;
            }
            if matches!(observer.stage, Stage::Syncing | Stage::Serving) {
                let ping = Packet::Ping { zxid: core.history.applied(), touched: None };
                out.push(Action::Send(*link, ping));
            }
            true
        });
    }

    // What our own clients ask takes its place among what observers ask.

    pub(super) fn asks_about(&mut self, session: SessionId) {
        self.revalidations.push_back((session, None));
    }

    pub(super) fn syncs(&mut self) {
        self.syncs.push_back(None);
    }

    /// The leader's answer about a session: which observer asked, if one did.
    pub(super) fn asked_about(&mut self, session: SessionId) -> Option<Link> {
        let at = self.revalidations.iter().position(|(asked, _)| *asked == session)?;
        let link = self.revalidations.remove(at)?.1;
        self.answered(link, QUESTION_BYTES)
    }

    /// The oldest sync is complete: which observer asked, if one did.
    pub(super) fn synced(&mut self) -> Option<Link> {
        let link = self.syncs.pop_front().flatten();
        self.answered(link, QUESTION_BYTES)
    }

    // How much observers ask.

    /// Counts one more; an observer that asks too much is closed instead.
    fn may_ask(&mut self, link: Link, bytes: usize, out: &mut Vec<Action>) -> bool {
        let Some(observer) = self.observers.get_mut(&link) else { return false };
        observer.asked.add(bytes);
        self.asked.add(bytes);
        let too_much = observer.asked.exceeds(OBSERVER_MAX) || self.asked.exceeds(OBSERVERS_MAX);
        if too_much {
            self.asked.remove(bytes);
            self.drop_observer(link, "the observer asks more than can be answered", out);
        }
        !too_much
    }

    fn answered(&mut self, link: Option<Link>, bytes: usize) -> Option<Link> {
        let link = link?;
        self.asked.remove(bytes);
        if let Some(observer) = self.observers.get_mut(&link) {
            observer.asked.remove(bytes);
        }
        Some(link)
    }

    /// A write of this session is committed.
    fn written(&mut self, session: SessionId) {
        let Some(writes) = self.writes.get_mut(&session) else { return };
        let write = writes.pop_front();
        if writes.is_empty() {
            self.writes.remove(&session);
        }
        if let Some((link, bytes)) = write {
            self.answered(Some(link), bytes);
        }
    }

    fn drop_observer(&mut self, link: Link, why: &'static str, out: &mut Vec<Action>) {
        self.observers.remove(&link);
        out.push(Action::CloseLink(link, why));
    }

    // Broadcast.

    /// Relays what was committed since the last call; the last of it activated a membership under
    /// `designated`.
    pub(super) fn relay(&mut self, designated: Option<Sid>, core: &Core, out: &mut Vec<Action>) {
        let mutations = core.options.mutations;
        let upto = if mutations.has(Mutation::RelayUncommitted) {
            core.history.last()
        } else {
            core.history.applied()
        };
        let after = std::mem::replace(&mut self.relayed, upto);
        for proposal in core.history.after(after).take_while(|p| p.zxid() <= upto) {
            let zxid = proposal.zxid();
            if !self.writes.is_empty() {
                self.written(SessionId(proposal.header.client_id));
            }
            for (link, observer) in &self.observers {
                let late = observer.stage == Stage::Syncing && mutations.has(Mutation::RelayLate);
                if !matches!(observer.stage, Stage::Syncing | Stage::Serving)
                    || zxid <= observer.has
                    || late
                {
                    continue;
                }
                let proposal = Arc::clone(proposal);
                let packet = match designated {
                    Some(designated) if zxid == upto => {
                        Packet::InformAndActivate { designated, proposal }
                    }
                    _ => Packet::Inform(proposal),
                };
                out.push(Action::Send(*link, packet));
            }
        }
    }

    /// Sends what is committed, and NEWLEADER: one step, so that nothing can fall between.
    fn start_sync(
        &mut self,
        link: Link,
        peer: Zxid,
        answer: LogAnswer,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        let Some(observer) = self.observers.get_mut(&link) else { return };
        let history = &core.history;
        let end = history.applied();
        let force_snapshot = core.options.force_snapshot;
        let ours = Ours { history, end, epoch: core.current, force_snapshot };
        let mut send = |packet| out.push(Action::Send(link, packet));
        let after = match plan(ours, peer, answer) {
            Plan::AskLog => {
                observer.stage = Stage::AskingLog(peer);
                out.push(Action::FindInLog { link, peer });
                return;
            }
            Plan::Diff(after) => {
                send(Packet::Diff(end.max(peer)));
                after
            }
            Plan::Trunc(to) => {
                send(Packet::Trunc(to));
                to
            }
            log @ (Plan::LogDiff(after) | Plan::LogTrunc(after)) => {
                send(match log {
                    Plan::LogDiff(_) => Packet::Diff(end),
                    _ => Packet::Trunc(after),
                });
                out.push(Action::StreamLog { link, after, upto: history.base() });
                history.base()
            }
            Plan::Snapshot => {
                out.push(Action::SendSnapshot { link, zxid: end });
                end
            }
        };
        for proposal in history.after(after).take_while(|p| p.zxid() <= end) {
            out.push(Action::Send(link, Packet::Proposal(proposal.clone())));
            out.push(Action::Send(link, Packet::Commit(proposal.zxid())));
        }
        let config = Some(Arc::from(core.quorums.committed().render()));
        out.push(Action::Send(link, Packet::NewLeader { epoch: core.current, config }));
        observer.stage = Stage::Syncing;
        observer.has = end.max(after);
    }
}
