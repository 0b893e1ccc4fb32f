//! Framers: where does the next frame end? Pure: bytes in, a [`Step`] out; no session logic.

mod length;
mod lines;
mod raw;
pub mod walk;

use std::ops::Range;

pub use length::{
    Be16, Be32, Fixed, Le16, Le32, LengthPrefixed, Order, Prefix, PrefixBytes, Spell, Spelling,
};
pub use lines::Lines;
pub use raw::Raw;

/// Finds the end of the next frame in a session's bytes. One per session.
pub trait Framer {
    /// Looks at all bytes that were received and not yet consumed, from the first one on; `input`
    /// is never empty.
    ///
    /// After [`Step::NeedMore`] the next call sees the same bytes with more behind them, so a
    /// framer may remember how far it has looked; after [`Step::Frame`] the next call begins behind
    /// `consumed`. The bytes are mutable so that a framer may decode a frame in place; what it
    /// changes must lie in the frame that it returns in that same call.
    ///
    /// How the stream is cut into calls must never change the frames.
    fn next(&mut self, input: &mut [u8]) -> Step;
}

/// A framer's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// The frame is not whole. The framer is asked again when `input` holds at least `at_least`
    /// bytes; less than or equal to what it holds now means: one more byte.
    NeedMore {
        /// Length in bytes, from the start of `input`.
        at_least: usize,
    },
    /// One whole frame.
    Frame {
        /// Where the frame lies in `input`; it may be empty.
        frame: Range<usize>,
        /// How many bytes of `input` are done with: at least 1, and not less than `frame.end`.
        consumed: usize,
    },
    /// The bytes can never become a frame; the session is closed with `CloseReason::Malformed`.
    Malformed(&'static str),
    /// The frame is, or would be, longer than allowed; closed with `CloseReason::FrameTooLong`.
    TooLong,
}
