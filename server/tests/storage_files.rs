//! Directories and files: what is created, refused, rolled, cut and deleted.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "common/proposals.rs"]
mod proposals;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jute::proto::op;
use jute::txn::{ErrorTxn, SetDataTxn, Txn, TxnHeader};
use proposals::create;
use rookeeper::base::{Epoch, Proposal, Sid, Zxid};
use rookeeper::storage::disk::Disk;
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::purge::{self, purge};
use rookeeper::storage::truncate::{adopt_snapshot, truncate};
use rookeeper::storage::txnlog::{LogFile, TxnLogReader, range};
use rookeeper::storage::{
    DataDirs, Durable, LogOptions, Options, OwnedTreeSource, RealDisk, Restored, StorageError,
    TxnLogWriter, restore, write_snapshot,
};
use rookeeper::tree::TreeOptions;

const DATA: &str = "/data/version-2";

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn disk_of(case: &str) -> FaultyDisk {
    let disk = FaultyDisk::new();
    for entry in fs::read_dir(golden(case).join("version-2")).unwrap() {
        let path = entry.unwrap().path();
        disk.put(&Path::new(DATA).join(path.file_name().unwrap()), &fs::read(&path).unwrap());
    }
    disk
}

fn dirs_of(disk: &FaultyDisk) -> Arc<DataDirs> {
    let disk = Arc::new(disk.clone());
    Arc::new(DataDirs::open(disk, Path::new("/data"), None, &Options::default()).unwrap())
}

fn start(dirs: &Arc<DataDirs>, options: &Options) -> Result<Restored, StorageError> {
    let tree = TreeOptions { extended_types: true, ..TreeOptions::default() };
    restore(dirs, options, tree)
}

fn names(dirs: &DataDirs) -> Vec<String> {
    let logs = dirs.logs().unwrap();
    logs.into_iter().chain(dirs.snapshots().unwrap()).map(|f| f.name).collect()
}

fn set_data(zxid: i64, bytes: usize) -> Proposal {
    let header = TxnHeader { client_id: 7, cxid: 1, zxid, time: 1, kind: op::SET_DATA };
    let data = Some(vec![b'x'; bytes].into());
    let path = Some("/n".to_owned());
    Proposal::encode(header, Txn::SetData(SetDataTxn { path, data, version: 1 }), None)
}

fn error(zxid: i64) -> Proposal {
    let header = TxnHeader { client_id: 7, cxid: 1, zxid, time: 1, kind: op::ERROR };
    Proposal::encode(header, Txn::Error(ErrorTxn { err: -5 }), None)
}

/// Defaults, but a little padding only: the disk is in memory.
fn small() -> Options {
    options(LogOptions { preallocate_bytes: 1 << 10, ..LogOptions::default() })
}

fn options(log: LogOptions) -> Options {
    Options { log, ..Options::default() }
}

// --- the log -------------------------------------------------------------------------------------

/// Every cut of the last three entries, as a shorter file and as zeros in the padding, leaves the
/// whole entries before it.
#[test]
fn a_log_cut_anywhere_keeps_what_is_whole() {
    let path = golden("java-3.8.0/standalone/version-2/log.46");
    let bytes = fs::read(&path).unwrap();
    let mut log = LogFile::open(&RealDisk, &path, 1 << 20).unwrap();
    let mut ends = vec![log.position()];
    while let Some(entry) = log.next_entry().unwrap() {
        ends.push(entry.end);
    }
    assert_eq!(ends.len(), 6);
    for cut in ends[2]..ends[5] {
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        let short = bytes[..cut as usize].to_vec();
        let mut zeroed = bytes.clone();
        zeroed[cut as usize..].fill(0);
        for content in [short, zeroed] {
            let disk = disk_of("java-3.8.0/standalone");
            disk.put(&Path::new(DATA).join("log.46"), &content);
            let dirs = dirs_of(&disk);
            let restored = start(&dirs, &Options::default()).unwrap();
            assert_eq!(restored.last.zxid(), Zxid(0x45 + whole as i64), "cut at {cut}");
            // What was ignored is gone, so that the next reader agrees.
            let again = start(&dirs, &Options::default()).unwrap();
            assert_eq!((again.last, again.torn_bytes), (restored.last, 0), "cut at {cut}");
        }
    }
}

