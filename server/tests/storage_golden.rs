//! Directories written by Java: opened, compared with what Java says is in them, written again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jute::Encode;
use jute::data::{Acl, StatPersisted};
use rookeeper::base::{Proposal, SessionId, Zxid};
use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::snapshot::codec::{self, SnapshotError, SnapshotSink};
use rookeeper::storage::snapshot::compression::Compression;
use rookeeper::storage::txnlog::{LogFile, Tail, format};
use rookeeper::storage::{
    DataDirs, OwnedTreeSource, RealDisk, Restored, StorageError, restore, write_snapshot,
};
use rookeeper::storage::{Options, snapshot};
use rookeeper::tree::{AclList, DataTree, Node, TreeOptions};

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path)
}

fn tree_options() -> TreeOptions {
    TreeOptions { extended_types: true, ..TreeOptions::default() }
}

/// A copy in memory of `<case>/version-2`, so that a restore may tidy up.
fn disk_of(case: &str) -> FaultyDisk {
    let disk = FaultyDisk::new();
    for entry in fs::read_dir(golden(case).join("version-2")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        disk.put(&Path::new("/data/version-2").join(name), &fs::read(&path).unwrap());
    }
    disk
}

fn dirs_of(disk: &FaultyDisk, options: &Options) -> Arc<DataDirs> {
    Arc::new(DataDirs::open(Arc::new(disk.clone()), Path::new("/data"), None, options).unwrap())
}

fn open(disk: &FaultyDisk) -> Result<Restored, StorageError> {
    let options = Options::default();
    restore(&dirs_of(disk, &options), &options, tree_options())
}

/// The form of `expected-persisted.txt`.
fn persisted(tree: &DataTree) -> String {
    fn walk(node: Node<'_>, out: &mut BTreeSet<String>, tree: &DataTree) {
        out.insert(node.path());
        for name in node.children() {
            let path = node.path();
            let child = if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
            walk(tree.find(&child).unwrap(), out, tree);
        }
    }
    let mut paths = BTreeSet::new();
    walk(tree.root(), &mut paths, tree);
    let mut out = String::new();
    for path in paths {
        let node = tree.find(&path).unwrap();
        let s = node.persisted();
        let data = node.data().map_or("null".to_owned(), |d| format!("b64:{}", BASE64.encode(d)));
        let acl: Vec<String> = node.acl().iter().map(acl_text).collect();
        out += &format!(
            "{path}\t{data}\tczxid=0x{:x} mzxid=0x{:x} pzxid=0x{:x} ctime={} mtime={} version={} \
             cversion={} aversion={} ephemeralOwner=0x{:x}\t{}\n",
            s.czxid,
            s.mzxid,
            s.pzxid,
            s.ctime,
            s.mtime,
            s.version,
            s.cversion,
            s.aversion,
            s.ephemeral_owner,
            acl.join(",")
        );
    }
    out
}

fn acl_text(acl: &Acl) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{} {} {}", acl.perms, part(&acl.id.scheme), part(&acl.id.id))
}

/// The form of `expected-restore.txt`. Java 3.8 keeps one transaction more in its committed log
/// than 3.9: `committed_max` says which of them is compared.
fn summary(restored: &Restored, committed_max: usize) -> String {
    let tree = &restored.tree;
    let committed = restored.recent.len().min(committed_max);
    let bound = |p: Option<&Arc<Proposal>>| p.map_or(Zxid(0), |p| p.zxid());
    let mut out = format!(
        "RESTORE-OK zxid={} lastProcessed={} nodes={} treeDigest={} committedLog={committed} \
         min={} max={} acls={}\n",
        restored.last.zxid(),
        tree.last_zxid(),
        tree.node_count(),
        tree.digest(),
        bound(restored.recent.front()),
        bound(restored.recent.back()),
        tree.acl_count(),
    );
    for (session, timeout) in tree.sessions().iter() {
        let paths: BTreeSet<String> = tree.ephemerals_of(session).collect();
        let paths: Vec<_> = paths.into_iter().collect();
        out += &format!("session {session} timeout {timeout} ephemerals [{}]\n", paths.join(", "));
    }
    let list = |paths: BTreeSet<String>| paths.into_iter().collect::<Vec<_>>().join(", ");
    out += &format!("containers [{}]\n", list(tree.containers().map(Node::path).collect()));
    out += &format!("ttls [{}]\n", list(tree.ttl_nodes().map(Node::path).collect()));
    out
}

