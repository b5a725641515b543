//! How the I/O threads hand in what they counted.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use tracing::warn;

use super::station::{Inbox, Mail};
use crate::metrics::Teller;

/// How long to wait for them. A thread at work on one long request is late; what is shown then
/// lacks its newest counts.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nothing is ever sent: who holds it has not handed in yet.
pub(super) type Receipt = Sender<Infallible>;

/// The I/O threads of a server.
pub(super) struct Count(pub Vec<Arc<Inbox>>);

impl Teller for Count {
    /// Not to be called by an I/O thread.
    fn hand_in(&self) {
        let (receipt, receipts) = bounded(0);
        for inbox in &self.0 {
            inbox.post(Mail::HandIn(Receipt::clone(&receipt)));
        }
        drop(receipt);
        if receipts.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            warn!("the metrics lack the newest counts: an I/O thread is busy for {PATIENCE:?}");
        }
    }
}
