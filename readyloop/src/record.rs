//! What a worker's callbacks ask for, written down in order, and what they may know.
//!
//! The reactor carries it out when the lane comes home: the other side of [`Context`]. What the handler
//! may know of its session is what was true when its frames were handed over.
//!
//! Answers are written on a page like the reactor's own, where the session that is being served is
//! the writer; so the way of an answer is the same on every thread.
//!
//! It is shared with the `Remote`s that callbacks use, which take out what was asked for so far. So all
//! of it is in cells, and nothing of the user's runs while one is borrowed, but for what says how long a
//! message becomes.
//!
//! Invariant: the writer is the session that is being served, until its end was asked for; nobody is
//! while it encodes.
//!
//! Thread contract: of the worker's thread.
//!
//! [`Context`]: crate::Context

mod encoded;

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::Route;
use crate::buffer::{CommandBuffer, Run, Started};
use crate::census::Census;
use crate::clock::Now;
use crate::close::CloseReason;
use crate::command::{Command, Commands, LaneTimer};
use crate::encoder::Form;
use crate::group::Group;
use crate::id::SessionId;
use crate::limits::Limits;
use crate::load::Load;
use crate::mailbox::inbox_bounds;
use crate::page::Page;
use crate::session::Holds;
use crate::slab::Key;
use crate::wheel::TimerId;

/// Posts what the session known by this name has asked for so far to its reactor. Says whether that one's
/// inbox has room for more.
pub type Post = Box<dyn Fn(SessionId, Box<CommandBuffer>) -> bool>;

/// One worker's.
pub struct Record {
    /// The run that goes on.
    run: RefCell<Box<Run>>,
    post: Post,
    /// The session that is being served.
    serving: Cell<SessionId>,
    halted: Cell<Halted>,
    /// What the run has posted to the reactor since its inbox has no room.
    late: Cell<Load>,
    late_max: Load,
    /// What was asked of the sessions of other reactors than the one whose session is served.
    foreign: RefCell<Vec<(u8, Commands)>>,
    reactors: u8,
    special: Cell<bool>,
    send_high_bytes: usize,
    send_max_bytes: usize,
    census: Arc<Census>,
    /// The number of the next timer, and how far it is from there to the one behind it: each worker has
    /// numbers of its own.
    next_timer: Cell<u32>,
    timer_step: u32,
}

/// Why no more frames are handled in a run, if they are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halted(u8);

impl Halted {
    const NOT: Halted = Halted(0);
    /// The handler has closed the session, or has lost it, or there is none: nothing more is sent.
    const ENDED: u8 = 1;
    /// What waits for the peer must leave first: the reactor would not have read them.
    const PAUSED: u8 = 2;
    /// It was cut off: the handler is told of nothing more but its end.
    const LOST: u8 = 4;
    /// It is over, and nothing of it is left.
    const OVER: u8 = 8;

    /// Whether frames are handled.
    #[inline(always)]
    pub fn is_not(self) -> bool {
        self == Halted::NOT
    }

    /// Whether they are to be handled later.
    #[inline(always)]
    pub fn is_paused(self) -> bool {
        self.has(Halted::PAUSED)
    }

    fn has(self, why: u8) -> bool {
        self.0 & why != 0
    }
}

impl Record {
    /// An empty record, for the worker with this number, one of `workers` that so many reactors have.
    pub fn new(
        (number, workers): (usize, usize),
        reactors: u8,
        census: Arc<Census>,
        limits: &Limits,
        post: Post,
    ) -> Record {
        Record {
            run: RefCell::default(),
            post,
            serving: Cell::new(SessionId::NONE),
            halted: Cell::new(Halted::NOT),
            late: Cell::default(),
            late_max: inbox_bounds(limits),
            foreign: RefCell::default(),
            reactors,
            special: Cell::new(false),
            send_high_bytes: limits.send_high_bytes,
            send_max_bytes: limits.send_max_bytes,
            census,
            next_timer: Cell::new(number as u32),
            timer_step: workers as u32,
        }
    }

    /// How many sessions the whole server has.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The turn in which the frames were handed over.
    #[inline]
    pub fn now(&self) -> Now {
        self.run.borrow().now
    }

