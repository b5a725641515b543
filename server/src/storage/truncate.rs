//! TRUNC: takes back what this server logged and the ensemble never committed.
//!
//! Java cuts behind the first transaction *at or above* the target, so that one too many survives
//! if the target is missing, and leaves newer snapshots, which bring everything back at the next
//! start (ZOOKEEPER-1549). Here the history up to the target is proved complete first; then newer
//! snapshots go, then newer logs, newest first, and the cut comes last, each step durable. A crash
//! in between leaves a longer or equal history, never one with a hole.

use std::path::Path;
use std::sync::Arc;

use super::datadir::names;
use super::snapshot::reader as snapshots;
use super::snapshot::writer::SnapshotFile;
use super::txnlog::format::HEADER_BYTES;
use super::txnlog::reader::{LogFile, TxnLogReader, zxid_of};
use super::{DataDirs, Durable, Options, StorageError};
use crate::base::Zxid;

/// Makes `target` the last transaction on disk; durable on return. Restore again afterwards, and
/// tell the writer ([`super::TxnLogWriter::restart_behind`]), whose file must not be open with
/// pending transactions.
///
/// # Errors
/// [`StorageError::Truncate`] if the history on this disk has no such transaction or no snapshot to
/// start from; nothing was changed then, and the caller asks the leader for a snapshot.
pub fn truncate(
    dirs: &Arc<DataDirs>,
    options: &Options,
    target: Zxid,
) -> Result<Durable, StorageError> {
    prove(dirs, options, target)?;
    discard_behind(dirs, options, target)
}

/// Removes every transaction and snapshot behind `target`, whether or not `target` itself is here.
fn discard_behind(
    dirs: &Arc<DataDirs>,
    options: &Options,
    target: Zxid,
) -> Result<Durable, StorageError> {
    let newer: Vec<_> = dirs.snapshots()?.into_iter().filter(|f| f.zxid > target).collect();
    for found in newer.iter().rev() {
        remove(dirs, &found.path)?;
    }
    dirs.sync_dir(dirs.snapshot_dir())?;
    let (older, newer): (Vec<_>, Vec<_>) = dirs.logs()?.into_iter().partition(|f| f.zxid <= target);
    for found in newer.iter().rev() {
        remove(dirs, &found.path)?;
    }
    dirs.sync_dir(dirs.log_dir())?;
    // Any older file can reach beyond the target: copies of logs, and what Java left after a SNAP.
    for found in older.iter().rev() {
        let (end, behind) = end_of(dirs, options, &found.path, target)?;
        if behind {
            let path = &found.path;
            let file =
                dirs.disk().open_write(path).map_err(|e| StorageError::io("open", path, e))?;
            file.set_len(end).map_err(|e| StorageError::io("truncate", path, e))?;
            file.sync_all().map_err(|e| StorageError::io("fsync", path, e))?;
        }
    }
    Ok(Durable(target))
}

/// Takes over a snapshot received from the leader by SNAP, written with
/// [`super::write_snapshot`] from the tree it was loaded into. Durable on return; after it
/// NEWLEADER may be acknowledged (`LOG-COVERS-SNAPSHOT`).
///
/// The snapshot gets its name first, so that at no point of a crash there is less history on this
/// disk than before or than the leader's. Then everything behind it goes, which the leader does not
/// have; Java leaves that, and the next start brings it back. Last, the older files get names that
/// no restore and no DIFF reads: they may hold what the ensemble never committed (ZOOKEEPER-2846,
/// 4837). [`super::purge`] deletes them with the snapshot that replaced them.
pub fn adopt_snapshot(
    dirs: &Arc<DataDirs>,
    options: &Options,
    snapshot: SnapshotFile,
) -> Result<Durable, StorageError> {
    let durable = Durable::by_received_snapshot(snapshot.zxid());
    let published = snapshot.publish(durable)?;
    discard_behind(dirs, options, durable.zxid())?;
    put_aside(dirs, durable.zxid(), &published)?;
    Ok(durable)
}

/// Renames every snapshot and log but `published`.
fn put_aside(dirs: &Arc<DataDirs>, zxid: Zxid, published: &Path) -> Result<(), StorageError> {
    let old = dirs.snapshots()?.into_iter().chain(dirs.logs()?);
    for found in old.filter(|found| found.path != published) {
        let name = found.path.file_name().unwrap_or_default().to_string_lossy();
        let aside = format!("{}{:x}.{name}", names::REPLACED_BY, zxid.0);
        dirs.disk()
            .rename(&found.path, &found.path.with_file_name(aside))
            .map_err(|e| StorageError::io("put aside", &found.path, e))?;
    }
    dirs.sync_dir(dirs.snapshot_dir())?;
    dirs.sync_dir(dirs.log_dir())
}

/// Is there a valid snapshot at or below the target, and a log from it to the target without a gap?
fn prove(dirs: &Arc<DataDirs>, options: &Options, target: Zxid) -> Result<(), StorageError> {
    let fail = |reason: String| Err(StorageError::Truncate { target, reason });
    let mut base = None;
    for found in dirs.snapshots()?.into_iter().rev().filter(|f| f.zxid <= target) {
        match snapshots::verify(dirs.disk(), &found.path, options.field_max) {
            Ok(_) => {
                base = Some(found.zxid);
                break;
            }
            Err(StorageError::CorruptSnapshot { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    let Some(base) = base else {
        return fail("there is no valid snapshot at or below it".to_owned());
    };
    let mut reader = TxnLogReader::open(dirs, options.field_max, base, true)?;
    let mut last = base;
    while last < target {
        let next = match reader.next_logged() {
            Err(e @ (StorageError::Gap { .. } | StorageError::CorruptLog { .. })) => {
                return fail(e.to_string());
            }
            other => other?,
        };
        match next {
            Some(logged) if logged.zxid <= target => last = logged.zxid,
            Some(logged) => {
                return fail(format!("the log goes from {last} to {}", logged.zxid));
            }
            None => return fail(format!("the log ends at {last}")),
        }
    }
    Ok(())
}

/// Where the first transaction behind `target` starts, and whether there is one.
fn end_of(
    dirs: &DataDirs,
    options: &Options,
    path: &Path,
    target: Zxid,
) -> Result<(u64, bool), StorageError> {
    let mut log = LogFile::open(dirs.disk(), path, options.field_max)?;
    while let Some(entry) = log.next_entry()? {
        if zxid_of(entry.payload).is_some_and(|zxid| zxid > target) {
            return Ok((entry.offset.max(HEADER_BYTES as u64), true));
        }
    }
    Ok((log.position(), false))
}

fn remove(dirs: &DataDirs, path: &Path) -> Result<(), StorageError> {
    dirs.disk().remove(path).map_err(|e| StorageError::io("remove", path, e))
}
