//! Another database under a running standalone server (`ZooKeeperServer.restoreFromSnapshot`).
//!
//! Requests wait from the moment it is ordered. When everything proposed is applied, the log thread
//! ends its file and writes the new tree as a snapshot; when that is durable, the tree changes, the
//! sessions are those of the new tree, and every connection is closed: what its client has read and
//! watches was another database. Until then a failure changes nothing.
//!
//! Zxids never go back. A database that ends before the present one gets the next zxid as its own.

use std::sync::Arc;

use crossbeam_channel::Sender;
use tracing::{info, warn};

use super::log_loop::{LogBox, Order};
use super::replica_loop::{Control, CoreBox};
use crate::base::Zxid;
use crate::storage::restore::{OwnedTreeSource, drop_orphans};
use crate::storage::{DataDirs, Durable, SnapshotOptions, StorageError, write_snapshot};
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
        tree.set_last_zxid(zxid);
        let orphans = drop_orphans(&mut tree);
        let mut work = || -> Result<Durable, StorageError> {
            writer.roll()?;
            let mut source = OwnedTreeSource::new(&mut tree)?;
            let file = write_snapshot(&dirs, &snapshot, &mut source)?;
            drop(source);
            let durable = Durable::by_received_snapshot(zxid);
            if let Err(failure) = file.publish(durable) {
                // It may have its name: the next start may find either database, so nothing more
                // may be acknowledged of the old one.
                writer.fail();
                return Err(failure);
            }
            writer.restart_behind(durable);
            Ok(durable)
        };
        let written = work();
        match &written {
            Ok(_) => info!(%zxid, znodes = tree.node_count(), orphans, "new database written"),
            Err(failure) => warn!(%failure, "the new database cannot be written"),
        }
        let result = written.map_err(|failure| failure.to_string());
        core.post(Control::Swapped { tree, result });
    })));
}
