//! Random scripts of every verb of `Context`, `Remote` and `Group`: the same bytes, the same events
//! and the same returned values on every topology. What may differ is in `docs/topologies.md`.
//!
//! A failure prints how to run its seed alone, and the script without all that does not matter for
//! it. What may differ is not asked for: so a script is performed in rounds, and all is quiet between
//! them.

mod encodings;
mod stage;
mod verbs;

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use readyloop::{Balance, Trigger};

use super::town::Plan;
use super::world::BOTH;
use super::worlds::each_world;
use stage::{Record, Stage};
use verbs::{Act, script};

const SEEDS: u64 = 400;

const ALONE: Way = (Plan::Single, Trigger::Level);

const PLANS: [Plan; 8] = [
    Plan::Single,
    Plan::Handoff(1, Balance::RoundRobin),
    Plan::Handoff(2, Balance::RoundRobin),
    Plan::ReusePort(2),
    Plan::Workers(1),
    Plan::Workers(2),
    Plan::Pool(2, 1),
    Plan::Pool(2, 2),
];

type Way = (Plan, Trigger);

/// What comes of a script, or that the server panics.
fn record(seed: u64, (plan, trigger): Way, script: &[Act]) -> Record {
    let perform = || Stage::new(seed, plan, trigger).perform(script);
    catch_unwind(perform).unwrap_or_else(|_| Record::from([("panic".to_string(), Vec::new())]))
}

/// Where two records differ, for a reader.
fn difference(one: &Record, other: &Record) -> String {
    let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differ = names.into_iter().filter(|name| one.get(*name) != other.get(*name));
    differ
        .map(|name| format!("{name}:\n  {:?}\n  {:?}\n", one.get(name), other.get(name)))
        .collect()
}

/// How a way to serve differs from a reactor alone; nothing if it does not.
fn difference_of(seed: u64, way: Way, script: &[Act]) -> String {
    difference(&record(seed, ALONE, script), &record(seed, way, script))
}

/// The script without all that does not matter for a difference.
fn shortest(seed: u64, way: Way, mut script: Vec<Act>) -> Vec<Act> {
    let differs = |script: &Vec<Act>| !difference_of(seed, way, script).is_empty();
    loop {
        let found = shorter(&script).find(differs);
        match found {
            Some(shorter) => script = shorter,
            None => return script,
        }
    }
}

/// Every script that has one thing less.
fn shorter(script: &[Act]) -> impl Iterator<Item = Vec<Act>> {
    (0..script.len()).flat_map(move |nth| {
        let mut without = script.to_vec();
        without.remove(nth);
        let less = (0..).map_while(move |verb| script[nth].without(verb)).map(move |act| {
            let mut less = script.to_vec();
            less[nth] = act;
            less
        });
        std::iter::once(without).chain(less)
    })
}

fn compare(seed: u64) {
    let script = script(seed);
    let alone = record(seed, ALONE, &script);
    for way in PLANS.into_iter().flat_map(|plan| BOTH.map(|trigger| (plan, trigger))) {
        let other = record(seed, way, &script);
        if alone != other || alone.contains_key("panic") {
            let script = shortest(seed, way, script);
            panic!(
                "{way:?} differs from a reactor alone:\n{}in:{}",
                difference_of(seed, way, &script),
                script.iter().map(|act| format!("\n  {act:?}")).collect::<String>()
            );
        }
    }
}

#[test]
fn every_verb_does_and_says_the_same_on_every_topology() {
    each_world(SEEDS, "scripts", compare);
}
