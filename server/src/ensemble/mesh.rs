//! The election port: one connection per pair of servers, kept by whoever has the larger sid
//! (`QuorumCnxManager`).
//!
//! A vote is a state refresh: per peer only the newest is kept, and it is sent again when a
//! connection comes up. Threads block on their own socket; nothing here waits for another peer.
//!
//! Must not know: what a vote means.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jute::quorum::{ELECTION_FRAME_MAX, InitialMessage, InitialProgress, NotificationRecord};
use parking_lot::{Condvar, Mutex};
use tracing::{debug, info, warn};

use super::door::Door;
use super::security::Halves;
use super::{AddressBook, Options, Security, Sink, spawn};
use crate::auth::{Cutter, ReadHalf, WriteHalf};
use crate::base::Sid;
use crate::zab::{Event, Notification, PeerAddress};

/// Peers we keep state for; beyond it unknown sids are refused.
const PEERS_MAX: usize = 1024;

/// Between attempts to bind the election port.
const BIND_PAUSE: Duration = Duration::from_secs(1);

/// Handshakes of strangers at once.
const HANDSHAKES_MAX: usize = 64;
/// Of one address.
const HANDSHAKES_OF_ONE_MAX: usize = 16;

/// The election port of this server.
pub(super) struct Mesh {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    security: Arc<Security>,
    sink: Sink,
    book: Arc<AddressBook>,
    peers: Mutex<HashMap<Sid, Arc<Peer>>>,
    door: Arc<Door>,
    stopped: AtomicBool,
    /// Our open ports, to be closed from outside of the threads that accept.
    listeners: Mutex<Vec<TcpListener>>,
    /// What they were opened for.
    open: Mutex<Vec<(String, u16)>>,
}

/// What we know of one peer.
#[derive(Default)]
struct Peer {
    state: Mutex<PeerState>,
    bell: Condvar,
}

#[derive(Default)]
struct PeerState {
    /// The connection, and how many there were.
    stream: Option<Cutter>,
    generation: u64,
    dialling: bool,
    /// Not sent yet.
    next: Option<Arc<[u8]>>,
    /// Sent last, or to be sent: repeated on a new connection.
    last: Option<Arc<[u8]>>,
    /// Where it said it can be reached.
    addresses: Vec<String>,
}

impl Mesh {
    /// Binds the election port and accepts.
    pub(super) fn start(
        options: Options,
        security: Arc<Security>,
        book: Arc<AddressBook>,
        sink: Sink,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            security,
            sink,
            book,
            peers: Mutex::default(),
            door: Door::new(HANDSHAKES_MAX, HANDSHAKES_OF_ONE_MAX),
            stopped: AtomicBool::new(false),
            listeners: Mutex::default(),
            open: Mutex::default(),
        });
        shared.listen()?;
        Ok(Mesh { shared })
    }

    /// Sends a vote, dialling if there is no connection.
    pub(super) fn send(&self, to: Sid, notification: &Notification) {
        let body = notification.to_record().to_bytes();
        let mut frame = (body.len() as u32).to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        let Some(peer) = self.shared.peer(to) else { return };
        let mut state = peer.state.lock();
        let frame: Arc<[u8]> = frame.into();
        state.next = Some(frame.clone());
        state.last = Some(frame);
        if state.stream.is_some() {
            drop(state);
            peer.bell.notify_all();
        } else if !state.dialling {
            state.dialling = true;
            drop(state);
            self.shared.dial(to);
        }
    }

    /// Opens our election ports anew if they are others now.
    pub(super) fn relisten(&self) {
        let ports = |address: &PeerAddress| (address.host.clone(), address.election_port);
        let wanted: Vec<_> = self.shared.book.own().iter().map(ports).collect();
        if wanted == *self.shared.open.lock() {
            return;
        }
        self.shared.close_listeners();
        if let Err(error) = self.shared.listen() {
            warn!(%error, "the election port cannot be opened");
        }
    }

    /// Closes every connection.
    pub(super) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.shared.close_listeners();
        for peer in self.shared.peers.lock().values() {
            if let Some(stream) = peer.state.lock().stream.take() {
                stream.cut();
            }
            peer.bell.notify_all();
        }
    }
}

impl Shared {
    /// The port may still be held by whoever had it before.
    fn bind(&self, host: &str, port: u16) -> io::Result<TcpListener> {
        let mut attempt = 1;
        loop {
            let failure = match super::listen(&self.options, host, port) {
                Ok(listener) => return Ok(listener),
                Err(failure) => failure,
            };
            if attempt == self.options.bind_attempts || self.stopped.load(Ordering::Acquire) {
                return Err(failure);
            }
            warn!(%failure, attempt, "cannot open the election port, trying again");
            attempt += 1;
            std::thread::sleep(BIND_PAUSE);
        }
    }

