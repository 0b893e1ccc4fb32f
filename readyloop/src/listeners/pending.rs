//! Callers over a limit, each for a moment: the session that has their place may be over already,
//! and only its end not read yet. They are let in as soon as there is room, and hung up on when
//! their grace is over.
//!
//! Thread contract: of the thread that accepts.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::Caller;
use crate::clock::Now;
use crate::limits::Limits;

/// Those who wait, in the order in which they came, which is that in which their grace ends.
pub(super) struct Pending<S> {
    callers: VecDeque<Waiting<S>>,
    grace: Duration,
    most: usize,
    /// How many sessions had ended when all of them were tried; `None` if somebody was not.
    tried_at: Option<u64>,
}

/// A caller, and when its grace ends.
pub struct Waiting<S> {
    pub(super) until: Now,
    /// Who waits.
    pub caller: Caller<S>,
}

impl<S> Pending<S> {
    pub(super) fn new(limits: &Limits) -> Pending<S> {
        Pending {
            callers: VecDeque::new(),
            grace: limits.admission_grace,
            most: limits.admission_waiting_max,
            tried_at: None,
        }
    }

    /// Lets a caller wait. Says who is to be hung up on for it: if there is no room, the one from
    /// the same address who has waited for the longest, or else of all; so a flood from one address
    /// takes nobody's place but its own.
    pub(super) fn hold(&mut self, caller: Caller<S>, now: Now) -> Option<Caller<S>> {
        if self.grace.is_zero() {
            return Some(caller);
        }
        let ip = caller.address.ip();
        let refused = if self.callers.len() < self.most { None } else { self.make_room(ip) };
        self.callers.push_back(Waiting { until: now + self.grace, caller });
        refused
    }

    fn make_room(&mut self, ip: Option<IpAddr>) -> Option<Caller<S>> {
        let same = |waiting: &Waiting<S>| waiting.caller.address.ip() == ip;
        let oldest = self.callers.iter().position(same).unwrap_or(0);
        self.callers.remove(oldest).map(|waiting| waiting.caller)
    }

    /// All who wait, if so many sessions have ended, ever, and fewer had when this was last asked:
    /// whoever is still not let in must be kept, in the same order.
    pub(super) fn retry(&mut self, departures: u64) -> VecDeque<Waiting<S>> {
        if self.callers.is_empty() || self.tried_at.replace(departures) == Some(departures) {
            return VecDeque::new();
        }
        std::mem::take(&mut self.callers)
    }

    pub(super) fn keep(&mut self, waiting: Waiting<S>) {
        self.callers.push_back(waiting);
    }

    /// Those whose grace is over at `now`.
    pub(super) fn expire(&mut self, now: Now) -> Vec<Caller<S>> {
        let over = self.callers.partition_point(|waiting| waiting.until <= now);
        self.callers.drain(..over).map(|waiting| waiting.caller).collect()
    }

    /// Everybody: nobody waits any more.
    pub(super) fn clear(&mut self) -> Vec<Caller<S>> {
        self.callers.drain(..).map(|waiting| waiting.caller).collect()
    }

    /// Nobody knows whether a session has ended since they were tried.
    pub(super) fn try_again(&mut self) {
        self.tried_at = None;
    }

    /// When a grace ends next; `None` if nobody waits.
    pub(super) fn next_due(&self) -> Option<Now> {
        self.callers.front().map(|waiting| waiting.until)
    }

    /// Gives back the room of those who do not wait any more.
    pub(super) fn trim(&mut self) {
        self.callers.shrink_to(0);
    }
}
