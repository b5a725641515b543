//! Bursts of requests on an open connection.
//!
//! A burst runs over complete frames under one lock of the outbox and, if it holds reads, one read
//! guard of the tree, taken before it: `REPLY-UNDER-GUARD`. Writes are parked in the outbox and
//! collected for the pipeline; reads behind them are parked too (`SESSION-FIFO`).

use jute::proto::{AuthPacket, GetSaslRequest, RequestHeader, SetSaslResponse, op};
use jute::{Decode, Encode, Reader};
use tracing::{info, warn};

use super::Shared;
use super::conn::{Conn, Phase, Progress};
use super::fourlw::java_address;
use super::station::Desk;
use crate::acl::{self, AuthOutcome, Identity, Remote};
use crate::audit::Asked;
use crate::auth::Step;
use crate::base::{ErrorCode, SessionId, Zxid};
use crate::outbox::{Fate, Origin, Parked, State};
use crate::prep::{self, OpKind, WriteRequest};
use crate::read::{self, ReadContext, ReadRequest, reply};
use crate::replica::{Body, Request};
use crate::tree::DataTree;

/// Requests handled under one guard.
const BURST_REQUESTS: usize = 64;

/// Reply bytes produced under one guard; one reply may pass it.
const BURST_BYTES: usize = 256 * 1024;

/// The length prefix of a frame.
const PREFIX: usize = 4;

/// What stands at the start of some bytes.
pub(super) enum Split<'a> {
    /// A complete frame, without its length.
    Frame(&'a [u8]),
    /// Part of one.
    Partial,
    /// A length that no frame has.
    Bad,
}

/// Splits the first frame off. A length above `frame_max` is bad before a byte of it arrived.
pub(super) fn split(bytes: &[u8], frame_max: usize) -> Split<'_> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else { return Split::Partial };
    match usize::try_from(i32::from_be_bytes(*prefix)) {
        Ok(len) if len <= frame_max => match rest.get(..len) {
            Some(frame) => Split::Frame(frame),
            None => Split::Partial,
        },
        _ => Split::Bad,
    }
}

/// Handles one burst from the start of `bytes`. Returns how many bytes are used up.
pub(super) fn run(
    conn: &mut Conn,
    shared: &Shared,
    desk: &mut Desk,
    session: SessionId,
    bytes: &[u8],
) -> (usize, Progress) {
    // The tree is locked before the outbox, so look first whether this burst needs it.
    let tree = match split(bytes, shared.options.frame_max) {
        Split::Frame(frame) => {
            let op = frame.get(4..8).and_then(|b| b.try_into().ok()).map(i32::from_be_bytes);
            op.is_some_and(|op| needs_tree(shared, op)).then(|| shared.tree.read())
        }
        Split::Partial | Split::Bad => None,
    };
    let outbox = conn.outbox.clone();
    let mut state = outbox.lock();
    if state.out.capacity() == 0 {
        state.out = desk.buffer();
    }
    state.last_heard = desk.now;
    let mut burst = Burst { conn, shared, desk, session, tree: tree.as_deref(), parked: 0 };
    let outcome = burst.run(&mut state, bytes);
    let parked = burst.parked;
    conn.take_out(&mut state, desk);
    drop(state);
    drop(tree);
    if parked > 0 {
        shared.admission.take(parked);
    }
    outcome
}

/// Reads look at the tree, and so do writes whose permissions are checked at once.
fn needs_tree(shared: &Shared, op: i32) -> bool {
    match OpKind::of(op) {
        OpKind::Read => true,
        OpKind::Write => shared.options.eager_acl_check,
        _ => false,
    }
}

/// One burst.
struct Burst<'a> {
    conn: &'a mut Conn,
    shared: &'a Shared,
    desk: &'a mut Desk,
    session: SessionId,
    /// The tree, if the burst began with a read.
    tree: Option<&'a DataTree>,
    /// Requests parked by this burst.
    parked: usize,
}