#[test]
fn padding_is_javas() {
    for (preallocate, lengths) in [
        (64 << 10, vec![65_552, 65_552, 131_088]),
        (64 << 20, vec![67_108_880; 3]),
        (0, vec![16 + 13 + 32 + 6 + 4 + 100 + 4, 0, 0]),
    ] {
        let disk = FaultyDisk::new();
        let dirs = dirs_of(&disk);
        let options =
            options(LogOptions { preallocate_bytes: preallocate, ..LogOptions::default() });
        let mut writer =
            TxnLogWriter::new(dirs.clone(), &options, Durable::by_received_snapshot(Zxid(0)));
        for (index, (bytes, expected)) in [100, 100, 64_000].into_iter().zip(lengths).enumerate() {
            writer.append(&set_data(1 + index as i64, bytes)).unwrap();
            writer.commit().unwrap();
            let log = dirs.logs().unwrap().remove(0);
            if expected > 0 {
                assert_eq!(log.len, expected, "{preallocate} {index}");
            }
        }
        writer.roll().unwrap();
        let log = dirs.logs().unwrap().remove(0);
        let mut file = LogFile::open(&disk, &log.path, 1 << 20).unwrap();
        while file.next_entry().unwrap().is_some() {}
        assert_eq!(log.len, file.position(), "a finished log has no padding");
    }
}

/// Many appends, one sync; nothing is visible under a log's name before it is durable.
#[test]
fn one_sync_per_commit() {
    let disk = FaultyDisk::new();
    let dirs = dirs_of(&disk);
    let mut writer =
        TxnLogWriter::new(dirs.clone(), &small(), Durable::by_received_snapshot(Zxid(0)));
    for zxid in 1..=1000 {
        writer.append(&set_data(zxid, 100)).unwrap();
    }
    assert!(names(&dirs).is_empty());
    assert_eq!((disk.syncs(), writer.durable().zxid()), (0, Zxid(0)));
    let committed = writer.commit().unwrap();
    assert_eq!((disk.syncs(), committed.transactions), (1, 1000));
    assert_eq!(committed.durable.zxid(), Zxid(1000));
    assert_eq!(names(&dirs), ["log.1"]);
    assert_eq!(writer.commit().unwrap().transactions, 0);
    assert_eq!(disk.syncs(), 1, "nothing to sync");
}

#[test]
fn force_sync_no_never_syncs() {
    let disk = FaultyDisk::new();
    let options = options(LogOptions { force_sync: false, ..LogOptions::default() });
    let mut writer =
        TxnLogWriter::new(dirs_of(&disk), &options, Durable::by_received_snapshot(Zxid(0)));
    writer.append(&set_data(1, 10)).unwrap();
    writer.commit().unwrap();
    assert_eq!(disk.syncs(), 0);
}

#[test]
fn a_failed_sync_is_final() {
    let disk = FaultyDisk::new();
    let mut writer =
        TxnLogWriter::new(dirs_of(&disk), &small(), Durable::by_received_snapshot(Zxid(0)));
    disk.fail_sync_after(0);
    writer.append(&set_data(1, 10)).unwrap();
    assert!(matches!(writer.commit(), Err(StorageError::Io { action: "fsync", .. })));
    assert!(matches!(writer.commit(), Err(StorageError::LogFailed)));
    assert!(matches!(writer.append(&set_data(2, 10)), Err(StorageError::LogFailed)));
    assert_eq!(writer.durable().zxid(), Zxid(0));
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(1000));
    let mut writer =
        TxnLogWriter::new(dirs_of(&disk), &small(), Durable::by_received_snapshot(Zxid(0)));
    writer.append(&set_data(1, 500)).unwrap();
    writer.commit().expect("the padding does not fit, the data does");
    writer.append(&set_data(2, 500)).unwrap();
    assert!(writer.commit().unwrap_err().is_full());
}

