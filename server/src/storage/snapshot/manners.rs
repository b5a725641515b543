//! Long work that lets others pass: whoever walks or loads a million znodes keeps a processor for
//! a second, and on a machine with few of them the threads that answer clients wait a whole time
//! slice (3 ms of Linux) each time they wake up.

use std::io::{self, Read};
use std::thread;
use std::time::{Duration, Instant};

/// Work between two pauses.
const WORK: Duration = Duration::from_micros(400);
/// Work between two pauses while others keep the processor for as long.
const WORK_MAX: Duration = Duration::from_millis(10);
/// Bytes read between two looks at the clock.
const READ_BYTES: usize = 32 << 10;

/// When a thread with long work offers its processor to others.
///
/// Threads that only wake up for a moment give it back at once. One that computes, too, may keep it
/// for a slice: then this one works for as long before it offers it again, so that it has its half.
#[derive(Debug)]
pub struct Manners {
    since: Instant,
    work: Duration,
}

impl Manners {
    /// The work begins.
    pub fn begin() -> Self {
        Self { since: Instant::now(), work: WORK }
    }

    /// To be called often, with nothing held that others may want.
    pub fn pause(&mut self) {
        let now = Instant::now();
        if self.is_due(now) {
            thread::yield_now();
            self.paused(now, Instant::now());
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.work
    }

    fn paused(&mut self, from: Instant, until: Instant) {
        self.since = until;
        self.work = until.saturating_duration_since(from).clamp(WORK, WORK_MAX);
    }
}

/// Input that is read in pieces, with a pause now and then.
pub struct Pausing<'a> {
    input: &'a mut dyn Read,
    manners: Manners,
}

impl<'a> Pausing<'a> {
    /// The same input.
    pub fn new(input: &'a mut dyn Read) -> Self {
        Self { input, manners: Manners::begin() }
    }
}

impl Read for Pausing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.manners.pause();
        let count = buffer.len().min(READ_BYTES);
        self.input.read(&mut buffer[..count])
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whoever_computes_too_has_no_more_than_half() {
        let mut manners = Manners::begin();
        let begun = manners.since;
        assert!(!manners.is_due(begun + WORK / 2));
        assert!(manners.is_due(begun + WORK));
        // Nobody wanted it, or only for a moment.
        let mut now = begun + WORK;
        manners.paused(now, now + WORK / 4);
        now += WORK / 4;
        assert!(!manners.is_due(now + WORK / 2));
        assert!(manners.is_due(now + WORK));
        // Somebody kept it.
        manners.paused(now, now + 8 * WORK);
        now += 8 * WORK;
        assert!(!manners.is_due(now + 7 * WORK));
        assert!(manners.is_due(now + 8 * WORK));
        // The machine stood still.
        manners.paused(now, now + 1000 * WORK_MAX);
        now += 1000 * WORK_MAX;
        assert!(manners.is_due(now + WORK_MAX));
    }

    #[test]
    fn nothing_of_the_input_is_lost() {
        let bytes: Vec<u8> = (0..3 * READ_BYTES + 1).map(|i| i as u8).collect();
        let mut read = Vec::new();
        Pausing::new(&mut &bytes[..]).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }
}
