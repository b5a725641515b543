//! Three servers of one kind as an ensemble, ours and Java in turn, as one table.
//!
//! Failover, load, a learner that is behind, and a learner without anything. All servers and the
//! generator share one machine; CPU is the sum of the three servers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;

use super::compare::{Options, Part, Row, Table};
use super::report::{Cpu, Latency};
use super::scenario;
use super::swarm::Swarm;
use super::target::{Program, Target};
use super::work::{Kind, Mix, Until};
use crate::server::free_port;
use crate::wire::{Hello, Session};

/// Znodes and bytes per value that load works on.
const TREE: (usize, usize) = (1000, 1024);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);
/// Transactions a follower is behind.
const BEHIND: usize = 100_000;

/// Three servers of one kind.
struct Cluster {
    name: &'static str,
    servers: Vec<Target>,
    settings: Vec<(String, String)>,
}

impl Cluster {
    fn new(name: &'static str, program: &Program, options: &Options) -> Result<Self> {
        let mut settings: Vec<(String, String)> =
            [("initLimit", "60"), ("syncLimit", "5"), ("snapCount", "1000000")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
        let mut servers = Vec::new();
        for sid in 1..=3 {
            let (quorum, election) = (free_port(), free_port());
            settings.push((format!("server.{sid}"), format!("127.0.0.1:{quorum}:{election}")));
            let home = options.home.join(format!("{name}-{sid}"));
            servers.push(Target::new(name, program.clone(), &home)?);
        }
        let mut cluster = Self { name, servers, settings };
        for who in 0..3 {
            cluster.empty(who)?;
        }
        Ok(cluster)
    }

    /// Leaves nothing but `myid`.
    fn empty(&mut self, who: usize) -> Result<()> {
        self.servers[who].clear()?;
        let data = self.servers[who].home().join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), format!("{}\n", who + 1))?;
        Ok(())
    }

    fn launch(&mut self, who: usize) -> Result<Instant> {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.servers[who].launch(&settings)
    }

    fn start(&mut self) -> Result<()> {
        let begun: Vec<Instant> = (0..3).map(|who| self.launch(who)).collect::<Result<_>>()?;
        for (server, begun) in self.servers.iter_mut().zip(begun) {
            server.await_serving(begun)?;
        }
        Ok(())
    }

    fn addrs(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(|server| server.server().addr).collect()
    }

    /// A line of `srvr`.
    fn says(&self, who: usize, key: &str) -> Option<String> {
        let mut stream =
            TcpStream::connect_timeout(&self.addrs()[who], Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
        stream.write_all(b"srvr").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
    }

    fn leader(&self) -> Result<usize> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(who) =
                (0..3).find(|who| self.says(*who, "Mode:").as_deref() == Some("leader"))
            {
                return Ok(who);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{}: no leader", self.name)
    }

    /// CPU seconds of all three so far.
    fn cpu(&self) -> Result<f64> {
        let mut sum = 0.0;
        for server in &self.servers {
            sum += server.server().pid.map(Cpu::of).transpose()?.map_or(0.0, |cpu| cpu.total_s);
        }
        Ok(sum)
    }

    /// Runs a mix over all three; throughput, CPU in µs per operation, latency of writes.
    fn load(&self, work: &Load<'_>) -> Result<Loaded> {
        let (mut swarm, _) = Swarm::connect_to(work.addrs, work.connections, 64)?;
        let mut run = |time, seed| {
            let mut mix = Mix::new(
                work.kinds,
                TREE.0,
                work.value_size,
                work.connections,
                seed,
                Until::Elapsed(time),
            );
            let (cpu, begun) = (self.cpu()?, Instant::now());
            swarm.drive(&mut mix, work.depth)?;
            let seconds = begun.elapsed().as_secs_f64();
            let answered = mix.answered() as f64;
            let failed = mix.reads.failed() + mix.writes.failed();
            ensure!(failed == 0, "{failed} operations failed");
            anyhow::Ok(Loaded {
                rate: answered / seconds,
                cpu_us: (self.cpu()? - cpu) * 1e6 / answered,
                writes: Latency::of(&mix.writes),
            })
        };
        run(work.time / 4, 1)?;
        let loaded = run(work.time, 2)?;
        swarm.close()?;
        let Loaded { rate, cpu_us, .. } = loaded;
        eprintln!("{:>5}: {}: {rate:.0}/s, {cpu_us:.2} µs CPU", self.name, work.name);
        Ok(loaded)
    }

    /// Waits until a server has applied as much as the leader.
    fn await_in_sync(&self, who: usize, leader: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            let (ours, theirs) = (self.says(who, "Zxid:"), self.says(leader, "Zxid:"));
            if ours.is_some() && ours == theirs {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{}: {ours:?} of {theirs:?}", self.name);
            thread::sleep(Duration::from_millis(2));
        }
    }
}

