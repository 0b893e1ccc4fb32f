//! The table of a reactor's sessions, seen from their send side, and the lists of those that need
//! something before the turn ends.
//!
//! This is all that a handler can reach through its context: queues, states, timers. It never
//! writes and never closes a socket; it records who must be written and who is dead, and the
//! reactor does both at their places in the turn.
//!
//! Invariants: an id is on the page at most once (`Session::entry`); an id is in `dead` exactly
//! once, from the moment its state became `Dead` until it is reaped; while nothing is disturbed, whoever
//! has an entry on the page is open, is read, and waits for nothing but that its bytes leave.

mod admission;
mod commands;
mod dials;
mod encoded;
mod following;
mod groups;
mod lane_timers;
mod served;
mod timers;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::address::Route;
use crate::census::Census;
use crate::clock::Now;
use crate::close::CloseReason;
use crate::encoder::Form;
use crate::id::SessionId;
use crate::limits::Limits;
use crate::members::Members;
use crate::names::Names;
use crate::outbox::Outboxes;
use crate::page::Page;
use crate::readiness::Interest;
use crate::send::{SendQueue, Stock};
use crate::serving::Serving;
use crate::session::{Holds, Phase, Session, Standing};
use crate::slab::{Key, Slab};
use crate::stats::Stats;
use crate::wheel::Wheel;

use encoded::Encoders;
use following::Following;
use lane_timers::LaneTimers;

/// The table.
pub struct Sessions {
    slab: Slab<Session>,
    reactor: u8,
    limits: Limits,
    /// How many there are on all reactors.
    census: Arc<Census>,
    /// The address of each slot's session, if addresses are counted.
    origins: Vec<Option<IpAddr>>,
    /// Sessions that were named before they had a slot.
    names: Names,
    /// Whether any limit asks when bytes, or a first frame, have come.
    timed: bool,
    /// The turn's reading of the clock.
    pub now: Now,
    /// Sessions to write, or whose interest may differ, with their replies of this turn.
    pub page: Page<Rc<Serving>>,
    /// The number of the first entry that was not flushed, on this page or on the one before.
    pub unflushed: u64,
    /// Sessions to reap.
    pub dead: Vec<SessionId>,
    /// Sessions to read in the next turn without being told by the poller.
    pub still_ready: Vec<SessionId>,
    /// Sessions that were dialled in this turn.
    pub dials: Vec<(SessionId, Route)>,
    /// All timers of the reactor.
    pub wheel: Wheel<Timer>,
    /// Those that workers have named.
    lane_timers: LaneTimers,
    /// What is on its way to the sessions of other reactors.
    pub outboxes: Rc<Outboxes>,
    /// What goes by the reactor's own inbox, for each session that it concerns.
    following: BTreeMap<SessionId, Following>,
    /// Those of the sessions that have any.
    encoders: Encoders,
    /// Closes that wait until a handler elsewhere has heard what it was told before.
    ends: BTreeMap<SessionId, CloseReason>,
    reactors: usize,
    /// Who is in which group.
    members: Members,
    /// Spare queues and chunks.
    pub stock: Stock,
    /// What is counted.
    pub stats: Stats,
    /// Why the bytes that were just looked at must be refused.
    pub refusal: Option<CloseReason>,
    /// Whether a handler asked the server to stop.
    pub stop: bool,
    /// Whether the reactor has heard of a stop: no dial begins any more.
    pub drains: bool,
}

/// Whose timer this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timer {
    /// The engine's own, one for each session; what it means depends on the session's state.
    Deadline(SessionId),
    /// One that a handler set.
    User(SessionId),
    /// Kernel memory was missing for this session.
    Memory(SessionId),
    /// Whether the peer of a blocked session takes bytes; with how many it had not taken when that
    /// was looked at last.
    Stall(SessionId, u32),
}

impl Default for Timer {
    /// Nobody's.
    fn default() -> Timer {
        Timer::User(SessionId::NONE)
    }
}

#[inline]
fn key(id: SessionId) -> Key {
    Key { index: id.index() as u32, generation: id.generation() }
}

