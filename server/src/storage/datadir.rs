//! The directories: layout, checks at start, lock, `myid`, `initialize`, epoch files.
//!
//! ```text
//! dataDir/myid                        this server's id            (operator)
//! dataDir/version-2/snapshot.<zxid>   snapshots
//! dataDir/version-2/currentEpoch      epoch of the history        (quorum only)
//! dataDir/version-2/acceptedEpoch     highest epoch promised      (quorum only)
//! dataDir/version-2/emptied           found empty, not whole yet: no vote    (ours alone)
//! dataLogDir/initialize               an empty database may vote  (operator, one use)
//! dataLogDir/version-2/log.<zxid>     transaction logs
//! ```
//!
//! Small files change by write, sync, rename, sync of the directory (`FILE-SWAP`). Files in the
//! making have names that no Java reader takes for a log or a snapshot ([`names`]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::{Epoch, Sid, Zxid};
use crate::storage::disk::{Disk, Entry, LockGuard, read_small};
use crate::storage::{Options, StorageError};

/// File names and what they say (`Util`).
pub mod names {
    use crate::base::Zxid;

    /// The directory that holds everything binary.
    pub const VERSION_DIR: &str = "version-2";
    /// Prefix of logs.
    pub const LOG: &str = "log";
    /// Prefix of snapshots.
    pub const SNAPSHOT: &str = "snapshot";
    /// Prefix of a log before its first batch is durable.
    pub const NEW_LOG: &str = "new-log.";
    /// Prefix of a snapshot in the making.
    pub const NEW_SNAPSHOT: &str = "new-snapshot.";
    /// Prefix of a snapshot or log that a snapshot received from the leader has replaced; the zxid
    /// of that one and the old name follow.
    pub const REPLACED_BY: &str = "replaced-by-";
    /// Epoch of the history on disk.
    pub const CURRENT_EPOCH: &str = "currentEpoch";
    /// Highest epoch this server promised to follow.
    pub const ACCEPTED_EPOCH: &str = "acceptedEpoch";

    /// Says that this directory was found empty without anybody vouching for that, and has not
    /// held a leader's whole history since.
    pub const EMPTIED: &str = "emptied";

    /// Name of the log that begins with `first`.
    pub fn log(first: Zxid) -> String {
        format!("{LOG}.{:x}", first.0)
    }

    /// Name of the snapshot of `zxid`; `suffix` is empty, `.gz` or `.snappy`.
    pub fn snapshot(zxid: Zxid, suffix: &str) -> String {
        format!("{SNAPSHOT}.{:x}{suffix}", zxid.0)
    }

    /// The zxid in a name, as `Util.getZxidFromName`: parts behind the second are ignored, so
    /// `log.46.fixed` is a log of 0x46; hex above 63 bits does not parse.
    pub fn zxid(name: &str, prefix: &str) -> Option<Zxid> {
        let mut parts = name.split('.');
        if parts.next() != Some(prefix) {
            return None;
        }
        i64::from_str_radix(parts.next()?, 16).ok().map(Zxid)
    }
}

/// A log or snapshot found in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub path: PathBuf,
    /// Last part of the path.
    pub name: String,
    /// The zxid in its name.
    pub zxid: Zxid,
    /// Length in bytes, padding included.
    pub len: u64,
    /// Last change, ms since 1970.
    pub modified_ms: i64,
}

/// The data directories of one server, checked and locked. The locks are released on drop.
#[derive(Debug)]
pub struct DataDirs {
    disk: Arc<dyn Disk>,
    data_root: PathBuf,
    log_root: PathBuf,
    snapshot_dir: PathBuf,
    log_dir: PathBuf,
    _locks: Vec<Box<dyn LockGuard>>,
}

impl DataDirs {
    /// Checks both directories as `FileTxnSnapLog` does, creates what is missing if allowed, and
    /// locks them against a second server of ours. `data_log_dir`: `None` or the same as
    /// `data_dir` if logs and snapshots share one.
    ///
    /// # Errors
    /// [`StorageError::Datadir`] (exit code 3), with a sentence for the operator.
    pub fn open(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        data_log_dir: Option<&Path>,
        options: &Options,
    ) -> Result<Self, StorageError> {
        let mut dirs = Self::unlocked(disk, data_dir, data_log_dir);
        let shared = dirs.snapshot_dir == dirs.log_dir;
        dirs.check_dir(&dirs.log_dir, "data", options.datadir_auto_create)?;
        if !shared {
            dirs.check_dir(&dirs.snapshot_dir, "snap", options.datadir_auto_create)?;
            dirs.check_content()?;
        }
        let mut locks = dirs.lock(&dirs.log_dir)?;
        if !shared {
            locks.extend(dirs.lock(&dirs.snapshot_dir)?);
        }
        dirs._locks = locks;
        dirs.remove_unfinished()?;
        Ok(dirs)
    }

