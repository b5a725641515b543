//! The watch tables.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldhash::quality::FixedState;
use parking_lot::Mutex;

use super::shard::Shard;
use super::{EventType, Mode, Table, Trigger, WatcherId, WatcherType};

/// Number of shards of paths, and of watchers' lists. A power of two.
const SHARDS: u64 = 64;
/// Bits of a path id that say which slot; the rest says which shard.
const SLOT_BITS: u32 = 26;
/// Watched paths in one shard at most (4 billion in all); further ones are refused like a closed
/// watcher. Unreachable in memory that a server has, checked all the same.
const SLOTS_MAX: u32 = 1 << SLOT_BITS;

/// What a table is told at construction.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Per-process secret of the path hash. No output depends on it.
    pub hash_seed: u64,
    /// True for `watchManagerName=...WatchManagerOptimized`, which knows standard watches only:
    /// the others are refused with MARSHALLINGERROR.
    pub standard_only: bool,
}

/// One event for some watchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired<'a> {
    /// What they are told.
    pub event: EventType,
    /// The path in the event.
    pub path: &'a str,
    /// Who is told, ascending, each once.
    pub watchers: &'a [WatcherId],
}

/// Numbers of the `wchs` command. They count the data table only, as in Java.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Watchers with at least one watch.
    pub connections: usize,
    /// Watched paths.
    pub paths: usize,
    /// Pairs of watcher and path.
    pub watches: usize,
}

/// All watches of a server (both `WatchManager`s of a `DataTree`).
///
/// Every method takes `&self`. Lock order: shard of the path, then list of the watcher; never two
/// of a kind.
///
/// Invariant: a watcher's list holds a path id exactly if the path's entry has the watcher in a
/// table. (During [`WatchTable::clear`] the list goes first.)
#[derive(Debug)]
pub struct WatchTable {
    hasher: FixedState,
    standard_only: bool,
    shards: Vec<Mutex<Shard>>,
    /// Paths of each open watcher.
    lists: Vec<Mutex<BTreeMap<WatcherId, BTreeSet<PathId>>>>,
    /// Pairs of watcher and path in either table, both counted.
    watches: AtomicUsize,
    /// Recursive watches; while there is none, ancestors need not be looked at.
    recursive: AtomicUsize,
}

/// Shard and slot of a watched path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathId(u32);

impl PathId {
    fn new(shard: usize, slot: u32) -> Self {
        PathId((shard as u32) << SLOT_BITS | slot)
    }
    fn shard(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }
    fn slot(self) -> u32 {
        self.0 & (SLOTS_MAX - 1)
    }
}

impl WatchTable {
    /// Empty tables.
    pub fn new(options: Options) -> Self {
        Self {
            hasher: FixedState::with_seed(options.hash_seed),
            standard_only: options.standard_only,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            lists: (0..SHARDS).map(|_| Mutex::default()).collect(),
            watches: AtomicUsize::new(0),
            recursive: AtomicUsize::new(0),
        }
    }

    /// True if persistent watches are refused, see [`Options::standard_only`].
    pub fn standard_only(&self) -> bool {
        self.standard_only
    }

    /// A connection starts: from now on it can have watches.
    pub fn open(&self, watcher: WatcherId) {
        self.list(watcher).lock().entry(watcher).or_default();
    }

    /// A connection ended: all its watches go, and none can come back until the id is opened
    /// again. Costs as much as it had watches.
    pub fn clear(&self, watcher: WatcherId) {
        let Some(paths) = self.list(watcher).lock().remove(&watcher) else { return };
        for path in paths {
            let mut shard = self.shards[path.shard()].lock();
            let Some(entry) = shard.get_mut(path.slot()) else { continue };
            for table in [Table::Data, Table::Child] {
                let watchers = entry.table_mut(table);
                let modes = watchers.modes(watcher);
                watchers.set(watcher, 0);
                self.uncount(modes, 0);
            }
            shard.release(path.slot());
        }
    }

