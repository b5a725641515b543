//! Election, discovery, synchronisation, broadcast. Pure.
