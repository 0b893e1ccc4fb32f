//! The worker pool, seen from a reactor: what would be told to a handler goes onto the session's
//! lane instead, and what handlers have asked for comes home as one mail for each run.
//!
//! The reactor accepts, reads, frames, limits and refuses; bad input never costs a worker. While a
//! session's lane is away, its frames gather for the next trip; when they are too many, the session
//! is not read until the lane is home. Whatever happens to the session takes its place among the
//! frames, and `on_close` is the lane's last task.
//!
//! Invariants: a lane is at home in its desk, or away exactly once; a session whose slot was freed
//! while its lane was away has its last tasks in `orphans`, and nobody else has.
//!
//! Thread contract: [`Lanes`] reactor-thread, [`Shared`] any-thread.

pub(crate) mod crew;
mod desk;
mod lane;
pub(crate) mod stall;
mod worker;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::asker::Inboxes;
use crate::census::Census;
use crate::clock::Now;
use crate::close::CloseReason;
use crate::context::Peer;
use crate::framers::Framer;
use crate::handler::Handler;
use crate::host::{Cut, Host, Hosting, News, Seats, next_frame, shown};
use crate::id::SessionId;
use crate::incident::Incident;
use crate::letter::Letter;
use crate::limits::Limits;
use crate::load::Load;
use crate::mailbox::{Mailbox, inbox_bounds};
use crate::message::Message;
use crate::report::Report;
use crate::session::{Holds, Standing};
use crate::sessions::Sessions;

use crew::Crew;
use desk::Desk;
pub use desk::Late;
use lane::{Batch, Event, Lane};
use stall::{Post, Watch};
pub use worker::Worker;

/// The lane of a session whose handler is `H`, and is told messages of the type `M`.
type Way<H, M> = Lane<<H as Handler<M>>::Framer, <H as Handler<M>>::Session>;

/// What the reactor keeps for such a session.
type Place<H, M> = Desk<<H as Handler<M>>::Framer, <H as Handler<M>>::Session>;

/// A lane on its way home, and how many of its reactor's letters come before it.
type Homing<L> = (u64, Box<L>);

/// What comes to one reactor.
struct Home<L> {
    /// Its lanes, each behind so many of all its letters.
    lanes: Mailbox<Homing<L>>,
    /// Of these, and of what a lane brings home, nothing overtakes anything.
    letters: Arc<Mailbox<Letter>>,
}

/// What reactors and their workers share.
pub struct Shared<H: Handler<M>, M = ()> {
    crew: Crew<Box<Way<H, M>>>,
    /// Where the lanes of each reactor come home.
    homes: Box<[Home<Way<H, M>>]>,
    inboxes: Inboxes,
    /// Reactors that have not ended.
    reactors_left: AtomicUsize,
    /// What each worker is busy with.
    posts: Box<[Post]>,
    census: Arc<Census>,
    limits: Limits,
    frames_per_run: usize,
    report: Report,
}

/// The lanes of a reactor's sessions.
pub struct Lanes<H: Handler<M>, M = ()> {
    shared: Arc<Shared<H, M>>,
    /// The number of the reactor.
    reactor: usize,
    /// Lanes that are home, and not looked at yet.
    inbox: VecDeque<Homing<Way<H, M>>>,
    /// Sessions that have something to send on their lane.
    listed: Vec<SessionId>,
    /// Lanes that leave together.
    leaving: Vec<Box<Way<H, M>>>,
    /// How many are away, and not yet home.
    away: usize,
    /// The last tasks of those whose slot was freed while their lane was away, by name.
    orphans: HashMap<SessionId, Box<Batch<H::Framer>>>,
    /// Empty batches.
    spare: Vec<Box<Batch<H::Framer>>>,
    lane_bytes_max: usize,
    /// How many messages may gather for one session, and their bytes.
    told_max: Load,
    watch: Watch,
}

