//! A bar on stderr for work that takes long, where someone looks at a terminal.

use std::io::{self, IsTerminal, Read, Write};

/// Less than this is read before anyone wonders, bytes.
const LONG: u64 = 32 << 20;

/// How far a work of known size is.
pub(in crate::cli) struct Progress {
    what: String,
    total: u64,
    done: u64,
    shown: Option<u64>,
    visible: bool,
}

impl Progress {
    /// A bar for `total` bytes; only if stderr is a terminal. What is printed meanwhile must not go
    /// to the same terminal: `beside_output` says that it might.
    pub(in crate::cli) fn of(total: u64, beside_output: bool) -> Self {
        let alone = !beside_output || !io::stdout().is_terminal();
        let visible = total > LONG && alone && io::stderr().is_terminal();
        Progress { what: String::new(), total, done: 0, shown: None, visible }
    }

    /// Names what is read now.
    pub(in crate::cli) fn name(&mut self, what: &str) {
        what.clone_into(&mut self.what);
        self.shown = None;
        self.add(0);
    }

    /// So many bytes more are done.
    pub(in crate::cli) fn add(&mut self, bytes: u64) {
        self.done += bytes;
        let percent = (self.done.min(self.total) * 100).checked_div(self.total).unwrap_or(100);
        if self.visible && self.shown != Some(percent) {
            self.shown = Some(percent);
            // Only for someone who looks; that nobody can is no error.
            let _ = write!(io::stderr(), "\r\x1b[K{}", self.bar(percent));
        }
    }

    fn bar(&self, percent: u64) -> String {
        format!("[{:<25}] {percent:3}% {}", "#".repeat(percent as usize / 4), self.what)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Reads and counts.
pub(super) struct Counted<R>(pub R, pub Progress);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.add(n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_up() {
        let mut progress = Progress::of(200, false);
        progress.name("log.1");
        progress.add(100);
        assert_eq!(progress.bar(50), "[############             ]  50% log.1");
        assert!(progress.shown.is_none(), "too small to be shown");
        let mut read = Vec::new();
        Counted(&b"abc"[..], progress).read_to_end(&mut read).expect("a slice");
        assert_eq!(read, b"abc");
    }
}
