//! Ensembles of other shapes, of both kinds of servers: releases side by side, a leader that is cut
//! off, a follower that stands still, groups with weights, servers with several addresses.
//!
//! `COMPAT_MATRIX=full` takes all placements of two Java releases and ours.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use compat_tests::ensemble::{Ensemble, Member, Part, close, exists, releases};
use compat_tests::proxy::Cut;
use compat_tests::server::{Kind, RELEASES, TARGET, free_port};
use compat_tests::wire::{Hello, create_body};
use jute::proto::op;

const JAVA: Kind = Kind::Java(TARGET);
const OURS: Kind = Kind::Rookeeper;
const EPHEMERAL: i32 = 1;
const NODE_EXISTS: i32 = -110;

/// What is cut off or stands still is noticed after five seconds.
const IMPATIENT: [(&str, &str); 3] =
    [("tickTime", "500"), ("syncLimit", "10"), ("initLimit", "60")];

fn voters<const N: usize>(kinds: [Kind; N]) -> [Member; N] {
    kinds.map(|kind| (kind, Part::Participant))
}

/// A write at each of these servers; what is written has the server's sid in its name.
fn write_at_each(all: &mut Ensemble, sids: &[usize], name: &str) -> Result<()> {
    for sid in sids {
        // A connection may end with the leader, and the write have been done all the same.
        all.until(&format!("server {sid} takes a write"), |all| {
            let written = all.session(*sid).and_then(|mut session| {
                let code = session.create(&format!("/{name}{sid}"), b"", 0)?;
                close(session)?;
                Ok(code)
            });
            match written {
                Ok(0 | NODE_EXISTS) => Ok(true),
                Ok(code) => bail!("create at {sid}: {code}"),
                Err(_) => Ok(false),
            }
        })?;
    }
    Ok(())
}

/// One number of a server's `mntr`.
fn metric(all: &mut Ensemble, sid: usize, name: &str) -> Result<Option<f64>> {
    // It may be dropping its clients: asked again.
    let Ok(text) = all.server(sid).four_letter_word("mntr") else { return Ok(None) };
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.map(|rest| rest.trim().parse().context("a number")).transpose()
}

/// All placements of 3.8.6, 3.9.5 and ours on three servers, or one of each turned round.
#[test]
fn releases_side_by_side() {
    let kinds = [Kind::Java("3.8.6"), JAVA, OURS];
    let run = |placement: [Kind; 3]| -> Result<()> {
        let begun = Instant::now();
        let mut all = Ensemble::new("versions", &voters(placement), &[], &[])?;
        all.start(&[1, 2, 3])?;
        let leader = all.await_leader(&[1, 2, 3])?;
        write_at_each(&mut all, &[1, 2, 3], "v")?;
        all.assert_same(&[1, 2, 3])?;
        let names = placement.map(|kind| kind.to_string()).join(" ");
        println!("{names}: {leader} leads, ok, {} s", begun.elapsed().as_secs());
        Ok(())
    };
    let full = releases().len() == RELEASES.len();
    for n in 0..27 {
        let placement = [n / 9, n / 3 % 3, n % 3].map(|kind| kinds[kind]);
        let turned = [[2, 0, 1], [1, 2, 0], [0, 1, 2]];
        if full || turned.iter().any(|turn| turn.map(|kind| kinds[kind]) == placement) {
            run(placement).unwrap();
        }
    }
}

