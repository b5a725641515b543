//! Reads without a leader (`ReadOnlyZooKeeperServer`).

use super::*;

/// Java waits for so long before it believes that it is cut off; at least one tick.
const GRACE_MS: u64 = 2000;

impl<T> Member<T> {
    /// Opens and closes the read-only service as the role changes.
    pub(super) fn update_read_only(&mut self, now: Now, out: &mut Vec<Action<T>>) {
        let alone = self.serving.is_none() && self.peer.state() == PeerState::Looking;
        match self.read_only {
            ReadOnly::Off if alone => {
                let grace_ms = GRACE_MS.max(self.options.tick_ms);
                self.read_only = ReadOnly::From(now.mono.plus_ms(grace_ms));
            }
            ReadOnly::From(at) if alone && at <= now.mono => {
                self.read_only = ReadOnly::On;
                self.reset_learner(now);
                out.push(Action::ReadOnly(true));
            }
            ReadOnly::From(_) if !alone => self.read_only = ReadOnly::Off,
            ReadOnly::On if !alone => {
                self.read_only = ReadOnly::Off;
                self.reset_learner(now);
                out.push(Action::ReadOnly(false));
            }
            _ => {}
        }
    }

    /// What needs the ensemble is refused (`ReadOnlyRequestProcessor`).
    pub(super) fn serve_alone(
        &mut self,
        now: Now,
        request: Request<T>,
        tree: &DataTree,
        out: &mut Vec<Action<T>>,
    ) {
        let Request { origin, session, body, .. } = request;
        // Closes the connection: there is no answer that a client could read. Java sends one.
        let close = ErrorCode::SessionMoved;
        out.push(Action::Apply(match body {
            Body::CreateSession { timeout_ms } if self.options.local_sessions => {
                let session = self.learner.create(now.mono, timeout_ms);
                Commit::Granted { origin, session }
            }
            Body::CreateSession { .. } => Commit::Refused { origin, code: close },
            // Its client shall look for a server that can keep it alive.
            Body::Renew { .. } if tree.sessions().timeout_ms(session).is_some() => {
                Commit::Refused { origin, code: close }
            }
            Body::Renew { timeout_ms } => {
                let alive = !self.options.local_sessions
                    || self.learner.touch(now.mono, session, timeout_ms, false);
                Commit::Renewed { origin, session: alive.then_some(session) }
            }
            Body::Write(WriteRequest::CloseSession) if self.learner.is_local(session) => {
                self.learner.remove(session);
                Commit::Ended { session, origin: Some(origin) }
            }
            Body::Write(_) | Body::Sync => Commit::Refused { origin, code: ErrorCode::NotReadOnly },
        }));
    }
}
