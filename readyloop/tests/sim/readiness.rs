//! What is asked of the poller, and what its answers may be.

use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{CloseReason, Limits, Trigger};

use super::town::{EVERY_PLAN, Plan, Town};
use super::world::{BOTH, Fact, World, echo, framed};

fn quiet(plan: Plan, trigger: Trigger, limits: &Limits) -> Town {
    Town::new(0, plan, trigger, Faults::none(), limits, echo)
}

#[test]
fn a_ping_pong_message_costs_a_wait_a_read_and_a_write() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, _) = world.caller();
        let message = framed(&[7; 64]);
        let before = world.net.calls();
        for round in 1..=1000 {
            client.send(&message);
            // One turn reads and answers; the next one would only find out that all is quiet.
            world.turn();
            assert_eq!(client.queued() + client.received().len(), round * message.len());
        }
        let calls = world.net.calls() - before;
        assert_eq!((calls.waits, calls.recvs, calls.sends), (1000, 1000, 1000), "{trigger:?}");
        assert_eq!(calls.total(), 3000, "{trigger:?}: {calls:?}");
    }
}

#[test]
fn writability_is_wanted_exactly_while_bytes_are_left() {
    let mut world = World::new(Trigger::Level, Limits::default(), echo());
    let (client, _) = world.caller();
    client.set_window(10);
    client.stop_reading();
    let before = world.net.calls();
    client.send(&framed(&[1; 64]));
    world.settle();
    assert_eq!((world.net.calls() - before).rearms, 1, "armed once");
    client.set_window(1_000);
    client.resume_reading();
    world.settle();
    assert_eq!((world.net.calls() - before).rearms, 2, "and dropped once");
    assert_eq!(client.received(), framed(&[1; 64]));
    // `settle` has come to rest: under level, a writability that is wanted for nothing would not.
}

#[test]
fn a_paused_session_with_unread_bytes_does_not_wake_the_reactor() {
    let limits = Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, _) = world.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(&[1; 200]));
        world.settle();
        client.send(&framed(&[2; 200]));
        client.finish();
        world.settle();
        assert_eq!(client.unread(), 204, "{trigger:?}");
        client.resume_reading();
        world.settle();
        let expected = [framed(&[1; 200]), framed(&[2; 200])].concat();
        assert_eq!(client.received(), expected, "{trigger:?}");
    }
}

#[test]
fn a_budget_that_is_spent_with_bytes_left_is_continued_without_an_edge() {
    let limits = Limits { recv_buffer_bytes: 64, recv_budget_bytes: 64, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, _) = world.caller();
        let stream = framed(&[1; 20]).repeat(100);
        client.send(&stream);
        world.settle();
        assert_eq!(client.received(), stream, "{trigger:?}");
    }
}

#[test]
fn spurious_events_close_nothing_and_spin_nothing() {
    let faults = Faults { spurious: 500, stale: 500, duplicate: 500, ..Faults::none() };
    for trigger in BOTH {
        for seed in 0..50 {
            let mut world =
                World::with_faults(seed, trigger, faults.clone(), Limits::default(), echo());
            let (client, _) = world.caller();
            for _ in 0..20 {
                client.send(&framed(b"still here"));
                world.settle();
            }
            assert_eq!(client.received(), framed(b"still here").repeat(20), "seed {seed}");
        }
    }
}

#[test]
fn more_ready_than_the_list_holds_are_all_served() {
    let faults = Faults { events_max: 2, ..Faults::none() };
    for trigger in BOTH {
        let mut world = World::with_faults(3, trigger, faults.clone(), Limits::default(), echo());
        let clients: Vec<_> = (0..20).map(|_| world.caller().0).collect();
        clients.iter().for_each(|client| client.send(&framed(b"me too")));
        // Two at a time: nobody waits for more than ten turns, and one to begin with.
        for _ in 0..11 {
            world.turn();
        }
        world.settle();
        assert!(clients.iter().all(|client| client.received() == framed(b"me too")), "{trigger:?}");
    }
}

