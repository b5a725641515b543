//! Sessions and watches across the members of an ensemble.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::Write;
use std::time::{Duration, Instant};

use common::members::Members;
use common::{Client, attempt, create, path_watch, request, set_data};
use jute::data::Acl;
use jute::proto::{MultiHeader, SyncRequest, op};
use jute::{Encode, Reader};
use rookeeper::base::Zxid;

const EPHEMERAL: i32 = 1;
const NO_NODE: i32 = -101;

fn three() -> Members {
    let mut all = Members::new(&["participant", "participant", "observer"], "");
    all.start_all(&[1, 2, 3]);
    all
}

fn last_zxid(all: &Members, sid: usize) -> Zxid {
    all.server(sid).view().tree().last_zxid
}

fn sync(client: &mut Client) {
    assert_eq!(client.call(op::SYNC, &SyncRequest { path: Some("/".into()) }.to_vec()).err, 0);
}

fn exists(client: &mut Client, path: &str) -> bool {
    sync(client);
    match client.get(path, false).err {
        0 => true,
        NO_NODE => false,
        other => panic!("{path}: {other}"),
    }
}

/// Another connection of the same session.
fn again(all: &Members, sid: usize, client: &Client) -> Client {
    attempt("the session somewhere", |_| {
        let mut other = all.raw(sid);
        other.greet(client.session, client.passwd, 60_000, 0, false)?;
        assert_eq!(other.session, client.session);
        Some(other)
    })
}

#[test]
fn a_session_moves_and_its_old_connection_is_worth_nothing() {
    let all = three();
    let leader = all.leader();
    // Everywhere to everywhere.
    for (from, to) in [(leader, 3), (3, leader), (3 - leader, 3), (3, 3 - leader)] {
        let mut old = all.client(from);
        let path = format!("/moved-{from}-{to}");
        assert_eq!(old.create(&path, b"", EPHEMERAL).err, 0);
        let mut new = again(&all, to, &old);
        // No answer, no effect.
        old.send(op::CREATE, &create("/never", b"", 0));
        assert!(old.is_closed(), "{from} to {to}");
        assert!(!exists(&mut new, "/never"));
        assert!(exists(&mut new, &path), "the session goes on");
        assert_eq!(new.create(&format!("{path}-too"), b"", EPHEMERAL).err, 0);
        assert_eq!(new.call(op::CLOSE_SESSION, &[]).err, 0);
        let mut third = all.client(leader);
        assert!(!exists(&mut third, &path));
    }
}

#[test]
fn a_learner_asks_the_leader_about_a_session() {
    let all = three();
    let leader = all.leader();
    for learner in [3 - leader, 3] {
        let known = all.client(leader);
        let mut passwd = known.passwd;
        passwd[3] ^= 1;
        let mut wrong = all.raw(learner);
        assert_eq!(wrong.handshake(known.session, passwd, 4000, 0), None);
        let mut gone = all.client(leader);
        assert_eq!(gone.call(op::CLOSE_SESSION, &[]).err, 0);
        let mut late = all.raw(learner);
        assert_eq!(late.handshake(gone.session, gone.passwd, 4000, 0), None);
        again(&all, learner, &known);
    }
}

#[test]
fn a_session_outlives_the_server_it_was_on() {
    let mut all = Members::new(&["participant"; 3], "");
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let follower = leader % 3 + 1;
    let mut client = all.client(follower);
    assert_eq!(client.create("/mine", b"", EPHEMERAL).err, 0);
    all.stop(follower);
    assert!(client.is_closed());
    let mut client = again(&all, leader, &client);
    assert!(exists(&mut client, "/mine"));
    all.start_all(&[follower]);
    // Nor is the leader needed: the new one gives every session its full time again, then lets
    // those go that nobody asks for.
    let (mut silent, path) = all.short_session(leader, "silent");
    all.stop(leader);
    assert!(client.is_closed() && silent.is_closed());
    let left: Vec<usize> = (1..=3).filter(|sid| *sid != leader).collect();
    all.until_led_by_another(leader, &left);
    let mut client = again(&all, follower, &client);
    assert!(exists(&mut client, "/mine"));
    let mut other = all.client(follower);
    all.until("the silent session expired", |_| !exists(&mut other, &path));
    let mut late = all.raw(follower);
    assert_eq!(late.handshake(silent.session, silent.passwd, 400, 0), None);
}

