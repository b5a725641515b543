//! Subcommands of the binary besides the server.
