//! Where znodes live: fixed pages of 64-byte slots, addressed by 4-byte ids.
//!
//! A slot is one cache line and holds what every znode has. What most znodes do not have (children,
//! an owner, a changed ACL or child list) is a [`Rare`] record in pages of its own. Name and data
//! share one allocation, the [`Blob`].
//!
//! Ids carry no generation. Inside the tree no id outlives its znode: every index is updated in the
//! change that frees the slot (`DataTree::check` proves it). Only cuts hold ids longer; why reuse
//! does not confuse them is in `cut`.

use jute::data::{Stat, StatPersisted};
use triomphe::{Arc, ThinArc};

use super::acl_table::AclRef;

/// Index of a slot.
pub(super) type NodeId = u32;

/// The root's id.
pub(super) const ROOT: NodeId = 0;

/// Items per page. Pages never move, so growing copies nothing but the list of pages.
const PAGE: usize = 4096;

/// Name and data of a znode in one counted allocation: tag, name, data.
///
/// The tag is one byte: bit 7 says that the data is null, the other bits are the length of the
/// name; 127 means that the length follows as four bytes.
#[derive(Debug, Clone)]
pub(super) struct Blob(ThinArc<(), u8>);

const TAG_NULL: u8 = 0x80;
const TAG_LONG: u8 = 0x7f;

impl Blob {
    /// `scratch` only saves an allocation.
    pub(super) fn new(name: &[u8], data: Option<&[u8]>, scratch: &mut Vec<u8>) -> Self {
        scratch.clear();
        let null = if data.is_none() { TAG_NULL } else { 0 };
        if name.len() < usize::from(TAG_LONG) {
            scratch.push(null | name.len() as u8);
        } else {
            scratch.push(null | TAG_LONG);
            scratch.extend_from_slice(&(name.len() as u32).to_le_bytes());
        }
        scratch.extend_from_slice(name);
        scratch.extend_from_slice(data.unwrap_or_default());
        let blob = Self(ThinArc::from_header_and_slice((), scratch));
        // One huge value must not pin its size for ever.
        if scratch.capacity() > 64 << 10 {
            *scratch = Vec::new();
        }
        blob
    }

    /// Puts other data of the same length in place, if nobody else holds this blob. No change and
    /// false otherwise.
    pub(super) fn overwrite(&mut self, data: &[u8]) -> bool {
        if self.data().is_none_or(|old| old.len() != data.len()) {
            return false;
        }
        let start = self.name_range().end;
        self.0.with_arc_mut(|arc| match Arc::get_mut(arc) {
            Some(whole) => {
                whole.slice_mut()[start..].copy_from_slice(data);
                true
            }
            None => false,
        })
    }

    fn name_range(&self) -> std::ops::Range<usize> {
        let bytes = &self.0.slice;
        match bytes[0] & !TAG_NULL {
            TAG_LONG => {
                let len = u32::from_le_bytes(bytes[1..5].try_into().expect("four bytes"));
                5..5 + len as usize
            }
            len => 1..1 + usize::from(len),
        }
    }

    /// The name as bytes.
    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.0.slice[self.name_range()]
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(self.name_bytes()).expect("names are made from strings")
    }

    /// The data; null and empty differ.
    pub(super) fn data(&self) -> Option<&[u8]> {
        let bytes = &self.0.slice;
        (bytes[0] & TAG_NULL == 0).then(|| &bytes[self.name_range().end..])
    }

    /// Length of the data, 0 if null.
    pub(super) fn data_len(&self) -> usize {
        self.0.slice.len() - self.name_range().end
    }

    /// Bytes of the whole allocation, without the allocator's own.
    pub(super) fn size(&self) -> usize {
        2 * size_of::<usize>() + self.0.slice.len()
    }
}

/// What every znode has.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Slot {
    pub(super) czxid: i64,
    pub(super) mzxid: i64,
    pub(super) ctime: i64,
    pub(super) mtime: i64,
    /// `None`: the slot is free.
    blob: Option<Blob>,
    pub(super) version: i32,
    pub(super) parent: NodeId,
    /// Index of this znode in its parent's list of children.
    pub(super) position: u32,
    pub(super) acl: AclRef,
    /// Cached digest.
    pub(super) digest: u32,
    /// Index of the [`Rare`] record, 0 for none.
    rare: u32,
}

const _: () = assert!(size_of::<Slot>() == 64, "a slot is one cache line");

impl Slot {
    /// Name and data.
    pub(super) fn blob(&self) -> &Blob {
        self.blob.as_ref().expect("only live ids are followed")
    }

    /// Sets the data, in place if that is possible.
    pub(super) fn set_data(&mut self, data: Option<&[u8]>, scratch: &mut Vec<u8>) {
        let blob = self.blob.as_mut().expect("only live ids are followed");
        if !data.is_some_and(|data| blob.overwrite(data)) {
            *blob = Blob::new(blob.name_bytes(), data, scratch);
        }
    }

    pub(super) fn set_blob(&mut self, blob: Blob) {
        self.blob = Some(blob);
    }

