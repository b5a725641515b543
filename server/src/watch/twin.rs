//! A naive twin of the tables, and the tests that compare them.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// Two maps per table, written down as the rules read: path and watcher to modes.
#[derive(Default)]
struct Twin {
    tables: [BTreeMap<(String, u32), BTreeSet<Mode>>; 2],
}

impl Twin {
    fn add(&mut self, path: &str, watcher: u32, table: Table, mode: Mode) -> bool {
        self.tables[table as usize].entry((path.to_owned(), watcher)).or_default().insert(mode)
    }

    fn clear(&mut self, watcher: u32) {
        for table in &mut self.tables {
            table.retain(|(_, w), _| *w != watcher);
        }
    }

    fn remove(&mut self, path: &str, watcher: u32, kind: WatcherType) -> bool {
        let key = (path.to_owned(), watcher);
        let mut removed = false;
        for (table, modes) in Self::meant(kind) {
            let Some(set) = self.tables[table].get_mut(&key) else { continue };
            for mode in modes {
                removed |= set.remove(mode);
            }
            if set.is_empty() {
                self.tables[table].remove(&key);
            }
        }
        removed
    }

    fn contains(&self, path: &str, watcher: u32, kind: WatcherType) -> bool {
        let key = (path.to_owned(), watcher);
        Self::meant(kind).into_iter().any(|(table, modes)| {
            // Persistent watches are looked for in the data table only.
            let looked_at = kind != WatcherType::Persistent || table == 0;
            looked_at
                && self.tables[table].get(&key).is_some_and(|s| modes.iter().any(|m| s.contains(m)))
        })
    }

    fn meant(kind: WatcherType) -> Vec<(usize, &'static [Mode])> {
        use Mode::*;
        match kind {
            WatcherType::Children => vec![(1, &[Standard])],
            WatcherType::Data => vec![(0, &[Standard])],
            WatcherType::Persistent => vec![(0, &[Persistent]), (1, &[Persistent])],
            WatcherType::PersistentRecursive => vec![(0, &[PersistentRecursive])],
            WatcherType::Any => {
                vec![
                    (0, &[Standard, Persistent, PersistentRecursive]),
                    (1, &[Standard, Persistent, PersistentRecursive]),
                ]
            }
        }
    }

    fn on_table(&mut self, path: &str, table: usize) -> BTreeSet<u32> {
        let mut told = BTreeSet::new();
        for ((watched, watcher), modes) in &mut self.tables[table] {
            let below = path.strip_prefix(watched.trim_end_matches('/'));
            let is_ancestor = watched != path && below.is_some_and(|rest| rest.starts_with('/'));
            if watched == path {
                told.insert(*watcher);
                modes.remove(&Mode::Standard);
            } else if is_ancestor && modes.contains(&Mode::PersistentRecursive) {
                told.insert(*watcher);
            }
        }
        self.tables[table].retain(|_, modes| !modes.is_empty());
        told
    }

    fn trigger(&mut self, what: Trigger, path: &str) -> Vec<(EventType, String, Vec<u32>)> {
        let parent = match path.rsplit_once('/') {
            Some(("", _)) | None => "/",
            Some((parent, _)) => parent,
        };
        let event = match what {
            Trigger::Created => EventType::NodeCreated,
            Trigger::Deleted => EventType::NodeDeleted,
            Trigger::DataChanged => EventType::NodeDataChanged,
        };
        let data = self.on_table(path, 0);
        let mut events = vec![(event, path, data.clone())];
        if what == Trigger::Deleted {
            let child = self.on_table(path, 1);
            events.push((event, path, child.difference(&data).copied().collect()));
        }
        if what != Trigger::DataChanged {
            events.push((EventType::NodeChildrenChanged, parent, self.on_table(parent, 1)));
        }
        events
            .into_iter()
            .filter(|(_, _, watchers)| !watchers.is_empty())
            .map(|(event, path, watchers)| (event, path.to_owned(), watchers.into_iter().collect()))
            .collect()
    }
}

fn triggered(table: &WatchTable, what: Trigger, path: &str) -> Vec<(EventType, String, Vec<u32>)> {
    let mut fired = Vec::new();
    table.trigger(what, path, &mut |f| {
        fired.push((f.event, f.path.to_owned(), f.watchers.iter().map(|w| w.0).collect()));
    });
    fired
}

const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/b", "garbage"];
const MODES: [Mode; 3] = [Mode::Standard, Mode::Persistent, Mode::PersistentRecursive];
const KINDS: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

#[derive(Debug, Clone)]
enum Op {
    Add(usize, u32, bool, usize),
    AddPersistent(usize, u32, bool),
    Remove(usize, u32, usize),
    Trigger(usize, usize),
    Clear(u32),
}

