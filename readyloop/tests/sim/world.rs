//! A reactor on the simulated kernel, with a handler that writes down what it was told.

use std::cell::RefCell;
use std::rc::Rc;

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::sim::{Client, Faults, Net, Sim};
use readyloop::{
    CloseReason, Context, Handler, Inline, Limits, Peer, Reactor, SessionId, Setup, TimerId,
    Trigger,
};

pub const BOTH: [Trigger; 2] = [Trigger::Level, Trigger::Edge];

/// One thing that the handler was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    Open(SessionId),
    Frame(SessionId, Vec<u8>),
    Timer(SessionId, TimerId),
    Message(SessionId, Vec<u8>),
    Drained(SessionId),
    PeerFinished(SessionId),
    Closing(SessionId, CloseReason),
    Close(SessionId, CloseReason),
    ConnectFailed(SessionId, CloseReason),
}

impl Fact {
    /// Whom it is about.
    pub fn id(&self) -> SessionId {
        match self {
            Fact::Open(id)
            | Fact::Frame(id, _)
            | Fact::Timer(id, _)
            | Fact::Message(id, _)
            | Fact::Drained(id)
            | Fact::PeerFinished(id)
            | Fact::Closing(id, _)
            | Fact::Close(id, _)
            | Fact::ConnectFailed(id, _) => *id,
        }
    }
}

