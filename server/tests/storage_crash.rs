//! Random transactions, random crashes: what was acknowledged survives, a restart always succeeds,
//! and the state is that of a whole number of transactions.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jute::data::Acl;
use jute::proto::op;
use jute::txn::{
    CreateSessionTxn, CreateTxn, DeleteTxn, ErrorTxn, MultiTxn, SetDataTxn, SubTxn, Txn, TxnHeader,
};
use jute::{Encode, data};
use rookeeper::base::{Epoch, Proposal, Zxid};
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::purge::purge;
use rookeeper::storage::truncate::truncate;
use rookeeper::storage::{
    Compression, DataDirs, LogOptions, Options, OwnedTreeSource, SnapshotOptions, StorageError,
    TxnLogWriter, restore, write_snapshot,
};
use rookeeper::tree::{DataTree, TreeOptions};

/// xorshift64*: the whole run follows from the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 |= 1;
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What the clients know: every transaction ever proposed that may still count, with the digest of
/// the tree after it, and up to where they were told "done".
#[derive(Default)]
struct History {
    transactions: Vec<(Proposal, i64)>,
    acknowledged: usize,
}

fn random_bytes(random: &mut Random) -> Option<Bytes> {
    let len = match random.below(6) {
        0 => return None,
        1 => 0,
        2 => random.below(3000),
        3 => return Some(vec![0; random.below(3000) as usize].into()),
        _ => random.below(100),
    };
    Some((0..len).map(|_| random.below(256) as u8).collect::<Vec<_>>().into())
}

fn random_record(random: &mut Random) -> (i32, Txn) {
    let path = Some(format!("/n{}", random.below(8)));
    let acl = Some(vec![Acl::world(data::PERM_ALL)]);
    match random.below(7) {
        0 | 1 => {
            let txn = CreateTxn {
                path,
                data: random_bytes(random),
                acl,
                ephemeral: false,
                parent_cversion: random.below(50) as i32,
            };
            (op::CREATE, Txn::Create(txn))
        }
        2 => (op::DELETE, Txn::Delete(DeleteTxn { path })),
        3 => {
            let timeout = 1000 + random.below(1000) as i32;
            (op::CREATE_SESSION, Txn::CreateSession(CreateSessionTxn { timeout }))
        }
        4 => (op::ERROR, Txn::Error(ErrorTxn { err: -101 })),
        _ => {
            let version = random.below(100) as i32;
            let txn = SetDataTxn { path, data: random_bytes(random), version };
            (op::SET_DATA, Txn::SetData(txn))
        }
    }
}

fn random_proposal(random: &mut Random, zxid: Zxid) -> Proposal {
    let (kind, txn) = if random.one_in(8) {
        let subs = (0..random.below(4)).filter_map(|_| {
            let (kind, txn) = random_record(random);
            let allowed = [op::CREATE, op::DELETE, op::SET_DATA].contains(&kind);
            allowed.then(|| SubTxn { kind, data: Some(txn.to_vec().into()) })
        });
        (op::MULTI, Txn::Multi(MultiTxn { txns: Some(subs.collect()) }))
    } else {
        random_record(random)
    };
    let client_id = 0x1_0000 + random.below(5) as i64;
    let header = TxnHeader { client_id, cxid: 1, zxid: zxid.0, time: zxid.0 * 7, kind };
    Proposal::encode(header, txn, None)
}

struct Server {
    dirs: Arc<DataDirs>,
    options: Options,
    writer: TxnLogWriter,
    tree: DataTree,
    pending: usize,
}

