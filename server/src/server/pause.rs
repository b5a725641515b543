//! The pause monitor (`JvmPauseMonitor`): a thread that sleeps, and looks how much longer that took.
//! There is no garbage collector here; what it sees is a stopped, swapped or starved process.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tracing::{info, warn};

use crate::metrics::Metrics;

/// Settings (`jvm.pause.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long it sleeps (`jvm.pause.sleep.time.ms`).
    pub sleep: Duration,
    /// Longer pauses are an INFO line (`jvm.pause.info-threshold.ms`).
    pub info: Duration,
    /// Longer pauses are a WARN line (`jvm.pause.warn-threshold.ms`).
    pub warn: Duration,
}

/// What was seen so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    info: u64,
    warn: u64,
    total_ms: u64,
}

impl Seen {
    /// Judges one sleep that took `extra` longer than asked for.
    fn judge(&mut self, extra: Duration, options: &Options, metrics: &Metrics) {
        let ms = extra.as_millis() as u64;
        metrics.jvm_pause_time_ms.add(ms as i64);
        self.total_ms += ms;
        let loud = extra > options.warn;
        match (loud, extra > options.info) {
            (true, _) => self.warn += 1,
            (false, true) => self.info += 1,
            _ => return,
        }
        let text = format!(
            "Detected pause in JVM or host machine (eg GC): pause of approximately {ms}ms, total \
             pauses: info level: {}, warn level: {}, {}ms in all",
            self.info, self.warn, self.total_ms
        );
        match loud {
            true => warn!("{text}"),
            false => info!("{text}"),
        }
    }
}

/// A running monitor; ends when dropped.
#[derive(Debug)]
pub(super) struct Monitor {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    pub(super) fn start(options: Options, metrics: Arc<Metrics>) -> io::Result<Self> {
        let (stop, stopped) = bounded::<()>(0);
        info!(
            "Starting JVM Pause Monitor with infoThresholdMs:{} warnThresholdMs:{} and \
             sleepTimeMs:{}",
            options.info.as_millis(),
            options.warn.as_millis(),
            options.sleep.as_millis()
        );
        let thread = Builder::new().name("pause-monitor".to_owned()).spawn(move || {
            let mut seen = Seen::default();
            loop {
                let begun = Instant::now();
                if stopped.recv_timeout(options.sleep) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                seen.judge(begun.elapsed().saturating_sub(options.sleep), &options, &metrics);
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_judged_by_their_length() {
        let ms = Duration::from_millis;
        let options = Options { sleep: ms(500), info: ms(1000), warn: ms(10_000) };
        let (mut seen, metrics) = (Seen::default(), Metrics::new(false));
        for extra in [0, 1000, 1001, 10_000, 10_001] {
            seen.judge(ms(extra), &options, &metrics);
        }
        assert_eq!(seen, Seen { info: 2, warn: 1, total_ms: 22_002 });
        assert_eq!(metrics.jvm_pause_time_ms.count(), 5);
        assert_eq!(metrics.jvm_pause_time_ms.max(), 10_001);
    }
}
