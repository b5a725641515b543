//! Appends proposals and makes them durable: many appends, then one write and one `fdatasync`.
//!
//! ```text
//! append  append  append  commit                       roll     append ...
//! └───── buffer ──────┘   one write, one fdatasync,             next file, named by its first zxid
//!                         returns a Durable
//! ```
//!
//! Follows `FileTxnLog` and `SyncRequestProcessor`, with these differences, all unseen by a reader:
//! padding is laid out from the true end of the data (Java 3.9 pads from the last commit and can
//! zero what it just wrote); a name that exists is never opened for writing; the directory is
//! synced when a file is made; an error is final.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jute::txn::Txn;

use super::format;
use crate::base::{Proposal, Zxid};
use crate::storage::datadir::names;
use crate::storage::disk::{DiskFile, LogBuffer};
use crate::storage::{DataDirs, Durable, Options, StorageError};

/// How the log is laid out and synced.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// `zookeeper.preAllocSize` in bytes (the setting is in KiB); 0 turns it off.
    pub preallocate_bytes: u64,
    /// `zookeeper.snapCount`: a snapshot is due after half to all of this many transactions.
    pub snap_count: u32,
    /// `zookeeper.snapSizeLimitInKb` in bytes: or after half to all of this much log. `None` or 0:
    /// no limit (0 kills a Java server).
    pub snap_size_limit_bytes: Option<u64>,
    /// `zookeeper.txnLogSizeLimitInKb` in bytes: a longer log is rolled. `None` or 0: no limit.
    pub log_size_limit_bytes: Option<u64>,
    /// `zookeeper.forceSync`: anything but `no`.
    pub force_sync: bool,
    /// `zookeeper.fsync.warningthresholdms`.
    pub fsync_warning: Duration,
    /// Seed for the random part of when a snapshot is due.
    pub seed: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            preallocate_bytes: 64 << 20,
            snap_count: 100_000,
            snap_size_limit_bytes: Some(4 << 30),
            log_size_limit_bytes: None,
            force_sync: true,
            fsync_warning: Duration::from_secs(1),
            seed: 0,
        }
    }
}

/// What one [`TxnLogWriter::commit`] did.
#[derive(Debug, Clone, Copy)]
pub struct Committed {
    /// Everything appended so far is durable.
    pub durable: Durable,
    /// Transactions in this commit.
    pub transactions: usize,
    /// Bytes written.
    pub bytes: u64,
    /// Time of write and sync together.
    pub sync_time: Duration,
    /// The file, and its size with padding, if the sync took longer than the warning threshold
    /// (`fsync_threshold_exceed_count`; the caller logs it).
    pub slow_sync: bool,
}

/// Appends to the transaction log. Owned by the `txnlog` thread.
///
/// Invariant: durable ≤ appended, zxids only increase, by one within an epoch (`ZXID-ORDER`).
/// After any error the writer refuses everything: what the disk holds is then unknown.
pub struct TxnLogWriter {
    dirs: Arc<DataDirs>,
    options: LogOptions,
    file: Option<OpenLog>,
    /// Entries appended and not written yet; begins with the file header if the file is new.
    buffer: LogBuffer,
    /// Transactions appended since the last commit.
    pending: usize,
    /// Bytes of the current commit that were written.
    written: u64,
    /// Those of them that were not synced.
    unsynced: u64,
    appended: Zxid,
    durable: Durable,
    since_snapshot: SinceSnapshot,
    failed: bool,
}

/// The file being written.
struct OpenLog {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    /// Its final name while it still has a temporary one.
    rename_to: Option<PathBuf>,
    /// End of what was written: the next write goes here.
    end: u64,
    /// Length of the file, with padding.
    len: u64,
}

/// What was logged since the last snapshot was ordered (`ZKDatabase.txnCount`, `txnSize`).
struct SinceSnapshot {
    transactions: u64,
    bytes: u64,
    transactions_due: u64,
    bytes_due: u64,
    random: u64,
}

/// A batch is written out early when it has grown to this many bytes, so that memory is bounded.
const BUFFER_MAX: usize = 1 << 20;
/// Written and not synced, at most: beyond it a batch is synced early. Keeps what a crash can tear
/// well below [`super::reader::TORN_TAIL_MAX`].
pub const UNSYNCED_MAX: u64 = 32 << 20;
/// A buffer that grew beyond this is given back after the commit.
const BUFFER_KEEP: usize = 4 * BUFFER_MAX;
/// Distance to the end of the padding at which the file is extended (`FilePadding`).
const PADDING_MARGIN: u64 = 4096;

