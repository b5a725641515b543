//! The container image under the contract of the official image `zookeeper`: variables, paths,
//! user, commands, signals, data of the Java image, and an ensemble whose members are killed.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use compat_tests::docker::{Container, docker, image};
use compat_tests::server::{TARGET, free_port, rookeeper_binary, scratch};
use compat_tests::wire::{Hello, Session};

const PATIENCE: Duration = Duration::from_secs(180);

/// What the official image writes when no variable is set.
const DEFAULT_CONFIGURATION: &str = "dataDir=/data\ndataLogDir=/datalog\ntickTime=2000\n\
    initLimit=5\nsyncLimit=2\nautopurge.snapRetainCount=3\nautopurge.purgeInterval=0\n\
    maxClientCnxns=60\nstandaloneEnabled=true\nadmin.enableServer=true\n\
    server.1=localhost:2888:3888;2181\n";

/// `Mode:` of the server at a port of loopback, if it serves.
fn mode(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"srvr").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().find_map(|line| line.strip_prefix("Mode: ")).map(str::to_owned)
}

/// Polls until there is something; on failure the logs of the containers say why.
fn until<T>(
    what: &str,
    containers: &[&Container],
    mut look: impl FnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            let logs: Result<Vec<String>> = containers.iter().map(|c| c.logs()).collect();
            anyhow::bail!("waited {PATIENCE:?} in vain until {what}\n{}", logs?.join("\n----\n"));
        }
        sleep(Duration::from_millis(20));
    }
}

fn session(port: u16) -> Result<Session> {
    Session::open(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
}

fn without_options() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let size: u64 = docker(&["image", "inspect", "-f", "{{.Size}}", image])?.trim().parse()?;
    // What a build for debugging weighs is nobody's concern.
    if !rookeeper_binary()?.components().any(|part| part.as_os_str() == "debug") {
        ensure!(size < 30_000_000, "the image has {size} bytes");
    }

    let container = Container::run(&["--network", "none", image])?;
    let status = container.await_exec(&["zkServer.sh", "status"])?;
    ensure!(status.contains("Client port found: 2181."), "{status}");
    ensure!(status.contains("Mode: standalone"), "{status}");
    let configuration = container.exec(&["cat", "/conf/zoo.cfg"])?;
    ensure!(configuration == DEFAULT_CONFIGURATION, "{configuration}");
    ensure!(container.exec(&["cat", "/data/myid"])?.trim() == "1");
    ensure!(container.exec(&["stat", "-c", "%u:%g", "/proc/1"])?.trim() == "1000:1000");
    for directory in ["/data/version-2", "/datalog/version-2", "/logs"] {
        let owner = container.exec(&["stat", "-c", "%u:%g", directory])?;
        ensure!(owner.trim() == "1000:1000", "{directory} belongs to {owner}");
    }

    // What people and probes call.
    let children = container.exec(&["zkCli.sh", "-server", "localhost:2181", "ls", "/"])?;
    ensure!(children.lines().any(|line| line == "[zookeeper]"), "{children}");
    let children = container.exec(&["bin/zkCli.sh", "ls", "/"])?;
    ensure!(children.lines().any(|line| line == "[zookeeper]"), "{children}");
    for shell in ["sh", "bash"] {
        let text = container.exec(&[shell, "-c", "echo srvr | nc localhost 2181"])?;
        ensure!(text.contains("Mode: standalone"), "{shell}: {text}");
    }
    let admin =
        container.exec(&["wget", "-q", "-O", "-", "http://localhost:8080/commands/ruok"])?;
    ensure!(admin.contains("\"command\" : \"ruok\""), "{admin}");

    // Signals reach the server, which is the first process, and it ends by itself.
    let first = container.exec(&["cat", "/proc/1/cmdline"])?;
    ensure!(first.contains("rookeeper\0server\0/conf/zoo.cfg"), "{first}");
    container.order("stop")?;
    ensure!(container.inspect("{{.State.ExitCode}}")? == "143", "{}", container.logs()?);

    // The second start finds configuration, myid and data.
    container.order("start")?;
    container.await_exec(&["zkServer.sh", "status"])?;
    ensure!(container.exec(&["cat", "/conf/zoo.cfg"])? == DEFAULT_CONFIGURATION);
    Ok(())
}

