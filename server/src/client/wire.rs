//! A connection that one thread reads and others write, plain or as somebody else makes it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Makes a connection out of a socket: TLS for example.
pub trait Dial: Send + Sync {
    /// `host` is the name that was asked for. Must not take longer than `limit`.
    ///
    /// # Errors
    /// If the other side is not who it should be, or does not answer.
    fn dial(&self, socket: TcpStream, host: &str, limit: Duration) -> io::Result<Wire>;
}

/// Logs in by DIGEST-MD5 before anything else is said.
pub trait Login: Send + Sync {
    /// The response to the server's challenge, and the token that the server must answer with.
    ///
    /// # Errors
    /// What is wrong with the challenge.
    fn respond(&self, challenge: &[u8]) -> Result<(Vec<u8>, Vec<u8>), &'static str>;
}

/// The reading end.
pub type Input = Box<dyn Read + Send>;
/// The writing end.
pub type Output = Box<dyn Write + Send>;

/// A connection.
pub struct Wire {
    /// Bytes from the other side. A read that takes longer than the socket's timeout ends with
    /// `WouldBlock` or `TimedOut`.
    pub input: Input,
    /// Bytes to the other side; what is written is sent at once.
    pub output: Output,
    /// The socket under both, for its timeout and its end.
    pub socket: TcpStream,
}

impl Wire {
    /// Bytes as they are.
    ///
    /// # Errors
    /// The system's, if it has no more file handles.
    pub fn plain(socket: TcpStream) -> io::Result<Self> {
        let (input, output) = (Box::new(socket.try_clone()?), Box::new(socket.try_clone()?));
        Ok(Self { input, output, socket })
    }
}

/// What a session writes to.
pub(super) struct Writer {
    pub output: Output,
    pub socket: TcpStream,
}

impl Writer {
    /// A broken connection is noticed by its reader.
    pub(super) fn send(&mut self, frame: &[u8]) {
        let _ = self.output.write_all(frame).and_then(|()| self.output.flush());
    }

    pub(super) fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
