//! Threads that count for themselves, and hand in what they counted now and then.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use parking_lot::Mutex;
use tracing::warn;

/// How long a reader of the metrics waits for threads to hand in. A thread at work on one long
/// request is late; the metrics are then what they were.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sent to nobody: who holds it has not handed in yet.
pub type Receipt = Sender<Infallible>;

/// A thread with counts of its own.
pub trait Teller: Send + Sync {
    /// Makes the thread enter its counts into the metrics and drop the receipt then. The receipt of
    /// a thread that has ended is dropped at once.
    fn hand_in(&self, receipt: Receipt);
}

/// All of them.
#[derive(Default)]
pub(super) struct Tellers(Mutex<Vec<Weak<dyn Teller>>>);

impl Tellers {
    pub(super) fn add(&self, teller: &Arc<dyn Teller>) {
        let mut tellers = self.0.lock();
        tellers.retain(|teller| teller.strong_count() > 0);
        tellers.push(Arc::downgrade(teller));
    }

    /// Waits until all have handed in what they counted before this call.
    pub(super) fn settle(&self) {
        let tellers: Vec<_> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        let (receipt, receipts) = crossbeam_channel::bounded(0);
        tellers.iter().for_each(|teller| teller.hand_in(receipt.clone()));
        drop(receipt);
        if receipts.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            warn!("the metrics shown lack the newest counts of a thread: busy for {PATIENCE:?}");
        }
    }
}

impl fmt::Debug for Tellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tellers({})", self.0.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Gauges, Metrics};

    /// A thread that counts nine commits once it is asked.
    struct Late(Arc<Metrics>);

    impl Teller for Late {
        fn hand_in(&self, receipt: Receipt) {
            let metrics = self.0.clone();
            std::thread::spawn(move || {
                metrics.commit_count.add(9);
                drop(receipt);
            });
        }
    }

    #[test]
    fn whoever_looks_sees_what_was_counted_before() {
        let metrics = Arc::new(Metrics::new(false));
        let late: Arc<dyn Teller> = Arc::new(Late(metrics.clone()));
        metrics.add_teller(&late);
        let shown = |name: &str| {
            let samples = metrics.samples(&Gauges::default());
            samples.iter().find(|s| s.name == name).unwrap().value.to_string()
        };
        assert_eq!(shown("commit_count"), "9");
        let page = metrics.prometheus(&Gauges::default(), &[]);
        assert!(page.contains("commit_count 18.0\n"), "{page}");
        // What was counted before a reset is gone with it.
        metrics.reset();
        assert_eq!(shown("commit_count"), "9");
        drop(late);
        assert_eq!(shown("commit_count"), "9");
    }
}
