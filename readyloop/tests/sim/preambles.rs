//! Callers with a preamble to run before they are sessions (a TLS handshake, the header of a proxy):
//! no handler hears of them before it is done, on no topology, and no byte behind it is lost.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Leg, Net, Preamble};
use readyloop::{
    Address, Balance, CloseReason, Context, Handler, Incident, Limits, Peer, Raw, Reactor, Report,
    SessionId, Setup, Trigger,
};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, Told, World, echo, echo_and, framed};

const PLANS: [Plan; 4] =
    [Plan::Single, Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(2), Plan::Workers(2)];
const MS: Duration = Duration::from_millis(1);

/// On every topology, under both triggers, over TCP and over a Unix socket.
fn everywhere(limits: &Limits, mut try_it: impl FnMut(Town, &dyn Fn(&Net) -> Client, &str)) {
    let over: [fn(&Net) -> Client; 2] = [|net| net.connect(0), |net| net.connect_unix(0)];
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        for (call, way) in over.iter().zip(["TCP", "Unix"]) {
            let town = Town::new(0, plan, trigger, Faults::none(), limits, echo);
            try_it(town, call, &format!("{plan:?}, {trigger:?}, {way}"));
        }
    }
}

/// Several rounds, as in a handshake.
fn handshake() -> Preamble {
    let legs = vec![Leg::Hears(5), Leg::Says(3), Leg::Hears(4), Leg::Says(2)];
    Preamble { legs, ..Preamble::default() }
}

/// How many sessions were opened.
pub fn opened(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::Open(_))).count()
}

/// Nothing was told, and nothing is left but what was counted.
fn assert_nobody(town: &mut Town, reason: CloseReason, way: &str) {
    assert_eq!(town.facts(), [], "{way}");
    let stats = town.stats();
    assert_eq!((stats.opened, stats.preambles, stats.preambles_failed), (0, 1, 1), "{way}");
    assert_eq!((stats.closed_total(), stats.closed[reason.kind()]), (1, 1), "{way}: {reason}");
    assert_eq!(town.net.open_sockets(), 0, "{way}");
}

#[test]
fn a_caller_is_a_session_when_its_preamble_is_done_and_no_handler_hears_before() {
    everywhere(&Limits::default(), |mut town, call, way| {
        let client = call(&town.net);
        client.begin_with(handshake());
        for piece in [&b""[..], b"hel", b"lo", b"you"] {
            client.send(piece);
            town.settle();
            assert_eq!((town.facts(), town.stats().opened), (vec![], 0), "{way}");
        }
        assert_eq!(client.take_received(), b"!!!", "{way}");
        client.send(b"!");
        town.settle();
        assert!(matches!(town.facts()[..], [Fact::Open(_)]), "{way}");
        client.send(&framed(b"hi"));
        town.settle();
        assert_eq!(client.received(), [b"!!", &framed(b"hi")[..]].concat(), "{way}");
        let stats = town.stats();
        assert_eq!((stats.opened, stats.preambles, stats.preambles_failed), (1, 1, 0), "{way}");
    });
}

#[test]
fn a_server_that_speaks_first_and_a_peer_that_does_not_listen_meet_all_the_same() {
    everywhere(&Limits::default(), |mut town, call, way| {
        let client = call(&town.net);
        client.set_window(4);
        client.stop_reading();
        let legs = vec![Leg::Says(10), Leg::Hears(1)];
        client.begin_with(Preamble { legs, ..Preamble::default() });
        client.send(&[b"?", &framed(b"hi")[..]].concat());
        town.settle();
        assert_eq!((town.facts(), client.queued()), (vec![], 4), "{way}");
        client.resume_reading();
        town.settle();
        assert_eq!(client.received(), [&[b'!'; 10], &framed(b"hi")[..]].concat(), "{way}");
    });
}

#[test]
fn what_comes_in_one_segment_with_the_preamble_is_not_lost() {
    for reads_ahead in [false, true] {
        everywhere(&Limits::default(), |mut town, call, way| {
            let client = call(&town.net);
            client.begin_with(Preamble { reads_ahead, ..Preamble::heard(7) });
            client.send(&[b"preface", &framed(b"one")[..], &framed(b"two")[..]].concat());
            town.settle();
            let answers = [framed(b"one"), framed(b"two")].concat();
            assert_eq!(client.received(), answers, "{way}, reads ahead: {reads_ahead}");
            client.send(&framed(b"three"));
            client.finish();
            town.settle();
            let all = [answers, framed(b"three")].concat();
            assert_eq!((client.received(), client.end()), (all, Some(End::Finished)), "{way}");
        });
    }
}

