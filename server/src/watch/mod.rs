//! Watches: who wants to hear about which path.
//!
//! Owns the two tables of Java's `DataTree` (data and child watches) and the order in which one
//! change triggers them. Must not know connections, sessions, ACLs or the wire: a watcher is a
//! number, and what fires is told to a callback.
//!
//! ```text
//! read::execute ─► add, contains, remove      many threads at once, under the tree's read guard
//! apply ─► trigger ─► (event, path, watchers)  alone, under the tree's write guard
//! closing connection ─► clear                  any time
//! ```
//!
//! A path is stored once, with both tables' watchers; a watcher's own list holds 4-byte path ids.
//! Paths are spread over 64 shards. Start at [`WatchTable`]. Follows `WatchManager`,
//! `WatcherMode`, and the watch parts of `DataTree`.

mod kinds;
mod shard;
mod table;
#[cfg(test)]
mod twin;
mod watchers;

pub use kinds::{EventType, Mode, Table, Trigger, WatcherId, WatcherType};
pub use table::{Fired, Options, Summary, WatchTable};
