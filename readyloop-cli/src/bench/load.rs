//! The handler that asks: it dials its share of sessions, keeps requests in flight on the busy ones,
//! and measures how long each answer takes.
//!
//! Closed loop: an answer lets the next request go, so a server that stalls is asked less. Open loop:
//! requests are due at moments that nobody moves, and latency counts from when one was due, so a
//! stall is seen by all who were due meanwhile. There a reactor never sleeps: a request leaves within
//! one turn of its moment, and not within the wheel's millisecond.
//!
//! Invariant: a line's requests are answered in their order, so the oldest moment in flight is that
//! of the next answer.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Add;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use readyloop::{Address, CloseReason, Context, Handler, Now, Peer, Remote, SessionId, TimerId};

use super::firehose::{Cut, Firehoses, REFILL};
use super::wire::Wire;

/// What all threads have to know.
pub struct Plan {
    pub target: Address,
    /// Sessions that ask, and sessions that are only there, on all threads. The firehoses are
    /// neither.
    pub busy: usize,
    pub idle: usize,
    pub firehoses: Firehoses,
    pub threads: usize,
    /// Requests in flight on one session, at most.
    pub pipeline: usize,
    /// Requests for each second on all sessions; `None` for a closed loop.
    pub rate: Option<f64>,
    pub events: Mutex<Sender<Event>>,
    pub counters: Counters,
}

/// What whoever measures hears.
pub enum Event {
    /// All sessions of a reactor are open; the first lets them begin, the second looks at what they
    /// have asked.
    AllOpen(u8, Start, Look),
    /// One could not be opened, or was lost, and why.
    Fault(String),
}

/// To be run on the reactor whose sessions begin.
pub type Start = Box<dyn FnOnce(&mut Context<'_>) + Send>;

/// Tells which requests have no answer.
pub type Look = Box<dyn Fn() -> Pending + Send>;

/// Requests that were due and have no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Asked, on sessions that are open.
    pub in_flight: u64,
    /// Asked, on sessions that were lost.
    pub lost: u64,
    /// Not asked, as too many were in flight, or their session was lost.
    pub unsent: u64,
}

impl Add for Pending {
    type Output = Pending;

    fn add(self, other: Pending) -> Pending {
        Pending {
            in_flight: self.in_flight + other.in_flight,
            lost: self.lost + other.lost,
            unsent: self.unsent + other.unsent,
        }
    }
}

/// What can be looked at while it runs.
#[derive(Default)]
pub struct Counters {
    /// Whether requests are asked.
    pub measures: AtomicBool,
    /// Whether it is over.
    pub over: AtomicBool,
    /// Those that were right.
    pub answers: AtomicU64,
    pub open: AtomicU64,
    pub wrong: AtomicU64,
    /// Sessions that asked.
    pub lost: AtomicU64,
    /// Sessions that did not.
    pub idle_lost: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
}

impl Plan {
    fn sessions(&self) -> usize {
        self.busy + self.firehoses.sessions + self.idle
    }

    /// How many of `all` are this thread's.
    fn share(&self, all: usize, thread: usize) -> usize {
        (thread + 1) * all / self.threads - thread * all / self.threads
    }

    fn tell(&self, event: Event) {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever measures may have ended meanwhile.
        let _nobody_hears = events.send(event);
    }
}

/// Connects that one thread has on their way, at most.
const DIALS: usize = 512;

/// Connects that it has when so many were successful: at first one, because many threads would ask
/// a server that is not there for thousands.
fn dials(opened: usize) -> usize {
    DIALS.min(opened + 1)
}

const DIAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Sessions from one address: far fewer than it has ports (ip(7), `ip_local_port_range`), because the
/// kernel looks for a free one, and the search grows long when most are taken.
const SESSIONS_PER_SOURCE: usize = 5_000;

/// What a session is there for.
pub enum Role {
    Idle,
    Firehose,
    /// It asks, on this line.
    Busy(usize),
}

