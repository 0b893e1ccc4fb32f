//! All keys: one shard without a lock where one thread serves, and many with a lock each where
//! several do.
//!
//! A command holds the shards of all its keys from its beginning to its end, so it is atomic. Locks
//! are taken in the order of the shards' numbers, so no two commands wait for each other.

use std::hash::BuildHasher;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use readyloop::Now;

use super::shard::{Expiry, Shard};

/// How many shards several threads share: enough that two of them seldom want the same one.
const SHARDS: usize = 32;

/// Which keys a command works on.
#[derive(Clone, Copy, Debug)]
pub enum Which<'k> {
    /// None.
    None,
    /// One.
    Key(&'k [u8]),
    /// All keys that there are.
    All,
}

/// All keys.
pub enum Store {
    /// This thread's own.
    Own(Box<Shard>, RandomState),
    /// Shared with other threads.
    Shared(SharedStore),
}

/// All keys, for several threads, each with a clone of it.
#[derive(Clone)]
pub struct SharedStore(Arc<[Slot; SHARDS]>, RandomState);

/// A shard that is shared.
pub struct Slot {
    shard: Mutex<Shard>,
    /// What the shard said of its bytes when its last holder let go.
    bytes: AtomicUsize,
}

/// The shards that a command holds.
pub enum Held<'a> {
    /// None.
    Nothing,
    /// Without a lock: there is one.
    Own(&'a mut Shard, &'a RandomState),
    /// The one that has the command's key.
    One(Locked<'a>, &'a RandomState),
    /// Several, by their numbers.
    Many(Box<[Option<Locked<'a>>; SHARDS]>, &'a RandomState),
}

/// A shard under its lock.
pub struct Locked<'a> {
    shard: MutexGuard<'a, Shard>,
    bytes: &'a AtomicUsize,
}

impl SharedStore {
    /// Without any key.
    pub fn new() -> SharedStore {
        let slot = |_| Slot { shard: Mutex::new(Shard::new()), bytes: AtomicUsize::new(0) };
        SharedStore(Arc::new(std::array::from_fn(slot)), RandomState::default())
    }
}

impl Store {
    /// For one thread.
    pub fn own() -> Store {
        Store::Own(Box::new(Shard::new()), RandomState::default())
    }

    /// Holds what a command with at most one key works on.
    #[inline]
    pub fn hold(&mut self, which: Which<'_>, now: Now) -> Held<'_> {
        match self {
            Store::Own(shard, hasher) => {
                shard.begin(now);
                Held::Own(shard, hasher)
            }
            Store::Shared(SharedStore(slots, hasher)) => match which {
                Which::Key(key) => Held::One(slots[number(hasher.hash_one(key))].lock(now), hasher),
                Which::None => Held::Nothing,
                Which::All => Held::many(slots, hasher, u32::MAX, now),
            },
        }
    }

    /// Holds what a command with several keys works on.
    pub fn hold_each<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>, now: Now) -> Held<'_> {
        match self {
            Store::Own(shard, hasher) => {
                shard.begin(now);
                Held::Own(shard, hasher)
            }
            Store::Shared(SharedStore(slots, hasher)) => {
                let wanted = keys.fold(0, |wanted, key| wanted | 1 << number(hasher.hash_one(key)));
                Held::many(slots, hasher, wanted, now)
            }
        }
    }

    /// The bytes of all keys and values, and of what they need besides.
    pub fn bytes(&self) -> usize {
        match self {
            Store::Own(shard, _) => shard.bytes(),
            Store::Shared(SharedStore(slots, _)) => {
                slots.iter().map(|slot| slot.bytes.load(Ordering::Relaxed)).sum()
            }
        }
    }
}

/// The shard of a hash. The index uses its lowest and highest bits, so these are from between.
fn number(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl Slot {
    fn lock(&self, now: Now) -> Locked<'_> {
        // A command that panics has changed a key or it has not; the shard is whole.
        let mut shard = self.shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.begin(now);
        Locked { shard, bytes: &self.bytes }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.bytes.store(self.shard.bytes(), Ordering::Relaxed);
    }
}

impl Deref for Locked<'_> {
    type Target = Shard;

    fn deref(&self) -> &Shard {
        &self.shard
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Shard {
        &mut self.shard
    }
}

