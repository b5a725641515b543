//! Requests: decoded as the server decodes them, and then really executed on a small tree.

use std::sync::Arc;

use bytes::Bytes;
use jute::codec::DEFAULT_MAX_FIELD;
use jute::data::Acl;
use jute::proto::{CreateRequest, op};
use jute::{Encode, Reader};
use rookeeper::acl::{self, Schemes};
use rookeeper::base::{Mono, Now, Proposal, SessionId, Sid, Wall, Zxid};
use rookeeper::prep::{self, Context, Prep, Prepared, Request, Source, WriteRequest};
use rookeeper::read::{ReadContext, ReadRequest, execute};
use rookeeper::session::{self, Owner, Rules, Tracker};
use rookeeper::tree::{DataTree, TreeOptions};
use rookeeper::watch::{self, WatchTable, WatcherId};

const SESSION: SessionId = SessionId(0x0100_0000_0000_0001);

/// A server without disk and sockets.
struct Small {
    tree: DataTree,
    prep: Prep,
    sessions: Tracker,
    schemes: Arc<Schemes>,
    log: Vec<Bytes>,
    next: i64,
}

impl Small {
    fn new() -> Self {
        let digest = Some(acl::DigestProvider::default());
        let schemes = Schemes::new(acl::Options { digest, ..acl::Options::default() });
        let schemes = Arc::new(schemes.expect("nothing is enforced"));
        let options = session::Options {
            tick_ms: 2000,
            sid: Sid(1),
            rules: Rules::Standalone,
            local_sessions: false,
        };
        let now = Now { mono: Mono(1), wall: Wall(1) };
        let mut small = Self {
            tree: DataTree::new(TreeOptions::default()),
            prep: Prep::new(prep::Options::default(), schemes.clone()),
            sessions: Tracker::new(options, now.mono, [(SESSION, 30_000)]),
            schemes,
            log: Vec::new(),
            next: 1,
        };
        for path in ["/a", "/a/b", "/zookeeper/quota/a"] {
            small.write(op::CREATE, &create(path, 0).into());
        }
        small
    }

    fn write(&mut self, kind: i32, body: &Bytes) {
        let request = Request {
            context: Context {
                session: SESSION,
                cxid: 1,
                kind,
                identities: Arc::from([]),
                owner: Owner::LOCAL,
                source: Source::Client,
                upgrade_error: None,
            },
            write: WriteRequest::decode(kind, body, DEFAULT_MAX_FIELD),
        };
        let now = Now { mono: Mono(1), wall: Wall(self.next) };
        let zxid = Zxid(self.next);
        let prepared = self.prep.prepare(&self.tree, &mut self.sessions, None, request, zxid, now);
        let Prepared::Proposal(proposal) = prepared else { return };
        self.next += 1;
        self.tree.apply(&proposal, &mut |_| {});
        self.prep.applied(zxid);
        if let Some(digest) = &proposal.digest {
            // What `prep` promised is what `apply` made (`PREP-SEES-ALL`).
            assert_eq!(digest.tree_digest, self.tree.digest(), "after {:?}", proposal.txn);
        }
        self.log.push(proposal.payload);
    }
}

/// (op code, body) requests, each with two bytes of op code and length in front.
fn requests(mut data: &[u8]) -> Vec<(i32, &[u8])> {
    let mut found = Vec::new();
    while let [kind, len, rest @ ..] = data
        && found.len() < 64
    {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        found.push((i32::from(*kind as i8), body));
        data = rest;
    }
    found
}

/// Reads, one after the other, on one tree and one watch table.
pub fn reads(data: &[u8]) {
    let small = Small::new();
    let watches = WatchTable::new(watch::Options::default());
    let watcher = WatcherId(1);
    watches.open(watcher);
    let context =
        ReadContext { session: SESSION, identities: &[], schemes: &small.schemes, watcher };
    for (kind, body) in requests(data) {
        let request = ReadRequest::decode(kind, body, DEFAULT_MAX_FIELD);
        let mut out = Vec::new();
        execute(&small.tree, &watches, &context, 1, &request, &mut out);
        let mut frames = Reader::with_limit(&out, usize::MAX);
        while !frames.is_empty() {
            let frame = frames.buffer().expect("a whole frame").expect("a length");
            assert!(frame.len() >= 16, "a reply without a header");
        }
    }
    watches.check().expect("the watch table is consistent");
}