/// A session that asks.
#[derive(Default)]
struct Line {
    id: Option<SessionId>,
    /// When each request in flight was due.
    in_flight: VecDeque<Now>,
    /// When those were due that could not leave yet.
    waiting: VecDeque<Now>,
    partial: usize,
    /// Requests so far.
    asked: u64,
}

/// What one thread's handler and conductor share; one thread has both, so nobody waits.
struct Desk<W> {
    wire: W,
    /// Of the sessions that are open, in the order in which they were opened.
    lines: Vec<Line>,
    out: Vec<u8>,
}

/// What one thread has measured.
pub struct Collected {
    pub latencies: Histogram<u64>,
    /// For how long the oldest request had waited at the end that was not answered.
    pub unanswered_for: Duration,
}

/// The handler.
pub struct Load<W: Wire> {
    plan: Arc<Plan>,
    desk: Arc<Mutex<Desk<W>>>,
    remote: Remote,
    thread: usize,
    latencies: Histogram<u64>,
    collected: Arc<Mutex<Vec<Collected>>>,
    /// When a session was last over.
    ended: Now,
    /// How many of this thread's sessions were dialled, and are open.
    dialled: usize,
    opened: usize,
    idle: usize,
    firehoses: usize,
    all: usize,
}

/// Nanoseconds to three digits, up to an hour.
pub fn histogram() -> Histogram<u64> {
    const HOUR_NANOS: u64 = 3_600_000_000_000;
    Histogram::new_with_bounds(1, HOUR_NANOS, 3).expect("these bounds are in order")
}

impl<W: Wire> Load<W> {
    pub fn new(
        plan: Arc<Plan>,
        wire: W,
        remote: Remote,
        thread: usize,
        collected: Arc<Mutex<Vec<Collected>>>,
    ) -> Load<W> {
        let (busy, idle) = (plan.share(plan.busy, thread), plan.share(plan.idle, thread));
        let firehoses = plan.share(plan.firehoses.sessions, thread);
        let desk = Arc::new(Mutex::new(Desk { wire, lines: Vec::new(), out: Vec::new() }));
        let latencies = histogram();
        let all = busy + firehoses + idle;
        Load {
            plan,
            desk,
            remote,
            thread,
            latencies,
            collected,
            ended: Now::ZERO,
            dialled: 0,
            opened: 0,
            idle,
            firehoses,
            all,
        }
    }

    /// What the n-th session of this thread is there for.
    fn role(&self, nth: usize) -> Role {
        match nth.checked_sub(self.idle) {
            None => Role::Idle,
            Some(nth) if nth < self.firehoses => Role::Firehose,
            Some(nth) => Role::Busy(nth - self.firehoses),
        }
    }

    /// Idle sessions first, so that the busy ones begin when all others are there.
    fn dial(&mut self, context: &mut Context<'_>) {
        let end = if self.opened < self.idle { self.idle } else { self.all };
        while self.dialled < end.min(self.opened + dials(self.opened)) {
            let number = self.thread * self.plan.share(self.plan.sessions(), 0) + self.dialled;
            let target = &self.plan.target;
            let dialled = match source(target, number) {
                Some(from) => context.connect_from(from, target, DIAL_TIMEOUT),
                None => context.connect(target, DIAL_TIMEOUT),
            };
            if dialled.is_none() {
                return self.plan.tell(Event::Fault("no more sessions can be".to_string()));
            }
            self.dialled += 1;
        }
    }

