//! A body in chunks (RFC 9112, 7.1): where it ends, and its data in one piece.
//!
//! First it only looks, at each byte once, however they come; when the last chunk is there, the
//! data is moved together where it lies. Extensions and trailers are checked and dropped: nobody
//! here understands any, and a trailer that was taken for a header would be a way around a proxy.
//!
//! Invariants: `begin <= looked`; what stands before `begin` is whole chunks with `body` bytes of
//! data.

use super::Refusal;
use super::bytes::is_token;

/// The line of a chunk, with its extension and its end, in bytes: extensions are almost never sent,
/// and signatures in them (AWS) take less than 100.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// The trailers of a body with the empty line, in bytes.
pub const TRAILERS_BYTES_MAX: usize = 4096;
/// Lines and ends of chunks that may come however short the body is, in bytes. Beyond that, there
/// may be as much around the data as data is taken at the most.
pub const CHUNKS_BYTES_FREE: usize = 4096;

/// How far a body in chunks was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Chunks {
    /// Where the line begins that is to be read next.
    begin: usize,
    /// How far it was searched for its end; more than the input has while data is awaited.
    looked: usize,
    /// Bytes of data in the chunks before.
    body: usize,
    /// Where the trailers begin, behind the last chunk.
    trailers: Option<usize>,
}

/// What is known of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// It is not whole before so many bytes are there.
    NeedMore(usize),
    /// It is whole: so many bytes of data, in so many bytes of input.
    Whole(usize, usize),
}

impl Chunks {
    /// Looks on, at a body that may have `body_bytes_max` bytes of data.
    pub fn look(&mut self, input: &[u8], body_bytes_max: usize) -> Result<Look, Refusal> {
        loop {
            if self.begin > input.len() {
                return Ok(Look::NeedMore(self.begin));
            }
            if !self.data_ended(input) {
                return Err(Refusal::ChunkEnd);
            }
            let Some(end) = self.line_end(input)? else {
                return Ok(Look::NeedMore(input.len() + 1));
            };
            let line = input[self.begin..end].strip_suffix(b"\r").ok_or(Refusal::LineEnd)?;
            self.looked = end + 1;
            if self.trailers.is_none() {
                self.chunk(size_of(line)?, end + 1, body_bytes_max)?;
            } else if line.is_empty() {
                return Ok(Look::Whole(self.body, end + 1));
            } else {
                check_trailer(line)?;
                self.begin = end + 1;
            }
        }
    }

    /// Where the LF is that ends the line at `begin`, if it is there.
    fn line_end(&mut self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        let (end, too_long) = match self.trailers {
            None => (self.begin + CHUNK_LINE_BYTES_MAX, Refusal::ChunkLine),
            Some(begin) => (begin + TRAILERS_BYTES_MAX, Refusal::TrailersTooLong),
        };
        let window = input.len().min(end);
        let unseen = input.get(self.looked..window).unwrap_or_default();
        if let Some(at) = memchr::memchr(b'\n', unseen) {
            return Ok(Some(self.looked + at));
        }
        self.looked = window.max(self.looked);
        if window == end { Err(too_long) } else { Ok(None) }
    }

    /// Whether the data before `begin`, if there was some, ends with CRLF.
    fn data_ended(&self, input: &[u8]) -> bool {
        let is_behind_data = self.trailers.is_none() && self.body > 0;
        !is_behind_data || input[..self.begin].ends_with(b"\r\n")
    }

    /// The data of a chunk of so many bytes begins at `data`.
    fn chunk(&mut self, bytes: u64, data: usize, body_bytes_max: usize) -> Result<(), Refusal> {
        if bytes == 0 {
            self.trailers = Some(data);
            self.begin = data;
            return Ok(());
        }
        let room = body_bytes_max - self.body;
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes <= room);
        let bytes = bytes.ok_or(Refusal::BodyTooLong)?;
        if data - self.body > body_bytes_max.saturating_add(CHUNKS_BYTES_FREE) {
            return Err(Refusal::ChunksTooMany);
        }
        self.body += bytes;
        self.begin = data + bytes + 2;
        self.looked = self.begin;
        Ok(())
    }
}

/// Moves the data of a whole body together, at the beginning of the input: `body` bytes.
pub fn join(input: &mut [u8], body: usize) {
    let (mut from, mut to) = (0, 0);
    while to < body {
        let rest = &input[from..];
        let line = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let size = size_of(rest[..line].trim_ascii_end()).unwrap_or(0) as usize;
        let data = from + line;
        if size == 0 || data + size > input.len() {
            debug_assert!(false, "the body was looked at, and is whole");
            return;
        }
        input.copy_within(data..data + size, to);
        to += size;
        from = data + size + 2;
    }
}

/// The size in a chunk's line: up to 16 digits, and perhaps an extension right behind them.
fn size_of(line: &[u8]) -> Result<u64, Refusal> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let is_plain = extension.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    if !matches!(digits, 1..=16) || !is_plain || !matches!(extension.first(), None | Some(b';')) {
        return Err(Refusal::ChunkLine);
    }
    let value = |digit: &u8| u64::from((*digit as char).to_digit(16).unwrap_or(0));
    Ok(size.iter().fold(0, |size, digit| size << 4 | value(digit)))
}

/// A trailer is a field: a name, a colon, a value.
fn check_trailer(line: &[u8]) -> Result<(), Refusal> {
    let name = line.iter().take_while(|byte| is_token(**byte)).count();
    let value = line[name..].strip_prefix(b":").unwrap_or(b"\0");
    let is_plain = value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control());
    if name > 0 && is_plain { Ok(()) } else { Err(Refusal::Trailer) }
}
