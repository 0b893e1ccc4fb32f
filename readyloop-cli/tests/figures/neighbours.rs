//! How long cheap sessions wait when the frames of another session are expensive.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::load::{Callers, DEADLINE, framed};
use crate::server::{SINGLE, Server, Topology, WORKERS};
use crate::stats::{median_of, percentile, rounds, take_turns};
use crate::told::tell;

const TOPOLOGIES: [Topology; 2] = [SINGLE, WORKERS];

const SESSIONS: usize = 100;
const FRAME_BYTES: usize = 64;

/// One session in a hundred is expensive: the first one to be opened.
const OPTIONS: &str = "--handler-cost 5ms --costly 100";
const COST: Duration = Duration::from_millis(5);
const EXPENSIVE: usize = 0;

/// From a reply to the next frame of its session.
const PAUSE: Duration = Duration::from_millis(2);

const ROUND: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_millis(300);

/// One round's waits of the cheap sessions, in microseconds.
struct Waits {
    p50: f64,
    p99: f64,
    max: f64,
}

struct Subject {
    /// Whether one of its sessions is expensive.
    costs: bool,
    server: Server,
    callers: Callers,
    /// Who sends next, and when. All pauses are of one length, so they end as they began.
    due: VecDeque<(Instant, usize)>,
    /// When each session sent its last frame.
    sent: Vec<Instant>,
    /// What the cheap sessions waited, in nanoseconds.
    waits: Vec<u32>,
}

impl Subject {
    fn start(topology: Topology, options: &str) -> Subject {
        let server = Server::echo(topology, options);
        let mut callers = Callers::open(server.address, 1);
        // The expensive one is the first that a handler meets; on workers, who called first need not
        // be, so the others call when it has been answered.
        callers.send_all(EXPENSIVE, &framed(&[b'x'; FRAME_BYTES]));
        callers.wait();
        callers.receive(EXPENSIVE, &mut [0; 4 + FRAME_BYTES]);
        callers.open_more(server.address, SESSIONS - 1);
        Subject {
            costs: !options.is_empty(),
            callers,
            server,
            due: VecDeque::with_capacity(SESSIONS),
            sent: vec![Instant::now(); SESSIONS],
            waits: Vec::with_capacity(1 << 20),
        }
    }

    /// Every session sends a frame, and its next one a while after the reply, for so long.
    fn round(&mut self, lasts: Duration) -> Waits {
        let begin = Instant::now();
        let spread = |caller| (begin + PAUSE * caller as u32 / SESSIONS as u32, caller);
        self.due.extend((0..SESSIONS).map(spread));
        self.waits.clear();
        let mut on_their_way = 0;
        while !self.due.is_empty() || on_their_way > 0 {
            on_their_way += self.send_what_is_due();
            on_their_way -= self.receive_until_next_is_due(begin + lasts);
        }
        self.waits.sort_unstable();
        let at = |share| f64::from(percentile(&self.waits, share)) / 1e3;
        Waits { p50: at(0.50), p99: at(0.99), max: at(1.0) }
    }

    /// Returns how many were sent.
    fn send_what_is_due(&mut self) -> usize {
        let frame = framed(&[b'x'; FRAME_BYTES]);
        let mut count = 0;
        while let Some((due, caller)) = self.due.front().copied() {
            let now = Instant::now();
            if due > now {
                break;
            }
            self.due.pop_front();
            self.sent[caller] = now;
            self.callers.send_all(caller, &frame);
            count += 1;
        }
        count
    }

    /// Returns how many replies came. After the end, a session sends no more.
    fn receive_until_next_is_due(&mut self, end: Instant) -> usize {
        let mut buffer = [0; 4 + FRAME_BYTES];
        let next = self.due.front().map(|(due, _)| *due);
        let time = next.map_or(DEADLINE, |due| due.saturating_duration_since(Instant::now()));
        let count = self.callers.wait_for(time);
        assert!(count > 0 || time < DEADLINE, "the server is silent");
        for at in 0..count {
            let (caller, _) = self.callers.ready(at);
            let bytes = self.callers.receive(caller, &mut buffer);
            assert_eq!(bytes, buffer.len(), "a part of a frame came to caller {caller}");
            let now = Instant::now();
            self.waited(caller, now - self.sent[caller]);
            if now < end {
                self.due.push_back((now + PAUSE, caller));
            }
        }
        count
    }

