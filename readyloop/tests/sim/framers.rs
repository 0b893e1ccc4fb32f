//! A framer that breaks: what came whole before is handled, in place and on workers.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use readyloop::sim::{Faults, Net};
use readyloop::{
    Context, Framer, Handler, Incident, Limits, Peer, Reactor, Report, Setup, Step, Worker,
};

use super::world::BOTH;

/// Frames of one byte, until it meets a byte that it does not bear.
struct Fragile;

impl Framer for Fragile {
    fn next(&mut self, input: &mut [u8]) -> Step {
        match input.first() {
            Some(0xFF) => panic!("a framer breaks"),
            Some(_) => Step::Frame { frame: 0..1, consumed: 1 },
            None => Step::NeedMore { at_least: 1 },
        }
    }
}

/// Counts the bytes that come.
struct Counts(Rc<Cell<usize>>);

impl Handler for Counts {
    type Framer = Fragile;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Fragile, ()) {
        (Fragile, ())
    }

    fn on_frame(&mut self, _: &mut (), _: &[u8], _: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_framer_that_panics_loses_no_frame_before_and_is_reported_once() {
    for trigger in BOTH {
        for with_workers in [false, true] {
            let net = Net::new(0, trigger, Faults::none());
            let (frames, reports) = (Rc::new(Cell::new(0)), Arc::new(AtomicUsize::new(0)));
            let kernel = net.kernel();
            let mut setup = Setup::new(&kernel, vec![net.listener()], Limits::default());
            let told = reports.clone();
            setup.report = Report::new(move |incident| {
                if let Incident::Panicked { .. } = incident {
                    told.fetch_add(1, Ordering::Relaxed);
                }
            });
            let client = net.connect(0);
            client.send(&[b'a', b'b', b'c', b'd', 0xFF, b'e']);
            let stats = if with_workers {
                let lanes = setup.lanes::<Counts>(1).remove(0);
                let mut worker = Worker::new(lanes.shared(), 0, Counts(frames.clone()));
                let mut reactor = Reactor::with_host(kernel, setup, lanes).unwrap();
                for _ in 0..10 {
                    net.settle(100, || assert!(reactor.turn().unwrap()));
                    worker.step();
                }
                reactor.stats().clone()
            } else {
                let mut reactor = Reactor::new(kernel, setup, Counts(frames.clone())).unwrap();
                net.settle(100, || assert!(reactor.turn().unwrap()));
                reactor.stats().clone()
            };
            let seen = (frames.get(), reports.load(Ordering::Relaxed), stats.panics);
            assert_eq!(seen, (4, 1, 1), "{trigger:?}, with workers: {with_workers}");
        }
    }
}
