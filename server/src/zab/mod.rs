//! Election, discovery, synchronisation and broadcast: the part of a server that keeps the ensemble
//! one. Pure: no I/O, clock, randomness or threads.
//!
//! [`Peer`] is the whole: it takes [`Event`]s and emits [`Action`]s, and it is the only thing a
//! driver or the simulator touches.
//!
//! ```text
//!            Notification                   Packet, LinkUp, LinkDown
//!                 │                                  │
//!                 ▼                                  ▼
//!  Looking ── Election ──► Leading ── Leader: discovery → sync → broadcast
//!     ▲                └─► Following, Observing ── Learner: the other end
//!     └──── Draining ◄──── (link lost, quorum lost, limits passed)
//! ```
//!
//! Start reading at `peer`. What is durable and what is not is held in `history` (one deque with
//! cursors); which packet may follow which in `leader` and `learner`; who counts in `quorum`.
//!
//! Must not know: sockets, files, the tree, clients. Transactions are opaque but for their zxid.

mod asked;
mod broadcast;
mod core;
mod discovery;
mod election;
mod event;
mod history;
mod leader;
mod leader_sync;
mod learner;
mod liveness;
mod mutation;
mod observer_master;
mod packet;
mod peer;
#[cfg(test)]
mod peer_tests;
mod properties;
mod quorum;
#[cfg(test)]
mod quorum_tests;
mod reconfig;
mod sync;
#[cfg(test)]
pub(crate) mod testing;
mod vote;

pub use event::{
    Action, Event, LearnerStatus, Link, Options, Restored, Serving, SyncKind, SyncOrigin, ZabPhase,
};
pub use mutation::{Mutation, Mutations};
pub use packet::{ForwardedRequest, Packet};
pub use peer::Peer;
pub use quorum::{Member, Membership, MembershipError, PeerAddress, Quorums};
pub use reconfig::Change;
pub use vote::{HeardVote, NOBODY, NOTIFICATION_VERSION, Notification, PeerState, Vote};
