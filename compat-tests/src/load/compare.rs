//! The same work against ours, Java and the floor, interleaved, as one table.
//!
//! Every row is measured in rounds: each round runs all servers one after the other, so that a
//! slow minute of the machine hits all of them. Reported is the median; the spread stands in the
//! JSON. What the issue demands stands beside the numbers, with "met" or "missed".

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use serde::Serialize;

use super::report::{Report, rss};
use super::scenario::{self, Mixed};
use super::target::{Program, Target};
use super::work::{Kind, Until};

/// Connections of the sweep.
const SWEEP: [usize; 6] = [1, 4, 16, 64, 256, 1000];
/// Znodes and bytes per value of the tree that most rows use.
const TREE: (usize, usize) = (1000, 1024);
/// Creates per request while the big tree is filled: nobody waits for a million round trips.
const PER_MULTI: usize = 100;
/// Never snapshot while something else is measured.
const NO_SNAPSHOT: (&str, &str) = ("snapCount", "2000000000");

/// Options of [`run`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Our binary.
    pub rookeeper: PathBuf,
    /// Class path of the Java server; without, there is no Java column.
    pub java_class_path: Option<String>,
    /// JVM flags.
    pub java_flags: Vec<String>,
    /// Where the servers keep their files.
    pub home: PathBuf,
    /// Rounds per row.
    pub rounds: usize,
    /// Length of one run.
    pub time: Duration,
    /// Znodes of the big tree.
    pub fill: usize,
    /// Parts to run; all if empty.
    pub parts: Vec<Part>,
}

/// A group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// CPU per read and write.
    Cpu,
    /// Throughput by number of connections.
    Sweep,
    /// New sessions and watch events.
    Sessions,
    /// Idle server, memory per znode, restart.
    Memory,
    /// Snapshot under write load; of an ensemble: the big tree, SNAP and failover with it.
    Snapshot,
    /// Of an ensemble: the leader's end while the tree is small.
    Failover,
    /// Of an ensemble: reads and writes.
    Load,
    /// Of an ensemble: a follower that was away.
    Behind,
}

/// Measured values of one cell.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Cell {
    /// All rounds, in order.
    pub samples: Vec<f64>,
}

/// One line of the table.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured, with its unit.
    pub what: String,
    /// Ours.
    pub ours: Cell,
    /// Java.
    pub java: Cell,
    /// The floor.
    pub floor: Cell,
    /// What is demanded.
    pub target: Option<String>,
    /// Whether it is met.
    pub met: Option<bool>,
}

/// All rows, and every single run behind them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Table {
    /// The lines.
    pub rows: Vec<Row>,
    /// (server, report)
    pub runs: Vec<(String, Report)>,
}

impl Cell {
    /// `None` if nothing was measured.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }
}

impl Row {
    pub(super) fn new(what: impl Into<String>) -> Self {
        let (ours, java, floor) = Default::default();
        Self { what: what.into(), ours, java, floor, target: None, met: None }
    }

    pub(super) fn cell(&mut self, name: &str) -> &mut Cell {
        match name {
            "ours" => &mut self.ours,
            "java" => &mut self.java,
            _ => &mut self.floor,
        }
    }

    /// Ours divided by Java or by the floor: the median over the rounds. What is measured one right
    /// after the other is compared, so that a slow minute of the machine does not decide.
    pub(super) fn ratio(&self, to: &Cell) -> Option<f64> {
        if self.ours.samples.len() != to.samples.len() {
            return Some(self.ours.median()? / to.median()?);
        }
        let samples =
            self.ours.samples.iter().zip(&to.samples).map(|(ours, to)| ours / to).collect();
        Cell { samples }.median()
    }

    pub(super) fn demand(mut self, target: impl Into<String>, met: Option<bool>) -> Self {
        self.target = Some(target.into());
        self.met = met;
        self
    }
}

/// Runs the comparison.
pub fn run(options: &Options) -> Result<Table> {
    let mut table = Table::default();
    let parts = &options.parts;
    let wanted = |part| parts.is_empty() || parts.contains(&part);
    if [Part::Cpu, Part::Sweep, Part::Sessions].into_iter().any(wanted) {
        let mut targets = options.targets(true)?;
        for target in &mut targets {
            target.clear()?;
            target.start(&[NO_SNAPSHOT])?;
            scenario::setup(target.server(), TREE.0, TREE.1)?;
        }
        warm_up(&targets)?;
        if wanted(Part::Cpu) {
            cpu(options, &targets, &mut table)?;
        }
        if wanted(Part::Sessions) {
            sessions_and_watches(options, &targets, &mut table)?;
        }
        if wanted(Part::Sweep) {
            sweep(options, &targets, &mut table)?;
        }
    }
    if wanted(Part::Memory) || wanted(Part::Snapshot) {
        let mut targets = options.targets(false)?;
        memory(options, &mut targets, &mut table)?;
        if wanted(Part::Snapshot) {
            snapshot(options, &mut targets, &mut table)?;
        }
    }
    Ok(table)
}

