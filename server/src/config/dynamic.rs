//! The files of a membership that changes while the server runs (`QuorumPeerConfig`):
//!
//! ```text
//! zoo.cfg                      its last line becomes dynamicConfigFile=<newest of the next ones>
//! zoo.cfg.dynamic.<hex>        a committed membership; its version is in the name
//! zoo.cfg.dynamic.next         a proposed one, version inside; gone once it is committed
//! zoo.cfg.bak                  what zoo.cfg was while it held the members itself
//! ```
//!
//! Every file changes by write, sync, rename, sync directory (`FILE-SWAP`). Start at
//! [`DynamicFiles`].

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::members::is_group_or_weight;
use super::properties::{JavaProperties, java_trim};
use super::{Config, ConfigError};
use crate::base::Sid;
use crate::ensemble::MembershipFiles;
use crate::zab::Membership;

/// The files around one `zoo.cfg`.
#[derive(Debug, Clone)]
pub struct DynamicFiles {
    file: PathBuf,
    /// Our own sid: its member line may take the place of `clientPort`.
    sid: Sid,
}

impl DynamicFiles {
    /// `file` is the `zoo.cfg` of the server `sid`.
    pub fn new(file: PathBuf, sid: Sid) -> Self {
        Self { file, sid }
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.file.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    }

    fn next(&self) -> PathBuf {
        self.beside(".dynamic.next")
    }

    /// Drops the membership and what is known by the dynamic file from `zoo.cfg`; the pointer to
    /// that file is the last line, on which operators of clusters rely.
    fn point_to(&self, dynamic: &Path, drop_client: bool) -> io::Result<()> {
        let bytes = fs::read(&self.file)?;
        let old = JavaProperties::parse(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let mut text = String::new();
        for entry in old.entries() {
            let key = java_trim(&entry.key);
            let dropped = key.starts_with("server.")
                || is_group_or_weight(key)
                || key.starts_with("dynamicConfigFile")
                || key.starts_with("peerType")
                || (drop_client && key.starts_with("clientPort"));
            if !dropped {
                push_escaped(&mut text, key);
                text.push('=');
                push_escaped(&mut text, java_trim(&entry.value));
                text.push('\n');
            }
        }
        text.push_str("dynamicConfigFile=");
        push_escaped(&mut text, &fs::canonicalize(dynamic)?.to_string_lossy());
        text.push('\n');
        swap(&self.file, text.as_bytes())
    }
}

impl MembershipFiles for DynamicFiles {
    fn keep_proposed(&self, membership: &Membership) -> io::Result<()> {
        swap(&self.next(), lines(membership, true).as_bytes())
    }

    fn keep_committed(&self, membership: &Membership) -> io::Result<()> {
        let version = membership.version();
        let dynamic = self.beside(&format!(".dynamic.{version:x}"));
        swap(&dynamic, lines(membership, false).as_bytes())?;
        let own = membership.member(self.sid);
        self.point_to(&dynamic, own.is_some_and(|own| own.client.is_some()))?;
        // A proposal that is newer still counts.
        let next = self.next();
        let proposed = fs::read_to_string(&next).ok();
        let proposed = proposed.as_deref().and_then(Membership::version_of);
        if proposed.is_some_and(|proposed| proposed <= version) {
            fs::remove_file(&next)?;
        }
        Ok(())
    }
}

/// `key=value` lines sorted as text, no newline at the end (`writeDynamicConfig`).
fn lines(membership: &Membership, with_version: bool) -> String {
    let text = membership.render();
    let mut lines: Vec<&str> =
        text.lines().filter(|line| with_version || !line.starts_with("version=")).collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Java writes values as it read them, so that a backslash is lost at the next start. Stricter than
/// Java.
fn push_escaped(out: &mut String, text: &str) {
    use std::fmt::Write;
    for unit in text.chars() {
        match unit {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            ' '..='~' | '\t' => out.push(unit),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}").expect("a string takes everything");
                }
            }
        }
    }
}

