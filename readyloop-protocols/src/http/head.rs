//! The head of a request: its line and its fields, checked, and borrowed from the bytes of a frame.
//!
//! `httparse` knows the grammar; what is stricter here is what two servers in a row must not read
//! differently (RFC 9112, 11.2): line ends, hosts, and above all where the body ends. It is not a
//! map of fields: they are read again from the bytes when they are asked for, which for the few
//! that requests have costs less than to store them.
//!
//! Invariant: the lines of `fields` each end with CRLF and hold a name, a colon and a value.

use std::mem::MaybeUninit;

use httparse::Status;

use super::Refusal;
use super::bytes::{is_token, may_stand_in_target};
use super::facts::{Body, Facts};
use super::scan::Scan;

/// Header fields that a head may have. Browsers send about 20, proxies add a few; nginx and Apache
/// stop at 100 too.
pub const FIELDS_MAX: usize = 100;

/// A version of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Version {
    /// HTTP/1.0: one request for each connection, unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// The head of a request.
///
/// ```
/// use readyloop_protocols::http::{Body, Head};
///
/// let head = Head::parse(b"POST /echo?x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")?;
/// assert_eq!((head.method(), head.path(), head.body()), ("POST", "/echo", Body::Length(5)));
/// assert_eq!(head.header("host"), Some(&b"a"[..]));
/// assert!(head.keeps_alive());
/// # Ok::<(), readyloop_protocols::http::Refusal>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    method: &'a str,
    target: &'a str,
    /// The lines of the fields.
    fields: &'a [u8],
    version: Version,
    facts: Facts,
}

impl<'a> Head<'a> {
    /// Reads a head: from its first byte through its empty line, and nothing else.
    ///
    /// # Errors
    /// What is wrong with it. Limits on bytes are the framer's; the number of fields is checked
    /// here ([`FIELDS_MAX`]).
    pub fn parse(bytes: &'a [u8]) -> Result<Head<'a>, Refusal> {
        match Scan::default().end(bytes, 0, usize::MAX, usize::MAX)? {
            Some(end) if end == bytes.len() => Head::parse_lines(bytes),
            _ => Err(Refusal::HeadEnd),
        }
    }

    /// The same for bytes whose lines are known to end with CRLF, the only empty one last.
    pub(super) fn parse_lines(bytes: &'a [u8]) -> Result<Head<'a>, Refusal> {
        // Before a request line, httparse would skip any number of empty ones.
        if !bytes.first().is_some_and(|&byte| is_token(byte)) {
            return Err(Refusal::RequestLine);
        }
        let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(bytes, &mut fields) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(Refusal::HeadEnd),
            Err(error) => return Err(refusal_of(error, bytes)),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Refusal::RequestLine);
        };
        let version = match request.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        check_target(method, target)?;
        let facts = Facts::of(version, request.headers)?;
        let fields = fields_of(bytes, method.len(), target.len());
        Ok(Head { method, target, fields, version, facts })
    }

    /// The same for bytes that were read as a head before, by another thread perhaps: what was
    /// checked then is not checked again. `None` for bytes that never were a head.
    pub(super) fn reread(bytes: &'a [u8]) -> Option<Head<'a>> {
        let method = bytes.iter().position(|&byte| byte == b' ')?;
        let rest = bytes.get(method + 1..)?;
        let target = memchr::memchr(b' ', rest)?;
        let version = match rest.get(target + " HTTP/1.".len())? {
            b'0' => Version::Http10,
            _ => Version::Http11,
        };
        let fields = fields_of(bytes, method, target);
        Some(Head {
            method: std::str::from_utf8(&bytes[..method]).ok()?,
            target: std::str::from_utf8(&rest[..target]).ok()?,
            fields,
            version,
            facts: Facts::again(version, Headers { rest: fields }).ok()?,
        })
    }

    /// The method, as in `GET`; methods are case-sensitive.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The target as it was sent: `/path?query`, `http://host/path`, or `*`.
    pub fn target(&self) -> &'a str {
        self.target
    }