struct Load<'a> {
    name: &'a str,
    addrs: &'a [SocketAddr],
    kinds: &'a [(Kind, usize)],
    connections: usize,
    depth: usize,
    value_size: usize,
    time: Duration,
}

struct Loaded {
    rate: f64,
    cpu_us: f64,
    writes: Option<Latency>,
}

/// Runs the comparison.
pub fn run(options: &Options) -> Result<Table> {
    let mut table = Table::default();
    let mut programs = vec![("ours", Program::Rookeeper(options.rookeeper.clone()))];
    if let Some(class_path) = options.java_class_path.clone() {
        programs.push(("java", Program::Java { class_path, flags: options.java_flags.clone() }));
    }
    let mut rows = Rows::new(options.fill);
    for (name, program) in &programs {
        let measured = all(name, program, options, &mut rows);
        if *name == "java"
            && let Err(error) = measured
        {
            // What was measured until then is worth showing.
            eprintln!("{name:>5}: given up: {error:#}");
        } else {
            measured?;
        }
    }
    table.rows = rows.finish();
    Ok(table)
}

fn all(name: &'static str, program: &Program, options: &Options, rows: &mut Rows) -> Result<()> {
    let wants = |part| options.parts.is_empty() || options.parts.contains(&part);
    let mut cluster = Cluster::new(name, program, options)?;
    cluster.start()?;
    if wants(Part::Failover) {
        failover(&mut cluster, options.rounds.max(5), &mut rows.failover_empty)?;
    }
    if [Part::Load, Part::Behind, Part::Snapshot].into_iter().any(wants) {
        let leader = cluster.leader()?;
        scenario::setup(cluster.servers[leader].server(), TREE.0, TREE.1)?;
    }
    if wants(Part::Load) {
        load(&cluster, options, rows)?;
    }
    if wants(Part::Behind) {
        behind(&mut cluster, options.rounds, rows)?;
    }
    if wants(Part::Snapshot) {
        let leader = cluster.leader()?;
        let report = scenario::fill(cluster.servers[leader].server(), options.fill, 100, 1)?;
        eprintln!("{name:>5}: {}: {:.0}/s", report.work, report.throughput);
        rows.fill.cell(name).samples.push(report.throughput);
        snapshot(&mut cluster, options, rows)?;
        failover(&mut cluster, options.rounds, &mut rows.failover_big)?;
    }
    Ok(())
}

struct Rows {
    failover_empty: Row,
    failover_big: Row,
    write_cpu: Row,
    write_rate: Row,
    read_cpu: Row,
    read_rate: Row,
    single: Row,
    some: Row,
    behind: Row,
    fill: Row,
    snap: Row,
    calm: Row,
    meanwhile: Row,
}

impl Rows {
    fn new(fill: usize) -> Self {
        let failover = "kill -9 of the leader to the next acknowledged write, ms";
        Self {
            failover_empty: Row::new(format!("{failover}, small tree")),
            failover_big: Row::new(format!("{failover}, {fill} znodes")),
            write_cpu: Row::new("CPU of three servers per write, 15 x 64, 1 KiB, µs"),
            write_rate: Row::new("writes per second, 15 x 64, 1 KiB"),
            read_cpu: Row::new("CPU of three servers per operation, 90 % reads, µs"),
            read_rate: Row::new("operations per second, 90 % reads, 15 x 64, 1 KiB"),
            single: Row::new("write latency of one client, median, µs"),
            some: Row::new("write latency of 15 clients, one outstanding each, median, µs"),
            behind: Row::new(format!(
                "start of a follower {BEHIND} transactions behind until in sync, ms"
            )),
            fill: Row::new(format!("creates per second at the leader, {fill} x 100 bytes")),
            snap: Row::new(format!(
                "start of an empty follower until in sync (SNAP of {fill} znodes), ms"
            )),
            calm: Row::new("p99 of writes at the leader before that, 4 x 1, ms"),
            meanwhile: Row::new("p99 of writes at the leader during that, ms"),
        }
    }

