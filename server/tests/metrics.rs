//! What `mntr` counts after a server did something.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::*;
use jute::Encode;
use jute::proto::{AuthPacket, op};

fn open(more: &str) -> TestServer {
    TestServer::configured(&format!("4lw.commands.whitelist=*\n{more}"), "")
}

fn mntr(server: &TestServer) -> BTreeMap<String, f64> {
    let text = server.word("mntr");
    let pairs = text.lines().filter_map(|line| line.split_once('\t'));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

/// Metrics once `ready`: threads enter their counts a little later than they count.
fn eventually(
    server: &TestServer,
    ready: impl Fn(&BTreeMap<String, f64>) -> bool,
) -> BTreeMap<String, f64> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        let all = mntr(server);
        if ready(&all) {
            return all;
        }
        assert!(Instant::now() < give_up, "{all:#?}");
        std::thread::yield_now();
    }
}

fn quota(client: &mut Client, path: &str, limits: &str) {
    for parent in path.match_indices('/').skip(1).map(|(at, _)| &path[..at]).chain([path]) {
        client.create(&format!("/zookeeper/quota{parent}"), b"", 0);
    }
    let base = format!("/zookeeper/quota{path}");
    assert_eq!(client.create(&format!("{base}/zookeeper_limits"), limits.as_bytes(), 0).err, 0);
    assert_eq!(client.create(&format!("{base}/zookeeper_stats"), b"count=0,bytes=0", 0).err, 0);
}

#[test]
fn reads_and_writes_count_for_their_namespace() {
    let server = open("");
    let mut client = server.client();
    client.create("/app", b"", 0);
    client.create("/app/one", b"0123456789", 0);
    client.set("/app/one", b"01234");
    client.get("/app/one", false);
    client.get("/", false);
    client.call(op::GET_CHILDREN2, &path_watch("/app", false));
    client.call(op::EXISTS, &path_watch("/app/none", false));
    let all = eventually(&server, |all| {
        ["read", "write"].iter().all(|kind| {
            all.get(&format!("zk_cnt_app_{kind}_per_namespace")).is_some_and(|count| *count >= 2.0)
        }) && all["zk_cnt_readlatency"] >= 4.0
    });
    assert_eq!(all["zk_cnt_app_read_per_namespace"], 2.0);
    // Path and data of each write.
    assert_eq!(all["zk_cnt_app_write_per_namespace"], 3.0);
    assert_eq!(all["zk_sum_app_write_per_namespace"], 4.0 + (8.0 + 10.0) + (8.0 + 5.0));
    assert_eq!(all["zk_max_app_write_per_namespace"], 18.0);
    // Path, data or child names, and a stat of 68 bytes; the root has no name.
    assert_eq!(all["zk_sum_app_read_per_namespace"], (8.0 + 5.0 + 68.0) + (4.0 + 3.0 + 68.0));
    server.stop();
}

#[test]
fn whoever_has_an_answer_finds_it_counted() {
    let server = open("");
    let mut client = server.client();
    for round in 1..=20 {
        client.create("/n", b"x", 2);
        client.get("/", false);
        client.get(&format!("/none{round}"), false);
        client.call(op::GET_CHILDREN2, &path_watch("/zookeeper", false));
        let all = mntr(&server);
        assert_eq!(all["zk_cnt_readlatency"], 3.0 * f64::from(round));
        assert_eq!(all["zk_cnt_zookeeper_read_per_namespace"], f64::from(round));
        assert_eq!(all["zk_cnt_updatelatency"], 1.0 + f64::from(round), "a session, then znodes");
        // The session, four answers a round, and the words so far with this one.
        assert_eq!(all["zk_packets_received"], f64::from(1 + 5 * round));
    }
    // What was counted before a reset does not come back.
    client.get("/", false);
    server.word("srst");
    assert_eq!(mntr(&server)["zk_cnt_readlatency"], 0.0);
    server.stop();
}

/// Only some turns of an I/O thread are timed; counts are handed in during any of them.
#[test]
fn whoever_asks_does_not_disturb_the_times_of_reads() {
    let server = open("nio.numWorkerThreads=1");
    let mut client = server.client();
    for _ in 0..500 {
        client.get("/", false);
        server.word("mntr");
    }
    assert!((0.0..=500.0).contains(&mntr(&server)["zk_cnt_rookeeper_read_seconds"]));
    server.stop();
}

#[test]
fn stages_of_a_write_are_measured() {
    let server = open("");
    let mut client = server.client();
    for _ in 0..5 {
        client.create("/n", b"x", 2);
    }
    let all = eventually(&server, |all| all["zk_cnt_updatelatency"] >= 6.0);
    for name in [
        "zk_cnt_fsynctime",
        "zk_cnt_prep_process_time",
        "zk_cnt_prep_processor_queue_time_ms",
        "zk_cnt_propagation_latency",
        "zk_cnt_sync_processor_queue_time_ms",
        "zk_cnt_sync_processor_queue_and_flush_time_ms",
        "zk_cnt_sync_process_time",
        "zk_cnt_write_final_proc_time_ms",
        "zk_cnt_commit_process_time",
        "zk_cnt_rookeeper_fsync_seconds",
        "zk_cnt_rookeeper_log_queue_seconds",
        "zk_cnt_rookeeper_propose_to_commit_seconds",
        "zk_sync_processor_request_queued",
        "zk_outstanding_changes_queued",
        "zk_outstanding_changes_removed",
        "zk_rookeeper_resident_memory_bytes",
    ] {
        assert!(all[name] >= 1.0, "{name}: {}", all[name]);
    }
    assert_eq!(all["zk_sync_processor_request_queued"], 6.0, "five znodes and a session");
    assert_eq!(all["zk_cnt_propagation_latency"], 6.0);
    assert_eq!(all["zk_cnt_quorum_ack_latency"], 0.0, "nobody leads");
    server.stop();
}

