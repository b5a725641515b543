//! How a learner is brought up to date: one pure function
//! (`LearnerHandler.syncFollower` and `queueCommittedProposals`).
//!
//! | peer's last zxid | plan |
//! | --- | --- |
//! | our end | empty DIFF |
//! | above our end | TRUNC to our end |
//! | in the window | DIFF from memory |
//! | between two entries of its own epoch | TRUNC to the lower one, then DIFF |
//! | below the window, in the log on disk | the same two, first part read from disk |
//! | anything else | SNAP |
//!
//! A zxid with counter 0 is not a transaction: Java servers report it when they led or followed an
//! epoch that had none yet. Everything of earlier epochs stands before it.

use super::history::History;
use crate::base::{Epoch, Zxid};

/// What to send first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// DIFF, then what stands behind this zxid in the window.
    Diff(Zxid),
    /// TRUNC to this zxid, then what stands behind it in the window.
    Trunc(Zxid),
    /// DIFF, then the log behind this zxid up to the window, then the window.
    LogDiff(Zxid),
    /// TRUNC to this zxid, then log and window behind it.
    LogTrunc(Zxid),
    /// A snapshot, then what was committed behind it.
    Snapshot,
    /// Ask the disk first.
    AskLog,
}

/// What the disk said about a learner's zxid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogAnswer {
    /// Not asked yet.
    Unknown,
    /// The log does not reach back that far, or sending it costs more than a snapshot.
    Useless,
    /// The greatest logged zxid not above the peer's, and the one that follows it.
    Floor(Zxid, Zxid),
}

/// Our side of the comparison.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'a> {
    /// The window.
    pub history: &'a History,
    /// End of what is committed, or of the initial history before the epoch is established.
    pub end: Zxid,
    /// `currentEpoch` before this leadership.
    pub epoch: Epoch,
    /// `zookeeper.forceSnapshotSync`.
    pub force_snapshot: bool,
}

/// Chooses the way to bring a learner whose log ends at `peer` to our history.
pub(super) fn plan(ours: Ours<'_>, peer: Zxid, log: LogAnswer) -> Plan {
    let history = ours.history;
    let marker = peer.counter() == 0 && peer.epoch() > Epoch(0);
    if ours.force_snapshot {
        return Plan::Snapshot;
    }
    if peer == ours.end {
        return Plan::Diff(peer);
    }
    if marker && peer >= history.base() {
        // The peer has exactly the history before `peer.epoch()`. So have we, if we ever synced
        // with a leader of that epoch or of a later one.
        return if ours.epoch >= peer.epoch() { Plan::Diff(peer) } else { Plan::Snapshot };
    }
    if peer > ours.end {
        return Plan::Trunc(ours.end);
    }
    if history.contains(peer) {
        return Plan::Diff(peer);
    }
    if peer >= history.base() {
        let next = history.after(peer).next().map(|p| p.zxid());
        // Never across epochs: the peer may hold a snapshot behind the cut, which Java servers do
        // not remove (ZOOKEEPER-4837).
        return match next {
            Some(next) if next.epoch() == peer.epoch() => Plan::Trunc(history.floor(peer)),
            _ => Plan::Snapshot,
        };
    }
    match log {
        LogAnswer::Unknown => Plan::AskLog,
        LogAnswer::Useless => Plan::Snapshot,
        LogAnswer::Floor(floor, _) if floor == peer => Plan::LogDiff(peer),
        LogAnswer::Floor(floor, _) if marker && floor.epoch() < peer.epoch() => {
            Plan::LogDiff(floor)
        }
        LogAnswer::Floor(floor, next) if next.epoch() == peer.epoch() => Plan::LogTrunc(floor),
        LogAnswer::Floor(..) => Plan::Snapshot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::proposal;

    fn z(text: &str) -> Zxid {
        let (epoch, counter) = text.split_once('.').unwrap();
        Zxid::new(Epoch(epoch.parse().unwrap()), counter.parse().unwrap())
    }

    /// Our history: `2.3 | 2.4 2.5 4.1 4.2` with `end` at 4.2, synced in epoch 5.
    #[test]
    fn table() {
        let mut history = History::new(z("2.3"), vec![], 500);
        for zxid in ["2.4", "2.5", "4.1", "4.2"] {
            history.append(proposal(z(zxid).0));
        }
        let ours =
            Ours { history: &history, end: z("4.2"), epoch: Epoch(5), force_snapshot: false };
        let floor = |a, b| LogAnswer::Floor(z(a), z(b));
        let unknown = LogAnswer::Unknown;
        let cases = [
            ("4.2", unknown, Plan::Diff(z("4.2"))),
            ("2.3", unknown, Plan::Diff(z("2.3"))),
            ("2.5", unknown, Plan::Diff(z("2.5"))),
            ("4.1", unknown, Plan::Diff(z("4.1"))),
            // Ahead of us, uncommitted.
            ("4.3", unknown, Plan::Trunc(z("4.2"))),
            ("5.1", unknown, Plan::Trunc(z("4.2"))),
            // Between our transactions, another epoch behind it: no TRUNC across epochs.
            ("2.6", unknown, Plan::Snapshot),
            ("3.1", unknown, Plan::Snapshot),
            // Markers.
            ("3.0", unknown, Plan::Diff(z("3.0"))),
            ("4.0", unknown, Plan::Diff(z("4.0"))),
            ("5.0", unknown, Plan::Diff(z("5.0"))),
            ("6.0", unknown, Plan::Snapshot),
            // Below the window.
            ("2.2", unknown, Plan::AskLog),
            ("0.0", unknown, Plan::AskLog),
            ("2.2", LogAnswer::Useless, Plan::Snapshot),
            ("2.2", floor("2.2", "2.3"), Plan::LogDiff(z("2.2"))),
            ("1.7", floor("1.6", "2.1"), Plan::Snapshot),
            ("1.7", floor("1.6", "1.8"), Plan::LogTrunc(z("1.6"))),
            ("2.0", floor("1.6", "2.1"), Plan::LogDiff(z("1.6"))),
        ];
        for (peer, log, expected) in cases {
            assert_eq!(plan(ours, z(peer), log), expected, "{peer} {log:?}");
        }
        let force = Ours { force_snapshot: true, ..ours };
        assert_eq!(plan(force, z("4.2"), unknown), Plan::Snapshot);
    }

    #[test]
    fn an_empty_ensemble_sends_an_empty_diff() {
        let history = History::new(Zxid::ZERO, vec![], 500);
        let ours =
            Ours { history: &history, end: Zxid::ZERO, epoch: Epoch(0), force_snapshot: false };
        assert_eq!(plan(ours, Zxid::ZERO, LogAnswer::Unknown), Plan::Diff(Zxid::ZERO));
    }
}
