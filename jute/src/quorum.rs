//! Records between servers (`org.apache.zookeeper.server.quorum`).

use bytes::Bytes;

use crate::codec::records;
use crate::data::Id;

records! {
    /// What a learner says of itself in FOLLOWERINFO and OBSERVERINFO. Older releases send only
    /// the first 8 or 12 bytes.
    LearnerInfo {
        /// The learner's sid.
        server_id: i64,
        /// 0x10000 since 3.4.
        protocol_version: i32,
        /// Version of the configuration the learner has committed.
        config_version: i64,
    }

    /// The one packet of the quorum port.
    QuorumPacket {
        /// Packet type.
        kind: i32,
        /// Meaning depends on the type.
        zxid: i64,
        /// Payload, depends on the type.
        data: Option<Bytes>,
        /// Identities of the client behind a forwarded request.
        authinfo: Option<Vec<Id>>,
    }

    /// One step of SASL between servers.
    QuorumAuthPacket {
        /// Marks the packet as authentication.
        magic: i64,
        /// 0 in progress, 1 success, -1 error.
        status: i32,
        /// SASL token.
        token: Option<Bytes>,
    }
}
