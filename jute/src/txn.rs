//! Transaction records (`org.apache.zookeeper.txn`), as they stand in logs and proposals.
//!
//! A payload is a [`TxnHeader`], the record its type names, and since 3.6 a [`TxnDigest`] of the
//! tree after it. [`Txn::decode_payload`] follows `SerializeUtils.deserializeTxn`.

use bytes::Bytes;

use crate::codec::{DecodeError, Encode, Reader, records};
use crate::data::Acl;
use crate::proto::op;

/// The digest version this code computes and compares (AdHash over CRC-32, since 3.6).
pub const DIGEST_VERSION: i32 = 2;

records! {
    /// Digest of the whole tree after a transaction.
    TxnDigest {
        /// [`DIGEST_VERSION`].
        version: i32,
        /// The sum of all node digests.
        tree_digest: i64,
    }

    /// What every transaction starts with (32 bytes).
    TxnHeader {
        /// Session that asked; 0 for container and TTL removal.
        client_id: i64,
        /// The client's xid.
        cxid: i32,
        /// The transaction's zxid.
        zxid: i64,
        /// The leader's wall clock, ms since 1970.
        time: i64,
        /// Op code, see [`crate::proto::op`].
        kind: i32,
    }

    /// `create` and `create2`.
    CreateTxn {
        /// Final path, sequence number included.
        path: Option<String>,
        /// Data; null and empty differ.
        data: Option<Bytes>,
        /// Access control list, `auth` entries already replaced.
        acl: Option<Vec<Acl>>,
        /// True if the znode belongs to the session in the header.
        ephemeral: bool,
        /// The parent's stored cversion after this create; -1 means "plus one" (3.3 logs).
        parent_cversion: i32,
    }

    /// `createTTL`.
    CreateTtlTxn {
        /// Final path.
        path: Option<String>,
        /// Data.
        data: Option<Bytes>,
        /// Access control list.
        acl: Option<Vec<Acl>>,
        /// The parent's stored cversion after this create.
        parent_cversion: i32,
        /// Time to live in ms.
        ttl: i64,
    }

    /// `createContainer`.
    CreateContainerTxn {
        /// Final path.
        path: Option<String>,
        /// Data.
        data: Option<Bytes>,
        /// Access control list.
        acl: Option<Vec<Acl>>,
        /// The parent's stored cversion after this create.
        parent_cversion: i32,
    }

    /// `delete` and `deleteContainer`.
    DeleteTxn {
        /// Path.
        path: Option<String>,
    }

    /// `setData` and `reconfig`.
    SetDataTxn {
        /// Path.
        path: Option<String>,
        /// New data.
        data: Option<Bytes>,
        /// The *resulting* version.
        version: i32,
    }

    /// `check`, only inside a multi.
    CheckVersionTxn {
        /// Path.
        path: Option<String>,
        /// Current version plus one (sic, `PrepRequestProcessor.checkAndIncVersion`).
        version: i32,
    }

    /// `setACL`.
    SetAclTxn {
        /// Path.
        path: Option<String>,
        /// New list.
        acl: Option<Vec<Acl>>,
        /// The *resulting* aversion.
        version: i32,
    }

    /// `createSession`.
    CreateSessionTxn {
        /// Negotiated timeout, ms.
        timeout: i32,
    }

    /// `closeSession` since 3.6.
    CloseSessionTxn {
        /// Ephemerals to delete, in this order.
        paths_to_delete: Option<Vec<Option<String>>>,
    }

    /// A request that failed validation; it still has a zxid.
    ErrorTxn {
        /// `KeeperException` code.
        err: i32,
    }

    /// One operation inside a multi: type and encoded record, no header, no digest.
    SubTxn {
        /// Op code.
        kind: i32,
        /// The encoded record.
        data: Option<Bytes>,
    }

    /// `multi`.
    MultiTxn {
        /// The operations in order.
        txns: Option<Vec<SubTxn>>,
    }
}

/// A decoded transaction record. The op code is in the header (or [`SubTxn::kind`]); records that
/// several op codes share appear once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn {
    /// Types 1 and 15.
    Create(CreateTxn),
    /// Type 19.
    CreateContainer(CreateContainerTxn),
    /// Type 21.
    CreateTtl(CreateTtlTxn),
    /// Types 2 and 20.
    Delete(DeleteTxn),
    /// Types 5 and 16.
    SetData(SetDataTxn),
    /// Type 7.
    SetAcl(SetAclTxn),
    /// Type 13.
    Check(CheckVersionTxn),
    /// Type -10.
    CreateSession(CreateSessionTxn),
    /// Type -11. `None`: written before 3.6 or with `closeSessionTxn.enabled=false`.
    CloseSession(Option<CloseSessionTxn>),
    /// Type -1.
    Error(ErrorTxn),
    /// Type 14.
    Multi(MultiTxn),
}

impl Encode for Txn {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Txn::Create(t) => t.encode(out),
            Txn::CreateContainer(t) => t.encode(out),
            Txn::CreateTtl(t) => t.encode(out),
            Txn::Delete(t) => t.encode(out),
            Txn::SetData(t) => t.encode(out),
            Txn::SetAcl(t) => t.encode(out),
            Txn::Check(t) => t.encode(out),
            Txn::CreateSession(t) => t.encode(out),
            Txn::CloseSession(Some(t)) => t.encode(out),
            Txn::CloseSession(None) => {}
            Txn::Error(t) => t.encode(out),
            Txn::Multi(t) => t.encode(out),
        }
    }
}

