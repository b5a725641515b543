//! `zoo.cfg`, dynamic configuration files and Java system properties, read once into a [`Config`].
//!
//! Owns: the Java properties grammar, every key and property of ZooKeeper 3.9.5 with its parsing
//! rule and default, the `server.N` grammar, cross checks, and the texts of what is wrong. Must
//! not know: how any setting is used. Nothing below `server.rs` sees a [`Config`]: `options.rs`
//! turns it into each module's own `Options`.
//!
//! Order of precedence, as in Java: defaults, then `-Dname=value` (from `SERVER_JVMFLAGS`,
//! `JVMFLAGS`, arguments; the last one wins), then `zoo.cfg`. A key of `zoo.cfg` without a typed
//! meaning becomes the property `zookeeper.<key>` and so overrides a `-D`; typed keys ignore `-D`.
//!
//! Start at [`Config::load`]; the types are in `types.rs` (core) and `settings.rs` (the rest).
//! Nothing here logs: what an operator should read is collected in [`Config::notices`].

mod dynamic;
mod error;
mod flags;
mod load;
mod members;
mod names;
mod options;
mod properties;
mod settings;
mod table;
mod tls;
mod types;

pub use dynamic::DynamicFiles;
pub use error::{ConfigError, Kind, Level, Notice, Place};
pub use flags::{JvmFlags, split_words};
pub use members::{ClientAddress, Member, MemberAddress, Membership, Role};
pub use properties::{Entry, JavaProperties, SyntaxError, java_trim};
pub use settings::*;
pub use table::{PropertyTable, Source};
pub use tls::{ClientAuth, Secret, StoreSettings, StoreType, TlsSettings, client_tls_options};
pub use types::*;

#[cfg(test)]
mod tests;
