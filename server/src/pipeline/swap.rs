//! Another database under a running standalone server (`ZooKeeperServer.restoreFromSnapshot`).
//!
//! Requests wait from the moment it is ordered. When everything proposed is applied, the log thread
//! ends its file and writes the new tree as a snapshot; when that is durable, the tree changes, the
//! sessions are those of the new tree, and every connection is closed: what its client has read and
//! watches was another database. Until then a failure changes nothing.
//!
//! Zxids never go back. A database that ends before the present one gets the next zxid as its own.
//! That zxid is in no log: should the new snapshot be lost later, an older one and the logs do not
//! fit together any more, and a start says so instead of mixing two databases.

use std::sync::Arc;
use std::thread::Builder;

use crossbeam_channel::Sender;
use tracing::{debug, info, warn};

use super::STACK_BYTES;
use super::log_loop::{LogBox, Order};
use super::replica_loop::{Control, CoreBox};
use crate::base::Zxid;
use crate::storage::restore::{OwnedTreeSource, drop_orphans};
use crate::storage::{
    DataDirs, Durable, SnapshotOptions, StorageError, TxnLogWriter, write_snapshot,
};
use crate::tree::DataTree;

/// Whoever waits for a new database: its last zxid, or why the old one stays.
pub(super) type Ordered = Sender<Result<Zxid, String>>;

/// A database on its way in.
pub(super) enum Swap {
    /// Waits until nothing is under way.
    Waiting(Box<DataTree>, Ordered),
    /// Is being written.
    Writing(Ordered),
}

/// Writes `tree` behind everything up to `proposed`; the answer is [`Control::Swapped`].
pub(super) fn write(
    mut tree: Box<DataTree>,
    proposed: Zxid,
    dirs: Arc<DataDirs>,
    snapshot: SnapshotOptions,
    log: &LogBox,
    core: Arc<CoreBox>,
) {
    let zxid = tree.last_zxid().max(Zxid(proposed.0 + 1));
    log.post(Order::Run(Box::new(move |writer| {
        let orphans = drop_orphans(&mut tree);
        let written = install(&mut tree, zxid, &dirs, &snapshot, writer);
        match &written {
            Ok(_) => info!(%zxid, znodes = tree.node_count(), orphans, "new database written"),
            Err(failure) => warn!(%failure, "the new database cannot be written"),
        }
        let result = written.map_err(|failure| failure.to_string());
        core.post(Control::Swapped { tree, result });
    })));
}

/// Makes `tree`, which nobody else sees yet, the database on disk, as of `zxid`, behind everything in
/// the log. Whatever happens in between, a start finds the old database or the new one.
fn install(
    tree: &mut DataTree,
    zxid: Zxid,
    dirs: &Arc<DataDirs>,
    options: &SnapshotOptions,
    writer: &mut TxnLogWriter,
) -> Result<Durable, StorageError> {
    tree.set_last_zxid(zxid);
    writer.roll()?;
    let mut source = OwnedTreeSource::new(tree)?;
    let file = write_snapshot(dirs, options, &mut source)?;
    drop(source);
    let durable = Durable::by_received_snapshot(zxid);
    if let Err(failure) = file.publish(durable) {
        // It may have its name: the next start may find either database, so nothing more may be
        // acknowledged of the old one.
        writer.fail();
        return Err(failure);
    }
    writer.restart_behind(durable);
    Ok(durable)
}

/// Frees a tree where nobody waits for it: a large one takes a while.
pub(super) fn reclaim(tree: DataTree) {
    let thread = Builder::new().name("reclaim".into()).stack_size(STACK_BYTES);
    if let Err(error) = thread.spawn(move || drop(tree)) {
        // It was freed here instead.
        debug!(%error, "no thread to free a tree");
    }
}

#[cfg(test)]
mod tests;
