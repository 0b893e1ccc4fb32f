//! What a user of HTTP writes: a service that answers one request at a time.
//!
//! A service is given a whole request and a responder, and must give back the proof that it has
//! used it: a request without an answer does not compile. It knows nothing of connections; those
//! are [`Http`]'s.
//!
//! Invariant: an answer goes to the session in one send, unless its content is long.
//!
//! [`Http`]: super::Http

use std::io::Read;

use readyloop::Context;

use super::{Connection, Date, Head, Response, Status};

/// Content up to this many bytes is copied behind the head, so that both are one send; longer
/// content is worth a send of its own.
const JOINED_BYTES_MAX: usize = 16 << 10;
/// From so many bytes on, an answer counts as long: a peer that asks for many of them without
/// reading is made to wait.
const LONG_BYTES_MIN: usize = 1024;

/// Answers requests. One instance for each thread that runs handlers.
///
/// ```
/// use std::io::Empty;
/// use readyloop_protocols::http::{Answered, Request, Responder, Service, Status};
///
/// struct Hello;
///
/// impl Service for Hello {
///     type Content = Empty;
///     fn answer(&mut self, request: &Request<'_>, responder: Responder<'_, '_, Empty>) -> Answered {
///         match request.head.path() {
///             "/" => {
///                 let answer = responder.begin(Status::Ok).header("Content-Type", "text/plain");
///                 answer.send(b"hello\n")
///             }
///             _ => responder.refuse(Status::NotFound),
///         }
///     }
/// }
/// ```
pub trait Service {
    /// Long content that is read piece by piece while it is sent: a file. `std::io::Empty` for a
    /// service that has none. It is read on a thread that serves others too, so a read should not
    /// take long.
    type Content: Read + Send;

    /// Answers a request, at once.
    fn answer(
        &mut self,
        request: &Request<'_>,
        responder: Responder<'_, '_, Self::Content>,
    ) -> Answered;
}

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its head.
    pub head: &'a Head<'a>,
    /// Its body, out of its chunks; empty if it has none.
    pub body: &'a [u8],
}

/// The proof that a request was answered.
#[derive(Debug)]
pub struct Answered(());

/// What is left to do when a service has answered.
#[derive(Debug)]
pub(super) enum Rest<C> {
    /// Nothing.
    Nothing,
    /// The answer was long; the queue may be too.
    Queue,
    /// So many bytes of this must be sent behind the head, which was written but not sent.
    Content(u64, C),
}

/// The way to answer one request.
pub struct Responder<'r, 'c, C> {
    pub(super) context: &'r mut Context<'c>,
    pub(super) out: &'r mut Vec<u8>,
    pub(super) date: &'r Date,
    pub(super) connection: Connection,
    /// The request was `HEAD`: its answer has no content, whatever it says.
    pub(super) is_head: bool,
    pub(super) rest: &'r mut Rest<C>,
}

impl<'r, 'c, C> Responder<'r, 'c, C> {
    /// Begins an answer with this status.
    pub fn begin(self, status: Status) -> Answer<'r, 'c, C> {
        let mut response = Response::new(self.out, status);
        response.date_as_it_is(self.date).connection(self.connection);
        Answer { responder: self, status }
    }

    /// Answers with this status, and its name as the text.
    pub fn refuse(self, status: Status) -> Answered {
        self.begin(status).explain()
    }
}

/// An answer that has begun.
#[must_use = "an answer is given with `send`, `stream`, or `explain`"]
pub struct Answer<'r, 'c, C> {
    responder: Responder<'r, 'c, C>,
    status: Status,
}

impl<C> Answer<'_, '_, C> {
    /// Adds a field. Length, date, server and connection are not for services to write.
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        Response::resume(self.responder.out).header(name, value);
        self
    }

    /// Sends it, with this content.
    pub fn send(self, content: &[u8]) -> Answered {
        let Responder { context, out, is_head, rest, .. } = self.responder;
        let mut response = Response::resume(out);
        if !self.status.has_no_content() {
            response.content_length(content.len() as u64);
        }
        response.end();
        let content = if is_head || self.status.has_no_content() { &[][..] } else { content };
        if content.len() >= LONG_BYTES_MIN {
            *rest = Rest::Queue;
        }
        if content.len() <= JOINED_BYTES_MAX {
            out.extend_from_slice(content);
            context.send(out);
        } else {
            context.send(out);
            context.send(content);
        }
        Answered(())
    }

    /// Sends it, with the name of its status as the text.
    pub fn explain(self) -> Answered {
        let status = self.status;
        let answer = self.header("Content-Type", "text/plain");
        answer.send(status.reason().as_bytes())
    }

    /// Sends it, with the first `bytes` bytes of this content, piece by piece as the peer takes
    /// them. If there are fewer, the session is aborted: its peer was promised more.
    pub fn stream(self, bytes: u64, content: C) -> Answered {
        let Responder { context, out, is_head, rest, .. } = self.responder;
        let mut response = Response::resume(out);
        response.content_length(bytes).end();
        if is_head {
            context.send(out);
        } else {
            *rest = Rest::Content(bytes, content);
        }
        Answered(())
    }
}
