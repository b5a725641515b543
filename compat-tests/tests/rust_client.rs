//! The crate `zookeeper-client`, unmodified: what it sees of Java and of ours must be equal.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use compat_tests::program::differences;
use compat_tests::server::{Kind, Server, TARGET, scratch, subject};
use tokio::runtime::Runtime;
use zookeeper_client as zk;

/// What happened, line by line.
#[derive(Default)]
struct Transcript(Vec<String>);

impl Transcript {
    fn say(&mut self, what: &str, result: impl std::fmt::Debug) {
        self.0.push(format!("{what}: {result:?}"));
    }
}

/// A stat without its times; zxids relative to the znode's first.
fn stat(s: zk::Stat) -> String {
    format!(
        "v{} cv{} av{} owner {} {} bytes {} children zxids {} {}",
        s.version,
        s.cversion,
        s.aversion,
        s.ephemeral_owner != 0,
        s.data_length,
        s.num_children,
        s.mzxid - s.czxid,
        s.pzxid - s.czxid
    )
}

async fn connect(address: &str) -> zk::Client {
    let mut connector = zk::Client::connector();
    connector.session_timeout(Duration::from_secs(30));
    connector.connect(address).await.unwrap()
}

async fn basics(address: &str, out: &mut Transcript) {
    let client = connect(address).await;
    let open = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    let created = client.create("/app", b"one", &open).await.unwrap();
    out.say("create", stat(created.0));
    out.say("again", client.create("/app", b"one", &open).await.map(|_| ()));
    out.say("no parent", client.create("/no/where", b"", &open).await.map(|_| ()));
    out.say("mkdir", client.mkdir("/app/deep/deeper", &open).await);
    for mode in [
        zk::CreateMode::PersistentSequential,
        zk::CreateMode::Ephemeral,
        zk::CreateMode::EphemeralSequential,
        zk::CreateMode::Container,
    ] {
        let options = mode.with_acls(zk::Acls::anyone_all());
        let created = client.create(&format!("/app/{mode:?}"), b"x", &options).await.unwrap();
        out.say("create", (mode, format!("{:?}", created.1), stat(created.0)));
    }
    let options = open.clone().with_ttl(Duration::from_secs(3600));
    let created = client.create("/app/ttl", b"t", &options).await.unwrap();
    out.say("ttl", stat(created.0));
    let (data, read) = client.get_data("/app").await.unwrap();
    out.say("read", (data, stat(read)));
    out.say("set", client.set_data("/app", b"two", Some(0)).await.map(stat));
    out.say("old version", client.set_data("/app", b"three", Some(0)).await.map(stat));
    let mut children = client.list_children("/app").await.unwrap();
    children.sort();
    out.say("children", children);
    out.say("descendants", client.count_descendants_number("/app").await);
    out.say("ephemerals", client.list_ephemerals("/app").await.map(|paths| paths.len()));
    out.say("absent", client.check_stat("/nothing").await);
    out.say("not empty", client.delete("/app", None).await);
    out.say("sync", client.sync("/app").await);
    let mut writer = client.new_multi_writer();
    writer.add_create("/app/m", b"1", &open).unwrap();
    writer.add_set_data("/app/m", b"2", Some(0)).unwrap();
    writer.add_check_version("/app/m", 1).unwrap();
    writer.add_delete("/app/m", Some(1)).unwrap();
    out.say("multi", writer.commit().await.map(|results| results.len()));
    let mut writer = client.new_multi_writer();
    writer.add_create("/app/m", b"1", &open).unwrap();
    writer.add_check_version("/app", 99).unwrap();
    out.say("failing multi", writer.commit().await.map(|results| results.len()));
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/app").unwrap();
    reader.add_get_data("/nothing").unwrap();
    reader.add_get_children("/app/deep").unwrap();
    for result in reader.commit().await.unwrap() {
        match result {
            zk::MultiReadResult::Data { data, stat: read } => out.say("data", (data, stat(read))),
            other => out.say("other", other),
        }
    }
    let inside = client.clone().chroot("/app").unwrap();
    out.say("chroot", inside.get_data("/deep").await.map(|(data, _)| data));
    // Pipelined: futures are ordered when they are made.
    let sets: Vec<_> = (0..500)
        .map(|n: u32| client.set_data("/app/deep", n.to_string().as_bytes(), None))
        .collect();
    let mut versions = Vec::new();
    for set in sets {
        versions.push(set.await.unwrap().version);
    }
    out.say("burst in order", versions == (1..=500).collect::<Vec<_>>());
}

