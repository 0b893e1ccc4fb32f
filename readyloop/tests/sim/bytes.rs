//! How bytes are cut on their way in and out never changes what a handler sees or a peer reads.

use readyloop::sim::{End, Faults};
use readyloop::{CloseReason, Limits, Trigger};

use super::town::{EVERY_PLAN, Town};
use super::world::{BOTH, Fact, React, World, echo, echo_and, framed};

fn small() -> Limits {
    Limits { recv_buffer_bytes: 64, recv_budget_bytes: 64, ..Limits::default() }
}

fn frames(world: &World) -> Vec<Vec<u8>> {
    let frame = |fact| match fact {
        Fact::Frame(_, frame) => Some(frame),
        _ => None,
    };
    world.facts().into_iter().filter_map(frame).collect()
}

#[test]
fn every_split_of_a_frame_sequence_over_two_reads_gives_the_same_frames() {
    let expected: Vec<Vec<u8>> = vec![b"one".into(), vec![], vec![7; 100], b"x".into()];
    let stream: Vec<u8> = expected.iter().flat_map(|frame| framed(frame)).collect();
    for trigger in BOTH {
        for split in 0..=stream.len() {
            let mut world = World::new(trigger, small(), echo());
            let (client, _) = world.caller();
            world.facts();
            client.send(&stream[..split]);
            world.settle();
            client.send(&stream[split..]);
            world.settle();
            assert_eq!(frames(&world), expected, "{trigger:?}, split at {split}");
            assert_eq!(client.received(), stream, "{trigger:?}, split at {split}");
        }
    }
}

#[test]
fn a_frame_that_comes_one_byte_at_a_time_is_one_frame() {
    for trigger in BOTH {
        let mut world = World::new(trigger, small(), echo());
        let (client, _) = world.caller();
        let stream = framed(&[5; 300]);
        for byte in &stream {
            client.send(&[*byte]);
            world.settle();
        }
        assert_eq!(client.received(), stream);
    }
}

#[test]
fn ten_megabytes_pipelined_in_one_write_are_all_answered_while_others_are_served() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let ((firehose, _), (other, _)) = (world.caller(), world.caller());
        let stream = framed(&[9; 1000]).repeat(10_000);
        firehose.send(&stream);
        other.send(&framed(b"meanwhile"));
        for _ in 0..3 {
            world.turn();
        }
        assert_eq!(other.received(), framed(b"meanwhile"), "{trigger:?}: starved");
        world.settle();
        assert_eq!(firehose.received(), stream, "{trigger:?}");
    }
}

#[test]
fn one_frame_of_ten_megabytes_is_handled_whole() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, _) = world.caller();
        let stream = framed(&vec![3; 10_000_000]);
        client.send(&stream);
        client.send(&framed(b"behind it"));
        world.settle();
        assert_eq!(client.received(), [stream, framed(b"behind it")].concat());
    }
}

#[test]
fn a_frame_of_exactly_the_maximum_passes_and_one_byte_more_is_refused() {
    let limits = Limits { frame_bytes_max: 1000, ..small() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let ((fits, _), (over, _)) = (world.caller(), world.caller());
        // The reactor counts a frame with its prefix.
        fits.send(&framed(&[1; 996]));
        over.send(&framed(&[1; 997]));
        world.settle();
        assert_eq!(fits.received(), framed(&[1; 996]));
        assert_eq!((over.received(), over.end()), (vec![], Some(End::Finished)));
        over.finish();
        world.settle();
        assert_eq!(world.closed(), [CloseReason::FrameTooLong]);
    }
}

#[test]
fn a_refused_peer_is_told_why_and_gets_all_that_was_owed_before() {
    let react = || {
        echo_and(|fact, context| {
            if let Fact::Closing(_, reason) = fact {
                context.send(reason.to_string().as_bytes());
            }
        })
    };
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), react());
        let (client, _) = world.caller();
        client.send(&[framed(b"good"), vec![0xFF; 1000]].concat());
        world.settle();
        let expected = [framed(b"good"), b"frame_too_long".to_vec()].concat();
        assert_eq!((client.received(), client.end()), (expected, Some(End::Finished)));
    }
}

