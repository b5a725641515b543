//! What large trees and many watches cost. One test, so that nothing else of this process is
//! measured with them; the bounds are Java's, as its heap holds the same, and far above ours.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::sync::Arc;

use jute::data::StatPersisted;
use rookeeper::base::Zxid;
use rookeeper::storage::truncate::adopt_snapshot;
use rookeeper::storage::{DataDirs, Options, OwnedTreeSource, RealDisk, restore, write_snapshot};
use rookeeper::tree::load::TreeLoader;
use rookeeper::tree::{DataTree, TreeOptions};
use rookeeper::watch::{self, Mode, Table, WatchTable, WatcherId};
use tempfile::TempDir;

/// Bytes of this process in memory.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

fn tree(znodes: usize) -> DataTree {
    let mut loader = TreeLoader::new(TreeOptions::default());
    let stat = StatPersisted::default();
    loader.node("", Some(b""), -1, &stat).unwrap();
    loader.node("/load", Some(b""), -1, &stat).unwrap();
    for n in 0..znodes {
        // Paths of 35 bytes, values of 100.
        loader.node(&format!("/load/{n:029}"), Some(&[7; 100]), -1, &stat).unwrap();
    }
    loader.finish(Zxid(5), None).unwrap().tree
}

#[test]
fn many_znodes_and_many_watches() {
    let many = 200_000;

    // Znodes.
    let before = resident();
    let mut full = tree(many);
    let each = resident().saturating_sub(before) / many;
    assert!(each < 400, "{each} bytes for a znode");

    // Watches of a hundred connections, each on two thousand paths of its own.
    let before = resident();
    let watches = WatchTable::new(watch::Options::default());
    for watcher in 0..100 {
        watches.open(WatcherId(watcher));
        for n in 0..many / 100 {
            let path = format!("/watched/{watcher:03}/{n:05}");
            assert!(watches.add(&path, WatcherId(watcher), Table::Data, Mode::Standard));
        }
    }
    assert_eq!(watches.watch_count(), many);
    let each = resident().saturating_sub(before) / many;
    assert!(each < 250, "{each} bytes for a watch");

    // A snapshot, and what is restored from it.
    let (dir, options) = (TempDir::new().unwrap(), Options::default());
    let dirs = DataDirs::open(Arc::new(RealDisk), dir.path(), None, &options).unwrap();
    let dirs = Arc::new(dirs);
    let mut source = OwnedTreeSource::new(&mut full).unwrap();
    let file = write_snapshot(&dirs, &options.snapshot, &mut source).unwrap();
    drop(source);
    adopt_snapshot(&dirs, &options, file).unwrap();
    let (count, digest) = (full.node_count(), full.digest());
    drop(full);
    let restored = restore(&dirs, &options, TreeOptions::default()).unwrap();
    assert_eq!((restored.tree.node_count(), restored.tree.digest()), (count, digest));
}