    /// All sessions of this thread are there.
    fn ready(&self) {
        let reactor = u8::try_from(self.thread).expect("a server has no more reactors");
        let (plan, desk, remote) = (self.plan.clone(), self.desk.clone(), self.remote.clone());
        let lines = self.all - self.idle - self.firehoses;
        let start: Start = match self.plan.rate {
            None => Box::new(move |context| lock(&desk).ask_on_all(&plan, context)),
            Some(_) if lines == 0 => Box::new(|_| {}),
            Some(rate) => {
                let pace = Pace {
                    interval: Duration::from_secs_f64(plan.busy as f64 / lines as f64 / rate),
                    // The threads take turns.
                    offset: Duration::from_secs_f64(self.thread as f64 / rate),
                    begun: None,
                    due: 0,
                };
                Box::new(move |context| conduct(pace, plan, desk, remote, reactor, context))
            }
        };
        let desk = self.desk.clone();
        let look: Look = Box::new(move || lock(&desk).pending());
        self.plan.tell(Event::AllOpen(reactor, start, look));
    }

    /// Bytes came back on a line.
    fn answered(&mut self, index: usize, frame: &[u8], context: &mut Context<'_>) {
        let counters = &self.plan.counters;
        add(&counters.received_bytes, frame.len() as u64);
        let mut desk = lock(&self.desk);
        let Desk { wire, lines, out } = &mut *desk;
        let line = &mut lines[index];
        let answers = wire.read(&mut line.partial, frame);
        let now = context.now();
        let measures = counters.measures.load(Ordering::Relaxed);
        out.clear();
        for _ in 0..answers.whole {
            let asked = line.in_flight.pop_front();
            match asked.filter(|_| answers.right) {
                // Also behind the end: the request was asked before it.
                Some(due) => self.latencies.saturating_record(now.since(due).as_nanos() as u64),
                // It is no answer, but the server is done with the request.
                None => add(&counters.wrong, 1),
            }
            if asked.is_none() || !measures {
                continue;
            }
            add(&counters.answers, u64::from(answers.right));
            let next = if self.plan.rate.is_none() { Some(now) } else { line.waiting.pop_front() };
            if let Some(due) = next {
                ask(wire, line, due, out);
            }
        }
        // A part of an answer, whose end may be what it should be.
        add(&counters.wrong, u64::from(answers.whole == 0 && !answers.right));
        context.send(out);
        add(&counters.sent_bytes, out.len() as u64);
    }

