//! Files in a data directory: the server starts on it or says what is wrong, and never loses what
//! it accepted.

use std::path::Path;
use std::sync::Arc;

use rookeeper::storage::disk::faulty::FaultyDisk;
use rookeeper::storage::{DataDirs, Options, restore};
use rookeeper::tree::TreeOptions;

/// Logs written by Java.
pub(crate) const LOGS: [&[u8]; 2] = [
    include_bytes!("../../jute/tests/golden/small.log.1"),
    include_bytes!("../../jute/tests/golden/standalone.log.1"),
];
const SNAPSHOT: &[u8] = include_bytes!("../../jute/tests/golden/small.snapshot.6");

/// `log.1`, with nothing but an empty first snapshot before it.
pub fn txn_log(data: &[u8]) {
    restored(&[("log.1", data)], true);
}

/// `snapshot.6` alone.
pub fn snapshot(data: &[u8]) {
    restored(&[("snapshot.6", data)], false);
}

/// Starts on a directory with these files. A second start on what the first one left must find the
/// same state.
fn restored(files: &[(&str, &[u8])], trust_empty: bool) {
    let disk = Arc::new(FaultyDisk::new());
    let folder = Path::new("/data");
    for (name, content) in files {
        disk.put(&folder.join("version-2").join(name), content);
    }
    let options = Options { snapshot_trust_empty: trust_empty, ..Options::default() };
    let start = || {
        let dirs = DataDirs::open(disk.clone(), folder, None, &options).ok()?;
        let restored = restore(&Arc::new(dirs), &options, TreeOptions::default()).ok()?;
        Some((restored.tree.last_zxid(), restored.tree.digest(), restored.tree.node_count()))
    };
    if let Some(first) = start() {
        assert_eq!(start(), Some(first), "the second start finds what the first one found");
    }
}

pub(crate) fn log_seeds() -> Vec<Vec<u8>> {
    LOGS.iter().map(|log| log.to_vec()).collect()
}

pub(crate) fn snapshot_seeds() -> Vec<Vec<u8>> {
    vec![SNAPSHOT.to_vec()]
}
