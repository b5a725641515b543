//! The create family: client.md's order of checks, row by row.

use super::*;

/// `/open`, `/closed` (only u:x may create), `/eph` (ephemeral), `/container`.
fn world() -> World {
    let mut w = World::new();
    w.ok(node("/open")).ok(node_with("/closed", only("u:x", PERM_ALL))).ok(flagged("/eph", 1));
    w.ok(container("/container")).ok(ttl("/ttl", 1000)).ok(node("/open/old"));
    w
}

fn code(kind: i32, path: &str, flags: i32, ttl_ms: i64) -> i32 {
    world().run(WriteRequest::Create(create(kind, path, flags, ttl_ms)))
}

#[test]
fn flags_and_ttl() {
    let (c, c2, cc, ct) = (op::CREATE, op::CREATE2, op::CREATE_CONTAINER, op::CREATE_TTL);
    for (kind, flags, ttl, expected) in [
        // Row 1: flags.
        (c, 7, -1, -8),
        (c, -1, -1, -8),
        (ct, 7, 5, -8),
        // Row 3: a TTL where there is none, and none where there must be one.
        (c, 5, -1, -8),
        (c2, 6, -1, -8),
        (cc, 5, -1, -8),
        (ct, 5, 0, -8),
        (ct, 5, -1, -8),
        (ct, 5, 1 << 40, -8),
        (ct, 0, 5, -8),
        // Stricter than Java, which accepts this and then cannot apply it.
        (ct, 0, -1, -8),
        (ct, 1, -1, -8),
        (ct, 4, -1, -8),
        // Good ones; op code and flags need not agree.
        (c, 0, -1, 0),
        (c2, 0, -1, 0),
        (c, 4, -1, 0),
        (cc, 0, -1, 0),
        (cc, 1, -1, 0),
        (cc, 4, -1, 0),
        (ct, 5, 1, 0),
        (ct, 5, (1 << 40) - 1, 0),
        (ct, 6, 7, 0),
    ] {
        assert_eq!(code(kind, "/open/x", flags, ttl), expected, "{kind} {flags} {ttl}");
    }
}

#[test]
fn extended_types_disabled() {
    let mut w = World::with(Options::default(), TreeOptions::default());
    // Row 2 comes before row 3 and behind row 1.
    assert_eq!(w.run(ttl("/a", -1)), -6);
    assert_eq!(w.run(flagged("/a", 5)), -6);
    assert_eq!(w.run(flagged("/a", 9)), -8);
    assert_eq!(w.run(container("/a")), 0);
}

#[test]
fn paths() {
    for (path, flags, expected) in [
        ("foo", 0, -8),
        ("", 0, -8),
        ("/open/a\0", 0, -8),
        // Late validation: a missing parent hides a bad path.
        ("foo/bar", 0, -101),
        ("/missing/", 0, -101),
        ("/missing/.", 0, -101),
        ("/open/", 0, -8),
        ("/open/.", 0, -8),
        ("//x", 0, -8),
        ("/open//x", 0, -101),
        ("/open/\u{1}", 0, -8),
        ("/open/😀", 0, -8),
        ("/", 0, -110),
        // A slash at the end is fine where a number follows.
        ("/open/", 2, 0),
        ("/", 2, 0),
        // The suffix can make a bad name good.
        ("/open/..", 2, 0),
        ("/zookeeper/x", 0, 0),
        ("/zookeeper", 0, -110),
        ("/open", 0, -110),
        ("/open/old", 0, -110),
        ("/missing/x", 0, -101),
        ("/eph/x", 0, -108),
        ("/container/x", 0, 0),
        ("/ttl/x", 0, 0),
    ] {
        assert_eq!(code(op::CREATE, path, flags, -1), expected, "{path:?} {flags}");
    }
    let null = Create { path: None, ..create(op::CREATE, "", 0, -1) };
    assert_eq!(world().run(WriteRequest::Create(null.clone())), -5);
    // Even a null path comes behind the flags.
    assert_eq!(world().run(WriteRequest::Create(Create { flags: 9, ..null })), -8);
}

