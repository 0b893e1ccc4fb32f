//! What is where: a text at `/`, `/echo`, and files below `/static/`.
//!
//! A handful of targets, each spelled out: this is a service to see the server by, not a router.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use readyloop_protocols::http::{
    Answered, Date, Head, Request, Responder, Service, Status, parse_date,
};

use super::files::{Found, Root};

const TEXT: &[u8] = b"readyloop\n";

/// The service of one thread.
pub struct Site {
    root: Option<Arc<Root>>,
}

impl Site {
    /// Serves the files below this root, if there is one.
    pub fn new(root: Option<Arc<Root>>) -> Site {
        Site { root }
    }
}

impl Service for Site {
    type Content = File;

    fn answer(&mut self, request: &Request<'_>, responder: Responder<'_, '_, File>) -> Answered {
        let path = request.head.path();
        let reads = matches!(request.head.method(), "GET" | "HEAD");
        match (path, path.strip_prefix("/static/")) {
            ("/", _) if reads => {
                responder.begin(Status::Ok).header("Content-Type", "text/plain").send(TEXT)
            }
            ("/echo", _) => {
                let answer = responder.begin(Status::Ok);
                answer.header("Content-Type", "application/octet-stream").send(request.body)
            }
            ("*", _) => {
                let all = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
                responder.begin(Status::NoContent).header("Allow", all).send(b"")
            }
            (_, Some(file)) if reads => match self.root.as_ref().and_then(|root| root.find(file)) {
                Some(found) => send_file(request.head, found, responder),
                None => responder.refuse(Status::NotFound),
            },
            ("/", _) | (_, Some(_)) => {
                responder.begin(Status::MethodNotAllowed).header("Allow", "GET, HEAD").explain()
            }
            _ => responder.refuse(Status::NotFound),
        }
    }
}

fn send_file(head: &Head<'_>, found: Found, responder: Responder<'_, '_, File>) -> Answered {
    let mut modified = Date::default();
    let modified_text = modified.at(found.modified);
    if is_known(head, found.modified) {
        return responder
            .begin(Status::NotModified)
            .header("Last-Modified", modified_text)
            .send(b"");
    }
    let answer = responder.begin(Status::Ok).header("Last-Modified", modified_text);
    answer.header("Content-Type", found.content_type).stream(found.bytes, found.file)
}

/// Whether the peer has the file as it is, by the whole seconds that a date can spell.
/// `If-None-Match` is asked instead where it stands (RFC 9110, 13.1.3), and we have no tags.
fn is_known(head: &Head<'_>, modified: SystemTime) -> bool {
    if head.header("if-none-match").is_some() {
        return false;
    }
    let since = head.header("if-modified-since").and_then(parse_date);
    since.is_some_and(|since| whole_seconds(modified) <= whole_seconds(since))
}

fn whole_seconds(time: SystemTime) -> Duration {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(since.as_secs())
}
