//! Time: rounded up, bounded in work, and never mistaken for silence.

use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{CloseReason, Group, Limits, SlowMember, TimerId};

use super::town::{EVERY_PLAN, Plan, Town};
use super::world::{BOTH, Fact, React, World, echo, echo_and, framed};

const MS: Duration = Duration::from_millis(1);

fn turn_until_empty(world: &mut World) -> Duration {
    let began = world.net.now();
    world.turn_while(|world| world.net.open_sockets() > 0);
    world.net.now().since(began)
}

#[test]
fn a_silent_session_is_closed_when_its_idle_time_is_over() {
    for trigger in BOTH {
        let limits =
            Limits { idle_timeout: Some(100 * MS), linger_timeout: 10 * MS, ..Limits::default() };
        let mut world = World::new(trigger, limits, echo());
        let (_client, _) = world.caller();
        let took = turn_until_empty(&mut world);
        assert!((110 * MS..=113 * MS).contains(&took), "{trigger:?}: {took:?}");
        assert_eq!(world.closed(), [CloseReason::IdleTimeout]);
    }
}

#[test]
fn bytes_within_the_idle_time_keep_a_session_open_however_long() {
    for trigger in BOTH {
        let limits = Limits { idle_timeout: Some(100 * MS), ..Limits::default() };
        let mut world = World::new(trigger, limits, echo());
        let (client, _) = world.caller();
        for _ in 0..50 {
            client.send(&framed(b"still here"));
            // Bytes and deadline meet in one turn: the bytes win.
            world.net.advance(100 * MS);
            world.settle();
        }
        assert_eq!((client.end(), client.received().len()), (None, 50 * 14), "{trigger:?}");
    }
}

#[test]
fn one_byte_now_and_then_does_not_pass_the_handshake() {
    for trigger in BOTH {
        let limits = Limits {
            idle_timeout: Some(100 * MS),
            handshake_timeout: Some(300 * MS),
            linger_timeout: MS,
            ..Limits::default()
        };
        let mut world = World::new(trigger, limits, echo());
        let ((slow, _), (good, _)) = (world.caller(), world.caller());
        good.send(&framed(b"hello"));
        let stream = framed(&[1; 100]);
        let mut sent = 0;
        while slow.end().is_none() {
            slow.send(&stream[sent..sent + 1]);
            good.send(&framed(b"ping"));
            sent += 1;
            world.net.advance(50 * MS);
            world.settle();
        }
        assert_eq!((sent, good.end()), (6, None), "{trigger:?}");
        let closing = |fact: &Fact| matches!(fact, Fact::Closing(_, CloseReason::HandshakeTimeout));
        assert_eq!(world.facts().iter().filter(|fact| closing(fact)).count(), 1);
    }
}

#[test]
fn a_timer_may_be_set_reset_and_cancelled_from_its_own_callback() {
    for trigger in BOTH {
        let (mut first, mut beats) = (None::<TimerId>, 0);
        let clock = echo_and(move |fact, context| match fact {
            Fact::Open(id) if *id != readyloop::SessionId::NONE => {
                first = context.set_timer(10 * MS);
            }
            Fact::Timer(_, timer) => {
                assert_eq!(Some(*timer), first);
                beats += 1;
                let other = context.set_timer(MS).unwrap();
                assert!(context.cancel_timer(other) && !context.cancel_timer(other));
                if beats < 5 {
                    assert!(context.reset_timer(*timer, 10 * MS));
                } else {
                    assert!(context.cancel_timer(*timer) && !context.reset_timer(*timer, MS));
                    context.close();
                }
            }
            _ => {}
        });
        let limits = Limits { linger_timeout: MS, ..Limits::default() };
        let mut world = World::new(trigger, limits, clock);
        let (_client, _) = world.caller();
        let took = turn_until_empty(&mut world);
        assert!((51 * MS..=57 * MS).contains(&took), "{trigger:?}: {took:?}");
        assert_eq!(world.reactor.stats().timers, 5, "{trigger:?}");
    }
}

