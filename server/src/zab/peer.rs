//! One server of the ensemble: the role it has and the way from one role to the next.
//!
//! A role ends by returning [`Leave`]. Then clients and links are closed, and the peer waits in
//! `Draining` until the disk has done everything it was asked, so that the next vote tells what a
//! restart would find (`VOTE-FROM-LOG`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::core::{Core, Leave};
use super::discovery::EPOCH_MAX;
use super::election::{Election, Outcome};
use super::history::History;
use super::leader::Leader;
use super::learner::Learner;
use super::{
    Action, Event, LearnerStatus, Membership, Mutation, NOBODY, NOTIFICATION_VERSION, Notification,
    Options, PeerState, Quorums, Restored, Vote, ZabPhase,
};
use crate::base::{Epoch, Mono, Sid, Zxid};

/// Exit code when the log cannot be written.
const EXIT_LOG_FAILED: i32 = 10;

/// Exit code when the server cannot go on.
const EXIT_UNEXPECTED: i32 = 1;

/// The zab core of one server (`QuorumPeer`, without its sockets, files and clients).
#[derive(Debug)]
pub struct Peer {
    core: Core,
    role: Role,
    /// Rounds of election so far (`logicalclock`).
    round: i64,
    /// Text of the committed membership, as notifications carry it.
    config: Arc<str>,
    config_version: i64,
    /// The leader that closed its connection to us, until the election that follows has begun.
    gone: Option<Sid>,
    /// We observed and lost our leader: the election waits.
    rests: bool,
    rest_until: Option<Mono>,
    /// State of the generator for that.
    dice: u64,
}

#[derive(Debug)]
enum Role {
    /// Waits for the disk; keeps the newest notification of each peer for the election.
    Draining(BTreeMap<Sid, Notification>),
    Looking(Election),
    Leading(Box<Leader>),
    Learning(Box<Learner>),
    Stopped,
}

impl Peer {
    /// Starts to look for a leader. `out` receives the first actions.
    ///
    /// Fails if the epochs on disk contradict the log in a way that must not be repaired
    /// (`QuorumPeer.loadDataBase`).
    pub fn new(
        now: Mono,
        options: Options,
        restored: Restored,
        out: &mut Vec<Action>,
    ) -> Result<Self, String> {
        let Restored { last, untrusted, recent, accepted, current, committed, last_seen } =
            restored;
        let (accepted, current) = (accepted.max(Epoch(0)), current.max(Epoch(0)));
        if accepted < current {
            let text = format!(
                "the accepted epoch, {accepted}, is less than the current epoch, {current}"
            );
            return Err(text);
        }
        if last.epoch() > accepted || accepted > EPOCH_MAX {
            let text =
                format!("the accepted epoch, {accepted}, is older than the last zxid, {last}");
            return Err(text);
        }
        let vote = Vote { leader: options.sid, zxid: last, round: 0, epoch: current };
        let history = History::new(last.max(Zxid::ZERO), recent, options.window);
        let config = Arc::from(committed.render());
        let config_version = committed.version();
        let mut core = Core::new(options, history, (accepted, current), committed, last_seen, vote);
        core.untrusted = untrusted;
        let dice = core.options.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut peer = Peer {
            core,
            role: Role::Draining(BTreeMap::new()),
            round: 0,
            config,
            config_version,
            gone: None,
            rests: false,
            rest_until: None,
            dice,
        };
        peer.drain(now, out);
        Ok(peer)
    }

    /// Feeds one event; actions are appended to `out` and may be executed at once, in order.
    pub fn handle(&mut self, now: Mono, event: Event, out: &mut Vec<Action>) {
        let result = match event {
            Event::Durable(zxid) => {
                self.core.history.set_durable(zxid);
                self.on_durable(now, out)
            }
            Event::EpochsSaved => {
                self.core.epochs_saved();
                self.on_epochs_saved(now, out)
            }
            Event::Truncated(end) => {
                self.core.truncating = false;
                if let Some(end) = end {
                    self.core.history.truncate(end);
                }
                match &mut self.role {
                    Role::Learning(learner) => learner.truncated(end, &mut self.core, out),
                    _ => Ok(()),
                }
            }
            Event::SnapshotInstalled => self.on_snapshot_installed(out),
            Event::LogFailed => {
                if self.core.options.mutations.has(Mutation::IgnoreLogFailure) {
                    let last = self.core.history.last();
                    self.core.history.set_durable(last);
                    self.on_durable(now, out)
                } else {
                    out.push(Action::Stop(EXIT_LOG_FAILED, "the log cannot be written"));
                    self.role = Role::Stopped;
                    Ok(())
                }
            }
            Event::Notification { from, notification } => {
                self.on_notification(now, from, notification, out)
            }
            Event::Oracle(word) => {
                self.core.oracle = Some(word);
                match &mut self.role {
                    Role::Leading(leader) => leader.oracle_spoke(now, &mut self.core, out),
                    _ => Ok(()),
                }
            }
            Event::Timeout => self.on_timeout(now, out),
            event => self.on_role_event(now, event, out),
        };
        if let Err(Leave(why)) = result {
            self.leave(why, out);
        }
        self.drain(now, out);
        self.core.history.evict();
        self.check();
    }

