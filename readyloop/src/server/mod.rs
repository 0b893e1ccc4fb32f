//! From settings to a running server: the only layer that names Linux.

mod multi;
mod topology;
mod workers;

use std::marker::PhantomData;
use std::sync::Arc;
use std::thread::{self, Scope, ScopedJoinHandle};

use crate::address::Address;
use crate::error::{Errno, Error, Result};
use crate::handler::Handler;
use crate::host::Inline;
use crate::incident::Incident;
use crate::limits::Limits;
use crate::reactor::{Reactor, Remote, Setup};
use crate::readiness::Trigger;
use crate::report::Report;
use crate::sys::threads::{Cpus, Pinned};
use crate::sys::{
    Linux, ListenOptions, Listener, Poller, Reserve, SocketOptions, Waker, check_trigger,
};

use multi::Multi;
pub use topology::{Accepting, Topology};
use workers::{Reactors, Workers};

/// A server's settings, on their way to a [`Server`].
pub struct Builder {
    listen: Vec<String>,
    limits: Limits,
    topology: Topology,
    settings: Settings,
}

/// What is done once callers can connect.
type OnReady = Box<dyn FnOnce() + Send>;

/// The settings that every thread of a server needs.
struct Settings {
    listen: Vec<Address>,
    listen_options: ListenOptions,
    events_per_wait: usize,
    poller: Poller,
    trigger: Trigger,
    signals: bool,
    pin: bool,
    report: Report,
    measures_waits: bool,
}

/// A server that has its addresses, and serves when it is [`run`](Server::run). Callers that come
/// meanwhile wait in the backlog; but where every reactor listens for itself
/// ([`Accepting::ReusePort`]), nobody listens before the server runs.
///
/// `M` is what other threads tell its handlers ([`Handler::on_message`]): that of the handler with which it is
/// run, so it need not be named.
pub struct Server<M = ()> {
    plan: Plan,
    addresses: Vec<Address>,
    ready: OnReady,
    told: PhantomData<fn(M)>,
}

/// What will run.
enum Plan {
    Single { kernel: Linux, setup: Setup<Linux>, pin: bool },
    Multi(Multi),
    Workers(Workers),
}

impl Server {
    /// Settings to begin with: no listener, the default [`Limits`], a single reactor, epoll, level.
    pub fn builder() -> Builder {
        let settings = Settings {
            listen: Vec::new(),
            listen_options: ListenOptions::default(),
            events_per_wait: 0,
            poller: Poller::default(),
            trigger: Trigger::default(),
            signals: false,
            pin: false,
            report: Report::default(),
            measures_waits: false,
        };
        Builder {
            listen: Vec::new(),
            limits: Limits::default(),
            topology: Topology::default(),
            settings,
        }
    }
}

impl<M: Send + 'static> Server<M> {
    /// Where it listens, in the order of [`Builder::listen`]; a port 0 has become the real one.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The handle for other threads.
    pub fn remote(&self) -> Remote<M> {
        let remote = match &self.plan {
            Plan::Single { setup, .. } => setup.remote(),
            Plan::Multi(multi) => multi.remote(),
            Plan::Workers(workers) => workers.remote(),
        };
        remote.telling()
    }

    /// Calls `ready` once, when every thread serves and callers can connect.
    pub fn on_ready(mut self, ready: impl FnOnce() + Send + 'static) -> Server<M> {
        self.ready = Box::new(ready);
        self
    }

    /// Serves until it is stopped, and ends every thread that it has begun. `handler` is called
    /// once for each thread that runs handlers, on that thread, with the thread's number.
    ///
    /// # Errors
    /// When the server cannot begin, or cannot go on: descriptors have run out, or the poller
    /// failed.
    ///
    /// # Panics
    /// When `handler` panics.
    pub fn run<H: Handler<M>>(self, handler: impl Fn(usize) -> H + Send + Sync) -> Result<()> {
        match self.plan {
            Plan::Single { kernel, setup, pin } => {
                let _pinned = Pinning::asked(pin)?.pin(0)?;
                let mut reactor = Reactor::new(kernel, setup.telling(), handler(0))?;
                (self.ready)();
                reactor.run()
            }
            Plan::Multi(multi) => {
                let handler = &handler;
                let hosts =
                    (0..multi.count()).map(|number| move || Inline::new(handler(number))).collect();
                multi.run(hosts, self.ready)
            }
            Plan::Workers(workers) => workers.run(&handler, self.ready),
        }
    }

    /// The reactor alone, for whoever turns it with a loop of their own.
    ///
    /// # Errors
    /// When the topology is not [`Topology::Single`], when threads were to be pinned, which are the
    /// caller's, or when the poller does not take the listeners.
    pub fn reactor<H: Handler<M>>(self, handler: H) -> Result<Reactor<Linux, Inline<H, M>>> {
        match self.plan {
            Plan::Single { pin: true, .. } => Err(Error::settings(
                "a reactor alone pins no thread; pin the one that turns it, and leave out pin",
            )),
            Plan::Single { kernel, setup, .. } => {
                let reactor = Reactor::new(kernel, setup.telling(), handler)?;
                (self.ready)();
                Ok(reactor)
            }
            _ => Err(Error::settings("only the topology single is one reactor alone")),
        }
    }
}

