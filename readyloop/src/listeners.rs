//! Listening sockets: their callers are taken until there are no more or the turn's budget is
//! spent, and a listener for which descriptors have run out rests for a moment.
//!
//! Used by whoever accepts: a reactor, or the acceptor that hands its callers over.
//!
//! Thread contract: of the thread that accepts.

use std::time::Duration;

use crate::address::Address;
use crate::clock::Now;
use crate::error::Errno;
use crate::incident::Incident;
use crate::kernel::{Accept, Kernel};
use crate::limits::Limits;
use crate::stats::Stats;

/// The listening sockets of one kernel.
pub struct Listeners<K: Kernel> {
    list: Vec<Listening<K::Listener>>,
    accepts_per_turn: usize,
    rest: Duration,
    /// Listeners with callers left over, to be served in the next turn without an event: under edge
    /// none would come, and under level it would have to wait behind those of many sessions.
    still_ready: Vec<usize>,
    /// How many rest.
    resting: usize,
}

struct Listening<L> {
    socket: L,
    /// Under edge, new callers are announced to a resting listener all the same.
    rests_until: Option<Now>,
}

/// One turn's callers of one listener.
pub struct Round {
    number: usize,
    left: usize,
    emptied: bool,
    exhausted: Option<Errno>,
}

impl<K: Kernel> Listeners<K> {
    /// Watches `sockets` for callers.
    ///
    /// # Errors
    /// The poller's.
    pub fn watch(
        kernel: &mut K,
        sockets: Vec<K::Listener>,
        limits: &Limits,
    ) -> Result<Listeners<K>, Errno> {
        for (number, socket) in sockets.iter().enumerate() {
            kernel.watch_listener(socket, number)?;
        }
        let list = sockets.into_iter().map(|socket| Listening { socket, rests_until: None });
        Ok(Listeners {
            list: list.collect(),
            accepts_per_turn: limits.accepts_per_turn,
            rest: limits.listener_rest,
            still_ready: Vec::new(),
            resting: 0,
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

    /// When a rest ends next.
    #[inline]
    pub fn next_due(&self) -> Option<Now> {
        if self.resting == 0 {
            return None;
        }
        self.list.iter().filter_map(|listening| listening.rests_until).min()
    }

    /// Ends the rests that are over at `now`; these listeners must be served.
    pub fn take_rested(&mut self, kernel: &mut K, now: Now) -> Vec<usize> {
        let mut rested = Vec::new();
        for (number, listening) in self.list.iter_mut().enumerate() {
            if listening.rests_until.is_some_and(|until| until <= now) {
                listening.rests_until = None;
                self.resting -= 1;
                kernel.rest_listener(&listening.socket, number, false);
                rested.push(number);
            }
        }
        rested
    }

    /// Ends all listeners; callers in their backlogs are reset by the kernel.
    pub fn close(&mut self, kernel: &mut K) {
        self.list.drain(..).for_each(|listening| kernel.close_listener(listening.socket));
        self.still_ready.clear();
        self.resting = 0;
    }

    /// Begins to take callers from a listener; one that rests, was served in this turn already, or was
    /// closed in it and still had an event in the ready list, has none.
    pub fn begin(&self, number: usize) -> Round {
        let serves = self.list.get(number).is_some_and(|listening| listening.rests_until.is_none())
            && !self.still_ready.contains(&number);
        let left = if serves { self.accepts_per_turn } else { 0 };
        Round { number, left, emptied: !serves, exhausted: None }
    }

    /// The next caller, if there is one and the budget is not spent.
    pub fn next(
        &mut self,
        kernel: &mut K,
        round: &mut Round,
        stats: &mut Stats,
    ) -> Option<(K::Socket, Address)> {
        while round.left > 0 {
            round.left -= 1;
            // It may be closed between two callers, by the handler of the first.
            let listening = self.list.get(round.number)?;
            match kernel.accept(&listening.socket) {
                Accept::Socket(socket, address) => return Some((socket, address)),
                Accept::Empty => {
                    round.emptied = true;
                    round.left = 0;
                }
                Accept::Skipped(_) => stats.accepts_skipped += 1,
                Accept::Exhausted { errno, refused } => {
                    stats.refused_by_descriptors += u64::from(refused);
                    round.exhausted = Some(errno);
                    if !refused {
                        round.left = 0;
                    }
                }
            }
        }
        None
    }

    /// Ends a round: what is short now is short in the next turn, and a level-triggered listener
    /// would keep its thread spinning, so it rests.
    pub fn conclude(
        &mut self,
        kernel: &mut K,
        round: Round,
        now: Now,
        stats: &mut Stats,
    ) -> Option<Incident> {
        let listening = self.list.get_mut(round.number)?;
        let Some(errno) = round.exhausted else {
            if !round.emptied {
                self.still_ready.push(round.number);
            }
            return None;
        };
        stats.listener_rests += 1;
        listening.rests_until = Some(now + self.rest);
        self.resting += 1;
        kernel.rest_listener(&listening.socket, round.number, true);
        Some(Incident::ListenerRests { listener: round.number, errno })
    }
}
