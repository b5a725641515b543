//! The shell as operators call it: output, error texts and exit codes of Java's `zkCli.sh`.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::TestServer;
use jute::proto::op;

fn shell(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookeeper"));
    command.args(["cli", "-server", &address.to_string()]).args(arguments);
    command
}

/// Runs one command and leaves out what is said about the connection.
fn once(address: SocketAddr, arguments: &[&str]) -> (String, String, i32) {
    finish(address, shell(address, arguments).output().unwrap())
}

fn finish(address: SocketAddr, output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let connected =
        "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:None path:null zxid: -1\n";
    let stdout = text(output.stdout).replacen(connected, "", 1);
    let stdout = stdout.replacen(&format!("Connecting to {address}\n"), "", 1);
    (stdout, text(output.stderr), output.status.code().unwrap())
}

#[test]
fn one_command_at_a_time() {
    let server = TestServer::start();
    let address = server.address();
    let quota = "absolute path is /zookeeper/quota/a/zookeeper_limits\n";
    for (arguments, stdout, stderr, code) in [
        (&["ls", "/"][..], "[zookeeper]\n", "", 0),
        (&["create", "/a", "1"], "", "Created /a\n", 0),
        (&["create", "/a", "2"], "", "Node already exists: /a\n", 1),
        (&["get", "/a"], "1\n", "", 0),
        (&["get", "-b", "/a"], "MQ==\n", "", 0),
        (&["set", "/a", "5"], "", "", 0),
        (&["set", "-v", "0", "/a", "6"], "", "version No is not valid : /a\n", 1),
        (&["set", "/a", "-b", "aGk="], "", "", 0),
        (&["get", "/a"], "hi\n", "", 0),
        (&["create", "-s", "/a/s-", "y"], "", "Created /a/s-0000000000\n", 0),
        (&["create", "-c", "/a/c"], "", "Created /a/c\n", 0),
        (&["create", "/x/y", ""], "", "Node does not exist: /x/y\n", 1),
        (&["ls", "-R", "/a"], "/a\n/a/c\n/a/s-0000000000\n", "", 0),
        (&["ls", "/nope"], "", "Node does not exist: /nope\n", 1),
        (&["ls", "nopath"], "", "Path must start with / character\n", 1),
        (&["ls", "/a/"], "", "Path must not end with / character\n", 1),
        (&["ls"], "", "ls [-s] [-w] [-R] path\n", 1),
        (
            &["ls", "-z", "/"],
            "",
            "org.apache.commons.cli.UnrecognizedOptionException: Unrecognized option: -z\n",
            1,
        ),
        (&["getAcl", "/a"], "'world,'anyone\n: cdrwa\n", "", 0),
        (&["setAcl", "/a", "world:anyone:cdrw"], "", "", 0),
        (&["getAcl", "/a"], "'world,'anyone\n: cdrw\n", "", 0),
        (
            &["setAcl", "/a", "bad"],
            "",
            "bad does not have the form scheme:id:perm\nAcl is not valid : null\n",
            1,
        ),
        (&["getAllChildrenNumber", "/a"], "2\n", "", 0),
        (&["getEphemerals"], "[]\n", "", 0),
        (&["sync", "/a"], "Sync is OK\n", "", 0),
        (&["whoami"], "Auth scheme: User\nip: 127.0.0.1\n", "", 0),
        (&["setquota", "-n", "5", "/a"], "", "", 0),
        (
            &["setquota", "-n", "5", "-b", "5", "/a"],
            "",
            "org.apache.commons.cli.AlreadySelectedException: The option 'b' was specified but an \
             option from this group has already been selected: 'n'\n",
            1,
        ),
        (
            &["listquota", "/a"],
            "Output quota for /a count=5,bytes=-1=;byteHardLimit=-1;countHardLimit=-1\n\
             Output stat for /a count=3,bytes=3\n",
            quota,
            0,
        ),
        (&["setquota", "-n", "5", "/a/c"], "", "/a/c has a parent /a which has a quota\n", 1),
        (&["delquota", "/a"], "", "", 0),
        (&["ls", "/zookeeper/quota"], "[]\n", "", 0),
        (&["delquota", "/a"], "Quota does not exist for /a\n", "", 0),
        (
            &["create", "-c", "-e", "/b"],
            "",
            "-c cannot be combined with -s or -e. Containers cannot be ephemeral or sequential.\n",
            1,
        ),
        (&["create", "-t", "x", "/b"], "", "-t argument must be a long value\n", 1),
        (&["create", "-t", "5", "/b"], "", "KeeperErrorCode = Unimplemented for /b\n", 1),
        (&["reconfig", "-add", "x"], "", "KeeperErrorCode = Reconfig is disabled\n", 1),
        (&["delete", "/"], "", "Arguments are not valid : /\n", 1),
        (&["delete", "/a"], "", "Node not empty: /a\n", 1),
        (&["deleteall", "/a"], "", "", 0),
        (&["ls", "/"], "[zookeeper]\n", "", 0),
    ] {
        let (out, err, got) = once(address, arguments);
        assert_eq!((out.as_str(), err.as_str(), got), (stdout, stderr, code), "{arguments:?}");
    }
    let (out, err, code) = once(address, &["help"]);
    assert_eq!((out.as_str(), code), ("", 127));
    assert!(err.starts_with("ZooKeeper -server host:port -client-configuration properties-file"));
    assert!(err.ends_with("\twhoami \nCommand not found: Command not found help\n"), "{err}");
    assert_eq!(err.lines().count(), 30);
    let (out, ..) = once(address, &["stat", "/zookeeper"]);
    assert!(out.starts_with("cZxid = 0x0\nctime = "), "{out}");
    assert!(out.ends_with("ephemeralOwner = 0x0\ndataLength = 0\nnumChildren = 2\n"), "{out}");
}

