//! What the reactor keeps for a session whose handler runs elsewhere, and how it does what that
//! handler has asked for.

use std::ops::Range;
use std::time::Duration;

use crate::framers::{Framer, Step};
use crate::handler::Handler;
use crate::host::Seats;
use crate::id::SessionId;
use crate::page::Page;
use crate::record::{LaneTimer, Record, Wish};
use crate::sessions::Sessions;
use crate::wheel::TimerId;

use super::lane::{Batch, Lane};

/// A framer that comes when the handler has met the session; the session is not read before.
pub struct Late<F>(pub Option<F>);

impl<F: Framer> Framer for Late<F> {
    #[inline(always)]
    fn next(&mut self, input: &mut [u8]) -> Step {
        match &mut self.0 {
            Some(framer) => framer.next(input),
            None => Step::NeedMore { at_least: 0 },
        }
    }
}

/// The reactor's end of one lane.
pub struct Desk<H: Handler> {
    /// The lane, when it is here.
    pub(super) home: Option<Box<Lane<H>>>,
    /// What gathers for its next trip.
    pub(super) pending: Option<Box<Batch<H::Framer>>>,
    /// What the wheel calls the lane's timers. Boxed, because most sessions have none.
    #[allow(clippy::box_collection)]
    timers: Option<Box<Vec<Set>>>,
}

/// A timer that is in the wheel.
struct Set {
    timer: LaneTimer,
    wheel: TimerId,
}

impl<H: Handler> Desk<H> {
    pub(super) fn new(name: SessionId) -> Desk<H> {
        Desk { home: Some(Lane::new(name)), pending: None, timers: None }
    }

    /// The wheel has fired a timer, and forgets it.
    pub(super) fn fired(&mut self, wheel: TimerId) -> Option<LaneTimer> {
        let timers = self.timers.as_deref_mut()?;
        let nth = timers.iter().position(|set| set.wheel == wheel)?;
        Some(timers.swap_remove(nth).timer)
    }

    fn set_timer(
        &mut self,
        sessions: &mut Sessions,
        id: SessionId,
        timer: LaneTimer,
        after: Duration,
    ) {
        let timers = self.timers.get_or_insert_default();
        let known = timers.iter_mut().find(|set| set.timer.id == timer.id);
        if let Some(set) = known {
            set.timer = timer;
            sessions.reset_timer(id, set.wheel, after);
        } else if let Some(wheel) = sessions.set_timer(id, after) {
            timers.push(Set { timer, wheel });
        }
    }

    fn cancel_timer(&mut self, sessions: &mut Sessions, id: SessionId, timer: TimerId) {
        let Some(timers) = self.timers.as_deref_mut() else { return };
        if let Some(nth) = timers.iter().position(|set| set.timer.id == timer) {
            sessions.cancel_timer(id, timers.swap_remove(nth).wheel);
        }
    }
}

/// Does what the handler of the session in slot `id`, known as `name`, has asked for, in order.
pub(super) fn play<F, H: Handler>(
    sessions: &mut Sessions,
    seats: &mut impl Seats<F, Desk<H>>,
    id: SessionId,
    name: SessionId,
    record: &mut Record,
) {
    let mut played = 0;
    if !record.wishes.is_empty() {
        sessions.stats.panics += record.panics;
        for (behind, wish) in std::mem::take(&mut record.wishes) {
            send(sessions, id, name, &record.page, played..behind);
            played = behind;
            play_wish(sessions, seats, id, wish);
        }
    }
    send(sessions, id, name, &record.page, played..record.page.len());
}

/// Sends what is in these entries of a page.
#[inline]
fn send(
    sessions: &mut Sessions,
    id: SessionId,
    name: SessionId,
    page: &Page,
    entries: Range<usize>,
) {
    for nth in entries {
        let (to, range) = page.entry(nth);
        // By far the most usual: an answer.
        let _to_the_dead = match to == name {
            true => sessions.send(id, page.bytes(range)),
            false => sessions.send_to(to, page.bytes(range), id),
        };
    }
}

fn play_wish<F, H: Handler>(
    sessions: &mut Sessions,
    seats: &mut impl Seats<F, Desk<H>>,
    id: SessionId,
    wish: Wish,
) {
    match wish {
        Wish::Order(order) => {
            sessions.order(order, id);
        }
        Wish::SetTimer(timer, after) => {
            if let Some(desk) = desk(sessions, seats, id) {
                desk.set_timer(sessions, id, timer, after);
            }
        }
        Wish::CancelTimer(timer) => {
            if let Some(desk) = desk(sessions, seats, id) {
                desk.cancel_timer(sessions, id, timer);
            }
        }
        Wish::Connect(name, to, timeout) => sessions.dial_named(name, to, timeout),
        Wish::Finish(reason) => {
            sessions.close(id, reason);
        }
        Wish::Kill(reason) => {
            sessions.kill(id, reason);
        }
        Wish::Stop => sessions.stop = true,
    }
}

/// The desk of a session that has not been reaped.
fn desk<'s, F: 's, H: Handler>(
    sessions: &Sessions,
    seats: &'s mut impl Seats<F, Desk<H>>,
    id: SessionId,
) -> Option<&'s mut Desk<H>> {
    sessions.get(id)?;
    Some(seats.seat(id)?.1)
}
