//! One set of sessions with their expiry (`SessionTrackerImpl` without its thread).

use std::collections::{BTreeMap, btree_map};

use super::expiry::ExpiryQueue;
use super::tracker::Owner;
use crate::base::{ErrorCode, Mono, SessionId};

#[derive(Debug)]
struct Session {
    timeout_ms: i32,
    closing: bool,
    owner: Option<Owner>,
}

/// Sessions by id. Deterministic: nothing that leaves it follows hash order.
#[derive(Debug)]
pub(super) struct Table {
    sessions: BTreeMap<SessionId, Session>,
    queue: ExpiryQueue<SessionId>,
}

impl Table {
    pub(super) fn new(tick_ms: u64) -> Self {
        Self { sessions: BTreeMap::new(), queue: ExpiryQueue::new(tick_ms) }
    }

    /// Adds the session unless it is known, and gives it a full timeout. True if it was added.
    pub(super) fn track(&mut self, now: Mono, id: SessionId, timeout_ms: i32) -> bool {
        let added = match self.sessions.entry(id) {
            btree_map::Entry::Vacant(entry) => {
                entry.insert(Session { timeout_ms, closing: false, owner: None });
                true
            }
            btree_map::Entry::Occupied(_) => false,
        };
        self.queue.update(now, id, timeout_ms);
        added
    }

    pub(super) fn touch(&mut self, now: Mono, id: SessionId, timeout_ms: i32) -> bool {
        match self.sessions.get(&id) {
            Some(session) if !session.closing => {
                self.queue.update(now, id, timeout_ms);
                true
            }
            _ => false,
        }
    }

    /// `SessionTrackerImpl.checkSession`: the first owner who asks becomes the owner.
    pub(super) fn check(&mut self, id: SessionId, owner: Option<Owner>) -> Result<(), ErrorCode> {
        let session = self.sessions.get_mut(&id).ok_or(ErrorCode::UnknownSession)?;
        if session.closing {
            return Err(ErrorCode::SessionExpired);
        }
        match session.owner {
            None => session.owner = owner,
            known if known == owner => {}
            Some(_) => return Err(ErrorCode::SessionMoved),
        }
        Ok(())
    }

    pub(super) fn set_owner(
        &mut self,
        id: SessionId,
        owner: Option<Owner>,
    ) -> Result<(), ErrorCode> {
        match self.sessions.get_mut(&id) {
            Some(session) if !session.closing => {
                session.owner = owner;
                Ok(())
            }
            _ => Err(ErrorCode::SessionExpired),
        }
    }

    pub(super) fn set_closing(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
        }
    }

    /// Forgets the session; its timeout if it was known.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<i32> {
        self.queue.remove(&id);
        self.sessions.remove(&id).map(|session| session.timeout_ms)
    }

    /// Sessions that expired and were not closing already. They are closing now.
    pub(super) fn expired(&mut self, now: Mono) -> Vec<SessionId> {
        let mut expired = self.queue.expired(now);
        expired.retain(|id| match self.sessions.get_mut(id) {
            Some(session) => !std::mem::replace(&mut session.closing, true),
            None => false,
        });
        expired
    }

    /// Sessions that [`Table::expired`] would name, looked at only.
    pub(super) fn due(&self, now: Mono) -> impl Iterator<Item = SessionId> + '_ {
        self.queue
            .buckets()
            .take_while(move |(time, _)| *time <= now)
            .flat_map(|(_, ids)| ids)
            .copied()
    }

    pub(super) fn next_expiry(&self) -> Option<Mono> {
        self.queue.next_expiry()
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.sessions.contains_key(&id)
    }

    pub(super) fn is_closing(&self, id: SessionId) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.closing)
    }

    pub(super) fn timeout_ms(&self, id: SessionId) -> Option<i32> {
        self.sessions.get(&id).map(|session| session.timeout_ms)
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().copied()
    }

    pub(super) fn queue(&self) -> &ExpiryQueue<SessionId> {
        &self.queue
    }
}
