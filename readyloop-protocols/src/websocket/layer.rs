//! The layer: from HTTP to messages to the handler behind, and back.
//!
//! Framer and handler of a session share nothing but the bytes, also because they may be on two
//! threads. Both see from the same head whether frames follow it.
//!
//! Invariant: a session has a header exactly while it is `Talking`, until its end is told.

use std::ops::{Bound, RangeBounds};

use readyloop::{
    Bytes, CloseReason, Context, Encoding, Framer, Handler, Header, HeaderBytes, Limits, Peer,
    SessionId, Step, TimerId,
};

use super::close::{self, Code};
use super::frames::{FIN, Frames};
use super::messages::{Kind, Opcode, Piece, Pieces};
use super::upgrade;
use crate::http::{
    Connection, Date, Head, Refusal, RequestLimits, Requests, Response, Status, Version,
};

/// Requests here have no bodies. Heads of browsers have less than 2 KiB, cookies included.
const REQUESTS: RequestLimits =
    RequestLimits { head_bytes_max: 16 << 10, target_bytes_max: 8 << 10, body_bytes_max: 0 };

static TEXT: Header = Header { head: |bytes| head(0x81, bytes), closing: &CLOSING };
static BINARY: Header = Header { head: |bytes| head(0x82, bytes), closing: &CLOSING };
static CLOSING: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// The header of a whole message of the server, which is not masked.
fn head(first: u8, bytes: usize) -> HeaderBytes {
    match bytes {
        0..126 => HeaderBytes::new(&[first, bytes as u8]),
        126..65_536 => {
            let [high, low] = (bytes as u16).to_be_bytes();
            HeaderBytes::new(&[first, 126, high, low])
        }
        _ => {
            let mut head = [first, 127, 0, 0, 0, 0, 0, 0, 0, 0];
            head[2..].copy_from_slice(&(bytes as u64).to_be_bytes());
            HeaderBytes::new(&head)
        }
    }
}

/// Something to look at with a browser.
#[derive(Clone, Debug)]
pub struct Page {
    path: String,
    content_type: String,
    body: Bytes,
    headers: Vec<(String, String)>,
}

impl Page {
    /// What a `GET` of `path`, percent-encoded as browsers do it, is answered.
    pub fn new(
        path: impl Into<String>,
        content_type: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Page {
        let (path, content_type) = (path.into(), content_type.into());
        Page { path, content_type, body: body.into(), headers: Vec::new() }
    }

    /// With one more field in its response.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Page {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// A handler whose peers speak WebSocket, around one that need not know it.
///
/// A message of the peer is one frame of the handler behind, whose own framer is not asked; each of
/// its sends is one message. It is opened when the peer has been accepted. When the peer says
/// goodbye, it is told of the end with [`CloseReason::PeerFinished`]; when it closes, the peer is
/// told so with code 1000.
///
/// ```no_run
/// use readyloop::{Context, Handler, Lines, Peer, Server};
/// use readyloop_protocols::websocket::{Kind, Page, WebSocket};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Framer = Lines;
///     type Session = ();
///     fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
///         (Lines::new(1024), ())
///     }
///     fn on_frame(&mut self, _: &mut (), message: &[u8], context: &mut Context<'_>) {
///         context.send(message);
///     }
/// }
///
/// // Lines at the first address, messages at the second one, with a page to try them.
/// let script = "<script>new WebSocket('/ws').onopen = e => e.target.send('hello')</script>";
/// let page = Page::new("/", "text/html", script);
/// Server::builder().listen("127.0.0.1:7000").listen("127.0.0.1:7080").run(move |_thread| {
///     WebSocket::new(Echo, Kind::Text).path("/ws").page(page.clone()).listeners(1..)
/// })?;
/// # Ok::<(), readyloop::Error>(())
/// ```
#[derive(Debug)]
pub struct WebSocket<H> {
    inner: H,
    kind: Kind,
    path: String,
    message_bytes_max: usize,
    listeners: (Bound<usize>, Bound<usize>),
    any_origin: bool,
    pages: Vec<Page>,
    date: Date,
    /// Where responses are written.
    out: Vec<u8>,
}

impl<H> WebSocket<H> {
    /// A layer around `inner`, whose messages are of this kind; of the other kind none are taken.
    pub fn new(inner: H, kind: Kind) -> WebSocket<H> {
        WebSocket {
            inner,
            kind,
            path: "/".to_string(),
            message_bytes_max: Limits::default().frame_bytes_max / 2,
            listeners: (Bound::Unbounded, Bound::Unbounded),
            any_origin: false,
            pages: Vec::new(),
            date: Date::default(),
            out: Vec::new(),
        }
    }

    /// Where WebSocket begins; `/` if nothing else is said.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> WebSocket<H> {
        self.path = path.into();
        self
    }

    /// The longest message in bytes; 8 MiB if nothing else is said. Frames may be no longer than
    /// `Limits::frame_bytes_max` either, their headers included.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> WebSocket<H> {
        self.message_bytes_max = bytes;
        self
    }

