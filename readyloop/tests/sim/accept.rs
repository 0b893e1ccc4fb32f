//! Callers: taken within a budget, refused politely, and never at the price of those who are
//! inside.

use std::net::IpAddr;
use std::time::Duration;

use readyloop::sim::{Client, End, Faults};
use readyloop::{Balance, CloseReason, Errno, Limits, Trigger};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, World, echo, framed};

fn answered(clients: &[Client]) -> usize {
    clients.iter().filter(|client| client.received() == framed(b"hello")).count()
}

#[test]
fn a_burst_of_callers_is_taken_in_portions_and_all_are_served() {
    let limits = Limits { accepts_per_turn: 4, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let clients: Vec<_> = (0..50).map(|_| world.net.connect(0)).collect();
        clients.iter().for_each(|client| client.send(&framed(b"hello")));
        world.turn();
        assert_eq!(world.net.open_sockets(), 4, "{trigger:?}");
        world.settle();
        assert_eq!(answered(&clients), 50, "{trigger:?}");
    }
}

#[test]
fn callers_over_the_maximum_are_hung_up_on_and_counted() {
    let limits = Limits { sessions_max: 3, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let clients: Vec<_> = (0..5).map(|_| world.net.connect(0)).collect();
        world.settle();
        clients.iter().take(3).for_each(|client| client.send(&framed(b"hello")));
        world.settle();
        assert_eq!(answered(&clients), 3);
        world.turn_while(|world| world.reactor.stats().refused_by_limit < 2);
        world.settle();
        assert!(clients[3..].iter().all(|client| client.end().is_some()), "{trigger:?}");
        assert_eq!(world.reactor.stats().refused_by_limit, 2);
        clients[0].finish();
        world.settle();
        world.caller();
        assert_eq!(world.reactor.stats().refused_by_limit, 2, "there was room again");
    }
}

#[test]
fn callers_from_one_address_are_limited_and_others_are_not() {
    let limits = Limits { sessions_per_address_max: Some(2), ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (greedy, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let clients: Vec<_> = [greedy, greedy, greedy, other]
            .into_iter()
            .map(|ip| world.net.connect_from(0, ip))
            .collect();
        world.turn_while(|world| world.reactor.stats().refused_by_limit < 1);
        world.settle();
        let refused = |client: &Client| client.end() == Some(End::Finished);
        let refusals: Vec<_> = clients.iter().map(refused).collect();
        assert_eq!(refusals, [false, false, true, false], "{trigger:?}");
        clients[0].reset();
        world.settle();
        let again = world.net.connect_from(0, greedy);
        world.settle();
        assert_eq!(again.end(), None, "{trigger:?}: the place of the one who left was not freed");
    }
}

#[test]
fn without_descriptors_a_caller_is_refused_when_the_listener_has_rested_and_it_recovers() {
    let rest = Limits::default().listener_rest;
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (inside, _) = world.caller();
        world.net.limit_descriptors(1);
        let refused = world.net.connect(0);
        // While the listener rests a caller waits and wakes nobody: `settle` would not come to
        // rest.
        world.settle();
        assert!(refused.is_waiting(), "{trigger:?}");
        let stats = world.reactor.stats();
        assert_eq!((stats.refused_by_descriptors, stats.listener_rests), (0, 1));
        inside.send(&framed(b"hello"));
        world.settle();
        assert_eq!(inside.received(), framed(b"hello"), "those inside are served meanwhile");
        let began = world.net.now();
        world.turn_while(|_| refused.is_waiting());
        assert!(world.net.now().since(began) <= rest, "{trigger:?}");
        world.settle();
        assert_eq!(refused.end(), Some(End::Finished), "{trigger:?}");
        let stats = world.reactor.stats();
        assert_eq!((stats.refused_by_descriptors, stats.listener_rests), (1, 2));
        // Nothing of ours ends, and there is room again.
        world.net.limit_descriptors(2);
        let patient = world.net.connect(0);
        world.settle();
        assert!(patient.is_waiting(), "{trigger:?}");
        let began = world.net.now();
        world.turn_while(|_| patient.is_waiting());
        assert!(world.net.now().since(began) <= rest, "{trigger:?}");
        world.settle();
        assert_eq!(patient.end(), None, "{trigger:?}");
    }
}

