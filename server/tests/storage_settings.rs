//! Keys about files: from `zoo.cfg` to what is on disk.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::*;
use jute::proto::op;
use jute::txn::Txn;
use rookeeper::base::{Proposal, Zxid};
use rookeeper::server::{Exit, Handle, Server, StartError};
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::snapshot::reader;
use rookeeper::storage::txnlog::TxnLogReader;
use rookeeper::storage::{DataDirs, RealDisk, Restored, StorageError, restore};
use rookeeper::tree::TreeOptions;
use tempfile::TempDir;

const FIELD_MAX: usize = jute::codec::DEFAULT_MAX_FIELD;

fn names(dir: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(dir.join("version-2")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

fn write(server: &TestServer, count: usize, bytes: usize) {
    let mut client = server.client();
    for _ in 0..count {
        assert_eq!(client.create("/n", &vec![1; bytes], 2).err, 0);
    }
}

/// Every transaction in the logs.
fn logged(dir: &Path) -> Vec<Proposal> {
    let dirs = Arc::new(DataDirs::unlocked(Arc::new(RealDisk), dir, None));
    let mut log = TxnLogReader::open(&dirs, FIELD_MAX, Zxid(0), false).unwrap();
    std::iter::from_fn(|| log.next_proposal().unwrap()).collect()
}

fn on_faulty_disk(text: &str) -> (FaultyDisk, Handle, TempDir) {
    let dir = TempDir::new().unwrap();
    let disk = FaultyDisk::new();
    let mut options = options(&config(dir.path(), text, ""));
    options.disk = Arc::new(disk.clone());
    let handle = Server::start(options).unwrap_or_else(|e| panic!("{text}: {e}"));
    (disk, handle, dir)
}

fn burst(client: &mut Client, writes: i32) {
    let mut bytes = Vec::new();
    for xid in 0..writes {
        bytes.extend(request(xid, op::CREATE, &create("/n", b"data", 2)));
    }
    client.send_raw(&bytes);
    for xid in 0..writes {
        let reply = client.read();
        assert_eq!((reply.xid, reply.err), (xid, 0));
    }
}

#[test]
fn files_are_named_and_placed_as_javas() {
    let (data, logs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let text = format!("dataLogDir={}", logs.path().display());
    let start = |text: &str| start_when_free(|| options(&config(data.path(), text, "")));
    let handle = start(&text).unwrap();
    assert_eq!(names(data.path(), "snapshot"), ["snapshot.0"], "an empty database has one at once");
    // Zxid 1 is the session.
    let mut client = Client::connect(handle.addresses()[0]);
    assert_eq!(client.create("/a", b"", 0).err, 0);
    assert_eq!(handle.stop(), Exit::Finished);
    // The directories stay locked as long as there is a handle.
    drop(handle);
    assert_eq!(names(data.path(), "log"), [""; 0]);
    assert_eq!(names(logs.path(), "log"), ["log.1"]);
    // A start that replayed something takes a snapshot and goes on in a new log.
    let handle = start(&text).unwrap();
    // In the background, of the tree as it is when its turn comes.
    until("it is taken", || names(data.path(), "snapshot").len() == 2);
    let mut client = Client::connect(handle.addresses()[0]);
    assert_eq!(client.create("/b", b"", 0).err, 0);
    handle.stop();
    drop(handle);
    assert_eq!(names(data.path(), "snapshot"), ["snapshot.0", "snapshot.2"]);
    assert_eq!(names(logs.path(), "log"), ["log.1", "log.3"]);
    // The other way round: nothing is touched, and the exit code is Java's.
    let swapped =
        format!("dataDir={}\ndataLogDir={}", logs.path().display(), data.path().display());
    let error = start(&swapped).err().expect("the directories are mixed up");
    assert_eq!(error.exit_code(), 3, "{error}");
    let together = format!("dataLogDir={}", data.path().display());
    assert!(start(&together).is_ok_and(|h| h.stop() == Exit::Finished), "other data, but data");
}

#[test]
fn logs_are_padded_in_steps() {
    for (kib, step) in [(64u64, 64u64 << 10), (16, 16 << 10)] {
        let server = TestServer::configured(&format!("preAllocSize={kib}"), "");
        write(&server, 1, 10);
        let len = |dir: &TempDir| dir.path().join("version-2/log.1").metadata().unwrap().len();
        assert_eq!((len(&server.dir) - 16) % step, 0, "whole steps behind the header");
        assert!(len(&server.dir) >= step);
        write(&server, 10, 10_000);
        assert_eq!((len(&server.dir) - 16) % step, 0);
        assert!(len(&server.dir) > 100_000);
        server.stop();
    }
}

#[test]
fn logs_roll_and_snapshots_are_taken() {
    for (text, rolls) in [
        ("snapCount=8", true),
        ("snapSizeLimitInKb=8", true),
        ("txnLogSizeLimitInKb=8", true),
        ("snapCount=1000\nsnapSizeLimitInKb=0\ntxnLogSizeLimitInKb=0", false),
        ("", false),
    ] {
        let server = TestServer::configured(text, "");
        write(&server, 60, 1000);
        let dir = server.stop();
        let logs = names(dir.path(), "log");
        assert_eq!(logs.len() > 4, rolls, "{text}: {logs:?}");
        let snapshots = names(dir.path(), "snapshot");
        assert_eq!(snapshots.len() > 1, text.starts_with("snap") && rolls, "{text}: {snapshots:?}");
        // Each log begins where the one before ended.
        let zxids: Vec<i64> = logged(dir.path()).iter().map(|p| p.zxid().0).collect();
        assert_eq!(zxids, (1..=61).collect::<Vec<_>>(), "{text}");
    }
}

/// Between half of `snapCount` and `snapCount`, drawn anew each time.
#[test]
fn snapshots_come_at_random_distances() {
    let server = TestServer::configured("snapCount=20", "");
    // One at a time, so that no batch straddles a roll.
    write(&server, 400, 1);
    let dir = server.stop();
    let starts: Vec<i64> = names(dir.path(), "log")
        .iter()
        .map(|name| i64::from_str_radix(&name["log.".len()..], 16).unwrap())
        .collect();
    let mut starts = starts;
    starts.sort();
    let distances: Vec<i64> = starts.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(distances.len() > 15, "{distances:?}");
    assert!(distances.iter().all(|d| (11..=20).contains(d)), "{distances:?}");
    assert!(distances.iter().any(|d| *d != distances[0]), "{distances:?}");
}

#[test]
fn syncs_can_be_switched_off() {
    for (text, syncs) in [("forceSync=no", 0), ("forceSync=yes", 5), ("forceSync=NO", 5)] {
        let (disk, handle, _dir) = on_faulty_disk(text);
        let mut client = Client::connect(handle.addresses()[0]);
        let before = disk.syncs();
        for _ in 0..5 {
            assert_eq!(client.create("/n", b"", 2).err, 0);
        }
        assert_eq!(disk.syncs() - before, syncs, "{text}");
        handle.stop();
    }
}

#[test]
fn one_sync_serves_a_batch() {
    let syncs = |text: &str, writes| {
        let (disk, handle, _dir) = on_faulty_disk(text);
        let mut client = Client::connect(handle.addresses()[0]);
        let before = disk.syncs();
        burst(&mut client, writes);
        let syncs = disk.syncs() - before;
        handle.stop();
        syncs
    };
    assert_eq!(syncs("maxBatchSize=1", 500), 500);
    assert_eq!(syncs("maxBatchSize=1", 3), 3);
    assert!(syncs("", 5000) < 2500, "group commit");
}

/// An hour means: not in this test.
#[test]
fn a_sync_may_wait_for_company() {
    let hour = 3_600_000;
    // Three make a batch: the handshakes, then the writes.
    let text = format!(
        "flushDelay={hour}\nmaxWriteQueuePollTime={hour}\nmaxBatchSize=3\n\
         4lw.commands.whitelist=mntr"
    );
    let (disk, handle, _dir) = on_faulty_disk(&text);
    let mut clients: Vec<_> = (0..3).map(|_| Client::raw(handle.addresses()[0])).collect();
    let hello = "0000002d 00000000 0000000000000000 00009c40 0000000000000000 \
        00000010 00000000000000000000000000000000 00";
    let before = disk.syncs();
    clients.iter_mut().for_each(|client| client.send_raw(&unhex(hello)));
    for client in &mut clients {
        assert_eq!(client.read_frame().expect("a session").len(), 37);
    }
    assert_eq!(disk.syncs() - before, 1, "one for three");
    burst(&mut clients[0], 3);
    assert_eq!(disk.syncs() - before, 2);
    // What waits is not lost by a stop.
    clients[1].send(op::CREATE, &create("/waits", b"", 0));
    until("it is queued", || {
        word(handle.addresses()[0], "mntr").contains("zk_sync_processor_request_queued\t7\n")
    });
    handle.stop();
    assert_eq!(disk.syncs() - before, 3);

    // Whichever comes first ends the waiting: the delay, or silence.
    for text in [
        format!("flushDelay=1\nmaxWriteQueuePollTime={hour}"),
        format!("flushDelay={hour}\nmaxWriteQueuePollTime=1"),
        format!("flushDelay=-1\nmaxWriteQueuePollTime={hour}"),
    ] {
        let server = TestServer::configured(&text, "");
        write(&server, 3, 1);
        server.stop();
    }
}

#[test]
fn slow_syncs_are_counted() {
    for (text, flags, counted) in [
        ("fsync.warningthresholdms=0", "", true),
        ("", "-Dfsync.warningthresholdms=0", true),
        ("fsync.warningthresholdms=3600000", "", false),
    ] {
        let server = TestServer::configured(text, flags);
        write(&server, 3, 10);
        let slow = server.handle.view().stats().fsync_threshold_exceeded;
        assert_eq!(slow > 0, counted, "{text} {flags}");
        server.stop();
    }
}

/// `ACK-AFTER-FSYNC`: the write is not answered and the server ends.
#[test]
fn a_log_that_cannot_be_synced_ends_the_server() {
    let (dir, disk) = (TempDir::new().unwrap(), FaultyDisk::new());
    let mut options = options(&config(dir.path(), "", ""));
    options.disk = Arc::new(disk.clone());
    let metrics = options.metrics.clone();
    let handle = Server::start(options).unwrap_or_else(|e| panic!("{e}"));
    let mut client = Client::connect(handle.addresses()[0]);
    assert_eq!(client.create("/a", b"", 0).err, 0);
    disk.fail_sync_after(0);
    client.send(op::CREATE, &create("/b", b"", 0));
    assert_eq!(handle.wait(), Exit::StorageFailed);
    assert_eq!(handle.stop(), Exit::StorageFailed);
    assert!(client.is_closed(), "no answer");
    assert_eq!(metrics.unrecoverable_error_count.get(), 1);
}

fn snapshot_of(text: &str) -> (TempDir, PathBuf) {
    let server = TestServer::configured(text, "");
    write(&server, 3, 10);
    let server = TestServer::configured_on(server.stop(), text, "");
    let dir = server.stop();
    let newest = names(dir.path(), "snapshot").pop().expect("a snapshot");
    let path = dir.path().join("version-2").join(newest);
    (dir, path)
}

#[test]
fn snapshots_have_the_sections_and_compression_asked_for() {
    for (text, suffix, digest, last_zxid) in [
        ("", "", true, true),
        ("snapshot.compression.method=gz", ".gz", true, true),
        ("snapshot.compression.method=snappy", ".snappy", true, true),
        ("serializeLastProcessedZxid.enabled=false", "", true, false),
        ("digest.enabled=false", "", false, false),
    ] {
        let (dir, path) = snapshot_of(text);
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name, format!("snapshot.4{suffix}"), "{text}");
        let sections = reader::verify(&RealDisk, &path, FIELD_MAX).unwrap();
        assert_eq!(sections.digest.is_some(), digest, "{text}");
        assert_eq!(sections.last_zxid.is_some(), last_zxid, "{text}");
        // Whatever is written is read, with other settings, too.
        let server = TestServer::configured_on(dir, "", "");
        assert_eq!(server.client().get("/n0000000002", false).err, 0, "{text}");
        server.stop();
    }
}

#[test]
fn transactions_carry_digests_and_paths() {
    for (text, digest, paths) in [
        ("", true, true),
        ("digest.enabled=false", false, true),
        ("closeSessionTxn.enabled=false", true, false),
    ] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        client.create("/e", b"", 1);
        client.create("/f", b"", 1);
        assert_eq!(client.call(op::CLOSE_SESSION, b"").err, 0);
        assert_eq!(server.client().get("/e", false).err, -101);
        let dir = server.stop();
        let log = logged(dir.path());
        assert!(log[..4].iter().all(|p| p.digest.is_some() == digest), "{text}");
        let Txn::CloseSession(close) = &log[3].txn else { panic!("{:?}", log[3]) };
        let listed: Option<Vec<_>> = close.as_ref().map(|close| {
            let list = close.paths_to_delete.iter().flatten();
            list.map(|path| path.clone().unwrap()).collect()
        });
        let expected = paths.then(|| vec!["/e".to_owned(), "/f".to_owned()]);
        assert_eq!(listed, expected, "{text}");
        // It replays to the same state, whatever the settings are then.
        let server = TestServer::configured_on(dir, "", "");
        assert_eq!(server.client().get("/f", false).err, -101, "{text}");
        server.stop();
    }
}

fn start(dir: &TempDir, text: &str) -> Result<Exit, StartError> {
    start_when_free(|| options(&config(dir.path(), text, ""))).map(|handle| handle.stop())
}

#[test]
fn directories_are_made_on_demand_only() {
    let dir = TempDir::new().unwrap();
    let error = start(&dir, "datadir.autocreate=false").unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("automatic data directory creation is disabled"), "{error}");
    assert!(!dir.path().join("version-2").exists());
    start(&dir, "").unwrap();
    start(&dir, "datadir.autocreate=false").unwrap();
}