/// What a request means for the burst.
enum After {
    /// Go on.
    Next,
    /// The frame needs the tree: stop before it, begin another burst.
    NeedTree,
    /// Nothing behind this request counts.
    Last,
    /// Close at once.
    Close(&'static str),
}

impl Burst<'_> {
    fn run(&mut self, state: &mut State, bytes: &[u8]) -> (usize, Progress) {
        let mut used = 0;
        let out_max = state.out.len() + BURST_BYTES;
        for _ in 0..self.requests_max() {
            if state.out.len() > out_max {
                break;
            }
            let frame = match split(&bytes[used..], self.shared.options.frame_max) {
                Split::Frame(frame) => frame,
                Split::Partial => return (used, self.partial(&bytes[used..])),
                Split::Bad => {
                    self.conn.log_length(&bytes[used..]);
                    return (used, Progress::Close("frame length"));
                }
            };
            let large = self.large_bytes(frame.len());
            let Ok(large) = large else {
                self.desk.ledger.large_rejected += 1;
                return (used, Progress::Close("large request"));
            };
            match self.request(state, frame, large) {
                After::Next => {}
                After::NeedTree => {
                    self.shared.admission.give_back_large(large as usize);
                    return (used, Progress::Held);
                }
                After::Last => {
                    self.conn.phase = Phase::Leaving;
                    return (bytes.len(), Progress::Held);
                }
                After::Close(reason) => return (used, Progress::Close(reason)),
            }
            used += PREFIX + frame.len();
        }
        (used, Progress::Held)
    }

    /// The request throttle is looked at between bursts, so no burst may pass it.
    fn requests_max(&self) -> usize {
        match self.shared.options.request_throttle.requests_max {
            0 => BURST_REQUESTS,
            max => max.saturating_sub(self.shared.admission.requests()).clamp(1, BURST_REQUESTS),
        }
    }

    /// A frame that is not complete may already be too large for the budget.
    fn partial(&mut self, rest: &[u8]) -> Progress {
        let options = &self.shared.options;
        if let (Some(threshold), Some(prefix)) =
            (options.large_request_threshold, rest.first_chunk())
        {
            let len = i32::from_be_bytes(*prefix) as usize;
            let max = options.large_request_bytes_max;
            if len > threshold && !self.shared.admission.fits_large(len, max) {
                self.desk.ledger.large_rejected += 1;
                return Progress::Close("large request");
            }
        }
        Progress::Partial
    }

    /// Takes the frame's share of the large-request budget: 0 for a frame that is not large.
    fn large_bytes(&self, len: usize) -> Result<u32, ()> {
        let options = &self.shared.options;
        match options.large_request_threshold {
            Some(threshold) if len > threshold => {
                if self.shared.admission.take_large(len, options.large_request_bytes_max) {
                    Ok(len as u32)
                } else {
                    Err(())
                }
            }
            _ => Ok(0),
        }
    }

    fn request(&mut self, state: &mut State, frame: &[u8], large: u32) -> After {
        let mut input = Reader::with_limit(frame, self.shared.options.field_max);
        let Ok(header) = input.read::<RequestHeader>() else {
            return After::Close("undecodable request header");
        };
        self.desk.tally.received += 1;
        state.stats.received += 1;
        let kind = OpKind::of(header.kind);
        if !matches!(kind, OpKind::Auth | OpKind::Sasl)
            && !self.shared.schemes.is_authenticated_enough(&state.identities)
        {
            let code = ErrorCode::SessionClosedRequireSaslAuth;
            return self.last_words(state, header.xid, Zxid::ZERO, code);
        }
        if self.waited_too_long(kind, header.kind) {
            self.give_back(large);
            self.desk.ledger.throttled_ops += 1;
            self.answer_or_park(state, header, ErrorCode::ThrottledOp);
            return After::Next;
        }
        match kind {
            OpKind::Read => self.read(state, header, frame, large),
            // A session that only this server knows may still be closed.
            OpKind::Write | OpKind::Sync
                if self.shared.role.is_read_only() && header.kind != op::CLOSE_SESSION =>
            {
                self.give_back(large);
                self.answer_or_park(state, header, ErrorCode::NotReadOnly);
                After::Next
            }
            OpKind::Write => self.write(state, header, &frame[8..], large),
            OpKind::Sync => self.sync(state, header, input, large),
            OpKind::Auth => self.auth(state, header.xid, input),
            OpKind::Sasl => self.sasl(state, header.xid, input),
            OpKind::Unknown => {
                warn!(op = header.kind, remote = %self.conn.outbox.remote, "unknown op code");
                self.last_words(state, header.xid, Zxid(-1), ErrorCode::Unimplemented)
            }
        }
    }

