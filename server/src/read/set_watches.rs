//! `setWatches` and `setWatches2`: a client that reconnected gets its watches back, and the events
//! it missed.

use jute::codec::UStr;
use jute::data::PERM_READ;

use super::request::SetWatches;
use super::{NULL_PATH, ReadContext, reply};
use crate::base::{ErrorCode, Zxid};
use crate::tree::{DataTree, Node};
use crate::watch::{EventType, Mode, Table, WatchTable};

/// Events of the past carry no transaction.
const CATCH_UP_ZXID: Zxid = Zxid(-1);

/// Goes through the lists in the order of the record. A null list, or a null path among the first
/// three, is MARSHALLINGERROR; what came before it stays done, as in Java.
///
/// Where a znode exists that the caller may not read, the watch is armed and nothing is sent:
/// whether it changed is not to be learned this way. Stricter than Java.
pub(super) fn execute(
    tree: &DataTree,
    watches: &WatchTable,
    context: &ReadContext<'_>,
    lists: &SetWatches<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ErrorCode> {
    let watcher = context.watcher;
    let secret =
        |node: Node<'_>| !context.schemes.allows(node.acl(), PERM_READ, context.identities);
    let arm = |path: &str, table| watches.add(path, watcher, table, Mode::Standard);
    let mut send = |event, path: &str| reply::event(event, path, CATCH_UP_ZXID, out);

    for path in list(&lists.data)? {
        let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        match tree.find(path) {
            None => send(EventType::NodeDeleted, path),
            Some(node) if node.stat().mzxid > lists.relative_zxid && !secret(node) => {
                send(EventType::NodeDataChanged, path);
            }
            Some(_) => drop(arm(path, Table::Data)),
        }
    }
    for path in list(&lists.exist)? {
        let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        match tree.find(path) {
            Some(node) if !secret(node) => send(EventType::NodeCreated, path),
            _ => drop(arm(path, Table::Data)),
        }
    }
    for path in list(&lists.child)? {
        let path = path.as_deref().ok_or(ErrorCode::MarshallingError)?;
        match tree.find(path) {
            None => send(EventType::NodeDeleted, path),
            Some(node) if node.stat().pzxid > lists.relative_zxid && !secret(node) => {
                send(EventType::NodeChildrenChanged, path);
            }
            Some(_) => drop(arm(path, Table::Child)),
        }
    }
    for (paths, recursive) in [(&lists.persistent, false), (&lists.recursive, true)] {
        for path in list(paths)? {
            if watches.standard_only() {
                return Err(ErrorCode::MarshallingError);
            }
            watches.add_persistent(path.as_deref().unwrap_or(NULL_PATH), watcher, recursive);
        }
    }
    Ok(())
}

fn list<'l, 'a>(list: &'l Option<Vec<UStr<'a>>>) -> Result<&'l [UStr<'a>], ErrorCode> {
    list.as_deref().ok_or(ErrorCode::MarshallingError)
}