#[test]
fn a_caller_that_is_lost_before_its_accept_costs_the_next_one_nothing() {
    let faults = Faults { accept_skipped: 500, ..Faults::none() };
    for trigger in BOTH {
        let mut world = World::with_faults(5, trigger, faults.clone(), Limits::default(), echo());
        let clients: Vec<_> = (0..40).map(|_| world.net.connect(0)).collect();
        clients.iter().for_each(|client| client.send(&framed(b"hello")));
        world.settle();
        let skipped = world.reactor.stats().accepts_skipped as usize;
        assert!(skipped > 5 && answered(&clients) == 40 - skipped, "{trigger:?}");
    }
}

#[test]
fn a_session_that_the_poller_does_not_take_ends_and_its_handler_hears_nothing() {
    let faults = Faults { watch_refused: 1000, ..Faults::none() };
    let mut world = World::new(Trigger::Level, Limits::default(), echo());
    let (inside, _) = world.caller();
    world.facts();
    world.net.set_faults(faults);
    let client = world.net.connect(0);
    world.settle();
    assert!(client.end().is_some());
    assert_eq!(world.facts(), []);
    assert_eq!(world.reactor.stats().closed[CloseReason::System(Errno::NOSPC).kind()], 1);
    assert_eq!((inside.end(), world.net.open_sockets()), (None, 1));
}

#[test]
fn a_million_callers_leave_no_trace() {
    let mut world = World::new(Trigger::Level, Limits::default(), echo());
    // Ten thousand here, and a million lives of one slot in the slab's own test: in all, in
    // seconds.
    for _ in 0..10_000 {
        let client = world.net.connect(0);
        client.send(&framed(b"hello"));
        client.finish();
        world.turn();
        world.turn();
    }
    world.settle();
    assert_eq!((world.net.open_sockets(), world.reactor.session_count()), (0, 0));
    assert_eq!(world.reactor.stats().opened, 10_000);
    assert_eq!(world.reactor.stats().closed_total(), 10_000);
}

/// One session is one too many: at all, and for each address.
fn one_session() -> [Limits; 2] {
    [
        Limits { sessions_max: 1, ..Limits::default() },
        Limits { sessions_per_address_max: Some(1), ..Limits::default() },
    ]
}

fn home() -> IpAddr {
    [10, 9, 9, 9].into()
}

/// Its predecessor has ended in one way or another, of which the server has read nothing yet.
fn ends() -> [fn(&Client); 2] {
    [Client::finish, Client::reset]
}

#[test]
fn who_closes_and_comes_back_at_once_is_let_in() {
    for trigger in BOTH {
        for limits in one_session() {
            for (end, calls_first) in ends().into_iter().flat_map(|end| [(end, true), (end, false)])
            {
                let mut world = World::new(trigger, limits.clone(), echo());
                let old = world.net.connect_from(0, home());
                world.settle();
                let new = if calls_first {
                    let new = world.net.connect_from(0, home());
                    end(&old);
                    new
                } else {
                    end(&old);
                    world.net.connect_from(0, home())
                };
                new.send(&framed(b"hello"));
                world.settle();
                assert_eq!(new.end(), None, "{trigger:?}, {limits:?}, first {calls_first}");
                assert_eq!(new.received(), framed(b"hello"));
                assert_eq!(world.reactor.stats().refused_by_limit, 0);
                assert_eq!((world.net.now().as_nanos() / 1_000_000_000), 0, "it has waited");
            }
        }
    }
}

#[test]
fn a_reactor_does_not_sleep_while_there_is_room_for_who_waits() {
    for (trigger, limits) in BOTH.into_iter().flat_map(|t| one_session().map(|limits| (t, limits)))
    {
        let mut world = World::new(trigger, limits, echo());
        let old = world.net.connect_from(0, home());
        world.settle();
        world.net.connect_from(0, home());
        world.settle();
        let began = world.net.now();
        // Its end is in the ready list of the next wait.
        old.reset();
        world.turn_while(|world| world.reactor.stats().opened < 2);
        let waited = world.net.now().since(began);
        assert!(waited < Duration::from_millis(10), "{trigger:?}: {waited:?}");
    }
}

