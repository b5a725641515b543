//! `rookeeper check`: what it says of good, odd and broken configurations and directories, and that
//! it leaves them as they were.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use common::TestServer;
use serde_json::Value;
use tempfile::TempDir;

/// Exit code and report, of a directory that no server has. A process that another test begins may
/// have the lock of the last one until it executes its program.
fn check(arguments: &[&str]) -> (i32, Value) {
    let mut found = check_once(arguments);
    common::until("the directory is free", || {
        let busy = has(&found.1, "blocks", "is in use by a running server");
        if busy {
            found = check_once(arguments);
        }
        !busy
    });
    found
}

/// Exit code and report.
fn check_once(arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
        .args(["check", "--json"])
        .args(arguments)
        .env_remove("JVMFLAGS")
        .env("SERVER_JVMFLAGS", "-Xmx1g -javaagent:jmx.jar")
        .output()
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
    let code = output.status.code().unwrap();
    assert_eq!(value["exit"], code);
    (code, value)
}

/// The texts of all findings with this verdict, each behind its place.
fn texts(report: &Value, verdict: &str) -> Vec<String> {
    let all = report["findings"].as_array().unwrap().iter();
    let text =
        |f: &Value| format!("{}: {}", f["place"].as_str().unwrap(), f["text"].as_str().unwrap());
    all.filter(|f| f["verdict"] == verdict).map(text).collect()
}

fn has(report: &Value, verdict: &str, part: &str) -> bool {
    texts(report, verdict).iter().any(|text| text.contains(part))
}

/// Every file below a directory with its length and time.
fn contents(dir: &Path) -> Vec<(PathBuf, u64, SystemTime)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::metadata(&path).unwrap();
        if meta.is_dir() {
            found.extend(contents(&path));
        }
        found.push((path, meta.len(), meta.modified().unwrap()));
    }
    found.sort();
    found
}

/// A directory that a server has written, and a configuration for it.
fn written(extra: &str) -> (TempDir, String) {
    let server = TestServer::start();
    let mut client = server.client();
    (0..20).for_each(|i| assert_eq!(client.create(&format!("/n{i}"), b"data", 0).err, 0));
    let dir = server.stop();
    let file = dir.path().join("zoo.cfg");
    let text = format!("tickTime=2000\ndataDir={}\nclientPort=0\n{extra}", dir.path().display());
    fs::write(&file, text).unwrap();
    (dir, file.display().to_string())
}

fn only(dir: &Path, prefix: &str) -> PathBuf {
    let mut found: Vec<PathBuf> =
        fs::read_dir(dir.join("version-2")).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    found.sort();
    found.pop().unwrap_or_else(|| panic!("no {prefix} in {}", dir.display()))
}

#[test]
fn a_good_directory_is_read_and_left_alone() {
    let (dir, file) = written("maxClientCnxns=10\nabc=1\nmaxResponseCacheSize=4\n");
    let before = contents(dir.path());
    let (code, report) = check(&[&file]);
    assert_eq!(contents(dir.path()), before);
    assert_eq!(code, 1, "{report}");
    assert!(has(&report, "same", "zoo.cfg:1: tickTime"), "{report}");
    assert!(has(&report, "same", "zoo.cfg:4: maxClientCnxns"), "{report}");
    assert!(has(&report, "differs", "zoo.cfg:5: abc=1: unknown, no effect"), "{report}");
    assert!(has(&report, "differs", "zoo.cfg:6: maxResponseCacheSize"), "{report}");
    assert!(has(&report, "differs", "-javaagent:jmx.jar: agents cannot work"), "{report}");
    assert!(has(&report, "differs", "-Xmx1g: there is no heap"), "{report}");
    // Twenty, the root, and the three of /zookeeper.
    assert!(has(&report, "same", "give 24 znodes at zxid 0x"), "{report}");
    assert_eq!(report["blocks"], 0, "{report}");
    let (_, quick) = check(&[&file, "--quick"]);
    assert!(!has(&quick, "same", "znodes"), "{quick}");
}

#[test]
fn damage_blocks() {
    let (dir, file) = written("");
    let log = only(dir.path(), "log.");
    let mut bytes = fs::read(&log).unwrap();
    let at = bytes.windows(4).position(|four| four == b"data").unwrap();
    bytes[at] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let (code, report) = check(&[&file]);
    assert_eq!(code, 2, "{report}");
    assert!(has(&report, "differs", &log.display().to_string()), "{report}");
    assert!(has(&report, "blocks", "restore: "), "{report}");
}

#[test]
fn a_directory_in_use_blocks() {
    let server = TestServer::start();
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("zoo.cfg");
    let port = server.address().port();
    let text = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n",
        server.dir.path().display()
    );
    fs::write(&file, text).unwrap();
    let (code, report) = check_once(&[&file.display().to_string()]);
    assert_eq!(code, 2, "{report}");
    assert!(has(&report, "blocks", "is in use by a running server"), "{report}");
    assert!(has(&report, "differs", "a server still runs"), "{report}");
}

#[test]
fn configurations_that_no_server_starts_with() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("zoo.cfg");
    let name = file.display().to_string();
    let (code, report) = check(&[&name]);
    assert_eq!(code, 2);
    assert!(has(&report, "blocks", "cannot be read"), "{report}");
    let data = dir.path().join("data");
    for (text, part) in [
        ("clientPort=1", "dataDir"),
        ("dataDir=DATA\nclientPort=x", "clientPort"),
        ("dataDir=DATA\nclientPort=0\nserver.1=a:1:2\nserver.2=b:1:2", "myid"),
        (
            "dataDir=DATA\nclientPort=0\nmetricsProvider.className=com.example.Mine",
            "com.example.Mine",
        ),
        ("dataDir=DATA\nclientPort=0\ndynamicConfigFile=/nope", "/nope"),
    ] {
        fs::write(&file, text.replace("DATA", &data.display().to_string())).unwrap();
        let (code, report) = check(&[&name]);
        assert_eq!(code, 2, "{report}");
        assert!(has(&report, "blocks", part), "{part}: {report}");
    }
    assert!(!data.exists(), "nothing is created");
}

/// Stores are opened as the server would.
#[test]
fn stores_are_tried() {
    let stores = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    for (key, verdict) in [("server.pem", "same"), ("nothing.pem", "blocks")] {
        let (_dir, file) = written(&format!(
            "secureClientPort=1\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
             ssl.keyStore.location={}\nssl.trustStore.location={}\n",
            stores.join(key).display(),
            stores.join("trust.pem").display()
        ));
        let (_, report) = check(&[&file]);
        assert!(has(&report, verdict, "ssl: "), "{report}");
    }
}

#[test]
fn a_report_for_people() {
    let (_dir, file) = written("");
    let output =
        Command::new(env!("CARGO_BIN_EXE_rookeeper")).args(["check", &file]).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.starts_with("same     open files: ") || out.starts_with("same     "), "{out}");
    let last = out.lines().last().unwrap();
    assert!(last.contains(" same, ") && last.contains(" block: "), "{out}");
}
