//! Groups: everybody who is in gets everything, in order; the slow fare as the group says, and the
//! others notice nothing.

use readyloop::sim::Client;
use readyloop::{CloseReason, Context, Group, Limits, Refused, SessionId, SlowMember, Trigger};

use super::world::{BOTH, Fact, React, World, framed};

/// Everybody is in the group; each frame goes to all.
fn chat(group: &Group) -> React {
    let group = group.clone();
    Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
        Fact::Open(id) if *id != SessionId::NONE => {
            context.join(&group);
            context.join(&group);
        }
        Fact::Frame(_, frame) if frame == b"leave" => context.leave(&group),
        Fact::Frame(_, frame) if frame == b"close" => context.close(),
        Fact::Frame(_, frame) => context.broadcast(&group, frame.clone()),
        Fact::PeerFinished(_) => context.close(),
        _ => {}
    })
}

fn limits() -> Limits {
    Limits { send_low_bytes: 50, send_high_bytes: 100, send_max_bytes: 10_000, ..Limits::default() }
}

/// A world in which `count` callers are in one group.
fn world(trigger: Trigger, slow: SlowMember, count: usize) -> (World, Group, Vec<Client>) {
    let group = Group::new(slow);
    let mut world = World::new(trigger, limits(), chat(&group));
    let clients = (0..count).map(|_| world.caller().0).collect();
    assert_eq!(group.len(), count);
    (world, group, clients)
}

/// Stops reading, with so much on the way that its queue stands over the high mark.
fn slow_down(client: &Client) {
    client.set_window(10);
    client.stop_reading();
}

fn say(world: &mut World, client: &Client, text: &[u8]) {
    client.send(&framed(text));
    world.settle();
}

#[test]
fn every_member_gets_every_message_in_order_and_nobody_else_does() {
    for trigger in BOTH {
        let (mut world, group, clients) = world(trigger, SlowMember::default(), 5);
        say(&mut world, &clients[0], b"leave");
        for text in [b"one ", b"two ", b"six "] {
            clients[0].send(&framed(text));
            clients[3].send(&framed(text));
        }
        world.settle();
        assert_eq!((clients[0].received(), group.len()), (vec![], 4), "{trigger:?}");
        let received = clients[1].received();
        assert_eq!(received.len(), 6 * 4);
        assert!(clients[1..].iter().all(|client| client.received() == received));
        assert_eq!(world.reactor.stats().deliveries, 6 * 4);
    }
}

#[test]
fn a_message_to_idle_members_costs_one_write_each_and_no_queue() {
    for trigger in BOTH {
        let (mut world, _, clients) = world(trigger, SlowMember::default(), 50);
        let before = world.net.calls();
        say(&mut world, &clients[7], b"to all");
        let calls = world.net.calls() - before;
        assert_eq!((calls.sends, calls.rearms), (50, 0), "{trigger:?}");
    }
}

#[test]
fn several_messages_of_one_turn_cost_each_member_one_write_and_no_queue() {
    for trigger in BOTH {
        let (mut world, _, clients) = world(trigger, SlowMember::default(), 50);
        let burst: Vec<u8> =
            [&b"one "[..], b"two ", b"three"].into_iter().flat_map(framed).collect();
        for (window, writes) in [(1 << 16, 50), (6, 50 + 2)] {
            clients[3].set_window(window);
            let before = world.net.calls();
            clients[7].send(&burst);
            world.settle();
            let calls = world.net.calls() - before;
            assert!(clients.iter().all(|client| client.take_received() == b"one two three"));
            assert_eq!(calls.sends, writes, "{trigger:?}, window {window}");
        }
    }
}

#[test]
fn a_member_whose_peer_has_finished_hears_everything() {
    for trigger in BOTH {
        let all = Group::new(SlowMember::default());
        let group = all.clone();
        let react: React = Box::new(move |fact, context| match fact {
            Fact::Open(id) if *id != SessionId::NONE => context.join(&group),
            Fact::Frame(_, frame) => context.broadcast(&group, frame.clone()),
            _ => {}
        });
        let mut world = World::new(trigger, limits(), react);
        let clients = [0, 1].map(|_| world.caller().0);
        clients[0].finish();
        world.settle();
        say(&mut world, &clients[1], b"one ");
        say(&mut world, &clients[1], b"two");
        assert_eq!((clients[0].received(), all.len()), (b"one two".to_vec(), 2), "{trigger:?}");
    }
}

