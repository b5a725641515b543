//! Snapshots: the whole state at one zxid, in Java's format.
//!
//! [`codec`] is the bytes, [`compression`] what may be around them, [`writer`] makes files from a
//! [`crate::tree::cut::Cut`], [`reader`] loads and verifies them;
//! [`manners`] keeps all that from delaying clients.

pub mod codec;
pub mod compression;
pub mod manners;
pub mod reader;
pub mod writer;

pub use compression::Compression;

/// How snapshots are written.
#[derive(Debug, Clone)]
pub struct SnapshotOptions {
    /// `zookeeper.snapshot.compression.method`.
    pub compression: Compression,
    /// `zookeeper.digest.enabled`: write the digest section. Without it the last section is left
    /// out too: the bare tree is the only form that Java reads whatever its own setting is.
    pub digest: bool,
    /// `zookeeper.serializeLastProcessedZxid.enabled`: write the last section.
    pub last_zxid: bool,
}

impl Default for SnapshotOptions {
    fn default() -> Self {
        Self { compression: Compression::None, digest: true, last_zxid: true }
    }
}
