//! The checks of each operation, in Java's order, and the changes it leaves in the overlay.
//!
//! Nothing is changed before the last check passed, so only a multi needs to take changes back.

use std::sync::Arc;

use jute::data::{Acl, PERM_ADMIN, PERM_CREATE, PERM_DELETE, PERM_READ, PERM_WRITE, StatPersisted};
use jute::proto::op;
use jute::txn::{
    CheckVersionTxn, CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn,
    CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn,
};

use super::create_mode::CreateMode;
use super::outstanding::{Outstanding, Spot, View};
use super::path::{parent_for_create, parent_for_delete, validate};
use super::{Complaint, Context, Create, Membership, Options, Reconfig, Source, WriteRequest};
use crate::acl::Schemes;
use crate::base::{ErrorCode, Hints, Now, Zxid};
use crate::metrics::top_namespace;
use crate::session::Tracker;
use crate::tree::{AclList, DataTree, Owner, ttl_owner};

/// The stored owner of a container.
const CONTAINER_OWNER: i64 = i64::MIN;
/// The znode of the ensemble's configuration.
const CONFIG: &str = "/zookeeper/config";

/// One request at work.
pub(super) struct Work<'a, 'm> {
    pub(super) options: &'a Options,
    pub(super) schemes: &'a Schemes,
    pub(super) open_acl: &'a AclList,
    pub(super) overlay: &'a mut Outstanding,
    pub(super) complaint: &'a mut Complaint,
    pub(super) tree: &'a DataTree,
    pub(super) sessions: &'a mut Tracker,
    pub(super) membership: Option<&'a mut (dyn Membership + 'm)>,
    pub(super) context: &'a Context,
    pub(super) zxid: Zxid,
    pub(super) now: Now,
    /// Of the last change.
    pub(super) hints: Hints,
}

impl Work<'_, '_> {
    /// Any operation but a multi.
    pub(super) fn single(&mut self, write: WriteRequest) -> Result<Txn, ErrorCode> {
        match write {
            WriteRequest::Create(create) => self.create(create),
            WriteRequest::Delete { path, version } => self.delete(path, version),
            WriteRequest::SetData { path, data, version } => {
                self.check_session()?;
                let path = path.ok_or(ErrorCode::BadArguments)?;
                validate(&path)?;
                let (spot, node) = self.locate(&path)?;
                self.check_acl(node, PERM_WRITE)?;
                let new_len = data.as_ref().map_or(0, bytes::Bytes::len);
                // Before the version, as in Java.
                let (old_len, current) = (node.data_len(), node.version());
                self.check_quota(&path, 0, new_len as i64 - old_len as i64)?;
                let version = next_version(current, version)?;
                self.set_data(&path, spot, data.as_deref(), version);
                Ok(Txn::SetData(SetDataTxn { path: Some(path), data, version }))
            }
            WriteRequest::SetAcl { path, acl, version } => self.set_acl(path, acl, version),
            WriteRequest::Check { path, version } => {
                self.check_session()?;
                let path = path.ok_or(ErrorCode::BadArguments)?;
                validate(&path)?;
                let node = self.find(&path)?;
                self.check_acl(node, PERM_READ)?;
                let version = next_version(node.version(), version)?;
                Ok(Txn::Check(CheckVersionTxn { path: Some(path), version }))
            }
            WriteRequest::DeleteContainer { path } => self.delete_container(path),
            WriteRequest::Reconfig(reconfig) => self.reconfig(&reconfig),
            WriteRequest::CreateSession { timeout_ms } => {
                let Context { session, owner, .. } = *self.context;
                self.sessions.track(self.now.mono, session, timeout_ms);
                self.sessions.set_owner(session, owner)?;
                Ok(Txn::CreateSession(CreateSessionTxn { timeout: timeout_ms }))
            }
            WriteRequest::CloseSession => Ok(self.close_session()),
            WriteRequest::Multi(_) | WriteRequest::Undecodable { .. } => {
                Err(ErrorCode::MarshallingError)
            }
        }
    }