    /// The same paths without any check, creation or lock: for tools that only look.
    pub fn unlocked(disk: Arc<dyn Disk>, data_dir: &Path, data_log_dir: Option<&Path>) -> Self {
        let log_root = data_log_dir.unwrap_or(data_dir);
        Self {
            disk,
            data_root: data_dir.to_owned(),
            log_root: log_root.to_owned(),
            snapshot_dir: data_dir.join(names::VERSION_DIR),
            log_dir: log_root.join(names::VERSION_DIR),
            _locks: Vec::new(),
        }
    }

    /// The file system.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// `dataDir/version-2`.
    pub fn snapshot_dir(&self) -> &Path {
        &self.snapshot_dir
    }

    /// `dataLogDir/version-2`.
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Reads `dataDir/myid`: its first line, without any blank. `None` if the file is missing.
    ///
    /// # Errors
    /// The text of Java's `IllegalArgumentException` as a [`StorageError::Datadir`]; the caller
    /// exits with 2, as for any other configuration error.
    pub fn my_id(&self) -> Result<Option<Sid>, StorageError> {
        let path = self.data_root.join("myid");
        let Some(text) = self.first_line(&path)? else { return Ok(None) };
        match parse_java_long(&text) {
            Some(id) => Ok(Some(Sid(id))),
            None => Err(StorageError::Datadir(format!(
                "serverid {text} is not a number (first line of {})",
                path.display()
            ))),
        }
    }

    /// All logs, ascending by the zxid in their names (by name among equals).
    pub fn logs(&self) -> Result<Vec<Found>, StorageError> {
        self.found(&self.log_dir, names::LOG)
    }

    /// All files named as snapshots, ascending by zxid, valid or not.
    pub fn snapshots(&self) -> Result<Vec<Found>, StorageError> {
        self.found(&self.snapshot_dir, names::SNAPSHOT)
    }

    /// What snapshots received from leaders have replaced, in both directories, ascending by the
    /// zxid of the one that did it.
    pub fn replaced(&self) -> Result<Vec<Found>, StorageError> {
        let mut found = Vec::new();
        for dir in [&self.snapshot_dir, &self.log_dir] {
            for entry in self.list(dir)?.into_iter().filter(|e| e.is_file) {
                let zxid = entry
                    .name
                    .strip_prefix(names::REPLACED_BY)
                    .and_then(|rest| rest.split_once('.'))
                    .and_then(|(zxid, _)| i64::from_str_radix(zxid, 16).ok());
                if let Some(zxid) = zxid {
                    let path = dir.join(&entry.name);
                    let (len, modified_ms) = (entry.len, entry.modified_ms);
                    found.push(Found {
                        path,
                        name: entry.name,
                        zxid: Zxid(zxid),
                        len,
                        modified_ms,
                    });
                }
            }
            if self.snapshot_dir == self.log_dir {
                break;
            }
        }
        found.sort_by_key(|f| f.zxid);
        Ok(found)
    }

    /// Sizes in bytes of the snapshot and log directories (`dirs` command), plain files only.
    pub fn sizes(&self) -> Result<(u64, u64), StorageError> {
        let sum = |dir: &Path| -> Result<u64, StorageError> {
            Ok(self.list(dir)?.iter().filter(|e| e.is_file).map(|e| e.len).sum())
        };
        Ok((sum(&self.snapshot_dir)?, sum(&self.log_dir)?))
    }

    /// True if `initialize` is there: an empty directory is an empty database.
    pub fn has_initialize_marker(&self) -> Result<bool, StorageError> {
        Ok(self.first_line(&self.log_root.join("initialize"))?.is_some())
    }

