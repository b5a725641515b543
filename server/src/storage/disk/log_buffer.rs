//! What is appended to a log between two writes.
//!
//! Laid out so that it can go past the page cache as it is: what a write begins with stands at an
//! aligned address, and the block that the last write left half full stands before what is new. So
//! an entry is copied once, from the transaction to here, and the device reads it from here.

/// Alignment of offsets, lengths and memory: no device asks for more.
pub(super) const BLOCK: usize = 4096;
/// Capacity to begin with, bytes.
const SMALL: usize = 16 * BLOCK;

/// Entries on their way into one file.
///
/// Invariant: `memory[start..]` is what the file has from the last block boundary before `offset`,
/// then what is new; `start` is where an aligned address is.
#[derive(Debug, Default)]
pub struct LogBuffer {
    memory: Vec<u8>,
    start: usize,
    /// Bytes behind `start` that are in the file.
    kept: usize,
    /// Where in the file the new ones go.
    offset: u64,
}

impl LogBuffer {
    /// Begins a file. What is in the buffer is forgotten.
    pub fn begin(&mut self) {
        self.memory.truncate(self.start);
        (self.kept, self.offset) = (0, 0);
    }

    /// The new bytes.
    pub fn fresh(&self) -> &[u8] {
        &self.memory[self.start + self.kept..]
    }

    /// Where in the file they go.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The end of the new bytes, to append at most `more` to it and do nothing else.
    pub fn room_for(&mut self, more: usize) -> &mut Vec<u8> {
        // Room for what fills up the last block, too.
        let needed = self.memory.len() + more + BLOCK;
        if needed > self.memory.capacity() {
            self.move_to(needed.next_power_of_two().max(SMALL));
        }
        &mut self.memory
    }

    /// Gives memory back if there is more than `max` bytes. Nothing may be new.
    pub fn shrink_to(&mut self, max: usize) {
        if self.memory.capacity() > max {
            self.move_to(SMALL);
        }
    }

    fn move_to(&mut self, capacity: usize) {
        let mut memory = Vec::with_capacity(capacity + BLOCK);
        let pointer: *const u8 = memory.as_ptr();
        let start = pointer.align_offset(BLOCK).min(BLOCK);
        memory.resize(start, 0);
        memory.extend_from_slice(&self.memory[self.start..]);
        (self.memory, self.start) = (memory, start);
    }

    /// Whole blocks, filled up with zeros, and where they go.
    pub(super) fn blocks(&mut self) -> Blocks<'_> {
        let len = self.memory.len();
        let whole = (len - self.start).next_multiple_of(BLOCK);
        self.memory.resize(self.start + whole, 0);
        Blocks { len, buffer: self }
    }

    /// The new bytes are in the file.
    pub fn written(&mut self) {
        let used = self.memory.len() - self.start;
        self.offset += (used - self.kept) as u64;
        self.kept = used % BLOCK;
        self.memory.copy_within(self.start + used - self.kept.., self.start);
        self.memory.truncate(self.start + self.kept);
    }
}

/// A buffer with zeros behind its end.
pub(super) struct Blocks<'a> {
    buffer: &'a mut LogBuffer,
    len: usize,
}

impl Blocks<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer.memory[self.buffer.start..]
    }

    pub(super) fn offset(&self) -> u64 {
        self.buffer.offset - self.buffer.kept as u64
    }
}

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        self.buffer.memory.truncate(self.len);
    }
}
