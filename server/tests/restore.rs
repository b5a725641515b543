//! Another database under a running server: what goes on meanwhile, what a crash leaves, what is
//! refused before anything changes, and what sessions, watches and ACLs are afterwards.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use common::members::Members;
use common::*;
use jute::Encode;
use jute::data::{Acl, Id};
use jute::proto::{AuthPacket, op};
use rookeeper::server::{Options, Server};

/// Fills a server; what it is then is what `snapshot` holds.
fn filled(server: &TestServer) -> Vec<u8> {
    let mut client = server.client();
    for n in 0..300u32 {
        assert_eq!(client.create(&format!("/kept{n}"), &n.to_be_bytes(), 0).err, 0);
    }
    // Or it would expire some time, which is a transaction.
    client.call(op::CLOSE_SESSION, &[]);
    snapshot(server)
}

fn snapshot(server: &TestServer) -> Vec<u8> {
    let (_, path) = server.handle.guard().take_snapshot().unwrap();
    fs::read(path).unwrap()
}

fn restore(server: &TestServer, mut stream: &[u8]) -> Result<i64, String> {
    server.handle.guard().restore(&mut stream).map(|zxid| zxid.0)
}

/// A session after a restore: the connections of before end, perhaps one that came too early.
fn client(address: SocketAddr, session: i64, passwd: [u8; 16], seen: i64) -> Client {
    loop {
        let mut client = Client::raw(address);
        if client.greet(session, passwd, 60_000, seen, false).is_some() {
            return client;
        }
    }
}

fn fresh(address: SocketAddr) -> Client {
    client(address, 0, [0; 16], 0)
}

fn create_with(path: &str, acl: Acl) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    b"secret".as_slice().encode(&mut out);
    vec![acl].encode(&mut out);
    0i32.encode(&mut out);
    out
}

#[test]
fn writes_that_go_on_end_with_the_old_database() {
    let server = TestServer::start();
    let snapshot = filled(&server);
    let address = server.address();
    let (told, heard) = channel();
    let writers: Vec<_> = (0..3usize)
        .map(|writer| {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut seen = 0;
                for n in 0.. {
                    let body = create(&format!("/later{writer}-{n}"), b"x", 0);
                    let frame = request(n + 1, op::CREATE, &body);
                    if client.stream.write_all(&frame).is_err() {
                        break;
                    }
                    let Some(reply) = client.try_read() else { break };
                    // Each is done in order in one database, or not answered.
                    assert_eq!((reply.xid, reply.err), (n + 1, 0));
                    assert!(reply.zxid > seen);
                    seen = reply.zxid;
                    told.send(writer).unwrap();
                }
                seen
            })
        })
        .collect();
    // All of them are at it.
    let mut acknowledged = [0; 3];
    while acknowledged.iter().any(|count| *count < 10) {
        acknowledged[heard.recv().unwrap()] += 1;
    }
    let zxid = restore(&server, &snapshot).unwrap();
    let seen: Vec<i64> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    assert!(seen.iter().all(|seen| *seen > 0 && *seen < zxid), "{seen:?}, restored at {zxid}");

    let mut after = fresh(address);
    for n in 0..300u32 {
        let reply = after.get(&format!("/kept{n}"), false);
        assert_eq!((reply.err, &reply.body[4..8]), (0, &n.to_be_bytes()[..]));
    }
    for writer in 0..3 {
        assert_eq!(after.get(&format!("/later{writer}-0"), false).err, -101);
    }
    let made = after.create("/after", b"", 0);
    assert!(made.err == 0 && made.zxid > zxid);

    // The same after a restart.
    let server = TestServer::on(server.stop(), |_| {});
    let mut client = server.client();
    assert_eq!(client.get("/after", false).err, 0);
    assert_eq!(client.get("/kept299", false).err, 0);
    assert_eq!(client.get("/later0-0", false).err, -101);
    server.stop();
}

