//! Due → fired. After intake, because a peer whose bytes have arrived is not idle.

use crate::close::CloseReason;
use crate::host::{Host, News};
use crate::id::SessionId;
use crate::kernel::Kernel;
use crate::session::{Holds, State};
use crate::sessions::Timer;
use crate::wheel::TimerId;

use super::Reactor;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Fires at most `Limits::timers_per_turn` due timers.
    #[inline]
    pub(super) fn timers(&mut self) {
        self.enforce_stop_deadline();
        self.end_rests();
        self.host.check(self.sessions.now, &*self.report);
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
            }
        }
    }

    fn user_timer(&mut self, id: SessionId, timer: TimerId) {
        let alive = self.sessions.get(id).is_some_and(|session| !session.is_dead());
        if alive {
            self.sessions.stats.timers += 1;
            self.tell(id, News::Timer(timer));
        }
        self.sessions.settle_timer(id, timer);
    }

    /// The engine's own timer of a session; its meaning is the session's state.
    fn deadline(&mut self, id: SessionId, timer: TimerId) {
        let Some(session) = self.sessions.get(id) else { return };
        let (state, closing) = (session.state, session.holds.has(Holds::CLOSING));
        match state {
            // Its handler elsewhere has not found the time to be told.
            State::Open | State::PeerFinished if closing => {
                self.sessions.cut_off(id, CloseReason::DrainTimeout);
            }
            State::Open => self.open_deadline(id),
            State::Connecting => self.sessions.cut_off(id, CloseReason::ConnectTimeout),
            State::Draining { .. } | State::Lingering(_) => {
                self.sessions.cut_off(id, CloseReason::DrainTimeout);
            }
            // A peer that has finished cannot show signs of life: when to end is the handler's
            // decision.
            State::PeerFinished | State::Dead(_) => {}
        }
        self.sessions.settle_timer(id, timer);
    }

    /// Bytes only note their time; the timer moves itself when it finds that there were some.
    fn open_deadline(&mut self, id: SessionId) {
        let now = self.now();
        match self.sessions.open_due(id) {
            Some(due) if due > now => self.sessions.set_deadline(id, due),
            Some(_) => self.refuse(id, self.sessions.overdue(id)),
            None => {}
        }
    }
}
