//! What a server of an ensemble can decide before the leader is asked.

use jute::data::{PERM_ADMIN, PERM_CREATE, PERM_DELETE, PERM_WRITE};
use jute::proto::op;

use super::create_mode::CreateMode;
use super::path::parent_for_delete;
use super::{Create, WriteRequest};
use crate::acl::{Identity, Schemes};
use crate::base::ErrorCode;
use crate::tree::DataTree;

/// The permission check of `zookeeper.enableEagerACLCheck`, against what is *applied* here
/// (`ZooKeeperServer.authWriteRequest`). Fails with NOAUTH or INVALIDACL; the answer then carries
/// zxid 0 and may overtake earlier replies.
///
/// Whatever is unclear passes, the leader decides: a missing znode, an odd path, an op code other
/// than create, create2, delete, setData and setACL.
pub fn check_eagerly(
    tree: &DataTree,
    schemes: &Schemes,
    identities: &[Identity],
    write: &WriteRequest,
) -> Result<(), ErrorCode> {
    let Some(path) = write.path() else { return Ok(()) };
    let (checked, acl, wanted) = match write {
        WriteRequest::Create(Create { kind: op::CREATE | op::CREATE2, acl, .. }) => {
            (parent_for_delete(path), Some(acl), PERM_CREATE)
        }
        WriteRequest::Delete { .. } => (parent_for_delete(path), None, PERM_DELETE),
        WriteRequest::SetData { .. } => (Ok(path), None, PERM_WRITE),
        WriteRequest::SetAcl { acl, .. } => (Ok(path), Some(acl), PERM_ADMIN),
        _ => return Ok(()),
    };
    let Ok(checked) = checked else { return Ok(()) };
    if let Some(acl) = acl
        && schemes.fix_up(acl.clone(), identities) == Err(ErrorCode::InvalidAcl)
    {
        return Err(ErrorCode::InvalidAcl);
    }
    match tree.find(checked) {
        Some(node) => schemes.check(node.acl(), wanted, identities),
        None => Ok(()),
    }
}

impl WriteRequest {
    /// True if a local session must become global before this request (or EPHEMERALONLOCALSESSION
    /// is reported): create, create2, or one of them in a multi, makes an ephemeral. Creates of
    /// the other kinds never upgrade (`QuorumZooKeeperServer.checkUpgradeSession`).
    pub fn needs_global_session(&self) -> bool {
        match self {
            Self::Create(Create { kind: op::CREATE | op::CREATE2, flags, .. }) => {
                CreateMode::from_flags(*flags).is_some_and(CreateMode::is_ephemeral)
            }
            Self::Multi(ops) => ops.iter().any(Self::needs_global_session),
            _ => false,
        }
    }
}
