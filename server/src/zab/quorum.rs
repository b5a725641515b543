//! Membership of the ensemble and its quorum systems: majority, weighted groups, oracle
//! (`QuorumMaj`, `QuorumHierarchical`, `QuorumOracleMaj`).
//!
//! A [`Membership`] is one version of the configuration. [`Quorums`] is the one or two that count
//! at a moment: during a reconfiguration every decision needs the committed and the proposed one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use thiserror::Error;

use crate::base::Sid;

/// One address of a member: where learners and voters reach it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerAddress {
    /// Host name or IP literal, as configured, without brackets.
    pub host: String,
    /// Quorum port.
    pub quorum_port: u16,
    /// Election port.
    pub election_port: u16,
}

/// A `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// At least one, sorted by host.
    pub addresses: Vec<PeerAddress>,
    /// Votes; otherwise an observer.
    pub participant: bool,
    /// Client address `host:port`, if the line carries one.
    pub client: Option<(String, u16)>,
}

/// Why a membership text is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MembershipError {
    /// A line that is no member, group, weight or version.
    #[error("unknown key {0:?} in the membership")]
    Key(String),
    /// A value that cannot be read.
    #[error("{key}={value}: {what}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong.
        what: &'static str,
    },
    /// The lines do not fit together.
    #[error("{0}")]
    Inconsistent(String),
}

/// How votes are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    /// More than half of the participants.
    Majority,
    /// Majorities of weight in a majority of groups.
    Groups { group_of: BTreeMap<Sid, i64>, weight: BTreeMap<Sid, u64> },
    /// Majority; with two participants an oracle may stand in for the missing one.
    Oracle,
}

/// One version of the ensemble's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    version: i64,
    members: BTreeMap<Sid, Member>,
    voters: BTreeSet<Sid>,
    rule: Rule,
}

impl Membership {
    /// Members counted by majority.
    pub fn majority(members: BTreeMap<Sid, Member>, version: i64) -> Self {
        let voters = members.iter().filter(|(_, m)| m.participant).map(|(s, _)| *s).collect();
        Membership { version, members, voters, rule: Rule::Majority }
    }

    /// Members counted by weighted groups. Every participant must be in exactly one group; its
    /// weight defaults to 1 (`QuorumHierarchical.parse`).
    pub fn groups(
        members: BTreeMap<Sid, Member>,
        group_of: BTreeMap<Sid, i64>,
        mut weight: BTreeMap<Sid, u64>,
        version: i64,
    ) -> Result<Self, MembershipError> {
        let mut membership = Self::majority(members, version);
        for sid in &membership.voters {
            if !group_of.contains_key(sid) {
                let text = format!("server {sid} is not in a group");
                return Err(MembershipError::Inconsistent(text));
            }
            weight.entry(*sid).or_insert(1);
        }
        for sid in group_of.keys() {
            // Java fails on such a line with a null pointer.
            if !weight.contains_key(sid) {
                let text = format!("server {sid} is in a group but is no participant");
                return Err(MembershipError::Inconsistent(text));
            }
        }
        membership.rule = Rule::Groups { group_of, weight };
        Ok(membership)
    }

    /// The same members, with an oracle to break the tie of two (`oraclePath`).
    pub fn with_oracle(mut self) -> Self {
        if self.rule == Rule::Majority {
            self.rule = Rule::Oracle;
        }
        self
    }

    /// True if votes are counted in weighted groups.
    pub fn has_groups(&self) -> bool {
        matches!(self.rule, Rule::Groups { .. })
    }

    /// True if an oracle may break a tie.
    pub fn has_oracle(&self) -> bool {
        self.rule == Rule::Oracle
    }

    /// The same members under another version.
    pub fn with_version(&self, version: i64) -> Self {
        Membership { version, ..self.clone() }
    }

    /// Reads the text of [`Membership::render`] or of a Java server: `java.util.Properties` lines
    /// `server.N`, `group.N`, `weight.N` and `version`.
    pub fn parse(text: &str) -> Result<Self, MembershipError> {
        let mut members = BTreeMap::new();
        let (mut group_of, mut weight) = (BTreeMap::new(), BTreeMap::new());
        let (mut version, mut hierarchical) = (0, false);
        for (key, value) in super::properties::parse(text) {
            let bad =
                |what| MembershipError::Value { key: key.clone(), value: value.clone(), what };
            let number = |text: &str| text.trim().parse::<i64>().map_err(|_| bad("not a number"));
            if let Some(sid) = key.strip_prefix("server.") {
                members.insert(Sid(number(sid)?), Member::parse(&value).map_err(bad)?);
            } else if key.starts_with("group") {
                hierarchical = true;
                let group = number(key.split_once('.').ok_or(bad("no group number"))?.1)?;
                for sid in value.split(':') {
                    if group_of.insert(Sid(number(sid)?), group).is_some() {
                        return Err(bad("a server is in two groups"));
                    }
                }
            } else if key.starts_with("weight") {
                hierarchical = true;
                let sid = number(key.split_once('.').ok_or(bad("no server number"))?.1)?;
                let value = u64::try_from(number(&value)?).map_err(|_| bad("negative weight"))?;
                if value > u64::from(u32::MAX) {
                    return Err(bad("weight too large"));
                }
                weight.insert(Sid(sid), value);
            } else if key == "version" {
                version = i64::from_str_radix(value.trim(), 16).map_err(|_| bad("not hex"))?;
            } else {
                return Err(MembershipError::Key(key));
            }
        }
        if hierarchical {
            Self::groups(members, group_of, weight, version)
        } else {
            Ok(Self::majority(members, version))
        }
    }

