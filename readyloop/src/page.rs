//! The reactor's send buffer: who was sent to in a turn, and what, side by side on one page.
//!
//! Most replies are short and leave whole at the end of the turn in which they were made. They
//! never see a queue: they are written one behind the other on the page, and sent from there. Only
//! what the kernel does not take, or what comes for a session after another one has begun to write,
//! goes to the session's own queue, behind what is on the page.
//!
//! A page follows a page, and their entries are numbered through: who was entered under a number knows
//! by it alone whether the entry is still to be flushed, so nothing must be wiped off after each turn.
//!
//! Who the writer is may be known outside of the page too ([`Writer`]): so that whoever posts on the same
//! thread knows who is served, and can make him write elsewhere.
//!
//! Invariants: the bytes of an entry end where the next entry's begin; the writer's entry is the
//! last one; `writer_start <= len <= bytes.len()` while there is a writer.
//!
//! Thread contract: reactor-thread.

mod shared;

use std::cell::Cell;
use std::ops::Range;

use bytes::Bytes;

use crate::id::{INDEX_END, SessionId};

use shared::Shared;

/// Bytes on one page of a reactor, at the most. More would not stay in the first-level caches between handler
/// and write.
const PAGE_BYTES_MAX: usize = 32 << 10;

/// Where a page keeps who may append.
pub trait Writer {
    /// Whether this session may append.
    fn is(&self, id: SessionId) -> bool;
    /// From now on it may, and nobody else.
    fn begin(&self, id: SessionId);
    /// Nobody may. Says who could.
    fn end(&self) -> SessionId;
}

impl Writer for Cell<SessionId> {
    #[inline(always)]
    fn is(&self, id: SessionId) -> bool {
        self.get() == id
    }

    #[inline(always)]
    fn begin(&self, id: SessionId) {
        self.set(id);
    }

    #[inline(always)]
    fn end(&self) -> SessionId {
        self.replace(NO_WRITER)
    }
}

/// One turn's page.
pub struct Page<W = Cell<SessionId>> {
    bytes: Box<[u8]>,
    /// How many of `bytes` are written.
    len: usize,
    entries: Vec<Entry>,
    /// The number of the first entry.
    first: u64,
    /// Bytes that many entries have.
    shared: Shared,
    writer: W,
    /// Where the writer began, or `NOWHERE`.
    writer_start: usize,
}

/// Where nobody began.
const NOWHERE: usize = usize::MAX;

/// Somebody who must be flushed.
#[derive(Clone, Copy)]
struct Entry {
    id: SessionId,
    /// Where its bytes begin; and where those of the entry before it end.
    start: u32,
    /// Which of the shared bytes it has instead, counted from 1; 0 if none.
    shared: u32,
}

impl Default for Page {
    /// A page without room.
    fn default() -> Page {
        Page::new(0)
    }
}

/// Stands for nobody: `Limits::sessions_max` keeps this index from being given out.
pub const NO_WRITER: SessionId = SessionId::new(u8::MAX, (INDEX_END - 1) as u32, u32::MAX);

impl Page {
    /// A page on which nobody can write more than `session_bytes_max` bytes, because it has no
    /// more.
    pub fn new(session_bytes_max: usize) -> Page {
        Page::with(Cell::new(NO_WRITER), session_bytes_max)
    }
}

impl<W: Writer> Page<W> {
    /// The same, of which `writer` says who may append.
    pub fn with(writer: W, session_bytes_max: usize) -> Page<W> {
        Page {
            bytes: vec![0; session_bytes_max.min(PAGE_BYTES_MAX)].into_boxed_slice(),
            len: 0,
            entries: Vec::new(),
            first: 1,
            shared: Shared::default(),
            writer,
            writer_start: NOWHERE,
        }
    }

    /// Turns from this page, on which nobody may be the writer, to `other`, which must be clear: they
    /// change places. The other's entries are numbered on from ours, of which it is said how many they
    /// are; behind them stands one that is nobody's, so that whoever walks over them need not ask which is
    /// the last.
    #[inline]
    pub fn turn_to(&mut self, other: &mut Page<W>) -> usize {
        debug_assert!(other.is_empty() && !self.has_writer());
        let count = self.entries.len();
        self.put(SessionId::NONE, 0);
        other.first = self.end_number();
        std::mem::swap(self, other);
        count
    }

    /// Appends `bytes` for `id`, if it is the writer and there is room.
    #[inline(always)]
    pub fn append(&mut self, id: SessionId, bytes: &[u8]) -> bool {
        if !self.writer.is(id) {
            return false;
        }
        let end = self.len + bytes.len();
        let Some(place) = self.bytes.get_mut(self.len..end) else { return false };
        // Before the copy, so that the copy can be the last thing that a handler's send does.
        self.len = end;
        place.copy_from_slice(bytes);
        true
    }

