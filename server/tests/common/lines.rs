//! What the servers of this process log.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Log lines of this process.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// From now on, or since the first test of this process that asked for them.
    pub fn capture() -> Self {
        static LINES: OnceLock<Lines> = OnceLock::new();
        let begin = || {
            let lines = Self::default();
            let writer = lines.clone();
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
            lines
        };
        LINES.get_or_init(begin).clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until somebody says so.
    pub fn until(&self, phrase: &str) {
        let give_up = Instant::now() + Duration::from_secs(60);
        while !self.text().contains(phrase) {
            assert!(Instant::now() < give_up, "nobody said: {phrase}\n{}", self.text());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