    /// The path of the target, still percent-encoded: without scheme, host, or query.
    ///
    /// ```
    /// use readyloop_protocols::http::Head;
    ///
    /// let head = Head::parse(b"GET http://a/b%20c?d HTTP/1.0\r\n\r\n")?;
    /// assert_eq!(head.path(), "/b%20c");
    /// # Ok::<(), readyloop_protocols::http::Refusal>(())
    /// ```
    pub fn path(&self) -> &'a str {
        let target = match without_scheme(self.target) {
            None => self.target,
            Some(rest) => match rest.find(['/', '?']) {
                Some(at) if rest[at..].starts_with('/') => &rest[at..],
                _ => "/",
            },
        };
        target.find('?').map_or(target, |at| &target[..at])
    }

    /// The version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields in their order: names as they were sent, values without the space around them.
    pub fn headers(&self) -> Headers<'a> {
        Headers { rest: self.fields }
    }

    /// The value of the first field with this name, in any case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut headers = self.headers();
        headers.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether the comma-separated lists of all fields with this name hold `token`, in any case.
    ///
    /// ```
    /// use readyloop_protocols::http::Head;
    ///
    /// let head = Head::parse(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Upgrade\r\n\r\n")?;
    /// assert!(head.lists("connection", "upgrade"));
    /// # Ok::<(), readyloop_protocols::http::Refusal>(())
    /// ```
    pub fn lists(&self, name: &str, token: &str) -> bool {
        let values = self.headers().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let mut items = values.flat_map(|(_, value)| value.split(|&byte| byte == b','));
        items.any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Whether the connection stays open after the answer, if the server wants it too.
    pub fn keeps_alive(&self) -> bool {
        self.facts.keeps_alive
    }

    /// Whether the peer waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.facts.expects_continue
    }

    /// What follows the head.
    pub fn body(&self) -> Body {
        self.facts.body
    }
}

/// A head that outlives its frame, because its body has not come yet: a copy of its bytes, and what
/// was read from them, so that it is not read again.
#[derive(Debug, Default)]
pub(super) struct KeptHead {
    bytes: Vec<u8>,
    parts: Option<(usize, usize, Version, Facts)>,
}

impl KeptHead {
    /// Keeps this head, which was read from `bytes`, instead of any other.
    pub(super) fn keep(&mut self, head: &Head<'_>, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.parts = Some((head.method.len(), head.target.len(), head.version, head.facts));
    }

    /// The head, if one is kept.
    pub(super) fn head(&self) -> Option<Head<'_>> {
        let (method, target, version, facts) = self.parts?;
        let text = |from: usize, bytes: usize| {
            std::str::from_utf8(self.bytes.get(from..from + bytes)?).ok()
        };
        Some(Head {
            method: text(0, method)?,
            target: text(method + 1, target)?,
            fields: fields_of(&self.bytes, method, target),
            version,
            facts,
        })
    }

    /// How many bytes of memory it owns.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// The lines of the fields: what lies between a request line with such parts and the empty line.
fn fields_of(bytes: &[u8], method_bytes: usize, target_bytes: usize) -> &[u8] {
    let begin = method_bytes + target_bytes + LINE_REST_BYTES;
    bytes.get(begin..bytes.len().saturating_sub(2)).unwrap_or_default()
}

/// The fields of a head.
#[derive(Clone, Debug)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The next field, its name as bytes.
    #[inline]
    pub(super) fn next_field(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let end = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at(end + 1);
        self.rest = rest;
        // Names are short: it takes longer to begin a search than to end it.
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], &line[colon + 1..]))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<(&'a str, &'a [u8])> {
        let (name, value) = self.next_field()?;
        Some((std::str::from_utf8(name).ok()?, value.trim_ascii()))
    }
}

/// What a request line has besides its method and its target: two spaces, the version, its end.
pub(super) const LINE_REST_BYTES: usize = "  HTTP/1.1\r\n".len();

fn without_scheme(target: &str) -> Option<&str> {
    let is = |scheme: &str| target.get(..scheme.len())?.eq_ignore_ascii_case(scheme).then_some(());
    ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| is(scheme).map(|()| &target[scheme.len()..]))
}

fn check_target(method: &str, target: &str) -> Result<(), Refusal> {
    if method == "CONNECT" {
        return Err(Refusal::Connect);
    }
    let has_a_form = match target.as_bytes() {
        [b'/', ..] => true,
        b"*" => method == "OPTIONS",
        _ => without_scheme(target).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')),
    };
    if has_a_form && may_stand_in_target(target.as_bytes()) { Ok(()) } else { Err(Refusal::Target) }
}

#[cold]
fn refusal_of(error: httparse::Error, bytes: &[u8]) -> Refusal {
    use httparse::Error;
    match error {
        Error::Version if names_another_version(bytes) => Refusal::Version,
        Error::HeaderName | Error::HeaderValue => Refusal::Field,
        Error::TooManyHeaders => Refusal::TooManyFields,
        _ => Refusal::RequestLine,
    }
}

