//! From the disk to a tree: newest valid snapshot, then the log behind it.
//!
//! ```text
//! snapshot.90  damaged ─► refused          log.1 ... log.78 ────────┐ log.79 ───────┐ (torn)
//! snapshot.7a  loaded ────────────────────────────────► 0x7b .. 0x78+n, then .. the end
//! ```
//!
//! Follows `ZKDatabase.loadDataBase` and `FileTxnSnapLog.restore`. Every attempt loads into a fresh
//! tree. The first transaction behind the snapshot must be the next one, and so must each that
//! follows (`ZKDatabase.addCommittedProposal`, ZOOKEEPER-4925). Damage is judged by
//! [`super::txnlog::reader`]; a torn tail is cut off, so that Java can read the file too.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::snapshot::codec;
use super::snapshot::reader as snapshots;
use super::snapshot::writer::{SnapshotSource, write_snapshot};
use super::txnlog::format::HEADER_BYTES;
use super::txnlog::reader::{LogFile, ReadFile, Tail, TxnLogReader};
use super::{DataDirs, Durable, Options, StorageError};
use crate::base::{Proposal, SessionId, Zxid};
use crate::tree::cut::{Cut, CutLimits};
use crate::tree::load::TreeLoader;
use crate::tree::{AclList, DataTree, DigestCheck, TreeOptions, ZxidDigest};

/// How many snapshots are tried, as in Java.
pub const SNAPSHOT_TRIES_MAX: usize = 100;

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The state; sessions are in it. Its `last_zxid` is 0 for an empty database.
    pub tree: DataTree,
    /// Where the log continues. -1: there was no database and none may be assumed
    /// (`db.autocreate=false` without `initialize`); a quorum member must not vote with it.
    pub last: Durable,
    /// That was so, now or at an earlier start, and no leader's whole history has been on this disk
    /// since ([`DataDirs::is_emptied`]).
    pub emptied: bool,
    /// The replayed transactions, the newest `commit_log_count` of them, oldest first: what a
    /// leader offers learners from memory. Transactions inside the snapshot are not here.
    pub recent: VecDeque<Arc<Proposal>>,
    /// The snapshot it began with; `None` if there was none.
    pub snapshot: Option<Zxid>,
    /// Snapshots that were tried and refused, newest first, with the reason. Worth a warning each.
    pub refused: Vec<StorageError>,
    /// Transactions replayed.
    pub replayed: u64,
    /// Bytes of unfinished batches that were ignored (they were never acknowledged).
    pub torn_bytes: u64,
    /// Digests that did not match: `digest_mismatches_count`. Worth an error line.
    pub digest_mismatches: u64,
    /// Time spent on snapshots, those refused included.
    pub snapshot_time: Duration,
    /// Time spent on the log.
    pub replay_time: Duration,
}

/// May the restore tidy up?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// A server starts: torn tails are cut, what was read is synced, `initialize` is used up, a
    /// first snapshot is written.
    Start,
    /// A tool looks.
    Inspect,
}

/// Restores the newest state for a server that starts.
///
/// What it changes on disk: torn tails of logs and logs without a header are removed (they hold
/// nothing that was acknowledged), `initialize` is used up, and a database without any snapshot
/// gets its first one, because logs without a snapshot are taken for damage at the next start. All
/// it returns is durable (`VOTE-FROM-LOG`), also what another process had written and not synced.
///
/// # Errors
/// Any damage that is not a torn tail, any gap; see [`StorageError`].
pub fn restore(
    dirs: &Arc<DataDirs>,
    options: &Options,
    tree: TreeOptions,
) -> Result<Restored, StorageError> {
    run(dirs, options, tree, Mode::Start)
}

/// The same without changing anything: for tools.
pub fn inspect(
    dirs: &Arc<DataDirs>,
    options: &Options,
    tree: TreeOptions,
) -> Result<Restored, StorageError> {
    run(dirs, options, tree, Mode::Inspect)
}

/// Loads a whole uncompressed snapshot from a stream, with every check, without touching the disk.
/// The tree's last zxid is the one the stream ends with.
///
/// # Errors
/// Why the stream is no snapshot, or none that says how far it reaches.
pub fn load_stream(
    input: &mut dyn Read,
    field_max: usize,
    options: TreeOptions,
) -> Result<DataTree, String> {
    let mut loader = TreeLoader::new(options);
    let sections =
        codec::read_snapshot(input, field_max, &mut loader).map_err(|e| e.to_string())?;
    let zxid = sections.last_zxid.ok_or(
        "the snapshot does not say its last zxid (serializeLastProcessedZxid.enabled=false?)",
    )?;
    let loaded = loader.finish(zxid, sections.digest).map_err(|e| e.to_string())?;
    if let DigestCheck::Mismatch { expected, actual } = loaded.digest {
        return Err(format!("the digest of the tree is {actual}, the snapshot says {expected}"));
    }
    Ok(loaded.tree)
}

