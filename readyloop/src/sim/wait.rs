//! A wait of one kernel: its looks at what is ready, its sleep, and what a kernel may do to a ready
//! list.
//!
//! It comes in pieces, so that the test's hook can run while a kernel sleeps and nobody holds the
//! world: `begin_wait`, then for a sleeper `sleep`, then `end_wait`.
//!
//! Invariant: a kernel is told only of what it watches itself.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::poller::{Poller, Watch};
use super::world::{Socket, World};
use crate::clock::Now;
use crate::id::Token;
use crate::kernel::{Ready, Trigger};

/// The most steps of the network inside of one wait: thousands of times what a full window needs.
const STEPS_MAX: usize = 1_000_000;
/// The ready list's places: the waker, the signals, then listeners, then sockets.
const FIRST_LISTENER: usize = 2;

/// What the test does while a kernel sleeps. Shared, so that it may be replaced while it runs.
pub(super) type Hook = Rc<RefCell<dyn FnMut()>>;

/// How a wait began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Begun {
    /// A signal ends it before it has looked.
    Interrupted,
    /// Something is ready, or it was not willing to sleep.
    Over,
    /// Nothing is ready; the sleep ends by itself at this time, if at any.
    Asleep(Option<Now>),
}

impl World {
    /// `epoll_wait` up to its first look.
    pub(super) fn begin_wait(&mut self, kernel: usize, timeout: Option<Duration>) -> Begun {
        let due = timeout.map(|span| self.now + span);
        let poller = &mut self.pollers[kernel];
        assert!(!poller.asleep, "kernel {kernel} waits inside of its own wait");
        poller.ready.clear();
        poller.waited = true;
        poller.idle = false;
        poller.due = due;
        if self.chance(|faults| faults.interrupted) {
            return Begun::Interrupted;
        }
        // A lie must be told now and not after the sleep, or it would never end one.
        let lied = self.chance(|faults| faults.spurious) && self.lie(kernel);
        self.step();
        if self.look(kernel, due) || lied { Begun::Over } else { Begun::Asleep(due) }
    }

    /// Hands out the hook, if there is one and it does not run already.
    pub(super) fn begin_hook(&mut self, kernel: usize) -> Option<Hook> {
        let hook = self.hook.clone().filter(|_| !self.hook_runs)?;
        self.hook_runs = true;
        self.pollers[kernel].asleep = true;
        Some(hook)
    }

    pub(super) fn end_hook(&mut self, kernel: usize) {
        self.hook_runs = false;
        self.pollers[kernel].asleep = false;
    }

    /// Takes what is ready. Returns whether the sleep is over.
    pub(super) fn look(&mut self, kernel: usize, due: Option<Now>) -> bool {
        self.gather(kernel) || due.is_some_and(|due| self.now >= due)
    }

    /// Moves the network on until something true is ready or the sleep ends.
    pub(super) fn sleep(&mut self, kernel: usize, due: Option<Now>) {
        for _ in 0..STEPS_MAX {
            if !self.is_moving() {
                return self.sleep_on(kernel, due);
            }
            let nanos = 1 + self.rng.below(1_000_000);
            self.pass(nanos);
            self.now = due.map_or(self.now, |due| self.now.min(due));
            self.step();
            if self.look(kernel, due) {
                return;
            }
        }
        panic!("something is in flight and never arrives: the model is broken");
    }

    /// The rest of a sleep that nothing in sight would end.
    fn sleep_on(&mut self, kernel: usize, due: Option<Now>) {
        self.pollers[kernel].idle = true;
        if due.is_none() {
            self.pollers[kernel].counts.asleep += 1;
        } else if !self.held && !self.others(kernel).any(|poller| poller.goes_on(self.now)) {
            // Not past the moment at which another thread would have gone on.
            let dues = self.kernels().filter_map(|poller| poller.due);
            self.now = dues.min().map_or(self.now, |due| self.now.max(due));
        }
    }

    /// Does to the wait what a kernel may do, and returns the length of the ready list.
    pub(super) fn end_wait(
        &mut self,
        kernel: usize,
        timeout: Option<Duration>,
        begun: Begun,
    ) -> usize {
        if begun != Begun::Interrupted {
            self.distort(kernel);
        }
        if self.chance(|faults| faults.late) {
            let span = if timeout == Some(Duration::ZERO) { 1_000 } else { 2_000_000 };
            let nanos = self.rng.below(span);
            self.pass(nanos);
        }
        let length = self.pollers[kernel].ready.len();
        for nth in 0..length {
            let event = self.pollers[kernel].ready[nth];
            self.note('w', event.token.to_bits() ^ u64::from(event.flags) << 48);
        }
        self.note('W', self.now.as_nanos());
        self.trace_wait(kernel, timeout);
        if !self.pollers[kernel].idle {
            // Who is at work may leave mail to any of the others.
            self.pollers.iter_mut().for_each(|poller| poller.idle = false);
            self.pollers[kernel].due = None;
        }
        length
    }

