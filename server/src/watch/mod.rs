//! The watch tables: who is told of which change. Pure.