fn check_case(case: &str, persisted_file: Option<&str>, commit_log_count: usize) {
    let disk = disk_of(case);
    let options = Options { commit_log_count, ..Options::default() };
    let restored = restore(&dirs_of(&disk, &options), &options, tree_options()).unwrap();
    restored.tree.check().unwrap();
    let expected = fs::read_to_string(golden(case).join("expected-restore.txt")).unwrap();
    assert_eq!(summary(&restored, commit_log_count), expected, "{case}");
    assert_eq!(restored.digest_mismatches, 0, "{case}");
    if let Some(file) = persisted_file {
        assert_eq!(persisted(&restored.tree), read_text(&golden(file)), "{case}");
    }
    written_again(&restored.tree, case);
}

fn read_text(path: &Path) -> String {
    let bytes = fs::read(path).unwrap();
    if path.extension().is_some_and(|e| e == "gz") {
        let mut plain = Compression::Gzip.reader(&bytes[..]).unwrap();
        return std::io::read_to_string(&mut *plain).unwrap();
    }
    String::from_utf8(bytes).unwrap()
}

/// Our own snapshot of what was restored, in every compression, restores to the same.
fn written_again(tree: &DataTree, case: &str) {
    let expected = persisted(tree);
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy] {
        for (digest, last_zxid) in [(true, true), (true, false), (false, true)] {
            let disk = disk_of(case);
            let mut options = Options::default();
            let mut restored = open(&disk).unwrap();
            let dirs = dirs_of(&disk, &options);
            options.snapshot.compression = compression;
            options.snapshot.digest = digest;
            options.snapshot.last_zxid = last_zxid;
            let mut source = OwnedTreeSource::new(&mut restored.tree).unwrap();
            let file = write_snapshot(&dirs, &options.snapshot, &mut source).unwrap();
            let zxid = file.zxid();
            let path = file.publish(restored.last).unwrap();
            let sections = snapshot::reader::verify(dirs.disk(), &path, options.field_max).unwrap();
            drop(dirs);
            assert_eq!(sections.digest.is_some(), digest);
            assert_eq!(sections.last_zxid, (digest && last_zxid).then_some(zxid));
            let again = open(&disk).unwrap();
            assert_eq!(again.snapshot, Some(zxid), "{case}");
            assert_eq!(again.replayed, 0, "{case}");
            assert_eq!(persisted(&again.tree), expected, "{case}");
            assert_eq!(again.tree.digest(), restored.tree.digest(), "{case}");
        }
    }
}

#[test]
fn java_directories() {
    let standalone = Some("java-3.8.0/standalone/expected-persisted.txt");
    check_case("java-3.8.0/standalone", standalone, 500);
    check_case("java-3.8.0/compressed-gz", standalone, 500);
    check_case("java-3.8.0/compressed-snappy", standalone, 500);
    check_case("java-3.8.0/small", Some("java-3.8.0/small/expected-persisted.txt"), 500);
    let quorum = "java-3.8.0/quorum-one-server";
    check_case(quorum, Some("java-3.8.0/quorum-one-server/expected-persisted.txt"), 500);
    // 3.8 keeps one more than commitLogCount.
    check_case("java-3.8.0/fuzzy", Some("java-3.8.0/fuzzy/expected-persisted.txt.gz"), 501);
    let upgraded = "java-3.9.5/upgraded-standalone";
    check_case(upgraded, Some("java-3.9.5/upgraded-standalone/expected-persisted.txt"), 500);
}

/// Java needs the flags a directory was written with; here what is in the file decides.
#[test]
fn java_directories_written_with_unusual_flags() {
    let closed = open(&disk_of("java-3.9.5/closesessiontxn-off")).unwrap();
    assert_eq!(closed.tree.last_zxid(), Zxid(2));
    assert_eq!((closed.tree.node_count(), closed.tree.digest()), (4, 1_371_985_504));
    assert!(closed.tree.sessions().is_empty());

    let digest_off = open(&disk_of("java-3.9.5/digest-off")).unwrap();
    assert_eq!(digest_off.tree.last_zxid(), Zxid(6));
    assert_eq!(digest_off.tree.node_count(), 7);

    let duplicates = open(&disk_of("java-3.9.5/duplicate-zxids")).unwrap();
    assert_eq!(duplicates.tree.last_zxid(), Zxid(3));
    assert_eq!((duplicates.tree.node_count(), duplicates.tree.digest()), (6, 7_820_548_064));
    assert_eq!(duplicates.recent.len(), 3, "as Java 3.9.5");
}

/// What a directory gives, in the words of `EXPECTED.tsv`.
fn outcome(disk: &FaultyDisk) -> String {
    match open(disk) {
        Ok(restored) => {
            restored.tree.check().unwrap();
            let bound = |p: Option<&Arc<Proposal>>| p.map_or(Zxid(0), |p| p.zxid());
            format!(
                "OK zxid={} nodes={} digest={} committedLog={}[{}..{}]",
                restored.last.zxid(),
                restored.tree.node_count(),
                restored.tree.digest(),
                restored.recent.len(),
                bound(restored.recent.front()),
                bound(restored.recent.back()),
            )
        }
        Err(e) => format!("FAIL {e}"),
    }
}