    /// Why no more frames are handled, if they are not.
    #[inline(always)]
    pub fn halted(&self) -> Halted {
        self.halted.get()
    }

    /// Whether the end of the session was asked for.
    pub fn has_ended(&self) -> bool {
        self.halted.get().has(Halted::ENDED)
    }

    /// Whether it was cut off, so that the handler is told of nothing more but its end.
    pub fn is_lost(&self) -> bool {
        self.halted.get().has(Halted::LOST)
    }

    fn is_over(&self) -> bool {
        self.halted.get().has(Halted::OVER)
    }

    fn halt(&self, why: u8) {
        self.halted.set(Halted(self.halted.get().0 | why));
    }

    /// The session `id` is served from now on, unless it has `ended`. What it asks for is written down in
    /// `run`, in whose place is something else until [`Record::finish`].
    #[inline(always)]
    pub fn begin(&self, id: SessionId, ended: bool, run: &mut Box<Run>) {
        self.serving.set(id);
        let paused = if run.standing.pauses.is_none() { 0 } else { Halted::PAUSED };
        self.halted.set(Halted(u8::from(ended) | paused));
        // A sum: a difference would have to be kept from falling below nothing.
        if run.standing.queued_bytes + run.commands.page.room() > self.send_high_bytes {
            self.shorten_page(run);
        }
        let mut own = self.run.borrow_mut();
        std::mem::swap(&mut *own, run);
        self.go_on(&mut own);
    }

    /// What is written without a look at the marks must stay below them.
    #[cold]
    #[inline(never)]
    fn shorten_page(&self, run: &mut Run) {
        run.commands.page = Page::new(self.page_bytes_max(run));
    }

    /// Nothing more is written down, and `run` is what was. Whether the session's end was asked for.
    #[inline(always)]
    pub fn finish(&self, run: &mut Box<Run>) -> bool {
        let mut own = self.run.borrow_mut();
        own.commands.page.end();
        std::mem::swap(&mut *own, run);
        self.has_ended()
    }

    #[cold]
    #[inline(never)]
    fn pause_run(&self, run: &mut Run) {
        run.standing.pauses = run.standing.pauses.with(Holds::QUEUE);
        self.halt(Halted::PAUSED);
    }

    /// Whether more may be posted to the reactor, though its inbox has no room: not for a session that
    /// waits for room already, nor without bounds.
    pub fn may_be_late(&self) -> bool {
        let waits = |run: &Run| run.standing.pauses.has(Holds::OUTBOX);
        !self.run.try_borrow().is_ok_and(|run| waits(&run))
            && !self.late.get().reaches(self.late_max)
    }

    /// Something that weighs so much was posted, and the reactor's inbox has no room for more: the run ends
    /// behind this frame, and the session waits for room.
    #[cold]
    pub fn wait_for_room(&self, reactor: u8, load: Load) {
        let mut late = self.late.get();
        late += load;
        self.late.set(late);
        self.special.set(true);
        if self.serving.get() != SessionId::NONE
            && let Ok(mut run) = self.run.try_borrow_mut()
        {
            self.halt(Halted::PAUSED);
            run.commands.push(Command::WaitForRoom(self.serving.get(), reactor));
            self.go_on(&mut run);
        }
    }

    /// The reactor whose session is served.
    pub fn home(&self) -> u8 {
        self.serving.get().reactor()
    }

    /// Whether the run has asked anything of other reactors, or has filled an inbox: then
    /// [`Record::take_foreign`] and [`Record::forget_late`] come before its end.
    #[inline(always)]
    pub fn is_special(&self) -> bool {
        self.special.get()
    }

    /// The run is over: the next one is not late.
    pub fn forget_late(&self) {
        self.special.set(false);
        self.late.set(Load::default());
    }

    /// What was asked so far of the sessions of another reactor, or of any; `None` if that is nothing.
    pub fn take_foreign(&self, of: Option<u8>) -> Option<(u8, Commands)> {
        let mut foreign = self.foreign.borrow_mut();
        let nth = match of {
            Some(reactor) => foreign.iter().position(|(one, _)| *one == reactor)?,
            None => foreign.len().checked_sub(1)?,
        };
        Some(foreign.remove(nth))
    }

