//! What is asked of each kind of server, and how its answers are counted.

use std::fmt::Write as _;

use readyloop::framers::LengthPrefixed;
use readyloop::{Framer, Lines, Raw, Step};

/// A protocol, from the side of who asks.
pub trait Wire: Clone + Send + Sync + 'static {
    /// Cuts answers.
    type Framer: Framer + Send;

    /// For one session.
    fn framer(&self) -> Self::Framer;

    /// Appends the request of this number.
    fn ask(&self, number: u64, out: &mut Vec<u8>);

    /// Appends whole requests, [`POURED_BYTES`] and not much more: what a firehose repeats.
    fn pour(&self, out: &mut Vec<u8>) {
        let mut number = 0;
        while out.len() < POURED_BYTES {
            self.ask(number, out);
            number += 1;
        }
    }

    /// Counts what a frame brings; `partial` is the session's own memory.
    fn read(&self, partial: &mut usize, frame: &[u8]) -> Answers;
}

/// A quarter of what a session may read in a turn: long enough that a frame is mostly its bytes, and
/// short enough that the server's limit is never met.
const POURED_BYTES: usize = 16 << 10;

/// What a frame brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answers {
    /// Whole answers.
    pub whole: usize,
    /// Whether they are what they should be.
    pub right: bool,
}

impl Answers {
    const fn one(right: bool) -> Answers {
        Answers { whole: 1, right }
    }
}

/// Frames that come back as they were sent.
#[derive(Clone)]
pub struct Echo<F> {
    framer: F,
    payload: Vec<u8>,
    request: Vec<u8>,
}

/// What a payload is made of: no line end, and no byte that another framing would take for one.
fn payload(bytes: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(bytes).collect()
}

impl<F: Count> Echo<F> {
    /// `None` if the framing cannot spell so much.
    pub fn new(framer: F, bytes: usize) -> Option<Echo<F>> {
        let request = framer.request(bytes)?;
        Some(Echo { framer, payload: payload(bytes), request })
    }
}

/// How an echo's requests are framed, and its answers counted.
pub trait Count: Framer + Clone + Send + Sync + 'static {
    /// A payload of so many bytes, framed; `None` if that cannot be spelled.
    fn request(&self, bytes: usize) -> Option<Vec<u8>>;

    fn count(payload: &[u8], partial: &mut usize, frame: &[u8]) -> Answers;
}

impl Count for Raw {
    fn request(&self, bytes: usize) -> Option<Vec<u8>> {
        Some(payload(bytes))
    }

    /// Bytes as they come: an answer is over when as many have come as were sent.
    fn count(payload: &[u8], partial: &mut usize, frame: &[u8]) -> Answers {
        let expected = payload.iter().cycle().skip(*partial);
        let right = frame.iter().zip(expected).all(|(came, sent)| came == sent);
        let came = *partial + frame.len();
        *partial = came % payload.len();
        Answers { whole: came / payload.len(), right }
    }
}

impl Count for Lines {
    fn request(&self, bytes: usize) -> Option<Vec<u8>> {
        Some([payload(bytes), b"\n".to_vec()].concat())
    }

    fn count(payload: &[u8], _: &mut usize, frame: &[u8]) -> Answers {
        Answers::one(frame == payload)
    }
}

impl Count for LengthPrefixed {
    fn request(&self, bytes: usize) -> Option<Vec<u8>> {
        Some([self.encode(bytes)?.as_slice(), &payload(bytes)].concat())
    }

    fn count(payload: &[u8], _: &mut usize, frame: &[u8]) -> Answers {
        Answers::one(frame == payload)
    }
}

impl<F: Count> Wire for Echo<F> {
    type Framer = F;

    fn framer(&self) -> F {
        self.framer.clone()
    }

    fn ask(&self, _: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    /// Frames as long as the framing can spell, whatever the others ask for: many short ones would
    /// show how fast frames are handled, and not how the bytes of one session weigh on the others.
    fn pour(&self, out: &mut Vec<u8>) {
        const SPELLED_BY_ONE_BYTE: usize = 255;
        let lengths = [POURED_BYTES, SPELLED_BY_ONE_BYTE];
        let long = lengths.into_iter().find_map(|bytes| self.framer.request(bytes));
        let long = long.expect("every framing spells as much as one byte does");
        while out.len() < POURED_BYTES {
            out.extend_from_slice(&long);
        }
    }

    fn read(&self, partial: &mut usize, frame: &[u8]) -> Answers {
        F::count(&self.payload, partial, frame)
    }
}

/// One SET for nine GETs, on 10,000 keys.
#[derive(Clone)]
pub struct Kv {
    value: Vec<u8>,
}

const KEYS: u64 = 10_000;
const WRITES: u64 = 10;

impl Kv {
    pub fn new(bytes: usize) -> Kv {
        Kv { value: payload(bytes) }
    }
}

impl Wire for Kv {
    type Framer = Replies;