    /// So many bytes came back to a firehose, which sends on: from when the others are measured, for
    /// as long as they are.
    fn poured(&self, count: usize, context: &mut Context<'_>) {
        if self.plan.counters.measures.load(Ordering::Relaxed) {
            let firehoses = &self.plan.firehoses;
            firehoses.received_bytes.fetch_add(count as u64, Ordering::Relaxed);
            firehoses.fill(context);
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn lock<W>(desk: &Mutex<Desk<W>>) -> MutexGuard<'_, Desk<W>> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A source address for the n-th session to a loopback target, where there are many.
fn source(target: &Address, number: usize) -> Option<IpAddr> {
    match target {
        Address::Tcp(to) if to.is_ipv4() && to.ip().is_loopback() => {
            let nth = u32::try_from(number / SESSIONS_PER_SOURCE).ok()?;
            Some(Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + nth).into())
        }
        _ => None,
    }
}

/// When requests are due.
struct Pace {
    interval: Duration,
    offset: Duration,
    begun: Option<Now>,
    /// How many were.
    due: u64,
}

impl Pace {
    /// When the next request is due, if that is not later than now.
    fn next(&mut self, now: Now) -> Option<Now> {
        let begun = *self.begun.get_or_insert(now + self.offset);
        let due = begun + self.interval.mul_f64(self.due as f64);
        if due > now {
            return None;
        }
        self.due += 1;
        Some(due)
    }
}

/// Sends what is due, now and in each turn of this reactor, until it is over.
fn conduct<W: Wire>(
    mut pace: Pace,
    plan: Arc<Plan>,
    desk: Arc<Mutex<Desk<W>>>,
    remote: Remote,
    reactor: u8,
    context: &mut Context<'_>,
) {
    if !plan.counters.measures.load(Ordering::Relaxed) {
        return;
    }
    while let Some(due) = pace.next(context.now()) {
        lock(&desk).due(pace.due, due, &plan, context);
    }
    let again = remote.clone();
    // A server that has ended conducts no more.
    let _ended = remote.run_on(reactor, move |context| {
        conduct(pace, plan, desk, again, reactor, context);
    });
}

impl<W> Desk<W> {
    /// What has no answer yet.
    fn pending(&self) -> Pending {
        let mut pending = Pending::default();
        for line in &self.lines {
            let asked = line.in_flight.len() as u64;
            match line.id {
                Some(_) => pending.in_flight += asked,
                None => pending.lost += asked,
            }
            pending.unsent += line.waiting.len() as u64;
        }
        pending
    }

    /// When the oldest of those was due that were asked and not answered, on whatever session.
    fn oldest_unanswered(&self) -> Option<Now> {
        self.lines.iter().filter_map(|line| line.in_flight.front().copied()).min()
    }
}

impl<W: Wire> Desk<W> {
    /// A closed loop begins: all that may be in flight goes out.
    fn ask_on_all(&mut self, plan: &Plan, context: &mut Context<'_>) {
        for line in &mut self.lines {
            let Some(id) = line.id else { continue };
            self.out.clear();
            (0..plan.pipeline).for_each(|_| ask(&self.wire, line, context.now(), &mut self.out));
            plan.counters.sent_bytes.fetch_add(self.out.len() as u64, Ordering::Relaxed);
            context.send_to(id, &self.out);
        }
    }

    /// The n-th request of this thread is due.
    fn due(&mut self, nth: u64, due: Now, plan: &Plan, context: &mut Context<'_>) {
        let index = nth as usize % self.lines.len();
        let line = &mut self.lines[index];
        let Some(id) = line.id.filter(|_| line.in_flight.len() < plan.pipeline) else {
            return line.waiting.push_back(due);
        };
        self.out.clear();
        ask(&self.wire, line, due, &mut self.out);
        plan.counters.sent_bytes.fetch_add(self.out.len() as u64, Ordering::Relaxed);
        context.send_to(id, &self.out);
    }
}

fn ask<W: Wire>(wire: &W, line: &mut Line, due: Now, out: &mut Vec<u8>) {
    wire.ask(line.asked, out);
    line.asked += 1;
    line.in_flight.push_back(due);
}

impl<W: Wire> Handler for Load<W> {
    type Framer = Cut<W::Framer>;
    type Session = Role;

    fn on_start(&mut self, context: &mut Context<'_>) {
        self.dial(context);
        if self.all == 0 {
            self.ready();
        }
    }

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Cut<W::Framer>, Role) {
        let role = self.role(self.opened);
        self.opened += 1;
        self.plan.counters.open.fetch_add(1, Ordering::Relaxed);
        let framer = match role {
            Role::Busy(_) => {
                let mut desk = lock(&self.desk);
                desk.lines.push(Line { id: Some(context.id()), ..Line::default() });
                Cut::Answers(desk.wire.framer())
            }
            Role::Firehose => {
                context.set_timer(REFILL);
                Cut::Nowhere
            }
            Role::Idle => Cut::Nowhere,
        };
        self.dial(context);
        if self.opened == self.all {
            self.ready();
        }
        (framer, role)
    }

    fn on_frame(&mut self, role: &mut Role, frame: &[u8], context: &mut Context<'_>) {
        match role {
            Role::Busy(index) => self.answered(*index, frame, context),
            Role::Firehose => self.poured(frame.len(), context),
            Role::Idle => {}
        }
    }

    /// Only firehoses have a timer.
    fn on_timer(&mut self, _: &mut Role, timer: TimerId, context: &mut Context<'_>) {
        self.poured(0, context);
        context.reset_timer(timer, REFILL);
    }

    fn on_close(&mut self, role: Role, reason: CloseReason, context: &mut Context<'_>) {
        self.ended = context.now();
        let counters = &self.plan.counters;
        if counters.over.load(Ordering::Relaxed) {
            return;
        }
        match role {
            // Servers close who is idle; those who ask go on.
            Role::Idle => {
                counters.idle_lost.fetch_add(1, Ordering::Relaxed);
            }
            // What is measured without it is not what was asked for.
            Role::Firehose => {
                self.plan.tell(Event::Fault(format!("a firehose was lost: {reason}")));
            }
            Role::Busy(index) => {
                lock(&self.desk).lines[index].id = None;
                if counters.lost.fetch_add(1, Ordering::Relaxed) + 1 == self.plan.busy as u64 {
                    self.plan.tell(Event::Fault(format!("the sessions were lost: {reason}")));
                }
            }
        }
    }

    fn on_connect_failed(&mut self, _: SessionId, reason: CloseReason, _: &mut Context<'_>) {
        let open = self.plan.counters.open.load(Ordering::Relaxed);
        self.plan.tell(Event::Fault(format!(
            "with {open} sessions open, one more could not be: {reason}"
        )));
    }
}

impl<W: Wire> Drop for Load<W> {
    /// Its thread has ended.
    fn drop(&mut self) {
        let latencies = std::mem::replace(&mut self.latencies, histogram());
        let oldest = lock(&self.desk).oldest_unanswered();
        let unanswered_for = oldest.map_or(Duration::ZERO, |due| self.ended.since(due));
        let mut collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        collected.push(Collected { latencies, unanswered_for });
    }
}

#[cfg(test)]
mod tests {
    use readyloop::Server;

