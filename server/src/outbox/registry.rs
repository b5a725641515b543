//! Finds outboxes: by watcher (events), by session (expiry, re-attach), all of them (statistics).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use super::Outbox;
use crate::base::SessionId;
use crate::watch::WatcherId;

/// Every open connection of this server.
#[derive(Debug, Default)]
pub struct Registry {
    connections: RwLock<Connections>,
    sessions: Mutex<HashMap<SessionId, Arc<Outbox>>>,
}

/// The connections by watcher id.
#[derive(Debug, Default)]
pub struct Connections {
    by_watcher: Vec<Option<Arc<Outbox>>>,
    /// Ids that may be given out again.
    free: Vec<u32>,
    open: usize,
}

impl Connections {
    /// The connection that watches under this id.
    pub fn get(&self, watcher: WatcherId) -> Option<&Arc<Outbox>> {
        self.by_watcher.get(watcher.0 as usize)?.as_ref()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Outbox>> {
        self.by_watcher.iter().flatten()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }
}

impl Registry {
    /// Adds a connection; `build` gets its watcher id.
    pub fn register(&self, build: impl FnOnce(WatcherId) -> Outbox) -> Arc<Outbox> {
        let mut connections = self.connections.write();
        let index = connections.free.pop().unwrap_or_else(|| {
            connections.by_watcher.push(None);
            (connections.by_watcher.len() - 1) as u32
        });
        let outbox = Arc::new(build(WatcherId(index)));
        connections.by_watcher[index as usize] = Some(outbox.clone());
        connections.open += 1;
        outbox
    }

    /// Forgets a connection, and its session if it still holds it. The caller has cleared its
    /// watches, under a read guard of the tree that it still holds: the id is free from here on.
    pub fn unregister(&self, outbox: &Arc<Outbox>) {
        if let Some(attached) = outbox.lock().attached {
            self.detach(attached.session, outbox);
        }
        let mut connections = self.connections.write();
        let index = outbox.watcher.0 as usize;
        if connections.by_watcher[index].take().is_some() {
            connections.free.push(index as u32);
            connections.open -= 1;
        }
    }

    /// The connections, under a read lock: keep it short.
    pub fn connections(&self) -> RwLockReadGuard<'_, Connections> {
        self.connections.read()
    }

    /// `outbox` serves `session` from now on. Returns the connection that did so before.
    pub fn attach(&self, session: SessionId, outbox: &Arc<Outbox>) -> Option<Arc<Outbox>> {
        self.sessions.lock().insert(session, outbox.clone())
    }

    /// `outbox` no longer serves `session`, if it does.
    pub fn detach(&self, session: SessionId, outbox: &Arc<Outbox>) {
        let mut sessions = self.sessions.lock();
        if sessions.get(&session).is_some_and(|held| Arc::ptr_eq(held, outbox)) {
            sessions.remove(&session);
        }
    }

    /// The connection that serves `session`.
    pub fn by_session(&self, session: SessionId) -> Option<Arc<Outbox>> {
        self.sessions.lock().get(&session).cloned()
    }

    /// Takes the connection that serves `session` away from it.
    pub fn take_session(&self, session: SessionId) -> Option<Arc<Outbox>> {
        self.sessions.lock().remove(&session)
    }
}
