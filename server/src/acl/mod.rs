//! Identities, schemes and the permission check. Pure.
