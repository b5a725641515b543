//! A swarm: many client connections on one thread.
//!
//! [`Swarm::connect`] opens sessions, [`Swarm::drive`] runs one [`Work`] on all of them. Replies of
//! a session come in request order, so the queue of send times per connection is all the
//! bookkeeping a request needs.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use jute::proto::{ConnectRequest, ConnectResponse, ReplyHeader, RequestHeader, op};
use jute::{Decode, Encode};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Session timeout the swarm asks for, in ms. Long, because a waiting swarm sends no pings.
const SESSION_TIMEOUT_MS: i32 = 40_000;
/// Bytes read from a socket in one call.
const READ_BYTES: usize = 256 * 1024;
/// Nothing arrives for this long while requests are outstanding: the server hangs.
const STALL: Duration = Duration::from_secs(60);

/// What a swarm does. All methods are called on the swarm's thread.
pub trait Work {
    /// Appends the next request of connection `who` to `out`, header included, without the frame's
    /// length. `false`: nothing to send now.
    fn next(&mut self, who: usize, xid: i32, out: &mut Vec<u8>) -> bool;

    /// A reply arrived, `nanos` after its request was queued.
    fn reply(&mut self, who: usize, header: &ReplyHeader, body: &[u8], nanos: u64);

    /// A watch event arrived. `body` is the encoded `WatcherEvent`.
    fn event(&mut self, _who: usize, _body: &[u8]) {}

    /// True when no more requests are to be sent and no more events are awaited. The swarm then
    /// waits for the outstanding replies and returns.
    fn done(&mut self, now: Instant) -> bool;
}

/// Connections with a session each.
pub struct Swarm {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Bytes of `output` the kernel has taken.
    written: usize,
    outstanding: VecDeque<(i32, Instant)>,
    next_xid: i32,
    session: i64,
}

impl Swarm {
    /// Opens `count` sessions, at most `at_once` handshakes in flight. Returns the swarm and the
    /// time each session took from `connect` to its response.
    pub fn connect(
        addr: SocketAddr,
        count: usize,
        at_once: usize,
    ) -> Result<(Self, Vec<Duration>)> {
        Self::connect_to(&[addr], count, at_once)
    }

    /// Like [`Swarm::connect`], to several servers in turn.
    pub fn connect_to(
        addrs: &[SocketAddr],
        count: usize,
        at_once: usize,
    ) -> Result<(Self, Vec<Duration>)> {
        let mut swarm = Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            connections: Vec::with_capacity(count),
            scratch: vec![0; READ_BYTES],
        };
        let mut took = vec![Duration::ZERO; count];
        let mut started = Vec::with_capacity(count);
        let mut ready = 0;
        let mut last = Instant::now();
        while ready < count {
            while started.len() < count && started.len() - ready < at_once {
                swarm.open(addrs[started.len() % addrs.len()])?;
                started.push(Instant::now());
            }
            let busy = swarm.wait(Some(Duration::from_secs(1)))?;
            ensure!(last.elapsed() < STALL, "no handshake completed for {STALL:?}");
            for who in busy {
                let connection = &mut swarm.connections[who];
                connection.flush().with_context(|| format!("connect to {addrs:?}"))?;
                connection.fill(&mut swarm.scratch).context("read the handshake")?;
                let Some(frame) = connection.take_frame()? else { continue };
                let response = ConnectResponse::from_slice(&frame)?;
                ensure!(response.timeout > 0, "the server refused the session");
                connection.session = response.session_id;
                took[who] = started[who].elapsed();
                last = Instant::now();
                ready += 1;
            }
        }
        Ok((swarm, took))
    }

    fn open(&mut self, addr: SocketAddr) -> Result<()> {
        let mut stream = TcpStream::connect(addr)?;
        let token = Token(self.connections.len());
        self.poll.registry().register(
            &mut stream,
            token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let mut output = Vec::new();
        frame(&mut output, |out| {
            ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: 0,
                timeout: SESSION_TIMEOUT_MS,
                session_id: 0,
                passwd: Some(&[0; 16]),
                read_only: false,
            }
            .encode(out);
        });
        self.connections.push(Connection {
            stream,
            input: Vec::new(),
            output,
            written: 0,
            outstanding: VecDeque::new(),
            next_xid: 1,
            session: 0,
        });
        Ok(())
    }

    /// Number of connections.
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// True without connections.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Runs `work` with at most `depth` requests outstanding per connection.
    pub fn drive(&mut self, work: &mut dyn Work, depth: usize) -> Result<()> {
        let mut busy: Vec<usize> = (0..self.connections.len()).collect();
        let mut last = Instant::now();
        loop {
            let now = Instant::now();
            let done = work.done(now);
            for &who in &busy {
                let connection = &mut self.connections[who];
                if connection.fill(&mut self.scratch)? {
                    last = now;
                    connection.drain(who, work)?;
                }
                if !done {
                    connection.refill(who, work, depth);
                }
                connection.flush()?;
            }
            if work.done(now) && self.connections.iter().all(|c| c.outstanding.is_empty()) {
                return Ok(());
            }
            ensure!(now - last < STALL, "no reply for {STALL:?}");
            let woken = self.wait(Some(Duration::from_millis(20)))?;
            // After a quiet 20 ms ask every connection again: its work may have more by now.
            busy = if woken.is_empty() { (0..self.connections.len()).collect() } else { woken };
        }
    }

    /// Closes all sessions in order and then the sockets.
    pub fn close(mut self) -> Result<()> {
        let mut closing = Closing { sent: vec![false; self.connections.len()] };
        self.drive(&mut closing, 1)
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<Vec<usize>> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(Vec::new()),
            other => other?,
        }
        Ok(self.events.iter().map(|e| e.token().0).collect())
    }
}

