//! Changes that are proposed but not applied (`ZooKeeperServer.outstandingChanges`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use jute::data::{Acl, StatPersisted};

use crate::base::{SessionId, Zxid};
use crate::tree::{AclList, DataTree, Node, Owner, content_crc, is_digested, stat_digest};

/// The root has two names; here it has one.
const ROOT: &str = "/";

/// Paths kept for their memory, at most, and the longest of them, bytes.
const SPARE_PATHS: usize = 4096;
const SPARE_PATH_BYTES: usize = 128;

/// Index into the slab of records.
type RecordId = u32;

/// The overlay: what the tree will say once everything proposed is applied (`PREP-SEES-ALL`).
///
/// A request looks a path up once ([`Outstanding::find`]) and then goes by the [`Spot`] it got.
///
/// Invariant: `queue` ascends; every record is named by the queue entry of its zxid; `ephemerals`
/// names exactly the records whose owner is a session; `index` names exactly the records in use.
#[derive(Debug)]
pub(super) struct Outstanding {
    hasher: FixedState,
    index: HashTable<RecordId>,
    records: Vec<Option<Record>>,
    free: Vec<RecordId>,
    /// Which transaction touched which records, oldest first. A record outlives its last entry.
    queue: VecDeque<(Zxid, RecordId)>,
    /// Records by the session that owns their znode.
    ephemerals: BTreeMap<SessionId, BTreeSet<String>>,
    /// Memory of the paths of records that are gone: the next ones need none of their own, and none
    /// is freed on another thread than it came from.
    spare: Vec<String>,
    /// Digest after the last proposal. Meaningless while nothing is outstanding.
    digest: i64,
    /// What records looked like before the multi at work, oldest first.
    undo: Option<Undo>,
}

/// The last proposed change of a znode (`ChangeRecord`).
#[derive(Debug, Clone)]
struct Record {
    path: String,
    hash: u64,
    /// Transaction of the change.
    zxid: Zxid,
    /// The znode afterwards; `None`: deleted.
    state: Option<State>,
}

/// Where a path is: valid until the next change of the overlay that is not made with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    hash: u64,
    record: Option<RecordId>,
    /// Where the tree has it, see [`Node::place`].
    place: Option<u32>,
}

impl Spot {
    /// A hint for whoever applies the change.
    pub(super) fn place(self) -> Option<u32> {
        self.place
    }
}

/// A znode as prep needs it.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) stat: StatPersisted,
    pub(super) owner: Owner,
    pub(super) children: usize,
    pub(super) acl: AclList,
    data_len: usize,
    /// Where the tree has it; `None` for what is not there yet.
    place: Option<u32>,
    /// CRC of path and data, so that a changed stat costs 60 bytes of CRC and not the whole data.
    content_crc: u32,
    /// The znode's digest; 0 where there is none.
    digest: u32,
}

#[derive(Debug, Default)]
struct Undo {
    records: Vec<(RecordId, Option<Old>)>,
    queue_len: usize,
    digest: i64,
}

