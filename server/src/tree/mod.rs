//! The tree of znodes: the state that the log replicates. (Signatures first; bodies follow.)
#![allow(unused_variables, dead_code)]

pub mod cell;
pub mod cut;
pub mod load;

use std::sync::Arc;

use jute::data::{Acl, Stat, StatPersisted};

use crate::base::{ErrorCode, Proposal, SessionId, Wall, Zxid};

/// What a tree is told at construction; never changes afterwards.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// Per-process secret of the path hash. No output depends on it.
    pub hash_seed: u64,
    /// `zookeeper.digest.enabled`; false makes every digest 0.
    pub digest_enabled: bool,
    /// `zookeeper.extendedTypesEnabled`: owners starting 0xff are TTLs.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: every negative owner but the container's is a TTL.
    pub emulate_353_ttl: bool,
}

impl Default for TreeOptions {
    /// Java's defaults, and a fixed hash seed (for tests).
    fn default() -> Self {
        Self { hash_seed: 0, digest_enabled: true, extended_types: false, emulate_353_ttl: false }
    }
}

/// An access control list as the tree holds it: interned, so equal lists share one allocation.
pub type AclList = Arc<[Acl]>;

/// The replicated state (`DataTree`, and the session map of `ZKDatabase`).
#[derive(Debug)]
pub struct DataTree {}

impl DataTree {
    /// The tree of an empty server: `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`.
    pub fn new(options: TreeOptions) -> Self {
        unimplemented!()
    }
    /// The options given at construction.
    pub fn options(&self) -> &TreeOptions {
        unimplemented!()
    }
    /// The znode at `path`; `""` and `"/"` are both the root. The path is not validated: garbage
    /// just does not exist.
    pub fn find(&self, path: &str) -> Option<Node<'_>> {
        unimplemented!()
    }
    /// The root.
    pub fn root(&self) -> Node<'_> {
        unimplemented!()
    }
    /// `lastProcessedZxid`: the highest zxid applied or set.
    pub fn last_zxid(&self) -> Zxid {
        unimplemented!()
    }
    /// Sets `lastProcessedZxid`, as a new leader does for its epoch's counter 0.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        unimplemented!()
    }
    /// Digest of the whole tree (AdHash, version 2); 0 if disabled.
    pub fn digest(&self) -> i64 {
        unimplemented!()
    }
    /// Zxid and digest of the last applied transaction, what snapshots carry; `None` before the
    /// first transaction since start or load.
    pub fn last_digest(&self) -> Option<ZxidDigest> {
        unimplemented!()
    }
    /// The digests at zxids divisible by 128, the last 1,024 of them, oldest first (`hash`).
    pub fn digest_log(&self) -> impl Iterator<Item = ZxidDigest> + '_ {
        std::iter::empty()
    }
    /// Number of znodes, the root included once: 4 on an untouched tree. Java's `zk_znode_count`
    /// is one more, because its table holds the root under two keys.
    pub fn node_count(&self) -> usize {
        unimplemented!()
    }
    /// `zk_approximate_data_size`: characters of all paths plus bytes of all data; 44 untouched.
    pub fn approximate_data_size(&self) -> u64 {
        unimplemented!()
    }
    /// Number of ephemeral znodes.
    pub fn ephemeral_count(&self) -> usize {
        unimplemented!()
    }
    /// Number of distinct ACL lists in use (without the built-in open one).
    pub fn acl_count(&self) -> usize {
        unimplemented!()
    }
    /// Applies one transaction. Live apply and replay are the same function (storage.md 7.3):
    /// misfits become codes in [`Applied`]. Calls `changes` in the order in which Java triggers
    /// watches; for each [`Change`] the data watches of the path come first, then child watches.
    pub fn apply(&mut self, proposal: &Proposal, changes: &mut dyn FnMut(Change<'_>)) -> Applied {
        unimplemented!()
    }
    /// Sets `/zookeeper/config` outside the transaction stream, creating it if it is missing
    /// (`ZKDatabase.initConfigInZKDatabase`): version -1, mzxid = `config_version`.
    pub fn set_config(
        &mut self,
        text: &[u8],
        config_version: i64,
        time: Wall,
        changes: &mut dyn FnMut(Change<'_>),
    ) {
        unimplemented!()
    }
    /// Deletes the ephemerals of a session that the session table does not know, as a server does
    /// after restoring (`ZooKeeperServer.killSession`), and forgets the session.
    pub fn kill_session(
        &mut self,
        session: SessionId,
        zxid: Zxid,
        changes: &mut dyn FnMut(Change<'_>),
    ) {
        unimplemented!()
    }
    /// Global sessions with their timeouts.
    pub fn sessions(&self) -> &SessionTable {
        unimplemented!()
    }
    /// Sessions that own at least one ephemeral, ascending.
    pub fn ephemeral_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        std::iter::empty()
    }
    /// Paths of a session's ephemerals, in no order a client may rely on.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = String> + '_ {
        std::iter::empty()
    }
    /// All container znodes.
    pub fn containers(&self) -> impl Iterator<Item = Node<'_>> + '_ {
        std::iter::empty()
    }
    /// All TTL znodes.
    pub fn ttl_nodes(&self) -> impl Iterator<Item = Node<'_>> + '_ {
        std::iter::empty()
    }
    /// Number of descendants (`getAllChildrenNumber`), counted with Java's rules for odd paths.
    pub fn all_children_number(&self, path: &str) -> i32 {
        unimplemented!()
    }
    /// The quota that governs `path`: that of the deepest registered ancestor-or-self. `None` if
    /// there is none, or its limits or stats node is missing (Java then checks nothing either).
    pub fn quota_of(&self, path: &str) -> Option<Quota> {
        unimplemented!()
    }
    /// Opens a cut: an exact view of the tree as it is now. Constant time, plus the sessions and
    /// the ACL table.
    pub fn open_cut(&mut self, limits: cut::CutLimits) -> Result<cut::Cut, cut::CutError> {
        unimplemented!()
    }
    /// Verifies every index, count, size and digest by a full walk (`OWNERS-MATCH`). For tests.
    pub fn check(&self) -> Result<(), String> {
        unimplemented!()
    }
}

