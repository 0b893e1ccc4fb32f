//! The end of a server: no more callers, every session drains, a deadline for those that do not.

use crate::clock::Now;
use crate::close::CloseReason;
use crate::host::Host;
use crate::incident::Incident;
use crate::kernel::Kernel;

use super::Reactor;

/// Where a reactor is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// It takes callers.
    Running,
    /// It takes none, and its sessions have until this moment to end.
    Draining(Now),
    /// All that were left at that moment were cut off; what is left is work that handlers elsewhere
    /// have not given back.
    Ending,
}

impl Stage {
    /// When sessions that have not ended are cut off.
    #[inline]
    pub(super) fn deadline(self) -> Option<Now> {
        match self {
            Stage::Running | Stage::Ending => None,
            Stage::Draining(by) => Some(by),
        }
    }
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// The process was asked to end: the first time it drains, the second time it stops at once.
    pub(super) fn signalled(&mut self) {
        for _ in 0..self.kernel.signals_seen() {
            match self.stage {
                Stage::Running => self.drain(),
                Stage::Draining(_) | Stage::Ending => self.stop_now(),
            }
        }
    }

    /// Closes the listeners and begins to close every session.
    pub(super) fn drain(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        self.stage = Stage::Draining(self.now() + self.limits.drain_timeout);
        self.sessions.census().stop_dialling();
        self.listeners.close(&mut self.kernel, &mut self.sessions.stats);
        let sessions = self.sessions.len();
        self.report.tell(Incident::Draining { sessions }, self.now());
        for id in self.sessions.ids() {
            self.refuse(id, CloseReason::Stopped);
        }
    }

    /// Cuts off whoever is left.
    pub(super) fn stop_now(&mut self) {
        self.drain();
        for id in self.sessions.ids() {
            self.sessions.cut_off(id, CloseReason::Stopped);
        }
    }

    /// A drain ends at its deadline, whatever a session's own timers say.
    #[inline]
    pub(super) fn enforce_stop_deadline(&mut self) {
        if let Stage::Draining(by) = self.stage
            && self.now() >= by
        {
            for id in self.sessions.ids() {
                self.sessions.cut_off(id, CloseReason::DrainTimeout);
            }
            // Once is enough: nobody is accepted or dialled any more, and a deadline that has passed
            // would keep every turn from sleeping.
            self.stage = Stage::Ending;
        }
    }

    /// A handler may have asked for it, also before the first turn.
    #[inline]
    pub(super) fn hear_stop(&mut self) {
        if std::mem::take(&mut self.sessions.stop) {
            self.remote.stop();
        }
    }

    /// Whether there will be another turn.
    #[inline]
    pub(super) fn goes_on(&mut self) -> bool {
        self.hear_stop();
        let over = self.stage != Stage::Running && self.sessions.is_empty() && self.host.is_idle();
        if over {
            self.close_mailboxes();
        }
        !over
    }
}
