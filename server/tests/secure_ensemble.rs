//! Members in this process that protect what they say to each other.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use common::ports::free_port;
use common::stores::{LIMIT, agree, client_options, meet, open, shown, store};
use common::*;
use rookeeper::auth::{Stream, Tls, TlsOptions};
use rookeeper::config::{Config, JvmFlags};
use rookeeper::server::Server;
use tempfile::TempDir;

const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// Quorum and election ports, and what every member's file says of them.
struct Plan {
    ports: Vec<(u16, u16)>,
}

impl Plan {
    fn new(members: usize) -> Self {
        Self { ports: (0..members).map(|_| (free_port(), free_port())).collect() }
    }

    /// Starts member `id`, from 1.
    fn start(&self, id: usize, text: &str, jaas: Option<&str>) -> TestServer {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("myid"), id.to_string()).unwrap();
        let mut flags = String::new();
        if let Some(jaas) = jaas {
            let file = dir.path().join("jaas.conf");
            std::fs::write(&file, jaas).unwrap();
            flags = format!("-Djava.security.auth.login.config={}", file.display());
        }
        let members: String = self
            .ports
            .iter()
            .enumerate()
            .map(|(at, (quorum, election))| {
                format!("server.{}=127.0.0.1:{quorum}:{election}\n", at + 1)
            })
            .collect();
        let head = format!(
            "tickTime=500\ninitLimit=60\nsyncLimit=60\nelectionPortBindRetry=0\n\
             4lw.commands.whitelist=*\n{members}{text}"
        );
        TestServer::configured_on(dir, &head, &flags)
    }

    fn election(&self, id: usize) -> SocketAddr {
        ([127, 0, 0, 1], self.ports[id - 1].1).into()
    }
}

/// TLS with these keys of `zoo.cfg` besides the stores.
fn tls(more: &str) -> String {
    format!(
        "ssl.quorum.keyStore.location={}\nssl.quorum.trustStore.location={}\n{more}",
        store("server.pem").display(),
        store("trust.pem").display()
    )
}

/// What a member says it is.
fn mode(server: &TestServer) -> String {
    let answer = server.word("srvr");
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.unwrap_or("none").to_owned()
}

/// Until the members are one leader and its followers.
fn await_quorum(members: &[&TestServer]) {
    let begun = Instant::now();
    loop {
        let modes: Vec<_> = members.iter().map(|server| mode(server)).collect();
        let count = |what: &str| modes.iter().filter(|mode| *mode == what).count();
        if count("leader") == 1 && count("follower") == modes.len() - 1 {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{modes:?}");
        std::thread::yield_now();
    }
}

/// A write at one member is seen at the others.
fn write_and_read(members: &[&TestServer], path: &str) {
    assert_eq!(members[0].client().create(path, b"x", 0).err, 0);
    for server in members {
        let mut client = server.client();
        client.call(jute::proto::op::SYNC, &path_of(path));
        assert_eq!(client.get(path, false).err, 0);
    }
}

fn path_of(path: &str) -> Vec<u8> {
    let mut out = (path.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(path.as_bytes());
    out
}

fn refuses(text: &str) -> String {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("myid"), "1").unwrap();
    let file = dir.path().join("zoo.cfg");
    let text = format!(
        "dataDir={}\nclientPort=0\ninitLimit=5\nsyncLimit=5\nserver.1=127.0.0.1:1:2\n\
         server.2=127.0.0.1:3:4\n{text}",
        dir.path().display()
    );
    std::fs::write(&file, text).unwrap();
    match Config::load(&file, &JvmFlags::default()) {
        Err(error) => error.to_string(),
        Ok(config) => match Server::start(options(&config)) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("it starts"),
        },
    }
}

#[test]
fn members_speak_tls_and_nothing_else() {
    let plan = Plan::new(3);
    let text = tls("sslQuorum=true\n");
    let members: Vec<_> = (1..=3).map(|id| plan.start(id, &text, None)).collect();
    let all: Vec<_> = members.iter().collect();
    await_quorum(&all);
    write_and_read(&all, "/over-tls");
    // Whoever speaks plainly hears nothing but perhaps an alert.
    let mut plain = TcpStream::connect(plan.election(1)).unwrap();
    plain.write_all(b"\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\x09\0\0\0\0").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.first().is_none_or(|first| *first == 0x15), "{answer:?}");
    // TLS without a certificate is refused, with one it is heard.
    let dial = |key: &str| {
        let enabled_protocols = Some(vec!["TLSv1.2".to_owned()]);
        let tls = open(TlsOptions { enabled_protocols, ..client_options(key) });
        let socket = TcpStream::connect(plan.election(1)).unwrap();
        Stream::dial(socket, &tls, "localhost", LIMIT)
    };
    assert!(dial("").is_err());
    assert!(dial("unknown.pem").is_err());
    assert!(dial("server.pem").is_ok());
    members.into_iter().for_each(|member| drop(member.stop()));
}

