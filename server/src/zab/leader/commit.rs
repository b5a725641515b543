//! A leader that commits: what a quorum has on disk leaves for the learners and is applied
//! (`Leader.tryToCommit`).

use super::super::broadcast::{Acks, Committed};
use super::super::core::{Core, Leave};
use super::super::{Action, Membership, Mutation, Packet};
use super::{Leader, RECONFIG, answer_sync};
use crate::base::Sid;

impl Leader {
    /// Commits what the acks of the last packets made safe.
    pub(in crate::zab) fn count_acks(
        &mut self,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if std::mem::take(&mut self.acks_came) { self.try_commit(core, out) } else { Ok(()) }
    }

    pub(super) fn try_commit(
        &mut self,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        if !self.is_established() {
            return Ok(());
        }
        let acks = self.learners.values().filter(|l| l.has_acked()).map(|l| (l.sid, l.acked));
        // Our own ack (`ACK-AFTER-FSYNC`).
        let ours = if core.options.mutations.has(Mutation::AckBeforeFsync) {
            core.history.last()
        } else {
            core.history.durable()
        };
        let acks = acks.chain([(core.me(), ours)]);
        if self.broadcast.is_reached(acks.clone()) {
            let mut acks = Acks::new(acks.collect(), self.oracle(core));
            while let Some(committed) =
                self.broadcast.next_commit(&mut acks, core.options.mutations)
            {
                self.commit(committed, core, out)?;
            }
        }
        if self.broadcast.is_used_up() {
            return Err(Leave("the zxid counter of this epoch is used up"));
        }
        Ok(())
    }

    fn commit(
        &mut self,
        committed: Committed,
        core: &mut Core,
        out: &mut Vec<Action>,
    ) -> Result<(), Leave> {
        let Committed { proposal, syncs, quorums } = committed;
        let zxid = proposal.zxid();
        let reconfigured = (proposal.header.kind == RECONFIG)
            .then(|| quorums.pending().cloned())
            .flatten()
            .filter(|m| m.version() == zxid.0);
        let designated = reconfigured.as_ref().map(|m| self.designated(m, core));
        for (link, learner) in &self.learners {
            if !learner.is_forwarded(core) {
                continue;
            }
            let packet = match (learner.observer, designated) {
                (false, None) => Packet::Commit(zxid),
                (false, Some(designated)) => Packet::CommitAndActivate { zxid, designated },
                (true, None) => Packet::Inform(proposal.clone()),
                (true, Some(designated)) => {
                    Packet::InformAndActivate { designated, proposal: proposal.clone() }
                }
            };
            out.push(Action::Send(*link, packet));
        }
        core.history.apply_to(zxid, out);
        for origin in syncs {
            answer_sync(origin, out);
        }
        if let Some(membership) = reconfigured {
            core.activate(membership, out);
            if designated != Some(core.me()) {
                return Err(Leave("another server leads in the new membership"));
            }
        }
        Ok(())
    }

    /// Who leads under a new membership: we, if we vote in it at the address we have; else the
    /// voter of it that acked most (`Leader.getDesignatedLeader`).
    fn designated(&self, membership: &Membership, core: &Core) -> Sid {
        let ports = |membership: &Membership| {
            membership.member(core.me()).map(|me| {
                me.addresses.iter().map(|a| (a.host.clone(), a.quorum_port)).collect::<Vec<_>>()
            })
        };
        if membership.is_voter(core.me()) && ports(membership) == ports(core.quorums.committed()) {
            return core.me();
        }
        self.learners
            .values()
            .filter(|l| l.has_acked() && membership.is_voter(l.sid))
            .max_by_key(|l| (l.acked, l.sid))
            .map_or(core.me(), |l| l.sid)
    }
}
