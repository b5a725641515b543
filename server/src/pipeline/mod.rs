//! The loops around the cores. Nothing clever: mailboxes, threads, and who wakes whom.
//!
//! ```text
//!  I/O threads ── requests ──► replica loop ── proposals ──► log loop
//!       ▲                       │   ▲                           │
//!       └──── bells ── apply ◄──┘   └────────── Durable ────────┘
//! ```
//!
//! The replica loop runs `replica` and `apply`: a write wakes four threads on its way (replica,
//! log, replica, I/O), and under load each wake-up is shared by a batch. The log loop owns the log.
//! Snapshots are written by a thread of their own, one at a time.
//!
//! A failure of the log ends the server: nothing that is not on disk is ever acknowledged
//! (`ACK-AFTER-FSYNC`).
//!
//! Start reading at [`Pipeline::start`], then `replica_loop`, `log_loop`.

mod host;
mod log_loop;
mod mailbox;
mod options;
mod outcome;
mod replica_loop;
mod snapshots;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use self::host::Host;
use self::log_loop::LogBox;
use self::replica_loop::{Control, CoreBox, ReplicaLoop};
use crate::apply::Applier;
use crate::base::{Mono, Now, SessionId};
use crate::metrics::Metrics;
use crate::net::Upstream;
use crate::outbox::{Origin, Registry};
use crate::replica::{Replica, Request};
use crate::storage::{DataDirs, Durable, SnapshotOptions, TxnLogWriter};
use crate::zab;

pub use host::MemberParts;
pub use options::Options;
pub use outcome::{Exit, Outcome};

/// Stack of the loops: deep enough for any handler, small enough to forget.
const STACK_BYTES: usize = 1024 * 1024;

/// What the loops take over.
pub struct Parts {
    /// Settings.
    pub options: Options,
    /// The core.
    pub replica: Replica<Origin>,
    /// The tree's only writer.
    pub applier: Applier,
    /// The open log.
    pub log: TxnLogWriter,
    /// What the log has on stable storage.
    pub durable: Durable,
    /// Where snapshots go.
    pub dirs: Arc<DataDirs>,
    /// How they are written.
    pub snapshot: SnapshotOptions,
    /// All connections, for signs of life.
    pub registry: Arc<Registry>,
    /// What operators see.
    pub metrics: Arc<Metrics>,
    /// Where the end is announced.
    pub outcome: Arc<Outcome>,
    /// Take a snapshot at once.
    pub snapshot_now: bool,
    /// The mailbox, if somebody has it already (see [`Pipeline::mailbox`]).
    pub mailbox: PipelineBox,
    /// More parts of a member of an ensemble, and what its core ordered at construction.
    pub member: Option<(MemberParts, Vec<zab::Action>)>,
}

/// The replica loop's mailbox before the loop runs: the sockets between servers post into it.
#[derive(Clone, Default)]
pub struct PipelineBox(Arc<CoreBox>);

impl PipelineBox {
    /// Posts an event for the zab core.
    pub fn post(&self, event: zab::Event) {
        self.0.post(Control::Zab(Box::new(event)));
    }
}

/// The running loops.
pub struct Pipeline {
    core: Arc<CoreBox>,
    slow_syncs: Arc<AtomicU64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pipeline {
    /// Starts the loops.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let core = parts.mailbox.0.clone();
        let log = Arc::new(LogBox::default());
        let slow_syncs = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(move || {
                let guard = outcome::AbortOnPanic;
                body();
                std::mem::forget(guard);
            })
        };
        let Parts { options, replica, applier, log: writer, dirs, snapshot, registry, .. } = parts;
        let (host, first) = match parts.member {
            Some((member, first)) => {
                let host = Host::new(
                    member,
                    dirs.clone(),
                    log.clone(),
                    core.clone(),
                    registry.clone(),
                    parts.outcome.clone(),
                    snapshot.clone(),
                );
                (Some(host), first)
            }
            None => (None, Vec::new()),
        };
        let log_loop = log_loop::LogLoop {
            inbox: log.clone(),
            core: core.clone(),
            writer,
            options: options.clone(),
            metrics: parts.metrics.clone(),
            outcome: parts.outcome.clone(),
            slow_syncs: slow_syncs.clone(),
        };
        threads.push(spawn("txnlog", Box::new(move || log_loop.run()))?);
        let snapshots = snapshots::Snapshots::new(
            dirs,
            snapshot,
            core.clone(),
            parts.metrics.clone(),
            parts.outcome.clone(),
            &options,
            parts.durable,
        );
        let replica_loop =
            ReplicaLoop::new(core.clone(), log, replica, applier, registry, snapshots, host);
        if parts.snapshot_now {
            core.post(Control::SnapshotDue);
        }
        threads.push(spawn("replica", Box::new(move || replica_loop.run(first)))?);
        Ok(Self { core, slow_syncs, threads: Mutex::new(threads) })
    }

    /// Where connections hand their writes in.
    pub fn upstream(&self) -> Arc<dyn Upstream> {
        Arc::new(Entrance(self.core.clone()))
    }

    /// Looks at the core from its own loop. The receiver gets the answer, or an error if the loop
    /// has ended.
    pub fn inspect<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Replica<Origin>, Now) -> R + Send + 'static,
    ) -> Receiver<R> {
        let (send, receive) = bounded(1);
        self.core.post(Control::Inspect(Box::new(move |replica, now| {
            // The asker may have given up.
            let _ = send.send(look(replica, now));
        })));
        receive
    }

    /// Writes a snapshot now, beside the periodic ones. The receiver gets its file or the reason
    /// why there is none.
    pub fn snapshot(&self) -> Receiver<Result<PathBuf, String>> {
        let (send, receive) = bounded(1);
        self.core.post(Control::SnapshotFor(send));
        receive
    }

    /// Log syncs that took longer than the warning threshold.
    pub fn slow_syncs(&self) -> u64 {
        self.slow_syncs.load(Ordering::Relaxed)
    }

    /// Finishes what was handed in, syncs and closes the log, ends the loops.
    pub fn stop(&self) {
        self.core.post(Control::Stop);
        for thread in self.threads.lock().drain(..) {
            // A panic in a loop aborts the process, so there is no other way to fail.
            let _ = thread.join();
        }
    }
}

struct Entrance(Arc<CoreBox>);

impl Upstream for Entrance {
    fn submit(&self, requests: &mut Vec<Request<Origin>>) {
        self.0.post_bulk(requests);
    }

    fn heard(&self, session: SessionId, at: Mono, timeout_ms: i32) {
        self.0.post(Control::Heard(session, at, timeout_ms));
    }
}
