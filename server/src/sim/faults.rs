//! What may go wrong, and how often. Odds are drawn per seed, so that some runs are stormy in one
//! way and calm in all others.

use super::disk::Disk;
use super::random::Random;
use super::world::{Next, World};

/// Odds of each fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Longest delay of a message, in microseconds.
    pub delay_us: u64,
    /// A vote is lost, in millionths.
    pub vote_loss_ppm: u64,
    /// A vote arrives again later.
    pub vote_again_ppm: u64,
    /// A node dies at an action.
    pub kill_at_action_ppm: u64,
    /// An fsync fails.
    pub fsync_fails_ppm: u64,
    /// A node takes a snapshot at an apply.
    pub snapshot_ppm: u64,
    /// Longest pause between two of the faults below, in microseconds; 0: none of them.
    pub every_us: u64,
    /// Weights of: kill, pause, reset, one-way cut, isolation, heal, full disk, rot, wipe.
    pub weights: [u64; 9],
}

impl Faults {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Faults {
            delay_us: 2_000,
            vote_loss_ppm: 0,
            vote_again_ppm: 0,
            kill_at_action_ppm: 0,
            fsync_fails_ppm: 0,
            snapshot_ppm: 0,
            every_us: 0,
            weights: [0; 9],
        }
    }

    /// The odds of a seed.
    pub fn draw(random: &mut Random) -> Self {
        let mut odds = |max: u64| if random.chance(500_000) { random.below(max + 1) } else { 0 };
        let vote_loss_ppm = odds(300_000);
        let vote_again_ppm = odds(300_000);
        let kill_at_action_ppm = odds(1_000);
        let fsync_fails_ppm = odds(2_000);
        let weights = [
            odds(10),
            odds(10),
            odds(10),
            odds(10),
            odds(10),
            odds(10) + 3,
            odds(3),
            odds(1),
            odds(2),
        ];
        Faults {
            delay_us: *random.pick(&[500, 2_000, 10_000, 100_000]),
            vote_loss_ppm,
            vote_again_ppm,
            kill_at_action_ppm,
            fsync_fails_ppm,
            snapshot_ppm: *random.pick(&[0, 10_000, 100_000]),
            every_us: *random.pick(&[300_000, 1_000_000, 4_000_000]),
            weights,
        }
    }
}

impl World {
    pub(super) fn fault_turn(&mut self) {
        if self.faults.every_us == 0 {
            return;
        }
        let pause = self.random.between(1_000, self.faults.every_us);
        self.schedule(pause, 0, 0, Next::Fault);
        let total: u64 = self.faults.weights.iter().sum();
        let mut draw = self.random.below(total.max(1));
        let weights = self.faults.weights;
        let kind = weights.iter().position(|w| {
            let hit = draw < *w;
            draw = draw.saturating_sub(*w);
            hit
        });
        let count = self.nodes.len() as u64;
        let node = self.random.below(count) as usize;
        let other = self.random.below(count) as usize;
        match kind {
            Some(0) => {
                self.kill(node);
                let delay = self.random.between(1_000, 5_000_000);
                self.schedule(delay, node, 0, Next::Start);
            }
            Some(1) => {
                let until = self.now + self.random.between(1_000, 8_000_000);
                self.note(|| format!("{} pauses", node + 1));
                self.nodes[node].paused_until = self.nodes[node].paused_until.max(until);
            }
            Some(2) => {
                let links = self.links();
                if !links.is_empty() {
                    let link = *self.random.pick(&links);
                    self.note(|| format!("link {} is reset", link.0));
                    self.reset(link);
                }
            }
            Some(3) if node != other => {
                self.note(|| format!("{} -> {} is cut", node + 1, other + 1));
                self.cut[node][other] = true;
            }
            Some(4) => {
                self.note(|| format!("{} is cut off", node + 1));
                for other in 0..self.nodes.len() {
                    self.cut[node][other] = true;
                    self.cut[other][node] = true;
                }
            }
            Some(5) => self.heal_network(),
            Some(6) => self.nodes[node].disk.full = true,
            Some(7) => self.rot(node),
            Some(8) => self.wipe(node),
            _ => {}
        }
    }

    pub(super) fn heal_network(&mut self) {
        self.note(|| "the network heals".into());
        for row in &mut self.cut {
            row.fill(false);
        }
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                self.repeat_vote(from, to);
            }
        }
    }

    /// A record rots: the node stops and will refuse to start. At most a minority of the voters.
    fn rot(&mut self, node: usize) {
        let voters = self.options.voters;
        let gone = self.nodes[..voters].iter().filter(|n| n.disk.rotten).count();
        if node < voters && (gone + 1) * 2 >= voters {
            return;
        }
        // A wiped voter that has not synced yet counts as gone, too.
        if self.nodes.iter().any(|n| n.disk.untrusted) {
            return;
        }
        self.note(|| format!("{}: the disk rots", node + 1));
        self.kill(node);
        self.nodes[node].disk.rotten = true;
    }

    /// Somebody replaces the machine. It must not vote until it synced; one at a time, and never
    /// while another voter is lost: two such losses would be the loss of a quorum.
    fn wipe(&mut self, node: usize) {
        let lost = |n: &super::world::Node| n.disk.untrusted || n.disk.rotten;
        let voters = self.options.voters;
        if self.nodes.iter().any(lost) || (node < voters && (self.wiped || voters < 3)) {
            return;
        }
        self.note(|| format!("{}: empty disk", node + 1));
        self.wiped |= node < voters;
        self.kill(node);
        self.nodes[node].disk = Disk::wiped();
        let delay = self.random.between(1_000, 2_000_000);
        self.schedule(delay, node, 0, Next::Start);
    }
}