impl Txn {
    /// Reads the record of a top-level transaction of type `kind`. Leaves the cursor behind it.
    pub fn decode_record(kind: i32, input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            op::CREATE => Txn::Create(decode_create(input)?),
            op::CREATE2 => Txn::Create(input.read()?),
            op::CREATE_CONTAINER => Txn::CreateContainer(input.read()?),
            op::CREATE_TTL => Txn::CreateTtl(input.read()?),
            op::DELETE | op::DELETE_CONTAINER => Txn::Delete(input.read()?),
            op::SET_DATA | op::RECONFIG => Txn::SetData(input.read()?),
            op::SET_ACL => Txn::SetAcl(input.read()?),
            op::CREATE_SESSION => Txn::CreateSession(input.read()?),
            op::CLOSE_SESSION => Txn::CloseSession(decode_close_session(input)?),
            op::ERROR => Txn::Error(input.read()?),
            op::MULTI => Txn::Multi(input.read()?),
            _ => return Err(DecodeError::Value { what: "transaction type", value: kind.into() }),
        })
    }

    /// Reads a record inside a multi, where fewer types are allowed (`DataTree.processTxn`).
    pub fn decode_sub(sub: &SubTxn) -> Result<Self, DecodeError> {
        let data = sub.data.as_deref().unwrap_or_default();
        let mut input = Reader::with_limit(data, data.len());
        match sub.kind {
            op::CHECK => Ok(Txn::Check(input.read()?)),
            op::CREATE
            | op::CREATE2
            | op::CREATE_CONTAINER
            | op::CREATE_TTL
            | op::DELETE
            | op::DELETE_CONTAINER
            | op::SET_DATA
            | op::ERROR => Self::decode_record(sub.kind, &mut input),
            kind => Err(DecodeError::Value { what: "type inside a multi", value: kind.into() }),
        }
    }

    /// Reads header, record and, if there is one, the digest.
    pub fn decode_payload(
        payload: &[u8],
    ) -> Result<(TxnHeader, Self, Option<TxnDigest>), DecodeError> {
        Self::read_payload(Reader::with_limit(payload, payload.len()))
    }

    /// The same; buffers in the record share the payload.
    pub fn decode_shared(
        payload: &Bytes,
    ) -> Result<(TxnHeader, Self, Option<TxnDigest>), DecodeError> {
        Self::read_payload(Reader::sharing(payload))
    }

    fn read_payload(
        mut input: Reader<'_>,
    ) -> Result<(TxnHeader, Self, Option<TxnDigest>), DecodeError> {
        let header: TxnHeader = input.read()?;
        let txn = Self::decode_record(header.kind, &mut input)?;
        let digest = input.read().ok();
        Ok((header, txn, digest))
    }

    /// About as many bytes as [`Txn::encode_payload`] will write, never fewer for records of
    /// usual shape: room for path and data, which make almost all of the size.
    pub fn size_hint(&self) -> usize {
        // Header, digest, lengths, stat-like fields, and one ordinary ACL entry.
        const OTHER: usize = 32 + 12 + 32 + 40;
        let sizes = |path: &Option<String>, data: &Option<Bytes>| {
            path.as_ref().map_or(0, String::len) + data.as_ref().map_or(0, Bytes::len)
        };
        OTHER
            + match self {
                Txn::Create(t) => sizes(&t.path, &t.data),
                Txn::CreateContainer(t) => sizes(&t.path, &t.data),
                Txn::CreateTtl(t) => sizes(&t.path, &t.data),
                Txn::SetData(t) => sizes(&t.path, &t.data),
                Txn::Delete(t) => sizes(&t.path, &None),
                Txn::SetAcl(t) => sizes(&t.path, &None),
                Txn::Multi(t) => {
                    t.txns.iter().flatten().map(|sub| 8 + sizes(&None, &sub.data)).sum()
                }
                Txn::Check(_) | Txn::CreateSession(_) | Txn::CloseSession(_) | Txn::Error(_) => 0,
            }
    }

    /// Writes header, record and digest: the payload of a log entry and of a PROPOSAL.
    pub fn encode_payload(
        header: &TxnHeader,
        txn: &Self,
        digest: Option<&TxnDigest>,
        out: &mut Vec<u8>,
    ) {
        header.encode(out);
        txn.encode(out);
        if let Some(digest) = digest {
            digest.encode(out);
        }
    }
}

/// Logs of 3.3 and before have no `parentCVersion`.
fn decode_create(input: &mut Reader<'_>) -> Result<CreateTxn, DecodeError> {
    let mut txn = CreateTxn {
        path: input.read()?,
        data: input.read()?,
        acl: input.read()?,
        ephemeral: input.read()?,
        parent_cversion: -1,
    };
    match input.read() {
        Ok(version) => txn.parent_cversion = version,
        Err(e) if e.is_eof() => {}
        Err(e) => return Err(e),
    }
    Ok(txn)
}

/// No record at all in old logs; and a server with `closeSessionTxn.enabled=false` writes header
/// and digest only, which must not be read as a list of two paths.
fn decode_close_session(input: &mut Reader<'_>) -> Result<Option<CloseSessionTxn>, DecodeError> {
    let rest = input.remaining();
    if rest.is_empty() || (rest.len() == 12 && rest.starts_with(&DIGEST_VERSION.to_be_bytes())) {
        return Ok(None);
    }
    match input.read() {
        Ok(txn) => Ok(Some(txn)),
        Err(e) if e.is_eof() => Ok(None),
        Err(e) => Err(e),
    }
}
