//! multi: one transaction, all or nothing.

use super::*;
use crate::tree::{MultiOpResult, OpResult};

fn run(w: &mut World, ops: Vec<WriteRequest>) -> Vec<(i32, i32)> {
    let Prepared::Proposal(proposal) = w.propose(WriteRequest::Multi(ops)) else {
        panic!("a proposal")
    };
    assert_eq!(proposal.header.kind, op::MULTI);
    let mut results = Vec::new();
    while let Some(applied) = w.apply_one() {
        let OpResult::Multi(list) = applied.result else { continue };
        results = list.iter().map(|MultiOpResult { kind, err, .. }| (*kind, *err)).collect();
    }
    w.settle();
    results
}

#[test]
fn operations_see_those_before_them() {
    let mut w = World::new();
    let ops = vec![
        node("/a"),
        node("/a/b"),
        set_data("/a/b", "x", 0),
        set_data("/a/b", "y", 1),
        check("/a/b", 2),
        WriteRequest::Create(create(op::CREATE2, "/a/s", 2, -1)),
        container("/c"),
        ttl("/t", 7),
        delete("/a/b", 2),
    ];
    let ok = |kinds: &[i32]| kinds.iter().map(|k| (*k, 0)).collect::<Vec<_>>();
    assert_eq!(run(&mut w, ops), ok(&[1, 1, 5, 5, 13, 15, 19, 21, 2]));
    assert!(w.tree.find("/a/s0000000001").is_some());
    assert_eq!(w.zxid, 1);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let mut w = World::new();
    w.ok(node("/p"));
    let ops = vec![
        flagged("/p/s", 2),
        set_data("/p", "x", -1),
        delete("/nosuch", -1),
        node("/never"),
        check("/p", 9),
    ];
    assert_eq!(run(&mut w, ops), [(-1, 0), (-1, 0), (-1, -101), (-1, -2), (-1, -2)]);
    assert!(w.tree.find("/never").is_none());
    assert_eq!(w.tree.find("/p").unwrap().data(), Some(&b"data"[..]));
    // The failed sequential create did not burn a number.
    w.ok(flagged("/p/s", 2));
    assert!(w.tree.find("/p/s0000000000").is_some());
}

#[test]
fn a_failure_restores_what_was_pending_before() {
    let mut w = World::new();
    w.ok(node("/p"));
    w.propose(flagged("/p/s", 2));
    w.propose(set_data("/p", "pending", -1));
    w.propose(flagged("/e", 1));
    let before = w.prep.outstanding();
    w.propose(WriteRequest::Multi(vec![
        flagged("/p/s", 2),
        set_data("/p", "lost", 1),
        delete("/e", -1),
        flagged("/e", 0),
        flagged("/e2", 1),
        check("/p", 99),
    ]));
    assert_eq!(w.prep.outstanding(), before);
    w.propose(flagged("/p/s", 2));
    w.propose(set_data("/p", "next", 1));
    let Prepared::Proposal(close) = w.propose(WriteRequest::CloseSession) else {
        panic!("a proposal")
    };
    let Txn::CloseSession(Some(close)) = close.txn else { panic!("closeSession") };
    assert_eq!(close.paths_to_delete, Some(vec![Some("/e".to_owned())]));
    w.settle();
    assert!(w.tree.find("/p/s0000000001").is_some());
    assert_eq!(w.tree.find("/p").unwrap().version(), 2);
}

#[test]
fn the_logged_transaction_is_javas() {
    let mut w = World::new();
    let Txn::Multi(multi) = w.txn(WriteRequest::Multi(vec![node("/a"), node("/a"), node("/b")]))
    else {
        panic!("multi")
    };
    let kinds: Vec<i32> = multi.txns.iter().flatten().map(|sub| sub.kind).collect();
    assert_eq!(kinds, [op::CREATE, op::ERROR, op::ERROR]);
    assert!(w.tree.find("/a").is_none());
}

#[test]
fn empty() {
    let mut w = World::new();
    // Not even the session is looked at.
    w.session = 99;
    assert_eq!(run(&mut w, vec![]), []);
    assert_eq!(w.zxid, 1);
}

#[test]
fn sessions() {
    let mut w = World::new();
    w.sessions.set_closing(SessionId(S));
    assert_eq!(run(&mut w, vec![node("/a"), node("/b")]), [(-1, -112), (-1, -2)]);
    let mut w = World::new();
    w.ok(node("/x"));
    w.owner = Owner(3);
    assert_eq!(run(&mut w, vec![node("/a")]), [(-1, -118)]);
}

#[test]
fn null_paths_and_null_ids_spoil_the_whole() {
    let null = WriteRequest::Check { path: None, version: -1 };
    let bad_id = Acl { perms: 1, id: jute::data::Id { scheme: Some("digest".into()), id: None } };
    for bad in [null, node_with("/b", Some(vec![bad_id]))] {
        let mut w = World::new();
        assert_eq!(w.run(WriteRequest::Multi(vec![node("/a"), bad])), -5);
        assert_eq!(w.zxid, 1);
        assert!(w.tree.find("/a").is_none());
        assert_eq!(w.run(node("/a")), 0);
    }
}