#[test]
fn handshakes_and_refusals_are_counted() {
    let server = open(
        "maxClientCnxns=2\nconnection_throttle_tokens=5\nconnection_throttle_fill_time=100000",
    );
    let first = server.client();
    let mut second = server.client();
    let mut third = Client::raw(server.address());
    assert!(third.is_closed(), "the limit is two");
    second.call(op::CLOSE_SESSION, &[]);
    drop(second);
    let all = eventually(&server, |all| {
        all["zk_cnt_connection_token_deficit"] == 2.0 && all["zk_connection_rejected"] >= 1.0
    });
    assert_eq!(all["zk_connection_request_count"], 2.0);
    assert_eq!(all["zk_max_connection_token_deficit"], 2.0);
    assert!(all["zk_bytes_received_count"] > 80.0);
    drop(first);
    eventually(&server, |all| all["zk_connection_drop_count"] >= 1.0);
    server.stop();
}

#[test]
fn watches_and_their_memory_are_counted() {
    let server = open("");
    let mut client = server.client();
    client.create("/w", b"", 0);
    let before = mntr(&server)["zk_rookeeper_watch_memory_bytes"];
    client.get("/w", true);
    client.call(op::GET_CHILDREN2, &path_watch("/w", true));
    assert_eq!(mntr(&server)["zk_watch_count"], 2.0);
    assert!(mntr(&server)["zk_rookeeper_watch_memory_bytes"] > before);
    let mut other = server.client();
    other.create("/w/c", b"", 0);
    other.set("/w", b"x");
    let all = mntr(&server);
    assert_eq!(all["zk_cnt_node_children_watch_count"], 1.0);
    assert_eq!(all["zk_cnt_node_changed_watch_count"], 1.0);
    assert!(all["zk_watch_bytes"] > 60.0);
    server.stop();
}

#[test]
fn exceeded_quotas_are_counted_and_only_hard_ones_refuse() {
    let server = open("enforceQuota=true");
    let mut client = server.client();
    client.create("/soft", b"", 0);
    client.create("/hard", b"", 0);
    quota(&mut client, "/soft", "count=1,bytes=-1");
    quota(&mut client, "/hard", "count=-1,bytes=-1;byteHardLimit=-1;countHardLimit=1");
    assert_eq!(client.create("/soft/a", b"", 0).err, 0);
    assert_eq!(client.create("/hard/a", b"", 0).err, -125);
    let all = mntr(&server);
    assert_eq!(all["zk_hard_quota_exceeded_error_per_namespace"], 1.0);
    assert!(!all.contains_key("zk_soft_quota_exceeded_error_per_namespace"));
    assert_eq!(all["zk_hard_quota_count_limit_per_namespace"], 1.0);
    assert_eq!(all["zk_soft_quota_count_usage_per_namespace"], 2.0);
    server.stop();
}

#[test]
fn ensemble_names_are_counted() {
    let server = open(
        "authProvider.1=org.apache.zookeeper.server.auth.EnsembleAuthenticationProvider\n\
         ensembleAuthName=prod",
    );
    let auth = |name: &[u8]| {
        let mut body = Vec::new();
        AuthPacket { kind: 0, scheme: Some("ensemble".into()), auth: Some(name) }.encode(&mut body);
        body
    };
    let mut client = server.client();
    assert_eq!(client.call(op::AUTH, &auth(b"prod")).err, 0);
    assert_eq!(client.call(op::AUTH, &auth(b"")).err, 0);
    client.send(op::AUTH, &auth(b"other"));
    assert!(client.is_closed());
    let all = mntr(&server);
    for name in ["success", "skip", "fail"] {
        assert_eq!(all[&format!("zk_ensemble_auth_{name}")], 1.0, "{name}");
    }
    server.stop();
}

#[test]
fn what_is_sent_and_restored_is_measured() {
    let server = open("");
    let mut client = server.client();
    for _ in 0..10 {
        client.create("/n", b"x", 2);
    }
    let dir = server.stop();
    let server = TestServer::configured_on(dir, "4lw.commands.whitelist=*", "");
    let all = eventually(&server, |all| all["zk_cnt_snapshottime"] >= 1.0);
    assert_eq!(all["zk_cnt_dbinittime"], 1.0);
    assert_eq!(all["zk_cnt_startup_txns_load_time"], 1.0);
    assert_eq!(all["zk_cnt_startup_snap_load_time"], 1.0);
    assert_eq!(all["zk_sum_startup_txns_loaded"], 11.0);
    server.stop();
}
