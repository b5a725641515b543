//! A disk in memory: snapshots, one log, two epoch files. What was not synced may be lost or torn
//! by a crash; records can rot at rest; space can run out. It keeps the contract of `zab::Action`,
//! nothing more.

use std::sync::Arc;

use super::random::Random;
use crate::base::{Epoch, Proposal, Zxid};

/// The state machine of a node: enough of a tree to tell two histories apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Last transaction applied.
    pub zxid: Zxid,
    /// Digest of everything applied.
    pub hash: u64,
}

impl State {
    /// Before every transaction.
    pub const EMPTY: State = State { zxid: Zxid::ZERO, hash: 0 };

    /// The state after one more transaction.
    pub fn apply(self, proposal: &Proposal) -> State {
        let mut hash = self.hash ^ 0xcbf2_9ce4_8422_2325;
        for byte in proposal.payload.iter() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        State { zxid: proposal.zxid(), hash }
    }
}

/// What a start finds.
#[derive(Debug, Clone)]
pub struct Found {
    /// Snapshot the restore began with.
    pub base: State,
    /// Transactions behind it.
    pub replayed: Vec<Arc<Proposal>>,
}

/// One node's disk.
#[derive(Debug, Clone)]
pub struct Disk {
    /// Ascending; never empty.
    snapshots: Vec<State>,
    /// Where the log starts: it holds everything behind this zxid.
    log_start: Zxid,
    log: Vec<Arc<Proposal>>,
    /// Entries of `log` that survive a crash.
    synced: usize,
    /// `acceptedEpoch`.
    pub accepted: Epoch,
    /// `currentEpoch`.
    pub current: Epoch,
    /// Appends fail.
    pub full: bool,
    /// A record or snapshot no longer matches its checksum: the node must not start.
    pub rotten: bool,
    /// Somebody emptied it, and no leader's whole history has been on it since: must not vote. The
    /// marker file of the real thing.
    pub untrusted: bool,
}

impl Disk {
    /// A new, trusted data directory that begins at `state`.
    pub fn new(state: State, epoch: Epoch) -> Self {
        Disk {
            snapshots: vec![state],
            log_start: state.zxid,
            log: Vec::new(),
            synced: 0,
            accepted: epoch,
            current: epoch,
            full: false,
            rotten: false,
            untrusted: false,
        }
    }

    /// A directory somebody emptied.
    pub fn wiped() -> Self {
        Disk { untrusted: true, ..Disk::new(State::EMPTY, Epoch(0)) }
    }

    /// Both epoch files, and whether an emptied disk holds a leader's whole history by now.
    pub fn save_epochs(&mut self, (accepted, current, synced): (Epoch, Epoch, bool)) {
        self.accepted = accepted;
        self.current = current;
        self.untrusted &= !synced;
    }

    /// Writes without syncing.
    pub fn append(&mut self, proposal: Arc<Proposal>) {
        self.log.push(proposal);
    }

    /// Entries written so far, to hand to [`Disk::synced_to`] when the sync that starts now ends.
    pub fn written(&self) -> usize {
        self.log.len()
    }

    /// True if a crash now could lose something.
    pub fn has_unsynced(&self) -> bool {
        self.synced < self.log.len()
    }

    /// A sync ended. Returns the end of what is durable.
    pub fn synced_to(&mut self, written: usize) -> Zxid {
        self.synced = self.synced.max(written.min(self.log.len()));
        self.durable()
    }

    /// End of what survives a crash.
    pub fn durable(&self) -> Zxid {
        match self.synced {
            0 => self.newest().zxid,
            n => self.log[n - 1].zxid().max(self.newest().zxid),
        }
    }

    /// True if this transaction would survive a crash.
    pub fn holds(&self, zxid: Zxid) -> bool {
        self.log[..self.synced].binary_search_by(|p| p.zxid().cmp(&zxid)).is_ok()
    }

    /// Power fails: of what was not synced, some first part is there.
    pub fn crash(&mut self, random: &mut Random) {
        let keep = random.between(self.synced as u64, self.log.len() as u64) as usize;
        self.log.truncate(keep);
        self.synced = keep;
    }

    /// Reads everything back.
    pub fn restore(&self) -> Found {
        let base = self.newest();
        let replayed = self.log.iter().filter(|p| p.zxid() > base.zxid).cloned().collect();
        Found { base, replayed }
    }

    /// Takes a snapshot of the tree, which the log must cover.
    pub fn snapshot(&mut self, state: State) {
        if state.zxid > self.newest().zxid && state.zxid <= self.durable() {
            self.snapshots.push(state);
            if self.snapshots.len() > 4 {
                self.snapshots.remove(0);
            }
        }
    }

    /// Removes everything behind `zxid`. Returns the new end and the state there.
    pub fn truncate(&mut self, zxid: Zxid) -> Option<State> {
        let keep = self.snapshots.iter().filter(|s| s.zxid <= zxid).count();
        if keep == 0 {
            return None;
        }
        self.snapshots.truncate(keep);
        self.log.retain(|p| p.zxid() <= zxid);
        self.synced = self.log.len();
        let found = self.restore();
        Some(found.replayed.iter().fold(found.base, |state, p| state.apply(p)))
    }

    /// Replaces everything by a received snapshot. `keep_log` puts ZOOKEEPER-2846 back.
    pub fn install(&mut self, state: State, keep_log: bool) {
        self.snapshots = vec![state];
        if !keep_log {
            self.log.clear();
            self.log_start = state.zxid;
        }
        self.synced = self.log.len();
    }

    /// The greatest logged zxid not above `peer`, and the next one.
    pub fn floor(&self, peer: Zxid) -> Option<(Zxid, Zxid)> {
        if peer < self.log_start || self.log_start == Zxid::ZERO && peer == Zxid::ZERO {
            return None;
        }
        let at = self.log.partition_point(|p| p.zxid() <= peer);
        let next = self.log.get(at)?.zxid();
        let floor = match at {
            0 => self.log_start,
            at => self.log[at - 1].zxid(),
        };
        Some((floor, next))
    }

    /// Logged transactions `after < zxid <= upto`.
    pub fn range(&self, after: Zxid, upto: Zxid) -> Vec<Arc<Proposal>> {
        self.log.iter().filter(|p| p.zxid() > after && p.zxid() <= upto).cloned().collect()
    }

    fn newest(&self) -> State {
        *self.snapshots.last().expect("there is always a snapshot")
    }
}
