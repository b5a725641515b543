//! One shard: some of the paths, found by hash, addressed by slot.

use hashbrown::HashTable;

use super::watchers::Watchers;
use super::{Table, WatcherId};

/// A watched path. At least one of its tables is not empty.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Box<str>,
    hash: u64,
    data: Watchers,
    child: Watchers,
}

impl Entry {
    pub(super) fn table(&self, table: Table) -> &Watchers {
        match table {
            Table::Data => &self.data,
            Table::Child => &self.child,
        }
    }

    pub(super) fn table_mut(&mut self, table: Table) -> &mut Watchers {
        match table {
            Table::Data => &mut self.data,
            Table::Child => &mut self.child,
        }
    }

    /// True if the watcher is in one of the tables.
    pub(super) fn has(&self, watcher: WatcherId) -> bool {
        self.data.modes(watcher) | self.child.modes(watcher) != 0
    }

    fn is_unused(&self) -> bool {
        self.data.is_empty() && self.child.is_empty()
    }
}

/// Paths whose hash falls into this shard. Slots are stable while their path is watched.
#[derive(Debug, Default)]
pub(super) struct Shard {
    index: HashTable<u32>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Bytes of all watched paths.
    path_bytes: usize,
}

impl Shard {
    /// Memory held, bytes: slots, index and paths, without allocator rounding.
    pub(super) fn memory_bytes(&self) -> usize {
        let slots = self.slots.capacity() * size_of::<Option<Entry>>();
        slots + self.index.capacity() * 5 + self.free.capacity() * 4 + self.path_bytes
    }

    pub(super) fn find(&self, hash: u64, path: &str) -> Option<u32> {
        let slots = &self.slots;
        self.index.find(hash, |slot| entry(slots, *slot).path.as_ref() == path).copied()
    }

    /// The slot of a path, made if it is not watched yet. The caller adds a watcher at once.
    pub(super) fn find_or_insert(&mut self, hash: u64, path: &str) -> u32 {
        if let Some(slot) = self.find(hash, path) {
            return slot;
        }
        self.path_bytes += path.len();
        let new = Entry {
            path: path.into(),
            hash,
            data: Watchers::default(),
            child: Watchers::default(),
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(new);
                slot
            }
            None => {
                self.slots.push(Some(new));
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |slot| entry(slots, *slot).hash);
        slot
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Frees the slot if nobody watches its path any more.
    pub(super) fn release(&mut self, slot: u32) {
        let Some(unused) = self.get(slot).filter(|entry| entry.is_unused()) else { return };
        let (hash, path_bytes) = (unused.hash, unused.path.len());
        self.path_bytes -= path_bytes;
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        self.slots[slot as usize] = None;
        self.free.push(slot);
        if self.index.is_empty() {
            // Memory of a watch storm goes back.
            *self = Self::default();
        }
    }

    /// Watched paths in no order that means anything (but the same in every run).
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(slot, entry)| Some((slot as u32, entry.as_ref()?)))
    }
}

fn entry(slots: &[Option<Entry>], slot: u32) -> &Entry {
    slots[slot as usize].as_ref().expect("the index names used slots only")
}
