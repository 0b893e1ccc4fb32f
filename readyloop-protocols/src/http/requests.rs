//! The framer of requests: a head is a frame, and its body, if it has one, is the next.
//!
//! Two frames and not one, so that a peer which waits for `100 Continue` can be told to go on. A
//! body in chunks is joined in place, so a handler never sees chunks. What is refused is refused as
//! soon as it is known, before a byte of a body is waited for that would be too long.
//!
//! Invariants: a frame behind a head with a body is that body; each byte is looked at once while a
//! frame is not whole, and once more when it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use readyloop::{Framer, Step};

use super::bytes::is_token;
use super::chunks::{
    self, CHUNK_LINE_BYTES_MAX, CHUNKS_BYTES_FREE, Chunks, Look, TRAILERS_BYTES_MAX,
};
use super::head::LINE_REST_BYTES;
use super::scan::Scan;
use super::{Body, Head, Refusal};

/// Room for the method in a request line, in bytes; the longest that is registered has 17.
const METHOD_BYTES_MAX: usize = 32;

/// How long the parts of a request may be, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// The head, with its empty line. Over it, a request is refused with 431. Default 16 KiB: twice
    /// what browsers and proxies send at the most.
    pub head_bytes_max: usize,
    /// The target. Over it, a request is refused with 414. Default 8 KiB: RFC 9112, 3, asks for
    /// 8,000.
    pub target_bytes_max: usize,
    /// The body, without what chunks add to it. Over it, a request is refused with 413. Default
    /// 1 MiB: a body is held in memory, whole.
    pub body_bytes_max: usize,
}

impl Default for RequestLimits {
    fn default() -> RequestLimits {
        RequestLimits {
            head_bytes_max: 16 << 10,
            target_bytes_max: 8 << 10,
            body_bytes_max: 1 << 20,
        }
    }
}

impl RequestLimits {
    /// The longest that a frame can become with all that belongs to it: what
    /// `Limits::frame_bytes_max` must allow, so that a refusal is never its.
    pub fn frame_bytes_max(&self) -> usize {
        let head = self.head_bytes_max.saturating_add(EMPTY_LINE.len());
        // Data, and what may be around it; the line and the trailers that may come then.
        let around = CHUNKS_BYTES_FREE + 2 * CHUNK_LINE_BYTES_MAX + TRAILERS_BYTES_MAX;
        head.max(self.body_bytes_max.saturating_mul(2).saturating_add(around))
    }

    fn line_bytes_max(&self) -> usize {
        let line = self.target_bytes_max.saturating_add(METHOD_BYTES_MAX + LINE_REST_BYTES);
        line.min(self.head_bytes_max)
    }
}

/// Whether a peer is in the midst of a request's head: known to the framer, asked by a handler that
/// must tell a slow peer from an idle one.
#[derive(Clone, Debug, Default)]
pub struct Begun(Arc<AtomicBool>);

impl Begun {
    /// Whether some bytes of a head have come, and not all.
    pub fn get(&self) -> bool {
        // The order of the mail that tells the handler of a timeout is order enough.
        self.0.load(Ordering::Relaxed)
    }
}

/// Cuts a connection's bytes into heads and bodies of requests.
///
/// A refusal is `Step::Malformed` with the text of a [`Refusal`].
///
/// ```
/// use readyloop::{Framer, Step};
/// use readyloop_protocols::http::Requests;
///
/// let mut requests = Requests::default();
/// let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
/// let chunks = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
/// let mut input = [&head[..], chunks].concat();
/// let end = head.len();
/// assert_eq!(requests.next(&mut input), Step::Frame { frame: 0..end, consumed: end });
/// let body = Step::Frame { frame: 0..5, consumed: chunks.len() };
/// assert_eq!(requests.next(&mut input[end..]), body);
/// assert!(input[end..].starts_with(b"hello"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Requests {
    limits: RequestLimits,
    awaits: Awaits,
    /// Whoever wants to know whether a head has begun, and what it was told.
    begun: Option<(Begun, bool)>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Awaits {
    Head(Scan),
    /// A body of so many bytes.
    Length(usize),
    Chunks(Chunks),
}

