//! The framer of RESP: a frame is one whole command.
//!
//! It exists so that a command is looked at once, however its bytes arrive: it remembers how many
//! arguments it has passed, and knows the end of the one that it waits for, so a long value is read
//! straight into its own buffer. It splits no words and knows no quotes: that is for the reader of
//! an inline command (`write_as_array`).
//!
//! Refusals are spelled as Redis spells them behind `-ERR Protocol error: `. Like Redis, it does not
//! look at what stands where CRLF ends an argument.
//!
//! Invariants: `at` and `searched` lie within the bytes that were seen, `at <= searched` while a
//! header is searched for its end; `left > 0` exactly while the array's header was read and its last
//! argument is not whole.

use memchr::memchr;
use readyloop::{Framer, Step};

use super::number::{integer, short_header};

/// The longest inline command, and the longest header, in bytes (Redis' `PROTO_INLINE_MAX_SIZE`).
const LINE_BYTES_MAX: usize = 64 << 10;

/// The most arguments of one command (Redis before 7.0; later ones leave it to their memory).
const ARGUMENTS_MAX: i64 = 1 << 20;

/// Digits that are read without a thought of overflow; whatever is longer is looked at closely.
const DIGITS_MAX: usize = 18;

/// Cuts the stream into commands: arrays of bulk strings, or lines.
///
/// The frame of an array is all of it, from its `*` on; of an inline command, the line without its
/// ending, so that its first byte is never `*`. Arrays of no arguments and empty lines are frames
/// too: a server does not answer them.
///
/// A command of more than `bytes_max` bytes, with all that belongs to it, is [`Step::TooLong`] as
/// soon as that is known.
///
/// ```
/// use readyloop::{Framer, Step};
/// use readyloop_protocols::resp::Commands;
///
/// let mut commands = Commands::new(1024);
/// let mut input = *b"PING\r\n*1\r\n$4\r\nPI";
/// assert_eq!(commands.next(&mut input), Step::Frame { frame: 0..4, consumed: 6 });
/// assert_eq!(commands.next(&mut input[6..]), Step::NeedMore { at_least: 14 });
/// assert_eq!(commands.next(&mut b"*1\r\n$4\r\nPING\r\n".to_vec()), Step::Frame { frame: 0..14, consumed: 14 });
/// assert_eq!(commands.next(&mut b"*x\r\n".to_vec()), Step::Malformed("invalid multibulk length"));
/// ```
#[derive(Clone, Debug)]
pub struct Commands {
    /// The longest command that is taken.
    bytes_max: usize,
    /// Where the next header begins.
    at: usize,
    /// How far the input holds no end of the header, or line, that begins at `at`.
    searched: usize,
    /// Arguments that are not whole.
    left: u32,
}

/// What a header says.
enum Header {
    /// This count, and where the header ends.
    Count(i64, usize),
    /// It is not whole.
    NeedMore,
    /// It has no end within reason.
    TooBig,
    /// It is whole, and no number.
    Invalid,
    /// It begins with another byte.
    Unexpected(u8),
}

impl Commands {
    /// Commands of at most `bytes_max` bytes, with all that belongs to them.
    pub const fn new(bytes_max: usize) -> Commands {
        Commands { bytes_max, at: 0, searched: 0, left: 0 }
    }

    /// A command ends here; the next one begins anew.
    #[inline]
    fn end(&mut self, frame: usize, consumed: usize) -> Step {
        *self = Commands::new(self.bytes_max);
        Step::Frame { frame: 0..frame, consumed }
    }

    /// All that is there of this command is known, and it is not whole.
    #[cold]
    fn wait(&self, window: &[u8]) -> Step {
        if window.len() == self.bytes_max {
            return Step::TooLong;
        }
        Step::NeedMore { at_least: window.len() + 1 }
    }

    /// A line: up to LF or CRLF.
    #[cold]
    fn line(&mut self, input: &[u8]) -> Step {
        let window = input.len().min(LINE_BYTES_MAX + 1);
        let searched = self.searched.min(window);
        let Some(at) = memchr(b'\n', &input[searched..window]) else {
            if window > LINE_BYTES_MAX {
                return Step::Malformed("too big inline request");
            }
            self.searched = window;
            return self.wait(input);
        };
        let end = searched + at;
        let line = end - usize::from(input[..end].last() == Some(&b'\r'));
        self.end(line, end + 1)
    }

    /// The header at `at`: the common case, digits that are all there.
    fn header(&mut self, input: &[u8], marker: u8) -> Header {
        let header = &input[self.at..];
        if let [first, second, ..] = header
            && *first == marker
            && (b'1'..=b'9').contains(second)
        {
            let mut value = i64::from(second - b'0');
            for (index, byte) in header.iter().enumerate().take(DIGITS_MAX).skip(2) {
                let digit = byte.wrapping_sub(b'0');
                if digit > 9 {
                    if *byte == b'\r' && index + 2 <= header.len() {
                        return Header::Count(value, self.at + index + 2);
                    }
                    break;
                }
                value = value * 10 + i64::from(digit);
            }
        }
        self.unusual_header(input, marker)
    }

