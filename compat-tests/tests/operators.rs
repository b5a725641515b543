//! What servers tell operators: after the same requests, every four-letter word, every command of
//! the AdminServer and every metric must have the same form on both, alone and in each role of an
//! ensemble. What differs on purpose is named here and explained in `docs/compat.md`.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use compat_tests::ensemble::{Ensemble, Part, sync};
use compat_tests::program::differences;
use compat_tests::reports::{families, form, http, metric_names, only, shape};
use compat_tests::server::{Kind, Server, TARGET, free_port, scratch, subject};
use compat_tests::wire::{Hello, Session, ToBody, create_body};
use jute::Encode;
use jute::data::Acl;
use jute::proto::{SetAclRequest, op};

/// Values of `mntr` that follow from the requests alone.
const EXACT: [&str; 12] = [
    "zk_server_state",
    "zk_ephemerals_count",
    "zk_num_alive_connections",
    "zk_outstanding_requests",
    "zk_znode_count",
    "zk_global_sessions",
    "zk_local_sessions",
    "zk_watch_count",
    "zk_approximate_data_size",
    "zk_connection_drop_count",
    "zk_stale_sessions_expired",
    "zk_connection_rejected",
];

/// Every word. `stmk` takes its mask behind it.
const WORDS: [&str; 19] = [
    "ruok",
    "srvr",
    "stat",
    "cons",
    "conf",
    "dump",
    "envi",
    "wchs",
    "wchc",
    "wchp",
    "dirs",
    "isro",
    "gtmk",
    "stmk\0\0\0\0\0\0\u{1}\u{32}",
    "hash",
    "crst",
    "srst",
    "nope",
    "lead",
];

/// The class of the other provider.
const PROMETHEUS: &str = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider";

/// `super` with this password may run the guarded commands.
const SUPER: &str = "Authorization: digest super:test";

/// Of the password `test`.
const SUPER_DIGEST: &str =
    "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=";

/// Servers under load for minutes keep their sessions.
const SETTINGS: [(&str, &str); 6] = [
    ("4lw.commands.whitelist", "*"),
    ("admin.enableServer", "true"),
    ("admin.serverAddress", "127.0.0.1"),
    ("maxSessionTimeout", "600000"),
    ("minSessionTimeout", "600000"),
    // Every acknowledgement is measured, not each thousandth.
    ("leader.ackLoggingFrequency", "1"),
];

/// One test at a time: each starts several JVMs.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that serves, and where operators ask it.
struct Asked {
    server: Server,
    admin: u16,
    sessions: Vec<Session>,
}

fn alone(kind: Kind, home: &std::path::Path, more: &[(&str, String)]) -> Asked {
    let admin = free_port();
    let mut server = Server::new(kind, home).unwrap().set("admin.serverPort", admin);
    for (key, value) in SETTINGS {
        server = server.set(key, value);
    }
    for (key, value) in more {
        server = server.set(key, value);
    }
    let mut server = server.jvm_flag(SUPER_DIGEST);
    server.start().unwrap();
    let mut sessions: Vec<Session> =
        (0..3).map(|_| Session::open_with(server.address(), &lasting()).unwrap()).collect();
    requests(&mut sessions);
    Asked { server, admin, sessions }
}

fn lasting() -> Hello {
    Hello { timeout: 600_000, ..Hello::default() }
}

/// Znodes, ephemerals, watches and reads from each session; enough writes for a digest or two.
fn requests(sessions: &mut [Session]) {
    for (index, session) in sessions.iter_mut().enumerate() {
        let path = format!("/n{index}");
        session.must(op::CREATE, &create_body(&path, b"value", 0)).unwrap();
        session.must(op::CREATE, &create_body(&format!("/e{index}"), b"", 1)).unwrap();
        session.must(op::GET_DATA, &(Some(path), true).to_body()).unwrap();
        session.must(op::GET_CHILDREN, &(Some("/".to_owned()), true).to_body()).unwrap();
    }
    assert_eq!(sessions[0].create("/n0", b"", 0).unwrap(), -110);
    for _ in 0..150 {
        sessions[0].must(op::CREATE, &create_body("/n0/s-", b"x", 2)).unwrap();
    }
    for session in sessions {
        sync(session).unwrap();
    }
}

