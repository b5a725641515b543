//! Access control lists, interned and counted (`ReferenceCountedACLCache`).
//!
//! A znode holds a 4-byte reference. Snapshots know lists by a number of 8 bytes that is never used
//! twice while the tree lives; -1 stands for the open list of the built-in znodes.

use std::sync::Arc;

use hashbrown::HashTable;
use jute::Encode;
use jute::data::{Acl, PERM_ALL};

use super::AclList;
use super::index::{HashKey, sip13};

/// A znode's reference to its list.
pub(super) type AclRef = u32;

/// `world:anyone` with all permissions, what built-in znodes have. Not counted.
pub(super) const OPEN: AclRef = 0;

/// The id of [`OPEN`] in snapshots.
pub(super) const OPEN_ID: i64 = -1;

#[derive(Debug)]
struct Entry {
    /// The number in snapshots.
    id: i64,
    list: AclList,
    /// False: the list was missing in a fuzzy snapshot.
    known: bool,
    /// Znodes that refer to it; the entry goes when it reaches 0.
    uses: usize,
}

/// All lists in use.
#[derive(Debug)]
pub(super) struct AclTable {
    key: HashKey,
    /// Index is the [`AclRef`]; `None` is free.
    entries: Vec<Option<Entry>>,
    free: Vec<AclRef>,
    by_list: HashTable<AclRef>,
    /// The next number; above all ever used.
    next_id: i64,
    scratch: Vec<u8>,
}

impl AclTable {
    pub(super) fn new(key: HashKey) -> Self {
        let open =
            Entry { id: OPEN_ID, list: Arc::new([Acl::world(PERM_ALL)]), known: true, uses: 1 };
        Self {
            key,
            entries: vec![Some(open)],
            free: Vec::new(),
            by_list: HashTable::new(),
            next_id: 1,
            scratch: Vec::new(),
        }
    }

    fn entry(&self, acl: AclRef) -> &Entry {
        self.entries[acl as usize].as_ref().expect("a counted list is in the table")
    }

    pub(super) fn list(&self, acl: AclRef) -> &AclList {
        &self.entry(acl).list
    }

    /// The number in snapshots.
    pub(super) fn id(&self, acl: AclRef) -> i64 {
        self.entry(acl).id
    }

    /// Number of lists, without the open one and those that are missing.
    pub(super) fn len(&self) -> usize {
        self.by_list.len()
    }

    /// The reference for a list, counted once more. `None` (null in a transaction) is the open one.
    pub(super) fn intern(&mut self, list: Option<&[Acl]>) -> AclRef {
        let Some(list) = list else { return OPEN };
        let hash = self.hash(list);
        let entries = &mut self.entries;
        let found = self.by_list.find(hash, |acl| {
            entries[*acl as usize].as_ref().is_some_and(|entry| *entry.list == *list)
        });
        if let Some(acl) = found.copied() {
            entries[acl as usize].as_mut().expect("just looked at").uses += 1;
            return acl;
        }
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        let acl = self.push(Entry { id, list: list.into(), known: true, uses: 1 });
        self.by_list_insert(hash, acl);
        acl
    }

    /// Counts one use less.
    pub(super) fn release(&mut self, acl: AclRef) {
        if acl == OPEN {
            return;
        }
        let entry = self.entries[acl as usize].as_mut().expect("a counted list is in the table");
        entry.uses -= 1;
        if entry.uses == 0 {
            self.remove(acl);
        }
    }

