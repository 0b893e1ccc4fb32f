//! Kernel memory that runs out: what has failed for want of it is asked for again, a little later.
//!
//! A read, a write or a change of interest that fails so has done nothing, and may succeed a moment
//! later (recv(2), send(2), epoll_ctl(2)). That is not the end of an honest session. But no event
//! tells when memory is back: under edge there is none, and under level the one that led to the call
//! would come in every wait. So a session that is short of memory is neither read nor written, as if it
//! were held, and a timer lets it go on.
//!
//! Invariant: a session that is held for this reason has a timer that releases it.

use std::time::Duration;

use crate::clock::Now;
use crate::close::CloseReason;
use crate::error::Errno;
use crate::host::Host;
use crate::id::{SessionId, Token};
use crate::incident::Incident;
use crate::kernel::Kernel;
use crate::session::{Holds, Phase, Session};
use crate::wheel::TimerId;

use super::Reactor;

const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(256);

/// How long to wait before the next try: twice as long each time that a try has failed, for all
/// sessions together, as they are short of the same memory.
pub(super) struct Backoff {
    pause: Duration,
    /// When that was decided.
    since: Now,
}

impl Backoff {
    pub(super) fn new() -> Backoff {
        Backoff { pause: Duration::ZERO, since: Now::ZERO }
    }

    /// A call has failed at `now`: when to try again.
    fn failed(&mut self, now: Now) -> Now {
        // Within the pause: another session, short for the first time. Soon behind it: a try.
        if now >= self.since + self.pause {
            let is_again = now < self.since + 2 * self.pause + PAUSE_MIN;
            let doubled = if is_again { 2 * self.pause } else { PAUSE_MIN };
            self.pause = doubled.clamp(PAUSE_MIN, PAUSE_MAX);
            self.since = now;
        }
        now + self.pause
    }
}

/// Whether the same change of the interest list may succeed later.
pub(super) fn may_pass(errno: Errno) -> bool {
    matches!(errno, Errno::NOMEM | Errno::NOSPC)
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// The kernel had no memory for a call of this session.
    #[cold]
    pub(super) fn starved(&mut self, id: SessionId, errno: Errno) {
        let now = self.now();
        let phase = self.sessions.get(id).map(Session::phase);
        if phase == Some(Phase::Lingering) {
            // The peer's end would be reported in every wait, whatever the interest is.
            self.look_away(id);
        }
        if self.sessions.wait_for_memory(id, || self.backoff.failed(now)) {
            self.report.tell(Incident::OutOfMemory { id, errno }, now);
        }
    }

    /// Stops watching a session until there is memory; under edge nothing is reported in vain.
    fn look_away(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        if !self.edge && self.sessions.unwatch(id) {
            self.kernel.unwatch(socket);
        }
    }

    /// There may be memory again: all that could have failed for want of it is done once more.
    #[cold]
    pub(super) fn retry(&mut self, id: SessionId, timer: TimerId) {
        self.sessions.settle_timer(id, timer);
        self.sessions.release(id, Holds::MEMORY);
        self.sessions.unblock(id);
        let Some(session) = self.sessions.get(id) else { return };
        let (phase, unwatched) = (session.phase(), session.unwatched);
        if phase == Phase::Lingering {
            self.sessions.still_ready.push(id);
        }
        if unwatched {
            self.rearms.push(id);
        }
    }

    /// The interest of a session could not be changed. What it was may be too much, and would be
    /// reported in every wait: so the session is not watched until it can be.
    #[cold]
    pub(super) fn not_armed(&mut self, id: SessionId, errno: Errno) {
        if !may_pass(errno) {
            self.sessions.kill(id, CloseReason::System(errno));
            return;
        }
        self.look_away(id);
        self.starved(id, errno);
    }

    /// Watches a session again that was not watched for want of memory; one whose peer takes nothing
    /// any more stays so.
    #[cold]
    pub(super) fn watch_again(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        let wants = session.wants();
        session.interest = wants;
        if session.is_dead() || session.is_deaf() || session.holds().has(Holds::MEMORY) {
            return;
        }
        session.unwatched = false;
        if let Err(errno) = self.kernel.watch(socket, Token::session(id), wants) {
            session.unwatched = true;
            self.not_armed(id, errno);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Now {
        Now::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn each_try_that_fails_doubles_the_pause_and_a_time_without_one_forgets_it() {
        let mut backoff = Backoff::new();
        let mut now = at(10_000);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            let due = backoff.failed(now);
            pauses.push(due.since(now).as_millis());
            // Another one at the same moment is the same shortage.
            assert_eq!(backoff.failed(now), due);
            now = due;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]);
        let later = now + Duration::from_secs(2);
        assert_eq!(backoff.failed(later).since(later), PAUSE_MIN);
    }
}
