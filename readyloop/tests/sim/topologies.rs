//! Every topology in the simulator: what each promises, and that whatever is asked for the dead
//! reaches nobody.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{End, Faults};
use readyloop::{Balance, CloseReason, Context, Group, Limits, SessionId, SlowMember, Trigger};

use super::seeds::POISON;
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, framed};

type Names = Rc<RefCell<Vec<SessionId>>>;

const PLANS: [Plan; 4] =
    [Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(2), Plan::Workers(2), Plan::Pool(2, 2)];

fn quiet(plan: Plan, trigger: Trigger, limits: &Limits, react: impl Fn() -> React) -> Town {
    Town::new(0, plan, trigger, Faults::none(), limits, react)
}

/// Answers each frame with itself.
fn echo() -> React {
    super::world::echo()
}

#[test]
fn a_late_order_of_anybody_reaches_nobody_after_its_slot_was_reused() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let gone = Names::default();
        let orders = || {
            let gone = gone.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Frame(..) = fact {
                    for id in gone.borrow().iter() {
                        context.send_to(*id, POISON);
                        context.close_session(*id);
                        context.abort_session(*id);
                    }
                }
            });
            react
        };
        let mut town = quiet(plan, trigger, &Limits::default(), orders);
        let olds: Vec<_> = (0..2).map(|_| town.caller()).collect();
        olds.iter().for_each(|(client, _)| client.reset());
        town.settle();
        let news: Vec<_> = (0..4).map(|_| town.caller()).collect();
        let slot = |id: SessionId| (id.reactor(), id.index());
        let reused = |old: SessionId| news.iter().any(|(_, new)| slot(*new) == slot(old));
        assert!(olds.iter().all(|(_, old)| reused(*old)), "{plan:?}: every slot was reused");
        for (_, old) in &olds {
            gone.borrow_mut().push(*old);
            town.remote.send(*old, POISON).unwrap();
            town.remote.close(*old).unwrap();
            town.remote.abort(*old).unwrap();
        }
        news.iter().for_each(|(client, _)| client.send(&framed(b"go")));
        town.settle();
        for (client, _) in &news {
            assert_eq!((client.received(), client.end()), (vec![], None), "{plan:?}, {trigger:?}");
        }
    }
}

#[test]
fn bytes_that_are_none_are_sent_to_nobody() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let other = Rc::new(Cell::new(SessionId::NONE));
        let react = || -> React {
            let other = other.clone();
            Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Frame(id, frame) = fact {
                    context.send_bare(b"");
                    if frame.is_empty() {
                        return;
                    }
                    context.send_to(other.get(), b"");
                    context.send_to(*id, b"");
                    context.send(b"");
                    context.send_to(*id, frame);
                }
            })
        };
        let mut town = quiet(plan, trigger, &Limits::default(), react);
        let client = town.caller().0;
        other.set(town.caller().1);
        for text in [b"".as_slice(), b"something"] {
            client.send(&framed(text));
            town.settle();
            assert_eq!(client.take_received(), text, "{plan:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_thread_that_is_awake_is_never_woken() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut town = quiet(plan, trigger, &Limits::default(), echo);
        town.net.no_hook();
        let (client, id) = town.caller();
        for _ in 0..50 {
            client.send(&framed(b"hi"));
            town.remote.send(id, "from outside").unwrap();
            town.settle();
        }
        assert_eq!(client.received().len(), 50 * (6 + 12));
        assert_eq!(town.net.calls().wakes, 0, "{plan:?}, {trigger:?}");
    }
}

#[test]
fn many_lanes_that_come_home_wake_a_sleeping_reactor_once() {
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), echo);
        let clients: Vec<_> = (0..20).map(|_| town.caller().0).collect();
        town.work_only_while_asleep();
        for round in 1..=10 {
            let before = town.net.calls();
            clients.iter().for_each(|client| client.send(&framed(b"hi")));
            town.settle();
            assert!(clients.iter().all(|client| client.received().len() == round * 6));
            let wakes = (town.net.calls() - before).wakes;
            // The frames may come in several turns; a turn's lanes come home to one sleep.
            assert!((1..=4).contains(&wakes), "{trigger:?}: {wakes} wakes for 20 lanes");
        }
    }
}

