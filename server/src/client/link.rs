//! The thread of a client: connects, reads, pings, reconnects.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use jute::proto::{
    ConnectRequest, ConnectResponse, GetSaslRequest, SetSaslResponse, WatcherEvent, XID_AUTH,
    XID_NOTIFICATION, XID_PING, XID_SET_WATCHES, op,
};
use jute::{Decode, Encode};

use super::wire::{Login, Wire, Writer};
use super::{Answer, Event, Reply, Shared, Status, auth_frame, frame, framed, split_reply};
use crate::base::ErrorCode;

/// The longest frame believed.
const FRAME_MAX: usize = 256 << 20;

/// The longest answer in a login, bytes.
const LOGIN_MAX: usize = 64 << 10;

/// What comes of a new connection.
enum Greeting {
    /// A session with this timeout, ms.
    Session(u64),
    /// The session is no more.
    Gone,
    /// The login failed.
    Refused,
}

/// How a connection ended.
enum End {
    Lost,
    Expired,
    AuthFailed,
    Closed,
}

impl Shared {
    pub(super) fn client_path(&self, path: &str) -> String {
        match path.strip_prefix(self.options.chroot.as_str()) {
            Some("") => "/".to_owned(),
            Some(rest) => rest.to_owned(),
            None => path.to_owned(),
        }
    }

    pub(super) fn tell(&self, state: &'static str) {
        (self.watcher)(Event { state, kind: "None", path: None, zxid: -1 });
    }

    /// Until the session ends.
    pub(super) fn run(&self) {
        let mut next = 0;
        loop {
            let (host, port) = &self.options.servers[next % self.options.servers.len()];
            next += 1;
            let end = match self.connect(host, *port) {
                Ok(wire) => self.serve(wire),
                Err(error) => {
                    self.state.lock().trouble = Some(format!("{host}:{port}: {error}"));
                    End::Lost
                }
            };
            let end = match end {
                End::Lost if self.state.lock().closing => End::Closed,
                end => end,
            };
            let (status, event, error) = match end {
                End::Lost => (Status::Connecting, "Disconnected", ErrorCode::ConnectionLoss),
                End::Expired => (Status::Closed, "Expired", ErrorCode::SessionExpired),
                End::AuthFailed => (Status::AuthFailed, "AuthFailed", ErrorCode::AuthFailed),
                End::Closed => (Status::Closed, "Closed", ErrorCode::ConnectionLoss),
            };
            let all_tried = next % self.options.servers.len() == 0;
            let (was_connected, quiet) = {
                let mut state = self.state.lock();
                let was_connected = state.writer.take().is_some() || status != Status::Connecting;
                if state.status.is_alive() {
                    state.status = status;
                }
                if state.closing && state.status.is_alive() {
                    state.status = Status::Closed;
                }
                state.fail_sent(error);
                // What waits may be in luck with another server.
                if all_tried || !state.status.is_alive() {
                    state.fail_waiting(error);
                }
                (was_connected, state.quiet)
            };
            self.changed.notify_all();
            if was_connected && !quiet {
                self.tell(event);
            }
            let mut state = self.state.lock();
            if !state.status.is_alive() {
                return;
            }
            // All servers were tried: give them a moment.
            if all_tried {
                let until = Instant::now() + Duration::from_millis(500);
                while state.status.is_alive()
                    && !self.changed.wait_until(&mut state, until).timed_out()
                {}
            }
        }
    }

