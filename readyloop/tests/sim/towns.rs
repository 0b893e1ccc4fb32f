//! Random worlds of every topology, the steps of their threads interleaved by the seed: not one byte
//! out of place, and every session lives once.
//!
//! A failure prints its seed; `READYLOOP_SEED=17 cargo test --test sim towns` runs that one alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, Faults, Rng};
use readyloop::{Balance, Limits, SessionId};

use super::chaos::{
    chaos, check_common, common, disturb, give_remote, last_dialled, somebody, speak,
};
use super::seeds::{
    Caller, LONGEST_RETRY, POISON, answer, assert_taken, check_lives, memory_is_back, refusals,
    small_limits,
};
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React};
use super::worlds::each_world;

const SEEDS: u64 = 1_000;

type Names = Rc<RefCell<Vec<SessionId>>>;

/// Answers in the ways in which a handler can, and sends to whoever is dead.
fn server(dead: &Names) -> React {
    let (dead, mut turn) = (dead.clone(), 0);
    Box::new(move |fact, context| match fact {
        Fact::Frame(_, frame) => {
            turn += 1;
            let answer = answer(frame);
            match turn % 3 {
                0 => assert_taken(frame, context.send(&answer)),
                1 => answer.chunks(7).for_each(|piece| assert_taken(frame, context.send(piece))),
                _ => assert_taken(frame, context.send_shared(answer.into())),
            }
            if let Some(id) = dead.borrow().last() {
                context.send_to(*id, POISON);
            }
        }
        Fact::PeerFinished(_) => context.close(),
        Fact::Close(id, _) => dead.borrow_mut().push(*id),
        _ => {}
    })
}

fn some_plan(rng: &mut Rng, workers: bool) -> Plan {
    let count = 1 + rng.below(3);
    match rng.below(4) {
        0 | 1 if workers => Plan::Pool(1 + rng.below(3), count),
        _ if workers => Plan::Workers(count),
        0 => Plan::ReusePort(count),
        1 => Plan::Handoff(count, Balance::LeastSessions),
        2 => Plan::Handoff(count, Balance::SourceHash),
        _ => Plan::Handoff(count, Balance::RoundRobin),
    }
}

fn live(seed: u64, workers: bool) {
    let mut rng = Rng::new(seed);
    let plan = some_plan(&mut rng, workers);
    let trigger = BOTH[rng.below(2)];
    let limits = Limits {
        lane_bytes_max: 1 + rng.below(2_000),
        lane_frames_per_run: 1 + rng.below(4),
        mailbox_mails_max: 4 + rng.below(20),
        // Every thread's wait lets time pass: what is slow here need not be slow.
        drain_timeout: Duration::from_secs(3_600),
        linger_timeout: Duration::from_secs(3_600),
        ..small_limits(&mut rng)
    };
    let dead = Names::default();
    let mut town = Town::new(seed, plan, trigger, Faults::random(seed), &limits, || server(&dead));
    let mut callers: Vec<Caller> = Vec::new();
    for _ in 0..rng.below(200) {
        match rng.below(10) {
            0 if callers.len() < 20 => {
                let listener = rng.below(town.listeners);
                callers.push(Caller::new(&town.net, listener, &mut rng));
            }
            1..=4 => town.step(),
            5 => {
                if let Some(id) = dead.borrow().first() {
                    let _perhaps_full = town.remote.send(*id, POISON);
                }
            }
            6 if rng.below(10) == 0 => {
                callers.iter().for_each(|caller| caller.client.resume_reading());
                town.settle();
            }
            7 if rng.below(30) == 0 => town.net.advance(Duration::from_millis(50)),
            _ if callers.is_empty() => {}
            _ => {
                let some = rng.below(callers.len());
                callers[some].act(&mut rng);
            }
        }
    }
    callers.iter_mut().for_each(Caller::conclude);
    town.settle();
    town.net.set_faults(memory_is_back(seed));
    town.net.advance(LONGEST_RETRY);
    town.settle();
    town.step_while(|| callers.iter().any(|caller| caller.client.is_waiting()));
    town.settle();
    let mut facts = town.facts();
    let refused = callers.iter().filter(|caller| !caller.was_served(&facts, seed)).count() as u64;
    let may = refusals(&town.stats());
    assert!(refused <= may, "seed {seed}: {refused} callers got nothing, {may} were refused");
    town.remote.stop();
    town.run_out();
    facts.extend(town.facts());
    check_lives(&facts, seed);
    let stats = town.stats();
    assert_eq!(stats.panics, 0, "seed {seed}");
}

