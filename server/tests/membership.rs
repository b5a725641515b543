//! The membership as data: `/zookeeper/config`, dynamic files, what servers tell each other.

#![allow(clippy::unwrap_used)]

mod common;

use common::members::{Members, address};
use common::ports::free_port;
use jute::proto::{ReconfigRequest, op};
use jute::{Encode, Reader};
use rookeeper::net::view::Mode;

const RECONFIG: &str = "reconfigEnabled=true\n";

/// The data of a `getData` reply.
fn data(reply: &common::Reply) -> String {
    assert_eq!(reply.err, 0);
    let mut input = Reader::new(&reply.body);
    String::from_utf8(input.buffer().unwrap().unwrap_or_default().to_vec()).unwrap()
}

fn shown(all: &Members, sid: usize) -> String {
    data(&all.client(sid).get("/zookeeper/config", false))
}

/// The member lines of a server's first file, roles included.
fn lines(all: &Members, sid: usize) -> String {
    let text = all.read(sid, "zoo.cfg");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("server.")).collect();
    lines.join("\n")
}

#[test]
fn the_first_leader_gives_the_membership_a_version_and_a_file() {
    let mut all = Members::new(&["participant"; 3], RECONFIG);
    let members = lines(&all, 1);
    let first = all.read(1, "zoo.cfg");
    all.start_all(&[1, 2, 3]);
    let expected = format!("{members}\nversion=100000000");
    for sid in 1..=3 {
        all.until("the new version is there", |all| shown(all, sid) == expected);
        all.until("the file is there", |all| {
            all.read(sid, "zoo.cfg").contains("dynamicConfigFile=")
        });
        assert_eq!(all.read(sid, "zoo.cfg.dynamic.100000000"), members);
        all.until("the proposal is gone", |all| !all.path(sid, "zoo.cfg.dynamic.next").exists());
        let pointer = all.path(sid, "zoo.cfg.dynamic.100000000").canonicalize().unwrap();
        let text = all.read(sid, "zoo.cfg");
        assert!(text.ends_with(&format!("dynamicConfigFile={}\n", pointer.display())), "{text}");
        assert!(!text.contains("server."), "{text}");
        assert!(text.contains("clientPort=0\n"), "no line names it: {text}");
    }
    assert_eq!(all.read(1, "zoo.cfg.bak"), first);
    // The stat of a znode that no transaction made.
    let reply = all.client(1).get("/zookeeper/config", false);
    let stat = &reply.body[4 + expected.len()..];
    let long = |at: usize| i64::from_be_bytes(stat[at..at + 8].try_into().unwrap());
    let int = |at: usize| i32::from_be_bytes(stat[at..at + 4].try_into().unwrap());
    assert_eq!((long(8), int(32), int(40)), (0x1_0000_0000, -1, -1), "mzxid, version, aversion");
    // A restart goes on from the files.
    for sid in 1..=3 {
        all.stop(sid);
        assert_eq!(all.config(sid).ensemble.membership.version, 0x1_0000_0000);
    }
    all.start_all(&[1, 2, 3]);
    for sid in 1..=3 {
        assert_eq!(shown(&all, sid), expected, "the version changes once");
    }
}

#[test]
fn a_member_with_an_old_file_learns_the_membership_from_the_others() {
    let lines: String =
        (1..=3).map(|sid| format!("server.{sid}={}:participant\n", address())).collect();
    let mut all = Members::with_lines(2, &lines, |_| RECONFIG.to_owned());
    // The third one only knows the first one and itself.
    let partial: String = lines
        .lines()
        .filter(|line| !line.starts_with("server.2"))
        .map(|l| format!("{l}\n"))
        .collect();
    all.add(&partial, RECONFIG);
    all.start_all(&[1, 2]);
    let expected = format!("{}\nversion=100000000", lines.trim_end());
    all.until("there is a version", |all| shown(all, 1) == expected);
    all.start_all(&[3]);
    assert_eq!(shown(&all, 3), expected);
    assert_eq!(all.mode(3), Mode::Follower);
    all.until("the file is there", |all| all.path(3, "zoo.cfg.dynamic.100000000").exists());
    assert_eq!(all.read(3, "zoo.cfg.dynamic.100000000"), lines.trim_end());
    all.until("the pointer is there", |all| {
        all.read(3, "zoo.cfg").contains("zoo.cfg.dynamic.100000000\n")
    });
    // A watch on the znode is one like any other.
    all.stop(3);
    all.start_all(&[3]);
    assert_eq!(shown(&all, 3), expected);
}

fn reconfig() -> Vec<u8> {
    ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some("3".into()),
        new_members: None,
        cur_config_id: -1,
    }
    .to_vec()
}

#[test]
fn a_fixed_membership_has_no_version_and_no_files() {
    let mut all = Members::new(&["participant", "participant", "observer"], "");
    let members = lines(&all, 1);
    let before = all.read(1, "zoo.cfg");
    all.start_all(&[1, 2, 3]);
    for sid in 1..=3 {
        assert_eq!(shown(&all, sid), format!("{members}\nversion=0"));
        // Whoever is asked: the leader answers.
        assert_eq!(all.client(sid).call(op::RECONFIG, &reconfig()).err, -123);
        assert!(!all.path(sid, "zoo.cfg.dynamic.next").exists());
        assert!(!all.path(sid, "zoo.cfg.bak").exists());
        assert!(!all.path(sid, "zoo.cfg.dynamic.100000000").exists());
    }
    assert_eq!(all.read(1, "zoo.cfg"), before);
}

#[test]
fn one_server_alone_leads_itself_if_it_must_not_be_standalone() {
    let mut all = Members::new(&["participant"], "reconfigEnabled=true\nstandaloneEnabled=false\n");
    let members = lines(&all, 1);
    all.start_all(&[1]);
    assert_eq!(all.mode(1), Mode::Leader);
    let mut client = all.client(1);
    assert_eq!(client.create("/a", b"1", 0).err, 0);
    assert_eq!(shown(&all, 1), format!("{members}\nversion=100000000"));
    all.stop(1);
    // With the switch on, the same file makes a standalone server.
    let port = free_port();
    let line = format!("server.1={};127.0.0.1:{port}\n", address());
    let mut alone = Members::with_lines(1, &line, |_| "noClientPort".to_owned());
    alone.start_all(&[1]);
    assert_eq!(alone.mode(1), Mode::Standalone);
    assert_eq!(alone.server(1).addresses()[0].port(), port);
    assert_eq!(shown(&alone, 1), "");
}
