//! The bytes of a snapshot (`FileSnap`, `SerializeUtils`, `DataTree.serialize`, `SnapStream`).
//!
//! ```text
//!  1 header       "ZKSN" version:int=2 dbid:long=-1
//!  2 sessions     count:int, count x (id:long timeout:int)
//!  3 ACL map      count:int, count x (id:long list:vector<ACL>)
//!  4 nodes        path data acl:long StatPersisted        parents first, the root is ""
//!  5 end          "/"
//!  6 seal         Adler-32 of everything before it: long, "/"
//!  7 digest       zxid:long version:int digest:long       since 3.6, optional
//!  8 seal                                                 iff 7
//!  9 last zxid    long                                    since 3.9, optional
//! 10 seal                                                 iff 9
//! ```
//!
//! Seals cover everything before them, the earlier seals too, before compression. Java decides by
//! its own settings whether it expects 7 and 9 and so refuses good files after a setting changed;
//! here what is there decides. A SNAP sync carries 2 to 5 only.

use std::io::Read;

use jute::data::{Acl, StatPersisted};
use jute::persistence::{FILE_VERSION, FileHeader, SNAPSHOT_MAGIC};
use jute::txn::DIGEST_VERSION;
use jute::{Decode, DecodeError, Encode, Reader};
use simd_adler32::Adler32;
use thiserror::Error;

use crate::base::{SessionId, Zxid};
use crate::tree::load::{LoadError, TreeLoader};
use crate::tree::{AclList, ZxidDigest};

/// The path that ends the nodes.
pub const END_OF_NODES: &str = "/";
/// Bytes of a seal: checksum and [`END_OF_NODES`].
pub const SEAL_BYTES: usize = 13;
const DIGEST_BYTES: usize = 20;
const LAST_ZXID_BYTES: usize = 8;
/// More than any sections behind the first seal need.
const SECTIONS_MAX: usize = 4096;
const WINDOW_BYTES: usize = 1 << 20;

/// Why bytes are not a snapshot.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// It could not be read, or its compression is broken.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// A record is not what it should be.
    #[error("{0}")]
    Decode(#[from] DecodeError),
    /// The records do not make a tree.
    #[error("{0}")]
    Load(#[from] LoadError),
    /// Wrong magic.
    #[error("mismatching magic headers {0:08x} != 5a4b534e")]
    Magic(i32),
    /// A checksum is wrong.
    #[error("CRC corruption: seal {seal} is {found:08x}, the content has {expected:08x}")]
    Seal {
        /// Number of the seal, from 1.
        seal: u8,
        /// In the file.
        found: i64,
        /// Computed.
        expected: i64,
    },
    /// Anything else.
    #[error("{0}")]
    Invalid(String),
}

/// Takes what a snapshot holds, in file order. Who does not say what to do with sessions and ACLs
/// passes over them.
pub trait SnapshotSink {
    /// A session and its timeout in ms.
    fn session(&mut self, _session: SessionId, _timeout_ms: i32) -> Result<(), SnapshotError> {
        Ok(())
    }
    /// An entry of the ACL map.
    fn acl(&mut self, _id: i64, _list: Vec<Acl>) -> Result<(), SnapshotError> {
        Ok(())
    }
    /// A znode; the root is `""`.
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError>;
}

impl SnapshotSink for TreeLoader {
    fn session(&mut self, session: SessionId, timeout_ms: i32) -> Result<(), SnapshotError> {
        TreeLoader::session(self, session, timeout_ms);
        Ok(())
    }
    fn acl(&mut self, id: i64, list: Vec<Acl>) -> Result<(), SnapshotError> {
        TreeLoader::acl(self, id, list.into());
        Ok(())
    }
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        Ok(TreeLoader::node(self, path, data, acl, stat)?)
    }
}

/// Throws everything away: for verifying.
#[derive(Debug, Default)]
pub struct NoSink;

impl SnapshotSink for NoSink {
    fn node(
        &mut self,
        _: &str,
        _: Option<&[u8]>,
        _: i64,
        _: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        Ok(())
    }
}

