//! `Member`, a server of an ensemble: requests and sessions under whatever role `zab` gives it.
//!
//! ```text
//!  leading:    client or learner ─► prep ─► zab (PROPOSAL, Append) ─► Apply ─► answer
//!  following:  client ─► zab (REQUEST to the leader) ... PROPOSAL, COMMIT ─► Apply ─► answer
//! ```
//!
//! On a learner a transaction is matched with the request that caused it by session and xid, in the
//! session's order (`CommitProcessor`).

mod alone;
mod following;
mod leading;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jute::data::Id;
use jute::proto::op;
use jute::txn::Txn;
use jute::{Decode, Encode};

use super::cleaner::Cleaner;
use super::solo::{client_context, internal};
use super::{Action, Body, Commit, Event, Options, Request};
use crate::acl::{Identities, Identity, Schemes};
use crate::base::{ErrorCode, Mono, Now, Proposal, SessionId, Sid, Zxid};
use crate::prep::{self, Context, Prep, Prepared, Source, WriteRequest};
use crate::session::{self, LearnerSessions, Owner, Rules, Tracker};
use crate::tree::DataTree;
use crate::zab::{self, ForwardedRequest, Link, PeerState, Serving, SyncOrigin};

/// One request of a learner's client on its way.
#[derive(Debug)]
struct Waiting<T> {
    cxid: i32,
    /// Nobody if this server asked itself: the upgrade of a local session.
    origin: Option<T>,
    /// Never sent to the leader, but answered in the session's order.
    local: Option<Local>,
}

/// What is decided here.
#[derive(Debug, Clone, Copy)]
enum Local {
    Refused(ErrorCode),
    /// The local session is closed.
    Ended,
}

/// Serving reads without a leader (`ReadOnlyZooKeeperServer`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadOnly {
    /// There is a leader, or somebody to follow.
    Off,
    /// Looking for one; reads are served from then on.
    From(Mono),
    /// Serving.
    On,
}

/// A member of an ensemble.
#[derive(Debug)]
pub(super) struct Member<T> {
    options: Options,
    peer: zab::Peer,
    /// Set once everything before the role is in the tree.
    serving: Option<Serving>,
    read_only: ReadOnly,
    prep: Prep,
    /// Leading: all sessions.
    sessions: Tracker,
    /// Following: ids for new sessions.
    learner: LearnerSessions,
    cleaner: Cleaner,
    /// Leading: what waits for commits, in order of zxid.
    held: VecDeque<(Zxid, Commit<T>)>,
    /// Following: what waits for commits, per session in order.
    waiting: HashMap<SessionId, VecDeque<Waiting<T>>>,
    /// Following: syncs that wait for the leader, in order.
    syncs: VecDeque<T>,
    /// Leading: syncs that wait for commits, by number.
    local_syncs: HashMap<u64, T>,
    next_sync: u64,
    /// Following: renewals the leader is asked about.
    renewals: HashMap<SessionId, VecDeque<T>>,
    /// Following: when to collect signs of life.
    next_report: Mono,
    todo: Vec<zab::Action>,
    /// Following: identities forwarded last, as we have them and as they are sent.
    forwarded: Option<(Identities, Arc<[Id]>)>,
    /// Leading: identities of the last forwarded request, as they came and as we have them.
    asked: Option<(Arc<[Id]>, Identities)>,
}

impl<T> Member<T> {
    pub fn new(
        options: Options,
        prep: prep::Options,
        schemes: Arc<Schemes>,
        now: Now,
        peer: zab::Peer,
    ) -> Self {
        let sid = Sid(options.session_server_id);
        Self {
            prep: Prep::new(prep, schemes),
            sessions: Tracker::new(tracker(&options), now.mono, []),
            learner: LearnerSessions::new(options.tick_ms, sid, options.local_sessions, now.mono),
            cleaner: Cleaner::new(&options, now.mono),
            options,
            peer,
            serving: None,
            read_only: ReadOnly::Off,
            held: VecDeque::new(),
            waiting: HashMap::new(),
            syncs: VecDeque::new(),
            local_syncs: HashMap::new(),
            next_sync: 0,
            renewals: HashMap::new(),
            next_report: now.mono,
            todo: Vec::new(),
            forwarded: None,
            asked: None,
        }
    }

