//! Outbound sessions: the same handler, a deadline, and no half-open thing left behind.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use readyloop::sim::{End, Faults};
use readyloop::{Address, CloseReason, Context, Errno, Limits, SessionId};

use super::order::{town, ways};
use super::town::Plan;
use super::world::{BOTH, Fact, Remote, World, echo_and, framed};

/// A world whose handler dials once, at its start, and greets at once.
fn dialling(trigger: readyloop::Trigger, faults: Faults) -> (World, Rc<Cell<SessionId>>) {
    let dialled = Rc::new(Cell::new(SessionId::NONE));
    let id = dialled.clone();
    let dial = echo_and(move |fact, context: &mut Context<'_>| {
        if *fact == Fact::Open(SessionId::NONE) {
            let to: Address = "10.9.9.9:99".parse().unwrap();
            id.set(context.connect(&to, Duration::from_millis(200)).unwrap());
            context.send_to(id.get(), b"hello from afar");
        }
    });
    (World::with_faults(1, trigger, faults, Limits::default(), dial), dialled)
}

#[test]
fn a_dialled_peer_that_answers_is_a_session_like_any_other() {
    for trigger in BOTH {
        let (mut world, id) = dialling(trigger, Faults::none());
        world.settle();
        assert_eq!(world.facts(), [], "{trigger:?}: nothing is told before the answer");
        let peer = world.net.dialled().unwrap();
        peer.accept();
        peer.send(&framed(b"welcome"));
        world.settle();
        let expected = [Fact::Open(id.get()), Fact::Frame(id.get(), b"welcome".to_vec())];
        assert_eq!(world.facts(), expected, "{trigger:?}");
        let received = [b"hello from afar".to_vec(), framed(b"welcome")].concat();
        assert_eq!(peer.received(), received, "what was sent before the answer goes first");
        // The connect deadline is not an open session's.
        world.net.advance(Duration::from_secs(1));
        world.settle();
        assert_eq!((peer.end(), world.facts()), (None, vec![]));
        peer.finish();
        world.settle();
        assert_eq!(world.closed(), [CloseReason::PeerFinished], "{trigger:?}");
    }
}

#[test]
fn a_dialled_peer_that_says_no_is_a_failed_connect_with_its_reason() {
    for trigger in BOTH {
        let (mut world, id) = dialling(trigger, Faults::none());
        world.settle();
        world.net.dialled().unwrap().refuse(Errno::CONNREFUSED);
        world.settle();
        let reason = CloseReason::ConnectFailed(Errno::CONNREFUSED);
        assert_eq!(world.facts(), [Fact::ConnectFailed(id.get(), reason)], "{trigger:?}");
        assert_eq!((world.net.open_sockets(), world.reactor.session_count()), (0, 0));
    }
}

#[test]
fn a_connect_that_fails_at_once_is_told_in_the_same_way() {
    for trigger in BOTH {
        let faults = Faults { connect_refused: 1000, ..Faults::none() };
        let (mut world, id) = dialling(trigger, faults);
        world.settle();
        let facts = world.facts();
        let told = matches!(facts[..], [Fact::ConnectFailed(told, CloseReason::ConnectFailed(_))]
            if told == id.get());
        assert!(told, "{trigger:?}: {facts:?}");
        assert_eq!(world.reactor.session_count(), 0);
    }
}

#[test]
fn a_dialled_peer_that_does_not_answer_is_given_up_at_its_deadline() {
    for trigger in BOTH {
        let (mut world, id) = dialling(trigger, Faults::none());
        world.settle();
        let late = world.net.dialled().unwrap();
        world.turn_while(|world| world.net.open_sockets() > 0);
        let expected = [Fact::ConnectFailed(id.get(), CloseReason::ConnectTimeout)];
        assert_eq!(world.facts(), expected, "{trigger:?}");
        assert!(world.net.now().as_nanos() < 210_000_000);
        late.accept();
        world.settle();
        assert_eq!(world.facts(), []);
    }
}

#[test]
fn a_spurious_answer_opens_nothing() {
    let faults = Faults { spurious: 900, ..Faults::none() };
    for trigger in BOTH {
        let (mut world, _) = dialling(trigger, faults.clone());
        world.turn();
        world.turn_while(|world| world.net.open_sockets() > 0 || world.net.dialled().is_some());
        let opened = world.facts().iter().any(|fact| matches!(fact, Fact::Open(_)));
        assert!(!opened, "{trigger:?}");
    }
}

#[test]
fn a_dialled_peer_that_resets_is_a_session_that_was_reset() {
    for trigger in BOTH {
        let (mut world, _) = dialling(trigger, Faults::none());
        world.settle();
        let peer = world.net.dialled().unwrap();
        peer.accept();
        world.settle();
        peer.reset();
        world.settle();
        assert_eq!(world.closed(), [CloseReason::PeerReset], "{trigger:?}");
        assert_ne!(peer.end(), Some(End::Finished));
    }
}

