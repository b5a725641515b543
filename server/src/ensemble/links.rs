//! Links between learners and leader: the quorum port on the leader's side, the dialled connection
//! on the learner's. Two threads per link.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jute::Encode;
use jute::quorum::SNAPSHOT_SIGNATURE;
use parking_lot::Mutex;
use tracing::{debug, info, warn};

use super::door::Door;
use super::inbox::Inbox;
use super::security::Halves;
use super::tracker::Tracker;
use super::wire::{CHUNK_BYTES, Item, Overflow, Wire};
use super::{AddressBook, Options, Security, Sink, mesh, spawn};
use crate::auth::{ReadHalf, Stream, WriteHalf};
use crate::base::{Proposal, Sid, Zxid};
use crate::storage::DataDirs;
use crate::storage::snapshot::codec::{encode_end, encode_tables, read_tree_stream};
use crate::storage::snapshot::manners::{Manners, Pausing};
use crate::storage::txnlog::reader::TxnLogReader;
use crate::tree::DataTree;
use crate::tree::cell::TreeReader;
use crate::tree::cut::Cut;
use crate::tree::load::TreeLoader;
use crate::zab::{Event, Link, Packet};

/// Links at once.
const LINKS_MAX: usize = 1100;

/// Handshakes of learners at once.
const GREETINGS_MAX: usize = 256;
/// Of one address.
const GREETINGS_OF_ONE_MAX: usize = 64;

/// A peer that reads nothing for this long is cut.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause after an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// The quorum port and its links.
pub(super) struct Links {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    security: Arc<Security>,
    sink: Sink,
    dirs: Arc<DataDirs>,
    book: Arc<AddressBook>,
    links: Mutex<HashMap<Link, Arc<Wire>>>,
    next: AtomicU64,
    /// Handshakes of learners going on.
    door: Arc<Door>,
    /// Open ports of the present leadership.
    listening: Mutex<Option<Arc<Ports>>>,
    /// The same for observers while we follow.
    listening_for_observers: Mutex<Option<Arc<Ports>>>,
    received: Mutex<HashMap<Link, DataTree>>,
}

/// Listeners that end together, with their threads.
#[derive(Default)]
struct Ports {
    closed: AtomicBool,
    listeners: Mutex<Vec<TcpListener>>,
}

impl Ports {
    fn are_open(&self) -> bool {
        !self.closed.load(Ordering::Acquire)
    }

    /// Whoever waits at one of them is woken.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        for listener in self.listeners.lock().drain(..) {
            // Whatever it says: a port that is not open is closed.
            let _ = socket2::SockRef::from(&listener).shutdown(Shutdown::Both);
        }
    }

    /// Makes a listener one of them, which ends at once if they have ended meanwhile.
    fn add(&self, listener: &TcpListener) -> io::Result<()> {
        self.listeners.lock().push(listener.try_clone()?);
        if !self.are_open() {
            self.close();
        }
        Ok(())
    }
}

impl Links {
    pub(super) fn new(
        options: Options,
        security: Arc<Security>,
        book: Arc<AddressBook>,
        dirs: Arc<DataDirs>,
        sink: Sink,
    ) -> Self {
        let shared = Shared {
            options,
            security,
            sink,
            dirs,
            book,
            links: Mutex::default(),
            next: AtomicU64::new(1),
            door: Door::new(GREETINGS_MAX, GREETINGS_OF_ONE_MAX),
            listening: Mutex::new(None),
            listening_for_observers: Mutex::new(None),
            received: Mutex::default(),
        };
        Links { shared: Arc::new(shared) }
    }

    pub(super) fn listen(&self, on: bool) {
        let own = self.shared.book.own().into_iter().map(|a| (a.host, a.quorum_port));
        self.accept_on(&self.shared.listening, on, own.collect());
    }

    pub(super) fn listen_for_observers(&self, on: bool) {
        let port = self.shared.options.observer_master_port;
        let own = self.shared.book.own().into_iter();
        let own = own.filter_map(|address| Some((address.host, port?)));
        self.accept_on(&self.shared.listening_for_observers, on, own.collect());
    }

    fn accept_on(&self, present: &Mutex<Option<Arc<Ports>>>, on: bool, places: Vec<(String, u16)>) {
        if let Some(ports) = present.lock().take() {
            ports.close();
        }
        if !on {
            return;
        }
        let ports = Arc::new(Ports::default());
        *present.lock() = Some(ports.clone());
        for (host, port) in places {
            let (shared, ports) = (self.shared.clone(), ports.clone());
            let spawned = spawn("quorum-accept", move || {
                let listener = bind(&shared.options, &host, port, &ports)
                    .and_then(|listener| ports.add(&listener).map(|()| listener));
                match listener {
                    Ok(listener) => shared.accept_all(&listener, &ports),
                    Err(error) => warn!(%error, "a port for learners cannot be opened"),
                }
            });
            if let Err(error) = spawned {
                warn!(%error, "cannot start a thread");
            }
        }
    }

