//! Writes snapshots: under a temporary name, synced, and only then published.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{SessionId, Zxid};
use crate::storage::{DataDirs, Durable, SnapshotOptions, StorageError};
use crate::tree::cell::TreeReader;
use crate::tree::cut::Cut;
use crate::tree::{AclList, ZxidDigest};

/// The state to write. [`CutSource`] is the one the server uses.
pub trait SnapshotSource {
    /// The zxid of the state.
    fn zxid(&self) -> Zxid;
    /// Digest of the last transaction in it.
    fn digest(&self) -> Option<ZxidDigest>;
    /// Sessions with their timeouts in ms.
    fn sessions(&self) -> &[(SessionId, i32)];
    /// The ACL map.
    fn acls(&self) -> &[(i64, AclList)];
    /// Appends the next node records, see [`Cut::next_batch`]; false when there are no more.
    fn next_batch(&mut self, out: &mut Vec<u8>) -> Result<bool, StorageError>;
}

/// A cut and the reader of its tree.
pub struct CutSource {
    /// The exact view.
    pub cut: Cut,
    /// The tree it was opened on.
    pub reader: TreeReader,
}

impl SnapshotSource for CutSource {
    fn zxid(&self) -> Zxid {
        self.cut.zxid()
    }
    fn digest(&self) -> Option<ZxidDigest> {
        self.cut.last_digest()
    }
    fn sessions(&self) -> &[(SessionId, i32)] {
        self.cut.sessions()
    }
    fn acls(&self) -> &[(i64, AclList)] {
        self.cut.acls()
    }
    fn next_batch(&mut self, out: &mut Vec<u8>) -> Result<bool, StorageError> {
        self.cut
            .next_batch(&self.reader, out)
            .map_err(|e| StorageError::Cancelled(format!("snapshot: {e}")))
    }
}

/// A complete, synced snapshot under a temporary name. Dropping it unpublished removes it.
#[derive(Debug)]
pub struct SnapshotFile {
    dirs: Arc<DataDirs>,
    temporary: Option<PathBuf>,
    name: String,
    zxid: Zxid,
    bytes: u64,
}

/// Writes the state to a temporary file and syncs it. Takes as long as the disk needs; holds no
/// lock of the tree beyond one batch.
pub fn write_snapshot(
    dirs: &Arc<DataDirs>,
    options: &SnapshotOptions,
    source: &mut dyn SnapshotSource,
) -> Result<SnapshotFile, StorageError> {
    let _ = (dirs, options, source);
    unimplemented!("published ahead of its body")
}

impl SnapshotFile {
    /// The zxid of its state.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file, for as long as it is not published.
    pub fn path(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    /// Gives the file its name; durable on return. `log` proves that the log covers it
    /// (`LOG-COVERS-SNAPSHOT`): wait for that proof, do not make one up.
    ///
    /// # Errors
    /// [`StorageError::NotCovered`] if the proof does not reach the snapshot's zxid.
    pub fn publish(self, log: Durable) -> Result<PathBuf, StorageError> {
        let _ = (&self.dirs, &self.name, log);
        unimplemented!("published ahead of its body")
    }
}
