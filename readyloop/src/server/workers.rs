//! One reactor on the thread that runs the server, and a pool of workers that run handlers.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::Result;
use crate::handler::Handler;
use crate::lanes::{Lanes, Worker};
use crate::reactor::{Reactor, Setup};
use crate::sys::Linux;

use super::{OnReady, Pinning, spawn};

/// A reactor and its workers that do not run yet.
pub(super) struct Workers {
    pub(super) kernel: Linux,
    pub(super) setup: Setup<Linux>,
    pub(super) count: usize,
    pub(super) pin: bool,
}

/// A worker's thread, and the word that it has begun.
type Running<'scope> = (ScopedJoinHandle<'scope, Result<()>>, Receiver<()>);

impl Workers {
    /// Serves until it is stopped; joins every thread, also when one of them could not begin.
    pub(super) fn run<H: Handler>(
        self,
        handler: &(impl Fn(usize) -> H + Sync),
        ready: OnReady,
    ) -> Result<()> {
        let Workers { kernel, setup, count, pin } = self;
        let pinning = Pinning::asked(pin)?;
        let _pinned = pinning.pin(0)?;
        thread::scope(|scope| {
            let lanes = setup.lanes::<H>(count);
            let workers = (0..count).map(|number| begin(scope, &lanes, number, handler, &pinning));
            // What has been begun is dismissed by the drop of the lanes, and joined by the scope.
            let workers: Vec<Running<'_>> = workers.collect::<Result<_>>()?;
            let mut outcome = Ok(());
            if workers.iter().all(|(_, began)| began.recv() == Ok(())) {
                let mut reactor = Reactor::new(kernel, setup, lanes)?;
                ready();
                outcome = reactor.run();
            } else {
                drop(lanes);
            }
            for (thread, _) in workers {
                outcome = outcome.and(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            outcome
        })
    }
}

fn begin<'scope, 'env, H: Handler + 'scope, F: Fn(usize) -> H + Sync>(
    scope: &'scope Scope<'scope, 'env>,
    lanes: &Lanes<H>,
    number: usize,
    handler: &'env F,
    pinning: &Pinning,
) -> Result<Running<'scope>> {
    let (began, is_ready): (Sender<()>, _) = channel();
    let (shared, pinning) = (lanes.shared(), pinning.clone());
    let work = move || {
        let _pinned = pinning.pin(number + 1)?;
        let mut worker = Worker::new(shared, number, handler(number));
        let _nobody_waits = began.send(());
        worker.work();
        Ok(())
    };
    Ok((spawn(scope, format!("worker-{number}"), work)?, is_ready))
}