    /// The same, for whatever may stand there, in the order in which Redis looks.
    #[cold]
    fn unusual_header(&mut self, input: &[u8], marker: u8) -> Header {
        let window = input.len().min(self.at + LINE_BYTES_MAX + 1);
        let searched = self.searched.clamp(self.at, window);
        let Some(found) = memchr(b'\r', &input[searched..window]) else {
            self.searched = window;
            let too_big = window > self.at + LINE_BYTES_MAX;
            return if too_big { Header::TooBig } else { Header::NeedMore };
        };
        let end = searched + found;
        // An LF belongs to it, and is waited for, but nobody looks whether it is one.
        if end + 2 > input.len() {
            self.searched = end;
            return Header::NeedMore;
        }
        if input[self.at] != marker {
            return Header::Unexpected(input[self.at]);
        }
        let text = input.get(self.at + 1..end).unwrap_or_default();
        integer(text).map_or(Header::Invalid, |count| Header::Count(count, end + 2))
    }

    /// The array's own header. `None`: its arguments follow.
    #[inline]
    fn begin(&mut self, input: &[u8]) -> Option<Step> {
        match self.header(input, b'*') {
            Header::Count(count @ 1..=ARGUMENTS_MAX, end) => {
                self.at = end;
                self.left = count as u32;
                None
            }
            Header::Count(..=0, end) => Some(self.end(end, end)),
            Header::NeedMore => Some(self.wait(input)),
            Header::TooBig => Some(Step::Malformed("too big mbulk count string")),
            _ => Some(Step::Malformed("invalid multibulk length")),
        }
    }

    /// What the header of an argument says, if it is not a length that may be.
    #[cold]
    fn refuse(&self, header: Header, input: &[u8]) -> Step {
        match header {
            Header::NeedMore => self.wait(input),
            Header::TooBig => Step::Malformed("too big bulk count string"),
            Header::Unexpected(byte) => Step::Malformed(expected_dollar(byte)),
            Header::Count(0.., _) => Step::TooLong,
            _ => Step::Malformed("invalid bulk length"),
        }
    }

    /// Goes on behind what is remembered, with commands of any kind.
    #[inline(never)]
    fn go_on(&mut self, input: &[u8]) -> Step {
        if self.left == 0 {
            match input.first() {
                Some(b'*') => {}
                Some(_) => return self.line(input),
                None => return Step::TooLong,
            }
            if let Some(step) = self.begin(input) {
                return step;
            }
        }
        loop {
            if self.at >= input.len() {
                return self.wait(input);
            }
            let end = match self.header(input, b'$') {
                Header::Count(bytes @ 0.., body) if bytes <= self.bytes_max as i64 => {
                    body + bytes as usize + 2
                }
                other => return self.refuse(other, input),
            };
            if end > self.bytes_max {
                return Step::TooLong;
            }
            if end > input.len() {
                return Step::NeedMore { at_least: end };
            }
            self.at = end;
            self.left -= 1;
            if self.left == 0 {
                return self.end(end, end);
            }
        }
    }
}

impl Framer for Commands {
    // A call of its own would cost as much as the look at a short command.
    #[inline(always)]
    fn next(&mut self, input: &mut [u8]) -> Step {
        // What lies behind the longest command is not looked at, wherever the stream is cut.
        let input = &input[..input.len().min(self.bytes_max)];
        // Only while nothing is remembered, so what comes in pieces is not read again and again.
        if self.left == 0
            && self.searched == 0
            && let Some(end) = whole_array(input)
        {
            return Step::Frame { frame: 0..end, consumed: end };
        }
        self.go_on(input)
    }
}

/// The end of the array at the beginning, if it is all there and all its counts are short: what
/// nearly every command is. `None` says nothing about it.
#[inline(always)]
fn whole_array(input: &[u8]) -> Option<usize> {
    let (arguments, header) = short_header(input, b'*')?;
    let mut rest = input.get(header..)?;
    for _ in 0..arguments {
        let (bytes, header) = short_header(rest, b'$')?;
        rest = rest.get(header + bytes + 2..)?;
    }
    Some(input.len() - rest.len())
}

const EXPECTED: &[u8; 21] = b"expected '$', got '?'";

/// The refusal for each byte of ASCII: words that live as long as the program, as a reason must.
static EXPECTED_DOLLAR: [[u8; EXPECTED.len()]; 128] = {
    let mut texts = [*EXPECTED; 128];
    let mut byte = 0;
    while byte < texts.len() {
        // An error is one line.
        let shown =
            if byte == b'\r' as usize || byte == b'\n' as usize { b' ' } else { byte as u8 };
        texts[byte][EXPECTED.len() - 2] = shown;
        byte += 1;
    }
    texts
};

#[cold]
fn expected_dollar(byte: u8) -> &'static str {
    let text = EXPECTED_DOLLAR.get(usize::from(byte));
    text.and_then(|text| str::from_utf8(text).ok()).unwrap_or("expected '$'")
}

#[cfg(test)]
mod tests;
