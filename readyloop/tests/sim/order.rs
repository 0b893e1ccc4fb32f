//! One order: what one session's callbacks ask for, through whichever door, is done in the order in
//! which they asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use readyloop::sim::{End, Faults, Rng};
use readyloop::{CloseReason, Context, Group, Limits, Refused, SessionId, SlowMember, Trigger};

use super::town::{EVERY_PLAN, Plan, Town};
use super::world::{BOTH, Fact, React, Remote, Told, framed};
use super::worlds::each_world;

/// A server whose handlers have a `Remote` too.
pub fn town(
    seed: u64,
    (plan, trigger): (Plan, Trigger),
    faults: Faults,
    limits: &Limits,
    react: impl Fn(&Fact, &mut Context<'_>, &Remote) + Clone + 'static,
) -> Town {
    let remote: Rc<RefCell<Option<Remote>>> = Rc::default();
    let shared = remote.clone();
    let made = move || -> React {
        let (remote, react) = (shared.clone(), react.clone());
        Box::new(move |fact, context| {
            if let Some(remote) = &*remote.borrow() {
                react(fact, context, remote);
            }
        })
    };
    let town = Town::new(seed, plan, trigger, faults, limits, made);
    *remote.borrow_mut() = Some(town.remote.clone());
    town
}

/// All that may happen to bytes on their way; nobody is lost.
fn faults() -> Faults {
    Faults {
        accept_skipped: 0,
        accept_exhausted: 0,
        watch_refused: 0,
        memory_short: 0,
        rearm_refused: 0,
        ..Faults::hostile()
    }
}

pub fn ways() -> impl Iterator<Item = (Plan, Trigger)> {
    EVERY_PLAN.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger)))
}

#[test]
fn remote_and_context_in_one_callback_keep_their_order() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "1").unwrap();
                context.send(b"2");
                remote.send(*id, "3").unwrap();
                context.send_to(*id, b"4");
                context.send_shared("5".into());
                remote.send(*id, "6").unwrap();
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x").repeat(3));
        town.settle();
        let received = String::from_utf8(client.received()).unwrap();
        assert_eq!(received, "123456".repeat(3), "{way:?}");
    }
}

#[test]
fn what_was_sent_by_remote_leaves_before_the_close_behind_it() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "bye").unwrap();
                context.close();
                assert!(!context.send(b"late"), "after its end");
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x").repeat(3));
        town.settle();
        assert_eq!(client.received(), b"bye", "{way:?}: once, and whole");
        let frames = town.facts().iter().filter(|fact| matches!(fact, Fact::Frame(..))).count();
        assert_eq!(frames, 1, "{way:?}: no frame comes behind the close");
        client.finish();
        town.settle();
        assert_eq!(client.end(), Some(End::Finished), "{way:?}");
    }
}

#[test]
fn what_is_sent_behind_a_remote_counts_until_it_has_arrived() {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 50,
        send_max_bytes: 100,
        ..Limits::default()
    };
    for way in ways() {
        let taken = Rc::new(Cell::new(0));
        let count = taken.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "").unwrap();
                count.set((0..5).filter(|_| context.send(&[b'x'; 30])).count());
                assert!(context.queued_bytes() <= 100);
            }
        });
        let (client, id) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(taken.get(), 3, "{way:?}: the fourth is the 120th byte");
        let lost = Fact::Close(id, CloseReason::SendFull);
        assert!(town.facts().contains(&lost), "{way:?}");
    }
}

#[test]
fn a_remote_of_who_has_asked_too_much_is_refused_and_takes_nothing_with_it() {
    let limits = Limits { mailbox_mails_max: 1, ..Limits::default() };
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "1").unwrap();
                context.send(b"2");
                assert_eq!(remote.send(*id, "3"), Err(Refused::Full));
                context.send(b"4");
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(client.received(), b"124", "{way:?}");
    }
}

#[test]
fn a_stop_behind_a_remote_does_not_overtake_it() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "1").unwrap();
                context.send(b"2");
                context.stop();
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(client.received(), b"12", "{way:?}");
    }
}

