//! The audit log (`ZKAuditProvider`, `AuditHelper`, `Slf4jAuditLogger`): who changed what, from where,
//! and whether it was done. One line per operation, in Java's format.
//!
//! ```text
//!  apply ── Event ──► bounded queue ──► thread ──► log (INFO, ERROR for failures) and file
//! ```
//!
//! Owns: the events, their text, the thread and the file. Must not know: the tree, connections.
//! Costs nothing while it is off: nobody holds an [`AuditLog`]. Applying never waits for it: a full
//! queue loses events, and an ERROR line tells how many.
//!
//! Start at [`AuditLog::record`].

mod file;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use jute::data::{Acl, PERM_ADMIN, PERM_CREATE, PERM_DELETE, PERM_READ, PERM_WRITE};
use parking_lot::Mutex;

use self::file::RollingFile;
use crate::prep::WriteRequest;

/// Events that may wait.
const QUEUE_MAX: usize = 64 * 1024;

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Success,
    /// Refused.
    Failure,
    /// Asked for.
    Invoked,
}

/// One operation (`AuditEvent`). Absent fields are left out of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `0x` and the session in hex.
    pub session: Option<String>,
    /// User names, separated by commas.
    pub user: Option<String>,
    /// The client's address.
    pub ip: Option<String>,
    /// What was done.
    pub operation: &'static str,
    /// To which znode.
    pub znode: Option<String>,
    /// `persistent`, `ephemeral_sequential` ...
    pub znode_type: Option<&'static str>,
    /// The new ACL, entries without a separator.
    pub acl: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Event {
    /// An operation of the server itself.
    pub fn of_server(operation: &'static str, user: &str, outcome: Outcome) -> Self {
        Self {
            session: None,
            user: Some(user.to_owned()),
            ip: None,
            operation,
            znode: None,
            znode_type: None,
            acl: None,
            outcome,
        }
    }

    /// The line: `key=value`, separated by tabs.
    pub fn line(&self) -> String {
        let result = match self.outcome {
            Outcome::Success => "success",
            Outcome::Failure => "failure",
            Outcome::Invoked => "invoked",
        };
        let fields = [
            ("session", self.session.as_deref()),
            ("user", self.user.as_deref()),
            ("ip", self.ip.as_deref()),
            ("operation", Some(self.operation)),
            ("znode", self.znode.as_deref()),
            ("znode_type", self.znode_type),
            ("acl", self.acl.as_deref()),
            ("result", Some(result)),
        ];
        let shown = fields.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?)));
        // Stricter than Java: what a client put into a path cannot begin a line or a field.
        let clean = shown.map(|field| field.replace(['\t', '\n', '\r'], " "));
        clean.collect::<Vec<_>>().join("\t")
    }
}

/// What the request said, kept until its outcome is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// `None` for operations that are not audited.
    pub operation: Option<&'static str>,
    /// The path asked for.
    pub path: Option<String>,
    /// The kind of a znode to be created.
    pub znode_type: Option<&'static str>,
    /// The ACL of a setACL.
    pub acl: Option<String>,
    /// Paths and kinds of the znodes a multi creates.
    pub creates: Vec<(String, &'static str)>,
}

impl Asked {
    /// Of a write.
    pub fn of(write: &WriteRequest) -> Self {
        let path = write.path().map(str::to_owned);
        let plain =
            |operation| Self { operation: Some(operation), path: path.clone(), ..Self::default() };
        match write {
            WriteRequest::Create(create) => {
                Self { znode_type: znode_type(create.flags), ..plain("create") }
            }
            WriteRequest::Delete { .. } | WriteRequest::DeleteContainer { .. } => plain("delete"),
            WriteRequest::SetData { .. } => plain("setData"),
            WriteRequest::SetAcl { acl, .. } => {
                Self { acl: Some(acl_text(acl.as_deref().unwrap_or_default())), ..plain("setAcl") }
            }
            WriteRequest::Reconfig(_) => {
                Self { path: Some("/zookeeper/config".to_owned()), ..plain("reconfig") }
            }
            WriteRequest::Multi(all) => {
                let creates = all.iter().filter_map(|one| match one {
                    WriteRequest::Create(create) => {
                        Some((create.path.clone()?, znode_type(create.flags)?))
                    }
                    _ => None,
                });
                Self { path: None, creates: creates.collect(), ..plain("multiOperation") }
            }
            _ => Self::default(),
        }
    }
}

/// `CreateMode` in lower case.
fn znode_type(flags: i32) -> Option<&'static str> {
    const NAMES: [&str; 7] = [
        "persistent",
        "ephemeral",
        "persistent_sequential",
        "ephemeral_sequential",
        "container",
        "persistent_with_ttl",
        "persistent_sequential_with_ttl",
    ];
    usize::try_from(flags).ok().and_then(|flags| NAMES.get(flags)).copied()
}

