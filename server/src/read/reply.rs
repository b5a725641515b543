//! Framed replies and notifications.

use jute::Encode;
use jute::data::Stat;
use jute::proto::{MULTI_END, MultiHeader, XID_NOTIFICATION, XID_PING, op};

use crate::base::{ErrorCode, Zxid};
use crate::tree::{Applied, MultiOpResult, OpResult};
use crate::watch::EventType;

/// The only state that a server names in a notification: SyncConnected.
const STATE_SYNC_CONNECTED: i32 = 3;

/// What the connection does after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// Goes on.
    Keep,
    /// Closes once the reply is sent. (If nothing was appended: closes without a reply.)
    Close,
}

/// Appends a frame: its length, a header, and what `body` appends.
pub fn frame(xid: i32, zxid: Zxid, err: i32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = begin(xid, zxid, err, out);
    body(out);
    end(start, out);
}

/// A reply without a body: an error, or an operation that returns nothing.
pub fn header(xid: i32, zxid: Zxid, err: i32, out: &mut Vec<u8>) {
    frame(xid, zxid, err, out, |_| {});
}

/// An error in its place among the replies, with the zxid of the tree.
pub fn error(xid: i32, zxid: Zxid, code: ErrorCode, out: &mut Vec<u8>) {
    header(xid, zxid, code.code(), out);
}

/// Answer to an unknown op code: -6 with zxid -1; then close.
pub fn unimplemented(xid: i32, out: &mut Vec<u8>) -> After {
    header(xid, Zxid(-1), ErrorCode::Unimplemented.code(), out);
    After::Close
}

/// Answer to an auth packet, out of order, zxid 0. A failure closes.
pub fn auth(xid: i32, granted: bool, out: &mut Vec<u8>) -> After {
    let code = if granted { ErrorCode::Ok } else { ErrorCode::AuthFailed };
    header(xid, Zxid::ZERO, code.code(), out);
    if granted { After::Keep } else { After::Close }
}

/// Answer to any request of a connection without an identity of an enforced scheme: -124 with zxid
/// 0; then close.
pub fn not_authenticated(xid: i32, out: &mut Vec<u8>) -> After {
    header(xid, Zxid::ZERO, ErrorCode::SessionClosedRequireSaslAuth.code(), out);
    After::Close
}

/// Answer to a ping: the xid is -2 whatever the request had.
pub fn ping(zxid: Zxid, out: &mut Vec<u8>) {
    header(XID_PING, zxid, 0, out);
}

/// Answer to `sync`, given the body of the request: the path comes back, null included.
pub fn sync(xid: i32, zxid: Zxid, request: &[u8], field_max: usize, out: &mut Vec<u8>) {
    match jute::Reader::with_limit(request, field_max).ustring() {
        Ok(path) => frame(xid, zxid, 0, out, |out| path.encode(out)),
        Err(_) => error(xid, zxid, ErrorCode::MarshallingError, out),
    }
}

/// A notification. `zxid` is that of the transaction, or -1 for an event that `setWatches` catches
/// up on.
pub fn event(event: EventType, path: &str, zxid: Zxid, out: &mut Vec<u8>) {
    frame(XID_NOTIFICATION, zxid, 0, out, |out| {
        event.code().encode(out);
        STATE_SYNC_CONNECTED.encode(out);
        path.encode(out);
    });
}

/// Answer to `reconfig`: the active configuration and the metadata of its znode.
pub fn reconfig(xid: i32, applied: &Applied, configuration: &[u8], out: &mut Vec<u8>) {
    match &applied.result {
        OpResult::Stat(stat) if applied.err == 0 => frame(xid, applied.zxid, 0, out, |out| {
            configuration.encode(out);
            encode_stat(stat, out);
        }),
        _ => header(xid, applied.zxid, applied.err, out),
    }
}

/// Answer to any other write that became a transaction, `createSession` excepted. `kind` is the op
/// code of the request.
pub fn write(kind: i32, xid: i32, applied: &Applied, out: &mut Vec<u8>) -> After {
    let moved = ErrorCode::SessionMoved.code();
    if let OpResult::Multi(results) = &applied.result {
        // The session lives on another server: this connection is stale (ZOOKEEPER-710).
        if results.iter().any(|result| result.err == moved) {
            return After::Close;
        }
        // A failed multi is no error of the request: clients look at the results.
        frame(xid, applied.zxid, 0, out, |out| multi(results, out));
        return After::Keep;
    }
    if applied.err == moved {
        return After::Close;
    }
    frame(xid, applied.zxid, applied.err, out, |out| {
        if applied.err == 0 {
            result(kind, &applied.result, out);
        }
    });
    if kind == op::CLOSE_SESSION { After::Close } else { After::Keep }
}

/// The body of one result. Creates but the first kind carry the stat.
fn result(kind: i32, result: &OpResult, out: &mut Vec<u8>) {
    match result {
        OpResult::Created { path, stat } => {
            path.encode(out);
            if kind != op::CREATE {
                encode_stat(stat, out);
            }
        }
        OpResult::Stat(stat) => encode_stat(stat, out),
        OpResult::None | OpResult::Multi(_) => {}
    }
}

fn multi(results: &[MultiOpResult], out: &mut Vec<u8>) {
    for one in results {
        match one.kind {
            op::ERROR => multi_error(one.err, out),
            // All creates with a stat answer as create2 (`OpResult.CreateResult`).
            op::CREATE2 | op::CREATE_TTL | op::CREATE_CONTAINER => {
                MultiHeader { kind: op::CREATE2, done: false, err: 0 }.encode(out);
                result(op::CREATE2, &one.result, out);
            }
            op::DELETE | op::DELETE_CONTAINER => {
                MultiHeader { kind: op::DELETE, done: false, err: 0 }.encode(out);
            }
            kind => {
                MultiHeader { kind, done: false, err: 0 }.encode(out);
                result(kind, &one.result, out);
            }
        }
    }
    MULTI_END.encode(out);
}

/// An error result: the code stands in the header and in the body.
pub(super) fn multi_error(err: i32, out: &mut Vec<u8>) {
    MultiHeader { kind: op::ERROR, done: false, err }.encode(out);
    err.encode(out);
}

/// Appends a stat in one go.
pub(super) fn encode_stat(stat: &Stat, out: &mut Vec<u8>) {
    let mut bytes = [0u8; 68];
    let mut at = 0;
    let mut put = |value: &[u8]| {
        bytes[at..at + value.len()].copy_from_slice(value);
        at += value.len();
    };
    for long in [stat.czxid, stat.mzxid, stat.ctime, stat.mtime] {
        put(&long.to_be_bytes());
    }
    for int in [stat.version, stat.cversion, stat.aversion] {
        put(&int.to_be_bytes());
    }
    put(&stat.ephemeral_owner.to_be_bytes());
    put(&stat.data_length.to_be_bytes());
    put(&stat.num_children.to_be_bytes());
    put(&stat.pzxid.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Starts a frame; [`end`] fills in its length.
pub(super) fn begin(xid: i32, zxid: Zxid, err: i32, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    let mut bytes = [0u8; 20];
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[8..16].copy_from_slice(&zxid.0.to_be_bytes());
    bytes[16..20].copy_from_slice(&err.to_be_bytes());
    out.extend_from_slice(&bytes);
    start
}

pub(super) fn end(start: usize, out: &mut [u8]) {
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}
