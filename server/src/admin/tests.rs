//! Requests over real sockets against a literal server; texts as Java answers them.

use std::io::{Read, Write};
use std::net::TcpStream;

use parking_lot::Mutex;

use super::*;
use crate::metrics::Metrics;
use crate::net::fourlw;
use crate::net::view::*;

struct Literal(bool);

impl ServerView for Literal {
    fn serving(&self) -> bool {
        self.0
    }
    fn mode(&self) -> Mode {
        Mode::Standalone
    }
    fn stats(&self) -> StatsView {
        StatsView { response_size: (-1, -1, -1), ..StatsView::default() }
    }
    fn tree(&self) -> TreeView {
        TreeView { node_count: 5, digests: vec![(Zxid(0x80), -7)], ..TreeView::default() }
    }
    fn connections(&self) -> Vec<ConnectionView> {
        vec![ConnectionView {
            remote: "127.0.0.1:5".parse().unwrap(),
            interest_ops: 1,
            outstanding: 0,
            received: 3,
            sent: 2,
            secure: true,
            established_ms: 99,
            session: None,
        }]
    }
    fn sessions(&self) -> SessionsView {
        SessionsView::default()
    }
    fn watches(&self) -> WatchesView {
        WatchesView::default()
    }
    fn dir_sizes(&self) -> (u64, u64) {
        (478, 479)
    }
    fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (vec!["0.0.0.0:2181".parse().unwrap()], Vec::new())
    }
    fn proposal_sizes(&self) -> Option<(i64, i64, i64)> {
        None
    }
    fn reset_stats(&self) {}
    fn reset_connection_stats(&self) {}
}

/// Knows one password.
struct Doorman(PathBuf);

impl Guard for Doorman {
    fn may_do_all(&self, scheme: &str, data: &[u8], ip: IpAddr) -> Allowed {
        match (scheme, data) {
            ("ip", _) if ip == IpAddr::from([10, 1, 2, 3]) => Allowed::Yes,
            ("ip", _) => Allowed::NotAuthorized,
            ("digest", b"super:pw") => Allowed::Yes,
            ("digest", _) => Allowed::NotAuthorized,
            _ => Allowed::NotAuthenticated,
        }
    }
    fn take_snapshot(&self) -> Result<(Zxid, PathBuf), String> {
        Ok((Zxid(0x1f), self.0.clone()))
    }
}

