//! One kernel of a net: its interest list's words, its ready list, its waker, and what it counted.
//!
//! A net has as many as its test made, one for each reactor; what they share (clock, network,
//! descriptors, faults, chance) is the world's. Kernels are named by number, in the order in which
//! they were made.
//!
//! Invariants: a watch is of one kernel; a kernel that is gone has no watch, and keeps its counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::calls::Calls;
use crate::clock::Now;
use crate::error::Errno;
use crate::id::Token;
use crate::kernel::{Interest, Ready, Trigger, Wake};

/// How many closed sockets are remembered, to be reported when they no longer should be.
const GRAVES_MAX: usize = 64;

#[derive(Default)]
pub(super) struct Poller {
    pub(super) bell: Arc<Bell>,
    pub(super) signals: usize,
    pub(super) ready: Vec<Ready>,
    /// All but the wakes, which the bell counts.
    pub(super) counts: Calls,
    /// Tokens of sockets that were closed while this kernel watched them.
    pub(super) graves: VecDeque<Token>,
    /// Where in the ready list the next wait begins, after one that could not report everything.
    pub(super) cursor: usize,
    /// The last wait was willing to sleep and found nothing, and no wait of another kernel has
    /// found anything since.
    pub(super) idle: bool,
    /// It has waited before: somebody turns.
    pub(super) waited: bool,
    /// A wait is interrupted by the test, which lets others act.
    pub(super) asleep: bool,
    /// When the timeout of the last wait ends, if nothing else ended that wait.
    pub(super) due: Option<Now>,
    /// Every wait fails with this.
    pub(super) broken: Option<Errno>,
    /// The last handle was dropped.
    pub(super) gone: bool,
}

/// That a socket or a listener is watched, and by whom.
pub(super) struct Watch {
    pub(super) kernel: usize,
    pub(super) token: Token,
    pub(super) want: Interest,
    /// Something happened since the last report. Only looked at under edge.
    pub(super) edge: bool,
}

/// The waker: the one part of the world that other threads may touch.
#[derive(Default)]
pub(super) struct Bell {
    pub(super) rung: AtomicBool,
    rings: AtomicU64,
}

impl Wake for Bell {
    fn wake(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        self.rung.store(true, Ordering::Release);
    }
}

impl Poller {
    /// Whether its thread is at work, or its sleep is over by now. No sleep of another kernel lets time
    /// pass before this one has slept again: nobody knows yet for how long that will be.
    pub(super) fn goes_on(&self, now: Now) -> bool {
        let at_work = !self.idle && !self.asleep && self.due.is_none();
        self.waited && (at_work || self.due.is_some_and(|due| due <= now))
    }

    pub(super) fn calls(&self) -> Calls {
        Calls { wakes: self.bell.rings.load(Ordering::Relaxed), ..self.counts }
    }

    pub(super) fn bury(&mut self, token: Token) {
        if self.graves.len() == GRAVES_MAX {
            self.graves.pop_front();
        }
        self.graves.push_back(token);
    }
}

impl Watch {
    /// The flags that the interest lets through. Errors and hang-ups always pass (epoll_ctl(2)); who
    /// is watched under edge is watched for everything.
    pub(super) fn flags(&self, trigger: Trigger) -> u32 {
        let mut flags = Ready::ERROR | Ready::HANGUP;
        if trigger == Trigger::Edge {
            flags |= Ready::URGENT;
        }
        if self.want.reads() {
            flags |= Ready::READABLE | Ready::PEER_FINISHED;
        }
        if self.want.writes() {
            flags |= Ready::WRITABLE;
        }
        flags
    }
}