#[test]
fn who_has_closed_behind_a_remote_is_not_asked_for_a_last_word() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.send(*id, "bye").unwrap();
                context.close();
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        // In the same ready list: the reactor closes whoever has not been closed.
        town.net.signal();
        town.settle();
        let facts = town.facts();
        let handled = facts.iter().position(|fact| matches!(fact, Fact::Frame(..)));
        let asked = facts.iter().position(|fact| matches!(fact, Fact::Closing(..)));
        assert!(handled.is_none() || asked.is_none(), "{way:?}: {facts:?}");
        assert_eq!(client.received(), handled.map_or(&b""[..], |_| b"bye"), "{way:?}");
    }
}

#[test]
fn what_on_closing_says_by_remote_and_by_context_is_the_last_word() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Closing(id, _) = fact {
                remote.send(*id, "so ").unwrap();
                context.send(b"long");
            }
        });
        let (client, _) = town.caller();
        client.send(&u32::MAX.to_be_bytes());
        town.settle();
        assert_eq!(client.received(), b"so long", "{way:?}");
    }
}

#[test]
fn who_has_just_joined_hears_the_next_broadcast_whatever_the_doors() {
    for way in ways() {
        let group = Group::new(SlowMember::DropMessage);
        let rooms = [(); 3].map(|()| Group::new(SlowMember::DropMessage));
        let all = rooms.clone();
        let mut town =
            town(0, way, Faults::none(), &Limits::default(), move |fact, context, remote| {
                if let Fact::Frame(id, _) = fact {
                    context.join(&all[0]);
                    remote.broadcast(&all[0], "1").unwrap();
                    context.join(&all[1]);
                    context.broadcast(&all[1], "2");
                    context.join(&all[2]);
                    remote.broadcast(&all[2], "3").unwrap();
                    remote.join(*id, &group).unwrap();
                    context.broadcast(&group, "4");
                }
            });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(client.received(), b"1234", "{way:?}");
        assert!(rooms.iter().all(|room| room.len() == 1), "{way:?}: counted once");
    }
}

#[test]
fn code_that_is_run_on_a_reactor_comes_before_what_is_asked_behind_it() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                let id = *id;
                let (again, work) =
                    (remote.clone(), move |context: &mut Context<'_>, from: Remote| {
                        context.send_to(id, b"1");
                        from.send(id, "4").unwrap();
                        context.send_to(id, b"5");
                    });
                remote.run_on(id.reactor(), move |context| work(context, again)).unwrap();
                context.send(b"2");
                remote.send(id, "3").unwrap();
            }
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(client.received(), b"12345", "{way:?}");
    }
}

#[test]
fn what_follows_a_remote_counts_with_its_bytes_and_pauses_once() {
    let limits = Limits { send_low_bytes: 10, send_high_bytes: 100, ..Limits::default() };
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, remote| match fact {
            Fact::Frame(id, _) => {
                remote.send(*id, "1").unwrap();
                assert!(context.send(b"22") && context.send_shared("333".into()));
                assert_eq!((context.queued_bytes(), context.is_paused()), (6, false));
                remote.send(*id, vec![5; 100]).unwrap();
                assert_eq!((context.queued_bytes(), context.is_paused()), (106, true));
                assert!(context.send(&[4; 200]) && context.is_paused());
            }
            Fact::Drained(_) => assert!(!context.is_paused()),
            _ => {}
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(client.received().len(), 306, "{way:?}");
        let drained = town.facts().iter().filter(|fact| matches!(fact, Fact::Drained(_))).count();
        assert_eq!(drained, 1, "{way:?}");
    }
}

#[test]
fn who_names_itself_is_told_the_same_as_who_does_not() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, _| {
            if let Fact::Frame(id, frame) = fact {
                context.send_shared_to(*id, "1".into());
                context.send_to(*id, b"2");
                assert_eq!(context.queued_bytes(), 2);
                match frame[0] {
                    b'c' => context.close_session(*id),
                    _ => context.abort_session(*id),
                }
                assert!(!context.send(b"late") && !context.pause_until_drained());
            }
        });
        for (frame, received) in [(b"c", b"12".as_slice()), (b"a", b"")] {
            let (client, _) = town.caller();
            client.send(&framed(frame));
            town.settle();
            assert_eq!(client.received(), received, "{way:?}");
        }
    }
}

