//! The data directories, read to their end, and the machine they are on.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::{Arguments, Report, Verdict};
use crate::base::Zxid;
use crate::cli::tools::Progress;
use crate::config::Config;
use crate::storage::datadir::{DataDirs, Found};
use crate::storage::snapshot::reader;
use crate::storage::txnlog::reader::LogFile;
use crate::storage::{Disk, Options, RealDisk, restore};
use crate::tree::TreeOptions;

/// Fewer open files than this are soon used up by clients.
const OPEN_FILES_MIN: u64 = 4096;

/// Checks the directories of the configuration, or those that the arguments name instead.
pub(super) fn check(arguments: &Arguments, config: Option<&Config>, report: &mut Report) {
    machine(config, report);
    let data_dir = arguments.data_dir.as_deref().or(config.map(|config| config.data_dir.as_path()));
    let Some(data_dir) = data_dir else { return };
    // A copy of dataDir is not looked at together with the original logs.
    let log_dir = match (&arguments.data_log_dir, &arguments.data_dir, config) {
        (Some(dir), ..) => Some(dir.as_path()),
        (None, None, Some(config)) => Some(config.data_log_dir.as_path()),
        _ => None,
    };
    let log_dir = log_dir.filter(|dir| *dir != data_dir);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let dirs = Arc::new(DataDirs::unlocked(disk, data_dir, log_dir));
    let options = config.map_or_else(Options::default, |config| config.storage_options(0));
    let mut there = true;
    for dir in [dirs.snapshot_dir(), dirs.log_dir()] {
        there &= directory(dir, &dirs, report);
        if dirs.snapshot_dir() == dirs.log_dir() {
            break;
        }
    }
    if !there {
        return;
    }
    epochs(&dirs, config, report);
    let (Ok(snapshots), Ok(logs)) = (dirs.snapshots(), dirs.logs()) else { return };
    mixed_up(&dirs, report);
    space(&dirs, &snapshots, report);
    if !arguments.quick {
        files(&dirs, &options, &snapshots, &logs, report);
        whole(&dirs, &options, config, report);
    }
}

/// Limits and ports.
fn machine(config: Option<&Config>, report: &mut Report) {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let place = "open files";
        match soft {
            soft if soft < OPEN_FILES_MIN => report.add(
                Verdict::Differs,
                place,
                format_args!(
                    "the limit is {soft} (at most {hard}): raise it to {OPEN_FILES_MIN} or more \
                     (LimitNOFILE= of the unit, ulimit -n); each client needs one"
                ),
            ),
            soft => report.add(Verdict::Same, place, format_args!("the limit is {soft}")),
        }
    }
    let Some(address) = config.and_then(|config| config.client_address) else { return };
    match TcpListener::bind(address) {
        Ok(_) => report.add(Verdict::Same, "client port", format_args!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => report.add(
            Verdict::Differs,
            "client port",
            format_args!("{address} is in use: a server still runs; stop it before the switch"),
        ),
        Err(error) => {
            report.add(Verdict::Differs, "client port", format_args!("{address}: {error}"));
        }
    }
}

/// Whether the directory is there and ours to use.
fn directory(dir: &Path, dirs: &DataDirs, report: &mut Report) -> bool {
    let place = dir.display();
    match dirs.disk().is_dir(dir) {
        Ok(true) => {}
        Ok(false) => {
            report.add(Verdict::Differs, place, "does not exist: the server begins empty");
            return false;
        }
        Err(error) => {
            report.add(Verdict::Blocks, place, format_args!("cannot be accessed: {error}"));
            return false;
        }
    }
    // The lock is given back at once; a Java server does not take it.
    match dirs.disk().lock_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            report.add(Verdict::Blocks, place, "is in use by a running server");
        }
        Err(error) => report.add(Verdict::Blocks, place, format_args!("cannot be read: {error}")),
        Ok(_) => {}
    }
    if nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).is_err() {
        let text = "is not writable for this user; the server must be able to write there";
        report.add(Verdict::Differs, dir.display(), text);
    }
    true
}

/// `myid` and the epoch files.
fn epochs(dirs: &DataDirs, config: Option<&Config>, report: &mut Report) {
    if let Err(error) = dirs.my_id() {
        report.add(Verdict::Blocks, "myid", error);
    }
    for (name, epoch) in
        [("currentEpoch", dirs.current_epoch()), ("acceptedEpoch", dirs.accepted_epoch())]
    {
        match epoch {
            Ok(Some(epoch)) => report.add(Verdict::Same, name, format_args!("{}", epoch.0)),
            Ok(None) if config.is_some_and(Config::is_distributed) => {
                report.add(Verdict::Same, name, "not there: it is taken from the last zxid");
            }
            Ok(None) => {}
            Err(error) => report.add(Verdict::Blocks, name, error),
        }
    }
}

