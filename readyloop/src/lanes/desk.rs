//! What the reactor keeps for a session whose handler runs elsewhere, and how it does what that
//! handler has asked for.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use crate::buffer::{CommandBuffer, LaneTimer, Wish};
use crate::framers::{Framer, Step};
use crate::handler::Handler;
use crate::id::SessionId;
use crate::page::Page;
use crate::session::Holds;
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
}

/// What the wheel calls the timers of lanes: of those that have any, by slot.
#[derive(Default)]
pub(super) struct Timers(HashMap<SessionId, Vec<Set>>);

/// A timer that is in the wheel.
struct Set {
    timer: LaneTimer,
    wheel: TimerId,
}

impl<H: Handler> Desk<H> {
    pub(super) fn new(name: SessionId) -> Desk<H> {
        Desk { home: Some(Lane::new(name)), pending: None }
    }
}

impl Timers {
    /// The wheel has fired a timer, and forgets it.
    pub(super) fn fired(&mut self, id: SessionId, wheel: TimerId) -> Option<LaneTimer> {
        let timers = self.0.get_mut(&id)?;
        let nth = timers.iter().position(|set| set.wheel == wheel)?;
        Some(timers.swap_remove(nth).timer)
    }

    /// A session has ended, and its timers with it.
    pub(super) fn forget(&mut self, id: SessionId) {
        self.0.remove(&id);
    }

    fn set(&mut self, sessions: &mut Sessions, id: SessionId, timer: LaneTimer, after: Duration) {
        let timers = self.0.entry(id).or_default();
        if let Some(set) = timers.iter_mut().find(|set| set.timer.id == timer.id) {
            set.timer = timer;
            sessions.reset_timer(id, set.wheel, after);
        } else if let Some(wheel) = sessions.set_timer(id, after) {
            timers.push(Set { timer, wheel });
        }
    }

    fn cancel(&mut self, sessions: &mut Sessions, id: SessionId, timer: TimerId) {
        let Some(timers) = self.0.get_mut(&id) else { return };
        if let Some(nth) = timers.iter().position(|set| set.timer.id == timer) {
            sessions.cancel_timer(id, timers.swap_remove(nth).wheel);
        }
    }
}

/// Does what the handler of the session in slot `id`, known as `name`, has asked for, in order. Says
/// why the session is not read, if its slot was not freed.
#[inline(always)]
pub(super) fn play(
    sessions: &mut Sessions,
    timers: &mut Timers,
    id: SessionId,
    name: SessionId,
    commands: &mut CommandBuffer,
) -> Option<Holds> {
    // By far the most usual: an answer, and nothing else.
    match commands.page.only() {
        Some((to, bytes)) if to == name && commands.wishes.is_empty() => {
            sessions.send_from_elsewhere(id, bytes)
        }
        _ => play_all(sessions, timers, id, name, commands),
    }
}

/// The same for all that may have been asked.
#[inline(never)]
pub(super) fn play_all(
    sessions: &mut Sessions,
    timers: &mut Timers,
    id: SessionId,
    name: SessionId,
    commands: &mut CommandBuffer,
) -> Option<Holds> {
    sessions.stats.panics += std::mem::take(&mut commands.panics);
    let mut played = 0;
    for (behind, wish) in std::mem::take(&mut commands.wishes) {
        send(sessions, id, name, &commands.page, played..behind);
        played = behind;
        play_wish(sessions, timers, id, wish);
    }
    send(sessions, id, name, &commands.page, played..commands.page.len());
    Some(sessions.get(id)?.holds())
}

/// Sends what is in these entries of a page. What is for the session itself was sealed by whoever
/// wrote it down.
fn send(
    sessions: &mut Sessions,
    id: SessionId,
    name: SessionId,
    page: &Page,
    entries: Range<usize>,
) {
    for nth in entries {
        let (to, range) = page.entry(nth);
        match to == name {
            true => sessions.send_bare(id, page.bytes(range)),
            false => sessions.send_to(to, page.bytes(range), id),
        };
    }
}

fn play_wish(sessions: &mut Sessions, timers: &mut Timers, id: SessionId, wish: Wish) {
    match wish {
        Wish::Command(order) => {
            sessions.order(order, id);
        }
        Wish::Broadcast(group, bytes) => {
            sessions.broadcast_here(&group, bytes, id);
        }
        Wish::SetTimer(timer, after) => timers.set(sessions, id, timer, after),
        Wish::CancelTimer(timer) => timers.cancel(sessions, id, timer),
        Wish::Connect(name, route, timeout) => sessions.dial_named(name, route, timeout),
        Wish::WaitForRoom(reactor) => sessions.wait_for_room(id, reactor),
        Wish::Kill(reason) => {
            sessions.kill(id, reason);
        }
        Wish::Stop => sessions.stop = true,
    }
}