    fn create(&mut self, create: Create) -> Result<Txn, ErrorCode> {
        let mode = self.check_create(&create)?;
        let mut path = create.path.ok_or(ErrorCode::MarshallingError)?;
        let parent_len = parent_for_create(&path)?.len();
        let acl = self.schemes.fix_up(create.acl, &self.context.identities)?;
        let (parent_spot, parent_node) = self.locate(&path[..parent_len])?;
        self.check_acl(parent_node, PERM_CREATE)?;
        let cversion = parent_node.cversion();
        if mode.is_sequential() {
            use std::fmt::Write;
            write!(path, "{cversion:010}").expect("a string takes everything");
        }
        validate(&path)?;
        let (spot, existing) = self.overlay.find(self.tree, &path);
        if existing.is_some() {
            return Err(ErrorCode::NodeExists);
        }
        if matches!(parent_node.owner(), Owner::Session(_)) {
            return Err(ErrorCode::NoChildrenForEphemerals);
        }
        let data = create.data.as_deref().unwrap_or_default();
        self.check_quota(&path, 1, data.len() as i64)?;

        // The *op code* selects transaction and owner; the flags, whether it is ephemeral.
        let ephemeral_owner = match create.kind {
            op::CREATE_CONTAINER => CONTAINER_OWNER,
            op::CREATE_TTL => ttl_owner(create.ttl_ms)?,
            _ if mode.is_ephemeral() => self.context.session.0,
            _ => 0,
        };
        let parent_cversion = cversion.wrapping_add(1);
        let parent = (&path[..parent_len], parent_spot);
        self.create_node(parent, (&path, spot), data, &acl, ephemeral_owner, parent_cversion);
        let (path, data, acl) = (Some(path), create.data, Some(acl));
        Ok(match create.kind {
            op::CREATE_CONTAINER => {
                Txn::CreateContainer(CreateContainerTxn { path, data, acl, parent_cversion })
            }
            op::CREATE_TTL => {
                let ttl = create.ttl_ms;
                Txn::CreateTtl(CreateTtlTxn { path, data, acl, parent_cversion, ttl })
            }
            _ => {
                let ephemeral = mode.is_ephemeral();
                Txn::Create(CreateTxn { path, data, acl, ephemeral, parent_cversion })
            }
        })
    }

    /// Rows 1 to 4 of the order: flags, TTL, session (`validateCreateRequest`).
    fn check_create(&mut self, create: &Create) -> Result<CreateMode, ErrorCode> {
        let mode = CreateMode::from_flags(create.flags).ok_or(ErrorCode::BadArguments)?;
        if mode.is_ttl() && !self.tree.options().extended_types {
            return Err(ErrorCode::Unimplemented);
        }
        // Java accepts createTTL with other flags and without TTL, logs it, and cannot apply it:
        // the server never starts again. Stricter than Java.
        let ttl_op = create.kind == op::CREATE_TTL;
        if mode.is_ttl() {
            ttl_owner(create.ttl_ms)?;
        }
        if mode.is_ttl() != ttl_op || (!mode.is_ttl() && create.ttl_ms >= 0) {
            return Err(ErrorCode::BadArguments);
        }
        let Context { session, owner, .. } = *self.context;
        if !mode.is_ephemeral() {
            self.check_session()?;
        } else if let Some(code) = self.context.upgrade_error {
            return Err(code);
        } else {
            self.sessions.check_global(session, owner)?;
        }
        Ok(mode)
    }

    fn create_node(
        &mut self,
        parent: (&str, Spot),
        at: (&str, Spot),
        data: &[u8],
        acl: &[Acl],
        ephemeral_owner: i64,
        parent_cversion: i32,
    ) {
        let zxid = self.zxid;
        self.overlay.update(self.tree, parent, zxid, |state| {
            state.children += 1;
            // Both or none, as when it is applied: the counter sticks at its maximum.
            if parent_cversion > state.stat.cversion {
                state.stat.cversion = parent_cversion;
                state.stat.pzxid = zxid.0;
            }
        });
        let stat = StatPersisted {
            czxid: zxid.0,
            mzxid: zxid.0,
            ctime: self.now.wall.0,
            mtime: self.now.wall.0,
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner,
            pzxid: zxid.0,
        };
        let acl = self.acl_list(acl);
        self.hints.content_crc = self.overlay.create(self.tree, at, data, acl, stat, zxid);
    }

