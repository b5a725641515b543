//! Rookeeper against real Java servers and unmodified clients.
//!
//! What lives here: the harness that starts servers of both kinds on the same files
//! ([`server`]), speaks the raw protocol to them ([`wire`]), and compares what they answer
//! ([`diff`], [`walk`]). What does not: any knowledge of how our server works inside; it is started
//! as a program and seen through its socket and its files.
//!
//! * [`server`]: one [`server::Server`] for both kinds: start, `kill -9`, stop, log.
//! * [`wire`]: frames, sessions, pipelining, watch events, broken input.
//! * [`walk`]: everything a client can see of a tree, as text.
//! * [`diff`]: random operations in lockstep against two servers.
//! * [`ensemble`]: servers of any mix of both kinds as one ensemble, as one test at a time.
//! * [`application`]: applications that keep their state in an ensemble, as processes.
//! * [`docker`]: containers of our image and of others.
//! * [`proxy`]: the network between the servers of an ensemble, with links that can be cut.
//! * [`load`]: the load generator and its floor.
//! * [`reports`]: what servers tell operators, reduced to its form.
//! * [`program`]: clients of other languages, whose transcripts are compared.
//!
//! The tests are in `tests/`; `setup.sh` brings what they need.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod application;
pub mod diff;
pub mod docker;
pub mod ensemble;
pub mod load;
pub mod program;
pub mod proxy;
pub mod random;
pub mod reports;
pub mod server;
pub mod walk;
pub mod wire;
