//! Write requests, decoded and owned.

use bytes::Bytes;
use jute::data::Acl;
use jute::proto::{MULTI_END, MultiHeader, op};
use jute::{DecodeError, Encode, Reader};

use super::create_mode::CreateMode;

/// A write with its body decoded. A learner decodes before it forwards: a Java leader answers a
/// body it cannot read in a way that stops the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteRequest {
    /// The create family; also inside a multi.
    Create(Create),
    /// `delete`; also inside a multi.
    Delete {
        /// Path.
        path: Option<String>,
        /// Expected version or -1.
        version: i32,
    },
    /// `setData`; also inside a multi.
    SetData {
        /// Path.
        path: Option<String>,
        /// New data; null and empty differ.
        data: Option<Bytes>,
        /// Expected version or -1.
        version: i32,
    },
    /// `setACL`.
    SetAcl {
        /// Path.
        path: Option<String>,
        /// New list.
        acl: Option<Vec<Acl>>,
        /// Expected aversion or -1.
        version: i32,
    },
    /// `check`, only inside a multi.
    Check {
        /// Path.
        path: Option<String>,
        /// Expected version or -1.
        version: i32,
    },
    /// `multi`: the operations in order.
    Multi(Vec<WriteRequest>),
    /// `deleteContainer`, the removal of a container or TTL znode.
    DeleteContainer {
        /// Path.
        path: Option<String>,
    },
    /// `reconfig`.
    Reconfig(Reconfig),
    /// Internal: a session begins.
    CreateSession {
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// A session ends, by request or because it expired.
    CloseSession,
    /// The body is not what the op code says: MARSHALLINGERROR.
    Undecodable {
        /// True where Java takes a new zxid for the failure: most failures in a multi.
        takes_zxid: bool,
    },
}

/// A request of the create family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Op code: 1, 15, 19 or 21. Selects the transaction.
    pub kind: i32,
    /// Path without sequence number.
    pub path: Option<String>,
    /// Data; null and empty differ.
    pub data: Option<Bytes>,
    /// Access control list.
    pub acl: Option<Vec<Acl>>,
    /// `CreateMode` flag. Selects sequence number and owner.
    pub flags: i32,
    /// Time to live; -1 unless the op code is 21.
    pub ttl_ms: i64,
}

/// A change of the ensemble's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconfig {
    /// Servers to add or change.
    pub joining_servers: Option<String>,
    /// Sids to remove.
    pub leaving_servers: Option<String>,
    /// The whole new configuration, instead of the two above.
    pub new_members: Option<String>,
    /// Expected configuration version or -1.
    pub config_version: i64,
}

impl WriteRequest {
    /// Decodes the body of a write with op code `kind`. `field_max` limits each string and buffer
    /// (`jute.maxbuffer` plus extra). Data shares the allocation of `body`.
    ///
    /// Whatever cannot be decoded, an unknown op code included, is
    /// [`WriteRequest::Undecodable`].
    pub fn decode(kind: i32, body: &Bytes, field_max: usize) -> Self {
        let mut input = Input { body, reader: Reader::with_limit(body, field_max) };
        if kind == op::MULTI {
            return match input.multi() {
                Ok(ops) => Self::Multi(ops),
                Err(failure) => Self::Undecodable { takes_zxid: failure.takes_zxid },
            };
        }
        input.single(kind).unwrap_or(Self::Undecodable { takes_zxid: false })
    }
}

impl WriteRequest {
    /// The body again, for a leader: it decodes to the same request. `None` for what is not
    /// forwarded: undecodable bodies, which wedge a Java leader, removals of containers, and
    /// requests without a body.
    pub fn encode_body(&self) -> Option<Vec<u8>> {
        /// Lengths, version, flags and an ordinary list.
        const OTHER: usize = 64;
        let data = match self {
            Self::Create(Create { data, .. }) | Self::SetData { data, .. } => data.as_ref(),
            _ => None,
        };
        let size = OTHER + self.path().map_or(0, str::len) + data.map_or(0, Bytes::len);
        let mut out = Vec::with_capacity(size);
        self.encode_single(&mut out)?;
        Some(out)
    }

    fn encode_single(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Self::Create(create) => {
                create.path.encode(out);
                create.data.encode(out);
                create.acl.encode(out);
                create.flags.encode(out);
                if create.kind == op::CREATE_TTL {
                    create.ttl_ms.encode(out);
                }
            }
            Self::Delete { path, version } | Self::Check { path, version } => {
                path.encode(out);
                version.encode(out);
            }
            Self::SetData { path, data, version } => {
                path.encode(out);
                data.encode(out);
                version.encode(out);
            }
            Self::SetAcl { path, acl, version } => {
                path.encode(out);
                acl.encode(out);
                version.encode(out);
            }
            Self::Multi(ops) => {
                for one in ops {
                    MultiHeader { kind: one.kind(), done: false, err: -1 }.encode(out);
                    one.encode_single(out)?;
                }
                MULTI_END.encode(out);
            }
            Self::Reconfig(reconfig) => {
                reconfig.joining_servers.encode(out);
                reconfig.leaving_servers.encode(out);
                reconfig.new_members.encode(out);
                reconfig.config_version.encode(out);
            }
            Self::CreateSession { timeout_ms } => timeout_ms.encode(out),
            Self::CloseSession => {}
            Self::DeleteContainer { .. } | Self::Undecodable { .. } => return None,
        }
        Some(())
    }

    /// The op code of an operation inside a multi, and of its transaction.
    pub(super) fn kind(&self) -> i32 {
        match self {
            Self::Create(create) => create.kind,
            Self::Delete { .. } => op::DELETE,
            Self::SetData { .. } => op::SET_DATA,
            Self::SetAcl { .. } => op::SET_ACL,
            Self::Check { .. } => op::CHECK,
            Self::Multi(_) => op::MULTI,
            Self::DeleteContainer { .. } => op::DELETE_CONTAINER,
            Self::Reconfig(_) => op::RECONFIG,
            Self::CreateSession { .. } => op::CREATE_SESSION,
            Self::CloseSession => op::CLOSE_SESSION,
            Self::Undecodable { .. } => op::ERROR,
        }
    }

    /// The path that the request is about, for metrics and the audit log.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Create(Create { path, .. })
            | Self::Delete { path, .. }
            | Self::SetData { path, .. }
            | Self::SetAcl { path, .. }
            | Self::Check { path, .. }
            | Self::DeleteContainer { path } => path.as_deref(),
            _ => None,
        }
    }
}

