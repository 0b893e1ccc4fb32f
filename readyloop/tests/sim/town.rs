//! Several threads in one: the acceptor, the reactors and the workers of a server, whose steps are
//! interleaved by the seed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use readyloop::kernel::Kernel;
use readyloop::sim::{Faults, Net, Rng, Sim};
use readyloop::{
    Acceptor, Balance, Lanes, Limits, Reactor, Report, Result, SessionId, Setup, Stats, Trigger,
    Worker,
};

use super::world::{Fact, Probe, ProbeReactor, React, Remote, Told};

/// How the work is spread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    Single,
    Handoff(usize, Balance),
    ReusePort(usize),
    Workers(usize),
    /// So many reactors, handed their callers, and so many workers that they have in common.
    Pool(usize, usize),
}

/// One of each topology; the first one is a reactor alone.
pub const EVERY_PLAN: [Plan; 5] = [
    Plan::Handoff(1, Balance::RoundRobin),
    Plan::Handoff(2, Balance::RoundRobin),
    Plan::ReusePort(2),
    Plan::Workers(2),
    Plan::Pool(2, 2),
];

/// A thread, one step at a time.
#[allow(clippy::large_enum_variant, reason = "there are few, and they stay where they are")]
enum Thread {
    Acceptor(Acceptor<Sim>),
    Reactor(ProbeReactor),
    WithLanes(Reactor<Sim, Lanes<Probe, Told>>),
}

impl Thread {
    /// `false` when it has ended.
    fn step(&mut self) -> Result<bool> {
        match self {
            Thread::Acceptor(acceptor) => acceptor.turn(),
            Thread::Reactor(reactor) => reactor.turn(),
            Thread::WithLanes(reactor) => reactor.turn(),
        }
    }

    fn stats(&self) -> &Stats {
        match self {
            Thread::Acceptor(acceptor) => acceptor.stats(),
            Thread::Reactor(reactor) => reactor.stats(),
            Thread::WithLanes(reactor) => reactor.stats(),
        }
    }
}

type Workers = Rc<RefCell<Vec<Worker<Probe, Told>>>>;

/// A net and the server that lives on it.
pub struct Town {
    pub net: Net,
    pub remote: Remote,
    threads: Vec<Option<Thread>>,
    workers: Workers,
    /// A worker had something to do, in its turn or while a reactor slept.
    worked: Rc<Cell<bool>>,
    /// How many listeners there are to call.
    pub listeners: usize,
    facts: Rc<RefCell<Vec<Fact>>>,
    ended: Stats,
    /// A thread may end because it could not go on.
    pub may_fail: bool,
    rng: Rng,
}

impl Town {
    /// A server with a handler for each thread that runs any; `react` is made for each.
    pub fn new(
        seed: u64,
        plan: Plan,
        trigger: Trigger,
        faults: Faults,
        limits: &Limits,
        react: impl Fn() -> React,
    ) -> Town {
        let frames = (limits, limits.frame_bytes_max);
        Town::build(seed, plan, trigger, faults, frames, react, Report::default())
    }

    /// The same, with a framer that leaves it to the limits how long a frame may be.
    pub fn of_patient(
        seed: u64,
        plan: Plan,
        trigger: Trigger,
        faults: Faults,
        limits: &Limits,
        react: impl Fn() -> React,
    ) -> Town {
        let frames = (limits, usize::MAX);
        Town::build(seed, plan, trigger, faults, frames, react, Report::default())
    }

    /// As [`Town::new`]; `report` is told of incidents.
    pub fn reporting(
        seed: u64,
        plan: Plan,
        trigger: Trigger,
        faults: Faults,
        limits: &Limits,
        react: impl Fn() -> React,
        report: Report,
    ) -> Town {
        let frames = (limits, limits.frame_bytes_max);
        Town::build(seed, plan, trigger, faults, frames, react, report)
    }

    fn build(
        seed: u64,
        plan: Plan,
        trigger: Trigger,
        faults: Faults,
        (limits, frame_bytes_max): (&Limits, usize),
        react: impl Fn() -> React,
        report: Report,
    ) -> Town {
        let net = Net::new(seed, trigger, faults);
        let facts = Rc::new(RefCell::new(Vec::new()));
        let probe = || Probe::new(facts.clone(), react(), frame_bytes_max);
        let workers: Workers = Rc::default();
        let (threads, remote, listeners) = begin(&net, plan, limits, &workers, &probe, report);
        let rng = Rng::new(seed ^ 0x70_77_6E);
        let town = Town {
            net,
            remote,
            threads,
            workers,
            worked: Rc::default(),
            listeners,
            facts,
            ended: Stats::default(),
            may_fail: false,
            rng,
        };
        town.work_while_asleep(seed);
        town
    }

