//! Measures the tree: bytes per znode and nanoseconds per operation.
//!
//! `cargo run --release --example tree_bench [znodes]`. Paths have 35 bytes, values 100. Numbers of
//! one run are in the page of `rookeeper::tree`. Times are CPU times of the process and sizes
//! resident sizes, both from `/proc`, so that a busy machine does not matter much.

use std::hint::black_box;
use std::time::Instant;

use jute::Encode;
use jute::data::Acl;
use jute::proto::op;
use jute::txn::{CreateTxn, DeleteTxn, SetDataTxn, Txn, TxnHeader};
use rookeeper::base::{Proposal, Zxid};
use rookeeper::tree::cut::CutLimits;
use rookeeper::tree::load::TreeLoader;
use rookeeper::tree::{DataTree, TreeOptions};

const PER_PARENT: usize = 1000;

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let options = TreeOptions { hash_seed: 0x5eed, ..Default::default() };
    let mut zxid = 0;
    let before = resident_bytes();
    let mut tree = DataTree::new(options.clone());
    for parent in 0..count.div_ceil(PER_PARENT) {
        let path = parent_path(parent);
        tree.apply(&proposal(&mut zxid, op::CREATE, create(&path)), &mut |_| {});
    }
    measure("create", count, |n| {
        tree.apply(&proposal(&mut zxid, op::CREATE, create(&path(n))), &mut |_| {});
    });
    let used = resident_bytes().saturating_sub(before);
    println!(
        "resident: {:.1} bytes per znode, {:.1} of them slots and index; tree sums up to {}",
        used as f64 / count as f64,
        tree.table_bytes() as f64 / count as f64,
        tree.approximate_data_size() / count as u64,
    );

    let order = shuffled(count);
    let paths: Vec<String> = order.iter().map(|n| path(*n)).collect();
    measure("find", count, |n| {
        black_box(tree.find(&paths[n]).is_some());
    });
    let mut out = Vec::new();
    measure("getData (find, data, stat, encoded)", count, |n| {
        out.clear();
        let node = tree.find(&paths[n]).expect("it was created");
        node.data().encode(&mut out);
        node.stat().encode(&mut out);
        black_box(&out);
    });
    let proposals: Vec<_> =
        paths.iter().take(200_000).map(|p| proposal(&mut zxid, op::SET_DATA, set(p))).collect();
    measure("setData, applied only", proposals.len(), |n| {
        tree.apply(&proposals[n], &mut |_| {});
    });

    let records = measure_cut(&mut tree);
    let started = cpu_seconds();
    let mut loader = TreeLoader::new(options);
    let mut input = jute::Reader::new(&records);
    while !input.is_empty() {
        let path = input.ustring().expect("our own records").expect("not null");
        let data = input.buffer().expect("our own records");
        let acl: i64 = input.read().expect("our own records");
        let stat = input.read().expect("our own records");
        loader.node(&path, data, acl, &stat).expect("our own records");
    }
    let loaded = loader.finish(Zxid(zxid), None).expect("our own records").tree;
    let seconds = cpu_seconds() - started;
    println!("load: {:.2} s, {:.0} znodes/s", seconds, loaded.node_count() as f64 / seconds);
    assert_eq!(loaded.digest(), tree.digest());

    let proposals: Vec<_> =
        paths.iter().take(200_000).map(|p| proposal(&mut zxid, op::DELETE, delete(p))).collect();
    measure("delete, applied only", proposals.len(), |n| {
        tree.apply(&proposals[n], &mut |_| {});
    });
    tree.check().expect("indexes agree");
}

fn measure_cut(tree: &mut DataTree) -> Vec<u8> {
    let started = Instant::now();
    let mut cut = tree.open_cut(CutLimits::default()).expect("none is open");
    println!("cut opened in {:?}", started.elapsed());
    let (mut records, mut batch) = (Vec::new(), Vec::new());
    let (mut times, mut more) = (Vec::new(), true);
    while more {
        batch.clear();
        let started = Instant::now();
        more = cut.next_batch_of(tree, &mut batch).expect("nothing cancels it");
        times.push(started.elapsed());
        records.extend_from_slice(&batch);
    }
    times.sort_unstable();
    println!(
        "cut: {} MB, {:?} per guard (median), {:?} in all",
        records.len() >> 20,
        times[times.len() / 2],
        times.iter().sum::<std::time::Duration>(),
    );
    records
}

fn measure(what: &str, count: usize, mut operation: impl FnMut(usize)) {
    let started = cpu_seconds();
    for n in 0..count {
        operation(n);
    }
    println!("{what}: {:.0} ns", (cpu_seconds() - started) * 1e9 / count as f64);
}

fn parent_path(n: usize) -> String {
    format!("/dir{n:05}")
}

/// 35 bytes, 25 of them the name.
fn path(n: usize) -> String {
    format!("{}/znode-with-name-{n:09}", parent_path(n / PER_PARENT))
}

fn proposal(zxid: &mut i64, kind: i32, txn: Txn) -> Proposal {
    *zxid += 1;
    let header = TxnHeader { client_id: 1, cxid: 1, zxid: *zxid, time: 1_700_000_000_000, kind };
    Proposal { header, txn, digest: None, payload: Default::default(), hints: Default::default() }
}

fn create(path: &str) -> Txn {
    Txn::Create(CreateTxn {
        path: Some(path.to_owned()),
        data: Some(vec![b'x'; 100].into()),
        acl: Some(vec![Acl::world(31)]),
        ephemeral: false,
        parent_cversion: -1,
    })
}

fn set(path: &str) -> Txn {
    let data = Some(vec![b'y'; 100].into());
    Txn::SetData(SetDataTxn { path: Some(path.to_owned()), data, version: 1 })
}

fn delete(path: &str) -> Txn {
    Txn::Delete(DeleteTxn { path: Some(path.to_owned()) })
}

/// A fixed permutation (xorshift, Fisher-Yates).
fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 0x2545_f491_4f6c_dd1du64;
    for n in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(n, (state % (n as u64 + 1)) as usize);
    }
    order
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    pages * 4096
}

/// User and system time of this process, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
