//! A lane: one session's way through the worker pool, and the batch that travels on it.
//!
//! A lane is at home with the reactor, or away: in the crew's queue, with a worker, in the mailbox
//! on its way back. It is one box that moves, so whoever has it is the only one; that is why no
//! lock guards a session's state and no two workers can run it.

use std::collections::VecDeque;
use std::ops::Range;
use std::slice::Iter;

use crate::buffer::{LaneTimers, Run, empty};
use crate::close::CloseReason;
use crate::command::LaneTimer;
use crate::context::Peer;
use crate::host::News;
use crate::id::SessionId;
use crate::load::Load;
use crate::message::Message;

/// One session's lane.
pub struct Lane<F, S> {
    /// The session, as handlers know it; `SessionId::NONE` carries what a worker asks for when it
    /// starts.
    pub name: SessionId,
    /// How far its session has come, for handlers.
    pub stage: Stage<S>,
    /// Its timers, when it is at home.
    pub timers: Option<Box<LaneTimers>>,
    /// What is to be done, while it is away.
    pub batch: Option<Box<Batch<F>>>,
}

/// How far a session has come, for handlers; with the user's state, between `on_open` and
/// `on_close`.
pub enum Stage<S> {
    /// No handler has met it.
    Unmet,
    /// Frames are delivered.
    Open(S),
    /// Its end has been asked for: no more frames.
    Ended(S),
    /// It was cut off: only its end is told.
    Lost(S),
    /// It is over, or it never began.
    Over,
}

impl<S> Stage<S> {
    /// The user's state, while anything is told but the end.
    #[inline]
    pub fn session(&mut self) -> Option<&mut S> {
        match self {
            Stage::Open(session) | Stage::Ended(session) => Some(session),
            Stage::Unmet | Stage::Lost(_) | Stage::Over => None,
        }
    }

    /// Whether nothing more is sent, and no more frames are delivered.
    #[inline]
    pub fn has_ended(&self) -> bool {
        matches!(self, Stage::Ended(_) | Stage::Lost(_) | Stage::Over)
    }

    /// From now on, nothing is; and nothing else is told but the end, if it was `cut_off`.
    #[inline]
    pub fn end(&mut self, cut_off: bool) {
        *self = match std::mem::replace(self, Stage::Over) {
            Stage::Open(session) | Stage::Ended(session) if cut_off => Stage::Lost(session),
            Stage::Open(session) => Stage::Ended(session),
            Stage::Unmet | Stage::Over => Stage::Over,
            ended => ended,
        };
    }
}

/// What travels with a lane: to the worker what is to be done, and home what was asked for.
pub struct Batch<F> {
    /// What is to be done, in order: where a frame lies in `bytes`, or `EVENT` for the next event.
    tasks: Vec<(usize, usize)>,
    /// How many of them are done.
    done: usize,
    /// The first `filled` ones are the frames, in order, perhaps with what framed them. The others are
    /// room: it has values already, so that a frame is copied into its place behind one check.
    bytes: Vec<u8>,
    filled: usize,
    events: VecDeque<Event>,
    /// What the messages weigh that have come since it has left last, if it has.
    told: Load,
    /// The framer that `on_open` has made, on its way to the reactor.
    pub framer: Option<F>,
    /// What the handler may know, and what it has asked for.
    pub run: Box<Run>,
}

/// Tasks that are done one after the other. It walks a list that is borrowed, so where that ends need not
/// be asked of the batch for each of them.
pub struct Tasks<'a, F> {
    places: Iter<'a, (usize, usize)>,
    done: &'a mut usize,
    bytes: &'a [u8],
    events: &'a mut VecDeque<Event>,
    /// The framer that `on_open` has made.
    pub framer: &'a mut Option<F>,
}

/// What is to be done.
pub enum Task<'a> {
    /// Handle a frame.
    Frame(&'a [u8]),
    /// Tell of an event.
    Event(Event),
}

