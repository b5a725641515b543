//! Changes that are proposed but not applied (`ZooKeeperServer.outstandingChanges`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use jute::data::{Acl, StatPersisted};

use crate::base::{SessionId, Zxid};
use crate::tree::{AclList, DataTree, Node, Owner};

/// The root has two names; here it has one.
const ROOT: &str = "/";
/// Below this path the digest counts nothing.
const NO_DIGEST: &str = "/zookeeper/";

/// The overlay: what the tree will say once everything proposed is applied (`PREP-SEES-ALL`).
///
/// Invariant: `queue` ascends; every record is named by the queue entry of its zxid; `ephemerals`
/// names exactly the records whose owner is a session.
#[derive(Debug)]
pub(super) struct Outstanding {
    records: HashMap<Arc<str>, Record, FixedState>,
    /// Which transaction touched which paths, oldest first.
    queue: VecDeque<(Zxid, Arc<str>)>,
    /// Records by the session that owns their znode.
    ephemerals: BTreeMap<SessionId, BTreeSet<Arc<str>>>,
    /// Digest after the last proposal. Meaningless while nothing is outstanding.
    digest: i64,
    /// What records looked like before the multi at work, oldest first.
    undo: Option<Undo>,
}

/// The last proposed change of a znode (`ChangeRecord`).
#[derive(Debug, Clone)]
struct Record {
    /// Transaction of the change.
    zxid: Zxid,
    /// The znode afterwards; `None`: deleted.
    state: Option<State>,
}

/// A znode as prep needs it.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) stat: StatPersisted,
    pub(super) owner: Owner,
    pub(super) children: usize,
    pub(super) acl: AclList,
    data_len: usize,
    /// CRC of path and data, so that a changed stat costs 60 bytes of CRC and not the whole data.
    prefix_crc: u32,
    /// The znode's digest; 0 where there is none.
    digest: u32,
}

#[derive(Debug, Default)]
struct Undo {
    records: Vec<(Arc<str>, Option<Record>)>,
    queue_len: usize,
    digest: i64,
}

/// A znode as prep sees it: proposed, or else applied.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Proposed(&'a State),
    Applied(Node<'a>),
}

impl<'a> View<'a> {
    pub(super) fn acl(self) -> &'a [Acl] {
        match self {
            View::Proposed(state) => &state.acl,
            View::Applied(node) => node.acl(),
        }
    }
    pub(super) fn version(self) -> i32 {
        match self {
            View::Proposed(state) => state.stat.version,
            View::Applied(node) => node.version(),
        }
    }
    pub(super) fn aversion(self) -> i32 {
        match self {
            View::Proposed(state) => state.stat.aversion,
            View::Applied(node) => node.aversion(),
        }
    }
    /// The stored cversion: number of creates.
    pub(super) fn cversion(self) -> i32 {
        match self {
            View::Proposed(state) => state.stat.cversion,
            View::Applied(node) => node.cversion(),
        }
    }
    pub(super) fn has_children(self) -> bool {
        match self {
            View::Proposed(state) => state.children > 0,
            View::Applied(node) => node.num_children() > 0,
        }
    }
    pub(super) fn owner(self) -> Owner {
        match self {
            View::Proposed(state) => state.owner,
            View::Applied(node) => node.owner(),
        }
    }
    pub(super) fn data_len(self) -> usize {
        match self {
            View::Proposed(state) => state.data_len,
            View::Applied(node) => node.data().map_or(0, <[u8]>::len),
        }
    }
}