#[test]
fn zxids_in_order_or_nothing() {
    for (last, next, good) in [
        (5, 6, true),
        (5, 7, false),
        (5, 5, false),
        (5, 4, false),
        (5, 0x1_0000_0001, true),
        (0x1_0000_0000, 0x1_0000_0001, true),
        (-1, 0x7_0000_0005, true),
    ] {
        let mut writer = TxnLogWriter::new(
            dirs_of(&FaultyDisk::new()),
            &small(),
            Durable::by_received_snapshot(Zxid(last)),
        );
        let result = writer.append(&set_data(next, 1));
        assert_eq!(result.is_ok(), good, "{next:x} behind {last:x}: {result:?}");
    }
    // What a Java 3.9 leader sends for a request it could not decode.
    let mut writer = TxnLogWriter::new(
        dirs_of(&FaultyDisk::new()),
        &small(),
        Durable::by_received_snapshot(Zxid(5)),
    );
    writer.append(&error(5)).unwrap();
    assert_eq!(writer.commit().unwrap().transactions, 0);
}

#[test]
fn rolls_and_snapshot_points() {
    // A limit of bytes: small files, no snapshot.
    let dirs = dirs_of(&FaultyDisk::new());
    let by_size = options(LogOptions {
        log_size_limit_bytes: Some(1000),
        preallocate_bytes: 500,
        ..LogOptions::default()
    });
    let mut writer =
        TxnLogWriter::new(dirs.clone(), &by_size, Durable::by_received_snapshot(Zxid(0)));
    for zxid in 1..=10 {
        writer.append(&set_data(zxid, 400)).unwrap();
        writer.commit().unwrap();
        assert!(!writer.roll_if_snapshot_due().unwrap());
    }
    assert_eq!(names(&dirs), ["log.1", "log.4", "log.7", "log.a"]);

    // snapCount: between half and all of it, not always the same, and members differ.
    let due_points = |seed| {
        let log =
            LogOptions { snap_count: 1000, seed, preallocate_bytes: 0, ..LogOptions::default() };
        let mut writer = TxnLogWriter::new(
            dirs_of(&FaultyDisk::new()),
            &options(log),
            Durable::by_received_snapshot(Zxid(0)),
        );
        let (mut points, mut last) = (Vec::new(), 0);
        for zxid in 1..=20_000 {
            writer.append(&set_data(zxid, 1)).unwrap();
            if writer.roll_if_snapshot_due().unwrap() {
                points.push(zxid - last);
                last = zxid;
            }
        }
        assert!(points.iter().all(|p| (501..=1000).contains(p)), "{points:?}");
        points
    };
    let (one, two) = (due_points(1), due_points(2));
    assert!(one.len() > 19 && one.iter().any(|p| *p != one[0]));
    assert_ne!(one, two);

    // 0 means no limit, where a Java server dies.
    for limit in [None, Some(0), Some(1)] {
        let log =
            LogOptions { snap_size_limit_bytes: limit, snap_count: 0, ..LogOptions::default() };
        let mut writer = TxnLogWriter::new(
            dirs_of(&FaultyDisk::new()),
            &options(log),
            Durable::by_received_snapshot(Zxid(0)),
        );
        writer.append(&set_data(1, 1)).unwrap();
        writer.append(&set_data(2, 1)).unwrap();
        assert!(writer.roll_if_snapshot_due().unwrap(), "snapCount is at least 2");
    }
}

/// A name that exists is taken over only if the file holds nothing.
#[test]
fn existing_logs_are_never_overwritten() {
    let whole = fs::read(golden("java-3.8.0/standalone/version-2/log.46")).unwrap();
    for (content, free) in
        [(&whole[..], false), (&whole[..16], true), (&[][..], true), (&[0; 512][..], true)]
    {
        let disk = FaultyDisk::new();
        disk.put(&Path::new(DATA).join("log.46"), content);
        let mut writer =
            TxnLogWriter::new(dirs_of(&disk), &small(), Durable::by_received_snapshot(Zxid(0x45)));
        writer.append(&set_data(0x46, 10)).unwrap();
        let result = writer.commit();
        assert_eq!(result.is_ok(), free, "{result:?}");
        if !free {
            assert_eq!(disk.content(&Path::new(DATA).join("log.46")).unwrap(), content);
        }
    }
}

