//! `zoo.cfg`, dynamic configuration and Java property names, parsed once.
