//! One table per transaction type: what fits, what does not, and what clients see of it.

use super::*;
use crate::base::Wall;

/// `/a` (2 children: `/a/x`, ephemeral `/a/e` of session 7), zxids 1 to 3.
fn small_tree() -> DataTree {
    let mut tree = new_tree();
    assert_eq!(code(&mut tree, 1, op::CREATE, create("/a", "aa", 1)), 0);
    assert_eq!(code(&mut tree, 2, op::CREATE, create("/a/x", "x", 1)), 0);
    assert_eq!(code(&mut tree, 3, op::CREATE, create_as("/a/e", "e", 2, true)), 0);
    tree
}

#[test]
fn paths_that_are_found() {
    let tree = small_tree();
    let found = ["", "/", "/a", "/a/x", "/zookeeper/config"];
    let missing = ["a", "/a/", "//a", "/a//x", "/b", "/a/xx", "/ax", "x", "/x", "//", "/a/x/"];
    for path in found {
        let node = tree.find(path).unwrap();
        assert_eq!(node.path(), if path.is_empty() { "/" } else { path });
    }
    for path in missing {
        assert!(tree.find(path).is_none(), "{path}");
    }
    let x = tree.find("/a/x").unwrap();
    assert_eq!((x.name(), x.parent().unwrap().path().as_str()), ("x", "/a"));
    assert!(tree.root().parent().is_none());
}

#[test]
fn create_codes_and_changes() {
    let cases: [(&str, i32, &[&str]); 9] = [
        ("/b", 0, &["created /b acl 31 parent 31"]),
        ("/a/y", 0, &["created /a/y acl 31 parent 31"]),
        ("/zookeeper/config/k", 0, &["created /zookeeper/config/k acl 31 parent 1"]),
        ("/a", -110, &[]),
        ("/no/y", -101, &[]),
        // Validation keeps these away; stricter than Java, which stops or makes unreachable znodes.
        ("", -101, &[]),
        ("b", -101, &[]),
        ("/a/", -101, &[]),
        ("//b", -101, &[]),
    ];
    for (path, expected, expected_changes) in cases {
        for kind in [op::CREATE, op::CREATE2] {
            let mut tree = small_tree();
            let (applied, changes) = apply(&mut tree, &proposal(9, kind, create(path, "v", -1)));
            assert_eq!((applied.err, changes), (expected, strings(expected_changes)), "{path}");
        }
    }
    let mut tree = small_tree();
    let no_path = Txn::Create(CreateTxn::default());
    assert_eq!(code(&mut tree, 9, op::CREATE, no_path), -8);
}

#[test]
fn a_created_znode_and_its_parent() {
    let mut tree = small_tree();
    let (applied, _) = apply(&mut tree, &proposal(9, op::CREATE2, create("/a/y", "val", 7)));
    let expected = Stat {
        czxid: 9,
        mzxid: 9,
        pzxid: 9,
        ctime: 9000,
        mtime: 9000,
        data_length: 3,
        ..Default::default()
    };
    assert_eq!(applied.result, OpResult::Created { path: "/a/y".into(), stat: expected.clone() });
    assert_eq!(tree.find("/a/y").unwrap().stat(), expected);
    let parent = tree.find("/a").unwrap().stat();
    // 2 * 7 creates - 3 children.
    assert_eq!((parent.cversion, parent.num_children, parent.pzxid), (11, 3, 9));
}

#[test]
fn null_and_empty_data_differ() {
    let mut tree = small_tree();
    let null = Txn::SetData(SetDataTxn { path: Some("/a".into()), data: None, version: 1 });
    assert_eq!(code(&mut tree, 8, op::SET_DATA, null), 0);
    let node = tree.find("/a").unwrap();
    assert_eq!((node.data(), node.stat().data_length), (None, 0));
    let shared = node.shared_data();
    assert_eq!(code(&mut tree, 9, op::SET_DATA, set_data("/a", "", 2)), 0);
    assert_eq!(tree.find("/a").unwrap().data(), Some(&b""[..]));
    assert_eq!(shared.as_slice(), None);
}

/// Parent's cversion and pzxid only ever go up; -1 means one more.
#[test]
fn the_parents_counters_never_go_back() {
    // (parentCVersion of the txn, stored cversion and pzxid of /a afterwards); before: 2, 3.
    let cases = [(-1, 3, 9), (3, 3, 9), (10, 10, 9), (2, 2, 3), (1, 2, 3), (0, 2, 3), (-5, 2, 3)];
    for (cversion, expected, pzxid) in cases {
        let mut tree = small_tree();
        assert_eq!(code(&mut tree, 9, op::CREATE, create("/a/y", "", cversion)), 0);
        let stat = tree.find("/a").unwrap().persisted();
        assert_eq!((stat.cversion, stat.pzxid), (expected, pzxid), "{cversion}");
    }
}

