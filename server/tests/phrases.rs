//! What operators' alerts look for in the logs of an ensemble and of servers in trouble
//! (`process.rs` has those of a server that is well).
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use common::lines::Lines;
use common::members::Members;
use common::*;
use jute::Encode;
use jute::proto::{AuthPacket, op};
use jute::txn::TxnDigest;
use rookeeper::base::{Proposal, Zxid};
use rookeeper::server::{Exit, Handle};
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::{DataDirs, Durable, Options, RealDisk, TxnLogWriter};
use tempfile::TempDir;

/// Appends to the log of a server that does not run.
fn append(dir: &Path, last: Zxid, proposal: &Proposal) {
    let options = Options::default();
    // The last thread of the stopped server takes its lock along.
    let dirs = loop {
        match DataDirs::open(Arc::new(RealDisk), dir, None, &options) {
            Err(e) if e.to_string().contains("in use by another running server") => {}
            opened => break opened.unwrap(),
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let mut log = TxnLogWriter::new(Arc::new(dirs), &options, Durable::by_received_snapshot(last));
    log.append(proposal).unwrap();
    log.commit().unwrap();
}

#[test]
fn elections_and_synchronisation() {
    let lines = Lines::capture();
    // The third server is down: the others try to reach it, elect one of themselves, and go on.
    let roles = ["participant", "participant", "participant", "observer", "observer"];
    let mut all = Members::new(&roles, "snapshotSizeFactor=-1\n");
    all.start_all(&[1, 2]);
    for phrase in [
        "LOOKING",
        "New election. My id = 1",
        "Notification: my state:",
        "Received connection request from /127.0.0.1:",
        "Cannot open channel to 3 at election address 127.0.0.1:",
        "LEADING - LEADER ELECTION TOOK - ",
        "FOLLOWING - LEADER ELECTION TOOK - ",
        "Have quorum of supporters",
        "Peer state changed: leading",
        "Synchronizing with Learner sid: ",
        "Sending DIFF",
        "Getting a diff from the leader",
    ] {
        lines.until(phrase);
    }
    all.start_all(&[4]);
    lines.until("OBSERVING");
    // More than the leader remembers, and no logs for learners: a snapshot.
    let mut client = all.client(all.leader());
    for _ in 0..600 {
        client.send(op::SET_DATA, &set_data("/", b"x"));
    }
    for _ in 0..600 {
        assert_eq!(client.read().err, 0);
    }
    all.start_all(&[5]);
    lines.until("Sending snapshot");
    lines.until("Getting a snapshot from leader");
    // A write that only one server ever saw: the others begin a new epoch without it.
    assert_eq!(client.call(op::CLOSE_SESSION, b"").err, 0);
    let apart = (1..=2).find(|sid| *sid != all.leader()).unwrap();
    let last = |all: &Members, sid: usize| all.server(sid).view().tree().last_zxid;
    all.until("it has caught up", |all| last(all, apart) == last(all, all.leader()));
    let zxid = last(&all, apart);
    all.stop(apart);
    lines.until("******* GOODBYE");
    // Of three, one is down and one stopped.
    lines.until("Shutdown called. For the reason ");
    append(&all.path(apart, "data"), zxid, &proposals::create(zxid.0 + 1, None));
    all.start_all(&[3]);
    all.until("there is a leader again", |all| all.server(3 - apart).view().serving());
    // The others have no votes for it: it dials them, and one of them has the larger number.
    all.start_all(&[apart]);
    let smaller = "Have smaller server identifier, so dropping the connection: (myId:";
    lines.until(&format!("{smaller}{apart} --> sid:3)"));
    lines.until("Sending TRUNC");
    let follower = (1..=3).find(|sid| *sid != all.leader()).unwrap();
    assert_eq!(all.client(follower).get(&format!("/n{}", Zxid(zxid.0 + 1)), false).err, -101);
    all.stop(all.leader());
    lines.until("Exception when following the leader");
}

#[test]
fn clients_that_are_refused() {
    let lines = Lines::capture();
    let text = "maxCnxns=4\nminSessionTimeout=1\nmaxSessionTimeout=60000\ntickTime=100\n";
    let server = TestServer::configured(text, "");
    // It may be over before the answer is written.
    let mut silent = loop {
        let mut silent = Client::raw(server.address());
        if silent.greet(0, [0; 16], 1, 0, false).is_some() {
            break silent;
        }
    };
    assert!(silent.is_closed());
    lines.until(&format!("Expiring session 0x{:x}, timeout of ", silent.session));
    let mut late = Client::raw(server.address());
    assert_eq!(late.handshake(silent.session, silent.passwd, 100, 0), None);
    let invalid = format!("Invalid session 0x{:x} for client /127.0.0.1:", silent.session);
    lines.until(&invalid);
    let mut client = server.client();
    let mut stranger = Client::raw(server.address());
    assert_eq!(stranger.handshake(client.session, [1; 16], 100, 0), None);
    lines.until("Incorrect password from /127.0.0.1:");
    lines.until(&format!("Invalid session 0x{:x} for client", client.session));
    let mut body = Vec::new();
    AuthPacket { kind: 0, scheme: Some("nosuch".into()), auth: Some(b"") }.encode(&mut body);
    client.send_raw(&request(-4, op::AUTH, &body));
    assert_eq!(client.read().err, -115);
    lines.until("Authentication failed for scheme: nosuch");
    let mut many = Vec::new();
    while !lines.text().contains("Too many connections 4 - max is 4") {
        many.extend(TcpStream::connect(server.address()));
    }
    server.stop();
}

#[test]
fn files_in_trouble() {
    let lines = Lines::capture();
    let dir = TempDir::new().unwrap();
    let disk = FaultyDisk::new();
    let text = "autopurge.purgeInterval=1\nautopurge.snapRetainCount=3\n";
    let start = || {
        let started = start_when_free(|| {
            let mut options = options(&config(dir.path(), text, ""));
            options.disk = Arc::new(disk.clone());
            options
        });
        started.unwrap_or_else(|e| panic!("{e}"))
    };
    // One at a time, and the start may still be busy with its own. Once one was taken on demand,
    // nothing is in the way of the next.
    let take = |handle: &Handle| until("it is taken", || handle.guard().take_snapshot().is_ok());
    // Every start leaves another snapshot, and then removes all but the newest.
    while !lines.text().contains("Removing file: ") {
        let handle = start();
        Client::connect(handle.addresses()[0]).create("/n", b"", 2);
        take(&handle);
        assert_eq!(handle.stop(), Exit::Finished);
    }
    lines.until("Purge task started.");
    lines.until("Purge task completed.");
    // One snapshot is being written: the next has to wait.
    let handle = start();
    Client::connect(handle.addresses()[0]).create("/n", b"", 2);
    take(&handle);
    let refusals = || lines.text().matches("Too busy to snap, skipping").count();
    let before = refusals();
    disk.hold_syncs(true);
    let try_to = |_| {
        let guard = handle.guard();
        std::thread::spawn(move || guard.take_snapshot())
    };
    let both = [0, 1].map(try_to);
    until("one is refused", || refusals() > before);
    disk.hold_syncs(false);
    let taken = both.map(|thread| thread.join().unwrap().is_ok());
    assert!(taken[0] != taken[1], "{taken:?}");
    // The disk breaks.
    let mut client = Client::connect(handle.addresses()[0]);
    disk.fail_sync_after(0);
    client.send(op::CREATE, &create("/lost", b"", 0));
    lines.until("Severe unrecoverable error");
    assert_eq!(handle.stop(), Exit::StorageFailed);
    assert!(client.is_closed());
}

#[test]
fn a_log_that_tells_of_another_tree() {
    let lines = Lines::capture();
    let dir = TestServer::start().stop();
    let digest = TxnDigest { version: jute::txn::DIGEST_VERSION, tree_digest: 5 };
    append(dir.path(), Zxid(0), &proposals::create(1, Some(digest)));
    let server = TestServer::on(dir, |_| {});
    lines.until("First digest mismatch on txn: 0x1, expected digest is 5, actual digest is ");
    server.stop();
}
