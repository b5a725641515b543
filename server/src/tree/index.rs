//! From a path to an id: a hash table that stores ids only.
//!
//! The table keeps four bytes per znode and finds out by comparing names backwards through the
//! parents whether an id is the path asked for. It is split into 1,024 sub-tables by hash, so that
//! a table that grows rehashes a thousandth of the paths and stalls nobody. The hash is SipHash-1-3
//! under a key of this process: clients cannot choose colliding paths. Nothing is ever output in
//! the order of this table.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::node::{NodeId, Nodes};

const TABLES: usize = 1024;

/// Key of [`sip13`].
#[derive(Debug, Clone, Copy)]
pub(super) struct HashKey(u64, u64);

impl HashKey {
    /// Spreads a seed over the key (splitmix64).
    pub(super) fn from_seed(seed: u64) -> Self {
        let mix = |round: u64| {
            let mut z = seed.wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self(mix(1), mix(2))
    }
}

/// Index of all znodes but the root.
#[derive(Debug)]
pub(super) struct PathIndex {
    key: HashKey,
    tables: Vec<HashTable<NodeId>>,
}

impl PathIndex {
    pub(super) fn new(key: HashKey) -> Self {
        Self { key, tables: (0..TABLES).map(|_| HashTable::new()).collect() }
    }

    /// The hash that the other methods take.
    pub(super) fn hash(&self, path: &[u8]) -> u64 {
        sip13(self.key, path)
    }

    pub(super) fn find(&self, hash: u64, path: &[u8], nodes: &Nodes) -> Option<NodeId> {
        self.tables[table_of(hash)].find(hash, |id| nodes.is_at(*id, path)).copied()
    }

    /// The id must be linked to its parent already and its path not be in the index.
    pub(super) fn insert(&mut self, hash: u64, id: NodeId, nodes: &Nodes) {
        let key = self.key;
        self.tables[table_of(hash)]
            .insert_unique(hash, id, |id| nodes.with_path(*id, |path| sip13(key, path)));
    }

    pub(super) fn remove(&mut self, hash: u64, id: NodeId) {
        if let Ok(entry) = self.tables[table_of(hash)].find_entry(hash, |other| *other == id) {
            entry.remove();
        }
    }

    /// Fills an empty index with the znodes of ids 1, 2, ..., whose hashes these are behind that
    /// of the root. Goes table by table, so that what is touched fits the processor's caches: with
    /// this loading a million znodes takes a third less time than with one insertion after another.
    ///
    /// # Errors
    /// A znode whose path another one has already.
    pub(super) fn build(&mut self, hashes: &[u64], nodes: &Nodes) -> Result<(), NodeId> {
        let mut starts = vec![0usize; TABLES + 1];
        for hash in hashes.iter().skip(1) {
            starts[table_of(*hash) + 1] += 1;
        }
        for table in 0..TABLES {
            starts[table + 1] += starts[table];
        }
        let mut ids: Vec<NodeId> = vec![0; starts[TABLES]];
        let mut next = starts.clone();
        for (id, hash) in hashes.iter().enumerate().skip(1) {
            let slot = &mut next[table_of(*hash)];
            ids[*slot] = id as NodeId;
            *slot += 1;
        }
        let key = self.key;
        let hash_of = |id: &NodeId| nodes.with_path(*id, |path| sip13(key, path));
        for (table, range) in self.tables.iter_mut().zip(starts.windows(2)) {
            let ids = &ids[range[0]..range[1]];
            table.reserve(ids.len(), hash_of);
            for id in ids {
                let hash = hashes[*id as usize];
                match table.entry(hash, |other| nodes.are_namesakes(*other, *id), hash_of) {
                    Entry::Occupied(_) => return Err(*id),
                    Entry::Vacant(vacant) => vacant.insert(*id),
                };
            }
        }
        Ok(())
    }

    /// Number of ids.
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(HashTable::len).sum()
    }

    /// Bytes requested for the tables.
    pub(super) fn bytes(&self) -> usize {
        self.tables.iter().map(HashTable::allocation_size).sum::<usize>()
            + TABLES * size_of::<HashTable<NodeId>>()
    }
}

/// Bits that the sub-table itself uses neither for its bucket nor, much, for its tags.
fn table_of(hash: u64) -> usize {
    (hash >> 40) as usize % TABLES
}

/// SipHash with one round per block and three to finish: the keyed hash of Rust's own maps.
pub(super) fn sip13(key: HashKey, bytes: &[u8]) -> u64 {
    let mut v = [
        key.0 ^ 0x736f_6d65_7073_6575,
        key.1 ^ 0x646f_7261_6e64_6f6d,
        key.0 ^ 0x6c79_6765_6e65_7261,
        key.1 ^ 0x7465_6462_7974_6573,
    ];
    let (blocks, rest) = bytes.as_chunks::<8>();
    for block in blocks {
        let block = u64::from_le_bytes(*block);
        v[3] ^= block;
        sip_round(&mut v);
        v[0] ^= block;
    }
    let mut last = [0u8; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    let last = u64::from_le_bytes(last);
    v[3] ^= last;
    sip_round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for _ in 0..3 {
        sip_round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline(always)]
fn sip_round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use std::hash::Hasher;

    use super::*;

    /// `DefaultHasher::new()` is SipHash-1-3 with key 0 in the standard library we build with.
    #[test]
    fn sip13_is_the_one_of_the_standard_library() {
        let bytes: Vec<u8> = (0..64).collect();
        for len in 0..bytes.len() {
            #[allow(deprecated)]
            let mut theirs = std::collections::hash_map::DefaultHasher::new();
            theirs.write(&bytes[..len]);
            assert_eq!(sip13(HashKey(0, 0), &bytes[..len]), theirs.finish(), "length {len}");
        }
    }

    #[test]
    fn the_seed_decides_the_hash() {
        let of = |seed| sip13(HashKey::from_seed(seed), b"/a/path");
        assert_ne!(of(1), of(2));
        assert_eq!(of(1), of(1));
    }
}
