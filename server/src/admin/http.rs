//! A small HTTP/1.1 server: one thread for the sockets, a few for the work.
//!
//! Knows requests and responses as plain values; what they mean is the handler's business.
//! Bounded everywhere: connections, requests in work, header size and time, idle time.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue, SERVER};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;

use crate::auth::Tls;

/// Connections at once; more wait in the kernel.
const CONNECTIONS_MAX: usize = 256;
/// Requests in work at once.
const WORKERS: usize = 4;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First byte of a TLS handshake; no HTTP method begins with it.
const TLS_BYTE: u8 = 0x16;
/// How long a stop waits for requests in work.
const DRAIN: Duration = Duration::from_secs(2);

/// A request; its body is still on the wire.
#[derive(Debug)]
pub(super) struct Request {
    pub method: String,
    /// Path, percent-decoded.
    pub path: String,
    /// Arguments in order.
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub remote: SocketAddr,
    pub body: Mutex<Option<BodyReader>>,
}

/// Pieces of a body on their way to the thread that wants them: a few, never the whole.
const BODY_PIECES: usize = 4;

/// A request's body as a stream. What is not read is not taken off the wire.
#[derive(Debug)]
pub(super) struct BodyReader {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let count = self.rest.len().min(out.len());
        out[..count].copy_from_slice(&self.rest.split_to(count));
        Ok(count)
    }
}

/// Passes a body on, piece by piece. A client that sends nothing for `idle` has given up.
async fn pump(mut body: Incoming, idle: Duration, pieces: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let piece = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
            Ok(None) => return,
            Ok(Some(Err(error))) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, error)),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
        };
        let failed = piece.is_err();
        if pieces.send(piece).await.is_err() || failed {
            return;
        }
    }
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The first value of an argument.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Content,
}

/// What a response carries.
#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// A file and its length; sent piece by piece, never in memory as a whole.
    File(File, u64),
}

impl Response {
    pub(super) fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Content::Bytes(Vec::new()) }
    }

    pub(super) fn text(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { status, headers, body: Content::Bytes(body.into()) }
    }

    /// An error page.
    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::text(status, "text/plain;charset=utf-8", format!("HTTP ERROR {status} {message}\n"))
    }
}

pub(super) type Handler = Arc<dyn Fn(Request) -> Response + Send + Sync>;

/// TLS of a server.
#[derive(Clone)]
pub(super) struct HttpTls {
    pub tls: Arc<Tls>,
    /// Plain HTTP is served as well: the first byte decides.
    pub unified: bool,
}

