//! Random histories against a naive twin: a map from path to znode that searches everything anew.
//! Histories need not make sense: replay must survive whatever a fuzzy snapshot leaves.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::base::ErrorCode;
use crate::tree::cut::CutLimits;

/// One transaction of a random history.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create { kind: i32, path: String, data: Option<String>, perms: Option<i32>, cversion: i32 },
    Delete(String),
    SetData { path: String, data: Option<String>, version: i32 },
    SetAcl { path: String, perms: i32, version: i32 },
    CreateSession,
    CloseSession(Option<Vec<String>>),
    Error,
    Multi(Vec<Op>),
}

/// An [`Op`] with its session and by how much the zxid moves; it may go back, as in replay.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) op: Op,
    session: i64,
    advance: i64,
}

/// The made-up op kind of an ephemeral create; sent as [`op::CREATE`].
const EPHEMERAL: i32 = 1001;

impl Op {
    fn txn(&self) -> (i32, Txn) {
        let bytes = |data: &Option<String>| data.as_ref().map(|d| d.clone().into_bytes().into());
        match self {
            Op::Create { kind, path, data, perms, cversion } => {
                let (path, data) = (Some(path.clone()), bytes(data));
                let acl = perms.map(|perms| vec![Acl::world(perms)]);
                let parent_cversion = *cversion;
                match *kind {
                    op::CREATE_CONTAINER => {
                        let txn = CreateContainerTxn { path, data, acl, parent_cversion };
                        (*kind, Txn::CreateContainer(txn))
                    }
                    op::CREATE_TTL => {
                        let txn = CreateTtlTxn { path, data, acl, parent_cversion, ttl: 5 };
                        (*kind, Txn::CreateTtl(txn))
                    }
                    kind => {
                        let ephemeral = kind == EPHEMERAL;
                        let kind = if ephemeral { op::CREATE } else { kind };
                        let txn = CreateTxn { path, data, acl, ephemeral, parent_cversion };
                        (kind, Txn::Create(txn))
                    }
                }
            }
            Op::Delete(path) => (op::DELETE, delete(path)),
            Op::SetData { path, data, version } => {
                let txn =
                    SetDataTxn { path: Some(path.clone()), data: bytes(data), version: *version };
                (op::SET_DATA, Txn::SetData(txn))
            }
            Op::SetAcl { path, perms, version } => (op::SET_ACL, set_acl(path, *perms, *version)),
            Op::CreateSession => {
                (op::CREATE_SESSION, Txn::CreateSession(CreateSessionTxn { timeout: 4000 }))
            }
            Op::CloseSession(paths) => {
                let paths =
                    paths.as_ref().map(|p| p.iter().map(String::as_str).collect::<Vec<_>>());
                (op::CLOSE_SESSION, close_session(paths.as_deref()))
            }
            Op::Error => (op::ERROR, Txn::Error(ErrorTxn { err: -103 })),
            Op::Multi(ops) => {
                let subs: Vec<_> = ops.iter().map(Op::txn).collect();
                (op::MULTI, multi(&subs))
            }
        }
    }
}

impl Step {
    pub(super) fn proposal(&self, zxid: &mut i64) -> Proposal {
        *zxid = (*zxid + self.advance).max(1);
        let (kind, txn) = self.op.txn();
        proposal_of(self.session, *zxid, kind, txn)
    }
}

fn paths() -> impl Strategy<Value = String> {
    let deep = prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..4)
        .prop_map(|names| format!("/{}", names.join("/")));
    let quota = prop::sample::select(vec![
        "/zookeeper/quota/a",
        "/zookeeper/quota/a/zookeeper_limits",
        "/zookeeper/quota/a/zookeeper_stats",
        "/zookeeper/quota/a/b",
        "/zookeeper/quota/a/b/zookeeper_limits",
        "/zookeeper/quota/a/b/zookeeper_stats",
        "/zookeeper/quota/zookeeper_limits",
        "/zookeeper/quota/zookeeper_stats",
    ])
    .prop_map(str::to_owned);
    let odd = prop::sample::select(vec!["", "/", "a", "/a/", "//a", "/é"]).prop_map(str::to_owned);
    prop_oneof![12 => deep, 5 => quota, 1 => odd]
}

fn values() -> impl Strategy<Value = Option<String>> {
    prop::option::of(
        prop::sample::select(vec![
            "",
            "v",
            "a longer value",
            "count=5,bytes=7",
            "count=5,bytes=7=;countHardLimit=9",
            "garbage",
        ])
        .prop_map(str::to_owned),
    )
}

