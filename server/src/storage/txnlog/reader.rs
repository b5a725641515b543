//! Iterates over transaction logs, and tells a torn tail from damage (`TORN-TAIL-ONLY`).
//!
//! An unfinished batch leaves the disk with any mix of its sectors written and unwritten. A log is
//! padded with zeros, so an unwritten sector reads as zeros, or the file ends. That, and nothing
//! else, is a *torn tail*: it was never acknowledged and may be ignored. Everything else that is
//! not an entry is corruption, and the reader stops with an error that says where.
//!
//! Java looks at one byte behind the entry instead: any wrong end mark is "the end of the file",
//! wherever it is, and what follows is dropped without a word. Here such a log is refused. On the
//! other side Java refuses a torn batch whose last sector was written and an earlier one was not;
//! here it is a torn tail.
//!
//! A torn tail in the middle of the sequence of files is normal: after a restart the next
//! transaction begins a new file. What proves that nothing is missing is the sequence of zxids,
//! which [`TxnLogReader`] checks (ZOOKEEPER-4925).

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::format::{self, ENTRY_EXTRA_BYTES, Entry, Fault, HEADER_BYTES};
use crate::base::{Proposal, Zxid};
use crate::storage::datadir::Found;
use crate::storage::disk::{Disk, DiskFile};
use crate::storage::{DataDirs, StorageError};

/// How much is read at once.
const WINDOW_BYTES: usize = 1 << 20;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;
/// The most bytes that can have been unsynced at a crash: longer damage is no torn tail. A batch of
/// ours is at most half of it ([`super::writer::UNSYNCED_MAX`]).
pub const TORN_TAIL_MAX: u64 = 64 << 20;
/// Upper bits of a checksum, always zero: an entry begins with this many bytes that look unwritten.
const ZERO_HEAD_BYTES: u64 = 4;

/// One entry of one file.
#[derive(Debug)]
pub struct RawEntry<'a> {
    /// Where the entry starts in the file.
    pub offset: u64,
    /// Where the next one starts.
    pub end: u64,
    /// Header, record, digest.
    pub payload: &'a [u8],
}

/// What follows the last good entry of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// The end of the file, or zeros up to it.
    Clean,
    /// An unfinished batch: this many bytes from the end of the last good entry.
    Torn(u64),
}

/// Reads one file from its beginning.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    len: u64,
    payload_max: usize,
    window: Vec<u8>,
    /// Offset in the file of the first byte of `window`.
    window_offset: u64,
    /// Index in `window` of the next entry.
    next: usize,
    /// Index behind the last byte read.
    filled: usize,
    last_zxid: Option<Zxid>,
    tail: Option<Tail>,
}

