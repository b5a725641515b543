//! Four-letter words: after the same requests, monitoring must read the same from both servers.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use compat_tests::program::differences;
use compat_tests::server::{Kind, Server, TARGET, scratch, subject};
use compat_tests::wire::{Session, ToBody, create_body};
use jute::proto::op;

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

fn server(kind: Kind, home: &std::path::Path) -> (Server, Vec<Session>) {
    let mut server = Server::new(kind, home).unwrap().set("4lw.commands.whitelist", "*");
    server.start().unwrap();
    let mut sessions: Vec<Session> =
        (0..3).map(|_| Session::open(server.address()).unwrap()).collect();
    for (index, session) in sessions.iter_mut().enumerate() {
        let path = format!("/n{index}");
        session.must(op::CREATE, &create_body(&path, b"value", 0)).unwrap();
        session.must(op::CREATE, &create_body(&format!("/e{index}"), b"", 1)).unwrap();
        session.must(op::GET_DATA, &(Some(path), true).to_body()).unwrap();
        session.must(op::GET_CHILDREN, &(Some("/".to_owned()), true).to_body()).unwrap();
    }
    assert_eq!(sessions[0].create("/n0", b"", 0).unwrap(), -110);
    (server, sessions)
}

/// Numbers become `N` (and so do hexadecimal ones), so that only the form is left.
fn form(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut out = String::new();
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            if !c.is_ascii_digit() {
                out.push(c);
                continue;
            }
            out.push('N');
            if c == '0' && chars.peek() == Some(&'x') {
                chars.next();
                while chars.peek().is_some_and(char::is_ascii_hexdigit) {
                    chars.next();
                }
            }
            while chars.peek().is_some_and(|c| c.is_ascii_digit() || *c == '.') {
                chars.next();
            }
        }
        lines.push(out.trim_end().to_owned());
    }
    lines
}

fn values(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| line.split_once('\t').map(|(k, v)| (k.to_owned(), v.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn words_have_the_same_form() {
    let (a, b) = (scratch("words-java").unwrap(), scratch("words-ours").unwrap());
    let (java, _java_sessions) = server(Kind::Java(TARGET), a.path());
    let (ours, _our_sessions) = server(subject(), b.path());
    let mut found = Vec::new();
    for word in [
        "ruok", "srvr", "stat", "cons", "conf", "dump", "wchs", "wchc", "wchp", "dirs", "isro",
        "gtmk", "crst", "srst", "hash", "nope",
    ] {
        let ask = |server: &Server| {
            let text = server.four_letter_word(word).unwrap_or_else(|e| format!("failed {e}"));
            let text = text.replace(&server.data_dir().display().to_string(), "DATA");
            let mut lines = form(&text);
            // Connections, sessions and paths come in hash order.
            lines.retain(|line| !line.is_empty());
            // The name of the time zone is the machine's.
            for line in &mut lines {
                *line = line.replace(" GMT ", " UTC ");
            }
            // The program's own version, and how fast it was.
            lines.retain(|line| !line.starts_with("Zookeeper version:"));
            if ["stat", "cons", "dump", "wchc", "wchp", "hash"].contains(&word) {
                lines.sort();
                lines.dedup();
            }
            lines
        };
        let lines = differences(&ask(&java), &ask(&ours));
        if !lines.is_empty() {
            found.push(format!("{word}:\n{}", lines.join("\n")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn mntr_has_the_same_keys() {
    let (a, b) = (scratch("mntr-java").unwrap(), scratch("mntr-ours").unwrap());
    let (java, _java_sessions) = server(Kind::Java(TARGET), a.path());
    let (ours, _our_sessions) = server(subject(), b.path());
    let java = values(&java.four_letter_word("mntr").unwrap());
    let ours = values(&ours.four_letter_word("mntr").unwrap());
    assert!(java.len() > 100, "Java shows only {} values", java.len());
    for key in EXACT {
        assert_eq!(java.get(key), ours.get(key), "{key}");
    }
    // What only a JVM has, and what Java counts per name below the root; ours does not.
    let excused = |key: &&String| {
        key.starts_with("zk_jvm_")
            || key.starts_with("zk_process_")
            || key.ends_with("_read_per_namespace")
            || key.ends_with("_write_per_namespace")
    };
    let missing: Vec<&String> =
        java.keys().filter(|key| !ours.contains_key(*key)).filter(|key| !excused(key)).collect();
    assert!(missing.is_empty(), "Java has {missing:?}");
    // Names of our own say so.
    let own = |key: &&String| !java.contains_key(*key) && !key.contains("rookeeper_");
    let extra: Vec<&String> = ours.keys().filter(own).collect();
    assert!(extra.is_empty(), "only ours has {extra:?}");
}