/// What a learner is sent from disk.
#[test]
fn ranges_for_a_sync() {
    let disk = disk_of("java-3.8.0/standalone");
    let dirs = dirs_of(&disk);
    let read = |from: i64| -> Option<Vec<i64>> {
        let (first, mut reader) = range(&dirs, 1 << 20, Zxid(from)).unwrap()?;
        let mut zxids = vec![first.zxid.0];
        while let Some(logged) = reader.next_logged().unwrap() {
            zxids.push(logged.zxid.0);
        }
        Some(zxids)
    };
    assert_eq!(read(1), Some((1..=0x4a).collect()));
    assert_eq!(read(0x45), Some((0x45..=0x4a).collect()));
    assert_eq!(read(0x46), Some((0x46..=0x4a).collect()));
    assert_eq!(read(0x4b), None);
    let reader = TxnLogReader::open(&dirs, 1 << 20, Zxid(0x45), true).unwrap();
    assert_eq!(reader.bytes_left(), 65_552, "only log.46 is needed");

    // A file that is made while the reader is at the end of the last one is found.
    let mut reader = TxnLogReader::open(&dirs, 1 << 20, Zxid(0x49), true).unwrap();
    assert_eq!(reader.next_logged().unwrap().unwrap().zxid, Zxid(0x4a));
    let last = Durable::by_received_snapshot(Zxid(0x4a));
    let mut writer = TxnLogWriter::new(dirs.clone(), &small(), last);
    writer.append(&set_data(0x4b, 10)).unwrap();
    writer.commit().unwrap();
    assert_eq!(reader.next_logged().unwrap().unwrap().zxid, Zxid(0x4b));
    assert_eq!(reader.next_logged().unwrap(), None);
}

// --- truncation ----------------------------------------------------------------------------------

/// Java's table, without its two defects: a transaction too many if the target is missing, and
/// newer snapshots that bring everything back.
#[test]
fn truncation() {
    for (target, expected, left) in [
        (0x48, Some(0x48), "log.1 log.46 snapshot.0 snapshot.45"),
        (0x46, Some(0x46), "log.1 log.46 snapshot.0 snapshot.45"),
        (0x45, Some(0x45), "log.1 snapshot.0 snapshot.45"),
        (0x20, Some(0x20), "log.1 snapshot.0"),
        (0x4a, Some(0x4a), "log.1 log.46 snapshot.0 snapshot.45"),
        (0x99, None, "log.1 log.46 snapshot.0 snapshot.45"),
    ] {
        let disk = disk_of("java-3.8.0/standalone");
        let dirs = dirs_of(&disk);
        let result = truncate(&dirs, &Options::default(), Zxid(target));
        assert_eq!(names(&dirs).join(" "), left, "{target:x}");
        let restored = start(&dirs, &Options::default()).unwrap();
        match expected {
            Some(last) => {
                assert_eq!(result.unwrap().zxid(), Zxid(last));
                assert_eq!(restored.last.zxid(), Zxid(last));
                assert_eq!(restored.tree.last_zxid(), Zxid(last));
            }
            None => {
                assert!(matches!(result, Err(StorageError::Truncate { .. })));
                assert_eq!(restored.last.zxid(), Zxid(0x4a), "nothing was changed");
            }
        }
    }
    // The target is in no log, but a snapshot has it.
    let disk = disk_of("java-3.8.0/standalone");
    disk.remove(&Path::new(DATA).join("log.1")).unwrap();
    let dirs = dirs_of(&disk);
    truncate(&dirs, &Options::default(), Zxid(0x45)).unwrap();
    assert_eq!(start(&dirs, &Options::default()).unwrap().last.zxid(), Zxid(0x45));
    // And here nothing has it.
    let disk = disk_of("java-3.8.0/standalone");
    disk.remove(&Path::new(DATA).join("log.1")).unwrap();
    let result = truncate(&dirs_of(&disk), &Options::default(), Zxid(0x44));
    assert!(matches!(result, Err(StorageError::Truncate { .. })));
}

