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

pub mod reply;
mod request;

pub use request::{ReadRequest, SetWatches};

use crate::acl::{Identity, Schemes};
use crate::base::SessionId;
use crate::tree::DataTree;
use crate::watch::{WatchTable, WatcherId};

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

/// Executes one read and appends its reply to `out`: frame length, header, body; before it, for
/// `setWatches`, the frames of the events that the client missed. The zxid in the header is the
/// tree's.
pub fn execute(
    _tree: &DataTree,
    _watches: &WatchTable,
    _context: &ReadContext<'_>,
    _xid: i32,
    _request: &ReadRequest<'_>,
    _out: &mut Vec<u8>,
) {
    unimplemented!("published ahead of its body")
}