#[test]
fn a_peer_that_never_reads_is_not_read_and_costs_a_bounded_queue() {
    let limits = Limits { send_low_bytes: 1_000, send_high_bytes: 10_000, ..small() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, _) = world.caller();
        client.set_window(100);
        client.stop_reading();
        let stream = framed(&[1; 50]).repeat(10_000);
        client.send(&stream);
        world.settle();
        assert!(client.unread() > 500_000, "{trigger:?}: it was read on and on");
        assert_eq!(world.reactor.stats().pauses, 1);
        client.resume_reading();
        world.settle();
        assert_eq!(client.received(), stream, "{trigger:?}: a resume was lost");
        let facts = world.facts();
        let drained = facts.iter().filter(|fact| matches!(fact, Fact::Drained(_))).count() as u64;
        let stats = world.reactor.stats();
        assert_eq!((drained, stats.pauses), (stats.resumes, stats.resumes));
    }
}

#[test]
fn a_queue_over_its_maximum_ends_the_session_in_a_reset() {
    let limits =
        Limits { send_high_bytes: 1_000, send_low_bytes: 10, send_max_bytes: 5_000, ..small() };
    for trigger in BOTH {
        let flood = echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                assert!(context.send(&[1; 4_900]));
                assert!(!context.send(&[1; 4_900]), "over the maximum");
                assert!(!context.send(b"x"), "after the end");
            }
        });
        let mut world = World::new(trigger, limits.clone(), flood);
        let (client, _) = world.caller();
        client.stop_reading();
        client.send(&framed(b"go"));
        world.settle();
        assert_eq!(world.closed(), [CloseReason::SendFull]);
        assert_eq!(client.end(), Some(End::Reset), "a cut stream must not look whole");
    }
}

#[test]
fn replies_to_several_sessions_in_one_turn_do_not_mix() {
    let mut ids = Vec::new();
    let gossip = Box::new(move |fact: &Fact, context: &mut readyloop::Context<'_>| match fact {
        Fact::Open(id) if *id != readyloop::SessionId::NONE => ids.push(*id),
        Fact::Frame(_, frame) => {
            for round in [b'a', b'b'] {
                for id in &ids {
                    context.send_to(*id, &[round]);
                }
                context.send(frame);
            }
        }
        _ => {}
    });
    let mut world = World::new(Trigger::Level, Limits::default(), gossip);
    let clients = [0, 1, 2].map(|_| world.caller().0);
    clients[1].send(&framed(b"-"));
    world.settle();
    let received = clients.each_ref().map(|client| client.received());
    assert_eq!(received, [b"ab".to_vec(), b"a-b-".to_vec(), b"ab".to_vec()]);
}

#[test]
fn sends_of_every_kind_leave_in_the_order_in_which_they_were_made() {
    let mixed = || {
        echo_and(|fact, context| {
            if let Fact::Frame(id, _) = fact {
                assert!(context.send(b"a"));
                assert!(context.send_shared(readyloop::Bytes::from_static(b"b")));
                assert!(context.send(b"c"));
                context.send_to(*id, b"d");
                assert!(context.send(&[b'e'; 100_000]) && context.send(b"f"));
            }
        })
    };
    for window in [1 << 20, 100] {
        let limits = Limits { send_high_bytes: 1 << 20, ..Limits::default() };
        let mut world = World::new(Trigger::Level, limits, mixed());
        let (client, _) = world.caller();
        client.set_window(window);
        client.send(&framed(b"go").repeat(2));
        world.settle();
        let once = [b"abcd".to_vec(), vec![b'e'; 100_000], b"f".to_vec(), framed(b"go")].concat();
        assert!(client.received() == once.repeat(2), "window {window}");
    }
}

#[test]
fn many_small_sends_leave_in_one_write() {
    let chatty = echo_and(|fact, context| {
        if let Fact::Frame(..) = fact {
            (0..100).for_each(|_| assert!(context.send(b"word ")));
        }
    });
    let mut world =
        World::with_faults(1, Trigger::Level, Faults::none(), Limits::default(), chatty);
    let (client, _) = world.caller();
    let before = world.net.calls();
    client.send(&framed(b"go"));
    world.settle();
    assert_eq!(client.received().len(), 506);
    assert_eq!((world.net.calls() - before).sends, 1);
}

