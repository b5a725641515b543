//! One I/O thread: an epoll loop, its connections, its mailbox.
//!
//! ```text
//!  epoll ─► readable connections ─► frames ─► reads answered, writes collected
//!  mailbox ─► touched outboxes, new connections                   │
//!                                 one hand-over to the pipeline ◄─┘ per turn of the loop
//! ```
//!
//! A connection lives and dies on one thread. Sockets are registered once, edge-triggered, for
//! both directions; no call changes the registration again. A turn costs one `epoll_wait`, and per
//! ready connection one read and one write.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use parking_lot::Mutex;
use socket2::SockRef;
use tracing::{debug, error, info, warn};

use super::clock;
use super::conn::{Conn, Next};
use super::count::Receipt;
use super::ledger::Ledger;
use super::limits::{Admitted, Full};
use super::secure::Secure;
use super::{ListenError, Listener, Shared};
use crate::base::{Arena, Mono};
use crate::outbox::{Bell, Counters, Origin, Place, Tally};
use crate::replica::Request;

/// Events taken from the kernel per turn.
const EVENTS_PER_TURN: usize = 256;

/// Size of the buffer that every read goes through, bytes. One per thread.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Reply buffers kept for reuse per thread.
const POOL_BUFFERS: usize = 64;

/// Larger buffers than this go back to the allocator, not to the pool, bytes.
const POOL_BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// Writes handed over before the end of a turn: while their bytes are in the processor's caches.
const HAND_OVER_REQUESTS: usize = 64;

/// How long counts may wait before they are added to the metrics, ms.
const LEDGER_MS: u64 = 20;

/// One turn of this many is timed for the histogram of reads: a clock costs more than a read.
const TIMED_TURNS: u64 = 64;

/// How often deadlines of connections are looked at, ms.
const SWEEP_MS: u64 = 1000;

const WAKER: Token = Token(usize::MAX);
/// Listeners count down from here.
const LISTENERS: usize = usize::MAX / 2;

/// What others tell an I/O thread.
pub(super) enum Mail {
    /// A connection accepted by the listening thread.
    New(Box<Accepted>),
    /// The answer to a four-letter word.
    Word(Place, Vec<u8>),
    /// Listen elsewhere from now on; tells where, or why not.
    Rebind(Vec<SocketAddr>, Sender<Result<Vec<SocketAddr>, ListenError>>),
    /// Enter what was counted, then drop this.
    HandIn(Receipt),
    /// Stop accepting.
    Quiesce,
    /// Close every connection.
    DropClients,
    /// Flush what can be flushed, close everything, end the thread.
    Stop,
}

/// A connection on its way to its thread.
pub(super) struct Accepted {
    pub stream: TcpStream,
    pub admitted: Admitted,
    pub secure_port: bool,
}

/// An I/O thread's mailbox.
pub(super) struct Inbox {
    slots: Mutex<Slots>,
    waker: Waker,
}

#[derive(Default)]
struct Slots {
    mail: Vec<Mail>,
    touched: Vec<Place>,
    asleep: bool,
    /// More of the log is durable.
    durable: bool,
    /// The thread has ended: nobody reads this any more.
    closed: bool,
}

impl Inbox {
    /// Mail for a thread that has ended is dropped.
    pub(super) fn post(&self, mail: Mail) {
        let mut slots = self.slots.lock();
        if slots.closed {
            return;
        }
        slots.mail.push(mail);
        let asleep = std::mem::replace(&mut slots.asleep, false);
        drop(slots);
        self.wake(asleep);
    }

    fn wake(&self, asleep: bool) {
        if asleep && let Err(error) = self.waker.wake() {
            warn!(%error, "cannot wake an I/O thread");
        }
    }
}

impl Bell for Inbox {
    fn ring(&self, places: &mut Vec<Place>) {
        let mut slots = self.slots.lock();
        slots.touched.append(places);
        let asleep = std::mem::replace(&mut slots.asleep, false);
        drop(slots);
        self.wake(asleep);
    }

    fn ring_durable(&self) -> bool {
        let mut slots = self.slots.lock();
        slots.durable = true;
        let asleep = std::mem::replace(&mut slots.asleep, false);
        drop(slots);
        self.wake(asleep);
        true
    }
}

