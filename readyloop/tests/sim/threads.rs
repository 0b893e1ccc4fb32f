//! Other threads: mails reach whom they are for, or nobody; a reactor that is awake is not woken.

use readyloop::sim::Faults;
use readyloop::{Balance, CloseReason, Context, Group, Limits, Refused, SessionId, SlowMember};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, World, echo, framed};

#[test]
fn mails_reach_their_session_and_a_reactor_between_two_turns_is_not_woken() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, id) = world.caller();
        for _ in 0..100 {
            world.remote.send(id, &b"tick "[..]).unwrap();
        }
        let asleep = world.net.calls().asleep;
        world.turn();
        assert_eq!(world.net.calls().asleep, asleep, "{trigger:?}: it slept over its mail");
        world.settle();
        assert_eq!(world.net.calls().wakes, 0, "{trigger:?}");
        assert_eq!(client.received(), b"tick ".repeat(100), "{trigger:?}");
    }
}

#[test]
fn a_reactor_that_serves_is_not_woken_by_mails_from_within() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, id) = world.caller();
        let (remote, mut left) = (world.remote.clone(), 5);
        world
            .remote
            .run_on(0, move |_| {
                while left > 0 {
                    left -= 1;
                    remote.send(id, &b"from within "[..]).unwrap();
                }
            })
            .unwrap();
        world.settle();
        assert_eq!(world.net.calls().wakes, 0, "{trigger:?}");
        assert_eq!(client.received(), b"from within ".repeat(5));
    }
}

#[test]
fn a_late_mail_reaches_nobody_after_its_slot_was_reused() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (old, old_id) = world.caller();
        old.reset();
        world.settle();
        let (new, new_id) = world.caller();
        assert_eq!(old_id.index(), new_id.index(), "the slot was reused");
        world.remote.send(old_id, &b"for the old one"[..]).unwrap();
        world.remote.abort(old_id).unwrap();
        world.remote.close(old_id).unwrap();
        world.settle();
        assert_eq!((new.received(), new.end()), (vec![], None), "{trigger:?}");
        assert_eq!(world.reactor.stats().mails_stale, 3);
    }
}

#[test]
fn mails_are_handled_in_portions_and_in_order() {
    let limits = Limits { mails_per_turn: 3, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, id) = world.caller();
        let mut expected = Vec::new();
        for n in 0..100u8 {
            expected.push(n);
            world.remote.send(id, vec![n]).unwrap();
        }
        world.turn();
        assert_eq!(world.reactor.stats().mails, 3, "{trigger:?}");
        world.settle();
        assert_eq!(client.received(), expected, "{trigger:?}");
    }
}

#[test]
fn a_mail_that_comes_while_earlier_ones_wait_is_not_forgotten() {
    let limits = Limits { mails_per_turn: 2, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, id) = world.caller();
        (0..3u8).for_each(|n| world.remote.send(id, vec![n]).unwrap());
        world.turn();
        world.remote.send(id, vec![3]).unwrap();
        world.settle();
        assert_eq!(client.received(), [0, 1, 2, 3], "{trigger:?}");
    }
}

#[test]
fn a_mail_to_a_reactor_that_is_gone_is_refused() {
    let world = World::new(BOTH[0], Limits::default(), echo());
    let remote = world.remote.clone();
    remote.run_on(0, |_| {}).unwrap();
    drop(world);
    assert_eq!(remote.run_on(0, |_| {}), Err(Refused::Stopped));
}

#[test]
fn a_full_mailbox_refuses_and_a_stop_gets_through() {
    let limits = Limits { mailbox_mails_max: 2, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, id) = world.caller();
        let sent: Vec<_> = (0..3).map(|_| world.remote.send(id, &b"x"[..])).collect();
        assert_eq!(sent, [Ok(()), Ok(()), Err(Refused::Full)], "{trigger:?}");
        world.remote.stop();
        world.settle();
        assert_eq!(client.received(), b"xx");
        client.finish();
        world.run_out();
        assert_eq!(world.remote.send(id, &b"x"[..]), Err(Refused::Stopped));
    }
}

