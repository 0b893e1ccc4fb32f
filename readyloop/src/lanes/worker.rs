//! A worker: takes a lane, runs at most a budget of its tasks, sends it home with all that was
//! asked for.
//!
//! Invariant: a lane that was taken is sent home, also when the handler panics.
//!
//! Thread contract: of the worker's thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use crate::asker::{self, Asker, Inboxes};
use crate::command::{Command, Commands, LaneTimer};
use crate::context::Context;
use crate::handler::Handler;
use crate::host::{News, tell};
use crate::id::SessionId;
use crate::incident::{Incident, panic_message};
use crate::letter::Letter;
use crate::mailbox::Refused;
use crate::message::Message;
use crate::record::{Post, Record};
use crate::report::Report;

use super::lane::{Batch, Event, Lane, Stage, Task};
use super::{Shared, Way};

/// What the worker's callbacks ask for: written down where their contexts and their `Remote`s find it.
struct Asking {
    record: Record,
    inboxes: Inboxes,
}

impl Asker for Asking {
    fn post_so_far(&self, inboxes: &Inboxes, reactor: usize) {
        if !self.is_ours(inboxes) {
            return;
        }
        if reactor == self.record.home() as usize {
            self.record.post_so_far();
        } else if let Some((_, commands)) = self.record.take_foreign(Some(reactor as u8)) {
            self.post_commands(reactor, commands);
        }
    }

    fn post(&self, inboxes: &Inboxes, reactor: usize, letter: Letter) -> Result<(), Refused> {
        self.post_so_far(inboxes, reactor);
        if !self.is_ours(inboxes) {
            let load = letter.load();
            return inboxes[reactor].post(letter, load).map_err(|(_, refused)| refused);
        }
        let sent = letter.sent();
        self.post_within_bounds(reactor, letter)?;
        self.record.sent_by_remote(sent);
        Ok(())
    }
}

impl Asking {
    fn is_ours(&self, inboxes: &Inboxes) -> bool {
        Arc::ptr_eq(inboxes, &self.inboxes)
    }

    /// Posts to a reactor whether its inbox has room or not; if it has none, the session that is served
    /// waits until it has.
    fn post_beyond(&self, reactor: usize, letter: Letter) -> Result<(), Letter> {
        let load = letter.load();
        if !self.inboxes[reactor].post_beyond(letter, load)? {
            self.record.wait_for_room(reactor as u8, load);
        }
        Ok(())
    }

    /// Likewise, unless it waits already: who is held and goes on asking is taken as long as there is room.
    fn post_within_bounds(&self, reactor: usize, letter: Letter) -> Result<(), Refused> {
        if self.record.may_be_late() {
            return self.post_beyond(reactor, letter).map_err(|_| Refused::Stopped);
        }
        let load = letter.load();
        self.inboxes[reactor].post(letter, load).map_err(|(_, refused)| refused)
    }

    /// Posts what was asked of the sessions of another reactor.
    fn post_commands(&self, reactor: usize, commands: Commands) {
        // What was refused is counted by the inbox; of a reactor that has ended, all sessions are dead.
        let _refused = self.post_within_bounds(reactor, Letter::Commands(commands));
    }

    /// Posts what the run has asked of other reactors than its own.
    #[cold]
    fn post_foreign(&self) {
        while let Some((reactor, commands)) = self.record.take_foreign(None) {
            self.post_commands(reactor as usize, commands);
        }
        self.record.forget_late();
    }
}

/// Posts what sessions have asked for to their reactors, whether those have room or not.
fn post_to(inboxes: Inboxes) -> Post {
    Box::new(move |name, buffer| {
        let (inbox, load) = (&inboxes[name.reactor() as usize], buffer.load());
        // Of a reactor that has ended, all sessions are dead.
        inbox.post_beyond(Letter::Buffer(name, buffer), load).unwrap_or(true)
    })
}

/// One thread's handler, and the lanes that it runs.
pub struct Worker<H: Handler<M>, M = ()> {
    handler: H,
    asking: Rc<Asking>,
    number: usize,
    shared: Arc<Shared<H, M>>,
    report: Report,
}

