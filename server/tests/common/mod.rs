//! A server in this process and a client that speaks raw frames.
#![allow(dead_code)]

pub mod lines;
pub mod members;
pub mod notify;
pub mod ports;
pub mod proposals;
pub mod puppet;
pub mod stores;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jute::Encode;
use jute::data::Acl;
use jute::proto::{ConnectRequest, RequestHeader, op};
use rookeeper::config::{Config, JvmFlags};
use rookeeper::metrics::Metrics;
use rookeeper::net::fourlw::{self, Words};
use rookeeper::server::{Exit, Handle, Options, Server, StartError};
use tempfile::TempDir;

/// How long anything may take: a loaded machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The first of some attempts that succeeds, for what a machine that stands still for seconds may
/// spoil now and then, but not every time. Attempts have numbers.
pub fn attempt<T>(what: &str, once: impl FnMut(usize) -> Option<T>) -> T {
    (1..=10).find_map(once).unwrap_or_else(|| panic!("it never succeeds: {what}"))
}

/// Starts a server, once its directory is free: threads of the one before end a little later, and a
/// process that another test begins has the lock, too, until it executes its program.
pub fn start_when_free(mut options: impl FnMut() -> Options) -> Result<Handle, StartError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Server::start(options()) {
            Err(e) if e.to_string().contains("in use by another running server") => {
                assert!(Instant::now() < deadline, "{e}");
                std::thread::sleep(Duration::from_millis(2));
            }
            started => return started,
        }
    }
}

/// A server on a directory of its own.
pub struct TestServer {
    pub handle: Handle,
    pub dir: TempDir,
}

impl TestServer {
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl Fn(&mut Options)) -> Self {
        Self::on(TempDir::new().unwrap(), change)
    }

    /// On a directory that may hold an earlier server's data.
    pub fn on(dir: TempDir, change: impl Fn(&mut Options)) -> Self {
        let handle = start_when_free(|| {
            let mut options = Options::new(dir.path().to_owned(), vec![([127, 0, 0, 1], 0).into()]);
            options.net.io_threads = 2;
            options.storage.log.preallocate_bytes = 1 << 16;
            change(&mut options);
            options
        });
        Self { handle: handle.unwrap_or_else(|e| panic!("{e}")), dir }
    }

    pub fn address(&self) -> SocketAddr {
        self.handle.addresses()[0]
    }

    /// Stops the server and gives its directory back.
    pub fn stop(self) -> TempDir {
        assert_eq!(self.handle.stop(), Exit::Finished);
        self.dir
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address())
    }
}

/// A raw connection.
pub struct Client {
    pub stream: TcpStream,
    pub session: i64,
    pub passwd: [u8; 16],
    pub timeout_ms: i32,
    xid: i32,
}

/// A reply, or an event if the xid is -1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub xid: i32,
    pub zxid: i64,
    pub err: i32,
    pub body: Vec<u8>,
}