/// Write, sync, rename, sync the directory (`AtomicFileOutputStream`).
fn swap(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let fresh = PathBuf::from(name);
    let mut file = File::create(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, path)?;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

impl Config {
    /// Copies `zoo.cfg` to `zoo.cfg.bak` if it holds the members of an ensemble that may change:
    /// the first change rewrites it (`backupOldConfig`).
    pub fn back_up(&self) -> Result<(), ConfigError> {
        let ensemble = &self.ensemble;
        let Some(file) = &self.file else { return Ok(()) };
        if !self.is_distributed() || !ensemble.reconfig_enabled || ensemble.dynamic_file.is_some() {
            return Ok(());
        }
        let mut name = file.as_os_str().to_owned();
        name.push(".bak");
        fs::read(file).and_then(|bytes| swap(Path::new(&name), &bytes)).map_err(|error| {
            let text = format!("Error processing {}: {error}", file.display());
            ConfigError { file: Some(file.clone()), ..ConfigError::config(text) }
                .allowed("a directory this server may write to, or reconfigEnabled=false")
        })
    }

    /// Where memberships are kept; `None` if they cannot change, or there is no file.
    pub(super) fn membership_files(&self, sid: Sid) -> Option<DynamicFiles> {
        let file = self.file.clone().filter(|_| self.ensemble.reconfig_enabled)?;
        Some(DynamicFiles::new(file, sid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATIC: &str = "# members\ntickTime=2000\ndataDir=/data\n clientPort = 2181\n\
        clientPortAddress=0.0.0.0\npeerType=participant\npath=C:\\\\zk\n\
        server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.1=1\nsslQuorum=false";

    fn files() -> (tempfile::TempDir, DynamicFiles) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("zoo.cfg");
        fs::write(&file, STATIC).unwrap();
        (dir, DynamicFiles::new(file, Sid(1)))
    }

    fn membership(text: &str) -> Membership {
        Membership::parse(text).unwrap()
    }

    #[test]
    fn committed_memberships_move_into_their_own_file() {
        let (dir, files) = files();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        let text =
            "server.10=c:1:2:observer\nserver.2=b:1:2;2182\nserver.1=a:1:2\nversion=1a0000000f";
        files.keep_committed(&membership(text)).unwrap();
        assert_eq!(
            read("zoo.cfg.dynamic.1a0000000f"),
            "server.10=c:1:2:observer\nserver.1=a:1:2:participant\n\
             server.2=b:1:2:participant;0.0.0.0:2182"
        );
        let pointer = dir.path().canonicalize().unwrap().join("zoo.cfg.dynamic.1a0000000f");
        let head = "tickTime=2000\ndataDir=/data\nclientPort=2181\nclientPortAddress=0.0.0.0\n\
            path=C:\\\\zk\nsslQuorum=false\n";
        assert_eq!(read("zoo.cfg"), format!("{head}dynamicConfigFile={}\n", pointer.display()));
        // Our own line names the client port now: the keys go.
        let text = "server.1=a:1:2;2181\nserver.2=b:1:2\nversion=1a00000010";
        files.keep_committed(&membership(text)).unwrap();
        assert!(!read("zoo.cfg").contains("clientPort"), "{}", read("zoo.cfg"));
        assert!(read("zoo.cfg").ends_with(".dynamic.1a00000010\n"));
        assert_eq!(read("zoo.cfg").matches("dynamicConfigFile").count(), 1);
        assert!(dir.path().join("zoo.cfg.dynamic.1a0000000f").exists(), "old ones stay");
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(left.iter().all(|path| path.extension() != Some("tmp".as_ref())), "{left:?}");
    }

    #[test]
    fn a_proposal_stays_until_something_as_new_is_committed() {
        let (dir, files) = files();
        let next = dir.path().join("zoo.cfg.dynamic.next");
        files.keep_proposed(&membership("server.1=a:1:2\nversion=20")).unwrap();
        assert_eq!(fs::read_to_string(&next).unwrap(), "server.1=a:1:2:participant\nversion=20");
        files.keep_committed(&membership("server.1=a:1:2\nversion=1f")).unwrap();
        assert!(next.exists());
        files.keep_committed(&membership("server.1=a:1:2\nversion=20")).unwrap();
        assert!(!next.exists());
    }

    #[test]
    fn a_missing_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let files = DynamicFiles::new(dir.path().join("zoo.cfg"), Sid(1));
        let membership = membership("server.1=a:1:2\nversion=1");
        assert!(files.keep_committed(&membership).is_err());
        let nowhere = DynamicFiles::new(dir.path().join("no/zoo.cfg"), Sid(1));
        assert!(nowhere.keep_proposed(&membership).is_err());
    }
}
