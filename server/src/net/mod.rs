//! Client connections: listeners, handshake, framing, admission, four-letter words.

pub mod fourlw;
mod options;
pub mod view;

pub use options::{ConnectionThrottle, Options, RequestThrottle};
