//! The few things we ask of a file system, so that tests can be one.
//!
//! [`RealDisk`] is the operating system. [`faulty::FaultyDisk`] keeps everything in memory, loses
//! or tears what was not synced when it crashes, fills up, fails an fsync, flips bits at rest.
//!
//! No method retries and none hides an error: after a failed write or sync the caller gives up.

mod direct;
pub mod faulty;
mod log_buffer;
mod real;

use std::fmt;
use std::io;
use std::path::Path;

pub use log_buffer::LogBuffer;
pub use real::RealDisk;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The last part of the path. Names that are not UTF-8 are not listed: none of ours is.
    pub name: String,
    /// Length in bytes.
    pub len: u64,
    /// Last change, ms since 1970 (0 if unknown).
    pub modified_ms: i64,
    /// False for directories and anything else that is not a plain file.
    pub is_file: bool,
}

/// A file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// What is in `dir`, in no particular order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>>;
    /// A new file, to write and read. Fails if the name exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A new file to which one write after the other is appended, each beginning where the last one
    /// ended, and each synced before anybody relies on it. It may leave zeros behind its end.
    fn create_log(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create(path)
    }
    /// An existing file, to read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, to write and read.
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Atomically gives `from` the name `to`, in place of whatever had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// True if `path` is a directory; an error if it cannot be told.
    fn is_dir(&self, path: &Path) -> io::Result<bool>;
    /// Makes a directory and those above it.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// Succeeds if new files can be made in `dir`. Leaves no trace.
    fn check_writable(&self, dir: &Path) -> io::Result<()>;
    /// Takes the directory for this process until the guard drops; `None` if the file system has
    /// no locks. Fails with `WouldBlock` if another process has it.
    fn lock_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn LockGuard>>>;
}

/// Holds a directory's lock.
pub trait LockGuard: Send + Sync + fmt::Debug {}

/// An open file. Positions are explicit: there is no hidden cursor to get wrong.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True if it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads some bytes at `offset`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data` at `offset`.
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Appends what is new in `buffer` to a log ([`Disk::create_log`]); then nothing is.
    fn append(&self, buffer: &mut LogBuffer) -> io::Result<()> {
        self.write_all_at(buffer.fresh(), buffer.offset())?;
        buffer.written();
        Ok(())
    }
    /// Grows the file to `len` bytes that read as zero, reserving space if that is possible.
    fn extend(&self, len: u64) -> io::Result<()>;
    /// Cuts the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes written data durable, and the length if it grew (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Makes everything durable, a shorter length too (`fsync`).
    fn sync_all(&self) -> io::Result<()>;
}

/// Reads a whole small file, at most `max` bytes of it.
pub fn read_small(disk: &dyn Disk, path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut out = vec![0; max];
    let mut filled = 0;
    while filled < max {
        match file.read_at(&mut out[filled..], filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    out.truncate(filled);
    Ok(out)
}