/// What a test wants to be done at a fact, with the context of that moment.
pub type React = Box<dyn FnMut(&Fact, &mut Context<'_>)>;

/// What another thread tells a session, with something to do when it is dropped, told or not.
#[derive(Default)]
pub struct Told {
    text: Vec<u8>,
    at_drop: Option<Box<dyn FnOnce() + Send>>,
}

/// A reactor that runs a probe in place.
pub type ProbeReactor = Reactor<Sim, Inline<Probe, Told>>;

/// Reaches a server of probes.
pub type Remote = readyloop::Remote<Told>;

impl Told {
    pub fn new(text: impl Into<Vec<u8>>) -> Told {
        Told { text: text.into(), at_drop: None }
    }

    /// The same, which does this when it is dropped.
    pub fn dropping(text: impl Into<Vec<u8>>, act: impl FnOnce() + Send + 'static) -> Told {
        Told { text: text.into(), at_drop: Some(Box::new(act)) }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(act) = self.at_drop.take() {
            act();
        }
    }
}

/// Writes each fact down, then reacts to it. Frames have a big-endian length of four bytes.
pub struct Probe {
    facts: Rc<RefCell<Vec<Fact>>>,
    react: React,
    frame_bytes_max: usize,
}

impl Probe {
    /// Writes its facts into a log that others may share.
    pub fn new(facts: Rc<RefCell<Vec<Fact>>>, react: React, frame_bytes_max: usize) -> Probe {
        Probe { facts, react, frame_bytes_max }
    }

    fn tell(&mut self, fact: Fact, context: &mut Context<'_>) {
        self.facts.borrow_mut().push(fact.clone());
        (self.react)(&fact, context);
    }
}

impl Handler<Told> for Probe {
    type Framer = LengthPrefixed;
    type Session = SessionId;

    fn on_start(&mut self, context: &mut Context<'_>) {
        (self.react)(&Fact::Open(SessionId::NONE), context);
    }

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (LengthPrefixed, SessionId) {
        self.tell(Fact::Open(context.id()), context);
        (framing(self.frame_bytes_max), context.id())
    }

    fn on_frame(&mut self, session: &mut SessionId, frame: &[u8], context: &mut Context<'_>) {
        assert_eq!(*session, context.id());
        self.tell(Fact::Frame(*session, frame.to_vec()), context);
    }

    fn on_timer(&mut self, session: &mut SessionId, timer: TimerId, context: &mut Context<'_>) {
        self.tell(Fact::Timer(*session, timer), context);
    }

    fn on_message(&mut self, session: &mut SessionId, message: Told, context: &mut Context<'_>) {
        assert_eq!(*session, context.id());
        self.tell(Fact::Message(*session, message.text.clone()), context);
    }

    fn on_drained(&mut self, session: &mut SessionId, context: &mut Context<'_>) {
        self.tell(Fact::Drained(*session), context);
    }

    fn on_peer_finished(&mut self, session: &mut SessionId, context: &mut Context<'_>) {
        self.tell(Fact::PeerFinished(*session), context);
    }

    fn on_closing(
        &mut self,
        session: &mut SessionId,
        reason: CloseReason,
        context: &mut Context<'_>,
    ) {
        self.tell(Fact::Closing(*session, reason), context);
    }

    fn on_close(&mut self, session: SessionId, reason: CloseReason, context: &mut Context<'_>) {
        self.tell(Fact::Close(session, reason), context);
    }

    fn on_connect_failed(&mut self, id: SessionId, reason: CloseReason, context: &mut Context<'_>) {
        self.tell(Fact::ConnectFailed(id, reason), context);
    }
}

/// Answers each frame with itself, and closes when the peer has finished.
pub fn echo() -> React {
    Box::new(|fact, context| match fact {
        Fact::Frame(_, frame) => {
            context.send(&framed(frame));
        }
        Fact::PeerFinished(_) => context.close(),
        _ => {}
    })
}

/// Like [`echo`], but does `more` first.
pub fn echo_and(mut more: impl FnMut(&Fact, &mut Context<'_>) + 'static) -> React {
    let mut echo = echo();
    Box::new(move |fact, context| {
        more(fact, context);
        echo(fact, context);
    })
}

fn framing(bytes_max: usize) -> LengthPrefixed {
    LengthPrefixed::new(Prefix::Four, Order::Big, bytes_max)
}

pub fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = framing(usize::MAX).encode(frame.len()).unwrap().as_slice().to_vec();
    bytes.extend_from_slice(frame);
    bytes
}

/// A net and the reactor that lives on it.
pub struct World {
    pub net: Net,
    pub reactor: ProbeReactor,
    pub remote: Remote,
    facts: Rc<RefCell<Vec<Fact>>>,
}

impl World {
    pub fn new(trigger: Trigger, limits: Limits, react: React) -> World {
        World::with_faults(0, trigger, Faults::none(), limits, react)
    }

    pub fn with_faults(
        seed: u64,
        trigger: Trigger,
        faults: Faults,
        limits: Limits,
        react: React,
    ) -> World {
        let net = Net::new(seed, trigger, faults);
        let facts = Rc::new(RefCell::new(Vec::new()));
        let frame_bytes_max = limits.frame_bytes_max;
        let probe = Probe::new(facts.clone(), react, frame_bytes_max);
        let kernel = net.kernel();
        let setup = Setup::new(&kernel, vec![net.listener()], limits);
        let remote = setup.remote();
        let reactor = Reactor::new(kernel, setup, probe).unwrap();
        World { net, reactor, remote, facts }
    }

    /// A caller, accepted and open.
    pub fn caller(&mut self) -> (Client, SessionId) {
        let before = self.facts.borrow().len();
        let client = self.net.connect(0);
        self.settle();
        let facts = self.facts.borrow();
        let opened = facts[before..].iter().find_map(|fact| match fact {
            Fact::Open(id) => Some(*id),
            _ => None,
        });
        (client, opened.expect("a caller was accepted"))
    }

    pub fn turn(&mut self) -> bool {
        self.reactor.turn().unwrap()
    }

    /// Turns while this holds. Time passes: a wait with nothing to do jumps to its timeout.
    pub fn turn_while(&mut self, holds: impl Fn(&World) -> bool) {
        for _ in 0..100_000 {
            if !holds(self) {
                return;
            }
            self.turn();
        }
        panic!("nothing comes of turning: {:?}", self.net);
    }

    /// Turns until nothing is left to do before the clock moves.
    pub fn settle(&mut self) {
        let World { net, reactor, .. } = self;
        net.settle(100_000, || {
            reactor.turn().unwrap();
        });
    }

    /// Turns until the server has ended.
    pub fn run_out(&mut self) {
        for _ in 0..100_000 {
            if !self.turn() {
                assert_eq!(self.net.open_sockets(), 0, "a socket was leaked");
                return;
            }
        }
        panic!("the server does not end: {:?}", self.net);
    }

    /// Everything that the handler was told since the last call.
    pub fn facts(&self) -> Vec<Fact> {
        std::mem::take(&mut self.facts.borrow_mut())
    }

    /// How the sessions ended that ended since the last call.
    pub fn closed(&self) -> Vec<CloseReason> {
        let close = |fact| match fact {
            Fact::Close(_, reason) => Some(reason),
            _ => None,
        };
        self.facts().into_iter().filter_map(close).collect()
    }
}
