//! Level and edge, as epoll(7) tells them.

use std::thread;

use super::*;

#[test]
fn level_reports_unread_bytes_at_every_wait() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::READ);
    client.send(b"abc");
    assert_eq!(bench.events(), [(token, R)]);
    assert_eq!(bench.recv(&socket, 2), Io::Done(2));
    assert_eq!(bench.events(), [(token, R)]);
    assert_eq!(bench.recv(&socket, 2), Io::Done(1));
    assert_eq!(bench.events(), []);
}

#[test]
fn level_reports_room_as_long_as_it_is_wanted() {
    let mut bench = Bench::new(Trigger::Level);
    let (_client, socket, token) = bench.pair(Interest::READ);
    assert_eq!(bench.events(), []);
    bench.kernel.rearm(&socket, token, Interest::BOTH).unwrap();
    assert_eq!((bench.events(), bench.events()), (vec![(token, W)], vec![(token, W)]));
    bench.kernel.rearm(&socket, token, Interest::READ).unwrap();
    assert_eq!(bench.events(), []);
}

#[test]
fn a_paused_socket_reports_neither_bytes_nor_the_peers_end() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::READ);
    bench.kernel.rearm(&socket, token, Interest::NONE).unwrap();
    client.send(b"abc");
    client.finish();
    assert_eq!(bench.events(), []);
    client.reset();
    assert_eq!(bench.events(), [(token, E | H)]);
}

#[test]
fn edge_reports_unread_bytes_only_once() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.send(b"abc");
    assert_eq!(bench.events(), [(token, R | W)]);
    assert_eq!(bench.recv(&socket, 2), Io::Done(2));
    assert_eq!(bench.events(), [], "the edge is spent, though a byte is left");
    client.send(b"d");
    assert_eq!(bench.events(), [(token, R | W)]);
    assert_eq!(bench.recv(&socket, 9), Io::Done(2));
}

#[test]
fn edge_reports_an_arrival_after_a_short_read() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.send(b"abc");
    bench.events();
    assert_eq!(bench.recv(&socket, 4), Io::Done(3));
    client.send(b"d");
    assert_eq!(bench.events(), [(token, R | W)]);
}

#[test]
fn edge_reports_what_is_ready_when_a_socket_is_first_watched() {
    let mut bench = Bench::new(Trigger::Edge);
    let client = bench.net.connect(0);
    client.send(b"early");
    bench.events();
    let socket = bench.accept();
    let token = bench.watch(&socket, Interest::READ);
    assert_eq!(bench.events(), [(token, R | W)], "under edge, all is registered");
    assert_eq!(bench.events(), []);
}

#[test]
fn edge_reports_room_after_a_write_was_refused_and_not_otherwise() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.set_window(4);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"abcd"), Io::Done(4));
    client.resume_reading();
    assert_eq!(bench.events(), [], "a write that was taken whole asks for no edge");

    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, b"abcdef"), Io::Done(4));
    assert_eq!(bench.kernel.send(&socket, b"ef"), Io::WouldBlock);
    assert_eq!(bench.events(), []);
    client.resume_reading();
    assert_eq!(bench.events(), [(token, W)]);
    assert_eq!(bench.events(), []);
    assert_eq!(client.received(), b"abcdabcd");
}

#[test]
fn a_writer_is_woken_only_when_a_third_of_the_buffer_is_free() {
    let mut bench = Bench::new(Trigger::Edge);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.set_window(90);
    client.stop_reading();
    assert_eq!(bench.kernel.send(&socket, &[0; 100]), Io::Done(90));
    client.set_window(119);
    assert_eq!(bench.events(), []);
    client.set_window(135);
    assert_eq!(bench.events(), [(token, W)]);
}

#[test]
fn a_listener_is_level_or_edge_like_a_socket() {
    for (trigger, again) in [(Trigger::Level, 1), (Trigger::Edge, 0)] {
        let mut bench = Bench::new(trigger);
        bench.kernel.watch_listener(&bench.listener, 0).unwrap();
        assert_eq!(bench.events(), []);
        let _callers = [bench.net.connect(0), bench.net.connect(0)];
        assert_eq!(bench.events(), [(Token::listener(0), R)]);
        bench.accept();
        assert_eq!(bench.events().len(), again, "{trigger:?}");
        let _caller = bench.net.connect(0);
        assert_eq!(bench.events().len(), 1);
    }
}