/// What the optional sections said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sections {
    /// Section 7, if its version is ours; older ones cannot be compared.
    pub digest: Option<ZxidDigest>,
    /// Section 9.
    pub last_zxid: Option<Zxid>,
    /// Node records.
    pub nodes: u64,
    /// Bytes, uncompressed.
    pub bytes: u64,
}

/// Reads a whole snapshot file (uncompressed bytes) with every check.
pub fn read_snapshot(
    input: &mut dyn Read,
    field_max: usize,
    sink: &mut dyn SnapshotSink,
) -> Result<Sections, SnapshotError> {
    let mut window = Window::new(input);
    let header: FileHeader = window.record(field_max)?;
    if header.magic != SNAPSHOT_MAGIC {
        return Err(SnapshotError::Magic(header.magic));
    }
    let nodes = read_tree_from(&mut window, field_max, sink)?;
    let expected = window.checksum();
    let seal = window.take(SEAL_BYTES)?;
    check_seal(1, seal, expected)?;
    let mut sections = read_sections(&mut window)?;
    sections.nodes = nodes;
    sections.bytes = window.consumed();
    Ok(sections)
}

/// Reads sections 1 to 5 and ignores what follows, as Java's tools do.
pub fn read_unsealed(
    input: &mut dyn Read,
    field_max: usize,
    sink: &mut dyn SnapshotSink,
) -> Result<(), SnapshotError> {
    let mut window = Window::new(input);
    let header: FileHeader = window.record(field_max)?;
    if header.magic != SNAPSHOT_MAGIC {
        return Err(SnapshotError::Magic(header.magic));
    }
    read_tree_from(&mut window, field_max, sink)?;
    Ok(())
}

/// Reads a SNAP sync: sections 2 to 5 and the signature string behind them. What was read from
/// `input` beyond that is returned: it belongs to the packets that follow.
pub fn read_tree_stream(
    input: &mut dyn Read,
    field_max: usize,
    sink: &mut dyn SnapshotSink,
) -> Result<(String, Vec<u8>), SnapshotError> {
    let mut window = Window::new(input);
    read_tree_from(&mut window, field_max, sink)?;
    let signature: Option<String> = window.record(field_max)?;
    let rest = window.peek().to_vec();
    Ok((signature.unwrap_or_default(), rest))
}

fn read_tree_from(
    window: &mut Window<'_>,
    field_max: usize,
    sink: &mut dyn SnapshotSink,
) -> Result<u64, SnapshotError> {
    let sessions: i32 = window.record(field_max)?;
    for _ in 0..sessions {
        let id: i64 = window.record(field_max)?;
        let timeout: i32 = window.record(field_max)?;
        sink.session(SessionId(id), timeout)?;
    }
    let acls: i32 = window.record(field_max)?;
    for _ in 0..acls {
        let id: i64 = window.record(field_max)?;
        let list: Option<Vec<Acl>> = window.record(field_max)?;
        let list = list.ok_or_else(|| SnapshotError::Invalid(format!("ACL {id} has no list")))?;
        sink.acl(id, list)?;
    }
    let mut nodes = 0;
    while window.node(field_max, sink)? {
        nodes += 1;
    }
    Ok(nodes)
}

fn check_seal(number: u8, seal: &[u8], expected: u32) -> Result<(), SnapshotError> {
    let mut input = Reader::new(seal);
    let found: i64 = input.read()?;
    let expected = i64::from(expected);
    if found != expected {
        return Err(SnapshotError::Seal { seal: number, found, expected });
    }
    if input.ustring()?.as_deref() != Some(END_OF_NODES) {
        return Err(SnapshotError::Invalid(format!("seal {number} does not end with \"/\"")));
    }
    Ok(())
}