    fn read(
        &mut self,
        state: &mut State,
        header: RequestHeader,
        frame: &[u8],
        large: u32,
    ) -> After {
        if !state.parked.is_empty() {
            self.give_back(large);
            if let Some(stats) = &self.shared.path_stats {
                let field_max = self.shared.options.field_max;
                let request = ReadRequest::decode(header.kind, &frame[8..], field_max);
                request.path().into_iter().for_each(|p| stats.register(self.desk.now, false, p));
            }
            self.park(
                state,
                Parked::Read {
                    frame: frame.into(),
                    identities: state.identities.clone(),
                    received: self.desk.now,
                },
            );
            return After::Next;
        }
        let Some(tree) = self.tree else { return self.need_tree(state) };
        self.give_back(large);
        let now = self.desk.now;
        let request = ReadRequest::decode(header.kind, &frame[8..], self.shared.options.field_max);
        let State { out, stats, identities, .. } = state;
        if let (Some(stats), Some(path)) = (&self.shared.path_stats, request.path()) {
            stats.register(now, false, path);
        }
        let context = ReadContext {
            session: self.session,
            identities,
            schemes: &self.shared.schemes,
            watcher: self.conn.outbox.watcher,
        };
        let before = out.len();
        read::execute(tree, &self.shared.watches, &context, header.xid, &request, out);
        self.desk.tally.answer(0, out.len() - before);
        self.desk.ledger.reads += 1;
        if let Some((path, bytes)) = read::shown(&request, &out[before..]) {
            let set = &self.shared.metrics.read_per_namespace;
            self.desk.ledger.read_namespaces.add(path, bytes, set);
        }
        stats.answer(header.xid, header.kind, tree.last_zxid(), now, now);
        After::Next
    }

    fn write(
        &mut self,
        state: &mut State,
        header: RequestHeader,
        body: &[u8],
        large: u32,
    ) -> After {
        let field_max = self.shared.options.field_max;
        let eager = self.shared.options.eager_acl_check;
        if eager && self.tree.is_none() {
            return self.need_tree(state);
        }
        let body = WriteRequest::decode(header.kind, &self.desk.arena.copy(body), field_max);
        if let (Some(stats), Some(path)) = (&self.shared.path_stats, body.path()) {
            stats.register(self.desk.now, true, path);
        }
        if let (true, Some(tree)) = (eager, self.tree)
            && let Err(refused) =
                prep::check_eagerly(tree, &self.shared.schemes, &state.identities, &body)
        {
            self.give_back(large);
            self.refuse_eagerly(state, header, refused);
            return After::Next;
        }
        let last = header.kind == op::CLOSE_SESSION;
        self.submit(state, header, Body::Write(body), None, large);
        if last {
            // What is pipelined behind it is lost, as in Java.
            return After::Last;
        }
        After::Next
    }

    /// The answer of `enableEagerACLCheck`: zxid 0, as in Java. Java's overtakes the answers that
    /// are still to come; this one keeps its place among them.
    fn refuse_eagerly(&mut self, state: &mut State, header: RequestHeader, err: ErrorCode) {
        if !state.parked.is_empty() {
            return self.answer_or_park(state, header, err);
        }
        reply::error(header.xid, Zxid::ZERO, err, &mut state.out);
        let (seen, now) = (state.stats.last_zxid, self.desk.now);
        state.stats.answer(header.xid, header.kind, seen, now, now);
        self.desk.tally.answer(0, PREFIX + 16);
    }

