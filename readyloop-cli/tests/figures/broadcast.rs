//! How fast one message reaches ten thousand sessions, and what it costs to keep it for those who
//! do not read; our example `broadcast` beside Redis.

use std::time::{Duration, Instant};

use crate::load::Callers;
use crate::rates::{Meter, Rate, print_rates};
use crate::server::Server;
use crate::stats::{median_of, rounds, take_turns};
use crate::told::tell;

const SUBSCRIBERS: usize = 10_000;
const MESSAGE_BYTES: usize = 64;
const MESSAGES: usize = 50;
const DEPTHS: [usize; 2] = [1, 20];
const BURST: usize = 20;
const RECEIVE_BYTES: usize = 4096;

/// A server that uses less than a tenth of such a time has nothing to do but its housekeeping.
const GLANCE: Duration = Duration::from_millis(100);

/// A server that sends what one says to all, and how one talks to it.
struct Service {
    name: &'static str,
    start: fn() -> Option<Server>,
    /// What to do if it cannot be started because it is not there.
    missing: &'static str,
    /// What makes a session a subscriber, and how many bytes it hears then.
    subscribes: Vec<u8>,
    confirmed_bytes: usize,
    /// One message, as it is sent and as a subscriber hears it.
    said: Vec<u8>,
    heard: Vec<u8>,
    /// How many bytes the one who sends hears for each message.
    answered_bytes: usize,
}

fn ours() -> Service {
    let line = [&[b'x'; MESSAGE_BYTES - 1][..], b"\n"].concat();
    Service {
        name: "readyloop",
        start: Server::broadcast,
        missing: "cargo build --release --example broadcast",
        subscribes: Vec::new(),
        confirmed_bytes: 0,
        heard: line.clone(),
        // The one who sends is a member too.
        answered_bytes: line.len(),
        said: line,
    }
}

/// In its protocol, RESP: `*` counts the words that follow, `$` the bytes of one.
fn redis() -> Service {
    let resp = |words: &[&str]| {
        let word = |word: &&str| format!("${}\r\n{word}\r\n", word.len());
        let words: Vec<String> =
            [format!("*{}\r\n", words.len())].into_iter().chain(words.iter().map(word)).collect();
        words.concat().into_bytes()
    };
    let message = "x".repeat(MESSAGE_BYTES);
    Service {
        name: "Redis",
        start: || Server::redis(SUBSCRIBERS + 100),
        missing: "apt-get install redis-server",
        subscribes: resp(&["SUBSCRIBE", "ch"]),
        confirmed_bytes: "*3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n".len(),
        said: resp(&["PUBLISH", "ch", &message]),
        heard: resp(&["message", "ch", &message]),
        answered_bytes: format!(":{SUBSCRIBERS}\r\n").len(),
    }
}

/// A running server with all its subscribers and the one who sends.
struct Crowd<'s> {
    service: &'s Service,
    server: Server,
    subscribers: Callers,
    sender: Callers,
    /// How many bytes of messages came to each subscriber.
    came: Vec<usize>,
    /// How many subscribers have heard each message that was sent.
    heard_by: Vec<usize>,
    /// What a subscriber hears, from anywhere in a message to the end of any receive.
    expected: Vec<u8>,
}

