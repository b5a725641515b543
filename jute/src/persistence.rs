//! File headers (`org.apache.zookeeper.server.persistence`).

use crate::codec::records;

/// `ZKLG`: first four bytes of a transaction log.
pub const TXNLOG_MAGIC: i32 = 0x5a4b_4c47;
/// `ZKSN`: first four bytes of a snapshot.
pub const SNAPSHOT_MAGIC: i32 = 0x5a4b_534e;
/// The only file version ever written.
pub const FILE_VERSION: i32 = 2;

records! {
    /// Header of a transaction log or snapshot (16 bytes).
    FileHeader {
        /// [`TXNLOG_MAGIC`] or [`SNAPSHOT_MAGIC`].
        magic: i32,
        /// [`FILE_VERSION`]; no reader checks it.
        version: i32,
        /// 0 in logs, -1 in snapshots; no reader checks it.
        dbid: i64,
    }
}
