//! Connections in the simulator: what a peer reads, byte by byte, and when.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Net, Sim};
use readyloop::{Inline, Limits, Reactor, Setup, Trigger};

use super::*;
use crate::http::{Answered, cases};

/// `/` is a text, `/echo` the body, `/long/N` N bytes of content, `/lie` less than it promises.
struct Site;

impl Service for Site {
    type Content = Counted;

    fn answer(
        &mut self,
        request: &Request<'_>,
        responder: Responder<'_, '_, Self::Content>,
    ) -> Answered {
        let path = request.head.path();
        match path {
            "/" => responder.begin(Status::Ok).header("X", "y").send(b"text"),
            "/echo" => responder.begin(Status::Ok).send(request.body),
            "/lie" => responder.begin(Status::Ok).stream(100, Counted(99)),
            _ => match path.strip_prefix("/long/").map(str::parse) {
                Some(Ok(bytes)) => responder.begin(Status::Ok).stream(bytes, Counted(bytes)),
                _ => responder.refuse(Status::NotFound),
            },
        }
    }
}

thread_local! {
    /// How many bytes of content were read in this test.
    static READ: Cell<u64> = const { Cell::new(0) };
}

/// So many bytes of content.
struct Counted(u64);

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.0.min(into.len() as u64);
        into[..bytes as usize].fill(b'~');
        self.0 -= bytes;
        READ.set(READ.get() + bytes);
        Ok(bytes as usize)
    }
}

struct World {
    net: Net,
    reactor: Rc<RefCell<Reactor<Sim, Inline<Http<Site>>>>>,
}

impl World {
    fn with(limits: Limits, faults: Faults, trigger: Trigger) -> World {
        let net = Net::new(17, trigger, faults);
        let kernel = net.kernel();
        let requests = RequestLimits { body_bytes_max: 1000, ..RequestLimits::default() };
        let limits = Limits { frame_bytes_max: requests.frame_bytes_max(), ..limits };
        let setup = Setup::new(&kernel, vec![net.listener()], limits);
        let reactor = Reactor::new(kernel, setup, Http::new(Site, requests)).unwrap();
        World { net, reactor: Rc::new(RefCell::new(reactor)) }
    }

    fn new() -> World {
        World::with(Limits::default(), Faults::none(), Trigger::Level)
    }

    fn settle(&self) {
        self.net.settle(100_000, || {
            self.reactor.borrow_mut().turn().unwrap();
        });
    }

    /// Lets the time pass until `span` from now, turn by turn.
    fn wait(&self, span: Duration) {
        let end = self.net.now() + span;
        while self.net.now() < end {
            self.net.advance(Duration::from_millis(1));
            self.reactor.borrow_mut().turn().unwrap();
        }
        self.settle();
    }

    /// What a caller is answered that sends `bytes`, and whether that was the end.
    fn answered(&self, bytes: &[u8]) -> (String, Option<End>) {
        let client = self.net.connect(0);
        client.send(bytes);
        self.settle();
        (text_of(&client), client.end())
    }
}

/// What was received, the dates cut out.
fn text_of(client: &Client) -> String {
    let text = String::from_utf8(client.take_received()).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("Date: "));
    lines.collect()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

const TEXT: &str = "HTTP/1.1 200 OK\r\nServer: readyloop\r\nX: y\r\nContent-Length: 4\r\n\r\ntext";

