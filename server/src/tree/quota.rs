//! Quotas: which paths have one, and the statistics znodes that count for them (`Quotas`,
//! `StatsTrack`, `PathTrie`).
//!
//! A quota on `/a/b` is two znodes, `zookeeper_limits` and `zookeeper_stats`, below
//! `/zookeeper/quota/a/b`. Creating the first registers the prefix. The data of the second is kept
//! current in place: no zxid, no watch, no stat change. Clients may write anything into both, and
//! anywhere in this subtree; stricter than Java, no content makes applying fail: an empty prefix is
//! no quota, and statistics that cannot be parsed are counted anew.

use std::collections::{BTreeMap, BTreeSet};

use super::DataTree;
use super::node::{Blob, NodeId, ROOT};

/// Parent of all quotas.
pub(super) const QUOTA_ROOT: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

/// A quota as `prep` enforces it (`ZooKeeperServer.checkQuota`). A limit of -1 is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The path that has the quota.
    pub prefix: String,
    /// `count`: soft limit of znodes.
    pub count_limit: i64,
    /// `countHardLimit`.
    pub count_hard_limit: i64,
    /// `bytes`: soft limit of data bytes.
    pub byte_limit: i64,
    /// `byteHardLimit`.
    pub byte_hard_limit: i64,
    /// Znodes now, the prefix itself included.
    pub count: i64,
    /// Data bytes now.
    pub bytes: i64,
}

/// Registered prefixes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Quotas {
    prefixes: BTreeSet<String>,
}

impl Quotas {
    /// The deepest registered prefix of `path`, itself included (`PathTrie.findMaxPrefix`).
    pub(super) fn deepest<'p>(&self, path: &'p str) -> Option<&'p str> {
        if self.prefixes.is_empty() {
            return None;
        }
        let mut prefix = path;
        while !prefix.is_empty() {
            if self.prefixes.contains(prefix) {
                return Some(prefix);
            }
            prefix = &prefix[..prefix.rfind('/')?];
        }
        None
    }

    pub(super) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(String::as_str)
    }
}

/// What `parent` is the quota znode of: `/a/b` for `/zookeeper/quota/a/b`, `""` for the quota root.
fn quota_prefix(parent: &str) -> Option<&str> {
    let rest = parent.strip_prefix(QUOTA_ROOT)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Hooks of the transactions, called when the tree itself is up to date.
impl DataTree {
    /// `path` = `parent`/`name` was created with `bytes` of data.
    pub(super) fn quota_created(&mut self, path: &str, parent: &str, name: &str, bytes: i64) {
        if let Some(prefix) = quota_prefix(parent).filter(|prefix| !prefix.is_empty()) {
            match name {
                LIMITS => _ = self.quotas.prefixes.insert(prefix.to_owned()),
                STATS => self.quota_recount(prefix),
                _ => {}
            }
        }
        self.quota_add(path, 1, bytes);
    }

    /// `path` = `parent`/`name` was deleted; it had `bytes` of data.
    pub(super) fn quota_deleted(&mut self, path: &str, parent: &str, name: &str, bytes: i64) {
        if name == LIMITS
            && let Some(prefix) = quota_prefix(parent)
        {
            self.quotas.prefixes.remove(prefix);
        }
        self.quota_add(path, -1, -bytes);
    }

    /// Adds to the statistics that govern `path`. Only the deepest quota counts, as in Java.
    pub(super) fn quota_add(&mut self, path: &str, count: i64, bytes: i64) {
        let Some(prefix) = self.quotas.deepest(path) else { return };
        let Some(id) = self.lookup(&stats_path(prefix)) else { return };
        match self.stats_of(id) {
            Some(mut stats) => {
                stats.set("count", stats.get("count").wrapping_add(count));
                stats.set("bytes", stats.get("bytes").wrapping_add(bytes));
                self.set_stats(id, &stats);
            }
            None => self.quota_recount(prefix),
        }
    }

    /// Writes real numbers into the statistics of `prefix`, if it has any (`updateQuotaForPath`).
    fn quota_recount(&mut self, prefix: &str) {
        let Some(id) = self.lookup(&stats_path(prefix)) else { return };
        let (count, bytes) = self.usage(prefix);
        let mut stats = Stats::default();
        stats.set("count", count);
        stats.set("bytes", bytes);
        self.set_stats(id, &stats);
    }

    /// Znodes and data bytes at and below `prefix`.
    fn usage(&self, prefix: &str) -> (i64, i64) {
        let Some(top) = self.lookup(prefix) else { return (0, 0) };
        let sizes = self.nodes.subtree(top).map(|id| self.nodes.get(id).blob().data_len() as i64);
        sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size))
    }

    fn stats_of(&self, id: NodeId) -> Option<Stats> {
        Stats::parse(self.nodes.get(id).blob().data()?)
    }

    fn set_stats(&mut self, id: NodeId, stats: &Stats) {
        self.preserve(id);
        let text = stats.to_text();
        let slot = self.nodes.get_mut(id);
        let old = slot.blob().clone();
        let blob = Blob::new(old.name_bytes(), Some(text.as_bytes()), &mut self.scratch);
        self.data_size = self.data_size + blob.data_len() as u64 - old.data_len() as u64;
        slot.set_blob(blob);
        // Below /zookeeper/, so the digest does not change.
    }

    /// The quota that governs `path`: that of the deepest registered ancestor-or-self. `None` if
    /// there is none, or its limits or stats znode is missing (Java then checks nothing either) or
    /// the limits cannot be parsed.
    pub fn quota_of(&self, path: &str) -> Option<Quota> {
        let prefix = self.quotas.deepest(path)?;
        let limits = self.stats_of(self.lookup(&format!("{QUOTA_ROOT}{prefix}/{LIMITS}"))?)?;
        let (count, bytes) = match self.stats_of(self.lookup(&stats_path(prefix))?) {
            Some(stats) => (stats.get("count"), stats.get("bytes")),
            None => self.usage(prefix),
        };
        Some(Quota {
            prefix: prefix.to_owned(),
            count_limit: limits.get("count"),
            count_hard_limit: limits.get("countHardLimit"),
            byte_limit: limits.get("bytes"),
            byte_hard_limit: limits.get("byteHardLimit"),
            count,
            bytes,
        })
    }

    /// Registered prefixes, ascending.
    pub fn quota_prefixes(&self) -> impl Iterator<Item = &str> {
        self.quotas.prefixes()
    }

    /// After loading: registers what is there and recounts it (`DataTree.setupQuota`).
    pub(super) fn quota_setup(&mut self) {
        let Some(top) = self.lookup(QUOTA_ROOT) else { return };
        let limits: Vec<NodeId> = self
            .nodes
            .subtree(top)
            .filter(|id| self.nodes.get(*id).blob().name_bytes() == LIMITS.as_bytes())
            .filter(|id| self.nodes.children(*id).is_empty() && *id != ROOT)
            .collect();
        for id in limits {
            let mut parent = String::new();
            self.nodes.push_path(self.nodes.get(id).parent, &mut parent);
            let Some(prefix) = quota_prefix(&parent).filter(|prefix| !prefix.is_empty()) else {
                continue;
            };
            self.quota_recount(prefix);
            self.quotas.prefixes.insert(prefix.to_owned());
        }
    }
}