    /// While the reactor sleeps, a worker may be the one that has something to do.
    fn work_while_asleep(&self, seed: u64) {
        let (workers, worked) = (self.workers.clone(), self.worked.clone());
        let mut rng = Rng::new(!seed);
        self.net.while_asleep(move || {
            // From within a worker's own step nobody else is stepped.
            if let Ok(mut workers) = workers.try_borrow_mut()
                && !workers.is_empty()
                && rng.below(2) == 0
            {
                let some = rng.below(workers.len());
                worked.set(workers[some].step() | worked.get());
            }
        });
    }

    /// From now on workers work only while the reactor sleeps, and then all that there is to do.
    pub fn work_only_while_asleep(&mut self) {
        let workers = std::mem::take(&mut *self.workers.borrow_mut());
        let workers = RefCell::new(workers);
        self.net.while_asleep(move || {
            for worker in workers.borrow_mut().iter_mut() {
                while worker.step() {}
            }
        });
    }

    /// Nobody works until the workers are given back: all of them are busy.
    pub fn without_workers(&mut self, act: impl FnOnce(&mut Town)) {
        let workers = std::mem::take(&mut *self.workers.borrow_mut());
        act(self);
        *self.workers.borrow_mut() = workers;
    }

    /// Workers do all that there is to do.
    pub fn work(&mut self) {
        for worker in self.workers.borrow_mut().iter_mut() {
            while worker.step() {}
        }
    }

    /// One step of the acceptor of `Plan::Handoff`.
    pub fn step_acceptor(&mut self) {
        self.step_of(self.threads.len() - 1);
    }

    /// One turn of a reactor, or one step of whoever else has this number.
    pub fn turn(&mut self, nth: usize) {
        self.step_of(nth);
    }

    /// One step of anybody.
    pub fn step(&mut self) {
        let some = self.rng.below(self.threads.len() + self.workers.borrow().len());
        self.step_of(some);
    }

    fn step_of(&mut self, nth: usize) {
        if nth >= self.threads.len() {
            let worked = self.workers.borrow_mut()[nth - self.threads.len()].step();
            return self.worked.set(worked | self.worked.get());
        }
        let Some(thread) = &mut self.threads[nth] else { return };
        let goes_on = thread.step();
        assert!(goes_on.is_ok() || self.may_fail, "{goes_on:?}");
        if !goes_on.unwrap_or(false) {
            self.ended.add(thread.stats());
            self.threads[nth] = None;
        }
    }

    /// One step of each, in any order.
    fn round(&mut self) {
        let mut order: Vec<usize> = (0..self.threads.len() + self.workers.borrow().len()).collect();
        self.rng.shuffle(&mut order);
        order.into_iter().for_each(|nth| self.step_of(nth));
    }

    /// Steps until nothing is left to do before the clock moves.
    pub fn settle(&mut self) {
        let net = self.net.clone();
        let mut idle = 0;
        // The net does not know what waits for a worker: twice, because a reactor's last step may
        // have sent a lane out.
        while idle < 2 {
            self.worked.set(false);
            net.settle(100_000, || self.round());
            idle = if self.worked.get() { 0 } else { idle + 1 };
        }
    }

    /// Steps until every thread has ended.
    pub fn run_out(&mut self) {
        for _ in 0..100_000 {
            if self.threads.iter().all(Option::is_none) {
                assert_eq!(self.net.open_sockets(), 0, "a socket was leaked");
                return;
            }
            self.round();
        }
        panic!("the server does not end: {:?}", self.net);
    }

    /// Steps while this holds; time passes.
    pub fn step_while(&mut self, holds: impl Fn() -> bool) {
        for _ in 0..100_000 {
            if !holds() {
                return;
            }
            self.round();
        }
        panic!("nothing comes of it: {:?}", self.net);
    }

    /// What all threads have counted.
    pub fn stats(&self) -> Stats {
        let mut sum = self.ended.clone();
        self.threads.iter().flatten().for_each(|thread| sum.add(thread.stats()));
        sum
    }

    /// Everything that handlers were told since the last call.
    pub fn facts(&self) -> Vec<Fact> {
        std::mem::take(&mut self.facts.borrow_mut())
    }

