//! Records shared by all protocols (`org.apache.zookeeper.data`).

use crate::codec::{UStr, records};

/// READ bit of [`Acl::perms`].
pub const PERM_READ: i32 = 1;
/// WRITE bit of [`Acl::perms`].
pub const PERM_WRITE: i32 = 2;
/// CREATE bit of [`Acl::perms`].
pub const PERM_CREATE: i32 = 4;
/// DELETE bit of [`Acl::perms`].
pub const PERM_DELETE: i32 = 8;
/// ADMIN bit of [`Acl::perms`].
pub const PERM_ADMIN: i32 = 16;
/// All five permissions.
pub const PERM_ALL: i32 = 31;

records! {
    /// Who: a scheme and an id in it. Both can be null on the wire.
    Id {
        /// Name of the scheme, such as `world`, `digest` or `ip`.
        scheme: Option<String>,
        /// The id, in the scheme's own form.
        id: Option<String>,
    }

    /// One entry of an access control list.
    Acl {
        /// Permission bits; unknown bits are stored and returned untouched.
        perms: i32,
        /// Who has them.
        id: Id,
    }

    /// A znode's metadata as clients see it (68 bytes).
    Stat {
        /// Zxid of the create.
        czxid: i64,
        /// Zxid of the last change of the data.
        mzxid: i64,
        /// Time of the create, ms since 1970.
        ctime: i64,
        /// Time of the last change of the data, ms since 1970.
        mtime: i64,
        /// Changes of the data.
        version: i32,
        /// Changes of the children: creates and deletes.
        cversion: i32,
        /// Changes of the ACL.
        aversion: i32,
        /// Owning session of an ephemeral znode, else 0.
        ephemeral_owner: i64,
        /// Length of the data in bytes.
        data_length: i32,
        /// Number of children.
        num_children: i32,
        /// Zxid of the last change of the list of children.
        pzxid: i64,
    }

    /// A znode's metadata as it is stored (60 bytes).
    StatPersisted {
        /// Zxid of the create.
        czxid: i64,
        /// Zxid of the last change of the data.
        mzxid: i64,
        /// Time of the create, ms since 1970.
        ctime: i64,
        /// Time of the last change of the data, ms since 1970.
        mtime: i64,
        /// Changes of the data.
        version: i32,
        /// *Creates* of children only; clients see `2 * cversion - numChildren`.
        cversion: i32,
        /// Changes of the ACL.
        aversion: i32,
        /// Raw owner: session id, container mark, TTL mark and value, or 0.
        ephemeral_owner: i64,
        /// Zxid of the last change of the list of children.
        pzxid: i64,
    }

    /// One identity of a connection, as `whoAmI` reports it.
    ClientInfo<'a> {
        /// The scheme.
        auth_scheme: UStr<'a>,
        /// User name, or whatever the scheme shows for it.
        user: UStr<'a>,
    }
}

impl Acl {
    /// An entry from its three parts.
    pub fn new(perms: i32, scheme: &str, id: &str) -> Self {
        Self { perms, id: Id { scheme: Some(scheme.to_owned()), id: Some(id.to_owned()) } }
    }

    /// `world:anyone` with the given permissions.
    pub fn world(perms: i32) -> Self {
        Self::new(perms, "world", "anyone")
    }
}
