//! One scenario against one server: prepare, measure, report.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::report::{Cpu, Latency, Report, Usage, rss};
use super::swarm::Swarm;
use super::work::{Fill, Firing, Kind, Mix, Seen, Setup, Until, Watching};

/// Handshakes in flight while a swarm connects for another purpose than measuring that.
const CONNECT_AT_ONCE: usize = 64;
/// Requests outstanding while preparing.
const SETUP_DEPTH: usize = 256;

/// A server to measure.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    /// Where clients connect.
    pub addr: SocketAddr,
    /// Its process, for CPU and memory.
    pub pid: Option<u32>,
}

/// Options of [`mixed`].
#[derive(Debug, Clone)]
pub struct Mixed {
    /// Name for the report.
    pub name: String,
    /// Operations and weights.
    pub kinds: Vec<(Kind, usize)>,
    /// Connections.
    pub connections: usize,
    /// Requests outstanding per connection; 1 is unpipelined.
    pub depth: usize,
    /// Znodes of the tree.
    pub nodes: usize,
    /// Bytes per value.
    pub value_size: usize,
    /// Load before measuring starts.
    pub warmup: Duration,
    /// Length of the measured run.
    pub until: Until,
    /// Seed for the choice of operations and znodes.
    pub seed: u64,
}

/// Makes the tree that the other scenarios use.
pub fn setup(server: Server, nodes: usize, value_size: usize) -> Result<()> {
    let (mut swarm, _) = Swarm::connect(server.addr, 1, 1)?;
    let mut work = Setup::new(nodes, value_size);
    swarm.drive(&mut work, SETUP_DEPTH)?;
    ensure!(work.failed.is_empty(), "set up: error {:?}", work.failed.first());
    swarm.close()
}

/// A mix of operations. The tree must exist ([`setup`]).
pub fn mixed(server: Server, options: &Mixed) -> Result<Report> {
    let (mut swarm, _) = Swarm::connect(server.addr, options.connections, CONNECT_AT_ONCE)?;
    let mut mix = |until| {
        let Mixed { kinds, nodes, value_size, connections, seed, .. } = options;
        let mut work = Mix::new(kinds, *nodes, *value_size, *connections, *seed, until);
        let measured = measure(server, || swarm.drive(&mut work, options.depth))?;
        anyhow::Ok((work, measured))
    };
    if !options.warmup.is_zero() {
        mix(Until::Elapsed(options.warmup))?;
    }
    let (work, measured) = mix(options.until)?;
    let report = measured.report(Report {
        work: options.name.clone(),
        connections: options.connections,
        depth: options.depth,
        operations: work.answered(),
        failed: work.reads.failed() + work.writes.failed(),
        reads: Latency::of(&work.reads),
        writes: Latency::of(&work.writes),
        ..blank()
    })?;
    swarm.close()?;
    Ok(report)
}

/// Creates many znodes with paths of 35 bytes, `per_request` of them with each request. Operations
/// are znodes.
pub fn fill(server: Server, count: usize, value_size: usize, per_request: usize) -> Result<Report> {
    let (connections, depth) = (16, if per_request > 1 { 2 } else { 64 });
    let (mut swarm, _) = Swarm::connect(server.addr, 1, 1)?;
    let mut parents = Fill::parents();
    swarm.drive(&mut parents, SETUP_DEPTH)?;
    ensure!(parents.failed.is_empty(), "fill: error {:?}", parents.failed.first());
    swarm.close()?;
    let (mut swarm, _) = Swarm::connect(server.addr, connections, CONNECT_AT_ONCE)?;
    let mut work = Fill::new(count, value_size, per_request);
    let measured = measure(server, || swarm.drive(&mut work, depth))?;
    let report = measured.report(Report {
        work: format!("fill {count} x {value_size}, {per_request} per request"),
        connections,
        depth,
        operations: count as u64,
        failed: work.seen.failed(),
        writes: Latency::of(&work.seen),
        ..blank()
    })?;
    swarm.close()?;
    Ok(report)
}

