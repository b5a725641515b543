//! The bytes of a transaction log (`FileTxnLog`, `Util.writeTxnBytes`).
//!
//! ```text
//! header   "ZKLG" version:int=2 dbid:long=0                                       16 bytes
//! entry    checksum:long len:int payload[len] 0x42     Adler-32 of the payload only
//! ...
//! padding  zeros, which read as an entry of length 0
//! ```

use jute::persistence::{FILE_VERSION, FileHeader, TXNLOG_MAGIC};
use jute::{Decode, Encode};
use simd_adler32::adler32;

/// Bytes of the file header.
pub const HEADER_BYTES: usize = 16;
/// Bytes of an entry before its payload: checksum and length.
pub const ENTRY_HEAD_BYTES: usize = 12;
/// Bytes of an entry beside its payload.
pub const ENTRY_EXTRA_BYTES: usize = ENTRY_HEAD_BYTES + 1;
/// Last byte of every entry.
pub const END_OF_RECORD: u8 = b'B';

/// The header of every log.
pub fn encode_header(out: &mut Vec<u8>) {
    FileHeader { magic: TXNLOG_MAGIC, version: FILE_VERSION, dbid: 0 }.encode(out);
}

/// Checks the 16 bytes of a header. Version and dbid are not checked, as in Java.
pub fn check_header(bytes: &[u8]) -> Result<FileHeader, String> {
    let header = FileHeader::from_slice(bytes).map_err(|e| e.to_string())?;
    if header.magic != TXNLOG_MAGIC {
        return Err(format!("has invalid magic number {} != {TXNLOG_MAGIC}", header.magic));
    }
    Ok(header)
}

/// Appends one entry.
pub fn encode_entry(payload: &[u8], out: &mut Vec<u8>) {
    encode_checked_entry(payload, adler32(&payload), out);
}

/// The same with the payload's Adler-32 at hand.
pub fn encode_checked_entry(payload: &[u8], checksum: u32, out: &mut Vec<u8>) {
    debug_assert_eq!(checksum, adler32(&payload), "the checksum is the payload's");
    out.reserve(payload.len() + ENTRY_EXTRA_BYTES);
    i64::from(checksum).encode(out);
    let len = i32::try_from(payload.len()).expect("a payload is far below 2 GiB");
    len.encode(out);
    out.extend_from_slice(payload);
    out.push(END_OF_RECORD);
}

/// What stands at the start of some bytes of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A good entry with a payload of this many bytes; the next entry starts
    /// [`ENTRY_EXTRA_BYTES`] plus that further on.
    Good(usize),
    /// The entry needs this many bytes in all, more than there are.
    Short(usize),
    /// Checksum and length are zero: padding, or a hole.
    Zero,
    /// Not an entry.
    Bad(Fault),
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A length that is negative or above the limit; Java: "Unreasonable length".
    Length(i32),
    /// A length of zero with a checksum.
    LengthZero,
    /// The byte behind the payload is not [`END_OF_RECORD`]. The entry has this many bytes in all.
    EndMark(usize, u8),
    /// The checksum does not match. The entry has this many bytes in all.
    Checksum(usize),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Length(len) => write!(f, "Unreasonable length = {len}"),
            Fault::LengthZero => write!(f, "an entry of length 0 with a checksum"),
            Fault::EndMark(_, byte) => write!(f, "the entry's end mark is {byte:#04x}, not 0x42"),
            Fault::Checksum(_) => write!(f, "CRC check failed"),
        }
    }
}

/// Looks at the entry at the start of `bytes`. Order of checks as in Java: length, end mark,
/// checksum.
pub fn decode_entry(bytes: &[u8], payload_max: usize) -> Entry {
    let Some(head) = bytes.first_chunk::<ENTRY_HEAD_BYTES>() else {
        return Entry::Short(ENTRY_EXTRA_BYTES);
    };
    let checksum = i64::from_be_bytes(*head.first_chunk().expect("12 bytes begin with 8"));
    let len = i32::from_be_bytes(*head.last_chunk().expect("12 bytes end with 4"));
    let payload_len = match usize::try_from(len) {
        Ok(0) if checksum == 0 => return Entry::Zero,
        Ok(0) => return Entry::Bad(Fault::LengthZero),
        Ok(n) if n <= payload_max => n,
        _ => return Entry::Bad(Fault::Length(len)),
    };
    let total = payload_len + ENTRY_EXTRA_BYTES;
    let Some(entry) = bytes.get(..total) else {
        return Entry::Short(total);
    };
    if entry[total - 1] != END_OF_RECORD {
        return Entry::Bad(Fault::EndMark(total, entry[total - 1]));
    }
    let payload = &entry[ENTRY_HEAD_BYTES..total - 1];
    if i64::from(adler32(&payload)) != checksum {
        return Entry::Bad(Fault::Checksum(total));
    }
    Entry::Good(payload_len)
}