impl LogFile {
    /// Opens a log and checks its header. A file that is too short for one, or has only zeros in
    /// its place, is an interrupted creation: it has no entries and a torn tail.
    pub fn open(disk: &dyn Disk, path: &Path, payload_max: usize) -> Result<Self, StorageError> {
        let file = disk.open(path).map_err(|e| StorageError::io("open", path, e))?;
        let len = file.len().map_err(|e| StorageError::io("read the length of", path, e))?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            len,
            payload_max,
            window: Vec::new(),
            window_offset: 0,
            next: 0,
            filled: 0,
            last_zxid: None,
            tail: None,
        };
        log.fill(HEADER_BYTES)?;
        let header = &log.rest()[..log.filled.min(HEADER_BYTES)];
        if header.len() < HEADER_BYTES {
            log.tail = Some(if len == 0 { Tail::Clean } else { Tail::Torn(len) });
        } else if header.iter().all(|b| *b == 0) && log.data_end(0)? == 0 {
            log.tail = Some(Tail::Torn(len));
        } else {
            format::check_header(header)
                .map_err(|text| log.corrupt(0, format!("Transaction log: {text}")))?;
            log.next = HEADER_BYTES;
        }
        Ok(log)
    }

    /// The next entry; `None` at the end, after which [`LogFile::tail`] tells what is there.
    pub fn next_entry(&mut self) -> Result<Option<RawEntry<'_>>, StorageError> {
        if self.tail.is_some() {
            return Ok(None);
        }
        let len = loop {
            match format::decode_entry(self.rest(), self.payload_max) {
                Entry::Good(len) => break len,
                Entry::Short(total) if self.fill(total)? => {}
                Entry::Bad(Fault::Length(len)) if self.is_oversized_entry(len)? => {
                    break len as usize;
                }
                other => {
                    self.tail = Some(self.judge_tail(other)?);
                    return Ok(None);
                }
            }
        };
        let start = self.next;
        let total = len + ENTRY_EXTRA_BYTES;
        let payload_start = start + format::ENTRY_HEAD_BYTES;
        self.next += total;
        let payload = &self.window[payload_start..payload_start + len];
        if let Some(zxid) = zxid_of(payload) {
            self.last_zxid = Some(zxid);
        }
        let offset = self.window_offset + start as u64;
        Ok(Some(RawEntry { offset, end: offset + total as u64, payload }))
    }

    /// What follows the last entry; `None` before the end was reached.
    pub fn tail(&self) -> Option<Tail> {
        self.tail
    }

    /// Offset of the next entry; at the end, the end of the last good one (0 without a header).
    pub fn position(&self) -> u64 {
        self.window_offset + self.next as u64
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes, padding included.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True if the file has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// An error about the entry at `offset`.
    pub fn corrupt(&self, offset: u64, reason: String) -> StorageError {
        let path = self.path.clone();
        StorageError::CorruptLog { path, offset, last_zxid: self.last_zxid, reason }
    }

    /// What was read and not consumed.
    fn rest(&self) -> &[u8] {
        &self.window[self.next..self.filled]
    }

    /// Makes `wanted` bytes available from `next` on; false if the file ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool, StorageError> {
        self.window.copy_within(self.next..self.filled, 0);
        self.window_offset += self.next as u64;
        self.filled -= self.next;
        self.next = 0;
        let left = self.len.saturating_sub(self.window_offset + self.filled as u64);
        let target = wanted.max(WINDOW_BYTES);
        let target = usize::try_from(left).map_or(target, |left| target.min(self.filled + left));
        if self.window.len() < target {
            let mut larger = vec![0; target];
            larger[..self.filled].copy_from_slice(&self.window[..self.filled]);
            self.window = larger;
        }
        while self.filled < target {
            let offset = self.window_offset + self.filled as u64;
            match self.file.read_at(&mut self.window[self.filled..target], offset) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(e) => return Err(StorageError::io("read", &self.path, e)),
            }
        }
        Ok(self.filled >= wanted)
    }

    /// Java writes entries of any length and then cannot read those above its limit (a
    /// `closeSession` with very many paths, ZOOKEEPER-4306). If it is all there and its checksum is
    /// right, it is an entry.
    fn is_oversized_entry(&mut self, len: i32) -> Result<bool, StorageError> {
        let Ok(len) = usize::try_from(len) else { return Ok(false) };
        let total = len + ENTRY_EXTRA_BYTES;
        if self.position() + total as u64 > self.len || !self.fill(total)? {
            return Ok(false);
        }
        Ok(format::decode_entry(self.rest(), len) == Entry::Good(len))
    }

    /// Decides whether what stands at the next position can be an unfinished batch.
    fn judge_tail(&mut self, found: Entry) -> Result<Tail, StorageError> {
        let at = self.position();
        let data_end = self.data_end(at)?;
        if data_end == at {
            return Ok(Tail::Clean);
        }
        let (entry_bytes, reason) = match found {
            Entry::Short(total) => (total, "the entry is longer than the file".to_owned()),
            Entry::Zero => (ENTRY_EXTRA_BYTES, "a hole of zeros inside the data".to_owned()),
            Entry::Bad(fault) => match fault {
                // A torn length is smaller than the true one: zeros in place of some of its bytes.
                Fault::Length(_) => return Err(self.corrupt(at, fault.to_string())),
                Fault::LengthZero => (ENTRY_EXTRA_BYTES, fault.to_string()),
                Fault::EndMark(total, _) | Fault::Checksum(total) => (total, fault.to_string()),
            },
            Entry::Good(_) => unreachable!("a good entry is no tail"),
        };
        let entry_end = at + entry_bytes as u64;
        let torn = data_end - at <= TORN_TAIL_MAX
            && (data_end < entry_end || self.has_unwritten_sector(at, entry_end)?)
            && !self.is_one_byte_off(at, data_end)?;
        if torn { Ok(Tail::Torn(data_end - at)) } else { Err(self.corrupt(at, reason)) }
    }

    /// True if a sector of the entry reads as it did before the entry was written: zeros from the
    /// entry's start, or its own start, up to its end.
    fn has_unwritten_sector(&self, at: u64, entry_end: u64) -> Result<bool, StorageError> {
        let mut sector = at / SECTOR_BYTES * SECTOR_BYTES;
        let mut buffer = [0; SECTOR_BYTES as usize];
        while sector < entry_end.min(self.len) {
            let from = sector.max(at);
            let end = (sector + SECTOR_BYTES).min(self.len);
            sector += SECTOR_BYTES;
            if end <= at + ZERO_HEAD_BYTES {
                continue;
            }
            let part = &mut buffer[..(end - from) as usize];
            if self.read_exact(part, from)? && part.iter().all(|b| *b == 0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if changing one byte makes a good entry of it. Then it was one, and is damaged: an
    /// unwritten sector is hardly ever that close. Without this a flipped bit in a length, or in an
    /// entry whose data is zeros, could pass for a torn tail.
    fn is_one_byte_off(&self, at: u64, data_end: u64) -> Result<bool, StorageError> {
        let mut bytes = vec![0; (data_end - at) as usize];
        self.read_exact(&mut bytes, at)?;
        Ok(format::is_one_byte_off(&bytes))
    }

    fn read_exact(&self, mut buffer: &mut [u8], mut offset: u64) -> Result<bool, StorageError> {
        while !buffer.is_empty() {
            match self.file.read_at(buffer, offset) {
                Ok(0) => return Ok(false),
                Ok(n) => {
                    buffer = &mut buffer[n..];
                    offset += n as u64;
                }
                Err(e) => return Err(StorageError::io("read", &self.path, e)),
            }
        }
        Ok(true)
    }

    /// The offset behind the last byte that is not zero, at least `from`.
    fn data_end(&self, from: u64) -> Result<u64, StorageError> {
        let mut buffer = vec![0; WINDOW_BYTES];
        let mut offset = from;
        let mut end = from;
        while offset < self.len {
            let n = match self.file.read_at(&mut buffer, offset) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) => return Err(StorageError::io("read", &self.path, e)),
            };
            if let Some(last) = last_nonzero(&buffer[..n]) {
                end = offset + last as u64 + 1;
            }
            offset += n as u64;
        }
        Ok(end)
    }
}

