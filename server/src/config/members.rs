//! Members of an ensemble: the grammar of `server.N`, `group.N`, `weight.N` (`QuorumServer`,
//! `QuorumMaj`, `QuorumHierarchical`) and the text form written back to files and
//! `/zookeeper/config`.
//!
//! ```text
//! server.N = host:quorumPort:electionPort[:role] { "|" ... } [ ";" [clientHost:]clientPort ]
//! ```

use std::collections::BTreeMap;
use std::fmt;

use super::error::ConfigError;
use super::java_trim;
use super::table::{parse_i32, parse_i64};

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Votes.
    #[default]
    Participant,
    /// Only listens.
    Observer,
}

impl Role {
    /// Reads a role in any case, blanks trimmed.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        match java_trim(text).to_lowercase().as_str() {
            "observer" => Ok(Role::Observer),
            "participant" => Ok(Role::Participant),
            _ => Err(ConfigError::config(format!("Unrecognised peertype: {text}"))
                .allowed("participant, observer")),
        }
    }

    /// The name in Java's enum, as logs show it.
    pub fn java_name(self) -> &'static str {
        match self {
            Role::Participant => "PARTICIPANT",
            Role::Observer => "OBSERVER",
        }
    }
}

/// One address of a member. The host is text: it is resolved when it is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAddress {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Where a leader listens for learners.
    pub quorum_port: u16,
    /// Where it listens for election messages.
    pub election_port: u16,
}

/// Where a member serves clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAddress {
    /// Name or address, IPv6 without brackets; 0.0.0.0 when the line names a port only.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// One `server.N` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// N.
    pub sid: i64,
    /// At least one.
    pub addresses: Vec<MemberAddress>,
    /// Role.
    pub role: Role,
    /// Client address, from the line or from `clientPort`.
    pub client: Option<ClientAddress>,
    /// The client address comes from `clientPort`: it is not written back.
    pub client_from_static: bool,
}

/// A configuration of an ensemble.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// Members by id.
    pub members: BTreeMap<i64, Member>,
    /// Group of each server, when quorums are hierarchical.
    pub groups: BTreeMap<i64, i64>,
    /// Weight of each server, when quorums are hierarchical.
    pub weights: BTreeMap<i64, i64>,
    /// Whether there is any `group` or `weight` key.
    pub hierarchical: bool,
    /// Version: the zxid that committed it.
    pub version: i64,
}

const FORM: &str = " does not have the form server_config or server_config;client_config where \
    server_config is the pipe separated list of host:port:port or host:port:port:type and \
    client_config is port or host:port";

/// `String.split`: empty strings at the end are dropped.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split(separator).collect();
    while parts.len() > 1 && parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// Splits at colons; an address in brackets is one part.
fn host_and_ports(text: &str) -> Result<Vec<&str>, ConfigError> {
    let Some(inner) = text.strip_prefix('[') else { return Ok(java_split(text, ':')) };
    let Some((host, rest)) = inner.split_once(']') else {
        let text = format!("{text} starts with '[' but has no matching ']:'");
        return Err(ConfigError::config(text));
    };
    let Some(rest) = rest.strip_prefix(|_: char| true) else { return Ok(vec![host]) };
    if rest.is_empty() {
        return Err(ConfigError::config(format!("{text} doesn't have a port after colon")));
    }
    let mut parts = vec![host];
    parts.extend(java_split(rest, ':'));
    Ok(parts)
}

fn port(host: &str, text: &str) -> Result<u16, ConfigError> {
    let unresolved = || ConfigError::config(format!("Address unresolved: {host}:{text}"));
    let port = parse_i32(text).ok_or_else(|| unresolved().allowed("a port, 0 to 65535"))?;
    port_in_range(port)
}

/// `InetSocketAddress.checkPort`.
pub(super) fn port_in_range(port: i32) -> Result<u16, ConfigError> {
    u16::try_from(port)
        .map_err(|_| ConfigError::config(format!("port out of range:{port}")).allowed("0 to 65535"))
}

impl Member {
    /// Reads the value of `server.<sid>`. Several addresses need `multi_address`
    /// (`-Dzookeeper.multiAddress.enabled=true`).
    pub fn parse(sid: i64, text: &str, multi_address: bool) -> Result<Self, ConfigError> {
        let form = || {
            ConfigError::config(format!("{text}{FORM}")).allowed(
                "host:quorumPort:electionPort[:participant|observer][;[clientHost:]clientPort]",
            )
        };
        let parts = java_split(text, ';');
        let client = match parts[..] {
            [_, client] => Some(client_address(client)?.ok_or_else(form)?),
            _ => None,
        };
        let addresses = java_split(parts[0], '|');
        if addresses.len() > 1 && !multi_address {
            return Err(ConfigError::config(format!(
                "Multiple address feature is disabled, but multiple addresses were specified \
                    for sid {sid}"
            ))
            .allowed("several addresses with -Dzookeeper.multiAddress.enabled=true only"));
        }
        let mut member = Member {
            sid,
            addresses: Vec::new(),
            role: Role::default(),
            client,
            client_from_static: false,
        };
        let mut role = None;
        for address in addresses {
            let fields = host_and_ports(address)?;
            let (&[host, quorum, election], rest) = fields.split_first_chunk().ok_or_else(form)?;
            if parts.len() > 2 || rest.len() > 1 {
                return Err(form());
            }
            let address = MemberAddress {
                host: host.to_owned(),
                quorum_port: port(host, quorum)?,
                election_port: port(host, election)?,
            };
            if address.quorum_port == address.election_port {
                return Err(ConfigError::config(format!(
                    "Client and election port must be different! Please update the configuration \
                     file on server.{sid}"
                )));
            }
            member.addresses.push(address);
            if let [text] = rest {
                let this = Role::parse(text)?;
                let first = *role.get_or_insert(this);
                if first != this {
                    return Err(ConfigError::config(format!(
                        "Multiple addresses should have similar roles: {} vs {}",
                        first.java_name(),
                        this.java_name()
                    )));
                }
            }
        }
        member.role = role.unwrap_or_default();
        Ok(member)
    }
}