    /// Counted again when the burst that has the tree comes to it.
    fn need_tree(&mut self, state: &mut State) -> After {
        self.desk.tally.received -= 1;
        state.stats.received -= 1;
        After::NeedTree
    }

    fn sync(
        &mut self,
        state: &mut State,
        header: RequestHeader,
        mut input: Reader<'_>,
        large: u32,
    ) -> After {
        match input.ustring() {
            Ok(path) => {
                if let (Some(stats), Some(path)) = (&self.shared.path_stats, &path) {
                    stats.register(self.desk.now, true, path);
                }
                let path = path.map(|path| path.into());
                self.submit(state, header, Body::Sync, path, large);
            }
            Err(_) => {
                self.give_back(large);
                self.answer_or_park(state, header, ErrorCode::MarshallingError);
            }
        }
        After::Next
    }

    /// Parks a request and collects it for the pipeline.
    fn submit(
        &mut self,
        state: &mut State,
        header: RequestHeader,
        body: Body,
        path: Option<Box<str>>,
        large_bytes: u32,
    ) {
        let received = self.desk.now;
        let (xid, op) = (header.xid, header.kind);
        self.park(state, Parked::Write { xid, op, received, large_bytes });
        let outbox = self.conn.outbox.clone();
        let asked = match &body {
            Body::Write(write) if self.shared.options.audit => Some(Box::new(Asked::of(write))),
            _ => None,
        };
        self.desk.requests.push(Request {
            origin: Origin { outbox, xid, op, received, handshake: None, path, asked },
            session: self.session,
            cxid: xid,
            kind: op,
            identities: state.identities.clone(),
            body,
        });
    }

    fn park(&mut self, state: &mut State, request: Parked) {
        state.parked.push_back(request);
        self.parked += 1;
    }

    /// An error known at once, in its place among the replies.
    fn answer_or_park(&mut self, state: &mut State, header: RequestHeader, err: ErrorCode) {
        let (xid, op, received) = (header.xid, header.kind, self.desk.now);
        if !state.parked.is_empty() {
            self.park(state, Parked::Answer { xid, op, err, received });
            return;
        }
        let zxid = match self.tree {
            Some(tree) => tree.last_zxid(),
            // Not `tree.read()`: the outbox is locked. The last zxid this client saw is not newer.
            None => state.stats.last_zxid,
        };
        reply::error(xid, zxid, err, &mut state.out);
        state.stats.answer(xid, op, zxid, received, received);
        self.desk.tally.answer(0, PREFIX + 16);
    }

    /// A reply out of turn, after which the connection is closed.
    fn last_words(&mut self, state: &mut State, xid: i32, zxid: Zxid, err: ErrorCode) -> After {
        reply::error(xid, zxid, err, &mut state.out);
        state.stats.sent += 1;
        self.desk.tally.sent += 1;
        state.close(Fate::CloseAfterFlush);
        After::Last
    }

    /// `throttled_op_wait_time`.
    fn waited_too_long(&self, kind: OpKind, code: i32) -> bool {
        let max = self.shared.options.request_throttle.op_wait_time_ms;
        max > 0
            && matches!(kind, OpKind::Read | OpKind::Write | OpKind::Sync)
            && prep::is_throttlable(code)
            && self.desk.now.since(self.conn.inbox_since) > max
    }

