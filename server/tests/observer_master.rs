//! Observers that a follower serves in its leader's place.

#![allow(clippy::unwrap_used)]

mod common;

use common::Client;
use common::members::{Members, address_on};
use common::ports::free_port;
use jute::Encode;
use jute::proto::{ReconfigRequest, SyncRequest, op};
use rookeeper::net::view::Mode;

const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

/// Three voters, each with a loopback address of its own, and an observer.
fn four(settings: &str) -> (Members, Vec<String>) {
    let lines: Vec<String> = (1..=4)
        .map(|sid| {
            let role = if sid == 4 { "observer" } else { "participant" };
            format!("server.{sid}={}:{role}", address_on(&format!("127.0.0.{sid}")))
        })
        .collect();
    let settings = format!("observerMasterPort={}\n{settings}", free_port());
    let all = Members::with_lines(4, &lines.join("\n"), |_| settings.clone());
    (all, lines)
}

fn exists(client: &mut Client, path: &str) -> bool {
    let body = SyncRequest { path: Some("/".into()) }.to_vec();
    assert_eq!(client.call(op::SYNC, &body).err, 0);
    match client.get(path, false).err {
        0 => true,
        NO_NODE => false,
        other => panic!("{path}: {other}"),
    }
}

fn master(all: &Members) -> usize {
    all.peer(4).observer_master_id.unwrap() as usize
}

/// Everything that goes through the master: writes, syncs, sessions, watches.
fn use_it(all: &Members, name: &str) {
    let leader = all.leader();
    let mut there = all.client(leader);
    let mut here = all.client(4);
    let mine = format!("/{name}");
    assert_eq!(here.create(&mine, b"1", 0).err, 0);
    assert_eq!(here.create(&mine, b"1", 0).err, -110);
    assert_eq!(here.create(&format!("{mine}/e"), b"", EPHEMERAL).err, 0);
    assert!(exists(&mut there, &format!("{mine}/e")));
    assert_eq!(there.set(&mine, b"2").err, 0);
    assert!(exists(&mut here, &mine));
    assert_eq!(&here.get(&mine, true).body[4..5], b"2");
    assert_eq!(there.set(&mine, b"3").err, 0);
    assert_eq!(here.read().xid, -1, "the watch fires");
    // Its session moves to the master and back; the leader is asked both times.
    for sid in [master(all), 4, leader, 4] {
        let mut next = all.raw(sid);
        let found = next.handshake(here.session, here.passwd, 20_000, 0);
        assert_eq!(found, Some(here.session), "at {sid}");
        here = next;
    }
    let mut unknown = all.raw(4);
    let mut passwd = here.passwd;
    passwd[0] ^= 1;
    assert_eq!(unknown.handshake(here.session, passwd, 4000, 0), None);
    // Syncs of the master's own clients and of the observer's do not get mixed up.
    let mut beside = all.client(master(all));
    for _ in 0..20 {
        let body = SyncRequest { path: Some("/".into()) }.to_vec();
        here.send(op::SYNC, &body);
        beside.send(op::SYNC, &body);
    }
    for _ in 0..20 {
        assert_eq!((here.read().err, beside.read().err), (0, 0));
    }
    assert_eq!(here.call(op::CLOSE_SESSION, &[]).err, 0);
    assert!(!exists(&mut there, &format!("{mine}/e")));
}

#[test]
fn an_observer_finds_a_follower_and_another_when_it_is_gone() {
    let (mut all, _) = four("");
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let mut client = all.client(leader);
    for n in 0..50 {
        assert_eq!(client.create(&format!("/before-{n}"), b"x", 0).err, 0);
    }
    all.start_all(&[4]);
    assert_eq!(all.mode(4), Mode::Observer);
    let first = master(&all);
    assert_ne!(first, leader, "leaders do not listen there");
    all.until("it is counted", |all| all.peer(first).synced_observers == Some(1));
    assert_eq!(all.peer(leader).leader.unwrap().learners, 2, "the leader has its followers only");
    assert_eq!(all.peer(first).learners[0].sid, 4);
    use_it(&all, "first");
    assert!(exists(&mut all.client(4), "/before-49"));

    // A session on it is kept alive through the master.
    let (silent, path) = all.short_session(4, "silent");
    drop(silent);
    let mut there = all.client(leader);
    all.until("nobody is alive any more", |_| !exists(&mut there, &path));

    all.stop(first);
    // In this order: while it looks for one it has none, and its old role may still seem to serve.
    all.until("it found another one", |all| {
        let now = all.peer(4).observer_master_id;
        now.is_some_and(|sid| sid != first as i64) && all.server(4).view().serving()
    });
    let second = master(&all);
    assert!(second != leader && second != first, "{second}");
    use_it(&all, "second");
    // It comes late and gets a snapshot or the log, as from a leader.
    all.stop(4);
    let mut client = all.client(leader);
    for n in 0..700 {
        client.send(op::CREATE, &common::create(&format!("/late-{n}"), b"x", 0));
    }
    for _ in 0..700 {
        assert_eq!(client.read().err, 0);
    }
    all.start_all(&[4]);
    assert!(exists(&mut all.client(4), "/late-699"));
}

#[test]
fn a_changed_membership_reaches_observers_through_their_master() {
    let (all, lines) = four("reconfigEnabled=true\n");
    let mut all = all.flags("-Dzookeeper.skipACL=yes");
    all.start_all(&[1, 2, 3, 4]);
    let leader = all.leader();
    // A voter that is neither leader nor the observer's master leaves.
    let out = [1, 2, 3].into_iter().find(|sid| *sid != leader && *sid != master(&all)).unwrap();
    let request = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some(out.to_string().into()),
        new_members: None,
        cur_config_id: -1,
    };
    let reply = all.client(4).call(op::RECONFIG, &request.to_vec());
    assert_eq!(reply.err, 0);
    let left: Vec<&String> =
        lines.iter().filter(|l| !l.starts_with(&format!("server.{out}="))).collect();
    let expected = format!("{}\n{}\n{}\nversion={:x}", left[0], left[1], left[2], reply.zxid);
    for sid in 1..=4 {
        all.until("all know", |all| all.peer(sid).membership == expected);
    }
    let file = format!("zoo.cfg.dynamic.{:x}", reply.zxid);
    all.until("its file is there", |all| all.path(4, &file).exists());
    use_it(&all, "after");
}