    /// Appends the first `width` bytes of `prefix`, and `bytes`, for `id`, if it is the writer and
    /// there is room.
    ///
    /// The prefix is copied with all of its 8 bytes, which needs no call and no loop; `bytes` then
    /// covers what was too much.
    #[inline(always)]
    pub fn append_prefixed(
        &mut self,
        id: SessionId,
        prefix: [u8; 8],
        width: usize,
        bytes: &[u8],
    ) -> bool {
        if !self.writer.is(id) {
            return false;
        }
        let end = self.len + prefix.len() + bytes.len();
        let Some(room) = self.bytes.get_mut(self.len..end) else { return false };
        self.len += width + bytes.len();
        room[..prefix.len()].copy_from_slice(&prefix);
        room[width..][..bytes.len()].copy_from_slice(bytes);
        true
    }

    /// Enters `id`, which has no entry yet, and says under which number. Nobody may be the writer.
    #[inline(always)]
    pub fn enter(&mut self, id: SessionId) -> u64 {
        debug_assert!(!self.has_writer());
        self.put(id, 0)
    }

    /// Enters `id` likewise, and makes it the writer. Whoever was the writer must have written.
    #[inline(always)]
    pub fn begin(&mut self, id: SessionId) -> u64 {
        debug_assert!(!self.is_silent());
        self.writer_start = self.len;
        let number = self.put(id, 0);
        // Last: nobody knows but that it could change the page.
        self.writer.begin(id);
        number
    }

    /// The same, if the list of entries has room without growing.
    #[inline(always)]
    pub fn begin_if_there_is_room(&mut self, id: SessionId) -> Option<u64> {
        (self.entries.len() < self.entries.capacity()).then(|| self.begin(id))
    }

    /// The number that the next entry will have.
    #[inline(always)]
    fn end_number(&self) -> u64 {
        self.number(self.entries.len())
    }

    #[inline(always)]
    fn put(&mut self, id: SessionId, shared: u32) -> u64 {
        let number = self.end_number();
        self.entries.push(Entry { id, start: self.len as u32, shared });
        number
    }

    /// Enters `id` with `bytes` that were written elsewhere, if there is room. Nobody may be the
    /// writer.
    #[inline(always)]
    pub fn enter_with(&mut self, id: SessionId, bytes: &[u8]) -> Option<u64> {
        let end = self.len + bytes.len();
        let place = self.bytes.get_mut(self.len..end)?;
        place.copy_from_slice(bytes);
        let number = self.enter(id);
        self.len = end;
        Some(number)
    }

    /// Whether the entry with this number is the last one, so that [`Page::add`] adds to it.
    pub fn ends_with(&self, number: u64) -> bool {
        number + 1 == self.end_number()
            && self.entries.last().is_some_and(|entry| entry.shared == 0)
    }

