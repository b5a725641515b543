//! Five servers of both kinds are killed, paused and cut off from each other under clients that
//! write and read; afterwards every write a client was told about must be there, and all servers
//! must show the same.
//!
//! `KILL_LOOP_SECONDS` says how long (default 25), `COMPAT_SEED` in which order:
//!
//! ```text
//! KILL_LOOP_SECONDS=600 cargo test -p compat-tests --test kill_loop -- --nocapture
//! ```
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use compat_tests::ensemble::{Ensemble, Part, set_data, sync};
use compat_tests::proxy::Cut;
use compat_tests::random::Random;
use compat_tests::server::{Kind, TARGET};
use compat_tests::walk::{Znode, walk};
use compat_tests::wire::{Hello, Session, ToBody};
use jute::Decode;
use jute::proto::{GetDataResponse, op};

const NODE_EXISTS: i32 = -110;

/// Clients that write.
const WRITERS: usize = 2;

/// Between two writes of a client, so that a long run leaves a tree that can still be compared.
const PACE: Duration = Duration::from_millis(8);

/// How long a client waits for an answer before it asks another server.
const CLIENT_PATIENCE: Duration = Duration::from_secs(2);

/// How long a server may take to show what was acknowledged.
const PATIENCE: Duration = Duration::from_secs(180);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// What clients and the loop share.
#[derive(Default)]
struct Shared {
    acknowledged: [AtomicUsize; WRITERS],
    reads: AtomicUsize,
    reconnects: AtomicUsize,
    /// Longest time without an acknowledged write, ms.
    gap_max: AtomicU64,
    violations: Mutex<Vec<String>>,
    stop: AtomicBool,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn written(&self) -> usize {
        self.acknowledged.iter().map(|count| count.load(Ordering::Acquire)).sum()
    }

    fn violated(&self, what: String) {
        self.violations.lock().unwrap().push(what);
    }
}

