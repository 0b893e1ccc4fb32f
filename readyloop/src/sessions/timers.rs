//! Every timer of a session: the engine's own, whose meaning is the session's state, and those that
//! its handler has set.

use std::time::Duration;

use crate::clock::Now;
use crate::close::CloseReason;
use crate::id::SessionId;
use crate::session::{Holds, Phase, Session};
use crate::slab::Key;
use crate::wheel::TimerId;

use super::{Sessions, Timer, key};

impl Sessions {
    /// When an open session must next be looked at, if ever. The peer's clocks stand still while it is
    /// not read, and while it is its turn to take bytes; they are looked at again when that is over.
    pub fn open_due(&mut self, id: SessionId) -> Option<Now> {
        let session = self.slab.get(key(id))?;
        if !session.holds().is_none() || session.is_blocked() {
            return None;
        }
        let idle = self.limits.idle_timeout.map(|span| session.active + span);
        let handshake = self.limits.handshake_timeout.filter(|_| !session.greeted);
        let handshake = handshake.zip(session.opened()).map(|(span, opened)| opened + span);
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

    /// Whether anybody asks when a peer was heard of last.
    #[inline]
    pub fn is_timed(&self) -> bool {
        self.timed
    }

    /// The peer of a session takes our bytes, or waits for us: it is not silent.
    pub fn note_life(&mut self, id: SessionId) {
        self.note_time(id, true, false);
    }

    /// The peer's clocks run again: sees to it that somebody looks at them.
    pub(super) fn resume_clocks(&mut self, id: SessionId) {
        if self.timed
            && self.get(id).is_some_and(Session::is_open)
            && let Some(due) = self.open_due(id)
        {
            self.set_deadline(id, due);
        }
    }

    /// A write was cut short, perhaps after some bytes. Whether from now on somebody must watch if the
    /// peer takes any.
    pub fn block(&mut self, id: SessionId, progress: bool) -> bool {
        let now = self.now;
        let Some(session) = self.get_mut(id) else { return false };
        session.block(now);
        session.progress |= progress;
        let is_watched = std::mem::replace(&mut session.stall_timer, true);
        self.limits.write_timeout.is_some() && !is_watched
    }

    /// The socket of a session is writable; whether that was awaited.
    pub fn unblock(&mut self, id: SessionId) -> bool {
        let now = self.now;
        let was_blocked = self.get_mut(id).is_some_and(|session| session.unblock(now));
        if was_blocked {
            self.resume_clocks(id);
            self.mark_dirty(id);
        }
        was_blocked
    }

    /// Looks after a blocked session in a while; its peer has not taken `outstanding` bytes now.
    pub fn watch_for_stall(&mut self, id: SessionId, outstanding: usize) {
        let Some(span) = self.limits.write_timeout else { return };
        let due = self.now + span;
        let Some(session) = self.slab.get_mut(key(id)) else { return };
        session.progress = false;
        let outstanding = u32::try_from(outstanding).unwrap_or(u32::MAX);
        self.wheel.set(&mut session.timers, due, Timer::Stall(id, outstanding));
    }

    /// Whether the peer of a session has taken too little since it was looked at last, when it had not
    /// taken `before` bytes; `None` when nothing waits for it any more.
    pub fn is_stalled(&mut self, id: SessionId, before: u32, outstanding: usize) -> Option<bool> {
        let session = self.slab.get_mut(key(id))?;
        let waits =
            session.is_blocked() && matches!(session.phase(), Phase::Open | Phase::PeerFinished);
        session.stall_timer = waits;
        let taken = (before as usize).saturating_sub(outstanding);
        // Without memory, it is not the peer who keeps us waiting.
        let excused = session.progress || session.holds().has(Holds::MEMORY);
        waits.then_some(!excused && taken < self.limits.write_bytes_min)
    }

    /// The kernel had no memory for a call of the session: it is neither read nor written until `due`.
    /// Whether that was not so already.
    pub fn wait_for_memory(&mut self, id: SessionId, due: impl FnOnce() -> Now) -> bool {
        let alive = self.slab.get_mut(key(id)).filter(|session| !session.is_dead());
        let Some(session) = alive.filter(|session| !session.holds().has(Holds::MEMORY)) else {
            return false;
        };
        self.wheel.set(&mut session.timers, due(), Timer::Memory(id));
        self.hold(id, Holds::MEMORY);
        true
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
        let timer = self.wheel.set(&mut session.timers, due, Timer::User(id));
        Some(self.named(timer))
    }

    /// A timer's name for handlers, by the wheel's name for it; and the other way about. Each reactor has
    /// names of its own, so that those of its sessions mean nothing to the sessions of another one.
    pub fn named(&self, timer: TimerId) -> TimerId {
        let Key { index, generation } = timer.key();
        TimerId::from_key(Key { index: index ^ u32::from(self.reactor) << 24, generation })
    }

    /// Moves a user's timer that belongs to `id`; `false` when it has fired or was cancelled.
    pub fn reset_timer(&mut self, id: SessionId, timer: TimerId, after: Duration) -> bool {
        let (due, timer) = (self.now + after, self.named(timer));
        self.wheel.value(timer) == Some(Timer::User(id)) && self.wheel.reset(timer, due)
    }

    /// Cancels a user's timer that belongs to `id`; `false` when it has fired or was cancelled.
    pub fn cancel_timer(&mut self, id: SessionId, timer: TimerId) -> bool {
        let timer = self.named(timer);
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
