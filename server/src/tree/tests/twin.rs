//! Random histories against a naive twin.
