//! A small ZooKeeper client for the shell, tools and tests.
//!
//! Owns: one session over any of several servers, its reconnects and pings, the watches to arm
//! again, the chroot. Blocking calls; events go to a callback on the client's own thread, in the
//! order in which the server sent them. Must not know: commands or texts of the shell.
//!
//! Start at [`Client::start`] and [`Client::call`]; the socket loop is in `link.rs`.

mod link;
mod watches;
mod wire;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use jute::proto::{AuthPacket, ReplyHeader, RequestHeader, op};
use jute::{Decode, DecodeError, Encode};
use parking_lot::{Condvar, Mutex};

use self::watches::Watches;
use self::wire::Writer;
use crate::base::ErrorCode;

pub use watches::WatchKind;
pub use wire::{Dial, Input, Login, Output, Wire};

/// Where and how to connect.
#[derive(Clone)]
pub struct Options {
    /// Servers, tried in turn.
    pub servers: Vec<(String, u16)>,
    /// Prefix of every path, `""` for none.
    pub chroot: String,
    /// Session timeout asked for, ms.
    pub timeout_ms: i32,
    /// A read-only server will do.
    pub read_only: bool,
    /// What is spoken on top of TCP; `None` for nothing.
    pub dial: Option<Arc<dyn Dial>>,
    /// The SASL login of every connection; `None` for none.
    pub login: Option<Arc<dyn Login>>,
    /// How long [`Client::call`] waits for an answer; `None` for ever
    /// (`zookeeper.request.timeout`).
    pub request_timeout: Option<Duration>,
    /// Watches are armed again after a reconnect (not `zookeeper.disableAutoWatchReset`).
    pub reset_watches: bool,
}

impl Options {
    /// Reads `host:port,host:port/chroot`; ports default to 2181.
    pub fn parse(text: &str, timeout_ms: i32, read_only: bool) -> Result<Self, String> {
        let (hosts, chroot) = match text.find('/') {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let chroot = if chroot == "/" { "" } else { chroot }.to_owned();
        if chroot.ends_with('/') {
            return Err("Path must not end with / character".to_owned());
        }
        let server = |text: &str| {
            let text = text.trim();
            let (host, port) = match text.rsplit_once(':') {
                // `::1` without brackets is all host.
                Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                    (host, port.parse().map_err(|_| format!("{text}: not a port"))?)
                }
                _ => (text, 2181),
            };
            let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
            Ok::<_, String>((host.to_owned(), port))
        };
        let servers = hosts.split(',').filter(|host| !host.trim().is_empty()).map(server);
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err("A HostProvider may not be empty!".to_owned());
        }
        Ok(Self {
            servers,
            chroot,
            timeout_ms,
            read_only,
            dial: None,
            login: None,
            request_timeout: None,
            reset_watches: true,
        })
    }
}

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Looking for a server.
    Connecting,
    /// Connected.
    Connected,
    /// Connected to a server that only reads.
    ConnectedReadOnly,
    /// Authentication failed; nothing works any more.
    AuthFailed,
    /// Closed or expired.
    Closed,
}

impl Status {
    /// The name in Java's `States`.
    pub fn java_name(self) -> &'static str {
        match self {
            Status::Connecting => "CONNECTING",
            Status::Connected => "CONNECTED",
            Status::ConnectedReadOnly => "CONNECTEDREADONLY",
            Status::AuthFailed => "AUTH_FAILED",
            Status::Closed => "CLOSED",
        }
    }

    /// Whether the session may still be there.
    pub fn is_alive(self) -> bool {
        !matches!(self, Status::Closed | Status::AuthFailed)
    }
}

/// What a watch or the session tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Name in Java's `KeeperState`: `SyncConnected`, `Disconnected`, `Expired`...
    pub state: &'static str,
    /// Name in Java's `EventType`: `None`, `NodeCreated`...
    pub kind: &'static str,
    /// Path as the client sees it; `None` for the session itself.
    pub path: Option<String>,
    /// Zxid of the change, -1 if there is none.
    pub zxid: i64,
}

/// Takes events.
pub type Watcher = Box<dyn Fn(Event) + Send + Sync>;

/// A successful answer, still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Newest zxid the server has applied.
    pub zxid: i64,
    body: Vec<u8>,
}

impl Reply {
    /// The body, still encoded.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Decodes the body.
    pub fn read<'a, T: Decode<'a>>(&'a self) -> Result<T, ErrorCode> {
        T::from_slice(&self.body).map_err(|_: DecodeError| ErrorCode::MarshallingError)
    }
}

/// What a request is answered with.
pub type Answer = Result<Reply, ErrorCode>;

