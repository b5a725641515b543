//! What the members of an ensemble count, and what comes and goes with a role.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use common::members::Members;
use rookeeper::net::view::Mode;

fn word(all: &Members, sid: usize, word: &[u8]) -> String {
    let mut stream = TcpStream::connect(all.server(sid).addresses()[0]).unwrap();
    stream.write_all(word).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn mntr(all: &Members, sid: usize) -> BTreeMap<String, String> {
    let text = word(all, sid, b"mntr");
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn number(all: &BTreeMap<String, String>, name: &str) -> f64 {
    all.get(name).unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

const LEADERS: [&str; 7] = [
    "zk_learners",
    "zk_synced_followers",
    "zk_synced_non_voting_followers",
    "zk_pending_syncs",
    "zk_leader_uptime",
    "zk_last_proposal_size",
    "zk_max_proposal_size",
];

/// What a leader counts for every write.
const QUORUM: [&str; 5] = [
    "zk_proposal_count",
    "zk_commit_count",
    "zk_cnt_quorum_ack_latency",
    "zk_cnt_propagation_latency",
    "zk_cnt_rookeeper_propose_to_commit_seconds",
];

#[test]
fn roles_are_counted_where_they_are_played() {
    let settings = "4lw.commands.whitelist=*\nleader.ackLoggingFrequency=1\n";
    let mut all = Members::new(&["participant"; 3], settings);
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let follower = (1..=3).find(|sid| *sid != leader).unwrap();
    let mut client = all.client(follower);
    for _ in 0..20 {
        assert_eq!(client.create("/n", b"value", 2).err, 0);
    }
    all.until("two followers in sync", |all| {
        mntr(all, leader).get("zk_synced_followers").is_some_and(|count| count == "2")
    });

    // The client may have its answer before the leader has all of them.
    all.until("the leader counted all", |all| {
        let led = mntr(all, leader);
        let ack = format!("zk_cnt_{follower}_ack_latency");
        QUORUM.iter().all(|name| number(&led, name) >= 21.0)
            && led.get(&ack).is_some_and(|count| count != "0" && count != "0.0")
    });
    let led = mntr(&all, leader);
    assert_eq!(led["zk_peer_state"], "leading - broadcast");
    assert_eq!(led["zk_server_state"], "leader");
    assert!(LEADERS.iter().all(|name| led.contains_key(*name)), "{led:#?}");
    assert!(number(&led, "zk_last_proposal_size") > 40.0);
    for name in [
        "zk_looking_count",
        "zk_cnt_election_time",
        "zk_cnt_unavailable_time",
        "zk_cnt_leader_unavailable_time",
        "zk_cnt_fsynctime",
    ] {
        assert!(number(&led, name) >= 1.0, "{name}");
    }
    let syncs = number(&led, "zk_diff_count") + number(&led, "zk_snap_count");
    assert!(syncs >= 2.0, "{syncs}");

    let followed = mntr(&all, follower);
    assert_eq!(followed["zk_peer_state"], "following - broadcast");
    assert!(LEADERS.iter().all(|name| !followed.contains_key(*name)), "{followed:#?}");
    assert_eq!(client.get("/n0000000000", false).err, 0);
    all.until("the read is counted", |all| {
        number(&mntr(all, follower), "zk_cnt_readlatency") >= 1.0
    });
    for name in [
        "zk_learner_proposal_received_count",
        "zk_learner_commit_received_count",
        "zk_cnt_proposal_latency",
        "zk_cnt_commit_propagation_latency",
        "zk_cnt_updatelatency",
    ] {
        assert!(number(&followed, name) >= 20.0, "{name} {}", followed[name]);
    }
    assert!(number(&followed, "zk_cnt_proposal_ack_creation_latency") >= 1.0);
    assert_eq!(number(&followed, "zk_cnt_follower_sync_time"), 1.0);
    assert_eq!(number(&followed, "zk_proposal_count"), 0.0);

    // The gauges of the leader move with the role.
    all.stop(leader);
    all.until("another leader", |all| {
        (1..=3).any(|sid| sid != leader && all.mode(sid) == Mode::Leader)
    });
    let next = all.leader();
    all.until("it serves", |all| mntr(all, next).contains_key("zk_synced_followers"));
    let again = mntr(&all, next);
    assert!(LEADERS.iter().all(|name| again.contains_key(*name)), "{again:#?}");
    assert!(number(&again, "zk_looking_count") >= 2.0);
}

#[test]
fn observers_are_seen_by_their_leader() {
    let settings = "4lw.commands.whitelist=*\n";
    let mut all =
        Members::new(&["participant", "participant", "participant", "observer"], settings);
    all.start_all(&[1, 2, 3, 4]);
    let leader = all.leader();
    all.until("the observer is in sync", |all| {
        mntr(all, leader).get("zk_synced_observers").is_some_and(|count| count == "1")
    });
    let observed = mntr(&all, 4);
    assert_eq!(observed["zk_peer_state"], "observing - broadcast");
    assert_eq!(observed["zk_observer_master_id"], leader.to_string());
    assert_eq!(number(&observed, "zk_cnt_observer_sync_time"), 1.0);
    let mut client = all.client(4);
    assert_eq!(client.create("/o", b"", 0).err, 0);
    // Not its own to expire, and known all the same.
    let dump = word(&all, 4, b"dump");
    assert!(dump.contains("Global Sessions(1):\n"), "{dump}");
    assert!(dump.contains(&format!("0x{:x}\t{}ms\n", client.session, client.timeout_ms)), "{dump}");
    let learner = |all: &Members| {
        let learners = all.peer(leader).learners;
        learners.into_iter().find(|learner| learner.sid == 4).unwrap()
    };
    let seen = learner(&all);
    assert!(seen.observer && seen.synced && seen.received > 0 && seen.requests > 0, "{seen:?}");
    assert!(seen.established_ms > 0 && seen.remote.is_some(), "{seen:?}");
    all.server(leader).view().reset_observer_stats();
    assert_eq!(learner(&all).requests, 0);
}
