//! What comes to a session on a worker while its frames wait: timers, and ends.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{CloseReason, Limits, SessionId, TimerId};

use super::order::ways;
use super::town::Town;
use super::world::{Fact, React, framed};

const MS: Duration = Duration::from_millis(1);

/// Far longer than it takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does it on a thread of its own, so that a worker that never comes to the end of a run fails its test
/// and holds up no other.
fn soon(act: fn()) {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        act();
        done.send(()).unwrap();
    });
    match is_done.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not come to an end"),
        _ => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
    }
}

#[test]
fn a_timer_that_panics_while_the_session_is_paused_ends_the_session_and_no_worker() {
    soon(panic_in_timers_of_the_paused);
}

fn panic_in_timers_of_the_paused() {
    let limits = Limits { send_low_bytes: 10, send_high_bytes: 50, ..Limits::default() };
    for (plan, trigger) in ways() {
        for timers in [1, 2, 5] {
            let set: Rc<RefCell<Vec<TimerId>>> = Rc::default();
            let calls = Rc::new(Cell::new(0));
            let (known, count) = (set.clone(), calls.clone());
            let react = move || -> React {
                let (known, count) = (known.clone(), count.clone());
                Box::new(move |fact, context| match fact {
                    Fact::Open(SessionId::NONE) => {}
                    Fact::Open(_) => known
                        .borrow_mut()
                        .extend((0..timers).filter_map(|_| context.set_timer(10 * MS))),
                    Fact::Frame(_, frame) if frame == b"pause" => {
                        assert!(context.send(&[1; 100]) && context.pause_until_drained());
                    }
                    Fact::Timer(..) => {
                        count.set(count.get() + 1);
                        panic!("in a timer");
                    }
                    _ => {}
                })
            };
            let mut town = Town::new(0, plan, trigger, Faults::none(), &limits, react);
            let (client, id) = town.caller();
            client.set_window(10);
            client.stop_reading();
            client.send(&[framed(b"pause"), framed(b"waits"), framed(b"waits")].concat());
            town.settle();
            town.net.advance(20 * MS);
            town.settle();
            let way = format!("{plan:?} {trigger:?} {timers}");
            assert_eq!((calls.get(), town.stats().panics), (1, 1), "{way}");
            let closed = Fact::Close(id, CloseReason::HandlerPanicked);
            let facts = town.facts();
            let frames = facts.iter().filter(|fact| matches!(fact, Fact::Frame(..))).count();
            assert!(facts.contains(&closed) && frames == 1, "{way}: {facts:?}");
            // The workers go on.
            let (other, _) = town.caller();
            other.send(&framed(b"waits"));
            town.settle();
            assert_eq!(
                town.facts().iter().filter(|fact| matches!(fact, Fact::Frame(..))).count(),
                1
            );
        }
    }
}
