//! In every topology, a session gets back its own frames: all of them, whole, and in order.

use std::time::Instant;

use rustix::event::epoll::EventFlags;

use crate::load::Callers;
use crate::server::{Server, TOPOLOGIES, Topology};

const SESSIONS: usize = 200;

/// For each session; `READYLOOP_FRAMES` says otherwise.
const FRAMES: u32 = 100_000;

const PAYLOAD_BYTES_MAX: usize = 24;

/// So different for every frame that whoever can overtake, does.
const OPTIONS: &str = "--handler-cost 0us..2us";

const SEED: u64 = 0x5eed;

/// The frames of one session: a number that is the session's own, and noise of some length. Written
/// as needed, in large pieces, the same ones from the same seed.
struct Script {
    session: u32,
    frames: u32,
    written: u32,
    noise: u64,
    bytes: Vec<u8>,
    at: usize,
}

impl Script {
    /// Bytes written at a time.
    const PIECE: usize = 32 << 10;

    fn new(session: u32, frames: u32) -> Script {
        let noise = SEED ^ u64::from(session) << 32;
        let bytes = Vec::with_capacity(Script::PIECE + 64);
        Script { session, frames, written: 0, noise, bytes, at: 0 }
    }

    /// Bytes that come next; none after the last frame.
    fn ahead(&mut self) -> &[u8] {
        if self.at == self.bytes.len() {
            self.at = 0;
            self.bytes.clear();
            while self.bytes.len() < Script::PIECE && self.written < self.frames {
                self.write_frame();
            }
        }
        &self.bytes[self.at..]
    }

    fn pass(&mut self, count: usize) {
        self.at += count;
    }

    fn write_frame(&mut self) {
        let mut frame = [0; 4 + 8 + PAYLOAD_BYTES_MAX];
        let payload = self.next_noise() as usize % (PAYLOAD_BYTES_MAX + 1);
        frame[..4].copy_from_slice(&(8 + payload as u32).to_be_bytes());
        frame[4..8].copy_from_slice(&self.session.to_be_bytes());
        frame[8..12].copy_from_slice(&self.written.to_be_bytes());
        for word in frame[12..].chunks_exact_mut(8) {
            word.copy_from_slice(&self.next_noise().to_ne_bytes());
        }
        self.bytes.extend_from_slice(&frame[..12 + payload]);
        self.written += 1;
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next_noise(&mut self) -> u64 {
        self.noise = self.noise.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.noise;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// These bytes must be what comes next.
    #[track_caller]
    fn expect(&mut self, mut came: &[u8]) {
        while !came.is_empty() {
            let ahead = self.ahead();
            let count = ahead.len().min(came.len());
            if count == 0 || ahead[..count] != came[..count] {
                self.complain(came);
            }
            self.pass(count);
            came = &came[count..];
        }
    }

    #[track_caller]
    fn complain(&self, came: &[u8]) -> ! {
        let ahead = &self.bytes[self.at..];
        let wrong = ahead.iter().zip(came).take_while(|(ahead, came)| ahead == came).count();
        let some = |bytes: &[u8]| bytes[wrong..].iter().take(16).copied().collect::<Vec<u8>>();
        panic!(
            "session {}, seed {SEED:#x}, not long before frame {}: {:?} came and not {:?}",
            self.session,
            self.written,
            some(came),
            some(ahead)
        );
    }

    fn is_over(&mut self) -> bool {
        self.ahead().is_empty()
    }
}

/// What one session still has to say and to hear.
struct Session {
    says: Script,
    hears: Script,
}

/// Writes as deep as the sockets allow and reads all that comes, to the last byte of every session.
fn talk(callers: &mut Callers, sessions: &mut [Session]) {
    for caller in 0..sessions.len() {
        callers.want(caller, EventFlags::IN | EventFlags::OUT);
    }
    let mut buffer = vec![0; 256 << 10];
    let mut talking = sessions.len();
    while talking > 0 {
        for at in 0..callers.wait() {
            let (caller, can) = callers.ready(at);
            let session = &mut sessions[caller];
            if can.contains(EventFlags::OUT) {
                say(callers, caller, &mut session.says);
            }
            if can.contains(EventFlags::IN) {
                hear(callers, caller, &mut session.hears, &mut buffer);
                talking -= usize::from(session.hears.is_over());
            }
        }
    }
}

fn say(callers: &Callers, caller: usize, says: &mut Script) {
    while !says.is_over() {
        match callers.send(caller, says.ahead()) {
            0 => return,
            count => says.pass(count),
        }
    }
    callers.want(caller, EventFlags::IN);
}

fn hear(callers: &Callers, caller: usize, hears: &mut Script, buffer: &mut [u8]) {
    loop {
        let count = callers.receive(caller, buffer);
        hears.expect(&buffer[..count]);
        if count < buffer.len() {
            return;
        }
    }
}

/// Frames for each second, there and back.
fn frames_per_second(topology: Topology, trigger: &str, frames: u32) -> f64 {
    let server = Server::echo(topology, &format!("{OPTIONS} --trigger {trigger}"));
    let mut callers = Callers::open(server.address, SESSIONS);
    let session =
        |number| Session { says: Script::new(number, frames), hears: Script::new(number, frames) };
    let mut sessions: Vec<Session> = (0..SESSIONS as u32).map(session).collect();
    let begin = Instant::now();
    talk(&mut callers, &mut sessions);
    let took = begin.elapsed();
    server.terminate();
    callers.expect_end();
    server.expect_good_end();
    SESSIONS as f64 * f64::from(frames) / took.as_secs_f64()
}

#[test]
#[ignore = "measures; run it alone in release"]
fn order_holds_in_every_topology() {
    let frames = std::env::var("READYLOOP_FRAMES").map_or(FRAMES, |text| text.parse().unwrap());
    println!("\n{SESSIONS} sessions, {frames} frames each, {OPTIONS}: all back, whole, in order");
    println!("{:<24}{:>16}{:>16}", "frames/s", "level", "edge");
    for topology in Topology::asked_for(&TOPOLOGIES) {
        let [level, edge] =
            ["level", "edge"].map(|trigger| frames_per_second(topology, trigger, frames));
        println!("{:<24}{level:>16.0}{edge:>16.0}", topology.name);
    }
}
