//! The state of one net, and how it moves on: connections, descriptor tables, time, the ready list.
//!
//! Neither the test's side nor the server's: both borrow it, one call at a time. The only source of
//! chance is the seed; every table is walked in an order that depends on nothing else.
//!
//! Invariants: a descriptor's index is the lowest free one, as with fds; a socket in the table
//! belongs to a link in the map; an edge is reported at most once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::calls::Calls;
use super::faults::Faults;
use super::link::{Link, ServerEnd};
use super::rng::Rng;
use crate::address::Address;
use crate::clock::Now;
use crate::id::Token;
use crate::kernel::{Interest, Ready, Trigger, Wake};

/// How many closed sockets are remembered, to be reported when they no longer should be.
const GRAVES_MAX: usize = 64;
/// What the send buffer of a connection holds when neither a fault nor the test says otherwise.
const WINDOW_BYTES: usize = 256 * 1024;
/// The most steps of the network inside of one wait: thousands of times what a full window needs.
const STEPS_MAX: usize = 1_000_000;
/// The ready list's places: the waker, the signals, then listeners, then sockets.
const FIRST_LISTENER: usize = 2;

pub(super) struct World {
    pub(super) trigger: Trigger,
    pub(super) faults: Faults,
    pub(super) rng: Rng,
    pub(super) now: Now,
    pub(super) calls: Calls,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) sockets: Vec<Option<Socket>>,
    pub(super) listeners: Vec<Listening>,
    /// Outbound connections that the test has not taken yet; each holds one handle.
    pub(super) dialled: VecDeque<u64>,
    pub(super) bell: Arc<Bell>,
    pub(super) signals: usize,
    /// How many accepts will still find no descriptor.
    pub(super) descriptors_missing: usize,
    pub(super) ready: Vec<Ready>,
    /// Time does not jump to a timeout while the test settles the net.
    pub(super) held: bool,
    pub(super) fingerprint: u64,
    links_made: u64,
    free: BTreeSet<u32>,
    graves: VecDeque<Token>,
    /// Where in the ready list the next wait begins, after one that could not report everything.
    cursor: usize,
    /// The last wait was willing to sleep, and found nothing.
    idle: bool,
}

pub(super) struct Socket {
    pub(super) link: u64,
    pub(super) watch: Option<Watch>,
}

pub(super) struct Watch {
    pub(super) token: Token,
    pub(super) want: Interest,
    /// Something happened since the last report. Only looked at under edge.
    pub(super) edge: bool,
}

#[derive(Default)]
pub(super) struct Listening {
    pub(super) closed: bool,
    pub(super) backlog: VecDeque<u64>,
    pub(super) watch: Option<Watch>,
}

/// The waker: the one part of the world that other threads may touch.
#[derive(Default)]
pub(super) struct Bell {
    pub(super) rung: AtomicBool,
    pub(super) rings: AtomicU64,
}

impl Wake for Bell {
    fn wake(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.rung.store(true, Ordering::Release);
    }
}

