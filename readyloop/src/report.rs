//! Tells incidents to the hook that an operator has given: never twice at once on one thread, never
//! many of one kind, and whatever the hook does, its panic goes no further.
//!
//! It exists because a hook is somebody else's code that runs in the middle of ours, also where a
//! panic is being dealt with: one that escaped would end a thread or the process. And what happens a
//! thousand times a second, a panic for each frame of a hostile peer, must not be told as often.
//!
//! Invariant: no lock is held while the hook runs.
//!
//! Thread contract: any-thread; a hook is called on the thread on which an incident happens.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Now;
use crate::incident::{Incident, discard};

/// How long after an incident was told others of its kind are only counted.
const INTERVAL: Duration = Duration::from_secs(10);
/// Kinds of incidents that can happen again and again.
const KINDS: usize = 5;

/// Where incidents are told. A handle: clones are the same one, and count together.
#[derive(Clone)]
pub struct Report(Arc<Shared>);

struct Shared {
    hook: Box<dyn Fn(Incident) + Send + Sync>,
    kinds: Mutex<[Kind; KINDS]>,
    /// When somebody must look at those that were only counted, in nanoseconds; `u64::MAX` if there
    /// are none.
    due: AtomicU64,
    panics: AtomicU64,
}

/// What is known of one kind of incident.
#[derive(Default)]
struct Kind {
    /// Until then they are counted.
    quiet_until: Option<Now>,
    /// Those that were: how many, and the last one.
    count: u64,
    last: Option<Incident>,
}