    pub(super) fn is_live(&self) -> bool {
        self.blob.is_some()
    }
}

/// What few znodes have. Without one: no children, no owner, pzxid = czxid, versions 0.
#[derive(Debug, Default)]
pub(super) struct Rare {
    pub(super) children: Vec<NodeId>,
    pub(super) pzxid: i64,
    pub(super) owner: i64,
    pub(super) cversion: i32,
    pub(super) aversion: i32,
}

/// All znodes.
#[derive(Debug)]
pub(super) struct Nodes {
    slots: Pages<Slot>,
    rares: Pages<Rare>,
    free_slots: Vec<NodeId>,
    free_rares: Vec<u32>,
    live: usize,
}

impl Nodes {
    pub(super) fn new() -> Self {
        let mut rares = Pages::default();
        rares.push(Rare::default());
        Self {
            slots: Pages::default(),
            rares,
            free_slots: Vec::new(),
            free_rares: Vec::new(),
            live: 0,
        }
    }

    /// Number of znodes.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    /// One above the highest id ever used.
    pub(super) fn id_end(&self) -> NodeId {
        self.slots.len as NodeId
    }

    /// Number of ids that can still be given out.
    pub(super) fn is_full(&self) -> bool {
        self.free_slots.is_empty() && self.slots.len >= u32::MAX as usize - 1
    }

    /// True if there is a znode with this id.
    pub(super) fn is_live(&self, id: NodeId) -> bool {
        (id as usize) < self.slots.len && self.get(id).is_live()
    }