    /// Adds to the last entry. Nobody may be the writer.
    ///
    /// # Panics
    /// When there is no room.
    pub fn add(&mut self, bytes: &[u8]) {
        debug_assert!(!self.has_writer() && !self.entries.is_empty());
        let end = self.len + bytes.len();
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    /// The only entry, if there is one and no other.
    #[inline]
    pub fn only(&self) -> Option<(SessionId, &[u8])> {
        match self.entries[..] {
            [Entry { id, start, shared: 0 }] => Some((id, &self.bytes[start as usize..self.len])),
            _ => None,
        }
    }

    /// Whether there is a writer.
    #[inline(always)]
    pub fn has_writer(&self) -> bool {
        self.writer_start != NOWHERE
    }

    /// Whether there is a writer who has written nothing.
    #[inline(always)]
    pub fn is_silent(&self) -> bool {
        self.len == self.writer_start
    }

    /// Who knows the writer.
    #[inline(always)]
    pub fn writer(&self) -> &W {
        &self.writer
    }

    /// Writes `bytes` for whoever has just begun, whether it may go on or not.
    ///
    /// # Panics
    /// When there is no room.
    pub fn finish_with(&mut self, bytes: &[u8]) {
        self.writer.end();
        self.writer_start = NOWHERE;
        self.add(bytes);
    }

    /// Ends the writer's writing. If it has written nothing, its entry is gone, and it is returned.
    #[inline(always)]
    pub fn end(&mut self) -> Option<SessionId> {
        let was_silent = self.is_silent();
        let id = self.writer.end();
        self.writer_start = NOWHERE;
        if !was_silent {
            return None;
        }
        self.entries.pop();
        Some(id)
    }

    /// How many bytes were written.
    #[inline]
    pub fn written(&self) -> usize {
        self.len
    }

    /// How many more bytes fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    /// There is room for nothing more, until it is made.
    #[cold]
    pub fn close_room(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.truncate(self.len);
        self.bytes = bytes.into_boxed_slice();
    }

    /// Makes room for `bytes` more, also beyond what a page of a reactor has; and for others that may
    /// follow, but not beyond `bytes_max` on the page.
    pub fn make_room(&mut self, bytes: usize, bytes_max: usize) {
        let missing = bytes.saturating_sub(self.room());
        if missing > 0 {
            let mut longer = std::mem::take(&mut self.bytes).into_vec();
            let double = (2 * longer.len()).min(bytes_max);
            longer.resize((longer.len() + missing).max(double), 0);
            self.bytes = longer.into_boxed_slice();
        }
    }

    /// Whether nobody must be flushed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The `nth` entry, and where its bytes lie.
    ///
    /// # Panics
    /// When there is no such entry.
    #[inline]
    pub fn entry(&self, nth: usize) -> (SessionId, Range<usize>) {
        let Entry { id, start, .. } = self.entries[nth];
        let end = self.entries.get(nth + 1).map_or(self.len, |next| next.start as usize);
        (id, start as usize..end)
    }

    /// The entries from the `nth` on, and what each has to send, of a page that was turned.
    #[inline]
    pub fn pieces(&self, nth: usize) -> impl Iterator<Item = (SessionId, &[u8])> {
        self.entries[nth..].windows(2).map(|pair| match (pair[0], pair[1].start as usize) {
            (Entry { id, start, shared: 0 }, end) => (id, &self.bytes[start as usize..end]),
            (Entry { id, shared, .. }, _) => (id, self.shared.get(shared)),
        })
    }

    /// How many bytes the entries from `begin` to `end` have to send, of a page that was turned.
    #[inline(always)]
    pub fn bytes_between(&self, begin: usize, end: usize) -> usize {
        let own = self.entries[end].start - self.entries[begin].start;
        if self.shared.is_empty() {
            return own as usize;
        }
        let shared = self.entries[begin..end].iter().filter(|entry| entry.shared != 0);
        own as usize + shared.map(|entry| self.shared.get(entry.shared).len()).sum::<usize>()
    }

    /// The `nth` entry, and what it has to send.
    ///
    /// # Panics
    /// When there is no such entry.
    #[inline]
    pub fn piece(&self, nth: usize) -> (SessionId, &[u8]) {
        match self.entries[nth] {
            Entry { shared: 0, .. } => {
                let (id, range) = self.entry(nth);
                (id, &self.bytes[range])
            }
            Entry { id, shared, .. } => (id, self.shared.get(shared)),
        }
    }

    /// What the `nth` entry has to send, to be kept for longer than the page lasts, if others have it
    /// too.
    pub fn hold_on(&mut self, nth: usize) -> Option<Bytes> {
        self.shared.hold_on(self.entries.get(nth)?.shared)
    }

    /// Keeps bytes that many entries may have, and says under which number.
    pub fn share(&mut self, bytes: Bytes) -> u32 {
        self.shared.keep(bytes)
    }

    /// Gives the entry with the number `entry` what is shared under `next` too, behind what it has;
    /// `false` if the two do not lie there side by side, or would be more than one session may have on a
    /// page.
    pub fn extend_shared(&mut self, entry: u64, next: u32) -> bool {
        let Some(nth) = entry.checked_sub(self.first) else { return false };
        let Some(entry) = self.entries.get_mut(nth as usize) else { return false };
        let Some(both) = self.shared.join(entry.shared, next, self.bytes.len()) else {
            return false;
        };
        entry.shared = both;
        true
    }

    /// Enters `id` with bytes that others have too. Nobody may be the writer.
    #[inline]
    pub fn enter_shared(&mut self, id: SessionId, shared: u32) -> u64 {
        debug_assert!(!self.has_writer());
        self.put(id, shared)
    }

    /// The bytes at `range`.
    #[inline]
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// The number of the `nth` entry.
    #[inline]
    pub fn number(&self, nth: usize) -> u64 {
        self.first + nth as u64
    }

    /// How many bytes the entry with this number has; none if it is not on this page.
    pub fn bytes_of(&self, number: u64) -> usize {
        if (self.first..self.end_number()).contains(&number) {
            self.piece((number - self.first) as usize).1.len()
        } else {
            0
        }
    }

    /// An empty page again, with the room it had.
    #[inline]
    pub fn clear(&mut self) {
        self.len = 0;
        self.entries.clear();
        if !self.shared.is_empty() {
            self.shared.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32) -> SessionId {
        SessionId::new(0, index, 1)
    }

    /// What `id` writes, from its entry to the end of its writing.
    fn write(page: &mut Page, id: SessionId, bytes: &[u8]) -> bool {
        page.begin(id);
        let fits = page.append(id, bytes);
        page.end();
        fits
    }

    #[test]
    fn each_entry_has_the_bytes_of_its_own_writer() {
        let mut page = Page::new(100);
        assert!(!page.append(id(1), b"nobody began"));
        assert_eq!(page.begin(id(1)), 1, "no number is 0");
        assert!(page.append(id(1), b"one ") && page.append(id(1), b"more"));
        assert_eq!((page.end(), page.bytes_of(1)), (None, 8));
        assert!(!page.append(id(1), b"not any more"));
        assert_eq!(page.enter(id(2)), 2);
        page.begin(id(3));
        assert_eq!(page.end(), Some(id(3)), "it wrote nothing");
        assert!(write(&mut page, id(4), b"four"));
        let seen: Vec<_> = (0..page.len()).map(|nth| page.entry(nth)).collect();
        let texts: Vec<_> = seen.into_iter().map(|(id, range)| (id, page.bytes(range))).collect();
        assert_eq!(texts, [(id(1), &b"one more"[..]), (id(2), b""), (id(4), b"four")]);
        assert_eq!((page.bytes_of(2), page.bytes_of(0)), (0, 0));
    }

    #[test]
    fn shared_bytes_lie_between_those_of_others_and_are_stored_once() {
        let mut page = Page::new(100);
        assert!(write(&mut page, id(1), b"one"));
        let shared = page.share(Bytes::from_static(b"for all"));
        assert_eq!((page.enter_shared(id(2), shared), page.enter_shared(id(3), shared)), (2, 3));
        assert!(write(&mut page, id(4), b"four"));
        let pieces: Vec<_> = (0..4).map(|nth| page.piece(nth)).collect();
        let expected: [(_, &[u8]); 4] =
            [(id(1), b"one"), (id(2), b"for all"), (id(3), b"for all"), (id(4), b"four")];
        assert_eq!(pieces, expected);
        assert_eq!((page.bytes_of(1), page.bytes_of(2)), (3, 7));
        let (one, other) = (page.hold_on(1).unwrap(), page.hold_on(2).unwrap());
        assert_eq!((one.as_ptr(), page.hold_on(0)), (other.as_ptr(), None));
    }

    #[test]
    fn the_next_message_makes_the_entry_of_one_before_longer() {
        let mut page = Page::new(10);
        let mut texts = ["one ", "two ", "three"].map(|text| page.share(text.into())).into_iter();
        let (one, two, three) =
            (texts.next().unwrap(), texts.next().unwrap(), texts.next().unwrap());
        let [first, second] = [id(1), id(2)].map(|id| page.enter_shared(id, one));
        assert!(page.extend_shared(first, two) && !page.extend_shared(second, three));
        assert!(!page.extend_shared(first, three), "no session may have so much on this page");
        let own = page.enter(id(3));
        assert!(!page.extend_shared(own, one) && !page.extend_shared(0, one));
        let mut turned = Page::new(10);
        assert_eq!(page.turn_to(&mut turned), 3);
        assert!(!page.extend_shared(first, three), "it is on the page before");
        let pieces: Vec<_> = turned.pieces(0).map(|(_, bytes)| bytes).collect();
        assert_eq!(pieces, [&b"one two "[..], b"one ", b""]);
        assert_eq!((turned.bytes_between(0, 3), turned.bytes_between(1, 3)), (12, 4));
    }

    #[test]
    fn a_prefix_is_as_wide_as_it_says() {
        let mut page = Page::new(20);
        page.begin(id(1));
        assert!(!page.append_prefixed(id(2), [9; 8], 4, b"not the writer"));
        for width in [0, 1, 2, 4] {
            assert!(page.append_prefixed(id(1), [b'0' + width as u8; 8], width, b"ab"));
        }
        assert_eq!(page.bytes(0..15), b"ab1ab22ab4444ab");
        assert!(!page.append_prefixed(id(1), [9; 8], 4, b"ab"), "no room for a whole prefix");
    }

    #[test]
    fn nobody_writes_beyond_the_page() {
        for most in [10, PAGE_BYTES_MAX + 1] {
            let mut page = Page::new(most);
            let room = page.room();
            assert_eq!(room, most.min(PAGE_BYTES_MAX));
            assert!(!write(&mut page, id(1), &vec![0; room + 1]));
            assert!(write(&mut page, id(2), &vec![0; room - 1]) && write(&mut page, id(3), b"x"));
            assert!(!write(&mut page, id(4), b"x") && page.room() == 0);
            page.clear();
            assert!(page.is_empty() && page.room() == room);
        }
    }
}
