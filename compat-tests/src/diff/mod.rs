//! Random operations in lockstep against two servers, and every difference between their answers.
//!
//! ```text
//!  seed ─► steps::Generator ─► Step ─┬─► Side (reference) ─► frames ─► render ─► text ─┐
//!                ▲                   └─► Side (subject)   ─► frames ─► render ─► text ─┴─► equal?
//!                └──────── paths and zxids the reference showed
//! ```
//!
//! Both servers start empty and see the same requests in the same order, so zxids, versions and
//! sequence numbers must be equal to the bit. Only what cannot be equal is replaced while rendering
//! ([`render`]): session ids and passwords by the number of their creation, times by the zxid they
//! belong to, and lists that Java answers in hash order are sorted.
//!
//! After each step every other session sends a ping: the answer says that all its events are here.

pub mod render;
pub mod run;
pub mod steps;

pub use run::{Difference, Lockstep, Report, lockstep};
pub use steps::Profile;
