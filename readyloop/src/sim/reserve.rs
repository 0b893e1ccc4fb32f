//! The descriptor in reserve: one for the table that all kernels of a net share, to hang up on a caller
//! with when accepts find none.
//!
//! It is a descriptor like any other. From the moment in which it is given up to the accept that wants
//! it, another thread may take it: a reactor of the same server, or code that the server knows nothing
//! of.

use std::time::Duration;

use super::kernel::{Sim, SimListener};
use super::wait::Hook;
use super::world::World;
use crate::clock::Now;
use crate::error::Errno;

/// The longest time for which another thread keeps a descriptor that it took by chance.
const TAKEN_MAX: Duration = Duration::from_millis(20);

/// Where the reserve is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reserve {
    Open,
    /// Given up for a moment, by a kernel that wants to accept with it.
    GivenUp,
    /// Another thread has its descriptor, and keeps it until then.
    Taken(Now),
}

impl World {
    /// Whether a descriptor that is asked for now is not there (`RLIMIT_NOFILE`).
    pub(super) fn is_out_of_descriptors(&self) -> bool {
        let reserve = usize::from(self.reserve == Reserve::Open);
        self.open_sockets() + reserve > self.sockets_max
    }

    pub(super) fn regain_reserve(&mut self) -> Result<(), Errno> {
        match self.reserve {
            Reserve::Open => Ok(()),
            Reserve::Taken(until) if until > self.now => Err(Errno::MFILE),
            _ if self.is_out_of_descriptors() => Err(Errno::MFILE),
            // Whoever has given it up opens it again.
            Reserve::GivenUp => Ok(()),
            Reserve::Taken(_) => {
                self.reserve = Reserve::Open;
                Ok(())
            }
        }
    }

    /// Gives the reserve up for a caller of this listener. `false` if there is no caller or no reserve,
    /// or another thread has taken it by chance.
    fn give_up_reserve(&mut self, listener: &SimListener) -> bool {
        self.note('R', listener.0 as u64);
        let is_taken = self.chance(|faults| faults.reserve_taken);
        if self.listeners[listener.0].backlog.is_empty() || self.reserve != Reserve::Open {
            return false;
        }
        if is_taken {
            let nanos = self.rng.below(TAKEN_MAX.as_nanos() as usize) as u64;
            self.reserve = Reserve::Taken(self.now + Duration::from_nanos(nanos));
            return false;
        }
        self.reserve = Reserve::GivenUp;
        true
    }

    /// Hangs up on the first caller, if the descriptor is still there, and opens the reserve again.
    fn refuse_by_reserve(&mut self, listener: &SimListener) -> bool {
        if self.reserve != Reserve::GivenUp || self.is_out_of_descriptors() {
            if self.reserve == Reserve::GivenUp {
                self.reserve = Reserve::Taken(self.now);
            }
            return false;
        }
        self.reserve = Reserve::Open;
        let Some(link) = self.listeners[listener.0].backlog.pop_front() else { return false };
        self.drop_caller(link, false);
        true
    }
}

impl Sim {
    /// The test's hook comes between the close of the reserve and the accept. Nobody may hold the world
    /// while it runs.
    pub(super) fn try_refuse(&self, listener: &SimListener) -> bool {
        if !self.world().give_up_reserve(listener) {
            return false;
        }
        let hook: Option<Hook> = self.world().refusal_hook.take();
        if let Some(act) = hook {
            (act.borrow_mut())();
            self.world().refusal_hook.get_or_insert(act);
        }
        self.world().refuse_by_reserve(listener)
    }
}
