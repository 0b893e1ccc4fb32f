//! What a handler on a worker's thread asks for, written down in order, and what it may know.
//!
//! The reactor plays it back when the batch comes home: the other side of [`Context`]. What the
//! handler may know of its session is what was true when its frames were handed over.
//!
//! Answers are written on a page like the reactor's own, where the session that is being served is
//! the writer; so the way of an answer is the same on every thread. All other wishes are a list, in
//! which each knows how many of the page's entries came before it.
//!
//! Invariant: the writer is the session that is being served, until its end was asked for; nobody is
//! while it has an envelope.
//!
//! Thread contract: of whoever has the batch.
//!
//! [`Context`]: crate::Context

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::address::Route;
use crate::census::Census;
use crate::clock::Now;
use crate::close::CloseReason;
use crate::envelope::Envelope;
use crate::group::Group;
use crate::id::SessionId;
use crate::limits::Limits;
use crate::order::Order;
use crate::page::Page;
use crate::session::Standing;
use crate::slab::Slab;
use crate::wheel::TimerId;

/// One thing that was asked for, besides sending copies of bytes.
pub enum Wish {
    /// Do something to a session.
    Order(Order),
    /// Send to all members of a group.
    Broadcast(Group, Bytes),
    /// Start a timer, or start it anew.
    SetTimer(LaneTimer, Duration),
    /// Cancel a timer.
    CancelTimer(TimerId),
    /// Dial, for a session that has a name already.
    Connect(SessionId, Route, Duration),
    /// The handler has said its last word: close for this reason.
    Finish(CloseReason),
    /// End the session at once.
    Kill(CloseReason),
    /// Stop the server.
    Stop,
}

/// A timer as a lane knows it; the wheel has another name for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneTimer {
    /// Its name for the handler.
    pub id: TimerId,
    /// How often it was started: one that fires for an earlier start is stale.
    pub start: u32,
}

/// The timers of one lane that have neither fired nor been cancelled, by how often each was
/// started.
pub type LaneTimers = Slab<u32>;

/// What is written down in one run of a lane.
pub struct Record {
    /// Copies of what was sent, with an entry for each run of bytes to one session.
    pub page: Page,
    /// What else was asked for, each behind so many entries of the page.
    pub wishes: Vec<(usize, Wish)>,
    /// The lane's timers, while it runs.
    pub timers: Option<Box<LaneTimers>>,
    /// The turn in which the frames were handed over.
    pub now: Now,
    /// How the session stood then, but for the shared bytes that were sent since, and the envelope
    /// that was chosen since.
    pub standing: Standing,
    /// The handler has closed the session, or has lost it, or there is none: nothing more is sent,
    /// no more frames are delivered.
    pub ended: bool,
    /// Tasks that may still be run; none as soon as the high mark is passed.
    pub left: usize,
    /// How many there were left then.
    left_over: usize,
    /// Panics caught.
    pub panics: u64,
    send_high_bytes: usize,
    send_max_bytes: usize,
    census: Arc<Census>,
}

/// Room for answers that an empty record has, in bytes.
const PAGE_BYTES: usize = 128;
/// Room that it keeps when it was more.
const PAGE_BYTES_KEPT: usize = 16 << 10;
const WISHES_KEPT: usize = 64;

impl Record {
    /// An empty record.
    pub fn new(census: Arc<Census>, limits: &Limits) -> Record {
        Record {
            page: Page::new(PAGE_BYTES),
            wishes: Vec::new(),
            timers: None,
            now: Now::ZERO,
            standing: Standing::default(),
            ended: false,
            left: 0,
            left_over: 0,
            panics: 0,
            send_high_bytes: limits.send_high_bytes,
            send_max_bytes: limits.send_max_bytes,
            census,
        }
    }

    /// How many sessions the whole server has.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// The session `id` is served from now on, unless it has `ended`, for so many tasks.
    #[inline(always)]
    pub fn begin(&mut self, id: SessionId, ended: bool, tasks_max: usize) {
        self.ended = ended;
        self.left = tasks_max;
        if self.standing.paused {
            self.pause_run();
        }
        if self.page.room() > self.page_bytes_max() {
            self.shorten_page();
        }
        self.go_on(id);
    }

    /// What is written without a look at the marks must stay below them.
    #[cold]
    #[inline(never)]
    fn shorten_page(&mut self) {
        self.page = Page::new(self.page_bytes_max());
    }

    /// No more frames are to be handled before what waits for the peer has left: the reactor would not
    /// have read them.
    #[cold]
    #[inline(never)]
    fn pause_run(&mut self) {
        self.standing.paused = true;
        self.left_over += std::mem::take(&mut self.left);
    }

    /// What was left of the run when it was paused, for what does not wait for the peer.
    pub fn take_left_over(&mut self) -> usize {
        std::mem::take(&mut self.left_over)
    }