/// Where we answer differently from Java 3.9.5, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "missing-eor-middle",
        "FAIL",
        "stricter: two acknowledged transactions stand behind the damage, which no crash explains",
    ),
    (
        "hole-middle",
        "FAIL",
        "stricter: the zeros do not end at a sector, so it is no unfinished batch",
    ),
    (
        "missing-log",
        "FAIL",
        "stricter: the transactions between the snapshot and the log are gone; Java loses them",
    ),
    (
        "crc-before-snapshot",
        "OK zxid=0x4a nodes=45 digest=88206716041 committedLog=5[0x46..0x4a]",
        "more tolerant: a log begins right behind the snapshot, the damaged one is not needed",
    ),
    (
        "partial-header-tail-log",
        "OK zxid=0x4a nodes=45 digest=88206716041 committedLog=5[0x46..0x4a]",
        "more tolerant: the creation of the log was interrupted, it holds nothing",
    ),
    (
        "zero-header-tail-log",
        "OK zxid=0x4a nodes=45 digest=88206716041 committedLog=5[0x46..0x4a]",
        "more tolerant: the same",
    ),
    (
        "empty-middle-log",
        "OK zxid=0x4a nodes=45 digest=88206716041 committedLog=5[0x46..0x4a]",
        "more tolerant: it holds nothing, and the sequence of zxids shows that nothing is missing",
    ),
    (
        "synthetic-closesession-digest-only",
        "OK zxid=0x2 nodes=4 digest=1371985504 committedLog=2[0x1..0x2]",
        "more tolerant: Java wrote it with closeSessionTxn.enabled=false",
    ),
    (
        "synthetic-acl-id-missing",
        "OK",
        "more tolerant: a missing ACL is unknown until its transaction is replayed",
    ),
];

#[test]
fn java_variants() {
    let table = read_text(&golden("java-3.8.0/variants/EXPECTED.tsv"));
    let mut seen = BTreeSet::new();
    for line in table.lines().filter(|l| !l.starts_with('#')) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (name, java38, java395) = (columns[0], columns[2], columns[3]);
        let java = if java395 == "same" { java38 } else { java395 };
        let ours = outcome(&disk_of(&format!("java-3.8.0/variants/{name}")));
        let expected = DIFFERENCES.iter().find(|d| d.0 == name).map_or(java, |d| d.1);
        let same = match expected.strip_prefix("FAIL") {
            Some(_) => ours.starts_with("FAIL"),
            None => ours.starts_with(expected),
        };
        assert!(same, "{name} ({})\n  expected {expected}\n  got      {ours}", columns[1]);
        seen.insert(name);
    }
    assert_eq!(seen.len(), 43);
    for (name, expected, _) in DIFFERENCES {
        assert!(seen.contains(name), "{name} is not in the table");
        assert!(expected.starts_with("OK") || *expected == "FAIL");
    }
}

/// The message says which file, where, and what was the last good transaction.
#[test]
fn damage_is_located() {
    let error = |name: &str| open(&disk_of(&format!("java-3.8.0/variants/{name}"))).unwrap_err();
    let whole = golden("java-3.8.0/standalone/version-2/log.46");
    let mut log = LogFile::open(&RealDisk, &whole, jute::codec::DEFAULT_MAX_FIELD).unwrap();
    log.next_entry().unwrap().unwrap();
    let third = log.next_entry().unwrap().unwrap().end;
    match error("crc-middle") {
        StorageError::CorruptLog { path, offset, last_zxid, reason } => {
            assert!(path.ends_with("log.46"));
            assert_eq!(last_zxid, Some(Zxid(0x47)));
            assert_eq!(offset, third);
            assert_eq!(reason, "CRC check failed");
        }
        other => panic!("{other}"),
    }
    assert!(error("len-huge").to_string().contains("Unreasonable length = 2147483647"));
    assert!(error("bad-magic-log").to_string().contains("has invalid magic number 1095453767"));
    assert!(matches!(
        error("gap-in-logs"),
        StorageError::Gap { after: Zxid(0x44), found: Zxid(0x46), .. }
    ));
    assert!(matches!(error("no-snapshot"), StorageError::LogsWithoutSnapshot { .. }));
    assert!(matches!(error("snap-bitflip-only"), StorageError::NoValidSnapshot { .. }));
    let restored = open(&disk_of("java-3.8.0/variants/snap-bitflip")).unwrap();
    assert_eq!(restored.refused.len(), 1);
    assert!(restored.refused[0].to_string().contains("CRC corruption"));
}

