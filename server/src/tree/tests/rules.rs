//! One table per transaction type: what fits, what does not, and what clients see of it.