impl Builder {
    /// Listens on `address`: `127.0.0.1:7000`, `[::1]:7000`, `localhost:7000`, `unix:/path`. May be
    /// called many times.
    pub fn listen(mut self, address: impl Into<String>) -> Builder {
        self.listen.push(address.into());
        self
    }

    /// Callers that the kernel keeps waiting for accept(2), for each listener; the kernel caps it
    /// at `net.core.somaxconn`, which is also the default.
    pub fn backlog(mut self, callers_max: i32) -> Builder {
        self.settings.listen_options.backlog = callers_max;
        self
    }

    /// Lets other sockets listen on the same address and share its callers (`SO_REUSEPORT`); TCP
    /// only. Among the reactors of one server, [`Accepting::ReusePort`] does so by itself.
    pub fn reuse_port(mut self, reuse: bool) -> Builder {
        self.settings.listen_options.reuse_port = reuse;
        self
    }

    /// What the kernel is told about accepted and dialled sockets. On Unix sockets only the sizes of
    /// the buffers have a meaning.
    pub fn socket_options(mut self, options: SocketOptions) -> Builder {
        self.settings.listen_options.sockets = options;
        self
    }

    /// The bounds to live by.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// How the work is spread over threads.
    pub fn topology(mut self, topology: Topology) -> Builder {
        self.topology = topology;
        self
    }

    /// Whether every reactor and worker runs on one CPU of its own (sched_setaffinity(2)): the
    /// first on the first that the process may use, and so on, counted round.
    pub fn pin(mut self, pin: bool) -> Builder {
        self.settings.pin = pin;
        self
    }

    /// How readiness is learned: epoll(7), poll(2) or select(2).
    pub fn poller(mut self, poller: Poller) -> Builder {
        self.settings.poller = poller;
        self
    }

    /// When readiness is told: level or edge.
    pub fn trigger(mut self, trigger: Trigger) -> Builder {
        self.settings.trigger = trigger;
        self
    }

    /// Measures how long each wait call takes (`Stats::waits`): asleep, and looking for who is ready.
    /// It costs each turn two more looks at the clock.
    pub fn measure_waits(mut self, measure: bool) -> Builder {
        self.settings.measures_waits = measure;
        self
    }

    /// Drains on the [`stop_signals`](crate::stop_signals): SIGINT, SIGTERM, and SIGHUP unless it was
    /// ignored when the process began; the second one stops at once. Signals belong to the whole
    /// process, so this is asked for and never assumed. When the server has ended, they are ignored:
    /// what they did before is not restored.
    ///
    /// [`Server::run`] joins its threads, so it waits for a handler that does not return, however
    /// many signals come; where handlers run in place, nobody hears them meanwhile. A program that
    /// wants to end all the same counts the signals as well, and exits (`readyloop serve` does so a
    /// second after the second one).
    pub fn stop_on_signals(mut self) -> Builder {
        self.settings.signals = true;
        self
    }

    /// Tells `report` what an operator may want to log, on the thread on which it happens, which
    /// waits for it meanwhile: a hook hands over to whatever may block, and does not block. One that
    /// panics is counted (`Stats::report_panics`) and called again the next time. Incidents that can
    /// happen often are told at most once in ten seconds for each kind
    /// ([`Incident::Repeated`]).
    pub fn on_incident(mut self, report: impl Fn(Incident) + Send + Sync + 'static) -> Builder {
        self.settings.report = Report::new(report);
        self
    }

