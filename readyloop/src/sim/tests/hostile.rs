//! Every fault at once against a small echo server that keeps the rules: nothing may be lost, and
//! the same seed must tell the same story.

use std::collections::BTreeMap;

use super::super::{End, Rng};
use super::*;
use crate::kernel::Farewell;

/// An echo server as epoll(7) wants it: reads and writes until the kernel says stop.
struct Echo {
    bench: Bench,
    open: BTreeMap<u64, Session>,
    trace: Vec<(u64, u32)>,
    stale: usize,
    doubles: usize,
    /// Callers that were lost, or were hung up on before they had a session.
    refused: usize,
}

struct Session {
    socket: SimSocket,
    want: Interest,
    queue: Vec<u8>,
    peer_finished: bool,
}

impl Echo {
    fn new(seed: u64, trigger: Trigger, faults: Faults) -> Echo {
        let mut bench = Bench::with(seed, trigger, faults);
        bench.kernel.watch_listener(&bench.listener, 0).unwrap();
        let (open, trace) = (BTreeMap::new(), Vec::new());
        Echo { bench, open, trace, stale: 0, doubles: 0, refused: 0 }
    }

    fn turn(&mut self) {
        // An exhausted accept spends an edge, so the listener is tried again after a while.
        let events = self.bench.wait(Some(Duration::from_millis(20)));
        for (nth, &(token, flags)) in events.iter().enumerate() {
            self.trace.push((token.to_bits(), flags));
            self.doubles += usize::from(events[..nth].iter().any(|event| event.0 == token));
            if token != Token::listener(0) {
                self.serve(token.to_bits(), flags & (P | E | H) != 0);
            }
        }
        self.intake();
    }

    fn intake(&mut self) {
        loop {
            match self.bench.kernel.accept(&self.bench.listener) {
                Accept::Socket(socket, _) => {
                    let token = self.bench.token();
                    let want = Interest::READ;
                    if self.bench.kernel.watch(&socket, token, want).is_err() {
                        self.bench.kernel.close(socket, Farewell::Reset);
                        self.refused += 1;
                        continue;
                    }
                    let session = Session { socket, want, queue: vec![], peer_finished: false };
                    self.open.insert(token.to_bits(), session);
                }
                Accept::Skipped(_) => self.refused += 1,
                Accept::Empty => return,
                Accept::Exhausted(_) => {
                    let refused = self.bench.kernel.refuse(&self.bench.listener);
                    return self.refused += usize::from(refused);
                }
            }
        }
    }

    fn serve(&mut self, token: u64, ended: bool) {
        let Some(mut session) = self.open.remove(&token) else {
            self.stale += 1;
            return;
        };
        let kernel = &mut self.bench.kernel;
        let mut buffer = [0; 512];
        let edge_triggered = kernel.trigger() == Trigger::Edge;
        let mut broken = false;
        loop {
            match kernel.recv(&session.socket, &mut buffer) {
                Io::Done(bytes) => {
                    session.queue.extend(&buffer[..bytes]);
                    // The rule that saves the second read: less than asked for means that nothing
                    // is left.
                    if edge_triggered && bytes < buffer.len() && !ended {
                        break;
                    }
                }
                Io::WouldBlock => break,
                Io::Finished => {
                    session.peer_finished = true;
                    break;
                }
                Io::Exhausted(_) | Io::Failed(_) => {
                    broken = true;
                    break;
                }
            }
        }
        while !session.queue.is_empty() && !broken {
            match kernel.send(&session.socket, &session.queue) {
                Io::Done(bytes) => drop(session.queue.drain(..bytes)),
                Io::WouldBlock => break,
                Io::Finished | Io::Exhausted(_) | Io::Failed(_) => broken = true,
            }
        }
        if broken || session.peer_finished && session.queue.is_empty() {
            let how = if broken { Farewell::Reset } else { Farewell::Finish };
            kernel.close(session.socket, how);
            return;
        }
        let writes = if session.queue.is_empty() { Interest::NONE } else { Interest::WRITE };
        let reads = if session.peer_finished { Interest::NONE } else { Interest::READ };
        let want = reads.and(writes);
        if !edge_triggered && want != session.want {
            kernel.rearm(&session.socket, Token::from_bits(token), want).unwrap();
        }
        session.want = want;
        self.open.insert(token, session);
    }
}

