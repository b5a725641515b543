//! delete, setData, setACL, check, deleteContainer: checks in order.

use super::*;

/// `/a` (version 1), `/a/child`, `/closed` (u:x only) with `/closed/x`, `/eph`, `/container`.
fn world() -> World {
    let mut w = World::new();
    w.ok(node("/a")).ok(set_data("/a", "1", 0)).ok(node("/a/child"));
    w.as_user("u:x").ok(node_with("/closed", only("u:x", PERM_ALL))).ok(node("/closed/x"));
    w.as_user("v:y").ok(flagged("/eph", 1)).ok(container("/container")).ok(ttl("/ttl", 9));
    w.ok(node("/full")).ok(container("/full/c")).ok(node("/full/c/child"));
    w
}

fn table(make: impl Fn(&str, i32) -> WriteRequest, cases: &[(&str, i32, i32)]) {
    for (path, version, expected) in cases {
        let mut w = world();
        let zxid = w.zxid;
        assert_eq!(w.run(make(path, *version)), *expected, "{path:?} {version}");
        // A refusal takes a zxid, too.
        assert_eq!(w.zxid, zxid + 1);
        assert_eq!(w.tree.last_zxid(), Zxid(zxid + 1));
    }
}

#[test]
fn deletes() {
    table(
        delete,
        &[
            ("foo", -1, -8),
            ("/a\0", -1, -8),
            ("/", -1, -8),
            ("/zookeeper", -1, -8),
            ("/zookeeper/quota", -1, -8),
            ("/zookeeper/config", -1, -8),
            // No other check of the path.
            ("/a/", -1, -101),
            ("//", -1, -101),
            ("/a/\u{1}", -1, -101),
            ("/missing/x", -1, -101),
            ("/missing", -1, -101),
            // The parent's permission before the znode's existence.
            ("/closed/missing", -1, -102),
            ("/closed/x", -1, -102),
            // Its own list does not matter; version before children.
            ("/closed", 5, -103),
            ("/closed", -1, -111),
            ("/a", 0, -103),
            ("/a", 1, -111),
            ("/a/child", 0, 0),
            ("/eph", -1, 0),
            ("/container", -1, 0),
        ],
    );
    let null = WriteRequest::Delete { path: None, version: -1 };
    assert_eq!(world().run(null), -5);
}

#[test]
fn set_data_checks() {
    table(
        |path, version| set_data(path, "new", version),
        &[
            ("foo", -1, -8),
            ("/a/", -1, -8),
            ("", -1, -8),
            ("/missing", -1, -101),
            ("/closed", 9, -102),
            ("/a", 0, -103),
            ("/a", 1, 0),
            ("/a", -1, 0),
            ("/", -1, 0),
            ("/zookeeper", -1, 0),
            ("/zookeeper/quota", -1, 0),
            // Protected by its list only.
            ("/zookeeper/config", -1, -102),
        ],
    );
    let null = WriteRequest::SetData { path: None, data: None, version: -1 };
    assert_eq!(world().run(null), -8);
    let mut w = world();
    let Txn::SetData(txn) = w.txn(set_data("/a", "new", -1)) else { panic!("setData") };
    assert_eq!(txn.version, 2);
    let stat = w.tree.find("/a").unwrap().stat();
    assert_eq!((stat.version, stat.mzxid, stat.mtime), (2, w.zxid, 1000 + w.zxid));
}

#[test]
fn set_acl_checks() {
    let list = || Some(vec![Acl::new(31, "ip", "1.2.3.4")]);
    table(
        |path, version| set_acl(path, list(), version),
        &[
            ("foo", -1, -8),
            ("/missing", -1, -101),
            ("/closed", 9, -102),
            // aversion, not version.
            ("/a", 1, -103),
            ("/a", 0, 0),
            ("/zookeeper/config", -1, -102),
        ],
    );
    // The list before existence; the path before the list.
    let bad = || Some(vec![Acl::new(1, "world", "nobody")]);
    assert_eq!(world().run(set_acl("/missing", bad(), -1)), -114);
    assert_eq!(world().run(set_acl("/a", None, -1)), -114);
    assert_eq!(world().run(set_acl("foo", bad(), -1)), -8);
    let null =
        Some(vec![Acl { perms: 1, id: jute::data::Id { scheme: Some("ip".into()), id: None } }]);
    assert_eq!(world().run(set_acl("/a", null, -1)), -5);
    let mut w = world();
    let before = w.tree.find("/a").unwrap().stat();
    w.ok(set_acl("/a", list(), -1));
    let after = w.tree.find("/a").unwrap().stat();
    assert_eq!(after.aversion, 1);
    assert_eq!(jute::data::Stat { aversion: 0, ..after }, before);
    // A pipelined change sees the new list.
    w.propose(set_acl("/full", list(), -1));
    w.propose(set_data("/full", "x", -1));
    w.apply_one();
    assert_eq!(w.apply_one().unwrap().err, -102);
}

