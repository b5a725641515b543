//! The log thread: takes all that is queued, writes once, syncs once (group commit).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{error, info, warn};

use super::mailbox::Mailbox;
use super::replica_loop::{Control, CoreBox};
use super::{Exit, Options, Outcome};
use crate::base::Proposal;
use crate::metrics::Metrics;
use crate::storage::{StorageError, TxnLogWriter};

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
    pub writer: TxnLogWriter,
    pub options: Options,
    pub metrics: Arc<Metrics>,
    pub outcome: Arc<Outcome>,
    /// Syncs above the warning threshold.
    pub slow_syncs: Arc<AtomicU64>,
}

impl LogLoop {
    pub fn run(mut self) {
        let (mut orders, mut proposals) = (Vec::new(), Vec::new());
        loop {
            self.inbox.take(&mut orders, &mut proposals, None);
            for batch in proposals.chunks(self.options.log_batch_max.max(1)) {
                if let Err(failure) = self.write(batch) {
                    // Whatever the disk holds now is unknown: acknowledge nothing, end the server.
                    error!(%failure, "the transaction log cannot be written");
                    self.outcome.set(Exit::StorageFailed);
                    self.core.post(Control::LogFailed);
                    return;
                }
            }
            proposals.clear();
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

    fn write(&mut self, batch: &[Arc<Proposal>]) -> Result<(), StorageError> {
        for proposal in batch {
            self.writer.append(proposal)?;
        }
        let committed = self.writer.commit()?;
        self.core.post(Control::Durable(committed.durable));
        let ms = committed.sync_time.as_millis() as i64;
        self.metrics.fsynctime.add(ms);
        self.metrics.sync_processor_queue_flush_time_ms.add(ms);
        self.metrics.sync_processor_request_queued.add(batch.len() as i64);
        self.metrics.sync_processor_batch_size.add(batch.len() as i64);
        if committed.slow_sync {
            self.slow_syncs.fetch_add(1, Ordering::Relaxed);
            warn!(ms, bytes = committed.bytes, "syncing the transaction log was slow");
        }
        if self.writer.roll_if_snapshot_due()? {
            self.core.post(Control::SnapshotDue);
        }
        Ok(())
    }
}
