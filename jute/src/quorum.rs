//! Records between servers (`org.apache.zookeeper.server.quorum`).

use bytes::Bytes;

use crate::codec::{DecodeError, Encode, Reader, records};
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

/// Packet types of the quorum port (`Leader` constants; the same in 3.5 to 3.10).
pub mod kind {
    /// Learner to leader: a client's write or sync.
    pub const REQUEST: i32 = 1;
    /// Leader to follower: a transaction to log.
    pub const PROPOSAL: i32 = 2;
    /// Learner to leader: the transaction is on disk; or NEWLEADER or UPTODATE was carried out.
    pub const ACK: i32 = 3;
    /// Leader to follower: apply the transaction.
    pub const COMMIT: i32 = 4;
    /// Both ways: alive; the learner's answer carries touched sessions.
    pub const PING: i32 = 5;
    /// Learner asks whether a session still lives, and the answer.
    pub const REVALIDATE: i32 = 6;
    /// Leader to learner: a forwarded sync is complete.
    pub const SYNC: i32 = 7;
    /// Leader to observer: a committed transaction.
    pub const INFORM: i32 = 8;
    /// COMMIT of a reconfiguration.
    pub const COMMITANDACTIVATE: i32 = 9;
    /// The end of the history before this epoch.
    pub const NEWLEADER: i32 = 10;
    /// First packet of a participant.
    pub const FOLLOWERINFO: i32 = 11;
    /// The learner may serve.
    pub const UPTODATE: i32 = 12;
    /// Sync mode: only missing transactions follow.
    pub const DIFF: i32 = 13;
    /// Sync mode: truncate the log first.
    pub const TRUNC: i32 = 14;
    /// Sync mode: a snapshot follows, raw.
    pub const SNAP: i32 = 15;
    /// First packet of an observer.
    pub const OBSERVERINFO: i32 = 16;
    /// The epoch the leader proposes.
    pub const LEADERINFO: i32 = 17;
    /// The learner accepts the epoch and says where its log ends.
    pub const ACKEPOCH: i32 = 18;
    /// INFORM of a reconfiguration.
    pub const INFORMANDACTIVATE: i32 = 19;
}

/// Version in [`LearnerInfo`] and LEADERINFO since 3.4.
pub const PROTOCOL_VERSION: i32 = 0x10000;

/// Ends the snapshot stream behind a SNAP packet.
pub const SNAPSHOT_SIGNATURE: &str = "BenWasHere";

/// Largest body of an initial message, in bytes (`QuorumCnxManager.InitialMessage`).
pub const INITIAL_MESSAGE_MAX: usize = 2048;

/// Largest frame on the election port, in bytes (`QuorumCnxManager.PACKETMAXSIZE`).
pub const ELECTION_FRAME_MAX: usize = 524_288;

const INITIAL_V1: i64 = -65536;
const INITIAL_V2: i64 = -65535;

impl LearnerInfo {
    /// Reads what any release sends: 8 bytes (sid), 12 (and protocol version) or 20.
    pub fn decode_any(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        let mut info = LearnerInfo { server_id: input.read()?, ..LearnerInfo::default() };
        if bytes.len() >= 12 {
            info.protocol_version = input.read()?;
        }
        if bytes.len() >= 20 {
            info.config_version = input.read()?;
        }
        Ok(info)
    }
}

/// The first message on an election connection, dialler to acceptor
/// (`QuorumCnxManager.InitialMessage`). Must leave in one write: Java reads the body with one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialMessage {
    /// The dialler.
    pub sid: i64,
    /// Its election addresses, `host:port` each. Empty: 3.4, which sends its sid only.
    pub addresses: Vec<String>,
}

/// How much of an initial message is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitialProgress {
    /// At least this many bytes in total are needed to go on.
    Need(usize),
    /// The message, and the bytes it took.
    Done(InitialMessage, usize),
}

impl InitialMessage {
    /// Encodes V1, or V2 when `multi_address` is enabled.
    pub fn to_bytes(&self, multi_address: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        if self.addresses.is_empty() {
            self.sid.encode(&mut out);
            return out;
        }
        let (version, text) = if multi_address {
            (INITIAL_V2, self.addresses.join("|"))
        } else {
            (INITIAL_V1, self.addresses[0].clone())
        };
        version.encode(&mut out);
        self.sid.encode(&mut out);
        text.encode(&mut out);
        out
    }

