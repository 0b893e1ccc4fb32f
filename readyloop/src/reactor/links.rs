//! The receive side of every session, at the same index as its send side in `sessions`.

use crate::host::{Host, Seats};
use crate::id::SessionId;
use crate::kernel::Kernel;
use crate::recv::Remainder;

/// The table.
pub(super) struct Links<K: Kernel, H: Host>(Vec<Link<K, H>>);

/// What is at one index.
pub(super) enum Link<K: Kernel, H: Host> {
    /// Nobody.
    Vacant,
    /// A session that no handler has met: a dialled peer that has not answered, a caller whose preamble
    /// is not done, or one that could not be introduced.
    Bare(K::Socket),
    /// A session with all that belongs to it.
    Open(Open<K, H>),
}

/// The receive side of one session.
pub(super) struct Open<K: Kernel, H: Host> {
    pub(super) socket: K::Socket,
    pub(super) remainder: Remainder,
    pub(super) framer: H::Framer,
    pub(super) session: H::Session,
}

impl<K: Kernel, H: Host> Default for Links<K, H> {
    fn default() -> Links<K, H> {
        Links(Vec::new())
    }
}

impl<K: Kernel, H: Host> Links<K, H> {
    /// The session that a handler has met.
    #[inline]
    pub(super) fn open(&mut self, id: SessionId) -> Option<&mut Open<K, H>> {
        match self.0.get_mut(id.index()) {
            Some(Link::Open(open)) => Some(open),
            _ => None,
        }
    }

    /// The socket of any session.
    #[inline]
    pub(super) fn socket(&self, id: SessionId) -> Option<&K::Socket> {
        match self.0.get(id.index()) {
            Some(Link::Open(open)) => Some(&open.socket),
            Some(Link::Bare(socket)) => Some(socket),
            _ => None,
        }
    }

    pub(super) fn put(&mut self, id: SessionId, link: Link<K, H>) {
        if self.0.len() <= id.index() {
            self.0.resize_with(id.index() + 1, || Link::Vacant);
        }
        self.0[id.index()] = link;
    }

    pub(super) fn take(&mut self, id: SessionId) -> Link<K, H> {
        match self.0.get_mut(id.index()) {
            Some(link) => std::mem::replace(link, Link::Vacant),
            None => Link::Vacant,
        }
    }
}

impl<K: Kernel, H: Host> Seats<H::Framer, H::Session> for Links<K, H> {
    fn seat(&mut self, id: SessionId) -> Option<(&mut H::Framer, &mut H::Session)> {
        self.open(id).map(|open| (&mut open.framer, &mut open.session))
    }
}