    /// Opens our election ports.
    fn listen(self: &Arc<Self>) -> io::Result<()> {
        let own = self.book.own();
        *self.open.lock() = own.iter().map(|a| (a.host.clone(), a.election_port)).collect();
        for address in own {
            let listener = self.bind(&address.host, address.election_port)?;
            info!(address = %listener.local_addr()?, "election port is open");
            self.listeners.lock().push(listener.try_clone()?);
            let shared = self.clone();
            spawn("election-accept", move || shared.accept_all(&listener))?;
        }
        Ok(())
    }

    /// Their threads end with them.
    fn close_listeners(&self) {
        for listener in self.listeners.lock().drain(..) {
            // Whatever it says: a port that is not open is closed.
            let _ = socket2::SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }

    fn peer(&self, sid: Sid) -> Option<Arc<Peer>> {
        let mut peers = self.peers.lock();
        if !peers.contains_key(&sid) && peers.len() >= PEERS_MAX {
            return None;
        }
        Some(peers.entry(sid).or_default().clone())
    }

    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            if self.stopped.load(Ordering::Acquire) {
                return;
            }
            let stream = match stream {
                Ok(stream) => stream,
                // The port was closed.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
                Err(_) => {
                    std::thread::sleep(Duration::from_millis(50));
                    continue;
                }
            };
            let Ok(peer) = stream.peer_addr() else { continue };
            let Some(guest) = self.door.enter(peer.ip()) else {
                debug!(%peer, "too many handshakes");
                continue;
            };
            let shared = self.clone();
            let spawned = spawn("election-hello", move || {
                info!("Received connection request from /{peer}");
                let result = shared.greeted(stream);
                drop(guest);
                if let Err(error) = result {
                    warn!(%peer, %error, "election connection refused");
                }
            });
            if let Err(error) = spawned {
                warn!(%error, "cannot start a thread");
            }
        }
    }

    /// Reads the initial message of a peer that dialled us; the rule of the larger sid decides.
    fn greeted(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let limit = Duration::from_millis(self.options.handshake_timeout_ms.max(1));
        let mut halves = self.security.accept(stream, limit)?;
        halves.0.set_deadline(Some(limit))?;
        let mut bytes = Vec::new();
        let message = loop {
            match InitialMessage::parse(&bytes).map_err(invalid)? {
                InitialProgress::Done(message, _) => break message,
                InitialProgress::Need(total) => {
                    let start = bytes.len();
                    bytes.resize(total, 0);
                    halves.0.read_exact(&mut bytes[start..])?;
                }
            }
        };
        let sid = Sid(message.sid);
        if sid == self.options.sid {
            return Err(invalid("a server with our own sid"));
        }
        if message.sid < 0 || message.sid == i64::MAX {
            return Err(invalid(format!("sid {sid} cannot take part")));
        }
        self.security.have_log_in(&mut halves, limit)?;
        let peer = self.peer(sid).ok_or_else(|| invalid("too many peers"))?;
        peer.state.lock().addresses = message.addresses;
        if sid < self.options.sid {
            debug!(%sid, "dialling back");
            drop(halves);
            let mut state = peer.state.lock();
            if !state.dialling {
                // The peer lost its end, whatever we think of ours.
                if let Some(old) = state.stream.take() {
                    old.cut();
                }
                state.dialling = true;
                drop(state);
                self.dial(sid);
            }
            return Ok(());
        }
        self.keep(sid, &peer, halves)
    }

    fn dial(self: &Arc<Self>, sid: Sid) {
        let shared = self.clone();
        let spawned = spawn("election-dial", move || {
            let Some(peer) = shared.peer(sid) else { return };
            let result = shared.dialled(sid, &peer);
            peer.state.lock().dialling = false;
            if let Err(error) = result {
                debug!(%sid, %error, "no election connection");
            }
        });
        if spawned.is_err()
            && let Some(peer) = self.peer(sid)
        {
            peer.state.lock().dialling = false;
        }
    }

    fn dialled(self: &Arc<Self>, sid: Sid, peer: &Arc<Peer>) -> io::Result<()> {
        let port = |a: &PeerAddress| super::join(&a.host, a.election_port);
        // With the name that the certificate is for.
        let named = |a: &PeerAddress| (port(a), a.host.clone());
        let mut targets: Vec<(String, String)> = self.book.of(sid).iter().map(named).collect();
        for address in &peer.state.lock().addresses {
            if targets.iter().all(|(target, _)| target != address) {
                targets.push((address.clone(), host_of(address)));
            }
        }
        let mut failure = invalid("no address is known");
        let limit = Duration::from_millis(self.options.connect_timeout_ms.max(1));
        for (target, host) in targets {
            match connect(&self.options, &target, limit)
                .and_then(|stream| self.introduce(stream, &host))
            {
                // It will dial us.
                Ok(_) if sid > self.options.sid => {
                    info!(
                        "Have smaller server identifier, so dropping the connection: (myId:{} \
                         --> sid:{sid})",
                        self.options.sid
                    );
                    return Ok(());
                }
                Ok(halves) => return self.keep(sid, peer, halves),
                Err(error) => {
                    warn!("Cannot open channel to {sid} at election address {target}: {error}");
                    failure = error;
                }
            }
        }
        Err(failure)
    }

    /// TLS, who we are, and our login, to the peer that was dialled as `host`.
    fn introduce(&self, stream: TcpStream, host: &str) -> io::Result<Halves> {
        let limit = Duration::from_millis(self.options.handshake_timeout_ms.max(1));
        stream.set_nodelay(true)?;
        let port = |a: &PeerAddress| super::join(&a.host, a.election_port);
        let addresses = self.book.own().iter().map(port).collect();
        let hello = InitialMessage { sid: self.options.sid.0, addresses };
        let mut halves = self.security.dial(stream, host, limit)?;
        halves.1.write_all(&hello.to_bytes(self.options.multi_address))?;
        self.security.log_in(&mut halves, host, limit)?;
        Ok(halves)
    }

    /// Makes this the connection to the peer.
    fn keep(self: &Arc<Self>, sid: Sid, peer: &Arc<Peer>, halves: Halves) -> io::Result<()> {
        let (mut reading, writing, cutter) = halves;
        reading.set_deadline(None)?;
        cutter.set_keep_alive(self.options.keep_alive)?;
        let generation = {
            let mut state = peer.state.lock();
            if let Some(old) = state.stream.replace(cutter) {
                old.cut();
            }
            state.generation += 1;
            if state.next.is_none() {
                state.next = state.last.clone();
            }
            state.generation
        };
        peer.bell.notify_all();
        let (shared, writer) = (self.clone(), peer.clone());
        spawn("election-send", move || {
            let _ = writer.write(generation, writing);
            writer.drop_connection(generation);
        })?;
        let reader = peer.clone();
        spawn("election-recv", move || {
            if let Err(error) = shared.read(sid, reading) {
                debug!(%sid, %error, "election connection ended");
            }
            reader.drop_connection(generation);
        })?;
        Ok(())
    }

    fn read(&self, sid: Sid, mut stream: ReadHalf) -> io::Result<()> {
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let length = i32::from_be_bytes(length);
            let size = match usize::try_from(length) {
                Ok(n) if n > 0 && n <= ELECTION_FRAME_MAX => n,
                _ => return Err(invalid(format!("a frame of {length} bytes"))),
            };
            let mut body = vec![0; size];
            stream.read_exact(&mut body)?;
            let heard = NotificationRecord::from_bytes(&body).and_then(Notification::from_record);
            match heard {
                Ok(notification) => (self.sink)(Event::Notification { from: sid, notification }),
                Err(error) => warn!(%sid, %error, "a vote that cannot be read is ignored"),
            }
        }
    }
}

impl Peer {
    fn write(&self, generation: u64, mut stream: WriteHalf) -> io::Result<()> {
        loop {
            let frame = {
                let mut state = self.state.lock();
                loop {
                    if state.generation != generation || state.stream.is_none() {
                        return Ok(());
                    }
                    match state.next.take() {
                        Some(frame) => break frame,
                        None => self.bell.wait(&mut state),
                    }
                }
            };
            stream.write_all(&frame)?;
        }
    }

    fn drop_connection(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation
            && let Some(stream) = state.stream.take()
        {
            stream.cut();
        }
        drop(state);
        self.bell.notify_all();
    }
}

/// The host of `host:port`.
fn host_of(target: &str) -> String {
    let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Connects to the first address of a name that answers.
pub(super) fn connect(options: &Options, target: &str, limit: Duration) -> io::Result<TcpStream> {
    let mut failure = invalid("the name has no address");
    for address in (options.resolver.0)(target)? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
