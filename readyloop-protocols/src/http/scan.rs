//! Where the head of a request ends: at its first empty line.
//!
//! It looks at each byte once, however they come, and refuses in the order of the stream, so that
//! no cut of the stream changes what is said about it.
//!
//! Invariants: `line <= looked`; a line begins at `line`; there is no LF from there to `looked`.

use super::Refusal;

/// How far a head was searched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    line: usize,
    looked: usize,
}

impl Scan {
    /// Looks for the end of a head whose first line begins at `begin`: how many bytes there are
    /// with it, if it is there. The first line may have `line_bytes_max` bytes, all of them
    /// `head_bytes_max`.
    pub fn end(
        &mut self,
        input: &[u8],
        begin: usize,
        line_bytes_max: usize,
        head_bytes_max: usize,
    ) -> Result<Option<usize>, Refusal> {
        self.line = self.line.max(begin);
        self.looked = self.looked.max(begin);
        loop {
            let is_first = self.line == begin;
            let bytes_max = if is_first { line_bytes_max } else { head_bytes_max };
            let window = input.len().min(begin.saturating_add(bytes_max));
            let unseen = input.get(self.looked..window).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', unseen) else {
                self.looked = window.max(self.looked);
                return match window - begin < bytes_max {
                    true => Ok(None),
                    false if is_first => Err(Refusal::TargetTooLong),
                    false => Err(Refusal::HeadTooLong),
                };
            };
            let end = self.looked + at;
            if end == self.line || input[end - 1] != b'\r' {
                return Err(Refusal::LineEnd);
            }
            if end == self.line + 1 {
                return Ok(Some(end + 1));
            }
            self.line = end + 1;
            self.looked = end + 1;
        }
    }
}