    use super::*;
    use crate::bench::wire::Kv;

    #[test]
    fn requests_are_due_at_moments_that_nobody_moves() {
        let interval = Duration::from_millis(10);
        let mut pace = Pace { interval, offset: Duration::from_millis(5), begun: None, due: 0 };
        let at = |millis| Now::default() + Duration::from_millis(millis);
        assert_eq!(pace.next(at(100)), None);
        assert_eq!((pace.next(at(105)), pace.next(at(105))), (Some(at(105)), None));
        // Whoever looks late finds all that were due meanwhile, each at its own moment.
        let late: Vec<Now> = std::iter::from_fn(|| pace.next(at(136))).collect();
        assert_eq!(late, [at(115), at(125), at(135)]);
    }

    #[test]
    fn a_session_takes_memory_when_it_is_open_and_not_before() {
        let wire = Kv::new(1);
        let plan = Plan {
            target: "127.0.0.1:1".parse().unwrap(),
            busy: 1_000,
            idle: 0,
            firehoses: Firehoses::new(0, &wire).ok().unwrap(),
            threads: 1,
            pipeline: 1,
            rate: None,
            events: Mutex::new(std::sync::mpsc::channel().0),
            counters: Counters::default(),
        };
        let remote = Server::builder().bind().unwrap().remote();
        let load = Load::new(Arc::new(plan), wire, remote, 0, Arc::default());
        assert_eq!(lock(&load.desk).lines.capacity(), 0);
    }

    #[test]
    fn one_connect_is_tried_at_first_and_soon_many_at_once() {
        let (mut opened, mut rounds) = (0, 0);
        while opened < 10_000 {
            (opened, rounds) = (opened + dials(opened), rounds + 1);
        }
        assert_eq!((dials(0), dials(opened)), (1, DIALS));
        assert!(rounds < 30, "{rounds}");
    }

    #[test]
    fn many_sessions_to_loopback_come_from_many_addresses() {
        let target = "127.0.0.1:7000".parse().unwrap();
        assert_eq!(source(&target, 0), Some("127.0.0.1".parse().unwrap()));
        assert_eq!(source(&target, 75_000), Some("127.0.0.16".parse().unwrap()));
        assert_eq!(source(&"192.0.2.1:80".parse().unwrap(), 75_000), None);
        assert_eq!(source(&"unix:/x".parse().unwrap(), 75_000), None);
    }
}