#[test]
fn an_ensemble_turns_to_tls_without_a_pause() {
    // The first has only its ports unified, the second dials TLS already, the third does TLS only.
    let plan = Plan::new(3);
    let one = plan.start(1, &tls("portUnification=true\n"), None);
    let two = plan.start(2, &tls("portUnification=true\nsslQuorum=true\n"), None);
    await_quorum(&[&one, &two]);
    write_and_read(&[&one, &two], "/both");
    let three = plan.start(3, &tls("portUnification=true\nsslQuorum=true\n"), None);
    await_quorum(&[&one, &two, &three]);
    write_and_read(&[&three, &one, &two], "/all");
    for member in [one, two, three] {
        member.stop();
    }
}

fn jaas(user: &str, password: &str) -> String {
    format!(
        "QuorumServer {{ {MODULE} required user_zk=\"secret\"; }};\n\
         QuorumLearner {{ {MODULE} required username=\"{user}\" password=\"{password}\"; }};"
    )
}

const SASL: &str = "fips-mode=false\nquorum.auth.enableSasl=true\n\
                    quorum.auth.learnerRequireSasl=true\nquorum.auth.serverRequireSasl=true\n";

#[test]
fn members_log_in_at_each_other() {
    let plan = Plan::new(3);
    let right = jaas("zk", "secret");
    let one = plan.start(1, SASL, Some(&right));
    let two = plan.start(2, &format!("{SASL}{}", ""), Some(&right));
    await_quorum(&[&one, &two]);
    write_and_read(&[&one, &two], "/logged-in");
    // One with a wrong password stays outside; it dials the others, whose sids are lower.
    let wrong = plan.start(3, SASL, Some(&jaas("zk", "wrong")));
    let leader_of_none = mode(&wrong);
    assert!(leader_of_none != "leader" && leader_of_none != "follower", "{leader_of_none}");
    write_and_read(&[&one, &two], "/still");
    wrong.stop();
    let three = plan.start(3, &tls(SASL), Some(&right));
    await_quorum(&[&one, &two, &three]);
    for member in [one, two, three] {
        member.stop();
    }
}

#[test]
fn sections_have_names_of_their_own_and_tls_goes_below() {
    let plan = Plan::new(2);
    let renamed =
        jaas("zk", "secret").replace("QuorumServer", "Peers").replace("QuorumLearner", "Me");
    let text = tls(&format!(
        "sslQuorum=true\n{SASL}quorum.auth.server.saslLoginContext=Peers\n\
         quorum.auth.learner.saslLoginContext=Me\n"
    ));
    let one = plan.start(1, &text, Some(&renamed));
    let two = plan.start(2, &text, Some(&renamed));
    await_quorum(&[&one, &two]);
    write_and_read(&[&two, &one], "/x");
    one.stop();
    two.stop();
}

/// TLS of the quorum ports as these keys ask for it.
fn quorum_tls(text: &str) -> Result<Tls, String> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, format!("dataDir={}\nclientPort=0\n{text}", dir.path().display()))
        .unwrap();
    let config = Config::load(&file, &JvmFlags::default()).map_err(|error| error.to_string())?;
    Tls::open(config.quorum_tls_options()).map_err(|error| error.to_string())
}

#[test]
fn versions_suites_and_trust_are_the_configured_ones() {
    let with = |more: &str| quorum_tls(&tls(more)).unwrap();
    let (old, new) = ("ssl.quorum.enabledProtocols=TLSv1.2", "ssl.quorum.enabledProtocols=TLSv1.3");
    assert!(agree(&with(""), &with(old)) && agree(&with(new), &with("")));
    assert!(!agree(&with(old), &with(new)));
    let suite = |name: &str| with(&format!("{old}\nssl.quorum.ciphersuites={name}"));
    let (one, other) =
        ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert!(agree(&suite(one), &suite(one)));
    assert!(!agree(&suite(one), &suite(other)));

    let dir = TempDir::new().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let renamed = dir.path().join("trust.txt");
    std::fs::copy(store("trust.pem"), &renamed).unwrap();
    let trust = |location: &std::path::Path, more: &str| {
        let location = location.display();
        quorum_tls(&tls(&format!(
            "sslQuorum=true\nssl.quorum.trustStore.location={location}\n{more}"
        )))
    };
    let password = format!("ssl.quorum.trustStore.passwordPath={}", password.display());
    let wrong = "ssl.quorum.trustStore.password=wrong";
    for good in [
        trust(&store("trust.jks"), "ssl.quorum.trustStore.password=secret"),
        trust(&store("trust.p12"), &format!("{wrong}\n{password}")),
        trust(&renamed, "ssl.quorum.trustStore.type=PEM"),
    ] {
        assert!(agree(&good.unwrap(), &with("")));
    }
    assert!(trust(&store("trust.jks"), wrong).unwrap_err().contains("password was incorrect"));
    assert!(trust(&renamed, "").unwrap_err().contains("ssl.quorum.trustStore.location="));
}

