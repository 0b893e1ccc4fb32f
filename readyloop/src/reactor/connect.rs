//! Sessions that are not open yet: those that were dialled, and are open when the peer has answered;
//! and those that were accepted with a preamble to run (a TLS handshake, the header of a proxy), which
//! no handler hears of before that is done.
//!
//! What a preamble is only the kernel knows; here it is asked how far it has come.

use crate::address::{Address, Route};
use crate::close::CloseReason;
use crate::context::Peer;
use crate::error::Errno;
use crate::host::Host;
use crate::id::{SessionId, Token};
use crate::incident::Incident;
use crate::kernel::{Connect, Interest, Kernel};
use crate::listeners::Caller;
use crate::session::{Phase, Session};

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
            self.connecting.insert(id, Peer { address: route.to, listener: None });
        }
    }

    fn dial_one(&mut self, id: SessionId, route: &Route) -> Result<(), Errno> {
        // As callers: nobody is dialled with the descriptor in reserve.
        self.kernel.regain_reserve()?;
        let socket = self.kernel.connect(route)?;
        let socket = self.kernel.keep_beside_reserve(socket)?;
        self.watch_connecting(id, socket, Interest::WRITE)
    }

    /// Begins with the preamble of a caller that was let in, on the thread that will own its session. It
    /// has a place among all sessions from now on, so those that never finish are bounded too; by address
    /// it is counted when that is known.
    #[cold]
    pub(super) fn begin_preamble(&mut self, caller: Caller<K::Socket>, want: Interest) {
        let Caller { socket, address, listener } = caller;
        let id = self.sessions.insert(Phase::Connecting, None);
        self.sessions.stats.preambles += 1;
        self.connecting.insert(id, Peer { address, listener: Some(listener) });
        match self.watch_connecting(id, socket, want) {
            Ok(()) => {
                let due = self.now() + self.limits.preamble_timeout;
                self.sessions.set_deadline(id, due);
            }
            Err(errno) => {
                self.sessions.kill(id, CloseReason::System(errno));
            }
        }
    }

    fn watch_connecting(
        &mut self,
        id: SessionId,
        socket: K::Socket,
        want: Interest,
    ) -> Result<(), Errno> {
        let watched = self.kernel.watch(&socket, Token::session(id), want);
        if let Some(session) = self.sessions.get_mut(id) {
            session.interest = want;
        }
        self.links.put(id, Link::Bare(socket));
        watched
    }

    /// A socket that is not connected yet has news.
    #[cold]
    pub(super) fn answered(&mut self, id: SessionId) {
        if self.sessions.get(id).is_none_or(|session| session.unwatched) {
            // News from before its watch was lost for want of memory: it is asked when it is watched again.
            return;
        }
        let Some(socket) = self.links.socket(id) else { return };
        let reason = match self.kernel.connected(socket) {
            Connect::Pending(want) => return self.watch_for(id, want),
            Connect::Done(told) => return self.connected(id, told),
            Connect::Finished => CloseReason::PeerFinished,
            Connect::Failed(errno) if self.is_dialled(id) => CloseReason::ConnectFailed(errno),
            Connect::Failed(errno) => CloseReason::from_io(errno),
            Connect::Refused(why) => CloseReason::Malformed(why),
        };
        self.sessions.kill(id, reason);
    }

    fn is_dialled(&self, id: SessionId) -> bool {
        self.connecting.get(&id).is_none_or(|peer| peer.listener.is_none())
    }

    /// Not connected yet; told to the poller at once, because no flush will look at this session.
    fn watch_for(&mut self, id: SessionId, want: Interest) {
        let Some(socket) = self.links.socket(id) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if self.edge || session.interest == want {
            return;
        }
        session.interest = want;
        self.sessions.stats.rearms += 1;
        if let Err(errno) = self.kernel.rearm(socket, Token::session(id), want) {
            self.not_armed(id, errno);
        }
    }

    fn connected(&mut self, id: SessionId, told: Option<Address>) {
        let Some(mut peer) = self.connecting.remove(&id) else { return };
        let Link::Bare(socket) = self.links.take(id) else { return };
        peer.address = told.unwrap_or(peer.address);
        if let Some(listener) = peer.listener
            && !self.sessions.admit_address(id, peer.address.ip())
        {
            return self.hold_back(id, Caller { socket, address: peer.address, listener });
        }
        let now = self.now();
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.connected(now);
        // It is for callers to speak first.
        session.greeted |= peer.listener.is_none();
        if self.edge {
            // Registered for everything, and never changed; as with those that were accepted.
            session.interest = Interest::READ;
        }
        // The deadline so far stands, and means nothing to an open session.
        self.sessions.opened(id);
        self.sessions.mark_dirty(id);
        self.open(id, socket, peer);
        self.tell_kept(id);
        if self.edge {
            // The edge that told us of the answer may have told of bytes as well.
            self.sessions.still_ready.push(id);
        }
    }

    /// Its address has as many sessions as it may have: it waits for one to end, as any caller over a
    /// limit does, and gives up its place meanwhile.
    #[cold]
    fn hold_back(&mut self, id: SessionId, caller: Caller<K::Socket>) {
        if self.sessions.unwatch(id) {
            self.kernel.unwatch(&caller.socket);
        }
        self.sessions.remove(id);
        self.drop_kept(id);
        let (now, stats) = (self.sessions.now, &mut self.sessions.stats);
        self.listeners.hold(&mut self.kernel, caller, now, stats);
    }

    /// The time is over for a connect or a preamble. What came for a preamble may lie there unread, when
    /// the ready list is longer than a turn; so it is asked once more.
    #[cold]
    pub(super) fn connect_deadline(&mut self, id: SessionId) {
        if self.is_dialled(id) {
            return self.sessions.cut_off(id, CloseReason::ConnectTimeout);
        }
        self.answered(id);
        if self.sessions.get(id).is_some_and(|session| session.phase() == Phase::Connecting) {
            self.sessions.kill(id, CloseReason::HandshakeTimeout);
        }
    }

    /// A caller did not become a session. Peers that have only left are not worth a report.
    #[cold]
    pub(super) fn preamble_failed(&mut self, address: Address, reason: CloseReason) {
        self.sessions.stats.preambles_failed += 1;
        let left = [CloseReason::PeerFinished, CloseReason::PeerReset, CloseReason::Stopped];
        if !left.contains(&reason) {
            self.report.tell(Incident::PreambleFailed { address, reason }, self.now());
        }
    }
}
