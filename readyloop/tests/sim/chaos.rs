//! Handlers that do everything that a handler may do, at any time and to anybody: whatever they do,
//! every session lives once and nothing is left behind.
//!
//! `READYLOOP_SEED=17 cargo test --test sim chaos` runs one world alone.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use readyloop::sim::{Client, Faults, Net, Rng};
use readyloop::{
    Address, Bytes, CloseReason, Context, Encoding, Group, Header, HeaderBytes, Limits, Refused,
    SessionId, SlowMember, Stats, TimerId, Trigger,
};

use super::world::{Fact, React, Remote, Told, World, framed};
use super::worlds::each_world;

const SEEDS: u64 = 800;

/// What the handlers of all threads, and the world, have in common.
#[derive(Default)]
pub struct Common {
    /// With which handlers ask too, if there is one.
    pub remote: Option<Remote>,
    /// Who was dialled.
    pub dialled: Vec<SessionId>,
    groups: Vec<Group>,
    /// Who was cut off by its own handler.
    lost: HashSet<SessionId>,
    /// What handlers were told, or answered, that must not be.
    wrong: Vec<String>,
    /// How many messages have been made, and dropped.
    told: Arc<[AtomicUsize; 2]>,
}

pub type Shared = Arc<Mutex<Common>>;

/// For handlers that have a `Remote` once it is put here.
pub fn common() -> Shared {
    let policies = [SlowMember::PauseSender, SlowMember::DropMessage, SlowMember::CloseMember];
    let groups = policies.map(Group::new).into();
    Arc::new(Mutex::new(Common { groups, ..Common::default() }))
}

/// More than all that are ever asked to join in a world.
const COUNT_MAX: usize = 1 << 20;

/// Nothing went wrong, and of no group has left who was not in it. Who has been counted and not joined
/// yet when a server ends stays counted.
pub fn check_common(common: &Shared, seed: u64) {
    let common = common.lock().unwrap();
    assert_eq!(common.wrong, [""; 0], "seed {seed}");
    let [made, dropped] = [0, 1].map(|nth| common.told[nth].load(Ordering::Relaxed));
    assert_eq!(made, dropped, "seed {seed}: a message was lost, or dropped twice");
    let members: Vec<_> = common.groups.iter().map(Group::len).collect();
    let is_sane = |count: &usize| *count < COUNT_MAX;
    assert!(members.iter().all(is_sane), "seed {seed}: less than nobody is left of {members:?}");
}

/// Who was dialled last, if anybody was.
pub fn last_dialled(common: &Shared) -> SessionId {
    common.lock().unwrap().dialled.last().copied().unwrap_or(SessionId::NONE)
}

/// In half of the worlds handlers ask by a `Remote` too; in the others sessions live longer.
pub fn give_remote(common: &Shared, remote: &Remote, seed: u64) {
    common.lock().unwrap().remote = (seed % 2 == 1).then(|| remote.clone());
}

struct Chaos {
    rng: Rng,
    ids: Vec<SessionId>,
    timers: Vec<TimerId>,
    common: Shared,
}

fn dial(common: &Shared, context: &mut Context<'_>, span: Duration) -> Option<SessionId> {
    let to: Address = "10.9.9.9:9".parse().unwrap();
    let id = context.connect(&to, span);
    common.lock().unwrap().dialled.extend(id);
    id
}

impl Chaos {
    fn anybody(&mut self, context: &Context<'_>) -> SessionId {
        match self.ids.len() {
            0 => context.id(),
            count => self.ids[self.rng.below(count)],
        }
    }

    fn dial(&mut self, context: &mut Context<'_>, span: Duration) {
        self.ids.extend(dial(&self.common, context, span));
    }

    /// The session that is served is over for its handler.
    fn is_lost(&mut self, context: &Context<'_>) {
        if context.id() != SessionId::NONE {
            self.common.lock().unwrap().lost.insert(context.id());
        }
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
            10 => {
                context.abort();
                self.is_lost(context);
            }
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
            19 if self.rng.below(4) == 0 => {
                self.is_lost(context);
                panic!("chaos");
            }
            20 => {
                context.pause_until_drained();
            }
            21 if self.rng.below(100) == 0 => context.stop(),
            _ => {}
        }
    }

    /// More of it, by a `Remote` and with groups, if there is one.
    fn act_by_remote(&mut self, context: &mut Context<'_>) {
        let Some(remote) = self.common.lock().unwrap().remote.clone() else { return };
        for _ in 0..self.rng.below(3) {
            let group = self.common.lock().unwrap().groups[self.rng.below(3)].clone();
            match self.rng.below(8) {
                0 => context.join(&group),
                1 => context.leave(&group),
                2 => context.broadcast(&group, vec![4; 200]),
                3 => {
                    context.set_encoding(Encoding::header(&BARS));
                }
                _ => {
                    let some = if self.rng.below(2) == 0 { None } else { Some(context.id()) };
                    let to = some.unwrap_or_else(|| self.anybody(context));
                    let _perhaps_full = ask(&mut self.rng, &remote, to, &group, &self.common);
                }
            }
        }
    }
}