#[test]
fn a_timer_ends_with_its_session_and_belongs_to_no_other() {
    for trigger in BOTH {
        let mut foreign = None;
        let forgetful = echo_and(move |fact, context| match fact {
            Fact::Open(id) if *id != readyloop::SessionId::NONE => {
                if let Some(timer) = foreign {
                    assert!(!context.reset_timer(timer, MS) && !context.cancel_timer(timer));
                }
                foreign = context.set_timer(10 * MS);
            }
            Fact::Frame(..) => context.abort(),
            _ => {}
        });
        let mut world = World::new(trigger, Limits::default(), forgetful);
        let ((one, _), (_two, _)) = (world.caller(), world.caller());
        one.send(&framed(b"x"));
        world.settle();
        world.net.advance(20 * MS);
        world.settle();
        assert_eq!(world.reactor.stats().timers, 1, "{trigger:?}");
    }
}

#[test]
fn less_than_a_millisecond_is_waited_for_and_not_spun_for() {
    for trigger in BOTH {
        let hasty = echo_and(|fact, context| {
            if let Fact::Open(_) = fact {
                context.set_timer(Duration::from_micros(100));
            }
        });
        let mut world = World::new(trigger, Limits::default(), hasty);
        let (_client, _) = world.caller();
        let before = world.net.calls().waits;
        world.turn_while(|world| world.reactor.stats().timers == 0);
        assert!(world.net.calls().waits - before <= 2, "{trigger:?}");
    }
}

#[test]
fn a_clock_that_jumps_an_hour_fires_everything_in_portions() {
    for trigger in BOTH {
        let busy = echo_and(|fact, context| {
            if let Fact::Open(_) = fact {
                for n in 0..1000 {
                    context.set_timer(n * MS);
                }
            }
        });
        let limits = Limits { timers_per_turn: 10, ..Limits::default() };
        let mut world = World::new(trigger, limits, busy);
        let client = world.net.connect(0);
        world.turn();
        world.net.advance(Duration::from_secs(3600));
        client.send(&framed(b"x"));
        for turns in 1..=20 {
            world.turn();
            assert!(world.reactor.stats().timers <= 10 * (turns + 1), "{trigger:?}");
        }
        assert_eq!(client.received(), framed(b"x"), "{trigger:?}: served meanwhile");
        world.settle();
        assert_eq!(world.reactor.stats().timers, 1000, "{trigger:?}");
    }
}

fn closes(town: &Town) -> Vec<CloseReason> {
    let reason = |fact| match fact {
        Fact::Close(_, reason) => Some(reason),
        _ => None,
    };
    town.facts().into_iter().filter_map(reason).collect()
}

/// Lets time pass in small steps, as it would: everybody does what is due.
fn pass(town: &mut Town, span: Duration, mut each: impl FnMut()) {
    let until = town.net.now() + span;
    while town.net.now() < until {
        town.net.advance(10 * MS);
        each();
        town.settle();
    }
}

#[test]
fn the_peers_silence_does_not_count_while_we_do_not_read_it() {
    let limits = Limits {
        idle_timeout: Some(100 * MS),
        handshake_timeout: Some(100 * MS),
        linger_timeout: MS,
        ..Limits::default()
    };
    for trigger in BOTH {
        let mut town = Town::new(0, Plan::Workers(1), trigger, Faults::none(), &limits, echo);
        // A caller behind a busy pool: nobody has met it, and what it says is not read.
        let behind = town.net.connect(0);
        town.without_workers(|town| {
            behind.send(&framed(b"here I am"));
            pass(town, 1_000 * MS, || {});
            assert_eq!((behind.end(), behind.unread()), (None, 13), "{trigger:?}");
        });
        town.settle();
        assert_eq!(behind.received(), framed(b"here I am"), "{trigger:?}");
        // One whose question is being answered for long.
        town.without_workers(|town| {
            behind.send(&framed(b"a question"));
            pass(town, 1_000 * MS, || {});
            assert_eq!(behind.end(), None, "{trigger:?}: we owe it an answer");
        });
        // The time goes on from where it stood, and is over then.
        pass(&mut town, 90 * MS, || {});
        assert_eq!(behind.end(), None, "{trigger:?}");
        pass(&mut town, 200 * MS, || {});
        assert_eq!(closes(&town), [CloseReason::IdleTimeout], "{trigger:?}");
    }
}