/// Whether the first line has its three parts, and the last is a version of HTTP that we do not
/// speak.
fn names_another_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(_), Some(_), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version else { return false };
    major.is_ascii_digit() && minor.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::cases;

    fn parse(text: &str) -> Head<'_> {
        Head::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (bytes, status) in cases::HEADS {
            let text = bytes.escape_ascii();
            let refusal = Head::parse(bytes).expect_err(&text.to_string());
            assert_eq!(refusal.status().code(), *status, "{text}: {refusal}");
        }
    }

    #[test]
    fn a_head_is_nothing_less_and_nothing_more() {
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(Head::parse(whole).is_ok());
        for end in 0..whole.len() {
            assert_eq!(Head::parse(&whole[..end]).unwrap_err(), Refusal::HeadEnd, "{end}");
        }
        let more = [&whole[..], b"x"].concat();
        assert_eq!(Head::parse(&more).unwrap_err(), Refusal::HeadEnd);
    }

    #[test]
    fn fields_come_in_order_without_the_space_around_their_values() {
        let head =
            parse("GET / HTTP/1.1\r\nHost:a\r\nX-One: \t b c \t\r\nEmpty:\r\nx-one: d\r\n\r\n");
        let fields: Vec<_> = head.headers().collect();
        let expected: [(&str, &[u8]); 4] =
            [("Host", b"a"), ("X-One", b"b c"), ("Empty", b""), ("x-one", b"d")];
        assert_eq!(fields, expected);
        assert_eq!(head.header("X-ONE"), Some(&b"b c"[..]));
        assert_eq!((head.header("empty"), head.header("none")), (Some(&b""[..]), None));
        assert_eq!(parse("GET / HTTP/1.0\r\n\r\n").headers().count(), 0);
    }

    #[test]
    fn a_list_may_be_spread_over_fields() {
        let head = parse("GET / HTTP/1.1\r\nHost: a\r\nX: a, B\r\nx: ,c ,\r\n\r\n");
        for (token, listed) in [("a", true), ("b", true), ("C", true), ("d", false)] {
            assert_eq!(head.lists("X", token), listed, "{token}");
        }
    }

    #[test]
    fn a_target_in_any_form_has_a_path() {
        let paths = [
            ("GET /a/b?c/d", "/a/b"),
            ("GET //a", "//a"),
            ("GET /?", "/"),
            ("GET http://a", "/"),
            ("GET HTTP://a:80/b?c", "/b"),
            ("GET https://a?b/c", "/"),
            ("OPTIONS *", "*"),
        ];
        for (line, path) in paths {
            let text = format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(parse(&text).path(), path, "{line}");
            assert_eq!(parse(&text).target(), line.split(' ').nth(1).unwrap());
        }
    }

    #[test]
    fn the_connection_stays_open_by_version_and_by_wish() {
        let cases = [
            ("1.1", "X: y", true),
            ("1.1", "Connection: close", false),
            ("1.1", "connection: x ,CLOSE", false),
            ("1.1", "Connection: keep-alive, close", false),
            ("1.0", "X: y", false),
            ("1.0", "Connection: Keep-Alive", true),
            ("1.0", "Connection: close, keep-alive", false),
        ];
        for (version, field, stays) in cases {
            let text = format!("GET / HTTP/{version}\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(parse(&text).keeps_alive(), stays, "{version} {field}");
        }
    }

    #[test]
    fn the_body_ends_in_one_way() {
        let cases = [
            ("X: y", Body::None),
            ("Content-Length: 0", Body::None),
            ("Content-Length: 0000000000000000012", Body::Length(12)),
            ("CONTENT-LENGTH: \t9999999999999999999 ", Body::Length(9_999_999_999_999_999_999)),
            ("transfer-encoding: Chunked", Body::Chunked),
        ];
        for (field, body) in cases {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n");
            assert_eq!(parse(&text).body(), body, "{field}");
        }
    }

    #[test]
    fn only_http_1_1_waits_for_a_continue() {
        for (version, expects) in [("1.1", true), ("1.0", false)] {
            let text = format!("PUT / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\n\r\n");
            assert_eq!(parse(&text).expects_continue(), expects);
        }
        assert!(!parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n").expects_continue());
    }

    #[test]
    fn a_head_may_have_so_many_fields_and_no_more() {
        let with = |count| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count));
        assert_eq!(parse(&with(FIELDS_MAX - 1)).headers().count(), FIELDS_MAX);
        let refused = Head::parse(with(FIELDS_MAX).as_bytes()).unwrap_err();
        assert_eq!(refused, Refusal::TooManyFields);
    }
}
