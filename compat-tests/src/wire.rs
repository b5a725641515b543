//! A client that speaks frames: it can do everything a client may do, and much that none may.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use jute::data::Acl;
use jute::proto::{
    ConnectRequest, ConnectResponse, CreateRequest, GetChildrenResponse, GetDataResponse,
    ReplyHeader, RequestHeader, XID_NOTIFICATION, op,
};
use jute::{Decode, Encode, Reader};

/// How long an answer may take before a test fails.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// Largest frame a test is ready to receive.
const FRAME_MAX: usize = 64 << 20;

/// A TCP connection that sends and receives frames.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    at: usize,
}

impl Wire {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        Ok(Self { stream, input: Vec::new(), at: 0 })
    }

    /// Sends bytes as they are. False if the peer has closed the connection.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<bool> {
        match self.stream.write_all(bytes) {
            Ok(()) => Ok(true),
            Err(e) if is_closed(e.kind()) => Ok(false),
            Err(e) => Err(e).context("sending"),
        }
    }

    /// Sends one frame.
    pub fn send(&mut self, payload: &[u8]) -> Result<bool> {
        self.send_raw(&frame(payload))
    }

    /// The next frame, or `None` when the peer closed the connection. Fails if neither happens.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let have = &self.input[self.at..];
            if let Some(length) = have.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                ensure!(length <= FRAME_MAX, "the server announced a frame of {length} bytes");
                if have.len() >= 4 + length {
                    let payload = have[4..4 + length].to_vec();
                    self.at += 4 + length;
                    if self.at == self.input.len() {
                        self.input.clear();
                        self.at = 0;
                    }
                    return Ok(Some(payload));
                }
            }
            let mut chunk = [0u8; 16384];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    ensure!(have.is_empty(), "the server closed inside a frame: {have:?}");
                    return Ok(None);
                }
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if is_closed(e.kind()) => return Ok(None),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    bail!("no answer for {ANSWER_MAX:?}")
                }
                Err(e) => return Err(e).context("receiving"),
            }
        }
    }

    /// Ends our side and waits until the server has ended its own.
    pub fn hang_up(mut self) {
        // It may be closed already.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        // Whatever is still on its way.
        let _ = std::io::copy(&mut self.stream, &mut std::io::sink());
    }

    /// How long [`Wire::receive`] waits.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }
}

fn is_closed(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}

/// `payload` behind its length.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 4);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// Header and body of one request.
pub fn request(xid: i32, kind: i32, body: &[u8]) -> Vec<u8> {
    let mut out = RequestHeader { xid, kind }.to_vec();
    out.extend_from_slice(body);
    out
}

/// What a server answered to a connect request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Negotiated timeout in ms; 0 if the session is not valid.
    pub timeout: i32,
    /// Session id.
    pub session: i64,
    /// Session password.
    pub password: Vec<u8>,
    /// Length of the response in bytes: tells old clients from new.
    pub length: usize,
}

/// What to say in a connect request.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Newest zxid seen.
    pub last_zxid: i64,
    /// Timeout asked for, ms. By default long: nothing here pings, and a test may wait for a JVM.
    pub timeout: i32,
    /// 0 for a new session.
    pub session: i64,
    /// Its password.
    pub password: Vec<u8>,
    /// False: as clients that know no read-only servers.
    pub with_read_only: bool,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            last_zxid: 0,
            timeout: 600_000,
            session: 0,
            password: vec![0; 16],
            with_read_only: true,
        }
    }
}

impl Hello {
    /// The request that takes a session over.
    pub fn again(connected: &Connected) -> Self {
        Self {
            session: connected.session,
            password: connected.password.clone(),
            timeout: connected.timeout.max(1),
            ..Self::default()
        }
    }

    /// The bytes of the request.
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: self.last_zxid,
            timeout: self.timeout,
            session_id: self.session,
            passwd: Some(&self.password),
            read_only: false,
        }
        .to_vec();
        if !self.with_read_only {
            bytes.pop();
        }
        bytes
    }
}

/// Greets the server. `None`: it closed the connection without an answer.
pub fn handshake(wire: &mut Wire, hello: &Hello) -> Result<Option<Connected>> {
    wire.send(&hello.payload())?;
    let Some(bytes) = wire.receive()? else { return Ok(None) };
    let mut padded = bytes.clone();
    padded.push(0);
    let response = ConnectResponse::from_slice(&padded)?;
    Ok(Some(Connected {
        timeout: response.timeout,
        session: response.session_id,
        password: response.passwd.unwrap_or_default().to_vec(),
        length: bytes.len(),
    }))
}

/// An event or a reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its header.
    pub header: ReplyHeader,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Reply {
    /// Splits a frame.
    pub fn parse(payload: &[u8]) -> Result<Self> {
        let mut input = Reader::new(payload);
        let header = input.read()?;
        Ok(Self { header, body: input.remaining().to_vec() })
    }
}

