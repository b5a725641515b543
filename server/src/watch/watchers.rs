//! The watchers of one path in one table.

use std::collections::BTreeMap;

use super::{Mode, WatcherId};

/// Watchers with the set of their modes, ordered by id. Most paths have none or one, so that takes
/// no allocation; 16 bytes.
///
/// Invariant: no watcher has an empty set of modes; `Many` is not empty.
#[derive(Debug, Default)]
pub(super) enum Watchers {
    #[default]
    None,
    One(WatcherId, u8),
    // Boxed to keep paths small; a fan-out of thousands pays one more pointer.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<WatcherId, u8>>),
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Watchers::None)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        match self {
            Watchers::None => 0,
            Watchers::One(..) => 1,
            Watchers::Many(map) => map.len(),
        }
    }

    /// The modes of a watcher, 0 if it is not here.
    pub(super) fn modes(&self, watcher: WatcherId) -> u8 {
        match self {
            Watchers::One(only, modes) if *only == watcher => *modes,
            Watchers::Many(map) => map.get(&watcher).copied().unwrap_or(0),
            _ => 0,
        }
    }

    /// Sets the modes of a watcher; 0 removes it.
    pub(super) fn set(&mut self, watcher: WatcherId, modes: u8) {
        match self {
            Watchers::None if modes != 0 => *self = Watchers::One(watcher, modes),
            Watchers::None => {}
            Watchers::One(only, old) if *only == watcher => {
                *old = modes;
                if modes == 0 {
                    *self = Watchers::None;
                }
            }
            Watchers::One(other, old) if modes != 0 => {
                let map = BTreeMap::from([(*other, *old), (watcher, modes)]);
                *self = Watchers::Many(Box::new(map));
            }
            Watchers::One(..) => {}
            Watchers::Many(map) => {
                if modes == 0 {
                    map.remove(&watcher);
                    if map.is_empty() {
                        *self = Watchers::None;
                    }
                } else {
                    map.insert(watcher, modes);
                }
            }
        }
    }

    /// All watchers in order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WatcherId, u8)> + '_ {
        let (one, many) = match self {
            Watchers::None => (None, None),
            Watchers::One(watcher, modes) => (Some((*watcher, *modes)), None),
            Watchers::Many(map) => (None, Some(map.iter().map(|(w, m)| (*w, *m)))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// An event on the path itself: appends every watcher to `fired`; standard watches are used
    /// up, and whoever had nothing else is appended to `gone`.
    pub(super) fn fire(&mut self, fired: &mut Vec<WatcherId>, gone: &mut Vec<WatcherId>) {
        let standard = Mode::Standard.bit();
        match self {
            Watchers::None => {}
            Watchers::One(watcher, modes) => {
                fired.push(*watcher);
                *modes &= !standard;
                if *modes == 0 {
                    gone.push(*watcher);
                    *self = Watchers::None;
                }
            }
            Watchers::Many(map) => {
                map.retain(|watcher, modes| {
                    fired.push(*watcher);
                    *modes &= !standard;
                    if *modes == 0 {
                        gone.push(*watcher);
                    }
                    *modes != 0
                });
                if map.is_empty() {
                    *self = Watchers::None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_small() {
        assert_eq!(size_of::<Watchers>(), 16);
    }

    #[test]
    fn set_and_get() {
        let mut watchers = Watchers::default();
        let (a, b) = (WatcherId(1), WatcherId(2));
        watchers.set(a, 0);
        assert!(watchers.is_empty());
        watchers.set(b, 2);
        watchers.set(a, 0);
        assert_eq!(watchers.len(), 1);
        watchers.set(a, 5);
        assert_eq!(watchers.iter().collect::<Vec<_>>(), [(a, 5), (b, 2)]);
        assert_eq!((watchers.modes(a), watchers.modes(b), watchers.modes(WatcherId(3))), (5, 2, 0));
        watchers.set(a, 0);
        watchers.set(b, 0);
        assert!(watchers.is_empty());
        assert_eq!(watchers.iter().count(), 0);
    }

    #[test]
    fn firing_uses_standard_watches_up() {
        for many in [false, true] {
            let mut watchers = Watchers::default();
            watchers.set(WatcherId(1), Mode::Standard.bit());
            if many {
                watchers.set(WatcherId(2), Mode::Standard.bit() | Mode::Persistent.bit());
            }
            let (mut fired, mut gone) = (Vec::new(), Vec::new());
            watchers.fire(&mut fired, &mut gone);
            assert_eq!(fired.len(), 1 + usize::from(many));
            assert_eq!(gone, [WatcherId(1)]);
            assert_eq!(watchers.modes(WatcherId(2)), u8::from(many) * Mode::Persistent.bit());
            assert_eq!(watchers.is_empty(), !many);
        }
    }
}