    fn ask_abroad(&self, command: Command) {
        self.special.set(true);
        let mut foreign = self.foreign.borrow_mut();
        let reactor = command.reactor();
        match foreign.iter_mut().find(|(one, _)| *one == reactor) {
            Some((_, commands)) => drop(commands.push(command)),
            None => {
                let mut commands = Commands::default();
                commands.push(command);
                foreign.push((reactor, commands));
            }
        }
    }

    /// Sends `bytes` to all members of a group.
    pub fn broadcast(&self, group: &Group, bytes: Bytes) {
        for reactor in (0..self.reactors).filter(|one| group.is_on(*one)) {
            self.ask(Command::Broadcast(reactor, group.clone(), bytes.clone()));
        }
        if group.holds_senders() {
            self.ask(Command::WaitForSlow(self.serving.get(), group.clone()));
        }
    }

    /// So many bytes more are about to be written: beyond the high mark, the run ends behind this frame.
    fn watch_mark(&self, run: &mut Run, bytes: usize) -> usize {
        let unsent = run.standing.queued_bytes + run.commands.page.written() + bytes;
        if unsent > self.send_high_bytes {
            self.pause_run(run);
        }
        unsent
    }

    /// Whether so many bytes more may be sent to the session that is being served. If not, it is lost.
    fn has_room(&self, run: &mut Run, bytes: usize) -> bool {
        if self.has_ended() {
            return false;
        }
        // The page may also have what is for others.
        let fits = self.watch_mark(run, bytes) <= self.send_max_bytes
            || self.queued_bytes_in(run) + bytes <= self.send_max_bytes;
        if !fits {
            run.commands.push(Command::Kill(self.serving.get(), CloseReason::SendFull));
            self.halt(Halted::ENDED | Halted::LOST);
        }
        fits
    }

    /// So many bytes more wait for the peer that do not lie on the page: what is written there without a look
    /// at the marks must stay below them all the same.
    fn more_waits(&self, run: &mut Run, bytes: usize) {
        run.standing.queued_bytes += bytes;
        if run.standing.queued_bytes + run.commands.page.room() > self.send_high_bytes {
            run.commands.page.close_room();
        }
    }

    /// How long the page may become without a look at the marks.
    #[inline(always)]
    fn page_bytes_max(&self, run: &Run) -> usize {
        self.send_high_bytes.saturating_sub(run.standing.queued_bytes)
    }

    /// Sends a copy of `bytes` to the session that is being served; `false` if its end has begun.
    #[inline(always)]
    pub fn answer(&self, bytes: &[u8]) -> bool {
        let mut run = self.run.borrow_mut();
        run.commands.page.append(self.serving.get(), bytes)
            || self.answer_slowly(&mut run, [bytes, &[]])
    }

    /// The first `width` bytes of `prefix`, and `bytes`, likewise.
    #[inline(always)]
    pub fn answer_prefixed(&self, prefix: [u8; 8], width: usize, bytes: &[u8]) -> bool {
        let mut run = self.run.borrow_mut();
        run.commands.page.append_prefixed(self.serving.get(), prefix, width, bytes)
            || self.answer_prefixed_slowly(&mut run, prefix, width, bytes)
    }

    /// The prefix is no slice: so it stays in a register, and the usual case stores it once.
    #[inline(never)]
    fn answer_prefixed_slowly(
        &self,
        run: &mut Run,
        prefix: [u8; 8],
        width: usize,
        bytes: &[u8],
    ) -> bool {
        self.answer_slowly(run, [&prefix[..width], bytes])
    }

    /// The end has begun, or the page is full, or the session encodes: a head is written here, and all else
    /// by the reactor, which has the encoder.
    #[inline(never)]
    fn answer_slowly(&self, run: &mut Run, [first, second]: [&[u8]; 2]) -> bool {
        let bytes = first.len() + second.len();
        match run.standing.form {
            Form::Plain => {}
            Form::Header(header) => {
                return self.write_own(run, [(header.head)(bytes).as_slice(), first, second]);
            }
            form @ Form::Stateful(_) => return self.write_to_encode(run, form, [first, second]),
        }
        let has_room = self.has_room(run, bytes);
        if has_room {
            run.commands.page.make_room(bytes, self.page_bytes_max(run));
            for piece in [first, second] {
                run.commands.page.append(self.serving.get(), piece);
            }
        }
        has_room
    }

