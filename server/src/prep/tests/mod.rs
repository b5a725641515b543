//! A small world around [`Prep`]: a tree, two sessions, and one function for all operations.

mod close_and_sessions;
mod create;
mod decode;
mod digest_and_lag;
mod eager;
mod existing;
mod multi;

use std::collections::VecDeque;

use super::*;
use crate::acl::Identity;
use crate::base::{Mono, Sid, Wall};
use crate::session::{Owner, Rules, Tracker};
use crate::tree::{Applied, DigestCheck, TreeOptions};

/// The session of most requests.
pub(super) const S: i64 = 5;
/// Another one.
pub(super) const T: i64 = 6;

pub(super) struct World {
    pub(super) tree: DataTree,
    pub(super) sessions: Tracker,
    pub(super) prep: Prep,
    pub(super) zxid: i64,
    pub(super) session: i64,
    pub(super) identities: Vec<Identity>,
    pub(super) source: Source,
    pub(super) owner: Owner,
    /// Proposed, not applied.
    pub(super) pending: VecDeque<Proposal>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(Options::default(), TreeOptions { extended_types: true, ..Default::default() })
    }

    pub(super) fn with(options: Options, tree: TreeOptions) -> Self {
        let tracker = session::Options {
            tick_ms: 2000,
            sid: Sid(1),
            rules: Rules::Standalone,
            local_sessions: false,
        };
        let known = [(SessionId(S), 30_000), (SessionId(T), 30_000)];
        Self {
            tree: DataTree::new(tree),
            sessions: Tracker::new(tracker, Mono(0), known),
            prep: Prep::new(options, Arc::new(Schemes::standard())),
            zxid: 0,
            session: S,
            identities: vec![Identity::new("ip", "127.0.0.1")],
            source: Source::Client,
            owner: Owner::LOCAL,
            pending: VecDeque::new(),
        }
    }

    /// Prepares and leaves the proposal pending.
    pub(super) fn propose(&mut self, write: WriteRequest) -> Prepared {
        let context = Context {
            session: SessionId(self.session),
            cxid: 77,
            kind: write.kind(),
            identities: self.identities.clone().into(),
            owner: self.owner,
            source: self.source,
            upgrade_error: None,
        };
        self.propose_as(context, write)
    }

    pub(super) fn propose_as(&mut self, context: Context, write: WriteRequest) -> Prepared {
        let zxid = Zxid(self.zxid + 1);
        let now = Now { mono: Mono(1), wall: Wall(1000 + zxid.0) };
        let request = Request { context, write };
        let prepared = self.prep.prepare(&self.tree, &mut self.sessions, None, request, zxid, now);
        if let Prepared::Proposal(proposal) = &prepared {
            assert_eq!(proposal.zxid(), zxid);
            assert_eq!(proposal.digest.is_none(), proposal.header.kind == op::ERROR);
            self.zxid = zxid.0;
            self.pending.push_back(proposal.clone());
        }
        self.prep.overlay.check();
        prepared
    }

    /// Applies the oldest pending proposal; the digest foreseen must be the digest reached.
    pub(super) fn apply_one(&mut self) -> Option<Applied> {
        let proposal = self.pending.pop_front()?;
        let applied = self.tree.apply(&proposal, &mut |_| {});
        if proposal.digest.is_some() {
            assert_eq!(applied.digest, DigestCheck::Match, "{:?}", proposal.txn);
        }
        Some(applied)
    }

    /// Applies everything pending and tells the overlay.
    pub(super) fn settle(&mut self) {
        while self.apply_one().is_some() {}
        self.prep.applied(Zxid(self.zxid));
        self.prep.overlay.check();
        assert_eq!(self.prep.outstanding(), 0);
        assert_eq!(self.tree.check(), Ok(()));
    }

    /// Proposes, applies, and returns the code a client would see.
    pub(super) fn run(&mut self, write: WriteRequest) -> i32 {
        match self.propose(write) {
            Prepared::Reject(code) => code.code(),
            Prepared::Proposal(_) => {
                let mut err = 0;
                while let Some(applied) = self.apply_one() {
                    err = applied.err;
                }
                self.settle();
                err
            }
        }
    }

    /// The same for requests that must succeed.
    pub(super) fn ok(&mut self, write: WriteRequest) -> &mut Self {
        let shown = format!("{write:?}");
        assert_eq!(self.run(write), 0, "{shown}");
        self
    }

    /// The transaction that a request becomes.
    pub(super) fn txn(&mut self, write: WriteRequest) -> Txn {
        match self.propose(write) {
            Prepared::Proposal(proposal) => {
                self.settle();
                proposal.txn
            }
            Prepared::Reject(code) => panic!("rejected with {code:?}"),
        }
    }

    pub(super) fn as_user(&mut self, user: &str) -> &mut Self {
        self.identities = vec![Identity::new("digest", user)];
        self
    }
}

pub(super) fn open() -> Option<Vec<Acl>> {
    Some(vec![Acl::world(PERM_ALL)])
}

pub(super) fn create(kind: i32, path: &str, flags: i32, ttl_ms: i64) -> Create {
    let data = Some(Bytes::from_static(b"data"));
    Create { kind, path: Some(path.to_owned()), data, acl: open(), flags, ttl_ms }
}

/// A create of the plain kind.
pub(super) fn node(path: &str) -> WriteRequest {
    WriteRequest::Create(create(op::CREATE, path, 0, -1))
}

/// A create of the plain kind with other flags.
pub(super) fn flagged(path: &str, flags: i32) -> WriteRequest {
    WriteRequest::Create(create(op::CREATE, path, flags, -1))
}

/// A create with another list.
pub(super) fn node_with(path: &str, acl: Option<Vec<Acl>>) -> WriteRequest {
    WriteRequest::Create(Create { acl, ..create(op::CREATE, path, 0, -1) })
}

pub(super) fn container(path: &str) -> WriteRequest {
    WriteRequest::Create(create(op::CREATE_CONTAINER, path, 4, -1))
}

pub(super) fn ttl(path: &str, ttl_ms: i64) -> WriteRequest {
    WriteRequest::Create(create(op::CREATE_TTL, path, 5, ttl_ms))
}

pub(super) fn delete(path: &str, version: i32) -> WriteRequest {
    WriteRequest::Delete { path: Some(path.to_owned()), version }
}

pub(super) fn set_data(path: &str, data: &str, version: i32) -> WriteRequest {
    let data = Some(Bytes::copy_from_slice(data.as_bytes()));
    WriteRequest::SetData { path: Some(path.to_owned()), data, version }
}

pub(super) fn set_acl(path: &str, acl: Option<Vec<Acl>>, version: i32) -> WriteRequest {
    WriteRequest::SetAcl { path: Some(path.to_owned()), acl, version }
}

pub(super) fn check(path: &str, version: i32) -> WriteRequest {
    WriteRequest::Check { path: Some(path.to_owned()), version }
}

pub(super) fn delete_container(path: &str) -> WriteRequest {
    WriteRequest::DeleteContainer { path: Some(path.to_owned()) }
}

/// A list that lets only `user` do `perms`, and everyone read.
pub(super) fn only(user: &str, perms: i32) -> Option<Vec<Acl>> {
    Some(vec![Acl::new(perms, "digest", user), Acl::world(1)])
}