/// Opens sessions, `at_once` handshakes in flight. Only the opening is measured.
pub fn sessions(server: Server, count: usize, at_once: usize) -> Result<Report> {
    let mut opened = None;
    let measured = measure(server, || {
        opened = Some(Swarm::connect(server.addr, count, at_once)?);
        Ok(())
    })?;
    let Some((swarm, took)) = opened else { unreachable!("measure ran its closure") };
    let mut seen = Seen::default();
    for time in took {
        seen.latency.saturating_record(time.as_nanos() as u64);
    }
    let report = measured.report(Report {
        work: "sessions".into(),
        connections: count,
        depth: 1,
        operations: count as u64,
        writes: Latency::of(&seen),
        ..blank()
    })?;
    swarm.close()?;
    Ok(report)
}

/// Watch fan-out: each of `watchers` connections watches `nodes` znodes, then each znode is set
/// once. Operations are events; arming is not measured. The tree must exist.
pub fn watches(server: Server, watchers: usize, nodes: usize, rounds: usize) -> Result<Report> {
    let (mut swarm, _) = Swarm::connect(server.addr, watchers, CONNECT_AT_ONCE)?;
    let mut total = Measured::default();
    let mut events = 0;
    let mut failed = 0;
    for _ in 0..rounds {
        swarm.drive(&mut Watching::new(nodes, watchers), SETUP_DEPTH)?;
        let mut work = Firing::new(nodes, (watchers * nodes) as u64);
        total.add(measure(server, || swarm.drive(&mut work, 16))?);
        events += work.events;
        failed += work.failed.len() as u64;
    }
    let report = total.report(Report {
        work: format!("watch events, {nodes} znodes"),
        connections: watchers,
        depth: 16,
        operations: events,
        failed,
        ..blank()
    })?;
    swarm.close()?;
    Ok(report)
}

#[derive(Default)]
struct Measured {
    pid: Option<u32>,
    elapsed: Duration,
    user_s: f64,
    total_s: f64,
    rss_bytes: u64,
}

fn measure(server: Server, run: impl FnOnce() -> Result<()>) -> Result<Measured> {
    let before = server.pid.map(Cpu::of).transpose()?;
    let started = Instant::now();
    run()?;
    let elapsed = started.elapsed();
    let mut measured = Measured { pid: server.pid, elapsed, ..Measured::default() };
    if let (Some(pid), Some(before)) = (server.pid, before) {
        let now = Cpu::of(pid)?;
        measured.user_s = now.user_s - before.user_s;
        measured.total_s = now.total_s - before.total_s;
        measured.rss_bytes = rss(pid)?;
    }
    Ok(measured)
}

impl Measured {
    fn add(&mut self, other: Self) {
        self.pid = other.pid;
        self.elapsed += other.elapsed;
        self.user_s += other.user_s;
        self.total_s += other.total_s;
        self.rss_bytes = other.rss_bytes;
    }

    fn report(&self, report: Report) -> Result<Report> {
        let seconds = self.elapsed.as_secs_f64();
        let operations = report.operations.max(1) as f64;
        let server = self.pid.map(|pid| Usage {
            pid,
            cpu_us_per_operation: self.total_s * 1e6 / operations,
            user_us_per_operation: self.user_s * 1e6 / operations,
            cores: self.total_s / seconds,
            rss_bytes: self.rss_bytes,
        });
        let throughput = report.operations as f64 / seconds;
        Ok(Report { seconds, throughput, server, ..report })
    }
}

fn blank() -> Report {
    Report {
        work: String::new(),
        connections: 0,
        depth: 0,
        seconds: 0.0,
        operations: 0,
        failed: 0,
        throughput: 0.0,
        reads: None,
        writes: None,
        server: None,
    }
}