    /// Reads the start of a connection. Never asks for more than 20 + [`INITIAL_MESSAGE_MAX`]
    /// bytes.
    pub fn parse(bytes: &[u8]) -> Result<InitialProgress, DecodeError> {
        if bytes.len() < 8 {
            return Ok(InitialProgress::Need(8));
        }
        let mut input = Reader::new(bytes);
        let first: i64 = input.read()?;
        if first >= 0 {
            return Ok(InitialProgress::Done(Self { sid: first, addresses: Vec::new() }, 8));
        }
        if first != INITIAL_V1 && first != INITIAL_V2 {
            return Err(DecodeError::Value { what: "initial message version", value: first });
        }
        if bytes.len() < 20 {
            return Ok(InitialProgress::Need(20));
        }
        let sid: i64 = input.read()?;
        let len: i32 = input.read()?;
        let size = match usize::try_from(len) {
            Ok(n) if n > 0 && n <= INITIAL_MESSAGE_MAX => n,
            _ => return Err(DecodeError::Length { len, at: 16, limit: INITIAL_MESSAGE_MAX }),
        };
        if bytes.len() < 20 + size {
            return Ok(InitialProgress::Need(20 + size));
        }
        let text = String::from_utf8_lossy(input.take(size, "addresses")?).into_owned();
        let addresses = if first == INITIAL_V2 {
            text.split('|').map(str::to_owned).collect()
        } else {
            vec![text]
        };
        Ok(InitialProgress::Done(Self { sid, addresses }, 20 + size))
    }
}

/// A vote as it stands in a frame of the election port (`FastLeaderElection.buildMsg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRecord {
    /// 0 looking, 1 following, 2 leading, 3 observing.
    pub state: i32,
    /// Proposed leader.
    pub leader: i64,
    /// The proposed leader's last zxid.
    pub zxid: i64,
    /// The sender's round.
    pub election_epoch: i64,
    /// The proposed leader's epoch.
    pub peer_epoch: i64,
    /// 0: up to 3.4; 2: with configuration.
    pub version: i32,
    /// The sender's committed configuration.
    pub config: Option<String>,
}