    /// Dials the quorum port, or the port for observers.
    pub(super) fn connect(&self, sid: Sid, to_master: bool) {
        let shared = self.shared.clone();
        let spawned = spawn("leader-dial", move || match shared.dialled(sid, to_master) {
            Ok(halves) => {
                if let Err(error) = shared.clone().open(halves, Some(sid)) {
                    debug!(%sid, %error, "no link to the leader");
                    (shared.sink)(Event::ConnectFailed(sid));
                }
            }
            Err(error) => {
                debug!(%sid, %error, "cannot reach the leader");
                (shared.sink)(Event::ConnectFailed(sid));
            }
        });
        if spawned.is_err() {
            (self.shared.sink)(Event::ConnectFailed(sid));
        }
    }

    pub(super) fn send(&self, link: Link, packets: impl IntoIterator<Item = Packet>) {
        let Some(wire) = self.wire(link) else { return };
        let sent = wire.send(packets, self.shared.options.queue_bytes_max);
        self.check(link, &wire, sent);
    }

    pub(super) fn stream_log(&self, link: Link, after: Zxid, upto: Zxid) {
        self.push(link, Item::Log { after, upto });
    }

    pub(super) fn send_snapshot(&self, link: Link, zxid: Zxid, cut: Cut, reader: TreeReader) {
        self.push(link, Item::Snapshot { zxid, cut: Box::new(cut), reader });
    }

    pub(super) fn close(&self, link: Link, why: &'static str) {
        if let Some(wire) = self.wire(link) {
            let peer = wire.stream.peer();
            info!(link = link.0, ?peer, why, "closing a link");
        }
        self.shared.received.lock().remove(&link);
        self.push(link, Item::End);
    }

    pub(super) fn sight(&self, link: Link) -> Option<(Option<SocketAddr>, usize, usize)> {
        let wire = self.wire(link)?;
        let (packets, bytes) = wire.waiting();
        Some((wire.stream.peer(), packets, bytes))
    }

    pub(super) fn take_received(&self, link: Link) -> Option<DataTree> {
        self.shared.received.lock().remove(&link)
    }

    pub(super) fn stop(&self) {
        self.listen(false);
        self.listen_for_observers(false);
        for wire in self.shared.links.lock().values() {
            wire.cut();
        }
    }

    fn push(&self, link: Link, item: Item) {
        let Some(wire) = self.wire(link) else { return };
        let queued = wire.push(item, self.shared.options.queue_bytes_max);
        self.check(link, &wire, queued);
    }

    fn wire(&self, link: Link) -> Option<Arc<Wire>> {
        self.shared.links.lock().get(&link).cloned()
    }

    fn check(&self, link: Link, wire: &Wire, sent: Result<(), Overflow>) {
        if let Err(Overflow) = sent {
            warn!(link = link.0, "a learner does not keep up: its link is cut");
            wire.cut();
        }
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener, ports: &Ports) {
        while ports.are_open() {
            match listener.accept() {
                Ok((stream, peer)) => {
                    let opened = if self.security.is_plain() {
                        self.clone().open(Stream::plain(stream).split(), None)
                    } else {
                        self.greet(stream)
                    };
                    if let Err(error) = opened {
                        warn!(%peer, %error, "a learner is refused");
                    }
                }
                // The port was closed.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
                // Out of descriptors, say: others will be closed.
                Err(_) => std::thread::sleep(ACCEPT_AGAIN),
            }
        }
    }