#[test]
fn a_session_that_ends_is_in_no_group() {
    for trigger in BOTH {
        let (mut world, group, clients) = world(trigger, SlowMember::default(), 4);
        clients[0].finish();
        clients[1].reset();
        say(&mut world, &clients[2], b"close");
        clients[2].finish();
        world.settle();
        assert_eq!(group.len(), 1, "{trigger:?}");
        say(&mut world, &clients[3], b"alone");
        assert_eq!(clients[3].received(), b"alone");
        assert_eq!(clients[0].received(), b"");
    }
}

#[test]
fn messages_that_meet_other_bytes_keep_their_place_among_them() {
    let group = Group::new(SlowMember::default());
    let all = group.clone();
    let react: React = Box::new(move |fact, context| match fact {
        Fact::Open(id) if *id != SessionId::NONE => context.join(&all),
        Fact::Frame(..) => {
            assert!(context.send(b"1"));
            context.broadcast(&all, &b"2"[..]);
            assert!(context.send(b"3"));
            context.broadcast(&all, &b"4"[..]);
            assert!(context.send_shared(readyloop::Bytes::from_static(b"5")));
        }
        _ => {}
    });
    let mut world = World::new(Trigger::Level, Limits::default(), react);
    let clients = [0, 1].map(|_| world.caller().0);
    for window in [1 << 16, 2] {
        clients.iter().for_each(|client| client.set_window(window));
        say(&mut world, &clients[0], b"go");
        assert_eq!(clients[0].take_received(), b"12345", "window {window}");
        assert_eq!(clients[1].take_received(), b"24", "window {window}");
    }
}

#[test]
fn a_message_does_not_overtake_what_was_sent_to_one_member_alone() {
    let group = Group::new(SlowMember::default());
    let (all, mut first) = (group.clone(), None);
    let react: React = Box::new(move |fact, context| match fact {
        Fact::Open(id) if *id != SessionId::NONE => {
            first.get_or_insert(*id);
            context.join(&all);
        }
        Fact::Frame(..) => {
            context.broadcast(&all, &b"1"[..]);
            context.send_to(first.unwrap(), b"2");
            context.broadcast(&all, &b"3"[..]);
            context.broadcast(&all, &b"4"[..]);
        }
        _ => {}
    });
    let mut world = World::new(Trigger::Level, Limits::default(), react);
    let clients = [0, 1].map(|_| world.caller().0);
    for window in [1 << 16, 1] {
        clients.iter().for_each(|client| client.set_window(window));
        say(&mut world, &clients[1], b"go");
        assert_eq!(clients[0].take_received(), b"1234", "window {window}");
        assert_eq!(clients[1].take_received(), b"134", "window {window}");
    }
}

#[test]
fn a_slow_member_misses_messages_and_nobody_else_does() {
    for trigger in BOTH {
        let (mut world, _, clients) = world(trigger, SlowMember::DropMessage, 3);
        slow_down(&clients[0]);
        for _ in 0..20 {
            say(&mut world, &clients[1], &[b'x'; 30]);
        }
        assert_eq!(clients[2].received().len(), 20 * 30, "{trigger:?}");
        clients[0].resume_reading();
        world.settle();
        say(&mut world, &clients[1], &[b'y'; 30]);
        let received = clients[0].received();
        assert!(received.len() < 20 * 30 && received.ends_with(&[b'y'; 30]), "{trigger:?}");
        assert_eq!(received.len() % 30, 0, "no message is cut");
        let stats = world.reactor.stats();
        assert_eq!(stats.deliveries + stats.deliveries_dropped, 21 * 3);
        assert!(stats.deliveries_dropped > 0);
    }
}

#[test]
fn a_slow_member_is_closed_and_the_others_stay() {
    for trigger in BOTH {
        let (mut world, group, clients) = world(trigger, SlowMember::CloseMember, 3);
        slow_down(&clients[0]);
        for _ in 0..20 {
            say(&mut world, &clients[1], &[b'x'; 30]);
        }
        assert_eq!(world.closed(), [CloseReason::TooSlow], "{trigger:?}");
        assert_eq!((clients[2].received().len(), group.len()), (20 * 30, 2));
    }
}

