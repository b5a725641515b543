//! A file system in memory that misbehaves on request.
//!
//! What it models, and no more: a sector is written whole or not at all; what was not synced is at
//! a crash partly there, sector by sector, in no order; a longer or shorter length likewise; names
//! change in order, so that a crash keeps some prefix of the changes since the directory was
//! synced; after a failed sync the data is gone although it can still be read. The caller hands in
//! all randomness.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::{Disk, DiskFile, Entry, LockGuard};

const SECTOR: usize = 512;

/// A file system in memory. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
    /// Syncs of files do not return.
    held: Arc<(Mutex<bool>, Condvar)>,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names since their directory was synced, in order.
    pending: Vec<Change>,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    inodes: Vec<Inode>,
    /// Counts crashes: handles of an earlier life are dead.
    life: u64,
    capacity: Option<u64>,
    syncs_until_failure: Option<u64>,
    writes_until_crash: Option<u64>,
    syncs: u64,
}

#[derive(Debug, Clone)]
struct Change {
    dir: PathBuf,
    remove: Option<PathBuf>,
    insert: Option<(PathBuf, usize)>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    durable: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl FaultyDisk {
    /// An empty one without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The power fails. `keep(n)` decides each question with a number below `n`: which unsynced
    /// sectors, lengths and name changes survive. All open files and locks are gone.
    pub fn lose_power(&self, keep: &mut dyn FnMut(u64) -> u64) {
        let mut state = self.state.lock();
        let pending = std::mem::take(&mut state.pending);
        let survive = keep(pending.len() as u64 + 1) as usize;
        for change in pending.into_iter().take(survive) {
            change.apply(&mut state.durable_names);
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            inode.lose_power(keep);
        }
        state.end_of_life();
    }

    /// The process is killed: everything written stays, synced or not.
    pub fn kill(&self) {
        self.state.lock().end_of_life();
    }

    /// The disk has room for this many bytes in all.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// The sync after the next `n` ones fails, and every one after it.
    pub fn fail_sync_after(&self, n: u64) {
        self.state.lock().syncs_until_failure = Some(n);
    }

    /// Syncs of files wait from now on, or go on.
    pub fn hold_syncs(&self, hold: bool) {
        *self.held.0.lock() = hold;
        self.held.1.notify_all();
    }

    /// After `n` more writes, syncs or name changes everything fails until the next crash: a crash
    /// at a chosen point is this, then [`FaultyDisk::lose_power`] or [`FaultyDisk::kill`].
    pub fn stop_after(&self, n: u64) {
        self.state.lock().writes_until_crash = Some(n);
    }

    /// How many syncs of files succeeded.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Flips one bit of a file at rest.
    ///
    /// # Panics
    /// If there is no such bit.
    pub fn flip(&self, path: &Path, offset: usize, bit: u8) {
        let mut state = self.state.lock();
        let inode = state.names[path];
        state.inodes[inode].current[offset] ^= 1 << bit;
        state.inodes[inode].durable[offset] ^= 1 << bit;
    }

    /// A file's content.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state.names.get(path).map(|inode| state.inodes[*inode].current.clone())
    }

    /// Puts a durable file there, and its directory.
    pub fn put(&self, path: &Path, content: &[u8]) {
        let mut state = self.state.lock();
        if let Some(dir) = path.parent() {
            state.add_dirs(dir);
        }
        let inode = state.inodes.len();
        let (durable, current) = (content.to_vec(), content.to_vec());
        state.inodes.push(Inode { durable, current, dirty: BTreeSet::new() });
        state.names.insert(path.to_owned(), inode);
        state.durable_names.insert(path.to_owned(), inode);
    }

    fn file(&self, inode: usize, life: u64, writable: bool) -> Box<dyn DiskFile> {
        let (state, held) = (self.state.clone(), self.held.clone());
        Box::new(FaultyFile { state, held, inode, life, writable })
    }
}

impl State {
    fn end_of_life(&mut self) {
        self.life += 1;
        self.locked.clear();
        self.pending.clear();
        self.durable_names = self.names.clone();
        for inode in &mut self.inodes {
            inode.durable = inode.current.clone();
            inode.dirty.clear();
        }
        self.syncs_until_failure = None;
        self.writes_until_crash = None;
    }

    fn add_dirs(&mut self, dir: &Path) {
        self.dirs.extend(dir.ancestors().map(Path::to_owned));
    }