fn seeds(workers: bool) {
    each_world(SEEDS, "towns", |seed| live(seed, workers));
}

#[test]
fn every_stream_is_exact_in_every_world_of_many_reactors() {
    seeds(false);
}

#[test]
fn every_stream_is_exact_in_every_world_of_workers() {
    seeds(true);
}

/// As in `chaos`: handlers that do anything to anybody, peers that end in every way, and a server
/// that is stopped in every way.
fn live_in_chaos(seed: u64, workers: bool) {
    let mut rng = Rng::new(seed);
    let (plan, trigger) = (some_plan(&mut rng, workers), BOTH[rng.below(2)]);
    let limits = Limits {
        recv_buffer_bytes: 64 + rng.below(300),
        send_low_bytes: 100,
        send_high_bytes: 1_000,
        send_max_bytes: 6_000,
        sessions_max: 15,
        idle_timeout: Some(Duration::from_millis(200)),
        write_timeout: Some(Duration::from_millis(20)),
        lane_bytes_max: 1 + rng.below(1_000),
        lane_frames_per_run: 1 + rng.below(4),
        mailbox_mails_max: 1 + rng.below(20),
        linger_timeout: Duration::from_millis(30),
        drain_timeout: Duration::from_millis(60),
        ..Limits::default()
    };
    let (common, made) = (common(), Cell::new(seed));
    let faults = Faults::random(seed);
    let mut town = Town::new(seed, plan, trigger, faults, &limits, || {
        made.set(made.get().wrapping_mul(31) + 7);
        chaos(made.get(), common.clone())
    });
    give_remote(&common, &town.remote, seed);
    let (mut clients, mut all): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(300) {
        match rng.below(11) {
            10 => {
                let somebody = last_dialled(&common);
                let _perhaps_full = match rng.below(4) {
                    0 => town.remote.send(somebody, &b"mail"[..]),
                    1 => town.remote.close(somebody),
                    2 => town.remote.abort(somebody),
                    _ => town.remote.run_on(0, move |context| context.close()),
                };
            }
            0 | 1 => {
                clients.push(somebody(&town.net, rng.below(town.listeners), &mut rng));
                all.extend(clients.last().cloned());
            }
            2..5 => town.step(),
            5 => {
                if let Some(peer) = town.net.dialled() {
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
    match rng.below(3) {
        0 => town.remote.stop_now(),
        1 => (0..2).for_each(|_| town.net.signal()),
        _ => town.remote.stop(),
    }
    town.run_out();
    let facts = town.facts();
    super::chaos::check_lives(&facts, &common.lock().unwrap().dialled, seed);
    check_common(&common, seed);
    let closes = facts.iter().filter(|fact| matches!(fact, Fact::Close(..))).count() as u64;
    assert_eq!(closes, town.stats().opened, "seed {seed}: {:?}", town.stats());
}

fn chaos_seeds(workers: bool) {
    each_world(SEEDS / 2, "towns", |seed| live_in_chaos(seed, workers));
}

#[test]
fn whatever_handlers_on_many_reactors_do_every_session_lives_once() {
    chaos_seeds(false);
}

#[test]
fn whatever_handlers_on_workers_do_every_session_lives_once() {
    chaos_seeds(true);
}
