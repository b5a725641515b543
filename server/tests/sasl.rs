//! Logins of clients with DIGEST-MD5, as the JDK's client makes them.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::path::{Path, PathBuf};

use common::lines::Lines;
use common::*;
use jute::data::Acl;
use jute::proto::{SetSaslResponse, op};
use jute::{Decode, Encode, Reader};
use md5::{Digest, Md5};
use rookeeper::server::{Server, StartError};
use tempfile::TempDir;

const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";
const PROVIDER: &str = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
                        4lw.commands.whitelist=*\n";

fn users() -> String {
    format!(
        "Server {{ {MODULE} required user_bob=\"bobsecret\" user_super=\"weak\" user_eve=\"x\"; }};"
    )
}

/// A server with this JAAS file; `flags` may say more.
fn server(jaas: &str, text: &str, flags: &str) -> TestServer {
    let dir = TempDir::new().unwrap();
    let file = jaas_file(dir.path(), jaas);
    let flags = format!("-Djava.security.auth.login.config={} {flags}", file.display());
    TestServer::configured_on(dir, &format!("{PROVIDER}{text}"), &flags)
}

fn jaas_file(dir: &Path, text: &str) -> PathBuf {
    let file = dir.join("jaas.conf");
    std::fs::write(&file, text).unwrap();
    file
}

