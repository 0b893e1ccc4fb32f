//! The scheduler of the worker pool: lanes that are ready to run, and workers that wait for one.
//!
//! A lane is moved into the queue and moved out of it, so no two workers can have the same one; and
//! it goes to the queue's end each time, so no session is starved by another. Workers sleep when
//! there is nothing to do. Whoever adds lanes wakes one sleeper, and a worker that leaves lanes
//! behind wakes the next: no herd, and no system call while everybody is busy.
//!
//! Invariants: `called <= asleep`; while lanes wait and somebody sleeps, somebody is called.
//!
//! Thread contract: any-thread.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::sync::{Condvar, Mutex, MutexGuard};

/// The queue and those who wait at it. Generic over the lane, so that nothing here knows what runs.
pub struct Crew<L> {
    queue: Mutex<Queue<L>>,
    wake: Condvar,
}

struct Queue<L> {
    lanes: VecDeque<L>,
    /// Workers that wait for a lane.
    asleep: usize,
    /// How many of them were told to look, and have not looked yet.
    called: usize,
    closed: bool,
}

impl<L> Default for Crew<L> {
    fn default() -> Crew<L> {
        let lanes = VecDeque::new();
        Crew {
            queue: Mutex::new(Queue { lanes, asleep: 0, called: 0, closed: false }),
            wake: Condvar::new(),
        }
    }
}

impl<L> Crew<L> {
    /// Adds lanes at the queue's end, and calls one worker if any sleeps.
    pub fn add(&self, lanes: &mut Vec<L>) {
        let mut queue = self.lock();
        queue.lanes.extend(lanes.drain(..));
        self.call_next(queue);
    }

    /// The first lane of the queue, when there is one; `None` when the crew is dismissed.
    pub fn take(&self) -> Option<L> {
        let mut queue = self.lock();
        while queue.lanes.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.sleep(queue);
        }
        self.hand_out(queue)
    }

    /// The first lane of the queue, if there is one now.
    pub fn try_take(&self) -> Option<L> {
        self.hand_out(self.lock())
    }

    /// Sends every worker home, once the queue is empty.
    pub fn dismiss(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        drop(queue);
        self.wake.notify_all();
    }

    /// Waits until this worker, or any other, is called.
    #[cold]
    fn sleep<'a>(&'a self, mut queue: MutexGuard<'a, Queue<L>>) -> MutexGuard<'a, Queue<L>> {
        queue.asleep += 1;
        while queue.called == 0 && !queue.closed {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.called = queue.called.saturating_sub(1);
        queue.asleep -= 1;
        queue
    }

    #[inline]
    fn hand_out(&self, mut queue: MutexGuard<'_, Queue<L>>) -> Option<L> {
        let lane = queue.lanes.pop_front();
        self.call_next(queue);
        lane
    }

    /// Calls one more worker if lanes are left and nobody is on the way to them.
    #[inline]
    fn call_next(&self, queue: MutexGuard<'_, Queue<L>>) {
        if !queue.lanes.is_empty() && queue.called == 0 && queue.asleep > 0 {
            self.call(queue);
        }
    }

    #[cold]
    fn call(&self, mut queue: MutexGuard<'_, Queue<L>>) {
        queue.called += 1;
        drop(queue);
        self.wake.notify_one();
    }

    /// Whether nothing waits, nobody sleeps and nobody is called.
    #[cfg(all(loom, test))]
    pub(crate) fn is_at_rest(&self) -> bool {
        let queue = self.lock();
        queue.lanes.is_empty() && queue.asleep == 0 && queue.called == 0
    }

    /// No code runs under the lock that could leave the queue half changed, so poison means nothing.
    fn lock(&self) -> MutexGuard<'_, Queue<L>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread::spawn;

    #[test]
    fn lanes_are_taken_in_their_order() {
        let crew = Crew::default();
        assert_eq!(crew.try_take(), None);
        crew.add(&mut vec![1, 2]);
        crew.add(&mut vec![3]);
        let taken: Vec<_> = std::iter::from_fn(|| crew.try_take()).collect();
        assert_eq!(taken, [1, 2, 3]);
    }

    #[test]
    fn a_dismissed_crew_finishes_what_is_left() {
        let crew = Crew::default();
        crew.add(&mut vec![1]);
        crew.dismiss();
        assert_eq!((crew.take(), crew.take()), (Some(1), None));
    }

    #[test]
    fn every_lane_comes_to_one_worker() {
        const LANES: usize = 10_000;
        let crew = Arc::new(Crew::default());
        let (sender, receiver) = channel();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (crew, sender) = (crew.clone(), sender.clone());
                spawn(move || {
                    while let Some(lane) = crew.take() {
                        sender.send(lane).unwrap();
                    }
                })
            })
            .collect();
        (0..LANES).for_each(|lane| crew.add(&mut vec![lane]));
        let mut seen: Vec<usize> = receiver.iter().take(LANES).collect();
        crew.dismiss();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..LANES));
    }
}
