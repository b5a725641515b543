//! A server of ours under a leader that says what the test wants: what Java's leaders say and ours
//! never would.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use common::members::Members;
use common::puppet::{Puppet, Story};
use jute::data::Acl;
use jute::proto::op;
use jute::txn::{CreateTxn, SetDataTxn, Txn, TxnDigest};
use rookeeper::base::{Epoch, Proposal, Zxid};
use rookeeper::storage::{DataDirs, Options, RealDisk, inspect};
use rookeeper::tree::TreeOptions;
use rookeeper::zab::Packet;

/// One value of `mntr`.
fn metric(all: &Members, name: &str) -> i64 {
    let mut stream = TcpStream::connect(all.server(1).addresses()[0]).unwrap();
    stream.write_all(b"mntr").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("zk_{name}\t")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

fn create(path: &str, parent_cversion: i32) -> Txn {
    Txn::Create(CreateTxn {
        path: Some(path.into()),
        data: Some(b"x".to_vec().into()),
        acl: Some(vec![Acl::world(31)]),
        ephemeral: false,
        parent_cversion,
    })
}

fn set(path: &str, version: i32) -> Txn {
    let data = Some(version.to_string().into_bytes().into());
    Txn::SetData(SetDataTxn { path: Some(path.into()), data, version })
}

/// A Java leader sends its tree while it changes (`LearnerHandler`, `DataTree.serializeNode`): the
/// learner gets transactions whose effects it has.
#[test]
fn a_snapshot_may_be_ahead_of_its_zxid() {
    let puppet = Puppet::new();
    let mut all = puppet.members("4lw.commands.whitelist=*\nsnapCount=100000\n");
    all.start(1);
    let mut learner = puppet.lead(1);
    let Packet::AckEpoch { .. } = learner.discover(1) else { panic!("no ACKEPOCH") };

    let zxid = |n: u32| Zxid::new(Epoch(1), n);
    let mut story = Story::new();
    let mut told = vec![story.next(zxid(1), op::CREATE, create("/a", 1))];
    told.push(story.next(zxid(2), op::CREATE, create("/b", 2)));
    for (n, path) in (3..).zip(["/c", "/d", "/e"]) {
        told.push(story.next(zxid(n), op::CREATE, create(path, n as i32)));
    }
    // All of it is in the tree, but the packet says 2.
    learner.snapshot(zxid(2), &mut story.tree);
    for proposal in &told[2..] {
        learner.commit(proposal);
    }
    learner.establish(1);
    all.until("it serves", |all| all.server(1).view().serving());
    assert_eq!(all.server(1).view().tree().last_zxid, zxid(5));
    assert_eq!(metric(&all, "digest_mismatches_count"), 0, "expected ones are no error");
    // Whoever starts from this directory must not find digests wrong either: Java counts them.
    let exact = all.path(1, "data/version-2/snapshot.100000005");
    all.until("an exact snapshot is there", |_| exact.exists());

    // From here on they count.
    let right = story.next(zxid(6), op::SET_DATA, set("/b", 1));
    learner.commit(&right);
    assert_eq!(learner.answer(), Packet::Ack(zxid(6)));
    all.until("it is applied", |all| all.server(1).view().tree().last_zxid == zxid(6));
    assert_eq!(metric(&all, "digest_mismatches_count"), 0);
    let next = story.next(zxid(7), op::SET_DATA, set("/b", 2));
    let digest = Some(TxnDigest { version: 2, tree_digest: 1 });
    learner.commit(&Arc::new(Proposal::encode(next.header.clone(), set("/b", 2), digest)));
    all.until("it is applied", |all| all.server(1).view().tree().last_zxid == zxid(7));
    assert_eq!(metric(&all, "digest_mismatches_count"), 1);

    all.stop(1);
    let (data, options) = (all.path(1, "data"), Options::default());
    let dirs = Arc::new(DataDirs::unlocked(Arc::new(RealDisk), &data, None));
    let restored = inspect(&dirs, &options, TreeOptions::default()).unwrap();
    assert_eq!((restored.snapshot, restored.last.zxid()), (Some(zxid(5)), zxid(7)));
    assert_eq!(restored.digest_mismatches, 1, "the last one only");
}
