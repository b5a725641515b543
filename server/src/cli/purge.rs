//! Deletes old snapshots and logs (`PurgeTxnLog`); safe beside a running server.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit;
use crate::storage::purge::{RETAIN_MIN, plan, purge};
use crate::storage::{DataDirs, RealDisk};

const USAGE: &str = "Usage:\nPurgeTxnLog dataLogDir [snapDir] -n count\n\
    \tdataLogDir -- path to the txn log directory\n\
    \tsnapDir -- path to the snapshot directory\n\
    \tcount -- the number of old snaps/logs you want to keep, value should be greater than or \
    equal to 3";

/// Largest string or buffer believed when snapshots are checked, bytes.
const FIELD_MAX: usize = 1 << 30;

pub(super) fn run(arguments: &[String]) -> i32 {
    let (log_dir, snapshot_dir, count) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(text) => {
            if !text.is_empty() {
                eprintln!("{text}");
            }
            println!("{USAGE}");
            return exit::UNEXPECTED;
        }
    };
    let dirs = DataDirs::unlocked(Arc::new(RealDisk), &snapshot_dir, Some(&log_dir));
    let dirs = Arc::new(dirs);
    // Their times are gone once they are.
    let done = plan(&dirs, FIELD_MAX, count, &[]).and_then(|plan| {
        let times: HashMap<PathBuf, String> =
            plan.files().map(|file| (file.clone(), modified(file))).collect();
        Ok((times, purge(&dirs, FIELD_MAX, count, &[])?))
    });
    let (times, purged) = match done {
        Ok(done) => done,
        Err(error) => {
            eprintln!("{error}");
            return exit::UNEXPECTED;
        }
    };
    for file in purged.deleted {
        let time = times.get(&file).map_or("", String::as_str);
        println!("Removing file: {time}\t{}", file.display());
    }
    for error in purged.failed {
        eprintln!("Failed to remove: {error}");
    }
    exit::FINISHED
}

fn parse(arguments: &[String]) -> Result<(PathBuf, PathBuf, usize), String> {
    let (log_dir, rest) = match arguments.len() {
        3 | 4 => (&arguments[0], &arguments[1..]),
        _ => return Err(String::new()),
    };
    let existing = |path: &String| {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        let missing = format!("Path '{}' does not exist. ", absolute.display());
        if absolute.exists() { Ok(absolute) } else { Err(missing) }
    };
    let log_dir = existing(log_dir)?;
    let (snapshot_dir, option, count) = match rest {
        [option, count] => (log_dir.clone(), option, count),
        [snapshot_dir, option, count] => (existing(snapshot_dir)?, option, count),
        _ => return Err(String::new()),
    };
    let count: i32 =
        count.parse().map_err(|_| format!("'{count}' can not be parsed to integer."))?;
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count >= RETAIN_MIN)
        .ok_or("count should be greater than or equal to 3")?;
    if option != "-n" {
        return Err(String::new());
    }
    Ok((log_dir, snapshot_dir, count))
}

/// `DateFormat.getDateTimeInstance` in an English locale: `Nov 21, 2026, 1:41:11 PM`.
fn modified(file: &Path) -> String {
    let time = fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
    let time = time.and_then(|time| jiff::Timestamp::try_from(time).ok()).unwrap_or_default();
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    local.strftime("%b %-d, %Y, %-I:%M:%S %p").to_string()
}
