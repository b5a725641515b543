//! Settings of the sockets between servers, and what a member's own host does to it.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::lines::Lines;
use common::members::{Members, address_on};
use common::ports::free_port;
use common::puppet::Puppet;
use common::{PATIENCE, attempt, options};
use jute::quorum::{InitialMessage, InitialProgress};
use rookeeper::base::{Epoch, Zxid};
use rookeeper::ensemble::Resolver;
use rookeeper::net::view::Mode;
use rookeeper::server::{Exit, Server};
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::zab::Packet;
use socket2::{Domain, Socket, Type};

/// One voter of two, whose election port is this.
fn one_of_two(settings: &str) -> (Members, u16) {
    let (quorum, election) = (free_port(), free_port());
    let lines =
        format!("server.1=127.0.0.1:{quorum}:{election}\nserver.2={}", address_on("127.0.0.1"));
    let mut all = Members::with_lines(1, &lines, |_| settings.to_owned());
    all.start(1);
    (all, election)
}

/// `quorumCnxnTimeoutMs` instead of `syncLimit` ticks, which are ten minutes here.
#[test]
fn a_silent_election_connection_is_closed() {
    let (all, election) = one_of_two("syncLimit=3000\nquorumCnxnTimeoutMs=300\n");
    let mut silent = TcpStream::connect(("127.0.0.1", election)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0, "closed");
    // One that says who it is in time may be silent.
    let hello = InitialMessage { sid: 2, addresses: vec!["127.0.0.1:1".into()] };
    attempt("a vote", |_| {
        let mut known = TcpStream::connect(("127.0.0.1", election)).unwrap();
        known.set_read_timeout(Some(PATIENCE)).unwrap();
        known.write_all(&hello.to_bytes(false)).ok()?;
        known.read_exact(&mut [0; 1]).ok()
    });
    drop(all);
}

/// `tcpKeepAlive`; the kernel's table shows the timer of a connection: 2 is keep-alive.
#[test]
fn keep_alive_of_election_connections() {
    for (text, timer) in [("tcpKeepAlive=true\n", "02"), ("", "00")] {
        let (_all, election) = one_of_two(text);
        let mut peer = TcpStream::connect(("127.0.0.1", election)).unwrap();
        let hello = InitialMessage { sid: 2, addresses: vec!["127.0.0.1:1".into()] };
        peer.write_all(&hello.to_bytes(false)).unwrap();
        // Its vote: the connection is kept.
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        peer.read_exact(&mut [0; 4]).unwrap();
        let (here, there) = (election, peer.local_addr().unwrap().port());
        let ends = format!("0100007F:{here:04X} 0100007F:{there:04X}");
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let row = table.lines().find(|line| line.contains(&ends)).expect("the connection");
            let fields: Vec<&str> = row.split_whitespace().collect();
            // 1 is a retransmission that is about to be over.
            let shown = &fields[5][..2];
            if shown != "01" {
                assert_eq!(shown, timer, "{text:?} {fields:?}");
                break;
            }
            std::thread::yield_now();
        }
    }
}

/// `quorumListenOnAllIPs`, for both ports.
#[test]
fn ports_of_one_address_or_of_all() {
    for (text, everywhere) in [("quorumListenOnAllIPs=true\n", true), ("", false)] {
        let (quorum, election) = (free_port(), free_port());
        let line = format!("server.1=127.0.0.1:{quorum}:{election}");
        let mut all = Members::with_lines(1, &line, |_| format!("standaloneEnabled=false\n{text}"));
        all.start_all(&[1]);
        assert_eq!(all.mode(1), Mode::Leader);
        for port in [quorum, election] {
            // The quorum port opens with the leadership, on a thread of its own.
            all.until("it listens", |_| TcpStream::connect(("127.0.0.1", port)).is_ok());
            assert_eq!(TcpStream::connect(("127.0.0.2", port)).is_ok(), everywhere, "{text}{port}");
        }
    }
}

/// A port at which nobody answers, as behind a firewall that drops what it does not like: more
/// connections wait there than may.
fn black_hole() -> (Socket, Vec<Socket>, u16) {
    let hole = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    hole.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    hole.listen(0).unwrap();
    let address = hole.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let next = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let reached = next.connect_timeout(&address, Duration::from_millis(500));
        waiting.push(next);
        if reached.is_err() {
            let port = address.as_socket().unwrap().port();
            return (hole, waiting, port);
        }
    }
}