/// Feeds lines to an interactive shell.
fn session(address: SocketAddr, arguments: &[&str], lines: &str) -> (String, String, i32) {
    let mut command = shell(address, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    finish(address, child.wait_with_output().unwrap())
}

#[test]
fn a_session_with_watches_and_history() {
    let server = TestServer::start();
    let address = server.address();
    let (out, err, code) = session(
        address,
        &[],
        "create /a 'one two'\nget -w /a\nset /a 2\nsync /a\nget /a\n\nhistory\nredo 4\nredo 9\n\
         printwatches off\nprintwatches\nbogus\nls /nope\nquit\n",
    );
    let prompt = |n: usize| format!("[zk: {address}(CONNECTED) {n}] ");
    let event =
        "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:NodeDataChanged path:/a zxid: ";
    assert!(out.starts_with("Welcome to ZooKeeper!\nJLine support is enabled\n"), "{out}");
    assert!(out.contains(&format!("{}one two\n", prompt(1))), "{out}");
    assert_eq!(out.matches(event).count(), 1, "{out}");
    assert!(out.contains("0 - create /a 'one two'\n1 - get -w /a\n2 - set /a 2\n"), "{out}");
    assert!(out.contains(&format!("5 - history\n{}2\n{}", prompt(6), prompt(7))), "{out}");
    assert!(out.contains("printwatches is off\n"), "{out}");
    assert!(err.starts_with("Created /a\nCommand index out of range\nZooKeeper -server "), "{err}");
    assert!(err.ends_with("Node does not exist: /nope\n"), "{err}");
    assert_eq!(code, 1, "that of the last command");
    let (out, _, code) = session(address, &[], "close\nls /\nquit\n");
    assert!(out.contains(&format!("[zk: {address}(CLOSED) 1] Not connected\n")), "{out}");
    assert_eq!(code, 0);
}

#[test]
fn chroots_and_several_servers() {
    let server = TestServer::start();
    let address = server.address();
    assert_eq!(once(address, &["create", "/root", ""]).2, 0);
    // Nothing listens on port 1.
    let hosts = format!("127.0.0.1:1,{address}/root");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rookeeper"));
        command.args(["cli", "-server", &hosts, "-waitforconnection"]).args(arguments);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&["create", "/x", "1"]).1, "Created /x\n");
    assert!(run(&["ls", "/"]).0.ends_with("\n[x]\n"));
    assert_eq!(run(&["get", "/nope"]).1, "Node does not exist: /nope\n");
    assert_eq!(once(address, &["ls", "/root"]).0, "[x]\n");
}

/// A server that is down costs a request nothing while there is another one.
#[test]
fn the_next_server_without_being_asked_to_wait() {
    let server = TestServer::start();
    let address = server.address();
    let hosts = format!("127.0.0.1:1,{address}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookeeper"));
    let output = command.args(["cli", "-server", &hosts, "ls", "/"]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.ends_with("\n[zookeeper]\n"), "{out}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn options_of_the_session() {
    let server = TestServer::configured("4lw.commands.whitelist=*\n", "");
    let address = server.address();
    let (out, err, code) = once(address, &["-timeout", "x", "ls", "/"]);
    assert_eq!((out.as_str(), err.as_str(), code), ("", "For input string: \"x\"\n", 1));
    let (_, err, code) = once(address, &["-client-configuration", "/nope", "ls", "/"]);
    assert!(err.contains("Error while processing /nope\n/nope file is missing\n"), "{err}");
    assert_eq!(code, 2);
    let (_, err, code) = session(address, &["-server"], "");
    assert_eq!((err.as_str(), code), ("Error: no argument found for option -server\n", 0));
    // What is asked for is what the server grants.
    let mut command = shell(address, &["-timeout", "37000"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"sync /\n").unwrap();
    let mut seen = std::io::BufReader::new(child.stdout.as_mut().unwrap());
    let mut line = String::new();
    while !line.contains("Sync is OK") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut seen, &mut line).unwrap(), 0, "it ended");
    }
    let connections = server.word("cons");
    assert!(connections.contains(",to=37000,"), "{connections}");
    input.write_all(b"quit\n").unwrap();
    child.wait().unwrap();
}

