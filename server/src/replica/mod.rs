//! The replica core: role, prep, sessions. Event in, action out.

mod options;

pub use options::Options;
