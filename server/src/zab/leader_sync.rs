//! How the leader brings one learner up to date (`LearnerHandler.syncFollower`, `Leader`'s
//! `startForwarding`, `LearnerSyncThrottler`).
//!
//! Choosing the plan is in [`super::sync`]; here it becomes packets. History, what is in flight,
//! NEWLEADER and the start of forwarding are one call, so that nothing can fall between
//! (ZOOKEEPER-962).

use std::sync::Arc;

use super::core::Core;
use super::leader::{Leader, Phase, Stage};
use super::sync::{LogAnswer, Ours, Plan, plan};
use super::{Action, Link, Mutation, Packet, SyncKind};
use crate::base::{Epoch, Mono, Zxid};

impl Leader {
    /// Sends history, what is in flight, and NEWLEADER, and starts to forward. Or asks the disk
    /// first, or refuses an observer because too many learners are being synced already.
    pub(super) fn start_sync(
        &mut self,
        now: Mono,
        link: Link,
        peer: Zxid,
        answer: LogAnswer,
        core: &Core,
        out: &mut Vec<Action>,
    ) {
        let history = &core.history;
        // A zxid with counter 0 in `committed` is no transaction: our end is that of the log then.
        let end = if self.broadcast.committed().counter() == 0 {
            self.initial
        } else {
            self.broadcast.committed()
        };
        let epoch = if self.phase == Phase::Established { self.epoch } else { Epoch(0) };
        let ours = Ours {
            history,
            end,
            epoch: self.discovery.ours().0.max(epoch),
            force_snapshot: core.options.force_snapshot,
        };
        let mut plan = plan(ours, peer, answer);
        if core.options.mutations.has(Mutation::DiffWithoutTrunc)
            && let Plan::Trunc(to) = plan
        {
            plan = Plan::Diff(to);
        }
        let (kind, first) = match plan {
            Plan::AskLog => {
                if let Some(learner) = self.learners.get_mut(&link) {
                    learner.stage = Stage::AskingLog(peer);
                    out.push(Action::FindInLog { link, peer });
                }
                return;
            }
            Plan::Diff(_) => (SyncKind::Diff, end.max(peer)),
            Plan::Trunc(to) => (SyncKind::Trunc, to),
            Plan::LogDiff(_) => (SyncKind::LogDiff, end),
            Plan::LogTrunc(to) => (SyncKind::LogTrunc, to),
            Plan::Snapshot => (SyncKind::Snap, history.applied()),
        };
        if self.is_throttled(link, kind, core) {
            self.refuse(link, "too many learners are being synchronised, let it try again", out);
            return;
        }
        let Some(learner) = self.learners.get_mut(&link) else { return };
        out.push(Action::Syncing { link, sid: learner.sid, kind, peer, zxid: first });
        let mut send = |packet| out.push(Action::Send(link, packet));
        let after = match plan {
            Plan::Diff(after) => {
                send(Packet::Diff(first));
                after
            }
            Plan::Trunc(to) => {
                send(Packet::Trunc(first));
                to
            }
            Plan::LogDiff(after) | Plan::LogTrunc(after) => {
                send(match kind {
                    SyncKind::LogDiff => Packet::Diff(first),
                    _ => Packet::Trunc(first),
                });
                out.push(Action::StreamLog { link, after, upto: history.base() });
                history.base()
            }
            Plan::Snapshot | Plan::AskLog => {
                out.push(Action::SendSnapshot { link, zxid: first });
                first
            }
        };
        let config = Some(Arc::from(core.quorums.newest().render()));
        let new_leader = Action::Send(link, Packet::NewLeader { epoch: self.epoch, config });
        let mutations = core.options.mutations;
        if mutations.has(Mutation::NewLeaderFirst) {
            out.push(new_leader.clone());
        }
        for proposal in history.after(after) {
            let zxid = proposal.zxid();
            if zxid <= end {
                out.push(Action::Send(link, Packet::Proposal(proposal.clone())));
                out.push(Action::Send(link, Packet::Commit(zxid)));
            } else if (!learner.observer || mutations.has(Mutation::OutstandingToObservers))
                && !mutations.has(Mutation::ForwardLate)
            {
                out.push(Action::Send(link, Packet::Proposal(proposal.clone())));
            }
        }
        if !mutations.has(Mutation::NewLeaderFirst) {
            out.push(new_leader);
        }
        learner.stage = Stage::Syncing;
        learner.syncing = Some(kind);
        learner.patience.heard(now);
    }

    /// Would this sync be one too many? Participants count, but are never refused: the quorum
    /// waits for them.
    fn is_throttled(&self, link: Link, kind: SyncKind, core: &Core) -> bool {
        let snap = kind == SyncKind::Snap;
        let under_way = self
            .learners
            .values()
            .filter(|l| l.syncing.is_some_and(|k| (k == SyncKind::Snap) == snap))
            .count();
        let max = if snap { core.options.snap_syncs_max } else { core.options.diff_syncs_max };
        self.learners.get(&link).is_some_and(|l| l.observer) && under_way >= max
    }
}
