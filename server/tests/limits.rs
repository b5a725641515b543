//! Limits on connections, requests and memory; slow and silent clients.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::*;
use jute::proto::op;
use rookeeper::metrics::Metrics;
use rookeeper::net::Net;
use rookeeper::server::Server;
use rookeeper::storage::disk::faulty::FaultyDisk;
use tempfile::TempDir;

#[test]
fn connections_per_address() {
    let server = TestServer::with(|options| options.net.connections_per_address_max = 2);
    let mut one = server.client();
    let _two = server.client();
    let mut three = Client::raw(server.address());
    assert!(three.is_closed());
    one.call(op::CLOSE_SESSION, b"");
    assert!(one.is_closed());
    // The place is free once the server has noticed; until then it goes on refusing.
    loop {
        let mut next = Client::raw(server.address());
        next.stream.set_read_timeout(None).unwrap();
        let connect = unhex(
            "0000002d 00000000 0000000000000000 00002710 0000000000000000 \
             00000010 00000000000000000000000000000000 00",
        );
        use std::io::Write;
        if next.stream.write_all(&connect).is_ok() && next.read_frame().is_some() {
            break;
        }
    }
    server.stop();
}

#[test]
fn connections_in_all() {
    let server = TestServer::with(|options| options.net.connections_max = 1);
    let _one = server.client();
    assert!(Client::raw(server.address()).is_closed());
    server.stop();
}

#[test]
fn handshakes_are_throttled() {
    let server = TestServer::with(|options| {
        options.net.connection_throttle.tokens = 1;
        options.net.connection_throttle.fill_time_ms = 1_000_000;
    });
    let _one = server.client();
    let mut two = Client::raw(server.address());
    two.send_raw(&unhex(
        "0000002d 00000000 0000000000000000 00002710 0000000000000000 \
         00000010 00000000000000000000000000000000 00",
    ));
    assert!(two.is_closed());
    server.stop();
}

#[test]
fn large_requests_have_a_budget() {
    let metrics = Arc::new(Metrics::new(false));
    let server = TestServer::with(|options| {
        options.metrics = metrics.clone();
        options.net.large_request_threshold = Some(1000);
        options.net.large_request_bytes_max = 10_000;
    });
    let mut client = server.client();
    for _ in 0..20 {
        // One after the other they fit: the budget comes back with the reply.
        client.create("/big", &[1; 9000], 2);
    }
    client.send_raw(&20_000u32.to_be_bytes());
    assert!(client.is_closed(), "refused by its length alone");
    server.stop();
    assert_eq!(metrics.large_requests_rejected.get(), 1);
}

#[test]
fn outstanding_limit_holds_back_but_loses_nothing() {
    let server = TestServer::with(|options| options.net.outstanding_max = 1);
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    clients[0].create("/o", b"", 0);
    let mut burst = Vec::new();
    for xid in 0..200 {
        burst.extend(request(xid, op::SET_DATA, &set_data("/o", b"value")));
        burst.extend(request(xid, op::EXISTS, &path_watch("/o", false)));
    }
    for client in &mut clients {
        client.send_raw(&burst);
    }
    for client in &mut clients {
        for xid in 0..200 {
            assert_eq!((client.read().xid, client.read().xid), (xid, xid));
        }
    }
    assert_eq!(server.handle.view().stats().outstanding, 0);
    server.stop();
}

#[test]
fn the_request_throttle_delays_and_answers() {
    let server = TestServer::with(|options| {
        options.net.request_throttle.requests_max = 1;
        options.net.request_throttle.stall_time_ms = 1;
    });
    let mut client = server.client();
    client.create("/t", b"", 0);
    let mut burst = Vec::new();
    for xid in 0..100 {
        burst.extend(request(xid, op::SET_DATA, &set_data("/t", b"value")));
    }
    client.send_raw(&burst);
    for xid in 0..100 {
        assert_eq!((client.read().xid, 0), (xid, 0));
    }
    server.stop();
}