    /// The text Java writes (`QuorumMaj.toString`, `QuorumHierarchical.toString`): ascending, one
    /// line per member, `version=` in hex, no newline at the end.
    pub fn render(&self) -> String {
        let mut out = String::new();
        for (sid, member) in &self.members {
            let _ = writeln!(out, "server.{sid}={}", member.render());
        }
        if let Rule::Groups { group_of, weight } = &self.rule {
            let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
            for (sid, group) in group_of {
                groups.entry(*group).or_default().push(sid.to_string());
            }
            for (group, sids) in groups {
                let _ = writeln!(out, "group.{group}={}", sids.join(":"));
            }
            for (sid, weight) in weight {
                let _ = writeln!(out, "weight.{sid}={weight}");
            }
        }
        let _ = write!(out, "version={:x}", self.version);
        out
    }

    /// The version line of a membership text, without reading the rest.
    pub fn version_of(text: &str) -> Option<i64> {
        let line = text.lines().rev().find_map(|line| line.trim().strip_prefix("version="))?;
        i64::from_str_radix(line.trim(), 16).ok()
    }

    /// Version: 0 at first, then the zxid of the reconfiguration.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// All members.
    pub fn members(&self) -> &BTreeMap<Sid, Member> {
        &self.members
    }

    /// One member.
    pub fn member(&self, sid: Sid) -> Option<&Member> {
        self.members.get(&sid)
    }

    /// The participants.
    pub fn voters(&self) -> &BTreeSet<Sid> {
        &self.voters
    }

    /// True if `sid` votes.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.voters.contains(&sid)
    }

    /// True if members, roles, addresses or counting differ; the version is not compared.
    pub fn differs(&self, other: &Membership) -> bool {
        self.members != other.members || self.rule != other.rule
    }

    /// The candidate's weight; 0 is never adopted as leader by others.
    pub fn weight(&self, sid: Sid) -> u64 {
        match &self.rule {
            Rule::Groups { weight, .. } => weight.get(&sid).copied().unwrap_or(0),
            _ => 1,
        }
    }

    /// True if an oracle may decide for a missing voter now: two voters, and no learner follows.
    pub fn oracle_applies(&self) -> bool {
        self.rule == Rule::Oracle && self.voters.len() <= 2
    }

    /// True if these servers are a quorum. Sids that do not vote are ignored.
    pub fn is_quorum(&self, acks: &BTreeSet<Sid>) -> bool {
        match &self.rule {
            Rule::Majority | Rule::Oracle => {
                let count = acks.iter().filter(|sid| self.voters.contains(sid)).count();
                count > self.voters.len() / 2
            }
            Rule::Groups { group_of, weight } => {
                let mut sums: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
                for (sid, group) in group_of {
                    let sum = sums.entry(*group).or_default();
                    let weight = weight.get(sid).copied().unwrap_or(0);
                    sum.0 += weight;
                    if acks.contains(sid) {
                        sum.1 += weight;
                    }
                }
                let groups = sums.values().filter(|(all, _)| *all > 0).count();
                let won = sums.values().filter(|(all, acked)| *acked > all / 2).count();
                !acks.is_empty() && won > groups / 2
            }
        }
    }
}