    /// All but that one.
    fn others(&self, kernel: usize) -> impl Iterator<Item = &Poller> {
        let others = self.pollers.iter().enumerate().filter(move |&(nth, _)| nth != kernel);
        others.map(|(_, poller)| poller).filter(|poller| !poller.gone)
    }

    /// Those that are not gone.
    fn kernels(&self) -> impl Iterator<Item = &Poller> {
        self.pollers.iter().filter(|poller| !poller.gone)
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.kernels().all(|poller| poller.idle || poller.asleep)
            && !self.is_moving()
            && (0..self.pollers.len()).all(|kernel| self.candidates(kernel).is_empty())
    }

    /// Everything that a wait could truly report now, with its place; in order of places.
    fn candidates(&self, kernel: usize) -> Vec<(usize, Ready)> {
        let mut found = Vec::new();
        let poller = &self.pollers[kernel];
        if poller.gone {
            return found;
        }
        if poller.bell.rung.load(Ordering::Acquire) {
            found.push((0, Ready { token: Token::WAKER, flags: Ready::READABLE }));
        }
        if poller.signals > 0 {
            found.push((1, Ready { token: Token::SIGNALS, flags: Ready::READABLE }));
        }
        let trigger = self.trigger;
        let mut consider = |place: usize, watch: &Watch, readiness: u32| {
            let flags = readiness & watch.flags(trigger);
            if watch.kernel == kernel && flags != 0 && (watch.edge || trigger == Trigger::Level) {
                found.push((place, Ready { token: watch.token, flags }));
            }
        };
        for (nth, listening) in self.listeners.iter().enumerate() {
            if let Some(watch) = &listening.watch {
                let flags = if listening.backlog.is_empty() { 0 } else { Ready::READABLE };
                consider(FIRST_LISTENER + nth, watch, flags);
            }
        }
        for (nth, socket) in self.sockets.iter().enumerate() {
            if let Some(Socket { link, watch: Some(watch) }) = socket {
                let place = FIRST_LISTENER + self.listeners.len() + nth;
                consider(place, watch, self.links[link].readiness());
            }
        }
        found
    }

    /// Moves what is truly ready into the ready list, as much as it holds, and takes the edges of
    /// that. Returns whether anything was.
    fn gather(&mut self, kernel: usize) -> bool {
        let mut found = self.candidates(kernel);
        let events_max = self.faults.events_max;
        let poller = &mut self.pollers[kernel];
        // Like the kernel's own list, the order turns, so that nobody is left out for ever.
        let first = found.partition_point(|&(place, _)| place < poller.cursor);
        found.rotate_left(first);
        poller.cursor = found.get(events_max).map_or(0, |&(place, _)| place);
        found.truncate(events_max);
        poller.ready.extend(found.iter().map(|&(_, event)| event));
        for &(place, _) in &found {
            if let Some(watch) = self.watch_at(place) {
                watch.edge = false;
            }
        }
        !found.is_empty()
    }

    fn watch_at(&mut self, place: usize) -> Option<&mut Watch> {
        let nth = place.checked_sub(FIRST_LISTENER)?;
        let listeners = self.listeners.len();
        match self.listeners.get_mut(nth) {
            Some(listening) => listening.watch.as_mut(),
            None => self.sockets.get_mut(nth - listeners)?.as_mut()?.watch.as_mut(),
        }
    }

    /// Reports somebody who is watched as ready for what they are not. Returns whether anybody was
    /// found.
    fn lie(&mut self, kernel: usize) -> bool {
        let places = FIRST_LISTENER + self.listeners.len() + self.sockets.len();
        let place = self.rng.below(places);
        let flags = [Ready::READABLE, Ready::WRITABLE][self.rng.below(2)];
        let trigger = self.trigger;
        let Some(watch) = self.watch_at(place) else { return false };
        let event = Ready { token: watch.token, flags: flags & watch.flags(trigger) };
        if watch.kernel != kernel || event.flags == 0 {
            return false;
        }
        self.pollers[kernel].ready.push(event);
        true
    }

    /// Does to the ready list what a kernel may do: the dead, doubles, any order.
    fn distort(&mut self, kernel: usize) {
        let World { pollers, rng, faults, .. } = self;
        let Poller { ready, graves, .. } = &mut pollers[kernel];
        if !graves.is_empty() && rng.chance(faults.stale) {
            let token = graves[rng.below(graves.len())];
            const FLAGS: [u32; 5] = [
                Ready::READABLE,
                Ready::WRITABLE,
                Ready::READABLE | Ready::PEER_FINISHED,
                Ready::READABLE | Ready::WRITABLE | Ready::ERROR | Ready::HANGUP,
                Ready::HANGUP,
            ];
            ready.push(Ready { token, flags: FLAGS[rng.below(FLAGS.len())] });
        }
        if !ready.is_empty() && rng.chance(faults.duplicate) {
            ready.push(ready[rng.below(ready.len())]);
        }
        if rng.chance(faults.shuffle) {
            rng.shuffle(ready);
        }
    }
}
