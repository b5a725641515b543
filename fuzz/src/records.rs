//! Records: whatever decodes must encode, and decode to the same again.

use std::fmt::Debug;

use bytes::Bytes;
use jute::data::*;
use jute::proto::*;
use jute::quorum::*;
use jute::txn::*;
use jute::{Decode, Encode, Reader};
use rookeeper::zab::{Membership, Notification, Packet};

/// The first byte chooses the record, the rest is it.
pub fn client_records(data: &[u8]) {
    let Some((choice, bytes)) = data.split_first() else { return };
    macro_rules! choose {
        ($($name:ident)*) => {{
            let checks: &[fn(&[u8])] = &[$(|bytes| again!($name, bytes)),*];
            checks[usize::from(*choice) % checks.len()](bytes)
        }};
    }
    macro_rules! again {
        ($name:ident, $bytes:expr) => {{
            if let Ok(record) = $name::from_slice($bytes) {
                let wire = record.to_vec();
                same(&record, $name::from_slice(&wire));
            }
        }};
    }
    let _ = ConnectRequest::decode_any(bytes);
    choose! {
        ConnectRequest ConnectResponse SetWatches SetWatches2 RequestHeader MultiHeader AuthPacket
        ReplyHeader GetDataRequest SetDataRequest ReconfigRequest SetDataResponse GetSaslRequest
        SetSaslResponse CreateRequest CreateTtlRequest DeleteRequest GetChildrenRequest
        GetAllChildrenNumberRequest GetChildren2Request CheckVersionRequest SyncRequest
        SyncResponse GetAclRequest SetAclRequest SetAclResponse AddWatchRequest WatcherEvent
        ErrorResponse CreateResponse Create2Response ExistsRequest ExistsResponse GetDataResponse
        GetChildrenResponse GetAllChildrenNumberResponse GetChildren2Response GetAclResponse
        CheckWatchesRequest RemoveWatchesRequest GetEphemeralsRequest GetEphemeralsResponse
        WhoAmIResponse Stat StatPersisted Acl
    }
}

fn same<T: Debug + PartialEq, E: Debug>(record: &T, again: Result<T, E>) {
    let again = again.expect("what was encoded decodes");
    // A supplementary character goes out as two surrogates, which come back as U+FFFD.
    let text = format!("{record:?}");
    assert!(again == *record || text.chars().any(|c| c as u32 > 0xffff), "{text}");
}

pub(crate) fn client_seeds() -> Vec<Vec<u8>> {
    let bodies = crate::captured('>').into_iter().chain(crate::captured('<'));
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (at, frame) in bodies.enumerate() {
        for skip in [4, 12, 20] {
            if let Some(body) = frame.get(skip..) {
                seeds.push([&[at as u8 * 3], body].concat());
            }
        }
    }
    for choice in 0..46 {
        seeds.push([&[choice][..], b"\0\0\0\x02/a\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x01"].concat());
    }
    seeds
}

/// A transaction as it stands in a log entry or a PROPOSAL.
pub fn txn(data: &[u8]) {
    let Ok((header, record, digest)) = Txn::decode_payload(data) else { return };
    let mut wire = Vec::new();
    Txn::encode_payload(&header, &record, digest.as_ref(), &mut wire);
    if let Txn::Multi(multi) = &record {
        for sub in multi.txns.iter().flatten() {
            let _ = Txn::decode_sub(sub);
        }
    }
    // A closeSession without its list and digest may read differently the second time; the rest may
    // not.
    if !matches!(record, Txn::CloseSession(_) | Txn::Create(_)) {
        let again = Txn::decode_payload(&wire).map(|(header, record, _)| (header, record));
        same(&(header, record), again);
    }
}

pub(crate) fn txn_seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for log in crate::disk::LOGS {
        let mut input = Reader::new(&log[16..]);
        while let (Ok(_), Ok(Some(payload))) = (input.read::<i64>(), input.buffer()) {
            if payload.is_empty() || input.read::<u8>().is_err() {
                break;
            }
            seeds.push(payload.to_vec());
        }
    }
    seeds
}

/// A packet of the quorum port, as leader and as learner.
pub fn quorum_packets(data: &[u8]) {
    let _ = LearnerInfo::decode_any(data);
    let Ok(wire) = QuorumPacket::from_slice(data) else { return };
    let encoded = wire.to_vec();
    same(&wire, QuorumPacket::from_slice(&encoded));
    for from_learner in [true, false] {
        if let Ok(packet) = Packet::from_wire(wire.clone(), from_learner) {
            let again = Packet::from_wire(packet.to_wire(), from_learner);
            assert_eq!(again.as_ref(), Ok(&packet));
        }
    }
}

pub(crate) fn quorum_seeds() -> Vec<Vec<u8>> {
    let info = LearnerInfo { server_id: 2, protocol_version: PROTOCOL_VERSION, config_version: 0 };
    let payloads = [info.to_vec(), 1i32.to_vec(), vec![], txn_seeds()[1].clone(), vec![1; 13]];
    // A learner without a sid: kind 11, zxid, no data.
    let nobody = QuorumPacket { kind: 11, zxid: -1, data: None, authinfo: None };
    let mut seeds = vec![nobody.to_vec()];
    for kind in 1..=19 {
        for payload in &payloads {
            let data = Some(Bytes::from(payload.clone()));
            let authinfo = Some(vec![Id { scheme: Some("ip".into()), id: Some("::1".into()) }]);
            seeds.push(QuorumPacket { kind, zxid: 0x1_0000_0001, data, authinfo }.to_vec());
        }
        seeds.push(QuorumPacket { kind, zxid: -1, data: None, authinfo: None }.to_vec());
    }
    seeds
}

/// First message and votes of the election port.
pub fn election(data: &[u8]) {
    let _ = InitialMessage::parse(data);
    if let Ok(record) = NotificationRecord::from_bytes(data) {
        let again = NotificationRecord::from_bytes(&record.to_bytes());
        assert!(again.is_ok(), "{again:?}");
        let _ = Notification::from_record(record);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Membership::parse(text);
    }
}

pub(crate) fn election_seeds() -> Vec<Vec<u8>> {
    let message =
        InitialMessage { sid: 2, addresses: vec!["127.0.0.1:3888".into(), "[::1]:3888".into()] };
    let mut vote = Vec::new();
    0i32.encode(&mut vote);
    for value in [3i64, 0x1_0000_0000, 1, 1] {
        value.encode(&mut vote);
    }
    let mut long = vote.clone();
    2i32.encode(&mut long);
    b"server.1=127.0.0.1:2888:3888:participant\nversion=0"[..].encode(&mut long);
    vec![message.to_bytes(false), message.to_bytes(true), 5i64.to_vec(), vote, long]
}
