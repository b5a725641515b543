//! Discovery: a quorum agrees on an epoch that none of it has accepted before, and tells the leader
//! whether it knows more (`Leader.getEpochToPropose`, `Leader.waitForEpochAck`).

use std::collections::BTreeSet;

use super::{Mutation, Mutations, Quorums};
use crate::base::{Epoch, Sid, Zxid};

/// The greatest epoch a zxid can carry.
pub(super) const EPOCH_MAX: Epoch = Epoch(i32::MAX as i64);

/// The leader's side of discovery.
#[derive(Debug)]
pub(super) struct Discovery {
    me: Sid,
    /// One above every `acceptedEpoch` seen.
    candidate: Epoch,
    /// Voters that told their `acceptedEpoch`, we among them.
    supporters: BTreeSet<Sid>,
    /// Voters that accepted the epoch.
    ackers: BTreeSet<Sid>,
    /// Our own `currentEpoch` and end of log.
    ours: (Epoch, Zxid),
    mutations: Mutations,
}

impl Discovery {
    pub(super) fn new(me: Sid, accepted: Epoch, ours: (Epoch, Zxid), mutations: Mutations) -> Self {
        Discovery {
            me,
            candidate: Epoch(accepted.0 + 1),
            supporters: BTreeSet::from([me]),
            ackers: BTreeSet::new(),
            ours,
            mutations,
        }
    }

    /// Our `currentEpoch` and end of log.
    pub(super) fn ours(&self) -> (Epoch, Zxid) {
        self.ours
    }

    /// Any learner raises the epoch; only voters of the committed membership that come as followers
    /// support it (ZOOKEEPER-2959; an emptied voter comes as an observer, as its promises are lost).
    /// `Some` once a quorum, we among it, was heard.
    pub(super) fn learner(
        &mut self,
        (sid, counts): (Sid, bool),
        accepted: Epoch,
        quorums: &Quorums,
        oracle: bool,
    ) -> Option<Epoch> {
        self.candidate = self.candidate.max(Epoch(accepted.0 + 1));
        if (counts && quorums.committed().is_voter(sid))
            || self.mutations.has(Mutation::ObserversCount)
        {
            self.supporters.insert(sid);
        }
        self.epoch(quorums, oracle)
    }

    /// The epoch, once a quorum supports it, or the oracle in place of the other one of two.
    pub(super) fn epoch(&self, quorums: &Quorums, oracle: bool) -> Option<Epoch> {
        debug_assert!(self.supporters.contains(&self.me));
        self.is_quorum(&self.supporters, quorums, oracle).then_some(self.candidate)
    }

    /// A learner accepted the epoch. `Err` if its history is newer than ours, which makes us the
    /// wrong leader for it (`StateSummary.isMoreRecentThan`).
    pub(super) fn ack(
        &mut self,
        (sid, counts): (Sid, bool),
        current: Epoch,
        last: Zxid,
        quorums: &Quorums,
    ) -> Result<(), &'static str> {
        if (current, last) > self.ours {
            return Err("the learner's history is newer than the leader's");
        }
        if (counts && quorums.committed().is_voter(sid))
            || self.mutations.has(Mutation::ObserversCount)
        {
            self.ackers.insert(sid);
        }
        Ok(())
    }

    /// True if a quorum, we among it, accepted the epoch.
    pub(super) fn accepted(&self, quorums: &Quorums, oracle: bool) -> bool {
        self.ackers.contains(&self.me) && self.is_quorum(&self.ackers, quorums, oracle)
    }

    /// A learner that left no longer supports us.
    pub(super) fn forget(&mut self, sid: Sid) {
        if sid != self.me {
            self.supporters.remove(&sid);
            self.ackers.remove(&sid);
        }
    }

    fn is_quorum(&self, sids: &BTreeSet<Sid>, quorums: &Quorums, oracle: bool) -> bool {
        if self.mutations.has(Mutation::ObserversCount) {
            return sids.len() > quorums.committed().voters().len() / 2;
        }
        quorums.all(sids, oracle)
    }
}
