//! What an operator is told, and that telling it hurts nobody.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use readyloop::sim::{End, Faults};
use readyloop::{Balance, CloseReason, Errno, Incident, Limits, Report, Trigger};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, echo, echo_and, framed};

const PLANS: [Plan; 4] =
    [Plan::ReusePort(1), Plan::Handoff(2, Balance::RoundRobin), Plan::Workers(2), Plan::Pool(2, 2)];

/// Panics at a frame that says so.
fn clumsy() -> React {
    echo_and(|fact, _| {
        if let Fact::Frame(_, frame) = fact {
            assert_ne!(frame, b"bomb", "boom");
        }
    })
}

/// A town, and what was told since it was last asked.
fn town(plan: Plan) -> (Town, impl Fn() -> Vec<Incident>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tells = told.clone();
    let report = Report::new(move |incident| tells.lock().unwrap().push(incident));
    let trigger = Trigger::Level;
    let town =
        Town::reporting(7, plan, trigger, Faults::none(), &Limits::default(), clumsy, report);
    (town, move || std::mem::take(&mut *told.lock().unwrap()))
}

#[test]
fn a_flood_of_panics_is_told_in_two_lines_within_ten_seconds() {
    for plan in PLANS {
        let (mut town, told) = town(plan);
        let begin = town.net.now();
        for _ in 0..200 {
            town.net.connect(0).send(&framed(b"bomb"));
        }
        town.settle();
        let first = told();
        assert!(matches!(first[..], [Incident::Panicked { .. }]), "{plan:?}: {first:?}");
        // Nothing else happens: the second line needs no other incident.
        let net = town.net.clone();
        town.step_while(|| net.now().since(begin) < Duration::from_secs(10));
        town.settle();
        let [Incident::Repeated { last, count: 199 }] = &told()[..] else { panic!("{plan:?}") };
        assert!(matches!(**last, Incident::Panicked { .. }), "{plan:?}: {last}");
        assert_eq!(town.stats().panics, 200);
        town.remote.stop();
        town.run_out();
        let end = told();
        let has_ended = |incident| matches!(incident, &Incident::Ended { .. });
        assert!(end.last().is_some_and(has_ended), "{plan:?}: {end:?}");
    }
}

#[test]
fn a_listener_that_rests_all_the_time_is_told_once_in_ten_seconds() {
    for plan in PLANS {
        let (mut town, told) = town(plan);
        town.net.refuse_descriptors(usize::MAX);
        for _ in 0..350 {
            town.net.connect(0);
            town.settle();
            town.net.advance(Duration::from_millis(100));
        }
        assert!(town.stats().listener_rests > 300, "{plan:?}: {:?}", town.stats());
        let told = told();
        assert_eq!(told.len(), 4, "{plan:?}: {told:?}");
        assert_eq!(town.net.open_sockets(), 0);
    }
}

#[test]
fn a_hook_that_panics_costs_no_session_and_no_thread() {
    for plan in PLANS {
        let report = Report::new(|_| panic!("the hook"));
        let (limits, faults) = (Limits::default(), Faults::none());
        let trigger = Trigger::Edge;
        let mut town = Town::reporting(7, plan, trigger, faults, &limits, clumsy, report);
        let clients: Vec<_> = (0..8).map(|_| town.caller().0).collect();
        for (nth, client) in clients.iter().enumerate() {
            client.send(&framed(if nth % 2 == 0 { b"bomb" } else { b"fine" }));
        }
        town.net.limit_descriptors(0);
        town.net.connect(0);
        town.settle();
        for (nth, client) in clients.iter().enumerate() {
            let expected = if nth % 2 == 0 { vec![] } else { framed(b"fine") };
            assert_eq!(client.received(), expected, "{plan:?}");
            assert_eq!(client.end() == Some(End::Reset), nth % 2 == 0, "{plan:?}");
        }
        town.remote.stop();
        drop(clients);
        town.run_out();
        let closed = |reason: CloseReason| town.stats().closed[reason.kind()];
        assert_eq!(closed(CloseReason::HandlerPanicked), 4, "{plan:?}");
        assert_eq!(closed(CloseReason::Stopped), 4, "{plan:?}");
    }
}

/// Sessions of which handlers were told that they began, and that they ended.
fn begun_and_ended(facts: &[Fact]) -> (usize, Vec<CloseReason>) {
    let begun = facts.iter().filter(|fact| matches!(fact, Fact::Open(_))).count();
    let ended = facts.iter().filter_map(|fact| match fact {
        Fact::Close(_, reason) => Some(*reason),
        _ => None,
    });
    (begun, ended.collect())
}

#[test]
fn a_poller_that_fails_ends_every_session_with_its_reason() {
    const BADF: Errno = Errno(9);
    // Who fails: a reactor, the acceptor, the reactor of workers.
    let plans = [
        (Plan::ReusePort(1), 1),
        (Plan::Handoff(2, Balance::RoundRobin), 1),
        (Plan::Handoff(2, Balance::RoundRobin), 0),
        (Plan::Workers(2), 0),
    ];
    for (plan, failing) in plans {
        for trigger in BOTH {
            for seed in 0..20 {
                let (limits, faults) = (Limits::default(), Faults::none());
                let mut town = Town::new(seed, plan, trigger, faults, &limits, echo);
                let clients: Vec<_> = (0..6).map(|_| town.caller().0).collect();
                clients.iter().for_each(|client| client.send(&framed(b"some frame")));
                // With workers, some lanes are away when it happens.
                (0..seed).for_each(|_| town.step());
                town.may_fail = true;
                town.net.fail_waits(failing, BADF);
                town.run_out();
                let (_, mut ended) = begun_and_ended(&town.facts());
                ended.sort_by_key(|reason| reason.kind());
                let of_those_who_failed = match plan {
                    _ if failing == 0 && plan != Plan::Workers(2) => 0,
                    Plan::Handoff(..) => 3,
                    _ => 6,
                };
                let mut expected = vec![CloseReason::System(BADF); of_those_who_failed];
                expected.resize(6, CloseReason::Stopped);
                expected.sort_by_key(|reason| reason.kind());
                assert_eq!(ended, expected, "{plan:?}, {trigger:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_handler_that_dials_whenever_something_ends_does_not_outlive_its_poller() {
    for plan in PLANS {
        let stubborn = || {
            echo_and(|fact, context| {
                if let Fact::Close(..) | Fact::ConnectFailed(..) = fact {
                    let again = "10.0.0.1:1".parse().unwrap();
                    context.connect(&again, Duration::from_secs(1));
                }
            })
        };
        let (limits, faults) = (Limits::default(), Faults::none());
        let mut town = Town::new(7, plan, Trigger::Level, faults, &limits, stubborn);
        let _client = town.caller();
        town.may_fail = true;
        town.net.fail_waits(usize::from(plan != Plan::Workers(2)), Errno(9));
        town.run_out();
    }
}