/// Replay: type 1 moves the parent on although the znode exists; the other types do not.
#[test]
fn creating_what_exists_repairs_acl_and_parent() {
    let ttl = |path: &str| match create_ttl(path, 5) {
        Txn::CreateTtl(txn) => Txn::CreateTtl(CreateTtlTxn { parent_cversion: 8, ..txn }),
        _ => unreachable!(),
    };
    let sub = |kind| multi(&[(kind, create("/a/x", "new", 8))]);
    let cases = [
        (op::CREATE, create("/a/x", "new", 8), (8, 9)),
        (op::CREATE, create("/a/x", "new", -1), (3, 9)),
        (op::CREATE, create("/a/x", "new", 1), (2, 3)),
        (op::CREATE2, create("/a/x", "new", 8), (2, 3)),
        (op::CREATE_CONTAINER, create_container("/a/x"), (2, 3)),
        (op::CREATE_TTL, ttl("/a/x"), (2, 3)),
        (op::MULTI, sub(op::CREATE), (8, 9)),
        (op::MULTI, sub(op::CREATE2), (2, 3)),
    ];
    for (kind, txn, expected) in cases {
        let mut tree = small_tree();
        assert_eq!(code(&mut tree, 5, op::SET_ACL, set_acl("/a/x", 1, 1)), 0);
        let (applied, changes) = apply(&mut tree, &proposal(9, kind, txn.clone()));
        assert_eq!((applied.err, changes.len()), (-110, 0));
        let parent = tree.find("/a").unwrap().persisted();
        assert_eq!((parent.cversion, parent.pzxid), expected, "{kind} {txn:?}");
        let node = tree.find("/a/x").unwrap();
        assert_eq!((node.data(), node.acl()[0].perms), (Some(&b"x"[..]), 31));
        assert_eq!(tree.last_zxid(), Zxid(9));
    }
}

#[test]
fn kinds_of_owners() {
    let mut tree = small_tree();
    assert_eq!(code(&mut tree, 8, op::CREATE_CONTAINER, create_container("/c")), 0);
    assert_eq!(code(&mut tree, 9, op::CREATE_TTL, create_ttl("/t", 100)), 0);
    let of = |path: &str| {
        let node = tree.find(path).unwrap();
        (node.owner(), node.stat().ephemeral_owner)
    };
    assert_eq!(of("/a"), (Owner::None, 0));
    assert_eq!(of("/a/e"), (Owner::Session(SessionId(7)), 7));
    assert_eq!(of("/c"), (Owner::Container, 0));
    assert_eq!(of("/t"), (Owner::Ttl(100), 0));
    assert_eq!(tree.ephemeral_count(), 1);
    assert_eq!(tree.ephemeral_sessions().collect::<Vec<_>>(), [SessionId(7)]);
    assert_eq!(tree.containers().map(Node::path).collect::<Vec<_>>(), ["/c"]);
    assert_eq!(tree.ttl_nodes().map(Node::path).collect::<Vec<_>>(), ["/t"]);
}

/// Java stops for ever on such a transaction.
#[test]
fn a_ttl_out_of_range_changes_nothing() {
    for ttl in [0, -1, 1 << 40] {
        let mut tree = small_tree();
        assert_eq!(code(&mut tree, 9, op::CREATE_TTL, create_ttl("/t", ttl)), -8);
        assert!(tree.find("/t").is_none());
    }
}

#[test]
fn delete_codes_changes_and_parent() {
    let cases: [(&str, i32, &[&str], i64); 6] = [
        ("/a/x", 0, &["deleted /a/x acl 31 parent 31"], 9),
        // Gone already: the parent's pzxid moves on all the same.
        ("/a/gone", -101, &[], 9),
        ("/no/x", -101, &[], 3),
        ("/", -101, &[], 3),
        ("", -101, &[], 3),
        ("/a/", -101, &[], 3),
    ];
    for (path, expected, expected_changes, pzxid) in cases {
        for kind in [op::DELETE, op::DELETE_CONTAINER] {
            let mut tree = small_tree();
            let (applied, changes) = apply(&mut tree, &proposal(9, kind, delete(path)));
            assert_eq!((applied.err, changes), (expected, strings(expected_changes)), "{path}");
            let parent = tree.find("/a").unwrap().persisted();
            assert_eq!((parent.pzxid, parent.cversion), (pzxid, 2), "{path}");
        }
    }
    let mut tree = small_tree();
    assert_eq!(code(&mut tree, 2, op::DELETE, delete("/a/x")), 0);
    assert_eq!(tree.find("/a").unwrap().persisted().pzxid, 3, "never back");
}

