//! Bytes on their way, and what calls cost when nothing goes wrong.

use std::io::IoSlice;

use super::*;

#[test]
fn without_faults_a_ping_pong_is_a_wait_a_read_and_a_write() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let mut bench = Bench::new(trigger);
        let (client, socket, token) = bench.pair(Interest::READ);
        let before = bench.net.calls();
        for _ in 0..100 {
            client.send(&[7; 64]);
            assert_eq!(bench.wait(None).iter().map(|event| event.0).collect::<Vec<_>>(), [token]);
            assert_eq!(bench.recv(&socket, 65_536), Io::Done(64));
            assert_eq!(bench.kernel.send(&socket, &[7; 64]), Io::Done(64));
        }
        let calls = bench.net.calls() - before;
        assert_eq!((calls.waits, calls.recvs, calls.sends, calls.total()), (100, 100, 100, 300));
        assert_eq!(client.take_received().len(), 99 * 64, "the last reply is in flight");
        bench.wait(None);
        assert_eq!((client.take_received().len(), client.received().len()), (64, 0));
    }
}

#[test]
fn bytes_are_in_flight_until_a_wait() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.send(b"abc");
    assert_eq!((client.in_flight(), client.unread()), (3, 0));
    assert_eq!(bench.recv(&socket, 9), Io::WouldBlock);
    bench.events();
    assert_eq!((client.in_flight(), client.unread()), (0, 3));
    assert_eq!(bench.kernel.send(&socket, b"xy"), Io::Done(2));
    assert_eq!((client.queued(), client.received()), (2, vec![]));
    bench.events();
    assert_eq!((client.queued(), client.received()), (0, b"xy".to_vec()));
}

#[test]
fn a_read_into_spare_capacity_stays_within_it() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.send(&[5; 1000]);
    bench.events();
    let mut into = Vec::with_capacity(100);
    into.push(1);
    let (address, spare) = (into.as_ptr(), into.capacity() - 1);
    assert_eq!(bench.kernel.recv_spare(&socket, &mut into), Io::Done(spare));
    assert_eq!((into.as_ptr(), into.len(), into[0], into[1]), (address, spare + 1, 1, 5));
}

#[test]
fn a_vectored_write_may_stop_inside_of_a_run() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, _) = bench.pair(Interest::READ);
    client.set_window(7);
    let runs = [IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defgh")];
    assert_eq!(bench.kernel.send_vectored(&socket, &runs), Io::Done(7));
    assert_eq!(bench.kernel.send_vectored(&socket, &runs), Io::WouldBlock);
    bench.events();
    assert_eq!(client.received(), b"abcdefg");
}

#[test]
fn a_client_that_stalls_fills_the_window_and_nothing_more() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    client.stop_reading();
    client.set_window(10);
    assert_eq!(bench.kernel.send(&socket, &[0; 25]), Io::Done(10));
    assert_eq!((bench.events(), client.queued(), client.received().len()), (vec![], 10, 0));
    client.resume_reading();
    assert_eq!((bench.events(), client.received().len()), (vec![(token, W)], 10));
}

#[test]
fn short_reads_lie_only_under_level() {
    let faults = Faults { short_reads: 1000, ..Faults::none() };
    let mut bench = Bench::with(3, Trigger::Edge, faults.clone());
    let (client, socket, _) = bench.pair(Interest::BOTH);
    client.send(&[0; 100]);
    bench.events();
    assert_eq!(bench.recv(&socket, 100), Io::Done(100));

    let mut bench = Bench::with(3, Trigger::Level, faults);
    let (client, socket, token) = bench.pair(Interest::READ);
    client.send(&[0; 100]);
    bench.events();
    assert!(matches!(bench.recv(&socket, 100), Io::Done(1..100)));
    assert_eq!(bench.events(), [(token, R)]);
}

#[test]
fn a_write_that_a_fault_cut_short_is_followed_by_an_edge() {
    let faults = Faults { short_writes: 1000, ..Faults::none() };
    let mut bench = Bench::with(1, Trigger::Edge, faults);
    let (client, socket, token) = bench.pair(Interest::BOTH);
    let (mut sent, mut refused) = (0, 0);
    while sent < 100 {
        match bench.kernel.send(&socket, &[0; 100][sent..]) {
            Io::Done(bytes) => sent += bytes,
            Io::WouldBlock => refused += 1,
            other => panic!("{other:?}"),
        }
        if sent < 100 {
            assert_eq!(bench.wait(None), [(token, W)], "after {sent} bytes");
        }
    }
    bench.events();
    assert!(client.received().len() == 100 && refused > 0);
}

#[test]
fn a_dropped_client_leaves_its_connection_and_is_forgotten_after_it() {
    let mut bench = Bench::new(Trigger::Level);
    let (client, socket, token) = bench.pair(Interest::READ);
    let twin = client.clone();
    drop(client);
    twin.send(b"x");
    drop(twin);
    assert_eq!(bench.events(), [(token, R)]);
    bench.recv(&socket, 9);
    bench.kernel.close(socket, crate::kernel::Farewell::Finish);
    bench.events();
    assert!(bench.net.world.borrow().links.is_empty());
}