    fn auth(&mut self, state: &mut State, xid: i32, mut input: Reader<'_>) -> After {
        let Ok(packet) = AuthPacket::decode(&mut input) else {
            return After::Close("undecodable auth packet");
        };
        let ip = self.conn.outbox.remote.ip();
        let remote = Remote { ip, x509_subject: self.conn.x509_subject() };
        let address = java_address(self.conn.outbox.remote);
        info!("got auth packet {address}");
        let scheme = packet.scheme.as_deref();
        let shown = scheme.unwrap_or("null");
        let ensemble = scheme == Some("ensemble");
        let metrics = &self.shared.metrics;
        match self.shared.schemes.authenticate(scheme, packet.auth, &remote) {
            AuthOutcome::Granted(new) => {
                let session = self.session.0;
                info!(
                    "Session 0x{session:x}: auth success for scheme {shown} and address {address}"
                );
                if ensemble {
                    let named = self.shared.options.ensemble_auth_named;
                    let asked = packet.auth.is_some_and(|name| !name.is_empty());
                    match named && asked {
                        true => metrics.ensemble_auth_success.add(1),
                        false => metrics.ensemble_auth_skip.add(1),
                    }
                }
                state.identities = acl::add_identities(&state.identities, new);
                reply::header(xid, Zxid::ZERO, 0, &mut state.out);
                state.stats.sent += 1;
                self.desk.tally.sent += 1;
                After::Next
            }
            AuthOutcome::Failed => {
                warn!("Authentication failed for scheme: {shown}");
                self.shared.note_auth_failure();
                self.last_words(state, xid, Zxid::ZERO, ErrorCode::AuthFailed)
            }
            AuthOutcome::Close => {
                if ensemble {
                    metrics.ensemble_auth_fail.add(1);
                }
                After::Close("authentication for another ensemble")
            }
        }
    }

    /// A step of a login (`ZooKeeperServer.processSasl`). The client waits for a token whatever the
    /// error says, so there always is one, perhaps null. A server without a JAAS section says
    /// error 0 and null for ever.
    fn sasl(&mut self, state: &mut State, xid: i32, mut input: Reader<'_>) -> After {
        let Ok(GetSaslRequest { token: Some(token) }) = GetSaslRequest::decode(&mut input) else {
            return After::Close("SASL without a token");
        };
        let remote = self.conn.outbox.remote;
        let step = self
            .shared
            .sasl
            .as_ref()
            .map(|login| self.conn.sasl.get_or_insert_default().step(login, token));
        let (err, answer) = match step {
            None => (0, None),
            Some(Step::Continue(token)) => (0, Some(token)),
            Some(Step::Done { user, token }) => {
                info!(
                    "Session 0x{:x}: adding SASL authorization for authorizationID: {user}",
                    self.session.0
                );
                let mut new = Vec::with_capacity(2);
                new.push(Identity::new("sasl", &user));
                if self.shared.options.sasl_super_users.contains(&user) {
                    new.push(Identity::new("super", ""));
                }
                state.identities = acl::add_identities(&state.identities, new);
                (0, Some(token))
            }
            Some(Step::Failed(reason)) => {
                warn!(%remote, reason, "a client failed to log in with SASL");
                self.shared.note_auth_failure();
                let enforced = self.shared.schemes.enforces("sasl");
                match (enforced, self.shared.options.allow_sasl_failed_clients) {
                    (true, _) => (ErrorCode::SessionClosedRequireSaslAuth.code(), None),
                    (false, true) => (0, None),
                    (false, false) => (ErrorCode::AuthFailed.code(), None),
                }
            }
        };
        reply::frame(xid, Zxid::ZERO, err, &mut state.out, |out| {
            SetSaslResponse { token: answer.as_deref() }.encode(out);
        });
        state.stats.sent += 1;
        self.desk.tally.sent += 1;
        if err != 0 {
            state.close(Fate::CloseAfterFlush);
            return After::Last;
        }
        After::Next
    }

    fn give_back(&self, large: u32) {
        self.shared.admission.give_back_large(large as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_judged_before_the_bytes_arrive() {
        let max = 100;
        let cases: [(&[u8], &str); 7] = [
            (b"", "partial"),
            (b"\0\0\0", "partial"),
            (b"\0\0\0\x02a", "partial"),
            (b"\0\0\0\x02abc", "frame"),
            (b"\0\0\0\x64", "partial"),
            (b"\0\0\0\x65", "bad"),
            (b"\xff\xff\xff\xff", "bad"),
        ];
        for (bytes, expected) in cases {
            let found = match split(bytes, max) {
                Split::Frame(_) => "frame",
                Split::Partial => "partial",
                Split::Bad => "bad",
            };
            assert_eq!(found, expected, "{bytes:?}");
        }
    }
}