    fn connect(&self, host: &str, port: u16) -> io::Result<Wire> {
        let patience = Duration::from_millis(self.options.timeout_ms.max(100) as u64);
        let patience = patience / self.options.servers.len() as u32;
        let patience = patience.max(Duration::from_millis(100));
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address for this host");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    let wire = match &self.options.dial {
                        Some(dial) => dial.dial(stream, host, patience),
                        None => Wire::plain(stream),
                    };
                    match wire {
                        Ok(wire) => return Ok(wire),
                        Err(error) => last = error,
                    }
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Handshake and frames until the connection ends.
    fn serve(&self, wire: Wire) -> End {
        let Wire { mut input, output, socket } = wire;
        let Ok(own) = socket.try_clone() else { return End::Lost };
        let writer = Writer { output, socket: own };
        let timeout_ms = match self.handshake(&mut *input, writer, &socket) {
            Ok(Greeting::Session(timeout_ms)) => timeout_ms,
            Ok(Greeting::Gone) => return End::Expired,
            Ok(Greeting::Refused) => return End::AuthFailed,
            Err(error) => {
                self.state.lock().trouble = Some(error.to_string());
                return End::Lost;
            }
        };
        let timeout = Duration::from_millis(timeout_ms);
        if socket.set_read_timeout(Some((timeout / 3).max(Duration::from_millis(10)))).is_err() {
            return End::Lost;
        }
        let mut buffer = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let mut heard = Instant::now();
        loop {
            match input.read(&mut piece) {
                Ok(0) => return End::Lost,
                Ok(n) => {
                    heard = Instant::now();
                    buffer.extend_from_slice(&piece[..n]);
                }
                Err(error) if is_timeout(&error) => {
                    if heard.elapsed() > timeout * 2 / 3 {
                        return End::Lost;
                    }
                    let ping = frame(XID_PING, op::PING, &[]);
                    if let Some(writer) = &mut self.state.lock().writer {
                        writer.send(&ping);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return End::Lost,
            }
            while let Some(prefix) = buffer.first_chunk::<4>() {
                let Ok(length) = usize::try_from(i32::from_be_bytes(*prefix)) else {
                    return End::Lost;
                };
                if length > FRAME_MAX {
                    return End::Lost;
                }
                if buffer.len() < 4 + length {
                    break;
                }
                let rest = buffer.split_off(4 + length);
                let whole = std::mem::replace(&mut buffer, rest);
                if let Some(end) = self.frame(&whole[4..]) {
                    return end;
                }
            }
        }
    }

    /// Begins a session, or goes on with it.
    fn handshake(
        &self,
        input: &mut dyn Read,
        mut writer: Writer,
        socket: &TcpStream,
    ) -> io::Result<Greeting> {
        let (request, auths) = {
            let state = self.state.lock();
            let request = ConnectRequest {
                protocol_version: 0,
                last_zxid_seen: state.last_zxid,
                timeout: self.options.timeout_ms,
                session_id: state.session,
                passwd: Some(&state.password),
                read_only: self.options.read_only,
            };
            (request.to_vec(), state.auths.clone())
        };
        let patience = Duration::from_millis(self.options.timeout_ms.max(100) as u64);
        socket.set_read_timeout(Some(patience))?;
        writer.send(&framed(&request));
        let mut prefix = [0; 4];
        input.read_exact(&mut prefix)?;
        let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(0);
        if !(36..=1024).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut reply = vec![0; length];
        input.read_exact(&mut reply)?;
        // A server of before 3.4 leaves the last byte out.
        reply.resize(length.max(37), 0);
        let response =
            ConnectResponse::from_slice(&reply).map_err(|_| io::ErrorKind::InvalidData)?;
        if response.timeout <= 0 {
            return Ok(Greeting::Gone);
        }
        let mut state = self.state.lock();
        state.session = response.session_id;
        if let Some(password) = response.passwd.and_then(|password| password.try_into().ok()) {
            state.password = password;
        }
        let (status, event) = match response.read_only {
            true => (Status::ConnectedReadOnly, "ConnectedReadOnly"),
            false => (Status::Connected, "SyncConnected"),
        };
        let watches = state.watches.request(state.last_zxid);
        let rearm = watches
            .filter(|_| self.options.reset_watches)
            .map(|request| frame(XID_SET_WATCHES, op::SET_WATCHES2, &request.to_vec()));
        drop(state);
        // The event comes before any answer.
        self.tell(event);
        if let Some(login) = &self.options.login {
            if !self.log_in(&**login, input, &mut writer)? {
                return Ok(Greeting::Refused);
            }
            self.tell("SaslAuthenticated");
        }
        for (scheme, data) in auths {
            writer.send(&auth_frame(&scheme, &data));
        }
        let mut state = self.state.lock();
        if state.closing && state.waiting.is_empty() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        state.status = status;
        state.writer = Some(writer);
        if let (Some(frame), Some(writer)) = (rearm, &mut state.writer) {
            writer.send(&frame);
        }
        let waiting: Vec<_> = state.waiting.drain(..).collect();
        waiting.into_iter().for_each(|pending| state.submit(pending));
        drop(state);
        self.changed.notify_all();
        Ok(Greeting::Session(response.timeout as u64))
    }

    /// The exchange of DIGEST-MD5; false if one side does not take the other for what it says.
    fn log_in(
        &self,
        login: &dyn Login,
        input: &mut dyn Read,
        writer: &mut Writer,
    ) -> io::Result<bool> {
        let mut ask = |token: &[u8]| -> io::Result<Option<Vec<u8>>> {
            let xid = {
                let mut state = self.state.lock();
                state.next_xid = state.next_xid.checked_add(1).unwrap_or(1);
                state.next_xid
            };
            writer.send(&frame(xid, op::SASL, &GetSaslRequest { token: Some(token) }.to_vec()));
            let mut prefix = [0; 4];
            input.read_exact(&mut prefix)?;
            let length = usize::try_from(i32::from_be_bytes(prefix)).unwrap_or(0);
            if length > LOGIN_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut reply = vec![0; length];
            input.read_exact(&mut reply)?;
            let (header, body) = split_reply(&reply).ok_or(io::ErrorKind::InvalidData)?;
            if header.xid != xid {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if header.err != 0 {
                return Ok(None);
            }
            let answer =
                SetSaslResponse::from_slice(body).map_err(|_| io::ErrorKind::InvalidData)?;
            Ok(answer.token.map(<[u8]>::to_vec))
        };
        let Some(challenge) = ask(&[])? else { return Ok(false) };
        let Ok((response, proof)) = login.respond(&challenge) else { return Ok(false) };
        Ok(ask(&response)? == Some(proof))
    }

    /// One frame; `Some` if it ends the connection.
    fn frame(&self, frame: &[u8]) -> Option<End> {
        let Some((header, body)) = split_reply(frame) else { return Some(End::Lost) };
        match header.xid {
            XID_PING | XID_SET_WATCHES => {}
            XID_AUTH if header.err != 0 => return Some(End::AuthFailed),
            XID_AUTH => {}
            XID_NOTIFICATION => {
                let Ok(event) = WatcherEvent::from_slice(body) else { return Some(End::Lost) };
                let path = event.path.map(|path| path.to_string()).unwrap_or_default();
                self.state.lock().watches.fired(event.kind, &path);
                (self.watcher)(Event {
                    state: "SyncConnected",
                    kind: event_name(event.kind),
                    path: Some(self.client_path(&path)),
                    zxid: header.zxid,
                });
            }
            xid => {
                let mut state = self.state.lock();
                let pending = match state.sent.pop_front() {
                    Some(pending) if pending.xid == xid => pending,
                    // An answer to nothing: the two sides have lost step.
                    _ => return Some(End::Lost),
                };
                if header.zxid > 0 {
                    state.last_zxid = header.zxid;
                }
                drop(state);
                let answer: Answer = match header.err {
                    0 => Ok(Reply { zxid: header.zxid, body: body.to_vec() }),
                    err => Err(ErrorCode::from_code(err).unwrap_or(ErrorCode::SystemError)),
                };
                // Nobody waits any more if the caller is gone.
                let _ = pending.answer.send(answer);
            }
        }
        None
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn event_name(kind: i32) -> &'static str {
    match kind {
        1 => "NodeCreated",
        2 => "NodeDeleted",
        3 => "NodeDataChanged",
        4 => "NodeChildrenChanged",
        5 => "DataWatchRemoved",
        6 => "ChildWatchRemoved",
        7 => "PersistentWatchRemoved",
        _ => "None",
    }
}
