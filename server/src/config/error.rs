//! What can be wrong with a configuration, and how it is said.

use std::fmt;
use std::path::PathBuf;

/// Where a setting was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file; `None` for the command line or the environment.
    pub file: Option<PathBuf>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// The key, as written.
    pub key: String,
    /// The value, trimmed; masked if it is a secret.
    pub value: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
            (Some(file), None) => write!(f, "{}: ", file.display())?,
            (None, _) => f.write_str("command line: ")?,
        }
        write!(f, "{}={}", self.key, self.value)
    }
}

/// Which of Java's ends an error leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `ConfigException`: exit code 2, "Invalid config, exiting abnormally".
    Config,
    /// `IllegalArgumentException` outside of a file: exit code 2 and the usage line.
    Arguments,
    /// `AdminServerException`: exit code 4.
    AdminServer,
    /// Anything else at start: exit code 1.
    Unexpected,
}

/// A configuration that no server can start with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// How the process ends.
    pub kind: Kind,
    /// Where, if one setting is to blame.
    pub place: Option<Place>,
    /// The file in work, when no single setting is to blame.
    pub file: Option<PathBuf>,
    /// What is wrong, in the words Java's log has.
    pub text: String,
    /// What would be right.
    pub allowed: Option<String>,
}

impl ConfigError {
    /// An error without a place.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, place: None, file: None, text: text.into(), allowed: None }
    }

    pub(super) fn config(text: impl Into<String>) -> Self {
        Self::new(Kind::Config, text)
    }

    pub(super) fn at(mut self, place: Option<Place>) -> Self {
        self.place = self.place.or(place);
        self
    }

    pub(super) fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The process exit code.
    pub fn exit_code(&self) -> i32 {
        match self.kind {
            Kind::Config | Kind::Arguments => 2,
            Kind::AdminServer => 4,
            Kind::Unexpected => 1,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, &self.file) {
            (Some(place), _) => write!(f, "{place}: ")?,
            (None, Some(file)) => write!(f, "{}: ", file.display())?,
            (None, None) => {}
        }
        f.write_str(&self.text)?;
        match &self.allowed {
            Some(allowed) => write!(f, " (allowed: {allowed})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// How loud a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For the record.
    Info,
    /// Works, but probably not as meant.
    Warn,
    /// Java says ERROR and starts all the same.
    Error,
}

/// Something to tell the operator; logged by `main` once logging works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Level.
    pub level: Level,
    /// Text.
    pub text: String,
}
