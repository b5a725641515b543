//! Counters and summaries over relaxed atomics, and their per-key sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;

use super::window::Window;
use crate::base::Mono;

/// A number that grows (`SimpleCounter`). Padded so that neighbours do not share a cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Counter(AtomicI64);

impl Counter {
    /// At zero.
    pub const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Adds `n`.
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Relaxed);
    }
}

/// How much a summary tells (`MetricsContext.DetailLevel`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// avg, min, max, cnt, sum.
    Basic,
    /// Also p50, p95, p99, p999.
    Advanced,
}

/// Samples kept for the percentiles of an advanced summary.
const RESERVOIR: usize = 4096;

/// Average, smallest, largest, count and sum of values since the last reset; percentiles with
/// [`Detail::Advanced`] (`AvgMinMaxCounter`, `AvgMinMaxPercentileCounter`).
#[derive(Debug)]
#[repr(align(64))]
pub struct Summary {
    sum: AtomicI64,
    count: AtomicI64,
    min: AtomicI64,
    max: AtomicI64,
    detail: Detail,
    reservoir: OnceLock<Box<Reservoir>>,
    window: Option<OnceLock<Box<Window>>>,
}

#[derive(Debug)]
struct Reservoir {
    seen: AtomicU64,
    values: Box<[AtomicI64]>,
}

impl Summary {
    /// Empty. With `windowed`, also keeps the window for Prometheus quantiles.
    pub fn new(detail: Detail, windowed: bool) -> Self {
        Self {
            sum: AtomicI64::new(0),
            count: AtomicI64::new(0),
            min: AtomicI64::new(i64::MAX),
            max: AtomicI64::new(i64::MIN),
            detail,
            reservoir: OnceLock::new(),
            window: windowed.then(OnceLock::new),
        }
    }

    /// Records a value.
    pub fn add(&self, value: i64) {
        self.sum.fetch_add(value, Relaxed);
        self.count.fetch_add(1, Relaxed);
        if value < self.min.load(Relaxed) {
            self.min.fetch_min(value, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.fetch_max(value, Relaxed);
        }
        if self.detail == Detail::Advanced {
            self.reservoir.get_or_init(Box::default).add(value);
        }
        if let Some(window) = &self.window {
            window.get_or_init(Box::default).add(value);
        }
    }

    /// Records the same value `times` times, at little more than the price of one. Percentiles see
    /// it once: they come from a sample anyway.
    pub fn add_many(&self, value: i64, times: u64) {
        match times {
            0 => {}
            1 => self.add(value),
            _ => {
                self.add(value);
                let more = times as i64 - 1;
                self.sum.fetch_add(value.saturating_mul(more), Relaxed);
                self.count.fetch_add(more, Relaxed);
                if let Some(window) = self.window.as_ref().and_then(OnceLock::get) {
                    window.add_many(value, more as u32);
                }
            }
        }
    }

    /// Records what was collected elsewhere. Percentiles see its average.
    pub fn absorb(&self, spread: &Spread) {
        if spread.count == 0 {
            return;
        }
        let average = spread.sum / spread.count as i64;
        self.add_many(average, spread.count);
        self.sum.fetch_add(spread.sum - average * spread.count as i64, Relaxed);
        self.min.fetch_min(spread.min, Relaxed);
        self.max.fetch_max(spread.max, Relaxed);
    }

    /// Average, rounded half up to four decimals; 0 when empty.
    pub fn avg(&self) -> f64 {
        match self.count() {
            0 => 0.0,
            count => super::format::round4(self.sum() as f64 / count as f64),
        }
    }

    /// Smallest value; 0 when empty.
    pub fn min(&self) -> i64 {
        match self.min.load(Relaxed) {
            i64::MAX => 0,
            min => min,
        }
    }

    /// Largest value; 0 when empty.
    pub fn max(&self) -> i64 {
        match self.max.load(Relaxed) {
            i64::MIN => 0,
            max => max,
        }
    }

    /// Values recorded.
    pub fn count(&self) -> i64 {
        self.count.load(Relaxed)
    }

    /// Their sum.
    pub fn sum(&self) -> i64 {
        self.sum.load(Relaxed)
    }

    /// Basic or advanced.
    pub fn detail(&self) -> Detail {
        self.detail
    }

    /// Percentiles 50, 95, 99 and 99.9 of a uniform sample of 4,096 values; zeros when empty,
    /// `None` on a basic summary.
    pub fn percentiles(&self) -> Option<[i64; 4]> {
        (self.detail == Detail::Advanced).then(|| {
            let values = self.reservoir.get().map(|r| r.sorted()).unwrap_or_default();
            [0.5, 0.95, 0.99, 0.999].map(|q| quantile(&values, q))
        })
    }

    /// The values at `quantiles` over the last ten minutes; `None` when nothing is in the window.
    pub(super) fn windowed(&self, quantiles: &[f64]) -> Option<Vec<i64>> {
        self.window.as_ref()?.get()?.quantiles(quantiles)
    }

    pub(super) fn rotate(&self, now: Mono) {
        if let Some(window) = self.window.as_ref().and_then(OnceLock::get) {
            window.rotate(now);
        }
    }

    pub(super) fn reset(&self) {
        self.count.store(0, Relaxed);
        self.sum.store(0, Relaxed);
        self.min.store(i64::MAX, Relaxed);
        self.max.store(i64::MIN, Relaxed);
        if let Some(reservoir) = self.reservoir.get() {
            reservoir.seen.store(0, Relaxed);
        }
    }
}

impl Default for Reservoir {
    fn default() -> Self {
        Self {
            seen: AtomicU64::new(0),
            values: (0..RESERVOIR).map(|_| AtomicI64::new(0)).collect(),
        }
    }
}

impl Reservoir {
    fn add(&self, value: i64) {
        let index = self.seen.fetch_add(1, Relaxed);
        let slot = if index < RESERVOIR as u64 { index } else { mix(index) % (index + 1) };
        if let Some(cell) = self.values.get(slot as usize) {
            cell.store(value, Relaxed);
        }
    }

