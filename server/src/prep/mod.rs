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
mod eager;
mod kind;
mod outstanding;
mod path;
mod request;
#[cfg(test)]
mod tests;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use jute::Encode;
use jute::data::{Acl, PERM_ALL};
use jute::proto::op;
use jute::txn::{DIGEST_VERSION, ErrorTxn, MultiTxn, SubTxn, Txn, TxnDigest, TxnHeader};

use outstanding::Outstanding;
use work::Work;

use crate::acl::{Identities, Schemes};
use crate::base::{ErrorCode, Hints, Mono, Now, Press, Proposal, SessionId, Zxid};
use crate::metrics::Metrics;
use crate::session;
use crate::tree::{AclList, DataTree};

pub use create_mode::CreateMode;
pub use eager::check_eagerly;
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
    /// Per-process secret of the overlay's hash. No output depends on it.
    pub hash_seed: u64,
    /// Where changes and exceeded quotas are counted.
    pub metrics: Option<Arc<Metrics>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enforce_quota: false,
            close_session_txn: true,
            reconfig_enabled: false,
            hash_seed: 0,
            metrics: None,
        }
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
    /// Who asks, and how.
    pub context: Context,
    /// The decoded body.
    pub write: WriteRequest,
}

/// Everything about a request but its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The session; 0 for removals of containers and TTL znodes.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// The op code as sent.
    pub kind: i32,
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
#[expect(
    clippy::large_enum_variant,
    reason = "taken apart at once; a box would cost an allocation per write"
)]
pub enum Prepared {
    /// A transaction with the zxid that was handed in. An error transaction (type -1) if the
    /// request was refused: it is logged, proposed and answered like any other.
    Proposal(Proposal),
    /// Answer with this code, in the order of writes. The zxid was not used.
    Reject(ErrorCode),
}

/// The membership part of `reconfig`, which knows the ensemble.
pub trait Membership {
    /// Checks in progress, version, quorum type, text, voters and synced quorum, in this order, and
    /// returns the text of the new configuration, whose version is `zxid`.
    fn propose(&mut self, request: &Reconfig, zxid: Zxid) -> Result<Bytes, ErrorCode>;
}

/// Makes transactions out of writes. One per serving role.
#[derive(Debug)]
pub struct Prep {
    options: Options,
    schemes: Arc<Schemes>,
    overlay: Outstanding,
    /// The open list, shared by all records that have it.
    open_acl: AclList,
    press: Press,
    complaint: Complaint,
}

/// The last thing said about an exceeded quota (`RateLogger`): not said again for a while.
#[derive(Debug, Default)]
struct Complaint {
    text: String,
    said: Mono,
}

/// How long the same text about a quota is not repeated, ms.
const COMPLAINT_MS: u64 = 10_000;

impl Complaint {
    fn say(&mut self, now: Mono, text: String) {
        if text != self.text || now.since(self.said) >= COMPLAINT_MS {
            tracing::warn!("{text}");
            *self = Self { text, said: now };
        }
    }
}

impl Prep {
    /// Starts with nothing outstanding.
    pub fn new(options: Options, schemes: Arc<Schemes>) -> Self {
        let overlay = Outstanding::new(options.hash_seed);
        let open_acl = Arc::from([Acl::world(PERM_ALL)]);
        let complaint = Complaint::default();
        Self { options, schemes, overlay, open_acl, press: Press::default(), complaint }
    }

