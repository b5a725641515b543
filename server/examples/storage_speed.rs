//! Measures the disk side: write a snapshot of many znodes, restore it, append to the log.
//!
//! `cargo run --release --example storage_speed -- DIR [ZNODES]` (DIR is created and must be empty)

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jute::data::Acl;
use jute::proto::op;
use jute::txn::{CreateTxn, SetDataTxn, Txn, TxnHeader};
use rookeeper::base::{Proposal, Zxid};
use rookeeper::storage::{
    DataDirs, Options, OwnedTreeSource, RealDisk, TxnLogWriter, restore, snapshot, write_snapshot,
};
use rookeeper::tree::TreeOptions;

fn create(zxid: i64, path: String, data: &Bytes) -> Proposal {
    let txn = Txn::Create(CreateTxn {
        path: Some(path),
        data: Some(data.clone()),
        acl: Some(vec![Acl::world(31)]),
        ephemeral: false,
        parent_cversion: -1,
    });
    let header = TxnHeader { client_id: 1, cxid: 1, zxid, time: 1, kind: op::CREATE };
    Proposal::encode(header, txn, None)
}

/// CPU time of this thread: the machine may be busy with other things.
struct Cpu(Duration);

impl Cpu {
    fn now() -> Self {
        let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
        Self(nix::time::clock_gettime(clock).expect("every Linux has this clock").into())
    }

    fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("a directory");
    let znodes: i64 = args.next().map_or(Ok(1_000_000), |n| n.parse())?;
    let options = Options::default();
    let dirs = Arc::new(DataDirs::open(Arc::new(RealDisk), Path::new(&dir), None, &options)?);
    let data = Bytes::from(vec![b'x'; 100]);

    let mut restored = restore(&dirs, &options, TreeOptions::default())?;
    let mut zxid = 0;
    for parent in 0..1000 {
        zxid += 1;
        let path = format!("/parent-{parent:06}");
        restored.tree.apply(&create(zxid, path, &data), &mut |_| {});
    }
    for child in 0..znodes {
        zxid += 1;
        let path = format!("/parent-{:06}/child-{child:012}", child % 1000);
        restored.tree.apply(&create(zxid, path, &data), &mut |_| {});
    }
    let start = Cpu::now();
    let mut source = OwnedTreeSource::new(&mut restored.tree)?;
    let file = write_snapshot(&dirs, &options.snapshot, &mut source)?;
    let bytes = file.bytes();
    drop(source);
    let durable = rookeeper::storage::Durable::by_received_snapshot(Zxid(zxid));
    let path = file.publish(durable)?;
    println!("snapshot written: {znodes} znodes, {bytes} bytes, {:?}", start.elapsed());
    drop(restored);

    for _ in 0..3 {
        let start = Cpu::now();
        snapshot::reader::verify(dirs.disk(), &path, options.field_max)?;
        println!("verify: {:?}", start.elapsed());
        let start = Cpu::now();
        let again = restore(&dirs, &options, TreeOptions::default())?;
        let time = start.elapsed();
        let rate = again.tree.node_count() as f64 / time.as_secs_f64();
        println!("restore: {time:?}, {rate:.0} znodes/s");
    }

    for batch in [1, 100, 1000] {
        let mut writer = TxnLogWriter::new(
            dirs.clone(),
            &options,
            rookeeper::storage::Durable::by_received_snapshot(Zxid(zxid)),
        );
        let count = if batch == 1 { 500 } else { 100_000 };
        let (mut append, mut commit) = (0.0, 0.0);
        let proposals: Vec<_> = (1..=count)
            .map(|n| {
                let txn = Txn::SetData(SetDataTxn {
                    path: Some("/parent-000001/child-000000000001".to_owned()),
                    data: Some(data.clone()),
                    version: 1,
                });
                let zxid = zxid + n;
                let header = TxnHeader { client_id: 1, cxid: 1, zxid, time: 1, kind: op::SET_DATA };
                Proposal::encode(header, txn, None)
            })
            .collect();
        let mut commits = 0;
        for chunk in proposals.chunks(batch) {
            let start = Cpu::now();
            for proposal in chunk {
                writer.append(proposal)?;
            }
            append += start.elapsed().as_secs_f64();
            let start = Cpu::now();
            writer.commit()?;
            commit += start.elapsed().as_secs_f64();
            commits += 1;
        }
        zxid += count;
        println!(
            "log: batches of {batch}: append {:.0} ns per transaction, commit {:.0} us per batch",
            append * 1e9 / count as f64,
            commit * 1e6 / f64::from(commits)
        );
    }
    let start = Cpu::now();
    let again = restore(&dirs, &options, TreeOptions::default())?;
    println!("restore with {} logged transactions: {:?}", again.replayed, start.elapsed());
    Ok(())
}