/// Sections 7 to 10, told apart by how many bytes there are.
fn read_sections(window: &mut Window<'_>) -> Result<Sections, SnapshotError> {
    let rest = window.available(SECTIONS_MAX)?;
    let mut sections = Sections::default();
    match rest {
        0 => return Ok(sections),
        n if n == LAST_ZXID_BYTES + SEAL_BYTES => {
            sections.last_zxid = Some(window.last_zxid(2)?);
            return Ok(sections);
        }
        n if n >= SECTIONS_MAX => {
            return Err(SnapshotError::Invalid("unknown bytes behind the tree".to_owned()));
        }
        _ => {}
    }
    // A digest of version 2 is a long, that of version 1 was a hex string.
    let mut peek = Reader::new(window.peek());
    let zxid: i64 = peek.read()?;
    let version: i32 = peek.read()?;
    let value = if version < DIGEST_VERSION {
        peek.ustring()?;
        None
    } else {
        Some(peek.read::<i64>()?)
    };
    let length = peek.position();
    debug_assert!(value.is_none() || length == DIGEST_BYTES);
    if let Some(digest) = value {
        sections.digest = Some(ZxidDigest { zxid: Zxid(zxid), version, digest });
    }
    window.take(length)?;
    let expected = window.checksum();
    check_seal(2, window.take(SEAL_BYTES)?, expected)?;
    match window.available(SECTIONS_MAX)? {
        0 => Ok(sections),
        n if n == LAST_ZXID_BYTES + SEAL_BYTES => {
            sections.last_zxid = Some(window.last_zxid(3)?);
            Ok(sections)
        }
        n => Err(SnapshotError::Invalid(format!("{n} unknown bytes behind the digest"))),
    }
}

/// A sliding view of the input that knows the checksum of what was consumed.
struct Window<'a> {
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
    /// Index of the next byte to consume.
    start: usize,
    /// Index behind the last byte read.
    end: usize,
    /// Bytes up to this index are in the checksum.
    summed: usize,
    adler: Adler32,
    /// Bytes consumed before index 0.
    before: u64,
    ended: bool,
}

impl<'a> Window<'a> {
    fn new(input: &'a mut dyn Read) -> Self {
        Self {
            input,
            buffer: vec![0; WINDOW_BYTES],
            start: 0,
            end: 0,
            summed: 0,
            adler: Adler32::new(),
            before: 0,
            ended: false,
        }
    }

    fn consumed(&self) -> u64 {
        self.before + self.start as u64
    }

