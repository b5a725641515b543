//! Members that join, leave and change while the ensemble serves.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::TcpStream;

use common::members::{Members, address};
use common::ports::free_port;
use common::{Client, Reply, request};
use jute::proto::{ReconfigRequest, op};
use jute::{Encode, Reader};
use rookeeper::net::view::Mode;

const SETTINGS: &str = "reconfigEnabled=true\n";
/// Only a super user may write the znode.
const FLAGS: &str = "-Dzookeeper.skipACL=yes";

fn body(joining: Option<&str>, leaving: Option<&str>, all: Option<&str>, version: i64) -> Vec<u8> {
    ReconfigRequest {
        joining_servers: joining.map(Into::into),
        leaving_servers: leaving.map(Into::into),
        new_members: all.map(Into::into),
        cur_config_id: version,
    }
    .to_vec()
}

fn join(client: &mut Client, text: &str) -> Reply {
    client.call(op::RECONFIG, &body(Some(text), None, None, -1))
}

fn leave(client: &mut Client, text: &str) -> Reply {
    client.call(op::RECONFIG, &body(None, Some(text), None, -1))
}

/// The text in a reply, which must be one of success.
fn text(reply: &Reply) -> String {
    assert_eq!(reply.err, 0);
    let mut input = Reader::new(&reply.body);
    String::from_utf8(input.buffer().unwrap().unwrap_or_default().to_vec()).unwrap()
}

fn shown(all: &Members, sid: usize) -> String {
    text(&all.client(sid).get("/zookeeper/config", false))
}

fn version(text: &str) -> &str {
    text.rsplit_once("version=").unwrap().1
}

/// Fresh member lines `server.N=...` of participants.
fn lines(sids: std::ops::RangeInclusive<usize>) -> Vec<String> {
    sids.map(|sid| format!("server.{sid}={}:participant", address())).collect()
}

fn three() -> (Members, Vec<String>) {
    let lines = lines(1..=3);
    let text = lines.join("\n");
    let mut all = Members::with_lines(3, &text, |_| SETTINGS.to_owned()).flags(FLAGS);
    all.start_all(&[1, 2, 3]);
    all.until("the membership has a version", |all| version(&shown(all, 1)) == "100000000");
    // Each writes its files when it can.
    everywhere(&all, &[1, 2, 3], &shown(&all, 1));
    (all, lines)
}

/// Waits until all of these show a membership and have its file.
fn everywhere(all: &Members, sids: &[usize], expected: &str) {
    let file = format!("zoo.cfg.dynamic.{}", version(expected));
    for sid in sids {
        all.until("all show it", |all| {
            all.server(*sid).view().serving() && all.peer(*sid).membership == expected
        });
        all.until("all have its file", |all| all.path(*sid, &file).exists());
        let mut kept: Vec<&str> = expected.lines().filter(|l| !l.starts_with("version")).collect();
        kept.sort_unstable();
        assert_eq!(all.read(*sid, &file), kept.join("\n"));
        all.until("their files point to it", |all| {
            all.read(*sid, "zoo.cfg").trim_end().ends_with(&file)
        });
        all.until("the proposal is gone", |all| !all.path(*sid, "zoo.cfg.dynamic.next").exists());
    }
}