    /// Counts one change; fails if the disk was told to stop.
    fn step(&mut self) -> io::Result<()> {
        match &mut self.writes_until_crash {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the simulated process was stopped")),
            Some(n) => {
                *n -= 1;
                Ok(())
            }
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn used(&self) -> u64 {
        let used: BTreeSet<_> = self.names.values().collect();
        used.into_iter().map(|inode| self.inodes[*inode].current.len() as u64).sum()
    }

    fn parent_exists(&self, path: &Path) -> io::Result<PathBuf> {
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        if self.dirs.contains(&dir) { Ok(dir) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        if let Some(path) = &self.remove {
            names.remove(path);
        }
        if let Some((path, inode)) = &self.insert {
            names.insert(path.clone(), *inode);
        }
    }
}

impl Inode {
    fn lose_power(&mut self, keep: &mut dyn FnMut(u64) -> u64) {
        let mut after = self.durable.clone();
        if self.current.len() != after.len() && keep(2) == 1 {
            after.resize(self.current.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            let from = sector * SECTOR;
            let end = (from + SECTOR).min(after.len()).min(self.current.len());
            if from < end && keep(2) == 1 {
                after[from..end].copy_from_slice(&self.current[from..end]);
            }
        }
        self.durable = after.clone();
        self.current = after;
    }

    fn write(&mut self, data: &[u8], offset: usize) {
        let end = offset + data.len();
        if end > self.current.len() {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(data);
        if !data.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }
}

impl Disk for FaultyDisk {
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        if !state.dirs.contains(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state.names.iter().filter(|(path, _)| path.parent() == Some(dir));
        let dirs = state.dirs.iter().filter(|path| path.parent() == Some(dir));
        let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
        let files = files.filter_map(|(path, inode)| {
            let len = state.inodes[*inode].current.len() as u64;
            Some(Entry { name: name(path)?, len, modified_ms: 0, is_file: true })
        });
        let dirs = dirs.filter_map(|path| {
            Some(Entry { name: name(path)?, len: 0, modified_ms: 0, is_file: false })
        });
        Ok(files.chain(dirs).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        let dir = state.parent_exists(path)?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.step()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(Change { dir, remove: None, insert: Some((path.to_owned(), inode)) });
        Ok(self.file(inode, state.life, true))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode, state.life, false))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state.lock();
        let inode = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(inode, state.life, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        let dir = state.parent_exists(to)?;
        state.step()?;
        let insert = Some((to.to_owned(), inode));
        state.change(Change { dir, remove: Some(from.to_owned()), insert });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if !state.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let dir = state.parent_exists(path)?;
        state.step()?;
        state.change(Change { dir, remove: Some(path.to_owned()), insert: None });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step()?;
        let pending = std::mem::take(&mut state.pending);
        let (synced, rest): (Vec<_>, Vec<_>) = pending.into_iter().partition(|c| c.dir == dir);
        state.pending = rest;
        for change in synced {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state.lock().dirs.contains(path))
    }

    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        self.state.lock().add_dirs(dir);
        Ok(())
    }

    fn check_writable(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Option<Box<dyn LockGuard>>> {
        let mut state = self.state.lock();
        if !state.locked.insert(dir.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let (disk, dir, life) = (self.state.clone(), dir.to_owned(), state.life);
        Ok(Some(Box::new(FaultyLock { disk, dir, life })))
    }
}

#[derive(Debug)]
struct FaultyLock {
    disk: Arc<Mutex<State>>,
    dir: PathBuf,
    life: u64,
}

impl LockGuard for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut state = self.disk.lock();
        if state.life == self.life {
            state.locked.remove(&self.dir);
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    state: Arc<Mutex<State>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    inode: usize,
    life: u64,
    writable: bool,
}

impl FaultyFile {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        if state.life != self.life {
            return Err(io::Error::other("the file was open before the crash"));
        }
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        state.step()?;
        change(&mut state)
    }
}

impl DiskFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().inodes[self.inode].current.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock();
        let content = &state.inodes[self.inode].current;
        let from = usize::try_from(offset).map_or(content.len(), |o| o.min(content.len()));
        let n = buffer.len().min(content.len() - from);
        buffer[..n].copy_from_slice(&content[from..from + n]);
        Ok(n)
    }

    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.change(|state| {
            let offset = offset as usize;
            let grows =
                (offset + data.len()).saturating_sub(state.inodes[self.inode].current.len());
            let room = state.capacity.map_or(u64::MAX, |c| c.saturating_sub(state.used()));
            if grows as u64 > room {
                // What fits is written, as a real disk does.
                let fits = data.len() - (grows - room as usize).min(data.len());
                state.inodes[self.inode].write(&data[..fits], offset);
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.inodes[self.inode].write(data, offset);
            Ok(())
        })
    }

    fn extend(&self, len: u64) -> io::Result<()> {
        self.change(|state| {
            let inode = &state.inodes[self.inode];
            let more = len.saturating_sub(inode.current.len() as u64);
            let room = state.capacity.map_or(u64::MAX, |c| c.saturating_sub(state.used()));
            if more > 0 && more <= room {
                state.inodes[self.inode].current.resize(len as usize, 0);
            }
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|state| {
            state.inodes[self.inode].current.resize(len as usize, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut held = self.held.0.lock();
        while *held {
            self.held.1.wait(&mut held);
        }
        drop(held);
        self.change(|state| {
            match &mut state.syncs_until_failure {
                Some(0) => {
                    // The pages are dropped: later syncs would have nothing to write.
                    state.inodes[self.inode].dirty.clear();
                    return Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32));
                }
                Some(n) => *n -= 1,
                None => {}
            }
            state.syncs += 1;
            let inode = &mut state.inodes[self.inode];
            inode.durable.resize(inode.current.len(), 0);
            for sector in std::mem::take(&mut inode.dirty) {
                let from = sector * SECTOR;
                let end = (from + SECTOR).min(inode.current.len());
                if from < end {
                    inode.durable[from..end].copy_from_slice(&inode.current[from..end]);
                }
            }
            Ok(())
        })
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync()
    }
}
