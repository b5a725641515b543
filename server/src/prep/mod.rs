//! Writes become transactions here, on the leader and on a standalone server.
//!
//! Owns every check of a write, in Java's order, and the overlay of changes that are proposed but
//! not applied (`PREP-SEES-ALL`). Must not know how a proposal becomes durable or committed, nor
//! which connection asked.
//!
//! ```text
//! frame ─► WriteRequest::decode ─► Prep::prepare(tree, sessions, request, zxid, time)
//!                                    │ looks at Outstanding first, at the tree second
//!                                    ▼
//!                          Prepared::Proposal (an error is one, too)  or  Prepared::Reject
//! Applied(zxid) ─► Prep::applied      role change ─► Prep::reset
//! ```
//!
//! Start at [`Prep::prepare`]. Follows `PrepRequestProcessor`, `ChangeRecord` and
//! `ZooKeeperServer.checkQuota`.

mod create_mode;
mod kind;
mod request;

use std::sync::Arc;

use jute::proto::op;

use crate::acl::{Identities, Schemes};
use crate::base::{ErrorCode, Proposal, SessionId, Wall, Zxid};
use crate::session;
use crate::tree::DataTree;

pub use create_mode::CreateMode;
pub use kind::{OpKind, is_throttlable};
pub use request::{Create, Reconfig, WriteRequest};

/// What `Prep` is told at construction.
#[derive(Debug, Clone)]
pub struct Options {
    /// `zookeeper.enforceQuota`.
    pub enforce_quota: bool,
    /// `zookeeper.closeSessionTxn.enabled`: closeSession carries the list of its ephemerals.
    pub close_session_txn: bool,
    /// `reconfigEnabled`.
    pub reconfig_enabled: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { enforce_quota: false, close_session_txn: true, reconfig_enabled: false }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A connection to this server.
    Client,
    /// A learner, which waits for a commit in any case: nothing may be rejected without a
    /// transaction.
    Learner,
    /// This server itself: expiry, removal of containers and TTL znodes.
    Internal,
}

/// A write with everything that decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The session; 0 for removals of containers and TTL znodes.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// The op code as sent.
    pub kind: i32,
    /// The decoded body.
    pub write: WriteRequest,
    /// The caller's identities when the request was received.
    pub identities: Identities,
    /// Who serves the session.
    pub owner: session::Owner,
    /// Where it came from.
    pub source: Source,
    /// Reported instead of checking the session, if the request creates an ephemeral: the upgrade
    /// of the local session failed (-120).
    pub upgrade_error: Option<ErrorCode>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// A transaction with the zxid that was handed in. An error transaction (type -1) if the
    /// request was refused: it is logged, proposed and answered like any other.
    Proposal(Proposal),
    /// Answer with this code, in the order of writes. The zxid was not used.
    Reject(ErrorCode),
}

/// The membership part of `reconfig`, which knows the ensemble.
pub trait Membership {
    /// Checks rows 4 to 9 of the order (in progress, version, quorum type, text, voters, synced
    /// quorum) and returns the text of the new configuration, whose version is `zxid`.
    fn propose(&mut self, request: &Reconfig, zxid: Zxid) -> Result<bytes::Bytes, ErrorCode>;
}

/// Makes transactions out of writes. One per serving role.
#[derive(Debug)]
pub struct Prep {
    #[allow(dead_code)]
    options: Options,
    #[allow(dead_code)]
    schemes: Arc<Schemes>,
}

impl Prep {
    /// Starts with nothing outstanding.
    pub fn new(options: Options, schemes: Arc<Schemes>) -> Self {
        Self { options, schemes }
    }

    /// Makes the transaction of `request` with `zxid` and the wall time `time`. Requests must come
    /// with ascending zxids; a zxid that was not used (see [`Prepared::Reject`]) is handed in
    /// again.
    ///
    /// `membership` is `None` on a standalone server, where `reconfig` is UNIMPLEMENTED.
    pub fn prepare(
        &mut self,
        _tree: &DataTree,
        _sessions: &mut session::Tracker,
        _membership: Option<&mut dyn Membership>,
        _request: Request,
        _zxid: Zxid,
        _time: Wall,
    ) -> Prepared {
        let _ = op::ERROR;
        unimplemented!("published ahead of its body")
    }

    /// Everything up to `zxid` is in the tree: forgets the changes of those transactions.
    pub fn applied(&mut self, _zxid: Zxid) {
        unimplemented!("published ahead of its body")
    }

    /// Forgets everything outstanding: the role changed, and what was proposed may never commit.
    pub fn reset(&mut self) {
        unimplemented!("published ahead of its body")
    }

    /// Number of changes proposed but not applied.
    pub fn outstanding(&self) -> usize {
        unimplemented!("published ahead of its body")
    }
}
