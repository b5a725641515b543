//! Applies committed transactions: tree writes, watch events, replies, parked reads.
