//! What the server asked of the model kernel, counted: one for each system call that Linux would
//! see.
//!
//! The clock is not counted, as Linux answers it without a system call (vdso(7)).

use std::ops::Sub;

/// Counts of calls since the net was made, or between two moments: `later - earlier`.
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
    /// Changes of what is watched, a listener's rests among them.
    pub rearms: u64,
    /// Looks at `SO_ERROR`.
    pub errors: u64,
    /// Directions ended (`SHUT_WR`).
    pub finishes: u64,
    /// Sockets and listeners closed.
    pub closes: u64,
    /// Writes to the waker that reached the kernel.
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

impl Sub for Calls {
    type Output = Calls;

    /// What was called between `earlier` and `self`.
    fn sub(self, earlier: Calls) -> Calls {
        Calls {
            waits: self.waits - earlier.waits,
            asleep: self.asleep - earlier.asleep,
            accepts: self.accepts - earlier.accepts,
            connects: self.connects - earlier.connects,
            recvs: self.recvs - earlier.recvs,
            sends: self.sends - earlier.sends,
            watches: self.watches - earlier.watches,
            rearms: self.rearms - earlier.rearms,
            errors: self.errors - earlier.errors,
            finishes: self.finishes - earlier.finishes,
            closes: self.closes - earlier.closes,
            wakes: self.wakes - earlier.wakes,
            wakes_seen: self.wakes_seen - earlier.wakes_seen,
        }
    }
}
