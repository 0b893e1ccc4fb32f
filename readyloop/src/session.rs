//! One session, seen from its send side: its state, its queue, and what the two ask of the poller.
//!
//! Pure: no descriptor, no clock, no handler. Facts come in (`peer_finished`, `close`), decisions
//! come out (`wants`, `next_step`).
//!
//! ```text
//!  Connecting ──→ Open ──→ PeerFinished ──→ Draining ──→ Lingering ──→ Dead
//!      │            └──────────────────────────↑  │           │          ↑
//!      └───────────────────────────────────────── any of them ───────────┘
//! ```
//!
//! Invariants: frames are delivered in `Open` only, and only while nothing holds it; bytes are accepted
//! in `Connecting`, `Open` and `PeerFinished`; `blocked` is true exactly while the kernel owes us a
//! writable event; a queue that is not empty belongs to a session that is blocked, on the page, or
//! dead.

use crate::clock::Now;
use crate::close::CloseReason;
use crate::envelope::Envelope;
use crate::readiness::Interest;
use crate::send::SendQueue;
use crate::wheel::{Chain, TimerId};

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Dialled, and not answered yet.
    Connecting,
    /// Both directions carry bytes.
    Open,
    /// The peer has ended its direction; ours goes on until the handler closes.
    PeerFinished,
    /// Closed by a decision; what is queued still leaves.
    Draining {
        /// Why.
        reason: CloseReason,
        /// Whether there is nothing left to wait for from the peer.
        peer_finished: bool,
    },
    /// Our direction has ended; whatever the peer still sends is read and dropped, until its end.
    Lingering(CloseReason),
    /// Over; reaped at the end of the turn.
    Dead(CloseReason),
}

/// Why a session is not read, though it is open: any of these, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holds(u8);

impl Holds {
    /// Its send queue stood over the high mark, or its handler wants it so, and it has not fallen
    /// to the low mark since.
    pub const QUEUE: Holds = Holds(1);
    /// What it has ordered from another reactor waits to be taken.
    pub const ABROAD: Holds = Holds(2);

    /// Its lane is full, or its handler has not been introduced to it yet.
    pub const LANE: Holds = Holds(4);
    /// It has sent to a group whose slow members must catch up first.
    pub const GROUP: Holds = Holds(16);
    /// Its end is decided, and its handler is being told, elsewhere. Never released.
    pub const CLOSING: Holds = Holds(8);

    /// Whether it may be read.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether this is one of the reasons.
    #[inline]
    pub fn has(self, hold: Holds) -> bool {
        self.0 & hold.0 != 0
    }

    /// With one reason more.
    pub fn add(&mut self, hold: Holds) {
        self.0 |= hold.0;
    }

    /// With one reason less.
    pub fn remove(&mut self, hold: Holds) {
        self.0 &= !hold.0;
    }
}

/// The send side of one session.
pub struct Session {
    /// Where it is in its life.
    pub state: State,
    /// Bytes on their way out.
    pub queue: SendQueue,
    /// What the poller was last told.
    pub interest: Interest,
    /// The number of its last entry on a page; 0 if it had none. Whether that is still to be flushed,
    /// `Sessions` knows.
    pub entry: u64,
    /// Whether it died with bytes on the page.
    pub cut_off: bool,
    /// Whether the last write was cut short; nothing is written until the socket is writable.
    pub blocked: bool,
    /// What is put around all that is sent to it.
    pub envelope: Option<&'static Envelope>,
    /// Why it is not read.
    pub holds: Holds,
    /// Whether a whole frame has come.
    pub greeted: bool,
    /// When the last byte came, or the session was opened.
    pub active: Now,
    /// When it was opened.
    pub opened: Now,
    /// The engine's own timer: connect, handshake and idle, drain, linger, by state.
    pub deadline: Option<TimerId>,
    /// All timers of this session.
    pub timers: Chain,
}

/// What a handler elsewhere may know of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Bytes that wait for the peer.
    pub queued_bytes: usize,
    /// Whether it stands over the high mark.
    pub paused: bool,
    /// What is put around all that is sent to it.
    pub envelope: Option<&'static Envelope>,
}

/// What a session needs after its queue was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStep {
    /// Nothing: it goes on, or waits for the peer or the kernel.
    Wait,
    /// End our direction, then linger.
    Finish(CloseReason),
    /// It is over.
    Die(CloseReason),
}

impl Session {
    /// A session in `state`, which is `Connecting` or `Open`.
    pub fn new(state: State, now: Now) -> Session {
        Session {
            state,
            queue: SendQueue::default(),
            interest: Interest::NONE,
            entry: 0,
            cut_off: false,
            blocked: matches!(state, State::Connecting),
            envelope: None,
            holds: Holds::default(),
            greeted: false,
            active: now,
            opened: now,
            deadline: None,
            timers: Chain::default(),
        }
    }