#[test]
fn order_of_checks() {
    let bad_acl = Some(vec![Acl::new(1, "nosuch", "x")]);
    for (path, acl, expected) in [
        // Row 5 before 6, 6 before 7, 7 before 8, 8 before 10 and 11.
        ("foo", bad_acl.clone(), -8),
        ("/missing/x", bad_acl.clone(), -114),
        ("/missing/x", None, -114),
        ("/missing/x", Some(vec![]), -114),
        ("/closed/x", open(), -102),
        ("/closed/", open(), -102),
        ("/closed/\u{1}", open(), -102),
        ("/open/\u{1}", open(), -8),
        // Row 10 before 11 is seen with any bad path; row 11 before 12:
        ("/eph/.", open(), -8),
        ("/eph/x", open(), -108),
    ] {
        assert_eq!(world().run(node_with(path, acl)), expected, "{path}");
    }
    let mut w = world();
    assert_eq!(w.as_user("u:x").run(node("/closed/x")), 0);
    // Row 4 before row 5, behind row 3.
    w.session = 99;
    assert_eq!(w.run(node("foo")), -12);
    assert_eq!(w.run(flagged("foo", 1)), -112);
    assert_eq!(w.run(flagged("foo", 5)), -8);
}

#[test]
fn a_failed_upgrade_is_reported_for_ephemerals_only() {
    let mut w = World::new();
    let context = |kind| Context {
        session: SessionId(S),
        cxid: 1,
        kind,
        identities: Arc::from([]),
        owner: Owner::LOCAL,
        source: Source::Client,
        upgrade_error: Some(ErrorCode::EphemeralOnLocalSession),
    };
    w.propose_as(context(op::CREATE), flagged("/a", 1));
    assert_eq!(w.apply_one().unwrap().err, -120);
    w.propose_as(context(op::CREATE), flagged("/a", 0));
    assert_eq!(w.apply_one().unwrap().err, 0);
}

#[test]
fn transactions() {
    let mut w = World::new();
    let (acl, data) = (open(), Some(Bytes::from_static(b"data")));
    assert_eq!(
        w.txn(flagged("/a", 3)),
        Txn::Create(jute::txn::CreateTxn {
            path: Some("/a0000000000".to_owned()),
            data: data.clone(),
            acl: acl.clone(),
            ephemeral: true,
            parent_cversion: 1,
        })
    );
    assert_eq!(w.tree.find("/a0000000000").unwrap().stat().ephemeral_owner, S);
    assert_eq!(
        w.txn(container("/c")),
        Txn::CreateContainer(jute::txn::CreateContainerTxn {
            path: Some("/c".to_owned()),
            data: data.clone(),
            acl: acl.clone(),
            parent_cversion: 2,
        })
    );
    assert_eq!(
        w.txn(WriteRequest::Create(create(op::CREATE_TTL, "/t", 6, 9))),
        Txn::CreateTtl(jute::txn::CreateTtlTxn {
            path: Some("/t0000000002".to_owned()),
            data,
            acl,
            parent_cversion: 3,
            ttl: 9,
        })
    );
    let owner = |path: &str| w.tree.find(path).unwrap().owner();
    assert_eq!(owner("/c"), crate::tree::Owner::Container);
    assert_eq!(owner("/t0000000002"), crate::tree::Owner::Ttl(9));
}

#[test]
fn auth_entries_are_replaced_in_the_transaction() {
    let mut w = World::new();
    w.as_user("u:x");
    let Txn::Create(txn) = w.txn(node_with("/a", Some(vec![Acl::new(3, "auth", "")]))) else {
        panic!("a create")
    };
    assert_eq!(txn.acl, Some(vec![Acl::new(3, "digest", "u:x")]));
}

