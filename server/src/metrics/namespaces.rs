//! What one thread counts per top-level znode between two entries into the metrics.

use super::instruments::{Spread, SummarySet};

/// Names held by one thread. A scan over more top-level znodes costs an entry per this many.
const KEYS: usize = 32;

/// The first element of a path (`PathUtils.getTopNamespace`); none for the root.
pub fn top_namespace(path: &str) -> Option<&str> {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next();
    first.filter(|name| !name.is_empty())
}

/// Sizes per top-level znode. A run of requests below the same one costs a comparison each.
#[derive(Debug, Default)]
pub struct Namespaces {
    entries: Vec<(Box<str>, Spread)>,
    last: usize,
}

impl Namespaces {
    /// Records `value` for the namespace of `path`; `set` takes what does not fit.
    #[inline]
    pub fn add(&mut self, path: &str, value: i64, set: &SummarySet) {
        let Some(name) = top_namespace(path) else { return };
        match self.entries.get_mut(self.last) {
            Some((key, spread)) if **key == *name => spread.add(value, 1),
            _ => self.add_elsewhere(name, value, set),
        }
    }

    fn add_elsewhere(&mut self, name: &str, value: i64, set: &SummarySet) {
        let found = self.entries.iter().position(|(key, _)| **key == *name);
        self.last = found.unwrap_or_else(|| {
            if self.entries.len() >= KEYS {
                self.enter(set);
                self.entries.clear();
            }
            self.entries.push((name.into(), Spread::default()));
            self.entries.len() - 1
        });
        self.entries[self.last].1.add(value, 1);
    }

    /// True if nothing waits to be entered.
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|(_, spread)| spread.count == 0)
    }

    /// Adds everything to `set` and starts anew; names are kept.
    pub fn enter(&mut self, set: &SummarySet) {
        for (key, spread) in &mut self.entries {
            if spread.count > 0 {
                set.summary(key).absorb(&std::mem::take(spread));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Detail;

    #[test]
    fn namespaces_are_first_elements() {
        for (path, name) in
            [("/", None), ("", None), ("/a", Some("a")), ("/a/b/c", Some("a")), ("//b", None)]
        {
            assert_eq!(top_namespace(path), name, "{path}");
        }
    }

    #[test]
    fn everything_arrives_under_its_name() {
        let set = SummarySet::new(Detail::Basic, false);
        let mut counts = Namespaces::default();
        for (path, value) in [("/a/1", 5), ("/b", 1), ("/a/2", 7), ("/", 100)] {
            counts.add(path, value, &set);
        }
        assert!(set.values().is_empty() && !counts.is_empty());
        counts.enter(&set);
        assert!(counts.is_empty());
        let shown: Vec<_> =
            set.values().iter().map(|(k, s)| (k.clone(), s.count(), s.sum())).collect();
        assert_eq!(shown, [("a".to_owned(), 2, 12), ("b".to_owned(), 1, 1)]);
        (0..100).for_each(|i| counts.add(&format!("/n{i}"), 1, &set));
        counts.enter(&set);
        assert_eq!(set.values().iter().map(|(_, s)| s.count()).sum::<i64>(), 103);
    }
}
