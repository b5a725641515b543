//! Ensembles of Java's servers and ours: who leads whom, how a learner catches up, what happens to
//! sessions, ephemerals and watches between them.
//!
//! Releases 3.9.5 and 3.6.4 by default; `COMPAT_MATRIX=full` takes all five.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use compat_tests::ensemble::{
    Ensemble, Member, Part, close, delete, event, exists, releases, set_data, sync, watch,
};
use compat_tests::server::Kind;
use compat_tests::wire::{Hello, Session, create_body};
use jute::proto::op;

const EPHEMERAL: i32 = 1;
const SEQUENTIAL: i32 = 2;

const NO_NODE: i32 = -101;
const BAD_VERSION: i32 = -103;
const NODE_EXISTS: i32 = -110;

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const CHANGED: i32 = 3;
const CHILDREN: i32 = 4;

/// Two voters and an observer. The second is started with the first, so it leads: its sid is
/// larger, and without both there is no quorum.
fn pair(name: &str, learner: Kind, leader: Kind, flags: &[&str]) -> Result<Ensemble> {
    let members: [Member; 3] =
        [(learner, Part::Participant), (leader, Part::Participant), (learner, Part::Observer)];
    Ensemble::new(name, &members, &[], flags)
}

// Roles.

fn roles(leader: Kind, learner: Kind) -> Result<()> {
    let begun = Instant::now();
    let mut all = pair("roles", learner, leader, &[])?;
    all.start(&[1, 2])?;
    all.await_mode(2, "leader")?;
    all.await_mode(1, "follower")?;
    let mut before = all.session(2)?;
    ensure!(before.create("/before", b"1", 0)? == 0, "create before the observer came");
    all.start(&[3])?;
    all.await_mode(3, "observer")?;
    for learner in [1, 3] {
        writes(&mut all, learner, 2)?;
        writes(&mut all, 2, learner)?;
        syncs(&mut all, learner, 2)?;
        watches(&mut all, learner, 2)?;
        watches(&mut all, 2, learner)?;
        moves(&mut all, learner, 2)?;
        expires(&mut all, learner, 2)?;
    }
    large(&mut all)?;
    all.assert_same(&[1, 2, 3])?;
    let compared = all.digests_compared(&[1, 2, 3])?;
    let has_digests = [leader, learner].iter().all(|kind| *kind != Kind::Java("3.5.10"));
    ensure!(compared > 0 || !has_digests, "no digest of a zxid that two servers have");
    println!("{leader} leads {learner}: ok, {compared} digests, {} s", begun.elapsed().as_secs());
    Ok(())
}

/// What one side writes and the other sees, successes and failures.
fn writes(all: &mut Ensemble, here: usize, there: usize) -> Result<()> {
    let mut a = all.session(here)?;
    let mut b = all.session(there)?;
    let base = format!("/w{here}{there}");
    ensure!(a.create(&base, b"0", 0)? == 0);
    ensure!(a.create(&base, b"0", 0)? == NODE_EXISTS);
    ensure!(a.create(&format!("{base}/no/parent"), b"", 0)? == NO_NODE);
    ensure!(a.create(&format!("{base}/e"), b"mine", EPHEMERAL)? == 0);
    for n in 0..10 {
        ensure!(a.create(&format!("{base}/s-"), b"", SEQUENTIAL)? == 0, "sequential {n}");
        ensure!(set_data(&mut a, &base, format!("{n}").as_bytes())? == 0);
    }
    let stale = jute::proto::SetDataRequest {
        path: Some(base.as_str().into()),
        data: Some(b"never"),
        version: 3,
    };
    ensure!(a.call(op::SET_DATA, &jute::Encode::to_vec(&stale))?.header.err == BAD_VERSION);
    // Pipelined: one session's order is kept through the leader.
    for n in 0..50 {
        a.post(op::CREATE, &create_body(&format!("{base}/p{n}"), b"", 0))?;
    }
    for n in 0..50 {
        let reply = a.reply()?;
        ensure!(reply.header.err == 0, "pipelined create {n}: {}", reply.header.err);
    }
    until_seen(&mut b, &format!("{base}/p49"))?;
    ensure!(b.data(&base)? == Ok(b"9".to_vec()), "{:?}", b.data(&base)?);
    ensure!(b.data(&format!("{base}/e"))? == Ok(b"mine".to_vec()));
    ensure!(delete(&mut b, &format!("{base}/p0"))? == 0);
    ensure!(delete(&mut b, &format!("{base}/p0"))? == NO_NODE);
    // The end of a session takes its ephemerals with it.
    watch(&mut b, op::EXISTS, &format!("{base}/e"))?;
    close(a)?;
    ensure!(event(&mut b)? == (DELETED, 3, format!("{base}/e")));
    close(b)
}