/// Replay of a delete over a snapshot that has later children already: the creates follow, and
/// the end is that of an exact snapshot (`REPLAY-CONVERGES`).
#[test]
fn deleting_a_znode_with_children_deletes_them_too() {
    let log = [
        (op::DELETE, delete("/p")),
        (op::CREATE, create("/p", "new", 2)),
        (op::CREATE, create("/p/q", "q", 1)),
        (op::CREATE, create("/p/q/r", "r", 1)),
    ];
    let mut exact = new_tree();
    assert_eq!(code(&mut exact, 1, op::CREATE, create("/p", "", 1)), 0);
    let replay = |tree: &mut DataTree| {
        let codes =
            log.iter().zip(10..).map(|((kind, txn), zxid)| code(tree, zxid, *kind, txn.clone()));
        assert_eq!(codes.collect::<Vec<_>>(), [0, 0, 0, 0]);
    };
    replay(&mut exact);
    let expected = dump(&exact);
    replay(&mut exact);
    assert_eq!(dump(&exact), expected);
}

#[test]
fn set_data_codes_and_stat() {
    let mut tree = small_tree();
    let (applied, changes) = apply(&mut tree, &proposal(9, op::SET_DATA, set_data("/a", "v2v", 5)));
    let OpResult::Stat(stat) = applied.result else { panic!("{applied:?}") };
    assert_eq!((stat.version, stat.mzxid, stat.mtime, stat.data_length), (5, 9, 9000, 3));
    assert_eq!((stat.czxid, stat.pzxid, stat.cversion), (1, 3, 2));
    assert_eq!(changes, ["changed /a acl 31 parent 31"]);
    // Replay sets whatever the transaction says, older or not.
    assert_eq!(code(&mut tree, 4, op::SET_DATA, set_data("/a", "old", 1)), 0);
    assert_eq!(tree.find("/a").unwrap().stat().version, 1);
    assert_eq!(tree.last_zxid(), Zxid(9));
    assert_eq!(code(&mut tree, 10, op::SET_DATA, set_data("/no", "", 1)), -101);
    let (applied, changes) = apply(&mut tree, &proposal(11, op::SET_DATA, set_data("/", "r", 1)));
    assert_eq!((applied.err, changes), (0, strings(&["changed / acl 31 parent 31"])));
    assert_eq!(tree.root().data(), Some(&b"r"[..]));
}

#[test]
fn reconfig_sets_the_configuration_znode() {
    let mut tree = small_tree();
    let txn = set_data("/zookeeper/config", "server.1=...", -1);
    let (applied, changes) = apply(&mut tree, &proposal(9, op::RECONFIG, txn));
    let OpResult::Stat(stat) = applied.result else { panic!("{applied:?}") };
    assert_eq!((stat.version, stat.mzxid), (-1, 9));
    assert_eq!(changes, ["changed /zookeeper/config acl 1 parent 31"]);
}

#[test]
fn set_acl_touches_nothing_but_acl_and_aversion() {
    let mut tree = small_tree();
    let before = tree.find("/a").unwrap().persisted();
    let (applied, changes) = apply(&mut tree, &proposal(9, op::SET_ACL, set_acl("/a", 5, 1)));
    let OpResult::Stat(stat) = applied.result else { panic!("{applied:?}") };
    assert_eq!((stat.aversion, stat.mzxid, changes.len()), (1, 1, 0));
    let node = tree.find("/a").unwrap();
    assert_eq!(node.persisted(), StatPersisted { aversion: 1, ..before });
    assert_eq!(node.acl()[..], [Acl::world(5)]);
    assert_eq!(code(&mut tree, 10, op::SET_ACL, set_acl("/no", 5, 1)), -101);
}

