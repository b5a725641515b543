//! Watches as clients see them: which events come, how often, with which zxid, and to whom.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::*;
use jute::Encode;
use jute::data::Acl;
use jute::proto::{MULTI_END, MultiHeader, op};

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

/// An event: type, path, zxid.
fn event(client: &mut Client) -> (i32, String, i64) {
    let reply = client.read();
    assert_eq!((reply.xid, reply.err), (-1, 0), "{reply:?}");
    let int = |at: usize| i32::from_be_bytes(reply.body[at..at + 4].try_into().unwrap());
    assert_eq!(int(4), 3, "SyncConnected");
    (int(0), String::from_utf8(reply.body[12..].to_vec()).unwrap(), reply.zxid)
}

fn events(client: &mut Client, count: usize) -> Vec<(i32, String)> {
    (0..count).map(|_| event(client)).map(|(kind, path, _)| (kind, path)).collect()
}

/// Nothing is on its way: the next frame answers a ping.
fn quiet(client: &mut Client) {
    client.send(op::PING, b"");
    let reply = client.read();
    assert_eq!(reply.xid, -2, "{reply:?}");
}

fn pairs(expected: &[(i32, &str)]) -> Vec<(i32, String)> {
    expected.iter().map(|(kind, path)| (*kind, (*path).to_owned())).collect()
}

fn delete(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    (-1i32).encode(&mut out);
    out
}

fn path_int(path: &str, value: i32) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    value.encode(&mut out);
    out
}

fn two() -> (TestServer, Client, Client) {
    let server = TestServer::start();
    let mut writer = server.client();
    assert_eq!(writer.create("/w", b"0", 0).err, 0);
    let watcher = server.client();
    (server, writer, watcher)
}

#[test]
fn data_watches_fire_once() {
    let (server, mut writer, mut watcher) = two();
    for arm in [op::GET_DATA, op::EXISTS] {
        assert_eq!(watcher.call(arm, &path_watch("/w", true)).err, 0);
        let zxid = writer.set("/w", b"1").zxid;
        assert_eq!(event(&mut watcher), (CHANGED, "/w".to_owned(), zxid));
        writer.set("/w", b"2");
        quiet(&mut watcher);
    }
    server.stop();
}

#[test]
fn child_watches_fire_once_and_for_names_only() {
    let (server, mut writer, mut watcher) = two();
    for arm in [op::GET_CHILDREN, op::GET_CHILDREN2] {
        assert_eq!(watcher.call(arm, &path_watch("/w", true)).err, 0);
        writer.set("/w", b"1");
        quiet(&mut watcher);
        let created = writer.create("/w/c", b"", 0);
        assert_eq!(event(&mut watcher), (CHILDREN, "/w".to_owned(), created.zxid));
        writer.set("/w/c", b"1");
        writer.create("/w/d", b"", 0);
        writer.call(op::DELETE, &delete("/w/c"));
        writer.call(op::DELETE, &delete("/w/d"));
        quiet(&mut watcher);
    }
    server.stop();
}

#[test]
fn a_deletion_tells_the_znode_once_and_its_parent() {
    let (server, mut writer, mut watcher) = two();
    watcher.get("/w", true);
    watcher.call(op::GET_CHILDREN, &path_watch("/w", true));
    watcher.call(op::GET_CHILDREN, &path_watch("/", true));
    writer.call(op::DELETE, &delete("/w"));
    let expected = pairs(&[(DELETED, "/w"), (CHILDREN, "/")]);
    assert_eq!(events(&mut watcher, 2), expected);
    quiet(&mut watcher);
    // A watch on what is not there waits for it.
    assert_eq!(watcher.call(op::EXISTS, &path_watch("/w", true)).err, -101);
    writer.create("/w", b"", 0);
    assert_eq!(events(&mut watcher, 1), pairs(&[(CREATED, "/w")]));
    quiet(&mut watcher);
    server.stop();
}

#[test]
fn persistent_watches_stay() {
    let (server, mut writer, mut watcher) = two();
    assert_eq!(watcher.call(op::ADD_WATCH, &path_int("/w", 0)).err, 0);
    for _ in 0..2 {
        writer.set("/w", b"x");
        writer.create("/w/c", b"", 0);
        writer.set("/w/c", b"not seen");
        writer.call(op::DELETE, &delete("/w/c"));
        writer.call(op::DELETE, &delete("/w"));
        writer.create("/w", b"", 0);
        let expected =
            [(CHANGED, "/w"), (CHILDREN, "/w"), (CHILDREN, "/w"), (DELETED, "/w"), (CREATED, "/w")];
        assert_eq!(events(&mut watcher, 5), pairs(&expected));
    }
    quiet(&mut watcher);
    server.stop();
}

#[test]
fn recursive_watches_see_everything_below_but_no_lists() {
    let (server, mut writer, mut watcher) = two();
    assert_eq!(watcher.call(op::ADD_WATCH, &path_int("/w", 1)).err, 0);
    for _ in 0..2 {
        for path in ["/w/b", "/w/b/c"] {
            writer.create(path, b"", 0);
        }
        writer.set("/w/b/c", b"x");
        writer.set("/w", b"x");
        writer.create("/wx", b"", 0);
        for path in ["/w/b/c", "/w/b", "/wx"] {
            writer.call(op::DELETE, &delete(path));
        }
        let expected = [
            (CREATED, "/w/b"),
            (CREATED, "/w/b/c"),
            (CHANGED, "/w/b/c"),
            (CHANGED, "/w"),
            (DELETED, "/w/b/c"),
            (DELETED, "/w/b"),
        ];
        assert_eq!(events(&mut watcher, 6), pairs(&expected));
    }
    quiet(&mut watcher);
    server.stop();
}