#[test]
fn how_a_frame_is_cut_does_not_change_whether_it_is_too_long() {
    let limits = Limits { frame_bytes_max: 100, ..Limits::default() };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        for (bytes, passes) in [(96, true), (97, false)] {
            for split in [0, 1, 50, 99] {
                let faults = Faults::none();
                // The probe's framer knows no maximum of its own here.
                let mut town = Town::of_patient(0, plan, trigger, faults, &limits, echo);
                let (client, _) = town.caller();
                let stream = framed(&vec![1; bytes]);
                client.send(&stream[..split]);
                town.settle();
                client.send(&stream[split..]);
                town.settle();
                let answer = if passes { stream } else { vec![] };
                assert!(
                    client.received() == answer,
                    "{plan:?} {trigger:?}: {bytes} bytes, split at {split}"
                );
            }
        }
    }
}

#[test]
fn a_message_that_never_fits_the_queue_ends_the_session_in_a_reset_in_every_topology() {
    let limits =
        Limits { send_max_bytes: 1_000, send_high_bytes: 500, send_low_bytes: 10, ..small() };
    let big = || {
        echo_and(|fact, context| {
            if let Fact::Frame(..) = fact {
                assert!(!context.send(&[1; 1_001]), "it is longer than the queue may be");
                assert!(!context.send(b"x"), "after the end");
            }
        })
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, big);
        let (client, _) = town.caller();
        client.send(&framed(b"go"));
        town.settle();
        assert_eq!((client.received(), client.end()), (vec![], Some(End::Reset)), "{plan:?}");
    }
}

#[test]
fn answers_wait_for_the_peer_to_take_those_before_in_every_topology() {
    // Each answer is longer than the high mark, and all of them more than the queue may hold.
    let limits =
        Limits { send_max_bytes: 5_000, send_high_bytes: 500, send_low_bytes: 100, ..small() };
    let generous = || -> React {
        Box::new(|fact, context| {
            if let Fact::Frame(..) = fact {
                assert!(context.send(&[7; 2_000]));
            }
        })
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, generous);
        let (client, _) = town.caller();
        client.set_window(100);
        client.stop_reading();
        client.send(&framed(b"go").repeat(32));
        town.settle();
        let frames = |town: &Town| town.stats().frames;
        assert!(town.facts().len() <= 4, "{plan:?} {trigger:?}: handled before it could be sent");
        client.resume_reading();
        town.settle();
        assert_eq!(client.received().len(), 32 * 2_000, "{plan:?} {trigger:?}");
        assert_eq!((client.end(), frames(&town)), (None, 32), "{plan:?} {trigger:?}");
    }
}

#[test]
fn bytes_that_are_refused_behind_frames_are_refused_behind_their_answers_in_every_topology() {
    let limits =
        Limits { send_max_bytes: 5_000, send_high_bytes: 500, send_low_bytes: 100, ..small() };
    let polite = || -> React {
        Box::new(|fact, context| match fact {
            Fact::Frame(..) => assert!(context.send(&[7; 2_000])),
            Fact::Closing(..) => assert!(context.send(b"refused")),
            _ => {}
        })
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, polite);
        let (client, _) = town.caller();
        client.set_window(100);
        client.stop_reading();
        client.send(&[framed(b"go").repeat(9), vec![0xFF; 9]].concat());
        town.settle();
        client.resume_reading();
        town.settle();
        let expected = [vec![7; 9 * 2_000], b"refused".to_vec()].concat();
        assert!(client.received() == expected, "{plan:?} {trigger:?}");
        assert_eq!(client.end(), Some(End::Finished), "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_drained_queue_is_told_before_the_frames_that_waited_for_it_in_every_topology() {
    let greedy = || -> React {
        Box::new(|fact, context| {
            if let Fact::Frame(..) = fact {
                assert!(context.send(b"an answer") && context.pause_until_drained());
            }
        })
    };
    for (plan, trigger) in EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|way| (plan, way))) {
        let limits = Limits::default();
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, greedy);
        let (client, id) = town.caller();
        town.facts();
        client.send(&[framed(b"one"), framed(b"two")].concat());
        town.settle();
        let frame = |text: &[u8]| Fact::Frame(id, text.to_vec());
        let expected = [frame(b"one"), Fact::Drained(id), frame(b"two"), Fact::Drained(id)];
        assert_eq!(town.facts(), expected, "{plan:?} {trigger:?}");
    }
}