/// What the connections of one thread share; lent to a connection while it runs.
pub(super) struct Desk {
    /// Monotonic time of this turn.
    pub now: Mono,
    /// Writes of this turn, handed over at its end.
    pub requests: Vec<Request<Origin>>,
    /// Counts of this turn.
    pub tally: Tally,
    /// Counts since they were last added to the metrics.
    pub ledger: Ledger,
    /// Bodies of writes on their way to the core.
    pub arena: Arena,
    scratch: Vec<u8>,
    pool: Vec<Vec<u8>>,
}

impl Desk {
    /// Takes the read buffer; give it back.
    pub fn take_scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.scratch)
    }

    /// Gives the read buffer back.
    pub fn return_scratch(&mut self, scratch: Vec<u8>) {
        self.scratch = scratch;
    }

    /// An empty buffer, with capacity if there is one to reuse.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.pool.pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.pool.len() < POOL_BUFFERS
            && buffer.capacity() > 0
            && buffer.capacity() <= POOL_BUFFER_BYTES_MAX
        {
            buffer.clear();
            self.pool.push(buffer);
        }
    }
}

/// A slot of the connection table.
struct Slot {
    generation: u32,
    conn: Option<Box<Conn>>,
}

/// An I/O thread before and while it runs.
pub(super) struct Station {
    index: u16,
    poll: Poll,
    inbox: Arc<Inbox>,
    listeners: Vec<Listener>,
    /// All inboxes, to spread accepted connections; only the listening thread uses it.
    peers: Vec<Arc<Inbox>>,
    next_peer: usize,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Connections that stopped before they had to wait: they go on next turn.
    again: VecDeque<u32>,
    /// Connections held back by a limit others must release; looked at after `stall`.
    stalled: Vec<u32>,
    next_sweep: Mono,
    next_entry: Mono,
    /// Reads of the ledgers before.
    reads_entered: u64,
    counters: Arc<Counters>,
    desk: Desk,
    /// A listener could not accept for want of resources: its edge is spent.
    accept_again: bool,
    /// Connections refused since the last complaint, and when the next one may come.
    refused: u64,
    next_complaint: Mono,
    /// Turns so far: some of them are timed.
    turns: u64,
    quiet: bool,
    stopping: bool,
}

