//! Primitive types, the bounded [`Reader`], and the two traits every record implements.

use std::borrow::Cow;

use bytes::Bytes;
use thiserror::Error;

/// Java's default for `jute.maxbuffer`: the largest frame, in bytes.
pub const DEFAULT_MAX_BUFFER: usize = 0xf_ffff;

/// Java's default limit for one string or buffer inside a frame or a log entry, in bytes:
/// `jute.maxbuffer` plus `zookeeper.jute.maxbuffer.extrasize`, which defaults to the same value.
pub const DEFAULT_MAX_FIELD: usize = 2 * DEFAULT_MAX_BUFFER;

/// A null-able string as it stands in a record that borrows from the frame. Malformed UTF-8 was
/// replaced by U+FFFD, which is the only case that allocates.
pub type UStr<'a> = Option<Cow<'a, str>>;

/// A null-able byte buffer that borrows from the frame.
pub type Buf<'a> = Option<&'a [u8]>;

/// Why bytes are not the record they should be. Always the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The input ended inside a field.
    #[error("input ended at byte {at}: a {what} needs {needed} bytes, {left} are left")]
    Eof {
        /// The type that was being read.
        what: &'static str,
        /// Offset of the field from the start of the input.
        at: usize,
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// A length is negative (other than -1) or above the limit.
    #[error("unreasonable length = {len} at byte {at} (the limit is {limit})")]
    Length {
        /// The length as it stood in the input.
        len: i32,
        /// Offset of the length field.
        at: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A value is outside what the record allows.
    #[error("{what}: unexpected value {value}")]
    Value {
        /// The field.
        what: &'static str,
        /// The value found.
        value: i64,
    },
}

impl DecodeError {
    /// True if the input was merely too short. Readers of transaction logs treat this as the end
    /// of the file (`SerializeUtils.deserializeTxn`), everything else as corruption.
    pub fn is_eof(&self) -> bool {
        matches!(self, DecodeError::Eof { .. })
    }
}

/// A cursor over bytes with a limit for each string and buffer (`BinaryInputArchive.checkLength`).
///
/// No read allocates more than the input is long, whatever the lengths in it claim.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    field_max: usize,
    /// What `input` is a view of, if buffers shall share it.
    shared: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Reads `input` with Java's default limit.
    pub fn new(input: &'a [u8]) -> Self {
        Self::with_limit(input, DEFAULT_MAX_FIELD)
    }

    /// Reads `input`; one string or buffer may have at most `field_max` bytes.
    pub fn with_limit(input: &'a [u8], field_max: usize) -> Self {
        Self { input, at: 0, field_max, shared: None }
    }

    /// Reads `input` without a limit of its own; buffers in it are not copied, but keep all of it
    /// alive.
    pub fn sharing(input: &'a Bytes) -> Self {
        Self { shared: Some(input), ..Self::with_limit(input, input.len()) }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The bytes not read yet.
    pub fn remaining(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// True when everything was read.
    pub fn is_empty(&self) -> bool {
        self.at == self.input.len()
    }

    /// Reads any record or primitive.
    pub fn read<T: Decode<'a>>(&mut self) -> Result<T, DecodeError> {
        T::decode(self)
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let left = self.input.len() - self.at;
        if n > left {
            return Err(DecodeError::Eof { what, at: self.at, needed: n, left });
        }
        let bytes = &self.input[self.at..self.at + n];
        self.at += n;
        Ok(bytes)
    }

    /// A length or `None` for -1.
    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        let at = self.at;
        let len: i32 = self.read()?;
        match usize::try_from(len) {
            Ok(n) if n <= self.field_max => Ok(Some(n)),
            Err(_) if len == -1 => Ok(None),
            _ => Err(DecodeError::Length { len, at, limit: self.field_max }),
        }
    }

    /// A null-able byte buffer.
    pub fn buffer(&mut self) -> Result<Buf<'a>, DecodeError> {
        match self.length()? {
            Some(n) => Ok(Some(self.take(n, "buffer")?)),
            None => Ok(None),
        }
    }

    /// A null-able string; malformed UTF-8 becomes U+FFFD and never fails.
    pub fn ustring(&mut self) -> Result<UStr<'a>, DecodeError> {
        match self.length()? {
            Some(n) => Ok(Some(decode_utf8(self.take(n, "ustring")?))),
            None => Ok(None),
        }
    }
}

