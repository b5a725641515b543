//! What operators change through the admin port of a running server, and who may.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use common::*;
use jute::proto::op;
use rookeeper::admin::AdminServer;
use rookeeper::metrics::Metrics;
use rookeeper::net::fourlw::{self, Words};
use rookeeper::server::{Options, Server};
use tempfile::TempDir;

/// `super:pw` under SHA1.
const SUPER: &str = "-Dzookeeper.DigestAuthenticationProvider.superDigest=";

struct Operated {
    server: TestServer,
    admin: AdminServer,
}

fn operated(dir: TempDir, more: &str) -> Operated {
    let text = format!(
        "4lw.commands.whitelist=*\nadmin.serverPort=0\nadmin.serverAddress=127.0.0.1\n\
         admin.rateLimiterIntervalInMS=0\n{more}"
    );
    let secret = rookeeper::acl::DigestAlgorithm::default().id("super:pw");
    let config = config(dir.path(), &text, &format!("{SUPER}{secret}"));
    let metrics = Arc::new(Metrics::new(false));
    let words = Arc::new(Words::new(fourlw::Options {
        whitelist: config.word_whitelist(),
        version: "3.9.5".to_owned(),
        conf: config.conf_options(),
        environment: Box::new(Vec::new),
        metrics: metrics.clone(),
    }));
    let admin =
        AdminServer::start(config.admin_options().unwrap().unwrap(), words.clone()).unwrap();
    let options = Options { seed: 1, ..Options::of(&config, metrics, words, || 7) };
    let handle = Server::start(options).unwrap();
    admin.set_server(handle.view(), handle.guard());
    Operated { server: TestServer { handle, dir }, admin }
}

/// Status and body.
fn http(address: SocketAddr, method: &str, path: &str, auth: bool, body: &[u8]) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    let auth = if auth { "Authorization: digest super:pw\r\n" } else { "" };
    let head = format!(
        "{method} /commands/{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{auth}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A refused body is not read to its end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    (status, answer.get(end + 4..).unwrap_or_default().to_vec())
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

#[test]
fn a_snapshot_brings_its_database_back() {
    let Operated { server, admin } = operated(TempDir::new().unwrap(), "");
    let mut client = server.client();
    client.create("/kept", b"first", 0);
    let (status, snapshot) = http(admin.address(), "GET", "snapshot", true, b"");
    assert_eq!(status, 200);
    client.set("/kept", b"second");
    client.create("/later", b"", 0);

    // Nobody, a stranger, a broken stream: nothing changes.
    assert_eq!(http(admin.address(), "POST", "restore", false, &snapshot).0, 401);
    let broken = [&snapshot[..snapshot.len() / 2], b"xx"].concat();
    for body in [&b"not a snapshot"[..], b"", &broken] {
        let (status, answer) = http(admin.address(), "POST", "restore", true, body);
        assert_eq!(status, 500, "{}", text(answer));
    }
    assert_eq!(client.get("/later", false).err, 0, "connections live on");

    let (status, answer) = http(admin.address(), "POST", "restore", true, &snapshot);
    let answer = text(answer);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"last_zxid\" : "), "{answer}");
    assert!(client.is_closed(), "what it has read was another database");
    let mut client = server.client();
    assert_eq!(client.get("/later", false).err, -101);
    assert!(client.get("/kept", false).body.windows(5).any(|w| w == b"first"));
    assert_eq!(client.create("/after", b"", 0).err, 0);

    // And it is there after a restart.
    drop(admin);
    let server = TestServer::configured_on(server.stop(), "", "");
    let mut client = server.client();
    assert_eq!(client.get("/later", false).err, -101);
    assert_eq!(client.get("/after", false).err, 0);
    server.stop();
}

