//! Accept and connect.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::{End, Preamble};
use super::*;
use crate::address::Address;
use crate::error::Errno;
use crate::kernel::{Connect, Farewell};

fn somewhere() -> Address {
    "192.0.2.1:80".parse().unwrap()
}

#[test]
fn callers_come_in_order_with_addresses_of_their_own() {
    let mut bench = Bench::new(Trigger::Level);
    let callers: Vec<Client> = (0..300).map(|_| bench.net.connect(0)).collect();
    let mut seen = std::collections::BTreeSet::new();
    for caller in &callers {
        let Accept::Socket(_, address) = bench.kernel.accept(&bench.listener) else { panic!() };
        assert_eq!(address, caller.address());
        assert!(seen.insert(address.to_string()));
    }
    assert!(matches!(bench.kernel.accept(&bench.listener), Accept::Empty));
    let ip = "203.0.113.9".parse().unwrap();
    let (one, two) = (bench.net.connect_from(0, ip), bench.net.connect_from(0, ip));
    assert_eq!((one.address().ip(), two.address().ip()), (Some(ip), Some(ip)));
    assert_ne!(one.address(), two.address());
}

#[test]
fn a_caller_may_speak_and_leave_before_it_is_accepted() {
    let mut bench = Bench::new(Trigger::Edge);
    let (polite, rude) = (bench.net.connect(0), bench.net.connect(0));
    polite.send(b"hello");
    polite.finish();
    rude.reset();
    bench.events();
    assert!(polite.is_waiting());
    let (polite, rude) = (bench.accept(), bench.accept());
    let tokens = (bench.watch(&polite, Interest::BOTH), bench.watch(&rude, Interest::BOTH));
    assert_eq!(bench.events(), [(tokens.0, R | W | P), (tokens.1, R | W | E | H | P)]);
    assert_eq!(bench.recv(&polite, 9), Io::Done(5));
    assert_eq!(bench.recv(&rude, 9), Io::Failed(Errno::CONNRESET));
}

#[test]
fn without_descriptors_accepts_fail_and_the_reserve_refuses_one_caller_each() {
    let mut bench = Bench::new(Trigger::Level);
    let (first, second) = (bench.net.connect(0), bench.net.connect(0));
    bench.net.refuse_descriptors(1);
    let accept = bench.kernel.accept(&bench.listener);
    assert!(matches!(accept, Accept::Exhausted(Errno::MFILE)));
    assert!(first.is_waiting() && bench.kernel.refuse(&bench.listener));
    bench.events();
    assert_eq!((first.end(), second.end()), (Some(End::Finished), None));
    bench.accept();
    bench.net.refuse_descriptors(1);
    let accept = bench.kernel.accept(&bench.listener);
    assert!(matches!(accept, Accept::Exhausted(Errno::MFILE)));
    assert!(!bench.kernel.refuse(&bench.listener), "nobody was there");
}

#[test]
fn a_process_has_so_many_sockets_and_one_that_is_closed_makes_room() {
    let mut bench = Bench::new(Trigger::Level);
    bench.net.limit_descriptors(1);
    let _callers = [bench.net.connect(0), bench.net.connect(0)];
    let socket = bench.accept();
    let accept = bench.kernel.accept(&bench.listener);
    assert!(matches!(accept, Accept::Exhausted(Errno::MFILE)));
    let route = somewhere().into();
    assert_eq!(bench.kernel.connect(&route).err(), Some(Errno::MFILE));
    bench.kernel.close(socket, Farewell::Finish);
    bench.accept();
}

#[test]
fn without_a_reserve_the_caller_stays_in_the_backlog() {
    let faults = Faults { reserve_taken: 1000, ..Faults::none() };
    let mut bench = Bench::with(1, Trigger::Level, faults);
    let caller = bench.net.connect(0);
    bench.net.refuse_descriptors(1);
    let accept = bench.kernel.accept(&bench.listener);
    assert!(matches!(accept, Accept::Exhausted(_)) && !bench.kernel.refuse(&bench.listener));
    assert!(caller.is_waiting());
    bench.accept();
}

