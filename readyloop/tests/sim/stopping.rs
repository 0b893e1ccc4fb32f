//! A server's end: nobody new, everybody drained, a deadline, and nothing leaked.

use std::time::Duration;

use readyloop::kernel::Kernel;
use readyloop::sim::{End, Faults};
use readyloop::{Address, CloseReason, Context, Limits, SessionId, Trigger};

use super::order::ways;
use super::town::{EVERY_PLAN, Plan, Town};
use super::world::{BOTH, Fact, React, World, echo, echo_and, framed};

#[test]
fn a_stop_delivers_what_is_queued_and_a_last_word() {
    for trigger in BOTH {
        let polite = echo_and(|fact, context| {
            if let Fact::Closing(_, CloseReason::Stopped) = fact {
                context.send(b"server stops");
            }
        });
        let mut world = World::new(trigger, Limits::default(), polite);
        let (client, _) = world.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(b"question"));
        world.settle();
        world.remote.stop();
        world.settle();
        client.resume_reading();
        world.settle();
        let expected = [framed(b"question"), b"server stops".to_vec()].concat();
        assert_eq!((client.received(), client.end()), (expected, Some(End::Finished)));
        client.finish();
        world.run_out();
        assert_eq!(world.closed(), [CloseReason::Stopped], "{trigger:?}");
    }
}

#[test]
fn a_stop_ends_within_its_deadline_whatever_the_peers_do() {
    for trigger in BOTH {
        let limits = Limits {
            drain_timeout: Duration::from_millis(700),
            linger_timeout: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut world = World::new(trigger, limits, echo());
        let (stubborn, _) = world.caller();
        let (_silent, _) = world.caller();
        stubborn.set_window(10);
        stubborn.stop_reading();
        stubborn.send(&framed(&[1; 100]));
        world.settle();
        let began = world.net.now();
        world.remote.stop();
        world.run_out();
        let took = world.net.now().since(began);
        assert!(took <= Duration::from_millis(702), "{trigger:?}: {took:?}");
        let mut reasons = world.closed();
        reasons.sort_by_key(|reason| reason.kind());
        // The silent one lost nothing: it had all that was queued, and only its own end was
        // missing.
        assert_eq!(reasons, [CloseReason::DrainTimeout, CloseReason::Stopped], "{trigger:?}");
        assert_eq!(stubborn.end(), None);
        assert!(stubborn.received().is_empty(), "it never read");
    }
}

#[test]
fn the_first_signal_drains_and_the_second_one_ends_at_once() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, _) = world.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(&[1; 100]));
        world.settle();
        world.net.signal();
        world.settle();
        assert_eq!(world.net.open_sockets(), 1, "{trigger:?}: it drains");
        let began = world.net.now();
        world.net.signal();
        world.run_out();
        assert_eq!(world.net.now().since(began), Duration::ZERO, "{trigger:?}");
        assert_eq!(world.closed(), [CloseReason::Stopped]);
    }
}

#[test]
fn nobody_is_accepted_once_a_stop_has_begun() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (inside, _) = world.caller();
        world.remote.stop();
        world.turn();
        let outside = world.net.connect(0);
        world.settle();
        assert_eq!(outside.end(), Some(End::Reset), "{trigger:?}");
        inside.finish();
        world.run_out();
    }
}

#[test]
fn an_idle_server_stops_at_once() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        world.settle();
        world.remote.stop();
        assert!(!world.turn(), "{trigger:?}");
    }
}

#[test]
fn a_handler_may_stop_the_server_itself() {
    for trigger in BOTH {
        let weary = echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                context.stop();
            }
        });
        let mut world = World::new(trigger, Limits::default(), weary);
        let (client, _) = world.caller();
        client.send(&framed(b"enough"));
        client.finish();
        world.run_out();
        // The server is gone; the network still has to deliver what it wrote.
        world.net.kernel().wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(client.received(), framed(b"enough"), "{trigger:?}");
    }
}

/// Dials at the start, and again whenever a session ends or a dial fails.
fn persistent() -> React {
    Box::new(|fact, context: &mut Context<'_>| {
        let to: Address = "10.9.9.9:99".parse().unwrap();
        match fact {
            Fact::Open(SessionId::NONE) | Fact::Close(..) | Fact::ConnectFailed(..) => {
                context.connect(&to, Duration::from_secs(60));
            }
            _ => {}
        }
    })
}