    fn delete(&mut self, path: Option<String>, version: i32) -> Result<Txn, ErrorCode> {
        self.check_session()?;
        let path = path.ok_or(ErrorCode::MarshallingError)?;
        let parent = parent_for_delete(&path)?;
        let (parent_spot, parent_node) = self.locate(parent)?;
        self.check_acl(parent_node, PERM_DELETE)?;
        let (spot, node) = self.locate(&path)?;
        next_version(node.version(), version)?;
        if node.has_children() {
            return Err(ErrorCode::NotEmpty);
        }
        self.delete_node((parent, parent_spot), (&path, spot));
        Ok(Txn::Delete(DeleteTxn { path: Some(path) }))
    }

    /// The removal of a container or TTL znode. Java lets anyone send it and looks at no
    /// permission; from outside it needs here what a delete needs, and such a znode. Stricter than
    /// Java.
    fn delete_container(&mut self, path: Option<String>) -> Result<Txn, ErrorCode> {
        let internal = self.context.source == Source::Internal;
        if !internal {
            self.check_session()?;
        }
        let path = path.ok_or(ErrorCode::MarshallingError)?;
        let parent = parent_for_delete(&path)?;
        if !internal {
            let parent_node = self.find(parent)?;
            self.check_acl(parent_node, PERM_DELETE)?;
        }
        let (spot, node) = self.locate(&path)?;
        if node.has_children() {
            return Err(ErrorCode::NotEmpty);
        }
        match node.owner() {
            Owner::Session(_) => return Err(ErrorCode::BadVersion),
            Owner::None if !internal => return Err(ErrorCode::NoAuth),
            Owner::None | Owner::Container | Owner::Ttl(_) => {}
        }
        let (parent_spot, _) = self.locate(parent)?;
        self.delete_node((parent, parent_spot), (&path, spot));
        Ok(Txn::Delete(DeleteTxn { path: Some(path) }))
    }

    fn delete_node(&mut self, parent: (&str, Spot), at: (&str, Spot)) {
        let zxid = self.zxid;
        self.overlay.update(self.tree, parent, zxid, |state| {
            state.children = state.children.saturating_sub(1);
            state.stat.pzxid = state.stat.pzxid.max(zxid.0);
        });
        self.overlay.delete(self.tree, at, zxid);
    }

    fn set_data(&mut self, path: &str, spot: Spot, data: Option<&[u8]>, version: i32) {
        let (zxid, mtime) = (self.zxid, self.now.wall.0);
        let data = Some(data.unwrap_or_default());
        let at = (path, spot);
        self.hints.place = spot.place();
        self.hints.content_crc = self.overlay.update_data(self.tree, at, data, zxid, |state| {
            state.stat.version = version;
            state.stat.mtime = mtime;
            state.stat.mzxid = zxid.0;
        });
    }

    fn set_acl(
        &mut self,
        path: Option<String>,
        acl: Option<Vec<Acl>>,
        version: i32,
    ) -> Result<Txn, ErrorCode> {
        self.check_session()?;
        let path = path.ok_or(ErrorCode::BadArguments)?;
        validate(&path)?;
        let acl = self.schemes.fix_up(acl, &self.context.identities)?;
        let (spot, node) = self.locate(&path)?;
        self.check_acl(node, PERM_ADMIN)?;
        let version = next_version(node.aversion(), version)?;
        let list = self.acl_list(&acl);
        self.overlay.update(self.tree, (&path, spot), self.zxid, |state| {
            state.stat.aversion = version;
            state.acl = list;
        });
        Ok(Txn::SetAcl(SetAclTxn { path: Some(path), acl: Some(acl), version }))
    }

