//! Deletes what no retained snapshot and no running sync needs (`PurgeTxnLog`, `PURGE-SAFE`).

use std::path::PathBuf;

use super::{DataDirs, StorageError};
use crate::base::Zxid;

/// Fewest snapshots that may be kept.
pub const RETAIN_MIN: usize = 3;

/// Deletes old logs and snapshots. `pins`: zxids from which a running sync still reads the log.
/// Returns what was deleted.
pub fn purge(dirs: &DataDirs, retain: usize, pins: &[Zxid]) -> Result<Vec<PathBuf>, StorageError> {
    let _ = (dirs, retain, pins);
    unimplemented!("published ahead of its body")
}
