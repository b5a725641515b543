//! Identities of a connection.

use std::sync::Arc;

use jute::data::Id;

/// One identity of a connection: a scheme and an id in the scheme's own form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Name of the scheme, such as `ip` or `digest`. `super` bypasses every check.
    pub scheme: String,
    /// The id.
    pub id: String,
}

/// All identities of a connection, as they were when a request was received: an auth packet
/// affects later requests only. The order is that of their arrival.
pub type Identities = Arc<[Identity]>;

impl Identity {
    /// An identity from its two parts.
    pub fn new(scheme: &str, id: &str) -> Self {
        Self { scheme: scheme.to_owned(), id: id.to_owned() }
    }

    /// True if this identity bypasses permission checks.
    pub fn is_super(&self) -> bool {
        self.scheme == "super"
    }

    /// The identity in a record; `None` if a part is null, which no server sends.
    pub fn from_record(id: &Id) -> Option<Self> {
        Some(Self { scheme: id.scheme.clone()?, id: id.id.clone()? })
    }

    /// The identity as a record, for forwarding to the leader.
    pub fn to_record(&self) -> Id {
        Id { scheme: Some(self.scheme.clone()), id: Some(self.id.clone()) }
    }
}

/// The identities of a connection after a successful authentication: `new` ones are added, known
/// ones stay where they are (`ServerCnxn.addAuthInfo` keeps a set).
pub fn add_identities(known: &Identities, new: Vec<Identity>) -> Identities {
    let mut all = known.to_vec();
    for identity in new {
        if !all.contains(&identity) {
            all.push(identity);
        }
    }
    all.into()
}
