//! Callers: taken from a listener, or from the acceptor's hand, and introduced to their handler;
//! refused before a session exists where a limit says so.

use crate::close::CloseReason;
use crate::context::Peer;
use crate::host::Host;
use crate::id::{SessionId, Token};
use crate::incident::Incident;
use crate::kernel::{Farewell, Interest, Kernel};
use crate::listeners::{Caller, Round};
use crate::recv::Remainder;
use crate::session::Phase;

use super::Reactor;
use super::links::{Link, Open};
use super::retry::may_pass;
use super::stop::Stage;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Takes callers from a listener until it has none or the budget is spent; behind those who
    /// wait.
    pub(super) fn accept(&mut self, number: usize) {
        self.admit_waiting();
        if let Some(round) = self.listeners.begin(number) {
            self.accept_round(round);
        }
    }

    fn accept_round(&mut self, mut round: Round) {
        loop {
            let stats = &mut self.sessions.stats;
            let Some(caller) = self.listeners.next(&mut self.kernel, &mut round, stats) else {
                break;
            };
            if self.sessions.admit(caller.counted_ip(&self.kernel)) {
                self.receive(caller);
            } else {
                let (now, stats) = (self.sessions.now, &mut self.sessions.stats);
                self.listeners.hold(&mut self.kernel, caller, now, stats);
            }
        }
        let (now, stats) = (self.sessions.now, &mut self.sessions.stats);
        if let Some(incident) = self.listeners.conclude(&mut self.kernel, round, now, stats) {
            self.report.tell(incident, now);
        }
    }

    /// Serves the listeners that have rested, and the callers who wait.
    #[cold]
    pub(super) fn tend_listeners(&mut self) {
        self.admit_waiting();
        let now = self.sessions.now;
        self.listeners.expire(&mut self.kernel, now, &mut self.sessions.stats);
        for round in self.listeners.take_rested(now) {
            self.accept_round(round);
        }
    }

    /// Lets those in who have waited, as far as there is room for them now.
    fn admit_waiting(&mut self) {
        if self.listeners.next_due().is_none() {
            return;
        }
        for waiting in self.listeners.retry() {
            if self.sessions.admit(waiting.caller.counted_ip(&self.kernel)) {
                self.receive(waiting.caller);
            } else {
                self.listeners.keep(waiting);
            }
        }
        self.listeners.settle();
    }

    /// Makes a session of a caller that was let in; or begins with its preamble, if it has one.
    pub(super) fn receive(&mut self, caller: Caller<K::Socket>) {
        if self.stage != Stage::Running {
            let ip = caller.counted_ip(&self.kernel);
            self.kernel.close(caller.socket, Farewell::Finish);
            return self.sessions.dismiss(ip);
        }
        if let Some(want) = self.kernel.preamble(&caller.socket) {
            return self.begin_preamble(caller, want);
        }
        let Caller { socket, address, listener } = caller;
        let id = self.sessions.insert(Phase::Open, address.ip());
        if let Err(errno) = self.kernel.watch(&socket, Token::session(id), Interest::READ) {
            if may_pass(errno) {
                self.report.tell(Incident::OutOfMemory { id, errno }, self.now());
            }
            return self.forget(id, socket, CloseReason::System(errno));
        }
        if let Some(session) = self.sessions.get_mut(id) {
            session.interest = Interest::READ;
        }
        self.open(id, socket, Peer { address, listener: Some(listener) });
    }

    /// Introduces a session to its handler.
    pub(super) fn open(&mut self, id: SessionId, socket: K::Socket, peer: Peer) {
        match self.guard(id, |host, sessions| host.open(sessions, id, peer)) {
            Some((framer, session)) => {
                let remainder = Remainder::default();
                self.links.put(id, Link::Open(Open { socket, remainder, framer, session }));
            }
            None => self.forget(id, socket, CloseReason::HandlerPanicked),
        }
    }

    /// Ends a session that no handler has met, and of which none will hear again.
    #[cold]
    fn forget(&mut self, id: SessionId, socket: K::Socket, reason: CloseReason) {
        self.sessions.kill(id, reason);
        self.links.put(id, Link::Bare(socket));
    }
}
