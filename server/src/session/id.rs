//! Session ids and passwords.

use crate::base::{Mono, SessionId, Sid};

/// The only value that a session id must not have: as an owner it marks containers.
const CONTAINER_OWNER: i64 = i64::MIN;

/// The first session id of a server that starts to serve at `now`: sid in the highest byte, the low
/// 40 bits of the monotonic clock (ms), 16 zero bits; the next ones count up
/// (`SessionTrackerImpl.initializeNextSessionId`). A standalone server uses sid 1.
///
/// The clock should not restart with the process, or ids of an earlier run come again while their
/// sessions live; [`super::Tracker`] skips ids that it knows.
pub fn first_session_id(sid: Sid, now: Mono) -> SessionId {
    let clock = (now.0 << 24) >> 8;
    let id = clock as i64 | sid.0 << 56;
    SessionId(if id == CONTAINER_OWNER { id + 1 } else { id })
}

/// The password of a session: the first 16 bytes of `java.util.Random` seeded with the id and a
/// constant (`ZooKeeperServer.generatePasswd`). Every server of an ensemble computes the same.
pub fn password(session: SessionId) -> [u8; 16] {
    const SECRET: i64 = 0xB341_5C00;
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = (session.0 ^ SECRET) as u64 ^ MULTIPLIER;
    state &= MASK;
    let mut bytes = [0; 16];
    for chunk in bytes.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        chunk.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    bytes
}

/// True if `given` is the password of `session`. Looks at every byte in any case, so that the time
/// says nothing.
pub fn check_password(session: SessionId, given: Option<&[u8]>) -> bool {
    let expected = password(session);
    let Some(given) = given else { return false };
    if session.0 == 0 || given.len() != expected.len() {
        return false;
    }
    given.iter().zip(expected).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn passwords_are_javas() {
        let cases = [
            (0x0100_0000_0000_0000, "f22acd4a97e69d6d20a49bb638eadb38"),
            (0x0100_0012_a464_0000, "de8a2f0313c63e67ec333417146c12e3"),
            (-1, "20f62cb5648dc2d771471c8a2486a9ee"),
            (0x0100_0012_a464_0033, "fc7ad702733454704b2041a27b7046e7"),
        ];
        for (id, expected) in cases {
            assert_eq!(hex(&password(SessionId(id))), expected, "{id:x}");
        }
    }

    #[test]
    fn password_check() {
        let session = SessionId(0x0100_0012_a464_0033);
        let good = password(session);
        assert!(check_password(session, Some(&good)));
        assert!(!check_password(session, None));
        assert!(!check_password(session, Some(&good[..15])));
        assert!(!check_password(session, Some(&[0; 16])));
        assert!(!check_password(SessionId(0), Some(&password(SessionId(0)))));
    }

    #[test]
    fn first_ids() {
        let id = |sid, ms| first_session_id(Sid(sid), Mono(ms)).0 as u64;
        assert_eq!(id(1, 0x12_a464), 0x0100_0012_a464_0000);
        assert_eq!(id(0, 1), 0x1_0000);
        // Only 40 bits of the clock count, and they never reach the sid's byte.
        assert_eq!(id(0xfe, u64::MAX), 0xfeff_ffff_ffff_0000);
        assert_eq!(id(0x80, 0), 0x8000_0000_0000_0001);
        assert_eq!(id(0x80, 1 << 40), 0x8000_0000_0000_0001);
    }
}
