//! Sessions that we dial, and the names of those that a worker has dialled.

use std::time::Duration;

use crate::address::Route;
use crate::close::CloseReason;
use crate::id::SessionId;
use crate::session::Phase;

use super::Sessions;

impl Sessions {
    /// Makes room for an outbound session; the reactor dials at the end of the turn. `None` when the
    /// server is full, or stops.
    pub fn dial(&mut self, route: Route, timeout: Duration) -> Option<SessionId> {
        if self.census.is_stopping() || !self.census.enter(self.reactor, None) {
            return None;
        }
        Some(self.begin_dial(route, timeout))
    }

    /// Makes room for an outbound session that was counted and named by a worker.
    pub(super) fn dial_named(&mut self, name: SessionId, route: Route, timeout: Duration) -> bool {
        let id = self.begin_dial(route, timeout);
        self.names.give(name, id);
        // It was asked for before any reactor had heard of a stop.
        if self.drains {
            self.kill(id, CloseReason::Stopped);
        }
        !self.drains
    }

    fn begin_dial(&mut self, route: Route, timeout: Duration) -> SessionId {
        let id = self.insert(Phase::Connecting, None);
        let due = self.now + timeout;
        self.set_deadline(id, due);
        self.dials.push((id, route));
        id
    }

    /// The name by which handlers know a session.
    pub fn name(&self, id: SessionId) -> SessionId {
        self.names.name(id)
    }

    /// The session that handlers know by this name.
    pub fn slot(&self, name: SessionId) -> SessionId {
        self.names.slot(name)
    }

    /// Forgets a dial that was asked for and not begun; whether there was one.
    pub fn give_up_dial(&mut self, id: SessionId) -> bool {
        let before = self.dials.len();
        self.dials.retain(|(dialled, _)| *dialled != id);
        self.dials.len() < before
    }
}
