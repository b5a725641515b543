//! What a Java 3.8.0 server logged and what it had in memory afterwards. Every transaction type a
//! standalone server writes; each carries the digest of Java's tree after it.

use super::*;

const PAYLOADS: &str = include_str!("java-3.8.0-payloads.txt");
const TREE: &str = include_str!("java-3.8.0-tree.txt");

#[test]
fn an_untouched_tree_has_javas_digest() {
    let tree = new_tree();
    assert_eq!(tree.digest(), 1_371_985_504);
    assert_eq!((tree.node_count(), tree.approximate_data_size(), tree.acl_count()), (4, 44, 1));
    tree.check().unwrap();
    assert_eq!((tree.root().stat().cversion, tree.root().stat().num_children), (-1, 1));
    assert_eq!(tree.find("/zookeeper").unwrap().stat().cversion, -2);
    let config = tree.find("/zookeeper/config").unwrap();
    assert_eq!((config.stat().aversion, config.data()), (-1, Some(&b""[..])));
    assert_eq!(config.acl()[..], [Acl::world(1)]);
}

#[test]
fn digests_off_are_zero() {
    let options = TreeOptions { digest_enabled: false, ..Default::default() };
    let mut tree = DataTree::new(options);
    let (applied, _) = apply(&mut tree, &payloads()[1]);
    assert_eq!((tree.digest(), applied.digest), (0, DigestCheck::Skipped));
}

#[test]
fn javas_log_makes_javas_tree() {
    let mut tree = new_tree();
    let (mut compared, mut errors) = (0, 0);
    for proposal in payloads() {
        let (applied, _) = apply(&mut tree, &proposal);
        match applied.digest {
            DigestCheck::Match => compared += 1,
            DigestCheck::Skipped => errors += 1,
            DigestCheck::Mismatch { .. } => panic!("{:?}: {applied:?}", proposal.header),
        }
    }
    assert_eq!((compared + errors, compared > 60), (0x4a, true));
    assert_eq!((tree.last_zxid(), tree.digest()), (Zxid(0x4a), 88_206_716_041));
    assert_eq!(tree.acl_count(), 6);
    assert_eq!(tree.node_count(), 45);

    let mut expected: Vec<_> = TREE.lines().map(str::to_owned).collect();
    expected.sort_unstable();
    assert_eq!(dump(&tree), expected);

    let sessions: Vec<_> = tree.sessions().iter().map(|(id, ms)| (id.0, ms)).collect();
    let (a, b, c) = (0x0100_0023_7d77_0002, 0x0100_0023_7d77_0004, 0x0100_0023_a3a8_0000);
    assert_eq!(sessions, [(a, 30_000), (b, 39_000), (c, 20_000)]);
    let ephemerals = |session| {
        let mut paths: Vec<_> = tree.ephemerals_of(SessionId(session)).collect();
        paths.sort_unstable();
        paths
    };
    assert_eq!(ephemerals(a), ["/eph-s1", "/multi/eph", "/seq/e-0000000003"]);
    assert_eq!((ephemerals(b), ephemerals(c)), (vec!["/eph-s3".into()], vec!["/eph-s4".into()]));
    let mut containers: Vec<_> = tree.containers().map(Node::path).collect();
    containers.sort_unstable();
    assert_eq!(containers, ["/cont", "/cont-unused", "/multi/cont"]);
    let mut ttls: Vec<_> = tree.ttl_nodes().map(Node::path).collect();
    ttls.sort_unstable();
    assert_eq!(ttls, ["/multi/ttl", "/ttl", "/ttlseq-0000000010"]);
}

/// A log replayed over the state at its own end converges to the same state.
#[test]
fn replaying_everything_twice_changes_nothing_that_a_fuzzy_snapshot_may_hold() {
    let mut once = new_tree();
    let log = payloads();
    for proposal in &log {
        apply(&mut once, proposal);
    }
    let expected = dump(&once);
    for proposal in &log {
        apply(&mut once, proposal);
    }
    // What deletes and later creates leave behind is the same; mtimes and versions come from the
    // transactions, and the last one wins.
    assert_eq!(dump(&once), expected);
}

fn payloads() -> Vec<Proposal> {
    let bytes = |line: &str| -> Vec<u8> {
        let digit = |d: u8| (d as char).to_digit(16).unwrap() as u8;
        line.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    };
    PAYLOADS.lines().map(|line| Proposal::decode(bytes(line).into()).unwrap()).collect()
}
