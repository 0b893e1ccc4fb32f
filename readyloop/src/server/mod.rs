//! From settings to a running server: the only layer that names Linux.

use crate::address::Address;
use crate::error::Result;
use crate::handler::Handler;
use crate::incident::Incident;
use crate::limits::Limits;
use crate::reactor::{Reactor, Remote, Setup};
use crate::readiness::Trigger;
use crate::sys::{Linux, ListenOptions, Listener, Poller};

/// A server's settings, on their way to a [`Server`].
pub struct Builder {
    listen: Vec<String>,
    listen_options: ListenOptions,
    limits: Limits,
    poller: Poller,
    trigger: Trigger,
    signals: bool,
    report: Box<dyn FnMut(Incident) + Send>,
}

/// A server that listens already, and serves when it is [`run`](Server::run): so its addresses are
/// known, and callers wait in the backlog.
pub struct Server {
    kernel: Linux,
    setup: Setup<Listener>,
    addresses: Vec<Address>,
}

impl Server {
    /// Settings to begin with: no listener, the default [`Limits`], epoll, level.
    pub fn builder() -> Builder {
        Builder {
            listen: Vec::new(),
            listen_options: ListenOptions::default(),
            limits: Limits::default(),
            poller: Poller::default(),
            trigger: Trigger::default(),
            signals: false,
            report: Box::new(|_| {}),
        }
    }

    /// Where it listens, in the order of [`Builder::listen`]; a port 0 has become the real one.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The handle for other threads.
    pub fn remote(&self) -> Remote {
        self.setup.remote.clone()
    }

    /// Serves until it is stopped. `handler` is called once for each thread that runs handlers,
    /// with the thread's number.
    ///
    /// # Errors
    /// When the server cannot go on: the poller failed.
    pub fn run<H: Handler>(self, handler: impl Fn(usize) -> H + Send + Sync) -> Result<()> {
        self.reactor(handler(0))?.run()
    }

    /// The reactor alone, for whoever turns it with a loop of their own.
    ///
    /// # Errors
    /// When the poller does not take the listeners.
    pub fn reactor<H: Handler>(self, handler: H) -> Result<Reactor<Linux, H>> {
        Reactor::new(self.kernel, self.setup, handler)
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
        self.listen_options.backlog = callers_max;
        self
    }

    /// Lets other sockets listen on the same address and share its callers (`SO_REUSEPORT`).
    pub fn reuse_port(mut self, reuse: bool) -> Builder {
        self.listen_options.reuse_port = reuse;
        self
    }

    /// The bounds to live by.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.limits = limits;
        self
    }

    /// How readiness is learned: epoll(7), poll(2) or select(2).
    pub fn poller(mut self, poller: Poller) -> Builder {
        self.poller = poller;
        self
    }

    /// When readiness is told: level or edge.
    pub fn trigger(mut self, trigger: Trigger) -> Builder {
        self.trigger = trigger;
        self
    }

    /// Drains on SIGINT and SIGTERM; the second one stops at once. Signals belong to the whole
    /// process, so this is asked for and never assumed.
    pub fn stop_on_signals(mut self) -> Builder {
        self.signals = true;
        self
    }

    /// Tells `report` what an operator may want to log, on the reactor's thread.
    pub fn on_incident(mut self, report: impl FnMut(Incident) + Send + 'static) -> Builder {
        self.report = Box::new(report);
        self
    }

    /// Checks the settings and begins to listen.
    ///
    /// # Errors
    /// Settings that contradict each other, or an address that cannot be listened on; the error
    /// names it.
    pub fn bind(self) -> Result<Server> {
        self.limits.check()?;
        let listen =
            self.listen.iter().map(|text| text.parse()).collect::<Result<Vec<Address>>>()?;
        let mut kernel = Linux::new(self.poller, self.trigger, self.limits.events_per_wait)?;
        let bind = |address| Listener::bind(address, &self.listen_options);
        let listeners = listen.iter().map(bind).collect::<Result<Vec<_>>>()?;
        if self.signals {
            kernel.catch_signals()?;
        }
        let addresses = listeners.iter().map(Listener::local_address).collect();
        let mut setup = Setup::new(&kernel, listeners, self.limits);
        setup.report = self.report;
        Ok(Server { kernel, setup, addresses })
    }

    /// Binds and runs.
    ///
    /// # Errors
    /// As [`Builder::bind`] and [`Server::run`].
    pub fn run<H: Handler>(self, handler: impl Fn(usize) -> H + Send + Sync) -> Result<()> {
        self.bind()?.run(handler)
    }
}

/// What is bound in one thread may run in another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Builder>();
    is_send::<Server>();
    is_send::<Remote>();
};
