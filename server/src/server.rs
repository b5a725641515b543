//! Composition root: opens, restores, starts and stops everything in order.