#[test]
fn removed_watches_are_gone() {
    let (server, mut writer, mut watcher) = two();
    watcher.get("/w", true);
    watcher.call(op::GET_CHILDREN, &path_watch("/w", true));
    let count = || server.handle.view().tree().watch_count;
    assert_eq!(count(), 2);
    assert_eq!(watcher.call(op::CHECK_WATCHES, &path_int("/w", 2)).err, 0);
    assert_eq!(watcher.call(op::REMOVE_WATCHES, &path_int("/w", 2)).err, 0);
    assert_eq!(watcher.call(op::CHECK_WATCHES, &path_int("/w", 2)).err, -121);
    assert_eq!(watcher.call(op::REMOVE_WATCHES, &path_int("/w", 2)).err, -121);
    assert_eq!(count(), 1);
    writer.set("/w", b"x");
    quiet(&mut watcher);
    writer.create("/w/c", b"", 0);
    assert_eq!(events(&mut watcher, 1), pairs(&[(CHILDREN, "/w")]));
    server.stop();
}

#[test]
fn changes_of_a_multi_share_a_zxid() {
    let (server, mut writer, mut watcher) = two();
    for path in ["/a", "/b"] {
        watcher.call(op::EXISTS, &path_watch(path, true));
    }
    let mut body = Vec::new();
    for path in ["/a", "/b"] {
        MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut body);
        body.extend(create(path, b"", 0));
    }
    MULTI_END.encode(&mut body);
    let reply = writer.call(op::MULTI, &body);
    assert_eq!(reply.err, 0);
    assert_eq!(event(&mut watcher), (CREATED, "/a".to_owned(), reply.zxid));
    assert_eq!(event(&mut watcher), (CREATED, "/b".to_owned(), reply.zxid));
    server.stop();
}

/// A multi that fails fires nothing.
#[test]
fn a_failed_multi_is_silent() {
    let (server, mut writer, mut watcher) = two();
    watcher.call(op::EXISTS, &path_watch("/a", true));
    let mut body = Vec::new();
    for path in ["/a", "/missing/b"] {
        MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut body);
        body.extend(create(path, b"", 0));
    }
    MULTI_END.encode(&mut body);
    writer.call(op::MULTI, &body);
    quiet(&mut watcher);
    server.stop();
}

#[test]
fn events_need_the_permission_to_read() {
    let (server, mut writer, mut watcher) = two();
    let mut other = server.client();
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "digest".encode(&mut packet);
    b"u:p"[..].encode(&mut packet);
    other.send_raw(&request(-4, op::AUTH, &packet));
    assert_eq!(other.read().err, 0);
    watcher.get("/w", true);
    other.get("/w", true);
    let mut body = Vec::new();
    "/w".encode(&mut body);
    vec![Acl::new(31, "digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="), Acl::new(2, "world", "anyone")]
        .encode(&mut body);
    (-1i32).encode(&mut body);
    assert_eq!(writer.call(op::SET_ACL, &body).err, 0);
    assert_eq!(writer.set("/w", b"secret").err, 0);
    assert_eq!(events(&mut other, 1), pairs(&[(CHANGED, "/w")]));
    quiet(&mut watcher);
    server.stop();
}

/// What a client does after it was away: the lists of its watches and the last zxid it saw.
#[test]
fn a_client_that_was_away_catches_up() {
    let (server, mut writer, mut watcher) = two();
    let seen = watcher.get("/w", true).zxid;
    let (session, passwd) = (watcher.session, watcher.passwd);
    drop(watcher);
    writer.set("/w", b"changed meanwhile");
    let mut back = Client::raw(server.address());
    assert_eq!(back.handshake(session, passwd, 60_000, seen), Some(session));
    let mut body = seen.to_be_bytes().to_vec();
    let list = |paths: &[&str], out: &mut Vec<u8>| {
        paths.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>().encode(out);
    };
    list(&["/w"], &mut body);
    list(&[], &mut body);
    list(&["/w"], &mut body);
    back.send_raw(&request(-8, op::SET_WATCHES, &body));
    assert_eq!(events(&mut back, 1), pairs(&[(CHANGED, "/w")]));
    let reply = back.read();
    assert_eq!((reply.xid, reply.err), (-8, 0));
    // The data watch is used up, the other one is armed.
    writer.set("/w", b"again");
    writer.create("/w/c", b"", 0);
    assert_eq!(events(&mut back, 1), pairs(&[(CHILDREN, "/w")]));
    quiet(&mut back);
    server.stop();
}

#[test]
fn many_watches_on_one_connection() {
    let (server, mut writer, mut watcher) = two();
    let total = 100_000;
    for start in (0..total).step_by(1000) {
        let mut burst = Vec::new();
        for n in start..start + 1000 {
            burst.extend(request(n, op::EXISTS, &path_watch(&format!("/missing/{n}"), true)));
        }
        watcher.send_raw(&burst);
        for n in start..start + 1000 {
            let reply = watcher.read();
            assert_eq!((reply.xid, reply.err), (n, -101));
        }
    }
    assert_eq!(server.handle.view().tree().watch_count, total as u64);
    writer.create("/missing", b"", 0);
    writer.create("/missing/77777", b"", 0);
    assert_eq!(events(&mut watcher, 1), pairs(&[(CREATED, "/missing/77777")]));
    // They go with the connection.
    watcher.call(op::CLOSE_SESSION, b"");
    assert!(watcher.is_closed());
    while server.handle.view().tree().watch_count > 0 {
        std::thread::yield_now();
    }
    server.stop();
}