impl TxnLogWriter {
    /// A writer that continues behind `last`: what [`crate::storage::restore`] returned. No file is
    /// made before the first transaction.
    pub fn new(dirs: Arc<DataDirs>, options: &Options, last: Durable) -> Self {
        let mut options = options.log.clone();
        if let Some(limit) = options.log_size_limit_bytes.filter(|l| *l > 0) {
            options.preallocate_bytes = options.preallocate_bytes.min(limit);
        }
        let since_snapshot = SinceSnapshot::new(&options);
        Self {
            dirs,
            options,
            file: None,
            buffer: LogBuffer::default(),
            pending: 0,
            written: 0,
            unsynced: 0,
            appended: last.zxid(),
            durable: last,
            since_snapshot,
            failed: false,
        }
    }

    /// The last zxid known to be durable.
    pub fn durable(&self) -> Durable {
        self.durable
    }

    /// The last zxid appended.
    pub fn appended(&self) -> Zxid {
        self.appended
    }

    /// Adds a transaction to the current batch. Usually only copies; nothing is durable yet.
    ///
    /// An error transaction that repeats the last zxid (Java 3.9 leaders send such) is left out: it
    /// changes nothing, and a log that holds a zxid twice misleads others.
    ///
    /// # Errors
    /// A zxid out of order, or a failed write. Both are final.
    pub fn append(&mut self, proposal: &Proposal) -> Result<(), StorageError> {
        self.usable()?;
        let zxid = proposal.zxid();
        if zxid == self.appended && matches!(proposal.txn, Txn::Error(_)) {
            return Ok(());
        }
        let in_order = zxid > self.appended
            && (self.appended.0 < 0
                || zxid.epoch() != self.appended.epoch()
                || self.appended.next() == Some(zxid));
        if !in_order {
            self.failed = true;
            return Err(StorageError::OutOfOrder { last: self.appended, found: zxid });
        }
        if self.file.is_none() {
            let opened = self.open_file(zxid);
            self.file = Some(self.checked(opened)?);
            self.buffer.begin();
            format::encode_header(self.buffer.room_for(format::HEADER_BYTES));
        }
        let entry_bytes = proposal.payload.len() + format::ENTRY_EXTRA_BYTES;
        let buffer = self.buffer.room_for(entry_bytes);
        match proposal.hints.checksum {
            Some(checksum) => {
                format::encode_checked_entry(&proposal.payload, checksum, buffer);
            }
            None => format::encode_entry(&proposal.payload, buffer),
        }
        self.since_snapshot.transactions += 1;
        self.since_snapshot.bytes += entry_bytes as u64;
        self.appended = zxid;
        self.pending += 1;
        if self.buffer.fresh().len() >= BUFFER_MAX {
            let written = self.write_buffer();
            self.checked(written)?;
        }
        if self.unsynced >= UNSYNCED_MAX {
            let synced = self.sync();
            self.checked(synced)?;
        }
        Ok(())
    }

    /// Makes everything appended durable: one write, one `fdatasync` (none with `forceSync=no`).
    ///
    /// # Errors
    /// A failed write or sync. Final: nothing is ever synced a second time, because after a failed
    /// sync the kernel may have dropped the pages and would report success.
    pub fn commit(&mut self) -> Result<Committed, StorageError> {
        self.usable()?;
        let result = self.commit_inner();
        self.checked(result)
    }

    /// True if it is time for a snapshot (`snapCount`, `snapSizeLimitInKb`). Then the log was
    /// rolled and the counts start anew, whether or not the caller takes the snapshot.
    pub fn roll_if_snapshot_due(&mut self) -> Result<bool, StorageError> {
        if !self.since_snapshot.due() {
            return Ok(false);
        }
        self.roll()?;
        self.since_snapshot = SinceSnapshot::again(&self.since_snapshot, &self.options);
        Ok(true)
    }

