//! Keys of `zoo.cfg` and properties, from the file to what the server does.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use common::*;
use jute::Encode;
use jute::data::Acl;
use jute::proto::op;
use rookeeper::server::{Server, StartError};
use tempfile::TempDir;

const AUTH: &str = "org.apache.zookeeper.server.auth";

fn acl(perms: i32, scheme: &str, id: &str) -> Vec<Acl> {
    vec![Acl::new(perms, scheme, id)]
}

fn create_with(path: &str, acl: Vec<Acl>) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    b""[..].encode(&mut out);
    acl.encode(&mut out);
    0i32.encode(&mut out);
    out
}

fn create_ttl(path: &str, ttl_ms: i64) -> Vec<u8> {
    let mut out = create(path, b"", 5);
    out.extend(ttl_ms.to_be_bytes());
    out
}

/// The error of an auth packet.
fn add_auth(client: &mut Client, scheme: &str, auth: &str) -> i32 {
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    scheme.encode(&mut packet);
    auth.as_bytes().encode(&mut packet);
    client.send_raw(&request(-4, op::AUTH, &packet));
    client.read().err
}

fn timeout_of(server: &TestServer, asked: i32) -> i32 {
    // The shortest may be over before the answer is written.
    attempt("a session", |_| {
        let mut client = Client::raw(server.address());
        client.greet(0, [0; 16], asked, 0, false)?;
        (client.timeout_ms > 0).then_some(client.timeout_ms)
    })
}

#[test]
fn session_timeouts_follow_tick_time_and_limits() {
    for (text, least, most) in [
        ("tickTime=500", 1000, 10_000),
        ("minSessionTimeout=700", 700, 60_000),
        ("maxSessionTimeout=6001", 6000, 6001),
        ("tickTime=100\nminSessionTimeout=-1\nmaxSessionTimeout=-1", 200, 2000),
    ] {
        let server = TestServer::configured(&format!("{text}\n4lw.commands.whitelist=*"), "");
        assert_eq!(timeout_of(&server, 1), least, "{text}");
        assert_eq!(timeout_of(&server, i32::MAX), most, "{text}");
        let conf = server.word("conf");
        let said = format!("minSessionTimeout={least}\nmaxSessionTimeout={most}\n");
        assert!(conf.contains(&said), "{conf}");
        server.stop();
    }
}

#[test]
fn conf_shows_the_listener_and_its_limits() {
    let server = TestServer::configured(
        "tickTime=1234\nmaxClientCnxns=3\nclientPortListenBacklog=5\n4lw.commands.whitelist=conf",
        "",
    );
    let conf = server.word("conf");
    for line in [
        format!("clientPort={}", server.address().port()),
        format!("dataDir={}", server.dir.path().join("version-2").display()),
        "tickTime=1234".to_owned(),
        "maxClientCnxns=3".to_owned(),
        "clientPortListenBacklog=5".to_owned(),
    ] {
        assert!(conf.lines().any(|l| l == line), "{line} in {conf}");
    }
    // Only what is named is allowed, and srvr always is.
    assert!(server.word("ruok").contains("ruok is not executed"));
    assert!(server.word("srvr").contains("Mode: standalone"));
    server.stop();
    let open = TestServer::configured("4lw.commands.whitelist=*", "");
    assert_eq!(open.word("ruok"), "imok");
    open.stop();
}

#[test]
fn the_address_is_the_one_asked_for() {
    for (address, shown) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("localhost", "127.0.0.1")]
    {
        let dir = TempDir::new().unwrap();
        let text = format!("clientPortAddress={address}");
        let config = config(dir.path(), &text, "");
        let handle = Server::start(options(&config)).unwrap();
        assert_eq!(handle.addresses()[0].ip().to_string(), shown);
        let mut client = Client::connect(handle.addresses()[0]);
        assert_eq!(client.get("/", false).err, 0);
        handle.stop();
    }
    // Taken: the start fails with Java's exit code.
    let server = TestServer::start();
    let dir = TempDir::new().unwrap();
    let text = format!("clientPort={}", server.address().port());
    let error = Server::start(options(&config(dir.path(), &text, ""))).err().expect("taken");
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert_eq!(error.exit_code(), 1);
    server.stop();
}

