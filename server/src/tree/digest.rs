//! Digest of the tree: a sum of per-znode CRCs (`DigestCalculator`, `AdHash`, version 2).
//!
//! The sum makes it incremental: a change subtracts the old digest of a znode and adds the new
//! one, and the order of changes does not matter.

use jute::data::StatPersisted;

/// Znodes below this path differ from server to server and are left out.
const EXCLUDED: &str = "/zookeeper/";

/// A znode's digest (`DigestCalculator.calculateDigest`, version 2); 0 below `/zookeeper/`. `/` and
/// `""` are the same path. Pure: `prep` uses it to foresee the digest after a transaction.
///
/// Java hashes the path in the platform's charset; this is UTF-8, as on every usual platform.
pub fn node_digest(path: &str, data: Option<&[u8]>, stat: &StatPersisted) -> u32 {
    if !is_digested(path) {
        return 0;
    }
    stat_digest(content_crc(path, data.unwrap_or_default()), stat)
}

/// CRC-32 of what a znode's digest covers before the stat: path and data. It stays while only the
/// stat changes.
pub fn content_crc(path: &str, data: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(data);
    crc.finalize()
}

/// The digest of a znode that counts, from the CRC of its content ([`content_crc`]).
pub fn stat_digest(content_crc: u32, stat: &StatPersisted) -> u32 {
    // The order of fields is not that of the stored record.
    let mut fields = [0u8; 60];
    let longs = [stat.czxid, stat.mzxid, stat.pzxid, stat.ctime, stat.mtime];
    for (to, long) in fields.chunks_exact_mut(8).zip(longs) {
        to.copy_from_slice(&long.to_be_bytes());
    }
    let ints = [stat.version, stat.cversion, stat.aversion];
    for (to, int) in fields[40..52].chunks_exact_mut(4).zip(ints) {
        to.copy_from_slice(&int.to_be_bytes());
    }
    fields[52..].copy_from_slice(&stat.ephemeral_owner.to_be_bytes());
    let mut crc = crc32fast::Hasher::new_with_initial(content_crc);
    crc.update(&fields);
    crc.finalize()
}

/// True if a znode at `path` is part of the tree's digest.
pub fn is_digested(path: &str) -> bool {
    !path.starts_with(EXCLUDED)
}
