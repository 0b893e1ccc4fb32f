//! Frames behind a length: a prefix of 1, 2, 4 or 8 bytes says how long the frame is.
//!
//! It exists because it is the cheapest framing that there is, and because the length is checked
//! before a byte of the frame is waited for: a peer cannot make us reserve what we would refuse. It
//! does not cover varint prefixes, nor prefixes that stand behind other fields.
//!
//! Invariant: `bytes_max` plus the widest prefix fits any slice, so no sum below can overflow.

use std::fmt;

use super::{Framer, Step};

/// No slice is longer than `isize::MAX` bytes, so neither is a frame with its prefix.
const BYTES_MAX: usize = isize::MAX as usize - Prefix::Eight.width();

/// How many bytes a length prefix has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Prefix {
    /// Lengths up to 255.
    One = 1,
    /// Lengths up to 65,535.
    Two = 2,
    /// Lengths up to 4,294,967,295.
    Four = 4,
    /// Every length.
    Eight = 8,
}

impl Prefix {
    /// The prefix of so many bytes, if there is one.
    ///
    /// ```
    /// use readyloop::framers::Prefix;
    ///
    /// assert_eq!(Prefix::from_width(4), Some(Prefix::Four));
    /// assert_eq!(Prefix::from_width(3), None);
    /// ```
    pub const fn from_width(bytes: usize) -> Option<Prefix> {
        match bytes {
            1 => Some(Prefix::One),
            2 => Some(Prefix::Two),
            4 => Some(Prefix::Four),
            8 => Some(Prefix::Eight),
            _ => None,
        }
    }

    /// Its width in bytes.
    #[inline]
    pub const fn width(self) -> usize {
        self as usize
    }

    /// How many bits of a `u64` it leaves unused.
    const fn unused_bits(self) -> u8 {
        64 - 8 * self as u8
    }
}

impl fmt::Display for Prefix {
    /// The width, as in `4`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.width().fmt(f)
    }
}

/// Which byte of a length prefix comes first.
///
/// ```
/// use readyloop::framers::{Order, Prefix};
///
/// assert_eq!(format!("{}{}", Prefix::Four, Order::default()), "4be");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Order {
    /// The highest: network byte order (RFC 1700).
    #[default]
    Big,
    /// The lowest.
    Little,
}

impl fmt::Display for Order {
    /// `be` or `le`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Order::Big => "be",
            Order::Little => "le",
        })
    }
}

/// How the length ahead of a frame is spelled: known when the program is built ([`Fixed`]), or when it
/// runs ([`Spelling`]).
#[expect(private_bounds, reason = "nobody else can spell a prefix")]
pub trait Spell: Copy + Send + Sync + fmt::Debug + 'static + Sealed {
    /// How many bytes it has.
    fn prefix(self) -> Prefix;
    /// Which of them comes first.
    fn order(self) -> Order;
    /// How many bytes a value counts that are not in the frame: none, or the prefix's own.
    fn overcount(self) -> u8;
    /// How many bits of a `u64` it leaves unused.
    fn unused_bits(self) -> u8;
}

trait Sealed {}

/// A spelling that is chosen when the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spelling {
    prefix: Prefix,
    order: Order,
    overcount: u8,
    /// Kept, because every frame needs it twice.
    unused_bits: u8,
}

impl Sealed for Spelling {}

impl Spell for Spelling {
    #[inline(always)]
    fn prefix(self) -> Prefix {
        self.prefix
    }

    #[inline(always)]
    fn order(self) -> Order {
        self.order
    }

    #[inline(always)]
    fn overcount(self) -> u8 {
        self.overcount
    }

    #[inline(always)]
    fn unused_bits(self) -> u8 {
        self.unused_bits
    }
}

/// A spelling that is part of the program: what it could have been costs a frame nothing.
///
/// `WIDTH` is 1, 2, 4 or 8; anything else does not build:
///
/// ```compile_fail
/// use readyloop::framers::{Fixed, LengthPrefixed};
///
/// let three: LengthPrefixed<Fixed<3, true>> = LengthPrefixed::fixed(1024);
/// three.encode(1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fixed<const WIDTH: usize, const BIG: bool>;

/// Four bytes in network order.
pub type Be32 = Fixed<4, true>;
/// Four bytes, the lowest first.
pub type Le32 = Fixed<4, false>;
/// Two bytes in network order.
pub type Be16 = Fixed<2, true>;
/// Two bytes, the lowest first.
pub type Le16 = Fixed<2, false>;

