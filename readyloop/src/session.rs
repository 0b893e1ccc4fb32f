//! One session, seen from its send side: its phase, its queue, and what the two ask of the poller.
//!
//! Pure: no descriptor, no clock, no handler. Facts come in (`peer_finished`, `close`), decisions
//! come out (`wants`, `next_step`; for events of the ready list, [`decision`]).
//!
//! ```text
//!  Connecting ──→ Open ──→ PeerFinished ──→ Draining ──→ Lingering ──→ Dead
//!      │            └──────────────────────────↑  │           │          ↑
//!      └───────────────────────────────────────── any of them ───────────┘
//! ```
//!
//! Invariants: frames are delivered in `Open` only, and only while nothing holds it; bytes are accepted
//! in `Connecting`, `Open` and `PeerFinished`, unless the peer takes none; `blocked` is true exactly
//! while the kernel owes us a writable event, or memory; a queue that is not empty belongs to a session that is
//! blocked, on the page, or dead.

pub mod decision;

use crate::clock::Now;
use crate::close::CloseReason;
use crate::encoder::{Form, Header};
use crate::readiness::Interest;
use crate::send::{SendQueue, Stock};
use crate::wheel::{Chain, TimerId};

/// Where a session is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Both directions carry bytes.
    Open = 0,
    /// Dialled and not answered yet, or accepted with a preamble that is not done.
    Connecting,
    /// The peer has ended its direction; ours goes on until the handler closes.
    PeerFinished,
    /// Closed by a decision; what is queued still leaves.
    Draining,
    /// Our direction has ended; whatever the peer still sends is read and dropped, until its end.
    Lingering,
    /// Over; reaped at the end of the turn.
    Dead,
}

/// Why a session is not read, though it is open: any of these, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holds(u8);

impl Holds {
    /// Its send queue stood over the high mark, or its handler wants it so, and it has not fallen
    /// to the low mark since.
    pub const QUEUE: Holds = Holds(1);
    /// It has asked for something of a reactor whose inbox has no room.
    pub const OUTBOX: Holds = Holds(2);
    /// Its lane is full, or its handler has not been introduced to it yet.
    pub const LANE: Holds = Holds(4);
    /// It has asked for an end or a pause, which follows something else in the reactor's inbox.
    pub const FOLLOWS: Holds = Holds(32);
    /// It has sent to a group whose slow members must catch up first.
    pub const GROUP: Holds = Holds(16);
    /// The kernel had no memory for it: it is not written either.
    pub const MEMORY: Holds = Holds(64);
    /// Its end is decided, and its handler is being told, elsewhere. Never released.
    pub const CLOSING: Holds = Holds(8);

    /// Of these, the ones for which also frames that have been read must wait: all but a full lane, which
    /// must be emptied, and an end that is decided.
    #[inline(always)]
    pub fn pauses(self) -> Holds {
        Holds(self.0 & !(Holds::LANE.0 | Holds::CLOSING.0))
    }

    /// These, and one more.
    pub fn with(self, hold: Holds) -> Holds {
        Holds(self.0 | hold.0)
    }

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
}

/// All that decides what becomes of an event, in one word: zero for a session that is open, is read,
/// waits for no writability and sends bytes as they are, which nearly every event is for.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
struct Word {
    phase: Phase,
    holds: Holds,
    /// The last write was cut short; nothing is written until the socket is writable.
    blocked: bool,
    /// Something becomes of what is sent to it.
    encodes: bool,
}

impl Word {
    #[inline(always)]
    fn is_zero(self) -> bool {
        let Word { phase, holds, blocked, encodes } = self;
        u32::from_ne_bytes([phase as u8, holds.0, u8::from(blocked), u8::from(encodes)]) == 0
    }
}

/// What only the living need, and what only the dying: in one place, because no session is both.
#[derive(Clone, Copy, Debug)]
enum Life {
    Living {
        /// When it was opened, moved on by the time for which we did not read it.
        opened: Now,
        /// Since when it has not been read; means nothing while it is.
        held_since: Now,
    },
    Ending(CloseReason),
}

