//! The wheel against a naive twin, and its promises one by one.

use super::*;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// What six levels would span: deadlines beyond it are in the two highest.
const SIX_LEVELS: Duration = Duration::from_millis(1 << 36);

fn at(milliseconds: u64) -> Now {
    Now::ZERO + Duration::from_millis(milliseconds)
}

/// Drains the wheel as a turn does, without a budget, and settles each timer.
fn drain(wheel: &mut Wheel<u32>, chain: &mut Chain, now: Now) -> Vec<u32> {
    let mut values = Vec::new();
    while let Some((id, value)) = wheel.expire(now) {
        values.push(value);
        wheel.settle(chain, id);
    }
    values
}

impl<T: Copy + Default> Wheel<T> {
    /// Walks everything and compares it with the invariants in the file's head.
    fn check(&mut self) {
        assert!(self.cursor <= tick_begun(self.now));
        let mut linked = 0;
        for level in 0..LEVELS {
            assert_eq!(self.levels >> level & 1 == 1, self.occupied[level] != 0);
            for slot in 0..SLOTS {
                let List { head, tail } = self.lists[level][slot];
                assert_eq!(self.occupied[level] >> slot & 1 == 1, head != NOBODY);
                if head == NOBODY {
                    assert_eq!(tail, NOBODY);
                    continue;
                }
                let own = digit(self.cursor, level);
                let moving = self.cascading == Some(level) && slot == own;
                assert!(slot > own || level == 0 && slot == own || moving);
                linked += self.check_list(level, slot, moving);
            }
        }
        let mut pending = 0;
        for index in 0..self.nodes.slots() {
            if let Some((_, node)) = self.nodes.at(index) {
                pending += usize::from(matches!(node.place, Place::Level(_)));
            }
        }
        assert_eq!(linked, pending);
    }

    fn check_list(&mut self, level: usize, slot: usize, moving: bool) -> usize {
        let List { head, tail } = self.lists[level][slot];
        let (mut index, mut previous, mut length) = (head, NOBODY, 0);
        while index != NOBODY {
            let node = self.node(index);
            assert_eq!((node.previous, node.place), (previous, Place::Level(level as u8)));
            let (tick, next) = (node.due.tick(), node.next);
            assert_eq!(digit(tick, level), slot);
            assert!(moving || self.place_for(tick) == Place::Level(level as u8));
            (previous, index, length) = (index, next, length + 1);
        }
        assert_eq!(previous, tail);
        length
    }
}

/// `SplitMix64`: small, and good enough to choose a step.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A span of any magnitude from nanoseconds to beyond six levels.
    fn span(&mut self) -> Duration {
        let bits = self.below(58);
        Duration::from_nanos(self.next() & ((1 << bits) - 1))
    }
}

const OWNERS: usize = 5;

/// What the wheel should be: a plain list, searched from end to end.
struct Twin {
    wheel: Wheel<u64>,
    chains: [Chain; OWNERS],
    alive: Vec<Entry>,
    dead: Vec<TimerId>,
    now: Now,
    random: Random,
    values: u64,
    fired: usize,
}

struct Entry {
    id: TimerId,
    owner: usize,
    value: u64,
    /// The first instant at which it may be handed out; `None` once it has been.
    due: Option<u128>,
}