/// Creates `/w{writer}-0`, `-1`, ... each until a server says that it is there. The first writer
/// sets a register as well.
fn write(writer: usize, addresses: &[SocketAddr], shared: &Shared) {
    let mut place = writer * 2;
    let mut last = Instant::now();
    while !shared.stopped() {
        place += 1;
        let address = addresses[place % addresses.len()];
        let result = (|| -> Result<()> {
            let hello = Hello::default();
            let mut session = Session::open_within(address, &hello, Some(CLIENT_PATIENCE))?;
            while !shared.stopped() {
                let next = shared.acknowledged[writer].load(Ordering::Acquire);
                let data = format!("{writer} {next}");
                match session.create(&format!("/w{writer}-{next}"), data.as_bytes(), 0)? {
                    0 | NODE_EXISTS => {}
                    code => bail!("create: {code}"),
                }
                shared.acknowledged[writer].store(next + 1, Ordering::Release);
                let gap = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
                shared.gap_max.fetch_max(gap, Ordering::AcqRel);
                last = Instant::now();
                if writer == 0 {
                    let code = set_data(&mut session, "/register", format!("{next:09}").as_bytes());
                    ensure!(code? == 0, "setData failed");
                }
                thread::sleep(PACE);
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

/// Reads the register from one server after the other with one view of the world: each has shown
/// what was seen before, so neither its version nor the zxid goes back. (Its content may: a request
/// that a paused server still holds is carried out later.)
fn read(addresses: &[SocketAddr], shared: &Shared) {
    let mut place = 0;
    let mut seen = (0, 0);
    while !shared.stopped() {
        place += 1;
        let address = addresses[place % addresses.len()];
        let result = (|| -> Result<()> {
            let hello = Hello { last_zxid: seen.1, ..Hello::default() };
            let mut session = Session::open_within(address, &hello, Some(CLIENT_PATIENCE))?;
            for _ in 0..50 {
                let body = (Some("/register".to_owned()), false).to_body();
                let reply = session.must(op::GET_DATA, &body)?;
                let version = GetDataResponse::from_slice(&reply.body)?.stat.version;
                let now = (version, reply.header.zxid);
                if now.0 < seen.0 || now.1 < seen.1 {
                    shared.violated(format!("{address}: {now:x?} after {seen:x?}"));
                }
                seen = now;
                shared.reads.fetch_add(1, Ordering::AcqRel);
            }
            Ok(())
        })();
        if result.is_err() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn kill_loop(kinds: [Kind; 5], time: Duration, seed: u64) -> Result<()> {
    let members = kinds.map(|kind| (kind, Part::Participant));
    // What is cut off or paused is noticed after four seconds.
    let settings = [("tickTime", "500"), ("syncLimit", "8"), ("initLimit", "60")];
    let mut all = Ensemble::with_network("kill", &members, &settings, &[])?;
    let sids: Vec<usize> = all.sids().collect();
    all.start(&sids)?;
    all.await_leader(&sids)?;
    all.until("the register is there", |all| {
        let made = all.session(1).and_then(|mut session| session.create("/register", b"", 0));
        Ok(matches!(made, Ok(0 | NODE_EXISTS)))
    })?;
    let addresses: Vec<SocketAddr> = sids.iter().map(|sid| all.server(*sid).address()).collect();
    let shared = Arc::new(Shared::default());
    let mut clients = Vec::new();
    for writer in 0..WRITERS {
        let (shared, addresses) = (shared.clone(), addresses.clone());
        clients.push(thread::spawn(move || write(writer, &addresses, &shared)));
    }
    {
        let (shared, addresses) = (shared.clone(), addresses.clone());
        clients.push(thread::spawn(move || read(&addresses, &shared)));
    }
    let result = rounds(&mut all, &shared, time, seed);
    shared.stop.store(true, Ordering::Release);
    for client in clients {
        client.join().ok().context("a client panicked")?;
    }
    let rounds = result.with_context(|| format!("seed {seed}\n{}", all.logs()))?;
    all.await_leader(&sids)?;
    for sid in &sids {
        // `sync` at a Java leader is no barrier for its own clients: what is missing may come yet.
        let deadline = Instant::now() + PATIENCE;
        while let Some(lost) = missing(&tree_of(&mut all, *sid)?, &shared) {
            let late = Instant::now() > deadline;
            ensure!(!late, "server {sid} lost {lost}, seed {seed}\n{}", all.logs());
            thread::sleep(Duration::from_millis(20));
        }
    }
    all.assert_same(&sids)?;
    let digests = all.digests_compared(&sids)?;
    let violations = shared.violations.lock().unwrap();
    ensure!(violations.is_empty(), "seed {seed}: {violations:?}\n{}", all.logs());
    let load = |count: &AtomicUsize| count.load(Ordering::Acquire);
    println!(
        "{}: seed {seed}, {} s, {rounds:?}; {} writes acknowledged, none lost; {} reads, none went \
         back; {digests} digests equal; {} reconnects, longest gap {} ms",
        kinds.map(|kind| kind.to_string()).join(" "),
        time.as_secs(),
        shared.written(),
        load(&shared.reads),
        load(&shared.reconnects),
        shared.gap_max.load(Ordering::Acquire)
    );
    Ok(())
}

/// The first acknowledged write that a tree does not have.
fn missing(tree: &BTreeMap<String, Znode>, shared: &Shared) -> Option<String> {
    let writes = (0..WRITERS).flat_map(|writer| {
        let count = shared.acknowledged[writer].load(Ordering::Acquire);
        (0..count).map(move |n| (writer, n))
    });
    for (writer, n) in writes {
        let data = tree.get(&format!("/w{writer}-{n}")).and_then(|node| node.data.as_deref());
        if data != Some(format!("{writer} {n}").as_bytes()) {
            return Some(format!("write {n} of writer {writer}: {data:?}"));
        }
    }
    None
}

/// All that a server shows. After all that happened to it, it may still change its leader.
fn tree_of(all: &mut Ensemble, sid: usize) -> Result<BTreeMap<String, Znode>> {
    let mut tree = BTreeMap::new();
    all.until(&format!("server {sid} shows its tree"), |all| {
        let read = (|| {
            let mut session = all.session(sid)?;
            sync(&mut session)?;
            walk(&mut session)
        })();
        Ok(read.map(|found| tree = found).is_ok())
    })?;
    Ok(tree)
}

/// How often each thing was done.
#[derive(Debug, Default)]
struct Rounds {
    kills: usize,
    pauses: usize,
    isolations: usize,
    cut_links: usize,
}

fn rounds(all: &mut Ensemble, shared: &Shared, time: Duration, seed: u64) -> Result<Rounds> {
    let mut random = Random::new(seed);
    let mut done = Rounds::default();
    let end = Instant::now() + time;
    let sids: Vec<usize> = all.sids().collect();
    while Instant::now() < end {
        more(all, shared, 20).context("between two rounds")?;
        let victim = *random.pick(&sids);
        let other = *random.pick(&sids);
        match random.weighted(&[40, 20, 25, 15]) {
            0 => {
                done.kills += 1;
                // The same one twice is one.
                let mut victims = vec![victim];
                if random.percent(40) && other != victim {
                    victims.push(other);
                }
                for sid in &victims {
                    all.server(*sid).kill_9()?;
                }
                more(all, shared, 20).with_context(|| format!("{victims:?} are killed"))?;
                all.start(&victims)?;
            }
            1 => {
                done.pauses += 1;
                all.server(victim).pause(true)?;
                let result = more(all, shared, 20);
                all.server(victim).pause(false)?;
                result.with_context(|| format!("{victim} is paused"))?;
            }
            2 => {
                done.isolations += 1;
                let cut = *random.pick(&[Cut::Closed, Cut::Silent]);
                let links: Vec<(usize, usize)> =
                    sids.iter().filter(|sid| **sid != victim).map(|sid| (victim, *sid)).collect();
                cut_for_a_while(all, shared, &links, cut)?;
            }
            _ => {
                done.cut_links += 1;
                let cut = *random.pick(&[Cut::Closed, Cut::Silent, Cut::OneWay]);
                let links: Vec<(usize, usize)> =
                    [(victim, other)].into_iter().filter(|(a, b)| a != b).collect();
                cut_for_a_while(all, shared, &links, cut)?;
            }
        }
        // Sometimes the next thing happens before this one is over.
        if random.percent(70) {
            all.await_leader(&sids)?;
        }
    }
    all.await_leader(&sids)?;
    Ok(done)
}

fn cut_for_a_while(
    all: &mut Ensemble,
    shared: &Shared,
    links: &[(usize, usize)],
    cut: Cut,
) -> Result<()> {
    for (from, to) in links {
        all.network().cut(*from, *to, cut);
    }
    // Longer than it takes to notice, or not.
    let result = more(all, shared, 20).and_then(|()| more(all, shared, 300));
    for (from, to) in links {
        all.network().cut(*from, *to, Cut::None);
    }
    result.with_context(|| format!("{cut:?} between {links:?}"))
}

/// Waits until so many more writes are acknowledged.
fn more(all: &mut Ensemble, shared: &Shared, count: usize) -> Result<()> {
    let enough = shared.written() + count;
    let begun = Instant::now();
    all.until("writes go on", |_| Ok(shared.written() >= enough))
        .with_context(|| format!("{} ms without enough writes", begun.elapsed().as_millis()))
}

#[test]
fn mixed() {
    let (ours, java, old) = (Kind::Rookeeper, Kind::Java(TARGET), Kind::Java("3.6.4"));
    let time = Duration::from_secs(number("KILL_LOOP_SECONDS", 25));
    kill_loop([java, ours, old, ours, ours], time, number("COMPAT_SEED", 1)).unwrap();
}
