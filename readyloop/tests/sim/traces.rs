//! A few worlds whose whole history is kept as text in `traces/`: what the kernels were asked and have
//! answered, what the clients did, and what handlers heard. A change of what a reactor does is then a
//! difference that can be read.
//!
//! `READYLOOP_SNAPSHOTS=write cargo test -p readyloop --test sim traces` writes them anew.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use readyloop::sim::{Client, Faults, Net, Rng};
use readyloop::{Balance, CloseReason, Limits, Trigger};

use super::chaos::{chaos, common, disturb, speak};
use super::town::{Plan, Town};
use super::world::{Fact, React, echo, framed};

const HANDOFF: Plan = Plan::Handoff(2, Balance::RoundRobin);
const LINES_MAX: usize = 150;

/// One world that is kept.
struct Kept {
    name: &'static str,
    plan: Plan,
    trigger: Trigger,
    seed: u64,
    unix: bool,
    /// Its handlers do anything to anybody; otherwise they answer each frame with itself.
    chaos: bool,
}

const fn kept(
    name: &'static str,
    plan: Plan,
    trigger: Trigger,
    seed: u64,
    (unix, chaos): (bool, bool),
) -> Kept {
    Kept { name, plan, trigger, seed, unix, chaos }
}

const KEPT: [Kept; 8] = [
    kept("single-level", Plan::Single, Trigger::Level, 49, (false, false)),
    kept("single-edge", Plan::Single, Trigger::Edge, 42, (false, false)),
    kept("single-level-unix", Plan::Single, Trigger::Level, 13, (true, false)),
    kept("multi-edge", HANDOFF, Trigger::Edge, 41, (false, false)),
    kept("workers-level", Plan::Workers(2), Trigger::Level, 41, (false, false)),
    kept("chaos-single-edge", Plan::Single, Trigger::Edge, 105, (false, true)),
    kept("chaos-multi-level", HANDOFF, Trigger::Level, 50, (false, true)),
    kept("chaos-workers-edge-unix", Plan::Workers(1), Trigger::Edge, 20, (true, true)),
];

/// The net of a town, which exists only when its handlers do.
type Place = Rc<RefCell<Option<Net>>>;

/// Writes down what a handler hears, before it reacts.
fn written_down(place: &Place, mut react: React) -> React {
    let place = place.clone();
    Box::new(move |fact, context| {
        if let Some(net) = place.borrow().as_ref() {
            net.add_to_trace(|| line(fact));
        }
        react(fact, context);
    })
}

fn line(fact: &Fact) -> String {
    // By its kind: what an errno is called is for each system to say.
    let kind = |reason: &CloseReason| CloseReason::KIND_NAMES[reason.kind()];
    match fact {
        Fact::Open(id) => format!("  {id} open"),
        Fact::Frame(id, frame) => format!("  {id} frame of {}", frame.len()),
        Fact::Timer(id, _) => format!("  {id} timer"),
        Fact::Message(id, text) => format!("  {id} message of {}", text.len()),
        Fact::Drained(id) => format!("  {id} drained"),
        Fact::PeerFinished(id) => format!("  {id} peer finished"),
        Fact::Closing(id, reason) => format!("  {id} closing, {}", kind(reason)),
        Fact::Close(id, reason) => format!("  {id} closed, {}", kind(reason)),
        Fact::ConnectFailed(id, reason) => format!("  {id} connect failed, {}", kind(reason)),
    }
}

fn limits() -> Limits {
    Limits {
        recv_buffer_bytes: 64,
        recv_budget_bytes: 100,
        send_low_bytes: 50,
        send_high_bytes: 150,
        send_max_bytes: 2_000,
        idle_timeout: Some(Duration::from_millis(200)),
        write_timeout: Some(Duration::from_millis(50)),
        linger_timeout: Duration::from_millis(30),
        drain_timeout: Duration::from_millis(60),
        ..Limits::default()
    }
}

/// Everything may happen, but for what makes a history long and says little.
fn faults(seed: u64) -> Faults {
    let memory_short = [20, 60][seed as usize % 2];
    Faults { between_calls: 50, spurious: 20, memory_short, events_max: 3, ..Faults::random(seed) }
}

/// Lives through one world, and tells its history.
fn history(world: &Kept) -> Vec<String> {
    // Nobody has a `Remote` there.
    let (place, seed, common) = (Place::default(), world.seed, common());
    let react = || {
        let react = if world.chaos { chaos(seed, common.clone()) } else { echo() };
        written_down(&place, react)
    };
    let mut town = Town::new(seed, world.plan, world.trigger, faults(seed), &limits(), react);
    town.net.begin_trace();
    *place.borrow_mut() = Some(town.net.clone());
    act(&mut town, world);
    town.remote.stop();
    town.run_out();
    town.net.no_hook();
    town.net.end_trace()
}

