//! What a reconfiguration request makes of a membership (`PrepRequestProcessor`, `QuorumServer`).

use std::net::IpAddr;

use super::{Member, Membership, Quorums};
use crate::base::{ErrorCode, Sid, Zxid};

/// A reconfiguration as a client asks for it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// `server.N=...` entries to add or replace, separated by commas.
    pub joining: Option<&'a str>,
    /// Sids to remove, separated by commas.
    pub leaving: Option<&'a str>,
    /// The whole new membership, entries separated by commas or newlines, instead of the two.
    pub members: Option<&'a str>,
    /// Version that the present one must have, or -1.
    pub expected_version: i64,
}

impl Quorums {
    /// The membership that `change` leads to, committed by `zxid`.
    ///
    /// Fails, checked in this order, with RECONFIGINPROGRESS, BADVERSION, and BADARGUMENTS (or, as
    /// Java, MARSHALLINGERROR where a sid is no number). Whether a quorum of the new members is
    /// here is the leader's to know.
    pub fn changed(
        &self,
        change: Change<'_>,
        zxid: Zxid,
        standalone_enabled: bool,
    ) -> Result<Membership, ErrorCode> {
        let last_seen = self.newest();
        if last_seen.version() != self.committed().version() {
            return Err(ErrorCode::ReconfigInProgress);
        }
        if change.expected_version != -1 && change.expected_version != last_seen.version() {
            return Err(ErrorCode::BadVersion);
        }
        let next = match change.members {
            Some(text) => {
                let next = Membership::parse(&text.replace(',', "\n"));
                let next = next.map_err(|_| ErrorCode::BadArguments)?;
                if last_seen.has_oracle() { next.with_oracle() } else { next }
            }
            None => incremental(last_seen, change)?,
        };
        // Two servers are the least that may vote, unless one alone is wanted.
        let voters_min = if standalone_enabled { 2 } else { 1 };
        if next.voters().len() < voters_min {
            return Err(ErrorCode::BadArguments);
        }
        Ok(next.with_version(zxid.0))
    }
}

fn incremental(last_seen: &Membership, change: Change<'_>) -> Result<Membership, ErrorCode> {
    if last_seen.has_groups() {
        return Err(ErrorCode::BadArguments);
    }
    let mut members = last_seen.members().clone();
    for text in entries(change.leaving) {
        let sid = text.parse().map_err(|_| ErrorCode::MarshallingError)?;
        members.remove(&Sid(sid));
    }
    for text in entries(change.joining) {
        let parts: Vec<&str> =
            text.split('=').map(str::trim).filter(|part| !part.is_empty()).collect();
        let [key, value] = parts[..] else { return Err(ErrorCode::BadArguments) };
        let sid = key.rsplit('.').next().and_then(|sid| sid.parse().ok());
        let sid = Sid(sid.ok_or(ErrorCode::MarshallingError)?);
        let member = Member::parse(value).map_err(|_| ErrorCode::BadArguments)?;
        let others = members.iter().filter(|(other, _)| **other != sid);
        if member.client.is_none() || others.into_iter().any(|(_, m)| collide(&member, m)) {
            return Err(ErrorCode::BadArguments);
        }
        members.insert(sid, member);
    }
    let next = Membership::majority(members, 0);
    Ok(if last_seen.has_oracle() { next.with_oracle() } else { next })
}

