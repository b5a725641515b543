//! One data directory, served by Java and by ours in turn: nothing may be lost or changed, and
//! sessions go on.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use compat_tests::diff::{Profile, lockstep};
use compat_tests::server::{Kind, RELEASES, Server, TARGET, scratch, subject};
use compat_tests::walk::{Znode, differences, walk};
use compat_tests::wire::{Connected, Hello, Session, create_body};
use jute::Encode;
use jute::data::Acl;
use jute::proto::{
    CreateRequest, CreateTtlRequest, DeleteRequest, MULTI_END, MultiHeader, SetAclRequest,
    SetDataRequest, op,
};

/// What Java prints when the tree is not the one the log was written for.
const ALARMS: [&str; 3] = ["Digests are not matching", "digest mismatch", "Severe unrecoverable"];

fn server(kind: Kind, home: &Path) -> Server {
    Server::new(kind, home)
        .unwrap()
        .set("maxClientCnxns", 0)
        .set("snapCount", 100)
        .set("minSessionTimeout", 300_000)
        .set("maxSessionTimeout", 600_000)
        .jvm_flag("-Dznode.container.checkIntervalMs=100000000")
        .set("DigestAuthenticationProvider.superDigest", "super:0bX78nEegDzJM3ju0iLBEJdWzjg=")
}

/// The whole tree as the super user sees it.
fn tree(server: &Server) -> Result<BTreeMap<String, Znode>> {
    let mut session = Session::open(server.address())?;
    session.authenticate("super:pw")?;
    let found = walk(&mut session)?;
    session.must(op::CLOSE_SESSION, &[])?;
    Ok(found)
}

fn ensure_equal(before: &BTreeMap<String, Znode>, server: &Server, when: &str) -> Result<()> {
    let found = differences(before, &tree(server)?);
    ensure!(found.is_empty(), "{when}:\n{}", found.join("\n"));
    Ok(())
}

