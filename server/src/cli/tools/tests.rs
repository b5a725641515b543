//! The tools against what Java's print.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::*;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/java-3.8.0").join(path)
}

fn expected(name: &str) -> String {
    std::fs::read_to_string(golden("tool-output").join(name)).unwrap()
}

struct Output {
    code: i32,
    out: String,
    err: String,
}

fn call_with(tool: Tool, arguments: &[&str], mut input: &[u8]) -> Output {
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console =
        Console { input: &mut input, out: &mut out, err: &mut err, zone: TimeZone::UTC };
    let code = tool(&arguments, &mut console).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code, out: text(out), err: text(err) }
}

fn call(tool: Tool, arguments: &[&str]) -> Output {
    call_with(tool, arguments, b"")
}

fn path(file: &str) -> String {
    golden(file).to_str().unwrap().to_owned()
}

/// The committed output is of 3.8.0; 3.9 says `createTTL`.
#[test]
fn dump() {
    let output = call(txnlog::toolkit, &[&path("standalone/version-2/log.1")]);
    let expected = expected("TxnLogToolkit.standalone.log.1.txt").replace("createTtl", "createTTL");
    for (ours, java) in output.out.lines().zip(expected.lines()) {
        assert_eq!(ours, java);
    }
    assert_eq!(output.out, expected);
    assert_eq!((output.code, output.err.as_str()), (0, ""));
}

#[test]
fn dump_of_a_damaged_log() {
    let file = path("variants/crc-middle/version-2/log.46");
    let output = call(txnlog::toolkit, &["-d", &file]);
    assert_eq!(output.out, expected("TxnLogToolkit.crc-middle.log.46.txt"));
    for (name, code, message) in [
        ("variants/missing-eor-middle/version-2/log.46", 1, "Last transaction was partial.\n"),
        ("variants/len-huge/version-2/log.46", 1, "Unreasonable length = 2147483647\n"),
        ("variants/bad-magic-log/version-2/log.46", 2, "Invalid magic number for log.46\n"),
        (
            "no/such.file",
            1,
            &format!("File doesn't exist or not readable: {}\n", path("no/such.file")),
        ),
    ] {
        let output = call(txnlog::toolkit, &[&path(name)]);
        assert_eq!((output.code, output.err.as_str()), (code, message), "{name}");
    }
}

fn copy_of(file: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("log.46");
    std::fs::copy(golden(file), &copy).unwrap();
    let copy = copy.to_str().unwrap().to_owned();
    (dir, copy)
}

#[test]
fn recovery() {
    let (_dir, file) = copy_of("variants/crc-middle/version-2/log.46");
    let before = std::fs::read(&file).unwrap();
    let output = call(txnlog::toolkit, &["-ry", &file]);
    assert_eq!(output.code, 0);
    let fixed = format!("{file}.fixed");
    assert_eq!(
        output.out,
        format!(
            "ZooKeeper Transactional Log File with dbid 0 txnlog format version 2\n\
             CRC FIXED - 11/21/26, 1:57:34 PM UTC session 0x1000023a3a80000 cxid 0x2 zxid 0x48 \
             setData /phase2,After restart 2,1\n\
             EOF reached after 5 txns.\n\
             Recovery file {fixed} has been written with 1 fixed CRC error(s)\n"
        )
    );
    assert_eq!(std::fs::read(&file).unwrap(), before, "the input is not touched");
    let whole = call(txnlog::toolkit, &[&fixed]);
    assert!(whole.code == 0 && !whole.out.contains("CRC ERROR"));
    assert!(whole.out.ends_with("EOF reached after 5 txns.\n"));

    let again = call(txnlog::toolkit, &["--recover", &file]);
    let message = format!("Recovery file {fixed} already exists or not writable\n");
    assert_eq!((again.code, again.err), (1, message));

    for (answers, code, count) in [("x\nyes\n", 0, Some(1)), ("No\n", 0, Some(0)), ("a\n", 0, None)]
    {
        std::fs::remove_file(&fixed).unwrap();
        let output = call_with(txnlog::toolkit, &["-r", &file], answers.as_bytes());
        assert_eq!(output.code, code);
        assert!(output.out.contains("Would you like to fix it (Yes/No/Abort) ? "));
        match count {
            Some(count) => {
                assert!(output.out.ends_with(&format!("with {count} fixed CRC error(s)\n")));
            }
            None => assert_eq!(output.err, "Recovery aborted.\n"),
        }
    }
}

