//! Values that every other module speaks: ids, zxids, times, error codes, limits, proposals.
//!
//! Pure. Knows nothing of any other module but `jute`.

mod error;
mod ids;
mod proposal;
mod time;
pub mod version;

pub use error::ErrorCode;
pub use ids::{Epoch, SessionId, Sid, Zxid};
pub use proposal::Proposal;
pub use time::{Mono, Now, Wall};
