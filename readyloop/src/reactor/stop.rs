//! The end of a server: no more callers, every session drains, a deadline for those that do not. And
//! the end of a reactor whose poller has failed: every session ends at once, and hears why.

use crate::clock::Now;
use crate::close::CloseReason;
use crate::error::{Errno, Error, Result};
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
    /// Its poller can no longer work: nothing is read or written any more.
    Failed(Errno),
}

impl Stage {
    /// When sessions that have not ended are cut off.
    #[inline]
    pub(super) fn deadline(self) -> Option<Now> {
        match self {
            Stage::Running | Stage::Ending | Stage::Failed(_) => None,
            Stage::Draining(by) => Some(by),
        }
    }
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// The process was asked to end: the first time it drains, the second time it stops at once.
    pub(super) fn signalled(&mut self) {
        for _ in 0..self.kernel.signals_seen() {
            match self.stage {
                Stage::Running if !self.stop_is_heard => self.stop_is_heard = true,
                _ => self.stop_now(),
            }
        }
    }

    /// A stop that this turn has heard of comes behind what the wait before it has found: what had arrived
    /// then is still handled.
    #[inline]
    pub(super) fn obey_stop(&mut self) {
        if std::mem::take(&mut self.stop_is_heard) {
            self.drain();
        }
    }

    /// Closes the listeners and begins to close every session.
    pub(super) fn drain(&mut self) {
        if self.stage != Stage::Running {
            return;
        }
        self.stage = Stage::Draining(self.now() + self.limits.drain_timeout);
        self.stop_dialling();
        self.listeners.close(&mut self.kernel, &mut self.sessions.stats);
        let sessions = self.sessions.len();
        self.report.tell(Incident::Draining { sessions }, self.now());
        for id in self.sessions.ids() {
            self.refuse(id, CloseReason::Stopped);
        }
    }

    fn stop_dialling(&mut self) {
        self.sessions.drains = true;
        self.sessions.census().stop_dialling();
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

    /// The poller has failed: no more callers, no more mail, and no session lives on.
    #[cold]
    pub(super) fn fail(&mut self, errno: Errno) {
        self.stop_dialling();
        self.listeners.close(&mut self.kernel, &mut self.sessions.stats);
        self.close_mailboxes();
        self.stage = Stage::Failed(errno);
        self.end_all(errno);
    }

    fn end_all(&mut self, errno: Errno) {
        for id in self.sessions.ids() {
            self.sessions.cut_off(id, CloseReason::System(errno));
        }
        self.reap();
    }

    /// A turn without a poller. Handlers are told the end of every session; workers may still have
    /// to be waited for, which takes more of these.
    ///
    /// # Errors
    /// Why the poller has failed, when nobody is left.
    #[cold]
    pub(super) fn turn_to_fail(&mut self, errno: Errno) -> Result<bool> {
        self.clock();
        self.host.take_home();
        let (sessions, links) = (&mut self.sessions, &mut self.links);
        // No letter comes before any of them any more.
        self.host.come_home(sessions, links, u64::MAX, &mut usize::MAX.clone());
        self.end_all(errno);
        self.depart();
        self.post();
        match self.sessions.is_empty() && self.host.is_idle() {
            true => Err(Error::system("waiting for events", errno)),
            false => Ok(true),
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
