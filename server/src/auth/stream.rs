//! A blocking connection between servers, plain or TLS, that one thread reads and another writes.
//!
//! The TLS state is locked only while bytes pass through it, never while the socket is waited for.

use std::io::{self, Cursor, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use parking_lot::Mutex;
use rustls::Connection;

use super::context::{ClientAuth, Tls};

/// First byte of a TLS handshake; no frame and no four-letter word begins with it.
const HANDSHAKE: u8 = 0x16;
/// Header of a TLS record: enough to tell it from anything else.
const RECORD_HEADER: usize = 5;
/// Largest TLS record, header excluded, bytes.
const RECORD_MAX: u16 = (1 << 14) + 2048;
/// Bytes read from the socket at once.
const CHUNK_BYTES: usize = 16 * 1024;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    shared: Arc<Shared>,
    /// Came before the connection was handed over.
    first: Vec<u8>,
}

#[derive(Debug)]
struct Shared {
    socket: TcpStream,
    tls: Option<Mutex<Connection>>,
    /// Held while ciphertext goes to the socket, so that its order is kept. Locked before `tls`.
    sending: Mutex<()>,
}

/// The reading half.
#[derive(Debug)]
pub struct ReadHalf {
    shared: Arc<Shared>,
    /// Received and not read; `at` bytes of it are read.
    ready: Vec<u8>,
    at: usize,
    raw: Vec<u8>,
    ended: bool,
    /// Reading is over then.
    deadline: Option<Instant>,
}

/// The writing half.
#[derive(Debug)]
pub struct WriteHalf {
    shared: Arc<Shared>,
    out: Vec<u8>,
}

/// Ends the connection from anywhere.
#[derive(Debug, Clone)]
pub struct Cutter(Arc<Shared>);

impl Stream {
    /// Without TLS.
    pub fn plain(socket: TcpStream) -> Self {
        Self::with(socket, None, Vec::new())
    }

    /// Speaks TLS to the server that was dialled under the name `host`, within `limit`.
    ///
    /// # Errors
    /// If the handshake fails or the certificate is not the server's.
    pub fn dial(socket: TcpStream, tls: &Tls, host: &str, limit: Duration) -> io::Result<Self> {
        let address = socket.peer_addr()?.ip();
        let connection = tls.client(host, address).map_err(invalid)?;
        let (connection, early) = shake(&socket, connection.into(), &[], limit)?;
        if !tls.accepts_server(connection.peer_certificates(), host, address) {
            return Err(invalid(format!("the certificate of {host} ({address}) is not for it")));
        }
        Ok(Self::with(socket, Some(connection), early))
    }

    /// Speaks TLS to whoever dialled, within `limit`. With `unified` to those who begin it within
    /// `detection`; with others plainly.
    ///
    /// # Errors
    /// If the handshake fails or the certificate is not the client's.
    pub fn accept(
        socket: TcpStream,
        tls: &Tls,
        unified: Option<Duration>,
        limit: Duration,
    ) -> io::Result<Self> {
        let mut first = Vec::new();
        if let Some(detection) = unified {
            first = first_bytes(&socket, detection)?;
            if begins_tls(&first) != Some(true) {
                return Ok(Self::with(socket, None, first));
            }
        }
        let address = socket.peer_addr()?.ip();
        let connection = tls.server().map_err(invalid)?;
        let (connection, early) = shake(&socket, connection.into(), &first, limit)?;
        if tls.client_auth() != ClientAuth::None
            && !tls.accepts_client(connection.peer_certificates(), address)
        {
            return Err(invalid(format!("the certificate is not for {address}")));
        }
        Ok(Self::with(socket, Some(connection), early))
    }

    fn with(socket: TcpStream, tls: Option<Connection>, first: Vec<u8>) -> Self {
        let shared = Shared { socket, tls: tls.map(Mutex::new), sending: Mutex::new(()) };
        Self { shared: Arc::new(shared), first }
    }

    /// The socket, for its options.
    pub fn socket(&self) -> &TcpStream {
        &self.shared.socket
    }

    /// True if TLS is spoken.
    pub fn is_secure(&self) -> bool {
        self.shared.tls.is_some()
    }

