//! Bytes written by Java servers: decode, compare, re-encode to the same bytes. See
//! `golden/README.md` for where they come from.
// Helpers of tests may stop at what must not happen, as tests do.
#![allow(clippy::unwrap_used)]

use std::borrow::Cow;

use bytes::Bytes;
use jute::data::{Acl, StatPersisted};
use jute::persistence::{FileHeader, SNAPSHOT_MAGIC, TXNLOG_MAGIC};
use jute::proto::*;
use jute::txn::*;
use jute::{Decode, Encode, Reader};

const SMALL_LOG: &[u8] = include_bytes!("golden/small.log.1");
const SMALL_SNAPSHOT: &[u8] = include_bytes!("golden/small.snapshot.6");
const STANDALONE_LOG: &[u8] = include_bytes!("golden/standalone.log.1");
const SESSION: &str = include_str!("golden/client-session.txt");
const UTF8: &str = include_str!("golden/utf8.txt");

#[test]
fn a_client_session_byte_for_byte() {
    let world = vec![Acl::world(31)];
    let passwd = unhex("fc7ad702733454704b2041a27b7046e7");
    let zeros = [0; 16];
    let path = || Some(Cow::Borrowed("/tv"));
    let header = |xid, kind| RequestHeader { xid, kind }.to_vec();
    let reply = |xid, zxid, err| ReplyHeader { xid, zxid, err }.to_vec();
    let expected: Vec<Vec<u8>> = vec![
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: 0,
            timeout: 10_000,
            session_id: 0,
            passwd: Some(&zeros),
            read_only: false,
        }
        .to_vec(),
        ConnectResponse {
            protocol_version: 0,
            timeout: 10_000,
            session_id: 0x0100_0012_a464_0033,
            passwd: Some(&passwd),
            read_only: false,
        }
        .to_vec(),
        header(XID_PING, op::PING),
        reply(XID_PING, 0x115, 0),
        [
            header(XID_AUTH, op::AUTH),
            AuthPacket { kind: 0, scheme: Some("digest".into()), auth: Some(b"u:p") }.to_vec(),
        ]
        .concat(),
        reply(XID_AUTH, 0, 0),
        [header(1, op::EXISTS), ExistsRequest { path: path(), watch: true }.to_vec()].concat(),
        reply(1, 0x115, -101),
        [
            header(2, op::CREATE),
            CreateRequest { path: path(), data: Some(b"hi"), acl: Some(world), flags: 0 }.to_vec(),
        ]
        .concat(),
        [
            reply(XID_NOTIFICATION, 0x116, 0),
            WatcherEvent { kind: 1, state: 3, path: path() }.to_vec(),
        ]
        .concat(),
        [reply(2, 0x116, 0), CreateResponse { path: path() }.to_vec()].concat(),
        [
            header(4, op::MULTI),
            MultiHeader { kind: op::CHECK, done: false, err: -1 }.to_vec(),
            CheckVersionRequest { path: path(), version: 7 }.to_vec(),
            MultiHeader { kind: op::DELETE, done: false, err: -1 }.to_vec(),
            DeleteRequest { path: path(), version: -1 }.to_vec(),
            MULTI_END.to_vec(),
        ]
        .concat(),
        [
            reply(4, 0x117, 0),
            MultiHeader { kind: op::ERROR, done: false, err: -103 }.to_vec(),
            ErrorResponse { err: -103 }.to_vec(),
            MultiHeader { kind: op::ERROR, done: false, err: -2 }.to_vec(),
            ErrorResponse { err: -2 }.to_vec(),
            MULTI_END.to_vec(),
        ]
        .concat(),
        header(5, op::CLOSE_SESSION),
        reply(5, 0x118, 0),
    ];
    let captured: Vec<Vec<u8>> = SESSION
        .lines()
        .filter(|line| line.starts_with(['<', '>']))
        .map(|line| unhex(&line[1..]))
        .collect();
    assert_eq!(captured.len(), expected.len());
    for (captured, expected) in captured.iter().zip(&expected) {
        assert_eq!(captured[..4], (expected.len() as i32).to_be_bytes());
        assert_eq!(hex(&captured[4..]), hex(expected));
    }
    let (request, has_read_only) = ConnectRequest::decode_any(&captured[0][4..]).unwrap();
    assert_eq!((request.timeout, request.passwd, has_read_only), (10_000, Some(&zeros[..]), true));
    let without = &captured[0][4..captured[0].len() - 1];
    assert!(!ConnectRequest::decode_any(without).unwrap().1, "an old client sends one byte less");
    let mut input = Reader::new(&captured[8][12..]);
    let create: CreateRequest<'_> = input.read().unwrap();
    assert_eq!((create.path, create.data), (path(), Some(&b"hi"[..])));
    assert!(input.is_empty());
}