    /// Whether the handler may queue bytes.
    #[inline]
    pub fn accepts(&self) -> bool {
        matches!(self.state, State::Open | State::PeerFinished | State::Connecting)
    }

    /// Whether both directions carry bytes.
    #[inline]
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    /// Whether frames are delivered.
    #[inline]
    pub fn reads(&self) -> bool {
        self.is_open() && self.holds.is_none()
    }

    /// Whether it is simply read, and answered, and nothing else.
    pub fn is_plain(&self) -> bool {
        self.reads() && !self.blocked && self.queue.is_empty() && self.interest == Interest::READ
    }

    /// Whether what is sent may lie on the page: nothing that it would overtake waits in the queue,
    /// and it has no entry there yet; `unflushed` is the number of the first one that is to be flushed.
    #[inline]
    pub fn may_write_on_page(&self, unflushed: u64) -> bool {
        let is_on_page = self.entry >= unflushed;
        debug_assert!(self.queue.is_empty() || is_on_page || self.blocked || self.is_dead());
        !is_on_page && !self.blocked
    }

    /// Whether a session that is dead has left bytes unsent.
    pub fn has_unsent(&self) -> bool {
        self.cut_off || !self.queue.is_empty()
    }

    /// Whether the session is over.
    #[inline]
    pub fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead(_))
    }

    /// What the poller should report, by state.
    #[inline]
    pub fn wants(&self) -> Interest {
        let write = if self.blocked { Interest::WRITE } else { Interest::NONE };
        match self.state {
            State::Open if self.holds.is_none() => Interest::READ.and(write),
            State::Lingering(_) => Interest::READ,
            State::Dead(_) => self.interest,
            _ => write,
        }
    }

    /// The peer's direction has ended. Whether the handler is to be told.
    pub fn peer_finished(&mut self) -> bool {
        match self.state {
            State::Open => {
                self.state = State::PeerFinished;
                true
            }
            State::Lingering(reason) => {
                self.state = State::Dead(reason);
                false
            }
            _ => false,
        }
    }

    /// Begins to drain, unless the session's end has begun already. Whether it changed anything.
    ///
    /// Where the peer's end was the first cause, that stays the reason.
    pub fn close(&mut self, reason: CloseReason) -> bool {
        self.state = match self.state {
            State::Open => State::Draining { reason, peer_finished: false },
            State::PeerFinished => {
                let reason = match reason {
                    CloseReason::Closed => CloseReason::PeerFinished,
                    other => other,
                };
                State::Draining { reason, peer_finished: true }
            }
            State::Connecting => State::Dead(reason),
            _ => return false,
        };
        true
    }

    /// What follows from the state once the queue was written as far as possible.
    #[inline]
    pub fn next_step(&self) -> NextStep {
        match self.state {
            State::Draining { reason, peer_finished } if self.queue.is_empty() => {
                if peer_finished {
                    NextStep::Die(reason)
                } else {
                    NextStep::Finish(reason)
                }
            }
            _ => NextStep::Wait,
        }
    }
}

impl Default for Session {
    /// What is left of a session that was reaped.
    fn default() -> Session {
        Session::new(State::Dead(CloseReason::Closed), Now::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::Stock;

    fn open() -> Session {
        Session::new(State::Open, Now::ZERO)
    }

    #[test]
    fn writability_is_wanted_exactly_while_the_kernel_owes_it() {
        let mut session = open();
        assert_eq!(session.wants(), Interest::READ);
        session.blocked = true;
        assert_eq!(session.wants(), Interest::BOTH);
        session.holds.add(Holds::QUEUE);
        assert_eq!(session.wants(), Interest::WRITE);
        session.blocked = false;
        assert_eq!(session.wants(), Interest::NONE);
    }

    #[test]
    fn a_close_drains_then_finishes_then_lingers() {
        let (mut session, mut stock) = (open(), Stock::default());
        session.queue.push(b"bye", &mut stock);
        assert!(session.close(CloseReason::Closed));
        assert_eq!((session.next_step(), session.accepts()), (NextStep::Wait, false));
        session.queue.advance(3, &mut stock);
        assert_eq!(session.next_step(), NextStep::Finish(CloseReason::Closed));
        session.state = State::Lingering(CloseReason::Closed);
        assert!(!session.peer_finished(), "nothing is told after a close");
        assert_eq!(session.state, State::Dead(CloseReason::Closed));
    }

    #[test]
    fn after_the_peers_end_a_close_needs_no_linger_and_keeps_the_first_cause() {
        let mut session = open();
        assert!(session.peer_finished());
        assert!(session.accepts() && !session.reads());
        assert!(session.close(CloseReason::Closed));
        assert!(!session.close(CloseReason::Stopped), "the first decision stands");
        assert_eq!(session.next_step(), NextStep::Die(CloseReason::PeerFinished));
    }

    #[test]
    fn a_sessions_send_side_fits_two_cache_lines() {
        assert!(size_of::<Session>() <= 128, "{}", size_of::<Session>());
    }
}
