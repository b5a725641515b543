//! Transactions become changes (`DataTree.processTxn` and what it calls).
//!
//! Everything was decided in `prep`: live, a transaction always fits. Replay over a fuzzy snapshot
//! meets transactions whose effects are in the tree already, wholly or in part; the rules for those
//! are Java's and the same function applies both (`APPLY-PURE`, `REPLAY-CONVERGES`).
//!
//! Changes are told in the order in which Java triggers watches, after the tree has the new state.

use jute::data::{Acl, Stat, StatPersisted};
use jute::proto::op;
use jute::txn::{
    CloseSessionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DIGEST_VERSION, MultiTxn,
    SetDataTxn, Txn, TxnHeader,
};

use super::node::{Blob, NodeId};
use super::owners::{CONTAINER_OWNER, ttl_owner};
use super::{
    Applied, Change, ChangeKind, DataTree, DigestCheck, MultiOpResult, OpResult, Received,
    ZxidDigest,
};
use crate::base::{ErrorCode, Hints, Proposal, SessionId, Wall, Zxid};

/// A digest is remembered at every zxid that this divides.
const DIGEST_LOG_INTERVAL: i64 = 128;
/// How many of them are kept.
const DIGEST_LOG_MAX: usize = 1024;
/// The configuration znode.
const CONFIG: &str = "/zookeeper/config";

/// Takes changes as they happen.
type Changes<'c> = &'c mut dyn FnMut(Change<'_>);

/// What a create has beyond zxid and time.
struct Create<'a> {
    path: &'a str,
    data: Option<&'a [u8]>,
    acl: Option<&'a [Acl]>,
    owner: i64,
    parent_cversion: i32,
    content_crc: Option<u32>,
}

impl DataTree {
    /// Applies one transaction. Live apply and replay are the same function: misfits become codes
    /// in [`Applied`]. Calls `changes` in the order in which Java triggers watches; for each
    /// [`Change`] the data watches of the path come first, then child watches.
    ///
    /// Stricter than Java: a transaction without a path, or with a TTL out of range, changes
    /// nothing instead of stopping the server for ever.
    pub fn apply(&mut self, proposal: &Proposal, changes: Changes<'_>) -> Applied {
        self.forget_closed_cuts();
        let header = &proposal.header;
        let hints = &proposal.hints;
        let (err, result) = self.apply_txn(header, header.kind, &proposal.txn, hints, changes);
        // Only now: a snapshot named after a zxid must hold the whole of its multi
        // (ZOOKEEPER-3127).
        let zxid = proposal.zxid();
        self.last_zxid = self.last_zxid.max(zxid);
        if self.is_ahead(proposal) {
            return Applied { zxid, err, result, digest: DigestCheck::Skipped };
        }
        let snapshot_check = self.note_digest(zxid);
        let digest = match snapshot_check {
            DigestCheck::Mismatch { .. } => snapshot_check,
            _ => self.compare_digest(proposal),
        };
        Applied { zxid, err, result, digest }
    }

    fn apply_txn(
        &mut self,
        header: &TxnHeader,
        kind: i32,
        txn: &Txn,
        hints: &Hints,
        changes: Changes<'_>,
    ) -> (i32, OpResult) {
        let outcome = match txn {
            Txn::Create(txn) => self.apply_create(header, kind, txn, hints, changes),
            Txn::CreateContainer(txn) => self.apply_create_container(header, txn, changes),
            Txn::CreateTtl(txn) => self.apply_create_ttl(header, txn, changes),
            Txn::Delete(txn) => match &txn.path {
                Some(path) => {
                    self.delete_node(path, Zxid(header.zxid), changes).map(|()| OpResult::None)
                }
                None => Err(ErrorCode::BadArguments),
            },
            Txn::SetData(txn) => self.apply_set_data(header, txn, hints, changes),
            Txn::SetAcl(txn) => match &txn.path {
                Some(path) => {
                    self.set_acl(path, txn.acl.as_deref(), txn.version).map(OpResult::Stat)
                }
                None => Err(ErrorCode::BadArguments),
            },
            Txn::Check(_) => Ok(OpResult::None),
            Txn::CreateSession(txn) => {
                self.sessions.insert(SessionId(header.client_id), txn.timeout);
                Ok(OpResult::None)
            }
            Txn::CloseSession(txn) => {
                self.close_session(header, txn.as_ref(), changes);
                Ok(OpResult::None)
            }
            Txn::Error(txn) => return (txn.err, OpResult::None),
            Txn::Multi(txn) => return self.apply_multi(header, txn, changes),
        };
        match outcome {
            Ok(result) => (0, result),
            Err(code) => (code.code(), OpResult::None),
        }
    }

