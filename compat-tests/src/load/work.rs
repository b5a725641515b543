//! Workloads: which requests a swarm sends.
//!
//! [`Mix`] draws operations by weight over a tree of equal znodes; [`Setup`] makes that tree;
//! [`Fill`] makes a big one; [`Watching`] arms watches and [`Firing`] sets them off.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use jute::data::Acl;
use jute::proto::{
    CreateRequest, DeleteRequest, ExistsRequest, GetChildrenRequest, GetDataRequest, MULTI_END,
    MultiHeader, ReplyHeader, RequestHeader, SetDataRequest, op,
};
use jute::{Decode, Encode};

use super::swarm::Work;

/// Parent of everything the generator makes.
pub const ROOT: &str = "/load";
/// Parents of the znodes of a [`Fill`].
pub const FILL_BUCKETS: usize = 1000;
/// Znodes a connection's `create` operations leave before they turn into deletes of the oldest.
const CREATED_MAX: usize = 256;

/// One kind of operation in a [`Mix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `getData`.
    Get,
    /// `exists`.
    Exists,
    /// `getChildren` of a leaf.
    Children,
    /// `setData`.
    Set,
    /// `create`, and once there are enough, `delete` of the oldest.
    Create,
    /// A multi of two `setData`.
    Multi,
}

impl Kind {
    /// From the name used on the command line.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "get" => Self::Get,
            "exists" => Self::Exists,
            "children" => Self::Children,
            "set" => Self::Set,
            "create" => Self::Create,
            "multi" => Self::Multi,
            _ => return None,
        })
    }
}

/// A small fast generator of random numbers (xorshift64*), seeded so that runs repeat.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Any seed will do.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((bits * bound as u64) >> 32) as usize
    }
}

/// What was seen of one class of operations.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Nanoseconds from queueing a request to its reply.
    pub latency: Histogram<u64>,
    /// Error codes other than 0, and how often.
    pub errors: BTreeMap<i32, u64>,
}

impl Default for Seen {
    fn default() -> Self {
        let latency = Histogram::new_with_bounds(1, 120_000_000_000, 3)
            .expect("bounds and digits are constants in range");
        Self { latency, errors: BTreeMap::new() }
    }
}

impl Seen {
    fn record(&mut self, err: i32, nanos: u64) {
        self.latency.saturating_record(nanos.max(1));
        if err != 0 {
            *self.errors.entry(err).or_default() += 1;
        }
    }

    /// Operations that failed.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// When a measured run ends.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// After so many requests.
    Operations(u64),
    /// After so long.
    Elapsed(Duration),
}

/// Operations drawn by weight over the znodes of [`Setup`].
pub struct Mix {
    random: Random,
    /// (cumulated weight, kind)
    kinds: Vec<(usize, Kind)>,
    paths: Vec<String>,
    value: Vec<u8>,
    acl: Vec<Acl>,
    until: Until,
    started: Instant,
    sent: u64,
    queues: Vec<Queue>,
    /// Sets the znodes of this run's creates apart from those of earlier runs.
    run: u128,
    /// Reads and writes seen so far.
    pub reads: Seen,
    /// See [`Mix::reads`].
    pub writes: Seen,
}

#[derive(Default)]
struct Queue {
    outstanding: VecDeque<bool>,
    created: VecDeque<u64>,
    counter: u64,
}

