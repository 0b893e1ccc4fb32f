//! What many entries of a page have: each message is stored once, and messages that follow each other
//! can be had as one.
//!
//! Several messages to the same members in one turn are what a tick of a game or of a market is. Short
//! ones are written one behind the other, so a member that gets the next one as well has a longer piece
//! of the same text, and it leaves in one plain write. Long ones are kept as they came.
//!
//! Invariant: a piece of text ends within the text.

use std::ops::Range;

use bytes::Bytes;

/// A message that is longer is not copied.
const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Text of one turn, in bytes: what is still in the second-level cache when the last member is written.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// One page's shared bytes. Pieces have numbers from 1 on; 0 is none.
#[derive(Default)]
pub(super) struct Shared {
    text: Vec<u8>,
    pieces: Vec<Piece>,
    /// The last two that were joined, and what they are together: most members have the same.
    joined: (u32, u32, u32),
}

enum Piece {
    Text(Range<usize>),
    Whole(Bytes),
}

impl Shared {
    /// Keeps a message, and says under which number.
    pub(super) fn keep(&mut self, message: Bytes) -> u32 {
        let begin = self.text.len();
        let end = begin + message.len();
        if message.len() > MESSAGE_BYTES_MAX || end > TEXT_BYTES_MAX {
            return self.put(Piece::Whole(message));
        }
        self.text.extend_from_slice(&message);
        self.put(Piece::Text(begin..end))
    }

    /// Both pieces as one of at most `bytes_max` bytes, if the second one lies right behind the first.
    pub(super) fn join(&mut self, first: u32, second: u32, bytes_max: usize) -> Option<u32> {
        let (one, other, both) = self.joined;
        if (one, other) == (first, second) {
            return Some(both);
        }
        let (Piece::Text(head), Piece::Text(tail)) = (self.piece(first)?, self.piece(second)?)
        else {
            return None;
        };
        let all = head.start..tail.end;
        if head.end != tail.start || all.len() > bytes_max {
            return None;
        }
        let both = self.put(Piece::Text(all));
        self.joined = (first, second, both);
        Some(both)
    }

    /// The bytes with this number.
    ///
    /// # Panics
    /// When there are none.
    #[inline]
    pub(super) fn get(&self, number: u32) -> &[u8] {
        match &self.pieces[number as usize - 1] {
            Piece::Text(range) => &self.text[range.clone()],
            Piece::Whole(bytes) => bytes,
        }
    }

    /// The same, to be kept for longer than the page lasts: stored once for all who keep them.
    pub(super) fn hold_on(&mut self, number: u32) -> Option<Bytes> {
        let piece = self.pieces.get_mut((number as usize).checked_sub(1)?)?;
        let bytes = match piece {
            Piece::Text(range) => Bytes::copy_from_slice(&self.text[range.clone()]),
            Piece::Whole(bytes) => bytes.clone(),
        };
        *piece = Piece::Whole(bytes.clone());
        Some(bytes)
    }

    /// Whether there are no pieces.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.pieces.clear();
        self.joined = (0, 0, 0);
    }

    fn piece(&self, number: u32) -> Option<&Piece> {
        self.pieces.get((number as usize).checked_sub(1)?)
    }

    fn put(&mut self, piece: Piece) -> u32 {
        self.pieces.push(piece);
        self.pieces.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(byte: u8, count: usize) -> Bytes {
        vec![byte; count].into()
    }

    #[test]
    fn what_lies_behind_each_other_is_one_piece_also_for_the_next_member() {
        let mut shared = Shared::default();
        let (one, two, three) = (
            shared.keep(message(b'1', 2)),
            shared.keep(message(b'2', 1)),
            shared.keep(message(b'3', 3)),
        );
        let both = shared.join(one, two, 100).unwrap();
        assert_eq!(shared.join(one, two, 100), Some(both));
        assert_eq!(shared.get(both), b"112");
        let all = shared.join(both, three, 100).unwrap();
        assert_eq!((shared.get(all), shared.get(one)), (&b"112333"[..], &b"11"[..]));
        assert_eq!(shared.join(one, three, 100), None, "the second one is missing");
        assert_eq!(shared.join(two, three, 3), None, "it would be too long");
        assert_eq!((shared.join(0, one, 100), shared.join(one, 0, 100)), (None, None));
    }

    #[test]
    fn nothing_is_remembered_of_the_page_before() {
        let mut shared = Shared::default();
        for byte in [b'a', b'b'] {
            let (one, two) = (shared.keep(message(byte, 1)), shared.keep(message(byte, 2)));
            let both = shared.join(one, two, 100).unwrap();
            shared.keep(message(b'x', 1));
            assert_eq!(shared.get(both), [byte; 3]);
            shared.clear();
            shared.keep(message(b'x', 1));
            shared.clear();
        }
        let (one, two) =
            (shared.keep(message(b'c', MESSAGE_BYTES_MAX + 1)), shared.keep(message(b'c', 2)));
        assert_eq!(shared.join(one, two, usize::MAX), None);
    }

    #[test]
    fn a_long_message_is_stored_as_it_came_and_joined_to_nothing() {
        let mut shared = Shared::default();
        let short = shared.keep(message(b's', 1));
        let bytes = message(b'l', MESSAGE_BYTES_MAX + 1);
        let long = shared.keep(bytes.clone());
        assert_eq!(shared.get(long).as_ptr(), bytes.as_ptr());
        assert_eq!(shared.join(short, long, usize::MAX), None);
        shared.clear();
        assert!(bytes.is_unique() && shared.is_empty(), "it was let go");
    }

    #[test]
    fn the_text_of_a_turn_is_bounded() {
        let mut shared = Shared::default();
        for _ in 0..2 * TEXT_BYTES_MAX / MESSAGE_BYTES_MAX {
            let number = shared.keep(message(b'x', MESSAGE_BYTES_MAX));
            assert_eq!(shared.get(number).len(), MESSAGE_BYTES_MAX);
        }
        assert_eq!(shared.text.len(), TEXT_BYTES_MAX);
    }

    #[test]
    fn who_holds_on_to_text_shares_it_with_all_others_who_do() {
        let mut shared = Shared::default();
        let number = shared.keep(message(b'x', 5));
        let (one, other) = (shared.hold_on(number).unwrap(), shared.hold_on(number).unwrap());
        assert_eq!((&one[..], one.as_ptr()), (&b"xxxxx"[..], other.as_ptr()));
        shared.clear();
        assert_eq!(&one[..], b"xxxxx");
    }
}
