//! What one session, or one thread, wants of another session; and why a session is not read.

use bytes::Bytes;

use crate::close::CloseReason;
use crate::command::Command;
use crate::id::SessionId;
use crate::outbox::{Posts, Taken};
use crate::session::Holds;

use super::{Sessions, key};

impl Sessions {
    /// Does something to a session of this or of another reactor, because the handler of `by`, or
    /// another thread (`SessionId::NONE`), wants it so. `false` if it reaches nobody; of other
    /// reactors' sessions it is known only that the order is on its way.
    pub fn order(&mut self, order: Command, by: SessionId) -> bool {
        match self.is_own(order.reactor()) {
            true => self.obey(order),
            false => self.send_out(order.reactor(), order, by),
        }
    }

    /// Whether the sessions of the reactor with this number are ours.
    pub(super) fn is_own(&self, reactor: u8) -> bool {
        reactor == self.reactor
    }

    /// Puts an order into an outbox.
    pub(super) fn send_out(&mut self, reactor: u8, order: Command, by: SessionId) -> bool {
        match self.outboxes.push(reactor as usize, order, by) {
            Taken::Now => true,
            Taken::Held => {
                self.hold(by, Holds::OUTBOX);
                true
            }
            Taken::No => {
                self.stats.mails_refused += 1;
                false
            }
        }
    }

    /// Does what was ordered of a session of this reactor; `false` if its end has begun.
    pub fn obey(&mut self, order: Command) -> bool {
        match order {
            Command::Send(id, bytes) => self.send_shared(self.names.slot(id), bytes),
            Command::Answer(id, bytes, count) => {
                self.answer_has_come(id, count);
                self.send_shared(id, bytes)
            }
            Command::AnswerBare(id, bytes) => {
                self.answer_has_come(id, bytes.len());
                self.send_bare(id, &bytes)
            }
            Command::Close(id, reason) => self.close(self.names.slot(id), reason),
            Command::Abort(id) => self.kill(self.names.slot(id), CloseReason::Aborted),
            Command::Join(id, group) => self.join(self.names.slot(id), &group),
            Command::JoinCounted(id, group) => {
                let joins = self.join(self.names.slot(id), &group);
                // Counted twice if it has joined, and once too often if it has not.
                group.left(self.reactor);
                joins
            }
            Command::Leave(id, group) => self.leave(self.names.slot(id), &group),
            Command::Broadcast(_, group, bytes) => self.deliver(&group, bytes),
            Command::Pause(id) => self.pause(self.names.slot(id)),
            Command::SetEnvelope(id, envelope) => self.set_envelope(self.names.slot(id), envelope),
            Command::Release(id) => self.release(id, Holds::GROUP),
        }
    }

    /// Sends a copy of `bytes` to any session, for the handler of `by`.
    pub fn send_to(&mut self, id: SessionId, bytes: &[u8], by: SessionId) -> bool {
        let id = self.slot(id);
        if id.reactor() == self.reactor {
            return self.send(id, bytes);
        }
        self.order(Command::Send(id, Bytes::copy_from_slice(bytes)), by)
    }

    /// From now on the session is not read, for this reason too.
    pub fn hold(&mut self, id: SessionId, hold: Holds) {
        let Some(session) = self.slab.get_mut(key(id)) else { return };
        if !session.hold(hold, self.now) {
            return;
        }
        self.mark_dirty(id);
    }

    /// This reason not to read the session is gone. If it was the last one, it is read again,
    /// beginning with what was kept, of which no event will tell.
    pub fn release(&mut self, id: SessionId, hold: Holds) -> bool {
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if !session.release(hold, self.now) {
            return false;
        }
        let reads = session.reads();
        // What a handler elsewhere has not handled yet goes on. Of the end of a full queue it is told.
        let was_pause = !hold.pauses().is_none() && hold != Holds::QUEUE;
        if reads || was_pause && session.holds().pauses().is_none() {
            self.still_ready.push(id);
        }
        if reads {
            self.resume_clocks(id);
        }
        self.mark_dirty(id);
        if hold == Holds::QUEUE {
            self.caught_up(id);
        }
        true
    }

    /// Whoever had to wait for room in inboxes is read again.
    pub fn let_go(&mut self, posts: &impl Posts) {
        for id in self.outboxes.take_let_go(posts) {
            self.release(id, Holds::OUTBOX);
        }
    }

    /// Whoever has filled an inbox through a `Remote` is not read before there is room; and whoever has sent
    /// to itself by one, not before its queue has fallen to the low mark, if that is too much.
    pub fn hold_askers(&mut self) {
        for (id, bytes) in self.outboxes.take_to_itself() {
            self.sends_following(id, bytes);
        }
        for id in self.outboxes.take_to_hold() {
            self.hold(id, Holds::OUTBOX);
        }
    }

    /// A handler elsewhere has filled a reactor's inbox on behalf of `id`.
    pub fn wait_for_room(&mut self, id: SessionId, reactor: u8) {
        self.outboxes.wait_for(reactor as usize, id);
        self.hold(id, Holds::OUTBOX);
    }
}