#[test]
fn mails_that_wait_are_bounded_in_bytes() {
    const PIECE: usize = 16 << 10;
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let (client, id) = world.caller();
        let sent = (0..3_000).filter(|_| world.remote.send(id, vec![7; PIECE]).is_ok()).count();
        assert!((1_000..=1_025).contains(&sent), "{trigger:?}: {sent} mails of 16 KiB wait");
        assert_eq!(world.remote.close(id), Err(Refused::Full), "no matter how short it is");
        world.settle();
        assert_eq!(client.take_received().len(), sent * PIECE, "{trigger:?}");
        world.remote.send(id, vec![7; 17 << 20]).expect("it could never be sent otherwise");
        assert_eq!(world.remote.send(id, "more"), Err(Refused::Full));
        world.settle();
        assert_eq!(client.received().len(), 17 << 20);
        let refused = 3_000 - sent as u64 + 2;
        assert_eq!(world.reactor.stats().mails_refused, refused, "{trigger:?}");
    }
}

#[test]
fn a_mail_waits_until_it_was_handled() {
    let limits = Limits { mailbox_mails_max: 3, mails_per_turn: 1, ..Limits::default() };
    for trigger in BOTH {
        let mut world = World::new(trigger, limits.clone(), echo());
        let (client, id) = world.caller();
        let remote = world.remote.clone();
        let send = |count| (0..count).filter(|_| remote.send(id, "x").is_ok()).count();
        assert_eq!(send(5), 3);
        for _ in 0..10 {
            world.turn();
            assert_eq!(send(5), 1, "{trigger:?}: two were taken and not handled");
        }
        world.settle();
        assert_eq!(client.received().len(), 3 + 10);
    }
}

#[test]
fn a_close_and_an_abort_from_another_thread_are_those_of_a_handler() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let ((one, one_id), (_two, two_id)) = (world.caller(), world.caller());
        world.remote.send(one_id, &b"bye"[..]).unwrap();
        world.remote.close(one_id).unwrap();
        world.remote.abort(two_id).unwrap();
        world.settle();
        assert_eq!(one.received(), b"bye");
        one.send(&framed(b"dropped"));
        one.finish();
        world.settle();
        assert_eq!(world.closed(), [CloseReason::Aborted, CloseReason::Closed], "{trigger:?}");
    }
}

#[test]
fn a_sender_that_waits_for_a_slow_member_is_not_forgotten_by_a_full_mailbox() {
    let limits = Limits {
        mailbox_bytes_max: 1,
        send_low_bytes: 10,
        send_high_bytes: 100,
        ..Limits::default()
    };
    for trigger in BOTH {
        let group = Group::new(SlowMember::PauseSender);
        let react = || -> React {
            let group = group.clone();
            Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => context.join(&group),
                Fact::Frame(_, frame) => {
                    context.broadcast(&group, frame.clone());
                }
                _ => {}
            })
        };
        let plan = Plan::Handoff(2, Balance::RoundRobin);
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, react);
        let [(sender, sender_id), (slow, _)] = [0; 2].map(|_| town.caller());
        slow.set_window(10);
        slow.stop_reading();
        // One message that makes it slow, one for which the sender is held, one that is not read.
        for _ in 0..3 {
            sender.send(&framed(&[7; 200]));
            town.settle();
        }
        let held = town.stats().frames;
        assert!(held < 3, "{trigger:?}: the sender is not held");
        // One mail is all that the sender's reactor takes, and it stands still.
        town.remote.send(sender_id, "full").unwrap();
        assert_eq!(town.remote.send(sender_id, "full"), Err(Refused::Full));
        slow.resume_reading();
        (0..100).for_each(|_| town.turn(1));
        assert_eq!(town.stats().frames, held, "{trigger:?}");
        town.settle();
        assert_eq!((town.stats().frames, slow.received().len()), (3, 600), "{trigger:?}");
    }
}
