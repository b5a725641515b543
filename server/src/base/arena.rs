//! Many small copies in few allocations.

use bytes::{Bytes, BytesMut};

/// Size of a chunk, bytes.
const CHUNK: usize = 64 * 1024;
/// Larger copies get an allocation of their own, bytes.
const COPY_MAX: usize = CHUNK / 4;

/// Copies bytes one behind the other into chunks that they share. A chunk lives as long as any
/// copy in it: for what is dropped soon. A chunk that nobody uses any more is used again.
#[derive(Debug, Default)]
pub struct Arena {
    chunk: BytesMut,
}

impl Arena {
    /// A copy.
    pub fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > COPY_MAX {
            return Bytes::copy_from_slice(bytes);
        }
        if self.chunk.capacity() < bytes.len() && !self.chunk.try_reclaim(CHUNK) {
            self.chunk = BytesMut::with_capacity(CHUNK);
        }
        self.chunk.extend_from_slice(bytes);
        self.chunk.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_do_not_touch_each_other() {
        let mut arena = Arena::default();
        let mut kept = Vec::new();
        for i in 0..5000usize {
            let bytes = vec![i as u8; i * 7 % (COPY_MAX + 100)];
            let copy = arena.copy(&bytes);
            if i % 3 != 0 {
                kept.push((bytes, copy));
            }
            if i % 100 == 99 {
                kept.drain(..kept.len() / 2);
            }
        }
        assert!(kept.iter().all(|(bytes, copy)| bytes == copy));
    }
}