#[test]
fn while_the_reserve_is_given_up_any_thread_may_take_it() {
    let mut bench = Bench::new(Trigger::Level);
    bench.net.limit_descriptors(1);
    let callers = [0, 0, 0].map(|listener| bench.net.connect(listener));
    let first = bench.accept();
    assert!(matches!(bench.kernel.accept(&bench.listener), Accept::Exhausted(Errno::MFILE)));
    let (mut other, other_listener) = (bench.net.kernel(), bench.net.listener());
    let _other_caller = bench.net.connect(1);
    let taken = Rc::new(RefCell::new(None));
    let into = taken.clone();
    bench.net.while_refusing(move || {
        let Accept::Socket(socket, _) = other.accept(&other_listener) else { panic!("no room") };
        assert_eq!(other.regain_reserve(), Err(Errno::MFILE));
        into.replace(Some(socket));
    });
    assert!(!bench.kernel.refuse(&bench.listener) && callers[1].is_waiting());
    bench.net.no_hook();
    assert_eq!(bench.kernel.regain_reserve(), Err(Errno::MFILE));
    assert_eq!(bench.kernel.keep_beside_reserve(first).err(), Some(Errno::MFILE));
    assert_eq!((bench.net.open_sockets(), bench.kernel.regain_reserve()), (1, Ok(())));
    assert!(bench.kernel.refuse(&bench.listener) && !callers[1].is_waiting());
    let kept = bench.kernel.keep_beside_reserve(taken.take().unwrap());
    assert!(kept.is_ok(), "there is a reserve beside it");
}

#[test]
fn nothing_is_given_up_for_nobody() {
    let mut bench = Bench::new(Trigger::Level);
    bench.net.while_refusing(|| panic!("the reserve was given up"));
    assert!(!bench.kernel.refuse(&bench.listener));
}

#[test]
fn a_caller_that_is_lost_before_accept_is_skipped() {
    let faults = Faults { accept_skipped: 1000, ..Faults::none() };
    let mut bench = Bench::with(1, Trigger::Level, faults);
    let caller = bench.net.connect(0);
    assert!(matches!(bench.kernel.accept(&bench.listener), Accept::Skipped(_)));
    assert!(matches!(bench.kernel.accept(&bench.listener), Accept::Empty));
    bench.events();
    assert_eq!((caller.end(), bench.net.open_sockets()), (Some(End::Reset), 0));
}

#[test]
fn a_listener_that_closes_resets_its_backlog_and_every_later_caller() {
    let mut bench = Bench::new(Trigger::Level);
    bench.kernel.watch_listener(&bench.listener, 0).unwrap();
    let early = bench.net.connect(0);
    bench.kernel.close_listener(SimListener(0));
    let late = bench.net.connect(0);
    assert_eq!(bench.events(), []);
    assert_eq!((early.end(), late.end()), (Some(End::Reset), Some(End::Reset)));
}

#[test]
fn a_watch_may_be_refused_and_then_watches_nothing() {
    let faults = Faults { watch_refused: 1000, ..Faults::none() };
    let mut bench = Bench::with(1, Trigger::Level, faults);
    let client = bench.net.connect(0);
    let socket = bench.accept();
    let token = bench.token();
    let errno = bench.kernel.watch(&socket, token, Interest::BOTH).unwrap_err();
    assert!([Errno::NOSPC, Errno::NOMEM].contains(&errno));
    client.send(b"x");
    assert_eq!(bench.events(), []);
}