/// Deletes the ephemerals of sessions that the session table does not know: what a standalone
/// server and a new leader do after [`restore`] (`ZooKeeperServer.loadData`), learners do not.
/// Returns how many sessions that were.
pub fn drop_orphans(tree: &mut DataTree) -> usize {
    let orphans: Vec<_> = tree
        .ephemeral_sessions()
        .filter(|session| tree.sessions().timeout_ms(*session).is_none())
        .collect();
    let zxid = tree.last_zxid();
    for session in &orphans {
        tree.kill_session(*session, zxid, &mut |_| {});
    }
    orphans.len()
}

/// A cut of a tree that nobody else has: for snapshots at start and for tools.
pub struct OwnedTreeSource<'a> {
    tree: &'a DataTree,
    cut: Cut,
}

impl<'a> OwnedTreeSource<'a> {
    /// Opens the cut.
    pub fn new(tree: &'a mut DataTree) -> Result<Self, StorageError> {
        let cut = tree
            .open_cut(CutLimits::default())
            .map_err(|e| StorageError::Cancelled(format!("snapshot: {e}")))?;
        Ok(Self { tree, cut })
    }
}

impl SnapshotSource for OwnedTreeSource<'_> {
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
            .next_batch_of(self.tree, out)
            .map_err(|e| StorageError::Cancelled(format!("snapshot: {e}")))
    }
}

fn run(
    dirs: &Arc<DataDirs>,
    options: &Options,
    tree_options: TreeOptions,
    mode: Mode,
) -> Result<Restored, StorageError> {
    let begun = Instant::now();
    let mut restored = match newest_snapshot(dirs, options, &tree_options)? {
        Ok(restored) => *restored,
        Err(refused) => return without_snapshot(dirs, options, tree_options, refused, mode),
    };
    restored.snapshot_time = begun.elapsed();
    replay(dirs, options, &mut restored, mode)?;
    restored.replay_time = begun.elapsed() - restored.snapshot_time;
    restored.emptied = dirs.is_emptied()? && !dirs.has_initialize_marker()?;
    if mode == Mode::Start {
        vouched(dirs)?;
    }
    Ok(restored)
}

/// Uses `initialize` up: an operator says that what is here is all there was.
fn vouched(dirs: &DataDirs) -> Result<(), StorageError> {
    if dirs.has_initialize_marker()? {
        dirs.clear_emptied()?;
    }
    dirs.take_initialize_marker().map(drop)
}

/// Loads the newest snapshot that can be loaded. `Err` in `Ok`: none looks complete; these were
/// there.
fn newest_snapshot(
    dirs: &DataDirs,
    options: &Options,
    tree_options: &TreeOptions,
) -> Result<Result<Box<Restored>, Vec<StorageError>>, StorageError> {
    let mut refused = Vec::new();
    let mut tried = 0;
    for found in dirs.snapshots()?.into_iter().rev() {
        let looks_complete = snapshots::looks_complete(dirs.disk(), &found)
            .map_err(|e| StorageError::io("read", &found.path, e))?;
        if !looks_complete {
            let reason = "it is incomplete".to_owned();
            refused.push(StorageError::CorruptSnapshot { path: found.path, reason });
            continue;
        }
        if tried == SNAPSHOT_TRIES_MAX {
            break;
        }
        tried += 1;
        let loaded = snapshots::load(
            dirs.disk(),
            &found.path,
            found.zxid,
            options.field_max,
            tree_options.clone(),
        );
        match loaded {
            Ok(loaded) => {
                let mut restored = Restored::of(loaded.tree, Some(found.zxid));
                restored.refused = refused;
                restored.count(found.zxid, loaded.digest);
                return Ok(Ok(Box::new(restored)));
            }
            Err(error @ StorageError::CorruptSnapshot { .. }) => refused.push(error),
            // The disk, not the file: an older file would hide that.
            Err(error) => return Err(error),
        }
    }
    if tried == 0 {
        return Ok(Err(refused));
    }
    Err(no_valid_snapshot(dirs, &refused))
}

fn no_valid_snapshot(dirs: &DataDirs, refused: &[StorageError]) -> StorageError {
    let tried = refused.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    StorageError::NoValidSnapshot { dir: dirs.snapshot_dir().to_owned(), tried }
}