    pub fn peer(&self) -> &zab::Peer {
        &self.peer
    }

    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    pub fn local_sessions(&self) -> usize {
        match self.serving {
            Some(Serving::Leader) => self.sessions.local_count(),
            _ => self.learner.local_count(),
        }
    }

    pub fn handle(&mut self, now: Now, event: Event<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        self.dispatch(now, event, tree, out);
        if self.options.read_only_mode {
            self.update_read_only(now, out);
        }
    }

    fn dispatch(&mut self, now: Now, event: Event<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        match event {
            Event::Request(request) => match self.serving {
                Some(Serving::Leader) => self.lead(now, request, tree, out),
                Some(_) => self.follow(now, request, tree, out),
                None if self.read_only == ReadOnly::On => {
                    self.serve_alone(now, request, tree, out);
                }
                // Its connection is being closed.
                None => {}
            },
            Event::Durable(zxid) => self.feed(now, zab::Event::Durable(zxid), tree, out),
            Event::Applied(zxid) => self.prep.applied(zxid),
            Event::Heard(sessions) => {
                for (session, at, timeout_ms) in sessions {
                    if self.serving == Some(Serving::Leader) {
                        self.sessions.touch(at, session, timeout_ms);
                    } else {
                        let global = tree.sessions().timeout_ms(session).is_some();
                        self.learner.touch(at, session, timeout_ms, global);
                    }
                }
            }
            Event::EndSession(session) => self.end_session(now, session, tree, out),
            Event::Timeout => self.on_timeout(now, tree, out),
            Event::Zab(event) => self.feed(now, event, tree, out),
            Event::Opened(serving) => self.opened(now, serving, tree),
        }
    }

    pub fn next_timeout(&self) -> Option<Mono> {
        let own = match self.serving {
            Some(Serving::Leader) => [self.sessions.next_expiry(), self.cleaner.next_timeout()]
                .into_iter()
                .flatten()
                .min(),
            Some(_) => {
                [Some(self.next_report), self.learner.next_expiry()].into_iter().flatten().min()
            }
            None => match self.read_only {
                ReadOnly::Off => None,
                ReadOnly::From(at) => Some(at),
                ReadOnly::On => self.learner.next_expiry(),
            },
        };
        [own, self.peer.next_timeout()].into_iter().flatten().min()
    }

    pub fn due_sessions(&self, now: Mono) -> Vec<SessionId> {
        match self.serving {
            Some(Serving::Leader) => self.sessions.due(now),
            _ => self.learner.due(now),
        }
    }

    pub fn wants_all_heard(&self, now: Mono) -> bool {
        matches!(self.serving, Some(Serving::Follower | Serving::Observer))
            && self.next_report <= now
    }

    /// The tree is complete: sessions start anew, each with its full timeout.
    fn opened(&mut self, now: Now, serving: Serving, tree: &DataTree) {
        // The role may have ended since.
        if !self.peer.is_serving() {
            return;
        }
        self.serving = Some(serving);
        self.prep.reset();
        self.next_report = now.mono;
        match serving {
            Serving::Leader => {
                let all = tree.sessions().iter();
                self.sessions = Tracker::new(tracker(&self.options), now.mono, all);
                self.cleaner = Cleaner::new(&self.options, now.mono);
            }
            Serving::Follower | Serving::Observer => {
                self.reset_learner(now);
            }
        }
    }

    fn reset_learner(&mut self, now: Now) {
        let sid = Sid(self.options.session_server_id);
        let local = self.options.local_sessions;
        self.learner = LearnerSessions::new(self.options.tick_ms, sid, local, now.mono);
    }

