//! Applications as they come, on an ensemble of three of our servers. Processes of both are killed
//! while they work, and the application must find out, elect, and go on.
//!
//! `COMPAT_SUBJECT=java` asks whether an application does the same on Java servers.

use std::fs;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use compat_tests::application::{Application, Deployment, client};
use compat_tests::ensemble::{Ensemble, Member, Part};
use compat_tests::program::transcript_within;
use compat_tests::server::{free_port, subject};

/// How long a program may wait for its application.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// Three voters, started, with nothing on them yet.
fn three(name: &str) -> Result<Deployment> {
    let members: [Member; 3] = [(subject(), Part::Participant); 3];
    let mut ensemble = Ensemble::new(name, &members, &[], &[])?;
    ensemble.start(&[1, 2, 3])?;
    Ok(Deployment { applications: Vec::new(), ensemble })
}

fn show(name: &str, result: Result<()>) {
    if let Err(error) = result {
        panic!("{name}: {error:#}");
    }
}

/// Ids of Kafka's brokers: their place and 1.
const BROKERS: std::ops::RangeInclusive<usize> = 1..=3;

/// The broker that Kafka has elected as its controller, and how often it did.
fn controller(all: &Deployment) -> Option<(usize, u32)> {
    let text = all.data("/kafka/controller")?;
    let content: serde_json::Value = serde_json::from_str(&text).ok()?;
    let id = usize::try_from(content["brokerid"].as_u64()?).ok()?;
    Some((id, all.data("/kafka/controller_epoch")?.parse().ok()?))
}

fn brokers(all: &mut Deployment, count: usize) -> Result<()> {
    all.until(&format!("{count} brokers are registered"), |all| {
        Ok((all.children("/kafka/brokers/ids").len() == count).then_some(()))
    })
}

fn kafka_on_three() -> Result<()> {
    let mut all = three("kafka")?;
    let home = all.ensemble.home().to_owned();
    let ports: Vec<u16> = BROKERS.map(|_| free_port()).collect();
    for (id, port) in BROKERS.zip(&ports) {
        let name = format!("broker-{id}");
        let home = home.join(&name);
        fs::create_dir_all(&home)?;
        let servers = all.ensemble.connect_string();
        let settings = format!(
            "broker.id={id}\n\
             listeners=PLAINTEXT://127.0.0.1:{port}\n\
             log.dirs={}\n\
             zookeeper.connect={servers}/kafka\n\
             zookeeper.session.timeout.ms=30000\n\
             zookeeper.connection.timeout.ms=240000\n\
             auto.create.topics.enable=false\n\
             offsets.topic.num.partitions=1\n\
             group.initial.rebalance.delay.ms=0\n\
             log.cleaner.dedupe.buffer.size=2097152\n\
             num.network.threads=1\n\
             num.io.threads=2\n\
             background.threads=2\n",
            home.join("log").display()
        );
        fs::write(home.join("server.properties"), settings)?;
        let arguments = ["kafka.Kafka", "server.properties"];
        let mut broker = Application::new(&name, "kafka", &home, 256, &arguments)?;
        broker.start()?;
        all.applications.push(broker);
    }
    brokers(&mut all, 3)?;
    let all_ports: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    let program = client("kafka", &["Traffic", &all_ports.join(",")])?;
    let mut steps = 0;
    let mut victims = (0, 0);
    let lines = transcript_within(program, "", SILENCE_MAX, || {
        steps += 1;
        if steps == 1 {
            let first = all.until("there is a controller", |all| Ok(controller(all)))?;
            let leader = all.ensemble.await_leader(&[1, 2, 3])?;
            victims = (first.0, leader);
            all.applications[first.0 - 1].kill_9()?;
            all.ensemble.server(leader).kill_9()?;
            let next = all.until("another broker is the controller", |all| {
                Ok(controller(all).filter(|(id, epoch)| *id != first.0 && *epoch > first.1))
            })?;
            println!("controllers {first:?}, then {next:?}; server {leader} killed meanwhile");
            brokers(&mut all, 2)
        } else {
            let (broker, server) = victims;
            all.ensemble.start(&[server])?;
            all.applications[broker - 1].start()?;
            brokers(&mut all, 3)
        }
    });
    let lines = lines.map_err(|error| anyhow!("{}\n{error:#}", all.logs()))?;
    let expected = [
        "created orders",
        "in sync orders 3",
        "produced 0",
        "@restart",
        "produced 1",
        "created returns",
        "in sync returns 2",
        "altered retention.ms",
        "@restart",
        "in sync orders 3",
        "produced 2",
        "retention 86400001",
        "consumed 900",
        "topics [orders]",
        "done",
    ];
    ensure!(lines == expected, "{}\n{}", all.logs(), lines.join("\n"));
    // Nothing that Kafka does from here on changes the tree.
    all.applications.clear();
    all.ensemble.assert_same(&[1, 2, 3])
}

/// Topics are created and changed, records are written and read; the controller broker is killed
/// together with the server that leads, and both come back.
#[test]
fn kafka() {
    show("kafka", kafka_on_three());
}
