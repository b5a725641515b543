//! Transaction logs: `log.<hex of the first zxid>`, one entry per transaction, padded with zeros.
//!
//! [`format`] is the bytes, [`writer`] appends and syncs, [`reader`] iterates and tells a torn tail
//! from damage. A file is written by one [`writer::TxnLogWriter`] in one process life and never
//! appended to again (`FileTxnLog`).

pub mod format;
pub mod reader;
pub mod writer;

pub use reader::{LogFile, Logged, Tail, TxnLogReader, range};
pub use writer::{LogOptions, TxnLogWriter};