impl Client {
    /// A socket without handshake. A server that turns it away may do so before the system has
    /// said that it is connected: then this is one that has ended.
    pub fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{address}: {error}");
            let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
            let ended = TcpStream::connect(elsewhere.local_addr().unwrap()).unwrap();
            ended.shutdown(Shutdown::Both).unwrap();
            ended
        });
        stream.set_nodelay(true).unwrap();
        // Only so that a broken server fails a test instead of hanging it.
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, session: 0, passwd: [0; 16], timeout_ms: 0, xid: 0 }
    }

    /// A new session of a minute, or as long as the server allows. As every client does it comes again
    /// if it is turned away: a server that changes its role, port or database just then may do so.
    pub fn connect(address: SocketAddr) -> Self {
        let mut found = None;
        until("a session", || {
            found = Self::raw(address).with_session();
            found.is_some()
        });
        found.expect("just found")
    }

    /// The same over this connection, if the server does not close it.
    pub fn with_session(mut self) -> Option<Self> {
        self.greet(0, [0; 16], 60_000, 0, false)?;
        (self.timeout_ms > 0).then_some(self)
    }

    /// Asks for a session; `None` if the server says that there is none.
    pub fn handshake(
        &mut self,
        session: i64,
        passwd: [u8; 16],
        timeout_ms: i32,
        last_zxid_seen: i64,
    ) -> Option<i64> {
        self.greet(session, passwd, timeout_ms, last_zxid_seen, false).expect("a connect response");
        (self.timeout_ms > 0).then_some(self.session)
    }

    /// Asks for a session; whether the server is read-only, or `None` if it just closes.
    pub fn greet(
        &mut self,
        session: i64,
        passwd: [u8; 16],
        timeout_ms: i32,
        last_zxid_seen: i64,
        read_only: bool,
    ) -> Option<bool> {
        let request = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen,
            timeout: timeout_ms,
            session_id: session,
            passwd: Some(&passwd),
            read_only,
        };
        // It may be closed already.
        self.stream.write_all(&framed(&request.to_vec())).ok()?;
        let reply = self.read_frame()?;
        assert_eq!(reply.len(), 37);
        self.timeout_ms = i32::from_be_bytes(reply[4..8].try_into().unwrap());
        self.session = i64::from_be_bytes(reply[8..16].try_into().unwrap());
        self.passwd = reply[20..36].try_into().unwrap();
        Some(reply[36] != 0)
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub fn send_frame(&mut self, payload: &[u8]) {
        self.send_raw(&framed(payload));
    }

    /// Sends a request with the next xid.
    pub fn send(&mut self, kind: i32, body: &[u8]) -> i32 {
        self.xid += 1;
        let frame = request(self.xid, kind, body);
        self.send_raw(&frame);
        self.xid
    }

    /// One frame, `None` at the end of the stream (or a reset).
    pub fn read_frame(&mut self) -> Option<Vec<u8>> {
        let mut prefix = [0; 4];
        match self.stream.read_exact(&mut prefix) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no frame came"),
            Err(_) => return None,
        }
        let mut frame = vec![0; i32::from_be_bytes(prefix) as usize];
        self.stream.read_exact(&mut frame).ok()?;
        Some(frame)
    }

    pub fn try_read(&mut self) -> Option<Reply> {
        let frame = self.read_frame()?;
        Some(Reply {
            xid: i32::from_be_bytes(frame[..4].try_into().unwrap()),
            zxid: i64::from_be_bytes(frame[4..12].try_into().unwrap()),
            err: i32::from_be_bytes(frame[12..16].try_into().unwrap()),
            body: frame[16..].to_vec(),
        })
    }

    pub fn read(&mut self) -> Reply {
        self.try_read().expect("the connection stays open")
    }

    /// Sends and waits for the reply; events in between are an error.
    pub fn call(&mut self, kind: i32, body: &[u8]) -> Reply {
        let xid = self.send(kind, body);
        let reply = self.read();
        assert_eq!(reply.xid, xid);
        reply
    }

    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Reply {
        self.call(op::CREATE, &create(path, data, flags))
    }

    pub fn get(&mut self, path: &str, watch: bool) -> Reply {
        self.call(op::GET_DATA, &path_watch(path, watch))
    }

    pub fn set(&mut self, path: &str, data: &[u8]) -> Reply {
        self.call(op::SET_DATA, &set_data(path, data))
    }

    /// True if the server closed the connection.
    pub fn is_closed(&mut self) -> bool {
        self.read_frame().is_none()
    }
}

pub fn framed(payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes().to_vec();
    out.extend_from_slice(payload);
    out
}

pub fn request(xid: i32, kind: i32, body: &[u8]) -> Vec<u8> {
    let mut payload = RequestHeader { xid, kind }.to_vec();
    payload.extend_from_slice(body);
    framed(&payload)
}

pub fn create(path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    data.encode(&mut out);
    vec![Acl::world(31)].encode(&mut out);
    flags.encode(&mut out);
    out
}

pub fn path_watch(path: &str, watch: bool) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    watch.encode(&mut out);
    out
}

pub fn set_data(path: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    path.encode(&mut out);
    data.encode(&mut out);
    (-1i32).encode(&mut out);
    out
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// What a configuration file says, as the real start reads it. `text` is the file's, without
/// `dataDir` and client address; `flags` are JVM options.
pub fn config(dir: &std::path::Path, text: &str, flags: &str) -> Config {
    let file = dir.join("zoo.cfg");
    let head = format!(
        "dataDir={}\nclientPort=0\nclientPortAddress=127.0.0.1\npreAllocSize=64\n",
        dir.display()
    );
    std::fs::write(&file, head + text).unwrap();
    let mut jvm = JvmFlags::default();
    jvm.add_words(flags);
    Config::load(&file, &jvm).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The server's options for a configuration, with every four-letter word's settings.
pub fn options(config: &Config) -> Options {
    let metrics = Arc::new(Metrics::new(false));
    let words = Words::new(fourlw::Options {
        whitelist: config.word_whitelist(),
        version: "3.9.5".to_owned(),
        conf: config.conf_options(),
        environment: Box::new(|| vec![("key", "value".to_owned())]),
        metrics: metrics.clone(),
    });
    Options { seed: 1, ..Options::of(config, metrics, Arc::new(words), || 7) }
}

impl TestServer {
    /// A server as a configuration file describes it.
    pub fn configured(text: &str, flags: &str) -> Self {
        Self::configured_on(TempDir::new().unwrap(), text, flags)
    }

    /// On a directory that may hold an earlier server's data.
    pub fn configured_on(dir: TempDir, text: &str, flags: &str) -> Self {
        let handle = start_when_free(|| options(&config(dir.path(), text, flags)));
        Self { handle: handle.unwrap_or_else(|e| panic!("{text}: {e}")), dir }
    }

    /// The answer to a four-letter word.
    pub fn word(&self, name: &str) -> String {
        word(self.address(), name)
    }
}

/// The answer to a four-letter word.
pub fn word(address: SocketAddr, name: &str) -> String {
    let ask = || {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(name.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    // Turned away while the place of a connection that just ended is not free yet.
    let mut answer = None;
    until("a word is answered", || {
        answer = ask().ok();
        answer.is_some()
    });
    answer.expect("just answered")
}
