//! Timers by the million: a hierarchical wheel that is told the time.
//!
//! Every session may hold deadlines, and nearly all of them are moved or cancelled before they
//! come. So set, reset and cancel are O(1), and a stretch of time in which nothing is due costs
//! nothing, however long it is. The wheel reads no clock and calls nobody back: it names one due
//! timer for each call, and the caller decides how many it serves in a turn.
//!
//! A tick is one millisecond. Ticks are read as eight digits to the base 64, which reaches beyond
//! the end of [`Now`], so no deadline is too far away. A timer waits in the level of the highest
//! digit in which its tick differs from the cursor's, in the slot of its own digit there. When the
//! cursor comes to a slot above the lowest level, the slot's timers move down (a cascade).
//!
//! Invariants: `cursor <= tick` for each pending timer, and the cursor is never after now. Above
//! the lowest level, only slots after the cursor's own digit are occupied, but for the one that is
//! being cascaded; so the earliest timer is in the first occupied slot of the lowest occupied
//! level. A slot's bit is set exactly while its list is not empty, a level's bit exactly while one
//! of its slots is occupied. A timer is in its owner's chain for as long as it lives.

use crate::clock::Now;
use crate::slab::{Key, Slab};

const TICK_NANOS: u64 = 1_000_000;
/// The last tick that begins before time ends; what is due later is never due.
const TICK_LAST: u64 = u64::MAX / TICK_NANOS;

const DIGIT_BITS: usize = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 8;
const _: () = assert!(TICK_LAST < 1 << (DIGIT_BITS * LEVELS));

/// How many timers one call moves down before it returns. A slot may hold every timer there is, and
/// each one that moves costs a few cache misses: this many take about 0.1 ms among a million.
const CASCADE_MAX: usize = 512;

const NOBODY: u32 = u32::MAX;

/// One timer, named for its life. It is safe to keep after the timer's end: a stale id finds
/// nobody.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId(Key);

impl TimerId {
    /// A name for a timer that another table keeps.
    pub(crate) fn from_key(key: Key) -> TimerId {
        TimerId(key)
    }

    /// Where that table has it.
    pub(crate) fn key(self) -> Key {
        self.0
    }
}

/// All timers of one owner, so that the owner's end can cancel them: the head of a list in the
/// wheel. To drop a chain that is not empty leaves its timers in the wheel.
#[derive(Debug)]
pub struct Chain(u32);

impl Default for Chain {
    /// A chain without timers.
    fn default() -> Chain {
        Chain(NOBODY)
    }
}

impl Chain {
    /// Whether no timer is in it.
    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.0 == NOBODY
    }
}

/// The wheel. `T` is what a timer says when it is due: whose it is, and what it is for.
pub struct Wheel<T> {
    nodes: Slab<Node<T>>,
    /// One bit for each level that has an occupied slot.
    levels: u32,
    /// One bit for each slot of each level.
    occupied: [u64; LEVELS],
    /// The slots' lists; boxed, so that moving a wheel does not copy 4 KiB.
    lists: Box<[[List; SLOTS]; LEVELS]>,
    /// The tick up to which the wheel has been emptied.
    cursor: u64,
    /// The level whose slot under the cursor is being moved down, if a cascade ran out of budget.
    cascading: Option<usize>,
    /// [`CASCADE_MAX`], but for tests.
    cascade_max: usize,
    /// The latest instant that the wheel was told.
    now: Now,
    /// What `expire` has done: slots visited and timers moved, so that a test can count it.
    #[cfg(test)]
    steps: usize,
}

/// The timers of one slot: new ones at the tail, so that no timer overtakes its own tick.
#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
}

/// One timer: 24 bytes and its value.
#[derive(Default)]
struct Node<T> {
    value: T,
    next: u32,
    previous: u32,
    chain_next: u32,
    chain_previous: u32,
    due: Due,
    place: Place,
}

