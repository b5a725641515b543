//! Mailboxes and the loops around the cores: replica and apply, log, snapshot, purge.

mod options;

pub use options::Options;
