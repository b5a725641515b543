//! Runs one read request against the tree into a reply buffer. Pure.