async fn watches(address: &str, out: &mut Transcript) {
    let (client, writer) = (connect(address).await, connect(address).await);
    let open = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    writer.create("/w", b"", &open).await.unwrap();
    let (_, created) = client.check_and_watch_stat("/w/a").await.unwrap();
    let (_, _, children) = client.get_and_watch_children("/w").await.unwrap();
    let mut deep = client.watch("/w", zk::AddWatchMode::PersistentRecursive).await.unwrap();
    let mut flat = client.watch("/w", zk::AddWatchMode::Persistent).await.unwrap();
    writer.create("/w/a", b"1", &open).await.unwrap();
    for watcher in [created, children] {
        let event = watcher.changed().await;
        out.say("event", (event.event_type, event.path));
    }
    let (_, _, data) = client.get_and_watch_data("/w/a").await.unwrap();
    writer.set_data("/w/a", b"2", None).await.unwrap();
    let event = data.changed().await;
    out.say("event", (event.event_type, event.path));
    writer.delete("/w/a", None).await.unwrap();
    for _ in 0..3 {
        let event = deep.changed().await;
        out.say("recursive", (event.event_type, event.path));
    }
    for _ in 0..2 {
        let event = flat.changed().await;
        out.say("persistent", (event.event_type, event.path));
    }
}

async fn identities(address: &str, out: &mut Transcript) {
    let (client, stranger) = (connect(address).await, connect(address).await);
    out.say("auth", client.auth("digest".to_owned(), b"bob:secret".to_vec()).await);
    let mine = zk::CreateMode::Persistent.with_acls(zk::Acls::creator_all());
    client.create("/i", b"s", &mine).await.unwrap();
    out.say("own", client.get_data("/i").await.map(|(data, read)| (data, stat(read))));
    out.say("stranger", stranger.get_data("/i").await.map(|(data, _)| data));
    out.say("acl", client.get_acl("/i").await.map(|(acl, _)| acl));
    let acl = zk::Acls::anyone_read();
    out.say("open", client.set_acl("/i", &acl, Some(0)).await.map(stat));
    out.say("stranger", stranger.get_data("/i").await.map(|(data, _)| data));
    out.say("who", client.list_auth_users().await.map(|users| users.len()));
    out.say("bad scheme", stranger.auth("nonsense".to_owned(), Vec::new()).await);
}

async fn locks(address: &str, out: &mut Transcript) {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let client = connect(address).await;
        tasks.push(tokio::spawn(async move {
            let prefix = zk::LockPrefix::new_curator("/locks", "lock-").unwrap();
            let open = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
            let options =
                zk::LockOptions::new(zk::Acls::anyone_all()).with_ancestor_options(open).unwrap();
            let lock = client.lock(prefix, b"", options).await.unwrap();
            // Alone, or this znode would be there.
            let options = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
            lock.create("/inside", b"", &options).await.unwrap();
            lock.delete("/inside", None).await.unwrap();
        }));
    }
    for task in tasks {
        out.say("lock", task.await.is_ok());
    }
}

fn scenario(kind: Kind, home: &Path) -> Vec<String> {
    let mut server = Server::new(kind, home).unwrap();
    server.start().unwrap();
    let address = server.address().to_string();
    let runtime = Runtime::new().unwrap();
    let mut out = Transcript::default();
    runtime.block_on(async {
        basics(&address, &mut out).await;
        watches(&address, &mut out).await;
        identities(&address, &mut out).await;
        locks(&address, &mut out).await;
    });
    let open = zk::CreateMode::Persistent.with_acls(zk::Acls::anyone_all());
    let (client, changed) = runtime.block_on(async {
        let client = connect(&address).await;
        client.create("/r", b"r", &open).await.unwrap();
        let options = zk::CreateMode::Ephemeral.with_acls(zk::Acls::anyone_all());
        client.create("/r/mine", b"", &options).await.unwrap();
        let (_, _, changed) = client.get_and_watch_data("/r").await.unwrap();
        (client, changed)
    });
    let session = client.session_id();
    server.kill_9().unwrap();
    server.start().unwrap();
    runtime.block_on(async {
        let mut states = client.state_watcher();
        let mine = loop {
            match client.check_stat("/r/mine").await {
                Ok(mine) => break mine,
                Err(zk::Error::ConnectionLoss) => drop(states.changed().await),
                Err(error) => panic!("{error}"),
            }
        };
        out.say("same session", client.session_id() == session);
        out.say("still mine", mine.map(|s| s.ephemeral_owner) == Some(session.0));
        let writer = connect(&address).await;
        writer.set_data("/r", b"q", None).await.unwrap();
        let event = changed.changed().await;
        out.say("event", (event.event_type, event.path));
        let (_, gone) = writer.check_and_watch_stat("/r/mine").await.unwrap();
        drop(client);
        let event = gone.changed().await;
        out.say("event", (event.event_type, event.path));
    });
    out.0
}

#[test]
fn rust_client() {
    let (a, b) = (scratch("rust-java").unwrap(), scratch("rust-ours").unwrap());
    let expected = scenario(Kind::Java(TARGET), a.path());
    let actual = scenario(subject(), b.path());
    assert!(expected.len() > 40, "only {} lines", expected.len());
    let found = differences(&expected, &actual);
    assert!(found.is_empty(), "{}", found.join("\n"));
    println!("rust: {} equal lines", expected.len());
}
