//! Which paths are asked for most (`RequestPathMetricsCollector`): a sample of the requests, counted
//! in slots of time, told in the log every few minutes. Off unless `pathStats.enabled`.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use tracing::info;

use super::clock;
use crate::base::Mono;

/// Depth at which paths are told, whatever `pathStats.maxDepth` allows.
const DEPTH_TOLD: usize = 4;
/// Different paths in one slot; further ones are not counted.
const PATHS_MAX: usize = 10_000;

/// Settings (`pathStats.*`).
#[derive(Debug, Clone, PartialEq)]
pub struct PathStatsOptions {
    /// Slots kept (`slotCapacity`).
    pub slots: usize,
    /// Length of a slot, ms (`slotDuration`).
    pub slot_ms: u64,
    /// Elements of a path that count (`maxDepth`).
    pub depth: usize,
    /// Share of the requests that count (`sampleRate`).
    pub sample_rate: f64,
    /// When the first report comes (`initialDelay`).
    pub first: Duration,
    /// Time between reports (`delay`).
    pub every: Duration,
    /// Paths in a report (`topPathMax`).
    pub top: usize,
}

type Slot = BTreeMap<(bool, Box<str>), u64>;

/// The counts.
#[derive(Debug)]
pub(super) struct PathStats {
    options: PathStatsOptions,
    slots: Mutex<(Mono, VecDeque<Slot>)>,
    draws: AtomicU64,
}

impl PathStats {
    pub(super) fn new(options: PathStatsOptions, now: Mono) -> Self {
        let slots = Mutex::new((now, VecDeque::from([Slot::new()])));
        Self { options, slots, draws: AtomicU64::new(0) }
    }

    /// A request for `path`.
    pub(super) fn register(&self, now: Mono, write: bool, path: &str) {
        if !self.is_drawn() {
            return;
        }
        let depth = self.options.depth.min(DEPTH_TOLD);
        let path = trim(path, depth);
        let mut guard = self.slots.lock();
        self.turn(&mut guard, now);
        let Some(slot) = guard.1.back_mut() else { return };
        if slot.len() < PATHS_MAX {
            *slot.entry((write, path.into())).or_default() += 1;
        } else if let Some(count) = slot.get_mut(&(write, path.into())) {
            *count += 1;
        }
    }

    /// Every request, one of so many, or none: spread evenly.
    fn is_drawn(&self) -> bool {
        let rate = self.options.sample_rate.clamp(0.0, 1.0);
        let number = self.draws.fetch_add(1, Relaxed) as f64;
        ((number + 1.0) * rate).floor() > (number * rate).floor()
    }

    /// Begins new slots as time goes by, and forgets the oldest.
    fn turn(&self, (since, slots): &mut (Mono, VecDeque<Slot>), now: Mono) {
        let length = self.options.slot_ms.max(1);
        let passed = now.since(*since) / length;
        for _ in 0..passed.min(self.options.slots as u64 + 1) {
            slots.push_back(Slot::new());
        }
        *since = since.plus_ms(passed * length);
        // The one being filled, and those that are full.
        while slots.len() > self.options.slots.max(1) {
            slots.pop_front();
        }
    }

    /// The paths asked for most, with their counts.
    pub(super) fn top(&self, now: Mono, write: bool) -> Vec<(String, u64)> {
        let mut guard = self.slots.lock();
        self.turn(&mut guard, now);
        let mut sums = BTreeMap::<&str, u64>::new();
        for ((_, path), count) in guard.1.iter().flatten().filter(|((kind, _), _)| *kind == write) {
            *sums.entry(path).or_default() += count;
        }
        let mut all: Vec<_> = sums.into_iter().map(|(p, count)| (p.to_owned(), count)).collect();
        all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        all.truncate(self.options.top);
        all
    }

    fn report(&self) {
        for (write, name) in [(false, "Read"), (true, "Write")] {
            info!("Here are the top {name} paths:");
            for (path, count) in self.top(clock::mono(), write) {
                info!("{path} : {count}");
            }
        }
    }

    /// The thread that reports; it ends when the sender is dropped.
    pub(super) fn start(self: &Arc<Self>) -> io::Result<(Sender<()>, JoinHandle<()>)> {
        let (stop, stopped) = bounded::<()>(0);
        let stats = self.clone();
        let thread = Builder::new().name("path-stats".to_owned()).spawn(move || {
            info!("Start the RequestPath collector");
            let mut wait = stats.options.first;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                stats.report();
                wait = stats.options.every.max(Duration::from_secs(1));
            }
        })?;
        Ok((stop, thread))
    }
}

/// The first `depth` elements (`trimPathDepth`).
fn trim(path: &str, depth: usize) -> &str {
    let mut ends = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    match depth {
        0 => "",
        depth => ends.nth(depth - 1).map_or(path, |end| &path[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(change: impl FnOnce(&mut PathStatsOptions)) -> PathStats {
        let mut options = PathStatsOptions {
            slots: 2,
            slot_ms: 1000,
            depth: 6,
            sample_rate: 1.0,
            first: Duration::from_secs(1),
            every: Duration::from_secs(1),
            top: 20,
        };
        change(&mut options);
        PathStats::new(options, Mono(0))
    }

    fn shown(stats: &PathStats, now: u64) -> Vec<(String, u64)> {
        stats.top(Mono(now), false)
    }

    #[test]
    fn paths_are_cut_at_their_depth() {
        for (depth, cut) in [(0, ""), (1, "/a"), (2, "/a/b"), (9, "/a/b/c")] {
            assert_eq!(trim("/a/b/c", depth), cut);
        }
        assert_eq!(trim("/", 1), "/");
        let one = stats(|o| o.depth = 1);
        one.register(Mono(1), false, "/a/b");
        assert_eq!(shown(&one, 1), [("/a".to_owned(), 1)]);
    }

    #[test]
    fn slots_are_forgotten() {
        let stats = stats(|_| {});
        stats.register(Mono(10), false, "/old");
        stats.register(Mono(1010), false, "/new");
        stats.register(Mono(1010), true, "/written");
        assert_eq!(shown(&stats, 1500).len(), 2);
        assert_eq!(stats.top(Mono(1500), true), [("/written".to_owned(), 1)]);
        assert_eq!(shown(&stats, 2500), [("/new".to_owned(), 1)]);
        assert!(shown(&stats, 99_000).is_empty());
    }

    #[test]
    fn samples_are_a_share_and_reports_are_short() {
        for (rate, counted) in [(1.0, 100), (0.1, 10), (0.0, 0)] {
            let stats = stats(|o| o.sample_rate = rate);
            (0..100).for_each(|_| stats.register(Mono(1), false, "/a"));
            assert_eq!(shown(&stats, 1).first().map_or(0, |(_, count)| *count), counted);
        }
        let stats = stats(|o| o.top = 1);
        for path in ["/a", "/b", "/b"] {
            stats.register(Mono(1), false, path);
        }
        assert_eq!(shown(&stats, 1), [("/b".to_owned(), 2)]);
    }
}
