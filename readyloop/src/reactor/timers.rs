//! Due → fired. After intake, because a peer whose bytes have arrived is not idle.

use crate::close::CloseReason;
use crate::host::{Host, News};
use crate::id::SessionId;
use crate::kernel::Kernel;
use crate::session::{Holds, Phase, Session};
use crate::sessions::Timer;
use crate::wheel::TimerId;

use super::Reactor;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Fires at most `Limits::timers_per_turn` due timers.
    #[inline]
    pub(super) fn timers(&mut self) {
        self.enforce_stop_deadline();
        if self.listeners.next_due().is_some() {
            self.tend_listeners();
        }
        let now = self.now();
        self.host.check(now, &|incident| self.report.tell(incident, now));
        if self.report.next_due().is_some_and(|due| due <= now) {
            self.report.tell_due(now);
        }
        if !self.sessions.wheel.is_empty() {
            self.fire();
        }
    }

    fn fire(&mut self) {
        let now = self.now();
        for _ in 0..self.limits.timers_per_turn {
            let Some((timer, whose)) = self.sessions.wheel.expire(now) else { return };
            match whose {
                Timer::User(id) => self.user_timer(id, timer),
                Timer::Deadline(id) => self.deadline(id, timer),
                Timer::Memory(id) => self.retry(id, timer),
                Timer::Stall(id, outstanding) => self.stall_timer(id, timer, outstanding),
            }
        }
    }

    fn user_timer(&mut self, id: SessionId, timer: TimerId) {
        let alive = self.sessions.get(id).is_some_and(|session| !session.is_dead());
        if alive {
            self.sessions.stats.timers += 1;
            self.tell(id, News::Timer(self.sessions.named(timer)));
        }
        self.sessions.settle_timer(id, timer);
    }

    /// The engine's own timer of a session; its meaning is the session's phase.
    fn deadline(&mut self, id: SessionId, timer: TimerId) {
        let Some(session) = self.sessions.get(id) else { return };
        let closing = session.holds().has(Holds::CLOSING);
        match session.phase() {
            // Its handler elsewhere has not found the time to be told.
            Phase::Open | Phase::PeerFinished if closing => {
                self.sessions.cut_off(id, CloseReason::DrainTimeout);
            }
            Phase::Open => self.open_deadline(id),
            Phase::Connecting => self.connect_deadline(id),
            Phase::Draining | Phase::Lingering => {
                self.sessions.cut_off(id, CloseReason::DrainTimeout);
            }
            // A peer that has finished cannot show signs of life: when to end is the handler's
            // decision.
            Phase::PeerFinished | Phase::Dead => {}
        }
        self.sessions.settle_timer(id, timer);
    }

    /// Bytes only note their time; the timer moves itself when it finds that there were some. They may
    /// also have come and not been read yet, when the ready list is longer than a turn: so nobody is
    /// closed for its silence before it was read once more.
    fn open_deadline(&mut self, id: SessionId) {
        if self.sessions.open_due(id).is_some_and(|due| due <= self.now()) {
            if self.is_waited_for(id) {
                self.sessions.note_life(id);
            } else {
                self.read_on_safely(id);
            }
        }
        match self.sessions.open_due(id) {
            Some(due) if due > self.now() => self.sessions.set_deadline(id, due),
            Some(_) if self.sessions.get(id).is_some_and(Session::is_open) => {
                self.refuse(id, self.sessions.overdue(id));
            }
            _ => {}
        }
    }

    /// Whether the session's peer waits for a handler that runs elsewhere.
    fn is_waited_for(&mut self, id: SessionId) -> bool {
        self.links.open(id).is_some_and(|link| self.host.is_busy(&link.session))
    }

    /// A blocked session's peer must take some bytes now and then.
    #[cold]
    fn stall_timer(&mut self, id: SessionId, timer: TimerId, before: u32) {
        self.sessions.settle_timer(id, timer);
        let Some(socket) = self.links.socket(id) else { return };
        let outstanding = self.kernel.outstanding(socket);
        match self.sessions.is_stalled(id, before, outstanding) {
            Some(true) => {
                self.sessions.kill(id, CloseReason::WriteTimeout);
            }
            Some(false) => self.sessions.watch_for_stall(id, outstanding),
            None => {}
        }
    }
}