/// UTF-8 as Java's `new String(bytes, UTF_8)` reads it: each longest prefix of a possible sequence
/// becomes one U+FFFD. Rust's own replacement differs in one case: a whole encoded surrogate
/// (`ed a0..bf 80..bf`) is one replacement in Java, three in Rust, and it shows in replies that
/// echo a string.
fn decode_utf8(bytes: &[u8]) -> Cow<'_, str> {
    let mut rest = match std::str::from_utf8(bytes) {
        Ok(text) => return Cow::Borrowed(text),
        Err(_) => bytes,
    };
    let mut text = String::with_capacity(bytes.len() + 8);
    while let Some(chunk) = rest.utf8_chunks().next() {
        text.push_str(chunk.valid());
        rest = &rest[chunk.valid().len()..];
        if !rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            rest = &rest[malformed_len(rest)..];
        }
    }
    Cow::Owned(text)
}

/// How many bytes at the start of `bytes`, which is malformed there, one replacement stands for.
fn malformed_len(bytes: &[u8]) -> usize {
    let second = match bytes[0] {
        0xe0 => 0xa0..=0xbf,
        0xe1..=0xef => 0x80..=0xbf,
        0xf0 => 0x90..=0xbf,
        0xf1..=0xf3 => 0x80..=0xbf,
        0xf4 => 0x80..=0x8f,
        _ => return 1,
    };
    match bytes.get(1) {
        Some(byte) if second.contains(byte) => {}
        _ => return 1,
    }
    match bytes.get(2) {
        Some(0x80..=0xbf) => 3,
        _ => 2,
    }
}

/// A type that can be written.
pub trait Encode {
    /// Appends the encoding of `self`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding as a new vector.
    fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A type that can be read. `'a` is the life of the input, for records that borrow from it.
pub trait Decode<'a>: Sized {
    /// Reads one value and moves the cursor behind it.
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError>;

    /// Reads one value from the start of `bytes` with the default limit. Bytes behind it are
    /// ignored, as Java does.
    fn from_slice(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes))
    }
}

macro_rules! integers {
    ($($t:ty, $name:literal;)*) => {$(
        impl Encode for $t {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
        impl<'a> Decode<'a> for $t {
            #[inline]
            fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let bytes = input.take(size_of::<$t>(), $name)?;
                Ok(<$t>::from_be_bytes(bytes.try_into().expect("take returned the size asked for")))
            }
        }
    )*};
}
integers! { u8, "byte"; i32, "int"; i64, "long"; }

impl Encode for bool {
    #[inline]
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}
impl<'a> Decode<'a> for bool {
    /// Any byte but 0 is true.
    #[inline]
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(input.take(1, "boolean")?[0] != 0)
    }
}

/// Writes a string as Java does: UTF-16 unit by unit, so that a supplementary character becomes
/// two 3-byte surrogates (CESU-8) and not one 4-byte sequence (`stringToByteBuffer`).
impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.as_bytes();
        if !bytes.iter().any(|b| *b >= 0xf0) {
            encode_bytes(bytes, out);
            return;
        }
        let start = out.len();
        0i32.encode(out);
        for c in self.chars() {
            let mut units = [0u16; 2];
            if c.len_utf16() == 1 {
                let mut utf8 = [0u8; 4];
                out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes());
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                out.push(0xe0 | (*unit >> 12) as u8);
                out.push(0x80 | ((*unit >> 6) & 0x3f) as u8);
                out.push(0x80 | (*unit & 0x3f) as u8);
            }
        }
        let len = (out.len() - start - 4) as i32;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}
impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}
impl Encode for Cow<'_, str> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as i32).encode(out);
    out.extend_from_slice(bytes);
}
impl Encode for [u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
}
impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self, out);
    }
}

