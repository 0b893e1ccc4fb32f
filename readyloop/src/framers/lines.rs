//! Lines of text: a frame ends at LF or CRLF, and the frame holds neither.
//!
//! It exists for line protocols and for people with a terminal. It knows nothing of encodings: NUL,
//! bytes that are not UTF-8, and a CR that is not right before an LF are data like any other.
//!
//! Invariants: `searched <= bytes_max + 1`; the first `searched` bytes of the next input hold no
//! LF.

use memchr::memchr;

use super::{Framer, Step};

/// Cuts the stream into lines that end with LF or CRLF.
///
/// Exactly one CR before the LF belongs to the ending, so `a\r\r\n` is the line `a\r`. A line is
/// refused as soon as no ending could make it short enough, whole or not. A last line without an
/// ending is not a frame.
///
/// ```
/// use readyloop::framers::{Framer, Lines, Step};
///
/// let mut lines = Lines::new(80);
/// let mut input = *b"HELLO\r\nWOR";
/// assert_eq!(lines.next(&mut input), Step::Frame { frame: 0..5, consumed: 7 });
/// assert_eq!(lines.next(&mut input[7..]), Step::NeedMore { at_least: 4 });
///
/// let mut endless = [b'x'; 100];
/// assert_eq!(Lines::new(80).next(&mut endless), Step::TooLong);
/// ```
#[derive(Clone, Debug)]
pub struct Lines {
    /// The longest line that is allowed, without its ending.
    bytes_max: usize,
    /// How many bytes from the start of the input are known to hold no LF.
    searched: usize,
}

impl Lines {
    /// Lines of at most `bytes_max` bytes, the ending not counted; 0 allows empty lines only.
    pub const fn new(bytes_max: usize) -> Lines {
        Lines { bytes_max, searched: 0 }
    }

    /// No LF is in sight. The best that can still come is one right behind what is there, whose
    /// last byte may be the CR of a line of the largest length; then it does not count.
    #[cold]
    fn wait(&mut self, window: &[u8]) -> Step {
        if without_cr(window) > self.bytes_max {
            return Step::TooLong;
        }
        self.searched = window.len();
        Step::NeedMore { at_least: window.len() + 1 }
    }
}

impl Framer for Lines {
    #[inline]
    fn next(&mut self, input: &mut [u8]) -> Step {
        debug_assert!(self.searched <= input.len(), "bytes that were seen are gone");
        // Behind a line of the largest length and a CRLF, no LF can help any more.
        let window = input.len().min(self.bytes_max.saturating_add(2));
        // For a caller that shrinks the input, against the contract: a wrong answer, but no panic.
        let searched = self.searched.min(window);
        let Some(at) = memchr(b'\n', &input[searched..window]) else {
            return self.wait(&input[..window]);
        };
        let end = searched + at;
        let line = without_cr(&input[..end]);
        if line > self.bytes_max {
            return Step::TooLong;
        }
        self.searched = 0;
        Step::Frame { frame: 0..line, consumed: end + 1 }
    }
}