    fn waited(&mut self, caller: usize, wait: Duration) {
        if caller != EXPENSIVE {
            self.waits.push(u32::try_from(wait.as_nanos()).unwrap_or(u32::MAX));
        } else if self.costs {
            assert!(wait >= COST, "the expensive session waited {wait:?} only");
        }
    }
}

#[test]
#[ignore = "measures; run it alone in release"]
fn cheap_sessions_beside_expensive_ones() {
    let topologies = Topology::asked_for(&TOPOLOGIES);
    let pairs = topologies.iter().flat_map(|topology| [(*topology, ""), (*topology, OPTIONS)]);
    let mut subjects: Vec<Subject> =
        pairs.map(|(topology, options)| Subject::start(topology, options)).collect();
    take_turns(1, &mut subjects, |subject| subject.round(WARM_UP));
    let measured = take_turns(rounds(), &mut subjects, |subject| subject.round(ROUND));
    println!("\nwaits of {} cheap sessions in microseconds, by {OPTIONS}", SESSIONS - 1);
    println!("{:<28}{:>12}{:>12}{:>12}{:>12}", "", "p50", "p99", "max", "p99 ratio");
    let mut alone = Vec::new();
    for (topology, pair) in topologies.iter().zip(measured.chunks_exact(2)) {
        let p99 = median_of(&pair[0], |waits| waits.p99);
        print_waits(topology.name, "nobody", &pair[0], p99);
        print_waits(topology.name, "the expensive", &pair[1], p99);
        alone.push(p99);
    }
    // What the machine does to them by itself: nobody burns here, but another server does.
    let stranger = Stranger::start();
    subjects.retain(|subject| !subject.costs);
    let measured = take_turns(rounds(), &mut subjects, |subject| subject.round(ROUND));
    for ((topology, p99), measured) in topologies.iter().zip(alone).zip(&measured) {
        print_waits(topology.name, "a stranger", measured, p99);
    }
    stranger.leave();
    for Subject { server, callers, .. } in subjects {
        server.terminate();
        callers.expect_end();
        server.expect_good_end();
    }
}

/// Another server on the same machine, which burns as the expensive session does.
struct Stranger {
    server: Server,
    caller: JoinHandle<()>,
    ends: Arc<AtomicBool>,
}

impl Stranger {
    fn start() -> Stranger {
        let server = Server::echo(SINGLE, "--handler-cost 5ms");
        let (address, ends) = (server.address, Arc::new(AtomicBool::new(false)));
        let until = ends.clone();
        let caller = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let mut frame = framed(&[b'x'; FRAME_BYTES]);
            while !until.load(Ordering::Relaxed) {
                stream.write_all(&frame).unwrap();
                stream.read_exact(&mut frame).unwrap();
                thread::sleep(PAUSE);
            }
        });
        Stranger { server, caller, ends }
    }

    fn leave(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.caller.join().unwrap();
        self.server.terminate();
        self.server.expect_good_end();
    }
}

/// Prints and tells the medians of those who wait beside this one, and the ratio of the p99 to that
/// of nobody burning.
fn print_waits(topology: &str, beside: &str, measured: &[Waits], alone: f64) {
    let p50 = median_of(measured, |waits| waits.p50);
    let p99 = median_of(measured, |waits| waits.p99);
    let max = median_of(measured, |waits| waits.max);
    let name = format!("{topology} beside {beside}");
    println!("{name:<28}{p50:>12.0}{p99:>12.0}{max:>12.0}{:>12.2}", p99 / alone);
    let values = [("p50_us", p50), ("p99_us", p99), ("max_us", max), ("over_alone", p99 / alone)];
    tell(&format!("waits beside {beside}"), topology, &values);
}