impl Outstanding {
    /// Nothing outstanding. `hash_seed` is a per-process secret.
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            records: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            queue: VecDeque::new(),
            ephemerals: BTreeMap::new(),
            digest: 0,
            undo: None,
        }
    }

    /// Number of changes.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.queue.clear();
        self.ephemerals.clear();
        self.undo = None;
    }

    /// Everything up to `zxid` is in the tree.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while self.queue.front().is_some_and(|(oldest, _)| *oldest <= zxid) {
            let Some((_, path)) = self.queue.pop_front() else { break };
            if self.records.get(&path).is_some_and(|record| record.zxid <= zxid) {
                self.replace(path, None);
            }
        }
    }

    /// Digest of the tree after the last proposal.
    pub(super) fn digest(&self, tree: &DataTree) -> i64 {
        if self.queue.is_empty() { tree.digest() } else { self.digest }
    }

    /// The znode at `path` after everything proposed.
    pub(super) fn find<'a>(&'a self, tree: &'a DataTree, path: &str) -> Option<View<'a>> {
        let path = normal(path);
        match self.records.get(path) {
            Some(record) => record.state.as_ref().map(View::Proposed),
            None => tree.find(path).map(View::Applied),
        }
    }

    /// A new znode. There is none at `path`.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn create(
        &mut self,
        tree: &DataTree,
        path: &str,
        data: &[u8],
        acl: AclList,
        stat: StatPersisted,
        zxid: Zxid,
    ) {
        let mut state = State {
            owner: Owner::of(stat.ephemeral_owner, tree.options()),
            children: 0,
            acl,
            data_len: data.len(),
            prefix_crc: 0,
            digest: 0,
            stat,
        };
        let before = self.digest(tree);
        if counts(tree, path) {
            state.prefix_crc = prefix_crc(path, data);
            state.digest = state.compute_digest();
        }
        let after = before.wrapping_add(state.digest.into());
        self.put(path, Record { zxid, state: Some(state) });
        self.digest = after;
    }

    /// Changes the metadata of the znode at `path`, which exists.
    pub(super) fn update(
        &mut self,
        tree: &DataTree,
        path: &str,
        zxid: Zxid,
        change: impl FnOnce(&mut State),
    ) {
        self.update_data(tree, path, None, zxid, change);
    }

    /// The same, and sets the data if there is some.
    pub(super) fn update_data(
        &mut self,
        tree: &DataTree,
        path: &str,
        data: Option<&[u8]>,
        zxid: Zxid,
        change: impl FnOnce(&mut State),
    ) {
        let path = normal(path);
        let counts = counts(tree, path);
        let mut digest = self.digest(tree);
        // The common case in a burst: the record is there and is not needed for undoing.
        if self.undo.is_none()
            && let Some(record) = self.records.get_mut(path)
            && let Some(state) = &mut record.state
        {
            let fresh = record.zxid != zxid;
            record.zxid = zxid;
            digest = digest.wrapping_add(state.apply(path, data, counts, change));
            self.digest = digest;
            if fresh && let Some((key, _)) = self.records.get_key_value(path) {
                self.queue.push_back((zxid, key.clone()));
            }
            return;
        }
        let mut state = match self.records.get(path).map(|record| &record.state) {
            Some(Some(state)) => state.clone(),
            Some(None) => unreachable!("{path} was found before it is changed"),
            None => {
                let node = tree.find(path).expect("found before it is changed");
                // New data brings a new CRC; that of the old data would be thrown away.
                State::load(path, node, counts && data.is_none())
            }
        };
        digest = digest.wrapping_add(state.apply(path, data, counts, change));
        self.put(path, Record { zxid, state: Some(state) });
        self.digest = digest;
    }

    /// The znode at `path`, which exists, is gone.
    pub(super) fn delete(&mut self, tree: &DataTree, path: &str, zxid: Zxid) {
        let path = normal(path);
        let old = match self.records.get(path) {
            Some(record) => record.state.as_ref().map_or(0, |state| state.digest),
            None => tree.find(path).map_or(0, Node::digest),
        };
        let after = self.digest(tree).wrapping_sub(old.into());
        self.put(path, Record { zxid, state: None });
        self.digest = after;
    }

    /// Paths of a session's ephemerals after everything proposed, ascending.
    pub(super) fn ephemerals_of(&self, tree: &DataTree, session: SessionId) -> BTreeSet<String> {
        let applied = tree.ephemerals_of(session);
        let untouched = applied.filter(|path| !self.records.contains_key(path.as_str()));
        let mut paths: BTreeSet<String> = untouched.collect();
        if let Some(proposed) = self.ephemerals.get(&session) {
            paths.extend(proposed.iter().map(|path| path.to_string()));
        }
        paths
    }

    /// From now on changes can be taken back.
    pub(super) fn begin(&mut self, tree: &DataTree) {
        let digest = self.digest(tree);
        self.undo = Some(Undo { records: Vec::new(), queue_len: self.queue.len(), digest });
    }

    /// The changes since [`Outstanding::begin`] stay.
    pub(super) fn commit(&mut self) {
        self.undo = None;
    }

    /// Takes back the changes since [`Outstanding::begin`].
    pub(super) fn roll_back(&mut self) {
        let undo = self.undo.take().expect("begun before it is rolled back");
        self.queue.truncate(undo.queue_len);
        for (path, record) in undo.records.into_iter().rev() {
            self.replace(path, record);
        }
        self.digest = undo.digest;
    }

    fn put(&mut self, path: &str, record: Record) {
        let (key, known) = match self.records.get_key_value(path) {
            Some((key, record)) => (key.clone(), Some(record)),
            None => (Arc::from(path), None),
        };
        let fresh = known.is_none_or(|known| known.zxid != record.zxid);
        if fresh {
            self.queue.push_back((record.zxid, key.clone()));
        }
        let old = self.replace(key.clone(), Some(record));
        if let Some(undo) = &mut self.undo {
            undo.records.push((key, old));
        }
    }

    /// The only place where records come and go, so that `ephemerals` cannot get out of step.
    fn replace(&mut self, path: Arc<str>, new: Option<Record>) -> Option<Record> {
        let owner = new.as_ref().and_then(Record::session);
        let old = match new {
            Some(record) => self.records.insert(path.clone(), record),
            None => self.records.remove(&path),
        };
        let old_owner = old.as_ref().and_then(Record::session);
        if owner != old_owner {
            if let Some(session) = old_owner
                && let Some(paths) = self.ephemerals.get_mut(&session)
            {
                paths.remove(&path);
                if paths.is_empty() {
                    self.ephemerals.remove(&session);
                }
            }
            if let Some(session) = owner {
                self.ephemerals.entry(session).or_default().insert(path);
            }
        }
        old
    }

    /// Verifies the invariant. For tests.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.queue.iter().is_sorted_by_key(|(zxid, _)| zxid));
        for (path, record) in &self.records {
            assert!(self.queue.contains(&(record.zxid, path.clone())), "{path} is not queued");
            if let Some(session) = record.session() {
                assert!(self.ephemerals[&session].contains(path));
            }
        }
        let indexed: usize = self.ephemerals.values().map(BTreeSet::len).sum();
        let owned = self.records.values().filter(|record| record.session().is_some()).count();
        assert_eq!(indexed, owned);
    }
}

