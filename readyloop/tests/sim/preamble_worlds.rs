//! Random worlds of every topology, in which some callers have a preamble to run before they are
//! sessions, and others never come through: not one byte out of place, and every session lives once.
//!
//! A failure prints its seed; `READYLOOP_SEED=17 cargo test --test sim preamble_worlds` runs that one
//! alone.

use std::time::Duration;

use readyloop::sim::{Client, Faults, Leg, Net, Preamble, Rng};
use readyloop::{Balance, CloseReason, Errno, Limits};

use super::preambles::opened;
use super::seeds::{
    Caller, LONGEST_RETRY, answer, assert_taken, check_lives, memory_is_back, refusals,
    small_limits,
};
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React};
use super::worlds::each_world;

const SEEDS: u64 = 600;

fn some_preamble(rng: &mut Rng) -> Preamble {
    let leg = |rng: &mut Rng| match rng.below(3) {
        0 => Leg::Says(rng.below(200)),
        _ => Leg::Hears(rng.below(200)),
    };
    let mut legs: Vec<Leg> = (0..rng.below(4)).map(|_| leg(rng)).collect();
    legs.push(Leg::Hears(1 + rng.below(50)));
    let address = format!("192.0.2.{}:7", rng.below(9));
    let address = (rng.below(2) == 0).then(|| address.parse().unwrap());
    Preamble { legs, address, refused: None, reads_ahead: rng.below(2) == 0 }
}

/// Somebody who never comes through, in one way or another.
fn somebody_rude(net: &Net, listener: usize, rng: &mut Rng) -> Client {
    let client = if rng.below(2) == 0 { net.connect(listener) } else { net.connect_unix(listener) };
    let mut preamble = some_preamble(rng);
    let bytes = preamble.bytes();
    match rng.below(5) {
        0 => preamble.refused = Some("it is refused"),
        _ => preamble.legs.push(Leg::Hears(1)),
    }
    client.begin_with(preamble);
    match rng.below(5) {
        0 => {}
        1 => client.send(&vec![b'?'; rng.below(bytes)]),
        _ => client.send(&vec![b'?'; bytes]),
    }
    match rng.below(5) {
        0 => client.finish(),
        1 => client.close(),
        2 => client.reset(),
        3 => client.stop_reading(),
        _ => {}
    }
    client
}

/// Answers each frame.
fn server() -> React {
    Box::new(|fact, context| match fact {
        Fact::Frame(_, frame) => assert_taken(frame, context.send(&answer(frame))),
        Fact::PeerFinished(_) => context.close(),
        _ => {}
    })
}

fn some_plan(rng: &mut Rng) -> Plan {
    match rng.below(5) {
        0 => Plan::Single,
        1 => Plan::Handoff(1 + rng.below(3), Balance::LeastSessions),
        2 => Plan::ReusePort(1 + rng.below(3)),
        3 => Plan::Pool(1 + rng.below(2), 1 + rng.below(3)),
        _ => Plan::Workers(1 + rng.below(3)),
    }
}

fn live(seed: u64) {
    let mut rng = Rng::new(seed);
    let plan = some_plan(&mut rng);
    let trigger = BOTH[rng.below(2)];
    let an_hour = Duration::from_secs(3_600);
    // On a slow network a minute may pass before the last caller has said all of its own.
    let limits = Limits {
        preamble_timeout: an_hour,
        drain_timeout: an_hour,
        linger_timeout: an_hour,
        ..small_limits(&mut rng)
    };
    let mut town = Town::new(seed, plan, trigger, Faults::random(seed), &limits, server);
    // A thread with nothing to do would jump to the time at which a slow caller's is over.
    town.net.hold_clock(true);
    let (mut callers, mut rude): (Vec<Caller>, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(200) {
        let listener = rng.below(town.listeners);
        match rng.below(10) {
            0 if callers.len() < 20 => {
                let mut caller = Caller::new(&town.net, listener, &mut rng);
                if rng.below(3) > 0 {
                    caller.begin_with(some_preamble(&mut rng));
                }
                callers.push(caller);
            }
            1 if rude.len() < 10 => rude.push(somebody_rude(&town.net, listener, &mut rng)),
            2..=5 => town.step(),
            6 if rng.below(10) == 0 => town.settle(),
            7 if rng.below(30) == 0 => town.net.advance(Duration::from_millis(50)),
            _ if callers.is_empty() => {}
            _ => {
                let some = rng.below(callers.len());
                callers[some].act(&mut rng);
            }
        }
    }
    town.net.set_faults(memory_is_back(seed));
    callers.iter_mut().for_each(Caller::conclude);
    town.settle();
    town.net.advance(LONGEST_RETRY);
    town.settle();
    // A listener that rests is given its time.
    let clients = || callers.iter().map(|caller| &caller.client).chain(&rude);
    while clients().any(Client::is_waiting) {
        town.net.advance(limits.listener_rest);
        town.settle();
    }
    let mut facts = town.facts();
    let refused = callers.iter().filter(|caller| !caller.was_served(&facts, seed)).count() as u64;
    let may = refusals(&town.stats());
    assert!(refused <= may, "seed {seed}: {refused} callers got nothing, {may} were refused");
    town.net.hold_clock(false);
    town.remote.stop();
    town.run_out();
    facts.extend(town.facts());
    check_lives(&facts, seed);
    let stats = town.stats();
    let unwatched = stats.closed[CloseReason::System(Errno::NOSPC).kind()];
    assert_eq!(stats.opened, opened(&facts) as u64, "seed {seed}");
    assert!(stats.opened <= callers.len() as u64, "seed {seed}: somebody rude was let in");
    let ended = stats.opened + stats.preambles_failed;
    let all = ended..=ended + unwatched;
    assert!(all.contains(&stats.closed_total()), "seed {seed}: {stats:?}");
    assert_eq!(stats.panics, 0, "seed {seed}");
}

#[test]
fn every_stream_is_exact_in_every_world_with_preambles() {
    each_world(SEEDS, "preamble_worlds", live);
}
