//! TLS and SASL with unmodified Java clients, and between Java's servers and ours.
//!
//! Java takes Netty for TLS, and needs `fips-mode=false` where somebody logs in with DIGEST-MD5.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use compat_tests::ensemble::{Ensemble, Member, Part};
use compat_tests::program::{differences, transcript};
use compat_tests::proxy::Door;
use compat_tests::server::{
    Kind, Server, TARGET, cache_dir, copy_stores, free_port, jars, scratch, subject,
};

const NETTY: &str = "org.apache.zookeeper.server.NettyServerCnxnFactory";
const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// A server with a TLS port, and that port.
fn secure(kind: Kind, home: &Path, key: &str, trust: &str) -> (Server, u16) {
    let port = free_port();
    let server = Server::new(kind, home)
        .and_then(Server::with_stores)
        .unwrap()
        .set("serverCnxnFactory", NETTY)
        .set("4lw.commands.whitelist", "*")
        .set("secureClientPort", port)
        .set("secureClientPortAddress", "127.0.0.1")
        .set("X509AuthenticationProvider.superUser", "CN=admin,O=Test")
        .set("ssl.keyStore.location", format!("{{home}}/tls/{key}"))
        .set("ssl.keyStore.password", if key.ends_with(".pem") { "" } else { "secret" })
        .set("ssl.trustStore.location", format!("{{home}}/tls/{trust}"))
        .set("ssl.trustStore.password", if trust.ends_with(".pem") { "" } else { "secret" });
    (server, port)
}

/// Options that make a Java client speak TLS with the key of `who`.
fn tls_flags(stores: &Path, who: &str) -> Vec<String> {
    let store = |file: &str| stores.join(file).display().to_string();
    vec![
        "-Dzookeeper.client.secure=true".into(),
        "-Dzookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty".into(),
        format!("-Dzookeeper.ssl.keyStore.location={}", store(&format!("{who}.p12"))),
        "-Dzookeeper.ssl.keyStore.password=secret".into(),
        format!("-Dzookeeper.ssl.trustStore.location={}", store("trust.p12")),
        "-Dzookeeper.ssl.trustStore.password=secret".into(),
    ]
}

