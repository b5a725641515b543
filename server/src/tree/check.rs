//! The full walk that every index is compared with (`OWNERS-MATCH`).

use std::collections::BTreeMap;

use super::acl_table::OPEN;
use super::apply::node_size;
use super::node::{NodeId, ROOT};
use super::owners::Owners;
use super::{DataTree, node_digest};

impl DataTree {
    /// Verifies every index, count, size and digest by a full walk (`OWNERS-MATCH`). For tests and
    /// tools: it visits all znodes.
    pub fn check(&self) -> Result<(), String> {
        let mut owners = Owners::default();
        let mut uses = BTreeMap::new();
        let (mut count, mut size, mut digest) = (0, 1, 0i64);
        let mut path = String::new();
        for id in self.nodes.subtree(ROOT) {
            path.clear();
            self.nodes.push_path(id, &mut path);
            self.check_place(id, &path)?;
            let slot = self.nodes.get(id);
            let data = slot.blob().data();
            let stat = self.nodes.persisted(id);
            let expected = match self.options.digest_enabled {
                true => node_digest(&path, data, &stat),
                false => 0,
            };
            ensure(slot.digest == expected, || format!("{path}: cached digest is stale"))?;
            owners.insert(id, self.owner(id));
            if slot.acl != OPEN {
                *uses.entry(slot.acl).or_insert(0) += 1;
            }
            count += 1;
            size += node_size(&path, data);
            digest = digest.wrapping_add(i64::from(expected));
        }
        ensure(count == self.nodes.len(), || format!("{count} znodes, not {}", self.nodes.len()))?;
        ensure(count == self.index.len() + 1, || "index has strangers".to_owned())?;
        ensure(size == self.data_size, || format!("data size {size}, not {}", self.data_size))?;
        ensure(digest == self.digest, || format!("digest {digest}, not {}", self.digest))?;
        ensure(owners == self.owners, || "owner indexes differ".to_owned())?;
        self.acls.check(&uses)
    }

    /// The znode is where the index and its parent say.
    fn check_place(&self, id: NodeId, path: &str) -> Result<(), String> {
        ensure(self.nodes.get(id).is_live(), || format!("{path}: a free slot is linked"))?;
        ensure(self.lookup(path) == Some(id), || format!("{path}: not in the index"))?;
        for (position, child) in self.nodes.children(id).iter().enumerate() {
            let slot = self.nodes.get(*child);
            ensure(slot.parent == id && slot.position as usize == position, || {
                format!("{path}: child {position} is linked badly")
            })?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