/// Index of the last byte that is not zero; whole blocks are compared at once because most of a
/// preallocated log is padding.
fn last_nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 4096;
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let blocks = bytes.chunks(BLOCK).enumerate().rev();
    for (index, block) in blocks {
        if block != &ZEROS[..block.len()] {
            return block.iter().rposition(|b| *b != 0).map(|at| index * BLOCK + at);
        }
    }
    None
}

/// The zxid in a payload: the third field of its header.
pub(crate) fn zxid_of(payload: &[u8]) -> Option<Zxid> {
    let bytes = payload.get(12..20)?.first_chunk::<8>()?;
    Some(Zxid(i64::from_be_bytes(*bytes)))
}

/// True if the file holds at least one good entry.
pub(crate) fn has_entries(disk: &dyn Disk, path: &Path) -> Result<bool, StorageError> {
    let mut log = LogFile::open(disk, path, i32::MAX as usize)?;
    Ok(log.next_entry()?.is_some())
}

/// One transaction of the log, not decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// Its zxid.
    pub zxid: Zxid,
    /// Header, record, digest: what a PROPOSAL carries.
    pub payload: Bytes,
}

/// Where a log that was read ends, for whoever wants to cut or sync it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadFile {
    /// The file.
    pub path: PathBuf,
    /// End of its last good entry.
    pub end: u64,
    /// What follows.
    pub tail: Tail,
}

/// Reads transactions across files, in order, each once.
///
/// Transactions at or below the highest one seen are left out: Java 3.9 logs repeat a zxid for
/// requests that could not be decoded, and tools leave copies of logs behind.
#[derive(Debug)]
pub struct TxnLogReader {
    dirs: Arc<DataDirs>,
    payload_max: usize,
    files: VecDeque<Found>,
    current: Option<LogFile>,
    /// The zxid before the first one wanted.
    behind: Zxid,
    /// Highest zxid returned, or seen below the first one wanted.
    last: Option<Zxid>,
    /// Zxid in the name of the newest file known.
    newest_name: Zxid,
    /// Check the first transaction against `behind` too.
    first_must_follow: bool,
    /// Where the entry returned last starts in the current file.
    entry_offset: u64,
    done: Vec<ReadFile>,
}

impl TxnLogReader {
    /// A reader of everything behind `behind`. With `first_must_follow` the first transaction must
    /// be the very next one (or the first ones of a newer epoch), otherwise only what follows it is
    /// checked.
    ///
    /// Files: those named above `behind`, and unless one begins exactly there the newest of the
    /// others, because snapshots are not taken at the boundaries of logs.
    pub fn open(
        dirs: &Arc<DataDirs>,
        payload_max: usize,
        behind: Zxid,
        first_must_follow: bool,
    ) -> Result<Self, StorageError> {
        let logs = dirs.logs()?;
        let first = Zxid(behind.0.saturating_add(1));
        let exact = logs.iter().position(|f| f.zxid == first);
        let start = exact.unwrap_or_else(|| {
            let later = logs.iter().position(|f| f.zxid > first).unwrap_or(logs.len());
            let name = later.checked_sub(1).map(|i| logs[i].zxid);
            logs.iter().position(|f| Some(f.zxid) == name).unwrap_or(later)
        });
        let files: VecDeque<_> = logs.into_iter().skip(start).collect();
        let newest_name = files.back().map_or(Zxid(i64::MIN), |f| f.zxid);
        Ok(Self {
            dirs: dirs.clone(),
            payload_max,
            files,
            current: None,
            behind,
            last: None,
            newest_name,
            first_must_follow,
            entry_offset: 0,
            done: Vec::new(),
        })
    }

