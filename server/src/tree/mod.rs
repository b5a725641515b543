//! The znode tree. Pure.
