//! Requests at a learner, which its leader decides.

use super::*;

impl<T> Member<T> {
    pub(super) fn follow(
        &mut self,
        now: Now,
        request: Request<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let Request { origin, session, cxid, kind, identities, body } = request;
        match body {
            Body::Write(WriteRequest::CloseSession) if self.learner.is_local(session) => {
                self.learner.remove(session);
                self.decide(session, cxid, Some(origin), Local::Ended, out);
            }
            Body::Write(write) => {
                let Some(body) = write.encode_body() else {
                    let code = match write {
                        WriteRequest::Undecodable { .. } => ErrorCode::MarshallingError,
                        _ => ErrorCode::Unimplemented,
                    };
                    return self.decide(session, cxid, Some(origin), Local::Refused(code), out);
                };
                if write.needs_global_session() && self.learner.is_local(session) {
                    if !self.options.local_sessions_upgrade {
                        let local = Local::Refused(ErrorCode::EphemeralOnLocalSession);
                        return self.decide(session, cxid, Some(origin), local, out);
                    }
                    if let Some(timeout_ms) = self.learner.upgrade(session) {
                        let (kind, body) = (op::CREATE_SESSION, timeout_ms.to_vec());
                        self.forward(now, session, 0, kind, body, None, None, tree, out);
                    }
                }
                let ids = if write == WriteRequest::CloseSession {
                    None
                } else {
                    Some(self.ids_of(identities))
                };
                let origin = Some(origin);
                self.forward(now, session, cxid, kind, body, ids, origin, tree, out);
            }
            Body::Sync => {
                self.syncs.push_back(origin);
                let ids = Some(self.ids_of(identities));
                let body = Some("/").to_vec();
                let request = request_of(session, cxid, op::SYNC, body, ids);
                self.feed(now, zab::Event::Forward(request), tree, out);
            }
            Body::CreateSession { timeout_ms } if self.options.local_sessions => {
                let session = self.learner.create(now.mono, timeout_ms);
                out.push(Action::Apply(Commit::Granted { origin, session }));
            }
            Body::CreateSession { timeout_ms } => {
                let session = self.learner.create(now.mono, timeout_ms);
                let body = timeout_ms.to_vec();
                let kind = op::CREATE_SESSION;
                self.forward(now, session, cxid, kind, body, None, Some(origin), tree, out);
            }
            Body::Renew { timeout_ms } if self.learner.is_local(session) => {
                let alive = self.learner.touch(now.mono, session, timeout_ms, false);
                let session = alive.then_some(session);
                out.push(Action::Apply(Commit::Renewed { origin, session }));
            }
            Body::Renew { timeout_ms } => {
                self.renewals.entry(session).or_default().push_back(origin);
                self.feed(now, zab::Event::Revalidate(session, timeout_ms), tree, out);
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn forward(
        &mut self,
        now: Now,
        session: SessionId,
        cxid: i32,
        op: i32,
        body: Vec<u8>,
        identities: Option<Arc<[Id]>>,
        origin: Option<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let waiting = Waiting { cxid, origin, local: None };
        self.waiting.entry(session).or_default().push_back(waiting);
        let request = request_of(session, cxid, op, body, identities);
        self.feed(now, zab::Event::Forward(request), tree, out);
    }

    /// Identities as they are forwarded. Neighbours in a burst mostly share them.
    fn ids_of(&mut self, identities: Identities) -> Arc<[Id]> {
        if let Some((known, ids)) = &self.forwarded
            && Arc::ptr_eq(known, &identities)
        {
            return ids.clone();
        }
        let id = |i: &Identity| Id { scheme: Some(i.scheme.clone()), id: Some(i.id.clone()) };
        let ids: Arc<[Id]> = identities.iter().map(id).collect();
        self.forwarded = Some((identities, ids.clone()));
        ids
    }
}

fn request_of(
    session: SessionId,
    cxid: i32,
    op: i32,
    body: Vec<u8>,
    identities: Option<Arc<[Id]>>,
) -> ForwardedRequest {
    ForwardedRequest { session, cxid, op, body: Bytes::from(body), identities }
}
