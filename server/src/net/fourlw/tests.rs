//! Texts against samples of a Java server.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::base::{Mono, SessionId, Zxid};
use crate::net::view::*;

/// A literal server.
#[derive(Default)]
struct Literal {
    down: bool,
    mode: Option<Mode>,
    connections: Vec<ConnectionView>,
    sessions: SessionsView,
    watches: WatchesView,
    proposal: Option<(i64, i64, i64)>,
    peer: Option<PeerView>,
    resets: AtomicI64,
}

impl ServerView for Literal {
    fn serving(&self) -> bool {
        !self.down
    }
    fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Standalone)
    }
    fn stats(&self) -> StatsView {
        StatsView {
            packets_received: 10,
            packets_sent: 9,
            latency_min_ms: 1,
            latency_avg_ms: 58.0 / 7.0,
            latency_max_ms: 39,
            outstanding: 0,
            connections: 2,
            response_size: (16, 16, 99),
            uptime: Duration::from_millis(1234),
            ..StatsView::default()
        }
    }
    fn tree(&self) -> TreeView {
        TreeView {
            last_zxid: Zxid(0x1_0000_0006),
            node_count: 7,
            ephemerals_count: 1,
            data_size: 44,
            watch_count: 3,
            digests: vec![(Zxid(0x80), 1_371_985_504), (Zxid(0x100), -5)],
        }
    }
    fn connections(&self) -> Vec<ConnectionView> {
        self.connections.clone()
    }
    fn sessions(&self) -> SessionsView {
        self.sessions.clone()
    }
    fn watches(&self) -> WatchesView {
        self.watches.clone()
    }
    fn dir_sizes(&self) -> (u64, u64) {
        (478, 67_109_538)
    }
    fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        (vec!["0.0.0.0:25181".parse().unwrap()], Vec::new())
    }
    fn proposal_sizes(&self) -> Option<(i64, i64, i64)> {
        self.proposal
    }
    fn peer(&self) -> Option<PeerView> {
        self.peer.clone()
    }
    fn reset_stats(&self) {
        self.resets.fetch_add(1, Relaxed);
    }
    fn reset_connection_stats(&self) {
        self.resets.fetch_add(10, Relaxed);
    }
}

fn words(whitelist: Option<&[&str]>) -> Words {
    Words::new(Options {
        whitelist: whitelist.map(|names| names.iter().map(|n| (*n).to_owned()).collect()),
        version: "3.9.5-c63bec3, built on 2026-03-03 10:00 UTC".into(),
        conf: ConfOptions {
            data_dir: "/data/version-2".into(),
            data_log_dir: "/datalog/version-2".into(),
            tick_time: 2000,
            max_client_cnxns: 60,
            min_session_timeout: 4000,
            max_session_timeout: 40_000,
            client_port_listen_backlog: -1,
            server_id: 0,
            init_limit: 10,
            sync_limit: 5,
        },
        environment: Box::new(|| vec![("a.b", "1".to_owned()), ("c", "2=3".to_owned())]),
        metrics: Arc::new(Metrics::new(false)),
    })
}

fn ask(words: &Words, word: &[u8; 4], view: &Literal) -> String {
    ask_with(words, *word, &[], view)
}

fn ask_with(words: &Words, word: [u8; 4], rest: &[u8], view: &Literal) -> String {
    String::from_utf8(words.answer(Call { word, rest, view })).unwrap()
}

fn open(word: &[u8; 4], view: &Literal) -> String {
    ask(&words(None), word, view)
}

#[test]
fn known_words_and_their_arguments() {
    let some = words(Some(&["srvr"]));
    for word in WORDS {
        assert_eq!(some.needs(**word), Some(0));
        assert_eq!(words(None).needs(**word), Some(if *word == b"stmk" { 8 } else { 0 }));
    }
    for word in [b"lead", b"kill", b"zzzz", b"SRVR", b"\0\0\0\x2d"] {
        assert_eq!(some.needs(*word), None);
    }
    assert_eq!(some.needs(TELNET_CLOSE), Some(0));
    assert_eq!(words(None).needs(TELNET_CLOSE), None);
}

