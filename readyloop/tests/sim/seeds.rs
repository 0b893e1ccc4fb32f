//! A thousand worlds, each from one seed: many clients, every fault, and not one byte out of place.
//!
//! A failure prints its seed; `READYLOOP_SEED=17 cargo test --test sim seeds` runs that one alone.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, End, Faults, Leg, Net, Preamble, Rng};
use readyloop::{CloseReason, Errno, Limits, SessionId, Stats, Trigger};

use super::world::{Fact, React, World, framed};
use super::worlds::each_world;

const SEEDS: u64 = 1_200;
pub const POISON: &[u8] = b"meant for the dead";

/// What the server answers to a frame, as a stream of bytes.
pub fn answer(frame: &[u8]) -> Vec<u8> {
    match frame.first() {
        Some(0) => Vec::new(),
        Some(1) => [framed(frame), framed(frame)].concat(),
        Some(2) => framed(&frame.repeat(9)),
        _ => framed(frame),
    }
}

/// Answers in the ways in which a handler can: in one piece, in many, shared.
fn server(dead: Rc<RefCell<Vec<SessionId>>>) -> React {
    let mut turn = 0;
    Box::new(move |fact, context| match fact {
        Fact::Frame(_, frame) => {
            turn += 1;
            let answer = answer(frame);
            match turn % 3 {
                0 => assert_taken(frame, context.send(&answer)),
                1 => answer.chunks(7).for_each(|piece| assert_taken(frame, context.send(piece))),
                _ => assert_taken(frame, context.send_shared(answer.into())),
            }
            // A late send, by a handler that kept the name of a session that has ended.
            if let Some(id) = dead.borrow().last() {
                context.send_to(*id, POISON);
            }
        }
        Fact::PeerFinished(_) => context.close(),
        Fact::Close(id, _) => dead.borrow_mut().push(*id),
        _ => {}
    })
}

/// One caller and what it is going to do.
pub struct Caller {
    pub client: Client,
    script: Vec<u8>,
    sent: usize,
    expected: Vec<u8>,
    gone: bool,
    /// It never ends its stream: nothing that the server owes it comes out only because it has.
    stays: bool,
    /// It closes a Unix socket behind these, and waits for no answer: they are heard all the same.
    last_words: Option<Vec<u8>>,
}

/// The first byte of all frames of those who close without waiting for an answer, and of no others.
const LEAVES: u8 = 3;

/// Whether what was sent to answer a frame was taken, as it must be unless its peer may have gone.
pub fn assert_taken(frame: &[u8], taken: bool) {
    assert!(taken || frame.first() == Some(&LEAVES), "an answer was not taken");
}

