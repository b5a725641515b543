//! Limits on connections: per source address, in all, and the handshake throttle.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use parking_lot::Mutex;

use super::{ConnectionThrottle, Options};
use crate::base::Mono;

/// Open connections by source address.
#[derive(Debug)]
pub(super) struct Limits {
    open: Arc<Mutex<Open>>,
    /// `maxClientCnxns`, which an operator may change.
    per_address: AtomicUsize,
}

#[derive(Debug, Default)]
struct Open {
    by_address: HashMap<IpAddr, usize>,
    total: usize,
}

/// A connection that was let in. Dropping it lets another one in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub remote: SocketAddr,
    open: Arc<Mutex<Open>>,
}

/// Which limit a connection ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// `maxCnxns`: so many are open.
    InAll(usize),
    /// `maxClientCnxns` of its address.
    OfAddress,
}

impl Limits {
    /// Nobody is in.
    pub fn new(options: &Options) -> Self {
        let per_address = AtomicUsize::new(options.connections_per_address_max);
        Self { open: Arc::default(), per_address }
    }

    /// `maxClientCnxns` as it is now.
    pub fn per_address(&self) -> usize {
        self.per_address.load(Relaxed)
    }

    /// Another `maxClientCnxns` for connections to come.
    pub fn set_per_address(&self, max: usize) {
        self.per_address.store(max, Relaxed);
    }

