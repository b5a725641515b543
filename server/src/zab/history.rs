//! The end of our log, in memory: the transactions a learner may need, and how far each is.
//!
//! ```text
//!   (older: log and snapshots on disk only)
//!   base ─┬─────────────────────────────────────────┬─ last
//!         │ window: one entry per zxid, no gap      │
//!         ├──────────── applied ────────────────────┤   committed, handed to the tree
//!         ├──────────────────── durable ────────────┤   on disk
//! ```
//!
//! Invariants ([`History::check`]): `base ≤ applied ≤ last`, `base ≤ durable ≤ last`, each entry
//! follows the one before it (`ZXID-ORDER`). `applied` may be ahead of `durable`: a quorum of
//! others made the transaction safe. Entries leave at the front only when applied and durable.
//!
//! Java keeps three lists for this (`committedLog`, `outstandingProposals`, `packetsNotLogged`);
//! holes between them were behind ZOOKEEPER-962, 4394 and 4925.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Action;
use crate::base::{Proposal, Zxid};

/// The window and its cursors.
#[derive(Debug, Clone)]
pub(super) struct History {
    base: Zxid,
    window: VecDeque<Arc<Proposal>>,
    applied: Zxid,
    durable: Zxid,
    limit: usize,
}

/// True if `next` may stand directly behind `prev`: the next counter, or the first of a later
/// epoch.
pub(super) fn follows(prev: Zxid, next: Zxid) -> bool {
    prev.next() == Some(next) || (next.epoch() > prev.epoch() && next.counter() == 1)
}

impl History {
    /// Everything up to `last` is durable and in the tree. Keeps the longest gapless run of
    /// `recent` that ends at `last`.
    pub(super) fn new(last: Zxid, recent: Vec<Arc<Proposal>>, limit: usize) -> Self {
        let mut window: VecDeque<Arc<Proposal>> = VecDeque::new();
        let mut base = last;
        for proposal in recent.into_iter().rev() {
            let zxid = proposal.zxid();
            let fits = match window.front() {
                None => zxid == last,
                Some(front) => follows(zxid, front.zxid()),
            };
            if !fits {
                break;
            }
            window.push_front(proposal);
        }
        if let Some(front) = window.front() {
            // What stands before the first entry is known only if it has a predecessor by counter.
            let first = front.zxid();
            if first.counter() > 1 {
                base = Zxid(first.0 - 1);
            } else {
                base = first;
                window.pop_front();
            }
        }
        let mut history = History { base, window, applied: last, durable: last, limit };
        history.evict();
        history
    }

    /// End of the log.
    pub(super) fn last(&self) -> Zxid {
        self.window.back().map_or(self.base, |p| p.zxid())
    }

    /// The zxid before the window.
    pub(super) fn base(&self) -> Zxid {
        self.base
    }

    /// Handed to the tree up to here.
    pub(super) fn applied(&self) -> Zxid {
        self.applied
    }

    /// On disk up to here.
    pub(super) fn durable(&self) -> Zxid {
        self.durable
    }

    /// Number of entries in the window.
    pub(super) fn len(&self) -> usize {
        self.window.len()
    }

    /// True if a state of our log ended exactly at `zxid`, as far as the window tells.
    pub(super) fn contains(&self, zxid: Zxid) -> bool {
        zxid == self.base || self.position(zxid).is_ok()
    }

    /// The entries behind `zxid`, in order.
    pub(super) fn after(&self, zxid: Zxid) -> impl Iterator<Item = &Arc<Proposal>> {
        let start = match self.position(zxid) {
            Ok(at) => at + 1,
            Err(at) => at,
        };
        self.window.range(start..)
    }

    /// The greatest zxid in the window, or its base, that is not above `zxid`.
    pub(super) fn floor(&self, zxid: Zxid) -> Zxid {
        match self.position(zxid) {
            Ok(_) => zxid,
            Err(0) => self.base,
            Err(at) => self.window[at - 1].zxid(),
        }
    }

    /// Adds the next transaction.
    pub(super) fn append(&mut self, proposal: Arc<Proposal>) {
        assert!(follows(self.last(), proposal.zxid()), "ZXID-ORDER");
        self.window.push_back(proposal);
    }

    /// Everything up to `zxid` is on disk.
    pub(super) fn set_durable(&mut self, zxid: Zxid) {
        self.durable = self.durable.max(zxid.min(self.last()));
    }

    /// Emits what is not applied yet, up to `zxid`.
    pub(super) fn apply_to(&mut self, zxid: Zxid, out: &mut Vec<Action>) {
        if zxid <= self.applied {
            return;
        }
        let from = self.applied;
        let mut applied = self.applied;
        for proposal in self.after(from) {
            if proposal.zxid() > zxid {
                break;
            }
            applied = proposal.zxid();
            out.push(Action::Apply(proposal.clone()));
        }
        self.applied = applied;
    }

    /// The log now ends at `zxid`.
    pub(super) fn truncate(&mut self, zxid: Zxid) {
        while self.window.back().is_some_and(|p| p.zxid() > zxid) {
            self.window.pop_back();
        }
        if self.window.is_empty() {
            self.base = self.base.min(zxid);
        }
        let last = self.last();
        self.applied = self.applied.min(last);
        self.durable = self.durable.min(last);
    }

