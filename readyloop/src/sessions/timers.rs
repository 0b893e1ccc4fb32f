//! Every timer of a session: the engine's own, whose meaning is the session's state, and those that
//! its handler has set.

use std::time::Duration;

use crate::clock::Now;
use crate::close::CloseReason;
use crate::id::SessionId;
use crate::wheel::TimerId;

use super::{Sessions, Timer, key};

impl Sessions {
    /// When an open session must next be looked at, if ever.
    pub fn open_due(&mut self, id: SessionId) -> Option<Now> {
        let session = self.slab.get(key(id))?;
        let idle = self.limits.idle_timeout.map(|span| session.active + span);
        let handshake = self.limits.handshake_timeout.filter(|_| !session.greeted);
        let handshake = handshake.map(|span| session.opened + span);
        idle.into_iter().chain(handshake).min()
    }

    /// Why an open session whose [`Sessions::open_due`] has passed must be closed.
    pub fn overdue(&self, id: SessionId) -> CloseReason {
        let idle = self.limits.idle_timeout.zip(self.get(id));
        match idle {
            Some((span, session)) if session.active + span <= self.now => CloseReason::IdleTimeout,
            _ => CloseReason::HandshakeTimeout,
        }
    }

    /// Sets, or moves, the engine's own timer of a session.
    pub fn set_deadline(&mut self, id: SessionId, due: Now) {
        let Some(session) = self.slab.get_mut(key(id)) else { return };
        match session.deadline {
            Some(timer) if self.wheel.reset(timer, due) => {}
            _ => {
                let timer = self.wheel.set(&mut session.timers, due, Timer::Deadline(id));
                session.deadline = Some(timer);
            }
        }
    }

    /// Sets a user's timer; `None` when the session is over or there is none.
    pub fn set_timer(&mut self, id: SessionId, after: Duration) -> Option<TimerId> {
        let due = self.now + after;
        let session = self.slab.get_mut(key(id)).filter(|session| !session.is_dead())?;
        Some(self.wheel.set(&mut session.timers, due, Timer::User(id)))
    }

    /// Moves a user's timer that belongs to `id`; `false` when it has fired or was cancelled.
    pub fn reset_timer(&mut self, id: SessionId, timer: TimerId, after: Duration) -> bool {
        let due = self.now + after;
        self.wheel.value(timer) == Some(Timer::User(id)) && self.wheel.reset(timer, due)
    }

    /// Cancels a user's timer that belongs to `id`; `false` when it has fired or was cancelled.
    pub fn cancel_timer(&mut self, id: SessionId, timer: TimerId) -> bool {
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        self.wheel.value(timer) == Some(Timer::User(id))
            && self.wheel.cancel(&mut session.timers, timer)
    }

    /// After a timer's callback: forgets it, unless it was set again meanwhile.
    pub fn settle_timer(&mut self, id: SessionId, timer: TimerId) {
        if let Some(session) = self.slab.get_mut(key(id)) {
            self.wheel.settle(&mut session.timers, timer);
        }
    }
}
