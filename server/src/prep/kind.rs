//! Op codes, sorted by what happens to them.

use jute::proto::op;

/// What a server does with a request, by its op code (`Request.isValid`, the `switch` statements
/// of the request processors).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpKind {
    /// Answered from the tree (`crate::read`), in order with the session's writes. Pings and
    /// `setWatches` are reads.
    Read,
    /// Becomes a transaction (`crate::prep`). `closeSession` is one; the connection is closed
    /// after its reply.
    Write,
    /// Completes in the order of writes, but is no transaction.
    Sync,
    /// Answered by the connection at once.
    Auth,
    /// Answered by the connection at once.
    Sasl,
    /// Unknown, or not for clients: reply -6 with zxid -1, then close. Among them `check` outside
    /// a multi (since 3.8.5 and 3.9.3) and, stricter than Java, `createSession`.
    Unknown,
}

impl OpKind {
    /// The kind of an op code that came from a client.
    pub fn of(code: i32) -> Self {
        match code {
            op::CREATE
            | op::CREATE2
            | op::CREATE_CONTAINER
            | op::CREATE_TTL
            | op::DELETE
            | op::DELETE_CONTAINER
            | op::SET_DATA
            | op::SET_ACL
            | op::MULTI
            | op::RECONFIG
            | op::CLOSE_SESSION => Self::Write,
            op::EXISTS
            | op::GET_DATA
            | op::GET_ACL
            | op::GET_CHILDREN
            | op::GET_CHILDREN2
            | op::GET_ALL_CHILDREN_NUMBER
            | op::GET_EPHEMERALS
            | op::MULTI_READ
            | op::CHECK_WATCHES
            | op::REMOVE_WATCHES
            | op::ADD_WATCH
            | op::SET_WATCHES
            | op::SET_WATCHES2
            | op::WHO_AM_I
            | op::PING => Self::Read,
            op::SYNC => Self::Sync,
            op::AUTH => Self::Auth,
            op::SASL => Self::Sasl,
            _ => Self::Unknown,
        }
    }

    /// True if a read-only server answers NOTREADONLY (-119). A `closeSession` of a local session
    /// is served; that is the caller's to know.
    pub fn is_refused_read_only(self) -> bool {
        matches!(self, Self::Write | Self::Sync)
    }
}

/// True if a request may be refused with THROTTLEDOP (-127) after waiting too long
/// (`Request.isThrottlable`).
pub fn is_throttlable(code: i32) -> bool {
    !matches!(code, op::PING | op::CLOSE_SESSION | op::CREATE_SESSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let of = |codes: &[i32], kind| {
            for code in codes {
                assert_eq!(OpKind::of(*code), kind, "{code}");
            }
        };
        of(&[1, 2, 5, 7, 14, 15, 16, 19, 20, 21, -11], OpKind::Write);
        of(&[3, 4, 6, 8, 11, 12, 17, 18, 22, 101, 103, 104, 105, 106, 107], OpKind::Read);
        of(&[9], OpKind::Sync);
        of(&[100], OpKind::Auth);
        of(&[102], OpKind::Sasl);
        of(&[0, 10, 13, 23, 99, 108, -1, -2, -10, i32::MIN, i32::MAX], OpKind::Unknown);
    }
}