/// `FileTxnSnapLog` refuses directories that hold each other's files.
fn mixed_up(dirs: &DataDirs, report: &mut Report) {
    if dirs.snapshot_dir() == dirs.log_dir() {
        return;
    }
    let holds = |dir: &Path, prefix: &str| {
        dirs.disk().list(dir).is_ok_and(|all| all.iter().any(|e| e.name.starts_with(prefix)))
    };
    if holds(dirs.log_dir(), "snapshot.") {
        report.add(Verdict::Blocks, dirs.log_dir().display(), "the log directory has snapshots");
    }
    if holds(dirs.snapshot_dir(), "log.") {
        report.add(Verdict::Blocks, dirs.snapshot_dir().display(), "the data directory has logs");
    }
}

/// Room for the next snapshots and logs.
fn space(dirs: &DataDirs, snapshots: &[Found], report: &mut Report) {
    let largest = snapshots.iter().map(|found| found.len).max().unwrap_or(0);
    // Two snapshots beside each other, and logs of as much.
    let wanted = (largest.saturating_mul(3)).max(256 << 20);
    for dir in [dirs.snapshot_dir(), dirs.log_dir()] {
        if let Ok(stat) = statvfs(dir) {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let text = format!("{} MiB free", free >> 20);
            match free < wanted {
                true => report.add(
                    Verdict::Differs,
                    dir.display(),
                    format_args!("{text}: less than the {} MiB to have ready", wanted >> 20),
                ),
                false => report.add(Verdict::Same, dir.display(), text),
            }
        }
        if dirs.snapshot_dir() == dirs.log_dir() {
            return;
        }
    }
}

/// Each file by itself.
fn files(
    dirs: &DataDirs,
    options: &Options,
    snapshots: &[Found],
    logs: &[Found],
    report: &mut Report,
) {
    let mut progress =
        Progress::of(snapshots.iter().chain(logs).map(|found| found.len).sum(), false);
    let mut good = 0;
    for found in snapshots {
        progress.name(&found.name);
        match reader::verify(dirs.disk(), &found.path, options.field_max) {
            Ok(_) => good += 1,
            // Without it the server takes the one before, if the logs reach back.
            Err(error) => report.add(Verdict::Differs, found.path.display(), error),
        }
        progress.add(found.len);
    }
    report.add(
        Verdict::Same,
        dirs.snapshot_dir().display(),
        format_args!("{good} of {} snapshots verify", snapshots.len()),
    );
    let mut transactions = 0;
    for found in logs {
        progress.name(&found.name);
        match entries(dirs.disk(), &found.path, options.field_max) {
            Ok(count) => transactions += count,
            Err(error) => report.add(Verdict::Differs, found.path.display(), error),
        }
        progress.add(found.len);
    }
    drop(progress);
    report.add(
        Verdict::Same,
        dirs.log_dir().display(),
        format_args!("{} logs with {transactions} transactions", logs.len()),
    );
}

fn entries(
    disk: &dyn Disk,
    path: &Path,
    field_max: usize,
) -> Result<u64, crate::storage::StorageError> {
    let mut log = LogFile::open(disk, path, field_max)?;
    let mut count = 0;
    while log.next_entry()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// What a server would restore.
fn whole(dirs: &Arc<DataDirs>, options: &Options, config: Option<&Config>, report: &mut Report) {
    let place = "restore";
    let tree = config.map_or_else(
        || TreeOptions {
            hash_seed: 0,
            digest_enabled: true,
            extended_types: true,
            emulate_353_ttl: false,
        },
        |config| config.tree_options(0),
    );
    match restore::inspect(dirs, options, tree) {
        Err(error) => report.add(Verdict::Blocks, place, error),
        Ok(restored) => {
            let last = restored.tree.last_zxid();
            let from = restored
                .snapshot
                .map_or("no snapshot".to_owned(), |Zxid(zxid)| format!("snapshot.{zxid:x}"));
            report.add(
                Verdict::Same,
                place,
                format_args!(
                    "{from} and {} transactions give {} znodes at zxid 0x{:x}",
                    restored.replayed,
                    restored.tree.node_count(),
                    last.0
                ),
            );
            if restored.torn_bytes > 0 {
                let text = format!(
                    "{} bytes of a last batch that was never acknowledged will be cut off",
                    restored.torn_bytes
                );
                report.add(Verdict::Differs, place, text);
            }
            if restored.digest_mismatches > 0 {
                let text = format!("{} digests do not match", restored.digest_mismatches);
                report.add(Verdict::Differs, place, text);
            }
        }
    }
}