impl Twin {
    fn new(seed: u64) -> Twin {
        let mut random = Random(seed);
        // Many starts lie shortly before many digits turn over.
        let turnover = Duration::from_millis(1 << (6 * random.below(7)));
        let early = Duration::from_micros(random.below(100_000)).min(turnover);
        let now = Now::ZERO + (turnover - early);
        let mut wheel = Wheel::new(now);
        wheel.cascade_max = 3;
        Twin {
            wheel,
            chains: Default::default(),
            alive: Vec::new(),
            dead: Vec::new(),
            now,
            random,
            values: 0,
            fired: 0,
        }
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            match self.random.below(16) {
                0..=5 => self.set(),
                6..=8 => self.reset(),
                9 => self.cancel(),
                10 if self.random.below(8) == 0 => self.cancel_owner(),
                11..=13 => self.pass(),
                14 => self.expire_some(1),
                _ => self.expire_some(usize::MAX),
            }
            self.compare();
        }
    }

    fn deadline(&mut self) -> Now {
        match self.random.below(8) {
            0 => Now::from_nanos(self.now.as_nanos() - self.random.below(self.now.as_nanos() + 1)),
            1 => self.now,
            2 if self.random.below(4) == 0 => Now::from_nanos(u64::MAX - self.random.below(2)),
            3 => self.now + MILLISECOND * self.random.below(70) as u32,
            _ => self.now + self.random.span(),
        }
    }

    /// Times in nanoseconds, wide enough that rounding up at the end of time is not special.
    fn rounded(&self, due: Now) -> u128 {
        let tick = 1_000_000;
        let (due, now) = (u128::from(due.as_nanos()), u128::from(self.now.as_nanos()));
        if due <= now { now / tick * tick } else { due.div_ceil(tick) * tick }
    }

    fn any(&mut self) -> Option<usize> {
        let length = self.alive.len() as u64;
        (length > 0).then(|| self.random.below(length) as usize)
    }

    fn set(&mut self) {
        let owner = self.random.below(OWNERS as u64) as usize;
        let due = self.deadline();
        self.values += 1;
        let id = self.wheel.set(&mut self.chains[owner], due, self.values);
        let due = Some(self.rounded(due));
        self.alive.push(Entry { id, owner, value: self.values, due });
    }

    fn reset(&mut self) {
        let due = self.deadline();
        let rounded = self.rounded(due);
        if let Some(nth) = self.any() {
            assert!(self.wheel.reset(self.alive[nth].id, due));
            self.alive[nth].due = Some(rounded);
        }
        if let Some(&id) = self.dead.last() {
            assert!(!self.wheel.reset(id, due));
        }
    }

    fn cancel(&mut self) {
        let Some(nth) = self.any() else { return };
        self.cancel_nth(nth);
    }

    fn cancel_nth(&mut self, nth: usize) {
        let Entry { id, owner, value, .. } = self.alive.swap_remove(nth);
        assert_eq!(self.wheel.value(id), Some(value));
        assert!(self.wheel.cancel(&mut self.chains[owner], id));
        assert!(!self.wheel.cancel(&mut self.chains[owner], id));
        assert_eq!(self.wheel.value(id), None);
        self.dead.push(id);
    }

    fn cancel_owner(&mut self) {
        let owner = self.random.below(OWNERS as u64) as usize;
        self.wheel.cancel_all(&mut self.chains[owner]);
        assert!(self.chains[owner].is_empty());
        self.dead
            .extend(self.alive.iter().filter(|timer| timer.owner == owner).map(|timer| timer.id));
        self.alive.retain(|timer| timer.owner != owner);
    }

    fn pass(&mut self) {
        self.now = match self.random.below(4) {
            0 => self.now + self.random.span(),
            1 => self.now.max(self.wheel.next_due().unwrap_or(self.now)),
            _ => self.now + Duration::from_micros(self.random.below(5_000)),
        };
        self.wheel.tell(self.now);
    }

    fn earliest(&self) -> Option<u128> {
        self.alive.iter().filter_map(|timer| timer.due).min()
    }

    fn expire_some(&mut self, budget: usize) {
        let mut left = budget.min(self.alive.len() * 2);
        while left > 0 {
            let before = self.wheel.next_due();
            let Some((id, value)) = self.wheel.expire(self.now) else {
                if self.wheel.next_due().is_none_or(|next| next > self.now) {
                    break;
                }
                assert!(self.wheel.cascading.is_some(), "gave up without a reason");
                continue;
            };
            left -= 1;
            assert!(before.is_some_and(|before| before <= self.now));
            let nth = self.alive.iter().position(|timer| timer.id == id).expect("it is alive");
            assert_eq!(self.alive[nth].value, value);
            assert_eq!(self.alive[nth].due, self.earliest(), "not the earliest tick");
            assert!(self.alive[nth].due.unwrap() <= u128::from(self.now.as_nanos()), "too early");
            self.alive[nth].due = None;
            self.fired += 1;
            self.call_back(nth);
            self.compare();
        }
        if left > 0 {
            assert!(self.earliest().is_none_or(|due| due > u128::from(self.now.as_nanos())));
        }
    }

    /// What a handler may do while its timer is fired, and the settling that follows.
    fn call_back(&mut self, nth: usize) {
        let Entry { id, owner, .. } = self.alive[nth];
        match self.random.below(8) {
            0 => {
                let due = self.deadline();
                assert!(self.wheel.reset(id, due));
                self.alive[nth].due = Some(self.rounded(due));
            }
            1 => self.cancel_nth(nth),
            2 => self.set(),
            3 if self.random.below(4) == 0 => self.cancel_owner(),
            // Forgets to settle: the timer stays fired until someone else ends it.
            4 => return,
            _ => {}
        }
        self.wheel.settle(&mut self.chains[owner], id);
        if let Some(nth) = self.alive.iter().position(|timer| timer.id == id && timer.due.is_none())
        {
            self.dead.push(id);
            self.alive.swap_remove(nth);
        }
    }

    fn compare(&mut self) {
        self.wheel.check();
        assert_eq!(self.wheel.len(), self.alive.len());
        let next = self.wheel.next_due().map(|next| u128::from(next.as_nanos()));
        let earliest = self.earliest().filter(|&due| due <= u128::from(u64::MAX));
        match (next, earliest) {
            (Some(next), Some(earliest)) => assert!(next <= earliest, "{next} > {earliest}"),
            (None, Some(earliest)) => panic!("nobody waits for {earliest}"),
            // The slot that was being cascaded lost its last timer; one more call notices.
            (Some(_), None) => assert!(self.wheel.cascading.is_some()),
            (None, None) => {}
        }
        for (owner, chain) in self.chains.iter().enumerate() {
            assert_eq!(chain.is_empty(), self.alive.iter().all(|timer| timer.owner != owner));
        }
    }
}