#[test]
fn chop() {
    let (_dir, file) = copy_of("standalone/version-2/log.46");
    let header = "ZooKeeper Transactional Log File with dbid 0 txnlog format version 2\n";
    let output = call(txnlog::toolkit, &["-c", "-z", "0x48", &file]);
    assert_eq!(output.out, format!("{header}Chopping at 48 new log has 3 records\n"));
    let chopped = format!("{file}.chopped72");
    let dump = call(txnlog::toolkit, &[&chopped]);
    assert!(dump.out.ends_with("EOF reached after 3 txns.\n"), "{}", dump.out);
    let original = std::fs::read(&file).unwrap();
    let copied = std::fs::read(&chopped).unwrap();
    assert_eq!(original[..copied.len()], copied);

    let output = call(txnlog::toolkit, &["-c", "--zxid=74", &file]);
    let expected =
        format!("{header}EOF reached after 5 txns.\nGot exception: Failed to chop log.46\n");
    assert_eq!((output.code, output.out), (0, expected));
    let output = call(txnlog::toolkit, &["-c", "-z", "5", &file]);
    let expected =
        format!("{header}This log does not contain zxid 5\nGot exception: Failed to chop log.46\n");
    assert_eq!((output.code, output.out), (0, expected));

    let target = format!("{file}.out");
    assert_eq!(call(txnlog::chopper, &["0x48", &file, &target]).code, 0);
    assert_eq!(std::fs::read(&target).unwrap(), copied);
    assert_eq!(call(txnlog::chopper, &["0x4a", &file, &target]).code, 2);
    assert_eq!(call(txnlog::chopper, &["0x48", &file]).code, 2);
    let output = call(txnlog::chopper, &["0x48", &file, &file]);
    assert_eq!(output.out, "Got exception: the output would overwrite the input\n");
    assert_eq!(std::fs::read(&file).unwrap(), original);
}