#[test]
fn a_server_joins_first_as_a_guest() {
    let (mut all, lines) = three();
    let own = format!("server.4={}:participant", address());
    let with_it = format!("{}\n{own}", lines.join("\n"));
    assert_eq!(all.add(&with_it, SETTINGS), 4);
    all.start_all(&[4]);
    assert_eq!(all.mode(4), Mode::Follower);
    assert!(!all.peer(4).voting);
    let leader = all.leader();
    let counts = all.peer(leader).leader.unwrap();
    assert_eq!((counts.synced_followers, counts.synced_non_voting_followers), (3, 1));
    assert_eq!(all.peer(leader).quorum_size, 3);

    // Whoever is asked; who watches is told.
    let follower = leader % 3 + 1;
    let mut client = all.client(follower);
    let mut watcher = all.client(leader);
    assert_eq!(watcher.get("/zookeeper/config", true).err, 0);
    let port = free_port();
    let wanted = format!("{own};127.0.0.1:{port}");
    let reply = join(&mut client, &wanted);
    let found = text(&reply);
    assert_eq!(found, format!("{}\n{wanted}\nversion={:x}", lines.join("\n"), reply.zxid));
    let event = watcher.read();
    assert_eq!((event.xid, event.zxid), (-1, reply.zxid));
    everywhere(&all, &[1, 2, 3, 4], &found);
    assert!(all.peer(4).voting);
    assert_eq!(all.peer(leader).quorum_size, 4);
    // Its clients find it where the line says, and its own file has no port any more.
    all.until("the port is open", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
    all.until("it is told so", |all| all.server(4).addresses()[0].port() == port);
    assert!(!all.read(4, "zoo.cfg").contains("clientPort"));
    assert!(all.read(1, "zoo.cfg").contains("clientPort"));
    let mut guest = all.client(4);
    assert_eq!(guest.create("/a", b"", 0).err, 0);

    // All start again from what they wrote.
    for sid in 1..=4 {
        all.stop(sid);
    }
    all.start_all(&[1, 2, 4]);
    assert_eq!(shown(&all, 4), found);
    assert_eq!(all.server(4).addresses()[0].port(), port);
    let mut guest = all.client(4);
    assert_eq!(guest.get("/a", false).err, 0);
}

#[test]
fn a_server_leaves_observes_and_votes_again() {
    let (all, lines) = three();
    let leader = all.leader();
    let other = leader % 3 + 1;
    let mut client = all.client(leader);
    let without = text(&leave(&mut client, &other.to_string()));
    assert_eq!(without.lines().count(), 3);
    all.until("it follows without a vote", |all| {
        all.peer(leader).leader.is_some_and(|l| l.synced_non_voting_followers == 1)
            && all.server(other).view().serving()
    });
    assert_eq!(all.mode(other), Mode::Follower);
    assert_eq!(all.peer(leader).quorum_size, 2);
    everywhere(&all, &[1, 2, 3], &without);
    assert_eq!(all.client(other).create("/guest", b"", 0).err, 0, "it still serves");
    for (role, mode) in [("observer", Mode::Observer), ("participant", Mode::Follower)] {
        let line = lines[other - 1].replace("participant", role);
        let port = free_port();
        let found = text(&join(&mut client, &format!("{line};127.0.0.1:{port}")));
        // Its clients' port moves too: whoever comes to the old one as it closes is turned away.
        all.until("its role changes", |all| {
            let server = all.server(other);
            let moved = server.addresses()[0].port() == port;
            // Who looks for a leader is shown as a follower, and as serving a moment longer.
            let follows = moved && all.peer(other).zab_state == "broadcast";
            follows && server.view().serving() && all.mode(other) == mode
        });
        everywhere(&all, &[1, 2, 3], &found);
        assert_eq!(all.peer(other).voting, role == "participant");
        all.client(other);
    }
}

#[test]
fn the_leader_can_be_removed() {
    let (all, lines) = three();
    let leader = all.leader();
    let mut client = all.client(leader % 3 + 1);
    assert_eq!(client.create("/before", b"", 0).err, 0);
    let mut old = all.client(leader);
    let reply = leave(&mut old, &leader.to_string());
    // Its last deed.
    let version = reply.zxid;
    assert_eq!(reply.err, 0);
    assert!(old.is_closed());
    let left: Vec<&String> =
        lines.iter().filter(|l| !l.starts_with(&format!("server.{leader}="))).collect();
    let expected = format!("{}\n{}\nversion={version:x}", left[0], left[1]);
    all.until_led_by_another(leader, &[1, 2, 3]);
    everywhere(&all, &[1, 2, 3], &expected);
    assert_eq!(all.mode(leader), Mode::Follower);
    assert!(!all.peer(leader).voting);
    let mut client = all.client(leader);
    assert_eq!(client.get("/before", false).err, 0);
    assert_eq!(client.create("/after", b"", 0).err, 0);
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let (all, lines) = three();
    let before = shown(&all, 1);
    let at = i64::from_str_radix(version(&before), 16).unwrap();
    let leader = all.leader();
    for sid in [leader, leader % 3 + 1] {
        let mut client = all.client(sid);
        let mut check = |expected: i32, body: Vec<u8>| {
            assert_eq!(client.call(op::RECONFIG, &body).err, expected);
        };
        check(-103, body(None, Some("3"), None, at + 1));
        // Half of the new voters are nowhere.
        let many: Vec<String> =
            (5..=8).map(|sid| format!("server.{sid}={};127.0.0.1:1", address())).collect();
        check(-13, body(Some(&many.join(",")), None, None, -1));
        check(-8, body(None, Some("2,3"), None, -1));
        check(-8, body(Some("server.5=10.0.0.1:1:2"), None, None, -1));
        let twice = "server.5=10.0.0.1:1:2;2181,server.6=10.0.0.1:3:1;2182";
        check(-8, body(Some(twice), None, None, -1));
        check(-8, body(None, None, Some("server.1=nonsense"), -1));
        for sid in 1..=3 {
            assert_eq!(all.peer(sid).membership, before);
            assert!(!all.path(sid, "zoo.cfg.dynamic.next").exists());
        }
    }
    // One at a time: both are prepared before the first one is agreed on.
    let mut client = all.client(leader);
    let mut both = request(11, op::RECONFIG, &body(None, Some("9"), None, at));
    both.extend(request(12, op::RECONFIG, &body(None, Some("9"), None, -1)));
    client.send_raw(&both);
    let (first, second) = (client.read(), client.read());
    assert_eq!(text(&first), format!("{}\nversion={:x}", lines.join("\n"), first.zxid));
    assert_eq!(second.err, -14);
}

#[test]
fn the_whole_membership_can_be_replaced_weights_included() {
    let (all, lines) = three();
    let mut client = all.client(all.leader());
    let all_of = |separator: &str, more: &[&str]| {
        let mut parts: Vec<String> = lines.clone();
        parts.extend(more.iter().map(ToString::to_string));
        parts.join(separator)
    };
    for separator in [",", "\n"] {
        let wanted = all_of(separator, &[]);
        let found = text(&client.call(op::RECONFIG, &body(None, None, Some(&wanted), -1)));
        assert!(found.starts_with(&format!("{}\nversion=", lines.join("\n"))), "{found}");
        everywhere(&all, &[1, 2, 3], &found);
    }
    let wanted = all_of(",", &["group.1=1:2:3", "weight.1=1", "weight.2=1", "weight.3=1"]);
    let found = text(&client.call(op::RECONFIG, &body(None, None, Some(&wanted), -1)));
    assert!(
        found.contains("\ngroup.1=1:2:3\nweight.1=1\nweight.2=1\nweight.3=1\nversion="),
        "{found}"
    );
    everywhere(&all, &[1, 2, 3], &found);
    assert_eq!(leave(&mut client, "3").err, -8, "groups change as a whole only");
    assert_eq!(client.create("/a", b"", 0).err, 0);
}

#[test]
fn an_ensemble_grows_from_one() {
    let lines = lines(1..=3);
    let settings = "reconfigEnabled=true\nstandaloneEnabled=false\n";
    let mut all = Members::with_lines(1, &lines[0], |_| settings.to_owned()).flags(FLAGS);
    all.start_all(&[1]);
    assert_eq!(all.mode(1), Mode::Leader);
    let mut client = all.client(1);
    assert_eq!(client.create("/a", b"1", 0).err, 0);
    for sid in 2..=3 {
        all.add(&lines[..sid].join("\n"), settings);
        all.start_all(&[sid]);
        let port = free_port();
        let wanted = format!("{};127.0.0.1:{port}", lines[sid - 1]);
        let found = text(&join(&mut client, &wanted));
        let sids: Vec<usize> = (1..=sid).collect();
        everywhere(&all, &sids, &found);
        all.until("its clients' port moves", |all| all.server(sid).addresses()[0].port() == port);
        assert_eq!(all.peer(1).quorum_size, sid as u64);
    }
    // And does without the first one.
    all.stop(1);
    all.until_led_by_another(1, &[2, 3]);
    assert_eq!(all.client(3).get("/a", false).err, 0);
    assert_eq!(all.client(2).set("/a", b"2").err, 0);
}

#[test]
fn a_client_port_moves_and_clients_stay() {
    let (all, lines) = three();
    let leader = all.leader();
    let other = leader % 3 + 1;
    let mut client = all.client(other);
    let before = all.server(other).addresses()[0];
    let port = free_port();
    let found = text(&join(&mut client, &format!("{};127.0.0.1:{port}", lines[other - 1])));
    everywhere(&all, &[1, 2, 3], &found);
    all.until("the new port is open", |all| all.server(other).addresses()[0].port() == port);
    assert!(TcpStream::connect(before).is_err(), "the old one is closed");
    assert_eq!(client.create("/a", b"", 0).err, 0);
    assert_eq!(all.client(other).get("/a", false).err, 0);
}
