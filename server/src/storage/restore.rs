//! From the disk to a tree: newest valid snapshot, then the log behind it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{DataDirs, Durable, Options, StorageError};
use crate::base::{Proposal, Zxid};
use crate::tree::{DataTree, TreeOptions};

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The state; sessions are in it. Its `last_zxid` is 0 for an empty database.
    pub tree: DataTree,
    /// Where the log continues. -1: there was no database and none may be assumed
    /// (`db.autocreate=false` without `initialize`); a quorum member must not vote with it.
    pub last: Durable,
    /// The replayed transactions, the newest `commit_log_count` of them, oldest first: what a
    /// leader offers learners from memory. Transactions inside the snapshot are not here.
    pub recent: VecDeque<Arc<Proposal>>,
    /// The snapshot it began with; `None` if there was none.
    pub snapshot: Option<Zxid>,
    /// Snapshots that were tried and refused, newest first, with the reason. Worth a warning each.
    pub refused: Vec<StorageError>,
    /// Transactions replayed.
    pub replayed: u64,
    /// Bytes of an unfinished last batch that were ignored (they were never acknowledged).
    pub torn_bytes: u64,
    /// Replayed transactions whose digest did not match (`digest_mismatches_count`).
    pub digest_mismatches: u64,
}

/// Restores the newest state. Writes nothing except that `initialize` is used up.
///
/// # Errors
/// Any damage that is not a torn tail, any gap; see [`StorageError`].
pub fn restore(
    dirs: &DataDirs,
    options: &Options,
    tree: TreeOptions,
) -> Result<Restored, StorageError> {
    let _ = (dirs, options, tree);
    unimplemented!("published ahead of its body")
}

/// Deletes the ephemerals of sessions that the session table does not know: what a standalone server
/// and a new leader do after [`restore`] (`ZooKeeperServer.loadData`), learners do not. Returns how
/// many sessions that were.
pub fn drop_orphans(tree: &mut DataTree) -> usize {
    let orphans: Vec<_> = tree
        .ephemeral_sessions()
        .filter(|session| tree.sessions().timeout_ms(*session).is_none())
        .collect();
    let zxid = tree.last_zxid();
    for session in &orphans {
        tree.kill_session(*session, zxid, &mut |_| {});
    }
    orphans.len()
}