#[test]
fn sessions_come_and_go() {
    let mut tree = small_tree();
    let timeout = Txn::CreateSession(CreateSessionTxn { timeout: 4000 });
    assert_eq!(code(&mut tree, 4, op::CREATE_SESSION, timeout), 0);
    assert_eq!(tree.sessions().timeout_ms(SessionId(7)), Some(4000));
    let (applied, changes) = apply(&mut tree, &proposal(9, op::CLOSE_SESSION, close_session(None)));
    assert_eq!((applied.err, changes), (0, strings(&["deleted /a/e acl 31 parent 31"])));
    assert!(tree.sessions().is_empty());
    assert_eq!(tree.find("/a").unwrap().persisted().pzxid, 9);
}

/// The listed paths go first, in their order and whoever owns them; then what is left.
#[test]
fn close_session_deletes_its_list_and_the_rest() {
    let mut tree = small_tree();
    assert_eq!(code(&mut tree, 4, op::CREATE, create_as("/a/f", "", 3, true)), 0);
    let txn = close_session(Some(&["/a/x", "/gone", "/a/f"]));
    let (applied, changes) = apply(&mut tree, &proposal(9, op::CLOSE_SESSION, txn));
    let expected = ["/a/x", "/a/f", "/a/e"].map(|path| format!("deleted {path} acl 31 parent 31"));
    assert_eq!((applied.err, changes), (0, expected.to_vec()));
    assert_eq!(tree.ephemeral_count(), 0);
    assert_eq!(tree.root().persisted().pzxid, 9, "also of the parent of a path that is gone");
}

#[test]
fn ephemerals_of_unknown_sessions_can_be_killed() {
    let mut tree = small_tree();
    let mut deleted = Vec::new();
    tree.kill_session(SessionId(7), Zxid(3), &mut |change| deleted.push(change.path.to_owned()));
    assert_eq!(deleted, ["/a/e"]);
    tree.check().unwrap();
    assert_eq!(tree.last_zxid(), Zxid(3));
}

#[test]
fn errors_only_move_the_zxid() {
    let mut tree = small_tree();
    let before = dump(&tree);
    let (applied, changes) =
        apply(&mut tree, &proposal(9, op::ERROR, Txn::Error(ErrorTxn { err: -103 })));
    assert_eq!((applied.err, applied.result, changes.len()), (-103, OpResult::None, 0));
    assert_eq!((dump(&tree), tree.last_zxid()), (before, Zxid(9)));
}

#[test]
fn a_multi_is_one_transaction() {
    let mut tree = small_tree();
    let check = Txn::Check(jute::txn::CheckVersionTxn { path: Some("/a".into()), version: 1 });
    let txn = multi(&[
        (op::CREATE, create("/m", "1", 2)),
        (op::CHECK, check),
        (op::SET_DATA, set_data("/m", "22", 1)),
        (op::CREATE_CONTAINER, create_container("/m/c")),
        (op::DELETE, delete("/a/x")),
    ]);
    let (applied, changes) = apply(&mut tree, &proposal(9, op::MULTI, txn));
    assert_eq!(
        changes,
        strings(&[
            "created /m acl 31 parent 31",
            "changed /m acl 31 parent 31",
            "created /m/c acl 31 parent 31",
            "deleted /a/x acl 31 parent 31",
        ])
    );
    let OpResult::Multi(results) = applied.result else { panic!("{applied:?}") };
    let kinds: Vec<_> = results.iter().map(|result| (result.kind, result.err)).collect();
    assert_eq!(kinds, [(1, 0), (13, 0), (5, 0), (19, 0), (2, 0)]);
    assert!(matches!(&results[0].result, OpResult::Created { path, .. } if path == "/m"));
    assert!(matches!(&results[2].result, OpResult::Stat(stat) if stat.data_length == 2));
    assert!(matches!(&results[3].result, OpResult::Created { stat, .. } if stat.czxid == 9));
    assert_eq!((applied.err, tree.last_zxid()), (0, Zxid(9)));
}

/// Operations in front of the error have their payload in the log and are not applied.
#[test]
fn a_failed_multi_changes_nothing() {
    let mut tree = small_tree();
    let before = dump(&tree);
    let error = |err| (op::ERROR, Txn::Error(ErrorTxn { err }));
    let txn = multi(&[(op::CREATE, create("/m", "", 2)), error(-103), error(-2)]);
    let (applied, changes) = apply(&mut tree, &proposal(9, op::MULTI, txn));
    let OpResult::Multi(results) = applied.result else { panic!("{applied:?}") };
    let kinds: Vec<_> = results.iter().map(|result| (result.kind, result.err)).collect();
    assert_eq!((kinds, applied.err), (vec![(-1, 0), (-1, -103), (-1, -2)], -103));
    assert_eq!((dump(&tree), changes.len()), (before, 0));
}