#[test]
fn without_options_it_is_the_official_image() {
    without_options().unwrap();
}

/// What a variable is set to, and what then stands in the configuration.
const VARIABLES: [(&str, &str, &str, &str); 12] = [
    ("ZOO_TICK_TIME", "1500", "tickTime=2000", "tickTime=1500"),
    ("ZOO_INIT_LIMIT", "7", "initLimit=5", "initLimit=7"),
    ("ZOO_SYNC_LIMIT", "4", "syncLimit=2", "syncLimit=4"),
    ("ZOO_MAX_CLIENT_CNXNS", "9", "maxClientCnxns=60", "maxClientCnxns=9"),
    ("ZOO_STANDALONE_ENABLED", "false", "standaloneEnabled=true", "standaloneEnabled=false"),
    ("ZOO_ADMINSERVER_ENABLED", "false", "admin.enableServer=true", "admin.enableServer=false"),
    ("ZOO_AUTOPURGE_PURGEINTERVAL", "1", "autopurge.purgeInterval=0", "autopurge.purgeInterval=1"),
    (
        "ZOO_AUTOPURGE_SNAPRETAINCOUNT",
        "8",
        "autopurge.snapRetainCount=3",
        "autopurge.snapRetainCount=8",
    ),
    ("ZOO_DATA_DIR", "/srv/d", "dataDir=/data\n", "dataDir=/srv/d\n"),
    ("ZOO_DATA_LOG_DIR", "/srv/l", "dataLogDir=/datalog", "dataLogDir=/srv/l"),
    (
        "ZOO_SERVERS",
        "server.1=a:2888:3888;2181 server.2=b:2888:3888;2181",
        "server.1=localhost:2888:3888;2181\n",
        "server.1=a:2888:3888;2181\nserver.2=b:2888:3888;2181\n",
    ),
    (
        "ZOO_CFG_EXTRA",
        "snapCount=500 admin.serverPort=8081",
        ";2181\n",
        ";2181\nsnapCount=500\nadmin.serverPort=8081\n",
    ),
];

fn variables() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let show = |options: &[String], file: &str| -> Result<String> {
        let mut all: Vec<&str> = vec!["run", "--rm", "--network", "none"];
        all.extend(options.iter().map(String::as_str));
        all.extend([image, "bash", "-c"]);
        let command = format!("cat {file}");
        all.push(&command);
        docker(&all)
    };
    let set = |name: &str, value: &str| ["-e".to_owned(), format!("{name}={value}")];
    let mut options = Vec::new();
    let mut expected = DEFAULT_CONFIGURATION.to_owned();
    for (name, value, default, instead) in VARIABLES {
        options.extend(set(name, value));
        ensure!(expected.contains(default), "{name}: no {default:?} in {expected}");
        // The last server line is where what follows belongs.
        let at = expected.rfind(default).context("as just seen")?;
        expected.replace_range(at..at + default.len(), instead);
    }
    // Written between the servers and what else is wanted.
    options.extend(set("ZOO_4LW_COMMANDS_WHITELIST", "srvr, mntr"));
    let words = "4lw.commands.whitelist=srvr, mntr\nsnapCount";
    expected = expected.replacen("snapCount", words, 1);
    // A directory the image does not have is made by whoever names it.
    options.extend(["-v".to_owned(), "/srv/d".to_owned()]);
    options.extend(set("ZOO_MY_ID", "2"));
    let text = show(&options, "/conf/zoo.cfg /srv/d/myid")?;
    let all = format!("{expected}2\n");
    ensure!(text == all, "expected\n{all}\nfound\n{text}");

    // Elsewhere, and never over a file that is there.
    let folder = scratch("image-conf")?;
    fs::write(folder.path().join("zoo.cfg"), "mine=1\n")?;
    let mount = ["-v".to_owned(), format!("{}:/elsewhere", folder.path().display())];
    let options = [&mount[..], &set("ZOO_CONF_DIR", "/elsewhere")[..]].concat();
    ensure!(show(&options, "/elsewhere/zoo.cfg")? == "mine=1\n");
    Ok(())
}

