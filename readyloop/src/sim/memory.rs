//! Kernel memory that runs out: for one call, or for calls of some kinds until a moment.
//!
//! Linux may say so of nearly any call that makes something or moves bytes (the manual pages of
//! accept(2), connect(2), recv(2), send(2) and epoll_ctl(2), under ERRORS), and the same call may
//! succeed a moment later. Nothing was done then, and nothing is lost; nor does the poller tell when
//! memory is back: under level it goes on reporting what was not read, and under edge it is silent.

use std::time::Duration;

use super::world::World;
use crate::clock::Now;
use crate::error::Errno;

/// What the kernel needs memory for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// Taking a caller. The caller stays in the backlog.
    Accept,
    /// A socket to dial with.
    Connect,
    /// Reading.
    Recv,
    /// Writing.
    Send,
    /// Watching a socket that was not watched.
    Watch,
    /// Changing what a socket is watched for, or reporting callers again for a listener that
    /// rested.
    Rearm,
}

impl Need {
    /// All of them.
    pub const ALL: [Need; 6] =
        [Need::Accept, Need::Connect, Need::Recv, Need::Send, Need::Watch, Need::Rearm];

    /// What the manual page of the call names.
    fn errnos(self) -> &'static [Errno] {
        match self {
            Need::Accept | Need::Connect | Need::Send => &[Errno::NOBUFS, Errno::NOMEM],
            Need::Recv | Need::Rearm => &[Errno::NOMEM],
            Need::Watch => &[Errno::NOSPC, Errno::NOMEM],
        }
    }
}

/// The longest random shortage.
const SPAN_MAX: Duration = Duration::from_millis(20);

/// Until when memory is missing, for each need.
pub(super) type Shortage = [Now; Need::ALL.len()];

impl World {
    /// Memory for these needs is missing for a while.
    pub(super) fn lack_memory(&mut self, needs: &[Need], span: Duration) {
        for need in needs {
            self.shortage[*need as usize] = self.now + span;
        }
    }

    /// Whether memory is missing for a call, and what the kernel says.
    pub(super) fn lacks_memory(&mut self, need: Need) -> Option<Errno> {
        let begins = self.chance(|faults| faults.memory_short);
        // As often as not it is this one call.
        if begins && self.rng.below(2) == 0 {
            let span = Duration::from_nanos(self.rng.below(SPAN_MAX.as_nanos() as usize) as u64);
            let mut needs = vec![need];
            needs.extend(Need::ALL.into_iter().filter(|_| self.rng.below(2) == 0));
            self.lack_memory(&needs, span);
        }
        if !begins && self.shortage[need as usize] <= self.now {
            return None;
        }
        let errnos = need.errnos();
        Some(if errnos.len() == 1 { errnos[0] } else { errnos[self.rng.below(errnos.len())] })
    }
}
