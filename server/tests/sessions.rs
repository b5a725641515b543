//! Sessions: expiry, closing, what happens to their znodes and connections.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::Write;

use common::*;
use jute::proto::op;

/// None if it is over before the answer is written.
fn short(server: &TestServer) -> Option<Client> {
    let mut client = Client::raw(server.address());
    client.greet(0, [0; 16], 1, 0, false)?;
    Some(client)
}

/// Its ephemeral; none if it is over already.
fn make(client: &mut Client, path: &str) -> Option<String> {
    client.stream.write_all(&request(1, op::CREATE, &create(path, b"", 1))).ok()?;
    (client.try_read()?.err == 0).then(|| path.to_owned())
}

/// A server whose shortest session lives long enough for a few requests on a slow machine.
fn quick_server() -> TestServer {
    TestServer::with(|options| {
        options.replica.tick_ms = 20;
        options.net.session_timeout_min_ms = 3000;
    })
}

#[test]
fn a_silent_session_expires_with_its_ephemerals() {
    let server = quick_server();
    let mut watcher = server.client();
    let (mut silent, path) = attempt("it is seen alive", |n| {
        let mut silent = short(&server)?;
        assert_eq!(silent.timeout_ms, 3000);
        let path = make(&mut silent, &format!("/gone{n}"))?;
        let seen = watcher.get(&path, true).err == 0;
        seen.then_some((silent, path))
    });
    let event = watcher.read();
    assert_eq!((event.xid, &event.body[..4]), (-1, &[0, 0, 0, 2][..]), "NodeDeleted");
    assert!(silent.is_closed(), "expired: closed without a word");
    assert_eq!(watcher.get(&path, false).err, -101);
    // Coming back is refused.
    let mut again = Client::raw(server.address());
    assert_eq!(again.handshake(silent.session, silent.passwd, 1, 0), None);
    assert!(again.is_closed());
    server.stop();
}

#[test]
fn a_session_outlives_its_connection_and_a_restart() {
    let server = TestServer::start();
    let mut client = server.client();
    client.create("/e", b"", 1);
    let (session, passwd) = (client.session, client.passwd);
    drop(client);
    let mut client = Client::raw(server.address());
    assert_eq!(client.handshake(session, passwd, 60_000, 0), Some(session));
    assert_eq!(client.get("/e", false).err, 0);
    let dir = server.stop();
    assert!(client.is_closed());

    let server = TestServer::on(dir, |_| {});
    let mut client = Client::raw(server.address());
    assert_eq!(client.handshake(session, passwd, 60_000, 0), Some(session));
    assert_eq!(client.get("/e", false).err, 0);
    // New ids do not collide with old ones.
    assert_ne!(server.client().session, session);
    server.stop();
}

#[test]
fn requests_keep_a_session_alive() {
    let server = quick_server();
    // Three seconds in which the test stands still are a reason to expire.
    attempt("the busy one survives the idle one", |n| {
        let mut busy = short(&server)?;
        let alive = make(&mut busy, &format!("/alive{n}"))?;
        let mut idle = short(&server)?;
        let gone = make(&mut idle, &format!("/idle{n}"))?;
        let mut get = |path: &str| {
            busy.stream.write_all(&request(1, op::GET_DATA, &path_watch(path, false))).ok()?;
            Some(busy.try_read()?.err)
        };
        // Reads alone, for as long as the idle session lives.
        while get(&gone)? == 0 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        (get(&alive)? == 0).then_some(())
    });
    server.stop();
}

#[test]
fn closing_a_session_answers_and_ends_it() {
    let server = TestServer::start();
    let mut client = server.client();
    client.create("/c", b"", 1);
    let (session, passwd) = (client.session, client.passwd);
    let mut burst = request(7, op::CLOSE_SESSION, b"");
    burst.extend(request(8, op::CREATE, &create("/lost", b"", 0)));
    client.send_raw(&burst);
    let reply = client.read();
    assert_eq!((reply.xid, reply.err, reply.body.len()), (7, 0, 0));
    assert!(client.is_closed());
    let mut other = server.client();
    assert_eq!(other.get("/c", false).err, -101, "its ephemerals are gone");
    assert_eq!(other.get("/lost", false).err, -101, "what is behind it is lost");
    let mut back = Client::raw(server.address());
    assert_eq!(back.handshake(session, passwd, 10_000, 0), None);
    server.stop();
}

#[test]
fn containers_and_ttl_znodes_are_removed() {
    let server = TestServer::with(|options| {
        options.tree.extended_types = true;
        options.replica.container_check_interval_ms = 20;
    });
    let mut client = server.client();
    let mut container = create("/c", b"", 4);
    assert_eq!(client.call(op::CREATE_CONTAINER, &container).err, 0);
    container.clear();
    let mut ttl = create("/t", b"", 5);
    ttl.extend(1i64.to_be_bytes());
    assert_eq!(client.call(op::CREATE_TTL, &ttl).err, 0);
    while client.get("/t", false).err == 0 {}
    // A container goes only after it had a child.
    assert_eq!(client.get("/c", false).err, 0);
    assert_eq!(client.create("/c/child", b"", 0).err, 0);
    let delete = [&create("/c/child", b"", 0)[..12], &[255; 4]].concat();
    assert_eq!(client.call(op::DELETE, &delete).err, 0);
    while client.get("/c", false).err == 0 {}
    server.stop();
}

#[test]
fn operators_see_sessions_and_connections() {
    let server = TestServer::start();
    let mut client = server.client();
    client.create("/seen", b"", 1);
    let view = server.handle.view();
    let sessions = view.sessions();
    assert_eq!(sessions.sessions.len(), 1);
    assert_eq!(sessions.ephemerals[0].1, ["/seen"]);
    assert_eq!(sessions.buckets.iter().map(|b| b.1.len()).sum::<usize>(), 1);
    let connections = view.connections();
    let session = connections[0].session.as_ref().unwrap();
    assert_eq!(session.id.0, client.session);
    assert_eq!((session.last_op, session.last_cxid), (Some(op::CREATE), 1));
    // A reply is counted when the system has taken it, which the client may see first.
    while view.stats().packets_sent < 2 {
        std::thread::yield_now();
    }
    let stats = view.stats();
    assert_eq!((stats.packets_received, stats.packets_sent, stats.connections), (2, 2, 1));
    view.reset_stats();
    assert_eq!(view.stats().packets_received, 0);
    server.stop();
}
