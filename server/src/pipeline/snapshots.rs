//! Snapshots in the background, one at a time, and the purge of old files.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tracing::{error, info, warn};

use super::replica_loop::{Control, CoreBox};
use super::{Exit, Options, Outcome, STACK_BYTES};
use crate::apply::Applier;
use crate::metrics::Metrics;
use crate::storage::purge::purge;
use crate::storage::{CutSource, DataDirs, Durable, SnapshotOptions, StorageError, write_snapshot};
use crate::tree::cut::CutLimits;

/// Where an operator waits for a snapshot: the file, or why there is none.
pub(super) type Asked = Sender<Result<PathBuf, String>>;

/// Takes snapshots on order of the replica thread.
pub(super) struct Snapshots {
    dirs: Arc<DataDirs>,
    options: SnapshotOptions,
    core: Arc<CoreBox>,
    metrics: Arc<Metrics>,
    outcome: Arc<Outcome>,
    durable: Durable,
    /// Put off until the log has caught up with the tree.
    wanted: bool,
    running: Option<JoinHandle<Result<(), StorageError>>>,
    purger: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Snapshots {
    pub fn new(
        dirs: Arc<DataDirs>,
        options: SnapshotOptions,
        core: Arc<CoreBox>,
        metrics: Arc<Metrics>,
        outcome: Arc<Outcome>,
        pipeline: &Options,
        durable: Durable,
    ) -> Self {
        let purger = start_purger(&dirs, pipeline);
        Self {
            dirs,
            options,
            core,
            metrics,
            outcome,
            durable,
            wanted: false,
            running: None,
            purger,
        }
    }

    /// The log grew.
    pub fn durable(&mut self, durable: Durable) {
        self.durable = durable;
    }

    /// Where snapshots go, and how they are written.
    pub fn target(&self) -> (Arc<DataDirs>, SnapshotOptions) {
        (self.dirs.clone(), self.options.clone())
    }

    /// A snapshot was put off.
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Starts a snapshot of the tree as it is, unless one is being written. The failure of one
    /// that was asked for is the asker's, not the server's.
    pub fn take(&mut self, applier: &mut Applier, asked: Option<Asked>) {
        let refuse = |reason: &str| {
            if let Some(asked) = &asked {
                // The asker may have given up.
                let _ = asked.send(Err(reason.to_owned()));
            }
        };
        if self.running.is_some() {
            warn!("Too busy to snap, skipping");
            return refuse("a snapshot is being written already");
        }
        // A follower may apply what its own log does not have yet (`LOG-COVERS-SNAPSHOT`).
        if applier.read().last_zxid() > self.durable.zxid() {
            self.wanted = true;
            return refuse("the log is behind the tree; try again");
        }
        self.wanted = false;
        let cut = match applier.open_cut(CutLimits::default()) {
            Ok(cut) => cut,
            Err(error) => {
                warn!(%error, "cannot take a snapshot now");
                return refuse(&error.to_string());
            }
        };
        let log = self.durable;
        let mut source = CutSource { cut, reader: applier.reader() };
        let (dirs, options) = (self.dirs.clone(), self.options.clone());
        let (core, metrics) = (self.core.clone(), self.metrics.clone());
        let thread = Builder::new().name("snapshot".into()).stack_size(STACK_BYTES);
        let spawned = thread.spawn(move || {
            let begun = Instant::now();
            let zxid = source.cut.zxid();
            let file = dirs.snapshot_dir().join(format!("snapshot.{:x}", zxid.0));
            info!("Snapshotting: 0x{:x} to {}", zxid.0, file.display());
            let written =
                write_snapshot(&dirs, &options, &mut source).and_then(|file| file.publish(log));
            drop(source);
            let result = written.inspect(|path| {
                let ms = begun.elapsed().as_millis() as i64;
                metrics.snapshottime.add(ms);
                info!(path = %path.display(), "Snapshot taken in {ms} ms");
            });
            core.post(Control::SnapshotDone);
            match asked {
                None => result.map(drop),
                Some(asked) => {
                    let _ = asked.send(result.map_err(|failure| failure.to_string()));
                    Ok(())
                }
            }
        });
        match spawned {
            Ok(thread) => self.running = Some(thread),
            Err(error) => warn!(%error, "cannot start the snapshot thread"),
        }
    }

    /// The snapshot thread is done.
    pub fn done(&mut self) {
        let Some(thread) = self.running.take() else { return };
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(StorageError::Cancelled(reason))) => {
                warn!(reason, "snapshot cancelled; the next one will do");
            }
            // As Java: a server that cannot write snapshots would fill the disk with logs.
            Ok(Err(failure)) => {
                error!(%failure, "Severe unrecoverable error, exiting");
                self.metrics.unrecoverable_error_count.add(1);
                self.outcome.set(Exit::StorageFailed);
            }
            Err(_) => {
                error!("Severe unrecoverable error, exiting: the snapshot thread panicked");
                self.metrics.unrecoverable_error_count.add(1);
                self.outcome.set(Exit::StorageFailed);
            }
        }
    }

    /// Waits for the snapshot that is being written and ends the purge thread.
    pub fn finish(&mut self) {
        if let Some((stop, thread)) = self.purger.take() {
            drop(stop);
            let _ = thread.join();
        }
        if let Some(thread) = self.running.take()
            && let Ok(Err(failure)) = thread.join()
        {
            warn!(%failure, "the last snapshot failed");
        }
    }
}

/// `DatadirCleanupManager`: purges at once and then at intervals.
fn start_purger(dirs: &Arc<DataDirs>, options: &Options) -> Option<(Sender<()>, JoinHandle<()>)> {
    if options.purge_interval_ms == 0 {
        return None;
    }
    let interval = Duration::from_millis(options.purge_interval_ms);
    let (retain, field_max) = (options.purge_retain_count, options.purge_field_max);
    let dirs = dirs.clone();
    let (stop, stopped) = bounded::<()>(0);
    let thread = Builder::new().name("purge".into()).stack_size(STACK_BYTES).spawn(move || {
        loop {
            info!(retain, "Purge task started.");
            match purge(&dirs, field_max, retain, &[]) {
                Ok(removed) => {
                    for file in &removed.deleted {
                        info!("Removing file: {}", file.display());
                    }
                    info!(files = removed.deleted.len(), "Purge task completed.");
                }
                Err(failure) => warn!(%failure, "purge failed"),
            }
            if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    });
    match thread {
        Ok(thread) => Some((stop, thread)),
        Err(error) => {
            warn!(%error, "cannot start the purge thread");
            None
        }
    }
}