#[test]
fn a_learner_tells_who_is_alive() {
    let all = three();
    let leader = all.leader();
    // Four seconds without a ping are a reason to expire.
    let (idle, mut other) = attempt("only pings for nine seconds", |round| {
        let mut idle = [3 - leader, 3]
            .map(|learner| all.short_session(learner, &format!("idle-{round}-{learner}")));
        let begun = Instant::now();
        // More than two timeouts with nothing but pings.
        while begun.elapsed() < Duration::from_secs(9) {
            for (idle, _) in &mut idle {
                idle.stream.write_all(&request(-2, op::PING, &[])).ok()?;
                assert_eq!(idle.try_read()?.xid, -2);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let mut other = all.client(leader);
        idle.iter().all(|(_, path)| exists(&mut other, path)).then_some((idle, other))
    });
    // And who is not.
    for (idle, path) in idle {
        drop(idle);
        all.until("the session expired", |_| !exists(&mut other, &path));
    }
}

#[test]
fn watches_fire_where_they_were_left() {
    let all = three();
    let leader = all.leader();
    let mut writer = all.client(leader);
    assert_eq!(writer.create("/w", b"0", 0).err, 0);
    for learner in [3 - leader, 3] {
        let mut watcher = all.client(learner);
        sync(&mut watcher);
        assert_eq!(watcher.get("/w", true).err, 0);
        assert_eq!(writer.set("/w", b"1").err, 0);
        // Before anything newer is read.
        watcher.send(op::SYNC, &SyncRequest { path: Some("/".into()) }.to_vec());
        watcher.send(op::GET_DATA, &common::path_watch("/w", false));
        let event = watcher.read();
        assert_eq!(event.xid, -1, "{event:?}");
        let mut input = Reader::new(&event.body);
        assert_eq!((input.read::<i32>().unwrap(), input.read::<i32>().unwrap()), (3, 3));
        assert_eq!(watcher.read().err, 0);
        let read = watcher.read();
        assert_eq!(&read.body[4..5], b"1");
    }
}

// Local sessions.

const LOCAL: &str = "localSessionsEnabled=true\n";
const UPGRADING: &str = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n";

fn local_sessions(all: &Members, sid: usize) -> (u64, u64) {
    let gauges = all.server(sid).view().gauges();
    (gauges.local_sessions, gauges.global_sessions)
}

#[test]
fn local_sessions_begin_and_end_without_a_transaction() {
    let mut all = Members::new(&["participant", "participant", "observer"], UPGRADING);
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    for sid in [leader, 3 - leader, 3] {
        let before = last_zxid(&all, leader);
        let mut client = all.client(sid);
        assert_eq!(client.get("/", false).err, 0);
        assert_eq!(local_sessions(&all, sid), (1, 0));
        assert_eq!(client.session as u64 >> 56, sid as u64);
        // It moves between connections of its server only.
        let elsewhere = sid % 3 + 1;
        let mut stranger = all.raw(elsewhere);
        assert_eq!(stranger.handshake(client.session, client.passwd, 4000, 0), None);
        let mut second = again(&all, sid, &client);
        assert!(client.is_closed());
        assert_eq!(second.call(op::CLOSE_SESSION, &[]).err, 0);
        assert!(second.is_closed());
        assert_eq!(local_sessions(&all, sid), (0, 0));
        // It expires like any other.
        let mut silent = attempt("a session of 400 ms", |_| {
            let mut silent = all.raw(sid);
            silent.greet(0, [0; 16], 400, 0, false).map(|_| silent)
        });
        assert!(silent.is_closed(), "its time is over");
        assert_eq!(local_sessions(&all, sid), (0, 0));
        assert_eq!(last_zxid(&all, leader), before, "nothing was proposed");

        // It may write what needs no owner ...
        let mut client = all.client(sid);
        let path = format!("/l{sid}");
        assert_eq!(client.create(&path, b"", 0).err, 0);
        assert_eq!(client.set(&path, b"x").err, 0);
        assert_eq!(local_sessions(&all, sid), (1, 0));
        // Whoever answers has applied it; the others follow.
        let zxid = last_zxid(&all, sid);
        // ... and becomes global with what needs one: two transactions, the same id.
        assert_eq!(client.create(&format!("{path}/e"), b"", EPHEMERAL).err, 0);
        assert_eq!(last_zxid(&all, sid), Zxid(zxid.0 + 2));
        assert_eq!(local_sessions(&all, sid), (0, 1));
        let mut moved = again(&all, elsewhere, &client);
        assert!(exists(&mut moved, &format!("{path}/e")));
        assert_eq!(moved.call(op::CLOSE_SESSION, &[]).err, 0);
        let mut other = all.client(leader);
        assert!(!exists(&mut other, &format!("{path}/e")));
        assert_eq!(other.call(op::CLOSE_SESSION, &[]).err, 0);
        all.until("all know", |all| (1..=3).all(|sid| local_sessions(all, sid) == (0, 0)));
    }
}

/// A multi that makes one ephemeral.
fn multi(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut out);
    path.encode(&mut out);
    b"".as_slice().encode(&mut out);
    vec![Acl::world(31)].encode(&mut out);
    EPHEMERAL.encode(&mut out);
    MultiHeader { kind: -1, done: true, err: -1 }.encode(&mut out);
    out
}

#[test]
fn a_local_session_that_must_stay_local_has_no_ephemerals() {
    let mut all = Members::new(&["participant", "participant", "observer"], LOCAL);
    all.start_all(&[1, 2, 3]);
    for sid in 1..=3 {
        let mut client = all.client(sid);
        // Behind a write that is on its way.
        let first = client.send(op::CREATE, &create(&format!("/p{sid}"), b"", 0));
        let second = client.send(op::CREATE, &create(&format!("/e{sid}"), b"", EPHEMERAL));
        let third = client.send(op::SET_DATA, &common::set_data(&format!("/p{sid}"), b"1"));
        let replies = [client.read(), client.read(), client.read()];
        assert_eq!(replies.clone().map(|r| r.xid), [first, second, third]);
        assert_eq!(replies.map(|r| r.err), [0, -120, 0], "{sid}");
        let reply = client.call(op::MULTI, &multi(&format!("/m{sid}")));
        assert!(reply.err == -120 || reply.body[9..13] == (-120i32).to_be_bytes(), "{reply:?}");
        assert!(!exists(&mut client, &format!("/m{sid}")));
        assert_eq!(local_sessions(&all, sid), (1, 0));
    }
}

#[test]
fn a_leader_may_be_kept_for_writing() {
    let mut all = Members::new(&["participant"; 2], "leaderServes=no\n");
    all.start(1);
    all.start(2);
    all.until("there is a leader", |all| {
        [1, 2].iter().any(|sid| all.peer(*sid).state == "leading - broadcast")
    });
    let leader = all.leader();
    let follower = 3 - leader;
    all.until("the follower serves", |all| all.server(follower).view().serving());
    assert_eq!(all.raw(leader).greet(0, [0; 16], 4000, 0, true), None);
    assert!(!all.server(leader).view().serving());
    let mut client = all.client(follower);
    assert_eq!(client.create("/a", b"", 0).err, 0);
}

/// `enableEagerACLCheck`: whoever the client asks refuses by itself, and nothing is proposed.
#[test]
fn missing_permissions_are_seen_before_anything_is_proposed() {
    let closed = |path: &str| {
        let mut body = create(path, b"", 0);
        // The entry of `create` says all permissions; this one may read.
        let perms = body.windows(4).position(|bytes| bytes == [0, 0, 0, 31]).unwrap();
        body[perms + 3] = 1;
        body
    };
    for (text, proposed) in [("enableEagerACLCheck=true", 0), ("", 3)] {
        let mut all = Members::new(&["participant", "participant", "observer"], text);
        all.start_all(&[1, 2, 3]);
        for sid in 1..=3 {
            let mut client = all.client(sid);
            let path = format!("/closed{:x}", client.session);
            assert_eq!(client.call(op::CREATE, &closed(&path)).err, 0);
            let before = client.set("/", b"").zxid;
            let refusals = [
                client.create(&format!("{path}/x"), b"", 0),
                client.set(&path, b"x"),
                client.call(op::CREATE2, &create(&format!("{path}/y"), b"", 0)),
            ];
            for refusal in refusals {
                assert_eq!(refusal.err, -102, "{text}");
                assert_eq!(refusal.zxid > 0, proposed > 0, "{text}");
            }
            assert_eq!(client.set("/", b"").zxid, before + 1 + proposed, "{text}");
            // Behind a write that is on its way it keeps its place.
            let mut burst = request(71, op::SET_DATA, &set_data("/", b""));
            burst.extend(request(72, op::SET_DATA, &set_data(&path, b"")));
            burst.extend(request(73, op::EXISTS, &path_watch("/", false)));
            client.send_raw(&burst);
            let answers = [(); 3].map(|()| client.read());
            assert_eq!(answers.map(|reply| (reply.xid, reply.err)), [(71, 0), (72, -102), (73, 0)]);
            // Nothing else may get a zxid while the next one counts.
            assert_eq!(client.call(op::CLOSE_SESSION, b"").err, 0);
        }
    }
}