/// Some of everything that can be in a directory, below `root`, by two sessions that stay open.
fn write(server: &Server, root: &str, sessions: &mut [Session]) -> Result<()> {
    let [first, second] = sessions else { unreachable!("two sessions") };
    first.authenticate("bob:secret")?;
    let at = |name: &str| format!("{root}{name}");
    let path = |name: &str| Some(at(name).into());
    ensure!(first.create(root, b"root", 0)? == 0, "creating {root}");
    for (name, data, acl, flags) in [
        ("/null", None, vec![Acl::world(31)], 0),
        ("/empty", Some(&b""[..]), vec![Acl::world(31)], 0),
        ("/bytes", Some(&b"\0\xff\xfe"[..]), vec![Acl::world(1)], 0),
        ("/auth", Some(&b"a"[..]), vec![Acl::new(31, "auth", "")], 0),
        (
            "/list",
            Some(&b"l"[..]),
            vec![Acl::new(3, "ip", "127.0.0.1"), Acl::new(31, "digest", "x:y"), Acl::world(17)],
            0,
        ),
        ("/mine", Some(&b"e"[..]), vec![Acl::new(31, "auth", "")], 1),
        ("/seq-", Some(&b"s"[..]), vec![Acl::world(31)], 2),
        ("/seq-", Some(&b"s"[..]), vec![Acl::world(31)], 3),
        ("/ümläut", Some(&b"u"[..]), vec![Acl::world(31)], 0),
        ("/quoted", Some(&b"12345"[..]), vec![Acl::world(31)], 0),
    ] {
        let request = CreateRequest { path: path(name), data, acl: Some(acl), flags };
        first.must(op::CREATE, &request.to_vec())?;
    }
    let acl = || Some(vec![Acl::world(31)]);
    let request = CreateRequest { path: path("/box"), data: Some(b"b"), acl: acl(), flags: 4 };
    first.must(op::CREATE_CONTAINER, &request.to_vec())?;
    let request = CreateTtlRequest {
        path: path("/ttl"),
        data: Some(b"t"),
        acl: acl(),
        flags: 5,
        ttl: 3_600_000,
    };
    first.must(op::CREATE_TTL, &request.to_vec())?;
    for i in 0..60 {
        second.must(op::CREATE, &create_body(&at("/box/child-"), &[i; 40], 2))?;
    }
    second.must(op::CREATE, &create_body(&at("/theirs"), b"e", 1))?;

    // A quota, as clients set it.
    let mut quota = "/zookeeper/quota".to_owned();
    for part in at("/quoted").split('/').skip(1) {
        quota = format!("{quota}/{part}");
        second.create(&quota, b"", 0)?;
    }
    for (name, text) in
        [("zookeeper_limits", "count=10,bytes=1000"), ("zookeeper_stats", "count=0,bytes=0")]
    {
        second.must(op::CREATE, &create_body(&format!("{quota}/{name}"), text.as_bytes(), 0))?;
    }
    second.must(op::CREATE, &create_body(&at("/quoted/below"), b"678", 0))?;

    for i in 0..120 {
        let path = path("/empty");
        let data = format!("value {i}");
        let request = SetDataRequest { path, data: Some(data.as_bytes()), version: i };
        second.must(op::SET_DATA, &request.to_vec())?;
    }
    let acl = Some(vec![Acl::world(1), Acl::new(31, "digest", "z:z")]);
    let request = SetAclRequest { path: path("/list"), acl, version: 0 };
    first.must(op::SET_ACL, &request.to_vec())?;
    let request = DeleteRequest { path: path("/seq-0000000006"), version: -1 };
    second.must(op::DELETE, &request.to_vec())?;

    let mut multi = Vec::new();
    MultiHeader { kind: op::CREATE, done: false, err: -1 }.encode(&mut multi);
    multi.extend(create_body(&at("/multi"), b"m", 1));
    MultiHeader { kind: op::SET_DATA, done: false, err: -1 }.encode(&mut multi);
    SetDataRequest { path: path("/multi"), data: Some(b"n"), version: 0 }.encode(&mut multi);
    MULTI_END.encode(&mut multi);
    second.must(op::MULTI, &multi)?;
    // Failures are in the log as well.
    ensure!(second.create(&at("/multi"), b"", 0)? == -110, "created twice");

    // A session that ends, with an ephemeral that must stay away.
    let mut brief = Session::open(server.address())?;
    brief.must(op::CREATE, &create_body(&at("/brief"), b"", 1))?;
    brief.must(op::CLOSE_SESSION, &[])?;
    Ok(())
}

/// The sessions come back with their ids and passwords and own what they owned.
fn come_back(server: &Server, known: &[Connected]) -> Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for connected in known {
        let mut session = Session::open_with(server.address(), &Hello::again(connected))?;
        ensure!(session.connected.session == connected.session, "another session");
        ensure!(session.connected.password == connected.password, "another password");
        session.must(op::PING, &[])?;
        sessions.push(session);
    }
    Ok(sessions)
}

fn owned(tree: &BTreeMap<String, Znode>, session: i64) -> usize {
    tree.values().filter(|znode| znode.stat.ephemeral_owner == session).count()
}

/// The main thread restores: what it finds is about our files. Digests that differ later are
/// Java's own, which it gets wrong for pipelined requests.
fn ensure_no_alarm(server: &Server) -> Result<()> {
    let log = server.last_log();
    let alarm = |line: &&str| line.contains("[main:") && ALARMS.iter().any(|a| line.contains(a));
    let alarms: Vec<&str> = log.lines().filter(alarm).collect();
    ensure!(alarms.is_empty(), "Java's log:\n{}", alarms.join("\n"));
    Ok(())
}

