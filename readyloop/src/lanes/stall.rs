//! Who is busy for too long: each worker posts what it runs, and the reactor looks at the posts now
//! and then, while lanes are away.
//!
//! No clock is read for it on a worker. A run that is still the same after one whole interval has
//! lasted at least as long, and at most twice as long when it is reported.

use std::time::Duration;

use crate::clock::Now;
use crate::id::SessionId;
use crate::incident::Incident;
use crate::sync::{AtomicU64, Ordering};

/// What one worker is busy with.
#[derive(Default)]
pub(crate) struct Post {
    /// Runs begun and ended: odd while it is busy.
    runs: AtomicU64,
    /// Whose lane it runs.
    id: AtomicU64,
}

impl Post {
    pub(crate) fn begin(&self, id: SessionId) {
        // Released, so that whoever reads this name sees that the run before it has ended.
        self.id.store(id.to_bits(), Ordering::Release);
        self.runs.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.runs.fetch_add(1, Ordering::Release);
    }
}

/// The reactor's eye on the posts.
pub(crate) struct Watch {
    /// Whose sessions are reported.
    reactor: u8,
    interval: Duration,
    next: Option<Now>,
    /// What each post said at the last look.
    seen: Vec<u64>,
    /// The run that was last reported, of each worker.
    reported: Vec<u64>,
}

impl Watch {
    pub(crate) fn new(reactor: u8, workers: usize, interval: Duration) -> Watch {
        Watch { reactor, interval, next: None, seen: vec![0; workers], reported: vec![0; workers] }
    }

    /// Lanes have left.
    pub(crate) fn begin(&mut self, now: Now) {
        if self.next.is_none() {
            self.next = Some(now + self.interval);
        }
    }

    pub(crate) fn next_check(&self, away: bool) -> Option<Now> {
        self.next.filter(|_| away)
    }

    /// Looks at the posts if it is time.
    pub(crate) fn check(
        &mut self,
        now: Now,
        away: bool,
        posts: &[Post],
        report: &dyn Fn(Incident),
    ) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = away.then(|| now + self.interval);
        for (worker, post) in posts.iter().enumerate() {
            let runs = post.runs.load(Ordering::Acquire);
            let is_same = runs % 2 == 1 && runs == self.seen[worker];
            if is_same && runs != self.reported[worker] {
                let id = SessionId::from_bits(post.id.load(Ordering::Acquire));
                // A run that began during this look has left its own name, and nobody is stalled.
                if post.runs.load(Ordering::Relaxed) == runs && id.reactor() == self.reactor {
                    self.reported[worker] = runs;
                    report(Incident::Stalled { id, worker, at_least: self.interval });
                }
            }
            self.seen[worker] = runs;
        }
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn at(seconds: u64) -> Now {
        Now::ZERO + Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_is_reported_once_when_it_has_lasted_a_whole_interval() {
        let posts = [Post::default(), Post::default()];
        let mut watch = Watch::new(0, 2, Duration::from_secs(1));
        let seen = RefCell::new(Vec::new());
        let report = |incident| match incident {
            Incident::Stalled { id, worker, .. } => seen.borrow_mut().push((id, worker)),
            other => panic!("{other:?}"),
        };
        let (slow, quick) = (SessionId::new(0, 1, 1), SessionId::new(0, 2, 1));
        watch.begin(at(0));
        posts[0].begin(slow);
        watch.check(at(1), true, &posts, &report);
        assert_eq!(seen.take(), [], "it may have begun a moment ago");
        posts[1].begin(quick);
        watch.check(at(2), true, &posts, &report);
        assert_eq!(seen.take(), [(slow, 0)]);
        posts[1].end();
        posts[1].begin(quick);
        watch.check(at(3), true, &posts, &report);
        assert_eq!(seen.take(), [], "one was reported, the other runs anew");
        posts[0].end();
        posts[1].end();
        watch.check(at(4), false, &posts, &report);
        assert_eq!((seen.take(), watch.next_check(false)), (vec![], None));
    }
}
