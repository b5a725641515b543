//! The log thread: takes all that is queued, writes once, syncs once (group commit).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::vec::Drain;

use tracing::{error, info, warn};

use super::core::Core;
use super::mailbox::Mailbox;
use super::replica_loop::{Control, CoreBox};
use super::{Exit, Options, Outcome};
use crate::base::Proposal;
use crate::metrics::Metrics;
use crate::net::clock;
use crate::storage::{StorageError, TxnLogWriter};

/// Groups of up to so many transactions are applied by the log thread, unless an I/O thread does
/// it: then the other thread's wake-up would cost more than it helps. With larger ones the disk
/// would wait for the tree.
const APPLY_HERE_MAX: i64 = 64;

/// The log thread's mailbox.
pub(super) type LogBox = Mailbox<Order, Arc<Proposal>>;

/// What the log thread is told besides proposals.
pub(super) enum Order {
    /// Commit what is there, close, end.
    Stop,
    /// Work on the history itself; everything appended before it is committed.
    Run(Box<dyn FnOnce(&mut TxnLogWriter) + Send>),
}

/// The log thread.
pub(super) struct LogLoop {
    pub inbox: Arc<LogBox>,
    pub core: Arc<CoreBox>,
    /// The core itself, on a standalone server.
    pub direct: Option<Arc<Core>>,
    pub writer: TxnLogWriter,
    pub options: Options,
    pub metrics: Arc<Metrics>,
    pub outcome: Arc<Outcome>,
    /// Syncs above the warning threshold.
    pub slow_syncs: Arc<AtomicU64>,
    /// Appended and not committed.
    pub pending: usize,
    /// Last commit.
    pub flushed: Instant,
    /// When the oldest transaction that is not committed was handed in, µs.
    pub oldest: u64,
}

impl LogLoop {
    pub fn run(mut self) {
        let (mut orders, mut proposals) = (Vec::new(), Vec::new());
        let batch_max = self.options.log_batch_max.max(1);
        loop {
            self.inbox.take(&mut orders, &mut proposals, self.patience());
            let idle = proposals.is_empty();
            if !idle {
                self.taken(proposals.len());
            }
            let mut written = Ok(());
            while !proposals.is_empty() && written.is_ok() {
                let count = proposals.len().min(batch_max);
                written = self.write(proposals.drain(..count));
            }
            // An order is about a history that is complete.
            if idle || !orders.is_empty() {
                written = written.and_then(|()| self.commit());
            }
            if let Err(failure) = written {
                // Whatever the disk holds now is unknown: acknowledge nothing, end the server.
                error!(
                    %failure,
                    "Severe unrecoverable error, from thread : txnlog: the transaction log cannot \
                     be written"
                );
                self.metrics.unrecoverable_error_count.add(1);
                self.outcome.set(Exit::StorageFailed);
                self.core.post(Control::LogFailed);
                return;
            }
            for order in orders.drain(..) {
                match order {
                    Order::Run(work) => work(&mut self.writer),
                    Order::Stop => {
                        info!(last = %self.writer.durable().zxid(), "transaction log closed");
                        return;
                    }
                }
            }
        }
    }

    /// How long to wait for more: for ever if nothing is pending.
    fn patience(&self) -> Option<Duration> {
        let poll = Duration::from_millis(self.options.flush_poll_ms);
        (self.pending > 0).then(|| poll.min(self.delay_left()))
    }

    fn delay_left(&self) -> Duration {
        if self.options.flush_delay_ms == 0 {
            return Duration::ZERO;
        }
        let delay = Duration::from_millis(self.options.flush_delay_ms);
        delay.saturating_sub(self.flushed.elapsed())
    }

    /// One look at the clock per batch: how long its oldest transaction waited.
    fn taken(&mut self, count: usize) {
        let now = clock::micros();
        let waited = self.inbox.marked().map_or(0, |since| now.saturating_sub(since));
        self.oldest = self.oldest.min(now - waited.min(now));
        let metrics = &self.metrics;
        metrics.sync_processor_queue_size.add(count as i64);
        metrics.sync_processor_request_queued.add(count as i64);
        metrics.sync_processor_queue_time_ms.add_many((waited / 1000) as i64, count as u64);
        metrics.rookeeper_log_queue_seconds.add(waited, 1);
    }

    /// Appends, and commits unless more may share the sync (`SyncRequestProcessor.shouldFlush`).
    ///
    /// Nothing of a proposal is held here when it is committed: it is freed by whoever applies it.
    fn write(&mut self, batch: Drain<'_, Arc<Proposal>>) -> Result<(), StorageError> {
        let begun = Instant::now();
        let count = batch.len();
        for proposal in batch {
            self.writer.append(&proposal)?;
        }
        let took = begun.elapsed().as_millis() as i64;
        self.metrics.sync_process_time.add_many(took, count as u64);
        self.pending += count;
        if self.pending < self.options.log_batch_max && !self.delay_left().is_zero() {
            return Ok(());
        }
        self.commit()
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        if self.pending == 0 {
            return Ok(());
        }
        let committed = self.writer.commit()?;
        let count = std::mem::take(&mut self.pending) as i64;
        self.flushed = Instant::now();
        let all = clock::micros().saturating_sub(std::mem::replace(&mut self.oldest, u64::MAX));
        let ms = committed.sync_time.as_millis() as i64;
        let metrics = &self.metrics;
        metrics.fsynctime.add(ms);
        metrics.rookeeper_fsync_seconds.add(committed.sync_time.as_micros() as u64, 1);
        metrics.sync_processor_queue_flush_time_ms.add(ms);
        metrics.sync_processor_queue_and_flush_time_ms.add_many((all / 1000) as i64, count as u64);
        metrics.sync_processor_batch_size.add(count);
        // After counting: who has a reply finds its sync counted.
        match &self.direct {
            Some(core) if core.commit_on_io(committed.durable) => {}
            Some(core) if count <= APPLY_HERE_MAX => core.commit(committed.durable),
            _ => self.core.post(Control::Durable(committed.durable)),
        }
        if committed.slow_sync {
            self.slow_syncs.fetch_add(1, Ordering::Relaxed);
            warn!(
                "fsync-ing the write ahead log in {} took {ms}ms which will adversely effect \
                 operation latency.File size is {} bytes. See the ZooKeeper troubleshooting guide",
                std::thread::current().name().unwrap_or("txnlog"),
                self.writer.file_bytes()
            );
        }
        if self.writer.roll_if_snapshot_due()? {
            self.core.post(Control::SnapshotDue);
        }
        Ok(())
    }
}