#[test]
fn connections_are_limited() {
    for text in ["maxClientCnxns=1", "maxCnxns=1\nmaxClientCnxns=0"] {
        let server = TestServer::configured(text, "");
        let mut one = server.client();
        assert!(Client::raw(server.address()).is_closed(), "{text}");
        assert_eq!(one.get("/", false).err, 0);
        server.stop();
    }
    // 0 is no limit; the default is 60.
    let server = TestServer::configured("maxClientCnxns=0", "");
    let clients: Vec<_> = (0..61).map(|_| server.client()).collect();
    assert_eq!(clients.len(), 61);
    server.stop();
    let server = TestServer::configured("", "");
    let _clients: Vec<_> = (0..60).map(|_| server.client()).collect();
    assert!(Client::raw(server.address()).is_closed());
    server.stop();
}

#[test]
fn both_transports_of_java_are_ours() {
    for class in ["NIOServerCnxnFactory", "NettyServerCnxnFactory"] {
        let text = format!("serverCnxnFactory=org.apache.zookeeper.server.{class}");
        let server = TestServer::configured(&text, "");
        assert_eq!(server.client().get("/", false).err, 0);
        server.stop();
    }
}

/// The kernel's table shows the timer of a connection: 2 is keep-alive.
#[test]
fn keep_alive_is_the_kernels() {
    for (text, timer) in [("clientTcpKeepAlive=true", "02"), ("", "00")] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        client.get("/", false);
        let port = |address: std::net::SocketAddr| format!("0100007F:{:04X}", address.port());
        let (here, there) = (port(server.address()), port(client.stream.local_addr().unwrap()));
        // Nothing more is sent: the timer of a retransmission ends with the client's late ACK.
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let row = table.lines().find(|line| line.contains(&format!("{here} {there}")));
            let fields: Vec<&str> = row.expect("the connection").split_whitespace().collect();
            // 1 is a retransmission that is about to be over.
            let shown = &fields[5][..2];
            if shown != "01" {
                assert_eq!(shown, timer, "{text:?} {fields:?}");
                break;
            }
            std::thread::yield_now();
        }
        server.stop();
    }
}

/// Java looks at such connections every ten seconds.
#[test]
fn a_connection_without_session_is_closed() {
    let text = "nio.sessionlessCnxnTimeout=1\nnio.numWorkerThreads=1";
    let server = TestServer::configured(text, "");
    // The limit of one that has a session is the session's, before its first request as well.
    let mut owner = server.client();
    let mut silent = Client::raw(server.address());
    let mut half = Client::raw(server.address());
    half.send_raw(&unhex("0000002d 00000000"));
    assert!(silent.is_closed());
    assert!(half.is_closed());
    assert_eq!(owner.get("/", false).err, 0);
    server.stop();
}

#[test]
fn the_largest_packet_is_a_jvm_flag() {
    let server = TestServer::configured("", "-Djute.maxbuffer=2097152");
    let mut client = server.client();
    assert_eq!(client.create("/big", &vec![1; 1_500_000], 0).err, 0);
    assert_eq!(client.get("/big", false).body.len(), 4 + 1_500_000 + 68);
    client.send_raw(&2_097_153u32.to_be_bytes());
    assert!(client.is_closed());
    server.stop();
}

/// A reply may be longer than any request.
#[test]
fn long_listings_are_sent() {
    let server = TestServer::start();
    let mut client = server.client();
    let name = "n".repeat(100);
    let total = 12_000;
    let mut names = 0;
    while names < total {
        let mut burst = Vec::new();
        for _ in 0..1000 {
            burst.extend(request(1, op::CREATE, &create(&format!("/{name}"), b"", 2)));
            names += 1;
        }
        client.send_raw(&burst);
        for _ in 0..1000 {
            assert_eq!(client.read().err, 0);
        }
    }
    let reply = client.call(op::GET_CHILDREN2, &path_watch("/", false));
    assert_eq!(reply.err, 0);
    assert_eq!(reply.body[..4], (total + 1i32).to_be_bytes());
    assert!(reply.body.len() > 0x10_0000);
    server.stop();
}

#[test]
fn a_request_that_waited_too_long_is_not_executed() {
    let server = TestServer::configured(
        "request_throttle_max_requests=1\nrequest_throttle_stall_time=1\nthrottled_op_wait_time=1",
        "",
    );
    let mut client = server.client();
    client.create("/t", b"", 0);
    loop {
        let mut burst = Vec::new();
        for xid in 0..500 {
            burst.extend(request(xid, op::SET_DATA, &set_data("/t", b"value")));
        }
        client.send_raw(&burst);
        let mut done = 0;
        let mut throttled = 0;
        for xid in 0..500 {
            let reply = client.read();
            assert_eq!(reply.xid, xid);
            match reply.err {
                0 => done += 1,
                -127 => throttled += 1,
                other => panic!("{other}"),
            }
        }
        assert_eq!(done + throttled, 500);
        if throttled > 0 {
            break;
        }
    }
    server.stop();
}

