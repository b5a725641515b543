//! A loop's mailbox: two lanes and one bell.
//!
//! Not a channel of single messages: a sender hands over all it has under one lock, the owner
//! takes all there is under one lock, and the bell rings only for an owner that sleeps. Under load
//! neither side makes a system call. Bounded by what bounds its senders: the permits of
//! [`crate::outbox::Admission`] for requests, one message per batch for control; what other servers
//! send waits for room ([`Mailbox::post_when_room`]), and so they wait for us.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::net::clock;

/// Bytes that may wait; then whoever reads them from a socket waits.
const BYTES_MAX: usize = 64 << 20;

/// An owner that takes nothing for so long is gone.
const ROOM_TIMEOUT: Duration = Duration::from_secs(60);

/// A mailbox with a control lane and a bulk lane.
#[derive(Debug)]
pub struct Mailbox<C, B> {
    lanes: Mutex<Lanes<C, B>>,
    bell: Condvar,
    room: Condvar,
    /// When the oldest message in it came, µs; 0 if nobody said so.
    since: AtomicU64,
}

#[derive(Debug)]
struct Lanes<C, B> {
    control: Vec<C>,
    bulk: Vec<B>,
    asleep: bool,
    /// Of what was posted with its size.
    bytes: usize,
    /// The owner takes no more.
    closed: bool,
}

impl<C, B> Default for Mailbox<C, B> {
    fn default() -> Self {
        let (control, bulk) = (Vec::new(), Vec::new());
        let lanes = Lanes { control, bulk, asleep: false, bytes: 0, closed: false };
        let (bell, room) = (Condvar::new(), Condvar::new());
        Self { lanes: Mutex::new(lanes), bell, room, since: AtomicU64::new(0) }
    }
}

impl<C, B> Mailbox<C, B> {
    /// Posts one control message.
    pub fn post(&self, message: C) {
        let mut lanes = self.lanes.lock();
        lanes.control.push(message);
        self.ring(lanes);
    }

    /// Posts one control message of so many bytes, as soon as there is room. Not for the owner, nor
    /// for anybody it waits for.
    pub fn post_when_room(&self, message: C, bytes: usize) {
        let mut lanes = self.lanes.lock();
        while lanes.bytes >= BYTES_MAX && !lanes.closed {
            if self.room.wait_for(&mut lanes, ROOM_TIMEOUT).timed_out() {
                break;
            }
        }
        lanes.bytes += bytes;
        lanes.control.push(message);
        self.ring(lanes);
    }

    /// The owner ends: nobody needs to wait for it.
    pub fn close(&self) {
        self.lanes.lock().closed = true;
        self.room.notify_all();
    }

    /// Posts a batch; `batch` is left empty with its capacity.
    pub fn post_bulk(&self, batch: &mut Vec<B>) {
        if batch.is_empty() {
            return;
        }
        let mut lanes = self.lanes.lock();
        if lanes.bulk.is_empty() {
            std::mem::swap(&mut lanes.bulk, batch);
        } else {
            lanes.bulk.append(batch);
        }
        self.ring(lanes);
    }

    /// Notes that something is about to be posted, for whoever measures how long it waits. The clock
    /// is read only if nothing waits yet.
    pub fn mark(&self) {
        if self.since.load(Relaxed) == 0 {
            self.since.store(clock::micros(), Relaxed);
        }
    }

    /// When the oldest message of those just taken was announced with [`Self::mark`].
    pub fn marked(&self) -> Option<u64> {
        Some(self.since.swap(0, Relaxed)).filter(|since| *since > 0)
    }

    /// Takes everything, waiting for the first message, at most `timeout`. Both arguments must be
    /// empty; they are swapped with the lanes, so capacity circulates.
    pub fn take(&self, control: &mut Vec<C>, bulk: &mut Vec<B>, timeout: Option<Duration>) {
        debug_assert!(control.is_empty() && bulk.is_empty());
        let mut lanes = self.lanes.lock();
        if lanes.control.is_empty() && lanes.bulk.is_empty() {
            lanes.asleep = true;
            match timeout {
                Some(timeout) => {
                    self.bell.wait_for(&mut lanes, timeout);
                }
                None => self.bell.wait(&mut lanes),
            }
            lanes.asleep = false;
        }
        std::mem::swap(&mut lanes.control, control);
        std::mem::swap(&mut lanes.bulk, bulk);
        if std::mem::take(&mut lanes.bytes) >= BYTES_MAX {
            self.room.notify_all();
        }
    }

    fn ring(&self, mut lanes: parking_lot::MutexGuard<'_, Lanes<C, B>>) {
        let wake = std::mem::replace(&mut lanes.asleep, false);
        drop(lanes);
        if wake {
            self.bell.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let mailbox = Arc::new(Mailbox::<u64, u64>::default());
        let senders: Vec<_> = (0..3u64)
            .map(|sender| {
                let mailbox = mailbox.clone();
                std::thread::spawn(move || {
                    let mut batch = Vec::new();
                    for i in 0..1000u64 {
                        batch.extend([i, i]);
                        mailbox.post_bulk(&mut batch);
                        if i % 10 == sender {
                            mailbox.post(1);
                        }
                    }
                })
            })
            .collect();
        let (mut control, mut bulk) = (Vec::new(), Vec::new());
        let (mut controls, mut bulks) = (0, 0);
        while bulks < 6000 || controls < 300 {
            mailbox.take(&mut control, &mut bulk, None);
            controls += control.drain(..).count();
            bulks += bulk.drain(..).count();
        }
        for sender in senders {
            sender.join().expect("sender ended");
        }
        assert_eq!((controls, bulks), (300, 6000));
    }

    #[test]
    fn senders_wait_for_room() {
        let mailbox = Arc::new(Mailbox::<u8, u8>::default());
        let post = |count: u8| {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || {
                for n in 0..count {
                    mailbox.post_when_room(n, BYTES_MAX / 2);
                }
            })
        };
        let sender = post(9);
        let (mut control, mut bulk) = (Vec::new(), Vec::new());
        let mut all = Vec::new();
        while all.len() < 9 {
            mailbox.take(&mut control, &mut bulk, None);
            assert!(control.len() <= 2, "{control:?}");
            all.append(&mut control);
        }
        sender.join().expect("sender ended");
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
        // Nobody waits for an owner that is gone.
        let sender = post(5);
        mailbox.close();
        sender.join().expect("sender ended");
    }

    #[test]
    fn a_timeout_returns_empty_handed() {
        let mailbox = Mailbox::<u8, u8>::default();
        let (mut control, mut bulk) = (Vec::new(), Vec::new());
        mailbox.take(&mut control, &mut bulk, Some(Duration::from_millis(1)));
        assert!(control.is_empty() && bulk.is_empty());
    }
}