#[test]
fn a_full_lane_pauses_reading_and_everything_comes_in_the_end() {
    let limits = Limits {
        lane_bytes_max: 200,
        lane_frames_per_run: 1,
        recv_buffer_bytes: 256,
        recv_budget_bytes: 256,
        ..Limits::default()
    };
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(1), trigger, &limits, echo);
        let (client, _) = town.caller();
        let stream = framed(&[7; 20]).repeat(1_000);
        client.send(&stream);
        for _ in 0..500 {
            town.step();
            let stats = town.stats();
            // One lane away, one trip that gathers, one read over it, one frame that is cut.
            let kept = stats.recv_bytes - stats.sent_bytes;
            assert!(kept < 2 * (200 + 256) + 256, "{trigger:?}: {kept} bytes are kept");
        }
        town.settle();
        assert!(client.received() == stream, "{trigger:?}");
    }
}

#[test]
fn what_is_sent_piece_by_piece_waits_for_the_peer_and_is_whole_in_the_end() {
    const PIECES: usize = 30;
    let limits = Limits { send_low_bytes: 50, send_high_bytes: 1_000, ..Limits::default() };
    // One session, on whatever worker: each frame asks for 30 pieces.
    let producer = |asked: Rc<Cell<usize>>| -> React {
        Box::new(move |fact, context| {
            let goes_on = match fact {
                Fact::Frame(..) => asked.replace(asked.get() + PIECES) == 0,
                Fact::Drained(_) => asked.get() > 0,
                _ => false,
            };
            if goes_on {
                asked.set(asked.get() - 1);
                assert!(context.queued_bytes() <= 50, "it did not wait for the peer");
                assert!(context.send(&[b'x'; 100]) && context.pause_until_drained());
            }
        })
    };
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let asked = Rc::default();
        let mut town = quiet(plan, trigger, &limits, || producer(Rc::clone(&asked)));
        let (client, _) = town.caller();
        client.set_window(70);
        client.stop_reading();
        client.send(&framed(b"all of it").repeat(2));
        town.settle();
        assert!(client.received().len() + client.unread() <= 70 + 150, "{plan:?}, {trigger:?}");
        client.set_window(1 << 16);
        client.resume_reading();
        town.settle();
        assert_eq!(client.received().len(), 2 * PIECES * 100, "{plan:?}, {trigger:?}");
    }
}

#[test]
fn reactors_that_flood_each_other_hold_their_senders_and_lose_nothing() {
    let limits = Limits { mailbox_mails_max: 1, mails_per_turn: 1, ..Limits::default() };
    for trigger in BOTH {
        let names = Names::default();
        // What a session says goes to the one that was opened before it, on the other reactor.
        let relay = || {
            let names = names.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => names.borrow_mut().push(*id),
                Fact::Frame(id, frame) => {
                    let to = names.borrow().iter().find(|to| *to != id).copied();
                    context.send_to(to.unwrap(), frame);
                }
                _ => {}
            });
            react
        };
        let plan = Plan::Handoff(2, Balance::RoundRobin);
        let mut town = quiet(plan, trigger, &limits, relay);
        let clients = [0, 1].map(|_| town.caller().0);
        let said: Vec<u8> = (0..3_000u32).flat_map(u32::to_be_bytes).collect();
        let frames: Vec<u8> = said.chunks(4).flat_map(framed).collect();
        for piece in frames.chunks(500) {
            clients.iter().for_each(|client| client.send(piece));
            (0..3).for_each(|_| town.step());
        }
        town.settle();
        assert!(clients.iter().all(|client| client.received() == said), "{trigger:?}");
    }
}

#[test]
fn what_one_turn_orders_of_another_reactor_is_done_in_portions() {
    const ORDERS: u32 = 10_000;
    for trigger in BOTH {
        let names = Names::default();
        let react = || {
            let names = names.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => names.borrow_mut().push(*id),
                Fact::Frame(..) => {
                    for n in 0..ORDERS {
                        context.send_to(names.borrow()[1], &n.to_be_bytes());
                    }
                }
                _ => {}
            });
            react
        };
        let limits = Limits { mails_per_turn: 300, ..Limits::default() };
        let plan = Plan::Handoff(2, Balance::RoundRobin);
        let mut town = quiet(plan, trigger, &limits, react);
        let [one, two] = [0; 2].map(|_| town.caller().0);
        one.send(&framed(b"all at once"));
        (0..3).for_each(|_| town.turn(0));
        for _ in 0..ORDERS.div_ceil(300) {
            let before = town.stats().mails;
            town.turn(1);
            let mails = town.stats().mails - before;
            assert!((1..=300).contains(&mails), "{trigger:?}: {mails} in one turn");
        }
        town.settle();
        let expected: Vec<u8> = (0..ORDERS).flat_map(u32::to_be_bytes).collect();
        assert!(two.received() == expected, "{trigger:?}");
    }
}

