//! The state of one net, and how it moves on: kernels, connections, the descriptor table, time.
//!
//! Neither the test's side nor the server's: both borrow it, one call at a time. The only source of
//! chance is the seed; every table is walked in an order that depends on nothing else.
//!
//! Invariants: a descriptor's index is the lowest free one, as with fds; a socket in the table
//! belongs to a link in the map; an edge is reported at most once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::faults::Faults;
use super::link::{Link, ServerEnd};
use super::memory::Shortage;
use super::poller::{Poller, Watch};
use super::reserve::Reserve;
use super::rng::Rng;
use super::wait::Hook;
use crate::address::Address;
use crate::clock::Now;
use crate::kernel::Trigger;

/// What the send buffer of a connection holds when neither a fault nor the test says otherwise.
const WINDOW_BYTES: usize = 256 * 1024;

pub(super) struct World {
    pub(super) trigger: Trigger,
    pub(super) faults: Faults,
    pub(super) rng: Rng,
    pub(super) now: Now,
    /// Every kernel that was made, by number.
    pub(super) pollers: Vec<Poller>,
    pub(super) links: BTreeMap<u64, Link>,
    pub(super) sockets: Vec<Option<Socket>>,
    pub(super) listeners: Vec<Listening>,
    /// Outbound connections that the test has not taken yet; each holds one handle.
    pub(super) dialled: VecDeque<u64>,
    /// How many accepts will still find no descriptor.
    pub(super) descriptors_missing: usize,
    /// How many sockets the process can have open beside the reserve (`RLIMIT_NOFILE`); listeners are
    /// not counted.
    pub(super) sockets_max: usize,
    pub(super) reserve: Reserve,
    /// Until when memory is missing, for each need.
    pub(super) shortage: Shortage,
    /// Time does not jump to a timeout while the test settles the net.
    pub(super) held: bool,
    /// What the test does while a kernel sleeps.
    pub(super) hook: Option<Hook>,
    pub(super) hook_runs: bool,
    /// What the test does while a kernel has given the reserve up. Not there while it runs.
    pub(super) refusal_hook: Option<Hook>,
    pub(super) fingerprint: u64,
    links_made: u64,
    free: BTreeSet<u32>,
    /// The kernel that called last.
    pub(super) acting: usize,
    /// The history in words, if anybody wants it.
    pub(super) trace: Option<Vec<String>>,
}

pub(super) struct Socket {
    pub(super) link: u64,
    pub(super) watch: Option<Watch>,
}

#[derive(Default)]
pub(super) struct Listening {
    pub(super) closed: bool,
    pub(super) backlog: VecDeque<u64>,
    pub(super) watch: Option<Watch>,
}

impl World {
    pub(super) fn new(seed: u64, trigger: Trigger, faults: Faults) -> World {
        assert!(faults.events_max > 0, "Faults::events_max is 0: no event could ever be reported");
        World {
            trigger,
            faults,
            rng: Rng::new(seed),
            now: Now::ZERO,
            pollers: Vec::new(),
            links: BTreeMap::new(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            dialled: VecDeque::new(),
            descriptors_missing: 0,
            sockets_max: usize::MAX,
            reserve: Reserve::Open,
            shortage: Shortage::default(),
            held: false,
            hook: None,
            hook_runs: false,
            refusal_hook: None,
            fingerprint: seed,
            links_made: 0,
            free: BTreeSet::new(),
            acting: 0,
            trace: None,
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

    /// Makes a kernel, and returns its number.
    pub(super) fn add_kernel(&mut self) -> usize {
        self.pollers.push(Poller::default());
        self.pollers.len() - 1
    }

    /// A kernel's last handle is gone; a poller that is closed watches nothing (epoll_create(2)).
    pub(super) fn remove_kernel(&mut self, kernel: usize) {
        self.pollers[kernel].gone = true;
        let sockets = self.sockets.iter_mut().flatten().map(|socket| &mut socket.watch);
        let listeners = self.listeners.iter_mut().map(|listening| &mut listening.watch);
        for watch in sockets.chain(listeners) {
            watch.take_if(|watch| watch.kernel == kernel);
        }
    }

    /// Notes whose calls follow. A net with one kernel notes nothing.
    pub(super) fn switch_to(&mut self, kernel: usize) {
        if self.acting != kernel {
            self.acting = kernel;
            self.note('k', kernel as u64);
        }
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

    pub(super) fn open_sockets(&self) -> usize {
        self.sockets.iter().flatten().count()
    }

    /// Frees a descriptor; what was in flight on its link goes on without it.
    pub(super) fn remove_socket(&mut self, index: u32) {
        let socket = self.sockets[index as usize].take();
        self.free.insert(index);
        if let Some(Socket { watch: Some(watch), .. }) = socket {
            self.pollers[watch.kernel].bury(watch.token);
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
        self.trace(|| format!("c{link} calls listener {listener}"));
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

    pub(super) fn pass(&mut self, nanos: usize) {
        self.now = self.now + Duration::from_nanos(nanos as u64);
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