impl World {
    pub(super) fn new(seed: u64, trigger: Trigger, faults: Faults) -> World {
        assert!(faults.events_max > 0, "Faults::events_max is 0: no event could ever be reported");
        World {
            trigger,
            faults,
            rng: Rng::new(seed),
            now: Now::ZERO,
            calls: Calls::default(),
            links: BTreeMap::new(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            dialled: VecDeque::new(),
            bell: Arc::new(Bell::default()),
            signals: 0,
            descriptors_missing: 0,
            ready: Vec::new(),
            held: false,
            fingerprint: seed,
            links_made: 0,
            free: BTreeSet::new(),
            graves: VecDeque::new(),
            cursor: 0,
            idle: false,
        }
    }

    pub(super) fn chance(&mut self, fault: impl FnOnce(&Faults) -> u32) -> bool {
        self.rng.chance(fault(&self.faults))
    }

    /// Folds one fact into the history's fingerprint.
    pub(super) fn note(&mut self, call: char, fact: u64) {
        let word = fact << 8 ^ u64::from(u32::from(call));
        self.fingerprint = Rng::new(self.fingerprint ^ word).bits();
    }

    pub(super) fn links_made(&self) -> u64 {
        self.links_made
    }

    pub(super) fn link(&mut self, link: u64) -> &mut Link {
        self.links.get_mut(&link).expect("a link lives as long as a socket, a backlog or a handle")
    }

    /// A new connection, with one handle on it.
    pub(super) fn add_link(&mut self, address: Address, server: ServerEnd) -> u64 {
        let small = self.chance(|faults| faults.small_windows);
        let window_bytes = if small { self.rng.piece(4096) } else { WINDOW_BYTES };
        let link = self.links_made;
        self.links_made += 1;
        self.links.insert(link, Link::new(address, server, window_bytes));
        link
    }

    pub(super) fn add_socket(&mut self, link: u64) -> u32 {
        let socket = Some(Socket { link, watch: None });
        if let Some(index) = self.free.pop_first() {
            self.sockets[index as usize] = socket;
            return index;
        }
        self.sockets.push(socket);
        (self.sockets.len() - 1) as u32
    }

    /// Frees a descriptor; what was in flight on its link goes on without it.
    pub(super) fn remove_socket(&mut self, index: u32) {
        let socket = self.sockets[index as usize].take();
        self.free.insert(index);
        if let Some(Socket { watch: Some(watch), .. }) = socket {
            if self.graves.len() == GRAVES_MAX {
                self.graves.pop_front();
            }
            self.graves.push_back(watch.token);
        }
    }

    /// Hangs up on a caller in the backlog.
    pub(super) fn drop_caller(&mut self, link: u64, by_reset: bool) {
        self.link(link).close(by_reset);
        self.forget(link);
    }

    pub(super) fn forget(&mut self, link: u64) {
        if self.links.get(&link).is_some_and(Link::is_forgotten) {
            self.links.remove(&link);
        }
    }

    /// Puts a caller into a backlog.
    pub(super) fn call(&mut self, listener: usize, address: Address) -> u64 {
        let link = self.add_link(address, ServerEnd::Waiting);
        let listening = &mut self.listeners[listener];
        if listening.closed {
            self.link(link).close(true);
            return link;
        }
        listening.backlog.push_back(link);
        if let Some(watch) = &mut listening.watch {
            watch.edge = true;
        }
        link
    }

    /// Moves every connection on.
    pub(super) fn step(&mut self) {
        let World { links, sockets, rng, faults, .. } = self;
        links.retain(|_, link| {
            if link.step(rng, faults) {
                raise(sockets, link.server);
            }
            !link.is_forgotten()
        });
    }

    /// Lets the network move right before a call, as it may at any time.
    pub(super) fn meanwhile(&mut self) {
        if self.chance(|faults| faults.between_calls) {
            self.step();
        }
    }

    pub(super) fn is_moving(&self) -> bool {
        self.links.values().any(Link::is_moving)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.idle && !self.is_moving() && self.candidates().is_empty()
    }

    /// `epoll_wait`. Sets the ready list and returns its length.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> usize {
        self.calls.waits += 1;
        self.ready.clear();
        self.idle = false;
        if !self.chance(|faults| faults.interrupted) {
            // A lie must be told now and not after the sleep, or it would never end one.
            let lied = self.chance(|faults| faults.spurious) && self.lie();
            self.sleep(timeout, lied);
            self.distort();
        }
        if self.chance(|faults| faults.late) {
            let span = if timeout == Some(Duration::ZERO) { 1_000 } else { 2_000_000 };
            let nanos = self.rng.below(span);
            self.pass(nanos);
        }
        for nth in 0..self.ready.len() {
            let event = self.ready[nth];
            self.note('w', event.token.to_bits() ^ u64::from(event.flags) << 48);
        }
        self.note('W', self.now.as_nanos());
        self.ready.len()
    }

    /// Moves the network on until something true is ready or the sleep ends.
    fn sleep(&mut self, timeout: Option<Duration>, awake: bool) {
        let deadline = timeout.map(|span| self.now + span);
        for _ in 0..STEPS_MAX {
            self.step();
            let told = self.ready.len();
            self.gather();
            if awake || self.ready.len() > told || deadline.is_some_and(|due| self.now >= due) {
                return;
            }
            if self.is_moving() {
                let nanos = 1 + self.rng.below(1_000_000);
                self.pass(nanos);
                self.now = deadline.map_or(self.now, |due| self.now.min(due));
                continue;
            }
            self.idle = true;
            match deadline {
                None => self.calls.asleep += 1,
                Some(due) if !self.held => self.now = due,
                Some(_) => {}
            }
            return;
        }
        panic!("something is in flight and never arrives: the model is broken");
    }

    pub(super) fn pass(&mut self, nanos: usize) {
        self.now = self.now + Duration::from_nanos(nanos as u64);
    }

