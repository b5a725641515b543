//! Sessions: ids, passwords, owners, expiry buckets. Pure.
