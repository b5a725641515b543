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
        Self { header, txn, digest, payload: payload.into() }
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