#[test]
fn sessions_watches_and_acls_are_those_of_the_new_database() {
    let server = TestServer::start();
    let address = server.address();
    let mut known = server.client();
    known.create("/e-known", b"", 1);
    known.create("/watched", b"", 0);
    let mut owner = server.client();
    let mut auth = Vec::new();
    AuthPacket { kind: 0, scheme: Some("digest".into()), auth: Some(b"u:p") }.encode(&mut auth);
    assert_eq!(owner.call(op::AUTH, &auth).err, 0);
    let mine = Acl { perms: 31, id: Id { scheme: Some("auth".into()), id: Some("".into()) } };
    assert_eq!(owner.call(op::CREATE, &create_with("/secret", mine.clone())).err, 0);
    let nodes = server.handle.view().tree().node_count;
    let snapshot = snapshot(&server);

    // What the snapshot does not know.
    let mut unknown = server.client();
    unknown.create("/e-unknown", b"", 1);
    assert_eq!(owner.call(op::CREATE, &create_with("/secret2", mine)).err, 0);
    let watched = known.get("/watched", true);
    let seen = watched.zxid;
    restore(&server, &snapshot).unwrap();
    assert!(known.is_closed() && unknown.is_closed() && owner.is_closed());
    assert_eq!(server.handle.view().tree().node_count, nodes);

    // A session of the snapshot goes on, with its ephemeral, and sees no time go back.
    let mut known = client(address, known.session, known.passwd, seen);
    assert_ne!(known.session, 0);
    assert!(known.timeout_ms > 0, "a session of the new database");
    assert_eq!(known.get("/e-known", false).err, 0);
    // No other one does, and its ephemeral is gone.
    let lost = client(address, unknown.session, unknown.passwd, seen);
    assert_eq!(lost.timeout_ms, 0, "no session of the new database");
    assert_eq!(known.get("/e-unknown", false).err, -101);

    // Watches of before told their client nothing; new ones work.
    assert_eq!(known.get("/watched", true).err, 0);
    assert_eq!(fresh(address).set("/watched", b"x").err, 0);
    let event = known.read();
    assert_eq!(event.xid, -1);
    assert!(event.body.ends_with(b"/watched"));

    // ACLs hold, also for znodes made from now on with ACLs of the old table.
    assert_eq!(known.get("/secret", false).err, -102);
    assert_eq!(known.get("/secret2", false).err, -101);
    assert_eq!(known.call(op::AUTH, &auth).err, 0);
    assert_eq!(known.get("/secret", false).err, 0);

    // The end of a session of the snapshot takes its ephemerals.
    known.call(op::CLOSE_SESSION, &[]);
    assert_eq!(fresh(address).get("/e-known", false).err, -101);
    server.stop();
}