    fn sorted(&self) -> Vec<i64> {
        let filled = self.seen.load(Relaxed).min(RESERVOIR as u64) as usize;
        let mut values: Vec<i64> = self.values[..filled].iter().map(|v| v.load(Relaxed)).collect();
        values.sort_unstable();
        values
    }
}

/// Spreads a counter over 64 bits: uniform enough to sample with, and the same on every run.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Interpolated quantile of sorted values, rounded half up (`UniformSnapshot.getValue`).
fn quantile(sorted: &[i64], q: f64) -> i64 {
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return 0 };
    let position = q * (sorted.len() + 1) as f64;
    let index = position as usize;
    if index < 1 {
        return first;
    }
    if index >= sorted.len() {
        return last;
    }
    let (lower, upper) = (sorted[index - 1] as f64, sorted[index] as f64);
    (lower + (position - position.floor()) * (upper - lower) + 0.5).floor() as i64
}

/// Values collected by one thread between two entries into a [`Summary`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Number of values.
    pub count: u64,
    /// Their sum.
    pub sum: i64,
    /// The smallest; `i64::MAX` before the first.
    pub min: i64,
    /// The largest; `i64::MIN` before the first.
    pub max: i64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { count: 0, sum: 0, min: i64::MAX, max: i64::MIN }
    }
}

impl Spread {
    /// Adds the same value `times` times.
    #[inline]
    pub fn add(&mut self, value: i64, times: u64) {
        if times > 0 {
            self.count += times;
            self.sum += value * times as i64;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
        }
    }
}

/// The same value, several times.
#[derive(Debug, Default)]
pub struct Run {
    value: u64,
    times: u64,
}

impl Run {
    /// Counts a value; a different one before it goes to `summary`.
    #[inline]
    pub fn add(&mut self, value: u64, summary: &Summary) {
        if value != self.value {
            self.enter(summary);
            self.value = value;
        }
        self.times += 1;
    }

    /// Adds everything to `summary` and starts anew.
    pub fn enter(&mut self, summary: &Summary) {
        summary.add_many(self.value as i64, std::mem::take(&mut self.times));
    }
}

/// Upper bounds of a [`Histogram`]'s buckets, µs; the last bucket has none.
pub const HISTOGRAM_BOUNDS_US: [u64; 16] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 5_000_000,
];