    fn finish(self) -> Vec<Row> {
        let met = |row: &Row, max: f64| row.ours.median().map(|value| value <= max);
        let ratio = |row: &Row| row.ratio(&row.java);
        let at_least = |row: &Row, min: f64| ratio(row).map(|r| r >= min);
        let at_most = |row: &Row, max: f64| ratio(row).map(|r| r <= max);
        let independent = self
            .failover_empty
            .ours
            .median()
            .zip(self.failover_big.ours.median())
            .map(|(small, big)| big < 300.0 && big <= small + 150.0);
        let doubled = self.calm.ours.median().zip(self.meanwhile.ours.median());
        vec![
            {
                let m = met(&self.failover_empty, 300.0);
                self.failover_empty.demand("< 300", m)
            },
            self.failover_big.demand("< 300, as with a small tree", independent),
            {
                let m = at_most(&self.write_cpu, 1.0 / 6.0);
                self.write_cpu.demand("≤ 1/6 of Java", m)
            },
            {
                let m = at_least(&self.write_rate, 4.0);
                self.write_rate.demand("≥ 4 × Java", m)
            },
            self.read_cpu,
            {
                let m = at_least(&self.read_rate, 3.0);
                self.read_rate.demand("≥ 3 × Java", m)
            },
            {
                let m = at_most(&self.single, 1.0);
                self.single.demand("≤ Java", m)
            },
            {
                let m = at_most(&self.some, 1.0);
                self.some.demand("≤ Java", m)
            },
            {
                let m = met(&self.behind, 1000.0);
                self.behind.demand("< 1000", m)
            },
            self.fill,
            {
                let m = met(&self.snap, 3000.0);
                self.snap.demand("< 3000", m)
            },
            self.calm,
            self.meanwhile.demand("≤ 2 × before", doubled.map(|(calm, then)| then <= 2.0 * calm)),
        ]
    }
}

fn load(cluster: &Cluster, options: &Options, rows: &mut Rows) -> Result<()> {
    let addrs = cluster.addrs();
    let work = |name, kinds, connections, depth| Load {
        name,
        addrs: &addrs,
        kinds,
        connections,
        depth,
        value_size: TREE.1,
        time: options.time,
    };
    let writes = [(Kind::Set, 1)];
    let mostly_reads = [(Kind::Get, 9), (Kind::Set, 1)];
    if cluster.name == "java" {
        // The JVM compiles what runs often; measuring before that would flatter us.
        for _ in 0..2 {
            cluster.load(&work("warm up", &writes, 15, 64))?;
            cluster.load(&work("warm up", &mostly_reads, 15, 64))?;
        }
    }
    let name = cluster.name;
    for _ in 0..options.rounds {
        let loaded = cluster.load(&work("writes", &writes, 15, 64))?;
        rows.write_cpu.cell(name).samples.push(loaded.cpu_us);
        rows.write_rate.cell(name).samples.push(loaded.rate);
        let loaded = cluster.load(&work("90 % reads", &mostly_reads, 15, 64))?;
        rows.read_cpu.cell(name).samples.push(loaded.cpu_us);
        rows.read_rate.cell(name).samples.push(loaded.rate);
        for (row, connections) in [(&mut rows.single, 1), (&mut rows.some, 15)] {
            let loaded = cluster.load(&work("writes, unpipelined", &writes, connections, 1))?;
            row.cell(name).samples.extend(loaded.writes.map(|writes| writes.p50_us));
        }
    }
    Ok(())
}

/// Two clients try to write at the two that are left, again and again; the first success counts.
fn failover(cluster: &mut Cluster, rounds: usize, row: &mut Row) -> Result<()> {
    for _ in 0..rounds {
        let leader = cluster.leader()?;
        let others: Vec<usize> = (0..3).filter(|who| *who != leader).collect();
        for who in &others {
            cluster.await_in_sync(*who, leader)?;
        }
        let addrs = cluster.addrs();
        cluster.servers[leader].stop(Signal::SIGKILL)?;
        let killed = Instant::now();
        let (done, first) = mpsc::channel();
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = others
            .iter()
            .map(|who| {
                let (addr, done, over) = (addrs[*who], done.clone(), over.clone());
                thread::spawn(move || {
                    while !over.load(Ordering::Acquire) {
                        if write_once(addr).is_ok() {
                            // The other one may have been first and nobody listens any more.
                            let _ = done.send(killed.elapsed());
                            return;
                        }
                        thread::sleep(Duration::from_millis(2));
                    }
                })
            })
            .collect();
        let took = first.recv_timeout(PATIENCE).context("no write after the leader's end")?;
        over.store(true, Ordering::Release);
        for client in clients {
            client.join().ok().context("a client panicked")?;
        }
        eprintln!("{:>5}: failover: {} ms", cluster.name, took.as_millis());
        row.cell(cluster.name).samples.push(took.as_secs_f64() * 1e3);
        let begun = cluster.launch(leader)?;
        cluster.servers[leader].await_serving(begun)?;
    }
    Ok(())
}