    /// The listeners whose callers speak WebSocket, by their numbers in the order of
    /// `Builder::listen`; all if nothing else is said. The others, and peers that were dialled,
    /// speak with the handler behind.
    #[must_use]
    pub fn listeners(mut self, numbers: impl RangeBounds<usize>) -> WebSocket<H> {
        self.listeners = (numbers.start_bound().cloned(), numbers.end_bound().cloned());
        self
    }

    /// Lets pages of any site connect. If this is not said, a browser may only come from a page of
    /// the host that it connects to (RFC 6455, section 10.2).
    #[must_use]
    pub fn any_origin(mut self) -> WebSocket<H> {
        self.any_origin = true;
        self
    }

    /// One more page to look at.
    #[must_use]
    pub fn page(mut self, page: Page) -> WebSocket<H> {
        self.pages.push(page);
        self
    }

    fn is_for(&self, peer: &Peer) -> bool {
        peer.listener.is_some_and(|number| self.listeners.contains(&number))
    }

    /// A request: for WebSocket, or for a page.
    fn greet<M>(
        &mut self,
        session: &mut Session<H::Session>,
        bytes: &[u8],
        context: &mut Context<'_>,
    ) where
        H: Handler<M>,
    {
        let State::Greeting(peer) = &session.0 else { return };
        self.out.clear();
        let head = match Head::parse(bytes) {
            Ok(head) => head,
            Err(refusal) => return self.refuse(refusal.status(), context),
        };
        if !upgrade::is_asked_for(&head) {
            return self.show(&head, context);
        }
        if head.path() != self.path {
            return self.refuse(Status::NotFound, context);
        }
        match upgrade::accept(&head, self.any_origin) {
            Err(status) => self.refuse(status, context),
            Ok(proof) => {
                upgrade::write_accepted(&mut self.out, &proof);
                context.send(&self.out);
                context.set_encoding(Encoding::header(match self.kind {
                    Kind::Text => &TEXT,
                    Kind::Binary => &BINARY,
                }));
                let (_, inner) = self.inner.on_open(peer, context);
                session.0 = State::Talking(Talk { inner, pieces: Pieces::default(), ended: None });
            }
        }
    }

    fn refuse(&mut self, status: Status, context: &mut Context<'_>) {
        self.out.clear();
        let mut response = Response::new(&mut self.out, status);
        response.date(&mut self.date).connection(Connection::Close);
        upgrade::write_hints(&mut response, status);
        response.header("Content-Type", "text/plain");
        response.body(format!("{}\n", status.code()).as_bytes());
        context.send(&self.out);
        context.close();
    }

    fn show(&mut self, head: &Head<'_>, context: &mut Context<'_>) {
        if !matches!(head.method(), "GET" | "HEAD") || head.body() != crate::http::Body::None {
            return self.refuse(Status::MethodNotAllowed, context);
        }
        let Some(page) = self.pages.iter().find(|page| page.path == head.path()) else {
            let is_here = head.path() == self.path;
            let status = if is_here { Status::UpgradeRequired } else { Status::NotFound };
            return self.refuse(status, context);
        };
        let connection = match head.version() {
            _ if !head.keeps_alive() => Connection::Close,
            Version::Http10 => Connection::KeepAlive,
            Version::Http11 => Connection::Default,
        };
        let mut response = Response::new(&mut self.out, Status::Ok);
        response.date(&mut self.date).connection(connection);
        response.header("Content-Type", &page.content_type);
        for (name, value) in &page.headers {
            response.header(name, value);
        }
        response.content_length(page.body.len() as u64).end();
        context.send(&self.out);
        if head.method() == "GET" {
            context.send_shared(page.body.clone());
        }
        if connection == Connection::Close {
            context.close();
        }
    }