impl<const WIDTH: usize, const BIG: bool> Sealed for Fixed<WIDTH, BIG> {}

impl<const WIDTH: usize, const BIG: bool> Fixed<WIDTH, BIG> {
    const PREFIX: Prefix = match Prefix::from_width(WIDTH) {
        Some(prefix) => prefix,
        None => panic!("a length prefix has 1, 2, 4 or 8 bytes"),
    };
}

impl<const WIDTH: usize, const BIG: bool> Spell for Fixed<WIDTH, BIG> {
    #[inline(always)]
    fn prefix(self) -> Prefix {
        Self::PREFIX
    }

    #[inline(always)]
    fn order(self) -> Order {
        if BIG { Order::Big } else { Order::Little }
    }

    #[inline(always)]
    fn overcount(self) -> u8 {
        0
    }

    #[inline(always)]
    fn unused_bits(self) -> u8 {
        Self::PREFIX.unused_bits()
    }
}

/// Cuts the stream into frames that each stand behind their length; the frame excludes the prefix.
///
/// A frame may be empty. A length over `bytes_max` is refused as soon as its prefix is there.
///
/// ```
/// use readyloop::framers::{Framer, LengthPrefixed, Order, Prefix, Step};
///
/// let mut framer = LengthPrefixed::new(Prefix::Two, Order::Big, 1024);
/// assert_eq!(framer.next(&mut b"\0\x05hello".to_vec()), Step::Frame { frame: 2..7, consumed: 7 });
/// assert_eq!(framer.next(&mut b"\0\x05he".to_vec()), Step::NeedMore { at_least: 7 });
/// assert_eq!(framer.next(&mut b"\xff\xff".to_vec()), Step::TooLong);
/// ```
///
/// A protocol that will never spell lengths in another way says so in the type, and each frame is cut
/// and sent in fewer instructions:
///
/// ```
/// use readyloop::framers::{Be16, Framer, LengthPrefixed, Step};
///
/// let mut framer: LengthPrefixed<Be16> = LengthPrefixed::fixed(1024);
/// assert_eq!(framer.next(&mut b"\0\x05hello".to_vec()), Step::Frame { frame: 2..7, consumed: 7 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LengthPrefixed<S = Spelling> {
    /// The longest frame that is taken; at most `BYTES_MAX`.
    bytes_max: usize,
    spelling: S,
}

const fn bounded(bytes_max: usize) -> usize {
    if bytes_max < BYTES_MAX { bytes_max } else { BYTES_MAX }
}

impl LengthPrefixed {
    /// Frames of at most `bytes_max` bytes, the prefix not counted. A `bytes_max` that the prefix
    /// cannot spell is never reached.
    pub const fn new(prefix: Prefix, order: Order, bytes_max: usize) -> LengthPrefixed {
        let unused_bits = prefix.unused_bits();
        let spelling = Spelling { prefix, order, overcount: 0, unused_bits };
        LengthPrefixed { bytes_max: bounded(bytes_max), spelling }
    }

    /// The prefix's value counts the prefix too; one that is smaller than that is malformed.
    /// `bytes_max` still means the frame alone.
    ///
    /// ```
    /// use readyloop::framers::{Framer, LengthPrefixed, Order, Prefix, Step};
    ///
    /// let mut framer = LengthPrefixed::new(Prefix::Four, Order::Little, 1024).counting_itself();
    /// let mut input = *b"\x06\0\0\0hi";
    /// assert_eq!(framer.next(&mut input), Step::Frame { frame: 4..6, consumed: 6 });
    /// ```
    #[must_use]
    pub const fn counting_itself(mut self) -> LengthPrefixed {
        self.spelling.overcount = self.spelling.prefix as u8;
        self
    }
}

impl<const WIDTH: usize, const BIG: bool> LengthPrefixed<Fixed<WIDTH, BIG>> {
    /// Frames of at most `bytes_max` bytes, the prefix not counted, behind a prefix that the type names.
    pub const fn fixed(bytes_max: usize) -> LengthPrefixed<Fixed<WIDTH, BIG>> {
        LengthPrefixed { bytes_max: bounded(bytes_max), spelling: Fixed }
    }
}

