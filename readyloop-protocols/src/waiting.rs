//! Frames that must wait until there is room for their answers.
//!
//! For a handler that must keep frames of its own accord: those of a transaction until it is
//! executed, or those whose answers must not pass a bound of its own below the queue's.

/// Frames in their order.
///
/// ```
/// let mut waiting = readyloop_protocols::Waiting::default();
/// waiting.push(b"one");
/// waiting.push(b"two");
/// assert_eq!(waiting.next(), Some(&b"one"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Waiting {
    bytes: Vec<u8>,
    /// Where each frame ends; it begins where the one before ends.
    ends: Vec<usize>,
    /// How many of them are done.
    done: usize,
}

impl Waiting {
    /// Copies a frame behind all others.
    pub fn push(&mut self, frame: &[u8]) {
        self.bytes.extend_from_slice(frame);
        self.ends.push(self.bytes.len());
    }

    /// The next frame; it counts as done.
    #[expect(clippy::should_implement_trait, reason = "it lends its frames, an iterator does not")]
    pub fn next(&mut self) -> Option<&[u8]> {
        let end = *self.ends.get(self.done)?;
        let begin = self.done.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.done += 1;
        Some(&self.bytes[begin..end])
    }

    /// How many frames are left.
    pub fn len(&self) -> usize {
        self.ends.len() - self.done
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes are kept, those of frames that are done too.
    pub fn kept_bytes(&self) -> usize {
        self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_wait_come_back_in_their_order() {
        let mut waiting = Waiting::default();
        for frame in [&b"one"[..], b"", b"two"] {
            waiting.push(frame);
        }
        assert_eq!((waiting.len(), waiting.kept_bytes()), (3, 6));
        assert_eq!(waiting.next(), Some(&b"one"[..]));
        assert_eq!(waiting.next(), Some(&b""[..]));
        waiting.push(b"three");
        assert_eq!(waiting.next(), Some(&b"two"[..]));
        assert_eq!(waiting.next(), Some(&b"three"[..]));
        assert_eq!(waiting.next(), None);
        assert!(waiting.is_empty());
    }
}
