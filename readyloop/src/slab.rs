//! A table of slots with generations: insert and remove in O(1), and a stale key finds nobody.
//!
//! Knows nothing of sessions or timers; both live in one. Free slots form a list through the table,
//! last freed first, so a small set of live entries stays in a small set of cache lines.
//!
//! Invariant: a key's generation equals its slot's exactly while the entry is alive; it is never 0.

/// Names one life of one slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The slot.
    pub index: u32,
    /// Which life of the slot; never 0.
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
    generation: u32,
    entry: Entry<T>,
}

enum Entry<T> {
    Live(T),
    Free { next: u32 },
}

const NOBODY: u32 = u32::MAX;

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { slots: Vec::new(), free: NOBODY, live: 0 }
    }
}

impl<T> Slab<T> {
    /// Puts an entry into a free slot, or into a new one at the end.
    ///
    /// # Panics
    /// When the table holds 4,294,967,295 entries.
    pub fn insert(&mut self, value: T) -> Key {
        self.live += 1;
        if self.free == NOBODY {
            let index = u32::try_from(self.slots.len()).expect("a table is smaller than u32");
            self.slots.push(Slot { generation: 1, entry: Entry::Live(value) });
            return Key { index, generation: 1 };
        }
        let index = self.free;
        let slot = &mut self.slots[index as usize];
        if let Entry::Free { next } = slot.entry {
            self.free = next;
        }
        slot.entry = Entry::Live(value);
        Key { index, generation: slot.generation }
    }

    /// Takes an entry out; its key, and every copy of it, is stale from now on.
    pub fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let slot = &mut self.slots[key.index as usize];
        let entry = std::mem::replace(&mut slot.entry, Entry::Free { next: self.free });
        slot.generation = slot.generation.wrapping_add(1).max(1);
        self.free = key.index;
        self.live -= 1;
        match entry {
            Entry::Live(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// The entry, if it is still alive.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some(Slot { generation, entry: Entry::Live(value) })
                if *generation == key.generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The entry, if it is still alive.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.slots.get_mut(key.index as usize) {
            Some(Slot { generation, entry: Entry::Live(value) })
                if *generation == key.generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// The live entry of a slot, whatever its generation, with its key.
    #[inline]
    pub fn at(&mut self, index: usize) -> Option<(Key, &mut T)> {
        match self.slots.get_mut(index) {
            Some(Slot { generation, entry: Entry::Live(value) }) => {
                Some((Key { index: index as u32, generation: *generation }, value))
            }
            _ => None,
        }
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
    fn a_generation_that_wraps_skips_zero() {
        let mut slab = Slab::default();
        let first = slab.insert(());
        slab.remove(first);
        slab.set_generation(0, u32::MAX);
        let last = slab.insert(());
        assert_eq!(last.generation, u32::MAX);
        slab.remove(last);
        assert_eq!(slab.insert(()).generation, 1);
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