/// A record before it was changed.
type Old = (Zxid, Option<State>);

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
            hasher: FixedState::with_seed(hash_seed),
            index: HashTable::new(),
            records: Vec::new(),
            free: Vec::new(),
            queue: VecDeque::new(),
            ephemerals: BTreeMap::new(),
            spare: Vec::new(),
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
        self.index.clear();
        self.records.clear();
        self.free.clear();
        self.queue.clear();
        self.ephemerals.clear();
        self.undo = None;
    }

    /// Everything up to `zxid` is in the tree.
    pub(super) fn applied(&mut self, zxid: Zxid) {
        while self.queue.front().is_some_and(|(oldest, _)| *oldest <= zxid) {
            let Some((_, id)) = self.queue.pop_front() else { break };
            let record = self.records[id as usize].as_ref();
            if record.is_some_and(|record| record.zxid <= zxid) {
                self.remove(id);
            }
        }
    }

    /// Digest of the tree after the last proposal.
    pub(super) fn digest(&self, tree: &DataTree) -> i64 {
        if self.queue.is_empty() { tree.digest() } else { self.digest }
    }

    /// The znode at `path` after everything proposed.
    pub(super) fn find<'a>(&'a self, tree: &'a DataTree, path: &str) -> (Spot, Option<View<'a>>) {
        let path = normal(path);
        let hash = self.hasher.hash_one(path);
        match self.record_at(hash, path) {
            Some((id, record)) => {
                let place = record.state.as_ref().and_then(|state| state.place);
                let spot = Spot { hash, record: Some(id), place };
                (spot, record.state.as_ref().map(View::Proposed))
            }
            None => {
                let node = tree.find(path);
                let spot = Spot { hash, record: None, place: node.map(Node::place) };
                (spot, node.map(View::Applied))
            }
        }
    }

    /// A new znode. There is none at `path`. Returns the CRC of its content, if it has a digest.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn create(
        &mut self,
        tree: &DataTree,
        (path, spot): (&str, Spot),
        data: &[u8],
        acl: AclList,
        stat: StatPersisted,
        zxid: Zxid,
    ) -> Option<u32> {
        let mut state = State {
            owner: Owner::of(stat.ephemeral_owner, tree.options()),
            children: 0,
            acl,
            data_len: data.len(),
            place: None,
            content_crc: 0,
            digest: 0,
            stat,
        };
        let before = self.digest(tree);
        let counts = counts(tree, path);
        if counts {
            state.content_crc = content_crc(path, data);
            state.digest = stat_digest(state.content_crc, &state.stat);
        }
        let after = before.wrapping_add(state.digest.into());
        let crc = counts.then_some(state.content_crc);
        self.put(path, spot, zxid, Some(state));
        self.digest = after;
        crc
    }

    /// Changes the metadata of the znode at `path`, which exists.
    pub(super) fn update(
        &mut self,
        tree: &DataTree,
        at: (&str, Spot),
        zxid: Zxid,
        change: impl FnOnce(&mut State),
    ) {
        self.update_data(tree, at, None, zxid, change);
    }

    /// The same, and sets the data if there is some. Returns the CRC of the znode's content, if it
    /// has a digest.
    pub(super) fn update_data(
        &mut self,
        tree: &DataTree,
        (path, spot): (&str, Spot),
        data: Option<&[u8]>,
        zxid: Zxid,
        change: impl FnOnce(&mut State),
    ) -> Option<u32> {
        let path = normal(path);
        let counts = counts(tree, path);
        let digest = self.digest(tree);
        let record = spot.record.and_then(|id| self.records[id as usize].as_mut());
        // The common case in a burst: the record is there and is not needed for undoing.
        if self.undo.is_none()
            && let Some(record) = record
            && let Some(state) = &mut record.state
        {
            debug_assert_eq!(record.path, path, "the spot is the path's");
            if record.zxid != zxid {
                record.zxid = zxid;
                self.queue.extend(spot.record.map(|id| (zxid, id)));
            }
            self.digest = digest.wrapping_add(state.apply(path, data, counts, change));
            return counts.then_some(state.content_crc);
        }
        let mut state = match spot.record.and_then(|id| self.records[id as usize].as_ref()) {
            Some(Record { state: Some(state), .. }) => state.clone(),
            Some(_) => unreachable!("{path} was found before it is changed"),
            None => {
                let node = tree.find_at(spot.place, path).expect("found before it is changed");
                // New data brings a new CRC; that of the old data would be thrown away.
                State::load(path, node, counts && data.is_none())
            }
        };
        let digest = digest.wrapping_add(state.apply(path, data, counts, change));
        let crc = counts.then_some(state.content_crc);
        self.put(path, spot, zxid, Some(state));
        self.digest = digest;
        crc
    }

    /// The znode at `path`, which exists, is gone.
    pub(super) fn delete(&mut self, tree: &DataTree, (path, spot): (&str, Spot), zxid: Zxid) {
        let path = normal(path);
        let old = match spot.record.and_then(|id| self.records[id as usize].as_ref()) {
            Some(record) => record.state.as_ref().map_or(0, |state| state.digest),
            None => tree.find_at(spot.place, path).map_or(0, Node::digest),
        };
        let after = self.digest(tree).wrapping_sub(old.into());
        self.put(path, spot, zxid, None);
        self.digest = after;
    }

    /// Paths of a session's ephemerals after everything proposed, ascending.
    pub(super) fn ephemerals_of(&self, tree: &DataTree, session: SessionId) -> BTreeSet<String> {
        let applied = tree.ephemerals_of(session);
        let untouched = applied.filter(|path| {
            self.index.is_empty() || self.record_at(self.hasher.hash_one(&**path), path).is_none()
        });
        let mut paths: BTreeSet<String> = untouched.collect();
        if let Some(proposed) = self.ephemerals.get(&session) {
            paths.extend(proposed.iter().cloned());
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
        for (id, old) in undo.records.into_iter().rev() {
            match old {
                Some((zxid, state)) => _ = self.set(id, zxid, state),
                None => self.remove(id),
            }
        }
        self.digest = undo.digest;
    }

    fn record_at(&self, hash: u64, path: &str) -> Option<(RecordId, &Record)> {
        let records = &self.records;
        let record = |id: RecordId| records[id as usize].as_ref();
        let id = *self.index.find(hash, |id| record(*id).is_some_and(|r| r.path == path))?;
        Some((id, record(id)?))
    }

    fn put(&mut self, path: &str, spot: Spot, zxid: Zxid, state: Option<State>) {
        let (id, old) = match spot.record {
            Some(id) => (id, Some(self.set(id, zxid, state))),
            None => (self.insert(path, spot.hash, zxid, state), None),
        };
        if old.as_ref().is_none_or(|(known, _)| *known != zxid) {
            self.queue.push_back((zxid, id));
        }
        if let Some(undo) = &mut self.undo {
            undo.records.push((id, old));
        }
    }

    // The only places where records come, change owner and go, so that `ephemerals` cannot get out
    // of step.

    fn insert(&mut self, path: &str, hash: u64, zxid: Zxid, state: Option<State>) -> RecordId {
        let mut own = self.spare.pop().unwrap_or_default();
        own.push_str(path);
        let record = Record { path: own, hash, zxid, state };
        if let Some(session) = record.session() {
            self.ephemerals.entry(session).or_default().insert(record.path.clone());
        }
        let id = match self.free.pop() {
            Some(id) => {
                self.records[id as usize] = Some(record);
                id
            }
            None => {
                self.records.push(Some(record));
                (self.records.len() - 1) as RecordId
            }
        };
        let records = &self.records;
        self.index
            .insert_unique(hash, id, |id| records[*id as usize].as_ref().map_or(0, |r| r.hash));
        id
    }

    fn set(&mut self, id: RecordId, zxid: Zxid, state: Option<State>) -> Old {
        let record = self.records[id as usize].as_mut().expect("spots name records in use");
        let before = record.session();
        let old = (record.zxid, std::mem::replace(&mut record.state, state));
        record.zxid = zxid;
        let after = record.session();
        if before != after {
            let path = record.path.clone();
            self.disown(before, &path);
            if let Some(session) = after {
                self.ephemerals.entry(session).or_default().insert(path);
            }
        }
        old
    }

    fn remove(&mut self, id: RecordId) {
        let Some(record) = self.records[id as usize].take() else { return };
        if let Ok(entry) = self.index.find_entry(record.hash, |other| *other == id) {
            entry.remove();
        }
        self.free.push(id);
        self.disown(record.session(), &record.path);
        let mut path = record.path;
        if self.spare.len() < SPARE_PATHS && path.capacity() <= SPARE_PATH_BYTES {
            path.clear();
            self.spare.push(path);
        }
    }

    fn disown(&mut self, owner: Option<SessionId>, path: &str) {
        if let Some(session) = owner
            && let Some(paths) = self.ephemerals.get_mut(&session)
        {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&session);
            }
        }
    }

    /// Verifies the invariant. For tests.
    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.queue.iter().is_sorted_by_key(|(zxid, _)| zxid));
        let used = || self.records.iter().flatten();
        for (id, record) in self.records.iter().enumerate() {
            let Some(record) = record else { continue };
            let (id, path) = (id as RecordId, &record.path);
            assert!(self.queue.contains(&(record.zxid, id)), "{path} is not queued");
            assert_eq!(self.record_at(record.hash, path).map(|(id, _)| id), Some(id));
            if let Some(session) = record.session() {
                assert!(self.ephemerals[&session].contains(path));
            }
        }
        let indexed: usize = self.ephemerals.values().map(BTreeSet::len).sum();
        assert_eq!(indexed, used().filter(|record| record.session().is_some()).count());
        assert_eq!(self.index.len(), used().count());
        assert_eq!(self.free.len() + self.index.len(), self.records.len());
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
            place: Some(node.place()),
            content_crc: if counts { content_crc(path, data) } else { 0 },
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
                self.content_crc = content_crc(path, data);
            }
        }
        let old = self.digest;
        if counts {
            self.digest = stat_digest(self.content_crc, &self.stat);
        }
        i64::from(self.digest) - i64::from(old)
    }
}

/// `""` and `/` are the root.
fn normal(path: &str) -> &str {
    if path.is_empty() { ROOT } else { path }
}

/// True if the znode is part of the tree's digest.
fn counts(tree: &DataTree, path: &str) -> bool {
    tree.options().digest_enabled && is_digested(path)
}
