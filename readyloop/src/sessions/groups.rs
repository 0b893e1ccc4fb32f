//! Sending to many at once, and what it does to the slow ones.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::close::CloseReason;
use crate::command::Command;
use crate::group::{Group, SlowMember};
use crate::id::SessionId;
use crate::session::{Holds, Session};

use super::encoded::Copies;
use super::{Sessions, key};

impl Sessions {
    /// Adds a session of this reactor to a group; `false` if it is in there already, or gone.
    pub fn join(&mut self, id: SessionId, group: &Group) -> bool {
        let Some(session) = self.get(id).filter(|session| session.accepts()) else { return false };
        let is_slow = session.holds().has(Holds::QUEUE);
        let joins = self.members.join(id, group);
        if joins && is_slow {
            group.slowed_down();
        }
        joins
    }

    /// Takes a session of this reactor out of a group; `false` if it is not in there.
    pub fn leave(&mut self, id: SessionId, group: &Group) -> bool {
        // Members are known by their slots, and somebody else may be in there by now.
        let leaves = self.get(id).is_some() && self.members.leave(id, group);
        if leaves && self.is_paused(id) {
            self.let_go_of(group);
        }
        leaves
    }

    /// The session is about to end.
    pub(super) fn leave_all(&mut self, id: SessionId) {
        let was_slow = self.is_paused(id);
        for group in self.members.leave_all(id) {
            if was_slow {
                self.let_go_of(&group);
            }
        }
    }

    /// Sends to all members of a group, wherever they live: one mail for each reactor that has any.
    pub fn broadcast(&mut self, group: &Group, bytes: &Bytes, by: SessionId) {
        for reactor in (0..self.reactors).map(|reactor| reactor as u8) {
            if group.is_on(reactor) {
                let one = Command::Broadcast(reactor, group.clone(), bytes.clone());
                let _counted_if_refused = self.ask(one, by);
            }
        }
        self.wait_for_slow(group, by);
    }

    /// The sender is held if slow members must catch up first; `false` if it is over.
    pub(super) fn wait_for_slow(&mut self, group: &Group, by: SessionId) -> bool {
        let is_here = self.get(by).is_some();
        if is_here && group.wait(by) {
            self.hold(by, Holds::GROUP);
        }
        is_here
    }

    /// Sends to the members on this reactor. Most of them have nothing else to be sent: the message
    /// lies on the page once for all of them.
    pub(super) fn deliver(&mut self, group: &Group, bytes: Bytes) -> bool {
        self.settle_writer();
        let walk = self.members.walk(group);
        let mut copies = Copies::new(bytes);
        for id in &walk {
            let Some(session) = self.slab.get_mut(key(*id)).filter(|session| session.accepts())
            else {
                continue;
            };
            if session.holds().has(Holds::QUEUE)
                && !self.is_for_slow(*id, group, copies.message.len())
            {
                continue;
            }
            self.stats.deliveries += 1;
            let Some(session) = self.slab.get_mut(key(*id)) else { continue };
            if session.is_stateful() {
                self.send_encoded(*id, [&copies.message, &[]]);
                continue;
            }
            let copy = match copies.behind(session.header(), &mut self.page) {
                Ok(copy) => copy,
                Err(panic) => {
                    self.encoder_panicked(*id, panic);
                    continue;
                }
            };
            let is_short = (1..=self.limits.send_high_bytes).contains(&copy.bytes.len());
            let lies_on_page = if !is_short {
                false
            } else if session.may_write_on_page(self.unflushed) {
                self.page.writer().disturb_if(!session.reads());
                session.entry = self.page.enter_shared(*id, copy.number);
                true
            } else {
                session.queue.is_empty() && self.page.extend_shared(session.entry, copy.number)
            };
            if !lies_on_page {
                let bytes = copy.bytes.clone();
                self.queue_shared(*id, bytes);
            }
        }
        let somebody = !walk.is_empty();
        self.members.walked(walk);
        somebody
    }

    /// Whether a member that stands over the high mark gets a message of so many bytes; if not, what follows.
    /// Who was not written to since is not slow: what many say in one turn is over the mark of the fastest.
    fn is_for_slow(&mut self, id: SessionId, group: &Group, bytes: usize) -> bool {
        let is_tried = self.get(id).is_some_and(Session::is_blocked);
        let unsent = self.unsent_bytes(id) + self.form(id).encoded_bytes_max(bytes);
        if !is_tried && unsent <= self.limits.send_max_bytes {
            return true;
        }
        match group.slow_member() {
            SlowMember::PauseSender => return true,
            SlowMember::DropMessage => self.stats.deliveries_dropped += 1,
            SlowMember::CloseMember => {
                self.kill(id, CloseReason::TooSlow);
            }
        }
        false
    }

    /// The session stands over the high mark from now on.
    #[cold]
    pub(super) fn slowed_down(&mut self, id: SessionId) {
        self.stats.pauses += 1;
        self.members.pausing(id).iter().for_each(Group::slowed_down);
    }

    /// It does so no longer.
    pub(super) fn caught_up(&mut self, id: SessionId) {
        let mut senders = BTreeSet::new();
        self.members.pausing(id).iter().for_each(|group| senders.append(&mut group.caught_up()));
        self.release_all(senders);
    }

    /// A slow member has caught up, or is none any more: if it was the last one, senders are read
    /// again.
    fn let_go_of(&mut self, group: &Group) {
        self.release_all(group.caught_up());
    }

    fn release_all(&mut self, senders: BTreeSet<SessionId>) {
        for sender in senders {
            self.route(Command::Release(sender), SessionId::NONE);
        }
    }
}
