//! The framer that cuts nothing: whatever came in one go is a frame.
//!
//! It exists for byte pipes (echo, proxies) and for measuring a server without framing. It is the
//! one framer whose frames follow the cuts of the stream; only their concatenation is promised.
//!
//! Invariant: it never waits and never refuses, so no session with it keeps a remainder.

use super::{Framer, Step};

/// Takes the bytes as they come: each frame is all that was received and not yet handled.
///
/// TCP does not preserve record boundaries (tcp(7)), so one frame may hold half of what the peer
/// sent at once, or several of its messages.
///
/// ```
/// use readyloop::framers::{Framer, Raw, Step};
///
/// let mut input = *b"any bytes";
/// assert_eq!(Raw.next(&mut input), Step::Frame { frame: 0..9, consumed: 9 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Raw;

impl Framer for Raw {
    #[inline(always)]
    fn next(&mut self, input: &mut [u8]) -> Step {
        Step::Frame { frame: 0..input.len(), consumed: input.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framers::walk::{self, End};

    #[test]
    fn each_arrival_is_one_frame_with_nothing_held_back() {
        let arrivals: [&[u8]; 4] = [b"a", b"\0\r\n", b"", b"bc"];
        let walked = walk::arrivals(Raw, arrivals);
        assert_eq!(walked.frames, [b"a".to_vec(), b"\0\r\n".to_vec(), b"bc".to_vec()]);
        assert_eq!(walked.end, End::Waiting { left: 0 });
    }

    #[test]
    fn a_raw_framer_takes_no_memory() {
        assert_eq!(size_of::<Raw>(), 0);
    }
}