#[test]
fn numbers_as_long_decode() {
    for (text, number) in [
        ("10", Some(10)),
        ("0x10", Some(16)),
        ("0X10", Some(16)),
        ("#10", Some(16)),
        ("010", Some(8)),
        ("0", Some(0)),
        ("-0x10", Some(-16)),
        ("+5", Some(5)),
        ("", None),
        ("0x", None),
        ("0x-1", None),
        ("zz", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(txnlog::decode_long(text), number, "{text}");
    }
}

#[test]
fn help() {
    let help = "\
usage: TxnLogToolkit [-dhrvc] <txn_log_file_name> (-z <zxid>)
 -c,--chop         Chop mode. Chop txn file to a zxid.
 -d,--dump         Dump mode. Dump all entries of the log file with printing the content of a nodepath (default)
 -h,--help         Print help message
 -r,--recover      Recovery mode. Re-calculate CRC for broken entries.
 -v,--verbose      Be verbose in recovery mode: print all entries, not just fixed ones.
 -y,--yes          Non-interactive mode: repair all CRC errors without asking
 -z,--zxid <arg>   Used with chop. Zxid to which to chop.
";
    for (arguments, code, err) in [
        (&["-h"][..], 0, ""),
        (&["--help", "log.1"], 0, ""),
        (&[], 1, ""),
        (&["-q"], 1, "Unrecognized option: -q\n\n"),
        (&["--nonsense"], 1, "Unrecognized option: --nonsense\n\n"),
        (&["log.1", "-z"], 1, "Missing argument for option: z\n\n"),
    ] {
        let output = call(txnlog::toolkit, arguments);
        assert_eq!((output.code, output.err.as_str()), (code, err), "{arguments:?}");
        assert_eq!(output.out, help, "{arguments:?}");
    }
}

#[test]
fn snapshot_as_text() {
    let file = path("small/version-2/snapshot.6");
    let output = call(formatter::run, &[&file]);
    assert_eq!(output.out, expected("SnapshotFormatter.small.snapshot.6.txt"));
    let output = call(formatter::run, &["-d", &file]);
    assert_eq!(output.out, expected("SnapshotFormatter-d.small.snapshot.6.txt"));
    assert_eq!((output.code, output.err.as_str()), (0, ""));
    // Compressed ones too.
    let [plain, gz, snappy] = [
        "standalone/version-2/snapshot.45",
        "compressed-gz/version-2/snapshot.4a.gz",
        "compressed-snappy/version-2/snapshot.4a.snappy",
    ]
    .map(|file| call(formatter::run, &[&path(file)]).out);
    assert_eq!(gz.lines().count(), snappy.lines().count());
    assert!(plain.contains("/multi/ttl\n") && gz.contains("/multi/ttl\n"));
}

#[test]
fn snapshot_as_json() {
    let output = call(formatter::run, &["-json", &path("small/version-2/snapshot.6")]);
    let expected = expected("SnapshotFormatter-json.small.snapshot.6.txt");
    let without_time = |text: &str| {
        let (before, after) = text.split_once("\"timestamp\":").unwrap();
        format!("{before}{}", &after[after.find('}').unwrap()..])
    };
    assert_eq!(without_time(&output.out), without_time(&expected));
    for file in ["standalone/version-2/snapshot.45", "standalone/version-2/snapshot.0"] {
        let output = call(formatter::run, &["-json", &path(file)]);
        let depth = |c| output.out.matches(c).count();
        assert_eq!(depth('['), depth(']'), "{file}");
    }
}

#[test]
fn snapshot_that_is_none() {
    let usage = call(formatter::run, &[]);
    assert_eq!(usage.code, 2);
    assert!(usage.err.starts_with("USAGE: SnapshotFormatter [-d|-json] snapshot_file\n"));
    assert_eq!(call(formatter::run, &["a", "b"]).err, usage.err);
    let file = path("small/version-2/snapshot.6");
    let output = call(formatter::run, &["-d", "-json", &file]);
    assert_eq!(output.code, 2);
    assert!(output.err.starts_with("Cannot specify both data dump (-d) and json mode (-json)"));
    let output = call(formatter::run, &["/no/such"]);
    assert_eq!((output.code, output.err.as_str()), (2, "File '/no/such' does not exist.\n"));
    let output = call(formatter::run, &[&path("variants/snap-truncated/version-2/snapshot.45")]);
    assert_eq!(output.code, 1);
    // A wrong seal: Java prints it without a word, and so do we, with one.
    let output = call(formatter::run, &[&path("variants/snap-bad-seal2/version-2/snapshot.45")]);
    assert_eq!(output.code, 0);
    assert!(output.err.contains("A server would not load it."));
}

#[test]
fn comparison() {
    let (left, right) =
        (path("standalone/version-2/snapshot.0"), path("standalone/version-2/snapshot.45"));
    let output = call(comparer::run, &["-l", &left, "-r", &right, "-b", "2", "-n", "1"]);
    let without_times = |text: &str| -> Vec<String> {
        let cut = |line: &str| match line.strip_suffix(" seconds") {
            Some(line) => line.rsplit_once(' ').unwrap().0.to_owned(),
            None => line.to_owned(),
        };
        text.lines().map(cut).collect()
    };
    let expected = expected("SnapshotComparer.standalone.txt");
    assert_eq!(without_times(&output.out), without_times(&expected));
    assert_eq!((output.code, output.err.as_str()), (0, ""));

    let output = call(comparer::run, &["-l", &left, "-b", "2"]);
    assert_eq!((output.code, output.err.as_str()), (2, "Missing required options: r, n\n"));
    assert!(output.out.contains(" -b,--bytes <BYTETHRESHOLD>   (Required) The node data"));

    let interactive = ["-l", &left, "-r", &right, "-b", "2", "-n", "1", "-i"];
    let output = call_with(comparer::run, &interactive, b"9\nx\n/q\n/none\n4\n\n");
    for line in [
        "Depth must be in range [0, 4]",
        "Input x is not valid. Depth must be in range [0, 4].",
        "Analysis for node /q\nNode /q/c1 found only in right tree. Descendant size: 5.",
        "Path /none is neither found in left tree nor right tree.",
        "Current depth is 4\n",
    ] {
        assert!(output.out.contains(line), "{line}\n{}", output.out);
    }
    assert!(output.out.ends_with("All layers compared.\n"));
}

#[test]
fn recursive_summary() {
    let file = path("standalone/version-2/snapshot.45");
    let output = call(summary::run, &[&file, "/", "1"]);
    // Java's order of children is that of its hash table.
    let blocks = |text: &str| -> Vec<String> {
        let lines: Vec<_> = text.trim_end().lines().collect();
        let mut blocks: Vec<_> = lines.chunks(3).map(|b| b.join("\n")).collect();
        blocks.sort();
        blocks
    };
    let java = expected("SnapshotRecursiveSummary-3.9.5.standalone.snapshot.45.txt");
    assert_eq!(blocks(&output.out), blocks(&java));
    assert!(output.out.ends_with("\n\n"));
    let deep = call(summary::run, &[&file, "/deep", "0"]);
    let expected = " /deep\n   children: 3\n   data: 3\n-- /deep/1\n--   children: 2\n--   \
                    data: 3\n---- /deep/1/2\n----   children: 1\n----   data: 2\n\n";
    assert_eq!(deep.out, expected);
    assert_eq!(call(summary::run, &[&file, "/none", "0"]).code, 1);
    assert_eq!(call(summary::run, &[&file, "/"]).code, 2);
    assert!(call(summary::run, &[&file, "/", "x"]).err.starts_with("USAGE:"));
}
