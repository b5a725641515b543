//! Cuts of a changing tree.
