//! What a shard finds, forgets and counts.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;

/// A bad hash on purpose: most keys share theirs.
fn hash(key: &[u8]) -> u64 {
    key.len() as u64
}

fn set(shard: &mut Shard, key: &str, value: &str, expiry: Expiry) {
    shard.set(hash(key.as_bytes()), key.as_bytes(), value.as_bytes(), expiry);
}

fn get(shard: &mut Shard, key: &str) -> Option<String> {
    let value = shard.get(hash(key.as_bytes()), key.as_bytes())?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

fn remove(shard: &mut Shard, key: &str) -> bool {
    shard.remove(hash(key.as_bytes()), key.as_bytes())
}

fn at(millis: u64) -> Now {
    Now::from_nanos(1_000_000_000) + Duration::from_millis(millis)
}

fn shard() -> Shard {
    let mut shard = Shard::new();
    shard.begin(at(0));
    shard
}

fn keys(shard: &Shard) -> Vec<String> {
    let mut keys = Vec::new();
    shard.scan(0, usize::MAX, |key| keys.push(String::from_utf8(key.to_vec()).unwrap()));
    keys
}

#[test]
fn keys_with_one_hash_are_different_keys() {
    let mut shard = shard();
    for key in ["a", "b", "c"] {
        set(&mut shard, key, &format!("value of {key}"), Expiry::Never);
    }
    set(&mut shard, "b", "another", Expiry::Never);
    assert!(remove(&mut shard, "a") && !remove(&mut shard, "a"));
    assert_eq!(get(&mut shard, "a"), None);
    assert_eq!(get(&mut shard, "b").unwrap(), "another");
    assert_eq!(get(&mut shard, "c").unwrap(), "value of c");
    assert_eq!(shard.len(), 2);
}

#[test]
fn an_expired_value_is_never_read_and_never_counted() {
    let mut shard = shard();
    set(&mut shard, "k", "v", Expiry::At(at(10)));
    set(&mut shard, "stays", "v", Expiry::Never);
    shard.begin(at(10) + Duration::ZERO);
    // The wheel's tick may come later than the deadline; what is read does not wait for it.
    assert_eq!(keys(&shard), ["stays"]);
    assert_eq!(get(&mut shard, "k"), None);
    assert_eq!((shard.len(), shard.deadline_count()), (1, 0));
}

#[test]
fn many_that_expire_at_once_are_not_read_before_they_are_removed() {
    let mut shard = shard();
    let names: Vec<String> = (0..100).map(|nth| format!("{nth}")).collect();
    for name in &names {
        set(&mut shard, name, "v", Expiry::At(at(5)));
    }
    shard.begin(at(5));
    assert!(names.iter().all(|name| get(&mut shard, name).is_none()));
}

#[test]
fn a_deadline_can_be_moved_taken_away_and_kept() {
    let mut shard = shard();
    for key in ["moved", "taken", "kept", "lost"] {
        set(&mut shard, key, "v", Expiry::At(at(10)));
    }
    assert!(shard.expire_at(hash(b"moved"), b"moved", at(30)));
    assert!(shard.persist(hash(b"taken"), b"taken") && !shard.persist(hash(b"taken"), b"taken"));
    set(&mut shard, "kept", "w", Expiry::Keep);
    set(&mut shard, "lost", "w", Expiry::Never);
    assert_eq!(shard.deadline(hash(b"kept"), b"kept"), Some(Some(at(10))));
    assert_eq!(shard.deadline(hash(b"lost"), b"lost"), Some(None));
    assert_eq!(shard.deadline(hash(b"none"), b"none"), None);
    shard.begin(at(20));
    let there: Vec<bool> = ["moved", "taken", "kept", "lost"]
        .iter()
        .map(|key| get(&mut shard, key).is_some())
        .collect();
    assert_eq!(there, [true, true, false, true]);
    assert!(shard.expire_at(hash(b"moved"), b"moved", at(20)), "a deadline that has passed");
    assert_eq!(get(&mut shard, "moved"), None);
}

#[test]
fn commands_give_the_memory_of_expired_keys_back() {
    let mut shard = shard();
    for number in 0..1000 {
        set(&mut shard, &format!("key {number}"), "v", Expiry::At(at(5)));
    }
    let mut commands = 0;
    while shard.bytes() > 0 {
        shard.begin(at(50));
        commands += 1;
    }
    assert!(commands <= 1000 / EXPIRED_PER_COMMAND + 2, "{commands}");
    assert_eq!((shard.entries.len(), shard.index.len()), (0, 0));
}

#[test]
fn the_bytes_are_those_of_what_is_there() {
    let mut shard = shard();
    set(&mut shard, "key", "value", Expiry::At(at(10)));
    assert_eq!(shard.bytes(), ENTRY_BYTES + 8);
    set(&mut shard, "key", "a longer value", Expiry::Keep);
    assert_eq!(shard.bytes(), ENTRY_BYTES + 17);
    shard.change(hash(b"key"), b"key", |value| value.truncate(1));
    assert_eq!(shard.bytes(), ENTRY_BYTES + 4);
    shard.change(hash(b"new"), b"new", |value| value.extend_from_slice(b"12"));
    assert_eq!(shard.bytes(), 2 * ENTRY_BYTES + 9);
    remove(&mut shard, "key");
    assert_eq!(shard.bytes(), ENTRY_BYTES + 5);
    shard.clear();
    assert_eq!((shard.bytes(), shard.len(), shard.deadline_count()), (0, 0, 0));
}

#[test]
fn a_long_value_does_not_leave_its_room_to_a_short_one() {
    let mut shard = shard();
    set(&mut shard, "k", &"x".repeat(100_000), Expiry::Never);
    set(&mut shard, "k", "short", Expiry::Never);
    assert!(shard.entries[0].value.capacity() < 100);
}

#[test]
fn a_scan_meets_every_key_that_is_there_all_the_time() {
    let mut shard = shard();
    let stays: BTreeSet<String> = (0..100).map(|number| format!("stays {number}")).collect();
    for key in &stays {
        set(&mut shard, key, "v", Expiry::Never);
        set(&mut shard, &format!("goes {key}"), "v", Expiry::Never);
    }
    let mut met = BTreeSet::new();
    let mut cursor = Some(0);
    let mut step = 0;
    while let Some(slot) = cursor {
        (_, cursor) = shard.scan(slot, 7, |key| {
            met.insert(String::from_utf8(key.to_vec()).unwrap());
        });
        // Meanwhile keys go, and so many come that the index grows.
        for key in stays.iter().skip(step * 5).take(5) {
            remove(&mut shard, &format!("goes {key}"));
        }
        if step < 20 {
            for number in 0..50 {
                set(&mut shard, &format!("comes {step} {number}"), "v", Expiry::Never);
            }
        }
        step += 1;
    }
    assert!(met.is_superset(&stays));
    assert_eq!(shard.scan(usize::MAX, 7, |_| panic!()), (0, None), "behind the last slot");
}
