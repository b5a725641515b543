//! Requests at a leader: its own clients' and those that learners forward.

use super::*;
use crate::prep::Reconfig;

impl<T> Member<T> {
    pub(super) fn lead(
        &mut self,
        now: Now,
        request: Request<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let Request { origin, session, cxid, kind, identities, body } = request;
        match body {
            Body::Write(WriteRequest::CloseSession) if self.sessions.is_local(session) => {
                self.sessions.remove(session);
                self.put_behind(Commit::Ended { session, origin: Some(origin) }, out);
            }
            Body::Write(write) => {
                let mut context = client_context(session, cxid, kind, identities);
                if write.needs_global_session() && self.sessions.is_local(session) {
                    context.upgrade_error = self.upgrade_here(now, session, tree, out);
                }
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
            Body::CreateSession { timeout_ms } if self.options.local_sessions => {
                let session = self.sessions.create(now.mono, timeout_ms);
                out.push(Action::Apply(Commit::Granted { origin, session }));
            }
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

    /// Makes a local session of the leader global, or tells why not
    /// (`QuorumZooKeeperServer.checkUpgradeSession`).
    pub(super) fn upgrade_here(
        &mut self,
        now: Now,
        session: SessionId,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) -> Option<ErrorCode> {
        if !self.options.local_sessions_upgrade {
            return Some(ErrorCode::EphemeralOnLocalSession);
        }
        if let Some(timeout_ms) = self.sessions.upgrade(now.mono, session) {
            let write = WriteRequest::CreateSession { timeout_ms };
            let request = internal(session, op::CREATE_SESSION, write);
            self.propose(now, request, None, tree, out);
        }
        None
    }

    /// A learner's client asks. Whatever it sent becomes a transaction of its own, an error if it
    /// cannot be read: the learner waits for it.
    pub(super) fn asked_by_learner(
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
            identities: self.identities_of(identities),
            owner: Owner(link.0),
            source: Source::Learner,
            upgrade_error: None,
        };
        self.propose(now, prep::Request { context, write }, None, tree, out);
    }

    /// Identities of a forwarded request. Neighbours mostly share them.
    fn identities_of(&mut self, ids: Option<Arc<[Id]>>) -> Identities {
        let Some(ids) = ids else { return Identities::default() };
        if let Some((known, identities)) = &self.asked
            && Arc::ptr_eq(known, &ids)
        {
            return identities.clone();
        }
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let identity = |id: &Id| Identity { scheme: text(&id.scheme), id: text(&id.id) };
        let identities: Identities = ids.iter().map(identity).collect();
        self.asked = Some((ids, identities.clone()));
        identities
    }

    pub(super) fn propose(
        &mut self,
        now: Now,
        request: prep::Request,
        origin: Option<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        // None while the epoch's counter is used up: the role ends in a moment.
        let Some(zxid) = self.peer.next_zxid() else { return };
        let mut proposer =
            Proposer { peer: &self.peer, standalone_enabled: self.options.standalone_enabled };
        let membership: Option<&mut dyn prep::Membership> = Some(&mut proposer);
        match self.prep.prepare(tree, &mut self.sessions, membership, request, zxid, now) {
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
    pub(super) fn put_behind(&mut self, commit: Commit<T>, out: &mut Vec<Action<T>>) {
        match self.held.back() {
            Some((at, _)) => self.held.push_back((*at, commit)),
            None => out.push(Action::Apply(commit)),
        }
    }
}

/// The membership part of `reconfig`.
struct Proposer<'a> {
    peer: &'a zab::Peer,
    standalone_enabled: bool,
}

impl prep::Membership for Proposer<'_> {
    fn propose(&mut self, request: &Reconfig, zxid: Zxid) -> Result<Bytes, ErrorCode> {
        let change = zab::Change {
            joining: request.joining_servers.as_deref(),
            leaving: request.leaving_servers.as_deref(),
            members: request.new_members.as_deref(),
            expected_version: request.config_version,
        };
        let next = self.peer.quorums().changed(change, zxid, self.standalone_enabled)?;
        if !self.peer.is_quorum_synced(&next) {
            return Err(ErrorCode::NewConfigNoQuorum);
        }
        Ok(Bytes::from(next.render()))
    }
}
