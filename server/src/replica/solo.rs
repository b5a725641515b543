//! `Solo`, the standalone role: broadcast with a quorum of one and no epochs.

use std::collections::VecDeque;
use std::sync::Arc;

use jute::proto::op;
use jute::txn::Txn;

use super::cleaner::Cleaner;
use super::{Action, Body, Commit, Event, Options, Request};
use crate::acl::{Identities, Schemes};
use crate::base::{Mono, Now, Proposal, SessionId, Sid, Zxid};
use crate::prep::{self, Context, Prep, Prepared, Source, WriteRequest};
use crate::session::{self, Owner, Rules, Tracker};
use crate::tree::DataTree;

/// The standalone role.
///
/// Cursors, in order: applied ≤ durable ≤ proposed. `held` has exactly what lies between durable
/// and proposed, and markers between.
#[derive(Debug)]
pub(super) struct Solo<T> {
    options: Options,
    prep: Prep,
    sessions: Tracker,
    cleaner: Cleaner,
    /// Last zxid given to a proposal.
    proposed: Zxid,
    /// Last zxid known durable.
    durable: Zxid,
    /// Committed when everything up to their zxid is durable.
    held: VecDeque<(Zxid, Commit<T>)>,
}

impl<T> Solo<T> {
    /// A standalone server that continues behind `tree`, whose history is durable.
    pub fn new(
        options: Options,
        prep: prep::Options,
        schemes: Arc<Schemes>,
        tree: &DataTree,
        now: Now,
    ) -> Self {
        Self {
            prep: Prep::new(prep, schemes),
            sessions: Tracker::new(tracker(&options), now.mono, tree.sessions().iter()),
            cleaner: Cleaner::new(&options, now.mono),
            options,
            proposed: tree.last_zxid(),
            durable: tree.last_zxid(),
            held: VecDeque::new(),
        }
    }

    /// Goes on behind another tree, whose history is durable. Nothing may be held.
    pub fn restart(&mut self, tree: &DataTree, now: Now) {
        assert!(self.held.is_empty(), "what was proposed is answered before the tree changes");
        self.prep.reset();
        self.sessions = Tracker::new(tracker(&self.options), now.mono, tree.sessions().iter());
        self.cleaner = Cleaner::new(&self.options, now.mono);
        self.proposed = tree.last_zxid();
        self.durable = tree.last_zxid();
    }

    /// Feeds one event. Every action appended to `out` may be executed at once, in order.
    pub fn handle(&mut self, now: Now, event: Event<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        match event {
            Event::Request(request) => self.request(now, request, tree, out),
            Event::Durable(zxid) => self.on_durable(zxid, out),
            Event::Applied(zxid) => self.prep.applied(zxid),
            Event::Heard(sessions) => {
                for (session, at, timeout_ms) in sessions {
                    self.sessions.touch(at, session, timeout_ms);
                }
            }
            Event::EndSession(session) => {
                if self.sessions.timeout_ms(session).is_some() {
                    let request = internal(session, op::CLOSE_SESSION, WriteRequest::CloseSession);
                    self.propose(now, request, None, tree, out);
                }
            }
            Event::Timeout => self.on_timeout(now, tree, out),
            Event::Zab(_) | Event::Opened(_) => {}
        }
    }

    /// When `Event::Timeout` must be fed at the latest.
    pub fn next_timeout(&self) -> Option<Mono> {
        let cleaner = self.cleaner.next_timeout();
        [self.sessions.next_expiry(), cleaner].into_iter().flatten().min()
    }

    /// Sessions that expire at `now` unless they were heard of, see [`Event::Heard`].
    pub fn due_sessions(&self, now: Mono) -> Vec<SessionId> {
        self.sessions.due(now)
    }

    /// Sessions, for operators.
    pub fn sessions(&self) -> &Tracker {
        &self.sessions
    }

    /// Last zxid given to a proposal.
    pub fn proposed(&self) -> Zxid {
        self.proposed
    }