    /// When [`Event::Timeout`] must be fed at the latest.
    pub fn next_timeout(&self) -> Option<Mono> {
        match &self.role {
            Role::Draining(_) => self.rest_until,
            Role::Stopped => None,
            Role::Looking(election) => Some(election.next_timeout()),
            Role::Leading(leader) => Some(leader.next_timeout()),
            Role::Learning(learner) => Some(learner.next_timeout()),
        }
    }

    /// While observing: who serves us, the leader or an observer master.
    pub fn learner_master(&self) -> Option<Sid> {
        match &self.role {
            Role::Learning(learner) if learner.is_observer() => learner.master(),
            _ => None,
        }
    }

    /// True while observers may connect to us.
    pub fn is_observer_master(&self) -> bool {
        matches!(&self.role, Role::Learning(learner) if learner.is_observer_master())
    }

    /// Our own sid.
    pub fn sid(&self) -> Sid {
        self.core.me()
    }

    /// What we tell others we are.
    pub fn state(&self) -> PeerState {
        match &self.role {
            Role::Draining(_) | Role::Looking(_) | Role::Stopped => PeerState::Looking,
            Role::Leading(_) => PeerState::Leading,
            Role::Learning(learner) if learner.is_observer() => PeerState::Observing,
            Role::Learning(_) => PeerState::Following,
        }
    }

    /// The vote we tell others.
    pub fn vote(&self) -> Vote {
        match &self.role {
            Role::Looking(election) => election.proposal(),
            _ => self.core.vote,
        }
    }

    /// The leader we follow, or ourselves while leading.
    pub fn leader(&self) -> Option<Sid> {
        match &self.role {
            Role::Leading(_) => Some(self.core.me()),
            Role::Learning(learner) => Some(learner.leader()),
            _ => None,
        }
    }

    /// Phase of the protocol (`ZabState`).
    pub fn phase(&self) -> ZabPhase {
        match &self.role {
            Role::Draining(_) | Role::Looking(_) | Role::Stopped => ZabPhase::Election,
            Role::Leading(leader) => leader.zab_phase(),
            Role::Learning(learner) => learner.zab_phase(),
        }
    }

