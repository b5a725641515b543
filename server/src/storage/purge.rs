//! Deletes what no retained snapshot and no running sync needs (`PurgeTxnLog`, `PURGE-SAFE`).
//!
//! Java counts snapshots that *look* complete; a half-written compressed one does. Here only those
//! count that were read through every checksum. Java also deletes `log.` and `snapshot.` files
//! whose names hold no zxid; here they stay.

use std::path::PathBuf;
use std::sync::Arc;

use super::snapshot::reader;
use super::{DataDirs, StorageError};
use crate::base::Zxid;

/// Fewest snapshots that may be kept; a smaller `autopurge.snapRetainCount` is raised to it.
pub const RETAIN_MIN: usize = 3;

/// What a purge did.
#[derive(Debug, Default)]
pub struct Purged {
    /// Deleted, in this order.
    pub deleted: Vec<PathBuf>,
    /// Could not be deleted, and why.
    pub failed: Vec<StorageError>,
}

/// What may be deleted, each list oldest first.
#[derive(Debug, Default)]
pub struct Plan {
    /// Snapshots.
    pub snapshots: Vec<PathBuf>,
    /// Logs.
    pub logs: Vec<PathBuf>,
    /// Files that a snapshot received from the leader replaced.
    pub replaced: Vec<PathBuf>,
}

impl Plan {
    /// All of them, in the order in which they go.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.snapshots.iter().chain(&self.logs).chain(&self.replaced)
    }
}

/// Finds what is not needed. `retain` is raised to [`RETAIN_MIN`]; with fewer valid snapshots than
/// that the oldest of them counts. Without any nothing is deleted.
///
/// `pins`: zxids from which a running sync still reads the log.
pub fn plan(
    dirs: &DataDirs,
    field_max: usize,
    retain: usize,
    pins: &[Zxid],
) -> Result<Plan, StorageError> {
    let retain = retain.max(RETAIN_MIN);
    let snapshots = dirs.snapshots()?;
    let mut oldest_kept = None;
    let mut kept = 0;
    for found in snapshots.iter().rev() {
        match reader::verify(dirs.disk(), &found.path, field_max) {
            Ok(_) => {
                kept += 1;
                oldest_kept = Some(found.zxid);
            }
            Err(StorageError::CorruptSnapshot { .. }) => {}
            Err(e) => return Err(e),
        }
        if kept == retain {
            break;
        }
    }
    let Some(oldest_kept) = oldest_kept else { return Ok(Plan::default()) };

    // Whoever reads the log from here on needs the file that holds the next transaction, and that
    // may be the newest one named at or below it (ZOOKEEPER-2420, 2574).
    let needed_from = pins.iter().copied().fold(oldest_kept, Zxid::min);
    let logs = dirs.logs()?;
    let first_needed =
        logs.iter().map(|f| f.zxid).filter(|z| *z <= needed_from).max().unwrap_or(needed_from);
    let logs = logs.into_iter().filter(|f| f.zxid < first_needed);
    let snapshots = snapshots.into_iter().filter(|f| f.zxid < oldest_kept);
    // No restore reads them, and the snapshot that replaced them was read through just now, or a
    // newer one.
    let replaced = dirs.replaced()?.into_iter().filter(|f| f.zxid <= oldest_kept);
    Ok(Plan {
        snapshots: snapshots.map(|f| f.path).collect(),
        logs: logs.map(|f| f.path).collect(),
        replaced: replaced.map(|f| f.path).collect(),
    })
}

/// Carries out [`plan`]. Snapshots go first, durably: an old snapshot must never outlive the log
/// that continues it. If one of them cannot be deleted, no log is.
pub fn purge(
    dirs: &Arc<DataDirs>,
    field_max: usize,
    retain: usize,
    pins: &[Zxid],
) -> Result<Purged, StorageError> {
    let plan = plan(dirs, field_max, retain, pins)?;
    let mut purged = Purged::default();
    purged.delete(dirs, plan.snapshots);
    if !purged.deleted.is_empty() {
        dirs.sync_dir(dirs.snapshot_dir())?;
    }
    if purged.failed.is_empty() {
        purged.delete(dirs, plan.logs);
    }
    purged.delete(dirs, plan.replaced);
    Ok(purged)
}

impl Purged {
    /// One that cannot be deleted does not stop the others, as in Java.
    fn delete(&mut self, dirs: &DataDirs, paths: Vec<PathBuf>) {
        for path in paths {
            match dirs.disk().remove(&path) {
                Ok(()) => self.deleted.push(path),
                Err(e) => self.failed.push(StorageError::io("delete", &path, e)),
            }
        }
    }
}