/// A znode, borrowed from the tree.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a DataTree,
}

impl<'a> Node<'a> {
    /// Last part of the path; empty for the root.
    pub fn name(self) -> &'a str {
        unimplemented!()
    }
    /// Full path; `/` for the root.
    pub fn path(self) -> String {
        unimplemented!()
    }
    /// The parent; `None` for the root.
    pub fn parent(self) -> Option<Node<'a>> {
        unimplemented!()
    }
    /// The data; null and empty differ.
    pub fn data(self) -> Option<&'a [u8]> {
        unimplemented!()
    }
    /// The data, counted: lives on after the tree changed.
    pub fn shared_data(self) -> NodeData {
        unimplemented!()
    }
    /// The access control list. A list lost in a fuzzy snapshot reads as one entry without any
    /// permission: only a super user passes until replay repairs it.
    pub fn acl(self) -> &'a AclList {
        unimplemented!()
    }
    /// The metadata as clients see it (`DataNode.copyStat`).
    pub fn stat(self) -> Stat {
        unimplemented!()
    }
    /// The metadata as stored.
    pub fn persisted(self) -> StatPersisted {
        unimplemented!()
    }
    /// Who owns it.
    pub fn owner(self) -> Owner {
        unimplemented!()
    }
    /// Number of children.
    pub fn num_children(self) -> usize {
        unimplemented!()
    }
    /// Names of the children, in no order a client may rely on (but never hash order).
    pub fn children(self) -> impl ExactSizeIterator<Item = &'a str> + 'a {
        [].iter().copied()
    }
    /// The cached digest; 0 below `/zookeeper/` and if digests are off.
    pub fn digest(self) -> u32 {
        unimplemented!()
    }
}

/// A znode's data, counted.
#[derive(Debug, Clone)]
pub struct NodeData {}

impl NodeData {
    /// The bytes; null and empty differ.
    pub fn as_slice(&self) -> Option<&[u8]> {
        unimplemented!()
    }
}

/// Kind of a znode by its owner field (`EphemeralType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Persistent.
    None,
    /// Ephemeral.
    Session(SessionId),
    /// Container.
    Container,
    /// TTL in ms.
    Ttl(u64),
}

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
}

/// Outcome of one transaction.
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

/// Global sessions (`ZKDatabase.sessionsWithTimeouts`).
#[derive(Debug, Clone, Default)]
pub struct SessionTable {}

impl SessionTable {
    /// Timeout in ms of a session.
    pub fn timeout_ms(&self, session: SessionId) -> Option<i32> {
        unimplemented!()
    }
    /// Number of sessions.
    pub fn len(&self) -> usize {
        unimplemented!()
    }
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        unimplemented!()
    }
    /// All sessions with their timeouts in ms, ascending by id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SessionId, i32)> + '_ {
        [].iter().copied()
    }
}

/// A quota as `prep` enforces it. -1 means "no limit" and, in `count` and `bytes`, "unknown".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The path that has the quota.
    pub prefix: String,
    /// `count`: soft limit of znodes.
    pub count_limit: i64,
    /// `countHardLimit`.
    pub count_hard_limit: i64,
    /// `bytes`: soft limit of data bytes.
    pub byte_limit: i64,
    /// `byteHardLimit`.
    pub byte_hard_limit: i64,
    /// Znodes now, the prefix itself included.
    pub count: i64,
    /// Data bytes now.
    pub bytes: i64,
}

/// A znode's digest (`DigestCalculator.calculateDigest`, version 2); 0 below `/zookeeper/`. `/` and
/// `""` are the same path. Pure: `prep` uses it to foresee the digest after a transaction.
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    unimplemented!()
}

/// The stored owner of a TTL znode, or `BadArguments` unless `0 < ttl_ms < 2^40`.
pub fn ttl_owner(ttl_ms: i64) -> Result<i64, ErrorCode> {
    unimplemented!()
}