#[test]
fn last_words_in_one_segment_with_the_preamble_are_heard() {
    for reads_ahead in [false, true] {
        everywhere(&Limits::default(), |mut town, call, way| {
            let client = call(&town.net);
            client.begin_with(Preamble { reads_ahead, ..Preamble::heard(7) });
            client.send(&[b"preface", &framed(b"bye")[..]].concat());
            client.close();
            town.settle();
            let facts = town.facts();
            let heard = |fact: &Fact| matches!(fact, Fact::Frame(_, frame) if frame == b"bye");
            assert!(facts.iter().any(heard), "{way}, reads ahead: {reads_ahead}: {facts:?}");
            assert_eq!(town.net.open_sockets(), 0, "{way}");
        });
    }
}

#[test]
fn more_than_a_buffer_behind_the_preamble_is_read_over_several_turns() {
    let limits = Limits { recv_buffer_bytes: 64, recv_budget_bytes: 64, ..Limits::default() };
    everywhere(&limits, |mut town, call, way| {
        let client = call(&town.net);
        client.begin_with(Preamble { reads_ahead: true, ..Preamble::heard(3) });
        let frames = framed(&[7; 20]).repeat(100);
        client.send(&[b"abc", &frames[..]].concat());
        town.settle();
        assert_eq!(client.received(), frames, "{way}");
    });
}

#[test]
fn a_peer_that_leaves_in_the_middle_is_counted_and_nothing_else() {
    let leaves: [fn(&Client); 3] = [Client::finish, Client::close, Client::reset];
    let reasons = [CloseReason::PeerFinished, CloseReason::PeerFinished, CloseReason::PeerReset];
    for (leave, reason) in leaves.into_iter().zip(reasons) {
        for said in [&b""[..], b"hel", b"hello", b"helloyo"] {
            everywhere(&Limits::default(), |mut town, call, way| {
                let client = call(&town.net);
                client.begin_with(handshake());
                client.send(said);
                town.settle();
                leave(&client);
                town.settle();
                assert_nobody(&mut town, reason, way);
            });
        }
    }
}

#[test]
fn a_preamble_that_is_refused_ends_its_caller_who_is_told_what_was_said() {
    everywhere(&Limits::default(), |mut town, call, way| {
        let client = call(&town.net);
        let legs = vec![Leg::Hears(3), Leg::Says(2)];
        client.begin_with(Preamble { legs, refused: Some("no version"), ..Preamble::default() });
        client.send(b"abc");
        town.settle();
        assert_eq!(
            (client.received(), client.end()),
            (b"!!".to_vec(), Some(End::Finished)),
            "{way}"
        );
        assert_nobody(&mut town, CloseReason::Malformed("no version"), way);
    });
}

#[test]
fn a_preamble_has_its_time_and_no_more() {
    let limits = Limits { preamble_timeout: 300 * MS, ..Limits::default() };
    everywhere(&limits, |mut town, call, way| {
        let slow = call(&town.net);
        slow.begin_with(handshake());
        let begin = town.net.now();
        let asked = Cell::new(0);
        let net = town.net.clone();
        town.step_while(|| {
            // One byte now and then is no excuse.
            asked.set(asked.get() + 1);
            if asked.get() == 10 {
                slow.send(b"h");
            }
            net.open_sockets() > 0 || slow.is_waiting()
        });
        let took = town.net.now().since(begin);
        assert!((300 * MS..400 * MS).contains(&took), "{way}: {took:?}");
        assert_nobody(&mut town, CloseReason::HandshakeTimeout, way);
    });
}

#[test]
fn the_time_of_a_preamble_is_not_the_sessions() {
    let limits = Limits {
        preamble_timeout: 300 * MS,
        handshake_timeout: Some(500 * MS),
        ..Limits::default()
    };
    everywhere(&limits, |mut town, call, way| {
        let client = call(&town.net);
        client.begin_with(Preamble::heard(1));
        town.settle();
        town.net.advance(290 * MS);
        client.send(b"?");
        town.settle();
        town.net.advance(400 * MS);
        town.settle();
        assert_eq!(opened(&town.facts()), 1, "{way}");
        client.send(&framed(b"in time"));
        town.settle();
        assert_eq!(client.received(), framed(b"in time"), "{way}");
    });
}