#[test]
fn permissions_can_be_switched_off() {
    for (text, code) in [("skipACL=yes", 0), ("skipACL=true", -102), ("", -102)] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        assert_eq!(client.call(op::CREATE, &create_with("/r", acl(1, "world", "anyone"))).err, 0);
        assert_eq!(client.set("/r", b"x").err, code, "{text}");
        server.stop();
    }
}

#[test]
fn the_super_user_may_do_everything() {
    for (text, code) in [
        ("DigestAuthenticationProvider.superDigest=super:0bX78nEegDzJM3ju0iLBEJdWzjg=", 0),
        ("", -102),
    ] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        let closed = acl(31, "digest", "somebody:else");
        assert_eq!(client.call(op::CREATE, &create_with("/closed", closed)).err, 0);
        assert_eq!(client.get("/closed", false).err, -102);
        assert_eq!(add_auth(&mut client, "digest", "super:pw"), 0);
        assert_eq!(client.get("/closed", false).err, code, "{text}");
        assert_eq!(client.set("/closed", b"x").err, code, "{text}");
        server.stop();
    }
}

#[test]
fn digests_have_an_algorithm() {
    for (text, id) in [
        ("", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="),
        (
            "DigestAuthenticationProvider.digestAlg=SHA-256",
            "u:/Y8xRBngpX5duYn15uUqIRaIaCviy5TEwSk419hCwuA=",
        ),
    ] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        assert_eq!(add_auth(&mut client, "digest", "u:p"), 0);
        assert_eq!(client.call(op::CREATE, &create_with("/a", acl(31, "auth", ""))).err, 0);
        let shown = client.call(op::GET_ACL, &path_watch("/a", false)[..6]);
        assert!(shown.body.windows(id.len()).any(|w| w == id.as_bytes()), "{text}");
        server.stop();
    }
}

#[test]
fn schemes_come_and_go() {
    let sasl = format!("authProvider.1={AUTH}.SASLAuthenticationProvider");
    for (text, scheme, id, code) in [
        ("", "digest", "u:h", 0),
        ("DigestAuthenticationProvider.enabled=false", "digest", "u:h", -114),
        ("", "sasl", "bob", -114),
        (sasl.as_str(), "sasl", "bob", 0),
        ("authProvider.1=com.example.Unknown", "example", "bob", -114),
    ] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        let reply = client.call(op::CREATE, &create_with("/a", acl(31, scheme, id)));
        assert_eq!(reply.err, code, "{text} {scheme}");
        if code == 0 {
            assert_eq!(client.get("/a", false).err, -102, "anonymous");
        }
        server.stop();
    }
    let server = TestServer::configured("DigestAuthenticationProvider.enabled=false", "");
    let mut client = server.client();
    assert_eq!(add_auth(&mut client, "digest", "u:p"), -115);
    assert!(client.is_closed());
    server.stop();
}

#[test]
fn an_ensemble_has_a_name() {
    let class = format!("authProvider.1={AUTH}.EnsembleAuthenticationProvider");
    let server = TestServer::configured(&format!("{class}\nensembleAuthName=blue, green"), "");
    for name in ["blue", "green"] {
        assert_eq!(add_auth(&mut server.client(), "ensemble", name), 0);
    }
    let mut client = server.client();
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "ensemble".encode(&mut packet);
    b"red"[..].encode(&mut packet);
    client.send_raw(&request(-4, op::AUTH, &packet));
    assert!(client.is_closed(), "without a word");
    server.stop();
}