/// A running server. Dropping it stops it.
pub(super) struct HttpServer {
    address: SocketAddr,
    stop: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl HttpServer {
    /// Serves `listener` with `handler`. A connection without a request for `idle` is closed.
    pub(super) fn start(
        name: &str,
        listener: TcpListener,
        idle: Duration,
        tls: Option<HttpTls>,
        handler: Handler,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(WORKERS)
            .thread_name(format!("{name}-work"))
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(accept(listener, idle, tls, handler, stopped));
            runtime.shutdown_timeout(DRAIN);
        })?;
        Ok(Self { address, stop: Mutex::new(Some(stop)), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn stop(&self) {
        drop(self.stop.lock().take());
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn accept(
    listener: TcpListener,
    idle: Duration,
    tls: Option<HttpTls>,
    handler: Handler,
    mut stopped: oneshot::Receiver<()>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("cannot serve HTTP: {error}"),
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = permits.clone().acquire_owned();
        let accepted = async { (permit.await, listener.accept().await) };
        let (permit, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => return,
        };
        let (Ok(permit), Ok((stream, remote))) = (permit, accepted) else {
            // Out of descriptors, most likely: give others a chance to close some.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (handler, tls) = (handler.clone(), tls.clone());
        tokio::spawn(async move {
            let outcome = match tls {
                Some(tls) if speaks_tls(&stream, &tls, idle).await => {
                    match greet(stream, &tls).await {
                        Ok(stream) => serve(stream, remote, true, idle, handler).await,
                        Err(why) => Err(why),
                    }
                }
                _ => serve(stream, remote, false, idle, handler).await,
            };
            if let Err(error) = outcome {
                tracing::debug!("HTTP connection of {remote}: {error}");
            }
            drop(permit);
        });
    }
}

/// Whether a client begins a TLS handshake, or must.
async fn speaks_tls(stream: &TcpStream, tls: &HttpTls, idle: Duration) -> bool {
    let mut first = [0];
    !tls.unified
        || (matches!(tokio::time::timeout(idle, stream.peek(&mut first)).await, Ok(Ok(1)))
            && first[0] == TLS_BYTE)
}

async fn greet(
    stream: TcpStream,
    tls: &HttpTls,
) -> Result<tokio_rustls::server::TlsStream<TcpStream>, String> {
    let config = tls.tls.server_config().map_err(|error| error.to_string())?;
    match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await {
        Ok(accepted) => accepted.map_err(|error| error.to_string()),
        Err(_) => Err("the TLS handshake takes too long".to_owned()),
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    remote: SocketAddr,
    secure: bool,
    idle: Duration,
    handler: Handler,
) -> Result<(), String> {
    let service = service_fn(|request| answer(request, remote, secure, idle, handler.clone()));
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(idle);
    let served = server.serve_connection(TokioIo::new(stream), service).await;
    served.map_err(|error| error.to_string())
}

async fn answer(
    request: hyper::Request<Incoming>,
    remote: SocketAddr,
    secure: bool,
    idle: Duration,
    handler: Handler,
) -> Result<hyper::Response<Body>, Infallible> {
    let head = request.method() == hyper::Method::HEAD;
    let (parts, body) = request.into_parts();
    let mut request = plain(&parts, remote);
    if parts.method == hyper::Method::POST {
        let (sender, pieces) = mpsc::channel(BODY_PIECES);
        tokio::spawn(pump(body, idle, sender));
        request.body = Mutex::new(Some(BodyReader { pieces, rest: Bytes::new() }));
    }
    // Work may walk the tree or the disk: not on the thread of the sockets.
    let response = tokio::task::spawn_blocking(move || handler(request)).await;
    let mut response = response.unwrap_or_else(|error| {
        tracing::error!("HTTP request failed: {error}");
        Response::error(500, "Server Error")
    });
    if secure {
        let value = "max-age=86400; includeSubDomains".to_owned();
        response.headers.push(("strict-transport-security", value));
    }
    Ok(encode(response, head))
}

fn plain(request: &hyper::http::request::Parts, remote: SocketAddr) -> Request {
    let headers = request.headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let pairs = request.uri.query().unwrap_or_default().split('&').filter(|p| !p.is_empty());
    let query = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    });
    Request {
        method: request.method.as_str().to_owned(),
        path: decode(request.uri.path(), false),
        query: query.collect(),
        headers: headers.collect(),
        remote: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
        body: Mutex::new(None),
    }
}

type Body = Either<Full<Bytes>, Pieces>;

/// A file as a body. Read on the thread of the sockets: the pages are mostly cached, and only
/// other HTTP requests wait.
struct Pieces {
    file: File,
    left: u64,
}

/// Bytes read at once.
const PIECE: usize = 64 * 1024;

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; PIECE.min(usize::try_from(this.left).unwrap_or(PIECE))];
        Poll::Ready(Some(match this.file.read(&mut piece) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                piece.truncate(n);
                this.left -= n as u64;
                Ok(Frame::data(piece.into()))
            }
            Err(error) => Err(error),
        }))
    }
}

fn encode(response: Response, head: bool) -> hyper::Response<Body> {
    let (length, body) = match response.body {
        Content::Bytes(bytes) => (bytes.len() as u64, Either::Left(Full::new(bytes.into()))),
        Content::File(file, length) => (length, Either::Right(Pieces { file, left: length })),
    };
    let body = if head { Either::Left(Full::default()) } else { body };
    let mut encoded = hyper::Response::new(body);
    *encoded.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or_default();
    let headers = encoded.headers_mut();
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers.insert(SERVER, HeaderValue::from_static("Rookeeper"));
    headers.insert(CONTENT_LENGTH, length.into());
    headers.entry(DATE).or_insert_with(http_date);
    encoded
}

/// `Sat, 21 Nov 2026 17:48:14 GMT`.
fn http_date() -> HeaderValue {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let text = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Percent decoding; malformed escapes stay as they are.
fn decode(text: &str, plus_is_blank: bool) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        let escaped = (*byte == b'%').then(|| {
            let [high, low, ..] = rest else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16);
            Some((digit(*high)? * 16 + digit(*low)?) as u8)
        });
        match escaped.flatten() {
            Some(value) => {
                out.push(value);
                rest = &rest[2..];
            }
            None if *byte == b'+' && plus_is_blank => out.push(b' '),
            None => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_decoding() {
        for (text, decoded) in [
            ("a%2Fb", "a/b"),
            ("a+b", "a b"),
            ("%", "%"),
            ("%4", "%4"),
            ("%zz", "%zz"),
            ("%C3%BC", "ü"),
        ] {
            assert_eq!(decode(text, true), decoded);
        }
        assert_eq!(decode("a+b", false), "a+b");
    }
}