/// The answer to a word as its form: sorted and each line once where it comes in hash order.
fn word(server: &Server, word: &str) -> Vec<String> {
    let text = server.four_letter_word(word).unwrap_or_else(|e| format!("failed {e:#}"));
    let text = text.replace(&server.data_dir().display().to_string(), "DATA");
    let mut lines = form(&text);
    // Connections, sessions and paths come in hash order.
    lines.retain(|line| !line.is_empty());
    // The program's own version.
    lines.retain(|line| !line.starts_with("Zookeeper version:"));
    if word == "envi" {
        // The machine's; the keys are what counts.
        lines = lines.iter().map(|l| l.split('=').next().unwrap_or_default().to_owned()).collect();
    }
    if ["stat", "cons", "dump", "wchc", "wchp", "hash"].contains(&word) {
        lines.sort();
        lines.dedup();
    }
    lines
}

fn words(server: &Server) -> BTreeMap<String, Vec<String>> {
    WORDS.iter().map(|name| (name[..4].to_owned(), word(server, name))).collect()
}

/// What words of both differ in, a paragraph each.
fn compare_words(
    java: &BTreeMap<String, Vec<String>>,
    ours: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let pairs = java.iter().map(|(name, lines)| (name, differences(lines, &ours[name])));
    pairs.filter(|(_, d)| !d.is_empty()).map(|(n, d)| format!("{n}:\n{}", d.join("\n"))).collect()
}

fn values(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('\t').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// Metrics that one of both does not have, by their names without `zk_`: what only a JVM has
/// (`metrics.jvm`), what `metrics.pipeline` says stays empty here, and names of our own.
fn excused(name: &str) -> bool {
    let plain = name.strip_prefix("zk_").unwrap_or(name);
    plain.starts_with("jvm_")
        || plain.starts_with("process_")
        || plain.contains("rookeeper_")
        || plain.contains("learner_handler_qp_")
}

fn without_excused(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().filter(|name| !excused(name.trim_start_matches('.'))).collect()
}

/// Names of the commands on the page that lists them.
fn commands(admin: u16) -> Vec<String> {
    let page = http(admin, "GET", "/commands", &[], b"").unwrap().text();
    let parts = page.split("/commands/").skip(1);
    parts.filter_map(|part| Some(part.split_once('"')?.0.to_owned())).collect()
}

/// Aliases and mistakes besides.
const MORE: [&str; 8] =
    ["lead", "mntr", "stmk", "stmk?traceMask=2", "stmk?traceMask=x", "srvr", "rest", "nope"];

/// Status, kind and shape of what every command answers to GET and POST.
fn admin(port: u16, names: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for name in names.iter().map(String::as_str).chain(MORE) {
        for method in ["GET", "POST"] {
            let answer = http(port, method, &format!("/commands/{name}"), &[], b"").unwrap();
            all.insert(format!("{method} {name}"), lines_of(name, &answer));
        }
    }
    for (method, path) in [
        ("TRACE", "/commands"),
        ("PUT", "/commands/ruok"),
        ("DELETE", "/commands/ruok"),
        ("OPTIONS", "/commands/ruok"),
        ("HEAD", "/commands/ruok"),
        ("GET", "/commands/"),
        ("POST", "/commands"),
        ("GET", "/other"),
        ("GET", "/"),
    ] {
        let status = http(port, method, path, &[], b"").unwrap().status;
        all.insert(format!("{method} {path}"), BTreeSet::from([format!("status {status}")]));
    }
    all
}

fn lines_of(name: &str, answer: &compat_tests::reports::Answer) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(&answer.text()) {
        lines.insert(format!("type {}", answer.header("content-type").unwrap_or_default()));
        if name == "system_properties" {
            // The keys are a JVM's.
            let json = json.as_object().unwrap();
            lines.extend(json.values().map(|value| format!("{}", value.is_string())));
        } else {
            lines.extend(shape(&json));
        }
        if name == "monitor" || name == "mntr" {
            lines = without_excused(lines);
        }
    }
    lines.insert(format!("status {}", answer.status));
    lines
}