    // Transactions.

    fn apply_create(
        &mut self,
        header: &TxnHeader,
        kind: i32,
        txn: &CreateTxn,
        hints: &Hints,
        changes: Changes<'_>,
    ) -> Result<OpResult, ErrorCode> {
        let path = txn.path.as_deref().ok_or(ErrorCode::BadArguments)?;
        let create = Create {
            path,
            data: txn.data.as_deref(),
            acl: txn.acl.as_deref(),
            owner: if txn.ephemeral { header.client_id } else { 0 },
            parent_cversion: txn.parent_cversion,
            content_crc: hints.content_crc,
        };
        let outcome = self.create_node(&create, header, changes);
        // A session closed and another one recreated the znode before the snapshot reached its
        // parent: the close cannot be replayed, so the create has to move the parent on. Only for
        // this type, in Java too (`processTxn`, comment on NODEEXISTS).
        if kind == op::CREATE && outcome == Err(ErrorCode::NodeExists) {
            self.raise_parent(path, txn.parent_cversion, Zxid(header.zxid))?;
        }
        outcome
    }

    fn apply_create_container(
        &mut self,
        header: &TxnHeader,
        txn: &CreateContainerTxn,
        changes: Changes<'_>,
    ) -> Result<OpResult, ErrorCode> {
        let create = Create {
            path: txn.path.as_deref().ok_or(ErrorCode::BadArguments)?,
            data: txn.data.as_deref(),
            acl: txn.acl.as_deref(),
            owner: CONTAINER_OWNER,
            parent_cversion: txn.parent_cversion,
            content_crc: None,
        };
        self.create_node(&create, header, changes)
    }

    fn apply_create_ttl(
        &mut self,
        header: &TxnHeader,
        txn: &CreateTtlTxn,
        changes: Changes<'_>,
    ) -> Result<OpResult, ErrorCode> {
        let create = Create {
            path: txn.path.as_deref().ok_or(ErrorCode::BadArguments)?,
            data: txn.data.as_deref(),
            acl: txn.acl.as_deref(),
            owner: ttl_owner(txn.ttl)?,
            parent_cversion: txn.parent_cversion,
            content_crc: None,
        };
        self.create_node(&create, header, changes)
    }

    fn apply_set_data(
        &mut self,
        header: &TxnHeader,
        txn: &SetDataTxn,
        hints: &Hints,
        changes: Changes<'_>,
    ) -> Result<OpResult, ErrorCode> {
        let path = txn.path.as_deref().ok_or(ErrorCode::BadArguments)?;
        let (zxid, time) = (Zxid(header.zxid), header.time);
        self.set_data(path, txn.data.as_deref(), txn.version, zxid, time, hints, changes)
            .map(OpResult::Stat)
    }