#[test]
fn who_comes_back_at_once_is_let_in_on_every_topology_and_whatever_the_seed() {
    let round_robin = Balance::RoundRobin;
    for plan in
        [Plan::Handoff(2, round_robin), Plan::ReusePort(2), Plan::Workers(2), Plan::Pool(2, 2)]
    {
        for (seed, trigger) in (0..50).flat_map(|seed| BOTH.map(|trigger| (seed, trigger))) {
            for (limits, end) in one_session().into_iter().zip(ends()) {
                let mut town = Town::new(seed, plan, trigger, Faults::none(), &limits, echo);
                let mut client = town.net.connect_from(0, home());
                town.settle();
                for round in 1..=4 {
                    end(&client);
                    client = town.net.connect_from(round % town.listeners, home());
                    client.send(&framed(b"hello"));
                    town.settle();
                    let answer = (client.received(), client.end());
                    assert_eq!(answer, (framed(b"hello"), None), "{plan:?}, {trigger:?}, {seed}");
                }
                assert_eq!(town.stats().refused_by_limit, 0);
                town.remote.stop();
                client.finish();
                town.run_out();
            }
        }
    }
}

#[test]
fn who_is_truly_over_a_limit_waits_for_its_grace_and_costs_a_few_turns() {
    for (trigger, limits) in BOTH.into_iter().flat_map(|t| one_session().map(|limits| (t, limits)))
    {
        let mut world = World::new(trigger, limits.clone(), echo());
        let inside = world.net.connect_from(0, home());
        world.settle();
        let (began, before) = (world.net.now(), world.net.calls().waits);
        let over = world.net.connect_from(0, home());
        world.settle();
        assert_eq!(over.end(), None, "{trigger:?}: it was hung up on at once");
        world.turn_while(|_| over.end().is_none());
        let waited = world.net.now().since(began);
        assert!(waited <= limits.admission_grace + Duration::from_millis(1), "{waited:?}");
        let turns = world.net.calls().waits - before;
        assert!(turns < 10, "{trigger:?}: {turns} turns");
        assert_eq!((over.end(), inside.end()), (Some(End::Finished), None));
        assert_eq!(world.reactor.stats().refused_by_limit, 1);
        // Nobody waits any more, and nothing is timed.
        inside.send(&framed(b"hello"));
        world.settle();
        assert_eq!(inside.received(), framed(b"hello"));
    }
}

#[test]
fn without_a_grace_a_caller_over_a_limit_is_hung_up_on_at_once() {
    for limits in one_session() {
        let limits = Limits { admission_grace: Duration::ZERO, ..limits };
        let mut world = World::new(Trigger::Level, limits, echo());
        let clients = [0, 1].map(|_| world.net.connect_from(0, home()));
        world.settle();
        assert_eq!(clients.map(|client| client.end()), [None, Some(End::Finished)]);
    }
}

#[test]
fn a_flood_over_a_limit_takes_few_descriptors_and_nobody_elses_place() {
    let limits = Limits {
        sessions_per_address_max: Some(1),
        admission_waiting_max: 20,
        accepts_per_turn: 7,
        ..Limits::default()
    };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (old, flood): (_, IpAddr) = (world.net.connect_from(0, home()), [6, 6, 6, 6].into());
        world.settle();
        let mut clients: Vec<_> = (0..50).map(|_| world.net.connect_from(0, flood)).collect();
        let new = world.net.connect_from(0, home());
        clients.extend((0..50).map(|_| world.net.connect_from(0, flood)));
        let before = world.reactor.stats().turns;
        world.net.settle(1000, || {
            world.reactor.turn().unwrap();
            assert!(world.net.open_sockets() <= 2 + 20, "{trigger:?}");
        });
        assert_eq!(new.end(), None, "{trigger:?}: it was displaced");
        old.finish();
        world.settle();
        assert_eq!((old.end(), new.end()), (Some(End::Finished), None), "{trigger:?}");
        world.turn_while(|world| world.net.open_sockets() > 2);
        world.settle();
        assert_eq!(world.reactor.stats().refused_by_limit, 99, "{trigger:?}");
        let turns = world.reactor.stats().turns - before;
        assert!(turns < 100, "{trigger:?}: {turns} turns for 100 callers");
        new.send(&framed(b"hello"));
        world.settle();
        assert_eq!(new.received(), framed(b"hello"), "{trigger:?}");
    }
}