impl Options {
    fn targets(&self, with_floor: bool) -> Result<Vec<Target>> {
        let ours = Program::Rookeeper(self.rookeeper.clone());
        let mut targets = vec![Target::new("ours", ours, &self.home)?];
        if let Some(class_path) = self.java_class_path.clone() {
            let java = Program::Java { class_path, flags: self.java_flags.clone() };
            targets.push(Target::new("java", java, &self.home)?);
        }
        if with_floor {
            let floor = Program::Floor { value_size: TREE.1 };
            targets.push(Target::new("floor", floor, &self.home)?);
        }
        Ok(targets)
    }

    fn mixed(&self, name: &str, kind: Kind, connections: usize, depth: usize) -> Mixed {
        Mixed {
            name: name.to_owned(),
            kinds: vec![(kind, 1)],
            connections,
            depth,
            nodes: TREE.0,
            value_size: TREE.1,
            warmup: self.time / 4,
            until: Until::Elapsed(self.time),
            seed: 1,
        }
    }
}

/// The JVM compiles what runs often; measuring before that would flatter us.
fn warm_up(targets: &[Target]) -> Result<()> {
    for target in targets.iter().filter(|target| target.name == "java") {
        for kind in [Kind::Get, Kind::Set, Kind::Get, Kind::Set] {
            for depth in [64, 1] {
                let work = Mixed {
                    name: "warm up".into(),
                    kinds: vec![(kind, 1)],
                    connections: 32,
                    depth,
                    nodes: TREE.0,
                    value_size: TREE.1,
                    warmup: Duration::ZERO,
                    until: Until::Elapsed(Duration::from_secs(3)),
                    seed: 2,
                };
                scenario::mixed(target.server(), &work)?;
            }
        }
    }
    Ok(())
}

fn cpu(options: &Options, targets: &[Target], table: &mut Table) -> Result<()> {
    let works = [
        ("read, pipelined 16 x 64", Kind::Get, 16, 64),
        ("read, unpipelined 64 x 1", Kind::Get, 64, 1),
        ("write, pipelined 16 x 64", Kind::Set, 16, 64),
        ("write, unpipelined 64 x 1", Kind::Set, 64, 1),
    ];
    for (name, kind, connections, depth) in works {
        let mut cpu = Row::new(format!("CPU per {name}, µs"));
        let mut rate = Row::new(format!("{name}, per second"));
        let mut slowest = Row::new(format!("{name}, p99 latency, µs"));
        for _ in 0..options.rounds {
            for target in targets {
                if target.name == "floor" && kind != Kind::Get {
                    continue;
                }
                let work = options.mixed(name, kind, connections, depth);
                let report = table.keep(target, scenario::mixed(target.server(), &work)?);
                let used = report.server.as_ref().map(|server| server.cpu_us_per_operation);
                let latency = report.reads.as_ref().or(report.writes.as_ref());
                cpu.cell(target.name).samples.extend(used);
                rate.cell(target.name).samples.push(report.throughput);
                slowest.cell(target.name).samples.extend(latency.map(|l| l.p99_us));
            }
        }
        let floor = cpu.ratio(&cpu.floor);
        let java = cpu.ratio(&cpu.java);
        table.rows.push(match (kind, depth) {
            (Kind::Get, 1) => cpu.demand("≤ 1.4 × floor", floor.map(|r| r <= 1.4)),
            (Kind::Get, _) => cpu.demand("≤ 3 × floor", floor.map(|r| r <= 3.0)),
            (_, 1) => cpu,
            _ => cpu.demand("≤ 1/8 of Java", java.map(|r| r <= 0.125)),
        });
        table.rows.extend([rate, slowest]);
    }
    Ok(())
}

