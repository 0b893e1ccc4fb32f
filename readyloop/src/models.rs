//! Models of what crosses threads: every interleaving of a few threads and mails, or, where it says
//! so, every one with at most that many preemptions.
//!
//! A wake that is lost shows as a deadlock: whoever waits for it is never woken by anything else. A
//! reader here follows the reactor's turn (`Reactor::wait`, then `Reactor::mail`), and a worker is
//! the loop of `Worker::work`; what they do with a mail or a lane is left out. The model checker
//! has no spurious wakes of a condition variable, and wakes whoever has waited for the longest: of
//! other orders nothing is said here.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release --lib models`, and `LOOM_MAX_PREEMPTIONS=5` before
//! it to look deeper.
#![allow(clippy::unwrap_used)]

mod admission;
mod crew;
mod groups;
mod mail;
mod stall;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use loom::model::Builder;
use loom::sync::{Condvar, Mutex};
use loom::thread::JoinHandle;

use crate::load::Load;
use crate::mailbox::{Bell, Mailbox};
use crate::sync::Ordering;
use crate::wake::Wake;

/// What each mail weighs.
const ONE: Load = Load { mails: 1, bytes: 0 };

/// Runs the model in every interleaving with at most this many preemptions, `None` for all.
fn explore(preemptions_max: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(preemptions_max);
    builder.check(model);
}

fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What a reader sleeps on. It refuses a write that was not needed: one to a reader that has not
/// announced its sleep, and a second one for the same sleep.
#[derive(Default)]
struct Eventfd {
    ready: Mutex<bool>,
    readable: Condvar,
    /// A sleep was announced, and nobody has written for it. Not one of the model's atomics, so it
    /// changes in the same step as the bell's state does.
    awaited: AtomicBool,
}

impl Eventfd {
    /// Waits as long as there is nothing to read, or not at all, and reads.
    fn wait(&self, sleeps: bool) {
        let mut ready = self.ready.lock().unwrap();
        while sleeps && !*ready {
            ready = self.readable.wait(ready).unwrap();
        }
        *ready = false;
    }
}

impl Wake for Eventfd {
    fn wake(&self) {
        assert!(self.awaited.swap(false, Ordering::SeqCst), "a needless write");
        *self.ready.lock().unwrap() = true;
        self.readable.notify_one();
    }
}

/// One reactor's bell, and what it sleeps on.
struct Reader {
    eventfd: Arc<Eventfd>,
    bell: Arc<Bell>,
}

/// How the reader's wait goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// It has work left over, and does not sleep.
    Now,
    /// It sleeps, and a socket is ready at once.
    Socket,
    /// It sleeps, and only the bell wakes it.
    Rung,
}

impl Reader {
    fn new() -> Reader {
        let eventfd = Arc::new(Eventfd::default());
        Reader { bell: Arc::new(Bell::new(eventfd.clone())), eventfd }
    }

    fn mailbox<M>(&self, mails_max: usize) -> Arc<Mailbox<M>> {
        let bounds = Load { mails: mails_max, ..Load::MAX };
        Arc::new(Mailbox::new(bounds, self.bell.clone()))
    }

    /// A turn's wait and the beginning of its mail: whether it must look into its boxes.
    fn wait(&self, until: Until) -> bool {
        let asleep = until != Until::Now && self.bell.fall_asleep();
        self.eventfd.awaited.store(asleep, Ordering::SeqCst);
        self.eventfd.wait(asleep && until == Until::Rung);
        let rung = self.bell.wake_up();
        self.eventfd.awaited.store(false, Ordering::SeqCst);
        rung
    }
}

fn take<M>(mailbox: &Mailbox<M>) -> VecDeque<M> {
    let mut inbox = VecDeque::new();
    mailbox.take(&mut inbox);
    inbox
}
