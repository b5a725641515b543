//! The first frame of a connection: a four-letter word or a connect request.

use jute::proto::{ConnectRequest, op};
use tracing::{info, warn};

use super::conn::{Conn, Phase, Progress};
use super::fourlw::java_address;
use super::limits::Weight;
use super::request::{Split, split};
use super::station::Desk;
use super::{Shared, Word};
use crate::base::{SessionId, Zxid};
use crate::outbox::{Fate, Handshake, Origin, Parked, append_connect_response};
use crate::replica::{Body, Request};
use crate::session;

/// Handles the first frame in `bytes`, as far as it is there.
pub(super) fn run(
    conn: &mut Conn,
    shared: &Shared,
    desk: &mut Desk,
    bytes: &[u8],
) -> (usize, Progress) {
    if let Some(word) = bytes.first_chunk::<4>()
        && let Some(needs) = shared.responder.needs(*word)
    {
        return four_letter_word(conn, shared, desk, *word, needs, bytes);
    }
    match split(bytes, shared.options.frame_max) {
        Split::Partial => (0, Progress::Partial),
        Split::Bad => {
            conn.log_length(bytes);
            (0, Progress::Close("length of the first frame"))
        }
        Split::Frame(frame) => {
            desk.tally.received += 1;
            let progress = match connect(conn, shared, desk, frame) {
                Ok(()) => Progress::Held,
                Err(reason) => Progress::Close(reason),
            };
            (4 + frame.len(), progress)
        }
    }
}

fn four_letter_word(
    conn: &mut Conn,
    shared: &Shared,
    desk: &mut Desk,
    word: [u8; 4],
    needs: usize,
    bytes: &[u8],
) -> (usize, Progress) {
    let Some(rest) = bytes[4..].get(..needs) else { return (0, Progress::Partial) };
    if tracing::enabled!(tracing::Level::INFO) {
        let name = String::from_utf8_lossy(&word);
        info!("Processing {name} command from {}", java_address(conn.outbox.remote));
    }
    desk.tally.received += 1;
    desk.tally.sent += 1;
    conn.outbox.lock().stats.received += 1;
    conn.phase = Phase::Word;
    shared.words.ask(Word { word, rest: rest.to_vec(), place: conn.outbox.place });
    (bytes.len(), Progress::Held)
}

/// The checks of `ZooKeeperServer.processConnectRequest`, in its order.
fn connect(
    conn: &mut Conn,
    shared: &Shared,
    desk: &mut Desk,
    frame: &[u8],
) -> Result<(), &'static str> {
    let (request, with_read_only) =
        ConnectRequest::decode_any(frame).map_err(|_| "undecodable connect request")?;
    conn.outbox.lock().stats.received += 1;
    let session = SessionId(request.session_id);
    let weight = match session.0 {
        0 if shared.role.has_local_sessions() => Weight::NewLocal,
        0 => Weight::NewGlobal,
        _ => Weight::Renewed,
    };
    let deficit = {
        let mut throttle = shared.handshakes.lock();
        let admitted = throttle.admit(desk.now, weight);
        let chance = throttle.drop_chance().to_bits();
        shared.drop_chance.store(chance, std::sync::atomic::Ordering::Relaxed);
        if !admitted {
            desk.ledger.rejected += 1;
            return Err("connection throttle");
        }
        throttle.deficit()
    };
    desk.ledger.connection_requests += 1;
    desk.ledger.token_deficit.add(deficit, 1);
    if !shared.role.is_serving() {
        return Err("not serving");
    }
    let remote = java_address(conn.outbox.remote);
    if shared.role.is_read_only() && !request.read_only {
        info!("Refusing session request for not-read-only client {remote}");
        return Err("a read-only server and a client that wants to write");
    }
    let last = shared.tree.read().last_zxid();
    if Zxid(request.last_zxid_seen) > last {
        info!(
            "Refusing session(0x{:x}) request for client {remote} as it has seen zxid 0x{:x} our \
             last zxid is 0x{:x} client must try another server",
            session.0, request.last_zxid_seen, last.0
        );
        return Err("the client has seen a later transaction than this server");
    }
    let options = &shared.options;
    let timeout_ms =
        request.timeout.clamp(options.session_timeout_min_ms, options.session_timeout_max_ms);
    let handshake = Handshake { session, timeout_ms, with_read_only };
    let body = if session.0 == 0 {
        Body::CreateSession { timeout_ms }
    } else if session::check_password(session, request.passwd) {
        Body::Renew { timeout_ms }
    } else {
        // Stricter than Java, which closes the session's present connection before it looks at
        // the password: a stranger cannot push anybody out.
        warn!("Incorrect password from {remote} for session 0x{:x}", session.0);
        info!("Invalid session {session} for client {remote}, probably expired");
        refuse(conn, with_read_only);
        return Ok(());
    };
    conn.phase = Phase::Connecting;
    let identities = {
        let mut state = conn.outbox.lock();
        state.parked.push_back(Parked::Write {
            xid: 0,
            op: op::CREATE_SESSION,
            received: desk.now,
            large_bytes: 0,
        });
        state.last_heard = desk.now;
        state.identities.clone()
    };
    shared.admission.take(1);
    desk.requests.push(Request {
        origin: Origin {
            outbox: conn.outbox.clone(),
            xid: 0,
            op: op::CREATE_SESSION,
            received: desk.now,
            handshake: Some(handshake),
            path: None,
            asked: None,
        },
        session,
        cxid: 0,
        kind: op::CREATE_SESSION,
        identities,
        body,
    });
    Ok(())
}

/// Tells the client that its session is gone, then closes.
fn refuse(conn: &mut Conn, with_read_only: bool) {
    let mut state = conn.outbox.lock();
    append_connect_response(&mut state.out, None, with_read_only, false);
    state.stats.sent += 1;
    state.close(Fate::CloseAfterFlush);
    drop(state);
    conn.phase = Phase::Leaving;
    conn.expect_out();
}