#[test]
fn a_client_that_does_not_read_is_not_read() {
    let server = TestServer::with(|options| options.net.outbox_high_bytes = 64 * 1024);
    let mut client = server.client();
    client.create("/big", &[7; 500_000], 0);
    let total = 200;
    let mut burst = Vec::new();
    for xid in 0..total {
        burst.extend(request(xid, op::GET_DATA, &path_watch("/big", false)));
    }
    // A hundred megabytes of replies for a client that is slow to take them.
    client.send_raw(&burst);
    let mut other = server.client();
    assert_eq!(other.get("/", false).err, 0, "others are served");
    for xid in 0..total {
        let reply = client.read();
        assert_eq!((reply.xid, reply.err), (xid, 0));
        assert!(reply.body[4..500_004].iter().all(|b| *b == 7));
    }
    server.stop();
}

#[test]
fn a_watcher_that_does_not_read_is_closed() {
    let server = TestServer::with(|options| {
        options.net.outbox_max_bytes = 1;
        options.net.frame_max = 10_000;
    });
    let mut deaf = server.client();
    let add_watch = [&path_watch("/", false)[..5], &1i32.to_be_bytes()].concat();
    assert_eq!(deaf.call(op::ADD_WATCH, &add_watch).err, 0);
    let mut writer = server.client();
    let mut burst = Vec::new();
    let long = "x".repeat(2000);
    let mut connected = true;
    while connected {
        burst.clear();
        for xid in 0..500 {
            let body = create(&format!("/{long}"), b"", 2);
            burst.extend(request(xid, op::CREATE, &body));
        }
        writer.send_raw(&burst);
        for _ in 0..500 {
            assert_eq!(writer.read().err, 0);
        }
        connected = server.handle.view().connections().len() > 1;
    }
    let mut rest = Vec::new();
    // Ends with an end of file or a reset, after whatever the kernel had taken.
    let _ = deaf.stream.read_to_end(&mut rest);
    assert_eq!(writer.get("/", false).err, 0);
    server.stop();
}

#[test]
fn half_a_frame_and_goodbye() {
    let server = TestServer::start();
    for bytes in ["", "00", "0000002d", "0000002d 00000000"] {
        let mut client = Client::raw(server.address());
        client.send_raw(&unhex(bytes));
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_closed());
    }
    let mut client = server.client();
    assert_eq!(client.get("/", false).err, 0);
    server.stop();
}

#[test]
fn bytes_may_come_one_by_one() {
    let server = TestServer::start();
    let mut client = server.client();
    let bytes = request(1, op::CREATE, &create("/slow", b"value", 0));
    for byte in bytes {
        client.send_raw(&[byte]);
    }
    assert_eq!(client.read().err, 0);
    server.stop();
}

#[test]
fn requests_that_waited_too_long_are_answered_in_their_place() {
    let server = TestServer::with(|options| {
        options.net.io_threads = 1;
        options.net.request_throttle.requests_max = 1;
        options.net.request_throttle.stall_time_ms = 20;
        options.net.request_throttle.op_wait_time_ms = 1;
    });
    let mut client = server.client();
    client.create("/t", b"", 0);
    // The first of them fills the pipeline; what is left waits for at least one stall.
    let mut burst = Vec::new();
    for xid in 0..200 {
        burst.extend(request(xid, op::SET_DATA, &set_data("/t", b"value")));
    }
    client.send_raw(&burst);
    let mut throttled = 0;
    for xid in 0..200 {
        let reply = client.read();
        assert_eq!(reply.xid, xid, "SESSION-FIFO");
        assert!(matches!(reply.err, 0 | -127));
        throttled += i64::from(reply.err == -127);
    }
    assert!(throttled > 0);
    client.send(op::PING, b"");
    assert_eq!(client.read().err, 0);
    server.stop();
}