    /// If any operation is an error none is applied: those before it read as 0, those behind as -2.
    fn apply_multi(
        &mut self,
        header: &TxnHeader,
        multi: &MultiTxn,
        changes: Changes<'_>,
    ) -> (i32, OpResult) {
        let txns = multi.txns.as_deref().unwrap_or_default();
        let failed = txns.iter().any(|sub| sub.kind == op::ERROR);
        let mut behind_error = false;
        let mut first_err = 0;
        let mut results = Vec::with_capacity(txns.len());
        for sub in txns {
            behind_error |= sub.kind == op::ERROR;
            // Java stops here without a word; what was applied stays.
            let Ok(txn) = Txn::decode_sub(sub) else { break };
            let (kind, err, result) = if failed && sub.kind != op::ERROR {
                let code =
                    if behind_error { ErrorCode::RuntimeInconsistency } else { ErrorCode::Ok };
                (op::ERROR, code.code(), OpResult::None)
            } else {
                let (err, result) =
                    self.apply_txn(header, sub.kind, &txn, &Hints::default(), changes);
                (sub.kind, err, result)
            };
            if first_err == 0 {
                first_err = err;
            }
            results.push(MultiOpResult { kind, err, result });
        }
        (first_err, OpResult::Multi(results))
    }

    /// Deletes the listed paths, whoever owns them now, then what the session still owns here.
    fn close_session(
        &mut self,
        header: &TxnHeader,
        txn: Option<&CloseSessionTxn>,
        changes: Changes<'_>,
    ) {
        let listed = txn.and_then(|txn| txn.paths_to_delete.as_deref()).unwrap_or_default();
        for path in listed.iter().flatten() {
            // Missing ones are no error, but the parent's pzxid moves on.
            let _ = self.delete_node(path, Zxid(header.zxid), changes);
        }
        self.kill_session(SessionId(header.client_id), Zxid(header.zxid), changes);
    }

    /// Deletes a session's ephemerals and forgets the session. A server does this after restoring
    /// for owners that the session table does not know (`ZooKeeperServer.killSession`).
    pub fn kill_session(&mut self, session: SessionId, zxid: Zxid, changes: Changes<'_>) {
        self.sessions.remove(session);
        let owned: Vec<String> = self.ephemerals_of(session).collect();
        for path in owned {
            let _ = self.delete_node(&path, zxid, changes);
        }
    }

    /// Sets `/zookeeper/config` outside the transaction stream, creating it if it is missing
    /// (`ZKDatabase.initConfigInZKDatabase`): version -1, mzxid = `config_version`.
    pub fn set_config(
        &mut self,
        text: &[u8],
        config_version: i64,
        time: Wall,
        changes: Changes<'_>,
    ) {
        self.forget_closed_cuts();
        if self.lookup(CONFIG).is_none() {
            self.add_config_node();
        }
        let (zxid, hints) = (Zxid(config_version), Hints::default());
        let _ = self.set_data(CONFIG, Some(text), -1, zxid, time.0, &hints, changes);
    }

    // Primitive changes.

