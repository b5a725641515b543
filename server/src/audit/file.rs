//! A file that is rolled by size, as `RollingFileAppender` of Java's `logback.xml` does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Size at which a file is rolled, bytes.
const BYTES_MAX: u64 = 10 * 1024 * 1024;
/// Rolled files kept.
const FILES_MAX: u32 = 10;

#[derive(Debug)]
pub(super) struct RollingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    complained: bool,
}

impl RollingFile {
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let file = append(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes, complained: false })
    }

    /// Writes a line; a file that cannot be written costs one warning, not the server.
    pub(super) fn write(&mut self, failed: bool, line: &str) {
        let level = if failed { "ERROR" } else { "INFO " };
        let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S,%3f").to_string();
        let text = format!("{now} {level} audit.Slf4jAuditLogger: {line}\n");
        let written = self.roll_if_due().and_then(|()| self.file.write_all(text.as_bytes()));
        match written {
            Ok(()) => self.bytes += text.len() as u64,
            Err(error) if !self.complained => {
                self.complained = true;
                tracing::warn!(path = %self.path.display(), %error, "the audit file cannot be written");
            }
            Err(_) => {}
        }
    }

    fn roll_if_due(&mut self) -> io::Result<()> {
        if self.bytes < BYTES_MAX {
            return Ok(());
        }
        let numbered = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..FILES_MAX).rev() {
            if numbered(number).exists() {
                fs::rename(numbered(number), numbered(number + 1))?;
            }
        }
        fs::rename(&self.path, numbered(1))?;
        self.file = append(&self.path)?;
        self.bytes = 0;
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_files_move_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        for round in 0..3 {
            let mut file = RollingFile::open(path.clone()).unwrap();
            file.write(false, &format!("round {round}"));
            file.bytes = BYTES_MAX;
            file.write(true, "next");
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(read("a.log").contains("ERROR") && !read("a.log").contains("round"));
        assert!(read("a.log.1").contains("round 2"));
        assert!(read("a.log.3").contains("round 0"));
    }
}
