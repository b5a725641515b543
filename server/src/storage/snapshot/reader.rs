//! Loads and verifies snapshot files.

use std::io::{self, Read};
use std::path::Path;

use super::codec::{self, NoSink, Sections, SnapshotError, SnapshotSink};
use super::compression::{Compression, GZIP_MAGIC, SNAPPY_MAGIC};
use crate::base::Zxid;
use crate::storage::StorageError;
use crate::storage::datadir::Found;
use crate::storage::disk::{Disk, DiskFile};
use crate::tree::load::{Loaded, TreeLoader};
use crate::tree::{DataTree, DigestCheck, TreeOptions};

/// The shortest plain snapshot that `SnapStream.isValidSnapshot` looks at.
const PLAIN_MIN: u64 = 10;

/// Java's quick test: does the file look complete (plain), or begin as it should (compressed)? It
/// decides which of Java's messages an operator gets when nothing can be loaded, nothing else.
pub fn looks_complete(disk: &dyn Disk, found: &Found) -> io::Result<bool> {
    let file = disk.open(&found.path)?;
    let mut head = [0; 8];
    Ok(match Compression::from_name(&found.name) {
        Compression::None => {
            let len = file.len()?;
            let mut end = [0; 5];
            len >= PLAIN_MIN
                && read_full(&*file, &mut end, len - 5)? == 5
                && end == [0, 0, 0, 1, b'/']
        }
        Compression::Gzip => read_full(&*file, &mut head[..2], 0)? == 2 && head[..2] == GZIP_MAGIC,
        Compression::Snappy => read_full(&*file, &mut head, 0)? == 8 && head == SNAPPY_MAGIC,
    })
}

/// A loaded snapshot.
#[derive(Debug)]
pub struct LoadedSnapshot {
    /// The state.
    pub tree: DataTree,
    /// How the digest section compares, if it can be compared yet.
    pub digest: DigestCheck,
    /// The optional sections.
    pub sections: Sections,
}

/// Loads a snapshot with every check. Its zxid is the one in its name, as in Java; the sections are
/// written later in a fuzzy snapshot and say less.
pub fn load(
    disk: &dyn Disk,
    path: &Path,
    zxid: Zxid,
    field_max: usize,
    options: TreeOptions,
) -> Result<LoadedSnapshot, StorageError> {
    let mut loader = TreeLoader::new(options);
    let sections = read(disk, path, field_max, &mut loader)?;
    let Loaded { tree, digest } =
        loader.finish(zxid, sections.digest).map_err(|e| damaged(path, SnapshotError::Load(e)))?;
    Ok(LoadedSnapshot { tree, digest, sections })
}

/// Reads a snapshot through every checksum without keeping anything: what purge and
/// `rookeeper check` rely on.
pub fn verify(disk: &dyn Disk, path: &Path, field_max: usize) -> Result<Sections, StorageError> {
    read(disk, path, field_max, &mut NoSink)
}

/// Feeds a snapshot to `sink`.
pub fn read(
    disk: &dyn Disk,
    path: &Path,
    field_max: usize,
    sink: &mut dyn SnapshotSink,
) -> Result<Sections, StorageError> {
    let file = disk.open(path).map_err(|e| StorageError::io("open", path, e))?;
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let plain = Compression::from_name(name).reader(FileInput { file: &*file, offset: 0 });
    let result = plain
        .map_err(SnapshotError::Read)
        .and_then(|mut plain| codec::read_snapshot(&mut *plain, field_max, sink));
    result.map_err(|e| damaged(path, e))
}

fn damaged(path: &Path, error: SnapshotError) -> StorageError {
    StorageError::CorruptSnapshot { path: path.to_owned(), reason: error.to_string() }
}

/// A file as a stream.
struct FileInput<'a> {
    file: &'a dyn DiskFile,
    offset: u64,
}

impl Read for FileInput<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

fn read_full(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(filled)
}