    /// Checks the settings and takes the addresses. `M` is what other threads tell the handlers, and follows
    /// from the handler with which the server is run.
    ///
    /// # Errors
    /// Settings that contradict each other, or an address that cannot be listened on; the error
    /// names it.
    pub fn bind<M: Send + 'static>(self) -> Result<Server<M>> {
        let Builder { listen, limits, topology, mut settings } = self;
        limits.check()?;
        topology.check()?;
        check_trigger(settings.poller, settings.trigger)?;
        settings.listen_options.sockets.check()?;
        settings.events_per_wait = limits.events_per_wait;
        settings.listen = listen.iter().map(|text| text.parse()).collect::<Result<_>>()?;
        let (plan, addresses) = match topology {
            Topology::Single => {
                let (kernel, setup, addresses) = one_reactor(&settings, limits)?;
                (Plan::Single { kernel, setup, pin: settings.pin }, addresses)
            }
            Topology::Workers { workers, reactors: 1, .. } => {
                let (kernel, setup, addresses) = one_reactor(&settings, limits)?;
                let (pin, reactors) = (settings.pin, Reactors::One(kernel, setup));
                (Plan::Workers(Workers { reactors, count: workers, pin }), addresses)
            }
            Topology::Workers { workers, reactors, accept } => {
                let pin = settings.pin;
                let (multi, addresses) = Multi::bind(settings, &limits, reactors, accept)?;
                let reactors = Reactors::Several(multi);
                (Plan::Workers(Workers { reactors, count: workers, pin }), addresses)
            }
            Topology::Multi { reactors, accept } => {
                let (multi, addresses) = Multi::bind(settings, &limits, reactors, accept)?;
                (Plan::Multi(multi), addresses)
            }
        };
        Ok(Server { plan, addresses, ready: Box::new(|| {}), told: PhantomData })
    }

    /// Binds and runs.
    ///
    /// # Errors
    /// As [`Builder::bind`] and [`Server::run`].
    pub fn run<H, M>(self, handler: impl Fn(usize) -> H + Send + Sync) -> Result<()>
    where
        H: Handler<M>,
        M: Send + 'static,
    {
        self.bind()?.run(handler)
    }
}

/// One reactor on the thread that runs the server, and where it listens.
fn one_reactor(settings: &Settings, limits: Limits) -> Result<(Linux, Setup<Linux>, Vec<Address>)> {
    let kernel = settings.kernel()?;
    let listeners = settings.listen(Listener::bind)?;
    let addresses = listeners.iter().map(Listener::local_address).collect();
    let mut setup = Setup::new(&kernel, listeners, limits);
    setup.report = settings.report.clone();
    setup.measures_waits = settings.measures_waits;
    Ok((kernel, setup, addresses))
}

/// Where a server's threads run: wherever the kernel likes, or each on one of these CPUs.
#[derive(Clone)]
struct Pinning(Option<Cpus>);

impl Pinning {
    /// To be asked before any thread is pinned.
    fn asked(pin: bool) -> Result<Pinning> {
        pin.then(Cpus::allowed).transpose().map(Pinning)
    }

    /// Pins this thread until what is returned is dropped.
    fn pin(&self, nth: usize) -> Result<Option<Pinned>> {
        self.0.as_ref().map(|cpus| cpus.pin(nth)).transpose()
    }
}

/// A thread with a name.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    run: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().name(name).spawn_scoped(scope, run).map_err(|error| {
        Error::system("starting a thread", Errno(error.raw_os_error().unwrap_or_default()))
    })
}

impl Settings {
    /// The kernel of the thread that runs the server.
    fn kernel(&self) -> Result<Linux> {
        let reserve = Arc::new(Reserve::new()?);
        let mut kernel = self.kernel_with(Arc::new(Waker::new()?), reserve)?;
        if self.signals {
            kernel.catch_signals()?;
        }
        Ok(kernel)
    }

    /// The kernel of a thread that is woken by `waker`, and in whose descriptor table `reserve` lies.
    fn kernel_with(&self, waker: Arc<Waker>, reserve: Arc<Reserve>) -> Result<Linux> {
        let options = self.listen_options.sockets.clone();
        Linux::new(self.poller, self.trigger, self.events_per_wait, waker, options, reserve)
    }

    /// Takes all addresses, in this way.
    fn listen(
        &self,
        bind: impl Fn(&Address, &ListenOptions) -> Result<Listener>,
    ) -> Result<Vec<Listener>> {
        self.listen.iter().map(|address| bind(address, &self.listen_options)).collect()
    }

    /// Listens on addresses that were taken before.
    fn listen_to(&self, addresses: &[Address]) -> Result<Vec<Listener>> {
        let bind = |address| Listener::bind(address, &self.listen_options);
        addresses.iter().map(bind).collect()
    }
}

/// What is bound in one thread may run in another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Builder>();
    is_send::<Server<*const ()>>();
    is_send::<Remote<*const ()>>();
};
