//! What other threads tell a session: in one order with everything else, bounded, never after its end, and
//! dropped once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use readyloop::sim::{Client, Faults};
use readyloop::{Address, CloseReason, Context, Errno, Limits, Refused, SessionId, Trigger};

use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{Fact, Remote, Told, framed};

type Way = (Plan, Trigger);

/// How another thread ends a session.
type Ends = fn(&Remote, SessionId) -> Result<(), Refused>;

fn quiet(way: Way, limits: &Limits) -> Town {
    town(0, way, Faults::none(), limits, |_, _, _| {})
}

fn message(id: SessionId, text: &str) -> Fact {
    Fact::Message(id, text.into())
}

/// The messages among some facts, of whomever.
fn texts(facts: &[Fact]) -> Vec<String> {
    let text = |fact: &Fact| match fact {
        Fact::Message(_, text) => Some(String::from_utf8(text.clone()).unwrap()),
        _ => None,
    };
    facts.iter().filter_map(text).collect()
}

fn is_on_workers((plan, _): Way) -> bool {
    matches!(plan, Plan::Workers(_) | Plan::Pool(..))
}

/// Counts messages, and those of them that were dropped.
#[derive(Clone, Default)]
struct Counter(Arc<[AtomicUsize; 2]>);

impl Counter {
    fn told(&self, text: &str) -> Told {
        let counts = self.0.clone();
        counts[0].fetch_add(1, Ordering::Relaxed);
        Told::dropping(text, move || {
            counts[1].fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The same; when it is dropped, it tells `to` one more.
    fn told_again(&self, remote: &Remote, to: SessionId) -> Told {
        let (counter, remote, counts) = (self.clone(), remote.clone(), self.0.clone());
        counts[0].fetch_add(1, Ordering::Relaxed);
        Told::dropping("again", move || {
            let _perhaps_stopped = remote.tell(to, counter.told("more"));
            counts[1].fetch_add(1, Ordering::Relaxed);
        })
    }

    fn made(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn dropped(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

#[test]
fn messages_and_frames_are_told_in_the_order_in_which_they_came() {
    for way in ways() {
        let mut town = quiet(way, &Limits::default());
        let (client, id) = town.caller();
        town.facts();
        let mut expected = Vec::new();
        // Nothing is handled elsewhere before all of it is there.
        town.without_workers(|town| {
            for nth in 0..5 {
                let text = nth.to_string();
                client.send(&framed(text.as_bytes()));
                town.settle();
                town.remote.tell(id, Told::new(text.as_bytes())).unwrap();
                town.settle();
                expected.extend([Fact::Frame(id, text.clone().into()), message(id, &text)]);
            }
        });
        town.settle();
        assert_eq!(town.facts(), expected, "{way:?}");
    }
}

#[test]
fn a_message_is_told_before_the_end_that_was_asked_for_behind_it_and_none_behind_that() {
    let ends: [Ends; 2] = [Remote::close, Remote::abort];
    for (way, end) in ways().flat_map(|way| ends.map(|end| (way, end))) {
        let mut town = quiet(way, &Limits::default());
        let (client, id) = town.caller();
        town.facts();
        town.remote.tell(id, Told::new("before")).unwrap();
        end(&town.remote, id).unwrap();
        town.remote.tell(id, Told::new("behind")).unwrap();
        town.settle();
        client.finish();
        town.settle();
        let facts = town.facts();
        assert_eq!(texts(&facts), ["before"], "{way:?}");
        assert!(matches!(facts.last(), Some(Fact::Close(..))), "{way:?}: {facts:?}");
        assert_eq!(town.stats().mails_stale, 1, "{way:?}");
    }
}

#[test]
fn what_a_callback_tells_through_any_door_keeps_its_order_and_never_interrupts_it() {
    for way in ways() {
        let busy = Rc::new(Cell::new(false));
        let mut town =
            town(0, way, Faults::none(), &Limits::default(), move |fact, context, remote| {
                assert!(!busy.replace(true), "{fact:?} within another callback");
                match fact {
                    Fact::Frame(id, _) => {
                        remote.tell(*id, Told::new("1")).unwrap();
                        context.send(b"a");
                        remote.send(*id, "b").unwrap();
                        remote.tell(*id, Told::new("2")).unwrap();
                        context.send(b"c");
                        let (id, from) = (*id, remote.clone());
                        let work =
                            move |_: &mut Context<'_>| from.tell(id, Told::new("3")).unwrap();
                        remote.run_on(id.reactor(), work).unwrap();
                    }
                    Fact::Message(_, text) => {
                        context.send(text);
                    }
                    _ => {}
                }
                busy.set(false);
            });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        assert_eq!(texts(&town.facts()), ["1", "2", "3"], "{way:?}");
        assert_eq!(client.received(), b"abc123", "{way:?}");
    }
}

#[test]
fn what_is_sent_because_of_a_message_takes_the_way_of_an_answer() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, _| {
            if let Fact::Message(_, text) = fact {
                context.send(text);
            }
        });
        let (client, id) = town.caller();
        town.remote.tell(id, Told::new("told ")).unwrap();
        town.remote.send(id, "sent ").unwrap();
        town.settle();
        let expected = if is_on_workers(way) { "sent told " } else { "told sent " };
        assert_eq!(client.received(), expected.as_bytes(), "{way:?}");
    }
}

#[test]
fn a_session_hears_other_sessions_on_whatever_reactor_they_are() {
    for way in ways() {
        let ids: Rc<RefCell<Vec<SessionId>>> = Rc::default();
        let known = ids.clone();
        let mut town = town(0, way, Faults::none(), &Limits::default(), move |fact, _, remote| {
            if let Fact::Frame(..) = fact {
                for (nth, id) in known.borrow().iter().enumerate() {
                    remote.tell(*id, Told::new(format!("{nth} a"))).unwrap();
                    remote.tell_weighing(*id, Told::new(format!("{nth} b")), 100).unwrap();
                }
            }
        });
        let callers: Vec<_> = (0..4).map(|_| town.caller()).collect();
        ids.borrow_mut().extend(callers.iter().map(|(_, id)| *id));
        town.facts();
        callers[0].0.send(&framed(b"x"));
        town.settle();
        let facts = town.facts();
        for (nth, (_, id)) in callers.iter().enumerate() {
            let own: Vec<_> = facts.iter().filter(|fact| fact.id() == *id).cloned().collect();
            assert_eq!(texts(&own), [format!("{nth} a"), format!("{nth} b")], "{way:?}");
        }
    }
}

/// A session whose peer takes nothing, and whose queue is over the high mark; frames that came with the one
/// that has filled it wait.
fn paused(way: Way, limits: &Limits) -> (Town, Client, SessionId) {
    let limits = Limits {
        send_low_bytes: 100,
        send_high_bytes: 1_000,
        write_timeout: None,
        ..limits.clone()
    };
    let mut town = town(0, way, Faults::none(), &limits, |fact, context, _| match fact {
        Fact::Frame(_, text) if text == b"pause" => assert!(context.send(&[1; 2_000])),
        Fact::Message(..) => assert!(context.is_paused(), "it may ask"),
        _ => {}
    });
    let (client, id) = town.caller();
    client.set_window(10);
    client.stop_reading();
    client.send(&[framed(b"pause"), framed(b"later").repeat(2)].concat());
    town.settle();
    town.facts();
    (town, client, id)
}

#[test]
fn a_paused_session_is_told_messages_and_no_frames() {
    for way in ways() {
        let (mut town, client, id) = paused(way, &Limits::default());
        town.remote.tell(id, Told::new("now")).unwrap();
        town.settle();
        assert_eq!(town.facts(), [message(id, "now")], "{way:?}");
        client.resume_reading();
        town.settle();
        let frame = Fact::Frame(id, b"later".into());
        assert_eq!(town.facts(), [Fact::Drained(id), frame.clone(), frame], "{way:?}");
    }
}

#[test]
fn what_was_told_to_a_paused_session_before_does_not_count_against_it() {
    let limits = Limits { mailbox_mails_max: 3, ..Limits::default() };
    for way in ways() {
        let (mut town, _client, id) = paused(way, &limits);
        for _ in 0..20 {
            town.remote.tell(id, Told::new("x")).unwrap();
            town.settle();
        }
        assert_eq!(texts(&town.facts()).len(), 20, "{way:?}");
    }
}

fn address() -> Address {
    "10.9.9.9:99".parse().unwrap()
}

/// A session has dialled a peer, and told it something; so has another thread.
fn dialled(way: Way, limits: &Limits, counter: &Counter) -> (Town, Client, SessionId) {
    let (id, counts) = (Rc::new(Cell::new(SessionId::NONE)), counter.clone());
    let name = id.clone();
    let mut town = town(0, way, Faults::none(), limits, move |fact, context, remote| match fact {
        Fact::Frame(_, text) if text == b"dial" => {
            name.set(context.connect(&address(), Duration::from_secs(1)).unwrap());
            remote.tell(name.get(), counts.told("1")).unwrap();
            context.send_to(name.get(), b"hello");
        }
        Fact::Frame(_, text) if text == b"give up" => context.abort_session(name.get()),
        _ => {}
    });
    let (client, _) = town.caller();
    client.send(&framed(b"dial"));
    town.settle();
    town.remote.tell(id.get(), counter.told("2")).unwrap();
    town.settle();
    town.facts();
    (town, client, id.get())
}

#[test]
fn a_session_that_was_dialled_is_told_behind_its_open_in_order() {
    for way in ways() {
        let counter = Counter::default();
        let (mut town, _client, id) = dialled(way, &Limits::default(), &counter);
        let peer = town.net.dialled().unwrap();
        peer.accept();
        peer.send(&framed(b"x"));
        town.remote.tell(id, counter.told("3")).unwrap();
        town.settle();
        let mut facts = town.facts();
        let messages = ["1", "2", "3"].map(|text| message(id, text));
        // The last one and the answer came at the same time.
        let frame = facts.iter().position(|fact| matches!(fact, Fact::Frame(..))).unwrap();
        assert!(frame >= 3, "{way:?}: {facts:?}");
        facts.remove(frame);
        assert_eq!((facts.remove(0), facts), (Fact::Open(id), messages.to_vec()), "{way:?}");
        assert_eq!((counter.dropped(), town.stats().mails_stale), (3, 0), "{way:?}");
    }
}

#[test]
fn what_was_told_to_a_session_that_never_opens_is_dropped_and_counted() {
    let fails: [fn(&mut Town, &Client); 3] = [
        |town, _| town.net.dialled().unwrap().refuse(Errno::CONNREFUSED),
        |town, _| town.net.advance(Duration::from_secs(2)),
        |_, client| client.send(&framed(b"give up")),
    ];
    for (way, fail) in ways().flat_map(|way| fails.map(|fail| (way, fail))) {
        let counter = Counter::default();
        let (mut town, client, id) = dialled(way, &Limits::default(), &counter);
        assert_eq!((counter.made(), counter.dropped()), (2, 0), "{way:?}");
        fail(&mut town, &client);
        town.settle();
        let facts = town.facts();
        let is_told = facts.iter().any(|fact| matches!(fact, Fact::ConnectFailed(..)));
        assert!(is_told && texts(&facts).is_empty(), "{way:?}: {facts:?}");
        assert_eq!((counter.dropped(), town.stats().mails_stale), (2, 2), "{way:?}");
        town.remote.tell(id, counter.told("late")).unwrap();
        town.settle();
        assert_eq!((counter.dropped(), town.stats().mails_stale), (3, 3), "{way:?}");
    }
}

#[test]
fn what_gathers_for_a_session_that_is_not_open_is_bounded() {
    let few = Limits { mailbox_mails_max: 4, ..Limits::default() };
    let light = Limits { mailbox_bytes_max: 10_000, ..Limits::default() };
    for (way, (limits, bytes)) in
        ways().flat_map(|way| [(&few, 0), (&light, 4_000)].map(|one| (way, one)))
    {
        let counter = Counter::default();
        let (mut town, _client, id) = dialled(way, limits, &counter);
        for _ in 0..5 {
            let text = counter.told("more");
            town.remote.tell_weighing(id, text, bytes).unwrap();
            town.settle();
        }
        let failed = Fact::ConnectFailed(id, CloseReason::SendFull);
        assert_eq!(town.facts(), [failed], "{way:?}");
        assert_eq!((counter.made(), counter.dropped()), (7, 7), "{way:?}");
    }
}

#[test]
fn what_gathers_for_a_session_whose_worker_does_not_come_is_bounded() {
    let limits = Limits { mailbox_mails_max: 4, ..Limits::default() };
    for way in ways() {
        let counter = Counter::default();
        let mut town = quiet(way, &limits);
        let (_client, id) = town.caller();
        town.facts();
        town.without_workers(|town| {
            for _ in 0..30 {
                town.remote.tell(id, counter.told("x")).unwrap();
                town.settle();
            }
        });
        town.settle();
        let facts = town.facts();
        let is_lost = facts.contains(&Fact::Close(id, CloseReason::SendFull));
        assert_eq!(is_lost, is_on_workers(way), "{way:?}");
        // One run that was away, and what gathers behind it.
        let told = texts(&facts).len();
        assert!(if is_lost { told <= 2 * 4 } else { told == 30 }, "{way:?}: {told}");
        assert_eq!((counter.made(), counter.dropped()), (30, 30), "{way:?}");
    }
}

#[test]
fn whose_end_has_begun_is_told_nothing() {
    let ends: [fn(&Town, &Client, SessionId); 4] = [
        |_, client, _| client.send(&framed(b"close")),
        |_, client, _| client.send(&framed(b"close behind a message")),
        // A last word is said in `on_closing`.
        |_, client, _| client.send(&u32::MAX.to_be_bytes()),
        |_, client, _| client.reset(),
    ];
    for (way, end) in ways().flat_map(|way| ends.map(|end| (way, end))) {
        let counter = Counter::default();
        let counts = counter.clone();
        let mut town = town(
            0,
            way,
            Faults::none(),
            &Limits::default(),
            move |fact, context, remote| match fact {
                Fact::Frame(id, text) if text == b"close behind a message" => {
                    remote.tell(*id, counts.told("own")).unwrap();
                    context.close();
                }
                Fact::Frame(..) => context.close(),
                Fact::Closing(id, _) => remote.tell(*id, counts.told("own")).unwrap(),
                Fact::Close(id, _) => remote.tell(*id, counts.told("own")).unwrap(),
                _ => {}
            },
        );
        let (client, id) = town.caller();
        end(&town, &client, id);
        town.settle();
        town.remote.tell(id, counter.told("late")).unwrap();
        town.settle();
        client.finish();
        town.settle();
        let facts = town.facts();
        assert_eq!(texts(&facts), [""; 0], "{way:?}: {facts:?}");
        assert_eq!(counter.made(), counter.dropped(), "{way:?}");
        assert!(town.stats().mails_stale >= 1, "{way:?}");
    }
}

#[test]
fn a_message_behind_a_frame_that_closes_is_told_to_nobody_also_elsewhere() {
    let ends: [fn(&mut Context<'_>); 2] = [|context| context.close(), |context| context.abort()];
    for (way, end) in ways().flat_map(|way| ends.map(|end| (way, end))) {
        let counter = Counter::default();
        let mut town =
            town(0, way, Faults::none(), &Limits::default(), move |fact, context, _| match fact {
                Fact::Frame(_, text) if text == b"end" => end(context),
                _ => {}
            });
        let (client, id) = town.caller();
        town.without_workers(|town| {
            // The first frame is away, so the second one and the message gather behind it.
            for text in [b"go!", b"end"] {
                client.send(&framed(text));
                town.settle();
            }
            town.remote.tell(id, counter.told("behind")).unwrap();
            town.settle();
        });
        town.settle();
        assert_eq!(texts(&town.facts()), [""; 0], "{way:?}");
        assert_eq!((counter.made(), counter.dropped()), (1, 1), "{way:?}");
    }
}

#[test]
fn a_handler_elsewhere_that_is_to_say_its_last_word_is_told_nothing_behind_it() {
    for way in ways() {
        let mut town = quiet(way, &Limits::default());
        let (client, id) = town.caller();
        town.facts();
        town.without_workers(|town| {
            town.remote.tell(id, Told::new("before")).unwrap();
            town.settle();
            client.send(&u32::MAX.to_be_bytes());
            town.settle();
            town.remote.tell(id, Told::new("behind")).unwrap();
            town.settle();
        });
        town.settle();
        let facts = town.facts();
        assert_eq!(facts[0], message(id, "before"), "{way:?}");
        assert!(matches!(facts[1], Fact::Closing(..)), "{way:?}: {facts:?}");
        assert_eq!((texts(&facts).len(), town.stats().mails_stale), (1, 1), "{way:?}");
    }
}

#[test]
fn another_thread_is_refused_by_a_full_inbox_and_its_message_is_dropped() {
    let few = Limits { mailbox_mails_max: 2, ..Limits::default() };
    let light = Limits { mailbox_bytes_max: 2_000, ..Limits::default() };
    for (way, (limits, bytes)) in
        ways().flat_map(|way| [(&few, 0), (&light, 1_000)].map(|one| (way, one)))
    {
        let counter = Counter::default();
        let mut town = quiet(way, limits);
        let (_client, id) = town.caller();
        let tell = |town: &Town| town.remote.tell_weighing(id, counter.told("x"), bytes);
        assert_eq!([(); 3].map(|()| tell(&town)), [Ok(()), Ok(()), Err(Refused::Full)], "{way:?}");
        assert_eq!((counter.made(), counter.dropped()), (3, 1), "{way:?}");
        town.settle();
        assert_eq!((texts(&town.facts()).len(), counter.dropped()), (2, 3), "{way:?}");
        assert_eq!(tell(&town), Ok(()), "{way:?}: there is room");
        assert_eq!(town.stats().mails_refused, 1, "{way:?}");
        town.settle();
    }
}

#[test]
fn a_session_that_fills_an_inbox_with_messages_is_held_and_not_refused() {
    let limits = Limits { mailbox_bytes_max: 800, lane_bytes_max: 200, ..Limits::default() };
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &limits, |fact, _, remote| {
            if let Fact::Frame(id, _) = fact {
                remote.tell_weighing(*id, Told::new("x"), 400).unwrap();
            }
        });
        let (client, _) = town.caller();
        town.facts();
        client.send(&framed(b"?").repeat(100));
        let (mut most, mut all) = (0, Vec::new());
        for _ in 0..10_000 {
            town.step();
            let told = town.facts();
            most = most.max(told.iter().filter(|fact| matches!(fact, Fact::Frame(..))).count());
            all.extend(told);
        }
        assert_eq!((all.len(), texts(&all).len()), (200, 100), "{way:?}");
        assert!(most <= 4, "{way:?}: {most} frames in one step");
        assert_eq!(town.stats().mails_refused, 0, "{way:?}");
    }
}

#[test]
fn a_panic_at_a_message_ends_that_session_and_no_other() {
    for way in ways() {
        let mut town =
            town(0, way, Faults::none(), &Limits::default(), |fact, context, _| match fact {
                Fact::Message(_, text) if text == b"panic" => panic!("as asked for"),
                Fact::Message(_, text) => assert!(context.send(text)),
                _ => {}
            });
        let (_lost, one) = town.caller();
        let (other, two) = town.caller();
        let counter = Counter::default();
        for (id, text) in [(one, "panic"), (one, "behind"), (two, "hello")] {
            town.remote.tell(id, counter.told(text)).unwrap();
        }
        town.settle();
        let facts = town.facts();
        assert!(facts.contains(&Fact::Close(one, CloseReason::HandlerPanicked)), "{way:?}");
        assert!(!facts.contains(&message(one, "behind")), "{way:?}");
        assert_eq!((other.received(), town.stats().panics), (b"hello".to_vec(), 1), "{way:?}");
        assert_eq!(counter.dropped(), 3, "{way:?}");
    }
}

#[test]
fn a_message_may_panic_when_nobody_hears_it_and_is_dropped() {
    for way in ways() {
        let counter = Counter::default();
        let (mut town, client, dialled) = dialled(way, &Limits::default(), &counter);
        let (gone, id) = town.caller();
        gone.reset();
        town.settle();
        let panics = || Told::dropping("", || panic!("as asked for"));
        town.remote.tell(dialled, panics()).unwrap();
        town.remote.tell(id, panics()).unwrap();
        town.settle();
        town.net.dialled().unwrap().refuse(Errno::CONNREFUSED);
        town.settle();
        assert_eq!(town.stats().panics, 2, "{way:?}");
        client.send(&framed(b"x"));
        town.settle();
        let facts = town.facts();
        assert!(matches!(facts.last(), Some(Fact::Frame(..))), "{way:?}: it lives on");
        // Also those that are left when it ends.
        town.remote.tell(id, panics()).unwrap();
        drop(town);
    }
}

#[test]
fn every_message_is_dropped_once_however_the_server_ends() {
    let ends: [fn(&mut Town, usize); 4] = [
        |town, _| town.remote.stop(),
        |town, _| town.remote.stop_now(),
        |town, kernels| {
            town.may_fail = true;
            (0..kernels).for_each(|kernel| town.net.fail_waits(kernel, Errno::NOMEM));
        },
        // It is never turned again.
        |_, _| {},
    ];
    for (way, (nth, end)) in
        ways().flat_map(|way| ends.iter().enumerate().map(move |one| (way, one)))
    {
        for steps in 0..4 {
            let counter = Counter::default();
            let (mut town, _client, dialled) = dialled(way, &Limits::default(), &counter);
            let (_open, open) = town.caller();
            let (gone, dead) = town.caller();
            gone.reset();
            town.without_workers(|town| {
                town.settle();
                for id in [dialled, open, dead].repeat(3) {
                    town.remote.tell(id, counter.told("x")).unwrap();
                    town.remote.tell(id, counter.told_again(&town.remote, open)).unwrap();
                }
                (0..steps).for_each(|_| town.turn(0));
            });
            let kernels = match way.0 {
                Plan::Workers(_) => 1,
                Plan::Handoff(1, _) => 2,
                _ => 3,
            };
            end(&mut town, kernels);
            if nth < 3 {
                town.run_out();
                let late = town.remote.tell(open, counter.told("late"));
                assert_eq!(late, Err(Refused::Stopped), "{way:?}");
            }
            let remote = town.remote.clone();
            // The net knows the workers, and they know it.
            town.net.while_asleep(|| {});
            drop(town);
            assert!(remote.tell(open, counter.told("late")).is_err(), "{way:?}");
            assert_eq!(counter.made(), counter.dropped(), "{way:?}, end {nth}, {steps} steps");
        }
    }
}
