//! `sd_notify`: tells systemd (`Type=notify`) when the server serves and when it stops.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use crate::net::view::{Mode, ServerView};

/// How often a member looks what it is.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sends a state such as `READY=1`; does nothing when not started by systemd.
pub(super) fn notify(state: &str) {
    let Ok(path) = env::var("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path, state) {
        tracing::warn!("cannot notify {path}: {error}");
    }
}

fn send(path: &str, state: &str) -> std::io::Result<()> {
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

/// Tells systemd what a member of an ensemble is, as often as that changes (`STATUS=`).
pub(super) struct StatusLine(Option<(Sender<()>, JoinHandle<()>)>);

impl StatusLine {
    /// Says it once before it returns. A standalone server has nothing more to say after that.
    pub(super) fn start(view: Arc<dyn ServerView>) -> Self {
        let mut said = describe(&*view);
        notify(&format!("STATUS={said}"));
        if env::var_os("NOTIFY_SOCKET").is_none() || view.mode() == Mode::Standalone {
            return Self(None);
        }
        let (stop, stopped) = bounded::<()>(0);
        let thread = Builder::new().name("status".to_owned()).spawn(move || {
            while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let now = describe(&*view);
                if now != said {
                    notify(&format!("STATUS={now}"));
                    said = now;
                }
            }
        });
        Self(thread.ok().map(|thread| (stop, thread)))
    }

    /// Says nothing more once this returns.
    pub(super) fn end(self) {
        if let Some((stop, thread)) = self.0 {
            drop(stop);
            let _ = thread.join();
        }
    }
}

/// One line for people.
fn describe(view: &dyn ServerView) -> String {
    if view.mode() == Mode::Standalone {
        return "Standalone, serving clients".to_owned();
    }
    let Some(peer) = view.peer() else { return "Starting".to_owned() };
    let leader = peer.leader_id.unwrap_or(-1);
    match view.mode() {
        Mode::ReadOnly => "Read-only: cut off from the quorum".to_owned(),
        _ if !view.serving() => format!("Not serving: {}", peer.state),
        Mode::Leader => {
            let followers = peer.leader.map_or(0, |leader| leader.synced_followers);
            let observers = peer.synced_observers.unwrap_or(0);
            format!(
                "Leading {} voters: {followers} followers and {observers} observers in sync",
                peer.quorum_size
            )
        }
        Mode::Observer => format!("Observing server {leader}"),
        _ => format!("Following server {leader}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("bind");
        send(path.to_str().expect("UTF-8"), "READY=1").expect("send");
        let mut buffer = [0; 64];
        let n = socket.recv(&mut buffer).expect("receive");
        assert_eq!(&buffer[..n], b"READY=1");
    }
}