    /// Arms a watch. False if that changed nothing: it was armed already, or the watcher is not
    /// open (a read that was parked when its connection closed).
    pub fn add(&self, path: &str, watcher: WatcherId, table: Table, mode: Mode) -> bool {
        let (hash, at) = self.place(path);
        let mut shard = self.shards[at].lock();
        let slot = shard.find_or_insert(hash, path);
        if slot >= SLOTS_MAX {
            shard.release(slot);
            return false;
        }
        let entry = shard.get_mut(slot).expect("just found");
        let old = entry.table(table).modes(watcher);
        let new = old | mode.bit();
        if new == old {
            return false;
        }
        if !entry.has(watcher) {
            match self.list(watcher).lock().get_mut(&watcher) {
                Some(paths) => paths.insert(PathId::new(at, slot)),
                None => {
                    shard.release(slot);
                    return false;
                }
            };
        }
        entry.table_mut(table).set(watcher, new);
        if old == 0 {
            self.watches.fetch_add(1, Ordering::Relaxed);
        }
        if mode == Mode::PersistentRecursive {
            self.recursive.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Arms what `addWatch` and the lists of `setWatches2` arm: persistent watches in both tables,
    /// recursive ones in the data table.
    pub fn add_persistent(&self, path: &str, watcher: WatcherId, recursive: bool) {
        if recursive {
            self.add(path, watcher, Table::Data, Mode::PersistentRecursive);
        } else {
            self.add(path, watcher, Table::Child, Mode::Persistent);
            self.add(path, watcher, Table::Data, Mode::Persistent);
        }
    }

    /// True if the watcher has a watch of this type on exactly this path (`checkWatches`).
    pub fn contains(&self, path: &str, watcher: WatcherId, kind: WatcherType) -> bool {
        let (hash, at) = self.place(path);
        let shard = self.shards[at].lock();
        let Some(entry) = shard.find(hash, path).and_then(|slot| shard.get(slot)) else {
            return false;
        };
        let data = entry.table(Table::Data).modes(watcher);
        let child = entry.table(Table::Child).modes(watcher);
        match kind {
            WatcherType::Children => child & Mode::Standard.bit() != 0,
            WatcherType::Data => data & Mode::Standard.bit() != 0,
            WatcherType::Persistent => data & Mode::Persistent.bit() != 0,
            WatcherType::PersistentRecursive => data & Mode::PersistentRecursive.bit() != 0,
            WatcherType::Any => data | child != 0,
        }
    }

    /// Removes the watcher's watches of this type from exactly this path (`removeWatches`). False
    /// if there was none.
    pub fn remove(&self, path: &str, watcher: WatcherId, kind: WatcherType) -> bool {
        const ALL: u8 = u8::MAX;
        let (data, child) = match kind {
            WatcherType::Children => (0, Mode::Standard.bit()),
            WatcherType::Data => (Mode::Standard.bit(), 0),
            WatcherType::Persistent => (Mode::Persistent.bit(), Mode::Persistent.bit()),
            WatcherType::PersistentRecursive => (Mode::PersistentRecursive.bit(), 0),
            WatcherType::Any => (ALL, ALL),
        };
        let (hash, at) = self.place(path);
        let mut shard = self.shards[at].lock();
        let Some(slot) = shard.find(hash, path) else { return false };
        let entry = shard.get_mut(slot).expect("just found");
        let mut removed = false;
        for (table, mask) in [(Table::Data, data), (Table::Child, child)] {
            let watchers = entry.table_mut(table);
            let old = watchers.modes(watcher);
            let new = old & !mask;
            if new != old {
                removed = true;
                watchers.set(watcher, new);
                self.uncount(old, new);
            }
        }
        if removed && !entry.has(watcher) {
            self.unlist(watcher, PathId::new(at, slot));
            shard.release(slot);
        }
        removed
    }

    /// One change of one znode: calls `fire` for each event in Java's order, at most three times.
    /// Standard watches are used up.
    ///
    /// * created: data watches of the path, then child watches of the parent;
    /// * deleted: data watches of the path, child watches of the path (unless just told), then
    ///   child watches of the parent;
    /// * data changed: data watches of the path.
    pub fn trigger(&self, what: Trigger, path: &str, fire: &mut dyn FnMut(Fired<'_>)) {
        if self.watches.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut told = Vec::new();
        let mut gone = Vec::new();
        let mut tell = |event, path: &str, watchers: &[WatcherId]| {
            if !watchers.is_empty() {
                fire(Fired { event, path, watchers });
            }
        };
        let on_path = match what {
            Trigger::Created => EventType::NodeCreated,
            Trigger::Deleted => EventType::NodeDeleted,
            Trigger::DataChanged => EventType::NodeDataChanged,
        };
        self.collect(path, Table::Data, &mut told, &mut gone);
        self.collect_ancestors(path, &mut told);
        tell(on_path, path, &told);
        if what == Trigger::DataChanged {
            return;
        }
        if what == Trigger::Deleted {
            let mut children = Vec::new();
            self.collect(path, Table::Child, &mut children, &mut gone);
            // Both lists are ascending.
            children.retain(|watcher| told.binary_search(watcher).is_err());
            tell(on_path, path, &children);
        }
        let parent = parent_of(path);
        told.clear();
        self.collect(parent, Table::Child, &mut told, &mut gone);
        tell(EventType::NodeChildrenChanged, parent, &told);
    }

    /// Number of watches, those of both tables counted (`DataTree.getWatchCount`).
    pub fn watch_count(&self) -> usize {
        self.watches.load(Ordering::Relaxed)
    }

    /// Memory of the tables, bytes, estimated: paths with their slots, and per watch an entry in its
    /// connection's list and its share of a set of watchers.
    pub fn memory_bytes(&self) -> usize {
        const PER_WATCH: usize = 16;
        let shards = self.shards.iter().map(|shard| shard.lock().memory_bytes()).sum::<usize>();
        shards + self.watch_count() * PER_WATCH
    }

    /// Numbers of the data table. Walks everything.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        let mut connections = BTreeSet::new();
        self.for_each_data_path(|_, watchers| {
            summary.paths += 1;
            for watcher in watchers {
                summary.watches += 1;
                connections.insert(watcher);
            }
        });
        summary.connections = connections.len();
        summary
    }

    /// Watchers of each path in the data table, for `wchp`. Walks everything.
    pub fn by_path(&self) -> BTreeMap<String, Vec<WatcherId>> {
        let mut paths = BTreeMap::new();
        self.for_each_data_path(|path, watchers| {
            paths.insert(path.to_owned(), watchers.collect());
        });
        paths
    }

    /// Paths of each watcher in the data table, for `wchc`. Walks everything.
    pub fn by_watcher(&self) -> BTreeMap<WatcherId, Vec<String>> {
        let mut found: BTreeMap<WatcherId, Vec<String>> = BTreeMap::new();
        self.for_each_data_path(|path, watchers| {
            for watcher in watchers {
                found.entry(watcher).or_default().push(path.to_owned());
            }
        });
        for paths in found.values_mut() {
            paths.sort_unstable();
        }
        found
    }

    /// Verifies every count and both directions of the invariant. For tests; nobody else may use
    /// the table meanwhile.
    pub fn check(&self) -> Result<(), String> {
        let (mut watches, mut recursive) = (0, 0);
        let mut listed: BTreeMap<WatcherId, BTreeSet<PathId>> = BTreeMap::new();
        for (at, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            for (slot, entry) in shard.entries() {
                let (hash, home) = self.place(&entry.path);
                if home != at || shard.find(hash, &entry.path) != Some(slot) {
                    return Err(format!("{} is not where it should be", entry.path));
                }
                for table in [Table::Data, Table::Child] {
                    for (watcher, modes) in entry.table(table).iter() {
                        watches += 1;
                        recursive += usize::from(modes & Mode::PersistentRecursive.bit() != 0);
                        listed.entry(watcher).or_default().insert(PathId::new(at, slot));
                    }
                }
            }
        }
        let mut lists = BTreeMap::new();
        for list in &self.lists {
            let list = list.lock();
            lists.extend(list.iter().filter(|(_, p)| !p.is_empty()).map(|(w, p)| (*w, p.clone())));
        }
        let counted =
            (self.watches.load(Ordering::Relaxed), self.recursive.load(Ordering::Relaxed));
        if lists != listed || counted != (watches, recursive) {
            return Err(format!(
                "{lists:?} {counted:?}, should be {listed:?} {watches} {recursive}"
            ));
        }
        Ok(())
    }
}

impl WatchTable {
    /// Takes the watchers of exactly `path`, using standard watches up.
    fn collect(
        &self,
        path: &str,
        table: Table,
        told: &mut Vec<WatcherId>,
        gone: &mut Vec<WatcherId>,
    ) {
        let (hash, at) = self.place(path);
        let mut shard = self.shards[at].lock();
        let Some(slot) = shard.find(hash, path) else { return };
        let entry = shard.get_mut(slot).expect("just found");
        gone.clear();
        entry.table_mut(table).fire(told, gone);
        self.watches.fetch_sub(gone.len(), Ordering::Relaxed);
        for watcher in gone.iter() {
            if !entry.has(*watcher) {
                self.unlist(*watcher, PathId::new(at, slot));
            }
        }
        shard.release(slot);
    }

    /// Adds the recursive watchers of all proper ancestors, the root included.
    fn collect_ancestors(&self, path: &str, told: &mut Vec<WatcherId>) {
        if self.recursive.load(Ordering::Relaxed) == 0 {
            return;
        }
        let before = told.len();
        let mut below = path;
        while below.len() > 1 {
            below = parent_of(below);
            let (hash, at) = self.place(below);
            let shard = self.shards[at].lock();
            let Some(entry) = shard.find(hash, below).and_then(|slot| shard.get(slot)) else {
                continue;
            };
            let recursive = Mode::PersistentRecursive.bit();
            let watchers = entry.table(Table::Data).iter();
            told.extend(watchers.filter(|(_, m)| m & recursive != 0).map(|(w, _)| w));
        }
        if told.len() != before {
            told.sort_unstable();
            told.dedup();
        }
    }

    /// The hash of a path and the number of its shard.
    fn place(&self, path: &str) -> (u64, usize) {
        let hash = self.hasher.hash_one(path);
        // The index of a shard uses the lowest and the highest bits.
        (hash, ((hash >> 32) % SHARDS) as usize)
    }

    fn list(&self, watcher: WatcherId) -> &Mutex<BTreeMap<WatcherId, BTreeSet<PathId>>> {
        &self.lists[(u64::from(watcher.0) % SHARDS) as usize]
    }

    fn unlist(&self, watcher: WatcherId, path: PathId) {
        if let Some(paths) = self.list(watcher).lock().get_mut(&watcher) {
            paths.remove(&path);
        }
    }

    /// A watcher's modes in one table went from `old` to `new`, a part of it.
    fn uncount(&self, old: u8, new: u8) {
        if old != 0 && new == 0 {
            self.watches.fetch_sub(1, Ordering::Relaxed);
        }
        if (old & !new) & Mode::PersistentRecursive.bit() != 0 {
            self.recursive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn for_each_data_path(&self, mut visit: impl FnMut(&str, &mut dyn Iterator<Item = WatcherId>)) {
        for shard in &self.shards {
            for (_, entry) in shard.lock().entries() {
                let watchers = entry.table(Table::Data);
                if !watchers.is_empty() {
                    visit(&entry.path, &mut watchers.iter().map(|(watcher, _)| watcher));
                }
            }
        }
    }
}

/// Everything before the last slash; `/` for a path right below the root.
fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}
