//! Those who count for themselves, and hand in what they counted now and then.

use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Threads with counts of their own.
pub trait Teller: Send + Sync {
    /// Has the threads enter their counts into the metrics, and returns when they have.
    fn hand_in(&self);
}

/// All of them.
#[derive(Default)]
pub(super) struct Tellers(Mutex<Vec<Weak<dyn Teller>>>);

impl Tellers {
    pub(super) fn add(&self, teller: Weak<dyn Teller>) {
        let mut tellers = self.0.lock();
        tellers.retain(|teller| teller.strong_count() > 0);
        tellers.push(teller);
    }

    /// Returns when all have handed in what they counted before this call.
    pub(super) fn settle(&self) {
        let tellers: Vec<Arc<_>> = self.0.lock().iter().filter_map(Weak::upgrade).collect();
        tellers.iter().for_each(|teller| teller.hand_in());
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

    /// Counts nine commits whenever it is asked.
    struct Late(Arc<Metrics>);

    impl Teller for Late {
        fn hand_in(&self) {
            self.0.commit_count.add(9);
        }
    }

    #[test]
    fn whoever_looks_sees_what_was_counted_before() {
        let metrics = Arc::new(Metrics::new(false));
        let late: Arc<dyn Teller> = Arc::new(Late(metrics.clone()));
        metrics.add_teller(Arc::downgrade(&late));
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
