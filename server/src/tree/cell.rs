//! The lock around the tree: many readers, one writer, told apart by type.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::DataTree;

/// Puts a tree into a cell. There is exactly one writer.
pub fn cell(tree: DataTree) -> (TreeWriter, TreeReader) {
    let cell = Arc::new(RwLock::new(tree));
    (TreeWriter(cell.clone()), TreeReader(cell))
}

/// May look. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TreeReader(Arc<RwLock<DataTree>>);

impl TreeReader {
    /// Waits for a writer at most. Do not nest: a second guard of the same thread can deadlock
    /// behind a waiting writer.
    pub fn read(&self) -> RwLockReadGuard<'_, DataTree> {
        self.0.read()
    }
}

/// May change the tree. Not `Clone`: who holds it is the only one.
#[derive(Debug)]
pub struct TreeWriter(Arc<RwLock<DataTree>>);

impl TreeWriter {
    /// Waits for readers.
    pub fn write(&mut self) -> RwLockWriteGuard<'_, DataTree> {
        self.0.write()
    }

    /// Read access without exclusion of other readers.
    pub fn read(&self) -> RwLockReadGuard<'_, DataTree> {
        self.0.read()
    }

    /// Another reader of the same tree.
    pub fn reader(&self) -> TreeReader {
        TreeReader(self.0.clone())
    }

    /// Puts another tree in place, cancels every open cut, and returns the old tree.
    pub fn replace(&mut self, tree: DataTree) -> DataTree {
        let mut guard = self.0.write();
        guard.cancel_cuts();
        std::mem::replace(&mut *guard, tree)
    }
}
