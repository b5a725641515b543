//! Replies of writes, and those that need no tree: bytes as Java sends them.

use jute::txn::{ErrorTxn, MultiTxn, SubTxn};

use super::*;
use crate::base::ErrorCode;
use crate::read::reply::{self, After};
use crate::watch::EventType;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn written(f: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    f(&mut out);
    hex(&out)
}

/// The frames of client.md's captured session.
#[test]
fn golden_frames() {
    let zxid = Zxid(0x115);
    assert_eq!(written(|out| reply::ping(zxid, out)), "00000010fffffffe000000000000011500000000");
    assert_eq!(
        written(|out| assert_eq!(reply::auth(-4, true, out), After::Keep)),
        "00000010fffffffc000000000000000000000000"
    );
    assert_eq!(
        written(|out| reply::error(1, zxid, ErrorCode::NoNode, out)),
        "00000010000000010000000000000115ffffff9b"
    );
    assert_eq!(
        written(|out| reply::event(EventType::NodeCreated, "/tv", Zxid(0x116), out)),
        "0000001fffffffff0000000000000116000000000000000100000003000000032f7476"
    );
    let applied = |zxid, result| Applied {
        zxid: Zxid(zxid),
        err: 0,
        result,
        digest: crate::tree::DigestCheck::Skipped,
    };
    use crate::tree::{MultiOpResult, OpResult};
    let created = OpResult::Created { path: "/tv".to_owned(), stat: Stat::default() };
    assert_eq!(
        written(|out| {
            let after = reply::write(op::CREATE, 2, &applied(0x116, created), out);
            assert_eq!(after, After::Keep);
        }),
        "000000170000000200000000000001160000000000000003".to_owned() + "2f7476"
    );
    let failed = OpResult::Multi(
        [-103, -2].map(|err| MultiOpResult { kind: -1, err, result: OpResult::None }).to_vec(),
    );
    let failed = Applied { err: -103, ..applied(0x117, failed) };
    assert_eq!(
        written(|out| assert_eq!(reply::write(op::MULTI, 4, &failed, out), After::Keep)),
        "0000003300000004000000000000011700000000ffffffff00ffffff99ffffff99\
         ffffffff00fffffffefffffffeffffffff01ffffffff"
    );
    let closed = applied(0x118, OpResult::None);
    assert_eq!(
        written(|out| {
            assert_eq!(reply::write(op::CLOSE_SESSION, 5, &closed, out), After::Close);
        }),
        "0000001000000005000000000000011800000000"
    );
}

#[test]
fn out_of_order_replies() {
    assert_eq!(
        written(|out| assert_eq!(reply::unimplemented(9, out), After::Close)),
        "0000001000000009fffffffffffffffffffffffa"
    );
    assert_eq!(
        written(|out| assert_eq!(reply::auth(-4, false, out), After::Close)),
        "00000010fffffffc0000000000000000ffffff8d"
    );
    assert_eq!(
        written(|out| assert_eq!(reply::not_authenticated(9, out), After::Close)),
        "00000010000000090000000000000000ffffff84"
    );
}

#[test]
fn sync_echoes() {
    let sync = |body: &[u8]| written(|out| reply::sync(3, Zxid(7), body, MAX, out));
    let header = "00000003000000000000000700000000";
    assert_eq!(sync(&"garbage".to_vec()), format!("0000001b{header}00000007{}", hex(b"garbage")));
    assert_eq!(sync(&(-1i32).to_vec()), format!("00000014{header}ffffffff"));
    assert_eq!(sync(&[0, 0]), "00000010000000030000000000000007fffffffb");
}

