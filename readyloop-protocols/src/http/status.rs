//! Status codes, each with the line that begins its response.
//!
//! A closed list: what this crate answers with by itself, and what a small service needs. It is not
//! the registry of RFC 9110, 15.

/// The status of a response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names are those of RFC 9110, 15, and of RFC 6585, 5")]
pub enum Status {
    Continue = 100,
    SwitchingProtocols = 101,
    Ok = 200,
    NoContent = 204,
    NotModified = 304,
    BadRequest = 400,
    Forbidden = 403,
    NotFound = 404,
    MethodNotAllowed = 405,
    RequestTimeout = 408,
    ContentTooLarge = 413,
    UriTooLong = 414,
    ExpectationFailed = 417,
    UpgradeRequired = 426,
    RequestHeaderFieldsTooLarge = 431,
    InternalServerError = 500,
    NotImplemented = 501,
    ServiceUnavailable = 503,
    HttpVersionNotSupported = 505,
}

impl Status {
    /// Its number.
    ///
    /// ```
    /// assert_eq!(readyloop_protocols::http::Status::NotFound.code(), 404);
    /// ```
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The first line of a response with it, with its end.
    ///
    /// ```
    /// use readyloop_protocols::http::Status;
    ///
    /// assert_eq!(Status::NotFound.line(), "HTTP/1.1 404 Not Found\r\n");
    /// ```
    pub const fn line(self) -> &'static str {
        match self {
            Status::Continue => "HTTP/1.1 100 Continue\r\n",
            Status::SwitchingProtocols => "HTTP/1.1 101 Switching Protocols\r\n",
            Status::Ok => "HTTP/1.1 200 OK\r\n",
            Status::NoContent => "HTTP/1.1 204 No Content\r\n",
            Status::NotModified => "HTTP/1.1 304 Not Modified\r\n",
            Status::BadRequest => "HTTP/1.1 400 Bad Request\r\n",
            Status::Forbidden => "HTTP/1.1 403 Forbidden\r\n",
            Status::NotFound => "HTTP/1.1 404 Not Found\r\n",
            Status::MethodNotAllowed => "HTTP/1.1 405 Method Not Allowed\r\n",
            Status::RequestTimeout => "HTTP/1.1 408 Request Timeout\r\n",
            Status::ContentTooLarge => "HTTP/1.1 413 Content Too Large\r\n",
            Status::UriTooLong => "HTTP/1.1 414 URI Too Long\r\n",
            Status::ExpectationFailed => "HTTP/1.1 417 Expectation Failed\r\n",
            Status::UpgradeRequired => "HTTP/1.1 426 Upgrade Required\r\n",
            Status::RequestHeaderFieldsTooLarge => {
                "HTTP/1.1 431 Request Header Fields Too Large\r\n"
            }
            Status::InternalServerError => "HTTP/1.1 500 Internal Server Error\r\n",
            Status::NotImplemented => "HTTP/1.1 501 Not Implemented\r\n",
            Status::ServiceUnavailable => "HTTP/1.1 503 Service Unavailable\r\n",
            Status::HttpVersionNotSupported => "HTTP/1.1 505 HTTP Version Not Supported\r\n",
        }
    }

    /// Its name in words, as in `Not Found`.
    pub fn reason(self) -> &'static str {
        const BEFORE_BYTES: usize = "HTTP/1.1 404 ".len();
        self.line()[BEFORE_BYTES..].trim_end()
    }

    /// Whether a response with it never has content, and so no length (RFC 9110, 8.6 and 15).
    pub const fn has_no_content(self) -> bool {
        matches!(
            self,
            Status::Continue | Status::SwitchingProtocols | Status::NoContent | Status::NotModified
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_carries_its_own_number() {
        let some = [
            Status::Continue,
            Status::Ok,
            Status::NotModified,
            Status::RequestHeaderFieldsTooLarge,
            Status::HttpVersionNotSupported,
        ];
        for status in some {
            let begin = format!("HTTP/1.1 {} {}\r\n", status.code(), status.reason());
            assert_eq!(status.line(), begin);
        }
    }
}
