//! Where verbs meet: marks behind dials and Remotes, held askers and messages, encoders and full queues, names
//! and other reactors: the same on every topology.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use readyloop::sim::{End, Faults};
use readyloop::{
    Address, Bytes, CloseReason, Context, Encoder, Encoding, Group, Limits, SessionId, SlowMember,
};

use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{Fact, Told, framed};

fn address() -> Address {
    Address::from(std::net::SocketAddr::from(([10, 9, 9, 9], 80)))
}

/// A server whose first frame dials; says the name.
fn dialler(way: (Plan, readyloop::Trigger)) -> (Town, readyloop::sim::Client, SessionId) {
    let name = Rc::new(Cell::new(SessionId::NONE));
    let given = name.clone();
    let mut town = town(0, way, Faults::none(), &Limits::default(), move |fact, context, _| {
        if let Fact::Frame(..) = fact {
            given.set(context.connect(&address(), Duration::from_secs(5)).unwrap());
        }
    });
    let (client, _) = town.caller();
    client.send(&framed(b"dial"));
    town.settle();
    (town, client, name.get())
}

/// "A name that was given ahead is good for everything": also for code that another reactor runs.
#[test]
fn a_name_given_ahead_is_good_on_every_reactor() {
    for way in ways() {
        let (mut town, _client, name) = dialler(way);
        let peer = town.net.dialled().unwrap();
        peer.accept();
        town.settle();
        for reactor in 0..town.remote.reactors() as u8 {
            let work = move |context: &mut Context<'_>| {
                context.send_to(name, b"copied");
                context.send_shared_to(name, Bytes::from_static(b"shared"));
            };
            town.remote.run_on(reactor, work).unwrap();
            town.settle();
            let received = String::from_utf8(peer.take_received()).unwrap();
            assert_eq!(received, "copiedshared", "{way:?}, on {reactor}, to {name:?}");
        }
    }
}

/// A message that nobody hears is dropped on behalf of nobody: its panic is no panic of the session.
#[test]
fn a_message_that_panics_behind_a_close_does_not_cut_off_what_was_said_before_it() {
    for way in ways() {
        let mut town = town(0, way, Faults::none(), &Limits::default(), |fact, context, _| {
            if let Fact::Frame(..) = fact {
                context.send(b"bye");
                context.close();
            }
        });
        let (client, id) = town.caller();
        town.without_workers(|town| {
            client.send(&framed(b"x"));
            town.settle();
            let told = Told::dropping("late", || panic!("as asked for"));
            town.remote.tell(id, told).unwrap();
            town.settle();
        });
        town.settle();
        client.finish();
        town.settle();
        let facts = town.facts();
        let heard = String::from_utf8(client.received()).unwrap();
        assert_eq!((&*heard, client.end()), ("bye", Some(End::Finished)), "{way:?}: {facts:?}");
        assert!(facts.contains(&Fact::Close(id, CloseReason::Closed)), "{way:?}: {facts:?}");
    }
}

/// Bounds itself in no way.
struct Boundless;

impl Encoder for Boundless {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(_: usize) -> usize {
        usize::MAX
    }
}

/// An encoder that cannot say how long a message becomes ends its session for a full queue, everywhere.
#[test]
fn a_message_without_a_bound_is_refused_everywhere_for_the_same_reason() {
    for way in ways() {
        for by_remote in [false, true] {
            let said = Rc::new(Cell::new(None));
            let told = said.clone();
            let group = Group::new(SlowMember::default());
            let mut town =
                town(0, way, Faults::none(), &Limits::default(), move |fact, context, remote| {
                    if let Fact::Frame(id, _) = fact {
                        if by_remote {
                            remote.leave(*id, &group).unwrap();
                        }
                        context.send(b"plain");
                        context.set_encoding(Encoding::stateful(Boundless));
                        told.set(Some(context.send(b"endless")));
                    }
                });
            let (client, id) = town.caller();
            client.send(&framed(b"x"));
            town.settle();
            let facts = town.facts();
            let end = Fact::Close(id, CloseReason::SendFull);
            assert!(facts.contains(&end), "{way:?} {by_remote}: {facts:?} {:?}", said.get());
            assert_eq!(said.get(), Some(false), "{way:?} {by_remote}");
        }
    }
}

/// What comes before the plain sends.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Before {
    Dial,
    Leave,
    RemoteSend,
    Shared,
    Encoded,
}

/// Doubles.
struct Double;

impl Encoder for Double {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        2 * bytes
    }
}

/// How many sends of ten bytes are taken behind something, and whether the session is paused behind that.
fn taken_behind(before: Before) {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 50,
        send_max_bytes: 100,
        ..Limits::default()
    };
    let mut results = Vec::new();
    for way in ways() {
        let said = Rc::new(RefCell::new(String::new()));
        let told = said.clone();
        let group = Group::new(SlowMember::default());
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, remote| {
            let Fact::Frame(id, _) = fact else { return };
            context.send(b"1");
            match before {
                Before::Dial => {
                    context.connect(&address(), Duration::from_secs(5)).unwrap();
                }
                Before::Leave => remote.leave(*id, &group).unwrap(),
                Before::RemoteSend => remote.send(*id, vec![1; 70]).unwrap(),
                Before::Shared => assert!(context.send_shared(vec![1; 70].into())),
                Before::Encoded => {
                    context.set_encoding(Encoding::stateful(Double));
                    assert!(context.send(&[1; 35]));
                    context.set_encoding(Encoding::NONE);
                }
            }
            let mut taken = 0;
            while taken < 100 && context.send(b"0123456789") {
                taken += 1;
            }
            *told.borrow_mut() = format!("{taken} taken");
        });
        let (client, _) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        results.push((way, said.borrow().clone()));
    }
    assert!(results.iter().all(|(_, said)| *said == results[0].1), "{before:?}: {results:?}");
}

