//! `kill -9` under load, again and again: what was acknowledged is there, what was not is there as
//! a whole or not at all, and the server always starts again (`ACK-AFTER-FSYNC`, `TORN-TAIL-ONLY`).
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::*;
use jute::proto::op;
use rookeeper::server::{Options, Server};

const DIR: &str = "ROOKEEPER_CRASH_TEST_DIR";
const ROUNDS: u32 = 15;

/// The server that gets killed, when the test below runs this binary again; otherwise nothing.
#[test]
fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let mut options = Options::new(dir.into(), vec![([127, 0, 0, 1], 0).into()]);
    options.storage.log.preallocate_bytes = 1 << 16;
    // Snapshots and new log files come often.
    options.storage.log.snap_count = 300;
    let handle = Server::start(options).unwrap_or_else(|e| panic!("{e}"));
    println!("\nlistening on {}", handle.addresses()[0]);
    handle.wait();
}

struct Victim {
    process: Child,
    address: SocketAddr,
}

impl Victim {
    fn start(dir: &Path) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(DIR, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let address = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
            .expect("the server starts again");
        Self { process, address: address.parse().unwrap() }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

fn path(n: u32) -> String {
    format!("/k{n:06}")
}

/// Some bytes that say which they are.
fn data(n: u32) -> Vec<u8> {
    n.to_be_bytes().repeat(1 + n as usize % 97)
}

#[test]
fn nothing_acknowledged_is_lost() {
    let dir = tempfile::TempDir::new().unwrap();
    // Acknowledged so far, and sent so far.
    let (mut acked, mut sent) = (0u32, 0u32);
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..ROUNDS {
        let victim = Victim::start(dir.path());
        let mut client = Client::connect(victim.address);
        let found = (0..sent).take_while(|n| client.get(&path(*n), false).err == 0).count() as u32;
        assert!(found >= acked, "{acked} were acknowledged, {found} are there");
        for n in 0..found {
            let reply = client.get(&path(n), false);
            let expected = data(n);
            assert_eq!(reply.body[4..4 + expected.len()], expected, "{}", path(n));
        }
        for n in found..sent {
            // Nothing behind a gap: they were sent in order on one connection.
            assert_eq!(client.get(&path(n), false).err, -101, "{}", path(n));
        }
        acked = found;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let until = acked + (random % 400) as u32;
        let mut sender = client.stream.try_clone().unwrap();
        let total = until + 200;
        let thread = std::thread::spawn(move || {
            for n in acked..total {
                let frame = request(n as i32, op::CREATE, &create(&path(n), &data(n), 0));
                if sender.write_all(&frame).is_err() {
                    break;
                }
            }
        });
        while acked < until {
            let reply = client.read();
            assert_eq!((reply.xid, reply.err), (acked as i32, 0));
            acked += 1;
        }
        victim.kill();
        thread.join().unwrap();
        // What the dead server had sent still counts.
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        let reply_len =
            |bytes: &[u8]| 4 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let mut rest = &rest[..];
        while rest.len() >= 4 && rest.len() >= reply_len(rest) {
            rest = &rest[reply_len(rest)..];
            acked += 1;
        }
        sent = total;
    }
    assert!(acked > 0);
}
