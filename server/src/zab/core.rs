//! What outlives a role: log window, epochs, memberships, and the disk work under way.

use std::collections::VecDeque;
use std::sync::Arc;

use super::history::History;
use super::{Action, Membership, Options, Quorums, Vote};
use crate::base::{Epoch, Sid, Zxid};

/// Why a role ends. Always leads back to LOOKING.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leave(pub &'static str);

/// State shared by the roles of one server.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) history: History,
    /// As on disk.
    pub(super) accepted: Epoch,
    pub(super) current: Epoch,
    /// Epochs on their way to the disk, oldest first, and whether a whole history is there then.
    saves: VecDeque<(Epoch, Epoch, bool)>,
    /// A truncation is under way.
    pub(super) truncating: bool,
    /// A snapshot of this zxid is being installed.
    pub(super) installing: Option<Zxid>,
    pub(super) quorums: Arc<Quorums>,
    last_seen: Option<Arc<Membership>>,
    /// The vote others hear while we do not look.
    pub(super) vote: Vote,
    pub(super) oracle: Option<bool>,
    /// The disk was empty and nobody vouched for that: no vote until a leader's whole history is
    /// on it.
    pub(super) untrusted: bool,
    /// The leader of this epoch asked for a TRUNC we could not do, after it had seen where our log
    /// ends: it may be asked for a snapshot instead.
    pub(super) snapshot_wanted_in: Option<Epoch>,
    /// This leader's epoch is below what we promised to one that never came to lead: no vote of ours
    /// may count for it, so the next time we come as a bystander.
    pub(super) outrun: Option<Sid>,
    /// Whose turn it is to serve us as observer.
    master_turn: usize,
}

impl Core {
    pub(super) fn new(
        options: Options,
        history: History,
        (accepted, current): (Epoch, Epoch),
        committed: Arc<Membership>,
        last_seen: Option<Arc<Membership>>,
        vote: Vote,
    ) -> Self {
        Core {
            options,
            history,
            accepted,
            current,
            saves: VecDeque::new(),
            truncating: false,
            installing: None,
            quorums: Arc::new(Quorums::new(committed, last_seen.clone())),
            last_seen,
            vote,
            oracle: None,
            untrusted: false,
            snapshot_wanted_in: None,
            outrun: None,
            master_turn: 0,
        }
    }

    /// Our sid.
    pub(super) fn me(&self) -> Sid {
        self.options.sid
    }

    /// True if the committed membership lists us as observer.
    pub(super) fn is_observer(&self) -> bool {
        self.quorums.committed().member(self.me()).is_some_and(|m| !m.participant)
    }

    /// The voter that an observer should ask next to serve it. Observers begin at different ones.
    pub(super) fn next_master(&mut self) -> Option<Sid> {
        let voters = self.quorums.committed().voters();
        let first = usize::try_from(self.me().0).unwrap_or(0);
        let place = first.wrapping_add(self.master_turn) % voters.len().max(1);
        self.master_turn = self.master_turn.wrapping_add(1);
        voters.iter().nth(place).copied()
    }

    /// `initLimit` in ms.
    pub(super) fn init_ms(&self) -> u64 {
        self.options.init_limit * self.options.tick_ms
    }

    /// `syncLimit` in ms.
    pub(super) fn sync_ms(&self) -> u64 {
        self.options.sync_limit * self.options.tick_ms
    }

    /// Orders both epochs to be written. Neither ever goes down.
    pub(super) fn save_epochs(&mut self, accepted: Epoch, current: Epoch, out: &mut Vec<Action>) {
        self.save(accepted, current, false, out);
    }

    /// Orders `currentEpoch` to be written: the synced history is on disk.
    pub(super) fn save_synced(&mut self, current: Epoch, out: &mut Vec<Action>) {
        self.save(self.accepted, current, true, out);
    }

    fn save(&mut self, accepted: Epoch, current: Epoch, synced: bool, out: &mut Vec<Action>) {
        let (a, c) = self.saves.back().map_or((self.accepted, self.current), |(a, c, _)| (*a, *c));
        assert!(a <= accepted && c <= current && current <= accepted, "EPOCH-BEFORE-ACK");
        self.saves.push_back((accepted, current, synced));
        out.push(Action::SaveEpochs { accepted, current, synced });
    }

    /// The oldest save is on disk: memory follows (ZOOKEEPER-2307).
    pub(super) fn epochs_saved(&mut self) {
        if let Some((accepted, current, synced)) = self.saves.pop_front() {
            self.accepted = accepted;
            self.current = current;
            // Also if the leader is gone meanwhile: a restart would believe it.
            self.untrusted &= !synced;
        }
    }

    /// True if no disk work is under way.
    pub(super) fn is_quiet(&self) -> bool {
        self.saves.is_empty()
            && !self.truncating
            && self.installing.is_none()
            && self.history.durable() == self.history.last()
    }

    /// Makes `last_seen` the proposed membership, whether newer or not: NEWLEADER may take a
    /// proposal back.
    pub(super) fn see_membership(&mut self, membership: Arc<Membership>, out: &mut Vec<Action>) {
        if self.options.reconfig_enabled {
            let membership = self.counted_as_ours(membership);
            self.last_seen = Some(membership.clone());
            self.refresh_quorums();
            out.push(Action::SaveLastSeen(membership));
        }
    }

    /// Makes a membership the committed one, if it is newer. True if members or roles changed.
    pub(super) fn activate(&mut self, membership: Arc<Membership>, out: &mut Vec<Action>) -> bool {
        let committed = self.quorums.committed();
        if !self.options.reconfig_enabled || membership.version() <= committed.version() {
            return false;
        }
        let membership = self.counted_as_ours(membership);
        let changed = membership.differs(committed);
        self.quorums = Arc::new(Quorums::new(membership.clone(), self.last_seen.clone()));
        out.push(Action::Activate(membership));
        changed
    }

    /// The oracle is a matter of this server's file, not of the membership's text.
    fn counted_as_ours(&self, membership: Arc<Membership>) -> Arc<Membership> {
        match self.quorums.committed().has_oracle() && !membership.has_oracle() {
            true => Arc::new(Membership::clone(&membership).with_oracle()),
            false => membership,
        }
    }

    fn refresh_quorums(&mut self) {
        let committed = self.quorums.committed().clone();
        self.quorums = Arc::new(Quorums::new(committed, self.last_seen.clone()));
    }
}
