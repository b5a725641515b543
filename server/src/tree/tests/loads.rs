//! Loading records of snapshots, good and bad.

use std::sync::Arc;

use super::*;
use crate::tree::load::{LoadError, Loaded, TreeLoader};

fn loader() -> TreeLoader {
    let mut loader = TreeLoader::new(new_tree().options().clone());
    loader.acl(3, Arc::new([Acl::world(PERM_ALL)]));
    loader
}

fn with_nodes(paths: &[&str]) -> Result<TreeLoader, LoadError> {
    let mut loader = loader();
    for path in paths {
        loader.node(path, Some(b"v"), 3, &StatPersisted::default())?;
    }
    Ok(loader)
}

fn loaded(paths: &[&str]) -> Result<DataTree, LoadError> {
    let Loaded { tree, .. } = with_nodes(paths)?.finish(Zxid(5), None)?;
    tree.check().unwrap();
    assert_eq!(tree.last_zxid(), Zxid(5));
    let mut found: Vec<_> =
        dump(&tree).into_iter().map(|l| l.split('\t').next().unwrap().to_owned()).collect();
    let mut expected: Vec<_> =
        paths.iter().map(|p| if p.is_empty() { "/" } else { p }.to_owned()).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    Ok(tree)
}

#[test]
fn orders_that_load() {
    loaded(&[""]).unwrap();
    loaded(&["", "/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/b"]).unwrap();
    // Breadth first, and siblings that look alike.
    loaded(&["", "/a", "/b", "/a/b", "/b/b", "/a/c", "/b/b/c", "/a/b/c", "/b/b/d"]).unwrap();
    loaded(&["", "/ab", "/a", "/ab/c", "/a/c", "/é", "/é/漢"]).unwrap();
}

#[test]
fn records_that_are_no_tree() {
    let no_parent = |parent: &str, path: &str| {
        Err(LoadError::NoParent { parent: parent.into(), path: path.into() })
    };
    let duplicate = |path: &str| Err(LoadError::Duplicate(path.into()));
    let bad = |path: &str| Err(LoadError::BadPath(path.into()));
    let cases: [(&[&str], Result<(), LoadError>); 11] = [
        (&[], Err(LoadError::NoRoot)),
        (&["/a"], no_parent("", "/a")),
        (&["", "/a/b"], no_parent("/a", "/a/b")),
        (&["", "/a", "/b/c"], no_parent("/b", "/b/c")),
        (&["", "a"], bad("a")),
        (&["", "a/b"], no_parent("a", "a/b")),
        (&["", "/a/"], bad("/a/")),
        (&["", "//a"], no_parent("/", "//a")),
        (&["", "/a", ""], duplicate("")),
        (&["", "/a", "/a"], duplicate("/a")),
        // The duplicate comes behind a record out of order, when there is an index.
        (&["", "/a", "/b", "/a/c", "/b"], duplicate("/b")),
    ];
    for (paths, expected) in cases {
        assert_eq!(loaded(paths).map(|_| ()), expected, "{paths:?}");
    }
}

#[test]
fn a_deep_tree_loads_and_goes() {
    let mut loader = with_nodes(&[""]).unwrap();
    for depth in 1..2_000 {
        loader.node(&"/d".repeat(depth), None, -1, &StatPersisted::default()).unwrap();
    }
    let mut tree = loader.finish(Zxid(1), None).unwrap().tree;
    tree.check().unwrap();
    assert_eq!(tree.all_children_number("/d"), 1998);
    tree.apply(&proposal(2, op::DELETE, delete("/d")), &mut |_| {});
    tree.check().unwrap();
    assert_eq!(tree.node_count(), 1);
}

