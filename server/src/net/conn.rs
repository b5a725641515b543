//! One connection: its socket, its phase, its buffers.
//!
//! ```text
//!  Fresh ──connect request──► Connecting ──reply applied──► Open ──► Leaving ──flushed──► closed
//!    └────four-letter word──► Word ──answered──────────────────────────┘
//! ```
//!
//! What requests mean is in [`super::request`] and [`super::handshake`]; here is when to read, when
//! to stop reading, and when to write.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use mio::net::TcpStream;
use tracing::{debug, info, warn};

use super::clock;
use super::fourlw::java_address;
use super::limits::Admitted;
use super::request::{Split, split};
use super::secure::{Received, Secure};
use super::station::Desk;
use super::{Shared, handshake, request};
use crate::acl::{self, Identity, host_address};
use crate::auth::Exchange;
use crate::base::{Mono, SessionId};
use crate::outbox::{Fate, Outbox, Parked, Place, State};

/// Bytes read from one connection before others get their turn.
const READ_BYTES_PER_TURN: usize = 256 * 1024;

/// Buffers of idle connections up to this size are kept, bytes. There are two of them.
const IDLE_BUFFER_BYTES: usize = 1024;

/// Requests that one connection may have parked, whatever `globalOutstandingLimit` says; above it
/// the connection is not read. Bounds the work of `apply` for one connection under one guard.
const PARKED_MAX: usize = 2 * 1024;

/// What a connection needs after it did all it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// An event or a touch.
    Wait,
    /// Another turn: it was interrupted for fairness.
    Again,
    /// Time: a limit that others must release holds it back.
    Stalled,
    /// To be closed.
    Close,
}

/// Where in its life a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing but perhaps part of the first frame came.
    Fresh,
    /// A four-letter word is being answered.
    Word,
    /// The handshake is in the pipeline; frames behind it wait.
    Connecting,
    /// Requests are served.
    Open {
        /// The session.
        session: SessionId,
        /// Negotiated timeout, ms.
        timeout_ms: i32,
    },
    /// The last answer is on its way; whatever comes in is ignored.
    Leaving,
}

/// How far a run over received bytes came.
pub(super) enum Progress {
    /// Everything complete was handled; what is left is part of a frame.
    Partial,
    /// It stopped for another reason: a full burst, or another phase.
    Held,
    /// The connection is beyond saving.
    Close(&'static str),
}

/// A connection.
pub(super) struct Conn {
    stream: TcpStream,
    pub outbox: Arc<Outbox>,
    pub phase: Phase,
    /// The kernel may have something for us; false only after it said no.
    readable: bool,
    writable: bool,
    /// The peer is gone or will send nothing more.
    ended: bool,
    /// Nothing can be written any more. What the peer sent before it hung up still counts (a close
    /// of its session most of all): it is read to its end, and answers are thrown away.
    deaf: bool,
    /// The global request throttle holds this connection back.
    stalled: bool,
    /// Received and not handled: a partial frame, or frames held back.
    inbox: Vec<u8>,
    /// `inbox` begins with a frame that was held back, complete or not looked at.
    backlog: bool,
    /// When the oldest request in `inbox` was complete.
    pub inbox_since: Mono,
    /// Since when the request throttle has kept us from reading what the socket has.
    held_since: Option<Mono>,
    /// Being written; `written` bytes of it are gone.
    writing: Vec<u8>,
    written: usize,
    /// The outbox has more than `writing` could take.
    more_out: bool,
    /// The outbox counts part of `writing`.
    taken_noted: bool,
    /// TLS, where it is or may be spoken.
    secure: Option<Box<Secure>>,
    /// `writing` is ciphertext.
    sealed: bool,
    /// A login that began.
    pub sasl: Option<Box<Exchange>>,
    /// The socket's silence limit (`NIOServerCnxnFactory.touchCnxn`).
    deadline: Mono,
    /// Keeps the place in the connection limits.
    _admitted: Admitted,
}

impl Conn {
    pub fn new(
        shared: &Shared,
        now: Mono,
        stream: TcpStream,
        admitted: Admitted,
        place: Place,
        secure: Option<Box<Secure>>,
        secure_port: bool,
    ) -> Self {
        let remote = admitted.remote;
        let identities = [Identity::new("ip", &host_address(remote.ip()))];
        let outbox = shared.registry.register(|watcher| {
            shared.watches.open(watcher);
            Outbox::new(remote, secure_port, clock::wall(), place, watcher, identities.into())
        });
        Self {
            stream,
            outbox,
            phase: Phase::Fresh,
            readable: true,
            writable: true,
            ended: false,
            deaf: false,
            stalled: false,
            inbox: Vec::new(),
            backlog: false,
            inbox_since: now,
            held_since: None,
            writing: Vec::new(),
            written: 0,
            more_out: false,
            taken_noted: false,
            secure,
            sealed: false,
            sasl: None,
            deadline: silence_limit(now, shared.options.sessionless_timeout_ms),
            _admitted: admitted,
        }
    }

    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// The subject of the client's certificate.
    pub fn x509_subject(&self) -> Option<&str> {
        self.secure.as_deref().and_then(Secure::subject)
    }

