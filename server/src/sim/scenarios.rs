//! The scripts of `zab/testdata`, and the proof that the simulator and the scripts can fail: bugs
//! are put back and must be noticed.

use std::fs;
use std::path::{Path, PathBuf};

use super::script::play;
use super::{SimOptions, run};
use crate::zab::{Mutation, Mutations};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/zab/testdata")
}

fn script(name: &str) -> String {
    let path = directory().join(name);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// `UPDATE_SCRIPTS=1` writes the output into the files.
#[test]
fn scripts_tell_what_happens() {
    let mut names: Vec<_> =
        fs::read_dir(directory()).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert!(names.len() >= 35);
    for name in names {
        let name = name.to_string_lossy();
        let expected = script(&name);
        let real = play(&expected, Mutations::default());
        assert!(!real.contains("VIOLATION"), "{name}:\n{real}");
        if std::env::var_os("UPDATE_SCRIPTS").is_some() {
            fs::write(directory().join(&*name), &real).unwrap();
        } else {
            assert!(real == expected, "{name} differs; what happened:\n{real}");
        }
    }
}

/// Scripts that a historical bug breaks.
#[test]
fn scripts_notice_the_bug_they_tell_of() {
    let blind: Vec<_> = SCRIPTED
        .iter()
        .filter(|(name, mutation)| {
            let expected = script(name);
            play(&expected, Mutations::only(*mutation)) == expected
        })
        .collect();
    assert!(blind.is_empty(), "not noticed: {blind:?}");
}

/// Seeds that notice a bug that was put back, and why. The same seeds pass without it
/// (`seeds_keep_every_promise`). If the simulator changes, another seed may be the first.
#[test]
fn seeds_notice_bugs_that_were_put_back() {
    for (mutation, seed) in NOTICED {
        let notices = |seed| {
            let mutations = Mutations::only(mutation);
            let options = SimOptions { mutations, ..SimOptions::draw(seed) };
            // An assertion of the core counts as well.
            std::panic::catch_unwind(|| run(options).violation.is_some()).unwrap_or(true)
        };
        assert!(notices(seed) || (1..400).any(notices), "no seed notices {mutation:?}");
    }
}

const NOTICED: [(Mutation, u64); 15] = [
    (Mutation::EpochBeforeHistory, 1),
    (Mutation::AckBeforeHistory, 1),
    (Mutation::AckBeforeFsync, 1),
    (Mutation::AckEpochBeforeSave, 1),
    (Mutation::VoteFromTree, 12),
    (Mutation::DiffWithoutTrunc, 25),
    (Mutation::ForwardLate, 25),
    (Mutation::ObserversCount, 320),
    (Mutation::HoleInWindow, 75),
    (Mutation::OldLogAfterSnap, 87),
    (Mutation::CommitOutOfOrder, 8),
    (Mutation::IgnoreLogFailure, 7),
    (Mutation::RelayUncommitted, 1),
    (Mutation::RelayLate, 641),
    (Mutation::MixedSyncs, 508),
];

const SCRIPTED: [(&str, Mutation); 20] = [
    ("observer_master.txt", Mutation::RelayLate),
    ("observer_master.txt", Mutation::RelayUncommitted),
    ("zookeeper-1154.txt", Mutation::DiffWithoutTrunc),
    ("zookeeper-1551.txt", Mutation::OutstandingToObservers),
    ("zookeeper-1653.txt", Mutation::AckEpochBeforeSave),
    ("zookeeper-1732.txt", Mutation::StalePeerEpoch),
    ("zookeeper-2845.txt", Mutation::VoteFromTree),
    ("zookeeper-2846.txt", Mutation::OldLogAfterSnap),
    ("zookeeper-3023.txt", Mutation::EpochBeforeHistory),
    ("zookeeper-3104.txt", Mutation::NewLeaderFirst),
    ("zookeeper-3642.txt", Mutation::KeepHalfSnapshot),
    ("zookeeper-3911.txt", Mutation::AckBeforeHistory),
    ("zookeeper-4394.txt", Mutation::CommitBeforeUptodateFails),
    ("zookeeper-4643.txt", Mutation::EpochBeforeHistory),
    ("zookeeper-4646.txt", Mutation::AckBeforeHistory),
    ("zookeeper-4685.txt", Mutation::EarlyAckIsFatal),
    ("zookeeper-4785.txt", Mutation::AckBeforeHistory),
    ("zookeeper-4882.txt", Mutation::IgnoreLogFailure),
    ("zookeeper-4925.txt", Mutation::HoleInWindow),
    ("zookeeper-962.txt", Mutation::ForwardLate),
];
