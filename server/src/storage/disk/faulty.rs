//! A file system in memory that misbehaves on request.
