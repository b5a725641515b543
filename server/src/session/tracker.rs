//! Sessions on a standalone server or a leader.

use std::collections::{BTreeMap, BTreeSet};

use super::first_session_id;
use super::table::Table;
use crate::base::{ErrorCode, Mono, SessionId, Sid};

/// Who serves a session, as the leader sees it: itself, or one link to a learner. A link that was
/// re-established is another owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(pub u64);

impl Owner {
    /// A connection to this very server.
    pub const LOCAL: Owner = Owner(0);
}

/// What an unknown session means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// UNKNOWNSESSION (`SessionTrackerImpl`).
    Standalone,
    /// SESSIONEXPIRED; but with local sessions, a session of another server passes
    /// (`LeaderSessionTracker`).
    Leader,
}

/// What a tracker is told at construction.
#[derive(Debug, Clone)]
pub struct Options {
    /// `tickTime`: width of an expiry bucket.
    pub tick_ms: u64,
    /// For new session ids; a standalone server uses 1.
    pub sid: Sid,
    /// Role.
    pub rules: Rules,
    /// `localSessionsEnabled`; ignored on a standalone server.
    pub local_sessions: bool,
}

/// Sessions on a standalone server or a leader (`SessionTrackerImpl`, `LeaderSessionTracker`).
///
/// Made anew whenever the server starts to serve, from the tree's session table: every session then
/// has its full timeout again.
#[derive(Debug)]
pub struct Tracker {
    options: Options,
    global: Table,
    /// This server's local sessions, if they are enabled.
    local: Option<Table>,
    /// Sessions that stopped being local and whose createSession is not applied yet.
    upgrading: BTreeSet<SessionId>,
    next_id: SessionId,
}

impl Tracker {
    /// Starts with the sessions of the tree, each with its full timeout from `now`.
    pub fn new(
        options: Options,
        now: Mono,
        sessions: impl IntoIterator<Item = (SessionId, i32)>,
    ) -> Self {
        let local = options.local_sessions && options.rules == Rules::Leader;
        let mut tracker = Self {
            global: Table::new(options.tick_ms),
            local: local.then(|| Table::new(options.tick_ms)),
            upgrading: BTreeSet::new(),
            next_id: first_session_id(options.sid, now),
            options,
        };
        for (session, timeout_ms) in sessions {
            tracker.global.track(now, session, timeout_ms);
        }
        tracker
    }

    /// Makes a session for a client of this server: local if local sessions are enabled (then no
    /// transaction is needed), else global and tracked at once, before its createSession is
    /// proposed.
    pub fn create(&mut self, now: Mono, timeout_ms: i32) -> SessionId {
        while self.contains(self.next_id) {
            self.next_id.0 = self.next_id.0.wrapping_add(1);
        }
        let id = self.next_id;
        self.next_id.0 = self.next_id.0.wrapping_add(1);
        self.local.as_mut().unwrap_or(&mut self.global).track(now, id, timeout_ms);
        id
    }

    /// Tracks a global session, as preparing a createSession does. True if it was unknown. A known
    /// one gets a full timeout again.
    pub fn track(&mut self, now: Mono, session: SessionId, timeout_ms: i32) -> bool {
        self.global.track(now, session, timeout_ms)
    }