    /// Entries of the commit stream that wait for the log.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    fn request(
        &mut self,
        now: Now,
        request: Request<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let Request { origin, session, cxid, kind, identities, body } = request;
        match body {
            Body::Write(write) => {
                let context = client_context(session, cxid, kind, identities);
                let request = prep::Request { context, write };
                self.propose(now, request, Some(origin), tree, out);
            }
            Body::Sync => {
                let commit = match self.sessions.check(session, Owner::LOCAL) {
                    Ok(()) => Commit::Synced { origin },
                    Err(code) => Commit::Refused { origin, code },
                };
                self.follow(commit, out);
            }
            Body::CreateSession { timeout_ms } => {
                let session = self.sessions.create(now.mono, timeout_ms);
                let context = client_context(session, cxid, op::CREATE_SESSION, identities);
                let write = WriteRequest::CreateSession { timeout_ms };
                let request = prep::Request { context, write };
                self.propose(now, request, Some(origin), tree, out);
            }
            Body::Renew { timeout_ms } => {
                let alive = self.sessions.touch(now.mono, session, timeout_ms)
                    && self.sessions.set_owner(session, Owner::LOCAL).is_ok();
                let session = alive.then_some(session);
                out.push(Action::Apply(Commit::Renewed { origin, session }));
            }
        }
    }

    /// Prepares a write and sends it on its way.
    fn propose(
        &mut self,
        now: Now,
        request: prep::Request,
        origin: Option<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let zxid = Zxid(self.proposed.0 + 1);
        match self.prep.prepare(tree, &mut self.sessions, None, request, zxid, now) {
            Prepared::Proposal(proposal) => {
                assert!(proposal.zxid() == zxid, "ZXID-ORDER: prep keeps the zxid it is given");
                let proposal = Arc::new(proposal);
                self.proposed = zxid;
                self.held.push_back((zxid, Commit::Txn { proposal: proposal.clone(), origin }));
                out.push(Action::Append(proposal));
            }
            Prepared::Reject(code) => {
                if let Some(origin) = origin {
                    self.follow(Commit::Refused { origin, code }, out);
                }
            }
        }
    }

    /// Puts a marker behind everything proposed so far.
    fn follow(&mut self, commit: Commit<T>, out: &mut Vec<Action<T>>) {
        if self.held.is_empty() {
            out.push(Action::Apply(commit));
        } else {
            self.held.push_back((self.proposed, commit));
        }
    }

    /// The own log is the quorum: what is durable is committed (`COMMIT-IN-ORDER`).
    fn on_durable(&mut self, zxid: Zxid, out: &mut Vec<Action<T>>) {
        assert!(zxid <= self.proposed, "ACK-AFTER-FSYNC: durable {zxid}, proposed less");
        self.durable = self.durable.max(zxid);
        while let Some((at, _)) = self.held.front() {
            if *at > self.durable {
                break;
            }
            let Some((_, commit)) = self.held.pop_front() else { break };
            if let Commit::Txn { proposal, .. } = &commit {
                self.committed(proposal);
            }
            out.push(Action::Apply(commit));
        }
    }

    fn committed(&mut self, proposal: &Proposal) {
        let session = SessionId(proposal.header.client_id);
        match proposal.txn {
            Txn::CreateSession(_) => self.sessions.commit(session),
            Txn::CloseSession(_) => self.sessions.remove(session),
            _ => {}
        }
    }

    fn on_timeout(&mut self, now: Now, tree: &DataTree, out: &mut Vec<Action<T>>) {
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
}

fn tracker(options: &Options) -> session::Options {
    session::Options {
        tick_ms: options.tick_ms,
        sid: Sid(options.session_server_id),
        rules: Rules::Standalone,
        local_sessions: false,
    }
}

/// A request of a client connected to this server.
pub(super) fn client_context(
    session: SessionId,
    cxid: i32,
    kind: i32,
    identities: Identities,
) -> Context {
    Context {
        session,
        cxid,
        kind,
        identities,
        owner: Owner::LOCAL,
        source: Source::Client,
        upgrade_error: None,
    }
}

/// A request of the server itself.
pub(super) fn internal(session: SessionId, kind: i32, write: WriteRequest) -> prep::Request {
    let context =
        Context { source: Source::Internal, ..client_context(session, 0, kind, Arc::new([])) };
    prep::Request { context, write }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl;
    use crate::base::Wall;
    use crate::tree::TreeOptions;

    /// Feeds an event, carries out what comes of it, and tells which op codes were logged.
    fn feed(solo: &mut Solo<u8>, tree: &mut DataTree, now: Now, event: Event<u8>) -> Vec<i32> {
        let mut out = Vec::new();
        solo.handle(now, event, tree, &mut out);
        let mut logged = Vec::new();
        for action in out {
            if let Action::Append(proposal) = action {
                logged.push(proposal.header.kind);
                let mut then = Vec::new();
                solo.handle(now, Event::Durable(proposal.zxid()), tree, &mut then);
                tree.apply(&proposal, &mut |_| {});
                solo.handle(now, Event::Applied(proposal.zxid()), tree, &mut then);
            }
        }
        logged
    }

    #[test]
    fn the_wall_clock_may_jump() {
        const HOUR: i64 = 3_600_000;
        let at = |mono, hours| Now { mono: Mono(mono), wall: Wall(hours * HOUR) };
        let mut tree = DataTree::new(TreeOptions::default());
        let schemes = Arc::new(Schemes::new(acl::Options::default()).unwrap());
        let (options, prep) = (Options::default(), prep::Options::default());
        let mut solo = Solo::new(options, prep, schemes, &tree, at(1000, 500_000));
        let hello = Event::Request(Request {
            origin: 0,
            session: SessionId(0),
            cxid: 0,
            kind: op::CREATE_SESSION,
            identities: Arc::default(),
            body: Body::CreateSession { timeout_ms: 10_000 },
        });
        let logged = feed(&mut solo, &mut tree, at(1000, 500_000), hello);
        assert_eq!(logged, [op::CREATE_SESSION]);
        // An hour ahead, an hour back, to the beginning of time: nobody expires.
        for (mono, hours) in [(1001, 500_001), (2000, 499_999), (3000, 0)] {
            assert_eq!(feed(&mut solo, &mut tree, at(mono, hours), Event::Timeout), [0; 0]);
            assert!(solo.due_sessions(Mono(mono)).is_empty());
        }
        // Time passes whatever the wall clock says.
        let logged = feed(&mut solo, &mut tree, at(100_000, 0), Event::Timeout);
        assert_eq!(logged, [op::CLOSE_SESSION]);
    }
}
