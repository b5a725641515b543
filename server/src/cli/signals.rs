//! Signals of a server: SIGTERM, SIGINT and SIGHUP end it with Java's exit codes, SIGQUIT asks for
//! a report, SIGUSR1 and SIGUSR2 are ignored.
//!
//! They are blocked before any thread starts and taken by one thread that waits for them, so that
//! no code runs in a signal handler.

use std::fs;

use nix::sys::signal::{SigSet, Signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// End with this exit code.
    Stop(i32),
    /// Print what can be told and go on.
    Report,
    /// Nothing.
    Nothing,
}

/// The signals taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signals(SigSet);

impl Signals {
    /// Blocks the signals in this thread and in those it will start. Call before starting any.
    pub(super) fn block() -> nix::Result<Self> {
        let mut set = SigSet::empty();
        for signal in
            [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2]
        {
            set.add(signal);
        }
        // Under nohup it stays ignored.
        if !ignored(Signal::SIGHUP) {
            set.add(Signal::SIGHUP);
        }
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Waits for the next one.
    pub(super) fn wait(&self) -> nix::Result<Asked> {
        Ok(match self.0.wait()? {
            signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP) => {
                Asked::Stop(128 + signal as i32)
            }
            Signal::SIGQUIT => Asked::Report,
            _ => Asked::Nothing,
        })
    }
}

/// Whether a signal is ignored in this process, as inherited from whoever started it.
fn ignored(signal: Signal) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal as i32 - 1)) != 0
}
