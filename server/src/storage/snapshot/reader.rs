//! Loads and verifies snapshots.