#[test]
fn a_server_that_stops_gives_up_what_it_was_dialling() {
    for trigger in BOTH {
        let (mut world, id) = dialling(trigger, Faults::none());
        world.settle();
        world.remote.stop();
        world.run_out();
        let expected = [Fact::ConnectFailed(id.get(), CloseReason::Stopped)];
        assert_eq!(world.facts(), expected, "{trigger:?}");
    }
}

#[test]
fn a_dial_that_is_given_up_before_it_was_begun_is_told_and_leaves_nothing() {
    for trigger in BOTH {
        let dialled = Rc::new(Cell::new(SessionId::NONE));
        let id = dialled.clone();
        // Queues are written after the turn's dials were begun: so this one must wait for the next
        // turn, and is over before.
        let fickle = echo_and(move |fact, context: &mut Context<'_>| {
            if let Fact::Drained(_) = fact {
                let to: Address = "10.9.9.9:99".parse().unwrap();
                id.set(context.connect(&to, Duration::from_millis(200)).unwrap());
                context.close_session(id.get());
            }
        });
        let limits = Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() };
        let mut world = World::new(trigger, limits, fickle);
        let (client, _) = world.caller();
        client.set_window(50);
        client.send(&framed(&[1; 200]));
        world.settle();
        let failed = Fact::ConnectFailed(dialled.get(), CloseReason::Closed);
        assert!(world.facts().contains(&failed), "{trigger:?}");
        assert_eq!((world.net.open_sockets(), world.net.calls().connects), (1, 0), "{trigger:?}");
    }
}

#[test]
fn another_thread_reaches_who_was_just_dialled_as_soon_as_it_knows_the_name() {
    for way in ways() {
        let react = |fact: &Fact, context: &mut Context<'_>, remote: &Remote| {
            if let Fact::Frame(..) = fact {
                let to: Address = "10.9.9.9:9".parse().unwrap();
                let id = context.connect(&to, Duration::from_secs(1)).unwrap();
                let remote = remote.clone();
                // The callback is not over yet, and what it asked for may not have left.
                thread::spawn(move || remote.send(id, "hello")).join().unwrap().unwrap();
            }
        };
        let mut town = town(0, way, Faults::none(), &Limits::default(), react);
        let (client, _) = town.caller();
        client.send(&framed(b"dial"));
        town.settle();
        let peer = town.net.dialled().unwrap();
        peer.accept();
        town.settle();
        assert_eq!(peer.received(), b"hello", "{way:?}");
    }
}

#[test]
fn who_was_dialled_may_be_silent_and_a_caller_may_not() {
    for (way, (plan, trigger)) in ways().enumerate() {
        let second = Duration::from_secs(1);
        let limits = Limits { handshake_timeout: Some(second), ..Limits::default() };
        let react = move |fact: &Fact, context: &mut Context<'_>, _: &Remote| {
            if let Fact::Frame(..) = fact {
                let to: Address = "10.9.9.9:9".parse().unwrap();
                context.connect(&to, second).unwrap();
            }
        };
        let mut town = town(way as u64, (plan, trigger), Faults::none(), &limits, react);
        let (client, _) = town.caller();
        client.send(&framed(b"dial"));
        town.settle();
        let (silent, caller) = town.caller();
        let peer = town.net.dialled().unwrap();
        peer.accept();
        town.settle();
        town.net.advance(5 * second);
        town.settle();
        silent.finish();
        town.settle();
        let closes = town.facts().into_iter().filter(|fact| matches!(fact, Fact::Close(..)));
        let expected = Fact::Close(caller, CloseReason::HandshakeTimeout);
        assert_eq!((peer.end(), closes.collect()), (None, vec![expected]), "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_dial_that_a_reactor_hears_of_behind_a_stop_does_not_begin() {
    for trigger in BOTH {
        // One letter in a turn, unless it is urgent: the dial is opened when the reactor drains.
        let limits = Limits { mails_per_turn: 1, ..Limits::default() };
        let way = (Plan::Workers(1), trigger);
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, _| {
            if let Fact::Frame(..) = fact {
                let to: Address = "10.9.9.9:9".parse().unwrap();
                context.connect(&to, Duration::from_secs(1)).unwrap();
            }
        });
        let (client, _) = town.caller();
        town.without_workers(|town| {
            client.send(&framed(b"dial"));
            town.settle();
        });
        town.remote.stop();
        town.work();
        town.settle();
        client.finish();
        town.run_out();
        let failed = |fact: &Fact| matches!(fact, Fact::ConnectFailed(_, CloseReason::Stopped));
        assert!(town.facts().iter().any(failed), "{trigger:?}");
        assert_eq!(town.net.calls().connects, 0, "{trigger:?}");
    }
}
