//! One session in a hundred thousand groups: each join, each leave, its end and each pause cost as
//! much as they do in a few, and a membership costs less than two hundred bytes.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use readyloop::sim::{Client, Faults, Net, Sim};
use readyloop::{
    Context, Group, Handler, Inline, Limits, Lines, Peer, Reactor, Setup, SlowMember, Trigger,
};
use rustix::time::{ClockId, clock_gettime};

/// The system's allocator, which counts the bytes that each thread has.
struct Counting;

thread_local! {
    static BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends may free and allocate after its locals are gone.
    let _ending = BYTES.try_with(|sum| sum.set(sum.get() + bytes));
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const GROUPS: usize = 100_000;

/// Joins, or leaves, all groups on a word.
struct Member {
    groups: Vec<Group>,
}

impl Handler for Member {
    type Framer = Lines;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (Lines, ()) {
        (Lines::new(1000), ())
    }

    fn on_frame(&mut self, _: &mut (), line: &[u8], context: &mut Context<'_>) {
        match line {
            b"join" => self.groups.iter().for_each(|group| context.join(group)),
            b"leave" => self.groups.iter().for_each(|group| context.leave(group)),
            b"pause" => assert!(context.pause_until_drained()),
            _ => context.close(),
        }
    }
}

/// A server with one session.
struct World {
    net: Net,
    reactor: Reactor<Sim, Inline<Member>>,
    client: Client,
}

impl World {
    fn new(groups: Vec<Group>) -> World {
        let net = Net::new(0, Trigger::Level, Faults::none());
        let kernel = net.kernel();
        let setup = Setup::new(&kernel, vec![net.listener()], Limits::default());
        let reactor = Reactor::new(kernel, setup, Member { groups }).unwrap();
        let client = net.connect(0);
        let mut world = World { net, reactor, client };
        world.settle();
        world
    }

    fn settle(&mut self) {
        let World { net, reactor, .. } = self;
        net.settle(100_000, || assert!(reactor.turn().unwrap()));
    }

    /// Says a word, and what this thread worked until it was done.
    fn say(&mut self, word: &str) -> Duration {
        let before = worked();
        self.client.send(format!("{word}\n").as_bytes());
        self.settle();
        worked() - before
    }
}

fn worked() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

fn groups(count: usize, slow: SlowMember) -> Vec<Group> {
    (0..count).map(|_| Group::new(slow)).collect()
}

fn assert_quick(what: &str, took: Duration) {
    assert!(took < Duration::from_secs(1), "{what} took {took:?}");
}

#[test]
fn a_hundred_thousand_joins_and_leaves_take_less_than_a_second_each() {
    let mut world = World::new(groups(GROUPS, SlowMember::PauseSender));
    assert_quick("joining", world.say("join"));
    assert_quick("leaving", world.say("leave"));
    assert_quick("joining again", world.say("join"));
    assert_quick("the end", world.say("close"));
}

#[test]
fn a_member_of_many_groups_that_wait_for_nobody_is_paused_for_nothing() {
    let mut world = World::new(groups(GROUPS, SlowMember::DropMessage));
    world.say("join");
    let took: Duration = (0..1000).map(|_| world.say("pause")).sum();
    assert_quick("a thousand pauses", took);
}

#[test]
fn a_membership_in_a_group_of_its_own_costs_less_than_two_hundred_bytes() {
    let empty = BYTES.get();
    let mut world = World::new(groups(GROUPS, SlowMember::DropMessage));
    world.say("join");
    let bytes = BYTES.get() - empty;
    // The handle on each group, which the user has, is not counted.
    let each = bytes as usize / GROUPS - size_of::<Group>();
    assert!(each < 200, "{each} bytes");
    world.say("leave");
    let left = (BYTES.get() - empty) as usize / GROUPS - size_of::<Group>();
    assert!(left < 100, "{left} bytes are left of a group without members");
}
