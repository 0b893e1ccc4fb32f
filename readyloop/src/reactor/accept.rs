//! Callers: taken from a listener, or from the acceptor's hand, and introduced to their handler;
//! refused before a session exists where a limit says so.

use crate::close::CloseReason;
use crate::context::Peer;
use crate::host::Host;
use crate::id::{SessionId, Token};
use crate::kernel::{Farewell, Interest, Kernel};
use crate::recv::Remainder;
use crate::session::Phase;

use super::Reactor;
use super::links::{Link, Open};
use super::mail::Caller;
use super::stop::Stage;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Takes callers from a listener until it has none or the budget is spent.
    pub(super) fn accept(&mut self, number: usize) {
        let mut round = self.listeners.begin(number);
        loop {
            let stats = &mut self.sessions.stats;
            let next = self.listeners.next(&mut self.kernel, &mut round, stats);
            let Some((socket, address)) = next else { break };
            if self.sessions.admit(address.ip()) {
                self.receive(Caller { socket, address, listener: number });
            } else {
                self.kernel.close(socket, Farewell::Finish);
            }
        }
        let (now, stats) = (self.sessions.now, &mut self.sessions.stats);
        if let Some(incident) = self.listeners.conclude(&mut self.kernel, round, now, stats) {
            (self.report)(incident);
        }
    }

    /// Serves the listeners whose rest is over.
    pub(super) fn end_rests(&mut self) {
        if self.listeners.next_due().is_some_and(|due| due <= self.now()) {
            for number in self.listeners.take_rested(&mut self.kernel, self.sessions.now) {
                self.accept(number);
            }
        }
    }

    /// Makes a session of a caller that was let in.
    pub(super) fn receive(&mut self, caller: Caller<K::Socket>) {
        let Caller { socket, address, listener } = caller;
        if self.stage != Stage::Running {
            self.sessions.dismiss(address.ip());
            return self.kernel.close(socket, Farewell::Finish);
        }
        let id = self.sessions.insert(Phase::Open, address.ip());
        if let Err(errno) = self.kernel.watch(&socket, Token::session(id), Interest::READ) {
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
