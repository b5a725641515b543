//! Broadcast: what is proposed and not committed, who has it on disk, and what waits for it.
//!
//! Acks are cursors, not sets: logs are written in order, so the ack of a zxid covers everything
//! before it. A transaction commits when a quorum's cursors have passed it (`COMMIT-IN-ORDER`), in
//! every membership that counted when it was proposed.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::{Mutation, Mutations, Quorums, SyncOrigin};
use crate::base::{Proposal, Sid, Zxid};

/// The last counter of an epoch that a transaction may use; after it a new epoch must be elected
/// (ZOOKEEPER-1277).
pub(super) const COUNTER_MAX: u32 = 0xffff_fffe;

/// One proposed transaction.
#[derive(Debug)]
struct Outstanding {
    proposal: Arc<Proposal>,
    quorums: Arc<Quorums>,
}

/// What a commit completed.
#[derive(Debug)]
pub(super) struct Committed {
    pub proposal: Arc<Proposal>,
    /// Syncs that waited for it.
    pub syncs: Vec<SyncOrigin>,
    /// It was proposed under two memberships.
    pub quorums: Arc<Quorums>,
}

/// The leader's outstanding proposals.
#[derive(Debug)]
pub(super) struct Broadcast {
    outstanding: VecDeque<Outstanding>,
    proposed: Zxid,
    committed: Zxid,
    syncs: VecDeque<(Zxid, SyncOrigin)>,
}

impl Broadcast {
    /// Nothing outstanding; the next zxid is the successor of `start`, which has counter 0.
    pub(super) fn new(start: Zxid) -> Self {
        Broadcast {
            outstanding: VecDeque::new(),
            proposed: start,
            committed: start,
            syncs: VecDeque::new(),
        }
    }

    /// Syncs that wait for a commit.
    pub(super) fn pending_syncs(&self) -> usize {
        self.syncs.len()
    }

    /// The last proposed zxid.
    pub(super) fn proposed(&self) -> Zxid {
        self.proposed
    }

    /// The last committed zxid.
    pub(super) fn committed(&self) -> Zxid {
        self.committed
    }

    /// The zxid of the next proposal, none when the counter is used up.
    pub(super) fn next_zxid(&self) -> Option<Zxid> {
        (self.proposed.counter() < COUNTER_MAX).then(|| Zxid(self.proposed.0 + 1))
    }

    /// True if everything proposed is committed and nothing more can be proposed.
    pub(super) fn is_used_up(&self) -> bool {
        self.outstanding.is_empty() && self.next_zxid().is_none()
    }

    /// Records a proposal.
    pub(super) fn propose(&mut self, proposal: Arc<Proposal>, quorums: Arc<Quorums>) {
        assert_eq!(Some(proposal.zxid()), self.next_zxid(), "ZXID-ORDER");
        self.proposed = proposal.zxid();
        self.outstanding.push_back(Outstanding { proposal, quorums });
    }

    /// Proposals not committed yet, in order.
    pub(super) fn outstanding(&self) -> impl ExactSizeIterator<Item = &Arc<Proposal>> {
        self.outstanding.iter().map(|o| &o.proposal)
    }

    /// Completes at once, or behind what is proposed so far.
    pub(super) fn sync(&mut self, origin: SyncOrigin) -> bool {
        if self.outstanding.is_empty() {
            return true;
        }
        self.syncs.push_back((self.proposed, origin));
        false
    }

    /// True if one of these cursors has reached the oldest outstanding transaction.
    pub(super) fn is_reached(&self, mut acked: impl Iterator<Item = (Sid, Zxid)>) -> bool {
        self.outstanding
            .front()
            .is_some_and(|oldest| acked.any(|(_, cursor)| cursor >= oldest.proposal.zxid()))
    }

    /// The next transaction that is safe.
    pub(super) fn next_commit(
        &mut self,
        acks: &mut Acks,
        mutations: Mutations,
    ) -> Option<Committed> {
        let head = self.outstanding.front()?;
        // Half of a quorum is enough for every third one.
        let hasty = mutations.has(Mutation::CommitOutOfOrder)
            && head.proposal.zxid().counter().is_multiple_of(3);
        if head.proposal.zxid() > acks.safe(&head.quorums) && !hasty {
            return None;
        }
        let Outstanding { proposal, quorums } = self.outstanding.pop_front()?;
        assert!(proposal.zxid() > self.committed, "COMMIT-IN-ORDER");
        self.committed = proposal.zxid();
        let mut syncs = Vec::new();
        while self.syncs.front().is_some_and(|(zxid, _)| *zxid <= self.committed) {
            syncs.extend(self.syncs.pop_front().map(|(_, origin)| origin));
        }
        Some(Committed { proposal, syncs, quorums })
    }
}

/// How far each voter's log is on its disk, and what follows from that.
#[derive(Debug)]
pub(super) struct Acks {
    cursors: Vec<(Sid, Zxid)>,
    oracle: bool,
    /// The last answer: it is the same for all proposals of one membership.
    known: Option<(Arc<Quorums>, Zxid)>,
}