impl<S: Spell> LengthPrefixed<S> {
    /// The prefix to send ahead of a frame of `frame_bytes` bytes; `None` when the prefix cannot
    /// spell that length. `bytes_max` limits what is taken, not what is sent.
    ///
    /// ```
    /// use readyloop::framers::{LengthPrefixed, Order, Prefix};
    ///
    /// let framer = LengthPrefixed::new(Prefix::Two, Order::Big, 1024);
    /// assert_eq!(framer.encode(258).unwrap().as_slice(), [1, 2]);
    /// assert!(framer.encode(65_536).is_none());
    /// ```
    #[inline(always)]
    pub fn encode(&self, frame_bytes: usize) -> Option<PrefixBytes> {
        let unused = self.spelling.unused_bits();
        let value = (frame_bytes as u64).checked_add(u64::from(self.spelling.overcount()))?;
        if value > u64::MAX >> unused {
            return None;
        }
        let bytes = match self.spelling.order() {
            Order::Big => (value << unused).to_be_bytes(),
            Order::Little => value.to_le_bytes(),
        };
        Some(PrefixBytes { bytes, prefix: self.spelling.prefix() })
    }

    /// Reads the prefix's value from the stream's next 8 bytes, of which the first ones are the
    /// prefix and the others are shifted out: no branch on the width.
    #[inline(always)]
    fn value(&self, next: [u8; 8]) -> u64 {
        let unused = self.spelling.unused_bits();
        match self.spelling.order() {
            Order::Big => u64::from_be_bytes(next) >> unused,
            Order::Little => u64::from_le_bytes(next) << unused >> unused,
        }
    }
}

impl<S: Spell> Framer for LengthPrefixed<S> {
    // A call of its own would cost a third of what the frame costs.
    #[inline(always)]
    fn next(&mut self, input: &mut [u8]) -> Step {
        let width = self.spelling.prefix().width();
        let next = match input.first_chunk::<8>() {
            Some(&next) => next,
            None if input.len() < width => return Step::NeedMore { at_least: width },
            None => padded(input),
        };
        let overcount = u64::from(self.spelling.overcount());
        let Some(length) = self.value(next).checked_sub(overcount) else {
            return Step::Malformed("length prefix shorter than itself");
        };
        if length > self.bytes_max as u64 {
            return Step::TooLong;
        }
        let total = width + length as usize;
        if input.len() < total {
            return Step::NeedMore { at_least: total };
        }
        Step::Frame { frame: width..total, consumed: total }
    }
}

/// Fewer than 8 bytes, and zeros behind them. Out of line: only the tail of an input is so short.
#[cold]
fn padded(input: &[u8]) -> [u8; 8] {
    let mut next = [0; 8];
    next[..input.len()].copy_from_slice(input);
    next
}

/// A length prefix in its bytes; made by [`LengthPrefixed::encode`].
#[derive(Clone, Copy, Debug)]
pub struct PrefixBytes {
    bytes: [u8; 8],
    prefix: Prefix,
}

impl PrefixBytes {
    /// The bytes, in the order in which they are sent.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.prefix.width()]
    }
}

impl PrefixBytes {
    /// The bytes with what follows them to the eighth, and how many of them count.
    #[inline]
    pub(crate) fn padded(&self) -> ([u8; 8], usize) {
        (self.bytes, self.prefix.width())
    }
}