/// `cnxTimeout`, and several addresses of one server: one that does not answer is passed over.
#[test]
fn a_dead_address_is_passed_over() {
    let (_hole, _waiting, dead) = black_hole();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = listener.local_addr().unwrap().port();
    let lines = format!(
        "server.1={}\nserver.2=127.0.0.1:{}:{dead}|127.0.0.1:{}:{alive}",
        address_on("127.0.0.1"),
        free_port(),
        free_port()
    );
    let settings = |_| "cnxTimeout=300\n".to_owned();
    let mut all = Members::with_lines(1, &lines, settings)
        .flags("-Dzookeeper.multiAddress.enabled=true -Dzookeeper.multiAddress.reachabilityCheckEnabled=true");
    all.start(1);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut bytes = Vec::new();
    let hello = loop {
        match InitialMessage::parse(&bytes).unwrap() {
            InitialProgress::Done(hello, _) => break hello,
            InitialProgress::Need(total) => {
                let start = bytes.len();
                bytes.resize(total, 0);
                stream.read_exact(&mut bytes[start..]).unwrap();
            }
        }
    };
    assert_eq!(hello.sid, 1);
    assert!(bytes.starts_with(&(-65535i64).to_be_bytes()), "the form for several addresses");
}

/// A server moves: its name means another machine at the next attempt.
#[test]
fn names_are_looked_up_for_every_dial() {
    let puppet = Puppet::new();
    let lines = puppet.lines.replace("server.2=127.0.0.1:", "server.2=moving.example:");
    let all = Members::with_lines(1, &lines, |_| String::new());
    let mut started = options(&all.config(1));
    let (moved, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (now, count) = (moved.clone(), asked.clone());
    started.member.as_mut().unwrap().ensemble.resolver = Resolver(Arc::new(move |target| {
        let Some(port) = target.strip_prefix("moving.example:") else {
            return Ok(vec![target.parse().unwrap()]);
        };
        count.fetch_add(1, Ordering::AcqRel);
        // Nobody is at the first one.
        let host = if now.load(Ordering::Acquire) { [127, 0, 0, 1] } else { [127, 0, 0, 77] };
        Ok(vec![SocketAddr::from((host, port.parse().unwrap()))])
    }));
    let server = Server::start(started).unwrap_or_else(|e| panic!("{e}"));
    let leading = std::thread::spawn(move || {
        let mut learner = puppet.lead(1);
        learner.discover(1);
        learner.say(&Packet::Diff(Zxid::ZERO));
        learner.establish(1);
        learner
    });
    // It was elected and is not there.
    all.until("the first address is tried", |_| asked.load(Ordering::Acquire) > 2);
    assert!(!server.view().serving());
    moved.store(true, Ordering::Release);
    let _learner = leading.join().unwrap();
    all.until("it follows", |_| server.view().serving());
    server.stop();
}

/// A full disk ends the member that has it, with the exit code of a lost disk; the others go on.
#[test]
fn a_full_disk_ends_one_member() {
    let mut all = Members::new(&["participant"; 3], "");
    let disk = FaultyDisk::new();
    let mut full = options(&all.config(3));
    full.disk = Arc::new(disk.clone());
    let full = Server::start(full).unwrap_or_else(|e| panic!("{e}"));
    all.start_all(&[1, 2]);
    all.until("the third serves", |_| full.view().serving());
    let mut client = all.client(1);
    assert_eq!(client.create("/before", b"", 0).err, 0);
    disk.set_capacity(Some(0));
    // Nobody may answer: the third may lead.
    client.send(jute::proto::op::CREATE, &common::create("/large", &[7; 1 << 17], 0));
    assert_eq!(full.wait(), Exit::StorageFailed);
    assert_eq!(full.stop(), Exit::StorageFailed);
    all.until_led_by_another(3, &[1, 2]);
    let mut client = all.client(2);
    assert_eq!(client.create("/after", b"", 0).err, 0);
}

/// `messageTracker.Enabled`, `messageTracker.BufferSize`.
#[test]
fn the_last_packets_of_a_lost_link_are_told() {
    let said = Lines::capture();
    let puppet = Puppet::new();
    let settings = "messageTracker.Enabled=true\nmessageTracker.BufferSize=5\n";
    let mut all = puppet.members(settings);
    all.start(1);
    let mut learner = puppet.lead(1);
    learner.discover(1);
    learner.say(&Packet::Diff(Zxid::ZERO));
    learner.establish(1);
    for n in 1..=9 {
        let zxid = Zxid::new(Epoch(1), n);
        learner.say(&Packet::Ping { zxid, touched: None });
        assert_eq!(learner.hears(), Packet::Ping { zxid, touched: Some(vec![]) });
    }
    let port = learner.stream.local_addr().unwrap().port();
    drop(learner);
    let lines = |what: &str| -> Vec<String> {
        let text = said.text();
        let about = format!("{what} /127.0.0.1:{port}");
        text.lines().filter(|line| line.contains(&about)).map(str::to_owned).collect()
    };
    all.until("it is told", |_| lines("sentBuffer to").len() >= 6);
    for what in ["receivedBuffer from", "sentBuffer to"] {
        let mut found = lines(what);
        // It dials again.
        found.truncate(6);
        assert!(found[0].contains("Last 5 timestamps for messages"), "{found:#?}");
        assert_eq!(found.len(), 6, "{found:#?}");
        assert!(found[1..].iter().all(|l| l.ends_with("Type: PING")), "{found:#?}");
        assert!(found[1..].iter().all(|l| l.contains("TimeStamp: 20")), "{found:#?}");
    }
}