/// After a truncation the same zxids are logged again, with another content.
#[test]
fn a_new_history_behind_a_truncation() {
    let disk = FaultyDisk::new();
    let dirs = dirs_of(&disk);
    let options = small();
    let restored = start(&dirs, &options).unwrap();
    let mut writer = TxnLogWriter::new(dirs.clone(), &options, restored.last);
    for zxid in 1..=5 {
        writer.append(&create(zxid, None)).unwrap();
    }
    writer.commit().unwrap();
    let durable = truncate(&dirs, &options, Zxid(3)).unwrap();
    writer.restart_behind(durable);
    for zxid in 4..=6 {
        writer.append(&create(zxid, None)).unwrap();
        writer.commit().unwrap();
    }
    let restored = start(&dirs, &options).unwrap();
    assert_eq!((restored.last.zxid(), restored.replayed), (Zxid(6), 6));
    assert_eq!(names(&dirs), ["log.1", "log.4", "snapshot.0"]);
}

/// A leader that answers with a snapshot older than what we logged: what it does not have is gone.
#[test]
fn a_received_snapshot_is_the_whole_history() {
    let (_, dirs) = with_snapshots(&[10, 20, 30], 35);
    let options = small();
    let mut theirs = restored_at(15);
    let mut source = OwnedTreeSource::new(&mut theirs.tree).unwrap();
    let file = write_snapshot(&dirs, &options.snapshot, &mut source).unwrap();
    let durable = adopt_snapshot(&dirs, &options, file).unwrap();
    assert_eq!(names(&dirs).join(" "), "snapshot.f");
    let aside: Vec<_> = dirs.replaced().unwrap().into_iter().map(|found| found.name).collect();
    assert_eq!(
        aside.join(" "),
        "replaced-by-f.log.1 replaced-by-f.log.d replaced-by-f.snapshot.0 replaced-by-f.snapshot.a"
    );
    let restored = start(&dirs, &options).unwrap();
    assert_eq!((restored.last, restored.replayed), (durable, 0));
    assert_eq!(restored.tree.digest(), theirs.tree.digest());
    // Once the snapshot has proved readable nobody needs them.
    assert_eq!(purge(&dirs, options.field_max, 3, &[]).unwrap().deleted.len(), 4);
    assert_eq!(dirs.replaced().unwrap(), []);
    let mut writer = TxnLogWriter::new(dirs.clone(), &options, restored.last);
    writer.append(&create(0x1_0000_0001, None)).unwrap();
    writer.commit().unwrap();
    assert_eq!(start(&dirs, &options).unwrap().last.zxid(), Zxid(0x1_0000_0001));
}

/// Wherever a crash strikes while a snapshot takes over, what is there afterwards is the old
/// history, whole or cut behind the snapshot, or the snapshot: never less.
#[test]
fn a_received_snapshot_takes_over_at_once() {
    let options = small();
    for theirs_end in [15, 60] {
        let mut theirs = restored_at(theirs_end);
        for keep in [0, 1, 2] {
            let mut stop = 0;
            loop {
                let (disk, dirs) = with_snapshots(&[10, 20, 30], 35);
                let mut source = OwnedTreeSource::new(&mut theirs.tree).unwrap();
                let file = write_snapshot(&dirs, &options.snapshot, &mut source).unwrap();
                drop(source);
                disk.stop_after(stop);
                let done = adopt_snapshot(&dirs, &options, file).is_ok();
                drop(dirs);
                match keep {
                    2 => disk.kill(),
                    keep => disk.lose_power(&mut |n| keep * (n - 1)),
                }
                let restored = start(&dirs_of(&disk), &options).unwrap();
                let last = restored.last.zxid().0;
                let least = theirs_end.min(35);
                assert!((least..=theirs_end.max(35)).contains(&last), "{stop}: {last}");
                assert!(!done || last == theirs_end, "{stop}: {last}");
                assert_eq!(restored.tree.digest(), restored_at(last).tree.digest());
                if done {
                    break;
                }
                stop += 1;
            }
            assert!(stop > 10, "the crash points were reached: {stop}");
        }
    }
}

/// A server of its own with the transactions up to `zxid`.
fn restored_at(zxid: i64) -> Restored {
    let dirs = dirs_of(&FaultyDisk::new());
    let mut restored = start(&dirs, &Options::default()).unwrap();
    for zxid in 1..=zxid {
        restored.tree.apply(&create(zxid, None), &mut |_| {});
    }
    restored
}

