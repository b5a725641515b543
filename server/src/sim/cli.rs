//! `rookeeper sim`: runs seeds, replays one, counts.

use std::time::Instant;

use super::run_seed;
use crate::zab::Mutations;

const USAGE: &str = "Usage: rookeeper sim --seed N [--count M]";

/// Runs `count` seeds from `seed` on; returns the exit code. A failure prints its seed, options and
/// trace.
pub fn main(words: &[String]) -> i32 {
    let (mut seed, mut count) = (None, 1);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().and_then(|text| text.parse::<u64>().ok());
        match (word.as_str(), value) {
            ("--seed", Some(value)) => seed = Some(value),
            ("--count", Some(value)) => count = value,
            _ => {
                eprintln!("{USAGE}");
                return 2;
            }
        }
    }
    let Some(seed) = seed else {
        eprintln!("{USAGE}");
        return 2;
    };
    let begun = Instant::now();
    let (mut simulated_ms, mut steps, mut acknowledged) = (0, 0, 0);
    for seed in seed..seed.saturating_add(count) {
        match run_seed(seed, Mutations::default()) {
            Ok(report) => {
                simulated_ms += report.simulated_ms;
                steps += report.steps;
                acknowledged += report.acknowledged;
                if count == 1 {
                    println!("{report}");
                }
            }
            Err(report) => {
                println!("{report}");
                return 1;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{count} seeds, {} cluster-minutes in {seconds:.1} s ({:.0} per minute), {steps} steps, \
         {acknowledged} writes acknowledged, no violation",
        simulated_ms / 60_000,
        simulated_ms as f64 / 1000.0 / seconds.max(0.001)
    );
    0
}