/// Batches kept for the next trip: a ready list half full of them.
const SPARE_KEPT: usize = 128;

impl<H: Handler<M>, M: Send + 'static> Lanes<H, M> {
    /// Lanes for each of the reactors that have these inboxes, and this many workers in common.
    pub(crate) fn several(
        workers: usize,
        inboxes: Inboxes,
        census: Arc<Census>,
        limits: &Limits,
        report: Report,
    ) -> Vec<Lanes<H, M>> {
        let home = |inbox: &Arc<Mailbox<Letter>>| Home {
            lanes: Mailbox::new(Load::MAX, inbox.bell().clone()),
            letters: inbox.clone(),
        };
        let reactors = inboxes.len();
        let shared = Shared {
            crew: Crew::default(),
            homes: inboxes.iter().map(home).collect(),
            inboxes,
            reactors_left: AtomicUsize::new(reactors),
            posts: (0..workers).map(|_| Post::default()).collect(),
            census,
            limits: limits.clone(),
            frames_per_run: limits.lane_frames_per_run,
            report,
        };
        let shared = Arc::new(shared);
        (0..reactors).map(|reactor| Lanes::new(shared.clone(), reactor)).collect()
    }

    fn new(shared: Arc<Shared<H, M>>, reactor: usize) -> Lanes<H, M> {
        let (limits, workers) = (&shared.limits, shared.posts.len());
        Lanes {
            reactor,
            inbox: VecDeque::new(),
            listed: Vec::new(),
            leaving: Vec::new(),
            away: 0,
            orphans: HashMap::new(),
            spare: Vec::new(),
            lane_bytes_max: limits.lane_bytes_max,
            told_max: inbox_bounds(limits),
            watch: Watch::new(reactor as u8, workers, limits.stall_timeout),
            shared,
        }
    }

    /// What the workers are made with.
    pub fn shared(&self) -> Arc<Shared<H, M>> {
        self.shared.clone()
    }

    /// What gathers for a lane's next trip. The first thing lists the session.
    #[inline]
    fn pending<'d>(
        &mut self,
        id: SessionId,
        desk: &'d mut Place<H, M>,
    ) -> &'d mut Box<Batch<H::Framer>> {
        desk.pending.get_or_insert_with(|| self.begin_trip(id))
    }

    /// Room for the first frame of a trip.
    #[inline(always)]
    fn begin_trip(&mut self, id: SessionId) -> Box<Batch<H::Framer>> {
        self.listed.push(id);
        self.spare.pop().unwrap_or_else(Batch::new)
    }

    /// A frame that makes the lane full, or for which memory must be asked.
    #[inline(never)]
    fn frame_slowly(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        desk: &mut Place<H, M>,
        frame: &[u8],
    ) {
        let batch = self.pending(id, desk);
        batch.push_frame(frame);
        if batch.size() > self.lane_bytes_max {
            sessions.hold(id, Holds::LANE);
        }
    }

    /// Lets a lane go, with what its handler may know of the session.
    #[inline(always)]
    fn leave(
        &mut self,
        now: Now,
        standing: Standing,
        mut lane: Box<Way<H, M>>,
        mut batch: Box<Batch<H::Framer>>,
    ) {
        batch.run.now = now;
        batch.run.standing = standing;
        lane.batch = Some(batch);
        self.away += 1;
        self.leaving.push(lane);
    }

    /// Hands all that leave to the crew at once.
    fn send_off(&mut self, now: Now) {
        if !self.leaving.is_empty() {
            self.watch.begin(now);
            self.shared.crew.add(&mut self.leaving);
        }
    }

    /// A lane is home: does what its handler has asked for, and sends it out again if there is more
    /// to do.
    fn arrive(
        &mut self,
        sessions: &mut Sessions,
        seats: &mut impl Seats<Late<H::Framer>, Place<H, M>>,
        mut lane: Box<Way<H, M>>,
    ) {
        let Some(mut batch) = lane.batch.take() else { return };
        self.away -= usize::from(lane.name != SessionId::NONE);
        let id = sessions.slot(lane.name);
        let here = sessions.apply_all(id, lane.name, &mut batch.run.commands);
        let (Some(holds), Some((late, desk))) = (here, seats.seat(id)) else {
            return self.arrive_late(sessions, lane, batch);
        };
        if batch.framer.is_some() {
            sessions.stats.opened += 1;
            *late = Late(batch.framer.take());
        }
        if batch.was_told() {
            desk.hear(sessions, id, &batch);
        }
        let next = if batch.is_done() {
            self.put_away(batch);
            desk.pending.take()
        } else {
            batch.run.commands.clear();
            Some(batch)
        };
        match next {
            Some(batch) if may_leave(holds.pauses(), &batch) => {
                let standing = sessions.standing(id).unwrap_or_default();
                self.leave(sessions.now, standing, lane, batch);
            }
            Some(batch) => {
                self.wait_at_home(desk, batch);
                desk.home = Some(lane);
                // What has gathered meanwhile may be urgent.
                self.listed.push(id);
            }
            None => desk.home = Some(lane),
        }
        if holds.has(Holds::LANE) && late.0.is_some() {
            self.read_again(sessions, id, desk);
        }
    }

    /// A lane that was full takes frames again when half of what it may hold has left.
    #[inline(never)]
    fn read_again(&self, sessions: &mut Sessions, id: SessionId, desk: &Place<H, M>) {
        let waiting = desk.pending.as_ref().map_or(0, |batch| batch.size());
        if waiting <= self.lane_bytes_max / 2 {
            sessions.release(id, Holds::LANE);
        }
    }

    /// Frames that the reactor would not have read, had it known, wait for the peer to take its bytes.
    #[cold]
    fn wait_at_home(&mut self, desk: &mut Place<H, M>, mut batch: Box<Batch<H::Framer>>) {
        batch.forget_told();
        if let Some(mut later) = desk.pending.take() {
            batch.append(&mut later);
            self.put_away(later);
        }
        desk.pending = Some(batch);
    }

    /// A lane is home whose session has ended meanwhile.
    #[cold]
    fn arrive_late(
        &mut self,
        sessions: &mut Sessions,
        lane: Box<Way<H, M>>,
        mut batch: Box<Batch<H::Framer>>,
    ) {
        sessions.stats.opened += u64::from(batch.framer.take().is_some());
        if !batch.is_done() {
            batch.run.commands.clear();
            return self.leave(sessions.now, Standing::default(), lane, batch);
        }
        self.put_away(batch);
        if let Some(last) = self.orphans.remove(&lane.name) {
            self.leave(sessions.now, Standing::default(), lane, last);
        }
    }

    #[inline(always)]
    fn put_away(&mut self, mut batch: Box<Batch<H::Framer>>) {
        if self.spare.len() < SPARE_KEPT {
            batch.clear();
            self.spare.push(batch);
        }
    }
}