// --- snapshots and purge -------------------------------------------------------------------------

fn take_snapshot(dirs: &Arc<DataDirs>, restored: &mut Restored) -> Result<PathBuf, StorageError> {
    let options = Options::default();
    let mut source = OwnedTreeSource::new(&mut restored.tree)?;
    write_snapshot(dirs, &options.snapshot, &mut source)?.publish(restored.last)
}

#[test]
fn snapshots_wait_for_the_log() {
    let disk = disk_of("java-3.8.0/standalone");
    let dirs = dirs_of(&disk);
    let mut restored = start(&dirs, &Options::default()).unwrap();
    restored.last = Durable::by_received_snapshot(Zxid(0x49));
    let before = names(&dirs);
    assert!(matches!(
        take_snapshot(&dirs, &mut restored),
        Err(StorageError::NotCovered { snapshot: Zxid(0x4a), durable: Zxid(0x49) })
    ));
    assert_eq!(names(&dirs), before);
    assert_eq!(disk.list(Path::new(DATA)).unwrap().len(), before.len(), "no leftover");
}

/// A log of `zxids`, snapshots at some of them.
fn with_snapshots(snapshots: &[i64], zxids: i64) -> (FaultyDisk, Arc<DataDirs>) {
    let disk = FaultyDisk::new();
    let dirs = dirs_of(&disk);
    let options = small();
    let mut restored = start(&dirs, &options).unwrap();
    let mut writer = TxnLogWriter::new(dirs.clone(), &options, restored.last);
    for zxid in 1..=zxids {
        let proposal = create(zxid, None);
        restored.tree.apply(&proposal, &mut |_| {});
        writer.append(&proposal).unwrap();
        restored.last = writer.commit().unwrap().durable;
        if snapshots.contains(&zxid) {
            // As under load: the log goes on a little behind the snapshot, then rolls.
            take_snapshot(&dirs, &mut restored).unwrap();
        }
        if snapshots.contains(&(zxid - 2)) {
            writer.roll().unwrap();
        }
    }
    (disk, dirs)
}

#[test]
fn purge_keeps_what_is_needed() {
    let max = jute::codec::DEFAULT_MAX_FIELD;
    let (disk, dirs) = with_snapshots(&[10, 20, 30, 40, 50], 55);
    assert_eq!(
        names(&dirs).join(" "),
        "log.1 log.d log.17 log.21 log.2b log.35 snapshot.0 snapshot.a snapshot.14 snapshot.1e \
         snapshot.28 snapshot.32"
    );
    // Oldest kept: 0x1e. The log that holds what follows it began before it.
    let expected = "log.17 log.21 log.2b log.35 snapshot.1e snapshot.28 snapshot.32";
    let pinned = purge::plan(&dirs, max, 3, &[Zxid(5)]).unwrap();
    assert!(pinned.logs.is_empty(), "a running sync reads them");
    assert_eq!(pinned.snapshots.len(), 3);
    disk.put(&Path::new(DATA).join("log.foo"), b"not ours");
    let purged = purge(&dirs, max, 1, &[]).unwrap();
    assert_eq!((purged.deleted.len(), purged.failed.len()), (5, 0));
    assert_eq!(names(&dirs).join(" "), expected);
    assert!(disk.content(&Path::new(DATA).join("log.foo")).is_some());
    assert_eq!(start(&dirs, &Options::default()).unwrap().last.zxid(), Zxid(55));
    assert!(purge(&dirs, max, 3, &[]).unwrap().deleted.is_empty());
}