#[test]
fn orders_for_a_reactor_that_stands_still_are_bounded_in_bytes() {
    const FRAME: usize = 1 << 20;
    for trigger in BOTH {
        let names = Names::default();
        let plan = Plan::Handoff(2, Balance::RoundRobin);
        let mut town = quiet(plan, trigger, &Limits::default(), || relay_to(&names));
        let [one, two] = [0; 2].map(|_| town.caller().0);
        let frame = framed(&[1].repeat(FRAME));
        (0..40).for_each(|_| one.send(&frame));
        (0..2_000).for_each(|_| town.turn(0));
        // The box, one that is refused, and one for which the sender is held.
        let frames = town.stats().frames;
        assert!((16..=18).contains(&frames), "{trigger:?}: {frames} MiB wait for a reactor");
        town.settle();
        assert_eq!(two.received().len(), 40 * (FRAME - 1), "{trigger:?}");
    }
}

/// What a session says goes to the session with the number that is its first byte.
fn relay_to(names: &Names) -> React {
    let names = names.clone();
    Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
        Fact::Open(id) if *id != SessionId::NONE => names.borrow_mut().push(*id),
        Fact::Frame(_, frame) => {
            let to = names.borrow()[usize::from(frame[0])];
            context.send_to(to, &frame[1..]);
        }
        _ => {}
    })
}

#[test]
fn a_reactor_that_stands_still_holds_only_those_who_sent_to_it() {
    let limits = Limits { mailbox_mails_max: 1, ..Limits::default() };
    for trigger in BOTH {
        let names = Names::default();
        let plan = Plan::Handoff(3, Balance::RoundRobin);
        let mut town = quiet(plan, trigger, &limits, || relay_to(&names));
        // Two on the first reactor, and on each of the others one to be sent to.
        let [one, stuck, other, two] = [0; 4].map(|_| town.caller().0);
        // The mail of the first fills the box, and whoever orders once more is held.
        for (client, to) in [(&one, 1), (&two, 2)] {
            for text in [b"a", b"b", b"c", b"d"] {
                client.send(&framed(&[&[to][..], text].concat()));
                (0..3).for_each(|_| town.turn(0));
            }
        }
        assert_eq!(town.stats().frames, 2 + 2, "{trigger:?}: both are held");
        for _ in 0..10 {
            town.turn(2);
            town.turn(0);
        }
        assert_eq!(other.received(), b"abcd", "{trigger:?}: it waits for who stands still");
        two.send(&framed(b"\x02e"));
        (0..10).for_each(|_| [0, 2].into_iter().for_each(|nth| town.turn(nth)));
        assert_eq!(other.received(), b"abcde", "{trigger:?}");
        assert_eq!((stuck.received(), town.stats().frames), (vec![], 2 + 5), "{trigger:?}");
        town.settle();
        assert_eq!(stuck.received(), b"abcd", "{trigger:?}");
    }
}

#[test]
fn a_timer_that_was_cancelled_while_its_firing_was_on_its_way_is_not_told() {
    let second = Duration::from_secs(1);
    for trigger in BOTH {
        let timers = Rc::new(RefCell::new(Vec::new()));
        let react = || {
            let timers = timers.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => {
                    timers.borrow_mut().extend((0..3).filter_map(|_| context.set_timer(second)));
                }
                Fact::Frame(..) => {
                    let timers = timers.borrow();
                    assert!(context.cancel_timer(timers[0]) && !context.cancel_timer(timers[0]));
                    assert!(context.reset_timer(timers[1], second));
                }
                _ => {}
            });
            react
        };
        let mut town = quiet(Plan::Workers(1), trigger, &Limits::default(), react);
        let (client, id) = town.caller();
        // All three fire in the turn in which the frame is read, and come behind it.
        client.send(&framed(b"change"));
        town.net.advance(second);
        town.facts();
        town.settle();
        let timers = timers.borrow().clone();
        assert_eq!(town.facts(), [Fact::Frame(id, b"change".into()), Fact::Timer(id, timers[2])]);
        town.net.advance(2 * second);
        town.settle();
        assert_eq!(town.facts(), [Fact::Timer(id, timers[1])], "{trigger:?}");
        assert_eq!(client.end(), None);
    }
}

