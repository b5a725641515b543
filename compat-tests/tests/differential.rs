//! Random operations in lockstep: Java against Java proves the method, Java against ours is the
//! test. `COMPAT_SEED` and `COMPAT_OPS` choose another program and another length.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::path::Path;

use compat_tests::diff::{Lockstep, Profile};
use compat_tests::random::Random;
use compat_tests::server::{Kind, Server, TARGET, scratch};

/// What each run is about, and settings that both servers get.
const RUNS: [(Profile, &[(&str, &str)]); 8] = [
    (Profile::General, &[]),
    (Profile::Watches, &[]),
    (Profile::Multi, &[("closeSessionTxn.enabled", "false")]),
    (Profile::Sessions, &[("digest.enabled", "false")]),
    (Profile::Garbage, &[]),
    (Profile::Quota, &[("enforceQuota", "true")]),
    (Profile::Acl, &[]),
    (Profile::General, &[("skipACL", "yes"), ("extendedTypesEnabled", "false")]),
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn server(kind: Kind, home: &Path, settings: &[(&str, &str)]) -> Server {
    let mut server = Server::new(kind, home)
        .unwrap()
        .set("maxClientCnxns", 0)
        .set("forceSync", "no")
        // No session may expire by itself: when it does is a matter of milliseconds.
        .set("minSessionTimeout", 300_000)
        .set("maxSessionTimeout", 600_000)
        .jvm_flag("-Dznode.container.checkIntervalMs=100000000")
        .set("DigestAuthenticationProvider.superDigest", "super:0bX78nEegDzJM3ju0iLBEJdWzjg=");
    for (key, value) in settings {
        server = server.set(key, value);
    }
    server
}

fn start(servers: [&mut Server; 2]) {
    std::thread::scope(|scope| {
        for server in servers {
            scope.spawn(|| server.start().unwrap());
        }
    });
}

/// Does all runs, each with a crash of both servers in the middle; returns every report with a
/// difference as text.
fn compare(subject: Kind, first_seed: u64, operations: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut done = 0;
    let mut seeds = Random::new(first_seed);
    let share = operations.div_ceil(RUNS.len());
    for (profile, settings) in RUNS {
        let seed = seeds.bits() % 1_000_000_007;
        let (a, b) = (scratch("reference").unwrap(), scratch("subject").unwrap());
        let mut reference = server(Kind::Java(TARGET), a.path(), settings);
        let mut other = server(subject, b.path(), settings);
        start([&mut reference, &mut other]);
        let mut run = Lockstep::new(reference.address(), other.address(), seed, profile);
        run.go_on(share / 2).unwrap();
        if run.report.difference.is_none() {
            reference.kill_9().unwrap();
            other.kill_9().unwrap();
            start([&mut reference, &mut other]);
            run.servers_restarted();
            run.go_on(share - share / 2).unwrap();
        }
        let report = run.report;
        done += report.operations;
        println!(
            "{subject} {profile:?} {settings:?} seed {seed}: {} operations, {} errors, {} events, {}",
            report.operations,
            report.errors,
            report.events,
            if report.difference.is_some() { "A DIFFERENCE" } else { "equal" }
        );
        if let Some(difference) = report.difference {
            found.push(format!("{subject} {profile:?} {settings:?} seed {seed}: {difference}"));
        }
    }
    println!("{subject}: {done} operations");
    found
}

#[test]
fn java_does_not_differ_from_java() {
    let found = compare(Kind::Java(TARGET), number("COMPAT_SEED", 1), 3_200);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn ours_does_not_differ_from_java() {
    let operations = number("COMPAT_OPS", 24_000) as usize;
    let found = compare(Kind::Rookeeper, number("COMPAT_SEED", 1), operations);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
