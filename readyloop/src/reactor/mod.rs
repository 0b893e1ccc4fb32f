//! The turn: the only place where kernel and sessions meet.
//!
//! A reactor is one thread's loop around [`Reactor::turn`], over sessions that it owns for life. It
//! knows the seam and never Linux, so the same code runs on the real kernel and on the simulator's.
//!
//! The receive side of a session (socket, framer, user's state, unhandled bytes) lives in `links`,
//! the send side in `sessions`, both at the same index: so a handler may answer while it still
//! borrows its frame.
//!
//! Invariants: a slot of `sessions` that is not `Connecting` has a link, until it is reaped; of a session
//! that is `Connecting` no handler has heard, but the one that dialled it.
//!
//! Thread contract: reactor-thread.

mod accept;
mod acceptor;
mod connect;
mod flush;
mod intake;
mod links;
mod mail;
mod messages;
mod reap;
mod remote;
mod retry;
mod setup;
mod stop;
mod timers;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use crate::asker::{self, Entered};
use crate::clock::Now;
use crate::close::CloseReason;
use crate::context::Peer;
use crate::error::{Errno, Error, Result};
use crate::handler::Handler;
use crate::host::{Host, Inline, News};
use crate::id::SessionId;
use crate::incident::{Incident, panic_message};
use crate::kernel::{Kernel, Trigger};
use crate::letter::Letter;
use crate::limits::Limits;
use crate::listeners::{Caller, Listeners};
use crate::page::Page;
use crate::report::Report;
use crate::serving::Serving;
use crate::sessions::Sessions;
use crate::stats::Stats;

pub use acceptor::{Acceptor, Balance};
use links::Links;
use mail::{Inbox, Posting};
use messages::Kept;
pub use remote::Remote;
use retry::Backoff;
pub use setup::{AcceptorSetup, Setup};
use stop::Stage;

/// One thread's turns over its sessions.
pub struct Reactor<K: Kernel, H: Host> {
    kernel: K,
    host: H,
    limits: Limits,
    /// Whether the poller tells about readiness once, so that we must remember it.
    edge: bool,
    sessions: Sessions,
    links: Links<K, H>,
    listeners: Listeners<K>,
    /// The other side of each session that is `Connecting`.
    connecting: HashMap<SessionId, Peer>,
    /// What those of them were told by other threads.
    kept: HashMap<SessionId, Kept>,
    /// Where all sessions' bytes arrive.
    recv_buffer: Box<[u8]>,
    /// A read of fewer bytes has emptied the socket, and is not longer than a frame may be.
    recv_plain_end: usize,
    remote: Remote,
    letters: Inbox<Letter>,
    posting: Rc<Posting>,
    /// Callers that the acceptor has handed over.
    callers: Inbox<Caller<K::Socket>>,
    /// The page that `sessions` does not have; its room is used in turns.
    page: Page<Rc<Serving>>,
    /// Those still ready who wait for their turn; `sessions` has those who come behind them.
    walk: VecDeque<SessionId>,
    /// Sessions whose interest differs from what the poller knows.
    rearms: Vec<SessionId>,
    /// How long to wait for kernel memory.
    backoff: Backoff,
    stage: Stage,
    /// It drains from the end of this turn's intake on.
    stop_is_heard: bool,
    report: Report,
    measures_waits: bool,
}

impl<K: Kernel, H: Handler<M>, M: Send + 'static> Reactor<K, Inline<H, M>> {
    /// A reactor that takes callers from now on, and runs their handler in place; `on_start` is called
    /// here.
    ///
    /// # Errors
    /// Limits that contradict each other, or a poller that does not take the listeners.
    pub fn new(kernel: K, setup: Setup<K, M>, handler: H) -> Result<Reactor<K, Inline<H, M>>> {
        Reactor::with_host(kernel, setup, Inline::new(handler))
    }
}

impl<K: Kernel, H: Host> Reactor<K, H> {
    /// A reactor that takes callers from now on, and whose handlers run where this says; if that is in
    /// place, `on_start` is called here.
    ///
    /// # Errors
    /// Limits that contradict each other, or a poller that does not take the listeners.
    pub fn with_host(mut kernel: K, setup: Setup<K, H::Message>, host: H) -> Result<Reactor<K, H>> {
        let Setup { number, listeners, limits, remote, report, measures_waits, .. } = setup;
        let (callers, census) = (setup.callers, setup.census);
        limits.check()?;
        let now = kernel.now();
        let edge = kernel.trigger() == Trigger::Edge;
        let bell = remote.letters(number).bell().clone();
        let listeners = Listeners::watch(&mut kernel, listeners, &limits, census.clone(), bell)
            .map_err(|errno| Error::system("watching a listener", errno))?;
        let sessions = Sessions::new(number as u8, remote.reactors(), limits.clone(), census, now);
        let (inboxes, outboxes) = (remote.inboxes().clone(), sessions.outboxes.clone());
        let page = Page::with(sessions.page.writer().clone(), limits.send_high_bytes);
        let mut reactor = Reactor {
            kernel,
            host,
            edge,
            sessions,
            posting: Rc::new(Posting::new(inboxes, number, outboxes)),
            links: Links::default(),
            listeners,
            connecting: HashMap::new(),
            kept: HashMap::new(),
            recv_buffer: vec![0; limits.recv_buffer_bytes].into_boxed_slice(),
            recv_plain_end: limits.recv_buffer_bytes.min(limits.frame_bytes_max.saturating_add(1)),
            letters: Inbox::new(remote.letters(number).clone()),
            callers: Inbox::new(callers),
            remote,
            page,
            walk: VecDeque::new(),
            rearms: Vec::new(),
            backoff: Backoff::new(),
            stage: Stage::Running,
            stop_is_heard: false,
            report,
            measures_waits,
            limits,
        };
        let asks_here = reactor.asks_here();
        reactor.guard(SessionId::NONE, |host, sessions| host.start(sessions));
        drop(asks_here);
        reactor.hear_stop();
        Ok(reactor)
    }

