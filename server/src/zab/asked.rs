//! How much a peer may ask before it is answered. Java bounds what each client asks
//! (`globalOutstandingLimit`) and trusts learners to do so; here a learner that does not costs
//! itself its link, and nobody else anything.

use crate::base::Zxid;

/// Requests of one learner that its leader holds at once, about; Java's servers send some thousands.
pub(super) const REQUESTS_MAX: usize = 250_000;

/// Bytes of them.
pub(super) const REQUEST_BYTES_MAX: usize = 1 << 30;

/// Requests, syncs and questions about sessions that one observer waits for at its observer master.
pub(super) const OBSERVER_MAX: Load = Load { count: 50_000, bytes: 256 << 20 };

/// Of all observers of one observer master: less than its own leader allows it, and than fits in
/// the queue on the way there.
pub(super) const OBSERVERS_MAX: Load = Load { count: 200_000, bytes: 384 << 20 };

/// A number of requests and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, bytes: usize) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn exceeds(self, max: Load) -> bool {
        self.count > max.count || self.bytes > max.bytes
    }
}

/// What one learner asked its leader since a point in the history, until all before that point is
/// committed: at most twice as much as this counts is held.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    load: Load,
    until: Zxid,
}

impl Asked {
    /// One more; false if that is too much.
    pub(super) fn more(&mut self, bytes: usize, proposed: Zxid, committed: Zxid) -> bool {
        if committed >= self.until {
            *self = Asked { load: Load::default(), until: proposed };
        }
        self.load.add(bytes);
        !self.load.exceeds(Load { count: REQUESTS_MAX, bytes: REQUEST_BYTES_MAX })
    }
}