    /// All entries that a znode can refer to but [`OPEN`], ascending by number. A missing list is
    /// there too, in its harmless form: Java cannot read a snapshot that refers to no list.
    pub(super) fn snapshot(&self) -> Vec<(i64, AclList)> {
        let entries = self.entries[1..].iter().flatten();
        let mut all: Vec<_> = entries.map(|entry| (entry.id, entry.list.clone())).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    // Loading.

    /// An entry of a snapshot's map, not used yet. Of equal lists the last one is found again.
    pub(super) fn load(&mut self, id: i64, list: AclList) -> AclRef {
        self.next_id = self.next_id.max(id.saturating_add(1));
        let hash = self.hash(&list);
        let acl = self.push(Entry { id, list, known: true, uses: 0 });
        let list = self.list(acl).clone();
        let entries = &self.entries;
        let equal = self.by_list.find_entry(hash, |other| {
            entries[*other as usize].as_ref().is_some_and(|entry| entry.list == list)
        });
        match equal {
            Ok(mut entry) => *entry.get_mut() = acl,
            Err(_) => self.by_list_insert(hash, acl),
        }
        acl
    }

    /// A number that znodes refer to but the map does not have. Nobody passes such a list but a
    /// super user, until the transaction that set it is replayed.
    pub(super) fn load_missing(&mut self, id: i64) -> AclRef {
        self.next_id = self.next_id.max(id.saturating_add(1));
        self.push(Entry { id, list: Arc::new([Acl::world(0)]), known: false, uses: 0 })
    }

    /// Counts a use.
    pub(super) fn add_use(&mut self, acl: AclRef) {
        if acl != OPEN {
            self.entries[acl as usize].as_mut().expect("loaded lists are in the table").uses += 1;
        }
    }

    /// Drops what no znode refers to (`purgeUnused`).
    pub(super) fn purge_unused(&mut self) {
        for acl in 1..self.entries.len() {
            if self.entries[acl].as_ref().is_some_and(|entry| entry.uses == 0) {
                self.remove(acl as AclRef);
            }
        }
    }

    // Inside.

    fn push(&mut self, entry: Entry) -> AclRef {
        match self.free.pop() {
            Some(acl) => {
                self.entries[acl as usize] = Some(entry);
                acl
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer lists than znodes")
            }
        }
    }

    fn remove(&mut self, acl: AclRef) {
        let list = self.list(acl).clone();
        let hash = self.hash(&list);
        if let Ok(entry) = self.by_list.find_entry(hash, |other| *other == acl) {
            entry.remove();
        }
        self.entries[acl as usize] = None;
        self.free.push(acl);
    }

    fn hash(&mut self, list: &[Acl]) -> u64 {
        self.scratch.clear();
        for acl in list {
            acl.encode(&mut self.scratch);
        }
        sip13(self.key, &self.scratch)
    }

    fn by_list_insert(&mut self, hash: u64, acl: AclRef) {
        let (entries, key) = (&self.entries, self.key);
        self.by_list.insert_unique(hash, acl, |acl| {
            let mut bytes = Vec::new();
            for acl in entries[*acl as usize].as_ref().expect("listed").list.iter() {
                acl.encode(&mut bytes);
            }
            sip13(key, &bytes)
        });
    }

    /// Compares the counts with those of a full walk.
    pub(super) fn check(
        &self,
        uses: &std::collections::BTreeMap<AclRef, usize>,
    ) -> Result<(), String> {
        for (acl, entry) in self.entries.iter().enumerate().skip(1) {
            let counted = uses.get(&(acl as AclRef)).copied().unwrap_or(0);
            match entry {
                Some(entry) if entry.uses != counted || counted == 0 => {
                    return Err(format!(
                        "acl {}: {} uses, counted {counted}",
                        entry.id, entry.uses
                    ));
                }
                None if counted != 0 => return Err(format!("acl slot {acl} is free but used")),
                _ => {}
            }
        }
        let known = self.entries[1..].iter().flatten().filter(|entry| entry.known).count();
        if known < self.by_list.len() {
            return Err(format!("{known} known acls, {} in the index", self.by_list.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> AclTable {
        AclTable::new(HashKey::from_seed(1))
    }

    #[test]
    fn equal_lists_share_a_number_and_numbers_are_not_reused() {
        let mut table = table();
        let read = [Acl::world(1)];
        let write = [Acl::world(2)];
        let a = table.intern(Some(&read));
        assert_eq!((table.intern(Some(&read)), table.id(a)), (a, 1));
        let b = table.intern(Some(&write));
        assert_eq!(table.id(b), 2);
        table.release(b);
        assert_eq!(table.len(), 1);
        let again = table.intern(Some(&write));
        assert_eq!(table.id(again), 3);
        assert_eq!(table.snapshot().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn null_is_the_open_list_but_an_empty_list_is_not() {
        let mut table = table();
        assert_eq!(table.intern(None), OPEN);
        let empty = table.intern(Some(&[]));
        assert_ne!(empty, OPEN);
        assert!(table.list(empty).is_empty());
        assert_eq!(table.list(OPEN)[0], Acl::world(PERM_ALL));
    }

    #[test]
    fn the_order_of_entries_matters() {
        let mut table = table();
        let a = table.intern(Some(&[Acl::world(1), Acl::world(2)]));
        let b = table.intern(Some(&[Acl::world(2), Acl::world(1)]));
        assert_ne!(a, b);
    }

    #[test]
    fn loading_drops_the_unused_and_goes_on_above_the_highest() {
        let mut table = table();
        let used = table.load(5, Arc::new([Acl::world(1)]));
        table.load(9, Arc::new([Acl::world(2)]));
        table.add_use(used);
        table.purge_unused();
        assert_eq!(table.len(), 1);
        let next = table.intern(Some(&[Acl::world(2)]));
        assert_eq!(table.id(next), 10);
        let missing = table.load_missing(77);
        assert_eq!(table.list(missing)[0].perms, 0);
    }

    #[test]
    fn of_equal_lists_in_a_snapshot_both_keep_their_number() {
        let mut table = table();
        let first = table.load(1, Arc::new([Acl::world(1)]));
        let second = table.load(2, Arc::new([Acl::world(1)]));
        table.add_use(first);
        table.add_use(second);
        table.purge_unused();
        assert_eq!(table.snapshot().len(), 2);
        assert_eq!(table.intern(Some(&[Acl::world(1)])), second);
        table.release(first);
        assert_eq!(table.intern(Some(&[Acl::world(1)])), second);
    }
}