#[test]
fn the_wheel_does_what_a_plain_list_would_do() {
    let mut fired = 0;
    for seed in 0..400 {
        let outcome = std::panic::catch_unwind(|| {
            let mut twin = Twin::new(seed);
            twin.run(400);
            twin.fired
        });
        fired += outcome.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
    }
    assert!(fired > 10_000, "the walk has gone blind: {fired}");
}

#[test]
fn a_timer_takes_40_bytes_and_a_chain_4() {
    assert_eq!(size_of::<Node<[u64; 2]>>(), 40);
    assert_eq!((size_of::<Chain>(), size_of::<TimerId>()), (4, 8));
}

#[test]
fn a_deadline_below_one_millisecond_rounds_up() {
    let start = Now::from_nanos(7_000_001);
    let (mut wheel, mut chain) = (Wheel::new(start), Chain::default());
    wheel.set(&mut chain, start + Duration::from_nanos(1), 1);
    assert_eq!(wheel.next_due(), Some(at(8)));
    assert_eq!(wheel.expire(Now::from_nanos(7_999_999)), None);
    assert_eq!(drain(&mut wheel, &mut chain, at(8)), [1]);
}

#[test]
fn a_deadline_that_has_passed_needs_no_tick_to_pass() {
    let start = Now::from_nanos(7_300_000);
    let (mut wheel, mut chain) = (Wheel::new(start), Chain::default());
    wheel.set(&mut chain, Now::ZERO, 1);
    wheel.set(&mut chain, start, 2);
    assert_eq!(drain(&mut wheel, &mut chain, start), [1, 2]);
    let later = Now::from_nanos(7_600_000);
    wheel.tell(later);
    wheel.set(&mut chain, later, 3);
    assert_eq!(drain(&mut wheel, &mut chain, later), [3]);
}