/// As in Java: what is in front of an operation nobody can read stays applied.
#[test]
fn a_multi_ends_at_an_unreadable_operation() {
    for bad in [
        SubTxn { kind: op::SET_ACL, data: Some(set_acl("/a", 1, 1).to_vec().into()) },
        SubTxn { kind: op::DELETE, data: Some(vec![0, 0].into()) },
        SubTxn { kind: op::DELETE, data: None },
    ] {
        let mut tree = small_tree();
        let sub = |path: &str| SubTxn {
            kind: op::CREATE,
            data: Some(create(path, "", -1).to_vec().into()),
        };
        let txn = Txn::Multi(MultiTxn { txns: Some(vec![sub("/m"), bad, sub("/n")]) });
        let (applied, changes) = apply(&mut tree, &proposal(9, op::MULTI, txn));
        assert_eq!((applied.err, changes.len()), (0, 1));
        assert!(tree.find("/m").is_some() && tree.find("/n").is_none());
    }
}

#[test]
fn numbers_of_descendants() {
    let tree = small_tree();
    let cases =
        [("/", 6), ("", 7), ("/a", 2), ("/a/", 0), ("/a/x", 0), ("/no", 0), ("/zookeeper", 2)];
    for (path, expected) in cases {
        assert_eq!(tree.all_children_number(path), expected, "{path:?}");
    }
}

#[test]
fn the_configuration_is_set_outside_the_log() {
    let mut tree = small_tree();
    let set = |tree: &mut DataTree| {
        let mut changes = Vec::new();
        tree.set_config(b"version=5", 5, Wall(77), &mut |change| {
            changes.push((change.path.to_owned(), change.kind, change.zxid));
        });
        tree.check().unwrap();
        let path = "/zookeeper/config".to_owned();
        assert_eq!(changes, [(path, ChangeKind::DataChanged, Zxid(5))]);
        let node = tree.find("/zookeeper/config").unwrap();
        let stat = node.persisted();
        assert_eq!((stat.version, stat.mzxid, stat.mtime, stat.aversion), (-1, 5, 77, -1));
        assert_eq!((node.data(), node.acl()[0].perms), (Some(&b"version=5"[..]), 1));
        assert_eq!(tree.last_zxid(), Zxid(3));
    };
    set(&mut tree);
    // Databases from before 3.5 do not have it.
    let mut old = small_tree();
    old.apply(&proposal(2, op::DELETE, delete("/zookeeper/config")), &mut |_| {});
    set(&mut old);
}

#[test]
fn digests_are_remembered_every_128_zxids() {
    let mut tree = new_tree();
    assert_eq!(tree.last_digest(), None);
    let error = |zxid| proposal(zxid, op::ERROR, Txn::Error(ErrorTxn { err: -101 }));
    for zxid in 1..=128 * 1030 {
        tree.apply(&error(zxid), &mut |_| {});
    }
    let log: Vec<_> = tree.digest_log().collect();
    assert_eq!((log.len(), log[0].zxid, log[1023].zxid), (1024, Zxid(128 * 7), Zxid(128 * 1030)));
    assert_eq!(tree.last_digest(), log.last().copied());
    assert_eq!(log[0].digest, 1_371_985_504);
}

#[test]
fn digests_in_transactions_are_compared() {
    let mut tree = new_tree();
    let with = |zxid, version, tree_digest| {
        let txn = Txn::CreateSession(CreateSessionTxn { timeout: 1 });
        let header = TxnHeader { zxid, kind: op::CREATE_SESSION, ..Default::default() };
        let digest = jute::txn::TxnDigest { version, tree_digest };
        Proposal::encode(header, txn, Some(digest))
    };
    let actual = tree.digest();
    let cases = [
        (with(1, 2, actual), DigestCheck::Match),
        (with(2, 3, actual + 1), DigestCheck::Skipped),
        (with(3, 2, 5), DigestCheck::Mismatch { expected: 5, actual }),
    ];
    for (proposal, expected) in cases {
        assert_eq!(apply(&mut tree, &proposal).0.digest, expected);
    }
}

// Quotas.

const LIMITS: &str = "/zookeeper/quota/a/zookeeper_limits";
const STATS: &str = "/zookeeper/quota/a/zookeeper_stats";

