//! What is checked at a start, in Java's order: exit code, line on stderr, text in the log.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "common/ports.rs"]
mod ports;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const ENSEMBLE: &str = "initLimit=5\nsyncLimit=2\n";

/// A configuration under test.
struct Site {
    dir: TempDir,
    data: PathBuf,
}

impl Site {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let data = dir.path().join("data");
        fs::create_dir(&data).unwrap();
        Self { dir, data }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As the member with this number.
    fn member(self, sid: &str) -> Self {
        fs::write(self.data.join("myid"), sid).unwrap();
        self
    }

    fn write(self, name: &str, text: &str) -> Self {
        fs::write(self.path(name), text).unwrap();
        self
    }

    /// `DATA` and `DIR` stand for directories.
    fn fails(&self, text: &str, flags: &str, code: i32, said: &str) {
        let text = text
            .replace("DATA", &self.data.display().to_string())
            .replace("DIR", &self.dir.path().display().to_string());
        let file = self.path("zoo.cfg");
        fs::write(&file, format!("admin.enableServer=false\n{text}\n")).unwrap();
        run(&[&file.display().to_string()], flags, &text, code, said);
    }
}

/// Runs the server until it ends, and compares how.
fn run(arguments: &[&str], flags: &str, shown: &str, code: i32, said: &str) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
        .arg("server")
        .args(arguments)
        .env("SERVER_JVMFLAGS", flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let give_up = Instant::now() + Duration::from_secs(60);
    // It says less than a pipe holds.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > give_up {
            child.kill().unwrap();
            panic!("it runs: {shown}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (mut log, mut err) = (String::new(), String::new());
    child.stdout.unwrap().read_to_string(&mut log).unwrap();
    child.stderr.unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(status.code(), Some(code), "{shown}\n{log}{err}");
    assert!(log.contains(said), "{shown}: {said}\n{log}");
    let line = match code {
        2 if shown.contains("enforce.auth") => "Usage: ZooKeeperServerMain configfile | ",
        2 => "Invalid config, exiting abnormally\n",
        3 => "Unable to access datadir, exiting abnormally\n",
        4 => "Unable to start AdminServer, exiting abnormally\n",
        _ => "",
    };
    assert!(err.starts_with(line), "{shown}: {err}");
    assert!(log.contains(&format!("Exiting JVM with code {code}")), "{shown}\n{log}");
}

#[test]
fn keys_of_one_server() {
    run(&["/nowhere/zoo.cfg"], "", "", 2, "/nowhere/zoo.cfg file is missing");
    let site = Site::new();
    for (text, said) in [
        ("clientPort=0", "dataDir is not set"),
        ("dataDir=DATA\ntickTime=0", "tickTime is not set"),
        ("dataDir=DATA\ntickTime=x", "For input string: \"x\""),
        ("dataDir=DATA\nclientPort=65536", "port out of range:65536"),
        ("dataDir=DATA\nclientPortAddress=127.0.0.1", "clientPortAddress is set but clientPort is"),
        (
            "dataDir=DATA\nsecureClientPortAddress=127.0.0.1",
            "secureClientPortAddress is set but secureClientPort is not set",
        ),
        ("dataDir=DATA\nclientPort=0\nclientPortAddress=no.such.host.invalid", "no.such.host"),
        (
            "dataDir=DATA\nminSessionTimeout=5\nmaxSessionTimeout=4",
            "minSessionTimeout must not be larger than maxSessionTimeout",
        ),
        ("dataDir=DATA\ntickTime=-1", ""),
        ("dataDir=DATA\nelectionAlg=1", "Invalid electionAlg value. Only 3 is supported."),
        ("dataDir=DATA\npeerType=king", "Unrecognised peertype: king"),
        (
            "dataDir=DATA\nlocalSessionsEnabled=1",
            "Invalid option 1 for localSessionsEnabled. Choose 'true' or 'false.'",
        ),
        ("dataDir=DATA\nmetricsProvider.className=com.example.Mine", "metrics provider class was"),
        ("dataDir=DATA\nquorum.auth.serverRequireSasl=true", "is disabled, so cannot enable"),
        (
            "dataDir=DATA\nsecureClientPort=0\nssl.authProvider=nobody",
            "No auth provider configured for the SSL authentication scheme 'nobody'.",
        ),
        ("dataDir=DATA\nenforce.auth.enabled=true", "enforce.auth.schemes must be  configured."),
        (
            "dataDir=DATA\nenforce.auth.enabled=true\nenforce.auth.schemes=nobody",
            "Authentication scheme nobody is not available.",
        ),
    ] {
        site.fails(text, "", 2, said);
    }
    // What Java finds only when it builds the parts.
    let selectors = "-Dzookeeper.nio.numSelectorThreads=0";
    for (text, flags, said) in [
        ("serverCnxnFactory=com.example.Mine", "", "Couldn't instantiate com.example.Mine"),
        ("", selectors, "numSelectorThreads must be at least 1"),
        ("DigestAuthenticationProvider.digestAlg=NOPE", "", "NOPE"),
        ("secureClientPort=0", "", "Keystore is required for SSL server: ssl.keyStore.location"),
    ] {
        site.fails(&format!("dataDir=DATA\nclientPort=0\n{text}"), flags, 1, said);
    }
}

#[test]
fn members_and_files_of_an_ensemble() {
    let two = "server.1=127.0.0.1:1:2\nserver.2=127.0.0.1:3:4\n";
    let head = format!("dataDir=DATA\nclientPort=0\n{ENSEMBLE}");
    let dynamic = format!("{head}dynamicConfigFile=DIR/dynamic\n");
    let fails = |sid: &str, extra: &str, file: &str, code: i32, said: &str| {
        let site = Site::new();
        let site = if sid.is_empty() { site } else { site.member(sid) };
        let site = if file.is_empty() { site } else { site.write("dynamic", file) };
        site.fails(extra, "", code, said);
    };
    for (text, file, said) in [
        (
            format!("{dynamic}server.1=a:1:2"),
            two,
            "parameter: server.1 must be in a separate dynamic config file",
        ),
        (dynamic.clone(), "", "dynamic"),
        (dynamic.clone(), "server.1=a:1:2\nfoo=1\n", "Unrecognised parameter: foo"),
        (
            dynamic.clone(),
            "server.1=a:1:2\nversion=1\n",
            "dynamic file shouldn't have version inside",
        ),
        (
            format!("{head}standaloneEnabled=false"),
            "",
            "standaloneEnabled = false then number of participants should be >0",
        ),
        (
            format!("{head}server.1=a:1:2:observer"),
            "",
            "Observers w/o participants is an invalid configuration",
        ),
        (
            format!("{head}server.1=a:1:2\nserver.2=a:3:4:observer"),
            "",
            "Observers w/o quorum is an invalid configuration",
        ),
        (
            format!("{head}server.1=127.0.0.1:1\nserver.2=127.0.0.1:3"),
            "",
            "127.0.0.1:1 does not have the form server_config or server_config;client_config",
        ),
        (format!("{head}{two}group.1=1"), "", "is not in a group"),
        (
            format!("{head}{}", two.replace(":2\n", ":2;127.0.0.1:9\n")),
            "",
            "client address for this server (id = 1) in static config file is",
        ),
        (format!("dataDir=DATA\nclientPort=0\nsyncLimit=2\n{two}"), "", "initLimit is not set"),
        (format!("dataDir=DATA\nclientPort=0\ninitLimit=2\n{two}"), "", "syncLimit is not set"),
    ] {
        fails("1", &text, file, 2, said);
    }
    let text = format!("{head}{two}");
    fails("", &text, "", 2, "myid file is missing");
    fails("one", &text, "", 2, "serverid one is not a number");
    fails("7", &text, "", 1, "My id 7 not in the peer list");
    let sasl = "quorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n\
        quorum.auth.serverRequireSasl=true\nfips-mode=false";
    fails("1", &format!("{text}{sasl}"), "", 1, "JAAS configuration section");
    let site = Site::new().member("1");
    fs::create_dir(site.data.join("version-2")).unwrap();
    fs::write(site.data.join("version-2/acceptedEpoch"), "1").unwrap();
    fs::write(site.data.join("version-2/currentEpoch"), "2").unwrap();
    site.fails(&text, "", 1, "is less than the current epoch, 2");
}

#[test]
fn directories_and_ports() {
    let site = Site::new();
    let missing = "dataDir=DIR/none\nclientPort=0\ndatadir.autocreate=false";
    site.fails(missing, "", 3, "Missing data directory");
    let mixed = Site::new();
    fs::create_dir_all(mixed.path("logs/version-2")).unwrap();
    fs::write(mixed.path("logs/version-2/snapshot.0"), "").unwrap();
    mixed.fails(
        "dataDir=DATA\ndataLogDir=DIR/logs\nclientPort=0",
        "",
        3,
        "Log directory has snapshot files.",
    );
    let orphan = Site::new();
    fs::create_dir(orphan.data.join("version-2")).unwrap();
    // The header of a log and nothing more would be an empty one.
    fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/java-3.8.0/small/version-2/log.1"),
        orphan.data.join("version-2/log.1"),
    )
    .unwrap();
    orphan.fails("dataDir=DATA\nclientPort=0", "", 1, "No snapshot found, but there are log entr");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let busy = format!("dataDir=DATA\nclientPort={port}\nclientPortAddress=127.0.0.1");
    site.fails(&busy, "", 1, "cannot listen on");
    let admin = "dataDir=DATA\nclientPort=0\nadmin.enableServer=true\n\
        admin.serverAddress=127.0.0.1\nadmin.serverPort=PORT";
    site.fails(&admin.replace("PORT", &port.to_string()), "", 4, "");
    let first = format!("127.0.0.1:{}:{port}", ports::free_port());
    let ensemble = format!(
        "dataDir=DATA\nclientPort=0\n{ENSEMBLE}electionPortBindRetry=1\n\
         server.1={first}\nserver.2=127.0.0.1:1:2\nserver.3=127.0.0.1:3:4"
    );
    Site::new().member("1").fails(&ensemble, "", 14, "election port");
}