    /// A createSession was applied: the session is not local any more.
    pub fn commit(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.remove(session);
        }
        self.upgrading.remove(&session);
    }

    /// A sign of life with the connection's negotiated timeout. False if the session is unknown or
    /// closing: the request is then dropped without an answer, a re-attach refused.
    pub fn touch(&mut self, now: Mono, session: SessionId, timeout_ms: i32) -> bool {
        self.local.as_mut().is_some_and(|local| local.touch(now, session, timeout_ms))
            || self.global.touch(now, session, timeout_ms)
    }

    /// Checks that a request of `owner` may act for the session. The first owner who asks becomes
    /// the owner. Fails with SESSIONEXPIRED, UNKNOWNSESSION (standalone) or SESSIONMOVED, which
    /// closes the connection instead of being sent.
    pub fn check(&mut self, session: SessionId, owner: Owner) -> Result<(), ErrorCode> {
        if let Some(local) = &mut self.local {
            match local.check(session, Some(owner)) {
                Ok(()) if !self.global.contains(session) => return Ok(()),
                // Both during an upgrade; or of another server.
                Ok(()) | Err(ErrorCode::UnknownSession) => {}
                Err(code) => return Err(code),
            }
        }
        match self.global.check(session, Some(owner)) {
            Err(ErrorCode::UnknownSession) => match self.options.rules {
                Rules::Standalone => Err(ErrorCode::UnknownSession),
                Rules::Leader if self.local.is_none() || self.is_ours(session) => {
                    Err(ErrorCode::SessionExpired)
                }
                Rules::Leader => Ok(()),
            },
            result => result,
        }
    }

    /// The same for operations that need a global session: creating an ephemeral.
    pub fn check_global(&mut self, session: SessionId, owner: Owner) -> Result<(), ErrorCode> {
        match self.global.check(session, Some(owner)) {
            Err(ErrorCode::UnknownSession) => Err(ErrorCode::SessionExpired),
            result => result,
        }
    }

    /// Makes `owner` the owner, as creating and re-attaching do. Fails with SESSIONEXPIRED.
    pub fn set_owner(&mut self, session: SessionId, owner: Owner) -> Result<(), ErrorCode> {
        if let Some(local) = &mut self.local
            && local.set_owner(session, Some(owner)).is_ok()
        {
            return Ok(());
        }
        self.global.set_owner(session, Some(owner))
    }

    /// From now on the session answers SESSIONEXPIRED and cannot be touched.
    pub fn set_closing(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.set_closing(session);
        }
        self.global.set_closing(session);
    }

    /// A closeSession was applied, or a local session ended.
    pub fn remove(&mut self, session: SessionId) {
        if let Some(local) = &mut self.local {
            local.remove(session);
        }
        self.global.remove(session);
        self.upgrading.remove(&session);
    }

    /// Sessions whose time has come; they are closing from now on, and each needs a closeSession.
    /// A session that is closing already is not named again.
    pub fn expired(&mut self, now: Mono) -> Vec<SessionId> {
        let mut expired = self.global.expired(now);
        if let Some(local) = &mut self.local {
            expired.extend(local.expired(now));
        }
        expired
    }

    /// Sessions whose time has come, looked at only: the caller may still know of a later sign of
    /// life and [`Tracker::touch`] them with its time.
    pub fn due(&self, now: Mono) -> Vec<SessionId> {
        let local = self.local.iter().flat_map(|local| local.due(now));
        self.global.due(now).chain(local).collect()
    }

    /// When [`Tracker::expired`] should be asked next.
    pub fn next_expiry(&self) -> Option<Mono> {
        let local = self.local.as_ref().and_then(Table::next_expiry);
        [self.global.next_expiry(), local].into_iter().flatten().min()
    }

    /// Turns a local session into a global one: the caller proposes a createSession with the
    /// timeout returned. `None` if it is not a local session.
    pub fn upgrade(&mut self, now: Mono, session: SessionId) -> Option<i32> {
        let timeout_ms = self.local.as_mut()?.remove(session)?;
        self.global.track(now, session, timeout_ms);
        self.upgrading.insert(session);
        Some(timeout_ms)
    }

    /// True while an upgrade is on its way.
    pub fn is_upgrading(&self, session: SessionId) -> bool {
        self.upgrading.contains(&session)
    }

    /// True if this server's connections may use the session: it is known here, global or local.
    pub fn contains(&self, session: SessionId) -> bool {
        self.is_global(session) || self.is_local(session)
    }

    /// True for a tracked global session.
    pub fn is_global(&self, session: SessionId) -> bool {
        self.global.contains(session)
    }

    /// True for a local session of this server.
    pub fn is_local(&self, session: SessionId) -> bool {
        self.local.as_ref().is_some_and(|local| local.contains(session))
    }

    /// True if the session is being closed.
    pub fn is_closing(&self, session: SessionId) -> bool {
        self.global.is_closing(session)
            || self.local.as_ref().is_some_and(|local| local.is_closing(session))
    }

    /// The timeout the session was tracked with, ms.
    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        let local = self.local.as_ref().and_then(|local| local.timeout_ms(session));
        local.or_else(|| self.global.timeout_ms(session))
    }

    /// Number of global sessions.
    pub fn global_count(&self) -> usize {
        self.global.len()
    }

    /// Number of local sessions.
    pub fn local_count(&self) -> usize {
        self.local.as_ref().map_or(0, Table::len)
    }

    /// Global sessions, ascending.
    pub fn global_ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.global.ids()
    }

    /// Local sessions, ascending.
    pub fn local_ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.local.iter().flat_map(Table::ids)
    }

    /// Expiry times with their sessions, in order, for the `dump` command. Global sessions win over
    /// local ones at the same time, as in Java's merged map.
    pub fn expiry_buckets(&self) -> BTreeMap<Mono, Vec<SessionId>> {
        let mut merged = BTreeMap::new();
        for table in self.local.iter().chain([&self.global]) {
            for (time, sessions) in table.queue().buckets() {
                merged.insert(time, sessions.iter().copied().collect());
            }
        }
        merged
    }

    /// True if the session's id was made by this server.
    fn is_ours(&self, session: SessionId) -> bool {
        (session.0 as u64) >> 56 == self.options.sid.0 as u64 & 0xff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELSEWHERE: Owner = Owner(7);

    fn tracker(rules: Rules, local_sessions: bool) -> Tracker {
        let options = Options { tick_ms: 10, sid: Sid(1), rules, local_sessions };
        Tracker::new(options, Mono(0), [(SessionId(5), 100)])
    }

    #[test]
    fn checks() {
        let s = SessionId(5);
        let mut t = tracker(Rules::Standalone, false);
        assert_eq!(t.check(SessionId(6), Owner::LOCAL), Err(ErrorCode::UnknownSession));
        assert_eq!(t.check_global(SessionId(6), Owner::LOCAL), Err(ErrorCode::SessionExpired));
        assert_eq!(t.check(s, Owner::LOCAL), Ok(()));
        // The first one who asked is the owner.
        assert_eq!(t.check(s, ELSEWHERE), Err(ErrorCode::SessionMoved));
        assert_eq!(t.set_owner(s, ELSEWHERE), Ok(()));
        assert_eq!(t.check(s, Owner::LOCAL), Err(ErrorCode::SessionMoved));
        assert_eq!(t.check_global(s, Owner::LOCAL), Err(ErrorCode::SessionMoved));
        t.set_closing(s);
        assert_eq!(t.check(s, ELSEWHERE), Err(ErrorCode::SessionExpired));
        assert_eq!(t.set_owner(s, ELSEWHERE), Err(ErrorCode::SessionExpired));
        assert!(!t.touch(Mono(1), s, 100));
        t.remove(s);
        assert_eq!(t.check(s, ELSEWHERE), Err(ErrorCode::UnknownSession));
        assert!(!t.contains(s));
    }

    #[test]
    fn a_leader_knows_no_unknown_sessions() {
        let mut t = tracker(Rules::Leader, false);
        assert_eq!(t.check(SessionId(6), Owner::LOCAL), Err(ErrorCode::SessionExpired));
        // With local sessions those of other servers pass, but not for ephemerals.
        let mut t = tracker(Rules::Leader, true);
        let (ours, theirs) = (SessionId(1 << 56 | 9), SessionId(2 << 56 | 9));
        assert_eq!(t.check(ours, Owner::LOCAL), Err(ErrorCode::SessionExpired));
        assert_eq!(t.check(theirs, ELSEWHERE), Ok(()));
        assert_eq!(t.check_global(theirs, ELSEWHERE), Err(ErrorCode::SessionExpired));
    }

    #[test]
    fn expiry_names_each_session_once() {
        let mut t = tracker(Rules::Standalone, false);
        let s = SessionId(5);
        assert_eq!(t.next_expiry(), Some(Mono(110)));
        assert!(t.touch(Mono(50), s, 100));
        assert_eq!(t.expired(Mono(110)), []);
        assert_eq!(t.expired(Mono(160)), [s]);
        assert!(t.is_closing(s));
        assert_eq!(t.expired(Mono(1000)), []);
        // Closing by request: no second close when the time comes.
        let other = t.create(Mono(1000), 50);
        t.set_closing(other);
        assert_eq!(t.expired(Mono(2000)), []);
    }

    #[test]
    fn new_ids_count_up_and_skip_known_ones() {
        let first = first_session_id(Sid(1), Mono(0));
        let taken = [SessionId(first.0), SessionId(first.0 + 2)].map(|s| (s, 10));
        let options =
            Options { tick_ms: 10, sid: Sid(1), rules: Rules::Standalone, local_sessions: false };
        let mut t = Tracker::new(options, Mono(0), taken);
        assert_eq!(t.create(Mono(0), 10).0, first.0 + 1);
        assert_eq!(t.create(Mono(0), 10).0, first.0 + 3);
        assert_eq!(t.global_count(), 4);
    }

    #[test]
    fn local_sessions_upgrade() {
        let mut t = tracker(Rules::Leader, true);
        let s = t.create(Mono(0), 100);
        assert!(t.is_local(s) && !t.is_global(s));
        assert_eq!((t.local_count(), t.global_count()), (1, 1));
        assert_eq!(t.check(s, Owner::LOCAL), Ok(()));
        assert_eq!(t.check_global(s, Owner::LOCAL), Err(ErrorCode::SessionExpired));
        assert_eq!(t.upgrade(Mono(5), s), Some(100));
        assert_eq!(t.upgrade(Mono(5), s), None);
        assert!(t.is_upgrading(s) && t.is_global(s));
        assert_eq!(t.check_global(s, Owner::LOCAL), Ok(()));
        t.commit(s);
        assert!(!t.is_upgrading(s) && t.is_global(s) && !t.is_local(s));
        assert_eq!(t.upgrade(Mono(5), SessionId(5)), None);
    }

    #[test]
    fn local_sessions_expire_too() {
        let mut t = tracker(Rules::Leader, true);
        let s = t.create(Mono(0), 20);
        assert_eq!(t.next_expiry(), Some(Mono(30)));
        assert_eq!(t.expired(Mono(30)), [s]);
        assert_eq!(t.check(s, Owner::LOCAL), Err(ErrorCode::SessionExpired));
        assert_eq!(t.expiry_buckets().into_keys().collect::<Vec<_>>(), [Mono(110)]);
    }
}
