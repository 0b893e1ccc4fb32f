//! Why a request is refused: one table, read in both directions.
//!
//! A framer refuses with a static text, and only that text reaches the handler, in the reason of the
//! close. So each refusal has a text of its own, by which its status is found again.

use super::Status;

/// Why a request is refused. What follows it in the stream cannot be trusted, so the connection
/// ends with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refusal {
    /// The bytes do not begin with a method, a target and a version, one space between them.
    RequestLine,
    /// The target has none of the forms of RFC 9112, 3.2, or its method does not take that form.
    Target,
    /// A line ends with LF alone, or a CR stands without LF.
    LineEnd,
    /// A field has no name, a space before its colon, a control character, or goes on in the next
    /// line.
    Field,
    /// The head ends before its empty line, or goes on behind it.
    HeadEnd,
    /// HTTP/1.1 without Host, several of them, or one that cannot be a host (RFC 9112, 3.2).
    Host,
    /// `Content-Length` is not one number of at most 19 digits, or is there several times.
    ContentLength,
    /// The coding of the body is not `chunked`, once and last, or it came with HTTP/1.0.
    TransferEncoding,
    /// Both a `Content-Length` and a `Transfer-Encoding`: two ends for one body.
    TwoLengths,
    /// A chunk's line is not its size and perhaps an extension, or is too long.
    ChunkLine,
    /// The data of a chunk does not end where its size says.
    ChunkEnd,
    /// A field behind the last chunk is none.
    Trailer,
    /// The body is, or would be, longer than is taken.
    BodyTooLong,
    /// The chunks of a body are too small: there is more around it than in it.
    ChunksTooMany,
    /// The target is longer than is taken.
    TargetTooLong,
    /// An expectation other than `100-continue`.
    Expectation,
    /// The head is longer than is taken.
    HeadTooLong,
    /// There are more header fields than are taken.
    TooManyFields,
    /// What stands behind the last chunk is longer than is taken.
    TrailersTooLong,
    /// A transfer coding that exists, and that we do not decode.
    Coding,
    /// `CONNECT`: we are no proxy.
    Connect,
    /// A version of HTTP that is not 1.0 or 1.1.
    Version,
}

/// Every refusal, in the order of its numbers, with its status and its text.
const TABLE: [(Refusal, Status, &str); 22] = {
    use Status::*;
    [
        (Refusal::RequestLine, BadRequest, "not a request line"),
        (Refusal::Target, BadRequest, "not a target for this method"),
        (Refusal::LineEnd, BadRequest, "a line of the head does not end with CRLF"),
        (Refusal::Field, BadRequest, "not a header field"),
        (Refusal::HeadEnd, BadRequest, "not exactly one head"),
        (Refusal::Host, BadRequest, "not exactly one valid host"),
        (Refusal::ContentLength, BadRequest, "not exactly one content length"),
        (
            Refusal::TransferEncoding,
            BadRequest,
            "the transfer coding is not chunked, once and last",
        ),
        (Refusal::TwoLengths, BadRequest, "a content length and a transfer coding"),
        (Refusal::ChunkLine, BadRequest, "not a chunk size"),
        (Refusal::ChunkEnd, BadRequest, "a chunk does not end where its size says"),
        (Refusal::Trailer, BadRequest, "not a trailer field"),
        (Refusal::BodyTooLong, ContentTooLarge, "the body is too long"),
        (Refusal::ChunksTooMany, ContentTooLarge, "the chunks are too small for their number"),
        (Refusal::TargetTooLong, UriTooLong, "the target is too long"),
        (Refusal::Expectation, ExpectationFailed, "an unknown expectation"),
        (Refusal::HeadTooLong, RequestHeaderFieldsTooLarge, "the head is too long"),
        (Refusal::TooManyFields, RequestHeaderFieldsTooLarge, "too many header fields"),
        (Refusal::TrailersTooLong, RequestHeaderFieldsTooLarge, "the trailers are too long"),
        (Refusal::Coding, NotImplemented, "a transfer coding that is not supported"),
        (Refusal::Connect, NotImplemented, "the method CONNECT is not supported"),
        (Refusal::Version, HttpVersionNotSupported, "not HTTP/1.0 or HTTP/1.1"),
    ]
};

impl Refusal {
    /// What the peer is answered.
    pub fn status(self) -> Status {
        TABLE[self as usize].1
    }

    /// The text that stands for it in `Step::Malformed` and `CloseReason::Malformed`.
    pub fn text(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The refusal behind a text; `None` for one that is not from here.
    ///
    /// ```
    /// use readyloop_protocols::http::Refusal;
    ///
    /// let text = Refusal::TwoLengths.text();
    /// assert_eq!(Refusal::from_text(text), Some(Refusal::TwoLengths));
    /// ```
    pub fn from_text(text: &str) -> Option<Refusal> {
        let row = TABLE.iter().find(|(_, _, known)| *known == text);
        row.map(|(refusal, _, _)| *refusal)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_found_again_by_its_text() {
        for (nth, (refusal, status, text)) in TABLE.into_iter().enumerate() {
            assert_eq!(refusal as usize, nth, "{refusal:?} stands in the wrong row");
            assert_eq!(Refusal::from_text(text), Some(refusal), "a text stands for two");
            assert_eq!((refusal.status(), refusal.text()), (status, text));
        }
        assert_eq!(TABLE.len(), Refusal::Version as usize + 1, "a refusal has no row");
        assert_eq!(Refusal::from_text("anything else"), None);
    }
}
