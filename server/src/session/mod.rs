//! Sessions: ids, passwords, expiry, ownership.
//!
//! Owns who is alive, who owns a session at the leader, and when it expires. Must not know
//! connections, transactions or clocks: every call that needs the time is handed it. The timeouts
//! that survive a restart are in the tree's session table; this module is built from it.
//!
//! * [`password()`], [`first_session_id`]: pure functions that every server must compute alike.
//! * [`ExpiryQueue`]: buckets of one tick, as `ExpiryQueue` rounds them.
//! * [`Tracker`]: global sessions (and, if enabled, this server's local ones) on a standalone
//!   server or a leader.
//! * [`LearnerSessions`]: what a learner knows: touched sessions to report, local sessions.

mod expiry;
mod id;
mod learner;
mod table;
mod tracker;

pub use expiry::ExpiryQueue;
pub use id::{check_password, first_session_id, password};
pub use learner::LearnerSessions;
pub use tracker::{Options, Owner, Rules, Tracker};
