//! The smoke run: every target, its seeds and corpus, and mutations of them.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rookeeper_fuzz::{Mutator, TARGETS, Target};

/// Mutations per target, divided by its cost.
const ROUNDS: usize = 10_000;

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    let mut seeds = (target.seeds)();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    for entry in fs::read_dir(corpus).into_iter().flatten().flatten() {
        seeds.push(fs::read(entry.path()).expect("read the corpus"));
    }
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in &seeds {
        run(target, seed);
    }
    let seed = number("FUZZ_SEED", 1);
    let mut mutator = Mutator::new(seed as u64);
    for _ in 0..number("FUZZ_ROUNDS", ROUNDS) / target.cost {
        run(target, &mutator.next(&seeds));
    }
}

fn run(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        panic!("{} fails on the input {hex}", target.name);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        #[test]
        fn no_target_is_left_out() {
            let here = [$(stringify!($name)),*];
            assert!(TARGETS.iter().all(|target| here.contains(&target.name)));
            for name in here {
                let entry = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
                assert!(entry.join(format!("{name}.rs")).is_file(), "{name} has no entry");
            }
        }
    };
}

targets! {
    client_records reads writes txn quorum_packets election connection txn_log snapshot zoo_cfg
    membership
}