#[test]
fn the_last_word_of_a_worker_comes_behind_the_frames_that_were_read() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut town = quiet(plan, trigger, &Limits::default(), || {
            super::world::echo_and(|fact, context| {
                if let Fact::Closing(_, reason) = fact {
                    assert_eq!(*reason, CloseReason::Stopped);
                    assert!(context.send(b"bye"));
                }
            })
        });
        let (client, _) = town.caller();
        let stream = framed(b"before").repeat(10);
        client.send(&stream);
        while town.stats().frames == 0 {
            town.step();
        }
        town.remote.stop();
        town.settle();
        client.finish();
        town.run_out();
        assert_eq!(client.received(), [&stream[..], b"bye"].concat(), "{plan:?}, {trigger:?}");
    }
}

#[test]
fn a_session_whose_last_word_does_not_come_in_time_is_cut_off() {
    let limits = Limits::default();
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(2), trigger, &limits, echo);
        let (client, _) = town.caller();
        let begin = town.net.now();
        town.without_workers(|town| {
            client.send(&[framed(b"a long story"), vec![0xFF; 9]].concat());
            town.step_while(|| client.end().is_none());
        });
        let waited = town.net.now().since(begin);
        assert!(waited >= limits.drain_timeout, "{waited:?}");
        assert_eq!((client.end(), client.received()), (Some(End::Reset), vec![]));
        town.facts();
        town.settle();
        let facts = town.facts();
        assert!(
            matches!(facts.last(), Some(Fact::Close(_, CloseReason::DrainTimeout))),
            "{trigger:?}: {facts:?}"
        );
    }
}

#[test]
fn callers_who_were_handed_over_before_a_stop_hear_of_it() {
    let limits = Limits { accepts_per_turn: 2, ..Limits::default() };
    let polite = || {
        super::world::echo_and(|fact, context| {
            if let Fact::Closing(_, CloseReason::Stopped) = fact {
                assert!(context.send(b"bye"));
            }
        })
    };
    for trigger in BOTH {
        let mut town = quiet(Plan::Handoff(1, Balance::RoundRobin), trigger, &limits, polite);
        town.settle();
        let clients: Vec<_> = (0..7).map(|_| town.net.connect(0)).collect();
        for _ in 0..10 {
            town.step_acceptor();
        }
        town.remote.stop();
        for _ in 0..10 {
            town.step_acceptor();
        }
        town.settle();
        for client in &clients {
            assert_eq!(client.received(), b"bye", "{trigger:?}");
            client.finish();
        }
        town.run_out();
    }
}

#[test]
fn a_panic_on_a_worker_ends_its_session_and_no_other() {
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), || {
            super::world::echo_and(|fact, _| match fact {
                Fact::Frame(_, frame) if frame == b"panic" => panic!("on purpose"),
                _ => {}
            })
        });
        let ((one, one_id), (two, _)) = (town.caller(), town.caller());
        town.facts();
        one.send(&[framed(b"a"), framed(b"panic"), framed(b"b")].concat());
        two.send(&framed(b"alive"));
        town.settle();
        assert_eq!(two.received(), framed(b"alive"), "{trigger:?}");
        let facts = town.facts();
        let told: Vec<&Fact> = facts
            .iter()
            .filter(|fact| !matches!(fact, Fact::Frame(_, f) if f == b"alive"))
            .collect();
        let expected = [
            Fact::Frame(one_id, b"a".into()),
            Fact::Frame(one_id, b"panic".into()),
            Fact::Close(one_id, CloseReason::HandlerPanicked),
        ];
        assert!(told.into_iter().eq(&expected), "{facts:?}");
        two.send(&framed(b"still"));
        town.settle();
        assert!(two.received().ends_with(b"still"));
    }
}

