//! Kernel memory that runs out for a while, and comes back: nobody's session ends for it but one that
//! could not be watched at all, nothing is lost, nobody hangs, and nobody spins meanwhile.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Leg, Need, Net, Preamble};
use readyloop::{CloseReason, Context, Errno, Incident, Limits, Report, Trigger};

use super::town::{EVERY_PLAN, Town};
use super::world::{BOTH, Fact, React, World, echo, echo_and, framed};

const SHORT: Duration = Duration::from_millis(100);
/// Far more than what a shortage of 100 ms may cost, and far less than a spin.
const TURNS_MAX: u64 = 60;

type Calls = fn(&Net) -> Client;
/// Over TCP and over a Unix socket.
const CALLERS: [Calls; 2] = [|net| net.connect(0), |net| net.connect_unix(0)];

fn both_ways() -> impl Iterator<Item = (Trigger, Calls)> {
    BOTH.into_iter().flat_map(|trigger| CALLERS.map(|call| (trigger, call)))
}

fn open(world: &mut World, call: Calls) -> Client {
    let client = call(&world.net);
    world.settle();
    world.facts();
    client
}

/// Turns until the client has received so many bytes, and says how many turns that took.
fn turns_until_received(world: &mut World, client: &Client, bytes: usize) -> u64 {
    let before = world.reactor.stats().turns;
    // Not only what has arrived: for that nobody waits, and the clock would jump.
    world.turn_while(|_| client.received().len() + client.queued() < bytes);
    world.reactor.stats().turns - before
}

#[test]
fn a_read_or_a_write_without_memory_is_made_again_and_costs_no_session_anything() {
    for need in [Need::Recv, Need::Send] {
        for (trigger, call) in both_ways() {
            let mut world = World::new(trigger, Limits::default(), echo());
            let client = open(&mut world, call);
            world.net.lack_memory(&[need], SHORT);
            client.send(&framed(b"patience"));
            world.settle();
            let began = world.net.now();
            let expected = framed(b"patience");
            let turns = turns_until_received(&mut world, &client, expected.len());
            let waited = world.net.now().since(began);
            world.settle();
            assert_eq!(
                (client.received(), client.end()),
                (expected, None),
                "{need:?}, {trigger:?}"
            );
            assert!(turns < TURNS_MAX, "{need:?}, {trigger:?}: {turns} turns");
            assert!(waited < 3 * SHORT, "{need:?}, {trigger:?}: {waited:?}");
            assert_eq!(world.closed(), []);
        }
    }
}

#[test]
fn a_shortage_of_one_call_costs_a_few_milliseconds() {
    for need in [Need::Recv, Need::Send] {
        for (trigger, call) in both_ways() {
            let mut world = World::new(trigger, Limits::default(), echo());
            let client = open(&mut world, call);
            world.net.lack_memory(&[need], Duration::from_nanos(1));
            client.send(&framed(b"once"));
            let began = world.net.now();
            turns_until_received(&mut world, &client, 8);
            assert!(
                world.net.now().since(began) < Duration::from_millis(5),
                "{need:?}, {trigger:?}"
            );
            // What comes later is served at once again.
            client.send(&framed(b"more"));
            world.settle();
            let expected = [framed(b"once"), framed(b"more")].concat();
            assert_eq!(client.received(), expected, "{need:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_shortage_on_every_topology_delays_answers_and_ends_nobody() {
    let needs = [Need::Recv, Need::Send, Need::Rearm];
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|t| (plan, t))) {
        let limits = Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() };
        let mut town = Town::new(3, plan, trigger, Faults::none(), &limits, echo);
        let clients: Vec<_> = (0..6)
            .map(|nth| match nth % 2 {
                0 => town.net.connect(nth % town.listeners),
                _ => town.net.connect_unix(nth % town.listeners),
            })
            .collect();
        town.settle();
        let stream = framed(&[7; 90]).repeat(40);
        clients.iter().for_each(|client| client.set_window(150));
        clients.iter().for_each(|client| client.send(&stream));
        for _ in 0..4 {
            town.net.lack_memory(&needs, Duration::from_millis(20));
            let until = town.net.now() + Duration::from_millis(40);
            let (net, before) = (town.net.clone(), town.stats().turns);
            town.step_while(|| net.now() < until && clients.iter().any(|c| c.received() != stream));
            let turns = town.stats().turns - before;
            assert!(turns < 4_000, "{plan:?}, {trigger:?}: {turns} turns");
        }
        town.step_while(|| clients.iter().any(|client| client.received() != stream));
        clients.iter().for_each(Client::finish);
        town.step_while(|| clients.iter().any(|client| client.end().is_none()));
        let ends: Vec<_> = clients.iter().map(Client::end).collect();
        assert_eq!(ends, [Some(End::Finished); 6], "{plan:?}, {trigger:?}");
        town.remote.stop();
        town.run_out();
    }
}

