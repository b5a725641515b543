//! Per-connection queues between the I/O threads and `apply`: what a client is still owed.
//!
//! ```text
//!  I/O thread ── parks requests, answers reads ──►┐                 ┌──► taken and written by
//!                                                 │ Outbox (locked) │    the I/O thread
//!  apply ── replies, events, parked reads ───────►┘                 └──
//! ```
//!
//! An [`Outbox`] owns the encoded frames not yet taken by the I/O thread, the requests parked
//! behind a write of the same session, the connection's identities and its counters. The
//! [`Registry`] finds outboxes by watcher and by session; a [`WakeList`] collects the connections
//! a batch touched and wakes each I/O thread once; [`Admission`] counts what is in flight.
//!
//! It must not know: sockets, what a request means, the tree.
//!
//! Invariants: `SESSION-FIFO` (while anything is parked, everything behind it is parked),
//! `REPLY-UNDER-GUARD` and `WATCH-BEFORE-DATA` (whoever appends holds a guard of the tree; an
//! outbox is locked after the tree and after any shard of the watch table).

mod admission;
mod frame;
mod origin;
mod registry;
mod role;
mod stats;
mod wake;

use std::collections::VecDeque;
use std::net::SocketAddr;

use parking_lot::{Mutex, MutexGuard};

use crate::acl::Identities;
use crate::base::{ErrorCode, Mono, SessionId, Wall};
use crate::watch::WatcherId;

pub use admission::Admission;
pub use frame::append_connect_response;
pub use origin::{Handshake, Origin};
pub use registry::{Connections, Registry};
pub use role::Role;
pub use stats::{ConnectionStats, Counters, Tally};
pub use wake::{Bell, Place, WakeList};

/// A request that waits for an earlier write of its session.
#[derive(Debug)]
pub enum Parked {
    /// A write, sync or handshake in the pipeline; answered when its commit is applied.
    Write {
        /// The client's xid.
        xid: i32,
        /// Op code.
        op: i32,
        /// When it arrived.
        received: Mono,
        /// Bytes it holds of the large-request budget.
        large_bytes: u32,
    },
    /// A read, executed by `apply` between the write before it and the next.
    Read {
        /// Header and record.
        frame: Box<[u8]>,
        /// Identities at arrival: a later `auth` does not change this request.
        identities: Identities,
        /// When it arrived.
        received: Mono,
    },
    /// An answer known at arrival that must keep its place.
    Answer {
        /// The client's xid.
        xid: i32,
        /// Op code.
        op: i32,
        /// The error.
        err: ErrorCode,
        /// When it arrived.
        received: Mono,
    },
}

/// What is to happen to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It stays.
    Open,
    /// Close once everything queued is written.
    CloseAfterFlush,
    /// Close without writing anything more.
    CloseNow,
}

/// The session side of a connection once the handshake is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// The session.
    pub session: SessionId,
    /// Negotiated timeout, ms.
    pub timeout_ms: i32,
}

/// What the lock of an outbox protects.
#[derive(Debug)]
pub struct State {
    /// Encoded frames the I/O thread has not taken yet.
    pub out: Vec<u8>,
    /// Bytes the I/O thread took and could not write yet.
    pub taken_bytes: usize,
    /// Requests behind an unanswered write, that write first.
    pub parked: VecDeque<Parked>,
    /// Who the client is now.
    pub identities: Identities,
    /// The session, once there is one.
    pub attached: Option<Attached>,
    /// Close or not.
    pub fate: Fate,
    /// When the last request arrived, for lazy session touches.
    pub last_heard: Mono,
    /// Counters for `cons` and the like.
    pub stats: ConnectionStats,
    /// Already on a wake list and not visited by the I/O thread since.
    woken: bool,
}

impl State {
    /// Bytes queued for the client, taken or not.
    pub fn unsent_bytes(&self) -> usize {
        self.out.len() + self.taken_bytes
    }

    /// Raises the fate; it never goes back.
    pub fn close(&mut self, fate: Fate) {
        self.fate = self.fate.max(fate);
    }

    /// True if the connection still takes part in anything.
    pub fn is_open(&self) -> bool {
        self.fate == Fate::Open
    }

    /// The I/O thread is looking at this outbox now: the next touch must wake it again.
    pub fn visited(&mut self) {
        self.woken = false;
    }
}

/// One connection's outbox.
#[derive(Debug)]
pub struct Outbox {
    /// The client's address.
    pub remote: SocketAddr,
    /// Came in over the secure port.
    pub secure: bool,
    /// When the connection was accepted.
    pub accepted: Wall,
    /// Who serves it.
    pub place: Place,
    /// Its name in the watch table.
    pub watcher: WatcherId,
    state: Mutex<State>,
}

impl Outbox {
    /// The outbox of a fresh connection. `watcher` comes from [`Registry::register`].
    pub fn new(
        remote: SocketAddr,
        secure: bool,
        accepted: Wall,
        place: Place,
        watcher: WatcherId,
        identities: Identities,
    ) -> Self {
        let state = State {
            out: Vec::new(),
            taken_bytes: 0,
            parked: VecDeque::new(),
            identities,
            attached: None,
            fate: Fate::Open,
            last_heard: Mono::default(),
            stats: ConnectionStats::default(),
            woken: false,
        };
        Self { remote, secure, accepted, place, watcher, state: Mutex::new(state) }
    }

    /// Locks the state. Lock order: tree, watch shard, outbox; nothing is awaited under it.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