#[test]
fn refused_words_say_so() {
    let some = words(Some(&["srvr"]));
    let view = Literal::default();
    assert_eq!(
        ask(&some, b"ruok", &view),
        "ruok is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(
        ask(&some, &TELNET_CLOSE, &view),
        "telnet close is not executed because it is not in the whitelist.\n"
    );
    assert!(ask(&some, b"srvr", &view).starts_with("Zookeeper version: 3.9.5"));
    assert_eq!(view.resets.load(Relaxed), 0);
}

#[test]
fn a_server_that_does_not_serve() {
    let view = Literal { down: true, ..Literal::default() };
    let words = words(None);
    for word in WORDS {
        let expected = match *word {
            b"ruok" => "imok",
            b"isro" => "null",
            b"gtmk" => "306",
            b"stmk" => "0",
            b"envi" => "Environment:\na.b=1\nc=2=3\n",
            b"hash" => "This ZooKeeper instance is not currently serving requests",
            _ => "This ZooKeeper instance is not currently serving requests\n",
        };
        assert_eq!(ask(&words, word, &view), expected, "{}", String::from_utf8_lossy(*word));
    }
}

const SRVR: &str = "Latency min/avg/max: 1/8.2857/39\nReceived: 10\nSent: 9\nConnections: 2\n\
    Outstanding: 0\nZxid: 0x100000006\n";

#[test]
fn srvr_in_each_role() {
    let version = "Zookeeper version: 3.9.5-c63bec3, built on 2026-03-03 10:00 UTC\n";
    for (mode, proposal, before, after) in [
        (Mode::Standalone, None, "", "Mode: standalone\nNode count: 7\n"),
        (Mode::Follower, None, "", "Mode: follower\nNode count: 7\n"),
        (Mode::Observer, None, "", "Mode: observer\nNode count: 7\n"),
        (
            Mode::Leader,
            Some((89, 48, 89)),
            "",
            "Mode: leader\nNode count: 7\nProposal sizes last/min/max: 89/48/89\n",
        ),
        (
            Mode::ReadOnly,
            None,
            "READ-ONLY mode; serving only read-only clients\n",
            "Mode: read-only\nNode count: 7\n",
        ),
    ] {
        let view = Literal { mode: Some(mode), proposal, ..Literal::default() };
        assert_eq!(open(b"srvr", &view), format!("{version}{before}{SRVR}{after}"));
    }
}

fn with_connections() -> Literal {
    let quiet = ConnectionView {
        remote: "127.0.0.1:52864".parse().unwrap(),
        interest_ops: 0,
        outstanding: 0,
        received: 1,
        sent: 0,
        secure: false,
        established_ms: 0,
        session: None,
    };
    let busy = ConnectionView {
        remote: "[::1]:52830".parse().unwrap(),
        interest_ops: 1,
        received: 9,
        sent: 9,
        session: Some(ConnectionSessionView {
            id: SessionId(0x0100_0014_a679_0000),
            timeout_ms: 10_000,
            established_ms: 1_795_268_471_592,
            last_op: Some(jute::proto::op::GET_DATA),
            last_cxid: 8,
            last_zxid: Zxid(0x1_0000_0003),
            last_response: Mono(1_356_528),
            last_latency_ms: 1,
            min_latency_ms: 0,
            avg_latency_ms: 21,
            max_latency_ms: 89,
        }),
        ..quiet.clone()
    };
    Literal { connections: vec![quiet, busy], ..Literal::default() }
}