fn echo(body: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\nServer: readyloop\r\nContent-Length: ";
    format!("{head}{}\r\n\r\n{body}", body.len())
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let world = World::new();
    let mut stream = Vec::new();
    let mut expected = String::new();
    for nth in 0..100 {
        let body = format!("{nth}").repeat(nth % 7);
        let length = body.len();
        let head = format!("PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        stream.extend_from_slice(format!("{head}{body}").as_bytes());
        expected += &echo(&body);
    }
    assert_eq!(world.answered(&stream), (expected, None));
}

#[test]
fn a_head_request_is_answered_like_a_get_without_its_content() {
    let world = World::new();
    for path in ["/", "/long/1000000", "/none"] {
        let (mut with, _) = world.answered(&get(path));
        let (without, end) = world.answered(&[b"HEAD", &get(path)[3..]].concat());
        with.truncate(with.find("\r\n\r\n").unwrap() + 4);
        assert_eq!((without, end), (with, None), "{path}");
    }
}

#[test]
fn a_peer_that_waits_is_told_to_go_on_before_its_body_comes() {
    let world = World::new();
    for coding in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let client = world.net.connect(0);
        let expect = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{coding}\r\nExpect: 100-continue");
        client.send(format!("{expect}\r\n\r\n").as_bytes());
        world.settle();
        assert_eq!(text_of(&client), "HTTP/1.1 100 Continue\r\n\r\n");
        let body = if coding.starts_with('C') { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" };
        client.send(body.as_bytes());
        world.settle();
        assert_eq!(text_of(&client), echo("hello"));
    }
    let too_long =
        b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n";
    let (text, end) = world.answered(too_long);
    assert!(text.starts_with(Status::ContentTooLarge.line()), "{text}");
    assert_eq!(end, Some(End::Finished));
}

#[test]
fn the_connection_ends_when_either_side_wants_it() {
    let world = World::new();
    let close = TEXT.replace("X: y", "Connection: close\r\nX: y");
    let twice = [b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(), get("/")];
    assert_eq!(world.answered(&twice.concat()), (close.clone(), Some(End::Finished)));
    assert_eq!(world.answered(b"GET / HTTP/1.0\r\n\r\n"), (close, Some(End::Finished)));
    let stays = TEXT.replace("X: y", "Connection: keep-alive\r\nX: y");
    let old = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(world.answered(&old.repeat(2)), (stays.repeat(2), None));
}

#[test]
fn what_is_refused_is_answered_behind_what_was_asked_before_and_ends_the_connection() {
    let chunks =
        cases::CHUNKS.iter().map(|(body, status)| ([cases::CHUNKED, body].concat(), status));
    let heads = cases::HEADS.iter().map(|(head, status)| (head.to_vec(), status));
    for (bytes, status) in heads.chain(chunks) {
        let (text, end) = World::new().answered(&[get("/"), bytes.clone()].concat());
        let rest = text.strip_prefix(TEXT).unwrap_or("");
        let begin = format!("HTTP/1.1 {status} ");
        assert!(rest.starts_with(&begin), "{}: {text}", bytes.escape_ascii());
        assert!(rest.contains("\r\nConnection: close\r\n"), "{text}");
        assert_eq!((rest.matches("HTTP/1.1").count(), end), (1, Some(End::Finished)));
    }
}

#[test]
fn a_timeout_is_answered_only_if_a_request_had_begun() {
    let limits = Limits { idle_timeout: Some(Duration::from_millis(50)), ..Limits::default() };
    let head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    for (sent, answered) in [(&b""[..], false), (b"\r\n", false), (b"GE", true), (head, true)] {
        let world = World::with(limits.clone(), Faults::none(), Trigger::Level);
        let client = world.net.connect(0);
        client.send(sent);
        world.settle();
        world.wait(Duration::from_millis(100));
        let text = text_of(&client);
        assert_eq!(text.starts_with(Status::RequestTimeout.line()), answered, "{text}");
        assert!(answered || text.is_empty(), "{text}");
        assert_eq!(client.end(), Some(End::Finished));
    }
}

#[test]
fn long_content_waits_for_its_reader_and_requests_behind_it_wait_too() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        READ.set(0);
        let faults = Faults { split: 300, short_writes: 300, ..Faults::none() };
        let world = World::with(Limits::default(), faults, trigger);
        let client = world.net.connect(0);
        client.set_window(1000);
        client.stop_reading();
        client.send(&[get("/long/3000000"), get("/long/0"), get("/")].concat());
        world.settle();
        assert!(READ.get() <= 2 * PIECE_BYTES as u64, "it did not wait for its reader");
        client.set_window(1 << 20);
        client.resume_reading();
        world.settle();
        let text = text_of(&client);
        let (head, content) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("Content-Length: 3000000"), "{head}");
        let (long, rest) = content.split_at(3_000_000);
        assert!(long.bytes().all(|byte| byte == b'~'), "{trigger:?}");
        assert_eq!(rest, [&echo(""), TEXT].concat(), "{trigger:?}");
    }
}

#[test]
fn content_that_ends_too_early_resets_the_connection() {
    let world = World::new();
    let client = world.net.connect(0);
    client.send(&[get("/"), get("/lie"), get("/")].concat());
    world.settle();
    assert_eq!(client.end(), Some(End::Reset));
    assert_eq!(text_of(&client).matches("HTTP/1.1").count(), 0, "what was queued is dropped");
}

#[test]
fn a_peer_that_has_said_all_still_gets_all_its_answers() {
    let world = World::new();
    let client = world.net.connect(0);
    client.send(&[get("/"), get("/long/200000"), get("/")].concat());
    client.finish();
    world.settle();
    let text = text_of(&client);
    assert!(text.starts_with(TEXT) && text.ends_with(TEXT));
    assert_eq!(text.matches('~').count(), 200_000);
    assert_eq!(client.end(), Some(End::Finished));
    let client = world.net.connect(0);
    client.send(&get("/")[..10]);
    client.finish();
    world.settle();
    assert_eq!((text_of(&client).as_str(), client.end()), ("", Some(End::Finished)));
}

#[test]
fn a_stop_lets_short_content_leave_and_tells_whoever_had_begun() {
    let world = World::new();
    let ask = |bytes: &[u8]| {
        let client = world.net.connect(0);
        client.set_window(1000);
        client.stop_reading();
        client.send(bytes);
        client
    };
    let (idle, begun) = (ask(b""), ask(b"GET / HT"));
    let (short, long) = (ask(&get("/long/900000")), ask(&get("/long/9000000")));
    world.settle();
    world.reactor.borrow().remote().stop();
    world.settle();
    for client in [&idle, &begun, &short, &long] {
        client.set_window(1 << 24);
        client.resume_reading();
    }
    world.settle();
    assert_eq!(text_of(&idle), "");
    assert!(text_of(&begun).starts_with(Status::ServiceUnavailable.line()));
    assert_eq!(text_of(&short).matches('~').count(), 900_000);
    assert!(text_of(&long).matches('~').count() < 9_000_000, "nobody waits for that");
    for client in [idle, begun, short, long] {
        assert_eq!(client.end(), Some(End::Finished));
    }
}