/// Times in buckets: what Java's summaries in whole milliseconds cannot show.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct Histogram {
    buckets: [AtomicU64; HISTOGRAM_BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Empty.
    pub const fn new() -> Self {
        let buckets = [const { AtomicU64::new(0) }; HISTOGRAM_BOUNDS_US.len() + 1];
        Self { buckets, sum_us: AtomicU64::new(0) }
    }

    /// Records a time of `us` microseconds, `times` times.
    pub fn add(&self, us: u64, times: u64) {
        if times == 0 {
            return;
        }
        let bucket = HISTOGRAM_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(times, Relaxed);
        self.sum_us.fetch_add(us.saturating_mul(times), Relaxed);
    }

    /// Values at or below each bound, then all of them.
    pub fn cumulated(&self) -> [u64; HISTOGRAM_BOUNDS_US.len() + 1] {
        let mut sum = 0;
        std::array::from_fn(|index| {
            sum += self.buckets[index].load(Relaxed);
            sum
        })
    }

    /// Sum of all values, seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us.load(Relaxed) as f64 / 1e6
    }

    pub(super) fn reset(&self) {
        self.buckets.iter().for_each(|bucket| bucket.store(0, Relaxed));
        self.sum_us.store(0, Relaxed);
    }
}

/// Keys of a set that collects from outside input; further ones share [`OTHER_KEYS`].
const KEYS_MAX: usize = 1000;
/// The same where each key costs a window (tens of KiB).
const KEYS_MAX_WINDOWED: usize = 250;
/// The key of everything beyond the limit.
const OTHER_KEYS: &str = "other_namespaces";

/// Counters by key (`SimpleCounterSet`).
#[derive(Debug, Default)]
pub struct CounterSet(RwLock<BTreeMap<String, Arc<Counter>>>);

impl CounterSet {
    /// Without keys.
    pub const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    /// Adds `n` to the counter of `key`, which appears with its first value.
    pub fn add(&self, key: &str, n: i64) {
        if let Some(counter) = self.0.read().get(key) {
            return counter.add(n);
        }
        let mut counters = self.0.write();
        let key = if counters.len() < KEYS_MAX { key } else { OTHER_KEYS };
        counters.entry(key.to_owned()).or_default().add(n);
    }

    /// Keys and values.
    pub fn values(&self) -> Vec<(String, i64)> {
        self.0.read().iter().map(|(key, counter)| (key.clone(), counter.get())).collect()
    }

    pub(super) fn reset(&self) {
        self.0.read().values().for_each(|counter| counter.reset());
    }
}

/// Summaries by key (`AvgMinMaxCounterSet`, `AvgMinMaxPercentileCounterSet`).
#[derive(Debug)]
pub struct SummarySet {
    summaries: RwLock<BTreeMap<String, Arc<Summary>>>,
    detail: Detail,
    windowed: bool,
}

impl SummarySet {
    /// Without keys.
    pub const fn new(detail: Detail, windowed: bool) -> Self {
        Self { summaries: RwLock::new(BTreeMap::new()), detail, windowed }
    }

    /// Records a value under `key`, which appears with its first value.
    pub fn add(&self, key: &str, value: i64) {
        if let Some(summary) = self.summaries.read().get(key) {
            return summary.add(value);
        }
        self.summary(key).add(value);
    }

    /// The summary of `key`, to be kept by those who record often.
    pub fn summary(&self, key: &str) -> Arc<Summary> {
        if let Some(summary) = self.summaries.read().get(key) {
            return summary.clone();
        }
        let mut summaries = self.summaries.write();
        let max = if self.windowed { KEYS_MAX_WINDOWED } else { KEYS_MAX };
        let key = if summaries.len() < max { key } else { OTHER_KEYS };
        let summary = summaries
            .entry(key.to_owned())
            .or_insert_with(|| Arc::new(Summary::new(self.detail, self.windowed)));
        summary.clone()
    }

