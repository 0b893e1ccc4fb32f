//! What is asked of sessions, by their handlers, by other sessions, and by other threads; and why a session
//! is not read.

use std::ops::Range;

use bytes::Bytes;

use crate::buffer::CommandBuffer;
use crate::close::CloseReason;
use crate::command::Command;
use crate::id::SessionId;
use crate::outbox::{Posts, Taken};
use crate::page::Page;
use crate::session::Holds;

use super::{Sessions, key};

impl Sessions {
    /// Does something to a session of this or of another reactor, because the handler of `by`, or
    /// another thread (`SessionId::NONE`), wants it so. `false` if it reaches nobody; of other
    /// reactors' sessions it is known only that the command is on its way.
    pub fn route(&mut self, command: Command, by: SessionId) -> bool {
        match self.is_own(command.reactor()) {
            true => self.apply(command),
            false => self.send_out(command.reactor(), command, by),
        }
    }

    /// Whether the sessions of the reactor with this number are ours.
    pub(super) fn is_own(&self, reactor: u8) -> bool {
        reactor == self.reactor
    }

    /// Puts a command into an outbox.
    pub(super) fn send_out(&mut self, reactor: u8, command: Command, by: SessionId) -> bool {
        match self.outboxes.push(reactor as usize, command, by) {
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

    /// Does what was asked of a session of this reactor; `false` if its end has begun.
    pub fn apply(&mut self, command: Command) -> bool {
        match command {
            Command::Send(id, bytes) => self.send_shared(self.slot(id), bytes),
            Command::Answer(id, bytes, count) => {
                self.answer_has_come(id, count);
                self.send_shared(id, bytes)
            }
            Command::AnswerBare(id, bytes) => {
                let id = self.slot(id);
                self.answer_has_come(id, bytes.len());
                self.send_bare(id, &bytes)
            }
            Command::Close(id, reason) => self.close_behind_told(self.slot(id), reason),
            Command::Kill(id, reason) => self.kill(self.slot(id), reason),
            Command::Join(joining) => self.join(self.slot(joining.id()), joining.group()),
            Command::Leave(id, group) => self.leave(self.slot(id), &group),
            Command::Broadcast(_, group, bytes) => self.deliver(&group, bytes),
            Command::WaitForSlow(id, group) => self.wait_for_slow(&group, self.slot(id)),
            Command::Release(id) => self.release(id, Holds::GROUP),
            Command::Pause(id) => self.pause(self.slot(id)),
            Command::WaitForRoom(id, reactor) => self.wait_for_room(self.slot(id), reactor),
            Command::SetEncoding(id, encoding) => self.set_encoding(self.slot(id), encoding),
            Command::SetTimer(id, timer, after) => self.set_lane_timer(self.slot(id), timer, after),
            Command::CancelTimer(id, timer) => self.cancel_lane_timer(self.slot(id), timer),
            Command::Connect(name, route, timeout) => self.dial_named(name, *route, timeout),
            // The reactor does it: here is nobody to tell.
            Command::Tell(..) => false,
            Command::Stop(_) => {
                self.stop = true;
                true
            }
        }
    }

    /// Does what the handler of the session in slot `id`, known as `name`, has asked for, in order. Says
    /// why the session is not read, if its slot was not freed.
    #[inline(always)]
    pub fn apply_all(
        &mut self,
        id: SessionId,
        name: SessionId,
        buffer: &mut CommandBuffer,
    ) -> Option<Holds> {
        // By far the most usual: an answer, and nothing else.
        match buffer.page.only() {
            Some((to, bytes)) if to == name && buffer.rest.is_empty() => {
                self.send_from_elsewhere(id, bytes)
            }
            _ => self.apply_in_order(id, name, buffer),
        }
    }

    #[inline(never)]
    fn apply_in_order(
        &mut self,
        id: SessionId,
        name: SessionId,
        buffer: &mut CommandBuffer,
    ) -> Option<Holds> {
        self.stats.panics += std::mem::take(&mut buffer.panics);
        let mut sent = 0;
        for (behind, command) in std::mem::take(&mut buffer.rest) {
            self.send_entries(id, name, &buffer.page, sent..behind);
            sent = behind;
            match command {
                Command::Close(to, reason) if to == name => self.close(id, reason),
                other => self.apply(other),
            };
        }
        self.send_entries(id, name, &buffer.page, sent..buffer.page.len());
        Some(self.get(id)?.holds())
    }

    /// Closes a session for somebody else, behind what its handler was told before; `false` if its end has
    /// begun.
    fn close_behind_told(&mut self, id: SessionId, reason: CloseReason) -> bool {
        let waits = self.get(id).is_some_and(|session| session.told);
        if !waits && !self.answers_are_coming(id) {
            return self.close(id, reason);
        }
        let begins = self.begin_closing(id);
        // Also one that has begun to close behind its own answers, by its handler or by us, is closed when those
        // are here.
        if begins || self.answers_are_coming(id) {
            self.ends.entry(id).or_insert(reason);
        }
        begins
    }

    /// The handler of a session, elsewhere, is about to hear a message.
    pub fn note_told(&mut self, id: SessionId) {
        if let Some(session) = self.get_mut(id) {
            session.told = true;
        }
    }

    /// It has heard all of them, and what it has asked for then is done.
    pub fn has_heard(&mut self, id: SessionId) {
        if let Some(session) = self.get_mut(id) {
            session.told = false;
        }
        self.end_behind_told(id);
    }

    /// Closes a session for which that has waited.
    pub(super) fn end_behind_told(&mut self, id: SessionId) {
        if let Some(reason) = self.ends.remove(&id) {
            self.close(id, reason);
        }
    }

    /// Sends what is in these entries of a page.
    fn send_entries(&mut self, id: SessionId, name: SessionId, page: &Page, entries: Range<usize>) {
        for nth in entries {
            let (to, range) = page.entry(nth);
            match to == name {
                true => self.send_answer_from_elsewhere(id, page.bytes(range)),
                false => self.send_to(to, page.bytes(range), id),
            };
        }
    }

    /// Sends a copy of `bytes` to any session, for the handler of `by`.
    pub fn send_to(&mut self, id: SessionId, bytes: &[u8], by: SessionId) -> bool {
        if self.is_own(id.reactor()) {
            return self.send(self.slot(id), bytes);
        }
        self.route(Command::Send(id, Bytes::copy_from_slice(bytes)), by)
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
    fn wait_for_room(&mut self, id: SessionId, reactor: u8) -> bool {
        self.outboxes.wait_for(reactor as usize, id);
        self.hold(id, Holds::OUTBOX);
        true
    }
}
