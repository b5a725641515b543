//! The shell over TLS and with a login, and four-letter words over TLS: properties as Java's client
//! takes them.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::process::{Command, Output, Stdio};

use common::{TestServer, stores};
use tempfile::TempDir;

const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

fn store(file: &str) -> String {
    stores::store(file).display().to_string()
}

fn secure_server() -> TestServer {
    TestServer::configured(
        &format!(
            "secureClientPort=0\nsecureClientPortAddress=127.0.0.1\n\
             serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={}\nssl.trustStore.location={}\n",
            store("server.pem"),
            store("trust.pem")
        ),
        "",
    )
}

fn rookeeper(arguments: &[&str], flags: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rookeeper"))
        .args(arguments)
        .env_remove("JVMFLAGS")
        .env("CLIENT_JVMFLAGS", flags)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_shell_over_tls() {
    let server = secure_server();
    let address = server.handle.secure_addresses()[0];
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("client.properties");
    let properties = |key: &str, trust: &str| {
        fs::write(
            &file,
            format!(
                "zookeeper.client.secure=true\n\
                 zookeeper.clientCnxnSocket=org.apache.zookeeper.ClientCnxnSocketNetty\n\
                 zookeeper.ssl.keyStore.location={}\nzookeeper.ssl.trustStore.location={}\n",
                store(key),
                store(trust)
            ),
        )
        .unwrap();
    };
    let shell = |arguments: &[&str]| {
        let (server, file) = (address.to_string(), file.display().to_string());
        let mut all = vec!["cli", "-server", &server, "-client-configuration", &file];
        all.extend_from_slice(arguments);
        rookeeper(&all, "")
    };
    properties("client.pem", "trust.pem");
    let output = shell(&["ls", "/"]);
    assert!(text(&output.stdout).ends_with("\n[zookeeper]\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    let large = "x".repeat(100_000);
    assert_eq!(text(&shell(&["create", "/large", &large]).stderr), "Created /large\n");
    assert!(text(&shell(&["get", "/large"]).stdout).ends_with(&format!("{large}\n")));
    assert!(text(&shell(&["whoami"]).stdout).contains("\nx509: "), "the certificate is known");
    // A server that is not trusted: the reason is said.
    properties("client.pem", "unknown.pem");
    let output = shell(&["ls", "/"]);
    let errors = text(&output.stderr);
    assert!(errors.starts_with("KeeperErrorCode = ConnectionLoss for /\n"), "{errors}");
    assert!(errors.lines().count() == 2 && errors.contains("ertificate"), "{errors}");
    assert_eq!(output.status.code(), Some(1));
    properties("nothing.pem", "trust.pem");
    let output = shell(&["ls", "/"]);
    assert!(text(&output.stderr).contains("nothing.pem"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn words_over_tls() {
    let server = secure_server();
    let port = server.handle.secure_addresses()[0].port().to_string();
    let flags = format!(
        "-Dzookeeper.ssl.keyStore.location={} -Dzookeeper.ssl.trustStore.location={}",
        store("client.pem"),
        store("trust.pem")
    );
    let output = rookeeper(&["word", "127.0.0.1", &port, "srvr", "true"], &flags);
    assert!(text(&output.stdout).contains("\nMode: standalone\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    // Without a certificate of its own, nobody is answered.
    let output = rookeeper(&["word", "127.0.0.1", &port, "srvr", "true"], "");
    assert!(!text(&output.stdout).contains("Mode"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_shell_that_logs_in() {
    let dir = TempDir::new().unwrap();
    let jaas = dir.path().join("jaas.conf");
    let write = |password: &str| {
        fs::write(
            &jaas,
            format!(
                "Server {{ {MODULE} required user_bob=\"secret\"; }};\n\
                 Client {{ {MODULE} required username=\"bob\" password=\"{password}\"; }};"
            ),
        )
        .unwrap();
    };
    write("secret");
    let flags = format!("-Djava.security.auth.login.config={}", jaas.display());
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
    let server = TestServer::configured(provider, &flags);
    let address = server.address().to_string();
    let output = rookeeper(&["cli", "-server", &address, "whoami"], &flags);
    let out = text(&output.stdout);
    let event = "WatchedEvent state:SaslAuthenticated type:None path:null zxid: -1\n";
    assert!(out.contains(event) && out.contains("\nsasl: bob\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
    // A wrong password, and a login that is switched off.
    write("wrong");
    let output = rookeeper(&["cli", "-server", &address, "ls", "/"], &flags);
    let out = text(&output.stdout);
    assert!(out.contains("WatchedEvent state:AuthFailed type:None path:null zxid: -1\n"), "{out}");
    assert!(text(&output.stderr).contains("KeeperErrorCode = AuthFailed for /\n"), "{output:?}");
    assert_eq!(output.status.code(), Some(1));
    let other = format!("{flags} -Dzookeeper.sasl.clientconfig=Other");
    let mut sections = fs::read_to_string(&jaas).unwrap();
    sections.push_str(&format!(
        "\nOther {{ {MODULE} required username=\"bob\" password=\"secret\"; }};"
    ));
    fs::write(&jaas, sections).unwrap();
    let output = rookeeper(&["cli", "-server", &address, "whoami"], &other);
    assert!(text(&output.stdout).contains("\nsasl: bob\n"), "{output:?}");
    let off = format!("{flags} -Dzookeeper.sasl.client=false");
    let output = rookeeper(&["cli", "-server", &address, "ls", "/"], &off);
    assert!(text(&output.stdout).ends_with("\n[zookeeper]\n"), "{output:?}");
}
