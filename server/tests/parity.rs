//! `docs/parity.tsv` keeps its word: each feature of the Java server once, and each one we claim
//! names a test that is there.
//!
//! Columns: id, status (`yes`, `no`, `differs`), test. The last is one or more of
//! `path/to/file.rs::test_name` (any language) or `path/to/script.sh`, separated by spaces. What
//! differs is explained in `docs/compat.md`, in a line that names the id in backticks.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_claim_names_a_test_that_exists() {
    let text = fs::read_to_string(root().join("docs/parity.tsv")).expect("read the list");
    let compat = fs::read_to_string(root().join("docs/compat.md")).unwrap_or_default();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("id\tstatus\ttest"));
    let mut wrong = Vec::new();
    let mut ids = BTreeSet::new();
    let (mut yes, mut differs) = (0, 0);
    for line in lines {
        let columns: Vec<&str> = line.split('\t').collect();
        let [id, status, tests] = columns[..] else {
            wrong.push(format!("not three columns: {line}"));
            continue;
        };
        if !ids.insert(id) {
            wrong.push(format!("{id}: twice"));
        }
        match status {
            "no" => continue,
            "yes" => yes += 1,
            "differs" if compat.contains(&format!("`{id}`")) => differs += 1,
            "differs" => wrong.push(format!("{id}: docs/compat.md does not say how it differs")),
            other => wrong.push(format!("{id}: status `{other}`")),
        }
        // What is not there at all cannot be tested; docs/compat.md says so.
        if status == "yes" && tests.trim().is_empty() {
            wrong.push(format!("{id}: names no test"));
        }
        for test in tests.split_ascii_whitespace() {
            if let Err(why) = exists(test) {
                wrong.push(format!("{id}: {test}: {why}"));
            }
        }
    }
    assert!(ids.len() >= 800, "features went missing: {} are left", ids.len());
    println!("{yes} yes, {differs} differ, {} no", ids.len() - yes - differs);
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_checker_finds_what_is_missing() {
    let me = "server/tests/parity.rs";
    assert_eq!(exists(me), Ok(()));
    assert_eq!(exists(&format!("{me}::the_checker_finds_what_is_missing")), Ok(()));
    assert!(exists(&format!("{me}::no_such_test")).is_err());
    assert!(exists(&format!("{me}::root")).is_err(), "a function, but no test");
    assert!(exists("server/tests/no_such_file.rs").is_err());
}

/// `path` or `path::test`.
fn exists(test: &str) -> Result<(), String> {
    let (path, function) = match test.split_once("::") {
        // Modules in between (`tests::`) are for the reader.
        Some((path, rest)) => (path, rest.rsplit("::").next()),
        None => (test, None),
    };
    let file = root().join(path);
    let Ok(text) = fs::read_to_string(&file) else { return Err("no such file".into()) };
    let Some(function) = function else { return Ok(()) };
    let is_rust = path.ends_with(".rs");
    let mut found = false;
    let mut lines_before: Vec<&str> = Vec::new();
    for line in text.lines() {
        let declares = ["fn ", "def ", "func ", "void ", "int "].iter().any(|keyword| {
            line.split_once(keyword).is_some_and(|(_, rest)| {
                rest.strip_prefix(function).is_some_and(|rest| rest.trim_start().starts_with('('))
            })
        });
        if declares {
            let attributes = lines_before.iter().rev().take(4);
            let marked =
                attributes.clone().any(|line| line.contains("test]") || line.contains("#[test"));
            // In property tests the attribute stands above several lines of documentation.
            let plain = text.contains(concat!("prop", "test!"));
            if marked || plain || !is_rust {
                return Ok(());
            }
            // The test may share its name with what it tests.
            found = true;
        }
        lines_before.push(line);
    }
    Err(if found { "is not a test" } else { "no such test in the file" }.into())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the server is a member").to_owned()
}
