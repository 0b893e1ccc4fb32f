//! Inboxes that the server's own callbacks fill: whoever asks is held, nobody is refused, and nobody else
//! waits.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{End, Faults};
use readyloop::{Address, CloseReason, Context, Limits, Trigger};

use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, Remote, Told, framed};

const ANSWER: usize = 400;

/// An inbox that two answers fill, and lanes that a few frames do.
fn limits() -> Limits {
    Limits { mailbox_bytes_max: 2 * ANSWER, lane_bytes_max: 200, ..Limits::default() }
}

/// Frames that begin with `?` are answered through the `Remote`, others at once.
fn answer(fact: &Fact, context: &mut Context<'_>, remote: &Remote) {
    if let Fact::Frame(id, frame) = fact {
        match frame.first() {
            Some(b'?') => remote.send(*id, vec![b'a'; ANSWER]).unwrap(),
            _ => assert!(context.send(frame)),
        }
    }
}

fn asked(plan: Plan, trigger: Trigger) -> Town {
    town(0, (plan, trigger), Faults::none(), &limits(), answer)
}

#[test]
fn many_who_fill_an_inbox_are_all_answered_whole() {
    for (plan, trigger) in ways() {
        let mut town = asked(plan, trigger);
        let askers: Vec<_> = (0..20).map(|_| town.caller().0).collect();
        let bystanders: Vec<_> = (0..5).map(|_| town.caller().0).collect();
        askers.iter().for_each(|client| client.send(&framed(b"?").repeat(15)));
        bystanders.iter().for_each(|client| client.send(&framed(b"hello")));
        town.settle();
        for client in &askers {
            assert_eq!(client.received().len(), 15 * ANSWER, "{plan:?} {trigger:?}");
        }
        assert!(bystanders.iter().all(|client| client.received() == b"hello"));
        assert_eq!(town.stats().mails_refused, 0);
    }
}

#[test]
fn who_fills_an_inbox_in_one_segment_is_held_at_once() {
    for (plan, trigger) in ways() {
        let mut town = asked(plan, trigger);
        let (client, _) = town.caller();
        let (other, _) = town.caller();
        client.send(&framed(b"?").repeat(100));
        other.send(&framed(b"hello"));
        let (mut most, mut all) = (0, 0);
        town.facts();
        for _ in 0..10_000 {
            town.step();
            let told = town.facts().len();
            most = most.max(told);
            all += told;
        }
        assert_eq!(all, 101, "{plan:?} {trigger:?}");
        assert!(most <= 4, "{plan:?} {trigger:?}: {most} frames in one step");
        town.settle();
        assert_eq!((client.received().len(), other.received()), (100 * ANSWER, b"hello".to_vec()));
    }
}

#[test]
fn a_bystander_is_served_while_the_inbox_is_full() {
    for trigger in BOTH {
        let mut town = asked(Plan::Single, trigger);
        let (client, _) = town.caller();
        let (other, _) = town.caller();
        for _ in 0..50 {
            client.send(&framed(b"?").repeat(10));
            other.send(&framed(b"hello"));
            // Read, then answered behind what is in the inbox, then written.
            (0..3).for_each(|_| town.turn(0));
            assert_eq!(other.take_received(), b"hello", "{trigger:?}");
        }
        town.settle();
        assert_eq!(client.received().len(), 500 * ANSWER);
    }
}

#[test]
fn who_answers_itself_by_remote_is_held_at_the_high_mark_and_loses_nothing() {
    let limits = Limits {
        send_low_bytes: 100,
        send_high_bytes: 2 * ANSWER,
        send_max_bytes: 4 * ANSWER,
        ..Limits::default()
    };
    for (plan, trigger) in ways() {
        let mut town = town(0, (plan, trigger), Faults::none(), &limits, answer);
        let (client, _) = town.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(b"?").repeat(50));
        town.settle();
        assert!(town.facts().len() < 10, "{plan:?} {trigger:?}: it goes on without end");
        client.resume_reading();
        town.settle();
        assert_eq!(client.received().len(), 50 * ANSWER, "{plan:?} {trigger:?}");
    }
}