/// The send side of one session.
pub struct Session {
    word: Word,
    life: Life,
    /// Bytes on their way out.
    pub queue: SendQueue,
    /// What the poller was last told; nothing, while it does not watch the session.
    pub interest: Interest,
    /// The number of its last entry on a page; 0 if it had none. Whether that is still to be flushed,
    /// `Sessions` knows.
    pub entry: u64,
    /// Whether it died with bytes on the page.
    pub cut_off: bool,
    /// Whether the poller does not watch it, not even for errors.
    pub unwatched: bool,
    /// Whether the peer takes nothing any more, though what it has sent may still be read.
    deaf: bool,
    /// Whether the end of the peer's stream was read.
    peer_ended: bool,
    /// Whether a whole frame has come.
    pub greeted: bool,
    /// Whether its peer has been watched for taking bytes, since it was blocked last.
    pub stall_timer: bool,
    /// Whether its peer took bytes since it was last looked at for that.
    pub progress: bool,
    /// Whether its handler, elsewhere, has not heard yet all that other threads have told it.
    pub told: bool,
    /// What goes ahead of each message, if it is that what becomes of them.
    header: Option<&'static Header>,
    /// When the peer was last heard of: a byte came, or it took some; or the session was opened.
    pub active: Now,
    /// The engine's own timer: connect, handshake and idle, drain, linger, by phase.
    pub deadline: Option<TimerId>,
    /// All timers of this session.
    pub timers: Chain,
}

/// What a handler elsewhere may know of a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// Bytes that wait for the peer.
    pub queued_bytes: usize,
    /// Why its frames are not handled for now, if they are not ([`Holds::pauses`]).
    pub pauses: Holds,
    /// What becomes of messages to it.
    pub form: Form,
}

/// What a session needs after its queue was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStep {
    /// Nothing: it goes on, or waits for the peer or the kernel.
    Wait,
    /// End our direction, then linger.
    Finish,
    /// It is over.
    Die(CloseReason),
}

impl Session {
    /// A session in `phase`, which is `Connecting` or `Open`.
    pub fn new(phase: Phase, now: Now) -> Session {
        let blocked = phase == Phase::Connecting;
        Session {
            word: Word { phase, holds: Holds::default(), blocked, encodes: false },
            life: Life::Living { opened: now, held_since: now },
            queue: SendQueue::default(),
            interest: Interest::NONE,
            entry: 0,
            cut_off: false,
            unwatched: false,
            deaf: false,
            peer_ended: false,
            greeted: false,
            stall_timer: false,
            progress: false,
            told: false,
            header: None,
            active: now,
            deadline: None,
            timers: Chain::default(),
        }
    }

    /// Where it is in its life.
    #[inline]
    pub fn phase(&self) -> Phase {
        self.word.phase
    }

    /// Why it is not read.
    #[inline]
    pub fn holds(&self) -> Holds {
        self.word.holds
    }

    /// Why it is ending, if it is.
    pub fn reason(&self) -> Option<CloseReason> {
        match self.life {
            Life::Living { .. } => None,
            Life::Ending(reason) => Some(reason),
        }
    }

