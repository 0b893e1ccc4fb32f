//! What a handler or a framer does wrong costs its own session and no other.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{End, Faults, Net};
use readyloop::{
    CloseReason, Context, Framer, Handler, Incident, Limits, Peer, Reactor, Report, Setup, Step,
    Trigger,
};

use super::world::{BOTH, Fact, World, echo_and, framed};

#[test]
fn a_panic_in_any_callback_ends_that_session_and_no_other() {
    type Picks = fn(&Fact) -> bool;
    let callbacks: [Picks; 5] = [
        |fact| matches!(fact, Fact::Open(_)),
        |fact| matches!(fact, Fact::Frame(..)),
        |fact| matches!(fact, Fact::Timer(..)),
        |fact| matches!(fact, Fact::PeerFinished(_)),
        |fact| matches!(fact, Fact::Close(..)),
    ];
    for trigger in BOTH {
        for (nth, picks) in callbacks.into_iter().enumerate() {
            let mut victim = None;
            let clumsy = echo_and(move |fact, context| {
                if let Fact::Open(id) = fact {
                    context.set_timer(Duration::from_millis(1));
                    // The second session is the clumsy one.
                    if *id != readyloop::SessionId::NONE && context.session_count() == 2 {
                        victim = Some(*id);
                    }
                }
                let id = match fact {
                    Fact::Open(id) | Fact::Frame(id, _) | Fact::Timer(id, _) => *id,
                    Fact::PeerFinished(id) | Fact::Close(id, _) => *id,
                    _ => return,
                };
                assert!(!(victim == Some(id) && picks(fact)), "clumsy");
            });
            let mut world = World::new(trigger, Limits::default(), clumsy);
            let (other, _) = world.caller();
            let client = world.net.connect(0);
            client.send(&framed(b"x"));
            other.send(&framed(b"y"));
            if nth > 2 {
                client.finish();
            }
            for _ in 0..10 {
                world.turn();
            }
            assert_eq!(world.reactor.stats().panics, 1, "{trigger:?}, callback {nth}");
            assert_eq!(world.net.open_sockets(), 1, "{trigger:?}, callback {nth}");
            assert_eq!(other.received(), framed(b"y"), "{trigger:?}, callback {nth}");
        }
    }
}

#[test]
fn frames_behind_a_panic_in_the_same_ready_list_are_served() {
    for trigger in BOTH {
        let clumsy = echo_and(|fact, _| {
            if let Fact::Frame(_, frame) = fact {
                assert_ne!(frame, b"bomb", "boom");
            }
        });
        let mut world = World::new(trigger, Limits::default(), clumsy);
        let clients: Vec<_> = (0..9).map(|_| world.caller().0).collect();
        for (nth, client) in clients.iter().enumerate() {
            client.send(&framed(if nth % 3 == 0 { b"bomb" } else { b"fine" }));
        }
        world.settle();
        for (nth, client) in clients.iter().enumerate() {
            let expected = if nth % 3 == 0 { vec![] } else { framed(b"fine") };
            assert_eq!(client.received(), expected, "{trigger:?}");
            assert_eq!(client.end() == Some(End::Reset), nth % 3 == 0);
        }
        assert_eq!(world.closed(), [CloseReason::HandlerPanicked; 3]);
    }
}

/// A framer that answers with what it was told to.
struct Broken(Step);

impl Framer for Broken {
    fn next(&mut self, _: &mut [u8]) -> Step {
        self.0.clone()
    }
}

struct Holder(Step, Rc<RefCell<Vec<CloseReason>>>);

impl Handler for Holder {
    type Framer = Broken;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Broken, ()) {
        (Broken(self.0.clone()), ())
    }

    fn on_frame(&mut self, _: &mut (), _: &[u8], _: &mut Context<'_>) {
        panic!("no frame of a broken framer is delivered");
    }

    fn on_close(&mut self, _: (), reason: CloseReason, _: &mut Context<'_>) {
        self.1.borrow_mut().push(reason);
    }
}

#[test]
fn a_framer_that_breaks_its_contract_is_found_out_and_spins_nothing() {
    let frame = |frame: Range<usize>, consumed| Step::Frame { frame, consumed };
    let backwards = Range { start: 2, end: 1 };
    for step in [frame(0..0, 0), frame(0..1, 99), frame(0..99, 1), frame(backwards, 2)] {
        let reasons = Rc::new(RefCell::new(Vec::new()));
        let net = Net::new(0, Trigger::Level, Faults::none());
        let kernel = net.kernel();
        let setup = Setup::new(&kernel, vec![net.listener()], Limits::default());
        let handler = Holder(step.clone(), reasons.clone());
        let mut reactor = Reactor::new(kernel, setup, handler).unwrap();
        let client = net.connect(0);
        client.send(b"abc");
        client.finish();
        net.settle(1000, || assert!(reactor.turn().unwrap()));
        assert_eq!(*reasons.borrow(), [CloseReason::FramerBroke], "{step:?}");
    }
}

#[test]
fn a_panic_is_reported_with_its_session_and_its_message() {
    let net = Net::new(0, Trigger::Level, Faults::none());
    let kernel = net.kernel();
    let mut setup = Setup::new(&kernel, vec![net.listener()], Limits::default());
    let (sender, incidents) = std::sync::mpsc::channel();
    setup.report = Report::new(move |incident| sender.send(incident).unwrap());
    let step = Step::Frame { frame: 0..1, consumed: 1 };
    let handler = Holder(step, Rc::default());
    let mut reactor = Reactor::new(kernel, setup, handler).unwrap();
    net.connect(0).send(b"abc");
    net.settle(1000, || assert!(reactor.turn().unwrap()));
    let incident = incidents.try_recv().unwrap();
    let Incident::Panicked { id, message } = incident else { panic!("{incident:?}") };
    assert_eq!((id.index(), id.generation()), (0, 1));
    assert!(message.contains("no frame of a broken framer"), "{message}");
}
