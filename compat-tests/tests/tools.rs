//! Java's tools and ours over the same files: the same text on stdout, the same exit codes, the same
//! files written.
//!
//! The files are those of a server of ours after a session with every kind of transaction. Taken out
//! is the order of znodes, which in Java's output follows a hash table.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use compat_tests::server::{Kind, Server, TARGET, jars, rookeeper_binary, scratch};

const SERVER: &str = "org.apache.zookeeper.server.";

fn java(class: &str) -> Command {
    let conf = concat!(env!("CARGO_MANIFEST_DIR"), "/images/rootfs/conf");
    let mut command = Command::new("java");
    command
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.root.level=OFF"])
        .args(["-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8"])
        .args(["-cp", &format!("{conf}:{}/*", jars(TARGET).unwrap().display()), class]);
    command
}

fn ours(tool: &str) -> Command {
    let mut command = Command::new(rookeeper_binary().unwrap());
    command.arg(tool);
    command
}

fn run(mut command: Command, arguments: &[&str], home: &Path, input: &str) -> Output {
    let file = home.join("input.txt");
    fs::write(&file, input).unwrap();
    command
        .args(arguments)
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .current_dir(home)
        .stdin(Stdio::from(fs::File::open(file).unwrap()))
        .output()
        .unwrap()
}

/// A directory with a snapshot and logs of every kind of transaction.
fn written(home: &Path) -> PathBuf {
    let mut server = Server::new(Kind::Rookeeper, home).unwrap().set("snapCount", 30);
    server.start().unwrap();
    let lines = "create /a one\ncreate -e /e x\ncreate -s /a/s- y\ncreate -c /box\n\
        create -t 100000 /ttl z\nset /a two\nset /a 'grüße'\ncreate /null\n\
        create /acl d world:anyone:cdrwa,ip:127.0.0.1:r\nsetAcl /acl world:anyone:cdrwa\n\
        setquota -n 100 /a\ncreate /d\ncreate /d/1 111\ncreate /d/2 222\ncreate /d/2/3 333\n\
        deleteall /d/2\ndelete /null\nsync /\ncreate /many\n";
    let dir = server.data_dir().join("version-2");
    let address = server.address().to_string();
    let shell = |lines: &str| {
        let mut shell = ours("cli");
        shell.args(["-server", &address]);
        run(shell, &[], home, &format!("{lines}quit\n"))
    };
    shell(lines);
    // A snapshot at least in each round; one that is due while another is written would be left out.
    for round in 0..4 {
        let before = files(&dir, "snapshot.").len();
        let many: String = (0..32).map(|i| format!("create /many/n{round}-{i} {i}\n")).collect();
        let output = shell(&many);
        let last = format!("Created /many/n{round}-31");
        assert!(String::from_utf8_lossy(&output.stderr).contains(&last), "{output:?}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while files(&dir, "snapshot.").len() == before {
            assert!(Instant::now() < deadline, "no snapshot: {:?}", files(&dir, "snapshot."));
            std::thread::yield_now();
        }
    }
    server.stop().unwrap();
    dir
}

