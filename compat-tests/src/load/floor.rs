//! The floor: the least a server can do for a read.
//!
//! One thread, readiness, one read and one write call per burst. It parses frames and request
//! headers, and answers every `getData` with the same value and every other operation with a bare
//! `Stat`. There is no tree, no session, no check. What a real server costs above this is what it
//! does itself; the rest belongs to the kernel.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use jute::Encode;
use jute::data::Stat;
use jute::proto::{ConnectResponse, GetDataResponse, ReplyHeader, op};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

const LISTENER: Token = Token(usize::MAX - 1);
const READ_BYTES: usize = 64 * 1024;

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    greeted: bool,
}

/// Serves on `addr` until the process ends. `value_size` is the size of every value.
pub fn serve(addr: SocketAddr, value_size: usize) -> Result<()> {
    let value = vec![b'v'; value_size];
    let body = GetDataResponse { data: Some(&value), stat: Stat::default() }.to_vec();
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(addr).with_context(|| format!("listen on {addr}"))?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut scratch = vec![0; READ_BYTES];
    loop {
        match poll.poll(&mut events, None) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections)?;
                continue;
            }
            let slot = &mut connections[event.token().0];
            if slot.as_mut().is_some_and(|c| c.turn(&mut scratch, &body).is_none()) {
                *slot = None;
            }
        }
    }
}

fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Vec<Option<Connection>>,
) -> Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        stream.set_nodelay(true)?;
        let at = connections.iter().position(Option::is_none).unwrap_or(connections.len());
        if at == connections.len() {
            connections.push(None);
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(at), interest)?;
        let (input, output) = (Vec::new(), Vec::new());
        connections[at] = Some(Connection { stream, input, output, written: 0, greeted: false });
    }
}

impl Connection {
    /// Reads, answers, writes. `None` closes the connection.
    fn turn(&mut self, scratch: &mut [u8], body: &[u8]) -> Option<()> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return None,
                Ok(n) if self.input.is_empty() => {
                    let used = self.answer(&scratch[..n], body)?;
                    self.input.extend_from_slice(&scratch[used..n]);
                    if n < scratch.len() {
                        break;
                    }
                }
                Ok(n) => {
                    let mut input = std::mem::take(&mut self.input);
                    input.extend_from_slice(&scratch[..n]);
                    let used = self.answer(&input, body)?;
                    input.drain(..used);
                    self.input = input;
                    if n < scratch.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Some(()),
                Err(_) => return None,
            }
        }
        self.output.clear();
        self.written = 0;
        Some(())
    }

    /// Answers all complete frames in `bytes`; returns how many bytes they took.
    fn answer(&mut self, bytes: &[u8], body: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some((len, rest)) = bytes[at..].split_first_chunk::<4>() {
            let len = usize::try_from(i32::from_be_bytes(*len)).ok()?;
            let Some(frame) = rest.get(..len) else { break };
            at += 4 + len;
            if !std::mem::replace(&mut self.greeted, true) {
                self.greet(frame.len() < 45);
                continue;
            }
            let xid = i32::from_be_bytes(*frame.first_chunk()?);
            let kind = i32::from_be_bytes(*frame.get(4..)?.first_chunk()?);
            let header = ReplyHeader { xid, zxid: 1, err: 0 };
            let stat = [0; 68];
            let body = match kind {
                op::GET_DATA => body,
                op::PING | op::CLOSE_SESSION => &[],
                _ => &stat,
            };
            ((16 + body.len()) as i32).encode(&mut self.output);
            header.encode(&mut self.output);
            self.output.extend_from_slice(body);
        }
        Some(at)
    }

    fn greet(&mut self, old_client: bool) {
        let response = ConnectResponse {
            protocol_version: 0,
            timeout: 40_000,
            session_id: 1,
            passwd: Some(&[0; 16]),
            read_only: false,
        };
        let mut encoded = response.to_vec();
        encoded.truncate(encoded.len() - usize::from(old_client));
        encoded.as_slice().encode(&mut self.output);
    }
}