#[test]
fn each_variable_makes_its_line() {
    variables().unwrap();
}

fn users() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let container = Container::run(&["--network", "none", "--user", "1000", image])?;
    container.await_exec(&["zkServer.sh", "status"])?;
    ensure!(container.exec(&["stat", "-c", "%u", "/proc/1"])?.trim() == "1000");
    drop(container);

    // Settings for the JVM: what is a property counts, the rest is named and ignored; the root
    // file system may be read-only, and no privilege is needed.
    let arguments = [
        "--network",
        "none",
        "--read-only",
        "--tmpfs",
        "/conf:uid=1000",
        "--user",
        "1000:1000",
        "--cap-drop",
        "ALL",
        "--security-opt",
        "no-new-privileges",
        "-e",
        "JVMFLAGS=-Xmx1g -Dzookeeper.4lw.commands.whitelist=ruok -javaagent:/x.jar=1:2",
        image,
    ];
    let container = Container::run(&arguments)?;
    container.await_exec(&["zkServer.sh", "status"])?;
    let answer = container.exec(&["sh", "-c", "echo ruok | nc 127.0.0.1 2181"])?;
    ensure!(answer == "imok", "{answer}");
    let log = container.logs()?;
    ensure!(log.contains("-javaagent:/x.jar=1:2: there is no JVM to instrument"), "{log}");
    ensure!(log.contains("JVM options without effect here: -Xmx1g"), "{log}");
    Ok(())
}

#[test]
fn it_runs_as_a_user_without_rights() {
    users().unwrap();
}

/// A server of one line on the host's network, on directories of the host.
fn alone(image: &str, home: &Path, ports: [u16; 3]) -> Result<Container> {
    let [client, quorum, election] = ports;
    let server = format!("ZOO_SERVERS=server.1=127.0.0.1:{quorum}:{election};127.0.0.1:{client}");
    let mount = |name: &str| format!("{}:/{name}", home.join(name).display());
    let (data, log, output) = (mount("data"), mount("datalog"), mount("logs"));
    let conf = mount("conf");
    Container::run(&[
        "--network",
        "host",
        "-v",
        &data,
        "-v",
        &log,
        "-v",
        &output,
        "-v",
        &conf,
        "-e",
        &server,
        "-e",
        "ZOO_MY_ID=1",
        "-e",
        "ZOO_ADMINSERVER_ENABLED=false",
        image,
    ])
}

fn takes_over() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let folder = scratch("image-volumes")?;
    for name in ["data", "datalog", "logs", "conf"] {
        fs::create_dir(folder.path().join(name))?;
    }
    let ports = [free_port(), free_port(), free_port()];
    let java = alone(&format!("zookeeper:{TARGET}"), folder.path(), ports)?;
    until("Java serves", &[&java], || mode(ports[0]))?;
    let mut client = session(ports[0])?;
    ensure!(client.create("/kept", b"by Java", 0)? == 0);
    ensure!(client.create("/mine", b"", 1)? == 0);
    let again = Hello::again(&client.connected);
    java.order("stop")?;
    drop((client, java));
    // Files of whoever ran Java.
    ensure!(fs::metadata(folder.path().join("data/version-2"))?.uid() == 0);

    let ours = alone(image, folder.path(), ports)?;
    until("ours serves", &[&ours], || mode(ports[0]))?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0]));
    let mut client = Session::open_with(address, &again)?;
    ensure!(client.connected.session == again.session, "the session is lost");
    ensure!(client.data("/kept")? == Ok(b"by Java".to_vec()));
    ensure!(client.data("/mine")? == Ok(Vec::new()), "the ephemeral is lost");
    for name in ["data/version-2", "datalog/version-2", "data/myid"] {
        let owner = fs::metadata(folder.path().join(name))?.uid();
        ensure!(owner == 1000, "{name} belongs to {owner}");
    }
    ours.order("stop")?;
    Ok(())
}

