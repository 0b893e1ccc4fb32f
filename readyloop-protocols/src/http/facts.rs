//! What the fields of a head mean for the connection: where the body ends, and what comes after it.
//!
//! Everything that could be read in two ways is refused here and nowhere else: who guesses where a
//! body ends lets one client speak for another (RFC 9112, 11.2).

use httparse::Header;

use super::Refusal;
use super::bytes::may_stand_in_host;
use super::head::{Headers, Version};

/// The body that follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Body {
    /// None, or an empty one: the next byte belongs to the next request.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks (RFC 9112, 7.1).
    Chunked,
}

/// What a head means for its connection.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub body: Body,
    pub keeps_alive: bool,
    pub expects_continue: bool,
}

/// What the fields have said so far.
#[derive(Default)]
struct Seen {
    hosts: usize,
    length: Option<u64>,
    /// A `Transfer-Encoding` field was there.
    encoded: bool,
    /// The last coding was `chunked`.
    chunked: bool,
    /// A coding that we know and do not decode.
    coding: bool,
    close: bool,
    keep_alive: bool,
    expects: bool,
}

/// Codings of the registry that we do not decode (RFC 9112, 7.2).
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];

impl Facts {
    pub fn of(version: Version, fields: &[Header<'_>]) -> Result<Facts, Refusal> {
        let mut seen = Seen::default();
        for field in fields {
            seen.field(field.name.as_bytes(), field.value)?;
        }
        if seen.hosts == 0 && version == Version::Http11 {
            return Err(Refusal::Host);
        }
        seen.facts(version)
    }

    /// The same for fields that were checked before; only what matters then is read.
    pub fn again(version: Version, mut fields: Headers<'_>) -> Result<Facts, Refusal> {
        let mut seen = Seen::default();
        while let Some((name, value)) = fields.next_field() {
            if matches!(name.len(), 6 | 10 | 14 | 17) {
                seen.field(name, value)?;
            }
        }
        seen.facts(version)
    }
}

impl Seen {
    /// Takes note of one field. Its name's length rules out almost all names.
    fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let value = value.trim_ascii();
        match name.len() {
            4 if is("host") => self.host(value),
            6 if is("expect") => self.expect(value),
            10 if is("connection") => {
                self.connection(value);
                Ok(())
            }
            14 if is("content-length") => self.content_length(value),
            17 if is("transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.hosts += 1;
        if self.hosts == 1 && may_stand_in_host(value) { Ok(()) } else { Err(Refusal::Host) }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.expects = true;
        let known = value.eq_ignore_ascii_case(b"100-continue");
        if known { Ok(()) } else { Err(Refusal::Expectation) }
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Digits only: no sign, no list. 19 of them always fit.
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_number = matches!(value.len(), 1..=19) && value.iter().all(u8::is_ascii_digit);
        if !is_number || self.length.is_some() {
            return Err(Refusal::ContentLength);
        }
        let digit = |length, &byte: &u8| length * 10 + u64::from(byte - b'0');
        self.length = Some(value.iter().fold(0, digit));
        Ok(())
    }

    /// Nothing may come behind `chunked`, also not in another field.
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        self.encoded = true;
        for coding in value.split(|&byte| byte == b',') {
            let coding = coding.trim_ascii();
            let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
            if self.chunked {
                return Err(Refusal::TransferEncoding);
            } else if is("chunked") {
                self.chunked = true;
            } else if CODINGS.into_iter().any(is) {
                self.coding = true;
            } else {
                return Err(Refusal::TransferEncoding);
            }
        }
        Ok(())
    }

    fn facts(&self, version: Version) -> Result<Facts, Refusal> {
        let is_http11 = version == Version::Http11;
        Ok(Facts {
            body: self.body(version)?,
            keeps_alive: !self.close && (is_http11 || self.keep_alive),
            // One of HTTP/1.0 is ignored (RFC 9110, 10.1.1).
            expects_continue: self.expects && is_http11,
        })
    }

    fn body(&self, version: Version) -> Result<Body, Refusal> {
        match (self.encoded, self.length) {
            (false, None | Some(0)) => Ok(Body::None),
            (false, Some(length)) => Ok(Body::Length(length)),
            (true, Some(_)) => Err(Refusal::TwoLengths),
            (true, None) if !self.chunked || version == Version::Http10 => {
                Err(Refusal::TransferEncoding)
            }
            (true, None) if self.coding => Err(Refusal::Coding),
            (true, None) => Ok(Body::Chunked),
        }
    }
}