/// Server 3 leads and is cut off: the others elect, it stops serving, and forgets what only it has.
/// Then one of the others stands still, is dropped, and comes back.
fn leader_cut_off(leader: Kind, others: Kind) -> Result<()> {
    let begun = Instant::now();
    let members = voters([others, others, leader]);
    let mut all = Ensemble::with_network("partition", &members, &IMPATIENT, &[])?;
    all.start(&[2, 3])?;
    all.await_mode(3, "leader")?;
    all.start(&[1])?;
    all.await_leader(&[1, 2, 3])?;
    let mut kept = all.session(1)?;
    ensure!(kept.create("/kept", b"", EPHEMERAL)? == 0);
    let again = Hello::again(&kept.connected);
    all.assert_same(&[1, 2, 3])?;

    let mut lost = all.session(3)?;
    for sid in [1, 2] {
        all.network().cut(3, sid, Cut::Silent);
    }
    lost.post(op::CREATE, &create_body("/lost", b"", 0))?;
    let new = all.await_leader(&[1, 2])?;
    all.until("the old leader no longer serves", |all| Ok(all.server(3).mode().is_none()))?;
    write_at_each(&mut all, &[1, 2], "majority")?;
    // The session goes on under the new leader, with what it holds.
    drop(kept);
    let mut survived = None;
    all.until("the session goes on", |all| {
        let seen = all.session_with(new, &again).and_then(|mut kept| exists(&mut kept, "/kept"));
        survived = seen.ok();
        Ok(survived.is_some())
    })?;
    ensure!(survived == Some(true), "the ephemeral did not survive the leader");

    for sid in [1, 2] {
        all.network().cut(3, sid, Cut::None);
    }
    all.await_leader(&[1, 2, 3])?;
    all.assert_same(&[1, 2, 3])?;
    let mut is_there = None;
    all.until("server 3 says what it has", |all| {
        is_there = all.session(3).and_then(|mut session| exists(&mut session, "/lost")).ok();
        Ok(is_there.is_some())
    })?;
    ensure!(is_there == Some(false), "what no quorum had is there");

    let all_follow = |all: &mut Ensemble, sids: &[usize], count: f64| {
        let what = format!("{count} followers are in sync");
        all.until(&what, |all| {
            for sid in sids {
                // A leader says it, and another than before may lead by now.
                if metric(all, *sid, "zk_synced_followers")? == Some(count) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    };
    all_follow(&mut all, &[1, 2, 3], 2.0)?;
    let leader_now = all.await_leader(&[1, 2, 3])?;
    let still = if leader_now == 3 { 1 } else { 3 };
    let rest = [leader_now, 6 - leader_now - still];
    all.server(still).pause(true)?;
    let dropped = all_follow(&mut all, &rest, 1.0);
    all.server(still).pause(false)?;
    dropped?;
    all_follow(&mut all, &[1, 2, 3], 2.0)?;
    all.assert_same(&[1, 2, 3])?;
    println!("{leader} cut off from {others}: ok, {} s", begun.elapsed().as_secs());
    Ok(())
}

#[test]
fn ours_is_cut_off_from_java() {
    leader_cut_off(OURS, JAVA).unwrap();
}

#[test]
fn java_is_cut_off_from_ours() {
    leader_cut_off(JAVA, OURS).unwrap();
}

/// Three groups. A quorum is more than half of the weight in more than half of the groups.
#[test]
fn groups_with_weights() {
    let run = || -> Result<()> {
        let settings = [
            ("group.1", "1:2"),
            ("group.2", "3:4"),
            ("group.3", "5"),
            ("weight.1", "1"),
            ("weight.2", "1"),
            ("weight.3", "2"),
            ("weight.4", "1"),
            ("weight.5", "1"),
        ];
        let members = voters([OURS, JAVA, OURS, OURS, JAVA]);
        let mut all = Ensemble::new("groups", &members, &settings, &[])?;
        all.start(&[1, 2, 3, 4, 5])?;
        all.await_leader(&[1, 2, 3, 4, 5])?;
        write_at_each(&mut all, &[1, 2, 3, 4, 5], "all")?;
        // The first group is gone, and of the second a third of the weight: two servers of five
        // are a quorum.
        for sid in [1, 2, 4] {
            all.server(sid).kill_9()?;
        }
        all.await_leader(&[3, 5])?;
        write_at_each(&mut all, &[3, 5], "two")?;
        // Three servers of five, and two whole groups do not have half of their weight.
        all.start(&[1, 2, 4])?;
        all.await_leader(&[1, 2, 3, 4, 5])?;
        for sid in [3, 5] {
            all.server(sid).kill_9()?;
        }
        for sid in [1, 2, 4] {
            let what = format!("server {sid} no longer serves");
            all.until(&what, |all| Ok(all.server(sid).mode().is_none()))?;
        }
        all.start(&[3, 5])?;
        all.await_leader(&[1, 2, 3, 4, 5])?;
        all.assert_same(&[1, 2, 3, 4, 5])
    };
    run().unwrap();
}

/// Each server has two addresses, and for its peers nobody listens at the first.
#[test]
fn several_addresses() {
    let run = || -> Result<()> {
        let flags = ["-Dzookeeper.multiAddress.enabled=true"];
        let mut all = Ensemble::new("addresses", &voters([JAVA, OURS, OURS]), &[], &flags)?;
        for sid in 1..=3 {
            for other in 1..=3 {
                let (quorum, election) = all.ports(other);
                // A server binds all of its own.
                let mut line =
                    format!("127.0.0.1:{quorum}:{election}|127.0.0.2:{quorum}:{election}");
                if sid > 1 && other != sid {
                    // Java asks the host, not the port, whether it is there, and may insist on
                    // this one. We go through them.
                    let dead = format!("127.0.0.1:{}:{}", free_port(), free_port());
                    line = format!("{dead}|{line}");
                }
                all.server(sid).change(&format!("server.{other}"), line);
            }
        }
        all.start(&[1, 2, 3])?;
        all.await_leader(&[1, 2, 3])?;
        write_at_each(&mut all, &[1, 2, 3], "a")?;
        all.assert_same(&[1, 2, 3])
    };
    run().unwrap();
}
