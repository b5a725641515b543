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
            Some(tls) if self.dial_tls => Stream::dial(socket, tls, host, limit)
                .map_err(|error| told(host, "ssl.quorum: TLS with it failed", error))?,
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

    /// The dialling side logs in, within `limit`.
    pub(super) fn log_in(
        &self,
        halves: &mut Halves,
        host: &str,
        limit: Duration,
    ) -> io::Result<()> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (input, output, _) = halves;
        input.set_deadline(Some(limit))?;
        sasl.log_in(input, output)
            .map_err(|error| told(host, "quorum.auth: our login at it failed", error))?;
        input.set_deadline(None)
    }

    /// The accepting side has the other one log in, within `limit`.
    pub(super) fn have_log_in(&self, halves: &mut Halves, limit: Duration) -> io::Result<()> {
        let Some(sasl) = &self.sasl else { return Ok(()) };
        let (input, output, _) = halves;
        input.set_deadline(Some(limit))?;
        sasl.have_log_in(input, output)?;
        input.set_deadline(None)
    }
}

/// What failed, and where.
fn told(host: &str, what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{host}: {what}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);
    const MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

    fn with_login(required: bool) -> Security {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jaas.conf");
        let text = format!(
            "S {{ {MODULE} required user_a=\"b\"; }}; \
             L {{ {MODULE} required username=\"a\" password=\"wrong\"; }};"
        );
        std::fs::write(&file, text).unwrap();
        let sasl = QuorumSaslOptions {
            file,
            server_section: "S".to_owned(),
            learner_section: "L".to_owned(),
            server_requires: required,
            learner_requires: true,
            properties: Default::default(),
        };
        Security::open(&SecurityOptions {
            tls: None,
            ssl_quorum: false,
            unified: false,
            detection_ms: 1,
            sasl: Some(sasl),
        })
        .unwrap()
    }

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (dialled, listener.accept().unwrap().0)
    }

    #[test]
    fn a_login_that_comes_byte_by_byte_is_not_waited_for() {
        let (mut stranger, accepted) = pair();
        let _open = stranger.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A packet of a login whose token does not come to its end.
                let header = b"\x5f\x24\x35\x01\x35\x01\xed\xcc\0\0\0\0\0\0\x01\x2c";
                let _ = stranger.write_all(header);
                for _ in 0..299 {
                    std::thread::sleep(Duration::from_millis(10));
                    if stranger.write_all(b"x").is_err() {
                        return;
                    }
                }
            });
            let security = with_login(true);
            let mut halves = security.accept(accepted, LIMIT).unwrap();
            let limit = Duration::from_millis(100);
            let error = security.have_log_in(&mut halves, limit).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
            halves.2.cut();
        });
    }

    /// A peer that need not log in, and is interrupted in the middle of what it says.
    #[test]
    fn what_a_slow_peer_said_is_not_lost() {
        let (mut peer, accepted) = pair();
        let security = with_login(false);
        peer.write_all(b"abc").unwrap();
        let mut halves = security.accept(accepted, LIMIT).unwrap();
        security.have_log_in(&mut halves, Duration::from_millis(100)).unwrap();
        peer.write_all(b"def").unwrap();
        // A loss must fail the test, not hang it.
        halves.0.set_deadline(Some(LIMIT)).unwrap();
        let mut said = [0; 6];
        io::Read::read_exact(&mut halves.0, &mut said).unwrap();
        assert_eq!(&said, b"abcdef");
    }

    #[test]
    fn failures_say_where_and_what() {
        let (dialled, accepted) = pair();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let security = with_login(true);
                let mut halves = security.accept(accepted, LIMIT).unwrap();
                security.have_log_in(&mut halves, LIMIT).unwrap_err();
            });
            let security = with_login(true);
            let mut halves = security.dial(dialled, "zk2", LIMIT).unwrap();
            let error = security.log_in(&mut halves, "zk2", LIMIT).unwrap_err();
            assert!(error.to_string().starts_with("zk2: quorum.auth: "), "{error}");
        });
    }
}