#[test]
fn time_that_runs_backwards_is_ignored() {
    let (mut wheel, mut chain) = (Wheel::new(at(100)), Chain::default());
    assert_eq!(wheel.expire(at(50)), None);
    wheel.set(&mut chain, at(60), 1);
    assert_eq!(drain(&mut wheel, &mut chain, at(40)), [1]);
}

#[test]
fn to_wait_until_next_due_never_spins() {
    let delays = [1, 63, 64, 65, 4_095, 4_096, 60_000, 1 << 24, (1 << 36) + 1, 1 << 43];
    for start in [0, 1, 63, 64, 4_000, (1 << 36) - 1] {
        for delay in delays {
            let (mut wheel, mut chain) = (Wheel::new(at(start)), Chain::default());
            wheel.set(&mut chain, at(start + delay), 1);
            let (mut now, mut waits) = (at(start), 0);
            loop {
                let next = wheel.next_due().unwrap();
                assert!(next > now, "start {start} delay {delay} spins at {now:?}");
                (now, waits) = (next, waits + 1);
                if !drain(&mut wheel, &mut chain, now).is_empty() {
                    break;
                }
            }
            assert_eq!(now, at(start + delay));
            assert!(waits <= LEVELS, "start {start} delay {delay} waits {waits} times");
        }
    }
}

#[test]
fn a_jump_of_an_hour_or_an_age_visits_no_empty_slot() {
    for jump in [HOUR, SIX_LEVELS * 3] {
        let (mut wheel, mut chain) = (Wheel::new(at(5)), Chain::default());
        assert_eq!(wheel.expire(at(5) + jump), None);
        assert_eq!(wheel.steps, 0);
        let now = at(5) + jump;
        wheel.set(&mut chain, now + MILLISECOND, 1);
        wheel.set(&mut chain, now + jump, 2);
        assert_eq!(drain(&mut wheel, &mut chain, now + MILLISECOND), [1]);
        // The wheel kept up with the jump: what is near then needs no cascade.
        assert_eq!(wheel.steps, 1);
        assert_eq!(drain(&mut wheel, &mut chain, now + jump), [2]);
        assert!(wheel.steps <= 2 * LEVELS, "{} steps", wheel.steps);
    }
}

#[test]
fn a_deadline_at_the_end_of_time_never_comes_and_is_never_waited_for() {
    let (mut wheel, mut chain) = (Wheel::new(at(1)), Chain::default());
    let never = wheel.set(&mut chain, at(1) + Duration::MAX, 1);
    assert_eq!(wheel.next_due(), None);
    assert_eq!(wheel.expire(Now::from_nanos(u64::MAX)), None);
    assert_eq!((wheel.len(), wheel.value(never)), (1, Some(1)));
    assert!(wheel.reset(never, at(3)));
    assert_eq!(drain(&mut wheel, &mut chain, Now::from_nanos(u64::MAX)), [1]);
}

#[test]
fn a_timer_reset_in_its_own_callback_survives_settling() {
    let (mut wheel, mut chain) = (Wheel::new(at(0)), Chain::default());
    let id = wheel.set(&mut chain, at(10), 'x');
    for round in 1..=3 {
        assert_eq!(wheel.expire(at(10 * round)), Some((id, 'x')));
        assert_eq!((wheel.value(id), wheel.len()), (Some('x'), 1));
        assert!(wheel.reset(id, at(10 * round + 10)));
        wheel.settle(&mut chain, id);
        assert_eq!(wheel.expire(at(10 * round)), None);
    }
    assert_eq!(wheel.expire(at(40)), Some((id, 'x')));
    wheel.settle(&mut chain, id);
    assert!(wheel.is_empty() && chain.is_empty());
    assert!(!wheel.reset(id, at(50)));
}

