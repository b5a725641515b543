//! What is on disk: transaction logs, snapshots, epoch files, in Java's formats, both ways.
//!
//! ```text
//!            restore ──► newest valid snapshot ──► then logs ──► DataTree, recent proposals
//!               ▲                 ▲                  ▲
//!  DataDirs ────┤          snapshot::reader    txnlog::reader
//!  (layout,     │          snapshot::writer    txnlog::writer ◄── group commit (txnlog thread)
//!   lock, myid, │                 ▲
//!   epochs)     └── purge, truncate                             Disk: real, or faulty for tests
//! ```
//!
//! Owns: every byte below `dataDir/version-2` and `dataLogDir/version-2`, `myid`, `initialize`.
//! Must not know: roles, sessions' owners, sockets, settings files. It is given [`Options`].
//!
//! Rules it keeps, by name (`docs/ARCHITECTURE.md`): `ACK-AFTER-FSYNC` (a [`Durable`] exists only
//! for what was synced), `TORN-TAIL-ONLY` ([`txnlog::reader`]), `LOG-COVERS-SNAPSHOT`
//! ([`snapshot::writer`] asks for a [`Durable`]), `FILE-SWAP` (write, sync, rename, sync the
//! directory), `PURGE-SAFE` ([`purge`]), `CUT-EXACT`.
//!
//! Start reading at [`restore`] and [`TxnLogWriter`].

pub mod datadir;
pub mod disk;
mod error;
pub mod purge;
pub mod restore;
pub mod snapshot;
pub mod truncate;
pub mod txnlog;

use crate::base::Zxid;

pub use datadir::DataDirs;
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::StorageError;
pub use restore::{OwnedTreeSource, Restored, drop_orphans, inspect, restore};
pub use snapshot::writer::{CutSource, SnapshotFile, SnapshotSource, write_snapshot};
pub use snapshot::{Compression, SnapshotOptions};
pub use txnlog::writer::{Committed, LogOptions, TxnLogWriter};

/// Everything this module can be told. `Default` holds Java's defaults.
#[derive(Debug, Clone)]
pub struct Options {
    /// The transaction log.
    pub log: LogOptions,
    /// Snapshots.
    pub snapshot: SnapshotOptions,
    /// `zookeeper.datadir.autocreate`: make missing directories.
    pub datadir_auto_create: bool,
    /// `zookeeper.db.autocreate`: an empty directory is an empty database.
    pub db_auto_create: bool,
    /// `zookeeper.snapshot.trust.empty`: logs without a snapshot are complete (upgrade from 3.4).
    pub snapshot_trust_empty: bool,
    /// `zookeeper.commitLogCount`: how many replayed proposals [`Restored::recent`] keeps.
    pub commit_log_count: usize,
    /// `jute.maxbuffer` + `zookeeper.jute.maxbuffer.extrasize`, bytes: the largest log entry,
    /// string or buffer that is believed.
    pub field_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            log: LogOptions::default(),
            snapshot: SnapshotOptions::default(),
            datadir_auto_create: true,
            db_auto_create: true,
            snapshot_trust_empty: false,
            commit_log_count: 500,
            field_max: jute::codec::DEFAULT_MAX_FIELD,
        }
    }
}

/// Proof that every transaction up to a zxid is on stable storage.
///
/// Made only by those who synced: [`TxnLogWriter::commit`], [`restore`], and whoever received a
/// snapshot by SNAP, for which no log is needed ([`Durable::by_received_snapshot`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Durable(Zxid);

impl Durable {
    /// Up to here.
    pub fn zxid(self) -> Zxid {
        self.0
    }

    /// A snapshot received from a leader is itself the history up to its zxid.
    pub fn by_received_snapshot(zxid: Zxid) -> Self {
        Self(zxid)
    }

    /// Nothing was logged on purpose: an observer with `syncEnabled=false`, or `forceSync=no`.
    pub fn not_logged(zxid: Zxid) -> Self {
        Self(zxid)
    }
}