impl Record {
    fn session(&self) -> Option<SessionId> {
        match self.state.as_ref()?.owner {
            Owner::Session(session) => Some(session),
            _ => None,
        }
    }
}

impl State {
    fn load(path: &str, node: Node<'_>, counts: bool) -> Self {
        let data = node.data().unwrap_or_default();
        Self {
            stat: node.persisted(),
            owner: node.owner(),
            children: node.num_children(),
            acl: node.acl().clone(),
            data_len: data.len(),
            prefix_crc: if counts { prefix_crc(path, data) } else { 0 },
            digest: node.digest(),
        }
    }

    /// Changes the state; returns by how much the tree's digest changes.
    fn apply(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        counts: bool,
        change: impl FnOnce(&mut State),
    ) -> i64 {
        change(self);
        if let Some(data) = data {
            self.data_len = data.len();
            if counts {
                self.prefix_crc = prefix_crc(path, data);
            }
        }
        let old = self.digest;
        if counts {
            self.digest = self.compute_digest();
        }
        i64::from(self.digest) - i64::from(old)
    }

    fn compute_digest(&self) -> u32 {
        let stat = &self.stat;
        let mut fields = [0u8; 60];
        let longs = [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime];
        for (to, long) in fields.chunks_exact_mut(8).zip(longs) {
            to.copy_from_slice(&long.to_be_bytes());
        }
        let ints = [stat.version, stat.cversion, stat.aversion];
        for (to, int) in fields[40..52].chunks_exact_mut(4).zip(ints) {
            to.copy_from_slice(&int.to_be_bytes());
        }
        fields[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
        let mut crc = crc32fast::Hasher::new_with_initial(self.prefix_crc);
        crc.update(&fields);
        crc.finalize()
    }
}

/// `""` and `/` are the root.
fn normal(path: &str) -> &str {
    if path.is_empty() { ROOT } else { path }
}

/// True if the znode is part of the tree's digest.
fn counts(tree: &DataTree, path: &str) -> bool {
    tree.options().digest_enabled && !path.starts_with(NO_DIGEST)
}

fn prefix_crc(path: &str, data: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == ROOT { b"" } else { path.as_bytes() });
    crc.update(data);
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::node_digest;

    #[test]
    fn digests_are_the_trees() {
        let stat = StatPersisted {
            czxid: 1,
            mzxid: 2,
            ctime: 3,
            mtime: 4,
            version: 5,
            cversion: 6,
            aversion: 7,
            ephemeral_owner: 8,
            pzxid: 9,
        };
        for (path, data) in [("/", &b""[..]), ("/a", b"data"), ("/zookeeper", b"")] {
            let state = State {
                stat: stat.clone(),
                owner: Owner::None,
                children: 0,
                acl: Arc::from([]),
                data_len: data.len(),
                prefix_crc: prefix_crc(path, data),
                digest: 0,
            };
            assert_eq!(state.compute_digest(), node_digest(path, Some(data), &stat), "{path}");
        }
    }
}
