//! Sessions on a follower or an observer.

use std::collections::{BTreeMap, BTreeSet};

use super::table::Table;
use super::{Owner, first_session_id};
use crate::base::{ErrorCode, Mono, SessionId, Sid};

/// What a learner knows of sessions (`LearnerSessionTracker`): the leader tracks the global ones;
/// the learner collects signs of life for it, and tracks its own local sessions.
#[derive(Debug)]
pub struct LearnerSessions {
    touched: BTreeMap<SessionId, i32>,
    local: Option<Table>,
    upgrading: BTreeSet<SessionId>,
    next_id: SessionId,
}

impl LearnerSessions {
    /// Starts empty.
    pub fn new(tick_ms: u64, sid: Sid, local_sessions: bool, now: Mono) -> Self {
        Self {
            touched: BTreeMap::new(),
            local: local_sessions.then(|| Table::new(tick_ms)),
            upgrading: BTreeSet::new(),
            next_id: first_session_id(sid, now),
        }
    }

    /// A new id for a client of this server. With local sessions the session exists at once, else
    /// the caller forwards a createSession.
    pub fn create(&mut self, now: Mono, timeout_ms: i32) -> SessionId {
        let id = self.next_id;
        self.next_id.0 = self.next_id.0.wrapping_add(1);
        if let Some(local) = &mut self.local {
            local.track(now, id, timeout_ms);
        }
        id
    }

    /// A createSession was applied: the session is global, and was just alive.
    pub fn commit(&mut self, session: SessionId, timeout_ms: i32) {
        if let Some(local) = &mut self.local {
            local.remove(session);
        }
        self.upgrading.remove(&session);
        self.touched.insert(session, timeout_ms);
    }

    /// A sign of life. `global` says whether the tree knows the session. False if the session is
    /// certainly dead (only possible with local sessions); the request is then dropped.
    pub fn touch(&mut self, now: Mono, session: SessionId, timeout_ms: i32, global: bool) -> bool {
        if let Some(local) = &mut self.local {
            if local.touch(now, session, timeout_ms) {
                return true;
            }
            if !global && !self.upgrading.contains(&session) {
                return false;
            }
        }
        self.touched.insert(session, timeout_ms);
        true
    }

    /// Takes what was touched since the last call, for the reply to the leader's ping.
    pub fn take_touched(&mut self) -> Vec<(SessionId, i32)> {
        std::mem::take(&mut self.touched).into_iter().collect()
    }

    /// Checks a request that this server decides itself. Global sessions are the leader's business
    /// and pass.
    pub fn check(&mut self, session: SessionId, global: bool) -> Result<(), ErrorCode> {
        let Some(local) = &mut self.local else { return Ok(()) };
        match local.check(session, Some(Owner::LOCAL)) {
            Err(ErrorCode::UnknownSession) if global => Ok(()),
            Err(ErrorCode::UnknownSession) => Err(ErrorCode::SessionExpired),
            result => result,
        }
    }

    /// Turns a local session into a global one: the caller forwards a createSession with the
    /// timeout returned. `None` if it is not a local session.
    pub fn upgrade(&mut self, session: SessionId) -> Option<i32> {
        let timeout_ms = self.local.as_mut()?.remove(session)?;
        self.upgrading.insert(session);
        Some(timeout_ms)
    }

    /// A local session is being closed.
    pub fn set_closing(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.set_closing(session);
        }
    }

    /// A closeSession was applied, or a local session ended.
    pub fn remove(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.remove(session);
        }
        self.upgrading.remove(&session);
        self.touched.remove(&session);
    }

    /// Local sessions whose time has come; they are closing from now on.
    pub fn expired(&mut self, now: Mono) -> Vec<SessionId> {
        self.local.as_mut().map_or_else(Vec::new, |local| local.expired(now))
    }

    /// Local sessions that [`LearnerSessions::expired`] would name, looked at only.
    pub fn due(&self, now: Mono) -> Vec<SessionId> {
        self.local.iter().flat_map(|local| local.due(now)).collect()
    }

    /// When [`LearnerSessions::expired`] should be asked next.
    pub fn next_expiry(&self) -> Option<Mono> {
        self.local.as_ref().and_then(Table::next_expiry)
    }

    /// True for a local session of this server.
    pub fn is_local(&self, session: SessionId) -> bool {
        self.local.as_ref().is_some_and(|local| local.contains(session))
    }

    /// True while an upgrade is on its way.
    pub fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains(&session)
    }

    /// Number of local sessions.
    pub fn local_count(&self) -> usize {
        self.local.as_ref().map_or(0, Table::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touched_sessions_are_reported_once() {
        let mut s = LearnerSessions::new(10, Sid(2), false, Mono(0));
        assert!(s.touch(Mono(1), SessionId(9), 100, false));
        assert!(s.touch(Mono(2), SessionId(9), 200, true));
        s.commit(SessionId(8), 50);
        assert_eq!(s.take_touched(), [(SessionId(8), 50), (SessionId(9), 200)]);
        assert_eq!(s.take_touched(), []);
        assert_eq!(s.check(SessionId(77), false), Ok(()));
    }

    #[test]
    fn local_sessions() {
        let mut s = LearnerSessions::new(10, Sid(2), true, Mono(0));
        let id = s.create(Mono(0), 100);
        assert_eq!(id.0 >> 56, 2);
        assert!(s.touch(Mono(5), id, 100, false));
        // Neither local nor global: dead.
        assert!(!s.touch(Mono(5), SessionId(1), 100, false));
        assert!(s.touch(Mono(5), SessionId(1), 100, true));
        assert_eq!(s.take_touched(), [(SessionId(1), 100)]);
        assert_eq!(s.check(id, false), Ok(()));
        assert_eq!(s.check(SessionId(1), false), Err(ErrorCode::SessionExpired));
        assert_eq!(s.check(SessionId(1), true), Ok(()));
        assert_eq!(s.upgrade(id), Some(100));
        assert!(s.touch(Mono(6), id, 100, false));
        s.commit(id, 100);
        assert!(!s.is_upgrading(id) && !s.is_local(id));
        let second = s.create(Mono(0), 20);
        assert_eq!(s.expired(Mono(30)), [second]);
        assert_eq!(s.check(second, false), Err(ErrorCode::SessionExpired));
    }
}
