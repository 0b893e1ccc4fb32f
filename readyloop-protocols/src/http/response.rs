//! Responses on their way out: written into one buffer, so that each leaves as one send.
//!
//! It is a writer and not a map of fields: what is written stays. The date is spelled once a second.
//!
//! Invariant: what a caller gives as a field's value cannot end that field.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Status;

/// The current time as a `Date` field spells it; spelled anew when the second changes.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use readyloop_protocols::http::Date;
///
/// let mut date = Date::default();
/// let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
/// assert_eq!(date.at(time), "Sun, 06 Nov 1994 08:49:37 GMT");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Date {
    /// The second that `text` spells, since 1970.
    second: u64,
    text: String,
}

impl Date {
    /// How a field spells this time. Times before 1970 or after 9999 are spelled as 1970.
    pub fn at(&mut self, time: SystemTime) -> &str {
        let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second || self.text.is_empty() {
            self.spell(second);
        }
        &self.text
    }

    #[cold]
    fn spell(&mut self, second: u64) {
        // The year 10000, which the spelling has no room for.
        const SECONDS_END: u64 = 253_402_300_800;
        let second = if second < SECONDS_END { second } else { 0 };
        let time = UNIX_EPOCH + std::time::Duration::from_secs(second);
        self.text = httpdate::fmt_http_date(time);
        self.second = second;
    }
}

/// What a response says about its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Connection {
    /// Nothing: what its version means by default.
    Default,
    /// It stays open, though the request was HTTP/1.0.
    KeepAlive,
    /// It ends with this response.
    Close,
}

/// A response that is being written behind what a buffer holds.
///
/// ```
/// use readyloop_protocols::http::{Connection, Response, Status};
///
/// let mut out = Vec::new();
/// let mut response = Response::new(&mut out, Status::Ok);
/// response.header("Content-Type", "text/plain").connection(Connection::Close);
/// response.body(b"hello");
/// let expected = "HTTP/1.1 200 OK\r\nServer: readyloop\r\nContent-Type: text/plain\r\n\
///                 Connection: close\r\nContent-Length: 5\r\n\r\nhello";
/// assert_eq!(out, expected.as_bytes());
/// ```
#[derive(Debug)]
#[must_use = "a response ends with its body, or with `end`"]
pub struct Response<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Response<'a> {
    /// Writes the first line, and which server this is.
    pub fn new(out: &'a mut Vec<u8>, status: Status) -> Response<'a> {
        out.extend_from_slice(status.line().as_bytes());
        // A server that switches protocols is done with this one.
        if status.code() >= 200 {
            out.extend_from_slice(b"Server: readyloop\r\n");
        }
        Response { out }
    }

    /// Goes on with a response that was begun in `out`.
    pub(super) fn resume(out: &'a mut Vec<u8>) -> Response<'a> {
        Response { out }
    }

    /// Writes the time.
    pub fn date(&mut self, date: &mut Date) -> &mut Self {
        date.at(SystemTime::now());
        self.date_as_it_is(date)
    }

    /// Writes the time for which `date` was last asked.
    pub(super) fn date_as_it_is(&mut self, date: &Date) -> &mut Self {
        self.out.extend_from_slice(b"Date: ");
        self.out.extend_from_slice(date.text.as_bytes());
        self.line_end()
    }

    /// Writes a field. A control character in the value is written as a space (RFC 9110, 5.5).
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        debug_assert!(name.bytes().all(super::bytes::is_token), "a field's name is a token");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        let value = value.as_ref();
        self.out.extend_from_slice(value);
        if value.iter().any(u8::is_ascii_control) {
            self.blank(value.len());
        }
        self.line_end()
    }

    /// Writes what is said about the connection, if anything must be.
    pub fn connection(&mut self, connection: Connection) -> &mut Self {
        let line: &[u8] = match connection {
            Connection::Default => b"",
            Connection::KeepAlive => b"Connection: keep-alive\r\n",
            Connection::Close => b"Connection: close\r\n",
        };
        self.out.extend_from_slice(line);
        self
    }

    /// Writes how many bytes of content follow, or would follow if the request was no `HEAD`.
    pub fn content_length(&mut self, bytes: u64) -> &mut Self {
        self.out.extend_from_slice(b"Content-Length: ");
        write_decimal(self.out, bytes);
        self.line_end()
    }

    /// Writes the empty line: content comes later, or there is none.
    pub fn end(&mut self) {
        self.line_end();
    }

    /// Writes the length of the content, the empty line, and the content.
    pub fn body(&mut self, content: &[u8]) {
        self.content_length(content.len() as u64).end();
        self.out.extend_from_slice(content);
    }

    /// Writes a space over each control character of the last `bytes` bytes.
    #[cold]
    fn blank(&mut self, bytes: usize) {
        let begin = self.out.len() - bytes;
        for byte in self.out[begin..].iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
    }

    fn line_end(&mut self) -> &mut Self {
        self.out.extend_from_slice(b"\r\n");
        self
    }
}

/// Reads the time that a field spells, in any of the three ways of RFC 9110, 5.6.7.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use readyloop_protocols::http::parse_date;
///
/// let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
/// assert_eq!(parse_date(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(time));
/// assert_eq!(parse_date(b"yesterday"), None);
/// ```
pub fn parse_date(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// Without the machinery of `fmt`, which costs more than the rest of a head.
fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_date_is_spelled_anew_when_its_second_is_over() {
        let mut date = Date::default();
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(date.at(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date.at(at(999)), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date.at(at(1000)), "Thu, 01 Jan 1970 00:00:01 GMT");
        assert_eq!(date.at(at(86_400_000)), "Fri, 02 Jan 1970 00:00:00 GMT");
        assert_eq!(date.at(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT", "a clock may be set back");
    }

    #[test]
    fn a_time_that_has_no_spelling_panics_nobody() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        let after = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        for time in [before, after] {
            assert_eq!(Date::default().at(time), "Thu, 01 Jan 1970 00:00:00 GMT");
        }
    }

    #[test]
    fn a_value_cannot_end_its_field() {
        let mut out = Vec::new();
        let mut response = Response::new(&mut out, Status::NoContent);
        response.header("X", "a\r\nSet-Cookie: b\0").end();
        let expected =
            b"HTTP/1.1 204 No Content\r\nServer: readyloop\r\nX: a  Set-Cookie: b \r\n\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn numbers_are_spelled_in_digits() {
        for number in [0, 7, 10, 909, 65_536, u64::MAX] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_response_is_written_behind_what_is_there() {
        let mut out = b"before".to_vec();
        let mut date = Date::default();
        let mut response = Response::new(&mut out, Status::Ok);
        response.connection(Connection::KeepAlive).date(&mut date).body(b"");
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("beforeHTTP/1.1 200 OK\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: keep-alive\r\nDate: "), "{text}");
        assert!(text.ends_with(" GMT\r\nContent-Length: 0\r\n\r\n"), "{text}");
    }
}
