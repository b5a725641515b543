//! Rookeeper against real Java servers and unmodified clients.

pub mod load;
