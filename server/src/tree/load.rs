//! Builds a tree from the records of a snapshot.
//!
//! Records come depth first, parents first, so the parent of a record is nearly always on the path
//! of the one before it; the index is built once at the end, with tables of the right size.
//! Snapshots of other orders load too: the first record out of order builds the index at once.

use std::collections::BTreeMap;

use jute::data::StatPersisted;
use thiserror::Error;

use super::acl_table::{AclRef, OPEN, OPEN_ID};
use super::apply::{node_size, split};
use super::node::{Blob, NodeId, ROOT};
use super::{
    AclList, DataTree, DigestCheck, Owner, Received, TreeOptions, ZxidDigest, node_digest,
};
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
    /// More znodes than ids.
    #[error("invalid snapshot: too many records")]
    TooMany,
}

/// Takes the sections of a snapshot in file order: sessions, ACLs, nodes.
#[derive(Debug)]
pub struct TreeLoader {
    tree: DataTree,
    acls: BTreeMap<i64, AclRef>,
    /// Path of the last record.
    path: String,
    /// The last record and its ancestors with the lengths of their paths, root first.
    chain: Vec<(usize, NodeId)>,
    /// Path hashes by id, until the index is built.
    hashes: Vec<u64>,
    indexed: bool,
}

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
    pub fn new(options: TreeOptions) -> Self {
        Self {
            tree: DataTree::empty(options),
            acls: BTreeMap::from([(OPEN_ID, OPEN)]),
            path: String::new(),
            chain: Vec::new(),
            hashes: Vec::new(),
            indexed: false,
        }
    }

    /// A session and its timeout in ms.
    pub fn session(&mut self, session: SessionId, timeout_ms: i32) {
        self.tree.sessions.insert(session, timeout_ms);
    }

    /// An entry of the ACL map. Of two entries with one id the last wins; id -1 is built in and
    /// cannot be changed.
    pub fn acl(&mut self, id: i64, list: AclList) {
        if id != OPEN_ID {
            let acl = self.tree.acls.load(id, list);
            self.acls.insert(id, acl);
        }
    }

    /// A node record; parents first, the root is `""`. An ACL id that the map does not have is
    /// accepted, see [`super::Node::acl`].
    pub fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), LoadError> {
        let (parent, name) = if path.is_empty() {
            if !self.chain.is_empty() {
                return Err(LoadError::Duplicate(path.to_owned()));
            }
            (None, "")
        } else {
            let (parent_path, name) =
                split(path).ok_or_else(|| LoadError::BadPath(path.to_owned()))?;
            (Some(self.find_parent(parent_path, path)?), name)
        };
        let owner = Owner::decode(stat.ephemeral_owner, &self.tree.options).ok_or_else(|| {
            LoadError::BadOwner { path: path.to_owned(), owner: stat.ephemeral_owner }
        })?;
        if self.tree.nodes.is_full() {
            return Err(LoadError::TooMany);
        }
        let id = self.add(parent, name, data, acl, stat);
        let tree = &mut self.tree;
        tree.owners.insert(id, owner);
        tree.data_size += node_size(path, data);
        if tree.options.digest_enabled {
            let digest = node_digest(path, data, stat);
            tree.nodes.get_mut(id).digest = digest;
            tree.digest = tree.digest.wrapping_add(i64::from(digest));
        }
        self.path.clear();
        self.path.push_str(path);
        self.chain.push((path.len(), id));
        self.index(id, path)
    }

    /// Number of node records so far.
    pub fn node_count(&self) -> usize {
        self.tree.nodes.len()
    }

    /// Builds the indexes, recomputes quota statistics and drops unused ACLs. `zxid` is the
    /// snapshot's (from its file name); `digest` its digest section, if any.
    pub fn finish(mut self, zxid: Zxid, digest: Option<ZxidDigest>) -> Result<Loaded, LoadError> {
        if self.chain.is_empty() {
            return Err(LoadError::NoRoot);
        }
        self.build_index()?;
        let mut tree = self.tree;
        tree.quota_setup();
        tree.acls.purge_unused();
        tree.last_zxid = zxid;
        // A new leader's snapshot at counter 0 of its epoch carries the digest of the epoch before.
        let usable = digest.filter(|digest| digest.zxid.0 > 0 && digest.zxid >= zxid);
        let check = match usable {
            Some(digest) if digest.zxid == zxid => {
                tree.last_digest = Some(ZxidDigest {
                    zxid,
                    version: jute::txn::DIGEST_VERSION,
                    digest: tree.digest,
                });
                tree.compare(digest.version, digest.digest)
            }
            later => {
                tree.pending_digest = later;
                DigestCheck::Skipped
            }
        };
        Ok(Loaded { tree, digest: check })
    }

    /// The same for what a leader sends a learner, at the zxid of its SNAP. Until
    /// [`DataTree::settle`], digests that differ are no error.
    pub fn finish_received(self, zxid: Zxid) -> Result<DataTree, LoadError> {
        let mut tree = self.finish(zxid, None)?.tree;
        tree.received = Some(Received::default());
        Ok(tree)
    }

    /// Finds the parent among the ancestors of the last record, or in the index. Leaves `chain`
    /// ending with it.
    fn find_parent(&mut self, parent: &str, path: &str) -> Result<NodeId, LoadError> {
        while let Some((len, id)) = self.chain.last().copied() {
            if len == parent.len() && self.path.as_bytes()[..len] == *parent.as_bytes() {
                return Ok(id);
            }
            // The root stays: it marks that there is one.
            if len <= parent.len() || len == 0 {
                break;
            }
            self.chain.pop();
        }
        let missing = || LoadError::NoParent { parent: parent.to_owned(), path: path.to_owned() };
        if self.chain.is_empty() {
            return Err(missing());
        }
        self.build_index()?;
        let id = self.tree.lookup_exact(parent).ok_or_else(missing)?;
        self.rebuild_chain(id, parent.len());
        Ok(id)
    }

    fn rebuild_chain(&mut self, id: NodeId, path_len: usize) {
        self.chain.clear();
        let (mut at, mut len) = (id, path_len);
        loop {
            self.chain.push((len, at));
            if at == ROOT {
                break;
            }
            let slot = self.tree.nodes.get(at);
            len -= slot.blob().name_bytes().len() + 1;
            at = slot.parent;
        }
        self.chain.reverse();
    }

    fn add(
        &mut self,
        parent: Option<NodeId>,
        name: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> NodeId {
        let tree = &mut self.tree;
        let blob = Blob::new(name.as_bytes(), data, &mut tree.scratch);
        let id = tree.nodes.allocate(blob);
        tree.nodes.set_persisted(id, stat);
        let acl = match self.acls.get(&acl) {
            Some(acl) => *acl,
            None => {
                let missing = tree.acls.load_missing(acl);
                self.acls.insert(acl, missing);
                missing
            }
        };
        tree.acls.add_use(acl);
        tree.nodes.get_mut(id).acl = acl;
        if let Some(parent) = parent {
            tree.nodes.link(parent, id);
        }
        id
    }

    fn index(&mut self, id: NodeId, path: &str) -> Result<(), LoadError> {
        let tree = &mut self.tree;
        let hash = tree.index.hash(path.as_bytes());
        if !self.indexed {
            self.hashes.push(hash);
            return Ok(());
        }
        if tree.index.find(hash, path.as_bytes(), &tree.nodes).is_some() {
            return Err(LoadError::Duplicate(path.to_owned()));
        }
        tree.index.insert(hash, id, &tree.nodes);
        Ok(())
    }

    fn build_index(&mut self) -> Result<(), LoadError> {
        if std::mem::replace(&mut self.indexed, true) {
            return Ok(());
        }
        // Ids were given out in order; the root is the first and not in the index.
        let hashes = std::mem::take(&mut self.hashes);
        let tree = &mut self.tree;
        tree.index.build(&hashes, &tree.nodes).map_err(|id| {
            let mut path = String::new();
            tree.nodes.push_path(id, &mut path);
            LoadError::Duplicate(path)
        })
    }
}