fn sweep(options: &Options, targets: &[Target], table: &mut Table) -> Result<()> {
    for (name, kind) in [("reads", Kind::Get), ("writes", Kind::Set)] {
        for depth in [1, 64] {
            for connections in SWEEP {
                let how = if depth == 1 { "unpipelined" } else { "pipelined" };
                let name = format!("{name}/s, {how}, {connections} connections");
                let mut row = Row::new(&name);
                for _ in 0..options.rounds {
                    for target in targets.iter().filter(|target| target.name != "floor") {
                        let mut work = options.mixed(&name, kind, connections, depth);
                        // There are many of these rows, and each only asks which server is faster.
                        work.until = Until::Elapsed(options.time * 2 / 3);
                        let report = table.keep(target, scenario::mixed(target.server(), &work)?);
                        row.cell(target.name).samples.push(report.throughput);
                    }
                }
                let met = row.ratio(&row.java).map(|ratio| ratio >= 1.0);
                table.rows.push(row.demand("≥ Java", met));
            }
        }
    }
    Ok(())
}

fn sessions_and_watches(options: &Options, targets: &[Target], table: &mut Table) -> Result<()> {
    let mut session = Row::new("CPU per new session, µs");
    let mut session_rate = Row::new("new sessions per second");
    let mut event = Row::new("CPU per watch event, µs");
    let mut event_rate = Row::new("watch events per second");
    for _ in 0..options.rounds {
        for target in targets {
            let report = table.keep(target, scenario::sessions(target.server(), 1000, 16)?);
            let used = report.server.as_ref().map(|server| server.cpu_us_per_operation);
            session.cell(target.name).samples.extend(used);
            session_rate.cell(target.name).samples.push(report.throughput);
            if target.name == "floor" {
                continue;
            }
            let report = table.keep(target, scenario::watches(target.server(), 200, 200, 3)?);
            let used = report.server.as_ref().map(|server| server.cpu_us_per_operation);
            event.cell(target.name).samples.extend(used);
            event_rate.cell(target.name).samples.push(report.throughput);
        }
    }
    table.rows.extend([session, session_rate, event, event_rate]);
    Ok(())
}

fn memory(options: &Options, targets: &mut [Target], table: &mut Table) -> Result<()> {
    let mut serve = Row::new("start of an empty server to its first read, ms");
    let mut idle = Row::new("idle memory, MB");
    let mut filling = Row::new(format!("filling, creates per second, {PER_MULTI} in a multi"));
    let mut per_znode = Row::new(format!(
        "memory per znode, {} x 100 bytes, paths of 35 bytes, bytes",
        options.fill
    ));
    let mut per_znode_later = Row::new("the same after a restart, bytes");
    let mut restart = Row::new(format!("restart with {} znodes, ms", options.fill));
    let mut replay = Row::new("the same from the log alone, ms");
    for target in targets.iter_mut() {
        for _ in 0..options.rounds {
            target.clear()?;
            let took = target.start(&[])?;
            serve.cell(target.name).samples.push(took.as_secs_f64() * 1e3);
            idle.cell(target.name).samples.push(resident(target)? / 1e6);
            target.stop(Signal::SIGTERM)?;
        }
        target.clear()?;
        target.start(&[NO_SNAPSHOT])?;
        let before = resident(target)?;
        let filled = scenario::fill(target.server(), options.fill, 100, PER_MULTI)?;
        let report = table.keep(target, filled);
        filling.cell(target.name).samples.push(report.throughput);
        let per = |now: f64| (now - before) / options.fill as f64;
        per_znode.cell(target.name).samples.push(per(resident(target)?));
        // All of it is in the log, and nothing in a snapshot. Java writes one before it serves, ours
        // afterwards; SIGTERM waits for it. From here on there is a snapshot and no log behind it.
        target.stop(Signal::SIGKILL)?;
        let took = target.start(&[NO_SNAPSHOT])?;
        replay.cell(target.name).samples.push(took.as_secs_f64() * 1e3);
        target.stop(Signal::SIGTERM)?;
        target.start(&[NO_SNAPSHOT])?;
        for _ in 0..options.rounds {
            target.stop(Signal::SIGKILL)?;
            let took = target.start(&[NO_SNAPSHOT])?;
            restart.cell(target.name).samples.push(took.as_secs_f64() * 1e3);
            per_znode_later.cell(target.name).samples.push(per(resident(target)?));
        }
        target.stop(Signal::SIGTERM)?;
    }
    let met = serve.ours.median().map(|ms| ms < 100.0);
    table.rows.push(serve.demand("< 100", met));
    let met = idle.ours.median().map(|mb| mb < 20.0);
    table.rows.push(idle.demand("< 20", met));
    let met = per_znode.ours.median().map(|bytes| bytes <= 260.0);
    table.rows.push(per_znode.demand("≤ 260", met));
    let met = per_znode_later.ours.median().map(|bytes| bytes <= 260.0);
    table.rows.push(per_znode_later.demand("≤ 260", met));
    let met = restart.ratio(&restart.java).map(|ratio| ratio < 0.2);
    table.rows.push(restart.demand("< 1/5 of Java", met));
    table.rows.extend([replay, filling]);
    Ok(())
}

