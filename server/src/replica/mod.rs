//! The role of this server: routes events to the cores. Pure.