/// One message of an asker: who, and its number.
const MESSAGE_BYTES: usize = 5;

/// Asks for `count` messages, each through a random door to a random session.
fn talk(
    own: SessionId,
    all: &[SessionId],
    rng: &mut Rng,
    next: &Cell<u32>,
    (context, remote): (&mut Context<'_>, &Remote),
) {
    let asker = all.iter().position(|id| *id == own).unwrap() as u8;
    for _ in 0..rng.below(6) {
        let to = all[rng.below(all.len())];
        let number = next.replace(next.get() + 1);
        let message = [&[asker][..], &number.to_be_bytes()].concat();
        match rng.below(7) {
            6 => remote.tell(to, Told::new(message)).unwrap(),
            0 | 1 => remote.send(to, message).unwrap(),
            2 => context.send_shared_to(to, message.into()),
            3 if to == own => assert!(context.send(&message)),
            4 if to == own => assert!(context.send_shared(message.into())),
            _ => context.send_to(to, &message),
        }
    }
}

/// How many messages these are; those of one asker are in its order.
fn count_in_order(messages: &[u8], how: &str) -> u32 {
    let (mut last, mut heard) = (HashMap::new(), 0);
    for message in messages.chunks(MESSAGE_BYTES) {
        let number = u32::from_be_bytes(message[1..].try_into().unwrap());
        let before = last.insert(message[0], number);
        assert!(
            before.is_none_or(|before| before < number),
            "{how} heard {number} of {} after {before:?}",
            message[0]
        );
        heard += 1;
    }
    heard
}

#[test]
fn each_session_hears_each_asker_in_order_whatever_the_doors() {
    const SEEDS: u64 = 150;
    for (nth, way) in ways().enumerate() {
        each_world(SEEDS, "order", |seed| {
            let ids: Rc<RefCell<Vec<SessionId>>> = Rc::default();
            let numbers: Rc<RefCell<HashMap<SessionId, Rc<Cell<u32>>>>> = Rc::default();
            let rng = Rc::new(RefCell::new(Rng::new(seed * 8 + nth as u64)));
            let (known, counts) = (ids.clone(), numbers.clone());
            let react = move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| {
                if let Fact::Frame(id, _) = fact {
                    let next = counts.borrow_mut().entry(*id).or_default().clone();
                    let mut rng = rng.borrow_mut();
                    talk(*id, &known.borrow(), &mut rng, &next, (context, remote));
                }
            };
            // In half of the worlds a reactor is behind by some turns.
            let mails_per_turn = if seed % 2 == 0 { 256 } else { 1 };
            let limits = Limits { write_timeout: None, mails_per_turn, ..Limits::default() };
            let mut town = town(seed, way, faults(), &limits, react);
            let callers: Vec<_> = (0..4).map(|_| town.caller()).collect();
            ids.borrow_mut().extend(callers.iter().map(|(_, id)| *id));
            for _ in 0..5 {
                callers.iter().for_each(|(client, _)| client.send(&framed(b"go").repeat(2)));
                (0..10).for_each(|_| town.step());
            }
            town.settle();
            let mut heard = 0;
            let facts = town.facts();
            for (client, id) in &callers {
                let told = |fact: &Fact| match fact {
                    Fact::Message(to, text) if to == id => Some(text.clone()),
                    _ => None,
                };
                let told: Vec<Vec<u8>> = facts.iter().filter_map(told).collect();
                let how = format!("seed {seed}, {way:?}: {id}");
                heard += count_in_order(&client.received(), &how);
                heard += count_in_order(&told.concat(), &how);
            }
            let asked: u32 = numbers.borrow().values().map(|next| next.get()).sum();
            assert_eq!(heard, asked, "seed {seed}, {way:?}: something was lost");
        });
    }
}

#[test]
fn what_has_arrived_behind_a_remote_counts_once() {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 1_000,
        mails_per_turn: 1,
        ..Limits::default()
    };
    for way in ways() {
        let sent = Rc::new(Cell::new(0));
        let (group, count) = (Group::new(SlowMember::DropMessage), sent.clone());
        let most = Rc::new(Cell::new(0));
        let highest = most.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.leave(*id, &group).unwrap();
                assert!(context.send(&[1; 30]));
                count.set(count.get() + 30);
                let excess = context.queued_bytes() as isize - count.get();
                highest.set(excess.max(highest.get()));
            }
        });
        let (client, _) = town.caller();
        client.stop_reading();
        client.set_window(1);
        for _ in 0..20 {
            client.send(&framed(b"x"));
            (0..3).for_each(|_| town.step());
        }
        assert!(most.get() <= 0, "{way:?}: {} bytes too many", most.get());
        town.settle();
    }
}