impl Sessions {
    /// An empty table for the reactor with this number, one of `reactors`.
    pub fn new(
        reactor: u8,
        reactors: usize,
        limits: Limits,
        census: Arc<Census>,
        now: Now,
    ) -> Sessions {
        let serving = Rc::new(Serving::new());
        Sessions {
            slab: Slab::default(),
            reactor,
            now,
            page: Page::with(serving.clone(), limits.send_high_bytes),
            unflushed: 1,
            outboxes: Rc::new(Outboxes::new(reactor as usize, reactors, serving, &limits)),
            following: BTreeMap::new(),
            encoders: Encoders::default(),
            ends: BTreeMap::new(),
            reactors,
            members: Members::default(),
            timed: limits.idle_timeout.is_some() || limits.handshake_timeout.is_some(),
            limits,
            dead: Vec::new(),
            still_ready: Vec::new(),
            dials: Vec::new(),
            wheel: Wheel::new(now),
            lane_timers: LaneTimers::default(),
            census,
            origins: Vec::new(),
            names: Names::default(),
            stock: Stock::default(),
            stats: Stats::default(),
            refusal: None,
            stop: false,
            drains: false,
        }
    }

    /// The bounds that the table keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A turn begins, at `now`.
    #[inline]
    pub fn begin_turn(&mut self, now: Now) {
        self.now = now;
        self.wheel.tell(now);
        self.stats.turns += 1;
    }

    /// How many sessions there are, in whatever state.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// How many sessions the whole server has.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// Every session alive now; the list is a copy, so handlers may change the table meanwhile.
    pub fn ids(&mut self) -> Vec<SessionId> {
        let reactor = self.reactor;
        let slab = &mut self.slab;
        (0..slab.slots())
            .filter_map(|index| slab.at(index).map(|(key, _)| key))
            .map(|key| SessionId::new(reactor, key.index, key.generation))
            .collect()
    }

    /// Adds a session that was let in: accepted (`Open`), or dialled or with a preamble (`Connecting`).
    pub fn insert(&mut self, phase: Phase, ip: Option<IpAddr>) -> SessionId {
        let Key { index, generation } = self.slab.insert(Session::new(phase, self.now));
        let id = SessionId::new(self.reactor, index, generation);
        if self.census.counts_addresses() {
            self.origins.resize(self.slab.slots(), None);
            self.origins[id.index()] = ip;
        }
        if phase == Phase::Open {
            self.opened(id);
        }
        id
    }

    /// A session's first moment as an open one: from here on it may be idle.
    pub fn opened(&mut self, id: SessionId) {
        if let Some(due) = self.open_due(id) {
            self.set_deadline(id, due);
        }
    }

    /// The session, unless its slot was freed.
    #[inline]
    pub fn get(&self, id: SessionId) -> Option<&Session> {
        self.slab.get(key(id))
    }

