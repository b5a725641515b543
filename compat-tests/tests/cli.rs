//! Two shells, Java's and ours, at the same servers: what scripts see must be the same text.
//!
//! Prompts cut the output into what each command printed. Taken out are the times, zxids and session
//! ids of stats, the release's own version text, and the order in which events, printed by another
//! thread, fall between the rest.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use compat_tests::server::{Kind, Server, TARGET, free_port, jars, rookeeper_binary, scratch};

/// Java's shell without its log.
fn java_shell(flags: &[&str]) -> Command {
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/images/rootfs/conf");
    let mut command = Command::new("java");
    command
        .env("LC_ALL", "C.UTF-8")
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.root.level=OFF"])
        .args(["-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8"])
        .args(flags)
        .args(["-cp", &format!("{conf}:{}/*", jars(TARGET).unwrap().display())])
        .arg("org.apache.zookeeper.ZooKeeperMain");
    command
}

fn our_shell() -> Command {
    let mut command = Command::new(rookeeper_binary().unwrap());
    command.arg("cli");
    command
}

fn shell(java: bool) -> Command {
    if java { java_shell(&[]) } else { our_shell() }
}

/// Runs a shell to its end with these lines as input.
fn run(mut command: Command, home: &Path, lines: &str) -> Output {
    let input = home.join("input.txt");
    fs::write(&input, lines).unwrap();
    let input = fs::File::open(input).unwrap();
    command.stdin(Stdio::from(input)).output().unwrap()
}

/// What a session printed.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Prompt (without the address) and what the command at it printed.
    steps: Vec<(String, String)>,
    events: Vec<String>,
    errors: Vec<String>,
    code: Option<i32>,
}

fn seen(output: &Output, address: &str) -> Seen {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    // An event is two prints of another thread: a prompt may come between them.
    let stdout = stdout.replace("\nWATCHER::\n", "");
    let mut events = Vec::new();
    let mut rest = stdout.as_str();
    let mut text = String::new();
    while let Some(at) = rest.find("\nWatchedEvent ") {
        let event = &rest[at + 1..];
        let end = event.find('\n').map_or(event.len(), |end| end + 1);
        let line = event[..end].trim_end();
        let zxid =
            if line.ends_with("zxid: -1") { line.len() } else { line.rfind("zxid: ").unwrap() };
        events.push(line[..zxid].to_owned());
        text += &rest[..at];
        rest = &event[end..];
    }
    text += rest;
    // Java prints the end of its session in a thread that its exit may overtake.
    if events.last().is_some_and(|event| event.contains("state:Closed")) {
        events.pop();
    }
    // Each session has its own thread for them: the end of one may be told after the next has begun.
    for told in events.chunk_by_mut(|a, b| [a, b].iter().all(|e| e.contains("type:None"))) {
        told.sort_unstable();
    }
    // Watches that one command removes come in the order of Java's identity hashes.
    for removed in events.chunk_by_mut(|a, b| [a, b].iter().all(|e| e.contains("WatchRemoved"))) {
        removed.sort_unstable();
    }
    let prompt = format!("[zk: {address}(");
    let mut steps = Vec::new();
    for (index, piece) in text.split(&prompt).enumerate() {
        let (state, printed) = match index {
            0 => ("", piece),
            _ => piece.split_once("] ").unwrap(),
        };
        // Whether a new session is there when the next prompt comes is a matter of luck.
        let state = state.replace("CONNECTING", "CONNECTED");
        let printed: Vec<String> =
            printed.replace(address, "SERVER").split('\n').map(tidy).collect();
        steps.push((state, printed.join("\n")));
    }
    let errors = String::from_utf8_lossy(&output.stderr).replace(address, "SERVER");
    let noise = ["org.jline.utils.Log", "WARNING: Unable to create a system terminal"];
    let errors = errors.lines().filter(|line| !noise.iter().any(|n| line.contains(n)));
    Seen { steps, events, errors: errors.map(str::to_owned).collect(), code: output.status.code() }
}

