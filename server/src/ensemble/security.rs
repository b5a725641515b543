//! What comes before the first packet between two servers: TLS, then a SASL login. Both are off
//! unless configured (`UnifiedServerSocket`, `QuorumAuth`).

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use crate::auth::{
    Cutter, QuorumSasl, QuorumSaslOptions, ReadHalf, SaslError, Stream, Tls, TlsError, TlsOptions,
    WriteHalf,
};

/// Settings.
#[derive(Debug, Clone)]
pub struct SecurityOptions {
    /// `ssl.quorum.*`, if TLS is spoken at all.
    pub tls: Option<TlsOptions>,
    /// `sslQuorum`: dial with TLS, and accept nothing else.
    pub ssl_quorum: bool,
    /// `portUnification`: accept both.
    pub unified: bool,
    /// `ssl.quorum.handshakeDetectionTimeoutMillis`.
    pub detection_ms: u64,
    /// `quorum.auth.*`, if it is enabled.
    pub sasl: Option<QuorumSaslOptions>,
}

/// Why a member cannot protect its ports as configured.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// SASL.
    #[error(transparent)]
    Sasl(#[from] SaslError),
}

/// TLS and SASL between servers.
#[derive(Debug)]
pub struct Security {
    tls: Option<Tls>,
    dial_tls: bool,
    unified: Option<Duration>,
    sasl: Option<QuorumSasl>,
}

/// A connection ready for packets.
pub(super) type Halves = (ReadHalf, WriteHalf, Cutter);

impl Security {
    /// Loads stores and users.
    ///
    /// # Errors
    /// If one of them cannot be used.
    pub fn open(options: &SecurityOptions) -> Result<Self, SecurityError> {
        let tls = match &options.tls {
            Some(tls) if options.ssl_quorum || options.unified => Some(Tls::open(tls.clone())?),
            _ => None,
        };
        if let (Some(tls), true) = (&tls, options.ssl_quorum) {
            tls.server_config()?;
        }
        let sasl = options.sasl.as_ref().map(QuorumSasl::open).transpose()?;
        let detection = Duration::from_millis(options.detection_ms.max(1));
        Ok(Self {
            dial_tls: options.ssl_quorum && tls.is_some(),
            tls,
            unified: options.unified.then_some(detection),
            sasl,
        })
    }

    /// Neither TLS nor SASL.
    pub fn none() -> Self {
        Self { tls: None, dial_tls: false, unified: None, sasl: None }
    }

    /// True if nothing comes before the first packet.
    pub(super) fn is_plain(&self) -> bool {
        self.tls.is_none() && self.sasl.is_none()
    }

    /// The dialling side: TLS. The login is [`Security::log_in`].
    pub(super) fn dial(
        &self,
        socket: TcpStream,
        host: &str,
        limit: Duration,
    ) -> io::Result<Halves> {
        let stream = match &self.tls {
            Some(tls) if self.dial_tls => Stream::dial(socket, tls, host, limit)?,
            _ => Stream::plain(socket),
        };
        Ok(stream.split())
    }

    /// The accepting side: TLS.
    pub(super) fn accept(&self, socket: TcpStream, limit: Duration) -> io::Result<Halves> {
        let stream = match &self.tls {
            Some(tls) => Stream::accept(socket, tls, self.unified, limit)?,
            None => Stream::plain(socket),
        };
        Ok(stream.split())
    }

    /// The dialling side logs in; nothing waits longer than `limit`.
    pub(super) fn log_in(&self, halves: &mut Halves, limit: Duration) -> io::Result<()> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (input, output, cutter) = halves;
        cutter.set_read_timeout(Some(limit))?;
        sasl.log_in(input, output)?;
        cutter.set_read_timeout(None)
    }

    /// The accepting side has the other one log in.
    pub(super) fn have_log_in(&self, halves: &mut Halves, limit: Duration) -> io::Result<()> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (input, output, cutter) = halves;
        cutter.set_read_timeout(Some(limit))?;
        sasl.have_log_in(input, output)?;
        cutter.set_read_timeout(None)
    }
}
