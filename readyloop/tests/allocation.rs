//! After warm-up, the byte path allocates nothing: counted, not believed.
#![allow(unsafe_code, clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use readyloop::framers::{LengthPrefixed, Order, Prefix};
use readyloop::{Context, Framer, Handler, Limits, Lines, Peer, Poller, Raw, Server, Trigger};

/// The system's allocator, which counts the calls of each thread that ask for memory.
struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends may free and allocate after its locals are gone.
    let _ending = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Sends every frame back as it stands in the stream.
struct Echo<F>(F, fn(&[u8], &mut Context<'_>));

impl<F: Framer + Clone + Send> Handler for Echo<F> {
    type Framer = F;
    type Session = ();

    fn on_open(&mut self, _: &Peer, _: &mut Context<'_>) -> (F, ()) {
        (self.0.clone(), ())
    }

    fn on_frame(&mut self, _: &mut (), frame: &[u8], context: &mut Context<'_>) {
        (self.1)(frame, context);
    }
}

fn length() -> LengthPrefixed {
    LengthPrefixed::new(Prefix::Four, Order::Big, 1 << 20)
}

/// How often `rounds` rounds allocate, in which each of `peers` sends `pieces`, one for each turn,
/// and reads as much back.
fn allocations<F: Framer + Clone + Send>(
    how: (Poller, Trigger),
    handler: Echo<F>,
    peers: usize,
    pieces: &[Vec<u8>],
) -> usize {
    let limits = Limits { idle_timeout: Some(Duration::from_secs(60)), ..Limits::default() };
    let server = Server::builder().listen("127.0.0.1:0").poller(how.0).trigger(how.1);
    let server = server.limits(limits).bind().unwrap();
    let address = server.addresses()[0].to_string();
    let mut reactor = server.reactor(handler).unwrap();
    let mut peers: Vec<_> = (0..peers).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for peer in &peers {
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        peer.set_nodelay(true).unwrap();
    }
    let mut back = vec![0; pieces.iter().map(Vec::len).sum()];
    let mut round = || {
        for piece in pieces {
            let goal = reactor.stats().recv_bytes + (piece.len() * peers.len()) as u64;
            peers.iter_mut().for_each(|peer| peer.write_all(piece).unwrap());
            while reactor.stats().recv_bytes < goal {
                reactor.turn().unwrap();
            }
        }
        peers.iter_mut().for_each(|peer| peer.read_exact(&mut back).unwrap());
    };
    (0..20).for_each(|_| round());
    let before = CALLS.get();
    (0..200).for_each(|_| round());
    CALLS.get() - before
}

fn in_every_way(count: impl Fn((Poller, Trigger)) -> usize) {
    let ways = [
        (Poller::Epoll, Trigger::Level),
        (Poller::Epoll, Trigger::Edge),
        (Poller::Poll, Trigger::Level),
        (Poller::Select, Trigger::Level),
    ];
    for way in ways {
        assert_eq!(count(way), 0, "{way:?}");
    }
}

#[test]
fn the_counter_counts() {
    let before = CALLS.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(CALLS.get() - before, 1);
}

#[test]
fn raw_bytes_are_echoed_without_an_allocation() {
    let echo = || Echo(Raw, |frame, context| assert!(context.send(frame)));
    in_every_way(|how| allocations(how, echo(), 50, &[vec![7; 64]]));
}

#[test]
fn pipelined_lines_are_echoed_without_an_allocation() {
    let echo = || {
        Echo(Lines::new(1000), |frame, context| {
            assert!(context.send(frame) && context.send(b"\n"));
        })
    };
    in_every_way(|how| allocations(how, echo(), 5, &[b"a line of text\n".repeat(16)]));
}

#[test]
fn frames_that_are_cut_anywhere_are_echoed_without_an_allocation() {
    let framed = |size: usize| {
        let prefix = length().encode(size).unwrap();
        [prefix.as_slice(), &vec![3; size]].concat()
    };
    let echo = || Echo(length(), |frame, context| assert!(context.send_framed(&length(), frame)));
    // Within the header, within the body, and in a frame that needs a large chunk.
    for (size, cut) in [(64, 2), (64, 40), (10_000, 5_000)] {
        let frame = framed(size);
        let pieces = [frame[..cut].to_vec(), frame[cut..].to_vec()];
        in_every_way(|how| allocations(how, echo(), 5, &pieces));
    }
}
