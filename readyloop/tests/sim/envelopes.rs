//! Envelopes: whoever sends to a session that has one, and however, its peer gets each message in a
//! frame of its own, in order; and nobody else notices.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, End};
use readyloop::{
    Balance, Bytes, CloseReason, Context, Envelope, EnvelopeHead, Group, LengthPrefixed, Limits,
    SessionId, SlowMember, Trigger,
};

use super::order::town;
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, Remote, framed};

/// Each message between a bar with its length and the next bar.
static BARS: Envelope = Envelope {
    head: |bytes| EnvelopeHead::new(format!("|{bytes}:").as_bytes()),
    farewell: b"|bye|",
};

const PLANS: [Plan; 4] =
    [Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(2), Plan::Workers(2), Plan::Pool(2, 2)];

/// `wrap` puts the session into an envelope; everything else is said to the group, after answers of
/// every kind.
fn service(group: &Group) -> React {
    let group = group.clone();
    let lengths =
        LengthPrefixed::new(readyloop::framers::Prefix::One, readyloop::framers::Order::Big, 255);
    Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
        Fact::Open(id) if *id != SessionId::NONE => context.join(&group),
        Fact::Frame(_, frame) if frame == b"wrap" => {
            assert!(context.send(b"plain") && context.set_envelope(Some(&BARS)));
        }
        Fact::Frame(_, frame) if frame == b"end" => context.close(),
        Fact::Frame(_, frame) if frame == b"cut" => context.abort(),
        Fact::Frame(id, frame) => {
            assert!(context.send(b"1") && context.send(b"22") && context.send(b""));
            assert!(context.send_framed(&lengths, b"A"));
            assert!(context.send_bare(b"bare"));
            context.send_to(*id, b"333");
            assert!(context.send_shared(Bytes::from_static(b"4444")));
            context.send_shared_to(*id, Bytes::from_static(b"5"));
            context.broadcast(&group, frame.clone());
            assert!(context.send(b"last"));
        }
        _ => {}
    })
}

const PLAIN: &[u8] = b"122\x01Abare33344445all of youlast";
const WRAPPED: &[u8] = b"|1:1|2:22|0:|2:\x01Abare|3:333|4:4444|1:5|10:all of you|4:last";

/// Two callers, of whom the first is in an envelope.
fn pair(plan: Plan, trigger: Trigger) -> (Town, Group, [Client; 2], [SessionId; 2]) {
    let group = Group::new(SlowMember::default());
    let limits = Limits { drain_timeout: Duration::from_secs(1), ..Limits::default() };
    let faults = readyloop::sim::Faults::none();
    let mut town = Town::new(0, plan, trigger, faults, &limits, || service(&group));
    let [one, two] = [0, 1].map(|_| town.caller());
    say(&mut town, &one.0, b"wrap");
    assert_eq!(one.0.take_received(), b"plain", "{plan:?}, {trigger:?}");
    (town, group, [one.0, two.0], [one.1, two.1])
}

fn say(town: &mut Town, client: &Client, text: &[u8]) {
    client.send(&framed(text));
    town.settle();
}

fn everywhere() -> impl Iterator<Item = (Plan, Trigger)> {
    PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger)))
}

#[test]
fn each_message_has_a_head_of_its_own_in_whatever_way_it_was_sent() {
    for (plan, trigger) in everywhere() {
        for window in [1 << 16, 3] {
            let (mut town, _, [wrapped, plain], _) = pair(plan, trigger);
            [&wrapped, &plain].iter().for_each(|client| client.set_window(window));
            say(&mut town, &wrapped, b"all of you");
            let how = format!("{plan:?}, {trigger:?}, window {window}");
            assert_eq!(wrapped.take_received(), WRAPPED, "{how}");
            assert_eq!(plain.take_received(), b"all of you", "{how}");
            say(&mut town, &plain, b"all of you");
            assert_eq!(plain.take_received(), PLAIN, "{how}");
            assert_eq!(wrapped.take_received(), b"|10:all of you", "{how}");
        }
    }
}

/// Sends in every way in which a context can, and says what waits then.
fn say_by_all_doors(context: &mut Context<'_>) -> usize {
    let id = context.id();
    assert!(context.send(b"1") && context.send_bare(b"bare"));
    assert!(context.send_shared(Bytes::from_static(b"22")));
    context.send_to(id, b"333");
    context.send_shared_to(id, Bytes::from_static(b"4444"));
    context.queued_bytes()
}

const SEALED_BYTES: usize = b"|1:1bare|2:22|3:333|4:4444".len();

