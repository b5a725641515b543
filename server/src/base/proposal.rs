//! A transaction on its way: decoded once, encoded once, shared by log, learners and apply.

use bytes::Bytes;
use jute::DecodeError;
use jute::txn::{Txn, TxnDigest, TxnHeader};
use simd_adler32::adler32;

use super::{Arena, Zxid};

/// A transaction with its encoding.
///
/// Invariant: `payload` is the encoding of the other three fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Session, cxid, zxid, time and type.
    pub header: TxnHeader,
    /// The record.
    pub txn: Txn,
    /// Digest of the tree after this transaction; none on error transactions.
    pub digest: Option<TxnDigest>,
    /// Header, record and digest as they stand in the log and in a PROPOSAL.
    pub payload: Bytes,
    /// What its maker knew and others need not find out again.
    pub hints: Hints,
}

/// Results that were at hand when a proposal was made, while its bytes were in the processor's
/// cache. They change nothing but the time it takes: without them the same values are computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// Adler-32 of the payload, as logs have it.
    pub checksum: Option<u32>,
    /// CRC-32 of path and data of the znode that is created or set (`tree::content_crc`). Not for
    /// a multi.
    pub content_crc: Option<u32>,
    /// Where the tree had the znode that is set. It may have gone from there since.
    pub place: Option<u32>,
}

/// Hints are no part of what a proposal says.
impl PartialEq for Hints {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Hints {}

/// Encodes proposals into shared chunks of memory.
#[derive(Debug, Default)]
pub struct Press {
    arena: Arena,
    scratch: Vec<u8>,
}

/// A scratch buffer that grew beyond this is given back, bytes.
const SCRATCH_KEEP: usize = 256 * 1024;

impl Press {
    /// The same as [`Proposal::encode`], with the payload in a chunk, its checksum, and `hints`.
    pub fn encode(
        &mut self,
        header: TxnHeader,
        txn: Txn,
        digest: Option<TxnDigest>,
        hints: Hints,
    ) -> Proposal {
        self.scratch.clear();
        Txn::encode_payload(&header, &txn, digest.as_ref(), &mut self.scratch);
        let hints = Hints { checksum: Some(adler32(&self.scratch.as_slice())), ..hints };
        let payload = self.arena.copy(&self.scratch);
        if self.scratch.capacity() > SCRATCH_KEEP {
            self.scratch = Vec::new();
        }
        let mut proposal = Proposal { header, txn, digest, payload, hints };
        proposal.share_data();
        proposal
    }
}

impl Proposal {
    /// Encodes a transaction.
    pub fn encode(header: TxnHeader, txn: Txn, digest: Option<TxnDigest>) -> Self {
        let mut payload = Vec::with_capacity(txn.size_hint());
        Txn::encode_payload(&header, &txn, digest.as_ref(), &mut payload);
        let payload = payload.into();
        let mut proposal = Self { header, txn, digest, payload, hints: Hints::default() };
        proposal.share_data();
        proposal
    }

    /// Lets the record's data live in the payload, so that whatever it was read from is free again
    /// while the transaction is on its way.
    fn share_data(&mut self) {
        /// Encoded [`TxnHeader`].
        const HEADER: usize = 32;
        /// A length before a string or buffer.
        const LENGTH: usize = 4;
        let data = match &mut self.txn {
            Txn::Create(t) => &mut t.data,
            Txn::CreateContainer(t) => &mut t.data,
            Txn::CreateTtl(t) => &mut t.data,
            Txn::SetData(t) => &mut t.data,
            _ => return,
        };
        let Some(bytes) = data.as_ref().filter(|bytes| !bytes.is_empty()) else { return };
        // All of these records begin with path and data.
        let Some(path) = self.payload[HEADER..].first_chunk::<LENGTH>() else { return };
        let path_len = usize::try_from(i32::from_be_bytes(*path)).unwrap_or(0);
        let start = HEADER + LENGTH + path_len + LENGTH;
        let shared = self.payload.slice(start..start + bytes.len());
        debug_assert!(shared == *bytes, "the payload holds the data");
        *data = Some(shared);
    }

    /// Decodes a payload read from a log or received from a leader.
    pub fn decode(payload: Bytes) -> Result<Self, DecodeError> {
        let (header, txn, digest) = Txn::decode_shared(&payload)?;
        Ok(Self { header, txn, digest, payload, hints: Hints::default() })
    }

    /// The transaction's zxid.
    pub fn zxid(&self) -> Zxid {
        Zxid(self.header.zxid)
    }
}
