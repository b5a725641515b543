//! Read requests, decoded; they borrow from the frame.

use std::borrow::Cow;

use jute::codec::UStr;
use jute::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, MultiHeader,
    SetDataRequest, op,
};
use jute::{DecodeError, Reader};

/// A read with its body decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadRequest<'a> {
    /// `exists`.
    Exists {
        /// Path.
        path: UStr<'a>,
        /// Arm a watch.
        watch: bool,
    },
    /// `getData`.
    GetData {
        /// Path.
        path: UStr<'a>,
        /// Arm a watch.
        watch: bool,
    },
    /// `getACL`.
    GetAcl {
        /// Path.
        path: UStr<'a>,
    },
    /// `getChildren` and `getChildren2`.
    GetChildren {
        /// Path.
        path: UStr<'a>,
        /// Arm a watch.
        watch: bool,
        /// The reply carries the stat (`getChildren2`).
        with_stat: bool,
    },
    /// `getAllChildrenNumber`.
    GetAllChildrenNumber {
        /// Path.
        path: UStr<'a>,
    },
    /// `getEphemerals`.
    GetEphemerals {
        /// Prefix; null, blank or `/` for all.
        prefix: UStr<'a>,
    },
    /// `multiRead`.
    MultiRead(Vec<MultiReadOp<'a>>),
    /// A multi of writes under the op code of a multi of reads.
    MultiReadOfWrites,
    /// `checkWatches`.
    CheckWatches {
        /// Path.
        path: UStr<'a>,
        /// [`crate::watch::WatcherType`], unchecked.
        kind: i32,
    },
    /// `removeWatches`.
    RemoveWatches {
        /// Path.
        path: UStr<'a>,
        /// [`crate::watch::WatcherType`], unchecked.
        kind: i32,
    },
    /// `addWatch`.
    AddWatch {
        /// Path.
        path: UStr<'a>,
        /// Mode, unchecked.
        mode: i32,
    },
    /// `setWatches` and `setWatches2`.
    SetWatches(Box<SetWatches<'a>>),
    /// `whoAmI`.
    WhoAmI,
    /// `ping`.
    Ping,
    /// The body is not what the op code says: MARSHALLINGERROR.
    Undecodable,
}

/// One operation of a `multiRead`; its watch flag counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiReadOp<'a> {
    /// `getChildren`.
    GetChildren(UStr<'a>),
    /// `getData`.
    GetData(UStr<'a>),
}

/// The lists of `setWatches` and `setWatches2`. A null list or a null path fails only when its turn
/// comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetWatches<'a> {
    /// Newest zxid the client has seen.
    pub relative_zxid: i64,
    /// From `getData`.
    pub data: Option<Vec<UStr<'a>>>,
    /// From `exists`.
    pub exist: Option<Vec<UStr<'a>>>,
    /// From `getChildren`.
    pub child: Option<Vec<UStr<'a>>>,
    /// From `addWatch` mode 0.
    pub persistent: Option<Vec<UStr<'a>>>,
    /// From `addWatch` mode 1.
    pub recursive: Option<Vec<UStr<'a>>>,
}

impl<'a> ReadRequest<'a> {
    /// Decodes the body of a read with op code `kind`. `field_max` limits each string.
    ///
    /// Whatever cannot be decoded, an unknown op code included, is [`ReadRequest::Undecodable`].
    pub fn decode(kind: i32, body: &'a [u8], field_max: usize) -> Self {
        let mut input = Reader::with_limit(body, field_max);
        Self::try_decode(kind, &mut input).unwrap_or(Self::Undecodable)
    }

    fn try_decode(kind: i32, input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(match kind {
            op::EXISTS => Self::Exists { path: input.read()?, watch: input.read()? },
            op::GET_DATA => Self::GetData { path: input.read()?, watch: input.read()? },
            op::GET_ACL => Self::GetAcl { path: input.read()? },
            op::GET_CHILDREN | op::GET_CHILDREN2 => Self::GetChildren {
                path: input.read()?,
                watch: input.read()?,
                with_stat: kind == op::GET_CHILDREN2,
            },
            op::GET_ALL_CHILDREN_NUMBER => Self::GetAllChildrenNumber { path: input.read()? },
            op::GET_EPHEMERALS => Self::GetEphemerals { prefix: input.read()? },
            op::MULTI_READ => Self::multi_read(input)?,
            op::CHECK_WATCHES => Self::CheckWatches { path: input.read()?, kind: input.read()? },
            op::REMOVE_WATCHES => Self::RemoveWatches { path: input.read()?, kind: input.read()? },
            op::ADD_WATCH => Self::AddWatch { path: input.read()?, mode: input.read()? },
            op::SET_WATCHES | op::SET_WATCHES2 => {
                let two = kind == op::SET_WATCHES2;
                Self::SetWatches(Box::new(SetWatches {
                    relative_zxid: input.read()?,
                    data: input.read()?,
                    exist: input.read()?,
                    child: input.read()?,
                    persistent: if two { input.read()? } else { Some(Vec::new()) },
                    recursive: if two { input.read()? } else { Some(Vec::new()) },
                }))
            }
            op::WHO_AM_I => Self::WhoAmI,
            op::PING => Self::Ping,
            _ => return Err(DecodeError::Value { what: "op code of a read", value: kind.into() }),
        })
    }

    fn multi_read(input: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (mut ops, mut writes) = (Vec::new(), 0);
        let mut header: MultiHeader = input.read()?;
        while !header.done {
            match header.kind {
                op::GET_DATA => ops.push(MultiReadOp::GetData(input.read()?)),
                op::GET_CHILDREN => ops.push(MultiReadOp::GetChildren(input.read()?)),
                kind => {
                    skip_write(kind, input)?;
                    writes += 1;
                }
            }
            if header.kind == op::GET_DATA || header.kind == op::GET_CHILDREN {
                input.read::<bool>()?;
            }
            if writes > 0 && !ops.is_empty() {
                return Err(DecodeError::Value { what: "mixed multi", value: header.kind.into() });
            }
            header = input.read()?;
        }
        Ok(if writes > 0 { Self::MultiReadOfWrites } else { Self::MultiRead(ops) })
    }

    /// The path that the request is about, for metrics and the audit log.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Exists { path, .. }
            | Self::GetData { path, .. }
            | Self::GetAcl { path }
            | Self::GetChildren { path, .. }
            | Self::GetAllChildrenNumber { path }
            | Self::CheckWatches { path, .. }
            | Self::RemoveWatches { path, .. }
            | Self::AddWatch { path, .. } => path.as_ref().map(Cow::as_ref),
            _ => None,
        }
    }
}

