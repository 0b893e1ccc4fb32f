//! A worker: takes a lane, runs at most a budget of its tasks, sends it home with all that was
//! asked for.
//!
//! Invariant: a lane that was taken is sent home, also when the handler panics.
//!
//! Thread contract: of the worker's thread.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::close::CloseReason;
use crate::context::Context;
use crate::handler::Handler;
use crate::host::{News, tell};
use crate::id::SessionId;
use crate::incident::{Incident, panic_message};
use crate::record::{LaneTimer, Wish};
use crate::report::Report;

use super::Shared;
use super::lane::{Batch, Event, Lane, Stage, Task};

/// One thread's handler, and the lanes that it runs.
pub struct Worker<H: Handler> {
    handler: H,
    number: usize,
    shared: Arc<Shared<H>>,
    report: Report,
}

impl<H: Handler> Worker<H> {
    /// The worker with this number, which is below the count that its `Lanes` were made for;
    /// `on_start` is called here.
    pub fn new(shared: Arc<Shared<H>>, number: usize, handler: H) -> Worker<H> {
        let report = shared.report.clone();
        let mut worker = Worker { handler, number, shared, report };
        worker.start();
        worker
    }

    /// Runs lanes until the crew is dismissed.
    pub fn work(&mut self) {
        while let Some(lane) = self.shared.crew.take() {
            self.run(lane);
        }
    }

    /// Runs one lane, if one waits; whether there was one.
    pub fn step(&mut self) -> bool {
        match self.shared.crew.try_take() {
            Some(lane) => {
                self.run(lane);
                true
            }
            None => false,
        }
    }

    fn start(&mut self) {
        let mut lane = Lane::new(SessionId::NONE);
        let mut batch = self.shared.batch();
        batch.record.begin(SessionId::NONE, true, 0);
        let handler = &mut self.handler;
        let record = &mut batch.record;
        let start = || handler.on_start(&mut Context::worker(record, SessionId::NONE));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(start)) {
            self.panicked(SessionId::NONE, &mut batch, panic);
        }
        lane.batch = Some(batch);
        self.send_home(lane);
    }

    fn run(&mut self, mut lane: Box<Lane<H>>) {
        let Some(mut batch) = lane.batch.take() else { return };
        self.shared.posts[self.number].begin(lane.name);
        batch.record.timers = lane.timers.take();
        batch.record.begin(lane.name, lane.stage.has_ended(), self.shared.frames_per_run);
        // Caught once for all frames and not once for each: a panic leaves its task done.
        while let Err(panic) =
            catch_unwind(AssertUnwindSafe(|| self.run_tasks(&mut lane, &mut batch)))
        {
            self.panicked(lane.name, &mut batch, panic);
        }
        batch.record.finish();
        if batch.record.ended {
            lane.stage.end();
        }
        lane.timers = batch.record.timers.take();
        lane.batch = Some(batch);
        self.shared.posts[self.number].end();
        self.send_home(lane);
    }

    fn run_tasks(&mut self, lane: &mut Lane<H>, batch: &mut Batch<H::Framer>) {
        // What the reactor would not have read is not handled: so one run answers no more than the
        // high mark, and what the last of its frames has added.
        while batch.record.left > 0
            && let Some(task) = batch.next()
        {
            batch.record.left -= 1;
            match task {
                Task::Frame(range) => {
                    let (frame, record) = batch.frame(range);
                    if !record.ended
                        && let Stage::Open(session) = &mut lane.stage
                    {
                        let mut context = Context::worker(record, lane.name);
                        self.handler.on_frame(session, frame, &mut context);
                    }
                }
                Task::Event(event) => self.event(lane, batch, event),
            }
        }
        let left = batch.record.take_left_over();
        if left > 0 {
            self.run_urgent(lane, batch, left);
        }
    }

    /// Timers and ends come also while the peer must take its bytes before more frames are handled.
    #[cold]
    fn run_urgent(&mut self, lane: &mut Lane<H>, batch: &mut Batch<H::Framer>, left: usize) {
        for _ in 0..left {
            let Some(event) = batch.next_urgent() else { return };
            self.event(lane, batch, event);
        }
    }

    fn event(&mut self, lane: &mut Lane<H>, batch: &mut Batch<H::Framer>, event: Event) {
        let Batch { record, framer, .. } = batch;
        let handler = &mut self.handler;
        match event {
            Event::Open(peer) => {
                let introduced = handler.on_open(&peer, &mut Context::worker(record, lane.name));
                *framer = Some(introduced.0);
                lane.stage = Stage::Open(introduced.1);
            }
            Event::News(news) => self.news(lane, batch, news),
            Event::Due(timer) => self.due(lane, batch, timer),
            Event::Close(reason) => {
                record.close();
                let stage = std::mem::replace(&mut lane.stage, Stage::Over);
                if let Stage::Open(session) | Stage::Ended(session) = stage {
                    handler.on_close(session, reason, &mut Context::worker(record, lane.name));
                }
            }
            Event::ConnectFailed(reason) => {
                let mut context = Context::worker(record, lane.name);
                handler.on_connect_failed(lane.name, reason, &mut context);
            }
        }
    }

    fn news(&mut self, lane: &mut Lane<H>, batch: &mut Batch<H::Framer>, news: News) {
        let Some(session) = lane.stage.session() else { return };
        let record = &mut batch.record;
        // The last word is not asked of a handler that has had it.
        if !(record.ended && matches!(news, News::Closing(_) | News::PeerFinished)) {
            tell(&mut self.handler, session, news, &mut Context::worker(record, lane.name));
        }
        if let News::Closing(reason) = news {
            record.wish(lane.name, Wish::Finish(reason));
            record.close();
        }
    }

    fn due(&mut self, lane: &mut Lane<H>, batch: &mut Batch<H::Framer>, timer: LaneTimer) {
        let record = &mut batch.record;
        if !record.is_due(timer) {
            return;
        }
        let Some(session) = lane.stage.session() else { return };
        let mut context = Context::worker(record, lane.name);
        self.handler.on_timer(session, timer.id, &mut context);
        record.settle(timer);
    }

    /// The session that was served is lost, and no other.
    #[cold]
    fn panicked(
        &mut self,
        id: SessionId,
        batch: &mut Batch<H::Framer>,
        panic: Box<dyn Any + Send>,
    ) {
        batch.record.panics += 1;
        batch.record.wish(id, Wish::Kill(CloseReason::HandlerPanicked));
        batch.record.close();
        let message = panic_message(panic);
        self.report.tell(Incident::Panicked { id, message }, batch.record.now);
    }

    #[inline(always)]
    fn send_home(&mut self, lane: Box<Lane<H>>) {
        // Not bounded: there is one lane for each session, and sessions are. A reactor that has
        // ended needs no lanes.
        let _ended = self.shared.home.post_always(lane).is_err();
    }
}
