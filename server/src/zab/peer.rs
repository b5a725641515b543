//! One server of the ensemble: the role it has and the way from one role to the next.

use std::sync::Arc;

use super::{Action, Event, Membership, Options, PeerState, Restored, Vote};
use crate::base::{Epoch, Mono, Sid, Zxid};

/// The zab core of one server (`QuorumPeer`, without its sockets, files and clients).
#[derive(Debug)]
pub struct Peer {}

impl Peer {
    /// Starts to look for a leader. `out` receives the first actions.
    ///
    /// Fails if the epochs on disk contradict the log in a way that must not be repaired
    /// (`QuorumPeer.loadDataBase`).
    pub fn new(
        _now: Mono,
        _options: Options,
        _restored: Restored,
        _out: &mut Vec<Action>,
    ) -> Result<Self, String> {
        unimplemented!()
    }

    /// Feeds one event; actions are appended to `out` and may be executed at once, in order.
    pub fn handle(&mut self, _now: Mono, _event: Event, _out: &mut Vec<Action>) {
        unimplemented!()
    }

    /// When [`Event::Timeout`] must be fed at the latest.
    pub fn next_timeout(&self) -> Option<Mono> {
        unimplemented!()
    }

    /// What we tell others we are.
    pub fn state(&self) -> PeerState {
        unimplemented!()
    }

    /// The vote we tell others.
    pub fn vote(&self) -> Vote {
        unimplemented!()
    }

    /// The leader we follow, or ourselves while leading.
    pub fn leader(&self) -> Option<Sid> {
        unimplemented!()
    }

    /// Established leader: the zxid the next [`Event::Propose`] must carry. `None` when not
    /// leading, or when the counter of this epoch is used up and a new epoch must be elected.
    pub fn next_zxid(&self) -> Option<Zxid> {
        unimplemented!()
    }

    /// `acceptedEpoch` and `currentEpoch` as they stand on disk.
    pub fn epochs(&self) -> (Epoch, Epoch) {
        unimplemented!()
    }

    /// The committed membership.
    pub fn membership(&self) -> &Arc<Membership> {
        unimplemented!()
    }
}
