//! Bodies of writes.

use jute::proto::{
    CheckVersionRequest, CreateRequest, CreateTtlRequest, DeleteRequest, GetDataRequest, MULTI_END,
    MultiHeader, ReconfigRequest, SetAclRequest, SetDataRequest,
};
use proptest::prelude::*;

use super::*;

const MAX: usize = jute::codec::DEFAULT_MAX_FIELD;

fn decode(kind: i32, body: &[u8]) -> WriteRequest {
    WriteRequest::decode(kind, &Bytes::copy_from_slice(body), MAX)
}

fn create_request(flags: i32, acl: Option<Vec<Acl>>) -> CreateRequest<'static> {
    CreateRequest { path: Some("/a".into()), data: Some(b"data"), acl, flags }
}

fn ttl_request(flags: i32, ttl: i64) -> CreateTtlRequest<'static> {
    CreateTtlRequest { path: Some("/a".into()), data: Some(b"data"), acl: open(), flags, ttl }
}

/// A multi stream of already encoded operations.
fn stream(ops: &[(i32, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, body) in ops {
        MultiHeader { kind: *kind, done: false, err: -1 }.encode(&mut out);
        out.extend_from_slice(body);
    }
    MULTI_END.encode(&mut out);
    out
}

const BAD: WriteRequest = WriteRequest::Undecodable { takes_zxid: false };
const BAD_MULTI: WriteRequest = WriteRequest::Undecodable { takes_zxid: true };

#[test]
fn every_kind() {
    let path = || Some("/a".into());
    let body = create_request(2, open()).to_vec();
    for kind in [1, 15, 19] {
        let expected = WriteRequest::Create(create(kind, "/a", 2, -1));
        assert_eq!(decode(kind, &body), expected);
    }
    assert_eq!(decode(21, &ttl_request(5, 9).to_vec()), ttl("/a", 9));
    let request = DeleteRequest { path: path(), version: 3 };
    assert_eq!(decode(2, &request.to_vec()), delete("/a", 3));
    let request = SetDataRequest { path: path(), data: None, version: 3 };
    assert_eq!(
        decode(5, &request.to_vec()),
        WriteRequest::SetData { path: Some("/a".to_owned()), data: None, version: 3 }
    );
    let request = SetAclRequest { path: path(), acl: None, version: 3 };
    assert_eq!(decode(7, &request.to_vec()), set_acl("/a", None, 3));
    assert_eq!(decode(20, &"/a".to_vec()), delete_container("/a"));
    assert_eq!(decode(-11, &[]), WriteRequest::CloseSession);
    assert_eq!(decode(-10, &9i32.to_vec()), WriteRequest::CreateSession { timeout_ms: 9 });
    let request = ReconfigRequest {
        joining_servers: path(),
        leaving_servers: None,
        new_members: None,
        cur_config_id: -1,
    };
    assert!(matches!(decode(16, &request.to_vec()), WriteRequest::Reconfig(_)));
    assert_eq!(decode(99, &[]), BAD);
    // What follows the record is ignored.
    let mut body = body;
    body.push(1);
    assert!(matches!(decode(1, &body), WriteRequest::Create(_)));
}

#[test]
fn data_is_not_copied() {
    let body = Bytes::from(create_request(0, open()).to_vec());
    let WriteRequest::Create(create) = WriteRequest::decode(1, &body, MAX) else {
        panic!("create")
    };
    let data = create.data.unwrap();
    assert!(body.as_ptr_range().contains(&data.as_ptr()));
}

#[test]
fn truncated_bodies_take_no_zxid() {
    let body = create_request(0, open()).to_vec();
    for len in 0..body.len() {
        assert_eq!(decode(1, &body[..len]), BAD);
    }
    let mut w = World::new();
    for source in [Source::Client, Source::Internal] {
        w.source = source;
        assert_eq!(w.propose(BAD), Prepared::Reject(ErrorCode::MarshallingError));
        assert_eq!(w.zxid, 0);
    }
    // A learner waits for a commit, and a multi takes a zxid anyway.
    assert_eq!(w.run(BAD_MULTI), -5);
    assert_eq!(w.zxid, 1);
    w.source = Source::Learner;
    assert_eq!(w.run(BAD), -5);
    assert_eq!(w.zxid, 2);
}

#[test]
fn multi_streams() {
    let check = CheckVersionRequest { path: Some("/a".into()), version: 3 }.to_vec();
    let read = GetDataRequest { path: Some("/a".into()), watch: false }.to_vec();
    let plain = |flags| create_request(flags, open()).to_vec();
    let one = |kind, body: Vec<u8>| decode(14, &stream(&[(kind, body)]));
    let kind_of = |request: WriteRequest| match request {
        WriteRequest::Multi(ops) => match &ops[..] {
            [WriteRequest::Create(create)] => (create.kind, create.ttl_ms),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(decode(14, &stream(&[])), WriteRequest::Multi(vec![]));
    assert_eq!(one(13, check.clone()), WriteRequest::Multi(vec![super::check("/a", 3)]));
    // The flags decide about the op code, too.
    assert_eq!(kind_of(one(1, plain(0))), (1, -1));
    assert_eq!(kind_of(one(15, plain(3))), (15, -1));
    assert_eq!(kind_of(one(1, plain(4))), (19, -1));
    assert_eq!(kind_of(one(19, plain(0))), (19, -1));
    assert_eq!(kind_of(one(21, ttl_request(5, 9).to_vec())), (21, 9));
    assert_eq!(kind_of(one(21, ttl_request(0, 9).to_vec())), (1, -1));
    assert_eq!(kind_of(one(21, ttl_request(4, 9).to_vec())), (19, -1));
    // An unknown flag is a result there ...
    assert_eq!(kind_of(one(21, ttl_request(9, 9).to_vec())), (1, -1));
    // ... and spoils the whole here; so do TTL flags, null lists, other op codes, a mixture.
    for (kind, flags) in [(1, 9), (15, -1), (19, 7), (1, 5), (15, 6), (19, 5)] {
        assert_eq!(one(kind, plain(flags)), BAD_MULTI, "{kind} {flags}");
    }
    assert_eq!(one(1, create_request(0, None).to_vec()), BAD);
    assert!(matches!(one(1, create_request(0, Some(vec![])).to_vec()), WriteRequest::Multi(_)));
    for kind in [7, 3, 14, 16, 20, -1, 99] {
        assert_eq!(one(kind, check.clone()), BAD_MULTI, "{kind}");
    }
    assert_eq!(one(4, read.clone()), BAD_MULTI);
    for ops in [[(13, check.clone()), (4, read.clone())], [(4, read), (13, check.clone())]] {
        assert_eq!(decode(14, &stream(&ops)), BAD_MULTI);
    }
    let good = stream(&[(13, check)]);
    for len in 0..good.len() - 8 {
        assert_eq!(decode(14, &good[..len]), BAD_MULTI);
    }
}

#[test]
fn odd_creates_in_a_multi() {
    let mut w = World::new();
    let mut codes = |kind, body: Vec<u8>| {
        let ops = decode(14, &stream(&[(kind, body)]));
        w.run(ops)
    };
    assert_eq!(codes(21, ttl_request(9, 9).to_vec()), -8);
    assert_eq!(codes(21, ttl_request(0, 9).to_vec()), 0);
    assert_eq!(codes(1, create_request(0, Some(vec![])).to_vec()), -114);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(kind in -12i32..110, body: Vec<u8>) {
        decode(kind, &body);
    }
}