    /// Makes the transaction of `request` with `zxid` and the wall time in `now`. Requests must
    /// come with ascending zxids; a zxid that was not used (see [`Prepared::Reject`]) is handed in
    /// again.
    ///
    /// `tree` holds at least what [`Prep::applied`] was told, and at most what was prepared.
    /// `membership` is `None` on a standalone server, where `reconfig` is
    /// UNIMPLEMENTED.
    pub fn prepare(
        &mut self,
        tree: &DataTree,
        sessions: &mut session::Tracker,
        membership: Option<&mut dyn Membership>,
        request: Request,
        zxid: Zxid,
        now: Now,
    ) -> Prepared {
        let Request { context, write } = request;
        let outstanding = self.overlay.len();
        let mut work = Work {
            options: &self.options,
            schemes: &self.schemes,
            open_acl: &self.open_acl,
            overlay: &mut self.overlay,
            complaint: &mut self.complaint,
            tree,
            sessions,
            membership,
            context: &context,
            zxid,
            now,
            hints: Hints::default(),
        };
        let mut hints = Hints::default();
        let outcome = match write {
            WriteRequest::Undecodable { takes_zxid } => {
                if !takes_zxid && context.source != Source::Learner {
                    return Prepared::Reject(ErrorCode::MarshallingError);
                }
                Err(ErrorCode::MarshallingError)
            }
            WriteRequest::Multi(ops) => multi(&mut work, ops),
            // Followers before 3.8.5 pass it on; no log can hold it outside a multi.
            WriteRequest::Check { .. } => Err(ErrorCode::Unimplemented),
            write => {
                let outcome = work.single(write);
                hints = work.hints;
                outcome
            }
        };
        if let Some(metrics) = &self.options.metrics {
            let more = self.overlay.len().saturating_sub(outstanding);
            if more > 0 {
                metrics.outstanding_changes_queued.add(more as i64);
            }
        }
        let header = TxnHeader {
            client_id: context.session.0,
            cxid: context.cxid,
            zxid: zxid.0,
            time: now.wall.0,
            kind: if outcome.is_ok() { context.kind } else { op::ERROR },
        };
        Prepared::Proposal(match outcome {
            Ok(txn) => {
                let digest = tree.options().digest_enabled.then(|| TxnDigest {
                    version: DIGEST_VERSION,
                    tree_digest: self.overlay.digest(tree),
                });
                self.press.encode(header, txn, digest, hints)
            }
            Err(code) => {
                let txn = Txn::Error(ErrorTxn { err: code.code() });
                self.press.encode(header, txn, None, Hints::default())
            }
        })
    }

    /// Everything up to `zxid` is in the tree: forgets the changes of those transactions.
    pub fn applied(&mut self, zxid: Zxid) {
        let outstanding = self.overlay.len();
        self.overlay.applied(zxid);
        if let Some(metrics) = &self.options.metrics {
            let fewer = outstanding.saturating_sub(self.overlay.len());
            if fewer > 0 {
                metrics.outstanding_changes_removed.add(fewer as i64);
            }
        }
    }

    /// Forgets everything outstanding: the role changed, and what was proposed may never commit.
    pub fn reset(&mut self) {
        self.overlay.clear();
    }

    /// Number of changes proposed but not applied.
    pub fn outstanding(&self) -> usize {
        self.overlay.len()
    }
}

/// One transaction for all operations, or for none of them. Each sees the changes of those before
/// it. After a failure nothing is left in the overlay, sequence numbers included; the transaction
/// then holds the operations before the failure, its code, and RUNTIMEINCONSISTENCY for the rest.
/// Applying it changes nothing.
///
/// Fails as a whole only with MARSHALLINGERROR: a null path, or whatever else Java does not expect.
fn multi(work: &mut Work<'_, '_>, ops: Vec<WriteRequest>) -> Result<Txn, ErrorCode> {
    if ops.iter().any(|op| op.path().is_none()) {
        return Err(ErrorCode::MarshallingError);
    }
    work.overlay.begin(work.tree);
    let mut failure = None;
    let mut txns = Vec::with_capacity(ops.len());
    for one in ops {
        let kind = one.kind();
        let outcome = match failure {
            None => work.single(one),
            Some(_) => Err(ErrorCode::RuntimeInconsistency),
        };
        let (kind, txn) = match outcome {
            Ok(txn) => (kind, txn),
            Err(code) => {
                if failure.is_none() {
                    work.overlay.roll_back();
                    failure = Some(code);
                }
                (op::ERROR, Txn::Error(ErrorTxn { err: code.code() }))
            }
        };
        txns.push(SubTxn { kind, data: Some(Bytes::from(txn.to_vec())) });
    }
    if failure == Some(ErrorCode::MarshallingError) {
        return Err(ErrorCode::MarshallingError);
    }
    work.overlay.commit();
    Ok(Txn::Multi(MultiTxn { txns: Some(txns) }))
}
