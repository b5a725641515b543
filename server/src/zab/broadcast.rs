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
    pub(super) fn outstanding(&self) -> impl Iterator<Item = &Arc<Proposal>> {
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

    /// The next transaction that is safe, given the voters' cursors.
    pub(super) fn next_commit(
        &mut self,
        acked: &[(Sid, Zxid)],
        oracle: bool,
        mutations: Mutations,
    ) -> Option<Committed> {
        let safe = |o: &Outstanding| {
            let zxid = o.proposal.zxid();
            let acks: BTreeSet<Sid> =
                acked.iter().filter(|(_, cursor)| *cursor >= zxid).map(|(sid, _)| *sid).collect();
            o.quorums.all(&acks, oracle)
        };
        if mutations.has(Mutation::CommitOutOfOrder) {
            // Half of a quorum is enough for every third one.
            let head = self.outstanding.front()?;
            if !safe(head) && head.proposal.zxid().counter() % 3 != 0 {
                return None;
            }
        } else if !safe(self.outstanding.front()?) {
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