/// A session with plain calls, for tests that are not about the protocol itself.
#[derive(Debug)]
pub struct Session {
    /// Its connection.
    pub wire: Wire,
    /// What the server said at the start.
    pub connected: Connected,
    /// Events that came between replies.
    pub events: Vec<Reply>,
    /// Newest zxid of a reply.
    pub last_zxid: i64,
    next_xid: i32,
}

impl Session {
    /// Opens a new session.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Self::open_with(address, &Hello::default())
    }

    /// Opens or continues a session.
    pub fn open_with(address: SocketAddr, hello: &Hello) -> Result<Self> {
        Self::open_within(address, hello, None)
    }

    /// Like [`Session::open_with`]; the greeting and every later answer may take so long.
    pub fn open_within(
        address: SocketAddr,
        hello: &Hello,
        patience: Option<Duration>,
    ) -> Result<Self> {
        let mut wire = Wire::connect(address)?;
        if let Some(patience) = patience {
            wire.set_patience(patience)?;
        }
        let connected = handshake(&mut wire, hello)?.context("the server closed the connection")?;
        ensure!(connected.timeout > 0, "session {:#x} is not valid", hello.session);
        Ok(Self { wire, connected, events: Vec::new(), last_zxid: 0, next_xid: 1 })
    }

    /// Sends a request without waiting; returns its xid.
    pub fn post(&mut self, kind: i32, body: &[u8]) -> Result<i32> {
        let xid = match kind {
            op::PING => jute::proto::XID_PING,
            op::AUTH => jute::proto::XID_AUTH,
            _ => {
                self.next_xid += 1;
                self.next_xid - 1
            }
        };
        ensure!(self.wire.send(&request(xid, kind, body))?, "the connection is closed");
        Ok(xid)
    }

    /// The reply to the oldest request without one.
    pub fn reply(&mut self) -> Result<Reply> {
        loop {
            let payload = self.wire.receive()?.context("the server closed the connection")?;
            let reply = Reply::parse(&payload)?;
            if reply.header.xid == XID_NOTIFICATION {
                self.events.push(reply);
                continue;
            }
            self.last_zxid = self.last_zxid.max(reply.header.zxid);
            return Ok(reply);
        }
    }

    /// Sends a request and waits for its reply.
    pub fn call(&mut self, kind: i32, body: &[u8]) -> Result<Reply> {
        let xid = self.post(kind, body)?;
        let reply = self.reply()?;
        ensure!(reply.header.xid == xid, "xid {} instead of {xid}", reply.header.xid);
        Ok(reply)
    }

    /// Like [`Session::call`], and an error code is a failure.
    pub fn must(&mut self, kind: i32, body: &[u8]) -> Result<Reply> {
        let reply = self.call(kind, body)?;
        ensure!(reply.header.err == 0, "op {kind} failed with {}", reply.header.err);
        Ok(reply)
    }

    /// Creates a znode that anyone may do anything with; returns the error code.
    pub fn create(&mut self, path: &str, data: &[u8], flags: i32) -> Result<i32> {
        Ok(self.call(op::CREATE, &create_body(path, data, flags))?.header.err)
    }

    /// Data of a znode, or its error code.
    pub fn data(&mut self, path: &str) -> Result<std::result::Result<Vec<u8>, i32>> {
        let reply = self.call(op::GET_DATA, &(Some(path.to_owned()), false).to_body())?;
        if reply.header.err != 0 {
            return Ok(Err(reply.header.err));
        }
        let response = GetDataResponse::from_slice(&reply.body)?;
        Ok(Ok(response.data.unwrap_or_default().to_vec()))
    }

    /// Names of a znode's children, or the error code.
    pub fn children(&mut self, path: &str) -> Result<std::result::Result<Vec<String>, i32>> {
        let body = (Some(path.to_owned()), false).to_body();
        let reply = self.call(op::GET_CHILDREN, &body)?;
        if reply.header.err != 0 {
            return Ok(Err(reply.header.err));
        }
        let names = GetChildrenResponse::from_slice(&reply.body)?.children.unwrap_or_default();
        Ok(Ok(names.into_iter().map(|name| name.unwrap_or_default().into_owned()).collect()))
    }

    /// Adds an identity of scheme `digest`.
    pub fn authenticate(&mut self, user_and_password: &str) -> Result<()> {
        let mut body = 0i32.to_vec();
        "digest".encode(&mut body);
        user_and_password.as_bytes().encode(&mut body);
        let reply = self.call(op::AUTH, &body)?;
        ensure!(reply.header.err == 0, "auth failed");
        Ok(())
    }
}

/// Body of a create with an open ACL.
pub fn create_body(path: &str, data: &[u8], flags: i32) -> Vec<u8> {
    let path = Some(std::borrow::Cow::Borrowed(path));
    CreateRequest { path, data: Some(data), acl: Some(vec![Acl::world(31)]), flags }.to_vec()
}

/// Bodies that are a path and one more field.
pub trait ToBody {
    /// The encoding.
    fn to_body(&self) -> Vec<u8>;
}

impl<T: Encode> ToBody for (Option<String>, T) {
    fn to_body(&self) -> Vec<u8> {
        let mut out = self.0.to_vec();
        self.1.encode(&mut out);
        out
    }
}