#[test]
fn a_slow_reader_is_not_idle_and_neither_is_a_listener() {
    let limits = Limits {
        idle_timeout: Some(100 * MS),
        write_timeout: Some(200 * MS),
        linger_timeout: MS,
        ..Limits::default()
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let room = Group::new(SlowMember::DropMessage);
        let member = || -> React {
            let room = room.clone();
            Box::new(move |fact, context| match fact {
                Fact::Frame(_, frame) if frame == b"listen" => {
                    context.join(&room);
                }
                Fact::Frame(..) => {
                    context.send(&[1; 100_000]);
                }
                _ => {}
            })
        };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, member);
        let ((reader, _), (listener, _)) = (town.caller(), town.caller());
        reader.set_window(1_000);
        reader.stop_reading();
        reader.send(&framed(b"all of it"));
        listener.send(&framed(b"listen"));
        town.settle();
        let (remote, chunk) = (town.remote.clone(), reader.clone());
        pass(&mut town, 800 * MS, || {
            remote.broadcast(&room, &b"tick"[..]).unwrap();
            chunk.take_some(1_000);
        });
        assert_eq!(closes(&town), [], "{plan:?} {trigger:?}");
        assert!(reader.received().len() >= 70_000, "{plan:?} {trigger:?}");
        // Nothing comes and nothing is taken: of the one whose turn it was to take, and of the other.
        pass(&mut town, 500 * MS, || {});
        let mut reasons = closes(&town);
        reasons.sort_by_key(|reason| reason.kind());
        let expected = [CloseReason::IdleTimeout, CloseReason::WriteTimeout];
        assert_eq!(reasons, expected, "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_peer_that_takes_nothing_is_closed_whatever_it_says() {
    let limits = Limits { write_timeout: Some(100 * MS), ..Limits::default() };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, echo);
        let (deaf, _) = town.caller();
        deaf.set_window(100);
        deaf.stop_reading();
        deaf.send(&framed(&[1; 500]));
        town.settle();
        let talker = deaf.clone();
        pass(&mut town, 90 * MS, || talker.send(&framed(b"")));
        assert_eq!(deaf.end(), None, "{plan:?} {trigger:?}");
        pass(&mut town, 110 * MS, || {});
        assert_eq!(closes(&town), [CloseReason::WriteTimeout], "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_peer_that_takes_little_by_little_is_not_closed() {
    // The socket becomes writable only when a third of it is free, which takes longer than the timeout:
    // what the peer has taken is seen in the kernel's queue alone.
    let limits = Limits {
        write_timeout: Some(100 * MS),
        write_bytes_min: 100,
        idle_timeout: Some(50 * MS),
        ..Limits::default()
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, echo);
        let (slow, _) = town.caller();
        slow.set_window(100_000);
        slow.stop_reading();
        slow.send(&framed(&[1; 200_000]));
        town.settle();
        assert_eq!(slow.queued(), 100_000, "{plan:?} {trigger:?}");
        let taker = slow.clone();
        pass(&mut town, 600 * MS, || taker.take_some(20));
        assert_eq!(closes(&town), [], "{plan:?} {trigger:?}");
        let taker = slow.clone();
        pass(&mut town, 300 * MS, || taker.take_some(2));
        assert_eq!(closes(&town), [CloseReason::WriteTimeout], "{plan:?} {trigger:?}");
    }
}

#[test]
fn bytes_that_have_come_are_read_before_anybody_is_called_idle() {
    let limits = Limits { idle_timeout: Some(100 * MS), ..Limits::default() };
    let faults = Faults { events_max: 2, ..Faults::none() };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, faults.clone(), &limits, echo);
        let clients: Vec<_> = (0..40).map(|_| town.caller().0).collect();
        clients.iter().for_each(|client| client.send(&framed(b"spoken")));
        town.settle();
        clients.iter().for_each(|client| client.send(&framed(b"in time")));
        // The process stood still: all are overdue, and the ready list is far too short.
        town.net.advance(1_000 * MS);
        town.settle();
        let both = [framed(b"spoken"), framed(b"in time")].concat();
        let answered = clients.iter().filter(|client| client.received() == both).count();
        assert_eq!((answered, closes(&town)), (40, vec![]), "{plan:?} {trigger:?}");
    }
}