/// The bytes of one read, and how far they were cut into frames: they go onto the batch behind the places
/// of these, also when the framer has panicked, so that no frame that it has cut before is lost.
struct Cutting<'a, F> {
    batch: &'a mut Batch<F>,
    input: &'a mut [u8],
    begin: usize,
    end: usize,
}

impl<F> Drop for Cutting<'_, F> {
    #[inline(always)]
    fn drop(&mut self) {
        self.batch.push_bytes(&self.input[self.begin..self.end]);
    }
}

/// Adds the places of all frames that are whole, and says behind each how far it reaches. By itself, and
/// told by reference, so that the loop has its variables in registers.
#[inline(never)]
fn add_places<F, const LONG: bool>(
    batch: &mut Batch<F>,
    (framer, sessions): (&mut impl Framer, &mut Sessions),
    input: &mut [u8],
    begin: usize,
    end: &mut usize,
) -> usize {
    while *end < input.len() {
        match next_frame(framer, sessions, shown::<LONG>(sessions, &mut input[*end..])) {
            Ok((frame, used)) => {
                batch.push_ahead(*end - begin, frame);
                *end += used;
            }
            Err(wanted) => return wanted,
        }
    }
    0
}

/// Whether a batch has anything to do for a worker: its frames wait while the session is paused.
#[inline]
fn may_leave<F>(pauses: Holds, batch: &Batch<F>) -> bool {
    pauses.is_none() || batch.has_urgent()
}