/// One token there and one back: the error and the token.
fn exchange(client: &mut Client, token: &[u8]) -> (i32, Option<String>) {
    let mut body = Vec::new();
    token.encode(&mut body);
    let reply = client.call(op::SASL, &body);
    assert_eq!(reply.zxid, 0, "as Java answers");
    let token = SetSaslResponse::decode(&mut Reader::new(&reply.body)).unwrap().token;
    (reply.err, token.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
}

fn hex_md5(parts: &[&[u8]]) -> String {
    hex(&parts.iter().fold(Md5::new(), |hash, part| hash.chain_update(part)).finalize())
}

/// The client's response to a challenge, by the book; `asks` is the authorization id.
fn response(challenge: &str, user: &str, password: &str, asks: &str) -> String {
    let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let (realm, uri) = ("zk-sasl-md5", "zookeeper/zk-sasl-md5");
    let secret = Md5::digest(format!("{user}:{realm}:{password}"));
    let a1 = hex_md5(&[&secret, format!(":{nonce}:cnonce:{asks}").as_bytes()]);
    let a2 = hex_md5(&[format!("AUTHENTICATE:{uri}").as_bytes()]);
    let answer = hex_md5(&[format!("{a1}:{nonce}:00000001:cnonce:auth:{a2}").as_bytes()]);
    format!(
        "charset=utf-8,username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",nc=00000001,\
         cnonce=\"cnonce\",digest-uri=\"{uri}\",maxbuf=65536,response={answer},qop=auth,\
         authzid=\"{asks}\""
    )
}

fn log_in_as(client: &mut Client, user: &str, password: &str, asks: &str) -> (i32, Option<String>) {
    let (err, challenge) = exchange(client, b"");
    let challenge = challenge.unwrap();
    assert_eq!(err, 0);
    let rest = challenge.strip_prefix("realm=\"zk-sasl-md5\",nonce=\"").unwrap();
    assert_eq!(&rest[40..], "\",charset=utf-8,algorithm=md5-sess");
    exchange(client, response(&challenge, user, password, asks).as_bytes())
}

fn log_in(client: &mut Client, user: &str, password: &str) -> (i32, Option<String>) {
    log_in_as(client, user, password, user)
}

fn who_am_i(client: &mut Client) -> String {
    String::from_utf8_lossy(&client.call(op::WHO_AM_I, b"").body).into_owned()
}

fn create_for(path: &str, scheme: &str, id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    b""[..].encode(&mut out);
    vec![Acl::new(31, scheme, id)].encode(&mut out);
    0i32.encode(&mut out);
    out
}

#[test]
fn users_log_in_and_acls_know_them() {
    let lines = Lines::capture();
    let server = server(&users(), "", "");
    let mut bob = server.client();
    let (err, token) = log_in(&mut bob, "bob", "bobsecret");
    assert_eq!(err, 0);
    let token = token.unwrap();
    assert_eq!((token.len(), &token[..8]), (40, "rspauth="));
    lines.until("adding SASL authorization for authorizationID: bob");
    assert!(who_am_i(&mut bob).contains("bob"));
    assert_eq!(bob.call(op::CREATE, &create_for("/bob", "sasl", "bob")).err, 0);
    assert_eq!(bob.call(op::CREATE, &create_for("/auth", "auth", "")).err, 0);
    assert_eq!(bob.get("/bob", false).err, 0);
    // Nobody else, logged in or not.
    let mut eve = server.client();
    assert_eq!(eve.get("/bob", false).err, -102);
    assert_eq!(log_in(&mut eve, "eve", "x").0, 0);
    for path in ["/bob", "/auth"] {
        assert_eq!(eve.get(path, false).err, -102);
    }
    // The user `super` of the file matches every ACL of the scheme.
    let mut root = server.client();
    assert_eq!(log_in(&mut root, "super", "weak").0, 0);
    assert_eq!(root.get("/bob", false).err, 0);
    server.stop();
}

#[test]
fn failed_logins_end_the_connection() {
    let server = server(&users(), "", "");
    for (user, password) in [("bob", "wrong"), ("nobody", "bobsecret"), ("bob", "")] {
        let mut client = server.client();
        assert_eq!(log_in(&mut client, user, password), (-115, None), "{user} {password}");
        assert!(client.is_closed());
    }
    let mut client = server.client();
    exchange(&mut client, b"");
    assert_eq!(exchange(&mut client, b"nonsense"), (-115, None));
    assert!(client.is_closed());
    // A token that is null is none.
    let mut client = server.client();
    client.send(op::SASL, &[0xff; 4]);
    assert!(client.is_closed());
    // A second login fails, and the first does not outlive it.
    let mut client = server.client();
    assert_eq!(log_in(&mut client, "bob", "bobsecret").0, 0);
    assert_eq!(exchange(&mut client, b""), (-115, None));
    assert!(client.is_closed());
    server.stop();
}

#[test]
fn nobody_becomes_somebody_else() {
    let server = server(&users(), "superUser=root", "");
    let mut client = server.client();
    assert_eq!(log_in_as(&mut client, "eve", "x", "bob").0, 0);
    let who = who_am_i(&mut client);
    assert!(who.contains("eve") && !who.contains("bob"), "{who}");
    server.stop();
}

#[test]
fn super_users_may_do_everything() {
    let server = server(&users(), "superUser=other\nsuperUser.1=bob\nsuperUserx=eve", "");
    assert_eq!(server.client().call(op::CREATE, &create_for("/x", "digest", "a:b")).err, 0);
    for (user, password, expected) in [("bob", "bobsecret", 0), ("eve", "x", -102)] {
        let mut client = server.client();
        assert_eq!(log_in(&mut client, user, password).0, 0);
        assert_eq!(client.get("/x", false).err, expected, "{user}");
    }
    server.stop();
    let server = self::server(
        &users(),
        "superUser=super\nSASLAuthenticationProvider.superPassword=strong",
        "",
    );
    assert_eq!(log_in(&mut server.client(), "super", "weak").0, -115);
    let mut client = server.client();
    assert_eq!(log_in(&mut client, "super", "strong").0, 0);
    assert_eq!(client.call(op::CREATE, &create_for("/x", "digest", "a:b")).err, 0);
    assert_eq!(client.get("/x", false).err, 0);
    server.stop();
}

#[test]
fn any_user_may_be_meant() {
    let server = server(&users(), "letAnySaslUserDoX=everyone", "");
    let mut bob = server.client();
    assert_eq!(bob.call(op::CREATE, &create_for("/x", "sasl", "everyone")).err, 0);
    assert_eq!(bob.get("/x", false).err, -102);
    assert_eq!(log_in(&mut bob, "bob", "bobsecret").0, 0);
    assert_eq!(bob.get("/x", false).err, 0);
    server.stop();
}

#[test]
fn logins_can_be_required_and_forgiven() {
    for text in [
        "sessionRequireClientSASLAuth=true",
        "enforce.auth.enabled=true\nenforce.auth.schemes=sasl",
    ] {
        let server = server(&users(), text, "");
        let mut client = server.client();
        assert_eq!(client.call(op::PING, b"").err, -124, "{text}");
        assert!(client.is_closed());
        let mut client = server.client();
        assert_eq!(log_in(&mut client, "bob", "bobsecret").0, 0);
        assert_eq!(client.get("/", false).err, 0);
        let mut client = server.client();
        assert_eq!(log_in(&mut client, "bob", "wrong"), (-124, None), "{text}");
        assert!(client.is_closed());
        server.stop();
    }
    let server = server(&users(), "allowSaslFailedClients=true", "");
    let mut client = server.client();
    assert_eq!(log_in(&mut client, "bob", "wrong"), (0, None));
    assert!(!who_am_i(&mut client).contains("sasl"));
    assert_eq!(client.create("/anonymous", b"", 0).err, 0);
    assert_eq!(client.call(op::CREATE, &create_for("/x", "sasl", "bob")).err, 0);
    assert_eq!(client.get("/x", false).err, -102);
    server.stop();
    let both = "allowSaslFailedClients=true\nsessionRequireClientSASLAuth=true";
    let server = self::server(&users(), both, "");
    assert_eq!(log_in(&mut server.client(), "bob", "wrong"), (-124, None));
    server.stop();
}

#[test]
fn sections_are_chosen_and_may_be_missing() {
    let renamed = users().replace("Server", "Srv");
    let server = server(&renamed, "sasl.serverconfig=Srv", "");
    assert_eq!(log_in(&mut server.client(), "bob", "bobsecret").0, 0);
    server.stop();
    // No section, or no file at all: success with a null token, for ever, and nothing comes of it.
    let silent = |server: TestServer| {
        let mut client = server.client();
        for token in [&b""[..], b"x"] {
            assert_eq!(exchange(&mut client, token), (0, None));
        }
        assert_eq!(client.create("/x", b"", 0).err, 0);
        server.stop();
    };
    silent(self::server(&renamed, "", ""));
    silent(TestServer::configured(PROVIDER, ""));
}

#[test]
fn files_that_cannot_be_used_end_the_start() {
    let refusal = |jaas: Option<&str>| {
        let dir = TempDir::new().unwrap();
        let file = jaas_file(dir.path(), jaas.unwrap_or_default());
        if jaas.is_none() {
            std::fs::remove_file(&file).unwrap();
        }
        let flags = format!("-Djava.security.auth.login.config={}", file.display());
        match Server::start(options(&config(dir.path(), PROVIDER, &flags))) {
            Err(error @ StartError::Sasl(_)) => (error.exit_code(), error.to_string()),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it starts"),
        }
    };
    let kerberos = "Server { com.sun.security.auth.module.Krb5LoginModule required; };";
    for (jaas, why) in [
        (None, "No JAAS configuration section named 'Server' was found"),
        (Some("Server {"), "line 1"),
        (Some("Server { x.Y required user_a=1; };"), "double quotes"),
        (Some(kerberos), "Kerberos"),
        (Some("Server { x.Y required; };"), "No LoginModule found for x.Y"),
    ] {
        let (code, error) = refusal(jaas);
        assert_eq!(code, 1);
        assert!(error.contains(why) && error.contains("jaas.conf"), "{error}");
    }
}