#[test]
fn a_new_session_that_cannot_be_watched_ends_with_the_reason_and_an_incident_and_alone() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|t| (plan, t))) {
        let (sender, incidents) = mpsc::channel();
        let report = Report::new(move |incident| sender.send(incident).unwrap());
        let (limits, quiet) = (Limits::default(), Faults::none());
        let mut town = Town::reporting(5, plan, trigger, quiet, &limits, echo, report);
        let inside = town.net.connect(0);
        town.settle();
        town.facts();
        town.net.lack_memory(&[Need::Watch], SHORT);
        let outside = town.net.connect_unix(0);
        town.settle();
        assert!(outside.end().is_some() && inside.end().is_none(), "{plan:?}, {trigger:?}");
        assert_eq!(town.facts(), []);
        let told: Vec<_> = incidents.try_iter().collect();
        let is_clear = |incident: &Incident| {
            matches!(incident, Incident::OutOfMemory { errno: Errno::NOSPC | Errno::NOMEM, .. })
        };
        assert!(told.len() == 1 && is_clear(&told[0]), "{plan:?}, {trigger:?}: {told:?}");
        assert_eq!(town.stats().closed[CloseReason::System(Errno::NOSPC).kind()], 1);
        inside.send(&framed(b"me not"));
        town.settle();
        assert_eq!((inside.received(), town.net.open_sockets()), (framed(b"me not"), 1));
    }
}

#[test]
fn an_interest_that_cannot_be_changed_is_changed_later_and_nobody_hangs_or_spins() {
    // Each of them needs a change: the first to writability, the second also to no reading.
    for (answer_bytes, limits) in [
        (64, Limits::default()),
        (200, Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() }),
    ] {
        for call in CALLERS {
            for needs in [&[Need::Rearm][..], &[Need::Rearm, Need::Watch]] {
                let mut world = World::new(Trigger::Level, limits.clone(), echo());
                let client = open(&mut world, call);
                client.set_window(10);
                client.stop_reading();
                world.net.lack_memory(needs, SHORT);
                let stream = framed(&vec![1; answer_bytes]).repeat(5);
                client.send(&stream);
                world.settle();
                client.set_window(1_000);
                client.resume_reading();
                let turns = turns_until_received(&mut world, &client, stream.len());
                world.settle();
                assert_eq!((client.received(), client.end()), (stream, None), "{needs:?}");
                assert!(turns < TURNS_MAX, "{needs:?}: {turns} turns");
                world.settle();
                client.send(&framed(b"and on"));
                let more = turns_until_received(&mut world, &client, client.received().len() + 10);
                assert!(more < TURNS_MAX, "{needs:?}: {more} turns");
            }
        }
    }
}

#[test]
fn a_listener_without_memory_rests_and_serves_its_callers_when_there_is_some() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|t| (plan, t))) {
        let mut town = Town::new(7, plan, trigger, Faults::none(), &Limits::default(), echo);
        town.settle();
        town.net.lack_memory(&[Need::Accept], 5 * SHORT);
        let clients: Vec<_> = CALLERS.iter().map(|call| call(&town.net)).collect();
        clients.iter().for_each(|client| client.send(&framed(b"hello")));
        let before = town.net.calls();
        town.step_while(|| clients.iter().any(|client| client.received() != framed(b"hello")));
        let calls = town.net.calls() - before;
        assert!(calls.total() < 4 * TURNS_MAX, "{plan:?}, {trigger:?}: {calls:?}");
    }
}