    fn create_node(
        &mut self,
        create: &Create<'_>,
        header: &TxnHeader,
        changes: Changes<'_>,
    ) -> Result<OpResult, ErrorCode> {
        let zxid = header.zxid;
        let (parent_path, name) = split(create.path).ok_or(ErrorCode::NoNode)?;
        let parent = self.lookup_exact(parent_path).ok_or(ErrorCode::NoNode)?;
        let hash = self.index.hash(create.path.as_bytes());
        let acl = self.acls.intern(create.acl);
        if let Some(existing) = self.lookup_hash(hash, create.path) {
            // Repairs a list that the fuzzy snapshot's map does not have (ZOOKEEPER-3306).
            self.preserve(existing);
            let old = std::mem::replace(&mut self.nodes.get_mut(existing).acl, acl);
            self.acls.release(old);
            return Err(ErrorCode::NodeExists);
        }
        self.raise_cversion(parent, create.parent_cversion, Zxid(zxid));
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: header.time,
            mtime: header.time,
            ephemeral_owner: create.owner,
            ..StatPersisted::default()
        };
        let Create { path, data, content_crc, .. } = *create;
        let id = self.add_node(parent, path, name, data, acl, &stat, content_crc, hash);
        self.redigest(parent, parent_path);
        let stat = self.stat(id);
        let bytes = create.data.map_or(0, |data| data.len() as i64);
        self.quota_created(create.path, parent_path, name, bytes);
        changes(Change {
            kind: ChangeKind::Created,
            path: create.path,
            acl: self.acls.list(acl),
            parent_acl: self.acls.list(self.nodes.get(parent).acl),
            zxid: Zxid(zxid),
            bytes: bytes as usize,
        });
        Ok(OpResult::Created { path: create.path.to_owned(), stat })
    }

    /// Adds a znode to every index. The stat of its parent is the caller's. `hash` is the path's.
    #[allow(clippy::too_many_arguments)]
    fn add_node(
        &mut self,
        parent: NodeId,
        path: &str,
        name: &str,
        data: Option<&[u8]>,
        acl: super::acl_table::AclRef,
        stat: &StatPersisted,
        content_crc: Option<u32>,
        hash: u64,
    ) -> NodeId {
        self.preserve(parent);
        let blob = Blob::new(name.as_bytes(), data, &mut self.scratch);
        let id = self.nodes.allocate(blob);
        self.nodes.set_persisted(id, stat);
        self.nodes.get_mut(id).acl = acl;
        self.nodes.link(parent, id);
        self.index.insert(hash, id, &self.nodes);
        self.owners.insert(id, self.owner(id));
        self.data_size += node_size(path, data);
        self.redigest_with(id, path, content_crc);
        self.note_born(id);
        id
    }

    fn delete_node(
        &mut self,
        path: &str,
        zxid: Zxid,
        changes: Changes<'_>,
    ) -> Result<(), ErrorCode> {
        let (parent_path, name) = split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.lookup_exact(parent_path).ok_or(ErrorCode::NoNode)?;
        let hash = self.index.hash(path.as_bytes());
        let found = self.lookup_hash(hash, path);
        // Even if the znode is gone already (ZOOKEEPER-3125).
        if zxid.0 > self.nodes.persisted(parent).pzxid {
            self.preserve(parent);
            self.nodes.rare_mut(parent).pzxid = zxid.0;
            self.redigest(parent, parent_path);
        }
        let id = found.ok_or(ErrorCode::NoNode)?;
        self.delete_descendants(id, path, zxid, changes);
        let data_len = self.remove_node(id, parent, path, hash);
        self.quota_deleted(path, parent_path, name, data_len as i64);
        let acl = self.nodes.get(id).acl;
        changes(Change {
            kind: ChangeKind::Deleted,
            path,
            acl: self.acls.list(acl),
            parent_acl: self.acls.list(self.nodes.get(parent).acl),
            zxid,
            bytes: 0,
        });
        self.acls.release(acl);
        self.nodes.free(id);
        Ok(())
    }

    /// Only in replay: the fuzzy snapshot has children that were created after this delete. Their
    /// creates follow. Java leaves them behind as orphans, which then miss in their parent's list.
    fn delete_descendants(&mut self, id: NodeId, path: &str, zxid: Zxid, changes: Changes<'_>) {
        while let Some(child) = self.nodes.children(id).last().copied() {
            // The deepest last descendant, so that deep trees need no deep stack.
            let mut leaf = child;
            while let Some(below) = self.nodes.children(leaf).last() {
                leaf = *below;
            }
            let mut leaf_path = String::with_capacity(path.len() + 16);
            self.nodes.push_path(leaf, &mut leaf_path);
            let _ = self.delete_node(&leaf_path, zxid, changes);
        }
    }

    /// Takes a znode out of every index but leaves its slot and ACL for the caller to read and
    /// free. Returns the length of its data.
    fn remove_node(&mut self, id: NodeId, parent: NodeId, path: &str, hash: u64) -> usize {
        self.preserve(parent);
        self.preserve(id);
        self.note_removed(parent, id);
        self.nodes.unlink(id);
        self.index.remove(hash, id);
        self.owners.remove(id, self.owner(id));
        let slot = self.nodes.get(id);
        self.digest = self.digest.wrapping_sub(i64::from(slot.digest));
        self.data_size -= node_size(path, slot.blob().data());
        slot.blob().data_len()
    }

    #[allow(clippy::too_many_arguments)]
    fn set_data(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        zxid: Zxid,
        time: i64,
        hints: &Hints,
        changes: Changes<'_>,
    ) -> Result<Stat, ErrorCode> {
        let id = self.lookup_at(hints.place, path).ok_or(ErrorCode::NoNode)?;
        self.preserve(id);
        let slot = self.nodes.get_mut(id);
        let grown = data.map_or(0, <[u8]>::len) as i64 - slot.blob().data_len() as i64;
        slot.set_data(data, &mut self.scratch);
        slot.version = version;
        slot.mzxid = zxid.0;
        slot.mtime = time;
        self.redigest_with(id, path, hints.content_crc);
        self.data_size = self.data_size.wrapping_add_signed(grown);
        let stat = self.stat(id);
        self.quota_add(path, 0, grown);
        let slot = self.nodes.get(id);
        changes(Change {
            kind: ChangeKind::DataChanged,
            path,
            acl: self.acls.list(slot.acl),
            parent_acl: self.acls.list(self.nodes.get(slot.parent).acl),
            zxid,
            bytes: slot.blob().data_len(),
        });
        Ok(stat)
    }

    fn set_acl(
        &mut self,
        path: &str,
        acl: Option<&[Acl]>,
        version: i32,
    ) -> Result<Stat, ErrorCode> {
        let id = self.lookup(path).ok_or(ErrorCode::NoNode)?;
        self.preserve(id);
        let new = self.acls.intern(acl);
        let old = std::mem::replace(&mut self.nodes.get_mut(id).acl, new);
        self.acls.release(old);
        if self.nodes.persisted(id).aversion != version {
            self.nodes.rare_mut(id).aversion = version;
        }
        self.redigest(id, path);
        Ok(self.stat(id))
    }

    /// Moves cversion and pzxid of a parent on, never back. -1 means "plus one" (3.3 logs).
    fn raise_cversion(&mut self, parent: NodeId, cversion: i32, zxid: Zxid) {
        let current = self.nodes.persisted(parent).cversion;
        let cversion = if cversion == -1 { current.wrapping_add(1) } else { cversion };
        if cversion > current {
            self.preserve(parent);
            let rare = self.nodes.rare_mut(parent);
            rare.cversion = cversion;
            rare.pzxid = zxid.0;
        }
    }

    /// The same for the parent of `path` (`setCversionPzxid`).
    fn raise_parent(&mut self, path: &str, cversion: i32, zxid: Zxid) -> Result<(), ErrorCode> {
        let (parent_path, _) = split(path).ok_or(ErrorCode::NoNode)?;
        let parent = self.lookup_exact(parent_path).ok_or(ErrorCode::NoNode)?;
        self.raise_cversion(parent, cversion, zxid);
        self.redigest(parent, parent_path);
        Ok(())
    }

    /// The built-in configuration znode (`addConfigNode`).
    pub(super) fn add_config_node(&mut self) {
        let Some((parent_path, name)) = split(CONFIG) else { return };
        let Some(parent) = self.lookup(parent_path) else { return };
        let acl = self.acls.intern(Some(&[Acl::world(jute::data::PERM_READ)]));
        let stat = StatPersisted { aversion: -1, ..StatPersisted::default() };
        let hash = self.index.hash(CONFIG.as_bytes());
        self.add_node(parent, CONFIG, name, Some(b""), acl, &stat, None, hash);
    }

    /// A built-in znode of an empty tree.
    pub(super) fn add_builtin(&mut self, path: &str) {
        let (parent_path, name) = split(path).expect("built-in paths have a parent");
        let parent = self.lookup_exact(parent_path).expect("built-in parents come first");
        let open = super::acl_table::OPEN;
        let hash = self.index.hash(path.as_bytes());
        let stat = StatPersisted::default();
        self.add_node(parent, path, name, Some(b""), open, &stat, None, hash);
    }

    // Digests.

    /// Brings a znode's cached digest and the tree's up to date.
    pub(super) fn redigest(&mut self, id: NodeId, path: &str) {
        self.redigest_with(id, path, None);
    }

    /// The same, with the CRC of path and data if it is known.
    fn redigest_with(&mut self, id: NodeId, path: &str, content_crc: Option<u32>) {
        if !self.options.digest_enabled {
            return;
        }
        let stat = self.nodes.persisted(id);
        let slot = self.nodes.get_mut(id);
        let new = match content_crc {
            Some(crc) if super::is_digested(path) => {
                debug_assert_eq!(
                    crc,
                    super::content_crc(path, slot.blob().data().unwrap_or_default()),
                    "the hint is the content's"
                );
                super::stat_digest(crc, &stat)
            }
            _ => super::node_digest(path, slot.blob().data(), &stat),
        };
        let old = std::mem::replace(&mut slot.digest, new);
        self.digest = self.digest.wrapping_add(i64::from(new) - i64::from(old));
    }

    /// True while a received tree may be ahead of this transaction.
    fn is_ahead(&mut self, proposal: &Proposal) -> bool {
        let Some(received) = self.received.filter(|received| !received.exact) else { return false };
        let check = self.compare_digest(proposal);
        let exact = check == DigestCheck::Match;
        let ahead = received.ahead || matches!(check, DigestCheck::Mismatch { .. });
        self.received = Some(Received { ahead, exact });
        !exact
    }

    /// Remembers the digest at `zxid`; compares it first if a fuzzy snapshot left one for it.
    fn note_digest(&mut self, zxid: Zxid) -> DigestCheck {
        let mut check = DigestCheck::Skipped;
        if let Some(pending) = self.pending_digest {
            if zxid < pending.zxid {
                return DigestCheck::Skipped;
            }
            self.pending_digest = None;
            // If its transaction never came there is nothing to compare, but the fuzzy range is
            // over all the same. Java stops comparing for good.
            if zxid == pending.zxid {
                check = self.compare(pending.version, pending.digest);
            }
        }
        let digest = ZxidDigest { zxid, version: DIGEST_VERSION, digest: self.digest };
        self.last_digest = Some(digest);
        if zxid.0 % DIGEST_LOG_INTERVAL == 0 {
            if self.digest_log.len() == DIGEST_LOG_MAX {
                self.digest_log.pop_front();
            }
            self.digest_log.push_back(digest);
        }
        check
    }

    fn compare_digest(&self, proposal: &Proposal) -> DigestCheck {
        match &proposal.digest {
            Some(digest) if self.pending_digest.is_none() => {
                self.compare(digest.version, digest.tree_digest)
            }
            _ => DigestCheck::Skipped,
        }
    }

    pub(super) fn compare(&self, version: i32, expected: i64) -> DigestCheck {
        if !self.options.digest_enabled || version != DIGEST_VERSION {
            DigestCheck::Skipped
        } else if expected == self.digest {
            DigestCheck::Match
        } else {
            DigestCheck::Mismatch { expected, actual: self.digest }
        }
    }
}

/// Parent and name. `None` for the root and for anything without a parent or a name. The parent of
/// `/a` is `""`.
pub(super) fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some((parent, name))
}

/// What a znode adds to the approximate data size: UTF-16 units of the path and bytes of data.
pub(super) fn node_size(path: &str, data: Option<&[u8]>) -> u64 {
    let path = if path.is_ascii() { path.len() } else { path.encode_utf16().count() };
    (path + data.map_or(0, <[u8]>::len)) as u64
}