    /// A frame, which the framer has checked: a message for the handler behind, a piece of one, or a matter of the protocol.
    fn hear<M>(&mut self, talk: &mut Talk<H::Session>, frame: &[u8], context: &mut Context<'_>)
    where
        H: Handler<M>,
    {
        let Some(opcode) = Opcode::of(frame[0]) else { return };
        match opcode {
            Opcode::Ping => {
                let payload = &frame[1..];
                let pong = [&[FIN | 0x0a, payload.len() as u8], payload].concat();
                context.send_bare(&pong);
            }
            Opcode::Pong => {}
            Opcode::Close => {
                talk.end(close::answer_to(&frame[1..]), CloseReason::PeerFinished, context);
            }
            Opcode::Continuation | Opcode::Data(_) => {
                match talk.pieces.take(self.kind, self.message_bytes_max, opcode, frame) {
                    Ok(Piece::More) => {}
                    Ok(Piece::Alone) => self.inner.on_frame(&mut talk.inner, &frame[1..], context),
                    Ok(Piece::Last(message)) => {
                        self.inner.on_frame(&mut talk.inner, &message, context);
                    }
                    Err(code) => talk.end(code, code.reason(), context),
                }
            }
        }
    }
}

/// A session of a [`WebSocket`], with that of the handler behind.
#[derive(Debug)]
pub struct Session<S>(State<S>);

#[derive(Debug)]
enum State<S> {
    /// It does not speak WebSocket.
    Plain(S),
    /// It speaks HTTP so far.
    Greeting(Peer),
    /// It speaks WebSocket.
    Talking(Talk<S>),
}

#[derive(Debug)]
struct Talk<S> {
    inner: S,
    pieces: Pieces,
    /// Why the peer has been told that this is the end, if it was.
    ended: Option<CloseReason>,
}

impl<S> Talk<S> {
    /// Says goodbye, as an answer to the peer's own or of our own accord.
    fn end(&mut self, code: Code, reason: CloseReason, context: &mut Context<'_>) {
        self.ended = Some(reason);
        say_goodbye(code, context);
        context.close();
    }
}

/// Instead of the header's closing bytes.
fn say_goodbye(code: Code, context: &mut Context<'_>) {
    context.send_bare(&code.frame());
    context.set_encoding(Encoding::NONE);
}

impl<S> Session<S> {
    /// The session of the handler behind, if it has been opened.
    fn inner(&mut self) -> Option<&mut S> {
        match &mut self.0 {
            State::Plain(inner) => Some(inner),
            State::Greeting(_) => None,
            State::Talking(talk) => Some(&mut talk.inner),
        }
    }
}

/// The framer of a [`WebSocket`]: of the handler behind, or of its own.
#[derive(Clone, Debug)]
pub enum Door<F> {
    /// The framer of the handler behind.
    Plain(F),
    /// Requests, and then frames.
    Web(Web),
}

/// Cuts requests, and behind one that asks for WebSocket its frames.
#[derive(Clone, Debug)]
pub struct Web {
    message_bytes_max: usize,
    stage: Stage,
}

#[derive(Clone, Debug)]
enum Stage {
    Requests(Requests),
    Frames(Frames),
}

impl<F: Framer> Framer for Door<F> {
    fn next(&mut self, input: &mut [u8]) -> Step {
        match self {
            Door::Plain(framer) => framer.next(input),
            Door::Web(web) => web.next(input),
        }
    }
}

impl Framer for Web {
    fn next(&mut self, input: &mut [u8]) -> Step {
        match &mut self.stage {
            Stage::Frames(frames) => frames.next(input),
            Stage::Requests(requests) => {
                let step = requests.next(input);
                if let Step::Frame { frame, .. } = &step
                    && let Ok(head) = Head::parse(&input[frame.clone()])
                    && upgrade::is_asked_for(&head)
                {
                    self.stage = Stage::Frames(Frames::new(self.message_bytes_max));
                }
                step
            }
        }
    }
}

impl<M, H: Handler<M>> Handler<M> for WebSocket<H> {
    type Framer = Door<H::Framer>;
    type Session = Session<H::Session>;

    fn on_start(&mut self, context: &mut Context<'_>) {
        self.inner.on_start(context);
    }