#[test]
fn single_writes() {
    let mut w = World::new();
    let create = |path: &str| {
        Txn::Create(CreateTxn {
            path: Some(path.to_owned()),
            data: None,
            acl: Some(vec![Acl::world(PERM_ALL)]),
            ephemeral: false,
            parent_cversion: -1,
        })
    };
    let frame = |kind, applied: &Applied| {
        let mut out = Vec::new();
        let after = reply::write(kind, XID, applied, &mut out);
        (after, frames(&out).pop())
    };
    let mut body = |kind, txn| {
        let applied = w.apply(if kind == op::CREATE_TTL { op::CREATE2 } else { kind }, txn);
        let (after, frame) = frame(kind, &applied);
        let frame = frame.unwrap();
        assert_eq!(after, After::Keep);
        assert_eq!(frame.header, ReplyHeader { xid: XID, zxid: w.zxid, err: applied.err });
        frame.body
    };
    let path_only = "/n".to_vec();
    assert_eq!(body(op::CREATE, create("/n")), path_only);
    assert_eq!(body(op::CREATE2, create("/m")).len(), path_only.len() + 68);
    // A create through createTTL answers with the stat, too.
    assert_eq!(body(op::CREATE_TTL, create("/o")).len(), path_only.len() + 68);
    let set = SetDataTxn { path: Some("/n".into()), data: None, version: 1 };
    assert_eq!(body(op::SET_DATA, Txn::SetData(set)).len(), 68);
    let acl = SetAclTxn { path: Some("/n".into()), acl: Some(vec![Acl::world(1)]), version: 1 };
    assert_eq!(body(op::SET_ACL, Txn::SetAcl(acl)).len(), 68);
    assert_eq!(body(op::DELETE, Txn::Delete(DeleteTxn { path: Some("/n".into()) })), [0u8; 0]);
    assert_eq!(body(op::ERROR, Txn::Error(ErrorTxn { err: -110 })), [0u8; 0]);

    // The session moved: no reply at all.
    let moved = w.apply(op::ERROR, Txn::Error(ErrorTxn { err: -118 }));
    assert_eq!(frame(op::CREATE, &moved), (After::Close, None));
    let sub = SubTxn { kind: op::ERROR, data: Some(ErrorTxn { err: -118 }.to_vec().into()) };
    let moved = w.apply(op::MULTI, Txn::Multi(MultiTxn { txns: Some(vec![sub]) }));
    assert_eq!(frame(op::MULTI, &moved), (After::Close, None));
    // A multi that could not be decoded is an error of the request.
    let bad = w.apply(op::ERROR, Txn::Error(ErrorTxn { err: -5 }));
    let (after, reply) = frame(op::MULTI, &bad);
    assert_eq!((after, reply.unwrap().header.err), (After::Keep, -5));
}

#[test]
fn multi_results() {
    let mut w = World::new();
    let sub = |kind, txn: Txn| SubTxn { kind, data: Some(txn.to_vec().into()) };
    let create = |path: &str| CreateTxn {
        path: Some(path.to_owned()),
        data: None,
        acl: Some(vec![Acl::world(PERM_ALL)]),
        ephemeral: false,
        parent_cversion: -1,
    };
    let container = jute::txn::CreateContainerTxn {
        path: Some("/k".into()),
        data: None,
        acl: Some(vec![Acl::world(PERM_ALL)]),
        parent_cversion: 99,
    };
    let set = SetDataTxn { path: Some("/k".into()), data: None, version: 1 };
    let check = jute::txn::CheckVersionTxn { path: Some("/k".into()), version: 2 };
    let txns = vec![
        sub(op::CREATE, Txn::Create(create("/i"))),
        sub(op::CREATE2, Txn::Create(create("/j"))),
        sub(op::CREATE_CONTAINER, Txn::CreateContainer(container)),
        sub(op::SET_DATA, Txn::SetData(set)),
        sub(op::CHECK, Txn::Check(check)),
        sub(op::DELETE, Txn::Delete(DeleteTxn { path: Some("/i".into()) })),
    ];
    let applied = w.apply(op::MULTI, Txn::Multi(MultiTxn { txns: Some(txns) }));
    let mut out = Vec::new();
    reply::write(op::MULTI, XID, &applied, &mut out);
    let frame = frames(&out).pop().unwrap();
    assert_eq!(frame.header.err, 0);
    let mut input = Reader::new(&frame.body);
    let mut result = |kind, len| {
        let header: jute::proto::MultiHeader = input.read().unwrap();
        assert_eq!((header.kind, header.done, header.err), (kind, false, 0));
        input.take(len, "result").unwrap();
    };
    result(1, 6);
    result(15, 6 + 68);
    result(15, 6 + 68);
    result(5, 68);
    result(13, 0);
    result(2, 0);
    assert_eq!(input.remaining(), jute::proto::MULTI_END.to_vec());
}

#[test]
fn reconfig() {
    let mut w = World::new();
    let set = SetDataTxn {
        path: Some("/zookeeper/config".into()),
        data: Some(b"version=7"[..].into()),
        version: -1,
    };
    let applied = w.apply(op::RECONFIG, Txn::SetData(set));
    let mut out = Vec::new();
    reply::reconfig(XID, &applied, b"version=7", &mut out);
    let frame = frames(&out).pop().unwrap();
    let response = jute::proto::GetDataResponse::from_slice(&frame.body).unwrap();
    assert_eq!(response.data, Some(&b"version=7"[..]));
    assert_eq!((response.stat.version, response.stat.mzxid), (-1, w.zxid));
    let refused = w.apply(op::ERROR, Txn::Error(ErrorTxn { err: -13 }));
    let mut out = Vec::new();
    reply::reconfig(XID, &refused, b"version=7", &mut out);
    let frame = frames(&out).pop().unwrap();
    assert_eq!((frame.header.err, frame.body), (-13, vec![]));
}