fn compare_sets(
    java: &BTreeMap<String, BTreeSet<String>>,
    ours: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let none = BTreeSet::new();
    let pairs =
        java.iter().map(|(name, lines)| (name, only(lines, ours.get(name).unwrap_or(&none))));
    pairs.filter(|(_, d)| !d.is_empty()).map(|(n, d)| format!("{n}:\n{}", d.join("\n"))).collect()
}

/// A server may be late with what it counts or applies after an answer, Java's with threads for just
/// that. What differs three times over differs.
fn agree(compare: impl Fn() -> Vec<String>) {
    let _turn = turn();
    let mut found = Vec::new();
    for _ in 0..3 {
        found = compare();
        if found.is_empty() {
            return;
        }
        println!("once more: {}", found.join("\n"));
    }
    panic!("{}", found.join("\n"));
}

#[test]
fn words_have_the_same_form() {
    agree(|| {
        let (a, b) = (scratch("words-java").unwrap(), scratch("words-ours").unwrap());
        let java = words(&alone(Kind::Java(TARGET), a.path(), &[]).server);
        let ours = words(&alone(subject(), b.path(), &[]).server);
        compare_words(&java, &ours)
    });
}

#[test]
fn mntr_has_the_same_keys() {
    agree(|| {
        let (a, b) = (scratch("mntr-java").unwrap(), scratch("mntr-ours").unwrap());
        let [java, ours] = [(Kind::Java(TARGET), a.path()), (subject(), b.path())]
            .map(|(kind, home)| alone(kind, home, &[]).server.four_letter_word("mntr").unwrap());
        let (java_values, our_values) = (values(&java), values(&ours));
        assert!(java_values.len() > 100, "Java shows only {} values", java_values.len());
        let pairs = EXACT.map(|key| (key, java_values.get(key), our_values.get(key)));
        let differ = pairs.iter().filter(|(_, java, ours)| java != ours);
        let differ = differ.map(|(key, java, ours)| format!("{key}: Java {java:?}, ours {ours:?}"));
        let names = [&java, &ours].map(|text| without_excused(metric_names(text)));
        differ.chain(only(&names[0], &names[1])).collect()
    });
}

#[test]
fn the_other_provider_has_the_same_families() {
    agree(other_provider);
}

fn other_provider() -> Vec<String> {
    let mut texts = Vec::new();
    for kind in [Kind::Java(TARGET), subject()] {
        let home = scratch("families").unwrap();
        let port = free_port();
        let settings = [
            ("metricsProvider.className", PROMETHEUS.to_owned()),
            ("metricsProvider.httpHost", "127.0.0.1".to_owned()),
            ("metricsProvider.httpPort", port.to_string()),
            // Java's then counts at once.
            ("metricsProvider.numWorkerThreads", "0".to_owned()),
        ];
        let asked = alone(kind, home.path(), &settings);
        let page = http(port, "GET", "/metrics", &[], b"").unwrap();
        let one = http(port, "GET", "/metrics?name[]=znode_count", &[], b"").unwrap();
        assert_eq!(families(&one.text()).len(), 2, "{}", one.text());
        let statuses: Vec<u16> = ["/other", "/"]
            .map(|path| http(port, "GET", path, &[], b"").unwrap().status)
            .into_iter()
            .chain([http(port, "TRACE", "/metrics", &[], b"").unwrap().status])
            .collect();
        texts.push((
            page.header("content-type").unwrap_or_default().to_ascii_lowercase(),
            without_excused(families(&page.text())),
            without_excused(metric_names(&asked.server.four_letter_word("mntr").unwrap())),
            statuses,
        ));
    }
    let (java, ours) = (&texts[0], &texts[1]);
    assert!(java.1.len() > 200, "{:?}", java.1);
    assert_eq!((&java.0, &java.3), (&ours.0, &ours.3));
    [only(&java.1, &ours.1), only(&java.2, &ours.2)].concat()
}

