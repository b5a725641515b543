//! The scripts of the tools: arguments and exit codes go through, JVM flags do not disturb.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "common/proposals.rs"]
mod proposals;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use rookeeper::storage::{
    DataDirs, Options, OwnedTreeSource, RealDisk, TxnLogWriter, restore, write_snapshot,
};
use rookeeper::tree::TreeOptions;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn golden(file: &str) -> String {
    let path = repository().join("server/tests/golden/java-3.8.0").join(file);
    path.to_str().unwrap().to_owned()
}

fn command(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(repository().join("scripts").join(script));
    command
        .args(arguments)
        .env("ROOKEEPER", env!("CARGO_BIN_EXE_rookeeper"))
        .env("TZ", "UTC")
        .env_remove("JVMFLAGS");
    command
}

fn run(script: &str, arguments: &[&str]) -> (String, String, i32) {
    finished(command(script, arguments).output().unwrap())
}

fn finished(output: Output) -> (String, String, i32) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code().unwrap())
}

#[test]
fn txnlog() {
    let (out, err, code) = run("zkTxnLogToolkit.sh", &[&golden("standalone/version-2/log.46")]);
    assert!(out.contains("11/21/26, 1:57:33 PM UTC session 0x1000023a3a80000 cxid 0x1 zxid 0x47"));
    assert!(out.ends_with("EOF reached after 5 txns.\n"));
    assert_eq!((err.as_str(), code), ("", 0));
    for (arguments, expected) in [
        (&["-h"][..], 0),
        (&["--help"], 0),
        (&[], 1),
        (&["/no/such/log"], 1),
        (&[&golden("variants/bad-magic-log/version-2/log.46")], 2),
    ] {
        assert_eq!(run("zkTxnLogToolkit.sh", arguments).2, expected, "{arguments:?}");
    }
}

#[test]
fn snapshots() {
    let file = golden("small/version-2/snapshot.6");
    let (out, _, code) = run("zkSnapShotToolkit.sh", &["-d", &file]);
    assert!(out.contains("  data = eW8=\n") && code == 0);
    let (out, _, code) = run("zkSnapShotToolkit.sh", &["-json", &file]);
    assert!(out.starts_with("[1,0,{\"progname\":\"SnapshotFormatter.java\"") && code == 0);
    assert_eq!(run("zkSnapShotToolkit.sh", &["-d", "-json", &file]).2, 2);
    assert_eq!(run("zkSnapShotToolkit.sh", &[]).2, 2);
}

#[test]
fn comparison() {
    let (left, right) =
        (golden("standalone/version-2/snapshot.0"), golden("standalone/version-2/snapshot.45"));
    let arguments = ["-l", &left, "-r", &right, "-b", "2", "-n", "1"];
    let (out, _, code) = run("zkSnapshotComparer.sh", &arguments);
    assert!(out.contains("Node /q found only in right tree. Descendant size: 22."));
    assert!(out.ends_with("All layers compared.\n") && code == 0);
    assert_eq!(run("zkSnapshotComparer.sh", &["-l", &left]).2, 2);
}

/// Java's script finds its class only if the variable is exactly one word.
#[test]
fn summary_whatever_the_jvm_flags() {
    let file = golden("standalone/version-2/snapshot.45");
    let arguments = [file.as_str(), "/q", "0"];
    let expected = " /q\n   children: 2\n   data: 22\n\n";
    assert_eq!(run("zkSnapshotRecursiveSummaryToolkit.sh", &arguments).0, expected);
    for flags in ["", "-Xmx1g", "-Xmx1g -Dx=y"] {
        let output = command("zkSnapshotRecursiveSummaryToolkit.sh", &arguments)
            .env("JVMFLAGS", flags)
            .output()
            .unwrap();
        assert_eq!(finished(output).0, expected, "{flags}");
    }
    assert_eq!(run("zkSnapshotRecursiveSummaryToolkit.sh", &[&file]).2, 2);
}

#[test]
fn chop() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("chopped");
    let call = |zxid: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
            .args(["chop", zxid, &golden("standalone/version-2/log.46")])
            .arg(&target)
            .output()
            .unwrap();
        finished(output).2
    };
    assert_eq!((call("0x48"), call("0x4a"), call("-1")), (0, 2, 2));
}

/// `DigestAuthenticationProvider`.
#[test]
fn digests_of_passwords() {
    let output = Command::new(env!("CARGO_BIN_EXE_rookeeper"))
        .args(["digest", "super:test", "a:b:c"])
        .output()
        .unwrap();
    let (out, _, code) = finished(output);
    let first = "super:test->super:D/InIHSb7yEEbrWz8b9l71RjZJU=\n";
    assert!(out.starts_with(first), "{out}");
    assert!(out[first.len()..].starts_with("a:b:c->a:") && code == 0);
}

#[test]
fn cleanup() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::write(dir.path().join("zoo.cfg"), format!("dataDir={}\n", data.display())).unwrap();
    let options = Options::default();
    {
        let dirs = DataDirs::open(Arc::new(RealDisk), &data, None, &options).unwrap();
        let dirs = Arc::new(dirs);
        let mut restored = restore(&dirs, &options, TreeOptions::default()).unwrap();
        let mut writer = TxnLogWriter::new(dirs.clone(), &options, restored.last);
        for zxid in 1..=6 {
            let proposal = proposals::create(zxid, None);
            restored.tree.apply(&proposal, &mut |_| {});
            writer.append(&proposal).unwrap();
            writer.roll().unwrap();
            let mut source = OwnedTreeSource::new(&mut restored.tree).unwrap();
            let file = write_snapshot(&dirs, &options.snapshot, &mut source).unwrap();
            file.publish(writer.durable()).unwrap();
        }
    }
    let clean = |count: &str| {
        let output =
            command("zkCleanup.sh", &["-n", count]).env("ZOOCFGDIR", dir.path()).output().unwrap();
        finished(output)
    };
    let files = || {
        let list = fs::read_dir(data.join("version-2")).unwrap();
        let mut names: Vec<_> =
            list.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(clean("2").2, 1);
    let (out, err, code) = clean("3");
    assert_eq!((err.as_str(), code), ("", 0));
    let mut removed: Vec<_> = out
        .lines()
        .map(|line| {
            let (date, path) =
                line.strip_prefix("Removing file: ").unwrap().split_once('\t').unwrap();
            assert!(date.ends_with("AM") || date.ends_with("PM"), "{line}");
            path.rsplit('/').next().unwrap()
        })
        .collect();
    removed.sort_unstable();
    assert_eq!(removed.join(" "), "log.1 log.2 log.3 snapshot.0 snapshot.1 snapshot.2 snapshot.3");
    assert_eq!(files(), "log.4 log.5 log.6 snapshot.4 snapshot.5 snapshot.6");
    assert_eq!(clean("3").0, "");
}
