//! The replica core: the server's role, prep and sessions. Event in, action out; pure.
//!
//! ```text
//!  requests ──► prep ──► proposal ──► Append ─────► (log thread) ──► Durable
//!                          │                                            │
//!                          └── held in order of zxid ──► Apply ◄────────┘
//! ```
//!
//! A router: what a write becomes is decided in `prep`, who is alive in `session`, what commits in
//! the role. `Solo`, the standalone role, is broadcast with a quorum of one: the own durable log is
//! the quorum (`ACK-AFTER-FSYNC`). `Member` is every other role: it feeds `zab` and carries out
//! what concerns requests and sessions; the rest of `zab`'s actions pass through.
//!
//! Must not know: sockets, files, threads, clocks. `T` is the caller's handle on whoever waits for
//! the outcome; it is only passed on.
//!
//! Start reading at [`Replica::handle`].

mod cleaner;
mod member;
mod options;
mod solo;

use std::sync::Arc;

use self::member::Member;
use self::solo::Solo;
use crate::acl::{Identities, Schemes};
use crate::base::{ErrorCode, Mono, Now, Proposal, SessionId, Zxid};
use crate::prep::{self, WriteRequest};
use crate::session::Tracker;
use crate::tree::DataTree;
use crate::zab::{self, Serving};

pub use options::Options;

/// What a client wants of the pipeline.
#[derive(Debug)]
pub struct Request<T> {
    /// Who waits for the outcome.
    pub origin: T,
    /// The session; 0 in a handshake for a new one.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// Op code.
    pub kind: i32,
    /// Identities when it was received.
    pub identities: Identities,
    /// What it wants.
    pub body: Body,
}