/// Reads past a write, with the checks of `MultiOperationRecord.deserialize`.
fn skip_write(kind: i32, input: &mut Reader<'_>) -> Result<(), DecodeError> {
    match kind {
        op::CREATE | op::CREATE2 | op::CREATE_CONTAINER => {
            let create: CreateRequest<'_> = input.read()?;
            if !(0..=4).contains(&create.flags) || create.acl.is_none() {
                return Err(DecodeError::Value { what: "flags", value: create.flags.into() });
            }
        }
        op::CREATE_TTL => drop(input.read::<CreateTtlRequest<'_>>()?),
        op::DELETE => drop(input.read::<DeleteRequest<'_>>()?),
        op::SET_DATA => drop(input.read::<SetDataRequest<'_>>()?),
        op::CHECK => drop(input.read::<CheckVersionRequest<'_>>()?),
        _ => return Err(DecodeError::Value { what: "multiRead", value: kind.into() }),
    }
    Ok(())
}

/// What `read_per_namespace` counts of a read that succeeded: its path, and the bytes of path, data
/// or child names, and stat (`DataTree.updateReadStat`). `reply` is the whole frame.
pub fn shown<'a>(request: &'a ReadRequest<'_>, reply: &[u8]) -> Option<(&'a str, i64)> {
    /// Length, xid, zxid, error.
    const HEAD: usize = 4 + 4 + 8 + 4;
    const STAT: usize = 68;
    let body = reply.get(HEAD..).filter(|_| reply[HEAD - 4..HEAD] == [0; 4])?;
    let (path, bytes) = match request {
        ReadRequest::Exists { path, .. } => (path, 0),
        ReadRequest::GetData { path, .. } => (path, body.len().saturating_sub(4 + STAT)),
        ReadRequest::GetChildren { path, with_stat, .. } => {
            let count = i32::from_be_bytes(*body.first_chunk()?).max(0) as usize;
            let rest = if *with_stat { STAT } else { 0 };
            (path, body.len().saturating_sub(4 + 4 * count + rest))
        }
        _ => return None,
    };
    let path = path.as_deref()?;
    Some((path, (path.len() + bytes + STAT) as i64))
}
