//! Every read but `multiRead` and `setWatches`, which have files of their own.

use jute::Encode;
use jute::data::{Acl, PERM_ADMIN, PERM_READ};

use super::reply::{begin, encode_stat, end, error};
use super::request::ReadRequest;
use super::{NULL_PATH, ReadContext, multi, reply, set_watches};
use crate::acl::mask;
use crate::base::ErrorCode;
use crate::tree::{DataTree, Node};
use crate::watch::{Mode, Table, WatchTable, WatcherType};

/// Executes one read and appends its reply to `out`: frame length, header, body; before it, for
/// `setWatches`, the frames of the events that the client missed. The zxid in the header is the
/// tree's.
///
/// The caller holds the tree's read guard until the bytes are where the client's other replies and
/// events are queued (`REPLY-UNDER-GUARD`).
pub fn execute(
    tree: &DataTree,
    watches: &WatchTable,
    context: &ReadContext<'_>,
    xid: i32,
    request: &ReadRequest<'_>,
    out: &mut Vec<u8>,
) {
    let zxid = tree.last_zxid();
    match request {
        ReadRequest::Ping => return reply::ping(zxid, out),
        ReadRequest::MultiRead(ops) => return multi::execute(tree, context, xid, ops, out),
        ReadRequest::MultiReadOfWrites => return multi::refuse_writes(tree, xid, out),
        ReadRequest::SetWatches(lists) => {
            return match set_watches::execute(tree, watches, context, lists, out) {
                Ok(()) => reply::header(xid, zxid, 0, out),
                Err(code) => error(xid, zxid, code, out),
            };
        }
        _ => {}
    }
    let start = begin(xid, zxid, 0, out);
    match (Read { tree, watches, context, out }).execute(request) {
        Ok(()) => end(start, out),
        Err(code) => {
            out.truncate(start);
            error(xid, zxid, code, out);
        }
    }
}

/// The znode at `path`, if the caller may read it.
pub(super) fn readable<'t>(
    tree: &'t DataTree,
    context: &ReadContext<'_>,
    path: &str,
) -> Result<Node<'t>, ErrorCode> {
    let node = tree.find(path).ok_or(ErrorCode::NoNode)?;
    context.schemes.check(node.acl(), PERM_READ, context.identities)?;
    Ok(node)
}

/// Appends the names of the children.
pub(super) fn encode_children(node: Node<'_>, out: &mut Vec<u8>) {
    let children = node.children();
    (children.len() as i32).encode(out);
    for name in children {
        name.encode(out);
    }
}

/// Appends the data; null and empty differ.
pub(super) fn encode_data(node: Node<'_>, out: &mut Vec<u8>) {
    node.data().encode(out);
}

/// One read at work. Bodies are appended behind the header that is in `out` already; a failure
/// throws both away.
struct Read<'a> {
    tree: &'a DataTree,
    watches: &'a WatchTable,
    context: &'a ReadContext<'a>,
    out: &'a mut Vec<u8>,
}

/// Java runs into a `NullPointerException` on a null path, which reads as MARSHALLINGERROR.
fn not_null<'a>(path: &'a jute::codec::UStr<'_>) -> Result<&'a str, ErrorCode> {
    path.as_deref().ok_or(ErrorCode::MarshallingError)
}

