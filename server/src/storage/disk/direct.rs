//! Appending past the page cache.
//!
//! A log is written once, synced at once and hardly ever read: a copy of it in the page cache costs
//! more than the write itself, and writing that cache back is what makes a sync slow. So whole
//! blocks go from an aligned buffer straight to the device. The last block, filled up with zeros,
//! is written again with the next append; what it holds already is written as it was, so a torn
//! write cannot change it.
//!
//! A file system that has no direct I/O gets ordinary writes.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;
use parking_lot::Mutex;
use tracing::debug;

/// Alignment of offsets, lengths and memory: no device asks for more.
const BLOCK: usize = 4096;
/// Bytes per write to the device, at most.
const BUFFER: usize = 64 * BLOCK;

/// The way past the page cache of one file.
#[derive(Debug)]
pub(super) struct Direct(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None`: this file system cannot do it.
    file: Option<File>,
    /// Two blocks longer than what is used of it, for the alignment.
    memory: Vec<u8>,
    /// Where the next write begins.
    end: u64,
}

impl Direct {
    /// For a file that exists and is empty.
    pub(super) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(path);
        let file =
            file.inspect_err(|error| debug!(%error, "no direct writes on this file system")).ok();
        Self(Mutex::new(State { file, memory: Vec::new(), end: 0 }))
    }

    /// Appends. `Ok(false)`: not possible, nothing was written, write it the ordinary way; so will
    /// be all that follows.
    pub(super) fn append(&self, data: &[u8], offset: u64) -> io::Result<bool> {
        let mut state = self.0.lock();
        let State { file, memory, end } = &mut *state;
        let Some(direct) = file else { return Ok(false) };
        if offset != *end {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a log is only appended to"));
        }
        if memory.is_empty() {
            memory.resize(BUFFER + BLOCK, 0);
        }
        let shift = memory.as_ptr().align_offset(BLOCK);
        let buffer = &mut memory[shift..shift + BUFFER];
        let mut rest = data;
        let mut at = offset;
        while !rest.is_empty() {
            // The beginning of the block is in the buffer since the last write.
            let kept = (at % BLOCK as u64) as usize;
            let taken = rest.len().min(BUFFER - kept);
            buffer[kept..kept + taken].copy_from_slice(&rest[..taken]);
            let used = kept + taken;
            let whole = used.next_multiple_of(BLOCK);
            buffer[used..whole].fill(0);
            match direct.write_all_at(&buffer[..whole], at - kept as u64) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput && at == 0 => {
                    debug!(%error, "no direct writes on this file system");
                    *file = None;
                    *memory = Vec::new();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            buffer.copy_within(used - used % BLOCK..whole, 0);
            at += taken as u64;
            rest = &rest[taken..];
        }
        *end = at;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_of_any_size_give_the_same_file() {
        // Not in /tmp, which may be in memory.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("log");
        let plain = File::create_new(&path).unwrap();
        let direct = Direct::open(&path);
        let mut expected: Vec<u8> = Vec::new();
        let sizes = [1, 15, 4080, 1, 4095, 4096, 4097, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER];
        for (i, size) in sizes.into_iter().cycle().take(40).enumerate() {
            let data: Vec<u8> = (0..size).map(|n| (n * 7 + i) as u8 | 1).collect();
            if !direct.append(&data, expected.len() as u64).unwrap() {
                plain.write_all_at(&data, expected.len() as u64).unwrap();
            }
            expected.extend(data);
            let written = std::fs::read(&path).unwrap();
            assert_eq!(written[..expected.len()], expected);
            assert!(written[expected.len()..].iter().all(|byte| *byte == 0));
            assert!(written.len() - expected.len() < BLOCK);
        }
        assert!(direct.0.lock().file.is_none() || direct.append(b"x", 0).is_err());
    }
}
