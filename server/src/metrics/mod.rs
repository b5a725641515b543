//! Every metric of the server by name (`ServerMetrics`), and how it is shown.
//!
//! Owns: the instruments (counter, summary and their per-key sets), the fixed list of names, the
//! text of `mntr` lines and of the Prometheus endpoint. Pure: atomics only; times are handed in.
//! Must not know: who counts what, or who serves the text. Gauges are values of the moment: the
//! caller hands them in as a [`Gauges`] list when it renders.
//!
//! Start at [`Metrics`]: one public field per metric, named exactly as in `mntr` and Prometheus.
//! Count with `metrics.commit_count.add(1)`, measure with `metrics.fsynctime.add(ms)`.
//!
//! Recording costs two to four relaxed atomic operations; in a burst, add once per burst where
//! the meaning allows it. Who collects for longer is a [`Teller`], asked to enter what it has
//! before anything is shown.
//!
//! Left out, because only a JVM has them (`metricsProvider.exportJvmInfo`): `jvm_info`,
//! `jvm_memory_*`, `jvm_memory_pool_*`, `jvm_buffer_pool_*`, `jvm_classes_*`,
//! `jvm_gc_collection_seconds`, `jvm_threads_*`. The `process_*` families are served instead.

mod format;
mod instruments;
mod names;
mod namespaces;
mod tellers;
mod window;

pub use format::{Gauge, GaugeSet, Gauges, Sample, java_double, round4};
pub use instruments::{
    Counter, CounterSet, Detail, HISTOGRAM_BOUNDS_US, Histogram, Run, Spread, Summary, SummarySet,
};
pub use names::Metrics;
pub use namespaces::{Namespaces, top_namespace};
pub use tellers::Teller;
