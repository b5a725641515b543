//! ZooKeeper's serialisation format ("jute") and every record of its client, quorum and disk
//! protocols.
//!
//! What lives here: how bytes become records and back, with every limit. What does not: any
//! policy. This crate knows no session, no tree and no connection.
//!
//! * [`codec`]: [`Reader`] over a byte slice, [`Encode`]/[`Decode`], the primitive types.
//! * [`data`]: records shared by all protocols ([`data::Stat`], [`data::Acl`], ...).
//! * [`proto`]: client requests and responses, op codes, the multi stream.
//! * [`txn`]: transaction log records ([`txn::Txn`]).
//! * [`quorum`]: server-to-server records.
//! * [`persistence`]: file headers.
//!
//! Encoding rules: integers are big-endian; a `ustring` and a `buffer` are an `int` length and
//! that many bytes, length -1 meaning null; a `vector` is an `int` count and its items, -1 meaning
//! null; a record is its fields in order, nothing else. Follows Java's `BinaryInputArchive` and
//! `BinaryOutputArchive`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod codec;
pub mod data;
pub mod persistence;
pub mod proto;
pub mod quorum;
pub mod txn;

pub use codec::{Decode, DecodeError, Encode, Reader};
