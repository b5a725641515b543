//! Members of an ensemble and the settings of elections and synchronisation, on real sockets.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use common::members::{Members, address};
use common::options;
use rookeeper::net::view::Mode;
use rookeeper::server::Server;

const VOTERS: [&str; 3] = ["participant"; 3];

/// What a four-letter word answers.
fn word(all: &Members, sid: usize, word: &str) -> String {
    let mut stream = TcpStream::connect(all.server(sid).addresses()[0]).unwrap();
    stream.write_all(word.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// One value of `mntr`.
fn metric(all: &Members, sid: usize, name: &str) -> i64 {
    let text = word(all, sid, "mntr");
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("zk_{name}\t")));
    line.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

/// Snapshots and DIFFs this leader has sent.
fn syncs(all: &Members, leader: usize) -> (i64, i64) {
    (metric(all, leader, "snap_count"), metric(all, leader, "diff_count"))
}

/// Waits until this server shows what the leader wrote last.
fn until_equal(all: &Members, sid: usize, leader: usize) {
    let zxid = |sid: usize| all.server(sid).view().tree().last_zxid;
    all.until("both are at one zxid", |_| zxid(sid) == zxid(leader));
}

const WORDS: &str = "4lw.commands.whitelist=*\n";

#[test]
fn a_leader_may_serve_no_clients() {
    let settings = format!("{WORDS}leaderServes=no\n");
    let mut all = Members::new(&VOTERS, &settings);
    for sid in 1..=3 {
        all.start(sid);
    }
    let serving = |all: &Members| -> Vec<usize> {
        (1..=3).filter(|sid| all.server(*sid).view().serving()).collect()
    };
    all.until("both followers serve", |all| serving(all).len() == 2);
    let leader = all.leader();
    assert!(!serving(&all).contains(&leader));
    assert_eq!(
        word(&all, leader, "srvr"),
        "This ZooKeeper instance is not currently serving requests\n"
    );
    let refused = all.raw(leader).greet(0, [0; 16], 10_000, 0, false);
    assert_eq!(refused, None, "the connection is closed");
    let follower = serving(&all)[0];
    assert_eq!(all.client(follower).create("/a", b"", 0).err, 0, "writes go through all the same");
}

#[test]
fn a_new_leader_shows_the_beginning_of_its_epoch() {
    let mut all = Members::new(&VOTERS, WORDS);
    all.start_all(&[1, 2, 3]);
    let leader = all.leader();
    let srvr = word(&all, leader, "srvr");
    assert!(srvr.contains("Zxid: 0x100000000\n"), "{srvr}");
    assert_eq!(all.client(leader).create("/a", b"", 0).err, 0);
    let srvr = word(&all, leader, "srvr");
    // The session, the znode, and maybe the end of the session.
    assert!(srvr.contains("Zxid: 0x10000000"), "{srvr}");
    assert!(!srvr.contains("Zxid: 0x100000000\n"), "{srvr}");
}

#[test]
fn an_oracle_decides_for_the_last_of_two() {
    let lines = format!("server.1={}:participant\nserver.2={}:participant\n", address(), address());
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("oracle");
    fs::write(&file, "0").unwrap();
    let settings = format!("oraclePath={}\n", file.display());
    let mut all = Members::with_lines(2, &lines, |_| settings.clone());
    all.start_all(&[1, 2]);
    let leader = all.leader();
    let survivor = 3 - leader;
    all.stop(leader);
    all.until("the survivor is alone", |all| !all.server(survivor).view().serving());
    fs::write(&file, "1").unwrap();
    all.until("the survivor leads", |all| {
        all.server(survivor).view().serving() && all.mode(survivor) == Mode::Leader
    });
    assert_eq!(all.client(survivor).create("/alone", b"", 0).err, 0);
    fs::write(&file, "0").unwrap();
    all.until("the oracle's no counts", |all| !all.server(survivor).view().serving());
}

#[test]
fn an_observer_may_keep_no_log() {
    let mut all = Members::new(&["participant", "observer"], "standaloneEnabled=false\n");
    // Two voters would need each other; one voter and an observer are an ensemble, too.
    all.start_all(&[1, 2]);
    let without = "participant observer";
    drop(all);
    let mut all = Members::new(
        &without.split(' ').collect::<Vec<_>>(),
        "standaloneEnabled=false\nsyncEnabled=false\n",
    );
    all.start_all(&[1, 2]);
    let mut client = all.client(2);
    for i in 0..20 {
        assert_eq!(client.create(&format!("/{i}"), b"", 0).err, 0);
    }
    until_equal(&all, 2, 1);
    let logs = |all: &Members, sid: usize| {
        let files = fs::read_dir(all.path(sid, "data/version-2")).unwrap();
        let names = files.map(|f| f.unwrap().file_name().into_string().unwrap());
        names.filter(|n| n.starts_with("log.")).count()
    };
    assert_eq!((logs(&all, 1), logs(&all, 2)), (1, 0));
    drop(client);
    // It comes back and fetches everything again.
    all.stop(2);
    all.start_all(&[2]);
    until_equal(&all, 2, 1);
    assert_eq!(all.client(2).get("/19", false).err, 0);
}

#[test]
fn learners_are_synced_from_memory_from_the_log_or_by_snapshot() {
    for (settings, lag, expected) in [
        ("", 20, (0, 1)),
        // More than the 500 transactions in memory: the log on disk.
        ("", 600, (0, 1)),
        ("snapshotSizeFactor=-1\n", 600, (1, 0)),
        ("commitLogCount=700\nsnapshotSizeFactor=-1\n", 600, (0, 1)),
        ("forceSnapshotSync=true\n", 20, (1, 0)),
    ] {
        let mut all = Members::new(&VOTERS, &format!("{WORDS}{settings}"));
        all.start_all(&[1, 2, 3]);
        let leader = all.leader();
        let learner = (1..=3).find(|sid| *sid != leader).unwrap();
        let mut client = all.client(leader);
        assert_eq!(client.create("/a", b"", 0).err, 0);
        until_equal(&all, learner, leader);
        all.stop(learner);
        let (snaps, diffs) = syncs(&all, leader);
        for _ in 0..lag {
            client.send(jute::proto::op::SET_DATA, &common::set_data("/a", b"x"));
        }
        for _ in 0..lag {
            assert_eq!(client.read().err, 0);
        }
        all.start_all(&[learner]);
        until_equal(&all, learner, leader);
        let (snaps_now, diffs_now) = syncs(&all, leader);
        assert_eq!((snaps_now - snaps, diffs_now - diffs), expected, "{settings:?} {lag}");
    }
}

#[test]
fn a_busy_election_port_ends_the_start_with_its_exit_code() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let lines = format!(
        "server.1=127.0.0.1:{}:{port}:participant\nserver.2={}:participant\n",
        common::ports::free_port(),
        address()
    );
    let all = Members::with_lines(2, &lines, |_| "electionPortBindRetry=1\n".to_owned());
    let failure = Server::start(options(&all.config(1))).err().expect("refused");
    assert_eq!(failure.exit_code(), 14, "{failure}");
    assert!(failure.to_string().contains(&port.to_string()), "{failure}");
    // A second attempt a second later may succeed.
    let all = Members::with_lines(2, &lines, |_| "electionPortBindRetry=0\n".to_owned());
    let options = options(&all.config(1));
    let waiting = std::thread::spawn(move || Server::start(options).map(|handle| handle.stop()));
    drop(busy);
    assert!(waiting.join().unwrap().is_ok());
}

