//! Counters of one connection and of one thread.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::base::{Mono, Zxid};

/// What `cons` shows about a connection (`ServerCnxn`).
#[derive(Debug, Clone, Default)]
pub struct ConnectionStats {
    /// Frames received.
    pub received: u64,
    /// Frames queued for sending, events included.
    pub sent: u64,
    /// Op code of the last answered request.
    pub last_op: Option<i32>,
    /// Xid of the last answered request, -1 after a reset.
    pub last_cxid: i64,
    /// Zxid in the last reply; it outlives a reset.
    pub last_zxid: Zxid,
    /// It is from before the last reset.
    zxid_is_old: bool,
    /// When the last reply was queued.
    pub last_response: Mono,
    /// Latency of the last request, ms.
    pub last_latency_ms: u64,
    /// Largest latency, ms.
    pub max_latency_ms: u64,
    /// Sum of latencies, ms.
    pub total_latency_ms: u64,
    /// Smallest latency, ms, plus one; 0 before the first.
    min_latency_plus1: u64,
    /// Requests with a latency.
    pub answered: u64,
}

impl ConnectionStats {
    /// A request was answered.
    pub fn answer(&mut self, xid: i32, op: i32, zxid: Zxid, received: Mono, now: Mono) {
        debug_assert!(zxid >= self.last_zxid, "ZXID-MONOTONE: {zxid} after {}", self.last_zxid);
        let latency = now.since(received);
        self.sent += 1;
        self.answered += 1;
        self.last_op = Some(op);
        self.last_cxid = i64::from(xid);
        self.last_zxid = zxid;
        self.zxid_is_old = false;
        self.last_response = now;
        self.last_latency_ms = latency;
        self.total_latency_ms += latency;
        self.max_latency_ms = self.max_latency_ms.max(latency);
        if self.min_latency_plus1 == 0 || latency < self.min_latency_plus1 - 1 {
            self.min_latency_plus1 = latency + 1;
        }
    }

    /// Smallest latency, ms; 0 before the first request.
    pub fn min_latency_ms(&self) -> u64 {
        self.min_latency_plus1.saturating_sub(1)
    }

    /// Mean latency, ms, rounded down.
    pub fn avg_latency_ms(&self) -> u64 {
        self.total_latency_ms.checked_div(self.answered).unwrap_or(0)
    }

    /// Zxid in the last reply, -1 after a reset.
    pub fn shown_zxid(&self) -> Zxid {
        if self.zxid_is_old { Zxid(-1) } else { self.last_zxid }
    }

    /// `crst`.
    pub fn reset(&mut self) {
        let last_zxid = self.last_zxid;
        *self = Self { last_cxid: -1, last_zxid, zxid_is_old: true, ..Self::default() };
    }
}

/// Counters of one thread, summed up by whoever wants to see the server (`ServerStats`). Each
/// thread has its own, so that counting costs no shared cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Counters {
    /// Frames received.
    pub received: AtomicU64,
    /// Frames queued for sending.
    pub sent: AtomicU64,
    /// Requests answered.
    pub answered: AtomicU64,
    /// Sum of their latencies, ms.
    pub latency_total_ms: AtomicU64,
    /// Smallest latency, ms; `u64::MAX` before the first.
    pub latency_min_ms: AtomicU64,
    /// Largest latency, ms.
    pub latency_max_ms: AtomicU64,
    /// Size of the last reply, bytes; -1 before the first.
    pub response_last: AtomicI64,
    /// Smallest reply, bytes; -1 before the first.
    pub response_min: AtomicI64,
    /// Largest reply, bytes; -1 before the first.
    pub response_max: AtomicI64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            latency_total_ms: AtomicU64::new(0),
            latency_min_ms: AtomicU64::new(u64::MAX),
            latency_max_ms: AtomicU64::new(0),
            response_last: AtomicI64::new(-1),
            response_min: AtomicI64::new(-1),
            response_max: AtomicI64::new(-1),
        }
    }
}