    /// The kernel says so.
    pub fn ready(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// The peer will send nothing more: reads must go on until they say so.
    pub fn read_closed(&mut self) {
        self.ended = true;
    }

    /// The connection was silent for too long.
    pub fn is_overdue(&self, now: Mono) -> bool {
        now >= self.deadline
    }

    /// The answer to a four-letter word is complete.
    pub fn answer_word(&mut self, answer: Vec<u8>) {
        let mut state = self.outbox.lock();
        state.out = answer;
        state.stats.sent += 1;
        state.close(Fate::CloseAfterFlush);
    }

    /// Does all that can be done without waiting. `touched`: somebody else changed the outbox.
    pub fn drive(&mut self, shared: &Shared, desk: &mut Desk, touched: bool) -> Next {
        self.stalled = false;
        if touched && !self.look_into_outbox(desk) {
            return Next::Close;
        }
        let mut budget = READ_BYTES_PER_TURN;
        let next = loop {
            if !self.flush(desk) {
                break Next::Close;
            }
            if self.backlog && self.may_handle(shared) {
                let bytes = std::mem::take(&mut self.inbox);
                if !self.consume(shared, desk, bytes) {
                    break Next::Close;
                }
                continue;
            }
            if !self.readable || !self.may_handle(shared) {
                break Next::Wait;
            }
            if budget == 0 {
                break Next::Again;
            }
            match self.fill(shared, desk) {
                Fill::Bytes(read) => budget = budget.saturating_sub(read),
                Fill::Nothing if self.deaf => break Next::Close,
                Fill::Nothing => {}
                Fill::Close => break Next::Close,
            }
        };
        if next == Next::Wait && self.stalled {
            if self.inbox.is_empty() {
                self.held_since.get_or_insert(desk.now);
            }
            if self.ended && shared.options.request_throttle.drops_orphans()
                || self.has_outlived(shared, desk.now)
            {
                desk.ledger.stale_dropped += self.frames_held(shared, desk);
                return Next::Close;
            }
            desk.ledger.throttle_waits += 1;
            return Next::Stalled;
        }
        next
    }

    /// Complete frames that wait for the request throttle, read or still in the socket.
    fn frames_held(&mut self, shared: &Shared, desk: &mut Desk) -> u64 {
        let mut scratch = desk.take_scratch();
        while self.secure.is_none() && self.inbox.len() < READ_BYTES_PER_TURN {
            match self.stream.read(&mut scratch) {
                Ok(read) if read > 0 => self.inbox.extend_from_slice(&scratch[..read]),
                _ => break,
            }
        }
        desk.return_scratch(scratch);
        frames(&self.inbox, shared.options.frame_max)
    }

    /// What is held back has waited longer than its session may be silent.
    fn has_outlived(&self, shared: &Shared, now: Mono) -> bool {
        let Phase::Open { timeout_ms, .. } = self.phase else { return false };
        let since = self.held_since.unwrap_or(self.inbox_since);
        self.is_stale(shared, now.since(since), timeout_ms)
    }

    /// `Len error`: what stands where a length should be.
    pub fn log_length(&self, bytes: &[u8]) {
        let Some(prefix) = bytes.first_chunk() else { return };
        let length = i32::from_be_bytes(*prefix);
        let negative = if length < 0 { "is negative" } else { "is larger than jute.maxbuffer" };
        warn!(
            "Len error. A message from {} with advertised length of {length} {negative}",
            java_address(self.outbox.remote)
        );
    }

    /// The client is gone, or closed its half (`NIOServerCnxn.handleFailedRead`).
    fn lost(&self, desk: &mut Desk) {
        if matches!(self.phase, Phase::Word | Phase::Leaving) {
            return;
        }
        desk.ledger.dropped += 1;
        let session = match self.phase {
            Phase::Open { session, .. } => session.0,
            _ => 0,
        };
        info!(
            "Unable to read additional data from client, it probably closed the socket: address = \
             {}, session = 0x{session:x}",
            java_address(self.outbox.remote)
        );
    }

    /// Frees everything others hold of this connection.
    pub fn close(&mut self, shared: &Shared) {
        let (parked, attached, heard) = {
            let mut state = self.outbox.lock();
            state.close(Fate::CloseNow);
            state.out = Vec::new();
            (std::mem::take(&mut state.parked), state.attached, state.last_heard)
        };
        if let Some(attached) = attached {
            shared.upstream.heard(attached.session, heard, attached.timeout_ms);
        }
        shared.admission.give_back(parked.len());
        for request in parked {
            if let Parked::Write { large_bytes, .. } = request {
                shared.admission.give_back_large(large_bytes as usize);
            }
        }
        // No event may fire between the end of its watches and the end of its name, or the next
        // owner of the name would get it.
        let tree = shared.tree.read();
        shared.watches.clear(self.outbox.watcher);
        shared.registry.unregister(&self.outbox);
        drop(tree);
    }

    /// Something was put into the outbox outside of a burst.
    pub fn expect_out(&mut self) {
        self.more_out = true;
    }

    /// Sees what `apply` left. False if the connection is to be closed at once.
    fn look_into_outbox(&mut self, desk: &mut Desk) -> bool {
        let outbox = self.outbox.clone();
        let mut state = outbox.lock();
        state.visited();
        if state.fate == Fate::CloseNow {
            return false;
        }
        if self.phase == Phase::Connecting
            && let Some(attached) = state.attached
        {
            self.phase = Phase::Open { session: attached.session, timeout_ms: attached.timeout_ms };
            self.deadline = silence_limit(desk.now, attached.timeout_ms.max(0) as u64);
        }
        self.take_out(&mut state, desk);
        true
    }

    /// Takes the queued frames for writing, if the last ones are gone.
    pub fn take_out(&mut self, state: &mut State, desk: &mut Desk) {
        if state.fate >= Fate::CloseAfterFlush {
            self.phase = Phase::Leaving;
        }
        if !self.writing.is_empty() {
            self.more_out = !state.out.is_empty();
            return;
        }
        self.more_out = false;
        if !state.out.is_empty() {
            std::mem::swap(&mut state.out, &mut self.writing);
            if state.out.capacity() > IDLE_BUFFER_BYTES {
                desk.recycle(std::mem::take(&mut state.out));
            }
        }
    }

    /// May frames be handled, as far as phase and limits go?
    fn may_handle(&mut self, shared: &Shared) -> bool {
        if self.phase == Phase::Connecting || self.phase == Phase::Leaving {
            return false;
        }
        let options = &shared.options;
        let throttle = options.request_throttle.requests_max;
        let in_flight = shared.admission.requests();
        // Four-letter words pass the throttle as in Java, and handshakes with them: only the bytes
        // behind the first ones would tell which it is.
        let is_open = matches!(self.phase, Phase::Open { .. });
        if throttle > 0 && in_flight >= throttle && is_open {
            self.stalled = true;
            return false;
        }
        let slow_reader = !self.writing.is_empty();
        let crowded = in_flight > options.outstanding_max;
        if !slow_reader && !crowded && in_flight < PARKED_MAX {
            return true;
        }
        // `globalOutstandingLimit`: when all together have too much in flight, those who have
        // nothing in flight may still go on.
        let state = self.outbox.lock();
        let unsent = state.out.len() + self.writing.len() - self.written;
        unsent <= options.outbox_high_bytes
            && state.parked.len() < PARKED_MAX
            && (!crowded || state.parked.is_empty())
    }

    /// Reads what the socket has and handles it.
    fn fill(&mut self, shared: &Shared, desk: &mut Desk) -> Fill {
        let mut scratch = desk.take_scratch();
        let read = self.stream.read(&mut scratch);
        let outcome = match read {
            Ok(0) => {
                self.lost(desk);
                Fill::Close
            }
            Ok(read) => {
                desk.ledger.received_bytes += read as u64;
                // A short read drained the socket; the next bytes raise a new edge. Unless the
                // peer is done: then the end is still to be read.
                self.readable = read == scratch.len() || self.ended;
                // Nothing complete was left over, or we would not read: all requests are new.
                self.inbox_since = self.held_since.take().unwrap_or(desk.now);
                let goes_on = match self.secure.is_some() {
                    true => self.decrypt(shared, desk, &scratch[..read]),
                    false => self.take_in(shared, desk, &scratch[..read]),
                };
                if goes_on { Fill::Bytes(read) } else { Fill::Close }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Fill::Nothing
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Fill::Nothing,
            Err(error) => {
                debug!(remote = %self.outbox.remote, %error, "connection lost");
                desk.ledger.dropped += 1;
                Fill::Close
            }
        };
        desk.return_scratch(scratch);
        match outcome {
            // Half-closed, but still owed the answer to its four-letter word (`echo ruok | nc`).
            Fill::Close if self.phase == Phase::Word || self.phase == Phase::Leaving => {
                self.readable = false;
                Fill::Nothing
            }
            outcome => outcome,
        }
    }

    /// Handles bytes of the client.
    fn take_in(&mut self, shared: &Shared, desk: &mut Desk, bytes: &[u8]) -> bool {
        if self.inbox.is_empty() {
            return self.consume_slice(shared, desk, bytes);
        }
        let mut owned = std::mem::take(&mut self.inbox);
        owned.extend_from_slice(bytes);
        self.consume(shared, desk, owned)
    }

    /// Handles bytes of a client that speaks TLS, or may.
    fn decrypt(&mut self, shared: &Shared, desk: &mut Desk, bytes: &[u8]) -> bool {
        let Some(mut secure) = self.secure.take() else { return false };
        let mut plain = desk.buffer();
        let received = secure.receive(bytes, &mut plain);
        let goes_on = match received {
            Received::Bytes => true,
            Received::Plain => {
                let goes_on = self.take_in(shared, desk, &plain);
                desk.recycle(plain);
                return goes_on;
            }
            Received::Greeted => self.greeted(shared, &mut secure),
            Received::Failed(reason) => {
                let remote = self.outbox.remote;
                if matches!(self.phase, Phase::Open { .. }) {
                    debug!(%remote, reason, "TLS failed");
                } else {
                    warn!(%remote, reason, "unsuccessful TLS handshake of a client");
                    shared.metrics.unsuccessful_handshake.add(1);
                }
                false
            }
        };
        // What TLS itself has to say goes behind what is being written.
        if !self.sealed && !self.writing.is_empty() {
            secure.seal(&mut self.writing);
        }
        secure.take_out(&mut self.writing);
        self.sealed = !self.writing.is_empty();
        if !goes_on {
            // The alert, if the socket takes it.
            let _ = self.stream.write(&self.writing[self.written..]);
        }
        self.secure = Some(secure);
        let goes_on = goes_on && (plain.is_empty() || self.take_in(shared, desk, &plain));
        desk.recycle(plain);
        goes_on
    }

    /// The TLS handshake is over: the certificate says who the client is.
    fn greeted(&mut self, shared: &Shared, secure: &mut Secure) -> bool {
        let scheme = &shared.options.certificate_scheme;
        match secure.authenticate(&shared.schemes, scheme, self.outbox.remote.ip()) {
            Ok(new) => {
                let mut state = self.outbox.lock();
                state.identities = acl::add_identities(&state.identities, new);
                true
            }
            Err(reason) => {
                shared.note_auth_failure();
                shared.metrics.unsuccessful_handshake.add(1);
                self.doomed(reason)
            }
        }
    }

    /// Handles bytes that the connection owns; what is left goes back to the inbox.
    fn consume(&mut self, shared: &Shared, desk: &mut Desk, mut bytes: Vec<u8>) -> bool {
        match self.handle(shared, desk, &bytes) {
            Ok(used) if used == bytes.len() => {
                if bytes.capacity() > IDLE_BUFFER_BYTES {
                    desk.recycle(bytes);
                } else {
                    bytes.clear();
                    self.inbox = bytes;
                }
                true
            }
            Ok(used) => {
                bytes.drain(..used);
                self.inbox = bytes;
                true
            }
            Err(reason) => self.doomed(reason),
        }
    }

    /// The same for bytes in the thread's read buffer.
    fn consume_slice(&mut self, shared: &Shared, desk: &mut Desk, bytes: &[u8]) -> bool {
        match self.handle(shared, desk, bytes) {
            Ok(used) => {
                self.inbox.extend_from_slice(&bytes[used..]);
                true
            }
            Err(reason) => self.doomed(reason),
        }
    }

    fn doomed(&self, reason: &'static str) -> bool {
        debug!(remote = %self.outbox.remote, reason, "closing a connection");
        false
    }

    /// Runs over `bytes` until a phase or a limit says stop. Returns how many are used up.
    fn handle(
        &mut self,
        shared: &Shared,
        desk: &mut Desk,
        bytes: &[u8],
    ) -> Result<usize, &'static str> {
        let mut used = 0;
        self.backlog = false;
        while used < bytes.len() {
            if matches!(self.phase, Phase::Word | Phase::Leaving) {
                return Ok(bytes.len());
            }
            if !self.may_handle(shared) {
                self.backlog = true;
                break;
            }
            let rest = &bytes[used..];
            let (more, progress) = match self.phase {
                Phase::Open { timeout_ms, .. }
                    if self.is_stale(shared, desk.now.since(self.inbox_since), timeout_ms) =>
                {
                    desk.ledger.stale_dropped += frames(rest, shared.options.frame_max);
                    return Err("requests waited longer than the session lives");
                }
                Phase::Open { session, timeout_ms } => {
                    self.deadline = silence_limit(desk.now, timeout_ms.max(0) as u64);
                    let before = desk.tally.received;
                    let ran = request::run(self, shared, desk, session, rest);
                    let handled = desk.tally.received - before;
                    let waited = desk.now.since(self.inbox_since);
                    desk.ledger.throttle_queue.add(waited as i64, handled);
                    if waited > 0 && self.is_orphan(shared, waited, timeout_ms) {
                        desk.ledger.stale += handled;
                    }
                    ran
                }
                _ => handshake::run(self, shared, desk, rest),
            };
            used += more;
            match progress {
                Progress::Partial => break,
                Progress::Held => {}
                Progress::Close(reason) => return Err(reason),
            }
        }
        Ok(used)
    }

    /// `request_throttle_drop_stale` with `request_stale_latency_check`: what waited in the
    /// throttle for longer than the session timeout is not worth doing. (Requests of closed
    /// connections are dropped in any case.)
    fn is_stale(&self, shared: &Shared, waited: u64, timeout_ms: i32) -> bool {
        let throttle = &shared.options.request_throttle;
        throttle.requests_max > 0
            && throttle.drop_stale
            && throttle.stale_latency_check
            && waited > timeout_ms.max(0) as u64
    }

    /// What was handled though nobody waits for it any more (`Request.isStale`): the request waited,
    /// and its client is gone or its session's time is over.
    fn is_orphan(&self, shared: &Shared, waited: u64, timeout_ms: i32) -> bool {
        let throttle = &shared.options.request_throttle;
        (throttle.stale_connection_check && self.ended)
            || (throttle.stale_latency_check && waited > timeout_ms.max(0) as u64)
    }

    /// Writes what can be written. False if the connection is done for.
    fn flush(&mut self, desk: &mut Desk) -> bool {
        loop {
            if self.deaf {
                self.drop_answers();
            }
            if self.writing.is_empty() {
                if self.more_out {
                    let outbox = self.outbox.clone();
                    self.take_out(&mut outbox.lock(), desk);
                    continue;
                }
                if self.phase != Phase::Leaving {
                    return true;
                }
                match self.leave() {
                    Leave::More => self.more_out = true,
                    Leave::NotYet => return true,
                    Leave::Done => return false,
                }
                continue;
            }
            if !self.writable {
                return true;
            }
            if !self.sealed
                && let Some(secure) = &mut self.secure
            {
                secure.seal(&mut self.writing);
                self.sealed = true;
            }
            match self.stream.write(&self.writing[self.written..]) {
                Ok(written) => {
                    self.written += written;
                    if self.written < self.writing.len() {
                        self.writable = false;
                        self.note_taken();
                        continue;
                    }
                    self.written = 0;
                    self.sealed = false;
                    if self.writing.capacity() > IDLE_BUFFER_BYTES {
                        desk.recycle(std::mem::take(&mut self.writing));
                    } else {
                        self.writing.clear();
                    }
                    if self.taken_noted {
                        self.note_taken();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.writable = false;
                    self.note_taken();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    debug!(remote = %self.outbox.remote, %error, "nobody reads the answers");
                    self.deaf = true;
                    self.ended = true;
                    self.readable = true;
                }
            }
        }
    }

    fn drop_answers(&mut self) {
        self.writing.clear();
        self.written = 0;
        self.sealed = false;
        if self.taken_noted {
            self.note_taken();
        }
    }

    /// Tells the outbox what is still unwritten, for its limit.
    fn note_taken(&mut self) {
        let left = self.writing.len() - self.written;
        self.outbox.lock().taken_bytes = left;
        self.taken_noted = left > 0;
    }

    /// Everything that was seen is written: says goodbye, if nothing came since.
    fn leave(&mut self) -> Leave {
        {
            // One look at both: the reply and the fate come under one lock.
            let state = self.outbox.lock();
            if !state.out.is_empty() {
                return Leave::More;
            }
            if state.fate < Fate::CloseAfterFlush {
                return Leave::NotYet;
            }
        }
        if let Some(secure) = &mut self.secure {
            let _ = self.stream.write(&secure.farewell());
        }
        // What the client sent in the meantime is taken off the socket: unread bytes would turn
        // the close into a reset, which can destroy the answer on its way.
        if self.stream.shutdown(Shutdown::Write).is_ok() {
            let mut sink = [0; 4096];
            for _ in 0..16 {
                match self.stream.read(&mut sink) {
                    Ok(read) if read > 0 => {}
                    _ => break,
                }
            }
        }
        Leave::Done
    }
}

/// How many complete frames `bytes` begins with.
fn frames(mut bytes: &[u8], frame_max: usize) -> u64 {
    let mut count = 0;
    while let Split::Frame(frame) = split(bytes, frame_max) {
        bytes = &bytes[4 + frame.len()..];
        count += 1;
    }
    count
}

enum Leave {
    /// There is more to write.
    More,
    /// The last reply is still to come.
    NotYet,
    /// The connection may be closed.
    Done,
}

enum Fill {
    Bytes(usize),
    Nothing,
    Close,
}

/// Buckets of ten seconds, as Java's NIO transport counts them.
fn silence_limit(now: Mono, timeout_ms: u64) -> Mono {
    const BUCKET_MS: u64 = 10_000;
    Mono((now.plus_ms(timeout_ms).0 / BUCKET_MS + 1) * BUCKET_MS)
}
