//! Connections that have not said yet who they are: a bounded number, and of each address only a
//! part, so that nobody can keep all others out by saying nothing.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// Counts strangers.
pub(super) struct Door {
    all_max: usize,
    each_max: usize,
    inside: Mutex<HashMap<IpAddr, usize>>,
}

/// A stranger, until it is dropped.
pub(super) struct Guest {
    door: Arc<Door>,
    address: IpAddr,
}

impl Door {
    /// At most `all_max` at once, of one address `each_max`.
    pub(super) fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self { all_max, each_max, inside: Mutex::default() })
    }

    /// Lets one more in, if there are not too many.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let address = address.to_canonical();
        let mut inside = self.inside.lock();
        let all: usize = inside.values().sum();
        let own = inside.get(&address).copied().unwrap_or(0);
        if all >= self.all_max || own >= self.each_max {
            return None;
        }
        inside.insert(address, own + 1);
        Some(Guest { door: self.clone(), address })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        if let Some(count) = inside.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                inside.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_keep_others_out() {
        let door = Door::new(5, 3);
        let (one, two) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut guests: Vec<_> = std::iter::from_fn(|| door.enter(one)).collect();
        assert_eq!(guests.len(), 3);
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]);
        assert!(door.enter(mapped).is_none(), "the same in other words");
        guests.extend(std::iter::from_fn(|| door.enter(two)));
        assert_eq!(guests.len(), 5, "that is all");
        guests.remove(0);
        guests.push(door.enter(one).expect("one left"));
        drop(guests);
        assert!(door.inside.lock().is_empty());
        assert!(door.enter(one).is_some());
    }
}
