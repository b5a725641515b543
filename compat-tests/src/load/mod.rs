//! Load generator: measures a server over the raw protocol, whoever wrote it.
//!
//! What it is: a swarm of connections on one thread, driven by readiness, that keeps a fixed number
//! of requests outstanding on each; workloads that say which requests; and the numbers that come
//! out: throughput, latency, CPU per operation and memory of the server process. It owns nothing
//! of the servers: it talks to a port and reads `/proc`. It must not depend on the `rookeeper`
//! library, so that what it measures and what it checks stay apart.
//!
//! The generator shares the machine with the server, so it is written to be cheap: one thread, no
//! allocation per operation, one system call per burst. [`floor`] is the cheapest server one could
//! write; CPU per read is reported as a multiple of what the floor needs for the same work, which
//! takes machine, kernel and generator out of the number.
//!
//! Start reading at [`swarm`] (connections) and [`work`] (what they do), then [`compare`] (one
//! server) and [`cluster`] (three).

pub mod cluster;
pub mod compare;
pub mod floor;
pub mod report;
pub mod scenario;
pub mod swarm;
pub mod target;
pub mod work;