#[test]
fn cons_and_stat() {
    let view = with_connections();
    assert_eq!(
        open(b"cons", &view),
        " /127.0.0.1:52864[0](queued=0,recved=1,sent=0)\n \
         /[0:0:0:0:0:0:0:1]:52830[1](queued=0,recved=9,sent=9,sid=0x1000014a6790000,lop=GETD,\
         est=1795268471592,to=10000,lcxid=0x8,lzxid=0x100000003,lresp=1356528,llat=1,minlat=0,\
         avglat=21,maxlat=89)\n\n"
    );
    let stat = open(b"stat", &view);
    let (head, rest) = stat.split_once("Clients:\n").unwrap();
    assert_eq!(head, "Zookeeper version: 3.9.5-c63bec3, built on 2026-03-03 10:00 UTC\n");
    assert_eq!(
        rest,
        format!(
            " /127.0.0.1:52864[0](queued=0,recved=1,sent=0)\n \
             /[0:0:0:0:0:0:0:1]:52830[1](queued=0,recved=9,sent=9)\n\n{SRVR}Mode: standalone\n\
             Node count: 7\n"
        )
    );
    let mut view = view;
    view.connections.remove(0);
    view.connections[0].session.as_mut().unwrap().last_cxid = -2;
    assert!(!open(b"cons", &view).contains("lcxid"), "negative ones are not shown");
    let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().unwrap();
    assert_eq!(java_address(mapped), "/10.0.0.1:5");
}

#[test]
fn dump_of_an_expiring_server_and_of_a_learner() {
    let at = |s: i64| 1_795_268_483_000 + s * 1000;
    let session = SessionId(0x3000014a7b90000);
    let sessions = SessionsView {
        buckets: vec![(at(0), vec![]), (at(2), vec![session])],
        sessions: vec![(session, 10_000), (SessionId(1), 4000)],
        ephemerals: vec![(session, vec!["/w/e".into()])],
        connections: vec![(at(12), vec![("127.0.0.1:41870".parse().unwrap(), SessionId(0))])],
    };
    let tail = format!(
        "ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x3000014a7b90000:\n\t/w/e\n\
         Connections dump:\nConnections Sets (1)/(1):\n1 expire at {}:\n\
         \tip: /127.0.0.1:41870 sessionId: 0x0\n",
        java_date(at(12))
    );
    let view = Literal { sessions, ..Literal::default() };
    assert_eq!(
        open(b"dump", &view),
        format!(
            "SessionTracker dump:\nSession Sets (2)/(1):\n0 expire at {}:\n1 expire at {}:\n\
             \t0x3000014a7b90000\n{tail}",
            java_date(at(0)),
            java_date(at(2))
        )
    );
    let view = Literal { mode: Some(Mode::Follower), ..view };
    assert_eq!(
        open(b"dump", &view),
        format!(
            "SessionTracker dump:\nGlobal Sessions(2):\n0x1\t4000ms\n\
             0x3000014a7b90000\t10000ms\n{tail}"
        )
    );
}

#[test]
fn dates_are_javas() {
    // In whatever zone this runs: the shape is `Sat Nov 21 13:41:23 UTC 2026`.
    let words: Vec<String> = java_date(1_795_268_483_000).split(' ').map(str::to_owned).collect();
    assert_eq!(words.len(), 6, "{words:?}");
    assert!(words[0].len() == 3 && words[1] == "Nov" && words[2].len() == 2);
    assert!(words[3].len() == 8 && words[5] == "2026");
}

#[test]
fn conf_standalone_and_in_a_quorum() {
    let alone = "clientPort=25181\nsecureClientPort=-1\ndataDir=/data/version-2\n\
        dataDirSize=478\ndataLogDir=/datalog/version-2\ndataLogSize=67109538\ntickTime=2000\n\
        maxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n\
        clientPortListenBacklog=-1\nserverId=0\n";
    assert_eq!(open(b"conf", &Literal::default()), alone);
    let peer = PeerView {
        election_ports: vec![24301, 24302],
        quorum_ports: vec![24201],
        membership: "server.1=a:1:2:participant\nversion=100000000".into(),
        ..PeerView::default()
    };
    let view = Literal { peer: Some(peer), ..Literal::default() };
    assert_eq!(
        open(b"conf", &view),
        format!(
            "{alone}initLimit=10\nsyncLimit=5\nelectionAlg=3\nelectionPort=24301|24302\n\
             quorumPort=24201\npeerType=0\nmembership: \nserver.1=a:1:2:participant\n\
             version=100000000"
        )
    );
}