#[test]
fn authentication_can_be_required() {
    let sasl = format!("authProvider.1={AUTH}.SASLAuthenticationProvider");
    for (text, digest_helps) in [
        ("enforce.auth.enabled=true\nenforce.auth.schemes=digest".to_owned(), true),
        (format!("{sasl}\nenforce.auth.enabled=true\nenforce.auth.schemes=sasl"), false),
        (format!("{sasl}\nenforce.auth.enabled=true\nenforce.auth.schemes=sasl,digest"), true),
        (format!("{sasl}\nsessionRequireClientSASLAuth=true"), false),
    ] {
        let server = TestServer::configured(&text, "");
        for op in [op::PING, op::GET_DATA] {
            let mut client = server.client();
            assert_eq!(client.call(op, &path_watch("/", false)).err, -124, "{text}");
            assert!(client.is_closed());
        }
        let mut client = server.client();
        assert_eq!(add_auth(&mut client, "digest", "u:p"), 0);
        assert_eq!(client.get("/", false).err, if digest_helps { 0 } else { -124 }, "{text}");
        server.stop();
    }
}

#[test]
fn ttls_need_a_flag() {
    for (text, code) in [("", -6), ("extendedTypesEnabled=true", 0)] {
        let server = TestServer::configured(text, "");
        assert_eq!(server.client().call(op::CREATE_TTL, &create_ttl("/t", 1000)).err, code);
        server.stop();
    }
}

#[test]
fn containers_go_when_the_flags_say() {
    let server = TestServer::configured(
        "",
        "-Dznode.container.checkIntervalMs=20 -Dznode.container.maxNeverUsedIntervalMs=1",
    );
    let mut client = server.client();
    assert_eq!(client.call(op::CREATE_CONTAINER, &create("/never-used", b"", 4)).err, 0);
    while client.get("/never-used", false).err == 0 {}
    server.stop();
}

#[test]
fn hard_quotas_are_enforced_on_demand() {
    for (text, code) in [("enforceQuota=true", -125), ("enforceQuota=false", 0), ("", 0)] {
        let server = TestServer::configured(text, "");
        let mut client = server.client();
        let limits = b"count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=2";
        for (path, data) in [
            ("/q", &b""[..]),
            ("/zookeeper/quota/q", b""),
            ("/zookeeper/quota/q/zookeeper_limits", limits),
            ("/zookeeper/quota/q/zookeeper_stats", b"count=0,bytes=0"),
            ("/q/one", b""),
        ] {
            assert_eq!(client.create(path, data, 0).err, 0, "{path}");
        }
        assert_eq!(client.create("/q/two", b"", 0).err, code, "{text}");
        server.stop();
    }
}

#[test]
fn reconfiguration_is_off_or_impossible_alone() {
    let mut body = Vec::new();
    for _ in 0..3 {
        (-1i32).encode(&mut body);
    }
    (-1i64).encode(&mut body);
    for (text, code) in [("", -123), ("reconfigEnabled=true", -6)] {
        let server = TestServer::configured(text, "");
        assert_eq!(server.client().call(op::RECONFIG, &body).err, code);
        server.stop();
    }
}

#[test]
fn the_optimized_watch_manager_refuses_what_javas_does() {
    let add_watch = [&path_watch("/", false)[..5], &0i32.to_be_bytes()].concat();
    for (class, code) in [("WatchManager", 0), ("WatchManagerOptimized", -5)] {
        let text = format!("watchManagerName=org.apache.zookeeper.server.watch.{class}");
        let server = TestServer::configured(&text, "");
        let mut client = server.client();
        assert_eq!(client.call(op::ADD_WATCH, &add_watch).err, code);
        assert_eq!(client.get("/", true).err, 0);
        assert_eq!(client.send(op::SET_DATA, &set_data("/", b"x")), 3);
        assert_eq!(client.read().xid, -1, "an ordinary watch fires");
        server.stop();
    }
}

#[test]
fn requests_are_throttled_and_large_ones_have_a_budget() {
    let server =
        TestServer::configured("largeRequestThreshold=1000\nlargeRequestMaxBytes=5000", "");
    let mut client = server.client();
    assert_eq!(client.create("/small", &[1; 900], 0).err, 0);
    assert_eq!(client.create("/large", &[1; 2000], 0).err, 0);
    client.send_raw(&6000u32.to_be_bytes());
    assert!(client.is_closed());
    server.stop();

    let text = "connection_throttle_tokens=2\nconnection_throttle_fill_time=1000000\n\
        connection_throttle_fill_count=1";
    let server = TestServer::configured(text, "");
    let _two = [server.client(), server.client()];
    let mut third = Client::raw(server.address());
    third.send_raw(&unhex(
        "0000002d 00000000 0000000000000000 00002710 0000000000000000 \
         00000010 00000000000000000000000000000000 00",
    ));
    assert!(third.is_closed());
    server.stop();
}
