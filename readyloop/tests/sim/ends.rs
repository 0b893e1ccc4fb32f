//! Every session ends once, with the right reason, and with nothing after it.

use std::time::Duration;

use readyloop::sim::End;
use readyloop::{CloseReason, Limits, Trigger};

use super::world::{BOTH, Fact, World, echo, echo_and, framed};

#[test]
fn bytes_before_the_peers_end_are_handled_before_it() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, id) = world.caller();
        world.facts();
        client.send(&framed(b"last words"));
        client.finish();
        world.settle();
        let expected = [
            Fact::Frame(id, b"last words".to_vec()),
            Fact::PeerFinished(id),
            Fact::Close(id, CloseReason::PeerFinished),
        ];
        assert_eq!(world.facts(), expected, "{trigger:?}");
        assert_eq!((client.received(), client.end()), (framed(b"last words"), Some(End::Finished)));
        assert_eq!(world.net.open_sockets(), 0);
    }
}

#[test]
fn all_replies_reach_a_peer_that_finished_while_they_were_queued() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, _) = world.caller();
        client.set_window(10);
        client.stop_reading();
        let stream = framed(&[4; 1000]).repeat(5);
        client.send(&stream);
        client.finish();
        world.settle();
        client.resume_reading();
        world.settle();
        assert_eq!((client.received(), client.end()), (stream, Some(End::Finished)), "{trigger:?}");
        assert_eq!(world.closed(), [CloseReason::PeerFinished]);
    }
}

#[test]
fn a_handler_may_go_on_sending_after_the_peers_end() {
    for trigger in BOTH {
        let patient: super::world::React = Box::new(|fact, context| match fact {
            Fact::PeerFinished(_) => {
                context.send(b"more");
                context.set_timer(Duration::from_millis(5));
            }
            Fact::Timer(..) => {
                context.send(b" and more");
                context.close();
            }
            _ => {}
        });
        let mut world = World::new(trigger, Limits::default(), patient);
        let (client, _) = world.caller();
        client.finish();
        world.settle();
        assert_eq!((client.received(), client.end()), (b"more".to_vec(), None), "{trigger:?}");
        world.turn();
        world.settle();
        let expected = (b"more and more".to_vec(), Some(End::Finished));
        assert_eq!((client.received(), client.end()), expected, "{trigger:?}");
    }
}

#[test]
fn after_our_close_the_peer_reads_all_and_may_still_be_sending() {
    for trigger in BOTH {
        let closer = echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                context.send(b"goodbye: ");
                context.close();
            }
        });
        let mut world = World::new(trigger, Limits::default(), closer);
        let (client, id) = world.caller();
        world.facts();
        client.send(&framed(b"first").repeat(3));
        world.settle();
        // The handler's own send after its close was refused; so were the frames behind it.
        assert_eq!((client.received(), client.end()), (b"goodbye: ".to_vec(), Some(End::Finished)));
        client.send(&[1; 10_000]);
        world.settle();
        assert_eq!(world.net.open_sockets(), 1, "it lingers for the peer's end");
        client.finish();
        world.settle();
        let expected = [Fact::Frame(id, b"first".to_vec()), Fact::Close(id, CloseReason::Closed)];
        assert_eq!(world.facts(), expected, "{trigger:?}");
    }
}

#[test]
fn a_peer_that_does_not_end_is_not_waited_for_longer_than_the_linger() {
    for trigger in BOTH {
        let closer = echo_and(|fact, context| {
            if let Fact::Open(_) = fact {
                context.close();
            }
        });
        let limits = Limits { linger_timeout: Duration::from_millis(300), ..Limits::default() };
        let mut world = World::new(trigger, limits, closer);
        let (_client, _) = world.caller();
        let began = world.net.now();
        world.turn_while(|world| world.net.open_sockets() > 0);
        assert!(world.net.now().since(began) >= Duration::from_millis(299));
        assert!(world.net.now().since(began) <= Duration::from_millis(302));
        assert_eq!(world.closed(), [CloseReason::Closed]);
    }
}

#[test]
fn a_peer_that_does_not_read_what_is_queued_is_cut_off_after_the_drain() {
    for trigger in BOTH {
        let closer = echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                context.send(&[1; 1000]);
                context.close();
            }
        });
        let limits = Limits { drain_timeout: Duration::from_millis(300), ..Limits::default() };
        let mut world = World::new(trigger, limits, closer);
        let (client, _) = world.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(b"go"));
        world.turn_while(|world| world.net.open_sockets() > 0);
        assert_eq!(world.closed(), [CloseReason::DrainTimeout]);
        world.settle();
        assert_eq!(client.end(), Some(End::Reset), "a cut stream must not look whole");
    }
}

