//! What every target asserts: how a stream is cut never changes what a framer makes of it.
//!
//! The fuzzer's bytes say where to cut, how the framer is made, and then what the stream is.
#![forbid(unsafe_code)]

use readyloop::Framer;
use readyloop::framers::walk::{self, Walked};

/// Cuts in the stream, each one byte of the input: how far it is from the cut before.
const CUTS: usize = 6;

/// The input of one run.
pub struct Input<'a> {
    /// One number to make a framer of.
    pub choice: u8,
    cuts: &'a [u8],
    stream: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads an input; `None` for one that is too short to be any.
    pub fn of(bytes: &'a [u8]) -> Option<Input<'a>> {
        let (choice, rest) = bytes.split_first()?;
        let (cuts, stream) = rest.split_at_checked(CUTS)?;
        Some(Input { choice: *choice, cuts, stream })
    }

    /// Walks the stream whole, cut as the input says, and byte by byte; returns what it became.
    ///
    /// # Panics
    /// When they differ, or when the framer breaks its contract.
    pub fn check<F: Framer>(&self, fresh: impl Fn() -> F) -> Walked {
        let whole = walk::arrivals(fresh(), [self.stream]);
        let places: Vec<usize> = self
            .cuts
            .iter()
            .scan(0, |place, step| {
                *place += usize::from(*step);
                Some(*place)
            })
            .collect();
        let cut = walk::arrivals(fresh(), walk::pieces(self.stream, &places));
        assert_eq!(cut, whole, "cut at {places:?}");
        assert_eq!(walk::arrivals(fresh(), self.stream.chunks(1)), whole, "byte by byte");
        whole
    }
}
