//! The oracle of an ensemble of two: a file that somebody outside writes (`QuorumOracleMaj`).
//!
//! While its first character is `1`, this server may go on without the other one. Read again and
//! again, because nothing tells when it changes; a file that cannot be read says no.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::info;

use super::{Sink, spawn};
use crate::zab::Event;

/// How often the file is read.
const INTERVAL: Duration = Duration::from_millis(100);

/// Asks until it is stopped.
pub(super) struct Oracle {
    stopped: Arc<AtomicBool>,
}

impl Oracle {
    /// Tells what the file says now, and whenever it says something else.
    pub(super) fn start(path: PathBuf, sink: Sink) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let flag = stopped.clone();
        spawn("oracle", move || {
            let mut known = None;
            while !flag.load(Ordering::Acquire) {
                let word = asks(&path);
                if known.replace(word) != Some(word) {
                    info!(path = %path.display(), may_go_on_alone = word, "the oracle has spoken");
                    sink(Event::Oracle(word));
                }
                std::thread::sleep(INTERVAL);
            }
        })?;
        Ok(Oracle { stopped })
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

fn asks(path: &Path) -> bool {
    let mut first = [0];
    File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *b"1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_leading_one_says_yes() {
        let dir = tempfile::TempDir::new().expect("a directory");
        let path = dir.path().join("oracle");
        assert!(!asks(&path), "no file");
        for (text, yes) in
            [("1", true), ("1\n", true), ("10", true), ("", false), ("0", false), (" 1", false)]
        {
            std::fs::write(&path, text).expect("written");
            assert_eq!(asks(&path), yes, "{text:?}");
        }
    }
}
