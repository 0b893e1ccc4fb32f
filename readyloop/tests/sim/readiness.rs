//! What is asked of the poller, and what its answers may be.

use readyloop::sim::Faults;
use readyloop::{Limits, Trigger};

use super::world::{BOTH, World, echo, framed};

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