#[test]
fn results_as_json() {
    let server = TestServer::start();
    let address = server.address();
    let json = |arguments: &[&str]| {
        let output = shell(address, &["--json"]).args(arguments).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(out.lines().count(), 1, "{out}");
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["exit"], output.status.code().unwrap(), "{out}");
        value
    };
    assert_eq!(json(&["create", "/j", "x"])["path"], "/j");
    assert_eq!(json(&["get", "-s", "/j"])["data"], "x");
    assert_eq!(json(&["get", "-s", "/j"])["stat"]["dataLength"], 1);
    assert_eq!(json(&["ls", "/"])["children"], serde_json::json!(["j", "zookeeper"]));
    let refused = json(&["get", "/nope"]);
    assert_eq!(refused["error"], "Node does not exist: /nope");
    assert_eq!(json(&["bogus"])["exit"], 127);
    let (out, _, _) = session(address, &["--json"], "get -w /j\nset /j y\nget /j\nquit\n");
    let lines: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["event"]["type"] == "NodeDataChanged"), "{out}");
    assert!(lines.iter().any(|line| line["data"] == "y"), "{out}");
}

/// Enough znodes for many batches; a batch of none deletes one by one.
#[test]
fn deleting_a_large_subtree() {
    let server = TestServer::start();
    let address = server.address();
    let mut lines = String::from("create /big\n");
    (0..2_000).for_each(|i| lines += &format!("create /big/n{i}\n"));
    lines += "deleteall /big -b 100\nls /\ncreate /two\ncreate /two/x\ndeleteall /two -b 0\nls /\n";
    let (out, err, code) = session(address, &[], &lines);
    assert_eq!((out.matches("[zookeeper]\n").count(), code), (2, 0), "{err}");
    assert_eq!(err.lines().count(), 2_003, "nothing but what was created");
    let (_, err, _) = session(address, &[], "create /x\ncreate /x/y\ndeleteall / -b 10\n");
    assert!(err.ends_with("Failed to delete some node(s) in the subtree!\n"), "{err}");
}