#[test]
fn admin_commands_have_the_same_shape() {
    agree(admin_commands);
}

fn admin_commands() -> Vec<String> {
    let (a, b) = (scratch("admin-java").unwrap(), scratch("admin-ours").unwrap());
    let mut java = alone(Kind::Java(TARGET), a.path(), &[]);
    let mut ours = alone(subject(), b.path(), &[]);
    let names = commands(java.admin);
    assert!(names.len() > 20, "{names:?}");
    let ours_too = commands(ours.admin);
    let missing: Vec<_> = names.iter().filter(|name| !ours_too.contains(name)).collect();
    assert!(missing.is_empty(), "only Java has {missing:?}");
    let mut found = compare_sets(&admin(java.admin, &names), &admin(ours.admin, &names));
    found.extend(compare_sets(&guarded(&mut java), &guarded(&mut ours)));
    found
}

/// The commands that need a permission, with and without it, ending with a restore.
fn guarded(asked: &mut Asked) -> BTreeMap<String, BTreeSet<String>> {
    // From now on only `super` may do everything at the root.
    let body =
        SetAclRequest { path: Some("/".into()), acl: Some(vec![Acl::world(1)]), version: -1 };
    asked.sessions[0].must(op::SET_ACL, &body.to_vec()).unwrap();
    let port = asked.admin;
    let mut all = BTreeMap::new();
    let mut ask = |method: &str, path: &str, auth: &[&str], body: &[u8]| {
        let answer = http(port, method, &format!("/commands/{path}"), auth, body).unwrap();
        let mut lines = lines_of(path, &answer);
        for name in ["last_zxid", "snapshot_size"] {
            if answer.header(name).is_some() {
                lines.insert(format!("header {name}"));
            }
        }
        let which = auth.first().copied().unwrap_or_default();
        // Ours says why in `error` (`admin.http.auth`, `admin.http.ratelimit`).
        lines.remove(".error text");
        lines.remove(".error null");
        all.insert(format!("{method} {path} {which} {}", body.len().min(100)), lines);
        answer
    };
    for path in ["snapshot", "restore"] {
        for method in ["GET", "POST"] {
            ask(method, path, &["Authorization: digest nobody:x"], b"");
            ask(method, path, &["Authorization: bogus x"], b"");
            ask(method, path, &["Authorization: digest a b c"], b"");
            ask(method, path, &["Authorization: digest"], b"");
        }
    }
    ask("POST", "snapshot", &[SUPER], b"");
    ask("GET", "restore", &[SUPER], b"");
    let snapshot = ask("GET", "snapshot?streaming=true", &[SUPER], b"");
    let whole = snapshot.header("snapshot_size") == Some(&*snapshot.body.len().to_string());
    // Each of these once in five minutes.
    ask("POST", "restore", &[SUPER], &snapshot.body);
    ask("POST", "restore", &[SUPER], b"not a snapshot");
    all.insert("the snapshot is whole".into(), BTreeSet::from([format!("{whole}")]));
    assert!(all.values().filter(|lines| lines.contains("status 200")).count() >= 2, "{all:?}");
    all
}

/// What the members of an ensemble say, by role.
#[derive(Default)]
struct Roles {
    words: BTreeMap<String, Vec<String>>,
    sets: BTreeMap<String, BTreeSet<String>>,
}

