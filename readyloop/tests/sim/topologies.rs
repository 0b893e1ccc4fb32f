//! Every topology in the simulator, the steps of its threads interleaved by the seed: not one byte
//! out of place, every session lives once, and whatever is asked for the dead reaches nobody.
//!
//! A failure prints its seed; `READYLOOP_SEED=17 cargo test --test sim topologies` runs that one
//! alone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, Faults, Rng};
use readyloop::{Balance, CloseReason, Context, Group, Limits, SessionId, SlowMember, Trigger};

use super::chaos::{chaos, disturb, speak};
use super::seeds::{Caller, POISON, answer, check_lives, refusals, small_limits};
use super::town::{Plan, Town};
use super::world::{BOTH, Fact, React, framed};

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
                0 => assert!(context.send(&answer)),
                1 => answer.chunks(7).for_each(|piece| assert!(context.send(piece))),
                _ => assert!(context.send_shared(answer.into())),
            }
            if let Some(id) = dead.borrow().last() {
                let _perhaps_on_its_way = context.send_to(*id, POISON);
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
                callers.push(Caller::new(town.net.connect(listener), &mut rng));
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
    town.step_while(|| callers.iter().any(|caller| caller.client.is_waiting()));
    town.settle();
    let refused = callers.iter().filter(|caller| !caller.was_served(seed)).count() as u64;
    let may = refusals(&town.stats());
    assert!(refused <= may, "seed {seed}: {refused} callers got nothing, {may} were refused");
    town.remote.stop();
    town.run_out();
    check_lives(&town.facts(), seed);
    let stats = town.stats();
    assert_eq!(stats.panics, 0, "seed {seed}");
}

fn seeds(workers: bool) {
    if let Ok(seed) = std::env::var("READYLOOP_SEED") {
        return live(seed.parse().expect("READYLOOP_SEED is a number"), workers);
    }
    for seed in 0..SEEDS {
        if let Err(panic) = std::panic::catch_unwind(|| live(seed, workers)) {
            eprintln!("READYLOOP_SEED={seed} cargo test --test sim topologies   # this one alone");
            std::panic::resume_unwind(panic);
        }
    }
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
        lane_bytes_max: 1 + rng.below(1_000),
        lane_frames_per_run: 1 + rng.below(4),
        mailbox_mails_max: 1 + rng.below(20),
        linger_timeout: Duration::from_millis(30),
        drain_timeout: Duration::from_millis(60),
        ..Limits::default()
    };
    let (dialled, made) = (Names::default(), Cell::new(seed));
    let faults = Faults { rearm_refused: 20, ..Faults::random(seed) };
    let mut town = Town::new(seed, plan, trigger, faults, &limits, || {
        made.set(made.get().wrapping_mul(31) + 7);
        chaos(made.get(), dialled.clone())
    });
    let (mut clients, mut all): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    for _ in 0..rng.below(300) {
        match rng.below(11) {
            10 => {
                let somebody = dialled.borrow().last().copied().unwrap_or(SessionId::NONE);
                let _perhaps_full = match rng.below(4) {
                    0 => town.remote.send(somebody, &b"mail"[..]),
                    1 => town.remote.close(somebody),
                    2 => town.remote.abort(somebody),
                    _ => town.remote.run_on(0, move |context| context.close()),
                };
            }
            0 | 1 => {
                clients.push(town.net.connect(rng.below(town.listeners)));
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
    super::chaos::check_lives(&facts, &dialled.borrow(), seed);
    let closes = facts.iter().filter(|fact| matches!(fact, Fact::Close(..))).count() as u64;
    assert_eq!(closes, town.stats().opened, "seed {seed}: {:?}", town.stats());
}

fn chaos_seeds(workers: bool) {
    if let Ok(seed) = std::env::var("READYLOOP_SEED") {
        return live_in_chaos(seed.parse().expect("READYLOOP_SEED is a number"), workers);
    }
    for seed in 0..SEEDS / 2 {
        if let Err(panic) = std::panic::catch_unwind(|| live_in_chaos(seed, workers)) {
            eprintln!("READYLOOP_SEED={seed} cargo test --test sim topologies   # this one alone");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_handlers_on_many_reactors_do_every_session_lives_once() {
    chaos_seeds(false);
}

#[test]
fn whatever_handlers_on_workers_do_every_session_lives_once() {
    chaos_seeds(true);
}

const PLANS: [Plan; 3] =
    [Plan::Handoff(2, Balance::RoundRobin), Plan::ReusePort(2), Plan::Workers(2)];

fn quiet(plan: Plan, trigger: Trigger, limits: &Limits, react: impl Fn() -> React) -> Town {
    Town::new(0, plan, trigger, Faults::none(), limits, react)
}

/// Answers each frame with itself.
fn echo() -> React {
    super::world::echo()
}

#[test]
fn a_late_order_of_anybody_reaches_nobody_after_its_slot_was_reused() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let gone = Names::default();
        let orders = || {
            let gone = gone.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Frame(..) = fact {
                    for id in gone.borrow().iter() {
                        let _perhaps_on_its_way = context.send_to(*id, POISON);
                        let _perhaps_on_its_way = context.close_session(*id);
                        let _perhaps_on_its_way = context.abort_session(*id);
                    }
                }
            });
            react
        };
        let mut town = quiet(plan, trigger, &Limits::default(), orders);
        let olds: Vec<_> = (0..2).map(|_| town.caller()).collect();
        olds.iter().for_each(|(client, _)| client.reset());
        town.settle();
        let news: Vec<_> = (0..4).map(|_| town.caller()).collect();
        let slot = |id: SessionId| (id.reactor(), id.index());
        let reused = |old: SessionId| news.iter().any(|(_, new)| slot(*new) == slot(old));
        assert!(olds.iter().all(|(_, old)| reused(*old)), "{plan:?}: every slot was reused");
        for (_, old) in &olds {
            gone.borrow_mut().push(*old);
            town.remote.send(*old, POISON).unwrap();
            town.remote.close(*old).unwrap();
            town.remote.abort(*old).unwrap();
        }
        news.iter().for_each(|(client, _)| client.send(&framed(b"go")));
        town.settle();
        for (client, _) in &news {
            assert_eq!((client.received(), client.end()), (vec![], None), "{plan:?}, {trigger:?}");
        }
    }
}

#[test]
fn a_thread_that_is_awake_is_never_woken() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut town = quiet(plan, trigger, &Limits::default(), echo);
        town.net.no_hook();
        let (client, id) = town.caller();
        for _ in 0..50 {
            client.send(&framed(b"hi"));
            town.remote.send(id, "from outside").unwrap();
            town.settle();
        }
        assert_eq!(client.received().len(), 50 * (6 + 12));
        assert_eq!(town.net.calls().wakes, 0, "{plan:?}, {trigger:?}");
    }
}