impl Mix {
    /// Weights per kind over `nodes` znodes, values of `value_size` bytes.
    pub fn new(
        kinds: &[(Kind, usize)],
        nodes: usize,
        value_size: usize,
        connections: usize,
        seed: u64,
        until: Until,
    ) -> Self {
        let mut sum = 0;
        let kinds = kinds
            .iter()
            .map(|(kind, weight)| {
                sum += weight;
                (sum, *kind)
            })
            .collect();
        Self {
            random: Random::new(seed),
            kinds,
            paths: (0..nodes).map(node_path).collect(),
            value: value(value_size),
            acl: vec![Acl::world(31)],
            until,
            started: Instant::now(),
            sent: 0,
            queues: (0..connections).map(|_| Queue::default()).collect(),
            run: SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros()),
            reads: Seen::default(),
            writes: Seen::default(),
        }
    }

    /// Operations answered.
    pub fn answered(&self) -> u64 {
        self.reads.latency.len() + self.writes.latency.len()
    }

    fn draw(&mut self) -> Kind {
        let sum = self.kinds.last().map_or(1, |(sum, _)| *sum);
        let at = self.random.below(sum);
        self.kinds.iter().find(|(until, _)| at < *until).map_or(Kind::Get, |(_, kind)| *kind)
    }

    fn set<'a>(&'a self, path: &'a str) -> SetDataRequest<'a> {
        SetDataRequest { path: some(path), data: Some(&self.value), version: -1 }
    }
}

impl Work for Mix {
    fn next(&mut self, who: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        match self.until {
            Until::Operations(max) if self.sent >= max => return false,
            _ => self.sent += 1,
        }
        let kind = self.draw();
        let at = self.random.below(self.paths.len());
        let path = &self.paths[at];
        let header = |kind, out: &mut Vec<u8>| RequestHeader { xid, kind }.encode(out);
        match kind {
            Kind::Get => {
                header(op::GET_DATA, out);
                GetDataRequest { path: some(path), watch: false }.encode(out);
            }
            Kind::Exists => {
                header(op::EXISTS, out);
                ExistsRequest { path: some(path), watch: false }.encode(out);
            }
            Kind::Children => {
                header(op::GET_CHILDREN, out);
                GetChildrenRequest { path: some(path), watch: false }.encode(out);
            }
            Kind::Set => {
                header(op::SET_DATA, out);
                self.set(path).encode(out);
            }
            Kind::Create => {
                let queue = &mut self.queues[who];
                if queue.created.len() >= CREATED_MAX {
                    let oldest = queue.created.pop_front().unwrap_or_default();
                    header(op::DELETE, out);
                    let path = created_path(self.run, who, oldest);
                    DeleteRequest { path: some(&path), version: -1 }.encode(out);
                } else {
                    queue.counter += 1;
                    queue.created.push_back(queue.counter);
                    header(op::CREATE, out);
                    let path = created_path(self.run, who, queue.counter);
                    create(&path, &self.value, &self.acl).encode(out);
                }
            }
            Kind::Multi => {
                header(op::MULTI, out);
                let other = self.random.below(self.paths.len());
                for path in [&self.paths[at], &self.paths[other]] {
                    MultiHeader { kind: op::SET_DATA, done: false, err: -1 }.encode(out);
                    self.set(path).encode(out);
                }
                MULTI_END.encode(out);
            }
        }
        let is_read = matches!(kind, Kind::Get | Kind::Exists | Kind::Children);
        self.queues[who].outstanding.push_back(is_read);
        true
    }

    fn reply(&mut self, who: usize, header: &ReplyHeader, _: &[u8], nanos: u64) {
        match self.queues[who].outstanding.pop_front() {
            Some(true) => self.reads.record(header.err, nanos),
            _ => self.writes.record(header.err, nanos),
        }
    }

    fn done(&mut self, now: Instant) -> bool {
        match self.until {
            Until::Operations(max) => self.sent >= max,
            Until::Elapsed(time) => now - self.started >= time,
        }
    }
}

/// Creates [`ROOT`] and `nodes` equal znodes below it; those that exist are set.
pub struct Setup {
    paths: VecDeque<(String, bool)>,
    value: Vec<u8>,
    acl: Vec<Acl>,
    sent: VecDeque<String>,
    waiting: usize,
    /// Codes other than "ok" and "exists".
    pub failed: Vec<i32>,
}