impl<'s> Crowd<'s> {
    fn gather(service: &'s Service) -> Option<Crowd<'s>> {
        let server = (service.start)()?;
        let mut subscribers = Callers::open(server.address, SUBSCRIBERS);
        subscribers.reset_at_close();
        subscribe(&mut subscribers, service);
        // The last to come: when it is a member, so are all others.
        let sender = Callers::open(server.address, 1);
        sender.reset_at_close();
        let mut crowd = Crowd {
            service,
            server,
            subscribers,
            sender,
            came: vec![0; SUBSCRIBERS],
            heard_by: Vec::with_capacity(1024),
            expected: service.heard.repeat(2 + RECEIVE_BYTES / service.heard.len()),
        };
        crowd.deliver(2, 1);
        Some(crowd)
    }

    /// Sends so many messages, with at most `depth` that not all have heard, until all have heard
    /// all.
    fn deliver(&mut self, messages: usize, depth: usize) {
        let first = self.heard_by.len();
        let (mut sent, mut done) = (0, 0);
        while done < messages {
            let more = (done + depth).min(messages) - sent;
            self.send(more);
            sent += more;
            self.hear();
            let unheard = &self.heard_by[first + done..];
            done += unheard.iter().take_while(|by| **by == SUBSCRIBERS).count();
        }
        self.expect_answers(messages);
    }

    fn measure(&mut self, depth: usize) -> Rate {
        let meter = Meter::start(&self.server);
        self.deliver(MESSAGES, depth);
        meter.stop(&self.server, MESSAGES * SUBSCRIBERS)
    }

    fn send(&mut self, messages: usize) {
        self.sender.send_all(0, &self.service.said.repeat(messages));
        self.heard_by.resize(self.heard_by.len() + messages, 0);
    }

    /// Receives from all subscribers to whom something came.
    fn hear(&mut self) {
        let one = self.service.heard.len();
        let mut buffer = [0; RECEIVE_BYTES];
        for at in 0..self.subscribers.wait() {
            let (subscriber, _) = self.subscribers.ready(at);
            let bytes = self.subscribers.receive(subscriber, &mut buffer);
            let before = self.came[subscriber];
            let expected = &self.expected[before % one..][..bytes];
            assert!(buffer[..bytes] == *expected, "something else came to subscriber {subscriber}");
            self.came[subscriber] += bytes;
            let messages = before / one..self.came[subscriber] / one;
            self.heard_by[messages].iter_mut().for_each(|by| *by += 1);
        }
    }

    /// The one who sends hears that so many messages were taken.
    fn expect_answers(&mut self, messages: usize) {
        expect_bytes(&mut self.sender, self.service.answered_bytes * messages);
    }

    /// Sends a burst that nobody reads. Returns the server's anonymous memory in bytes before it,
    /// and the most that was seen until the server rested.
    fn burst(&mut self) -> (usize, usize) {
        let before = self.server.anonymous_bytes();
        let mut most = before;
        self.send(BURST);
        loop {
            let (cpu, begin) = (self.server.cpu(), Instant::now());
            while begin.elapsed() < GLANCE {
                most = most.max(self.server.anonymous_bytes());
            }
            if self.server.cpu() - cpu < GLANCE / 10 {
                break;
            }
        }
        self.expect_answers(BURST);
        while self.heard_by.last() != Some(&SUBSCRIBERS) {
            self.hear();
        }
        (before, most)
    }
}

/// All become subscribers, one after another, and hear that they are.
fn subscribe(subscribers: &mut Callers, service: &Service) {
    if service.confirmed_bytes == 0 {
        return;
    }
    for subscriber in 0..SUBSCRIBERS {
        subscribers.send_all(subscriber, &service.subscribes);
    }
    expect_bytes(subscribers, service.confirmed_bytes * SUBSCRIBERS);
}

/// Receives so many bytes, whoever of these callers they come to.
fn expect_bytes(callers: &mut Callers, bytes: usize) {
    let mut buffer = [0; RECEIVE_BYTES];
    let mut came = 0;
    while came < bytes {
        for at in 0..callers.wait() {
            let (caller, _) = callers.ready(at);
            came += callers.receive(caller, &mut buffer);
        }
    }
    assert_eq!(came, bytes, "more came than was expected");
}

/// One round's figures.
struct Figures {
    /// Deliveries, for each depth.
    rates: [Rate; DEPTHS.len()],
    before_bytes: usize,
    burst_bytes: usize,
}

/// Begins with a new server, because two crowds have more sockets than a process may have.
fn round(service: &Service) -> Figures {
    let mut crowd = Crowd::gather(service).expect("it could be started before");
    // First: afterwards the server may keep memory from busier times.
    let (before_bytes, burst_bytes) = crowd.burst();
    let rates = DEPTHS.map(|depth| crowd.measure(depth));
    Figures { rates, before_bytes, burst_bytes }
}

/// What can be started here, Redis first: it is the measure. Says what cannot.
fn services() -> Vec<Service> {
    let mut services = vec![redis(), ours()];
    services.retain(|service| {
        let is_there = (service.start)().is_some();
        if !is_there {
            println!("\nwithout {}, which is not there: {}", service.name, service.missing);
        }
        is_there
    });
    services
}

#[test]
#[ignore = "measures; run it alone in release"]
fn broadcast_to_ten_thousand() {
    let mut services = services();
    if services.is_empty() {
        return;
    }
    let measured = take_turns(rounds(), &mut services, |service| round(service));
    let names: Vec<&str> = services.iter().map(|service| service.name).collect();
    for (at, depth) in DEPTHS.iter().enumerate() {
        println!(
            "\n{SUBSCRIBERS} subscribers, {MESSAGE_BYTES}-byte messages, {depth} on their way"
        );
        let rates = |figures: &[Figures]| figures.iter().map(|one| one.rates[at]).collect();
        let rates: Vec<Vec<Rate>> = measured.iter().map(|figures| rates(figures)).collect();
        let figure = format!("deliveries, {depth} on their way");
        print_rates(&figure, ("delivery", "deliveries"), &names, &rates);
    }
    println!("\nanonymous memory in MB, before and while {BURST} messages lie unread");
    for (name, measured) in names.iter().zip(&measured) {
        let before = median_of(measured, |figures| figures.before_bytes as f64 / 1e6);
        let burst = median_of(measured, |figures| figures.burst_bytes as f64 / 1e6);
        println!("{name:<24}{before:>14.1}{burst:>10.1}");
        tell("broadcast memory", name, &[("before_mb", before), ("burst_mb", burst)]);
    }
}