impl<'a, F> Tasks<'a, F> {
    /// The next task. It counts as done.
    #[inline(always)]
    pub fn next(&mut self) -> Option<Task<'a>> {
        loop {
            let place = *self.places.next()?;
            *self.done += 1;
            // No frame begins there, so one comparison will do.
            if place.0 != EVENT.0 {
                return Some(Task::Frame(&self.bytes[place.0..place.1]));
            }
            if let Some(event) = self.events.pop_front() {
                return Some(Task::Event(event));
            }
        }
    }
}

/// Stands for an event among the places of frames.
const EVENT: (usize, usize) = (usize::MAX, usize::MAX);

/// What happens to a session besides its frames.
pub enum Event {
    /// It begins.
    Open(Peer),
    /// The handler is told something.
    News(News),
    /// The wheel has fired one of its timers.
    Due(LaneTimer),
    /// Another thread has told it something.
    Message(Message),
    /// It is over.
    Close(CloseReason),
    /// It never began.
    ConnectFailed(CloseReason),
}

impl Event {
    /// Whether it comes also while the session is not read: nothing does that stands in the peer's
    /// stream behind frames, as its end does, or bytes that were refused; nor does the end of a session
    /// that is over, because nobody has to take its answers any more.
    fn is_urgent(&self) -> bool {
        match self {
            Event::News(News::PeerFinished) | Event::Close(_) => false,
            Event::News(News::Closing(reason)) => !matches!(
                reason,
                CloseReason::Malformed(_) | CloseReason::FrameTooLong | CloseReason::FramerBroke
            ),
            _ => true,
        }
    }
}

/// Room that an empty batch keeps.
const TASKS_KEPT: usize = 512;
const BYTES_KEPT: usize = 16 << 10;
/// What a frame is counted as besides its bytes, when a lane's length is bounded.
const TASK_BYTES: usize = 16;

impl<F, S> Lane<F, S> {
    /// The lane of a session that no handler has met.
    pub fn new(name: SessionId) -> Box<Lane<F, S>> {
        Box::new(Lane { name, stage: Stage::Unmet, timers: None, batch: None })
    }
}

impl<F> Batch<F> {
    /// An empty batch. Not inlined where one is needed now and then.
    #[inline(never)]
    pub fn new() -> Box<Batch<F>> {
        Box::new(Batch {
            tasks: Vec::new(),
            done: 0,
            bytes: Vec::new(),
            filled: 0,
            events: VecDeque::new(),
            told: Load::default(),
            framer: None,
            run: Box::default(),
        })
    }

    /// Adds a frame, if there is room for it without asking for memory, and if its size is within
    /// `bytes_max` then.
    #[inline(always)]
    pub fn push_frame_at_once(&mut self, frame: &[u8], bytes_max: usize) -> bool {
        let has_place = self.tasks.len() < self.tasks.capacity();
        if !has_place || self.size() + frame.len() + TASK_BYTES > bytes_max {
            return false;
        }
        let (begin, end) = (self.filled, self.filled + frame.len());
        let Some(place) = self.bytes.get_mut(begin..end) else { return false };
        self.filled = end;
        self.tasks.push((begin, end));
        place.copy_from_slice(frame);
        true
    }

    /// Adds a frame.
    pub fn push_frame(&mut self, frame: &[u8]) {
        self.tasks.push((self.filled, self.filled + frame.len()));
        self.push_bytes(frame);
    }

    /// Adds a frame that lies in bytes which are still to be added: this much `further` than those
    /// that are here.
    #[inline(always)]
    pub fn push_ahead(&mut self, further: usize, frame: Range<usize>) {
        let here = self.filled + further;
        self.tasks.push((here + frame.start, here + frame.end));
    }

