//! Which random worlds are lived through: those of an ordinary run, one alone, or many more.
//!
//! `READYLOOP_SEED=17` is one world alone; `READYLOOP_SEEDS=0..1000000` is a range of them, for every
//! test of random worlds that runs.

use std::env;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Lives through every world of `ordinary`, or of what the environment says instead. A failure
/// prints how to run that world of `module` alone. Whether these were the ordinary ones.
pub fn each_world(ordinary: u64, module: &str, mut live: impl FnMut(u64)) -> bool {
    let asked = asked_for(env::var("READYLOOP_SEED").ok(), env::var("READYLOOP_SEEDS").ok());
    for seed in asked.clone().unwrap_or(0..ordinary) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live(seed))) {
            eprintln!("READYLOOP_SEED={seed} cargo test --test sim {module}   # this one alone");
            resume_unwind(panic);
        }
    }
    asked.is_none()
}

fn asked_for(seed: Option<String>, seeds: Option<String>) -> Option<Range<u64>> {
    if let Some(seed) = seed {
        let seed = seed.parse().expect("READYLOOP_SEED is a number");
        return Some(seed..seed + 1);
    }
    let seeds = seeds?;
    let range =
        seeds.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    Some(range.expect("READYLOOP_SEEDS is a range of numbers, as in 0..1000000"))
}

#[test]
fn one_world_or_a_range_of_them_is_asked_for() {
    let text = |text: &str| Some(text.to_string());
    assert_eq!(asked_for(None, None), None);
    assert_eq!(asked_for(None, text("5..9")), Some(5..9));
    assert_eq!(asked_for(text("17"), text("5..9")), Some(17..18));
}
