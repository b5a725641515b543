//! Everyday scenarios of unmodified clients: the same program against Java and against ours must
//! print the same lines. Each has a crash of the server in the middle.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::process::Command;

use compat_tests::program::{differences, transcript};
use compat_tests::proxy::Door;
use compat_tests::server::{Kind, Server, TARGET, cache_dir, jars, scratch, subject};

fn server(kind: Kind, home: &std::path::Path) -> Server {
    let mut server = Server::new(kind, home).unwrap().set("4lw.commands.whitelist", "*");
    server.start().unwrap();
    server
}

/// Runs what `command` makes for an address against both kinds and compares.
fn same(name: &str, input: &str, lines_min: usize, command: impl Fn(&str) -> Command + Sync) {
    same_after(name, input, lines_min, command, |lines| lines);
}

/// Like [`same`] for programs that print what cannot be equal: `tidy` takes it out.
fn same_after(
    name: &str,
    input: &str,
    lines_min: usize,
    command: impl Fn(&str) -> Command + Sync,
    tidy: impl Fn(Vec<String>) -> Vec<String>,
) {
    let run = |kind| {
        let home = scratch(name).unwrap();
        let mut server = server(kind, home.path());
        let door = Door::new(server.address()).unwrap();
        let command = command(&door.address().to_string());
        let lines = transcript(command, input, || door.restart(&mut server, |_| ()));
        lines.unwrap_or_else(|error| {
            panic!("{name} against {kind}: {error:#}\nserver:\n{}", server.log())
        })
    };
    let (expected, actual) = std::thread::scope(|scope| {
        let expected = scope.spawn(|| run(Kind::Java(TARGET)));
        let actual = scope.spawn(|| run(subject()));
        (expected.join(), actual.join())
    });
    let (Ok(expected), Ok(actual)) = (expected, actual) else { panic!("{name} failed") };
    let (expected, actual) = (tidy(expected), tidy(actual));
    assert!(
        expected.len() >= lines_min,
        "{name} printed only {} lines:\n{}",
        expected.len(),
        expected.join("\n")
    );
    let found = differences(&expected, &actual);
    assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
    println!("{name}: {} equal lines", expected.len());
}

#[test]
fn java_client() {
    same("java", "", 120, java_program);
}

/// The Java client again, but at the crash the other program takes over the directory: the client's
/// sessions, ephemerals and watches go on there.
#[test]
fn java_client_across_a_swap_of_servers() {
    let run = |first: Kind, second: Kind| {
        let home = scratch("swap").unwrap();
        let mut server = server(first, home.path());
        let door = Door::new(server.address()).unwrap();
        let lines = transcript(java_program(&door.address().to_string()), "", || {
            door.restart(&mut server, |server| server.become_kind(second))
        });
        lines.unwrap_or_else(|error| {
            panic!("from {first} to {second}: {error:#}\nserver:\n{}", server.log())
        })
    };
    let there = run(Kind::Java(TARGET), subject());
    let back = run(subject(), Kind::Java(TARGET));
    let found = differences(&there, &back);
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(there.last().map(String::as_str), Some("done"));
}

fn java_program(address: &str) -> Command {
    let classes = cache_dir().join("clients/java");
    let jars = jars(TARGET).unwrap();
    let mut command = Command::new("java");
    command.arg("-XX:TieredStopAtLevel=1").arg("-Dzookeeper.root.level=OFF").arg("-cp");
    command.arg(format!("{}:{}:{}/*", classes.display(), log_config(), jars.display()));
    command.args(["Scenario", address]);
    command
}

#[test]
fn curator_recipes() {
    same("curator", "", 25, |address| {
        let classes = cache_dir().join("clients/curator");
        let jars = jars(TARGET).unwrap();
        let mut command = Command::new("java");
        command.arg("-XX:TieredStopAtLevel=1").arg("-Dzookeeper.root.level=OFF").arg("-cp");
        let (classes, jars) = (classes.display(), jars.display());
        command.arg(format!("{classes}:{}:{classes}/jars/*:{jars}/*", log_config()));
        command.args(["Recipes", address]);
        command
    });
}

#[test]
fn kazoo() {
    same("kazoo", "", 60, |address| {
        let clients = cache_dir().join("clients/python");
        let mut command = Command::new(clients.join("bin/python"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/scenario.py");
        command.args([script, address]);
        command
    });
}

#[test]
fn go_client() {
    same("go", "", 50, |address| {
        let mut command = Command::new(cache_dir().join("clients/go/scenario"));
        command.arg(address);
        command
    });
}

#[test]
fn c_client() {
    same("c", "", 50, |address| {
        let mut command = Command::new(cache_dir().join("clients/c/scenario"));
        command.arg(address);
        command
    });
}

#[test]
fn zk_cli() {
    let commands = include_str!("../clients/cli/commands.txt");
    same_after(
        "zkCli",
        commands,
        150,
        |address| {
            let jars = jars(TARGET).unwrap();
            let mut command = Command::new("sh");
            // Errors go to stderr: in one stream with the rest their order is compared too.
            command.arg("-c").arg(format!(
                "exec java -XX:TieredStopAtLevel=1 -Dzookeeper.root.level=OFF -cp '{}:{}/*' \
                 org.apache.zookeeper.ZooKeeperMain -server {address} 2>&1",
                log_config(),
                jars.display()
            ));
            command
        },
        tidy_shell,
    );
}

/// Takes out prompts, times and session ids, and puts the events behind the rest: they are
/// printed by another thread.
fn tidy_shell(lines: Vec<String>) -> Vec<String> {
    let mut out = Vec::new();
    let mut events = Vec::new();
    for line in lines {
        // The last prompt of a line has lost its space.
        let line = line + " ";
        let mut rest = line.as_str();
        while let Some(start) = rest.find("[zk: ") {
            let Some(end) = rest[start..].find("] ").map(|end| start + end + 2) else { break };
            if start > 0 {
                out.push(rest[..start].to_owned());
            }
            rest = &rest[end..];
        }
        let rest = rest.trim_end();
        if let Some(at) = rest.find("WatchedEvent ") {
            events.push(rest[at..].to_owned());
            continue;
        }
        let skipped = ["ctime = ", "mtime = ", "WATCHER::", "Connecting to ", "WARNING: Unable"];
        if rest.contains("org.jline.utils.Log ") {
            continue;
        }
        if rest.is_empty() || skipped.iter().any(|prefix| rest.starts_with(prefix)) {
            continue;
        }
        match rest.strip_prefix("ephemeralOwner = ") {
            Some(owner) if owner != "0x0" => out.push("ephemeralOwner = a session".to_owned()),
            _ => out.push(rest.to_owned()),
        }
    }
    out.retain(|line| !line.starts_with("WATCHER::"));
    // The identities of `whoami`: Java keeps them in a hash set.
    let identity = |line: &String| line.starts_with("ip: ") || line.starts_with("digest: ");
    let first = out.iter().position(identity).unwrap_or(0);
    let last = out.iter().rposition(identity).unwrap_or(0);
    out[first..=last].sort();
    events.retain(|event| !event.contains("type:None"));
    out.extend(events);
    out
}

fn log_config() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/images/rootfs/conf")
}
