//! The audit log of a server that did something.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::sync::Arc;

use common::*;
use jute::Encode;
use jute::data::Acl;
use jute::proto::{AuthPacket, op};
use rookeeper::audit::{AuditLog, Options};
use tempfile::TempDir;

fn audited(work: impl FnOnce(&TestServer)) -> Vec<String> {
    audited_on(
        |log| {
            TestServer::on(TempDir::new().unwrap(), |options| {
                options.audit = Some(log.clone());
                options.net.audit = true;
            })
        },
        work,
    )
}

fn audited_on(
    start: impl FnOnce(&Arc<AuditLog>) -> TestServer,
    work: impl FnOnce(&TestServer),
) -> Vec<String> {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("zookeeper_audit.log");
    let options =
        Options { file: Some(file.clone()), server_user: "me".into(), ..Options::default() };
    let log = Arc::new(AuditLog::start(options).unwrap());
    let server = start(&log);
    work(&server);
    server.stop();
    log.stop();
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn auth(client: &mut Client, user: &[u8]) {
    let mut body = Vec::new();
    AuthPacket { kind: 0, scheme: Some("digest".into()), auth: Some(user) }.encode(&mut body);
    assert_eq!(client.call(op::AUTH, &body).err, 0);
}

fn delete(path: &str) -> Vec<u8> {
    let mut body = Vec::new();
    path.encode(&mut body);
    (-1i32).encode(&mut body);
    body
}

fn set_acl(path: &str, acl: &[Acl]) -> Vec<u8> {
    let mut body = Vec::new();
    path.encode(&mut body);
    (acl.len() as i32).encode(&mut body);
    acl.iter().for_each(|entry| entry.encode(&mut body));
    (-1i32).encode(&mut body);
    body
}

/// The line about an operation on a znode, behind its time and level.
fn line<'a>(lines: &'a [String], operation: &str, znode: &str, result: &str) -> &'a str {
    let found = lines.iter().find(|line| {
        line.contains(&format!("\toperation={operation}\t"))
            && line.contains(&format!("\tznode={znode}\t"))
            && line.ends_with(&format!("\tresult={result}"))
    });
    found.unwrap_or_else(|| panic!("{operation} {znode} {result} in {lines:#?}"))
}

#[test]
fn each_operation_leaves_its_line() {
    let lines = audited(|server| {
        let mut client = server.client();
        auth(&mut client, b"u:p");
        client.create("/q", b"", 0);
        client.create("/q", b"", 0);
        client.create("/q/s-", b"", 2);
        client.set("/q", b"x");
        client.set("/none", b"x");
        client.call(op::SET_ACL, &set_acl("/q", &[Acl::world(31), Acl::world(1)]));
        client.call(op::DELETE, &delete("/q/s-0000000000"));
        client.call(op::DELETE, &delete("/none"));
        client.get("/q", false);
    });
    let made = line(&lines, "create", "/q", "success");
    assert!(made.contains(" INFO "), "{made}");
    assert!(
        made.contains(
            "\tuser=127.0.0.1,u\tip=127.0.0.1\toperation=create\tznode=/q\t\
             znode_type=persistent\tresult=success"
        ),
        "{made}"
    );
    assert!(made.contains("session=0x"), "{made}");
    let refused = line(&lines, "create", "/q", "failure");
    assert!(refused.contains(" ERROR "), "{refused}");
    assert!(line(&lines, "create", "/q/s-0000000000", "success").contains("persistent_sequential"));
    line(&lines, "setData", "/q", "success");
    line(&lines, "setData", "/none", "failure");
    let acl = line(&lines, "setAcl", "/q", "success");
    assert!(acl.contains("\tacl=world:anyone:cdrwaworld:anyone:r\t"), "{acl}");
    line(&lines, "delete", "/q/s-0000000000", "success");
    line(&lines, "delete", "/none", "failure");
    assert_eq!(lines.len(), 8, "reads and handshakes leave none: {lines:#?}");
}

