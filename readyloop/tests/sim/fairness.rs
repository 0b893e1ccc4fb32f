//! Every class of work has its share of a turn, and a stop is heard, whatever else there is to do.

use std::time::Duration;

use readyloop::sim::{Client, Faults};
use readyloop::{Balance, Limits, SessionId, Trigger};

use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, framed};

const PLANS: [Plan; 3] = [Plan::Single, Plan::Handoff(1, Balance::RoundRobin), Plan::Workers(1)];

/// More of each class than several turns have room for.
const MANY: usize = 5_000;
const SESSIONS: usize = 600;

/// A server that has too much of everything to do.
struct Storm {
    town: Town,
    hands_over: bool,
    /// Sessions that are sent one frame before each turn.
    busy: Vec<Client>,
    last: (Client, SessionId),
}

/// Answers everything, so that a lane that comes home is one write; and sets many timers when asked.
fn answer() -> React {
    Box::new(|fact: &Fact, context| match fact {
        Fact::Open(id) if *id == SessionId::NONE => {}
        Fact::Frame(_, frame) if frame == b"timers" => {
            for _ in 0..MANY {
                context.set_timer(Duration::from_millis(1));
            }
        }
        Fact::Open(_) | Fact::Frame(..) | Fact::Timer(..) => {
            let _perhaps_closing = context.send(b".");
        }
        _ => {}
    })
}

/// What was done in one turn, by class.
#[derive(Debug)]
struct Done {
    callers: u64,
    mails: u64,
    events: u64,
    left_over: u64,
    timers: u64,
    lanes: u64,
}

impl Storm {
    fn new(plan: Plan, trigger: Trigger) -> Storm {
        let limits = Limits { recv_budget_bytes: 1, recv_buffer_bytes: 64, ..Limits::default() };
        let faults = Faults { events_max: limits.events_per_wait, ..Faults::none() };
        let mut town = Town::new(0, plan, trigger, faults, &limits, answer);
        town.net.no_hook();
        let hands_over = matches!(plan, Plan::Handoff(..));
        let last = town.caller();
        let [busy, greedy] = [0; 2].map(|_| {
            let clients: Vec<_> = (0..SESSIONS).map(|_| town.net.connect(0)).collect();
            town.settle();
            clients
        });
        last.0.send(&framed(b"timers"));
        town.settle();
        town.net.advance(Duration::from_millis(10));
        if trigger == Trigger::Edge {
            // A read of 64 bytes spends the budget, and only we know that there is more.
            greedy.iter().for_each(|client| client.send(&framed(b"more").repeat(200)));
        }
        (0..MANY).for_each(|_| town.remote.run_on(0, |_| {}).unwrap());
        let mut storm = Storm { town, hands_over, busy, last };
        for _ in 0..MANY / 50 {
            (0..50).for_each(|_| drop(storm.town.net.connect(0)));
            if hands_over {
                storm.town.step_acceptor();
            }
        }
        storm
    }

    /// A turn of the reactor, after the others have done their work.
    fn turn(&mut self) -> Done {
        self.town.work();
        self.busy.iter().for_each(|client| client.send(&framed(b"one")));
        let (stats, calls) = (self.town.stats(), self.town.net.calls());
        self.town.turn(0);
        let (after, calls) = (self.town.stats(), self.town.net.calls() - calls);
        Done {
            callers: calls.watches,
            mails: after.mails - stats.mails,
            events: after.events - stats.events,
            left_over: after.left_over - stats.left_over,
            timers: after.timers - stats.timers,
            lanes: calls.sends,
        }
    }
}

#[test]
fn every_class_of_work_has_its_share_of_a_turn() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut storm = Storm::new(plan, trigger);
        // The first turns read what is left over later, and send lanes out.
        for _ in 0..6 {
            storm.turn();
        }
        for _ in 0..5 {
            let done = storm.turn();
            let Done { callers, mails, events, left_over, timers, lanes } = done;
            let mut classes = vec![callers, mails, events, timers];
            // Of commands and of lanes none overtakes another, so the two are one class.
            if matches!(plan, Plan::Workers(_)) {
                classes[1] += lanes;
            }
            classes.extend((trigger == Trigger::Edge).then_some(left_over));
            let all: u64 = classes.iter().sum();
            let least = classes.iter().min().unwrap();
            assert!(8 * least >= all, "{plan:?}, {trigger:?}: {done:?}");
        }
    }
}

#[test]
fn a_stop_is_heard_within_two_turns_and_behind_what_was_asked_before_it() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut storm = Storm::new(plan, trigger);
        storm.turn();
        storm.town.facts();
        let (client, id) = (storm.last.0.clone(), storm.last.1);
        storm.town.remote.send(id, "the last word").unwrap();
        storm.town.remote.stop();
        if storm.hands_over {
            (0..2).for_each(|_| storm.town.step_acceptor());
        }
        for _ in 0..2 {
            storm.turn();
        }
        storm.town.work();
        let closing = |fact: &&Fact| matches!(fact, Fact::Closing(..));
        let heard = storm.town.facts().iter().filter(closing).count();
        assert!(heard > 2 * SESSIONS, "{plan:?}, {trigger:?}: {heard} sessions have heard of it");
        storm.town.turn(0);
        storm.town.turn(0);
        let received = client.received();
        let text = b"the last word";
        let said = received.windows(text.len()).any(|some| some == text);
        assert!(said, "{plan:?}, {trigger:?}: it was overtaken by the stop");
    }
}