#[test]
fn who_reads_at_full_speed_is_not_slow_however_much_is_said_in_one_turn() {
    for slow in [SlowMember::DropMessage, SlowMember::CloseMember, SlowMember::PauseSender] {
        for trigger in BOTH {
            let (mut world, group, clients) = world(trigger, slow, 4);
            // Who speaks is not held by its own echo.
            say(&mut world, &clients[0], b"leave");
            let text = [b'x'; 90];
            clients[0].send(&framed(&text).repeat(20));
            world.settle();
            let received = clients[1..].iter().map(|client| client.received().len());
            let missed = world.reactor.stats().deliveries_dropped;
            assert_eq!(received.collect::<Vec<_>>(), [20 * 90; 3], "{slow:?}, {trigger:?}");
            assert_eq!((missed, group.len()), (0, 3), "{slow:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_sender_waits_for_the_slowest_and_everybody_gets_everything() {
    for trigger in BOTH {
        let (mut world, group, clients) = world(trigger, SlowMember::PauseSender, 3);
        slow_down(&clients[0]);
        clients[1].send(&framed(&[b'x'; 30]).repeat(100));
        world.settle();
        let so_far = clients[2].received().len();
        assert!(so_far < 100 * 30, "{trigger:?}: the sender was not held");
        assert_eq!(world.remote.broadcast(&group, "from outside"), Err(Refused::Full));
        // Others are served meanwhile.
        say(&mut world, &clients[2], b"leave");
        assert_eq!(group.len(), 2);
        clients[0].set_window(1 << 16);
        clients[0].resume_reading();
        world.settle();
        assert_eq!(clients[0].received(), [b'x'; 30].repeat(100), "{trigger:?}");
        assert_eq!(clients[1].received(), [b'x'; 30].repeat(100));
        assert_eq!(clients[2].received().len(), so_far, "it had left");
        assert_eq!(world.remote.broadcast(&group, "from outside"), Ok(()));
    }
}

#[test]
fn a_sender_that_waits_for_one_that_ends_goes_on() {
    for trigger in BOTH {
        let (mut world, _, clients) = world(trigger, SlowMember::PauseSender, 3);
        slow_down(&clients[0]);
        clients[1].send(&framed(&[b'x'; 30]).repeat(100));
        world.settle();
        assert!(clients[2].received().len() < 100 * 30);
        clients[0].reset();
        world.settle();
        assert_eq!(clients[2].received().len(), 100 * 30, "{trigger:?}");
    }
}

#[test]
fn a_sender_that_is_held_while_its_answer_leaves_is_not_polled_for_more() {
    let group = Group::new(SlowMember::PauseSender);
    let all = group.clone();
    let mut opened = 0;
    let react: React = Box::new(move |fact, context| match fact {
        Fact::Open(id) if *id != SessionId::NONE => {
            opened += 1;
            if opened == 1 {
                context.join(&all);
            }
        }
        Fact::Frame(_, frame) => {
            assert!(context.send(b"ok"));
            context.broadcast(&all, frame.clone());
        }
        _ => {}
    });
    let mut world = World::new(Trigger::Level, limits(), react);
    let [slow, sender] = [0, 1].map(|_| world.caller().0);
    slow_down(&slow);
    say(&mut world, &sender, &[b'x'; 120]);
    say(&mut world, &sender, b"is not read, and wakes nobody");
    assert_eq!(sender.take_received(), b"ok");
    slow.resume_reading();
    world.settle();
    assert_eq!(sender.received(), b"ok");
}

#[test]
fn another_thread_sends_to_all_members() {
    for trigger in BOTH {
        let (mut world, group, clients) = world(trigger, SlowMember::default(), 3);
        world.remote.broadcast(&group, "to all").unwrap();
        assert_eq!(world.remote.broadcast(&Group::new(SlowMember::default()), "to nobody"), Ok(()));
        world.settle();
        assert!(clients.iter().all(|client| client.received() == b"to all"), "{trigger:?}");
    }
}

#[test]
fn a_late_leave_takes_nobody_out_after_the_slot_was_reused() {
    for trigger in BOTH {
        let group = Group::new(SlowMember::default());
        let mut world = World::new(trigger, limits(), chat(&group));
        let (old, stale) = world.caller();
        old.reset();
        world.settle();
        let (new, id) = world.caller();
        assert_eq!(stale.index(), id.index(), "the slot was reused");
        world.remote.leave(stale, &group).unwrap();
        world.settle();
        assert_eq!(group.len(), 1, "{trigger:?}");
        world.remote.broadcast(&group, "still in").unwrap();
        world.settle();
        assert_eq!(new.received(), b"still in", "{trigger:?}");
    }
}
