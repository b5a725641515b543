//! What the owner field of a znode means, and who owns what (`EphemeralType`).

use std::collections::{BTreeMap, BTreeSet};

use super::node::NodeId;
use super::{Owner, TreeOptions};
use crate::base::{ErrorCode, SessionId};

/// The owner field of a container.
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// Top byte of owners with an extended meaning.
const EXTENDED_MASK: i64 = 0xff << 56;
/// Which extended meaning; 0 is TTL.
const FEATURE_MASK: i64 = 0xffff << 40;
/// The largest TTL in ms, about 34 years.
const VALUE_MASK: i64 = (1 << 40) - 1;

/// The stored owner of a TTL znode, or `BadArguments` unless `0 < ttl_ms < 2^40`.
pub fn ttl_owner(ttl_ms: i64) -> Result<i64, ErrorCode> {
    if ttl_ms <= 0 || ttl_ms > VALUE_MASK {
        return Err(ErrorCode::BadArguments);
    }
    Ok(EXTENDED_MASK | ttl_ms)
}

impl Owner {
    /// Reads an owner field (`EphemeralType.get`). With extended types off, the owner of a TTL
    /// znode reads as a session, as in Java.
    pub fn of(owner: i64, options: &TreeOptions) -> Self {
        Self::decode(owner, options).unwrap_or(Owner::Session(SessionId(owner)))
    }

    /// The same; `None` for an extended meaning nobody knows.
    pub(super) fn decode(owner: i64, options: &TreeOptions) -> Option<Self> {
        if options.extended_types {
            // ZOOKEEPER-2901: 3.5.3 set only the top bit. The value is cut to 40 bits there too.
            let old_ttl = options.emulate_353_ttl && owner < 0 && owner != CONTAINER_OWNER;
            if old_ttl {
                return Some(Owner::Ttl((owner & VALUE_MASK) as u64));
            }
            if owner & EXTENDED_MASK == EXTENDED_MASK {
                let known = owner & FEATURE_MASK == 0;
                return known.then_some(Owner::Ttl((owner & VALUE_MASK) as u64));
            }
        }
        Some(match owner {
            0 => Owner::None,
            CONTAINER_OWNER => Owner::Container,
            session => Owner::Session(SessionId(session)),
        })
    }
}

/// Znodes by kind of owner. Ordered sets: what is listed here may go into transactions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owners {
    sessions: BTreeMap<i64, BTreeSet<NodeId>>,
    containers: BTreeSet<NodeId>,
    ttls: BTreeSet<NodeId>,
    ephemerals: usize,
}

impl Owners {
    pub(super) fn insert(&mut self, id: NodeId, owner: Owner) {
        match owner {
            Owner::None => {}
            Owner::Container => _ = self.containers.insert(id),
            Owner::Ttl(_) => _ = self.ttls.insert(id),
            Owner::Session(session) => {
                self.ephemerals += 1;
                self.sessions.entry(session.0).or_default().insert(id);
            }
        }
    }

    pub(super) fn remove(&mut self, id: NodeId, owner: Owner) {
        match owner {
            Owner::None => {}
            Owner::Container => _ = self.containers.remove(&id),
            Owner::Ttl(_) => _ = self.ttls.remove(&id),
            Owner::Session(session) => {
                let Some(owned) = self.sessions.get_mut(&session.0) else { return };
                if owned.remove(&id) {
                    self.ephemerals -= 1;
                }
                if owned.is_empty() {
                    self.sessions.remove(&session.0);
                }
            }
        }
    }

    pub(super) fn of_session(&self, session: SessionId) -> impl Iterator<Item = NodeId> + '_ {
        self.sessions.get(&session.0).into_iter().flatten().copied()
    }

    pub(super) fn sessions(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.sessions.keys().map(|id| SessionId(*id))
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.containers.iter().copied()
    }

    pub(super) fn ttls(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.ttls.iter().copied()
    }

    pub(super) fn ephemeral_count(&self) -> usize {
        self.ephemerals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL_100: i64 = 0xff00_0000_0000_0064u64 as i64;

    #[test]
    fn owners_by_flags() {
        let session = |id| Some(Owner::Session(SessionId(id)));
        let feature_1 = 0xff00_0100_0000_0064u64 as i64;
        let old_ttl = 0x8000_0000_0000_0064u64 as i64;
        let plain = (false, false);
        let extended = (true, false);
        let emulate = (true, true);
        let cases = [
            (0, plain, Some(Owner::None)),
            (5, plain, session(5)),
            (-5, plain, session(-5)),
            (CONTAINER_OWNER, plain, Some(Owner::Container)),
            (TTL_100, plain, session(TTL_100)),
            (TTL_100, (false, true), session(TTL_100)),
            (0, extended, Some(Owner::None)),
            (5, extended, session(5)),
            (CONTAINER_OWNER, extended, Some(Owner::Container)),
            (TTL_100, extended, Some(Owner::Ttl(100))),
            (feature_1, extended, None),
            (old_ttl, extended, session(old_ttl)),
            (old_ttl, emulate, Some(Owner::Ttl(100))),
            (TTL_100, emulate, Some(Owner::Ttl(100))),
            (CONTAINER_OWNER, emulate, Some(Owner::Container)),
            (5, emulate, session(5)),
        ];
        for (owner, (extended_types, emulate_353_ttl), expected) in cases {
            let options = TreeOptions { extended_types, emulate_353_ttl, ..Default::default() };
            assert_eq!(Owner::decode(owner, &options), expected, "{owner:x} {options:?}");
        }
    }

    #[test]
    fn ttls_have_forty_bits() {
        assert_eq!(ttl_owner(100), Ok(TTL_100));
        assert_eq!(ttl_owner(VALUE_MASK), Ok(EXTENDED_MASK | VALUE_MASK));
        assert_eq!(ttl_owner(630_720_000_000), Ok(0xff00_0092_d9d7_7000u64 as i64));
        for bad in [0, -1, VALUE_MASK + 1, i64::MAX, i64::MIN] {
            assert_eq!(ttl_owner(bad), Err(ErrorCode::BadArguments));
        }
    }
}
