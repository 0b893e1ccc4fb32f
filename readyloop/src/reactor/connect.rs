//! Outbound sessions: dialled at the end of the turn in which a handler asked, open when the peer
//! has answered.

use crate::address::Route;
use crate::close::CloseReason;
use crate::context::Peer;
use crate::error::Errno;
use crate::host::Host;
use crate::id::{SessionId, Token};
use crate::kernel::{Interest, Kernel};

use crate::session::Session;

use super::Reactor;
use super::links::Link;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Begins every connect that was asked for in this turn.
    #[inline]
    pub(super) fn dial(&mut self) {
        if self.sessions.dials.is_empty() {
            return;
        }
        for (id, route) in std::mem::take(&mut self.sessions.dials) {
            let is_given_up = self.sessions.get(id).is_none_or(Session::is_dead);
            if !is_given_up && let Err(errno) = self.dial_one(id, &route) {
                self.sessions.kill(id, CloseReason::ConnectFailed(errno));
            }
            self.dialled.insert(id, route.to);
        }
    }

    fn dial_one(&mut self, id: SessionId, route: &Route) -> Result<(), Errno> {
        let socket = self.kernel.connect(route)?;
        let watched = self.kernel.watch(&socket, Token::session(id), Interest::WRITE);
        if let Some(session) = self.sessions.get_mut(id) {
            session.interest = Interest::WRITE;
        }
        self.links.put(id, Link::Bare(socket));
        watched
    }

    /// A dialled socket has news.
    #[cold]
    pub(super) fn answered(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        match self.kernel.connected(socket) {
            Ok(false) => {}
            Ok(true) => self.connected(id),
            Err(errno) => {
                self.sessions.kill(id, CloseReason::ConnectFailed(errno));
            }
        }
    }

    fn connected(&mut self, id: SessionId) {
        let now = self.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.connected(now);
        if self.edge {
            // Registered for everything, and never changed; as with those that were accepted.
            session.interest = Interest::READ;
        }
        // The connect deadline stands, and means nothing to an open session.
        self.sessions.opened(id);
        self.sessions.mark_dirty(id);
        let (Some(address), Link::Bare(socket)) = (self.dialled.remove(&id), self.links.take(id))
        else {
            return;
        };
        self.open(id, socket, Peer { address, listener: None });
        if self.edge {
            // The edge that told us of the answer may have told of bytes as well.
            self.sessions.still_ready.push(id);
        }
    }
}
