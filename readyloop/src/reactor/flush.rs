//! Dirty → write → interest.
//!
//! Each session that was sent to is written once, after all handlers of the turn have run, so that
//! many small sends leave as one write. The poller is asked for writability only when a write was
//! cut short.

use std::io::IoSlice;

use crate::error::Errno;
use crate::host::{Host, News};
use crate::id::{SessionId, Token};
use crate::kernel::{Io, Kernel};
use crate::session::{Holds, NextStep, Session};

use super::Reactor;

/// Runs gathered into one write. More would not fit the socket's buffer anyway: 64 large chunks are
/// 1 MiB.
const RUNS_PER_WRITE: usize = 64;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Writes each session on the page once, and takes its next step. What is sent meanwhile goes
    /// on the next page.
    #[inline(never)]
    pub(super) fn flush(&mut self) {
        self.sessions.settle_writer();
        let disturbed = self.sessions.page.writer().take_disturbed();
        if self.sessions.page.is_empty() {
            return;
        }
        let count = self.sessions.page.turn_to(&mut self.page);
        let mut nth = 0;
        while nth < count {
            nth = if disturbed { self.flush_one(nth) } else { self.flush_plain(nth, count) };
        }
        self.page.clear();
    }

    /// Writes one session after another, from the entry `begin` on, of `count`, while their bytes on
    /// the page leave whole, after which nothing has changed. Says how far it came.
    ///
    /// The common case: short replies of sessions that go on being read. No session is asked
    /// anything, because nothing was disturbed; nor can one be meanwhile, because no handler hears of
    /// any of this. A function of its own, and so are its neighbours: in one with them, the registers
    /// do not suffice.
    #[inline(never)]
    fn flush_plain(&mut self, begin: usize, count: usize) -> usize {
        let (mut nth, mut cut_short) = (begin, None);
        for (id, bytes) in self.page.pieces(begin) {
            let Some(link) = self.links.open(id) else { break };
            debug_assert!(self.sessions.get(id).is_some_and(Session::is_plain));
            let outcome = self.kernel.send(&link.socket, bytes);
            if outcome != Io::Done(bytes.len()) {
                cut_short = Some((bytes.len(), outcome));
                break;
            }
            nth += 1;
        }
        if self.sessions.is_timed() {
            let wrote = self.page.pieces(begin).take(nth - begin);
            wrote.for_each(|(id, _)| self.sessions.note_life(id));
        }
        let stats = &mut self.sessions.stats;
        stats.sends += (nth - begin) as u64;
        stats.sent_bytes += self.page.bytes_between(begin, nth) as u64;
        let Some((tried, outcome)) = cut_short else {
            self.sessions.unflushed = self.page.number(nth);
            // Who has no link is none of these.
            return if nth < count { self.flush_one(nth) } else { nth };
        };
        stats.sends += 1;
        self.sessions.unflushed = self.page.number(nth + 1);
        self.wrote(nth, tried, outcome);
        nth + 1
    }

    /// Writes any session, and says which entry is next.
    #[inline(never)]
    fn flush_one(&mut self, nth: usize) -> usize {
        self.sessions.unflushed = self.page.number(nth + 1);
        self.write(nth);
        nth + 1
    }

    /// What is on the page goes before what is queued, of which nothing was written then.
    fn write(&mut self, nth: usize) {
        let (id, on_page) = self.page.piece(nth);
        let Some((session, _, stats)) = self.sessions.get_for_write(id) else { return };
        if session.is_dead() || session.is_deaf() {
            session.cut_off |= !on_page.is_empty();
            return self.next_step(id);
        }
        debug_assert!(
            !session.is_blocked() || on_page.is_empty(),
            "who is blocked writes on no page"
        );
        if session.is_blocked() || (on_page.is_empty() && session.queue.is_empty()) {
            return self.next_step(id);
        }
        let Some(socket) = self.links.socket(id) else { return };
        let (tried, outcome) = if session.queue.is_empty() {
            (on_page.len(), self.kernel.send(socket, on_page))
        } else {
            let mut runs = [IoSlice::new(on_page); RUNS_PER_WRITE];
            let first = usize::from(!on_page.is_empty());
            let budget = self.limits.send_budget_bytes.saturating_sub(on_page.len());
            let count = first + session.queue.gather(&mut runs[first..], budget);
            let tried = runs[..count].iter().map(|run| run.len()).sum();
            let outcome = match count {
                1 => self.kernel.send(socket, &runs[0]),
                _ => self.kernel.send_vectored(socket, &runs[..count]),
            };
            (tried, outcome)
        };
        stats.sends += 1;
        self.wrote(nth, tried, outcome);
    }

    /// Takes note of what became of a write of `tried` bytes, of which the first were on the page.
    #[inline(never)]
    fn wrote(&mut self, nth: usize, tried: usize, outcome: Io) {
        let (id, on_page) = self.page.piece(nth);
        let (on_page, now) = (on_page.len(), self.now());
        let Some((session, stock, stats)) = self.sessions.get_for_write(id) else { return };
        let count = match outcome {
            Io::Done(count) => count,
            Io::WouldBlock | Io::Exhausted(_) => 0,
            Io::Finished | Io::Failed(_) => {
                session.cut_off = true;
                // EPIPE: it takes nothing any more. What it sent before may still be read, and a session
                // that is open goes on until that has ended. A reset (ECONNRESET) ends it now.
                let errno = if let Io::Failed(errno) = outcome { errno } else { Errno::PIPE };
                if session.is_open() && errno == Errno::PIPE {
                    return self.write_broke(id);
                }
                return self.broke(id, errno);
            }
        };
        stats.sent_bytes += count as u64;
        if count > 0 {
            session.active = now;
        }
        if count < on_page {
            match self.page.hold_on(nth) {
                Some(bytes) => session.queue.push_front_shared(bytes.slice(count..), stock),
                None => session.queue.push_front(&self.page.piece(nth).1[count..], stock),
            }
        } else {
            session.queue.advance(count - on_page, stock);
        }
        let is_empty = session.queue.is_empty();
        if count < tried {
            self.cut_short(id, outcome);
        } else if !is_empty {
            // Out of budget, and the socket would take more: the next turn does not sleep.
            self.sessions.mark_dirty(id);
        }
        self.next_step(id);
    }

    /// A write was cut short, perhaps after some bytes: the rest leaves when the socket is writable,
    /// or when there is memory for it.
    #[cold]
    fn cut_short(&mut self, id: SessionId, outcome: Io) {
        // Without memory, it is not for the peer to show that it takes bytes.
        let progress = outcome != Io::WouldBlock;
        let Some(socket) = self.links.socket(id) else { return };
        if self.sessions.block(id, progress) {
            let outstanding = self.kernel.outstanding(socket);
            self.sessions.watch_for_stall(id, outstanding);
        }
        if let Io::Exhausted(errno) = outcome {
            self.starved(id, errno);
        }
    }

    /// Whatever is written fails; what the peer has sent before may still be read.
    #[cold]
    fn write_broke(&mut self, id: SessionId) {
        self.sessions.stop_sending(id);
        if self.sessions.reads(id) {
            self.sessions.still_ready.push(id);
        }
    }

    /// What follows from the phase and the queue once it was written as far as possible.
    fn next_step(&mut self, id: SessionId) {
        let low = self.limits.send_low_bytes;
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.holds().has(Holds::QUEUE) && session.queue.len() <= low && !session.is_dead() {
            return self.resume(id);
        }
        match session.next_step() {
            NextStep::Wait => {}
            NextStep::Finish => return self.finish(id),
            NextStep::Die(reason) => {
                self.sessions.kill(id, reason);
                return;
            }
        }
        if !self.edge && session.wants() != session.interest {
            self.rearms.push(id);
        }
    }

    /// The queue has fallen to the low mark: the session is read again, beginning with what was
    /// kept when it was paused, of which no event will tell.
    #[cold]
    fn resume(&mut self, id: SessionId) {
        // Which is also the rest of the flush, once more: the interest has changed, and so may the
        // queue.
        self.sessions.release(id, Holds::QUEUE);
        self.sessions.stats.resumes += 1;
        self.tell(id, News::Drained);
    }

    /// All that was queued has left: our direction ends, and we wait for the peer to end its own.
    #[cold]
    fn finish(&mut self, id: SessionId) {
        let Some(link) = self.links.open(id) else { return };
        self.kernel.finish(&link.socket);
        link.remainder.clear(&mut self.sessions.stock.pool);
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.linger();
        let due = self.now() + self.limits.linger_timeout;
        self.sessions.set_deadline(id, due);
        // Under edge, what the peer had sent before may lie there unread: the end of our direction
        // wakes whoever watches the socket, and the kernel tells once more (inet_shutdown).
        if !self.edge {
            self.rearms.push(id);
        }
    }

    /// Tells the poller what has changed, once for each session.
    #[inline]
    pub(super) fn arm(&mut self) {
        if self.rearms.is_empty() {
            return;
        }
        let mut rearms = std::mem::take(&mut self.rearms);
        for id in rearms.drain(..) {
            self.arm_one(id);
        }
        self.rearms = rearms;
    }

    fn arm_one(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.unwatched {
            return self.watch_again(id);
        }
        let wants = session.wants();
        if wants == session.interest {
            return;
        }
        session.interest = wants;
        let outcome = self.kernel.rearm(socket, Token::session(id), wants);
        self.sessions.stats.rearms += 1;
        if let Err(errno) = outcome {
            self.not_armed(id, errno);
        }
    }
}
