//! Values that every other module speaks: ids, zxids, times, error codes, limits, proposals.
//!
//! Owns nothing: these are values, made and passed on by everyone. Pure. Knows nothing of any other
//! module but `jute`. Start at [`Zxid`] and [`Proposal`].

mod arena;
mod error;
mod ids;
mod proposal;
mod time;
pub mod version;

pub use arena::Arena;
pub use error::ErrorCode;
pub use ids::{Epoch, SessionId, Sid, Zxid};
pub use proposal::{Hints, Press, Proposal};
pub use time::{Mono, Now, Wall};
