//! Who is let in: what the census of the whole server says about this reactor's callers.

use std::net::IpAddr;

use crate::id::SessionId;

use super::Sessions;

impl Sessions {
    /// Lets a caller from `ip` in, or says no because of a limit.
    pub fn admit(&mut self, ip: Option<IpAddr>) -> bool {
        self.census.enter(self.reactor, ip)
    }

    /// Who was let in is gone, and the socket is closed: whoever waits for that finds a descriptor.
    pub fn dismiss(&mut self, ip: Option<IpAddr>) {
        self.census.leave(self.reactor, ip);
    }

    /// Counts the address of a session that was let in before its address was known; or says no because
    /// of a limit.
    pub fn admit_address(&mut self, id: SessionId, ip: Option<IpAddr>) -> bool {
        let admitted = self.census.enter_address(ip);
        if admitted && let Some(origin) = self.origins.get_mut(id.index()) {
            *origin = ip;
        }
        admitted
    }
}
