//! The tree of znodes: the state that the log replicates.
//!
//! **What it is.** A plain struct that transactions change and requests read. Pure: no I/O, no
//! clock, no randomness; times, zxids and the hash seed are handed in. It owns the znodes with
//! their indexes (paths, children, owners, ACL lists, quotas, digest) and the global sessions. It
//! must not know watches, connections, requests, the log, or whether a transaction is live or
//! replayed.
//!
//! ```text
//!  Proposal ──► apply ──► node, children, index, acl_table, owners, quota, digest
//!                 │ └───► Applied (for the reply)        ▲
//!                 └─────► Change  (for the watches)      │ find, Node
//!  snapshot ──► load ──► DataTree ──► cut ──► snapshot   readers
//! ```
//!
//! Start at [`DataTree`], then `apply`, then `node`. [`cell`] is the lock around it, [`cut`] the
//! exact snapshot view, [`load`] the way back.
//!
//! **Memory.** What a znode costs, in bytes requested (27-byte name, 100-byte value):
//!
//! | part | bytes | why |
//! | --- | --- | --- |
//! | slot | 64 | four stamps 32, version, parent, position, ACL, digest, rare 4 each, blob pointer 8 |
//! | blob | 144 | count 8, length 8, tag 1, name 27, data 100; rounded up to 8 |
//! | index | 5.7–11.4 | 4 for the id, 1 for the tag, tables between 7/16 and 7/8 full |
//! | list of the parent | 4–8 | doubling list of ids |
//!
//! That is about 222 with the 127 bytes of name and value, so 95 over them; glibc makes 160 of the
//! 144. Resident, measured with 1 M znodes: 241 bytes per znode, name and value included. pzxid,
//! cversion, aversion, owner and children are in a `Rare` record of 48 bytes that only parents,
//! owned znodes and those with a changed ACL have: of all others they follow from the rest.
//!
//! **Time.** A random find is four cache misses: tags and entry of the sub-table, slot, blob. Cuts
//! cost a walk under short guards and, while one is open, a saved record per first change.
//!
//! Measure both with `cargo run --release --example tree_bench`.

pub mod cell;
pub mod cut;
pub mod load;

mod acl_table;
mod apply;
mod check;
mod children;
mod digest;
mod index;
mod node;
mod outcome;
mod owners;
mod quota;
mod sessions;
#[cfg(test)]
mod tests;
mod znode;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use jute::data::{Acl, Stat};

use crate::base::{SessionId, Zxid};

pub use digest::{content_crc, is_digested, node_digest, stat_digest};
pub use outcome::{Applied, Change, ChangeKind, DigestCheck, MultiOpResult, OpResult, ZxidDigest};
pub use owners::{CONTAINER_OWNER, ttl_owner};
pub use quota::Quota;
pub use sessions::SessionTable;
pub use znode::{Node, NodeData};

use acl_table::AclTable;
use index::{HashKey, PathIndex};
use node::{Blob, NodeId, Nodes, ROOT};
use owners::Owners;
use quota::Quotas;

/// An access control list as the tree holds it: interned, so equal lists share one allocation.
pub type AclList = Arc<[Acl]>;

/// What a tree is told at construction; never changes afterwards.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// Per-process secret of the path hash. No output depends on it.
    pub hash_seed: u64,
    /// `zookeeper.digest.enabled`; false makes every digest 0.
    pub digest_enabled: bool,
    /// `zookeeper.extendedTypesEnabled`: owners starting 0xff are TTLs.
    pub extended_types: bool,
    /// `zookeeper.emulate353TTLNodes`: with extended types, every negative owner but the
    /// container's is a TTL.
    pub emulate_353_ttl: bool,
}