/// `StringUtils.split`: trimmed, without empty ones.
fn entries(text: Option<&str>) -> impl Iterator<Item = &str> {
    text.unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// True if both use one address that only one of them can have.
fn collide(a: &Member, b: &Member) -> bool {
    let others: Vec<_> = endpoints(b).collect();
    endpoints(a).any(|endpoint| others.contains(&endpoint))
}

/// Ports of a member, but for those on loopback and wildcard addresses, which several hosts have.
fn endpoints(member: &Member) -> impl Iterator<Item = (&str, u16)> {
    let servers = member.addresses.iter().flat_map(|address| {
        [(address.host.as_str(), address.quorum_port), (&address.host, address.election_port)]
    });
    let client = member.client.iter().map(|(host, port)| (host.as_str(), *port));
    servers.chain(client).filter(|(host, _)| match host.parse::<IpAddr>() {
        Ok(ip) => !ip.is_unspecified() && !ip.is_loopback(),
        Err(_) => *host != "localhost",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const NONE: Change<'static> =
        Change { joining: None, leaving: None, members: None, expected_version: -1 };

    fn quorums(text: &str) -> Quorums {
        Quorums::new(Arc::new(Membership::parse(text).unwrap()), None)
    }

    fn three() -> Quorums {
        quorums(
            "server.1=a:1:2;2181\nserver.2=b:1:2;2181\nserver.3=c:1:2:observer;2181\nversion=10",
        )
    }

    fn changed(quorums: &Quorums, change: Change<'_>) -> Result<String, ErrorCode> {
        quorums.changed(change, Zxid(0x20), true).map(|m| m.render())
    }

    #[test]
    fn members_join_leave_and_change() {
        let change = Change {
            leaving: Some("3, 9"),
            joining: Some("server.4=d:1:2:observer;0.0.0.0:2181, server.2=b:1:3;2182,"),
            ..NONE
        };
        assert_eq!(
            changed(&three(), change).unwrap(),
            "server.1=a:1:2:participant;0.0.0.0:2181\n\
             server.2=b:1:3:participant;0.0.0.0:2182\n\
             server.4=d:1:2:observer;0.0.0.0:2181\nversion=20"
        );
        assert!(changed(&three(), NONE).unwrap().ends_with("version=20"), "nothing is a change");
        let all = "server.1=a:1:2;2181,server.5=e:1:2;2181\nserver.6=f:1:2:observer";
        assert_eq!(
            changed(&three(), Change { members: Some(all), ..NONE }).unwrap(),
            "server.1=a:1:2:participant;0.0.0.0:2181\n\
             server.5=e:1:2:participant;0.0.0.0:2181\nserver.6=f:1:2:observer\nversion=20"
        );
    }

    #[test]
    fn wrong_arguments() {
        let join = |text| changed(&three(), Change { joining: Some(text), ..NONE }).unwrap_err();
        let leave = |text| changed(&three(), Change { leaving: Some(text), ..NONE }).unwrap_err();
        assert_eq!(leave("1"), ErrorCode::BadArguments, "one voter is too few");
        assert_eq!(leave("one"), ErrorCode::MarshallingError);
        assert_eq!(join("server.4"), ErrorCode::BadArguments);
        assert_eq!(join("server.4=d:1:2;2181=x"), ErrorCode::BadArguments);
        assert_eq!(join("server.x=d:1:2;2181"), ErrorCode::MarshallingError);
        assert_eq!(join("server.4=d:1:2"), ErrorCode::BadArguments, "no client address");
        assert_eq!(join("server.4=d:1;2181"), ErrorCode::BadArguments);
        assert_eq!(join("server.4=b:1:7;2181"), ErrorCode::BadArguments, "server 2 has this port");
        assert_eq!(join("server.4=b:7:1;2181"), ErrorCode::BadArguments, "whatever it is for");
        // The own one may stay, and every host has these.
        assert!(changed(&three(), Change { joining: Some("server.2=b:1:2;2181"), ..NONE }).is_ok());
        let local = quorums("server.1=127.0.0.1:1:2;2181\nserver.2=localhost:1:2;2181\nversion=1");
        let same = Change { joining: Some("server.3=127.0.0.1:1:2;localhost:2181"), ..NONE };
        assert!(changed(&local, same).is_ok());
        for text in ["server.1=a:1:2", "server.1=a:1", "clientPort=1", "server.1=a:1:2:observer"] {
            let change = Change { members: Some(text), ..NONE };
            assert_eq!(changed(&three(), change), Err(ErrorCode::BadArguments), "{text}");
        }
    }

    #[test]
    fn versions_and_what_is_under_way() {
        let three = three();
        let from = |version| changed(&three, Change { expected_version: version, ..NONE });
        assert!(from(0x10).is_ok());
        assert_eq!(from(0x11), Err(ErrorCode::BadVersion));
        let newer = Arc::new(three.committed().with_version(0x18));
        let pending = Quorums::new(three.committed().clone(), Some(newer));
        let change = Change { expected_version: 0x11, ..NONE };
        assert_eq!(changed(&pending, change), Err(ErrorCode::ReconfigInProgress));
    }

    #[test]
    fn groups_change_as_a_whole_only() {
        let groups = "server.1=a:1:2;1\nserver.2=b:1:2;1\ngroup.1=1:2\nweight.1=2\nversion=1";
        let quorums = quorums(groups);
        let change = Change { leaving: Some("1"), ..NONE };
        assert_eq!(changed(&quorums, change), Err(ErrorCode::BadArguments));
        let text = "server.1=a:1:2;1,server.2=b:1:2;1,group.1=1,group.2=2,weight.2=3";
        assert_eq!(
            changed(&quorums, Change { members: Some(text), ..NONE }).unwrap(),
            "server.1=a:1:2:participant;0.0.0.0:1\nserver.2=b:1:2:participant;0.0.0.0:1\n\
             group.1=1\ngroup.2=2\nweight.1=1\nweight.2=3\nversion=20"
        );
    }

    #[test]
    fn one_server_may_be_enough() {
        let one = quorums("server.1=a:1:2;2181\nversion=1");
        let change = Change { joining: Some("server.2=b:1:2:observer;2181"), ..NONE };
        assert!(one.changed(change, Zxid(2), false).is_ok());
        assert_eq!(one.changed(change, Zxid(2), true), Err(ErrorCode::BadArguments));
        let none = Change { leaving: Some("1"), ..NONE };
        assert_eq!(one.changed(none, Zxid(2), false), Err(ErrorCode::BadArguments));
    }
}