#[test]
fn a_session_that_a_worker_dials_has_its_name_at_once() {
    for trigger in BOTH {
        let dialled = Names::default();
        let react = || {
            let dialled = dialled.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Frame(..) = fact {
                    let to = "10.9.9.9:9".parse().unwrap();
                    let id = context.connect(&to, Duration::from_secs(5)).unwrap();
                    context.send_to(id, b"early");
                    dialled.borrow_mut().push(id);
                }
            });
            react
        };
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), react);
        let (client, _) = town.caller();
        client.send(&framed(b"one").repeat(3));
        town.settle();
        let names = dialled.borrow().clone();
        let peers: Vec<_> = std::iter::from_fn(|| town.net.dialled()).collect();
        peers[0].accept();
        peers[1].refuse(readyloop::Errno::CONNREFUSED);
        peers[2].accept();
        town.settle();
        let facts = town.facts();
        assert!(facts.contains(&Fact::Open(names[0])) && facts.contains(&Fact::Open(names[2])));
        let refused = CloseReason::ConnectFailed(readyloop::Errno::CONNREFUSED);
        assert!(facts.contains(&Fact::ConnectFailed(names[1], refused)), "{facts:?}");
        assert_eq!(peers[0].received(), b"early");
        town.remote.send(names[2], "by its name").unwrap();
        town.remote.close(names[0]).unwrap();
        peers[0].finish();
        town.settle();
        assert_eq!(peers[2].received(), b"earlyby its name", "{trigger:?}");
        assert!(town.facts().contains(&Fact::Close(names[0], CloseReason::Closed)));
        assert_eq!(town.remote.send(names[0], "too late"), Ok(()));
        town.settle();
    }
}

#[test]
fn a_member_that_joins_by_mail_hears_all_that_is_posted_later_and_nothing_else() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let group = Group::new(SlowMember::default());
        let mut town = quiet(plan, trigger, &Limits::default(), echo);
        let [(one, one_id), (two, two_id)] = [0, 1].map(|_| town.caller());
        town.remote.join(one_id, &group).unwrap();
        town.remote.broadcast(&group, "1 ").unwrap();
        town.remote.join(two_id, &group).unwrap();
        town.remote.send(two_id, "you are in ").unwrap();
        town.remote.broadcast(&group, "2 ").unwrap();
        town.remote.leave(one_id, &group).unwrap();
        town.remote.broadcast(&group, "3 ").unwrap();
        town.remote.join(two_id, &group).unwrap();
        town.remote.broadcast(&group, "4 ").unwrap();
        town.settle();
        assert_eq!(one.received(), b"1 2 ", "{plan:?}, {trigger:?}");
        assert_eq!(two.received(), b"you are in 2 3 4 ", "{plan:?}, {trigger:?}");
        assert_eq!(group.len(), 1, "who joins twice is one member");
        two.reset();
        town.settle();
        town.remote.join(two_id, &group).unwrap();
        town.settle();
        assert!(group.is_empty(), "{plan:?}: nobody joins after his end");
    }
}

#[test]
fn members_of_a_group_hear_each_other_on_every_reactor() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let group = Group::new(SlowMember::PauseSender);
        let react = || {
            let group = group.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => {
                    context.join(&group);
                }
                Fact::Frame(_, frame) => context.broadcast(&group, frame.clone()),
                _ => {}
            });
            react
        };
        let limits = Limits {
            send_low_bytes: 10,
            send_high_bytes: 100,
            lane_bytes_max: 100,
            recv_buffer_bytes: 64,
            ..Limits::default()
        };
        let mut town = quiet(plan, trigger, &limits, react);
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let client = town.net.connect(0);
                town.settle();
                client
            })
            .collect();
        assert_eq!(group.len(), 6, "{plan:?}");
        clients[5].set_window(20);
        clients[5].stop_reading();
        clients[0].send(&framed(b"0123456789").repeat(100));
        town.settle();
        let heard = clients[1].received().len();
        assert!(heard < 1_000, "{plan:?}: the sender was not held");
        clients[5].resume_reading();
        town.settle();
        let said = b"0123456789".repeat(100);
        assert!(clients.iter().all(|client| client.received() == said), "{plan:?}, {trigger:?}");
        clients.iter().for_each(|client| client.reset());
        town.settle();
        assert!(group.is_empty());
    }
}
