//! Votes, notifications, and the two relations on votes: which one is better, which ones agree.

use std::sync::Arc;

use jute::DecodeError;
use jute::quorum::NotificationRecord;

use crate::base::{Epoch, Sid, Zxid};

/// The sid a server votes for when it is no voter: below every real one (`Long.MIN_VALUE`).
pub const NOBODY: Sid = Sid(i64::MIN);

/// The notification version we and every Java release since 3.5 send.
pub const NOTIFICATION_VERSION: i32 = 2;

/// What a peer says it is doing (`QuorumPeer.ServerState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerState {
    /// Electing.
    Looking,
    /// Following a leader as participant.
    Following,
    /// Leading.
    Leading,
    /// Following a leader as observer.
    Observing,
}

/// A vote (`Vote`): who should lead, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vote {
    /// Proposed leader.
    pub leader: Sid,
    /// The last zxid in the proposed leader's log.
    pub zxid: Zxid,
    /// The voter's election round (`electionEpoch`, `logicalclock`).
    pub round: i64,
    /// `currentEpoch` of the proposed leader.
    pub epoch: Epoch,
}

impl Vote {
    /// The order of candidates without weights: epoch, then zxid, then sid
    /// (`FastLeaderElection.totalOrderPredicate`).
    pub fn rank(&self) -> (Epoch, Zxid, Sid) {
        (self.epoch, self.zxid, self.leader)
    }
}

/// A vote as it was heard, with what `Vote.equals` looks at besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeardVote {
    /// The vote.
    pub vote: Vote,
    /// State of the sender.
    pub state: PeerState,
    /// Notification version of the sender, or 0 where Java stores none.
    pub version: i32,
}

impl HeardVote {
    /// True if the two count as the same choice (`Vote.equals`).
    pub fn agrees(&self, other: &HeardVote) -> bool {
        let (a, b) = (&self.vote, &other.vote);
        if self.state == PeerState::Looking || other.state == PeerState::Looking {
            return a == b;
        }
        // Exactly one 3.4 peer: its peer epoch may be stale, the id alone decides
        // (ZOOKEEPER-1805).
        if (self.version == 0) != (other.version == 0) {
            return a.leader == b.leader;
        }
        a.leader == b.leader && a.epoch == b.epoch
    }
}

/// One message of the election port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// State of the sender.
    pub state: PeerState,
    /// Its vote.
    pub vote: Vote,
    /// [`NOTIFICATION_VERSION`]; 0 for 3.4 and older.
    pub version: i32,
    /// Text of the sender's committed membership, if its version sends one.
    pub config: Option<Arc<str>>,
}

impl Notification {
    /// The wire form.
    pub fn to_record(&self) -> NotificationRecord {
        NotificationRecord {
            state: match self.state {
                PeerState::Looking => 0,
                PeerState::Following => 1,
                PeerState::Leading => 2,
                PeerState::Observing => 3,
            },
            leader: self.vote.leader.0,
            zxid: self.vote.zxid.0,
            election_epoch: self.vote.round,
            peer_epoch: self.vote.epoch.0,
            version: self.version,
            config: self.config.as_deref().map(str::to_owned),
        }
    }

    /// Reads the wire form.
    pub fn from_record(record: NotificationRecord) -> Result<Self, DecodeError> {
        let state = match record.state {
            0 => PeerState::Looking,
            1 => PeerState::Following,
            2 => PeerState::Leading,
            3 => PeerState::Observing,
            other => return Err(DecodeError::Value { what: "peer state", value: other.into() }),
        };
        Ok(Self {
            state,
            vote: Vote {
                leader: Sid(record.leader),
                zxid: Zxid(record.zxid),
                round: record.election_epoch,
                epoch: Epoch(record.peer_epoch),
            },
            version: record.version,
            config: record.config.map(Arc::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(
        leader: i64,
        zxid: i64,
        round: i64,
        epoch: i64,
        state: PeerState,
        v: i32,
    ) -> HeardVote {
        HeardVote {
            vote: Vote { leader: Sid(leader), zxid: Zxid(zxid), round, epoch: Epoch(epoch) },
            state,
            version: v,
        }
    }

    #[test]
    fn equality_follows_state_and_version() {
        use PeerState::{Following, Leading, Looking};
        let base = heard(1, 5, 7, 3, Looking, 0);
        // While either looks, everything counts.
        assert!(base.agrees(&heard(1, 5, 7, 3, Following, 2)));
        assert!(!base.agrees(&heard(1, 6, 7, 3, Looking, 0)));
        assert!(!base.agrees(&heard(1, 5, 8, 3, Looking, 0)));
        assert!(!base.agrees(&heard(1, 5, 7, 4, Looking, 0)));
        // Two settled peers of one age: id and peer epoch.
        let settled = heard(1, 5, 7, 3, Leading, 2);
        assert!(settled.agrees(&heard(1, 9, 9, 3, Following, 2)));
        assert!(!settled.agrees(&heard(1, 5, 7, 4, Following, 2)));
        assert!(!settled.agrees(&heard(2, 5, 7, 3, Following, 2)));
        // Exactly one old one: id only.
        assert!(settled.agrees(&heard(1, 9, 9, 8, Following, 0)));
        assert!(!settled.agrees(&heard(2, 5, 7, 3, Following, 0)));
        // Two old ones: like two new ones.
        let old = heard(1, 5, 7, 3, Leading, 0);
        assert!(!old.agrees(&heard(1, 5, 7, 4, Following, 0)));
    }

    #[test]
    fn rank_is_epoch_then_zxid_then_sid() {
        let vote = |e, z, s| Vote { leader: Sid(s), zxid: Zxid(z), round: 0, epoch: Epoch(e) };
        assert!(vote(2, 0, 1).rank() > vote(1, 99, 9).rank());
        assert!(vote(1, 2, 1).rank() > vote(1, 1, 9).rank());
        assert!(vote(1, 1, 2).rank() > vote(1, 1, 1).rank());
        assert!(vote(1, 1, 1).rank() > vote(1, 1, NOBODY.0).rank());
    }
}
