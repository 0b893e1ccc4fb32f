//! What other threads send to a reactor, and what the reactor does with it.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::address::Address;
use crate::context::Context;
use crate::host::Host;
use crate::id::SessionId;
use crate::kernel::{Farewell, Kernel};
use crate::mailbox::{Bell, Mailbox, Refused};
use crate::order::Order;

use super::Reactor;

/// One mail of any thread.
pub enum Letter {
    /// Do something to one session.
    Order(Order),
    /// Do all of this.
    Orders(Vec<Order>),
    /// Run something on the reactor's thread.
    Run(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    /// Stop: no more callers, drain all sessions, end.
    Stop,
    /// Stop without draining.
    StopNow,
}

/// A caller that was accepted and let in, on its way to the reactor that will own it.
pub struct Caller<S> {
    /// The connection.
    pub socket: S,
    /// Who calls.
    pub address: Address,
    /// The number of the listener that was called.
    pub listener: usize,
}

/// A mailbox, with the mails that were taken from it and not handled yet.
pub(super) struct Inbox<M> {
    mailbox: Arc<Mailbox<M>>,
    taken: VecDeque<M>,
    /// The bell has rung since the mailbox was looked into. While older mails wait, it is not.
    announced: bool,
}

impl<M> Inbox<M> {
    pub(super) fn new(mailbox: Arc<Mailbox<M>>) -> Inbox<M> {
        Inbox { mailbox, taken: VecDeque::new(), announced: false }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.taken.is_empty() && !self.announced
    }

    #[inline]
    pub(super) fn bell(&self) -> &Bell {
        self.mailbox.bell()
    }

    /// The bell has rung: there may be something.
    pub(super) fn announce(&mut self) {
        self.announced = true;
    }

    /// Takes what has come, if nothing is left of what came before: so the mailbox's bound holds.
    pub(super) fn take(&mut self) {
        if self.announced && self.taken.is_empty() {
            self.announced = false;
            self.mailbox.take(&mut self.taken);
        }
    }

    pub(super) fn pop(&mut self) -> Option<M> {
        self.taken.pop_front()
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
        if self.letters.bell().wake_up() {
            self.letters.announce();
            self.callers.announce();
            self.host.announce();
        }
        if self.has_mail() {
            self.open_mails();
        }
    }

    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        !self.letters.is_empty() || !self.callers.is_empty() || self.host.has_work()
    }

    /// Callers first: they came before the letter that says that there will be no more.
    fn open_mails(&mut self) {
        self.host.come_home(&mut self.sessions, &mut self.links);
        // Letters first out of their box, so that no caller is left in the other one who came
        // before a letter that stops us.
        self.letters.take();
        self.callers.take();
        for _ in 0..self.limits.accepts_per_turn {
            let Some(caller) = self.callers.pop() else { break };
            self.receive(caller);
        }
        if !self.callers.is_empty() {
            return;
        }
        for _ in 0..self.limits.mails_per_turn {
            let Some(letter) = self.letters.pop() else { return };
            self.open_letter(letter);
        }
    }

    fn open_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Order(order) => self.obey(order),
            Letter::Orders(orders) => orders.into_iter().for_each(|order| self.obey(order)),
            Letter::Run(work) => {
                self.sessions.stats.mails += 1;
                self.guard(SessionId::NONE, |_, sessions| {
                    work(&mut Context::here(sessions, SessionId::NONE));
                });
            }
            Letter::Stop => self.drain(),
            Letter::StopNow => self.stop_now(),
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
            match remote.letters(reactor).post_or_wait(Letter::Orders(orders), bell) {
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