impl NotificationRecord {
    /// The layout a sender of `self.version` uses: 40 bytes for 0, with a configuration above 1.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.state.encode(&mut out);
        self.leader.encode(&mut out);
        self.zxid.encode(&mut out);
        self.election_epoch.encode(&mut out);
        self.peer_epoch.encode(&mut out);
        self.version.encode(&mut out);
        if self.version > 1 {
            self.config.as_deref().unwrap_or_default().encode(&mut out);
        }
        out
    }

    /// Reads a frame of any release: exactly 28 bytes (no epoch), exactly 40 (version 0 whatever
    /// its last field says), or more.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::with_limit(bytes, ELECTION_FRAME_MAX);
        let mut record = Self {
            state: input.read()?,
            leader: input.read()?,
            zxid: input.read()?,
            election_epoch: input.read()?,
            peer_epoch: 0,
            version: 0,
            config: None,
        };
        if !(0..=3).contains(&record.state) {
            return Err(DecodeError::Value { what: "peer state", value: record.state.into() });
        }
        if bytes.len() == 28 {
            record.peer_epoch = record.zxid >> 32;
            return Ok(record);
        }
        record.peer_epoch = input.read()?;
        if bytes.len() == 40 {
            return Ok(record);
        }
        record.version = input.read()?;
        if record.version > 1 {
            let len: i32 = input.read()?;
            let size = usize::try_from(len).map_err(|_| DecodeError::Length {
                len,
                at: 40,
                limit: ELECTION_FRAME_MAX,
            })?;
            let text = input.take(size, "configuration")?;
            record.config = Some(String::from_utf8_lossy(text).into_owned());
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Decode;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        digits
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Bytes seen on the wire of a 3.9.5 ensemble.
    #[test]
    fn packets_have_the_bytes_of_java() {
        let cases = [
            (
                "00000003 0000000100000000 ffffffff ffffffff",
                QuorumPacket { kind: kind::ACK, zxid: 1 << 32, data: None, authinfo: None },
            ),
            (
                "0000000b 0000000000000000 00000014 0000000000000001 00010000 0000000000000000 \
                 ffffffff",
                QuorumPacket {
                    kind: kind::FOLLOWERINFO,
                    zxid: 0,
                    data: Some(
                        LearnerInfo {
                            server_id: 1,
                            protocol_version: PROTOCOL_VERSION,
                            config_version: 0,
                        }
                        .to_vec()
                        .into(),
                    ),
                    authinfo: None,
                },
            ),
        ];
        for (bytes, packet) in cases {
            assert_eq!(packet.to_vec(), hex(bytes));
            assert_eq!(QuorumPacket::from_slice(&hex(bytes)), Ok(packet));
        }
    }

    #[test]
    fn initial_messages_of_every_release() {
        let v1 = hex("ffffffffffff0000 0000000000000002 0000000e 3132372e302e302e313a33383838");
        let message = InitialMessage { sid: 2, addresses: vec!["127.0.0.1:3888".into()] };
        assert_eq!(message.to_bytes(false), v1);
        for cut in 0..v1.len() {
            match InitialMessage::parse(&v1[..cut]) {
                Ok(InitialProgress::Need(n)) => assert!(n > cut && n <= v1.len()),
                other => panic!("{cut}: {other:?}"),
            }
        }
        assert_eq!(InitialMessage::parse(&v1), Ok(InitialProgress::Done(message, v1.len())));

        let two = InitialMessage { sid: 3, addresses: vec!["a:1".into(), "[::1]:2".into()] };
        let v2 = two.to_bytes(true);
        assert_eq!(v2[..8], hex("ffffffffffff0001"));
        assert_eq!(InitialMessage::parse(&v2), Ok(InitialProgress::Done(two, v2.len())));

        let old = hex("0000000000000007 ff");
        let seven = InitialMessage { sid: 7, addresses: vec![] };
        assert_eq!(InitialMessage::parse(&old), Ok(InitialProgress::Done(seven, 8)));

        for bad in [
            "fffffffffffffffe 0000000000000002 00000001 61",
            "ffffffffffff0000 0000000000000002 00000000",
            "ffffffffffff0000 0000000000000002 00000801",
            "ffffffffffff0000 0000000000000002 ffffffff",
        ] {
            assert!(InitialMessage::parse(&hex(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn notifications_of_every_release() {
        let head = "00000000 0000000000000003 0000000500000007 0000000000000002";
        let oldest = NotificationRecord::from_bytes(&hex(head)).unwrap();
        assert_eq!((oldest.peer_epoch, oldest.version), (5, 0));

        let forty = hex(&format!("{head} 0000000000000009 00000002"));
        let old = NotificationRecord::from_bytes(&forty).unwrap();
        assert_eq!((old.peer_epoch, old.version, old.config.clone()), (9, 0, None));
        assert_eq!(old.to_bytes().len(), 40);

        let full = hex(&format!("{head} 0000000000000009 00000002 00000009 76657273696f6e3d30"));
        let new = NotificationRecord::from_bytes(&full).unwrap();
        assert_eq!(new.config.as_deref(), Some("version=0"));
        assert_eq!(new.to_bytes(), full);

        for bad in [
            "00000000",
            "00000004 0000000000000003 0000000500000007 0000000000000002",
            &format!("{head} 0000000000000009 00000002 0000000a 76657273696f6e3d30"),
            &format!("{head} 0000000000000009 00000002 ffffffff 76657273696f6e3d30"),
        ] {
            assert!(NotificationRecord::from_bytes(&hex(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn learner_info_of_every_release() {
        let info = LearnerInfo { server_id: 5, protocol_version: 0x10000, config_version: 9 };
        let bytes = info.to_vec();
        assert_eq!(LearnerInfo::decode_any(&bytes), Ok(info.clone()));
        assert_eq!(
            LearnerInfo::decode_any(&bytes[..12]),
            Ok(LearnerInfo { config_version: 0, ..info.clone() })
        );
        assert_eq!(
            LearnerInfo::decode_any(&bytes[..8]),
            Ok(LearnerInfo { server_id: 5, ..LearnerInfo::default() })
        );
        assert!(LearnerInfo::decode_any(&bytes[..7]).is_err());
    }
}