impl Setup {
    /// Use with one connection: parents go before children.
    pub fn new(nodes: usize, value_size: usize) -> Self {
        let mut paths = VecDeque::from([
            (ROOT.to_owned(), true),
            (format!("{ROOT}/made"), true),
            (format!("{ROOT}/watch"), true),
        ]);
        paths.extend((0..nodes).map(|n| (node_path(n), true)));
        Self {
            paths,
            value: value(value_size),
            acl: vec![Acl::world(31)],
            sent: VecDeque::new(),
            waiting: 0,
            failed: Vec::new(),
        }
    }
}

impl Work for Setup {
    fn next(&mut self, _: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        let Some((path, is_new)) = self.paths.pop_front() else { return false };
        if is_new {
            RequestHeader { xid, kind: op::CREATE }.encode(out);
            create(&path, &self.value, &self.acl).encode(out);
        } else {
            RequestHeader { xid, kind: op::SET_DATA }.encode(out);
            let data = Some(self.value.as_slice());
            SetDataRequest { path: some(&path), data, version: -1 }.encode(out);
        }
        self.sent.push_back(path);
        self.waiting += 1;
        true
    }

    fn reply(&mut self, _: usize, header: &ReplyHeader, _: &[u8], _: u64) {
        self.waiting -= 1;
        let path = self.sent.pop_front();
        match (header.err, path) {
            (0, _) => {}
            (-110, Some(path)) => self.paths.push_back((path, false)),
            (err, _) => self.failed.push(err),
        }
    }

    fn done(&mut self, _: Instant) -> bool {
        self.paths.is_empty() && self.waiting == 0
    }
}

/// Creates `count` znodes in [`FILL_BUCKETS`] parents, paths of 35 bytes: one by one, or many per
/// multi, which is what a tree is filled with when only the full one is of interest.
pub struct Fill {
    value: Vec<u8>,
    acl: Vec<Acl>,
    count: usize,
    per_request: usize,
    next: usize,
    /// Latency and errors of the requests; "exists" counts as an error, and a multi as one request.
    pub seen: Seen,
}

impl Fill {
    /// Parents first ([`Fill::parents`]), then this, with up to `per_request` creates in each
    /// request.
    pub fn new(count: usize, value_size: usize, per_request: usize) -> Self {
        Self {
            per_request: per_request.max(1),
            value: value(value_size),
            acl: vec![Acl::world(31)],
            count,
            next: 0,
            seen: Seen::default(),
        }
    }

    /// Creates the parents.
    pub fn parents() -> Setup {
        let mut setup = Setup::new(0, 0);
        setup.paths.push_back((format!("{ROOT}/fill"), true));
        setup.paths.extend((0..FILL_BUCKETS).map(|b| (format!("{ROOT}/fill/b{b:04}"), true)));
        setup
    }

    /// Path of the `n`th znode.
    pub fn path(n: usize) -> String {
        format!("{ROOT}/fill/b{:04}/node-{:013}", n % FILL_BUCKETS, n / FILL_BUCKETS)
    }
}

impl Work for Fill {
    fn next(&mut self, _: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if self.next == self.count {
            return false;
        }
        if self.per_request == 1 {
            RequestHeader { xid, kind: op::CREATE }.encode(out);
            create(&Self::path(self.next), &self.value, &self.acl).encode(out);
            self.next += 1;
            return true;
        }
        RequestHeader { xid, kind: op::MULTI }.encode(out);
        let end = self.count.min(self.next + self.per_request);
        for n in self.next..end {
            MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(out);
            create(&Self::path(n), &self.value, &self.acl).encode(out);
        }
        MULTI_END.encode(out);
        self.next = end;
        true
    }

    fn reply(&mut self, _: usize, header: &ReplyHeader, body: &[u8], nanos: u64) {
        // The header of a multi that failed has no error; its first result has.
        let failed = |first: MultiHeader| if first.kind == op::ERROR { -1 } else { 0 };
        let err = match header.err {
            0 if self.per_request > 1 => MultiHeader::from_slice(body).map_or(-1, failed),
            err => err,
        };
        self.seen.record(err, nanos);
    }