#[test]
fn a_preamble_that_came_in_time_but_was_not_seen_in_time_is_done() {
    let limits = Limits { preamble_timeout: 300 * MS, ..Limits::default() };
    for trigger in BOTH {
        // The waits tell of one event each; the clock has moved before any was told.
        let faults = Faults { events_max: 1, ..Faults::none() };
        let mut world = World::with_faults(0, trigger, faults, limits.clone(), echo());
        let clients: Vec<Client> = (0..5).map(|_| world.net.connect(0)).collect();
        clients.iter().for_each(|client| client.begin_with(Preamble::heard(1)));
        world.settle();
        clients.iter().for_each(|client| client.send(b"?"));
        world.net.advance(400 * MS);
        world.settle();
        assert_eq!(opened(&world.facts()), 5, "{trigger:?}");
    }
}

#[test]
fn a_stop_closes_those_in_the_middle_at_once() {
    everywhere(&Limits::default(), |mut town, call, way| {
        let client = call(&town.net);
        client.begin_with(handshake());
        client.send(b"hello");
        town.settle();
        // No timer is waited for: there is nothing to drain.
        town.net.hold_clock(true);
        town.remote.stop();
        town.run_out();
        assert_nobody(&mut town, CloseReason::Stopped, way);
    });
}

#[test]
fn a_caller_in_the_middle_has_a_place_among_all_sessions() {
    let limits = Limits { sessions_max: 1, admission_grace: 50 * MS, ..Limits::default() };
    everywhere(&limits, |mut town, call, way| {
        let first = call(&town.net);
        first.begin_with(handshake());
        town.settle();
        let second = call(&town.net);
        second.begin_with(Preamble::heard(1));
        second.send(b"?");
        town.settle();
        let net = town.net.clone();
        town.step_while(|| net.open_sockets() == 2);
        assert_eq!(town.stats().refused_by_limit, 1, "{way}");
        let third = call(&town.net);
        third.begin_with(Preamble::heard(1));
        third.send(b"?");
        town.settle();
        assert_eq!(opened(&town.facts()), 0, "{way}");
        first.reset();
        town.settle();
        assert_eq!(opened(&town.facts()), 1, "{way}: the place was free, within the grace");
        third.reset();
        town.settle();
        assert_eq!(town.net.open_sockets(), 0, "{way}");
    });
}

/// A caller by way of a proxy, whose header tells the address.
fn through_proxy(net: &Net, call: &dyn Fn(&Net) -> Client, told: &str) -> Client {
    let client = call(net);
    let address: Address = told.parse().unwrap();
    let preamble = Preamble { address: Some(address), reads_ahead: true, ..Preamble::heard(4) };
    client.begin_with(preamble);
    client.send(b"from");
    client.send(&framed(b"x"));
    client
}

#[test]
fn sessions_are_counted_by_the_address_that_a_preamble_has_told() {
    let limits = Limits {
        sessions_per_address_max: Some(1),
        admission_grace: 100 * MS,
        ..Limits::default()
    };
    let proxy: [fn(&Net) -> Client; 2] =
        [|net| net.connect_from(0, [10, 9, 9, 9].into()), |net| net.connect_unix(0)];
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        for call in proxy {
            let way = format!("{plan:?}, {trigger:?}");
            let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, echo);
            let told = ["192.0.2.1:1", "192.0.2.2:1", "192.0.2.1:2", "192.0.2.1:3"];
            let clients = told.map(|told| {
                let client = through_proxy(&town.net, &call, told);
                town.settle();
                client
            });
            let answered = clients.each_ref().map(|client| client.received().len());
            assert_eq!(answered, [5, 5, 0, 0], "{way}: one session for each address");
            clients[0].reset();
            town.settle();
            assert_eq!(clients[2].received(), framed(b"x"), "{way}: its predecessor has ended");
            assert_eq!((clients[3].received(), clients[3].end()), (vec![], None), "{way}");
            town.step_while(|| clients[3].end().is_none());
            let stats = town.stats();
            assert_eq!((stats.refused_by_limit, stats.opened), (1, 3), "{way}");
            assert_eq!((stats.preambles, stats.preambles_failed), (4, 0), "{way}");
            // All are counted out again, by the address by which they were counted in.
            clients.iter().for_each(Client::reset);
            town.settle();
            let again =
                ["192.0.2.1:4", "192.0.2.2:4"].map(|told| through_proxy(&town.net, &call, told));
            town.settle();
            assert!(again.iter().all(|client| client.received() == framed(b"x")), "{way}");
            town.remote.stop();
            town.run_out();
        }
    }
}

/// Writes down who comes.
struct Guests(Rc<RefCell<Vec<Peer>>>);

