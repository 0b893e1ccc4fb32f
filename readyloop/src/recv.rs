//! Bytes on their way in, that no handler has seen yet: what one session keeps between two reads.
//!
//! The bytes themselves arrive in the reactor's shared buffer; a session keeps a remainder only
//! while a frame is incomplete (or while the session is paused with whole frames unread). A
//! remainder whose frame fits the shared buffer is copied there before the next read; a longer
//! frame grows in the remainder itself, and is read straight into place.
//!
//! Invariant: a remainder without bytes has no capacity.

use crate::pool::{LARGE_BYTES, Pool};

/// One session's unhandled bytes.
#[derive(Default)]
pub struct Remainder {
    bytes: Vec<u8>,
    /// The framer need not look before there are this many bytes.
    wanted: usize,
}

impl Remainder {
    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are kept.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the framer may find something in what is kept, without another read.
    #[inline]
    pub fn is_ready(&self) -> bool {
        !self.bytes.is_empty() && self.bytes.len() >= self.wanted
    }

    /// Whether the frame needs a buffer of its own, because `shared_bytes` cannot hold it.
    #[inline]
    pub fn is_long(&self, shared_bytes: usize) -> bool {
        self.wanted > shared_bytes
    }

    /// The bytes that are kept.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The place that a long frame is read into, with room for more of it.
    ///
    /// The room doubles with what has come and never follows what was announced, so a peer cannot
    /// make us allocate more than twice what it has sent (and 16 KiB). It ends where the frame
    /// ends, where the framer knows that; one that asks for a single byte more does not.
    pub fn grow(&mut self) -> &mut Vec<u8> {
        if self.bytes.len() == self.bytes.capacity() {
            let double = self.bytes.len().max(LARGE_BYTES);
            let room = match self.wanted.saturating_sub(self.bytes.len()) {
                0 | 1 => double,
                missing => missing.min(double),
            };
            self.bytes.reserve_exact(room);
        }
        &mut self.bytes
    }

    /// Keeps `rest` until there are `wanted` bytes. Nothing may be kept yet.
    pub fn keep(&mut self, rest: &[u8], wanted: usize, pool: &mut Pool) {
        debug_assert!(self.bytes.is_empty());
        self.wanted = wanted;
        if !rest.is_empty() {
            self.bytes = pool.whole(rest.len());
            self.bytes.extend_from_slice(rest);
        }
    }

    /// Takes all bytes out, to be framed where they are; give them back with
    /// [`Remainder::put_back`].
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Puts back what [`Remainder::take`] gave, less its first `consumed` bytes.
    pub fn put_back(
        &mut self,
        mut bytes: Vec<u8>,
        consumed: usize,
        wanted: usize,
        pool: &mut Pool,
    ) {
        self.wanted = wanted;
        if consumed >= bytes.len() {
            pool.give_back(bytes);
        } else if bytes.len() - consumed < bytes.capacity() / 4 {
            // A short rest must not hold on to a long frame's buffer.
            self.keep(&bytes[consumed..], wanted, pool);
            pool.give_back(bytes);
        } else {
            bytes.drain(..consumed);
            self.bytes = bytes;
        }
    }

    /// Drops what is kept.
    #[inline]
    pub fn clear(&mut self, pool: &mut Pool) {
        if !self.bytes.is_empty() {
            pool.give_back(self.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_makes_us_allocate_no_more_than_twice_what_it_sent() {
        let (mut remainder, mut pool) = (Remainder::default(), Pool::default());
        remainder.keep(&[0; 5], 1 << 40, &mut pool);
        for _ in 0..100_000 {
            remainder.grow().push(0);
            assert!(remainder.bytes.capacity() <= 2 * remainder.len() + LARGE_BYTES);
        }
    }

    #[test]
    fn a_long_frame_ends_with_exactly_its_own_bytes_in_place() {
        let (mut remainder, mut pool) = (Remainder::default(), Pool::default());
        remainder.keep(&[1; 100], 1_000_000, &mut pool);
        while !remainder.is_ready() {
            let place = remainder.grow();
            place.resize(place.capacity(), 2);
        }
        assert_eq!(remainder.len(), 1_000_000);
    }

    #[test]
    fn a_remainder_without_bytes_owns_nothing() {
        let (mut remainder, mut pool) = (Remainder::default(), Pool::default());
        remainder.keep(b"abc", 4, &mut pool);
        let bytes = remainder.take();
        remainder.put_back(bytes, 3, 1, &mut pool);
        assert!(remainder.is_empty() && remainder.bytes.capacity() == 0);
        remainder.keep(b"", 4, &mut pool);
        assert_eq!(remainder.bytes.capacity(), 0);
        remainder.keep(b"abc", 4, &mut pool);
        remainder.clear(&mut pool);
        assert_eq!(remainder.bytes.capacity(), 0);
    }

    #[test]
    fn a_frame_whose_length_nobody_knows_is_not_read_byte_by_byte() {
        let (mut remainder, mut pool) = (Remainder::default(), Pool::default());
        remainder.keep(&[1; 70_000], 70_001, &mut pool);
        let mut reads = 0;
        while remainder.len() < 10_000_000 {
            let place = remainder.grow();
            place.resize(place.capacity(), 2);
            // As a framer of lines does: one byte more, at least.
            let bytes = remainder.take();
            let wanted = bytes.len() + 1;
            remainder.put_back(bytes, 0, wanted, &mut pool);
            reads += 1;
        }
        assert!(reads < 50, "{reads}");
    }

    #[test]
    fn a_short_rest_lets_go_of_a_long_frames_buffer() {
        let (mut remainder, mut pool) = (Remainder::default(), Pool::default());
        remainder.put_back(vec![1; 1_000_000], 999_990, 20, &mut pool);
        assert_eq!(remainder.bytes(), [1; 10]);
        assert!(remainder.bytes.capacity() <= LARGE_BYTES);
    }
}
