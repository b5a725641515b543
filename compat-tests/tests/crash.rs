//! `kill -9` of our server under load, again and again: what was acknowledged is there, what was
//! not is there whole or not at all, and the server always comes back.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::random::Random;
use compat_tests::server::{Kind, Server, scratch};
use compat_tests::wire::{Hello, Session, ToBody, create_body};
use jute::proto::{GetChildrenResponse, MULTI_END, MultiHeader, SetDataRequest, op};
use jute::{Decode, Encode};

/// How often the server is killed.
const KILLS: usize = 100;

/// Writers; each pipelines.
const WRITERS: usize = 4;

/// Requests a writer has in flight.
const IN_FLIGHT: usize = 16;

/// What a writer knows at the end of a life of the server.
#[derive(Default, Clone, Copy)]
struct Progress {
    /// Newest value of its counter that was acknowledged.
    acknowledged: u64,
    /// Newest value that was sent.
    sent: u64,
}

/// Each request is one multi of three: two counters and one new znode. Either all three are there
/// or none.
fn request(writer: usize, n: u64) -> Vec<u8> {
    let mut body = Vec::new();
    let text = n.to_string();
    for name in ["left", "right"] {
        MultiHeader { kind: op::SET_DATA, done: false, err: -1 }.encode(&mut body);
        let path = Some(format!("/w{writer}/{name}").into());
        SetDataRequest { path, data: Some(text.as_bytes()), version: -1 }.encode(&mut body);
    }
    MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut body);
    body.extend(create_body(&format!("/w{writer}/log/n{n}"), text.as_bytes(), 0));
    MULTI_END.encode(&mut body);
    body
}

/// Writes until the connection breaks.
fn load(session: &mut Session, writer: usize, progress: &mut Progress, total: &AtomicU64) {
    let mut in_flight = 0;
    loop {
        while in_flight < IN_FLIGHT {
            progress.sent += 1;
            if session.post(op::MULTI, &request(writer, progress.sent)).is_err() {
                return;
            }
            in_flight += 1;
        }
        match session.reply() {
            Ok(reply) if reply.header.err == 0 => {
                progress.acknowledged += 1;
                total.fetch_add(1, Ordering::Relaxed);
                in_flight -= 1;
            }
            _ => return,
        }
    }
}

fn number(session: &mut Session, path: &str) -> Result<u64> {
    let data = session.data(path)?.map_err(|code| anyhow::anyhow!("{path}: {code}"))?;
    Ok(String::from_utf8(data)?.parse()?)
}

/// Checks one writer's znodes after a restart and returns where it goes on.
fn check(session: &mut Session, writer: usize, progress: Progress) -> Result<u64> {
    let left = number(session, &format!("/w{writer}/left"))?;
    let right = number(session, &format!("/w{writer}/right"))?;
    ensure!(left == right, "half a multi: {left} and {right}");
    let Progress { acknowledged, sent } = progress;
    ensure!(
        left >= acknowledged,
        "writer {writer}: {acknowledged} was acknowledged, {left} is there"
    );
    ensure!(left <= sent, "writer {writer}: only {sent} were sent, {left} is there");
    let path = Some(format!("/w{writer}/log"));
    let reply = session.must(op::GET_CHILDREN, &(path, false).to_body())?;
    let children = GetChildrenResponse::from_slice(&reply.body)?.children.unwrap_or_default();
    let mut numbers: Vec<u64> = Vec::new();
    for name in &children {
        let name = name.as_deref().context("a null name")?;
        numbers.push(name.trim_start_matches('n').parse()?);
    }
    numbers.sort_unstable();
    let first = numbers.first().copied().unwrap_or(left + 1);
    ensure!(
        numbers.iter().copied().eq(first..=left),
        "writer {writer}: a hole in {first}..={left}"
    );
    // Keep the tree small: only the newest life is looked at.
    for n in numbers.iter().rev().skip(50) {
        let mut body = Some(format!("/w{writer}/log/n{n}")).to_vec();
        (-1i32).encode(&mut body);
        session.post(op::DELETE, &body)?;
    }
    for _ in numbers.iter().rev().skip(50) {
        ensure!(session.reply()?.header.err == 0, "clean-up failed");
    }
    Ok(left)
}

#[test]
fn no_acknowledged_write_is_lost_in_a_hundred_crashes() {
    let seed = std::env::var("COMPAT_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    let mut random = Random::new(seed);
    let home = scratch("crash").unwrap();
    // Small snapshots and logs, so that crashes hit them too.
    let mut server = Server::new(Kind::Rookeeper, home.path())
        .unwrap()
        .set("snapCount", 500)
        .set("autopurge.purgeInterval", 1)
        .set("preAllocSize", 64)
        .set("maxSessionTimeout", 600_000);
    server.start().unwrap();
    // Nobody pings, and a life may be long where the machine is slow.
    let hello = Hello { timeout: 600_000, ..Hello::default() };
    let mut holder = Session::open_with(server.address(), &hello).unwrap();
    for writer in 0..WRITERS {
        for name in ["", "/log", "/left", "/right"] {
            holder.must(op::CREATE, &create_body(&format!("/w{writer}{name}"), b"0", 0)).unwrap();
        }
    }
    holder.must(op::CREATE, &create_body("/held", b"", 1)).unwrap();
    let held = holder.connected.clone();
    let mut progress = [Progress::default(); WRITERS];
    let total = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    for kill in 1..=KILLS {
        let (ready, writers_ready) = mpsc::channel();
        let threads: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, total, ready) = (server.address(), total.clone(), ready.clone());
                let mut own = progress[writer];
                thread::spawn(move || {
                    let mut session = Session::open(address).unwrap();
                    ready.send(()).unwrap();
                    load(&mut session, writer, &mut own, &total);
                    own
                })
            })
            .collect();
        for _ in 0..WRITERS {
            writers_ready.recv().unwrap();
        }
        // The random point is a number of acknowledged writes and some microseconds more.
        let target = total.load(Ordering::Relaxed) + random.below(400) as u64;
        let gave_up = AtomicBool::new(false);
        let deadline = Instant::now() + Duration::from_secs(120);
        while total.load(Ordering::Relaxed) < target {
            if Instant::now() > deadline {
                gave_up.store(true, Ordering::Relaxed);
                break;
            }
            thread::yield_now();
        }
        assert!(!gave_up.load(Ordering::Relaxed), "life {kill}: the server makes no progress");
        thread::sleep(Duration::from_micros(random.below(3000) as u64));
        server.kill_9().unwrap();
        for (writer, thread) in threads.into_iter().enumerate() {
            progress[writer] = thread.join().unwrap();
        }
        server.start().unwrap_or_else(|error| panic!("seed {seed}, after kill {kill}: {error:#}"));
        let mut session = Session::open(server.address()).unwrap();
        for (writer, progress) in progress.iter_mut().enumerate() {
            let now = check(&mut session, writer, *progress)
                .unwrap_or_else(|error| panic!("seed {seed}, after kill {kill}: {error:#}"));
            *progress = Progress { acknowledged: now, sent: now };
        }
        session.must(op::CLOSE_SESSION, &[]).unwrap();
        // The session that holds an ephemeral goes on through all of it.
        holder = Session::open_with(server.address(), &Hello::again(&held)).unwrap();
        assert_eq!(holder.data("/held").unwrap(), Ok(Vec::new()), "after kill {kill}");
    }
    println!(
        "seed {seed}: {KILLS} crashes, {} acknowledged multis, {} s",
        total.load(Ordering::Relaxed),
        begun.elapsed().as_secs()
    );
}