#[test]
fn the_small_log_field_by_field() {
    let entries = log_entries(SMALL_LOG);
    let txns: Vec<Txn> = entries.iter().map(|(_, txn, _)| txn.clone()).collect();
    let zxids: Vec<i64> = entries.iter().map(|(header, ..)| header.zxid).collect();
    let digests: Vec<Option<i64>> =
        entries.iter().map(|(.., digest)| digest.as_ref().map(|d| d.tree_digest)).collect();
    assert_eq!(zxids, [1, 2, 3, 4, 5, 6]);
    let sums = [0x51c6_d660, 0x1_1885_14c7, 0x766a_7ff4, 0xd537_9dd2, 0, 0x2_9042_fdb7].map(Some);
    for (at, (found, expected)) in digests.iter().zip(sums).enumerate() {
        assert_eq!(*found, expected.filter(|_| at != 4), "entry {}", at + 1);
    }
    let (some, bytes) = (|s: &str| Some(s.to_owned()), |b: &'static [u8]| Some(b.into()));
    let create = |path, data, perms, ephemeral, parent_cversion| CreateTxn {
        path: some(path),
        data,
        acl: Some(vec![Acl::world(perms)]),
        ephemeral,
        parent_cversion,
    };
    let sub = |kind, data: Vec<u8>| SubTxn { kind, data: Some(data.into()) };
    assert_eq!(
        txns,
        [
            Txn::CreateSession(CreateSessionTxn { timeout: 10_000 }),
            Txn::Create(create("/a", bytes(b"hi"), 31, false, 1)),
            Txn::SetData(SetDataTxn { path: some("/a"), data: bytes(b"yo"), version: 1 }),
            Txn::Create(create("/a/e", None, 1, true, 1)),
            Txn::Error(ErrorTxn { err: -110 }),
            Txn::Multi(MultiTxn {
                txns: Some(vec![
                    sub(op::CREATE, create("/m", bytes(b"1"), 31, false, 2).to_vec()),
                    sub(op::CHECK, CheckVersionTxn { path: some("/a"), version: 2 }.to_vec()),
                ]),
            }),
        ]
    );
}

#[test]
fn every_logged_transaction_re_encodes_to_the_same_bytes() {
    let mut kinds = std::collections::BTreeSet::new();
    for (header, txn, _) in [log_entries(SMALL_LOG), log_entries(STANDALONE_LOG)].concat() {
        kinds.insert(header.kind);
        let Txn::Multi(multi) = txn else { continue };
        for sub in multi.txns.unwrap_or_default() {
            let again = Txn::decode_sub(&sub).unwrap().to_vec();
            assert_eq!(Some(again.as_slice()), sub.data.as_deref(), "type {} in a multi", sub.kind);
        }
    }
    let all = [-11, -10, -1, 1, 2, 5, 7, 14, 15, 19, 20, 21];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn a_snapshot_re_encodes_to_the_same_bytes() {
    let mut input = Reader::new(SMALL_SNAPSHOT);
    let mut out = Vec::new();
    /// Reads a value and writes it again.
    fn copy<'a, T: Decode<'a> + Encode>(input: &mut Reader<'a>, out: &mut Vec<u8>) -> T {
        let value: T = input.read().unwrap();
        value.encode(out);
        value
    }
    let header: FileHeader = copy(&mut input, &mut out);
    assert_eq!(header, FileHeader { magic: SNAPSHOT_MAGIC, version: 2, dbid: -1 });
    assert_eq!(copy::<i32>(&mut input, &mut out), 1);
    assert_eq!(copy::<i64>(&mut input, &mut out), 0x0100_0023_cad4_0000);
    assert_eq!(copy::<i32>(&mut input, &mut out), 10_000);
    let lists = copy::<i32>(&mut input, &mut out);
    for (id, perms) in (1..=i64::from(lists)).zip([1, 31]) {
        assert_eq!(copy::<i64>(&mut input, &mut out), id);
        let list: Option<Vec<Acl>> = copy(&mut input, &mut out);
        assert_eq!(list, Some(vec![Acl::world(perms)]));
    }
    let mut paths = Vec::new();
    loop {
        let path: Option<String> = copy(&mut input, &mut out);
        let path = path.unwrap();
        if path == "/" {
            break;
        }
        let data: Option<bytes::Bytes> = copy(&mut input, &mut out);
        let _acl: i64 = copy(&mut input, &mut out);
        let stat: StatPersisted = copy(&mut input, &mut out);
        if path == "/a/e" {
            assert_eq!(data, None, "null is not empty");
            assert_eq!(stat.ephemeral_owner, 0x0100_0023_cad4_0000);
        }
        if path == "/a" {
            let seen = (stat.czxid, stat.mzxid, stat.version, stat.cversion, stat.pzxid);
            assert_eq!(seen, (2, 3, 1, 1, 4));
        }
        paths.push(path);
    }
    let builtin = ["/zookeeper", "/zookeeper/config", "/zookeeper/quota"];
    assert_eq!(paths[..3], ["", "/a", "/a/e"]);
    assert_eq!(paths[3..6], builtin);
    assert_eq!(paths[6..], ["/m"]);
    assert_eq!(hex(&out), hex(&SMALL_SNAPSHOT[..input.position()]));
}

#[test]
fn malformed_utf8_is_replaced_as_java_does() {
    const ALPHABET: [u8; 24] = [
        0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed,
        0xee, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xf7, 0xf8, 0xff,
    ];
    let mut samples = 0;
    for line in UTF8.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["sample", bytes, units] => {
                samples += 1;
                assert_eq!(hex(&utf16(&unhex(bytes))), units, "for {bytes}");
            }
            ["all", length, crc] => {
                let length: u32 = length.parse().unwrap();
                let mut hasher = crc32fast::Hasher::new();
                for n in 0..24usize.pow(length) {
                    let digits = (0..length).rev().map(|at| n / 24usize.pow(at) % 24);
                    hasher.update(&utf16(&digits.map(|d| ALPHABET[d]).collect::<Vec<_>>()));
                    hasher.update(&[0, b'\n']);
                }
                assert_eq!(format!("{:08x}", hasher.finalize()), crc, "length {length}");
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(samples, 300);
}

/// Decodes a string as the wire does; its UTF-16 units, big-endian.
fn utf16(bytes: &[u8]) -> Vec<u8> {
    let encoded = bytes.to_vec();
    let mut wire = Vec::new();
    encoded.as_slice().encode(&mut wire);
    let text = Reader::new(&wire).ustring().unwrap().unwrap();
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// All entries of a log; each was re-encoded to the bytes it came from.
fn log_entries(log: &[u8]) -> Vec<(TxnHeader, Txn, Option<TxnDigest>)> {
    let mut input = Reader::new(log);
    let header: FileHeader = input.read().unwrap();
    assert_eq!(header, FileHeader { magic: TXNLOG_MAGIC, version: 2, dbid: 0 });
    let mut entries = Vec::new();
    loop {
        let _checksum: i64 = input.read().unwrap();
        let payload = input.buffer().unwrap().unwrap();
        if payload.is_empty() {
            return entries;
        }
        assert_eq!(input.read(), Ok(b'B'));
        let (header, txn, digest) = Txn::decode_payload(payload).unwrap();
        let shared = Txn::decode_shared(&Bytes::copy_from_slice(payload)).unwrap();
        assert_eq!(shared, (header.clone(), txn.clone(), digest.clone()));
        let mut again = Vec::new();
        Txn::encode_payload(&header, &txn, digest.as_ref(), &mut again);
        assert_eq!(hex(&again), hex(payload), "zxid {:x}", header.zxid);
        entries.push((header, txn, digest));
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
