//! One suite for every poller and trigger, on real sockets; and the Linux side's own promises.
//!
//! No test sleeps. What must come is awaited for 20 s at most; what must not come is asked for with
//! a timeout of zero, after something else has shown that it would be there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Instant;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;
use crate::id::SessionId;

mod dials;
mod memory;
mod options;

const EVENTS_MAX: usize = 8;
const WAYS: [(Poller, Trigger); 4] = [
    (Poller::Epoll, Trigger::Level),
    (Poller::Epoll, Trigger::Edge),
    (Poller::Poll, Trigger::Level),
    (Poller::Select, Trigger::Level),
];
const SOON: Duration = Duration::from_secs(20);
const LOOPBACK: &str = "127.0.0.1:0";

/// A module with a test for each promise that is kept by one poller with one trigger.
macro_rules! promises {
    ($combination:ident, $poller:ident, $trigger:ident: $($promise:ident)*) => {
        mod $combination {
            use super::{Poller, Trigger};

            $(
                #[test]
                fn $promise() {
                    let linux = super::linux(Poller::$poller, Trigger::$trigger).unwrap();
                    super::$promise(linux);
                }
            )*
        }
    };
}

/// What every combination keeps, and what only some keep.
macro_rules! suite {
    ($combination:ident, $poller:ident, $trigger:ident: $($more:ident)*) => {
        promises! { $combination, $poller, $trigger:
            bytes_are_reported_under_their_sockets_token
            an_end_is_readable_and_is_read_as_the_end
            a_reset_is_reported_and_read_as_one
            a_reset_is_taken_from_the_socket_once
            when_more_are_ready_than_are_reported_everybody_has_a_turn
            a_closed_socket_is_not_reported_again
            a_reused_descriptor_carries_its_new_token
            a_wait_is_not_shorter_than_its_timeout
            a_wake_of_another_thread_ends_a_wait_and_is_silent_once_seen
            many_wakes_are_seen_at_once
            a_caller_is_announced_and_taken
            a_caller_is_taken_ready_for_use
            a_reset_farewell_resets
            a_finishing_farewell_ends_cleanly
            a_finished_direction_leaves_the_other_open
            a_connect_to_a_listener_succeeds
            a_connect_from_an_address_is_seen_to_come_from_it
            a_connect_to_nobody_is_refused
            a_full_socket_blocks_and_is_writable_when_it_has_room
            several_runs_leave_in_order
            spare_room_is_read_into_behind_what_is_there
            $($more)*
        }
    };
}

macro_rules! level_suite {
    ($combination:ident, $poller:ident: $($more:ident)*) => {
        suite! { $combination, $poller, Level:
            writability_is_reported_only_when_it_is_wanted
            unread_bytes_are_silent_while_nobody_wants_them
            level_repeats_what_was_not_read
            a_resting_listener_is_silent_until_its_rest_is_over
            $($more)*
        }
    };
}

level_suite!(epoll_level, Epoll:
    a_reset_is_reported_to_those_who_want_nothing
    a_wake_is_told_once_and_not_read
);
level_suite!(poll_level, Poll: a_reset_is_reported_to_those_who_want_nothing);
level_suite!(select_level, Select:);
suite!(epoll_edge, Epoll, Edge:
    edge_reports_once_and_again_for_more
    a_wake_is_told_once_and_not_read
);

fn linux(poller: Poller, trigger: Trigger) -> Result<Linux> {
    linux_with(poller, trigger, SocketOptions::default())
}

fn linux_with(poller: Poller, trigger: Trigger, options: SocketOptions) -> Result<Linux> {
    let reserve = Arc::new(Reserve::new()?);
    Linux::new(poller, trigger, EVENTS_MAX, Arc::new(Waker::new()?), options, reserve)
}

fn token(number: u32) -> Token {
    Token::session(SessionId::new(0, number, 1))
}

/// Both ends of a TCP connection: ours, as the kernel's side wants it, and the peer's, which
/// blocks.
fn pair() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let peer = dial(listener.local_addr().unwrap());
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours.into(), peer)
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn listen() -> (Listener, SocketAddr) {
    let listener = Listener::bind(&LOOPBACK.parse().unwrap(), &ListenOptions::default()).unwrap();
    let Address::Tcp(address) = listener.local_address() else { panic!("not TCP") };
    (listener, address)
}

