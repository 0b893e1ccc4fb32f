//! Listening sockets: their callers are taken until there are no more or the turn's budget is
//! spent, a listener for which descriptors have run out rests, and a caller over a limit waits for one.
//!
//! A listener that rests tries again as soon as a descriptor of ours was closed, on this thread or
//! on another one. Its callers wait in the backlog meanwhile; those who are there when it has got none
//! for a whole rest are hung up on, with a descriptor in reserve. Other threads may take that one when it
//! is given up; so nobody is taken while it is missing, and nobody keeps it: or all who wait in a backlog
//! would hang until somebody else leaves.
//!
//! Used by whoever accepts: a reactor, or the acceptor that hands its callers over.
//!
//! Invariant: the census wakes this thread exactly while a caller waits here or a listener rests.
//!
//! Thread contract: of the thread that accepts.

mod pending;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::census::Census;
use crate::clock::Now;
use crate::error::Errno;
use crate::incident::Incident;
use crate::kernel::{Accept, Farewell, Kernel};
use crate::limits::Limits;
use crate::stats::Stats;
use crate::wake::Wake;

use pending::Pending;
pub use pending::Waiting;

/// A caller that was accepted, on its way to the reactor that will own it.
pub struct Caller<S> {
    /// The connection.
    pub socket: S,
    /// Who calls.
    pub address: Address,
    /// The number of the listener that was called.
    pub listener: usize,
}

impl<S> Caller<S> {
    /// The address under which it is counted: none while it is not known who calls, because a preamble
    /// may tell another one.
    pub fn counted_ip(&self, kernel: &impl Kernel<Socket = S>) -> Option<IpAddr> {
        match kernel.preamble(&self.socket) {
            None => self.address.ip(),
            Some(_) => None,
        }
    }
}

/// Takes a caller, unless the reserve is missing before or after it.
fn take<K: Kernel>(kernel: &mut K, listener: &K::Listener, stats: &mut Stats) -> Accept<K::Socket> {
    if let Err(errno) = kernel.regain_reserve() {
        return Accept::Exhausted(errno);
    }
    match kernel.accept(listener) {
        Accept::Socket(socket, address) => match kernel.keep_beside_reserve(socket) {
            Ok(socket) => Accept::Socket(socket, address),
            Err(errno) => {
                stats.refused_by_descriptors += 1;
                Accept::Exhausted(errno)
            }
        },
        other => other,
    }
}

/// The listening sockets of one kernel.
pub struct Listeners<K: Kernel> {
    list: Vec<Listening<K::Listener>>,
    accepts_per_turn: usize,
    rest: Duration,
    /// Listeners with callers left over, to be served in the next turn without an event: under edge
    /// none would come, and under level it would have to wait behind those of many sessions.
    still_ready: Vec<usize>,
    /// Callers over a limit.
    pending: Pending<K::Socket>,
    /// When a rest or a grace ends next.
    due: Option<Now>,
    census: Arc<Census>,
    /// Wakes this thread.
    wake: Arc<dyn Wake>,
    /// Whether the census does so.
    registered: bool,
}

struct Listening<L> {
    socket: L,
    /// Under edge, new callers are announced to a resting listener all the same.
    rest: Option<Rest>,
}

/// Descriptors or memory have run out.
struct Rest {
    /// Callers that are still in the backlog then are hung up on.
    until: Now,
    /// How many sockets had been closed when it last tried.
    tried_at: u64,
}

/// One turn's callers of one listener.
pub struct Round {
    number: usize,
    left: usize,
    emptied: bool,
    exhausted: Option<Errno>,
    /// The listener has rested for the whole of its time.
    rested: bool,
    /// Somebody was taken.
    took: bool,
    /// How many sockets had been closed when it began.
    closed: u64,
}