    /// How a learner is being synchronised: `diff`, `snap` or `trunc` (`SyncMode`).
    pub fn sync_mode(&self) -> Option<&'static str> {
        match &self.role {
            Role::Learning(learner) => learner.sync_mode(),
            _ => None,
        }
    }

    /// The learners connected to us, while we lead or serve observers.
    pub fn learners(&self) -> Vec<LearnerStatus> {
        match &self.role {
            Role::Leading(leader) => leader.status(&self.core),
            Role::Learning(learner) => learner.observers(),
            _ => Vec::new(),
        }
    }

    /// While leading: syncs that wait for a commit, and when the election was won.
    pub fn leading(&self) -> Option<(usize, Mono)> {
        match &self.role {
            Role::Leading(leader) => Some((leader.pending_syncs(), leader.started())),
            _ => None,
        }
    }

    /// True while clients are served ([`Action::Open`] came and [`Action::Close`] did not).
    pub fn is_serving(&self) -> bool {
        match &self.role {
            Role::Leading(leader) => leader.is_established(),
            Role::Learning(learner) => learner.is_serving(),
            _ => false,
        }
    }

    /// Established leader: the zxid the next [`Event::Propose`] must carry. `None` when not
    /// leading, or when the counter of this epoch is used up and a new epoch must be elected.
    pub fn next_zxid(&self) -> Option<Zxid> {
        match &self.role {
            Role::Leading(leader) => leader.next_zxid(),
            _ => None,
        }
    }

    /// Established leader: where its epoch begins, a zxid without a transaction. Java's leader shows
    /// it as its last zxid until the first write.
    pub fn epoch_start(&self) -> Option<Zxid> {
        match &self.role {
            Role::Leading(leader) => leader.epoch_start(),
            _ => None,
        }
    }

    /// `acceptedEpoch` and `currentEpoch` as they stand on disk.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        (self.core.accepted, self.core.current)
    }

    /// End of our log: appended, maybe not durable or committed.
    pub fn last_logged(&self) -> Zxid {
        self.core.history.last()
    }

    /// The memberships that count.
    pub fn quorums(&self) -> &Quorums {
        &self.core.quorums
    }

    /// While leading: are the servers in sync with us a quorum of this membership?
    pub fn is_quorum_synced(&self, membership: &Membership) -> bool {
        match &self.role {
            Role::Leading(leader) => leader.is_quorum_synced(membership, &self.core),
            _ => false,
        }
    }

    /// As if everything up to `zxid` of this epoch had been proposed, committed and written here and
    /// at all others: for stories about the end of an epoch.
    #[cfg(test)]
    pub(crate) fn jump(&mut self, zxid: Zxid) {
        self.core.history.reset(zxid);
        match &mut self.role {
            Role::Leading(leader) => leader.jump(zxid),
            Role::Learning(learner) => learner.jump(zxid),
            _ => {}
        }
    }

    /// True if we vote in the committed membership.
    pub fn votes(&self) -> bool {
        self.core.quorums.committed().is_voter(self.core.me())
    }

    /// The committed membership.
    pub fn membership(&self) -> &Arc<Membership> {
        self.core.quorums.committed()
    }

    // Events.

    fn on_durable(&mut self, now: Mono, out: &mut Vec<Action>) -> Result<(), Leave> {
        match &mut self.role {
            Role::Leading(leader) => leader.durable(now, &mut self.core, out),
            Role::Learning(learner) => learner.durable(&mut self.core, out),
            _ => Ok(()),
        }
    }

    fn on_epochs_saved(&mut self, now: Mono, out: &mut Vec<Action>) -> Result<(), Leave> {
        match &mut self.role {
            Role::Leading(leader) => leader.epochs_saved(now, &mut self.core, out),
            Role::Learning(learner) => {
                learner.epochs_saved(now, &mut self.core, out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_snapshot_installed(&mut self, out: &mut Vec<Action>) -> Result<(), Leave> {
        if let Some(zxid) = self.core.installing.take() {
            self.core.history.reset(zxid);
        }
        match &mut self.role {
            Role::Learning(learner) => learner.snapshot_installed(&mut self.core, out),
            _ => Ok(()),
        }
    }

    fn on_timeout(&mut self, now: Mono, out: &mut Vec<Action>) -> Result<(), Leave> {
        let oracle = self.core.oracle == Some(true);
        match &mut self.role {
            Role::Looking(election) => {
                let quorums = self.core.quorums.clone();
                let outcome = election.timeout(now, &self.core.options, &quorums, oracle);
                self.on_outcome(now, outcome, out)
            }
            Role::Leading(leader) => leader.timeout(now, &mut self.core, out),
            Role::Learning(learner) => learner.timeout(now, &mut self.core, out),
            Role::Draining(_) | Role::Stopped => Ok(()),
        }
    }

    fn on_role_event(
        &mut self,
        now: Mono,
        event: Event,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let core = &mut self.core;
        match &mut self.role {
            Role::Leading(leader) => match event {
                Event::LinkUp(link) => leader.link_up(now, link, core, out),
                Event::LinkDown(link) => leader.link_down(link, out),
                Event::Packets(link, packets) => {
                    for packet in packets {
                        leader.packet(now, link, packet, core, out)?;
                    }
                    leader.count_acks(core, out)?;
                }
                Event::Propose(proposal) => leader.propose(now, proposal, core, out)?,
                Event::LogFloor { link, floor } => leader.log_floor(now, link, floor, core, out),
                Event::Sync(origin) => leader.sync(origin, out),
                Event::Revalidated { link, session, valid } => {
                    leader.revalidated(link, session, valid, out);
                }
                Event::Connected { link, .. } => {
                    out.push(Action::CloseLink(link, "no longer wanted"));
                }
                _ => {}
            },
            Role::Learning(learner) => match event {
                Event::Connected { sid, link } => learner.connected(now, sid, link, core, out),
                Event::ConnectFailed(sid) => learner.connect_failed(now, sid, core)?,
                Event::LinkDown(link) => {
                    let leader = learner.leader();
                    learner.link_down(link, core).inspect_err(|_| self.gone = Some(leader))?;
                }
                Event::Packets(link, packets) => {
                    for packet in packets {
                        learner.packet(now, link, packet, core, out)?;
                    }
                }
                Event::SnapshotReceived(link) => learner.snapshot_received(link, core, out),
                Event::Forward(request) => learner.forward(request, core, out),
                Event::Touch(session, timeout_ms) => learner.touch(session, timeout_ms),
                Event::Revalidate(session, timeout_ms) => {
                    learner.revalidate(session, timeout_ms, out);
                }
                Event::LinkUp(link) => learner.link_up(now, link, core, out),
                Event::LogFloor { link, floor } => learner.log_floor(link, floor, core, out),
                _ => {}
            },
            Role::Looking(_) | Role::Draining(_) | Role::Stopped => match event {
                Event::LinkUp(link) => out.push(Action::CloseLink(link, "not leading")),
                Event::Connected { link, .. } => {
                    out.push(Action::CloseLink(link, "no longer wanted"));
                }
                _ => {}
            },
        }
        Ok(())
    }

    // Notifications (`FastLeaderElection.Messenger.WorkerReceiver`).

    fn on_notification(
        &mut self,
        now: Mono,
        from: Sid,
        notification: Notification,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if from == self.core.me() {
            return Ok(());
        }
        if let Role::Draining(kept) = &mut self.role {
            kept.insert(from, notification);
            return Ok(());
        }
        self.learn_membership(now, &notification, out);
        let looks = notification.state == PeerState::Looking;
        if !self.core.quorums.is_voter(from) {
            // Observers and joiners that look: answered at once, in every state, never counted.
            // Others only answered us; Java answers them, too, and so on for ever.
            if !looks {
                return Ok(());
            }
            // Never below its own round while we look, or it would answer in turn, for ever (Java's
            // observers do).
            let mut round = self.round();
            if self.state() == PeerState::Looking {
                round = round.max(notification.vote.round);
            }
            self.notify(from, Vote { round, ..self.core.vote }, out);
            return Ok(());
        }
        match &mut self.role {
            Role::Looking(election) => {
                let quorums = self.core.quorums.clone();
                let lags = looks
                    && notification.vote.round < election.proposal().round
                    && quorums.is_voter(self.core.options.sid);
                let outcome = election.heard(
                    now,
                    from,
                    &notification,
                    &self.core.options,
                    &quorums,
                    self.core.oracle,
                );
                if lags {
                    let proposal = election.proposal();
                    self.notify(from, proposal, out);
                }
                self.on_outcome(now, outcome, out)
            }
            Role::Leading(_) | Role::Learning(_)
                if looks && self.core.quorums.is_voter(self.core.options.sid) =>
            {
                self.notify(from, self.core.vote, out);
                if let (Role::Leading(leader), Some(limit_ms)) =
                    (&self.role, self.core.options.wait_for_epoch_max_ms)
                    && leader.waits_for_epoch(now, limit_ms)
                {
                    return Err(Leave("a supporter looks again"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A newer membership is taken from whoever tells it, while we look. With reconfiguration
    /// disabled it is not even compared: Java restarts its election again and again then.
    fn learn_membership(&mut self, now: Mono, heard: &Notification, out: &mut Vec<Action>) {
        let Role::Looking(_) = self.role else { return };
        if !self.core.options.reconfig_enabled {
            return;
        }
        let Some(text) = heard.config.as_deref() else { return };
        let ours = self.core.quorums.committed().version();
        if Membership::version_of(text).is_none_or(|version| version <= ours) {
            return;
        }
        if let Ok(membership) = Membership::parse(text)
            && !membership.voters().is_empty()
            && self.core.activate(Arc::new(membership), out)
        {
            self.elect(now, BTreeMap::new(), out);
        }
    }

    fn round(&self) -> i64 {
        match &self.role {
            Role::Looking(election) => election.proposal().round,
            _ => self.round,
        }
    }

    fn notify(&mut self, to: Sid, vote: Vote, out: &mut Vec<Action>) {
        let committed = self.core.quorums.committed();
        if committed.version() != self.config_version {
            self.config = Arc::from(committed.render());
            self.config_version = committed.version();
        }
        let notification = Notification {
            state: self.state(),
            vote,
            version: NOTIFICATION_VERSION,
            config: Some(self.config.clone()),
        };
        out.push(Action::Notify { to, notification });
    }

    fn broadcast(&mut self, vote: Vote, out: &mut Vec<Action>) {
        for sid in self.core.quorums.voters() {
            if sid != self.core.me() {
                self.notify(sid, vote, out);
            }
        }
    }

    // From role to role.

    fn on_outcome(
        &mut self,
        now: Mono,
        outcome: Outcome,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        match outcome {
            Outcome::Wait => Ok(()),
            Outcome::Broadcast => {
                let Role::Looking(election) = &self.role else { return Ok(()) };
                let proposal = election.proposal();
                self.broadcast(proposal, out);
                Ok(())
            }
            Outcome::Decided(vote) => {
                self.round = vote.round;
                self.core.vote = vote;
                if vote.leader == self.core.me() {
                    self.role = Role::Leading(Box::new(Leader::new(now, &mut self.core, out)?));
                } else {
                    let learner = Learner::new(now, vote.leader, &mut self.core, out);
                    self.role = Role::Learning(Box::new(learner));
                }
                Ok(())
            }
        }
    }

    fn leave(&mut self, why: &'static str, out: &mut Vec<Action>) {
        if self.is_serving() {
            out.push(Action::Close(why));
        }
        self.rests = self.core.is_observer() && matches!(&self.role, Role::Learning(_));
        match &mut self.role {
            Role::Leading(leader) => leader.close(why, out),
            Role::Learning(learner) => learner.close(why, out),
            _ => {}
        }
        self.role = Role::Draining(BTreeMap::new());
    }

    /// Starts an election once the disk is quiet and `currentEpoch` fits the log.
    fn drain(&mut self, now: Mono, out: &mut Vec<Action>) {
        let Role::Draining(kept) = &mut self.role else { return };
        if !self.core.is_quiet() {
            return;
        }
        let epoch = self.core.history.last().epoch();
        if epoch > self.core.current {
            // We hold a transaction of this epoch, so all of its initial history, and crashed or
            // left before its NEWLEADER (ZOOKEEPER-1653, 2354; Java refuses to start).
            if epoch > self.core.accepted {
                out.push(Action::Stop(EXIT_UNEXPECTED, "the log is ahead of acceptedEpoch"));
                self.role = Role::Stopped;
                return;
            }
            self.core.save_epochs(self.core.accepted, epoch, out);
            return;
        }
        if std::mem::take(&mut self.rests) {
            let options = &self.core.options;
            let delays = [options.observer_reconnect_ms, options.observer_delay_ms];
            let rest = delays.map(|delay| if delay > 0 { roll(&mut self.dice) % delay } else { 0 });
            self.rest_until = Some(now.plus_ms(rest[0].saturating_add(rest[1])));
        }
        if self.rest_until.is_some_and(|at| now < at) {
            return;
        }
        self.rest_until = None;
        let kept = std::mem::take(kept);
        self.elect(now, kept, out);
    }

    fn elect(&mut self, now: Mono, kept: BTreeMap<Sid, Notification>, out: &mut Vec<Action>) {
        let round = self.round().max(self.round) + 1;
        self.round = round;
        let initial = Vote { round, ..self.initial_vote() };
        self.core.vote = initial;
        let quorums = self.core.quorums.clone();
        let gone = self.gone.take();
        let election = Election::new(now, &self.core.options, initial, &quorums, gone);
        self.role = Role::Looking(election);
        self.broadcast(initial, out);
        for (from, notification) in kept {
            // Cannot fail: only a role that ended says so, and each call checks the role anew.
            let _ = self.on_notification(now, from, notification, out);
        }
    }

    /// `getInitId`, `getInitLastLoggedZxid`, `getPeerEpoch`.
    fn initial_vote(&self) -> Vote {
        let core = &self.core;
        if core.is_observer() {
            let zxid = Zxid(i64::MIN);
            return Vote { leader: NOBODY, zxid, round: 0, epoch: Epoch(i64::MIN) };
        }
        let leader = if core.quorums.committed().is_voter(core.me()) { core.me() } else { NOBODY };
        let zxid = if core.untrusted {
            Zxid(-1)
        } else if core.options.mutations.has(Mutation::VoteFromTree) {
            core.history.applied()
        } else {
            core.history.last()
        };
        Vote { leader, zxid, round: 0, epoch: core.current }
    }

    /// Asserts the invariants that hold between events.
    fn check(&self) {
        if self.core.options.mutations == super::Mutations::NONE {
            self.core.history.check();
            if let Role::Leading(leader) = &self.role {
                leader.check(&self.core);
            }
        }
    }
}

/// xorshift: enough to keep observers apart.
fn roll(dice: &mut u64) -> u64 {
    for shift in [13, -7, 17] {
        *dice ^= if shift > 0 { *dice << shift } else { *dice >> -shift };
    }
    *dice
}