/// What one side was told is done, a learner shows after `sync`.
fn syncs(all: &mut Ensemble, learner: usize, leader: usize) -> Result<()> {
    let mut a = all.session(leader)?;
    let mut b = all.session(learner)?;
    let path = format!("/y{learner}");
    ensure!(a.create(&path, b"", 0)? == 0);
    for n in 0..50 {
        let data = format!("{n}").into_bytes();
        ensure!(set_data(&mut a, &path, &data)? == 0);
        sync(&mut b)?;
        let seen = b.data(&path)?;
        ensure!(seen == Ok(data), "{seen:?} after sync, not {n}");
    }
    close(a)?;
    close(b)
}

/// Waits until a session's server has a znode.
fn until_seen(session: &mut Session, path: &str) -> Result<()> {
    if watch(session, op::EXISTS, path)? == NO_NODE {
        let seen = event(session)?;
        ensure!(seen == (CREATED, 3, path.to_owned()), "{seen:?}");
    }
    Ok(())
}

/// Watches left on one side, changes made on the other.
fn watches(all: &mut Ensemble, here: usize, there: usize) -> Result<()> {
    let mut a = all.session(here)?;
    let mut b = all.session(there)?;
    let base = format!("/x{here}{there}");
    ensure!(watch(&mut a, op::EXISTS, &base)? == NO_NODE);
    ensure!(b.create(&base, b"0", 0)? == 0);
    ensure!(event(&mut a)? == (CREATED, 3, base.clone()));
    ensure!(watch(&mut a, op::GET_DATA, &base)? == 0);
    ensure!(set_data(&mut b, &base, b"1")? == 0);
    ensure!(event(&mut a)? == (CHANGED, 3, base.clone()));
    ensure!(a.data(&base)? == Ok(b"1".to_vec()), "an event is older than the data");
    ensure!(watch(&mut a, op::GET_CHILDREN, &base)? == 0);
    ensure!(b.create(&format!("{base}/c"), b"", EPHEMERAL)? == 0);
    ensure!(event(&mut a)? == (CHILDREN, 3, base.clone()));
    ensure!(watch(&mut a, op::GET_DATA, &format!("{base}/c"))? == 0);
    close(b)?;
    ensure!(event(&mut a)? == (DELETED, 3, format!("{base}/c")));
    close(a)
}

