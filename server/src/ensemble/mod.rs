//! Election mesh and learner links.
