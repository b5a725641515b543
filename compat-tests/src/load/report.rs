//! Numbers: what a run says of the server, and where it comes from.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::Serialize;

use super::work::Seen;

/// `USER_HZ`: the unit of the times in `/proc/<pid>/stat`, 100 per second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// One measured run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was run.
    pub work: String,
    /// Connections.
    pub connections: usize,
    /// Requests outstanding per connection.
    pub depth: usize,
    /// Length of the run.
    pub seconds: f64,
    /// Operations answered, or events received.
    pub operations: u64,
    /// Operations with an error code.
    pub failed: u64,
    /// Operations per second.
    pub throughput: f64,
    /// Latency of reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Latency>,
    /// Latency of writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Latency>,
    /// What the server's process used, if it is on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Usage>,
}

/// Latency in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Operations.
    pub count: u64,
    /// Average.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90 %.
    pub p90_us: f64,
    /// 99 %.
    pub p99_us: f64,
    /// 99.9 %.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// What a process used during a run.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// The process.
    pub pid: u32,
    /// CPU time of all its threads per operation, user and system, in microseconds.
    pub cpu_us_per_operation: f64,
    /// The user part.
    pub user_us_per_operation: f64,
    /// CPU time per wall time; 1 is one core.
    pub cores: f64,
    /// Resident memory at the end, bytes.
    pub rss_bytes: u64,
}

/// CPU time a process has used so far, all threads, exited ones included.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// In user code, seconds, in steps of 10 ms.
    pub user_s: f64,
    /// In user code and kernel, seconds, exact.
    pub total_s: f64,
}

impl Latency {
    /// `None` if nothing was recorded.
    pub fn of(seen: &Seen) -> Option<Self> {
        Self::of_histogram(&seen.latency)
    }

    /// `None` if nothing was recorded.
    pub fn of_histogram(nanos: &Histogram<u64>) -> Option<Self> {
        let at = |percent| nanos.value_at_percentile(percent) as f64 / 1e3;
        (!nanos.is_empty()).then(|| Self {
            count: nanos.len(),
            mean_us: nanos.mean() / 1e3,
            p50_us: at(50.0),
            p90_us: at(90.0),
            p99_us: at(99.0),
            p999_us: at(99.9),
            max_us: nanos.max() as f64 / 1e3,
        })
    }
}

impl Cpu {
    /// Asks the kernel for the process's own clock, and `/proc` for how it splits up.
    pub fn of(pid: u32) -> Result<Self> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))?;
        let total_s = Duration::from(clock_gettime(clock)?).as_secs_f64();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read the process")?;
        // The second field is the command in parentheses and may contain anything.
        let after = stat.rsplit_once(')').context("parse /proc stat")?.1;
        let user = after.split_ascii_whitespace().nth(11).context("parse /proc stat")?;
        Ok(Self { user_s: user.parse::<f64>()? / TICKS_PER_SECOND, total_s })
    }
}

/// Resident memory of a process in bytes.
pub fn rss(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read the process")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("find VmRSS")?;
    let kib: u64 = line.split_ascii_whitespace().nth(1).context("parse VmRSS")?.parse()?;
    Ok(kib * 1024)
}

/// The process that listens on `addr`'s port, if it is on this machine and ours to see.
pub fn listener(addr: SocketAddr) -> Option<u32> {
    let port = format!(":{:04X}", addr.port());
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            // State 0A is LISTEN.
            if let [_, local, _, "0A", _, _, _, _, _, inode, ..] = fields[..]
                && local.ends_with(&port)
            {
                inodes.push(format!("socket:[{inode}]"));
            }
        }
    }
    let owns = |pid: &u32| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|to| inodes.iter().any(|inode| to.as_os_str() == inode.as_str()))
        })
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(owns)
}