    fn closed(&mut self, now: Now) {
        self.serving = None;
        self.prep.reset();
        self.sessions = Tracker::new(tracker(&self.options), now.mono, []);
        self.held.clear();
        self.waiting.clear();
        self.syncs.clear();
        self.local_syncs.clear();
        self.renewals.clear();
    }

    // What zab decides.

    fn feed(&mut self, now: Now, event: zab::Event, tree: &DataTree, out: &mut Vec<Action<T>>) {
        let mut actions = std::mem::take(&mut self.todo);
        self.peer.handle(now.mono, event, &mut actions);
        for action in actions.drain(..) {
            self.carry_out(now, action, tree, out);
        }
        self.todo = actions;
    }

    fn carry_out(
        &mut self,
        now: Now,
        action: zab::Action,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        match action {
            zab::Action::Append(proposal) => out.push(Action::Append(proposal)),
            zab::Action::Apply(proposal) => self.committed(proposal, out),
            zab::Action::Request(link, request) => {
                self.asked_by_learner(now, link, request, tree, out);
            }
            zab::Action::Touched(_, sessions) => {
                for (session, timeout_ms) in sessions {
                    self.sessions.touch(now.mono, session, timeout_ms);
                }
            }
            zab::Action::Revalidate { link, session, timeout_ms } => {
                // A session that only another server knows cannot move.
                let valid = self.sessions.is_global(session)
                    && self.sessions.touch(now.mono, session, timeout_ms)
                    && self.sessions.set_owner(session, Owner(link.0)).is_ok();
                self.feed(now, zab::Event::Revalidated { link, session, valid }, tree, out);
            }
            zab::Action::Revalidated(session, valid) => {
                if let Some(origins) = self.renewals.get_mut(&session)
                    && let Some(origin) = origins.pop_front()
                {
                    if origins.is_empty() {
                        self.renewals.remove(&session);
                    }
                    let session = valid.then_some(session);
                    out.push(Action::Apply(Commit::Renewed { origin, session }));
                }
            }
            zab::Action::SyncDone(number) => {
                if let Some(origin) = self.local_syncs.remove(&number) {
                    out.push(Action::Apply(Commit::Synced { origin }));
                }
            }
            zab::Action::SyncAnswered => {
                if let Some(origin) = self.syncs.pop_front() {
                    out.push(Action::Apply(Commit::Synced { origin }));
                }
            }
            zab::Action::Close(why) => {
                self.closed(now);
                out.push(Action::Zab(zab::Action::Close(why)));
            }
            zab::Action::LearnerGone(_) => {}
            action => out.push(Action::Zab(action)),
        }
    }

    /// A transaction is committed: whose was it?
    fn committed(&mut self, proposal: Arc<Proposal>, out: &mut Vec<Action<T>>) {
        let zxid = proposal.zxid();
        let session = SessionId(proposal.header.client_id);
        if self.serving == Some(Serving::Leader) {
            match proposal.txn {
                Txn::CreateSession(_) => self.sessions.commit(session),
                Txn::CloseSession(_) => self.sessions.remove(session),
                _ => {}
            }
            let mut mine = None;
            if let Some((at, Commit::Txn { .. })) = self.held.front()
                && *at == zxid
            {
                mine = self.held.pop_front().map(|(_, commit)| commit);
            }
            let commit = mine.unwrap_or(Commit::Txn { proposal, origin: None });
            out.push(Action::Apply(commit));
            while let Some((at, commit)) = self.held.front() {
                if *at > zxid || matches!(commit, Commit::Txn { .. }) {
                    break;
                }
                let Some((_, commit)) = self.held.pop_front() else { break };
                out.push(Action::Apply(commit));
            }
            return;
        }
        match &proposal.txn {
            Txn::CreateSession(txn) => self.learner.commit(session, txn.timeout),
            Txn::CloseSession(_) => self.learner.remove(session),
            _ => {}
        }
        let cxid = proposal.header.cxid;
        let mut origin = None;
        if let Some(queue) = self.waiting.get_mut(&session)
            && queue.front().is_some_and(|w| w.local.is_none() && w.cxid == cxid)
        {
            origin = queue.pop_front().and_then(|w| w.origin);
        }
        out.push(Action::Apply(Commit::Txn { proposal, origin }));
        self.answer_local(session, out);
    }