/// Each message behind a bar.
static BARS: Header = Header { head: |_| HeaderBytes::new(b"|"), closing: b"|bye" };

/// Asks for something by a `Remote`, of any session.
fn ask(
    rng: &mut Rng,
    remote: &Remote,
    to: SessionId,
    group: &Group,
    common: &Shared,
) -> Result<(), Refused> {
    match rng.below(15) {
        0..4 => remote.send(to, vec![5; 300]),
        4 => remote.send(to, vec![6; 7_000]),
        5 => remote.close(to),
        6 => remote.abort(to),
        7 | 8 => remote.join(to, group),
        9 => remote.leave(to, group),
        10 => remote.broadcast(group, vec![7; 200]),
        14 => tell(rng, remote, to, common),
        11 if rng.below(100) == 0 => {
            remote.stop();
            Ok(())
        }
        12 if rng.below(200) == 0 => {
            remote.stop_now();
            Ok(())
        }
        _ => {
            let reactor = rng.below(remote.reactors()) as u8;
            let (common, group, seed) = (common.clone(), group.clone(), rng.bits());
            remote.run_on(reactor, move |context| run(seed, to, &group, &common, context))
        }
    }
}

/// Tells any session something, of which some is said once more when it is dropped.
fn tell(rng: &mut Rng, remote: &Remote, to: SessionId, common: &Shared) -> Result<(), Refused> {
    let told = common.lock().unwrap().told.clone();
    told[0].fetch_add(1, Ordering::Relaxed);
    let again = (rng.below(2) == 0).then(|| remote.clone());
    let message = Told::dropping("chaos", move || {
        told[1].fetch_add(1, Ordering::Relaxed);
        let _perhaps_stopped = again.map(|remote| remote.send(to, vec![8; 100]));
    });
    remote.tell_weighing(to, message, rng.below(1_000))
}

/// What is run on a reactor: there is no session.
fn run(seed: u64, to: SessionId, group: &Group, common: &Shared, context: &mut Context<'_>) {
    let mut rng = Rng::new(seed);
    for _ in 0..rng.below(4) {
        match rng.below(12) {
            0 | 1 => context.send_to(to, &[8; 400]),
            2 => context.send_shared_to(to, Bytes::from(vec![9; 2_000])),
            3 => context.broadcast(group, vec![10; 200]),
            4 => context.close_session(to),
            5 => context.abort_session(to),
            6 => drop(dial(common, context, Duration::from_millis(10))),
            7 if rng.below(4) == 0 => panic!("chaos"),
            8 => {
                context.close();
                context.join(group);
                let timer = context.set_timer(Duration::ZERO);
                if context.send(b"to nobody") || timer.is_some() {
                    common.lock().unwrap().wrong.push("who is nobody was served".to_string());
                }
            }
            _ => {
                let remote = common.lock().unwrap().remote.clone();
                let _perhaps_full = remote.map(|remote| ask(&mut rng, &remote, to, group, common));
            }
        }
    }
}

pub fn chaos(seed: u64, common: Shared) -> React {
    let rng = Rng::new(!seed);
    let mut chaos = Chaos { rng, ids: Vec::new(), timers: Vec::new(), common };
    Box::new(move |fact, context| {
        if chaos.common.lock().unwrap().lost.contains(&context.id())
            && !matches!(fact, Fact::Close(..))
        {
            let wrong = format!("{} is lost, and was told {fact:?}", context.id());
            chaos.common.lock().unwrap().wrong.push(wrong);
        }
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
        chaos.act_by_remote(context);
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
        if let Fact::Frame(id, _) | Fact::Message(id, _) | Fact::PeerFinished(id) = fact {
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
            | Fact::Message(id, _)
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
    let (common, faults) = (common(), Faults::random(seed));
    let mut world = World::with_faults(seed, trigger, faults, limits, chaos(seed, common.clone()));
    give_remote(&common, &world.remote, seed);
    let (mut clients, mut all): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(300) {
        match rng.below(11) {
            10 => {
                // From another thread, to somebody who may be long gone.
                let somebody = last_dialled(&common);
                let _perhaps_stopped = match rng.below(5) {
                    0 => world.remote.send(somebody, &b"mail"[..]),
                    1 => world.remote.close(somebody),
                    2 => world.remote.abort(somebody),
                    3 => tell(&mut rng, &world.remote, somebody, &common),
                    _ => world.remote.run_on(0, move |context| context.close()),
                };
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
    check_lives(&facts, &common.lock().unwrap().dialled, seed);
    check_common(&common, seed);
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
    let outside = ["peer_lost", "malformed", "framer_broke"];
    assert!(never.iter().map(|(kind, _)| **kind).eq(outside), "{closed:?}");
}