#[test]
fn checks_in_a_multi() {
    table(
        |path, version| WriteRequest::Multi(vec![check(path, version)]),
        &[("foo", -1, -8), ("/missing", -1, -101), ("/a", 0, -103), ("/a", 1, 0), ("/a", -1, 0)],
    );
    let mut w = world();
    w.as_user("u:x").ok(node_with("/secret", Some(vec![Acl::new(31, "digest", "u:x")])));
    w.as_user("v:y");
    assert_eq!(w.run(WriteRequest::Multi(vec![check("/secret", 99)])), -102);
    let Txn::Multi(multi) = w.txn(WriteRequest::Multi(vec![check("/a", 1)])) else {
        panic!("multi")
    };
    let sub = &multi.txns.unwrap()[0];
    let Txn::Check(txn) = Txn::decode_sub(sub).unwrap() else { panic!("check") };
    // Sic: Java stores the version that would come next.
    assert_eq!(txn.version, 2);
}

#[test]
fn removal_of_containers() {
    for (path, inside, outside) in [
        ("foo", -8, -8),
        ("/zookeeper", -8, -8),
        ("/missing", -101, -101),
        ("/missing/x", -101, -101),
        ("/full/c", -111, -111),
        ("/eph", -103, -103),
        ("/container", 0, 0),
        ("/ttl", 0, 0),
        // Java lets anyone delete any empty znode with this.
        ("/a/child", 0, -102),
        ("/closed/x", 0, -102),
    ] {
        let mut w = world();
        w.source = Source::Internal;
        w.session = 0;
        assert_eq!(w.run(delete_container(path)), inside, "{path}");
        for source in [Source::Client, Source::Learner] {
            let mut w = world();
            w.source = source;
            assert_eq!(w.run(delete_container(path)), outside, "{path}");
        }
    }
    let mut w = world();
    w.session = 99;
    assert_eq!(w.run(delete_container("/container")), -12);
}

#[test]
fn sessions_are_checked_before_paths() {
    for write in [delete("foo", -1), set_data("foo", "", -1), set_acl("foo", None, -1)] {
        let mut w = world();
        w.session = 99;
        assert_eq!(w.run(write.clone()), -12);
        let mut w = world();
        w.sessions.set_closing(SessionId(S));
        assert_eq!(w.run(write.clone()), -112);
        let mut w = world();
        w.owner = Owner(3);
        assert_eq!(w.run(write), -118);
    }
}

#[test]
fn reconfig() {
    let request = WriteRequest::Reconfig(Reconfig {
        joining_servers: None,
        leaving_servers: None,
        new_members: Some(String::new()),
        config_version: -1,
    });
    assert_eq!(World::new().run(request.clone()), -123);
    let enabled = || {
        World::with(
            Options { reconfig_enabled: true, ..Options::default() },
            TreeOptions::default(),
        )
    };
    let mut w = enabled();
    assert_eq!(w.run(request.clone()), -6);
    w.session = 99;
    assert_eq!(w.run(request.clone()), -12);

    struct Ensemble(Result<Bytes, ErrorCode>);
    impl Membership for Ensemble {
        fn propose(&mut self, _: &Reconfig, _: Zxid) -> Result<Bytes, ErrorCode> {
            self.0.clone()
        }
    }
    // The permission comes last.
    let text = Bytes::from_static(b"server.1=...\nversion=1");
    for (answer, skip_acl, expected) in [
        (Err(ErrorCode::NewConfigNoQuorum), true, -13),
        (Err(ErrorCode::BadArguments), false, -8),
        (Ok(text.clone()), false, -102),
        (Ok(text.clone()), true, 0),
    ] {
        let mut w = enabled();
        let schemes = Schemes::new(crate::acl::Options { skip_acl, ..Default::default() }).unwrap();
        w.prep = Prep::new(w.prep.options.clone(), Arc::new(schemes));
        let context = Context {
            session: SessionId(S),
            cxid: 1,
            kind: op::RECONFIG,
            identities: Arc::from([]),
            owner: Owner::LOCAL,
            source: Source::Client,
            upgrade_error: None,
        };
        let now = Now { mono: Mono(0), wall: Wall(9) };
        let prepared = w.prep.prepare(
            &w.tree,
            &mut w.sessions,
            Some(&mut Ensemble(answer)),
            Request { context, write: request.clone() },
            Zxid(1),
            now,
        );
        let Prepared::Proposal(proposal) = prepared else { panic!("a proposal") };
        let applied = w.tree.apply(&proposal, &mut |_| {});
        assert_eq!(applied.err, expected);
        if expected == 0 {
            assert_eq!(applied.digest, DigestCheck::Match);
            let config = w.tree.find("/zookeeper/config").unwrap();
            assert_eq!((config.data(), config.version()), (Some(&text[..]), -1));
        }
    }
}
