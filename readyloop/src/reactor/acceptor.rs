//! The acceptor of several reactors: it takes callers, lets them in or not, and hands each to the
//! reactor that will own it for life. It is also the head of the server: it hears that the server
//! is to stop, stops accepting first, tells the reactors, and ends when all of them have ended.
//!
//! A hand-off is one mail: the socket moves, and is watched by the reactor's poller alone.
//!
//! Invariant: a caller in a reactor's mailbox is counted in the census for that reactor.
//!
//! Thread contract: of the acceptor's thread.

use std::collections::VecDeque;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::census::Census;
use crate::clock::Now;
use crate::error::{Error, Result};
use crate::id::Source;
use crate::incident::Incident;
use crate::kernel::{Farewell, Kernel};
use crate::letter::Letter;
use crate::listeners::{Caller, Listeners, Round};
use crate::mailbox::Mailbox;
use crate::report::Report;
use crate::stats::Stats;

use super::setup::AcceptorSetup;

/// Which reactor gets the next caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// Each in its turn.
    #[default]
    RoundRobin,
    /// The one with the fewest sessions.
    LeastSessions,
    /// Always the same one for the same IP address, whatever the port: all sessions of one machine
    /// meet on one reactor. Who has no address, on a Unix socket, gets each in its turn.
    SourceHash,
}

impl Balance {
    /// All of them, with the names that [`Balance::from_str`] reads.
    pub const NAMES: [(&'static str, Balance); 3] = [
        ("round-robin", Balance::RoundRobin),
        ("least-sessions", Balance::LeastSessions),
        ("source-hash", Balance::SourceHash),
    ];
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Balance::NAMES.iter().find(|(_, balance)| balance == self);
        f.pad(name.map_or("", |(name, _)| name))
    }
}

impl FromStr for Balance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Balance> {
        let found = Balance::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, balance)| *balance).ok_or_else(|| {
            Error::settings(format!(
                "'{text}' is not a balance; round-robin, least-sessions and source-hash are"
            ))
        })
    }
}

/// What the acceptor is told by other threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// No more callers; the reactors drain.
    Stop,
    /// The reactors end at once.
    StopNow,
    /// A reactor has ended.
    Ended,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    Running,
    Draining,
    Stopping,
}

/// One thread that accepts for several reactors.
pub struct Acceptor<K: Kernel> {
    kernel: K,
    listeners: Listeners<K>,
    balance: Balance,
    /// The reactor that gets the next caller, by round robin.
    next: usize,
    notices: Arc<Mailbox<Notice>>,
    letters: Vec<Arc<Mailbox<Letter>>>,
    callers: Vec<Arc<Mailbox<Caller<K::Socket>>>>,
    census: Arc<Census>,
    stage: Stage,
    /// Reactors that have not ended.
    alive: usize,
    now: Now,
    stats: Stats,
    report: Report,
}

impl<K: Kernel> Acceptor<K> {
    /// An acceptor that takes callers from its first turn on.
    ///
    /// # Errors
    /// Limits that contradict each other, or a poller that does not take the listeners.
    pub fn new(mut kernel: K, setup: AcceptorSetup<K>) -> Result<Acceptor<K>> {
        let AcceptorSetup { listeners, limits, balance, report, .. } = setup;
        limits.check()?;
        let (census, bell) = (setup.census, setup.notices.bell().clone());
        let listeners = Listeners::watch(&mut kernel, listeners, &limits, census.clone(), bell)
            .map_err(|errno| Error::system("watching a listener", errno))?;
        Ok(Acceptor {
            now: kernel.now(),
            kernel,
            listeners,
            balance,
            next: 0,
            alive: setup.letters.len(),
            notices: setup.notices,
            letters: setup.letters,
            callers: setup.callers,
            census,
            stage: Stage::Running,
            stats: Stats::default(),
            report,
        })
    }

    /// One turn. `false` when all reactors have ended.
    ///
    /// # Errors
    /// Only when the poller cannot go on.
    pub fn turn(&mut self) -> Result<bool> {
        let ready = self.wait()?;
        self.now = self.kernel.now();
        self.read_notices();
        self.intake(ready);
        if self.listeners.next_due().is_some() {
            self.tend_listeners();
        }
        self.report_counted();
        Ok(self.alive > 0)
    }

    /// Turns until all reactors have ended.
    ///
    /// # Errors
    /// Only when the poller cannot go on.
    pub fn run(&mut self) -> Result<()> {
        while self.turn()? {}
        Ok(())
    }

