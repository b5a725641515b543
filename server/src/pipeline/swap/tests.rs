//! A crash at every step of a new database, and disks that fail on the way.

use std::path::Path;

use jute::data::{Acl, PERM_ALL};
use jute::proto::op;
use jute::txn::{CreateTxn, Txn, TxnHeader};

use super::*;
use crate::base::Proposal;
use crate::storage::disk::faulty::FaultyDisk;
use crate::storage::{LogOptions, Options, restore};
use crate::tree::TreeOptions;

fn options() -> Options {
    let log = LogOptions { preallocate_bytes: 1 << 10, ..LogOptions::default() };
    Options { log, ..Options::default() }
}

fn create(zxid: i64, name: &str) -> Proposal {
    let txn = CreateTxn {
        path: Some(format!("/{name}{zxid}")),
        data: Some(vec![7; 300].into()),
        acl: Some(vec![Acl::world(PERM_ALL)]),
        ephemeral: false,
        parent_cversion: zxid as i32,
    };
    let header = TxnHeader { client_id: 1, cxid: 1, zxid, time: zxid, kind: op::CREATE };
    Proposal::encode(header, Txn::Create(txn), None)
}

/// A server with a history of two logs, the first of which a snapshot covers.
struct Site {
    disk: FaultyDisk,
    dirs: Arc<DataDirs>,
    writer: TxnLogWriter,
    old: DataTree,
}

/// The zxid of its last transaction.
const LAST: i64 = 20;

fn site() -> Site {
    let disk = FaultyDisk::new();
    let (dirs, writer, old) = open(&disk);
    let mut site = Site { disk, dirs, writer, old };
    for zxid in 1..=LAST {
        site.write(zxid).unwrap();
        if zxid == LAST / 2 {
            let mut source = OwnedTreeSource::new(&mut site.old).unwrap();
            let file = write_snapshot(&site.dirs, &options().snapshot, &mut source).unwrap();
            drop(source);
            file.publish(site.writer.durable()).unwrap();
            site.writer.roll().unwrap();
        }
    }
    site
}

fn open(disk: &FaultyDisk) -> (Arc<DataDirs>, TxnLogWriter, DataTree) {
    let disk = Arc::new(disk.clone());
    let (data, log) = (Path::new("/data"), Path::new("/log"));
    let dirs = Arc::new(DataDirs::open(disk, data, Some(log), &options()).unwrap());
    let restored = restore(&dirs, &options(), TreeOptions::default()).unwrap();
    let writer = TxnLogWriter::new(dirs.clone(), &options(), restored.last);
    (dirs, writer, restored.tree)
}

impl Site {
    fn write(&mut self, zxid: i64) -> Result<(), StorageError> {
        let proposal = create(zxid, "old");
        self.writer.append(&proposal)?;
        self.writer.commit()?;
        self.old.apply(&proposal, &mut |_| {});
        Ok(())
    }

    fn install(&mut self, new: &mut DataTree) -> Result<Durable, StorageError> {
        let zxid = Zxid(LAST + 1);
        install(new, zxid, &self.dirs, &options().snapshot, &mut self.writer)
    }
}

/// Another database, larger than what one step writes.
fn new_tree() -> DataTree {
    let mut tree = restore_nothing();
    for zxid in 1..=60 {
        tree.apply(&create(zxid, "new"), &mut |_| {});
    }
    tree
}

fn restore_nothing() -> DataTree {
    open(&FaultyDisk::new()).2
}

#[test]
fn a_crash_at_any_step_leaves_the_old_database_or_the_new_one() {
    let (mut steps, mut olds, mut news) = (0, 0, 0);
    // How the disk loses what was not synced: nothing, everything, something.
    for bias in 0..4 {
        for step in 0.. {
            let mut site = site();
            let mut new = new_tree();
            site.disk.stop_after(step);
            let installed = site.install(&mut new);
            match bias {
                0 => site.disk.kill(),
                1 => site.disk.lose_power(&mut |_| 0),
                2 => site.disk.lose_power(&mut |n| n - 1),
                _ => site.disk.lose_power(&mut |n| (step * 7 + 3) % n),
            }
            let (_, _, found) = open(&site.disk);
            found.check().unwrap();
            let is_new = found.digest() == new.digest();
            assert!(is_new || found.digest() == site.old.digest(), "step {step}: neither");
            let end = if is_new { LAST + 1 } else { LAST };
            assert_eq!(found.last_zxid(), Zxid(end), "step {step}");
            (olds, news) = (olds + u32::from(!is_new), news + u32::from(is_new));
            if installed.is_ok() {
                assert!(is_new, "step {step}: it was said to be there");
                steps = steps.max(step);
                break;
            }
        }
    }
    assert!(steps > 8 && olds > 20 && news >= 4, "{steps} steps, {olds} and {news}");
}

#[test]
fn a_full_disk_changes_nothing_and_the_old_database_goes_on() {
    let mut site = site();
    let mut new = new_tree();
    // Enough for a while of the old one, not for the new one.
    let needed: usize = 60 * 300;
    let used: usize = ["/data/version-2", "/log/version-2"]
        .map(Path::new)
        .iter()
        .flat_map(|dir| {
            let entries = site.dirs.disk().list(dir).unwrap().into_iter();
            entries.filter_map(|entry| site.disk.content(&dir.join(entry.name)))
        })
        .map(|content| content.len())
        .sum();
    site.disk.set_capacity(Some((used + needed / 2) as u64));
    let refused = site.install(&mut new);
    assert!(refused.is_err(), "{refused:?}");
    site.write(LAST + 1).unwrap();
    site.write(LAST + 2).unwrap();
    site.disk.kill();
    let (_, _, found) = open(&site.disk);
    assert_eq!((found.digest(), found.last_zxid()), (site.old.digest(), Zxid(LAST + 2)));
}

#[test]
fn writes_go_on_behind_the_new_database() {
    let mut site = site();
    let mut new = new_tree();
    site.install(&mut new).unwrap();
    for zxid in LAST + 2..LAST + 10 {
        let proposal = create(zxid, "after");
        site.writer.append(&proposal).unwrap();
        site.writer.commit().unwrap();
        new.apply(&proposal, &mut |_| {});
    }
    site.disk.lose_power(&mut |_| 0);
    let (dirs, _, found) = open(&site.disk);
    assert_eq!((found.digest(), found.last_zxid()), (new.digest(), Zxid(LAST + 9)));

    // Without its snapshot the logs of two databases are all there is: no start.
    let snapshot = Path::new("/data/version-2").join(format!("snapshot.{:x}", LAST + 1));
    let content = site.disk.content(&snapshot).unwrap();
    site.disk.put(&snapshot, &content[..content.len() / 2]);
    let refused = restore(&dirs, &options(), TreeOptions::default());
    assert!(refused.is_err(), "two databases were mixed");
}