#[test]
fn a_timer_cancelled_in_its_own_callback_is_settled_already() {
    let (mut wheel, mut chain) = (Wheel::new(at(0)), Chain::default());
    let id = wheel.set(&mut chain, at(0), 'x');
    assert_eq!(wheel.expire(at(0)), Some((id, 'x')));
    assert!(wheel.cancel(&mut chain, id));
    let successor = wheel.set(&mut chain, at(5), 'y');
    wheel.settle(&mut chain, id);
    assert_eq!((wheel.len(), wheel.value(successor)), (1, Some('y')));
}

#[test]
fn a_timer_that_is_for_ever_set_to_the_past_lets_the_others_fire() {
    let (mut wheel, mut chain) = (Wheel::new(at(0)), Chain::default());
    let greedy = wheel.set(&mut chain, at(0), 0);
    for n in 1..=10_u32 {
        wheel.set(&mut chain, at(u64::from(n) * 5 + 50), n);
    }
    let mut others = Vec::new();
    for _ in 0..50 {
        let (id, value) = wheel.expire(at(100)).unwrap();
        if id == greedy {
            wheel.reset(id, Now::ZERO);
        } else {
            others.push(value);
        }
        wheel.settle(&mut chain, id);
    }
    assert_eq!(others, Vec::from_iter(1..=10));
}

#[test]
fn the_end_of_one_chain_leaves_the_others_alone() {
    let mut wheel = Wheel::new(at(0));
    let mut chains = [(); 3].map(|()| Chain::default());
    for n in 0..30 {
        wheel.set(&mut chains[n as usize % 3], at(n * n), n as u32);
    }
    wheel.cancel_all(&mut chains[1]);
    assert_eq!((wheel.len(), chains[1].is_empty()), (20, true));
    let mut values = Vec::new();
    while let Some((id, value)) = wheel.expire(at(1_000)) {
        wheel.settle(&mut chains[value as usize % 3], id);
        values.push(value);
    }
    assert_eq!(values, Vec::from_iter((0..30).filter(|n| n % 3 != 1)));
    assert!(wheel.is_empty() && chains.iter().all(Chain::is_empty));
}

#[test]
fn a_cancel_with_the_chain_of_another_breaks_nothing() {
    let mut wheel = Wheel::new(at(0));
    let (mut ours, mut theirs) = (Chain::default(), Chain::default());
    let old = wheel.set(&mut ours, at(1), 1);
    let new = wheel.set(&mut ours, at(2), 2);
    wheel.set(&mut theirs, at(3), 3);
    assert!(!wheel.cancel(&mut theirs, new));
    wheel.cancel(&mut theirs, old);
    wheel.check();
    wheel.cancel_all(&mut ours);
    assert_eq!((wheel.len(), theirs.is_empty()), (1, false));
    assert_eq!(drain(&mut wheel, &mut theirs, at(3)), [3]);
}

#[test]
fn a_million_timers_due_in_one_turn_are_drained_within_budgets() {
    const TIMERS: u32 = 1_000_000;
    const BUDGET: usize = 1_000;
    let (mut wheel, mut chain) = (Wheel::new(at(0)), Chain::default());
    for n in 0..TIMERS {
        wheel.set(&mut chain, at(60_000 + u64::from(n % 7)), n);
    }
    let now = at(0) + HOUR;
    let (mut turns, mut fired) = (0, 0);
    while wheel.next_due().is_some_and(|next| next <= now) {
        turns += 1;
        let before = wheel.steps;
        for _ in 0..BUDGET {
            let Some((id, value)) = wheel.expire(now) else { break };
            assert!(value < TIMERS);
            fired += 1;
            wheel.settle(&mut chain, id);
        }
        let steps = wheel.steps - before;
        assert!(steps <= 2 * (BUDGET + CASCADE_MAX), "{steps} steps in one turn");
    }
    assert_eq!((fired, wheel.len(), chain.is_empty()), (TIMERS, 0, true));
    // To fire them takes 1,000 turns; to move them down, once or twice each, up to 3,907.
    assert!(turns <= 5_000, "{turns} turns");
}
