//! CPUs: who runs on which one, and for how long.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::thread::spawn;

use readyloop::{Context, Handler, Peer, Raw, Server, Topology};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::running::*;

/// The CPUs that this thread may use.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
}

struct Nobody;

impl Handler for Nobody {
    type Framer = Raw;
    type Session = ();
    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
        (Raw, ())
    }
    fn on_frame(&mut self, _: &mut (), _: &[u8], _: &mut Context<'_>) {}
}

/// Runs a pinned server that is stopped as soon as it serves. Returns the CPUs of each thread that
/// has a handler, in the order of their numbers.
fn run_pinned(topology: Topology) -> Vec<Vec<usize>> {
    let builder = Server::builder().listen("127.0.0.1:0").topology(topology).pin(true);
    let server = builder.bind().unwrap();
    let remote = server.remote();
    let seen = Mutex::new(Vec::new());
    let server = server.on_ready(move || remote.stop());
    server
        .run(|thread| {
            seen.lock().unwrap().push((thread, allowed()));
            Nobody
        })
        .unwrap();
    let mut seen = seen.into_inner().unwrap();
    seen.sort();
    seen.into_iter().map(|(_, cpus)| cpus).collect()
}

#[test]
fn every_thread_that_serves_has_a_cpu_of_its_own() {
    let cpus = allowed();
    let nth = |nth: usize| vec![cpus[nth % cpus.len()]];
    let workers = Topology::workers(3);
    let cases = [
        (Topology::Single, vec![nth(0)]),
        (HANDOFF, vec![nth(0), nth(1)]),
        (SHARED, vec![nth(0), nth(1)]),
        // The reactor has the first one.
        (workers, vec![nth(1), nth(2), nth(3)]),
    ];
    for (topology, expected) in cases {
        assert_eq!(run_pinned(topology), expected, "{topology:?}");
    }
}

#[test]
fn the_thread_that_ran_a_server_may_use_its_cpus_again() {
    for topology in [Topology::Single, HANDOFF, PER_REACTOR, WORKERS, POOL] {
        spawn(move || {
            let before = allowed();
            run_pinned(topology);
            assert_eq!(allowed(), before, "{topology:?}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_thread_that_ran_a_server_may_use_its_cpus_again_when_that_panicked() {
    for topology in [Topology::Single, HANDOFF, WORKERS, POOL] {
        spawn(move || {
            let before = allowed();
            let builder = Server::builder().listen("127.0.0.1:0").topology(topology).pin(true);
            let server = builder.bind().unwrap();
            let factory = |_| -> Nobody { panic!("no handler today") };
            let ran = catch_unwind(AssertUnwindSafe(|| server.run(factory)));
            assert!(ran.is_err());
            assert_eq!(allowed(), before, "{topology:?}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_thread_that_was_given_few_cpus_pins_to_no_other() {
    spawn(|| {
        let last = *allowed().last().unwrap();
        let mut only = CpuSet::new();
        only.set(last);
        sched_setaffinity(None, &only).unwrap();
        assert_eq!(run_pinned(WORKERS), [[last], [last]]);
        assert_eq!(allowed(), [last]);
    })
    .join()
    .unwrap();
}
