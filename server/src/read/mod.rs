//! Reads: decoded, executed and answered in one call; and the framed replies of writes.
//!
//! Owns the semantics of every read and the layout of every reply. Must not know connections:
//! the caller holds the tree's read guard, hands in what it knows about the connection, and gets
//! bytes appended to a buffer.
//!
//! ```text
//! body ─► ReadRequest::decode ─► execute(tree, watches, context, xid, request, out)
//! Applied ─► reply::write(...)          auth, ping, -6 ... ─► reply::*
//! ```
//!
//! Start at [`execute`]. Follows `FinalRequestProcessor.processRequest` and
//! `DataTree.setWatches`.

mod execute;
mod multi;
pub mod reply;
mod request;
mod set_watches;

pub use execute::execute;
pub use request::{MultiReadOp, ReadRequest, SetWatches, shown};

use crate::acl::{Identity, Schemes};
use crate::base::SessionId;
use crate::watch::WatcherId;

/// What a read must know about the connection that asked.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// The session, for `getEphemerals`.
    pub session: SessionId,
    /// The connection's identities when the request was received.
    pub identities: &'a [Identity],
    /// The schemes.
    pub schemes: &'a Schemes,
    /// The connection in the watch tables.
    pub watcher: WatcherId,
}

/// The key under which a watch on a null path is kept: what Java prints for it. Nothing ever
/// triggers it, as it is not a path.
const NULL_PATH: &str = "null";

#[cfg(test)]
mod tests;