    fn done(&mut self, _: Instant) -> bool {
        self.next == self.count
    }
}

/// Arms a data watch on each of the first `nodes` znodes, on every connection.
pub struct Watching {
    paths: Vec<String>,
    next: Vec<usize>,
}

impl Watching {
    /// For a swarm of `connections`.
    pub fn new(nodes: usize, connections: usize) -> Self {
        Self { paths: (0..nodes).map(node_path).collect(), next: vec![0; connections] }
    }
}

impl Work for Watching {
    fn next(&mut self, who: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        let Some(path) = self.paths.get(self.next[who]) else { return false };
        self.next[who] += 1;
        RequestHeader { xid, kind: op::EXISTS }.encode(out);
        ExistsRequest { path: some(path), watch: true }.encode(out);
        true
    }

    fn reply(&mut self, _: usize, _: &ReplyHeader, _: &[u8], _: u64) {}

    fn done(&mut self, _: Instant) -> bool {
        self.next.iter().all(|next| *next == self.paths.len())
    }
}

/// Connection 0 sets each of the first `nodes` znodes once; all connections wait for their events.
pub struct Firing {
    paths: Vec<String>,
    next: usize,
    expected: u64,
    /// Events received.
    pub events: u64,
    /// Codes other than 0.
    pub failed: Vec<i32>,
}

impl Firing {
    /// `expected` events end the run.
    pub fn new(nodes: usize, expected: u64) -> Self {
        Self {
            paths: (0..nodes).map(node_path).collect(),
            next: 0,
            expected,
            events: 0,
            failed: Vec::new(),
        }
    }
}

impl Work for Firing {
    fn next(&mut self, who: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if who != 0 || self.next == self.paths.len() {
            return false;
        }
        RequestHeader { xid, kind: op::SET_DATA }.encode(out);
        let path = some(&self.paths[self.next]);
        SetDataRequest { path, data: Some(b"fired"), version: -1 }.encode(out);
        self.next += 1;
        true
    }

    fn reply(&mut self, _: usize, header: &ReplyHeader, _: &[u8], _: u64) {
        if header.err != 0 {
            self.failed.push(header.err);
        }
    }

    fn event(&mut self, _: usize, _: &[u8]) {
        self.events += 1;
    }

    fn done(&mut self, _: Instant) -> bool {
        self.next == self.paths.len() && self.events >= self.expected
    }
}

/// Path of the `n`th znode of [`Setup`].
pub fn node_path(n: usize) -> String {
    format!("{ROOT}/node-{n:06}")
}

fn created_path(run: u128, who: usize, n: u64) -> String {
    format!("{ROOT}/made/{run}-{who}-{n}")
}

fn value(size: usize) -> Vec<u8> {
    (0..size).map(|n| b'a' + (n % 26) as u8).collect()
}

fn some(path: &str) -> Option<Cow<'_, str>> {
    Some(Cow::Borrowed(path))
}

fn create<'a>(path: &'a str, value: &'a [u8], acl: &[Acl]) -> CreateRequest<'a> {
    CreateRequest { path: some(path), data: Some(value), acl: Some(acl.to_vec()), flags: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_paths_are_35_bytes_and_distinct() {
        let paths: std::collections::BTreeSet<_> = (0..5000).map(Fill::path).collect();
        assert_eq!(paths.len(), 5000);
        assert!(paths.iter().all(|path| path.len() == 35), "{}", Fill::path(0));
    }

    #[test]
    fn a_mix_keeps_its_weights() {
        let until = Until::Operations(10_000);
        let mut mix = Mix::new(&[(Kind::Get, 9), (Kind::Set, 1)], 10, 4, 1, 7, until);
        let mut reads = 0;
        let mut out = Vec::new();
        while mix.next(0, 1, &mut out) {
            reads += usize::from(mix.queues[0].outstanding.pop_back() == Some(true));
            out.clear();
        }
        assert!((8_800..9_200).contains(&reads), "{reads}");
    }
}