#[test]
fn a_blocked_write_goes_on_when_one_event_says_readable_and_writable() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = quiet(plan, trigger, &Limits::default());
        let (client, _) = town.caller();
        client.set_window(50);
        client.stop_reading();
        let message = framed(&[7; 96]);
        client.send(&message);
        town.settle();
        assert_eq!(client.queued(), 50, "{plan:?} {trigger:?}: the rest waits");
        // Room and bytes come at once, as with the acknowledgement that a request carries; and they
        // are the last that comes.
        client.resume_reading();
        client.send(&message[..1]);
        town.settle();
        assert_eq!(client.received(), message, "{plan:?} {trigger:?}");
    }
}

#[test]
fn what_lies_behind_an_urgent_mark_is_read() {
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = quiet(plan, trigger, &Limits::default());
        let (client, _) = town.caller();
        let (first, second) = (framed(b"before the mark"), framed(b"behind it"));
        client.send(&first);
        client.send_urgent();
        client.send(&second);
        town.settle();
        assert_eq!(client.received(), [first, second].concat(), "{plan:?} {trigger:?}");
    }
}

/// The frames, and how the sessions ended.
fn seen(town: &Town) -> (usize, Vec<CloseReason>) {
    let facts = town.facts();
    let frames = facts.iter().filter(|fact| matches!(fact, Fact::Frame(..))).count();
    let reason = |fact| match fact {
        Fact::Close(_, reason) => Some(reason),
        _ => None,
    };
    (frames, facts.into_iter().filter_map(reason).collect())
}

#[test]
fn what_a_unix_peer_wrote_before_it_closed_is_handled_and_its_finish_is_the_reason() {
    // Many reads, so that the first answers fail before the last frames are read.
    let limits = Limits { recv_buffer_bytes: 64, recv_budget_bytes: 128, ..Limits::default() };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = quiet(plan, trigger, &limits);
        for frames in [1, 50] {
            let client = town.net.connect_unix(0);
            client.send(&framed(b"and gone").repeat(frames));
            client.close();
            town.settle();
            let expected = (frames, vec![CloseReason::PeerFinished]);
            assert_eq!(seen(&town), expected, "{plan:?} {trigger:?}");
        }
        assert_eq!(town.net.open_sockets(), 0, "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_hang_up_of_a_session_that_is_not_read_spins_nothing_and_loses_nothing() {
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(1), trigger, &Limits::default());
        town.without_workers(|town| {
            // Its handler has not met it: it is not read.
            let client = town.net.connect_unix(0);
            town.turn(0);
            client.send(&framed(b"and gone"));
            client.close();
            let before = town.stats().turns;
            // It would not come to rest if the hang-up were told again and again.
            town.settle();
            assert!(town.stats().turns - before < 10, "{trigger:?}");
            assert_eq!(client.unread(), framed(b"and gone").len());
        });
        town.settle();
        assert_eq!(seen(&town), (1, vec![CloseReason::PeerFinished]), "{trigger:?}");
    }
}

#[test]
fn a_unix_peer_that_has_hung_up_while_its_answer_waits_is_read_to_its_end() {
    let limits = Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = quiet(plan, trigger, &limits);
        let client = town.net.connect_unix(0);
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(&[1; 200]));
        town.settle();
        client.send(&framed(&[2; 200]));
        client.close();
        town.settle();
        let expected = (2, vec![CloseReason::PeerFinished]);
        assert_eq!(seen(&town), expected, "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_peer_that_hangs_up_behind_its_end_ends_a_session_that_its_handler_keeps() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), Box::new(|_, _| {}));
        let client = world.net.connect_unix(0);
        client.send(&framed(b"read"));
        client.finish();
        world.settle();
        assert_eq!(world.net.open_sockets(), 1, "it may still be answered");
        client.close();
        world.net.advance(Duration::from_secs(1));
        world.settle();
        assert_eq!(world.closed(), [CloseReason::PeerFinished], "{trigger:?}");
    }
}
