//! The name of a timer means something to its own session, and to no other.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::Faults;
use readyloop::{Limits, SessionId, TimerId};

use super::order::ways;
use super::town::Town;
use super::world::{Fact, React, framed};

const MS: Duration = Duration::from_millis(1);

#[test]
fn a_timer_is_reset_and_cancelled_by_its_own_session_only() {
    for (plan, trigger) in ways() {
        let all: Rc<RefCell<Vec<(SessionId, TimerId)>>> = Rc::default();
        let taken = Rc::new(RefCell::new(Vec::new()));
        let (known, answers) = (all.clone(), taken.clone());
        let react = move || -> React {
            let (known, answers) = (known.clone(), answers.clone());
            Box::new(move |fact, context| match fact {
                Fact::Open(SessionId::NONE) => {}
                Fact::Open(id) => {
                    let timers = (0..3).filter_map(|_| context.set_timer(10 * MS));
                    known.borrow_mut().extend(timers.map(|timer| (*id, timer)));
                }
                Fact::Frame(id, _) => {
                    for (_, timer) in known.borrow().iter().filter(|(owner, _)| owner != id) {
                        let reset = context.reset_timer(*timer, 3_600_000 * MS);
                        answers.borrow_mut().push(reset || context.cancel_timer(*timer));
                    }
                }
                _ => {}
            })
        };
        let mut town = Town::new(0, plan, trigger, Faults::none(), &Limits::default(), react);
        let callers: Vec<_> = (0..4).map(|_| town.caller().0).collect();
        callers.iter().for_each(|client| client.send(&framed(b"x")));
        town.settle();
        assert_eq!(*taken.borrow(), [false; 4 * 9], "{plan:?} {trigger:?}");
        town.net.advance(20 * MS);
        town.settle();
        let fired = town.facts().into_iter().filter_map(|fact| match fact {
            Fact::Timer(id, timer) => Some((id, timer)),
            _ => None,
        });
        let (mut fired, mut all) = (fired.collect::<Vec<_>>(), all.borrow().clone());
        fired.sort_by_key(|(id, timer)| (*id, format!("{timer:?}")));
        all.sort_by_key(|(id, timer)| (*id, format!("{timer:?}")));
        assert_eq!(fired, all, "{plan:?} {trigger:?}: each by its own name");
    }
}