thread_local! {
    /// Whether this thread is inside of a hook.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Which of the kinds that are counted an incident is, if it is of one.
fn kind_of(incident: &Incident) -> Option<usize> {
    match incident {
        Incident::ListenerRests { .. } => Some(0),
        Incident::Panicked { .. } => Some(1),
        Incident::Stalled { .. } => Some(2),
        Incident::PreambleFailed { .. } => Some(3),
        Incident::OutOfMemory { .. } => Some(4),
        // Of each, a thread has one in its life.
        Incident::Draining { .. } | Incident::Ended { .. } | Incident::Repeated { .. } => None,
    }
}

impl Kind {
    /// What is told of those that were counted, if there were any; from now on others are.
    fn take(&mut self, now: Now) -> Option<Incident> {
        let last = self.last.take()?;
        self.quiet_until = Some(now + INTERVAL);
        match std::mem::take(&mut self.count) {
            1 => Some(last),
            count => Some(Incident::Repeated { last: Box::new(last), count }),
        }
    }
}

impl Report {
    /// Tells `hook` of incidents.
    pub fn new(hook: impl Fn(Incident) + Send + Sync + 'static) -> Report {
        Report(Arc::new(Shared {
            hook: Box::new(hook),
            kinds: Mutex::default(),
            due: AtomicU64::new(u64::MAX),
            panics: AtomicU64::new(0),
        }))
    }

    /// Tells an incident that happens now; or counts it, if one of its kind was told a short while
    /// ago.
    #[cold]
    pub fn tell(&self, incident: Incident, now: Now) {
        let Some(nth) = kind_of(&incident) else { return self.call(incident) };
        let mut kinds = self.kinds();
        let kind = &mut kinds[nth];
        kind.last = Some(incident);
        kind.count += 1;
        let is_quiet = kind.quiet_until.is_some_and(|until| now < until);
        let told = if is_quiet { None } else { kind.take(now) };
        self.note_due(&kinds);
        drop(kinds);
        if let Some(told) = told {
            self.call(told);
        }
    }

    /// When [`Report::tell_due`] must be called, if anybody was only counted.
    #[inline]
    pub(crate) fn next_due(&self) -> Option<Now> {
        match self.0.due.load(Ordering::Relaxed) {
            u64::MAX => None,
            nanos => Some(Now::from_nanos(nanos)),
        }
    }

    /// Tells of those that were counted for long enough.
    #[cold]
    pub(crate) fn tell_due(&self, now: Now) {
        self.tell_counted(|until| until <= now, now);
    }

    /// Tells of all that were counted: the thread that would tell of them later ends.
    #[cold]
    pub(crate) fn tell_rest(&self, now: Now) {
        self.tell_counted(|_| true, now);
    }

    fn tell_counted(&self, is_due: impl Fn(Now) -> bool, now: Now) {
        let mut kinds = self.kinds();
        let due = kinds.iter_mut().filter(|kind| kind.quiet_until.is_some_and(&is_due));
        let told: Vec<Incident> = due.filter_map(|kind| kind.take(now)).collect();
        self.note_due(&kinds);
        drop(kinds);
        told.into_iter().for_each(|incident| self.call(incident));
    }

    /// How often the hook has panicked since the last call.
    pub(crate) fn take_panics(&self) -> u64 {
        self.0.panics.swap(0, Ordering::Relaxed)
    }

    /// No code runs under the lock that could leave the kinds half changed, so poison means nothing.
    fn kinds(&self) -> MutexGuard<'_, [Kind; KINDS]> {
        self.0.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_due(&self, kinds: &[Kind; KINDS]) {
        let counted = kinds.iter().filter(|kind| kind.count > 0);
        let due = counted.filter_map(|kind| kind.quiet_until).min();
        self.0.due.store(due.map_or(u64::MAX, Now::as_nanos), Ordering::Relaxed);
    }

    /// The only place that calls the hook. What a hook itself provokes on its thread is not told:
    /// it could hold a lock of its own.
    fn call(&self, incident: Incident) {
        if INSIDE.replace(true) {
            return;
        }
        let told = catch_unwind(AssertUnwindSafe(|| (self.0.hook)(incident)));
        INSIDE.set(false);
        if let Err(panic) = told {
            self.0.panics.fetch_add(1, Ordering::Relaxed);
            discard(panic);
        }
    }
}

impl Default for Report {
    /// Nobody is told.
    fn default() -> Report {
        Report::new(|_| {})
    }
}

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn panicked(message: &str) -> Incident {
        Incident::Panicked { id: SessionId::NONE, message: message.to_string() }
    }

    fn at(millis: u64) -> Now {
        Now::ZERO + Duration::from_millis(millis)
    }

    /// A report, and what it has told since it was last asked.
    fn heard() -> (Report, impl Fn() -> Vec<Incident>) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let hears = heard.clone();
        let report = Report::new(move |incident| hears.lock().unwrap().push(incident));
        (report, move || std::mem::take(&mut *heard.lock().unwrap()))
    }

    #[test]
    fn of_one_kind_the_first_is_told_and_the_others_together_later() {
        let (report, told) = heard();
        (0..1000).for_each(|nth| report.tell(panicked(&format!("{nth}")), at(nth)));
        assert_eq!(told(), [panicked("0")]);
        assert_eq!(report.next_due(), Some(at(10_000)));
        report.tell_due(at(9_999));
        assert_eq!(told(), []);
        report.tell_due(at(10_000));
        assert_eq!(told(), [Incident::Repeated { last: Box::new(panicked("999")), count: 999 }]);
        assert_eq!(report.next_due(), None);
        report.tell(panicked("one more"), at(10_001));
        assert_eq!((told(), report.next_due()), (vec![], Some(at(20_000))));
        report.tell_due(at(20_000));
        assert_eq!(told(), [panicked("one more")]);
        report.tell(panicked("much later"), at(40_000));
        assert_eq!(told(), [panicked("much later")]);
    }

    #[test]
    fn kinds_do_not_hide_each_other_and_nothing_counted_is_lost_at_the_end() {
        let (report, told) = heard();
        let stalled =
            Incident::Stalled { id: SessionId::NONE, worker: 1, at_least: Duration::from_secs(1) };
        for incident in [panicked("a"), stalled.clone(), panicked("b"), panicked("c")] {
            report.tell(incident, at(5));
        }
        assert_eq!(told(), [panicked("a"), stalled]);
        report.tell_rest(at(6));
        assert_eq!(told(), [Incident::Repeated { last: Box::new(panicked("c")), count: 2 }]);
        report.tell_rest(at(7));
        assert_eq!(told(), []);
    }

    /// A panic whose payload panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the payload of a panic");
        }
    }

    #[test]
    fn a_hook_that_panics_is_counted_and_hurts_nobody() {
        let report = Report::new(|_| std::panic::panic_any(Bomb));
        report.tell(panicked("a"), at(0));
        report.tell(Incident::Draining { sessions: 1 }, at(0));
        assert_eq!((report.take_panics(), report.take_panics()), (2, 0));
    }

    #[test]
    fn a_hook_that_panics_while_a_panic_unwinds_does_not_end_the_process() {
        struct Tells(Report);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.tell(Incident::Draining { sessions: 0 }, Now::ZERO);
            }
        }
        let report = Report::new(|_| panic!("hook"));
        let tells = Tells(report.clone());
        let unwound = catch_unwind(AssertUnwindSafe(move || {
            let _tells = tells;
            panic!("thread");
        }));
        assert!(unwound.is_err());
        assert_eq!(report.take_panics(), 1);
    }

    #[test]
    fn what_a_hook_provokes_itself_is_not_told_to_it() {
        let slot: Arc<Mutex<Option<Report>>> = Arc::default();
        let (itself, calls) = (slot.clone(), Arc::new(AtomicU64::new(0)));
        let counts = calls.clone();
        let report = Report::new(move |incident| {
            counts.fetch_add(1, Ordering::Relaxed);
            let report = itself.lock().unwrap();
            report.as_ref().unwrap().tell(incident, Now::ZERO);
        });
        *slot.lock().unwrap() = Some(report.clone());
        report.tell(Incident::Draining { sessions: 0 }, Now::ZERO);
        report.tell(Incident::Draining { sessions: 0 }, Now::ZERO);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