    /// Keys and summaries.
    pub fn values(&self) -> Vec<(String, Arc<Summary>)> {
        self.summaries.read().iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(super) fn rotate(&self, now: Mono) {
        self.summaries.read().values().for_each(|summary| summary.rotate(now));
    }

    pub(super) fn reset(&self) {
        self.summaries.read().values().for_each(|summary| summary.reset());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_summary_shows_zeros() {
        let summary = Summary::new(Detail::Advanced, false);
        assert_eq!((summary.min(), summary.max(), summary.count(), summary.sum()), (0, 0, 0, 0));
        assert_eq!(summary.avg(), 0.0);
        assert_eq!(summary.percentiles(), Some([0; 4]));
        assert_eq!(Summary::new(Detail::Basic, false).percentiles(), None);
    }

    #[test]
    fn summary_follows_javas_arithmetic() {
        let summary = Summary::new(Detail::Advanced, false);
        (1..=100).for_each(|v| summary.add(v));
        assert_eq!(
            (summary.min(), summary.max(), summary.count(), summary.sum()),
            (1, 100, 100, 5050)
        );
        assert_eq!(summary.avg(), 50.5);
        // position = q * 101: 50.5 -> 50 + 0.5, 95.95 -> 95.95, 99.99 -> 99.99, 100.899 -> last.
        assert_eq!(summary.percentiles(), Some([51, 96, 100, 100]));
        summary.reset();
        assert_eq!(summary.percentiles(), Some([0; 4]));
        summary.add(-3);
        assert_eq!((summary.min(), summary.max(), summary.avg()), (-3, -3, -3.0));
    }

    #[test]
    fn reservoir_stays_uniform_when_full() {
        let summary = Summary::new(Detail::Advanced, false);
        (0..100_000).for_each(|v| summary.add(v));
        let [p50, p95, p99, _] = summary.percentiles().expect("advanced");
        assert!((47_000..53_000).contains(&p50), "{p50}");
        assert!((93_500..96_500).contains(&p95), "{p95}");
        assert!((98_300..99_700).contains(&p99), "{p99}");
    }

    #[test]
    fn a_spread_is_absorbed_exactly() {
        let summary = Summary::new(Detail::Basic, true);
        let mut spread = Spread::default();
        summary.absorb(&spread);
        assert_eq!((summary.count(), summary.min()), (0, 0));
        spread.add(3, 2);
        spread.add(10, 1);
        summary.absorb(&spread);
        summary.add(1);
        assert_eq!((summary.count(), summary.sum(), summary.min(), summary.max()), (4, 17, 1, 10));
        assert_eq!(summary.windowed(&[0.5]), Some(vec![5]), "the average counts in the window");
    }

    #[test]
    fn histograms_cumulate() {
        let histogram = Histogram::new();
        for (us, times) in [(0, 1), (20, 1), (21, 2), (9_000_000, 1), (1, 0)] {
            histogram.add(us, times);
        }
        let all = histogram.cumulated();
        assert_eq!((all[0], all[1], all[15], all[16]), (2, 4, 4, 5));
        assert!((histogram.sum_seconds() - 9.000062).abs() < 1e-9);
    }

    #[test]
    fn keys_from_outside_are_bounded() {
        let set = SummarySet::new(Detail::Basic, true);
        let counters = CounterSet::new();
        (0..2000).for_each(|key| {
            set.add(&key.to_string(), 1);
            counters.add(&key.to_string(), 1);
        });
        let values = set.values();
        assert_eq!(values.len(), KEYS_MAX_WINDOWED + 1);
        let rest = values.iter().find(|(key, _)| key == OTHER_KEYS).map(|(_, s)| s.count());
        assert_eq!(rest, Some(2000 - KEYS_MAX_WINDOWED as i64));
        assert_eq!(counters.values().len(), KEYS_MAX + 1);
    }

    #[test]
    fn sets_keep_keys_apart() {
        let set = SummarySet::new(Detail::Basic, false);
        set.add("a", 1);
        set.add("b", 5);
        set.summary("a").add(3);
        let shown: Vec<_> = set.values().iter().map(|(k, s)| (k.clone(), s.sum())).collect();
        assert_eq!(shown, [("a".to_owned(), 4), ("b".to_owned(), 5)]);
        let counters = CounterSet::new();
        counters.add("x", 2);
        counters.add("x", 2);
        assert_eq!(counters.values(), [("x".to_owned(), 4)]);
        counters.reset();
        assert_eq!(counters.values(), [("x".to_owned(), 0)]);
    }
}