    /// TLS and SASL of a learner, on a thread of their own: they may take a while.
    fn greet(self: &Arc<Self>, stream: TcpStream) -> io::Result<()> {
        let peer = stream.peer_addr()?;
        let guest = self
            .door
            .enter(peer.ip())
            .ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "too many handshakes"))?;
        let shared = self.clone();
        spawn("learner-hello", move || {
            let limit = Duration::from_millis(shared.options.handshake_timeout_ms.max(1));
            let greeted = shared.security.accept(stream, limit).and_then(|mut halves| {
                shared.security.have_log_in(&mut halves, limit)?;
                Ok(halves)
            });
            drop(guest);
            if let Err(error) = greeted.and_then(|halves| shared.clone().open(halves, None)) {
                warn!(%peer, %error, "a learner is refused");
            }
        })
    }

    fn dialled(&self, sid: Sid, to_master: bool) -> io::Result<Halves> {
        let master_port = self.options.observer_master_port.filter(|_| to_master);
        let limit = Duration::from_millis(self.options.learner_connect_timeout_ms.max(1));
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "no address is known");
        for address in self.book.of(sid) {
            let port = master_port.unwrap_or(address.quorum_port);
            match mesh::connect(&self.options, &super::join(&address.host, port), limit) {
                Ok(stream) => {
                    let dialled = self.security.dial(stream, &address.host, limit);
                    let greeted = dialled.and_then(|mut halves| {
                        self.security.log_in(&mut halves, &address.host, limit)?;
                        Ok(halves)
                    });
                    match greeted {
                        Ok(halves) => return Ok(halves),
                        // Another of its addresses may lead to the right one.
                        Err(error) => {
                            warn!(%sid, "cannot link to the leader: {error}");
                            failure = error;
                        }
                    }
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Numbers a connection, tells the core, starts its threads.
    fn open(self: Arc<Self>, halves: Halves, leader: Option<Sid>) -> io::Result<()> {
        let (reading, writing, stream) = halves;
        let nodelay = match leader {
            Some(_) => self.options.follower_nodelay,
            None => self.options.leader_nodelay,
        };
        stream.prepare(WRITE_TIMEOUT, nodelay)?;
        let link = Link(self.next.fetch_add(1, Ordering::AcqRel));
        // A socket that was cut knows it no longer.
        let peer = stream.peer();
        let tracker = self.options.tracked.map(Tracker::new);
        let wire = Arc::new(Wire::new(stream, tracker));
        {
            let mut links = self.links.lock();
            if links.len() >= LINKS_MAX {
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many links"));
            }
            links.insert(link, wire.clone());
        }
        (self.sink)(match leader {
            Some(sid) => Event::Connected { sid, link },
            None => Event::LinkUp(link),
        });
        let (shared, sender) = (self.clone(), wire.clone());
        spawn("link-send", move || {
            if let Err(error) = shared.write_all(&sender, writing) {
                debug!(link = link.0, %error, "link broke while sending");
            }
            sender.cut();
        })?;
        let from_learner = leader.is_none();
        spawn("link-recv", move || {
            if let Err(error) = self.read_all((link, &wire), reading, from_learner) {
                debug!(link = link.0, %error, "link broke while receiving");
            }
            wire.cut();
            if let Some(tracker) = &wire.tracker {
                tracker.dump(peer);
            }
            self.links.lock().remove(&link);
            (self.sink)(Event::LinkDown(link));
        })
    }

    fn read_all(
        &self,
        (link, own): (Link, &Wire),
        stream: ReadHalf,
        from_learner: bool,
    ) -> io::Result<()> {
        let peer = stream.peer();
        let mut inbox = Inbox::new(stream, self.options.field_max, from_learner);
        loop {
            inbox.receive()?;
            let mut packets = Vec::new();
            let broken = loop {
                let packet = match inbox.next() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                };
                if let Some(tracker) = &own.tracker {
                    tracker.received(packet.name());
                }
                let snapshot = match packet {
                    Packet::Snap(zxid) if !from_learner => Some(zxid),
                    _ => None,
                };
                packets.push(packet);
                if let Some(zxid) = snapshot {
                    (self.sink)(Event::Packets(link, std::mem::take(&mut packets)));
                    inbox.lend(|input| self.read_snapshot(link, zxid, input))?;
                    (self.sink)(Event::SnapshotReceived(link));
                }
            };
            if !packets.is_empty() {
                (self.sink)(Event::Packets(link, packets));
            }
            if let Some(error) = broken {
                warn!(link = link.0, ?peer, %error, "a packet that cannot be read");
                return Err(invalid(error));
            }
        }
    }

    /// The stream behind SNAP: tables, znodes, signature.
    fn read_snapshot(&self, link: Link, zxid: Zxid, input: &mut dyn Read) -> io::Result<Vec<u8>> {
        let mut loader = TreeLoader::new(self.options.tree.clone());
        let mut input = Pausing::new(input);
        let (signature, rest) =
            read_tree_stream(&mut input, self.options.field_max, &mut loader).map_err(invalid)?;
        if signature != SNAPSHOT_SIGNATURE {
            return Err(invalid("the snapshot stream does not end with its signature"));
        }
        let tree = loader.finish_received(zxid).map_err(invalid)?;
        info!(link = link.0, %zxid, znodes = tree.node_count(), "snapshot received");
        self.received.lock().insert(link, tree);
        Ok(rest)
    }

    fn write_all(&self, wire: &Wire, mut stream: WriteHalf) -> io::Result<()> {
        let mut out = Vec::with_capacity(CHUNK_BYTES);
        let mut items = VecDeque::new();
        loop {
            if !wire.take(&mut items) {
                return Ok(());
            }
            for item in items.drain(..) {
                if let (Some(tracker), Some(name)) = (&wire.tracker, item.name()) {
                    tracker.sent(name);
                }
                match item {
                    Item::Packet(packet) => packet.encode(&mut out),
                    Item::Rest(bytes) => out.extend_from_slice(&bytes),
                    Item::Log { after, upto } => {
                        self.write_log(after, upto, &mut out, &mut stream)?;
                    }
                    Item::Snapshot { zxid, cut, reader } => {
                        write_snapshot(zxid, *cut, &reader, &mut out, &mut stream)?;
                    }
                    Item::End => {
                        stream.write_all(&out)?;
                        return Ok(());
                    }
                }
                if out.len() >= CHUNK_BYTES {
                    stream.write_all(&out)?;
                    out.clear();
                }
            }
            stream.write_all(&out)?;
            out.clear();
        }
    }

    /// The on-disk part of a DIFF: each transaction with its COMMIT.
    fn write_log(
        &self,
        after: Zxid,
        upto: Zxid,
        out: &mut Vec<u8>,
        stream: &mut WriteHalf,
    ) -> io::Result<()> {
        let mut reader = TxnLogReader::open(&self.dirs, self.options.field_max, after, false)
            .map_err(invalid)?;
        let mut last = after;
        while last < upto {
            let Some(proposal) = reader.next_proposal().map_err(invalid)? else {
                return Err(invalid("the log ended before the sync did"));
            };
            if proposal.zxid() <= after {
                continue;
            }
            last = proposal.zxid();
            write_proposal(proposal, out);
            if out.len() >= CHUNK_BYTES {
                stream.write_all(out)?;
                out.clear();
            }
        }
        Ok(())
    }
}

fn write_proposal(proposal: Proposal, out: &mut Vec<u8>) {
    let zxid = proposal.zxid();
    Packet::Proposal(Arc::new(proposal)).encode(out);
    Packet::Commit(zxid).encode(out);
}

/// SNAP and the stream behind it: no file header, seal or digest, but a signature.
fn write_snapshot(
    zxid: Zxid,
    mut cut: Cut,
    reader: &TreeReader,
    out: &mut Vec<u8>,
    stream: &mut WriteHalf,
) -> io::Result<()> {
    Packet::Snap(zxid).encode(out);
    encode_tables(cut.sessions(), cut.acls(), out);
    let mut manners = Manners::begin();
    while cut.next_batch(reader, out).map_err(invalid)? {
        manners.pause();
        if out.len() >= CHUNK_BYTES {
            stream.write_all(out)?;
            out.clear();
        }
    }
    encode_end(out);
    SNAPSHOT_SIGNATURE.encode(out);
    stream.write_all(out)?;
    out.clear();
    Ok(())
}

/// Binds the quorum port; a former leader's port may still be closing.
fn bind(options: &Options, host: &str, port: u16, ports: &Ports) -> io::Result<TcpListener> {
    loop {
        match super::listen(options, host, port) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && ports.are_open() => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Resolver, SecurityOptions};
    use super::*;
    use crate::storage::RealDisk;
    use crate::tree::TreeOptions;
    use crate::zab::testing::members;

    /// `leader.nodelay`, `follower.nodelay`: who was dialled, and who dials.
    #[test]
    fn both_ends_decide_about_small_packets() {
        for (leader, follower) in [(true, true), (true, false), (false, true), (false, false)] {
            let security = SecurityOptions {
                tls: None,
                ssl_quorum: false,
                unified: false,
                detection_ms: 1,
                sasl: None,
            };
            let options = Options {
                sid: Sid(1),
                listen_on_all_ips: false,
                connect_timeout_ms: 1,
                handshake_timeout_ms: 1,
                observer_master_port: None,
                learner_connect_timeout_ms: 1,
                keep_alive: false,
                multi_address: false,
                bind_attempts: 1,
                leader_nodelay: leader,
                follower_nodelay: follower,
                tracked: None,
                resolver: Resolver::default(),
                oracle_path: None,
                field_max: 1 << 20,
                queue_bytes_max: 1 << 20,
                tree: TreeOptions::default(),
                security: security.clone(),
            };
            let security = Arc::new(Security::open(&security).unwrap());
            let book = Arc::new(AddressBook::new(&Arc::new(members(&[1, 2], &[])), Sid(1)));
            let nowhere = std::path::Path::new("unused");
            let dirs = Arc::new(DataDirs::unlocked(Arc::new(RealDisk), nowhere, None));
            let links = Links::new(options, security, book, dirs, Arc::new(|_| {}));
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            for (dialled, expected) in [(None, leader), (Some(Sid(2)), follower)] {
                let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                let _far = listener.accept().unwrap();
                // The same socket, so the same option.
                let shown = near.try_clone().unwrap();
                shown.set_nodelay(!expected).unwrap();
                links.shared.clone().open(Stream::plain(near).split(), dialled).unwrap();
                assert_eq!(shown.nodelay().unwrap(), expected, "{dialled:?}");
            }
            links.stop();
        }
    }
}
