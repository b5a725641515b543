//! Ports for servers that are started and started again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the range the system takes for outgoing connections, so that none can be in the way
/// between two starts of a server.
const FIRST: u16 = 11_000;
const COUNT: u16 = 9_000;

/// A port of 127.0.0.1 that nobody listens on, another one with every call. Processes start at
/// different places.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 450) as u16 * 20;
    loop {
        let port = FIRST + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
