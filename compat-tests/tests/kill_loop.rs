//! Servers of both kinds are killed and paused under a client that writes; afterwards every write
//! it was told about must be there, and all servers must show the same.
//!
//! `COMPAT_ROUNDS` says how many times (default 4), `COMPAT_SEED` in which order.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::ensemble::{Ensemble, Part, exists};
use compat_tests::random::Random;
use compat_tests::server::{Kind, TARGET};
use compat_tests::wire::Session;

const NODE_EXISTS: i32 = -110;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What the writer and the others share.
#[derive(Default)]
struct Shared {
    acknowledged: AtomicUsize,
    reconnects: AtomicUsize,
    stop: AtomicBool,
}

/// Creates `/k0`, `/k1`, ... each until a server says that it is there.
fn write(addresses: &[SocketAddr], shared: &Shared) {
    let mut place = 0;
    while !shared.stop.load(Ordering::Acquire) {
        place += 1;
        let address = addresses[place % addresses.len()];
        let result = (|| -> Result<()> {
            let mut session = Session::open(address)?;
            session.wire.set_patience(Duration::from_secs(3))?;
            while !shared.stop.load(Ordering::Acquire) {
                let next = shared.acknowledged.load(Ordering::Acquire);
                match session.create(&format!("/k{next}"), b"kept", 0)? {
                    0 | NODE_EXISTS => shared.acknowledged.store(next + 1, Ordering::Release),
                    code => bail!("create: {code}"),
                }
            }
            Ok(())
        })();
        if result.is_err() {
            shared.reconnects.fetch_add(1, Ordering::AcqRel);
            // A server that refuses at once is asked again when others have had a turn.
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn kill_loop(kinds: [Kind; 3], rounds: u64, seed: u64) -> Result<()> {
    let members = kinds.map(|kind| (kind, Part::Participant));
    let mut all = Ensemble::new("kill", &members, &[], &[])?;
    all.start(&[1, 2, 3])?;
    let addresses: Vec<SocketAddr> = all.sids().map(|sid| all.server(sid).address()).collect();
    let shared = Arc::new(Shared::default());
    let writer = {
        let (shared, addresses) = (shared.clone(), addresses.clone());
        thread::spawn(move || write(&addresses, &shared))
    };
    let result = rounds_of(&mut all, &shared, rounds, seed);
    shared.stop.store(true, Ordering::Release);
    writer.join().ok().context("the writer panicked")?;
    result?;
    all.await_leader(&[1, 2, 3])?;
    let count = shared.acknowledged.load(Ordering::Acquire);
    for sid in all.sids() {
        let mut session = all.session(sid)?;
        compat_tests::ensemble::sync(&mut session)?;
        for n in 0..count {
            ensure!(exists(&mut session, &format!("/k{n}"))?, "server {sid} lost /k{n}");
        }
    }
    all.assert_same(&[1, 2, 3])?;
    println!(
        "{kinds:?}, seed {seed}, {rounds} rounds: {count} acknowledged, {} reconnects",
        shared.reconnects.load(Ordering::Acquire)
    );
    Ok(())
}

fn rounds_of(all: &mut Ensemble, shared: &Shared, rounds: u64, seed: u64) -> Result<()> {
    let mut random = Random::new(seed);
    for round in 0..rounds {
        more(all, shared, 20).with_context(|| format!("round {round}"))?;
        let victim = 1 + random.below(3);
        if random.percent(30) {
            all.server(victim).pause(true)?;
            let result = more(all, shared, 20);
            all.server(victim).pause(false)?;
            result.with_context(|| format!("round {round}, {victim} is paused"))?;
        } else {
            all.server(victim).kill_9()?;
            let result = more(all, shared, 20);
            result.with_context(|| format!("round {round}, {victim} is killed"))?;
            all.start(&[victim])?;
        }
        all.await_leader(&[1, 2, 3])?;
    }
    Ok(())
}

/// Waits until so many more writes are acknowledged.
fn more(all: &mut Ensemble, shared: &Shared, count: usize) -> Result<()> {
    let enough = shared.acknowledged.load(Ordering::Acquire) + count;
    let begun = Instant::now();
    all.until("writes go on", |_| Ok(shared.acknowledged.load(Ordering::Acquire) >= enough))
        .with_context(|| format!("{} ms without enough writes", begun.elapsed().as_millis()))
}

#[test]
fn mixed() {
    let (ours, java) = (Kind::Rookeeper, Kind::Java(TARGET));
    kill_loop([java, ours, ours], number("COMPAT_ROUNDS", 4), number("COMPAT_SEED", 1)).unwrap();
}