    fn write_own(&self, run: &mut Run, pieces: [&[u8]; 3]) -> bool {
        let has_room = self.has_room(run, pieces.iter().map(|piece| piece.len()).sum());
        if has_room {
            self.write(run, self.serving.get(), pieces);
        }
        has_room
    }

    /// An entry of its own.
    fn write(&self, run: &mut Run, to: SessionId, pieces: [&[u8]; 3]) {
        run.commands.page.end();
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.watch_mark(run, bytes);
        run.commands.page.make_room(bytes, self.page_bytes_max(run));
        run.commands.page.enter(to);
        pieces.into_iter().for_each(|piece| run.commands.page.add(piece));
        self.go_on(run);
    }

    /// Sends a copy of `bytes` to any session, on behalf of the one that is being served.
    pub fn send(&self, to: SessionId, bytes: &[u8]) {
        if to == self.serving.get() {
            self.answer(bytes);
        } else if to.reactor() != self.home() {
            self.ask_abroad(Command::Send(to, Bytes::copy_from_slice(bytes)));
        } else {
            self.write(&mut self.run.borrow_mut(), to, [bytes, &[], &[]]);
        }
    }

    /// The session that is being served is not to be read until its queue has fallen to the low
    /// mark; `false` if its end has begun.
    pub fn pause(&self) -> bool {
        if !self.has_ended() {
            self.pause_run(&mut self.run.borrow_mut());
            self.ask(Command::Pause(self.serving.get()));
        }
        !self.has_ended()
    }

    /// Asks for something that ends the session that is being served.
    pub fn end(&self, command: Command) {
        let is_cut_off = matches!(command, Command::Kill(..));
        self.ask(command);
        self.close(if is_cut_off { Halted::LOST } else { 0 });
    }

    /// No more is sent to the session that is being served, and no more frames are delivered.
    fn close(&self, why: u8) {
        self.run.borrow_mut().commands.page.end();
        self.halt(Halted::ENDED | why);
    }

    /// The session that is being served is over, or never began: it has no timers, and nothing waits for
    /// its peer.
    pub fn begin_end(&self) {
        self.close(Halted::LOST | Halted::OVER);
        self.run.borrow_mut().timers = None;
    }

    /// Writes down a command, behind all that was sent before.
    pub fn ask(&self, command: Command) {
        if command.reactor() != self.home() {
            return self.ask_abroad(command);
        }
        let mut run = self.run.borrow_mut();
        run.commands.push(command);
        self.go_on(&mut run);
    }

    /// Something that was nobody's has panicked.
    pub fn count_panic(&self) {
        self.run.borrow_mut().commands.panics += 1;
    }

    /// The session that is being served is lost: its handler has panicked.
    pub fn panicked(&self) {
        self.count_panic();
        self.ask(Command::Kill(self.serving.get(), CloseReason::HandlerPanicked));
        self.close(Halted::LOST);
    }

    /// The session that is being served is the writer, unless each of its messages is a matter of
    /// its own.
    #[inline(always)]
    fn go_on(&self, run: &mut Run) {
        if !self.has_ended() && run.standing.form.is_plain() {
            run.commands.page.begin(self.serving.get());
        }
    }

    /// Posts what was asked for so far: it leaves before the rest of the run.
    pub fn post_so_far(&self) {
        let Some(buffer) = self.take_commands() else { return };
        let load = buffer.load();
        if !(self.post)(self.serving.get(), buffer) {
            self.wait_for_room(self.home(), load);
        }
    }

    /// Takes out what was asked for so far; `None` if that is nothing, or if it cannot be taken now.
    fn take_commands(&self) -> Option<Box<CommandBuffer>> {
        let mut run = self.run.try_borrow_mut().ok()?;
        run.commands.page.end();
        let taken = (!run.commands.is_empty()).then(|| Box::new(std::mem::take(&mut run.commands)));
        let bytes = taken.as_ref().map_or(0, |taken| taken.bytes_for(self.serving.get()));
        self.more_waits(&mut run, bytes);
        self.go_on(&mut run);
        taken
    }

