//! Dead → closed, told, forgotten. At the end of the turn, so that an event or a send in the same
//! turn finds a dead session and never its successor.

use crate::close::CloseReason;
use crate::context::Peer;
use crate::host::Host;
use crate::id::SessionId;
use crate::kernel::{Farewell, Kernel};
use crate::session::Session;

use super::Reactor;
use super::links::Link;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Reaps whoever died in this turn. Whoever dies meanwhile, in an `on_close`, is reaped in the
    /// next one.
    #[inline]
    pub(super) fn reap(&mut self) {
        if !self.sessions.dead.is_empty() {
            self.reap_all();
        }
    }

    #[inline(never)]
    fn reap_all(&mut self) {
        for id in std::mem::take(&mut self.sessions.dead) {
            self.reap_one(id);
        }
        for (id, panic) in self.sessions.take_encoder_panics() {
            self.tell_panic(id, panic);
        }
    }

    fn reap_one(&mut self, id: SessionId) {
        let name = self.sessions.name(id);
        let Some((mut session, ip)) = self.sessions.remove(id) else { return };
        let Some(reason) = session.reason() else { return };
        self.sessions.stats.closed[reason.kind()] += 1;
        let farewell = farewell(&session, reason);
        session.queue.clear(&mut self.sessions.stock);
        match self.links.take(id) {
            Link::Open(mut link) => {
                link.remainder.clear(&mut self.sessions.stock.pool);
                self.kernel.close(link.socket, farewell);
                self.sessions.dismiss(ip);
                let state = link.session;
                self.guard(id, |host, sessions| host.close(sessions, name, state, reason));
                return;
            }
            Link::Bare(socket) => self.kernel.close(socket, farewell),
            Link::Vacant => {}
        }
        self.drop_kept(id);
        self.sessions.dismiss(ip);
        match self.connecting.remove(&id) {
            Some(Peer { address, listener: Some(_) }) => self.preamble_failed(address, reason),
            None if !self.sessions.give_up_dial(id) => {}
            _ => {
                self.guard(id, |host, sessions| host.connect_failed(sessions, name, reason));
            }
        }
    }
}

/// A stream that lost bytes ends in a reset, never in what looks like a whole stream's end: also one
/// whose bytes were refused before they were queued.
fn farewell(session: &Session, reason: CloseReason) -> Farewell {
    match reason {
        _ if session.has_unsent() => Farewell::Reset,
        CloseReason::SendFull | CloseReason::TooSlow => Farewell::Reset,
        // Something was still to be said: by its handler, or by what is on its way to it.
        CloseReason::DrainTimeout => Farewell::Reset,
        CloseReason::Aborted | CloseReason::HandlerPanicked => Farewell::Reset,
        CloseReason::System(_) => Farewell::Reset,
        _ => Farewell::Finish,
    }
}