/// True if the entry at the start of `bytes` would be good but for one byte of its checksum, length
/// or payload.
pub fn is_one_byte_off(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<ENTRY_HEAD_BYTES>() else { return false };
    let stored = i64::from_be_bytes(*head.first_chunk().expect("12 bytes begin with 8"));
    let len: [u8; 4] = *head.last_chunk().expect("12 bytes end with 4");
    let payload_of = |len: [u8; 4]| -> Option<&[u8]> {
        let end = ENTRY_HEAD_BYTES.checked_add(usize::try_from(i32::from_be_bytes(len)).ok()?)?;
        (*bytes.get(end)? == END_OF_RECORD).then(|| &bytes[ENTRY_HEAD_BYTES..end])
    };
    for index in 0..4 {
        for value in 0..=u8::MAX {
            let mut other = len;
            other[index] = value;
            let good = |payload| other != len && i64::from(adler32(&payload)) == stored;
            if payload_of(other).is_some_and(good) {
                return true;
            }
        }
    }
    let Some(payload) = payload_of(len) else { return false };
    let computed = adler32(&payload);
    let off = (i64::from(computed) ^ stored).to_be_bytes();
    if off.iter().filter(|b| **b != 0).count() == 1 {
        return true;
    }
    // One byte `change` higher at `back` bytes from the end raises the low sum by `change` and the
    // high sum by `change * back`.
    const MODULUS: i64 = 65_521;
    let (Ok(stored), computed) = (u32::try_from(stored), i64::from(computed)) else { return false };
    let (low, high) = (i64::from(stored & 0xffff), i64::from(stored >> 16));
    let low = (low - (computed & 0xffff)).rem_euclid(MODULUS);
    let high = (high - (computed >> 16)).rem_euclid(MODULUS);
    let change = if low > MODULUS / 2 { low - MODULUS } else { low };
    if change == 0 || change.abs() > 255 {
        return false;
    }
    payload.iter().rev().enumerate().any(|(index, byte)| {
        let back = (index as i64 + 1) % MODULUS;
        (0..=255).contains(&(i64::from(*byte) + change))
            && (change * back - high).rem_euclid(MODULUS) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First entry of `java-3.8.0/small/log.1`.
    #[test]
    fn entry_of_java() {
        let hex = "00000000d7b60aa6000000300100002 3cad4000000000000 0000000000000001\
                   000001a1fe660f54fffffff600002710000000020000000051c6d66042";
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
            .collect();
        assert_eq!(decode_entry(&bytes, 100), Entry::Good(48));
        let mut again = Vec::new();
        encode_entry(&bytes[12..60], &mut again);
        assert_eq!(again, bytes);
    }

    #[test]
    fn one_byte_off() {
        let mut good = Vec::new();
        encode_entry(&[7; 300], &mut good);
        encode_entry(&[8; 300], &mut good);
        for index in 0..ENTRY_HEAD_BYTES + 300 {
            for change in [1, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[index] ^= change;
                assert!(is_one_byte_off(&bytes), "{index} {change}");
            }
        }
        let mut hole = good.clone();
        hole[100..200].fill(0);
        assert!(!is_one_byte_off(&hole));
        assert!(!is_one_byte_off(&good[..200]));
    }

    #[test]
    fn order_of_checks() {
        let mut entry = Vec::new();
        encode_entry(b"payload", &mut entry);
        assert_eq!(decode_entry(&entry, 7), Entry::Good(7));
        assert_eq!(decode_entry(&entry, 6), Entry::Bad(Fault::Length(7)));
        assert_eq!(decode_entry(&entry[..5], 7), Entry::Short(13));
        assert_eq!(decode_entry(&entry[..19], 7), Entry::Short(20));
        assert_eq!(decode_entry(&[0; 12], 7), Entry::Zero);
        entry[14] ^= 1;
        assert_eq!(decode_entry(&entry, 7), Entry::Bad(Fault::Checksum(20)));
        entry[19] = 0;
        assert_eq!(decode_entry(&entry, 7), Entry::Bad(Fault::EndMark(20, 0)));
    }
}