#[test]
fn watches_and_small_words() {
    let (a, b) = (SessionId(0x10), SessionId(0x20));
    let watches = WatchesView {
        by_session: vec![(a, vec!["/w".into(), "/w/e".into()]), (b, vec!["/w".into()])],
        total: 3,
        paths: 2,
    };
    let view = Literal { watches, ..Literal::default() };
    assert_eq!(open(b"wchs", &view), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(open(b"wchc", &view), "0x10\n\t/w\n\t/w/e\n0x20\n\t/w\n\n");
    assert_eq!(open(b"wchp", &view), "/w\n\t0x10\n\t0x20\n/w/e\n\t0x10\n\n");
    assert_eq!(open(b"wchc", &Literal::default()), "\n");
    assert_eq!(open(b"dirs", &view), "datadir_size: 478\nlogdir_size: 67109538\n");
    assert_eq!(open(b"hash", &view), "80: 1371985504\n100: -5\n");
    assert_eq!(open(b"isro", &view), "rw");
    let read_only = Literal { mode: Some(Mode::ReadOnly), ..Literal::default() };
    assert_eq!(open(b"isro", &read_only), "ro");
    assert_eq!(open(b"crst", &view), "Connection stats reset.\n");
    assert_eq!(open(b"srst", &view), "Server stats reset.\n");
    assert_eq!(view.resets.load(Relaxed), 11);
}

#[test]
fn trace_mask() {
    let (words, view) = (words(None), Literal::default());
    assert_eq!(ask(&words, b"gtmk", &view), "306");
    assert_eq!(ask_with(&words, *b"stmk", &2i64.to_be_bytes(), &view), "2");
    assert_eq!(ask(&words, b"gtmk", &view), "2");
}

/// `testdata/mntr-standalone.txt` holds the sorted keys of an idle Java 3.9.5 server.
#[test]
fn mntr_has_javas_keys() {
    let text = open(b"mntr", &Literal::default());
    assert!(text.starts_with(
        "zk_version\t3.9.5-c63bec3, built on 2026-03-03 10:00 UTC\nzk_server_state\tstandalone\n"
    ));
    let keys = text.lines().map(|line| line.split_once('\t').expect("a tab").0);
    // Our own say so in their names.
    let keys: BTreeSet<_> = keys.filter(|key| !key.contains("rookeeper_")).collect();
    let javas: BTreeSet<_> = include_str!("testdata/mntr-standalone.txt").lines().collect();
    assert_eq!(keys.difference(&javas).collect::<Vec<_>>(), Vec::<&&str>::new(), "too many");
    assert_eq!(javas.difference(&keys).collect::<Vec<_>>(), Vec::<&&str>::new(), "missing");
    for line in [
        "zk_avg_latency\t8.2857",
        "zk_znode_count\t7",
        "zk_uptime\t1234",
        "zk_connection_drop_probability\t0.0",
        "zk_avg_readlatency\t0.0",
        "zk_p999_readlatency\t0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
}

#[test]
fn mntr_of_a_leader() {
    let leader = LeaderView { learners: 2, synced_followers: 1, ..LeaderView::default() };
    let peer = PeerView {
        state: "leading - broadcast".into(),
        quorum_size: 3,
        synced_observers: Some(1),
        leader: Some(leader),
        ..PeerView::default()
    };
    let view = Literal {
        mode: Some(Mode::Leader),
        proposal: Some((1, 2, 3)),
        peer: Some(peer),
        ..Literal::default()
    };
    let text = open(b"mntr", &view);
    assert!(text.contains("zk_server_state\tleader\nzk_peer_state\tleading - broadcast\n"));
    for line in [
        "zk_quorum_size\t3",
        "zk_learners\t2",
        "zk_synced_followers\t1",
        "zk_synced_observers\t1",
        "zk_pending_syncs\t0",
        "zk_last_proposal_size\t1",
        "zk_max_proposal_size\t3",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
}