    /// Bytes that wait for the peer of the session that is being served.
    pub fn queued_bytes(&self) -> usize {
        if self.is_over() { 0 } else { self.queued_bytes_in(&self.run.borrow()) }
    }

    fn queued_bytes_in(&self, run: &Run) -> usize {
        run.standing.queued_bytes + run.commands.bytes_for(self.serving.get())
    }

    /// Whether it stands over the high mark.
    pub fn is_paused(&self) -> bool {
        !self.is_over() && self.run.borrow().standing.pauses.has(Holds::QUEUE)
    }

    /// Whether its frames are not handled for now.
    pub fn is_held(&self) -> bool {
        !self.run.borrow().standing.pauses.is_none()
    }

    /// So many bytes are on their way to a session by a `Remote`: if it is served, they count as its answers
    /// do, and beyond the high mark the run ends behind this frame.
    pub fn sent_by_remote(&self, sent: Option<(SessionId, usize)>) {
        if let Some((id, bytes)) = sent
            && id == self.serving.get()
            && let Ok(mut run) = self.run.try_borrow_mut()
        {
            self.watch_mark(&mut run, bytes);
            self.more_waits(&mut run, bytes);
        }
    }

    /// Starts a timer; `None` outside of a session, and when there is nobody to tell any more.
    pub fn set_timer(&self, after: Duration) -> Option<TimerId> {
        if self.serving.get() == SessionId::NONE || self.is_lost() {
            return None;
        }
        let number = self.next_timer.get();
        self.next_timer.set(number.wrapping_add(self.timer_step));
        let started = Started { number, start: 0 };
        let key = self.run.borrow_mut().timers.get_or_insert_default().insert(started);
        let id = TimerId::from_key(Key { index: key.index, generation: number });
        self.ask(Command::SetTimer(self.serving.get(), LaneTimer { id, start: 0 }, after));
        Some(id)
    }

    /// Starts a timer anew; `false` if it has fired or was cancelled.
    pub fn reset_timer(&self, id: TimerId, after: Duration) -> bool {
        let mut run = self.run.borrow_mut();
        let Some((_, started)) = find(&mut run, id) else { return false };
        started.start += 1;
        let timer = LaneTimer { id, start: started.start };
        run.commands.push(Command::SetTimer(self.serving.get(), timer, after));
        self.go_on(&mut run);
        true
    }

    /// Cancels a timer; `false` if it has fired or was cancelled.
    pub fn cancel_timer(&self, id: TimerId) -> bool {
        let was_there = self.forget_timer(id);
        if was_there {
            self.ask(Command::CancelTimer(self.serving.get(), id));
        }
        was_there
    }

    fn forget_timer(&self, id: TimerId) -> bool {
        let mut run = self.run.borrow_mut();
        let key = find(&mut run, id).map(|(key, _)| key);
        key.zip(run.timers.as_deref_mut()).is_some_and(|(key, timers)| timers.remove(key).is_some())
    }

    /// Whether a timer that the wheel has fired was started as often as that; one that was not is
    /// stale.
    pub fn is_due(&self, timer: LaneTimer) -> bool {
        let mut run = self.run.borrow_mut();
        find(&mut run, timer.id).is_some_and(|(_, started)| started.start == timer.start)
    }

    /// After a timer's callback: forgets it, unless it was started anew meanwhile.
    pub fn settle(&self, timer: LaneTimer) {
        if self.is_due(timer) {
            self.forget_timer(timer.id);
        }
    }

    /// Dials; `None` when the server is full.
    pub fn connect(&self, route: Route, timeout: Duration) -> Option<SessionId> {
        let id = self.census.name_ahead(self.home())?;
        self.ask(Command::Connect(id, Box::new(route), timeout));
        // Whoever is given the name may use it at once, on any thread.
        self.post_so_far();
        Some(id)
    }
}

/// A timer of the session that is being served, by its name, and its place among the others.
fn find(run: &mut Run, id: TimerId) -> Option<(Key, &mut Started)> {
    let Key { index, generation } = id.key();
    let (key, started) = run.timers.as_deref_mut()?.at(index as usize)?;
    (started.number == generation).then_some((key, started))
}

#[cfg(test)]
mod tests;
