//! Counts of what is in flight: the permits behind `globalOutstandingLimit` and the large-request
//! budget. Pure counting; who waits and who is closed is decided in `net`.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Requests and bytes between arrival and answer, over all connections.
#[derive(Debug, Default)]
pub struct Admission {
    requests: AtomicUsize,
    large_bytes: AtomicUsize,
}

impl Admission {
    /// `count` requests were accepted.
    pub fn take(&self, count: usize) {
        self.requests.fetch_add(count, Ordering::Relaxed);
    }

    /// `count` requests were answered or dropped with their connection.
    pub fn give_back(&self, count: usize) {
        if count > 0 {
            self.requests.fetch_sub(count, Ordering::Relaxed);
        }
    }

    /// Requests in flight.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// Takes `bytes` of the large-request budget, unless that would exceed `max`.
    pub fn take_large(&self, bytes: usize, max: usize) -> bool {
        self.large_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= max)
            })
            .is_ok()
    }

    /// True if `bytes` more would fit into the large-request budget now.
    pub fn fits_large(&self, bytes: usize, max: usize) -> bool {
        self.large_bytes.load(Ordering::Relaxed).saturating_add(bytes) <= max
    }

    /// Returns bytes of the large-request budget.
    pub fn give_back_large(&self, bytes: usize) {
        if bytes > 0 {
            self.large_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_budget_is_never_exceeded() {
        let admission = Admission::default();
        assert!(admission.take_large(60, 100));
        assert!(!admission.fits_large(41, 100));
        assert!(!admission.take_large(41, 100));
        assert!(admission.take_large(40, 100));
        admission.give_back_large(60);
        assert!(admission.take_large(60, 100));
        assert!(!admission.take_large(usize::MAX, 100));
    }
}