/// Three damaged newer snapshots do not push out the last good ones.
#[test]
fn purge_counts_only_good_snapshots() {
    let max = jute::codec::DEFAULT_MAX_FIELD;
    let (disk, dirs) = with_snapshots(&[10, 20, 30, 40, 50], 55);
    for zxid in [0x1e, 0x28, 0x32] {
        disk.flip(&Path::new(DATA).join(format!("snapshot.{zxid:x}")), 100, 3);
    }
    assert!(purge(&dirs, max, 3, &[]).unwrap().deleted.is_empty());
    let restored = start(&dirs, &Options::default()).unwrap();
    assert_eq!((restored.snapshot, restored.refused.len()), (Some(Zxid(0x14)), 3));
    assert_eq!(restored.last.zxid(), Zxid(55));

    for zxid in [0, 0xa, 0x14] {
        disk.flip(&Path::new(DATA).join(format!("snapshot.{zxid:x}")), 100, 3);
    }
    let error = start(&dirs, &Options::default()).unwrap_err();
    assert!(matches!(error, StorageError::NoValidSnapshot { .. }), "{error}");
    assert!(purge(&dirs, max, 3, &[]).unwrap().deleted.is_empty());
}

// --- directories ---------------------------------------------------------------------------------

fn open_real(data: &Path, log: Option<&Path>, options: &Options) -> Result<DataDirs, String> {
    DataDirs::open(Arc::new(RealDisk), data, log, options).map_err(|e| {
        assert_eq!(e.exit_code(), 3, "{e}");
        e.to_string()
    })
}

#[test]
fn directories_that_cannot_be_used() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("data");
    let manual = Options { datadir_auto_create: false, ..Options::default() };
    let error = open_real(&data, None, &manual).unwrap_err();
    assert!(error.contains("automatic data directory creation is disabled"), "{error}");
    assert!(!data.exists());

    let dirs = open_real(&data, None, &Options::default()).unwrap();
    let error = open_real(&data, None, &Options::default()).unwrap_err();
    assert!(error.contains("in use by another running server"), "{error}");
    let left: Vec<_> = fs::read_dir(data.join("version-2")).unwrap().collect();
    assert!(left.is_empty(), "the lock leaves no file: {left:?}");
    drop(dirs);
    open_real(&data, None, &Options::default()).unwrap();

    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = open_real(&file, None, &Options::default()).unwrap_err();
    assert!(error.contains("Not a directory"), "{error}");

    // Swapped.
    let logs = root.path().join("logs");
    drop(open_real(&data, Some(&logs), &Options::default()).unwrap());
    fs::write(logs.join("version-2/snapshot.5"), "x").unwrap();
    let error = open_real(&data, Some(&logs), &Options::default()).unwrap_err();
    assert!(error.starts_with("Log directory has snapshot files."), "{error}");
    fs::remove_file(logs.join("version-2/snapshot.5")).unwrap();
    fs::write(data.join("version-2/log.5"), "x").unwrap();
    let error = open_real(&data, Some(&logs), &Options::default()).unwrap_err();
    assert!(error.starts_with("Snapshot directory has log files."), "{error}");
}

#[test]
fn leftovers_of_a_crash_are_removed_and_nothing_else() {
    let disk = FaultyDisk::new();
    for name in ["new-log.5", "new-snapshot.7.gz", "notes.txt", "currentEpoch.tmp"] {
        disk.put(&Path::new(DATA).join(name), b"7");
    }
    drop(dirs_of(&disk));
    let left: Vec<_> = disk.list(Path::new(DATA)).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(left, ["currentEpoch.tmp", "notes.txt"]);
}

#[test]
fn my_id() {
    for (content, expected) in [
        (Some("3"), Ok(Some(Sid(3)))),
        (Some("3\n"), Ok(Some(Sid(3)))),
        (Some("255\nrest"), Ok(Some(Sid(255)))),
        (None, Ok(None)),
        (Some("1 "), Err("serverid 1  is not a number")),
        (Some(""), Err("serverid  is not a number")),
        (Some("x"), Err("serverid x is not a number")),
    ] {
        let disk = FaultyDisk::new();
        if let Some(content) = content {
            disk.put(Path::new("/data/myid"), content.as_bytes());
        }
        match (dirs_of(&disk).my_id(), expected) {
            (Ok(id), Ok(expected)) => assert_eq!(id, expected),
            (Err(e), Err(text)) => assert!(e.to_string().starts_with(text), "{e}"),
            other => panic!("{content:?}: {other:?}"),
        }
    }
}

