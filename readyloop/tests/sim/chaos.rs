//! Handlers that do everything that a handler may do, at any time and to anybody: whatever they do,
//! every session lives once and nothing is left behind.
//!
//! `READYLOOP_SEED=17 cargo test --test sim chaos` runs one world alone.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, Faults, Net, Rng};
use readyloop::{Address, Bytes, CloseReason, Context, Limits, SessionId, Stats, TimerId, Trigger};

use super::world::{Fact, React, World, framed};
use super::worlds::each_world;

const SEEDS: u64 = 800;

/// What the handlers know of each other.
struct Chaos {
    rng: Rng,
    ids: Vec<SessionId>,
    timers: Vec<TimerId>,
    dialled: Rc<RefCell<Vec<SessionId>>>,
}

impl Chaos {
    fn anybody(&mut self, context: &Context<'_>) -> SessionId {
        match self.ids.len() {
            0 => context.id(),
            count => self.ids[self.rng.below(count)],
        }
    }

    fn dial(&mut self, context: &mut Context<'_>, span: Duration) {
        let to: Address = "10.9.9.9:9".parse().unwrap();
        let id = context.connect(&to, span);
        self.ids.extend(id);
        self.dialled.borrow_mut().extend(id);
    }

    fn act(&mut self, context: &mut Context<'_>) {
        let span = Duration::from_millis(self.rng.below(50) as u64);
        let other = self.anybody(context);
        match self.rng.below(24) {
            0..6 => drop(std::hint::black_box(context.send(&[1; 300]))),
            6 => {
                context.send_shared(Bytes::from(vec![2; 5_000]));
            }
            7 | 8 => {
                context.send_to(other, &[3; 700]);
            }
            9 => context.close(),
            10 => context.abort(),
            11 => {
                context.close_session(other);
            }
            12 => {
                context.abort_session(other);
            }
            13..16 => self.timers.extend(context.set_timer(span)),
            16 | 17 if !self.timers.is_empty() => {
                let timer = self.timers[self.rng.below(self.timers.len())];
                match self.rng.below(2) {
                    0 => context.reset_timer(timer, span),
                    _ => context.cancel_timer(timer),
                };
            }
            18 => self.dial(context, span),
            19 if self.rng.below(4) == 0 => panic!("chaos"),
            20 => {
                context.pause_until_drained();
            }
            21 if self.rng.below(100) == 0 => context.stop(),
            _ => {}
        }
    }
}

pub fn chaos(seed: u64, dialled: Rc<RefCell<Vec<SessionId>>>) -> React {
    let rng = Rng::new(!seed);
    let mut chaos = Chaos { rng, ids: Vec::new(), timers: Vec::new(), dialled };
    Box::new(move |fact, context| {
        if let Fact::Open(id) = fact {
            chaos.ids.push(*id);
        }
        if let Fact::ConnectFailed(..) = fact {
            // Whoever fails tries again, for ever.
            chaos.dial(context, Duration::from_millis(1));
        }
        for _ in 0..chaos.rng.below(3) {
            chaos.act(context);
        }
    })
}

/// A caller over TCP or over a Unix socket.
pub fn somebody(net: &Net, listener: usize, rng: &mut Rng) -> Client {
    match rng.below(3) {
        0 => net.connect_unix(listener),
        _ => net.connect(listener),
    }
}

pub fn disturb(client: &Client, rng: &mut Rng) {
    match rng.below(10) {
        0 => client.stop_reading(),
        1 | 2 => client.resume_reading(),
        3 => client.set_window(rng.below(2_000)),
        _ => {}
    }
}

/// Whoever still may sends something, or ends in one way or another.
pub fn speak(clients: &mut Vec<Client>, rng: &mut Rng) {
    let nth = rng.below(clients.len());
    match rng.below(14) {
        0 => clients.swap_remove(nth).finish(),
        1 => clients.swap_remove(nth).reset(),
        2 => clients.swap_remove(nth).close(),
        3 => clients[nth].send(&[0xFF; 9]),
        _ => clients[nth].send(&framed(&vec![7; rng.below(600)])),
    }
}

