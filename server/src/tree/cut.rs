//! Cuts: exact views of the tree, written out while it changes.

use thiserror::Error;

use super::cell::TreeReader;
use super::{AclList, DataTree, ZxidDigest};
use crate::base::{SessionId, Zxid};

/// Limits of a cut.
#[derive(Debug, Clone)]
pub struct CutLimits {
    /// How many cuts may be open at once, this one included.
    pub cuts_max: usize,
    /// Old values kept for this cut, bytes; beyond it the cut is cancelled.
    pub saved_bytes_max: usize,
}

impl Default for CutLimits {
    fn default() -> Self {
        Self { cuts_max: 8, saved_bytes_max: 256 << 20 }
    }
}

/// Why there is no cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CutError {
    /// Too many are open.
    #[error("{0} cuts of the tree are open already")]
    TooMany(usize),
    /// Writes outran the cut; open another one later.
    #[error("the cut was cancelled: old values passed {0} bytes")]
    Overflow(usize),
    /// The tree was replaced as a whole.
    #[error("the cut was cancelled: the tree was replaced")]
    Replaced,
}

/// An exact view of the tree at one zxid. Dropping it closes it.
#[derive(Debug)]
pub struct Cut {}

impl Cut {
    /// The zxid of the view.
    pub fn zxid(&self) -> Zxid {
        unimplemented!()
    }
    /// Digest of the last transaction in the view, for the snapshot's digest section.
    pub fn last_digest(&self) -> Option<ZxidDigest> {
        unimplemented!()
    }
    /// Number of znodes, the root included.
    pub fn node_count(&self) -> usize {
        unimplemented!()
    }
    /// Sessions and timeouts in ms, ascending.
    pub fn sessions(&self) -> &[(SessionId, i32)] {
        unimplemented!()
    }
    /// The ACL map: every id that a record refers to except -1, ascending.
    pub fn acls(&self) -> &[(i64, AclList)] {
        unimplemented!()
    }
    /// Appends the next records (path, data, acl id, `StatPersisted`; parents first, the root as
    /// `""`), at most 512, taken under one read guard. False when all were written; the end mark
    /// `/` is the caller's.
    pub fn next_batch(&mut self, reader: &TreeReader, out: &mut Vec<u8>) -> Result<bool, CutError> {
        self.next_batch_of(&reader.read(), out)
    }
    /// The same with a guard, or a bare tree, at hand. It must be the tree the cut was opened on.
    pub fn next_batch_of(
        &mut self,
        _tree: &DataTree,
        _out: &mut Vec<u8>,
    ) -> Result<bool, CutError> {
        unimplemented!()
    }
}
