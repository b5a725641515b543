//! The operating system's files.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, OFlag, fallocate};

use super::direct::Direct;
use super::{Disk, DiskFile, Entry, LockGuard, LogBuffer};

/// The operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A name may vanish between the listing and this call (purge, operator).
            let meta = match fs::metadata(entry.path()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let modified_ms = meta
                .modified()
                .ok()
                .and_then(|t| t.duration_since(UNIX_EPOCH).ok())
                .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
            entries.push(Entry { name, len: meta.len(), modified_ms, is_file: meta.is_file() });
        }
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile { file, direct: None }))
    }

    fn create_log(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(Box::new(RealFile { file, direct: Some(Direct::open(path)) }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile { file: File::open(path)?, direct: None }))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Box::new(RealFile { file, direct: None }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Some network file systems have no fsync for directories; Java never asks for one.
            Err(e) if e.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
            other => other,
        }
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(meta) => Ok(meta.is_dir()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn check_writable(&self, dir: &Path) -> io::Result<()> {
        use nix::unistd::{AccessFlags, access};
        access(dir, AccessFlags::W_OK | AccessFlags::R_OK | AccessFlags::X_OK)
            .map_err(io::Error::from)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let handle = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_DIRECTORY.bits() | OFlag::O_CLOEXEC.bits())
            .open(dir)?;
        match Flock::lock(handle, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Box::new(RealLock { _lock: lock }))),
            Err((_, Errno::EWOULDBLOCK)) => Err(io::ErrorKind::WouldBlock.into()),
            // No locks on this file system: run as Java does, without.
            Err((_, Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)) => Ok(None),
            Err((_, e)) => Err(e.into()),
        }
    }
}

/// An advisory `flock` on the directory itself: no file is left that Java could load, and the
/// kernel drops it when the process dies.
#[derive(Debug)]
struct RealLock {
    _lock: Flock<File>,
}

impl LockGuard for RealLock {}

#[derive(Debug)]
struct RealFile {
    file: File,
    /// Of a log.
    direct: Option<Direct>,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buffer, offset) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }

    fn append(&self, buffer: &mut LogBuffer) -> io::Result<()> {
        if let Some(direct) = &self.direct
            && direct.append(buffer)?
        {
            return Ok(());
        }
        self.file.write_all_at(buffer.fresh(), buffer.offset())?;
        buffer.written();
        Ok(())
    }

    fn extend(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        let (Ok(from), Ok(more)) = (i64::try_from(now), i64::try_from(len.saturating_sub(now)))
        else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        if more == 0 {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), from, more) {
            Ok(()) => Ok(()),
            // Not supported, or not that much room: Java's sparse file works as long as the data
            // itself fits, and the write that does not fit will say so.
            Err(_) => self.file.set_len(len),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}
