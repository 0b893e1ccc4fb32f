//! What a handler may ask for while it runs.
//!
//! Every wish is recorded as data: bytes go to a queue, an end becomes a state, a timer goes to the
//! wheel. The reactor acts on it later in the turn, so no call here re-enters a handler or makes a
//! system call, and a handler may answer while it still borrows its frame.

use std::time::Duration;

use bytes::Bytes;

use crate::address::Address;
use crate::clock::Now;
use crate::close::CloseReason;
use crate::framers::LengthPrefixed;
use crate::id::SessionId;
use crate::order::Order;
use crate::session::Holds;
use crate::sessions::Sessions;
use crate::wheel::TimerId;

/// The handler's side of the reactor: the session that is being served, and the way to the others.
pub struct Context<'a> {
    sessions: &'a mut Sessions,
    id: SessionId,
}

/// Where a session comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The other side's address.
    pub address: Address,
    /// The number of the listener that it called, in the order of `Builder::listen`; `None` for a
    /// session that we dialled.
    pub listener: Option<usize>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(sessions: &'a mut Sessions, id: SessionId) -> Context<'a> {
        Context { sessions, id }
    }

    /// The session that is being served. In `on_start` and `Remote::run` there is none, and the id
    /// is [`SessionId::NONE`].
    #[inline]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The time of this turn. It stands still while handlers run.
    #[inline]
    pub fn now(&self) -> Now {
        self.sessions.now
    }

    /// Queues a copy of `bytes` for the peer; everything that was queued in a turn leaves in one
    /// write at its end.
    ///
    /// `false`, and nothing is queued, when the session is closing, or when the queue passed
    /// `Limits::send_max_bytes`: that ends the session with [`CloseReason::SendFull`].
    #[inline]
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.sessions.send(self.id, bytes)
    }

    /// Sends a copy of `frame` behind the length that `framer` would read there: in less time than
    /// two sends, and never half of it.
    ///
    /// `false`, and nothing is queued, also when the prefix cannot spell the frame's length.
    #[inline]
    pub fn send_framed(&mut self, framer: &LengthPrefixed, frame: &[u8]) -> bool {
        let Some(prefix) = framer.encode(frame.len()) else { return false };
        let (padded, width) = prefix.padded();
        self.sessions.send_prefixed(self.id, padded, width, frame)
    }

    /// Like [`Context::send`], without a copy: the queue holds on to the shared bytes.
    pub fn send_shared(&mut self, bytes: Bytes) -> bool {
        self.sessions.send_shared(self.id, bytes)
    }

    /// Queues a copy of `bytes` for another session; `false` if it is closing or gone.
    ///
    /// Of a session of another reactor it is known only that the bytes are on their way: one mail
    /// for each reactor at the end of the turn. If that reactor is far behind, this session is not
    /// read until it has caught up; and if `Limits::mailbox_mails_max` orders were given to it since
    /// then, by whomever, this is `false`.
    pub fn send_to(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.sessions.send_to(id, bytes, self.id)
    }

    /// Like [`Context::send_to`], without a copy: send the same `Bytes` to many and they are stored
    /// once.
    pub fn send_shared_to(&mut self, id: SessionId, bytes: Bytes) -> bool {
        self.sessions.order(Order::Send(id, bytes), self.id)
    }

    /// How many bytes wait to be sent to this session's peer.
    pub fn queued_bytes(&self) -> usize {
        self.sessions.unsent_bytes(self.id)
    }

    /// Whether the send queue passed the high mark and has not fallen to the low mark since. A
    /// handler that produces on its own should stop then, and go on in `on_drained`.
    pub fn is_paused(&self) -> bool {
        self.sessions.get(self.id).is_some_and(|session| session.holds.has(Holds::QUEUE))
    }

    /// Closes this session after its queue has left; no more frames are delivered.
    pub fn close(&mut self) {
        self.sessions.close(self.id, CloseReason::Closed);
    }

    /// Cuts this session off at the end of the turn; what is queued is dropped, and the peer is
    /// told so by a reset.
    pub fn abort(&mut self) {
        self.sessions.kill(self.id, CloseReason::Aborted);
    }

    /// Like [`Context::close`] for another session; `false` if its end has begun. Of a session of
    /// another reactor it is known only that the order is on its way.
    pub fn close_session(&mut self, id: SessionId) -> bool {
        self.sessions.order(Order::Close(id), self.id)
    }

    /// Like [`Context::abort`] for another session; `false` if it is over. Of a session of another
    /// reactor it is known only that the order is on its way.
    pub fn abort_session(&mut self, id: SessionId) -> bool {
        self.sessions.order(Order::Abort(id), self.id)
    }

    /// How many sessions the server has, on all of its reactors.
    pub fn session_count(&self) -> usize {
        self.sessions.census().len()
    }

    /// Starts a timer of this session: `on_timer` is called once, not before `after` has passed,
    /// with the id that is returned. It ends with the session.
    ///
    /// `None` outside of a session, and after its end: there would be nobody to tell.
    pub fn set_timer(&mut self, after: Duration) -> Option<TimerId> {
        self.sessions.set_timer(self.id, after)
    }

    /// Starts a timer of this session anew, also from within its own `on_timer`; `false` if it has
    /// fired before or was cancelled.
    pub fn reset_timer(&mut self, timer: TimerId, after: Duration) -> bool {
        self.sessions.reset_timer(self.id, timer, after)
    }

    /// Cancels a timer of this session; `false` if it has fired or was cancelled.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        self.sessions.cancel_timer(self.id, timer)
    }

    /// Dials `to`. The id is valid at once, and what is sent to it leaves when the peer has
    /// answered (`on_open`); if it does not answer within `timeout`, or says no,
    /// `on_connect_failed` is called.
    ///
    /// `None` when `Limits::sessions_max` sessions are open.
    pub fn connect(&mut self, to: &Address, timeout: Duration) -> Option<SessionId> {
        self.sessions.dial(to.clone(), timeout)
    }

    /// Stops the server as `Remote::stop` does: no more callers, all sessions drain, then `run`
    /// returns.
    pub fn stop(&mut self) {
        self.sessions.stop = true;
    }
}