    /// Length of the current file with its padding, 0 without one.
    pub fn file_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |log| log.len)
    }

    /// Commits, then ends the current file: the next transaction opens a new one.
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.commit()?;
        if let Some(log) = self.file.take()
            && log.len > log.end
        {
            // Padding has done its work. Unsynced on purpose: either length is right.
            let cut = log.file.set_len(log.end);
            self.checked(cut.map_err(|e| StorageError::io("cut the padding of", &log.path, e)))?;
        }
        Ok(())
    }

    /// Continues behind another history: after a truncation, or after a snapshot from the leader
    /// replaced everything. The current file is left as it is.
    ///
    /// # Panics
    /// If something appended was not committed: it would be lost silently.
    pub fn restart_behind(&mut self, last: Durable) {
        assert!(self.pending == 0, "the log is drained before its history changes");
        self.file = None;
        self.appended = last.zxid();
        self.durable = last;
    }

    /// Nothing appended from now on becomes durable: the history this log belongs to may no longer
    /// be the one that the next start finds. Every later append and commit is an error.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    fn usable(&self) -> Result<(), StorageError> {
        if self.failed { Err(StorageError::LogFailed) } else { Ok(()) }
    }

    fn checked<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        self.failed |= result.is_err();
        result
    }

    /// Makes the file under a temporary name. It gets its own when its first batch is durable, so
    /// that no reader ever meets a log without a header or without an entry.
    fn open_file(&self, first: Zxid) -> Result<OpenLog, StorageError> {
        let disk = self.dirs.disk();
        let temporary = self.dirs.log_dir().join(format!("{}{:x}", names::NEW_LOG, first.0));
        match disk.remove(&temporary) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("remove the leftover", &temporary, e));
            }
            _ => {}
        }
        // Zeros behind the end are padding, so there must be padding.
        let append_only = self.options.force_sync && self.options.preallocate_bytes > 0;
        let file = if append_only { disk.create_log(&temporary) } else { disk.create(&temporary) };
        let file = file.map_err(|e| StorageError::io("create", &temporary, e))?;
        let name = names::log(first);
        tracing::info!("Creating new log file: {name}");
        let path = self.dirs.log_dir().join(name);
        Ok(OpenLog { file, path: temporary, rename_to: Some(path), end: 0, len: 0 })
    }

    fn write_buffer(&mut self) -> Result<(), StorageError> {
        let Some(log) = &mut self.file else { return Ok(()) };
        let bytes = self.buffer.fresh().len() as u64;
        debug_assert_eq!(log.end, self.buffer.offset(), "a log is only appended to");
        let end = log.end + bytes;
        if let Some(len) = padded_len(end, log.len, self.options.preallocate_bytes) {
            log.file.extend(len).map_err(|e| StorageError::io("preallocate", &log.path, e))?;
            log.len = len;
        }
        log.file
            .append(&mut self.buffer)
            .map_err(|e| StorageError::io("append to", &log.path, e))?;
        self.written += bytes;
        self.unsynced += bytes;
        log.end = end;
        log.len = log.len.max(end);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        if let Some(log) = &self.file
            && self.options.force_sync
        {
            log.file.sync().map_err(|e| StorageError::io("fsync", &log.path, e))?;
        }
        self.unsynced = 0;
        Ok(())
    }

    fn commit_inner(&mut self) -> Result<Committed, StorageError> {
        let start = Instant::now();
        if self.pending == 0 {
            return Ok(Committed {
                durable: self.durable,
                transactions: 0,
                bytes: 0,
                sync_time: Duration::ZERO,
                slow_sync: false,
            });
        }
        self.write_buffer()?;
        self.buffer.shrink_to(BUFFER_KEEP);
        self.sync()?;
        let log = self.file.as_mut().expect("append opened the file of what is pending");
        if let Some(name) = log.rename_to.take() {
            self.dirs.put_log(&log.path, &name, self.options.force_sync)?;
            log.path = name;
        }
        let sync_time = start.elapsed();
        self.durable = Durable(self.appended);
        let committed = Committed {
            durable: self.durable,
            transactions: std::mem::take(&mut self.pending),
            bytes: std::mem::take(&mut self.written),
            sync_time,
            slow_sync: sync_time > self.options.fsync_warning,
        };
        if self.options.log_size_limit_bytes.is_some_and(|limit| limit > 0 && log.end > limit) {
            self.roll()?;
        }
        Ok(committed)
    }
}

impl SinceSnapshot {
    fn new(options: &LogOptions) -> Self {
        let random = options.seed ^ 0x9e37_79b9_7f4a_7c15;
        let mut counts =
            Self { transactions: 0, bytes: 0, transactions_due: 0, bytes_due: 0, random };
        counts.draw(options);
        counts
    }

    fn again(last: &Self, options: &LogOptions) -> Self {
        let mut counts = Self { transactions: 0, bytes: 0, ..*last };
        counts.draw(options);
        counts
    }

    /// Spreads the snapshots of an ensemble's members over time: half the limit plus a random part
    /// of the other half.
    fn draw(&mut self, options: &LogOptions) {
        let half = u64::from(options.snap_count.max(2)) / 2;
        self.transactions_due = half + self.next() % half;
        self.bytes_due = match options.snap_size_limit_bytes {
            Some(limit) if limit >= 2 => limit / 2 + self.next() % (limit / 2),
            _ => u64::MAX,
        };
    }

    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.random |= 1;
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn due(&self) -> bool {
        self.transactions > self.transactions_due || self.bytes > self.bytes_due
    }
}

/// The length to extend a file to before data up to `end` is written, if its present `len` does not
/// leave a margin. Multiples of `step` past the header, as Java's files have.
fn padded_len(end: u64, len: u64, step: u64) -> Option<u64> {
    if step == 0 || end + PADDING_MARGIN < len {
        return None;
    }
    let header = format::HEADER_BYTES as u64;
    let data = (end + PADDING_MARGIN).max(header) - header;
    Some(header + (data / step + 1) * step)
}
