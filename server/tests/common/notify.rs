//! The socket on which a server tells systemd how it is (`NOTIFY_SOCKET`).

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

/// How long a server may take until it says something; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Notify(UnixDatagram);

impl Notify {
    pub fn bind(path: impl AsRef<Path>) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message.
    pub fn next(&self) -> String {
        let mut buffer = [0; 256];
        loop {
            match self.0.recv(&mut buffer) {
                Ok(n) => return String::from_utf8(buffer[..n].to_vec()).unwrap(),
                // This process was stopped and goes on.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("the server does not report its state: {error}"),
            }
        }
    }

    /// The next state, words for people left out.
    pub fn state(&self) -> String {
        std::iter::repeat_with(|| self.next()).find(|said| !said.starts_with("STATUS=")).unwrap()
    }

    /// Waits for a message. An earlier server may have something to say before.
    pub fn until(&self, wanted: &str) {
        while self.next() != wanted {}
    }
}
