//! Switches that put historical bugs back into the core, so that tests can show that the simulator
//! finds them. Outside of tests and the `sim` feature a [`Mutations`] is empty and every question
//! answers `false` at compile time.

/// A bug that can be put back. Each names the Java issue it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// `currentEpoch` is saved before the synced history is durable (ZOOKEEPER-4643).
    EpochBeforeHistory,
    /// NEWLEADER is acked before the synced history is durable (ZOOKEEPER-3023, 3911, 4646, 4785).
    AckBeforeHistory,
    /// A proposal is acked when it arrives, before it is on disk.
    AckBeforeFsync,
    /// `ACKEPOCH` leaves before `acceptedEpoch` is on disk.
    AckEpochBeforeSave,
    /// The election votes with the last committed zxid instead of the last logged
    /// (ZOOKEEPER-2845).
    VoteFromTree,
    /// A peer whose last transaction we do not know gets DIFF instead of TRUNC (ZOOKEEPER-1154).
    DiffWithoutTrunc,
    /// Forwarding starts later than the history was captured (ZOOKEEPER-962).
    ForwardLate,
    /// Observers count toward the epoch quorums (ZOOKEEPER-2959).
    ObserversCount,
    /// A committed transaction of the sync stream misses the committed window (ZOOKEEPER-4925).
    HoleInWindow,
    /// An old log stays readable behind a received snapshot (ZOOKEEPER-2846).
    OldLogAfterSnap,
    /// A proposal commits before everything ahead of it has.
    CommitOutOfOrder,
    /// A failed write of the log is passed over (ZOOKEEPER-4882, 2247).
    IgnoreLogFailure,
    /// A follower keeps a half-received snapshot (ZOOKEEPER-3642).
    KeepHalfSnapshot,
    /// A COMMIT between NEWLEADER and UPTODATE is an error (ZOOKEEPER-4394).
    CommitBeforeUptodateFails,
    /// Not a bug but a habit of some releases, which a leader has to live with: a learner acks what
    /// is in flight before it acks NEWLEADER (ZOOKEEPER-4685).
    AckEarly,
    /// A leader that gets such an ack drops the learner (ZOOKEEPER-4685).
    EarlyAckIsFatal,
    /// A follower goes on telling the epoch it voted with, so that a joiner sees no quorum that
    /// agrees (ZOOKEEPER-1732, 1805).
    StalePeerEpoch,
    /// NEWLEADER overtakes the history it stands for (ZOOKEEPER-3104, 3589).
    NewLeaderFirst,
    /// Observers are sent proposals that are not committed (ZOOKEEPER-1551).
    OutstandingToObservers,
    /// An observer master relays proposals before they are committed.
    RelayUncommitted,
    /// An observer master relays nothing between the history it sent and the ACK of it (as
    /// ZOOKEEPER-962 for leaders).
    RelayLate,
    /// An observer master forgets that its own clients' syncs wait among those of its observers.
    MixedSyncs,
}

/// A set of [`Mutation`]s, empty in production.
#[cfg(any(test, feature = "sim"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mutations(u64);

/// A set of [`Mutation`]s, empty in production.
#[cfg(not(any(test, feature = "sim")))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mutations(());

#[cfg(any(test, feature = "sim"))]
impl Mutations {
    /// No bug.
    pub const NONE: Self = Mutations(0);

    /// One bug.
    pub fn only(mutation: Mutation) -> Self {
        Mutations(1 << mutation as u64)
    }

    /// One more.
    pub fn with(self, mutation: Mutation) -> Self {
        Mutations(self.0 | 1 << mutation as u64)
    }

    /// True if the bug is in.
    pub fn has(self, mutation: Mutation) -> bool {
        self.0 & (1 << mutation as u64) != 0
    }
}

#[cfg(not(any(test, feature = "sim")))]
impl Mutations {
    /// No bug.
    pub const NONE: Self = Mutations(());

    /// Always false.
    #[inline(always)]
    pub const fn has(self, _: Mutation) -> bool {
        false
    }
}