#[test]
fn logs_without_a_snapshot_are_trusted_on_demand_only() {
    let server = TestServer::configured("", "");
    write(&server, 3, 10);
    let dir = server.stop();
    fs::remove_file(dir.path().join("version-2/snapshot.0")).unwrap();
    let error = start(&dir, "").unwrap_err();
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("No snapshot found, but there are log entries"), "{error}");
    let server = TestServer::configured_on(dir, "snapshot.trust.empty=true", "");
    assert_eq!(server.client().get("/n0000000002", false).err, 0);
    let dir = server.stop();
    // It has a snapshot now.
    start(&dir, "").unwrap();
}

#[test]
fn an_empty_database_may_need_a_marker() {
    let open = |dir: &TempDir, text: &str| -> Result<Restored, StorageError> {
        let options = config(dir.path(), text, "").storage_options(1);
        let dirs = DataDirs::open(Arc::new(RealDisk), dir.path(), None, &options)?;
        restore(&Arc::new(dirs), &options, TreeOptions::default())
    };
    let dir = TempDir::new().unwrap();
    let restored = open(&dir, "db.autocreate=false").unwrap();
    assert_eq!(restored.last.zxid(), Zxid(-1), "no vote with it");
    fs::write(dir.path().join("initialize"), "").unwrap();
    let restored = open(&dir, "db.autocreate=false").unwrap();
    assert_eq!(restored.last.zxid(), Zxid(0));
    assert!(!dir.path().join("initialize").exists(), "used up");
    let dir = TempDir::new().unwrap();
    assert_eq!(open(&dir, "").unwrap().last.zxid(), Zxid(0));
}

