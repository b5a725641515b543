//! When containers and TTL znodes are removed (`ContainerManager`).

use std::collections::VecDeque;

use super::Options;
use crate::base::{Mono, Now};
use crate::tree::{DataTree, Node, Owner};

/// Looks for candidates at intervals and paces their removal.
#[derive(Debug)]
pub(super) struct Cleaner {
    /// Ms between two looks at the tree.
    interval_ms: u64,
    /// Ms between two removals, at least.
    pace_ms: u64,
    next_look: Option<Mono>,
    next_removal: Mono,
    candidates: VecDeque<String>,
}

impl Cleaner {
    pub fn new(options: &Options, now: Mono) -> Self {
        let interval_ms = options.container_check_interval_ms;
        Self {
            interval_ms,
            pace_ms: 60_000 / options.container_removals_per_minute.max(1),
            next_look: (interval_ms > 0).then(|| now.plus_ms(interval_ms)),
            next_removal: now,
            candidates: VecDeque::new(),
        }
    }

    pub fn next_timeout(&self) -> Option<Mono> {
        if self.candidates.is_empty() { self.next_look } else { Some(self.next_removal) }
    }

    /// Paths to remove now. Prep decides: a candidate may have changed since it was seen.
    pub fn due(&mut self, now: Now, tree: &DataTree, options: &Options) -> Vec<String> {
        if self.candidates.is_empty() && self.next_look.is_some_and(|at| at <= now.mono) {
            self.candidates = candidates(now, tree, options);
            self.next_look = Some(now.mono.plus_ms(self.interval_ms));
        }
        if self.pace_ms == 0 {
            return self.candidates.drain(..).collect();
        }
        if self.next_removal > now.mono {
            return Vec::new();
        }
        self.next_removal = now.mono.plus_ms(self.pace_ms);
        self.candidates.pop_front().into_iter().collect()
    }
}

/// `ContainerManager.getCandidates`.
fn candidates(now: Now, tree: &DataTree, options: &Options) -> VecDeque<String> {
    let never_used_max = options.container_never_used_max_ms;
    let empty = |node: &Node<'_>| node.num_children() == 0;
    let containers = tree.containers().filter(empty).filter(|node| {
        let stat = node.persisted();
        let age = now.wall.0.saturating_sub(stat.mtime);
        stat.cversion > 0 || (never_used_max > 0 && age > never_used_max)
    });
    let expired = tree.ttl_nodes().filter(empty).filter(|node| {
        let Owner::Ttl(ttl_ms) = node.owner() else { return false };
        let age = now.wall.0.saturating_sub(node.persisted().mtime);
        u64::try_from(age).is_ok_and(|age| age > ttl_ms)
    });
    containers.chain(expired).map(Node::path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::tree::TreeOptions;

    #[test]
    fn removals_are_paced() {
        let tree = DataTree::new(TreeOptions::default());
        let paths = || ["/a", "/b", "/c"].map(str::to_owned);
        let at = |ms| Now { mono: Mono(ms), wall: Wall(0) };
        let cleaner = |per_minute| {
            let options =
                Options { container_removals_per_minute: per_minute, ..Options::default() };
            let mut cleaner = Cleaner::new(&options, Mono(0));
            cleaner.candidates = paths().into();
            (cleaner, options)
        };
        let (mut cleaner_10, options) = cleaner(10);
        let mut due = |ms| cleaner_10.due(at(ms), &tree, &options);
        assert_eq!(due(0), ["/a"]);
        assert_eq!(due(5999), [""; 0]);
        assert_eq!(due(6000), ["/b"]);
        assert_eq!(due(11_000), [""; 0]);
        assert_eq!(due(20_000), ["/c"]);
        assert_eq!(cleaner_10.next_timeout(), Some(Mono(60_000)), "then it looks again");
        let (mut fast, options) = cleaner(100_000);
        assert_eq!(fast.due(at(0), &tree, &options), paths());
    }
}
