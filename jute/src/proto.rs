//! Client protocol (`org.apache.zookeeper.proto`): requests, responses, op codes.
//!
//! In the order of `zookeeper.jute`. Requests borrow from the frame they were read from.

use crate::codec::{Buf, DecodeError, Reader, UStr, records};
use crate::data::{Acl, ClientInfo, Stat};

/// Op codes (`ZooDefs.OpCode`).
#[allow(missing_docs)]
pub mod op {
    pub const NOTIFICATION: i32 = 0;
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const RECONFIG: i32 = 16;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const SASL: i32 = 102;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
    pub const ERROR: i32 = -1;
}

/// Xid of a watch notification.
pub const XID_NOTIFICATION: i32 = -1;
/// Xid of a ping.
pub const XID_PING: i32 = -2;
/// Xid of an auth packet.
pub const XID_AUTH: i32 = -4;
/// Xid of `setWatches`.
pub const XID_SET_WATCHES: i32 = -8;

records! {
    /// First frame of a client. `read_only` is missing from old clients, see
    /// [`ConnectRequest::decode_any`].
    ConnectRequest<'a> {
        /// Ignored.
        protocol_version: i32,
        /// Newest zxid the client has seen.
        last_zxid_seen: i64,
        /// Session timeout asked for, ms.
        timeout: i32,
        /// 0 for a new session.
        session_id: i64,
        /// Session password.
        passwd: Buf<'a>,
        /// True if a read-only server will do.
        read_only: bool,
    }

    /// First frame of a server. Old clients get it without the last byte.
    ConnectResponse<'a> {
        /// Always 0.
        protocol_version: i32,
        /// Negotiated timeout, ms; 0 if the session is not valid.
        timeout: i32,
        /// Session id; 0 if the session is not valid.
        session_id: i64,
        /// Always 16 bytes.
        passwd: Buf<'a>,
        /// True from a read-only server.
        read_only: bool,
    }

    /// Re-arms watches after a reconnect.
    SetWatches<'a> {
        /// Newest zxid the client has seen.
        relative_zxid: i64,
        /// From `getData`.
        data_watches: Option<Vec<UStr<'a>>>,
        /// From `exists`.
        exist_watches: Option<Vec<UStr<'a>>>,
        /// From `getChildren`.
        child_watches: Option<Vec<UStr<'a>>>,
    }

    /// [`SetWatches`] with the two persistent kinds.
    SetWatches2<'a> {
        /// Newest zxid the client has seen.
        relative_zxid: i64,
        /// From `getData`.
        data_watches: Option<Vec<UStr<'a>>>,
        /// From `exists`.
        exist_watches: Option<Vec<UStr<'a>>>,
        /// From `getChildren`.
        child_watches: Option<Vec<UStr<'a>>>,
        /// From `addWatch` mode 0.
        persistent_watches: Option<Vec<UStr<'a>>>,
        /// From `addWatch` mode 1.
        persistent_recursive_watches: Option<Vec<UStr<'a>>>,
    }

    /// Starts every request but the first.
    RequestHeader {
        /// The client's number for the request.
        xid: i32,
        /// See [`op`].
        kind: i32,
    }

    /// Starts every operation and result in a multi.
    MultiHeader {
        /// Op code, or -1 for an error result and for the end.
        kind: i32,
        /// True only for the end.
        done: bool,
        /// Error code, -1 in requests.
        err: i32,
    }

    /// `auth`.
    AuthPacket<'a> {
        /// Ignored.
        kind: i32,
        /// Scheme.
        scheme: UStr<'a>,
        /// Credentials.
        auth: Buf<'a>,
    }

    /// Starts every reply and notification.
    ReplyHeader {
        /// Xid of the request.
        xid: i32,
        /// Newest zxid the server has applied.
        zxid: i64,
        /// `KeeperException` code.
        err: i32,
    }

    /// `getData`.
    GetDataRequest<'a> { #[doc = "Path."] path: UStr<'a>, #[doc = "Arm a watch."] watch: bool, }

    /// `setData`.
    SetDataRequest<'a> {
        /// Path.
        path: UStr<'a>,
        /// New data.
        data: Buf<'a>,
        /// Expected version or -1.
        version: i32,
    }

    /// `reconfig`.
    ReconfigRequest<'a> {
        /// Servers to add or change.
        joining_servers: UStr<'a>,
        /// Sids to remove.
        leaving_servers: UStr<'a>,
        /// The whole new configuration, instead of the two above.
        new_members: UStr<'a>,
        /// Expected configuration version or -1.
        cur_config_id: i64,
    }

    /// Answer to `setData`.
    SetDataResponse { #[doc = "Metadata."] stat: Stat, }

    /// One SASL step of the client.
    GetSaslRequest<'a> { #[doc = "Token."] token: Buf<'a>, }

    /// One SASL step of the server.
    SetSaslResponse<'a> { #[doc = "Token."] token: Buf<'a>, }

    /// `create`, `create2`, `createContainer`.
    CreateRequest<'a> {
        /// Path, without sequence number.
        path: UStr<'a>,
        /// Data.
        data: Buf<'a>,
        /// Access control list.
        acl: Option<Vec<Acl>>,
        /// `CreateMode` flag, 0 to 6.
        flags: i32,
    }

    /// `createTTL`.
    CreateTtlRequest<'a> {
        /// Path, without sequence number.
        path: UStr<'a>,
        /// Data.
        data: Buf<'a>,
        /// Access control list.
        acl: Option<Vec<Acl>>,
        /// `CreateMode` flag, 5 or 6.
        flags: i32,
        /// Time to live, ms.
        ttl: i64,
    }

    /// `delete`.
    DeleteRequest<'a> {
        /// Path.
        path: UStr<'a>,
        /// Expected version or -1.
        version: i32,
    }

    /// `getChildren`.
    GetChildrenRequest<'a> { #[doc = "Path."] path: UStr<'a>, #[doc = "Arm a watch."] watch: bool, }

    /// `getAllChildrenNumber`.
    GetAllChildrenNumberRequest<'a> { #[doc = "Path."] path: UStr<'a>, }

    /// `getChildren2`.
    GetChildren2Request<'a> {
        /// Path.
        path: UStr<'a>,
        /// Arm a watch.
        watch: bool,
    }

    /// `check`, only inside a multi.
    CheckVersionRequest<'a> {
        /// Path.
        path: UStr<'a>,
        /// Expected version or -1.
        version: i32,
    }

    /// `sync`.
    SyncRequest<'a> { #[doc = "Path, only echoed."] path: UStr<'a>, }

    /// Answer to `sync`.
    SyncResponse<'a> { #[doc = "Path of the request."] path: UStr<'a>, }

    /// `getACL`.
    GetAclRequest<'a> { #[doc = "Path."] path: UStr<'a>, }

    /// `setACL`.
    SetAclRequest<'a> {
        /// Path.
        path: UStr<'a>,
        /// New list.
        acl: Option<Vec<Acl>>,
        /// Expected aversion or -1.
        version: i32,
    }

    /// Answer to `setACL`.
    SetAclResponse { #[doc = "Metadata."] stat: Stat, }

    /// `addWatch`.
    AddWatchRequest<'a> {
        /// Path.
        path: UStr<'a>,
        /// 0 persistent, 1 recursive.
        mode: i32,
    }

    /// A watch notification.
    WatcherEvent<'a> {
        /// 1 created, 2 deleted, 3 data changed, 4 children changed.
        kind: i32,
        /// Always 3 (SyncConnected).
        state: i32,
        /// Path of the change.
        path: UStr<'a>,
    }

    /// An error result, also the body of the answer to `addWatch`.
    ErrorResponse { #[doc = "Code."] err: i32, }

    /// Answer to `create`.
    CreateResponse<'a> { #[doc = "Final path."] path: UStr<'a>, }

    /// Answer to the other creates.
    Create2Response<'a> { #[doc = "Final path."] path: UStr<'a>, #[doc = "Metadata."] stat: Stat, }

    /// `exists`.
    ExistsRequest<'a> { #[doc = "Path."] path: UStr<'a>, #[doc = "Arm a watch."] watch: bool, }

    /// Answer to `exists`.
    ExistsResponse { #[doc = "Metadata."] stat: Stat, }

    /// Answer to `getData`.
    GetDataResponse<'a> { #[doc = "Data."] data: Buf<'a>, #[doc = "Metadata."] stat: Stat, }

    /// Answer to `getChildren`.
    GetChildrenResponse<'a> { #[doc = "Names, in no order."] children: Option<Vec<UStr<'a>>>, }

    /// Answer to `getAllChildrenNumber`.
    GetAllChildrenNumberResponse { #[doc = "Descendants."] total_number: i32, }

    /// Answer to `getChildren2`.
    GetChildren2Response<'a> {
        /// Names, in no order.
        children: Option<Vec<UStr<'a>>>,
        /// Metadata of the parent.
        stat: Stat,
    }

    /// Answer to `getACL`.
    GetAclResponse { #[doc = "The list."] acl: Option<Vec<Acl>>, #[doc = "Metadata."] stat: Stat, }

    /// `checkWatches`.
    CheckWatchesRequest<'a> { #[doc = "Path."] path: UStr<'a>, #[doc = "1 to 5."] kind: i32, }

    /// `removeWatches`.
    RemoveWatchesRequest<'a> { #[doc = "Path."] path: UStr<'a>, #[doc = "1 to 5."] kind: i32, }

    /// `getEphemerals`.
    GetEphemeralsRequest<'a> { #[doc = "Prefix; null or `/` for all."] prefix_path: UStr<'a>, }

    /// Answer to `getEphemerals`.
    GetEphemeralsResponse<'a> { #[doc = "Paths, in no order."] ephemerals: Option<Vec<UStr<'a>>>, }

    /// Answer to `whoAmI`.
    WhoAmIResponse<'a> {
        /// Identities of the connection.
        client_info: Option<Vec<ClientInfo<'a>>>,
    }
}

/// Ends every multi stream.
pub const MULTI_END: MultiHeader = MultiHeader { kind: -1, done: true, err: -1 };

impl<'a> ConnectRequest<'a> {
    /// Reads the request of any client. The second value is false for an old client, one that
    /// sends no `readOnly` byte and must be answered without it (`ProtocolManager`).
    pub fn decode_any(bytes: &'a [u8]) -> Result<(Self, bool), DecodeError> {
        let mut input = Reader::new(bytes);
        let mut request = ConnectRequest {
            protocol_version: input.read()?,
            last_zxid_seen: input.read()?,
            timeout: input.read()?,
            session_id: input.read()?,
            passwd: input.read()?,
            read_only: false,
        };
        match input.read() {
            Ok(read_only) => {
                request.read_only = read_only;
                Ok((request, true))
            }
            Err(_) => Ok((request, false)),
        }
    }
}
