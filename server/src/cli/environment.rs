//! `Environment.list`: what `envi` and the first lines of the log say about this process.

use std::env;
use std::fs;

use nix::unistd::{Uid, User};

use crate::base::version;

const ABSENT: &str = "<NA>";

fn first_line(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or(ABSENT).to_owned()
}

/// A line of `/proc/meminfo` in MB.
fn memory(key: &str) -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or_else(|| ABSENT.to_owned(), |kib| format!("{}MB", kib / 1024))
}

/// Who this process runs as.
pub(super) fn user() -> String {
    let user = User::from_uid(Uid::current()).ok().flatten();
    user.map_or_else(|| Uid::current().to_string(), |user| user.name)
}

/// Keys in Java's order. There is no JVM: its keys keep a neutral text, so that parsers find them.
pub(super) fn list() -> Vec<(&'static str, String)> {
    let user = User::from_uid(Uid::current()).ok().flatten();
    let name = user.as_ref().map(|user| user.name.clone());
    let home = user.map(|user| user.dir.display().to_string());
    let absent = || ABSENT.to_owned();
    let arch = match env::consts::ARCH {
        "x86_64" => "amd64",
        other => other,
    };
    vec![
        ("zookeeper.version", version::full()),
        ("host.name", first_line("/proc/sys/kernel/hostname")),
        ("java.version", absent()),
        ("java.vendor", absent()),
        ("java.home", absent()),
        ("java.class.path", absent()),
        ("java.library.path", absent()),
        ("java.io.tmpdir", env::temp_dir().display().to_string()),
        ("java.compiler", absent()),
        ("os.name", "Linux".to_owned()),
        ("os.arch", arch.to_owned()),
        ("os.version", first_line("/proc/sys/kernel/osrelease")),
        ("user.name", env::var("USER").ok().or(name).unwrap_or_else(absent)),
        ("user.home", env::var("HOME").ok().or(home).unwrap_or_else(absent)),
        ("user.dir", env::current_dir().map_or_else(|_| absent(), |dir| dir.display().to_string())),
        ("os.memory.free", memory("MemAvailable")),
        ("os.memory.max", memory("MemTotal")),
        ("os.memory.total", memory("MemTotal")),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn keys_are_javas_in_javas_order() {
        let keys: Vec<_> = super::list().into_iter().map(|(key, _)| key).collect();
        let javas = "zookeeper.version host.name java.version java.vendor java.home \
            java.class.path java.library.path java.io.tmpdir java.compiler os.name os.arch \
            os.version user.name user.home user.dir os.memory.free os.memory.max os.memory.total";
        assert_eq!(keys, javas.split_whitespace().collect::<Vec<_>>());
    }
}
