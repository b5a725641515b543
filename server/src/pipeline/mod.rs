//! The loops around the cores. Nothing clever: mailboxes, threads, and who wakes whom.
//!
//! ```text
//!  I/O threads ── requests ──► Core (a lock) ── proposals ──► log loop
//!       ▲                        │      ▲                        │
//!       │                     commits   │                        │
//!       │                        ▼      │                        │
//!       └─── bells ── apply ◄── replica loop ◄──── Durable ──────┘
//! ```
//!
//! On a standalone server an I/O thread prepares its own writes, under the core's lock, and hands
//! the proposals to the log loop, which owns the log. What is durable goes back to the I/O thread,
//! which commits it in the core and applies it: a write wakes two threads on its way, and under load
//! each wake-up is shared by a batch. Where there are several I/O threads (more than two cores) the
//! replica loop does it, unless there is so little that the log loop does. On a member of an ensemble
//! requests go through the replica loop's mailbox, which alone runs the core. Snapshots are written
//! by a thread of their own, one at a time.
//!
//! A failure of the log ends the server: nothing that is not on disk is ever acknowledged
//! (`ACK-AFTER-FSYNC`).
//!
//! Start reading at [`Pipeline::start`], then `core`, `log_loop`, `replica_loop`.

mod chronicle;
mod core;
mod host;
mod log_loop;
mod mailbox;
mod options;
mod outcome;
mod replica_loop;
mod snapshots;
mod swap;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;

use self::chronicle::Chronicle;
use self::core::Core;
use self::host::Host;
use self::log_loop::LogBox;
use self::replica_loop::{Control, CoreBox, ReplicaLoop};
use crate::apply::Applier;
use crate::base::{Now, SessionId, Zxid};
use crate::metrics::Metrics;
use crate::net::{Upstream, clock};
use crate::outbox::{Origin, Registry};
use crate::replica::Replica;
use crate::storage::{DataDirs, Durable, SnapshotOptions, TxnLogWriter};
use crate::tree::DataTree;
use crate::zab;

pub use chronicle::{LearnerSight, Sight};
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
    /// Posts an event for the zab core; packets wait for room.
    pub fn post(&self, event: zab::Event) {
        let bytes = match &event {
            zab::Event::Packets(_, packets) => packets.iter().map(zab::Packet::weight).sum(),
            _ => return self.0.post(Control::Zab(Box::new(event))),
        };
        self.0.post_when_room(Control::Zab(Box::new(event)), bytes);
    }
}

/// The running loops.
pub struct Pipeline {
    core: Arc<Core>,
    inbox: Arc<CoreBox>,
    slow_syncs: Arc<AtomicU64>,
    sight: Option<Arc<Sight>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Pipeline {
    /// Starts the loops.
    pub fn start(parts: Parts) -> io::Result<Self> {
        let inbox = parts.mailbox.0.clone();
        let log = Arc::new(LogBox::default());
        let slow_syncs = Arc::new(AtomicU64::new(0));
        let Parts { options, replica, applier, log: writer, dirs, snapshot, registry, .. } = parts;
        let (host, first) = match parts.member {
            Some((member, first)) => {
                let host = Host::new(
                    member,
                    dirs.clone(),
                    log.clone(),
                    inbox.clone(),
                    registry.clone(),
                    parts.outcome.clone(),
                    snapshot.clone(),
                );
                (Some(host), first)
            }
            None => (None, Vec::new()),
        };
        let snapshots = snapshots::Snapshots::new(
            dirs,
            snapshot,
            inbox.clone(),
            parts.metrics.clone(),
            parts.outcome.clone(),
            &options,
            parts.durable,
        );
        let metrics = parts.metrics;
        let sight = replica.peer().is_some().then(Arc::<Sight>::default);
        let chronicle = sight.clone().zip(replica.peer()).map(|(sight, peer)| {
            Chronicle::new(metrics.clone(), sight, peer, options.ack_logging_frequency)
        });
        let core = Arc::new(Core::new(
            replica,
            applier,
            parts.durable,
            log.clone(),
            inbox.clone(),
            metrics.clone(),
        ));
        let log_loop = log_loop::LogLoop {
            inbox: log.clone(),
            core: inbox.clone(),
            direct: core.is_direct().then(|| core.clone()),
            writer,
            options: options.clone(),
            metrics: metrics.clone(),
            outcome: parts.outcome.clone(),
            slow_syncs: slow_syncs.clone(),
            pending: 0,
            flushed: Instant::now(),
            oldest: u64::MAX,
        };
        let replica_loop = ReplicaLoop::new(
            inbox.clone(),
            log,
            core.clone(),
            metrics,
            registry,
            snapshots,
            host,
            chronicle,
        );
        if parts.snapshot_now {
            inbox.post(Control::SnapshotDue);
        }
        let threads = vec![
            spawn("txnlog", move || log_loop.run())?,
            spawn("replica", move || replica_loop.run(first))?,
        ];
        Ok(Self { core, inbox, slow_syncs, sight, threads: Mutex::new(threads) })
    }

    /// Where connections hand their writes in.
    pub fn upstream(&self) -> Arc<dyn Upstream> {
        self.core.clone()
    }

    /// Looks at the replica core, under its lock: be brief.
    pub fn inspect<R>(&self, look: impl FnOnce(&Replica<Origin>, Now) -> R) -> R {
        look(&self.core.lock().replica, clock::now())
    }

    /// What a member of an ensemble shows of its role.
    pub fn sight(&self) -> Option<&Arc<Sight>> {
        self.sight.as_ref()
    }

    /// Writes a snapshot now, beside the periodic ones. The receiver gets its file or the reason
    /// why there is none.
    pub fn snapshot(&self) -> Receiver<Result<PathBuf, String>> {
        let (send, receive) = bounded(1);
        self.inbox.post(Control::SnapshotFor(send));
        receive
    }

    /// Goes on with another database, whose last zxid the receiver gets: the tree's own, or the next
    /// one where the present database is further. Connections are marked for closing. Refused on a
    /// member of an ensemble.
    pub fn swap(&self, tree: Box<DataTree>) -> Receiver<Result<Zxid, String>> {
        let (send, receive) = bounded(1);
        self.inbox.post(Control::Swap(tree, send));
        receive
    }

    /// Ends a session as if it had expired; nothing happens if there is none.
    pub fn close_session(&self, session: SessionId) {
        self.inbox.post(Control::EndSession(session));
    }

    /// Log syncs that took longer than the warning threshold.
    pub fn slow_syncs(&self) -> u64 {
        self.slow_syncs.load(Ordering::Relaxed)
    }

    /// Finishes what was handed in, syncs and closes the log, ends the loops.
    pub fn stop(&self) {
        self.core.lock().stopping = true;
        self.inbox.post(Control::Stop);
        for thread in self.threads.lock().drain(..) {
            // A panic in a loop aborts the process, so there is no other way to fail.
            let _ = thread.join();
        }
    }
}

/// A thread that takes the process with it when it panics.
fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name.into()).stack_size(STACK_BYTES).spawn(move || {
        let _guard = outcome::AbortOnPanic;
        body();
    })
}