#[test]
fn a_dialled_peer_may_accept() {
    let mut bench = Bench::new(Trigger::Edge);
    let socket = bench.kernel.connect(&somewhere().into()).unwrap();
    let token = bench.watch(&socket, Interest::BOTH);
    let remote = bench.net.dialled().unwrap();
    assert_eq!((remote.address(), bench.net.dialled().is_none()), (somewhere(), true));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.kernel.connected(&socket), Connect::Pending(Interest::WRITE));
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::WouldBlock);
    remote.accept();
    remote.send(b"banner");
    assert_eq!(bench.events(), [(token, R | W)]);
    assert_eq!(bench.kernel.connected(&socket), Connect::Done(None));
    assert_eq!(bench.recv(&socket, 9), Io::Done(6));
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Done(1));
    bench.events();
    assert_eq!(remote.received(), b"x");
}

#[test]
fn a_dialled_peer_may_refuse() {
    let mut bench = Bench::new(Trigger::Level);
    let socket = bench.kernel.connect(&somewhere().into()).unwrap();
    let token = bench.watch(&socket, Interest::WRITE);
    bench.net.dialled().unwrap().refuse(Errno::CONNREFUSED);
    assert_eq!(bench.events(), [(token, W | E | H)]);
    assert_eq!(bench.kernel.connected(&socket), Connect::Failed(Errno::CONNREFUSED));
    assert_eq!(bench.recv(&socket, 9), Io::Finished);
    assert_eq!(bench.kernel.send(&socket, b"x"), Io::Failed(Errno::PIPE));
}

#[test]
fn a_dialled_peer_may_never_answer() {
    let mut bench = Bench::new(Trigger::Level);
    let socket = bench.kernel.connect(&somewhere().into()).unwrap();
    bench.watch(&socket, Interest::BOTH);
    assert_eq!(bench.wait(Some(Duration::from_secs(60))), []);
    assert!(bench.net.is_quiet());
    bench.kernel.close(socket, Farewell::Finish);
    bench.events();
    let remote = bench.net.dialled().unwrap();
    remote.accept();
    assert_eq!(remote.end(), Some(End::Reset));
}

/// A caller that was accepted and is watched, with a preamble of three bytes that reads ahead.
fn in_preamble(bench: &mut Bench) -> (Client, SimSocket) {
    let client = bench.net.connect(0);
    client.begin_with(Preamble { reads_ahead: true, ..Preamble::heard(3) });
    let socket = bench.accept();
    assert_eq!(bench.kernel.preamble(&socket), Some(Interest::READ));
    bench.watch(&socket, Interest::READ);
    bench.events();
    (client, socket)
}

#[test]
fn what_a_preamble_has_read_ahead_is_announced_until_it_is_read() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut bench = Bench::new(trigger);
        let (client, socket) = in_preamble(&mut bench);
        client.send(b"ab");
        assert_eq!(bench.events().len(), 1);
        assert_eq!(bench.kernel.connected(&socket), Connect::Pending(Interest::READ));
        client.send(b"cdefg");
        assert_eq!(bench.events().len(), 1);
        assert_eq!(bench.kernel.connected(&socket), Connect::Done(None));
        assert_eq!(bench.kernel.preamble(&socket), None);
        let mut buffer = [0; 2];
        for piece in [b"de", b"fg"] {
            assert_eq!(bench.events().len(), 1, "{trigger:?}");
            assert_eq!(bench.kernel.recv(&socket, &mut buffer), Io::Done(2));
            assert_eq!(&buffer, piece);
        }
        assert_eq!(bench.kernel.recv(&socket, &mut buffer), Io::WouldBlock);
    }
}

#[test]
#[should_panic = "is read before it is connected"]
fn nothing_is_read_beside_a_preamble() {
    let mut bench = Bench::new(Trigger::Level);
    let (_client, socket) = in_preamble(&mut bench);
    bench.kernel.recv(&socket, &mut [0; 8]);
}

#[test]
#[should_panic = "is asked by a kernel that does not watch it"]
fn a_preamble_is_run_by_the_kernel_that_watches_the_socket() {
    let mut bench = Bench::new(Trigger::Level);
    let (_client, socket) = in_preamble(&mut bench);
    bench.net.kernel().connected(&socket);
}
