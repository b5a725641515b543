//! `multiRead`.

use jute::Encode;
use jute::codec::UStr;
use jute::proto::{MULTI_END, MultiHeader, op};

use super::ReadContext;
use super::execute::{encode_children, encode_data, readable};
use super::reply::{begin, encode_stat, end, error, multi_error};
use super::request::MultiReadOp;
use crate::base::ErrorCode;
use crate::tree::DataTree;

/// Largest reply in bytes. A request of 1 MiB can ask for the same large znode 60,000 times; Java
/// runs out of memory. Beyond the limit the answer is MARSHALLINGERROR. Stricter than Java.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// Executes the operations in order. An operation that fails is a result; the header says 0.
pub(super) fn execute(
    tree: &DataTree,
    context: &ReadContext<'_>,
    xid: i32,
    ops: &[MultiReadOp<'_>],
    out: &mut Vec<u8>,
) {
    let zxid = tree.last_zxid();
    let start = begin(xid, zxid, 0, out);
    for one in ops {
        let (kind, path): (i32, &UStr<'_>) = match one {
            MultiReadOp::GetChildren(path) => (op::GET_CHILDREN, path),
            MultiReadOp::GetData(path) => (op::GET_DATA, path),
        };
        // A null path ends it all, but Java sends the results so far behind the error.
        let Some(path) = path.as_deref() else {
            fail(start, out);
            break;
        };
        match readable(tree, context, path) {
            Err(code) => multi_error(code.code(), out),
            Ok(node) => {
                MultiHeader { kind, done: false, err: 0 }.encode(out);
                if kind == op::GET_DATA {
                    encode_data(node, out);
                    encode_stat(&node.stat(), out);
                } else {
                    encode_children(node, out);
                }
            }
        }
        if out.len() - start > REPLY_BYTES_MAX {
            out.truncate(start);
            return error(xid, zxid, ErrorCode::MarshallingError, out);
        }
    }
    MULTI_END.encode(out);
    end(start, out);
}

/// Writes where reads belong: MARSHALLINGERROR, with an empty stream of results behind it, as Java
/// sends it.
pub(super) fn refuse_writes(tree: &DataTree, xid: i32, out: &mut Vec<u8>) {
    let start = begin(xid, tree.last_zxid(), ErrorCode::MarshallingError.code(), out);
    MULTI_END.encode(out);
    end(start, out);
}

/// Turns the header of a frame that has begun into that of an error.
fn fail(start: usize, out: &mut [u8]) {
    let err = ErrorCode::MarshallingError.code().to_be_bytes();
    out[start + 16..start + 20].copy_from_slice(&err);
}