    /// So many bytes more are about to be written: beyond the high mark, the run ends behind this frame.
    fn watch_mark(&mut self, bytes: usize) -> usize {
        let unsent = self.standing.queued_bytes + self.page.written() + bytes;
        if unsent > self.send_high_bytes {
            self.pause_run();
        }
        unsent
    }

    /// Whether so many bytes more may be sent to the session that is being served. If not, it is lost.
    fn has_room(&mut self, id: SessionId, bytes: usize) -> bool {
        if self.ended {
            return false;
        }
        // The page may also have what is for others.
        let fits = self.watch_mark(bytes) <= self.send_max_bytes
            || self.queued_bytes(id) + bytes <= self.send_max_bytes;
        if !fits {
            self.wish(id, Wish::Kill(CloseReason::SendFull));
            self.close();
        }
        fits
    }

    /// How long the page may become without a look at the marks.
    #[inline(always)]
    fn page_bytes_max(&self) -> usize {
        self.send_high_bytes.saturating_sub(self.standing.queued_bytes)
    }

    /// Nothing more is written down.
    #[inline]
    pub fn finish(&mut self) {
        self.page.end();
    }

    /// Sends a copy of `bytes` to the session that is being served; `false` if its end has begun.
    #[inline(always)]
    pub fn answer(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.page.append(id, bytes) || self.answer_slowly(id, bytes)
    }

    /// The first `width` bytes of `prefix`, and `bytes`, likewise.
    #[inline(always)]
    pub fn answer_prefixed(
        &mut self,
        id: SessionId,
        prefix: [u8; 8],
        width: usize,
        bytes: &[u8],
    ) -> bool {
        self.page.append_prefixed(id, prefix, width, bytes)
            || self.answer_prefixed_slowly(id, &prefix[..width], bytes)
    }

    /// The end has begun, or the page is full.
    #[inline(never)]
    fn answer_slowly(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        if let Some(envelope) = self.standing.envelope {
            return self.answer_sealed(id, envelope, [bytes, &[]]);
        }
        if !self.has_room(id, bytes.len()) {
            return false;
        }
        self.page.make_room(bytes.len(), self.page_bytes_max());
        self.page.append(id, bytes)
    }

    #[inline(never)]
    fn answer_prefixed_slowly(&mut self, id: SessionId, prefix: &[u8], bytes: &[u8]) -> bool {
        match self.standing.envelope {
            Some(envelope) => self.answer_sealed(id, envelope, [prefix, bytes]),
            None => {
                self.has_room(id, prefix.len() + bytes.len())
                    && self.answer(id, prefix)
                    && self.answer(id, bytes)
            }
        }
    }

    /// Both pieces as one message. It is sealed here: what the reactor plays back to the session
    /// that was served is sent as it is.
    fn answer_sealed(
        &mut self,
        id: SessionId,
        envelope: &Envelope,
        [first, second]: [&[u8]; 2],
    ) -> bool {
        let head = (envelope.head)(first.len() + second.len());
        self.write_own(id, [head.as_slice(), first, second])
    }

    /// Sends these bytes as they are, and not in an envelope.
    pub fn answer_bare(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        self.write_own(id, [bytes, &[], &[]])
    }

    fn write_own(&mut self, id: SessionId, pieces: [&[u8]; 3]) -> bool {
        let has_room = self.has_room(id, pieces.iter().map(|piece| piece.len()).sum());
        if has_room {
            self.write(id, pieces);
            self.go_on(id);
        }
        has_room
    }

    /// An entry of its own.
    fn write(&mut self, to: SessionId, pieces: [&[u8]; 3]) {
        self.page.end();
        let bytes = pieces.iter().map(|piece| piece.len()).sum();
        self.watch_mark(bytes);
        self.page.make_room(bytes, self.page_bytes_max());
        self.page.enter(to);
        pieces.into_iter().for_each(|piece| self.page.add(piece));
    }

    /// Puts this around all that is sent to the session that is being served.
    pub fn set_envelope(&mut self, by: SessionId, envelope: Option<&'static Envelope>) -> bool {
        if !self.ended {
            self.standing.envelope = envelope;
            self.wish(by, Wish::Order(Order::SetEnvelope(by, envelope)));
        }
        !self.ended
    }

    /// Sends a copy of `bytes` to any session, on behalf of the one that is being served.
    pub fn send(&mut self, by: SessionId, to: SessionId, bytes: &[u8]) -> bool {
        if to == by {
            return self.answer(by, bytes);
        }
        self.write(to, [bytes, &[], &[]]);
        self.go_on(by);
        true
    }

