//! How many sessions a server has, on all of its reactors together, and how many from each address.
//!
//! Limits count the whole server, so the count is shared by its threads: two additions when a
//! session begins and three when it ends, nothing in between. Addresses are counted, under a lock,
//! only if they are limited.
//!
//! A caller over a limit may wait until a session has ended, and a listener that has found no
//! descriptor until one of ours was closed. Their thread says so here, and is woken by each of these.
//! The number of such threads is part of the count of sessions. So of an end and of a thread that
//! begins to wait one comes second, and knows of the other: the end sees that somebody waits, or the
//! thread, which looks once more, finds that something has ended.
//!
//! Invariants: whoever was let in by [`Census::enter`] leaves exactly once, with the same reactor
//! and address, and not before its socket was closed; nobody is counted who is not let in, not even
//! for a moment.
//!
//! Thread contract: any-thread.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, PoisonError};

use crate::id::SessionId;
use crate::limits::Limits;
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use crate::wake::Wake;

/// The count, shared by all reactors of a server.
pub struct Census {
    sessions_max: u64,
    /// Sessions, and [`WAITING`] for each thread that is to be woken when one of them ends.
    alive: AtomicU64,
    /// Sessions that have ended, ever.
    departures: AtomicU64,
    /// Callers that were hung up on before they were sessions, ever.
    refused: AtomicU64,
    waiting: Mutex<Vec<Arc<dyn Wake>>>,
    /// The server stops: nobody is dialled any more.
    stopping: AtomicBool,
    /// Sessions that were named before they had a slot, ever.
    named_ahead: AtomicU64,
    /// Sessions of each reactor.
    shares: Box<[AtomicUsize]>,
    callers: Option<Callers>,
}

/// One thread that waits, in the count of sessions.
const WAITING: u64 = 1 << 48;

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
            sessions_max: limits.sessions_max as u64,
            alive: AtomicU64::new(0),
            departures: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            waiting: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            named_ahead: AtomicU64::new(0),
            shares: (0..reactors).map(|_| AtomicUsize::new(0)).collect(),
            callers: limits.sessions_per_address_max.map(callers),
        }
    }

    /// Counts one more session for `reactor`; `false` if a limit is reached.
    pub fn enter(&self, reactor: u8, ip: Option<IpAddr>) -> bool {
        let enters = match (&self.callers, ip) {
            (Some(callers), Some(ip)) => callers.enter(ip, || self.take_place()),
            _ => self.take_place(),
        };
        if enters {
            self.shares[reactor as usize].fetch_add(1, Ordering::Relaxed);
        }
        enters
    }

    /// Counts the address of a session that was counted without one; `false` if a limit is reached. It
    /// leaves with that address.
    pub fn enter_address(&self, ip: Option<IpAddr>) -> bool {
        match (&self.callers, ip) {
            (Some(callers), Some(ip)) => callers.enter(ip, || true),
            _ => true,
        }
    }

    fn take_place(&self) -> bool {
        let one_more = |alive| (alive % WAITING < self.sessions_max).then_some(alive + 1);
        self.alive.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// A session of `reactor` has ended, and its socket is closed; whoever waits for that is woken.
    pub fn leave(&self, reactor: u8, ip: Option<IpAddr>) {
        self.shares[reactor as usize].fetch_sub(1, Ordering::Relaxed);
        if let (Some(callers), Some(ip)) = (&self.callers, ip) {
            callers.leave(ip);
        }
        self.alive.fetch_sub(1, Ordering::Release);
        // Behind the place itself: who has seen this number and still finds no place tries again
        // when it has grown.
        self.departures.fetch_add(1, Ordering::Release);
        self.wake_waiting();
    }

    /// A caller that was not let in was hung up on, and its socket is closed; whoever waits for a
    /// descriptor is woken.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Release);
        self.wake_waiting();
    }

    /// After what they wait for was counted.
    fn wake_waiting(&self) {
        // Changes nothing, but comes before or after each thread's [`Census::wait`]. Acquire, because
        // who is seen here to wait is on the list; Release, because who is not must find what was
        // counted before.
        if self.alive.fetch_add(0, Ordering::AcqRel) >= WAITING {
            self.waiting().iter().for_each(|thread| thread.wake());
        }
    }

    /// From now on `thread` is woken whenever a session has ended, or a caller was hung up on. It must
    /// look once more after this at what has been counted.
    pub fn wait(&self, thread: &Arc<dyn Wake>) {
        self.waiting().push(thread.clone());
        self.alive.fetch_add(WAITING, Ordering::AcqRel);
    }

    /// Undoes [`Census::wait`].
    pub fn stop_waiting(&self, thread: &Arc<dyn Wake>) {
        self.alive.fetch_sub(WAITING, Ordering::AcqRel);
        self.waiting().retain(|one| !Arc::ptr_eq(one, thread));
    }

    /// How many sessions have ended, ever: who was refused need not try again before it changes.
    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::Acquire)
    }

    /// How many sockets were closed that had been accepted, ever: who has found no descriptor need not
    /// try again before it changes.
    pub fn closed(&self) -> u64 {
        self.departures() + self.refused.load(Ordering::Acquire)
    }

    /// No code runs under the lock that could leave the list half changed, so poison means nothing.
    fn waiting(&self) -> MutexGuard<'_, Vec<Arc<dyn Wake>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more session for this reactor, and names it before it has a slot: for a worker that
    /// dials. `None` if a limit is reached, or the server stops. No name is given twice in the life of a
    /// server (2^55 names).
    pub fn name_ahead(&self, reactor: u8) -> Option<SessionId> {
        if self.is_stopping() || !self.enter(reactor, None) {
            return None;
        }
        Some(SessionId::ahead(reactor, self.named_ahead.fetch_add(1, Ordering::Relaxed)))
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
        (self.alive.load(Ordering::Relaxed) % WAITING) as usize
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
    /// Counts one more for the address, if there is room for it and `takes_place` says so.
    fn enter(&self, ip: IpAddr, takes_place: impl FnOnce() -> bool) -> bool {
        let mut counts = self.lock();
        let count = counts.get(&ip).copied().unwrap_or(0);
        let enters = count < self.most && takes_place();
        if enters {
            counts.insert(ip, count + 1);
        }
        enters
    }

    fn leave(&self, ip: IpAddr) {
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

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_socket_that_is_closed_wakes_those_who_wait_and_nobody_else() {
        let census = Census::new(1, &Limits { sessions_max: 3, ..Limits::default() });
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let threads = woken.clone().map(|thread| thread as Arc<dyn Wake>);
        assert!((0..3).all(|_| census.enter(0, None)));
        census.leave(0, None);
        threads.iter().for_each(|thread| census.wait(thread));
        assert_eq!((census.len(), census.departures()), (2, 1));
        assert!(census.enter(0, None) && !census.enter(0, None), "who waits takes no place");
        census.leave(0, None);
        census.stop_waiting(&threads[0]);
        census.leave(0, None);
        census.refused();
        census.stop_waiting(&threads[1]);
        census.leave(0, None);
        census.refused();
        assert_eq!(woken.map(|thread| thread.0.load(Ordering::Relaxed)), [1, 3]);
        assert_eq!((census.len(), census.departures(), census.closed()), (0, 4, 6));
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
