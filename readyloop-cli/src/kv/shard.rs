//! Keys and their values, for one thread at a time.
//!
//! Entries stay in their slots as long as they live, and an index of slots finds them by their
//! hash. So a walk by slot numbers meets every key that is there from its beginning to its end,
//! however the index grows meanwhile: that is what SCAN promises.
//!
//! Deadlines are timers in a wheel. It is emptied a little with each command, so memory comes back
//! without a walk; whether a key has expired is read from its own deadline, and is exact.
//!
//! Invariants: the index holds each occupied slot once; `bytes` is the sum of what entries count; a
//! timer in the wheel belongs to an entry that names it.

use hashbrown::HashTable;
use readyloop::Now;
use readyloop::wheel::{Chain, TimerId, Wheel};
use slab::Slab;

/// How many expired keys one command removes besides what it is asked for.
const EXPIRED_PER_COMMAND: usize = 16;

/// What an entry counts besides the bytes of its key and its value.
const ENTRY_BYTES: usize = size_of::<Entry>() + size_of::<u32>();

/// What becomes of a key's deadline when it gets a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// It stays as it is.
    Keep,
    /// The key stays for ever.
    Never,
    /// It is this.
    At(Now),
}

/// A part of all keys.
pub struct Shard {
    index: HashTable<u32>,
    entries: Slab<Entry>,
    wheel: Wheel<u32>,
    deadlines: Chain,
    bytes: usize,
    now: Now,
}

struct Entry {
    hash: u64,
    key: Box<[u8]>,
    value: Vec<u8>,
    deadline: Option<(Now, TimerId)>,
}

impl Entry {
    fn is_over(&self, now: Now) -> bool {
        self.deadline.is_some_and(|(due, _)| due <= now)
    }

    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.key.len() + self.value.len()
    }
}

impl Shard {
    /// Without any key.
    pub fn new() -> Shard {
        Shard {
            index: HashTable::new(),
            entries: Slab::new(),
            wheel: Wheel::new(Now::default()),
            deadlines: Chain::default(),
            bytes: 0,
            now: Now::default(),
        }
    }

    /// A command begins: tells the time, and removes some of what has expired.
    #[inline]
    pub fn begin(&mut self, now: Now) {
        // Another thread may have read its clock before ours; time does not run backwards here.
        self.now = self.now.max(now);
        if !self.wheel.is_empty() {
            self.expire(EXPIRED_PER_COMMAND);
        }
    }

    fn expire(&mut self, most: usize) {
        for _ in 0..most {
            let Some((_, slot)) = self.wheel.expire(self.now) else { return };
            self.remove_slot(slot);
        }
    }

    /// What the bytes of all entries are, with what they need besides keys and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys there are. A key may be counted for a millisecond after its deadline.
    pub fn len(&mut self) -> usize {
        while self.wheel.next_due().is_some_and(|due| due <= self.now) {
            self.expire(EXPIRED_PER_COMMAND);
        }
        self.entries.len()
    }

    /// How many keys have a deadline.
    pub fn deadline_count(&self) -> usize {
        self.wheel.len()
    }

    /// Finds a key; one that has expired is removed.
    // Every command does; of what a call of its own costs, a third goes to saving registers.
    #[inline(always)]
    fn find(&mut self, hash: u64, key: &[u8]) -> Option<u32> {
        let slot = self.slot(hash, key)?;
        if self.entries[slot as usize].is_over(self.now) {
            self.remove_slot(slot);
            return None;
        }
        Some(slot)
    }

    /// The slot of a key. No two keys are expected to have one hash, so the first one that has it is
    /// compared, outside of the search.
    #[inline]
    fn slot(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let slot = *self.index.find(hash, |&slot| self.entries[slot as usize].hash == hash)?;
        match *self.entries[slot as usize].key == *key {
            true => Some(slot),
            false => self.slot_among_twins(hash, key),
        }
    }

    #[cold]
    fn slot_among_twins(&self, hash: u64, key: &[u8]) -> Option<u32> {
        let is_it = |&slot: &u32| {
            let entry = &self.entries[slot as usize];
            entry.hash == hash && *entry.key == *key
        };
        self.index.find(hash, is_it).copied()
    }

    /// The value of a key.
    // So is this one, for the same reason.
    #[inline(always)]
    pub fn get(&mut self, hash: u64, key: &[u8]) -> Option<&[u8]> {
        let slot = self.find(hash, key)?;
        Some(&self.entries[slot as usize].value)
    }

    /// Gives a key a value.
    pub fn set(&mut self, hash: u64, key: &[u8], value: &[u8], expiry: Expiry) {
        let slot = match self.find(hash, key) {
            Some(slot) => {
                let entry = &mut self.entries[slot as usize];
                self.bytes -= entry.value.len();
                replace(&mut entry.value, value);
                self.bytes += value.len();
                // As nearly all keys have it.
                if expiry == Expiry::Never && entry.deadline.is_none() {
                    return;
                }
                slot
            }
            None => self.insert(hash, key, value),
        };
        match expiry {
            Expiry::Keep => {}
            Expiry::Never => _ = self.clear_deadline(slot),
            Expiry::At(due) => self.set_deadline(slot, due),
        }
    }

