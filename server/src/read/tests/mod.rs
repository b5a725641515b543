//! A small server around [`execute`]: a tree, watch tables, one connection.

mod ops;
mod replies;
mod watches;

use jute::codec::UStr;
use jute::data::{Acl, PERM_ALL, Stat};
use jute::proto::{ReplyHeader, op};
use jute::txn::{CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn, TxnHeader};
use jute::{Decode, Encode, Reader};

use super::*;
use crate::acl::Identity;
use crate::base::{Proposal, Zxid};
use crate::tree::{Applied, DataTree, TreeOptions};
use crate::watch::{self, WatchTable};

const MAX: usize = jute::codec::DEFAULT_MAX_FIELD;
/// The session of the connection.
const SESSION: i64 = 5;
/// The connection.
const ME: WatcherId = WatcherId(3);
const XID: i32 = 42;

struct World {
    tree: DataTree,
    watches: WatchTable,
    identities: Vec<Identity>,
    schemes: Schemes,
    zxid: i64,
}

/// One frame that came back.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    header: ReplyHeader,
    body: Vec<u8>,
}

impl World {
    /// `/a` (2 children `b` and `c`), `/secret` (u:x only), `/eph` and `/eph2` of the session.
    fn new() -> Self {
        let mut world = Self {
            tree: DataTree::new(TreeOptions::default()),
            watches: WatchTable::new(watch::Options::default()),
            identities: vec![Identity::new("ip", "127.0.0.1")],
            schemes: Schemes::standard(),
            zxid: 0,
        };
        world.watches.open(ME);
        for path in ["/a", "/a/b", "/a/c"] {
            world.create(path, vec![Acl::world(PERM_ALL)], false);
        }
        world.create("/secret", vec![Acl::new(PERM_ALL, "digest", "u:x")], false);
        world.create("/eph", vec![Acl::world(PERM_ALL)], true);
        world.create("/eph2", vec![Acl::world(PERM_ALL)], true);
        world
    }

    fn apply(&mut self, kind: i32, txn: Txn) -> Applied {
        self.zxid += 1;
        let header = TxnHeader { client_id: SESSION, cxid: 1, zxid: self.zxid, time: 1000, kind };
        self.tree.apply(&Proposal::encode(header, txn, None), &mut |_| {})
    }

    fn create(&mut self, path: &str, acl: Vec<Acl>, ephemeral: bool) {
        let txn = CreateTxn {
            path: Some(path.to_owned()),
            data: Some(format!("data of {path}").into_bytes().into()),
            acl: Some(acl),
            ephemeral,
            parent_cversion: -1,
        };
        assert_eq!(self.apply(op::CREATE2, Txn::Create(txn)).err, 0);
    }

    fn set_data(&mut self, path: &str, data: Option<&'static [u8]>) {
        let txn =
            SetDataTxn { path: Some(path.to_owned()), data: data.map(Into::into), version: 1 };
        assert_eq!(self.apply(op::SET_DATA, Txn::SetData(txn)).err, 0);
    }

    fn set_acl(&mut self, path: &str, acl: Vec<Acl>) {
        let txn = SetAclTxn { path: Some(path.to_owned()), acl: Some(acl), version: 1 };
        assert_eq!(self.apply(op::SET_ACL, Txn::SetAcl(txn)).err, 0);
    }

    fn delete(&mut self, path: &str) {
        let txn = DeleteTxn { path: Some(path.to_owned()) };
        assert_eq!(self.apply(op::DELETE, Txn::Delete(txn)).err, 0);
    }

    fn as_user(&mut self, user: &str) -> &mut Self {
        self.identities = vec![Identity::new("digest", user)];
        self
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.find(path).unwrap().stat()
    }

    /// All frames that a request brings.
    fn send_raw(&self, kind: i32, body: &[u8]) -> Vec<Frame> {
        let context = ReadContext {
            session: SessionId(SESSION),
            identities: &self.identities,
            schemes: &self.schemes,
            watcher: ME,
        };
        let request = ReadRequest::decode(kind, body, MAX);
        // A buffer in use: nothing before may be touched.
        let mut out = b"before".to_vec();
        execute(&self.tree, &self.watches, &context, XID, &request, &mut out);
        assert_eq!(&out[..6], b"before");
        frames(&out[6..])
    }

    /// The one reply to a request.
    fn send(&self, kind: i32, request: &impl Encode) -> Frame {
        let mut frames = self.send_raw(kind, &request.to_vec());
        assert_eq!(frames.len(), 1, "{frames:?}");
        frames.remove(0)
    }

    /// A successful reply's body.
    fn body(&self, kind: i32, request: &impl Encode) -> Vec<u8> {
        let frame = self.send(kind, request);
        let header = ReplyHeader { xid: XID, zxid: self.zxid, err: 0 };
        assert_eq!(frame.header, header);
        frame.body
    }

    /// The code of a reply that has no body unless it succeeded.
    fn code(&self, kind: i32, request: &impl Encode) -> i32 {
        let frame = self.send(kind, request);
        assert_eq!((frame.header.xid, frame.header.zxid), (XID, self.zxid));
        assert!(frame.header.err == 0 || frame.body.is_empty());
        frame.header.err
    }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut input = Reader::new(bytes);
    let mut frames = Vec::new();
    while !input.is_empty() {
        let len: i32 = input.read().unwrap();
        let bytes = input.take(len as usize, "frame").unwrap();
        let mut frame = Reader::new(bytes);
        let header = frame.read().unwrap();
        frames.push(Frame { header, body: frame.remaining().to_vec() });
    }
    frames
}

fn path(path: &str) -> UStr<'_> {
    Some(path.into())
}
