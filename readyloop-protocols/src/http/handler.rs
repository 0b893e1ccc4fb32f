//! The handler behind every HTTP connection: requests in, a service's answers out, in their order.
//!
//! It knows when a connection stays open, what a refusal is answered with, and how long content
//! leaves piece by piece while later requests wait. What is answered is the service's business.
//!
//! Invariants: while content is on its way, no other answer is begun; after `Ended`, nothing is
//! sent. Frames that wait are those that a worker was handed together with the one whose content is
//! on its way, so `Limits::lane_bytes_max` bounds them.

use std::io::{self, ErrorKind, Read};
use std::time::SystemTime;

use readyloop::{CloseReason, Context, Handler, Now, Peer};

use crate::Waiting;

use super::head::KeptHead;
use super::service::Rest;
use super::{
    Begun, Body, Connection, Date, Head, Refusal, Request, RequestLimits, Requests, Responder,
    Response, Service, Status, Version,
};

/// Content leaves in pieces of so many bytes: as much as a receive buffer, and as the low mark.
const PIECE_BYTES: usize = 64 << 10;
/// A peer whose queue is longer than this, in bytes, gets no further answer before it has taken
/// some of it.
const QUEUED_BYTES_MAX: usize = 256 << 10;
/// What may be queued for a session when it is closed by the reactor, in bytes: content that would
/// make it more is cut short, of which its peer knows by the length that was promised.
const LAST_BYTES_MAX: u64 = 1 << 20;
/// Kept heads that wait for their next use, and how long each may be, in bytes.
const SPARE_HEADS_MAX: usize = 64;
const SPARE_HEAD_BYTES_MAX: usize = 4096;

/// A handler that answers HTTP/1.1 and HTTP/1.0 requests by a [`Service`].
///
/// ```no_run
/// use std::io::Empty;
/// use readyloop::Server;
/// use readyloop_protocols::http::{
///     Answered, Http, Request, RequestLimits, Responder, Service, Status,
/// };
///
/// struct Hello;
///
/// impl Service for Hello {
///     type Content = Empty;
///     fn answer(&mut self, _: &Request<'_>, responder: Responder<'_, '_, Empty>) -> Answered {
///         responder.begin(Status::Ok).send(b"hello\n")
///     }
/// }
///
/// fn main() -> readyloop::Result<()> {
///     let limits = RequestLimits::default();
///     Server::builder().listen("127.0.0.1:8080").run(|_thread| Http::new(Hello, limits))
/// }
/// ```
#[derive(Debug)]
pub struct Http<S> {
    service: S,
    limits: RequestLimits,
    date: Date,
    /// When `date` was last looked after.
    answered: Option<Now>,
    /// Where answers are written; empty between two of them.
    out: Vec<u8>,
    #[expect(clippy::vec_box, reason = "a session holds the box, and gives it back")]
    spare: Vec<Box<KeptHead>>,
}

/// One connection: how far its exchange of requests and answers has come.
#[derive(Debug)]
pub struct Exchange<C> {
    stage: Stage<C>,
    begun: Begun,
}

#[derive(Debug)]
enum Stage<C> {
    /// A request may come.
    Ready,
    /// The body of this request is to come.
    Body(Box<KeptHead>),
    /// An answer is on its way; requests wait.
    Sending(Box<Sending<C>>),
    /// The last answer was given.
    Ended,
}

#[derive(Debug)]
struct Sending<C> {
    /// What is still to be sent, and how many bytes of it; none if only the queue is too long.
    content: Option<(u64, C)>,
    closes: bool,
    peer_finished: bool,
    waiting: Waiting,
}

impl<S: Service> Http<S> {
    /// Answers by this service requests within these limits. `Limits::frame_bytes_max` should be
    /// at least [`RequestLimits::frame_bytes_max`].
    pub fn new(service: S, limits: RequestLimits) -> Http<S> {
        let (out, spare) = (Vec::new(), Vec::new());
        Http { service, limits, date: Date::default(), answered: None, out, spare }
    }