fn stats_path(prefix: &str) -> String {
    format!("{QUOTA_ROOT}{prefix}/{STATS}")
}

/// Content of a limits or statistics znode (`StatsTrack`).
#[derive(Debug, Default, PartialEq, Eq)]
struct Stats(BTreeMap<String, i64>);

impl Stats {
    /// `key=number` pairs between runs of `,` and `;`. A key without value is an error, `key==` has
    /// value -1, what follows a second `=` is ignored. Missing keys read as -1.
    fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut stats = Self::default();
        // Java's split keeps a leading empty part, which then has no value, but no trailing ones.
        let text = text.trim_end_matches([',', ';']);
        if text.starts_with([',', ';']) {
            return None;
        }
        for pair in text.split([',', ';']).filter(|pair| !pair.is_empty()) {
            let mut parts = pair.trim_end_matches('=').split('=');
            let key = parts.next()?;
            let value = match parts.next()? {
                "" => -1,
                value => value.parse().ok()?,
            };
            stats.0.insert(key.to_owned(), value);
        }
        Some(stats)
    }

    fn get(&self, key: &str) -> i64 {
        self.0.get(key).copied().unwrap_or(-1)
    }

    fn set(&mut self, key: &str, value: i64) {
        self.0.insert(key.to_owned(), value);
    }

    /// `count` and `bytes` first, and an odd `=` before further keys: 3.4 parses that too.
    fn to_text(&self) -> String {
        let mut text = format!("count={},bytes={}", self.get("count"), self.get("bytes"));
        let others = self.0.iter().filter(|(key, _)| !matches!(key.as_str(), "count" | "bytes"));
        for (n, (key, value)) in others.enumerate() {
            text.push_str(if n == 0 { "=;" } else { ";" });
            text.push_str(&format!("{key}={value}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_text() {
        let cases = [
            ("", Some("count=-1,bytes=-1")),
            (",;", Some("count=-1,bytes=-1")),
            ("count=4,bytes=5", Some("count=4,bytes=5")),
            ("bytes=+5;count=-4", Some("count=-4,bytes=5")),
            (
                "count=4,bytes=-1=;byteHardLimit=20;countHardLimit=4",
                Some("count=4,bytes=-1=;byteHardLimit=20;countHardLimit=4"),
            ),
            ("count=1,,;bytes=2,", Some("count=1,bytes=2")),
            ("count==7,bytes=2=3", Some("count=-1,bytes=2")),
            ("z=1;a=2;=3", Some("count=-1,bytes=-1=;=3;a=2;z=1")),
            ("count=1;count=2", Some("count=2,bytes=-1")),
            (",count=1", None),
            ("count", None),
            ("count=", None),
            ("=", None),
            ("count=x", None),
            ("count= 1", None),
            ("count=99999999999999999999", None),
        ];
        for (text, expected) in cases {
            let got = Stats::parse(text.as_bytes()).map(|stats| stats.to_text());
            assert_eq!(got.as_deref(), expected, "{text:?}");
        }
        assert_eq!(Stats::parse(b"\xff=1"), None);
    }

    #[test]
    fn the_deepest_prefix_counts() {
        let mut quotas = Quotas::default();
        assert_eq!(quotas.deepest("/a/b"), None);
        for prefix in ["/a", "/a/b/c", "/ab"] {
            quotas.prefixes.insert(prefix.to_owned());
        }
        let cases = [
            ("/", None),
            ("", None),
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/a/b/c", Some("/a/b/c")),
            ("/a/b/c/d/e", Some("/a/b/c")),
            ("/ab/x", Some("/ab")),
            ("/abc", None),
        ];
        for (path, expected) in cases {
            assert_eq!(quotas.deepest(path), expected, "{path}");
        }
    }
}
