//! Writes snapshots: under a temporary name, synced, and only then published.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::Encode;
use simd_adler32::Adler32;

use super::codec;
use super::compression::Packer;
use super::manners::Manners;
use crate::base::{SessionId, Zxid};
use crate::storage::datadir::names;
use crate::storage::disk::DiskFile;
use crate::storage::{DataDirs, Durable, SnapshotOptions, StorageError};
use crate::tree::cell::TreeReader;
use crate::tree::cut::Cut;
use crate::tree::{AclList, ZxidDigest};

/// The state to write. [`CutSource`] is the one the server uses.
pub trait SnapshotSource {
    /// The zxid of the state.
    fn zxid(&self) -> Zxid;
    /// Digest of the last transaction in it.
    fn digest(&self) -> Option<ZxidDigest>;
    /// Sessions with their timeouts in ms.
    fn sessions(&self) -> &[(SessionId, i32)];
    /// The ACL map.
    fn acls(&self) -> &[(i64, AclList)];
    /// Appends the next node records, see [`Cut::next_batch`]; false when there are no more.
    fn next_batch(&mut self, out: &mut Vec<u8>) -> Result<bool, StorageError>;
}

/// A cut and the reader of its tree.
pub struct CutSource {
    /// The exact view.
    pub cut: Cut,
    /// The tree it was opened on.
    pub reader: TreeReader,
}

impl SnapshotSource for CutSource {
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
            .next_batch(&self.reader, out)
            .map_err(|e| StorageError::Cancelled(format!("snapshot: {e}")))
    }
}

/// A complete, synced snapshot under a temporary name. Dropping it unpublished removes it.
#[derive(Debug)]
pub struct SnapshotFile {
    dirs: Arc<DataDirs>,
    temporary: Option<PathBuf>,
    name: String,
    zxid: Zxid,
    bytes: u64,
}

/// Bytes gathered before they go to the file.
const CHUNK_BYTES: usize = 1 << 20;

/// Bytes written between two syncs. A snapshot that is synced only at its end leaves the kernel with
/// hundreds of megabytes, and the log's next sync may have to wait for them.
const SYNC_BYTES: u64 = 1 << 20;

/// Writes the state to a temporary file and syncs it. Takes as long as the disk needs; holds no
/// lock of the tree beyond one batch.
///
/// # Errors
/// The system's (nothing is left behind), or [`StorageError::Cancelled`] if the source gave up.
pub fn write_snapshot(
    dirs: &Arc<DataDirs>,
    options: &SnapshotOptions,
    source: &mut dyn SnapshotSource,
) -> Result<SnapshotFile, StorageError> {
    let zxid = source.zxid();
    let name = names::snapshot(zxid, options.compression.suffix());
    let temporary = dirs.snapshot_dir().join(format!(
        "{}{}",
        names::NEW_SNAPSHOT,
        &name[name.find('.').map_or(0, |i| i + 1)..]
    ));
    match dirs.disk().remove(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(StorageError::io("remove the leftover", &temporary, e));
        }
        _ => {}
    }
    let file =
        dirs.disk().create(&temporary).map_err(|e| StorageError::io("create", &temporary, e))?;
    // From here on dropping it removes the file.
    let mut snapshot = SnapshotFile {
        dirs: dirs.clone(),
        temporary: Some(temporary.clone()),
        name,
        zxid,
        bytes: 0,
    };
    let mut output = Output {
        file,
        path: temporary,
        packer: Packer::new(options.compression),
        plain: Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4),
        adler: Adler32::new(),
        end: 0,
        synced: 0,
    };
    output.write_all(options, source)?;
    snapshot.bytes = output.end;
    Ok(snapshot)
}

struct Output {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    packer: Packer,
    /// Not yet in checksum and packer.
    plain: Vec<u8>,
    adler: Adler32,
    end: u64,
    /// Up to here it was synced.
    synced: u64,
}

impl Output {
    fn write_all(
        &mut self,
        options: &SnapshotOptions,
        source: &mut dyn SnapshotSource,
    ) -> Result<(), StorageError> {
        codec::encode_header(&mut self.plain);
        codec::encode_tables(source.sessions(), source.acls(), &mut self.plain);
        let mut manners = Manners::begin();
        while source.next_batch(&mut self.plain)? {
            manners.pause();
            if self.plain.len() >= CHUNK_BYTES {
                self.push()?;
            }
        }
        codec::encode_end(&mut self.plain);
        self.seal()?;
        if options.digest {
            codec::encode_digest(source.digest(), &mut self.plain);
            self.seal()?;
            if options.last_zxid {
                source.zxid().0.encode(&mut self.plain);
                self.seal()?;
            }
        }
        self.packer.finish().map_err(|e| StorageError::io("compress", &self.path, e))?;
        self.flush()?;
        self.file.sync().map_err(|e| StorageError::io("fsync", &self.path, e))
    }

