//! A member without a leader, with `readonlymode.enabled`.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::lines::Lines;
use common::members::Members;
use common::{Client, create};
use jute::Encode;
use jute::proto::{ConnectRequest, SyncRequest, op};
use rookeeper::net::view::Mode;

const SETTINGS: &str = "localSessionsEnabled=true\nlocalSessionsUpgradingEnabled=true\n";
const FLAG: &str = "-Dreadonlymode.enabled=true";

const EPHEMERAL: i32 = 1;
const NOT_READ_ONLY: i32 = -119;

fn word(all: &Members, sid: usize, word: &str) -> String {
    let mut stream = TcpStream::connect(all.server(sid).addresses()[0]).unwrap();
    stream.write_all(word.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A session that may be read-only.
fn read_only_client(all: &Members, sid: usize) -> Client {
    let mut client = all.raw(sid);
    assert_eq!(client.greet(0, [0; 16], 20_000, 0, true), Some(true));
    assert_ne!(client.session, 0);
    client
}

fn sync() -> Vec<u8> {
    SyncRequest { path: Some("/".into()) }.to_vec()
}

#[test]
fn a_member_cut_off_serves_reads_until_it_has_a_leader() {
    let lines = Lines::capture();
    let mut all = Members::new(&["participant"; 3], SETTINGS).flags(FLAG);
    all.start_all(&[1, 2, 3]);
    let mut before = all.client(3);
    assert_eq!(before.create("/a", b"1", 0).err, 0);
    // Now it is one that all servers know.
    assert_eq!(before.create("/a/mine", b"", EPHEMERAL).err, 0);
    let (global, passwd) = (before.session, before.passwd);
    assert_eq!(word(&all, 3, "isro"), "rw");
    all.stop(1);
    all.stop(2);
    assert!(before.is_closed(), "the quorum is lost");
    all.until("3 serves reads", |all| all.mode(3) == Mode::ReadOnly);
    assert_eq!(word(&all, 3, "isro"), "ro");
    let srvr = word(&all, 3, "srvr");
    assert!(srvr.contains("\nMode: read-only\n"), "{srvr}");
    assert!(srvr.contains("READ-ONLY mode; serving only read-only clients\n"), "{srvr}");

    // Clients that want to write are turned away, those of before 3.4 among them.
    let mut writer = all.raw(3);
    assert_eq!(writer.greet(0, [0; 16], 4000, 0, false), None);
    let mut old = all.raw(3);
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 0,
        timeout: 4000,
        session_id: 0,
        passwd: Some(&[0; 16]),
        read_only: false,
    };
    let bytes = request.to_vec();
    old.send_frame(&bytes[..bytes.len() - 1]);
    assert!(old.is_closed());
    let refused = "Refusing session request for not-read-only client /127.0.0.1:";
    assert_eq!(lines.text().matches(refused).count(), 2, "{}", lines.text());
    // A session that the ensemble keeps is none of ours.
    let mut stranger = all.raw(3);
    assert_eq!(stranger.greet(global, passwd, 4000, 0, true), None);

    let mut reader = read_only_client(&all, 3);
    assert_eq!(reader.get("/a", true).err, 0);
    assert_eq!(reader.create("/b", b"", 0).err, NOT_READ_ONLY);
    assert_eq!(reader.create("/b", b"", EPHEMERAL).err, NOT_READ_ONLY);
    assert_eq!(reader.set("/a", b"2").err, NOT_READ_ONLY);
    assert_eq!(reader.call(op::SYNC, &sync()).err, NOT_READ_ONLY);
    assert_eq!(reader.call(op::CREATE2, &create("/b", b"", 0)).err, NOT_READ_ONLY);
    assert_eq!(reader.get("/a", false).err, 0, "the connection stays");
    // Its session can be continued and closed here.
    let mut again = all.raw(3);
    assert_eq!(again.greet(reader.session, reader.passwd, 20_000, 0, true), Some(true));
    assert_eq!(again.session, reader.session);
    assert!(reader.is_closed());
    assert_eq!(again.call(op::CLOSE_SESSION, &[]).err, 0);
    assert!(again.is_closed());
    let mut gone = all.raw(3);
    gone.greet(again.session, again.passwd, 4000, 0, true);
    assert_eq!(gone.session, 0);

    // With a leader everything is as before.
    let mut reader = read_only_client(&all, 3);
    assert_eq!(reader.get("/a", false).err, 0);
    all.start_all(&[2]);
    assert!(reader.is_closed());
    all.until("3 has a leader", |all| all.server(3).view().serving());
    assert!(matches!(all.mode(3), Mode::Leader | Mode::Follower));
    assert_eq!(word(&all, 3, "isro"), "rw");
    // The session that never saw a leader is gone, the other one goes on.
    let mut anew = all.raw(3);
    assert_eq!(anew.greet(reader.session, reader.passwd, 20_000, 0, true), Some(false));
    assert_eq!(anew.session, 0);
    let mut on = all.raw(3);
    assert_eq!(on.handshake(global, passwd, 20_000, 0), Some(global));
    assert_eq!(on.get("/a/mine", false).err, 0);
    assert_eq!(on.create("/b", b"", 0).err, 0);
}

#[test]
fn without_local_sessions_nobody_gets_a_session() {
    let mut all = Members::new(&["participant"; 2], "").flags(FLAG);
    all.start(1);
    all.until("1 serves reads", |all| all.mode(1) == Mode::ReadOnly);
    let mut reader = all.raw(1);
    assert_eq!(reader.greet(0, [0; 16], 4000, 0, true), None);
    assert_eq!(word(&all, 1, "isro"), "ro");
    // One that was not asked to serves nobody.
    let mut plain = Members::new(&["participant"; 2], "");
    plain.start(1);
    assert_eq!(plain.raw(1).greet(0, [0; 16], 4000, 0, true), None);
    assert_ne!(plain.mode(1), Mode::ReadOnly);
}