impl Default for TreeOptions {
    /// Java's defaults, and a fixed hash seed (for tests).
    fn default() -> Self {
        Self { hash_seed: 0, digest_enabled: true, extended_types: false, emulate_353_ttl: false }
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

/// The replicated state (`DataTree`, and the session map of `ZKDatabase`).
pub struct DataTree {
    options: TreeOptions,
    nodes: Nodes,
    /// All znodes but the root.
    index: PathIndex,
    acls: AclTable,
    owners: Owners,
    quotas: Quotas,
    sessions: SessionTable,
    /// Sum of the cached digests, wrapping.
    digest: i64,
    /// See [`DataTree::approximate_data_size`].
    data_size: u64,
    last_zxid: Zxid,
    last_digest: Option<ZxidDigest>,
    digest_log: VecDeque<ZxidDigest>,
    /// Of a fuzzy snapshot: no digest is compared before this zxid (`digestFromLoadedSnapshot`).
    pending_digest: Option<ZxidDigest>,
    /// Of a snapshot that a leader sent.
    received: Option<Received>,
    /// Open cuts, oldest first.
    cuts: Vec<Arc<cut::SharedCut>>,
    scratch: Vec<u8>,
}

/// A leader of the Java kind sends its tree while it changes, and does not say where that ended: the
/// tree may hold effects of transactions that still follow, but of none behind NEWLEADER, which the
/// leader queues when the tree is out.
#[derive(Debug, Clone, Copy, Default)]
struct Received {
    /// A digest differed: the tree was ahead.
    ahead: bool,
    /// A digest agreed: from there on it is exact.
    exact: bool,
}

impl fmt::Debug for DataTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataTree")
            .field("nodes", &self.nodes.len())
            .field("last_zxid", &self.last_zxid)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl DataTree {
    /// The tree of an empty server: `/`, `/zookeeper`, `/zookeeper/quota`, `/zookeeper/config`.
    pub fn new(options: TreeOptions) -> Self {
        let mut tree = Self::empty(options);
        let root = tree.nodes.allocate(Blob::new(b"", Some(b""), &mut tree.scratch));
        assert_eq!(root, ROOT);
        tree.redigest(ROOT, "");
        tree.add_builtin("/zookeeper");
        tree.add_builtin(quota::QUOTA_ROOT);
        tree.add_config_node();
        tree
    }

    /// Nothing, not even a root: for the loader.
    fn empty(options: TreeOptions) -> Self {
        let key = HashKey::from_seed(options.hash_seed);
        Self {
            options,
            nodes: Nodes::new(),
            index: PathIndex::new(key),
            acls: AclTable::new(key),
            owners: Owners::default(),
            quotas: Quotas::default(),
            sessions: SessionTable::default(),
            digest: 0,
            // Java's table has the root a second time, as "/".
            data_size: 1,
            last_zxid: Zxid::ZERO,
            last_digest: None,
            digest_log: VecDeque::new(),
            pending_digest: None,
            received: None,
            cuts: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The options given at construction.
    pub fn options(&self) -> &TreeOptions {
        &self.options
    }

    /// The znode at `path`; `""` and `"/"` are both the root. The path is not validated: garbage
    /// just does not exist.
    pub fn find(&self, path: &str) -> Option<Node<'_>> {
        Some(Node::new(self, self.lookup(path)?))
    }

    /// The same with a hint from [`Node::place`].
    pub fn find_at(&self, place: Option<u32>, path: &str) -> Option<Node<'_>> {
        Some(Node::new(self, self.lookup_at(place, path)?))
    }

    /// The znode at `path`, which probably is where [`Node::place`] said some changes ago. Whoever is
    /// there now is recognised by its path.
    fn lookup_at(&self, place: Option<u32>, path: &str) -> Option<NodeId> {
        match place {
            Some(id) if self.nodes.is_live(id) && self.nodes.is_at(id, path.as_bytes()) => Some(id),
            _ => self.lookup(path),
        }
    }

    /// The root.
    pub fn root(&self) -> Node<'_> {
        Node::new(self, ROOT)
    }

    /// `lastProcessedZxid`: the highest zxid applied or set.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Sets `lastProcessedZxid`, as a new leader does for its epoch's counter 0.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// Digest of the whole tree (AdHash, version 2); 0 if disabled.
    pub fn digest(&self) -> i64 {
        self.digest
    }

    /// Zxid and digest of the last applied transaction, what snapshots carry; `None` before the
    /// first transaction since start or load.
    pub fn last_digest(&self) -> Option<ZxidDigest> {
        self.last_digest
    }

    /// All that a received tree may have been ahead by has been applied: from now on every digest
    /// counts. True if it was ahead: then the snapshot on disk is not exact.
    pub fn settle(&mut self) -> bool {
        self.received.take().is_some_and(|received| received.ahead)
    }

    /// The digest a fuzzy snapshot left to be compared later, if its zxid was not reached yet.
    pub fn pending_digest(&self) -> Option<ZxidDigest> {
        self.pending_digest
    }

    /// The digests at zxids divisible by 128, the last 1,024 of them, oldest first (`hash`).
    pub fn digest_log(&self) -> impl Iterator<Item = ZxidDigest> + '_ {
        self.digest_log.iter().copied()
    }

