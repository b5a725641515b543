//! What can go wrong with the disk, and what the operator should do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::base::Zxid;

/// A failure of this module. None of them is ever retried on the same file: after a failed write or
/// fsync nobody knows what the disk holds.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The data directories cannot be used (Java's `DatadirException`).
    #[error("{0}")]
    Datadir(String),

    /// A system call failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },

    /// A transaction log holds bytes that no crash can have left there.
    #[error(
        "transaction log {} is damaged at byte {offset}{}: {reason}. Nothing was changed. If this \
         server is part of an ensemble, move its data directories away and let it fetch a copy \
         from the leader; otherwise restore a backup, or inspect and repair the file with \
         zkTxnLogToolkit.sh",
        path.display(),
        after(*last_zxid)
    )]
    CorruptLog {
        /// The log.
        path: PathBuf,
        /// Where the bad entry starts.
        offset: u64,
        /// The last good transaction before it.
        last_zxid: Option<Zxid>,
        /// What is wrong.
        reason: String,
    },

    /// Transactions are missing between two that are there.
    #[error(
        "transaction log {} goes from {after} to {found}: what was between them is missing. \
         Committed proposal cached out of order: {found} is not the next proposal of {after}. \
         Nothing was changed. If this server is part of an ensemble, move its data directories \
         away and let it fetch a copy from the leader; otherwise look for a log file that was \
         deleted",
        path.display()
    )]
    Gap {
        /// The log that holds `found`.
        path: PathBuf,
        /// The last transaction before the gap.
        after: Zxid,
        /// The first behind it.
        found: Zxid,
    },

    /// One snapshot is not what it should be.
    #[error("snapshot {} is damaged: {reason}", path.display())]
    CorruptSnapshot {
        /// The snapshot.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// There are snapshots, but none can be loaded.
    #[error("Not able to find valid snapshots in {}: {tried}", dir.display())]
    NoValidSnapshot {
        /// The directory.
        dir: PathBuf,
        /// Each file with its reason.
        tried: String,
    },

    /// Logs without a snapshot, and `zookeeper.snapshot.trust.empty` is not set.
    #[error(
        "No snapshot found, but there are log entries. Something is broken! (looked in \
         {}{refused})",
        dir.display()
    )]
    LogsWithoutSnapshot {
        /// The directory without snapshots.
        dir: PathBuf,
        /// Files that looked like incomplete snapshots.
        refused: String,
    },

    /// An epoch file does not fit the history (`QuorumPeer.loadDataBase`).
    #[error("{0}")]
    Epoch(String),

    /// A snapshot may not be published before the log is durable (`LOG-COVERS-SNAPSHOT`).
    #[error("snapshot of {snapshot} while the log is durable only up to {durable}")]
    NotCovered {
        /// The snapshot's zxid.
        snapshot: Zxid,
        /// The log's.
        durable: Zxid,
    },

    /// A truncation cannot be done from what is on this disk; nothing was changed.
    #[error("cannot truncate to {target}: {reason}")]
    Truncate {
        /// The zxid asked for.
        target: Zxid,
        /// Why not.
        reason: String,
    },

    /// A transaction was handed to the log out of order (`ZXID-ORDER`): our bug or the leader's.
    #[error("transaction {found} cannot be logged behind {last}")]
    OutOfOrder {
        /// The last one logged.
        last: Zxid,
        /// The one refused.
        found: Zxid,
    },

    /// The log failed before; nothing more can be logged by this process.
    #[error("the transaction log failed before")]
    LogFailed,

    /// Whoever asked for this gave up (for example a cut that was cancelled).
    #[error("{0}")]
    Cancelled(String),
}

fn after(zxid: Option<Zxid>) -> String {
    zxid.map(|z| format!(", behind transaction {z}")).unwrap_or_default()
}

impl StorageError {
    /// Wraps a system error.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// The process exit code when this happens while starting (Java's `ExitCode`).
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Datadir(_) => 3,
            _ => 1,
        }
    }

    /// True if the disk or the quota is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
