//! A table of slots with generations: insert and remove in O(1), and a stale key finds nobody.
//!
//! Knows nothing of sessions or timers; both live in one. Free slots form a list through the table,
//! last freed first, so a small set of live entries stays in a small set of cache lines.
//!
//! A slot's generation grows when a life begins and when it ends, so it is odd exactly while the entry
//! is alive: one comparison says both that there is one and that it is the one that was named. What is
//! left of a dead entry is its default.
//!
//! Invariant: a key's generation is odd, and equals its slot's exactly while the entry is alive; no slot's
//! is 0.

/// Names one life of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The slot.
    pub index: u32,
    /// Which life of the slot; odd.
    pub generation: u32,
}

/// The table.
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot, or `NOBODY`.
    free: u32,
    live: usize,
}

struct Slot<T> {
    value: T,
    generation: u32,
    /// The next free slot, or `NOBODY`, if this one is free.
    next: u32,
}

const NOBODY: u32 = u32::MAX;

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: NOBODY, live: 0 }
    }
}

impl<T: Default> Slab<T> {
    /// Puts an entry into a free slot, or into a new one at the end.
    ///
    /// # Panics
    /// When the table holds 4,294,967,295 entries.
    pub fn insert(&mut self, value: T) -> Key {
        self.live += 1;
        if self.free == NOBODY {
            let index = u32::try_from(self.slots.len()).expect("a table is smaller than u32");
            self.slots.push(Slot { value, generation: 1, next: NOBODY });
            return Key { index, generation: 1 };
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        self.free = slot.next;
        slot.value = value;
        slot.generation = slot.generation.wrapping_add(1);
        Key { index, generation: slot.generation }
    }

    /// Takes an entry out; its key, and every copy of it, is stale from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        let value = std::mem::take(self.get_mut(key)?);
        let slot = &mut self.slots[key.index as usize];
        // 0 is no slot's: it stands for nobody in ids.
        slot.generation = slot.generation.wrapping_add(1).max(2);
        slot.next = self.free;
        self.free = key.index;
        self.live -= 1;
        Some(value)
    }

    /// The entry, if it is still alive.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation).then_some(&slot.value)
    }

    /// The entry, if it is still alive.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation).then_some(&mut slot.value)
    }

    /// The live entry of a slot, whatever its generation, with its key.
    #[inline]
    pub fn at(&mut self, index: usize) -> Option<(Key, &mut T)> {
        let Slot { value, generation, .. } = self.slots.get_mut(index)?;
        let key = Key { index: index as u32, generation: *generation };
        (*generation % 2 == 1).then_some((key, value))
    }

    /// How many entries are alive.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no entry is alive.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many slots there are, alive and free; every index is below it.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Sets the generation of a free slot, so that a test can stand right before a wrap.
    #[cfg(test)]
    fn set_generation(&mut self, index: usize, generation: u32) {
        self.slots[index].generation = generation;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nobody_after_its_slot_was_reused() {
        let mut slab = Slab::default();
        let old = slab.insert('a');
        assert_eq!(slab.remove(old), Some('a'));
        let new = slab.insert('b');
        assert_eq!(old.index, new.index);
        assert_eq!((slab.get(old), slab.get(new)), (None, Some(&'b')));
        assert_eq!(slab.remove(old), None);
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_generation_that_wraps_is_odd_in_life_and_finds_nobody_in_death() {
        let mut slab = Slab::default();
        let first = slab.insert(7);
        slab.remove(first);
        slab.set_generation(0, u32::MAX - 1);
        let last = slab.insert(8);
        assert_eq!(last.generation, u32::MAX);
        slab.remove(last);
        assert_eq!((slab.get(first), slab.get(last)), (None, None));
        assert_eq!(slab.at(0), None);
        assert_eq!(slab.insert(9).generation, 3);
    }

    #[test]
    fn a_million_lives_use_as_many_slots_as_were_alive_at_once() {
        let mut slab = Slab::default();
        let mut alive = std::collections::VecDeque::new();
        for n in 0..1_000_000 {
            alive.push_back(slab.insert(n));
            if alive.len() > 100 {
                let key = alive.pop_front().unwrap();
                assert!(slab.remove(key).is_some());
            }
        }
        assert_eq!((slab.slots(), slab.len()), (101, 100));
    }
}
