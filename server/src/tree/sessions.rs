//! Global sessions as the log knows them.

use std::collections::BTreeMap;

use crate::base::SessionId;

/// Global sessions and their timeouts (`ZKDatabase.sessionsWithTimeouts`). Changed only by
/// createSession and closeSession transactions and by loading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionTable(BTreeMap<i64, i32>);

impl SessionTable {
    /// Timeout in ms of a session.
    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.0.get(&session.0).copied()
    }

    /// Number of sessions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All sessions with their timeouts in ms, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SessionId, i32)> + '_ {
        self.0.iter().map(|(id, timeout_ms)| (SessionId(*id), *timeout_ms))
    }

    pub(super) fn insert(&mut self, session: SessionId, timeout_ms: i32) {
        self.0.insert(session.0, timeout_ms);
    }

    pub(super) fn remove(&mut self, session: SessionId) {
        self.0.remove(&session.0);
    }
}
