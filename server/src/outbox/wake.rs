//! Waking I/O threads: once per batch, however many connections it touched.

use std::sync::Arc;

use super::State;

/// Where a connection is served. The generation tells a connection from an earlier one in the
/// same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Index of the I/O thread.
    pub station: u16,
    /// Slot in that thread's table.
    pub slot: u32,
    /// Of the slot.
    pub generation: u32,
}

/// An I/O thread's door bell.
pub trait Bell: Send + Sync {
    /// These connections have something to do. Drains `places`.
    fn ring(&self, places: &mut Vec<Place>);

    /// More of the log is durable: whoever hears it is to apply it. False if nobody here does such
    /// things.
    fn ring_durable(&self) -> bool {
        false
    }
}

/// Collects touched connections and rings once per I/O thread.
pub struct WakeList {
    stations: Vec<(Arc<dyn Bell>, Vec<Place>)>,
}

impl WakeList {
    /// A list over all I/O threads, in the order of their indices.
    pub fn new(bells: Vec<Arc<dyn Bell>>) -> Self {
        Self { stations: bells.into_iter().map(|bell| (bell, Vec::new())).collect() }
    }

    /// The outbox at `place` has something for its I/O thread. `state` is its locked state.
    pub fn touch(&mut self, place: Place, state: &mut State) {
        if !state.woken {
            state.woken = true;
            self.stations[usize::from(place.station)].1.push(place);
        }
    }

    /// The I/O thread that may apply what is committed: the only one. All that it touches while it
    /// does, it has read or will write itself.
    pub fn only_bell(&self) -> Option<Arc<dyn Bell>> {
        match &self.stations[..] {
            [(bell, _)] => Some(bell.clone()),
            _ => None,
        }
    }

    /// Wakes every I/O thread that has a touched connection. Call without any lock.
    pub fn ring(&mut self) {
        for (bell, places) in &mut self.stations {
            if !places.is_empty() {
                bell.ring(places);
            }
        }
    }
}