/// `small_tree` with a quota on `/a`.
fn quota_tree(limits: &str) -> DataTree {
    let mut tree = small_tree();
    let creates = [("/zookeeper/quota/a", ""), (LIMITS, limits), (STATS, "count=0,bytes=0")];
    for ((path, data), zxid) in creates.into_iter().zip(4..) {
        assert_eq!(code(&mut tree, zxid, op::CREATE, create(path, data, -1)), 0);
    }
    tree
}

fn stats(tree: &DataTree) -> String {
    String::from_utf8(tree.find(STATS).unwrap().data().unwrap().to_vec()).unwrap()
}

#[test]
fn statistics_follow_the_subtree() {
    let mut tree = quota_tree("count=9,bytes=-1");
    assert_eq!(stats(&tree), "count=3,bytes=4");
    let before = tree.find(STATS).unwrap().persisted();
    let txns = [
        (op::CREATE, create("/a/y", "12345", -1), "count=4,bytes=9"),
        (op::SET_DATA, set_data("/a/y", "1", 1), "count=4,bytes=5"),
        (op::SET_DATA, set_data("/a", "", 1), "count=4,bytes=3"),
        (op::DELETE, delete("/a/y"), "count=3,bytes=2"),
        (op::CREATE, create("/ab", "12345", -1), "count=3,bytes=2"),
        (op::CLOSE_SESSION, close_session(None), "count=2,bytes=1"),
    ];
    for ((kind, txn, expected), zxid) in txns.into_iter().zip(10..) {
        assert_eq!(code(&mut tree, zxid, kind, txn), 0);
        assert_eq!(stats(&tree), expected);
    }
    assert_eq!(tree.find(STATS).unwrap().persisted(), before, "in place");
    let quota = tree.quota_of("/a/y/z").unwrap();
    assert_eq!((quota.prefix.as_str(), quota.count_limit, quota.byte_limit), ("/a", 9, -1));
    assert_eq!((quota.count, quota.bytes, quota.count_hard_limit), (2, 1, -1));
    assert_eq!(tree.quota_of("/ab"), None);
    assert_eq!(code(&mut tree, 20, op::DELETE, delete(LIMITS)), 0);
    assert_eq!(tree.quota_of("/a"), None);
    assert_eq!(code(&mut tree, 21, op::CREATE, create("/a/y", "1", -1)), 0);
    assert_eq!(stats(&tree), "count=2,bytes=1");
}

#[test]
fn only_the_deepest_quota_counts() {
    let mut tree = quota_tree("count=9,bytes=-1");
    let inner = "/zookeeper/quota/a/x";
    for (path, zxid) in [("", 10), ("/zookeeper_limits", 11), ("/zookeeper_stats", 12)] {
        let txn = create(&format!("{inner}{path}"), "", -1);
        assert_eq!(code(&mut tree, zxid, op::CREATE, txn), 0);
    }
    assert_eq!(code(&mut tree, 13, op::CREATE, create("/a/x/y", "123", -1)), 0);
    assert_eq!(stats(&tree), "count=3,bytes=4");
    assert_eq!(tree.quota_of("/a/x/y").unwrap().count, 2);
}

/// Both stop a Java server for good.
#[test]
fn no_content_of_the_quota_tree_does_harm() {
    let mut tree = quota_tree("");
    for (name, zxid) in [("zookeeper_limits", 10), ("zookeeper_stats", 11)] {
        let path = format!("/zookeeper/quota/{name}");
        assert_eq!(code(&mut tree, zxid, op::CREATE, create(&path, "x", -1)), 0);
    }
    for (bad, zxid) in ["garbage", "count=", "count=x,bytes=1", ",", "="].into_iter().zip(20..) {
        assert_eq!(code(&mut tree, 12, op::SET_DATA, set_data(STATS, bad, 1)), 0);
        assert_eq!(code(&mut tree, zxid, op::CREATE, create(&format!("/a/{zxid}"), "", -1)), 0);
    }
    // The lone comma is no error for Java: all numbers read as -1, then one more.
    assert_eq!(stats(&tree), "count=8,bytes=4");
    assert_eq!(code(&mut tree, 30, op::SET_DATA, set_data(STATS, ",", 1)), 0);
    assert_eq!(code(&mut tree, 31, op::DELETE, delete("/a/20")), 0);
    assert_eq!(stats(&tree), "count=-2,bytes=-1");
    assert_eq!(code(&mut tree, 32, op::DELETE, delete(STATS)), 0);
    assert_eq!(code(&mut tree, 33, op::DELETE, delete("/a/21")), 0);
    assert_eq!(tree.quota_of("/a"), None);
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}
