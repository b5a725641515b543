//! Observers that a follower serves in its leader's place (`observerMasterPort`), of both kinds:
//! Java's behind ours, ours behind Java's.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::time::Instant;

use anyhow::{Result, ensure};
use compat_tests::ensemble::{Ensemble, Part, close, delete, event, exists, set_data, sync, watch};
use compat_tests::server::{Kind, TARGET, free_port};
use compat_tests::wire::{Hello, Session};
use jute::proto::op;

const JAVA: Kind = Kind::Java(TARGET);
const OURS: Kind = Kind::Rookeeper;

const EPHEMERAL: i32 = 1;
const NODE_EXISTS: i32 = -110;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;

/// The leader, its followers, and their observer.
const LEADER: usize = 3;
const FOLLOWERS: [usize; 2] = [1, 2];
const OBSERVER: usize = 4;

/// Servers 1 and 2 follow 3; 4 observes, through 1 or 2. All use one port for observers, so each has
/// an address of its own.
fn ensemble(followers: Kind, leader: Kind, observer: Kind) -> Result<Ensemble> {
    let voter = |kind| (kind, Part::Participant);
    let members = [voter(followers), voter(followers), voter(leader), (observer, Part::Observer)];
    let port = free_port().to_string();
    let settings = [("observerMasterPort", port.as_str()), ("maxSessionTimeout", "600000")];
    let mut all = Ensemble::new("masters", &members, &settings, &[])?;
    for sid in all.sids() {
        for (other, (_, part)) in (1..).zip(&members) {
            let (quorum, election) = all.ports(other);
            let role = if *part == Part::Observer { "observer" } else { "participant" };
            let line = format!("127.0.0.{other}:{quorum}:{election}:{role}");
            all.server(sid).change(&format!("server.{other}"), line);
        }
    }
    all.start(&[2, LEADER])?;
    all.await_mode(LEADER, "leader")?;
    all.start(&[1])?;
    let mut first = session(&all, LEADER)?;
    ensure!(first.create("/before", b"1", 0)? == 0);
    close(first)?;
    all.start(&[OBSERVER])?;
    all.await_mode(OBSERVER, "observer")?;
    Ok(all)
}

/// A session that does not expire here, however slow the machine is.
fn session(all: &Ensemble, sid: usize) -> Result<Session> {
    all.session_with(sid, &Hello { timeout: 600_000, ..Hello::default() })
}

/// Who serves the observer, by its own word.
fn master(all: &mut Ensemble) -> Result<Option<usize>> {
    let text = all.server(OBSERVER).four_letter_word("mntr")?;
    let line = text.lines().find_map(|line| line.strip_prefix("zk_observer_master_id"));
    Ok(line.and_then(|rest| rest.trim().parse().ok()))
}

/// Everything a client does goes through the master.
fn use_it(all: &mut Ensemble, master: usize, name: &str) -> Result<()> {
    let mut here = session(all, OBSERVER)?;
    let mut there = session(all, LEADER)?;
    let path = format!("/{name}");
    let mine = format!("{path}/mine");
    // Writes: answers and failures.
    ensure!(here.create(&path, b"0", 0)? == 0);
    ensure!(here.create(&path, b"0", 0)? == NODE_EXISTS);
    ensure!(here.create(&mine, b"", EPHEMERAL)? == 0);
    // Syncs: what the leader has confirmed is there. Those of the master's own clients are answered
    // to them.
    let mut beside = session(all, master)?;
    for n in 0..30 {
        let data = format!("{n}").into_bytes();
        ensure!(set_data(&mut there, &path, &data)? == 0);
        for session in [&mut here, &mut beside] {
            sync(session)?;
            let seen = session.data(&path)?;
            ensure!(seen == Ok(data.clone()), "{seen:?} after sync, not {n}");
        }
    }
    // Watches, both ways.
    ensure!(watch(&mut here, op::GET_DATA, &path)? == 0);
    ensure!(set_data(&mut there, &path, b"there")? == 0);
    ensure!(event(&mut here)? == (CHANGED, 3, path.clone()));
    ensure!(watch(&mut there, op::GET_DATA, &path)? == 0);
    ensure!(set_data(&mut here, &path, b"here")? == 0);
    ensure!(event(&mut there)? == (CHANGED, 3, path.clone()));
    // The session moves: the leader is asked each time, through the master from the observer.
    let again = Hello::again(&here.connected);
    drop(here);
    let mut here = None::<Session>;
    let mut last = Vec::new();
    for (n, sid) in [master, OBSERVER, LEADER, OBSERVER].into_iter().enumerate() {
        drop(here.take());
        let mut next = all.session_with(sid, &again)?;
        ensure!(exists(&mut next, &mine)?, "the ephemeral is lost at {sid}");
        last = format!("moved {n}").into_bytes();
        ensure!(set_data(&mut next, &mine, &last)? == 0, "not its session at {sid}");
        here = Some(next);
    }
    // A Java leader may tell its learners of a commit before it has applied it.
    all.until("the leader has the last write", |_| Ok(there.data(&mine)? == Ok(last.clone())))?;
    // Its end takes the ephemeral with it.
    ensure!(watch(&mut there, op::EXISTS, &mine)? == 0);
    close(here.expect("moved"))?;
    ensure!(event(&mut there)? == (DELETED, 3, mine));
    ensure!(delete(&mut there, &path)? == 0);
    close(beside)?;
    close(there)
}

fn behind(followers: Kind, leader: Kind, observer: Kind) -> Result<()> {
    let begun = Instant::now();
    let mut all = ensemble(followers, leader, observer)?;
    let mut first = 0;
    all.until("a follower serves the observer", |all| {
        first = master(all).ok().flatten().unwrap_or_default();
        Ok(FOLLOWERS.contains(&first))
    })?;
    use_it(&mut all, first, "first")?;
    // A session that lives on through the loss of the master.
    let mut kept = session(&all, OBSERVER)?;
    ensure!(kept.create("/kept", b"", EPHEMERAL)? == 0);
    let again = Hello::again(&kept.connected);

    all.server(first).kill_9()?;
    let second = FOLLOWERS[usize::from(first == FOLLOWERS[0])];
    all.until("the other follower serves the observer", |all| {
        let serves = all.server(OBSERVER).mode().as_deref() == Some("observer");
        Ok(serves && master(all).is_ok_and(|master| master == Some(second)))
    })?;
    drop(kept);
    // Its answer is late if the observer is about to find its master.
    let mut kept = None;
    all.until("the session is found again", |all| {
        kept = all.session_with(OBSERVER, &again).ok();
        Ok(kept.is_some())
    })?;
    let mut kept = kept.expect("found");
    ensure!(exists(&mut kept, "/kept")?, "the ephemeral did not survive the master");
    use_it(&mut all, second, "second")?;
    close(kept)?;
    all.start(&[first])?;
    all.assert_same(&[1, 2, 3, 4])?;
    println!("{observer} behind {followers}, {leader} leads: ok, {} s", begun.elapsed().as_secs());
    Ok(())
}

#[test]
fn java_observes_behind_ours() {
    behind(OURS, JAVA, JAVA).unwrap();
}

#[test]
fn ours_observes_behind_java() {
    behind(JAVA, OURS, OURS).unwrap();
}