    /// The same as an answer, without a copy.
    pub fn answer_shared(&mut self, id: SessionId, bytes: Bytes) -> bool {
        if !self.has_room(id, bytes.len()) {
            return false;
        }
        self.standing.queued_bytes += bytes.len();
        self.wish(id, Wish::Order(Order::Send(id, bytes)));
        true
    }

    /// The session that is being served is not to be read until its queue has fallen to the low
    /// mark; `false` if its end has begun.
    pub fn pause(&mut self, id: SessionId) -> bool {
        if !self.ended {
            self.pause_run();
            self.wish(id, Wish::Order(Order::Pause(id)));
        }
        !self.ended
    }

    /// Orders something of the session that is being served that ends it.
    pub fn end(&mut self, by: SessionId, order: Order) {
        self.wish(by, Wish::Order(order));
        self.close();
    }

    /// No more is sent to the session that is being served, and no more frames are delivered.
    pub fn close(&mut self) {
        self.page.end();
        self.ended = true;
    }

    /// Writes down a wish, behind all that was sent before.
    pub fn wish(&mut self, by: SessionId, wish: Wish) {
        self.page.end();
        self.wishes.push((self.page.len(), wish));
        self.go_on(by);
    }

    /// The session that is being served is the writer, unless each of its messages is a matter of
    /// its own.
    #[inline(always)]
    fn go_on(&mut self, by: SessionId) {
        if !self.ended && self.standing.envelope.is_none() {
            self.page.begin(by);
        }
    }

    /// Bytes that wait for the peer of the session that is being served.
    pub fn queued_bytes(&self, id: SessionId) -> usize {
        let entries = (0..self.page.len()).map(|nth| self.page.entry(nth));
        let answers = entries.filter(|(to, _)| *to == id).map(|(_, range)| range.len());
        self.standing.queued_bytes + answers.sum::<usize>()
    }

    /// Starts a timer; `None` outside of a session.
    pub fn set_timer(&mut self, by: SessionId, after: Duration) -> Option<TimerId> {
        if by == SessionId::NONE {
            return None;
        }
        let timers = self.timers.get_or_insert_default();
        let id = TimerId::from_key(timers.insert(0));
        self.wish(by, Wish::SetTimer(LaneTimer { id, start: 0 }, after));
        Some(id)
    }

    /// Starts a timer anew; `false` if it has fired or was cancelled.
    pub fn reset_timer(&mut self, by: SessionId, id: TimerId, after: Duration) -> bool {
        let timers = self.timers.as_deref_mut();
        let Some(start) = timers.and_then(|timers| timers.get_mut(id.key())) else { return false };
        *start += 1;
        let start = *start;
        self.wish(by, Wish::SetTimer(LaneTimer { id, start }, after));
        true
    }

    /// Cancels a timer; `false` if it has fired or was cancelled.
    pub fn cancel_timer(&mut self, by: SessionId, id: TimerId) -> bool {
        let timers = self.timers.as_deref_mut();
        if timers.and_then(|timers| timers.remove(id.key())).is_none() {
            return false;
        }
        self.wish(by, Wish::CancelTimer(id));
        true
    }

    /// Whether a timer that the wheel has fired was started as often as that; one that was not is
    /// stale.
    pub fn is_due(&self, timer: LaneTimer) -> bool {
        self.timers.as_ref().is_some_and(|timers| timers.get(timer.id.key()) == Some(&timer.start))
    }

    /// After a timer's callback: forgets it, unless it was started anew meanwhile.
    pub fn settle(&mut self, timer: LaneTimer) {
        if self.is_due(timer)
            && let Some(timers) = &mut self.timers
        {
            timers.remove(timer.id.key());
        }
    }

    /// Dials; `None` when the server is full.
    pub fn connect(&mut self, by: SessionId, route: Route, timeout: Duration) -> Option<SessionId> {
        let id = self.census.name_ahead()?;
        self.wish(by, Wish::Connect(id, route, timeout));
        Some(id)
    }

    /// Empty again, with the room it had if that is not much.
    #[inline(always)]
    pub fn clear(&mut self) {
        if !self.wishes.is_empty() {
            empty(&mut self.wishes, WISHES_KEPT);
        }
        self.page.clear();
        if self.page.room() > PAGE_BYTES_KEPT {
            self.page = Page::new(PAGE_BYTES);
        }
        self.panics = 0;
    }
}