/// Several watches of one shell: each event once, and none of what it did not ask for.
#[test]
fn watches_of_another_session() {
    let server = TestServer::start();
    let address = server.address();
    assert_eq!(once(address, &["create", "/a", "1"]).2, 0);
    let mut command = shell(address, &[]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut seen = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut until = |wanted: &str| loop {
        let mut line = String::new();
        assert_ne!(std::io::BufRead::read_line(&mut seen, &mut line).unwrap(), 0, "no {wanted}");
        if line.contains(wanted) {
            return line;
        }
    };
    input.write_all(b"get -w /a\naddWatch -m PERSISTENT /a\nsync /a\n").unwrap();
    until("Sync is OK");
    assert_eq!(once(address, &["set", "/a", "2"]).2, 0);
    let event = until("WatchedEvent");
    let expected = "WatchedEvent state:SyncConnected type:NodeDataChanged path:/a zxid: ";
    assert!(event.starts_with(expected), "{event}");
    assert_eq!(once(address, &["set", "/a", "3"]).2, 0);
    assert!(until("WatchedEvent").starts_with(expected));
    input.write_all(b"removewatches /a\n").unwrap();
    until("type:PersistentWatchRemoved path:/a zxid: -1");
    input.write_all(b"close\n").unwrap();
    until("state:Closed type:None path:null zxid: -1");
    input.write_all(b"ls /\nquit\n").unwrap();
    until("Not connected");
    child.wait().unwrap();
}

/// A terminal, by way of `script(1)`: prompt, completion of commands and paths, history, and what is
/// typed ahead.
#[test]
fn at_a_terminal() {
    let server = TestServer::start();
    let address = server.address();
    let line =
        format!("{} cli -server {address} -waitforconnection", env!("CARGO_BIN_EXE_rookeeper"));
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script(1) of util-linux");
    let mut input = child.stdin.take().unwrap();
    let mut seen = child.stdout.take().unwrap();
    let (mut text, mut from) = (String::new(), 0);
    let mut until = |wanted: &str| {
        while !text[from..].contains(wanted) {
            let mut piece = [0; 4096];
            let n = std::io::Read::read(&mut seen, &mut piece).unwrap();
            assert_ne!(n, 0, "no {wanted} in {text}");
            text += &String::from_utf8_lossy(&piece[..n]);
        }
        from += text[from..].find(wanted).unwrap() + wanted.len();
    };
    until(&format!("[zk: {address}(CONNECTED) 0] "));
    input.write_all(b"cre\t").unwrap();
    until("create ");
    input.write_all(b"/tty 1\n").unwrap();
    until("Created /tty");
    until(&format!("[zk: {address}(CONNECTED) 1] "));
    input.write_all(b"ls /zoo\t").unwrap();
    until("ls /zookeeper");
    input.write_all(b"\nget /tty\nhistory\n").unwrap();
    until("[config, quota]");
    until("2 - get /tty");
    until(&format!("[zk: {address}(CONNECTED) 4] "));
    // Up three times.
    input.write_all(b"\x1b[A\x1b[A\x1b[A\n").unwrap();
    until("[config, quota]");
    input.write_all(b"quit\n").unwrap();
    until("state:Closed");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_server_that_is_not_there() {
    let address: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let (_, err, code) = once(address, &["ls", "/"]);
    assert_eq!((err.as_str(), code), ("KeeperErrorCode = ConnectionLoss for /\n", 1));
}

/// The properties of the client that say how it connects.
fn flagged(address: SocketAddr, flags: &str, arguments: &[&str]) -> Command {
    let mut command = shell(address, arguments);
    command.env("CLIENT_JVMFLAGS", flags);
    command
}

/// A server that takes one connection, with a session of this long.
fn greet(listener: &TcpListener, timeout_ms: i32) -> TcpStream {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    read_frame(&mut stream);
    let mut hello = [0; 41];
    hello[3] = 37;
    hello[8..12].copy_from_slice(&timeout_ms.to_be_bytes());
    hello[19] = 7;
    hello[23] = 16;
    stream.write_all(&hello).unwrap();
    stream
}

/// Xid and op code of the next request but pings.
fn read_frame(stream: &mut TcpStream) -> (i32, i32) {
    loop {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).unwrap();
        let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
        stream.read_exact(&mut frame).unwrap();
        let field = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
        if field(4) != op::PING {
            return (field(0), field(4));
        }
    }
}

#[test]
fn a_request_may_have_a_time_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let flags = "-Dzookeeper.request.timeout=50";
    // It runs from the moment a command is given, connected or not.
    let arguments = ["-waitforconnection", "get", "/a"];
    let child = flagged(address, flags, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    // There is a session for an hour, and never an answer.
    let mut stream = greet(&listener, 3_600_000);
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(err, "KeeperErrorCode = Unknown error REQUESTTIMEOUT for /a\n");
    assert_eq!(output.status.code(), Some(1));
    let mut rest = Vec::new();
    // The connection ends, in one way or the other.
    let _ = stream.read_to_end(&mut rest);
    let output = flagged(address, "-Dzookeeper.request.timeout=x", &["get", "/a"]).output();
    let output = output.unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("For input string: \"x\""), "{err}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn watches_may_be_left_behind_at_a_reconnect() {
    for (flags, next) in
        [("-Dzookeeper.disableAutoWatchReset=true", op::EXISTS), ("", op::SET_WATCHES2)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut child = flagged(address, flags, &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let mut stream = greet(&listener, 3_600_000);
        input.write_all(b"get -w /a\n").unwrap();
        let (xid, asked) = read_frame(&mut stream);
        assert_eq!(asked, op::GET_DATA);
        // No data and a Stat of zeros; the zxid is 1.
        let mut answer = vec![0; 4 + 16 + 4 + 68];
        answer[3] = 88;
        answer[4..8].copy_from_slice(&xid.to_be_bytes());
        answer[15] = 1;
        stream.write_all(&answer).unwrap();
        // It remembers the watch before it asks the next thing.
        input.write_all(b"stat /b\n").unwrap();
        assert_eq!(read_frame(&mut stream).1, op::EXISTS);
        drop(stream);
        let mut stream = greet(&listener, 3_600_000);
        input.write_all(b"stat /c\n").unwrap();
        assert_eq!(read_frame(&mut stream).1, next, "{flags}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn both_socket_classes_of_java_are_this_client() {
    let server = TestServer::start();
    let address = server.address();
    for (class, code) in [
        ("ClientCnxnSocketNIO", 0),
        ("org.apache.zookeeper.ClientCnxnSocketNIO", 0),
        ("ClientCnxnSocketNetty", 0),
        ("org.apache.zookeeper.ClientCnxnSocketNetty", 0),
        ("com.example.Mine", 1),
    ] {
        let flags = format!("-Dzookeeper.clientCnxnSocket={class}");
        let output = flagged(address, &flags, &["ls", "/"]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{class}");
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(err.contains("Couldn't instantiate com.example.Mine"), code == 1, "{err}");
    }
}