    fn on_open(&mut self, peer: &Peer, context: &mut Context<'_>) -> (Self::Framer, Self::Session) {
        if !self.is_for(peer) {
            let (framer, inner) = self.inner.on_open(peer, context);
            return (Door::Plain(framer), Session(State::Plain(inner)));
        }
        let stage = Stage::Requests(Requests::new(REQUESTS));
        let web = Web { message_bytes_max: self.message_bytes_max, stage };
        (Door::Web(web), Session(State::Greeting(peer.clone())))
    }

    fn on_frame(&mut self, session: &mut Self::Session, frame: &[u8], context: &mut Context<'_>) {
        match &mut session.0 {
            State::Plain(inner) => self.inner.on_frame(inner, frame, context),
            State::Talking(talk) => self.hear(talk, frame, context),
            State::Greeting(_) => self.greet(session, frame, context),
        }
    }

    fn on_timer(&mut self, session: &mut Self::Session, timer: TimerId, context: &mut Context<'_>) {
        if let Some(inner) = session.inner() {
            self.inner.on_timer(inner, timer, context);
        }
    }

    fn on_message(&mut self, session: &mut Self::Session, message: M, context: &mut Context<'_>) {
        if let Some(inner) = session.inner() {
            self.inner.on_message(inner, message, context);
        }
    }

    fn on_drained(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        if let Some(inner) = session.inner() {
            self.inner.on_drained(inner, context);
        }
    }

    fn on_peer_finished(&mut self, session: &mut Self::Session, context: &mut Context<'_>) {
        match session.inner() {
            Some(inner) => self.inner.on_peer_finished(inner, context),
            None => context.close(),
        }
    }

    fn on_closing(
        &mut self,
        session: &mut Self::Session,
        reason: CloseReason,
        context: &mut Context<'_>,
    ) {
        if let Some(inner) = session.inner() {
            self.inner.on_closing(inner, reason, context);
        }
        match (&mut session.0, reason) {
            (State::Talking(_), _) => say_goodbye(Code::of(reason), context),
            (State::Greeting(_), CloseReason::Malformed(text)) => {
                let refusal = Refusal::from_text(text);
                self.refuse(refusal.map_or(Status::BadRequest, Refusal::status), context);
            }
            (State::Greeting(_), CloseReason::FrameTooLong) => {
                self.refuse(Status::RequestHeaderFieldsTooLarge, context);
            }
            _ => {}
        }
    }

    fn on_close(&mut self, session: Self::Session, reason: CloseReason, context: &mut Context<'_>) {
        match session.0 {
            State::Plain(inner) => self.inner.on_close(inner, reason, context),
            State::Greeting(_) => {}
            State::Talking(Talk { inner, ended, .. }) => {
                let reason = match (reason, ended) {
                    (CloseReason::Closed, Some(ended)) => ended,
                    _ => reason,
                };
                self.inner.on_close(inner, reason, context);
            }
        }
    }

    fn on_connect_failed(&mut self, id: SessionId, reason: CloseReason, context: &mut Context<'_>) {
        self.inner.on_connect_failed(id, reason, context);
    }
}

#[cfg(test)]
mod tests {
    use readyloop::framers::walk::{self, End, Walked};

    use super::*;

    #[test]
    fn frames_follow_the_request_that_asks_for_them_however_it_is_cut() {
        let page: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let upgrade: &[u8] =
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
        let stream = [page, upgrade, b"\x81\x82\0\0\0\0hi\x82"].concat();
        let web = || Web { message_bytes_max: 10, stage: Stage::Requests(Requests::new(REQUESTS)) };
        let expected = Walked::new(&[page, upgrade, b"\x81hi"], End::Waiting { left: 1 });
        assert_eq!(walk::every_split(web, &stream), expected);
    }

    #[test]
    fn a_message_has_the_shortest_header_that_can_spell_it() {
        let cases: [(usize, &[u8]); 6] = [
            (0, b"\x81\0"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\0\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\0\0\0\0\0\x01\0\0"),
            (1 << 32, b"\x81\x7f\0\0\0\x01\0\0\0\0"),
        ];
        for (bytes, expected) in cases {
            assert_eq!((TEXT.head)(bytes).as_slice(), expected, "{bytes}");
        }
        assert_eq!((BINARY.head)(1).as_slice(), b"\x82\x01");
        assert_eq!(CLOSING, Code::NORMAL.frame());
    }
}
