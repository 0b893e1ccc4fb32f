//! Ready → read → frame → handler.
//!
//! What becomes of an event is decided by the table of [`decision`]; here it is done.
//!
//! A session reads until the kernel says stop or its budget for the turn is spent. A read that
//! returns less than it asked for has emptied the socket (epoll(7)), so no second read is made to
//! see `EAGAIN`; except where the peer's end or an urgent mark was announced with the bytes, or where
//! nothing was announced at all: then only `EAGAIN` or the end will do, because an edge is not
//! repeated.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::close::CloseReason;
use crate::error::Errno;
use crate::host::{Cut, Host, News, deliver_one};
use crate::id::{SessionId, Source};
use crate::kernel::{Io, Kernel, Ready};
use crate::session::decision::{self, Act, Decision};
use crate::session::{Phase, Session};

use super::Reactor;
use super::links::Open;

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// Serves the ready list, after those who were left over by the last turn. A function of its own,
    /// as the flush is: in one with the rest of the turn, the registers do not suffice.
    #[inline(never)]
    pub(super) fn intake(&mut self, ready: usize) {
        if !self.walk.is_empty()
            || !self.sessions.still_ready.is_empty()
            || self.listeners.has_work()
        {
            self.intake_still_ready();
        }
        self.sessions.stats.events += ready as u64;
        let mut nth = 0;
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.intake_from(&mut nth))) {
            match self.kernel.ready(nth - 1).map(|entry| entry.token.source()) {
                Some(Source::Session(id)) => self.panicked(id, panic),
                _ => resume_unwind(panic),
            }
        }
    }

    /// Serves the ready list from its entry `nth` on. A panic leaves `nth` behind the entry in
    /// which it was raised; so it is caught once for the whole list and not once for each session.
    #[inline]
    fn intake_from(&mut self, nth: &mut usize) {
        while let Some(entry) = self.kernel.ready(*nth) {
            *nth += 1;
            match entry.token.source() {
                Source::Session(id) => self.session_ready(id, entry),
                other => self.fixture_ready(other),
            }
        }
    }

    #[cold]
    fn intake_still_ready(&mut self) {
        for number in self.listeners.take_still_ready() {
            self.accept(number);
        }
        // As many as a wait tells of; a session that is left over meanwhile has had its turn.
        self.walk.extend(self.sessions.still_ready.drain(..));
        for _ in 0..self.limits.events_per_wait {
            let Some(id) = self.walk.pop_front() else { return };
            self.sessions.stats.left_over += 1;
            self.read_on_safely(id);
        }
    }

    /// Goes on with a session of which no event tells, and survives the panic of its handler.
    pub(super) fn read_on_safely(&mut self, id: SessionId) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.read_on(id))) {
            self.panicked(id, panic);
        }
    }

    /// Goes on with a session of which no event tells.
    fn read_on(&mut self, id: SessionId) {
        if H::ELSEWHERE
            && let Some(link) = self.links.open(id)
        {
            self.host.resume(id, &link.session);
        }
        match self.sessions.get(id) {
            Some(session) if session.reads() => {
                self.read(id, true, self.limits.recv_budget_bytes);
            }
            Some(session) if session.phase() == Phase::Lingering => self.discard(id),
            _ => {}
        }
    }

    #[cold]
    fn fixture_ready(&mut self, source: Source) {
        match source {
            Source::Listener(number) => self.accept(number),
            Source::Waker => self.kernel.waker_seen(),
            Source::Signals => self.signalled(),
            Source::Session(_) => {}
        }
    }

    /// The common case, straight down the arrow: some bytes, less than a buffer full, for a session
    /// that has nothing else on its mind.
    #[inline]
    fn session_ready(&mut self, id: SessionId, entry: Ready) {
        // A handler elsewhere does not write on this turn's page.
        let is_simple = decision::is_simple(entry.flags)
            && match H::ELSEWHERE {
                false => self.sessions.serve(id),
                true => self.sessions.is_simple(id),
            };
        if !is_simple {
            return self.session_ready_for_more(id, entry);
        }
        let Some(link) = self.links.open(id) else { return };
        if !link.remainder.is_empty() {
            return self.read(id, false, self.limits.recv_budget_bytes);
        }
        self.sessions.stats.recvs += 1;
        match self.kernel.recv(&link.socket, &mut self.recv_buffer) {
            Io::Done(count) if count < self.recv_plain_end => {
                let input = &mut self.recv_buffer[..count];
                let Open { framer, session, .. } = link;
                // Each outcome by itself: one that is kept for later is seven instructions more.
                match deliver_one(&mut self.host, &mut self.sessions, id, framer, session, input) {
                    Ok(consumed) => {
                        self.sessions.received(id, count, true);
                        if consumed < count {
                            self.deliver_rest(id, Ok(consumed), count);
                        }
                    }
                    first @ Err(_) => {
                        self.sessions.received(id, count, false);
                        self.deliver_rest(id, first, count);
                    }
                }
            }
            outcome => self.recv_more(id, outcome),
        }
    }

    /// The first read of an event has filled the buffer, or brought more than one frame may be, or no
    /// bytes.
    fn recv_more(&mut self, id: SessionId, outcome: Io) {
        let Io::Done(count) = outcome else { return self.read_nothing(id, outcome) };
        self.deliver(id, count, count);
        self.read(id, false, self.limits.recv_budget_bytes.saturating_sub(count));
    }

    /// Everything but plain bytes to read.
    #[inline(never)]
    fn session_ready_for_more(&mut self, id: SessionId, ready: Ready) {
        let Some(session) = self.sessions.get(id) else {
            self.sessions.stats.events_stale += 1;
            return;
        };
        let Decision { write, act } = decision::decide(session, ready.flags);
        if write {
            self.sessions.unblock(id);
        }
        match act {
            Act::Nothing => {}
            Act::AskConnect => self.answered(id),
            Act::Read { to_the_end } => self.read(id, to_the_end, self.limits.recv_budget_bytes),
            Act::Discard => self.discard(id),
            Act::AskError => self.ask_error(id),
        }
    }

    /// The connection is over in both directions, and nobody may read what has come.
    #[cold]
    fn ask_error(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        if let Some(errno) = self.kernel.take_error(socket) {
            return self.broke(id, errno);
        }
        let Some(session) = self.sessions.get(id) else { return };
        if session.is_open() {
            // A Unix peer that has closed: what it sent before is read once nothing holds it.
            return self.peer_takes_nothing(id);
        }
        let reason = session.reason().unwrap_or(CloseReason::PeerFinished);
        self.sessions.kill(id, reason);
    }

    /// Whatever is written would fail; what has come is still read, and then the session is over. Under
    /// level a hang-up would be reported in every wait meanwhile, so the poller is told to forget it: from
    /// here on it is read when nothing holds it, and not because of any event.
    #[cold]
    fn peer_takes_nothing(&mut self, id: SessionId) {
        let Some(socket) = self.links.socket(id) else { return };
        if !self.edge && self.sessions.unwatch(id) {
            self.kernel.unwatch(socket);
        }
        self.sessions.stop_sending(id);
    }

    /// Reads and delivers, `budget` bytes and one read more at the most. With `to_the_end`, a short
    /// read is not trusted to be the last.
    fn read(&mut self, id: SessionId, to_the_end: bool, mut budget: usize) {
        self.sessions.serve_beside_page(id);
        if !self.deliver_kept(id) {
            return;
        }
        while self.sessions.reads(id) {
            if budget == 0 {
                return self.out_of_budget(id);
            }
            match self.recv(id) {
                (Io::Done(count), asked) if count == asked || to_the_end => {
                    budget = budget.saturating_sub(count);
                }
                (Io::Done(_), _) => return,
                (outcome, _) => return self.read_nothing(id, outcome),
            }
        }
    }

    /// A read brought no bytes: for now, or for ever.
    fn read_nothing(&mut self, id: SessionId, outcome: Io) {
        match outcome {
            Io::WouldBlock if self.sessions.get(id).is_some_and(Session::is_deaf) => {
                self.broke(id, Errno::PIPE);
            }
            Io::Done(_) | Io::WouldBlock => {}
            Io::Finished => self.peer_finished(id),
            Io::Exhausted(errno) => self.starved(id, errno),
            Io::Failed(errno) => self.broke(id, errno),
        }
    }

    #[cold]
    pub(super) fn broke(&mut self, id: SessionId, errno: Errno) {
        let Some(session) = self.sessions.get(id) else { return };
        let reason = session.broken(CloseReason::from_io(errno));
        self.sessions.kill(id, reason);
    }

    /// Level: the next wait reports what is left. Edge, and of a session that the poller has
    /// forgotten: only we know that something may be left.
    #[cold]
    fn out_of_budget(&mut self, id: SessionId) {
        if self.edge || self.sessions.get(id).is_some_and(Session::is_deaf) {
            self.sessions.still_ready.push(id);
        }
    }

    /// One read, and the delivery of what it brought. Says also how many bytes it asked for.
    fn recv(&mut self, id: SessionId) -> (Io, usize) {
        let Some(link) = self.links.open(id) else { return (Io::WouldBlock, 0) };
        self.sessions.stats.recvs += 1;
        if !link.remainder.is_empty() {
            return self.recv_behind(id);
        }
        let outcome = self.kernel.recv(&link.socket, &mut self.recv_buffer);
        if let Io::Done(count) = outcome {
            self.deliver(id, count, count);
        }
        (outcome, self.recv_buffer.len())
    }

    /// A read that goes on where an incomplete frame has stopped.
    fn recv_behind(&mut self, id: SessionId) -> (Io, usize) {
        let Some(link) = self.links.open(id) else { return (Io::WouldBlock, 0) };
        if link.remainder.is_long(self.recv_buffer.len()) {
            let place = link.remainder.grow();
            let room = place.capacity() - place.len();
            let outcome = self.kernel.recv_spare(&link.socket, place);
            if let Io::Done(count) = outcome {
                self.sessions.received(id, count, false);
                self.deliver_kept(id);
            }
            return (outcome, room);
        }
        let kept = link.remainder.len();
        self.recv_buffer[..kept].copy_from_slice(link.remainder.bytes());
        let outcome = self.kernel.recv(&link.socket, &mut self.recv_buffer[kept..]);
        if let Io::Done(count) = outcome {
            link.remainder.clear(&mut self.sessions.stock.pool);
            self.deliver(id, kept + count, count);
        }
        (outcome, self.recv_buffer.len() - kept)
    }

    /// Delivers the first `filled` bytes of the shared buffer, of which `count` are new, and keeps
    /// what is left of them.
    fn deliver(&mut self, id: SessionId, filled: usize, count: usize) {
        self.sessions.received(id, count, false);
        self.deliver_rest(id, Ok(0), filled);
    }

    /// Goes on where the first frame of `filled` bytes was delivered, or was not whole.
    fn deliver_rest(&mut self, id: SessionId, first: Result<usize, usize>, filled: usize) {
        let Some(link) = self.links.open(id) else { return };
        let input = &mut self.recv_buffer[..filled];
        let cut = match first {
            Ok(consumed) => {
                let Open { framer, session, .. } = link;
                self.host.cut(&mut self.sessions, id, framer, session, input, consumed)
            }
            Err(wanted) => Cut { consumed: 0, wanted },
        };
        if cut.consumed > 0 {
            self.sessions.received(id, 0, true);
        }
        if cut.consumed < filled {
            self.keep(id, cut, filled);
        }
    }

    /// Keeps what was not handled of the shared buffer's first `filled` bytes.
    fn keep(&mut self, id: SessionId, cut: Cut, filled: usize) {
        let Some(link) = self.links.open(id) else { return };
        if self.sessions.get(id).is_some_and(Session::is_open) {
            let rest = &self.recv_buffer[cut.consumed..filled];
            link.remainder.keep(rest, cut.wanted, &mut self.sessions.stock.pool);
        }
        self.refuse_if_told(id);
    }

    /// Delivers what was kept, if it may hold a whole frame; whether the session still reads.
    fn deliver_kept(&mut self, id: SessionId) -> bool {
        let Some(link) = self.links.open(id) else { return false };
        if !link.remainder.is_ready() {
            return true;
        }
        let mut input = link.remainder.take();
        let Open { framer, session, .. } = link;
        let cut = self.host.cut(&mut self.sessions, id, framer, session, &mut input, 0);
        self.sessions.received(id, 0, cut.consumed > 0);
        link.remainder.put_back(input, cut.consumed, cut.wanted, &mut self.sessions.stock.pool);
        self.refuse_if_told(id);
        self.sessions.reads(id)
    }

    /// Closes the session if its framer, or a limit, refused its bytes.
    fn refuse_if_told(&mut self, id: SessionId) {
        if let Some(reason) = self.sessions.refusal.take() {
            self.refuse(id, reason);
        }
    }

    /// The peer has ended its direction.
    fn peer_finished(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let is_deaf = session.is_deaf();
        if session.peer_finished() {
            self.sessions.mark_dirty(id);
            self.tell(id, News::PeerFinished);
        }
        if is_deaf {
            // Nobody is left to say anything to.
            self.sessions.kill(id, CloseReason::PeerFinished);
        }
    }

    /// Closes a session by the reactor's own decision, after its handler's last word.
    #[cold]
    pub(super) fn refuse(&mut self, id: SessionId, reason: CloseReason) {
        if !self.sessions.begin_closing(id) {
            return;
        }
        self.tell(id, News::Closing(reason));
        // A handler elsewhere hears of it behind its frames; what it has said closes the session.
        if !H::ELSEWHERE || self.links.open(id).is_none() {
            self.sessions.finish(id, reason);
        }
    }

    /// Our direction has ended: reads and drops what the peer still sends, until its end.
    #[cold]
    fn discard(&mut self, id: SessionId) {
        let Some(link) = self.links.open(id) else { return };
        let mut budget = self.limits.recv_budget_bytes;
        while budget > 0 {
            self.sessions.stats.recvs += 1;
            match self.kernel.recv(&link.socket, &mut self.recv_buffer) {
                Io::Done(count) => {
                    self.sessions.stats.recv_bytes += count as u64;
                    budget = budget.saturating_sub(count);
                }
                Io::WouldBlock => return,
                Io::Exhausted(errno) => return self.starved(id, errno),
                Io::Finished | Io::Failed(_) => {
                    // All that we had to say was written before our direction ended.
                    if let Some(reason) = self.sessions.get(id).and_then(Session::reason) {
                        self.sessions.kill(id, reason);
                    }
                    return;
                }
            }
        }
        self.out_of_budget(id);
    }
}