/// A session and its ephemeral go from one side to the other and back.
fn moves(all: &mut Ensemble, here: usize, there: usize) -> Result<()> {
    let path = format!("/m{here}{there}");
    let mut a = all.session(here)?;
    ensure!(a.create(&path, b"", EPHEMERAL)? == 0);
    let hello = Hello::again(&a.connected);
    let mut b = all.session_with(there, &hello)?;
    ensure!(b.connected.session == a.connected.session, "another session");
    // A Java learner answers a write when it is committed; the leader may not have applied it.
    until_seen(&mut b, &path)?;
    // Several, for other xids than those of the first connection: a transaction finds its waiting
    // request by session and xid, in Java's servers, too.
    for _ in 0..10 {
        ensure!(exists(&mut b, &path)?, "the ephemeral did not come along");
    }
    ensure!(set_data(&mut b, &path, b"there")? == 0);
    // The old connection no longer owns the session: no change through it.
    let code = set_data(&mut a, &path, b"stolen");
    ensure!(!matches!(code, Ok(0)), "{here} took a write of a session that is at {there}");
    drop(a);
    let mut a = all.session_with(here, &hello)?;
    // A Java learner serves reads ahead of commits that it has not applied.
    sync(&mut a)?;
    ensure!(a.data(&path)? == Ok(b"there".to_vec()));
    ensure!(set_data(&mut a, &path, b"here")? == 0);
    drop(b);
    // A wrong password gets nothing.
    let mut forged = hello.clone();
    forged.password = vec![7; 16];
    ensure!(all.session_with(there, &forged).is_err(), "a wrong password was taken");
    let mut other = all.session(there)?;
    watch(&mut other, op::EXISTS, &path)?;
    close(a)?;
    ensure!(event(&mut other)? == (DELETED, 3, path.clone()));
    ensure!(all.session_with(there, &hello).is_err(), "a closed session was renewed");
    close(other)
}

/// A session whose client is gone expires, at whatever server it was; one that only pings does not.
fn expires(all: &mut Ensemble, here: usize, there: usize) -> Result<()> {
    let (gone, alive) = (format!("/gone{here}{there}"), format!("/alive{here}{there}"));
    let timeout = |timeout| Hello { timeout, ..Hello::default() };
    // Long enough to ping in time on a machine with much else to do.
    let mut kept = all.session_with(here, &timeout(30_000))?;
    ensure!(kept.create(&alive, b"", EPHEMERAL)? == 0);
    let mut other = all.session(there)?;
    until_seen(&mut other, &alive)?;
    // Watched from before it is there, so that it cannot come and go unseen.
    ensure!(watch(&mut other, op::EXISTS, &gone)? == NO_NODE);
    let mut lost = all.session_with(here, &timeout(6000))?;
    ensure!(lost.create(&gone, b"", EPHEMERAL)? == 0);
    ensure!(event(&mut other)? == (CREATED, 3, gone.clone()));
    let mut expired = watch(&mut other, op::EXISTS, &gone)? == NO_NODE;
    let again = Hello::again(&lost.connected);
    drop(lost);
    other.wire.set_patience(Duration::from_millis(300))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !expired {
        kept.call(op::PING, &[])?;
        match event(&mut other) {
            Ok(seen) => {
                ensure!(seen == (DELETED, 3, gone.clone()), "{seen:?}");
                expired = true;
            }
            Err(error) => ensure!(Instant::now() < deadline, "no expiry: {error:#}"),
        }
    }
    other.wire.set_patience(Duration::from_secs(60))?;
    ensure!(exists(&mut other, &alive)?, "a session that pings expired");
    ensure!(all.session_with(there, &again).is_err(), "an expired session was renewed");
    close(kept)?;
    close(other)
}

/// Nearly the largest packet there is, through the leader from either side.
fn large(all: &mut Ensemble) -> Result<()> {
    let data = vec![b'l'; 900_000];
    for sid in all.sids() {
        let path = format!("/large{sid}");
        let mut session = all.session(sid)?;
        ensure!(session.create(&path, &data, 0)? == 0, "create {path}");
        ensure!(session.data(&path)? == Ok(data.clone()), "{path} is not what was written");
        close(session)?;
    }
    Ok(())
}

#[test]
fn ours_alone() {
    roles(Kind::Rookeeper, Kind::Rookeeper).unwrap();
}

#[test]
fn ours_leads_java() {
    for release in releases() {
        roles(Kind::Rookeeper, Kind::Java(release)).unwrap();
    }
}

#[test]
fn java_leads_ours() {
    for release in releases() {
        roles(Kind::Java(release), Kind::Rookeeper).unwrap();
    }
}