/// Step 3 of storage.md 7.1.
fn without_snapshot(
    dirs: &Arc<DataDirs>,
    options: &Options,
    tree_options: TreeOptions,
    refused: Vec<StorageError>,
    mode: Mode,
) -> Result<Restored, StorageError> {
    let mut restored = Restored::of(DataTree::new(tree_options), None);
    // The log of a member that began with nothing is complete without a snapshot.
    restored.emptied = dirs.is_emptied()? && !dirs.has_initialize_marker()?;
    if has_log_entries(dirs, options)? {
        if !(options.snapshot_trust_empty || restored.emptied) {
            let refused = refused.iter().map(|e| format!("; {e}")).collect();
            let dir = dirs.snapshot_dir().to_owned();
            return Err(StorageError::LogsWithoutSnapshot { dir, refused });
        }
        replay(dirs, options, &mut restored, mode)?;
        if restored.emptied {
            // No snapshot yet: a Java server that takes over must find what it would have left.
            return Ok(restored);
        }
    } else if dirs.snapshots()?.iter().any(|f| f.zxid > Zxid::ZERO) {
        // Java starts empty here. But a snapshot, even a broken one, says there was something.
        return Err(no_valid_snapshot(dirs, &refused));
    } else if mode == Mode::Inspect {
        return Ok(restored);
    } else {
        let marker = dirs.has_initialize_marker()?;
        if !marker && (!options.db_auto_create || restored.emptied) {
            restored.emptied = true;
            restored.last = Durable(Zxid(-1));
            return Ok(restored);
        }
    }
    if mode == Mode::Start {
        let zxid = restored.last.zxid();
        let mut source = OwnedTreeSource::new(&mut restored.tree)?;
        write_snapshot(dirs, &options.snapshot, &mut source)?.publish(restored.last)?;
        drop(source);
        restored.snapshot = Some(zxid);
        // Last, so that a crash before this point starts over with the marker in place.
        vouched(dirs)?;
    }
    Ok(restored)
}

/// `FileTxnLog.getLastLoggedZxid() != -1`, except that a file without any entry is no entry.
fn has_log_entries(dirs: &DataDirs, options: &Options) -> Result<bool, StorageError> {
    for found in dirs.logs()? {
        let mut log = LogFile::open(dirs.disk(), &found.path, options.field_max)?;
        if log.next_entry()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn replay(
    dirs: &Arc<DataDirs>,
    options: &Options,
    restored: &mut Restored,
    mode: Mode,
) -> Result<(), StorageError> {
    let behind = restored.last.zxid();
    let mut reader = TxnLogReader::open(dirs, options.field_max, behind, true)?;
    let mut last = behind;
    while let Some(proposal) = reader.next_proposal()? {
        last = proposal.zxid();
        let applied = restored.tree.apply(&proposal, &mut |_| {});
        restored.count(last, applied.digest);
        restored.replayed += 1;
        restored.recent.push_back(Arc::new(proposal));
        if restored.recent.len() > options.commit_log_count {
            restored.recent.pop_front();
        }
    }
    for file in reader.files_read() {
        if let Tail::Torn(bytes) = file.tail {
            restored.torn_bytes += bytes;
        }
        if mode == Mode::Start {
            settle(dirs, file)?;
        }
    }
    restored.last = Durable(last);
    Ok(())
}

/// Cuts what follows the last good entry if a batch was torn there, and makes the rest durable: the
/// process that wrote it may have been killed between write and sync.
fn settle(dirs: &DataDirs, read: &ReadFile) -> Result<(), StorageError> {
    let disk = dirs.disk();
    let path = &read.path;
    if read.end < HEADER_BYTES as u64 {
        disk.remove(path).map_err(|e| StorageError::io("remove the empty log", path, e))?;
        return dirs.sync_dir(dirs.log_dir());
    }
    let file = disk.open_write(path).map_err(|e| StorageError::io("open", path, e))?;
    if read.tail != Tail::Clean {
        file.set_len(read.end).map_err(|e| StorageError::io("cut the torn tail of", path, e))?;
    }
    file.sync_all().map_err(|e| StorageError::io("fsync", path, e))
}

impl Restored {
    fn of(tree: DataTree, snapshot: Option<Zxid>) -> Self {
        Self {
            tree,
            last: Durable(snapshot.unwrap_or(Zxid::ZERO)),
            emptied: false,
            recent: VecDeque::new(),
            snapshot,
            refused: Vec::new(),
            replayed: 0,
            torn_bytes: 0,
            digest_mismatches: 0,
            snapshot_time: Duration::ZERO,
            replay_time: Duration::ZERO,
        }
    }

    fn count(&mut self, zxid: Zxid, check: DigestCheck) {
        if let DigestCheck::Mismatch { expected, actual } = check {
            if self.digest_mismatches == 0 {
                tracing::error!(
                    "First digest mismatch on txn: {zxid}, expected digest is {expected:x}, \
                     actual digest is {actual:x}"
                );
            }
            self.digest_mismatches += 1;
        }
    }
}