#[test]
fn owners_sessions_and_acls_are_restored() {
    let mut loader = loader();
    loader.session(SessionId(9), 4000);
    loader.acl(8, Arc::new([Acl::world(1)]));
    let stat = |owner| StatPersisted { ephemeral_owner: owner, ..Default::default() };
    loader.node("", Some(b""), -1, &stat(0)).unwrap();
    loader.node("/e", None, 3, &stat(9)).unwrap();
    loader.node("/c", None, 3, &stat(i64::MIN)).unwrap();
    loader.node("/t", None, 3, &stat(ttl_owner(50).unwrap())).unwrap();
    let mut tree = loader.finish(Zxid(1), None).unwrap().tree;
    tree.check().unwrap();
    assert_eq!(tree.sessions().timeout_ms(SessionId(9)), Some(4000));
    assert_eq!(tree.ephemerals_of(SessionId(9)).collect::<Vec<_>>(), ["/e"]);
    assert_eq!(tree.containers().count(), 1);
    assert_eq!(tree.ttl_nodes().next().unwrap().owner(), Owner::Ttl(50));
    // 8 was not used and is gone, but its number is not given out again.
    assert_eq!(tree.acl_count(), 1);
    assert_eq!(code(&mut tree, 2, op::SET_ACL, set_acl("/e", 1, 1)), 0);
    let cut = tree.open_cut(Default::default()).unwrap();
    assert_eq!(cut.acls().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 9]);
}

#[test]
fn an_owner_nobody_knows_is_refused_with_extended_types() {
    let stat =
        StatPersisted { ephemeral_owner: 0xff00_0100_0000_0001u64 as i64, ..Default::default() };
    let mut extended = with_nodes(&[""]).unwrap();
    assert!(matches!(extended.node("/a", None, 3, &stat), Err(LoadError::BadOwner { .. })));
    let mut plain = TreeLoader::new(TreeOptions::default());
    plain.node("", None, -1, &StatPersisted::default()).unwrap();
    plain.node("/a", None, -1, &stat).unwrap();
    assert_eq!(plain.finish(Zxid(1), None).unwrap().tree.ephemeral_count(), 1);
}

/// ZOOKEEPER-3306, 4689, 4846: the list was set after the map of a fuzzy snapshot was written.
#[test]
fn a_missing_acl_shuts_everybody_out_until_replay_repairs_it() {
    let mut loader = with_nodes(&["", "/ok"]).unwrap();
    loader.node("/lost", None, 77, &StatPersisted::default()).unwrap();
    loader.node("/lost/too", None, 77, &StatPersisted::default()).unwrap();
    let mut tree = loader.finish(Zxid(1), None).unwrap().tree;
    tree.check().unwrap();
    let perms = |tree: &DataTree, path: &str| tree.find(path).unwrap().acl()[0].perms;
    assert_eq!((perms(&tree, "/lost"), perms(&tree, "/lost/too"), perms(&tree, "/ok")), (0, 0, 31));
    // A snapshot taken now refers to no list that it does not have.
    let cut = tree.open_cut(Default::default()).unwrap();
    assert_eq!(cut.acls().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 77]);
    drop(cut);
    assert_eq!(code(&mut tree, 2, op::CREATE, create("/lost/x", "", -1)), 0);
    assert_eq!(code(&mut tree, 3, op::CREATE, create("/lost", "", -1)), -110);
    assert_eq!(code(&mut tree, 4, op::SET_ACL, set_acl("/lost/too", 5, 1)), 0);
    assert_eq!((perms(&tree, "/lost"), perms(&tree, "/lost/too")), (31, 5));
}

#[test]
fn quotas_are_registered_and_recounted() {
    let mut loader = with_nodes(&["", "/a", "/a/b", "/zookeeper", "/zookeeper/quota"]).unwrap();
    let limits = "/zookeeper/quota/a/zookeeper_limits";
    let mut node = |path: &str, data: &str| {
        loader.node(path, Some(data.as_bytes()), 3, &StatPersisted::default()).unwrap();
    };
    node("/zookeeper/quota/a", "");
    node(limits, "count=5,bytes=-1");
    node("/zookeeper/quota/a/zookeeper_stats", "count=99,bytes=99");
    // No prefix, and a limits znode with children: neither is a quota.
    node("/zookeeper/quota/zookeeper_limits", "");
    node("/zookeeper/quota/c", "");
    node("/zookeeper/quota/c/zookeeper_limits", "");
    node("/zookeeper/quota/c/zookeeper_limits/x", "");
    let tree = loader.finish(Zxid(1), None).unwrap().tree;
    tree.check().unwrap();
    assert_eq!(tree.quota_prefixes().collect::<Vec<_>>(), ["/a"]);
    let quota = tree.quota_of("/a/b").unwrap();
    assert_eq!((quota.count, quota.bytes, quota.count_limit), (2, 2, 5));
}