#[test]
fn a_session_that_ends_for_another_wakes_who_waits_but_makes_it_no_promise() {
    let limits = Limits { sessions_per_address_max: Some(1), ..Limits::default() };
    let mut world = World::new(Trigger::Level, limits, echo());
    let others: Vec<_> = (0..50).map(|_| world.caller().0).collect();
    let clients = [0, 1].map(|_| world.net.connect_from(0, home()));
    world.settle();
    let before = world.reactor.stats().turns;
    for other in &others {
        other.reset();
        world.settle();
    }
    assert!(world.reactor.stats().turns - before < 4 * 50);
    assert_eq!((clients[1].end(), world.net.open_sockets()), (None, 2));
    world.turn_while(|_| clients[1].end().is_none());
    assert_eq!(world.net.open_sockets(), 1);
}

#[test]
fn a_session_that_lingers_counts_until_its_peer_has_finished() {
    let close = || -> React {
        Box::new(|fact, context| {
            if matches!(fact, Fact::Frame(..)) {
                context.close();
            }
        })
    };
    for (trigger, limits) in BOTH.into_iter().flat_map(|t| one_session().map(|limits| (t, limits)))
    {
        let mut world = World::new(trigger, limits, close());
        let old = world.net.connect_from(0, home());
        old.send(&framed(b"bye"));
        world.settle();
        assert_eq!((old.end(), world.net.open_sockets()), (Some(End::Finished), 1), "it lingers");
        let new = world.net.connect_from(0, home());
        world.settle();
        assert_eq!(world.reactor.stats().opened, 1, "{trigger:?}: it has a descriptor");
        old.finish();
        world.settle();
        assert_eq!((new.end(), world.reactor.stats().opened), (None, 2), "{trigger:?}");
    }
}

#[test]
fn a_stop_hangs_up_on_those_who_wait() {
    let plans = [
        Plan::Handoff(2, Balance::RoundRobin),
        Plan::ReusePort(2),
        Plan::Workers(2),
        Plan::Pool(2, 2),
    ];
    for (plan, trigger) in plans.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        for limits in one_session() {
            let mut town = Town::new(1, plan, trigger, Faults::none(), &limits, echo);
            let clients = [0, 0, 0].map(|listener| town.net.connect_from(listener, home()));
            town.settle();
            town.remote.stop();
            clients[0].finish();
            town.run_out();
            assert!(clients.iter().all(|client| client.end().is_some()), "{plan:?}");
            assert_eq!(town.stats().opened, 1, "{plan:?}, {trigger:?}");
        }
    }
}

#[test]
fn those_who_wait_do_not_keep_descriptors_that_others_need() {
    let limits = Limits { sessions_per_address_max: Some(1), ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let clients = [0, 1].map(|_| world.net.connect_from(0, home()));
        world.settle();
        assert_eq!(world.net.open_sockets(), 2);
        world.net.limit_descriptors(2);
        let other = world.net.connect(0);
        world.settle();
        assert_eq!((clients[1].end(), other.is_waiting()), (Some(End::Finished), false));
        assert_eq!((other.end(), world.net.open_sockets()), (None, 2));
    }
}

#[test]
fn a_listener_that_has_rested_serves_its_whole_backlog_and_one_that_rests_can_be_stopped() {
    let limits = Limits { accepts_per_turn: 2, ..Limits::default() };
    let plans = [Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(1), Plan::Workers(1)];
    for (plan, trigger) in plans.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut town = Town::new(9, plan, trigger, Faults::none(), &limits, echo);
        let calls = |town: &Town| -> Vec<Client> {
            let clients: Vec<_> = (0..9).map(|_| town.net.connect(0)).collect();
            clients.iter().for_each(|client| client.send(&framed(b"hello")));
            clients
        };
        town.net.refuse_descriptors(3);
        let clients = calls(&town);
        let net = town.net.clone();
        let served = || answered(&clients);
        let refused = || clients.iter().filter(|client| client.end().is_some()).count();
        town.step_while(|| served() + refused() < 9);
        assert!((1..=3).contains(&refused()), "{plan:?}, {trigger:?}: {}", refused());
        town.settle();
        net.refuse_descriptors(usize::MAX);
        let late = calls(&town);
        town.settle();
        town.remote.stop();
        clients.iter().for_each(|client| client.finish());
        town.run_out();
        assert!(late.iter().all(|client| client.end().is_some()), "{plan:?}, {trigger:?}");
    }
}