    /// Whether nothing is written until the socket is writable.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.word.blocked
    }

    /// Whether messages do not leave as they are.
    #[inline]
    pub fn encodes(&self) -> bool {
        self.word.encodes
    }

    /// What goes ahead of each message, if it is that what becomes of them.
    #[inline]
    pub fn header(&self) -> Option<&'static Header> {
        self.header
    }

    /// Whether there is an encoder, which has state.
    #[inline(always)]
    pub fn is_stateful(&self) -> bool {
        self.word.encodes && self.header.is_none()
    }

    /// This becomes of messages from now on.
    pub fn set_form(&mut self, form: Form) {
        self.word.encodes = !form.is_plain();
        self.header = match form {
            Form::Header(header) => Some(header),
            Form::Plain | Form::Stateful(_) => None,
        };
    }

    /// Whether it is open and read, waits for no writability, and sends bytes as they are.
    #[inline(always)]
    pub fn is_simple(&self) -> bool {
        self.word.is_zero()
    }

    /// Whether the handler may queue bytes.
    #[inline]
    pub fn accepts(&self) -> bool {
        matches!(self.phase(), Phase::Open | Phase::PeerFinished | Phase::Connecting) && !self.deaf
    }

    /// Whether its end has begun.
    pub fn is_ending(&self) -> bool {
        matches!(self.phase(), Phase::Draining | Phase::Lingering | Phase::Dead)
    }

    /// Whether both directions carry bytes.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.phase() == Phase::Open
    }

    /// Whether frames are delivered.
    #[inline]
    pub fn reads(&self) -> bool {
        self.is_open() && self.holds().is_none()
    }

    /// Whether it is simply read, and answered, and nothing else.
    pub fn is_plain(&self) -> bool {
        self.reads()
            && !self.is_blocked()
            && self.queue.is_empty()
            && self.interest == Interest::READ
    }

    /// Whether what is sent may lie on the page: nothing that it would overtake waits in the queue,
    /// and it has no entry there yet; `unflushed` is the number of the first one that is to be flushed.
    #[inline]
    pub fn may_write_on_page(&self, unflushed: u64) -> bool {
        let is_on_page = self.entry >= unflushed;
        debug_assert!(self.queue.is_empty() || is_on_page || self.is_blocked() || self.is_dead());
        !is_on_page && !self.is_blocked()
    }

    /// Whether a session that is dead has left bytes unsent.
    pub fn has_unsent(&self) -> bool {
        self.cut_off || !self.queue.is_empty()
    }

    /// Whether the session is over.
    #[inline]
    pub fn is_dead(&self) -> bool {
        self.phase() == Phase::Dead
    }

    /// What the poller should report, by phase.
    #[inline]
    pub fn wants(&self) -> Interest {
        let is_short = self.holds().has(Holds::MEMORY);
        let write = if self.is_blocked() && !is_short { Interest::WRITE } else { Interest::NONE };
        match self.phase() {
            Phase::Open if self.holds().is_none() => Interest::READ.and(write),
            Phase::Lingering if !is_short => Interest::READ,
            // What a connect, or a preamble, is waiting for is not decided here.
            Phase::Connecting | Phase::Dead => self.interest,
            _ => write,
        }
    }

    /// One reason more not to read it, at `now`; `false` if it was one already.
    pub fn hold(&mut self, hold: Holds, now: Now) -> bool {
        if self.word.holds.has(hold) {
            return false;
        }
        if let Life::Living { held_since, .. } = &mut self.life
            && self.word.holds.is_none()
        {
            *held_since = now;
        }
        self.word.holds.0 |= hold.0;
        true
    }

    /// One reason less, at `now`; `false` if it was none. With the last one, the peer's clocks go on
    /// from where they stood: what it could not say because we did not listen is not its silence.
    pub fn release(&mut self, hold: Holds, now: Now) -> bool {
        if !self.word.holds.has(hold) {
            return false;
        }
        self.word.holds.0 &= !hold.0;
        if let Life::Living { opened, held_since } = &mut self.life
            && self.word.holds.is_none()
        {
            let held = now.since(*held_since);
            *opened = *opened + held;
            self.active = self.active + held;
        }
        true
    }

    /// When it was opened, moved on by the time for which we did not read it.
    pub fn opened(&self) -> Option<Now> {
        match self.life {
            Life::Living { opened, .. } => Some(opened),
            Life::Ending(_) => None,
        }
    }

    /// A peer that was dialled has answered, or one that was accepted is done with its preamble.
    pub fn connected(&mut self, now: Now) {
        self.word.phase = Phase::Open;
        self.word.blocked = false;
        self.life = Life::Living { opened: now, held_since: now };
        self.active = now;
    }

    /// A write was cut short at `now`: until the socket is writable, it is the peer's turn to take
    /// bytes, and its silence does not count. Whether the session was not blocked before.
    pub fn block(&mut self, now: Now) -> bool {
        self.active = now;
        !std::mem::replace(&mut self.word.blocked, true)
    }

    /// The socket is writable, at `now`; whether that was awaited.
    pub fn unblock(&mut self, now: Now) -> bool {
        let was_blocked = std::mem::replace(&mut self.word.blocked, false);
        if was_blocked {
            self.active = now;
        }
        was_blocked
    }

    /// The peer takes nothing any more: what waits for it is dropped, and no more is accepted. What
    /// it has sent may still be read, and then it is over. Whether it was not known.
    pub fn stop_sending(&mut self, stock: &mut Stock) -> bool {
        if self.deaf {
            return false;
        }
        self.deaf = true;
        self.cut_off |= !self.queue.is_empty();
        self.queue.clear(stock);
        self.word.blocked = false;
        true
    }

    /// Whether the peer takes nothing any more.
    pub fn is_deaf(&self) -> bool {
        self.deaf
    }

    /// The end of the peer's stream was read. Whether the handler is to be told.
    pub fn peer_finished(&mut self) -> bool {
        self.peer_ended = true;
        match (self.phase(), self.life) {
            (Phase::Open, _) => {
                self.word.phase = Phase::PeerFinished;
                true
            }
            (Phase::Lingering, Life::Ending(reason)) => {
                self.die(reason);
                false
            }
            _ => false,
        }
    }

    /// Why a session ends whose connection broke with `otherwise`: where the peer's end was the
    /// first cause, that stays the reason.
    pub fn broken(&self, otherwise: CloseReason) -> CloseReason {
        if self.peer_ended { CloseReason::PeerFinished } else { otherwise }
    }

    /// Begins to drain, unless the session's end has begun already. Whether it changed anything.
    ///
    /// Where the peer's end was the first cause, that stays the reason.
    pub fn close(&mut self, reason: CloseReason) -> bool {
        let reason = match (self.phase(), reason) {
            (Phase::PeerFinished, CloseReason::Closed) => CloseReason::PeerFinished,
            (_, other) => other,
        };
        match self.phase() {
            Phase::Connecting => self.die(reason),
            Phase::Open | Phase::PeerFinished => {
                self.word.phase = Phase::Draining;
                self.life = Life::Ending(reason);
            }
            Phase::Draining | Phase::Lingering | Phase::Dead => return false,
        }
        true
    }

    /// Our direction has ended.
    pub fn linger(&mut self) {
        debug_assert_eq!(self.phase(), Phase::Draining);
        self.word.phase = Phase::Lingering;
    }

    /// It is over, for this reason.
    pub fn die(&mut self, reason: CloseReason) {
        self.word.phase = Phase::Dead;
        self.life = Life::Ending(reason);
    }

    /// What follows from the phase once the queue was written as far as possible.
    #[inline]
    pub fn next_step(&self) -> NextStep {
        match (self.phase(), self.life) {
            (Phase::Draining, Life::Ending(reason)) if self.queue.is_empty() => {
                if self.peer_ended || self.deaf { NextStep::Die(reason) } else { NextStep::Finish }
            }
            _ => NextStep::Wait,
        }
    }
}