/// A request on its way.
struct Pending {
    xid: i32,
    frame: Vec<u8>,
    answer: Sender<Answer>,
}

struct State {
    status: Status,
    /// The socket of the current connection.
    writer: Option<Writer>,
    /// Sent and not answered, in order.
    sent: VecDeque<Pending>,
    /// Waiting for a connection.
    waiting: VecDeque<Pending>,
    session: i64,
    password: [u8; 16],
    last_zxid: i64,
    next_xid: i32,
    auths: Vec<(String, Vec<u8>)>,
    watches: Watches,
    closing: bool,
    /// That the session ends is not told.
    quiet: bool,
    /// Why there was no connection the last time.
    trouble: Option<String>,
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    changed: Condvar,
    watcher: Watcher,
}

/// A session.
pub struct Client {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Starts a session; returns at once, connecting goes on in the background.
    pub fn start(options: Options, watcher: Watcher) -> std::io::Result<Self> {
        let state = State {
            status: Status::Connecting,
            writer: None,
            sent: VecDeque::new(),
            waiting: VecDeque::new(),
            session: 0,
            password: [0; 16],
            last_zxid: 0,
            next_xid: 1,
            auths: Vec::new(),
            watches: Watches::default(),
            closing: false,
            quiet: false,
            trouble: None,
        };
        let shared = Arc::new(Shared {
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
            watcher,
        });
        let link = shared.clone();
        let thread = Builder::new().name("client".to_owned()).spawn(move || link.run())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Whether there is a connection.
    pub fn status(&self) -> Status {
        self.shared.state.lock().status
    }

    /// Waits until there is a connection; false if there is none in time.
    pub fn wait_connected(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.shared.state.lock();
        while state.status == Status::Connecting {
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        matches!(state.status, Status::Connected | Status::ConnectedReadOnly)
    }

    /// Why the last attempt to connect failed, for people.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state.lock().trouble.clone()
    }

    /// The path the server knows.
    pub fn server_path(&self, path: &str) -> String {
        match (self.shared.options.chroot.as_str(), path) {
            ("", path) => path.to_owned(),
            (chroot, "/") => chroot.to_owned(),
            (chroot, path) => format!("{chroot}{path}"),
        }
    }

    /// The path behind the chroot.
    pub fn client_path(&self, path: &str) -> String {
        self.shared.client_path(path)
    }

    /// Sends a request and waits for its answer. One that does not come in time is
    /// REQUESTTIMEOUT, and the connection it did not come over is cut (`ClientCnxn.submitRequest`).
    pub fn call(&self, kind: i32, request: &impl Encode) -> Answer {
        let answer = self.send(kind, request);
        let lost = Err(ErrorCode::ConnectionLoss);
        let Some(patience) = self.shared.options.request_timeout else {
            return answer.recv().unwrap_or(lost);
        };
        match answer.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Disconnected) => lost,
            Err(RecvTimeoutError::Timeout) => {
                if let Some(writer) = &mut self.shared.state.lock().writer {
                    writer.cut();
                }
                Err(ErrorCode::RequestTimeout)
            }
        }
    }

    /// Sends a request; its answer comes later. Answers come in the order of the requests.
    pub fn send(&self, kind: i32, request: &impl Encode) -> Receiver<Answer> {
        let mut body = Vec::new();
        request.encode(&mut body);
        let (answer, answered) = channel();
        let mut state = self.shared.state.lock();
        let refused = match state.status {
            Status::Closed => Some(ErrorCode::SessionExpired),
            Status::AuthFailed => Some(ErrorCode::AuthFailed),
            _ => None,
        };
        if let Some(error) = refused {
            // The receiver is in our hand.
            let _ = answer.send(Err(error));
            return answered;
        }
        let xid = state.next_xid;
        // Negative xids have a meaning of their own.
        state.next_xid = xid.checked_add(1).unwrap_or(1);
        let pending = Pending { xid, frame: frame(xid, kind, &body), answer };
        state.submit(pending);
        answered
    }

    /// Remembers a watch that the server has armed, to arm it again after a reconnect.
    pub fn watch(&self, kind: WatchKind, server_path: &str) {
        self.shared.state.lock().watches.add(kind, server_path);
    }

    /// Whether a watch of one of these kinds is remembered.
    pub fn has_watch(&self, kinds: &[WatchKind], server_path: &str) -> bool {
        self.shared.state.lock().watches.has(kinds, server_path)
    }

    /// Forgets watches and tells the watcher so, once per kind of event. `error` is what the server
    /// said: without a connection they may be forgotten here alone.
    pub fn unwatch(&self, kinds: &[WatchKind], server_path: &str, error: Option<ErrorCode>) {
        let removed = self.shared.state.lock().watches.remove(kinds, server_path);
        let state = match error {
            Some(ErrorCode::ConnectionLoss | ErrorCode::SessionExpired) => "Disconnected",
            _ => "SyncConnected",
        };
        let mut told = Vec::new();
        for kind in removed.iter().map(|kind| kind.removed_event()) {
            if told.contains(&kind) {
                continue;
            }
            told.push(kind);
            let path = Some(self.client_path(server_path));
            (self.shared.watcher)(Event { state, kind, path, zxid: -1 });
        }
    }

    /// Adds an identity, now and after every reconnect. A refusal comes as an event.
    pub fn add_auth(&self, scheme: &str, data: &[u8]) {
        let mut state = self.shared.state.lock();
        state.auths.push((scheme.to_owned(), data.to_vec()));
        let frame = auth_frame(scheme, data);
        if let Some(writer) = &mut state.writer {
            writer.send(&frame);
        }
    }

    /// Ends the session.
    pub fn close(&self) {
        self.end(true);
    }

    /// Leaves without a word: the session lives on until it expires, and its ephemerals with it.
    pub fn abandon(&self) {
        self.end(false);
    }

    fn end(&self, close_session: bool) {
        let mut joined = self.thread.lock().take();
        if self.status().is_alive() {
            let connected = {
                let mut state = self.shared.state.lock();
                state.closing = true;
                state.quiet = !close_session;
                state.writer.is_some()
            };
            if close_session {
                // Without a connection this waits for one, as in Java, or for its failure. The
                // answer does not matter: the connection is closed next.
                let _ = self.call(op::CLOSE_SESSION, &Nothing);
            } else if !connected {
                // It may wait for a server that does not answer; it ends by itself.
                joined = None;
            }
            let mut state = self.shared.state.lock();
            state.status = Status::Closed;
            if let Some(writer) = state.writer.take() {
                writer.cut();
            }
            drop(state);
            self.shared.changed.notify_all();
        }
        if let Some(thread) = joined {
            let _ = thread.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Sends a request, or keeps it until there is a connection.
    fn submit(&mut self, pending: Pending) {
        match &mut self.writer {
            Some(writer) => {
                // A broken connection is noticed by its reader, which then fails all that was sent.
                writer.send(&pending.frame);
                self.sent.push_back(pending);
            }
            None => self.waiting.push_back(pending),
        }
    }

    /// Answers what is on its way with an error.
    fn fail_sent(&mut self, error: ErrorCode) {
        for pending in self.sent.drain(..) {
            // Nobody waits any more if the caller is gone.
            let _ = pending.answer.send(Err(error));
        }
    }

    /// Answers what waits for a connection with an error.
    fn fail_waiting(&mut self, error: ErrorCode) {
        for pending in self.waiting.drain(..) {
            // Nobody waits any more if the caller is gone.
            let _ = pending.answer.send(Err(error));
        }
    }
}

/// A request without a body.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _out: &mut Vec<u8>) {}
}