    fn framer(&self) -> Replies {
        Replies
    }

    fn ask(&self, number: u64, out: &mut Vec<u8>) {
        // Spread as by a die, and the same in every run.
        let key = (number / WRITES).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) % KEYS;
        let key = format!("key:{key:06}");
        let command =
            if number.is_multiple_of(WRITES) { "*3\r\n$3\r\nSET" } else { "*2\r\n$3\r\nGET" };
        out.extend_from_slice(format!("{command}\r\n${}\r\n{key}\r\n", key.len()).as_bytes());
        if number.is_multiple_of(WRITES) {
            out.extend_from_slice(format!("${}\r\n", self.value.len()).as_bytes());
            out.extend_from_slice(&self.value);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// What it remembers is how many were answered.
    fn read(&self, answered: &mut usize, frame: &[u8]) -> Answers {
        let is_write = (*answered as u64).is_multiple_of(WRITES);
        *answered += 1;
        Answers::one(match is_write {
            true => frame.starts_with(b"+OK"),
            false => matches!(frame.first(), Some(b'$' | b'_')),
        })
    }
}

/// How many bytes follow, in digits and nothing else. What is added to it must not wrap around: a
/// server says what it likes.
fn length(text: &[u8]) -> Option<usize> {
    let digits = text.trim_ascii();
    let plain = digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// Cuts the replies of RESP that GET and SET have: lines, and strings of any bytes.
pub struct Replies;

impl Framer for Replies {
    fn next(&mut self, input: &mut [u8]) -> Step {
        let Some(line) = input.iter().position(|byte| *byte == b'\n') else {
            return Step::NeedMore { at_least: input.len() + 1 };
        };
        let end = match input[0] {
            b'+' | b'-' | b':' | b'_' => line + 1,
            b'$' => match (input[1..line].trim_ascii_end(), length(&input[1..line])) {
                (b"-1", _) => line + 1,
                (_, Some(bytes)) => bytes.saturating_add(line + 1 + 2),
                _ => return Step::Malformed("a bulk string without a length"),
            },
            _ => return Step::Malformed("not a reply of GET or SET"),
        };
        if end > input.len() {
            return Step::NeedMore { at_least: end };
        }
        Step::Frame { frame: 0..end, consumed: end }
    }
}

/// GET of a path, or POST of a body that comes back.
#[derive(Clone)]
pub struct Http {
    request: Vec<u8>,
    /// What the request ends with, and its answer too; nothing if it is a GET.
    body: Vec<u8>,
}

impl Http {
    pub fn new(host: &str, body: Option<usize>) -> Http {
        let mut request = String::new();
        let failed = "writing to a string does not fail";
        match body {
            None => write!(request, "GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").expect(failed),
            Some(bytes) => {
                let head = "POST /echo HTTP/1.1\r\nHost:";
                write!(request, "{head} {host}\r\nContent-Length: {bytes}\r\n\r\n").expect(failed);
            }
        }
        let body = payload(body.unwrap_or(0));
        Http { request: [request.as_bytes(), &body].concat(), body }
    }
}

impl Wire for Http {
    type Framer = Responses;

    fn framer(&self) -> Responses {
        Responses
    }

    fn ask(&self, _: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    fn read(&self, _: &mut usize, frame: &[u8]) -> Answers {
        Answers::one(frame.get(9) == Some(&b'2') && frame.ends_with(&self.body))
    }
}

/// Cuts responses that say how long they are.
pub struct Responses;

/// The longest head of a response, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

impl Framer for Responses {
    fn next(&mut self, input: &mut [u8]) -> Step {
        const END: &[u8] = b"\r\n\r\n";
        let Some(head) = memchr::memmem::find(input, END) else {
            if input.len() > HEAD_BYTES_MAX {
                return Step::Malformed("a head without an end");
            }
            return Step::NeedMore { at_least: input.len() + 1 };
        };
        let value = input[..head].split(|byte| *byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked(15)?;
            name.eq_ignore_ascii_case(b"Content-Length:").then_some(value)
        });
        let Some(length) = value.and_then(length) else {
            return Step::Malformed("no Content-Length");
        };
        let end = length.saturating_add(head + END.len());
        if end > input.len() {
            return Step::NeedMore { at_least: end };
        }
        Step::Frame { frame: 0..end, consumed: end }
    }
}

#[cfg(test)]
mod tests {
    use readyloop::framers::{Order, Prefix, walk};

    use super::*;

    #[test]
    fn an_echo_counts_what_comes_back_whole_however_it_is_cut() {
        let raw = Echo::new(Raw, 10).unwrap();
        let stream = payload(10).repeat(3);
        for cut in 1..stream.len() {
            let mut partial = 0;
            let (one, two) = stream.split_at(cut);
            let answers = [raw.read(&mut partial, one), raw.read(&mut partial, two)];
            assert_eq!(answers[0].whole + answers[1].whole, 3, "{cut}");
            assert!(answers.iter().all(|answer| answer.right), "{cut}");
        }
        assert!(!raw.read(&mut 0, b"abcdefghiX").right);
        let length = LengthPrefixed::new(Prefix::Two, Order::Big, 100);
        let framed = Echo::new(length, 10).unwrap();
        assert!(framed.read(&mut 0, &payload(10)).right && !framed.read(&mut 0, b"abc").right);
        assert!(Echo::new(LengthPrefixed::new(Prefix::One, Order::Big, 999), 300).is_none());
    }

    #[test]
    fn what_is_poured_are_whole_requests_as_long_as_the_framing_can_spell() {
        fn poured(wire: &impl Wire) -> Vec<u8> {
            let mut out = Vec::new();
            wire.pour(&mut out);
            out
        }
        let length = |prefix| LengthPrefixed::new(prefix, Order::Big, 64);
        let bytes = poured(&Echo::new(length(Prefix::One), 64).unwrap());
        assert_eq!(bytes, [&[255][..], &payload(255)].concat().repeat(POURED_BYTES / 256));
        let bytes = poured(&Echo::new(length(Prefix::Four), 64).unwrap());
        assert_eq!(bytes, [&[0, 0, 64, 0][..], &payload(POURED_BYTES)].concat());
        let http = Http::new("a", Some(1000));
        let times = POURED_BYTES.div_ceil(http.request.len());
        assert_eq!(poured(&http), http.request.repeat(times));
    }

    #[test]
    fn replies_and_responses_are_cut_the_same_at_every_byte() {
        let replies = b"+OK\r\n$5\r\nhe\r\no\r\n$-1\r\n-ERR no\r\n:7\r\n";
        walk::every_split(|| Replies, replies);
        let answers = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab\n\
                        HTTP/1.1 404 Not Found\r\nX: y\r\nContent-Length:0\r\n\r\n";
        walk::every_split(|| Responses, answers);
    }

    #[test]
    fn lengths_that_no_memory_holds_are_waited_for_and_never_wrap_around() {
        let head = |length: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhi");
        let wraps = u64::MAX - head(&u64::MAX.to_string()).len() as u64 + 3;
        for length in [u64::MAX, wraps, u64::MAX / 2] {
            let mut input = head(&length.to_string()).into_bytes();
            let most = input.len() + (1 << 30);
            let step = Responses.next(&mut input);
            assert!(matches!(step, Step::NeedMore { at_least } if at_least > most), "{step:?}");
        }
        let step = Replies.next(&mut b"$9223372036854775807\r\nhi".to_vec());
        assert!(matches!(step, Step::NeedMore { at_least } if at_least > 1 << 30), "{step:?}");
        for length in ["18446744073709551616", "+2", "-2", "", "2 2"] {
            let step = Responses.next(&mut head(length).into_bytes());
            assert!(matches!(step, Step::Malformed(_)), "{length}: {step:?}");
        }
        for length in ["18446744073709551616", "+2", "-2", "", "2 2"] {
            let step = Replies.next(&mut format!("${length}\r\nhi\r\n").into_bytes());
            assert!(matches!(step, Step::Malformed(_)), "{length}: {step:?}");
        }
    }

    #[test]
    fn what_is_refused_is_not_right() {
        let kv = Kv::new(3);
        assert!(kv.read(&mut 0, b"+OK\r\n").right && !kv.read(&mut 0, b"-ERR x\r\n").right);
        // One SET, nine GETs.
        let mut nth = 0;
        let replies: Vec<&[u8]> =
            vec![b"+OK\r\n", b"$3\r\nabc\r\n", b"$-1\r\n", b"_\r\n", b"+OK\r\n"];
        let right: Vec<bool> = replies.iter().map(|reply| kv.read(&mut nth, reply).right).collect();
        assert_eq!(right, [true, true, true, true, false]);
        assert!(!kv.read(&mut 10, b"$-1\r\n").right, "a SET is not answered with a value");
        let echo = Http::new("a", Some(3));
        for (body, right) in [("abc", true), ("abd", false), ("", false)] {
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            assert_eq!(echo.read(&mut 0, answer.as_bytes()).right, right, "{body}");
        }
        let http = Http::new("a", None);
        assert!(http.read(&mut 0, b"HTTP/1.1 204 No Content").right);
        assert!(!http.read(&mut 0, b"HTTP/1.1 500 Oh").right);
    }
}