#[test]
fn many_lanes_that_come_home_wake_a_sleeping_reactor_once() {
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), echo);
        let clients: Vec<_> = (0..20).map(|_| town.caller().0).collect();
        town.work_only_while_asleep();
        for round in 1..=10 {
            let before = town.net.calls();
            clients.iter().for_each(|client| client.send(&framed(b"hi")));
            town.settle();
            assert!(clients.iter().all(|client| client.received().len() == round * 6));
            let wakes = (town.net.calls() - before).wakes;
            // The frames may come in several turns; a turn's lanes come home to one sleep.
            assert!((1..=4).contains(&wakes), "{trigger:?}: {wakes} wakes for 20 lanes");
        }
    }
}

#[test]
fn a_full_lane_pauses_reading_and_everything_comes_in_the_end() {
    let limits = Limits {
        lane_bytes_max: 200,
        lane_frames_per_run: 1,
        recv_buffer_bytes: 256,
        recv_budget_bytes: 256,
        ..Limits::default()
    };
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(1), trigger, &limits, echo);
        let (client, _) = town.caller();
        let stream = framed(&[7; 20]).repeat(1_000);
        client.send(&stream);
        for _ in 0..500 {
            town.step();
            let stats = town.stats();
            // One lane away, one trip that gathers, one read over it, one frame that is cut.
            let kept = stats.recv_bytes - stats.sent_bytes;
            assert!(kept < 2 * (200 + 256) + 256, "{trigger:?}: {kept} bytes are kept");
        }
        town.settle();
        assert!(client.received() == stream, "{trigger:?}");
    }
}

