//! What applying a transaction tells its callers.

use jute::data::Stat;

use super::AclList;
use crate::base::Zxid;

/// What happened to a znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Created,
    /// It was deleted.
    Deleted,
    /// Its data was set.
    DataChanged,
}

/// One change, with what watches need: created and deleted also concern the parent's child watches.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// What happened.
    pub kind: ChangeKind,
    /// To which znode.
    pub path: &'a str,
    /// Its ACL: the new one of a create, the last one of a delete.
    pub acl: &'a AclList,
    /// The parent's ACL (for the root its own).
    pub parent_acl: &'a AclList,
    /// The transaction.
    pub zxid: Zxid,
    /// Bytes of data written; 0 for a delete.
    pub bytes: usize,
}

/// Outcome of one transaction (`DataTree.ProcessTxnResult`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The transaction's zxid.
    pub zxid: Zxid,
    /// 0, the code of an error transaction, or why the transaction did not fit (replay only). For
    /// a multi the first such code of its operations.
    pub err: i32,
    /// What the reply needs.
    pub result: OpResult,
    /// How the digest compares with the one in the transaction.
    pub digest: DigestCheck,
}

/// What the reply to an operation needs beyond its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// Nothing.
    None,
    /// Any kind of create.
    Created {
        /// The final path.
        path: String,
        /// The new znode's metadata.
        stat: Stat,
    },
    /// setData, setACL, reconfig: the metadata afterwards.
    Stat(Stat),
    /// One entry per operation. Of a failed multi every entry has kind -1.
    Multi(Vec<MultiOpResult>),
}

/// Outcome of one operation of a multi.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultiOpResult {
    /// Op code; -1 for an error.
    pub kind: i32,
    /// Code: 0 for operations before the failed one, -2 for those behind it.
    pub err: i32,
    /// Details.
    pub result: OpResult,
}

/// How a computed digest compares with an expected one (`DataTree.compareDigest`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestCheck {
    /// Nothing to compare with: no digest, another version, or still in a snapshot's fuzzy range.
    Skipped,
    /// Equal.
    Match,
    /// Different: `digest_mismatches_count`. Never stops anything.
    Mismatch {
        /// The digest in the transaction or the snapshot.
        expected: i64,
        /// Ours.
        actual: i64,
    },
}

/// The digest of the tree at a zxid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZxidDigest {
    /// After this transaction.
    pub zxid: Zxid,
    /// [`jute::txn::DIGEST_VERSION`].
    pub version: i32,
    /// The digest.
    pub digest: i64,
}
