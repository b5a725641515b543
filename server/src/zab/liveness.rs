//! Who is alive: deadlines on what was heard, and on proposals a learner has not acked.

use crate::base::{Mono, Zxid};

/// A deadline that moves whenever the other side is heard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    heard: Mono,
    limit_ms: u64,
}

impl Patience {
    pub(super) fn new(now: Mono, limit_ms: u64) -> Self {
        Patience { heard: now, limit_ms }
    }

    /// The other side was heard.
    pub(super) fn heard(&mut self, now: Mono) {
        self.heard = now;
    }

    /// When the other side was heard last.
    pub(super) fn last(&self) -> Mono {
        self.heard
    }

    /// Another phase, another limit; still counts from what was heard last.
    pub(super) fn set_limit(&mut self, limit_ms: u64) {
        self.limit_ms = limit_ms;
    }

    /// When it ends.
    pub(super) fn deadline(&self) -> Mono {
        self.heard.plus_ms(self.limit_ms)
    }

    /// True if it ended.
    pub(super) fn is_over(&self, now: Mono) -> bool {
        self.deadline() <= now
    }
}

/// The oldest proposal a learner has not acked, and when it was sent
/// (`LearnerHandler.SyncLimitCheck`). Tracks two, so a learner is cut between one and two limits.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct AckLimit {
    current: Option<(Zxid, Mono)>,
    next: Option<(Zxid, Mono)>,
}

impl AckLimit {
    /// A proposal was sent.
    pub(super) fn sent(&mut self, zxid: Zxid, now: Mono) {
        if self.current.is_none() {
            self.current = Some((zxid, now));
        } else {
            self.next = Some((zxid, now));
        }
    }

    /// Everything up to `zxid` is acked.
    pub(super) fn acked(&mut self, zxid: Zxid) {
        while self.current.is_some_and(|(oldest, _)| oldest <= zxid) {
            self.current = self.next.take();
        }
    }

    /// True if the oldest proposal waits longer than this.
    pub(super) fn is_over(&self, now: Mono, limit_ms: u64) -> bool {
        self.current.is_some_and(|(_, sent)| now.since(sent) > limit_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unacked_proposal_counts() {
        let mut limit = AckLimit::default();
        assert!(!limit.is_over(Mono(1_000_000), 10));
        limit.sent(Zxid(1), Mono(0));
        limit.sent(Zxid(2), Mono(5));
        limit.sent(Zxid(3), Mono(8));
        assert!(!limit.is_over(Mono(10), 10) && limit.is_over(Mono(11), 10));
        limit.acked(Zxid(1));
        assert!(!limit.is_over(Mono(18), 10) && limit.is_over(Mono(19), 10));
        limit.acked(Zxid(3));
        assert!(!limit.is_over(Mono(1_000_000), 10));
    }

    #[test]
    fn patience_moves_when_heard() {
        let mut patience = Patience::new(Mono(5), 10);
        assert!(!patience.is_over(Mono(14)) && patience.is_over(Mono(15)));
        patience.heard(Mono(14));
        assert_eq!(patience.deadline(), Mono(24));
        patience.set_limit(1);
        assert!(patience.is_over(Mono(15)));
    }
}