#[test]
fn sequence_numbers_count_creates_and_never_go_back() {
    let mut w = World::new();
    w.ok(node("/p")).ok(node("/p/plain"));
    let seq = |w: &mut World| match w.txn(flagged("/p/s", 2)) {
        Txn::Create(txn) => txn.path.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(seq(&mut w), "/p/s0000000001");
    assert_eq!(seq(&mut w), "/p/s0000000002");
    w.ok(delete("/p/s0000000002", -1)).ok(delete("/p/plain", -1));
    assert_eq!(seq(&mut w), "/p/s0000000003");
    // Pipelined: the same numbers.
    w.propose(flagged("/p/s", 2));
    w.propose(flagged("/p/t", 2));
    w.settle();
    assert!(w.tree.find("/p/s0000000004").is_some());
    assert!(w.tree.find("/p/t0000000005").is_some());
}

#[test]
fn the_counter_sticks_at_its_maximum() {
    use jute::data::StatPersisted;
    let mut w = World::new();
    let mut loader = crate::tree::load::TreeLoader::new(w.tree.options().clone());
    let stat = StatPersisted::default();
    for path in ["", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"] {
        loader.node(path, Some(b""), -1, &stat).unwrap();
    }
    let full = StatPersisted { cversion: i32::MAX - 1, ..stat };
    loader.node("/p", Some(b""), -1, &full).unwrap();
    w.tree = loader.finish(Zxid(0), None).unwrap().tree;
    // Pipelined and drained alike.
    for expected in [0, 0, -110, -110] {
        w.propose(flagged("/p/s", 2));
        let Some(last) = w.pending.back() else { panic!("proposed") };
        let err = match &last.txn {
            Txn::Error(error) => error.err,
            _ => 0,
        };
        assert_eq!(err, expected);
    }
    w.settle();
    assert_eq!(w.tree.find("/p").unwrap().cversion(), i32::MAX);
    assert_eq!(w.run(flagged("/p/s", 2)), -110);
}

#[test]
fn null_and_empty_data_differ() {
    let mut w = World::new();
    for (path, data) in [("/null", None), ("/empty", Some(Bytes::new()))] {
        let create = Create { data: data.clone(), ..create(op::CREATE, path, 0, -1) };
        w.ok(WriteRequest::Create(create));
        assert_eq!(w.tree.find(path).unwrap().data().is_none(), data.is_none());
    }
}

#[test]
fn quota() {
    let limits = |text: &str, enforce_quota| {
        let options = Options { enforce_quota, ..Options::default() };
        let mut w = World::with(options, TreeOptions::default());
        w.ok(node("/q")).ok(node("/zookeeper/quota/q"));
        w.ok(node("/zookeeper/quota/q/zookeeper_limits"));
        w.ok(set_data("/zookeeper/quota/q/zookeeper_limits", text, -1));
        w.ok(node("/zookeeper/quota/q/zookeeper_stats"));
        w
    };
    // /q counts itself: 1 znode, 4 bytes.
    let hard_count = "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2";
    let mut w = limits(hard_count, true);
    w.ok(node("/q/a"));
    assert_eq!(w.run(node("/q/b")), -125);
    assert_eq!(w.run(set_data("/q/a", "longer than before", -1)), 0);
    w.ok(delete("/q/a", -1)).ok(node("/q/b"));
    assert_eq!(limits(hard_count, false).ok(node("/q/a")).run(node("/q/b")), 0);
    // Checks of path and existence come first.
    assert_eq!(w.run(node("/q/b")), -110);

    let mut w = limits("count=-1,bytes=-1=;byteHardLimit=10;countHardLimit=-1", true);
    assert_eq!(w.run(set_data("/q", "0123456789", -1)), 0);
    assert_eq!(w.run(set_data("/q", "01234567890", -1)), -125);
    // Quota before version.
    assert_eq!(w.run(set_data("/q", "01234567890", 99)), -125);
    assert_eq!(w.run(set_data("/q", "0123456789", 99)), -103);
    assert_eq!(w.run(set_data("/q", "abcdefghij", -1)), 0);
    assert_eq!(w.run(node("/q/a")), -125);
    // Inside a multi it fails the multi.
    assert_eq!(w.run(WriteRequest::Multi(vec![node("/x"), node("/q/a")])), -125);
    assert!(w.tree.find("/x").is_none());
    // Soft limits refuse nothing.
    assert_eq!(limits("count=1,bytes=1", true).run(node("/q/a")), 0);
}