impl Member {
    /// Reads `addr(|addr)*[;[host:]port]` with `addr = host:quorum:election[:role]`.
    pub fn parse(value: &str) -> Result<Self, &'static str> {
        let mut parts = value.trim().split(';');
        let servers = parts.next().unwrap_or_default();
        let client = match parts.next() {
            Some(text) => Some(parse_client(text.trim())?),
            None => None,
        };
        if parts.next().is_some() {
            return Err("more than one client address");
        }
        let mut addresses = Vec::new();
        let mut role = None;
        for text in servers.split('|') {
            let parts = split_host(text.trim())?;
            if parts.len() < 3 || parts.len() > 4 {
                return Err("expected host:quorumPort:electionPort[:role]");
            }
            let port = |text: &str| text.trim().parse::<u16>().map_err(|_| "bad port");
            let address = PeerAddress {
                host: parts[0].to_owned(),
                quorum_port: port(parts[1])?,
                election_port: port(parts[2])?,
            };
            if address.quorum_port == address.election_port {
                return Err("quorum port and election port must differ");
            }
            addresses.push(address);
            if let Some(text) = parts.get(3) {
                let participant = match text.trim().to_ascii_lowercase().as_str() {
                    "participant" => true,
                    "observer" => false,
                    _ => return Err("unknown role"),
                };
                if role.is_some_and(|r| r != participant) {
                    return Err("the addresses of one server have different roles");
                }
                role = Some(participant);
            }
        }
        addresses.sort();
        Ok(Member { addresses, participant: role.unwrap_or(true), client })
    }

    /// The form of Java's `QuorumServer.toString`.
    pub fn render(&self) -> String {
        let addresses: Vec<String> = self
            .addresses
            .iter()
            .map(|a| format!("{}:{}:{}", bracket(&a.host), a.quorum_port, a.election_port))
            .collect();
        let role = if self.participant { "participant" } else { "observer" };
        let mut out = format!("{}:{role}", addresses.join("|"));
        if let Some((host, port)) = &self.client {
            let _ = write!(out, ";{}:{port}", bracket(host));
        }
        out
    }
}

/// Brackets an IPv6 literal, which Java writes in full form.
fn bracket(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => {
            let parts: Vec<String> = ip.segments().iter().map(|s| format!("{s:x}")).collect();
            format!("[{}]", parts.join(":"))
        }
        // With a zone, or no address at all: as it was written.
        Err(_) if host.contains(':') => format!("[{host}]"),
        Err(_) => host.to_owned(),
    }
}

/// Splits at colons, a bracketed host counting as one part.
fn split_host(text: &str) -> Result<Vec<&str>, &'static str> {
    let Some(rest) = text.strip_prefix('[') else { return Ok(text.split(':').collect()) };
    let (host, rest) = rest.split_once(']').ok_or("'[' without ']'")?;
    let mut parts = vec![host];
    match rest.strip_prefix(':') {
        Some(rest) => parts.extend(rest.split(':')),
        None if rest.is_empty() => {}
        None => return Err("text behind ']'"),
    }
    Ok(parts)
}

fn parse_client(text: &str) -> Result<(String, u16), &'static str> {
    let parts = split_host(text)?;
    let (host, port) = match parts[..] {
        [port] => ("0.0.0.0", port),
        [host, port] => (host, port),
        _ => return Err("bad client address"),
    };
    Ok((host.to_owned(), port.trim().parse().map_err(|_| "bad client port")?))
}

/// The memberships that count now: the committed one and, while a reconfiguration is under way, the
/// proposed one (`SyncedLearnerTracker`).
#[derive(Debug, Clone)]
pub struct Quorums {
    committed: Arc<Membership>,
    last_seen: Option<Arc<Membership>>,
}

impl Quorums {
    /// `last_seen` counts only if it is newer.
    pub fn new(committed: Arc<Membership>, last_seen: Option<Arc<Membership>>) -> Self {
        let last_seen = last_seen.filter(|m| m.version() > committed.version());
        Quorums { committed, last_seen }
    }

    /// The committed membership.
    pub fn committed(&self) -> &Arc<Membership> {
        &self.committed
    }

    /// The proposed membership, if newer.
    pub fn pending(&self) -> Option<&Arc<Membership>> {
        self.last_seen.as_ref()
    }

    /// The proposed membership, or the committed one.
    pub fn newest(&self) -> &Arc<Membership> {
        self.last_seen.as_ref().unwrap_or(&self.committed)
    }

    /// True if these servers are a quorum of every membership that counts. With `oracle` the
    /// oracle's word replaces a missing voter where a membership allows it.
    pub fn all(&self, acks: &BTreeSet<Sid>, oracle: bool) -> bool {
        let has = |m: &Membership| {
            m.is_quorum(acks)
                || (oracle && m.oracle_applies() && acks.iter().any(|sid| m.is_voter(*sid)))
        };
        has(&self.committed) && self.last_seen.as_ref().is_none_or(|m| has(m))
    }

    /// Voters of either.
    pub fn voters(&self) -> BTreeSet<Sid> {
        let mut voters = self.committed.voters.clone();
        if let Some(last_seen) = &self.last_seen {
            voters.extend(&last_seen.voters);
        }
        voters
    }

    /// True if `sid` votes in either.
    pub fn is_voter(&self, sid: Sid) -> bool {
        self.committed.is_voter(sid) || self.last_seen.as_ref().is_some_and(|m| m.is_voter(sid))
    }
}