#[test]
fn who_is_cut_off_while_mail_for_it_waits_sees_a_reset() {
    let limits = Limits { mails_per_turn: 1, ..Limits::default() };
    for (plan, trigger) in ways() {
        let way = (plan, trigger);
        let mut town = town(0, way, Faults::none(), &limits, |fact, _, remote| {
            if let Fact::Closing(id, CloseReason::Stopped) = fact {
                (0..50).for_each(|_| remote.send(*id, "bye").unwrap());
            }
        });
        let (client, id) = town.caller();
        town.remote.stop();
        (0..30).for_each(|_| town.step());
        town.net.advance(limits.drain_timeout);
        town.run_out();
        let cut_off = Fact::Close(id, CloseReason::DrainTimeout);
        assert!(town.facts().contains(&cut_off), "{plan:?} {trigger:?}");
        assert_eq!(client.end(), Some(End::Reset), "{plan:?} {trigger:?}");
    }
}

#[test]
fn a_handler_knows_whether_its_session_is_held() {
    let limits = Limits { send_low_bytes: 100, send_high_bytes: 800, ..Limits::default() };
    for (plan, trigger) in ways() {
        let seen: Rc<RefCell<Vec<bool>>> = Rc::default();
        let told = seen.clone();
        let way = (plan, trigger);
        let mut town = town(0, way, Faults::none(), &limits, move |fact, context, _| match fact {
            Fact::Frame(..) => {
                let second = Duration::from_secs(1);
                assert!(context.send(&[b'a'; 1_000]) && context.set_timer(second).is_some());
                assert!(context.set_timer(2 * second).is_some());
            }
            Fact::Timer(..) => told.borrow_mut().push(context.is_held()),
            _ => {}
        });
        let (client, _) = town.caller();
        client.set_window(10);
        client.stop_reading();
        client.send(&framed(b"x"));
        town.settle();
        town.net.advance(Duration::from_secs(1));
        town.settle();
        client.resume_reading();
        town.settle();
        town.net.advance(Duration::from_secs(1));
        town.settle();
        assert_eq!(*seen.borrow(), [true, false], "{plan:?} {trigger:?}");
    }
}

#[test]
fn who_fills_an_inbox_with_what_a_worker_dials_is_held_at_once() {
    for trigger in BOTH {
        let limits = Limits { mailbox_mails_max: 2, ..Limits::default() };
        let way = (Plan::Workers(1), trigger);
        let mut town = town(0, way, Faults::none(), &limits, |fact, context, _| {
            if let Fact::Frame(..) = fact {
                let to: Address = "10.9.9.9:9".parse().unwrap();
                for _ in 0..4 {
                    context.connect(&to, Duration::from_secs(1)).unwrap();
                }
            }
        });
        let (client, id) = town.caller();
        town.facts();
        town.net.while_asleep(|| {});
        client.send(&framed(b"x").repeat(2));
        while town.facts().is_empty() {
            town.turn(0);
            town.work();
        }
        // Both frames were on one lane, and the inbox is full of dials behind the first.
        town.work();
        assert_eq!(town.facts(), [], "{trigger:?}");
        (0..10).for_each(|_| {
            town.turn(0);
            town.work();
        });
        assert!(town.facts().contains(&Fact::Frame(id, b"x".to_vec())), "{trigger:?}");
    }
}

#[test]
fn who_fills_an_inbox_because_it_was_told_something_is_held_and_nobody_else() {
    for trigger in BOTH {
        let mut town = asked_when_told(trigger);
        let (other, _) = town.caller();
        let (client, id) = town.caller();
        // Served last, before the message comes.
        other.send(&framed(b"a"));
        town.settle();
        town.remote.tell(id, Told::new("fill")).unwrap();
        client.send(&framed(b"b"));
        other.send(&framed(b"c"));
        // The mail with the message, and the frames that came with it.
        town.turn(0);
        let frames = |fact: &Fact| matches!(fact, Fact::Frame(..));
        let told: Vec<_> = town.facts().into_iter().filter(frames).collect();
        let (last, others) = (told.last().unwrap(), &told[..told.len() - 1]);
        assert!(matches!(last, Fact::Frame(_, frame) if frame == b"c"), "{trigger:?}: {told:?}");
        assert!(!others.contains(&Fact::Frame(id, b"b".to_vec())), "{trigger:?}: {told:?}");
        town.settle();
        assert!(town.facts().contains(&Fact::Frame(id, b"b".to_vec())), "{trigger:?}");
    }
}

/// A reactor alone, whose sessions fill its inbox when they are told something.
fn asked_when_told(trigger: Trigger) -> Town {
    let way = (Plan::Single, trigger);
    town(0, way, Faults::none(), &limits(), |fact, _, remote| {
        if let Fact::Message(id, _) = fact {
            (0..3).for_each(|_| remote.send(*id, vec![b'a'; ANSWER]).unwrap());
        }
    })
}