/// Sessions and ephemerals of a refused snapshot do not leak into the next attempt.
#[test]
fn refused_snapshots_leave_nothing() {
    let restored = open(&disk_of("java-3.8.0/variants/rejected-snapshot-leak")).unwrap();
    let known: Vec<_> = restored.tree.sessions().iter().map(|s| s.0).collect();
    for session in restored.tree.ephemeral_sessions() {
        assert!(known.contains(&session), "{session}");
    }
    assert!(!known.contains(&SessionId(0x0100_0023_a3a8_0000)));
}

fn all_files(prefix: &str) -> Vec<PathBuf> {
    fn walk(dir: &Path, prefix: &str, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, prefix, out);
            } else if path.file_name().unwrap().to_str().unwrap().starts_with(prefix) {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(&golden(""), prefix, &mut out);
    out.sort();
    out
}

/// Every log that can be read gives the same bytes when its transactions are written again.
#[test]
fn logs_encode_to_the_same_bytes() {
    let mut entries = 0;
    for path in all_files("log.") {
        // Records of 3.3 have no parentCVersion; written again they have.
        let v0 = path.to_str().unwrap().contains("synthetic-v0-create");
        let Ok(mut log) = LogFile::open(&RealDisk, &path, jute::codec::DEFAULT_MAX_FIELD) else {
            continue;
        };
        let bytes = fs::read(&path).unwrap();
        let mut again = bytes[..log.position() as usize].to_vec();
        while let Ok(Some(entry)) = log.next_entry() {
            let Ok(proposal) = Proposal::decode(entry.payload.to_vec().into()) else {
                panic!("{} at {}", path.display(), entry.offset);
            };
            let encoded = Proposal::encode(
                proposal.header.clone(),
                proposal.txn.clone(),
                proposal.digest.clone(),
            );
            assert!(v0 || encoded.payload == proposal.payload, "{}", path.display());
            format::encode_entry(entry.payload, &mut again);
            entries += 1;
        }
        assert_eq!(again, bytes[..again.len()], "{}", path.display());
        if log.tail() == Some(Tail::Clean) {
            assert!(bytes[again.len()..].iter().all(|b| *b == 0), "{}", path.display());
        }
    }
    assert!(entries > 1500, "{entries}");
}

/// Encodes again what it is fed.
#[derive(Default)]
struct Recorder {
    sessions: Vec<(SessionId, i32)>,
    acls: Vec<(i64, AclList)>,
    nodes: Vec<u8>,
}

impl SnapshotSink for Recorder {
    fn session(&mut self, session: SessionId, timeout_ms: i32) -> Result<(), SnapshotError> {
        self.sessions.push((session, timeout_ms));
        Ok(())
    }
    fn acl(&mut self, id: i64, list: Vec<Acl>) -> Result<(), SnapshotError> {
        self.acls.push((id, list.into()));
        Ok(())
    }
    fn node(
        &mut self,
        path: &str,
        data: Option<&[u8]>,
        acl: i64,
        stat: &StatPersisted,
    ) -> Result<(), SnapshotError> {
        codec::encode_node(path, data, acl, stat, &mut self.nodes);
        Ok(())
    }
}

/// Every snapshot that can be read gives the same (uncompressed) bytes when it is written again.
#[test]
fn snapshots_encode_to_the_same_bytes() {
    let mut read = 0;
    for path in all_files("snapshot.") {
        let bytes = fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let Ok(mut plain) = Compression::from_name(name).reader(&bytes[..]) else { continue };
        let mut original = Vec::new();
        std::io::Read::read_to_end(&mut *plain, &mut original).unwrap();
        let mut recorder = Recorder::default();
        let field_max = jute::codec::DEFAULT_MAX_FIELD;
        let Ok(sections) = codec::read_snapshot(&mut &original[..], field_max, &mut recorder)
        else {
            continue;
        };
        let odd = ["snap-odd-version", "synthetic-digest-version-1"];
        if odd.iter().any(|name| path.to_str().unwrap().contains(name)) {
            continue;
        }
        let mut again = Vec::new();
        let seal = |out: &mut Vec<u8>| {
            let checksum = simd_adler32::adler32(&out.as_slice());
            codec::encode_seal(checksum, out);
        };
        codec::encode_header(&mut again);
        codec::encode_tables(&recorder.sessions, &recorder.acls, &mut again);
        again.extend_from_slice(&recorder.nodes);
        codec::encode_end(&mut again);
        seal(&mut again);
        if sections.digest.is_some() {
            codec::encode_digest(sections.digest, &mut again);
            seal(&mut again);
        }
        if let Some(zxid) = sections.last_zxid {
            zxid.0.encode(&mut again);
            seal(&mut again);
        }
        assert!(again == original, "{}", path.display());
        assert_eq!(sections.bytes, original.len() as u64);
        read += 1;
    }
    assert!(read >= 30, "{read}");
}