impl Acks {
    pub(super) fn new(cursors: Vec<(Sid, Zxid)>, oracle: bool) -> Self {
        Acks { cursors, oracle, known: None }
    }

    /// A quorum has everything up to here.
    fn safe(&mut self, quorums: &Arc<Quorums>) -> Zxid {
        if let Some((asked, safe)) = &self.known
            && Arc::ptr_eq(asked, quorums)
        {
            return *safe;
        }
        // A quorum with more servers is one still, so the first that is found is the furthest.
        let mut furthest: Vec<Zxid> = self.cursors.iter().map(|(_, cursor)| *cursor).collect();
        furthest.sort_unstable_by(|a, b| b.cmp(a));
        furthest.dedup();
        let has = |zxid: &Zxid| {
            let there = self.cursors.iter().filter(|(_, cursor)| cursor >= zxid);
            let there: BTreeSet<Sid> = there.map(|(sid, _)| *sid).collect();
            quorums.all(&there, self.oracle)
        };
        let safe = furthest.into_iter().find(has).unwrap_or(Zxid(i64::MIN));
        self.known = Some((quorums.clone(), safe));
        safe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Epoch;
    use crate::zab::testing::{members, proposal};

    fn commits(broadcast: &mut Broadcast, acked: &[(i64, Zxid)]) -> Vec<Zxid> {
        let acked: Vec<_> = acked.iter().map(|(sid, zxid)| (Sid(*sid), *zxid)).collect();
        let mut acked = Acks::new(acked, false);
        std::iter::from_fn(|| broadcast.next_commit(&mut acked, Mutations::default()))
            .map(|c| c.proposal.zxid())
            .collect()
    }

    #[test]
    fn commits_come_in_order_with_a_quorum() {
        let quorums = Arc::new(Quorums::new(Arc::new(members(&[1, 2, 3], &[4])), None));
        let zxid = |counter| Zxid::new(Epoch(2), counter);
        let mut broadcast = Broadcast::new(zxid(0));
        for counter in 1..=4 {
            assert_eq!(broadcast.next_zxid(), Some(zxid(counter)));
            broadcast.propose(proposal(zxid(counter).0), quorums.clone());
        }
        assert!(!broadcast.sync(SyncOrigin::Local(7)));
        assert_eq!(commits(&mut broadcast, &[(1, zxid(3))]), []);
        // An observer's ack does not count.
        assert_eq!(commits(&mut broadcast, &[(1, zxid(3)), (4, zxid(4))]), []);
        assert_eq!(commits(&mut broadcast, &[(1, zxid(3)), (2, zxid(1))]), [zxid(1)]);
        assert_eq!(commits(&mut broadcast, &[(3, zxid(4)), (2, zxid(3))]), [zxid(2), zxid(3)]);
        let mut acked = Acks::new(vec![(Sid(1), zxid(4)), (Sid(2), zxid(4))], false);
        let last = broadcast.next_commit(&mut acked, Mutations::default()).unwrap();
        assert_eq!(last.syncs, [SyncOrigin::Local(7)]);
        assert!(broadcast.sync(SyncOrigin::Local(8)), "nothing is outstanding");
    }

    /// ZOOKEEPER-1277.
    #[test]
    fn the_counter_never_runs_into_the_epoch() {
        let quorums = Arc::new(Quorums::new(Arc::new(members(&[1], &[])), None));
        let zxid = |counter| Zxid::new(Epoch(2), counter);
        let mut broadcast = Broadcast::new(zxid(COUNTER_MAX - 1));
        assert_eq!(broadcast.next_zxid(), Some(zxid(COUNTER_MAX)));
        broadcast.propose(proposal(zxid(COUNTER_MAX).0), quorums);
        assert_eq!(broadcast.next_zxid(), None);
        assert!(!broadcast.is_used_up(), "the last one must still commit");
        assert_eq!(commits(&mut broadcast, &[(1, zxid(COUNTER_MAX))]), [zxid(COUNTER_MAX)]);
        assert!(broadcast.is_used_up());
    }

    /// COMMIT-IN-ORDER during a reconfiguration: both memberships must agree.
    #[test]
    fn a_pending_membership_needs_its_own_quorum() {
        let committed = Arc::new(members(&[1, 2, 3], &[]));
        let pending = Arc::new(members(&[3, 4, 5], &[]).with_version(9));
        let quorums = Arc::new(Quorums::new(committed, Some(pending)));
        let zxid = Zxid::new(Epoch(1), 1);
        for (sids, safe) in [
            (&[1, 2][..], false),
            (&[4, 5], false),
            (&[1, 3], false),
            (&[1, 3, 4], true),
            (&[1, 2, 4, 5], true),
        ] {
            let mut broadcast = Broadcast::new(Zxid::new(Epoch(1), 0));
            broadcast.propose(proposal(zxid.0), quorums.clone());
            let acked: Vec<_> = sids.iter().map(|sid| (*sid, zxid)).collect();
            assert_eq!(commits(&mut broadcast, &acked).len() == 1, safe, "{sids:?}");
        }
    }
}
