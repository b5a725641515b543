//! How a server ends, told from any thread to whoever waits.

use parking_lot::{Condvar, Mutex};

/// How a server ended: Java's `ExitCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, everything written.
    Finished,
    /// The log or a snapshot could not be written (10).
    StorageFailed,
    /// A member of an ensemble cannot go on: the code.
    Member(i32),
}

impl Exit {
    /// The process exit code.
    pub fn code(self) -> i32 {
        match self {
            Exit::Finished => 0,
            Exit::StorageFailed => 10,
            Exit::Member(code) => code,
        }
    }
}

/// The end of a server: set once, awaited by anybody.
#[derive(Debug, Default)]
pub struct Outcome {
    exit: Mutex<Option<Exit>>,
    bell: Condvar,
}

impl Outcome {
    /// The server is ending. The first reason counts.
    pub fn set(&self, exit: Exit) {
        self.exit.lock().get_or_insert(exit);
        self.bell.notify_all();
    }

    /// The end, if it has come.
    pub fn get(&self) -> Option<Exit> {
        *self.exit.lock()
    }

    /// Waits for the end.
    pub fn wait(&self) -> Exit {
        let mut exit = self.exit.lock();
        loop {
            if let Some(exit) = *exit {
                return exit;
            }
            self.bell.wait(&mut exit);
        }
    }
}

/// Aborts the process when dropped by a panic: a loop that owns state may have left it torn.
pub(super) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
