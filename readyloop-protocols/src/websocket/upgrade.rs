//! The beginning: an HTTP request that asks for WebSocket, and what it is answered (RFC 6455,
//! section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::http::{Body, Head, Response, Status, Version};

/// Joined to the client's key, so that only a server that knows WebSocket gives the right answer.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const VERSION: &str = "13";
const KEY_BYTES: usize = 16;

/// Whether a request asks for WebSocket; if so, what follows it are frames, or nothing.
pub(super) fn is_asked_for(head: &Head<'_>) -> bool {
    head.method() == "GET"
        && head.version() == Version::Http11
        && head.lists("connection", "upgrade")
        && head.lists("upgrade", "websocket")
}

/// The proof that we have understood, or why we refuse.
pub(super) fn accept(head: &Head<'_>, any_origin: bool) -> Result<String, Status> {
    if head.body() != Body::None {
        return Err(Status::BadRequest);
    }
    if head.header("sec-websocket-version") != Some(VERSION.as_bytes()) {
        return Err(Status::UpgradeRequired);
    }
    if !any_origin && !is_from_here(head) {
        return Err(Status::Forbidden);
    }
    let mut keys =
        head.headers().filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) if is_key(key) => Ok(proof(key)),
        _ => Err(Status::BadRequest),
    }
}

/// Writes the answer to a request that is accepted.
pub(super) fn write_accepted(out: &mut Vec<u8>, proof: &str) {
    let mut response = Response::new(out, Status::SwitchingProtocols);
    response
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Accept", proof);
    response.end();
}

/// What else a refusal says.
pub(super) fn write_hints(response: &mut Response<'_>, status: Status) {
    if status == Status::UpgradeRequired {
        response.header("Upgrade", "websocket").header("Sec-WebSocket-Version", VERSION);
    }
}

fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == KEY_BYTES)
}

fn proof(key: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID.as_bytes());
    STANDARD.encode(hash.digest().bytes())
}

/// A browser says which page opens the connection. Pages of other sites may not: with the visitor's
/// address, and whatever it may reach, they would speak in his name (RFC 6455, section 10.2). Who
/// is no browser says nothing, or what he likes.
fn is_from_here(head: &Head<'_>) -> bool {
    let Some(origin) = head.header("origin") else { return true };
    let host = head.header("host").unwrap_or_default();
    let at = origin.windows(3).position(|piece| piece == b"://");
    at.is_some_and(|at| origin[at + 3..].eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const ASKING: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    const VERSION_13: &str = "Sec-WebSocket-Version: 13\r\n";

    fn request(line: &str, fields: &[&str]) -> String {
        format!("{line}\r\nHost: example.org:80\r\n{}\r\n", fields.concat())
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let text = request("GET /chat HTTP/1.1", &[ASKING, VERSION_13, KEY]);
        let head = Head::parse(text.as_bytes()).unwrap();
        assert!(is_asked_for(&head));
        assert_eq!(accept(&head, false), Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_string()));
    }

    #[test]
    fn what_lacks_something_is_another_request() {
        let cases = [
            request("POST / HTTP/1.1", &[ASKING]),
            request("GET / HTTP/1.0", &[ASKING]),
            request("GET / HTTP/1.1", &["Upgrade: websocket\r\n"]),
            request("GET / HTTP/1.1", &["Connection: Upgrade\r\n"]),
            request("GET / HTTP/1.1", &["Connection: Upgrade\r\nUpgrade: h2c\r\n"]),
        ];
        for text in cases {
            assert!(!is_asked_for(&Head::parse(text.as_bytes()).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wrong() {
        let cases = [
            ([VERSION_13, "Content-Length: 1\r\n", KEY], Status::BadRequest),
            (["", KEY, ""], Status::UpgradeRequired),
            (["Sec-WebSocket-Version: 8\r\n", KEY, ""], Status::UpgradeRequired),
            ([VERSION_13, "", ""], Status::BadRequest),
            ([VERSION_13, KEY, KEY], Status::BadRequest),
            ([VERSION_13, "Sec-WebSocket-Key: c2hvcnQ=\r\n", ""], Status::BadRequest),
            ([VERSION_13, "Sec-WebSocket-Key: no base64!!\r\n", ""], Status::BadRequest),
        ];
        for (fields, status) in cases {
            let text = request("GET / HTTP/1.1", &[ASKING, fields[0], fields[1], fields[2]]);
            let head = Head::parse(text.as_bytes()).unwrap();
            assert_eq!(accept(&head, false), Err(status), "{text}");
        }
    }

    #[test]
    fn only_pages_from_here_may_connect_unless_all_may() {
        let cases = [
            ("http://example.org:80", true),
            ("https://EXAMPLE.org:80", true),
            ("http://example.org", false),
            ("http://example.org:80.evil.org", false),
            ("http://evil.org/example.org:80", false),
            ("null", false),
        ];
        for (origin, may) in cases {
            let origin = format!("Origin: {origin}\r\n");
            let text = request("GET / HTTP/1.1", &[ASKING, VERSION_13, KEY, &origin]);
            let head = Head::parse(text.as_bytes()).unwrap();
            let refused = accept(&head, false).err();
            assert_eq!(refused, (!may).then_some(Status::Forbidden), "{origin}");
            assert!(accept(&head, true).is_ok());
        }
    }
}
