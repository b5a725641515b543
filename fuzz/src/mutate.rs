//! A small deterministic mutator for the smoke run.

/// Values that parsers get wrong.
const EDGES: &[u32] =
    &[0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x000f_ffff, 0x0010_0000, 0x7fff_ffff, 0x8000_0000];

/// Makes inputs out of seeds; the same ones for the same number.
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// Any number will do.
    pub fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let bits = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((bits * bound.max(1) as u64) >> 32) as usize
    }

    /// One to four changes to one of `seeds`.
    pub fn next(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes, seeds);
        }
        bytes.truncate(1 << 20);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let at = self.below(bytes.len());
        match self.below(9) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
            // Lengths and counts: an edge value over four bytes, or their negation.
            2 | 3 if bytes.len() >= 4 => {
                let at = self.below(bytes.len() - 3);
                let edge = EDGES[self.below(EDGES.len())];
                let edge = if self.below(2) == 0 { edge } else { edge.wrapping_neg() };
                bytes[at..at + 4].copy_from_slice(&edge.to_be_bytes());
            }
            4 => bytes.truncate(at),
            5 => {
                let count = self.below(9);
                let byte = [0, 0xff, b'/', 0x80][self.below(4)];
                bytes.splice(at..at, std::iter::repeat_n(byte, count));
            }
            6 if !bytes.is_empty() => {
                let to = (at + 1 + self.below(16)).min(bytes.len());
                bytes.drain(at..to);
            }
            // Part of another seed in the middle of this one.
            7 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                let to = (from + self.below(64)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            _ if bytes.len() > 1 => {
                let to = (at + 1 + self.below(32)).min(bytes.len());
                let copy = bytes[at..to].to_vec();
                bytes.extend(copy);
            }
            _ => bytes.push(self.below(256) as u8),
        }
    }
}