/// What a [`Request`] wants.
#[derive(Debug)]
pub enum Body {
    /// A change of the tree, or the end of the session.
    Write(WriteRequest),
    /// To see everything that was committed before.
    Sync,
    /// A new session with this negotiated timeout, ms.
    CreateSession {
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// To go on with a session whose password was right.
    Renew {
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
}

/// What happened outside.
#[derive(Debug)]
pub enum Event<T> {
    /// A client asks.
    Request(Request<T>),
    /// Everything up to here is on stable storage.
    Durable(Zxid),
    /// Everything up to here is in the tree.
    Applied(Zxid),
    /// These sessions were heard of at these times. Feed it before `Timeout` for all sessions that
    /// [`Replica::due_sessions`] names and that have a connection.
    Heard(Vec<(SessionId, Mono, i32)>),
    /// An operator ends this session.
    EndSession(SessionId),
    /// Time passed.
    Timeout,
    /// Something for the zab core.
    Zab(zab::Event),
    /// [`zab::Action::Open`] is carried out: everything before it is in the tree.
    Opened(Serving),
}

/// What is to be done. Nothing has a hidden precondition.
#[derive(Debug)]
pub enum Action<T> {
    /// Write this to the log, behind all before it.
    Append(Arc<Proposal>),
    /// Apply this, behind all before it. A transaction is committed when this is emitted.
    Apply(Commit<T>),
    /// Serve reads without a leader, or stop doing so, behind all before it.
    ReadOnly(bool),
    /// Links, votes, epoch files, role: see [`zab::Action`]. Never one of those that `Append`,
    /// `Apply` or the sessions stand for.
    Zab(zab::Action),
}

/// One entry of the commit stream.
#[derive(Debug)]
pub enum Commit<T> {
    /// A committed transaction; `origin` if one of our clients waits for it.
    Txn {
        /// The transaction.
        proposal: Arc<Proposal>,
        /// Who waits.
        origin: Option<T>,
    },
    /// A request that became no transaction.
    Refused {
        /// Who waits.
        origin: T,
        /// Why; `SessionMoved` closes the connection instead of being sent.
        code: ErrorCode,
    },
    /// A `sync` whose place in the stream is reached.
    Synced {
        /// Who waits.
        origin: T,
    },
    /// A session that only this server knows: it begins without a transaction.
    Granted {
        /// Who waits.
        origin: T,
        /// The session.
        session: SessionId,
    },
    /// Such a session ends.
    Ended {
        /// The session.
        session: SessionId,
        /// Who asked for it; nobody if its time was over.
        origin: Option<T>,
    },
    /// A renewal: the session, or `None` if there is none to go on with.
    Renewed {
        /// Who waits.
        origin: T,
        /// The session.
        session: Option<SessionId>,
    },
}

/// The core.
#[derive(Debug)]
pub struct Replica<T>(Kind<T>);

#[derive(Debug)]
enum Kind<T> {
    Solo(Box<Solo<T>>),
    Member(Box<Member<T>>),
}

impl<T> Replica<T> {
    /// A standalone server that continues behind `tree`, whose history is durable.
    pub fn solo(
        options: Options,
        prep: prep::Options,
        schemes: Arc<Schemes>,
        tree: &DataTree,
        now: Now,
    ) -> Self {
        Self(Kind::Solo(Box::new(Solo::new(options, prep, schemes, tree, now))))
    }

    /// A member of an ensemble, looking for a leader with `peer`.
    pub fn member(
        options: Options,
        prep: prep::Options,
        schemes: Arc<Schemes>,
        now: Now,
        peer: zab::Peer,
    ) -> Self {
        Self(Kind::Member(Box::new(Member::new(options, prep, schemes, now, peer))))
    }

    /// A standalone server goes on behind another tree, whose history is durable. A member never
    /// does: its history is the ensemble's.
    pub fn restart(&mut self, tree: &DataTree, now: Now) {
        match &mut self.0 {
            Kind::Solo(solo) => solo.restart(tree, now),
            Kind::Member(_) => unreachable!("a member's tree is replaced by its leader only"),
        }
    }

    /// Feeds one event. Every action appended to `out` may be executed at once, in order.
    pub fn handle(&mut self, now: Now, event: Event<T>, tree: &DataTree, out: &mut Vec<Action<T>>) {
        match &mut self.0 {
            Kind::Solo(solo) => solo.handle(now, event, tree, out),
            Kind::Member(member) => member.handle(now, event, tree, out),
        }
    }

    /// When `Event::Timeout` must be fed at the latest.
    pub fn next_timeout(&self) -> Option<Mono> {
        match &self.0 {
            Kind::Solo(solo) => solo.next_timeout(),
            Kind::Member(member) => member.next_timeout(),
        }
    }

    /// Sessions that expire at `now` unless they were heard of, see [`Event::Heard`].
    pub fn due_sessions(&self, now: Mono) -> Vec<SessionId> {
        match &self.0 {
            Kind::Solo(solo) => solo.due_sessions(now),
            Kind::Member(member) => member.due_sessions(now),
        }
    }

    /// True if every session heard of since the last time must be told ([`Event::Heard`]) before
    /// the next `Timeout`: a learner reports them to its leader.
    pub fn wants_all_heard(&self, now: Mono) -> bool {
        match &self.0 {
            Kind::Solo(_) => false,
            Kind::Member(member) => member.wants_all_heard(now),
        }
    }

    /// Sessions, for operators. A learner's is empty.
    pub fn sessions(&self) -> &Tracker {
        match &self.0 {
            Kind::Solo(solo) => solo.sessions(),
            Kind::Member(member) => member.sessions(),
        }
    }

    /// Number of sessions that only this server knows.
    pub fn local_sessions(&self) -> usize {
        match &self.0 {
            Kind::Solo(_) => 0,
            Kind::Member(member) => member.local_sessions(),
        }
    }

    /// Last zxid given to a proposal.
    pub fn proposed(&self) -> Zxid {
        match &self.0 {
            Kind::Solo(solo) => solo.proposed(),
            Kind::Member(member) => member.peer().last_logged(),
        }
    }

    /// Entries of the commit stream that wait for the log.
    pub fn held(&self) -> usize {
        match &self.0 {
            Kind::Solo(solo) => solo.held(),
            Kind::Member(_) => 0,
        }
    }

    /// The zab core, if this is a member of an ensemble.
    pub fn peer(&self) -> Option<&zab::Peer> {
        match &self.0 {
            Kind::Solo(_) => None,
            Kind::Member(member) => Some(member.peer()),
        }
    }
}