    /// The subject of the other side's certificate, as Java prints it.
    pub fn peer_subject(&self) -> Option<String> {
        super::subject(self.shared.tls.as_ref()?.lock().peer_certificates()?)
    }

    /// The halves, and the means to end both.
    pub fn split(self) -> (ReadHalf, WriteHalf, Cutter) {
        let Self { shared, first } = self;
        (
            ReadHalf {
                shared: shared.clone(),
                ready: first,
                at: 0,
                raw: Vec::new(),
                ended: false,
                deadline: None,
            },
            WriteHalf { shared: shared.clone(), out: Vec::new() },
            Cutter(shared),
        )
    }
}

impl Cutter {
    /// Ends both directions.
    pub fn cut(&self) {
        let _ = self.0.socket.shutdown(Shutdown::Both);
    }

    /// The other end's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.socket.peer_addr().ok()
    }

    /// Sends as much as the socket takes at once, nothing over TLS; how much that was. Nobody may be
    /// writing to the other half meanwhile.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        use nix::sys::socket::{MsgFlags, send};
        if self.0.tls.is_some() {
            return Ok(0);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.0.socket.as_raw_fd(), bytes, flags) {
            Ok(count) => Ok(count),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends what is written at once if `nodelay`, and gives up on a peer that takes nothing for `limit`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn prepare(&self, limit: Duration, nodelay: bool) -> io::Result<()> {
        self.0.socket.set_nodelay(nodelay)?;
        self.0.socket.set_write_timeout(Some(limit))
    }

    /// Lets the kernel probe a silent peer, or not.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn set_keep_alive(&self, on: bool) -> io::Result<()> {
        socket2::SockRef::from(&self.0.socket).set_keepalive(on)
    }
}

impl ReadHalf {
    /// The other end's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.shared.socket.peer_addr().ok()
    }

    /// Limits how long all reads from now on may take together, however small the pieces that come;
    /// `None` for no limit. A read that is too late fails with `TimedOut`.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn set_deadline(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.deadline = limit.map(|limit| Instant::now() + limit);
        self.shared.socket.set_read_timeout(limit)
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.deadline {
            Some(deadline) => read_until(&self.shared.socket, buffer, deadline),
            None => (&self.shared.socket).read(buffer),
        }
    }

    /// Puts bytes back in front of what is still to be read.
    pub fn unread(&mut self, bytes: &[u8]) {
        self.ready.splice(..self.at, bytes.iter().copied());
        self.at = 0;
    }
}

impl Read for ReadHalf {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.at < self.ready.len() {
                let count = buffer.len().min(self.ready.len() - self.at);
                buffer[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
                self.at += count;
                return Ok(count);
            }
            let Some(tls) = &self.shared.tls else { return self.receive(buffer) };
            if self.ended {
                return Ok(0);
            }
            self.ready.clear();
            self.at = 0;
            let mut raw = std::mem::take(&mut self.raw);
            raw.resize(CHUNK_BYTES, 0);
            let received = self.receive(&mut raw);
            self.raw = raw;
            let count = received?;
            let answers = {
                let mut tls = tls.lock();
                let (ended, outcome) = feed(&mut tls, &self.raw[..count], &mut self.ready);
                self.ended = ended;
                if count == 0 && !ended {
                    // Whoever cuts a connection without a farewell may have cut what was said.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if let Err(error) = outcome {
                    self.ready.clear();
                    self.shared.flush(tls);
                    return Err(error);
                }
                tls.wants_write()
            };
            if answers {
                let _order = self.shared.sending.lock();
                let mut out = Vec::new();
                drain(&mut tls.lock(), &mut out)?;
                (&self.shared.socket).write_all(&out)?;
            }
        }
    }
}

impl Shared {
    /// Sends an alert if nobody else is sending.
    fn flush(&self, mut tls: parking_lot::MutexGuard<'_, Connection>) {
        if let Some(_order) = self.sending.try_lock() {
            let mut out = Vec::new();
            if drain(&mut tls, &mut out).is_ok() {
                let _ = (&self.socket).write_all(&out);
            }
        }
    }
}