#[test]
fn a_listener_that_cannot_be_woken_is_woken_later() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        world.net.refuse_descriptors(1);
        world.net.connect(0);
        world.settle();
        world.net.lack_memory(&[Need::Rearm], 5 * SHORT);
        let patient = world.net.connect(0);
        let before = world.reactor.stats().turns;
        for _ in 0..5 {
            world.net.advance(Limits::default().listener_rest);
            world.settle();
        }
        assert!(world.reactor.stats().turns - before < TURNS_MAX, "{trigger:?}");
        let late = world.net.connect(0);
        late.send(&framed(b"anybody there?"));
        let turns = turns_until_received(&mut world, &late, 18);
        assert!(turns < TURNS_MAX, "{trigger:?}: {turns} turns");
        assert!(!patient.is_waiting());
    }
}

#[test]
fn what_is_read_and_dropped_after_a_close_is_so_without_memory_too() {
    let limits = Limits { linger_timeout: Duration::from_secs(9), ..Limits::default() };
    for (trigger, call) in both_ways() {
        let close: React = Box::new(|fact, context| {
            if matches!(fact, Fact::Frame(..)) {
                context.send(b"bye");
                context.close();
            }
        });
        let mut world = World::new(trigger, limits.clone(), close);
        let client = open(&mut world, call);
        client.send(&framed(b"close"));
        world.settle();
        world.net.lack_memory(&[Need::Recv], SHORT);
        client.send(b"too late");
        world.settle();
        assert_eq!(world.closed(), [], "{trigger:?}: it was cut off for want of our memory");
        client.finish();
        let before = world.reactor.stats().turns;
        world.turn_while(|world| world.net.open_sockets() > 0);
        assert!(world.reactor.stats().turns - before < TURNS_MAX, "{trigger:?}");
        assert_eq!((client.received(), client.end()), (b"bye".to_vec(), Some(End::Finished)));
        assert_eq!(world.closed(), [CloseReason::Closed], "{trigger:?}");
    }
}