    pub(super) fn get(&self, id: NodeId) -> &Slot {
        self.slots.get(id)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> &mut Slot {
        self.slots.get_mut(id)
    }

    pub(super) fn rare(&self, id: NodeId) -> Option<&Rare> {
        match self.get(id).rare {
            0 => None,
            rare => Some(self.rares.get(rare)),
        }
    }

    /// The rare record, made if there is none.
    pub(super) fn rare_mut(&mut self, id: NodeId) -> &mut Rare {
        let slot = self.slots.get_mut(id);
        if slot.rare == 0 {
            let fresh = Rare { pzxid: slot.czxid, ..Rare::default() };
            slot.rare = match self.free_rares.pop() {
                Some(index) => {
                    *self.rares.get_mut(index) = fresh;
                    index
                }
                None => self.rares.push(fresh),
            };
        }
        self.rares.get_mut(slot.rare)
    }

    /// A new znode without parent. The slot is zero but for its blob.
    pub(super) fn allocate(&mut self, blob: Blob) -> NodeId {
        assert!(!self.is_full(), "no znode ids left");
        self.live += 1;
        let slot = Slot { blob: Some(blob), ..Slot::default() };
        match self.free_slots.pop() {
            Some(id) => {
                *self.slots.get_mut(id) = slot;
                id
            }
            None => self.slots.push(slot),
        }
    }

    /// Frees a znode.
    pub(super) fn free(&mut self, id: NodeId) {
        let slot = std::mem::take(self.slots.get_mut(id));
        if slot.rare != 0 {
            *self.rares.get_mut(slot.rare) = Rare::default();
            self.free_rares.push(slot.rare);
        }
        self.live -= 1;
        self.free_slots.push(id);
    }

    /// Bytes requested for pages.
    pub(super) fn page_bytes(&self) -> usize {
        self.slots.pages.len() * PAGE * size_of::<Slot>()
            + self.rares.pages.len() * PAGE * size_of::<Rare>()
    }

    // The stored stat.

    pub(super) fn persisted(&self, id: NodeId) -> StatPersisted {
        let slot = self.get(id);
        let mut stat = StatPersisted {
            czxid: slot.czxid,
            mzxid: slot.mzxid,
            ctime: slot.ctime,
            mtime: slot.mtime,
            version: slot.version,
            pzxid: slot.czxid,
            ..StatPersisted::default()
        };
        if let Some(rare) = self.rare(id) {
            stat.pzxid = rare.pzxid;
            stat.cversion = rare.cversion;
            stat.aversion = rare.aversion;
            stat.ephemeral_owner = rare.owner;
        }
        stat
    }

    /// Sets every field of the stored stat.
    pub(super) fn set_persisted(&mut self, id: NodeId, stat: &StatPersisted) {
        let slot = self.get_mut(id);
        slot.czxid = stat.czxid;
        slot.mzxid = stat.mzxid;
        slot.ctime = stat.ctime;
        slot.mtime = stat.mtime;
        slot.version = stat.version;
        let ordinary = stat.pzxid == stat.czxid
            && (stat.cversion, stat.aversion, stat.ephemeral_owner) == (0, 0, 0);
        if slot.rare != 0 || !ordinary {
            let rare = self.rare_mut(id);
            rare.pzxid = stat.pzxid;
            rare.cversion = stat.cversion;
            rare.aversion = stat.aversion;
            rare.owner = stat.ephemeral_owner;
        }
    }

    /// The stat as clients see it (`DataNode.copyStat`). The stored cversion counts creates only;
    /// clients see creates and deletes. `owner` is what clients may see of it.
    pub(super) fn stat(&self, id: NodeId, owner: i64) -> Stat {
        let stored = self.persisted(id);
        let children = self.children(id).len() as i32;
        Stat {
            czxid: stored.czxid,
            mzxid: stored.mzxid,
            ctime: stored.ctime,
            mtime: stored.mtime,
            version: stored.version,
            cversion: stored.cversion.wrapping_mul(2).wrapping_sub(children),
            aversion: stored.aversion,
            ephemeral_owner: owner,
            data_length: self.get(id).blob().data_len() as i32,
            num_children: children,
            pzxid: stored.pzxid,
        }
    }

    // Paths.

    /// Appends the path; nothing for the root.
    pub(super) fn push_path(&self, id: NodeId, out: &mut String) {
        let mut chain = Vec::with_capacity(16);
        let mut at = id;
        while at != ROOT {
            chain.push(at);
            at = self.get(at).parent;
        }
        for id in chain.into_iter().rev() {
            out.push('/');
            out.push_str(self.get(id).blob().name());
        }
    }

    /// Calls `use_path` with the bytes of the path. Short paths need no allocation.
    pub(super) fn with_path<R>(&self, id: NodeId, use_path: impl FnOnce(&[u8]) -> R) -> R {
        let mut buffer = [0u8; 256];
        let mut start = buffer.len();
        let mut at = id;
        while at != ROOT {
            let slot = self.get(at);
            let name = slot.blob().name_bytes();
            if name.len() + 1 > start {
                let mut path = String::new();
                self.push_path(id, &mut path);
                return use_path(path.as_bytes());
            }
            buffer[start - name.len()..start].copy_from_slice(name);
            start -= name.len() + 1;
            buffer[start] = b'/';
            at = slot.parent;
        }
        use_path(&buffer[start..])
    }

    /// True if two znodes, none of them the root, have the same path: parent and name are equal.
    pub(super) fn are_namesakes(&self, a: NodeId, b: NodeId) -> bool {
        let (a, b) = (self.get(a), self.get(b));
        a.parent == b.parent && a.blob().name_bytes() == b.blob().name_bytes()
    }

    /// True if `path` is the path of this znode. Compares names from the last one backwards.
    pub(super) fn is_at(&self, id: NodeId, path: &[u8]) -> bool {
        let mut rest = path;
        let mut at = id;
        while at != ROOT {
            let slot = self.get(at);
            let Some(left) = rest.strip_suffix(slot.blob().name_bytes()) else { return false };
            let Some(left) = left.strip_suffix(b"/") else { return false };
            rest = left;
            at = slot.parent;
        }
        rest.is_empty()
    }
}

/// A growing array whose items never move.
#[derive(Debug)]
struct Pages<T> {
    pages: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> Pages<T> {
    fn push(&mut self, item: T) -> u32 {
        if self.len == self.pages.len() * PAGE {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let last = self.pages.last_mut().expect("a page was just made if there was none");
        last.push(item);
        self.len += 1;
        u32::try_from(self.len - 1).expect("callers keep below 2^32 items")
    }

    fn get(&self, index: u32) -> &T {
        &self.pages[index as usize / PAGE][index as usize % PAGE]
    }

    fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.pages[index as usize / PAGE][index as usize % PAGE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_keep_name_and_data_apart() {
        let mut scratch = Vec::new();
        for name_len in [0, 1, 126, 127, 128, 300, 70_000] {
            let name = "n".repeat(name_len);
            for data in [None, Some(&b""[..]), Some(&b"value"[..])] {
                let blob = Blob::new(name.as_bytes(), data, &mut scratch);
                assert_eq!(blob.name(), name);
                assert_eq!(blob.data(), data);
                assert_eq!(blob.data_len(), data.unwrap_or_default().len());
            }
        }
    }

    #[test]
    fn only_a_blob_of_ones_own_is_overwritten() {
        let mut blob = Blob::new(b"name", Some(b"data"), &mut Vec::new());
        assert!(blob.overwrite(b"more"));
        assert_eq!((blob.name(), blob.data()), ("name", Some(&b"more"[..])));
        assert!(!blob.overwrite(b"longer"));
        let other = blob.clone();
        assert!(!blob.overwrite(b"less"));
        drop(other);
        assert!(blob.overwrite(b"less"));
        assert!(!Blob::new(b"name", None, &mut Vec::new()).overwrite(b""));
    }

    #[test]
    fn slots_and_rare_records_are_reused() {
        let mut nodes = Nodes::new();
        let blob = |name: &str| Blob::new(name.as_bytes(), None, &mut Vec::new());
        let a = nodes.allocate(blob("a"));
        let b = nodes.allocate(blob("b"));
        nodes.rare_mut(b).owner = 7;
        nodes.free(a);
        assert_eq!(nodes.allocate(blob("c")), a);
        nodes.free(b);
        let again = nodes.allocate(blob("d"));
        assert_eq!((again, nodes.persisted(again).ephemeral_owner), (b, 0));
        assert_eq!((nodes.len(), nodes.id_end()), (2, 2));
    }
}