#[test]
fn ephemerals_that_go_with_their_session_are_told() {
    let lines = audited(|server| {
        let mut client = server.client();
        client.create("/a", b"", 1);
        client.create("/b", b"", 1);
        client.call(op::CLOSE_SESSION, &[]);
    });
    for path in ["/a", "/b"] {
        let operation = "ephemeralZNodeDeletionOnSessionCloseOrExpire";
        let gone = line(&lines, operation, path, "success");
        assert!(gone.contains("\tuser=me\t"), "{gone}");
    }
}

#[test]
fn a_multi_is_told_one_by_one_or_as_a_failure() {
    use jute::proto::MultiHeader;
    let multi = |last: &str| {
        let mut body = Vec::new();
        MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut body);
        body.extend(create("/m", b"", 0));
        MultiHeader { kind: op::DELETE, done: false, err: -1 }.encode(&mut body);
        body.extend(delete(last));
        MultiHeader { kind: -1, done: true, err: -1 }.encode(&mut body);
        body
    };
    let lines = audited(|server| {
        let mut client = server.client();
        client.call(op::MULTI, &multi("/none"));
        client.call(op::MULTI, &multi("/m"));
    });
    let failed = lines.iter().filter(|line| line.contains("operation=multiOperation")).count();
    assert_eq!((failed, lines.len()), (1, 3), "{lines:#?}");
    line(&lines, "create", "/m", "success");
    line(&lines, "delete", "/m", "success");
}

#[test]
fn refused_acls_are_told() {
    let lines = audited(|server| {
        let mut client = server.client();
        client.create("/q", b"", 0);
        let none = client.call(op::SET_ACL, &set_acl("/none", &[Acl::world(31)]));
        let invalid = client.call(op::SET_ACL, &set_acl("/q", &[]));
        assert_eq!((none.err, invalid.err), (-101, -114));
    });
    assert!(line(&lines, "setAcl", "/none", "failure").contains("\tacl=world:anyone:cdrwa\t"));
    assert!(line(&lines, "setAcl", "/q", "failure").contains(" ERROR "));
}

#[test]
fn changes_of_the_membership_are_told() {
    // An ensemble of one.
    let start = |log: &Arc<AuditLog>| {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("myid"), "1\n").unwrap();
        let text = format!(
            "standaloneEnabled=false\nreconfigEnabled=true\ninitLimit=10\nsyncLimit=5\n\
             audit.enable=true\nserver.1={}:participant\n",
            members::address()
        );
        let config = config(dir.path(), &text, "-Dzookeeper.skipACL=yes");
        let mut options = options(&config);
        options.audit = Some(log.clone());
        let handle = rookeeper::server::Server::start(options).unwrap();
        TestServer { handle, dir }
    };
    let reconfig = |leaving: &'static str, joining: Option<String>| {
        jute::proto::ReconfigRequest {
            joining_servers: joining.map(Into::into),
            leaving_servers: Some(leaving.into()).filter(|_| !leaving.is_empty()),
            new_members: None,
            cur_config_id: -1,
        }
        .to_vec()
    };
    let lines = audited_on(start, |server| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while !server.handle.view().serving() {
            assert!(std::time::Instant::now() < deadline, "it does not serve");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut client = server.client();
        let guest = format!("server.2={}:observer;127.0.0.1:1", members::address());
        assert_eq!(client.call(op::RECONFIG, &reconfig("", Some(guest))).err, 0);
        // Nobody would be left.
        assert_ne!(client.call(op::RECONFIG, &reconfig("1", None)).err, 0);
    });
    let done = line(&lines, "reconfig", "/zookeeper/config", "success");
    assert!(done.contains("\tip=127.0.0.1\t"), "{done}");
    assert!(line(&lines, "reconfig", "/zookeeper/config", "failure").contains(" ERROR "));
}