#[test]
fn a_join_that_a_server_has_not_done_when_it_ends_counts_nobody() {
    for way in ways() {
        let group = Group::new(SlowMember::DropMessage);
        let room = group.clone();
        let mut town = town(0, way, Faults::none(), &Limits::default(), move |fact, _, remote| {
            if let Fact::Close(id, _) = fact {
                let _perhaps_stopped = remote.join(*id, &room);
            }
        });
        let _client = town.caller();
        town.remote.stop_now();
        town.run_out();
        assert_eq!(group.len(), 0, "{way:?}");
    }
}

/// Each frame is answered by the `Remote` and then by the context, one frame a turn, while the reactor is
/// always some mails behind.
fn answered_while_behind(
    trigger: Trigger,
    react: impl Fn(SessionId, &mut Context<'_>, &Remote) + Clone + 'static,
    mut each_turn: impl FnMut(&Town, usize),
) -> Vec<u8> {
    let limits = Limits { mails_per_turn: 1, ..Limits::default() };
    let way = (Plan::Single, trigger);
    let mut town = town(0, way, Faults::none(), &limits, move |fact, context, remote| {
        if let Fact::Frame(id, _) = fact {
            react(*id, context, remote);
        }
    });
    let (client, _) = town.caller();
    let (_, other) = town.caller();
    for nth in 0..40 {
        // One more than the reactor does in a turn.
        town.remote.send(other, "x").unwrap();
        client.send(&framed(b"x"));
        town.turn(0);
        each_turn(&town, nth);
    }
    town.settle();
    client.received()
}

#[test]
fn nothing_overtakes_what_a_remote_has_posted_several_turns_before() {
    for trigger in BOTH {
        let count = Rc::new(Cell::new(0));
        let react = move |id: SessionId, context: &mut Context<'_>, remote: &Remote| {
            let nth = count.replace(count.get() + 1);
            match nth % 3 {
                0 => remote.send(id, vec![nth]).unwrap(),
                _ => assert!(context.send(&[nth])),
            }
        };
        let received = answered_while_behind(trigger, react, |_, _| {});
        assert!(received.is_sorted() && received.len() == 40, "{trigger:?}: {received:?}");
    }
}

#[test]
fn who_pauses_behind_a_remote_goes_on_while_the_reactor_never_catches_up() {
    for trigger in BOTH {
        let drained = Rc::new(Cell::new(0));
        let limits = Limits { mails_per_turn: 2, ..Limits::default() };
        let (way, seen) = ((Plan::Single, trigger), drained.clone());
        let mut town =
            town(0, way, Faults::none(), &limits, move |fact, context, remote| match fact {
                Fact::Frame(id, text) if text == b"pause" => {
                    remote.send(*id, "x").unwrap();
                    assert!(context.pause_until_drained());
                }
                Fact::Frame(id, _) => remote.send(*id, "y").unwrap(),
                Fact::Drained(_) => seen.set(seen.get() + 1),
                _ => {}
            });
        let (one, _) = town.caller();
        let (other, id) = town.caller();
        // Always some mails behind, of its own ones too.
        (0..9).for_each(|_| town.remote.send(id, "z").unwrap());
        one.send(&framed(b"pause").repeat(2));
        for _ in 0..40 {
            other.send(&framed(b"x"));
            town.turn(0);
        }
        assert_eq!(drained.get(), 2, "{trigger:?}: it is not read");
    }
}