    /// Deletes `initialize`; true if it was there. Called once per load, as in Java.
    pub fn take_initialize_marker(&self) -> Result<bool, StorageError> {
        let path = self.log_root.join("initialize");
        match self.disk.remove(&path) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(StorageError::io("remove", &path, e)),
        }
    }

    /// True if the directory was found empty, `initialize` was missing and `db.autocreate` is off,
    /// and no leader's whole history has been on it since: the server must not vote. Java keeps
    /// this in memory only, and trusts what a crash left of a first synchronisation; it takes no
    /// notice of the file.
    pub fn is_emptied(&self) -> Result<bool, StorageError> {
        Ok(self.first_line(&self.snapshot_dir.join(names::EMPTIED))?.is_some())
    }

    /// Remembers that, durably.
    pub fn mark_emptied(&self) -> Result<(), StorageError> {
        self.write_small(names::EMPTIED, b"no vote before a synchronisation\n")
    }

    /// The history is whole again; durable on return.
    pub fn clear_emptied(&self) -> Result<(), StorageError> {
        let path = self.snapshot_dir.join(names::EMPTIED);
        match self.disk.remove(&path) {
            Ok(()) => self.sync_dir(&self.snapshot_dir),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(StorageError::io("remove", &path, e)),
        }
    }

    /// `currentEpoch`, `None` if the file is missing.
    pub fn current_epoch(&self) -> Result<Option<Epoch>, StorageError> {
        self.epoch(names::CURRENT_EPOCH)
    }

    /// `acceptedEpoch`, `None` if the file is missing.
    pub fn accepted_epoch(&self) -> Result<Option<Epoch>, StorageError> {
        self.epoch(names::ACCEPTED_EPOCH)
    }

    /// Replaces `currentEpoch`; durable on return (`EPOCH-AFTER-HISTORY`).
    pub fn write_current_epoch(&self, epoch: Epoch) -> Result<(), StorageError> {
        self.write_small(names::CURRENT_EPOCH, epoch.0.to_string().as_bytes())
    }

    /// Replaces `acceptedEpoch`; durable on return (`EPOCH-BEFORE-ACK`).
    pub fn write_accepted_epoch(&self, epoch: Epoch) -> Result<(), StorageError> {
        self.write_small(names::ACCEPTED_EPOCH, epoch.0.to_string().as_bytes())
    }

    /// Gives a finished new log its name.
    pub(crate) fn put_log(&self, from: &Path, to: &Path, sync: bool) -> Result<(), StorageError> {
        let name = to.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let exists = self.list(&self.log_dir)?.iter().any(|e| e.name == name);
        if exists && super::txnlog::reader::has_entries(&*self.disk, to)? {
            return Err(StorageError::Datadir(format!(
                "{} exists and holds transactions; it will not be overwritten",
                to.display()
            )));
        }
        self.disk.rename(from, to).map_err(|e| StorageError::io("rename a log to", to, e))?;
        if sync { self.sync_dir(&self.log_dir) } else { Ok(()) }
    }

    pub(crate) fn sync_dir(&self, dir: &Path) -> Result<(), StorageError> {
        self.disk.sync_dir(dir).map_err(|e| StorageError::io("fsync the directory", dir, e))
    }

    pub(crate) fn list(&self, dir: &Path) -> Result<Vec<Entry>, StorageError> {
        self.disk.list(dir).map_err(|e| StorageError::io("list", dir, e))
    }

    fn found(&self, dir: &Path, prefix: &str) -> Result<Vec<Found>, StorageError> {
        let mut found: Vec<Found> = self
            .list(dir)?
            .into_iter()
            .filter(|e| e.is_file)
            .filter_map(|e| {
                let zxid = names::zxid(&e.name, prefix)?;
                let path = dir.join(&e.name);
                Some(Found { path, name: e.name, zxid, len: e.len, modified_ms: e.modified_ms })
            })
            .collect();
        found.sort_by(|a, b| a.zxid.cmp(&b.zxid).then_with(|| a.name.cmp(&b.name)));
        Ok(found)
    }

    fn check_dir(&self, dir: &Path, kind: &str, create: bool) -> Result<(), StorageError> {
        let shown = dir.display();
        let fail = |text: String| Err(StorageError::Datadir(text));
        // The parent of version-2 may be a plain file; `make_dir` then names the reason.
        match self.disk.is_dir(dir) {
            Ok(true) => {}
            Ok(false) if create => {
                if let Err(e) = self.disk.make_dir(dir) {
                    return fail(format!("Unable to create {kind} directory {shown}: {e}"));
                }
            }
            Ok(false) => {
                return fail(format!(
                    "Missing {kind} directory {shown}, automatic data directory creation is \
                     disabled (zookeeper.datadir.autocreate is false). Please create this \
                     directory manually."
                ));
            }
            Err(e) => return fail(format!("Cannot access {kind} directory {shown}: {e}")),
        }
        if let Err(e) = self.disk.check_writable(dir) {
            return fail(format!("Cannot write to {kind} directory {shown}: {e}"));
        }
        Ok(())
    }

    /// `FileTxnSnapLog.checkLogDir`, `checkSnapDir`: were the two directories swapped?
    fn check_content(&self) -> Result<(), StorageError> {
        let starts = |dir: &Path, prefix: &str| -> Result<bool, StorageError> {
            Ok(self.list(dir)?.iter().any(|e| e.name.starts_with(prefix)))
        };
        if starts(&self.log_dir, "snapshot.")? {
            return Err(StorageError::Datadir(format!(
                "Log directory has snapshot files. Check if dataLogDir and dataDir configuration \
                 is correct. ({})",
                self.log_dir.display()
            )));
        }
        if starts(&self.snapshot_dir, "log.")? {
            return Err(StorageError::Datadir(format!(
                "Snapshot directory has log files. Check if dataLogDir and dataDir configuration \
                 is correct. ({})",
                self.snapshot_dir.display()
            )));
        }
        Ok(())
    }

    fn lock(&self, dir: &Path) -> Result<Vec<Box<dyn LockGuard>>, StorageError> {
        match self.disk.lock_dir(dir) {
            Ok(lock) => Ok(lock.into_iter().collect()),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(StorageError::Datadir(format!(
                "{} is in use by another running server. Two servers on one directory would \
                 destroy it: stop the other one, or give this one a directory of its own",
                dir.display()
            ))),
            Err(e) => Err(StorageError::Datadir(format!("Cannot lock {}: {e}", dir.display()))),
        }
    }

    /// What a crash left under temporary names was never acknowledged or published.
    fn remove_unfinished(&self) -> Result<(), StorageError> {
        for (dir, prefix) in
            [(&self.log_dir, names::NEW_LOG), (&self.snapshot_dir, names::NEW_SNAPSHOT)]
        {
            for entry in self.list(dir)? {
                if entry.is_file && entry.name.starts_with(prefix) {
                    let path = dir.join(&entry.name);
                    self.disk
                        .remove(&path)
                        .map_err(|e| StorageError::io("remove the leftover", &path, e))?;
                }
            }
        }
        Ok(())
    }

    fn epoch(&self, name: &str) -> Result<Option<Epoch>, StorageError> {
        let path = self.snapshot_dir.join(name);
        let Some(text) = self.first_line(&path)? else { return Ok(None) };
        match parse_java_long(&text) {
            Some(epoch) => Ok(Some(Epoch(epoch))),
            None => {
                let shown = if text.is_empty() { "null" } else { &text };
                Err(StorageError::Epoch(format!(
                    "Found {shown} in {}, expected a decimal epoch",
                    path.display()
                )))
            }
        }
    }

    fn first_line(&self, path: &Path) -> Result<Option<String>, StorageError> {
        let bytes = match read_small(&*self.disk, path, 4096) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| StorageError::io("read", path, e))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.split(['\n', '\r']).next().unwrap_or_default().to_owned()))
    }

    /// Java names the temporary file `<name>.tmp` and so do we: its rescue of `currentEpoch` works
    /// on our leftovers, ours on its.
    fn write_small(&self, name: &str, content: &[u8]) -> Result<(), StorageError> {
        let path = self.snapshot_dir.join(name);
        let temporary = self.snapshot_dir.join(format!("{name}.tmp"));
        let failed = |e| StorageError::io("write", &temporary, e);
        match self.disk.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        let file = self.disk.create(&temporary).map_err(failed)?;
        file.write_all_at(content, 0).map_err(failed)?;
        file.sync().map_err(failed)?;
        self.disk.rename(&temporary, &path).map_err(|e| StorageError::io("replace", &path, e))?;
        self.sync_dir(&self.snapshot_dir)
    }
}

/// `Long.parseLong`: an optional sign and decimal digits, nothing else.
fn parse_java_long(text: &str) -> Option<i64> {
    text.parse().ok()
}
