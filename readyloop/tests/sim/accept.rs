//! Callers: taken within a budget, refused politely, and never at the price of those who are
//! inside.

use std::net::IpAddr;

use readyloop::sim::{Client, End, Faults};
use readyloop::{CloseReason, Errno, Limits, Trigger};

use super::world::{BOTH, World, echo, framed};

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
fn without_descriptors_a_caller_is_refused_and_the_listener_rests_and_recovers() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (inside, _) = world.caller();
        world.net.refuse_descriptors(1);
        let refused = world.net.connect(0);
        world.settle();
        assert_eq!(refused.end(), Some(End::Finished), "{trigger:?}");
        let stats = world.reactor.stats();
        assert_eq!((stats.refused_by_descriptors, stats.listener_rests), (1, 1));
        inside.send(&framed(b"hello"));
        world.settle();
        assert_eq!(inside.received(), framed(b"hello"), "those inside are served meanwhile");
        // While the listener rests a caller waits and wakes nobody: `settle` would not come to
        // rest.
        let patient = world.net.connect(0);
        world.settle();
        assert!(patient.is_waiting(), "{trigger:?}");
        let began = world.net.now();
        world.turn_while(|_| patient.is_waiting());
        assert!(world.net.now().since(began) <= Limits::default().listener_rest, "{trigger:?}");
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
