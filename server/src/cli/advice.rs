//! What the machine offers, looked at once at the start: open files, disk, clock. Nothing here stops
//! a server; it raises what it may raise and tells the operator the rest while it is cheap to mend.
//!
//! Owns: the thresholds and the texts. Must not know: how a server uses any of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::statvfs;

/// Below this many open files a busy server runs out of connections.
const FILES_WANTED: u64 = 4096;
/// Below this many free bytes the next snapshot or log file may not fit.
const FREE_WANTED: u64 = 1 << 30;
/// No release of this server is older: a clock before it was never set (2025-01-01, in s).
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// How far files may be ahead of the clock before somebody should look, as machines' clocks differ.
const AHEAD_MAX: Duration = Duration::from_secs(60);

/// Looks at the machine and returns lines for the log, each with what to do.
pub(super) fn collect(directories: &[&Path]) -> Vec<String> {
    let mut advice = Vec::new();
    advice.extend(raise_open_files());
    let mut seen: Vec<PathBuf> = Vec::new();
    for directory in directories {
        let Some(place) = directory.ancestors().find(|place| place.is_dir()) else { continue };
        if !seen.iter().any(|known| known == place) {
            seen.push(place.to_owned());
            advice.extend(disk(directory, place));
        }
    }
    advice.extend(clock(SystemTime::now(), newest(directories)));
    advice
}

/// Raises the soft limit to the hard one, as a JVM does.
fn raise_open_files() -> Option<String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let now = match soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        true => hard,
        false => soft,
    };
    open_files(now)
}

fn open_files(limit: u64) -> Option<String> {
    (limit < FILES_WANTED).then(|| {
        format!(
            "The limit of open files is {limit}, and each client connection takes one. Raise it to {FILES_WANTED} \
             or more: LimitNOFILE= in a systemd unit, --ulimit nofile= for Docker, ulimit -n in a shell"
        )
    })
}

fn disk(directory: &Path, place: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    if let Ok(space) = statvfs(place) {
        let unit = space.fragment_size();
        lines.extend(room(
            directory,
            space.blocks_available() * unit,
            space.files_available(),
            space.files(),
        ));
    }
    if statfs(place).is_ok_and(|kind| kind.filesystem_type() == TMPFS_MAGIC) {
        lines.push(format!(
            "{} is in memory (tmpfs): all data is lost at the next reboot. Choose another dataDir for data that \
             matters",
            directory.display()
        ));
    }
    lines
}

/// `inodes` of 0 means that the file system does not count them.
fn room(directory: &Path, free: u64, free_inodes: u64, inodes: u64) -> Option<String> {
    let place = directory.display();
    let end = "Make room: autopurge.purgeInterval and autopurge.snapRetainCount delete old files, zkCleanup.sh does \
               it now";
    if free < FREE_WANTED {
        return Some(format!(
            "{place} has {} MB left; the server stops when a write fails. {end}",
            free >> 20
        ));
    }
    (inodes > 0 && free_inodes < 1000)
        .then(|| format!("{place} has room for {free_inodes} files only. {end}"))
}

/// When the newest log or snapshot was written.
fn newest(directories: &[&Path]) -> Option<SystemTime> {
    let files =
        directories.iter().filter_map(|directory| fs::read_dir(directory.join("version-2")).ok());
    files.flatten().flatten().filter_map(|file| file.metadata().ok()?.modified().ok()).max()
}

fn clock(now: SystemTime, newest: Option<SystemTime>) -> Option<String> {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since < EARLIEST {
        return Some(
            "The clock of this machine was never set: times of znodes, TTLs and certificates will be wrong. Run an \
             NTP client"
                .to_owned(),
        );
    }
    let ahead = newest?.duration_since(now).ok()?;
    (ahead > AHEAD_MAX).then(|| {
        format!(
            "The clock of this machine is {} s behind its own newest log or snapshot: it went back. Times of znodes \
             will, too; znodes with a TTL live longer. Run an NTP client",
            ahead.as_secs()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_are_told() {
        let advice = open_files(1024).expect("too few");
        assert!(advice.contains("is 1024") && advice.contains("LimitNOFILE="), "{advice}");
        assert_eq!(open_files(FILES_WANTED), None);
    }

    #[test]
    fn little_room_is_told() {
        let place = Path::new("/d");
        let advice = room(place, 100 << 20, 5000, 10_000).expect("too little");
        assert!(advice.starts_with("/d has 100 MB left"), "{advice}");
        assert!(room(place, FREE_WANTED, 999, 10_000).expect("few").contains("999 files"));
        assert_eq!(room(place, FREE_WANTED, 0, 0), None, "a file system without inodes");
        assert_eq!(room(place, FREE_WANTED, 1000, 10_000), None);
    }

    #[test]
    fn a_wrong_clock_is_told() {
        let now = SystemTime::UNIX_EPOCH + EARLIEST + Duration::from_secs(1000);
        assert_eq!(clock(now, None), None);
        assert_eq!(clock(now, Some(now - AHEAD_MAX)), None);
        assert_eq!(clock(now, Some(now + AHEAD_MAX)), None);
        let advice = clock(now, Some(now + Duration::from_secs(3600))).expect("behind");
        assert!(advice.contains("3600 s behind"), "{advice}");
        assert!(clock(SystemTime::UNIX_EPOCH, None).expect("unset").contains("never set"));
    }

    #[test]
    fn the_newest_file_counts() {
        let folder = tempfile::tempdir().expect("temporary directory");
        assert_eq!(newest(&[folder.path()]), None);
        fs::create_dir(folder.path().join("version-2")).expect("create");
        let late = SystemTime::now() + Duration::from_secs(500);
        let file = fs::File::create(folder.path().join("version-2/log.1")).expect("create");
        file.set_modified(late).expect("set the time");
        let found = newest(&[Path::new("/nowhere"), folder.path()]).expect("found");
        assert!(found > SystemTime::now() + Duration::from_secs(400));
    }
}