#[test]
fn volumes_of_the_java_image_are_taken_over() {
    takes_over().unwrap();
}

/// One member on the host's network with named variables only; its data lives in the container.
fn member(image: &str, sid: usize, servers: &str) -> Result<Container> {
    let (my_id, servers) = (format!("ZOO_MY_ID={sid}"), format!("ZOO_SERVERS={servers}"));
    Container::run(&[
        "--network",
        "host",
        "-e",
        &my_id,
        "-e",
        &servers,
        "-e",
        "ZOO_ADMINSERVER_ENABLED=false",
        "-e",
        "ZOO_TICK_TIME=1000",
        "-e",
        "ZOO_INIT_LIMIT=30",
        "-e",
        "ZOO_SYNC_LIMIT=60",
        "-e",
        "ZOO_STANDALONE_ENABLED=false",
        image,
    ])
}

fn kills() -> Result<()> {
    let Some(image) = image() else { return Ok(()) };
    let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
    let servers: Vec<String> = ports
        .iter()
        .zip(1..)
        .map(|(port, sid)| {
            format!("server.{sid}=127.0.0.1:{}:{};127.0.0.1:{port}", free_port(), free_port())
        })
        .collect();
    let servers = servers.join(" ");
    let members: Result<Vec<Container>> = (1..=3).map(|sid| member(image, sid, &servers)).collect();
    let members = members?;
    let all: Vec<&Container> = members.iter().collect();
    let modes = |who: &[usize]| -> Option<Vec<String>> {
        who.iter().map(|index| mode(ports[*index])).collect()
    };
    let led = |who: &[usize]| {
        modes(who).filter(|modes| modes.iter().filter(|mode| *mode == "leader").count() == 1)
    };
    let create = |port: u16, path: &str| {
        until(&format!("{path} is written"), &all, || {
            let code = session(port).ok()?.create(path, b"x", 0).ok()?;
            // There already: by an attempt whose answer was lost.
            (code == 0 || code == -110).then_some(())
        })
    };
    until("three have a leader", &all, || led(&[0, 1, 2]))?;
    create(ports[0], "/written")?;

    for killed in 0..3 {
        members[killed].order("kill")?;
        let others: Vec<usize> = (0..3).filter(|index| *index != killed).collect();
        until(&format!("two go on without {}", killed + 1), &all, || led(&others))?;
        // What was acknowledged before is there, and more is acknowledged.
        create(ports[others[0]], &format!("/without-{killed}"))?;
        members[killed].order("start")?;
        until(&format!("{} is back", killed + 1), &all, || led(&[0, 1, 2]))?;
        for path in
            ["/written".to_owned()].into_iter().chain((0..=killed).map(|k| format!("/without-{k}")))
        {
            until(&format!("{path} is at {}", killed + 1), &all, || {
                session(ports[killed]).ok()?.data(&path).ok()?.ok()
            })?;
        }
    }
    for (container, sid) in members.iter().zip(1..) {
        let status = container.await_exec(&["zkServer.sh", "status"])?;
        ensure!(status.contains("Mode: "), "server {sid}: {status}");
    }
    for container in &members {
        container.order("stop")?;
        ensure!(container.inspect("{{.State.ExitCode}}")? == "143", "{}", container.logs()?);
    }
    Ok(())
}

#[test]
fn three_members_survive_the_kill_of_each() {
    kills().unwrap();
}