#[test]
fn who_closes_while_memory_is_short_was_heard_and_answered() {
    for need in [Need::Recv, Need::Send, Need::Rearm] {
        for (trigger, call) in both_ways() {
            let mut world = World::new(trigger, Limits::default(), echo());
            let client = open(&mut world, call);
            world.net.lack_memory(&[need], SHORT);
            client.send(&framed(b"one"));
            world.settle();
            client.send(&framed(b"two"));
            client.finish();
            world.settle();
            world.turn_while(|world| world.net.open_sockets() > 0);
            world.settle();
            let expected = [framed(b"one"), framed(b"two")].concat();
            assert_eq!(client.received(), expected, "{need:?}, {trigger:?}");
            assert_eq!(client.end(), Some(End::Finished), "{need:?}, {trigger:?}");
            assert_eq!(world.closed(), [CloseReason::PeerFinished], "{need:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_unix_peer_that_has_closed_is_heard_to_the_end_when_there_is_memory_again() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let client = open(&mut world, CALLERS[1]);
        world.net.lack_memory(&[Need::Recv, Need::Rearm, Need::Watch], SHORT);
        client.send(&framed(b"one"));
        world.settle();
        client.send(&framed(b"last"));
        client.close();
        let before = world.reactor.stats().turns;
        world.turn_while(|world| world.net.open_sockets() > 0);
        let turns = world.reactor.stats().turns - before;
        assert!(turns < TURNS_MAX, "{trigger:?}: {turns} turns");
        let facts = world.facts();
        let heard = facts.iter().filter(|fact| matches!(fact, Fact::Frame(..))).count();
        assert_eq!(heard, 2, "{trigger:?}: {facts:?}");
        assert!(
            matches!(facts.last(), Some(Fact::Close(_, CloseReason::PeerFinished))),
            "{facts:?}"
        );
    }
}

#[test]
fn a_peers_clocks_stand_still_while_our_memory_is_short() {
    let limits = Limits {
        write_timeout: Some(Duration::from_millis(20)),
        idle_timeout: Some(Duration::from_millis(20)),
        handshake_timeout: Some(Duration::from_millis(20)),
        ..Limits::default()
    };
    for need in [Need::Recv, Need::Send] {
        for (trigger, call) in both_ways() {
            let mut world = World::new(trigger, limits.clone(), echo());
            let client = open(&mut world, call);
            world.net.lack_memory(&[need], 10 * SHORT);
            client.send(&framed(b"hello"));
            world.turn_while(|_| client.received().is_empty() && client.end().is_none());
            assert_eq!(client.received(), framed(b"hello"), "{need:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_peer_that_takes_nothing_after_a_shortage_is_found_all_the_same() {
    let limits = Limits { write_timeout: Some(Duration::from_millis(50)), ..Limits::default() };
    for (trigger, call) in both_ways() {
        let mut world = World::new(trigger, limits.clone(), echo());
        let client = open(&mut world, call);
        client.set_window(10);
        client.stop_reading();
        world.net.lack_memory(&[Need::Send], SHORT);
        client.send(&framed(&[1; 100]));
        world.turn_while(|world| world.net.open_sockets() > 0);
        assert_eq!(world.closed(), [CloseReason::WriteTimeout], "{trigger:?}");
    }
}

#[test]
fn a_stop_while_memory_is_short_drains_when_there_is_some() {
    for need in [Need::Recv, Need::Send, Need::Rearm] {
        for (trigger, call) in both_ways() {
            let last_word = echo_and(|fact, context| {
                if let Fact::Closing(..) = fact {
                    context.send(b"bye");
                }
            });
            let mut world = World::new(trigger, Limits::default(), last_word);
            let client = open(&mut world, call);
            world.net.lack_memory(&[need], SHORT);
            world.remote.stop();
            for _ in 0..10 {
                world.turn();
            }
            client.finish();
            world.run_out();
            let heard = (client.received(), client.end());
            assert_eq!(heard, (b"bye".to_vec(), Some(End::Finished)), "{need:?}, {trigger:?}");
            assert_eq!(world.closed(), [CloseReason::Stopped], "{need:?}, {trigger:?}");
        }
    }
}

/// Nothing tells of what has come before: under edge it was told once, and to no avail.
#[test]
fn what_had_come_to_a_lingering_session_is_dropped_though_no_event_tells_of_it_again() {
    let limits = Limits { linger_timeout: Duration::from_secs(9), ..Limits::default() };
    for (trigger, call) in both_ways() {
        let close: React = Box::new(|fact, context| {
            if matches!(fact, Fact::Frame(..)) {
                context.close();
            }
        });
        let mut world = World::new(trigger, limits.clone(), close);
        let client = open(&mut world, call);
        client.send(&framed(b"close"));
        world.settle();
        world.net.lack_memory(&[Need::Recv], SHORT);
        client.send(b"too late");
        client.finish();
        let began = world.net.now();
        world.turn_while(|world| world.net.open_sockets() > 0);
        let waited = world.net.now().since(began);
        assert!(waited < Duration::from_secs(1), "{trigger:?}: {waited:?}");
    }
}

#[test]
fn the_end_of_a_session_that_could_not_be_watched_for_a_while_is_heard() {
    for call in CALLERS {
        // It stays as it is when its peer has finished: nothing but an error is to be told of it.
        let mut world = World::new(Trigger::Level, Limits::default(), Box::new(|_, _| {}));
        let client = open(&mut world, call);
        world.net.lack_memory(&[Need::Rearm], SHORT);
        client.finish();
        world.settle();
        world.net.advance(2 * SHORT);
        world.settle();
        client.reset();
        world.settle();
        assert_eq!(world.closed(), [CloseReason::PeerFinished]);
        assert_eq!(world.net.open_sockets(), 0);
    }
}

#[test]
fn a_dial_without_memory_fails_with_that_reason_and_leaves_nothing_behind() {
    for need in [Need::Connect, Need::Watch] {
        for trigger in BOTH {
            let dials = echo_and(|fact, context: &mut Context<'_>| {
                if let Fact::Frame(..) = fact {
                    context.connect(&"10.9.9.9:9".parse().unwrap(), Duration::from_secs(5));
                }
            });
            let mut world = World::new(trigger, Limits::default(), dials);
            let client = open(&mut world, CALLERS[0]);
            world.net.lack_memory(&[need], SHORT);
            client.send(&framed(b"dial"));
            world.settle();
            let failed = world.facts().into_iter().find_map(|fact| match fact {
                Fact::ConnectFailed(_, CloseReason::ConnectFailed(errno)) => Some(errno),
                _ => None,
            });
            let shortage = [Errno::NOMEM, Errno::NOBUFS, Errno::NOSPC];
            assert!(failed.is_some_and(|errno| shortage.contains(&errno)), "{need:?}, {trigger:?}");
            assert_eq!((world.net.open_sockets(), client.end()), (1, None));
        }
    }
}

#[test]
fn a_shortage_is_told_as_an_incident() {
    for need in [Need::Recv, Need::Send, Need::Rearm] {
        let (sender, incidents) = mpsc::channel();
        let report = Report::new(move |incident| sender.send(incident).unwrap());
        let (limits, quiet) = (Limits::default(), Faults::none());
        let mut town =
            Town::reporting(5, EVERY_PLAN[0], Trigger::Level, quiet, &limits, echo, report);
        let (client, id) = town.caller();
        client.set_window(10);
        client.stop_reading();
        town.net.lack_memory(&[need], SHORT);
        client.send(&framed(&[1; 100]));
        town.settle();
        let told: Vec<_> = incidents.try_iter().collect();
        assert!(
            told.iter().any(|one| matches!(one, Incident::OutOfMemory { id: of, .. } if *of == id)),
            "{need:?}: {told:?}"
        );
    }
}

#[test]
fn handlers_that_send_to_many_while_memory_is_short_lose_nothing() {
    for (trigger, call) in both_ways() {
        let ids = Rc::new(RefCell::new(Vec::new()));
        let react: React = Box::new(move |fact, context| match fact {
            Fact::Open(id) if context.id() == *id && context.session_count() > 0 => {
                ids.borrow_mut().push(*id);
            }
            Fact::Frame(..) => {
                for id in ids.borrow().iter() {
                    context.send_to(*id, &[9; 50]);
                }
            }
            _ => {}
        });
        let mut world = World::new(trigger, Limits::default(), react);
        let clients: Vec<_> = (0..10).map(|_| open(&mut world, call)).collect();
        for client in &clients[..5] {
            world.net.lack_memory(&[Need::Send, Need::Recv], Duration::from_millis(7));
            client.send(&framed(b"all"));
            for _ in 0..3 {
                world.turn();
            }
        }
        world.turn_while(|_| clients.iter().any(|client| client.received().len() < 250));
        assert!(clients.iter().all(|client| client.received().len() == 250), "{trigger:?}");
    }
}

#[test]
fn a_caller_whose_preamble_waits_for_memory_is_asked_when_it_is_watched_again() {
    for call in CALLERS {
        let mut world = World::new(Trigger::Level, Limits::default(), echo());
        // Each event comes twice in one list: the second one, when the first has cost the watch.
        world.net.set_faults(Faults { duplicate: 1_000, ..Faults::none() });
        let client = call(&world.net);
        let legs = vec![Leg::Hears(1), Leg::Says(10), Leg::Hears(1)];
        client.begin_with(Preamble { legs, ..Preamble::default() });
        client.set_window(4);
        client.stop_reading();
        world.net.lack_memory(&[Need::Rearm], SHORT);
        client.send(&[b"??", &framed(b"hi")[..]].concat());
        world.settle();
        client.resume_reading();
        let turns = turns_until_received(&mut world, &client, 10 + framed(b"hi").len());
        assert!(turns < TURNS_MAX, "{turns} turns");
    }
}
