//! What the server asked of its model kernels, counted: one for each system call that Linux would
//! see.
//!
//! The clock is not counted, as Linux answers it without a system call (vdso(7)).

use std::ops::{Add, Sub};

/// Counts of calls since the net or the kernel was made, or between two moments: `later - earlier`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Calls {
    /// Waits.
    pub waits: u64,
    /// Waits without a timeout that nothing in sight would have ended. Not a call of its own.
    pub asleep: u64,
    /// Accepts, of any outcome.
    pub accepts: u64,
    /// Connects.
    pub connects: u64,
    /// Reads, of any outcome.
    pub recvs: u64,
    /// Writes, of any outcome; a vectored one counts once.
    pub sends: u64,
    /// Sockets and listeners newly watched.
    pub watches: u64,
    /// Changes of what is watched, a listener's rests and sockets no longer watched among them.
    pub rearms: u64,
    /// Looks at `SO_ERROR`, and at how much was not taken by the peer (`SIOCOUTQ`).
    pub errors: u64,
    /// Directions ended (`SHUT_WR`).
    pub finishes: u64,
    /// Sockets and listeners closed.
    pub closes: u64,
    /// Writes to a waker (`eventfd`).
    pub wakes: u64,
    /// Times that the waker was read back.
    pub wakes_seen: u64,
}

impl Calls {
    /// All system calls.
    pub fn total(self) -> u64 {
        self.waits
            + self.accepts
            + self.connects
            + self.recvs
            + self.sends
            + self.watches
            + self.rearms
            + self.errors
            + self.finishes
            + self.closes
            + self.wakes
            + self.wakes_seen
    }
}

impl Calls {
    fn combine(self, other: Calls, with: impl Fn(u64, u64) -> u64) -> Calls {
        Calls {
            waits: with(self.waits, other.waits),
            asleep: with(self.asleep, other.asleep),
            accepts: with(self.accepts, other.accepts),
            connects: with(self.connects, other.connects),
            recvs: with(self.recvs, other.recvs),
            sends: with(self.sends, other.sends),
            watches: with(self.watches, other.watches),
            rearms: with(self.rearms, other.rearms),
            errors: with(self.errors, other.errors),
            finishes: with(self.finishes, other.finishes),
            closes: with(self.closes, other.closes),
            wakes: with(self.wakes, other.wakes),
            wakes_seen: with(self.wakes_seen, other.wakes_seen),
        }
    }
}

impl Add for Calls {
    type Output = Calls;

    /// What was called on two kernels.
    fn add(self, other: Calls) -> Calls {
        self.combine(other, |one, two| one + two)
    }
}

impl Sub for Calls {
    type Output = Calls;

    /// What was called between `earlier` and `self`.
    fn sub(self, earlier: Calls) -> Calls {
        self.combine(earlier, |later, earlier| later - earlier)
    }
}