#[test]
fn broken_and_foreign_streams_change_nothing() {
    let server = TestServer::start();
    let good = filled(&server);
    let mut client = server.client();
    client.create("/later", b"", 0);
    let files = || {
        let mut all: Vec<_> = fs::read_dir(server.dir.path().join("version-2"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        all.sort();
        all
    };
    let before = (server.handle.view().tree(), files());
    let mut refused = |what: &str, stream: &[u8]| {
        let answer = restore(&server, stream);
        assert!(answer.is_err(), "{what}: {answer:?}");
        // Its connection lives on, and by this its session does.
        assert_eq!(client.get("/later", false).err, 0, "{what}");
    };
    for cut in (0..good.len()).step_by(good.len() / 25 + 1) {
        refused(&format!("cut at {cut}"), &good[..cut]);
    }
    for at in (0..good.len()).step_by(good.len() / 40 + 1) {
        let mut flipped = good.clone();
        flipped[at] ^= 0x10;
        refused(&format!("a bit flipped at {at}"), &flipped);
    }
    let log = fs::read_dir(server.dir.path().join("version-2")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("log.").then_some(path)
    });
    refused("a log", &fs::read(log.unwrap()).unwrap());
    refused("a page", b"<html><body>not found</body></html>");
    refused("compressed", &[&[0x1f, 0x8b, 8, 0][..], &good].concat());
    assert_eq!(before, (server.handle.view().tree(), files()));
    server.stop();
}

#[test]
fn members_of_ensembles_are_not_restored_alone() {
    let donor = TestServer::start();
    let stream = filled(&donor);
    donor.stop();
    let mut all = Members::new(&["participant"; 3], "");
    all.start_all(&[1, 2, 3]);
    let mut client = all.client(all.leader());
    assert_eq!(client.create("/n", b"", 0).err, 0);
    for sid in 1..=3 {
        let answer = all.server(sid).guard().restore(&mut &stream[..]);
        assert!(answer.is_err_and(|why| why.contains("stop every member")));
    }
    // Not even through the back door of the leader.
    assert_eq!(client.get("/n", false).err, 0);
    assert_eq!(client.get("/kept0", false).err, -101);
}

const DIR: &str = "ROOKEEPER_RESTORE_TEST_DIR";

/// The server that gets killed, when the test below runs this binary again; otherwise nothing.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut options = Options::new(dir.into(), vec![([127, 0, 0, 1], 0).into()]);
    options.storage.log.preallocate_bytes = 1 << 16;
    let handle = Server::start(options).unwrap_or_else(|e| panic!("{e}"));
    println!("\nlistening on {}", handle.addresses()[0]);
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let mut file = File::open(line).unwrap();
        let zxid = handle.guard().restore(&mut file).unwrap();
        println!("\nrestored {}", zxid.0);
    }
}

struct Victim {
    process: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
    address: SocketAddr,
}

impl Victim {
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let orders = process.stdin.take().unwrap();
        let (told, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| drop(told.send(line)));
        });
        let address = loop {
            let line = lines.recv().expect("the server starts again");
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.parse().unwrap();
            }
        };
        Self { process, orders, lines, address }
    }

    fn restored(&self) -> bool {
        self.lines.try_iter().any(|line| line.starts_with("restored "))
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Files of the data directory by what they are to a restore.
fn files(dir: &Path) -> (usize, usize) {
    let names: Vec<PathBuf> =
        fs::read_dir(dir.join("version-2")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let snapshots = names.iter().filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.strip_prefix("snapshot.").is_some_and(|zxid| i64::from_str_radix(zxid, 16).is_ok())
    });
    (names.len(), snapshots.count())
}

/// Each crash point of the code is tried by the tests of `pipeline::swap`; here the real thing.
#[test]
fn killed_in_the_middle_it_has_the_old_database_or_the_new_one() {
    let donor = TestServer::start();
    let stream = filled(&donor);
    let donor = donor.stop();
    let backup = donor.path().join("backup");
    fs::write(&backup, &stream).unwrap();

    // After the order; with another file there; with the new snapshot there; when it is said.
    for moment in 0..4 {
        let dir = tempfile::TempDir::new().unwrap();
        let mut victim = Victim::start(dir.path());
        let mut writer = Client::connect(victim.address);
        for n in 0..50 {
            assert_eq!(writer.create(&format!("/old{n}"), b"", 0).err, 0);
        }
        let before = files(dir.path());
        writeln!(victim.orders, "{}", backup.display()).unwrap();
        let mut said = false;
        while !said {
            let now = files(dir.path());
            match moment {
                0 => break,
                1 if now.0 > before.0 => break,
                2 if now.1 > before.1 => break,
                _ => said = victim.restored(),
            }
        }
        victim.kill();

        let victim = Victim::start(dir.path());
        let mut client = fresh(victim.address);
        let old = (0..50).filter(|n| client.get(&format!("/old{n}"), false).err == 0).count();
        let new = (0..300).filter(|n| client.get(&format!("/kept{n}"), false).err == 0).count();
        assert!(matches!((old, new), (50, 0) | (0, 300)), "moment {moment}: {old} and {new}");
        assert!(!said || new == 300, "moment {moment}: it was said to be there");
        assert_eq!(client.create("/goes-on", b"", 0).err, 0);
        victim.kill();
    }
}