/// Takes out of a line what no two runs have in common.
fn tidy(line: &str) -> String {
    if let Some((name, value)) = line.split_once(" = ") {
        if ["cZxid", "mZxid", "pZxid", "ctime", "mtime"].contains(&name) {
            let date = value.ends_with(" UTC 2026") || value.split(' ').count() == 6;
            assert!(if name.ends_with("time") { date } else { value.starts_with("0x") }, "{line}");
            return format!("{name} = *");
        }
        if name == "ephemeralOwner" && value != "0x0" {
            return format!("{name} = a session");
        }
    }
    // Java's hash tables have their own order.
    if line.starts_with("[/") {
        let mut paths: Vec<&str> = line.trim_matches(['[', ']']).split(", ").collect();
        paths.sort_unstable();
        return format!("[{}]", paths.join(", "));
    }
    match line.strip_prefix("ZooKeeper CLI version: ") {
        Some(version) => {
            assert!(version.starts_with("3.9.5-") && version.contains(", built on "), "{line}");
            "ZooKeeper CLI version: *".to_owned()
        }
        None => line.to_owned(),
    }
}

fn assert_same(java: &Seen, ours: &Seen, about: &str) {
    for (java, ours) in java.steps.iter().zip(&ours.steps) {
        assert_eq!(java, ours, "{about}");
    }
    for (java, ours) in java.errors.iter().zip(&ours.errors) {
        assert_eq!(java, ours, "{about}: stderr");
    }
    assert_eq!(java.events, ours.events, "{about}: events");
    assert_eq!(java, ours, "{about}");
}

fn server(kind: Kind, home: &Path) -> Server {
    let mut server = Server::new(kind, home).unwrap().set("4lw.commands.whitelist", "*");
    server.start().unwrap();
    server
}

/// Every command with every option and error, one after the other in one shell.
fn every_command(kind: Kind) {
    let home = scratch("cli").unwrap();
    let lines = include_str!("../clients/cli/shell.txt");
    let [java, ours] = [true, false].map(|java| {
        let server = server(kind, &home.path().join(format!("{kind}-{java}")));
        let address = server.address().to_string();
        let mut command = shell(java);
        command.args(["-server", &address]);
        seen(&run(command, home.path(), lines), &address)
    });
    assert!(java.steps.len() > 200, "Java's shell gave up: {java:?}");
    assert_same(&java, &ours, &kind.to_string());
}

#[test]
fn every_command_at_our_server() {
    every_command(Kind::Rookeeper);
}

#[test]
fn every_command_at_a_java_server() {
    every_command(Kind::Java(TARGET));
}

/// One command per process: what it prints, and its exit code. Where Java ends with a stack trace,
/// ours says the message of the exception.
#[test]
fn one_command_and_its_exit_code() {
    let home = scratch("cli-once").unwrap();
    let server = server(Kind::Rookeeper, home.path());
    let address = server.address().to_string();
    let nobody = format!("127.0.0.1:{}", free_port());
    let properties = home.path().join("client.properties");
    fs::write(&properties, "zookeeper.client.secure=false\n").unwrap();
    let properties = properties.display().to_string();
    let cases: &[(&str, &[&str], i32)] = &[
        (&address, &["ls", "/"], 0),
        (&address, &["ls", "/nope"], 1),
        (&address, &["create", "/x/y"], 1),
        (&address, &["-client-configuration", &properties, "get", "-s", "/"], 0),
        (&address, &["-client-configuration", "/nope", "ls", "/"], 2),
        (&address, &["-timeout", "x", "ls", "/"], 1),
        (&address, &["bogus"], 127),
        (&address, &["-nonsense", "get"], 1),
        (&address, &["history"], 0),
        (&address, &["delete", "-v", "x", "/a"], 1),
        (&nobody, &["-timeout", "2000", "-waitforconnection", "ls", "/"], 1),
        (&nobody, &["ls", "/"], 1),
    ];
    for (address, arguments, code) in cases {
        let [java, ours] = [true, false].map(|java| {
            let mut command = shell(java);
            command.args(["-server", address]).args(*arguments);
            let mut seen = seen(&run(command, home.path(), ""), address);
            // Whether the session was there in time to be told.
            seen.events.clear();
            seen.errors.retain(|line| !line.starts_with("\tat ") && !line.starts_with("\t... "));
            if java && seen.errors.iter().any(|line| line.contains("Exception")) {
                let first = seen.errors[0].clone();
                let message = first.rsplit_once("Exception: ").map(|(_, message)| message);
                seen.errors = vec![message.unwrap_or(&first).to_owned()];
            } else if seen.errors.first().is_some_and(|line| line.contains("ConfigException")) {
                let first = seen.errors[0].clone();
                seen.errors = vec![first.split_once(": ").unwrap().1.to_owned()];
            }
            seen
        });
        assert_same(&java, &ours, &format!("{arguments:?}"));
        assert_eq!(ours.code, Some(*code), "{arguments:?}");
    }
}