fn files(dir: &Path, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<(u64, String)> = names
        .filter_map(|name| {
            let zxid = u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
            Some((zxid, dir.join(&name).display().to_string()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).collect()
}

/// A copy for each side, because both write beside their input.
fn copies(dir: &Path, home: &Path) -> [PathBuf; 2] {
    ["java", "ours"].map(|side| {
        let copy = home.join(side).join("version-2");
        fs::create_dir_all(&copy).unwrap();
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        copy
    })
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The same arguments for both: text and exit code.
fn same(class: &str, tool: &str, arguments: &[&str], home: &Path, input: &str) -> String {
    let class = format!("{SERVER}{class}");
    let expected = run(java(&class), arguments, home, input);
    let actual = run(ours(tool), arguments, home, input);
    assert_eq!(stdout(&expected), stdout(&actual), "{tool} {arguments:?}");
    assert_eq!(expected.status.code(), actual.status.code(), "{tool} {arguments:?}: {actual:?}");
    stdout(&actual)
}

#[test]
fn transaction_logs() {
    let home = scratch("tools-txn").unwrap();
    let dir = written(&home.path().join("server"));
    let [java_dir, our_dir] = copies(&dir, home.path());
    let log = &files(&dir, "log.")[0];
    let home = home.path();
    let dump = same("persistence.TxnLogToolkit", "txnlog", &[log], home, "");
    let all: String = files(&dir, "log.")
        .iter()
        .map(|log| same("persistence.TxnLogToolkit", "txnlog", &["-d", log], home, ""))
        .collect();
    for part in ["createSession", "createContainer", "createTTL", "multi", "closeSession"] {
        assert!(all.contains(part), "no {part} in {all}");
    }
    assert!(dump.lines().count() > 10, "{dump}");
    same("persistence.TxnLogToolkit", "txnlog", &["-h"], home, "");
    same("persistence.TxnLogToolkit", "txnlog", &["/nope"], home, "");
    let input = format!("{}", home.join("input.txt").display());
    same("persistence.TxnLogToolkit", "txnlog", &[&input], home, "not a log");
    // A changed byte in the middle, repaired by both.
    let name = Path::new(log).file_name().unwrap();
    let mut bytes = fs::read(log).unwrap();
    let at = bytes.windows(3).position(|three| three == b"two").unwrap();
    bytes[at] = b'T';
    let damaged = home.join(name);
    fs::write(&damaged, &bytes).unwrap();
    let damaged = damaged.display().to_string();
    let dump = same("persistence.TxnLogToolkit", "txnlog", &["--dump", &damaged], home, "");
    assert!(dump.contains("CRC ERROR - "), "{dump}");
    let repaired = |mut command: Command, input: &str, extra: &[&str]| {
        let output = run_in(&mut command, extra, &damaged, home, input);
        let fixed = format!("{damaged}.fixed");
        let mut bytes = fs::read(&fixed).unwrap();
        // Java's file is preallocated.
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        bytes.truncate(end);
        fs::remove_file(&fixed).unwrap();
        (stdout(&output), output.status.code(), bytes)
    };
    for (extra, input) in [(&["-r", "-y"][..], ""), (&["-r"], "y\n"), (&["-r", "-v"], "n\n")] {
        let class = format!("{SERVER}persistence.TxnLogToolkit");
        let expected = repaired(java(&class), input, extra);
        assert_eq!(expected, repaired(ours("txnlog"), input, extra), "{extra:?}");
    }
    assert_eq!(fs::read(&damaged).unwrap(), bytes, "the input is left alone");
    // The head of a log, by both tools that can.
    let zxid = "12";
    for (class, tool, side) in [(true, "txnlog", &java_dir), (false, "txnlog", &our_dir)] {
        let log = side.join(name).display().to_string();
        let command = match class {
            true => java(&format!("{SERVER}persistence.TxnLogToolkit")),
            false => ours(tool),
        };
        let output = run(command, &["-c", "-z", zxid, &log], home, "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        fs::write(home.join(format!("chop-{class}")), output.stdout).unwrap();
    }
    let chopped = |dir: &Path| {
        fs::read(dir.join(format!("{}.chopped{zxid}", name.to_str().unwrap()))).unwrap()
    };
    assert_eq!(chopped(&java_dir), chopped(&our_dir));
    let said = |class: bool| fs::read(home.join(format!("chop-{class}"))).unwrap();
    assert_eq!(said(true), said(false));
}

fn run_in(command: &mut Command, extra: &[&str], file: &str, home: &Path, input: &str) -> Output {
    let path = home.join("input.txt");
    fs::write(&path, input).unwrap();
    command
        .args(extra)
        .arg(file)
        .env("TZ", "UTC")
        .current_dir(home)
        .stdin(Stdio::from(fs::File::open(path).unwrap()))
        .output()
        .unwrap()
}

#[test]
fn snapshots() {
    let home = scratch("tools-snap").unwrap();
    let dir = written(&home.path().join("server"));
    let snapshots = files(&dir, "snapshot.");
    let (home, last) = (home.path(), snapshots.last().unwrap());
    // Znodes in any order, what is above and below them as it is.
    for arguments in [&[last.as_str()][..], &["-d", last]] {
        let class = format!("{SERVER}SnapshotFormatter");
        let [java, ours] = [java(&class), ours("snapshot")].map(|command| {
            let output = run(command, arguments, home, "");
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let text = stdout(&output);
            let blocks: BTreeSet<String> = text.split("----\n").map(str::to_owned).collect();
            (text.len(), text.lines().next().unwrap_or_default().to_owned(), blocks)
        });
        assert_eq!(java, ours, "{arguments:?}");
        assert!(ours.2.len() > 20, "{ours:?}");
    }
    let [java_json, our_json] =
        [java("org.apache.zookeeper.server.SnapshotFormatter"), ours("snapshot")].map(|command| {
            let output = run(command, &["-json", last], home, "");
            let mut value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            value[2]["timestamp"] = 0.into();
            sort(&mut value[3]);
            value
        });
    assert_eq!(java_json, our_json);
    same("SnapshotFormatter", "snapshot", &["-d", "-json", last], home, "");
    same("SnapshotFormatter", "snapshot", &[], home, "");
    same("SnapshotFormatter", "snapshot", &["/nope"], home, "");
    for (start, depth) in [("/", "0"), ("/", "1"), ("/a", "2")] {
        let class = format!("{SERVER}SnapshotRecursiveSummary");
        let [java, ours] = [java(&class), ours("summary")].map(|command| {
            let output = run(command, &[last, start, depth], home, "");
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let text = stdout(&output);
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        });
        assert_eq!(java, ours, "{start} {depth}");
    }
    same("SnapshotRecursiveSummary", "summary", &[], home, "");
    comparisons(home, &snapshots[0], last);
}

/// Children by name; ids count in the order of the walk.
fn sort(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Array(items) => {
            items.iter_mut().for_each(sort);
            let name = |item: &serde_json::Value| match item {
                serde_json::Value::Array(inner) => inner[0]["name"].to_string(),
                other => other["name"].to_string(),
            };
            if items.len() > 1 {
                items[1..].sort_by_key(name);
            }
        }
        serde_json::Value::Object(members) => drop(members.remove("ino")),
        _ => {}
    }
}

/// Lines of one depth in any order, and no times.
fn comparisons(home: &Path, left: &str, right: &str) {
    let cases: [(&[&str], &str); 5] = [
        (&["-l", left, "-r", right, "-b", "0", "-n", "0"], ""),
        (&["-l", left, "-r", right, "-b", "100", "-n", "5"], ""),
        (&["-l", left, "-r", right, "-b", "0", "-n", "0", "-d"], ""),
        (&["-l", left, "-r", right, "-b", "0", "-n", "0", "-i"], "\n2\n/a\n\n\n\n"),
        (&["--left", left, "--right", left, "--bytes", "0", "--nodes", "0"], ""),
    ];
    for (arguments, input) in cases {
        let class = format!("{SERVER}SnapshotComparer");
        let [java, ours] = [java(&class), ours("compare")].map(|command| {
            let output = run(command, arguments, home, input);
            let text = stdout(&output);
            let mut lines: Vec<String> = text
                .lines()
                .map(|line| line.split(" in ").next().unwrap_or(line).to_owned())
                .collect();
            lines.sort();
            (lines, output.status.code())
        });
        assert_eq!(java, ours, "{arguments:?}");
    }
    same("SnapshotComparer", "compare", &["-l", left], home, "");
}

/// The small ones: digests, versions, words, purging.
#[test]
fn small_tools() {
    let home = scratch("tools-small").unwrap();
    let mut server = Server::new(Kind::Rookeeper, &home.path().join("words")).unwrap();
    server.start().unwrap();
    let port = server.address().port().to_string();
    let dir = written(&home.path().join("server"));
    let [java_dir, our_dir] = copies(&dir, home.path());
    let home = home.path();
    same("auth.DigestAuthenticationProvider", "digest", &["user:pw", "a:b:c"], home, "");
    let word = "org.apache.zookeeper.client.FourLetterWordMain";
    for arguments in
        [&[][..], &["127.0.0.1", &port, "isro"], &["127.0.0.1", &port, "isro", "false"], &["x"]]
    {
        let both = || {
            [java(word), ours("word")].map(|command| {
                let output = run(command, arguments, home, "");
                (stdout(&output), output.status.code())
            })
        };
        // Each gives up after five seconds without an answer, which one may get and one not.
        let [expected, actual] = (0..5).map(|_| both()).find(|[a, b]| a == b).unwrap_or_else(both);
        assert_eq!(expected, actual, "{arguments:?}");
    }
    for (arguments, form) in [
        (&["--full"][..], "3.9.5-REVISION, built on DATE"),
        (&["--short"], "3.9.5"),
        (&["--revision"], "3.9.5-REVISION"),
        (&["--bogus"], "Usage:"),
    ] {
        for command in [java("org.apache.zookeeper.Version"), ours("version")] {
            let output = run(command, arguments, home, "");
            let text = stdout(&output);
            let shape = match (text.split_once('-'), text.split_once(", built on ")) {
                (Some(("Usage:\tjava ", _)) | None, _) if text.starts_with("Usage:") => {
                    "Usage:".to_owned()
                }
                _ if text.starts_with("Usage:") => "Usage:".to_owned(),
                (Some((release, _)), Some((_, _))) => format!("{release}-REVISION, built on DATE"),
                (Some((release, _)), None) => format!("{release}-REVISION"),
                _ => text.trim_end().to_owned(),
            };
            assert_eq!(shape, form, "{text}");
            assert_eq!(output.status.code(), Some(i32::from(form == "Usage:")), "{arguments:?}");
        }
    }
    // The same files go, the same stay.
    for side in [&java_dir, &our_dir] {
        let from = files(side, "snapshot.").len();
        assert!(from > 3, "{from} snapshots");
    }
    let removed = |command: Command, dir: &Path| {
        let root = dir.parent().unwrap().display().to_string();
        let output = run(command, &[&root, &root, "-n", "3"], home, "");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let names = stdout(&output);
        let names: BTreeSet<String> =
            names.lines().filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned())).collect();
        let left: Vec<String> =
            files(dir, "snapshot.").into_iter().chain(files(dir, "log.")).collect();
        let left: Vec<String> =
            left.iter().filter_map(|path| Some(path.rsplit_once('/')?.1.to_owned())).collect();
        (names, left)
    };
    let java_removed = removed(java("org.apache.zookeeper.server.PurgeTxnLog"), &java_dir);
    assert!(!java_removed.0.is_empty());
    assert_eq!(java_removed, removed(ours("purge"), &our_dir));
    same("PurgeTxnLog", "purge", &["/nope", "-n", "2"], home, "");
}
