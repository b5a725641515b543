//! TLS of one connection: bytes of the socket on one side, frames on the other. A connection
//! without TLS has none of this.
//!
//! The handshake, the check of the client's certificate and its identity come before the first
//! byte of a frame is looked at (`NettyServerCnxnFactory.CertificateVerifier`).

use std::io::{Cursor, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConnection;
use tracing::debug;

use crate::acl::{AuthOutcome, Identity, Remote, Schemes};
use crate::auth::{self, ClientAuth, Tls};

/// A connection that speaks TLS, or may.
pub(super) struct Secure {
    tls: Arc<Tls>,
    stage: Stage,
    /// Counts the handshake until it is over.
    _counted: Option<Handshaking>,
    /// Subject of the client's certificate.
    subject: Option<String>,
}

enum Stage {
    /// A unified port: the first bytes decide.
    Unknown(Vec<u8>),
    Handshake(Box<ServerConnection>),
    Open(Box<ServerConnection>),
}

/// What came of received bytes.
pub(super) enum Received {
    /// `plain` holds what is for the parser, perhaps nothing.
    Bytes,
    /// The handshake is over: authenticate, then look at `plain`.
    Greeted,
    /// No TLS after all: `plain` holds what came; forget this.
    Plain,
    /// Over. What is left to be sent may hold an alert.
    Failed(String),
}

/// The handshakes going on, for `netty.server.outstandingHandshake.limit`.
#[derive(Debug, Default)]
pub(super) struct Handshakes(Arc<AtomicUsize>);

struct Handshaking(Arc<AtomicUsize>);

impl Handshakes {
    /// One more, unless there are `max` (0: no limit).
    fn begin(&self, max: usize) -> Option<Handshaking> {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        let counted = Handshaking(self.0.clone());
        (max == 0 || before < max).then_some(counted)
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Secure {
    /// For a connection to the secure port, or to a unified one. `None` if there are too many
    /// handshakes.
    pub fn new(
        tls: Arc<Tls>,
        unified: bool,
        handshakes: &Handshakes,
        max: usize,
    ) -> Result<Option<Self>, auth::TlsError> {
        let Some(counted) = handshakes.begin(max) else { return Ok(None) };
        let stage = match unified {
            true => Stage::Unknown(Vec::new()),
            false => Stage::Handshake(Box::new(tls.server()?)),
        };
        Ok(Some(Self { tls, stage, _counted: Some(counted), subject: None }))
    }

    /// The subject of the client's verified certificate.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// Takes what the socket had; what is for the parser is added to `plain`.
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Received {
        if let Stage::Unknown(first) = &mut self.stage {
            first.extend_from_slice(bytes);
            let Some(is_tls) = auth::begins_tls(first) else { return Received::Bytes };
            let first = std::mem::take(first);
            if !is_tls {
                plain.extend_from_slice(&first);
                return Received::Plain;
            }
            return match self.tls.server() {
                Ok(connection) => {
                    self.stage = Stage::Handshake(Box::new(connection));
                    self.decrypt(&first, plain)
                }
                Err(error) => Received::Failed(error.to_string()),
            };
        }
        self.decrypt(bytes, plain)
    }

    fn decrypt(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Received {
        let (Stage::Handshake(connection) | Stage::Open(connection)) = &mut self.stage else {
            return Received::Bytes;
        };
        let mut input = Cursor::new(bytes);
        while (input.position() as usize) < bytes.len() {
            match connection.read_tls(&mut input) {
                // After the peer's farewell nothing counts.
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Received::Failed(error.to_string()),
            }
            match connection.process_new_packets() {
                Ok(state) => {
                    let at = plain.len();
                    plain.resize(at + state.plaintext_bytes_to_read(), 0);
                    if let Err(error) = connection.reader().read_exact(&mut plain[at..]) {
                        return Received::Failed(error.to_string());
                    }
                }
                Err(error) => return Received::Failed(auth::explain(&error)),
            }
        }
        if !matches!(self.stage, Stage::Handshake(_)) {
            return Received::Bytes;
        }
        match std::mem::replace(&mut self.stage, Stage::Unknown(Vec::new())) {
            Stage::Handshake(connection) if !connection.is_handshaking() => {
                self.stage = Stage::Open(connection);
                self._counted = None;
                Received::Greeted
            }
            stage => {
                self.stage = stage;
                Received::Bytes
            }
        }
    }

    /// Who the client is, once the handshake is over: nobody without a certificate. `Err` closes
    /// the connection.
    pub fn authenticate(
        &mut self,
        schemes: &Schemes,
        scheme: &str,
        address: IpAddr,
    ) -> Result<Vec<Identity>, &'static str> {
        let Stage::Open(connection) = &self.stage else { return Ok(Vec::new()) };
        let chain = connection.peer_certificates();
        if self.tls.client_auth() == ClientAuth::None || chain.is_none_or(<[_]>::is_empty) {
            return Ok(Vec::new());
        }
        if !self.tls.accepts_client(chain, address) {
            return Err("the certificate is not for the client's address");
        }
        self.subject = chain.and_then(auth::subject);
        let remote = Remote { ip: address, x509_subject: self.subject() };
        match schemes.authenticate(Some(scheme), None, &remote) {
            AuthOutcome::Granted(identities) => {
                debug!(%address, subject = self.subject(), "authenticated by certificate");
                Ok(identities)
            }
            AuthOutcome::Failed | AuthOutcome::Close => Err("authentication by certificate failed"),
        }
    }

    /// Turns frames into what goes to the socket.
    pub fn seal(&mut self, bytes: &mut Vec<u8>) {
        let Stage::Open(connection) = &mut self.stage else {
            bytes.clear();
            return;
        };
        // Without a limit it takes everything.
        connection.set_buffer_limit(None);
        if let Err(error) = connection.writer().write_all(bytes) {
            debug!(%error, "cannot encrypt");
        }
        bytes.clear();
        self.take_out(bytes);
    }

    /// Adds what the protocol itself has to say.
    pub fn take_out(&mut self, out: &mut Vec<u8>) {
        if let Stage::Handshake(connection) | Stage::Open(connection) = &mut self.stage {
            while connection.wants_write() {
                if connection.write_tls(out).is_err() {
                    break;
                }
            }
        }
    }

    /// The farewell that tells an end from an accident.
    pub fn farewell(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Stage::Handshake(connection) | Stage::Open(connection) = &mut self.stage {
            connection.send_close_notify();
        }
        self.take_out(&mut out);
        out
    }
}