/// Null is -1 for strings, buffers and vectors alike.
impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.encode(out),
            None => (-1i32).encode(out),
        }
    }
}
impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as i32).encode(out);
        for item in self {
            item.encode(out);
        }
    }
}
impl<T: Encode + ?Sized> Encode for &T {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

impl<'a> Decode<'a> for UStr<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.ustring()
    }
}
impl<'a> Decode<'a> for Option<String> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(input.ustring()?.map(Cow::into_owned))
    }
}
impl<'a> Decode<'a> for Buf<'a> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        input.buffer()
    }
}
impl<'a> Decode<'a> for Option<Bytes> {
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(input.buffer()?.map(|buffer| match input.shared {
            Some(shared) => shared.slice_ref(buffer),
            None => Bytes::copy_from_slice(buffer),
        }))
    }
}
impl<'a, T: Decode<'a>> Decode<'a> for Option<Vec<T>> {
    /// -1 is null; any other negative count is an empty list (`BinaryInputArchive.startVector`).
    /// The count reserves nothing by itself: memory grows only as items are really read.
    fn decode(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count: i32 = input.read()?;
        if count == -1 {
            return Ok(None);
        }
        let count = usize::try_from(count).unwrap_or(0);
        let mut items = Vec::with_capacity(count.min(8));
        for _ in 0..count {
            items.push(input.read()?);
        }
        Ok(Some(items))
    }
}

/// Declares records: a struct with public fields, encoded in the order they are written. A record
/// with a lifetime borrows its strings and buffers from the input.
macro_rules! records {
    () => {};
    (
        $(#[$meta:meta])*
        $name:ident<'a> { $($(#[$fmeta:meta])* $field:ident: $t:ty,)* }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<'a> { $($(#[$fmeta])* pub $field: $t,)* }
        impl $crate::Encode for $name<'_> {
            #[allow(unused_variables)]
            fn encode(&self, out: &mut Vec<u8>) { $(self.$field.encode(out);)* }
        }
        impl<'a> $crate::Decode<'a> for $name<'a> {
            fn decode(input: &mut $crate::Reader<'a>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $($field: input.read()?,)* })
            }
        }
        records! { $($rest)* }
    };
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[$fmeta:meta])* $field:ident: $t:ty,)* }
        $($rest:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct $name { $($(#[$fmeta])* pub $field: $t,)* }
        impl $crate::Encode for $name {
            #[allow(unused_variables)]
            fn encode(&self, out: &mut Vec<u8>) { $(self.$field.encode(out);)* }
        }
        impl<'a> $crate::Decode<'a> for $name {
            fn decode(input: &mut $crate::Reader<'a>) -> Result<Self, $crate::DecodeError> {
                Ok(Self { $($field: input.read()?,)* })
            }
        }
        records! { $($rest)* }
    };
}
pub(crate) use records;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supplementary_characters_go_out_as_two_surrogates() {
        assert_eq!("/😀".to_vec(), b"\0\0\0\x07/\xed\xa0\xbd\xed\xb8\x80");
    }

    #[test]
    fn hostile_counts_and_lengths_fail_without_allocating() {
        let huge = [0x7f, 0xff, 0xff, 0xff];
        assert!(Option::<Vec<i64>>::from_slice(&huge).unwrap_err().is_eof());
        assert_eq!(
            Reader::new(&huge).buffer().unwrap_err(),
            DecodeError::Length { len: i32::MAX, at: 0, limit: DEFAULT_MAX_FIELD }
        );
        assert!(matches!(
            Reader::new(&[0xff, 0xff, 0xff, 0xfe]).ustring(),
            Err(DecodeError::Length { len: -2, .. })
        ));
    }

    #[test]
    fn negative_counts_other_than_null_are_empty() {
        assert_eq!(Option::<Vec<i32>>::from_slice(&(-1i32).to_vec()), Ok(None));
        assert_eq!(Option::<Vec<i32>>::from_slice(&(-7i32).to_vec()), Ok(Some(vec![])));
    }
}