/// `None` if there are too many fields.
fn client_address(text: &str) -> Result<Option<ClientAddress>, ConfigError> {
    Ok(match host_and_ports(text)?[..] {
        [port_text] => {
            Some(ClientAddress { host: "0.0.0.0".to_owned(), port: port("0.0.0.0", port_text)? })
        }
        [host, port_text] => {
            Some(ClientAddress { host: host.to_owned(), port: port(host, port_text)? })
        }
        _ => None,
    })
}

/// An IPv6 address needs brackets.
fn delimited(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

impl fmt::Display for Member {
    /// The value of the `server.N` line as it is written back: role always present, addresses
    /// sorted by host.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addresses: Vec<_> = self.addresses.iter().collect();
        addresses.sort_by(|a, b| a.host.cmp(&b.host));
        for (index, address) in addresses.iter().enumerate() {
            let pipe = if index == 0 { "" } else { "|" };
            let host = delimited(&address.host);
            write!(f, "{pipe}{host}:{}:{}", address.quorum_port, address.election_port)?;
        }
        f.write_str(match self.role {
            Role::Participant => ":participant",
            Role::Observer => ":observer",
        })?;
        match &self.client {
            Some(client) if !self.client_from_static => {
                write!(f, ";{}:{}", delimited(&client.host), client.port)
            }
            _ => Ok(()),
        }
    }
}

/// The number behind the first dot of a key.
fn id_of(key: &str) -> Result<i64, ConfigError> {
    let text = key.split_once('.').map_or(key, |(_, id)| id);
    parse_i64(text).ok_or_else(|| {
        ConfigError::config(format!("For input string: \"{text}\""))
            .allowed("server.N, group.N and weight.N with a whole number N")
    })
}

impl Membership {
    /// Reads the member keys among `entries` (key, value); other keys are skipped.
    /// With `oracle`, groups are ignored, as the oracle only works with majorities.
    pub fn parse<'a>(
        entries: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        multi_address: bool,
        oracle: bool,
    ) -> Result<Self, (&'a str, ConfigError)> {
        let mut membership = Membership {
            hierarchical: !oracle && entries.clone().any(|(key, _)| is_group_or_weight(key)),
            ..Membership::default()
        };
        for (key, value) in entries {
            membership.entry(key, value, multi_address).map_err(|error| (key, error))?;
        }
        if membership.hierarchical {
            membership.complete_groups().map_err(|error| ("group", error))?;
        }
        Ok(membership)
    }

    fn entry(&mut self, key: &str, value: &str, multi_address: bool) -> Result<(), ConfigError> {
        let number = |text: &str| {
            parse_i64(text).ok_or_else(|| {
                ConfigError::config(format!("For input string: \"{text}\""))
                    .allowed("a whole number")
            })
        };
        if key.starts_with("server.") {
            let sid = id_of(key)?;
            self.members.insert(sid, Member::parse(sid, value, multi_address)?);
        } else if key.starts_with("group") && self.hierarchical {
            let group = id_of(key)?;
            for text in java_split(value, ':') {
                let sid = number(text)?;
                if self.groups.insert(sid, group).is_some() {
                    let text = format!("Server {sid}is in multiple groups");
                    return Err(ConfigError::config(text));
                }
            }
        } else if key.starts_with("weight") && self.hierarchical {
            self.weights.insert(id_of(key)?, number(value)?);
        } else if key == "version" {
            self.version = i64::from_str_radix(value, 16).map_err(|_| {
                ConfigError::config(format!("For input string: \"{value}\""))
                    .allowed("a hexadecimal number")
            })?;
        }
        Ok(())
    }

    /// Every voter needs a group; weights default to 1.
    fn complete_groups(&mut self) -> Result<(), ConfigError> {
        for member in self.members.values().filter(|m| m.role == Role::Participant) {
            if !self.groups.contains_key(&member.sid) {
                return Err(ConfigError::config(format!("Server {}is not in a group", member.sid))
                    .allowed(
                        "a group.N line for every participant, or no group and weight lines",
                    ));
            }
            self.weights.entry(member.sid).or_insert(1);
        }
        Ok(())
    }

    /// Members that vote.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.role == Role::Participant)
    }

    /// Members that observe.
    pub fn observers(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| member.role == Role::Observer)
    }

    /// The lines of a dynamic file: `key=value`, sorted as text, no newline at the end, no
    /// version.
    pub fn file_text(&self) -> String {
        let mut lines: Vec<String> = self.lines().collect();
        lines.sort();
        lines.join("\n")
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (sid, group) in &self.groups {
            groups.entry(*group).or_default().push(sid.to_string());
        }
        let servers = self.members.values().map(|m| format!("server.{}={m}", m.sid));
        let groups =
            groups.into_iter().map(|(gid, sids)| format!("group.{gid}={}", sids.join(":")));
        let weights = self.weights.iter().map(|(sid, weight)| format!("weight.{sid}={weight}"));
        servers.chain(groups).chain(weights)
    }
}

pub(super) fn is_group_or_weight(key: &str) -> bool {
    key.starts_with("group") || key.starts_with("weight")
}

impl fmt::Display for Membership {
    /// The text of `/zookeeper/config` (`QuorumVerifier.toString`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines() {
            writeln!(f, "{line}")?;
        }
        write!(f, "version={:x}", self.version)
    }
}