#[test]
fn old_files_are_purged() {
    let mut dir = TempDir::new().unwrap();
    for n in 0..6 {
        let server = TestServer::configured_on(dir, "", "");
        // Before the write, or the next start has nothing to replay.
        until("it has its snapshot", || names(server.dir.path(), "snapshot").len() == n + 1);
        write(&server, 1, 1);
        dir = server.stop();
    }
    assert_eq!(names(dir.path(), "snapshot").len(), 6);
    // Off: nothing goes.
    start(&dir, "autopurge.purgeInterval=0").unwrap();
    assert!(names(dir.path(), "snapshot").len() >= 6);
    // At once at the start; fewer than 3 are never kept.
    for (text, kept) in [("autopurge.snapRetainCount=4", 4), ("autopurge.snapRetainCount=1", 3)] {
        let text = format!("{text}\nautopurge.purgeInterval=1");
        let server = TestServer::configured_on(dir, &text, "");
        while names(server.dir.path(), "snapshot").len() > kept {
            std::thread::yield_now();
        }
        dir = server.stop();
        assert_eq!(names(dir.path(), "snapshot").len(), kept);
        // The rest is enough.
        let oldest = logged(dir.path())[0].zxid();
        assert!(oldest > Zxid(1), "logs go, too");
    }
    let server = TestServer::configured_on(dir, "", "");
    assert_eq!(server.client().get("/n0000000005", false).err, 0);
    server.stop();
}

#[test]
fn a_directory_in_use_is_refused() {
    let server = TestServer::start();
    let error = Server::start(options(&config(server.dir.path(), "", ""))).err().expect("in use");
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("is in use by another running server"), "{error}");
    server.stop();
}

#[test]
fn directories_tell_their_sizes() {
    let server = TestServer::configured("4lw.commands.whitelist=dirs, conf", "");
    write(&server, 1, 1);
    let sum = |prefix: &str| -> u64 {
        let dir = server.dir.path().join("version-2");
        let files = names(server.dir.path(), prefix);
        files.iter().map(|name| dir.join(name).metadata().unwrap().len()).sum()
    };
    // One directory holds both, and each line counts all of it.
    let both = sum("snapshot") + sum("log");
    assert_eq!(server.word("dirs"), format!("datadir_size: {both}\nlogdir_size: {both}\n"));
    server.stop();
}