#[test]
fn who_asks_behind_a_write_for_more_than_the_outbox_holds_is_closed() {
    let server = TestServer::with(|options| options.net.outbox_max_bytes = 1);
    let mut client = server.client();
    client.create("/big", &[7; 500_000], 0);
    let mut burst = request(1, op::SET_DATA, &set_data("/zookeeper", b""));
    for xid in 2..200 {
        burst.extend(request(xid, op::GET_DATA, &path_watch("/big", false)));
    }
    // A hundred megabytes in answer to one write.
    client.send_raw(&burst);
    let mut replies = 0;
    while client.try_read().is_some() {
        replies += 1;
    }
    assert!(replies < 199, "{replies}");
    let mut other = server.client();
    assert_eq!(other.get("/", false).err, 0);
    assert_eq!(server.handle.view().stats().outstanding, 0, "permits came back");
    server.stop();
}

/// A server whose log can be kept from going on, and what it counts.
struct Stoppable {
    server: TestServer,
    disk: FaultyDisk,
    metrics: Arc<Metrics>,
}

impl Stoppable {
    fn start(text: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::new();
        let mut options = options(&config(dir.path(), text, ""));
        options.disk = Arc::new(disk.clone());
        let metrics = options.metrics.clone();
        let handle = Server::start(options).unwrap_or_else(|e| panic!("{text}: {e}"));
        Self { server: TestServer { handle, dir }, disk, metrics }
    }

    /// With a throttle that lets one request in at a time.
    fn throttled(more: &str) -> Self {
        let throttle = "request_throttle_max_requests=1\nrequest_throttle_stall_time=5\n";
        Self::start(&format!("{throttle}{more}"))
    }

    /// One request is on its way from now on, and stays there.
    fn fill_the_pipeline(&self, client: &mut Client) {
        self.disk.hold_syncs(true);
        client.send(op::CREATE, &create("/first", b"", 0));
        until("it is on its way", || self.server.handle.view().stats().outstanding == 1);
    }