impl<H: Handler<M>, M: Send + 'static> Worker<H, M> {
    /// The worker with this number, which is below the count that its `Lanes` were made for;
    /// `on_start` is called here.
    pub fn new(shared: Arc<Shared<H, M>>, number: usize, handler: H) -> Worker<H, M> {
        let report = shared.report.clone();
        let inboxes = shared.inboxes.clone();
        let place = (number, shared.posts.len());
        let reactors = inboxes.len() as u8;
        let post = post_to(inboxes.clone());
        let record = Record::new(place, reactors, shared.census.clone(), &shared.limits, post);
        let asking = Rc::new(Asking { record, inboxes });
        let mut worker = Worker { handler, asking, number, shared, report };
        worker.start();
        worker
    }

    /// Runs lanes until the crew is dismissed.
    pub fn work(&mut self) {
        let (shared, asking) = (self.shared.clone(), self.asking.clone());
        let _asks_here = asker::enter(asking.clone());
        while let Some(lane) = shared.crew.take() {
            self.run(&shared, &asking, lane);
        }
    }

    /// Runs one lane, if one waits; whether there was one.
    pub fn step(&mut self) -> bool {
        match self.shared.crew.try_take() {
            Some(lane) => {
                let (shared, asking) = (self.shared.clone(), self.asking.clone());
                let _asks_here = asker::enter(asking.clone());
                self.run(&shared, &asking, lane);
                true
            }
            None => false,
        }
    }

    fn start(&mut self) {
        let _asks_here = asker::enter(self.asking.clone());
        let mut lane = Lane::new(SessionId::NONE);
        let mut batch = Batch::new();
        self.asking.record.begin(SessionId::NONE, true, &mut batch.run);
        let (handler, record) = (&mut self.handler, &self.asking.record);
        let start = || handler.on_start(&mut Context::worker(record, SessionId::NONE));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(start)) {
            self.panicked(SessionId::NONE, panic);
        }
        self.asking.post_foreign();
        self.asking.record.finish(&mut batch.run);
        lane.batch = Some(batch);
        self.send_home(lane);
    }

    /// What it shares, and what it writes down, are looked up once for all runs.
    fn run(&mut self, shared: &Shared<H, M>, asking: &Asking, mut lane: Box<Way<H, M>>) {
        let Lane { name, stage, timers, batch: Some(batch), .. } = &mut *lane else { return };
        let post = &shared.posts[self.number];
        post.begin(*name);
        std::mem::swap(&mut batch.run.timers, timers);
        let end = batch.end_of_run(shared.frames_per_run);
        let record = &asking.record;
        record.begin(*name, stage.has_ended(), &mut batch.run);
        // Caught once for all frames and not once for each: a panic leaves its task done.
        while let Err(panic) =
            catch_unwind(AssertUnwindSafe(|| self.run_tasks(*name, record, stage, batch, end)))
        {
            self.panicked(*name, panic);
        }
        if record.is_special() {
            asking.post_foreign();
        }
        if record.finish(&mut batch.run) {
            stage.end(record.is_lost());
        }
        std::mem::swap(&mut batch.run.timers, timers);
        post.end();
        self.send_home(lane);
    }

    /// The usual case: frames for a session that handles them, straight from a list of which the end
    /// was looked up once.
    fn run_tasks(
        &mut self,
        name: SessionId,
        record: &Record,
        stage: &mut Stage<H::Session>,
        batch: &mut Batch<H::Framer>,
        end: usize,
    ) {
        let mut tasks = batch.tasks_before(end);
        while record.halted().is_not() {
            match tasks.next() {
                Some(Task::Frame(frame)) => {
                    if let Stage::Open(session) = stage {
                        let mut context = Context::worker(record, name);
                        self.handler.on_frame(session, frame, &mut context);
                    }
                }
                Some(Task::Event(event)) => self.event(name, stage, tasks.framer, event),
                None => return,
            }
        }
        self.run_halted(name, stage, batch, end);
    }

    /// No frames are handled any more, or for now. What the reactor would not have read is not handled
    /// before the peer has taken its bytes: so one run answers no more than the high mark, and what the
    /// last of its frames has added. Timers and ends come also meanwhile.
    #[cold]
    #[inline(never)]
    fn run_halted(
        &mut self,
        name: SessionId,
        stage: &mut Stage<H::Session>,
        batch: &mut Batch<H::Framer>,
        end: usize,
    ) {
        let mut tasks = batch.tasks_before(end);
        while !self.asking.record.halted().is_paused() {
            match tasks.next() {
                Some(Task::Frame(_)) => {}
                Some(Task::Event(event)) => self.event(name, stage, tasks.framer, event),
                None => return,
            }
        }
        for _ in 0..batch.left_until(end) {
            let Some(event) = batch.next_urgent() else { return };
            self.event(name, stage, &mut batch.framer, event);
        }
    }

    fn event(
        &mut self,
        name: SessionId,
        stage: &mut Stage<H::Session>,
        framer: &mut Option<H::Framer>,
        event: Event,
    ) {
        let (handler, record) = (&mut self.handler, &self.asking.record);
        let mut context = Context::worker(record, name);
        match event {
            Event::Open(peer) => {
                let introduced = handler.on_open(&peer, &mut context);
                *framer = Some(introduced.0);
                *stage = Stage::Open(introduced.1);
            }
            Event::News(news) => self.news(name, stage, news),
            Event::Due(timer) => self.due(name, stage, timer),
            Event::Message(message) => self.message(name, stage, message),
            Event::Close(reason) => {
                record.begin_end();
                let stage = std::mem::replace(stage, Stage::Over);
                if let Stage::Open(session) | Stage::Ended(session) | Stage::Lost(session) = stage {
                    handler.on_close(session, reason, &mut context);
                }
            }
            Event::ConnectFailed(reason) => {
                record.begin_end();
                handler.on_connect_failed(name, reason, &mut context);
            }
        }
    }

    fn news(&mut self, name: SessionId, stage: &mut Stage<H::Session>, news: News) {
        let record = &self.asking.record;
        let Some(session) = stage.session().filter(|_| !record.is_lost()) else { return };
        let has_ended = record.has_ended();
        // The last word is not asked of a handler that has had it.
        if !(has_ended && matches!(news, News::Closing(_) | News::PeerFinished)) {
            tell(&mut self.handler, session, news, &mut Context::worker(record, name));
        }
        if let News::Closing(reason) = news {
            record.end(Command::Close(name, reason));
        }
    }

    fn due(&mut self, name: SessionId, stage: &mut Stage<H::Session>, timer: LaneTimer) {
        let record = &self.asking.record;
        if record.is_lost() || !record.is_due(timer) {
            return;
        }
        let Some(session) = stage.session() else { return };
        self.handler.on_timer(session, timer.id, &mut Context::worker(record, name));
        record.settle(timer);
    }

    /// Messages end where frames do: once the end was asked for, or has come.
    fn message(&mut self, name: SessionId, stage: &mut Stage<H::Session>, message: Message) {
        let record = &self.asking.record;
        match stage {
            Stage::Open(session) if !record.has_ended() => {
                if let Some(message) = message.open::<M>() {
                    self.handler.on_message(session, message, &mut Context::worker(record, name));
                }
            }
            _ => self.drop_message(message),
        }
    }

    /// On behalf of nobody, who may panic.
    #[cold]
    fn drop_message(&self, message: Message) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(message))) {
            self.asking.record.count_panic();
            let (id, message) = (SessionId::NONE, panic_message(panic));
            self.report.tell(Incident::Panicked { id, message }, self.asking.record.now());
        }
    }

    /// The session that was served is lost, and no other.
    #[cold]
    fn panicked(&mut self, id: SessionId, panic: Box<dyn Any + Send>) {
        self.asking.record.panicked();
        let message = panic_message(panic);
        self.report.tell(Incident::Panicked { id, message }, self.asking.record.now());
    }

    #[inline(always)]
    fn send_home(&mut self, lane: Box<Way<H, M>>) {
        let home = &self.shared.homes[lane.name.reactor() as usize];
        // Behind all letters that were posted so far, and before all those that are posted from now on.
        let behind = home.letters.posted();
        // Not bounded: there is one lane for each session, and sessions are. A reactor that has
        // ended needs no lanes.
        let _ended = home.lanes.post_always((behind, lane)).is_err();
    }
}