impl Connection {
    /// Reads what the socket has. True if something came.
    fn fill(&mut self, scratch: &mut [u8]) -> Result<bool> {
        let mut any = false;
        loop {
            match self.stream.read(scratch) {
                Ok(0) => {
                    ensure!(self.outstanding.is_empty(), "the server closed the connection");
                    return Ok(any);
                }
                Ok(n) => {
                    self.input.extend_from_slice(&scratch[..n]);
                    any = true;
                    if n < scratch.len() {
                        return Ok(any);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(any),
                Err(e) if e.kind() == ErrorKind::NotConnected => return Ok(any),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Hands all complete frames to `work`.
    fn drain(&mut self, who: usize, work: &mut dyn Work) -> Result<()> {
        let now = Instant::now();
        let mut at = 0;
        while let Some(frame) = next_frame(&self.input[at..])? {
            at += 4 + frame.len();
            let header = ReplyHeader::from_slice(frame)?;
            let body = &frame[16..];
            if header.xid == jute::proto::XID_NOTIFICATION {
                work.event(who, body);
                continue;
            }
            let Some((xid, sent)) = self.outstanding.pop_front() else {
                bail!("a reply nobody asked for: xid {}", header.xid);
            };
            ensure!(xid == header.xid, "reply {} where {xid} was due", header.xid);
            work.reply(who, &header, body, (now - sent).as_nanos() as u64);
        }
        self.input.drain(..at);
        Ok(())
    }

    fn take_frame(&mut self) -> Result<Option<Vec<u8>>> {
        let Some(frame) = next_frame(&self.input)? else { return Ok(None) };
        let frame = frame.to_vec();
        self.input.drain(..4 + frame.len());
        Ok(Some(frame))
    }

    fn refill(&mut self, who: usize, work: &mut dyn Work, depth: usize) {
        if self.outstanding.len() >= depth {
            return;
        }
        let now = Instant::now();
        while self.outstanding.len() < depth {
            let xid = self.next_xid;
            let mut any = false;
            let start = self.output.len();
            frame(&mut self.output, |out| any = work.next(who, xid, out));
            if !any {
                self.output.truncate(start);
                return;
            }
            self.next_xid = self.next_xid.wrapping_add(1).max(1);
            self.outstanding.push_back((xid, now));
        }
    }

    fn flush(&mut self) -> Result<()> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e)
                    if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::NotConnected =>
                {
                    return Ok(());
                }
                Err(e) => return Err(e.into()),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }
}

/// Sends `closeSession` once on each connection.
struct Closing {
    sent: Vec<bool>,
}

impl Work for Closing {
    fn next(&mut self, who: usize, xid: i32, out: &mut Vec<u8>) -> bool {
        if std::mem::replace(&mut self.sent[who], true) {
            return false;
        }
        RequestHeader { xid, kind: op::CLOSE_SESSION }.encode(out);
        true
    }

    fn reply(&mut self, _: usize, _: &ReplyHeader, _: &[u8], _: u64) {}

    fn done(&mut self, _: Instant) -> bool {
        self.sent.iter().all(|sent| *sent)
    }
}

/// Appends one frame: length, then what `body` writes.
fn frame(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    0i32.encode(out);
    body(out);
    let len = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// The first frame in `bytes`, without its length, if it is complete.
fn next_frame(bytes: &[u8]) -> Result<Option<&[u8]>> {
    let Some((len, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let len = usize::try_from(i32::from_be_bytes(*len)).context("a negative frame length")?;
    ensure!(len >= 16, "a reply of {len} bytes");
    Ok(rest.get(..len))
}