/// Length, header, body.
fn frame(xid: i32, kind: i32, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(12 + body.len());
    RequestHeader { xid, kind }.encode(&mut payload);
    payload.extend_from_slice(body);
    framed(&payload)
}

fn framed(payload: &[u8]) -> Vec<u8> {
    let length = i32::try_from(payload.len()).unwrap_or(i32::MAX);
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(payload);
    out
}

fn auth_frame(scheme: &str, data: &[u8]) -> Vec<u8> {
    let packet = AuthPacket { kind: 0, scheme: Some(scheme.into()), auth: Some(data) };
    frame(jute::proto::XID_AUTH, op::AUTH, &packet.to_vec())
}

/// Header and what follows it.
fn split_reply(frame: &[u8]) -> Option<(ReplyHeader, &[u8])> {
    let mut reader = jute::Reader::new(frame);
    let header = reader.read::<ReplyHeader>().ok()?;
    Some((header, reader.remaining()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_strings() {
        let parse = |text: &str| Options::parse(text, 1, false);
        let host = |name: &str, port| (name.to_owned(), port);
        let options = parse("a:1,b, c:3 /x/y").expect("well formed");
        assert_eq!(options.servers, [host("a", 1), host("b", 2181), host("c", 3)]);
        assert_eq!(options.chroot, "/x/y");
        let options = parse("[::1]:7,::1/").expect("well formed");
        assert_eq!(options.servers, [host("::1", 7), host("::1", 2181)]);
        assert_eq!(options.chroot, "");
        assert!(parse("").is_err() && parse("a:x").is_err() && parse("/x").is_err());
        assert!(parse("a:1/x/").is_err());
    }
}