/// Ends a connection with a reset.
fn reset(peer: TcpStream) {
    sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// What is ready within `timeout`.
fn ready(linux: &mut Linux, timeout: Duration) -> Vec<Ready> {
    let count = linux.wait(Some(timeout)).unwrap();
    assert!(count <= EVENTS_MAX);
    (0..count).map(|nth| linux.ready(nth).unwrap()).collect()
}

fn ready_now(linux: &mut Linux) -> Vec<Ready> {
    ready(linux, Duration::ZERO)
}

/// Waits until `token` is reported with any of `flags`.
fn await_ready(linux: &mut Linux, token: Token, flags: u32) -> Ready {
    let begin = Instant::now();
    while begin.elapsed() < SOON {
        let found = ready(linux, SOON).into_iter().find(|r| r.token == token && r.any(flags));
        if let Some(found) = found {
            return found;
        }
    }
    panic!("{token:?} was not reported with {flags:#x}");
}

const ANY_NEWS: u32 = Ready::READABLE | Ready::ERROR | Ready::HANGUP | Ready::PEER_FINISHED;

fn bytes_are_reported_under_their_sockets_token(mut linux: Linux) {
    let ((one, _quiet), (other, mut peer)) = (pair(), pair());
    linux.watch(&one, token(1), Interest::READ).unwrap();
    linux.watch(&other, token(2), Interest::READ).unwrap();
    peer.write_all(b"hi").unwrap();
    loop {
        let found = ready(&mut linux, SOON);
        assert!(!found.iter().any(|r| r.token == token(1) && r.any(Ready::READABLE)), "{found:?}");
        if found.iter().any(|r| r.token == token(2) && r.any(Ready::READABLE)) {
            break;
        }
        assert!(!found.is_empty(), "the bytes were not reported");
    }
    let mut bytes = [0; 8];
    assert_eq!(linux.recv(&other, &mut bytes), Io::Done(2));
    assert_eq!(&bytes[..2], b"hi");
    assert_eq!(linux.recv(&other, &mut bytes), Io::WouldBlock);
}

fn an_end_is_readable_and_is_read_as_the_end(mut linux: Linux) {
    let (ours, peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    assert_eq!(linux.recv(&ours, &mut [0; 8]), Io::Finished);
}

fn a_reset_is_reported_and_read_as_one(mut linux: Linux) {
    let (ours, peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    reset(peer);
    await_ready(&mut linux, token(1), ANY_NEWS);
    assert_eq!(linux.recv(&ours, &mut [0; 8]), Io::Failed(Errno::CONNRESET));
}

fn a_reset_is_taken_from_the_socket_once(mut linux: Linux) {
    let (ours, peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    assert_eq!(linux.take_error(&ours), None);
    reset(peer);
    await_ready(&mut linux, token(1), ANY_NEWS);
    assert_eq!(linux.take_error(&ours), Some(Errno::CONNRESET));
    assert_eq!(linux.take_error(&ours), None);
}

fn a_reset_is_reported_to_those_who_want_nothing(mut linux: Linux) {
    let (ours, peer) = pair();
    linux.watch(&ours, token(1), Interest::NONE).unwrap();
    reset(peer);
    await_ready(&mut linux, token(1), Ready::ERROR | Ready::HANGUP);
}

fn when_more_are_ready_than_are_reported_everybody_has_a_turn(mut linux: Linux) {
    const SOCKETS: u32 = 5 * EVENTS_MAX as u32;
    let mut pairs: Vec<_> = (0..SOCKETS).map(|_| pair()).collect();
    for (number, (ours, peer)) in pairs.iter_mut().enumerate() {
        peer.write_all(b"x").unwrap();
        linux.watch(ours, token(number as u32), Interest::READ).unwrap();
    }
    let mut seen = vec![false; SOCKETS as usize];
    // Five waits have room for all of them; as many again may bring back what level repeats.
    for _ in 0..10 {
        for found in ready(&mut linux, SOON) {
            let number = (0..SOCKETS).find(|number| token(*number) == found.token).unwrap();
            seen[number as usize] |= found.any(Ready::READABLE);
        }
        if seen.iter().all(|seen| *seen) {
            return;
        }
    }
    panic!("passed over: {seen:?}");
}

/// A poller that asks for a closed descriptor is told of an invalid one (`POLLNVAL`).
fn assert_only_bytes_and_room(found: &[Ready], of: Token) {
    let good = |r: &Ready| r.token == of && r.any(Ready::READABLE | Ready::WRITABLE);
    assert!(found.iter().all(good), "{found:?}");
}

fn a_closed_socket_is_not_reported_again(mut linux: Linux) {
    let ((gone, mut its_peer), (stays, mut peer)) = (pair(), pair());
    // If another test reused the number, a poller that kept it would not be found out.
    let gone = renumbered(gone, number_of_our_own());
    linux.watch(&gone, token(1), Interest::BOTH).unwrap();
    linux.watch(&stays, token(2), Interest::READ).unwrap();
    its_peer.write_all(b"unread").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    linux.close(gone, Farewell::Finish);
    peer.write_all(b"x").unwrap();
    let begin = Instant::now();
    while begin.elapsed() < SOON {
        let found = ready(&mut linux, SOON);
        assert_only_bytes_and_room(&found, token(2));
        if found.iter().any(|r| r.any(Ready::READABLE)) {
            return;
        }
    }
    panic!("the other socket was forgotten");
}

/// The same socket under a number that no other test uses.
fn renumbered(socket: OwnedFd, number: i32) -> OwnedFd {
    let moved = fcntl_dupfd_cloexec(&socket, number).unwrap();
    assert_eq!(moved.as_raw_fd(), number, "the number is taken");
    moved
}

/// The soft limit may be 1,024.
fn raise_descriptor_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Tests run at the same time in one process.
fn number_of_our_own() -> i32 {
    static NEXT: AtomicI32 = AtomicI32::new(3000);
    raise_descriptor_limit();
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn a_reused_descriptor_carries_its_new_token(mut linux: Linux) {
    let number = number_of_our_own();
    let ((first, mut its_peer), (second, mut peer)) = (pair(), pair());
    let first = renumbered(first, number);
    linux.watch(&first, token(1), Interest::READ).unwrap();
    its_peer.write_all(b"x").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    linux.close(first, Farewell::Finish);
    let second = renumbered(second, number);
    linux.watch(&second, token(2), Interest::READ).unwrap();
    peer.write_all(b"y").unwrap();
    let begin = Instant::now();
    while begin.elapsed() < SOON {
        let found = ready(&mut linux, SOON);
        assert_only_bytes_and_room(&found, token(2));
        if found.iter().any(|r| r.any(Ready::READABLE)) {
            return;
        }
    }
    panic!("the new socket was not reported");
}

fn a_wait_is_not_shorter_than_its_timeout(mut linux: Linux) {
    for micros in [1, 50, 300, 999, 1001, 2500] {
        let timeout = Duration::from_micros(micros);
        let begin = linux.now();
        assert_eq!(ready(&mut linux, timeout), []);
        let slept = linux.now().since(begin);
        assert!(slept >= timeout, "slept {slept:?} of {timeout:?}");
    }
}

fn a_wake_of_another_thread_ends_a_wait_and_is_silent_once_seen(mut linux: Linux) {
    for _ in 0..3 {
        let waker = linux.waker();
        let thread = std::thread::spawn(move || waker.wake());
        let found = await_ready(&mut linux, Token::WAKER, Ready::READABLE);
        assert_eq!(found.token, Token::WAKER);
        thread.join().unwrap();
        linux.waker_seen();
        assert_eq!(ready_now(&mut linux), []);
    }
}

fn many_wakes_are_seen_at_once(mut linux: Linux) {
    let waker = linux.waker();
    (0..100).for_each(|_| waker.wake());
    await_ready(&mut linux, Token::WAKER, Ready::READABLE);
    linux.waker_seen();
    assert_eq!(ready_now(&mut linux), []);
    linux.waker_seen();
}

fn a_wake_is_told_once_and_not_read(mut linux: Linux) {
    for _ in 0..3 {
        linux.waker().wake();
        await_ready(&mut linux, Token::WAKER, Ready::READABLE);
        linux.waker_seen();
        assert_eq!(ready_now(&mut linux), []);
    }
    let mut wakes = [0; 8];
    rustix::io::read(linux.waker.as_fd(), &mut wakes).unwrap();
    assert_eq!(u64::from_ne_bytes(wakes), 3, "a read would be one more call for each wake");
}

fn a_caller_is_announced_and_taken(mut linux: Linux) {
    let ((quiet, _), (listener, address)) = (listen(), listen());
    linux.watch_listener(&quiet, 0).unwrap();
    linux.watch_listener(&listener, 1).unwrap();
    assert!(matches!(linux.accept(&listener), Accept::Empty));
    let caller = dial(address);
    await_ready(&mut linux, Token::listener(1), Ready::READABLE);
    let Accept::Socket(_socket, from) = linux.accept(&listener) else { panic!("no caller") };
    assert_eq!(from, Address::Tcp(caller.local_addr().unwrap()));
    assert!(matches!(linux.accept(&listener), Accept::Empty));
    linux.close_listener(listener);
    linux.close_listener(quiet);
    assert!(TcpStream::connect(address).is_err());
}

fn a_caller_is_taken_ready_for_use(mut linux: Linux) {
    let (listener, address) = listen();
    linux.watch_listener(&listener, 0).unwrap();
    let _caller = dial(address);
    await_ready(&mut linux, Token::listener(0), Ready::READABLE);
    let Accept::Socket(socket, _) = linux.accept(&listener) else { panic!("no caller") };
    assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
    assert!(fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK));
    assert!(sockopt::tcp_nodelay(&socket).unwrap());
}

fn a_resting_listener_is_silent_until_its_rest_is_over(mut linux: Linux) {
    let (listener, address) = listen();
    linux.watch_listener(&listener, 0).unwrap();
    let _caller = dial(address);
    await_ready(&mut linux, Token::listener(0), Ready::READABLE);
    linux.rest_listener(&listener, 0, true).unwrap();
    assert_eq!(ready_now(&mut linux), []);
    linux.rest_listener(&listener, 0, false).unwrap();
    await_ready(&mut linux, Token::listener(0), Ready::READABLE);
}

fn a_reset_farewell_resets(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    linux.close(ours, Farewell::Reset);
    let error = peer.read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(Errno::CONNRESET.0));
}

fn a_finishing_farewell_ends_cleanly(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    assert_eq!(linux.send(&ours, b"farewell"), Io::Done(8));
    linux.close(ours, Farewell::Finish);
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"farewell");
}

fn a_finished_direction_leaves_the_other_open(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    linux.finish(&ours);
    assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0);
    peer.write_all(b"still here").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    assert_eq!(linux.recv(&ours, &mut [0; 16]), Io::Done(10));
}

fn a_connect_to_a_listener_succeeds(mut linux: Linux) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let socket = linux.connect(&Address::from(listener.local_addr().unwrap()).into()).unwrap();
    linux.watch(&socket, token(1), Interest::WRITE).unwrap();
    let begin = Instant::now();
    // Under edge, a socket may be reported before its attempt has ended.
    while linux.connected(&socket) != Connect::Done(None) {
        assert!(begin.elapsed() < SOON);
        ready(&mut linux, SOON);
    }
    assert!(fcntl_getfd(&socket).unwrap().contains(FdFlags::CLOEXEC));
    assert!(fcntl_getfl(&socket).unwrap().contains(OFlags::NONBLOCK));
    assert!(sockopt::tcp_nodelay(&socket).unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(linux.send(&socket, b"hi"), Io::Done(2));
    peer.read_exact(&mut [0; 2]).unwrap();
}

fn a_connect_from_an_address_is_seen_to_come_from_it(mut linux: Linux) {
    let listener = TcpListener::bind(LOOPBACK).unwrap();
    let to = Address::from(listener.local_addr().unwrap());
    let ours = "127.0.0.7".parse().unwrap();
    let _socket = linux.connect(&Route { to: to.clone(), from: Some(ours) }).unwrap();
    assert_eq!(listener.accept().unwrap().1.ip(), ours);
    let others = "192.0.2.1".parse().unwrap();
    let refused = linux.connect(&Route { to, from: Some(others) });
    assert_eq!(refused.unwrap_err(), Errno(99), "EADDRNOTAVAIL");
}

fn a_connect_to_nobody_is_refused(mut linux: Linux) {
    // Bound and not listening: the port is ours, and nobody answers.
    let bound = socket_with(AddressFamily::INET, SocketType::STREAM, ACCEPT_FLAGS, None).unwrap();
    net::bind(&bound, &LOOPBACK.parse::<SocketAddr>().unwrap()).unwrap();
    let nobody = plain(net::getsockname(&bound).ok());
    let refusal = match linux.connect(&nobody.clone().into()) {
        Err(errno) => errno,
        Ok(socket) => {
            linux.watch(&socket, token(1), Interest::WRITE).unwrap();
            await_ready(&mut linux, token(1), Ready::WRITABLE | ANY_NEWS);
            let Connect::Failed(errno) = linux.connected(&socket) else {
                panic!("it is connected")
            };
            errno
        }
    };
    assert_eq!(refusal, Errno::CONNREFUSED);
}

fn a_full_socket_blocks_and_is_writable_when_it_has_room(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::WRITE).unwrap();
    let chunk = vec![7; 1 << 16];
    let mut sent = 0;
    loop {
        match linux.send(&ours, &chunk) {
            Io::Done(count) => sent += count,
            Io::WouldBlock => break,
            other => panic!("{other:?}"),
        }
    }
    let mut first = vec![0; sent];
    peer.read_exact(&mut first).unwrap();
    await_ready(&mut linux, token(1), Ready::WRITABLE);
    assert!(matches!(linux.send(&ours, b"more"), Io::Done(4)));
}

