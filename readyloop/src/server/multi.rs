//! Several reactors, each on a thread of its own, under the acceptor on the thread that runs the
//! server.
//!
//! Each reactor's kernel is made on its own thread, so that it lies in that thread's descriptor
//! table; only the wakers are made before, because everybody must know them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::address::Address;
use crate::error::Result;
use crate::handler::Handler;
use crate::host::Host;
use crate::lanes::Lanes;
use crate::limits::Limits;
use crate::reactor::{Acceptor, AcceptorSetup, Reactor, Remote, Setup};
use crate::sys::{FdTables, Linux, Listener, Reserve, Waker};
use crate::wake::Wake;

use super::topology::Accepting;
use super::{OnReady, Pinning, Settings, spawn};

/// Several reactors that do not run yet.
pub(super) struct Multi {
    settings: Arc<Settings>,
    fd_tables: FdTables,
    /// Where every reactor listens for itself.
    listen: Vec<Address>,
    /// Hold these addresses until then.
    reserved: Vec<Listener>,
    reactors: Vec<(Arc<Waker>, Setup<Linux>)>,
    acceptor: (Linux, AcceptorSetup<Linux>),
    remote: Remote,
}

impl Multi {
    /// Takes the addresses, and listens there unless every reactor will.
    pub(super) fn bind(
        mut settings: Settings,
        limits: &Limits,
        count: usize,
        accept: Accepting,
    ) -> Result<(Multi, Vec<Address>)> {
        settings.listen_options.reuse_port |= matches!(accept, Accepting::ReusePort(_));
        let kernel = settings.kernel()?;
        let wakers = (0..count).map(|_| Waker::new().map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let known: Vec<Arc<dyn Wake>> = wakers.iter().map(|waker| waker.clone() as _).collect();
        let (mut setups, mut acceptor) =
            Setup::several(&known, crate::kernel::Kernel::waker(&kernel), limits);
        acceptor.report = settings.report.clone();
        for setup in &mut setups {
            setup.report = settings.report.clone();
            setup.measures_waits = settings.measures_waits;
        }
        let (mut reserved, mut fd_tables) = (Vec::new(), FdTables::shared());
        match accept {
            Accepting::Handoff(balance) => {
                acceptor.balance = balance;
                acceptor.listeners = settings.listen(Listener::bind)?;
            }
            Accepting::ReusePort(tables) => {
                fd_tables = tables;
                reserved = settings.listen(Listener::reserve)?;
            }
        }
        let held = if reserved.is_empty() { &acceptor.listeners } else { &reserved };
        let addresses: Vec<Address> = held.iter().map(Listener::local_address).collect();
        let listen = reserved.iter().map(Listener::local_address).collect();
        let remote = setups[0].remote();
        let reactors = wakers.into_iter().zip(setups).collect();
        let settings = Arc::new(settings);
        let acceptor = (kernel, acceptor);
        let multi = Multi { settings, fd_tables, listen, reserved, reactors, acceptor, remote };
        Ok((multi, addresses))
    }

    pub(super) fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.reactors.len()
    }

    /// Lanes to this many workers, for each reactor.
    pub(super) fn lanes<H, M>(&self, workers: usize) -> Vec<Lanes<H, M>>
    where
        H: Handler<M>,
        M: Send + 'static,
    {
        self.reactors.first().map_or(Vec::new(), |(_, setup)| setup.lanes_telling(workers))
    }

    /// Serves until it is stopped, each reactor with what its host is made by, on its thread; joins every
    /// thread, also when one of them could not begin or could not go on.
    pub(super) fn run<H: Host, F: FnOnce() -> H + Send>(
        self,
        hosts: Vec<F>,
        ready: OnReady,
    ) -> Result<()> {
        let Multi { settings, fd_tables, listen, reserved, reactors, acceptor, .. } = self;
        let pinning = Pinning::asked(settings.pin)?;
        let (settings, reserve) = (&settings, acceptor.0.reserve());
        let begin = Begin { settings, pinning: &pinning, fd_tables, reserve, listen: &listen };
        thread::scope(|scope| {
            let mut acceptor = Acceptor::new(acceptor.0, acceptor.1)?;
            let threads = reactors.into_iter().zip(hosts).enumerate();
            let threads: Result<Vec<Running<'_>>> = threads
                .map(|(number, (reactor, host))| begin.spawn(scope, number, reactor, host))
                .collect();
            // What has been begun is ended by the acceptor's drop, and joined by the scope.
            let (threads, ready_signals): (Vec<_>, Vec<_>) = threads?.into_iter().unzip();
            let began = ready_signals.iter().all(|began| began.recv() == Ok(()));
            let mut outcome = Ok(());
            if began {
                ready();
                outcome = acceptor.run();
            }
            drop(acceptor);
            for thread in threads {
                outcome = outcome.and(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            drop(reserved);
            outcome
        })
    }
}

/// A reactor's thread, and the word that it has begun.
type Running<'scope> = (ScopedJoinHandle<'scope, Result<()>>, Receiver<()>);

/// What every reactor's thread begins with.
struct Begin<'env> {
    settings: &'env Arc<Settings>,
    pinning: &'env Pinning,
    fd_tables: FdTables,
    /// Of the table that all threads have, unless they get their own: then the last handle on it must
    /// not be dropped in one of those, and this one outlives the threads.
    reserve: Arc<Reserve>,
    listen: &'env [Address],
}

impl<'env> Begin<'env> {
    fn spawn<'scope, H: Host>(
        &self,
        scope: &'scope Scope<'scope, 'env>,
        number: usize,
        (waker, mut setup): (Arc<Waker>, Setup<Linux>),
        host: impl FnOnce() -> H + Send + 'scope,
    ) -> Result<Running<'scope>> {
        let Begin { settings, pinning, fd_tables, listen, .. } = *self;
        let reserve = self.reserve.clone();
        let (began, is_ready): (Sender<()>, _) = channel();
        let run = move || {
            let reserve = fd_tables.enter(reserve)?;
            let _pinned = pinning.pin(number)?;
            let kernel = settings.kernel_with(waker, reserve)?;
            setup.listeners = settings.listen_to(listen)?;
            let mut reactor = Reactor::with_host(kernel, setup.telling(), host())?;
            let _nobody_waits = began.send(());
            reactor.run()
        };
        Ok((spawn(scope, format!("reactor-{number}"), run)?, is_ready))
    }
}