/// `QuorumPeer.loadDataBase`.
/// A decimal on the first line, as Java writes and reads it.
#[test]
fn epochs() {
    for (content, expected) in [
        (None, Ok(None)),
        (Some("2"), Ok(Some(Epoch(2)))),
        (Some("12\n"), Ok(Some(Epoch(12)))),
        (Some("3\r\nrest"), Ok(Some(Epoch(3)))),
        (Some("abc"), Err("Found abc in /data/version-2/currentEpoch")),
        (Some(""), Err("Found null in /data/version-2/currentEpoch")),
        (Some("99999999999999999999"), Err("Found 99999999999999999999 in ")),
    ] {
        let disk = FaultyDisk::new();
        if let Some(content) = content {
            disk.put(&Path::new(DATA).join("currentEpoch"), content.as_bytes());
        }
        match (dirs_of(&disk).current_epoch(), expected) {
            (Ok(epoch), Ok(expected)) => assert_eq!(epoch, expected),
            (Err(e), Err(text)) => assert!(e.to_string().starts_with(text), "{e}"),
            (got, expected) => panic!("{content:?}: {got:?}, not {expected:?}"),
        }
    }
}

/// An epoch is the old or the new one after every crash, and the new one once the call returned.
#[test]
fn epoch_files_are_swapped() {
    for stop in 0..6 {
        for keep in [0, 1] {
            let disk = FaultyDisk::new();
            disk.put(&Path::new(DATA).join("acceptedEpoch"), b"7");
            let dirs = dirs_of(&disk);
            disk.stop_after(stop);
            let done = dirs.write_accepted_epoch(Epoch(8)).is_ok();
            disk.lose_power(&mut |n| keep * (n - 1));
            let content = disk.content(&Path::new(DATA).join("acceptedEpoch")).unwrap();
            assert!(content == b"8" || (!done && content == b"7"), "{stop} {content:?}");
            assert_eq!(done, stop >= 5, "create, write, sync, rename, sync of the directory");
        }
    }
}

#[test]
fn empty_and_half_empty_databases() {
    // Nothing there: a new database, with its first snapshot.
    let disk = FaultyDisk::new();
    let dirs = dirs_of(&disk);
    let restored = start(&dirs, &Options::default()).unwrap();
    assert_eq!((restored.last.zxid(), restored.tree.node_count()), (Zxid(0), 4));
    assert_eq!(names(&dirs), ["snapshot.0"]);

    // Unless that must not be assumed.
    let careful = Options { db_auto_create: false, ..Options::default() };
    let disk = FaultyDisk::new();
    let dirs = dirs_of(&disk);
    assert_eq!(start(&dirs, &careful).unwrap().last.zxid(), Zxid(-1));
    assert!(names(&dirs).is_empty());
    disk.put(Path::new("/data/initialize"), b"");
    assert_eq!(start(&dirs, &careful).unwrap().last.zxid(), Zxid(0));
    assert!(disk.content(Path::new("/data/initialize")).is_none());
    assert_eq!(names(&dirs), ["snapshot.0"]);

    // Logs only.
    let dirs = dirs_of(&disk_of("java-3.8.0/variants/no-snapshot"));
    let trusting = Options { snapshot_trust_empty: true, ..Options::default() };
    assert!(start(&dirs, &Options::default()).is_err());
    let restored = start(&dirs, &trusting).unwrap();
    assert_eq!((restored.last.zxid(), restored.replayed), (Zxid(0x4a), 74));
    assert_eq!(names(&dirs), ["log.1", "log.46", "snapshot.4a"]);
    assert_eq!(start(&dirs, &Options::default()).unwrap().last.zxid(), Zxid(0x4a));

    // An incomplete snapshot and no logs: there was something.
    let disk = FaultyDisk::new();
    disk.put(&Path::new(DATA).join("snapshot.45"), b"ZKSN");
    let error = start(&dirs_of(&disk), &Options::default()).unwrap_err();
    assert!(matches!(error, StorageError::NoValidSnapshot { .. }), "{error}");
    // But the very first snapshot, interrupted, was of nothing.
    let disk = FaultyDisk::new();
    disk.put(&Path::new(DATA).join("snapshot.0"), b"ZKSN");
    assert_eq!(start(&dirs_of(&disk), &Options::default()).unwrap().last.zxid(), Zxid(0));
}