/// Why a multi cannot be decoded.
struct MultiFailure {
    /// False where Java fails with something else than an `IOException`: it then takes no zxid.
    takes_zxid: bool,
}

impl From<DecodeError> for MultiFailure {
    fn from(_: DecodeError) -> Self {
        MultiFailure { takes_zxid: true }
    }
}

struct Input<'a> {
    body: &'a Bytes,
    reader: Reader<'a>,
}

impl Input<'_> {
    fn single(&mut self, kind: i32) -> Result<WriteRequest, DecodeError> {
        Ok(match kind {
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                WriteRequest::Create(self.create(kind)?)
            }
            op::DELETE => {
                WriteRequest::Delete { path: self.reader.read()?, version: self.reader.read()? }
            }
            op::SET_DATA => WriteRequest::SetData {
                path: self.reader.read()?,
                data: self.data()?,
                version: self.reader.read()?,
            },
            op::SET_ACL => WriteRequest::SetAcl {
                path: self.reader.read()?,
                acl: self.reader.read()?,
                version: self.reader.read()?,
            },
            op::CHECK => {
                WriteRequest::Check { path: self.reader.read()?, version: self.reader.read()? }
            }
            op::DELETE_CONTAINER => WriteRequest::DeleteContainer { path: self.reader.read()? },
            op::RECONFIG => WriteRequest::Reconfig(Reconfig {
                joining_servers: self.reader.read()?,
                leaving_servers: self.reader.read()?,
                new_members: self.reader.read()?,
                config_version: self.reader.read()?,
            }),
            op::CREATE_SESSION => WriteRequest::CreateSession { timeout_ms: self.reader.read()? },
            op::CLOSE_SESSION => WriteRequest::CloseSession,
            _ => return Err(DecodeError::Value { what: "op code of a write", value: kind.into() }),
        })
    }

    fn create(&mut self, kind: i32) -> Result<Create, DecodeError> {
        Ok(Create {
            kind,
            path: self.reader.read()?,
            data: self.data()?,
            acl: self.reader.read()?,
            flags: self.reader.read()?,
            ttl_ms: if kind == op::CREATE_TTL { self.reader.read()? } else { -1 },
        })
    }

    fn data(&mut self) -> Result<Option<Bytes>, DecodeError> {
        Ok(self.reader.buffer()?.map(|data| self.body.slice_ref(data)))
    }

    fn multi(&mut self) -> Result<Vec<WriteRequest>, MultiFailure> {
        let mut ops = Vec::new();
        // Reads may stand in a stream, but not together with writes; a multi of reads only is
        // taken apart later, where Java fails as well.
        let (mut reads, mut header): (usize, MultiHeader) = (0, self.reader.read()?);
        while !header.done {
            match header.kind {
                op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                    let create = self.create(header.kind)?;
                    ops.push(WriteRequest::Create(in_multi(create)?));
                }
                op::DELETE | op::SET_DATA | op::CHECK => ops.push(self.single(header.kind)?),
                op::GET_CHILDREN | op::GET_DATA => {
                    self.reader.ustring()?;
                    self.reader.read::<bool>()?;
                    reads += 1;
                }
                _ => return Err(MultiFailure { takes_zxid: true }),
            }
            if reads > 0 && !ops.is_empty() {
                return Err(MultiFailure { takes_zxid: true });
            }
            header = self.reader.read()?;
        }
        if reads > 0 {
            return Err(MultiFailure { takes_zxid: true });
        }
        Ok(ops)
    }
}

/// Inside a multi the flags decide about the op code as well (`MultiOperationRecord.deserialize`,
/// `Op.create`), and some mistakes spoil the whole request instead of one operation.
fn in_multi(mut create: Create) -> Result<Create, MultiFailure> {
    let mode = CreateMode::from_flags(create.flags);
    if create.kind == op::CREATE_TTL {
        // An unknown flag counts as persistent here; it is refused later, as a result.
        if !mode.is_some_and(CreateMode::is_ttl) {
            create.kind = op::CREATE;
            create.ttl_ms = -1;
        }
    } else {
        let mode = mode.ok_or(MultiFailure { takes_zxid: true })?;
        if create.acl.is_none() {
            return Err(MultiFailure { takes_zxid: false });
        }
        if mode.is_ttl() {
            return Err(MultiFailure { takes_zxid: true });
        }
    }
    if mode == Some(CreateMode::Container) {
        create.kind = op::CREATE_CONTAINER;
    }
    Ok(create)
}