/// A leader, a follower and an observer of one kind. `names` are the commands to try, if not all
/// they list; with `prometheus` they have the other provider, and only metrics are looked at.
fn ensemble(kind: Kind, names: Option<&[String]>, prometheus: bool) -> (Roles, Vec<String>) {
    let members = [Part::Participant, Part::Participant, Part::Observer].map(|part| (kind, part));
    let mut all = Ensemble::new("roles", &members, &SETTINGS, &[SUPER_DIGEST]).unwrap();
    let ports: Vec<(u16, u16)> = all.sids().map(|_| (free_port(), free_port())).collect();
    for sid in all.sids() {
        let (admin, metrics) = ports[sid - 1];
        let server = all.server(sid);
        server.change("admin.serverPort", admin);
        if prometheus {
            server.change("metricsProvider.className", PROMETHEUS);
            server.change("metricsProvider.httpHost", "127.0.0.1");
            server.change("metricsProvider.httpPort", metrics);
            server.change("metricsProvider.numWorkerThreads", "0");
        }
    }
    all.start(&[1, 2, 3]).unwrap();
    let leader = all.await_leader(&[1, 2, 3]).unwrap();
    let mut sessions: Vec<Session> =
        all.sids().map(|sid| all.session_with(sid, &lasting()).unwrap()).collect();
    requests(&mut sessions);
    let listed = commands(ports[leader - 1].0);
    let mut roles = Roles::default();
    for sid in all.sids() {
        let mut role = None;
        all.until(&format!("server {sid} tells its role"), |all| {
            role = all.server(sid).mode();
            Ok(role.is_some())
        })
        .unwrap();
        let role = role.unwrap();
        let mntr = all.server(sid).four_letter_word("mntr").unwrap();
        let (admin_port, metrics_port) = ports[sid - 1];
        roles.sets.insert(format!("{role}: mntr"), without_excused(metric_names(&mntr)));
        if prometheus {
            let page = http(metrics_port, "GET", "/metrics", &[], b"").unwrap().text();
            roles.sets.insert(format!("{role}: metrics"), without_excused(families(&page)));
            continue;
        }
        for (request, lines) in admin(admin_port, names.unwrap_or(&listed)) {
            roles.sets.insert(format!("{role}: {request}"), lines);
        }
        for (name, lines) in words(all.server(sid)) {
            roles.words.insert(format!("{role}: {name}"), lines);
        }
    }
    drop(sessions);
    (roles, listed)
}

fn compare_roles(java: &Roles, ours: &Roles) -> Vec<String> {
    let roles = |roles: &Roles| -> BTreeSet<String> {
        let names = roles.sets.keys().filter_map(|key| key.split_once(": "));
        names.map(|(role, _)| role.to_owned()).collect()
    };
    let expected = ["leader", "follower", "observer"].map(str::to_owned);
    assert_eq!(roles(java), BTreeSet::from(expected.clone()));
    assert_eq!(roles(ours), BTreeSet::from(expected));
    // A member's is null in Java (`admin.initial_configuration`).
    let plain = |roles: &Roles| {
        let mut sets = roles.sets.clone();
        sets.retain(|key, _| !key.ends_with("initial_configuration"));
        sets
    };
    [compare_words(&java.words, &ours.words), compare_sets(&plain(java), &plain(ours))].concat()
}

#[test]
fn words_and_commands_agree_in_every_role() {
    agree(|| {
        let (java, names) = ensemble(Kind::Java(TARGET), None, false);
        let (ours, _) = ensemble(subject(), Some(&names), false);
        compare_roles(&java, &ours)
    });
}

#[test]
fn families_agree_in_every_role() {
    agree(|| {
        let (java, _) = ensemble(Kind::Java(TARGET), None, true);
        let (ours, _) = ensemble(subject(), None, true);
        compare_roles(&java, &ours)
    });
}
