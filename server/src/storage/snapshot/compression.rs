//! What may be around a snapshot: nothing, gzip, or snappy in snappy-java's framing.

/// How a snapshot is compressed; the last part of its name says so (`SnapStream.StreamMode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy-java's stream: not the snappy framing format.
    Snappy,
}

impl Compression {
    /// From the setting `zookeeper.snapshot.compression.method`: anything unknown means none.
    pub fn from_setting(value: &str) -> Self {
        match value {
            "gz" => Self::Gzip,
            "snappy" => Self::Snappy,
            _ => Self::None,
        }
    }

    /// From a file name.
    pub fn from_name(name: &str) -> Self {
        match name.rsplit('.').next().map(str::to_ascii_lowercase).as_deref() {
            Some("gz") => Self::Gzip,
            Some("snappy") => Self::Snappy,
            _ => Self::None,
        }
    }

    /// What it adds to a name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Snappy => ".snappy",
        }
    }
}
