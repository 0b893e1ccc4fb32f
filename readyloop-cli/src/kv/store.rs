//! All keys: one shard without a lock where one thread serves, and many with a lock each where
//! several do.
//!
//! A command holds the shards of all its keys from its beginning to its end, so it is atomic. Locks
//! are taken in the order of the shards' numbers, so no two commands wait for each other.

use std::hash::BuildHasher;
use std::iter::StepBy;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use readyloop::Now;
use readyloop_protocols::resp::Arguments;

use super::shard::{Expiry, Shard};

/// How many shards several threads share: enough that two of them seldom want the same one.
const SHARDS: usize = 32;

/// Which keys a command works on.
#[derive(Clone, Debug)]
pub enum Which<'k> {
    /// None.
    None,
    /// One.
    Key(&'k [u8]),
    /// Several.
    Keys(StepBy<Arguments<'k>>),
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
    /// The one that has all of its keys.
    One(&'a mut Shard, &'a RandomState),
    /// Those of its keys, in their places among all shards; of no keys, no places either.
    Some(Box<[Option<&'a mut Shard>]>, &'a RandomState),
}

/// The shards that a command has locked.
pub enum Locks<'a> {
    /// That of its key.
    One(Locked<'a>, &'a RandomState),
    /// Those of its keys, in their places among all shards; of no keys, no places either.
    Some(Box<[Option<Locked<'a>>]>, &'a RandomState),
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

    /// Locks what a command works on.
    #[inline(never)]
    pub fn lock(&self, which: Which<'_>, now: Now) -> Locks<'_> {
        let SharedStore(slots, hasher) = self;
        let wanted = match which {
            Which::None => return Locks::Some(Box::default(), hasher),
            Which::Key(key) => {
                return Locks::One(slots[number(hasher.hash_one(key))].lock(now), hasher);
            }
            Which::Keys(keys) => {
                keys.fold(0, |wanted, key| wanted | 1 << number(hasher.hash_one(key)))
            }
            Which::All => u32::MAX,
        };
        let locked = slots.iter().enumerate().map(|(nth, slot)| {
            let is_wanted = wanted & 1 << nth != 0;
            is_wanted.then(|| slot.lock(now))
        });
        Locks::Some(locked.collect(), hasher)
    }
}

impl Locks<'_> {
    /// What is locked.
    pub fn held(&mut self) -> Held<'_> {
        match self {
            Locks::One(locked, hasher) => Held::One(&mut locked.shard, hasher),
            Locks::Some(locked, hasher) => {
                let shards = locked.iter_mut().map(|locked| Some(&mut *locked.as_mut()?.shard));
                Held::Some(shards.collect(), hasher)
            }
        }
    }
}

impl Store {
    /// For one thread.
    pub fn own() -> Store {
        Store::Own(Box::new(Shard::new()), RandomState::default())
    }

    /// Removes all that has expired.
    pub fn expire(&mut self, now: Now) {
        let mut locks;
        let mut held = match self {
            Store::Own(shard, hasher) => Held::own(shard, hasher, now),
            Store::Shared(shared) => {
                locks = shared.lock(Which::All, now);
                locks.held()
            }
        };
        held.shards().for_each(|(_, shard)| _ = shard.len());
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

impl<'a> Held<'a> {
    /// All keys, of a thread that shares none.
    #[inline]
    pub fn own(shard: &'a mut Shard, hasher: &'a RandomState, now: Now) -> Held<'a> {
        shard.begin(now);
        Held::One(shard, hasher)
    }

    /// The shard of a key, and the key's hash.
    // A part of every look at a key; see `Shard::find`.
    #[inline(always)]
    fn find(&mut self, key: &[u8]) -> (&mut Shard, u64) {
        match self {
            Held::One(shard, hasher) => (shard, hasher.hash_one(key)),
            Held::Some(shards, hasher) => {
                let hash = hasher.hash_one(key);
                let shard = shards.get_mut(number(hash)).and_then(Option::as_deref_mut);
                (shard.expect("the table of commands says where their keys are"), hash)
            }
        }
    }

    /// All shards that are held, with their numbers.
    pub fn shards(&mut self) -> impl Iterator<Item = (usize, &mut Shard)> {
        let (one, some): (_, &mut [Option<&mut Shard>]) = match self {
            Held::One(shard, _) => (Some(&mut **shard), &mut []),
            Held::Some(shards, _) => (None, shards),
        };
        let some = some.iter_mut().enumerate();
        let some = some.filter_map(|(nth, shard)| Some((nth, shard.as_deref_mut()?)));
        one.into_iter().map(|shard| (0, shard)).chain(some)
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

    /// Keys of one byte each, as the arguments of a command.
    fn array(keys: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
        let mut array = format!("*{}\r\n", keys.len()).into_bytes();
        keys.for_each(|key| {
            array.extend_from_slice(&[b'$', b'1', b'\r', b'\n', key, b'\r', b'\n'])
        });
        array
    }

    fn keys(array: &[u8]) -> Which<'_> {
        Which::Keys(Arguments::of_array(array).step_by(1))
    }

    #[test]
    fn what_one_thread_writes_another_reads() {
        let one = SharedStore::new();
        let (two, all, now) = (one.clone(), array(0..200), Now::default());
        for key in 0..200u8 {
            one.lock(Which::Key(&[key]), now).held().set(&[key], &[key], Expiry::Never);
        }
        for which in [keys(&all), Which::All] {
            let mut locks = two.lock(which, now);
            let mut held = locks.held();
            assert!((0..200u8).all(|key| held.get(&[key]) == Some(&[key][..])));
            assert_eq!(held.shards().map(|(_, shard)| shard.len()).sum::<usize>(), 200);
        }
        let bytes = Store::Shared(two).bytes();
        assert!(bytes > 400 && bytes == Store::Shared(one).bytes());
    }

    #[test]
    fn commands_that_want_each_others_shards_do_not_wait_for_ever() {
        let store = SharedStore::new();
        let (upwards, downwards) = (array(0..64), array((0..64).rev()));
        std::thread::scope(|scope| {
            for (array, first) in [(&upwards, 0), (&downwards, 63)] {
                let store = store.clone();
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        let mut locks = store.lock(keys(array), Now::default());
                        locks.held().change(&[first], |value| value.push(1));
                    }
                });
            }
        });
        let mut locks = store.lock(Which::All, Now::default());
        let mut held = locks.held();
        assert_eq!([0, 63].map(|key| held.get(&[key]).unwrap().len()), [2_000; 2]);
    }
}