/// Writes, each prepared, applied, and in the end replayed from what the log would hold.
pub fn writes(data: &[u8]) {
    let mut small = Small::new();
    for (kind, body) in requests(data) {
        small.write(kind, &Bytes::copy_from_slice(body));
    }
    let mut replayed = DataTree::new(TreeOptions::default());
    for payload in small.log {
        let proposal = Proposal::decode(payload).expect("the log is readable");
        replayed.apply(&proposal, &mut |_| {});
    }
    assert_eq!(replayed.digest(), small.tree.digest(), "replay reaches the same state");
    assert_eq!(replayed.node_count(), small.tree.node_count());
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    let (path, acl) = (Some(path.into()), Some(vec![Acl::world(31)]));
    CreateRequest { path, data: Some(b"x"), acl, flags }.to_vec()
}

fn seed(kind: i32, body: &[u8]) -> Vec<u8> {
    [&[kind as u8, body.len() as u8], body].concat()
}

const PATH: &[u8] = b"\0\0\0\x02/a";

pub(crate) fn read_seeds() -> Vec<Vec<u8>> {
    let watched = [PATH, &[1]].concat();
    let kind = |kind: i32| [PATH, &kind.to_be_bytes()].concat();
    let lists = [&5i64.to_vec()[..], &[0, 0, 0, 1], PATH, &[0; 16]].concat();
    let multi = [
        &[0, 0, 0, 4, 0, 255, 255, 255, 255][..],
        &watched,
        &[255, 255, 255, 255, 1, 255, 255, 255, 255],
    ]
    .concat();
    vec![
        seed(op::EXISTS, &watched),
        seed(op::GET_DATA, &watched),
        seed(op::GET_ACL, PATH),
        seed(op::GET_CHILDREN, &watched),
        seed(op::GET_CHILDREN2, &watched),
        seed(op::GET_EPHEMERALS, PATH),
        seed(op::GET_ALL_CHILDREN_NUMBER, PATH),
        seed(op::ADD_WATCH, &kind(1)),
        seed(op::CHECK_WATCHES, &kind(2)),
        seed(op::REMOVE_WATCHES, &kind(3)),
        seed(op::SET_WATCHES, &lists),
        seed(op::SET_WATCHES2, &lists),
        seed(op::MULTI_READ, &multi),
        seed(op::WHO_AM_I, &[]),
        seed(op::PING, &[]),
    ]
}

pub(crate) fn write_seeds() -> Vec<Vec<u8>> {
    let versioned = [PATH, &[255; 4]].concat();
    let set = [PATH, b"\0\0\0\x02hi", &[255; 4]].concat();
    let set_acl = [PATH, &[0, 0, 0, 1], &Acl::world(31).to_vec(), &[255; 4]].concat();
    let mut multi = Vec::new();
    for (kind, body) in [(op::CREATE, create("/m", 0)), (op::SET_DATA, set.clone())] {
        multi.extend([&kind.to_be_bytes()[..], &[0, 255, 255, 255, 255], &body].concat());
    }
    multi.extend([255, 255, 255, 255, 1, 255, 255, 255, 255]);
    let ttl = [create("/t", 5), 1000i64.to_vec()].concat();
    let mut seeds: Vec<Vec<u8>> =
        (0..7).map(|flags| seed(op::CREATE, &create("/a/c", flags))).collect();
    // `check` outside a multi, which no log can hold.
    seeds.push(seed(op::CHECK, &versioned));
    seeds.extend([
        seed(op::CREATE2, &create("/x", 3)),
        seed(op::CREATE_CONTAINER, &create("/c", 4)),
        seed(op::CREATE_TTL, &ttl),
        seed(op::DELETE, &[b"\0\0\0\x04/a/b", &[255; 4][..]].concat()),
        seed(op::DELETE_CONTAINER, PATH),
        seed(op::SET_DATA, &set),
        seed(op::SET_ACL, &set_acl),
        seed(op::CHECK, &versioned),
        seed(op::MULTI, &multi),
        seed(op::RECONFIG, &[255; 20]),
        seed(op::CLOSE_SESSION, &[]),
    ]);
    seeds.push(seeds.concat());
    seeds
}