fn act(town: &mut Town, world: &Kept) {
    let mut rng = Rng::new(world.seed);
    let (mut clients, mut all): (Vec<Client>, Vec<Client>) = (Vec::new(), Vec::new());
    let acts = if world.chaos { 24 } else { 10 };
    for nth in 0..acts {
        match rng.below(6) {
            _ if nth == 0 || nth == 5 => {
                clients.push(match world.unix {
                    true => town.net.connect_unix(0),
                    false => town.net.connect(0),
                });
                all.extend(clients.last().cloned());
            }
            0 | 1 => town.step(),
            2 => all.iter().for_each(|client| disturb(client, &mut rng)),
            _ if clients.is_empty() => {}
            3 if world.chaos => speak(&mut clients, &mut rng),
            _ => {
                let some = rng.below(clients.len());
                clients[some].send(&framed(&vec![1; rng.below(120)]));
            }
        }
    }
    all.iter().for_each(Client::resume_reading);
    if world.chaos {
        // Whoever dials again as often as it fails never comes to rest.
        return (0..10).for_each(|_| town.step());
    }
    town.settle();
    clients.iter().for_each(Client::finish);
    town.settle();
}

fn path(world: &Kept) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sim/traces");
    folder.join(format!("{}.txt", world.name))
}

/// What differs, as `diff -u` would tell it; no more than a screen of it.
fn difference(was: &[&str], is: &[&str]) -> String {
    // The longest common subsequence, from the end: the files are short.
    let mut common = vec![vec![0_usize; is.len() + 1]; was.len() + 1];
    for (i, j) in (0..was.len()).rev().flat_map(|i| (0..is.len()).rev().map(move |j| (i, j))) {
        common[i][j] = match was[i] == is[j] {
            true => common[i + 1][j + 1] + 1,
            false => common[i + 1][j].max(common[i][j + 1]),
        };
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < was.len() || j < is.len() {
        if i < was.len() && j < is.len() && was[i] == is[j] {
            lines.push((' ', i, was[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == is.len() || i < was.len() && common[i + 1][j] >= common[i][j + 1] {
            lines.push(('-', i, was[i]));
            i += 1;
        } else {
            lines.push(('+', i, is[j]));
            j += 1;
        }
    }
    let near = |nth: usize| {
        let around = nth.saturating_sub(3)..(nth + 4).min(lines.len());
        lines[around].iter().any(|(sign, ..)| *sign != ' ')
    };
    let (mut text, mut last) = (String::new(), None);
    for nth in (0..lines.len()).filter(|nth| near(*nth)).take(60) {
        let (sign, number, line) = lines[nth];
        if last != nth.checked_sub(1) || last.is_none() {
            text += &format!("@@ line {} @@\n", number + 1);
        }
        text += &format!("{sign}{line}\n");
        last = Some(nth);
    }
    text
}

#[test]
fn the_histories_that_are_kept_are_told_again_word_for_word() {
    let writes = std::env::var("READYLOOP_SNAPSHOTS").is_ok_and(|value| value == "write");
    let mut differences = String::new();
    for world in &KEPT {
        let lines = history(world);
        let count = lines.len();
        assert!((20..=LINES_MAX).contains(&count), "{}: {count} lines", world.name);
        let text = lines.join("\n") + "\n";
        if writes {
            fs::create_dir_all(path(world).parent().unwrap()).unwrap();
            fs::write(path(world), &text).unwrap();
            continue;
        }
        let kept = fs::read_to_string(path(world)).unwrap_or_default();
        if kept != text {
            let (was, is): (Vec<_>, Vec<_>) = (kept.lines().collect(), text.lines().collect());
            differences += &format!("--- traces/{}.txt\n{}", world.name, difference(&was, &is));
        }
    }
    assert!(
        differences.is_empty(),
        "what the engine does has changed:\n{differences}\nIf that is as it should be, renew them:\n  \
         READYLOOP_SNAPSHOTS=write cargo test -p readyloop --test sim traces"
    );
}

#[test]
fn a_history_is_the_same_whenever_it_is_told() {
    for world in &KEPT {
        assert!(history(world) == history(world), "{}", world.name);
    }
}

#[test]
fn a_difference_is_shown_with_what_is_around_it() {
    let was = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let is = ["a", "b", "c", "d", "E", "e2", "f", "g", "h", "i"];
    let expected = "@@ line 2 @@\n b\n c\n d\n-e\n+E\n+e2\n f\n g\n h\n";
    assert_eq!(difference(&was, &is), expected);
    assert_eq!(difference(&was, &was), "");
}