    /// Lets a connection in, unless `maxClientCnxns` or `maxCnxns` is reached.
    pub fn admit(&self, remote: SocketAddr, options: &Options) -> Result<Admitted, Full> {
        let mut open = self.open.lock();
        if options.connections_max > 0 && open.total >= options.connections_max {
            return Err(Full::InAll(open.total));
        }
        let max = self.per_address();
        let held = open.by_address.entry(remote.ip()).or_default();
        if max > 0 && *held >= max {
            return Err(Full::OfAddress);
        }
        *held += 1;
        open.total += 1;
        Ok(Admitted { remote, open: self.open.clone() })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        open.total -= 1;
        let address = self.remote.ip();
        if let Some(held) = open.by_address.get_mut(&address) {
            *held -= 1;
            if *held == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// What a handshake asks for, by which it is weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    NewGlobal,
    NewLocal,
    Renewed,
}

/// A token bucket with optional random early drop (`BlueThrottle`).
#[derive(Debug)]
pub(super) struct HandshakeThrottle {
    options: ConnectionThrottle,
    tokens_max: i64,
    fill_count: i64,
    tokens: i64,
    filled: Mono,
    drop_chance: f64,
    chance_changed: Mono,
    random: u64,
}

impl HandshakeThrottle {
    /// A full bucket. `seed` feeds the random drops.
    pub fn new(options: ConnectionThrottle, now: Mono, seed: u64) -> Self {
        let factor = if options.weight_enabled { options.global_session_weight.max(1) } else { 1 };
        let tokens_max = options.tokens.saturating_mul(factor);
        let fill_count = options.fill_count.saturating_mul(factor);
        Self {
            tokens_max,
            fill_count,
            tokens: tokens_max,
            filled: now,
            drop_chance: 0.0,
            chance_changed: now,
            random: seed | 1,
            options,
        }
    }

    /// True if the handshake may go on.
    pub fn admit(&mut self, now: Mono, weight: Weight) -> bool {
        if self.tokens_max <= 0 {
            return true;
        }
        let need = match weight {
            _ if !self.options.weight_enabled => 1,
            Weight::NewGlobal => self.options.global_session_weight,
            Weight::NewLocal => self.options.local_session_weight,
            Weight::Renewed => self.options.renew_session_weight,
        };
        self.refill(now);
        if self.options.freeze_time_ms >= 0 && !self.survives_draw(now) {
            return false;
        }
        if self.tokens < need {
            return false;
        }
        self.tokens -= need;
        true
    }

    /// Tokens missing in the bucket (`BlueThrottle.getDeficit`).
    pub fn deficit(&self) -> i64 {
        self.tokens_max.saturating_sub(self.tokens)
    }

    /// The probability with which a handshake is dropped whatever the bucket holds.
    pub fn drop_chance(&self) -> f64 {
        self.drop_chance
    }

    fn refill(&mut self, now: Mono) {
        let elapsed = now.since(self.filled);
        if elapsed > self.options.fill_time_ms {
            let per = self.options.fill_time_ms.max(1);
            let elapsed = i64::try_from(elapsed).unwrap_or(i64::MAX);
            let refill = elapsed.saturating_mul(self.fill_count) / per as i64;
            self.tokens = self.tokens.saturating_add(refill).min(self.tokens_max);
            self.filled = now;
        }
    }

    /// Adjusts the drop probability, at most once per freeze time, and draws.
    fn survives_draw(&mut self, now: Mono) -> bool {
        let freeze = u64::try_from(self.options.freeze_time_ms).unwrap_or(0);
        if now.since(self.chance_changed) > freeze {
            let deficit = self.tokens_max - self.tokens;
            if self.tokens <= 0 && self.drop_chance < 1.0 {
                self.drop_chance = (self.drop_chance + self.options.drop_increase).min(1.0);
            } else if self.drop_chance > 0.0
                && deficit as f64 <= self.options.decrease_ratio * self.tokens_max as f64
            {
                self.drop_chance = (self.drop_chance - self.options.drop_decrease).max(0.0);
            }
            self.chance_changed = now;
        }
        // xorshift64*: no one's safety depends on these draws.
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let draw = (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64;
        draw / (1u64 << 53) as f64 >= self.drop_chance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_and_released() {
        let options =
            Options { connections_per_address_max: 2, connections_max: 3, ..Options::default() };
        let limits = Limits::new(&options);
        let one: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let two: SocketAddr = "10.0.0.2:1".parse().unwrap();
        let a = limits.admit(one, &options).unwrap();
        let _b = limits.admit(one, &options).unwrap();
        assert_eq!(limits.admit(one, &options).err(), Some(Full::OfAddress));
        let _c = limits.admit(two, &options).unwrap();
        assert_eq!(limits.admit(two, &options).err(), Some(Full::InAll(3)));
        drop(a);
        let _d = limits.admit(one, &options).unwrap();
        assert!(limits.admit(one, &Options::default()).is_err());
        limits.set_per_address(0);
        assert!(limits.admit(one, &Options::default()).is_ok(), "no limit from now on");
    }

    #[test]
    fn the_bucket_refills_with_time() {
        let options = ConnectionThrottle {
            tokens: 2,
            fill_time_ms: 10,
            fill_count: 1,
            ..ConnectionThrottle::default()
        };
        let mut throttle = HandshakeThrottle::new(options, Mono(0), 7);
        let admitted = |throttle: &mut HandshakeThrottle, at| {
            (0..4).filter(|_| throttle.admit(Mono(at), Weight::NewGlobal)).count()
        };
        assert_eq!(admitted(&mut throttle, 0), 2);
        assert_eq!(admitted(&mut throttle, 10), 0, "only after more than the fill time");
        assert_eq!(admitted(&mut throttle, 11), 1);
        assert_eq!(admitted(&mut throttle, 1000), 2, "never more than the bucket");
    }

    #[test]
    fn weights_multiply_the_bucket() {
        let options =
            ConnectionThrottle { tokens: 1, weight_enabled: true, ..ConnectionThrottle::default() };
        let mut throttle = HandshakeThrottle::new(options, Mono(0), 7);
        assert!(throttle.admit(Mono(0), Weight::Renewed), "costs 2 of 3");
        assert!(!throttle.admit(Mono(0), Weight::NewGlobal));
        assert!(throttle.admit(Mono(0), Weight::NewLocal));
    }

    #[test]
    fn the_drop_chance_follows_the_bucket() {
        let options = ConnectionThrottle {
            tokens: 4,
            freeze_time_ms: 10,
            fill_time_ms: 100,
            fill_count: 1,
            drop_increase: 0.5,
            drop_decrease: 0.25,
            decrease_ratio: 0.5,
            ..ConnectionThrottle::default()
        };
        let mut throttle = HandshakeThrottle::new(options, Mono(0), 7);
        let mut chance_after = |at: u64, tokens: i64| {
            throttle.tokens = tokens;
            throttle.filled = Mono(at);
            throttle.admit(Mono(at), Weight::NewGlobal);
            throttle.drop_chance
        };
        for (at, tokens, expected) in [
            // An empty bucket raises it, at most once per freeze time, at most to 1.
            (10, 0, 0.0),
            (11, 0, 0.5),
            (12, 0, 0.5),
            (22, 0, 1.0),
            (33, 0, 1.0),
            // It falls while no more than the ratio is missing, at least to 0.
            (44, 1, 1.0),
            (55, 2, 0.75),
            (66, 4, 0.5),
            (77, 4, 0.25),
            (88, 4, 0.0),
            (99, 4, 0.0),
        ] {
            assert_eq!(chance_after(at, tokens), expected, "at {at}");
        }
        // A chance of 1 drops whatever comes; a negative freeze time never draws.
        throttle.drop_chance = 1.0;
        throttle.tokens = 3;
        assert!(!throttle.admit(Mono(100), Weight::NewGlobal));
        throttle.options.freeze_time_ms = -1;
        assert!(throttle.admit(Mono(100), Weight::NewGlobal));
    }
}
