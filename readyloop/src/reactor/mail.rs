//! What other threads send to a reactor, and what the reactor does with it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::context::Context;
use crate::host::Host;
use crate::id::SessionId;
use crate::kernel::{Farewell, Kernel};
use crate::mailbox::{Bell, Mailbox, Refused};
use crate::order::{Load, MAIL_BYTES, Order, Orders};

use super::Reactor;

/// One mail of any thread.
pub enum Letter {
    /// Do something to one session.
    Order(Order),
    /// Do all of this.
    Orders(Orders),
    /// Run something on the reactor's thread.
    Run(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    /// Stop: no more callers, drain all sessions, end.
    Stop,
    /// Stop without draining.
    StopNow,
}

impl Letter {
    /// What it takes of the mailbox's bounds until it is handled.
    pub(super) fn load(&self) -> Load {
        match self {
            Letter::Order(order) => order.load(),
            Letter::Orders(orders) => orders.load(),
            Letter::Run(work) => Load { mails: 1, bytes: MAIL_BYTES + size_of_val(&**work) },
            Letter::Stop | Letter::StopNow => Load::default(),
        }
    }
}

/// A mailbox, with the mails that were taken from it and not handled yet.
pub(super) struct Inbox<M> {
    mailbox: Arc<Mailbox<M>>,
    taken: VecDeque<M>,
    /// How many of them, from the first one on, must be handled in this turn.
    urgent: usize,
}

impl<M> Inbox<M> {
    pub(super) fn new(mailbox: Arc<Mailbox<M>>) -> Inbox<M> {
        Inbox { mailbox, taken: VecDeque::new(), urgent: 0 }
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
        self.taken.pop_front()
    }

    /// Puts back what was begun.
    pub(super) fn put_back(&mut self, mail: M) {
        self.taken.push_front(mail);
    }

    /// Refuses all mail from now on, and says what has not been handled.
    pub(super) fn close(&mut self) -> VecDeque<M> {
        let mut left = std::mem::take(&mut self.taken);
        left.append(&mut self.mailbox.close());
        left
    }
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Handles what other threads have sent, in portions.
    #[inline]
    pub(super) fn mail(&mut self) {
        let rung = self.letters.bell().wake_up();
        if rung {
            self.host.announce();
        }
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
        self.host.come_home(&mut self.sessions, &mut self.links);
        if rung {
            // Letters first out of their box, so that no caller is left in the other one who came
            // before a letter that stops us.
            self.letters.take();
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
        while (left > 0 || self.letters.is_urgent())
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
    }

    /// Opens one letter; `false` if more is in it than is `left` of the turn's budget, and it goes on
    /// in the next turn, because nothing behind it is urgent.
    fn open_letter(&mut self, letter: Letter, left: &mut usize) -> bool {
        match letter {
            Letter::Order(order) => self.obey(order),
            Letter::Orders(mut orders) => {
                while let Some(order) = orders.pop() {
                    self.obey(order);
                    *left = left.saturating_sub(1);
                    if *left == 0 && !orders.is_empty() && !self.letters.is_urgent() {
                        self.letters.put_back(Letter::Orders(orders));
                        return false;
                    }
                }
                return true;
            }
            Letter::Run(work) => {
                self.sessions.stats.mails += 1;
                self.guard(SessionId::NONE, |_, sessions| {
                    work(&mut Context::here(sessions, SessionId::NONE));
                });
            }
            Letter::Stop => {
                self.receive_all();
                self.drain();
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

    fn obey(&mut self, order: Order) {
        self.sessions.stats.mails += 1;
        let reached = self.sessions.obey(order);
        self.sessions.stats.mails_stale += u64::from(!reached);
    }

    /// Posts what handlers have ordered of the sessions of other reactors.
    #[inline]
    pub(super) fn post(&mut self) {
        if self.sessions.abroad.is_empty() {
            return;
        }
        let (remote, bell) = (&self.remote, &self.remote.letters(self.number).bell().clone());
        self.sessions.post(|reactor, orders| {
            let load = orders.load();
            match remote.letters(reactor).post_or_wait(Letter::Orders(orders), load, bell) {
                Err((Letter::Orders(orders), Refused::Full)) => Err(orders),
                // Of a reactor that has ended, all sessions are dead.
                _ => Ok(()),
            }
        });
    }

    /// Closes all mailboxes; callers that were handed over too late are hung up on.
    pub(super) fn close_mailboxes(&mut self) {
        self.letters.close();
        for caller in self.callers.close() {
            self.sessions.dismiss(caller.address.ip());
            self.kernel.close(caller.socket, Farewell::Finish);
        }
    }
}
