//! Tests of the tree as a whole: tables per transaction type here, what Java wrote in `golden`,
//! random histories against a naive twin in `twin`, cuts in `cuts`.

mod cuts;
mod golden;
mod loads;
mod rules;
mod twin;

use jute::Encode;
use jute::data::{Acl, PERM_ALL, StatPersisted};
use jute::proto::op;
use jute::txn::{
    CloseSessionTxn, CreateContainerTxn, CreateSessionTxn, CreateTtlTxn, CreateTxn, DeleteTxn,
    ErrorTxn, MultiTxn, SetAclTxn, SetDataTxn, SubTxn, Txn, TxnHeader,
};

use super::*;
use crate::base::Proposal;

/// A tree with extended types on.
fn new_tree() -> DataTree {
    DataTree::new(TreeOptions { extended_types: true, hash_seed: 42, ..Default::default() })
}

/// Session 7, time 1000 * zxid.
fn proposal(zxid: i64, kind: i32, txn: Txn) -> Proposal {
    proposal_of(7, zxid, kind, txn)
}

fn proposal_of(session: i64, zxid: i64, kind: i32, txn: Txn) -> Proposal {
    let header = TxnHeader { client_id: session, cxid: 1, zxid, time: zxid * 1000, kind };
    Proposal::encode(header, txn, None)
}

/// Applies and records the changes as `created /path`.
fn apply(tree: &mut DataTree, proposal: &Proposal) -> (Applied, Vec<String>) {
    let mut changes = Vec::new();
    let applied = tree.apply(proposal, &mut |change: Change<'_>| {
        assert_eq!(change.zxid, proposal.zxid());
        let kind = match change.kind {
            ChangeKind::Created => "created",
            ChangeKind::Deleted => "deleted",
            ChangeKind::DataChanged => "changed",
        };
        let perms = |acl: &AclList| acl.iter().map(|acl| acl.perms).sum::<i32>();
        let (own, parent) = (perms(change.acl), perms(change.parent_acl));
        changes.push(format!("{kind} {} acl {own} parent {parent}", change.path));
    });
    tree.check().unwrap();
    (applied, changes)
}

/// Applies and returns the code only.
fn code(tree: &mut DataTree, zxid: i64, kind: i32, txn: Txn) -> i32 {
    apply(tree, &proposal(zxid, kind, txn)).0.err
}

fn open() -> Option<Vec<Acl>> {
    Some(vec![Acl::world(PERM_ALL)])
}

fn create(path: &str, data: &str, parent_cversion: i32) -> Txn {
    create_as(path, data, parent_cversion, false)
}

fn create_as(path: &str, data: &str, parent_cversion: i32, ephemeral: bool) -> Txn {
    Txn::Create(CreateTxn {
        path: Some(path.to_owned()),
        data: Some(data.as_bytes().to_vec().into()),
        acl: open(),
        ephemeral,
        parent_cversion,
    })
}

fn create_container(path: &str) -> Txn {
    Txn::CreateContainer(CreateContainerTxn {
        path: Some(path.to_owned()),
        data: None,
        acl: open(),
        parent_cversion: -1,
    })
}

fn create_ttl(path: &str, ttl: i64) -> Txn {
    Txn::CreateTtl(CreateTtlTxn {
        path: Some(path.to_owned()),
        data: None,
        acl: open(),
        parent_cversion: -1,
        ttl,
    })
}

fn delete(path: &str) -> Txn {
    Txn::Delete(DeleteTxn { path: Some(path.to_owned()) })
}

fn set_data(path: &str, data: &str, version: i32) -> Txn {
    Txn::SetData(SetDataTxn {
        path: Some(path.to_owned()),
        data: Some(data.as_bytes().to_vec().into()),
        version,
    })
}

fn set_acl(path: &str, perms: i32, version: i32) -> Txn {
    Txn::SetAcl(SetAclTxn {
        path: Some(path.to_owned()),
        acl: Some(vec![Acl::world(perms)]),
        version,
    })
}

fn close_session(paths: Option<&[&str]>) -> Txn {
    Txn::CloseSession(paths.map(|paths| CloseSessionTxn {
        paths_to_delete: Some(paths.iter().map(|path| Some((*path).to_owned())).collect()),
    }))
}

fn multi(subs: &[(i32, Txn)]) -> Txn {
    let txns =
        subs.iter().map(|(kind, txn)| SubTxn { kind: *kind, data: Some(txn.to_vec().into()) });
    Txn::Multi(MultiTxn { txns: Some(txns.collect()) })
}

/// Everything clients and snapshots can see, one line per znode, sorted by path.
fn dump(tree: &DataTree) -> Vec<String> {
    let mut lines = Vec::new();
    let mut stack = vec![tree.root()];
    while let Some(node) = stack.pop() {
        lines.push(line(&node.path(), node.data(), &node.persisted(), node.acl()));
        stack.extend(node.child_nodes());
    }
    lines.sort_unstable();
    lines
}

fn line(path: &str, data: Option<&[u8]>, stat: &StatPersisted, acl: &[Acl]) -> String {
    let data = match data {
        Some(data) => {
            format!("b64:{}", base64::Engine::encode(&base64::prelude::BASE64_STANDARD, data))
        }
        None => "null".to_owned(),
    };
    let acl = acl.iter().map(|acl| {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{} {} {}", acl.perms, part(&acl.id.scheme), part(&acl.id.id))
    });
    format!(
        "{path}\t{data}\tczxid=0x{:x} mzxid=0x{:x} pzxid=0x{:x} ctime={} mtime={} version={} \
         cversion={} aversion={} ephemeralOwner=0x{:x}\t{}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.ephemeral_owner,
        acl.collect::<Vec<_>>().join(",")
    )
}