    fn until_held_back(&self) {
        let times = self.metrics.request_throttle_wait_count.get() + 10;
        until("a request waits", || self.metrics.request_throttle_wait_count.get() > times);
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn requests_of_clients_that_left_are_dropped_or_not() {
    for (text, dropped, stale) in [
        ("", 3, 0),
        ("request_throttle_drop_stale=false", 0, 3),
        ("request_stale_connection_check=false", 0, 0),
    ] {
        let all = Stoppable::throttled(text);
        let metrics = all.metrics.clone();
        let mut first = all.server.client();
        let mut leaver = all.server.client();
        all.fill_the_pipeline(&mut first);
        let burst: Vec<_> = ["/left1", "/left2", "/left3"]
            .iter()
            .flat_map(|path| request(1, op::CREATE, &create(path, b"", 0)))
            .collect();
        leaver.send_raw(&burst);
        drop(leaver);
        match dropped {
            0 => all.until_held_back(),
            _ => until("they are dropped", || metrics.stale_requests_dropped.get() >= dropped),
        }
        // Words are not held back.
        assert!(all.server.word("srvr").contains("Outstanding: 1\n"));
        all.disk.hold_syncs(false);
        assert_eq!(first.read().err, 0, "{text}");
        match dropped {
            0 => until("they are executed", || first.get("/left3", false).err == 0),
            _ => assert_eq!(first.get("/left1", false).err, -101, "{text}"),
        }
        all.server.stop();
        let counted = (metrics.stale_requests_dropped.get(), metrics.stale_requests.get());
        assert_eq!(counted, (dropped, stale), "{text}");
    }
}

#[test]
fn requests_that_outlive_their_session_are_dropped() {
    // A machine that stands still before the request is sent may end the silent connection first.
    attempt("a request that waits for longer than its session lives", |_| {
        let all = Stoppable::throttled(
            "request_stale_latency_check=true\ntickTime=100000\nminSessionTimeout=2000",
        );
        let mut first = all.server.client();
        let mut late = Client::raw(all.server.address());
        late.handshake(0, [0; 16], 2000, 0).unwrap();
        all.fill_the_pipeline(&mut first);
        late.send(op::GET_DATA, &path_watch("/", false));
        assert!(late.is_closed(), "without an answer");
        all.disk.hold_syncs(false);
        assert_eq!(first.read().err, 0);
        all.server.stop();
        let dropped = all.metrics.stale_requests_dropped.get();
        assert!(dropped <= 1, "{dropped}");
        (dropped == 1).then_some(())
    });
}

#[test]
fn waiting_is_counted_and_can_be_too_long() {
    for (text, code) in [("throttled_op_wait_time=1", -127), ("", 0)] {
        let all = Stoppable::throttled(text);
        let (mut first, mut second) = (all.server.client(), all.server.client());
        all.fill_the_pipeline(&mut first);
        second.send(op::GET_DATA, &path_watch("/", false));
        all.until_held_back();
        all.disk.hold_syncs(false);
        assert_eq!((first.read().err, second.read().err), (0, code), "{text}");
        all.server.stop();
        assert_eq!(all.metrics.throttled_ops.get(), i64::from(code != 0), "{text}");
        assert!(all.metrics.request_throttle_queue_time_ms.max() > 0);
    }
}

#[test]
fn answers_that_nobody_waits_for_are_counted() {
    let all = Stoppable::start("");
    let mut leaver = all.server.client();
    all.fill_the_pipeline(&mut leaver);
    drop(leaver);
    until("it is gone", || all.server.handle.view().connections().is_empty());
    all.disk.hold_syncs(false);
    until("the answer is ready", || all.metrics.stale_replies.get() == 1);
    all.server.stop();
}

/// The system lets one more in than it was told, and nobody else before the first is accepted.
#[test]
fn the_listen_backlog_is_the_one_asked_for() {
    for (text, fits) in [("clientPortListenBacklog=2", false), ("", true)] {
        let dir = TempDir::new().unwrap();
        let net = Net::bind(config(dir.path(), text, "").net_options()).unwrap();
        let connect =
            |ms| TcpStream::connect_timeout(&net.addresses()[0], Duration::from_millis(ms));
        let all: Vec<_> = (0..3).map(|_| connect(60_000).unwrap()).collect();
        let patience = if fits { 60_000 } else { 300 };
        assert_eq!(connect(patience).is_ok(), fits, "{text}");
        drop(all);
    }
}

/// `globalOutstandingLimit`: above it, who has something on its way is not read; others are.
#[test]
fn those_who_wait_already_wait_longer() {
    for (text, of_first) in [("globalOutstandingLimit=1", 1), ("", 2)] {
        // One thread reads everybody, in the order in which they sent.
        let all = Stoppable::start(&format!("nio.numWorkerThreads=1\n{text}"));
        let mut clients: Vec<_> = (0..3).map(|_| all.server.client()).collect();
        let outstanding = |client: &Client| {
            let remote = client.stream.local_addr().unwrap();
            let all = all.server.handle.view().connections();
            all.iter().find(|c| c.remote == remote).map_or(0, |c| c.outstanding)
        };
        all.fill_the_pipeline(&mut clients[0]);
        clients[1].send(op::CREATE, &create("/second", b"", 0));
        until("two are on their way", || outstanding(&clients[1]) == 1);
        clients[0].send(op::CREATE, &create("/third", b"", 0));
        clients[2].send(op::CREATE, &create("/fourth", b"", 0));
        until("so is the third client's", || outstanding(&clients[2]) == 1);
        assert_eq!(outstanding(&clients[0]), of_first, "{text}");
        all.disk.hold_syncs(false);
        for (client, answers) in clients.iter_mut().zip([2, 1, 1]) {
            for _ in 0..answers {
                assert_eq!(client.read().err, 0, "{text}");
            }
        }
        all.server.stop();
    }
}
