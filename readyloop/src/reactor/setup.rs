//! What the threads of one server are given before they begin, so that each knows the others.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::census::Census;
use crate::handler::Handler;
use crate::kernel::{Kernel, Wake};
use crate::lanes::Lanes;
use crate::letter::Letter;
use crate::limits::Limits;
use crate::listeners::Caller;
use crate::load::Load;
use crate::mailbox::{Bell, Mailbox, inbox_bounds};
use crate::report::Report;

use super::acceptor::{Balance, Notice};
use super::remote::{Head, Remote};

/// What a reactor is given besides its kernel and its handler, which is told messages of the type `M`.
pub struct Setup<K: Kernel, M = ()> {
    /// Where it takes callers from.
    pub listeners: Vec<K::Listener>,
    /// The bounds that it keeps.
    pub limits: Limits,
    /// Told of incidents, on the reactor's thread.
    pub report: Report,
    /// Whether the time inside each wait call is measured, at the cost of one more look at the clock.
    pub measures_waits: bool,
    pub(super) number: usize,
    pub(super) remote: Remote,
    pub(super) callers: Arc<Mailbox<Caller<K::Socket>>>,
    pub(super) census: Arc<Census>,
    told: PhantomData<fn(M)>,
}

/// What the acceptor of several reactors is given besides its kernel.
pub struct AcceptorSetup<K: Kernel> {
    /// Where it takes callers from: nowhere, if every reactor listens for itself.
    pub listeners: Vec<K::Listener>,
    /// The bounds that it keeps.
    pub limits: Limits,
    /// Which reactor gets a caller.
    pub balance: Balance,
    /// Told of incidents, on the acceptor's thread.
    pub report: Report,
    pub(super) notices: Arc<Mailbox<Notice>>,
    pub(super) letters: Vec<Arc<Mailbox<Letter>>>,
    pub(super) callers: Vec<Arc<Mailbox<Caller<K::Socket>>>>,
    pub(super) census: Arc<Census>,
}

impl<K: Kernel, M> Setup<K, M> {
    /// For the one reactor of `kernel`; nobody is told of incidents.
    pub fn new(kernel: &K, listeners: Vec<K::Listener>, limits: Limits) -> Setup<K, M> {
        let letters = letters(kernel.waker(), &limits);
        let census = Arc::new(Census::new(1, &limits));
        let remote = Remote::new(vec![letters], Head::Reactor);
        Setup { listeners, ..Setup::numbered(0, remote, census, limits) }
    }

    /// For several reactors and their acceptor: each is woken by its kernel's waker. Nobody listens
    /// yet, and nobody is told of incidents.
    ///
    /// # Panics
    /// When there is no reactor, or more than 255 of them.
    pub fn several(
        reactors: &[Arc<dyn Wake>],
        acceptor: Arc<dyn Wake>,
        limits: &Limits,
    ) -> (Vec<Setup<K, M>>, AcceptorSetup<K>) {
        assert!((1..256).contains(&reactors.len()), "{} reactors", reactors.len());
        let all: Vec<_> = reactors.iter().map(|waker| letters(waker.clone(), limits)).collect();
        let notices = Arc::new(Mailbox::new(Load::MAX, Arc::new(Bell::new(acceptor))));
        let census = Arc::new(Census::new(reactors.len(), limits));
        let remote = Remote::new(all.clone(), Head::Acceptor(notices.clone()));
        let setup =
            |number| Setup::numbered(number, remote.clone(), census.clone(), limits.clone());
        let setups: Vec<Setup<K, M>> = (0..reactors.len()).map(setup).collect();
        let acceptor = AcceptorSetup {
            listeners: Vec::new(),
            limits: limits.clone(),
            balance: Balance::default(),
            report: Report::default(),
            notices,
            letters: all,
            callers: setups.iter().map(|setup| setup.callers.clone()).collect(),
            census: census.clone(),
        };
        (setups, acceptor)
    }

    fn numbered(number: usize, remote: Remote, census: Arc<Census>, limits: Limits) -> Setup<K, M> {
        // Callers are bounded by the census, which they have passed.
        let callers = Mailbox::new(Load::MAX, remote.letters(number).bell().clone());
        let listeners = Vec::new();
        let callers = Arc::new(callers);
        Setup {
            listeners,
            limits,
            report: Report::default(),
            measures_waits: false,
            number,
            remote,
            callers,
            census,
            told: PhantomData,
        }
    }

    /// Lanes on which the sessions of this server's reactors come to this many workers: for each reactor
    /// its host, instead of a handler.
    pub fn lanes<H>(&self, workers: usize) -> Vec<Lanes<H, M>>
    where
        H: Handler<M>,
        M: Send + 'static,
    {
        self.lanes_telling(workers)
    }

    /// The same for handlers that are told messages of another type.
    pub(crate) fn lanes_telling<H, T>(&self, workers: usize) -> Vec<Lanes<H, T>>
    where
        H: Handler<T>,
        T: Send + 'static,
    {
        let inboxes = self.remote.inboxes().clone();
        Lanes::several(workers, inboxes, self.census.clone(), &self.limits, self.report.clone())
    }

    /// The handle by which other threads reach the server.
    pub fn remote(&self) -> Remote<M> {
        self.remote.telling()
    }

    /// The same for a handler that is told messages of another type. Only before anybody has its
    /// `Remote`.
    pub(crate) fn telling<T>(self) -> Setup<K, T> {
        let Setup { listeners, limits, report, measures_waits, .. } = self;
        let Setup { number, remote, callers, census, .. } = self;
        let told = PhantomData;
        Setup { listeners, limits, report, measures_waits, number, remote, callers, census, told }
    }
}

/// A reactor's mailbox.
fn letters(waker: Arc<dyn Wake>, limits: &Limits) -> Arc<Mailbox<Letter>> {
    Arc::new(Mailbox::new(inbox_bounds(limits), Arc::new(Bell::new(waker))))
}