#[test]
fn as_many_sends_are_taken_behind_a_dial_everywhere() {
    taken_behind(Before::Dial);
}

#[test]
fn as_many_sends_are_taken_behind_a_leave_by_remote_everywhere() {
    taken_behind(Before::Leave);
}

#[test]
fn as_many_sends_are_taken_behind_a_send_by_remote_everywhere() {
    taken_behind(Before::RemoteSend);
}

#[test]
fn as_many_sends_are_taken_behind_shared_bytes_everywhere() {
    taken_behind(Before::Shared);
}

#[test]
fn as_many_sends_are_taken_behind_an_encoder_everywhere() {
    taken_behind(Before::Encoded);
}

/// Says something last.
struct Polite(Arc<AtomicUsize>);

impl Encoder for Polite {
    fn encode(&mut self, message: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(message);
    }

    fn encoded_bytes_max(bytes: usize) -> usize {
        bytes
    }

    fn closing(&mut self, out: &mut Vec<u8>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        out.extend_from_slice(b"bye");
    }
}

/// An orderly close loses nothing of what was taken before, and has the reason that was asked for.
#[test]
fn a_close_of_a_full_queue_is_a_close() {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 50,
        send_max_bytes: 100,
        ..Limits::default()
    };
    for way in ways() {
        let said = Arc::new(AtomicUsize::new(0));
        let closing = said.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| {
            if let Fact::Frame(..) = fact {
                assert!(context.set_encoding(Encoding::stateful(Polite(closing.clone()))));
                assert!(context.send(&[b'x'; 99]));
                context.close();
            }
        });
        let (client, id) = town.caller();
        client.send(&framed(b"x"));
        town.settle();
        client.finish();
        town.settle();
        let facts = town.facts();
        let close = Fact::Close(id, CloseReason::Closed);
        assert!(facts.contains(&close), "{way:?}: {} {facts:?}", client.received().len());
    }
}

/// A message that is kept for a dialled session, when nobody turns the reactor any more.
#[test]
fn what_is_kept_may_panic_when_a_reactor_is_dropped() {
    for way in ways() {
        let (mut town, _client, name) = dialler(way);
        town.remote.tell(name, Told::dropping("", || panic!("as asked for"))).unwrap();
        town.settle();
        town.net.while_asleep(|| {});
        drop(town);
    }
}

/// "What it goes on asking meanwhile is dropped beyond `mailbox_mails_max` commands": also on a worker, from
/// whatever comes to a session that is held.
fn forwarded(by_timer: bool) {
    let limits = Limits { mailbox_mails_max: 8, ..Limits::default() };
    let mut results = Vec::new();
    for way in ways().filter(|(plan, _)| matches!(plan, Plan::Handoff(2, _) | Plan::Pool(..))) {
        let to = Rc::new(Cell::new(SessionId::NONE));
        let target = to.clone();
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| match fact {
            Fact::Message(..) => context.send_to(target.get(), b"x"),
            Fact::Timer(_, timer) => {
                context.send_to(target.get(), b"x");
                context.reset_timer(*timer, Duration::from_millis(1));
            }
            Fact::Frame(..) => drop(context.set_timer(Duration::from_millis(1))),
            _ => {}
        });
        let callers = [(); 4].map(|()| town.caller());
        let from = callers.iter().find(|(_, id)| id.reactor() == 0).unwrap();
        let (client, id) = callers.iter().find(|(_, id)| id.reactor() == 1).unwrap();
        to.set(*id);
        if by_timer {
            from.0.send(&framed(b"go"));
        }
        // The other reactor has no turn.
        for _ in 0..500 {
            if by_timer {
                town.net.advance(Duration::from_millis(2));
            } else {
                let _taken = town.remote.tell(from.1, Told::new("x"));
            }
            (0..3).for_each(|_| {
                town.turn(0);
                town.work();
            });
        }
        (0..500).for_each(|_| town.turn(1));
        results.push((way, client.received().len(), town.stats().mails_refused));
    }
    assert!(results.iter().all(|(_, heard, _)| *heard <= 32), "{results:?}");
}

#[test]
fn a_held_session_that_is_told_messages_fills_no_inbox_without_bound() {
    forwarded(false);
}

#[test]
fn a_held_session_that_has_timers_fills_no_inbox_without_bound() {
    forwarded(true);
}

/// The reason for which the engine closes a session is that of its end, however full its queue is.
#[test]
fn a_stop_drains_who_has_a_full_queue_and_an_encoder() {
    let limits = Limits {
        send_low_bytes: 10,
        send_high_bytes: 50,
        send_max_bytes: 100,
        ..Limits::default()
    };
    for way in ways() {
        let said = Arc::new(AtomicUsize::new(0));
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| {
            if let Fact::Frame(..) = fact {
                assert!(context.set_encoding(Encoding::stateful(Polite(said.clone()))));
                assert!(context.send(&[b'x'; 99]));
            }
        });
        let (client, id) = town.caller();
        client.set_window(1);
        client.stop_reading();
        client.send(&framed(b"x"));
        town.settle();
        town.remote.stop();
        town.settle();
        client.resume_reading();
        client.finish();
        town.settle();
        let facts = town.facts();
        let close = Fact::Close(id, CloseReason::Stopped);
        assert!(facts.contains(&close), "{way:?}: {} {facts:?}", client.received().len());
    }
}