impl Handler for Guests {
    type Framer = Raw;
    type Session = ();

    fn on_open(&mut self, peer: &Peer, _: &mut Context<'_>) -> (Raw, ()) {
        self.0.borrow_mut().push(peer.clone());
        (Raw, ())
    }

    fn on_frame(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_>) {}
}

#[test]
fn a_handler_is_told_the_address_that_a_preamble_has_told_or_else_the_callers_own() {
    for trigger in BOTH {
        let net = Net::new(0, trigger, Faults::none());
        let (guests, kernel) = (Rc::default(), net.kernel());
        let setup = Setup::new(&kernel, vec![net.listener(), net.listener()], Limits::default());
        let mut reactor = Reactor::new(kernel, setup, Guests(Rc::clone(&guests))).unwrap();
        let _told = through_proxy(&net, &|net| net.connect(0), "[2001:db8::7]:99");
        let own = net.connect(1);
        own.begin_with(Preamble::heard(1));
        own.send(b"?");
        net.settle(1_000, || assert!(reactor.turn().unwrap()));
        let told = "[2001:db8::7]:99".parse().unwrap();
        let both = [
            Peer { address: told, listener: Some(0) },
            Peer { address: own.address(), listener: Some(1) },
        ];
        assert_eq!(*guests.borrow(), both, "{trigger:?}");
    }
}

#[test]
fn an_urgent_mark_in_the_preamble_or_right_behind_it_holds_nothing_up() {
    for reads_ahead in [false, true] {
        everywhere(&Limits::default(), |mut town, call, way| {
            let client = call(&town.net);
            client.begin_with(Preamble { reads_ahead, ..Preamble::heard(6) });
            client.send(b"pre");
            client.send_urgent();
            client.send(b"amb");
            client.send_urgent();
            client.send(&framed(b"hi"));
            town.settle();
            assert_eq!(client.received(), framed(b"hi"), "{way}, reads ahead: {reads_ahead}");
        });
    }
}

#[test]
fn a_preamble_is_asked_for_again_only_when_something_came() {
    for trigger in BOTH {
        let mut world = World::new(trigger, Limits::default(), echo());
        let client = world.net.connect(0);
        client.begin_with(handshake());
        for piece in [&b"h"[..], b"ell", b"o", b"you!"] {
            client.send(piece);
            world.settle();
            let before = world.net.calls();
            (0..5).for_each(|_| world.settle());
            assert_eq!((world.net.calls() - before).errors, 0, "{trigger:?}");
        }
        assert_eq!(opened(&world.facts()), 1);
    }
}

#[test]
fn a_false_alarm_opens_nobody() {
    let faults = Faults { spurious: 900, ..Faults::none() };
    for trigger in BOTH {
        let limits = Limits::default();
        let mut world = World::with_faults(0, trigger, faults.clone(), limits, echo());
        let clients: Vec<Client> = (0..20).map(|_| world.net.connect(0)).collect();
        clients.iter().for_each(|client| client.begin_with(handshake()));
        world.turn_while(|world| world.reactor.stats().preambles_failed < 20);
        assert_eq!(world.facts(), [], "{trigger:?}");
        assert!(world.net.calls().errors > 20, "each was asked at its deadline, and some before");
    }
}

#[test]
fn a_session_that_was_dialled_may_have_a_preamble_too() {
    for trigger in BOTH {
        for refused in [None, Some("no version")] {
            let dialled = Rc::new(Cell::new(SessionId::NONE));
            let id = dialled.clone();
            let dial = echo_and(move |fact, context| {
                if *fact == Fact::Open(SessionId::NONE) {
                    let to: Address = "10.9.9.9:99".parse().unwrap();
                    id.set(context.connect(&to, Duration::from_secs(1)).unwrap());
                }
            });
            let mut world = World::new(trigger, Limits::default(), dial);
            world.settle();
            let peer = world.net.dialled().unwrap();
            let legs = vec![Leg::Says(5), Leg::Hears(3)];
            peer.begin_with(Preamble { legs, refused, ..Preamble::default() });
            peer.accept();
            world.settle();
            // Flushed in the middle, which is no reason to be watched for anything else.
            let before = world.net.calls();
            world.remote.send(dialled.get(), "hello").unwrap();
            world.remote.tell(dialled.get(), Told::new("word")).unwrap();
            world.settle();
            let calls = world.net.calls() - before;
            assert_eq!((calls.rearms, calls.errors), (0, 0), "{trigger:?}");
            assert_eq!((world.facts(), peer.take_received()), (vec![], b"!!!!!".to_vec()));
            peer.send(b"yes");
            world.settle();
            let id = dialled.get();
            let expected = match refused {
                None => vec![Fact::Open(id), Fact::Message(id, b"word".to_vec())],
                Some(why) => vec![Fact::ConnectFailed(id, CloseReason::Malformed(why))],
            };
            assert_eq!(world.facts(), expected, "{trigger:?}");
            let sent = if refused.is_none() { &b"hello"[..] } else { b"" };
            assert_eq!(peer.received(), sent, "{trigger:?}");
            let stats = world.reactor.stats();
            assert_eq!((stats.preambles, stats.preambles_failed), (0, 0), "{trigger:?}");
            assert_eq!(stats.mails_stale, u64::from(refused.is_some()), "{trigger:?}");
        }
    }
}

