//! Messages of other threads, and an end that is asked for behind them: what was told is heard, and what
//! is answered to it leaves, on every topology.

use std::cell::Cell;
use std::rc::Rc;

use readyloop::sim::{Client, End, Faults};
use readyloop::{CloseReason, Limits, SessionId, Trigger};

use super::order::{town, ways};
use super::town::{Plan, Town};
use super::world::{Fact, Told, framed};

/// A server that answers what it is told, and closes its second caller, whom it tells so before, if it is asked
/// to.
fn town_that_answers(way: (Plan, Trigger), second: &Rc<Cell<SessionId>>) -> Town {
    let second = second.clone();
    town(0, way, Faults::none(), &Limits::default(), move |fact, context, remote| match fact {
        Fact::Frame(..) => {
            remote.tell(second.get(), Told::new("1")).unwrap();
            remote.tell(second.get(), Told::new("2")).unwrap();
            context.close_session(second.get());
        }
        Fact::Message(_, text) => assert!(context.send(text)),
        _ => {}
    })
}

#[test]
fn what_a_session_was_told_before_it_is_closed_is_heard_and_answered() {
    let closes: [fn(&mut Town, &Client, SessionId); 3] = [
        |town, _, id| {
            for text in ["1", "2"] {
                town.remote.tell(id, Told::new(text)).unwrap();
            }
            town.remote.close(id).unwrap();
        },
        |town, _, id| {
            for text in ["1", "2"] {
                town.remote.tell(id, Told::new(text)).unwrap();
            }
            town.without_workers(Town::settle);
            town.remote.close(id).unwrap();
        },
        |_, other, _| other.send(&framed(b"close the second")),
    ];
    for (way, close) in ways().flat_map(|way| closes.map(|close| (way, close))) {
        let id = Rc::new(Cell::new(SessionId::NONE));
        let mut town = town_that_answers(way, &id);
        let (other, _) = town.caller();
        let (client, second) = town.caller();
        id.set(second);
        close(&mut town, &other, second);
        town.settle();
        client.finish();
        town.settle();
        let end = (client.received(), client.end());
        assert_eq!(end, (b"12".to_vec(), Some(End::Finished)), "{way:?}");
        let reasons = town.facts().into_iter().filter(|fact| matches!(fact, Fact::Close(..)));
        let closed = Fact::Close(second, CloseReason::Closed);
        assert_eq!(reasons.collect::<Vec<_>>(), [closed], "{way:?}");
    }
}
