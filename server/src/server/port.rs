//! The client port, which a reconfiguration may move (`QuorumPeer.processReconfig`).

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;

use parking_lot::Mutex;
use tracing::{error, info, warn};

use crate::{ensemble, net};

/// Listeners that can be elsewhere.
pub(super) trait Listeners {
    fn rebind(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, net::ListenError>;
}

impl Listeners for net::Running {
    fn rebind(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, net::ListenError> {
        net::Running::rebind(self, addresses)
    }
}

/// Moves listeners to where the newest membership wants them.
pub(super) struct ClientPort<L = net::Running> {
    /// None until they serve.
    listeners: Arc<Mutex<Option<L>>>,
    /// Where they are.
    bound: Arc<Mutex<Vec<SocketAddr>>>,
    /// `host:port`, the last that was asked for, until somebody sees to it.
    wanted: Mutex<Option<String>>,
    /// Held by whoever moves them: one at a time, the newest last.
    moving: Mutex<()>,
}

impl<L: Listeners + Send + 'static> ClientPort<L> {
    pub fn new(listeners: Arc<Mutex<Option<L>>>, bound: Arc<Mutex<Vec<SocketAddr>>>) -> Arc<Self> {
        Arc::new(Self { listeners, bound, wanted: Mutex::default(), moving: Mutex::default() })
    }

    /// Asks for a move. In the background: names are resolved, and the I/O threads may ask for what
    /// the caller holds.
    pub fn move_to(self: &Arc<Self>, host: &str, port: u16) {
        *self.wanted.lock() = Some(ensemble::join(host, port));
        self.go_on();
    }

    /// Does what was asked for before the listeners served.
    pub fn go_on(self: &Arc<Self>) {
        if self.wanted.lock().is_none() {
            return;
        }
        let port = self.clone();
        let spawned = Builder::new().name("client-port".into()).spawn(move || port.follow());
        if let Err(error) = spawned {
            warn!(%error, "cannot start a thread: the client port stays");
        }
    }

    fn follow(&self) {
        let _one = self.moving.lock();
        // Somebody else may have seen to it.
        let Some(target) = self.wanted.lock().take() else { return };
        let found = target.to_socket_addrs().map(|all| all.collect::<Vec<_>>());
        let Some(address) = found
            .ok()
            .and_then(|found| found.iter().find(|a| a.is_ipv4()).or(found.first()).copied())
        else {
            return warn!(target, "no address of this host: the client port stays");
        };
        if self.bound.lock().contains(&address) {
            return;
        }
        let listeners = self.listeners.lock();
        let Some(listeners) = &*listeners else {
            // Later, unless there is something newer by now.
            self.wanted.lock().get_or_insert(target);
            return;
        };
        match listeners.rebind(vec![address]) {
            Ok(addresses) => {
                info!(%address, "serving clients at a new address");
                *self.bound.lock() = addresses;
            }
            Err(error) => error!(%error, "cannot move the client port"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it was moved to, in order.
    #[derive(Default)]
    struct Moved(Mutex<Vec<u16>>);

    impl Listeners for Arc<Moved> {
        fn rebind(&self, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, net::ListenError> {
            self.0.lock().extend(addresses.iter().map(SocketAddr::port));
            Ok(addresses)
        }
    }

    fn port(moved: Option<&Arc<Moved>>) -> Arc<ClientPort<Arc<Moved>>> {
        ClientPort::new(Arc::new(Mutex::new(moved.cloned())), Arc::default())
    }

    fn want(port: &ClientPort<Arc<Moved>>, number: u16) {
        *port.wanted.lock() = Some(ensemble::join("127.0.0.1", number));
    }

    #[test]
    fn a_move_that_comes_before_the_listeners_is_done_with_them() {
        let port = port(None);
        want(&port, 1);
        port.follow();
        let moved = Arc::new(Moved::default());
        *port.listeners.lock() = Some(moved.clone());
        port.follow();
        assert_eq!(*moved.0.lock(), [1]);
        assert_eq!(port.bound.lock()[0].port(), 1);
        assert!(port.wanted.lock().is_none());
    }

    #[test]
    fn the_last_move_counts() {
        let moved = Arc::new(Moved::default());
        let port = port(Some(&moved));
        // Two threads that come late.
        want(&port, 1);
        want(&port, 2);
        port.follow();
        port.follow();
        // Where it is already.
        want(&port, 2);
        port.follow();
        assert_eq!(*moved.0.lock(), [2]);
        want(&port, 1);
        port.follow();
        assert_eq!(*moved.0.lock(), [2, 1]);
    }
}