    /// Everything that a wait could truly report now, with its place; in order of places.
    fn candidates(&self) -> Vec<(usize, Ready)> {
        let mut found = Vec::new();
        if self.bell.rung.load(Ordering::Acquire) {
            found.push((0, Ready { token: Token::WAKER, flags: Ready::READABLE }));
        }
        if self.signals > 0 {
            found.push((1, Ready { token: Token::SIGNALS, flags: Ready::READABLE }));
        }
        let edge_triggered = self.trigger == Trigger::Edge;
        let mut consider = |place: usize, watch: &Watch, readiness: u32| {
            let flags = readiness & wanted(watch.want);
            if flags != 0 && (watch.edge || !edge_triggered) {
                found.push((place, Ready { token: watch.token, flags }));
            }
        };
        for (nth, listening) in self.listeners.iter().enumerate() {
            if let Some(watch) = &listening.watch {
                let flags = if listening.backlog.is_empty() { 0 } else { Ready::READABLE };
                consider(FIRST_LISTENER + nth, watch, flags);
            }
        }
        for (nth, socket) in self.sockets.iter().enumerate() {
            if let Some(Socket { link, watch: Some(watch) }) = socket {
                let place = FIRST_LISTENER + self.listeners.len() + nth;
                consider(place, watch, self.links[link].readiness());
            }
        }
        found
    }

    /// Moves what is truly ready into the ready list, as much as it holds, and takes the edges of
    /// that.
    fn gather(&mut self) {
        let mut found = self.candidates();
        // Like the kernel's own list, the order turns, so that nobody is left out for ever.
        let first = found.partition_point(|&(place, _)| place < self.cursor);
        found.rotate_left(first);
        self.cursor = found.get(self.faults.events_max).map_or(0, |&(place, _)| place);
        found.truncate(self.faults.events_max);
        for (place, event) in found {
            self.ready.push(event);
            if let Some(watch) = self.watch_at(place) {
                watch.edge = false;
            }
        }
    }

    fn watch_at(&mut self, place: usize) -> Option<&mut Watch> {
        let nth = place.checked_sub(FIRST_LISTENER)?;
        let listeners = self.listeners.len();
        match self.listeners.get_mut(nth) {
            Some(listening) => listening.watch.as_mut(),
            None => self.sockets.get_mut(nth - listeners)?.as_mut()?.watch.as_mut(),
        }
    }

    /// Reports somebody who is watched as ready for what they are not. Returns whether anybody was
    /// found.
    fn lie(&mut self) -> bool {
        let places = FIRST_LISTENER + self.listeners.len() + self.sockets.len();
        let place = self.rng.below(places);
        let flags = [Ready::READABLE, Ready::WRITABLE][self.rng.below(2)];
        let Some(watch) = self.watch_at(place) else { return false };
        let flags = flags & wanted(watch.want);
        if flags == 0 {
            return false;
        }
        let event = Ready { token: watch.token, flags };
        self.ready.push(event);
        true
    }

    /// Does to the ready list what a kernel may do: the dead, doubles, any order.
    fn distort(&mut self) {
        if !self.graves.is_empty() && self.chance(|faults| faults.stale) {
            let token = self.graves[self.rng.below(self.graves.len())];
            const FLAGS: [u32; 5] = [
                Ready::READABLE,
                Ready::WRITABLE,
                Ready::READABLE | Ready::PEER_FINISHED,
                Ready::READABLE | Ready::WRITABLE | Ready::ERROR | Ready::HANGUP,
                Ready::HANGUP,
            ];
            self.ready.push(Ready { token, flags: FLAGS[self.rng.below(FLAGS.len())] });
        }
        if !self.ready.is_empty() && self.chance(|faults| faults.duplicate) {
            self.ready.push(self.ready[self.rng.below(self.ready.len())]);
        }
        if self.chance(|faults| faults.shuffle) {
            self.rng.shuffle(&mut self.ready);
        }
    }
}

/// Something happened to the socket that holds this end of a link.
pub(super) fn raise(sockets: &mut [Option<Socket>], server: ServerEnd) {
    if let ServerEnd::Open(index) = server
        && let Some(Socket { watch: Some(watch), .. }) = &mut sockets[index as usize]
    {
        watch.edge = true;
    }
}

/// The flags that an interest lets through. Errors and hang-ups always pass (epoll_ctl(2)).
fn wanted(want: Interest) -> u32 {
    let mut flags = Ready::ERROR | Ready::HANGUP;
    if want.reads() {
        flags |= Ready::READABLE | Ready::PEER_FINISHED;
    }
    if want.writes() {
        flags |= Ready::WRITABLE;
    }
    flags
}