#[test]
fn handlers_that_dial_again_and_again_do_not_keep_a_server_from_ending() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        for refused in [0, 1000] {
            let faults = Faults { connect_refused: refused, ..Faults::none() };
            let limits = Limits::default();
            let mut town = Town::new(0, plan, trigger, faults, &limits, persistent);
            (0..20).for_each(|_| town.step());
            let peer = town.net.dialled();
            peer.iter().for_each(|peer| peer.accept());
            let callers: Vec<_> = (0..3).map(|_| town.net.connect(0)).collect();
            (0..20).for_each(|_| town.step());
            callers.iter().for_each(|caller| caller.reset());
            let (began, turns) = (town.net.now(), town.stats().turns);
            town.remote.stop();
            town.run_out();
            let (took, turns) = (town.net.now().since(began), town.stats().turns - turns);
            assert!(took <= limits.linger_timeout * 2, "{plan:?} {trigger:?}: {took:?}");
            assert!(turns < 200, "{plan:?} {trigger:?}: {turns} turns");
        }
    }
}

#[test]
fn a_stop_that_is_asked_for_at_the_start_is_heard() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let hasty = || -> React {
            Box::new(|fact, context| {
                if *fact == Fact::Open(SessionId::NONE) {
                    context.stop();
                }
            })
        };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &Limits::default(), hasty);
        town.run_out();
        assert!(town.stats().turns < 50, "{plan:?} {trigger:?}");
        // A reactor alone does not sleep before it hears of it: on Linux nothing would wake it.
        let mut world = World::new(trigger, Limits::default(), hasty());
        assert!(!world.turn(), "{trigger:?}");
        assert_eq!(world.net.calls().asleep, 0, "{trigger:?}");
    }
}

#[test]
fn a_reactor_sleeps_while_a_worker_runs_on_beyond_the_drain_deadline() {
    for trigger in BOTH {
        let (plan, limits) = (Plan::Workers(1), Limits::default());
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, echo);
        let (client, _) = town.caller();
        town.without_workers(|town| {
            client.send(&framed(b"this takes long"));
            town.settle();
            town.remote.stop();
            let before = town.stats().turns;
            let deadline = town.net.now() + limits.drain_timeout;
            while town.net.now() <= deadline + 10 * limits.stall_timeout {
                town.turn(0);
            }
            // It is awake now and then, to see whether the worker stands still.
            let turns = town.stats().turns - before;
            assert!(turns < 100, "{trigger:?}: {turns} turns");
        });
        town.run_out();
    }
}

/// A server's whole life, in which every limit is met. Says how many turns it took.
fn life(trigger: Trigger, limits: Limits) -> u64 {
    let mut world = World::new(
        trigger,
        limits,
        echo_and(|fact, context| {
            if matches!(fact, Fact::Frame(_, frame) if frame == b"close") {
                context.close();
            }
        }),
    );
    let clients: Vec<_> = (0..3).map(|_| world.net.connect(0)).collect();
    world.settle();
    clients[0].send(&framed(b"close"));
    world.settle();
    world.net.refuse_descriptors(usize::MAX);
    let (_patient, began) = (world.net.connect(0), world.net.now());
    world.turn_while(|world| world.net.now().since(began) < Duration::from_millis(20));
    world.net.refuse_descriptors(0);
    world.turn_while(|world| world.net.now().since(began) < Duration::from_millis(200));
    clients[1].set_window(10);
    clients[1].stop_reading();
    clients[1].send(&framed(&[1; 100]));
    world.settle();
    world.remote.stop();
    world.run_out();
    world.reactor.stats().turns
}

#[test]
fn no_limit_at_its_smallest_keeps_a_reactor_awake() {
    let nothing = Duration::ZERO;
    let tiny = Duration::from_nanos(1);
    let changes: [fn(&mut Limits, Duration); 8] = [
        |limits, span| limits.drain_timeout = span,
        |limits, span| limits.linger_timeout = span,
        |limits, span| limits.admission_grace = span,
        |limits, span| limits.listener_rest = span,
        |limits, span| limits.stall_timeout = span,
        |limits, span| limits.idle_timeout = Some(span),
        |limits, span| limits.handshake_timeout = Some(span),
        |limits, span| limits.write_timeout = Some(span),
    ];
    for (nth, change) in changes.into_iter().enumerate() {
        for span in [nothing, tiny, Duration::from_micros(999), Duration::from_millis(1)] {
            let mut limits = Limits { sessions_max: 2, ..Limits::default() };
            change(&mut limits, span);
            if limits.check().is_ok() {
                for trigger in BOTH {
                    let turns = life(trigger, limits.clone());
                    assert!(turns < 60, "limit {nth} of {span:?}, {trigger:?}: {turns} turns");
                }
            }
        }
    }
}

#[test]
fn what_had_arrived_before_a_stop_is_answered() {
    let asks: [fn(&Town); 2] = [|town| town.remote.stop(), |town| town.net.signal()];
    for (way, ask) in ways().flat_map(|way| asks.map(|ask| (way, ask))) {
        let mut town = Town::new(0, way.0, way.1, Faults::none(), &Limits::default(), echo);
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        ask(&town);
        town.settle();
        client.finish();
        town.run_out();
        assert_eq!(client.received(), framed(b"x"), "{way:?}");
    }
}