fn write_once(addr: SocketAddr) -> Result<()> {
    // Java accepts connections before it can serve them and forgets those.
    let patience = Some(Duration::from_millis(250));
    let mut session = Session::open_within(addr, &Hello::default(), patience)?;
    let code = crate::ensemble::set_data(&mut session, "/", b"")?;
    ensure!(code == 0, "setData: {code}");
    crate::ensemble::close(session)
}

/// A follower is away for [`BEHIND`] writes.
fn behind(cluster: &mut Cluster, rounds: usize, rows: &mut Rows) -> Result<()> {
    for _ in 0..rounds {
        let leader = cluster.leader()?;
        let away = (leader + 1) % 3;
        // Its disk has a snapshot of what it has, and no long log of earlier rows to replay first.
        cluster.servers[away].stop(Signal::SIGKILL)?;
        cluster.empty(away)?;
        let begun = cluster.launch(away)?;
        cluster.servers[away].await_serving(begun)?;
        cluster.await_in_sync(away, leader)?;
        cluster.servers[away].stop(Signal::SIGKILL)?;
        let addr = [cluster.addrs()[leader]];
        let (mut swarm, _) = Swarm::connect_to(&addr, 4, 4)?;
        let until = Until::Operations(BEHIND as u64);
        let mut work = Mix::new(&[(Kind::Set, 1)], TREE.0, 100, 4, 1, until);
        swarm.drive(&mut work, 256)?;
        swarm.close()?;
        let begun = cluster.launch(away)?;
        cluster.servers[away].await_serving(begun)?;
        cluster.await_in_sync(away, leader)?;
        let took = begun.elapsed();
        eprintln!("{:>5}: {BEHIND} behind: {} ms", cluster.name, took.as_millis());
        rows.behind.cell(cluster.name).samples.push(took.as_secs_f64() * 1e3);
    }
    Ok(())
}

/// A follower starts with an empty directory while others write at the leader.
fn snapshot(cluster: &mut Cluster, options: &Options, rows: &mut Rows) -> Result<()> {
    for _ in 0..options.rounds {
        let leader = cluster.leader()?;
        let away = (leader + 1) % 3;
        cluster.servers[away].stop(Signal::SIGKILL)?;
        cluster.empty(away)?;
        let addrs = [cluster.addrs()[leader]];
        let work = |name, time| Load {
            name,
            addrs: &addrs,
            kinds: &[(Kind::Set, 1)],
            connections: 4,
            depth: 1,
            value_size: 100,
            time,
        };
        let calm = cluster.load(&work("writes before a SNAP", options.time))?;
        rows.calm.cell(cluster.name).samples.extend(calm.writes.map(|w| w.p99_us / 1e3));
        let begun = cluster.launch(away)?;
        let mut took = None;
        // Load in slices until the follower is there: each slice that overlaps the SNAP counts.
        let (sender, receiver) = mpsc::channel();
        let addr = cluster.addrs()[away];
        let waiter = thread::spawn(move || {
            while begun.elapsed() < PATIENCE {
                let patience = Some(Duration::from_millis(250));
                if Session::open_within(addr, &Hello::default(), patience).is_ok() {
                    let _ = sender.send(begun.elapsed());
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
        });
        let mut slowest: f64 = 0.0;
        while took.is_none() && begun.elapsed() < PATIENCE {
            let slice = Duration::from_millis(400);
            let loaded = cluster.load(&work("writes during a SNAP", slice))?;
            slowest = slowest.max(loaded.writes.map_or(0.0, |writes| writes.p99_us / 1e3));
            took = receiver.try_recv().ok();
        }
        waiter.join().ok().context("the waiting client panicked")?;
        let took = took.context("the follower never served")?;
        eprintln!("{:>5}: SNAP: {} ms", cluster.name, took.as_millis());
        rows.snap.cell(cluster.name).samples.push(took.as_secs_f64() * 1e3);
        rows.meanwhile.cell(cluster.name).samples.push(slowest);
        cluster.await_in_sync(away, leader)?;
    }
    Ok(())
}