#[test]
fn a_reset_is_a_reason_and_frees_the_slot() {
    for trigger in BOTH {
        for partial in [false, true] {
            let mut world = World::new(trigger, Limits::default(), echo());
            let (client, _) = world.caller();
            if partial {
                client.set_window(10);
                client.stop_reading();
                client.send(&framed(&[1; 100]));
                world.settle();
            }
            client.reset();
            world.settle();
            assert_eq!(world.closed(), [CloseReason::PeerReset], "{trigger:?}, {partial}");
            assert_eq!((world.net.open_sockets(), world.reactor.session_count()), (0, 0));
        }
    }
}

#[test]
fn an_abort_drops_what_is_queued_and_says_so() {
    for trigger in BOTH {
        let brusque = echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                context.send(b"never seen");
                context.abort();
                context.close();
                assert!(!context.send(b"after the end"));
            }
        });
        let mut world = World::new(trigger, Limits::default(), brusque);
        let (client, _) = world.caller();
        client.send(&framed(b"x"));
        world.settle();
        assert_eq!((client.received(), client.end()), (vec![], Some(End::Reset)));
        assert_eq!(world.closed(), [CloseReason::Aborted], "{trigger:?}");
    }
}

#[test]
fn a_close_from_any_callback_is_one_close() {
    type Picks = fn(&Fact) -> bool;
    let callbacks: [Picks; 4] = [
        |fact| matches!(fact, Fact::Open(_)),
        |fact| matches!(fact, Fact::Frame(..)),
        |fact| matches!(fact, Fact::Timer(..)),
        |fact| matches!(fact, Fact::PeerFinished(_)),
    ];
    for trigger in BOTH {
        for (nth, picks) in callbacks.into_iter().enumerate() {
            for abort in [false, true] {
                let closer = echo_and(move |fact, context| {
                    if let Fact::Open(_) = fact {
                        context.set_timer(Duration::from_millis(1));
                    }
                    if picks(fact) {
                        context.close();
                        if abort {
                            context.abort();
                        }
                        context.close();
                    }
                });
                let mut world = World::new(trigger, Limits::default(), closer);
                let client = world.net.connect(0);
                client.send(&framed(b"x"));
                client.finish();
                for _ in 0..20 {
                    world.turn();
                }
                assert_eq!(world.closed().len(), 1, "{trigger:?}, callback {nth}, {abort}");
                assert_eq!(world.net.open_sockets(), 0);
            }
        }
    }
}

#[test]
fn a_session_closed_by_another_one_in_the_same_turn_is_told_nothing_more() {
    for trigger in BOTH {
        let mut all = Vec::new();
        let jealous = echo_and(move |fact, context| match fact {
            Fact::Open(id) => all.push(*id),
            Fact::Frame(id, _) => {
                for other in all.iter().filter(|other| *other != id) {
                    context.abort_session(*other);
                    context.send_to(*other, b"to the dead");
                }
            }
            _ => {}
        });
        let mut world = World::new(trigger, Limits::default(), jealous);
        let clients = [0, 1, 2].map(|_| world.caller().0);
        world.facts();
        clients.iter().for_each(|client| client.send(&framed(b"mine")));
        world.settle();
        let facts = world.facts();
        let frames = facts.iter().filter(|fact| matches!(fact, Fact::Frame(..))).count();
        assert_eq!((frames, world.net.open_sockets()), (1, 1), "{trigger:?}: {facts:?}");
    }
}

#[test]
fn a_session_in_a_reused_slot_is_not_touched_by_its_predecessors_events() {
    let stale = readyloop::sim::Faults { stale: 900, ..readyloop::sim::Faults::none() };
    for trigger in BOTH {
        for seed in 0..50 {
            let mut world =
                World::with_faults(seed, trigger, stale.clone(), Limits::default(), echo());
            for _ in 0..10 {
                let (client, _) = world.caller();
                client.send(&framed(b"hello"));
                world.settle();
                assert_eq!(client.received(), framed(b"hello"), "seed {seed}");
                client.reset();
                world.settle();
            }
            assert!(world.reactor.stats().events_stale > 0, "seed {seed}: nothing was tried");
            assert_eq!(world.closed(), [CloseReason::PeerReset; 10], "seed {seed}");
        }
    }
}

#[test]
fn what_is_sent_to_others_from_on_close_arrives() {
    let mut survivors = Vec::new();
    let obituary = echo_and(move |fact, context| match fact {
        Fact::Open(id) => survivors.push(*id),
        Fact::Close(id, _) => {
            assert!(!context.send(b"to itself"), "its id is stale");
            survivors.retain(|other| other != id);
            for other in &survivors {
                context.send_to(*other, b"somebody died");
            }
        }
        _ => {}
    });
    let mut world = World::new(Trigger::Level, Limits::default(), obituary);
    let ((one, _), (two, _)) = (world.caller(), world.caller());
    one.reset();
    world.settle();
    assert_eq!(two.received(), b"somebody died");
}