impl Station {
    pub(super) fn new(index: u16) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let inbox = Arc::new(Inbox { slots: Mutex::default(), waker });
        let counters = Arc::new(Counters::default());
        let desk = Desk {
            now: clock::mono(),
            requests: Vec::new(),
            tally: Tally::default(),
            ledger: Ledger::default(),
            arena: Arena::default(),
            scratch: vec![0; SCRATCH_BYTES],
            pool: Vec::new(),
        };
        Ok(Self {
            index,
            poll,
            inbox,
            listeners: Vec::new(),
            peers: Vec::new(),
            next_peer: 0,
            slots: Vec::new(),
            free: Vec::new(),
            again: VecDeque::new(),
            stalled: Vec::new(),
            next_sweep: Mono(0),
            next_entry: Mono(0),
            reads_entered: 0,
            counters,
            desk,
            accept_again: false,
            refused: 0,
            next_complaint: Mono(0),
            turns: 0,
            quiet: false,
            stopping: false,
        })
    }

    pub(super) fn inbox(&self) -> Arc<Inbox> {
        self.inbox.clone()
    }

    pub(super) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Makes this the listening thread.
    pub(super) fn listen(
        &mut self,
        mut listeners: Vec<Listener>,
        peers: Vec<Arc<Inbox>>,
    ) -> io::Result<()> {
        for (index, listener) in listeners.iter_mut().enumerate() {
            let token = Token(LISTENERS - index);
            self.poll.registry().register(&mut listener.socket, token, Interest::READABLE)?;
        }
        self.listeners = listeners;
        self.peers = peers;
        Ok(())
    }

    /// Closes the plain listeners, then opens others: the port may stay the same. Clients that
    /// already came to the old ones are served.
    fn rebind(
        &mut self,
        shared: &Shared,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, ListenError> {
        (0..self.listeners.len()).for_each(|listener| self.accept(shared, listener));
        self.listeners.retain(|listener| listener.secure);
        for (index, listener) in self.listeners.iter_mut().enumerate() {
            let token = Token(LISTENERS - index);
            let registry = self.poll.registry();
            if let Err(error) = registry.reregister(&mut listener.socket, token, Interest::READABLE)
            {
                warn!(%error, "the TLS port is lost");
            }
        }
        let mut bound = Vec::new();
        for address in addresses {
            let failed = |source| ListenError { address: *address, source };
            let mut socket = super::listen(*address, shared.options.backlog).map_err(failed)?;
            bound.push(socket.local_addr().map_err(failed)?);
            let token = Token(LISTENERS - self.listeners.len());
            let registry = self.poll.registry();
            registry.register(&mut socket, token, Interest::READABLE).map_err(failed)?;
            self.listeners.push(Listener { socket, secure: false });
        }
        Ok(bound)
    }

    /// The loop. Ends after [`Mail::Stop`].
    pub(super) fn run(mut self, shared: &Shared) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stopping {
            let timeout = self.timeout(shared);
            if let Err(error) = self.poll.poll(&mut events, timeout) {
                assert!(error.kind() == io::ErrorKind::Interrupted, "epoll failed: {error}");
            }
            self.desk.now = clock::mono();
            self.turns = self.turns.wrapping_add(1);
            let timed = (self.turns % TIMED_TURNS == 1).then(|| (Instant::now(), self.reads()));
            for event in events.iter() {
                match event.token() {
                    WAKER => {}
                    Token(token) if token > LISTENERS - 1024 && token <= LISTENERS => {
                        self.accept(shared, LISTENERS - token);
                    }
                    Token(slot) => {
                        if let Some(conn) = self.conn(slot as u32) {
                            conn.ready(event.is_readable(), event.is_writable());
                            if event.is_read_closed() || event.is_error() {
                                conn.read_closed();
                            }
                            self.drive(shared, slot as u32, false);
                        }
                    }
                }
            }
            self.read_mail(shared);
            self.go_on(shared);
            self.sweep(shared);
            if let Some((begun, before)) = timed {
                let reads = self.reads() - before;
                let us = begun.elapsed().as_micros() as u64;
                shared.metrics.rookeeper_read_seconds.add(us, reads);
            }
            self.hand_over(shared);
        }
        self.close_all(shared);
        let mut slots = self.inbox.slots.lock();
        slots.closed = true;
        let unread = std::mem::take(&mut slots.mail);
        drop(slots);
        drop(unread);
    }

    /// How long to sleep; none if there is work or mail.
    fn timeout(&mut self, shared: &Shared) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let mut slots = self.inbox.slots.lock();
        if slots.durable || !slots.mail.is_empty() || !slots.touched.is_empty() {
            return Some(Duration::ZERO);
        }
        slots.asleep = true;
        drop(slots);
        if !self.stalled.is_empty() {
            let stall = shared.options.request_throttle.stall_time_ms.clamp(1, SWEEP_MS);
            return Some(Duration::from_millis(stall));
        }
        if !self.desk.ledger.is_empty() {
            return Some(Duration::from_millis(LEDGER_MS));
        }
        let idle = self.slots.len() == self.free.len() && !self.accept_again;
        (!idle).then_some(Duration::from_millis(SWEEP_MS))
    }

    fn conn(&mut self, slot: u32) -> Option<&mut Conn> {
        self.slots.get_mut(slot as usize)?.conn.as_deref_mut()
    }

    fn conn_at(&mut self, place: Place) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(place.slot as usize)?;
        if slot.generation != place.generation {
            return None;
        }
        slot.conn.as_deref_mut()
    }

    /// Lets a connection do all it can.
    fn drive(&mut self, shared: &Shared, slot: u32, touched: bool) {
        let Some(conn) = self.slots.get_mut(slot as usize).and_then(|s| s.conn.as_deref_mut())
        else {
            return;
        };
        let desk = &mut self.desk;
        // A panic here is a bug in the handling of this client's bytes. It costs this connection;
        // whatever it held is unlocked by unwinding, and the tree was only read.
        let next = catch_unwind(AssertUnwindSafe(|| conn.drive(shared, desk, touched)));
        let next = next.unwrap_or_else(|_| {
            error!(slot, "a bug: closing the connection that ran into it");
            self.desk.scratch.resize(SCRATCH_BYTES, 0);
            Next::Close
        });
        match next {
            Next::Wait => {}
            Next::Again => self.again.push_back(slot),
            Next::Stalled => self.stalled.push(slot),
            Next::Close => self.close(shared, slot),
        }
        if self.desk.requests.len() >= HAND_OVER_REQUESTS {
            shared.upstream.submit(&mut self.desk.requests);
        }
    }

    fn read_mail(&mut self, shared: &Shared) {
        let durable = {
            let mut slots = self.inbox.slots.lock();
            slots.asleep = false;
            std::mem::take(&mut slots.durable)
        };
        if durable {
            shared.upstream.apply_durable();
        }
        let (mail, touched) = {
            let mut slots = self.inbox.slots.lock();
            slots.asleep = false;
            if slots.mail.is_empty() && slots.touched.is_empty() {
                return;
            }
            (std::mem::take(&mut slots.mail), std::mem::take(&mut slots.touched))
        };
        for place in &touched {
            if self.conn_at(*place).is_some() {
                self.drive(shared, place.slot, true);
            }
        }
        self.give_back(touched);
        for mail in mail {
            match mail {
                Mail::New(accepted) => self.add(shared, *accepted),
                Mail::Word(place, answer) => {
                    if let Some(conn) = self.conn_at(place) {
                        conn.answer_word(answer);
                        self.drive(shared, place.slot, true);
                    }
                }
                Mail::Rebind(addresses, answer) => {
                    let bound = self.rebind(shared, &addresses);
                    // Whoever asked may have lost interest.
                    let _ = answer.send(bound);
                }
                Mail::HandIn(receipt) => {
                    self.enter_tally();
                    self.enter_ledger(shared);
                    drop(receipt);
                }
                Mail::Quiesce => {
                    self.quiet = true;
                    self.listeners.clear();
                }
                Mail::DropClients => self.close_all(shared),
                Mail::Stop => self.stopping = true,
            }
        }
    }

    /// Capacity of the list of touched connections circulates.
    fn give_back(&mut self, mut touched: Vec<Place>) {
        touched.clear();
        let mut slots = self.inbox.slots.lock();
        if slots.touched.capacity() == 0 {
            slots.touched = touched;
        }
    }

    /// Connections that were interrupted for fairness, and those that a limit held back.
    fn go_on(&mut self, shared: &Shared) {
        for _ in 0..self.again.len() {
            if let Some(slot) = self.again.pop_front() {
                self.drive(shared, slot, false);
            }
        }
        if !self.stalled.is_empty() {
            for slot in std::mem::take(&mut self.stalled) {
                self.drive(shared, slot, false);
            }
        }
    }

    /// Closes connections whose time is over.
    fn sweep(&mut self, shared: &Shared) {
        if self.desk.now < self.next_sweep {
            return;
        }
        self.next_sweep = self.desk.now.plus_ms(SWEEP_MS);
        if std::mem::take(&mut self.accept_again) {
            (0..self.listeners.len()).for_each(|listener| self.accept(shared, listener));
        }
        let now = self.desk.now;
        for slot in 0..self.slots.len() as u32 {
            if self.conn(slot).is_some_and(|conn| conn.is_overdue(now)) {
                debug!(slot, "connection timed out");
                self.desk.ledger.sessionless_expired += 1;
                self.close(shared, slot);
            }
        }
    }

    /// Ends a turn: writes to the pipeline, counts to the counters.
    fn hand_over(&mut self, shared: &Shared) {
        if !self.desk.requests.is_empty() {
            shared.upstream.submit(&mut self.desk.requests);
        }
        self.enter_tally();
        if self.desk.now >= self.next_entry {
            self.enter_ledger(shared);
        }
    }

    /// All so far; a turn may enter some of them in the middle.
    fn reads(&self) -> u64 {
        self.reads_entered + self.desk.ledger.reads
    }

    fn enter_tally(&mut self) {
        let tally = std::mem::take(&mut self.desk.tally);
        self.desk.ledger.response_bytes += tally.response_bytes;
        self.counters.add(&tally);
    }

    /// Adds the ledger to the metrics, which all threads share: rarely.
    fn enter_ledger(&mut self, shared: &Shared) {
        self.reads_entered += self.desk.ledger.reads;
        self.desk.ledger.enter(&shared.metrics);
        self.next_entry = self.desk.now.plus_ms(LEDGER_MS);
    }

    fn accept(&mut self, shared: &Shared, listener: usize) {
        loop {
            if self.quiet {
                return;
            }
            let Some(from) = self.listeners.get(listener) else { return };
            let secure_port = from.secure;
            match from.socket.accept() {
                Ok((stream, remote)) => {
                    let admitted = match shared.limits.admit(remote, &shared.options) {
                        Ok(admitted) => admitted,
                        Err(full) => {
                            self.refuse(shared, remote, full);
                            super::abort(&stream);
                            continue;
                        }
                    };
                    if shared.options.keep_alive
                        && let Err(error) = SockRef::from(&stream).set_keepalive(true)
                    {
                        debug!(%error, "cannot switch keep-alive on");
                    }
                    let accepted = Accepted { stream, admitted, secure_port };
                    self.next_peer = (self.next_peer + 1) % self.peers.len();
                    if self.next_peer == usize::from(self.index) {
                        self.add(shared, accepted);
                    } else {
                        self.peers[self.next_peer].post(Mail::New(Box::new(accepted)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if is_transient(&error) => {}
                Err(error) => {
                    // Out of descriptors or memory: others will close; look again next turn.
                    warn!(%error, "cannot accept a connection");
                    self.accept_again = true;
                    return;
                }
            }
        }
    }

    /// Java warns for each of them and can flood its log; here one warning per second of a limit
    /// tells how many there were.
    fn refuse(&mut self, shared: &Shared, remote: SocketAddr, full: Full) {
        self.desk.ledger.rejected += 1;
        self.refused += 1;
        if self.desk.now < self.next_complaint {
            return;
        }
        self.next_complaint = self.desk.now.plus_ms(SWEEP_MS);
        let more = std::mem::take(&mut self.refused) - 1;
        let (ip, options) = (remote.ip(), &shared.options);
        match full {
            Full::OfAddress => {
                let max = shared.limits.per_address();
                warn!(unreported = more, "Too many connections from /{ip} - max is {max}");
            }
            Full::InAll(open) => {
                let max = options.connections_max;
                error!(unreported = more, "Too many connections {open} - max is {max}");
            }
        }
    }

    fn add(&mut self, shared: &Shared, accepted: Accepted) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, conn: None });
            (self.slots.len() - 1) as u32
        });
        let generation = self.slots[slot as usize].generation;
        let place = Place { station: self.index, slot, generation };
        let Accepted { mut stream, admitted, secure_port } = accepted;
        let secure = match secure(shared, secure_port) {
            Ok(secure) => secure,
            Err(reason) => {
                debug!(remote = %admitted.remote, reason, "connection refused");
                self.free.push(slot);
                return super::abort(&stream);
            }
        };
        let registered = stream.set_nodelay(true).and_then(|()| {
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(slot as usize), both)
        });
        if let Err(error) = registered {
            debug!(%error, "cannot serve a connection");
            self.free.push(slot);
            return;
        }
        let conn = Conn::new(shared, self.desk.now, stream, admitted, place, secure, secure_port);
        self.slots[slot as usize].conn = Some(Box::new(conn));
    }

    fn close(&mut self, shared: &Shared, slot: u32) {
        let entry = &mut self.slots[slot as usize];
        if let Some(mut conn) = entry.conn.take() {
            entry.generation = entry.generation.wrapping_add(1);
            self.free.push(slot);
            if let Err(error) = self.poll.registry().deregister(conn.stream()) {
                debug!(%error, "cannot deregister a socket");
            }
            conn.close(shared);
        }
    }

    fn close_all(&mut self, shared: &Shared) {
        let mut open = 0;
        for slot in 0..self.slots.len() as u32 {
            if self.conn(slot).is_some() {
                open += 1;
                self.drive(shared, slot, true);
                self.close(shared, slot);
            }
        }
        info!(station = self.index, connections = open, "closed all client connections");
        self.hand_over(shared);
        self.enter_ledger(shared);
    }
}

/// The TLS side of a new connection, if it has one.
fn secure(shared: &Shared, secure_port: bool) -> Result<Option<Box<Secure>>, String> {
    let options = &shared.options;
    let (Some(tls), true) = (&shared.tls, secure_port || options.unified) else { return Ok(None) };
    if secure_port && options.early_drop && !shared.role.is_serving() {
        shared.metrics.cnxn_closed_without_zk_server_running.add(1);
        return Err("not serving".to_owned());
    }
    let max = options.tls_handshakes_max;
    match Secure::new(tls.clone(), !secure_port, &shared.tls_handshakes, max) {
        Ok(Some(secure)) => Ok(Some(Box::new(secure))),
        Ok(None) => {
            shared.metrics.tls_handshake_exceeded.add(1);
            Err("too many TLS handshakes at once".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The peer's fault, not ours: accept the next one.
fn is_transient(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
