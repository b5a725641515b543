//! What happens by itself: sessions expire, containers and TTL znodes go, silent connections are
//! closed. Order and events must be Java's; how long it takes may differ by a tick.

#![allow(clippy::unwrap_used)]

use std::thread;

use anyhow::{Context, Result};
use compat_tests::diff::render;
use compat_tests::program::differences;
use compat_tests::server::{Kind, Server, TARGET, scratch, subject};
use compat_tests::wire::{Hello, Reply, Session, ToBody, Wire, create_body, handshake};
use jute::Encode;
use jute::data::Acl;
use jute::proto::{CreateRequest, CreateTtlRequest, op};

/// Waits for the next `count` events and shows them, sorted: several may share a transaction.
fn events(session: &mut Session, count: usize) -> Result<Vec<String>> {
    let mut shown = Vec::new();
    for event in session.events.drain(..) {
        shown.push(event);
    }
    while shown.len() < count {
        let payload = session.wire.receive()?.context("closed instead of an event")?;
        shown.push(Reply::parse(&payload)?);
    }
    let mut lines: Vec<String> = shown
        .iter()
        .map(|event| {
            let text = render::event(&event.header, &event.body);
            // Pings and other sessions decide which zxid it is.
            text.split_once(" err ").map(|(_, rest)| rest.to_owned()).unwrap_or(text)
        })
        .collect();
    lines.sort();
    Ok(lines)
}

fn story(kind: Kind) -> Result<Vec<String>> {
    let home = scratch("time")?;
    let mut server = Server::new(kind, home.path())?
        .set("tickTime", 1000)
        .set("maxSessionTimeout", 60_000)
        .jvm_flag("-Dznode.container.checkIntervalMs=500")
        .jvm_flag("-Dznode.container.maxNeverUsedIntervalMs=5000")
        .set("maxClientCnxns", 5);
    server.start()?;
    let mut out = Vec::new();
    let hello = Hello { timeout: 60_000, ..Hello::default() };
    let mut watcher = Session::open_with(server.address(), &hello)?;
    out.push(format!("longest timeout {}", watcher.connected.timeout));
    let watch = |session: &mut Session, path: &str| -> Result<i32> {
        let body = (Some(path.to_owned()), true).to_body();
        Ok(session.call(op::EXISTS, &body)?.header.err)
    };

    // A session that says nothing more: its ephemerals go, its connection is closed without a word.
    let hello = Hello { timeout: 1, ..Hello::default() };
    let mut silent = Session::open_with(server.address(), &hello)?;
    out.push(format!("shortest timeout {}", silent.connected.timeout));
    silent.must(op::CREATE, &create_body("/silent", b"", 1))?;
    silent.must(op::CREATE, &create_body("/silent2", b"", 1))?;
    watch(&mut watcher, "/silent")?;
    watch(&mut watcher, "/silent2")?;
    out.extend(events(&mut watcher, 2)?);
    out.push(format!("silent: {:?}", silent.wire.receive()?));
    let known = Hello::again(&silent.connected);
    let again = handshake(&mut Wire::connect(server.address())?, &known)?;
    out.push(format!("expired: {:?}", again.map(|c| (c.timeout, c.session, c.password))));

    // Containers: with a child once and none now; never used; with a child.
    let acl = || Some(vec![Acl::world(31)]);
    for name in ["/used", "/never", "/full"] {
        let request =
            CreateRequest { path: Some(name.into()), data: Some(b""), acl: acl(), flags: 4 };
        watcher.must(op::CREATE_CONTAINER, &request.to_vec())?;
    }
    for path in ["/used/x", "/full/x"] {
        watcher.must(op::CREATE, &create_body(path, b"", 0))?;
    }
    watch(&mut watcher, "/used")?;
    watch(&mut watcher, "/never")?;
    watch(&mut watcher, "/full")?;
    let delete = (Some("/used/x".to_owned()), -1i32).to_body();
    watcher.must(op::DELETE, &delete)?;
    out.extend(events(&mut watcher, 2)?);

    // TTL: goes when it has no children and was not written for that long.
    for (path, ttl) in [("/short", 3000), ("/long", 3_600_000), ("/parent", 3000)] {
        let request = CreateTtlRequest {
            path: Some(path.into()),
            data: Some(b""),
            acl: acl(),
            flags: 5,
            ttl,
        };
        watcher.must(op::CREATE_TTL, &request.to_vec())?;
    }
    watcher.must(op::CREATE, &create_body("/parent/x", b"", 0))?;
    for path in ["/short", "/long", "/parent"] {
        watch(&mut watcher, path)?;
    }
    out.extend(events(&mut watcher, 1)?);
    let delete = (Some("/parent/x".to_owned()), -1i32).to_body();
    watcher.must(op::DELETE, &delete)?;
    out.extend(events(&mut watcher, 1)?);
    for path in ["/full", "/long", "/used", "/short"] {
        let found = watcher.call(op::EXISTS, &(Some(path.to_owned()), false).to_body())?;
        out.push(format!("{path} {}", found.header.err));
    }

    // One connection more than this address may have.
    let mut crowd: Vec<Session> = Vec::new();
    for _ in 0..4 {
        crowd.push(Session::open(server.address())?);
    }
    let refused = Wire::connect(server.address()).and_then(|mut wire| {
        let hello = Hello::default();
        handshake(&mut wire, &hello)
    });
    out.push(format!("one too many: {:?}", refused.ok().flatten().map(|c| c.timeout)));
    Ok(out)
}

#[test]
fn what_time_does_is_the_same() {
    // Where seconds decide, a machine that stands still for as long may change the story.
    let mut found = Vec::new();
    for _ in 0..4 {
        let (expected, actual) = thread::scope(|scope| {
            let expected = scope.spawn(|| story(Kind::Java(TARGET)));
            let actual = scope.spawn(|| story(subject()));
            (expected.join().unwrap(), actual.join().unwrap())
        });
        found = match (&expected, &actual) {
            (Ok(expected), Ok(actual)) => differences(expected, actual),
            (expected, actual) => vec![format!("Java: {expected:?}\nours: {actual:?}")],
        };
        if let (Ok(expected), true) = (&expected, found.is_empty()) {
            println!("time: {} equal lines\n{}", expected.len(), expected.join("\n"));
            return;
        }
        println!("once more: {}", found.join("\n"));
    }
    panic!("{}", found.join("\n"));
}
