//! Builds a tree from the records of a snapshot.

use jute::data::StatPersisted;
use thiserror::Error;

use super::{AclList, DataTree, DigestCheck, TreeOptions, ZxidDigest};
use crate::base::{SessionId, Zxid};

/// Why records are not a tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// A record came before its parent, or without one.
    #[error("invalid snapshot: unable to find parent {parent:?} of path {path:?}")]
    NoParent {
        /// The missing parent.
        parent: String,
        /// The record's path.
        path: String,
    },
    /// The same path twice.
    #[error("invalid snapshot: path {0:?} occurs twice")]
    Duplicate(String),
    /// Not a path at all.
    #[error("invalid snapshot: {0:?} is not a path")]
    BadPath(String),
    /// No root record.
    #[error("invalid snapshot: no root")]
    NoRoot,
    /// An owner with a feature this version does not know (extended types enabled).
    #[error("invalid snapshot: {path:?} has unknown owner 0x{owner:x}")]
    BadOwner {
        /// The record's path.
        path: String,
        /// Its owner field.
        owner: i64,
    },
    /// More znodes or ACLs than ids.
    #[error("invalid snapshot: too many records")]
    TooMany,
}

/// Takes the sections of a snapshot in file order: sessions, ACLs, nodes.
#[derive(Debug)]
pub struct TreeLoader {}

/// A loaded tree.
#[derive(Debug)]
pub struct Loaded {
    /// The tree.
    pub tree: DataTree,
    /// The snapshot's digest compared, if it belongs to the snapshot's own zxid. A digest of a
    /// later zxid waits in the tree for that transaction.
    pub digest: DigestCheck,
}

impl TreeLoader {
    /// Starts from nothing: not even a root.
    pub fn new(_options: TreeOptions) -> Self {
        unimplemented!()
    }
    /// A session and its timeout in ms.
    pub fn session(&mut self, _session: SessionId, _timeout_ms: i32) {
        unimplemented!()
    }
    /// An entry of the ACL map. Of two entries with one id the last wins.
    pub fn acl(&mut self, _id: i64, _list: AclList) -> Result<(), LoadError> {
        unimplemented!()
    }
    /// A node record; parents first, the root is `""`. An ACL id that the map does not have is
    /// accepted, see [`super::Node::acl`].
    pub fn node(
        &mut self,
        _path: &str,
        _data: Option<&[u8]>,
        _acl: i64,
        _stat: &StatPersisted,
    ) -> Result<(), LoadError> {
        unimplemented!()
    }
    /// Number of node records so far.
    pub fn node_count(&self) -> usize {
        unimplemented!()
    }
    /// Builds the indexes, recomputes quota statistics and drops unused ACLs. `zxid` is the
    /// snapshot's (from its file name); `digest` its digest section, if any.
    pub fn finish(self, _zxid: Zxid, _digest: Option<ZxidDigest>) -> Result<Loaded, LoadError> {
        unimplemented!()
    }
}
