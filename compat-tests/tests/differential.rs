//! Random operations in lockstep: Java against Java proves the method, Java against ours is the
//! test. `COMPAT_SEED` and `COMPAT_OPS` choose another program and another length.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#![allow(clippy::unwrap_used)]

use compat_tests::diff::{Profile, lockstep};
use compat_tests::random::Random;
use compat_tests::server::{Kind, Server, TARGET, scratch};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

fn server(kind: Kind, home: &std::path::Path, profile: Profile) -> Server {
    let server = Server::new(kind, home)
        .unwrap()
        .set("maxClientCnxns", 0)
        .set("forceSync", "no")
        .set("snapCount", 2000)
        .set("znode.container.checkIntervalMs", 100_000_000)
        .set("DigestAuthenticationProvider.superDigest", "super:0bX78nEegDzJM3ju0iLBEJdWzjg=");
    if profile == Profile::Quota { server.set("enforceQuota", "true") } else { server }
}

/// Runs all profiles; returns every report with a difference as text.
fn compare(subject: Kind, first_seed: u64, operations: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut done = 0;
    let mut seeds = Random::new(first_seed);
    let share = operations.div_ceil(Profile::ALL.len());
    for profile in Profile::ALL {
        let seed = seeds.bits() % 1_000_000_007;
        let (a, b) = (scratch("reference").unwrap(), scratch("subject").unwrap());
        let mut reference = server(Kind::Java(TARGET), a.path(), profile);
        let mut other = server(subject, b.path(), profile);
        reference.start().unwrap();
        other.start().unwrap();
        let report = lockstep(reference.address(), other.address(), seed, profile, share).unwrap();
        done += report.operations;
        println!(
            "{subject} {profile:?} seed {seed}: {} operations, {} errors, {} events, {}",
            report.operations,
            report.errors,
            report.events,
            if report.difference.is_some() { "A DIFFERENCE" } else { "equal" }
        );
        if let Some(difference) = report.difference {
            found.push(format!("{subject} {profile:?} seed {seed}: {difference}"));
        }
    }
    println!("{subject}: {done} operations");
    found
}

#[test]
fn java_does_not_differ_from_java() {
    let found = compare(Kind::Java(TARGET), number("COMPAT_SEED", 1), 3_500);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn ours_does_not_differ_from_java() {
    let operations = number("COMPAT_OPS", 24_500) as usize;
    let found = compare(Kind::Rookeeper, number("COMPAT_SEED", 1), operations);
    assert!(found.is_empty(), "{}", found.join("\n"));
}
