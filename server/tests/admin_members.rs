//! What the AdminServers of an ensemble's members say about it (`Commands`).
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use common::members::Members;
use rookeeper::admin::AdminServer;
use rookeeper::metrics::Metrics;
use rookeeper::net::fourlw::{self, Words};

const SETTINGS: &str = "admin.serverPort=0\nadmin.serverAddress=127.0.0.1\n";

/// An AdminServer beside a running member.
fn beside(all: &Members, sid: usize) -> AdminServer {
    let config = all.config(sid);
    let words = Words::new(fourlw::Options {
        whitelist: config.word_whitelist(),
        version: "3.9.5".to_owned(),
        conf: config.conf_options(),
        environment: Box::new(Vec::new),
        metrics: Arc::new(Metrics::new(false)),
    });
    let options = config.admin_options().unwrap().unwrap();
    let admin = AdminServer::start(options, Arc::new(words)).unwrap();
    let server = all.server(sid);
    admin.set_server(server.view(), server.guard());
    admin
}

/// The answer, every blank and newline of its layout as one blank.
fn ask(admin: &AdminServer, command: &str) -> String {
    let mut stream = TcpStream::connect(admin.address()).unwrap();
    write!(stream, "GET /commands/{command} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The number behind a key.
fn number(body: &str, key: &str) -> i64 {
    let rest = body.split(&format!("\"{key}\" : ")).nth(1).unwrap_or_else(|| panic!("{body}"));
    let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}

fn assert_says(body: &str, parts: &[&str]) {
    for part in parts {
        assert!(body.contains(part), "{part} is not in {body}");
    }
}

#[test]
fn members_agree_who_leads_and_who_votes() {
    let mut all = Members::new(&["participant"; 3], SETTINGS);
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let admins: Vec<AdminServer> = (1..=3).map(|sid| beside(&all, sid)).collect();
    let mut client = all.client(leader);
    assert_eq!(client.create("/n", b"", 0).err, 0);
    // Or it would expire some time, which is a transaction.
    assert_eq!(client.call(jute::proto::op::CLOSE_SESSION, &[]).err, 0);
    for sid in 1..=3 {
        let admin = &admins[sid - 1];
        let leads = sid == leader;
        assert_eq!(
            ask(admin, "leader"),
            format!(
                "{{ \"is_leader\" : {leads}, \"leader_id\" : {leader}, \"leader_ip\" : \
                 \"127.0.0.1\", \"command\" : \"leader\", \"error\" : null }}"
            )
        );

        let view = ask(admin, "voting_view");
        for (other, member) in (1..).zip(all.peer(sid).members) {
            let addresses =
                (&member.server_addresses[0], &member.election_addresses[0], "\"client_address\"");
            assert_says(
                &view,
                &[
                    &format!("\"{other}\" : {{ \"server_addresses\" : [ \"{}\" ]", addresses.0),
                    &format!("\"election_addresses\" : [ \"{}\" ]", addresses.1),
                    addresses.2,
                    "\"learner_type\" : \"participant\"",
                ],
            );
        }

        let own = all.peer(sid).members[sid - 1].clone();
        all.until("the create is everywhere", |all| {
            all.server(sid).view().tree().last_zxid == all.server(leader).view().tree().last_zxid
        });
        let zxid = all.server(sid).view().tree().last_zxid.0;
        let state = ask(admin, "zabstate");
        assert_says(
            &state,
            &[
                &format!("\"myid\" : {sid}, \"is_leader\" : {leads}, \"quorum_address\" : {{"),
                &format!("\"all_addresses\" : [ \"{}\" ]", own.server_addresses[0]),
                &format!("\"one\" : \"{}\"", own.election_addresses[0]),
                &format!("\"client_address\" : \"{}\"", all.server(sid).addresses()[0]),
                &format!("\"voting\" : true, \"last_zxid\" : \"0x{zxid:x}\""),
                "\"zabstate\" : \"broadcast\"",
            ],
        );
        assert_eq!(number(&state, "zab_epoch"), zxid >> 32);
        assert_eq!(number(&state, "zab_counter"), zxid & 0xffff_ffff);
    }
    // Another leader, another answer.
    all.stop(leader);
    all.until("another leader", |all| {
        (1..=3).any(|sid| sid != leader && all.peer(sid).leader.is_some())
    });
}

#[test]
fn a_leader_tells_of_its_observers() {
    let mut all = Members::new(&["participant", "participant", "observer"], SETTINGS);
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let follower = 3 - leader;
    all.until("the observer is in sync", |all| all.peer(leader).synced_observers == Some(1));
    let admins: Vec<AdminServer> = (1..=3).map(|sid| beside(&all, sid)).collect();
    let mut client = all.client(3);
    assert_eq!(client.create("/o", b"", 0).err, 0);

    let seen = ask(&admins[leader - 1], "observers");
    assert_says(
        &seen,
        &["\"synced_observers\" : 1", "\"remote_socket_address\" : \"/127.0.0.1:", "\"sid\" : 3"],
    );
    for key in ["queued_packets", "queued_packets_size", "last_zxid"] {
        assert!(number(&seen, key) >= -1, "{key}");
    }
    assert!(number(&seen, "established") > 1_000_000_000_000, "ms since 1970");
    assert!(number(&seen, "packets_received") > 0 && number(&seen, "packets_sent") > 0);
    assert!(number(&seen, "requests") > 0, "{seen}");
    // Nobody observes a follower.
    let none = "{ \"synced_observers\" : 0, \"observers\" : [ ], ";
    assert_says(&ask(&admins[follower - 1], "obsr"), &[none]);
    assert_says(&ask(&admins[2], "observers"), &[none]);
    assert_says(&ask(&admins[2], "zabstate"), &["\"voting\" : false"]);
    assert_says(&ask(&admins[2], "leader"), &[&format!("\"leader_id\" : {leader}")]);
    assert!(!ask(&admins[2], "voting_view").contains("\"3\" : {"), "it does not vote");

    // Requests are counted anew.
    assert_says(&ask(&admins[leader - 1], "observer_connection_stat_reset"), &["\"error\" : null"]);
    assert_eq!(number(&ask(&admins[leader - 1], "observers"), "requests"), 0);
    assert_says(&ask(&admins[follower - 1], "orst"), &["\"error\" : null"]);
}