/// `db.autocreate=false`: an emptied voter does not vote, whatever a first synchronisation left on
/// its disk, until it was synced whole.
#[test]
fn an_emptied_voter_is_marked_until_it_is_synced() {
    let mut all = Members::new(&VOTERS, "").flags("-Dzookeeper.db.autocreate=false");
    for sid in 1..=3 {
        fs::write(all.path(sid, "data/initialize"), "").unwrap();
    }
    all.start_all(&[1, 2, 3]);
    assert_eq!(all.client(1).create("/a", b"", 0).err, 0);
    for sid in 1..=3 {
        until_equal(&all, sid, 3);
        all.stop(sid);
    }
    let marker = all.path(1, "data/version-2/emptied");
    assert!(!marker.exists(), "`initialize` vouched for the empty directory");
    fs::remove_dir_all(all.path(1, "data/version-2")).unwrap();
    all.start(1);
    assert!(marker.exists());
    all.start(2);
    // 1 would make a majority with 2, and does not; 3 does.
    all.start_all(&[3]);
    all.until("1 has what it lost", |all| all.server(1).view().serving());
    assert!(!marker.exists());
    all.stop(3);
    all.until_led_by_another(3, &[1, 2]);
    assert_eq!(all.client(1).get("/a", false).err, 0);
    // It came by DIFF or SNAP; either way the directory is one a server starts from.
    all.stop(1);
    all.start_all(&[1]);
}

/// Addresses in brackets, everywhere. A machine without IPv6 cannot show anything.
#[test]
fn an_ensemble_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("there is no IPv6 here");
        return;
    }
    let own: Vec<String> = (0..3)
        .map(|_| {
            let [quorum, election, client] = [(); 3].map(|()| common::ports::free_port());
            format!("[::1]:{quorum}:{election}:participant;[::1]:{client}")
        })
        .collect();
    let lines: String = (1..).zip(&own).map(|(sid, a)| format!("server.{sid}={a}\n")).collect();
    let mut all = Members::with_lines(3, &lines, |_| format!("noClientPort\n{WORDS}"));
    all.start_all(&[1, 2, 3]);
    let mut client = all.client(2);
    assert_eq!(client.create("/a", b"", 0).err, 0);
    assert!(all.server(2).addresses()[0].is_ipv6());
    let long = |text: &str| text.replace("[::1]", "[0:0:0:0:0:0:0:1]");
    let conf = word(&all, 2, "conf");
    for (sid, address) in (1..).zip(&own) {
        let line = format!("server.{sid}={}\n", long(address));
        assert!(conf.contains(&line), "{line} in {conf}");
    }
    let cons = word(&all, 2, "cons");
    assert!(cons.contains(" /[0:0:0:0:0:0:0:1]:"), "{cons}");
    let config = client.get("/zookeeper/config", false);
    assert!(String::from_utf8_lossy(&config.body).contains(&long(&own[0])));
}
