//! Every metric by name; renders for `mntr` and Prometheus. Pure: atomics and summaries only.
