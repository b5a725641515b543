//! Measures prep, read and watch: CPU time per operation, on one thread, without any I/O.
//!
//! `cargo run --release --example core_bench [znodes]`. Paths have about 20 bytes, values 100. CPU
//! time and not the clock on the wall, so that a busy machine disturbs less (its caches still do).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jute::Encode;
use jute::data::Acl;
use jute::proto::{CreateRequest, GetDataRequest, SetDataRequest, op};
use nix::time::{ClockId, clock_gettime};
use rookeeper::acl::{Identities, Identity, Schemes};
use rookeeper::base::{Mono, Now, SessionId, Sid, Wall, Zxid};
use rookeeper::prep::{Context, Options, Prep, Prepared, Request, Source, WriteRequest};
use rookeeper::read::{ReadContext, ReadRequest, execute};
use rookeeper::session::{self, Owner, Rules, Tracker};
use rookeeper::tree::{DataTree, TreeOptions};
use rookeeper::watch::{self, Mode, Table, Trigger, WatchTable, WatcherId};

/// Proposals in flight.
const BATCH: usize = 500;
const FIELD_MAX: usize = 1 << 21;
const SESSION: SessionId = SessionId(1);
const DATA: [u8; 100] = [7; 100];

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    let mut tree = DataTree::new(TreeOptions::default());
    let schemes = Arc::new(Schemes::standard());
    let identities: Identities = Arc::new([Identity::new("ip", "127.0.0.1")]);
    writes(&mut tree, &schemes, &identities, count);
    let watches = WatchTable::new(watch::Options::default());
    watches.open(WatcherId(1));
    let context = ReadContext {
        session: SESSION,
        identities: &identities,
        schemes: &schemes,
        watcher: WatcherId(1),
    };
    for (name, kind, watch) in [
        ("exists", op::EXISTS, false),
        ("getData", op::GET_DATA, false),
        ("getData with a watch", op::GET_DATA, true),
    ] {
        reads(name, &tree, &watches, &context, (kind, watch), count);
    }
    let begun = cpu_time();
    watches.clear(WatcherId(1));
    report("removal of a connection's watches", begun, count);
    fan_out(&watches);
}

/// Creates all znodes, then sets the data of all.
fn writes(tree: &mut DataTree, schemes: &Arc<Schemes>, identities: &Identities, count: usize) {
    let options = session::Options {
        tick_ms: 2000,
        sid: Sid(1),
        rules: Rules::Standalone,
        local_sessions: false,
    };
    let mut sessions = Tracker::new(options, Mono(0), [(SESSION, 30_000)]);
    let mut prep = Prep::new(Options::default(), schemes.clone());
    let mut zxid = Zxid::ZERO;
    for (name, kind) in [("create", op::CREATE), ("setData", op::SET_DATA)] {
        let bodies: Vec<Bytes> = (0..count).map(|i| write_body(i, kind).into()).collect();
        let (mut decode, mut prepare, mut apply) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for batch in bodies.chunks(BATCH) {
            let begun = cpu_time();
            let writes: Vec<WriteRequest> =
                batch.iter().map(|body| WriteRequest::decode(kind, body, FIELD_MAX)).collect();
            decode += cpu_time() - begun;
            let begun = cpu_time();
            let mut proposals = Vec::with_capacity(BATCH);
            for write in writes {
                zxid.0 += 1;
                let context = Context {
                    session: SESSION,
                    cxid: 1,
                    kind,
                    identities: identities.clone(),
                    owner: Owner::LOCAL,
                    source: Source::Client,
                    upgrade_error: None,
                };
                let request = Request { context, write };
                let now = Now { mono: Mono(0), wall: Wall(0) };
                match prep.prepare(tree, &mut sessions, None, request, zxid, now) {
                    Prepared::Proposal(proposal) if proposal.header.kind == kind => {
                        proposals.push(proposal);
                    }
                    other => panic!("{other:?}"),
                }
            }
            prepare += cpu_time() - begun;
            let begun = cpu_time();
            for proposal in &proposals {
                tree.apply(proposal, &mut |_| {});
            }
            apply += cpu_time() - begun;
            let begun = cpu_time();
            prep.applied(zxid);
            prepare += cpu_time() - begun;
        }
        for (step, time) in [("decode", decode), ("prepare", prepare), ("apply", apply)] {
            print(&format!("{name}: {step}"), time, count);
        }
    }
}

fn reads(
    name: &str,
    tree: &DataTree,
    watches: &WatchTable,
    context: &ReadContext<'_>,
    (kind, watch): (i32, bool),
    count: usize,
) {
    // In an order without pattern, as clients ask.
    let bodies: Vec<Vec<u8>> = (0..count)
        .map(|i| GetDataRequest { path: Some(path(i * 7919 % count).into()), watch }.to_vec())
        .collect();
    let mut out = Vec::with_capacity(1 << 20);
    let begun = cpu_time();
    for body in &bodies {
        let request = ReadRequest::decode(kind, body, FIELD_MAX);
        execute(tree, watches, context, 1, &request, &mut out);
        if out.len() > 256 << 10 {
            out.clear();
        }
    }
    report(name, begun, count);
}

fn fan_out(watches: &WatchTable) {
    const WATCHERS: u32 = 100_000;
    for watcher in (0..WATCHERS).map(WatcherId) {
        watches.open(watcher);
        watches.add("/hot", watcher, Table::Data, Mode::Standard);
    }
    let begun = cpu_time();
    let mut told = 0;
    watches.trigger(Trigger::DataChanged, "/hot", &mut |fired| told += fired.watchers.len());
    report("one event, each watcher", begun, told);
}

/// A thousand znodes below each parent; the parent comes first.
fn path(i: usize) -> String {
    match i % 1000 {
        0 => format!("/node{}", i / 1000),
        _ => format!("/node{}/child-{i}", i / 1000),
    }
}

fn write_body(i: usize, kind: i32) -> Vec<u8> {
    let (path, data) = (Some(path(i).into()), Some(&DATA[..]));
    match kind {
        op::CREATE => {
            CreateRequest { path, data, acl: Some(vec![Acl::world(31)]), flags: 0 }.to_vec()
        }
        _ => SetDataRequest { path, data, version: -1 }.to_vec(),
    }
}

fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has this clock").into()
}

fn report(what: &str, begun: Duration, count: usize) {
    print(what, cpu_time() - begun, count);
}

fn print(what: &str, time: Duration, count: usize) {
    println!("{what:40} {:6} ns", time.as_nanos() / count as u128);
}