#[test]
fn all_permissions_are_needed_not_one() {
    let Operated { server, admin } = operated(TempDir::new().unwrap(), "");
    let ask = |auth: &str| {
        let mut stream = TcpStream::connect(admin.address()).unwrap();
        let head = format!(
            "GET /commands/snapshot HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
             Authorization: {auth}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[9..12]).into_owned()
    };
    // The root as it is born is everybody's.
    assert_eq!(ask("digest u:p"), "200");
    for nonsense in ["digest", "digest a b", "digest u:p more", "magic u:p", ""] {
        assert_eq!(ask(nonsense), "401", "{nonsense}");
    }
    let mut client = server.client();
    for perms in [1, 15, 30] {
        let mut body = Vec::new();
        jute::Encode::encode("/", &mut body);
        jute::Encode::encode(&vec![jute::data::Acl::world(perms)], &mut body);
        jute::Encode::encode(&-1i32, &mut body);
        let mut auth = Vec::new();
        let packet = jute::proto::AuthPacket {
            kind: 0,
            scheme: Some("digest".into()),
            auth: Some(b"super:pw"),
        };
        jute::Encode::encode(&packet, &mut auth);
        assert_eq!(client.call(op::AUTH, &auth).err, 0);
        assert_eq!(client.call(op::SET_ACL, &body).err, 0);
        assert_eq!(ask("digest u:p"), "403", "{perms} is not all");
        assert_eq!(ask("digest super:pw"), "200");
    }
    server.stop();
}

#[test]
fn a_backup_of_another_server_can_be_restored() {
    let Operated { server: old, admin } = operated(TempDir::new().unwrap(), "");
    let mut client = old.client();
    (0..50).for_each(|i| _ = client.create(&format!("/n{i}"), b"x", 0));
    let (_, snapshot) = http(admin.address(), "GET", "snapshot", true, b"");
    let Operated { server: new, admin } = operated(TempDir::new().unwrap(), "");
    let (status, answer) = http(admin.address(), "POST", "restore", true, &snapshot);
    assert_eq!(status, 200, "{}", text(answer));
    // Connections of before are closed, perhaps one that came a moment too early.
    let mut client = loop {
        let mut client = Client::raw(new.address());
        if client.greet(0, [0; 16], 10_000, 0, false).is_some() {
            break client;
        }
    };
    assert_eq!(client.get("/n49", false).err, 0);
    let all = new.word("mntr");
    assert!(all.contains("zk_cnt_restore_time\t1\n"), "{all}");
    new.stop();
    old.stop();
}

#[test]
fn restores_can_be_switched_off() {
    let Operated { server, admin } =
        operated(TempDir::new().unwrap(), "admin.restore.enabled=false");
    assert_eq!(http(admin.address(), "POST", "restore", true, b"x").0, 503);
    server.stop();
}

#[test]
fn sessions_and_connections_are_closed_by_operators() {
    let Operated { server, admin } = operated(TempDir::new().unwrap(), "");
    let mut victim = server.client();
    victim.create("/e", b"", 1);
    let mut other = server.client();
    let sessions = text(http(admin.address(), "GET", "sessions", false, b"").1);
    let holder = sessions.split("}, {").find(|s| s.contains("\"ephemerals\" : 1")).unwrap();
    let id = holder.split("\"session_id\" : ").nth(1).unwrap().split(',').next().unwrap().trim();
    let close = format!("close_session?session_id={id}");
    assert_eq!(http(admin.address(), "POST", &close, false, b"").0, 401);
    assert_eq!(http(admin.address(), "GET", &close, true, b"").0, 405);
    assert_eq!(http(admin.address(), "POST", "close_session?session_id=77", true, b"").0, 400);
    assert_eq!(http(admin.address(), "POST", &close, true, b"").0, 200);
    assert!(victim.is_closed());
    assert_eq!(other.get("/e", false).err, -101, "its ephemeral is gone");

    let remote = other.stream.local_addr().unwrap();
    let close = format!("close_connection?remote_socket_address={remote}");
    assert_eq!(http(admin.address(), "POST", &close, true, b"").0, 200);
    assert!(other.is_closed());
    assert_eq!(http(admin.address(), "POST", &close, true, b"").0, 400, "it is gone");
    server.stop();
}

#[test]
fn limits_of_a_live_server_can_be_changed() {
    let Operated { server, admin } = operated(TempDir::new().unwrap(), "");
    let set = |max: usize| {
        let path = format!("set_max_client_cnxns?max_client_cnxns={max}");
        http(admin.address(), "POST", &path, true, b"").0
    };
    let first = server.client();
    assert_eq!(set(1), 200);
    assert!(Client::raw(server.address()).is_closed());
    assert_eq!(set(2), 200);
    let mut second = server.client();
    assert_eq!(second.create("/n", b"", 0).err, 0);
    drop(first);
    second.call(op::CLOSE_SESSION, &[]);
    server.stop();
}