impl Default for Awaits {
    fn default() -> Awaits {
        Awaits::Head(Scan::default())
    }
}

const EMPTY_LINE: &[u8] = b"\r\n";

impl Requests {
    /// Requests within these limits.
    pub fn new(limits: RequestLimits) -> Requests {
        Requests { limits, ..Requests::default() }
    }

    /// Where it will be told whether a head has begun.
    pub fn begun(&mut self) -> Begun {
        self.begun.get_or_insert_default().0.clone()
    }

    /// Tells whoever wants to know; once for each change.
    fn tell(&mut self, now: bool) {
        if let Some((begun, told)) = &mut self.begun
            && *told != now
        {
            *told = now;
            begun.0.store(now, Ordering::Relaxed);
        }
    }

    fn head(&mut self, input: &[u8], mut scan: Scan) -> Result<Step, Refusal> {
        // One empty line before a request is a client's mistake that is forgiven (RFC 9112, 2.2).
        let begin = match input {
            [b'\r'] => return Ok(Step::NeedMore { at_least: 2 }),
            [b'\r', b'\n', ..] => EMPTY_LINE.len(),
            _ => 0,
        };
        let Some(&first) = input.get(begin) else {
            return Ok(Step::NeedMore { at_least: begin + 1 });
        };
        if !is_token(first) {
            return Err(Refusal::RequestLine);
        }
        let RequestLimits { head_bytes_max, .. } = self.limits;
        let line_bytes_max = self.limits.line_bytes_max();
        let Some(end) = scan.end(input, begin, line_bytes_max, head_bytes_max)? else {
            self.awaits = Awaits::Head(scan);
            self.tell(true);
            return Ok(Step::NeedMore { at_least: input.len() + 1 });
        };
        let head = Head::parse_lines(&input[begin..end])?;
        if head.target().len() > self.limits.target_bytes_max {
            return Err(Refusal::TargetTooLong);
        }
        self.awaits = self.body_of(&head)?;
        self.tell(false);
        Ok(Step::Frame { frame: begin..end, consumed: end })
    }

    fn body_of(&self, head: &Head<'_>) -> Result<Awaits, Refusal> {
        match head.body() {
            Body::None => Ok(Awaits::default()),
            Body::Chunked => Ok(Awaits::Chunks(Chunks::default())),
            Body::Length(bytes) => {
                let bytes = usize::try_from(bytes).ok();
                let bytes = bytes.filter(|bytes| *bytes <= self.limits.body_bytes_max);
                bytes.map(Awaits::Length).ok_or(Refusal::BodyTooLong)
            }
        }
    }

    fn length(&mut self, input: &[u8], bytes: usize) -> Step {
        if input.len() < bytes {
            return Step::NeedMore { at_least: bytes };
        }
        self.awaits = Awaits::default();
        Step::Frame { frame: 0..bytes, consumed: bytes }
    }

    fn chunks(&mut self, input: &mut [u8], mut chunks: Chunks) -> Result<Step, Refusal> {
        match chunks.look(input, self.limits.body_bytes_max)? {
            Look::NeedMore(at_least) => {
                self.awaits = Awaits::Chunks(chunks);
                Ok(Step::NeedMore { at_least })
            }
            Look::Whole(body, consumed) => {
                chunks::join(input, body);
                self.awaits = Awaits::default();
                Ok(Step::Frame { frame: 0..body, consumed })
            }
        }
    }
}

impl Framer for Requests {
    #[inline]
    fn next(&mut self, input: &mut [u8]) -> Step {
        let step = match self.awaits {
            Awaits::Head(scan) => self.head(input, scan),
            Awaits::Length(bytes) => Ok(self.length(input, bytes)),
            Awaits::Chunks(chunks) => self.chunks(input, chunks),
        };
        step.unwrap_or_else(|refusal| Step::Malformed(refusal.text()))
    }
}

#[cfg(test)]
mod tests;