fn op() -> impl Strategy<Value = Op> {
    let (path, watcher) = (0..PATHS.len(), 0u32..70);
    prop_oneof![
        // Recursive watches live in the data table only.
        8 => (path.clone(), watcher.clone(), any::<bool>(), 0usize..3)
            .prop_map(|(p, w, t, m)| Op::Add(p, w, t && m != 2, m)),
        3 => (path.clone(), watcher.clone(), any::<bool>()).prop_map(|(p, w, r)| Op::AddPersistent(p, w, r)),
        4 => (path, watcher.clone(), 0usize..5).prop_map(|(p, w, k)| Op::Remove(p, w, k)),
        4 => (1..PATHS.len() - 1, 0usize..3).prop_map(|(p, t)| Op::Trigger(p, t)),
        1 => watcher.prop_map(Op::Clear),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_twin(
        ops in proptest::collection::vec(op(), 0..150),
        few_watchers: bool,
        hash_seed: u64,
    ) {
        let table = WatchTable::new(Options { hash_seed, standard_only: false });
        let mut twin = Twin::default();
        for watcher in 0..70 {
            table.open(WatcherId(watcher));
        }
        let squeeze = |w: u32| if few_watchers { w % 3 } else { w };
        for op in ops {
            match op {
                Op::Add(path, w, child, mode) => {
                    let (path, w) = (PATHS[path], squeeze(w));
                    let which = if child { Table::Child } else { Table::Data };
                    prop_assert_eq!(
                        table.add(path, WatcherId(w), which, MODES[mode]),
                        twin.add(path, w, which, MODES[mode])
                    );
                }
                Op::AddPersistent(path, w, recursive) => {
                    let (path, w) = (PATHS[path], squeeze(w));
                    table.add_persistent(path, WatcherId(w), recursive);
                    if recursive {
                        twin.add(path, w, Table::Data, Mode::PersistentRecursive);
                    } else {
                        twin.add(path, w, Table::Data, Mode::Persistent);
                        twin.add(path, w, Table::Child, Mode::Persistent);
                    }
                }
                Op::Remove(path, w, kind) => {
                    let (path, w, kind) = (PATHS[path], squeeze(w), KINDS[kind]);
                    prop_assert_eq!(
                        table.contains(path, WatcherId(w), kind),
                        twin.contains(path, w, kind)
                    );
                    prop_assert_eq!(
                        table.remove(path, WatcherId(w), kind),
                        twin.remove(path, w, kind)
                    );
                }
                Op::Trigger(path, what) => {
                    let what = [Trigger::Created, Trigger::Deleted, Trigger::DataChanged][what];
                    let path = PATHS[path];
                    prop_assert_eq!(triggered(&table, what, path), twin.trigger(what, path));
                }
                Op::Clear(w) => {
                    table.clear(WatcherId(squeeze(w)));
                    table.open(WatcherId(squeeze(w)));
                    twin.clear(squeeze(w));
                }
            }
            prop_assert_eq!(table.watch_count(), twin.tables[0].len() + twin.tables[1].len());
        }
        prop_assert_eq!(table.check(), Ok(()));
        let data: Vec<(String, u32)> = twin.tables[0].keys().cloned().collect();
        let shown: Vec<(String, u32)> = table
            .by_path()
            .into_iter()
            .flat_map(|(path, ws)| ws.into_iter().map(move |w| (path.clone(), w.0)))
            .collect();
        prop_assert_eq!(&shown, &data);
        let by_watcher: usize = table.by_watcher().values().map(Vec::len).sum();
        prop_assert_eq!(by_watcher, data.len());
        prop_assert_eq!(table.summary().watches, data.len());
        for watcher in 0..70 {
            table.clear(WatcherId(watcher));
        }
        prop_assert_eq!(table.check(), Ok(()));
        prop_assert_eq!((table.watch_count(), table.summary()), (0, Summary::default()));
    }
}

fn table(watchers: u32) -> WatchTable {
    let table = WatchTable::new(Options::default());
    (0..watchers).for_each(|w| table.open(WatcherId(w)));
    table
}

#[test]
fn order_and_deduplication_of_a_delete() {
    let t = table(4);
    let (a, b, c, d) = (WatcherId(0), WatcherId(1), WatcherId(2), WatcherId(3));
    t.add("/p/x", a, Table::Data, Mode::Standard);
    t.add("/p/x", a, Table::Child, Mode::Standard);
    t.add("/p/x", b, Table::Child, Mode::Standard);
    t.add("/p", c, Table::Child, Mode::Standard);
    t.add_persistent("/", d, true);
    use EventType::*;
    assert_eq!(
        triggered(&t, Trigger::Deleted, "/p/x"),
        [
            (NodeDeleted, "/p/x".to_owned(), vec![0, 3]),
            (NodeDeleted, "/p/x".to_owned(), vec![1]),
            (NodeChildrenChanged, "/p".to_owned(), vec![2]),
        ]
    );
    // Used up, but for the recursive one.
    assert_eq!(
        triggered(&t, Trigger::Created, "/p/x"),
        [(NodeCreated, "/p/x".to_owned(), vec![3])]
    );
    assert_eq!(t.watch_count(), 1);
}

#[test]
fn a_watcher_that_is_not_open_gets_nothing() {
    let t = table(1);
    let w = WatcherId(0);
    assert!(t.add("/a", w, Table::Data, Mode::Standard));
    assert!(!t.add("/a", w, Table::Data, Mode::Standard));
    t.clear(w);
    assert!(!t.add("/a", w, Table::Data, Mode::Standard));
    assert!(triggered(&t, Trigger::Created, "/a").is_empty());
    assert_eq!(t.check(), Ok(()));
    t.open(w);
    assert!(t.add("/a", w, Table::Data, Mode::Standard));
}

#[test]
fn threads_may_register_and_leave_in_parallel() {
    let t = table(8);
    std::thread::scope(|scope| {
        for w in 0..8u32 {
            let t = &t;
            scope.spawn(move || {
                for round in 0..200 {
                    let path = format!("/n{}", (round + w) % 10);
                    t.add(&path, WatcherId(w), Table::Data, Mode::Standard);
                    t.add_persistent(&path, WatcherId(w), round % 2 == 0);
                    if round % 3 == 0 {
                        t.remove(&path, WatcherId(w), WatcherType::Any);
                    }
                    if round % 50 == 0 {
                        t.clear(WatcherId(w));
                        t.open(WatcherId(w));
                    }
                }
            });
        }
    });
    assert_eq!(t.check(), Ok(()));
}
