//! Who is waiting for the outcome of a transaction.

use std::fmt;
use std::sync::Arc;

use super::Outbox;
use crate::audit::Asked;
use crate::base::{Mono, SessionId};

/// The local end of a request in the pipeline.
#[derive(Clone)]
pub struct Origin {
    /// Whose request it is.
    pub outbox: Arc<Outbox>,
    /// The client's xid.
    pub xid: i32,
    /// Op code; `createSession` for a handshake, new or renewed.
    pub op: i32,
    /// When it arrived.
    pub received: Mono,
    /// What the handshake reply needs; `None` for every other request.
    pub handshake: Option<Handshake>,
    /// What `sync` echoes.
    pub path: Option<Box<str>>,
    /// For the audit log, if there is one.
    pub asked: Option<Box<Asked>>,
}

/// What the reply to a handshake needs.
#[derive(Debug, Clone, Copy)]
pub struct Handshake {
    /// The session asked for, 0 for a new one.
    pub session: SessionId,
    /// Negotiated timeout, ms.
    pub timeout_ms: i32,
    /// The client sent a `readOnly` byte, so the reply has one.
    pub with_read_only: bool,
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("place", &self.outbox.place)
            .field("xid", &self.xid)
            .field("op", &self.op)
            .finish_non_exhaustive()
    }
}
