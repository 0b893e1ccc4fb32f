//! Reactors, and a pool of workers that run handlers.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::error::Result;
use crate::handler::Handler;
use crate::lanes::{Lanes, Shared, Worker};
use crate::reactor::{Reactor, Remote, Setup};
use crate::sys::Linux;

use super::multi::Multi;
use super::{OnReady, Pinning, spawn};

/// Reactors and their workers that do not run yet.
pub(super) struct Workers {
    pub(super) reactors: Reactors,
    pub(super) count: usize,
    pub(super) pin: bool,
}

/// Those whose sessions' handlers run on workers.
pub(super) enum Reactors {
    /// On the thread that runs the server.
    One(Linux, Setup<Linux>),
    /// Each on its own, under an acceptor.
    Several(Multi),
}

/// A worker's thread, and the word that it has begun.
type Running<'scope> = (ScopedJoinHandle<'scope, Result<()>>, Receiver<()>);

impl Reactors {
    fn count(&self) -> usize {
        match self {
            Reactors::One(..) => 1,
            Reactors::Several(multi) => multi.count(),
        }
    }

    fn lanes<H: Handler<M>, M: Send + 'static>(&self, workers: usize) -> Vec<Lanes<H, M>> {
        match self {
            Reactors::One(_, setup) => setup.lanes_telling(workers),
            Reactors::Several(multi) => multi.lanes(workers),
        }
    }

    /// Serves until it is stopped.
    fn run<H: Handler<M>, M: Send + 'static>(
        self,
        lanes: Vec<Lanes<H, M>>,
        pinning: &Pinning,
        ready: OnReady,
    ) -> Result<()> {
        let (kernel, setup) = match self {
            Reactors::One(kernel, setup) => (kernel, setup),
            Reactors::Several(multi) => {
                return multi.run(lanes.into_iter().map(|lanes| move || lanes).collect(), ready);
            }
        };
        let _pinned = pinning.pin(0)?;
        let Some(lanes) = lanes.into_iter().next() else { return Ok(()) };
        let mut reactor = Reactor::with_host(kernel, setup.telling(), lanes)?;
        ready();
        reactor.run()
    }
}

impl Workers {
    pub(super) fn remote(&self) -> Remote {
        match &self.reactors {
            Reactors::One(_, setup) => setup.remote(),
            Reactors::Several(multi) => multi.remote(),
        }
    }

    /// Serves until it is stopped; joins every thread, also when one of them could not begin.
    pub(super) fn run<H: Handler<M>, M: Send + 'static>(
        self,
        handler: &(impl Fn(usize) -> H + Sync),
        ready: OnReady,
    ) -> Result<()> {
        let Workers { reactors, count, pin } = self;
        let pinning = Pinning::asked(pin)?;
        thread::scope(|scope| {
            let lanes = reactors.lanes::<H, M>(count);
            let Some(shared) = lanes.first().map(Lanes::shared) else { return Ok(()) };
            let first_cpu = reactors.count();
            let workers = (0..count).map(|number| {
                let pinning = (pinning.clone(), first_cpu + number);
                begin(scope, shared.clone(), number, handler, pinning)
            });
            // What has been begun is dismissed by the drop of the lanes, and joined by the scope.
            let workers: Vec<Running<'_>> = workers.collect::<Result<_>>()?;
            let mut outcome = Ok(());
            if workers.iter().all(|(_, began)| began.recv() == Ok(())) {
                outcome = reactors.run(lanes, &pinning, ready);
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

fn begin<'scope, 'env, H, M, F: Fn(usize) -> H + Sync>(
    scope: &'scope Scope<'scope, 'env>,
    shared: Arc<Shared<H, M>>,
    number: usize,
    handler: &'env F,
    (pinning, cpu): (Pinning, usize),
) -> Result<Running<'scope>>
where
    H: Handler<M> + 'scope,
    M: Send + 'static,
{
    let (began, is_ready): (Sender<()>, _) = channel();
    let work = move || {
        let _pinned = pinning.pin(cpu)?;
        let mut worker = Worker::new(shared, number, handler(number));
        let _nobody_waits = began.send(());
        worker.work();
        Ok(())
    };
    Ok((spawn(scope, format!("worker-{number}"), work)?, is_ready))
}
