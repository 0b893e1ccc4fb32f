//! What other threads send to a reactor, and what the reactor does with it.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::asker::{Asker, Inboxes};
use crate::command::{Command, Commands};
use crate::context::Context;
use crate::host::Host;
use crate::id::SessionId;
use crate::kernel::{Farewell, Kernel};
use crate::letter::Letter;
use crate::load::Load;
use crate::mailbox::{Bell, Mailbox, Refused};
use crate::outbox::{Outboxes, Posts};

use super::Reactor;

/// A mailbox, with the mails that were taken from it and not handled yet.
pub(super) struct Inbox<M> {
    mailbox: Arc<Mailbox<M>>,
    taken: VecDeque<M>,
    /// How many of them, from the first one on, must be handled in this turn.
    urgent: usize,
    /// How many mails were taken out, ever.
    opened: u64,
}

impl<M> Inbox<M> {
    pub(super) fn new(mailbox: Arc<Mailbox<M>>) -> Inbox<M> {
        Inbox { mailbox, taken: VecDeque::new(), urgent: 0, opened: 0 }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    #[inline]
    pub(super) fn bell(&self) -> &Bell {
        self.mailbox.bell()
    }

    /// Takes what has come, behind what is left of what came before.
    pub(super) fn take(&mut self) {
        let urgent = self.mailbox.take(&mut self.taken);
        self.urgent = self.urgent.max(urgent);
    }

    fn is_urgent(&self) -> bool {
        self.urgent > 0
    }

    /// Mails that weighed so much are done with. Says how many were refused since the last time.
    fn handled(&self, load: Load) -> u64 {
        self.mailbox.handled(load)
    }

    pub(super) fn pop(&mut self) -> Option<M> {
        self.urgent = self.urgent.saturating_sub(1);
        self.opened += u64::from(!self.taken.is_empty());
        self.taken.pop_front()
    }

    /// Puts back what was begun.
    pub(super) fn put_back(&mut self, mail: M) {
        self.opened -= 1;
        self.taken.push_front(mail);
    }

    /// Refuses all mail from now on, and says what has not been handled.
    pub(super) fn close(&mut self) -> VecDeque<M> {
        let mut left = std::mem::take(&mut self.taken);
        left.append(&mut self.mailbox.close());
        left
    }
}

/// A reactor, as its callbacks and their `Remote`s have it in common.
pub(super) struct Posting {
    inboxes: Inboxes,
    number: usize,
    outboxes: Rc<Outboxes>,
}

impl Posting {
    pub(super) fn new(inboxes: Inboxes, number: usize, outboxes: Rc<Outboxes>) -> Posting {
        Posting { inboxes, number, outboxes }
    }

    /// What a callback sends to its own session counts as an answer: whose, and how many bytes.
    fn as_answer(&self, letter: Letter) -> (Letter, Option<(SessionId, usize)>) {
        match letter {
            Letter::Command(Command::Send(id, bytes)) if self.outboxes.serves(id) => {
                let count = bytes.len();
                (Letter::Command(Command::Answer(id, bytes, count)), Some((id, count)))
            }
            other => (other, None),
        }
    }

    /// Posts all, and sees to it that the reactor hears when it has caught up with itself.
    fn post_all(&self) {
        self.outboxes.post(None, self);
        if let Some(word) = self.outboxes.asks() {
            let _ended = self.inboxes[self.number].post_always(Letter::CaughtUp(word));
        }
    }
}

impl Posts for Posting {
    fn post(&self, reactor: usize, commands: Commands) -> bool {
        let load = commands.load();
        // Of a reactor that has ended, all sessions are dead.
        self.inboxes[reactor].post_beyond(Letter::Commands(commands), load).unwrap_or(true)
    }

    fn has_room(&self, reactor: usize) -> bool {
        self.inboxes[reactor].has_room(self.inboxes[self.number].bell())
    }
}

impl Asker for Posting {
    fn post_so_far(&self, inboxes: &Inboxes, reactor: usize) {
        if Arc::ptr_eq(inboxes, &self.inboxes) {
            self.outboxes.post(Some(reactor), self);
        }
    }

    fn post(&self, inboxes: &Inboxes, reactor: usize, letter: Letter) -> Result<(), Refused> {
        let inbox = &inboxes[reactor];
        if !Arc::ptr_eq(inboxes, &self.inboxes) {
            let load = letter.load();
            return inbox.post(letter, load).map_err(|(_, refused)| refused);
        }
        self.outboxes.post(Some(reactor), self);
        let own = reactor == self.number;
        let (letter, answer) = if own { self.as_answer(letter) } else { (letter, None) };
        let load = letter.load();
        if self.outboxes.admits(reactor, load) {
            let has_room = inbox.post_beyond(letter, load).map_err(|_| Refused::Stopped)?;
            if !has_room {
                self.outboxes.is_full(reactor, load);
            }
        } else {
            inbox.post(letter, load).map_err(|(_, refused)| refused)?;
        }
        if own {
            self.outboxes.follow();
            self.outboxes.sends(answer);
        }
        Ok(())
    }
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Handles what other threads have sent, in portions.
    #[inline]
    pub(super) fn mail(&mut self) {
        let rung = self.letters.bell().wake_up();
        if rung || self.has_mail() {
            self.open_mails(rung);
        }
    }

    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        !self.letters.is_empty() || !self.callers.is_empty() || self.host.has_work()
    }