fn several_runs_leave_in_order(mut linux: Linux) {
    let (ours, mut peer) = pair();
    let runs = [b"one ".as_slice(), b"two ", b"three"].map(IoSlice::new);
    assert_eq!(linux.send_vectored(&ours, &runs), Io::Done(13));
    linux.close(ours, Farewell::Finish);
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"one two three");
}

fn spare_room_is_read_into_behind_what_is_there(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    peer.write_all(b" and new").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(b"old");
    assert_eq!(linux.recv_spare(&ours, &mut bytes), Io::Done(8));
    assert_eq!(bytes, b"old and new");
    assert_eq!(linux.recv_spare(&ours, &mut bytes), Io::WouldBlock);
    assert_eq!(bytes, b"old and new");
}

fn writability_is_reported_only_when_it_is_wanted(mut linux: Linux) {
    let (ours, _peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    assert_eq!(ready_now(&mut linux), []);
    linux.rearm(&ours, token(1), Interest::BOTH).unwrap();
    await_ready(&mut linux, token(1), Ready::WRITABLE);
    linux.rearm(&ours, token(1), Interest::READ).unwrap();
    assert_eq!(ready_now(&mut linux), []);
}

fn unread_bytes_are_silent_while_nobody_wants_them(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    peer.write_all(b"x").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    linux.rearm(&ours, token(1), Interest::NONE).unwrap();
    assert_eq!(ready_now(&mut linux), []);
    linux.rearm(&ours, token(1), Interest::READ).unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
}

fn level_repeats_what_was_not_read(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    peer.write_all(b"x").unwrap();
    await_ready(&mut linux, token(1), Ready::READABLE);
    for _ in 0..3 {
        assert!(ready_now(&mut linux).iter().any(|r| r.token == token(1)));
    }
    assert_eq!(linux.recv(&ours, &mut [0; 8]), Io::Done(1));
    assert_eq!(ready_now(&mut linux), []);
}

fn edge_reports_once_and_again_for_more(mut linux: Linux) {
    let (ours, mut peer) = pair();
    linux.watch(&ours, token(1), Interest::READ).unwrap();
    await_ready(&mut linux, token(1), Ready::WRITABLE);
    assert_eq!(ready_now(&mut linux), []);
    for _ in 0..3 {
        peer.write_all(b"x").unwrap();
        await_ready(&mut linux, token(1), Ready::READABLE);
        assert_eq!(ready_now(&mut linux), []);
    }
}

#[test]
fn edge_without_epoll_is_refused_by_the_pollers_name() {
    for poller in [Poller::Poll, Poller::Select] {
        let error = linux(poller, Trigger::Edge).err().unwrap();
        assert!(error.is_settings(), "{error}");
        assert!(error.to_string().contains(&poller.to_string()), "{error}");
    }
}

#[test]
fn select_carries_descriptors_over_fd_setsize() {
    let number = number_of_our_own();
    let mut linux = linux(Poller::Select, Trigger::Level).unwrap();
    let ((low, mut low_peer), (high, mut high_peer)) = (pair(), pair());
    let high = renumbered(high, number);
    linux.watch(&low, token(1), Interest::READ).unwrap();
    linux.watch(&high, token(2), Interest::READ).unwrap();
    high_peer.write_all(b"x").unwrap();
    await_ready(&mut linux, token(2), Ready::READABLE);
    linux.close(high, Farewell::Finish);
    low_peer.write_all(b"x").unwrap();
    let found = await_ready(&mut linux, token(1), Ready::READABLE);
    assert_eq!(found.token, token(1));
}
