//! Every parser that faces outside, fed with anything.
//!
//! A target is a function of bytes that must return: no panic, no hang, no memory beyond what the
//! bytes justify. Where there is a second way to see that the result is right (encoding again,
//! replaying the log), the target checks that too. [`TARGETS`] lists them all with their seeds.
#![forbid(unsafe_code)]

mod config;
mod disk;
mod mutate;
mod records;
mod requests;
mod socket;

pub use config::{membership, zoo_cfg};
pub use disk::{snapshot, txn_log};
pub use mutate::Mutator;
pub use records::{client_records, election, quorum_packets, txn};
pub use requests::{reads, writes};
pub use socket::connection;

/// A target: its name, the function, its seeds, and how much slower than a plain parser it is.
pub struct Target {
    /// Also the name of its corpus folder.
    pub name: &'static str,
    /// Must return.
    pub run: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The smoke run does this many times fewer mutations.
    pub cost: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "client_records", run: client_records, seeds: records::client_seeds, cost: 1 },
    Target { name: "reads", run: reads, seeds: requests::read_seeds, cost: 2 },
    Target { name: "writes", run: writes, seeds: requests::write_seeds, cost: 4 },
    Target { name: "txn", run: txn, seeds: records::txn_seeds, cost: 1 },
    Target { name: "quorum_packets", run: quorum_packets, seeds: records::quorum_seeds, cost: 1 },
    Target { name: "election", run: election, seeds: records::election_seeds, cost: 1 },
    Target { name: "txn_log", run: txn_log, seeds: disk::log_seeds, cost: 20 },
    Target { name: "snapshot", run: snapshot, seeds: disk::snapshot_seeds, cost: 20 },
    Target { name: "zoo_cfg", run: zoo_cfg, seeds: config::zoo_cfg_seeds, cost: 10 },
    Target { name: "membership", run: membership, seeds: config::membership_seeds, cost: 1 },
    Target { name: "connection", run: connection, seeds: socket::seeds, cost: 50 },
];

/// Bytes captured from a Java server: `>` client and `<` server, as hex.
pub(crate) const SESSION: &str = include_str!("../../jute/tests/golden/client-session.txt");

/// The client's frames of [`SESSION`], with their lengths.
pub(crate) fn captured(direction: char) -> Vec<Vec<u8>> {
    SESSION.lines().filter_map(|line| line.strip_prefix(direction)).map(unhex).collect()
}

/// Bytes from hex digits; anything else is skipped.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| Some(c.to_digit(16)? as u8)).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
