//! A znode as readers see it.

use jute::data::{Stat, StatPersisted};

use super::node::{Blob, NodeId, ROOT, Slot};
use super::{AclList, DataTree, Owner};

/// A znode, borrowed from the tree.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a DataTree,
    slot: &'a Slot,
    id: NodeId,
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("path", &self.path()).field("stat", &self.stat()).finish()
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(tree: &'a DataTree, id: NodeId) -> Self {
        Self { tree, slot: tree.nodes.get(id), id }
    }

    /// Where it is: a hint that makes the next look-up of the same path cheap.
    pub fn place(self) -> u32 {
        self.id
    }

    /// Last part of the path; empty for the root.
    pub fn name(self) -> &'a str {
        self.slot.blob().name()
    }

    /// Full path; `/` for the root.
    pub fn path(self) -> String {
        if self.id == ROOT {
            return "/".to_owned();
        }
        let mut path = String::new();
        self.tree.nodes.push_path(self.id, &mut path);
        path
    }

    /// The parent; `None` for the root.
    pub fn parent(self) -> Option<Node<'a>> {
        (self.id != ROOT).then(|| Node::new(self.tree, self.slot.parent))
    }

    /// The data; null and empty differ.
    pub fn data(self) -> Option<&'a [u8]> {
        self.slot.blob().data()
    }

    /// The data, counted: lives on after the tree changed.
    pub fn shared_data(self) -> NodeData {
        NodeData(self.slot.blob().clone())
    }

    /// The access control list. A list lost in a fuzzy snapshot reads as one entry without any
    /// permission: only a super user passes until replay repairs it.
    pub fn acl(self) -> &'a AclList {
        self.tree.acls.list(self.slot.acl)
    }

    /// The metadata as clients see it (`DataNode.copyStat`).
    pub fn stat(self) -> Stat {
        self.tree.stat(self.id)
    }

    /// The metadata as stored.
    pub fn persisted(self) -> StatPersisted {
        self.tree.nodes.persisted(self.id)
    }

    /// Who owns it.
    pub fn owner(self) -> Owner {
        self.tree.owner(self.id)
    }

    /// Version of the data.
    pub fn version(self) -> i32 {
        self.slot.version
    }

    /// Version of the ACL.
    pub fn aversion(self) -> i32 {
        self.tree.nodes.rare(self.id).map_or(0, |rare| rare.aversion)
    }

    /// The *stored* cversion: creates of children, what sequence numbers count.
    pub fn cversion(self) -> i32 {
        self.tree.nodes.rare(self.id).map_or(0, |rare| rare.cversion)
    }

    /// Number of children.
    pub fn num_children(self) -> usize {
        self.tree.nodes.children(self.id).len()
    }

    /// Names of the children, in no order a client may rely on (but never hash order).
    pub fn children(self) -> impl ExactSizeIterator<Item = &'a str> + 'a {
        let nodes = &self.tree.nodes;
        nodes.children(self.id).iter().map(|child| nodes.get(*child).blob().name())
    }

    /// The children themselves, in the same order.
    pub fn child_nodes(self) -> impl ExactSizeIterator<Item = Node<'a>> + 'a {
        let tree = self.tree;
        tree.nodes.children(self.id).iter().map(|child| Node::new(tree, *child))
    }

    /// The cached digest; 0 below `/zookeeper/` and if digests are off.
    pub fn digest(self) -> u32 {
        self.slot.digest
    }
}

/// A znode's data, counted.
#[derive(Debug, Clone)]
pub struct NodeData(Blob);

impl NodeData {
    /// The bytes; null and empty differ.
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.0.data()
    }
}
