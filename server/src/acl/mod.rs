//! Who may do what: identities, authentication schemes, permission checks, list fix-up.
//!
//! Owns the registry of schemes ([`Schemes`]) and every rule about access control lists. Must not
//! know connections, the tree or the wire: lists come in as slices, identities as values.
//!
//! ```text
//! auth packet ─► Schemes::authenticate ─► identities of the connection
//! create, setACL ─► Schemes::fix_up ─► the list that goes into the transaction
//! every operation ─► Schemes::check(list of the znode, permission, identities)
//! ```
//!
//! Start at [`Schemes`]. Follows `ProviderRegistry`, `ZooKeeperServer.checkACL`,
//! `PrepRequestProcessor.fixupACL`, `AuthUtil` and the providers of
//! `org.apache.zookeeper.server.auth`.

mod digest;
mod identity;
mod ip;
mod provider;
mod schemes;

pub use digest::{DigestAlgorithm, DigestProvider};
pub use identity::{Identities, Identity, add_identities};
pub use ip::{IpProvider, host_address};
pub use provider::{AuthOutcome, EnsembleProvider, Provider, Remote, SaslProvider, X509Provider};
pub use schemes::{Options, Schemes, mask};