/// Clients that send at random, stall at random and finish. Returns the server, for its counts.
fn run(seed: u64, trigger: Trigger, faults: Faults) -> Echo {
    // To try again is for the reactor, and more than this server can.
    let faults = Faults { rearm_refused: 0, memory_short: 0, ..faults };
    let mut rng = Rng::new(seed ^ 0xC11E);
    let mut echo = Echo::new(seed, trigger, faults);
    let mut clients: Vec<(Client, Vec<u8>)> = Vec::new();
    for act in 0..400 {
        if clients.len() < 12 && act % 5 == 0 {
            clients.push((echo.bench.net.connect(0), Vec::new()));
        }
        let nth = rng.below(clients.len());
        let (client, sent) = &mut clients[nth];
        let open = client.end().is_none() && sent.len() < 19_000;
        match rng.below(4) {
            0 if open => {
                let bytes: Vec<u8> = (0..rng.piece(1000)).map(|_| rng.bits() as u8).collect();
                client.send(&bytes);
                sent.extend(bytes);
            }
            1 => client.stop_reading(),
            2 => client.resume_reading(),
            _ => echo.turn(),
        }
    }
    for (client, _) in &clients {
        client.resume_reading();
        client.finish();
    }
    let net = echo.bench.net.clone();
    for turn in 0.. {
        echo.turn();
        if clients.iter().all(|(client, _)| client.end().is_some()) {
            break;
        }
        assert!(turn < 20_000, "a client was forgotten: {net:?}");
    }
    let mut refused = 0;
    for (client, sent) in &clients {
        let got = client.received();
        if client.end() != Some(End::Finished) || got != *sent {
            assert!(got.is_empty(), "{client:?}: {} of {} bytes, {net:?}", got.len(), sent.len());
            refused += 1;
        }
    }
    assert!(refused <= echo.refused, "{refused} clients failed, {} refused, {net:?}", echo.refused);
    assert_eq!(net.open_sockets(), 0, "{net:?}");
    echo
}

#[test]
fn no_byte_is_lost_and_no_end_is_forgotten() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        run(1, trigger, Faults::none());
        for seed in 0..30 {
            run(seed, trigger, Faults::hostile());
            run(seed, trigger, Faults::random(seed));
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let [one, two, other] = [5, 5, 6].map(|seed| run(seed, trigger, Faults::hostile()));
        assert_eq!(one.trace, two.trace);
        assert_ne!(one.trace, other.trace);
        let fingerprints = [&one, &two, &other].map(|echo| echo.bench.net.fingerprint());
        assert_eq!(fingerprints[0], fingerprints[1]);
        assert_ne!(fingerprints[0], fingerprints[2]);
    }
}

#[test]
fn a_hostile_kernel_reports_the_dead_and_doubles() {
    let echo = run(1, Trigger::Edge, Faults::hostile());
    assert!(echo.stale > 0 && echo.doubles > 0, "{} stale, {} doubles", echo.stale, echo.doubles);
    let echo = run(1, Trigger::Edge, Faults::none());
    assert_eq!((echo.stale, echo.doubles), (0, 0));
}

#[test]
fn an_interrupted_wait_reports_nothing_and_takes_no_edge() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, _socket, token) = bench.pair(Interest::BOTH);
    client.send(b"x");
    bench.net.set_faults(Faults { interrupted: 1000, ..Faults::none() });
    assert_eq!((bench.wait(None), bench.wait(None)), (vec![], vec![]));
    assert_eq!(bench.net.calls().asleep, 0);
    bench.net.set_faults(Faults::none());
    assert_eq!(bench.wait(None), [(token, R | W)]);
}

#[test]
fn a_spurious_event_is_reported_only_for_what_is_watched() {
    let faults = Faults { spurious: 1000, ..Faults::none() };
    let mut bench = Bench::with(1, Trigger::Level, faults);
    let (_client, socket, token) = bench.pair(Interest::READ);
    let told: Vec<_> = (0..50).flat_map(|_| bench.wait(None)).collect();
    assert!(!told.is_empty() && told.iter().all(|&event| event == (token, R)));
    assert_eq!(bench.recv(&socket, 9), Io::WouldBlock);
}
