//! TRUNC: takes back what this server logged and the ensemble never committed.

use super::{DataDirs, Options, StorageError};
use crate::base::Zxid;

/// Makes `target` the last transaction on disk: cuts the log behind it, deletes later logs and
/// snapshots, all durable on return. Restore again afterwards, and tell the writer
/// ([`super::TxnLogWriter::restart_behind`]).
///
/// # Errors
/// [`StorageError::Truncate`] if the history on this disk has no such transaction or no snapshot to
/// start from; nothing was changed then, and the caller asks the leader for a snapshot.
pub fn truncate(dirs: &DataDirs, options: &Options, target: Zxid) -> Result<(), StorageError> {
    let _ = (dirs, options, target);
    unimplemented!("published ahead of its body")
}
