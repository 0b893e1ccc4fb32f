//! A walk of a framer over a stream that is cut in every way: how whoever writes a [`Framer`] tests
//! that cuts change nothing.
//!
//! It keeps a remainder and honours `at_least` as the reactor does, and it checks what the reactor
//! relies on. It is not the reactor: it has no limits and no buffers worth the name.
//!
//! ```
//! use readyloop::Lines;
//! use readyloop::framers::walk::{self, End, Walked};
//!
//! let walked = walk::every_split(|| Lines::new(80), b"one\r\ntwo\nthr");
//! assert_eq!(walked, Walked::new(&["one", "two"], End::Waiting { left: 3 }));
//! ```

use super::{Framer, Step};

/// Streams up to this many bytes are also cut at every pair of places; the cost is its cube.
const PAIRS_BYTES_MAX: usize = 96;

/// What a stream became.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked {
    /// The frames, each as it was when the framer returned it.
    pub frames: Vec<Vec<u8>>,
    /// How the walk ended.
    pub end: End,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The stream is over, and the framer waits for the rest of a frame.
    Waiting {
        /// How many bytes are in the remainder.
        left: usize,
    },
    /// The framer refused the bytes.
    Malformed(&'static str),
    /// The framer refused the length.
    TooLong,
}

impl Walked {
    /// These frames, and then this end.
    pub fn new(frames: &[impl AsRef<[u8]>], end: End) -> Walked {
        Walked { frames: frames.iter().map(|frame| frame.as_ref().to_vec()).collect(), end }
    }
}

/// Feeds a framer with one piece of a stream after another.
///
/// # Panics
/// When the framer breaks the contract of [`Framer::next`].
pub fn arrivals<'a>(mut framer: impl Framer, pieces: impl IntoIterator<Item = &'a [u8]>) -> Walked {
    let mut frames = Vec::new();
    let mut remainder = Vec::new();
    let mut wanted = 1;
    for piece in pieces {
        remainder.extend_from_slice(piece);
        while remainder.len() >= wanted {
            match ask(&mut framer, &mut remainder) {
                Step::NeedMore { at_least } => wanted = at_least.max(remainder.len() + 1),
                Step::Frame { frame, consumed } => {
                    frames.push(remainder[frame].to_vec());
                    remainder.drain(..consumed);
                    wanted = 1;
                }
                Step::Malformed(why) => return Walked { frames, end: End::Malformed(why) },
                Step::TooLong => return Walked { frames, end: End::TooLong },
            }
        }
    }
    Walked { frames, end: End::Waiting { left: remainder.len() } }
}

/// One call, checked against the framer's contract.
fn ask(framer: &mut impl Framer, input: &mut [u8]) -> Step {
    let before = input.to_vec();
    let step = framer.next(input);
    match &step {
        Step::Frame { frame, consumed } => {
            assert!(frame.start <= frame.end && frame.end <= *consumed, "frame {step:?}");
            assert!(1 <= *consumed && *consumed <= input.len(), "consumed {step:?}");
            assert_eq!(before[..frame.start], input[..frame.start], "changed before the frame");
            assert_eq!(before[frame.end..], input[frame.end..], "changed behind the frame");
        }
        Step::NeedMore { .. } => assert_eq!(before, input, "changed without a frame"),
        Step::Malformed(_) | Step::TooLong => {}
    }
    step
}

/// Walks the stream whole, in two pieces at every place, byte by byte, and, when it is short, in
/// three pieces at every pair of places. Returns what all of them became.
///
/// # Panics
/// When a cut changes the frames, the end, or what is left.
#[track_caller]
pub fn every_split<F: Framer>(fresh: impl Fn() -> F, stream: &[u8]) -> Walked {
    let whole = arrivals(fresh(), [stream]);
    assert_eq!(arrivals(fresh(), stream.chunks(1)), whole, "byte by byte: {stream:?}");
    for first in 0..=stream.len() {
        let last = if stream.len() <= PAIRS_BYTES_MAX { stream.len() } else { first };
        for second in first..=last {
            let cut = arrivals(fresh(), pieces(stream, &[first, second]));
            assert_eq!(cut, whole, "cut at {first} and {second}: {stream:?}");
        }
    }
    whole
}

/// The stream, cut at these places, in any order; a place behind its end cuts nothing.
pub fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|&cut| cut.min(stream.len())).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// How framers are tried on random streams: the same ones each time, and no files are left behind.
#[cfg(test)]
pub(crate) fn config() -> proptest::test_runner::Config {
    use proptest::test_runner::{Config, RngSeed};
    Config { rng_seed: RngSeed::Fixed(7), failure_persistence: None, ..Config::with_cases(1000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framers::Raw;

    /// A framer that is one function.
    struct Of<F>(F);

    impl<F: FnMut(&mut [u8]) -> Step> Framer for Of<F> {
        fn next(&mut self, input: &mut [u8]) -> Step {
            (self.0)(input)
        }
    }

    #[test]
    fn pieces_are_the_stream_in_order() {
        assert_eq!(pieces(b"abcd", &[3, 1, 9]), [&b"a"[..], b"bc", b"d", b""]);
    }

    #[test]
    fn a_framer_is_not_asked_before_it_has_what_it_asked_for() {
        let threes = Of(|input: &mut [u8]| match input.len() {
            1 => Step::NeedMore { at_least: 3 },
            2 => Step::Malformed("asked too early"),
            _ => Step::Frame { frame: 0..3, consumed: 3 },
        });
        let walked = arrivals(threes, b"abcd".chunks(1));
        assert_eq!(walked, Walked::new(&["abc"], End::Waiting { left: 1 }));
    }

    #[test]
    fn asking_for_what_is_there_means_one_byte_more() {
        let pairs = Of(|input: &mut [u8]| match input.len() {
            1 => Step::NeedMore { at_least: 0 },
            _ => Step::Frame { frame: 0..2, consumed: 2 },
        });
        let walked = arrivals(pairs, b"abc".chunks(1));
        assert_eq!(walked, Walked::new(&["ab"], End::Waiting { left: 1 }));
    }

    #[test]
    #[should_panic(expected = "byte by byte")]
    fn frames_that_follow_the_cuts_are_found_out() {
        every_split(|| Raw, b"ab");
    }

    #[test]
    #[should_panic(expected = "cut at 1 and 3")]
    fn frames_that_follow_one_pair_of_cuts_are_found_out() {
        let picky = || {
            let mut seen = 0;
            Of(move |input: &mut [u8]| {
                let before = std::mem::replace(&mut seen, input.len());
                match input.len() {
                    3 if before == 1 => Step::Malformed("two bytes came together"),
                    4 => Step::Frame { frame: 0..4, consumed: 4 },
                    _ => Step::NeedMore { at_least: 0 },
                }
            })
        };
        every_split(picky, b"abcd");
    }

    #[test]
    #[should_panic(expected = "consumed")]
    fn consuming_nothing_is_found_out() {
        arrivals(Of(|_: &mut [u8]| Step::Frame { frame: 0..0, consumed: 0 }), [&b"a"[..]]);
    }

    #[test]
    #[should_panic(expected = "changed behind the frame")]
    fn changing_bytes_of_the_next_frame_is_found_out() {
        let scribbler = Of(|input: &mut [u8]| {
            input[1] = b'?';
            Step::Frame { frame: 0..1, consumed: 1 }
        });
        arrivals(scribbler, [&b"ab"[..]]);
    }
}
