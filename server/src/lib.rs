//! Rookeeper: a ZooKeeper server. `docs/ARCHITECTURE.md` is the map; each module opens with a page
//! of its own.
//!
//! Modules are layered: a module imports only from the layers above it in this list
//! (`server/tests/tidy.rs` holds the table).
#![forbid(unsafe_code)]

// Tests in here share helpers with those outside of the crate.
#[cfg(test)]
extern crate self as rookeeper;

// L0: values.
pub mod base;
pub mod metrics;
// L1: state without I/O.
pub mod acl;
pub mod session;
pub mod tree;
pub mod watch;
// L2: decisions without I/O.
pub mod prep;
pub mod read;
pub mod zab;
// L3: the role.
pub mod replica;
// L4: what touches disk, keys and buffers.
pub mod audit;
pub mod auth;
pub mod outbox;
pub mod storage;
// L5: what touches sockets and applies.
pub mod apply;
pub mod ensemble;
pub mod net;
// L6: the loops and their faces.
pub mod admin;
pub mod client;
pub mod pipeline;
// L7: settings and composition.
pub mod cli;
pub mod config;
pub mod server;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