    /// What the acceptor has counted: callers that did not become sessions.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn wait(&mut self) -> Result<usize> {
        let timeout = match self.listeners.has_work() || !self.notices.bell().fall_asleep() {
            true => Some(Duration::ZERO),
            false => {
                let dues = [self.listeners.next_due(), self.report.next_due()];
                dues.into_iter().flatten().min().map(|due| due.since(self.now))
            }
        };
        self.stats.turns += 1;
        self.kernel.wait(timeout).map_err(|errno| Error::system("waiting for events", errno))
    }

    fn read_notices(&mut self) {
        if !self.notices.bell().wake_up() {
            return;
        }
        let mut notices = VecDeque::new();
        self.notices.take(&mut notices);
        for notice in notices {
            match notice {
                Notice::Stop => self.stop(Stage::Draining),
                Notice::StopNow => self.stop(Stage::Stopping),
                Notice::Ended => {
                    self.alive -= 1;
                    // Also when it ended because it could not go on: a server does not limp.
                    self.stop(Stage::Draining);
                }
            }
        }
    }

    /// Closes the listeners, then tells the reactors.
    fn stop(&mut self, stage: Stage) {
        if self.stage == Stage::Running {
            self.listeners.close(&mut self.kernel, &mut self.stats);
        }
        if stage <= self.stage {
            return;
        }
        self.stage = stage;
        for letters in &self.letters {
            let letter = if stage == Stage::Draining { Letter::Stop } else { Letter::StopNow };
            let _already_ended = letters.post_urgently(letter);
        }
    }

    fn intake(&mut self, ready: usize) {
        for number in self.listeners.take_still_ready() {
            self.accept(number);
        }
        for nth in 0..ready {
            let Some(entry) = self.kernel.ready(nth) else { break };
            match entry.token.source() {
                Source::Listener(number) => self.accept(number),
                Source::Waker => self.kernel.waker_seen(),
                Source::Signals => self.signalled(),
                Source::Session(_) => {}
            }
        }
    }

    /// The process was asked to end: the first time it drains, the second time it stops at once.
    fn signalled(&mut self) {
        for _ in 0..self.kernel.signals_seen() {
            match self.stage {
                Stage::Running => self.stop(Stage::Draining),
                _ => self.stop(Stage::Stopping),
            }
        }
    }

    /// Serves the listeners that have rested, and the callers who wait.
    fn tend_listeners(&mut self) {
        self.admit_waiting();
        self.listeners.expire(&mut self.kernel, self.now, &mut self.stats);
        for round in self.listeners.take_rested(self.now) {
            self.accept_round(round);
        }
    }

    fn report_counted(&mut self) {
        if self.report.next_due().is_some_and(|due| due <= self.now) {
            self.report.tell_due(self.now);
        }
    }

    /// Lets those in who have waited, as far as there is room for them now.
    fn admit_waiting(&mut self) {
        if self.listeners.next_due().is_none() {
            return;
        }
        for waiting in self.listeners.retry() {
            match self.admit(&waiting.caller) {
                Some(reactor) => self.hand_over(waiting.caller, reactor),
                None => self.listeners.keep(waiting),
            }
        }
        self.listeners.settle();
    }

    /// Takes callers from a listener until it has none or the budget is spent; behind those who
    /// wait.
    fn accept(&mut self, number: usize) {
        self.admit_waiting();
        if let Some(round) = self.listeners.begin(number) {
            self.accept_round(round);
        }
    }

    fn accept_round(&mut self, mut round: Round) {
        while let Some(caller) = self.listeners.next(&mut self.kernel, &mut round, &mut self.stats)
        {
            match self.admit(&caller) {
                Some(reactor) => self.hand_over(caller, reactor),
                None => {
                    self.listeners.hold(&mut self.kernel, caller, self.now, &mut self.stats);
                }
            }
        }
        let concluded = self.listeners.conclude(&mut self.kernel, round, self.now, &mut self.stats);
        if let Some(incident) = concluded {
            self.report.tell(incident, self.now);
        }
    }

    /// Lets a caller in, to this reactor, or says no because of a limit.
    fn admit(&mut self, caller: &Caller<K::Socket>) -> Option<usize> {
        let chosen = self.choose(&caller.address);
        let reactor = chosen.unwrap_or(self.next);
        if !self.census.enter(reactor as u8, caller.counted_ip(&self.kernel)) {
            return None;
        }
        if chosen.is_none() {
            self.next = (reactor + 1) % self.callers.len();
        }
        Some(reactor)
    }

    fn hand_over(&mut self, caller: Caller<K::Socket>, reactor: usize) {
        // Not bounded by the mailbox: whoever is in it has passed the census, which is.
        if let Err(caller) = self.callers[reactor].post_always(caller) {
            let ip = caller.counted_ip(&self.kernel);
            self.kernel.close(caller.socket, Farewell::Finish);
            self.census.leave(reactor as u8, ip);
        }
    }

    /// Which reactor gets a caller from this address; `None` is the next one in turn.
    fn choose(&self, address: &Address) -> Option<usize> {
        match (self.balance, address.ip()) {
            (Balance::LeastSessions, _) => Some(self.census.least()),
            (Balance::SourceHash, Some(ip)) => {
                let mut hasher = DefaultHasher::new();
                ip.hash(&mut hasher);
                Some((hasher.finish() % self.callers.len() as u64) as usize)
            }
            _ => None,
        }
    }
}

impl<K: Kernel> Drop for Acceptor<K> {
    /// Without a head nobody would ever stop the reactors.
    fn drop(&mut self) {
        self.notices.close();
        self.stop(Stage::Draining);
        self.report.tell_rest(self.now);
        let mut stats = Box::new(std::mem::take(&mut self.stats));
        stats.report_panics += self.report.take_panics();
        self.report.tell(Incident::Ended { stats }, self.now);
    }
}
