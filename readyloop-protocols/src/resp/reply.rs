//! Replies, in the version of the protocol that the client asked for.
//!
//! It exists so that a command is answered once, in words of RESP3, and a client of RESP2 gets the
//! nearest that it knows: a map as a flat array, a push as an array, a boolean as 0 or 1.
//!
//! Everything is appended to a vector of the caller's, so that a command's whole reply can leave as
//! one send. Lengths come first on the wire: whoever begins an array writes as many replies behind
//! it as he announced.

/// Which version of RESP a client speaks; 2 until it says otherwise with `HELLO 3`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Protocol {
    /// What every client speaks.
    #[default]
    Resp2,
    /// With maps, sets, doubles, booleans and pushes.
    Resp3,
}

/// Appends replies to a vector.
///
/// ```
/// use readyloop_protocols::resp::{Protocol, Reply};
///
/// let mut out = Vec::new();
/// let mut reply = Reply::new(&mut out, Protocol::Resp3);
/// reply.map(1);
/// reply.bulk(b"proto");
/// reply.integer(3);
/// assert_eq!(out, b"%1\r\n$5\r\nproto\r\n:3\r\n");
/// ```
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Reply<'a> {
    /// Replies in this version behind what is in `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Reply<'a> {
        Reply { out, protocol }
    }

    /// The same for a while, for who wants one of its own.
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply { out: self.out, protocol: self.protocol }
    }

    /// Which version it writes.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Replies in another version from here on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// How many bytes are written, for [`Reply::truncate`].
    pub fn written_bytes(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written behind the first `bytes`.
    pub fn truncate(&mut self, bytes: usize) {
        self.out.truncate(bytes);
    }

    /// A simple string: `+PONG`. It must not hold CR or LF.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// The simple string that says that all is well.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// An error: its code and words, as in `ERR syntax error`. A CR or LF becomes a space, so that
    /// an error may quote what the client sent.
    pub fn error(&mut self, text: &[u8]) {
        let begin = self.out.len() + 1;
        self.line(b'-', text);
        let end = self.out.len() - 2;
        for byte in &mut self.out[begin..end] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// A whole number.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        if let 0..=9 = value {
            return self.out.extend_from_slice(&[b':', b'0' + value as u8, b'\r', b'\n']);
        }
        self.line(b':', itoa::Buffer::new().format(value).as_bytes());
    }

    /// A string of any bytes.
    // Whoever answers a short one pays as much for the call as for the copy.
    #[inline(always)]
    pub fn bulk(&mut self, bytes: &[u8]) {
        // For all that follows, so that it is asked for once.
        self.out.reserve(bytes.len() + HEADER_BYTES_MAX + 2);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A whole number as a string of its digits.
    pub fn bulk_integer(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A string that says it is plain text; a bulk string in RESP2.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.header(b'=', text.len() + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Nothing, where a string might have been.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// A truth; 1 or 0 in RESP2.
    pub fn boolean(&mut self, value: bool) {
        match (self.protocol, value) {
            (Protocol::Resp2, value) => self.integer(value.into()),
            (Protocol::Resp3, true) => self.out.extend_from_slice(b"#t\r\n"),
            (Protocol::Resp3, false) => self.out.extend_from_slice(b"#f\r\n"),
        }
    }

    /// A number with a fraction, in the shortest spelling that is read back as the same; a bulk
    /// string in RESP2.
    pub fn double(&mut self, value: f64) {
        let text = match value {
            value if value.is_nan() => "nan".to_string(),
            f64::INFINITY => "inf".to_string(),
            f64::NEG_INFINITY => "-inf".to_string(),
            value => value.to_string(),
        };
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', text.as_bytes()),
        }
    }

    /// The beginning of an array of so many replies.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// The beginning of a map of so many pairs of replies; a flat array in RESP2.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', 2 * pairs),
            Protocol::Resp3 => self.header(b'%', pairs),
        }
    }

    /// The beginning of a set of so many replies; an array in RESP2.
    pub fn set(&mut self, len: usize) {
        self.header(self.either(b'*', b'~'), len);
    }

    /// The beginning of a message that answers no command, of so many replies; an array in RESP2.
    pub fn push(&mut self, len: usize) {
        self.header(self.either(b'*', b'>'), len);
    }

    fn either(&self, resp2: u8, resp3: u8) -> u8 {
        match self.protocol {
            Protocol::Resp2 => resp2,
            Protocol::Resp3 => resp3,
        }
    }

    /// A marker and a count. Nearly all are short, and a copy of known length is a store.
    #[inline(always)]
    fn header(&mut self, marker: u8, count: usize) {
        let digit = |value: usize| b'0' + value as u8;
        match count {
            0..=9 => self.out.extend_from_slice(&[marker, digit(count), b'\r', b'\n']),
            10..=99 => {
                let both = [marker, digit(count / 10), digit(count % 10), b'\r', b'\n'];
                self.out.extend_from_slice(&both);
            }
            _ => self.long_header(marker, count),
        }
    }

    #[inline(never)]
    fn long_header(&mut self, marker: u8, count: usize) {
        self.line(marker, itoa::Buffer::new().format(count).as_bytes());
    }

    #[inline]
    fn line(&mut self, marker: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(marker);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// A marker, 20 digits, CRLF.
const HEADER_BYTES_MAX: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Vec::new();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out).unwrap()
    }

    /// What is written, in either version.
    #[track_caller]
    fn is(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        assert_eq!(written(Protocol::Resp2, &write), resp2);
        assert_eq!(written(Protocol::Resp3, &write), resp3);
    }

    #[test]
    fn what_both_versions_know_is_written_the_same() {
        is(|reply| reply.ok(), "+OK\r\n", "+OK\r\n");
        is(|reply| reply.simple("PONG"), "+PONG\r\n", "+PONG\r\n");
        is(|reply| reply.integer(7), ":7\r\n", ":7\r\n");
        is(|reply| reply.integer(-1), ":-1\r\n", ":-1\r\n");
        let least = ":-9223372036854775808\r\n";
        is(|reply| reply.integer(i64::MIN), least, least);
        is(|reply| reply.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n");
        is(|reply| reply.bulk_integer(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n");
        is(|reply| reply.array(0), "*0\r\n", "*0\r\n");
    }

    #[test]
    fn every_length_is_spelled_in_decimal() {
        for len in [0, 1, 9, 10, 11, 99, 100, 101, 12_345] {
            let bytes = vec![b'x'; len];
            let text = format!("${len}\r\n{}\r\n", "x".repeat(len));
            is(|reply| reply.bulk(&bytes), &text, &text);
        }
    }

    #[test]
    fn what_resp2_does_not_know_is_the_nearest_that_it_does() {
        is(|reply| reply.null(), "$-1\r\n", "_\r\n");
        is(|reply| reply.map(2), "*4\r\n", "%2\r\n");
        is(|reply| reply.set(2), "*2\r\n", "~2\r\n");
        is(|reply| reply.push(3), "*3\r\n", ">3\r\n");
        is(|reply| reply.boolean(true), ":1\r\n", "#t\r\n");
        is(|reply| reply.boolean(false), ":0\r\n", "#f\r\n");
        is(|reply| reply.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
        is(|reply| reply.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        is(|reply| reply.double(f64::NAN), "$3\r\nnan\r\n", ",nan\r\n");
        is(|reply| reply.verbatim(b"ab"), "$2\r\nab\r\n", "=6\r\ntxt:ab\r\n");
    }

    #[test]
    fn an_error_that_quotes_line_ends_stays_one_line() {
        is(|reply| reply.error(b"ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n");
    }

    #[test]
    fn what_was_written_can_be_taken_back() {
        let text = written(Protocol::Resp2, |reply| {
            reply.integer(1);
            let before = reply.written_bytes();
            reply.array(5);
            reply.truncate(before);
            reply.null();
        });
        assert_eq!(text, ":1\r\n$-1\r\n");
    }
}