/// `ZKUtil.aclToString`: entries follow each other without a separator.
fn acl_text(acl: &[Acl]) -> String {
    let letters = [
        (PERM_CREATE, 'c'),
        (PERM_DELETE, 'd'),
        (PERM_READ, 'r'),
        (PERM_WRITE, 'w'),
        (PERM_ADMIN, 'a'),
    ];
    let entries = acl.iter().map(|entry| {
        let perms = letters.iter().filter(|(bit, _)| entry.perms & bit != 0);
        let perms: String = perms.map(|(_, letter)| letter).collect();
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{}:{}:{perms}", text(&entry.id.scheme), text(&entry.id.id))
    });
    entries.collect()
}

/// Settings.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A file besides the server's log (`zookeeper.auditlog.file`), rolled at 10 MB, ten kept.
    pub file: Option<PathBuf>,
    /// Only failures go to the file (`zookeeper.auditlog.threshold` above INFO).
    pub failures_only: bool,
    /// The user this server runs as.
    pub server_user: String,
}

/// The audit log of a server.
#[derive(Debug)]
pub struct AuditLog {
    queue: Mutex<Option<Sender<Event>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    lost: Arc<AtomicU64>,
    server_user: String,
}

impl AuditLog {
    /// Opens the file and starts the thread.
    pub fn start(options: Options) -> io::Result<Self> {
        let file = options.file.map(RollingFile::open).transpose()?;
        let (queue, events) = bounded(QUEUE_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let (counter, failures_only) = (lost.clone(), options.failures_only);
        let work = move || write_all(&events, file, failures_only, &counter);
        let thread = Builder::new().name("audit".to_owned()).spawn(work)?;
        Ok(Self {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
            lost,
            server_user: options.server_user,
        })
    }

    /// The user this server runs as.
    pub fn server_user(&self) -> &str {
        &self.server_user
    }

    /// Hands an event over; never waits.
    pub fn record(&self, event: Event) {
        let queue = self.queue.lock();
        if let Some(queue) = &*queue
            && let Err(TrySendError::Full(_)) = queue.try_send(event)
        {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Writes what waits, then ends.
    pub fn stop(&self) {
        drop(self.queue.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

fn write_all(
    events: &Receiver<Event>,
    mut file: Option<RollingFile>,
    failures_only: bool,
    lost: &AtomicU64,
) {
    for event in events {
        let line = event.line();
        let failed = event.outcome == Outcome::Failure;
        match failed {
            true => {
                tracing::error!(target: "org.apache.zookeeper.audit.Slf4jAuditLogger", "{line}")
            }
            false => {
                tracing::info!(target: "org.apache.zookeeper.audit.Slf4jAuditLogger", "{line}")
            }
        }
        if let Some(file) = &mut file
            && (failed || !failures_only)
        {
            file.write(failed, &line);
        }
        let lost = lost.swap(0, Relaxed);
        if lost > 0 {
            tracing::error!(lost, "the audit log could not keep up: events are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_javas() {
        let event = Event {
            session: Some("0x100001401d30000".into()),
            user: Some("127.0.0.1,u".into()),
            ip: Some("127.0.0.1".into()),
            operation: "create",
            znode: Some("/q/2".into()),
            znode_type: Some("persistent"),
            acl: None,
            outcome: Outcome::Failure,
        };
        assert_eq!(
            event.line(),
            "session=0x100001401d30000\tuser=127.0.0.1,u\tip=127.0.0.1\toperation=create\t\
             znode=/q/2\tznode_type=persistent\tresult=failure"
        );
        let server = Event::of_server("serverStop", "zookeeper", Outcome::Invoked);
        assert_eq!(server.line(), "user=zookeeper\toperation=serverStop\tresult=invoked");
        let forged = Event { znode: Some("/a\nuser=root\tx".into()), ..server };
        assert!(!forged.line().contains('\n'));
    }

    #[test]
    fn acls_have_no_separator() {
        let acl = [Acl { perms: PERM_READ, ..Acl::world(0) }, Acl { perms: 31, ..Acl::world(0) }];
        assert_eq!(acl_text(&acl), "world:anyone:rworld:anyone:cdrwa");
    }

    #[test]
    fn everything_recorded_reaches_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("zookeeper_audit.log");
        let options = Options { file: Some(path.clone()), ..Options::default() };
        let log = AuditLog::start(options.clone()).unwrap();
        log.record(Event::of_server("serverStart", "me", Outcome::Success));
        log.record(Event::of_server("serverStop", "me", Outcome::Failure));
        log.stop();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(" INFO "), "{text}");
        let log = AuditLog::start(Options { failures_only: true, ..options }).unwrap();
        log.record(Event::of_server("serverStart", "me", Outcome::Success));
        log.stop();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2, "appended to");
    }
}