impl Caller {
    /// A caller over TCP or over a Unix socket.
    pub fn new(net: &Net, listener: usize, rng: &mut Rng) -> Caller {
        let (client, leaves) = match rng.below(3) {
            0 => (net.connect_unix(listener), rng.below(2) == 0),
            _ => (net.connect(listener), false),
        };
        let last_words = leaves.then(|| [&[LEAVES][..], &rng.bits().to_be_bytes()].concat());
        let (mut script, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..rng.below(12) {
            let longest = [3, 40, 400, 5_000][rng.below(4)];
            let length = rng.below(longest);
            let mut frame: Vec<u8> = (0..length).map(|_| rng.below(256) as u8).collect();
            if let Some(first) = frame.first_mut() {
                *first = if leaves { LEAVES } else { *first - u8::from(*first == LEAVES) };
            }
            if frame.is_empty() && leaves {
                frame.push(LEAVES);
            }
            script.extend(framed(&frame));
            expected.extend(answer(&frame));
        }
        script.extend(last_words.iter().flat_map(|words| framed(words)));
        let stays = rng.below(2) == 0;
        Caller { client, script, sent: 0, expected, gone: false, stays, last_words }
    }

    /// Its stream begins with its part of this, and what it receives with the server's; who waits for
    /// no answer has no part for the server, which could not say it.
    pub fn begin_with(&mut self, mut preamble: Preamble) {
        if self.last_words.is_some() {
            preamble.legs.retain(|leg| matches!(leg, Leg::Hears(_)));
        }
        self.script.splice(..0, vec![b'?'; preamble.bytes()]);
        self.expected.splice(..0, preamble.said());
        self.client.begin_with(preamble);
    }

    fn send_some(&mut self, rng: &mut Rng) {
        let left = self.script.len() - self.sent;
        if self.gone || left == 0 {
            return;
        }
        let count = rng.below(left) + 1;
        self.client.send(&self.script[self.sent..self.sent + count]);
        self.sent += count;
    }

    pub fn act(&mut self, rng: &mut Rng) {
        match rng.below(12) {
            0 => self.client.stop_reading(),
            1 | 2 => self.client.resume_reading(),
            3 if rng.below(20) == 0 => {
                self.client.reset();
                self.gone = true;
            }
            _ => self.send_some(rng),
        }
    }

    /// Sends what is left, reads what comes, ends well.
    pub fn conclude(&mut self) {
        self.client.resume_reading();
        if !self.gone && self.client.end().is_none() {
            self.client.send(&self.script[self.sent..]);
            self.sent = self.script.len();
            if self.last_words.is_some() {
                self.client.close();
            } else if !self.stays {
                self.client.finish();
            }
        }
    }

    /// Whether the caller has all that it was owed, and was heard. `false` for one that was refused
    /// at the door: it has not one byte.
    pub fn was_served(&self, facts: &[Fact], seed: u64) -> bool {
        if let Some(words) = &self.last_words {
            let heard = |fact: &Fact| matches!(fact, Fact::Frame(_, frame) if frame == words);
            return self.gone || facts.iter().any(heard);
        }
        let received = self.client.received();
        let begins = self.expected.starts_with(&received);
        assert!(begins, "seed {seed}: {:?} received what was not for it", self.client);
        let end = self.client.end();
        let expected = if self.stays { None } else { Some(End::Finished) };
        let stays = self.gone || self.stays;
        assert!(end.is_some() || stays, "seed {seed}: {:?} was forgotten", self.client);
        let whole = received.len() == self.expected.len() && end == expected;
        assert!(
            whole || self.gone || received.is_empty(),
            "seed {seed}: {:?} received {} of {} bytes, then {end:?}",
            self.client,
            received.len(),
            self.expected.len()
        );
        whole || self.gone
    }
}

/// After this time whatever has failed for want of memory was tried again, and a listener too.
pub const LONGEST_RETRY: Duration = Duration::from_millis(300);

/// The faults of a world in which the kernel has all the memory that it needs from now on.
pub fn memory_is_back(seed: u64) -> Faults {
    Faults { memory_short: 0, watch_refused: 0, rearm_refused: 0, ..Faults::random(seed) }
}

/// How many callers a reactor may have refused.
pub fn refusals(stats: &Stats) -> u64 {
    let unwatched = stats.closed[CloseReason::System(Errno::NOSPC).kind()];
    stats.refused_by_descriptors + stats.accepts_skipped + unwatched
}

pub fn small_limits(rng: &mut Rng) -> Limits {
    let send_high_bytes = 64 + rng.below(4_000);
    Limits {
        recv_buffer_bytes: 64 + rng.below(1_000),
        recv_budget_bytes: 1 + rng.below(2_000),
        send_low_bytes: rng.below(send_high_bytes),
        send_high_bytes,
        send_budget_bytes: 1 + rng.below(5_000),
        accepts_per_turn: 1 + rng.below(4),
        mails_per_turn: 1 + rng.below(3),
        timers_per_turn: 1 + rng.below(3),
        // A caller that stops reading comes back, however long it takes.
        write_timeout: None,
        ..Limits::default()
    }
}

/// Every session that was opened ended once, and was told nothing afterwards.
pub fn check_lives(facts: &[Fact], seed: u64) {
    let mut lives: HashMap<SessionId, bool> = HashMap::new();
    for fact in facts {
        match fact {
            Fact::Open(id) => {
                assert_eq!(lives.insert(*id, true), None, "seed {seed}: {id} was opened twice");
            }
            Fact::Close(id, reason) => {
                let was = lives.insert(*id, false);
                assert_eq!(was, Some(true), "seed {seed}: {id} was closed twice or never opened");
                let expected =
                    [CloseReason::PeerFinished, CloseReason::PeerReset, CloseReason::Stopped];
                assert!(expected.contains(reason), "seed {seed}: {id} ended with {reason}");
            }
            Fact::Frame(id, _) | Fact::PeerFinished(id) | Fact::Drained(id) => {
                assert_eq!(lives.get(id), Some(&true), "seed {seed}: {id} was told {fact:?}");
            }
            _ => {}
        }
    }
    assert!(lives.values().all(|alive| !alive), "seed {seed}: a session did not end");
}

fn live(seed: u64) {
    let mut rng = Rng::new(seed);
    let trigger = [Trigger::Level, Trigger::Edge][rng.below(2)];
    let limits = small_limits(&mut rng);
    let dead = Rc::new(RefCell::new(Vec::new()));
    let react = server(dead.clone());
    let mut world = World::with_faults(seed, trigger, Faults::random(seed), limits, react);
    let mut callers: Vec<Caller> = Vec::new();
    for _ in 0..rng.below(150) {
        match rng.below(10) {
            0 if callers.len() < 20 => {
                callers.push(Caller::new(&world.net, 0, &mut rng));
            }
            1 => assert!(world.turn()),
            2 => {
                // As 0, but from another thread.
                if let Some(id) = dead.borrow().first() {
                    world.remote.send(*id, POISON).unwrap();
                }
            }
            3 if rng.below(10) == 0 => {
                // Nobody is in anybody's way: so the reactor must come to rest.
                callers.iter().for_each(|caller| caller.client.resume_reading());
                world.settle();
            }
            4 if rng.below(30) == 0 => world.net.advance(Duration::from_millis(50)),
            _ if callers.is_empty() => {}
            _ => {
                let some = rng.below(callers.len());
                callers[some].act(&mut rng);
            }
        }
    }
    callers.iter_mut().for_each(Caller::conclude);
    world.net.settle(200_000, || {
        world.reactor.turn().unwrap();
    });
    world.net.set_faults(memory_is_back(seed));
    world.net.advance(LONGEST_RETRY);
    world.settle();
    // A listener that rests is not in sight of the wait; give it its time.
    world.turn_while(|_| callers.iter().any(|caller| caller.client.is_waiting()));
    world.settle();
    let mut facts = world.facts();
    let refused = callers.iter().filter(|caller| !caller.was_served(&facts, seed)).count() as u64;
    let may = refusals(world.reactor.stats());
    assert!(refused <= may, "seed {seed}: {refused} callers got nothing, {may} were refused");
    world.remote.stop();
    world.run_out();
    facts.extend(world.facts());
    check_lives(&facts, seed);
}

fn seeds(part: u64) {
    each_world(SEEDS, "seeds", |seed| {
        if seed % 2 == part {
            live(seed);
        }
    });
}

#[test]
fn every_stream_is_exact_in_every_even_world() {
    seeds(0);
}

#[test]
fn every_stream_is_exact_in_every_odd_world() {
    seeds(1);
}
