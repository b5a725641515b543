//! Mailboxes and the loops that drive the cores.
