//! Lists of children: ids in the parent, the position in the child.
//!
//! Adding appends. Removing moves the last child into the gap; a cut relies on exactly that, see
//! `cut`.

use super::node::{NodeId, Nodes};

/// Lists above this length give memory back when they are mostly empty.
const SHRINK_ABOVE: usize = 64;

impl Nodes {
    /// Ids of the children.
    pub(super) fn children(&self, id: NodeId) -> &[NodeId] {
        self.rare(id).map_or(&[], |rare| &rare.children)
    }

    /// Makes `child` the last child of `parent`.
    pub(super) fn link(&mut self, parent: NodeId, child: NodeId) {
        let list = &mut self.rare_mut(parent).children;
        let position = list.len() as u32;
        list.push(child);
        let slot = self.get_mut(child);
        slot.parent = parent;
        slot.position = position;
    }

    /// Takes `child` out of its parent's list.
    pub(super) fn unlink(&mut self, child: NodeId) {
        let (parent, position) = {
            let slot = self.get(child);
            (slot.parent, slot.position)
        };
        let list = &mut self.rare_mut(parent).children;
        let removed = list.swap_remove(position as usize);
        debug_assert_eq!(removed, child, "position of a child");
        if list.capacity() > SHRINK_ABOVE && list.len() < list.capacity() / 4 {
            list.shrink_to(list.len() * 2);
        }
        if let Some(moved) = list.get(position as usize).copied() {
            self.get_mut(moved).position = position;
        }
    }

    /// `id` and everything below it, parents first.
    pub(super) fn subtree(&self, id: NodeId) -> Subtree<'_> {
        Subtree { nodes: self, stack: vec![id] }
    }
}

/// Depth-first walk, parents first.
pub(super) struct Subtree<'a> {
    nodes: &'a Nodes,
    stack: Vec<NodeId>,
}

impl Iterator for Subtree<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        let id = self.stack.pop()?;
        self.stack.extend_from_slice(self.nodes.children(id));
        Some(id)
    }
}