/// Reconfigurations of an ensemble of one, through both shells.
#[test]
fn reconfigurations() {
    let home = scratch("cli-reconfig").unwrap();
    let [java, ours] = [true, false].map(|java| {
        let home = home.path().join(java.to_string());
        let (quorum, election) = (free_port(), free_port());
        let own = format!("127.0.0.1:{quorum}:{election}:participant");
        let mut server = Server::new(Kind::Java(TARGET), &home)
            .unwrap()
            .set("initLimit", 5)
            .set("syncLimit", 5)
            .set("reconfigEnabled", true)
            .set("skipACL", "yes")
            .set("standaloneEnabled", false)
            .set("server.1", &own);
        fs::write(server.data_dir().join("myid"), "1").unwrap();
        server.start().unwrap();
        let client = format!(";127.0.0.1:{}", server.address().port());
        let members = home.join("members.cfg");
        fs::write(&members, format!("server.1={own}{client}\nserver.3=127.0.0.1:4:5:observer;6\n"))
            .unwrap();
        let bad = home.join("bad.cfg");
        fs::write(&bad, "server.1=127.0.0.1:1:2\ntickTime=7\n").unwrap();
        let lines = [
            "config".to_owned(),
            "config -c".to_owned(),
            "config -w -s".to_owned(),
            "reconfig -add server.2=LocalHost:11:12:observer;13".to_owned(),
            "reconfig -s -add 2=127.0.0.1:21:22:observer;23".to_owned(),
            "reconfig -s -add server.2=127.0.0.1:21:22:observer;23".to_owned(),
            "config -c".to_owned(),
            "reconfig -v 7 -remove 2".to_owned(),
            "reconfig -remove 2".to_owned(),
            "reconfig -remove 9".to_owned(),
            format!("reconfig -members server.1={own}{client},server.4=127.0.0.1:7:8:observer;9"),
            format!("reconfig -file {}", members.display()),
            format!("reconfig -file {}", bad.display()),
            "reconfig -remove 1".to_owned(),
            "config".to_owned(),
            "quit".to_owned(),
        ];
        let address = server.address().to_string();
        let mut command = shell(java);
        command.args(["-server", &address]);
        let output = run(command, &home, &format!("{}\n", lines.join("\n")));
        let mut seen = seen(&output, &address);
        // Ports are those of this server, versions count its zxids.
        for text in seen.steps.iter_mut().map(|step| &mut step.1).chain(&mut seen.errors) {
            *text = text.replace(&own, "OWN").replace(&client, ";CLIENT");
            *text = text.replace(&home.display().to_string(), "HOME");
            // The addresses of clients come in the order of a hash table.
            if let Some((version, addresses)) = text.trim_end().split_once(' ')
                && !addresses.contains('=')
                && !version.is_empty()
                && version.bytes().all(|b| b.is_ascii_hexdigit())
            {
                let mut addresses: Vec<&str> = addresses.split(',').collect();
                addresses.sort_unstable();
                *text = format!("{version} {}", addresses.join(","));
            }
        }
        seen
    });
    assert!(java.steps.iter().any(|(_, text)| text.starts_with("Committed new")), "{java:?}");
    assert_same(&java, &ours, "reconfig");
}

/// A server without its quorum serves those who asked for read-only.
#[test]
fn a_read_only_server() {
    let home = scratch("cli-readonly").unwrap();
    let mut server = Server::new(Kind::Java(TARGET), home.path())
        .unwrap()
        .jvm_flag("-Dreadonlymode.enabled=true")
        // Only a session of its own can begin there.
        .set("localSessionsEnabled", true)
        .set("initLimit", 5)
        .set("syncLimit", 2);
    for sid in 1..=3 {
        let members = format!("127.0.0.1:{}:{}", free_port(), free_port());
        server = server.set(&format!("server.{sid}"), members);
    }
    fs::write(server.data_dir().join("myid"), "1").unwrap();
    server.start().unwrap();
    let address = server.address().to_string();
    let [java, ours] = [true, false].map(|java| {
        let mut command = shell(java);
        command.args(["-server", &address, "-timeout", "20000", "-r"]);
        let lines = "get -s /\nls /zookeeper\ncreate /x 1\nset /zookeeper 1\nquit\n";
        let output = run(command, home.path(), lines);
        let mut seen = seen(&output, &address);
        seen.steps.iter_mut().for_each(|step| step.0 = step.0.replace("READONLY", ""));
        seen
    });
    assert!(ours.errors.contains(&"Not a read-only call: /x".to_owned()), "{ours:?}");
    assert_same(&java, &ours, "read-only");
}
