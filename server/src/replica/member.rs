//! `Member`, a server of an ensemble: requests and sessions under whatever role `zab` gives it.
//!
//! ```text
//!  leading:    client or learner ─► prep ─► zab (PROPOSAL, Append) ─► Apply ─► answer
//!  following:  client ─► zab (REQUEST to the leader) ... PROPOSAL, COMMIT ─► Apply ─► answer
//! ```
//!
//! On a learner a transaction is matched with the request that caused it by session and xid, in the
//! session's order (`CommitProcessor`).

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
use crate::zab::{self, ForwardedRequest, Link, Serving, SyncOrigin};

/// One request of a learner's client on its way.
#[derive(Debug)]
struct Waiting<T> {
    cxid: i32,
    origin: T,
    /// Never sent to the leader: to be refused in the session's order.
    refused: Option<ErrorCode>,
}

/// A member of an ensemble.
#[derive(Debug)]
pub(super) struct Member<T> {
    options: Options,
    peer: zab::Peer,
    /// Set once everything before the role is in the tree.
    serving: Option<Serving>,
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
            learner: LearnerSessions::new(options.tick_ms, sid, false, now.mono),
            cleaner: Cleaner::new(&options, now.mono),
            options,
            peer,
            serving: None,
            held: VecDeque::new(),
            waiting: HashMap::new(),
            syncs: VecDeque::new(),
            local_syncs: HashMap::new(),
            next_sync: 0,
            renewals: HashMap::new(),
            next_report: now.mono,
            todo: Vec::new(),
        }
    }

    pub fn peer(&self) -> &zab::Peer {
        &self.peer
    }

    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    pub fn handle(&mut self, now: Now, event: Event<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        match event {
            Event::Request(request) => match self.serving {
                Some(Serving::Leader) => self.lead(now, request, tree, out),
                Some(_) => self.follow(now, request, tree, out),
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
                        self.feed(now, zab::Event::Touch(session, timeout_ms), tree, out);
                    }
                }
            }
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
            Some(_) => Some(self.next_report),
            None => None,
        };
        [own, self.peer.next_timeout()].into_iter().flatten().min()
    }

    pub fn due_sessions(&self, now: Mono) -> Vec<SessionId> {
        match self.serving {
            Some(Serving::Leader) => self.sessions.due(now),
            _ => Vec::new(),
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
        let sid = Sid(self.options.session_server_id);
        match serving {
            Serving::Leader => {
                let all = tree.sessions().iter();
                self.sessions = Tracker::new(tracker(&self.options), now.mono, all);
                self.cleaner = Cleaner::new(&self.options, now.mono);
            }
            Serving::Follower | Serving::Observer => {
                self.learner = LearnerSessions::new(self.options.tick_ms, sid, false, now.mono);
            }
        }
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
                let valid = self.sessions.touch(now.mono, session, timeout_ms)
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
        let cxid = proposal.header.cxid;
        let mut origin = None;
        if let Some(queue) = self.waiting.get_mut(&session) {
            if queue.front().is_some_and(|w| w.refused.is_none() && w.cxid == cxid) {
                origin = queue.pop_front().map(|w| w.origin);
            }
            out.push(Action::Apply(Commit::Txn { proposal, origin }));
            while queue.front().is_some_and(|w| w.refused.is_some()) {
                let Some(Waiting { origin, refused: Some(code), .. }) = queue.pop_front() else {
                    break;
                };
                out.push(Action::Apply(Commit::Refused { origin, code }));
            }
            if queue.is_empty() {
                self.waiting.remove(&session);
            }
            return;
        }
        out.push(Action::Apply(Commit::Txn { proposal, origin }));
    }

    // Leading.

    fn lead(&mut self, now: Now, request: Request<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        let Request { origin, session, cxid, kind, identities, body } = request;
        match body {
            Body::Write(write) => {
                let context = client_context(session, cxid, kind, identities);
                let request = prep::Request { context, write };
                self.propose(now, request, Some(origin), tree, out);
            }
            Body::Sync => match self.sessions.check(session, Owner::LOCAL) {
                Ok(()) => {
                    self.next_sync += 1;
                    self.local_syncs.insert(self.next_sync, origin);
                    let event = zab::Event::Sync(SyncOrigin::Local(self.next_sync));
                    self.feed(now, event, tree, out);
                }
                Err(code) => self.put_behind(Commit::Refused { origin, code }, out),
            },
            Body::CreateSession { timeout_ms } => {
                let session = self.sessions.create(now.mono, timeout_ms);
                let context = client_context(session, cxid, op::CREATE_SESSION, identities);
                let write = WriteRequest::CreateSession { timeout_ms };
                self.propose(now, prep::Request { context, write }, Some(origin), tree, out);
            }
            Body::Renew { timeout_ms } => {
                let alive = self.sessions.touch(now.mono, session, timeout_ms)
                    && self.sessions.set_owner(session, Owner::LOCAL).is_ok();
                let session = alive.then_some(session);
                out.push(Action::Apply(Commit::Renewed { origin, session }));
            }
        }
    }

    /// A learner's client asks. Whatever it sent becomes a transaction of its own, an error if it
    /// cannot be read: the learner waits for it.
    fn asked_by_learner(
        &mut self,
        now: Now,
        link: Link,
        request: ForwardedRequest,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        if self.serving != Some(Serving::Leader) {
            return;
        }
        let ForwardedRequest { session, cxid, op: kind, body, identities } = request;
        let write = match kind {
            op::SYNC => {
                let event = zab::Event::Sync(SyncOrigin::Learner(link));
                return self.feed(now, event, tree, out);
            }
            op::CREATE_SESSION => match i32::from_slice(&body) {
                Ok(timeout_ms) => WriteRequest::CreateSession { timeout_ms },
                Err(_) => WriteRequest::Undecodable { takes_zxid: true },
            },
            op::CLOSE_SESSION => WriteRequest::CloseSession,
            kind => WriteRequest::decode(kind, &body, self.options.field_max),
        };
        let context = Context {
            session,
            cxid,
            kind,
            identities: identities_of(identities),
            owner: Owner(link.0),
            source: Source::Learner,
            upgrade_error: None,
        };
        self.propose(now, prep::Request { context, write }, None, tree, out);
    }

    fn propose(
        &mut self,
        now: Now,
        request: prep::Request,
        origin: Option<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        // None while the epoch's counter is used up: the role ends in a moment.
        let Some(zxid) = self.peer.next_zxid() else { return };
        match self.prep.prepare(tree, &mut self.sessions, None, request, zxid, now) {
            Prepared::Proposal(proposal) => {
                assert!(proposal.zxid() == zxid, "ZXID-ORDER: prep keeps the zxid it is given");
                let proposal = Arc::new(proposal);
                self.held.push_back((zxid, Commit::Txn { proposal: proposal.clone(), origin }));
                self.feed(now, zab::Event::Propose(proposal), tree, out);
            }
            Prepared::Reject(code) => {
                if let Some(origin) = origin {
                    self.put_behind(Commit::Refused { origin, code }, out);
                }
            }
        }
    }

    /// Puts a marker behind everything proposed so far.
    fn put_behind(&mut self, commit: Commit<T>, out: &mut Vec<Action<T>>) {
        match self.held.back() {
            Some((at, _)) => self.held.push_back((*at, commit)),
            None => out.push(Action::Apply(commit)),
        }
    }

    // Following.

    fn follow(&mut self, now: Now, request: Request<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        let Request { origin, session, cxid, kind, identities, body } = request;
        match body {
            Body::Write(write) => {
                let Some(body) = write.encode_body() else {
                    return self.refuse(session, cxid, origin, &write, out);
                };
                let ids = if write == WriteRequest::CloseSession {
                    None
                } else {
                    Some(ids_of(&identities))
                };
                self.forward(now, session, cxid, kind, body, ids, Some(origin), tree, out);
            }
            Body::Sync => {
                self.syncs.push_back(origin);
                let ids = Some(ids_of(&identities));
                let body = Some("/").to_vec();
                self.forward(now, session, cxid, op::SYNC, body, ids, None, tree, out);
            }
            Body::CreateSession { timeout_ms } => {
                let session = self.learner.create(now.mono, timeout_ms);
                let body = timeout_ms.to_vec();
                let kind = op::CREATE_SESSION;
                self.forward(now, session, cxid, kind, body, None, Some(origin), tree, out);
            }
            Body::Renew { timeout_ms } => {
                self.renewals.entry(session).or_default().push_back(origin);
                self.feed(now, zab::Event::Revalidate(session, timeout_ms), tree, out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn forward(
        &mut self,
        now: Now,
        session: SessionId,
        cxid: i32,
        op: i32,
        body: Vec<u8>,
        identities: Option<Vec<Id>>,
        origin: Option<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        if let Some(origin) = origin {
            let waiting = Waiting { cxid, origin, refused: None };
            self.waiting.entry(session).or_default().push_back(waiting);
        }
        let request = ForwardedRequest { session, cxid, op, body: Bytes::from(body), identities };
        self.feed(now, zab::Event::Forward(request), tree, out);
    }

    /// Not sent to the leader: answered behind what the session asked before.
    fn refuse(
        &mut self,
        session: SessionId,
        cxid: i32,
        origin: T,
        write: &WriteRequest,
        out: &mut Vec<Action<T>>,
    ) {
        let code = match write {
            WriteRequest::Undecodable { .. } => ErrorCode::MarshallingError,
            _ => ErrorCode::Unimplemented,
        };
        match self.waiting.get_mut(&session) {
            Some(queue) => queue.push_back(Waiting { cxid, origin, refused: Some(code) }),
            None => out.push(Action::Apply(Commit::Refused { origin, code })),
        }
    }

    fn on_timeout(&mut self, now: Now, tree: &DataTree, out: &mut Vec<Action<T>>) {
        if self.peer.next_timeout().is_some_and(|at| at <= now.mono) {
            self.feed(now, zab::Event::Timeout, tree, out);
        }
        match self.serving {
            Some(Serving::Leader) => {
                for session in self.sessions.expired(now.mono) {
                    let request = internal(session, op::CLOSE_SESSION, WriteRequest::CloseSession);
                    self.propose(now, request, None, tree, out);
                }
                for path in self.cleaner.due(now, tree, &self.options) {
                    let write = WriteRequest::DeleteContainer { path: Some(path) };
                    let request = internal(SessionId(0), op::DELETE_CONTAINER, write);
                    self.propose(now, request, None, tree, out);
                }
            }
            Some(_) if self.next_report <= now.mono => {
                self.next_report = now.mono.plus_ms((self.options.tick_ms / 4).max(1));
            }
            _ => {}
        }
    }
}

fn tracker(options: &Options) -> session::Options {
    session::Options {
        tick_ms: options.tick_ms,
        sid: Sid(options.session_server_id),
        rules: Rules::Leader,
        local_sessions: false,
    }
}

fn ids_of(identities: &Identities) -> Vec<Id> {
    let id = |i: &Identity| Id { scheme: Some(i.scheme.clone()), id: Some(i.id.clone()) };
    identities.iter().map(id).collect()
}

fn identities_of(ids: Option<Vec<Id>>) -> Identities {
    ids.unwrap_or_default()
        .into_iter()
        .map(|id| Identity { scheme: id.scheme.unwrap_or_default(), id: id.id.unwrap_or_default() })
        .collect()
}