#[test]
fn the_head_of_each_message_waits_for_the_peer_like_the_rest_of_it() {
    let limits = Limits { send_low_bytes: 1, send_high_bytes: 2, ..Limits::default() };
    for (more, trigger) in [0, 1].into_iter().flat_map(|more| BOTH.map(|way| (more, way))) {
        for plan in PLANS {
            for (by_remote, wraps_before) in [(false, true), (true, true), (true, false)] {
                let limits = Limits { send_max_bytes: SEALED_BYTES + more, ..limits.clone() };
                let way = (plan, trigger);
                let told = Rc::new(Cell::new((0, false)));
                let (result, group) = (told.clone(), Group::new(SlowMember::default()));
                let react =
                    move |fact: &Fact, context: &mut Context<'_>, remote: &Remote| match fact {
                        Fact::Open(_) if wraps_before => assert!(context.set_envelope(Some(&BARS))),
                        Fact::Frame(id, _) => {
                            if by_remote {
                                remote.leave(*id, &group).unwrap();
                            }
                            assert!(wraps_before || context.set_envelope(Some(&BARS)));
                            result.set((say_by_all_doors(context), context.send_bare(b"x")));
                        }
                        _ => {}
                    };
                let mut town = town(0, way, readyloop::sim::Faults::none(), &limits, react);
                let (client, _) = town.caller();
                say(&mut town, &client, b"x");
                assert_eq!(
                    told.get(),
                    (SEALED_BYTES, more == 1),
                    "{way:?} {by_remote} {wraps_before}"
                );
            }
        }
    }
}

#[test]
fn a_message_without_bytes_in_an_envelope_without_a_head_is_none() {
    static NOTHING: Envelope = Envelope { head: |_| EnvelopeHead::new(b""), farewell: b"" };
    for (plan, trigger) in everywhere() {
        let service = || -> React {
            Box::new(|fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => {
                    assert!(context.set_envelope(Some(&NOTHING)));
                }
                Fact::Frame(id, frame) => {
                    context.send_to(*id, b"");
                    context.send(frame);
                }
                _ => {}
            })
        };
        let faults = readyloop::sim::Faults::none();
        let mut town = Town::new(0, plan, trigger, faults, &Limits::default(), service);
        let client = town.caller().0;
        say(&mut town, &client, b"");
        assert_eq!(client.take_received(), b"", "{plan:?}, {trigger:?}");
        say(&mut town, &client, b"something");
        assert_eq!(client.take_received(), b"something", "{plan:?}, {trigger:?}");
    }
}

#[test]
fn other_threads_need_not_know_of_it() {
    for (plan, trigger) in everywhere() {
        let (mut town, group, [wrapped, plain], ids) = pair(plan, trigger);
        ids.iter().for_each(|id| town.remote.send(*id, "hello").unwrap());
        town.remote.broadcast(&group, "to all").unwrap();
        town.settle();
        assert_eq!(wrapped.received(), b"|5:hello|6:to all", "{plan:?}, {trigger:?}");
        assert_eq!(plain.received(), b"helloto all", "{plan:?}, {trigger:?}");
    }
}

#[test]
fn a_farewell_is_the_last_word_of_a_close_and_no_word_of_an_abort() {
    for (plan, trigger) in everywhere() {
        let (mut town, _, [wrapped, _], _) = pair(plan, trigger);
        say(&mut town, &wrapped, b"end");
        let end = (wrapped.received(), wrapped.end());
        assert_eq!(end, (b"|bye|".to_vec(), Some(End::Finished)), "{plan:?}, {trigger:?}");

        let (mut town, _, [wrapped, plain], ids) = pair(plan, trigger);
        ids.iter().for_each(|id| town.remote.close(*id).unwrap());
        town.settle();
        assert_eq!(wrapped.received(), b"|bye|", "{plan:?}, {trigger:?}");
        assert_eq!((plain.received(), plain.end()), (vec![], Some(End::Finished)));

        let (mut town, _, [wrapped, _], _) = pair(plan, trigger);
        say(&mut town, &wrapped, b"cut");
        assert_eq!(wrapped.received(), b"", "{plan:?}, {trigger:?}");
        town.facts();
    }
}

#[test]
fn the_next_session_in_the_slot_has_no_envelope() {
    for (plan, trigger) in everywhere() {
        let (mut town, _, [wrapped, _], [id, _]) = pair(plan, trigger);
        wrapped.reset();
        town.settle();
        let news: Vec<_> = (0..2).map(|_| town.caller()).collect();
        assert!(news.iter().any(|(_, new)| new.index() == id.index()), "{plan:?}: reused");
        for (client, _) in &news {
            say(&mut town, client, b"all of you");
            assert!(client.take_received().ends_with(PLAIN), "{plan:?}, {trigger:?}");
        }
        let reasons = |fact| match fact {
            Fact::Close(_, reason) => Some(reason),
            _ => None,
        };
        let closed: Vec<_> = town.facts().into_iter().filter_map(reasons).collect();
        assert_eq!(closed, [CloseReason::PeerReset]);
    }
}
