//! The `rookeeper` binary: arguments and exit codes.
#![forbid(unsafe_code)]

fn main() {}