    /// Checksum of everything so far, and its seal.
    fn seal(&mut self) -> Result<(), StorageError> {
        self.push()?;
        codec::encode_seal(self.adler.finish(), &mut self.plain);
        self.push()
    }

    fn push(&mut self) -> Result<(), StorageError> {
        self.adler.write(&self.plain);
        let packed = match &mut self.packer {
            // Nothing to do to the bytes: they go as they are, without a copy.
            Packer::None(out) => {
                std::mem::swap(out, &mut self.plain);
                Ok(())
            }
            packer => packer.write(&self.plain),
        };
        self.plain.clear();
        packed.map_err(|e| StorageError::io("compress", &self.path, e))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), StorageError> {
        let out = self.packer.out();
        self.file
            .write_all_at(out, self.end)
            .map_err(|e| StorageError::io("write", &self.path, e))?;
        self.end += out.len() as u64;
        out.clear();
        if self.end - self.synced >= SYNC_BYTES {
            self.file.sync().map_err(|e| StorageError::io("fsync", &self.path, e))?;
            self.synced = self.end;
        }
        Ok(())
    }
}

impl SnapshotFile {
    /// The zxid of its state.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file, for as long as it is not published.
    pub fn path(&self) -> Option<&Path> {
        self.temporary.as_deref()
    }

    /// Gives the file its name; durable on return. `log` proves that the log covers it
    /// (`LOG-COVERS-SNAPSHOT`): wait for that proof, do not make one up.
    ///
    /// A snapshot of the same zxid is replaced, atomically and by one at least as good: this one is
    /// exact and complete.
    ///
    /// # Errors
    /// [`StorageError::NotCovered`] if the proof does not reach the snapshot's zxid.
    pub fn publish(mut self, log: Durable) -> Result<PathBuf, StorageError> {
        if log.zxid() < self.zxid {
            return Err(StorageError::NotCovered { snapshot: self.zxid, durable: log.zxid() });
        }
        let path = self.dirs.snapshot_dir().join(&self.name);
        if let Some(temporary) = &self.temporary {
            self.dirs
                .disk()
                .rename(temporary, &path)
                .map_err(|e| StorageError::io("rename a snapshot to", &path, e))?;
        }
        self.temporary = None;
        self.dirs.sync_dir(self.dirs.snapshot_dir())?;
        Ok(path)
    }
}

impl Drop for SnapshotFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Harmless if it stays: the next start removes it.
            let _ = self.dirs.disk().remove(temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;
    use crate::storage::disk::faulty::FaultyDisk;

    /// Batches of a quarter of a piece that are no znodes.
    struct Batches(usize);

    impl SnapshotSource for Batches {
        fn zxid(&self) -> Zxid {
            Zxid(7)
        }
        fn digest(&self) -> Option<ZxidDigest> {
            None
        }
        fn sessions(&self) -> &[(SessionId, i32)] {
            &[]
        }
        fn acls(&self) -> &[(i64, AclList)] {
            &[]
        }
        fn next_batch(&mut self, out: &mut Vec<u8>) -> Result<bool, StorageError> {
            out.resize(out.len() + SYNC_BYTES as usize / 4, b'x');
            self.0 -= 1;
            Ok(self.0 > 0)
        }
    }

    fn dirs(disk: &FaultyDisk) -> Arc<DataDirs> {
        let root = Path::new("/data");
        let options = crate::storage::Options::default();
        Arc::new(DataDirs::open(Arc::new(disk.clone()), root, None, &options).unwrap())
    }

    #[test]
    fn large_snapshots_are_synced_in_pieces() {
        let disk = FaultyDisk::new();
        let dirs = dirs(&disk);
        let syncs = |batches| {
            let before = disk.syncs();
            write_snapshot(&dirs, &SnapshotOptions::default(), &mut Batches(batches)).unwrap();
            disk.syncs() - before
        };
        assert_eq!(syncs(1), 1, "a small one at its end");
        assert_eq!(syncs(20), 1 + 5);
    }

    /// A piece that did not reach the disk is as bad as the end that did not.
    #[test]
    fn no_snapshot_survives_a_failed_sync() {
        for good in 0..3 {
            let disk = FaultyDisk::new();
            let dirs = dirs(&disk);
            disk.fail_sync_after(good);
            let written = write_snapshot(&dirs, &SnapshotOptions::default(), &mut Batches(10));
            let error = written.map(|file| file.bytes()).unwrap_err();
            assert!(error.to_string().contains("fsync"), "{error}");
            let left = disk.list(dirs.snapshot_dir()).unwrap();
            assert!(left.iter().all(|entry| !entry.name.contains("snapshot")), "{left:?}");
        }
    }
}