/// A tick in the 48 bits of eight digits, aligned so that it shares a word with [`Place`].
#[derive(Clone, Copy, Default)]
struct Due([u16; 3]);

/// Where a timer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    /// Pending, in this level, in the slot of its tick's digit.
    Level(u8),
    /// Pending, in no slot: time ends first.
    #[default]
    Never,
    /// Handed out by `expire`, in no slot.
    Fired,
}

impl<T: Copy + Default> Wheel<T> {
    /// An empty wheel.
    pub fn new(now: Now) -> Wheel<T> {
        Wheel {
            nodes: Slab::default(),
            levels: 0,
            occupied: [0; LEVELS],
            lists: Box::new([[List { head: NOBODY, tail: NOBODY }; SLOTS]; LEVELS]),
            cursor: tick_begun(now),
            cascading: None,
            cascade_max: CASCADE_MAX,
            now,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Tells the time without expiring anything. [`Wheel::expire`] does it too; a caller that sets
    /// timers earlier in its turn calls this first, so that a timer for "now" is due in that same
    /// turn and not up to a tick later. Time that runs backwards is ignored.
    #[inline]
    pub fn tell(&mut self, now: Now) {
        self.now = self.now.max(now);
    }

    /// Sets a timer. It never fires before `due`: ticks round up. If `due` is not after the latest
    /// instant that the wheel was told, it is due at once, behind everything that is due already;
    /// while a caller drains `expire`, that may be within the same drain. A deadline at the end of
    /// time never comes.
    ///
    /// # Panics
    /// When the wheel holds 4,294,967,295 timers.
    pub fn set(&mut self, chain: &mut Chain, due: Now, value: T) -> TimerId {
        let tick = self.tick_for(due);
        let key = self.nodes.insert(Node {
            value,
            next: NOBODY,
            previous: NOBODY,
            chain_next: chain.0,
            chain_previous: NOBODY,
            due: Due::new(tick),
            place: Place::Never,
        });
        if chain.0 != NOBODY {
            self.node(chain.0).chain_previous = key.index;
        }
        chain.0 = key.index;
        self.link(key.index, tick);
        TimerId(key)
    }

    /// Gives a timer another deadline, under the rules of [`Wheel::set`]; false for a stale id. A
    /// timer that has fired is pending again, so a callback makes its own timer periodic with this.
    pub fn reset(&mut self, id: TimerId, due: Now) -> bool {
        let tick = self.tick_for(due);
        let place = self.place_for(tick);
        let Some(node) = self.nodes.get_mut(id.0) else { return false };
        // An idle deadline that is pushed out by each message nearly always stays within its slot;
        // then no neighbour is touched.
        if let Place::Level(level) = place
            && node.place == place
            && digit(node.due.tick(), level.into()) == digit(tick, level.into())
        {
            node.due = Due::new(tick);
            return true;
        }
        self.unlink(id.0.index);
        self.link(id.0.index, tick);
        true
    }

    /// Removes a timer, pending or fired; false for a stale id.
    ///
    /// `chain` must be the one it was set in; the owner of an id that came from elsewhere is found
    /// by [`Wheel::value`]. With another's chain the answer may be false and the timer stays, but
    /// nothing breaks.
    pub fn cancel(&mut self, chain: &mut Chain, id: TimerId) -> bool {
        let Some(node) = self.nodes.get(id.0) else { return false };
        let (next, previous) = (node.chain_next, node.chain_previous);
        if previous != NOBODY {
            self.node(previous).chain_next = next;
        } else if chain.0 == id.0.index {
            chain.0 = next;
        } else {
            return false;
        }
        if next != NOBODY {
            self.node(next).chain_previous = previous;
        }
        self.unlink(id.0.index);
        self.nodes.remove(id.0);
        true
    }

    /// Removes every timer of a chain, pending or fired. Takes time in proportion to their number.
    pub fn cancel_all(&mut self, chain: &mut Chain) {
        while chain.0 != NOBODY {
            self.unlink(chain.0);
            let (key, node) = self.entry(chain.0);
            chain.0 = node.chain_next;
            self.nodes.remove(key);
        }
    }

    /// What a timer was set with; `None` for a stale id.
    pub fn value(&self, id: TimerId) -> Option<T> {
        self.nodes.get(id.0).map(|node| node.value)
    }

    /// When to call [`Wheel::expire`] next; `None` if nothing will ever be due.
    ///
    /// It is never later than the first instant at which `expire` returns the earliest timer. It
    /// may be earlier, when a cascade comes first, and it is not in the future while work is left
    /// over. A call of `expire` at this instant always gets on, so to wait for it never spins.
    #[inline]
    pub fn next_due(&self) -> Option<Now> {
        self.earliest().map(|(_, tick)| Now::from_nanos(tick * TICK_NANOS))
    }

    /// One timer that is due, earliest tick first. Between timers of one tick no order is promised.
    ///
    /// The timer stays alive, as fired, until [`Wheel::reset`], [`Wheel::settle`] or a cancel.
    /// `None` means that none is due, or that this call has moved as many timers down as it may;
    /// then `next_due` is not in the future, and the next turn goes on. A caller needs a budget of
    /// its own: a callback that sets timers for now keeps its drain going.
    #[inline]
    pub fn expire(&mut self, now: Now) -> Option<(TimerId, T)> {
        self.tell(now);
        let today = tick_begun(self.now);
        if self.earliest().is_some_and(|(_, tick)| tick <= today) {
            return self.expire_until(today);
        }
        self.cursor = today;
        None
    }

    /// Ends a callback: removes the timer if it is still fired, so neither reset nor cancelled
    /// meanwhile. `chain` is as in [`Wheel::cancel`].
    pub fn settle(&mut self, chain: &mut Chain, id: TimerId) {
        if self.nodes.get(id.0).is_some_and(|node| node.place == Place::Fired) {
            self.cancel(chain, id);
        }
    }

    /// How many timers are alive, pending and fired.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no timer is alive.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}

impl<T: Copy + Default> Wheel<T> {
    /// The tick at whose beginning a timer for `due` may fire.
    ///
    /// A deadline that has passed gets the present tick and not its own: a timer that is for ever
    /// set to the past would otherwise keep all later ones from their turn.
    #[inline]
    fn tick_for(&self, due: Now) -> u64 {
        if due <= self.now { tick_begun(self.now) } else { due.as_nanos().div_ceil(TICK_NANOS) }
    }

    #[inline]
    fn place_for(&self, tick: u64) -> Place {
        debug_assert!(self.cursor <= tick);
        if tick > TICK_LAST {
            return Place::Never;
        }
        let highest_bit = (tick ^ self.cursor | 1).ilog2();
        Place::Level((highest_bit / DIGIT_BITS as u32) as u8)
    }

    /// The first slot to visit: its level and the tick at which it begins.
    #[inline]
    fn earliest(&self) -> Option<(usize, u64)> {
        if let Some(level) = self.cascading {
            return Some((level, self.cursor));
        }
        if self.levels == 0 {
            return None;
        }
        let level = self.levels.trailing_zeros() as usize;
        let first = u64::from(self.occupied[level].trailing_zeros());
        let shift = level * DIGIT_BITS;
        let higher_digits = self.cursor >> shift >> DIGIT_BITS << DIGIT_BITS;
        Some((level, (higher_digits | first) << shift))
    }

    /// The rest of [`Wheel::expire`], kept apart: most turns find nothing due, and that answer
    /// without this is 28 instructions, inlined.
    #[inline(never)]
    fn expire_until(&mut self, today: u64) -> Option<(TimerId, T)> {
        let mut budget = self.cascade_max;
        while let Some((level, tick)) = self.earliest()
            && tick <= today
        {
            self.count_step();
            self.cursor = tick;
            if level == 0 {
                return Some(self.fire());
            }
            budget = self.cascade(level, budget);
            if budget == 0 {
                return None;
            }
        }
        self.cursor = today;
        None
    }

    /// Takes the first timer of the slot under the cursor, which is occupied.
    fn fire(&mut self) -> (TimerId, T) {
        let index = self.lists[0][digit(self.cursor, 0)].head;
        self.unlink(index);
        let (key, node) = self.entry(index);
        node.place = Place::Fired;
        (TimerId(key), node.value)
    }

    /// Moves timers of the slot under the cursor to the levels below; returns what is left of
    /// `budget`. Nothing fires before the slot is empty: the earliest may be its last.
    fn cascade(&mut self, level: usize, mut budget: usize) -> usize {
        let slot = digit(self.cursor, level);
        self.cascading = Some(level);
        while budget > 0 {
            let index = self.lists[level][slot].head;
            if index == NOBODY {
                self.cascading = None;
                break;
            }
            self.count_step();
            self.unlink(index);
            let tick = self.node(index).due.tick();
            self.link(index, tick);
            budget -= 1;
        }
        budget
    }

    /// Puts a timer that is in no slot into the slot of `tick`.
    fn link(&mut self, index: u32, tick: u64) {
        let place = self.place_for(tick);
        let mut previous = NOBODY;
        if let Place::Level(level) = place {
            let (level, slot) = (usize::from(level), digit(tick, level.into()));
            let list = &mut self.lists[level][slot];
            previous = std::mem::replace(&mut list.tail, index);
            if previous != NOBODY {
                self.node(previous).next = index;
            } else {
                list.head = index;
                self.occupied[level] |= 1 << slot;
                self.levels |= 1 << level;
            }
        }
        let node = self.node(index);
        (node.due, node.place) = (Due::new(tick), place);
        (node.next, node.previous) = (NOBODY, previous);
    }

    /// Takes a timer out of its slot, if it is in one; where it is then is for the caller to say.
    fn unlink(&mut self, index: u32) {
        let node = self.node(index);
        let Place::Level(level) = node.place else { return };
        let (level, slot) = (usize::from(level), digit(node.due.tick(), level.into()));
        let (next, previous) = (node.next, node.previous);
        match previous {
            NOBODY => self.lists[level][slot].head = next,
            _ => self.node(previous).next = next,
        }
        match next {
            NOBODY => self.lists[level][slot].tail = previous,
            _ => self.node(next).previous = previous,
        }
        if next == previous {
            // Only at both ends of a list can the neighbours be the same: nobody.
            self.occupied[level] &= !(1 << slot);
            self.levels &= !(u32::from(self.occupied[level] == 0) << level);
        }
    }

    #[inline]
    fn node(&mut self, index: u32) -> &mut Node<T> {
        self.entry(index).1
    }

    /// A node by a link to it. A node leaves its slot and its chain before it leaves the table.
    #[inline]
    fn entry(&mut self, index: u32) -> (Key, &mut Node<T>) {
        self.nodes.at(index as usize).expect("a linked timer is alive")
    }

    #[inline]
    fn count_step(&mut self) {
        #[cfg(test)]
        {
            self.steps += 1;
        }
    }
}

/// The tick that has begun at `now`.
#[inline]
fn tick_begun(now: Now) -> u64 {
    now.as_nanos() / TICK_NANOS
}

/// The digit of a tick at a level: the slot.
#[inline]
fn digit(tick: u64, level: usize) -> usize {
    (tick >> (level * DIGIT_BITS)) as usize % SLOTS
}

impl Due {
    #[inline]
    fn new(tick: u64) -> Due {
        Due([tick as u16, (tick >> 16) as u16, (tick >> 32) as u16])
    }

    #[inline]
    fn tick(self) -> u64 {
        let Due([low, middle, high]) = self;
        u64::from(high) << 32 | u64::from(middle) << 16 | u64::from(low)
    }
}

#[cfg(test)]
mod tests;
