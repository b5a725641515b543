//! The `process_*` families of Prometheus, from `/proc`.

use std::fmt::Write as _;
use std::fs;

use crate::metrics::java_double;

/// What can be read is shown, the rest left out.
pub(super) fn families() -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let value = java_double(value);
            _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the command, which may hold blanks: the state is field 3.
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied();
    let ticks = clock_ticks();
    let cpu = field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks);
    family("process_cpu_seconds_total", "counter", "User and system CPU time, seconds.", cpu);
    let start = boot_time().zip(field(22)).map(|(boot, start)| boot + start / ticks);
    family("process_start_time_seconds", "gauge", "Start time since 1970, seconds.", start);
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    family("process_open_fds", "gauge", "Open file descriptors.", open);
    let limit = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    family(
        "process_max_fds",
        "gauge",
        "Most open file descriptors.",
        limit.ok().map(|l| l.0 as f64),
    );
    family("process_virtual_memory_bytes", "gauge", "Virtual memory, bytes.", field(23));
    family(
        "process_resident_memory_bytes",
        "gauge",
        "Resident memory, bytes.",
        status_kib("VmRSS"),
    );
    out
}

/// `USER_HZ`: 100 on every Linux that matters, whatever the kernel's own clock is.
fn clock_ticks() -> f64 {
    100.0
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn status_kib(key: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024.0)
}
