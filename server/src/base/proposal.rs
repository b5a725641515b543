//! A transaction on its way: decoded once, encoded once, shared by log, learners and apply.

use bytes::Bytes;
use jute::DecodeError;
use jute::txn::{Txn, TxnDigest, TxnHeader};

use super::Zxid;

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
}

impl Proposal {
    /// Encodes a transaction.
    pub fn encode(header: TxnHeader, txn: Txn, digest: Option<TxnDigest>) -> Self {
        let mut payload = Vec::with_capacity(txn.size_hint());
        Txn::encode_payload(&header, &txn, digest.as_ref(), &mut payload);
        let mut proposal = Self { header, txn, digest, payload: payload.into() };
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
        let (header, txn, digest) = Txn::decode_payload(&payload)?;
        Ok(Self { header, txn, digest, payload })
    }

    /// The transaction's zxid.
    pub fn zxid(&self) -> Zxid {
        Zxid(self.header.zxid)
    }
}
