//! The layer in the simulator, around a handler that speaks lines: what a peer sends and gets, to
//! the byte, on one thread and with workers, level and edge.
#![allow(clippy::unwrap_used, reason = "all of it is tests")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Net, Sim};
use readyloop::{
    CloseReason, Context, Group, Handler, Inline, Lanes, Limits, Lines, Peer, Reactor, Remote,
    SessionId, Setup, SlowMember, Trigger, Worker,
};
use readyloop_protocols::websocket::{Kind, Page, WebSocket};

type Ends = Rc<RefCell<Vec<CloseReason>>>;

/// Who was opened.
type Ids = Rc<RefCell<Vec<SessionId>>>;

/// Everybody is in one group; `all` goes to everybody, `close` closes, everything else comes back.
struct Talk {
    group: Group,
    ids: Ids,
    ends: Ends,
}

impl Handler<&'static str> for Talk {
    type Framer = Lines;
    type Session = ();

    fn on_open(&mut self, _: &Peer, context: &mut Context<'_>) -> (Lines, ()) {
        context.join(&self.group);
        self.ids.borrow_mut().push(context.id());
        context.send(b"welcome\n");
        (Lines::new(1_000), ())
    }

    fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
        match line {
            b"all" => {
                context.broadcast(&self.group, &b"for all\n"[..]);
            }
            b"close" => context.close(),
            _ => {
                context.send(&[line, b"\n"].concat());
            }
        }
    }

    fn on_message(&mut self, _: &mut (), told: &'static str, context: &mut Context<'_>) {
        context.send(told.as_bytes());
    }

    fn on_close(&mut self, _: (), reason: CloseReason, _: &mut Context<'_>) {
        self.ends.borrow_mut().push(reason);
    }
}

type Layer = WebSocket<Talk>;

type Pair = (Reactor<Sim, Lanes<Layer, &'static str>>, Worker<Layer, &'static str>);

enum Turns {
    Alone(Box<Reactor<Sim, Inline<Layer, &'static str>>>),
    WithWorker(Box<Pair>),
}

/// A server with lines at its first listener and WebSocket at its second one.
struct World {
    net: Net,
    turns: Turns,
    remote: Remote<&'static str>,
    ids: Ids,
    ends: Ends,
}

impl World {
    fn new(seed: u64, trigger: Trigger, works: bool, faults: Faults, limits: Limits) -> World {
        let net = Net::new(seed, trigger, faults);
        let (group, ends) = (Group::new(SlowMember::default()), Ends::default());
        let page = Page::new("/", "text/html", "<p>hello").header("X-Page", "1");
        let ids = Ids::default();
        let talk = Talk { group, ids: ids.clone(), ends: ends.clone() };
        let layer = WebSocket::new(talk, Kind::Text).path("/ws").listeners(1..).page(page);
        let layer = layer.message_bytes_max(500);
        let kernel = net.kernel();
        let setup = Setup::new(&kernel, vec![net.listener(), net.listener()], limits);
        let remote = setup.remote();
        let turns = if works {
            let lanes = setup.lanes::<Layer>(1).remove(0);
            let worker = Worker::new(lanes.shared(), 0, layer);
            Turns::WithWorker(Box::new((Reactor::with_host(kernel, setup, lanes).unwrap(), worker)))
        } else {
            Turns::Alone(Box::new(Reactor::new(kernel, setup, layer).unwrap()))
        };
        World { net, turns, remote, ids, ends }
    }

    /// Until nothing is left to do; twice, because the reactor's last turn may have sent a lane out.
    fn settle(&mut self) {
        let World { net, turns, .. } = self;
        let mut idle = 0;
        while idle < 2 {
            let mut worked = false;
            net.settle(100_000, || match turns {
                Turns::Alone(reactor) => assert!(reactor.turn().unwrap()),
                Turns::WithWorker(both) => {
                    let (reactor, worker) = &mut **both;
                    assert!(reactor.turn().unwrap());
                    worked |= worker.step();
                }
            });
            idle = if worked { 0 } else { idle + 1 };
        }
    }

