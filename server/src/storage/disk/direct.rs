//! Appending past the page cache.
//!
//! A log is written once, synced at once and hardly ever read: a copy of it in the page cache costs
//! more than the write itself, and writing that cache back is what makes a sync slow. So whole
//! blocks go from a [`LogBuffer`] straight to the device. The last block, filled up with zeros,
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

use super::LogBuffer;

/// The way past the page cache of one file.
#[derive(Debug)]
pub(super) struct Direct(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None`: this file system cannot do it.
    file: Option<File>,
    /// Where the next write begins.
    end: u64,
}

impl Direct {
    /// For a file that exists and is empty.
    pub(super) fn open(path: &Path) -> Self {
        let file = OpenOptions::new().write(true).custom_flags(OFlag::O_DIRECT.bits()).open(path);
        let file =
            file.inspect_err(|error| debug!(%error, "no direct writes on this file system")).ok();
        Self(Mutex::new(State { file, end: 0 }))
    }

    /// Appends. `Ok(false)`: not possible, nothing was written, write it the ordinary way; so will
    /// be all that follows.
    pub(super) fn append(&self, buffer: &mut LogBuffer) -> io::Result<bool> {
        let mut state = self.0.lock();
        let State { file, end } = &mut *state;
        let Some(direct) = file else { return Ok(false) };
        if buffer.offset() != *end {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a log is only appended to"));
        }
        let blocks = buffer.blocks();
        match direct.write_all_at(blocks.bytes(), blocks.offset()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidInput && *end == 0 => {
                debug!(%error, "no direct writes on this file system");
                *file = None;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        drop(blocks);
        buffer.written();
        *end = buffer.offset();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_buffer::BLOCK;
    use super::*;

    #[test]
    fn appends_of_any_size_give_the_same_file() {
        const LARGE: usize = 64 * BLOCK;
        // Not in /tmp, which may be in memory.
        let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = dir.path().join("log");
        let plain = File::create_new(&path).unwrap();
        let direct = Direct::open(&path);
        let mut buffer = LogBuffer::default();
        let mut expected: Vec<u8> = Vec::new();
        let sizes = [1, 15, 4080, 1, 4095, 4096, 4097, LARGE - 1, LARGE, LARGE + 1, 3 * LARGE];
        for (i, size) in sizes.into_iter().cycle().take(40).enumerate() {
            let data: Vec<u8> = (0..size).map(|n| (n * 7 + i) as u8 | 1).collect();
            // In two parts: what is new must survive the growth of the buffer.
            for part in [&data[..size / 3], &data[size / 3..]] {
                buffer.room_for(part.len()).extend_from_slice(part);
            }
            assert_eq!((buffer.fresh(), buffer.offset()), (&data[..], expected.len() as u64));
            if !direct.append(&mut buffer).unwrap() {
                plain.write_all_at(buffer.fresh(), buffer.offset()).unwrap();
                buffer.written();
            }
            assert!(buffer.fresh().is_empty());
            if i % 7 == 6 {
                buffer.shrink_to(LARGE);
            }
            expected.extend(data);
            let written = std::fs::read(&path).unwrap();
            assert_eq!(written[..expected.len()], expected);
            assert!(written[expected.len()..].iter().all(|byte| *byte == 0));
            assert!(written.len() - expected.len() < BLOCK);
        }
        buffer.begin();
        buffer.room_for(1).push(1);
        assert!(direct.0.lock().file.is_none() || direct.append(&mut buffer).is_err());
    }
}