/// The length of a line without the CR of its ending.
#[inline]
fn without_cr(line: &[u8]) -> usize {
    line.len() - usize::from(line.last() == Some(&b'\r'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::framers::walk::{self, End, Walked};

    /// What a stream must become, told as slowly and as plainly as possible.
    fn plainly(bytes_max: usize, mut stream: &[u8]) -> Walked {
        let mut frames = Vec::new();
        loop {
            let end = stream.iter().position(|&byte| byte == b'\n');
            let line = &stream[..end.unwrap_or(stream.len())];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.len() > bytes_max {
                return Walked { frames, end: End::TooLong };
            }
            let Some(end) = end else {
                return Walked { frames, end: End::Waiting { left: stream.len() } };
            };
            frames.push(line.to_vec());
            stream = &stream[end + 1..];
        }
    }

    #[track_caller]
    fn becomes(bytes_max: usize, stream: &[u8], frames: &[&str], end: End) {
        let walked = walk::every_split(|| Lines::new(bytes_max), stream);
        assert_eq!(walked, Walked::new(frames, end));
    }

    const WHOLE: End = End::Waiting { left: 0 };

    #[test]
    fn a_line_ends_at_lf_or_crlf_and_holds_neither() {
        becomes(9, b"one\ntwo\r\n\n\r\nthree\n", &["one", "two", "", "", "three"], WHOLE);
    }

    #[test]
    fn a_cr_without_lf_is_data() {
        becomes(9, b"a\rb\n\rc\r\n\r\r\n", &["a\rb", "\rc", "\r"], WHOLE);
        becomes(9, b"a\r", &[], End::Waiting { left: 2 });
    }

    #[test]
    fn nul_and_bytes_that_are_no_text_are_data() {
        becomes(9, b"\0a\0\n\0\r\n", &["\0a\0", "\0"], WHOLE);
        let walked = walk::every_split(|| Lines::new(9), b"\xff\xfe\n");
        assert_eq!(walked.frames, [b"\xff\xfe"]);
    }

    #[test]
    fn an_lf_behind_a_crlf_is_an_empty_line() {
        becomes(9, b"a\r\n\nb\n\r\n", &["a", "", "b", ""], WHOLE);
    }

    #[test]
    fn the_largest_line_passes_with_either_ending() {
        becomes(4, b"abcd\nabcd\r\n", &["abcd", "abcd"], WHOLE);
        becomes(4, b"abc\r\r\n", &["abc\r"], WHOLE);
    }

    #[test]
    fn one_byte_over_the_maximum_is_too_long_with_either_ending() {
        becomes(4, b"ok\nabcde\n", &["ok"], End::TooLong);
        becomes(4, b"ok\nabcde\r\n", &["ok"], End::TooLong);
        becomes(4, b"abcd\r\r\n", &[], End::TooLong);
    }

    #[test]
    fn the_largest_line_may_still_wait_for_the_lf_of_its_crlf() {
        becomes(4, b"abcd\r", &[], End::Waiting { left: 5 });
        becomes(4, b"abcd\rx", &[], End::TooLong);
    }

    #[test]
    fn an_endless_line_is_refused_one_byte_after_the_maximum() {
        becomes(4, b"abcd", &[], End::Waiting { left: 4 });
        becomes(4, b"abcde", &[], End::TooLong);
        assert_eq!(Lines::new(4).next(&mut [b'x'; 4096]), Step::TooLong);
    }

    #[test]
    fn a_maximum_of_zero_allows_empty_lines_only() {
        becomes(0, b"\n\r\n\n", &["", "", ""], WHOLE);
        becomes(0, b"\r\r\n", &[], End::TooLong);
        becomes(0, b"\na\n", &[""], End::TooLong);
    }

    #[test]
    fn a_maximum_of_everything_does_not_overflow() {
        becomes(usize::MAX, b"abc\r\nd", &["abc"], End::Waiting { left: 1 });
    }

    #[test]
    fn bytes_that_were_searched_are_not_searched_again() {
        let mut lines = Lines::new(9);
        assert_eq!(lines.next(&mut b"abc".to_vec()), Step::NeedMore { at_least: 4 });
        // No stream changes what it has sent; the LF at 1 only shows where the search began.
        let step = lines.next(&mut b"a\ncd\n".to_vec());
        assert_eq!(step, Step::Frame { frame: 0..4, consumed: 5 });
        let step = lines.next(&mut b"\n".to_vec());
        assert_eq!(step, Step::Frame { frame: 0..0, consumed: 1 });
    }

    proptest! {
        #![proptest_config(walk::config())]

        #[test]
        fn any_stream_in_any_pieces_becomes_the_lines_that_it_holds(
            stream in prop::collection::vec(prop::sample::select(b"\r\r\n\n\0xyz".to_vec()), 0..64),
            cuts in prop::collection::vec(0..64usize, 0..8),
            bytes_max in 0..9usize,
        ) {
            let walked = walk::arrivals(Lines::new(bytes_max), walk::pieces(&stream, &cuts));
            prop_assert_eq!(walked, plainly(bytes_max, &stream));
        }
    }
}
