//! Everyday scenarios of unmodified clients: the same program against Java and against ours must
//! print the same lines. Each has a crash of the server in the middle.

use std::process::Command;

use compat_tests::program::{differences, transcript};
use compat_tests::server::{Kind, Server, TARGET, cache_dir, jars, scratch, subject};

fn server(kind: Kind, home: &std::path::Path) -> Server {
    let mut server = Server::new(kind, home).unwrap().set("4lw.commands.whitelist", "*");
    server.start().unwrap();
    server
}

/// Runs what `command` makes for an address against both kinds and compares.
fn same(name: &str, input: &str, lines_min: usize, command: impl Fn(&str) -> Command + Sync) {
    let run = |kind| {
        let home = scratch(name).unwrap();
        let mut server = server(kind, home.path());
        let command = command(&server.address().to_string());
        let lines = transcript(command, input, || {
            server.kill_9()?;
            server.start()
        });
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
    same("java", "", 120, |address| {
        let cache = cache_dir();
        let classes = cache.join("clients/java");
        let jars = jars(TARGET).unwrap();
        let mut command = Command::new("java");
        command.arg("-XX:TieredStopAtLevel=1").arg("-Dzookeeper.root.level=OFF").arg("-cp");
        command.arg(format!("{}:{}:{}/*", classes.display(), log_config(), jars.display()));
        command.args(["Scenario", address]);
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

fn log_config() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/images/root/conf")
}