impl<H: Handler<M>, M: Send + 'static> Host for Lanes<H, M> {
    type Message = M;
}

impl<H: Handler<M>, M: Send + 'static> Hosting for Lanes<H, M> {
    type Framer = Late<H::Framer>;
    type Session = Place<H, M>;
    const ELSEWHERE: bool = true;

    fn start(&mut self, _sessions: &mut Sessions) {}

    fn open(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        peer: Peer,
    ) -> (Late<H::Framer>, Place<H, M>) {
        let mut desk = Desk::new(sessions.name(id));
        self.pending(id, &mut desk).push(Event::Open(peer));
        sessions.hold(id, Holds::LANE);
        (Late(None), desk)
    }

    #[inline(always)]
    fn frame(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        desk: &mut Place<H, M>,
        frame: &[u8],
    ) {
        let bytes_max = self.lane_bytes_max;
        if !self.pending(id, desk).push_frame_at_once(frame, bytes_max) {
            self.frame_slowly(sessions, id, desk, frame);
        }
    }

    /// Many frames of one read are copied at once, with what framed them. A lane becomes longer than
    /// it should be by one read at the most.
    fn cut(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        framer: &mut Late<H::Framer>,
        desk: &mut Place<H, M>,
        input: &mut [u8],
        consumed: usize,
    ) -> Cut {
        if consumed >= input.len() || !sessions.reads(id) {
            return Cut { consumed, wanted: 0 };
        }
        let batch = self.pending(id, desk);
        let before = batch.frames();
        let is_long = input.len() - consumed > sessions.limits().frame_bytes_max;
        let mut cutting = Cutting { batch: &mut *batch, input, begin: consumed, end: consumed };
        let Cutting { batch: places, input, begin, end } = &mut cutting;
        let tools = (framer, &mut *sessions);
        let wanted = match is_long {
            false => add_places::<_, false>(places, tools, input, *begin, end),
            true => add_places::<_, true>(places, tools, input, *begin, end),
        };
        let cut = Cut { consumed: cutting.end, wanted };
        drop(cutting);
        sessions.stats.frames += (batch.frames() - before) as u64;
        if batch.size() > self.lane_bytes_max {
            sessions.hold(id, Holds::LANE);
        }
        if batch.frames() == 0 {
            // Nothing was whole: the lane has no trip to make.
            self.spare.extend(desk.pending.take());
        }
        cut
    }

    fn is_busy(&self, desk: &Place<H, M>) -> bool {
        desk.home.is_none() || desk.pending.is_some()
    }

    fn tell(&mut self, sessions: &mut Sessions, id: SessionId, desk: &mut Place<H, M>, news: News) {
        let event = match news {
            News::Timer(timer) => match sessions.lane_timer_fired(id, timer) {
                Some(timer) => Event::Due(timer),
                None => return,
            },
            other => Event::News(other),
        };
        let waits_at_home = desk.home.is_some() && desk.pending.is_some();
        let batch = self.pending(id, desk);
        if waits_at_home && news == News::Drained {
            // As in place: what was not handled while the session was paused comes after this.
            batch.push_first(event);
        } else {
            batch.push(event);
        }
        if waits_at_home {
            self.listed.push(id);
        }
    }

    /// A session that is told more than an inbox holds, and whose worker does not come to it, is lost: its
    /// peer cannot be held for what other threads do.
    fn message(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        desk: &mut Place<H, M>,
        message: Message,
    ) {
        let waits_at_home = desk.home.is_some() && desk.pending.is_some();
        let (load, told_max) = (Load::of_one(message.bytes()), self.told_max);
        if let Err(message) = self.pending(id, desk).push_message(message, load, told_max) {
            sessions.kill(id, CloseReason::SendFull);
            drop(message);
        } else {
            sessions.note_told(id);
        }
        if waits_at_home {
            self.listed.push(id);
        }
    }

    fn resume(&mut self, id: SessionId, desk: &Place<H, M>) {
        if desk.home.is_some() && desk.pending.is_some() {
            self.listed.push(id);
        }
    }

    fn close(
        &mut self,
        sessions: &mut Sessions,
        name: SessionId,
        mut desk: Place<H, M>,
        reason: CloseReason,
    ) {
        // Its slot is free: it is listed for nobody.
        let mut batch =
            desk.pending.take().unwrap_or_else(|| self.spare.pop().unwrap_or_else(Batch::new));
        batch.push(Event::Close(reason));
        match desk.home {
            Some(lane) => self.leave(sessions.now, Standing::default(), lane, batch),
            None => {
                self.orphans.insert(name, batch);
            }
        }
    }

    fn connect_failed(&mut self, sessions: &mut Sessions, name: SessionId, reason: CloseReason) {
        let mut batch = Batch::new();
        batch.push(Event::ConnectFailed(reason));
        self.leave(sessions.now, Standing::default(), Lane::new(name), batch);
    }

    fn take_home(&mut self) {
        self.shared.homes[self.reactor].lanes.take(&mut self.inbox);
    }

    #[inline]
    fn come_home(
        &mut self,
        sessions: &mut Sessions,
        seats: &mut impl Seats<Late<H::Framer>, Place<H, M>>,
        opened: u64,
        left: &mut usize,
    ) -> bool {
        // Taken out before it is looked at: seldom must it be put back.
        while let Some((behind, lane)) = self.inbox.pop_front() {
            if behind > opened || *left == 0 {
                self.inbox.push_front((behind, lane));
                return behind > opened;
            }
            *left -= 1;
            self.arrive(sessions, seats, lane);
        }
        true
    }

    #[inline]
    fn set_out(&mut self, now: Now) {
        self.send_off(now);
    }

    fn depart(
        &mut self,
        sessions: &mut Sessions,
        seats: &mut impl Seats<Late<H::Framer>, Place<H, M>>,
    ) {
        let mut listed = std::mem::take(&mut self.listed);
        for id in listed.drain(..) {
            let Some(standing) = sessions.standing(id) else { continue };
            let Some((_, desk)) = seats.seat(id) else { continue };
            let (is_home, pauses) = (desk.home.is_some(), standing.pauses);
            if let Some(batch) = desk.pending.take_if(|batch| is_home && may_leave(pauses, batch))
                && let Some(lane) = desk.home.take()
            {
                self.leave(sessions.now, standing, lane, batch);
            }
        }
        self.listed = listed;
        self.send_off(sessions.now);
    }

    fn has_work(&self) -> bool {
        !self.inbox.is_empty() || !self.listed.is_empty() || !self.leaving.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.away == 0 && !self.has_work()
    }

    fn next_check(&self) -> Option<Now> {
        self.watch.next_check(self.away > 0)
    }

    fn check(&mut self, now: Now, report: &dyn Fn(Incident)) {
        self.watch.check(now, self.away > 0, &self.shared.posts, report);
    }
}

impl<H: Handler<M>, M> Drop for Lanes<H, M> {
    /// Workers end when the last reactor does.
    fn drop(&mut self) {
        self.shared.homes[self.reactor].lanes.close();
        if self.shared.reactors_left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.crew.dismiss();
        }
    }
}
