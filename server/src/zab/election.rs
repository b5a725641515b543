//! Fast leader election: from LOOKING to a vote that a quorum shares
//! (`FastLeaderElection.lookForLeader`).
//!
//! Owns one round of one election. Does not send: it says when the proposal must be broadcast, and
//! the [`super::Peer`] answers peers that lag behind. Nothing here is needed for safety; discovery
//! and the epochs are. It has to be the same as Java's so that mixed ensembles agree quickly.

use std::collections::{BTreeMap, BTreeSet};

use super::{HeardVote, Notification, Options, PeerState, Quorums, Vote};
use crate::base::{Mono, Sid, Zxid};

/// An election under way.
#[derive(Debug)]
pub(super) struct Election {
    me: Sid,
    /// What we propose unless someone is better.
    initial: Vote,
    proposal: Vote,
    /// Votes of this round (`recvset`).
    received: BTreeMap<Sid, HeardVote>,
    /// Votes of servers that follow or lead, of any round (`outofelection`).
    settled: BTreeMap<Sid, HeardVote>,
    /// When to send again, and the interval after that.
    resend_at: Mono,
    interval_ms: u64,
    /// When a standing quorum becomes the decision.
    finalize_at: Option<Mono>,
    timeouts: u32,
    /// The leader we lost because its connection ended: nobody waits for its vote, unless it is
    /// heard after all.
    gone: Option<Sid>,
}

/// What a notification or a timeout led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing.
    Wait,
    /// The proposal is new, or should be repeated: send it to all voters.
    Broadcast,
    /// A quorum agrees.
    Decided(Vote),
}

impl Election {
    /// Opens a round with our own vote; the caller broadcasts [`Election::proposal`].
    pub(super) fn new(
        now: Mono,
        options: &Options,
        initial: Vote,
        quorums: &Quorums,
        gone: Option<Sid>,
    ) -> Self {
        let mut election = Election {
            me: options.sid,
            initial,
            proposal: initial,
            received: BTreeMap::new(),
            settled: BTreeMap::new(),
            resend_at: now.plus_ms(options.notification_min_ms),
            interval_ms: options.notification_min_ms,
            finalize_at: None,
            timeouts: 0,
            gone,
        };
        election.vote_for_proposal(quorums);
        election.review(now, options, quorums);
        election
    }

    /// The vote we propose now; its round is our logical clock.
    pub(super) fn proposal(&self) -> Vote {
        self.proposal
    }

    /// When to call [`Election::timeout`].
    pub(super) fn next_timeout(&self) -> Mono {
        self.finalize_at.map_or(self.resend_at, |at| at.min(self.resend_at))
    }

    /// Time passed.
    pub(super) fn timeout(
        &mut self,
        now: Mono,
        options: &Options,
        quorums: &Quorums,
        oracle: bool,
    ) -> Outcome {
        if self.finalize_at.is_some_and(|at| at <= now) {
            return Outcome::Decided(self.proposal);
        }
        if self.resend_at > now {
            return Outcome::Wait;
        }
        self.timeouts += 1;
        self.interval_ms = (self.interval_ms * 2).min(options.notification_max_ms);
        self.resend_at = now.plus_ms(self.interval_ms);
        // The oracle replaces the second voter of two, never before one interval has passed.
        if oracle && quorums.all(&self.supporters(&self.received, self.probe()), true) {
            return Outcome::Decided(self.proposal);
        }
        Outcome::Broadcast
    }

    /// A notification from a voter for a voter.
    pub(super) fn heard(
        &mut self,
        now: Mono,
        from: Sid,
        notification: &Notification,
        options: &Options,
        quorums: &Quorums,
        oracle: Option<bool>,
    ) -> Outcome {
        let vote = notification.vote;
        if !quorums.is_voter(from) || !quorums.is_voter(vote.leader) {
            return Outcome::Wait;
        }
        match notification.state {
            PeerState::Looking => self.heard_looking(now, from, vote, options, quorums),
            PeerState::Observing => Outcome::Wait,
            PeerState::Following | PeerState::Leading => {
                self.heard_settled(from, notification, quorums, oracle)
            }
        }
    }

