//! Things that expire, in buckets.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;

use crate::base::Mono;

/// Elements with expiry times rounded up to whole intervals (`ExpiryQueue`).
///
/// An element lives longer than its timeout, by at most one interval. Touching an element often is
/// cheap: within one interval its bucket does not change.
///
/// Invariant: `buckets[t]` holds `e` exactly if `times[e] == t`; no bucket is empty.
#[derive(Debug)]
pub struct ExpiryQueue<E> {
    interval_ms: u64,
    times: HashMap<E, Mono>,
    buckets: BTreeMap<Mono, BTreeSet<E>>,
}

impl<E: Copy + Ord + Hash> ExpiryQueue<E> {
    /// An empty queue. An interval of 0 counts as 1.
    pub fn new(interval_ms: u64) -> Self {
        Self { interval_ms: interval_ms.max(1), times: HashMap::new(), buckets: BTreeMap::new() }
    }

    /// Lets `element` expire `timeout_ms` from now, rounded up: `((now + timeout) / interval + 1) *
    /// interval`. Negative timeouts count as 0.
    pub fn update(&mut self, now: Mono, element: E, timeout_ms: i32) {
        let due = now.plus_ms(u64::try_from(timeout_ms).unwrap_or(0)).0;
        let time =
            Mono((due / self.interval_ms).saturating_add(1).saturating_mul(self.interval_ms));
        match self.times.insert(element, time) {
            Some(old) if old == time => return,
            Some(old) => self.leave_bucket(old, &element),
            None => {}
        }
        self.buckets.entry(time).or_default().insert(element);
    }

    /// Forgets an element. False if it was not there.
    pub fn remove(&mut self, element: &E) -> bool {
        let Some(time) = self.times.remove(element) else { return false };
        self.leave_bucket(time, element);
        true
    }

    /// Takes everything whose time has come, oldest first.
    pub fn expired(&mut self, now: Mono) -> Vec<E> {
        let mut expired = Vec::new();
        while let Some(bucket) = self.buckets.first_entry() {
            if *bucket.key() > now {
                break;
            }
            for element in bucket.remove() {
                self.times.remove(&element);
                expired.push(element);
            }
        }
        expired
    }

    /// When [`ExpiryQueue::expired`] will next have something.
    pub fn next_expiry(&self) -> Option<Mono> {
        self.buckets.first_key_value().map(|(time, _)| *time)
    }

    /// All buckets in order of time, for the `dump` command.
    pub fn buckets(&self) -> impl Iterator<Item = (Mono, &BTreeSet<E>)> {
        self.buckets.iter().map(|(time, elements)| (*time, elements))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    fn leave_bucket(&mut self, time: Mono, element: &E) {
        let bucket = self.buckets.get_mut(&time).expect("every element is in its bucket");
        bucket.remove(element);
        if bucket.is_empty() {
            self.buckets.remove(&time);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_round_up_to_the_next_interval() {
        let cases =
            [(0, 0, 2000), (0, 1999, 2000), (0, 2000, 4000), (1, 1999, 4000), (1, -5, 2000)];
        for (now, timeout, expected) in cases {
            let mut queue = ExpiryQueue::new(2000);
            queue.update(Mono(now), 1, timeout);
            assert_eq!(queue.next_expiry(), Some(Mono(expected)), "{now} {timeout}");
        }
    }

    #[test]
    fn touching_moves_and_expiring_forgets() {
        let mut queue = ExpiryQueue::new(10);
        queue.update(Mono(0), 'a', 5);
        queue.update(Mono(0), 'b', 5);
        queue.update(Mono(9), 'a', 5);
        assert_eq!(queue.expired(Mono(9)), []);
        assert_eq!(queue.expired(Mono(10)), ['b']);
        assert_eq!(queue.expired(Mono(10)), []);
        assert_eq!(queue.next_expiry(), Some(Mono(20)));
        assert!(queue.remove(&'a'));
        assert!(!queue.remove(&'b'));
        assert!(queue.is_empty());
        assert_eq!(queue.next_expiry(), None);
    }

    proptest! {
        /// An element expires after its timeout and within one interval of it.
        #[test]
        fn agrees_with_a_list(ops in proptest::collection::vec((0u8..8, 0i32..50, 0u64..20), 0..80)) {
            let mut queue = ExpiryQueue::new(7);
            let mut twin: HashMap<u8, (u64, u64)> = HashMap::new();
            let mut now = 0;
            for (element, timeout, step) in ops {
                now += step;
                for e in queue.expired(Mono(now)) {
                    let (earliest, latest) = twin.remove(&e).expect("known to the twin");
                    prop_assert!(earliest < now && latest >= now.saturating_sub(step));
                }
                prop_assert!(twin.values().all(|(_, latest)| *latest > now));
                queue.update(Mono(now), element, timeout);
                let earliest = now + timeout as u64;
                twin.insert(element, (earliest, earliest + 7));
                let in_buckets: usize = queue.buckets().map(|(_, b)| b.len()).sum();
                prop_assert_eq!(in_buckets, queue.len());
                prop_assert_eq!(twin.len(), queue.len());
            }
        }
    }
}
