//! The ten-minute window behind Prometheus quantiles (`TimeWindowQuantiles`: five buckets).
//!
//! Each bucket is a histogram with 64 steps per power of two: quantiles are exact below 128 and
//! within 1.6 % above, whatever the number of values.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::base::Mono;

const BUCKETS: usize = 5;
/// How long a bucket collects, ms.
const BUCKET_MS: u64 = 120_000;
/// Steps per power of two.
const STEPS: usize = 64;
/// Values above 2^40 (35 years in ms, 1 TiB in bytes) share the last cell.
const CELLS: usize = STEPS * 2 + STEPS * 33;

#[derive(Debug)]
pub(super) struct Window {
    buckets: [Box<[AtomicU32]>; BUCKETS],
    current: AtomicUsize,
    /// When the current bucket began; 0 before the first rotation.
    since: AtomicU64,
}

impl Default for Window {
    fn default() -> Self {
        let bucket = || (0..CELLS).map(|_| AtomicU32::new(0)).collect();
        Self {
            buckets: std::array::from_fn(|_| bucket()),
            current: AtomicUsize::new(0),
            since: AtomicU64::new(0),
        }
    }
}

fn cell_of(value: i64) -> usize {
    let value = value.max(0) as u64;
    if value < 2 * STEPS as u64 {
        return value as usize;
    }
    let exponent = 63 - value.leading_zeros() as usize;
    let step = (value >> (exponent - 6)) as usize - STEPS;
    (2 * STEPS + (exponent - 7) * STEPS + step).min(CELLS - 1)
}

/// The smallest value that falls into `cell`.
fn value_of(cell: usize) -> i64 {
    if cell < 2 * STEPS {
        return cell as i64;
    }
    let (exponent, step) = ((cell - 2 * STEPS) / STEPS + 7, (cell - 2 * STEPS) % STEPS);
    ((STEPS + step) as i64) << (exponent - 6)
}

impl Window {
    pub(super) fn add(&self, value: i64) {
        self.add_many(value, 1);
    }

    pub(super) fn add_many(&self, value: i64, times: u32) {
        let bucket = &self.buckets[self.current.load(Relaxed) % BUCKETS];
        bucket[cell_of(value)].fetch_add(times, Relaxed);
    }

    /// Drops what is older than ten minutes.
    pub(super) fn rotate(&self, now: Mono) {
        let since = self.since.load(Relaxed);
        if since == 0 {
            self.since.store(now.0.max(1), Relaxed);
            return;
        }
        let steps = now.since(Mono(since)) / BUCKET_MS;
        if steps == 0
            || self
                .since
                .compare_exchange(since, since + steps * BUCKET_MS, Relaxed, Relaxed)
                .is_err()
        {
            return;
        }
        for _ in 0..steps.min(BUCKETS as u64) {
            let next = (self.current.load(Relaxed) + 1) % BUCKETS;
            self.buckets[next].iter().for_each(|cell| cell.store(0, Relaxed));
            self.current.store(next, Relaxed);
        }
    }

    pub(super) fn quantiles(&self, wanted: &[f64]) -> Option<Vec<i64>> {
        let cells: Vec<u64> = (0..CELLS)
            .map(|i| self.buckets.iter().map(|b| u64::from(b[i].load(Relaxed))).sum())
            .collect();
        let total: u64 = cells.iter().sum();
        if total == 0 {
            return None;
        }
        let at = |q: f64| {
            let rank = (q * total as f64).ceil().max(1.0) as u64;
            let mut seen = 0;
            let cell = cells.iter().position(|n| {
                seen += n;
                seen >= rank
            });
            value_of(cell.unwrap_or(CELLS - 1))
        };
        Some(wanted.iter().map(|q| at(*q)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_cover_the_range_without_gaps() {
        for value in (0..5000).chain([1 << 20, (1 << 39) + 12345, 1 << 40]) {
            let low = value_of(cell_of(value));
            assert!(low <= value && (value - low) as f64 <= value as f64 / 64.0, "{value} {low}");
        }
        assert_eq!(cell_of(-1), 0);
        assert_eq!(cell_of(i64::MAX), CELLS - 1);
        (1..CELLS).for_each(|c| assert_eq!(cell_of(value_of(c)), c, "{c}"));
    }

    #[test]
    fn quantiles_forget_after_ten_minutes() {
        let window = Window::default();
        assert_eq!(window.quantiles(&[0.5]), None);
        window.rotate(Mono(1000));
        (1..=100).for_each(|v| window.add(v));
        assert_eq!(window.quantiles(&[0.5, 0.9, 0.99]), Some(vec![50, 90, 99]));
        window.rotate(Mono(1000 + 4 * BUCKET_MS));
        assert_eq!(window.quantiles(&[0.5]), Some(vec![50]));
        window.add(7);
        window.rotate(Mono(1000 + 5 * BUCKET_MS));
        assert_eq!(window.quantiles(&[0.5]), Some(vec![7]));
        window.rotate(Mono(1000 + 50 * BUCKET_MS));
        assert_eq!(window.quantiles(&[0.5]), None);
    }
}