/// `fips-mode`, the default, looks at no names. Without it each end looks at the other's.
#[test]
fn names_of_members_count_without_fips_mode() {
    let member = |file: &str, more: &str| {
        let trust = store("trust-two.pem");
        quorum_tls(&format!(
            "ssl.quorum.keyStore.location={}\nssl.quorum.trustStore.location={}\n{more}",
            store(file).display(),
            trust.display()
        ))
        .unwrap()
    };
    let ok = |server: &Tls, client: &Tls| {
        let (a, b) = meet(server, client, "localhost");
        (a.is_ok(), b.is_ok())
    };
    let here = |more: &str| member("server.pem", more);
    let there = member("elsewhere.pem", "");
    assert_eq!(ok(&there, &here("")), (true, true));
    assert_eq!(ok(&here(""), &there), (true, true));
    let strict = "fips-mode=false\n";
    assert!(!ok(&there, &here(strict)).1, "whom we dial");
    assert!(!ok(&here(strict), &there).0, "who dials us");
    assert_eq!(ok(&here(strict), &here(strict)), (true, true));
    let dials = format!("{strict}ssl.quorum.clientHostnameVerification=false\n");
    assert!(!ok(&there, &here(&dials)).1);
    assert_eq!(ok(&here(&dials), &there), (true, true));
    let none = format!("{strict}ssl.quorum.hostnameVerification=false\n");
    assert_eq!(ok(&there, &here(&none)), (true, true));
    assert_eq!(ok(&here(&none), &there), (true, true));
    // A member whose certificate has its name only: a reverse look-up helps unless it is forbidden.
    let named = member("self.pem", "");
    let local = dns_lookup::lookup_addr(&[127, 0, 0, 1].into()).is_ok_and(|h| h == "localhost");
    assert_eq!(ok(&here(strict), &named).0, local);
    let never = format!("{strict}ssl.quorum.allowReverseDnsLookup=false\n");
    assert!(!ok(&here(&never), &named).0);
}

#[test]
fn changed_stores_are_taken_if_that_is_configured() {
    let dir = TempDir::new().unwrap();
    let location = dir.path().join("server.pem");
    std::fs::copy(store("server.pem"), &location).unwrap();
    let at = |more: &str| {
        let location = location.display();
        quorum_tls(&tls(&format!("ssl.quorum.keyStore.location={location}\n{more}"))).unwrap()
    };
    let (watching, fixed) = (at("sslQuorumReloadCertFiles=true\n"), at(""));
    let fresh = dir.path().join("fresh.pem");
    std::fs::copy(store("renewed.pem"), &fresh).unwrap();
    std::fs::rename(&fresh, &location).unwrap();
    assert_eq!(shown(&watching, "localhost"), "CN=renewed,O=Test,C=XX");
    assert_eq!(shown(&fixed, "localhost"), "CN=server,O=Test,C=XX");
    assert!(quorum_tls("sslQuorumReloadCertFiles=maybe").unwrap_err().contains("true, false"));
}

#[test]
fn mistakes_are_told_at_the_start() {
    let key = |file: &str, more: &str| {
        format!("sslQuorum=true\nssl.quorum.keyStore.location={}\n{more}", store(file).display())
    };
    for (text, why) in [
        ("sslQuorum=true\n".to_owned(), "ssl.quorum.keyStore.location"),
        (key("server.p12", "ssl.quorum.keyStore.password=wrong\n"), "password was incorrect"),
        (key("server.jks", "ssl.quorum.keyStore.passwordPath=nowhere\n"), "passwordPath=nowhere"),
        (key("server.pem", "ssl.quorum.keyStore.type=XYZ\n"), "Bad value for XYZ"),
        (key("server.pem", "ssl.quorum.protocol=SSLv3\n"), "ssl.quorum.protocol"),
        (key("server.pem", "ssl.quorum.enabledProtocols=x\n"), "ssl.quorum.enabledProtocols"),
        (key("server.pem", "ssl.quorum.ciphersuites=x\n"), "ssl.quorum.ciphersuites"),
        (key("server.pem", "ssl.quorum.clientAuth=x\n"), "ssl.quorum.clientAuth"),
        (key("server.pem", "ssl.quorum.crl=true\n"), "ssl.quorum.crl"),
        (key("server.pem", "ssl.quorum.ocsp=true\n"), "ssl.quorum.ocsp"),
        (
            key("server.pem", "ssl.quorum.context.supplier.class=x.Y\n"),
            "ssl.quorum.context.supplier.class",
        ),
        (
            key("server.pem", "ssl.quorum.trustStore.location=nothing.pem\n"),
            "ssl.quorum.trustStore.location",
        ),
        (SASL.replace("fips-mode=false", ""), "fips-mode=false"),
        (SASL.to_owned(), "-Djava.security.auth.login.config=FILE"),
    ] {
        let error = refuses(&text);
        assert!(error.contains(why), "{text}: {error}");
    }
}
