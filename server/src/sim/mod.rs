//! The simulator: an ensemble of zab cores on one thread, in a world that loses, delays and repeats
//! messages, cuts links one way or both, pauses and kills nodes at any action, bends clocks, and
//! forgets, tears or rots what is on disk. Everything follows from one seed.
//!
//! A run has two phases. First faults, and only safety is judged. Then the world heals, and the
//! ensemble must elect, catch up and answer within a bounded time. The judges (`check`) see wire
//! traffic, applied transactions and what clients are answered only.
//!
//! Start at [`run`]; `world` is the machine, `disk` and `faults` what can break, `clients` who
//! asks.

mod check;
#[cfg(feature = "sim")]
pub mod cli;
mod clients;
mod disk;
mod faults;
mod network;
mod random;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod script;
mod world;

pub use check::Violation;
pub use faults::Faults;
pub use random::Random;
pub use world::World;

use crate::zab::Mutations;

/// Everything a run depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimOptions {
    /// The seed.
    pub seed: u64,
    /// Participants, 1 to 7.
    pub voters: usize,
    /// Observers.
    pub observers: usize,
    /// Clients.
    pub clients: usize,
    /// Longest pause of a client, in microseconds.
    pub think_us: u64,
    /// `tickTime`.
    pub tick_ms: u64,
    /// Transactions kept in memory for DIFF.
    pub window: usize,
    /// Observers that may be sent snapshots at once.
    pub snap_syncs: usize,
    /// `observerMasterPort`: followers serve the observers, not the leader.
    pub observer_masters: bool,
    /// Packets on their way arrive with the one ahead of them, as out of a socket that was not read
    /// for a while.
    pub packets_together: bool,
    /// Lines `group.N` and `weight.N` of the membership; empty for majorities.
    pub counting: String,
    /// Length of the first phase, in ms.
    pub storm_ms: u64,
    /// What goes wrong in it.
    pub faults: Faults,
    /// Bugs put back into the core.
    pub mutations: Mutations,
    /// Keep a trace.
    pub trace: bool,
    /// For scripts: fixed delays, nothing by chance, nobody starts by itself.
    pub steady: bool,
}

impl SimOptions {
    /// Options drawn from the seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x726f_6f6b);
        let voters = *random.pick(&[1, 2, 3, 3, 3, 3, 4, 5, 5, 7]);
        let observers = random.below((8 - voters as u64).min(3)) as usize;
        SimOptions {
            seed,
            voters,
            observers,
            clients: random.between(1, 4) as usize,
            think_us: *random.pick(&[20_000, 100_000, 500_000]),
            tick_ms: *random.pick(&[200, 500, 2_000]),
            window: *random.pick(&[3, 20, 500]),
            storm_ms: 60_000,
            faults: Faults::draw(&mut random),
            snap_syncs: *random.pick(&[1, 10]),
            // From a stream of its own: whoever came later changes nothing for the others.
            observer_masters: voters > 1 && Random::new(seed ^ 0x6d61_7374).chance(600_000),
            packets_together: Random::new(seed ^ 0x6261_7463).chance(500_000),
            counting: String::new(),
            mutations: Mutations::default(),
            trace: false,
            steady: false,
        }
    }
}

/// What came out of a run.
#[derive(Debug)]
pub struct Report {
    /// Its options, seed included.
    pub options: SimOptions,
    /// Events that happened.
    pub steps: u64,
    /// Simulated time.
    pub simulated_ms: u64,
    /// Writes acknowledged to clients.
    pub acknowledged: u64,
    /// The promise that was broken.
    pub violation: Option<Violation>,
    /// The last lines before it, if the options asked for a trace.
    pub trace: Vec<String>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "{:?}", self.options)?;
        write!(
            f,
            "seed {}: {} steps, {} simulated ms, {} writes acknowledged: {}",
            self.options.seed,
            self.steps,
            self.simulated_ms,
            self.acknowledged,
            self.violation.as_ref().map_or("ok", |v| v.0.as_str())
        )
    }
}

/// One run.
pub fn run(options: SimOptions) -> Report {
    let mut world = World::new(options.clone());
    world.run(options.storm_ms * 1000);
    if world.violation.is_none() {
        world.heal();
    }
    Report {
        steps: world.steps,
        simulated_ms: world.now / 1000,
        acknowledged: world.checker.acked_count,
        violation: world.violation.clone(),
        trace: world.trace().map(str::to_owned).collect(),
        options,
    }
}

