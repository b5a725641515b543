//! The client port over TLS: a client that speaks plainly stands behind a tunnel of ours.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use common::members::Members;
use common::stores::{LIMIT, client_options as client, open, store};
use common::*;
use jute::Encode;
use jute::data::Acl;
use jute::proto::op;
use rookeeper::auth::{Stream, TlsOptions};
use rookeeper::server::Server;
use tempfile::TempDir;

const CLIENT: &str = "1.2.840.113549.1.9.1=#16056140622e63,CN=Client One,OU=A+OU=B,\
                      O=Ex \\\"Q\\\"\\, Inc,ST=CA,C=US";

/// A configuration with a TLS port; `more` may override.
fn text(more: &str) -> String {
    format!(
        "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\n4lw.commands.whitelist=*\n\
         serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         ssl.keyStore.location={}\nssl.trustStore.location={}\n{more}",
        store("server.pem").display(),
        store("trust.pem").display()
    )
}

fn dial(to: SocketAddr, options: TlsOptions) -> std::io::Result<Stream> {
    Stream::dial(TcpStream::connect(to)?, &open(options), "localhost", LIMIT)
}

/// A plain port that leads to `to` over TLS; closes a connection where the handshake fails.
fn tunnel(to: SocketAddr, options: TlsOptions) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for plain in listener.incoming() {
            let mut plain = plain.unwrap();
            let Ok(stream) = dial(to, options.clone()) else { continue };
            let (mut reader, mut writer, _) = stream.split();
            let mut source = plain.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut source, &mut writer));
            thread::spawn(move || {
                let _ = std::io::copy(&mut reader, &mut plain);
                let _ = plain.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

fn secure(server: &TestServer) -> SocketAddr {
    server.handle.secure_addresses()[0]
}

/// What a four-letter word is answered with, nothing if the connection is refused.
fn word(address: SocketAddr, word: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let _ = stream.write_all(word.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn who_am_i(address: SocketAddr) -> String {
    let reply = Client::connect(address).call(op::WHO_AM_I, b"");
    assert_eq!(reply.err, 0);
    String::from_utf8_lossy(&reply.body).into_owned()
}

fn create_for(path: &str, scheme: &str, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    b"data"[..].encode(&mut out);
    vec![Acl::new(31, scheme, id)].encode(&mut out);
    0i32.encode(&mut out);
    out
}

/// Whether a configuration is understood, and why not.
fn try_config(dir: &Path, text: &str) -> Result<(), String> {
    use rookeeper::config::{Config, JvmFlags};
    let file = dir.join("zoo.cfg");
    std::fs::write(&file, format!("dataDir={}\nclientPort=0\n{text}", dir.display())).unwrap();
    Config::load(&file, &JvmFlags::default()).map(|_| ()).map_err(|error| error.to_string())
}

/// Why a server does not start.
fn refusal(more: &str) -> String {
    let dir = TempDir::new().unwrap();
    let config = config(dir.path(), &text(more), "");
    match Server::start(options(&config)) {
        Ok(_) => panic!("it starts: {more}"),
        Err(error) => {
            assert_eq!(error.exit_code(), 1, "{more}");
            error.to_string()
        }
    }
}

#[test]
fn clients_are_served_over_tls() {
    let server = TestServer::configured(&text(""), "");
    let address = tunnel(secure(&server), client("client.pem"));
    let mut client = Client::connect(address);
    let data = vec![7; 900_000];
    assert_eq!(client.create("/large", &data, 0).err, 0);
    assert!(client.get("/large", true).body.windows(data.len()).any(|w| w == data));
    // An event comes by itself.
    let mut other = server.client();
    assert_eq!(other.set("/large", b"x").err, 0);
    assert_eq!(client.read().xid, -1);
    // Pipelined requests, more than one record.
    let many: Vec<u8> = (1..=500)
        .flat_map(|xid| request(xid, op::GET_DATA, &path_watch("/large", false)))
        .collect();
    client.send_raw(&many);
    for xid in 1..=500 {
        assert_eq!(client.read().xid, xid);
    }
    assert_eq!(client.call(op::CLOSE_SESSION, b"").err, 0);
    assert!(client.is_closed());
    server.stop();
}

#[test]
fn the_secure_port_speaks_nothing_else() {
    let server = TestServer::configured(&text(""), "");
    // An alert, or nothing.
    let answer = word(secure(&server), "ruok");
    assert!(answer.is_empty() || answer.starts_with('\u{15}'), "{answer:?}");
    let mut stranger = Client::raw(secure(&server));
    assert_eq!(stranger.greet(0, [0; 16], 10_000, 0, false), None);
    // And the plain port no TLS.
    assert!(dial(server.address(), client("client.pem")).is_err());
    assert_eq!(word(server.address(), "ruok"), "imok");
    server.stop();
}

#[test]
fn words_are_answered_over_tls() {
    let server = TestServer::configured(&text(""), "");
    let address = tunnel(secure(&server), client("client.pem"));
    assert_eq!(word(address, "ruok"), "imok");
    assert!(word(address, "srvr").contains("Mode: standalone"));
    let conf = word(address, "conf");
    assert!(conf.contains(&format!("secureClientPort={}\n", secure(&server).port())), "{conf}");
    server.stop();
}

#[test]
fn a_certificate_is_an_identity() {
    let more = "X509AuthenticationProvider.superUser=CN=admin,O=Test";
    let server = TestServer::configured(&text(more), "");
    let one = tunnel(secure(&server), client("client.pem"));
    let admin = tunnel(secure(&server), client("admin.pem"));
    let who = who_am_i(one);
    assert!(who.contains("x509") && who.contains(CLIENT), "{who}");
    let mut client = Client::connect(one);
    assert_eq!(client.call(op::CREATE, &create_for("/own", "x509", CLIENT)).err, 0);
    assert_eq!(client.call(op::CREATE, &create_for("/auth", "auth", "")).err, 0);
    assert_eq!(client.call(op::CREATE, &create_for("/x", "x509", "no name")).err, -114);
    assert_eq!(client.call(op::CREATE, &create_for("/admin", "x509", "CN=other")).err, 0);
    for path in ["/own", "/auth"] {
        assert_eq!(client.get(path, false).err, 0, "{path}");
        assert_eq!(server.client().get(path, false).err, -102, "{path}");
    }
    assert_eq!(client.get("/admin", false).err, -102);
    // The super user may do everything.
    let mut admin = Client::connect(admin);
    for path in ["/own", "/admin"] {
        assert_eq!(admin.get(path, false).err, 0, "{path}");
    }
    // Without TLS there is nothing to show.
    let mut packet = Vec::new();
    0i32.encode(&mut packet);
    "x509".encode(&mut packet);
    b""[..].encode(&mut packet);
    let mut plain = server.client();
    plain.send_raw(&request(-4, op::AUTH, &packet));
    assert_eq!(plain.read().err, -115);
    assert!(plain.is_closed());
    client.send_raw(&request(-4, op::AUTH, &packet));
    assert_eq!(client.read().err, 0);
    server.stop();
}

#[test]
fn certificates_are_needed_wanted_or_ignored() {
    for (policy, key, expected) in [
        ("", "client.pem", Some(true)),
        ("", "", None),
        ("need", "unknown.pem", None),
        ("WANT", "client.pem", Some(true)),
        ("want", "", Some(false)),
        ("want", "unknown.pem", None),
        ("none", "client.pem", Some(false)),
        ("none", "", Some(false)),
        ("none", "unknown.pem", Some(false)),
    ] {
        let server = TestServer::configured(&text(&format!("ssl.clientAuth={policy}")), "");
        let address = tunnel(secure(&server), client(key));
        let served = word(address, "ruok") == "imok";
        assert_eq!(served, expected.is_some(), "{policy} {key}");
        if let Some(known) = expected {
            assert_eq!(who_am_i(address).contains("x509"), known, "{policy} {key}");
        }
        server.stop();
    }
}

#[test]
fn a_unified_port_takes_both() {
    let text = text("client.portUnification=true").replace("secureClientPort", "#");
    let server = TestServer::configured(&text, "");
    assert_eq!(word(server.address(), "ruok"), "imok");
    assert_eq!(server.client().create("/plain", b"", 0).err, 0);
    let address = tunnel(server.address(), client("client.pem"));
    assert_eq!(word(address, "ruok"), "imok");
    assert!(who_am_i(address).contains("x509"));
    // The first bytes may come one by one.
    let mut slow = TcpStream::connect(server.address()).unwrap();
    slow.set_nodelay(true).unwrap();
    for byte in b"ruok" {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
    // What begins like TLS and is none is a frame that is too long.
    assert_eq!(word(server.address(), "\u{16}uok and more"), "");
    server.stop();
    // Without stores, plain clients are served all the same.
    let server = TestServer::configured("client.portUnification=true", "");
    assert!(dial(server.address(), client("client.pem")).is_err());
    assert_eq!(server.client().create("/plain", b"", 0).err, 0);
    server.stop();
}

#[test]
fn protocols_and_suites_are_the_configured_ones() {
    let list = |text: &str| Some(text.split(',').map(str::to_owned).collect::<Vec<_>>());
    let served = |more: &str, protocols: &str, suites: Option<&str>| {
        let server = TestServer::configured(&text(more), "");
        let options = TlsOptions {
            enabled_protocols: list(protocols),
            cipher_suites: suites.and_then(list),
            ..client("client.pem")
        };
        let address = tunnel(secure(&server), options);
        let served = word(address, "ruok") == "imok";
        server.stop();
        served
    };
    assert!(served("", "TLSv1.3", None));
    assert!(!served("", "TLSv1.2", None), "1.3 alone is the default");
    assert!(served("ssl.enabledProtocols=TLSv1.2,TLSv1.3", "TLSv1.2", None));
    assert!(served("ssl.protocol=TLSv1.2", "TLSv1.2", None));
    assert!(!served("ssl.protocol=TLSv1.2", "TLSv1.3", None));
    let one = "ssl.enabledProtocols=TLSv1.2\nssl.ciphersuites=\
               TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384";
    assert!(served(one, "TLSv1.2", Some("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")));
    assert!(!served(one, "TLSv1.2", Some("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")));
}

#[test]
fn mistakes_are_told_at_the_start() {
    let key = |file: &str, more: &str| {
        let location = store(file);
        format!("ssl.keyStore.location={}\n{more}", location.display())
    };
    for (more, why) in [
        (key("server.p12", ""), "ssl.keyStore.location="),
        (key("server.p12", "ssl.keyStore.password=wrong"), "password was incorrect"),
        (key("server.jks", "ssl.keyStore.password=wrong"), "password was incorrect"),
        (key("server-pbes2.pem", "ssl.keyStore.password=wrong"), "cannot be decrypted"),
        (key("server.p12", "ssl.keyStore.passwordPath=nowhere"), "passwordPath=nowhere"),
        (key("nothing.pem", ""), "nothing.pem"),
        ("ssl.keyStore.location=".to_owned(), "Keystore is required for SSL server"),
        (
            format!("ssl.trustStore.location={}", store("trust-openssl.p12").display())
                + "\nssl.trustStore.password=secret",
            "trustAnchors",
        ),
        ("ssl.protocol=SSLv3".to_owned(), "ssl.protocol"),
        ("ssl.enabledProtocols=TLSv9".to_owned(), "ssl.enabledProtocols"),
        ("ssl.ciphersuites=NONE".to_owned(), "Unsupported CipherSuite: NONE"),
        (
            "ssl.ciphersuites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA".to_owned(),
            "no cipher suite is left",
        ),
    ] {
        let error = refusal(&more);
        assert!(error.contains(why), "{more}: {error}");
    }
}

#[test]
fn stores_of_every_type_serve() {
    let dir = TempDir::new().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "secret\n").unwrap();
    let other = dir.path().join("trust.txt");
    std::fs::copy(store("trust.pem"), &other).unwrap();
    let by_path = format!("ssl.keyStore.passwordPath={}\n", password.display());
    for (key, trust, more) in [
        ("server.p12", "trust.p12", "ssl.keyStore.password=secret\n"),
        ("server.jks", "trust.jks", "ssl.keyStore.password=secret\n"),
        (
            "server-is-p12.jks",
            "trust.p12",
            "ssl.keyStore.password=wrong\nssl.keyStore.type=PKCS12\n",
        ),
        ("server-pbes1.pem", "trust.pem", ""),
        ("server-pbes2.pem", "trust.txt", "ssl.trustStore.type=pem\n"),
    ] {
        let trust = if trust == "trust.txt" { other.clone() } else { store(trust) };
        let server = TestServer::configured(
            &text(&format!(
                "ssl.keyStore.location={}\nssl.trustStore.location={}\n\
                 ssl.trustStore.password=secret\n{more}{by_path}",
                store(key).display(),
                trust.display()
            )),
            "",
        );
        let address = tunnel(secure(&server), client("client.pem"));
        assert_eq!(word(address, "ruok"), "imok", "{key}");
        server.stop();
    }
}

#[test]
fn the_password_of_a_trust_store_may_stand_in_a_file() {
    let dir = TempDir::new().unwrap();
    let password = dir.path().join("password");
    let more = format!(
        "ssl.trustStore.location={}\nssl.trustStore.password=wrong\n\
         ssl.trustStore.passwordPath={}\nssl.sslProvider=OPENSSL\nssl.authProvider=x509\n",
        store("trust.p12").display(),
        password.display()
    );
    std::fs::write(&password, "wrong").unwrap();
    assert!(refusal(&more).contains("ssl.trustStore.location="));
    std::fs::write(&password, "secret\n").unwrap();
    let server = TestServer::configured(&text(&more), "");
    assert!(who_am_i(tunnel(secure(&server), client("client.pem"))).contains(CLIENT));
    server.stop();
}

/// Only quorum ports give up on a first byte that does not come.
#[test]
fn nobody_waits_for_first_bytes_of_clients() {
    let more = "client.portUnification=true\nssl.handshakeDetectionTimeoutMillis=1\n\
                nio.sessionlessCnxnTimeout=600000";
    let server = TestServer::configured(&text(more).replace("secureClientPort", "#"), "");
    let mut silent = TcpStream::connect(server.address()).unwrap();
    // Takes more than a millisecond.
    for at in 0..20 {
        assert_eq!(server.client().create(&format!("/{at}"), b"", 0).err, 0);
    }
    silent.write_all(b"ruok").unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "imok");
    server.stop();
}

#[test]
fn new_stores_count_at_once() {
    let dir = TempDir::new().unwrap();
    let location = dir.path().join("server.pem");
    std::fs::copy(store("server.pem"), &location).unwrap();
    let more = format!("ssl.keyStore.location={}\n", location.display());
    let server = TestServer::configured(&text(&more), "");
    let shown = || dial(secure(&server), client("client.pem")).unwrap().peer_subject().unwrap();
    let address = tunnel(secure(&server), client("client.pem"));
    let mut old = Client::connect(address);
    assert_eq!(shown(), "CN=server,O=Test,C=XX");
    let fresh = dir.path().join("fresh.pem");
    std::fs::copy(store("renewed.pem"), &fresh).unwrap();
    std::fs::rename(&fresh, &location).unwrap();
    assert_eq!(shown(), "CN=renewed,O=Test,C=XX");
    std::fs::write(&location, "broken").unwrap();
    assert_eq!(shown(), "CN=renewed,O=Test,C=XX", "the last good ones stay");
    assert_eq!(old.create("/goes-on", b"", 0).err, 0);
    server.stop();
}

/// `netty.server.earlyDropSecureConnectionHandshakes`: a member without a leader.
#[test]
fn handshakes_are_not_begun_where_nobody_is_served() {
    for early in [true, false] {
        let more = format!("netty.server.earlyDropSecureConnectionHandshakes={early}\n");
        let mut all = Members::new(&["participant"; 2], &text(&more));
        all.start(1);
        let secure = all.server(1).secure_addresses()[0];
        assert_eq!(dial(secure, client("client.pem")).is_err(), early);
        all.start_all(&[2]);
        all.until("1 serves", |all| all.server(1).view().serving());
        assert!(dial(secure, client("client.pem")).is_ok());
        let counted = word(all.server(1).addresses()[0], "mntr");
        let line = format!("zk_cnxn_closed_without_zk_server_running\t{}\n", i32::from(early));
        assert!(counted.contains(&line), "{line} in {counted}");
    }
}

#[test]
fn handshakes_at_once_are_limited() {
    let more = "netty.server.outstandingHandshake.limit=2\nmaxClientCnxns=0";
    let server = TestServer::configured(&text(more), "");
    let silent: Vec<_> = (0..2).map(|_| TcpStream::connect(secure(&server)).unwrap()).collect();
    // Whoever comes now is turned away until one of them is gone.
    let mut third = Client::raw(secure(&server));
    assert!(third.is_closed());
    let exceeded = word(server.address(), "mntr");
    assert!(exceeded.contains("zk_tls_handshake_exceeded\t1\n"), "{exceeded}");
    drop(silent);
    while dial(secure(&server), client("client.pem")).is_err() {}
    // A handshake that is over is none that goes on.
    let open: Vec<_> =
        (0..4).map(|_| Client::connect(tunnel(secure(&server), client("client.pem")))).collect();
    drop(open);
    server.stop();
}

#[test]
fn names_of_clients_are_checked_without_fips_mode() {
    let dir = TempDir::new().unwrap();
    let more = "ssl.clientHostnameVerification=true\n";
    let served = |more: &str, key: &str| {
        let server = TestServer::configured(&text(more), "");
        let served = word(tunnel(secure(&server), client(key)), "ruok") == "imok";
        server.stop();
        served
    };
    let checked = format!("{more}fips-mode=false\n");
    assert!(served(&checked, "server.pem"), "its certificate names the loopback address");
    assert!(!served(&checked, "elsewhere.pem"));
    assert!(served(&format!("{checked}ssl.hostnameVerification=false\n"), "elsewhere.pem"));
    assert!(served("fips-mode=false\n", "elsewhere.pem"), "off by default");
    // With it nobody could ever connect.
    let error = try_config(dir.path(), &text(more)).unwrap_err();
    assert!(error.contains("ssl.clientHostnameVerification=true"), "{error}");
    for name in ["crl", "ocsp"] {
        let error = try_config(dir.path(), &text(&format!("ssl.{name}=true\n"))).unwrap_err();
        assert!(error.contains(&format!("ssl.{name}=true")), "{error}");
    }
}

#[test]
fn garbage_ends_one_connection_only() {
    let server = TestServer::configured(&text(""), "");
    for garbage in [
        &b"\x16\x03\x01\xff\xff"[..],
        b"\x16\x03\x01\0\x05hello",
        b"\x15\x03\x03\0\x02\x02\x28",
        b"\x17\x03\x03\0\x05hello",
        b"\0\0\0\0",
    ] {
        let mut stream = TcpStream::connect(secure(&server)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(garbage).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.first().is_none_or(|first| *first == 0x15), "an alert or nothing");
    }
    // Plain text on an open TLS connection.
    let stream = dial(secure(&server), client("client.pem")).unwrap();
    let mut socket = stream.socket().try_clone().unwrap();
    socket.write_all(b"\0\0\0\x04ruok").unwrap();
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    assert_eq!(word(tunnel(secure(&server), client("client.pem")), "ruok"), "imok");
    server.stop();
}

/// The head and body of an answer to a GET.
fn get(mut stream: impl Read + Write) -> String {
    let request = b"GET /commands/ruok HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let _ = stream.write_all(request).and_then(|()| stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_admin_server_speaks_https() {
    use rookeeper::admin::AdminServer;
    use rookeeper::metrics::Metrics;
    use rookeeper::net::fourlw::{self, Words};
    let start = |more: &str| {
        let dir = TempDir::new().unwrap();
        let text = format!(
            "admin.serverAddress=127.0.0.1\nadmin.serverPort=0\nssl.quorum.keyStore.location={}\n\
             ssl.quorum.keyStore.password=secret\nssl.quorum.trustStore.location={}\n\
             ssl.quorum.enabledProtocols=TLSv1.2\n{more}",
            store("server.p12").display(),
            store("trust.pem").display()
        );
        let config = config(dir.path(), &text, "");
        let words = Words::new(fourlw::Options {
            whitelist: None,
            version: "3.9.5".to_owned(),
            conf: config.conf_options(),
            environment: Box::new(Vec::new),
            metrics: std::sync::Arc::new(Metrics::new(false)),
        });
        let options = config.admin_options().unwrap().unwrap();
        AdminServer::start(options, std::sync::Arc::new(words))
    };
    let plain = |server: &AdminServer| get(TcpStream::connect(server.address()).unwrap());
    let https = |server: &AdminServer, key: &str| match dial(server.address(), client(key)) {
        Ok(stream) => {
            let (mut reader, mut writer, _cutter) = stream.split();
            struct Both<'a>(&'a mut dyn Read, &'a mut dyn Write);
            impl Read for Both<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                    self.0.read(buffer)
                }
            }
            impl Write for Both<'_> {
                fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                    self.1.write(bytes)
                }
                fn flush(&mut self) -> std::io::Result<()> {
                    self.1.flush()
                }
            }
            get(Both(&mut reader, &mut writer))
        }
        Err(_) => String::new(),
    };
    let ok = |answer: String| answer.starts_with("HTTP/1.1 200 ");
    let forced = start("admin.forceHttps=true\nadmin.portUnification=true").unwrap();
    let answer = https(&forced, "");
    assert!(answer.contains("strict-transport-security: max-age=86400; includeSubDomains\r\n"));
    assert!(ok(answer));
    assert!(!plain(&forced).contains("200"));
    let unified = start("admin.portUnification=true").unwrap();
    assert!(ok(https(&unified, "")));
    let answer = plain(&unified);
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    assert!(ok(answer));
    let needy = start("admin.forceHttps=true\nadmin.needClientAuth=true").unwrap();
    assert!(ok(https(&needy, "client.pem")));
    for key in ["", "unknown.pem"] {
        assert!(!ok(https(&needy, key)), "{key}");
    }
    let off = start("").unwrap();
    assert!(ok(plain(&off)) && !ok(https(&off, "")));
    let error = start("admin.forceHttps=true\nssl.quorum.keyStore.password=wrong").err().unwrap();
    assert!(error.to_string().contains("password was incorrect"), "{error}");
}