impl<'a> Held<'a> {
    fn many(slots: &'a [Slot; SHARDS], hasher: &'a RandomState, wanted: u32, now: Now) -> Held<'a> {
        let lock = |nth: usize| (wanted & 1 << nth != 0).then(|| slots[nth].lock(now));
        Held::Many(Box::new(std::array::from_fn(lock)), hasher)
    }

    /// The shard of a key, and the key's hash.
    #[inline]
    fn find(&mut self, key: &[u8]) -> (&mut Shard, u64) {
        const KNOWN: &str = "the table of commands says where their keys are";
        match self {
            Held::Own(shard, hasher) => (shard, hasher.hash_one(key)),
            Held::One(shard, hasher) => (shard, hasher.hash_one(key)),
            Held::Many(shards, hasher) => {
                let hash = hasher.hash_one(key);
                (shards[number(hash)].as_mut().expect(KNOWN), hash)
            }
            Held::Nothing => unreachable!("{KNOWN}"),
        }
    }

    /// All shards that are held, with their numbers.
    pub fn shards(&mut self) -> impl Iterator<Item = (usize, &mut Shard)> {
        let (one, many): (_, &mut [Option<Locked<'a>>]) = match self {
            Held::Nothing => (None, &mut []),
            Held::Own(shard, _) => (Some(&mut **shard), &mut []),
            Held::One(shard, _) => (Some(&mut **shard), &mut []),
            Held::Many(shards, _) => (None, &mut shards[..]),
        };
        let many = many
            .iter_mut()
            .enumerate()
            .filter_map(|(nth, shard)| Some((nth, shard.as_mut().map(|shard| &mut **shard)?)));
        one.into_iter().map(|shard| (0, shard)).chain(many)
    }

    /// The value of a key.
    #[inline]
    pub fn get(&mut self, key: &[u8]) -> Option<&[u8]> {
        let (shard, hash) = self.find(key);
        shard.get(hash, key)
    }

    /// Whether a key is there.
    pub fn has(&mut self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Gives a key a value.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: &[u8], expiry: Expiry) {
        let (shard, hash) = self.find(key);
        shard.set(hash, key, value, expiry);
    }

    /// Changes a value in place; of a key that is not there, an empty one.
    pub fn change<T>(&mut self, key: &[u8], change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let (shard, hash) = self.find(key);
        shard.change(hash, key, change)
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let (shard, hash) = self.find(key);
        shard.remove(hash, key)
    }

    /// When a key expires: `None` if it is not there, `Some(None)` if it never does.
    pub fn deadline(&mut self, key: &[u8]) -> Option<Option<Now>> {
        let (shard, hash) = self.find(key);
        shard.deadline(hash, key)
    }

    /// Gives a key that is there a deadline.
    pub fn expire_at(&mut self, key: &[u8], due: Now) -> bool {
        let (shard, hash) = self.find(key);
        shard.expire_at(hash, key, due)
    }

    /// Takes a key's deadline away; whether it had one.
    pub fn persist(&mut self, key: &[u8]) -> bool {
        let (shard, hash) = self.find(key);
        shard.persist(hash, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_thread_writes_another_reads() {
        let store = SharedStore::new();
        let (mut one, mut two) = (Store::Shared(store.clone()), Store::Shared(store));
        let now = Now::default();
        for number in 0..200u8 {
            let key = [number];
            one.hold(Which::Key(&key), now).set(&key, &key, Expiry::Never);
        }
        let keys: Vec<[u8; 1]> = (0..200u8).map(|number| [number]).collect();
        let mut held = two.hold_each(keys.iter().map(|key| &key[..]), now);
        assert!(keys.iter().all(|key| held.get(key) == Some(&key[..])));
        drop(held);
        assert_eq!(
            two.hold(Which::All, now).shards().map(|(_, shard)| shard.len()).sum::<usize>(),
            200
        );
        assert!(one.bytes() > 400 && one.bytes() == two.bytes());
    }

    #[test]
    fn commands_that_want_each_others_shards_do_not_wait_for_ever() {
        let store = SharedStore::new();
        let keys: Vec<[u8; 1]> = (0..64u8).map(|number| [number]).collect();
        std::thread::scope(|scope| {
            for turned in [false, true] {
                let mut store = Store::Shared(store.clone());
                let mut keys = keys.clone();
                if turned {
                    keys.reverse();
                }
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let all = keys.iter().map(|key| &key[..]);
                        let mut held = store.hold_each(all, Now::default());
                        held.change(&keys[0], |value| value.push(1));
                    }
                });
            }
        });
        let mut store = Store::Shared(store);
        let mut held = store.hold(Which::All, Now::default());
        assert_eq!(held.get(&keys[0]).unwrap().len() + held.get(&keys[63]).unwrap().len(), 4_000);
    }
}