    /// Total length in bytes, padding included, of the files that are left to read: the price of a
    /// sync from disk, to be compared with the size of a snapshot (`snapshotSizeFactor`).
    pub fn bytes_left(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |log| log.len() - log.position());
        current + self.files.iter().map(|f| f.len).sum::<u64>()
    }

    /// The files read so far to their end.
    pub fn files_read(&self) -> &[ReadFile] {
        &self.done
    }

    /// The next transaction; `None` behind the last. While the log is being written, do not ask
    /// beyond what is known to be durable: what is half written there looks torn, or damaged.
    ///
    /// # Errors
    /// [`StorageError::CorruptLog`], [`StorageError::Gap`], or the system's.
    pub fn next_logged(&mut self) -> Result<Option<Logged>, StorageError> {
        loop {
            if self.current.is_none() && !self.open_next()? {
                return Ok(None);
            }
            let log = self.current.as_mut().expect("opened above");
            let Some(entry) = log.next_entry()? else {
                let tail = log.tail().expect("next_entry reached the end");
                let end = log.position();
                self.done.push(ReadFile { path: log.path().to_owned(), end, tail });
                self.current = None;
                continue;
            };
            let offset = entry.offset;
            let Some(zxid) = zxid_of(entry.payload) else {
                return Err(log.corrupt(offset, "the entry is too short for a header".to_owned()));
            };
            if zxid <= self.behind {
                continue;
            }
            if self.last.is_some_and(|last| zxid <= last) {
                continue;
            }
            let payload = Bytes::copy_from_slice(entry.payload);
            let before = match self.last {
                None if self.first_must_follow => Some(self.behind),
                last => last,
            };
            if let Some(before) = before
                && !follows(before, zxid)
            {
                let path = log.path().to_owned();
                return Err(StorageError::Gap { path, after: before, found: zxid });
            }
            self.last = Some(zxid);
            self.entry_offset = offset;
            return Ok(Some(Logged { zxid, payload }));
        }
    }

    /// The next transaction, decoded.
    pub fn next_proposal(&mut self) -> Result<Option<Proposal>, StorageError> {
        let Some(Logged { zxid, payload }) = self.next_logged()? else { return Ok(None) };
        match Proposal::decode(payload) {
            Ok(proposal) => Ok(Some(proposal)),
            Err(e) => {
                let log = self.current.as_ref().expect("the entry came from it");
                let reason = format!("transaction {zxid} cannot be decoded: {e}");
                Err(log.corrupt(self.entry_offset, reason))
            }
        }
    }

    /// Opens the next file; looks for files made since when the known ones are used up.
    fn open_next(&mut self) -> Result<bool, StorageError> {
        if self.files.is_empty() {
            let newest = self.newest_name;
            self.files.extend(self.dirs.logs()?.into_iter().filter(|f| f.zxid > newest));
        }
        let Some(found) = self.files.pop_front() else { return Ok(false) };
        self.newest_name = self.newest_name.max(found.zxid);
        self.current = Some(LogFile::open(self.dirs.disk(), &found.path, self.payload_max)?);
        Ok(true)
    }
}

/// `ZXID-ORDER`: the next counter, or the first of a newer epoch. (Java accepts any counter of a
/// newer epoch and so misses what was lost at its beginning.)
fn follows(before: Zxid, zxid: Zxid) -> bool {
    zxid.0 == before.0 + 1 || (zxid.epoch() > before.epoch() && zxid.counter() <= 1)
}

/// The transactions of `from..=to` for a learner, read from disk, or `None` if the log does not
/// hold
/// `from` any more (it was purged, or this server never had it). Iterate with
/// [`TxnLogReader::next_logged`] and stop behind `to`, which must be durable.
pub fn range(
    dirs: &Arc<DataDirs>,
    payload_max: usize,
    from: Zxid,
) -> Result<Option<(Logged, TxnLogReader)>, StorageError> {
    let behind = Zxid(from.0 - 1);
    let mut reader = TxnLogReader::open(dirs, payload_max, behind, false)?;
    match reader.next_logged()? {
        Some(first) if first.zxid == from => Ok(Some((first, reader))),
        _ => Ok(None),
    }
}
