//! The network between the servers of an ensemble, and between clients and one server, on loopback,
//! with links that can be cut.
//!
//! For every ordered pair of servers there is a port that stands for the other's quorum port and
//! one for its election port. A server's `zoo.cfg` names these for its peers, and the truth only
//! for itself. Election connections say where the caller can be called back; the proxy puts the
//! port of the way back there, so that nothing goes around it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::server::{Server, free_port};

/// How long a leader may take until it listens for learners.
const LISTENS_LATER: Duration = Duration::from_secs(2);

/// What happens to connections between two servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Cut {
    /// They work.
    None = 0,
    /// They are closed, new ones too: a firewall that answers.
    Closed = 1,
    /// They stay open and carry nothing: a cable that is out.
    Silent = 2,
    /// What the one who connected says is lost, what it is answered arrives.
    OneWay = 3,
}

impl Cut {
    fn of(number: u8) -> Self {
        match number {
            1 => Self::Closed,
            2 => Self::Silent,
            3 => Self::OneWay,
            _ => Self::None,
        }
    }
}

/// One direction of connecting between two servers.
#[derive(Default)]
struct Link {
    cut: AtomicU8,
    open: Mutex<Vec<TcpStream>>,
}

impl Link {
    fn cut(&self) -> Cut {
        Cut::of(self.cut.load(Ordering::Acquire))
    }

    fn become_cut(&self, cut: Cut) {
        let mut open = self.open();
        if self.cut() != Cut::None || cut == Cut::Closed {
            // What a cut has swallowed must not be missing in a stream that goes on: all are closed
            // before the link carries anything again.
            close(&mut open);
        }
        self.cut.store(cut as u8, Ordering::Release);
    }