#[test]
fn what_is_sent_piece_by_piece_waits_for_the_peer_and_is_whole_in_the_end() {
    const PIECES: usize = 30;
    let limits = Limits { send_low_bytes: 50, send_high_bytes: 1_000, ..Limits::default() };
    // One session, on whatever worker: each frame asks for 30 pieces.
    let producer = |asked: Rc<Cell<usize>>| -> React {
        Box::new(move |fact, context| {
            let goes_on = match fact {
                Fact::Frame(..) => asked.replace(asked.get() + PIECES) == 0,
                Fact::Drained(_) => asked.get() > 0,
                _ => false,
            };
            if goes_on {
                asked.set(asked.get() - 1);
                assert!(context.queued_bytes() <= 50, "it did not wait for the peer");
                assert!(context.send(&[b'x'; 100]) && context.pause_until_drained());
            }
        })
    };
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let asked = Rc::default();
        let mut town = quiet(plan, trigger, &limits, || producer(Rc::clone(&asked)));
        let (client, _) = town.caller();
        client.set_window(70);
        client.stop_reading();
        client.send(&framed(b"all of it").repeat(2));
        town.settle();
        assert!(client.received().len() + client.unread() <= 70 + 150, "{plan:?}, {trigger:?}");
        client.set_window(1 << 16);
        client.resume_reading();
        town.settle();
        assert_eq!(client.received().len(), 2 * PIECES * 100, "{plan:?}, {trigger:?}");
    }
}

#[test]
fn reactors_that_flood_each_other_hold_their_senders_and_lose_nothing() {
    let limits = Limits { mailbox_mails_max: 1, mails_per_turn: 1, ..Limits::default() };
    for trigger in BOTH {
        let names = Names::default();
        // What a session says goes to the one that was opened before it, on the other reactor.
        let relay = || {
            let names = names.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => names.borrow_mut().push(*id),
                Fact::Frame(id, frame) => {
                    let to = names.borrow().iter().find(|to| *to != id).copied();
                    assert!(context.send_to(to.unwrap(), frame));
                }
                _ => {}
            });
            react
        };
        let plan = Plan::Handoff(2, Balance::RoundRobin);
        let mut town = quiet(plan, trigger, &limits, relay);
        let clients = [0, 1].map(|_| town.caller().0);
        let said: Vec<u8> = (0..3_000u32).flat_map(u32::to_be_bytes).collect();
        let frames: Vec<u8> = said.chunks(4).flat_map(framed).collect();
        for piece in frames.chunks(500) {
            clients.iter().for_each(|client| client.send(piece));
            (0..3).for_each(|_| town.step());
        }
        town.settle();
        assert!(clients.iter().all(|client| client.received() == said), "{trigger:?}");
    }
}

#[test]
fn a_timer_that_was_cancelled_while_its_firing_was_on_its_way_is_not_told() {
    let second = Duration::from_secs(1);
    for trigger in BOTH {
        let timers = Rc::new(RefCell::new(Vec::new()));
        let react = || {
            let timers = timers.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => {
                    timers.borrow_mut().extend((0..3).filter_map(|_| context.set_timer(second)));
                }
                Fact::Frame(..) => {
                    let timers = timers.borrow();
                    assert!(context.cancel_timer(timers[0]) && !context.cancel_timer(timers[0]));
                    assert!(context.reset_timer(timers[1], second));
                }
                _ => {}
            });
            react
        };
        let mut town = quiet(Plan::Workers(1), trigger, &Limits::default(), react);
        let (client, id) = town.caller();
        // All three fire in the turn in which the frame is read, and come behind it.
        client.send(&framed(b"change"));
        town.net.advance(second);
        town.facts();
        town.settle();
        let timers = timers.borrow().clone();
        assert_eq!(town.facts(), [Fact::Frame(id, b"change".into()), Fact::Timer(id, timers[2])]);
        town.net.advance(2 * second);
        town.settle();
        assert_eq!(town.facts(), [Fact::Timer(id, timers[1])], "{trigger:?}");
        assert_eq!(client.end(), None);
    }
}

#[test]
fn the_last_word_of_a_worker_comes_behind_the_frames_that_were_read() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let mut town = quiet(plan, trigger, &Limits::default(), || {
            super::world::echo_and(|fact, context| {
                if let Fact::Closing(_, reason) = fact {
                    assert_eq!(*reason, CloseReason::Stopped);
                    assert!(context.send(b"bye"));
                }
            })
        });
        let (client, _) = town.caller();
        let stream = framed(b"before").repeat(10);
        client.send(&stream);
        while town.stats().frames == 0 {
            town.step();
        }
        town.remote.stop();
        town.settle();
        client.finish();
        town.run_out();
        assert_eq!(client.received(), [&stream[..], b"bye"].concat(), "{plan:?}, {trigger:?}");
    }
}