    fn say(&mut self, client: &Client, bytes: &[u8]) -> Vec<u8> {
        client.send(bytes);
        self.settle();
        client.take_received()
    }

    /// A caller that speaks WebSocket, and was greeted.
    fn caller(&mut self) -> Client {
        let client = self.net.connect(1);
        let answer = self.say(&client, &request("/ws", ""));
        let text = String::from_utf8_lossy(&answer).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        assert_eq!(rest, "\u{fffd}\u{8}welcome\n");
        client
    }

    fn ends(&self) -> Vec<CloseReason> {
        std::mem::take(&mut self.ends.borrow_mut())
    }
}

fn request(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

fn everywhere(limits: &Limits, mut act: impl FnMut(World, &str)) {
    for trigger in [Trigger::Level, Trigger::Edge] {
        for works in [false, true] {
            for seed in 0..20 {
                // Whatever changes when bytes come and how they are cut; nobody is refused.
                let faults = Faults {
                    split: 300,
                    delay: 300,
                    short_reads: 300,
                    short_writes: 300,
                    small_windows: 200,
                    stale: 100,
                    spurious: 100,
                    ..Faults::none()
                };
                let faults = if seed == 0 { Faults::none() } else { faults };
                let how = format!("{trigger:?}, workers: {works}, seed {seed}");
                act(World::new(seed, trigger, works, faults, limits.clone()), &how);
            }
        }
    }
}

#[test]
fn messages_go_to_the_handler_behind_and_come_back_as_messages() {
    everywhere(&Limits::default(), |mut world, how| {
        let client = world.caller();
        assert_eq!(world.say(&client, &text("hello")), b"\x81\x06hello\n", "{how}");
        let long = "x".repeat(300);
        let answer = world.say(&client, &text(&long));
        assert_eq!(answer, [b"\x81\x7e\x01\x2d", long.as_bytes(), b"\n"].concat(), "{how}");
        let pieces = [frame(1, b"one "), frame(0x89, b"ping"), frame(0x80, b"two")].concat();
        assert_eq!(world.say(&client, &pieces), b"\x8a\x04ping\x81\x08one two\n", "{how}");
        assert_eq!(world.say(&client, &frame(0x8a, b"unasked")), b"", "{how}");
    });
}

#[test]
fn what_another_thread_tells_a_session_comes_to_the_handler_behind() {
    everywhere(&Limits::default(), |mut world, how| {
        let clients = [world.caller(), world.net.connect(0)];
        world.settle();
        let welcomes = clients.each_ref().map(|client| client.take_received().len());
        assert_eq!(welcomes, [0, 8], "{how}");
        for id in world.ids.take() {
            world.remote.tell(id, "told").unwrap();
        }
        world.settle();
        let received = clients.map(|client| client.take_received());
        assert_eq!(received, [&b"\x81\x04told"[..], b"told"], "{how}");
    });
}

#[test]
fn who_speaks_websocket_and_who_speaks_lines_hear_each_other() {
    everywhere(&Limits::default(), |mut world, how| {
        let (one, two) = (world.caller(), world.net.connect(0));
        world.settle();
        assert_eq!(two.take_received(), b"welcome\n", "{how}");
        assert_eq!(world.say(&two, b"all\n"), b"for all\n", "{how}");
        assert_eq!(one.take_received(), b"\x81\x08for all\n", "{how}");
        assert_eq!(world.say(&one, &text("all")), b"\x81\x08for all\n", "{how}");
        assert_eq!(two.take_received(), b"for all\n", "{how}");
    });
}

#[test]
fn every_end_is_told_to_both_sides() {
    let cases: [(Vec<u8>, u16, CloseReason); 8] = [
        (frame(0x88, b"\x0f\xa1so long"), 4001, CloseReason::PeerFinished),
        (frame(0x88, b""), 1000, CloseReason::PeerFinished),
        (text("close"), 1000, CloseReason::Closed),
        (frame(0x81, b"\xff"), 1007, CloseReason::Malformed("text that is not UTF-8")),
        (frame(0x82, b"bytes"), 1003, CloseReason::Malformed("a message of the other kind")),
        (frame(0x80, b"what?"), 1002, CloseReason::Malformed("pieces of messages out of order")),
        (vec![0x81, 0x05], 1002, CloseReason::Malformed("a frame that is not masked")),
        (frame(0x81, &[b'x'; 501]), 1009, CloseReason::FrameTooLong),
    ];
    everywhere(&Limits::default(), |mut world, how| {
        for (last, code, reason) in &cases {
            let client = world.caller();
            let behind = text("is not answered");
            let heard = world.say(&client, &[&text("hello")[..], last, &behind].concat());
            let [high, low] = code.to_be_bytes();
            let expected = [b"\x81\x06hello\n", &[0x88, 2, high, low][..]].concat();
            assert_eq!((heard, client.end()), (expected, Some(End::Finished)), "{how}: {code}");
            client.finish();
            world.settle();
            assert_eq!(world.ends(), [*reason], "{how}");
        }
    });
}

#[test]
fn a_session_that_says_nothing_is_told_to_go() {
    let limits = Limits { idle_timeout: Some(Duration::from_millis(50)), ..Limits::default() };
    for works in [false, true] {
        let mut world = World::new(0, Trigger::Level, works, Faults::none(), limits.clone());
        let client = world.caller();
        world.net.advance(Duration::from_millis(60));
        world.settle();
        assert_eq!(client.received(), b"\x88\x02\x03\xe9");
        client.finish();
        world.settle();
        assert_eq!(world.ends(), [CloseReason::IdleTimeout]);
    }
}

#[test]
fn what_is_no_upgrade_is_answered_as_http() {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").into_bytes();
    let cases = [
        (get("/"), "HTTP/1.1 200 OK\r\n", "<p>hello"),
        (b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(), "HTTP/1.1 200 OK\r\n", ""),
        (get("/none"), "HTTP/1.1 404 Not Found\r\n", "404\n"),
        (get("/ws"), "HTTP/1.1 426 Upgrade Required\r\n", "426\n"),
        (request("/none", ""), "HTTP/1.1 404 Not Found\r\n", "404\n"),
        (request("/ws", "Origin: http://there\r\n"), "HTTP/1.1 403 Forbidden\r\n", "403\n"),
        (
            b"POST / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
            "HTTP/1.1 405 Method Not Allowed\r\n",
            "405\n",
        ),
        (b"nonsense\r\n\r\n".to_vec(), "HTTP/1.1 400 Bad Request\r\n", "400\n"),
    ];
    everywhere(&Limits::default(), |mut world, how| {
        for (request, status, body) in &cases {
            let client = world.net.connect(1);
            let answer = world.say(&client, request);
            let answer = String::from_utf8(answer).unwrap();
            let (head, rest) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(status), "{how}: {head}");
            assert_eq!(rest, *body, "{how}: {head}");
            let stays = status.contains("200");
            assert_eq!(client.end().is_none(), stays, "{how}: {head}");
            if stays {
                assert!(head.contains("X-Page: 1") && head.contains("Content-Length: 8"));
                let again = world.say(&client, &get("/"));
                assert!(again.ends_with(b"<p>hello"), "{how}: the connection is kept");
            }
        }
        assert_eq!(world.ends(), [], "the handler behind met nobody");
    });
}

#[test]
fn a_head_without_end_is_refused() {
    let mut world = World::new(0, Trigger::Level, false, Faults::none(), Limits::default());
    let client = world.net.connect(1);
    let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 20_000]].concat();
    let answer = world.say(&client, &endless);
    assert!(answer.starts_with(b"HTTP/1.1 431 "), "{}", answer.escape_ascii());
}
