//! The packets of the quorum port as values, and their wire form. One place knows which fields a
//! type uses; everything above matches on [`Packet`].

use std::sync::Arc;

use bytes::Bytes;
use jute::data::Id;
use jute::quorum::{LearnerInfo, PROTOCOL_VERSION, QuorumPacket, kind};
use jute::{Decode, DecodeError, Encode, Reader};

use crate::base::{Epoch, Proposal, SessionId, Sid, Zxid};

/// A client's request on its way from a learner to the leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// The client's session.
    pub session: SessionId,
    /// The client's xid.
    pub cxid: i32,
    /// Op code.
    pub op: i32,
    /// The request record behind its header.
    pub body: Bytes,
    /// Identities of the connection; none on requests the learner makes itself.
    pub identities: Option<Arc<[Id]>>,
}

impl ForwardedRequest {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let ids = self.identities.iter().flat_map(|ids| ids.iter());
        64 + self.body.len() + ids.map(|id| 48 + text(&id.scheme) + text(&id.id)).sum::<usize>()
    }
}

/// A packet between learner and leader. `L` learner, `F` follower, `O` observer, `M` leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// L to M, first packet. FOLLOWERINFO or OBSERVERINFO.
    LearnerInfo {
        /// OBSERVERINFO.
        observer: bool,
        /// The learner's `acceptedEpoch`.
        accepted: Epoch,
        /// Its sid; none from releases that sent none.
        sid: Option<Sid>,
        /// 0x10000 since 3.4; lower ones do not know LEADERINFO.
        protocol: i32,
        /// Version of its committed membership.
        config_version: i64,
    },
    /// M to L: the epoch.
    LeaderInfo {
        /// The new epoch.
        epoch: Epoch,
    },
    /// L to M.
    AckEpoch {
        /// End of the learner's log.
        last: Zxid,
        /// Its `currentEpoch`; none if it had accepted this epoch before.
        current: Option<Epoch>,
    },
    /// M to L: only transactions follow; the zxid is informational.
    Diff(Zxid),
    /// M to L: truncate to this zxid first.
    Trunc(Zxid),
    /// M to L: a snapshot follows at this zxid.
    Snap(Zxid),
    /// M to F.
    Proposal(Arc<Proposal>),
    /// L to M: on disk; counter 0 acknowledges NEWLEADER and UPTODATE.
    Ack(Zxid),
    /// M to F.
    Commit(Zxid),
    /// M to O.
    Inform(Arc<Proposal>),
    /// M to F: commit of a reconfiguration.
    CommitAndActivate {
        /// Its zxid.
        zxid: Zxid,
        /// Who leads under the new membership.
        designated: Sid,
    },
    /// M to O.
    InformAndActivate {
        /// Who leads under the new membership.
        designated: Sid,
        /// The reconfiguration.
        proposal: Arc<Proposal>,
    },
    /// M to L: end of the initial history.
    NewLeader {
        /// The epoch.
        epoch: Epoch,
        /// The leader's last seen membership.
        config: Option<Arc<str>>,
    },
    /// M to L: serve.
    UpToDate,
    /// Both ways.
    Ping {
        /// The leader's last proposed zxid, echoed.
        zxid: Zxid,
        /// Sessions the learner's clients touched, with timeouts in ms; none from the leader.
        touched: Option<Vec<(SessionId, i32)>>,
    },
    /// L to M: does this session live? Also takes over its ownership.
    Revalidate {
        /// The session.
        session: SessionId,
        /// Its timeout in ms.
        timeout_ms: i32,
    },
    /// M to L.
    Revalidated {
        /// The session.
        session: SessionId,
        /// It lives and is now served by this learner.
        valid: bool,
    },
    /// M to L: the oldest forwarded sync is complete.
    Sync,
    /// L to M.
    Request(ForwardedRequest),
}