impl<K: Kernel> Listeners<K> {
    /// Watches `sockets` for callers. Those over a limit of `census` wait here, and `wake` wakes
    /// this thread when there may be room for them.
    ///
    /// # Errors
    /// The poller's.
    pub fn watch(
        kernel: &mut K,
        sockets: Vec<K::Listener>,
        limits: &Limits,
        census: Arc<Census>,
        wake: Arc<dyn Wake>,
    ) -> Result<Listeners<K>, Errno> {
        for (number, socket) in sockets.iter().enumerate() {
            kernel.watch_listener(socket, number)?;
        }
        let list = sockets.into_iter().map(|socket| Listening { socket, rest: None });
        Ok(Listeners {
            list: list.collect(),
            accepts_per_turn: limits.accepts_per_turn,
            rest: limits.listener_rest,
            still_ready: Vec::new(),
            pending: Pending::new(limits),
            due: None,
            census,
            wake,
            registered: false,
        })
    }

    /// Whether callers were left over of which no event will tell.
    #[inline]
    pub fn has_work(&self) -> bool {
        !self.still_ready.is_empty()
    }

    /// The listeners with callers left over; they are forgotten here.
    pub fn take_still_ready(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.still_ready)
    }

    /// When a rest or a grace ends next: `None` if no listener rests and no caller waits.
    #[inline]
    pub fn next_due(&self) -> Option<Now> {
        self.due
    }

    /// Notes who still waits, and for how long.
    pub fn settle(&mut self) {
        let rests = self.list.iter().filter_map(|listening| Some(listening.rest.as_ref()?.until));
        self.due = rests.chain(self.pending.next_due()).min();
        match (self.due.is_some(), self.registered) {
            (true, false) => self.register(),
            (false, true) => {
                self.registered = false;
                self.census.stop_waiting(&self.wake);
                self.pending.trim();
            }
            _ => {}
        }
    }

    fn register(&mut self) {
        self.registered = true;
        self.census.wait(&self.wake);
        // What has ended since they tried has woken nobody: one more turn tries again.
        let closed = self.census.closed();
        let is_late = |rest: &Rest| rest.tried_at != closed;
        let rests = self.list.iter().any(|listening| listening.rest.as_ref().is_some_and(is_late));
        if rests || self.pending.next_due().is_some() {
            self.pending.try_again();
            self.wake.wake();
        }
    }

    /// The rounds of listeners that have rested: because their time is over at `now`, or because a
    /// socket was closed since they last tried.
    pub fn take_rested(&mut self, now: Now) -> Vec<Round> {
        let closed = self.census.closed();
        let mut rounds = Vec::new();
        for (number, listening) in self.list.iter().enumerate() {
            if let Some(Rest { until, tried_at }) = listening.rest
                && (until <= now || tried_at != closed)
            {
                rounds.push(self.round(number, until <= now, closed));
            }
        }
        rounds
    }

    /// Lets a caller over a limit wait until a session has ended, or hangs up: on it, or on one
    /// that has waited for longer.
    pub fn hold(&mut self, kernel: &mut K, caller: Caller<K::Socket>, now: Now, stats: &mut Stats) {
        let refused = self.pending.hold(caller, now);
        self.hang_up(kernel, refused, stats);
    }

    /// The callers for whom there may be room now. Those for whom there is none must be kept, and
    /// then it must be settled who still waits.
    pub fn retry(&mut self) -> VecDeque<Waiting<K::Socket>> {
        self.pending.retry(self.census.departures())
    }

    /// Lets a caller go on waiting that was tried again.
    pub fn keep(&mut self, waiting: Waiting<K::Socket>) {
        self.pending.keep(waiting);
    }

    /// Hangs up on the callers whose grace is over at `now`.
    pub fn expire(&mut self, kernel: &mut K, now: Now, stats: &mut Stats) {
        let refused = self.pending.expire(now);
        self.hang_up(kernel, refused, stats);
    }

    fn hang_up(
        &mut self,
        kernel: &mut K,
        refused: impl IntoIterator<Item = Caller<K::Socket>>,
        stats: &mut Stats,
    ) {
        for caller in refused {
            stats.refused_by_limit += 1;
            kernel.close(caller.socket, Farewell::Finish);
            self.census.refused();
        }
        self.settle();
    }

    /// Ends all listeners; callers in their backlogs are reset by the kernel, and those who waited
    /// are hung up on.
    pub fn close(&mut self, kernel: &mut K, stats: &mut Stats) {
        self.list.drain(..).for_each(|listening| kernel.close_listener(listening.socket));
        self.still_ready.clear();
        let refused = self.pending.clear();
        self.hang_up(kernel, refused, stats);
    }

    /// Begins to take callers from a listener. `None` if it rests, was served in this turn already, or
    /// was closed in it and still had an event in the ready list.
    pub fn begin(&self, number: usize) -> Option<Round> {
        let rests = self.list.get(number)?.rest.is_some();
        if rests || self.still_ready.contains(&number) {
            return None;
        }
        Some(self.round(number, false, self.census.closed()))
    }

    fn round(&self, number: usize, rested: bool, closed: u64) -> Round {
        let left = self.accepts_per_turn;
        Round { number, left, emptied: false, exhausted: None, rested, took: false, closed }
    }

    /// The next caller, if there is one and the budget is not spent.
    pub fn next(
        &mut self,
        kernel: &mut K,
        round: &mut Round,
        stats: &mut Stats,
    ) -> Option<Caller<K::Socket>> {
        while round.left > 0 {
            round.left -= 1;
            // It may be closed between two callers, by the handler of the first.
            let listening = self.list.get(round.number)?;
            match take(kernel, &listening.socket, stats) {
                Accept::Socket(socket, address) => {
                    round.took = true;
                    return Some(Caller { socket, address, listener: round.number });
                }
                Accept::Empty => {
                    round.emptied = true;
                    round.left = 0;
                }
                Accept::Skipped(_) => stats.accepts_skipped += 1,
                Accept::Exhausted(errno) => {
                    round.exhausted = Some(errno);
                    let is_full = matches!(errno, Errno::MFILE | Errno::NFILE);
                    let is_hopeless = is_full && round.rested && !round.took;
                    if is_hopeless && kernel.refuse(&listening.socket) {
                        stats.refused_by_descriptors += 1;
                    } else {
                        round.left = 0;
                    }
                }
            }
        }
        None
    }

    /// Ends a round: what is short now is short in the next turn, and a level-triggered listener
    /// would keep its thread spinning, so it rests. Callers over a limit must not keep what others
    /// are short of. Says so when a rest begins.
    pub fn conclude(
        &mut self,
        kernel: &mut K,
        round: Round,
        now: Now,
        stats: &mut Stats,
    ) -> Option<Incident> {
        let Round { number, rested, took, .. } = round;
        let listening = self.list.get_mut(number)?;
        let rest = listening.rest.take();
        let Some(errno) = round.exhausted else {
            if rest.is_some() {
                // Without memory to be told of callers it rests on.
                let woken = kernel.rest_listener(&listening.socket, number, false);
                let goes_on = |_| Rest { until: now + self.rest, tried_at: round.closed };
                listening.rest = woken.err().map(goes_on);
                self.settle();
            }
            if !round.emptied {
                self.still_ready.push(number);
            }
            return None;
        };
        if rest.is_none() {
            // To stop takes no memory.
            let _rests = kernel.rest_listener(&listening.socket, number, true);
        }
        let begins = rest.is_none() || rested;
        let until = match rest {
            // The descriptors that were closed have gone to others.
            Some(rest) if !rested && !took => rest.until,
            _ => now + self.rest,
        };
        listening.rest = Some(Rest { until, tried_at: round.closed });
        let refused = self.pending.clear();
        self.hang_up(kernel, refused, stats);
        begins.then(|| {
            stats.listener_rests += 1;
            Incident::ListenerRests { listener: number, errno }
        })
    }
}