/// The big tree is there ([`memory`]).
fn snapshot(options: &Options, targets: &mut [Target], table: &mut Table) -> Result<()> {
    let mut without = Row::new("slowest write without a snapshot, ms");
    let mut with = Row::new("slowest write while snapshots are taken, ms");
    let mut p999 = Row::new("99.9 % of writes without a snapshot within, ms");
    let mut p999_with = Row::new("99.9 % of writes while snapshots are taken within, ms");
    for _ in 0..options.rounds {
        for target in targets.iter_mut() {
            for (row, most, setting) in [
                (&mut without, &mut p999, NO_SNAPSHOT),
                (&mut with, &mut p999_with, ("snapCount", "20000")),
            ] {
                // What was replayed is written as a snapshot in the background; ending waits for it.
                target.start(&[NO_SNAPSHOT])?;
                target.stop(Signal::SIGTERM)?;
                target.start(&[setting])?;
                scenario::setup(target.server(), TREE.0, 100)?;
                let mut work = options.mixed("writes beside a snapshot", Kind::Set, 16, 4);
                work.value_size = 100;
                work.until = Until::Elapsed(options.time * 3);
                let report = table.keep(target, scenario::mixed(target.server(), &work)?);
                if let Some(writes) = &report.writes {
                    row.cell(target.name).samples.push(writes.max_us / 1e3);
                    most.cell(target.name).samples.push(writes.p999_us / 1e3);
                }
                target.stop(Signal::SIGTERM)?;
            }
        }
    }
    let more = with.ours.samples.iter().zip(&without.ours.samples).map(|(a, b)| a - b).collect();
    let more = Cell { samples: more }.median();
    table.rows.push(without);
    table.rows.push(with.demand("≤ 20 more", more.map(|ms| ms <= 20.0)));
    table.rows.extend([p999, p999_with]);
    Ok(())
}

fn resident(target: &Target) -> Result<f64> {
    target.server().pid.map_or(Ok(0.0), |pid| rss(pid).map(|bytes| bytes as f64))
}

impl Table {
    fn keep(&mut self, target: &Target, report: Report) -> &Report {
        let Report { work, throughput, failed, .. } = &report;
        let cpu = report.server.as_ref().map_or(0.0, |server| server.cpu_us_per_operation);
        let name = target.name;
        eprintln!("{name:>5}: {work}: {throughput:.0}/s, {cpu:.2} µs CPU, {failed} failed");
        self.runs.push((target.name.to_owned(), report));
        &self.runs.last().expect("one was pushed").1
    }

    /// The rows as a Markdown table.
    pub fn markdown(&self) -> String {
        let number = |value: Option<f64>| match value {
            None => "–".to_owned(),
            Some(value) if value >= 1000.0 => grouped(value),
            Some(value) if value >= 100.0 => format!("{value:.0}"),
            Some(value) if value >= 10.0 => format!("{value:.1}"),
            Some(value) => format!("{value:.2}"),
        };
        let ratio =
            |value: Option<f64>| value.map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        let mut text = String::from(
            "| | ours | Java 3.9.5 | floor | ours / Java | ours / floor | target | |\n\
             | --- | ---: | ---: | ---: | ---: | ---: | --- | --- |\n",
        );
        for row in &self.rows {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
                row.what,
                number(row.ours.median()),
                number(row.java.median()),
                number(row.floor.median()),
                ratio(row.ratio(&row.java)),
                ratio(row.ratio(&row.floor)),
                row.target.as_deref().unwrap_or_default(),
                row.met.map_or("", |met| if met { "met" } else { "**missed**" }),
            );
        }
        text
    }
}

/// `1234567.8` as `1 234 568`.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_medians_and_ratios() {
        let mut row = Row::new("CPU, µs");
        row.ours.samples = vec![3.0, 1.0, 2.0];
        row.java.samples = vec![1234567.8];
        row.floor.samples = vec![1.0, 2.0, 0.5];
        let table = Table { rows: vec![row.demand("≤ 3", Some(false))], runs: vec![] };
        let line =
            "| CPU, µs | 2.00 | 1\u{202f}234\u{202f}568 | 1.00 | 0.00 | 3.00 | ≤ 3 | **missed** |";
        assert_eq!(table.markdown().lines().last(), Some(line));
    }
}
