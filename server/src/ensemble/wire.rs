//! The sending end of a link: what waits for it, and the short way past the queue.
//!
//! While nothing waits and the socket has room, whoever has packets writes them to it at once: no
//! thread has to wake up for that. What does not fit waits in the queue, and the link's thread, which
//! may wait for the peer, takes it from there. The queue's lock is held meanwhile, so that the order
//! is kept; nobody waits for the peer under it.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tracing::debug;

use super::tracker::Tracker;
use crate::auth::Cutter;
use crate::base::Zxid;
use crate::tree::cell::TreeReader;
use crate::tree::cut::Cut;
use crate::zab::Packet;

/// Bytes encoded before they go to the socket.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// One link.
pub(super) struct Wire {
    pub(super) stream: Cutter,
    pub(super) tracker: Option<Tracker>,
    queue: Mutex<Queue>,
    bell: Condvar,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    closed: bool,
    /// The link's thread waits for items: nobody else writes to the socket.
    asleep: bool,
    /// Packets being encoded.
    scratch: Vec<u8>,
}

/// What the link's thread sends.
pub(super) enum Item {
    Packet(Packet),
    /// The end of packets that did not fit.
    Rest(Vec<u8>),
    Log {
        after: Zxid,
        upto: Zxid,
    },
    Snapshot {
        zxid: Zxid,
        cut: Box<Cut>,
        reader: TreeReader,
    },
    End,
}

impl Item {
    /// The packet it begins with.
    pub(super) fn name(&self) -> Option<&'static str> {
        match self {
            Item::Packet(packet) => Some(packet.name()),
            Item::Log { .. } => Some("PROPOSAL"),
            Item::Snapshot { .. } => Some("SNAP"),
            Item::Rest(_) | Item::End => None,
        }
    }

    /// Bytes it keeps in memory, about.
    fn bytes(&self) -> usize {
        match self {
            Item::Packet(packet) => packet.weight(),
            Item::Rest(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

/// Too much waits for the peer.
pub(super) struct Overflow;

impl Wire {
    pub(super) fn new(stream: Cutter, tracker: Option<Tracker>) -> Self {
        Self { stream, tracker, queue: Mutex::default(), bell: Condvar::new() }
    }

    /// Sends packets, in order. Never waits.
    ///
    /// # Errors
    /// If more than `bytes_max` would wait.
    pub(super) fn send(
        &self,
        packets: impl IntoIterator<Item = Packet>,
        bytes_max: usize,
    ) -> Result<(), Overflow> {
        let mut packets = packets.into_iter();
        let mut queue = self.queue.lock();
        while !queue.closed && queue.asleep && queue.items.is_empty() {
            let mut scratch = std::mem::take(&mut queue.scratch);
            scratch.clear();
            for packet in packets.by_ref() {
                if let Some(tracker) = &self.tracker {
                    tracker.sent(packet.name());
                }
                packet.encode(&mut scratch);
                if scratch.len() >= CHUNK_BYTES {
                    break;
                }
            }
            if scratch.is_empty() {
                queue.scratch = scratch;
                return Ok(());
            }
            match self.stream.send_now(&scratch) {
                Ok(sent) if sent == scratch.len() => {
                    scratch.truncate(CHUNK_BYTES);
                    scratch.shrink_to(2 * CHUNK_BYTES);
                    queue.scratch = scratch;
                }
                Ok(sent) => {
                    scratch.drain(..sent);
                    self.put(&mut queue, Item::Rest(scratch), bytes_max)?;
                }
                Err(error) => {
                    debug!(peer = ?self.stream.peer(), %error, "link broke while sending");
                    queue.closed = true;
                    self.stream.cut();
                }
            }
        }
        for packet in packets {
            self.put(&mut queue, Item::Packet(packet), bytes_max)?;
        }
        Ok(())
    }

    /// Queues something for the link's thread.
    pub(super) fn push(&self, item: Item, bytes_max: usize) -> Result<(), Overflow> {
        self.put(&mut self.queue.lock(), item, bytes_max)
    }

    fn put(&self, queue: &mut Queue, item: Item, bytes_max: usize) -> Result<(), Overflow> {
        if queue.closed {
            return Ok(());
        }
        queue.bytes += item.bytes();
        if queue.bytes > bytes_max {
            queue.closed = true;
            return Err(Overflow);
        }
        queue.closed = matches!(item, Item::End);
        queue.items.push_back(item);
        if std::mem::take(&mut queue.asleep) {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Waits for items and takes all there are into `items`, which is empty. False at the end.
    pub(super) fn take(&self, items: &mut VecDeque<Item>) -> bool {
        let mut queue = self.queue.lock();
        while queue.items.is_empty() {
            if queue.closed {
                return false;
            }
            queue.asleep = true;
            self.bell.wait(&mut queue);
        }
        queue.asleep = false;
        std::mem::swap(&mut queue.items, items);
        queue.bytes = 0;
        true
    }

    /// Packets and bytes that wait.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let queue = self.queue.lock();
        (queue.items.len(), queue.bytes)
    }

    /// Ends the link.
    pub(super) fn cut(&self) {
        self.queue.lock().closed = true;
        self.bell.notify_all();
        self.stream.cut();
    }
}