    /// The permission comes last, so callers without it see earlier errors, as in Java.
    fn reconfig(&mut self, reconfig: &Reconfig) -> Result<Txn, ErrorCode> {
        if !self.options.reconfig_enabled {
            return Err(ErrorCode::ReconfigDisabled);
        }
        self.check_session()?;
        let membership = self.membership.as_mut().ok_or(ErrorCode::Unimplemented)?;
        let text = membership.propose(reconfig, self.zxid)?;
        let (spot, node) = self.locate(CONFIG)?;
        self.check_acl(node, PERM_WRITE)?;
        self.set_data(CONFIG, spot, Some(&text), -1);
        Ok(Txn::SetData(SetDataTxn {
            path: Some(CONFIG.to_owned()),
            data: Some(text),
            version: -1,
        }))
    }

    /// Checks nothing: expiry closes sessions it does not own, and a stale connection may close
    /// its session, too.
    fn close_session(&mut self) -> Txn {
        let session = self.context.session;
        let paths = self.overlay.ephemerals_of(self.tree, session);
        for path in &paths {
            let parent = &path[..path.rfind('/').unwrap_or(0)];
            let (parent_spot, _) = self.overlay.find(self.tree, parent);
            let (spot, _) = self.overlay.find(self.tree, path);
            self.delete_node((parent, parent_spot), (path, spot));
        }
        self.sessions.set_closing(session);
        let listed = self.options.close_session_txn.then(|| CloseSessionTxn {
            paths_to_delete: Some(paths.into_iter().map(Some).collect()),
        });
        Txn::CloseSession(listed)
    }

    fn check_session(&mut self) -> Result<(), ErrorCode> {
        self.sessions.check(self.context.session, self.context.owner)
    }

    fn find(&self, path: &str) -> Result<View<'_>, ErrorCode> {
        Ok(self.locate(path)?.1)
    }

    /// The znode, and where to change it.
    fn locate(&self, path: &str) -> Result<(Spot, View<'_>), ErrorCode> {
        let (spot, node) = self.overlay.find(self.tree, path);
        Ok((spot, node.ok_or(ErrorCode::NoNode)?))
    }

    fn check_acl(&self, node: View<'_>, wanted: i32) -> Result<(), ErrorCode> {
        self.schemes.check(node.acl(), wanted, &self.context.identities)
    }

    /// Compares with what is *applied*, not with what is proposed, as Java does. Only hard limits
    /// refuse; where there is one, the soft one is not looked at.
    fn check_quota(&mut self, path: &str, count: i64, bytes: i64) -> Result<(), ErrorCode> {
        if !self.options.enforce_quota {
            return Ok(());
        }
        let Some(quota) = self.tree.quota_of(path) else { return Ok(()) };
        let checks = [
            ("count", "Count", quota.count, count, quota.count_hard_limit, quota.count_limit),
            ("bytes", "Byte", quota.bytes, bytes, quota.byte_hard_limit, quota.byte_limit),
        ];
        for (what, name, current, more, hard_limit, soft_limit) in checks {
            let hard = hard_limit > -1;
            let limit = if hard { hard_limit } else { soft_limit };
            let sum = current.saturating_add(more);
            if more == 0 || limit < 0 || sum <= limit {
                continue;
            }
            let kind = if hard { "hard" } else { "soft" };
            let prefix = &quota.prefix;
            let text = format!(
                "Quota exceeded: {prefix} [current {what}={sum}, {kind}{name}Limit={limit}]"
            );
            self.complaint.say(self.now.mono, text);
            if hard {
                if let (Some(metrics), Some(top)) = (&self.options.metrics, top_namespace(path)) {
                    metrics.quota_exceeded_error_per_namespace.add(top, 1);
                }
                return Err(ErrorCode::QuotaExceeded);
            }
        }
        Ok(())
    }

    /// The list as the overlay keeps it. Most lists are the open one, which is shared.
    fn acl_list(&self, acl: &[Acl]) -> AclList {
        if acl == &**self.open_acl { self.open_acl.clone() } else { Arc::from(acl) }
    }
}

/// The version after a change, if the expected one fits; -1 fits always.
fn next_version(current: i32, expected: i32) -> Result<i32, ErrorCode> {
    if expected != -1 && expected != current {
        return Err(ErrorCode::BadVersion);
    }
    Ok(current.wrapping_add(1))
}