#[test]
fn a_panic_when_a_session_is_opened_behind_its_preamble_ends_that_one_alone() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let seen = Rc::new(Cell::new(0));
        let clumsy = || {
            let seen = seen.clone();
            echo_and(move |fact, _| {
                if matches!(fact, Fact::Open(id) if *id != SessionId::NONE) {
                    seen.set(seen.get() + 1);
                    assert!(seen.get() != 1, "clumsy");
                }
            })
        };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &Limits::default(), clumsy);
        let clients: Vec<Client> = (0..2)
            .map(|_| {
                let client = town.net.connect(0);
                client.begin_with(Preamble { reads_ahead: true, ..Preamble::heard(1) });
                client.send(&[b"?", &framed(b"hi")[..]].concat());
                town.settle();
                client
            })
            .collect();
        let ends: Vec<_> = clients.iter().map(Client::end).collect();
        assert_eq!(ends, [Some(End::Reset), None], "{plan:?}, {trigger:?}");
        assert_eq!(clients[1].received(), framed(b"hi"), "{plan:?}, {trigger:?}");
    }
}

#[test]
fn of_many_preambles_that_fail_the_operator_reads_little_and_of_those_who_leave_nothing() {
    for plan in [Plan::Handoff(1, Balance::RoundRobin), Plan::Workers(1)] {
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = told.clone();
        let report = Report::new(move |incident| hears.lock().unwrap().push(incident));
        let limits = Limits::default();
        let (level, none) = (Trigger::Level, Faults::none());
        let mut town = Town::reporting(0, plan, level, none, &limits, echo, report);
        let call = |refused| {
            let client = town.net.connect(0);
            client.begin_with(Preamble { refused, ..Preamble::heard(1) });
            client
        };
        let leaves = call(None);
        let refused: Vec<Client> = (0..100).map(|_| call(Some("no version"))).collect();
        leaves.finish();
        refused.iter().for_each(|client| client.send(b"?"));
        town.settle();
        town.remote.stop();
        town.run_out();
        let failed = |incident: &Incident| match incident {
            Incident::PreambleFailed { reason, .. } => Some((1, *reason)),
            Incident::Repeated { last, count } => match **last {
                Incident::PreambleFailed { reason, .. } => Some((*count, reason)),
                _ => None,
            },
            _ => None,
        };
        let told: Vec<_> = told.lock().unwrap().iter().filter_map(failed).collect();
        let reason = CloseReason::Malformed("no version");
        assert_eq!(told, [(1, reason), (99, reason)], "{plan:?}");
        assert_eq!(town.stats().preambles_failed, 101, "{plan:?}");
    }
}

#[test]
fn a_flood_of_preambles_that_never_finish_is_bounded_and_passes() {
    let limits = Limits {
        sessions_max: 10,
        preamble_timeout: 50 * MS,
        admission_grace: 10 * MS,
        ..Limits::default()
    };
    everywhere(&limits, |mut town, call, way| {
        let flood: Vec<Client> = (0..100).map(|_| call(&town.net)).collect();
        flood.iter().for_each(|client| client.begin_with(Preamble::heard(1)));
        let net = town.net.clone();
        town.step_while(|| net.open_sockets() > 0 || flood.iter().any(Client::is_waiting));
        let stats = town.stats();
        assert!(stats.preambles_failed >= 10, "{way}");
        assert_eq!(stats.preambles_failed + stats.refused_by_limit, 100, "{way}");
        let honest = call(&town.net);
        honest.begin_with(Preamble::heard(1));
        honest.send(&[b"?", &framed(b"hi")[..]].concat());
        town.settle();
        assert_eq!(honest.received(), framed(b"hi"), "{way}");
    });
}