    /// Log and tree now start at a snapshot of this zxid.
    pub(super) fn reset(&mut self, zxid: Zxid) {
        self.window.clear();
        self.base = zxid;
        self.applied = zxid;
        self.durable = zxid;
    }

    /// Drops the oldest entries above the limit that are applied and durable.
    pub(super) fn evict(&mut self) {
        let safe = self.applied.min(self.durable);
        while self.window.len() > self.limit {
            match self.window.front() {
                Some(front) if front.zxid() <= safe => self.base = front.zxid(),
                _ => break,
            }
            self.window.pop_front();
        }
    }

    /// Puts ZOOKEEPER-4925 back: entries disappear from the middle of the window.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn forget(&mut self, after: Zxid, upto: Zxid) {
        let last = self.last();
        self.window.retain(|p| p.zxid() <= after || p.zxid() > upto || p.zxid() == last);
    }

    /// Asserts the invariants of the module page.
    pub(super) fn check(&self) {
        let last = self.last();
        assert!(self.base <= self.applied && self.applied <= last, "{self:?}");
        assert!(self.base <= self.durable && self.durable <= last, "{self:?}");
    }

    fn position(&self, zxid: Zxid) -> Result<usize, usize> {
        // Dense within an epoch: guess first, search only across epochs.
        if let Some(front) = self.window.front() {
            let guess = zxid.0.wrapping_sub(front.zxid().0);
            if let Ok(at) = usize::try_from(guess)
                && self.window.get(at).is_some_and(|p| p.zxid() == zxid)
            {
                return Ok(at);
            }
        }
        self.window.binary_search_by(|p| p.zxid().cmp(&zxid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::proposal;

    fn history(base: i64, zxids: &[i64]) -> History {
        let mut history = History::new(Zxid(base), vec![], 3);
        for zxid in zxids {
            history.append(proposal(*zxid));
        }
        history
    }

    #[test]
    fn successors() {
        let e = 1 << 32;
        for (prev, next, expected) in [
            (0, 1, true),
            (-1, 1, true),
            (0, 2, false),
            (0, e + 1, true),
            (0, e, false),
            (e, e + 1, true),
            (5, 2 * e + 1, true),
            (5, e + 2, false),
            (e + 5, 6, false),
            (0xffff_ffff, e, false),
            (0xffff_fffe, e + 1, true),
        ] {
            assert_eq!(follows(Zxid(prev), Zxid(next)), expected, "{prev:x} {next:x}");
        }
    }

    #[test]
    fn restored_window_is_the_gapless_tail() {
        let e = 1 << 32;
        let cases: [(i64, &[i64], i64, usize); 5] = [
            (7, &[], 7, 0),
            (7, &[5, 6, 7], 4, 3),
            (7, &[3, 4, 6, 7], 5, 2),
            (7, &[5, 6], 7, 0),
            (e + 2, &[5, 6, e + 1, e + 2], 4, 4),
        ];
        for (last, recent, base, len) in cases {
            let recent = recent.iter().map(|z| proposal(*z)).collect();
            let history = History::new(Zxid(last), recent, 10);
            assert_eq!((history.base().0, history.len()), (base, len));
            assert_eq!(history.last(), Zxid(last));
            history.check();
        }
    }

    #[test]
    fn cursors_move_and_entries_leave_only_when_safe() {
        let mut history = history(10, &[11, 12, 13, 14, 15]);
        history.evict();
        assert_eq!(history.base(), Zxid(10), "nothing is applied");
        let mut out = Vec::new();
        history.apply_to(Zxid(14), &mut out);
        assert_eq!(out.len(), 4);
        history.evict();
        assert_eq!(history.base(), Zxid(10), "nothing is durable");
        history.set_durable(Zxid(11));
        history.evict();
        assert_eq!((history.base(), history.len()), (Zxid(11), 4));
        history.set_durable(Zxid(99));
        assert_eq!(history.durable(), Zxid(15));
        history.truncate(Zxid(13));
        assert_eq!((history.last(), history.applied()), (Zxid(13), Zxid(13)));
        history.truncate(Zxid(4));
        assert_eq!(
            (history.last(), history.base(), history.durable()),
            (Zxid(4), Zxid(4), Zxid(4))
        );
        history.check();
    }

    #[test]
    fn look_ups_cross_epochs() {
        let e = 1 << 32;
        let history = history(10, &[11, 12, e + 1, e + 2]);
        assert!(history.contains(Zxid(10)) && history.contains(Zxid(12)));
        assert!(!history.contains(Zxid(13)) && history.contains(Zxid(e + 2)));
        assert_eq!(history.floor(Zxid(e)), Zxid(12));
        assert_eq!(history.floor(Zxid(3)), Zxid(10));
        let after: Vec<_> = history.after(Zxid(13)).map(|p| p.zxid().0).collect();
        assert_eq!(after, [e + 1, e + 2]);
    }
}