#[test]
fn a_panic_on_a_worker_ends_its_session_and_no_other() {
    for trigger in BOTH {
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), || {
            super::world::echo_and(|fact, _| match fact {
                Fact::Frame(_, frame) if frame == b"panic" => panic!("on purpose"),
                _ => {}
            })
        });
        let ((one, one_id), (two, _)) = (town.caller(), town.caller());
        town.facts();
        one.send(&[framed(b"a"), framed(b"panic"), framed(b"b")].concat());
        two.send(&framed(b"alive"));
        town.settle();
        assert_eq!(two.received(), framed(b"alive"), "{trigger:?}");
        let facts = town.facts();
        let told: Vec<&Fact> = facts
            .iter()
            .filter(|fact| !matches!(fact, Fact::Frame(_, f) if f == b"alive"))
            .collect();
        let expected = [
            Fact::Frame(one_id, b"a".into()),
            Fact::Frame(one_id, b"panic".into()),
            Fact::Close(one_id, CloseReason::HandlerPanicked),
        ];
        assert!(told.into_iter().eq(&expected), "{facts:?}");
        two.send(&framed(b"still"));
        town.settle();
        assert!(two.received().ends_with(b"still"));
    }
}

#[test]
fn a_session_that_a_worker_dials_has_its_name_at_once() {
    for trigger in BOTH {
        let dialled = Names::default();
        let react = || {
            let dialled = dialled.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| {
                if let Fact::Frame(..) = fact {
                    let to = "10.9.9.9:9".parse().unwrap();
                    let id = context.connect(&to, Duration::from_secs(5)).unwrap();
                    assert!(context.send_to(id, b"early"));
                    dialled.borrow_mut().push(id);
                }
            });
            react
        };
        let mut town = quiet(Plan::Workers(2), trigger, &Limits::default(), react);
        let (client, _) = town.caller();
        client.send(&framed(b"one").repeat(3));
        town.settle();
        let names = dialled.borrow().clone();
        let peers: Vec<_> = std::iter::from_fn(|| town.net.dialled()).collect();
        peers[0].accept();
        peers[1].refuse(readyloop::Errno::CONNREFUSED);
        peers[2].accept();
        town.settle();
        let facts = town.facts();
        assert!(facts.contains(&Fact::Open(names[0])) && facts.contains(&Fact::Open(names[2])));
        let refused = CloseReason::ConnectFailed(readyloop::Errno::CONNREFUSED);
        assert!(facts.contains(&Fact::ConnectFailed(names[1], refused)), "{facts:?}");
        assert_eq!(peers[0].received(), b"early");
        town.remote.send(names[2], "by its name").unwrap();
        town.remote.close(names[0]).unwrap();
        peers[0].finish();
        town.settle();
        assert_eq!(peers[2].received(), b"earlyby its name", "{trigger:?}");
        assert!(town.facts().contains(&Fact::Close(names[0], CloseReason::Closed)));
        assert_eq!(town.remote.send(names[0], "too late"), Ok(()));
        town.settle();
    }
}

#[test]
fn members_of_a_group_hear_each_other_on_every_reactor() {
    for (plan, trigger) in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let group = Group::new(SlowMember::PauseSender);
        let react = || {
            let group = group.clone();
            let react: React = Box::new(move |fact: &Fact, context: &mut Context<'_>| match fact {
                Fact::Open(id) if *id != SessionId::NONE => {
                    context.join(&group);
                }
                Fact::Frame(_, frame) => assert!(context.broadcast(&group, frame.clone())),
                _ => {}
            });
            react
        };
        let limits = Limits {
            send_low_bytes: 10,
            send_high_bytes: 100,
            lane_bytes_max: 100,
            recv_buffer_bytes: 64,
            ..Limits::default()
        };
        let mut town = quiet(plan, trigger, &limits, react);
        let clients: Vec<_> = (0..6)
            .map(|_| {
                let client = town.net.connect(0);
                town.settle();
                client
            })
            .collect();
        assert_eq!(group.len(), 6, "{plan:?}");
        clients[5].set_window(20);
        clients[5].stop_reading();
        clients[0].send(&framed(b"0123456789").repeat(100));
        town.settle();
        let heard = clients[1].received().len();
        assert!(heard < 1_000, "{plan:?}: the sender was not held");
        clients[5].resume_reading();
        town.settle();
        let said = b"0123456789".repeat(100);
        assert!(clients.iter().all(|client| client.received() == said), "{plan:?}, {trigger:?}");
        clients.iter().for_each(|client| client.reset());
        town.settle();
        assert!(group.is_empty());
    }
}