/// Runs a seed; if it fails, runs it again with ever fewer faults as long as it still fails, and
/// reports the smallest with a trace.
pub fn run_seed(seed: u64, mutations: Mutations) -> Result<Report, Box<Report>> {
    let options = SimOptions { mutations, ..SimOptions::draw(seed) };
    let report = run(options.clone());
    if report.violation.is_none() {
        return Ok(report);
    }
    let mut smallest = options;
    let fails = |options: &SimOptions| run(options.clone()).violation.is_some();
    for which in 0..9 {
        let mut fewer = smallest.clone();
        fewer.faults.weights[which] = 0;
        if fewer != smallest && fails(&fewer) {
            smallest = fewer;
        }
    }
    let calm: [fn(&mut SimOptions); 7] = [
        |o| o.packets_together = false,
        |o| o.observer_masters = false,
        |o| o.faults.kill_at_action_ppm = 0,
        |o| o.faults.fsync_fails_ppm = 0,
        |o| o.faults.vote_again_ppm = 0,
        |o| o.faults.vote_loss_ppm = 0,
        |o| o.clients = 1,
    ];
    for change in calm {
        let mut fewer = smallest.clone();
        change(&mut fewer);
        if fewer != smallest && fails(&fewer) {
            smallest = fewer;
        }
    }
    Err(Box::new(run(SimOptions { trace: true, ..smallest })))
}

impl World {
    /// Second phase: everything that can be repaired is, and the ensemble must come together.
    fn heal(&mut self) {
        self.faults = Faults { delay_us: 2_000, ..Faults::none() };
        for index in 0..self.nodes.len() {
            self.nodes[index].disk.full = false;
        }
        self.heal_network();
        // Pauses end by themselves.
        let paused = self.nodes.iter().map(|n| n.paused_until).max().unwrap_or(0);
        self.run(paused);
        for index in 0..self.nodes.len() {
            self.start(index);
        }
        self.healed_at = Some(self.now);
        let limit_ms = 20_000 + 60 * self.options.tick_ms;
        let deadline = self.now + limit_ms * 1000;
        let target = self.checker.acked_count + 5;
        while self.violation.is_none() && !self.is_whole(target) {
            if self.now > deadline {
                let state = self.summary();
                let text = format!("PROGRESS: not whole {limit_ms} ms after healing: {state}");
                return self.fail(Err(Violation(text)));
            }
            self.run(self.now + 200_000);
        }
        self.stopped = true;
        self.run(self.now + 2_000_000 + self.options.tick_ms * 1000);
        if self.violation.is_some() {
            return;
        }
        let last = self.checker.last();
        if last.zxid < self.checker.acked() {
            return self.fail(Err(Violation("an acknowledged write is lost".into())));
        }
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if !node.disk.rotten && (node.tree != last || node.serving.is_none()) {
                let text = format!(
                    "CONVERGENCE: node {} is at {} and not at {}: {}",
                    node.sid,
                    node.tree.zxid,
                    last.zxid,
                    self.summary()
                );
                return self.fail(Err(Violation(text)));
            }
        }
    }

    fn is_whole(&self, target: u64) -> bool {
        self.checker.acked_count >= target
            && self.nodes.iter().all(|n| n.disk.rotten || n.serving.is_some())
    }

    fn summary(&self) -> String {
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .map(|n| match &n.peer {
                Some(peer) => format!("{}:{:?}@{}", n.sid, peer.state(), n.tree.zxid),
                None => format!("{}:down", n.sid),
            })
            .collect();
        nodes.join(" ")
    }

    fn writes_stopped(&self) -> bool {
        self.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SIM_SEEDS=N` runs more, `SIM_FROM=N` starts elsewhere, for a longer run of the same test.
    fn number(name: &str, default: u64) -> u64 {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    #[test]
    fn seeds_keep_every_promise() {
        let from = number("SIM_FROM", 1);
        let mut acknowledged = 0;
        for seed in from..from + number("SIM_SEEDS", 200) {
            match std::panic::catch_unwind(|| run_seed(seed, Mutations::default())) {
                Ok(Ok(report)) => acknowledged += report.acknowledged,
                Ok(Err(report)) => panic!("{report}"),
                Err(_) => panic!("seed {seed} panicked: {:?}", SimOptions::draw(seed)),
            }
        }
        assert!(acknowledged > 0);
    }

    #[test]
    fn a_seed_replays_exactly() {
        for seed in [3, 14, 15] {
            let options = SimOptions { trace: true, ..SimOptions::draw(seed) };
            let (first, second) = (run(options.clone()), run(options));
            assert_eq!(first.steps, second.steps);
            assert_eq!(first.trace, second.trace);
        }
    }
}