/// The digest section of a fuzzy snapshot holds the digest of a later transaction.
#[test]
fn digests_wait_for_their_transaction() {
    let root = || with_nodes(&[""]).unwrap();
    let ours = loaded(&[""]).unwrap().digest();
    let digest = |zxid, digest| Some(ZxidDigest { zxid: Zxid(zxid), version: 2, digest });
    let at_once = |section| root().finish(Zxid(5), section).unwrap();
    assert_eq!(at_once(digest(5, ours)).digest, DigestCheck::Match);
    let mismatch = DigestCheck::Mismatch { expected: 1, actual: ours };
    assert_eq!(at_once(digest(5, 1)).digest, mismatch);
    for skipped in [None, digest(0, 0), digest(4, 1)] {
        let loaded = at_once(skipped);
        assert_eq!((loaded.digest, loaded.tree.pending_digest()), (DigestCheck::Skipped, None));
    }
    let with = |zxid, tree_digest| {
        let header = TxnHeader { zxid, kind: op::CREATE_SESSION, ..Default::default() };
        let txn = Txn::CreateSession(CreateSessionTxn { timeout: 1 });
        Proposal::encode(header, txn, Some(jute::txn::TxnDigest { version: 2, tree_digest }))
    };
    let mut tree = at_once(digest(7, 1)).tree;
    assert_eq!(apply(&mut tree, &with(6, 99)).0.digest, DigestCheck::Skipped);
    assert_eq!(tree.last_digest(), None);
    assert_eq!(apply(&mut tree, &with(7, ours)).0.digest, mismatch);
    assert_eq!(apply(&mut tree, &with(8, ours)).0.digest, DigestCheck::Match);
    // Its transaction never comes: from then on comparing goes on.
    let mut tree = at_once(digest(7, 1)).tree;
    assert_eq!(apply(&mut tree, &with(8, ours)).0.digest, DigestCheck::Match);
}

/// What a leader sent may hold effects of transactions that follow.
#[test]
fn a_received_tree_may_be_ahead() {
    let txn = |zxid: i64, path: &str| proposal(zxid, op::CREATE, create(path, "v", zxid as i32));
    let mut source = new_tree();
    let paths = ["/a", "/b", "/c"];
    let story: Vec<Proposal> = (6..)
        .zip(paths)
        .map(|(zxid, path)| {
            let bare = txn(zxid, path);
            apply(&mut source, &bare);
            let digest = jute::txn::TxnDigest { version: 2, tree_digest: source.digest() };
            Proposal::encode(bare.header, bare.txn, Some(digest))
        })
        .collect();
    let received = |upto: usize| {
        let mut tree = new_tree();
        story.iter().take(upto).for_each(|p| drop(apply(&mut tree, p)));
        let mut loader = TreeLoader::new(new_tree().options().clone());
        let mut nodes = vec![tree.root()];
        while let Some(node) = nodes.pop() {
            let path = if node.path() == "/" { String::new() } else { node.path() };
            loader.node(&path, node.data(), -1, &node.persisted()).unwrap();
            nodes.extend(node.child_nodes());
        }
        loader.finish_received(Zxid(5)).unwrap()
    };
    let told = |tree: &mut DataTree| -> Vec<DigestCheck> {
        story.iter().map(|p| apply(tree, p).0.digest).collect()
    };
    use DigestCheck::{Match, Skipped};
    // Exact, as our leaders send it: nothing is passed over.
    let mut tree = received(0);
    assert_eq!(told(&mut tree), [Match, Match, Match]);
    assert!(!tree.settle());
    // Ahead by two transactions.
    let mut tree = received(2);
    assert_eq!(told(&mut tree), [Skipped, Match, Match]);
    assert!(tree.settle() && !tree.settle());
    // Wrong, not ahead: it counts from the point where nothing can be ahead any more.
    let mut tree = received(0);
    let wrong = |zxid: i64, path: &str| {
        let bare = txn(zxid, path);
        let digest = jute::txn::TxnDigest { version: 2, tree_digest: 1 };
        Proposal::encode(bare.header, bare.txn, Some(digest))
    };
    assert_eq!(apply(&mut tree, &wrong(6, "/x")).0.digest, Skipped);
    assert_eq!(tree.last_digest(), None);
    assert!(tree.settle());
    let DigestCheck::Mismatch { expected: 1, .. } = apply(&mut tree, &wrong(7, "/y")).0.digest
    else {
        panic!("passed over")
    };
}