impl AsRef<[u8]> for PrefixBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::framers::walk::{self, End, Walked};

    const WHOLE: End = End::Waiting { left: 0 };
    const SHORT: End = End::Malformed("length prefix shorter than itself");

    /// Every kind of prefix, for frames of at most `bytes_max` bytes.
    fn kinds(bytes_max: usize) -> Vec<LengthPrefixed> {
        let mut kinds = Vec::new();
        for prefix in [Prefix::One, Prefix::Two, Prefix::Four, Prefix::Eight] {
            for order in [Order::Big, Order::Little] {
                let plain = LengthPrefixed::new(prefix, order, bytes_max);
                kinds.extend([plain, plain.counting_itself()]);
            }
        }
        kinds
    }

    fn stream_of(framer: LengthPrefixed, frames: &[impl AsRef<[u8]>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for frame in frames {
            let frame = frame.as_ref();
            stream.extend_from_slice(framer.encode(frame.len()).unwrap().as_slice());
            stream.extend_from_slice(frame);
        }
        stream
    }

    /// The prefix with this value, whatever it counts.
    fn spelled(framer: LengthPrefixed, value: u64) -> Vec<u8> {
        let width = framer.spelling.prefix.width();
        match framer.spelling.order {
            Order::Big => value.to_be_bytes()[8 - width..].to_vec(),
            Order::Little => value.to_le_bytes()[..width].to_vec(),
        }
    }

    /// What a stream must become, told as slowly and as plainly as possible.
    fn plainly(framer: LengthPrefixed, mut stream: &[u8]) -> Walked {
        let width = framer.spelling.prefix.width();
        let mut frames = Vec::new();
        let end = loop {
            if stream.len() < width {
                break End::Waiting { left: stream.len() };
            }
            let digit = |value: i128, &byte: &u8| value * 256 + i128::from(byte);
            let value = match framer.spelling.order {
                Order::Big => stream[..width].iter().fold(0, digit),
                Order::Little => stream[..width].iter().rev().fold(0, digit),
            };
            let length = value - i128::from(framer.spelling.overcount);
            if length < 0 {
                break SHORT;
            } else if length > (framer.bytes_max) as i128 {
                break End::TooLong;
            } else if length > (stream.len() - width) as i128 {
                break End::Waiting { left: stream.len() };
            }
            let total = width + length as usize;
            frames.push(stream[width..total].to_vec());
            stream = &stream[total..];
        };
        Walked { frames, end }
    }

    #[test]
    fn every_prefix_gives_back_the_frames_in_any_pieces() {
        for framer in kinds(9) {
            let frames = ["one", "", "\0\0", "nine byte", "", ""];
            let walked = walk::every_split(|| framer, &stream_of(framer, &frames));
            assert_eq!(walked, Walked::new(&frames, WHOLE), "{framer:?}");
        }
    }

    #[test]
    fn a_spelling_in_the_type_is_the_one_that_can_be_chosen() {
        fn are_the_same<S: Spell>(fixed: LengthPrefixed<S>, chosen: LengthPrefixed) {
            let frames = ["one", "", "nine byte", "a byte too long"];
            let stream = stream_of(chosen, &frames);
            let walked = walk::every_split(|| fixed, &stream);
            assert_eq!(walked, walk::every_split(|| chosen, &stream), "{chosen:?}");
            assert_eq!(walked, Walked::new(&frames[..3], End::TooLong), "{chosen:?}");
            for bytes in [0, 1, 255, 256, 65_535, 65_536, u32::MAX as usize, u32::MAX as usize + 1]
            {
                let spelled = |prefix: Option<PrefixBytes>| prefix.map(|it| it.as_slice().to_vec());
                assert_eq!(spelled(fixed.encode(bytes)), spelled(chosen.encode(bytes)), "{bytes}");
            }
        }
        use Order::{Big, Little};
        use Prefix::{Eight, Four, One, Two};
        let chosen = |prefix, order| LengthPrefixed::new(prefix, order, 9);
        are_the_same(LengthPrefixed::<Fixed<1, true>>::fixed(9), chosen(One, Big));
        are_the_same(LengthPrefixed::<Be16>::fixed(9), chosen(Two, Big));
        are_the_same(LengthPrefixed::<Le16>::fixed(9), chosen(Two, Little));
        are_the_same(LengthPrefixed::<Be32>::fixed(9), chosen(Four, Big));
        are_the_same(LengthPrefixed::<Le32>::fixed(9), chosen(Four, Little));
        are_the_same(LengthPrefixed::<Fixed<8, false>>::fixed(9), chosen(Eight, Little));
    }

    #[test]
    fn a_prefix_is_spelled_as_the_protocol_says() {
        let spell = |prefix, order, bytes| {
            LengthPrefixed::new(prefix, order, 0).encode(bytes).unwrap().as_slice().to_vec()
        };
        assert_eq!(spell(Prefix::One, Order::Big, 7), [7]);
        assert_eq!(spell(Prefix::Two, Order::Big, 0x0102), [1, 2]);
        assert_eq!(spell(Prefix::Two, Order::Little, 0x0102), [2, 1]);
        assert_eq!(spell(Prefix::Four, Order::Big, 0x0102_0304), [1, 2, 3, 4]);
        assert_eq!(spell(Prefix::Four, Order::Little, 0x0102_0304), [4, 3, 2, 1]);
        assert_eq!(spell(Prefix::Eight, Order::Big, 0x0102), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(spell(Prefix::Eight, Order::Little, 0x0102), [2, 1, 0, 0, 0, 0, 0, 0]);
        let counting = LengthPrefixed::new(Prefix::Four, Order::Big, 0).counting_itself();
        assert_eq!(counting.encode(1).unwrap().as_ref(), [0, 0, 0, 5]);
    }

    #[test]
    fn a_length_that_does_not_fit_the_prefix_has_no_spelling() {
        for framer in kinds(0) {
            let largest = u64::MAX >> framer.spelling.unused_bits;
            let frame = (largest - u64::from(framer.spelling.overcount)) as usize;
            let bytes = framer.encode(frame).unwrap();
            assert_eq!(bytes.as_slice(), spelled(framer, largest), "{framer:?}");
            if let Some(over) = frame.checked_add(1) {
                assert!(framer.encode(over).is_none(), "{framer:?}");
            }
        }
    }

    #[test]
    fn the_largest_frame_passes_and_one_byte_more_is_too_long() {
        for framer in kinds(5) {
            let frames = ["12345", "123456"];
            let walked = walk::every_split(|| framer, &stream_of(framer, &frames));
            assert_eq!(walked, Walked::new(&frames[..1], End::TooLong), "{framer:?}");
        }
    }

    #[test]
    fn a_length_over_the_maximum_is_refused_before_its_frame_comes() {
        for framer in kinds(5) {
            let stream = spelled(framer, u64::MAX);
            assert_eq!(walk::every_split(|| framer, &stream).end, End::TooLong, "{framer:?}");
        }
        let mut framer = LengthPrefixed::new(Prefix::Four, Order::Big, 65_536);
        assert_eq!(framer.next(&mut [0xff; 4]), Step::TooLong);
    }

    #[test]
    fn a_length_that_would_overflow_with_its_prefix_is_too_long_under_any_maximum() {
        for framer in kinds(usize::MAX).split_off(12) {
            for value in [u64::MAX, u64::MAX - 7, u64::MAX - 8, isize::MAX as u64 + 1] {
                let stream = spelled(framer, value);
                assert_eq!(walk::every_split(|| framer, &stream).end, End::TooLong, "{framer:?}");
            }
        }
    }

    #[test]
    fn a_length_shorter_than_itself_is_malformed() {
        for framer in kinds(9).into_iter().filter(|framer| framer.spelling.overcount > 0) {
            for value in 0..u64::from(framer.spelling.overcount) {
                let stream = [stream_of(framer, &["ok"]), spelled(framer, value)].concat();
                let walked = walk::every_split(|| framer, &stream);
                assert_eq!(walked, Walked::new(&["ok"], SHORT), "{framer:?}");
            }
        }
    }

    #[test]
    fn a_maximum_that_the_prefix_cannot_spell_is_never_reached() {
        let framer = LengthPrefixed::new(Prefix::One, Order::Big, usize::MAX);
        let frames = [[b'x'; 255], [b'y'; 255]];
        let walked = walk::every_split(|| framer, &stream_of(framer, &frames));
        assert_eq!(walked, Walked::new(&frames, WHOLE));
    }

    #[test]
    fn a_framer_asks_for_the_prefix_and_then_for_the_exact_total() {
        for mut framer in kinds(1000) {
            let width = framer.spelling.prefix.width();
            let mut stream = stream_of(framer, &[[b'x'; 200]]);
            for there in 1..stream.len() {
                let at_least = if there < width { width } else { width + 200 };
                assert_eq!(framer.next(&mut stream[..there]), Step::NeedMore { at_least });
            }
        }
    }

    #[test]
    fn only_four_widths_are_prefixes() {
        let widths: Vec<usize> =
            (0..300).filter_map(Prefix::from_width).map(Prefix::width).collect();
        assert_eq!(widths, [1, 2, 4, 8]);
    }

    #[test]
    fn a_length_framer_is_two_words_wide() {
        assert_eq!(size_of::<LengthPrefixed>(), 16);
    }

    proptest! {
        #![proptest_config(walk::config())]

        #[test]
        fn any_frames_in_any_pieces_come_back(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..8),
            cuts in prop::collection::vec(0..200usize, 0..8),
            kind in 0..16usize,
        ) {
            let framer = kinds(20)[kind];
            let stream = stream_of(framer, &frames);
            let walked = walk::arrivals(framer, walk::pieces(&stream, &cuts));
            prop_assert_eq!(walked, Walked::new(&frames, WHOLE));
        }

        #[test]
        fn any_bytes_in_any_pieces_become_what_they_say(
            stream in prop::collection::vec(prop::sample::select(vec![0, 0, 0, 1, 2, 4, 8, 9, 255]), 0..64),
            cuts in prop::collection::vec(0..64usize, 0..8),
            kind in 0..16usize,
            bytes_max in 0..12usize,
        ) {
            let framer = kinds(bytes_max)[kind];
            let walked = walk::arrivals(framer, walk::pieces(&stream, &cuts));
            prop_assert_eq!(walked, plainly(framer, &stream));
        }
    }
}