    /// Each class has its own budget, so that none waits for another one.
    fn open_mails(&mut self, rung: bool) {
        if rung {
            // Letters first out of their box, so that no caller is left in the other one who came
            // before a letter that stops us.
            self.letters.take();
            // Behind the letters: so whatever was given back before one of them is here.
            self.host.take_home();
            if self.remote.has_acceptor() {
                self.callers.take();
            }
        }
        for _ in 0..self.limits.accepts_per_turn {
            let Some(caller) = self.callers.pop() else { break };
            self.receive(caller);
        }
        self.open_letters();
    }

    /// Opens letters until the turn's budget of mails is spent, and none of them is urgent: a stop is
    /// heard at once, but behind all that was asked before it. That is no more than a mailbox holds.
    fn open_letters(&mut self) {
        let (mut left, mut handled) = (self.limits.mails_per_turn, Load::default());
        // As many as may have to leave for the events of one turn.
        let mut lanes_left = self.limits.events_per_wait;
        while self.come_home(&mut lanes_left)
            && (left > 0 || self.letters.is_urgent())
            && let Some(letter) = self.letters.pop()
        {
            let load = letter.load();
            if !self.open_letter(letter, &mut left) {
                break;
            }
            handled += load;
        }
        if handled != Load::default() {
            self.sessions.stats.mails_refused += self.letters.handled(handled);
        }
        self.host.set_out(self.sessions.now);
    }

    /// Lanes that came before the next letter; `false` if some of them must wait for another turn.
    #[inline(always)]
    fn come_home(&mut self, left: &mut usize) -> bool {
        if self.letters.is_urgent() {
            *left = usize::MAX;
        }
        self.host.come_home(&mut self.sessions, &mut self.links, self.letters.opened, left)
    }

    /// Opens one letter; `false` if more is in it than is `left` of the turn's budget, and it goes on
    /// in the next turn, because nothing behind it is urgent.
    fn open_letter(&mut self, letter: Letter, left: &mut usize) -> bool {
        match letter {
            Letter::Buffer(name, mut buffer) => {
                let id = self.sessions.slot(name);
                self.sessions.apply_all(id, name, &mut buffer);
            }
            Letter::CaughtUp(word) => self.sessions.caught_up_with_inbox(word),
            Letter::Command(command) => self.apply(command),
            Letter::Commands(mut commands) => {
                while let Some(command) = commands.pop() {
                    self.apply(command);
                    *left = left.saturating_sub(1);
                    if *left == 0 && !commands.is_empty() && !self.letters.is_urgent() {
                        self.letters.put_back(Letter::Commands(commands));
                        return false;
                    }
                }
                return true;
            }
            Letter::Run(work) => {
                self.sessions.stats.mails += 1;
                let outboxes = self.sessions.outboxes.clone();
                outboxes.in_front(|| {
                    self.guard(SessionId::NONE, |_, sessions| {
                        work(&mut Context::here(sessions, SessionId::NONE));
                    });
                });
            }
            Letter::Stop => {
                self.receive_all();
                self.stop_is_heard = true;
            }
            Letter::StopNow => {
                self.receive_all();
                self.stop_now();
            }
        }
        *left = left.saturating_sub(1);
        true
    }

    /// Whoever was let in before a stop is told of it.
    fn receive_all(&mut self) {
        while let Some(caller) = self.callers.pop() {
            self.receive(caller);
        }
    }

    fn apply(&mut self, command: Command) {
        self.sessions.stats.mails += 1;
        let reached = match command {
            Command::Tell(name, message) => self.tell_message(name, message),
            other => self.sessions.apply(other),
        };
        self.sessions.stats.mails_stale += u64::from(!reached);
    }

    /// Posts what handlers have ordered of the sessions of other reactors.
    #[inline]
    pub(super) fn post(&mut self) {
        if !self.sessions.outboxes.is_empty() {
            // Before the reactor sends itself the word for which they wait.
            self.sessions.hold_askers();
            self.posting.post_all();
            self.sessions.let_go(&*self.posting);
        }
    }

    /// Closes all mailboxes; callers that were handed over too late are hung up on.
    pub(super) fn close_mailboxes(&mut self) {
        for letter in self.letters.close() {
            // What it carries may be the user's, and does what it likes when it is dropped.
            self.guard(SessionId::NONE, |_, _| drop(letter));
        }
        for caller in self.callers.close() {
            let ip = caller.counted_ip(&self.kernel);
            self.kernel.close(caller.socket, Farewell::Finish);
            self.sessions.dismiss(ip);
        }
    }
}