    fn peek(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    fn sum(&mut self) {
        self.adler.write(&self.buffer[self.summed..self.start]);
        self.summed = self.start;
    }

    /// Adler-32 of everything consumed.
    fn checksum(&mut self) -> u32 {
        self.sum();
        self.adler.finish()
    }

    /// Reads more; false at the end of the input.
    fn more(&mut self) -> Result<bool, SnapshotError> {
        if self.ended {
            return Ok(false);
        }
        self.sum();
        self.before += self.start as u64;
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        self.summed = 0;
        if self.end == self.buffer.len() {
            // Doubling keeps a record larger than the window linear.
            let mut larger = vec![0; 2 * self.end];
            larger[..self.end].copy_from_slice(&self.buffer);
            self.buffer = larger;
        }
        let n = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.end += n;
        self.ended = n == 0;
        Ok(n > 0)
    }

    /// How many bytes are left, counted up to `max`.
    fn available(&mut self, max: usize) -> Result<usize, SnapshotError> {
        while self.peek().len() < max && self.more()? {}
        Ok(self.peek().len().min(max))
    }

    fn take(&mut self, n: usize) -> Result<&[u8], SnapshotError> {
        let left = self.available(n)?;
        if left < n {
            return Err(DecodeError::Eof { what: "section", at: 0, needed: n, left }.into());
        }
        self.start += n;
        Ok(&self.buffer[self.start - n..self.start])
    }

    /// One record, however long.
    fn record<T: for<'b> Decode<'b>>(&mut self, field_max: usize) -> Result<T, SnapshotError> {
        loop {
            let mut input = Reader::with_limit(&self.buffer[self.start..self.end], field_max);
            match input.read() {
                Ok(value) => {
                    self.start += input.position();
                    return Ok(value);
                }
                Err(e) => self.more_for(e)?,
            }
        }
    }

    /// One node record to `sink`; false if it was the end mark.
    fn node(
        &mut self,
        field_max: usize,
        sink: &mut dyn SnapshotSink,
    ) -> Result<bool, SnapshotError> {
        loop {
            let mut input = Reader::with_limit(&self.buffer[self.start..self.end], field_max);
            match decode_node(&mut input) {
                Ok(Some((path, data, acl, stat))) => {
                    let length = input.position();
                    sink.node(&path, data, acl, &stat)?;
                    self.start += length;
                    return Ok(true);
                }
                Ok(None) => {
                    self.start += input.position();
                    return Ok(false);
                }
                Err(e) => self.more_for(e)?,
            }
        }
    }

    /// Reads more if that can help against `error`.
    fn more_for(&mut self, error: DecodeError) -> Result<(), SnapshotError> {
        if error.is_eof() && self.more()? { Ok(()) } else { Err(error.into()) }
    }

    fn last_zxid(&mut self, seal: u8) -> Result<Zxid, SnapshotError> {
        let zxid: i64 = self.record(LAST_ZXID_BYTES)?;
        let expected = self.checksum();
        check_seal(seal, self.take(SEAL_BYTES)?, expected)?;
        Ok(Zxid(zxid))
    }
}

type NodeRecord<'a> = (std::borrow::Cow<'a, str>, Option<&'a [u8]>, i64, StatPersisted);

/// A node record, or `None` for the end mark.
fn decode_node<'a>(input: &mut Reader<'a>) -> Result<Option<NodeRecord<'a>>, DecodeError> {
    // A null path would be a null pointer in Java; it cannot stand for anything.
    let Some(path) = input.ustring()? else {
        return Err(DecodeError::Value { what: "path of a znode", value: -1 });
    };
    if path == END_OF_NODES {
        return Ok(None);
    }
    let data = input.buffer()?;
    Ok(Some((path, data, input.read()?, input.read()?)))
}

/// Appends the file header.
pub fn encode_header(out: &mut Vec<u8>) {
    FileHeader { magic: SNAPSHOT_MAGIC, version: FILE_VERSION, dbid: -1 }.encode(out);
}

/// Appends sections 2 and 3.
pub fn encode_tables(sessions: &[(SessionId, i32)], acls: &[(i64, AclList)], out: &mut Vec<u8>) {
    count(sessions.len()).encode(out);
    for (id, timeout) in sessions {
        id.0.encode(out);
        timeout.encode(out);
    }
    count(acls.len()).encode(out);
    for (id, list) in acls {
        id.encode(out);
        count(list.len()).encode(out);
        for acl in list.iter() {
            acl.encode(out);
        }
    }
}

/// Appends one node record.
pub fn encode_node(
    path: &str,
    data: Option<&[u8]>,
    acl: i64,
    stat: &StatPersisted,
    out: &mut Vec<u8>,
) {
    path.encode(out);
    match data {
        Some(data) => {
            count(data.len()).encode(out);
            out.extend_from_slice(data);
        }
        None => (-1i32).encode(out),
    }
    acl.encode(out);
    stat.encode(out);
}

/// Appends section 5.
pub fn encode_end(out: &mut Vec<u8>) {
    END_OF_NODES.encode(out);
}

/// Appends a seal.
pub fn encode_seal(checksum: u32, out: &mut Vec<u8>) {
    i64::from(checksum).encode(out);
    END_OF_NODES.encode(out);
}

/// Appends section 7. Without a digest Java writes zxid 0, version 2, digest 0.
pub fn encode_digest(digest: Option<ZxidDigest>, out: &mut Vec<u8>) {
    let empty = ZxidDigest { zxid: Zxid(0), version: DIGEST_VERSION, digest: 0 };
    let digest = digest.unwrap_or(empty);
    digest.zxid.0.encode(out);
    digest.version.encode(out);
    digest.digest.encode(out);
}

fn count(n: usize) -> i32 {
    i32::try_from(n).expect("counts and lengths stay below 2^31: ids of the tree have 32 bits")
}