fn there_and_back(release: &'static str) -> Result<()> {
    let home = scratch("swap")?;
    let mut server = server(Kind::Java(release), home.path());
    server.start()?;
    let mut sessions = vec![Session::open(server.address())?, Session::open(server.address())?];
    let known: Vec<Connected> = sessions.iter().map(|s| s.connected.clone()).collect();
    write(&server, "/java", &mut sessions)?;
    let before = tree(&server)?;
    ensure!(owned(&before, known[0].session) == 2 && owned(&before, known[1].session) == 2);
    server.kill_9()?;

    server.become_kind(subject());
    server.start().context("ours on Java's directory")?;
    ensure_equal(&before, &server, "ours on Java's directory")?;
    let mut sessions = come_back(&server, &known)?;
    write(&server, "/ours", &mut sessions)?;
    let before = tree(&server)?;
    ensure!(owned(&before, known[0].session) == 4 && owned(&before, known[1].session) == 4);
    // Both ways out: with a last word and without.
    if release == TARGET {
        server.kill_9()?
    } else {
        server.stop()?
    }

    server.become_kind(Kind::Java(release));
    server.start().context("Java on our directory")?;
    ensure_equal(&before, &server, "Java on our directory")?;
    let mut sessions = come_back(&server, &known)?;
    write(&server, "/again", &mut sessions)?;
    sessions[0].must(op::CLOSE_SESSION, &[])?;
    let before = tree(&server)?;
    ensure!(owned(&before, known[0].session) == 0 && owned(&before, known[1].session) == 6);
    ensure_no_alarm(&server)?;
    server.kill_9()?;

    server.become_kind(subject());
    server.start().context("ours once more")?;
    ensure_equal(&before, &server, "ours once more")?;
    come_back(&server, &known[1..])?;
    ensure!(come_back(&server, &known[..1]).is_err(), "a closed session came back");
    server.stop()
}

/// After a random history of each kind, both programs restore each other's directory and their own:
/// they find the same.
fn random_history(profile: Profile, seed: u64) -> Result<()> {
    let (a, b) = (scratch("java")?, scratch("ours")?);
    let mut java = server(Kind::Java(TARGET), a.path());
    let mut ours = server(subject(), b.path());
    java.start()?;
    ours.start()?;
    let report = lockstep(java.address(), ours.address(), seed, profile, 2500)?;
    if let Some(difference) = report.difference {
        anyhow::bail!("{profile:?} seed {seed}: {difference}");
    }
    for mut writer in [java, ours] {
        let kind = writer.kind();
        let before = tree(&writer)?;
        writer.kill_9()?;
        let copy = scratch("copy")?;
        copy_dir(&writer.data_dir(), &copy.path().join("data"))?;
        let mut own = server(kind, copy.path());
        own.start()?;
        let other = if kind == subject() { Kind::Java(TARGET) } else { subject() };
        writer.become_kind(other);
        writer.start().with_context(|| format!("{other} on the directory of {kind}"))?;
        let when = format!("{profile:?} seed {seed}, {other} on the directory of {kind}");
        ensure_equal(&tree(&own)?, &writer, &when)?;
        let found = differences(&without_counts(before), &without_counts(tree(&writer)?));
        ensure!(found.is_empty(), "{when}, before and after:\n{}", found.join("\n"));
        if other != subject() {
            ensure_no_alarm(&writer).context(when)?;
        }
    }
    Ok(())
}

/// A restart counts all below a quota; a running server tells only the innermost quota of a change.
fn without_counts(mut tree: BTreeMap<String, Znode>) -> BTreeMap<String, Znode> {
    for (path, znode) in &mut tree {
        if path.ends_with("/zookeeper_stats") {
            znode.data = None;
            znode.stat.data_length = 0;
        }
    }
    tree
}

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn directories_of_every_release_go_there_and_back() {
    for release in RELEASES {
        there_and_back(release).unwrap_or_else(|error| panic!("{release}: {error:#}"));
        println!("{release}: there and back");
    }
}

#[test]
fn random_histories_survive_the_swap() {
    let profiles = [Profile::General, Profile::Sessions, Profile::Quota, Profile::Acl];
    for (index, profile) in profiles.into_iter().enumerate() {
        random_history(profile, 4_000 + index as u64).unwrap_or_else(|error| panic!("{error:#}"));
    }
}