#[test]
fn a_listener_that_rests_reports_nobody() {
    let mut bench = Bench::new(Trigger::Level);
    bench.kernel.watch_listener(&bench.listener, 0).unwrap();
    let _caller = bench.net.connect(0);
    bench.kernel.rest_listener(&bench.listener, 0, true).unwrap();
    assert_eq!(bench.events(), []);
    bench.kernel.rest_listener(&bench.listener, 0, false).unwrap();
    assert_eq!(bench.events(), [(Token::listener(0), R)]);
}

#[test]
fn a_ready_list_that_is_too_long_leaves_nobody_out() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut bench = Bench::with(1, trigger, Faults { events_max: 2, ..Faults::none() });
        let all: Vec<_> = (0..5).map(|_| bench.pair(Interest::BOTH)).collect();
        let mut seen = std::collections::BTreeSet::new();
        all.iter().for_each(|(client, ..)| client.send(b"x"));
        for _ in 0..3 {
            let events = bench.events();
            assert!(events.len() <= 2);
            seen.extend(events.iter().map(|(token, _)| token.to_bits()));
        }
        assert_eq!(seen.len(), 5, "{trigger:?}");
    }
}

#[test]
fn the_ready_list_outlives_the_sockets_in_it() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::READ);
    client.send(b"x");
    assert_eq!(bench.events(), [(token, R)]);
    bench.kernel.close(socket, crate::kernel::Farewell::Reset);
    assert_eq!(bench.kernel.ready(0).unwrap().token, token);
    let _next = bench.net.connect(0);
    assert_eq!(bench.accept().index, 0, "the lowest free index is used again");
}

#[test]
fn a_wake_from_another_thread_is_reported_until_it_is_seen() {
    let mut bench = Bench::new(Trigger::Edge);
    let waker = bench.kernel.waker();
    thread::spawn(move || waker.wake()).join().unwrap();
    let woken = vec![(Token::WAKER, R)];
    assert_eq!((bench.wait(None), bench.wait(None)), (woken.clone(), woken));
    bench.kernel.waker_seen();
    assert_eq!(bench.events(), []);
    assert_eq!(bench.net.calls().wakes, 1);
}

#[test]
fn signals_are_counted() {
    let mut bench = Bench::new(Trigger::Edge);
    bench.net.signal();
    bench.net.signal();
    assert_eq!(bench.wait(None), [(Token::SIGNALS, R)]);
    assert_eq!((bench.kernel.signals_seen(), bench.kernel.signals_seen()), (2, 0));
    assert_eq!(bench.events(), []);
}

#[test]
fn a_wait_for_nothing_jumps_to_its_timeout_or_is_asleep() {
    let mut bench = Bench::new(Trigger::Level);
    assert_eq!(bench.wait(Some(Duration::from_secs(3600))), []);
    assert_eq!(bench.net.now().as_nanos(), 3_600_000_000_000);
    assert_eq!(bench.net.calls().asleep, 0);
    assert_eq!(bench.wait(None), []);
    assert_eq!(bench.net.now().as_nanos(), 3_600_000_000_000);
    assert_eq!((bench.net.calls().asleep, bench.net.calls().waits), (1, 2));
}

#[test]
fn quiet_means_nothing_in_flight_nothing_ready_and_a_wait_that_found_nothing() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    assert!(!bench.net.is_quiet(), "the only waits so far did not want to sleep");
    bench.wait(None);
    assert!(bench.net.is_quiet());
    client.send(b"x");
    assert!(!bench.net.is_quiet(), "in flight");
    bench.wait(None);
    assert!(!bench.net.is_quiet(), "unread");
    bench.recv(&socket, 9);
    assert!(!bench.net.is_quiet(), "the server may still be at work");
    bench.wait(None);
    assert!(bench.net.is_quiet());
    bench.net.signal();
    assert!(!bench.net.is_quiet());
}

#[test]
fn settling_does_not_move_the_clock_to_a_timeout() {
    let mut bench = Bench::new(Trigger::Level);
    let client = bench.net.connect(0);
    bench.kernel.watch_listener(&bench.listener, 0).unwrap();
    let net = bench.net.clone();
    let turns = net.settle(10, || {
        if !bench.wait(Some(Duration::from_secs(60))).is_empty() {
            bench.accept();
        }
    });
    assert_eq!((turns, net.now().as_nanos(), client.is_waiting()), (2, 0, false));
    bench.wait(Some(Duration::from_secs(60)));
    assert_eq!(net.now().as_nanos(), 60_000_000_000);
}
