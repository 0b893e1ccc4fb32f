//! The arguments of one command, read where they lie.
//!
//! It exists so that a command costs no allocation: the framer has checked every length, and here
//! each one is read once more, on the way to its argument. It is not a second check: bytes that no
//! framer has passed make it end early, and never panic.
//!
//! Invariant: `rest` begins at the header of the next argument, or is empty.

use super::number::short_header;

/// An iterator over the arguments of a command that is an array, its name first. Cloning it is
/// cheap, so a command may walk its arguments twice.
///
/// ```
/// use readyloop_protocols::resp::Arguments;
///
/// let arguments = Arguments::of_array(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
/// assert_eq!(arguments.collect::<Vec<_>>(), [&b"GET"[..], b"k"]);
/// ```
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    rest: &'a [u8],
    left: usize,
}

impl<'a> Arguments<'a> {
    /// Reads a frame of [`Commands`](super::Commands) that is not inline. An array of no arguments,
    /// or of fewer than none, has none.
    #[inline]
    pub fn of_array(frame: &'a [u8]) -> Arguments<'a> {
        let header = short_header(frame, b'*').or_else(|| long_header(frame));
        let behind = |(left, bytes)| Some(Arguments { rest: frame.get(bytes..)?, left });
        header.and_then(behind).unwrap_or(Arguments { rest: &[], left: 0 })
    }

    /// How many arguments are left.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an iterator that is empty says None")]
    pub fn len(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left == 0 {
            return None;
        }
        let (argument, rest) = match short_header(self.rest, b'$') {
            Some((bytes, header)) => split(self.rest, header, bytes)?,
            None => split_long(self.rest)?,
        };
        self.rest = rest;
        self.left -= 1;
        Some(argument)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

/// The argument of so many bytes behind its header, and what is behind it.
#[inline(always)]
fn split(bytes: &[u8], header: usize, argument: usize) -> Option<(&[u8], &[u8])> {
    let end = header.checked_add(argument)?;
    let rest = bytes.get(end.checked_add(2)?..)?;
    Some((&bytes[header..end], rest))
}

/// The same behind any header.
#[cold]
fn split_long(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (argument, header) = long_header(bytes)?;
    split(bytes, header, argument)
}

/// Reads any `$123\r\n` or `*123\r\n`: the number, and how long the header is. `None` for what is no
/// count, so also for a negative one.
#[cold]
fn long_header(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    let mut at = 1;
    loop {
        let digit = bytes.get(at)?.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(digit.into());
        at += 1;
    }
    (bytes[at] == b'\r').then_some((value, at + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(frame: &[u8]) -> Vec<&[u8]> {
        Arguments::of_array(frame).collect()
    }

    #[test]
    fn arguments_may_hold_any_bytes_and_none() {
        let frame = b"*3\r\n$4\r\n\r\n$1\r\n$0\r\n\r\n$10\r\n0123456789\r\n";
        assert_eq!(read(frame), [&b"\r\n$1"[..], b"", b"0123456789"]);
    }

    #[test]
    fn an_array_of_nothing_or_less_has_no_arguments() {
        assert!(read(b"*0\r\n").is_empty() && read(b"*-1\r\n").is_empty());
        assert_eq!(Arguments::of_array(b"*-5\r\n").len(), 0);
    }

    #[test]
    fn bytes_that_no_framer_has_passed_end_early() {
        let frame = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";
        for end in 0..frame.len() {
            assert!(read(&frame[..end]).len() < 2, "{end}");
        }
        assert!(read(b"*1\r\n$99999999999999999999999\r\nx\r\n").is_empty());
        assert!(read(b"").is_empty() && read(b"*1\r\n$x\r\n").is_empty());
    }
}
