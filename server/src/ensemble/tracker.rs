//! The last packets of a link, for whoever wants to know why it ended (`MessageTracker`). Off unless
//! `messageTracker.Enabled`.

use std::collections::VecDeque;
use std::net::SocketAddr;

use jiff::Zoned;
use parking_lot::Mutex;
use tracing::{info, warn};

/// One packet: when, and its type.
type Seen = (Zoned, &'static str);

/// Remembers the newest packets of each direction.
pub(super) struct Tracker {
    max: usize,
    received: Mutex<VecDeque<Seen>>,
    sent: Mutex<VecDeque<Seen>>,
}

impl Tracker {
    /// `max` packets of each direction; one at least.
    pub(super) fn new(max: usize) -> Self {
        Self { max: max.max(1), received: Mutex::default(), sent: Mutex::default() }
    }

    pub(super) fn received(&self, name: &'static str) {
        self.note(&self.received, name);
    }

    pub(super) fn sent(&self, name: &'static str) {
        self.note(&self.sent, name);
    }

    fn note(&self, seen: &Mutex<VecDeque<Seen>>, name: &'static str) {
        let mut seen = seen.lock();
        if seen.len() == self.max {
            seen.pop_front();
        }
        seen.push_back((Zoned::now(), name));
    }

    /// Writes what is remembered into the log and forgets it.
    pub(super) fn dump(&self, peer: Option<SocketAddr>) {
        let peer = peer.map_or_else(|| "nobody".to_owned(), |peer| format!("/{peer}"));
        for (seen, direction) in
            [(&self.received, "receivedBuffer from"), (&self.sent, "sentBuffer to")]
        {
            let seen = std::mem::take(&mut *seen.lock());
            if seen.is_empty() {
                info!("No buffered timestamps for messages {direction} {peer}");
                continue;
            }
            warn!("Last {} timestamps for messages {direction} {peer}:", seen.len());
            for (at, name) in seen {
                let at = at.strftime("%Y-%m-%d %H:%M:%S,%3f");
                warn!("{direction} {peer}  TimeStamp: {at} Type: {name}");
            }
        }
    }
}
