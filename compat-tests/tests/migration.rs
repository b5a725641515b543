//! The migration rehearsal: three Java servers are replaced by ours one at a time on the same
//! directories, and by Java again, while applications of the Java client and of kazoo write, hold
//! ephemerals and locks, and watch. See `docs/migration.md`.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::process::Command;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::ensemble::{Ensemble, Part, set_data};
use compat_tests::program::transcript;
use compat_tests::server::{Kind, TARGET, cache_dir, jars};
use crossbeam_channel::{Receiver, Sender, bounded};

/// What each application must say at its end.
const VERDICT: &str = "lost=0 expired=0 ephemeral=true lock=true last-event=true";

fn java(address: &str) -> Result<Command> {
    let classes = cache_dir().join("clients/java");
    let logs = concat!(env!("CARGO_MANIFEST_DIR"), "/images/rootfs/conf");
    let mut command = Command::new("java");
    command.arg("-XX:TieredStopAtLevel=1").arg("-Dzookeeper.root.level=OFF").arg("-cp");
    command.arg(format!("{}:{logs}:{}/*", classes.display(), jars(TARGET)?.display()));
    command.args(["Migrant", address]);
    Ok(command)
}

fn kazoo(address: &str) -> Command {
    let mut command = Command::new(cache_dir().join("clients/python/bin/python"));
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/migrant.py")).arg(address);
    command
}

/// Runs an application: says when it is at work, waits until it may end.
fn application(
    command: Command,
    ready: Sender<()>,
    done: Receiver<()>,
) -> thread::JoinHandle<Result<Vec<String>>> {
    thread::spawn(move || {
        transcript(command, "", || {
            ready.send(())?;
            done.recv().context("the migration failed")
        })
    })
}

/// Followers first, the leader last, as an operator does.
fn replace_all(all: &mut Ensemble, kind: Kind) -> Result<()> {
    let leader = all.await_leader(&[1, 2, 3])?;
    let order: Vec<usize> = all.sids().filter(|s| *s != leader).chain([leader]).collect();
    for sid in order {
        let begun = Instant::now();
        all.server(sid).stop()?;
        all.server(sid).become_kind(kind);
        all.start(&[sid])?;
        let leader = all.await_leader(&[1, 2, 3])?;
        println!("server {sid} is {kind}, {leader} leads, {} ms", begun.elapsed().as_millis());
    }
    Ok(())
}

fn migrate(all: &mut Ensemble) -> Result<()> {
    replace_all(all, Kind::Rookeeper)?;
    replace_all(all, Kind::Java(TARGET))?;
    let mut session = all.session(1)?;
    for name in ["java", "kazoo"] {
        ensure!(set_data(&mut session, &format!("/{name}-watched"), b"last")? == 0);
    }
    Ok(())
}

fn rehearse() -> Result<()> {
    let member = (Kind::Java(TARGET), Part::Participant);
    let mut all = Ensemble::new("migration", &[member; 3], &[], &[])?;
    all.start(&[1, 2, 3])?;
    all.await_leader(&[1, 2, 3])?;
    let (ready, is_ready) = bounded(2);
    let (end, may_end) = bounded(2);
    let address = all.connect_string();
    let applications = [
        application(java(&address)?, ready.clone(), may_end.clone()),
        application(kazoo(&address), ready, may_end),
    ];
    let result = (|| {
        for _ in 0..2 {
            is_ready.recv().context("an application ended before it was at work")?;
        }
        migrate(&mut all)
    })();
    if result.is_ok() {
        end.send(())?;
        end.send(())?;
    }
    drop(end);
    drop(is_ready);
    let mut failures = Vec::new();
    for application in applications {
        match application.join() {
            Ok(Ok(lines)) => {
                println!("{}", lines[1..].join("\n"));
                // "@restart", the verdict, the counts; anything else is a client that gave up.
                if lines.len() != 3 || lines[1] != VERDICT {
                    failures.push(lines.join("\n"));
                }
            }
            Ok(Err(error)) => failures.push(format!("{error:#}")),
            Err(_) => failures.push("an application's thread panicked".to_owned()),
        }
    }
    result?;
    if !failures.is_empty() {
        bail!("{}\n{}", failures.join("\n"), all.logs());
    }
    all.assert_same(&[1, 2, 3])
}

#[test]
fn java_to_ours_and_back() {
    let times = std::env::var("COMPAT_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(1);
    for time in 1..=times {
        rehearse().unwrap();
        println!("rehearsal {time} of {times}: nothing lost, nothing expired");
    }
}