    fn head(
        &mut self,
        bytes: &[u8],
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        let Some(head) = Head::reread(bytes) else {
            debug_assert!(false, "the framer has read this head");
            return self.end_with(Status::BadRequest, exchange, context);
        };
        if head.body() == Body::None {
            return self.answer(&Request { head: &head, body: &[] }, exchange, context);
        }
        let mut kept = self.spare.pop().unwrap_or_default();
        kept.keep(&head, bytes);
        exchange.stage = Stage::Body(kept);
        if head.expects_continue() {
            context.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn body(
        &mut self,
        kept: Box<KeptHead>,
        body: &[u8],
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        if let Some(head) = kept.head() {
            self.answer(&Request { head: &head, body }, exchange, context);
        }
        if self.spare.len() < SPARE_HEADS_MAX && kept.capacity() <= SPARE_HEAD_BYTES_MAX {
            self.spare.push(kept);
        }
    }

    fn answer(
        &mut self,
        request: &Request<'_>,
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        let connection = match (request.head.keeps_alive(), request.head.version()) {
            (false, _) => Connection::Close,
            (true, Version::Http10) => Connection::KeepAlive,
            (true, Version::Http11) => Connection::Default,
        };
        self.out.clear();
        // The clock is asked once for all that is answered at one time.
        if self.answered != Some(context.now()) {
            self.answered = Some(context.now());
            self.date.at(SystemTime::now());
        }
        let mut rest = Rest::Nothing;
        let responder = Responder {
            context,
            out: &mut self.out,
            date: &self.date,
            connection,
            is_head: request.head.method() == "HEAD",
            rest: &mut rest,
        };
        self.service.answer(request, responder);
        let closes = connection == Connection::Close;
        match rest {
            Rest::Nothing => finish(closes, exchange, context),
            Rest::Queue => self.go_on(None, closes, exchange, context),
            Rest::Content(bytes, content) => {
                self.go_on(Some((bytes, content)), closes, exchange, context);
            }
        }
    }

    /// Sends the first piece of a long answer, and sees to the rest.
    fn go_on(
        &mut self,
        mut content: Option<(u64, S::Content)>,
        closes: bool,
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        match send_piece(&mut self.out, &mut content, context) {
            Err(_) => cut_off(exchange, context),
            Ok(()) if content.is_none() && context.queued_bytes() <= QUEUED_BYTES_MAX => {
                finish(closes, exchange, context);
            }
            Ok(()) => {
                let waiting = Waiting::default();
                let sending = Sending { content, closes, peer_finished: false, waiting };
                exchange.stage = Stage::Sending(Box::new(sending));
                context.pause_until_drained();
            }
        }
    }

    /// The peer has taken what was sent: sends the next piece, or goes on with what waits.
    fn send_on(
        &mut self,
        mut sending: Box<Sending<S::Content>>,
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        self.out.clear();
        if sending.content.is_some() {
            if send_piece(&mut self.out, &mut sending.content, context).is_err() {
                return cut_off(exchange, context);
            }
            // Also behind the last piece: who waits is answered when it has left.
            exchange.stage = Stage::Sending(sending);
            context.pause_until_drained();
            return;
        }
        finish(sending.closes, exchange, context);
        let Sending { peer_finished, mut waiting, .. } = *sending;
        while let Some(frame) = waiting.next() {
            self.frame(frame, exchange, context);
            if let Stage::Sending(next) = &mut exchange.stage {
                (next.peer_finished, next.waiting) = (peer_finished, waiting);
                return;
            }
        }
        if peer_finished {
            self.on_peer_finished(exchange, context);
        }
    }

    fn frame(
        &mut self,
        frame: &[u8],
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        match &mut exchange.stage {
            Stage::Ready => self.head(frame, exchange, context),
            Stage::Body(_) => {
                if let Stage::Body(kept) = std::mem::replace(&mut exchange.stage, Stage::Ready) {
                    self.body(kept, frame, exchange, context);
                }
            }
            Stage::Sending(sending) => sending.waiting.push(frame),
            Stage::Ended => {}
        }
    }

    /// Sends what is on its way and answers what waits, as far as that is not too much.
    fn hurry(&mut self, exchange: &mut Exchange<S::Content>, context: &mut Context<'_>) -> bool {
        while let Stage::Sending(sending) = &exchange.stage {
            let left = sending.content.as_ref().map_or(0, |(bytes, _)| *bytes);
            if left + context.queued_bytes() as u64 > LAST_BYTES_MAX {
                return false;
            }
            self.on_drained(exchange, context);
        }
        !matches!(exchange.stage, Stage::Ended)
    }

    /// Answers with an error, without a request that could be trusted, and closes.
    #[cold]
    fn end_with(
        &mut self,
        status: Status,
        exchange: &mut Exchange<S::Content>,
        context: &mut Context<'_>,
    ) {
        self.out.clear();
        let mut response = Response::new(&mut self.out, status);
        response.date(&mut self.date).connection(Connection::Close);
        response.header("Content-Type", "text/plain").body(status.reason().as_bytes());
        context.send(&self.out);
        exchange.stage = Stage::Ended;
        context.close();
    }
}

/// An answer was given whole.
#[inline]
fn finish<C>(closes: bool, exchange: &mut Exchange<C>, context: &mut Context<'_>) {
    if closes {
        exchange.stage = Stage::Ended;
        context.close();
    } else {
        exchange.stage = Stage::Ready;
    }
}

/// The content is not what was promised: nothing but a reset tells that to the peer for sure.
#[cold]
fn cut_off<C>(exchange: &mut Exchange<C>, context: &mut Context<'_>) {
    exchange.stage = Stage::Ended;
    context.abort();
}

/// Sends what is in `out`, and behind it the next piece of the content; when there is no more of
/// it, it is `None`.
fn send_piece<C: Read>(
    out: &mut Vec<u8>,
    content: &mut Option<(u64, C)>,
    context: &mut Context<'_>,
) -> io::Result<()> {
    let Some((left, source)) = content else { return Ok(()) };
    let piece = (PIECE_BYTES as u64).min(*left);
    out.reserve(piece as usize);
    let came = source.take(piece).read_to_end(out)? as u64;
    if came < piece {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    context.send(out);
    *left -= piece;
    if *left == 0 {
        *content = None;
    }
    Ok(())
}

impl<S: Service> Handler for Http<S> {
    type Framer = Requests;
    type Session = Exchange<S::Content>;

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Requests, Exchange<S::Content>) {
        let mut requests = Requests::new(self.limits);
        let exchange = Exchange { stage: Stage::Ready, begun: requests.begun() };
        (requests, exchange)
    }

    #[inline]
    fn on_frame(
        &mut self,
        exchange: &mut Exchange<S::Content>,
        frame: &[u8],
        context: &mut Context<'_>,
    ) {
        self.frame(frame, exchange, context);
    }

    fn on_drained(&mut self, exchange: &mut Exchange<S::Content>, context: &mut Context<'_>) {
        if matches!(exchange.stage, Stage::Sending(_))
            && let Stage::Sending(sending) = std::mem::replace(&mut exchange.stage, Stage::Ready)
        {
            self.send_on(sending, exchange, context);
        }
    }

    /// A request that was cut off has nobody to answer; whoever only said all that he had to say
    /// gets his answers first.
    fn on_peer_finished(&mut self, exchange: &mut Exchange<S::Content>, context: &mut Context<'_>) {
        match &mut exchange.stage {
            Stage::Sending(sending) => sending.peer_finished = true,
            Stage::Ready | Stage::Body(_) | Stage::Ended => context.close(),
        }
    }

    fn on_closing(
        &mut self,
        exchange: &mut Exchange<S::Content>,
        reason: CloseReason,
        context: &mut Context<'_>,
    ) {
        if !self.hurry(exchange, context) {
            exchange.stage = Stage::Ended;
            return;
        }
        let awaits_body = matches!(exchange.stage, Stage::Body(_));
        let has_begun = awaits_body || exchange.begun.get();
        let status = match reason {
            CloseReason::Malformed(text) => {
                Refusal::from_text(text).map_or(Status::BadRequest, Refusal::status)
            }
            CloseReason::FrameTooLong if awaits_body => Status::ContentTooLarge,
            CloseReason::FrameTooLong => Status::RequestHeaderFieldsTooLarge,
            CloseReason::IdleTimeout | CloseReason::HandshakeTimeout if has_begun => {
                Status::RequestTimeout
            }
            CloseReason::Stopped if has_begun => Status::ServiceUnavailable,
            _ => return,
        };
        self.end_with(status, exchange, context);
    }
}

#[cfg(test)]
mod tests;