    /// Number of znodes, the root included once: 4 on an untouched tree. Java's `zk_znode_count`
    /// is one more, because its table holds the root under two keys.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// `zk_approximate_data_size`: characters of all paths plus bytes of all data; 44 untouched.
    pub fn approximate_data_size(&self) -> u64 {
        self.data_size
    }

    /// Bytes requested for slots and index, without names and data (for metrics and benches).
    pub fn table_bytes(&self) -> usize {
        self.nodes.page_bytes() + self.index.bytes()
    }

    /// Number of ephemeral znodes.
    pub fn ephemeral_count(&self) -> usize {
        self.owners.ephemeral_count()
    }

    /// Number of distinct ACL lists in use (without the built-in open one).
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }

    /// Global sessions with their timeouts.
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// Sessions that own at least one ephemeral, ascending.
    pub fn ephemeral_sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.owners.sessions()
    }

    /// Paths of a session's ephemerals, in no order a client may rely on.
    pub fn ephemerals_of(&self, session: SessionId) -> impl Iterator<Item = String> + '_ {
        self.owners.of_session(session).map(|id| Node::new(self, id).path())
    }

    /// All container znodes.
    pub fn containers(&self) -> impl Iterator<Item = Node<'_>> + '_ {
        self.owners.containers().map(|id| Node::new(self, id))
    }

    /// All TTL znodes.
    pub fn ttl_nodes(&self) -> impl Iterator<Item = Node<'_>> + '_ {
        self.owners.ttls().map(|id| Node::new(self, id))
    }

    /// Number of descendants (`getAllChildrenNumber`). Java counts keys that start with the path
    /// and `/`: of `/` all but the root, of `""` one more, of a path that ends in `/` none.
    pub fn all_children_number(&self, path: &str) -> i32 {
        let count = match path {
            "" => self.nodes.len(),
            "/" => self.nodes.len() - 1,
            _ => self.lookup(path).map_or(0, |id| self.nodes.subtree(id).count() - 1),
        };
        i32::try_from(count).unwrap_or(i32::MAX)
    }

    // For the other files of this module.

    fn lookup(&self, path: &str) -> Option<NodeId> {
        if path == "/" { Some(ROOT) } else { self.lookup_exact(path) }
    }

    /// The same without the alias `/` of the root: what the text before a last slash means.
    fn lookup_exact(&self, path: &str) -> Option<NodeId> {
        if path.is_empty() {
            return Some(ROOT);
        }
        self.lookup_hash(self.index.hash(path.as_bytes()), path)
    }

    /// The same for a path other than the root's, with its hash at hand.
    fn lookup_hash(&self, hash: u64, path: &str) -> Option<NodeId> {
        self.index.find(hash, path.as_bytes(), &self.nodes)
    }

    fn owner(&self, id: NodeId) -> Owner {
        self.nodes.rare(id).map_or(Owner::None, |rare| Owner::of(rare.owner, &self.options))
    }

    fn stat(&self, id: NodeId) -> Stat {
        let owner = match self.owner(id) {
            Owner::Session(session) => session.0,
            _ => 0,
        };
        self.nodes.stat(id, owner)
    }
}
