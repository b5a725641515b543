//! Four-letter words over sockets, about a server that did something.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::*;
use jute::proto::op;

fn open(more: &str) -> TestServer {
    TestServer::configured(&format!("4lw.commands.whitelist=*\n{more}"), "")
}

/// The value of a line `key<separator>value`.
fn value(text: &str, key: &str) -> i64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| {
        panic!("no {key} in {text}");
    });
    line.trim().parse().unwrap()
}

fn raw(server: &TestServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // Ends with the end of the stream, or with a reset where bytes stay unread.
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn half_closed_connections_are_answered() {
    let server = open("");
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"ruok").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
    server.stop();
}

#[test]
fn unknown_words_are_closed_in_silence() {
    let server = open("");
    for word in [&b"lead"[..], b"zzzz", b"SRVR", b"\xff\xf4\xff\xfd"] {
        assert_eq!(raw(&server, word), b"", "{word:?}");
    }
    server.stop();
    // Not allowed, telnet's farewell has a text of its own.
    let server = TestServer::configured("", "");
    assert_eq!(
        raw(&server, b"\xff\xf4\xff\xfd"),
        b"telnet close is not executed because it is not in the whitelist.\n"
    );
    server.stop();
}

#[test]
fn the_trace_mask_is_kept() {
    let server = open("");
    assert_eq!(server.word("gtmk"), "306");
    assert_eq!(raw(&server, b"stmk\0\0\0\0\0\0\0\x02"), b"2");
    assert_eq!(server.word("gtmk"), "2");
    server.stop();
}

#[test]
fn counters_count_and_can_be_reset() {
    let server = open("");
    let mut client = server.client();
    for _ in 0..10 {
        client.create("/n", b"0123456789", 2);
    }
    client.get("/", true);
    let srvr = server.word("srvr");
    assert!(value(&srvr, "Received: ") >= 12, "{srvr}");
    assert!(value(&srvr, "Sent: ") >= 12, "{srvr}");
    assert_eq!(value(&srvr, "Node count: "), 15);
    // zxid 1 is the session.
    assert!(srvr.contains("\nZxid: 0xb\nMode: standalone\n"), "{srvr}");
    let stat = server.word("stat");
    assert!(stat.contains("(queued=0,recved=12,sent=12)\n"), "{stat}");
    let cons = server.word("cons");
    let sid = format!("sid=0x{:x},lop=GETD,", client.session);
    assert!(cons.contains(&sid) && cons.contains("lcxid=0xb,lzxid=0xb,"), "{cons}");

    assert_eq!(server.word("crst"), "Connection stats reset.\n");
    let cons = server.word("cons");
    let line = cons.lines().find(|line| line.contains("sid=")).unwrap();
    assert!(line.contains("(queued=0,recved=0,sent=0,"), "{line}");
    // As Java's: no cxid, and a zxid of -1.
    assert!(line.contains(",lop=NA,") && !line.contains("lcxid="), "{line}");
    assert!(line.contains(",lzxid=0xffffffffffffffff,"), "{line}");
    assert_eq!(server.word("srst"), "Server stats reset.\n");
    let srvr = server.word("srvr");
    // This very question is counted.
    assert!(value(&srvr, "Received: ") <= 2, "{srvr}");
    assert!(srvr.contains("Latency min/avg/max: 0/0.0/0\n"), "{srvr}");
    server.stop();
}

#[test]
fn mntr_counts_znodes_and_their_bytes() {
    let server = open("");
    let mut client = server.client();
    let before = server.word("mntr");
    for (path, data) in [("/a", &b"12345"[..]), ("/a/bc", b""), ("/e", b"1")] {
        assert_eq!(client.create(path, data, i32::from(path == "/e")).err, 0);
    }
    client.set("/a/bc", b"123");
    client.get("/a", true);
    let after = server.word("mntr");
    let grown = |key: &str| value(&after, key) - value(&before, key);
    assert_eq!(grown("zk_znode_count\t"), 3);
    assert_eq!(grown("zk_ephemerals_count\t"), 1);
    assert_eq!(grown("zk_watch_count\t"), 1);
    // Paths and data: /a + 5, /a/bc + 3, /e + 1.
    assert_eq!(grown("zk_approximate_data_size\t"), 2 + 5 + 5 + 3 + 2 + 1);
    assert_eq!(value(&after, "zk_num_alive_connections\t"), 2);
    server.stop();
}

#[test]
fn watches_and_sessions_are_listed() {
    let server = open("");
    let mut one = server.client();
    let mut two = server.client();
    one.create("/e", b"", 1);
    one.get("/e", true);
    one.get("/", true);
    two.get("/e", true);
    let (a, b) = (format!("0x{:x}", one.session), format!("0x{:x}", two.session));
    assert_eq!(server.word("wchs"), "2 connections watching 2 paths\nTotal watches:3\n");
    let wchc = server.word("wchc");
    assert!(wchc.contains(&format!("{b}\n\t/e\n")) && wchc.ends_with("\n\n"), "{wchc}");
    assert!(wchc.contains(&format!("{a}\n\t/")), "{wchc}");
    let wchp = server.word("wchp");
    assert!(wchp.contains(&format!("/\n\t{a}\n")), "{wchp}");
    let dump = server.word("dump");
    assert!(dump.starts_with("SessionTracker dump:\nSession Sets ("), "{dump}");
    let ephemerals = format!("ephemeral nodes dump:\nSessions with Ephemerals (1):\n{a}:\n\t/e\n");
    assert!(dump.contains(&ephemerals), "{dump}");
    assert!(dump.contains(&format!("\t{a}\n")) && dump.contains(&format!("\t{b}\n")), "{dump}");
    drop(one);
    // Watches end with the connection, the ephemeral with the session.
    while server.word("wchs") != "1 connections watching 1 paths\nTotal watches:1\n" {}
    two.call(op::CLOSE_SESSION, b"");
    assert!(server.word("dump").contains(&ephemerals));
    server.stop();
}

#[test]
fn digests_are_listed() {
    let server = open("");
    assert_eq!(server.word("hash"), "");
    let mut client = server.client();
    for _ in 0..299 {
        client.call(op::DELETE, b"\0\0\0\x02/x\xff\xff\xff\xff");
    }
    // Nothing but refusals: the digest is that of the empty tree.
    assert_eq!(server.word("hash"), "80: 1371985504\n100: 1371985504\n");
    server.stop();
}

#[test]
fn small_words() {
    let server = open("");
    assert_eq!(server.word("isro"), "rw");
    assert_eq!(server.word("envi"), "Environment:\nkey=value\n");
    server.stop();
    let server = TestServer::configured("", "-Dreadonlymode.enabled=true");
    assert_eq!(server.word("isro"), "rw");
    server.stop();
    let server = TestServer::configured("", "");
    assert!(server.word("isro").contains("not in the whitelist"));
    server.stop();
}