    fn heard_looking(
        &mut self,
        now: Mono,
        from: Sid,
        vote: Vote,
        options: &Options,
        quorums: &Quorums,
    ) -> Outcome {
        if self.gone == Some(from) {
            self.gone = None;
        }
        // An empty database that must not be trusted neither votes nor is voted for
        // (ZOOKEEPER-3644).
        if self.initial.zxid == Zxid(-1) || vote.zxid == Zxid(-1) {
            return Outcome::Wait;
        }
        if vote.round < self.proposal.round {
            return Outcome::Wait;
        }
        let mut changed = false;
        if vote.round > self.proposal.round {
            self.received.clear();
            let best = if better(&vote, &self.initial, quorums) { vote } else { self.initial };
            self.proposal = Vote { round: vote.round, ..best };
            changed = true;
        } else if better(&vote, &self.proposal, quorums) {
            self.proposal = vote;
            changed = true;
        }
        if changed {
            self.vote_for_proposal(quorums);
        }
        let heard = HeardVote { vote, state: PeerState::Looking, version: 0 };
        self.received.insert(from, heard);
        self.review(now, options, quorums);
        if self.finalize_at.is_some_and(|at| at <= now) && !changed {
            return Outcome::Decided(self.proposal);
        }
        if changed { Outcome::Broadcast } else { Outcome::Wait }
    }

    /// Someone follows or leads already (`receivedFollowingNotification`).
    fn heard_settled(
        &mut self,
        from: Sid,
        notification: &Notification,
        quorums: &Quorums,
        oracle: Option<bool>,
    ) -> Outcome {
        let Notification { state, vote, version, .. } = *notification;
        let probe = HeardVote { vote, state, version };
        if vote.round == self.proposal.round {
            self.received.insert(from, HeardVote { vote, state, version: 0 });
            if quorums.all(&self.supporters(&self.received, probe), false)
                && self.leader_leads(&self.received, &vote)
            {
                return Outcome::Decided(vote);
            }
        }
        self.settled.insert(from, probe);
        if quorums.all(&self.supporters(&self.settled, probe), false)
            && self.leader_leads(&self.settled, &vote)
        {
            return Outcome::Decided(vote);
        }
        // Two voters and the oracle gave the other one the word: it leads (ZOOKEEPER-3922).
        if state == PeerState::Leading
            && quorums.committed().oracle_applies()
            && oracle == Some(false)
        {
            return Outcome::Decided(vote);
        }
        Outcome::Wait
    }

    /// The leader itself must say that it leads; if it is us, the round must be ours
    /// (`checkLeader`).
    fn leader_leads(&self, votes: &BTreeMap<Sid, HeardVote>, vote: &Vote) -> bool {
        if vote.leader == self.me {
            // Others may still follow what we were before somebody emptied our disk.
            return vote.round == self.proposal.round && self.initial.zxid != Zxid(-1);
        }
        votes.get(&vote.leader).is_some_and(|heard| heard.state == PeerState::Leading)
    }

    fn vote_for_proposal(&mut self, quorums: &Quorums) {
        self.finalize_at = None;
        if quorums.is_voter(self.me) && self.initial.zxid != Zxid(-1) {
            self.received.insert(self.me, self.probe());
        }
    }

    fn probe(&self) -> HeardVote {
        HeardVote { vote: self.proposal, state: PeerState::Looking, version: 0 }
    }

    fn supporters(&self, votes: &BTreeMap<Sid, HeardVote>, probe: HeardVote) -> BTreeSet<Sid> {
        votes.iter().filter(|(_, heard)| heard.agrees(&probe)).map(|(sid, _)| *sid).collect()
    }

    /// Starts, keeps or stops the wait before the decision.
    fn review(&mut self, now: Mono, options: &Options, quorums: &Quorums) {
        let supporters = self.supporters(&self.received, self.probe());
        if !quorums.all(&supporters, false) {
            self.finalize_at = None;
        } else if quorums.voters().iter().all(|v| supporters.contains(v) || self.gone == Some(*v)) {
            // Nobody is left who could know better (Java waits for the full time here).
            self.finalize_at = Some(now);
        } else {
            self.finalize_at.get_or_insert(now.plus_ms(options.finalize_wait_ms));
        }
    }
}

/// True if `new` should replace `current` (`totalOrderPredicate`).
fn better(new: &Vote, current: &Vote, quorums: &Quorums) -> bool {
    quorums.committed().weight(new.leader) != 0 && new.rank() > current.rank()
}
