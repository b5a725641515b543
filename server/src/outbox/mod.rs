//! Per-connection queue of replies, events and parked requests.