impl Read<'_> {
    fn execute(&mut self, request: &ReadRequest<'_>) -> Result<(), ErrorCode> {
        match request {
            ReadRequest::Exists { path, watch } => self.exists(not_null(path)?, *watch),
            ReadRequest::GetData { path, watch } => self.get_data(not_null(path)?, *watch),
            ReadRequest::GetAcl { path } => self.get_acl(not_null(path)?),
            ReadRequest::GetChildren { path, watch, with_stat } => {
                self.get_children(not_null(path)?, *watch, *with_stat)
            }
            ReadRequest::GetAllChildrenNumber { path } => {
                let path = not_null(path)?;
                readable(self.tree, self.context, path)?;
                self.tree.all_children_number(path).encode(self.out);
                Ok(())
            }
            ReadRequest::GetEphemerals { prefix } => {
                self.get_ephemerals(prefix.as_deref());
                Ok(())
            }
            ReadRequest::CheckWatches { path, kind } => {
                let kind = self.watcher_type(*kind)?;
                let path = path.as_deref().unwrap_or(NULL_PATH);
                found(self.watches.contains(path, self.context.watcher, kind))
            }
            ReadRequest::RemoveWatches { path, kind } => {
                let kind = self.watcher_type(*kind)?;
                let path = path.as_deref().unwrap_or(NULL_PATH);
                found(self.watches.remove(path, self.context.watcher, kind))
            }
            ReadRequest::AddWatch { path, mode } => self.add_watch(path.as_deref(), *mode),
            ReadRequest::WhoAmI => {
                self.who_am_i();
                Ok(())
            }
            ReadRequest::Ping
            | ReadRequest::MultiRead(_)
            | ReadRequest::MultiReadOfWrites
            | ReadRequest::SetWatches(_)
            | ReadRequest::Undecodable => Err(ErrorCode::MarshallingError),
        }
    }

    /// The watch is armed even if there is no such znode; not if the caller may not read it.
    fn exists(&mut self, path: &str, watch: bool) -> Result<(), ErrorCode> {
        if path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        let node = self.tree.find(path);
        if let Some(node) = node {
            self.context.schemes.check(node.acl(), PERM_READ, self.context.identities)?;
        }
        self.watch(watch, path, Table::Data);
        let node = node.ok_or(ErrorCode::NoNode)?;
        encode_stat(&node.stat(), self.out);
        Ok(())
    }

    fn get_data(&mut self, path: &str, watch: bool) -> Result<(), ErrorCode> {
        let node = readable(self.tree, self.context, path)?;
        self.watch(watch, path, Table::Data);
        encode_data(node, self.out);
        encode_stat(&node.stat(), self.out);
        Ok(())
    }

    fn get_children(&mut self, path: &str, watch: bool, with_stat: bool) -> Result<(), ErrorCode> {
        let node = readable(self.tree, self.context, path)?;
        self.watch(watch, path, Table::Child);
        encode_children(node, self.out);
        if with_stat {
            encode_stat(&node.stat(), self.out);
        }
        Ok(())
    }

    /// READ or ADMIN is needed; without ADMIN the hashes of passwords are hidden.
    fn get_acl(&mut self, path: &str) -> Result<(), ErrorCode> {
        let node = self.tree.find(path).ok_or(ErrorCode::NoNode)?;
        let (schemes, identities) = (self.context.schemes, self.context.identities);
        let acl: &[Acl] = node.acl();
        schemes.check(acl, PERM_READ | PERM_ADMIN, identities)?;
        let unmasked = schemes.allows(acl, PERM_ADMIN, identities);
        (acl.len() as i32).encode(self.out);
        for entry in acl {
            if unmasked {
                entry.encode(self.out);
            } else {
                mask(entry).encode(self.out);
            }
        }
        encode_stat(&node.stat(), self.out);
        Ok(())
    }

    /// Own ephemerals, no check. A prefix is compared as text, blanks included.
    fn get_ephemerals(&mut self, prefix: Option<&str>) {
        let prefix = prefix.unwrap_or_default();
        // Java's trim knows control characters as blanks, too.
        let all = matches!(prefix.trim_matches(|c| c <= ' '), "" | "/");
        let at = self.out.len();
        0i32.encode(self.out);
        let mut count = 0i32;
        for path in self.tree.ephemerals_of(self.context.session) {
            if all || path.starts_with(prefix) {
                path.encode(self.out);
                count += 1;
            }
        }
        self.out[at..at + 4].copy_from_slice(&count.to_be_bytes());
    }

    /// Needs neither the znode nor any permission. Answers with a record, unlike the others.
    fn add_watch(&mut self, path: Option<&str>, mode: i32) -> Result<(), ErrorCode> {
        let mode = Mode::from_add_watch(mode).ok_or(ErrorCode::MarshallingError)?;
        if self.watches.standard_only() {
            return Err(ErrorCode::MarshallingError);
        }
        let recursive = mode == Mode::PersistentRecursive;
        let path = path.unwrap_or(NULL_PATH);
        self.watches.add_persistent(path, self.context.watcher, recursive);
        0i32.encode(self.out);
        Ok(())
    }

    fn who_am_i(&mut self) {
        (self.context.identities.len() as i32).encode(self.out);
        for identity in self.context.identities {
            identity.scheme.encode(self.out);
            self.context.schemes.user_name(identity).unwrap_or_default().encode(self.out);
        }
    }

    fn watcher_type(&self, kind: i32) -> Result<WatcherType, ErrorCode> {
        let kind = WatcherType::from_code(kind).ok_or(ErrorCode::MarshallingError)?;
        let persistent = matches!(kind, WatcherType::Persistent | WatcherType::PersistentRecursive);
        if persistent && self.watches.standard_only() {
            return Err(ErrorCode::MarshallingError);
        }
        Ok(kind)
    }

    fn watch(&self, wanted: bool, path: &str, table: Table) {
        if wanted {
            self.watches.add(path, self.context.watcher, table, Mode::Standard);
        }
    }
}

fn found(found: bool) -> Result<(), ErrorCode> {
    if found { Ok(()) } else { Err(ErrorCode::NoWatcher) }
}