impl Packet {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        64 + match self {
            Packet::Proposal(proposal)
            | Packet::Inform(proposal)
            | Packet::InformAndActivate { proposal, .. } => 128 + proposal.payload.len(),
            Packet::Request(request) => request.weight(),
            Packet::Ping { touched, .. } => 16 * touched.as_ref().map_or(0, Vec::len),
            _ => 0,
        }
    }

    /// Name on the wire, for traces and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Packet::LearnerInfo { observer: false, .. } => "FOLLOWERINFO",
            Packet::LearnerInfo { observer: true, .. } => "OBSERVERINFO",
            Packet::LeaderInfo { .. } => "LEADERINFO",
            Packet::AckEpoch { .. } => "ACKEPOCH",
            Packet::Diff(_) => "DIFF",
            Packet::Trunc(_) => "TRUNC",
            Packet::Snap(_) => "SNAP",
            Packet::Proposal(_) => "PROPOSAL",
            Packet::Ack(_) => "ACK",
            Packet::Commit(_) => "COMMIT",
            Packet::Inform(_) => "INFORM",
            Packet::CommitAndActivate { .. } => "COMMITANDACTIVATE",
            Packet::InformAndActivate { .. } => "INFORMANDACTIVATE",
            Packet::NewLeader { .. } => "NEWLEADER",
            Packet::UpToDate => "UPTODATE",
            Packet::Ping { .. } => "PING",
            Packet::Revalidate { .. } | Packet::Revalidated { .. } => "REVALIDATE",
            Packet::Sync => "SYNC",
            Packet::Request(_) => "REQUEST",
        }
    }

    /// The wire form.
    pub fn to_wire(&self) -> QuorumPacket {
        let bare =
            |kind, zxid: Zxid| QuorumPacket { kind, zxid: zxid.0, data: None, authinfo: None };
        let full = |kind, zxid: i64, data: Vec<u8>| QuorumPacket {
            kind,
            zxid,
            data: Some(data.into()),
            authinfo: None,
        };
        match self {
            Packet::LearnerInfo { observer, accepted, sid, protocol, config_version } => {
                let kind = if *observer { kind::OBSERVERINFO } else { kind::FOLLOWERINFO };
                let Some(sid) = sid else { return bare(kind, Zxid(accepted.0 << 32)) };
                let info = LearnerInfo {
                    server_id: sid.0,
                    protocol_version: *protocol,
                    config_version: *config_version,
                };
                full(kind, accepted.0 << 32, info.to_vec())
            }
            Packet::LeaderInfo { epoch } => {
                full(kind::LEADERINFO, epoch.0 << 32, PROTOCOL_VERSION.to_vec())
            }
            Packet::AckEpoch { last, current } => {
                let epoch = current.map_or(-1, |e| e.0 as i32);
                full(kind::ACKEPOCH, last.0, epoch.to_vec())
            }
            Packet::Diff(zxid) => bare(kind::DIFF, *zxid),
            Packet::Trunc(zxid) => bare(kind::TRUNC, *zxid),
            Packet::Snap(zxid) => bare(kind::SNAP, *zxid),
            Packet::Proposal(p) => QuorumPacket {
                kind: kind::PROPOSAL,
                zxid: p.header.zxid,
                data: Some(p.payload.clone()),
                authinfo: None,
            },
            Packet::Ack(zxid) => bare(kind::ACK, *zxid),
            Packet::Commit(zxid) => bare(kind::COMMIT, *zxid),
            Packet::Inform(p) => QuorumPacket {
                kind: kind::INFORM,
                zxid: p.header.zxid,
                data: Some(p.payload.clone()),
                authinfo: None,
            },
            Packet::CommitAndActivate { zxid, designated } => {
                full(kind::COMMITANDACTIVATE, zxid.0, designated.0.to_vec())
            }
            Packet::InformAndActivate { designated, proposal } => {
                let mut data = designated.0.to_vec();
                data.extend_from_slice(&proposal.payload);
                full(kind::INFORMANDACTIVATE, proposal.header.zxid, data)
            }
            Packet::NewLeader { epoch, config } => QuorumPacket {
                kind: kind::NEWLEADER,
                zxid: epoch.0 << 32,
                data: config.as_deref().map(|text| Bytes::copy_from_slice(text.as_bytes())),
                authinfo: None,
            },
            Packet::UpToDate => bare(kind::UPTODATE, Zxid(-1)),
            Packet::Ping { zxid, touched: None } => bare(kind::PING, *zxid),
            Packet::Ping { zxid, touched: Some(touched) } => {
                let mut data = Vec::with_capacity(touched.len() * 12);
                for (session, timeout) in touched {
                    session.0.encode(&mut data);
                    timeout.encode(&mut data);
                }
                full(kind::PING, zxid.0, data)
            }
            Packet::Revalidate { session, timeout_ms } => {
                let mut data = session.0.to_vec();
                timeout_ms.encode(&mut data);
                full(kind::REVALIDATE, -1, data)
            }
            Packet::Revalidated { session, valid } => {
                let mut data = session.0.to_vec();
                valid.encode(&mut data);
                full(kind::REVALIDATE, -1, data)
            }
            Packet::Sync => bare(kind::SYNC, Zxid::ZERO),
            Packet::Request(request) => {
                let mut data = request.session.0.to_vec();
                request.cxid.encode(&mut data);
                request.op.encode(&mut data);
                data.extend_from_slice(&request.body);
                QuorumPacket {
                    kind: kind::REQUEST,
                    zxid: -1,
                    data: Some(data.into()),
                    authinfo: request.identities.as_deref().map(<[Id]>::to_vec),
                }
            }
        }
    }

    /// Appends the wire form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        /// Encoded op code, xid and session of a REQUEST.
        const REQUEST_HEADER: usize = 16;
        let nothing: Option<i32> = None;
        let mut start = |kind: i32, zxid: i64| {
            kind.encode(out);
            zxid.encode(out);
        };
        // What there is of it for each transaction is written without a copy in between.
        match self {
            Packet::Ack(zxid) => start(kind::ACK, zxid.0),
            Packet::Commit(zxid) => start(kind::COMMIT, zxid.0),
            Packet::Proposal(proposal) | Packet::Inform(proposal) => {
                let informs = matches!(self, Packet::Inform(_));
                let kind = if informs { kind::INFORM } else { kind::PROPOSAL };
                start(kind, proposal.header.zxid);
                proposal.payload.encode(out);
                return nothing.encode(out);
            }
            Packet::Request(request) => {
                start(kind::REQUEST, -1);
                ((REQUEST_HEADER + request.body.len()) as i32).encode(out);
                request.session.0.encode(out);
                request.cxid.encode(out);
                request.op.encode(out);
                out.extend_from_slice(&request.body);
                let Some(identities) = &request.identities else { return nothing.encode(out) };
                (identities.len() as i32).encode(out);
                return identities.iter().for_each(|id| id.encode(out));
            }
            _ => return self.to_wire().encode(out),
        }
        nothing.encode(out);
        nothing.encode(out);
    }

    /// Reads the wire form. A leader reads what learners send and the other way round; the two
    /// share REVALIDATE and PING, whose payloads tell them apart by `from_learner`.
    pub fn from_wire(packet: QuorumPacket, from_learner: bool) -> Result<Self, DecodeError> {
        let QuorumPacket { kind, zxid, data, authinfo } = packet;
        Self::from_parts((kind, zxid), data, authinfo.map(Arc::from), from_learner)
    }

    /// The same from a packet's type and zxid, its data, and its identities.
    pub fn from_parts(
        (packet_kind, zxid): (i32, i64),
        data: Option<Bytes>,
        identities: Option<Arc<[Id]>>,
        from_learner: bool,
    ) -> Result<Self, DecodeError> {
        let zxid = Zxid(zxid);
        let missing = |what| DecodeError::Value { what, value: packet_kind.into() };
        let proposal = |data: Option<Bytes>| -> Result<Arc<Proposal>, DecodeError> {
            let data = data.ok_or(missing("packet without transaction, type"))?;
            let proposal = Proposal::decode(data)?;
            if proposal.zxid() != zxid {
                let value = proposal.header.zxid;
                return Err(DecodeError::Value { what: "zxid inside the packet", value });
            }
            Ok(Arc::new(proposal))
        };
        // Most of the packets there are.
        match packet_kind {
            kind::PROPOSAL => return proposal(data).map(Packet::Proposal),
            kind::ACK => return Ok(Packet::Ack(zxid)),
            kind::COMMIT => return Ok(Packet::Commit(zxid)),
            kind::INFORM => return proposal(data).map(Packet::Inform),
            kind::REQUEST => {
                let data = data.ok_or(missing("REQUEST without data, type"))?;
                let mut input = Reader::new(&data);
                let session = SessionId(input.read()?);
                let (cxid, op) = (input.read()?, input.read()?);
                let body = data.slice(input.position()..);
                return Ok(Packet::Request(ForwardedRequest {
                    session,
                    cxid,
                    op,
                    body,
                    identities,
                }));
            }
            _ => {}
        }
        let bytes = data.as_deref();
        Ok(match packet_kind {
            kind::FOLLOWERINFO | kind::OBSERVERINFO => {
                let info = bytes.map(LearnerInfo::decode_any).transpose()?;
                Packet::LearnerInfo {
                    observer: packet_kind == kind::OBSERVERINFO,
                    accepted: zxid.epoch(),
                    sid: info.as_ref().map(|i| Sid(i.server_id)),
                    protocol: info.as_ref().map_or(0, |i| i.protocol_version),
                    config_version: info.map_or(0, |i| i.config_version),
                }
            }
            kind::LEADERINFO => {
                let version = i32::from_slice(bytes.unwrap_or_default())?;
                if version < PROTOCOL_VERSION {
                    let value = version.into();
                    return Err(DecodeError::Value { what: "leader protocol version", value });
                }
                Packet::LeaderInfo { epoch: zxid.epoch() }
            }
            kind::ACKEPOCH => {
                let epoch = i32::from_slice(bytes.unwrap_or_default())?;
                let current = (epoch != -1).then_some(Epoch(epoch.into()));
                Packet::AckEpoch { last: zxid, current }
            }
            kind::DIFF => Packet::Diff(zxid),
            kind::TRUNC => Packet::Trunc(zxid),
            kind::SNAP => Packet::Snap(zxid),
            kind::COMMITANDACTIVATE => Packet::CommitAndActivate {
                zxid,
                designated: Sid(i64::from_slice(bytes.unwrap_or_default())?),
            },
            kind::INFORMANDACTIVATE => {
                let designated = Sid(i64::from_slice(bytes.unwrap_or_default())?);
                let rest = data.map(|d| d.slice(8..));
                Packet::InformAndActivate { designated, proposal: proposal(rest)? }
            }
            kind::NEWLEADER => Packet::NewLeader {
                epoch: zxid.epoch(),
                config: bytes.map(|b| Arc::from(String::from_utf8_lossy(b))),
            },
            kind::UPTODATE => Packet::UpToDate,
            kind::PING if from_learner => {
                let mut input = Reader::new(bytes.unwrap_or_default());
                let mut touched = Vec::new();
                while !input.is_empty() {
                    touched.push((SessionId(input.read()?), input.read()?));
                }
                Packet::Ping { zxid, touched: Some(touched) }
            }
            kind::PING => Packet::Ping { zxid, touched: None },
            kind::REVALIDATE if from_learner => {
                let mut input = Reader::new(bytes.unwrap_or_default());
                Packet::Revalidate { session: SessionId(input.read()?), timeout_ms: input.read()? }
            }
            kind::REVALIDATE => {
                let mut input = Reader::new(bytes.unwrap_or_default());
                Packet::Revalidated { session: SessionId(input.read()?), valid: input.read()? }
            }
            kind::SYNC => Packet::Sync,
            other => {
                return Err(DecodeError::Value { what: "packet type", value: other.into() });
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use jute::txn::{ErrorTxn, Txn, TxnHeader};

    use super::*;

    fn proposal(zxid: i64) -> Arc<Proposal> {
        let header = TxnHeader { client_id: 7, cxid: 1, zxid, time: 5, kind: -1 };
        Arc::new(Proposal::encode(header, Txn::Error(ErrorTxn { err: -101 }), None))
    }

    #[test]
    fn every_packet_survives_the_wire() {
        let epoch = Epoch(3);
        let zxid = Zxid::new(epoch, 4);
        let request = ForwardedRequest {
            session: SessionId(9),
            cxid: 2,
            op: 1,
            body: Bytes::from_static(b"abc"),
            identities: Some(Arc::new([])),
        };
        let learner = [
            Packet::LearnerInfo {
                observer: true,
                accepted: epoch,
                sid: Some(Sid(4)),
                protocol: PROTOCOL_VERSION,
                config_version: 8,
            },
            Packet::AckEpoch { last: zxid, current: None },
            Packet::AckEpoch { last: zxid, current: Some(epoch) },
            Packet::Ack(zxid),
            Packet::Ping { zxid, touched: Some(vec![(SessionId(1), 2), (SessionId(3), 4)]) },
            Packet::Ping { zxid, touched: Some(vec![]) },
            Packet::Revalidate { session: SessionId(1), timeout_ms: 5 },
            Packet::Request(request),
        ];
        let leader = [
            Packet::LeaderInfo { epoch },
            Packet::Diff(zxid),
            Packet::Trunc(zxid),
            Packet::Snap(zxid),
            Packet::Proposal(proposal(zxid.0)),
            Packet::Commit(zxid),
            Packet::Inform(proposal(zxid.0)),
            Packet::CommitAndActivate { zxid, designated: Sid(2) },
            Packet::InformAndActivate { designated: Sid(2), proposal: proposal(zxid.0) },
            Packet::NewLeader { epoch, config: Some("version=0".into()) },
            Packet::UpToDate,
            Packet::Ping { zxid, touched: None },
            Packet::Revalidated { session: SessionId(1), valid: true },
            Packet::Sync,
        ];
        for (from_learner, packets) in [(true, &learner[..]), (false, &leader[..])] {
            for packet in packets {
                let bytes = packet.to_wire().to_vec();
                let mut direct = Vec::new();
                packet.encode(&mut direct);
                assert_eq!(direct, bytes, "{packet:?}");
                let wire = QuorumPacket::from_slice(&bytes).unwrap();
                assert_eq!(&Packet::from_wire(wire, from_learner).unwrap(), packet);
            }
        }
    }

    #[test]
    fn malformed_payloads_are_errors() {
        let packet = |kind, data: Option<&'static [u8]>| QuorumPacket {
            kind,
            zxid: 5,
            data: data.map(Bytes::from_static),
            authinfo: None,
        };
        for (kind, data) in [
            (kind::ACKEPOCH, None),
            (kind::ACKEPOCH, Some(&b"\0"[..])),
            (kind::PING, Some(b"\0\0\0")),
            (kind::REVALIDATE, None),
            (kind::REQUEST, None),
            (kind::REQUEST, Some(b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
            (kind::PROPOSAL, None),
            (kind::FOLLOWERINFO, Some(b"\0\0\0")),
            (0, None),
            (20, None),
        ] {
            assert!(Packet::from_wire(packet(kind, data), true).is_err(), "{kind} {data:?}");
        }
        // The zxid of the packet and of its transaction must be the same.
        let mut wire = Packet::Proposal(proposal(6)).to_wire();
        wire.zxid = 7;
        assert!(Packet::from_wire(wire, false).is_err());
    }
}
