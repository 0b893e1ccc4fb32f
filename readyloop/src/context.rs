//! What a handler may ask for while it runs.
//!
//! Every command is recorded as data: bytes go to a queue, an end becomes a state, a timer goes to the
//! wheel. The reactor acts on it later in the turn, so no call here re-enters a handler or makes a
//! system call, and a handler may answer while it still borrows its frame.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::address::{Address, Route};
use crate::clock::Now;
use crate::close::CloseReason;
use crate::command::Command;
use crate::encoder::Encoding;
#[cfg(doc)]
use crate::encoder::{Encoder, Header};
use crate::framers::{LengthPrefixed, Spell};
use crate::group::Group;
#[cfg(doc)]
use crate::group::SlowMember;
use crate::id::SessionId;
use crate::record::Record;
use crate::sessions::Sessions;
use crate::wheel::TimerId;

/// The handler's side of the reactor: the session that is being served, and the way to the others.
pub struct Context<'a> {
    side: Side<'a>,
    id: SessionId,
}

/// Where commands go.
enum Side<'a> {
    /// On the reactor's thread: into its tables.
    Here(&'a mut Sessions),
    /// On a worker's thread: onto a list that the reactor will be given.
    Worker(&'a Record),
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
    #[inline(always)]
    pub(crate) fn here(sessions: &'a mut Sessions, id: SessionId) -> Context<'a> {
        Context { side: Side::Here(sessions), id }
    }

    pub(crate) fn worker(record: &'a Record, id: SessionId) -> Context<'a> {
        Context { side: Side::Worker(record), id }
    }

    /// The session that is being served. In `on_start` and `Remote::run_on` there is none, and the
    /// id is [`SessionId::NONE`].
    #[inline]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The time of this turn; on a worker, of the turn in which the frame was handed over. It
    /// stands still while handlers run.
    #[inline]
    pub fn now(&self) -> Now {
        match &self.side {
            Side::Here(sessions) => sessions.now,
            Side::Worker(record) => record.now(),
        }
    }

    /// Queues a copy of `bytes` for the peer; everything that was queued in a turn leaves in one
    /// write at its end.
    ///
    /// `false`, and nothing is queued, when the session is closing, or when the queue passed
    /// `Limits::send_max_bytes`: that ends the session with [`CloseReason::SendFull`]. A worker knows
    /// what waited when its frames were handed over, and what was sent since.
    #[inline(always)]
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.side {
            Side::Here(sessions) => sessions.answer(self.id, bytes),
            Side::Worker(record) => record.answer(bytes),
        }
    }

    /// Sends a copy of `frame` behind the length that `framer` would read there: in less time than
    /// two sends, and never half of it.
    ///
    /// `false`, and nothing is queued, also when the prefix cannot spell the frame's length.
    #[inline(always)]
    pub fn send_framed<S: Spell>(&mut self, framer: &LengthPrefixed<S>, frame: &[u8]) -> bool {
        let Some(prefix) = framer.encode(frame.len()) else { return false };
        let (padded, width) = prefix.padded();
        match &mut self.side {
            Side::Here(sessions) => sessions.answer_prefixed(self.id, padded, width, frame),
            Side::Worker(record) => record.answer_prefixed(padded, width, frame),
        }
    }

    /// Like [`Context::send`], without a copy: the queue holds on to the shared bytes.
    pub fn send_shared(&mut self, bytes: Bytes) -> bool {
        match &mut self.side {
            Side::Here(sessions) if sessions.follows() => sessions.send_following(self.id, bytes),
            Side::Here(sessions) => sessions.send_shared(self.id, bytes),
            Side::Worker(record) => record.answer_shared(bytes),
        }
    }

    /// Queues a copy of `bytes` for another session; nothing happens if it is closing or gone, and
    /// nobody knows that here: it may belong to another thread.
    ///
    /// To a session of another reactor they go by mail, one for each reactor at the end of the turn. If
    /// that reactor's mailbox is full, this session is not read until half of it is handled; and what it
    /// goes on asking meanwhile, from its timers, is dropped beyond `Limits::mailbox_mails_max` commands, or
    /// `Limits::mailbox_bytes_max` bytes, and counted (`Stats::mails_refused`).
    pub fn send_to(&mut self, id: SessionId, bytes: &[u8]) {
        match &mut self.side {
            Side::Here(sessions) if sessions.follows() => {
                sessions.ask(Command::Send(id, Bytes::copy_from_slice(bytes)), self.id);
            }
            Side::Here(sessions) => {
                sessions.send_to(id, bytes, self.id);
            }
            Side::Worker(record) => {
                record.send(id, bytes);
            }
        }
    }

    /// Like [`Context::send_to`], without a copy: send the same `Bytes` to many and they are stored
    /// once.
    pub fn send_shared_to(&mut self, id: SessionId, bytes: Bytes) {
        match &mut self.side {
            Side::Worker(record) if id == self.id => {
                record.answer_shared(bytes);
            }
            _ => self.ask(Command::Send(id, bytes)),
        }
    }

    /// Encodes all that is sent to this session from now on, by whomever: with a head for each message
    /// ([`Header`]), by an object with state ([`Encoder`]), or not any more. A layer's way to give every
    /// message a frame of its own, or to encrypt it, between the handler that it wraps and the peer. Each
    /// send, and each broadcast, is one message. What was sent before, also in this callback, is not
    /// touched.
    ///
    /// `false`, and nothing has changed, if the session is closing.
    pub fn set_encoding(&mut self, encoding: Encoding) -> bool {
        match &mut self.side {
            Side::Here(sessions) if sessions.follows() => {
                sessions.set_encoding_following(self.id, encoding)
            }
            Side::Here(sessions) => sessions.set_encoding(self.id, encoding),
            Side::Worker(record) => record.set_encoding(encoding),
        }
    }

    /// Like [`Context::send`], past this session's encoding: these bytes leave as they are, in their place
    /// among the messages. An [`Encoder`] does not see them and its state does not change; so a peer that
    /// decrypts or inflates must know where they lie, or lose track of what follows.
    pub fn send_bare(&mut self, bytes: &[u8]) -> bool {
        match &mut self.side {
            Side::Here(sessions) if sessions.follows() => {
                sessions.send_bare_following(self.id, Bytes::copy_from_slice(bytes))
            }
            Side::Here(sessions) => sessions.send_bare(self.id, bytes),
            Side::Worker(record) => record.answer_bare(bytes),
        }
    }

    /// How many bytes wait to be sent to this session's peer. On a worker: those that waited when
    /// its frames were handed over, and those that were sent since.
    pub fn queued_bytes(&self) -> usize {
        match &self.side {
            Side::Here(sessions) => sessions.unsent_bytes_following(self.id),
            Side::Worker(record) => record.queued_bytes(),
        }
    }

    /// Whether the send queue passed the high mark and has not fallen to the low mark since. A
    /// handler that produces on its own should stop then, and go on in `on_drained`. On a worker:
    /// whether that was so when its frames were handed over.
    pub fn is_paused(&self) -> bool {
        match &self.side {
            Side::Here(sessions) => sessions.is_paused_following(self.id),
            Side::Worker(record) => record.is_paused(),
        }
    }

    /// Whether this session is not read for now, nor are its frames handled: its queue stands over the high
    /// mark, it waits for room in a reactor's mailbox or for slow members of a group, or the kernel is short
    /// of memory. What its peer sends meanwhile nobody has looked at: so who measures the peer's silence
    /// begins anew when this is `true` (the engine's own timeouts do so by themselves). On a worker: whether
    /// that was so when its frames, or a timer, were handed over.
    pub fn is_held(&self) -> bool {
        match &self.side {
            Side::Here(sessions) => sessions.is_held(self.id),
            Side::Worker(record) => record.is_held(),
        }
    }

    /// Stops reading this session until its send queue has fallen to the low mark, as if it had
    /// stood over the high mark; then `on_drained` is called, also when there was nothing to send.
    /// So a handler that has much to send does it piece by piece: send one, call this, return, and
    /// send the next in `on_drained`; what the peer has asked meanwhile waits its turn.
    ///
    /// `false` if the session is closing.
    pub fn pause_until_drained(&mut self) -> bool {
        match &mut self.side {
            Side::Here(sessions) if sessions.follows() => sessions.pause_following(self.id),
            Side::Here(sessions) => sessions.pause(self.id),
            Side::Worker(record) => record.pause(),
        }
    }

    /// Closes this session after its queue has left; no more frames are delivered.
    pub fn close(&mut self) {
        match &mut self.side {
            Side::Here(sessions) => sessions.finish(self.id, CloseReason::Closed),
            Side::Worker(record) => {
                record.end(Command::Close(self.id, CloseReason::Closed));
            }
        }
    }

    /// Cuts this session off at the end of the turn; what is queued is dropped, and the peer is
    /// told so by a reset.
    pub fn abort(&mut self) {
        match &mut self.side {
            Side::Here(sessions) => {
                sessions.apply(Command::Kill(self.id, CloseReason::Aborted));
            }
            Side::Worker(record) => record.end(Command::Kill(self.id, CloseReason::Aborted)),
        }
    }

    /// Like [`Context::close`] for another session, if its end has not begun.
    pub fn close_session(&mut self, id: SessionId) {
        match id == self.id {
            true => self.close(),
            false => self.ask(Command::Close(id, CloseReason::Closed)),
        }
    }

    /// Like [`Context::abort`] for another session, if it is not over.
    pub fn abort_session(&mut self, id: SessionId) {
        match id == self.id {
            true => self.abort(),
            false => self.ask(Command::Kill(id, CloseReason::Aborted)),
        }
    }

    /// Adds this session to a group, unless it is in there already, or closing; it leaves when it ends.
    pub fn join(&mut self, group: &Group) {
        self.ask(Command::join(self.id, group));
    }

    /// Takes this session out of a group, if it is in there.
    pub fn leave(&mut self, group: &Group) {
        self.ask(Command::Leave(self.id, group.clone()));
    }

    /// Sends `bytes` to every member of a group, on all reactors, this session included if it is
    /// one: stored once, one mail for each reactor. Members whose send queue stands over the high
    /// mark fare as the group says ([`SlowMember`]). If a reactor with members has a full mailbox,
    /// this session waits, as in [`Context::send_to`].
    pub fn broadcast(&mut self, group: &Group, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        match &mut self.side {
            Side::Here(sessions) => sessions.broadcast(group, &bytes, self.id),
            Side::Worker(record) => record.broadcast(group, bytes),
        }
    }

    /// How many sessions the server has, on all of its reactors.
    pub fn session_count(&self) -> usize {
        match &self.side {
            Side::Here(sessions) => sessions.census().len(),
            Side::Worker(record) => record.census().len(),
        }
    }

    /// Starts a timer of this session: `on_timer` is called once, not before `after` has passed,
    /// with the id that is returned. It ends with the session.
    ///
    /// `None` outside of a session, and after its end: there would be nobody to tell.
    pub fn set_timer(&mut self, after: Duration) -> Option<TimerId> {
        match &mut self.side {
            Side::Here(sessions) => sessions.set_timer(self.id, after),
            Side::Worker(record) => record.set_timer(after),
        }
    }

    /// Starts a timer of this session anew, also from within its own `on_timer`; `false` if it has
    /// fired before or was cancelled, or is another session's.
    pub fn reset_timer(&mut self, timer: TimerId, after: Duration) -> bool {
        match &mut self.side {
            Side::Here(sessions) => sessions.reset_timer(self.id, timer, after),
            Side::Worker(record) => record.reset_timer(timer, after),
        }
    }

    /// Cancels a timer of this session; `false` if it has fired or was cancelled, or is
    /// another session's.
    pub fn cancel_timer(&mut self, timer: TimerId) -> bool {
        match &mut self.side {
            Side::Here(sessions) => sessions.cancel_timer(self.id, timer),
            Side::Worker(record) => record.cancel_timer(timer),
        }
    }

    /// Dials `to`. The id is valid at once, and what is sent to it leaves when the peer has
    /// answered (`on_open`); if it does not answer within `timeout`, or says no,
    /// `on_connect_failed` is called.
    ///
    /// On workers that may be while the callback that dials still runs, on another thread: what is to know
    /// the id before `on_open` is told is guarded by a lock that is held across this call.
    ///
    /// `None` when `Limits::sessions_max` sessions are open, or the server stops.
    pub fn connect(&mut self, to: &Address, timeout: Duration) -> Option<SessionId> {
        self.dial(to.clone().into(), timeout)
    }

    /// Like [`Context::connect`], from this address of ours: the peer sees it, and each has ports of
    /// its own, about 28,000 (ip(7), `ip_local_port_range`). An address that is not ours, or of
    /// another family, fails like a peer that says no.
    pub fn connect_from(
        &mut self,
        from: IpAddr,
        to: &Address,
        timeout: Duration,
    ) -> Option<SessionId> {
        self.dial(Route { to: to.clone(), from: Some(from) }, timeout)
    }

    fn dial(&mut self, route: Route, timeout: Duration) -> Option<SessionId> {
        match &mut self.side {
            Side::Here(sessions) => sessions.dial(route, timeout),
            Side::Worker(record) => record.connect(route, timeout),
        }
    }

    /// Stops the server as `Remote::stop` does: no more callers, all sessions drain, then `run`
    /// returns.
    pub fn stop(&mut self) {
        match &mut self.side {
            Side::Here(sessions) => sessions.stop = true,
            Side::Worker(record) => record.ask(Command::Stop(self.id)),
        }
    }

    fn ask(&mut self, command: Command) {
        match &mut self.side {
            Side::Here(sessions) => {
                sessions.ask(command, self.id);
            }
            Side::Worker(record) => record.ask(command),
        }
    }
}
