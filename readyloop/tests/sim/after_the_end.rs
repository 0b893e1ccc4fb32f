//! What a callback is answered once its session's end was decided, and what it is told then: the same on
//! every topology.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{
    Address, Bytes, Context, Encoding, Errno, Header, HeaderBytes, Limits, SessionId, TimerId,
    Trigger,
};

use super::order::ways;
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, framed};

const MS: Duration = Duration::from_millis(1);

static SLASH: Header = Header { head: |_| HeaderBytes::new(b"/"), closing: b"" };

/// What is answered: whether a timer is set, whether one that was set before is reset, and is cancelled.
type Answers = (bool, bool, bool);

/// The answers that a callback was given, one after the other.
type Told = Rc<RefCell<Vec<Answers>>>;

fn ask_for_timers(before: TimerId, context: &mut Context<'_>) -> Answers {
    let set = context.set_timer(MS).is_some();
    (set, context.reset_timer(before, MS), context.cancel_timer(before))
}

/// A server whose sessions begin with a timer, and do `act` with it at each fact behind that.
fn town_of_timers(
    (plan, trigger): (Plan, Trigger),
    act: impl Fn(&Fact, TimerId, &mut Context<'_>) + Clone + 'static,
) -> Town {
    let timers: Rc<RefCell<Vec<(SessionId, TimerId)>>> = Rc::default();
    let react = move || -> React {
        let (act, timers) = (act.clone(), timers.clone());
        Box::new(move |fact, context| {
            let id = context.id();
            let known = timers.borrow().iter().find(|(owner, _)| *owner == id).copied();
            match (fact, known) {
                (Fact::Open(SessionId::NONE), _) => {}
                (Fact::Open(_), _) => {
                    let timer = context.set_timer(3_600_000 * MS).unwrap();
                    timers.borrow_mut().push((id, timer));
                }
                (_, Some((_, timer))) => act(fact, timer, context),
                _ => {}
            }
        })
    };
    let limits = Limits {
        send_low_bytes: 100,
        send_high_bytes: 900,
        send_max_bytes: 1_000,
        ..Limits::default()
    };
    Town::new(0, plan, trigger, Faults::none(), &limits, react)
}

fn ask(town: &mut Town) {
    let (client, _) = town.caller();
    client.send(&framed(b"x"));
    town.settle();
}

#[test]
fn behind_its_abort_a_session_is_given_no_timer() {
    let ends: [fn(&mut Context<'_>); 4] = [
        |context| context.abort(),
        |context| context.abort_session(context.id()),
        |context| assert!(!context.send(&[0; 2_000]), "it is lost: that was too much"),
        |context| {
            context.close();
            context.abort();
        },
    ];
    for (way, end) in ways().flat_map(|way| ends.map(|end| (way, end))) {
        let told = Told::default();
        let answers = told.clone();
        let mut town = town_of_timers(way, move |fact, timer, context| {
            if let Fact::Frame(..) = fact {
                end(context);
                answers.borrow_mut().push(ask_for_timers(timer, context));
            }
        });
        ask(&mut town);
        assert_eq!(*told.borrow(), [(false, true, true)], "{way:?}: the old one ends with it");
    }
}

#[test]
fn behind_its_close_a_session_has_timers_until_it_is_over() {
    for way in ways() {
        let told = Told::default();
        let answers = told.clone();
        let mut town = town_of_timers(way, move |fact, timer, context| {
            if let Fact::Frame(..) = fact {
                context.close();
                answers.borrow_mut().push(ask_for_timers(timer, context));
            }
        });
        ask(&mut town);
        town.net.advance(10 * MS);
        town.settle();
        assert_eq!(*told.borrow(), [(true, true, true)], "{way:?}");
        let fired = town.facts().iter().filter(|fact| matches!(fact, Fact::Timer(..))).count();
        assert_eq!(fired, 1, "{way:?}");
    }
}

#[test]
fn in_on_close_there_are_no_timers_and_nothing_is_sent_or_waits() {
    for way in ways() {
        for frame in [b"close", b"abort"] {
            let told = Told::default();
            let answers = told.clone();
            let mut town = town_of_timers(way, move |fact, timer, context| match fact {
                Fact::Frame(_, frame) => {
                    context.send(b"unsent");
                    match frame[0] {
                        b'c' => context.close(),
                        _ => context.abort(),
                    }
                }
                Fact::Close(..) => {
                    answers.borrow_mut().push(ask_for_timers(timer, context));
                    assert_nothing_is_taken(context);
                }
                _ => {}
            });
            let (client, _) = town.caller();
            client.set_window(3);
            client.stop_reading();
            client.send(&framed(frame));
            town.settle();
            client.reset();
            town.settle();
            assert_eq!(*told.borrow(), [(false, false, false)], "{way:?}");
        }
    }
}

/// Whatever a context can send by, and its session's state.
fn assert_nothing_is_taken(context: &mut Context<'_>) {
    let framer = readyloop::LengthPrefixed::new(
        readyloop::framers::Prefix::One,
        readyloop::framers::Order::Big,
        255,
    );
    assert!(!context.send(b"1") && !context.send_framed(&framer, b"2"));
    assert!(!context.send_shared(Bytes::from_static(b"3")) && !context.send_bare(b"4"));
    assert!(!context.set_encoding(Encoding::header(&SLASH)) && !context.pause_until_drained());
    let waits = (context.queued_bytes(), context.is_paused(), context.is_held());
    assert_eq!(waits, (0, false, false));
}

#[test]
fn frames_that_come_with_the_end_leave_nothing_that_waits_in_on_close() {
    // Only workers may be told of both in one run.
    for trigger in BOTH {
        let closed = Rc::new(Cell::new(0));
        let count = closed.clone();
        let mut town =
            town_of_timers((Plan::Workers(1), trigger), move |fact, _, context| match fact {
                Fact::Frame(..) => {
                    context.send(b"for nobody");
                    context.pause_until_drained();
                }
                Fact::Close(..) => {
                    assert_nothing_is_taken(context);
                    count.set(count.get() + 1);
                }
                _ => {}
            });
        let (client, id) = town.caller();
        town.without_workers(|town| {
            // The lane leaves with one frame, and everything else gathers behind it.
            client.send(&framed(b"x"));
            town.settle();
            client.send(&framed(b"x"));
            town.settle();
            town.remote.abort(id).unwrap();
            town.settle();
        });
        town.settle();
        assert_eq!(closed.get(), 1, "{trigger:?}");
    }
}

#[test]
fn in_on_connect_failed_there_is_no_session() {
    for (plan, trigger) in ways() {
        let failed = Rc::new(Cell::new(0));
        let count = failed.clone();
        let react = move || -> React {
            let count = count.clone();
            Box::new(move |fact, context| match fact {
                Fact::Frame(..) => {
                    let to: Address = "10.9.9.9:9".parse().unwrap();
                    context.connect(&to, 1_000 * MS).unwrap();
                }
                Fact::ConnectFailed(id, _) => {
                    assert_eq!(context.id(), *id);
                    assert_nothing_is_taken(context);
                    assert!(context.set_timer(MS).is_none());
                    count.set(count.get() + 1);
                }
                _ => {}
            })
        };
        let limits = Limits::default();
        let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, react);
        ask(&mut town);
        town.net.dialled().unwrap().refuse(Errno::CONNREFUSED);
        town.settle();
        assert_eq!(failed.get(), 1, "{plan:?} {trigger:?}");
    }
}

#[test]
fn who_was_cut_off_is_told_its_end_and_nothing_else() {
    let ends: [fn(&mut Context<'_>); 3] = [
        |context| context.abort(),
        |context| assert!(!context.send(&[0; 2_000])),
        |_| panic!("the session is lost"),
    ];
    for (way, end) in ways().flat_map(|way| ends.map(|end| (way, end))) {
        let mut town = town_of_timers(way, move |fact, timer, context| match fact {
            Fact::Frame(_, frame) if frame == b"soon" => assert!(context.reset_timer(timer, MS)),
            Fact::Frame(..) => end(context),
            _ => {}
        });
        let (client, id) = town.caller();
        client.send(&framed(b"soon"));
        town.settle();
        town.without_workers(|town| {
            client.send(&framed(b"end"));
            town.settle();
            // On a worker, the timer finds the lane away.
            town.net.advance(10 * MS);
            town.settle();
        });
        town.facts();
        town.settle();
        let is_end = |fact: &Fact| matches!(fact, Fact::Frame(..) | Fact::Close(..));
        let facts = town.facts();
        assert!(facts.iter().all(is_end), "{way:?}: {facts:?}");
        if let (Plan::Workers(_), _) = way {
            assert!(matches!(facts[..], [Fact::Frame(..), Fact::Close(closed, _)] if closed == id));
        }
    }
}
