//! The only place above `storage` that reads a clock for client requests.

use nix::time::{ClockId, clock_gettime};

use crate::base::{Mono, Now, Wall};

/// Monotonic ms. Counts from the machine's boot, not from the process's start: session ids are
/// made of it, and must not repeat after a restart (`Time.currentElapsedTime`).
pub fn mono() -> Mono {
    Mono(millis(ClockId::CLOCK_MONOTONIC) as u64)
}

/// Wall-clock ms since 1970.
pub fn wall() -> Wall {
    Wall(millis(ClockId::CLOCK_REALTIME))
}

/// Monotonic µs, for what is measured finer than ms.
pub fn micros() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000
}

/// Both clocks.
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

fn millis(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("every Linux has both clocks");
    time.tv_sec() * 1000 + time.tv_nsec() / 1_000_000
}