    /// The handle for other threads.
    pub fn remote(&self) -> Remote<H::Message> {
        self.remote.telling()
    }

    /// One turn. `false` when the server was stopped and the last session has ended.
    ///
    /// # Errors
    /// Only when the poller cannot go on, and every session has ended for that reason; where workers
    /// have to be waited for, some turns later.
    pub fn turn(&mut self) -> Result<bool> {
        let _asks_here = self.asks_here();
        self.take_turn()
    }

    /// Callbacks on this thread are this reactor's, and so is what their `Remote`s are asked.
    fn asks_here(&self) -> Entered {
        asker::enter(self.posting.clone())
    }

    fn take_turn(&mut self) -> Result<bool> {
        if let Stage::Failed(errno) = self.stage {
            return self.turn_to_fail(errno);
        }
        let ready = match self.wait() {
            Ok(ready) => ready,
            Err(errno) => {
                self.fail(errno);
                return self.turn_to_fail(errno);
            }
        };
        self.clock();
        self.mail();
        self.intake(ready);
        self.obey_stop();
        self.timers();
        self.dial();
        self.depart();
        self.flush();
        self.post();
        self.arm();
        self.reap();
        Ok(self.goes_on())
    }

    /// Turns until the server was stopped and the last session has ended.
    ///
    /// # Errors
    /// Only when the poller cannot go on.
    pub fn run(&mut self) -> Result<()> {
        let _asks_here = self.asks_here();
        while self.take_turn()? {
            if let Stage::Failed(_) = self.stage {
                // Without a poller nothing tells that a worker is done.
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }

    /// What the reactor has counted.
    pub fn stats(&self) -> &Stats {
        &self.sessions.stats
    }

    /// How many sessions it holds, in whatever state.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Sleeps until an event, a timer or a mail; not at all while work is left over.
    #[inline]
    fn wait(&mut self) -> std::result::Result<usize, Errno> {
        let timeout = match self.has_work() || !self.letters.bell().fall_asleep() {
            true => Some(Duration::ZERO),
            false => self.sleep_at_most(),
        };
        let begin = self.measures_waits.then(|| self.kernel.now());
        let waited = self.kernel.wait(timeout);
        if let Some(begin) = begin {
            let waited = self.kernel.now().since(begin);
            self.sessions.stats.waits.note(waited);
        }
        waited
    }

    #[inline]
    fn has_work(&self) -> bool {
        self.sessions.has_work()
            || !self.walk.is_empty()
            || self.has_mail()
            || self.listeners.has_work()
    }

    /// Counted from the turn's beginning, because the clock is read once a turn: a timer is late by
    /// at most the time that the handlers took.
    #[inline]
    fn sleep_at_most(&self) -> Option<Duration> {
        let dues = [
            self.sessions.wheel.next_due(),
            self.stage.deadline(),
            self.listeners.next_due(),
            self.host.next_check(),
            self.report.next_due(),
        ];
        // Without a branch for each of them.
        let earliest = dues.map(|due| due.unwrap_or(Now::NEVER)).into_iter().min();
        earliest.filter(|due| *due < Now::NEVER).map(|due| due.since(self.sessions.now))
    }

    #[inline]
    fn clock(&mut self) {
        let now = self.kernel.now();
        self.sessions.begin_turn(now);
    }

    /// The turn's time.
    fn now(&self) -> Now {
        self.sessions.now
    }

    /// Hands frames and events over to handlers elsewhere.
    #[inline]
    fn depart(&mut self) {
        self.host.depart(&mut self.sessions, &mut self.links);
    }

    /// Calls into the host on behalf of `id`, and survives its panic.
    fn guard<R>(
        &mut self,
        id: SessionId,
        call: impl FnOnce(&mut H, &mut Sessions) -> R,
    ) -> Option<R> {
        self.sessions.serve_beside_page(id);
        let (host, sessions) = (&mut self.host, &mut self.sessions);
        match catch_unwind(AssertUnwindSafe(|| call(host, sessions))) {
            Ok(result) => Some(result),
            Err(panic) => {
                self.panicked(id, panic);
                None
            }
        }
    }

    /// Tells the host of an open session's news.
    fn tell(&mut self, id: SessionId, news: News) {
        let Some(link) = self.links.open(id) else { return };
        self.sessions.serve_beside_page(id);
        let (host, sessions) = (&mut self.host, &mut self.sessions);
        let told = AssertUnwindSafe(|| host.tell(sessions, id, &mut link.session, news));
        if let Err(panic) = catch_unwind(told) {
            self.panicked(id, panic);
        }
    }

    #[cold]
    fn panicked(&mut self, id: SessionId, panic: Box<dyn Any + Send>) {
        self.sessions.stats.panics += 1;
        self.sessions.kill(id, CloseReason::HandlerPanicked);
        self.tell_panic(id, panic);
    }

    fn tell_panic(&self, id: SessionId, panic: Box<dyn Any + Send>) {
        let message = panic_message(panic);
        self.report.tell(Incident::Panicked { id, message }, self.now());
    }
}

impl<K: Kernel, H: Host> Drop for Reactor<K, H> {
    /// Nobody will read the mailbox any more, also when the last turn was not the server's end.
    fn drop(&mut self) {
        self.close_mailboxes();
        self.drop_all_kept();
        self.remote.ended();
        self.report.tell_rest(self.now());
        let mut stats = Box::new(self.sessions.stats.clone());
        stats.report_panics += self.report.take_panics();
        self.report.tell(Incident::Ended { stats }, self.now());
    }
}
