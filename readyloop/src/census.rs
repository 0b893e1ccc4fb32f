//! How many sessions a server has, on all of its reactors together, and how many from each address.
//!
//! Limits count the whole server, so the count is shared by its threads: two additions when a
//! session begins and two when it ends, nothing in between. Addresses are counted, under a lock,
//! only if they are limited.
//!
//! Invariant: whoever was let in by [`Census::enter`] leaves exactly once, with the same reactor
//! and address.
//!
//! Thread contract: any-thread.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::SessionId;
use crate::limits::Limits;

/// The count, shared by all reactors of a server.
pub struct Census {
    sessions_max: usize,
    alive: AtomicUsize,
    /// The server stops: nobody is dialled any more.
    stopping: AtomicBool,
    /// Sessions that were named before they had a slot, ever.
    named_ahead: AtomicU64,
    /// Sessions of each reactor.
    shares: Box<[AtomicUsize]>,
    callers: Option<Callers>,
}

/// Sessions for each address; exists only if they are limited.
struct Callers {
    most: u32,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

impl Census {
    /// Nobody, yet, on this many reactors.
    pub fn new(reactors: usize, limits: &Limits) -> Census {
        let callers = |most| Callers { most, counts: Mutex::new(HashMap::new()) };
        Census {
            sessions_max: limits.sessions_max,
            alive: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            named_ahead: AtomicU64::new(0),
            shares: (0..reactors).map(|_| AtomicUsize::new(0)).collect(),
            callers: limits.sessions_per_address_max.map(callers),
        }
    }

    /// Counts one more session for `reactor`; `false` if a limit is reached.
    pub fn enter(&self, reactor: u8, ip: Option<IpAddr>) -> bool {
        if self.alive.fetch_add(1, Ordering::Relaxed) >= self.sessions_max {
            self.alive.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        if !self.callers.as_ref().is_none_or(|callers| callers.enter(ip)) {
            self.alive.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.shares[reactor as usize].fetch_add(1, Ordering::Relaxed);
        true
    }

    /// A session of `reactor` has ended.
    pub fn leave(&self, reactor: u8, ip: Option<IpAddr>) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
        self.shares[reactor as usize].fetch_sub(1, Ordering::Relaxed);
        if let Some(callers) = &self.callers {
            callers.leave(ip);
        }
    }

    /// Counts one more session for the first reactor, and names it before it has a slot: for a
    /// worker that dials. `None` if a limit is reached, or the server stops. No name is given twice in the life of a
    /// server (2^56 names).
    pub fn name_ahead(&self) -> Option<SessionId> {
        if self.is_stopping() || !self.enter(0, None) {
            return None;
        }
        let nth = self.named_ahead.fetch_add(1, Ordering::Relaxed);
        let (generation, index) = (nth >> 24, nth & 0xFF_FFFF);
        Some(SessionId::new(SessionId::NAMED_AHEAD, index as u32, generation as u32 + 1))
    }

    /// From now on nobody is dialled: a handler that dials again whenever a dial fails would keep the
    /// server from ending.
    pub fn stop_dialling(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Sessions of the whole server.
    pub fn len(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// The reactor that has the fewest sessions; of several, the first.
    pub fn least(&self) -> usize {
        let counts = self.shares.iter().enumerate();
        counts.min_by_key(|(_, share)| share.load(Ordering::Relaxed)).map_or(0, |(nth, _)| nth)
    }

    /// Whether a session's address must be kept, to be counted out at its end.
    pub fn counts_addresses(&self) -> bool {
        self.callers.is_some()
    }
}

impl Callers {
    fn enter(&self, ip: Option<IpAddr>) -> bool {
        let Some(ip) = ip else { return true };
        let mut counts = self.lock();
        let count = counts.entry(ip).or_insert(0);
        let has_room = *count < self.most;
        *count += u32::from(has_room);
        has_room
    }

    fn leave(&self, ip: Option<IpAddr>) {
        let Some(ip) = ip else { return };
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&ip);
            }
        }
    }

    /// No code runs under the lock that could leave the map half changed, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn the_whole_server_is_counted_and_a_refusal_counts_nobody() {
        let census = Census::new(2, &Limits { sessions_max: 2, ..Limits::default() });
        assert!(census.enter(0, ip(1)) && census.enter(1, ip(1)));
        assert!(!census.enter(0, ip(1)));
        assert_eq!(census.len(), 2);
        census.leave(1, ip(1));
        assert!(census.enter(0, None), "there was room again");
    }

    #[test]
    fn an_address_is_counted_over_all_reactors_and_forgotten_with_its_last_session() {
        let limits = Limits { sessions_per_address_max: Some(2), ..Limits::default() };
        let census = Census::new(2, &limits);
        assert!(census.enter(0, ip(1)) && census.enter(1, ip(1)) && census.enter(0, ip(2)));
        assert!(!census.enter(0, ip(1)));
        assert_eq!(census.len(), 3);
        assert!(census.enter(0, None), "who has no address is not limited by it");
        census.leave(0, ip(1));
        assert!(census.enter(1, ip(1)));
        for (reactor, ip) in [(1, ip(1)), (1, ip(1)), (0, ip(2)), (0, None)] {
            census.leave(reactor, ip);
        }
        assert_eq!(census.len(), 0);
        assert!(census.callers.unwrap().lock().is_empty());
    }

    #[test]
    fn the_reactor_with_the_fewest_sessions_is_known() {
        let census = Census::new(3, &Limits::default());
        assert_eq!(census.least(), 0);
        assert!(census.enter(0, None) && census.enter(1, None));
        assert_eq!(census.least(), 2);
        census.enter(2, None);
        census.leave(1, None);
        assert_eq!(census.least(), 1);
    }
}