fn simple_ops() -> impl Strategy<Value = Op> {
    let kinds =
        vec![op::CREATE, op::CREATE, op::CREATE2, op::CREATE_CONTAINER, op::CREATE_TTL, EPHEMERAL];
    let create = (
        prop::sample::select(kinds),
        paths(),
        values(),
        prop::option::of(1..4i32),
        prop_oneof![2 => Just(-1), 1 => 0..6i32],
    );
    prop_oneof![
        6 => create.prop_map(|(kind, path, data, perms, cversion)| {
            Op::Create { kind, path, data, perms, cversion }
        }),
        3 => paths().prop_map(Op::Delete),
        3 => (paths(), values(), 0..5i32)
            .prop_map(|(path, data, version)| Op::SetData { path, data, version }),
        1 => (paths(), 1..4i32, 0..5i32)
            .prop_map(|(path, perms, version)| Op::SetAcl { path, perms, version }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let multis = prop::collection::vec(
        prop_oneof![12 => simple_ops().prop_filter("allowed in a multi", |op| {
            !matches!(op, Op::SetAcl { .. })
        }), 1 => Just(Op::Error)],
        0..4,
    );
    let ops = prop_oneof![
        20 => simple_ops(),
        1 => Just(Op::CreateSession),
        2 => prop::option::of(prop::collection::vec(paths(), 0..3)).prop_map(Op::CloseSession),
        1 => Just(Op::Error),
        3 => multis.prop_map(Op::Multi),
    ];
    let advance = prop_oneof![12 => Just(1i64), 1 => Just(0), 1 => -5..0i64];
    (ops, 1..3i64, advance).prop_map(|(op, session, advance)| Step { op, session, advance })
}

pub(super) fn histories() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(steps(), 1..120)
}

/// The naive twin. Keys are full paths, the root is `""`.
#[derive(Debug, Clone)]
struct Twin {
    nodes: BTreeMap<String, TwinNode>,
    quotas: BTreeSet<String>,
    sessions: BTreeMap<i64, i32>,
    changes: Vec<String>,
}

#[derive(Debug, Clone)]
struct TwinNode {
    data: Option<Vec<u8>>,
    perms: i32,
    stat: StatPersisted,
}

impl TwinNode {
    fn len(&self) -> i64 {
        self.data.as_ref().map_or(0, |data| data.len() as i64)
    }
}

impl Twin {
    fn new() -> Self {
        let node = |perms, aversion| TwinNode {
            data: Some(vec![]),
            perms,
            stat: StatPersisted { aversion, ..Default::default() },
        };
        let nodes = BTreeMap::from([
            (String::new(), node(31, 0)),
            ("/zookeeper".into(), node(31, 0)),
            ("/zookeeper/quota".into(), node(31, 0)),
            ("/zookeeper/config".into(), node(1, -1)),
        ]);
        Self { nodes, quotas: BTreeSet::new(), sessions: BTreeMap::new(), changes: vec![] }
    }

    fn key(path: &str) -> &str {
        if path == "/" { "" } else { path }
    }

    fn children(&self, path: &str) -> Vec<String> {
        let is_child = |key: &&String| {
            key.strip_prefix(path)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| !name.is_empty() && !name.contains('/'))
        };
        self.nodes.keys().filter(is_child).cloned().collect()
    }

    fn apply(&mut self, session: i64, zxid: i64, op: &Op) -> i32 {
        let code = |outcome: Result<(), ErrorCode>| outcome.err().map_or(0, ErrorCode::code);
        match op {
            Op::Create { kind, path, data, perms, cversion } => {
                let owner = match *kind {
                    EPHEMERAL => session,
                    op::CREATE_CONTAINER => i64::MIN,
                    op::CREATE_TTL => 0xff00_0000_0000_0005u64 as i64,
                    _ => 0,
                };
                let data = data.as_ref().map(|data| data.clone().into_bytes());
                let perms = perms.unwrap_or(31);
                let outcome = self.create(path, data, perms, owner, *cversion, zxid);
                let moves_parent = matches!(*kind, op::CREATE | EPHEMERAL);
                if outcome == Err(ErrorCode::NodeExists) && moves_parent {
                    let parent = path.rsplit_once('/').unwrap().0.to_owned();
                    self.raise(&parent, *cversion, zxid);
                }
                code(outcome)
            }
            Op::Delete(path) => code(self.delete(path, zxid)),
            Op::SetData { path, data, version } => {
                let Some(node) = self.nodes.get_mut(Self::key(path)) else { return -101 };
                let old = node.len();
                node.data = data.as_ref().map(|data| data.clone().into_bytes());
                node.stat.version = *version;
                (node.stat.mzxid, node.stat.mtime) = (zxid, zxid * 1000);
                let (grown, perms) = (node.len() - old, node.perms);
                self.count(path, 0, grown);
                let parent = Self::key(path).rsplit_once('/').map_or("", |(parent, _)| parent);
                let parent = self.nodes[parent].perms;
                self.changes.push(format!("changed {path} acl {perms} parent {parent}"));
                0
            }
            Op::SetAcl { path, perms, version } => {
                let Some(node) = self.nodes.get_mut(Self::key(path)) else { return -101 };
                (node.perms, node.stat.aversion) = (*perms, *version);
                0
            }
            Op::CreateSession => {
                self.sessions.insert(session, 4000);
                0
            }
            Op::CloseSession(paths) => {
                self.sessions.remove(&session);
                for path in paths.iter().flatten() {
                    let _ = self.delete(path, zxid);
                }
                for path in self.owned_by(session) {
                    let _ = self.delete(&path, zxid);
                }
                0
            }
            Op::Error => -103,
            Op::Multi(ops) => {
                if ops.iter().any(|op| matches!(op, Op::Error)) {
                    return -103;
                }
                let codes: Vec<i32> = ops.iter().map(|op| self.apply(session, zxid, op)).collect();
                codes.into_iter().find(|code| *code != 0).unwrap_or(0)
            }
        }
    }

    fn owned_by(&self, session: i64) -> Vec<String> {
        let owned = |(_, node): &(&String, &TwinNode)| node.stat.ephemeral_owner == session;
        self.nodes.iter().filter(owned).map(|(path, _)| path.clone()).collect()
    }

    fn raise(&mut self, parent: &str, cversion: i32, zxid: i64) {
        let stat = &mut self.nodes.get_mut(parent).unwrap().stat;
        let cversion = if cversion == -1 { stat.cversion + 1 } else { cversion };
        if cversion > stat.cversion {
            (stat.cversion, stat.pzxid) = (cversion, zxid);
        }
    }

    fn create(
        &mut self,
        path: &str,
        data: Option<Vec<u8>>,
        perms: i32,
        owner: i64,
        cversion: i32,
        zxid: i64,
    ) -> Result<(), ErrorCode> {
        let (parent, name) = path.rsplit_once('/').ok_or(ErrorCode::NoNode)?;
        if name.is_empty() || !self.nodes.contains_key(parent) {
            return Err(ErrorCode::NoNode);
        }
        if let Some(existing) = self.nodes.get_mut(path) {
            existing.perms = perms;
            return Err(ErrorCode::NodeExists);
        }
        self.raise(parent, cversion, zxid);
        let time = zxid * 1000;
        let stat = StatPersisted {
            czxid: zxid,
            mzxid: zxid,
            pzxid: zxid,
            ctime: time,
            mtime: time,
            ephemeral_owner: owner,
            ..Default::default()
        };
        let node = TwinNode { data, perms, stat };
        let bytes = node.len();
        self.nodes.insert(path.to_owned(), node);
        if let Some(prefix) = parent.strip_prefix("/zookeeper/quota").filter(|p| !p.is_empty()) {
            if name == "zookeeper_limits" {
                self.quotas.insert(prefix.to_owned());
            }
            if name == "zookeeper_stats" {
                self.recount(prefix);
            }
        }
        self.count(path, 1, bytes);
        let parent = self.nodes[parent].perms;
        self.changes.push(format!("created {path} acl {perms} parent {parent}"));
        Ok(())
    }

    fn delete(&mut self, path: &str, zxid: i64) -> Result<(), ErrorCode> {
        let (parent, name) = path.rsplit_once('/').ok_or(ErrorCode::NoNode)?;
        if name.is_empty() || !self.nodes.contains_key(parent) {
            return Err(ErrorCode::NoNode);
        }
        let stat = &mut self.nodes.get_mut(parent).unwrap().stat;
        stat.pzxid = stat.pzxid.max(zxid);
        if !self.nodes.contains_key(path) {
            return Err(ErrorCode::NoNode);
        }
        for child in self.children(path) {
            self.delete(&child, zxid).unwrap();
        }
        let node = self.nodes.remove(path).unwrap();
        if name == "zookeeper_limits"
            && let Some(prefix) = parent.strip_prefix("/zookeeper/quota")
        {
            self.quotas.remove(prefix);
        }
        self.count(path, -1, -node.len());
        let parent = self.nodes[parent].perms;
        self.changes.push(format!("deleted {path} acl {} parent {parent}", node.perms));
        Ok(())
    }

    fn count(&mut self, path: &str, count: i64, bytes: i64) {
        let above = |prefix: &&String| {
            path.strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some(prefix) = self.quotas.iter().filter(above).max_by_key(|p| p.len()).cloned() else {
            return;
        };
        let stats = format!("/zookeeper/quota{prefix}/zookeeper_stats");
        let Some(node) = self.nodes.get_mut(&stats) else { return };
        let text = node.data.clone().map(|data| String::from_utf8(data).unwrap());
        let text = match text.as_deref().and_then(numbers) {
            Some((c, b, more)) => format!("count={},bytes={}{more}", c + count, b + bytes),
            None => return self.recount(&prefix),
        };
        node.data = Some(text.into_bytes());
    }

    fn recount(&mut self, prefix: &str) {
        let below = format!("{prefix}/");
        let counted: Vec<i64> = self
            .nodes
            .iter()
            .filter(|(path, _)| *path == prefix || path.starts_with(&below))
            .map(|(_, node)| node.len())
            .collect();
        let text = format!("count={},bytes={}", counted.len(), counted.iter().sum::<i64>());
        let stats = format!("/zookeeper/quota{prefix}/zookeeper_stats");
        if let Some(node) = self.nodes.get_mut(&stats) {
            node.data = Some(text.into_bytes());
        }
    }

    fn dump(&self) -> Vec<String> {
        let lines = self.nodes.iter().map(|(path, node)| {
            let path = if path.is_empty() { "/" } else { path };
            line(path, node.data.as_deref(), &node.stat, &[Acl::world(node.perms)])
        });
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable();
        lines
    }

    fn digest(&self) -> i64 {
        let digest = |(path, node): (&String, &TwinNode)| {
            i64::from(node_digest(path, node.data.as_deref(), &node.stat))
        };
        self.nodes.iter().map(digest).sum()
    }
}

/// Statistics as the strategy [`values`] and the twin itself write them.
fn numbers(text: &str) -> Option<(i64, i64, &str)> {
    if text.is_empty() {
        return Some((-1, -1, ""));
    }
    let (numbers, more) = match text.find("=;") {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let (count, bytes) = numbers.strip_prefix("count=")?.split_once(",bytes=")?;
    Some((count.parse().ok()?, bytes.parse().ok()?, more))
}

proptest! {
    #[test]
    fn any_history_gives_what_the_twin_gives(history in histories()) {
        let (mut tree, mut twin, mut zxid, mut highest) = (new_tree(), Twin::new(), 0, 0);
        for step in history {
            let proposal = step.proposal(&mut zxid);
            highest = highest.max(zxid);
            let (applied, mut changes) = apply(&mut tree, &proposal);
            let err = twin.apply(step.session, zxid, &step.op);
            prop_assert_eq!(applied.err, err, "{:?}", &step);
            // The order of subtrees, which only replay deletes at once, is not defined.
            changes.sort_unstable();
            let mut expected = std::mem::take(&mut twin.changes);
            expected.sort_unstable();
            prop_assert_eq!(changes, expected, "{:?}", &step);
        }
        prop_assert_eq!(dump(&tree), twin.dump());
        prop_assert_eq!(tree.digest(), twin.digest());
        prop_assert_eq!(tree.last_zxid(), Zxid(highest));
        let sessions: Vec<_> = tree.sessions().iter().map(|(id, ms)| (id.0, ms)).collect();
        prop_assert_eq!(sessions, twin.sessions.iter().map(|(id, ms)| (*id, *ms)).collect::<Vec<_>>());
        for session in 1..3 {
            let mut owned: Vec<_> = tree.ephemerals_of(SessionId(session)).collect();
            owned.sort_unstable();
            prop_assert_eq!(owned, twin.owned_by(session));
        }
        prop_assert_eq!(
            tree.quota_prefixes().map(str::to_owned).collect::<BTreeSet<_>>(),
            twin.quotas.clone()
        );
        for path in twin.nodes.keys() {
            let node = tree.find(path).unwrap();
            let mut children: Vec<_> = node.children().map(|c| format!("{path}/{c}")).collect();
            children.sort_unstable();
            prop_assert_eq!(&children, &twin.children(path));
            let (raw, shown) = (node.persisted(), node.stat());
            prop_assert_eq!(shown.cversion, raw.cversion * 2 - children.len() as i32);
            prop_assert_eq!(shown.num_children as usize, children.len());
            let below = twin.nodes.keys().filter(|key| key.starts_with(&format!("{path}/")));
            if !path.is_empty() {
                prop_assert_eq!(tree.all_children_number(path) as usize, below.count());
            }
        }
        prop_assert!(tree.open_cut(CutLimits::default()).is_ok());
    }
}