fn words(prometheus: bool) -> Arc<Words> {
    Arc::new(Words::new(fourlw::Options {
        whitelist: None,
        version: "3.9.5-x, built on y".into(),
        conf: fourlw::ConfOptions::default(),
        environment: Box::new(|| vec![("java.version", "<NA>".to_owned())]),
        metrics: Arc::new(Metrics::new(prometheus)),
    }))
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

fn admin(serving: bool, guard: Arc<dyn Guard>) -> AdminServer {
    admin_with(serving, guard, |_| {})
}

fn admin_with(
    serving: bool,
    guard: Arc<dyn Guard>,
    change: impl FnOnce(&mut Options),
) -> AdminServer {
    let mut options = Options {
        address: loopback(),
        idle_timeout: Duration::from_secs(30),
        command_url: "/commands".into(),
        rate_limit: Duration::from_secs(300),
        snapshot_enabled: true,
        restore_enabled: true,
        last_zxid_in_snapshots: true,
        use_x_forwarded_for: false,
        initial_configuration: Some("a=1\n".into()),
        system_properties: vec![("zookeeper.x".into(), "1".into())],
        tls: None,
        plain_too: false,
    };
    change(&mut options);
    let server = AdminServer::start(options, words(false)).unwrap();
    server.set_server(Arc::new(Literal(serving)), guard);
    server
}

/// Status, headers in lower case, body.
fn ask(address: SocketAddr, request: &str, headers: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let text = format!("{request} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn body(server: &AdminServer, path: &str) -> String {
    let (status, _, body) = ask(server.address(), &format!("GET {path}"), "");
    assert_eq!(status, 200, "{path}");
    body
}

#[test]
fn commands_answer_as_javas() {
    let server = admin(true, Arc::new(Closed));
    let end = |name: &str| format!("  \"command\" : \"{name}\",\n  \"error\" : null\n}}");
    for (path, name, data) in [
        ("ruok", "ruok", "{\n"),
        ("dirs", "dirs", "{\n  \"datadir_size\" : 478,\n  \"logdir_size\" : 479,\n"),
        ("isro", "is_read_only", "{\n  \"read_only\" : false,\n"),
        ("gtmk", "get_trace_mask", "{\n  \"tracemask\" : 306,\n"),
        ("stmk?traceMask=5", "set_trace_mask", "{\n  \"tracemask\" : 5,\n"),
        ("icfg", "initial_configuration", "{\n  \"initial_configuration\" : \"a=1\\n\",\n"),
        ("sysp", "system_properties", "{\n  \"zookeeper.x\" : \"1\",\n"),
        ("envi", "environment", "{\n  \"java.version\" : \"<NA>\",\n"),
        ("lsnp", "last_snapshot", "{\n  \"zxid\" : \"ffffffffffffffff\",\n  \"timestamp\" : -1,\n"),
        (
            "hash",
            "hash",
            "{\n  \"digests\" : [ {\n    \"zxid\" : 128,\n    \"digest\" : -7,\n    \
             \"digest_version\" : 2\n  } ],\n",
        ),
        ("zabstate", "zabstate", "{\n  \"voting\" : false,\n  \"zabstate\" : \"\",\n"),
        ("voting_view", "voting_view", "{\n  \"current_config\" : { },\n"),
        (
            "dump",
            "dump",
            "{\n  \"expiry_time_to_session_ids\" : { },\n  \"session_id_to_ephemeral_paths\" : \
             { },\n",
        ),
        ("obsr", "observers", "{\n  \"synced_observers\" : 0,\n  \"observers\" : [ ],\n"),
        (
            "wchs",
            "watch_summary",
            "{\n  \"num_connections\" : 0,\n  \"num_paths\" : 0,\n  \"num_total_watches\" : 0,\n",
        ),
        ("wchc", "watches", "{\n  \"session_id_to_watched_paths\" : { },\n"),
        ("wchp", "watches_by_path", "{\n  \"path_to_session_ids\" : { },\n"),
    ] {
        assert_eq!(body(&server, &format!("/commands/{path}")), format!("{data}{}", end(name)));
    }
    assert_eq!(
        body(&server, "/commands/leader"),
        "{\n  \"error\" : \"server is not initialized\",\n  \"command\" : \"leader\"\n}"
    );
    assert_eq!(
        body(&server, "/commands/nope"),
        "{\n  \"command\" : \"nope\",\n  \"error\" : \"Unknown command: nope\"\n}"
    );
    assert!(body(&server, "/commands/stmk").contains("requires long traceMask argument\""));
    assert!(body(&server, "/commands/stmk?traceMask=x").contains("argument, got x\""));
    let connections = body(&server, "/commands/cons");
    assert!(connections.starts_with("{\n  \"connections\" : [ ],\n  \"secure_connections\" : [ {"));
    assert!(connections.contains("\"remote_socket_address\" : \"127.0.0.1:5\""));
    assert!(connections.contains("\"established\" : 99"));
    let stats = body(&server, "/commands/srvr");
    assert!(stats.contains("    \"avg_latency\" : 0.0,\n    \"max_latency\" : 0,\n"), "{stats}");
    assert!(stats.contains("  \"node_count\" : 5,\n"), "{stats}");
    assert!(body(&server, "/commands/mntr").contains("  \"znode_count\" : 5,\n"));
}

#[test]
fn every_command_and_alias_answers() {
    let server = admin(true, Arc::new(Closed));
    let names: Vec<&str> = COMMANDS.iter().map(|command| command.names[0]).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    assert_eq!(names.len(), 35);
    let index = body(&server, "/commands");
    assert!(index.starts_with(
        "<a href=\"/commands/close_connection\">close_connection</a>\n<br/>\n<a href=\"/commands/close_l"
    ));
    assert_eq!(index, body(&server, "/commands/"));
    assert_eq!(index.matches("<br/>").count(), 35);
    for name in COMMANDS.iter().flat_map(|command| command.names) {
        let (status, _, body) = ask(server.address(), &format!("GET /commands/{name}"), "");
        let guarded = matches!(*name, "snapshot" | "snap" | "restore" | "rest")
            || name.starts_with("close_")
            || *name == "set_max_client_cnxns";
        assert_eq!(status, if guarded { 401 } else { 200 }, "{name}");
        assert!(!body.contains("Unknown command"), "{name}");
    }
}

#[test]
fn methods_and_paths() {
    let server = admin(true, Arc::new(Closed));
    for (request, status) in [
        ("GET /nope", 404),
        ("GET /", 404),
        ("GET /commandsx", 404),
        ("PUT /commands/ruok", 405),
        ("DELETE /commands/ruok", 405),
        ("TRACE /commands/ruok", 403),
        ("OPTIONS /commands/ruok", 200),
        ("POST /commands/ruok", 500),
        ("HEAD /commands/ruok", 200),
        ("GET /commands/%72uok", 200),
        ("GET /live", 200),
        ("GET /ready", 200),
    ] {
        let (got, head, _) = ask(server.address(), request, "");
        assert_eq!(got, status, "{request}");
        assert!(head.contains("\r\ndate: "), "{request}: {head}");
    }
    let (_, head, body) = ask(server.address(), "HEAD /commands/ruok", "");
    assert!(head.contains("content-length: 42") && body.is_empty(), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
}

#[test]
fn a_server_that_does_not_serve() {
    let server = admin(false, Arc::new(Closed));
    let said = "\"error\" : \"This ZooKeeper instance is not currently serving requests\"";
    for name in ["ruok", "srvr", "conf", "watches"] {
        assert!(body(&server, &format!("/commands/{name}")).contains(said), "{name}");
    }
    for name in ["envi", "gtmk", "sysp", "zabstate"] {
        assert!(!body(&server, &format!("/commands/{name}")).contains(said), "{name}");
    }
    assert_eq!(ask(server.address(), "GET /ready", "").0, 503);
    assert_eq!(ask(server.address(), "GET /live", "").0, 200);
}

#[test]
fn guarded_commands() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot.1f");
    std::fs::write(&file, "bytes").unwrap();
    let server = admin(true, Arc::new(Doorman(file)));
    let ask = |request: &str, auth: &str| {
        let header =
            if auth.is_empty() { String::new() } else { format!("Authorization: {auth}\r\n") };
        ask(server.address(), request, &header)
    };
    let get = "GET /commands/snapshot";
    for (auth, status, error) in [
        ("", 401, "Auth info is missing for the command"),
        ("magic x", 401, "Not authenticated"),
        ("digest me:pw", 403, "Not authorized"),
    ] {
        for request in [get, "POST /commands/restore"] {
            let (got, _, body) = ask(request, auth);
            assert_eq!(got, status, "{request} {auth}");
            assert!(body.contains(&format!("\"error\" : \"{error}\"")), "{body}");
        }
    }
    let (status, head, body) = ask(get, "digest super:pw");
    assert_eq!((status, body.as_str()), (200, "bytes"));
    assert!(head.contains("last_zxid: 0x1f") && head.contains("snapshot_size: 5"), "{head}");
    assert!(head.contains("content-type: application/octet-stream"), "{head}");
    assert_eq!(ask(get, "digest super:pw").0, 429, "one in five minutes");
}

/// `IPAuthenticationProvider.usexforwardedfor`.
#[test]
fn proxies_say_who_asks_if_they_are_believed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot.1f");
    std::fs::write(&file, "bytes").unwrap();
    for (believed, forwarded, status) in [
        (true, "10.1.2.3", 200),
        (true, "10.1.2.3, 10.9.9.9", 200),
        (true, "10.9.9.9, 10.1.2.3", 403),
        (true, "somebody", 403),
        (false, "10.1.2.3", 403),
    ] {
        let guard = Arc::new(Doorman(file.clone()));
        let server = admin_with(true, guard, |options| options.use_x_forwarded_for = believed);
        let headers = format!("Authorization: ip x\r\nX-Forwarded-For: {forwarded}\r\n");
        let (got, _, _) = ask(server.address(), "GET /commands/snapshot", &headers);
        assert_eq!(got, status, "{believed} {forwarded}");
    }
}

/// Reads a restore's stream piece by piece, and tells how much it has.
struct Slow(Mutex<std::sync::mpsc::Sender<usize>>);

impl Guard for Slow {
    fn may_do_all(&self, _scheme: &str, _data: &[u8], _ip: IpAddr) -> Allowed {
        Allowed::Yes
    }
    fn take_snapshot(&self) -> Result<(Zxid, PathBuf), String> {
        Err("none".to_owned())
    }
    fn restore(&self, input: &mut dyn Read) -> Result<Zxid, String> {
        let mut piece = [0; 1000];
        let mut all = 0;
        loop {
            let read = input.read(&mut piece).map_err(|error| error.to_string())?;
            if read == 0 {
                return Ok(Zxid(all as i64));
            }
            all += read;
            // A test that failed listens no more.
            let _ = self.0.lock().send(all);
        }
    }
}

/// The head of a restore whose body has this length.
fn post(address: SocketAddr, length: u64) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "POST /commands/restore HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
         Authorization: digest super:pw\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

#[test]
fn what_is_posted_is_read_as_it_comes() {
    let (told, heard) = std::sync::mpsc::channel();
    let server = admin(true, Arc::new(Slow(Mutex::new(told))));
    // A gibibyte is announced, and what is there of it reaches the command before the rest.
    let mut stream = post(server.address(), 1 << 30);
    for round in 1..=5 {
        stream.write_all(&[7; 100_000]).unwrap();
        while heard.recv().unwrap() < round * 100_000 {}
    }
    // Its end does not come: the command fails, and so does nothing else.
    drop(stream);
    drop(heard);
    assert_eq!(ask(server.address(), "GET /commands/ruok", "").0, 200);
}

#[test]
fn a_whole_body_is_counted_to_its_end() {
    let (told, heard) = std::sync::mpsc::channel();
    let server = admin(true, Arc::new(Slow(Mutex::new(told))));
    let mut stream = post(server.address(), 300_000);
    stream.write_all(&[7; 300_000]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("\"last_zxid\" : 300000,"), "{answer}");
    assert!(heard.try_iter().count() >= 300, "in pieces");
}

#[test]
fn idle_connections_are_closed() {
    let (told, _heard) = std::sync::mpsc::channel();
    let server = admin_with(true, Arc::new(Slow(Mutex::new(told))), |options| {
        options.idle_timeout = Duration::from_millis(100);
    });
    // What comes until the end, or a reset; a timeout fails.
    let ended = |mut stream: TcpStream, text: &str| {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // On a slow machine it may be closed already.
        let _ = stream.write_all(text.as_bytes());
        let mut answer = String::new();
        if let Err(error) = stream.read_to_string(&mut answer) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        answer
    };
    let connect = || TcpStream::connect(server.address()).unwrap();
    // Nothing, and half a head.
    assert_eq!(ended(connect(), ""), "");
    assert!(!ended(connect(), "GET /comm").starts_with("HTTP/1.1 200 "));
    // Behind an answer, and half a body; asked until it came in time.
    let request = "GET /commands/ruok HTTP/1.1\r\nHost: h\r\n\r\n";
    while !ended(connect(), request).starts_with("HTTP/1.1 200 ") {}
    while !ended(post(server.address(), 10), "12345").starts_with("HTTP/1.1 500 ") {}
}

#[test]
fn metrics_endpoint() {
    let metrics = Arc::new(Metrics::new(true));
    metrics.commit_count.add(3);
    let server = MetricsServer::start(loopback(), metrics, true).unwrap();
    let (status, head, text) = ask(server.address(), "GET /metrics", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
    assert!(text.contains("# TYPE commit_count counter\ncommit_count 3.0\n"));
    assert!(text.contains("\nprocess_open_fds ") && text.contains("\nprocess_cpu_seconds_total "));
    assert!(!text.contains("znode_count"), "no server, no gauges");
    server.set_view(Arc::new(Literal(true)));
    let (_, _, text) = ask(server.address(), "GET /metrics", "");
    assert!(text.contains("# TYPE znode_count gauge\nznode_count 5.0\n"));
    let (_, _, some) = ask(server.address(), "GET /metrics?name%5B%5D=commit_count", "");
    let only = "# HELP commit_count commit_count\n# TYPE commit_count counter\ncommit_count 3.0\n";
    assert_eq!(some, only);
    assert_eq!(ask(server.address(), "GET /", "").0, 404);
    assert_eq!(ask(server.address(), "TRACE /metrics", "").0, 403);
}