    /// Answers what is decided here and waits for nothing before it any more.
    fn answer_local(&mut self, session: SessionId, out: &mut Vec<Action<T>>) {
        let Some(queue) = self.waiting.get_mut(&session) else { return };
        while let Some(Waiting { local: Some(local), .. }) = queue.front() {
            let local = *local;
            let origin = queue.pop_front().and_then(|w| w.origin);
            match (local, origin) {
                (Local::Refused(code), Some(origin)) => {
                    out.push(Action::Apply(Commit::Refused { origin, code }));
                }
                (Local::Refused(_), None) => {}
                (Local::Ended, origin) => {
                    out.push(Action::Apply(Commit::Ended { session, origin }));
                }
            }
        }
        if queue.is_empty() {
            self.waiting.remove(&session);
        }
    }

    /// Puts something that is decided here behind what the session asked before.
    fn decide(
        &mut self,
        session: SessionId,
        cxid: i32,
        origin: Option<T>,
        local: Local,
        out: &mut Vec<Action<T>>,
    ) {
        let waiting = Waiting { cxid, origin, local: Some(local) };
        self.waiting.entry(session).or_default().push_back(waiting);
        self.answer_local(session, out);
    }

    /// The leader closes it as if it had expired; a learner asks its leader to.
    fn end_session(
        &mut self,
        now: Now,
        session: SessionId,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        match self.serving {
            Some(Serving::Leader) => {
                let request = internal(session, op::CLOSE_SESSION, WriteRequest::CloseSession);
                self.propose(now, request, None, tree, out);
            }
            Some(_) => {
                let request = ForwardedRequest {
                    session,
                    cxid: 0,
                    op: op::CLOSE_SESSION,
                    body: Bytes::new(),
                    identities: None,
                };
                self.feed(now, zab::Event::Forward(request), tree, out);
            }
            None => {}
        }
    }

    fn on_timeout(&mut self, now: Now, tree: &DataTree, out: &mut Vec<Action<T>>) {
        if self.peer.next_timeout().is_some_and(|at| at <= now.mono) {
            self.feed(now, zab::Event::Timeout, tree, out);
        }
        match self.serving {
            Some(Serving::Leader) => {
                for session in self.sessions.expired(now.mono) {
                    if self.sessions.is_local(session) {
                        self.sessions.remove(session);
                        self.put_behind(Commit::Ended { session, origin: None }, out);
                        continue;
                    }
                    let request = internal(session, op::CLOSE_SESSION, WriteRequest::CloseSession);
                    self.propose(now, request, None, tree, out);
                }
                for path in self.cleaner.due(now, tree, &self.options) {
                    let write = WriteRequest::DeleteContainer { path: Some(path) };
                    let request = internal(SessionId(0), op::DELETE_CONTAINER, write);
                    self.propose(now, request, None, tree, out);
                }
            }
            _ => {
                for session in self.learner.expired(now.mono) {
                    self.learner.remove(session);
                    self.decide(session, 0, None, Local::Ended, out);
                }
                if self.serving.is_some() && self.next_report <= now.mono {
                    self.next_report = now.mono.plus_ms((self.options.tick_ms / 4).max(1));
                    for (session, timeout_ms) in self.learner.take_touched() {
                        self.feed(now, zab::Event::Touch(session, timeout_ms), tree, out);
                    }
                }
            }
        }
    }
}

fn tracker(options: &Options) -> session::Options {
    session::Options {
        tick_ms: options.tick_ms,
        sid: Sid(options.session_server_id),
        rules: Rules::Leader,
        local_sessions: options.local_sessions,
    }
}
