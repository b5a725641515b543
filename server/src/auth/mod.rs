//! Who the other side is: TLS contexts, key and trust stores, names in certificates, SASL logins.
//!
//! ```text
//!  store (PEM PKCS12 JKS) ──► context ──► Tls ──► net (client port), ensemble, admin
//!                             ▲  verify, suites, names      │
//!                             └── reload on change          └─► subject: identity of scheme x509
//! ```
//!
//! Owns: how certificates, keys and passwords are read and judged. Must not know: sockets of
//! clients, frames, ACLs, settings files.
//!
//! Start reading at [`Tls`].

mod context;
mod der;
mod dn;
mod explain;
mod names;
mod sasl;
mod store;
mod stream;
mod suites;
#[cfg(test)]
mod tests;
mod verify;

/// Compares without telling by its time where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
}

pub use context::{ClientAuth, Tls, TlsError, TlsOptions, subject};
pub use explain::explain;
pub use sasl::{
    Exchange, QuorumSasl, QuorumSaslOptions, SaslError, SaslLogin, SaslOptions, SaslUser, Step,
};
pub use store::{Secret, StoreError, StoreFormat, StoreOptions};
pub use stream::{Cutter, ReadHalf, Stream, WriteHalf, begins_tls};