    /// A caller that is open, and its session's name.
    pub fn caller(&mut self) -> (readyloop::sim::Client, SessionId) {
        self.settle();
        let before = self.facts.borrow().len();
        let client = self.net.connect(0);
        self.settle();
        let facts = self.facts.borrow();
        let opened = facts[before..].iter().find_map(|fact| match fact {
            Fact::Open(id) => Some(*id),
            _ => None,
        });
        (client, opened.expect("a caller was accepted"))
    }
}

/// The threads of a plan but for its workers, the handle on their server, and how many listeners there are.
fn begin(
    net: &Net,
    plan: Plan,
    limits: &Limits,
    workers: &Workers,
    probe: &dyn Fn() -> Probe,
    report: Report,
) -> (Vec<Option<Thread>>, Remote, usize) {
    match plan {
        Plan::Single => {
            let kernel = net.kernel();
            let setup = Setup::new(&kernel, vec![net.listener()], limits.clone());
            let remote = setup.remote();
            let reactor = Reactor::new(kernel, setup, probe()).unwrap();
            (vec![Some(Thread::Reactor(reactor))], remote, 1)
        }
        Plan::Handoff(reactors, balance) => {
            several(net, limits, (reactors, Some(balance)), in_place(probe), report)
        }
        Plan::ReusePort(reactors) => {
            several(net, limits, (reactors, None), in_place(probe), report)
        }
        Plan::Pool(reactors, count) => {
            let way = (reactors, Some(Balance::RoundRobin));
            several(net, limits, way, on_workers(count, workers, probe), report)
        }
        Plan::Workers(count) => {
            let kernel = net.kernel();
            let mut setup = Setup::new(&kernel, vec![net.listener()], limits.clone());
            setup.report = report;
            let remote = setup.remote();
            let begin = on_workers(count, workers, probe);
            (begin(vec![(kernel, setup)]).into_iter().map(Some).collect(), remote, 1)
        }
    }
}

/// Reactors, each with its kernel, that do not run yet.
type Setups = Vec<(Sim, Setup<Sim, Told>)>;

/// Handlers run in place.
fn in_place(probe: &dyn Fn() -> Probe) -> impl Fn(Setups) -> Vec<Thread> {
    let begin = |(kernel, setup)| Thread::Reactor(Reactor::new(kernel, setup, probe()).unwrap());
    move |setups| setups.into_iter().map(begin).collect()
}

/// Handlers run on so many workers.
fn on_workers(
    count: usize,
    workers: &Workers,
    probe: &dyn Fn() -> Probe,
) -> impl Fn(Setups) -> Vec<Thread> {
    move |setups| {
        let lanes = setups[0].1.lanes::<Probe>(count);
        let worker = |number| Worker::new(lanes[0].shared(), number, probe());
        workers.borrow_mut().extend((0..count).map(worker));
        let begin = |((kernel, setup), lanes)| {
            Thread::WithLanes(Reactor::with_host(kernel, setup, lanes).unwrap())
        };
        setups.into_iter().zip(lanes).map(begin).collect()
    }
}

/// Several reactors, and the acceptor that hands them their callers, if it does; how many listeners there
/// are.
fn several(
    net: &Net,
    limits: &Limits,
    (reactors, balance): (usize, Option<Balance>),
    begin: impl Fn(Setups) -> Vec<Thread>,
    report: Report,
) -> (Vec<Option<Thread>>, Remote, usize) {
    let head = net.kernel();
    let kernels: Vec<Sim> = (0..reactors).map(|_| net.kernel()).collect();
    let wakers: Vec<_> = kernels.iter().map(Kernel::waker).collect();
    let (mut setups, mut acceptor) = Setup::several(&wakers, head.waker(), limits);
    match balance {
        Some(balance) => {
            acceptor.balance = balance;
            acceptor.listeners.push(net.listener());
        }
        None => setups.iter_mut().for_each(|setup| setup.listeners.push(net.listener())),
    }
    setups.iter_mut().for_each(|setup| setup.report = report.clone());
    acceptor.report = report;
    let remote = setups[0].remote();
    let reactors = begin(kernels.into_iter().zip(setups).collect());
    let listeners = if balance.is_some() { 1 } else { reactors.len() };
    let mut threads: Vec<_> = reactors.into_iter().map(Some).collect();
    threads.push(Some(Thread::Acceptor(Acceptor::new(head, acceptor).unwrap())));
    (threads, remote, listeners)
}