impl Write for WriteHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(tls) = &self.shared.tls else {
            return (&self.shared.socket).write_all(bytes);
        };
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let _order = self.shared.sending.lock();
            self.out.clear();
            {
                let mut tls = tls.lock();
                tls.writer().write_all(chunk)?;
                drain(&mut tls, &mut self.out)?;
            }
            (&self.shared.socket).write_all(&self.out)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        if let Some(tls) = &self.shared.tls
            && let Some(_order) = self.shared.sending.try_lock()
        {
            let mut tls = tls.lock();
            tls.send_close_notify();
            self.out.clear();
            // Only if the socket takes it at once; nobody waits for a farewell.
            if drain(&mut tls, &mut self.out).is_ok() {
                use nix::sys::socket::{MsgFlags, send};
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                let _ = send(self.shared.socket.as_raw_fd(), &self.out, flags);
            }
        }
    }
}

/// Passes received bytes through; true if the peer said farewell.
fn feed(tls: &mut Connection, bytes: &[u8], plain: &mut Vec<u8>) -> (bool, io::Result<()>) {
    let mut input = Cursor::new(bytes);
    let mut ended = false;
    while (input.position() as usize) < bytes.len() && !ended {
        match tls.read_tls(&mut input) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return (ended, Err(error)),
        }
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => return (ended, Err(invalid(super::explain(&error)))),
        };
        ended = state.peer_has_closed();
        let at = plain.len();
        plain.resize(at + state.plaintext_bytes_to_read(), 0);
        if let Err(error) = tls.reader().read_exact(&mut plain[at..]) {
            return (ended, Err(error));
        }
    }
    (ended, Ok(()))
}

fn drain(tls: &mut Connection, out: &mut Vec<u8>) -> io::Result<()> {
    while tls.wants_write() {
        tls.write_tls(out)?;
    }
    Ok(())
}

/// The handshake. `first` came already. Returns what the other side said directly behind it, too.
fn shake(
    socket: &TcpStream,
    mut tls: Connection,
    first: &[u8],
    limit: Duration,
) -> io::Result<(Connection, Vec<u8>)> {
    let deadline = Instant::now() + limit;
    let mut socket = socket;
    socket.set_write_timeout(Some(limit.max(Duration::from_millis(1))))?;
    let mut input = first.to_vec();
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut early = Vec::new();
    loop {
        let (_, outcome) = feed(&mut tls, &input, &mut early);
        // The alert goes out even if that failed.
        let mut out = Vec::new();
        drain(&mut tls, &mut out)?;
        socket.write_all(&out)?;
        outcome.map_err(|error| invalid(format!("TLS handshake: {error}")))?;
        if !tls.is_handshaking() {
            break;
        }
        let count = read_until(socket, &mut buffer, deadline)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.clear();
        input.extend_from_slice(&buffer[..count]);
    }
    socket.set_read_timeout(None)?;
    socket.set_write_timeout(None)?;
    Ok((tls, early))
}

/// Whether a connection whose first bytes these are speaks TLS; `None` if more of them must be seen
/// (`UnifiedServerSocket`, `DualModeSslHandler`).
pub fn begins_tls(first: &[u8]) -> Option<bool> {
    match first {
        [] => None,
        [HANDSHAKE, _, _, high, low, ..] => {
            Some(first[1] == 3 && u16::from_be_bytes([*high, *low]) <= RECORD_MAX)
        }
        [HANDSHAKE, ..] => None,
        _ => Some(false),
    }
}

/// What a peer sends first: a record header's worth, less only if it cannot become one. Java looks
/// once; a header that comes in pieces is waited for here.
fn first_bytes(socket: &TcpStream, limit: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + limit;
    let mut first = Vec::new();
    while first.len() < RECORD_HEADER {
        let mut buffer = [0; RECORD_HEADER];
        let missing = RECORD_HEADER - first.len();
        match read_until(socket, &mut buffer[..missing], deadline) {
            Ok(0) => break,
            Ok(count) => first.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::TimedOut && !first.is_empty() => break,
            Err(error) => return Err(error),
        }
        if begins_tls(&first).is_some() {
            break;
        }
    }
    socket.set_read_timeout(None)?;
    Ok(first)
}

/// A process that was stopped and goes on is interrupted even without a handler; that is no error.
fn read_until(mut socket: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            result => return result,
        }
    }
}

fn invalid(what: impl ToString) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}