/// Every session was opened and closed once, and told nothing before or after, and of what its peer
/// does nothing after its last word; every one that was dialled was opened or failed.
pub fn check_lives(facts: &[Fact], dialled: &[SessionId], seed: u64) {
    let mut alive: HashMap<SessionId, bool> = HashMap::new();
    let mut closing = HashSet::new();
    for fact in facts {
        if let Fact::Frame(id, _) | Fact::PeerFinished(id) = fact {
            assert!(!closing.contains(id), "seed {seed}: {id} was told {fact:?} after its end");
        }
        match fact {
            Fact::Open(id) => {
                assert_eq!(alive.insert(*id, true), None, "seed {seed}: {id} was opened twice");
            }
            Fact::ConnectFailed(id, _) => {
                assert_eq!(alive.insert(*id, false), None, "seed {seed}: {id} failed after all");
            }
            Fact::Close(id, _) => {
                let was = alive.insert(*id, false);
                assert_eq!(was, Some(true), "seed {seed}: {id} was closed twice, or never opened");
            }
            Fact::Closing(id, _) => {
                assert!(closing.insert(*id), "seed {seed}: {id} was told {fact:?} again");
                assert_eq!(alive.get(id), Some(&true), "seed {seed}: {id} was told {fact:?}");
            }
            Fact::Frame(id, _)
            | Fact::Timer(id, _)
            | Fact::Drained(id)
            | Fact::PeerFinished(id) => {
                assert_eq!(alive.get(id), Some(&true), "seed {seed}: {id} was told {fact:?}");
            }
        }
    }
    for id in dialled {
        assert!(alive.contains_key(id), "seed {seed}: nothing came of dialling {id}");
    }
}

/// Lives through one world, and says what was counted in it.
fn live(seed: u64) -> Stats {
    let mut rng = Rng::new(seed);
    let trigger = [Trigger::Level, Trigger::Edge][rng.below(2)];
    let limits = Limits {
        recv_buffer_bytes: 64 + rng.below(300),
        send_low_bytes: 100,
        send_high_bytes: 1_000,
        send_max_bytes: 6_000,
        sessions_max: 15,
        idle_timeout: Some(Duration::from_millis(200)),
        handshake_timeout: Some(Duration::from_millis(100)),
        write_timeout: Some(Duration::from_millis(20)),
        linger_timeout: Duration::from_millis(30),
        drain_timeout: Duration::from_millis(60),
        ..Limits::default()
    };
    let faults = Faults::random(seed);
    let dialled: Rc<RefCell<Vec<_>>> = Rc::default();
    let mut world = World::with_faults(seed, trigger, faults, limits, chaos(seed, dialled.clone()));
    let (mut clients, mut all): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(300) {
        match rng.below(11) {
            10 => {
                // From another thread, to somebody who may be long gone.
                let somebody = dialled.borrow().last().copied().unwrap_or(SessionId::NONE);
                match rng.below(4) {
                    0 => world.remote.send(somebody, &b"mail"[..]).unwrap(),
                    1 => world.remote.close(somebody).unwrap(),
                    2 => world.remote.abort(somebody).unwrap(),
                    _ => world.remote.run_on(0, move |context| context.close()).unwrap(),
                }
            }
            0 | 1 => {
                clients.push(somebody(&world.net, 0, &mut rng));
                all.extend(clients.last().cloned());
            }
            // A handler may have stopped the server.
            2..5 if !world.turn() => break,
            2..5 => {}
            5 => {
                if let Some(peer) = world.net.dialled() {
                    match rng.below(3) {
                        0 => peer.refuse(readyloop::Errno::CONNREFUSED),
                        1 => peer.accept(),
                        _ => {}
                    }
                }
            }
            6 => all.iter().for_each(|client| disturb(client, &mut rng)),
            _ if clients.is_empty() => {}
            _ => speak(&mut clients, &mut rng),
        }
    }
    match rng.below(4) {
        0 => world.net.signal(),
        1 => world.remote.stop_now(),
        2 => (0..2).for_each(|_| world.net.signal()),
        _ => world.remote.stop(),
    }
    world.run_out();
    let facts = world.facts();
    check_lives(&facts, &dialled.borrow(), seed);
    assert_eq!(world.reactor.session_count(), 0, "seed {seed}");
    let stats = world.reactor.stats();
    let closes = facts.iter().filter(|fact| matches!(fact, Fact::Close(..))).count() as u64;
    assert_eq!(closes, stats.opened, "seed {seed}: {stats:?}");
    stats.clone()
}

#[test]
fn whatever_handlers_do_every_session_lives_once() {
    let mut closed = [0; CloseReason::KINDS];
    let ordinary = each_world(SEEDS, "chaos", |seed| {
        live(seed).closed.iter().zip(&mut closed).for_each(|(n, sum)| *sum += n);
    });
    if !ordinary {
        return;
    }
    // The worlds are wide enough: sessions have ended in every way that there is.
    let never: Vec<_> =
        CloseReason::KIND_NAMES.iter().zip(closed).filter(|(_, n)| *n == 0).collect();
    let outside = ["peer_lost", "malformed", "too_slow", "framer_broke"];
    assert!(never.iter().map(|(kind, _)| **kind).eq(outside), "{closed:?}");
}
