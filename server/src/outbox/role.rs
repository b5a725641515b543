//! The server's role as connections need to know it: three flags, changed rarely, read often.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether and how clients are served.
#[derive(Debug, Default)]
pub struct Role {
    serving: AtomicBool,
    read_only: AtomicBool,
    local_sessions: AtomicBool,
}

impl Role {
    /// Handshakes are accepted (`SERVE-AFTER-UPTODATE`).
    pub fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Acquire)
    }

    /// Writes are refused, and so are clients that want to write.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// New sessions are local, which makes their handshakes cheaper.
    pub fn has_local_sessions(&self) -> bool {
        self.local_sessions.load(Ordering::Acquire)
    }

    /// Serves from now on.
    pub fn open(&self, read_only: bool, local_sessions: bool) {
        self.local_sessions.store(local_sessions, Ordering::Release);
        self.read_only.store(read_only, Ordering::Release);
        self.serving.store(true, Ordering::Release);
    }

    /// Serves no longer.
    pub fn close(&self) {
        self.serving.store(false, Ordering::Release);
    }
}