struct World {
    random: Random,
    disk: FaultyDisk,
    history: History,
    options: Options,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let compression =
            [Compression::None, Compression::Gzip, Compression::Snappy][random.below(3) as usize];
        let log = LogOptions {
            preallocate_bytes: [0, 1 << 10, 8 << 10, 64 << 10][random.below(4) as usize],
            snap_count: 2 + random.below(60) as u32,
            log_size_limit_bytes: random.one_in(3).then(|| 1 + random.below(20_000)),
            seed,
            ..LogOptions::default()
        };
        let snapshot = SnapshotOptions { compression, ..SnapshotOptions::default() };
        let options = Options { log, snapshot, ..Options::default() };
        Self { random, disk: FaultyDisk::new(), history: History::default(), options }
    }

    /// Starts on what the last crash left, and compares it with what the clients know.
    fn start(&mut self) -> Server {
        let disk = Arc::new(self.disk.clone());
        let dirs = Arc::new(
            DataDirs::open(disk, Path::new("/data"), Some(Path::new("/log")), &self.options)
                .expect("the directories can always be opened"),
        );
        let restored = restore(&dirs, &self.options, TreeOptions::default())
            .unwrap_or_else(|e| panic!("a restart always succeeds: {e}"));
        restored.tree.check().unwrap();
        let last = restored.last.zxid();
        let known = &mut self.history.transactions;
        let count = known.iter().position(|t| t.0.zxid() > last).unwrap_or(known.len());
        assert!(count >= self.history.acknowledged, "acknowledged transactions were lost");
        let digest = if count == 0 { 1_371_985_504 } else { known[count - 1].1 };
        assert_eq!(restored.tree.digest(), digest, "the state at {last} is not the history's");
        assert_eq!(last, if count == 0 { Zxid(0) } else { known[count - 1].0.zxid() });
        for proposal in &restored.recent {
            let expected = known.iter().find(|t| t.0.zxid() == proposal.zxid());
            assert_eq!(expected.map(|t| &t.0), Some(&**proposal));
        }
        // What was not acknowledged and is there counts from now on; what is not there never
        // happened, and its zxids are used again.
        known.truncate(count);
        self.history.acknowledged = count;
        let writer = TxnLogWriter::new(dirs.clone(), &self.options, restored.last);
        let options = self.options.clone();
        Server { dirs, options, writer, tree: restored.tree, pending: 0 }
    }

    fn propose(&mut self, server: &mut Server) -> Result<(), StorageError> {
        let last = server.writer.appended();
        let zxid = if self.random.one_in(40) {
            Zxid::new(Epoch(last.epoch().0 + 1), 1)
        } else {
            last.next().unwrap()
        };
        let proposal = random_proposal(&mut self.random, zxid);
        server.tree.apply(&proposal, &mut |_| {});
        self.history.transactions.push((proposal.clone(), server.tree.digest()));
        server.pending += 1;
        server.writer.append(&proposal)
    }

    fn commit(&mut self, server: &mut Server) -> Result<(), StorageError> {
        let committed = server.writer.commit()?;
        assert_eq!(committed.transactions, server.pending);
        assert_eq!(committed.durable.zxid(), server.writer.appended());
        server.pending = 0;
        self.history.acknowledged = self.history.transactions.len();
        if server.writer.roll_if_snapshot_due()? {
            self.snapshot(server)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, server: &mut Server) -> Result<(), StorageError> {
        let mut source = OwnedTreeSource::new(&mut server.tree)?;
        let snapshot = write_snapshot(&server.dirs, &server.options.snapshot, &mut source)?;
        drop(source);
        match snapshot.publish(server.writer.durable()) {
            Err(StorageError::NotCovered { .. }) => {
                assert!(server.pending > 0);
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    fn truncate(&mut self, server: &mut Server) -> Result<(), StorageError> {
        self.commit(server)?;
        let known = self.history.transactions.len();
        if known == 0 {
            return Ok(());
        }
        // The ensemble has a shorter history. The clients of these were never told.
        let keep = known - self.random.below(known.min(30) as u64) as usize;
        let target = self.history.transactions[keep - 1].0.zxid();
        self.history.acknowledged = keep;
        match truncate(&server.dirs, &server.options, target) {
            Ok(durable) => {
                self.history.transactions.truncate(keep);
                server.writer.restart_behind(durable);
                let restored = restore(&server.dirs, &server.options, TreeOptions::default())?;
                assert_eq!(restored.last.zxid(), target);
                server.tree = restored.tree;
                let digest = self.history.transactions.last().map(|t| t.1);
                assert_eq!(Some(server.tree.digest()), digest);
                Ok(())
            }
            // Purged too far; nothing changed.
            Err(StorageError::Truncate { .. }) => {
                self.history.acknowledged = known;
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    fn step(&mut self, server: &mut Server) -> Result<(), StorageError> {
        match self.random.below(24) {
            0..=14 => self.propose(server),
            15..=20 => self.commit(server),
            21 => self.snapshot(server),
            22 => {
                let field_max = server.options.field_max;
                let purged = purge(&server.dirs, field_max, 3, &[])?;
                purged.failed.into_iter().next().map_or(Ok(()), Err)
            }
            _ if self.random.one_in(4) => self.truncate(server),
            _ => server.writer.roll().inspect(|()| {
                server.pending = 0;
                self.history.acknowledged = self.history.transactions.len();
            }),
        }
    }

    /// One life of the process: until its fault strikes or it is killed.
    fn life(&mut self) {
        let mut server = self.start();
        let fault = self.random.below(4);
        match fault {
            0 => self.disk.stop_after(self.random.below(150)),
            1 => self.disk.fail_sync_after(self.random.below(40)),
            2 => self.disk.set_capacity(Some(2000 + self.random.below(60_000))),
            _ => {}
        }
        for _ in 0..self.random.below(200) {
            if let Err(e) = self.step(&mut server) {
                assert!(matches!(e, StorageError::Io { .. } | StorageError::LogFailed), "{e}");
                break;
            }
        }
        self.disk.set_capacity(None);
        if fault != 1 && self.random.one_in(3) {
            self.disk.kill();
        } else {
            let random = &mut self.random;
            // Some crashes lose everything unsynced, some nearly nothing.
            let bias = random.below(4);
            self.disk.lose_power(&mut |n| match bias {
                0 => 0,
                1 => n - 1,
                _ => random.below(n),
            });
        }
        drop(server);
    }
}

#[test]
fn acknowledged_transactions_survive_every_crash() {
    let mut transactions = 0;
    // SEED and SEED_TO replay one seed, or run more of them.
    let number = |name: &str, default| std::env::var(name).map_or(default, |s| s.parse().unwrap());
    let from: u64 = number("SEED", 1);
    let to = number("SEED_TO", from + 59);
    for seed in from..=to {
        let mut world = World::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..6 {
                world.life();
            }
            world.start();
            world.history.transactions.len()
        }));
        match result {
            Ok(n) => transactions += n,
            Err(panic) => {
                eprintln!("seed {seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    assert!(to == from || transactions as u64 > 50 * (to - from), "{transactions}");
}

/// A bit that flips at rest is noticed: the start fails, or what is lost is nothing, or an older
/// snapshot and the log give the same state.
#[test]
fn flipped_bits_are_never_served() {
    let mut refused = 0;
    for seed in 1..=400 {
        let mut world = World::new(seed);
        world.options.log.snap_count = 1000;
        let mut server = world.start();
        for _ in 0..40 {
            world.propose(&mut server).unwrap();
            if world.random.one_in(3) {
                world.commit(&mut server).unwrap();
            }
            if world.random.one_in(20) {
                world.snapshot(&mut server).unwrap();
            }
        }
        world.commit(&mut server).unwrap();
        // Clean end: the padding is cut, so that every byte means something.
        server.writer.roll().unwrap();
        let dirs = server.dirs.clone();
        let files: Vec<PathBuf> = dirs
            .logs()
            .unwrap()
            .into_iter()
            .chain(dirs.snapshots().unwrap())
            .map(|f| f.path)
            .collect();
        drop((server, dirs));
        world.disk.kill();
        let path = &files[world.random.below(files.len() as u64) as usize];
        let len = world.disk.content(path).unwrap().len() as u64;
        let offset = world.random.below(len);
        // Version and dbid mean nothing to anyone.
        if (4..16).contains(&offset) {
            continue;
        }
        world.disk.flip(path, offset as usize, world.random.below(8) as u8);
        let dirs = Arc::new(
            DataDirs::open(
                Arc::new(world.disk.clone()),
                Path::new("/data"),
                Some(Path::new("/log")),
                &world.options,
            )
            .unwrap(),
        );
        match restore(&dirs, &world.options, TreeOptions::default()) {
            Err(_) => refused += 1,
            Ok(restored) => {
                let last = world.history.transactions.last().unwrap();
                assert_eq!(restored.last.zxid(), last.0.zxid(), "seed {seed} {path:?} {offset}");
                assert_eq!(restored.tree.digest(), last.1, "seed {seed} {path:?} {offset}");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}