    /// The session, unless its slot was freed.
    #[inline]
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.slab.get_mut(key(id))
    }

    /// The session beside the stock that its queue takes from and gives to, and what is counted.
    #[inline]
    pub fn get_for_write(
        &mut self,
        id: SessionId,
    ) -> Option<(&mut Session, &mut Stock, &mut Stats)> {
        Some((self.slab.get_mut(key(id))?, &mut self.stock, &mut self.stats))
    }

    /// Whether frames may be delivered to the session.
    #[inline]
    pub fn reads(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(Session::reads)
    }

    #[inline(always)]
    fn disturb(&self) {
        self.page.writer().disturb();
    }

    /// Sends a copy of `bytes`; `false` when the session has ended or is ending.
    pub fn send(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.page.append(id, bytes) || self.send_anew(id, bytes)
    }

    /// The first bytes for a session in this turn, or more than may lie on the page.
    #[inline(never)]
    fn send_anew(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.settle_writer();
        let room = self.page.room();
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if session.encodes() {
            return self.send_encoded(id, [bytes, &[]]);
        }
        let is_free = session.accepts() && session.may_write_on_page(self.unflushed);
        if is_free && bytes.len() <= room {
            self.page.writer().disturb_if(!session.reads());
            session.entry = self.page.begin(id);
            // Nobody is the writer while answers follow what is in the inbox, and this one came by it.
            return self.page.append(id, bytes) || self.append_for_once(bytes);
        }
        self.queue_copy(id, bytes)
    }

    /// Sends a copy of `bytes` that were written down elsewhere. Says why the session is not read,
    /// if its slot was not freed.
    #[inline(always)]
    pub fn send_from_elsewhere(&mut self, id: SessionId, bytes: &[u8]) -> Option<Holds> {
        // Seldom: whose handlers are elsewhere writes from here only what was sent by `Remote::run_on`.
        if self.page.has_writer() {
            self.settle_writer();
        }
        if let Some(session) = self.slab.get_mut(key(id))
            && session.accepts()
            && !bytes.is_empty()
            && session.may_write_on_page(self.unflushed)
            && !session.is_stateful()
            && let Some(entry) = self.page.enter_with(id, bytes)
        {
            self.page.writer().disturb_if(!session.reads());
            session.entry = entry;
            return Some(session.holds());
        }
        self.send_answer_from_elsewhere(id, bytes);
        Some(self.get(id)?.holds())
    }

    /// Whether plain bytes may simply be read for a session whose handler is elsewhere.
    #[inline(always)]
    pub fn is_simple(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(Session::is_simple)
    }

    /// Whoever writes on the page stops.
    #[inline(always)]
    pub fn settle_writer(&mut self) {
        if let Some(silent) = self.page.end() {
            self.was_silent(silent);
        }
    }

    /// The session that was expected to write on the page did not.
    #[cold]
    fn was_silent(&mut self, id: SessionId) {
        if let Some(session) = self.slab.get_mut(key(id)) {
            session.entry = 0;
        }
    }

    #[cold]
    fn append_for_once(&mut self, bytes: &[u8]) -> bool {
        self.page.finish_with(bytes);
        true
    }

    fn queue_copy(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.queue(id, bytes.len(), |queue, stock| queue.push(bytes, stock))
    }

    /// Queues shared `bytes`; `false` when the session has ended or is ending.
    pub fn send_shared(&mut self, id: SessionId, bytes: Bytes) -> bool {
        match self.get(id).is_some_and(Session::encodes) {
            true => self.send_shared_encoded(id, bytes),
            false => self.queue_shared(id, bytes),
        }
    }

    fn queue_shared(&mut self, id: SessionId, bytes: Bytes) -> bool {
        self.queue(id, bytes.len(), |queue, stock| queue.push_shared(bytes, stock))
    }

    /// Makes a queue longer by `count` bytes, with what follows: a pause, an end, a place on the
    /// page.
    fn queue(
        &mut self,
        id: SessionId,
        count: usize,
        push: impl FnOnce(&mut SendQueue, &mut Stock),
    ) -> bool {
        let unsent = self.unsent_bytes(id) + count;
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if !session.accepts() {
            return false;
        }
        if unsent > self.limits.send_max_bytes {
            self.kill(id, CloseReason::SendFull);
            return false;
        }
        push(&mut session.queue, &mut self.stock);
        if unsent > self.limits.send_high_bytes {
            self.pause(id);
        }
        self.mark_dirty(id);
        true
    }

    /// Does not read the session until its queue has fallen to the low mark, of which its handler
    /// is told; `false` if its end has begun.
    #[inline(never)]
    pub fn pause(&mut self, id: SessionId) -> bool {
        if !self.get(id).is_some_and(Session::accepts) {
            return false;
        }
        if !self.is_paused(id) {
            self.hold(id, Holds::QUEUE);
            self.slowed_down(id);
            self.pause_has_come(id);
        }
        true
    }

    /// Whether the session is not read before its queue has fallen to the low mark.
    pub fn is_paused(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(|session| session.holds().has(Holds::QUEUE))
    }

    /// Whether the session is not read for now, for a reason that passes.
    pub fn is_held(&self, id: SessionId) -> bool {
        self.get(id).is_some_and(|session| !session.holds().pauses().is_none())
    }

    /// Whether messages of other threads are for the session: its end has not begun, for its handler or
    /// for us.
    pub fn hears(&self, id: SessionId) -> bool {
        let is_closing = |session: &Session| session.holds().has(Holds::CLOSING);
        self.get(id).is_some_and(|session| !session.is_ending() && !is_closing(session))
            && !self.is_closing_behind(id)
    }

    /// How many bytes wait to be sent to the session.
    pub fn unsent_bytes(&self, id: SessionId) -> usize {
        self.get(id).map_or(0, |session| session.queue.len() + self.page.bytes_of(session.entry))
    }

    /// What a handler elsewhere may know of the session; `None` if its slot was freed.
    #[inline]
    pub fn standing(&self, id: SessionId) -> Option<Standing> {
        let session = self.get(id)?;
        let mut queued_bytes = 0;
        if session.entry >= self.unflushed || !session.queue.is_empty() {
            queued_bytes = self.unsent_bytes(id);
        }
        let form = if session.encodes() { self.form(id) } else { Form::Plain };
        Some(Standing { queued_bytes, pauses: session.holds().pauses(), form })
    }

    /// Sees to it that the session is flushed in this turn. It writes no more on the page: that
    /// would overtake what was queued meanwhile.
    #[inline]
    pub fn mark_dirty(&mut self, id: SessionId) {
        self.settle_writer();
        self.disturb();
        if let Some(session) = self.slab.get_mut(key(id))
            && session.entry < self.unflushed
        {
            session.entry = self.page.enter(id);
        }
    }

    /// The peer takes nothing any more: what waits for it is lost, and what it has sent is still read.
    #[cold]
    pub fn stop_sending(&mut self, id: SessionId) {
        self.settle_writer();
        self.disturb();
        let Some(session) = self.slab.get_mut(key(id)) else { return };
        if session.stop_sending(&mut self.stock) {
            // The flush finds a queue that has fallen to the low mark, and lets the session go on.
            self.mark_dirty(id);
        }
    }

    /// The poller is to forget the session; `false` if it has already.
    pub fn unwatch(&mut self, id: SessionId) -> bool {
        let Some(session) = self.get_mut(id) else { return false };
        if session.phase() != Phase::Connecting {
            // Of one that is connecting, it is all that says what it waits for.
            session.interest = Interest::NONE;
        }
        !std::mem::replace(&mut session.unwatched, true)
    }

    /// Ends the session after what is queued has left; `false` when its end has begun already.
    pub fn close(&mut self, id: SessionId, reason: CloseReason) -> bool {
        self.settle_writer();
        self.send_closing(id);
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if !session.close(reason) {
            return false;
        }
        if session.is_dead() {
            self.disturb();
            self.dead.push(id);
            return true;
        }
        self.mark_dirty(id);
        let due = self.now + self.limits.drain_timeout;
        self.set_deadline(id, due);
        true
    }

    /// Decides that the session is to be closed, but for its handler's last word; `false` when its
    /// end has begun already.
    pub fn begin_closing(&mut self, id: SessionId) -> bool {
        let begins = self
            .get(id)
            .is_some_and(|session| !session.is_ending() && !session.holds().has(Holds::CLOSING))
            && !self.is_closing_behind(id);
        if begins {
            self.hold(id, Holds::CLOSING);
            let due = self.now + self.limits.drain_timeout;
            self.set_deadline(id, due);
        }
        begins
    }

    /// Ends the session at once; `false` when it is over already.
    pub fn kill(&mut self, id: SessionId, reason: CloseReason) -> bool {
        self.settle_writer();
        let Some(session) = self.slab.get_mut(key(id)) else { return false };
        if session.is_dead() {
            return false;
        }
        session.die(reason);
        self.disturb();
        self.dead.push(id);
        true
    }

    /// Ends the session at once, for `reason`; but one that lingers has said all that it had to
    /// say, and keeps the reason for which it was closed.
    pub fn cut_off(&mut self, id: SessionId, reason: CloseReason) {
        let lingers = self.get(id).filter(|session| session.phase() == Phase::Lingering);
        let reason = lingers.and_then(Session::reason).unwrap_or(reason);
        self.kill(id, reason);
    }

    /// `count` bytes came for the session, and perhaps the end of its first frame.
    #[inline(always)]
    pub fn received(&mut self, id: SessionId, count: usize, greeted: bool) {
        self.stats.recv_bytes += count as u64;
        if self.timed {
            self.note_time(id, count > 0, greeted);
        }
    }

    #[cold]
    pub(super) fn note_time(&mut self, id: SessionId, active: bool, greeted: bool) {
        let now = self.now;
        if let Some(session) = self.get_mut(id) {
            // While its turn is to take bytes, those that it sends do not make up for it.
            session.active = if active && !session.is_blocked() { now } else { session.active };
            session.greeted |= greeted;
        }
    }

    /// Takes a dead session out of the table, with all its timers; its id is stale from now on. Who was
    /// behind it must be dismissed once the socket is closed.
    pub fn remove(&mut self, id: SessionId) -> Option<(Session, Option<IpAddr>)> {
        self.leave_all(id);
        let mut session = self.slab.remove(key(id))?;
        if session.encodes() {
            self.forget_encoder(id);
        }
        self.ends.remove(&id);
        self.forget_lane_timers(id);
        self.wheel.cancel_all(&mut session.timers);
        self.names.forget(id);
        let ip = self.origins.get_mut(id.index()).and_then(Option::take);
        Some((session, ip))
    }

    /// Whether something was left to do that no event will announce.
    #[inline]
    pub fn has_work(&self) -> bool {
        !(self.page.is_empty()
            && self.still_ready.is_empty()
            && self.dead.is_empty()
            && self.dials.is_empty())
            || self.outboxes.has_news()
    }
}