/// Empties a list, and gives back its room if that is more than `kept`.
#[inline]
pub fn empty<T>(list: &mut Vec<T>, kept: usize) {
    list.clear();
    if list.capacity() > kept {
        list.shrink_to(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        record_within(&Limits::default())
    }

    fn record_within(limits: &Limits) -> Record {
        Record::new(Arc::new(Census::new(1, limits)), limits)
    }

    fn session() -> SessionId {
        SessionId::new(0, 5, 1)
    }

    /// What was written down, in its order: who was sent what, and where another wish stands.
    fn played(record: &Record) -> Vec<(SessionId, Vec<u8>)> {
        let mut seen = Vec::new();
        for nth in 0..=record.page.len() {
            let behind = record.wishes.iter().filter(|(entries, _)| *entries == nth);
            seen.extend(behind.map(|_| (SessionId::NONE, vec![])));
            if nth < record.page.len() {
                let (to, range) = record.page.entry(nth);
                seen.push((to, record.page.bytes(range).to_vec()));
            }
        }
        seen
    }

    #[test]
    fn everything_is_played_back_in_the_order_of_the_asking() {
        let (mut record, me, other) = (record(), session(), SessionId::new(0, 6, 1));
        record.begin(me, false, 9);
        assert!(record.answer(me, b"abc") && record.answer_prefixed(me, *b"d1234567", 1, b"ef"));
        record.send(me, other, b"x");
        assert!(record.answer_shared(me, Bytes::from_static(b"shared")));
        let long = vec![7; 3 * PAGE_BYTES];
        assert!(record.answer(me, &long) && record.answer_prefixed(me, [8; 8], 2, &long));
        record.end(me, Order::Close(me));
        record.finish();
        let expected = [
            (me, b"abcdef".to_vec()),
            (other, b"x".to_vec()),
            (SessionId::NONE, vec![]),
            (me, [&long[..], &[8, 8], &long].concat()),
            (SessionId::NONE, vec![]),
        ];
        assert!(played(&record) == expected);
        assert_eq!(record.queued_bytes(me), 6 + 6 + 2 * long.len() + 2);
        record.clear();
        assert!(record.page.is_empty() && record.page.room() <= PAGE_BYTES_KEPT);
    }

    #[test]
    fn answers_beyond_the_maximum_are_refused_in_every_way_and_end_the_session() {
        let limits = Limits { send_high_bytes: 10, send_max_bytes: 85, ..Limits::default() };
        type Answer = fn(&mut Record, &[u8]) -> bool;
        let ways: [Answer; 4] = [
            |record, bytes| record.answer(session(), bytes),
            |record, bytes| record.answer_prefixed(session(), [0; 8], 0, bytes),
            |record, bytes| record.answer_bare(session(), bytes),
            |record, bytes| record.answer_shared(session(), Bytes::copy_from_slice(bytes)),
        ];
        for answer in ways {
            let mut record = record_within(&limits);
            // Room that an earlier run has left does not count.
            record.page.make_room(1_000, 1_000);
            record.standing.queued_bytes = 5;
            record.begin(session(), false, 9);
            assert!(record.left == 9 && !record.standing.paused);
            assert!(answer(&mut record, &[1; 30]) && answer(&mut record, &[2; 50]));
            assert!(!answer(&mut record, b"x") && record.ended, "it was the 86th byte");
            let lost =
                |(_, wish): &(usize, Wish)| matches!(wish, Wish::Kill(CloseReason::SendFull));
            assert_eq!(record.wishes.iter().filter(|wish| lost(wish)).count(), 1);
            assert_eq!((record.left, record.take_left_over()), (0, 9), "the run ends at the mark");
        }
    }

    #[test]
    fn nothing_is_sent_after_the_end_or_outside_of_a_session() {
        let mut record = record();
        record.begin(SessionId::NONE, true, 9);
        assert!(!record.answer(SessionId::NONE, b"x"));
        assert!(record.set_timer(SessionId::NONE, Duration::ZERO).is_none());
        record.clear();
        record.begin(session(), false, 9);
        record.end(session(), Order::Close(session()));
        assert!(!record.answer(session(), b"x"));
        assert!(!record.answer_prefixed(session(), [0; 8], 4, b"x"));
        assert!(!record.answer_shared(session(), Bytes::from_static(b"x")));
        assert_eq!((record.wishes.len(), record.page.len()), (1, 0));
    }

    #[test]
    fn a_timer_that_was_started_anew_or_cancelled_is_stale_when_it_fires() {
        let mut record = record();
        let id = record.set_timer(session(), Duration::ZERO).unwrap();
        let first = LaneTimer { id, start: 0 };
        assert!(record.is_due(first) && record.reset_timer(session(), id, Duration::ZERO));
        assert!(!record.is_due(first));
        record.settle(first);
        let second = LaneTimer { id, start: 1 };
        assert!(record.is_due(second), "what is stale settles nothing");
        record.settle(second);
        assert!(
            !record.reset_timer(session(), id, Duration::ZERO)
                && !record.cancel_timer(session(), id)
        );
        let other = record.set_timer(session(), Duration::ZERO).unwrap();
        assert!(record.cancel_timer(session(), other) && !record.cancel_timer(session(), other));
        assert!(!record.is_due(LaneTimer { id: other, start: 0 }));
    }
}
