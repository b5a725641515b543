//! The composition root: opens, restores, starts and stops everything in order, and gives each
//! part its `Options`. A library call, so that tests run servers in-process on port 0.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::net::fourlw::Responder;
use crate::net::view::ServerView;
use crate::{net, pipeline, replica};

/// Everything a standalone server needs.
pub struct Options {
    /// Client side.
    pub net: net::Options,
    /// Roles, sessions, timers.
    pub replica: replica::Options,
    /// Loops.
    pub pipeline: pipeline::Options,
    /// Answers four-letter words.
    pub fourlw: Arc<dyn Responder>,
}

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// How a server ended: Java's `ExitCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, everything written.
    Finished,
    /// The log or a snapshot could not be written (10).
    StorageFailed,
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> i32 {
        match self {
            Exit::Finished => 0,
            Exit::StorageFailed => 10,
        }
    }
}

/// A standalone server.
pub struct Server;

/// A running server. Dropping it does not stop it.
pub struct Handle {
    view: Arc<dyn ServerView>,
}

impl Server {
    /// Restores the data directory, starts every thread and listens. Returns when clients are
    /// served.
    pub fn start(_options: Options) -> Result<Handle, StartError> {
        unimplemented!("published ahead of its body")
    }
}

impl Handle {
    /// Where clients can connect (real ports).
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.view.addresses().0
    }

    /// The sight operators have.
    pub fn view(&self) -> Arc<dyn ServerView> {
        self.view.clone()
    }

    /// Stops accepting, drains the log, syncs, closes. Blocks until done.
    pub fn stop(&self) -> Exit {
        unimplemented!("published ahead of its body")
    }

    /// Blocks until the server ends by itself (a storage failure) or by [`Handle::stop`].
    pub fn wait(&self) -> Exit {
        unimplemented!("published ahead of its body")
    }
}