    /// Changes the value of a key in place; of a key that is not there, an empty value.
    pub fn change<T>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Vec<u8>) -> T,
    ) -> T {
        let found = self.find(hash, key);
        let slot = found.unwrap_or_else(|| self.insert(hash, key, b""));
        self.change_slot(slot, change)
    }

    fn change_slot<T>(&mut self, slot: u32, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let value = &mut self.entries[slot as usize].value;
        let before = value.len();
        let answer = change(value);
        self.bytes = self.bytes - before + value.len();
        answer
    }

    fn insert(&mut self, hash: u64, key: &[u8], value: &[u8]) -> u32 {
        let entry = Entry { hash, key: key.into(), value: value.to_vec(), deadline: None };
        self.bytes += entry.bytes();
        let slot = u32::try_from(self.entries.insert(entry)).expect("memory ends before u32 does");
        let entries = &self.entries;
        self.index.insert_unique(hash, slot, |&slot| entries[slot as usize].hash);
        slot
    }

    /// Removes a key; whether it was there.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> bool {
        let found = self.find(hash, key);
        if let Some(slot) = found {
            self.remove_slot(slot);
        }
        found.is_some()
    }

    fn remove_slot(&mut self, slot: u32) {
        let entry = self.entries.remove(slot as usize);
        self.bytes -= entry.bytes();
        if let Some((_, timer)) = entry.deadline {
            self.wheel.cancel(&mut self.deadlines, timer);
        }
        if let Ok(found) = self.index.find_entry(entry.hash, |&other| other == slot) {
            found.remove();
        }
    }

    /// When a key expires: `None` if it is not there, `Some(None)` if it never does.
    pub fn deadline(&mut self, hash: u64, key: &[u8]) -> Option<Option<Now>> {
        let slot = self.find(hash, key)?;
        Some(self.entries[slot as usize].deadline.map(|(due, _)| due))
    }

    /// Gives a key that is there a deadline; one that has passed removes it.
    pub fn expire_at(&mut self, hash: u64, key: &[u8], due: Now) -> bool {
        let Some(slot) = self.find(hash, key) else { return false };
        if due <= self.now {
            self.remove_slot(slot);
        } else {
            self.set_deadline(slot, due);
        }
        true
    }

    /// Takes a key's deadline away; whether it had one.
    pub fn persist(&mut self, hash: u64, key: &[u8]) -> bool {
        self.find(hash, key).is_some_and(|slot| self.clear_deadline(slot))
    }

    fn set_deadline(&mut self, slot: u32, due: Now) {
        let entry = &mut self.entries[slot as usize];
        if let Some((old, timer)) = &mut entry.deadline {
            *old = due;
            self.wheel.reset(*timer, due);
        } else {
            self.wheel.tell(self.now);
            entry.deadline = Some((due, self.wheel.set(&mut self.deadlines, due, slot)));
        }
    }

    fn clear_deadline(&mut self, slot: u32) -> bool {
        let deadline = self.entries[slot as usize].deadline.take();
        deadline.is_some_and(|(_, timer)| self.wheel.cancel(&mut self.deadlines, timer))
    }

    /// Tells the keys in at most `count` slots from `begin` on. Returns how many slots it has looked
    /// at, and where to go on: `None` behind the last one.
    pub fn scan(
        &self,
        begin: usize,
        count: usize,
        mut tell: impl FnMut(&[u8]),
    ) -> (usize, Option<usize>) {
        let slots = self.slots();
        let end = begin.saturating_add(count).min(slots);
        for slot in begin..end {
            if let Some(entry) = self.entries.get(slot)
                && !entry.is_over(self.now)
            {
                tell(&entry.key);
            }
        }
        (end.saturating_sub(begin), (end < slots).then_some(end))
    }

    /// One more than the last occupied slot.
    fn slots(&self) -> usize {
        // From behind; nearly always the first that is looked at.
        self.entries.iter().next_back().map_or(0, |(slot, _)| slot + 1)
    }

    /// Removes everything.
    pub fn clear(&mut self) {
        self.wheel.cancel_all(&mut self.deadlines);
        self.entries = Slab::new();
        self.index = HashTable::new();
        self.bytes = 0;
    }
}

/// A value in the place of another one, without an allocation where it has room and does not waste
/// most of it.
#[inline]
fn replace(old: &mut Vec<u8>, new: &[u8]) {
    const WASTED_BYTES_MAX: usize = 64;
    if old.capacity() > 2 * new.len() + WASTED_BYTES_MAX {
        *old = Vec::new();
    }
    old.clear();
    old.reserve_exact(new.len());
    old.extend_from_slice(new);
}

#[cfg(test)]
mod tests;