    fn close(&self) {
        close(&mut self.open());
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a connection, to be closed with the link; not if that happened meanwhile.
    fn keep(&self, stream: &TcpStream, ends: impl Fn(Cut) -> bool) -> std::io::Result<bool> {
        let clone = stream.try_clone()?;
        let mut open = self.open();
        let keeps = !ends(self.cut());
        if keeps {
            open.push(clone);
        }
        Ok(keeps)
    }
}

fn close(streams: &mut Vec<TcpStream>) {
    for stream in streams.drain(..) {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// All links of an ensemble.
pub struct Network {
    links: BTreeMap<(usize, usize), Arc<Link>>,
    ports: BTreeMap<(usize, usize), (u16, u16)>,
    stop: Arc<AtomicBool>,
}

impl Network {
    /// Listens for every pair of these servers, whose quorum and election ports are given. The
    /// first has sid 1.
    pub fn new(real: &[(u16, u16)]) -> Result<Self> {
        let pairs = || {
            let sids = 1..=real.len();
            sids.clone().flat_map(move |from| sids.clone().map(move |to| (from, to)))
        };
        let mut network =
            Self { links: BTreeMap::new(), ports: BTreeMap::new(), stop: Arc::default() };
        for (from, to) in pairs().filter(|(from, to)| from != to) {
            network.ports.insert((from, to), (free_port(), free_port()));
            network.links.insert((from, to), Arc::default());
        }
        for ((from, to), (quorum, election)) in &network.ports {
            let (_, back) = network.ports[&(*to, *from)];
            let (real_quorum, real_election) = real[to - 1];
            let link = &network.links[&(*from, *to)];
            let stop = &network.stop;
            listen(*quorum, real_quorum, link, None, stop)?;
            listen(*election, real_election, link, Some(back), stop)?;
        }
        Ok(network)
    }

    /// Quorum and election port under which `from` finds `to`.
    pub fn ports(&self, from: usize, to: usize) -> (u16, u16) {
        self.ports[&(from, to)]
    }

    /// Cuts or mends what `from` opens to `to` and the other way round.
    pub fn cut(&self, from: usize, to: usize, cut: Cut) {
        for pair in [(from, to), (to, from)] {
            self.links[&pair].become_cut(cut);
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.ports.values().for_each(|(quorum, election)| {
            wake(*quorum);
            wake(*election);
        });
        self.links.values().for_each(|link| link.close());
    }
}

/// The way of clients to one server. A Java server that starts alone may leave one that comes early
/// without an answer for longer than its session lives, so nobody comes before it serves.
pub struct Door {
    address: SocketAddr,
    link: Arc<Link>,
    stop: Arc<AtomicBool>,
}

impl Door {
    /// In front of this server.
    pub fn new(server: SocketAddr) -> Result<Self> {
        let door = Self {
            address: (Ipv4Addr::LOCALHOST, free_port()).into(),
            link: Arc::default(),
            stop: Arc::default(),
        };
        listen(door.address.port(), server.port(), &door.link, None, &door.stop)?;
        Ok(door)
    }

    /// Where clients knock.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `kill -9`, what is to be done to the dead, and the start, with the door closed until it serves.
    pub fn restart(&self, server: &mut Server, change: impl FnOnce(&mut Server)) -> Result<()> {
        server.kill_9()?;
        self.link.become_cut(Cut::Closed);
        change(server);
        server.start()?;
        self.link.become_cut(Cut::None);
        Ok(())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        wake(self.address.port());
        self.link.close();
    }
}

fn listen(
    port: u16,
    real: u16,
    link: &Arc<Link>,
    back: Option<u16>,
    stop: &Arc<AtomicBool>,
) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("a proxy's port")?;
    let (link, stop) = (link.clone(), stop.clone());
    thread::spawn(move || {
        for caller in listener.incoming() {
            if stop.load(Ordering::Acquire) {
                break;
            }
            if let Ok(caller) = caller {
                let link = link.clone();
                thread::spawn(move || serve(&link, caller, real, back));
            }
        }
    });
    Ok(())
}

/// Wakes a listener, which sees that it may end.
fn wake(port: u16) {
    let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
}

/// Carries one connection until either side ends it.
fn serve(link: &Arc<Link>, caller: TcpStream, real: u16, back: Option<u16>) {
    if link.cut() == Cut::Closed {
        return;
    }
    if link.cut() == Cut::Silent {
        // If it was mended meanwhile nobody would ever close it.
        if link.keep(&caller, |cut| cut != Cut::Silent).unwrap_or(false) {
            swallow(caller);
        }
        return;
    }
    let carried = (|| -> std::io::Result<()> {
        let called = connect(link, real, back.is_none())?;
        for stream in [&caller, &called] {
            stream.set_nodelay(true)?;
            if !link.keep(stream, |cut| cut == Cut::Closed)? {
                return Ok(());
            }
        }
        let (mut caller_in, mut called_out) = (caller.try_clone()?, called.try_clone()?);
        let answers = link.clone();
        thread::spawn(move || carry(&answers, called, caller, &[Cut::Silent]));
        if let Some(back) = back {
            greet(&mut caller_in, &mut called_out, back)?;
        }
        carry(link, caller_in, called_out, &[Cut::Silent, Cut::OneWay]);
        Ok(())
    })();
    // The caller sees it: its connection is closed.
    drop(carried);
}

/// Connects to the server behind a port. A learner may be there before its leader listens and asks
/// again when it is refused; through here it is not refused, so that is done for it.
fn connect(link: &Link, real: u16, patiently: bool) -> std::io::Result<TcpStream> {
    let deadline = Instant::now() + LISTENS_LATER;
    loop {
        let result = TcpStream::connect((Ipv4Addr::LOCALHOST, real));
        let again = patiently && link.cut() == Cut::None && Instant::now() < deadline;
        if result.is_ok() || !again {
            return result;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Reads to the end and keeps nothing.
fn swallow(mut from: TcpStream) {
    let mut buffer = [0; 4096];
    while matches!(from.read(&mut buffer), Ok(n) if n > 0) {}
}

fn carry(link: &Link, mut from: TcpStream, mut to: TcpStream, lost: &[Cut]) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let is_lost = lost.contains(&link.cut());
        if is_lost && read == 0 {
            // The end is lost, too: the other side hears of it when the link is mended.
            return;
        }
        if read == 0 || (!is_lost && to.write_all(&buffer[..read]).is_err()) {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// The first message on an election port: who calls and where to call back. The oldest form is the
/// sid alone.
fn greet(from: &mut TcpStream, to: &mut TcpStream, back: u16) -> std::io::Result<()> {
    let mut version = [0; 8];
    from.read_exact(&mut version)?;
    to.write_all(&version)?;
    if i64::from_be_bytes(version) >= 0 {
        return Ok(());
    }
    let mut head = [0; 12];
    from.read_exact(&mut head)?;
    let (sid, length) = head.split_at(8);
    let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    let mut address = vec![0; usize::try_from(length).unwrap_or(0).min(4096)];
    from.read_exact(&mut address)?;
    let address = format!("127.0.0.1:{back}");
    let mut message = sid.to_vec();
    message.extend((address.len() as i32).to_be_bytes());
    message.extend(address.as_bytes());
    to.write_all(&message)
}