fn java(flags: &[String], main: &[&str]) -> Command {
    let class_path = format!(
        "{}:{}:{}/*",
        cache_dir().join("clients/java").display(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/images/rootfs/conf"),
        jars(TARGET).unwrap().display()
    );
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-Dzookeeper.root.level=OFF"]).args(flags);
    command.arg("-cp").arg(class_path).args(main);
    command
}

/// What Java's shell prints for `commands`, wherever it prints it, without prompts and events.
fn shell(flags: &[String], address: &str, commands: &str) -> Vec<String> {
    let mut command = java(flags, &["org.apache.zookeeper.ZooKeeperMain", "-server", address]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let noise = ["Connecting", "WATCHER::", "WatchedEvent", "org.jline", "WARNING: Unable"];
    let said = |line: &str| !line.is_empty() && !noise.iter().any(|n| line.contains(n));
    text.lines().map(without_prompts).filter(|line| said(line)).collect()
}

fn without_prompts(line: &str) -> String {
    let mut rest = line;
    while let Some((_, behind)) = rest.strip_prefix("[zk: ").and_then(|r| r.split_once(']')) {
        rest = behind.trim_start();
    }
    rest.to_owned()
}

#[test]
fn java_client_over_tls() {
    let run = |kind: Kind, key: &'static str, trust: &'static str| {
        let home = scratch("tls").unwrap();
        let stores = home.path().join("client");
        copy_stores(&stores).unwrap();
        let (mut server, port) = secure(kind, home.path(), key, trust);
        server.start().unwrap();
        let flags = tls_flags(&stores, "client");
        let door = Door::new(([127, 0, 0, 1], port).into()).unwrap();
        let command = java(&flags, &["Scenario", &door.address().to_string()]);
        let lines = transcript(command, "", || door.restart(&mut server, |_| ()));
        lines.unwrap_or_else(|error| panic!("{kind} {key}: {error:#}\n{}", server.log()))
    };
    let expected = run(Kind::Java(TARGET), "server.jks", "trust.jks");
    assert!(expected.len() >= 120, "{}", expected.join("\n"));
    for (key, trust) in [("server.jks", "trust.jks"), ("server.p12", "trust.pem")] {
        let found = differences(&expected, &run(subject(), key, trust));
        assert!(found.is_empty(), "{key}:\n{}", found.join("\n"));
    }
}

/// What a client's certificate makes of it: the same name on both servers, the same rights.
#[test]
fn certificates_are_the_same_identities() {
    let commands = "whoami\ncreate /own x auth::cdrwa\ngetAcl /own\nget /own\nget /other\n\
                    create /other x x509:CN=other:cdrwa\nget /other\nquit\n";
    let run = |kind: Kind| {
        let home = scratch("x509").unwrap();
        let stores = home.path().join("client");
        copy_stores(&stores).unwrap();
        let (mut server, port) = secure(kind, home.path(), "server.p12", "trust.p12");
        server.start().unwrap();
        let address = format!("127.0.0.1:{port}");
        // Java listens here after it serves at the other port.
        let deadline = Instant::now() + Duration::from_secs(180);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "{kind} does not listen at {address}");
            thread::sleep(Duration::from_millis(10));
        }
        ["client", "admin"].map(|who| shell(&tls_flags(&stores, who), &address, commands))
    };
    let expected = run(Kind::Java(TARGET));
    let actual = run(subject());
    assert!(expected[0].iter().any(|line| line.contains("x509: ") && line.contains("Client One")));
    let sorted = |mut lines: Vec<String>| {
        // The order of identities is that of a hash table.
        lines.sort();
        lines
    };
    for (expected, actual) in expected.into_iter().zip(actual) {
        let found = differences(&sorted(expected), &sorted(actual));
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

#[test]
fn java_client_logs_in_with_sasl() {
    let jaas = format!("Server {{ {MODULE} required user_bob=\"bob secret\" user_eve=\"x\"; }};\n");
    let commands = "whoami\ncreate /bob x sasl:bob:cdrwa\nget /bob\ngetAcl /bob\nquit\n";
    let run = |kind: Kind| {
        let home = scratch("sasl").unwrap();
        let mut server = Server::new(kind, home.path())
            .unwrap()
            .with_file("jaas.conf", &jaas)
            .unwrap()
            .set("authProvider.1", "org.apache.zookeeper.server.auth.SASLAuthenticationProvider")
            .jvm_flag("-Djava.security.auth.login.config={home}/jaas.conf");
        server.start().unwrap();
        let client = |user: &str, password: &str, commands: &str| {
            let file = home.path().join("client.conf");
            let section = format!(
                "Client {{ {MODULE} required username=\"{user}\" password=\"{password}\"; }};\n"
            );
            std::fs::write(&file, section).unwrap();
            let flags = vec![
                format!("-Djava.security.auth.login.config={}", file.display()),
                "-Dzookeeper.fips-mode=false".to_owned(),
            ];
            shell(&flags, &server.address().to_string(), commands)
        };
        [client("bob", "bob secret", commands), client("eve", "x", "get /bob\nwhoami\nquit\n")]
    };
    let (expected, actual) = (run(Kind::Java(TARGET)), run(subject()));
    assert!(expected[0].iter().any(|line| line.contains("sasl: bob")), "{expected:?}");
    assert!(expected[1].iter().any(|line| line.contains("Insufficient permission")));
    for (mut expected, mut actual) in expected.into_iter().zip(actual) {
        expected.sort();
        actual.sort();
        let found = differences(&expected, &actual);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

/// Settings of servers that speak TLS to each other.
fn quorum_tls() -> Vec<(&'static str, &'static str)> {
    vec![
        ("sslQuorum", "true"),
        ("ssl.quorum.keyStore.location", "{home}/tls/server.p12"),
        ("ssl.quorum.keyStore.password", "secret"),
        ("ssl.quorum.trustStore.location", "{home}/tls/trust.p12"),
        ("ssl.quorum.trustStore.password", "secret"),
    ]
}

const SASL: [(&str, &str); 4] = [
    ("fips-mode", "false"),
    ("quorum.auth.enableSasl", "true"),
    ("quorum.auth.learnerRequireSasl", "true"),
    ("quorum.auth.serverRequireSasl", "true"),
];

/// One server of each kind, the second leads; then an observer of the first kind.
fn ensemble(
    name: &str,
    first: Kind,
    second: Kind,
    settings: &[(&str, &str)],
    flags: &[&str],
) -> Result<()> {
    let begun = Instant::now();
    let members: [Member; 3] =
        [(first, Part::Participant), (second, Part::Participant), (first, Part::Observer)];
    let jaas = format!(
        "QuorumServer {{ {MODULE} required user_zk=\"secret\"; }};\n\
         QuorumLearner {{ {MODULE} required username=\"zk\" password=\"secret\"; }};\n"
    );
    let mut all = Ensemble::new(name, &members, settings, flags)?.with_secrets(Some(&jaas))?;
    all.start(&[1, 2])?;
    all.await_mode(2, "leader")?;
    all.await_mode(1, "follower")?;
    all.start(&[3])?;
    all.await_mode(3, "observer")?;
    for sid in [1, 2, 3] {
        let mut session = all.session(sid)?;
        ensure!(session.create(&format!("/from-{sid}"), &vec![7; 100_000], 0)? == 0, "{sid}");
    }
    all.assert_same(&[1, 2, 3])?;
    println!("{name}: {second} leads {first}: ok, {} s", begun.elapsed().as_secs());
    Ok(())
}

fn both(name: &str, settings: &[(&str, &str)], flags: &[&str]) {
    let java = Kind::Java(TARGET);
    ensemble(name, java, subject(), settings, flags).unwrap();
    ensemble(name, subject(), java, settings, flags).unwrap();
}

#[test]
fn mixed_ensembles_speak_tls() {
    both("quorum-tls", &quorum_tls(), &[]);
}

#[test]
fn mixed_ensembles_log_in() {
    both("quorum-sasl", &SASL, &["-Djava.security.auth.login.config={home}/jaas.conf"]);
}

#[test]
fn mixed_ensembles_check_names_without_fips_mode() {
    let mut settings = quorum_tls();
    settings.extend(SASL);
    both("quorum-both", &settings, &["-Djava.security.auth.login.config={home}/jaas.conf"]);
}