impl Default for Session {
    /// What is left of a session that was reaped.
    fn default() -> Session {
        let mut session = Session::new(Phase::Open, Now::ZERO);
        session.die(CloseReason::Closed);
        session
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::Stock;

    fn open() -> Session {
        Session::new(Phase::Open, Now::ZERO)
    }

    #[test]
    fn writability_is_wanted_exactly_while_the_kernel_owes_it() {
        let mut session = open();
        assert_eq!(session.wants(), Interest::READ);
        session.block(Now::ZERO);
        assert_eq!(session.wants(), Interest::BOTH);
        session.hold(Holds::QUEUE, Now::ZERO);
        assert_eq!(session.wants(), Interest::WRITE);
        session.unblock(Now::ZERO);
        assert_eq!(session.wants(), Interest::NONE);
    }

    #[test]
    fn without_kernel_memory_nothing_is_wanted_of_a_session() {
        let mut session = open();
        session.block(Now::ZERO);
        session.hold(Holds::MEMORY, Now::ZERO);
        assert_eq!(session.wants(), Interest::NONE);
        session.release(Holds::MEMORY, Now::ZERO);
        assert_eq!(session.wants(), Interest::BOTH);
        session.close(CloseReason::Closed);
        session.linger();
        session.unblock(Now::ZERO);
        assert_eq!(session.wants(), Interest::READ);
        session.hold(Holds::MEMORY, Now::ZERO);
        assert_eq!(session.wants(), Interest::NONE);
    }

    #[test]
    fn a_close_drains_then_finishes_then_lingers() {
        let (mut session, mut stock) = (open(), Stock::default());
        session.queue.push(b"bye", &mut stock);
        assert!(session.close(CloseReason::Closed));
        assert_eq!((session.next_step(), session.accepts()), (NextStep::Wait, false));
        session.queue.advance(3, &mut stock);
        assert_eq!(session.next_step(), NextStep::Finish);
        session.linger();
        assert!(!session.peer_finished(), "nothing is told after a close");
        assert_eq!((session.phase(), session.reason()), (Phase::Dead, Some(CloseReason::Closed)));
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
    fn the_peers_clocks_stand_still_while_it_is_not_read() {
        let at = |seconds| Now::ZERO + std::time::Duration::from_secs(seconds);
        let mut session = Session::new(Phase::Open, at(1));
        assert!(session.hold(Holds::QUEUE, at(2)) && session.hold(Holds::GROUP, at(3)));
        assert!(!session.hold(Holds::QUEUE, at(3)), "it is one already");
        assert!(session.release(Holds::QUEUE, at(4)) && session.opened() == Some(at(1)));
        assert!(session.release(Holds::GROUP, at(7)) && !session.release(Holds::GROUP, at(8)));
        assert_eq!((session.opened(), session.active), (Some(at(6)), at(6)));
    }

    #[test]
    fn a_session_whose_peer_takes_nothing_is_still_read() {
        let (mut session, mut stock) = (open(), Stock::default());
        session.queue.push(b"lost", &mut stock);
        session.block(Now::ZERO);
        assert!(session.stop_sending(&mut stock) && !session.stop_sending(&mut stock));
        assert!(session.reads() && !session.accepts() && session.has_unsent());
        assert!(session.queue.is_empty() && !session.is_blocked());
        assert!(session.peer_finished() && session.close(CloseReason::Closed));
        assert_eq!(session.next_step(), NextStep::Die(CloseReason::PeerFinished));
    }

    #[test]
    fn a_sessions_send_side_fits_two_cache_lines() {
        assert!(size_of::<Session>() <= 128, "{}", size_of::<Session>());
    }
}