    /// Adds the bytes in which frames lie that were added before.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        if end > self.bytes.len() {
            self.make_room(end);
        }
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
    }

    /// Makes room for so many bytes in all, and for others that may follow.
    #[cold]
    fn make_room(&mut self, bytes: usize) {
        self.bytes.resize(bytes.max(2 * self.bytes.len()), 0);
    }

    /// Adds anything else.
    pub fn push(&mut self, event: Event) {
        self.tasks.push(EVENT);
        self.events.push_back(event);
    }

    /// Adds a message that weighs so much; gives it back if those that wait weigh as much as `bounds`.
    pub fn push_message(
        &mut self,
        message: Message,
        load: Load,
        bounds: Load,
    ) -> Result<(), Message> {
        if self.told.reaches(bounds) {
            return Err(message);
        }
        self.told += load;
        self.push(Event::Message(message));
        Ok(())
    }

    /// Whether messages have come since it has left last, or before.
    #[inline(always)]
    pub fn was_told(&self) -> bool {
        self.told.mails > 0
    }

    /// Whether there are messages.
    pub fn has_messages(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::Message(_)))
    }

    /// All messages that were here have been handled.
    pub fn forget_told(&mut self) {
        self.told = Load::default();
    }

    /// How many frames and events there are.
    #[inline]
    pub fn frames(&self) -> usize {
        self.tasks.len()
    }

    /// Memory that it takes, in bytes, as far as it was filled.
    #[inline]
    pub fn size(&self) -> usize {
        self.filled + self.tasks.len() * TASK_BYTES
    }

    /// Where a run ends that does so many tasks at the most.
    #[inline]
    pub fn end_of_run(&self, tasks_max: usize) -> usize {
        self.tasks.len().min(self.done + tasks_max)
    }

    /// How many tasks there are before that one.
    #[inline]
    pub fn left_until(&self, end: usize) -> usize {
        end - self.done
    }

    /// The tasks that are not done, before the one at `end`; or all, if some were taken out since that
    /// was told.
    #[inline(always)]
    pub fn tasks_before(&mut self, end: usize) -> Tasks<'_, F> {
        let Batch { tasks, done, bytes, filled, events, framer, .. } = self;
        let end = end.min(tasks.len());
        let (places, bytes) = (tasks[*done..end].iter(), &bytes[..*filled]);
        Tasks { places, done, bytes, events, framer }
    }

    /// Adds an event that comes before all that is still to be done.
    pub fn push_first(&mut self, event: Event) {
        self.tasks.insert(self.done, EVENT);
        self.events.push_front(event);
    }

    /// Adds all that `later`, which nobody has begun, has to be done.
    pub fn append(&mut self, later: &mut Batch<F>) {
        let offset = self.filled;
        let moved = later.tasks.iter().map(|task| match *task {
            EVENT => EVENT,
            (begin, end) => (offset + begin, offset + end),
        });
        self.tasks.extend(moved);
        self.push_bytes(&later.bytes[..later.filled]);
        self.events.append(&mut later.events);
        self.told += later.told;
    }

    /// Whether something is to be done that does not wait for the peer to take its bytes.
    #[inline]
    pub fn has_urgent(&self) -> bool {
        self.events.iter().any(Event::is_urgent)
    }

    /// The next event that does not wait for the peer to take its bytes; it is taken out.
    pub fn next_urgent(&mut self) -> Option<Event> {
        let nth = self.events.iter().position(Event::is_urgent)?;
        let mut events = (self.done..self.tasks.len()).filter(|at| self.tasks[*at] == EVENT);
        let at = events.nth(nth)?;
        self.tasks.remove(at);
        self.events.remove(nth)
    }

    /// Whether all tasks are done.
    #[inline]
    pub fn is_done(&self) -> bool {
        self.done == self.tasks.len()
    }

    /// Empty again, with the room it had if that is not much.
    #[inline(always)]
    pub fn clear(&mut self) {
        empty(&mut self.tasks, TASKS_KEPT);
        self.filled = 0;
        if self.bytes.len() > BYTES_KEPT {
            self.bytes.truncate(BYTES_KEPT);
            self.bytes.shrink_to_fit();
        }
        self.done = 0;
        if self.events.capacity() > 0 {
            // Events are few in a session's life: no room is kept for them.
            self.events = VecDeque::new();
            self.forget_told();
        }
        self.run.commands.clear();
    }
}
