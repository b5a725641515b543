//! How a learner catches up, in both directions between Java and ours: DIFF from memory, DIFF from
//! disk, TRUNC, SNAP. Which of them it was is read in the Java server's log. 3.9.5 by default, all
//! releases if `COMPAT_MATRIX=full`.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use compat_tests::ensemble::{Ensemble, Part, close, exists, releases};
use compat_tests::server::{Kind, RELEASES, TARGET};
use compat_tests::wire::{Session, create_body};
use jute::proto::op;

/// Small log files, so that a DIFF from disk is cheaper than a snapshot also for Java.
const SMALL_LOGS: &str = "-Dzookeeper.preAllocSize=16";

/// Three voters. Server 3 is of kind `odd`; the others are of kind `rest`.
fn three(name: &str, rest: Kind, odd: Kind) -> Result<Ensemble> {
    let p = Part::Participant;
    Ensemble::new(name, &[(rest, p), (rest, p), (odd, p)], &[], &[SMALL_LOGS])
}

/// Creates znodes `path0`... with that much data, pipelined.
fn fill(session: &mut Session, path: &str, count: usize, bytes: usize) -> Result<()> {
    let data = vec![b'd'; bytes];
    for first in (0..count).step_by(50) {
        let batch = first..count.min(first + 50);
        for n in batch.clone() {
            session.post(op::CREATE, &create_body(&format!("{path}{n}"), &data, 0))?;
        }
        for n in batch {
            let reply = session.reply()?;
            ensure!(reply.header.err == 0, "create {path}{n}: {}", reply.header.err);
        }
    }
    Ok(())
}

/// Part of a Java log that says how the last learner was synced. As leader and as learner.
fn said(all: &mut Ensemble, sids: &[usize], words: &[&str]) -> Result<()> {
    // The engine collects what a container writes, in its own time.
    all.until(&format!("a log has one of {words:?}"), |all| {
        let log: String = sids.iter().map(|sid| all.server(*sid).log()).collect();
        Ok(words.iter().any(|word| log.contains(word)))
    })
}

/// Server 3 is away while the others go on: a little (DIFF), a lot (DIFF from disk), then with an
/// empty directory (SNAP).
fn behind(rest: Kind, odd: Kind) -> Result<()> {
    let begun = Instant::now();
    let mut all = three("behind", rest, odd)?;
    all.start(&[1, 2])?;
    let leader = all.await_leader(&[1, 2])?;
    let mut writer = all.session(leader)?;
    // Enough for the budget of a DIFF from disk: a third of the snapshot the next leader takes.
    fill(&mut writer, "/base", 300, 6000)?;
    all.start(&[3])?;
    all.assert_same(&[1, 2, 3])?;

    all.server(3).kill_9()?;
    fill(&mut writer, "/diff", 100, 10)?;
    all.start(&[3])?;
    all.assert_same(&[1, 2, 3])?;
    said(&mut all, &[leader, 3], &["Sending DIFF", "Getting a diff from the leader"])?;

    // Both start again, so that the leader's snapshot and log are new.
    all.server(3).kill_9()?;
    drop(writer);
    all.server(1).stop()?;
    all.server(2).stop()?;
    all.start(&[1, 2])?;
    let leader = all.await_leader(&[1, 2])?;
    let mut writer = all.session(leader)?;
    fill(&mut writer, "/disk", 800, 10)?;
    let snapshot = "Getting a snapshot from leader";
    let snapshots = |all: &mut Ensemble| all.server(3).log().matches(snapshot).count();
    let before = snapshots(&mut all);
    all.start(&[3])?;
    all.assert_same(&[1, 2, 3])?;
    ensure!(snapshots(&mut all) == before, "a SNAP instead of a DIFF\n{}", all.logs());
    if rest != Kind::Rookeeper {
        said(&mut all, &[leader], &["Use txnlog and committedLog for peer sid"])?;
    }

    all.server(3).kill_9()?;
    fs::remove_dir_all(all.server(3).data_dir().join("version-2"))?;
    all.start(&[3])?;
    all.assert_same(&[1, 2, 3])?;
    said(&mut all, &[leader, 3], &["Sending SNAP", "Sending snapshot", snapshot])?;

    // What it got is complete: it restores the same by itself, and can lead.
    all.server(3).stop()?;
    all.start(&[3])?;
    all.server(leader).kill_9()?;
    let other = 3 - leader;
    let new = all.await_leader(&[other, 3])?;
    ensure!(new == 3, "server {new} leads: server 3 has the larger sid and all there is");
    all.assert_same(&[other, 3])?;
    println!("{odd} behind {rest}: ok, {} s", begun.elapsed().as_secs());
    Ok(())
}

/// Server 3 leads, logs what no other has, and dies. The others go on; it must forget.
fn ahead(rest: Kind, odd: Kind) -> Result<()> {
    let begun = Instant::now();
    let mut all = three("ahead", rest, odd)?;
    all.start(&[2, 3])?;
    all.await_mode(3, "leader")?;
    all.start(&[1])?;
    let mut writer = all.session(3)?;
    fill(&mut writer, "/kept", 20, 10)?;
    all.assert_same(&[1, 2, 3])?;
    all.server(1).pause(true)?;
    all.server(2).pause(true)?;
    writer.post(op::CREATE, &create_body("/never-committed", b"nobody-acked-this", 0))?;
    let logs = all.server(3).data_dir().join("version-2");
    all.until("the leader has logged it", |_| contains(&logs, b"nobody-acked-this"))?;
    // What waits in the sockets of the stopped ones is lost with them.
    all.server(3).kill_9()?;
    all.server(1).kill_9()?;
    all.server(2).kill_9()?;
    all.start(&[1, 2])?;
    let leader = all.await_leader(&[1, 2])?;
    let mut writer = all.session(leader)?;
    fill(&mut writer, "/new", 20, 10)?;
    all.start(&[3])?;
    all.assert_same(&[1, 2, 3])?;
    let mut session = all.session(3)?;
    ensure!(!exists(&mut session, "/never-committed")?, "it came back");
    ensure!(exists(&mut session, "/kept19")? && exists(&mut session, "/new19")?);
    close(session)?;
    // It stays away: also from disk.
    all.server(3).stop()?;
    all.start(&[3])?;
    let mut session = all.session(3)?;
    ensure!(!exists(&mut session, "/never-committed")?, "it came back from disk");
    close(session)?;
    all.assert_same(&[1, 2, 3])?;
    println!("{odd} ahead of {rest}: ok, {} s", begun.elapsed().as_secs());
    Ok(())
}

fn contains(folder: &Path, needle: &[u8]) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("log.") {
            let bytes = fs::read(entry.path())?;
            if bytes.windows(needle.len()).any(|window| window == needle) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Runs a scenario with Java 3.9.5, and with all releases if `COMPAT_MATRIX=full`.
fn with_java(scenario: impl Fn(Kind) -> Result<()>) {
    let full = releases();
    for release in if full.len() == RELEASES.len() { full } else { vec![TARGET] } {
        scenario(Kind::Java(release)).unwrap();
    }
}

#[test]
fn ours_behind_java() {
    with_java(|java| behind(java, Kind::Rookeeper));
}

#[test]
fn java_behind_ours() {
    with_java(|java| behind(Kind::Rookeeper, java));
}

#[test]
fn ours_ahead_of_java() {
    with_java(|java| ahead(java, Kind::Rookeeper));
}

#[test]
fn java_ahead_of_ours() {
    with_java(|java| ahead(Kind::Rookeeper, java));
}