/// What a burst adds to [`Counters`] in one go.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Frames received.
    pub received: u64,
    /// Frames queued, events included.
    pub sent: u64,
    /// Requests answered.
    pub answered: u64,
    /// Sum of their latencies, ms.
    pub latency_total_ms: u64,
    /// Smallest and largest of them, ms.
    pub latency_range_ms: Option<(u64, u64)>,
    /// Last reply's size, smallest and largest, bytes.
    pub response: Option<(usize, usize, usize)>,
    /// Bytes of all replies.
    pub response_bytes: u64,
}

impl Tally {
    /// One request was answered.
    #[inline]
    pub fn answer(&mut self, latency_ms: u64, size: usize) {
        self.sent += 1;
        self.answered += 1;
        self.response_bytes += size as u64;
        self.latency_total_ms += latency_ms;
        self.latency_range_ms = Some(match self.latency_range_ms {
            Some((min, max)) => (min.min(latency_ms), max.max(latency_ms)),
            None => (latency_ms, latency_ms),
        });
        self.response = Some(match self.response {
            Some((_, min, max)) => (size, min.min(size), max.max(size)),
            None => (size, size, size),
        });
    }
}

impl Counters {
    /// Adds a burst.
    pub fn add(&self, tally: &Tally) {
        let relaxed = Ordering::Relaxed;
        if tally.received > 0 {
            self.received.fetch_add(tally.received, relaxed);
        }
        if tally.sent > 0 {
            self.sent.fetch_add(tally.sent, relaxed);
        }
        if let Some((min, max)) = tally.latency_range_ms {
            self.answered.fetch_add(tally.answered, relaxed);
            if tally.latency_total_ms > 0 {
                self.latency_total_ms.fetch_add(tally.latency_total_ms, relaxed);
            }
            if min < self.latency_min_ms.load(relaxed) {
                self.latency_min_ms.fetch_min(min, relaxed);
            }
            if max > self.latency_max_ms.load(relaxed) {
                self.latency_max_ms.fetch_max(max, relaxed);
            }
        }
        if let Some((last, min, max)) = tally.response {
            self.response_last.store(last as i64, relaxed);
            let seen = self.response_min.load(relaxed);
            if seen < 0 || (min as i64) < seen {
                self.response_min.store(min as i64, relaxed);
            }
            if max as i64 > self.response_max.load(relaxed) {
                self.response_max.store(max as i64, relaxed);
            }
        }
    }

    /// `srst`.
    pub fn reset(&self) {
        let (fresh, relaxed) = (Self::default(), Ordering::Relaxed);
        for (mine, new) in [
            (&self.received, fresh.received),
            (&self.sent, fresh.sent),
            (&self.answered, fresh.answered),
            (&self.latency_total_ms, fresh.latency_total_ms),
            (&self.latency_min_ms, fresh.latency_min_ms),
            (&self.latency_max_ms, fresh.latency_max_ms),
        ] {
            mine.store(new.into_inner(), relaxed);
        }
        for size in [&self.response_last, &self.response_min, &self.response_max] {
            size.store(-1, relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_latencies_follow_the_answers() {
        let mut stats = ConnectionStats::default();
        assert_eq!((stats.min_latency_ms(), stats.avg_latency_ms()), (0, 0));
        for (received, now) in [(10, 17), (20, 22), (30, 30)] {
            stats.answer(1, 4, Zxid(9), Mono(received), Mono(now));
        }
        assert_eq!(stats.min_latency_ms(), 0);
        assert_eq!(stats.avg_latency_ms(), 3);
        assert_eq!((stats.max_latency_ms, stats.last_latency_ms, stats.sent), (7, 0, 3));
    }

    #[test]
    fn tallies_add_up_and_reset() {
        let counters = Counters::default();
        let mut tally = Tally { received: 2, ..Tally::default() };
        tally.answer(5, 100);
        tally.answer(1, 20);
        counters.add(&tally);
        let read = |value: &AtomicU64| value.load(Ordering::Relaxed);
        assert_eq!((read(&counters.sent), read(&counters.latency_total_ms)), (2, 6));
        assert_eq!((read(&counters.latency_min_ms), read(&counters.latency_max_ms)), (1, 5));
        assert_eq!(counters.response_max.load(Ordering::Relaxed), 100);
        counters.reset();
        assert_eq!(read(&counters.received), 0);
        assert_eq!(counters.response_min.load(Ordering::Relaxed), -1);
    }
}
